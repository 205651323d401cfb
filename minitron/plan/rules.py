"""Rules for how large a model is and how it is trained. Each rule is a function, with its source.

    shape = shape_for(2_000_000, ModelConfig(), length=256, limit=vocabulary_limit(tokens))

Knows nothing about this machine; of the data it knows only counts.
"""

import math
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise

from minitron.plan import memory
from minitron.plan.corpus_stats import Counts
from minitron.plan.studied import Studied
from minitron.recipe.shapes import resolved
from minitron.recipe.training import ModelConfig
from minitron.train.optimizer import method

SMALLEST, LARGEST = 100_000, 1_000_000_000  # parameters
# Passes over the data up to which repeated data are nearly as good as new, and after which more are worth little
# (Muennighoff et al., arXiv 2305.16264, section 6).
USEFUL_EPOCHS, MOST_EPOCHS = 4, 16
# Operations of training, and the number of parameters that did best with them: for two times of training, three sizes each on
# three kinds of data (docs/plan.md; benchmarks/plan.py measured the second), and the smallest of Hoffmann et al., arXiv
# 2203.15556, table 3.
MEASURED = {
    "seconds": (2.5e11, 0.40e6),
    "minutes": (5.9e13, 1.1e6),
    "Chinchilla": (1.92e19, 400e6),
}
# Parameters outside the embedding, and the size of the vocabulary that did best with them: for the smallest ones, twice what the raw
# results of Tao et al. (arXiv 2407.13623) come to there (docs/plan.md; benchmarks/plan.py --vocabulary measured it), for others those.
VOCABULARIES = [(0.2e6, 1280), (0.8e6, 2400), (10e6, 4500), (30e6, 5700), (100e6, 10_000)]
# A model that was trained on fewer tokens does not speak; repeated tokens count for what they are worth. A demo needs 1.2M
# tokens of its regular dialogues to answer half of its probes.
SPEAKS = 1_000_000


def vocabulary(body: int, *, studied: Studied | None = None) -> int:
    """The vocabulary's size for `body` parameters outside the embedding: interpolated in logarithms between VOCABULARIES, and extrapolated
    beyond them. A study of the user's own text moves this curve up or down, so that the study's best vocabulary lies on it. A multiple
    of 64."""
    if not studied:
        return max(512, 64 * round(between(VOCABULARIES, body) / 64))
    moved = studied.vocab_size * between(VOCABULARIES, body) / between(VOCABULARIES, studied.body)
    return max(min(512, studied.vocab_size), 64 * round(moved / 64))


def between(points: list[tuple[float, float]], x: float) -> float:
    """y at x, interpolated linearly in logarithms between the ascending `points` (x, y), and extrapolated beyond them."""
    pairs = list(pairwise(points))
    (x0, y0), (x1, y1) = next((pair for pair in pairs if x <= pair[1][0]), pairs[-1])
    return y0 * (x / x0) ** (math.log(y1 / y0) / math.log(x1 / x0))


def vocabulary_limit(tokens: int) -> int:
    """The largest vocabulary V that `tokens` tokens of data can teach: 95% of it should be seen 100 times (Gowda & May, arXiv
    2004.02334, section 4), and by Zipf's law the token of rank r is seen tokens / (r ln V) times."""
    size = 512
    while 95 * 2 * size * math.log(2 * size) <= tokens:
        size *= 2
    step = size // 8
    while 95 * (size + step) * math.log(size + step) <= tokens:
        size += step
    return size


def best_size(operations: float) -> float:
    """The number of parameters that so many operations of training are best spent on: interpolated in logarithms between MEASURED,
    and extrapolated beyond. This gives 5 to 12 tokens per parameter for what a laptop computes in minutes, and the often quoted 20
    for half a day of an H100; nanochat measured 8 there (miniseries v1, 1e18 to 1e19 operations)."""
    return between(sorted(MEASURED.values()), operations)


def depth(d_model: int) -> int:
    """The number of blocks for a width: one for each 64 of width, as in nanochat (depth x 64), GPT-2, and the small models of nanoGPT
    and llama2.c (384 / 6, 512 / 8, 768 / 12), and at least 4."""
    return max(4, round(d_model / 64))


