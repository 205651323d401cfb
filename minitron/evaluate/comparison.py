"""Two models on the same prompts: every measure of both, the change and whether it is beyond chance (compare.json).

Knows nothing about how figures are measured and shown.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from minitron.evaluate.card import Figures, Sample
from minitron.evaluate.intervals import Share, change, differs
from minitron.tokenizer.chat_template import Message

RATES = {
    "failing": "answers that fail",
    "loop": "loops",
    "runaway": "runaways",
    "canned": "canned",
    "ended": "ended by itself",
}
SIDE_BY_SIDE = 5  # answers of each way of sampling


@dataclass(frozen=True)
class Measure:
    """Both models' values of one measure: shares with their intervals, or plain numbers."""

    name: str
    values: tuple[Share, Share] | tuple[float, float]

    def cells(self) -> list[str]:
        """Name, both values, change, as texts; a change beyond chance has a star."""
        one, two = self.values
        if isinstance(one, Share) and isinstance(two, Share):
            low, high = change(one, two)
            star = " *" if differs(one, two) else ""
            return [self.name, shown(one), shown(two), f"{100 * low:+.1f} to {100 * high:+.1f} points{star}"]
        assert isinstance(one, float)
        assert isinstance(two, float)
        return [self.name, f"{one:.4f}", f"{two:.4f}", f"{two - one:+.4f}"]

    def to_json(self) -> dict[str, Any]:
        one, two = self.values
        if isinstance(one, Share) and isinstance(two, Share):
            return {
                "measure": self.name,
                "values": [one.value, two.value],
                "intervals": [[one.low, one.high], [two.low, two.high]],
                "change": list(change(one, two)),
                "counts": [one.count, two.count],
            }
        return {"measure": self.name, "values": [one, two]}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Measure":
        one, two = value["values"]
        if "intervals" not in value:
            return cls(value["measure"], (one, two))
        both = zip(value["values"], value["intervals"], value["counts"], strict=True)
        first, second = (Share(share, low, high, count) for share, (low, high), count in both)
        return cls(value["measure"], (first, second))


def shown(share: Share) -> str:
    """`12.0% (9.1% to 15.6%)`."""
    return f"{share.value:.1%} ({share.low:.1%} to {share.high:.1%})"


@dataclass(frozen=True)
class Answered:
    """Both models' answers to a prompt, each with the failures that it shows."""

    sampling: str
    context: Sequence[Message]  # the turns before the prompt
    prompt: str
    reference: str
    answers: Sequence[tuple[str, Sequence[str]]]


@dataclass(frozen=True)
class Comparison:
    """compare.json."""

    models: Sequence[str]  # their folders
    measures: Sequence[Measure]
    answers: Sequence[Answered]

    @classmethod
    def of(cls, models: Sequence[str], one: Figures, two: Figures) -> "Comparison":
        measures = []
        if one.held_out and two.held_out:
            a, b = one.held_out, two.held_out
            measures = [Measure("loss", (a.loss, b.loss)), Measure("bits_per_byte", (a.bits_per_byte, b.bits_per_byte))]
        if one.probes and two.probes:
            measures.append(Measure("probe accuracy", (one.probes.accuracy, two.probes.accuracy)))
        answers = []
        for way, before in one.failures.items():
            after = two.failures[way]
            rates, rates_after = before.rates.shares(), after.rates.shares()
            measures += [Measure(f"{way}: {text}", (rates[name], rates_after[name])) for name, text in RATES.items()]
            measures.append(Measure(f"{way}: distinct-2", (before.distinct_2, after.distinct_2)))
            pairs = list(zip(before.samples, after.samples, strict=True))[:SIDE_BY_SIDE]
            answers += [_answered(way, a, b) for a, b in pairs]
        return cls(models, measures, answers)

    def to_json(self) -> dict[str, Any]:
        answers = [
            {"sampling": a.sampling, "context": list(a.context), "prompt": a.prompt, "reference": a.reference}
            | {"answers": [{"answer": text, "failures": list(failures)} for text, failures in a.answers]}
            for a in self.answers
        ]
        return {"models": list(self.models), "rows": [m.to_json() for m in self.measures], "answers": answers}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Comparison":
        answers = [
            Answered(
                a["sampling"],
                a.get("context", []),
                a["prompt"],
                a["reference"],
                [(one["answer"], one["failures"]) for one in a["answers"]],
            )
            for a in value["answers"]
        ]
        return cls(value["models"], [Measure.from_json(row) for row in value["rows"]], answers)


def _answered(way: str, one: Sample, two: Sample) -> Answered:
    answers = [(one.answer, one.failures), (two.answer, two.failures)]
    return Answered(way, one.context, one.prompt, one.reference, answers)
