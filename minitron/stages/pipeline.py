"""Which stages a recipe has, what each reads and makes, and whether it is still up to date.

A stage is up to date when the settings it uses, the contents of the files it reads (hashes, never times) and the contents
of the files it made are what `stage.json` in its folder says. A stage sees only the options that it declares here (`View`), so
no option that decides what it makes can be forgotten. A stage's module is imported only when it runs.
"""

import dataclasses
import gc
import importlib
import json
import shutil
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minitron.core import distributed, heap, lock, out_of_memory
from minitron.core.console import logging_to, say, warn
from minitron.core.errors import MinitronError
from minitron.core.files import atomic_write, read_object, remove_leftovers, sha256_json
from minitron.core.hashes import Hashes
from minitron.core.text import is_unicode, mended
from minitron.data.sources import find_files
from minitron.program import go
from minitron.program.bundle import BUNDLE_FILES
from minitron.recipe import mixture
from minitron.recipe.alignment import Sampling
from minitron.recipe.layout import Layout, pointed
from minitron.recipe.schema import Config
from minitron.recipe.view import View
from minitron.recipe.write import dump_recipe

FORMAT = 2  # raise it when a stage begins to make something else from the same inputs


@dataclass(frozen=True)
class Stage:
    """One stage, and what it may read.

    `sections` are the options that decide what the stage makes: whole sections (`model`) or single options (`export.top_k`).
    `also` adds those that do so in some recipes only. `beside` are options that affect only what is said and logged. The stage
    can read no other options. `reads` and `makes` give files. A `resumable` stage goes on where it stopped. An `optional` stage
    is only in recipes that have its section, and a stage of `dialogues` is not in recipes for a base model.
    """

    name: str
    sections: tuple[str, ...]
    reads: Callable[[Config], list[Path]]
    makes: Callable[[Config], list[Path]]
    also: Callable[[Config], tuple[str, ...]] = lambda config: ()
    beside: tuple[str, ...] = ()
    lower: str = "use a smaller model, or a machine with more memory"  # what to do if memory runs out
    resumable: bool = False
    shared: bool = False  # runs in all processes of torchrun; other stages run in the first one while the rest wait
    optional: bool = False
    dialogues: bool = False
    needed: Callable[[Config], bool] = lambda config: True  # by what is not in the recipe, such as a file of labels

    def decide(self, config: Config) -> tuple[str, ...]:
        """The options that are part of the fingerprint."""
        return (*self.sections, *self.also(config))

    def view(self, config: Config) -> View:
        """What the stage gets to see of the recipe."""
        return View(config, (*self.decide(config), *self.beside))

    def wanted(self, config: Config) -> bool:
        there = not self.optional or getattr(config, self.name) is not None
        return there and not (self.dialogues and config.base) and self.needed(config)


def _data(config: Config, *names: str) -> list[Path]:
    return [] if config.base else [config.layout.dialogues(name) for name in names]


def _dialogues(config: Config) -> list[Path]:
    """Files that the data stage reads. A dataset from a hub is not among them: it counts as unchanged."""
    found = (find_files(part.config.files) for part in mixture.ingredients(config.data))
    return list(dict.fromkeys(path for files in found for path in files))


def _text(config: Config) -> list[Path]:
    """Files with raw text. A dataset from a hub is not among them: it counts as unchanged."""
    return find_files(config.pretrain.files, option="pretrain.files", text=True) if config.pretrain else []


def _mixture(config: Config) -> list[Path]:
    """Files that the tokenizer learns from in place of the recipe's text."""
    patterns = [pattern for part in config.tokenizer.mixture for pattern in part.files]
    return find_files(patterns, option="tokenizer.mixture", text=True) if patterns else []


def _tokenizer(config: Config) -> Path:
    return config.layout.tokenizer


def _best(config: Config, stage: str) -> list[Path]:
    """The file `best` of a stage, and the weights that it points to."""
    folder = config.layout.stage(stage)
    best = pointed(folder, "best") or config.layout.checkpoint(stage, "none")
    return [folder / "best", best / "model.safetensors"]


def _packed(config: Config, stage: str) -> Path:
    """The file that stands for the held-out rows that a stage packed, since it holds their hashes."""
    return config.layout.packed(stage, "valid") / "pack.json"


def _trained_on(config: Config) -> Path:
    """The file that stands for the training rows of sft (of pretrain for a base model), by which q4 is rounded."""
    return config.layout.packed("pretrain" if config.base else "sft", "train") / "pack.json"


def _inherited(config: Config, *stages: str) -> list[Path]:
    """Files of the run that `init` names: its tokenizer, or, if stages are given, its weights, if one of these stages begins with them."""
    if not config.init:
        return []
    layout = Layout(Path(config.init))
    if not stages:
        return [layout.tokenizer]
    found = layout.last_trained
    mine = any(getattr(config, stage) and getattr(config, stage).init for stage in stages)
    return [found[1] / "model.safetensors"] if found and mine else []


