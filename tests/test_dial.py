"""One dial: rules against the figures they come from, and proposals that a run can use."""

import json
import math
import random
import string
import sys
from pathlib import Path

import pytest
import torch
from commands import minitron

from minitron.core.errors import MinitronError
from minitron.model.language_model import LanguageModel
from minitron.plan import corpus_stats, memory, propose, request, rules, studied, timing
from minitron.plan.corpus_stats import Corpus
from minitron.recipe.load import load_recipe
from minitron.recipe.schema import Config
from minitron.recipe.training import ModelConfig
from minitron.recipe.write import dump_recipe, write_recipe

ROOT = Path(__file__).parent.parent
RECIPES = sorted((ROOT / "recipes").glob("*.toml"))
sys.path.insert(0, str(ROOT / "benchmarks"))

import plan as benchmark  # noqa: E402


@pytest.mark.parametrize(
    ("body", "tokens"), [(0.2e6, 1280), (0.8e6, 2400), (10e6, 4500), (30e6, 5700), (100e6, 10_000)]
)
def test_vocabularies_are_those_that_did_best(body, tokens):
    assert abs(rules.vocabulary(body) - tokens) <= 32
    assert rules.vocabulary(body) % 64 == 0


def test_vocabularies_between_and_beyond():
    assert 2400 < rules.vocabulary(1.77e6) < 3300
    assert rules.vocabulary(1e4) == 512
    assert 10_000 < rules.vocabulary(1e9) < 32_000
    sizes = [rules.vocabulary(10**power) for power in (4, 5, 6, 7, 8, 9)]
    assert sizes == sorted(sizes)


def test_little_data_teaches_few_tokens():
    for tokens in (1e6, 3e6, 1e8):
        size = rules.vocabulary_limit(int(tokens))
        assert 95 * size * math.log(size) <= tokens < 95 * 1.3 * size * math.log(1.3 * size)
    assert rules.vocabulary_limit(0) == 512


def test_repeated_tokens_are_worth_less():
    """Muennighoff et al., section 6: 4 passes are nearly as good as new data; 16 are at the half-life of a repetition's worth."""
    assert rules.worth(50, 100) == 50
    assert rules.worth(100, 100) == 100
    assert rules.worth(400, 100) == pytest.approx(373, abs=1)
    assert rules.worth(1640, 100) == pytest.approx(1073, abs=2)
    assert rules.worth(1e9, 100) == pytest.approx(1640)


def test_learning_rates_are_those_they_start_from():
    assert rules.learning_rate(384, "adamw") == 1e-3  # nanoGPT's characters
    assert rules.learning_rate(768, "adamw") == pytest.approx(6e-4, rel=0.2)  # nanoGPT's GPT-2
    assert rules.learning_rate(192, "muon") == 3e-3  # recipes/demo.toml
    assert rules.learning_rate(256, "muon") == pytest.approx(2e-3, rel=0.2)  # recipes/ru-jokes.toml
    assert rules.learning_rate(32, "muon") == 4e-3


