"""The weights that training begins with where no other model is gone on from.

    model = fresh_model(config.model, tokenizer, seed=config.seed, optimizer=config.sft.optim.name)

A small model spends much of its training on finding out what its tokenizer could have told it: that "Дом", " дом" and "ДОМ" are
one word, which letter a piece begins with, how long it is. So an embedding begins as a sum over what shows in a piece's
spelling (fastText does so with n-grams of letters: Bojanowski et al., arXiv 1607.04606). Keys begin as queries do, so that
at first a head looks for what is like what it stands on, which copying needs (the first half of Trockman & Kolter's mimetic
initialisation, arXiv 2305.09828). docs/training-notes.md says what each is worth, and that AdamW learns slower
from such a start: it begins as GPT-2 does. Knows nothing about stages.
"""

import math
from collections.abc import Iterator
from itertools import accumulate, chain

import torch
from torch import Tensor
from torch.nn import functional as F

from minitron.model.language_model import LanguageModel
from minitron.recipe.schema import ModelConfig
from minitron.tokenizer.base import Tokenizer

SPELT = 0.8  # share of an embedding's variance that its spelling decides; the rest is the piece's own
LENGTH = 2.25  # of an embedding's vector: what the logits of the first step vary by, since the last norm gives them unit inputs


def fresh_model(config: ModelConfig, tokenizer: Tokenizer, *, seed: int, optimizer: str) -> LanguageModel:
    """A model that has seen nothing, for an optimizer of that name; the same for the same seed."""
    torch.manual_seed(seed)
    model = LanguageModel(config, tokenizer.vocab_size)
    if optimizer != "muon":
        return model
    with torch.no_grad():
        model.embedding.copy_(spelt_embeddings(tokenizer, config.d_model))
        for query, key in model.trunk.queries_and_keys():
            groups = key.shape[0] // config.head_size  # of query heads that share a key head
            of_groups = query.view(groups, -1, config.head_size, config.d_model)
            key.copy_(of_groups[:, 0].reshape_as(key))
    return model


def spelt_embeddings(tokenizer: Tokenizer, d_model: int) -> Tensor:
    """(V, D) fp32: pieces are the more alike the more alike they are spelt. Control tokens and halves of letters are like nothing."""
    numbers: dict[tuple, int] = {}  # feature -> its row of the table
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
    """What shows in a piece: feature -> weight. Nothing where it is no text of its own or blank."""
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