def head_size(d_model: int) -> int:
    """The width of a head: 64, as in all models that `depth` names; 32 where 64 would leave one head or does not fit."""
    return 64 if d_model >= 128 and d_model % 64 == 0 else 32


def context(counts: Counts) -> int:
    """The context in tokens: the least power of two from 256 to 1024 that holds 95% of the dialogues, else 2048; a chat of several
    turns needs 256 in any case."""
    return next((size for size in (256, 512, 1024) if counts.longest(0.95) <= size), 2048)


def learning_rate(d_model: int, optimizer: str) -> float:
    """The peak learning rate by the optimizer's own rule, in inverse proportion to the width (Yang et al., arXiv 2203.03466, table 3)."""
    return two_digits(method(optimizer).learning_rate(d_model))


def batch_tokens(body: int, tokens: float) -> float:
    """Tokens of a step: a third of DeepSeek LLM's law 0.292 C^0.3271, with C = 6 N D operations in all (arXiv 2401.02954, section
    3.1), since models as small as these learn more from more steps (the shipped recipes' batches are 0.28 to 0.37 of the law's)."""
    return 0.09 * (6 * body * tokens) ** 0.3271


def worth(tokens: float, unique: float) -> float:
    """How many new tokens are worth as much as `tokens` tokens, of which only U = `unique` differ: U + U R (1 - exp(-repeats / R))
    with R = 15.4 (Muennighoff et al., arXiv 2305.16264, equation 5)."""
    once, repeats = min(tokens, unique), max(0.0, tokens / max(1.0, unique) - 1)
    return once * (1 + 15.4 * (1 - math.exp(-repeats / 15.4)))


def two_digits(value: float) -> float:
    """The value, rounded to two significant digits."""
    return float(f"{value:.1e}")


# ---- shapes


@dataclass
class Shape:
    """A model, its vocabulary and its size."""

    model: ModelConfig
    vocab_size: int
    body: int  # weights of the blocks' matrices
    params: int  # with the embedding: nanoGPT's way to count, but for the norms


def shape_for(
    params: float,
    base: ModelConfig,
    *,
    length: int,
    limit: int,
    fixed: int = 0,
    studied: Studied | None = None,
) -> Shape:
    """The rules' shape for about `params` parameters. Options that the rules do not decide stay as in `base`.

    Widths alone leave gaps, so the depth may differ from what `depth` says: a size 20% off is as bad as twice the depth.
    `limit` is the largest vocabulary that the data can teach; a study may have found a larger one. `fixed`, if not 0, is the
    vocabulary's size whatever the model's.
    """
    best, least = None, math.inf
    limit = max(limit, studied.vocab_size) if studied else limit
    for width in [*range(32, 192, 32), *range(192, 3073, 64)]:
        usual = depth(width)
        for layers in range(max(3, usual // 2), 2 * usual + 1):
            body = layers * block_size(base.arch, width)
            vocab_size = fixed or min(limit, vocabulary(body, studied=studied))
            size = body + vocab_size * width * (1 + base.untied_head)
            cost = abs(math.log(size / params)) + 0.2 * abs(math.log2(layers / usual))
            if cost < least:
                best, least = (width, layers, vocab_size, body, size), cost
    width, layers, vocab_size, body, size = best
    heads = width // head_size(width)
    decided = {"n_layers": layers, "n_heads": heads, "n_kv_heads": 0, "head_dim": 0, "d_model": width}
    # the kinds of a stream's layers are repeated or cut to the new number of layers
    found = resolved(replace(base, **decided, context=length, d_ff=0, layers=base.layers[:layers]))
    return Shape(found, vocab_size, body, size)


@cache
def block_size(arch: str, d_model: int) -> int:
    """The number of weights in a block's matrices; for a stream, whose blocks differ, their mean."""
    shape = ModelConfig(arch=arch, n_layers=4, n_heads=d_model // head_size(d_model), d_model=d_model)
    return memory.block_matrices(resolved(shape)) // 4
