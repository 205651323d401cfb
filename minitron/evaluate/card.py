"""The report card: every figure of a run's models, and how it is written to and read from report.json (docs/formats.md).

    card = Card.from_json(json.loads(layout.card.read_text()))
    card.models["kto"].failures["all"].rates.loop.low

Knows nothing about how figures are measured and shown.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from minitron.evaluate.failures import RATES, FailureRates
from minitron.evaluate.intervals import Share
from minitron.tokenizer.chat_template import Message

WRONG = 50  # wrong answers to probes that a card keeps


@dataclass(frozen=True)
class HeldOut:
    """Loss on held-out text: in nats per target token, and in bits per byte of the targets' text."""

    loss: float
    bits_per_byte: float


@dataclass(frozen=True)
class SourceLoss(HeldOut):
    """Loss on the held-out dialogues of one source, and how many these are."""

    dialogues: int


@dataclass(frozen=True)
class ProbeAnswer:
    """A probe's dialogue up to the question, its rules (`checks`), and what a model answered."""

    messages: list[Message]
    check: str
    answer: str
    right: bool
    skill: str


@dataclass(frozen=True)
class WrongAnswer:
    """A probe that was answered wrong."""

    skill: str
    question: str
    answer: str
    check: str


@dataclass(frozen=True)
class Probes:
    """The shares of right answers, over all probes and by skill, and the first wrong answers."""

    accuracy: Share
    skills: Mapping[str, Share]
    wrong: Sequence[WrongAnswer] = ()

    @classmethod
    def of(cls, answers: Sequence[ProbeAnswer]) -> "Probes":
        by_skill: dict[str, list[bool]] = {}
        for answer in answers:
            by_skill.setdefault(answer.skill, []).append(answer.right)
        wrong = [WrongAnswer(a.skill, a.messages[-1]["content"], a.answer, a.check) for a in answers if not a.right]
        return cls(
            Share.of(sum(a.right for a in answers), len(answers)),
            {skill: Share.of(sum(right), len(right)) for skill, right in sorted(by_skill.items())},
            wrong[:WRONG],
        )

    def to_json(self) -> dict[str, Any]:
        return (
            _accuracy(self.accuracy)
            | {"skills": {skill: _accuracy(share) for skill, share in self.skills.items()}}
            | {"wrong": [dict(vars(w)) for w in self.wrong]}
        )

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Probes":
        skills = {skill: _share(v, "accuracy", "asked") for skill, v in value["skills"].items()}
        return cls(_share(value, "accuracy", "asked"), skills, [WrongAnswer(**w) for w in value.get("wrong", [])])


@dataclass(frozen=True)
class Sample:
    """An answer as the report shows it: the turns before the prompt, the prompt, the model's answer, the recorded one, and the failures
    that the model's shows."""

    context: Sequence[Message]
    prompt: str
    answer: str
    reference: str
    failures: Sequence[str]

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Sample":
        return cls(**{"context": [], **value})


@dataclass(frozen=True)
class Failures:
    """The failures in a model's answers to the held-out prompts, with one way of sampling or over all of them."""

    rates: FailureRates
    distinct_2: float
    samples: Sequence[Sample] = ()

    @property
    def answers(self) -> int:
        return self.rates.failing.count

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {**self.rates.values(), "distinct_2": self.distinct_2, "answers": self.answers}
        found["intervals"] = {name: [share.low, share.high] for name, share in self.rates.shares().items()}
        return found | ({"samples": [dict(vars(s)) for s in self.samples]} if self.samples else {})

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Failures":
        intervals = value.get("intervals", {})
        shares = {name: _share(value | {"interval": intervals.get(name)}, name, "answers") for name in RATES}
        samples = [Sample.from_json(s) for s in value.get("samples", [])]
        return cls(FailureRates(**shares), value["distinct_2"], samples)


@dataclass(frozen=True)
class Continuation:
    """The beginning of a held-out text, how it goes on there, and how a base model goes on."""

    prompt: str
    reference: str
    answer: str


@dataclass(frozen=True)
class Figures:
    """All figures of one model; a figure that its recipe has no data for is None or empty."""

    held_out: HeldOut | None
    probes: Probes | None
    failures: Mapping[str, Failures]  # by way of sampling: all, chat, and every preset of reject
    continuations: Sequence[Continuation] = ()
    sources: Mapping[str, SourceLoss] = field(default_factory=dict)  # empty if all dialogues are from one source

    def to_json(self) -> dict[str, Any]:
        held_out = vars(self.held_out) if self.held_out else {"loss": None, "bits_per_byte": None}
        return {
            **held_out,
            "probes": self.probes.to_json() if self.probes else {},
            "failures": {way: f.to_json() for way, f in self.failures.items()},
            "continuations": [dict(vars(c)) for c in self.continuations],
            "sources": {name: dict(vars(loss)) for name, loss in self.sources.items()},
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Figures":
        return cls(
            None if value["loss"] is None else HeldOut(value["loss"], value["bits_per_byte"]),
            Probes.from_json(value["probes"]) if value["probes"] else None,
            {way: Failures.from_json(f) for way, f in value["failures"].items()},
            [Continuation(**c) for c in value.get("continuations", [])],
            {name: SourceLoss(**loss) for name, loss in value.get("sources", {}).items()},
        )


@dataclass(frozen=True)
class ModelCard:
    """A stage's model: the step of its checkpoint, and its figures."""

    step: int
    figures: Figures


@dataclass(frozen=True)
class DtypeCost:
    """Held-out bits per byte with matrices in one of export's dtypes, and their relative change against fp32."""

    bits_per_byte: float
    change: float


@dataclass(frozen=True)
class Card:
    """report.json: the models of a run in the order of their stages, of which the last one ships."""

    name: str
    vocab_size: int
    params: int
    models: Mapping[str, ModelCard]
    dtypes: Mapping[str, DtypeCost] = field(default_factory=dict)

    @property
    def shipped(self) -> str:
        """The stage whose model is exported."""
        return list(self.models)[-1]

    @property
    def first(self) -> Figures:
        return next(iter(self.models.values())).figures

    @property
    def last(self) -> Figures:
        return self.models[self.shipped].figures

    def to_json(self) -> dict[str, Any]:
        card = {
            "name": self.name,
            "tokenizer": {"vocab_size": self.vocab_size},
            "models": {stage: {"step": m.step} | m.figures.to_json() for stage, m in self.models.items()},
            "params": self.params,
            "shipped": self.shipped,
        }
        if self.dtypes:
            card["dtypes"] = {name: dict(vars(cost)) for name, cost in self.dtypes.items()}
        if self.last.probes:
            card["probe_accuracy"] = self.last.probes.accuracy.value
        return card

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Card":
        return cls(
            value["name"],
            value["tokenizer"]["vocab_size"],
            value["params"],
            {stage: ModelCard(m["step"], Figures.from_json(m)) for stage, m in value["models"].items()},
            {name: DtypeCost(**cost) for name, cost in value.get("dtypes", {}).items()},
        )


def _accuracy(share: Share) -> dict[str, Any]:
    return {"accuracy": share.value, "asked": share.count, "interval": [share.low, share.high]}


def _share(value: dict[str, Any], name: str, count: str) -> Share:
    """A share of `value[count]` answers. A card from before intervals were stored gets the interval of independent answers."""
    if interval := value.get("interval"):
        low, high = interval
        return Share(value[name], low, high, value[count])
    return Share.of(round(value[name] * value[count]), value[count])
