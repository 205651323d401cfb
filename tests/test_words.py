"""Encoding a text word by word gives exactly the ids that SentencePiece gives for the whole text."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sentencepiece.sentencepiece_model_pb2 import ModelProto

from minitron.recipe.schema import TokenizerConfig
from minitron.tokenizer import kinds, words

TEXT = [f"the small cat number {i} sat -- on the Ёлка, и « кот »... 日本 naïve a  b\n\tc ﬁ" for i in range(60)]
KINDS = [
    ("bpe", "identity", 340),
    ("bpe", "ru-classics", 340),
    ("bpe-spaces", "identity", 340),
    ("char-bpe", "nmt_nfkc", 70),
]
letters = st.one_of(
    st.sampled_from([*" \u2581\n\t\u00a0thecats.,-«ёЁ日☃ﬁ\0", "  ", "the cat", "fun", "<|end|>"]),
    st.characters(exclude_categories=["Cs"]),
)
texts = st.lists(st.lists(letters, max_size=20).map("".join), max_size=8)


@pytest.fixture(scope="module", params=KINDS, ids=str)
def tokenizer(request, tmp_path_factory):
    kind, rules, size = request.param
    path = tmp_path_factory.mktemp("words") / "tokenizer.model"
    config = TokenizerConfig(kind=kind, vocab_size=size, normalization=rules, user_symbols=["fun", "«"])
    path.write_bytes(kinds.train(TEXT, config=config, seed=1))
    return kinds.load(path)


@settings(max_examples=150, deadline=None)
@given(texts)
def test_words_have_the_ids_that_they_have_in_their_text(tokenizer, texts):
    assert words.separable(ModelProto.FromString(tokenizer.data))
    ids, ends = tokenizer.encode_flat(texts)
    assert ids.dtype == np.int32
    assert [ids[a:b].tolist() for a, b in zip(ends, ends[1:], strict=False)] == [tokenizer.sp.encode(t) for t in texts]


def test_what_is_remembered_is_bounded(tokenizer, monkeypatch):
    monkeypatch.setattr(words, "MOST_WORDS", 10)
    for i in range(20):
        text = " ".join(f"cat{i}{j}" for j in range(9))
        assert tokenizer.encode_flat([text])[0].tolist() == tokenizer.sp.encode(text)
        assert len(tokenizer._words._known) < 30


def changed(tokenizer, change) -> ModelProto:
    proto = ModelProto.FromString(tokenizer.data)
    change(proto)
    return proto


def test_a_model_whose_pieces_span_spaces_is_not_taken_apart(tokenizer):
    """For example Llama 2's, which has pieces of several spaces, or one with a user symbol of two words."""
    kind = ModelProto.SentencePiece
    for text, type_ in (
        ("\u2581\u2581", kind.NORMAL),
        ("New\u2581York", kind.USER_DEFINED),
        ("the\u2581", kind.NORMAL),
    ):
        proto = changed(tokenizer, lambda p, t=text, k=type_: p.pieces.add(piece=t, score=-9.0, type=k))
        assert not words.separable(proto)
    assert not words.separable(
        changed(tokenizer, lambda p: setattr(p.trainer_spec, "model_type", p.trainer_spec.UNIGRAM))
    )


def test_a_dummy_prefix_and_spaces_that_are_removed(tokenizer):
    def change(proto):
        proto.normalizer_spec.add_dummy_prefix = proto.normalizer_spec.remove_extra_whitespaces = True

    made = words.Words(changed(tokenizer, change))
    texts = ["", " ", "cat", "  the  cat ", "fun fun"]
    ids, ends = made.encode(texts)
    assert [ids[a:b].tolist() for a, b in zip(ends, ends[1:], strict=False)] == made._whole.encode(texts)
