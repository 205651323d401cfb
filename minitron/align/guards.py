"""The guards of kto: which signals are watched, when they warn and when they send training back.

The loss cannot see a collapse (z is clamped at 0, and at policy = reference and far below it the loss is 0.5 alike), so other
figures are watched: what happens to likelihood (`raw_z`, `chosen`), to held-out dialogues (`loss`), and to what the policy
says on its own (`kl`, `entropy`, `loops`, `endings`, `words`, `probes`). Thresholds: `[kto.guards]` in the recipe.
Knows nothing about training.
"""

import math
from dataclasses import asdict, dataclass

from minitron.recipe.schema import GuardsConfig

# name of a guard -> how to say it
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
UPPER = ("loss", "kl", "entropy_high", "loops")  # these guards are limits from above


@dataclass
class Signals:
    """One look at the policy. Differences and shares are against the SFT model; None: not measured."""

    raw_z: float  # nats per token
    chosen: float  # nats per token
    loss: float | None
    gradient: float
    kl: float | None = None
    entropy: float | None = None
    loops: float | None = None
    endings: float | None = None
    words: float | None = None
    probes: float | None = None

    def readings(self) -> dict[str, float]:
        """Guard -> value, of what was measured."""
        values = asdict(self)
        entropy = values.pop("entropy")
        values |= {"entropy_low": entropy, "entropy_high": entropy}
        return {name: value for name, value in values.items() if value is not None}


def check(signals: Signals, guards: GuardsConfig) -> tuple[list[str], list[str]]:
    """What to warn of, and what must not go on, as sentences."""
    warnings, breaches = [], []
    for name, value in signals.readings().items():
        limits = getattr(guards, name)
        if not limits:
            continue
        sign = 1 if name in UPPER else -1
        warn, stop = limits
        if not math.isfinite(value):
            breaches.append(f"{name} is no longer a number")
        elif sign * value > sign * stop:
            breaches.append(f"{TEXTS[name].format(value)} (limit {stop:g})")
        elif sign * value > sign * warn:
            warnings.append(f"{TEXTS[name].format(value)} (warning from {warn:g})")
    return warnings, breaches
