"""The tokenizer stage on long, mixed and odd texts: the sample is spread over all of them, shares are kept, and errors are one sentence."""

import json
from pathlib import Path

import pytest
from commands import minitron, refused
from conftest import tiny_texts
from test_recipe import DATA
from test_recipe import refused as recipe_refused
from test_tokenizer_kinds import made

from minitron.data.sample import Origin, Sample
from minitron.recipe.load import load_recipe
from minitron.recipe.schema import TokenizerConfig
from minitron.recipe.write import dump_recipe
from minitron.stages import declared, pipeline
from minitron.tokenizer import kinds, measure

RECIPE = """
[tokenizer]
vocab_size = 330
[model]
n_layers = 1
n_heads = 2
d_model = 32
context = 32
[pretrain]
files = ["book.txt"]
"""


@pytest.fixture
def book(in_tmp_path) -> Path:
    Path("base.toml").write_text(RECIPE)
    Path("book.txt").write_text("\n".join(tiny_texts(600)))
    return in_tmp_path


def run(*overrides: str) -> dict:
    """Runs the stage; returns its report."""
    config = load_recipe("base.toml", list(overrides))
    for stage in pipeline.select(config, "tokenizer", "tokenizer"):
        pipeline.run_stage(stage, config)
    return json.loads(config.layout.stage_report("tokenizer").read_text())


# ---- the sample


def letters(count: int, letter: str = "a", size: int = 100) -> Origin:
    return Origin(letter, lambda: iter([f"{letter}{n:099d}"[:size] for n in range(count)]))


def test_all_of_a_small_text_is_learnt_from_in_its_order():
    sample = Sample.of([letters(7)], limit=700, seed=1)
    assert sample.whole
    assert list(sample.texts()) == list(letters(7).open())
    assert sample.met == {"a": 700}


def test_a_sample_is_spread_over_all_of_the_text_and_the_same_each_time():
    sample = Sample.of([letters(10_000)], limit=100_000, seed=1)
    texts = list(sample.texts())
    assert not sample.whole
    assert (sample.wanted, sum(o.characters for o in sample.origins)) == (100_000, 1_000_000)
    assert 0.9 * 100_000 < sample.met["a"] <= 100_000
    numbers = [int(text[1:]) for text in texts]
    for tenth in range(10):
        assert 60 < sum(tenth * 1000 <= n < (tenth + 1) * 1000 for n in numbers) < 140
    assert list(sample.texts()) == texts
    assert list(Sample.of([letters(10_000)], limit=100_000, seed=2).texts()) != texts


def test_one_long_line_is_sampled_in_parts():
    line = "".join(f"{n:09d} " for n in range(200_000))
    sample = Sample.of([Origin("line", lambda: iter([line]))], limit=200_000, seed=1)
    texts = list(sample.texts())
    assert max(map(len, texts)) == 2_000
    assert int(texts[0].split()[1]) < 10_000
    assert int(texts[-1].split()[1]) > 170_000


def test_a_mixture_keeps_its_shares_and_takes_no_more_than_there_is():
    parts = [letters(500, "a"), letters(9_000, "b")]
    parts[0].share, parts[1].share = 0.8, 0.2
    sample = Sample.of(parts, limit=10_000_000, seed=1)
    list(sample.texts())
    assert sample.met["a"] == 50_000  # all there is: the other part gives a quarter of that
    assert 0.9 * 12_500 < sample.met["b"] <= 12_500


def test_what_comes_over_the_network_is_taken_from_its_beginning():
    hub = letters(1000)
    hub.countable = False
    assert "".join(Sample.of([hub], limit=250, seed=1).texts()) == "".join(letters(3).open())[:250]
    first = Sample.of([letters(2, "b"), hub], limit=250, seed=1)
    assert "".join(first.texts()) == "".join([*letters(2, "b").open(), *letters(1).open()])[:250]
    assert (first.wanted, first.met) == (250, {"b": 200, "a": 50})


# ---- the stage


def test_the_report_tells_of_sources_scripts_and_tokens(book, capfd):
    report = run()
    found = kinds.load(Path("runs/base/tokenizer/tokenizer.model"))
    held_out = book.joinpath("book.txt").read_text()
    held_out = held_out[int(len(held_out) * 0.95) :]
    ids = found.encode(held_out)
    assert report["sources"]["pretrain"]["tokens"] == len(ids)
    assert report["characters_per_token"] == pytest.approx(len(held_out) / len(ids), abs=1e-3)
    assert report["bytes_per_token"] == pytest.approx(len(held_out.encode()) / len(ids), abs=1e-3)
    assert set(report["scripts"]) == {"latin", "cyrillic"}
    assert report["longest"] == measure.longest(found)
    assert report["learnt_from"]["pretrain"] == report["of"] == int(len(book.joinpath("book.txt").read_text()) * 0.95)
    told = capfd.readouterr().err
    assert "  cyrillic: " in told
    assert "  longest tokens: " in told
    assert "learns from" not in told


def test_by_script_counts_words_with_the_space_before_them(tmp_path):
    found = made(tmp_path)
    assert measure.by_script(["hello you hello"], found) == {
        "latin": {
            "words": 3,
            "characters_per_token": round(16 / 3, 3),
            "bytes_per_token": round(16 / 3, 3),
            "tokens_per_word": 1.0,
        }
    }


def test_odd_tokens_are_those_that_one_would_not_expect(tmp_path):
    texts = ["xы xы xы ------ ------ a1b a1b word word word"] * 30
    (tmp_path / "t").write_bytes(kinds.train(texts, config=TokenizerConfig(vocab_size=290), seed=1))
    odd = measure.oddest(kinds.load(tmp_path / "t"))
    assert any(set(text.strip()) == {"-"} for text in odd)
    assert not any("word" in text for text in odd)