@pytest.mark.parametrize("arch", ["llama", "nanogpt", "stream"])
@pytest.mark.parametrize("params", [300_000, 2_000_000, 10_000_000, 50_000_000, 124_000_000])
def test_shapes(arch, params):
    shape = rules.shape_for(params, ModelConfig(arch=arch), length=256, limit=100_000)
    assert shape.params == pytest.approx(params, rel=0.15)
    model = shape.model
    assert model.d_model % model.n_heads == 0
    assert model.d_model // model.n_heads in (32, 64)
    assert 0.5 <= model.n_layers / rules.depth(model.d_model) <= 2
    assert model.d_ff == (4 * model.d_model if arch == "nanogpt" else -(-8 * model.d_model // 3 // 64) * 64)
    assert shape.vocab_size == rules.vocabulary(shape.body)
    if params < 5e6:
        built = LanguageModel(model, shape.vocab_size).count_params()
        # all but the norms; a stream's blocks differ, and are counted by their mean
        assert built == pytest.approx(shape.params, rel=0.05 if arch == "stream" else 0.01)


@pytest.mark.parametrize("own", [{"head_dim": 16}, {"untied_head": True}, {"head_dim": 128, "arch": "stream"}])
def test_a_shape_is_of_the_size_that_it_says(own):
    """Options of the recipe stay, but for the width of heads, which goes with their number."""
    shape = rules.shape_for(2_000_000, ModelConfig(**own), length=256, limit=100_000)
    assert shape.model.head_size in (32, 64)
    built = LanguageModel(shape.model, shape.vocab_size).count_params()
    assert built == pytest.approx(shape.params, rel=0.05 if "arch" in own else 0.01)


def test_shapes_are_near_the_size_and_no_deeper_than_usual():
    for params in (430_000, 790_000, 950_000, 2_160_000, 4_260_000, 48_000_000, 1e9):
        model = (shape := rules.shape_for(params, ModelConfig(), length=256, limit=100_000)).model
        assert shape.params == pytest.approx(params, rel=0.15)
        assert model.n_layers <= 1.5 * rules.depth(model.d_model)
    assert rules.shape_for(790_000, ModelConfig(), length=64, limit=9, fixed=70).vocab_size == 70


def test_the_usual_shapes():
    model = rules.shape_for(124_000_000, ModelConfig(), length=256, limit=100_000).model
    assert 700 <= model.d_model <= 900  # GPT-2's smallest: 12 layers of 768
    assert rules.depth(768) == 12
    assert rules.depth(384) == 6


def cost_of(config: Config) -> tuple[float, int]:
    """Operations of a recipe's training, and its parameters."""
    stage = "pretrain" if config.base else "sft"
    settings = getattr(config, stage)
    tokens = settings.steps * settings.batch_rows * settings.accumulation * config.model.context
    params = memory.parameters(config.model, config.tokenizer.vocab_size)
    return timing.operations(config, stage, tokens), sum(params.values())


def test_the_size_for_minutes_is_that_of_the_benchmark():
    """The geometric means over the kinds of data of benchmarks/plan.json, at the lowest point of a parabola through three sizes."""
    results = json.loads((ROOT / "benchmarks/plan.json").read_text())
    found = [benchmark.lowest(key, case) for key, case in results.items() if key.endswith(benchmark.OF_THE_RULE)]
    assert len(found) == 3
    means = [math.exp(sum(map(math.log, values)) / 3) for values in zip(*found, strict=True)]
    assert rules.MEASURED["minutes"] == pytest.approx(means, rel=0.02)


def test_the_best_sizes():
    sizes = [rules.best_size(10**power) for power in range(10, 22)]
    assert sizes == sorted(sizes)
    ratio = {operations: operations / 6 / rules.best_size(operations) ** 2 for operations in (1e18, 1e19, 1.92e19)}
    assert ratio[1e18] == pytest.approx(17, abs=1)
    assert ratio[1.92e19] == pytest.approx(20, abs=0.1)  # Hoffmann et al., table 3: 8.0B tokens for 400M
    assert ratio[1e18] < ratio[1e19] < 20


def search_for(name: str) -> propose.Search:
    config = load_recipe(ROOT / f"recipes/{name}.toml")
    try:
        return propose.Search(config, torch.device("cpu"), corpus_stats.look(config), "muon")
    except MinitronError as error:
        pytest.skip(str(error))  # the data of all but the demo are not part of the repository


@pytest.mark.parametrize("name", ["demo", "ru-jokes", "shakespeare-char", "tinystories-10k"])
def test_a_proposal_is_of_the_size_that_the_rule_gives(name):
    search = search_for(name)
    for times in (1, 1.2, 2.5):
        operations = times * cost_of(search.config)[0]
        shape = search.best_for(operations)
        assert shape.params <= 1.2 * rules.best_size(operations), (times, shape)
        if name == "demo":  # of the others there is so little that repeated tokens count for less
            assert shape.params >= 0.8 * rules.best_size(operations), (times, shape)


def test_little_data_makes_a_small_model_however_long_it_trains(tiny_run):
    config = load_recipe(tiny_run)
    few, many = (Corpus(count, [[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello there"}]])
                 for count in (100, 1_000_000))  # fmt: skip
    sizes = {}
    for corpus in (few, many):
        search = propose.Search(config, torch.device("cpu"), corpus, "muon")
        sizes[corpus.dialogues] = [search.best_for(operations).params for operations in (1e12, 1e14, 1e16)]
    assert sizes[100][0] == sizes[100][2] < 400_000
    assert sizes[1_000_000][0] < sizes[1_000_000][1] < sizes[1_000_000][2]


def test_the_context_is_counted_in_tokens_of_the_vocabulary_that_is_proposed(tiny_run):
    rng = random.Random(1)
    words = ["".join(rng.choices(string.ascii_lowercase, k=6)) for _ in range(400)]
    said = [" ".join(rng.choices(words, k=120)) for _ in range(200)]
    dialogues = [[{"role": "user", "content": "Speak"}, {"role": "assistant", "content": text}] for text in said]
    search = propose.Search(load_recipe(tiny_run), torch.device("cpu"), Corpus(200, dialogues), "muon")
    shape = search.shape_for(300_000)
    assert max(search.counts(propose.COUNTED_BY).dialogue) < 256 < min(search.counts(shape.vocab_size).dialogue)
    assert shape.model.context == 256
    assert search.proposal(shape, minutes=1)[0].model.context >= max(search.counts(shape.vocab_size).dialogue)


@pytest.mark.parametrize(("lines", "saying"), [(0, "there is nothing in few.jsonl"), (1, "there is only one dialogue")])
def test_what_a_run_would_refuse_is_not_planned(tmp_path, monkeypatch, lines, saying):
    monkeypatch.chdir(tmp_path)
    said = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello there"}]
    Path("few.jsonl").write_text(lines * (json.dumps({"messages": said}) + "\n"))
    with pytest.raises(MinitronError, match=saying):
        propose.run(request.read(["few.jsonl"], params=None, minutes="1"))


def test_minutes_are_for_all_stages(tiny_run):
    """What does not train is reserved: eval also where there is no kto, and what `make demo` takes for data, tokenizer and the program."""
    took = json.loads((ROOT / "benchmarks/demo.json").read_text())["as it is"]["seconds"]
    stages = sum(took[name] for name in ("data", "tokenizer", "export", "binary"))
    assert stages < timing.preparing(load_recipe(ROOT / "recipes/demo.toml"), 6_879_868) < 2 * stages
    tiny_run.write_text(tiny_run.read_text().split("[reject]")[0])
    config = load_recipe(tiny_run)
    search = propose.Search(config, torch.device("cpu"), corpus_stats.look(config), "muon")
    proposal = search.settled(search.shape_for(100_000))
    tokens = {minutes: search.tokens_in(proposal, minutes) for minutes in (1, 2)}
    assert config.kto is None
    assert search.others > timing.preparing(proposal, search.unique(proposal.tokenizer.vocab_size)) + 0.01
    assert tokens[2] > 2.05 * tokens[1]


def test_dialogues_that_fit_no_context_are_not_planned_for(tiny_run):
    long = [{"role": "user", "content": "Speak"}, {"role": "assistant", "content": "a b c d " * 9000}]
    search = propose.Search(load_recipe(tiny_run), torch.device("cpu"), Corpus(1, [long]), "muon")
    with pytest.raises(MinitronError, match="no dialogue fits into a context of 2,048 tokens"):
        search.shape_for(300_000)


def test_who_would_babble_is_told_what_helps():
    short_of_data = propose.remedy({"sft": propose.Part(unique=10_000, tokens=160_000)}, 106_000)
    assert "this data is worth 105,856, however long" in short_of_data
    for help in ("more data", "[pretrain] on plain text", "mixed in (more files in data.files)", "docs/plan.md"):
        assert help in short_of_data
    short_of_time = propose.remedy({"sft": propose.Part(unique=4_000_000, tokens=300_000)}, 300_000)
    assert "it sees 300,000" in short_of_time
    assert "more time" in short_of_time
    assert "more data" not in short_of_time


def test_a_step_gives_every_thread_work():
    assert [propose.rows_per_step(wanted, 2) for wanted in (0.3, 3.1, 4.2, 8, 21.2)] == [2, 4, 4, 8, 22]
    assert [propose.rows_per_step(wanted, 1) for wanted in (0.3, 3.1, 70)] == [1, 3, 70]


@pytest.mark.parametrize("name", ["shakespeare-char", "demo", "ru-jokes"])
def test_steps_are_about_as_large_as_the_shipped_recipes(name):
    config = load_recipe(ROOT / f"recipes/{name}.toml")
    settings = config.pretrain if config.base else config.sft
    step = settings.batch_rows * settings.accumulation * config.model.context
    assert rules.batch_tokens(memory.block_matrices(config.model), settings.steps * step) == pytest.approx(
        step, rel=0.2
    )


@pytest.mark.parametrize("path", RECIPES, ids=lambda p: p.name)
def test_recipes_are_written_as_they_are_read(path, tmp_path):
    recipe = load_recipe(path)
    again = tmp_path / path.name
    again.write_text(write_recipe(recipe, comments={"sft.steps": "a comment", "model.d_model": ""}))
    assert dump_recipe(load_recipe(again)) == dump_recipe(recipe)
    assert "  # a comment\n" in again.read_text()
    assert f"d_model = {recipe.model.d_model}\n" in again.read_text()


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
    assert mine.tokenizer.vocab_size < 512  # so little text yields no more tokens
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
        propose.run(request.read([str(tiny_run), *overrides], params=params, minutes=minutes))
    assert failure.value.code == code
    assert failure.value.hint
    assert not capsys.readouterr().out


def cells(*figures: tuple[str, int, float, int, float]) -> str:
    """A study's results.json from tuples of kind, vocabulary, learning rate, seed, bits per byte."""
    about = {"body": 1_000_000, "head": 1, "curve": []}
    found = []
    for kind, size, lr, seed, bits in figures:
        point = {"kind": kind, "vocab_size": size, "normalization": "identity", "lr": lr}
        found.append({"point": point, "seed": seed, "bits_per_byte": bits} | about)
    return json.dumps(found)


def test_a_study_of_the_text_decides_its_vocabulary(tiny_run):
    recipe = load_recipe("tiny.toml")
    assert studied.read(recipe) is None
    results = recipe.layout.study_results
    results.parent.mkdir(parents=True)
    results.write_text(cells(("bpe", 512, 0.1, 1, 1.5), ("bpe-spaces", 2048, 0.1, 1, 1.4)))
    assert studied.read(recipe) is None  # one size of each kind says nothing
    lucky = [("bpe", 4096, 0.1, 1, 1.2), ("bpe", 4096, 0.1, 2, 1.9), ("bpe-spaces", 512, 0.1, 1, 0.1)]
    results.write_text(
        cells(
            *lucky,
            *(("bpe", size, 0.2, seed, 1.4) for size in (512, 2048) for seed in (1, 2)),
            ("bpe", 2048, 0.1, 1, 1.3),
            ("bpe", 2048, 0.1, 2, 1.3),
        )
    )
    found = studied.read(recipe)
    assert (found.vocab_size, found.body, found.sizes, found.seeds) == (2048, 1_000_000, (512, 2048, 4096), 2)
    assert found.told.startswith("2,048 of 512, 2,048, 4,096 needed the fewest bits per byte with 1.00M parameters")
    assert rules.vocabulary(1_000_000, studied=found) == 2048
    assert rules.vocabulary(10_000_000, studied=found) == 64 * round(
        2048 * 4500 / rules.between(rules.VOCABULARIES, 1e6) / 64
    )
    shape = rules.shape_for(1_500_000, ModelConfig(), length=256, limit=512, studied=found)
    # what the study found best, although by the rule so little data cannot teach it
    assert 512 < shape.vocab_size <= 2048
    for damaged in ("[", '[{"point": 3}]', "[1]", "3"):
        results.write_text(damaged)
        with pytest.raises(MinitronError, match="is not what a study writes"):
            studied.read(recipe)


def test_a_dial_must_be_turned(tiny_run):
    done = minitron("plan", "tiny.toml")
    assert done.returncode == 2
    assert "plan needs a size or a time" in done.stderr
    assert not done.stdout
