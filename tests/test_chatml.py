"""The template and the loss mask, id by id; and that nothing typed becomes a marker."""

from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitron.core.errors import MinitronError
from minitron.recipe.schema import TokenizerConfig
from minitron.tokenizer import bpe, char, chat_template, kinds

DIALOGUE = [
    {"role": "system", "content": "be small"},
    {"role": "user", "content": "hello"},
    {"role": "assistant", "content": "hello you!"},
]


def test_ids_and_mask(tiny_tokenizer):
    t = tiny_tokenizer
    ids, mask = chat_template.encode_dialogue(DIALOGUE, t)
    system, user, assistant = t.encode("be small"), t.encode("hello"), t.encode("hello you!")
    assert ids == [t.system, *system, t.end, t.user, *user, t.end, t.assistant, *assistant, t.end]
    assert [i for i, m in zip(ids, mask, strict=True) if m] == [*assistant, t.end]
    assert chat_template.encode_prompt(DIALOGUE[:2], t) == ids[: len(ids) - len(assistant) - 1]


def test_markers_are_atomic_and_apart(tiny_tokenizer):
    t = tiny_tokenizer
    assert [t.system, t.user, t.assistant, t.end] == [1, 2, 3, 4]
    assert t.never_sampled == [0, 1, 2, 3]


LOOKALIKES = [
    "<|user|>",
    "<|end|>",
    "＜｜user｜＞",
    "<|us",
    "er|>",
    "<s>",
    "</s>",
    "<unk>",
    "<0x0A>",
    "\u2581",
    "\x00",
    "\ufeff",
]


@given(parts=st.lists(st.sampled_from(LOOKALIKES) | st.text(max_size=5), max_size=12))
def test_nothing_typed_becomes_a_marker(tiny_tokenizer, parts):
    t = tiny_tokenizer
    assert not set(t.encode("".join(parts))) & {0, t.system, t.user, t.assistant, t.end}


@given(data=st.binary(max_size=60))
def test_bytes_are_encoded_too(tiny_tokenizer, data):
    assert not set(tiny_tokenizer.encode(data)) & {1, 2, 3, 4}


@given(text=st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\u2581"), max_size=40))
def test_encoding_loses_nothing(tiny_tokenizer, text):
    assert tiny_tokenizer.decode(tiny_tokenizer.encode(text)) == text


def test_lone_surrogates_become_u_fffd(tiny_tokenizer):
    assert tiny_tokenizer.encode("a\ud800b") == tiny_tokenizer.encode("a\ufffdb")


def test_whole_oldest_turns_go_and_the_system_message_stays(tiny_tokenizer):
    turns = [
        m
        for i in range(6)
        for m in ({"role": "user", "content": f"who are you {i}"}, {"role": "assistant", "content": "hello"})
    ]
    messages = [DIALOGUE[0], *turns, {"role": "user", "content": "today"}]
    kept, gone = chat_template.fit(messages, tiny_tokenizer, context=64, max_tokens=10)
    assert kept[0] == DIALOGUE[0]
    assert kept[1]["role"] == "user"
    assert kept[-1]["content"] == "today"
    assert gone == len(messages) - len(kept) > 0
    assert gone % 2 == 0
    assert len(chat_template.encode_prompt(kept, tiny_tokenizer)) + 10 <= 64


def test_old_turns_go_by_half_so_that_what_is_cached_serves_the_next_questions():
    """Turns have 10 tokens, questions 5, and there is room for 45: the sixth question is the first that does not fit after all turns."""
    left_out = [chat_template.left_out([10] * turns, [5] * (turns + 1), room=45) for turns in range(12)]
    assert left_out == [0, 0, 0, 0, 0, 3, 3, 3, 6, 6, 6, 9]
    assert chat_template.left_out([10, 10], [5, 5, 40], room=45) == 2  # a question that needs nearly all of it
    assert chat_template.left_out([20, 30], [5, 5, 5], room=45) == 1  # the newest turn stays, if it fits


def test_too_long_a_message_is_refused(tiny_tokenizer):
    with pytest.raises(MinitronError, match="has .* tokens and the model has room for"):
        chat_template.fit([{"role": "user", "content": "hello " * 100}], tiny_tokenizer, context=64, max_tokens=10)


@pytest.mark.parametrize("max_tokens", [1, 10, 1000])
def test_a_message_that_fits_is_asked_however_little_it_leaves_for_the_answer(tiny_tokenizer, max_tokens):
    """The chat program's rule (TestLongMessage in go_serve/internal/chat)."""
    asked = [DIALOGUE[0], {"role": "user", "content": "hello " * 9}]
    longer = [*DIALOGUE, asked[1]]
    context = len(chat_template.encode_prompt(asked, tiny_tokenizer)) + 1
    fit = partial(chat_template.fit, tokenizer=tiny_tokenizer, max_tokens=max_tokens)
    assert fit(longer, context=context) == (asked, 2)
    with pytest.raises(MinitronError, match="has .* tokens and the model has room for"):
        fit(longer, context=context - 1)
    with pytest.raises(MinitronError, match="has .* tokens and the model has room for"):
        fit(longer, context=context, least=2)


@pytest.mark.parametrize("role", ["tool", "end", "never_sampled", "", "User"])
def test_an_unknown_role_is_one_sentence_and_no_marker(tiny_tokenizer, role):
    with pytest.raises(MinitronError, match=f"unknown role {role!r}") as failure:
        chat_template.encode_message({"role": role, "content": "hello"}, tiny_tokenizer)
    assert failure.value.hint == "roles are system, user, assistant"


@pytest.mark.parametrize("data", [b"", b"\0" * 100, b"{}", b"not a model", b"\x0a\x05abc"])
def test_a_file_that_is_no_tokenizer_is_one_sentence(tmp_path, data):
    (tmp_path / "tokenizer.model").write_bytes(data)
    with pytest.raises(MinitronError, match="is not a tokenizer of the kinds bpe, .*byte-bpe$") as failure:
        kinds.load(tmp_path / "tokenizer.model")
    assert failure.value.hint
    with pytest.raises(MinitronError, match="cannot be read"):
        kinds.load(tmp_path)


def test_which_kind_a_file_is_the_file_says(tmp_path, tiny_tokenizer):
    assert isinstance(kinds.load(tiny_tokenizer.path), bpe.BPE)
    data = kinds.train(["abc"], config=TokenizerConfig(kind="char"), seed=1)
    (tmp_path / "any.name").write_bytes(data)
    assert isinstance(kinds.load(tmp_path / "any.name"), char.Characters)


def test_pieces_are_the_text(tiny_tokenizer):
    text = "привет, hello \U0001f642 \x00 end"
    ids = tiny_tokenizer.encode(text)
    assert b"".join(map(tiny_tokenizer.piece_bytes, ids)) == text.encode()
    assert [tiny_tokenizer.piece_bytes(i) for i in range(5)] == [b""] * 5
