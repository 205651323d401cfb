"""Asks models of one recipe the same questions: held-out loss, probes, failures, and how far they are from another model.

    examiner = Examiner(config, tokenizer)          # what eval asks
    chooser = Examiner(config, tokenizer, spare=True)  # other prompts, for what is chosen before eval
    card = examiner.loss(model) | {"probes": examiner.probes(model), "failures": examiner.failures(model)}

A base model has no dialogues: it has a held-out loss, and `continuations` of held-out text.

Knows nothing about training.
"""

import itertools
import json
import math
import random
import tempfile
from collections import defaultdict
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from torch.nn import functional as F

from minitron.core import parallel
from minitron.core.errors import MinitronError
from minitron.data import documents, store
from minitron.data.packing import PackedRows, Sequence, pack
from minitron.evaluate import checks, failures
from minitron.model.language_model import LanguageModel
from minitron.recipe.schema import Config, Sampling
from minitron.sample.generate import Decoding, ask, generate
from minitron.tokenizer import chat_template
from minitron.tokenizer.base import Tokenizer
from minitron.train.loop import mean_loss

SAMPLES = 12  # answers shown side by side in the report
CONTINUATIONS = 6  # of held-out text, shown in a base model's report
BATCH_ROWS = 16
Prompt = tuple[list[dict], str]  # a dialogue up to a user's turn, and the recorded answer


@dataclass
class Walk:
    """What a policy says when it draws freely, and how that looks to it and to the reference."""

    kl: float  # nats per token, policy against reference
    entropy: float  # nats per token, of the policy
    reference_entropy: float  # of the reference at the same places: what texts were drawn does not matter then
    loop: float  # share of answers
    ended: float
    real_words: float  # share of the words that the training data has
    tokens: int


