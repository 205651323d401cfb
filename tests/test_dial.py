"""One dial: rules against the figures they come from, and proposals that a run can use."""

import math
import subprocess
import sys
from pathlib import Path

import pytest

from minitron.core.errors import MinitronError
from minitron.model.language_model import LanguageModel
from minitron.plan import propose
from minitron.recipe.load import load_recipe
from minitron.recipe.schema import ModelConfig
from minitron.recipe.write import dump_recipe, write_recipe

RECIPES = sorted((Path(__file__).parent.parent / "recipes").glob("*.toml"))


@pytest.mark.parametrize(("body", "tokens"), [(1e6, 1300), (3e6, 2200), (10e6, 4500), (30e6, 5700), (100e6, 10_000)])
def test_vocabularies_are_those_of_tao_et_al(body, tokens):
    assert abs(propose.vocabulary(body) - tokens) <= 32
    assert propose.vocabulary(body) % 64 == 0


def test_vocabularies_between_and_beyond():
    assert 1300 < propose.vocabulary(1.77e6) < 2200
    assert propose.vocabulary(1e4) == 512
    assert 10_000 < propose.vocabulary(1e9) < 32_000
    sizes = [propose.vocabulary(10**power) for power in (4, 5, 6, 7, 8, 9)]
    assert sizes == sorted(sizes)


def test_little_data_teaches_few_tokens():
    for tokens in (1e6, 3e6, 1e8):
        size = propose.vocabulary_limit(int(tokens))
        assert 95 * size * math.log(size) <= tokens < 95 * 1.3 * size * math.log(1.3 * size)
    assert propose.vocabulary_limit(0) == 512


def test_repeated_tokens_are_worth_less():
    """Muennighoff et al., section 6: 4 passes are nearly as good as new data, 16 at the half-life of what repeats bring."""
    assert propose.worth(50, 100) == 50
    assert propose.worth(100, 100) == 100
    assert propose.worth(400, 100) == pytest.approx(373, abs=1)
    assert propose.worth(1640, 100) == pytest.approx(1073, abs=2)
    assert propose.worth(1e9, 100) == pytest.approx(1640)


def test_learning_rates_are_those_they_start_from():
    assert propose.learning_rate(384, "adamw") == 1e-3  # nanoGPT's characters
    assert propose.learning_rate(768, "adamw") == pytest.approx(6e-4, rel=0.2)  # nanoGPT's GPT-2
    assert propose.learning_rate(192, "muon") == 3e-3  # recipes/demo.toml
    assert propose.learning_rate(256, "muon") == pytest.approx(2e-3, rel=0.2)  # recipes/ru-jokes.toml
    assert propose.learning_rate(32, "muon") == 4e-3


@pytest.mark.parametrize("arch", ["llama", "nanogpt"])
@pytest.mark.parametrize("params", [300_000, 2_000_000, 10_000_000, 50_000_000, 124_000_000])
def test_shapes(arch, params):
    shape = propose.shape_for(params, ModelConfig(arch=arch), length=256, limit=100_000)
    assert shape.params == pytest.approx(params, rel=0.15)
    model = shape.model
    assert model.d_model % model.n_heads == 0
    assert model.d_model // model.n_heads in (32, 64)
    assert 0.5 <= model.n_layers / propose.depth(model.d_model) <= 2
    assert model.d_ff == (4 * model.d_model if arch == "nanogpt" else -(-8 * model.d_model // 3 // 64) * 64)
    assert shape.vocab_size == propose.vocabulary(shape.body)
    if params < 5e6:
        built = LanguageModel(model, shape.vocab_size).count_params()
        assert built == pytest.approx(shape.params, rel=0.01)  # all but the norms


def test_the_usual_shapes():
    model = propose.shape_for(124_000_000, ModelConfig(), length=256, limit=100_000).model
    assert 700 <= model.d_model <= 900  # GPT-2's smallest: 12 layers of 768
    assert propose.depth(768) == 12
    assert propose.depth(384) == 6


def test_the_ladder_has_small_steps():
    sizes = [shape.params for shape in propose.ladder(ModelConfig(), length=256, limit=100_000)]
    assert sizes == sorted(sizes)
    assert sizes[0] < 120_000
    assert sizes[-1] > 9e8
    assert all(b <= 1.6 * a for a, b in zip(sizes, sizes[1:], strict=False))


@pytest.mark.parametrize(
    ("text", "size"),
    [("10M", 10**7), ("500k", 5 * 10**5), ("1.5m", 1_500_000), ("2e6", 2 * 10**6), ("0.1M", 10**5), ("1000M", 10**9)],
)
def test_sizes(text, size):
    assert propose.parse_size(text) == size


@pytest.mark.parametrize(
    "text", ["", "ten", "10MB", "-5M", "1e99", "10 million", "nan", "inf", "0", "99k", "1001M", "1.2.3M"]
)
def test_no_sizes(text):
    with pytest.raises(MinitronError) as failure:
        propose.parse_size(text)
    assert failure.value.code == 2
    assert failure.value.hint


@pytest.mark.parametrize("text", ["", "soon", "0", "-5", "nan", "inf", "1e9"])
def test_no_minutes(text):
    with pytest.raises(MinitronError) as failure:
        propose.parse_minutes(text)
    assert failure.value.code == 2


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.name)
def test_recipes_are_written_as_they_are_read(path, tmp_path):
    recipe = load_recipe(path)
    again = tmp_path / path.name
    again.write_text(write_recipe(recipe, comments={"sft.steps": "a comment", "model.d_model": ""}))
    assert dump_recipe(load_recipe(again)) == dump_recipe(recipe)
    assert "  # a comment\n" in again.read_text()
    assert f"d_model = {recipe.model.d_model}\n" in again.read_text()


def minitron(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "minitron", *arguments], capture_output=True, text=True)


