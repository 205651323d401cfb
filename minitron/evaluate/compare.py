"""Two models on the same prompts: failures with confidence intervals, held-out loss, probes, answers side by side.

    minitron compare runs/demo/sft runs/demo/kto

Each of the two is a stage's folder (its best checkpoint) or a checkpoint; both are asked what the run of the first asks, in
its tokenizer. Writes compare.json into that run's folder, and a section into its report.html. Knows nothing about training.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from minitron.core.console import say
from minitron.core.device import pick_device
from minitron.core.errors import MinitronError
from minitron.core.files import atomic_write
from minitron.evaluate import report
from minitron.evaluate.examiner import Examiner
from minitron.evaluate.intervals import change_interval, interval
from minitron.model.language_model import LanguageModel
from minitron.recipe.load import load_recipe
from minitron.recipe.schema import Config
from minitron.tokenizer import kinds
from minitron.tokenizer.base import Tokenizer
from minitron.train import checkpoint

RATES = {
    "failing": "answers that fail",
    "loop": "loops",
    "runaway": "runaways",
    "canned": "canned",
    "ended": "ended by itself",
}
SIDE_BY_SIDE = 5  # answers of each way of sampling


def run(first: str, second: str, *, prompts: int) -> None:
    folders = [find(first), find(second)]
    if folders[0] == folders[1]:
        raise MinitronError(f"{first} and {second} are the same model", hint="name two", code=2)
    config = config_of(folders[0])
    config = replace(config, eval=replace(config.eval, prompts=prompts or config.eval.prompts))
    tokenizer = kinds.load(config.layout.tokenizer)
    names, cards = [first, second], []
    for name, folder in zip(names, folders, strict=True):
        model, _ = checkpoint.load_model(folder, device=pick_device(config.device))
        if model.vocab_size != tokenizer.vocab_size:
            raise MinitronError(
                f"{folder} has {model.vocab_size} tokens, the tokenizer of {config.layout.run} has {tokenizer.vocab_size}",
                hint="compare models of one tokenizer",
            )
        cards.append(measure(config, tokenizer, model, name))
    card = {"models": [str(folder) for folder in folders], "rows": rows(*cards), "answers": side_by_side(*cards)}
    atomic_write(config.layout.comparison, json.dumps(card, indent=1, ensure_ascii=False))
    show(card)
    say(f"compare: all of it is in {config.layout.comparison}")
    if (config.layout.card).exists():
        whole = json.loads((config.layout.card).read_text(encoding="utf-8"))
        atomic_write(config.layout.page, report.html(config.layout.run, whole))
        say(f"compare: {config.layout.page} shows it, with answers side by side")


def find(text: str) -> Path:
    """The checkpoint of a stage's folder, or the checkpoint itself."""
    path = Path(text)
    if (path / "model.safetensors").exists():
        return path
    best = checkpoint.pointed(path, "best")
    if best is None:
        raise MinitronError(
            f"{text} is neither a checkpoint nor the folder of a finished stage",
            hint="name two such as runs/demo/sft and runs/demo/kto",
            code=2,
        )
    return best


def config_of(folder: Path) -> Config:
    """The recipe of the run that a checkpoint is in: runs/demo/sft/checkpoints/step-000100."""
    stage = folder.absolute().parent.parent
    if not (stage / "config.toml").exists() or not (Path("runs").exists() and stage.parent.parent.samefile("runs")):
        raise MinitronError(
            f"{folder} is not in a run under ./runs", hint="go to the folder that has runs/ in it", code=2
        )
    return load_recipe(stage / "config.toml", name=stage.parent.name)


def measure(config: Config, tokenizer: Tokenizer, model: LanguageModel, name: str) -> dict:
    examiner = Examiner(config, tokenizer, title=name)
    return examiner.loss(model) | {"probes": examiner.probes(model), "failures": examiner.failures(model)}


def rows(one: dict, two: dict) -> list[dict]:
    """A row per measure: both values, and for shares their 95% intervals and that of the change."""
    found = []
    if one["loss"] is not None:
        found += [{"measure": m, "values": [one[m], two[m]]} for m in ("loss", "bits_per_byte")]
    if one["probes"]:
        found.append(share("probe accuracy", one["probes"], two["probes"], "accuracy", "asked"))
    for way in one["failures"]:
        a, b = one["failures"][way], two["failures"][way]
        found += [share(f"{way}: {text}", a, b, rate, "answers") for rate, text in RATES.items()]
        found.append({"measure": f"{way}: distinct-2", "values": [a["distinct_2"], b["distinct_2"]]})
    return found


def share(measure: str, one: dict, two: dict, rate: str, count: str) -> dict:
    low, high = change_interval(one[rate], two[rate], one[count], two[count])
    return {
        "measure": measure,
        "values": [one[rate], two[rate]],
        "intervals": [interval(one[rate], one[count]), interval(two[rate], two[count])],
        "change": [low, high],
        "counts": [one[count], two[count]],
    }


def side_by_side(one: dict, two: dict) -> list[dict]:
    """Both answers to the first prompts of every way of sampling."""
    found = []
    for way in one["failures"]:
        pairs = zip(one["failures"][way].get("samples", []), two["failures"][way].get("samples", []), strict=True)
        for a, b in list(pairs)[:SIDE_BY_SIDE]:
            both = [{"answer": s["answer"], "failures": s["failures"]} for s in (a, b)]
            found.append({"sampling": way, "prompt": a["prompt"], "reference": a["reference"], "answers": both})
    return found


def show(card: dict) -> None:
    """The table on stdout."""
    table = Table("measure", *card["models"], "change, 95% (*: beyond chance)")
    for row in card["rows"]:
        table.add_row(*report.compared_cells(row))
    Console(highlight=False, width=None if sys.stdout.isatty() else 140).print(table)
