"""Cleaning of raw text: invented examples of each pattern lose what they should and nothing else, cleaning again changes nothing, and the
report says what was removed."""

import json
from pathlib import Path

import pytest
from commands import minitron
from hypothesis import given, settings
from hypothesis import strategies as st
from test_recipe import DATA, refused
from test_tokenizer_stage import RECIPE

from minitron.data import documents
from minitron.data.cleaning import Cleaner
from minitron.data.ru_classics import PATTERNS
from minitron.recipe.load import load_recipe
from minitron.stages import pipeline

PROSE = "Он вошёл в комнату и сел.\n"
# pattern -> texts before and after, all invented
TAKEN = {
    "notes at the end": [
        (PROSE * 9 + "   Примечания\n\n  1\n\nДа (фр.).\n", PROSE * 9),
        (PROSE * 9 + "КОММЕНТАРИИ\nПовесть напечатана впервые.\n", PROSE * 9),
    ],
    "variant readings": [
        ("не успел. {Вместо: не успел - было: не мог} И ушёл.", "не успел. И ушёл."),
        ("и ты, {Далее было начато: домо} такой", "и ты, такой"),
    ],
    "instead of": [
        (PROSE + "Вместо: «вошёл в комнату» — было: «вошёл»\n" + PROSE, PROSE * 2),
        (PROSE + "С. 12. После слов он вошёл — вписано: и сел\n" + PROSE, PROSE * 2),
    ],
    "archive codes": [
        ("Письмо (ЦГАЛИ, ф. 549, оп. 1, ед. хр. 12, л. 3 об.) цело.", "Письмо цело."),
        ("Письмо (ф. 331, ед. хр. 7) цело.", "Письмо цело."),
        ("Автограф [ИРЛИ] утрачен.", "Автограф утрачен."),
    ],
    "letter headers": [
        (PROSE + "А. С. СУВОРИНУ\n5 мая 1889 г. Москва.\nЗдравствуйте!\n", PROSE + "Здравствуйте!\n"),
        ("1045. М. П. ЧЕХОВОЙ\n\n  12 марта 1901 г. Ялта\nМилая!\n", "Милая!\n"),
    ],
    "numbered notes": [
        (PROSE + "[12] То есть лгать.\n" + PROSE, PROSE * 2),
        ("{3} Гоголь.\n1* «Площадями» называют кусты.\n" + PROSE, PROSE),
    ],
    "signed notes": [
        (PROSE + "    То есть лгать. (Прим. Н.В. Гоголя.)\n" + PROSE, PROSE * 2),
        (PROSE + "1 Ермолове. (Примеч. автора)", PROSE),
    ],
    "page references": [
        ("как сказано (см. стр. 12) выше", "как сказано выше"),
        ("том второй [стр. 5--7], и прочее (с. 30).", "том второй, и прочее."),
    ],
    "footnote marks": [
        ("Ein, zwei, drei![2] Теперь", "Ein, zwei, drei! Теперь"),
        ("высокого»,{2} как говорили", "высокого», как говорили"),
        ("на площадях12* росли", "на площадях росли"),
        ("[*] -- Моя жена!", "-- Моя жена!"),
    ],
    "completions": [("«Петерб<ургские> вед<омости>»", "«Петербургские ведомости»")],
}
# looks like a pattern, but belongs to the text
KEPT = [
    PROSE + "Вместо ответа Пашка надул щеки и выдыхнул воздух.\n",
    "Вместо того, чтобы уйти, — было: вот что он сказал, — он остался.",
    "Слушатели городка N* и дом K*** в ***ском переулке, в 17** году.",
    "В 1878 году ему было 20 лет, 3 месяца.",
    "* * *\nЯ поехал.\n\n1\n\nПо любви.\n",
    "А. С. ПУШКИН\nЕвгений Онегин\n",
    "Он сказал (см. в окно) и ушёл; стр. 5 я прочёл.",
    "5 мая 1889 г. было тепло.",
    "примечания его были умны\n" + PROSE,
    "   Примечания\n\n" + PROSE * 9,  # at the beginning: a chapter's name
    "а < б, и 5 < 7 > 3",
    "[в сторону] Ах!",
    "{", "}", "[1", "слово [1] слово",
]  # fmt: skip


def cleaner() -> Cleaner:
    return Cleaner(["ru-classics"])


