"""The guards of kto and feedback: which signals are watched, when they warn and when they send training back.

The loss cannot see a collapse: z_ref is clamped at 0, so the mean loss is 0.5 both where the policy equals the reference and where
all likelihoods have fallen far below it. So other figures are watched: likelihoods (`raw_z`, `chosen`), the loss on held-out
dialogues (`loss`), and what the policy says on its own (`kl`, `entropy`, `loops`, `endings`, `words`, `probes`). Knows nothing
about training.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass

# name of a guard -> its warning, with a place for the value
TEXTS = {
    "raw_z": "raw z is {:+.3f} nats per token: likelihood falls on everything",
    "chosen": "chosen completions are at {:+.3f} nats per token: they become less likely",
    "loss": "held-out loss changed by {:+.2%}",
    "kl": "the policy's own answers are {:.3f} nats per token from the reference",
    "entropy_low": "the policy's entropy is {:.2f} times the reference's",
    "entropy_high": "the policy's entropy is {:.2f} times the reference's",
    "loops": "loops changed by {:+.1%}",
    "endings": "answers that end by themselves changed by {:+.1%}",
    "words": "real words changed by {:+.1%}",
    "probes": "probe accuracy changed by {:+.1%}",
    "gradient": "the gradient is {:.1e} times what it was at the start",
}
# For these guards a value above the limit is bad; for all others, a value below it.
UPPER = ("loss", "kl", "entropy_high", "loops")


@dataclass(frozen=True)
class Limits:
    """A guard warns when its value passes `warn`, and sends training back when it passes `stop`."""

    warn: float
    stop: float


# With these limits, 72 runs whose rates and betas ranged from far too small to far too large shipped no model worse than before
# (benchmarks/kto_wreck.py, the table in docs/kto.md), and the settings that help in docs/kto-study.md passed.
LIMITS: Mapping[str, Limits] = {
    # log-ratio of mismatched pairs, nats per token; -0.08 to -0.12 where kto helps (docs/kto-study.md)
    "raw_z": Limits(-0.15, -0.2),
    "chosen": Limits(-0.05, -0.15),  # log-ratio of chosen completions, nats per token
    "loss": Limits(0.005, 0.01),  # relative rise of held-out loss
    "kl": Limits(0.1, 0.3),  # KL to the reference on the policy's own answers, nats per token
    "entropy_low": Limits(0.7, 0.5),  # entropy on its own answers, divided by the reference's at the same positions
    "entropy_high": Limits(1.4, 2.0),  # the same, from above
    "loops": Limits(0.05, 0.15),  # rise of the share of its own answers that loop
    "endings": Limits(-0.05, -0.15),  # change of the share of its own answers that end by themselves
    "words": Limits(-0.05, -0.15),  # change of the share of words that occur in the training data
    "probes": Limits(-0.01, -0.02),  # change of probe accuracy
    "gradient": Limits(1e-3, 1e-5),  # gradient norm, divided by that of the first steps
}


@dataclass(frozen=True)
class Signals:
    """What the guards see of the policy, as differences from the SFT model or multiples of its figures. None: not measured."""

    raw_z: float | None  # nats per token
    chosen: float | None  # nats per token
    loss: float | None
    gradient: float
    kl: float | None = None
    entropy: float | None = None
    loops: float | None = None
    endings: float | None = None
    words: float | None = None
    probes: float | None = None

    def readings(self) -> dict[str, float]:
        """Guard -> value, for everything that was measured."""
        values = asdict(self)
        entropy = values.pop("entropy")
        values |= {"entropy_low": entropy, "entropy_high": entropy}
        return {name: value for name, value in values.items() if value is not None}


def check(signals: Signals, limits: Mapping[str, Limits] = LIMITS) -> tuple[list[str], list[str]]:
    """Two lists of sentences: warnings, and breaches that send training back. A signal without limits is not watched."""
    warnings, breaches = [], []
    for name, value in signals.readings().items():
        if name not in limits:
            continue
        sign, limit = 1 if name in UPPER else -1, limits[name]
        if not math.isfinite(value):
            breaches.append(f"{name} is no longer a number")
        elif sign * value > sign * limit.stop:
            breaches.append(f"{TEXTS[name].format(value)} (limit {limit.stop:g})")
        elif sign * value > sign * limit.warn:
            warnings.append(f"{TEXTS[name].format(value)} (warning from {limit.warn:g})")
    return warnings, breaches
