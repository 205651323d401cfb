"""The report card: held-out loss, probes, failure rates, before and after kto, or before and after what people labelled. Run: minitron eval recipes/demo.toml.

Reads data/{train,valid,probes}.parquet, the tokenizer, sft/best, kto/best and feedback/best (for a base model pretrain/best and the
held-out text that pretrain packed), and packed training rows to measure what q4 costs. Writes report.json and report.html into the
run's folder. Knows nothing about training.
"""

import json
from dataclasses import replace

from minitron.core.console import say, warn
from minitron.core.device import pick_device
from minitron.core.files import atomic_write
from minitron.evaluate import report
from minitron.evaluate.card import Card, DtypeCost, Figures, ModelCard, Probes
from minitron.evaluate.examiner import Examiner
from minitron.evaluate.failures import KINDS, Answers
from minitron.model.language_model import LanguageModel
from minitron.quant import arithmetic
from minitron.quant.panels import DTYPES
from minitron.recipe.schema import Config
from minitron.tokenizer import kinds
from minitron.train import calibrate, checkpoint


def run(config: Config) -> None:
    tokenizer = kinds.load(config.layout.tokenizer)
    stages = [config.finished, "feedback"] if config.labelled else ["sft", "kto"] if config.kto else [config.shipped]
    examiner, models, answers = Examiner(config, tokenizer), {}, []
    for stage in stages:
        folder = checkpoint.finished(config.layout.stage(stage), stage)
        model, about = checkpoint.load_model(folder, device=pick_device(config.device))
        examiner.title = f"eval: {stage}"
        answers.append(examiner.answers(model))
        models[stage] = ModelCard(about["step"], measure(config, examiner, model, stage, answers=answers[-1]))
    for stage, found in zip(stages, examiner.failures(answers), strict=True):  # of all models together
        models[stage] = replace(models[stage], figures=replace(models[stage].figures, failures=found))
    dtypes = cost_of_bits(examiner, model, models[stages[-1]].figures)
    card = Card(config.name, tokenizer.vocab_size, model.count_params(), models, dtypes)
    atomic_write(config.layout.card, json.dumps(card.to_json(), indent=1, ensure_ascii=False))
    atomic_write(config.layout.page, report.html(config.layout, card))
    tell(card)
    say(f"eval: the whole report is in {config.layout.page}")


def measure(config: Config, examiner: Examiner, model: LanguageModel, stage: str, *, answers: Answers) -> Figures:
    """All figures of one model, whose `answers` to the prompts are given. Writes the probes with the model's answers to
    eval/probes-<stage>.jsonl."""
    probes = examiner.probe_answers(model)
    lines = "".join(json.dumps(vars(answer), ensure_ascii=False) + "\n" for answer in probes)
    atomic_write(config.layout.probes(stage), lines)
    return examiner.figures(model, probes=Probes.of(probes) if probes else None, answers=answers)


def cost_of_bits(examiner: Examiner, model: LanguageModel, exact: Figures) -> dict[str, DtypeCost]:
    """Held-out bits per byte with the matrices and the arithmetic of each dtype that export can write; empty if nothing is held out, or
    if the model is so certain of it that no bits are left to compare with."""
    costs: dict[str, DtypeCost] = {}
    for dtype in DTYPES if exact.held_out and exact.held_out.bits_per_byte else ():
        moments = calibrate.of_run(examiner.config, model) if dtype == "q4" else None
        held_out = examiner.loss(arithmetic.as_program(model, dtype, moments))
        costs[dtype] = DtypeCost(held_out.bits_per_byte, held_out.bits_per_byte / exact.held_out.bits_per_byte - 1)
    return costs


def tell(card: Card) -> None:
    """Prints the report card in a few lines."""
    for stage, model in card.models.items():
        found, figures = model.figures, []
        if found.held_out:
            held_out = found.held_out
            figures.append(f"held-out loss {held_out.loss:.4f}, {held_out.bits_per_byte:.4f} bits per byte")
        if found.probes:
            figures.append(f"probes {found.probes.accuracy.value:.1%} of {found.probes.accuracy.count}")
        say(f"eval: {stage}: " + "; ".join(figures))
        if found.sources:
            losses = ", ".join(f"{name} {loss.loss:.4f} ({loss.dialogues:,})" for name, loss in found.sources.items())
            say("eval: " + " " * len(stage) + f"  held-out loss by source: {losses}")
        if found.failures:
            whole = found.failures["all"]
            rates = whole.rates.values() | {"distinct_2": whole.distinct_2}
            say("eval: " + " " * len(stage) + "  " + ", ".join(f"{kind} {rate:.1%}" for kind, rate in rates.items()))
    if card.dtypes:
        costs = ", ".join(f"{dtype} {cost.change:+.2%}" for dtype, cost in card.dtypes.items())
        say(f"eval: bits per byte as export can store it, against fp32: {costs}")
    if card.first.failures:
        before, after = (figures.failures["all"].rates.values() for figures in (card.first, card.last))
        if worse := [kind for kind in KINDS if after[kind] > before[kind]]:
            warn(f"after {card.shipped} there are more answers of the kind {', '.join(worse)}")