def test_more_text_than_the_limit_is_told(book, capfd):
    report = run("tokenizer.max_train_chars=5000")
    assert report["learnt_from"]["pretrain"] <= 5000
    assert f"learns from 5,000 of {report['of']:,} characters, a sample from all of them" in capfd.readouterr().err


def test_a_mixture_takes_the_place_of_the_recipe_s_text(book):
    Path("en").mkdir()
    Path("en/a.txt").write_text(" ".join(f"river{n % 9} stone" for n in range(4000)))
    Path("ru.jsonl").write_text("".join(json.dumps({"story": "камень и река "}) + "\n" for _ in range(4000)))
    mixture = "[{files = ['en'], share = 0.75}, {files = ['ru.jsonl'], share = 0.25, column = 'story'}]"
    report = run(f"tokenizer.mixture={mixture}", "tokenizer.max_train_chars=20000")
    met = report["learnt_from"]
    assert met["en"] == pytest.approx(15_000, rel=0.15)
    assert met["ru.jsonl"] == pytest.approx(5_000, rel=0.15)
    assert set(report["sources"]) == {"en", "ru.jsonl"}
    found = kinds.load(Path("runs/base/tokenizer/tokenizer.model"))
    assert len(found.encode(" stone")) == 1
    assert len(found.encode(" hello")) > 2  # nothing was learnt from the recipe's own text
    recipe = load_recipe("base.toml", [f"tokenizer.mixture={mixture}"])
    Path("again.toml").write_text(dump_recipe(recipe))
    assert load_recipe("again.toml").tokenizer == recipe.tokenizer
    Path("ru.jsonl").write_text('{"story": "новый текст"}\n' * 900)
    stage = declared.named("tokenizer")
    assert pipeline.run_stage(stage, recipe)  # the file changed, so the tokenizer is made anew


@pytest.mark.parametrize(
    ("mixture", "told"),
    [
        ("[{files = ['a'], share = 0.5}, {files = ['b'], share = 0.4}]", "the shares 0.5 + 0.4 do not sum to 1"),
        ("[{share = 1}]", "each part needs files and a share"),
        ("[{files = ['a'], share = 1.5}]", "share must be at most 1.0"),
        ("[{files = ['a'], share = 0}]", "share must be above 0"),
        ("[{files = 'a', share = 1}]", "files must be a list"),
        ("[{file = ['a'], share = 1}]", "unknown key 'tokenizer.mixture[0].file'; did you mean"),
    ],
)
def test_mistakes_in_a_mixture_are_told_when_the_recipe_is_read(tmp_path, mixture, told):
    assert told in recipe_refused(tmp_path, f"tokenizer.mixture={mixture}", text=DATA)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (None, "tokenizer.mixture: nothing matches mine.txt"),
        (b"", "tokenizer.mixture"),
        ("привет".encode("cp1251"), "mine.txt is not UTF-8 text"),
        (bytes(range(256)) * 9, "mine.txt is not UTF-8 text"),
    ],
)
def test_files_of_a_mixture_are_looked_at_first(book, data, told):
    if data is not None:
        Path("mine.txt").write_bytes(data)
    mixture = "tokenizer.mixture=[{files = ['mine.txt'], share = 1}]"
    refused("run", "base.toml", mixture, code=1, saying=told)


def test_a_mixture_s_column_that_is_not_there_is_told_by_its_option(book):
    Path("mine.jsonl").write_text('{"story": "a"}\n{"story": "b"}\n')
    mixture = "tokenizer.mixture=[{files = ['mine.jsonl'], share = 1}]"
    refused("run", "base.toml", mixture, code=1, saying="set column in tokenizer.mixture")


def test_a_byte_order_mark_and_windows_line_ends_are_no_tokens(book):
    text = "\n".join(tiny_texts(300))
    Path("book.txt").write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    run("tokenizer.kind=char")
    windows = Path("runs/base/tokenizer/tokenizer.model").read_bytes()
    Path("book.txt").write_text(text)
    run("tokenizer.kind=char")
    assert Path("runs/base/tokenizer/tokenizer.model").read_bytes() == windows


@pytest.mark.parametrize("first", ["\n", "A"])
def test_a_first_document_of_next_to_nothing_is_no_reason_to_stop(book, first):
    """Its end, held out, is all of it."""
    Path("00.txt").write_text(first)
    run("pretrain.files=['00.txt', 'book.txt']")
    assert Path("runs/base/tokenizer/tokenizer.model").exists()


@pytest.mark.slow  # 20 MB in one line, in a process of its own
def test_one_line_of_many_megabytes_takes_bounded_memory(book):
    line = " ".join(tiny_texts(2000))
    Path("book.txt").write_text(line * (20_000_000 // len(line)))
    done = minitron("tokenizer", "base.toml", "tokenizer.max_train_chars=1000000")
    assert done.returncode == 0, done.stderr
    assert "learns from 1,000,000 of" in done.stderr


def test_an_alphabet_is_of_all_of_a_mixture_whatever_the_shares(book):
    Path("a.txt").write_text("abc " * 2000)
    Path("b.txt").write_text("xyz " * 2000 + "щ")
    run("tokenizer.kind=char", "tokenizer.mixture=[{files=['a.txt'], share=0.99}, {files=['b.txt'], share=0.01}]")
    found = kinds.load(Path("runs/base/tokenizer/tokenizer.model"))
    assert not any(found.is_byte(i) for i in found.encode("abc xyzщ"))
