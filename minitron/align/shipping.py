"""The end of an alignment: saves the model that ships, points `best` at it, records the verdict and prints it.

Knows nothing about how it was chosen.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from minitron.align.loop import Alignment
from minitron.align.selection import tell
from minitron.core.files import atomic_write
from minitron.evaluate.verdict import Verdict
from minitron.model.language_model import LanguageModel
from minitron.train import checkpoint


def ship(
    alignment: Alignment[Any],
    model: LanguageModel,
    verdict: Verdict,
    *,
    told_apart_by: Mapping[str, float],
    before: str,
) -> None:
    """Writes best and report.json of the alignment's stage. `before` names the model that the stage began with."""
    method, state, stage, layout = alignment.method, alignment.state, alignment.stage, alignment.config.layout
    verdict = replace(
        verdict,
        shipped_step=state.passed if verdict.shipped.blend else 0,
        breaches=state.breaches,
        raw_z=state.raw_z_per_token.value,
        told_apart_by=told_apart_by,
        limits={name: (limits.warn, limits.stop) for name, limits in method.limits.items()},
    )
    name = f"blend-{verdict.shipped.blend:.2f}"
    info = {"stage": stage, "valid_loss": verdict.shipped.loss}
    checkpoint.save(layout.stage(stage), model, step=verdict.shipped_step, info=info, name=name)
    checkpoint.point(layout.stage(stage), "best", name)
    atomic_write(layout.stage_report(stage), json.dumps(verdict.to_json(), indent=1))
    tell(verdict, stage=stage, before=before)
