"""Text that is not UTF-8 is recognised and reported, never replaced."""

import io
import json
from contextlib import suppress
from pathlib import Path

import pytest
from dialogues import dialogue, part, refused, run
from hypothesis import given, settings
from hypothesis import strategies as st

from minitron.core.errors import MinitronError
from minitron.data.documents import documents
from minitron.data.formats import encodings
from minitron.data.formats.encodings import decoded, decoded_lines
from minitron.recipe.training import PretrainConfig

pytestmark = pytest.mark.usefixtures("in_tmp_path")

RUSSIAN = (
    "Всё смешалось в доме Облонских. Жена узнала, что муж был в связи с бывшею в их доме француженкою-гувернанткой."
)
GERMAN = "Zwölf Boxkämpfer jagen Viktor quer über den großen Sylter Deich. Überall müssen größere Bäume gefällt worden sein, schön süß."
JAPANESE = "吾輩は猫である。名前はまだ無い。どこで生れたかとんと見当がつかぬ。何でも薄暗いじめじめした所でニャーニャー泣いていた事だけは記憶している。"
KINDS = [
    (RUSSIAN, "cp1251"), (RUSSIAN, "koi8_r"), (GERMAN, "cp1252"), (JAPANESE, "shift_jis"),
    (RUSSIAN, "utf-8"), (RUSSIAN, "utf-8-sig"), (RUSSIAN, "utf-16"), (GERMAN, "utf-16-le"), (GERMAN, "utf-16-be"), (RUSSIAN, "utf-32"),
    *((text, f"utf-{bits}-{end}") for bits, end in ((16, "le"), (16, "be"), (32, "le"), (32, "be")) for text in (RUSSIAN, RUSSIAN.upper())),
    (GERMAN, "utf-32-le"), (JAPANESE, "utf-32-be"),
]  # fmt: skip


POEM = "床前明月光，疑是地上霜。举头望明月，低头思故乡。"
CHAT = "我：你好！今天怎么样？\n她：我很好，谢谢。我们一会儿去上海吧。"
HINDI = "नमस्ते आप कैसे हैं आज मौसम अच्छा है"
KOREAN = "안녕하세요. 오늘 날씨가 참 좋네요. 공원에 갑시다. 감사합니다."


# Of each language about the letters beyond ASCII that any text of it has.
LATIN = [
    ("“À bientôt”, dit Hélène ; le café était près de la forêt, où ça sentait déjà la crème brûlée et le thé.", "cp1252"),
    ("Não sei se você já foi à praia; amanhã haverá lições e opções para a avó e as crianças, então até lá.", "cp1252"),
    ("Perché non vieni più? La città è bella, l'università è vicina, però lunedì non posso: c'è già più gente.", "cp1252"),
    ("Mañana iré al jardín con el niño; ¿dónde está el café? Según él, allí, detrás de la estación. ¡Qué alegría!", "cp1252"),
    ("Huomenna äiti lähtee töihin, ja isä jää kotiin. Hyvää yötä, sanoi tyttö, ja näki meren jään päällä sinisenä.", "cp1252"),
    ("Í gærkvöldi gengum við meðfram ánni og töluðum um bækur. Síðan fórum við heim, þökk sé þér.", "cp1252"),
    ("Dün akşam öğretmenimiz çok güzel bir şey söyledi: ışıklar yanıyordu, çocuklar bahçede oynuyordu. İyi!", "cp1254"),
    ("Příliš žluťoučký kůň úpěl ďábelské ódy; včera večer jsme šli na procházku a děti si hrály.", "cp1250"),
    ("Sinoć smo šetali uz rijeku, a učiteljica želi reći da će biti sunčano. Djeca žele kući, što češće.", "cp1250"),
    ("Zażółć gęślą jaźń. Później wróciliśmy do domu i zjedliśmy kolację, bo słońce już zaszło.", "iso8859_2"),
    ("Vakare vaikščiojome palei upę ir kalbėjomės apie knygas; ačiū už viską, ką padarėte, grįžome į namus.", "cp1257"),
    ("Bērni spēlējās dārzā, līdz kļuva tumšs; mēs atgriezāmies mājās, paēdām vakariņas un gājām gulēt, kā ierasts.", "cp1257"),
]  # fmt: skip


@pytest.fixture(autouse=True)
def _everything_is_said_anew():
    encodings.tell.cache_clear()


