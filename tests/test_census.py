"""`minitron census`: classes add up to the vocabulary, counts equal a plain recount, and tokens that it calls unreachable never occur."""

import json
import random
from collections import Counter
from pathlib import Path

import pytest
import torch
from commands import minitron
from conftest import run_to
from dialogues import dialogue, save
from hypothesis import given, settings
from hypothesis import strategies as st
from test_inspect import CHANCE_WORDS
from test_tokenizer_kinds import KINDS, TEXTS, made

from minitron.core.errors import MinitronError
from minitron.lab import census_report
from minitron.lab.census import CLASSES, census, count, name_of, reached, steps_of
from minitron.lab.corpus import Piece, pieces_of
from minitron.recipe.load import load_recipe
from minitron.tokenizer.base import MARKERS
from minitron.tokenizer.byte_bpe import ByteBPE, file_of
from minitron.train import checkpoint


def counted(tokenizer, pieces, **options):
    return census(count(pieces, tokenizer), tokenizer, **options)


@pytest.mark.parametrize("kind", KINDS)
def test_counts_are_a_plain_recount_and_classes_sum_to_the_vocabulary(tmp_path, kind):
    found = made(tmp_path, kind=kind)
    chance = random.Random(4)
    pieces = [Piece("".join(chance.choices(CHANCE_WORDS, k=9)), chance.random() < 0.6) for _ in range(300)]
    result = counted(found, pieces)
    learnt = Counter(i for piece in pieces if piece.learnt for i in found.encode(piece.text))
    read = Counter(i for piece in pieces if not piece.learnt for i in found.encode(piece.text))
    assert result.counts.learnt.tolist() == [learnt[i] for i in range(found.vocab_size)]
    assert result.counts.read.tolist() == [read[i] for i in range(found.vocab_size)]
    assert result.counts.raw_bytes == sum(len(piece.text.encode()) for piece in pieces)
    assert sum(len(result.members(name)) for name in CLASSES) == found.vocab_size
    assert sum(result.share(name) for name in CLASSES) == pytest.approx(1)
    for i, name in enumerate(result.classes):
        if name == "marker":
            continue
        want = "live" if learnt[i] >= 10 else "rare" if learnt[i] else "masked" if read[i] else None
        assert want in (None, name)
        assert (name in ("live", "rare", "masked")) == (want is not None)
    assert {*found.markers.values(), found.end} <= set(result.members("marker"))
    assert set(MARKERS) <= {name_of(found, i) for i in result.members("marker")} <= {*MARKERS, "<unk>"}


def test_a_step_that_never_comes_out_is_a_scaffold(tmp_path):
    """`hello` is merged from el, lo and hel. In a text that holds nothing else these are scaffolds, and are formed as often as `hello`."""
    found = made(tmp_path, kind="bpe-spaces")
    ids = {piece: i for i, piece in enumerate(found.to_vocab()["pieces"])}
    assert len(found.encode("hello")) == 1
    inner = {found.to_vocab()["pieces"][i] for i in steps_of(found)[ids["hello"]]}
    assert {"h", "o"} <= inner
    assert len(inner) >= 5
    result = counted(found, [Piece("hello " * 50)])
    scaffolds = {name_of(found, i) for i in result.members("scaffold")}
    assert scaffolds == inner
    assert all(result.steps[ids[piece]] >= 50 for piece in inner)
    assert result.classes[ids["hello"]] == "live"
    assert {word.word for word in result.words} == set()


def test_what_is_only_read_is_under_the_mask(tmp_path):
    found = made(tmp_path)
    result = counted(found, [Piece("hello " * 20, False), Piece("you" * 5, True), Piece("you")])
    (hello,) = found.encode("hello")
    (you,) = found.encode("you")
    assert (result.classes[hello], result.classes[you]) == ("masked", "rare")
    assert counted(found, [Piece("you")], rare=1).classes[you] == "live"


@pytest.fixture(scope="module", params=["bpe", "bpe-spaces", "char-bpe", "char", "bytes"])
def judged(request, tmp_path_factory):
    found = made(tmp_path_factory.mktemp("kind"), kind=request.param, user_symbols=["—", "ello"])
    reachable = set(reached(found, list(range(found.vocab_size))))
    return found, {i for i in range(found.vocab_size) if i not in reachable and found.piece_bytes(i)}


@given(st.lists(st.one_of(st.sampled_from([*CHANCE_WORDS, *TEXTS[:9]]), st.text(max_size=4)), max_size=9).map("".join))
@settings(max_examples=200)
def test_no_text_becomes_what_is_unreachable(judged, text):
    found, unreachable = judged
    assert unreachable.isdisjoint(found.encode(text))


def test_what_is_reachable_comes_of_its_own_text_or_of_a_character(judged):
    """Every byte token that is called reachable comes from encoding some character (every 63rd is tried) or its own text."""
    found, unreachable = judged
    unreached = {i for i in range(found.vocab_size) if found.is_byte(i)} - unreachable
    for first in range(0x80, 0x110000, 0x400):
        if not unreached:
            break
        characters = [chr(c) for c in range(first, min(first + 0x400, 0x110000), 0x3F) if not 0xD800 <= c < 0xE000]
        unreached -= {i for ids in found.encode_many(characters) for i in ids}
    for i in list(unreached):
        if found.encode(found.piece_bytes(i).decode(errors="replace")) == [i]:
            unreached.discard(i)
    assert not unreached
    if found.to_vocab()["byte_fallback"]:
        assert {found.piece_bytes(i)[0] for i in unreachable if found.is_byte(i)} >= {0xC0, 0xC1, 0xF5, 0xFF}