def _bundle(config: Config) -> list[Path]:
    return [config.layout.bundle / name for name in BUNDLE_FILES]


def _go_sources() -> list[Path]:
    return sorted(p for p in go.SOURCES.rglob("*") if p.suffix in (".go", ".s", ".mod", ".html", ".css", ".js"))


CHAT = tuple(f"export.{spec.name}" for spec in dataclasses.fields(Sampling))  # how the chat program samples
TEXT = tuple(
    f"pretrain.{name}" for name in ("files", "hub", "hub_config", "hub_split", "column", "valid_fraction", "clean")
)
KTO_OPTIM = tuple(f"optim.{name}" for name in ("name", "weight_decay", "beta1", "beta2", "eps", "grad_clip"))

TRAIN_LOWER = (
    "lower {0}.batch_rows (and raise {0}.accumulation), set {0}.recompute, or lower model.context or model.d_model"
)

STAGES = [
    Stage(
        "data",
        ("data",),
        reads=_dialogues,
        makes=lambda c: _data(c, "train", "valid", "probes"),
        lower="give it less: data.max_rows",
        dialogues=True,
    ),
    Stage(
        "tokenizer",
        ("tokenizer", *TEXT),
        also=lambda c: (
            *(() if c.base else ("model.context",)),  # which dialogues are too long for sft
            *(("sft.init", "pretrain.init") if c.init else ()),
        ),
        reads=lambda c: [
            *_inherited(c),
            *_data(c, "train", "valid"),
            *_text(c),
            *_mixture(c),
            *filter(None, [c.tokenizer.rules_file]),
        ],
        makes=lambda c: [_tokenizer(c)],
        lower="lower tokenizer.max_train_chars",
    ),
    Stage(
        "pretrain",
        ("model", "pretrain"),
        beside=CHAT,
        reads=lambda c: [_tokenizer(c), *_text(c), *_inherited(c, "pretrain")],
        makes=lambda c: [*_best(c, "pretrain"), _packed(c, "pretrain")],
        lower=TRAIN_LOWER.format("pretrain"),
        resumable=True,
        shared=True,
        optional=True,
    ),
    Stage(
        "sft",
        ("model", "sft"),
        beside=(*CHAT, "data.valid_fraction"),
        reads=lambda c: [
            _tokenizer(c),
            *_data(c, "train", "valid"),
            *(_best(c, "pretrain") if c.pretrain else _inherited(c, "sft")),
        ],
        makes=lambda c: _best(c, "sft"),
        lower=TRAIN_LOWER.format("sft"),
        resumable=True,
        shared=True,
        dialogues=True,
    ),
    Stage(
        "reject",
        ("data", "reject", "model.context"),
        also=lambda c: CHAT if c.reject and c.reject.chosen == "model" else (),
        reads=lambda c: [
            _tokenizer(c),
            *_data(c, "train"),
            *_best(c, "sft"),
            *(find_files(c.reject.files, option="reject.files") if c.reject else []),
        ],
        makes=lambda c: [c.layout.pairs, c.layout.apart],
        lower="lower reject.batch_rows",
        optional=True,
        dialogues=True,
    ),
    Stage(
        "kto",
        (*KTO_OPTIM, "kto", "eval", "reject.presets", "model.context", *CHAT),
        reads=lambda c: [
            _tokenizer(c),
            c.layout.pairs,
            *_data(c, "train", "valid", "probes"),
            *_best(c, "sft"),
        ],
        makes=lambda c: _best(c, "kto"),
        lower="lower kto.batch_rows and eval.batch_rows",
        resumable=True,
        optional=True,
        dialogues=True,
    ),
    Stage(
        "feedback",
        (*KTO_OPTIM, "data", "feedback", "eval", "reject.presets", "model.context", *CHAT),
        reads=lambda c: [
            _tokenizer(c),
            c.labels_file,
            *_data(c, "train", "valid", "probes"),
            *_best(c, c.finished),
        ],
        makes=lambda c: _best(c, "feedback"),
        lower="lower feedback.batch_rows, feedback.replay_rows and eval.batch_rows",
        resumable=True,
        optional=True,
        dialogues=True,
        needed=lambda c: c.labelled,
    ),
    Stage(
        "eval",
        ("eval", "reject.presets", "model.context", *CHAT),
        reads=lambda c: [
            _tokenizer(c),
            *_data(c, "train", "valid", "probes"),
            *([*_best(c, "pretrain"), _packed(c, "pretrain")] if c.base else _best(c, "sft")),
            *(_best(c, "kto") if c.kto else []),
            _trained_on(c),
            *(_best(c, "feedback") if c.labelled else []),
        ],
        makes=lambda c: [c.layout.card, c.layout.page, c.layout.probes(c.shipped)],
        lower="lower eval.batch_rows",
    ),
    Stage(
        "export",
        ("export", "data.sources", "model.context"),
        reads=lambda c: [
            _tokenizer(c),
            *([_packed(c, "pretrain")] if c.base else _data(c, "valid")),
            *_best(c, c.shipped),
            _trained_on(c),
            *([Path(c.export.icon)] if c.export.icon else []),
        ],
        makes=_bundle,
    ),
    Stage(
        "binary",
        ("eval.max_tokens",),
        reads=lambda c: [*_bundle(c), *_go_sources(), c.layout.probes(c.shipped)],
        makes=lambda c: [c.layout.dist / go.program_name(None)],
    ),
]
NAMES = [stage.name for stage in STAGES]