# slow: measures, then trains
@pytest.mark.slow
def test_a_proposal_can_be_run(tiny_run):
    done = minitron("plan", "tiny.toml", "--params", "100k", "--minutes", "2", "optim.name=adamw", "eval.prompts=2")
    assert done.returncode == 0, done.stderr
    assert "passes over" in done.stderr
    Path("mine.toml").write_text(done.stdout)
    before, mine = load_recipe(tiny_run, ["eval.prompts=2"]), load_recipe("mine.toml")
    for section in ("data", "reject", "kto", "eval", "export"):
        assert mine.section(section) == before.section(section)
    assert mine.seed == 3
    assert mine.optim.name == "adamw"
    assert mine.model.dropout == before.model.dropout
    passes = mine.sft.steps * mine.sft.batch_rows * mine.sft.accumulation * mine.model.context
    assert passes > 0
    assert mine.tokenizer.vocab_size < 512  # so little text makes no more
    done = minitron("run", "mine.toml", "--to", "sft", "sft.steps=2")
    assert done.returncode == 0, done.stderr


# slow: measures this machine several times
@pytest.mark.slow
def test_a_size_alone_keeps_the_tokens_and_a_time_alone_finds_a_size(tiny_run):
    recipe = tiny_run.read_text().split("[reject]")[0]
    tiny_run.write_text(recipe.replace("steps = 24", "steps = 2400"))
    done = minitron("plan", "tiny.toml", "--params", "120k")
    assert done.returncode == 0, done.stderr
    Path("mine.toml").write_text(done.stdout)
    mine = load_recipe("mine.toml")
    per_step = mine.sft.batch_rows * mine.sft.accumulation * mine.model.context
    assert mine.sft.steps * per_step == pytest.approx(2400 * 2 * 2 * 64, abs=per_step)
    assert mine.optim.name == "muon"
    assert mine.kto is None
    done = minitron("plan", "tiny.toml", "--minutes", "0.05")
    assert done.returncode == 0, done.stderr
    assert "babbles" in done.stderr  # some 200 sentences
    assert done.stdout.startswith("# Made by `minitron plan tiny.toml --minutes 0.05`.\n")


@pytest.mark.parametrize(
    ("params", "minutes", "overrides", "code", "saying"),
    [
        ("lots", None, [], 2, "'lots' is not a number of parameters"),
        (None, "soon", [], 2, "'soon' is not a time"),
        ("1M", None, ["data.files=['nothing.jsonl']"], 1, "nothing matches nothing.jsonl"),
        ("1M", None, ["data.files=[]", "data.hub='a/b'"], 1, "is not known before it has been read"),
        ("1M", None, ["data.files=[]"], 2, "names no data"),
    ],
)
def test_what_cannot_be_planned(tiny_run, capsys, params, minutes, overrides, code, saying):
    with pytest.raises(MinitronError, match=saying) as failure:
        propose.run(load_recipe(tiny_run, overrides), overrides, params=params, minutes=minutes)
    assert failure.value.code == code
    assert failure.value.hint
    assert not capsys.readouterr().out


def test_a_dial_must_be_turned(tiny_run):
    done = minitron("plan", "tiny.toml")
    assert done.returncode == 2
    assert "plan needs a size or a time" in done.stderr
    assert not done.stdout
