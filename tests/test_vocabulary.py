"""The tokenizer stage and sft's encoding of small and odd data: what the vocabulary depends on, and messages about too little text."""

import base64
import json
import random
from pathlib import Path

import pytest
from conftest import TINY_RECIPE, run_to, tiny_texts, write_dialogues
from dialogues import dialogue, save

from minitron.core.errors import MinitronError
from minitron.stages.tokenizer import _fitting
from minitron.tokenizer import kinds

MODEL = Path("runs/tiny/tokenizer/tokenizer.model")


@pytest.fixture(autouse=True)
def recipe(in_tmp_path) -> Path:
    """A tiny recipe of 200 dialogues in the current folder."""
    write_dialogues(Path("dialogues.jsonl"))
    Path("tiny.toml").write_text(TINY_RECIPE)
    return Path("tiny.toml")


def test_text_too_small_for_the_vocabulary_gets_what_it_has(capfd):
    """The README's first recipe, of a small file without scores, with all defaults."""
    write_dialogues(Path("dialogues.jsonl"), count=60)
    Path("tiny.toml").write_text('[data]\nfiles = ["dialogues.jsonl"]\n')
    run_to("tokenizer")
    size = kinds.load(MODEL).vocab_size
    assert 300 < size < 2048
    assert f"so little text has {size} tokens, not tokenizer.vocab_size = 2048" in capfd.readouterr().err
    assert json.loads(MODEL.with_name("report.json").read_text())["vocab_size"] == size


def test_text_enough_for_the_vocabulary_gets_it(capfd):
    run_to("tokenizer")
    assert kinds.load(MODEL).vocab_size == 340
    assert "so little text" not in capfd.readouterr().err


def test_a_vocabulary_too_small_for_the_alphabet_says_how_large_that_is():
    with pytest.raises(
        MinitronError, match=r"tokenizer.vocab_size is 270, but the characters, bytes and markers alone are \d+"
    ) as e:
        run_to("tokenizer", "tokenizer.vocab_size=270")
    assert e.value.hint


@pytest.mark.parametrize("size", [400_000, 2_000_000])
def test_what_sft_cannot_use_has_no_say(size):
    run_to("tokenizer")
    without = MODEL.read_bytes()
    noise = base64.b64encode(random.Random(1).randbytes(size)).decode()
    with Path("dialogues.jsonl").open("a") as file:
        for i in range(5):
            file.write(json.dumps({"messages": dialogue(f"decode {i}", f"{i} {noise}")}) + "\n")
    run_to("tokenizer")
    assert MODEL.read_bytes() == without


def test_a_long_dialogue_has_its_first_turns_as_in_sft():
    turns = dialogue("aa", "bb", "cc", "dd")
    system = {"role": "system", "content": "ss"}
    assert _fitting(turns, 8) == turns
    assert _fitting(turns, 7) == turns[:2]
    assert _fitting(turns, 3) == []
    assert _fitting([system, *turns], 9) == [system, *turns[:2]]
    assert _fitting([system, *turns], 5) == []


def test_text_of_which_nothing_fits():
    save("dialogues.jsonl", [{"messages": dialogue(f"q{i}", "long " * 200)} for i in range(30)])
    with pytest.raises(MinitronError, match="there is no training text, or none that fits into the context") as error:
        run_to("tokenizer")
    assert error.value.hint == "raise model.context"


def test_held_out_dialogues_that_are_all_too_long():
    rows = [{"messages": dialogue(f"say {i}", text), "long": 0} for i, text in enumerate(tiny_texts(50))]
    rows += [{"messages": dialogue(f"say {i}", " ".join(tiny_texts(8))), "long": 1} for i in range(50)]
    save("dialogues.jsonl", rows)
    with pytest.raises(MinitronError, match="no valid dialogue fits into the context of 64 tokens") as error:
        run_to("sft", 'data.valid_keep=["long == 1"]')
    assert error.value.hint == "raise model.context"
    with pytest.raises(MinitronError, match="there are no valid dialogues") as error:
        run_to("sft", "data.valid_fraction=0")
    assert "set data.valid_fraction above 0" in error.value.hint


def test_one_short_text_makes_a_base_model():
    Path("book.txt").write_text(" ".join(tiny_texts(40)))
    text = TINY_RECIPE[TINY_RECIPE.index("[tokenizer]") : TINY_RECIPE.index("[sft]")]
    Path("tiny.toml").write_text(text + '[pretrain]\nfiles = ["book.txt"]\nsteps = 2\nbatch_rows = 2\n')
    run_to("pretrain", "optim.compile=off")
    assert Path("runs/tiny/pretrain/best").exists()