def test_every_pattern_has_examples():
    assert [pattern.name for pattern in PATTERNS] == list(TAKEN)
    assert all(pattern.help for pattern in PATTERNS)


@pytest.mark.parametrize(("name", "text", "want"), [(name, *case) for name, cases in TAKEN.items() for case in cases])
def test_a_pattern_takes_what_it_should_and_nothing_else(name, text, want):
    found = cleaner()
    assert found.clean(text) == want
    assert found.clean(want) == want
    met = {pattern: taken.times for pattern, taken in found.taken.items() if taken.times}
    assert list(met) == [name]
    assert found.removed == len(text) - len(want)


@pytest.mark.parametrize("text", KEPT)
def test_what_belongs_to_the_text_stays(text):
    assert cleaner().clean(text) == text


parts = st.sampled_from(
    [*(text for cases in TAKEN.values() for text, _ in cases), *KEPT, "\n", " ", "[", "12", "<", "}", "*"]
)


@given(st.lists(parts, max_size=8).map("".join))
@settings(max_examples=200)
def test_twice_changes_nothing_and_only_the_removed_characters_are_missing(text):
    found = cleaner()
    once = found.clean(text)
    assert len(once) == len(text) - found.removed
    assert cleaner().clean(once) == once
    rest = iter(text)
    assert all(character in rest for character in once)  # a subsequence: nothing is added or moved


def test_notes_behind_each_story_of_a_book_are_no_notes_at_its_end():
    """Each time that the last ones went, others would be in the last third of what is left."""
    book = (PROSE * 3 + "Примечания\n") * 12
    assert Cleaner(["ru-classics"]).clean(book) == book


def test_the_report_tells_shares_and_samples():
    found = cleaner()
    for number in range(20):
        found.clean(f"Слово{number},[1] другое,[2] третье.")
    report = found.report()
    marks = report["patterns"]["footnote marks"]
    assert (report["texts"], marks["times"], marks["characters"]) == (20, 40, 120)
    assert marks["share"] == pytest.approx(120 / report["characters"])
    assert [sample[1] for sample in marks["samples"]] == ["[1]"] * 8  # at most one of each text
    assert marks["samples"][1] == ("Слово1,", "[1]", " другое,[2] третье.")
    lines = found.lines()
    assert lines[0].startswith("20 texts, ")
    assert "    Слово0,⟦[1]⟧ другое,[2] третье." in lines


@pytest.fixture
def book(in_tmp_path) -> Path:
    Path("base.toml").write_text(RECIPE + "valid_fraction = 0.2\nsteps = 1\nbatch_rows = 1\neval_every_steps = 1\n")
    Path("book.txt").write_text((PROSE + "Слово,[12] слово.\n") * 400)
    return in_tmp_path


def test_a_run_without_cleaning_sees_the_text_as_it_is(book):
    config = load_recipe("base.toml")
    assert list(documents.documents(config.pretrain)) == [Path("book.txt").read_text()]


def test_tokenizer_and_pretrain_see_cleaned_text_and_the_run_tells(book, capfd):
    clean = "pretrain.clean=['ru-classics']"
    config = load_recipe("base.toml", [clean, "optim.compile=off", "optim.precision=fp32"])
    assert (
        "".join(documents.texts(config.pretrain, "train")) + "".join(documents.texts(config.pretrain, "valid"))
        == (PROSE + "Слово, слово.\n") * 400
    )
    for stage in pipeline.select(config, None, "pretrain"):
        pipeline.run_stage(stage, config)
    report = json.loads(config.layout.cleaning.read_text())
    assert report["patterns"]["footnote marks"]["times"] == 400
    assert report["removed"] == 1600
    assert "cleaning took 1,600 of" in capfd.readouterr().err
    tokenizer = Path("runs/base/tokenizer/tokenizer.model").read_bytes()
    assert b"[12" not in tokenizer
    done = minitron("clean", "base.toml", clean)
    assert "footnote marks: 400 times, 1,600 characters" in done.stdout
    assert "⟦[12]⟧" in done.stdout


def test_mistakes_are_told(book, tmp_path):
    told = refused(tmp_path, "pretrain.files=['a']", "pretrain.clean=['ru-classic']", text=DATA)
    assert "pretrain.clean may only name ru-classics, not 'ru-classic'" in told
    done = minitron("clean", "base.toml")
    assert done.returncode == 2
    assert "has no pretrain.clean" in done.stderr
