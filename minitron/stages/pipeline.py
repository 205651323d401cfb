"""Which stages a recipe has, what each reads and makes, and whether it is still up to date.

A stage is up to date when the settings it uses, the contents of the files it reads (hashes, never times) and the contents
of the files it made are what `stage.json` in its folder says. Imports a stage only when it runs.
"""

import dataclasses
import importlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from minitron.core import distributed
from minitron.core.console import logging_to, say
from minitron.core.errors import MinitronError
from minitron.core.files import atomic_write, sha256_file, sha256_json
from minitron.data.sources import find_files
from minitron.program import go
from minitron.recipe import schema
from minitron.recipe.schema import Config
from minitron.recipe.write import dump_recipe

FORMAT = 1  # raise it when a stage starts to make something else from the same inputs


@dataclass(frozen=True)
class Stage:
    """`sections` are the parts of the recipe that matter; `reads` and `makes` give files, `resumable` goes on where it stopped.
    Only recipes with its section have an `optional` stage, and no base model has a stage of `dialogues`."""

    name: str
    sections: tuple[str, ...]
    reads: Callable[[Config], list[Path]]
    makes: Callable[[Config], list[Path]]
    resumable: bool = False
    shared: bool = False  # by all processes of torchrun; other stages are the first one's, while the rest wait
    optional: bool = False
    dialogues: bool = False

    def wanted(self, config: Config) -> bool:
        return not (self.dialogues and config.base) and (not self.optional or getattr(config, self.name) is not None)


def _data(config: Config, *names: str) -> list[Path]:
    return [] if config.base else [config.layout.dialogues(name) for name in names]


def _text(config: Config) -> list[Path]:
    """Files with raw text; a dataset of a hub counts as unchanged."""
    return find_files(config.pretrain.files, option="pretrain.files", text=True) if config.pretrain else []


def _tokenizer(config: Config) -> Path:
    return config.layout.tokenizer


def _best(config: Config, stage: str) -> list[Path]:
    """The pointer and the weights it names."""
    pointer = config.layout.stage(stage) / "best"
    name = pointer.read_text().strip() if pointer.exists() else "none"
    return [pointer, config.layout.checkpoint(stage, name) / "model.safetensors"]


def _bundle(config: Config) -> list[Path]:
    return [Path("export") / name for name in ("weights.bin", "vocab.json", "config.json")]


def _go_sources() -> list[Path]:
    return sorted(p for p in go.SOURCES.rglob("*") if p.suffix in (".go", ".s", ".mod", ".html", ".css", ".js"))


CHAT = tuple(f"export.{spec.name}" for spec in dataclasses.fields(schema.Sampling))  # how the chat program draws

TEXT = tuple(f"pretrain.{name}" for name in ("files", "hub", "hub_config", "hub_split", "column", "valid_fraction"))

STAGES = [
    Stage(
        "data",
        ("data",),
        reads=lambda c: find_files(c.data.files),
        makes=lambda c: _data(c, "train", "valid", "probes"),
        dialogues=True,
    ),
    Stage(
        "tokenizer",
        ("tokenizer", "model.context", *TEXT),
        reads=lambda c: [*_data(c, "train"), *_text(c)],
        makes=lambda c: [_tokenizer(c)],
    ),
    Stage(
        "pretrain",
        ("model", "optim", "pretrain"),
        reads=lambda c: [_tokenizer(c), *_text(c)],
        makes=lambda c: _best(c, "pretrain"),
        resumable=True,
        shared=True,
        optional=True,
    ),
    Stage(
        "sft",
        ("model", "optim", "sft"),
        reads=lambda c: [_tokenizer(c), *_data(c, "train", "valid"), *(_best(c, "pretrain") if c.pretrain else [])],
        makes=lambda c: _best(c, "sft"),
        resumable=True,
        shared=True,
        dialogues=True,
    ),
    Stage(
        "reject",
        ("data", "reject"),
        reads=lambda c: [
            _tokenizer(c),
            *_data(c, "train"),
            *_best(c, "sft"),
            *(find_files(c.reject.files, option="reject.files") if c.reject else []),
        ],
        makes=lambda c: [c.layout.pairs, c.layout.apart],
        optional=True,
        dialogues=True,
    ),
    Stage(
        "kto",
        ("optim", "kto", "eval", "reject.presets", *CHAT),
        reads=lambda c: [
            _tokenizer(c),
            c.layout.pairs,
            *_data(c, "train", "valid", "probes"),
            *_best(c, "sft"),
        ],
        makes=lambda c: _best(c, "kto"),
        resumable=True,
        optional=True,
        dialogues=True,
    ),
    Stage(
        "eval",
        ("eval", "reject.presets", *CHAT),
        reads=lambda c: [
            _tokenizer(c),
            *_data(c, "train", "valid", "probes"),
            *(_best(c, "pretrain") if c.base else _best(c, "sft")),
            *(_best(c, "kto") if c.kto else []),
        ],
        makes=lambda c: [c.layout.card, c.layout.page],
    ),
    Stage(
        "export",
        ("export", "data"),
        reads=lambda c: [_tokenizer(c), *_best(c, c.shipped), *([Path(c.export.icon)] if c.export.icon else [])],
        makes=_bundle,
    ),
    Stage(
        "binary",
        (),
        reads=lambda c: [*_bundle(c), *_go_sources(), c.layout.probes(c.shipped)],
        makes=lambda c: [Path("dist") / go.program_name(None)],
    ),
]
NAMES = [stage.name for stage in STAGES]


