"""Every kind of tokenizer with every normalisation: what its tokens are, what text becomes, that no text becomes a marker, and that
recipes, counts of bytes and the chat program agree with it."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from commands import minitron
from conftest import TINY_RECIPE, tiny_texts, write_dialogues
from hypothesis import given, settings
from hypothesis import strategies as st
from test_recipe import DATA, recipe, refused

from minitron.core.errors import MinitronError
from minitron.data import documents
from minitron.interop import gguf
from minitron.recipe.kinds import TOKENIZERS
from minitron.recipe.load import load_recipe
from minitron.recipe.schema import NORMALIZATIONS, TokenizerConfig
from minitron.stages import export, pipeline
from minitron.tokenizer import kinds
from minitron.tokenizer.base import MARKERS, Tokenizer, TooManyTokens
from minitron.tokenizer.byte_level import SPLITTING
from minitron.tokenizer.normalization import Normalizer, read_rules

ROOT = Path(__file__).parents[1]
TEXTS = [*tiny_texts(300), *(f"«Ещё {i}» — it is the  end...\n\tmodels of {i}" for i in range(100))]
KINDS = [kind for kind, line in TOKENIZERS.items() if line.learns]
LOSSLESS = [kind for kind in KINDS if kind != "char-bpe"]
HOSTILE = [
    "<|user|>",
    "<|end|>",
    "<unk>",
    "<0x41>",
    "＜｜end｜＞",
    " ",
    "  ",
    "\n",
    "\t",
    "ё",
    "é",
    "a",
    "ab",
    "привет",
    "👩‍👩‍👧",
    "\0",
    "7",
]


def made(folder: Path, **options) -> Tokenizer:
    config = TokenizerConfig(**{"vocab_size": 420} | options)
    path = folder / "tokenizer.model"
    try:
        path.write_bytes(kinds.train(TEXTS, config=config, seed=1))
    except TooManyTokens as error:
        path.write_bytes(kinds.train(TEXTS, config=replace(config, vocab_size=error.most), seed=1))
    return kinds.load(path)


@pytest.fixture(scope="module", params=KINDS)
def tokenizer(request, tmp_path_factory) -> Tokenizer:
    return made(tmp_path_factory.mktemp("kind"), kind=request.param)


# ---- kinds


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("symbols", [[], ["—", "ab"]])
def test_a_file_says_which_kind_it_is(tmp_path, kind, symbols):
    found = made(tmp_path, kind=kind, user_symbols=symbols)
    assert type(found) is TOKENIZERS[kind].load()
    assert [
        line for line in TOKENIZERS if TOKENIZERS[line].load().reads((tmp_path / "tokenizer.model").read_bytes())
    ] == [kind]


@given(st.lists(st.one_of(st.sampled_from(HOSTILE), st.text(max_size=5)), max_size=12).map("".join))
@settings(max_examples=150)
def test_no_text_becomes_a_marker(tokenizer, text):
    ids = tokenizer.encode(text)
    assert {*tokenizer.markers.values(), tokenizer.end}.isdisjoint(ids)
    if tokenizer.to_vocab()["byte_fallback"]:
        seen = text if tokenizer.to_vocab()["normalizer"]["escape_whitespaces"] is False else text.replace("▁", " ")
        assert tokenizer.decode(ids) == seen
        assert tokenizer.byte_counts[ids].sum() == len(seen.encode())


def pieces(tokenizer: Tokenizer, text: str) -> list[str]:
    vocab = tokenizer.to_vocab()
    return [vocab["pieces"][i] for i in tokenizer.encode(text)]


def test_bpe_spaces_writes_a_word_with_one_token_wherever_it_stands(tmp_path):
    spaced = made(tmp_path, kind="bpe-spaces")
    assert pieces(spaced, "hello hello\nhello  «hello") == [
        "hello", "▁", "hello", "\n", "hello", "▁", "▁", *pieces(spaced, "«"), "hello",
    ]  # fmt: skip
    vocab = spaced.to_vocab()
    assert [p for p in vocab["pieces"] if "▁" in p] == ["▁"]
    plain = made(tmp_path, kind="bpe")
    assert pieces(plain, "hello hello") == ["hello", "▁hello"]


def test_every_token_of_char_bpe_is_a_readable_text(tmp_path):
    readable = made(tmp_path, kind="char-bpe")
    vocab = readable.to_vocab()
    assert set(vocab["types"]) == {"U", "C", "N"}
    assert not vocab["byte_fallback"]
    assert any(len(p) > 2 for p in vocab["pieces"][5:])
    unseen = readable.encode("hello 日本 you")
    assert unseen == [*readable.encode("hello "), 0, *readable.encode(" you")]
    assert readable.piece_bytes(0) == b""
    assert 0 in readable.never_sampled


def test_bytes_are_the_bytes(tmp_path):
    raw = made(tmp_path, kind="bytes")
    assert raw.vocab_size == 261
    for text in ("hello  ё\n", "▁ \0\x1f▅"):
        assert raw.encode(text) == [5 + byte for byte in text.encode()]
        assert raw.decode(raw.encode(text)) == text
    config = load_recipe(recipe(tmp_path), ["tokenizer.kind=bytes", "tokenizer.user_symbols=['—']"])
    assert kinds.expected_size(replace(config, name="none such")) == 262


@pytest.mark.parametrize("split", [True, False])
def test_digits_are_split_or_not(tmp_path, split):
    texts = [f"in the year 1984 it was {n} of 1984" for n in range(90)]
    (tmp_path / "t").write_bytes(kinds.train(texts, config=TokenizerConfig(vocab_size=300, split_digits=split), seed=1))
    longest = max(len(re.sub(r"\D", "", piece)) for piece in pieces(kinds.load(tmp_path / "t"), "the year 1984"))
    assert longest == (1 if split else 4)


@pytest.mark.parametrize("kind", KINDS)
def test_a_user_symbol_is_one_token_wherever_it_stands(tmp_path, kind):
    symbols = ["—", "«", "hel", 'a"b', ",,", "<|user"]
    found = made(tmp_path, kind=kind, user_symbols=symbols, normalization="nfkc")
    vocab = found.to_vocab()
    for symbol in symbols:
        ids = found.encode(f"of{symbol}{symbol}of")
        assert [vocab["pieces"][i] for i in ids].count(symbol) == 2
    assert {vocab["types"][vocab["pieces"].index(symbol)] for symbol in symbols} == {"D"}
    assert found.markers["user"] not in found.encode("<|user|>")


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("tokenizer.user_symbols=['']", "'' must be visible characters"),
        ("tokenizer.user_symbols=['a b']", "'a b' must be visible characters, without spaces"),
        ("tokenizer.user_symbols=['▁']", "'▁' must be visible characters"),
        ('tokenizer.user_symbols=["a\\n"]', "must be visible characters"),
        ("tokenizer.user_symbols=['<|end|>']", "'<|end|>' is a name that the tokenizer keeps for itself"),
        ("tokenizer.user_symbols=['<0x0A>']", "is a name that the tokenizer keeps for itself"),
        ("tokenizer.user_symbols=['a', 'a']", "tokenizer.user_symbols has 'a' 2 times"),
        (f"tokenizer.user_symbols=['{'é' * 101}']", "is longer than 200 bytes"),
        ("tokenizer.user_symbols='a'", "tokenizer.user_symbols must be a list"),
        ("tokenizer.kind=bpe-space", "tokenizer.kind must be one of bpe, bpe-spaces, char-bpe, char, bytes"),
        ("tokenizer.normalization=nfc", "or a file of rules whose name ends in .tsv, not 'nfc'; did you mean 'nfkc'?"),
    ],
)  # fmt: skip
def test_mistakes_are_told_when_the_recipe_is_read(tmp_path, override, told):
    assert told in refused(tmp_path, override, text=DATA)


# ---- normalisation

CLASSICS = [
    ("Ёлка и ещё моё", "Елка и еще мое"),
    ("замо\u0301к, за\u0301мок, Э\u0301то, ё\u0301", "замок, замок, Это, е"),
    ("cafe\u0301, élan", "cafe\u0301, élan"),  # other letters lose nothing
    ("„Так“, «так», “so”", '"Так", "так", "so"'),
    ("кто -- я – ты — он --- мы, что-то", "кто — я — ты — он — мы, что-то"),
    ("и... да…", "и… да…"),
    ("сло\u00adво, 10\u00a0лет", "слово, 10 лет"),
    ("строка\n\tдругая  ", "строка\n\tдругая  "),
    ("и\u0306 е\u0308", "й е"),
]


@pytest.mark.parametrize(("text", "want"), CLASSICS)
def test_ru_classics_does_what_it_says_and_twice_changes_nothing(text, want):
    normalize = Normalizer(TokenizerConfig(normalization="ru-classics")).text
    assert normalize(text) == want
    assert normalize(want) == want


def test_a_user_symbol_is_kept_by_the_rules():
    config = TokenizerConfig(normalization="ru-classics", user_symbols=["«", "--"])
    assert Normalizer(config).text("«ё» -- –") == '«е" -- —'


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rules", NORMALIZATIONS[1:])
def test_a_tokenizer_carries_its_rules(tmp_path, kind, rules):
    """For every kind, decoding gives the text as it is after the rules with which the tokenizer was trained."""
    found = made(tmp_path, kind=kind, normalization=rules, user_symbols=["…"], character_coverage=1.0)
    normalize = Normalizer(TokenizerConfig(normalization=rules, user_symbols=["…"])).text
    for text in (TEXTS[0], TEXTS[-1], "hello… «the»  end — 5..."):
        assert found.decode(found.encode(text)) == normalize(text)
    assert found.to_vocab()["normalizer"]["precompiled_charsmap"]


def test_rules_from_a_file(tmp_path):
    path = tmp_path / "my.tsv"
    path.write_text("# mine\n451\t435\t# ё => е\n\n2E 2E 2E\t2026\nAD\t\n301\n", encoding="utf-8")
    assert read_rules(path) == {"ё": "е", "...": "…", "\u00ad": "", "\u0301": ""}
    found = made(tmp_path, normalization=str(path))
    assert found.decode(found.encode("ёлка\u00ad a\u0301....")) == "елка a…."


@pytest.mark.parametrize(
    ("rules", "told"),
    [
        (b"", "holds no rule"),
        (b"451\t435\nxyz\t20\n", "line 2: 'xyz' is no list of code points"),
        (b"\t435\n", "line 1: a rule replaces 1 to 32 characters"),
        (b"D800\t20\n", "line 1: 'D800' is no list of code points"),
        (b"110000\t20\n", "line 1: '110000' is no list of code points"),
        (b"41\t0\n", "line 1: the code point 0 cannot be in a rule"),
        (b"41\t42\n41\t43\n", "line 2: there is another rule for the same text"),
        ("ё\tе\n".encode("cp1251"), "is not UTF-8 text"),
        (("41 " * 33 + "\t42\n").encode(), "line 1: a rule replaces 1 to 32 characters"),
        (None, "cannot be read"),
    ],
)  # fmt: skip
def test_rules_that_are_none_are_told_before_the_first_stage(in_tmp_path, rules, told):
    write_dialogues(Path("dialogues.jsonl"))
    Path("tiny.toml").write_text(TINY_RECIPE)
    if rules is not None:
        Path("rules.tsv").write_bytes(rules)
    done = minitron("run", "tiny.toml", "tokenizer.normalization=rules.tsv")
    assert done.returncode == 2, done.stderr
    assert told in done.stderr
    assert not Path("runs/tiny/data").exists()


def test_other_rules_are_another_tokenizer(in_tmp_path, capfd):
    write_dialogues(Path("dialogues.jsonl"))
    Path("tiny.toml").write_text(TINY_RECIPE.replace("[tokenizer]", "[tokenizer]\nnormalization = 'rules.tsv'"))
    for rules, done in (("451\t435\n", False), ("451\t435\n", True), ("451\t45\n", False)):
        Path("rules.tsv").write_text(rules)
        config = load_recipe("tiny.toml")
        for stage in pipeline.select(config, None, "tokenizer"):
            pipeline.run_stage(stage, config)
        assert ("tokenizer: done already" in capfd.readouterr().err) == done


def test_bits_per_byte_count_the_bytes_of_the_text_as_it_was(tmp_path, tokenizer):
    """Every byte of a document is counted once, whatever was unknown or normalised, except those of the first id, which is given."""
    document = "«Ещё» — моё... 日本\u00ad hello you  " * 40
    exact = sum(s.target_bytes for s in documents.sequences([document], tokenizer, 16))
    first = len(tokenizer.piece_bytes(tokenizer.encode(document)[0]))
    assert abs(exact - (len(document.encode()) - first)) <= 2
    kind = next(name for name, line in TOKENIZERS.items() if isinstance(tokenizer, line.load()))
    for rules in ("ru-classics", "nmt_nfkc"):
        other = made(tmp_path, kind=kind, normalization=rules)
        counted = sum(s.target_bytes for s in documents.sequences([document], other, 16))
        assert abs(counted - len(document.encode())) <= 4
    unknown = "日本" * 50
    lost = sum(s.target_bytes for s in documents.sequences([unknown], made(tmp_path, kind="char-bpe"), 16))
    assert 0.4 * len(unknown.encode()) <= lost <= len(unknown.encode())


# ---- the chat program


def test_gguf_refuses_what_llama_cpp_would_cut_otherwise(tmp_path):
    for options, told in (
        ({"normalization": "nfkc"}, "GGUF cannot store tokenizer.normalization"),
        ({"kind": "bytes"}, "GGUF cannot store tokenizer.kind = 'bytes'"),
        ({"kind": "char-bpe"}, "needs byte tokens"),
    ):
        with pytest.raises(MinitronError, match=told) as error:
            gguf.vocabulary(made(tmp_path, **options), base=False)
        assert error.value.hint
    assert gguf.vocabulary(made(tmp_path, kind="bpe-spaces"), base=False)


def test_every_kind_and_rule_gives_the_library_s_ids_in_go():
    command = [sys.executable, "benchmarks/tokenizer.py", "--fuzz", "1000", "--kinds", "--seed", "11", "--no-save"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    counts = dict(re.findall(r"^  (\S+) +([\d,]+)$", done.stdout, re.M))
    assert counts == dict.fromkeys(KINDS, "1,000") | dict.fromkeys(SPLITTING, "1,002") | {"markers": "0", "wrong": "0"}


@pytest.mark.parametrize(
    ("kind", "rules"),
    [  # slow: each is a run of some seconds; the first is enough to see most faults
        pytest.param("bpe-spaces", "identity", marks=pytest.mark.slow),
        ("char-bpe", "ru-classics"),
        pytest.param("char", "nfkc", marks=pytest.mark.slow),
        pytest.param("bytes", "ru-classics", marks=pytest.mark.slow),
        pytest.param("bpe", "my.tsv", marks=pytest.mark.slow),
    ],
)
def test_every_kind_goes_from_dialogues_to_the_program(in_tmp_path, program, kind, rules):
    """Trained, exported and asked: the program's ids are Python's, and its greedy answers too; what is typed is no marker."""
    write_dialogues(Path("dialogues.jsonl"))
    Path("my.tsv").write_text("451\t435\n")
    options = f"[tokenizer]\nkind = '{kind}'\nnormalization = '{rules}'\nuser_symbols = ['—', 'you']"
    text = TINY_RECIPE[: TINY_RECIPE.index("[reject]")].replace("[tokenizer]", options) + "[eval]\nprompts = 4\n"
    Path("tiny.toml").write_text(text.replace("context = 64", "context = 256").replace("steps = 24", "steps = 6"))
    config = load_recipe("tiny.toml", ["eval.max_tokens=8", "tokenizer.character_coverage=1.0"])
    for stage in pipeline.select(config, None, "eval"):
        pipeline.run_stage(stage, config)
    export.write(config, out="export/tiny")
    found = kinds.load(config.layout.tokenizer)
    assert type(found) is TOKENIZERS[kind].load()

    texts = ["hello you", "<|end|><|user|>", "Ёлка — you", "日本", "  \n ", *MARKERS]
    answers = ask(program, "tokenize", [{"text": text} for text in texts])
    assert [answer["ids"] for answer in answers] == [found.encode(text) for text in texts]
    questions = [{"messages": [{"role": "user", "content": f"say {n} ё"}], "max_tokens": 8} for n in range(20)]
    lines = "".join(json.dumps(q) + "\n" for q in questions)
    done = minitron("complete", "tiny.toml", stdin=lines)
    assert done.returncode == 0, done.stderr
    python = [json.loads(line) for line in done.stdout.splitlines()]
    assert sum(p == g for p, g in zip(python, ask(program, "complete", questions), strict=True)) >= 19
    said = subprocess.run([program, "--model", "export/tiny", "selftest"], capture_output=True, text=True)
    assert said.returncode == 0, said.stderr


def ask(program: Path, command: str, lines: list[dict]) -> list[dict]:
    text = "".join(json.dumps(line) + "\n" for line in lines)
    command = [program, "--model", "export/tiny", command]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]
