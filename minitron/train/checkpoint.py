"""Checkpoints: a folder per step, whole or absent, checked when read.

    sft/checkpoints/step-000500/   model.safetensors  model.json  trainer.pt
    sft/best  sft/latest           one line: the name of a checkpoint; written last, by rename

With LoRA (`model.lora`) a step's folder holds adapter.safetensors, the factors A and B, in place of the model, and `best`
names the folder `merged`, which holds the whole model: the weights that training began with, with the change added.

model.safetensors carries Hugging Face's (llama) or nanoGPT's (nanogpt) tensor names. A folder is written under a
temporary name, synced and renamed, and only then are older ones deleted: a crash, a full disk or a power cut leaves the
earlier checkpoints as they were.
"""

import dataclasses
import errno
import json
import shutil
from collections.abc import Iterator
from contextlib import suppress
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
from minitron.core.files import (
    atomic_folder,
    atomic_write,
    remove_folder,
    remove_leftovers,
    sha256_file,
    write_error,
)
from minitron.model import lora
from minitron.model.language_model import LanguageModel
from minitron.recipe.layout import pointed
from minitron.train import model_json

ADAPTER = "adapter.safetensors"
FILES = ("model.safetensors", ADAPTER, "trainer.pt")  # their hashes are in model.json
MERGED = "merged"
_MEND = model_json.HINT  # what to do about a checkpoint that is damaged


def save(
    stage_dir: Path, model: LanguageModel, *, step: int, info: dict, trainer: dict | None = None, name: str = ""
) -> Path:
    """Writes checkpoint `name` (default: the step), makes `latest` name it, and returns its folder. `info` goes into model.json,
    `trainer` into trainer.pt. With LoRA and `trainer` the folder holds the adapter without the model. All processes of a run
    must call it; the first one writes. A sharded model is saved as a whole one.
    """
    if distributed.sharded(model):
        model.reshard()  # a validation leaves some of the weights gathered
    about = {"model": dataclasses.asdict(model.config), "vocab_size": model.vocab_size, "step": step}
    adapted, files = lora.attached(model), {}
    if adapted:
        files[ADAPTER] = lora.state(model)
        about["lora"] = lora.about(model)
    if trainer is None or not adapted:
        files["model.safetensors"] = lora.weights(model)
    files, trainer = distributed.whole(files), distributed.whole(trainer)
    final = stage_dir / "checkpoints" / name if name else _of_step(stage_dir, step)
    distributed.on_rank0(partial(_write, final, files, trainer, about, info))
    return final


def _write(final: Path, files: dict[str, dict[str, Tensor]], trainer: dict | None, about: dict, info: dict) -> None:
    stage_dir = final.parent.parent
    try:
        with atomic_folder(final) as work:
            for name, weights in files.items():
                tensors = {key: w.detach().to("cpu", torch.float32).contiguous() for key, w in weights.items()}
                save_file(tensors, work / name, metadata={"format": "pt"})
            if trainer is not None:
                torch.save(trainer, work / "trainer.pt")
            hashes = {"sha256": {p.name: sha256_file(p) for p in sorted(work.iterdir())}}
            (work / "model.json").write_text(json.dumps(about | hashes | info, indent=1), encoding="utf-8")
    except (RuntimeError, safetensors.SafetensorError) as error:
        # torch and safetensors wrap the operating system's reason in errors of their own; ask the disk itself
        if shutil.disk_usage(stage_dir).free < 16 * sum(
            w.numel() for weights in files.values() for w in weights.values()
        ):
            raise write_error(OSError(errno.ENOSPC, ""), path=final) from error
        raise
    point(stage_dir, "latest", final.name)


def _of_step(stage_dir: Path, step: int) -> Path:
    return stage_dir / "checkpoints" / f"step-{step:06d}"


def point(stage_dir: Path, pointer: str, name: str) -> None:
    """Makes `best` or `latest` name a checkpoint."""
    if distributed.rank() == 0:
        atomic_write(stage_dir / pointer, name + "\n")


def choose(stage_dir: Path, model: LanguageModel, folder: Path) -> None:
    """Makes `best` name the checkpoint `folder`, which the model was loaded from or saved to. With LoRA it first writes the whole
    model as `merged`, and `best` names that."""
    if lora.attached(model):
        about = check(folder)
        info = {key: about[key] for key in ("stage", "valid_loss") if key in about}
        folder = save(stage_dir, model, step=about["step"], info=info, name=MERGED)
    point(stage_dir, "best", folder.name)


def steps(stage_dir: Path) -> list[Path]:
    """The folders of all steps, in the order of steps."""
    found = [(folder.name.removeprefix("step-"), folder) for folder in (stage_dir / "checkpoints").glob("step-*")]
    return [folder for _, folder in sorted((int(step), folder) for step, folder in found if step.isdecimal())]


def prune(stage_dir: Path, *, keep: int) -> None:
    """Deletes old checkpoints. Keeps the newest `keep`, those that `best` and `latest` name, and the step that `merged` was made from."""
    if distributed.rank():
        return
    remove_leftovers(stage_dir / "checkpoints")
    best = pointed(stage_dir, "best")
    pinned = {best, pointed(stage_dir, "latest")}
    if best and best.name == MERGED:
        pinned.add(_of_step(stage_dir, json.loads((best / "model.json").read_text(encoding="utf-8"))["step"]))
    for old in steps(stage_dir)[:-keep]:
        if old not in pinned:
            remove_folder(old)


