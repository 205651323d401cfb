"""Turns become checked messages, or a reason why not."""

import json
import re

import pytest
from dialogues import A, S, U, dialogue
from hypothesis import given
from hypothesis import strategies as st

from minitron.data.messages import (
    EMPTY,
    LATE_SYSTEM,
    NO_ALTERNATION,
    NO_ANSWER,
    NO_MESSAGES,
    NO_TEXT,
    NO_TURN,
    NOT_UNICODE,
    NOT_USER_FIRST,
    UNKNOWN_ROLE,
    WEIGHT_0,
    digest_of,
    role_map,
    tidy,
    to_messages,
)
from minitron.recipe.data import DataConfig

pytestmark = pytest.mark.usefixtures("in_tmp_path")


USER, EMPTY_A, EMPTY_S = {**U}, {**A, "content": " \n"}, {**S, "content": ""}


@pytest.mark.parametrize(
    ("turns", "want"),
    [
        ([U, A], [U, A]),
        ([S, U, A, U, A], [S, U, A, U, A]),
        ([EMPTY_S, U, A], [U, A]),
        ([U, A, U], [U, A]),
        ([U, A, {**U, "content": ""}], [U, A]),
        ([{"from": "human", "value": " u\n"}, {"from": "gpt", "value": "a"}], [U, A]),
        ([{"role": " USER ", "content": "u"}, {"role": "Bot", "content": "a", "extra": 1}], [U, A]),
        ([{"role": "user", "content": "u"}, {"role": "teacher", "content": "a"}], [U, A]),
        (json.dumps([U, A]), [U, A]),
        (None, NO_MESSAGES),
        ([], NO_MESSAGES),
        ("not JSON", NO_MESSAGES),
        ("7", NO_MESSAGES),
        (3.5, NO_MESSAGES),
        (["u", "a"], NO_TURN),
        ([{"content": "u"}, A], NO_TURN),
        ([{"role": 1, "content": "u"}, A], NO_TURN),
        ([{"role": "user", "content": [1]}, A], NO_TEXT),
        ([U, {"role": "tool", "content": "a"}], UNKNOWN_ROLE),
        ([A, U, A], NOT_USER_FIRST),
        ([S, A], NOT_USER_FIRST),
        ([U, U, A], NO_ALTERNATION),
        ([U, A, A], NO_ALTERNATION),
        ([U, S, A], LATE_SYSTEM),
        ([S, S, U, A], LATE_SYSTEM),
        ([U], NO_ANSWER),
        ([S], NO_ANSWER),
        ([S, U], NO_ANSWER),
        ([EMPTY_S], NO_ANSWER),
        ([U, EMPTY_A], EMPTY),
        ([{**U, "content": None}, A], EMPTY),
        ([U, {"role": "assistant"}], EMPTY),
        ([{"role": "prompter", "text": "u"}, {"role": "AI", "text": "a"}], [U, A]),
        ([{"role": "developer", "content": "s"}, U, A], [S, U, A]),
        ([{**U, "content": [{"type": "text", "text": "u"}]}, {**A, "content": ["a"]}], [U, A]),
        ([{**U, "content": [{"type": "image_url", "image_url": "x"}]}, A], NO_TEXT),
        ([U, {**A, "weight": 1}, U, {**A, "weight": 0}], WEIGHT_0),
        ([U, {**A, "train": False}], WEIGHT_0),
        ([{**U, "weight": 0}, {**A, "weight": None}], [U, A]),
        ([{**U, "content": "\ud83d"}, A], NOT_UNICODE),
        ("\n\nHuman: u\n\nAssistant: a", [U, A]),
        ("Human: u\n\nAssistant: a\n\nHuman: u\n\nAssistant: a", [U, A, U, A]),
        ("He said:\n\nHuman: u\n\nAssistant: a", NO_MESSAGES),
    ],
)
def test_mapping(turns, want):
    roles = role_map(DataConfig(roles={"Teacher": "assistant"}))
    assert to_messages(turns, roles=roles, unknown=set()) == want


any_turn = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "system"]), "content": st.sampled_from(["", "a", " b "])}
)


@given(st.lists(any_turn, max_size=6))
def test_messages_are_good_or_a_reason(turns):
    messages = to_messages(turns, roles=role_map(DataConfig()), unknown=set())
    if isinstance(messages, str):
        assert messages.startswith("malformed: ")
        return
    letters = "".join(message["role"][0] for message in messages)
    assert re.fullmatch(r"s?(ua)+", letters)
    assert all(message["content"] in ("a", "b") for message in messages)
    assert to_messages(messages, roles=role_map(DataConfig()), unknown=set()) == messages


@given(st.lists(st.text(max_size=3), min_size=2, max_size=2), st.lists(st.text(max_size=3), min_size=2, max_size=2))
def test_digests_tell_dialogues_apart(one, other):
    assert (digest_of(dialogue(*one)) == digest_of(dialogue(*other))) == (one == other)


def test_digest_is_pinned():
    """Changing it moves dialogues between train and valid of data that people have split already."""
    assert digest_of(dialogue("hi", "привет")).hex() == "9b29eb141aa31dd3352559f0dc999231"


@pytest.mark.parametrize(
    ("content", "want"),
    [
        ("  hi \n", "hi"),
        ("one\r\ntwo\rthree\r\n", "one\ntwo\nthree"),
        ("\n\n    def f():\n        return 1\n", "    def f():\n        return 1"),
        ("\tif a:\n\t\tb()", "\tif a:\n\t\tb()"),
        (" one\n  two", "one\n  two"),
        ("   one\ntwo", "one\ntwo"),
        ("    one", "one"),
        ("\u00a0\u00a0one\n  two", "one\n  two"),
        (" \n ", ""),
    ],
)
def test_contents_are_tidied_but_code_keeps_its_indentation(content, want):
    assert tidy(content) == want
    assert tidy(want) == want
