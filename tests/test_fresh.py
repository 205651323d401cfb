"""A model before any training: embeddings that are made from spelling, and the size of its first logits."""

from itertools import combinations

import pytest
import torch
from torch.nn import functional as F

from minitron.recipe.training import ModelConfig, OptimConfig, SftConfig
from minitron.train.fresh import LENGTH, SPELT, fresh_model, spelling, spelt_embeddings

MUON = SftConfig(optim=OptimConfig(name="muon"))
PIECES = [
    b"",
    b"\xd1",
    b"the",
    b" the",
    b"The",
    b" and",
    b"xyzzy",
    b" q",
    b"17",
    b"18",
    b" 43",
    "дом".encode(),
    " Дом".encode(),
    "ДОМ".encode(),
]


PAIRS = list(combinations(["the", " the", "The", " and", "xyzzy", "17", "18", " 43", "дом", " Дом", "ДОМ"], 2))


class Pieces:
    """The part of a tokenizer that `spelt_embeddings` uses."""

    vocab_size = len(PIECES)

    def piece_bytes(self, token: int) -> bytes:
        return PIECES[token]


def alike(first: str | bytes, second: str | bytes) -> float:
    """The mean cosine of two pieces' embeddings over 150 seeds."""
    found = []
    places = [PIECES.index(p.encode() if isinstance(p, str) else p) for p in (first, second)]
    for seed in range(150):
        torch.manual_seed(seed)
        rows = spelt_embeddings(Pieces(), 64)[places]
        found.append(F.cosine_similarity(rows[0], rows[1], dim=0).item())
    return sum(found) / len(found)


def expected(first: str, second: str) -> float:
    """The cosine expected from the features that both have: features are independent vectors of unit variance, and so are rows."""
    a, b = dict(gathered(first)), dict(gathered(second))
    return SPELT * sum(a[k] * b[k] for k in a.keys() & b.keys()) / (norm(a) * norm(b))


def gathered(text: str) -> dict:
    summed: dict = {}
    for feature, weight in spelling(text.encode()):
        summed[feature] = summed.get(feature, 0) + weight
    return summed


def norm(features: dict) -> float:
    return sum(w * w for w in features.values()) ** 0.5


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_pieces_are_alike_as_their_spelling_is(first, second):
    assert alike(first, second) == pytest.approx(expected(first, second), abs=0.06)


def test_one_word_is_one_word():
    assert expected("дом", " Дом") > 0.6 > 0.2 > expected("the", " and")
    assert expected("дом", "ДОМ") > 0.6


def test_what_has_no_letters_is_like_nothing():
    assert not list(spelling(b"")) + list(spelling(b"\xd1")) + list(spelling(b"  "))
    for other in (b"\xd1", b"the", " Дом".encode()):
        assert alike(b"", other) == pytest.approx(0, abs=0.06)


def test_the_first_logits_vary_as_much_in_every_width():
    """The last norm gives rows of unit mean square, so the logits' deviation is the length of an embedding."""
    for width in (32, 128, 512):
        torch.manual_seed(0)
        lengths = spelt_embeddings(Pieces(), width).norm(dim=1)
        assert lengths.mean().item() == pytest.approx(LENGTH, rel=0.15)


@pytest.mark.parametrize(
    "shape",
    [{"n_kv_heads": 4}, {"n_kv_heads": 2}, {"n_kv_heads": 1, "head_dim": 12}, {"n_kv_heads": 4, "arch": "nanogpt"}],
)
def test_keys_begin_as_queries(shape):
    config = ModelConfig(n_layers=2, n_heads=4, d_model=32, d_ff=64, context=16, **shape)
    model = fresh_model(config, Pieces(), seed=3, train=MUON)
    pairs = model.trunk.queries_and_keys()
    assert len(pairs) == 2
    size, shared = config.head_size, 4 // config.n_kv_heads
    for query, key in pairs:
        for head in range(config.n_kv_heads):
            of_query = query[head * shared * size : (head * shared + 1) * size]
            assert torch.equal(key[head * size : (head + 1) * size], of_query)


def test_the_same_seed_gives_the_same_model():
    config = ModelConfig(n_layers=1, n_heads=2, n_kv_heads=2, d_model=32, d_ff=64, context=16)
    one, same, other = (fresh_model(config, Pieces(), seed=seed, train=MUON).state_dict() for seed in (5, 5, 6))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["model.embed_tokens.weight"], other["model.embed_tokens.weight"])


def test_adamw_begins_as_gpt2_does():
    config = ModelConfig(n_layers=1, n_heads=2, n_kv_heads=2, d_model=64, d_ff=64, context=16)
    model = fresh_model(config, Pieces(), seed=5, train=SftConfig())
    assert model.embedding.std().item() == pytest.approx(0.02, rel=0.1)
