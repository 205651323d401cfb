"""Cross-entropy over the vocabulary, without ever holding all logits. Pure functions of tensors; knows nothing about models."""

import torch
from torch import Tensor

LOGITS_AT_ONCE = 1 << 20  # logits of one piece: 4 MB in fp32, about what a core's cache holds
ROWS_AT_ONCE = 256  # least number of rows of one piece: with fewer the matrix products are slow


def linear_cross_entropy(
    hidden: Tensor, weight: Tensor, targets: Tensor, *, z_loss: float = 0.0, cap: float = 0.0
) -> Tensor:
    """Σ cross-entropy in nats of `hidden` (N, D), projected to the vocabulary by `weight` (V, D), with `targets` (N,); negative
    targets are ignored. The (N, V) logits never exist as a whole: they are computed, turned into their gradient and used in
    pieces that fit into a cache (as Liger Kernel does on GPUs, arXiv 2410.10989, section 3.2).

    `z_loss` is the weight of an added Σ log(Z)^2 (PaLM, arXiv 2204.02311, section 5). `cap`, if not 0, bends logits to
    cap tanh(logit / cap).
    """
    learns = torch.is_grad_enabled() and (hidden.requires_grad or weight.requires_grad)
    return _LinearCrossEntropy.apply(hidden, weight, targets, z_loss, cap, learns)


class _LinearCrossEntropy(torch.autograd.Function):
    """With `learns` the gradient is computed with the loss: `backward` only scales it. Here torch would not say whether anything is to
    learn: inside `forward` gradients are always off, and `needs_input_grad` is set under `inference_mode`, too."""

    @staticmethod
    def forward(
        ctx, hidden: Tensor, weight: Tensor, targets: Tensor, z_loss: float, cap: float, learns: bool
    ) -> Tensor:
        kind = hidden.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else hidden.dtype
        rows = max(ROWS_AT_ONCE, LOGITS_AT_ONCE // len(weight))
        total = torch.zeros((), device=hidden.device)
        with torch.autocast(kind, enabled=False):
            hidden_now, weight_now = hidden.to(dtype), weight.to(dtype)
            if learns:
                to_hidden = torch.empty_like(hidden_now)
                to_weight = torch.zeros_like(weight) if ctx.needs_input_grad[1] else None
            for at in range(0, len(targets), rows):
                part, target = hidden_now[at : at + rows], targets[at : at + rows, None]
                counted, target = (target >= 0).float(), target.clamp(min=0)
                logits = part @ weight_now.t()
                if cap:
                    bent = torch.tanh(logits.float() / cap)
                    logits = bent * cap
                logits = logits.float()  # no copy if they are fp32 already; they are overwritten below
                of_target, top = logits.gather(1, target), logits.amax(1, keepdim=True)
                mass = logits.sub_(top).exp_()  # the probability of each id, up to a factor
                whole = mass.sum(1, keepdim=True)
                log_z = whole.log() + top
                total += ((log_z - of_target) * counted).sum()
                if z_loss:
                    total += z_loss * (log_z.square() * counted).sum()
                if not learns:
                    continue
                # d loss / d logits = p - [target] + 2 w log(Z) p, the last term from the z-loss with weight w
                slope = mass.mul_(counted / whole * (1 + 2 * z_loss * log_z)).scatter_add_(1, target, -counted)
                if cap:
                    slope.mul_(1 - bent.square())
                slope = slope.to(dtype)
                torch.mm(slope, weight_now, out=to_hidden[at : at + rows])
                if to_weight is None:
                    continue
                if dtype == weight.dtype:
                    to_weight.addmm_(slope.t(), part)
                else:
                    to_weight += slope.t() @ part
        if learns:
            ctx.save_for_backward(to_hidden.to(hidden.dtype), to_weight)
        return total

    @staticmethod
    def backward(ctx, scale: Tensor) -> tuple[Tensor, Tensor | None, None, None, None, None]:
        to_hidden, to_weight = ctx.saved_tensors
        return to_hidden * scale, None if to_weight is None else to_weight * scale, None, None, None, None
