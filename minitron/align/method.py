"""How kto learns and what may ship: the settings that docs/kto-study.md settled, so that no recipe has to.

A recipe sets how long and how strongly kto trains (`[kto]`). The rest is here, with the reason for each value; the study and
the benchmarks vary it: `replace(Method(), nll_weight=0.0)`. Knows nothing about models.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from minitron.align.guards import LIMITS, Limits


@dataclass(frozen=True)
class Method:
    """The loss, what is measured during training, and what may ship. Figures in comments come from the study."""

    # ---- the loss
    loss: Literal["kto", "apo_zero"] = "kto"  # against z_ref (arXiv 2402.01306), or the reference alone (2408.06266)
    # A completion's log-ratio is the mean over its tokens or, as published, their sum. As published held-out loss rises by 1.2%,
    # here it falls by 3.9%.
    ratio: Literal["mean", "sum"] = "mean"
    # z_ref = max(0, raw z). `batch`: raw z is this batch's mean over mismatched pairs, as published; `running`: its running
    # mean, since 16 pairs are few; `matched`: the running mean of (chosen + rejected) / 2, as in the reference article.
    z_ref: Literal["running", "batch", "matched"] = "running"
    z_decay: float = 0.99  # of the running means: they remember about a hundred steps
    weights: tuple[float, float] | None = None  # lambda_d, lambda_u; None: from the numbers of both classes
    # Log-ratios of single tokens are limited to these (arXiv 2509.24207). A token's probability may fall to a twentieth of the
    # reference's; if it may only fall to a third, more runaways remain.
    token_clamp: tuple[float, float] | None = (-3.0, 1.5)
    # A rejected completion that is this many nats per token below the reference is left alone.
    rejected_floor: float | None = 1.0
    # Only the part of a rejected loop after its first round is pushed down (arXiv 2206.02369).
    mask_loops: bool = True
    # At most as many tokens of a rejected completion are pushed down as the chosen one of its prompt has.
    cut_rejected: bool = True
    # Weight of the cross-entropy on chosen completions (arXiv 2404.19733), which keeps held-out loss within its limits.
    nll_weight: float = 1.0
    optimizer: Literal["", "adamw", "muon"] = ""  # empty: the one that the recipe names
    decay: bool = False  # the learning rate falls linearly to 0 instead of staying constant
    kept_weight: float = 1.0  # weight of the cross-entropy on replayed answers, in stage feedback

    # ---- looks at the policy
    held_out_rows: int = 64  # packed rows of the validation set that the loss is measured on; 0: all
    on_policy_prompts: int = 64  # prompts that the policy answers, for the on-policy guards; 0: none
    probes_asked: int = 256  # 0: none
    limits: Mapping[str, Limits] = field(default_factory=lambda: LIMITS)
    retries: int = 1  # how often training goes back, with half the learning rate, before it stops

    # ---- what may ship
    blends: tuple[float, ...] = (0.25, 0.5, 0.75, 1.0)  # shares of the way from the SFT weights to the trained ones
    max_distinct_drop: float = 0.02  # distinct-2 of chat answers may fall by at most this share