def fingerprint(stage: Stage, config: Config) -> dict:
    """Everything that decides what a stage makes."""
    settings = {name: config.section(name) for name in stage.sections}
    reads = {}
    for path in stage.reads(config):
        if path.exists():
            reads[str(path)] = sha256_file(path)
    return {"format": FORMAT, "seed": config.seed, "settings": settings, "reads": reads}


def up_to_date(stage: Stage, config: Config, now: dict) -> bool:
    stamp = _read_json(config.layout.stage(stage.name) / "stage.json")
    if stamp.get("from") != sha256_json(now):
        return False
    made = stage.makes(config)
    return all(p.exists() and stamp["made"].get(str(p)) == sha256_file(p) for p in made)


def run_stage(stage: Stage, config: Config, *, force: bool = False) -> bool:
    """Runs a stage unless it is up to date. Returns whether it ran."""
    if not stage.shared and distributed.world() > 1:
        return distributed.on_rank0(lambda: run_stage(stage, config, force=force))
    folder = config.layout.stage(stage.name)
    now = distributed.on_rank0(lambda: enter(stage, config, folder, force=force))
    if now is None:
        return False
    with logging_to(folder / "log"):
        importlib.import_module(f"minitron.stages.{stage.name}").run(config)
    distributed.on_rank0(lambda: leave(stage, config, folder, now))
    return True


def enter(stage: Stage, config: Config, folder: Path, *, force: bool) -> dict | None:
    """Makes the stage's folder ready and returns what decides its outcome; None where it is up to date."""
    now = fingerprint(stage, config)
    if not force and up_to_date(stage, config, now):
        say(f"{stage.name}: done already", style="dim")
        return None
    say(f"[{stage.name}]", style="bold cyan")
    begin(stage, folder, now, force=force)
    folder.mkdir(parents=True, exist_ok=True)
    atomic_write(folder / "config.toml", dump_recipe(config))
    atomic_write(folder / "started.json", json.dumps(now, indent=1))
    return now


def leave(stage: Stage, config: Config, folder: Path, now: dict) -> None:
    """Notes what the stage made, and that it is done."""
    made = {str(p): sha256_file(p) for p in stage.makes(config)}
    atomic_write(folder / "stage.json", json.dumps({"from": sha256_json(now), "made": made}, indent=1))


def begin(stage: Stage, folder: Path, now: dict, *, force: bool) -> None:
    """Clears what an earlier run left, unless this one goes on with it.

    Raises MinitronError where that would throw away an unfinished training run made with other settings.
    """
    started = _read_json(folder / "started.json")
    unfinished = stage.resumable and not (folder / "stage.json").exists() and any(folder.glob("checkpoints/step-*"))
    if unfinished and not force:
        changes = list(differences(started, now))
        if not changes:
            return
        raise MinitronError(
            f"{folder} holds an unfinished run with other settings: " + "; ".join(changes[:5]),
            hint="set them back to go on with it, or add --force to begin anew",
        )
    if any(folder.glob("checkpoints/step-*")):  # hours of work: kept until the next time
        old = folder.with_name(f"{folder.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        folder.rename(old)
        say(f"{stage.name}: what was there is now in {old}")
    if force or list(differences(started, now)):
        for packed in folder.glob("packed-*"):  # of other text, or in other tokens
            shutil.rmtree(packed)
    (folder / "stage.json").unlink(missing_ok=True)


def differences(before: dict, now: dict, where: str = "") -> list[str]:
    """`optim.lr was 0.001, is 0.0003` for every value that differs."""
    found = []
    for key in sorted(before.keys() | now.keys()):
        old, new, name = before.get(key), now.get(key), f"{where}{key}"
        if isinstance(old, dict) and isinstance(new, dict):
            found += differences(old, new, "" if key == "settings" else f"{name}.")
        elif old != new and where == "reads.":
            found.append(f"{key} has changed")
        elif old != new:
            found.append(f"{name} was {old}, is {new}")
    return found


def select(config: Config, first: str | None, last: str | None) -> list[Stage]:
    """The recipe's stages from `first` to `last`. Raises MinitronError where there are none."""
    for stage in (STAGES[NAMES.index(name)] for name in (first, last) if name):
        if stage.dialogues and config.base:
            hint = "name some in data.files, data.hub or data.synth_rows"
            raise MinitronError(f"{config.recipe} has text and no dialogues: a base model", hint=hint, code=2)
        if not stage.wanted(config):
            what = "with files or hub" if stage.name == "pretrain" else "empty if the defaults suit"
            hint = f"add a section [{stage.name}], {what}"
            raise MinitronError(f"{config.recipe} has no [{stage.name}]", hint=hint, code=2)
    start = NAMES.index(first) if first else 0
    stop = NAMES.index(last) + 1 if last else len(NAMES)
    stages = [s for s in STAGES[start:stop] if s.wanted(config)]
    if not stages:
        raise MinitronError(f"{last} comes before {first}", hint="stages run in the order of --help", code=2)
    return stages


def _read_json(path: Path) -> dict:
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return {}
