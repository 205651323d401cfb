"""Raw text: which documents there are, what is held out of them, and the sequences they become."""

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import char_tokenizer, tiny_texts
from dialogues import save
from hypothesis import given, settings
from hypothesis import strategies as st

from minitron.core.errors import MinitronError
from minitron.data import documents
from minitron.data.packing import PackedRows, pack
from minitron.recipe.training import PretrainConfig

BOOK = "\n".join(tiny_texts(400)) + "\n"


def both(**settings) -> tuple[list[str], list[str]]:
    """Training and held-out texts."""
    how = PretrainConfig(**settings)
    return list(documents.texts(how, "train")), list(documents.texts(how, "valid"))


def test_a_long_text_is_cut_where_nanogpt_cuts_it(tmp_path):
    data = BOOK[:12_345]  # no round number
    (tmp_path / "book.txt").write_text(data)
    how = PretrainConfig(files=[str(tmp_path / "book.txt")], valid_fraction=0.1)
    n = len(data)  # nanoGPT, data/shakespeare_char/prepare.py
    assert list(documents.texts(how, "train")) == [data[: int(n * 0.9)]]
    assert list(documents.texts(how, "valid")) == [data[int(n * 0.9) :]]


def test_short_texts_are_held_out_whole_whatever_their_order(tmp_path):
    stories = [f"story {i}: {t}" for i, t in enumerate(tiny_texts(2000))]
    for name, rows in (("one", stories), ("two", stories[::-1])):
        pq.write_table(pa.table({"story": [*rows, None, ""], "n": range(len(rows) + 2)}), tmp_path / f"{name}.parquet")
    found = {}
    for name in ("one", "two"):
        how = PretrainConfig(files=[str(tmp_path / f"{name}.parquet")], column="story", valid_fraction=0.1)
        found[name] = [set(documents.texts(how, split)) for split in ("train", "valid")]
    train, valid = found["one"]
    assert found["two"] == [train, valid]
    assert not train & valid
    assert train | valid == set(stories)
    assert 150 < len(valid) < 250


def test_a_dataset_of_a_hub_is_read_as_its_files_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("hub/corpus").mkdir(parents=True)
    pq.write_table(pa.table({"story": tiny_texts(300)}), "hub/corpus/train-0.parquet")
    pq.write_table(pa.table({"story": ["held back"]}), "hub/corpus/test-0.parquet")
    files = PretrainConfig(files=["hub/corpus/train-*.parquet"], column="story")
    hub = PretrainConfig(hub="hub/corpus", column="story")
    assert list(documents.documents(hub)) == list(documents.documents(files)) == tiny_texts(300)
    assert list(documents.documents(PretrainConfig(hub="hub/corpus", hub_split="test", column="story"))) == [
        "held back"
    ]
    for wrong, saying in (({"column": "text"}, "no column 'text'"), ({"hub_split": "no"}, "hub/corpus cannot be read")):
        with pytest.raises(MinitronError, match=saying) as failure:
            list(documents.documents(PretrainConfig(**{"hub": "hub/corpus", "column": "story"} | wrong)))
        assert "pretrain." in failure.value.hint


@settings(max_examples=40, deadline=None)
@given(texts=st.lists(st.text("ab é\n日", max_size=90), max_size=5), context=st.integers(2, 20))
def test_every_id_is_predicted_once(tiny_tokenizer, texts, context):
    t = tiny_tokenizer
    found = list(documents.sequences(texts, t, context))
    whole = [[*t.encode(text), t.end] for text in texts if text]
    predicted = [i for ids, mask, _ in found for i, counted in zip(ids, mask, strict=True) if counted]
    assert predicted == [i for ids in whole for i in ids[1:]]
    assert all(len(ids) <= context + 1 and not mask[0] for ids, mask, _ in found)
    assert sum(s.target_bytes for s in found) == sum(t.byte_counts[ids[1:]].sum() for ids in whole)
    for ids, _, _ in found:  # each begins with the last id of the one before, or with a document
        assert any(ids.tolist() == w[at : at + len(ids)] for w in whole for at in range(0, len(w), context))


