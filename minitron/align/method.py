"""How kto learns and what may ship: what docs/kto-study.md settled, so that no recipe has to.

A recipe sets how long and how strongly (`[kto]`). The rest is here, with the reason for each value; the study and the
benchmarks vary it: `replace(Method(), nll_weight=0.0)`. Knows nothing about models.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from minitron.align.guards import LIMITS, Limits


@dataclass(frozen=True)
class Method:
    """The loss, what is looked at on the way, and what may ship. Figures in comments are the study's."""

    # ---- the loss
    loss: Literal["kto", "apo_zero"] = "kto"  # against z_ref (arXiv 2402.01306), or the reference alone (2408.06266)
    # Log-ratios per completion: the mean over its tokens, or their sum as published, which costs held-out loss (+1.2%, here -3.9%).
    ratio: Literal["mean", "sum"] = "mean"
    # z_ref = max(0, raw z). `batch`: raw z is this batch's mean over mismatched pairs, as published; `running`: its running
    # mean, since 16 pairs are few; `matched`: the running mean of (chosen + rejected) / 2, as the reference article has it.
    z_ref: Literal["running", "batch", "matched"] = "running"
    z_decay: float = 0.99  # of the running means, which so remember about a hundred steps
    weights: tuple[float, float] | None = None  # lambda_d, lambda_u; None: from the numbers of both classes
    # Log-ratios of single tokens are kept within these (arXiv 2509.24207). A token may fall to a twentieth; where it may fall
    # to a third only, more runaways are left.
    token_clamp: tuple[float, float] | None = (-3.0, 1.5)
    rejected_floor: float | None = 1.0  # nats per token below the reference from which a rejected one is left alone
    mask_loops: bool = (
        True  # of a rejected loop only what comes after its first round is pushed down (arXiv 2206.02369)
    )
    cut_rejected: bool = True  # of a rejected one no more tokens are pushed down than the chosen one of its prompt has
    nll_weight: float = (
        1.0  # of the cross-entropy on chosen completions (arXiv 2404.19733): keeps held-out loss in its limits
    )
    optimizer: Literal["", "adamw", "muon"] = ""  # empty: the recipe's
    decay: bool = False  # the learning rate falls to 0 in a straight line, in place of staying where it is
    kept_weight: float = 1.0  # of feedback's cross-entropy on replayed answers

    # ---- looks at the policy
    held_out_rows: int = 64  # packed rows of the validation set that its loss is measured on; 0: all
    on_policy_prompts: int = 64  # prompts answered freely; 0: none
    probes_asked: int = 256  # 0: none
    limits: Mapping[str, Limits] = field(default_factory=lambda: LIMITS)
    retries: int = 1  # how often training goes back, with half the learning rate, before it stops

    # ---- what may ship
    blends: tuple[float, ...] = (0.25, 0.5, 0.75, 1.0)  # shares of the way from the SFT weights to the trained ones
    max_distinct_drop: float = 0.02  # what ships has at most this share less distinct-2 in chat answers
