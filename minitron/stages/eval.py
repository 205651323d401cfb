"""The report card: held-out loss, probes, failure rates, before and after kto. Run: minitron eval recipes/demo.toml.

Reads data/{train,valid,probes}.parquet, the tokenizer, sft/best and kto/best (of a base model pretrain/best and the held-out
text that pretrain packed); writes report.json and report.html into the run's folder. Knows nothing about training.
"""

import json

from minitron.core.console import say, warn
from minitron.core.device import pick_device
from minitron.core.files import atomic_write
from minitron.evaluate import report
from minitron.evaluate.examiner import Examiner
from minitron.model.language_model import LanguageModel
from minitron.quant import arithmetic
from minitron.quant.panels import DTYPES
from minitron.recipe.schema import Config
from minitron.tokenizer import kinds
from minitron.train import checkpoint

WRONG = 50  # wrong answers shown in the report


def run(config: Config) -> None:
    tokenizer = kinds.load(config.layout.tokenizer)
    stages = ["sft", "kto"] if config.kto else [config.shipped]
    card = {"name": config.name, "tokenizer": {"vocab_size": tokenizer.vocab_size}, "models": {}}
    examiner = Examiner(config, tokenizer)
    for stage in stages:
        folder = checkpoint.finished(config.layout.stage(stage), stage)
        model, about = checkpoint.load_model(folder, device=pick_device(config.device))
        card["params"] = model.count_params()
        examiner.title = f"eval: {stage}"
        card["models"][stage] = {"step": about["step"]} | measure(config, examiner, model, stage)
    shown = card["models"][stages[-1]]
    card["shipped"] = stages[-1]
    if shown["loss"] is not None:
        card["dtypes"] = cost_of_bits(examiner, model, shown["bits_per_byte"])
    if shown["probes"]:
        card["probe_accuracy"] = shown["probes"]["accuracy"]
    atomic_write(config.layout.card, json.dumps(card, indent=1, ensure_ascii=False))
    atomic_write(config.layout.page, report.html(config.layout.run, card))
    tell(card)
    say(f"eval: the whole report is in {config.layout.page}")


def measure(config: Config, examiner: Examiner, model: LanguageModel, stage: str) -> dict:
    """All figures of one model; what was asked and answered goes into eval/probes-<stage>.jsonl."""
    probes = examiner.probes(model)
    if probes:
        answers = probes.pop("answers")
        lines = "".join(json.dumps(answer, ensure_ascii=False) + "\n" for answer in answers)
        atomic_write(config.layout.probes(stage), lines)
        wrong = [a for a in answers if not a["right"]][:WRONG]
        probes["wrong"] = [
            {"skill": a["skill"], "question": a["messages"][-1]["content"], "answer": a["answer"], "check": a["check"]}
            for a in wrong
        ]
    figures = examiner.loss(model) | {"probes": probes, "failures": examiner.failures(model)}
    return figures | {"continuations": examiner.continuations(model)}


def cost_of_bits(examiner: Examiner, model: LanguageModel, exact: float) -> dict:
    """Held-out bits per byte with the matrices and the arithmetic of each dtype that export can write, and the change."""
    costs = {}
    for dtype in DTYPES:
        bits = examiner.loss(arithmetic.as_program(model, dtype))["bits_per_byte"]
        costs[dtype] = {"bits_per_byte": bits, "change": bits / exact - 1}
    return costs


def tell(card: dict) -> None:
    """The report card in a few lines."""
    for stage, m in card["models"].items():
        loss = f"held-out loss {m['loss']:.4f}, {m['bits_per_byte']:.4f} bits per byte" if m["loss"] is not None else ""
        asked = f"; probes {m['probes']['accuracy']:.1%} of {m['probes']['asked']}" if m["probes"] else ""
        say(f"eval: {stage}: {loss}{asked}")
        if m["failures"]:
            rates = m["failures"]["all"]
            say(
                "eval: "
                + " " * len(stage)
                + "  "
                + ", ".join(f"{k} {v:.1%}" for k, v in rates.items() if k != "answers")
            )
    if "dtypes" in card:
        costs = ", ".join(f"{dtype} {cost['change']:+.2%}" for dtype, cost in card["dtypes"].items())
        say(f"eval: bits per byte as export can store it, against fp32: {costs}")
    first, last = list(card["models"].values())[0], list(card["models"].values())[-1]
    if first["failures"]:
        worse = [k for k in ("loop", "runaway", "canned") if last["failures"]["all"][k] > first["failures"]["all"][k]]
        if worse:
            warn(f"after kto there are more answers of the kind {', '.join(worse)}")
