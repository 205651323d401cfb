"""An induction head in a fresh model: two heads that find what came after the same token earlier, from the first step on.

Such a pair is how transformers copy (Elhage et al., "A Mathematical Framework for Transformer Circuits", 2021; Olsson et al., arXiv
2209.11895), and a small model needs hundreds of steps to find it. A head of the first layer attends to the token before its own and
writes that token's embedding beside its own; a head of the second attends to places whose token before was like the newest token, and adds
the embeddings found there, so that the tied head predicts them. Trockman et al. begin state space models in this spirit (mimetic
initialization, arXiv 2410.11135). What it is worth is in docs/training-notes.md. Knows nothing about tokenizers and stages.

RoPE turns pairs of a head's elements at different speeds. Fast pairs tell neighbouring places apart, so the first head uses those; in
the second, which looks for a match at any distance, only slow ones take part.

Letters in shapes: D d_model, h a head's width.
"""

import torch
from torch import Tensor, nn

from minitron.model.language_model import LanguageModel
from minitron.model.llama import Llama, LlamaAttention

FAST = 0.11  # radians a token; pairs of elements that turn faster are fast
BEFORE = 30.0  # logit of the token before its own, in the first head; the next nearest gets about 4 less
MATCH = 24.0  # logit in the second head, if all of an input were the embedding looked for; about a quarter of it is
FOUND = 2.4  # length of what the second head adds to a token's vector
NOISE = 0.02  # deviation of the other weights of both heads' queries and keys, as in GPT-2


@torch.no_grad()
def as_induction_head(model: LanguageModel) -> None:
    """Gives one head of each of the first two layers the weights of an induction head, and all embeddings a part in common, which lets
    a head attend to a place whatever its token. The model is a `llama` of at least two layers."""
    trunk = model.trunk
    assert isinstance(trunk, Llama)
    first, second = trunk.attentions()[:2]
    width, size = model.config.d_model, model.config.head_size
    # a direction that all embeddings share: the same addition to all logits of a tied head, so it favours no token
    common = nn.functional.normalize(torch.randn(width), dim=0)
    length = model.embedding.norm(dim=1).mean()
    model.embedding.add_(length * common)
    gain = width**0.5 / (length * 2**0.5)  # of the first norm, whose input has length sqrt(2) length
    turns = speeds(model.config.rope_theta, size)
    fast = turns > FAST

    # A query with each fast pair turned back by one token meets the keys of the token before at their full length.
    strength = (BEFORE * size**0.5 / fast.sum()) ** 0.5 / (gain * length)
    begins = torch.cat((turns.cos(), -turns.sin())) * fast.repeat(2)
    meets = torch.cat((torch.ones(size // 2), torch.zeros(size // 2))) * fast.repeat(2)
    query, key, value, out = head_weights(first, size)
    query.normal_(std=NOISE).add_(strength * torch.outer(begins, common))
    key.normal_(std=NOISE).add_(strength * torch.outer(meets, common))
    read, written = directions(size, common), directions(size, common)
    value.copy_(read)
    out.copy_(written.T / gain)

    # The newest token's embedding is compared with the one that the first head wrote.
    slow = (~fast).repeat(2)
    scale = (MATCH * size**0.5 / max(1, int(slow.sum()))) ** 0.5
    query, key, value, out = head_weights(second, size)
    query.normal_(std=NOISE).add_(scale * slow[:, None] * read)
    key.normal_(std=NOISE).add_(scale * slow[:, None] * written)
    found = directions(size, common)
    value.copy_(found)
    out.copy_(FOUND / size**0.5 * found.T)


def speeds(theta: float, size: int) -> Tensor:
    """Radians a token by which RoPE turns each pair of a head's elements, (h / 2,), fastest first."""
    return theta ** -(torch.arange(0, size, 2) / size)


def head_weights(layer: LlamaAttention, size: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Views of the weights of the layer's first head: query, key and value (h, D) each, and output (D, h)."""
    return (
        layer.q_proj.weight[:size],
        layer.k_proj.weight[:size],
        layer.v_proj.weight[:size],
        layer.o_proj.weight[:, :size],
    )


def directions(size: int, common: Tensor) -> Tensor:
    """Random rows (h, D), orthonormal but for what makes them orthogonal to `common` (D,)."""
    rows = nn.init.orthogonal_(torch.empty(size, len(common)))
    return rows - torch.outer(rows @ common, common)
