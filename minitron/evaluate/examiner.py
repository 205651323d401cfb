"""Measures models of one recipe on the same questions: held-out loss, probes, failures, and how far they are from another model.

    examiner = Examiner(config, tokenizer)          # what eval asks
    chooser = Examiner(config, tokenizer, spare=True)  # other prompts, for choices that are made before eval
    figures = examiner.figures(model)

A base model has no dialogues; only its held-out loss and its `continuations` of held-out text are measured.

Knows nothing about how they were trained.
"""

import itertools
import json
import math
import random
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from minitron.core import parallel
from minitron.core.console import warn
from minitron.core.errors import MinitronError
from minitron.data import documents, encoding, store
from minitron.data.messages import Prompt
from minitron.data.packing import PackedRows, pack
from minitron.evaluate import checks, failures
from minitron.evaluate.card import Continuation, Failures, Figures, HeldOut, ProbeAnswer, Probes, Sample, SourceLoss
from minitron.evaluate.failures import Answers
from minitron.model.language_model import LanguageModel
from minitron.recipe.alignment import Sampling
from minitron.recipe.schema import Config
from minitron.sample.generate import Decoding, ask_each, generate
from minitron.tokenizer import chat_template
from minitron.tokenizer.base import Tokenizer
from minitron.tokenizer.chat_template import Message
from minitron.train.passes import mean_loss

SAMPLES = 12  # answers shown side by side in the report
CONTINUATIONS = 6  # of held-out text, shown in a base model's report
BATCH_ROWS = 16
SOURCES = 12  # at most, whose held-out loss is also measured separately


@dataclass(frozen=True)
class OnPolicy:
    """Figures of answers drawn from the policy itself, at temperature 1: KL to a reference, entropy, and shares of answers and words."""

    kl: float  # KL(policy || reference), nats per token
    entropy: float  # of the policy, nats per token
    reference_entropy: float  # of the reference at the same positions, so that both are compared on the same texts
    loop: float  # share of answers
    ended: float  # share of answers
    real_words: float  # share of the answers' words that occur in the training data


def _loss(model: LanguageModel, rows: PackedRows, *, limit: int = 0) -> tuple[float, float]:
    """Loss in nats per target, and bits per byte, of the first `limit` rows (0: all)."""
    loss = mean_loss(model, rows, limit=limit, batch_rows=BATCH_ROWS)
    return loss, loss * rows.targets / math.log(2) / max(1, rows.target_bytes)