def check(folder: Path) -> dict:
    """Reads model.json and compares the files' hashes with it. Raises MinitronError for a broken checkpoint."""
    try:
        about = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        if not all(isinstance(about[key], dict) for key in ("model", "sha256")) or type(about["step"]) is not int:
            raise _damaged(folder)
        for name, sha256 in about["sha256"].items():
            if name not in FILES:  # which also refuses a path out of the folder
                raise _damaged(folder)
            if sha256_file(folder / name) != sha256:
                raise MinitronError(f"{folder / name} is damaged: its contents are not what was written", hint=_MEND)
        return about
    except FileNotFoundError as error:
        raise MinitronError(f"the checkpoint {folder} lacks {Path(error.filename).name}", hint=_MEND) from None
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(folder) from error


def _damaged(folder: Path) -> MinitronError:
    return MinitronError(f"{folder / 'model.json'} is damaged", hint=_MEND)


def is_whole(folder: Path | None) -> bool:
    """Whether the checkpoint exists and is undamaged."""
    try:
        return folder is not None and bool(check(folder))
    except MinitronError:
        return False


def validated(stage_dir: Path) -> Iterator[tuple[float, Path]]:
    """The validation loss and the folder of each step's checkpoint that is undamaged and has such a loss."""
    for folder in steps(stage_dir):
        with suppress(MinitronError):
            loss = check(folder).get("valid_loss")
            if isinstance(loss, float):
                yield loss, folder


def load_model(folder: Path, *, device: torch.device | str = "cpu") -> tuple[LanguageModel, dict]:
    """The model in evaluation mode, and the contents of model.json. Raises MinitronError for a broken checkpoint."""
    about = check(folder)
    model = LanguageModel(*model_json.read_shape(folder, about))
    load_weights(model, folder)
    return model.to(device).eval(), about


def load_weights(model: LanguageModel, folder: Path) -> None:
    """Copies the checkpoint's tensors, with LoRA the adapter's, into a model of the same shape. Raises MinitronError if they do not fit."""
    adapted = lora.attached(model)
    file = folder / (ADAPTER if adapted else "model.safetensors")
    try:
        tensors = load_file(file)
        if not all(tensor.is_floating_point() for tensor in tensors.values()):
            raise MinitronError(f"{file} holds no weights to train", hint=_MEND)
        if adapted and tensors.keys() != lora.state(model).keys():
            raise RuntimeError("of other matrices")
        model.load_state_dict(tensors, strict=not adapted)
    except (safetensors.SafetensorError, OSError) as error:
        raise MinitronError(f"{file} is damaged", hint=_MEND) from error
    except RuntimeError as error:
        raise MinitronError(
            f"{folder} holds a model of another shape",
            hint="set [model] as in its model.json, or add --force to begin anew",
        ) from error


def load_trainer(folder: Path, *, state: type | None = None) -> dict[str, Any]:
    """The contents of trainer.pt, as `save` got them. If `state`, a dataclass, is given, the item "state" is an instance of it.

    Raises MinitronError if trainer.pt holds anything else.
    """
    file = folder / "trainer.pt"
    try:
        trainer = torch.load(file, map_location="cpu", weights_only=True)
        if not isinstance(trainer["optimizer"], list):
            raise TypeError("no optimizer")
        return trainer | ({"state": _filled(state, trainer["state"])} if state else {})
    except MemoryError:
        raise
    except Exception as error:  # torch raises whatever a broken or hostile file leads to
        raise MinitronError(f"{file} holds nothing to go on from", hint=_MEND) from error


def _filled(kind: type, values: dict) -> Any:
    """An instance of the dataclass `kind` with these values; dataclasses within it are built likewise. Raises TypeError for an
    unknown name, and for a value of another type than the default's."""
    made, usual = kind(**values), kind()
    for spec in dataclasses.fields(kind):
        default, value = getattr(usual, spec.name), getattr(made, spec.name)
        if dataclasses.is_dataclass(default) and isinstance(value, dict):
            setattr(made, spec.name, _filled(type(default), value))
            continue
        kinds = (float, int) if isinstance(default, float) else type(default)
        if not isinstance(value, kinds) or (spec.name == "step" and value < 0):
            raise TypeError(f"{spec.name} is {value!r}")
    return made


def load_optimizer(optimizer: Any, trainer: dict[str, Any], folder: Path) -> None:
    """Gives the optimizer the state that `load_trainer` read from `folder`. Raises MinitronError if it is another optimizer's."""
    try:
        optimizer.load_state_dict(trainer["optimizer"])
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise MinitronError(f"{folder / 'trainer.pt'} is of another optimizer", hint=_MEND) from error


def newest_whole(stage_dir: Path, *, state: type | None = None) -> Path | None:
    """The newest undamaged checkpoint that training can go on from, or None. Damaged ones are skipped with a warning."""
    for folder in reversed(steps(stage_dir)):
        try:
            if "trainer.pt" in check(folder)["sha256"]:
                load_trainer(folder, state=state)
                return folder
        except MinitronError as error:
            warn(f"{error}; going on from the one before")
    return None


def finished(stage_dir: Path, stage: str) -> Path:
    """The checkpoint that the next stage reads: `best`. Raises MinitronError if there is none."""
    best = pointed(stage_dir, "best")
    if best is None:
        raise MinitronError(f"there is no finished model in {stage_dir}", hint=f"run: minitron {stage} RECIPE")
    return best
