"""Rules without a judge: what each drops and masks, and what it leaves alone."""

from pathlib import Path

import pytest
from dialogues import dialogue, part, refused, run, save
from hypothesis import given, settings
from hypothesis import strategies as st

from minitron.curate.traced import trace
from minitron.data.quality import DROPS, MASKS, Quality
from minitron.recipe.load import recipe_of

pytestmark = pytest.mark.usefixtures("in_tmp_path")

PROSE = (
    "The old lighthouse stood at the end of the pier. Every evening its keeper climbed the stairs, lit the lamp and waited for ships "
    "that rarely came. He did not mind: there were books, tea, and the sound of the sea."
)
RUSSIAN = "Старый маяк стоял на краю причала. Каждый вечер смотритель зажигал лампу и ждал кораблей, которые почти не приходили."
LOOP = "I like cats very much. " * 12


def verdict(name: str, answer: str) -> str | list:
    return Quality([name]).of(dialogue("question", answer))


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("repetition", LOOP),
        ("repetition", PROSE + " " + LOOP + LOOP),
        ("truncated", PROSE[:-30]),
        ("truncated", PROSE[:-1] + ","),
        ("truncated", "Here it is:\n```python\nprint(1)"),
        ("template", "<|im_start|>assistant\nhello"),
        ("template", "[INST] hi [/INST] hello"),
        ("template", "hello\n### Response: hi"),
        ("template", "Dear {{ first_name }}, hello"),
        ("template", "Yours, [Your Name]"),
        ("language:ru", PROSE),
        ("language:en", RUSSIAN),
        ("language:ja", PROSE),
    ],
)
def test_what_goes(name, answer):
    assert verdict(name, answer) == f"clean: {name}"


@pytest.mark.parametrize(
    "answer", [PROSE, RUSSIAN, "yes", "no no no no", "7 + 5 = 12", "- one\n- two\n- three", "ok 👍", "", "1, 2, 3"]
)
@pytest.mark.parametrize("name", [*DROPS, *MASKS])
def test_what_stays_as_it_is(name, answer):
    assert verdict(name, answer) == dialogue("question", answer)


def test_quotes_that_end_a_sentence_do_not_break_it_off():
    long = "Er dachte lange nach, bevor er endlich antwortete, und sagte dann leise: "
    for whole in ("„Komm morgen wieder.“", "»Komm morgen wieder.«", "«Прочти „Мёртвые души“"):
        assert verdict("truncated", long + whole) == dialogue("question", long + whole)
    for begun in ("“Yes.” And then: “", "«Да». А потом: «", "„Ja.“ Und dann: „Nein.“ “"):
        assert verdict("truncated", long + begun) == "clean: truncated"


def test_a_language_is_told_by_its_script():
    for name, text in (
        ("ru", RUSSIAN),
        ("uk", RUSSIAN),
        ("en", PROSE),
        ("ja", "吾輩は猫である。名前はまだ無い。"),
        ("ko", "안녕하세요 반갑습니다 여러분"),
    ):
        assert verdict(f"language:{name}", text) == dialogue("question", text)
    mixed = RUSSIAN + " Python"
    assert verdict("language:ru", mixed) == dialogue("question", mixed)


