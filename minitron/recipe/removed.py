"""Options that recipes once had. Knows nothing about those that they have now."""

from typing import Any

# Options that older recipes may hold -> the value that is fixed now. A recipe that sets another value is refused.
REMOVED: dict[str, Any] = {
    "kto.loss": "kto",
    "kto.ratio": "mean",
    "kto.z": "running",
    "kto.z_decay": 0.99,
    "kto.weight_chosen": 0.0,
    "kto.weight_rejected": 0.0,
    "kto.token_clamp": [-3.0, 1.5],
    "kto.rejected_floor": 1.0,
    "kto.mask_loops": True,
    "kto.cut_rejected": True,
    "kto.nll_weight": 1.0,
    "kto.eval_rows": 64,
    "kto.blends": [0.25, 0.5, 0.75, 1.0],
    "kto.max_distinct_drop": 0.02,
    "kto.guards.retries": 1,
    "kto.guards.raw_z": [-0.15, -0.2],
    "kto.guards.chosen": [-0.05, -0.15],
    "kto.guards.loss": [0.005, 0.01],
    "kto.guards.kl": [0.1, 0.3],
    "kto.guards.entropy_low": [0.7, 0.5],
    "kto.guards.entropy_high": [1.4, 2.0],
    "kto.guards.loops": [0.05, 0.15],
    "kto.guards.endings": [-0.05, -0.15],
    "kto.guards.words": [-0.05, -0.15],
    "kto.guards.probes": [-0.01, -0.02],
    "kto.guards.gradient": [1e-3, 1e-5],
    "kto.guards.walk_prompts": 64,
    "kto.guards.probes_asked": 256,
    "eval.eval_rows": 0,
}