@pytest.mark.parametrize(("text", "encoding"), KINDS)
def test_a_text_comes_back(text, encoding, capfd):
    text = f"{text}\n" * 5
    Path("book.txt").write_bytes(text.encode(encoding))
    assert list(documents(PretrainConfig(files=["book.txt"]))) == [text]
    said = capfd.readouterr().err
    assert said.count("book.txt is read as ") == (not encoding.startswith("utf-8"))


@pytest.mark.parametrize(("text", "encoding"), LATIN)
@pytest.mark.parametrize("times", [3, 30])
def test_latin_letters_are_those_of_one_language(text, encoding, times):
    """è in one code page is č in another, ę in a third one."""
    text = f"{text}\n" * times
    assert decoded(text.encode(encoding), where="x") == text


def test_a_short_russian_text_is_not_one_of_an_old_macintosh():
    """The small letters are the same in both, but я."""
    text = "о книгах. Сестра сказала, что завтра будет солнечно."
    assert decoded(text.encode("cp1251"), where="x") == text


def test_a_short_russian_text_is_not_slovak():
    """All its letters stand where cp1250 has letters of Slovak."""
    text = "не найти, идите туда, дети, не тяните"
    assert decoded(text.encode("cp1251"), where="x") == text


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("text", [POEM, CHAT, JAPANESE])
def test_chinese_without_a_mark_is_right_or_refused(text, encoding):
    """Its low bytes are often small; no reading may take the wrong order for that."""
    text = f"{text}\n" * 40
    try:
        assert decoded(text.encode(encoding), where="x") == text
    except MinitronError:
        assert encoding == "utf-16-be"


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("text", [HINDI, KOREAN])
def test_other_scripts_without_a_mark(text, encoding):
    assert decoded((text * 40).encode(encoding), where="x") == text * 40


@pytest.mark.parametrize(("text", "encoding"), KINDS)
def test_lines_come_back(text, encoding):
    lines = ["plain ascii first\n", "\r\n", *[f"{text}\r\n"] * 3, "the end"]
    assert list(decoded_lines(io.BytesIO("".join(lines).encode(encoding)), where="x")) == lines


@pytest.mark.parametrize(("text", "encoding"), KINDS)
def test_files_of_rows_come_back(text, encoding):
    rows = [{"messages": dialogue(f"{i}", text)} for i in range(3)]
    Path("x.jsonl").write_bytes("\n".join(json.dumps(row, ensure_ascii=False) for row in rows).encode(encoding))
    cells = "".join(f'{i},"{text}"\n' for i in range(3))
    Path("x.csv").write_bytes(f"question,answer\n{cells}".encode(encoding))
    for name in ("x.jsonl", "x.csv"):
        run(files=[name], valid_fraction=0.0)
        assert {row["messages"][1]["content"] for row in part("train")} == {text}


def test_what_cannot_be_told_is_an_error():
    whole = RUSSIAN.encode()
    for data in (b"\xe9", whole + b"\xff" + whole, b"\xff" + whole, "привет".encode("cp1251"), b"\xff\xfe\x00"):
        with pytest.raises(MinitronError, match="x is (not UTF-8|damaged UTF-16)"):
            decoded(data, where="x")
        with pytest.raises(MinitronError, match=r"x(, line \d,)? is (not UTF-8|damaged UTF-16)"):
            list(decoded_lines(io.BytesIO(data), where="x"))
    Path("x.jsonl").write_bytes(b'{"messages": []}\n' + f'{{"text": "{RUSSIAN}"}}\n'.encode() + b"\xff\n")
    assert "x.jsonl, line 3, is not UTF-8 text" in refused(files=["x.jsonl"])


@settings(deadline=None)
@given(st.binary(max_size=400))
def test_any_bytes_are_text_or_an_error(data):
    for read in (decoded, lambda data, where: "".join(decoded_lines(io.BytesIO(data), where=where))):
        with suppress(MinitronError):
            assert isinstance(read(data, where="x"), str)


@settings(deadline=None)
@given(st.text(st.characters(include_characters="\t\n\r", exclude_categories=["Cs", "Cc"]), max_size=400))
def test_utf8_is_never_taken_for_anything_else(text):
    assert decoded(text.encode(), where="x") == text.removeprefix("\ufeff")
    assert "".join(decoded_lines(io.BytesIO(text.encode()), where="x")) == text.removeprefix("\ufeff")
