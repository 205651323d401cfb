"""A task for models that shall recall: pairs of ids stand between others, each first one comes again, its second one is asked for."""

import torch
from torch.nn import functional as F

from minitron.model.language_model import LanguageModel
from minitron.model.state import Span
from minitron.recipe.training import OptimConfig
from minitron.train.optimizer import make_optimizer


def recalled(model: LanguageModel, steps: int) -> float:
    """Trains a model of at least 80 ids; the share right in the last ten steps."""
    rows, length, pairs = 16, 64, 6
    optimizer = make_optimizer(model, OptimConfig(name="muon", weight_decay=0.0))
    asked = length - 2 * pairs + 2 * torch.arange(pairs)
    positions, spans = torch.arange(length).repeat(rows)[None], [Span(length)] * rows
    right = []
    for step in range(steps):
        ids = torch.randint(0, 16, (rows, length))
        first = torch.stack([torch.randperm(32)[:pairs] + 16 for _ in range(rows)])
        second = torch.randint(48, 80, (rows, pairs))
        there = torch.stack([torch.randperm((length - 2 * pairs) // 2)[:pairs] * 2 for _ in range(rows)])
        ids.scatter_(1, there, first).scatter_(1, there + 1, second)
        ids[:, asked], ids[:, asked + 1] = first, second
        hidden = model.hidden(ids.view(1, -1), positions=positions, spans=spans).view(rows, length, -1)
        logits = model.head(hidden[:, asked])
        F.cross_entropy(logits.flatten(0, 1), second.flatten()).backward()
        optimizer.step(4e-3 * min(1.0, (step + 1) / 20, 3 * (steps - step) / steps))
        right.append((logits.argmax(-1) == second).float().mean().item())
    return sum(right[-10:]) / 10
