"""Losses of alignment without pairs: a completion is chosen or rejected, and the reference model stays frozen.

A log-ratio is log π(y|x) - log π_ref(y|x): 0 while the policy is the reference, negative where it makes a completion less
likely. It comes in two units: summed over the completion's tokens, as published, or as their mean (`kto.ratio`); beta is
of the same unit, so a beta for means is about as many times larger as completions have tokens.
Pure functions of tensors; knows nothing about models.
"""

import torch
from torch import Tensor

MOST_WEIGHT = 4 / 3  # lambda_d n_d / (lambda_u n_u) belongs in [1, 4/3] (arXiv 2402.01306, eq. 9)


def kto(ratios: Tensor, *, labels: Tensor, z: float, beta: float) -> Tensor:
    """Kahneman-Tversky optimisation (Ethayarajh et al., arXiv 2402.01306, eq. 8), one value per completion, (B,) -> (B,).

    1 - sigmoid(beta * (r - z0)) for chosen, 1 - sigmoid(beta * (z0 - r)) for rejected, with z0 = max(0, z), a constant. At
    policy = reference (all r and z 0) every value is 0.5.
    """
    z0 = max(0.0, z)
    return 1 - torch.sigmoid(beta * torch.where(labels, ratios - z0, z0 - ratios))


def apo_zero(ratios: Tensor, *, labels: Tensor, beta: float) -> Tensor:
    """APO-zero without pairs (D'Oosterlinck et al., arXiv 2408.06266, eq. 7), (B,) -> (B,): KTO with z0 = 0.

    1 - sigmoid(beta * r) for chosen, sigmoid(beta * r) for rejected: chosen become likelier, rejected less likely, each
    against the reference and not against what happens to other completions.
    """
    return kto(ratios, labels=labels, z=0.0, beta=beta)


def class_weights(chosen: int, rejected: int) -> tuple[float, float]:
    """lambda_d and lambda_u for so many completions of each class: the smaller class is raised until
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
    """Log-ratios of tokens (T,) -> of completions (B,): summed, or their mean. `owner` (T,) says whose token it is.

    With `clamp` each token's ratio is kept within (low, high) first, so that no single token carries a completion's loss
    and one already that far away is not pushed further (the clamp of "humanline" variants, arXiv 2509.24207).
    """
    if clamp:
        tokens = tokens.clamp(*clamp)
    sums = torch.zeros(len(lengths), dtype=tokens.dtype, device=tokens.device).index_add(0, owner, tokens)
    return sums / lengths if mean else sums
