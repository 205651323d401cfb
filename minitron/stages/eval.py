"""The report card: held-out loss, probes, failure rates, before and after kto. Run: minitron eval recipes/demo.toml.

Reads data/{train,valid,probes}.parquet, the tokenizer, sft/best and kto/best; writes report.json and report.html into the
run's folder. Knows nothing about training.
"""

import dataclasses
import itertools
import json
import math
import random
import tempfile
from collections import defaultdict
from pathlib import Path

from minitron import chatml, checkpoint, dialogues, failures, lowbit, probes, report
from minitron.config import Config, Sampling
from minitron.console import say, warn
from minitron.errors import MinitronError
from minitron.files import atomic_write
from minitron.generate import ask
from minitron.model import LanguageModel, pick_device
from minitron.packing import PackedRows, Sequence, pack
from minitron.quantize import DTYPES
from minitron.tokenizer import Tokenizer
from minitron.trainer import mean_loss

SAMPLES = 12  # answers shown side by side in the report


def run(config: Config) -> None:
    tokenizer = Tokenizer(config.stage_dir("tokenizer") / "tokenizer.model")
    stages = ["sft", "kto"] if config.kto else ["sft"]
    card = {"name": config.name, "tokenizer": {"vocab_size": tokenizer.vocab_size}, "models": {}}
    for stage in stages:
        folder = checkpoint.finished(config.stage_dir(stage), stage)
        model, about = checkpoint.load_model(folder, device=pick_device(config.device))
        card["params"] = model.count_params()
        card["models"][stage] = {"step": about["step"]} | measure(config, tokenizer, model, stage)
    shown = card["models"][stages[-1]]
    card["shipped"] = stages[-1]
    if shown["loss"] is not None:
        card["dtypes"] = cost_of_bits(config, tokenizer, model, shown["bits_per_byte"])
    if shown["probes"]:
        card["probe_accuracy"] = shown["probes"]["accuracy"]
    atomic_write(config.run_dir / "report.json", json.dumps(card, indent=1, ensure_ascii=False))
    atomic_write(config.run_dir / "report.html", report.html(config.run_dir, card))
    tell(card)
    say(f"eval: the whole report is in {config.run_dir / 'report.html'}")


def measure(config: Config, tokenizer: Tokenizer, model: LanguageModel, stage: str) -> dict:
    """All figures of one model."""
    return held_out(config, tokenizer, model) | {
        "probes": ask_probes(config, tokenizer, model, stage),
        "failures": failure_rates(config, tokenizer, model, stage),
    }


def held_out(config: Config, tokenizer: Tokenizer, model: LanguageModel) -> dict:
    """Loss in nats per target token, and bits per byte: nats / (ln 2 * bytes of the answers)."""
    context = model.config.context

    def sequences():
        for dialogue in dialogues.read(config.stage_dir("data") / "valid.parquet"):
            ids, mask = chatml.encode_dialogue(dialogue["messages"], tokenizer)
            answers = sum(len(m["content"].encode()) for m in dialogue["messages"] if m["role"] == "assistant")
            if len(ids) <= context + 1:
                yield Sequence(ids, mask, answers)

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "valid"
        pack(sequences(), context=context, vocab_size=tokenizer.vocab_size, out=out)
        rows = PackedRows(out)
        if not len(rows):
            return {"loss": None, "bits_per_byte": None}
        loss = mean_loss(model, rows, limit=0, batch_rows=16)
        bits = loss * rows.targets / math.log(2) / max(1, rows.target_bytes)
    return {"loss": loss, "bits_per_byte": bits}


def cost_of_bits(config: Config, tokenizer: Tokenizer, model: LanguageModel, exact: float) -> dict:
    """Held-out bits per byte with the matrices and the arithmetic of each dtype that export can write, and the change."""
    costs = {}
    for dtype in DTYPES:
        bits = held_out(config, tokenizer, lowbit.as_program(model, dtype))["bits_per_byte"]
        costs[dtype] = {"bits_per_byte": bits, "change": bits / exact - 1}
    return costs


