"""What kto or feedback decided: which candidate ships and why, and how that is written to and read from the stage's report.json.

Knows nothing about how candidates are made and judged.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from minitron.evaluate.failures import RATES, Answers, FailureRates
from minitron.evaluate.intervals import Share

IMPROVED, NO_CHANGE, REFUSED = "improved", "no change", "refused"


@dataclass(frozen=True)
class Candidate:
    """A model that may ship: the one that training began with (`blend` 0; in kto the SFT model), or that model moved by the share `blend`
    of the way to the trained weights.

    A figure is None if the recipe has nothing to measure it on. `objection` says why the model must not ship.
    """

    blend: float
    loss: float | None  # held-out, nats per target token
    probes: Share | None
    failures: FailureRates | None  # over all ways of sampling
    distinct_2: float | None  # of chat answers
    objection: str = ""
    labels: Share | None = None  # stage feedback: of labelled prompts in new wordings, those answered as wished
    # those that `failures` are found in; not written
    answers: Answers | None = field(default=None, repr=False, compare=False)

    def to_json(self) -> dict[str, Any]:
        shares = self.failures.shares() if self.failures else {}
        named = shares | ({"probes": self.probes} if self.probes else {})
        named |= {"labels": self.labels} if self.labels else {}
        return {
            "blend": self.blend,
            "objection": self.objection,
            "loss": self.loss,
            "probes": self.probes.value if self.probes else None,
            "asked": self.probes.count if self.probes else 0,
            "answers": self.failures.failing.count if self.failures else 0,
            "distinct_2": self.distinct_2,
            **({"labels": self.labels.value, "labels_asked": self.labels.count} if self.labels else {}),
            **{name: share.value for name, share in shares.items()},
            "intervals": {name: [share.low, share.high] for name, share in named.items()},
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Candidate":
        def share(name: str, count: str) -> Share:
            low, high = value["intervals"][name]
            return Share(value[name], low, high, value[count])

        rates = FailureRates(**{name: share(name, "answers") for name in RATES}) if value["answers"] else None
        probes = share("probes", "asked") if value["asked"] else None
        labels = share("labels", "labels_asked") if "labels" in value else None
        return cls(value["blend"], value["loss"], probes, rates, value["distinct_2"], value["objection"], labels)


@dataclass(frozen=True)
class Verdict:
    """The outcome: `improved` (fewer answers fail, beyond chance), `no change`, or `refused` (no blend may ship)."""

    outcome: str
    why: str
    shipped: Candidate
    table: Sequence[Candidate]  # `blend` 0 first, then the other blends in the order in which they were measured
    shipped_step: int = 0
    breaches: int = 0  # how often a guard sent training back
    raw_z: float = 0.0  # the last running mean of z before its clamp at 0, nats per token
    # trivial feature -> balanced accuracy with which it alone tells chosen from rejected (`leakage`)
    told_apart_by: Mapping[str, float] = field(default_factory=dict)
    # guard -> (value at which it warns, value at which it sends training back)
    limits: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {
            "outcome": self.outcome,
            "why": self.why,
            "shipped_blend": self.shipped.blend,
            "held_out_loss_before": self.table[0].loss,
            "held_out_loss": self.shipped.loss,
            "table": [candidate.to_json() for candidate in self.table],
            "shipped_step": self.shipped_step,
            "breaches": self.breaches,
            "raw_z": self.raw_z,
            "told_apart_by": dict(self.told_apart_by),
            "limits": {name: list(limits) for name, limits in self.limits.items()},
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> "Verdict":
        table = [Candidate.from_json(row) for row in value["table"]]
        limits = {name: (warn, stop) for name, (warn, stop) in value["limits"].items()}
        return cls(
            value["outcome"],
            value["why"],
            next(row for row in table if row.blend == value["shipped_blend"]),
            table,
            value["shipped_step"],
            value["breaches"],
            value["raw_z"],
            value["told_apart_by"],
            limits,
        )