class Examiner:
    """The questions of a recipe. With `spare` they are prompts and probes that eval does not ask, if there are enough of them."""

    def __init__(
        self,
        config: Config,
        tokenizer: Tokenizer,
        *,
        spare: bool = False,
        title: str = "eval",
        skip: Callable[[list[str]], bool] = lambda contents: False,
    ) -> None:
        """`title` begins the progress and warnings shown. A held-out dialogue for whose contents `skip` returns true is left out of the
        held-out loss."""
        self.config, self.tokenizer, self.spare, self.title, self.skip = config, tokenizer, spare, title, skip
        self.context = config.model.context

    @cached_property
    def decoding(self) -> Decoding:
        return Decoding.of(self.tokenizer, seed=self.config.seed)

    def figures(self, model: LanguageModel, *, probes: Probes | None = None, answers: Answers | None = None) -> Figures:
        """All figures of a model. The probes are asked, and the prompts answered, unless their results are given."""
        probes = probes or self.probes(model)
        (found,), continuations = self.failures([answers or self.answers(model)]), self.continuations(model)
        return Figures(self.loss(model), probes, found, continuations, self.losses_by_source(model))

    # ---- held-out loss

    def loss(self, model: LanguageModel, *, rows: int = 0) -> HeldOut | None:
        """The held-out loss over the first `rows` packed rows (0: all); None if nothing is held out."""
        return HeldOut(*_loss(model, self.rows, limit=rows)) if len(self.rows) else None

    def losses_by_source(self, model: LanguageModel) -> dict[str, SourceLoss]:
        """The held-out loss of each source's dialogues, the sources with the most dialogues first; empty if all are from one source."""
        return {name: SourceLoss(*_loss(model, rows), count) for name, (rows, count) in self.rows_by_source.items()}

    @cached_property
    def rows(self) -> PackedRows:
        """The validation dialogues as sft encodes them, packed once for all models; for a base model, the held-out text as
        pretrain packed it."""
        return documents.held_out(self.config) if self.config.base else self._packed("valid")

    @cached_property
    def rows_by_source(self) -> dict[str, tuple[PackedRows, int]]:
        """Source -> its packed validation dialogues, and how many there are; empty if all are from one source."""
        counts = {} if self.config.base else store.sources(self.config.layout.dialogues("valid"))
        if len(counts) < 2:
            return {}
        most = sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:SOURCES]
        packed = {name: (self._packed(f"source-{i}", source=name), count) for i, (name, count) in enumerate(most)}
        return {name: (rows, count) for name, (rows, count) in packed.items() if len(rows)}

    def _packed(self, name: str, *, source: str | None = None) -> PackedRows:
        out, tokenizer = Path(self._folder.name) / name, self.tokenizer
        path, cut = self.config.layout.dialogues("valid"), {"shortened": 0, "left out": 0}
        sequences = encoding.encode(path, tokenizer, self.context, cut, source=source, skip=self.skip)
        pack(sequences, context=self.context, vocab_size=tokenizer.vocab_size, out=out)
        return PackedRows(out)

    @cached_property
    def _folder(self) -> tempfile.TemporaryDirectory[str]:
        return tempfile.TemporaryDirectory()  # lives as long as the examiner

    # ---- probes

    @cached_property
    def questions(self) -> list[dict[str, Any]]:
        """`eval.probes` of the probes, taken from the skills in turn so that each skill is asked; the same ones for the same seed."""
        if self.config.base:
            return []
        by_skill = defaultdict(list)
        for probe in store.read(self.config.layout.dialogues("probes")):
            if probe["check"] and self._fits(probe["messages"][:-1]):
                by_skill[probe["skill"]].append(probe)
        for skill in sorted(by_skill):
            random.Random(f"{self.config.seed} {skill}").shuffle(by_skill[skill])
        turns = itertools.zip_longest(*(by_skill[skill] for skill in sorted(by_skill)))
        asked = [p for turn in turns for p in turn if p is not None]
        return self._part(asked, self.config.eval.probes, "probes")

    def probe_answers(self, model: LanguageModel, *, limit: int | None = None) -> list[ProbeAnswer]:
        """Greedy answers to held-out questions whose answers a rule can check: to the first `limit` of them, or all."""
        questions = self.questions[:limit]
        if not questions:
            return []
        greedy = Sampling(temperature=0.0, max_tokens=self.config.eval.max_tokens)
        ((texts, _),) = self._ask(model, [p["messages"][:-1] for p in questions], [greedy], "probes")
        return [
            ProbeAnswer(p["messages"][:-1], p["check"], text, checks.passes(text, p["check"]), p["skill"])
            for p, text in zip(questions, texts, strict=True)
        ]

    def probes(self, model: LanguageModel, *, limit: int | None = None) -> Probes | None:
        """Shares of right answers; None where the recipe has no probes."""
        answers = self.probe_answers(model, limit=limit)
        return Probes.of(answers) if answers else None

    # ---- failures

    @cached_property
    def prompts(self) -> list[Prompt]:
        """Distinct prompts: validation dialogues, each cut before one of its answers. A base model has none."""
        if self.config.base:
            return []
        chance, asked, known = random.Random(self.config.seed), [], set()
        everything = list(store.read(self.config.layout.dialogues("valid")))
        chance.shuffle(everything)
        enough = self.config.eval.prompts * (2 if self.spare else 1)
        for dialogue in everything:
            messages = dialogue["messages"]
            at = chance.choice([i for i, m in enumerate(messages) if m["role"] == "assistant"])
            key = json.dumps(messages[:at])
            if key not in known and self._fits(messages[:at]):
                known.add(key)
                asked.append((messages[:at], messages[at]["content"]))
            if len(asked) == enough:
                break
        return self._part(asked, self.config.eval.prompts, "prompts")

    def answers(self, model: LanguageModel) -> Answers:
        """The answers to held-out prompts with the chat program's own sampling (`chat`) and with that of each preset."""
        if not self.prompts:
            return {}
        ways = {"chat": self.config.export.sampling()}
        if self.config.reject:
            ways |= {name: preset.sampling(preset.max_tokens) for name, preset in self.config.reject.presets.items()}
        limited = [replace(way, max_tokens=min(way.max_tokens, self.config.eval.max_tokens)) for way in ways.values()]
        answers = self._ask(model, [prompt for prompt, _ in self.prompts], limited, "presets")
        return dict(zip(ways, answers, strict=True))

    def failures(self, answered: Sequence[Answers]) -> list[dict[str, Failures]]:
        """The failures in each model's `answers`, by way of sampling; first over all ways together (`all`). What is canned is decided on
        all models' answers."""
        times = {way: failures.how_often([each[way][0] for each in answered]) for way in answered[0]}
        return [self._failures(answers, times) for answers in answered]

    def _failures(self, answers: Answers, times: dict[str, Counter[str]]) -> dict[str, Failures]:
        if not answers:
            return {}
        found: dict[str, Failures] = {}
        everything: list[list[failures.Judged]] = [[] for _ in self.prompts]
        texts_of_all: list[str] = []
        references = [reference for _, reference in self.prompts]
        for name, (texts, ended) in answers.items():
            judged = failures.judge(texts, ended=ended, references=references, times=times[name])
            for of_prompt, j in zip(everything, judged, strict=True):
                of_prompt.append(j)
            texts_of_all += texts
            samples = [
                Sample(prompt[:-1], prompt[-1]["content"], text, reference, j.failures)
                for (prompt, reference), text, j in list(zip(self.prompts, texts, judged, strict=True))[:SAMPLES]
            ]
            rates = failures.FailureRates.of([[j] for j in judged])
            found[name] = Failures(rates, failures.distinct_2(texts), samples)
        whole = Failures(failures.FailureRates.of(everything), failures.distinct_2(texts_of_all))
        return {"all": whole, **found}

    # ---- continuations of a base model

    def continuations(self, model: LanguageModel) -> list[Continuation]:
        """Beginnings of held-out text, how the text goes on, and how the model goes on, sampled as the chat program samples."""
        if not self.config.base:
            return []
        t, length = self.tokenizer, self.context // 4
        pieces = documents.excerpts(self.rows, count=CONTINUATIONS, least=2 * length, seed=self.config.seed)
        limit = min(self.config.eval.max_tokens, self.context - length)
        sampling = replace(self.config.export.sampling(), max_tokens=limit)
        answers = generate(model, [ids[:length] for ids in pieces], sampling=sampling, decoding=self.decoding)
        return [
            Continuation(t.decode(ids[:length]), t.decode(ids[length : length + limit]), t.decode(answer.ids))
            for ids, answer in zip(pieces, answers, strict=True)
        ]

    # ---- on-policy samples

    @cached_property
    def vocabulary(self) -> set[str]:
        """All words of the training dialogues."""
        known: set[str] = set()
        for _, _, contents in store.messages(self.config.layout.dialogues("train")):
            known.update(failures.words("\n".join(contents)))
        return known

    def on_policy(self, model: LanguageModel, reference: LanguageModel, *, count: int) -> OnPolicy:
        """Figures of answers to the first `count` prompts. They are sampled without filters such as top-k, so that KL is that of the policy
        itself."""
        prompts = [chat_template.encode_prompt(prompt, self.tokenizer) for prompt, _ in self.prompts[:count]]
        sampling = Sampling(max_tokens=self.config.eval.max_tokens)
        answers = generate(model, prompts, sampling=sampling, batch_rows=BATCH_ROWS, decoding=self.decoding)
        texts = [self.tokenizer.decode(a.ids) for a in answers]
        rows = [
            (len(prompt), (prompt + a.ids + [self.tokenizer.end] * (a.stopped == "end"))[: self.context + 1])
            for prompt, a in zip(prompts, answers, strict=True)
        ]
        rows = [(start, ids) for start, ids in rows if len(ids) > start]

        def part(start: int) -> tuple[float, float, float, int]:
            return kl_and_entropies(model, reference, rows[start : start + BATCH_ROWS])

        parts = parallel.parallel_map(part, range(0, len(rows), BATCH_ROWS), device=model.device)
        tokens = max(1, sum(count for *_, count in parts))
        kl, entropy, reference_entropy = (sum(p[i] for p in parts) / tokens for i in range(3))
        said = [word for text in texts for word in failures.words(text)]
        return OnPolicy(
            kl=kl,
            entropy=entropy,
            reference_entropy=reference_entropy,
            loop=sum(map(failures.is_loop, texts)) / max(1, len(texts)),
            ended=sum(a.stopped == "end" for a in answers) / max(1, len(answers)),
            real_words=sum(word in self.vocabulary for word in said) / max(1, len(said)),
        )

    # ---- shared

    def _part(self, everything: list[Any], count: int, what: str) -> list[Any]:
        """The first `count` items (0: all), which eval asks. With `spare`, up to `count` items after them; if there are fewer than half as
        many, warns and returns those that eval asks."""
        if not self.spare:
            return everything[: count or None]
        spare = everything[count : 2 * count] if count else []
        if len(spare) >= max(1, count // 2) or not everything:
            return spare
        warn(
            f"{self.title}: there are only {len(everything)} held-out {what}, so those of eval decide here too, and the report will "
            f"look better than the model is (raise data.valid_fraction, or lower eval.{what})"
        )
        return everything[: count or None]

    def _ask(
        self, model: LanguageModel, prompts: list[list[Message]], ways: list[Sampling], what: str
    ) -> list[tuple[list[str], list[bool]]]:
        return ask_each(
            model,
            self.tokenizer,
            prompts,
            ways=ways,
            seed=self.config.seed,
            batch_rows=self.config.eval.batch_rows,
            title=f"{self.title}: {what}",
        )

    def _fits(self, messages: list[Message]) -> bool:
        """Whether all messages fit and leave a quarter of the context free for the answer."""
        how = {"context": self.context, "max_tokens": self.context, "least": self.context // 4}
        try:
            return not chat_template.fit(messages, self.tokenizer, **how)[1]
        except MinitronError:
            return False


@torch.no_grad()
def kl_and_entropies(
    model: LanguageModel, reference: LanguageModel, rows: list[tuple[int, list[int]]]
) -> tuple[float, float, float, int]:
    """Σ KL(model || reference), Σ entropy of the model and of the reference, in nats over the positions of all answers, and the number
    of these positions.

    A row is (where its answer begins, ids of prompt and answer). At each position of an answer KL is computed over the whole
    vocabulary, not estimated from the token that was drawn.
    """
    width = max(len(ids) for _, ids in rows) - 1
    padded = torch.zeros(len(rows), width, dtype=torch.long)
    counted = torch.zeros(len(rows), width, dtype=torch.bool)
    for row, (start, ids) in enumerate(rows):
        padded[row, : len(ids) - 1] = torch.tensor(ids[:-1])
        counted[row, start - 1 : len(ids) - 1] = True
    padded, counted = padded.to(model.device), counted.to(model.device)
    ours, theirs = (F.log_softmax(m.head(m.hidden(padded)[counted]).float(), -1) for m in (model, reference))
    kl = (ours.exp() * (ours - theirs)).sum(-1)
    entropy, reference_entropy = (-(log_p.exp() * log_p).sum() for log_p in (ours, theirs))
    return kl.sum().item(), entropy.item(), reference_entropy.item(), len(kl)
