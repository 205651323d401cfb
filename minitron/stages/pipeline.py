"""Runs a stage unless it is up to date, and keeps what an earlier run made.

A stage is up to date when the settings it uses, the contents of the files it reads (hashes, never times) and the contents
of the files it made are what `stage.json` in its folder says; `declared` says which settings and files these are. A stage's module is
imported only when it runs.
"""

import dataclasses
import gc
import importlib
import json
import shutil
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

from minitron.core import distributed, heap, lock, out_of_memory
from minitron.core.console import logging_to, say, warn
from minitron.core.errors import MinitronError
from minitron.core.files import atomic_write, read_object, remove_leftovers, sha256_json
from minitron.core.hashes import Hashes
from minitron.core.text import is_unicode, mended
from minitron.recipe.schema import Config
from minitron.recipe.write import dump_recipe
from minitron.stages.declared import NAMES, STAGES, Stage, named

FORMAT = 2  # raise it when a stage begins to make something else from the same inputs


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
                hint="set them back to go on with it; to begin anew, add --force, or move that folder away",
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
    for stage in (named(name) for name in (first, last) if name):
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
