"""The loop of pretrain and sft: its loss, its schedules and precisions, and what it says on the way."""

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import tiny_shape
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.nn import functional as F

from minitron.core.errors import MinitronError
from minitron.data.packing import PackedRows, Sequence, pack
from minitron.model.language_model import LanguageModel
from minitron.recipe.schema import OptimConfig, TrainConfig
from minitron.train import checkpoint, cross_entropy
from minitron.train.cross_entropy import linear_cross_entropy
from minitron.train.loop import Fit, fit, summed_loss
from minitron.train.precision import LossScale
from minitron.train.schedule import learning_rate

VOCAB = 90


@pytest.mark.parametrize("cap", [0.0, 3.0])
@pytest.mark.parametrize("z_loss", [0.0, 0.05])
@pytest.mark.parametrize("pieces", [False, True])
def test_the_loss_in_pieces_is_torchs(monkeypatch, cap, z_loss, pieces):
    if pieces:  # of 7 rows
        monkeypatch.setattr(cross_entropy, "LOGITS_AT_ONCE", 7 * VOCAB)
        monkeypatch.setattr(cross_entropy, "ROWS_AT_ONCE", 1)
    torch.manual_seed(0)
    hidden, weight = torch.randn(40, 16), torch.randn(VOCAB, 16)
    targets = torch.randint(VOCAB, (40,))
    targets[[3, 20, 39]] = -100
    found = []
    for own in (True, False):
        h, w = hidden.clone().requires_grad_(), weight.clone().requires_grad_()
        if own:
            loss = linear_cross_entropy(h, w, targets, z_loss=z_loss, cap=cap)
        else:
            logits = F.linear(h, w)
            logits = cap * torch.tanh(logits / cap) if cap else logits
            loss = F.cross_entropy(logits, targets, reduction="sum")
            loss = loss + z_loss * logits.logsumexp(1)[targets >= 0].square().sum()
        found.append((loss.detach(), *torch.autograd.grad(loss * 0.3, [h, w])))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    with torch.inference_mode():
        assert linear_cross_entropy(hidden, weight, targets, z_loss=z_loss, cap=cap) == found[0][0]


def test_the_loss_in_bf16_is_near():
    torch.manual_seed(0)
    hidden, weight, targets = torch.randn(64, 32), 0.1 * torch.randn(VOCAB, 32), torch.randint(VOCAB, (64,))
    weight.requires_grad_()
    exact = linear_cross_entropy(hidden, weight, targets)
    with torch.autocast("cpu", torch.bfloat16):
        near = linear_cross_entropy(hidden, weight, targets)
    assert near.item() == pytest.approx(exact.item(), rel=2e-3)
    one, other = (torch.autograd.grad(loss, weight)[0] for loss in (exact, near))
    assert other.dtype == torch.float32
    assert F.cosine_similarity(one.flatten(), other.flatten(), 0) > 0.999


def test_the_cap_is_in_the_heads_logits_too():
    torch.manual_seed(0)
    plain, capped = (LanguageModel(tiny_shape(logit_cap=cap), VOCAB).eval() for cap in (0.0, 2.0))
    capped.load_state_dict(plain.state_dict())
    with torch.no_grad():
        for weight in (plain.embedding, capped.embedding):
            weight.mul_(50)
        ids = torch.randint(VOCAB, (2, 9))
        torch.testing.assert_close(capped(ids), 2 * torch.tanh(plain(ids) / 2))
        assert plain(ids).abs().max() > 4


@pytest.mark.parametrize("arch", ["llama", "nanogpt"])
def test_recomputed_blocks_have_the_same_gradients(arch, tmp_path):
    torch.manual_seed(0)
    model = LanguageModel(tiny_shape(arch), VOCAB)
    batch = rows(tmp_path / "p").batch(range(3))
    gradients = []
    for model.recompute in (False, True):
        loss = summed_loss(model, batch)
        gradients.append(torch.autograd.grad(loss, list(model.parameters())))
    for plain, again in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, again, rtol=0, atol=0)


def test_warmup_stable_decay():
    config = OptimConfig(lr=1.0, min_lr=0.1, warmup_steps=10, schedule="wsd", decay_share=0.4)
    lr = [learning_rate(step, steps=100, config=config) for step in range(100)]
    assert lr[:10] == pytest.approx([0.1 * i for i in range(1, 11)])
    assert lr[10:60] == [1.0] * 50
    assert lr[79] == pytest.approx(0.55)
    assert lr[99] == pytest.approx(0.1)
    assert all(a > b for a, b in zip(lr[59:], lr[60:], strict=False))


def test_the_scale_of_fp16():
    scale = LossScale("fp16", value=8.0, clean=998)
    assert scale.usable(1.0)
    assert (scale.value, scale.clean) == (8.0, 999)
    assert scale.usable(1.0)
    assert (scale.value, scale.clean) == (16.0, 0)
    assert not scale.usable(math.inf)
    assert not scale.usable(math.nan)
    assert scale.value == 4.0
    assert LossScale("bf16").usable(math.inf)
    assert LossScale("bf16").value == 1.0


