"""The weights of a model that is trained from scratch.

    model = fresh_model(config.model, tokenizer, seed=config.seed, train=config.sft)

A small model spends much of its training on learning what its tokenizer could have told it: that "Дом", " дом" and "ДОМ" are
one word, which letter a piece begins with, how long it is. So an embedding begins as a sum of vectors, one for each feature of the
piece's spelling (fastText does so with n-grams of letters: Bojanowski et al., arXiv 1607.04606). The weights of keys begin equal to
those of queries, so that at first a head attends to tokens like its own, which copying needs (the first half of Trockman & Kolter's
mimetic initialisation, arXiv 2305.09828). If the recipe asks for it, two heads begin as an induction head (`induction`). AdamW learns
slower from such a start, so with AdamW a model begins as GPT-2 does; docs/training-notes.md says what each is worth. Knows nothing
about stages.
"""

import math
from collections.abc import Iterator
from itertools import accumulate, chain

import torch
from torch import Tensor
from torch.nn import functional as F

from minitron.model.language_model import LanguageModel
from minitron.recipe.training import ModelConfig, TrainConfig
from minitron.tokenizer.base import Tokenizer
from minitron.train.induction import as_induction_head

SPELT = 0.8  # share of an embedding's variance that its spelling decides; the rest is random, of each piece by itself
# Length of an embedding's vector. The first step's logits have it as their standard deviation, since the last norm's
# outputs have unit variance.
LENGTH = 2.25


def fresh_model(config: ModelConfig, tokenizer: Tokenizer, *, seed: int, train: TrainConfig) -> LanguageModel:
    """An untrained model, for the optimizer of `train`. The same seed gives the same weights."""
    torch.manual_seed(seed)
    model = LanguageModel(config, tokenizer.vocab_size)
    if train.optim.name != "muon":
        return model
    with torch.no_grad():
        model.embedding.copy_(spelt_embeddings(tokenizer, config.d_model))
    keys_as_queries(model)
    if train.induction_head:
        as_induction_head(model)
    return model


@torch.no_grad()
def keys_as_queries(model: LanguageModel) -> None:
    """Gives the weights of keys the values of those of queries, or of the first of the queries that share a key."""
    size, width = model.config.head_size, model.config.d_model
    for query, key in model.trunk.queries_and_keys():
        of_groups = query.view(key.shape[0] // size, -1, size, width)
        key.copy_(of_groups[:, 0].reshape_as(key))


def spelt_embeddings(tokenizer: Tokenizer, d_model: int) -> Tensor:
    """Embeddings (V, D) in fp32: the more alike two pieces are spelt, the more alike are their vectors. Control tokens, blanks and
    parts of a character get random vectors, unlike all others."""
    numbers: dict[tuple, int] = {}  # feature -> its row in `table`
    rows: list[list[int]] = []
    weights: list[list[float]] = []
    for token in range(tokenizer.vocab_size):
        found = list(spelling(tokenizer.piece_bytes(token)))
        size = math.sqrt(sum(weight * weight for _, weight in found))
        rows.append([numbers.setdefault(feature, len(numbers)) for feature, _ in found])
        weights.append([weight / size for _, weight in found])
    own, table = torch.randn(len(rows), d_model), torch.randn(len(numbers), d_model)
    starts = torch.tensor([0, *accumulate(map(len, rows))][:-1])
    flat, flat_weights = torch.tensor(list(chain(*rows))), torch.tensor(list(chain(*weights)))
    shared = F.embedding_bag(flat, table, starts, mode="sum", per_sample_weights=flat_weights)
    spelt = torch.tensor([[SPELT if row else 0.0] for row in rows])
    return (spelt.sqrt() * shared + (1 - spelt).sqrt() * own) * (LENGTH / math.sqrt(d_model))


def spelling(piece: bytes) -> Iterator[tuple[tuple, float]]:
    """The features of a piece's spelling, each with its weight. None if the piece is blank or is not valid UTF-8 by itself."""
    try:
        text = piece.decode()
    except UnicodeDecodeError:
        return
    word = text.strip()
    letters = word.casefold()
    if not letters:
        return
    yield ("word", letters), 1.0
    yield ("blank before or after", text != word), 0.5
    yield ("first", letters[0]), 1.0
    yield ("last", letters[-1]), 1.0
    for letter in letters:
        yield ("letter", letter), 1 / math.sqrt(len(letters))
    yield ("length", len(letters)), 0.5
    yield ("capitals", word[:1].isupper(), word[1:].isupper()), 0.5