def settings_of(stage: Stage, config: Config) -> dict[str, Any]:
    """The options that decide what a stage makes: section -> its options, without those that decide nothing, or option -> value."""
    return {name: _deciding(config, name) for name in stage.decide(config)}


def _deciding(config: Config, name: str) -> Any:
    value, section = config.section(name), getattr(config, name, None)
    if not dataclasses.is_dataclass(section):
        return value
    return {spec.name: value[spec.name] for spec in dataclasses.fields(section) if spec.metadata.get("decides", True)}


def fingerprint(stage: Stage, config: Config, hashes: Hashes) -> dict:
    """Everything that decides what a stage makes. A path that is not a file is left out: the stage itself reports it."""
    reads = {str(path): hashes.of(path) for path in stage.reads(config) if path.is_file()}
    now = {"format": FORMAT, "seed": config.seed, "settings": settings_of(stage, config), "reads": reads}
    return json.loads(json.dumps(now))  # as `started.json` will give it back


def up_to_date(stage: Stage, config: Config, now: dict, hashes: Hashes) -> bool:
    stamp = read_object(config.layout.stage(stage.name) / "stage.json")
    made = stamp.get("made")
    if stamp.get("from") != sha256_json(now) or not isinstance(made, dict):
        return False
    return all(path.is_file() and made.get(str(path)) == hashes.of(path) for path in stage.makes(config))


def run_stage(stage: Stage, config: Config, *, force: bool = False) -> bool:
    """Runs a stage unless it is up to date. Returns whether it ran."""
    if not stage.shared and distributed.world() > 1:
        return distributed.on_rank0(lambda: run_stage(stage, config, force=force))
    folder = config.layout.stage(stage.name)
    with ExitStack() as held:

        def begin_alone() -> dict | None:
            check_name(config)
            held.enter_context(lock.held(folder))
            for place in (folder, config.layout.run):
                remove_leftovers(place)
            return enter(stage, config, folder, force=force)

        now = distributed.on_rank0(begin_alone)
        if now is None:
            return False
        with logging_to(folder / "log"), out_of_memory.explained(stage.name, hint=stage.lower):
            run = importlib.import_module(f"minitron.stages.{stage.name}").run
            gc.collect()  # what an earlier stage left
            heap.give_back()
            gc.freeze()  # imported objects stay anyway: searching them for garbage took a tenth of sampling's time
            run(stage.view(config))
        distributed.on_rank0(lambda: leave(stage, config, folder, now))
    return True


def enter(stage: Stage, config: Config, folder: Path, *, force: bool) -> dict | None:
    """Makes the stage's folder ready and returns the stage's fingerprint; None if the stage is up to date."""
    check_owner(config)
    hashes = Hashes(config.layout.hashes)
    now = fingerprint(stage, config, hashes)
    warn_of_earlier(stage, config)
    done = not force and up_to_date(stage, config, now, hashes)
    hashes.save()
    if done:
        say(f"{stage.name}: done already", style="dim")
        return None
    say(f"[{stage.name}]", style="bold cyan")
    begin(stage, folder, now, parts=config.layout.parts(stage.name), force=force)
    atomic_write(folder / "config.toml", dump_recipe(config))
    atomic_write(folder / "started.json", json.dumps(now, indent=1))
    return now


def check_name(config: Config) -> None:
    """Raises MinitronError where the recipe's path is not UTF-8, in which files of the run hold it."""
    if not is_unicode(path := str(config.recipe)):
        raise MinitronError(f"the name of {mended(path)} is not UTF-8", hint="rename it", code=2)


def check_owner(config: Config) -> None:
    """Notes in the run's folder that it belongs to this recipe. Raises MinitronError where it belongs to another recipe of the same file
    name that still exists."""
    owner, recipe = config.layout.owner, config.recipe.resolve()
    mine = (recipe.relative_to(Path.cwd()) if recipe.is_relative_to(Path.cwd()) else recipe).as_posix()
    theirs = owner.read_text(encoding="utf-8", errors="replace").strip() if owner.is_file() else ""
    if theirs == mine:
        return
    if theirs and Path(theirs).is_file() and not Path(theirs).samefile(config.recipe):
        raise MinitronError(
            f"{config.layout.run} holds the models of {theirs}, not of {mine}",
            hint="a recipe's file name names its run: rename one of the two, or move that folder away",
        )
    atomic_write(owner, mine + "\n")


