"""The rules that say whether an answer to a probe is right: words, numbers and whole answers, never inside of others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minitron.core.errors import MinitronError
from minitron.evaluate.checks import passes


@pytest.mark.parametrize(
    ("answer", "check", "want"),
    [
        ("7 + 5 = 12.", {"all": ["= 12"]}, True),
        ("7+5=12", {"all": ["= 12"]}, True),
        ("7 + 5 = 112.", {"all": ["= 12"]}, False),
        ("7 + 5 = 120.", {"all": ["= 12"]}, False),
        ("12 + 0 = 13.", {"all": ["= 12"]}, False),
        ("It is 12.5", {"all": ["12"]}, False),
        ("It is 3.12", {"all": ["12"]}, False),
        ("It is -12", {"all": ["12"]}, False),
        ("It is 5-12", {"all": ["12"]}, True),
        ("It is 12, I think", {"all": ["12"]}, True),
        ("Your name is Anna.", {"all": ["anna"]}, True),
        ("Your name is Annabel.", {"all": ["anna"]}, False),
        ("Joanna", {"all": ["anna"]}, False),
        ("Он зелёный", {"all": ["ЗЕЛЕНЫЙ"]}, True),
        ("Кукушка говорит: ку-ку!", {"all": ["ку-ку"]}, True),
        ("Кукушка говорит: ку-ку!", {"all": ["ку"]}, False),
        ("the  capital\nis Buenos   Aires", {"all": ["buenos aires"]}, True),
        ("buenosaires", {"all": ["buenos aires"]}, False),
        ("I don't know", {"any": ["not sure", "don't know"]}, True),
        ("I know", {"any": ["not sure", "don't know"]}, False),
        ("hot and cold", {"all": ["cold"], "none": ["hot"]}, False),
        ("cold", {"all": ["cold"], "none": ["hot"]}, True),
        ("a b", {"all": ["a", "c"]}, False),
        ('"C-A-T!"', {"equals": "c-a-t"}, True),
        ("C-A-T-S.", {"equals": "c-a-t"}, False),
        ("1,  2, 3.", {"equals": "1, 2, 3"}, True),
        ("1, 2, 3, 4.", {"equals": "1, 2, 3"}, False),
        ("cat", '{"equals": "cat"}', True),
        ("", {"none": ["cat"]}, True),
    ],
)
def test_passes(answer, check, want):
    assert passes(answer, check) is want


@pytest.mark.parametrize(
    "check",
    [
        "",
        "{",
        "[]",
        "{}",
        {},
        {"al": ["x"]},
        {"all": "x"},
        {"all": []},
        {"any": [""]},
        {"none": [3]},
        {"equals": ["x"]},
        5,
    ],
)
def test_a_malformed_check_is_told_in_one_sentence(check):
    with pytest.raises(MinitronError) as told:
        passes("x", check)
    assert "\n" not in str(told.value)
    assert told.value.hint


words = st.text(st.characters(categories=("Lu", "Ll")), min_size=1, max_size=8).filter(lambda w: w.casefold().isalpha())


@given(before=st.lists(words, max_size=4), word=words, after=st.lists(words, max_size=4))
def test_a_word_is_found_among_others_and_never_inside_one(before, word, after):
    text = " ".join([*before, word, *after])
    assert passes(text, {"all": [word]})
    assert not passes(text, {"none": [word]})
    assert passes(text.upper().lower(), {"equals": text.upper().lower()})
    assert not passes(f"x{word}", {"any": [word]}) or word.casefold() == f"x{word}".casefold()
    assert not passes(f"{word}x", {"any": [word]})


@given(number=st.integers(0, 10**6), digit=st.integers(0, 9))
def test_a_number_is_never_part_of_a_longer_one(number, digit):
    assert passes(f"= {number}.", {"all": [f"= {number}"]})
    assert not passes(f"= {number}{digit}.", {"all": [str(number)]})
    assert not passes(f"= 1{number}.", {"all": [str(number)]})
