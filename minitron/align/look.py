"""What the guards see of a policy: held-out loss, on-policy samples and probes, measured alike before and during kto.

Knows nothing about limits and steps.
"""

import math
from dataclasses import dataclass

from minitron.align.guards import Signals
from minitron.align.method import Method
from minitron.evaluate.examiner import Examiner, OnPolicy
from minitron.model.language_model import LanguageModel


@dataclass(frozen=True)
class Look:
    """Figures of a policy; None where the recipe has nothing to measure them on."""

    loss: float | None  # held-out, nats per target token
    on_policy: OnPolicy | None
    probes: float | None  # share of right answers

    @classmethod
    def at(cls, model: LanguageModel, reference: LanguageModel, *, examiner: Examiner, method: Method) -> "Look":
        """Measures a model; KL and entropy of its on-policy samples are compared with `reference`."""
        held_out = examiner.loss(model, rows=method.held_out_rows)
        if held_out and not math.isfinite(held_out.loss):
            return cls(held_out.loss, None, None)  # nothing can be sampled
        on_policy = probes = None
        if method.on_policy_prompts and examiner.prompts:
            on_policy = examiner.on_policy(model, reference, count=method.on_policy_prompts)
        if method.probes_asked and examiner.questions:
            probes = examiner.probes(model, limit=method.probes_asked)
        return cls(
            loss=held_out.loss if held_out else None,
            on_policy=on_policy,
            probes=probes.accuracy.value if probes else None,
        )

    def signals(self, before: "Look", *, raw_z: float | None, chosen: float | None, gradient: float) -> Signals:
        """Compares this look with `before`, the look at the SFT model. `raw_z` and `chosen` are log-ratios in nats per token;
        `gradient` is the gradient norm divided by that of the first steps."""
        now, then = self.on_policy, before.on_policy
        return Signals(
            raw_z=raw_z,
            chosen=chosen,
            loss=self.loss / before.loss - 1 if self.loss is not None and before.loss else None,
            gradient=gradient,
            kl=now.kl if now else None,
            entropy=now.entropy / max(now.reference_entropy, 1e-9) if now else None,
            loops=now.loop - then.loop if now and then else None,
            endings=now.ended - then.ended if now and then else None,
            words=now.real_words - then.real_words if now and then else None,
            probes=self.probes - before.probes if self.probes is not None and before.probes is not None else None,
        )
