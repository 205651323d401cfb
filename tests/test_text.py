"""Base models from raw text: the character tokenizer, the split, the sequences, and a whole run without dialogues."""

import json
import math
import subprocess
from pathlib import Path

import pytest
import torch
from commands import minitron, refused
from conftest import TINY_RECIPE, char_tokenizer, tiny_texts, write_dialogues
from hypothesis import example, given, settings
from hypothesis import strategies as st

from minitron.chat import session as conversation
from minitron.core.errors import MinitronError
from minitron.data.packing import PackedRows
from minitron.program import go
from minitron.recipe.alignment import Sampling
from minitron.recipe.load import load_recipe
from minitron.recipe.schema import TokenizerConfig
from minitron.sample.continue_text import encode_text
from minitron.stages import export, pipeline
from minitron.tokenizer import char, kinds, sentencepiece
from minitron.train import checkpoint

BASE_RECIPE = """
seed = 3
[tokenizer]
kind = "char"
byte_fallback = false
[model]
n_layers = 2
n_heads = 2
d_model = 32
d_ff = 64
context = 32
[optim]
lr = 3e-3
warmup_steps = 3
precision = "fp32"
[pretrain]
files = ["book.txt"]
valid_fraction = 0.1
steps = 60
batch_rows = 4
accumulation = 2
eval_every_steps = 30
[eval]
max_tokens = 24
[export]
max_tokens = 40
"""
BOOK = "\n".join(tiny_texts(400)) + "\n"


# ---- characters

any_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)


@settings(max_examples=60, deadline=None)
@given(texts=st.lists(any_text, min_size=1, max_size=4), other=any_text)
@example(texts=["\ttab  two spaces \r\n\n", "end\n"], other="日本\0\x1f\u2585")
@example(texts=[""], other="<|end|><|user|>")
def test_characters_come_back_as_they_were(tmp_path_factory, texts, other):
    """Except U+2581, which SentencePiece reserves for the space. A character of the training text is one token, another one its bytes."""
    t = char_tokenizer(tmp_path_factory.mktemp("char"), *texts)
    seen = set().union(" ", *texts) - char.RESERVED
    assert t.vocab_size == 5 + 256 + len({c.replace(sentencepiece.SPACE, " ") for c in seen})
    for text in (*texts, other):
        ids = t.encode(text)
        assert t.decode(ids) == text.replace(sentencepiece.SPACE, " ")
        known = (c in seen or c == sentencepiece.SPACE for c in text)
        assert len(ids) == sum(1 if k else len(c.encode()) for c, k in zip(text, known, strict=True))
        assert not any(t.sp.is_control(i) or t.sp.is_unknown(i) for i in ids)
    assert [t.system, t.user, t.assistant, t.end] == [1, 2, 3, 4]


def test_without_bytes_the_vocabulary_is_the_alphabet(tmp_path):
    t = char_tokenizer(tmp_path, "to be\nor not\n", byte_fallback=False)
    pieces = [t.sp.id_to_piece(i) for i in range(t.vocab_size)]
    assert pieces == ["<unk>", *sentencepiece.MARKERS, "▁", "\n", "b", "e", "n", "o", "r", "t"]
    assert t.encode("net\n") == [9, 8, 12, 6]
    assert t.encode("é") == [sentencepiece.UNKNOWN_ID]
    assert all(math.isfinite(t.sp.get_score(i)) for i in range(t.vocab_size))  # vocab.json holds them


def test_the_same_text_in_other_parts_gives_the_same_tokenizer():
    how = {"config": TokenizerConfig(kind="char"), "seed": 1}
    assert kinds.train(["hello ", "world"], **how) == kinds.train(["dlrow ", "oh", "el"], **how)


def test_pairs_are_learned_from_a_whole_book(tmp_path):
    """SentencePiece by itself learns nothing from a text of more than a megabyte."""
    book = " ".join(tiny_texts(30_000))
    assert len(book) > 1 << 20
    path = tmp_path / "tokenizer.model"
    path.write_bytes(kinds.train([book], config=TokenizerConfig(vocab_size=340), seed=1))
    t = kinds.load(path)
    assert t.sp.piece_to_id("▁hello") != sentencepiece.UNKNOWN_ID


@pytest.mark.parametrize("text", ["hello you", "é日本 мир\n", "\ttabs  and   spaces"])
def test_byte_counts(tiny_tokenizer, text):
    assert tiny_tokenizer.byte_counts[tiny_tokenizer.encode(text)].sum() == len(text.encode())
    assert not tiny_tokenizer.byte_counts[: tiny_tokenizer.end + 1].any()