def ask_probes(config: Config, tokenizer: Tokenizer, model: LanguageModel, stage: str) -> dict:
    """Greedy answers to held-out questions whose answers a rule can check."""
    chosen = [p for p in choose_probes(config) if _fits(p["messages"][:-1], tokenizer, model)]
    if not chosen:
        return {}
    greedy = Sampling(temperature=0.0, max_tokens=config.eval.max_tokens)
    texts, _ = ask(
        model,
        tokenizer,
        [p["messages"][:-1] for p in chosen],
        sampling=greedy,
        seed=config.seed,
        batch_rows=config.eval.batch_rows,
        title=f"eval: {stage}: probes",
    )
    by_skill, wrong, lines = defaultdict(list), [], []
    for probe, text in zip(chosen, texts, strict=True):
        right = probes.passes(text, probe["check"])
        by_skill[probe["skill"]].append(right)
        lines.append({"messages": probe["messages"][:-1], "check": probe["check"], "answer": text, "right": right})
        if not right:
            question = probe["messages"][-2]["content"]
            wrong.append({"skill": probe["skill"], "question": question, "answer": text, "check": probe["check"]})
    asked = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    atomic_write(config.stage_dir("eval") / f"probes-{stage}.jsonl", asked)
    everything = [right for results in by_skill.values() for right in results]
    return {
        "accuracy": sum(everything) / len(everything),
        "asked": len(everything),
        "skills": {s: {"accuracy": sum(r) / len(r), "asked": len(r)} for s, r in sorted(by_skill.items())},
        "wrong": wrong[:50],
    }


def choose_probes(config: Config) -> list[dict]:
    """`eval.probes` of the probes, by turns from every skill so that each is asked; the same ones for the same seed."""
    by_skill = defaultdict(list)
    for probe in dialogues.read(config.stage_dir("data") / "probes.parquet"):
        if probe["check"]:
            by_skill[probe["skill"]].append(probe)
    for skill in sorted(by_skill):
        random.Random(f"{config.seed} {skill}").shuffle(by_skill[skill])
    turns = itertools.zip_longest(*(by_skill[skill] for skill in sorted(by_skill)))
    chosen = [probe for turn in turns for probe in turn if probe is not None]
    return chosen[: config.eval.probes or None]


def failure_rates(config: Config, tokenizer: Tokenizer, model: LanguageModel, stage: str) -> dict:
    """Rates of each failure with the sampling of each preset and with the chat program's own, on held-out prompts."""
    asked = held_out_prompts(config, tokenizer, model)
    if not asked:
        return {}
    ways = {"chat": config.export.sampling()}
    if config.reject:
        ways |= {name: preset.sampling(preset.max_tokens) for name, preset in config.reject.presets.items()}
    out, everything = {}, []
    for name, way in ways.items():
        sampling = dataclasses.replace(way, max_tokens=min(way.max_tokens, config.eval.max_tokens))
        texts, ended = ask(
            model,
            tokenizer,
            [prompt for prompt, _ in asked],
            sampling=sampling,
            seed=config.seed,
            batch_rows=config.eval.batch_rows,
            title=f"eval: {stage}: {name}",
        )
        judged = failures.judge(texts, ended=ended, references=[reference for _, reference in asked])
        everything += judged
        samples = [
            {"prompt": prompt[-1]["content"], "answer": text, "reference": reference, "failures": j.failures}
            for (prompt, reference), text, j in list(zip(asked, texts, judged, strict=True))[:SAMPLES]
        ]
        out[name] = failures.rates(judged) | {"answers": len(judged), "samples": samples}
    return {"all": failures.rates(everything) | {"answers": len(everything)}, **out}


def held_out_prompts(config: Config, tokenizer: Tokenizer, model: LanguageModel) -> list[tuple[list[dict], str]]:
    """Distinct validation dialogues cut before one of their answers: (messages so far, that answer)."""
    chance, asked, known = random.Random(config.seed), [], set()
    everything = list(dialogues.read(config.stage_dir("data") / "valid.parquet"))
    chance.shuffle(everything)
    for dialogue in everything:
        messages = dialogue["messages"]
        at = chance.choice([i for i, m in enumerate(messages) if m["role"] == "assistant"])
        key = json.dumps(messages[:at])
        if key not in known and _fits(messages[:at], tokenizer, model):
            known.add(key)
            asked.append((messages[:at], messages[at]["content"]))
        if len(asked) == config.eval.prompts:
            break
    return asked


def _fits(messages: list[dict], tokenizer: Tokenizer, model: LanguageModel) -> bool:
    """Whether a quarter of the context is free for the answer."""
    try:
        return not chatml.fit(messages, tokenizer, context=model.config.context, max_tokens=model.config.context)[1]
    except MinitronError:
        return False


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
