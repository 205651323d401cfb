"""Labels from friends: checked, counted, and kept for the next run. Run: minitron labels add recipes/demo.toml anna.json

They are kept in labels/<recipe>.jsonl beside the recipe, one label per line; a person may read and edit that file. Knows nothing
about what is learnt from them.
"""

import json
from collections import Counter
from pathlib import Path

from minitron.core import lock
from minitron.core.console import say, tell, visible, warn
from minitron.core.errors import MinitronError
from minitron.data import labels
from minitron.data.labels import Label, NoLabels
from minitron.recipe.schema import Config

ANOTHER_MODEL = "of another model"
DUPLICATE = "there already"
SHOWN_CHARACTERS = 300  # of a text, where labels are shown
Read = tuple[labels.Model, list[Label], Counter[str]]  # a file's labels, and how many of it were dropped, by reason


def add(config: Config, files: list[Path], *, any_model: bool = False) -> None:
    """Adds the labels in the files, says how many are new and why others are left out, and shows the new ones. Raises MinitronError where
    none is new and a file held no labels."""
    if config.base:
        hint = "labels are for models that answer; a recipe with dialogues makes one"
        raise MinitronError(f"{config.recipe} makes a base model, which learns nothing from labels", hint=hint, code=2)
    read = [(file, _read(file)) for file in files]  # a file that is not there is told before anything is made
    with lock.held(config.layout.stage("labels")):
        _add(config, read, any_model=any_model)


def _add(config: Config, files: list[tuple[Path, Read | NoLabels]], *, any_model: bool) -> None:
    path = config.labels_file
    kept = labels.load(path)
    known, before, unread = {label.key for label in kept}, len(kept), 0
    now = versions(config)
    for file, read in files:
        if isinstance(read, NoLabels):
            warn(f"{read}: {read.hint}")
            unread += 1
            continue
        model, found, dropped = read
        if not any_model and model.name != config.title:
            dropped[f"{ANOTHER_MODEL}, '{model.name}' (--any-model takes them)"] += len(found)
            found = []
        new = []
        for label in found:
            if label.key in known:
                dropped[DUPLICATE] += 1
            else:
                known.add(label.key)
                new.append(label)
        kept += new
        version = "" if model.sha256 in now else " (about answers of another version of the model)"
        left_out = "".join(f"; {count} left out: {reason}" for reason, count in dropped.most_common())
        say(f"{file}: {len(new)} new label{'s' * (len(new) != 1)}{version}{left_out}")
        for label in new:
            show(label)
    if len(kept) == before and unread:
        raise MinitronError("there is nothing new to learn from in these files", hint="see the lines above")
    if len(kept) > before:
        labels.keep(path, kept)
    summary(config, kept)
    if html := sum(label.has_html for label in kept[before:]):
        say(f"{html} of the new ones hold HTML, which the model would learn to write")
    if len(kept) > before:
        say(f"to learn from them, run: minitron run {config.recipe}")


def _read(file: Path) -> Read | NoLabels:
    try:
        return labels.read(file)
    except NoLabels as error:
        return error


def versions(config: Config) -> set[str]:
    """SHA-256 of the recipe's present weights: those exported for the chat program, and those that `minitron chat` loads."""
    found = set()
    trained = config.layout.last_trained
    for path, keys in (
        (config.layout.bundle / "config.json", ("weights", "sha256")),
        *([(trained[1] / "model.json", ("sha256", "model.safetensors"))] if trained else []),
    ):
        try:
            value = json.loads(path.read_text(encoding="utf-8"))
            for key in keys:
                value = value[key]
            found.add(value)
        except (OSError, ValueError, LookupError, TypeError):
            continue
    return found


def show_all(config: Config) -> None:
    """Shows all labels that are kept."""
    kept = labels.load(config.labels_file)
    for label in kept:
        show(label)
    summary(config, kept)


def summary(config: Config, kept: list[Label]) -> None:
    """Says how many labels there are, and how many answers to learn and to unlearn they give."""
    if not kept:
        say(f"there are no labels in {config.labels_file}")
        return
    count, dropped = Counter(label.kind for label in kept), Counter[str]()
    said = labels.chosen_and_rejected(kept, dropped)
    good, bad = ([json.dumps(one.prompt) for one in said if one.label is kind] for kind in (True, False))
    known = set(good)
    unlearnt = sum(prompt not in known for prompt in bad)  # where a good answer is known, it is learnt instead
    fixes = "1 fix" if count["fix"] == 1 else f"{count['fix']} fixes"
    learnt = "1 answer" if len(good) == 1 else f"{len(good)} answers"
    neither = "".join(f"; {n} {'is' if n == 1 else 'are'} neither: {reason}" for reason, n in dropped.items())
    say(
        f"{config.labels_file}: {count['good']} good, {count['bad']} bad, {fixes}: {learnt} to learn, {unlearnt} to unlearn{neither}"
    )


def show(label: Label) -> None:
    """Prints a label in a few lines on stdout."""

    def line(name: str, text: str) -> None:
        text = " ".join(visible(text).split())
        tell(f"  {name:<9} {text[:SHOWN_CHARACTERS] + ('...' if len(text) > SHOWN_CHARACTERS else '')}")

    earlier = len(label.messages) - 1
    tell(f"{label.kind}{f', {label.time}' if label.time else ''}{f', after {earlier} messages' if earlier else ''}")
    line("user", label.messages[-1]["content"])
    line("answer", label.answer)
    if label.fix:
        line("fix", label.fix)
    if label.why:
        line("why", label.why)