# ---- recipes


@pytest.fixture
def base(tmp_path, monkeypatch) -> Path:
    """Makes an empty folder the current directory, with a recipe of raw text and its book in it."""
    monkeypatch.chdir(tmp_path)
    Path("book.txt").write_text(BOOK)
    Path("base.toml").write_text(BASE_RECIPE)
    return tmp_path


def test_the_stages_of_a_base_model(base):
    recipe = load_recipe("base.toml")
    names = [stage.name for stage in pipeline.select(recipe, None, None)]
    assert names == ["tokenizer", "pretrain", "eval", "export", "binary"]
    assert recipe.shipped == "pretrain"
    write_dialogues(base / "dialogues.jsonl")
    more = load_recipe("base.toml", ['data.files=["dialogues.jsonl"]'])
    names = [stage.name for stage in pipeline.select(more, None, None)]
    assert names == ["data", "tokenizer", "pretrain", "sft", "eval", "export", "binary"]
    assert more.shipped == "sft"
    for stage in ("data", "sft", "reject", "kto"):
        refused(stage, "base.toml", code=2, saying="has text and no dialogues: a base model")


@pytest.mark.parametrize(
    ("override", "saying"),
    [
        ("kto.steps=5", "[reject] and [kto] need dialogues"),
        ("pretrain.hub=a/b", "set either pretrain.files or pretrain.hub"),
        ("pretrain.files=[]", "set either pretrain.files or pretrain.hub"),
        ("tokenizer.normalization=nfk", "did you mean 'nfkc'?"),
        ("pretrain.valid_fraction=0.9", "must be at most 0.5"),
    ],
)
def test_mistakes_in_a_base_model_s_recipe(base, override, saying):
    refused("run", "base.toml", override, code=2, saying=saying)


def walk(*overrides: str, last: str) -> None:
    """`minitron run base.toml --to last`, in this process."""
    recipe = load_recipe("base.toml", list(overrides))
    for stage in pipeline.select(recipe, None, last):
        pipeline.run_stage(stage, recipe)


def test_what_was_packed_under_other_settings_is_packed_anew(base):
    with pytest.raises(MinitronError, match="there is no valid text"):
        walk("pretrain.valid_fraction=0", last="pretrain")
    walk("pretrain.steps=1", last="pretrain")
    assert PackedRows(Path("runs/base/pretrain/packed-valid")).tokens > 0.09 * len(BOOK)


def test_before_the_text_is_read_the_recipe_says_how_many_characters(base):
    recipe = load_recipe("base.toml", ["tokenizer.vocab_size=99"])
    assert kinds.expected_size(recipe) == 99
    walk(last="tokenizer")
    assert kinds.expected_size(recipe) == 5 + len(set(BOOK[: int(0.9 * len(BOOK))]))


