"""Checkpoints: a folder per step, whole or absent, checked when read.

    sft/checkpoints/step-000500/   model.safetensors  model.json  trainer.pt
    sft/best  sft/latest           one line: the name of a checkpoint; written last, by rename

model.safetensors carries Hugging Face's (llama) or nanoGPT's (nanogpt) tensor names. A folder is written under a
temporary name and renamed, so that a crash or a full disk leaves the earlier checkpoints as they were.
"""

import dataclasses
import errno
import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from minitron.core import distributed
from minitron.core.console import warn
from minitron.core.errors import MinitronError
from minitron.core.files import atomic_write, sha256_file, write_error
from minitron.model import lora
from minitron.model.language_model import LanguageModel
from minitron.recipe.schema import ModelConfig


def save(
    stage_dir: Path, model: LanguageModel, *, step: int, info: dict, trainer: dict | None = None, name: str = ""
) -> Path:
    """Writes checkpoint `name` (default: the step) and points `latest` at it. `info` goes into model.json, `trainer` into
    trainer.pt. Of several processes all must call it and the first writes; a sharded model's files are those of a whole one.
    """
    if distributed.sharded(model):
        model.reshard()  # a validation leaves some of the weights whole
    weights, trainer = distributed.whole(lora.weights(model)), distributed.whole(trainer)
    final = stage_dir / "checkpoints" / (name or f"step-{step:06d}")
    about = {"model": dataclasses.asdict(model.config), "vocab_size": model.vocab_size, "step": step}
    distributed.on_rank0(partial(_write, final, weights, trainer, about, info))
    return final


def _write(final: Path, weights: dict[str, Tensor], trainer: dict | None, about: dict, info: dict) -> None:
    folder, stage_dir = final.parent, final.parent.parent
    work = folder / f".{final.name}.tmp"
    shutil.rmtree(work, ignore_errors=True)
    try:
        work.mkdir(parents=True)
        tensors = {key: w.detach().to("cpu", torch.float32).contiguous() for key, w in weights.items()}
        save_file(tensors, work / "model.safetensors", metadata={"format": "pt"})
        if trainer is not None:
            torch.save(trainer, work / "trainer.pt")
        hashes = {"sha256": {p.name: sha256_file(p) for p in sorted(work.iterdir())}}
        atomic_write(work / "model.json", json.dumps(about | hashes | info, indent=1))
        shutil.rmtree(final, ignore_errors=True)
        work.rename(final)
    except (OSError, RuntimeError, safetensors.SafetensorError) as error:
        shutil.rmtree(work, ignore_errors=True)
        if isinstance(error, OSError):
            raise write_error(error, path=final) from error
        # torch and safetensors wrap the operating system's reason in errors of their own; ask the disk itself
        if shutil.disk_usage(stage_dir).free < 16 * sum(w.numel() for w in weights.values()):
            raise write_error(OSError(errno.ENOSPC, ""), path=final) from error
        raise
    point(stage_dir, "latest", final.name)


def point(stage_dir: Path, pointer: str, name: str) -> None:
    """Makes `best` or `latest` name a checkpoint."""
    if distributed.rank() == 0:
        atomic_write(stage_dir / pointer, name + "\n")


def pointed(stage_dir: Path, pointer: str) -> Path | None:
    """The checkpoint folder that `best` or `latest` names, or None."""
    file = stage_dir / pointer
    return stage_dir / "checkpoints" / file.read_text().strip() if file.exists() else None


def prune(stage_dir: Path, *, keep: int) -> None:
    """Deletes all but the newest `keep` checkpoints and those that are pointed at."""
    if distributed.rank():
        return
    for leftover in (stage_dir / "checkpoints").glob(".*.tmp"):
        shutil.rmtree(leftover, ignore_errors=True)
    steps = sorted((stage_dir / "checkpoints").glob("step-*"))
    pinned = {pointed(stage_dir, "best"), pointed(stage_dir, "latest")}
    for old in steps[:-keep]:
        if old not in pinned:
            # Renamed first: a kill in the middle must not leave a broken checkpoint under its name.
            shutil.rmtree(old.rename(old.with_name(f".{old.name}.tmp")))


def check(folder: Path) -> dict:
    """Reads model.json and compares the files' hashes with it. Raises MinitronError for a broken checkpoint."""
    try:
        about = json.loads((folder / "model.json").read_text())
        for name, sha256 in about["sha256"].items():
            if sha256_file(folder / name) != sha256:
                raise MinitronError(f"{folder / name} is damaged: its contents are not what was written", hint=_MEND)
        return about
    except FileNotFoundError as error:
        raise MinitronError(f"the checkpoint {folder} lacks {Path(error.filename).name}", hint=_MEND) from None
    except (ValueError, KeyError, AttributeError) as error:
        raise MinitronError(f"{folder / 'model.json'} is damaged", hint=_MEND) from error


_MEND = "delete that checkpoint and run the stage again: it goes on from the one before"


def load_model(folder: Path, *, device: torch.device | str = "cpu") -> tuple[LanguageModel, dict]:
    """The model in evaluation mode and what model.json says. Raises MinitronError for a broken checkpoint."""
    about = check(folder)
    model = LanguageModel(ModelConfig(**about["model"]), about["vocab_size"])
    load_weights(model, folder)
    return model.to(device).eval(), about


def load_weights(model: LanguageModel, folder: Path) -> None:
    """Copies the checkpoint's tensors into a model of the same shape."""
    try:
        tensors = load_file(folder / "model.safetensors")
        model.load_state_dict(tensors, strict=True)
    except (safetensors.SafetensorError, OSError) as error:
        raise MinitronError(f"{folder / 'model.safetensors'} is damaged", hint=_MEND) from error
    except RuntimeError as error:
        raise MinitronError(
            f"{folder} holds a model of another shape",
            hint="its shape is in model.json beside it; or --force a new run",
        ) from error


def load_trainer(folder: Path) -> dict[str, Any]:
    """Optimizer and position, as `save` got them."""
    return torch.load(folder / "trainer.pt", map_location="cpu", weights_only=True)


def newest_whole(stage_dir: Path) -> Path | None:
    """The newest checkpoint that is whole and can be resumed from; broken ones are named and passed over."""
    for folder in sorted((stage_dir / "checkpoints").glob("step-*"), reverse=True):
        try:
            if "trainer.pt" in check(folder)["sha256"]:
                return folder
        except MinitronError as error:
            warn(f"{error}; going on from the one before")
    return None


def finished(stage_dir: Path, stage: str) -> Path:
    """The checkpoint that the next stage reads: `best`. Raises MinitronError where the stage has not finished."""
    best = pointed(stage_dir, "best")
    if best is None:
        raise MinitronError(f"there is no finished model in {stage_dir}", hint=f"run: minitron {stage} RECIPE")
    return best
