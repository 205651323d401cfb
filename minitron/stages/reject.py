"""Completions to learn from: the model's own failures, one preset per failure, and recorded ones. Run: minitron reject recipes/demo.toml.

Reads data/train.parquet, the tokenizer, sft/best and `reject.files`; writes reject/pairs.parquet with the columns `prompt`
(messages), `completion`, `label`, `preset`, `failure`. Each good answer (label true) is followed by the answer that the model gave
to the same prompt (label false), if that shows the failure that its preset is meant to show (`failures`). Pairs in which it shows
another failure go to apart.parquet. A stage that was stopped at any moment and is started again goes on and makes the same pairs.
Knows nothing about losses.
"""

import json
import re
from collections import Counter
from dataclasses import dataclass

from minitron.align import pairs
from minitron.align.pairs import Completion
from minitron.align.prompts import choose_prompts
from minitron.core.console import say, warn
from minitron.core.device import pick_device
from minitron.core.files import append_line, atomic_write, sha256_json, whole_lines
from minitron.data import labelled
from minitron.data.messages import Prompt
from minitron.evaluate import failures
from minitron.model.language_model import LanguageModel
from minitron.recipe.alignment import Preset, Sampling
from minitron.recipe.schema import Config
from minitron.sample.generate import ask
from minitron.tokenizer import kinds
from minitron.tokenizer.base import Tokenizer
from minitron.train import checkpoint

CHUNK = 512  # prompts whose answers are kept together: at most that much is lost when the stage is stopped


@dataclass(frozen=True)
class Sampler:
    """The model whose failures are collected. It keeps its answers on disk until all are there."""

    config: Config
    model: LanguageModel
    tokenizer: Tokenizer
    weights: str  # sha256

    def answers(
        self, title: str, prompts: list[list[dict]], sampling: Sampling, *, seed: int
    ) -> list[tuple[str, bool]]:
        """The answers to all prompts, and whether each ended by itself. Prompts whose answers are on disk are not asked again."""
        order = sorted(range(len(prompts)), key=lambda i: sum(len(message["content"]) for message in prompts[i]))
        prompts = [prompts[i] for i in order]  # prompts of like length are read together, with little padding
        about = {"sampling": vars(sampling), "seed": seed, "weights": self.weights, "prompts": sha256_json(prompts)}
        about |= {"batch_rows": self.config.reject.batch_rows}
        path = self.config.layout.stage("reject") / ("answers-" + re.sub(r"\W", "_", title) + ".jsonl")
        lines = whole_lines(path)
        if lines[:1] != [json.dumps(about)]:  # the file is missing, or answers other questions
            lines = [json.dumps(about)]
            atomic_write(path, lines[0] + "\n")
        done = [tuple(answer) for line in lines[1:] for answer in json.loads(line)]
        if done:
            say(f"reject: {title}: {len(done)} of {len(prompts)} answers are there already")
        while len(done) < len(prompts):
            texts, ended = ask(
                self.model,
                self.tokenizer,
                prompts[len(done) : len(done) + CHUNK],
                sampling=sampling,
                seed=seed * 1009 + len(done),
                batch_rows=self.config.reject.batch_rows,
                title=f"reject: {title} {len(done)}/{len(prompts)}",
            )
            part = list(zip(texts, ended, strict=True))
            append_line(path, json.dumps(part, ensure_ascii=False))
            done += part
        return [answer for _, answer in sorted(zip(order, done, strict=True))]


class Pile:
    """Pairs without repeats, since the model gives many prompts the same answer under several presets."""

    def __init__(self) -> None:
        self.pairs: dict[tuple[str, str], tuple[Completion, Completion]] = {}

    def add(self, chosen: Completion, rejected: Completion) -> None:
        self.pairs.setdefault((json.dumps(rejected.prompt), rejected.completion), (chosen, rejected))

    def rows(self, *, but: "Pile | None" = None) -> list[Completion]:
        """The completions of all pairs, or of those that are not in the pile `but`."""
        left_out = but.pairs if but else {}
        return [row for key, both in self.pairs.items() if key not in left_out for row in both]


