"""What a trained model made of its tokens: the lengths of their embeddings, and the loss of each on held-out text."""

from collections.abc import Iterator

import numpy as np
import torch

from minitron.core import parallel
from minitron.core.device import pick_device
from minitron.core.errors import MinitronError
from minitron.data.packing import Batch, PackedRows, is_whole, pack_again
from minitron.interop.foreign import IMPORTED
from minitron.lab.census import Trained
from minitron.model.language_model import LanguageModel
from minitron.recipe.schema import Config
from minitron.train import checkpoint

ROWS = 256  # held-out rows that are measured, each as long as the model's context
BATCH_ROWS = 8


def look(config: Config) -> Trained | None:
    """What the run's last trained model made of its tokens, without losses if it was imported; None if there is no such model. Raises
    MinitronError where its held-out rows are missing."""
    if config.layout.last_trained is None:
        return None
    stage, folder = config.layout.last_trained
    model, _ = checkpoint.load_model(folder, device=pick_device(config.device))
    rows = config.layout.packed("pretrain" if stage == "pretrain" else "sft", "valid")
    if is_whole(rows):
        losses, targets = losses_by_token(model, PackedRows(rows))
    elif folder.name == IMPORTED:
        losses, targets = np.full(model.vocab_size, np.nan), np.zeros(model.vocab_size, np.int64)
    else:
        raise MinitronError(f"there is no held-out text in {rows}", hint=pack_again(rows))
    norms = model.embedding.detach().float().norm(dim=1).cpu().numpy()
    per_token = model.config.d_model * (2 if model.config.untied_head else 1)
    return Trained(norms, losses, targets, per_token, model.count_params())


def losses(model: LanguageModel, rows: PackedRows, *, most: int = ROWS) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The targets in the first `most` rows and the loss of each in nats, (N,) each; a few rows at a time, in the rows' order."""

    def part(start: int) -> tuple[np.ndarray, np.ndarray]:
        batch: Batch = rows.batch(range(start, min(start + BATCH_ROWS, len(rows), most))).to(model.device)
        with torch.inference_mode():
            hidden = model.hidden(batch.ids, positions=batch.positions, mask=batch.mask, wanted=batch.select)[
                : batch.count
            ]
            wanted = batch.targets[: batch.count]
            lost = torch.nn.functional.cross_entropy(model.head(hidden).float(), wanted, reduction="none")
        return wanted.cpu().numpy(), lost.cpu().double().numpy()  # MPS has no fp64

    model.eval()
    yield from parallel.parallel_map(part, range(0, min(len(rows), most), BATCH_ROWS), device=model.device)


def losses_by_token(model: LanguageModel, rows: PackedRows) -> tuple[np.ndarray, np.ndarray]:
    """Mean loss in nats of each token where it is the target (NaN if it never is), and how often it is the target, (V,) each."""
    sums, targets = np.zeros(model.vocab_size), np.zeros(model.vocab_size, np.int64)
    for ids, lost in losses(model, rows):
        sums += np.bincount(ids, lost, minlength=len(sums))
        targets += np.bincount(ids, minlength=len(sums))
    return np.where(targets > 0, sums / np.maximum(targets, 1), np.nan), targets
