"""Two models on the same prompts: failures with confidence intervals, held-out loss, probes, answers side by side.

    minitron compare runs/demo/sft runs/demo/kto

Each of the two is a stage's folder (its best checkpoint is used) or a checkpoint. Both get the prompts and the tokenizer of the first
one's run. Writes compare.json into that run's folder, and a section into its report.html. Knows nothing about training.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from minitron.core.console import say, warn
from minitron.core.device import pick_device
from minitron.core.errors import MinitronError
from minitron.core.files import atomic_write, read_object, sha256_file
from minitron.evaluate import report
from minitron.evaluate.card import Card
from minitron.evaluate.comparison import Comparison
from minitron.evaluate.examiner import Examiner
from minitron.recipe.layout import pointed
from minitron.recipe.load import load_recipe
from minitron.recipe.schema import Config
from minitron.tokenizer import kinds
from minitron.train import checkpoint


def run(first: str, second: str, *, prompts: int) -> None:
    folders = [find(first), find(second)]
    if folders[0] == folders[1]:
        raise MinitronError(f"{first} and {second} are the same model", hint="name two", code=2)
    config = config_of(folders[0])
    if prompts:
        config = replace(config, eval=replace(config.eval, prompts=prompts))
    layout = config.layout
    if not (layout.packed("pretrain", "valid") if config.base else layout.dialogues("valid")).exists():
        raise MinitronError(
            f"{layout.run} has nothing held out to compare on",
            hint="name first the model of a run with data; an imported model second",
        )
    tokenizer = kinds.load(config.layout.tokenizer)
    models = [checkpoint.load_model(folder, device=pick_device(config.device))[0] for folder in folders]
    for folder, model in zip(folders, models, strict=True):
        if model.vocab_size != tokenizer.vocab_size:
            raise MinitronError(
                f"{folder} has {model.vocab_size} tokens, the tokenizer of {layout.run} has {tokenizer.vocab_size}",
                hint="compare models of one tokenizer",
            )
        if model.context_limit < config.model.context:
            raise MinitronError(
                f"{folder} has a context of {model.config.context} tokens, {layout.run} one of {config.model.context}",
                hint="name the model with the shorter context first",
                code=2,
            )
    run = folders[1].absolute().parent.parent.parent  # that the second one is in, if it is in any
    beside = run / "tokenizer" / "tokenizer.model"
    if beside.exists() and sha256_file(beside) != sha256_file(layout.tokenizer):
        raise MinitronError(
            f"{layout.run} and the run of {folders[1]} have different tokenizers",
            hint="compare models of one tokenizer",
        )
    examiner, answers, figures = Examiner(config, tokenizer), [], []
    for name, model in zip((first, second), models, strict=True):
        examiner.title = name
        answers.append(examiner.answers(model))
        figures.append(examiner.figures(model, answers=answers[-1]))
    figures = [replace(one, failures=f) for one, f in zip(figures, examiner.failures(answers), strict=True)]
    comparison = Comparison.of([str(folder) for folder in folders], *figures)
    atomic_write(layout.comparison, json.dumps(comparison.to_json(), indent=1, ensure_ascii=False))
    show(comparison)
    say(f"compare: all of it is in {layout.comparison}")
    if layout.card.exists():
        try:
            card = Card.from_json(read_object(layout.card))
        except (KeyError, TypeError, ValueError, AttributeError):
            warn(f"{layout.card} is damaged, so there is no page of it; to write both anew: minitron eval RECIPE")
            return
        atomic_write(layout.page, report.html(layout, card))
        say(f"compare: {layout.page} shows it, with answers side by side")


def find(text: str) -> Path:
    """The best checkpoint of a stage's folder, or the checkpoint itself. Raises MinitronError where `text` names neither."""
    path = Path(text)
    if (path / "model.safetensors").exists():
        return path
    best = pointed(path, "best")
    if best is None:
        raise MinitronError(
            f"{text} is neither a checkpoint nor the folder of a finished stage",
            hint="name two such as runs/demo/sft and runs/demo/kto",
            code=2,
        )
    return best


def config_of(folder: Path) -> Config:
    """The recipe of the run that a checkpoint such as runs/demo/sft/checkpoints/step-000100 is in. Raises MinitronError where it is in no
    run under ./runs."""
    stage = folder.absolute().parent.parent
    if not (stage / "config.toml").exists() or not (Path("runs").exists() and stage.parent.parent.samefile("runs")):
        raise MinitronError(
            f"{folder} is not in a run under ./runs", hint="go to the folder that has runs/ in it", code=2
        )
    return load_recipe(stage / "config.toml", name=stage.parent.name)


def show(comparison: Comparison) -> None:
    """Prints the table on stdout."""
    table = Table("measure", *comparison.models, "change, 95% (*: beyond chance)")
    for measure in comparison.measures:
        table.add_row(*measure.cells())
    Console(highlight=False, emoji=False, width=None if sys.stdout.isatty() else 140).print(table)