class Examiner:
    """The questions of a recipe. `spare` takes prompts and probes that eval does not ask, where there are enough."""

    def __init__(self, config: Config, tokenizer: Tokenizer, *, spare: bool = False, title: str = "eval"):
        self.config, self.tokenizer, self.spare, self.title = config, tokenizer, spare, title
        self.context = config.model.context

    @cached_property
    def decoding(self) -> Decoding:
        return Decoding.of(self.tokenizer, seed=self.config.seed)

    # ---- held-out loss

    def loss(self, model: LanguageModel) -> dict:
        """Loss in nats per target token, and bits per byte: nats / (ln 2 * bytes of the answers)."""
        if not len(self.rows):
            return {"loss": None, "bits_per_byte": None}
        loss, rows = mean_loss(model, self.rows, limit=0, batch_rows=BATCH_ROWS), self.rows
        return {"loss": loss, "bits_per_byte": loss * rows.targets / math.log(2) / max(1, rows.target_bytes)}

    @cached_property
    def rows(self) -> PackedRows:
        """The validation dialogues, packed once for all models; of a base model the held-out text, as pretrain packed it."""
        if self.config.base:
            return documents.held_out(self.config)
        self._folder = tempfile.TemporaryDirectory()  # is there as long as the examiner
        out = Path(self._folder.name) / "valid"
        pack(self._sequences(), context=self.context, vocab_size=self.tokenizer.vocab_size, out=out)
        return PackedRows(out)

    def _sequences(self):
        for dialogue in store.read(self.config.layout.dialogues("valid")):
            ids, mask = chat_template.encode_dialogue(dialogue["messages"], self.tokenizer)
            answers = sum(len(m["content"].encode()) for m in dialogue["messages"] if m["role"] == "assistant")
            if len(ids) <= self.context + 1:
                yield Sequence(ids, mask, answers)

    # ---- probes

    @cached_property
    def questions(self) -> list[dict]:
        """`eval.probes` of the probes, by turns from every skill so that each is asked; the same ones for the same seed."""
        by_skill = defaultdict(list)
        if self.config.base:
            return []
        for probe in store.read(self.config.layout.dialogues("probes")):
            if probe["check"] and self._fits(probe["messages"][:-1]):
                by_skill[probe["skill"]].append(probe)
        for skill in sorted(by_skill):
            random.Random(f"{self.config.seed} {skill}").shuffle(by_skill[skill])
        turns = itertools.zip_longest(*(by_skill[skill] for skill in sorted(by_skill)))
        return self._part([p for turn in turns for p in turn if p is not None], self.config.eval.probes)

    def probes(self, model: LanguageModel, *, limit: int | None = None) -> dict:
        """Greedy answers to held-out questions whose answers a rule can check; `answers` holds each with its answer."""
        questions = self.questions[:limit]
        if not questions:
            return {}
        greedy = Sampling(temperature=0.0, max_tokens=self.config.eval.max_tokens)
        texts, _ = self._ask(model, [p["messages"][:-1] for p in questions], greedy, "probes")
        asked, by_skill = [], defaultdict(list)
        for probe, text in zip(questions, texts, strict=True):
            right = checks.passes(text, probe["check"])
            by_skill[probe["skill"]].append(right)
            asked.append(
                {"messages": probe["messages"][:-1], "check": probe["check"], "answer": text, "right": right}
                | {"skill": probe["skill"]}
            )
        return {
            "accuracy": sum(a["right"] for a in asked) / len(asked),
            "asked": len(asked),
            "skills": {s: {"accuracy": sum(r) / len(r), "asked": len(r)} for s, r in sorted(by_skill.items())},
            "answers": asked,
        }

    # ---- failures

    @cached_property
    def prompts(self) -> list[Prompt]:
        """Distinct validation dialogues cut before one of their answers; a base model is asked nothing."""
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
        return self._part(asked, self.config.eval.prompts)

    def failures(self, model: LanguageModel) -> dict:
        """Rates of each failure with the sampling of each preset and with the chat program's own, on held-out prompts."""
        if not self.prompts:
            return {}
        ways = {"chat": self.config.export.sampling()}
        if self.config.reject:
            ways |= {name: preset.sampling(preset.max_tokens) for name, preset in self.config.reject.presets.items()}
        out, everything, texts_of_all = {}, [], []
        for name, way in ways.items():
            sampling = replace(way, max_tokens=min(way.max_tokens, self.config.eval.max_tokens))
            texts, ended = self._ask(model, [prompt for prompt, _ in self.prompts], sampling, name)
            judged = failures.judge(texts, ended=ended, references=[reference for _, reference in self.prompts])
            everything += judged
            texts_of_all += texts
            samples = [
                {"prompt": prompt[-1]["content"], "answer": text, "reference": reference, "failures": j.failures}
                for (prompt, reference), text, j in list(zip(self.prompts, texts, judged, strict=True))[:SAMPLES]
            ]
            out[name] = _rates(judged, texts) | {"samples": samples}
        return {"all": _rates(everything, texts_of_all), **out}

    # ---- continuations of a base model

    def continuations(self, model: LanguageModel) -> list[dict]:
        """Held-out beginnings, how they went on in the text, and how the model goes on, drawn as the program draws."""
        if not self.config.base:
            return []
        t, length = self.tokenizer, self.context // 4
        pieces = documents.excerpts(self.rows, count=CONTINUATIONS, least=2 * length, seed=self.config.seed)
        limit = min(self.config.eval.max_tokens, self.context - length)
        sampling = replace(self.config.export.sampling(), max_tokens=limit)
        answers = generate(model, [ids[:length] for ids in pieces], sampling=sampling, decoding=self.decoding)
        return [
            {"prompt": t.decode(ids[:length]), "reference": t.decode(ids[length : length + limit])}
            | {"answer": t.decode(answer.ids)}
            for ids, answer in zip(pieces, answers, strict=True)
        ]

    # ---- a free walk

    @cached_property
    def vocabulary(self) -> set[str]:
        """All words of the training dialogues."""
        known: set[str] = set()
        for dialogue in store.read(self.config.layout.dialogues("train")):
            for message in dialogue["messages"]:
                known.update(failures.words(message["content"]))
        return known

    def walk(self, model: LanguageModel, reference: LanguageModel, *, count: int) -> Walk:
        """Answers drawn from the bare distribution (temperature 1, no filters), so that KL is of the policy itself."""
        prompts = [chat_template.encode_prompt(prompt, self.tokenizer) for prompt, _ in self.prompts[:count]]
        sampling = Sampling(max_tokens=self.config.eval.max_tokens)
        answers = generate(model, prompts, sampling=sampling, batch_rows=BATCH_ROWS, decoding=self.decoding)
        texts = [self.tokenizer.decode(a.ids) for a in answers]
        rows = [
            (prompt, (prompt + answer.ids + [self.tokenizer.end] * (answer.stopped == "end"))[: self.context + 1])
            for prompt, answer in zip(prompts, answers, strict=True)
        ]
        rows = [(len(prompt), ids) for prompt, ids in rows if len(ids) > len(prompt)]

        def part(start: int) -> tuple[float, float, float, int]:
            return _distance(model, reference, rows[start : start + BATCH_ROWS])

        parts = parallel.parallel_map(part, range(0, len(rows), BATCH_ROWS), device=model.device)
        *sums, tokens = (sum(values) for values in zip(*parts, strict=True)) if parts else (0.0, 0.0, 0.0, 0)
        kl, entropy, reference_entropy = (total / max(1, tokens) for total in sums)
        said = [word for text in texts for word in failures.words(text)]
        return Walk(
            kl=kl,
            entropy=entropy,
            reference_entropy=reference_entropy,
            loop=sum(map(failures.is_loop, texts)) / max(1, len(texts)),
            ended=sum(a.stopped == "end" for a in answers) / max(1, len(answers)),
            real_words=sum(word in self.vocabulary for word in said) / max(1, len(said)),
            tokens=tokens,
        )

    # ---- shared

    def _part(self, everything: list, count: int) -> list:
        """The first `count` (0: all), or as many of those after them."""
        if not self.spare or not count:
            return everything[: count or None]
        spare = everything[count : 2 * count]
        return spare if len(spare) >= count // 2 else everything[:count]

    def _ask(self, model: LanguageModel, prompts: list, sampling: Sampling, what: str) -> tuple[list[str], list[bool]]:
        return ask(
            model,
            self.tokenizer,
            prompts,
            sampling=sampling,
            seed=self.config.seed,
            batch_rows=self.config.eval.batch_rows,
            title=f"{self.title}: {what}",
        )

    def _fits(self, messages: list[dict]) -> bool:
        """Whether a quarter of the context is free for the answer."""
        try:
            return not chat_template.fit(messages, self.tokenizer, context=self.context, max_tokens=self.context)[1]
        except MinitronError:
            return False


def _rates(judged: list[failures.Judged], texts: list[str]) -> dict:
    return failures.rates(judged) | {"distinct_2": distinct_2(texts), "answers": len(judged)}


def distinct_2(texts: list[str]) -> float:
    """Distinct pairs of neighbouring words by all such pairs (Li et al., arXiv 1510.03055, section 5.2)."""
    pairs = [pair for text in texts for pair in itertools.pairwise(failures.words(text))]
    return len(set(pairs)) / max(1, len(pairs))


@torch.no_grad()
def _distance(
    model: LanguageModel, reference: LanguageModel, rows: list[tuple[int, list[int]]]
) -> tuple[float, float, float, int]:
    """Σ KL(model || reference), Σ entropy of either in nats over the answers' positions, and how many these are.

    KL is of the whole distribution at each position that the model itself came to, not only of what it drew there.
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