# ---- a whole run


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A finished run of a base model, its bundle and its program."""
    folder = tmp_path_factory.mktemp("base")
    (folder / "book.txt").write_text(BOOK)
    (folder / "base.toml").write_text(BASE_RECIPE)
    done = minitron("run", "base.toml", folder=folder)
    assert done.returncode == 0, done.stderr
    assert "its selftest passes" in done.stderr
    return folder


@pytest.fixture
def run(built, monkeypatch) -> Path:
    monkeypatch.chdir(built)
    return built / "runs/base"


def test_the_report_card_of_a_base_model(run):
    card = json.loads((run / "report.json").read_text())
    model = card["models"]["pretrain"]
    assert card["shipped"] == "pretrain"
    assert model["probes"] == model["failures"] == {}
    assert set(card["dtypes"]) == {"f16", "q8", "q4"}
    packed = PackedRows(run / "pretrain/packed-valid")
    held_out = BOOK[int(0.9 * len(BOOK)) :]
    assert packed.target_bytes == len(held_out.encode()) - 1  # the first character is given
    assert model["bits_per_byte"] == pytest.approx(model["loss"] * packed.targets / math.log(2) / packed.target_bytes)
    assert model["loss"] < math.log(card["tokenizer"]["vocab_size"]) - 0.5  # it learned something
    page = (run / "report.html").read_text()
    assert "Continuations" in page
    for shown in model["continuations"]:
        assert shown["prompt"] + shown["reference"] in held_out
    assert len(model["continuations"]) == 6


def test_the_bundle_of_a_base_model(run):
    about = json.loads(Path("export/base/config.json").read_text())
    assert about["template"] == "text"
    assert about["made"]["stage"] == "pretrain"
    t = kinds.load(run / "tokenizer/tokenizer.model")
    held_out = BOOK[int(0.9 * len(BOOK)) :]
    assert len(about["selftest"]) == 5
    assert all(t.decode(test["ids"]) in held_out for test in about["selftest"])


def test_complete_goes_on_with_a_text_beyond_the_context(run):
    """Greedy ids equal those of a loop without a cache; when the context is full, the window moves by half a context."""
    t = kinds.load(run / "tokenizer/tokenizer.model")
    model, _ = checkpoint.load_model(checkpoint.finished(run / "pretrain", "pretrain"))
    texts, wanted = ["hello", "who are you " * 8], []
    for text in texts:
        ids = t.encode(text)
        begun = len(ids)
        for _ in range(50):
            first = next(at for at in range(0, 999, 16) if len(ids) - at <= 32)
            with torch.no_grad():
                logits = model(torch.tensor([ids[first:]]))[0, -1]
            logits[t.never_sampled] = -math.inf
            ids.append(int(logits.argmax()))
        said = ids[begun : ids.index(t.end, begun)] if t.end in ids[begun:] else ids[begun:]
        wanted.append({"text": t.decode(said), "ids": said, "stopped": "max_tokens" if len(said) == 50 else "end"})
    asked = [{"text": texts[0]}, {"messages": [{"role": "user", "content": texts[1]}]}]
    lines = "".join(json.dumps(ask | {"max_tokens": 50}) + "\n" for ask in asked)
    done = minitron("complete", "base.toml", stdin=lines)
    assert [json.loads(line) for line in done.stdout.splitlines()] == wanted
    refused("complete", "base.toml", stdin='{"messages": []}\n', saying='line 1 of the input: neither "text" nor')
    with pytest.raises(MinitronError, match="the text has no tokens"):
        encode_text("", t)


def test_the_terminal_goes_on_with_each_text_by_itself(run):
    t = kinds.load(run / "tokenizer/tokenizer.model")
    model, _ = checkpoint.load_model(checkpoint.finished(run / "pretrain", "pretrain"))
    session = conversation.TextSession(t, model, sampling=Sampling(temperature=0.0, max_tokens=40), seed=1)
    first, _, third = (session.ask(text, lambda part: None) for text in ("hello", "who are", "hello"))
    assert first.text == third.text
    assert (first.stopped, first.answer_tokens, first.forgotten_turns) == ("max_tokens", 40, 0)
    assert session.command("/stats").startswith("turns: 3, tokens: 29 of 32")  # 5 + 40, less half a context
    assert "has no system message" in session.command("/system be kind")
    assert "Type how a text begins" in minitron("chat", "base.toml", stdin="/quit\n").stderr


def test_the_program_tokenizes_as_the_library_does(run):
    texts = ["hello  you\n", "\ttab", "<|end|>who", "привет мир", "unseen: é日\0"]
    lines = "".join(json.dumps({"text": text}) + "\n" for text in texts)
    program = Path("dist") / go.program_name(None)
    said = subprocess.run([program.resolve(), "tokenize"], input=lines, capture_output=True, text=True, check=True)
    t = kinds.load(run / "tokenizer/tokenizer.model")
    assert [json.loads(line)["ids"] for line in said.stdout.splitlines()] == [t.encode(text) for text in texts]


def test_a_base_model_goes_on_to_dialogues(base):
    """Also with characters: the tokenizer has those of both, sft begins where pretrain ended, and the chat template is in use again."""
    write_dialogues(base / "dialogues.jsonl")
    dialogues = TINY_RECIPE[TINY_RECIPE.index("[sft]") : TINY_RECIPE.index("[reject]")]
    Path("base.toml").write_text(
        BASE_RECIPE.replace("context = 32", "context = 128")
        + dialogues
        + '[data]\nfiles = ["dialogues.jsonl"]\nvalid_fraction = 0.2\n'
    )
    walk(last="sft")
    export.write(load_recipe("base.toml"), out="export/base")
    t = kinds.load(Path("runs/base/tokenizer/tokenizer.model"))
    assert sentencepiece.UNKNOWN_ID not in t.encode("10: say")  # the colon is in dialogues only
    assert ":" not in BOOK
    rows = [json.loads(line) for line in Path("runs/base/sft/metrics.jsonl").read_text().splitlines()]
    assert rows[0]["loss"] < math.log(t.vocab_size) - 0.3
    assert json.loads(Path("export/base/config.json").read_text())["template"] == "chatml"
