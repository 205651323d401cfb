"""Losses of alignment without pairs: a completion is chosen or rejected, and the reference model stays frozen.

A log-ratio is log π(y|x) - log π_ref(y|x): 0 while the policy is the reference, negative where it makes a completion less
likely. It comes in two units: summed over the completion's tokens, as published, or as their mean (`Method.ratio`); beta is
of the same unit, so a beta for means is larger than one for sums, by about the number of tokens of a completion.

Two names are used everywhere: `raw_z` is the mean log-ratio of mismatched pairs; z_ref, which the loss uses, is max(0, raw_z).
Pure functions of tensors; knows nothing about models.
"""

import torch
from torch import Tensor

from minitron.align.method import Method

MOST_WEIGHT = 4 / 3  # lambda_d n_d / (lambda_u n_u) belongs in [1, 4/3] (arXiv 2402.01306, eq. 9)


def kto(ratios: Tensor, *, labels: Tensor, raw_z: float, beta: float) -> Tensor:
    """Kahneman-Tversky optimisation (Ethayarajh et al., arXiv 2402.01306, eq. 8): one value per completion, (B,) -> (B,).

    1 - sigmoid(beta * (r - z_ref)) for chosen, 1 - sigmoid(beta * (z_ref - r)) for rejected, with z_ref = max(0, raw_z), a
    constant. Where the policy equals the reference (all r and raw_z are 0), every value is 0.5.
    """
    z_ref = max(0.0, raw_z)
    return 1 - torch.sigmoid(beta * torch.where(labels, ratios - z_ref, z_ref - ratios))


def apo_zero(ratios: Tensor, *, labels: Tensor, beta: float) -> Tensor:
    """APO-zero without pairs (D'Oosterlinck et al., arXiv 2408.06266, eq. 7), (B,) -> (B,): KTO with z_ref = 0.

    1 - sigmoid(beta * r) for chosen, sigmoid(beta * r) for rejected: chosen ones become likelier, rejected ones less likely, each
    measured against the reference alone and not against what happens to other completions.
    """
    return kto(ratios, labels=labels, raw_z=0.0, beta=beta)


def preference_loss(
    ratios: Tensor, *, labels: Tensor, lengths: Tensor, raw_z: float, beta: float, method: Method
) -> Tensor:
    """The method's loss of each completion, (B,) -> (B,), unweighted. `ratios`, `raw_z` and `beta` are in the unit of
    `method.ratio`; `lengths` (B,) are the completions' tokens."""
    if method.rejected_floor is not None:
        floor = -method.rejected_floor * (torch.ones_like(ratios) if method.ratio == "mean" else lengths)
        ratios = torch.where(labels, ratios, torch.maximum(ratios, floor))
    if method.loss == "apo_zero":
        return apo_zero(ratios, labels=labels, beta=beta)
    return kto(ratios, labels=labels, raw_z=raw_z, beta=beta)


def class_weights(chosen: int, rejected: int) -> tuple[float, float]:
    """lambda_d and lambda_u for these numbers of chosen and rejected completions: the smaller class gets a higher weight, so that
    lambda_d * chosen / (lambda_u * rejected) lies within [1, 4/3] (arXiv 2402.01306, eq. 9)."""
    if not chosen or not rejected:
        return 1.0, 1.0
    share = chosen / rejected
    return max(1.0, 1 / share), max(1.0, share / MOST_WEIGHT)


def per_completion(
    tokens: Tensor,
    owner: Tensor,
    *,
    lengths: Tensor,
    mean: bool,
    clamp: tuple[float, float] | None = None,
) -> Tensor:
    """Log-ratios of tokens (T,) -> of completions (B,): their sums or means. `owner` (T,) says which completion a token belongs to.

    With `clamp` each token's ratio is first limited to (low, high), so that no single token dominates a completion's loss,
    and a token that is already that far away is not pushed further (the clamp of "humanline" variants, arXiv 2509.24207).
    """
    if clamp:
        tokens = tokens.clamp(*clamp)
    sums = torch.zeros(len(lengths), dtype=tokens.dtype, device=tokens.device).index_add(0, owner, tokens)
    return sums / lengths if mean else sums