def rows(path: Path, count: int = 60) -> PackedRows:
    """Sequences that count upwards: soon learnt."""
    chance = np.random.default_rng(1)
    made = []
    for _ in range(count):
        first, n = int(chance.integers(VOCAB)), int(chance.integers(8, 30))
        made.append(Sequence([(first + i) % VOCAB for i in range(n)], [False] + [True] * (n - 1), n))
    pack(made, context=64, vocab_size=VOCAB, out=path)
    return PackedRows(path)


def train(tmp_path: Path, *, optim: dict | None = None, sample=lambda model: [], **settings) -> tuple[dict, list[dict]]:
    """Trains a tiny model; the final figures and the lines of metrics.jsonl."""
    torch.manual_seed(0)
    model = LanguageModel(tiny_shape(), VOCAB)
    config = TrainConfig(**{"steps": 30, "batch_rows": 2, "accumulation": 2, "eval_every_steps": 10} | settings)
    chosen = OptimConfig(**{"lr": 1e-2, "warmup_steps": 3, "precision": "fp32"} | (optim or {}))
    where = tmp_path / "sft"
    run = Fit("sft", where, config, chosen, 1, sample=sample)
    result = fit(model, rows(tmp_path / "train"), rows(tmp_path / "valid", 20), run=run)
    return result, [json.loads(line) for line in (where / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_every_precision_learns(tmp_path, precision):
    result, lines = train(tmp_path, optim={"precision": precision})
    assert lines[0]["loss"] == pytest.approx(math.log(VOCAB), abs=0.1)
    assert lines[-1]["valid_loss"] < 3.0
    assert result["precision"] == precision
    assert all(math.isfinite(line["grad_norm"]) for line in lines[5:])


def test_fp16_finds_its_scale(tmp_path, monkeypatch):
    """Far too large at first: steps are left out, not taken with infinite gradients, until the gradients fit."""
    monkeypatch.setattr(LossScale.__init__, "__kwdefaults__", {"value": 2.0**40, "clean": 0})
    _, lines = train(tmp_path, optim={"precision": "fp16"}, steps=60)
    skipped = [line for line in lines if not math.isfinite(line["grad_norm"])]
    assert 5 < len(skipped) < 40
    assert lines[-1]["valid_loss"] < 3.5
    state = checkpoint.load_trainer(tmp_path / "sft" / "checkpoints" / "step-000060")["state"]
    assert state["scale"]["value"] == 2.0 ** (40 - len(skipped))


def test_patience_ends_a_run_that_gets_no_better(tmp_path):
    result, lines = train(tmp_path, optim={"lr": 1e-9, "min_lr": 0.0, "warmup_steps": 0}, steps=500, patience=3)
    assert lines[-1]["step"] < 500
    validations = [line["valid_loss"] for line in lines if "valid_loss" in line]
    best = validations.index(min(validations))
    assert len(validations) - 1 - best == 3
    assert result["best_valid_loss"] == min(validations)
    assert (tmp_path / "sft" / "best").read_text().strip() == f"step-{10 * (best + 1):06d}"


def test_samples_are_logged_with_every_validation(tmp_path):
    asked = []

    def sample(model):
        asked.append(model.training)
        return [("one", "two\nthree")]

    _, lines = train(tmp_path, samples=["one"], sample=sample)
    assert asked == [False] * 3
    assert [line["step"] for line in lines if "samples" in line] == [10, 20, 30]
    assert lines[-1]["samples"] == [{"prompt": "one", "text": "two\nthree"}]


def test_tensorboard_reads_the_same_figures(tmp_path):
    _, lines = train(tmp_path, tensorboard=True)
    board = EventAccumulator(str(tmp_path / "sft" / "tensorboard")).Reload()
    losses_there = [(event.step, event.value) for event in board.Scalars("loss")]
    assert losses_there == [(line["step"], pytest.approx(line["loss"], rel=1e-6)) for line in lines]
    assert {"valid_loss", "lr", "tokens_per_second", "memory_mb"} <= set(board.Tags()["scalars"])


def test_torch_compile_trains_the_same_or_says_why_not(tmp_path):
    plain, _ = train(tmp_path / "plain", steps=4, eval_every_steps=4)
    if not shutil.which("c++"):
        with pytest.raises(MinitronError, match="torch.compile does not work here"):
            train(tmp_path / "compiled", steps=4, eval_every_steps=4, optim={"compile": "on"})
        return
    compiled, _ = train(tmp_path / "compiled", steps=4, eval_every_steps=4, optim={"compile": "on"})
    assert compiled["valid_loss"] == pytest.approx(plain["valid_loss"], rel=1e-3)
