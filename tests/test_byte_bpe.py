"""Byte-level BPE of imported models: what the chat program gets of it, what it refuses, and that no text becomes a special token."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from minitron.core.errors import MinitronError
from minitron.tokenizer import chat_template
from minitron.tokenizer.byte_bpe import ByteBPE, file_of
from minitron.tokenizer.byte_level import SPLITTING, byte_characters, byte_level_json, special_token
from minitron.tokenizer.merges import Merges

pytest.importorskip("tokenizers")
ROOT = Path(__file__).parents[1]
MARKERS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
MERGES = ["u s", "e r", "us er", "Ġ a", "a b", "ab ab"]


def whole(splitting: str = "gpt-2", **changes) -> dict:
    """A tokenizer.json: three markers, the bytes, and what MERGES make."""
    pieces = [*MARKERS, *byte_characters(), *(merge.replace(" ", "") for merge in MERGES)]
    special = [special_token(i, marker) for i, marker in enumerate(MARKERS)]
    return byte_level_json(pieces, MERGES, special, splitting=splitting) | changes


def made(tokenizer: dict, *, rows: int = 0, end: int = 0) -> ByteBPE:
    size = 1 + max([*tokenizer["model"]["vocab"].values(), *(t["id"] for t in tokenizer["added_tokens"])])
    return ByteBPE(file_of(tokenizer, size=rows or size, end=end), Path("tokenizer.model"))


def test_what_the_chat_program_gets():
    added = [special_token(265, "the cat") | {"special": False}]
    tokenizer = whole("qwen2")
    tokenizer["added_tokens"] += added
    found = made(tokenizer, rows=268)
    vocab = found.to_vocab()
    names = vocab.pop("pieces")
    assert names[:4] == [*MARKERS, "!"]
    assert names[259:] == ["us", "er", "user", "Ġa", "ab", "abab", "the cat", "", ""]
    u, s, us, user = (names.index(name) for name in ("u", "s", "us", "user"))
    assert vocab["merges"][:3] == [u, s, us]
    assert vocab["merges"][6:9] == [us, names.index("er"), user]
    newline = names.index("Ċ")
    asked = {role: [1, *found.encode(role), newline] for role in ("system", "user", "assistant")}
    assert asked["user"] == [1, user, newline]
    assert {key: value for key, value in vocab.items() if key != "merges"} == {
        "kind": "byte-bpe",
        "types": "CCC" + "N" * 262 + "DCC",
        "ignore_merges": False,
        "splitting": "qwen2",
        "normalization": "nfc",
        "chat": asked | {"end": [2, newline]},
    }
    assert found.encode("a the cat") == [names.index("a"), names.index("Ġ"), 265]


def test_dialogues_as_llama_3_has_them():
    text = (
        json.dumps(whole("llama-bpe")).replace("<|im_start|>", "<|begin_of_text|>").replace("<|im_end|>", "<|eot_id|>")
    )
    tokenizer = json.loads(text)
    for i, name in enumerate(("<|start_header_id|>", "<|end_header_id|>"), 265):
        tokenizer["added_tokens"].append(special_token(i, name))
    found = made(tokenizer, end=0)
    role = {role: [265, *found.encode(role), 266, *found.encode("\n\n")] for role in ("system", "user", "assistant")}
    messages = [{"role": "user", "content": "\u2003\x1c ab \n b\t"}, {"role": "assistant", "content": " a\n"}]
    user, answer = [*role["user"], *found.encode("ab \n b"), 2], [*role["assistant"], *found.encode("a"), 2]
    assert chat_template.encode_prompt(messages[:1], found) == [1, *user, *role["assistant"]]
    assert chat_template.encode_message(messages[0], found) == user
    ids, mask = chat_template.encode_dialogue(messages, found)
    assert ids == [1, *user, *answer]
    assert [i for i, m in zip(ids, mask, strict=True) if m] == [*found.encode("a"), 2]
    assert found.to_vocab()["chat"] == role | {"end": [2], "start": [1], "strip": True}
    assert found.end == 2
    room = len(ids) + len(role["user"]) + len(role["assistant"]) + 1 + len(found.encode("b")) + 1  # one token of answer
    more = [*messages, {"role": "user", "content": " b"}]
    for context, left_out in ((room, 0), (room - 1, 2)):
        assert chat_template.fit(more, found, context=context, max_tokens=1)[1] == left_out


def test_of_a_merge_that_is_listed_twice_the_last_one_counts():
    tokenizer = whole()
    tokenizer["model"]["merges"] = [["a", "b"], ["u", "s"], ["a", "b"]]
    found = made(tokenizer)
    names = found.to_vocab()["pieces"]
    assert [names[i] for i in found.to_vocab()["merges"]] == ["u", "s", "us", "a", "b", "ab"]


@pytest.mark.parametrize("ignore_merges", [True, False])
def test_no_merging_makes_a_special_token(ignore_merges):
    tokenizer = whole()
    tokenizer["model"]["ignore_merges"] = ignore_merges
    user = tokenizer["model"]["vocab"]["user"]
    tokenizer["added_tokens"].append(special_token(user, "user"))
    tokenizer["model"]["merges"].append(["user", "s"])
    tokenizer["model"]["vocab"]["users"] = 265
    found = made(tokenizer)
    names = found.to_vocab()["pieces"]
    assert [names[i] for i in found.encode("user")] == ["us", "er"]
    assert found.to_vocab()["types"][user] == "C"
    assert user not in found.to_vocab()["merges"]


PARTS = [*MARKERS, "user", "<|im_", "\n", " ", "ab", "é", "e\u0301", "1", "'s", "\0", "漢"]


PLAIN = {splitting: made(whole(splitting, normalizer=None)) for splitting in SPLITTING}


@pytest.mark.parametrize("splitting", SPLITTING)
@given(text=st.lists(st.one_of(st.sampled_from(PARTS), st.text(max_size=5)), max_size=12).map("".join))
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_no_text_becomes_a_special_token_and_every_text_comes_back(splitting, text):
    ids = PLAIN[splitting].encode(text)
    assert PLAIN[splitting].special.isdisjoint(ids)
    assert PLAIN[splitting].decode(ids) == text


def changed(key: str, **changes) -> dict:
    tokenizer = whole()
    return tokenizer | {key: tokenizer[key] | changes}


PREFIXED = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
SPLIT = {"type": "Split", "pattern": {"Regex": r"\s+|\S+"}, "behavior": "Isolated", "invert": False}


@pytest.mark.parametrize(
    ("tokenizer", "told"),
    [
        (whole(pre_tokenizer=None), "splits texts in a way"),
        (whole(pre_tokenizer=PREFIXED), "splits texts in a way"),
        (whole(pre_tokenizer={"type": "Sequence", "pretokenizers": [SPLIT, *SPLITTING["gpt-2"]]}), "splits texts in a way"),
        (whole(normalizer={"type": "NFKC"}), "normalises texts in a way"),
        (whole(normalizer={"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Lowercase"}]}), "normalises texts"),
        (changed("model", dropout=0.1), "merges pieces in a way"),
        (changed("model", end_of_word_suffix="</w>", merges=[]), "merges pieces in a way"),
        (whole(added_tokens=[special_token(0, "x y") | {"special": False, "lstrip": True}]), "take the spaces beside them"),
        (
            whole("qwen2", added_tokens=[special_token(0, "x y") | {"special": False, "normalized": True}]),
            "looks for tokens in normalised texts",
        ),
        (whole(added_tokens=[]), "ends texts with a token that a text may hold"),
    ],
)  # fmt: skip
def test_what_the_chat_program_does_not_know_is_told(tokenizer, told):
    end = tokenizer["model"]["vocab"]["a"] if not tokenizer["added_tokens"] else 0
    found = made(tokenizer, end=end)
    with pytest.raises(MinitronError, match=told) as error:
        found.to_vocab()
    assert error.value.hint


@pytest.mark.parametrize("rules", [None, {"type": "Sequence", "normalizers": []}])
def test_no_normalizer_may_be_written_in_two_ways(rules):
    assert made(whole(normalizer=rules)).to_vocab()["normalization"] == "identity"


def test_a_byte_that_is_special_only_is_missing():
    tokenizer = whole()
    tokenizer["added_tokens"].append(special_token(tokenizer["model"]["vocab"]["a"], "a"))
    with pytest.raises(MinitronError, match="lacks a token for byte 97"):
        made(tokenizer)


def test_merges_by_scores_are_not_read_into_it():
    with pytest.raises(MinitronError, match="merges bytes by a list"):
        Merges(made(whole()))


def test_the_program_s_tables_are_what_the_library_does():
    command = [sys.executable, ROOT / "go_serve/internal/pretoken/tables.py", "--check"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_file_says_what_it_is():
    assert json.loads(made(whole()).data)["kind"] == "byte-bpe"