def test_a_vocabulary_beyond_16_bits(tmp_path):
    text = "".join(chr(c) for c in range(0x20000, 0x20000 + 66_000)) + "end"
    t = char_tokenizer(tmp_path, text, byte_fallback=False)
    assert t.vocab_size > 1 << 16
    counts = pack(documents.sequences([text], t, 64), context=64, vocab_size=t.vocab_size, out=tmp_path / "packed")
    rows = PackedRows(tmp_path / "packed")
    batch = rows.batch(range(len(rows)))
    targets = batch.targets[: batch.count].tolist()
    assert max(targets) == t.vocab_size - 1
    assert sorted(targets) == sorted([*t.encode(text)[1:], t.end])
    assert counts["target_bytes"] == len(text.encode()) - len(text[0].encode())


@pytest.mark.parametrize(("count", "fraction"), [(1, 0.05), (3, 0.05), (99, 0.05), (9, 0.5)])
def test_of_few_short_texts_the_ends_are_held_out(in_tmp_path, count, fraction):
    texts = [f"{i}: " + " ".join(tiny_texts(30)) for i in range(count)]
    for i, text in enumerate(texts):
        Path(f"{i:02}.txt").write_text(text)
    train, valid = both(files=["*.txt"], valid_fraction=fraction)
    assert [a + b for a, b in zip(train, valid, strict=True)] == texts
    assert all(len(text) == int(len(whole) * (1 - fraction)) for text, whole in zip(train, texts, strict=True))


def test_of_enough_short_texts_whole_ones_are_held_out(in_tmp_path):
    texts = [f"story {i}: {t}" for i, t in enumerate(tiny_texts(100))]
    pq.write_table(pa.table({"text": texts}), "x.parquet")
    train, valid = both(files=["x.parquet"], valid_fraction=0.05)
    assert valid
    assert sorted([*train, *valid]) == sorted(texts)


def test_formats_are_those_of_dialogues(in_tmp_path):
    texts = ["one\r\ntwo", "three", None, ""]
    want = ["one\ntwo", "three"]
    for ending in ("parquet", "jsonl", "json"):
        save(f"x.{ending}", [{"text": text, "n": 1} for text in texts])
        assert list(documents.documents(PretrainConfig(files=[f"x.{ending}"]))) == want
    Path("x.txt.gz").write_bytes(gzip.compress("\ufeffone\r\ntwo".encode()))
    Path("x.tex").write_text("three", newline="")
    assert list(documents.documents(PretrainConfig(files=["x.txt.gz", "x.tex"]))) == want


def test_names_and_folders_are_those_of_dialogues(in_tmp_path):
    Path("books/.git").mkdir(parents=True)
    for name in ("book [1].txt", "books/a.txt", "books/b.md", "books/.git/c.txt", "books/cover.jpg"):
        Path(name).write_text(name)
    assert list(documents.documents(PretrainConfig(files=["book [1].txt"]))) == ["book [1].txt"]
    assert list(documents.documents(PretrainConfig(files=["books"]))) == ["books/a.txt", "books/b.md"]


def test_halves_of_characters_are_replaced(in_tmp_path):
    Path("x.jsonl").write_text(json.dumps({"text": "a\ud83d"}))
    assert list(documents.documents(PretrainConfig(files=["x.jsonl"]))) == ["a\ufffd"]


def test_a_file_without_rows_may_lack_the_column(in_tmp_path):
    """pandas writes an empty table without columns."""
    pq.write_table(pa.table({"text": ["a", "b"]}), "x.parquet")
    pq.write_table(pa.table({}), "y.parquet")
    assert list(documents.documents(PretrainConfig(files=["*.parquet"]))) == ["a", "b"]


def test_mistakes_in_raw_text(in_tmp_path):
    Path("latin.txt").write_bytes("é".encode("latin-1"))
    Path("bad.parquet").write_text("no parquet")
    pq.write_table(pa.table({"text": [1, 2]}), "numbers.parquet")
    pq.write_table(pa.table({"story": ["a"]}), "story.parquet")
    for name, saying in {
        "nothing.txt": "nothing matches nothing.txt",
        "latin.txt": "latin.txt is not UTF-8 text",
        "bad.parquet": "bad.parquet cannot be read",
        "numbers.parquet": "holds no text",
        "story.parquet": "has no column 'text'",
    }.items():
        with pytest.raises(MinitronError, match=saying) as failure:
            list(documents.documents(PretrainConfig(files=[name])))
        assert failure.value.hint