def test_byte_level_pairs_have_parts_of_characters_and_steps(tmp_path):
    """As imported models have them."""
    library = pytest.importorskip("tokenizers")
    whole = library.Tokenizer(library.models.BPE())
    whole.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
    whole.decoder = library.decoders.ByteLevel()
    alphabet = library.pre_tokenizers.ByteLevel.alphabet()
    texts = ["hello 😀😁 приветствие"] * 20
    whole.train_from_iterator(
        texts, library.trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, special_tokens=["<|endoftext|>"])
    )
    found = ByteBPE(file_of(json.loads(whole.to_str()), size=300, end=0), tmp_path / "t.model")
    result = counted(found, [Piece("hello " * 50)])
    classes = dict(zip(range(found.vocab_size), result.classes, strict=True))
    assert set(found.encode("😂")) <= {i for i, one in classes.items() if one in ("unseen", "scaffold")}
    assert "unreachable" not in classes.values()
    (hello,) = found.encode("hello")
    assert classes[hello] == "live"
    inner = {found.piece_bytes(i) for i in result.members("scaffold")}
    assert any(len(piece) > 1 for piece in inner)
    assert all(piece in b"hello " for piece in inner)


def test_files_of_all_shapes_are_read(in_tmp_path):
    Path("book.txt").write_bytes("\ufeffhello\r\nyou".encode())
    save("chats.jsonl", [{"messages": dialogue("who", "me")}, {"messages": "broken"}])
    Path("stories.jsonl").write_text('{"text": "a", "story": "b"}\n')
    assert list(pieces_of(["book.txt"])) == [Piece("hello\nyou", True, "book")]
    assert list(pieces_of(["chats.jsonl"])) == [Piece("who", False, "chats"), Piece("me", True, "chats")]
    assert [p.text for p in pieces_of(["stories.jsonl"])] == ["a"]
    assert [p.text for p in pieces_of(["stories.jsonl"], column="story")] == ["b"]
    Path("cp1251.txt").write_bytes("привет".encode("cp1251"))
    for patterns, told in ((["none*"], "nothing matches none"), (["cp1251.txt"], "cp1251.txt is not UTF-8 text")):
        with pytest.raises(MinitronError, match=told):
            list(pieces_of(patterns))


def test_broken_files_and_rows_are_counted(in_tmp_path, capfd):
    """A file that is not text, one in another encoding and a broken one are left out with a warning; the others are read."""
    Path("texts").mkdir()
    Path("texts/a.txt").write_text("hello")
    Path("texts/b.txt").write_bytes(bytes(range(256)))
    Path("texts/c.txt").write_bytes("привет".encode("cp1251"))
    Path("texts/d.parquet").write_bytes(b"PAR1 and no more")
    save("texts/e.jsonl", [{"messages": dialogue("who", "me")}, {"messages": "broken"}, {"messages": []}])
    assert [piece.text for piece in pieces_of(["texts"])] == ["hello", "who", "me"]
    told = capfd.readouterr().err
    for name in ("b.txt is not UTF-8 text", "c.txt is not UTF-8 text", "d.parquet cannot be read"):
        assert told.count(name) == 1, told
    assert "3 of 5 files were left out" in told
    assert "e.jsonl: 2 rows are no dialogues" in told


def test_a_run_is_counted_with_its_model(tiny_run):
    """Without files, the text that the run learnt from is counted; losses and lengths are those of the trained model."""
    run_to("sft", "optim.compile=off", "model.untied_head=true")
    census_report.run("tiny.toml", [], json_file=Path("c.json"), html=Path("c.html"))
    found = json.loads(Path("c.json").read_text())
    assert found["pieces"] == len(found["vocabulary"]) == sum(found["classes"].values()) == 340
    assert found["characters_per_token"] == pytest.approx(found["characters"] / found["tokens"], abs=1e-4)
    say = next(piece for piece in found["vocabulary"] if piece["piece"] == "say")
    assert say["class"] == "masked"
    assert say["loss"] is None
    live = [piece for piece in found["vocabulary"] if piece["class"] == "live"]
    assert all(piece["norm"] > 0 for piece in live)
    assert any(piece["loss"] is not None for piece in live)
    assert 0 < found["parameters"]["live"] < 1
    config = load_recipe(Path("tiny.toml"))
    model, _ = checkpoint.load_model(checkpoint.finished(config.layout.stage("sft"), "sft"), device=torch.device("cpu"))
    rows = 2 * 340 * model.config.d_model  # of the embedding and of the head
    assert sum(found["parameters"].values()) == pytest.approx(rows / model.count_params())
    page = Path("c.html").read_text()
    assert "Length of the embeddings" in page
    assert "How often tokens come" in page
    done = minitron("census", "runs/tiny", "dialogues.jsonl", "--words", "you,small")
    assert done.returncode == 0, done.stderr
    told = done.stdout
    assert "\nyou " in told
    assert "largest loss: " in told


def test_nothing_to_count_is_a_sentence(in_tmp_path):
    made(in_tmp_path)
    Path("empty.txt").write_text("")
    with pytest.raises(MinitronError, match="there is no text to count"):
        census_report.run("tokenizer.model", ["empty.txt"])
    with pytest.raises(MinitronError, match="there is no text to count"):
        census_report.run("tokenizer.model", [])
