"""`minitron inspect`: its merges are the library's, every token is shown once, and pages escape what is in a text."""

import json
import random
import re
import subprocess
import sys
from html import unescape
from pathlib import Path

import pytest
from commands import COMMAND, minitron
from test_tokenizer_kinds import HOSTILE, KINDS, made

from minitron.core.errors import MinitronError
from minitron.lab import inspect
from minitron.tokenizer.merges import Merges

CHANCE_WORDS = [*HOSTILE, "hello", "who", " are", " you", "«Ещё", "models", "...", "of", "ofof", " — ", "aaaa", "12"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rules", ["identity", "ru-classics"])
def test_merges_are_the_library_s(tmp_path, kind, rules):
    """For 400 random texts per kind, our own merging ends with the pieces that SentencePiece gives."""
    found = made(tmp_path, kind=kind, normalization=rules, user_symbols=["you", "—"])
    merges, vocab, chance = Merges(found), found.to_vocab(), random.Random(kind + rules)
    for _ in range(400):
        text = "".join(chance.choices(CHANCE_WORDS, k=chance.randrange(12)))
        want = []
        for symbol in merges.of(found.normalized(text)).symbols:
            if symbol in merges.scores or symbol in merges.symbols:
                want.append(symbol)
            elif vocab["byte_fallback"]:
                want += [f"<0x{byte:02X}>" for byte in symbol.encode()]
            elif not want or want[-1] != "<unk>":
                want.append("<unk>")
        assert [vocab["pieces"][i] for i in found.encode(text)] == want, text


def test_how_a_word_was_merged(tmp_path):
    found = made(tmp_path)
    (word,) = inspect.merged_words(found, found.normalized("hello"))
    symbols, told = word.rows[0]
    assert (word.text, symbols, told) == ("hello", list("hello"), "")
    symbols, told = word.rows[-1]
    assert symbols == ["hello"]
    assert told.startswith("hello  (merge ")
    for (before, _), (after, told) in zip(word.rows, word.rows[1:], strict=False):
        assert len(after) == len(before) - 1
        assert told.split()[0] in after
    assert inspect.merged_words(made(tmp_path, kind="bytes"), "hello") == []


@pytest.mark.parametrize("kind", KINDS)
def test_every_token_is_shown_once_with_its_id(tmp_path, kind, capsys):
    found = made(tmp_path, kind=kind)
    text = "hello  you\n<b>&ё 日"
    inspect.run([str(tmp_path / "tokenizer.model")], text, html=tmp_path / "page.html")
    told = capsys.readouterr().out
    assert told.startswith(f"{tmp_path / 'tokenizer.model'}: {kind}, {found.vocab_size} tokens\n")
    ids = found.encode(text)
    assert "  ids: " + " ".join(map(str, ids)) + "\n" in told
    page = (tmp_path / "page.html").read_text()
    shown = re.findall(r'<span class="t[01][^"]*" title="(\d+)">([^<]*)</span>', page)
    assert [int(i) for i, _ in shown] == ids
    if kind == "char":
        assert (
            unescape("".join(text for _, text in shown))
            == "hello␣␣you<0A>".replace("<0A>", "↵\n") + "<b>&ё␣<E6><97><A5>"
        )
    if kind == "char-bpe":
        assert shown[-1][1] == "?"


def test_several_side_by_side_on_a_long_text_from_stdin(in_tmp_path):
    models = []
    for kind in ("bpe", "char-bpe"):
        Path(kind).mkdir()
        made(Path(kind), kind=kind)
        models.append(f"{kind}/tokenizer.model")
    text = "hello you " * 30_000
    done = minitron("inspect", models[0], "-", "--with", models[1], stdin=text)
    assert "300,000 characters" in done.stdout
    assert done.stdout.count("how hello was merged") == 2
    assert "the figures are of all 300,000 characters, the tokens of the first 2,000" in done.stderr
    assert "\x1b" not in done.stdout


def test_lines_for_programs(in_tmp_path):
    """One line per tokenizer, about all of the text, however little of it people are shown."""
    found = made(in_tmp_path)
    text = "hello\x80 you " * 400
    done = minitron("inspect", "tokenizer.model", "-", "--with", "tokenizer.model", "--json", stdin=text)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["tokenizer"] for line in lines] == ["tokenizer.model"]  # named twice, it counts once
    assert lines[0]["ids"] == found.encode(text)
    assert [len(lines[0]["pieces"]), lines[0]["pieces"][0]] == [len(lines[0]["ids"]), "hello"]
    assert not done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="needs sh")
def test_a_stdout_that_is_closed_is_no_terminal(in_tmp_path):
    made(in_tmp_path)
    script = f"{' '.join(COMMAND)} inspect tokenizer.model hello --html page.html >&-"
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "inspect: the page is page.html\n")


def test_what_cannot_be_inspected_is_a_sentence(in_tmp_path):
    made(in_tmp_path)
    for name, text, told in (
        ("tokenizer.model", "", "there is no text"),
        ("none.model", "a", "there is no recipe and no run none.model"),
        (__file__, "a", "is not a tokenizer of the kinds bpe, bpe-spaces"),
    ):
        with pytest.raises(MinitronError, match=told):
            inspect.run([name], text)