def warn_of_earlier(stage: Stage, config: Config) -> None:
    """Warns of stages before this one that were made with other settings than those of the recipe and the command line now."""
    for earlier in _before(stage, config):
        started = read_object(config.layout.stage(earlier.name) / "started.json")
        changes = differences(_dict(started.get("settings")), json.loads(json.dumps(settings_of(earlier, config))))
        if started and started.get("format") == FORMAT and changes:
            warn(
                f"{earlier.name} was made with other settings, which {stage.name} takes as they are: "
                f"{'; '.join(changes[:5])}. To make it anew, run: minitron run {config.recipe} --to {stage.name}, with the same key=value options"
            )


def _before(stage: Stage, config: Config) -> list[Stage]:
    """The stages whose files this one reads, and in turn the stages whose files those read, in the order of STAGES."""
    reads, found = stage.reads(config), []
    for other in reversed(STAGES[: NAMES.index(stage.name)]):
        if other.wanted(config) and not set(reads).isdisjoint(other.makes(config)):
            found.append(other)
            with suppress(MinitronError):  # raw data may be gone, since it was read already
                reads = [*reads, *other.reads(config)]
    return found[::-1]


def leave(stage: Stage, config: Config, folder: Path, now: dict) -> None:
    """Writes `stage.json`, which says what the stage made and that it is done."""
    hashes = Hashes(config.layout.hashes)
    made = {str(p): hashes.of(p) for p in stage.makes(config)}
    hashes.save()
    atomic_write(folder / "stage.json", json.dumps({"from": sha256_json(now), "made": made}, indent=1))


def begin(stage: Stage, folder: Path, now: dict, *, parts: Path, force: bool) -> None:
    """Clears what an earlier run of the stage left in its folder; a folder with checkpoints is renamed, not deleted.

    A resumable stage with checkpoints and unchanged settings keeps everything and goes on with it. Raises MinitronError where a
    training run with other settings is unfinished.
    """
    started, trained = read_object(folder / "started.json"), any(folder.glob("checkpoints/step-*"))
    changes = differences(started, now)
    if started and started.get("format") != FORMAT:
        changes = ["it was made by another version of minitron"]
    if stage.resumable and trained and not force:
        if not changes:
            (folder / "stage.json").unlink(missing_ok=True)
            return
        if not (folder / "stage.json").exists():
            raise MinitronError(
                f"{folder} holds an unfinished run with other settings: " + "; ".join(changes[:5]),
                hint="set them back to go on with it, or add --force to begin anew",
            )
    if started and changes and not force:
        say(f"{stage.name}: made before with other settings: {'; '.join(changes[:5])}")
    if trained:  # hours of work: it is kept, however often this happens
        old = _aside(folder)
        folder.rename(old)
        say(f"{stage.name}: what was there is now in {old}, which you may delete")
    if force or changes:
        for packed in folder.glob("packed-*"):  # they may hold other text, or other tokens
            shutil.rmtree(packed)
        if stage.resumable:  # the precision and the like that were chosen for other settings
            (folder / "report.json").unlink(missing_ok=True)
    if force:
        shutil.rmtree(parts, ignore_errors=True)
    (folder / "stage.json").unlink(missing_ok=True)


def _aside(folder: Path) -> Path:
    """A free name for a folder that is kept: sft.old, then sft.old-2."""
    names = (f"{folder.name}.old" + (f"-{n}" if n > 1 else "") for n in range(1, 1 << 30))
    return next(path for path in map(folder.with_name, names) if not path.exists())


def differences(before: dict, now: dict, where: str = "") -> list[str]:
    """`optim.lr was 0.001, is 0.0003` for every value that differs."""
    found = []
    before = _dict(before)
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
    """The recipe's stages from `first` to `last`. Raises MinitronError where the recipe does not have one of these two, or there are no
    stages between them."""
    for stage in (STAGES[NAMES.index(name)] for name in (first, last) if name):
        if stage.dialogues and config.base:
            hint = "name some in data.files, data.hub or data.synth_rows"
            raise MinitronError(f"{config.recipe} has text and no dialogues: a base model", hint=hint, code=2)
        if not stage.needed(config):
            hint = "add what people sent you: minitron labels add RECIPE FILE"
            raise MinitronError(f"there are no labels in {config.labels_file}", hint=hint, code=2)
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


def _dict(value: Any) -> dict:
    return value if isinstance(value, dict) else {}