@pytest.mark.parametrize(
    ("name", "text", "want"),
    [
        ("emails", "write to anna.b+x@mail.example.org, please", "write to [email], please"),
        ("emails", "a@b is no address, nor is @anna", "a@b is no address, nor is @anna"),
        ("phones", "call +7 912 345-67-89 or (030) 1234 5678 90", "call [phone] or [phone]"),
        ("phones", "call 212-555-0123 today", "call [phone] today"),
        ("phones", "+79211234567, +33 6 12 34 56 78 or +49 30 901820", "[phone], [phone] or [phone]"),
        ("phones", "+7 921 123 45 67 8 921 123 45 67", "[phone] [phone]"),
        ("phones", "tel:+79211234567, тел.+79211234567, 8-800-555-35-35", "tel:[phone], тел.[phone], [phone]"),
        ("phones", "+33 6 12 34 56 78 10 fois", "[phone] 10 fois"),
        ("phones", "(1941) 1945-1950, +1.23456789", "(1941) 1945-1950, +1.23456789"),
        ("phones", "(415) 555-2671 or +1 (415) 555-2671, 8(921)1234567", "[phone] or [phone], [phone]"),
        (
            "phones",
            "it is 12 (34) and 100 (2020), x = +5 (3) 4, f(10) 20 30",
            "it is 12 (34) and 100 (2020), x = +5 (3) 4, f(10) 20 30",
        ),
        (
            "phones",
            "on 2024-01-31, 10:20, pages 12-15, 3.14159, 1 000 000",
            "on 2024-01-31, 10:20, pages 12-15, 3.14159, 1 000 000",
        ),
        ("emails", "npm i react@18.2.0; uses: x/checkout@v4.1.0", "npm i react@18.2.0; uses: x/checkout@v4.1.0"),
        ("emails", "q@k.transpose(1, 0) + X@W.T", "q@k.transpose(1, 0) + X@W.T"),
        ("emails", "почта@пример.рф, me@xn--e1afmkfd.xn--p1ai, a@b.co.uk.", "[email], [email], [email]."),
        ("phones", "146 000 000, 12 500 000 000, 100.000.000", "146 000 000, 12 500 000 000, 100.000.000"),
        ("phones", "912 000 00 00, 8 912 000 11 22", "[phone], [phone]"),
        ("phones", "192.168.100.200, 255.255.255.255.", "192.168.100.200, 255.255.255.255."),
        ("phones", "01.23.45.67.89, 495.123.45.67, 555.123.4567", "[phone], [phone], [phone]"),
        (
            "phones",
            "2023 2024 2025, 31.12.2024 12.30, 2024-12-31 12.30",
            "2023 2024 2025, 31.12.2024 12.30, 2024-12-31 12.30",
        ),
        ("phones", "89211234567, 92112345678, 0.89211234567", "[phone], 92112345678, 0.89211234567"),
        ("keys", "use sk-proj-" + "a1B2" * 8 + " here", "use [key] here"),
        ("keys", "ghp_" + "x" * 36 + " and AKIAABCDEFGHIJKLMNOP", "[key] and [key]"),
        ("keys", "-----BEGIN RSA PRIVATE KEY-----\nabc\n-----END RSA PRIVATE KEY-----\nend", "[key]\nend"),
        ("keys", "the key to success, sk-8 skis", "the key to success, sk-8 skis"),
    ],
)
def test_masks(name, text, want):
    quality = Quality([name])
    assert quality.of(dialogue(text, "ok")) == dialogue(want, "ok")
    assert quality.of(dialogue("q", text)) == dialogue("q", want)
    assert quality.masked[name] == (2 if text != want else 0)


@settings(deadline=None)
@given(st.text(max_size=300))
def test_masking_twice_changes_nothing(text):
    quality = Quality(MASKS)
    once = quality.of(dialogue("q", text))
    assert quality.of(once) == once


def test_the_stage_counts_what_went_and_look_shows_it():
    rows = [
        dialogue("q1", PROSE),
        dialogue("q2", LOOP),
        dialogue("q3", RUSSIAN),
        dialogue("mail me: a@example.org", PROSE),
    ]
    save("x.jsonl", [{"messages": turns} for turns in rows])
    clean = ["repetition", "language:en", "emails"]
    report = run(files=["x.jsonl"], clean=clean, valid_fraction=0.0)
    assert report["dropped"] == {"clean: repetition": 1, "clean: language:en": 1}
    assert report["masked"] == {"emails": 1}
    assert [row["messages"][0]["content"] for row in part("train")] == ["q1", "mail me: [email]"]
    found = list(trace(recipe_of({"data": {"files": ["x.jsonl"], "clean": clean}}, Path("t.toml")), rows=10))
    assert [row.reason for row in found] == ["", "clean: repetition", "clean: language:en", ""]
    assert found[3].unmasked == rows[3]
    assert found[0].unmasked is None


def test_a_rule_that_is_none():
    save("x.jsonl", [{"messages": dialogue("a", "b")}])
    for name in ("repetitions", "language:xx", "language"):
        assert f"data.clean: there is no rule '{name}' | known are repetition, " in refused(
            2, files=["x.jsonl"], clean=[name]
        )