def run(config: Config) -> None:
    settings, meant, other = config.reject, Pile(), Pile()
    report, recorded = {}, []
    if settings.prompts:
        tokenizer = kinds.load(config.layout.tokenizer)
        best = checkpoint.finished(config.layout.stage("sft"), "sft")
        model, about = checkpoint.load_model(best, device=pick_device(config.device))
        sampler = Sampler(config, model, tokenizer, about["sha256"]["model.safetensors"])
        for number, (name, preset) in enumerate(settings.presets.items()):
            asked = choose_prompts(config, tokenizer, count=settings.prompts, seed=config.seed * 1000 + number)
            found = fail(sampler, name, preset, asked, seed=config.seed + number)
            report[name] = found.report
            goods = choose(sampler, name, found, seed=config.seed + 100 + number)
            for (prompt, _), text, caught, good in zip(found.asked, found.texts, found.failures, goods, strict=True):
                pile = meant if preset.failure in caught or not preset.failure else other
                pile.add(good, Completion(prompt, text, False, name, "+".join(caught)))
    if settings.files:
        recorded, report["recorded"] = recorded_rows(config)
    rows = [*meant.rows(), *recorded]
    if not rows:
        warn("no answer showed a failure: there is nothing for kto to learn from")
    # an answer may show a failure that its preset is not meant to show, but another preset is: it is in `meant` then
    pairs.write(config.layout.apart, other.rows(but=meant))
    pairs.write(config.layout.pairs, rows)
    atomic_write(config.layout.stage_report("reject"), json.dumps(report, indent=1))
    for path in config.layout.stage("reject").glob("answers-*.jsonl"):
        path.unlink()


@dataclass(frozen=True)
class Failed:
    """The failing answers with one preset: prompts with recorded answers, the model's answers, and the failures that each shows.

    `canned` are the answers that were judged canned, as `failures.plain` texts; `report` is the preset's part of report.json.
    """

    asked: list[Prompt]
    texts: list[str]
    failures: list[list[str]]
    canned: set[str]
    report: dict


def fail(sampler: Sampler, name: str, preset: Preset, asked: list[Prompt], *, seed: int) -> Failed:
    """Asks all prompts with a preset's sampling, and keeps the answers that show any failure."""
    sampling = preset.sampling(sampler.config.reject.max_tokens or preset.max_tokens)
    answers = sampler.answers(name, [prompt for prompt, _ in asked], sampling, seed=seed)
    texts, ended = [text for text, _ in answers], [end for _, end in answers]
    judged = failures.judge(texts, ended=ended, references=[reference for _, reference in asked])
    kept = [i for i, j in enumerate(judged) if j.failures and texts[i]]
    meant = [i for i in kept if preset.failure in judged[i].failures or not preset.failure]
    rates = failures.FailureRates.of([[j] for j in judged]).values()
    shown = ", ".join(f"{k} {v:.1%}" for k, v in rates.items())
    aim = f"the failure {preset.failure}" if preset.failure else "a failure"
    say(f"reject: {name}: {len(meant)} of {len(texts)} answers show {aim}, {len(kept) - len(meant)} another ({shown})")
    return Failed(
        [asked[i] for i in kept],
        [texts[i] for i in kept],
        [judged[i].failures for i in kept],
        {failures.plain(texts[i]) for i in kept if judged[i].canned},
        {"answers": len(texts), "rejected": len(meant), "apart": len(kept) - len(meant), **rates},
    )


def choose(sampler: Sampler, name: str, found: Failed, *, seed: int) -> list[Completion]:
    """The good answer to each prompt.

    With `reject.chosen = "model"` it is one of `reject.best_of` answers of the model's own, sampled as the chat program samples:
    of those that show no failure and ended by themselves, the nearest in length to the rejected one. If there is none, and with
    `reject.chosen = "data"`, it is the recorded answer.
    """
    data = [Completion(prompt, reference, True, "data") for prompt, reference in found.asked]
    config = sampler.config
    if config.reject.chosen == "data":
        return data
    sampling, times = config.export.sampling(), config.reject.best_of
    prompts = [prompt for prompt, _ in found.asked for _ in range(times)]
    drawn = sampler.answers(f"{name}-chosen", prompts, sampling, seed=seed)
    chosen = []
    for i, (text, (prompt, reference)) in enumerate(zip(found.texts, found.asked, strict=True)):
        good = [
            answer
            for answer, ended in drawn[i * times : (i + 1) * times]
            if answer
            and not failures.is_loop(answer)
            and not failures.is_runaway(answer, ended=ended, reference=reference)
            and failures.plain(answer) not in found.canned
        ]
        nearest = min(good, key=lambda answer: abs(len(answer) - len(text)), default=None)
        chosen.append(data[i] if nearest is None else Completion(prompt, nearest, True, "model"))
    return chosen


def recorded_rows(config: Config) -> tuple[list[Completion], dict]:
    """The rows of `reject.files`, and a report of how many there are and why others were dropped."""
    dropped: Counter = Counter()
    rows = [Completion(o.prompt, o.completion, o.label, "recorded") for o in labelled.read(config, dropped)]
    chosen = sum(row.label for row in rows)
    report = {"chosen": chosen, "rejected": len(rows) - chosen, "dropped": dict(dropped)}
    left_out = "".join(f", {count} left out ({reason})" for reason, count in dropped.items())
    say(f"reject: {chosen} chosen and {len(rows) - chosen} rejected recorded completions{left_out}")
    return rows, report
