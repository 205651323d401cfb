"""`minitron study`: equal bytes in all cells, bits per byte of one held-out text, intervals over pairs of seeds, and it goes on where it stopped."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from commands import refused as refused_command
from conftest import tiny_texts
from test_recipe import recipe, refused

from minitron.core.errors import MinitronError
from minitron.lab import study, study_page
from minitron.lab.study import Point, Result, Summary, difference, summaries, verdict
from minitron.recipe.load import load_recipe
from minitron.recipe.write import dump_recipe
from minitron.stages import declared, pipeline

STUDY = """
seed = 5
[tokenizer]
vocab_size = 300
byte_fallback = false
[model]
n_layers = 1
n_heads = 2
d_model = 16
d_ff = 32
[optim]
lr = 1e-2
warmup_steps = 2
precision = "fp32"
compile = "off"
[pretrain]
files = ["book.txt"]
valid_fraction = 0.1
accumulation = 2
[study]
kinds = ["char-bpe", "char"]
vocab_sizes = [120]
seeds = 1
budget = 0.02
context_bytes = 64
batch_bytes = 512
"""


def result(kind: str, seed: int, bits: float, loss: float = 1.0, lr: float = 1e-3) -> Result:
    point = Point(kind, 500, "identity", lr)
    return Result(point, seed, 500, 3.0, 64, 10, 100, 200, 1e6, 1e9, 1.0, loss, bits, [(1e5, bits + 1), (1e6, bits)])


def test_the_grid_has_each_tokenizer_once(tmp_path):
    text = '[pretrain]\nfiles = ["a"]\n[study]\nkinds = ["bpe", "char", "bytes"]\nvocab_sizes = [300, 400]\nlrs = [0.1, 0.2]\n'
    config = load_recipe(recipe(tmp_path, text))
    found = [(p.kind, p.vocab_size, p.lr) for p in study.points(config.study, 1.0)]
    sized = [("bpe", size, lr) for size in (300, 400) for lr in (0.1, 0.2)]
    assert found == [*sized, *((kind, 300, lr) for kind in ("char", "bytes") for lr in (0.1, 0.2))]
    (tmp_path / "again.toml").write_text(dump_recipe(config))
    assert load_recipe(tmp_path / "again.toml").study == config.study


def test_the_last_learning_rate_is_pretrain_s_or_a_tenth(tmp_path):
    text = '[optim]\nmin_lr = 1e-3\n[pretrain]\nfiles = ["a"]\n[pretrain.optim]\nlr = 2e-2\n{}[study]\nlrs = [4e-2]\n'
    lowest = {}
    for name, line in (("own", "min_lr = 2e-4\n"), ("none", "")):
        config = load_recipe(recipe(tmp_path, text.format(line)))
        (point,) = study.points(config.study, 1.0)[:1]
        optim = study.with_point(config, point, 1).pretrain.optim
        assert optim.lr == 4e-2
        lowest[name] = optim.min_lr
    assert lowest == {"own": 2e-4, "none": 1e-3}  # [pretrain.optim] begins as [optim] is


def test_intervals_are_student_s_over_pairs_of_a_seed():
    """Pairs differ by 0.1, 0.2 and 0.3: mean 0.2, deviation 0.1, half-width 4.303 * 0.1 / sqrt(3) = 0.2484."""
    first = Summary(Point("bpe", 500, "identity", 1e-3), [result("bpe", s, 2.0 + s) for s in range(3)])
    second = Summary(Point("char", 500, "identity", 1e-3), [result("char", s, 2.1 + 1.1 * s) for s in range(3)])
    mean, low, high = difference(first, second)
    assert (mean, low, high) == (
        pytest.approx(0.2),
        pytest.approx(0.2 - 0.24843, abs=1e-4),
        pytest.approx(0.44843, abs=1e-4),
    )
    one = Summary(first.point, first.results[:1])
    assert difference(one, replace(second, results=second.results[:1]))[1:] == (-math.inf, math.inf)
    assert study.student(1) == 12.706
    assert study.student(99) == 2.131


def test_each_tokenizer_counts_at_its_best_learning_rate():
    found = summaries([result("bpe", s, bits, lr=lr) for lr, bits in ((0.1, 2.0), (0.2, 1.9)) for s in range(2)])
    assert [(s.point.lr, s.bits_per_byte) for s in found] == [(0.2, 1.9)]


def test_the_verdict_says_what_the_figures_do():
    rows = [result("bpe", s, 2.0 + s / 100, loss=4.0) for s in range(3)]
    rows += [result("char", s, 2.5 + s / 100, loss=1.0) for s in range(3)]
    rows += [result("bpe-spaces", s, 2.0 + (s % 2) / 10, loss=3.0) for s in range(3)]
    best, single, near, far, illusion = verdict(summaries(rows))
    assert single.startswith("Each interval is for a single pair")
    assert best == "Of the same text, bpe 500 needs the fewest bits per byte: 2.0100 (mean of 3 seeds)."
    assert near.startswith("bpe-spaces 500 is not told apart from it: +0.0233 (95% confidence -")
    assert far == "char needs 0.5000 more (95% confidence 0.5000 to 0.5000)."
    assert illusion.startswith("Loss per token would have chosen char (1.0000 nats), which is number 3 of 3")
    agreed = [result("bpe", s, 2.0, loss=1.0) for s in range(3)] + [result("char", s, 2.5, loss=3.0) for s in range(3)]
    agreed += [result("bpe-spaces", s, 2.7, loss=2.0) for s in range(3)]
    assert "Loss per token" not in " ".join(verdict(summaries(agreed)))  # it would have chosen the same one
    one_seed = list(verdict(summaries([r for r in rows if r.seed == 0])))
    assert "one seed cannot tell whether that is chance" in " ".join(one_seed)


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("study.kinds=['bpe', 'word']", "study.kinds: 'word' must be one of bpe, bpe-spaces"),
        ("study.kinds=['byte-bpe']", "study.kinds: 'byte-bpe' comes with an imported model"),
        ("study.kinds=[]", "study.kinds is empty"),
        ("study.vocab_sizes=[3]", "study.vocab_sizes: 3 must be from 16"),
        ("study.normalizations=['nfd']", "study.normalizations must be one of identity"),
        ("study.lrs=[0]", "study.lrs: 0.0 must be above 0"),
        ("study.lrs=[1e-4]", "study.lrs: 0.0001 is below the min_lr 0.001 of pretrain"),
        (
            "study.normalizations=['a/x.tsv', 'b/x.tsv']",
            "study.normalizations names 'x' 2 times; rename one of the files",
        ),
        ("study.equal=epochs", "study.equal must be one of text, flops, time"),
        ("study.budget=0", "study.budget must be above 0"),
        ("study.seeds=16", "study.seeds must be at most 15"),
    ],
)
def test_mistakes_are_told_when_the_recipe_is_read(tmp_path, override, told):
    assert told in refused(tmp_path, override, text=STUDY.replace("lr = 1e-2", "lr = 1e-2\nmin_lr = 1e-3"))


def test_a_vocabulary_that_the_text_does_not_allow_is_told_before_anything_is_trained(in_tmp_path):
    Path("book.txt").write_text("\n".join(tiny_texts(700)))
    Path("s.toml").write_text(STUDY)
    with pytest.raises(MinitronError, match="tokenizer.vocab_size is 16"):
        study.run(load_recipe("s.toml", ["study.vocab_sizes=[120, 16]"]))
    assert not list(Path("runs/s/study").glob("*/pretrain"))


def test_a_recipe_without_a_study_is_told_what_is_missing(in_tmp_path):
    Path("base.toml").write_text('[pretrain]\nfiles = ["book.txt"]\n')
    refused_command("study", "base.toml", code=2, saying="is no study: it needs [pretrain] and [study]")
    Path("chat.toml").write_text('[data]\nfiles = ["d.jsonl"]\n[study]\n')
    refused_command("study", "chat.toml", code=2, saying="[study] needs text: add [pretrain]")


def test_a_study_from_text_to_verdict_and_again(in_tmp_path, capfd):
    """Cells read the same bytes in contexts of the same bytes; a second run computes nothing, more seeds only what is new."""
    Path("book.txt").write_text("\n".join(tiny_texts(700)))
    Path("s.toml").write_text(STUDY)
    study_page.run(load_recipe("s.toml"))
    told = capfd.readouterr()
    assert "warning" not in told.err
    first = [Result.from_json(r) for r in json.loads(Path("runs/s/study/results.json").read_text())]
    assert [r.point.kind for r in first] == ["char-bpe", "char"]
    pairs, chars = first
    assert pairs.text_bytes == pytest.approx(20_000, rel=0.2)
    assert chars.text_bytes == pytest.approx(pairs.text_bytes, rel=0.15)
    assert chars.context * chars.bytes_per_token == pytest.approx(64, rel=0.1)
    assert pairs.context * pairs.bytes_per_token == pytest.approx(64, rel=0.1)
    assert pairs.context < chars.context
    assert pairs.body == chars.body
    for r in first:
        assert r.bits_per_byte == pytest.approx(r.loss / math.log(2) / r.bytes_per_token, rel=1e-3)
        assert r.head == r.vocab_size * 16
        assert r.curve[-1][1] == r.bits_per_byte
        assert r.curve[0][1] > r.bits_per_byte  # it learned
    assert "needs the fewest bits per byte" in told.out
    page = Path("runs/s/study/study.html").read_text()
    assert "Loss per token tells another story" in page
    assert "needs the fewest bits per byte" in page

    def made(name: str) -> dict[Path, int]:
        return {p: p.stat().st_mtime_ns for p in Path("runs").rglob(name)}

    begun, known = made("model.safetensors"), made("result.json")
    # also with an option that does not matter to a cell
    study_page.run(load_recipe("s.toml", ["study.seeds=2", "study.kinds=['char']", "export.title=Other"]))
    after = made("model.safetensors")
    assert begun.items() <= after.items()
    assert known.items() <= made("result.json").items()
    assert len({p.parents[3] for p in after}) == len({p.parents[3] for p in begun}) + 1

    # figures of another text are computed anew
    Path("book.txt").write_text("\n".join(tiny_texts(700)[::-1]))
    study_page.run(load_recipe("s.toml", ["study.kinds=['char']"]))
    (other,) = (Result.from_json(r) for r in json.loads(Path("runs/s/study/results.json").read_text()))
    assert other.bits_per_byte != chars.bits_per_byte


DAMAGED = ["result.json", "tokenizer/report.json", "speed.json"]


@pytest.mark.parametrize("damaged", DAMAGED)
@pytest.mark.parametrize("text", ["[]", '{"key": ', "{}"])
def test_a_cell_of_which_a_file_is_damaged_is_made_anew(in_tmp_path, damaged, text):
    Path("book.txt").write_text("\n".join(tiny_texts(700)))
    Path("s.toml").write_text(STUDY)
    config = load_recipe("s.toml", ["study.kinds=['char']", "study.equal=time", "study.budget=0.002"])
    (before,) = study.run(config)
    (cell,) = Path("runs/s/study").glob("char-*")
    (cell / damaged).write_text(text)
    (after,) = study.run(config)
    assert json.loads((cell / damaged).read_text())
    if damaged != "speed.json":
        assert after == before
    known = json.loads((cell / "result.json").read_text())
    for result in (known["result"] | {"more": 1}, {}, [], None):
        (cell / "result.json").write_text(json.dumps(known | {"result": result}))
        assert study.run(config) == [after]


@pytest.mark.parametrize("equal", ["flops", "time"])
def test_other_budgets_are_kept(in_tmp_path, equal):
    """With equal operations a model with a larger head reads less; with equal time the steps follow from a speed that is measured once
    for each shape."""
    Path("book.txt").write_text("\n".join(tiny_texts(700)))
    Path("s.toml").write_text(STUDY)
    budget = "3e-6" if equal == "flops" else "0.02"
    config = load_recipe("s.toml", [f"study.equal={equal}", f"study.budget={budget}"])
    steps = {}
    for point in study.points(config.study, 1e-2):
        named = study.with_point(config, point, 5)
        pipeline.run_stage(declared.named("tokenizer"), named)
        steps[point.kind] = study.with_budget(named).pretrain.steps
    if equal == "flops":
        assert steps["char-bpe"] > steps["char"] > study.POINTS  # of the same bytes it makes fewer tokens
        return
    speeds = named.layout.run / "speed.json"
    (known,) = json.loads(speeds.read_text())["seconds_per_step"].items()
    assert steps[point.kind] == max(study.POINTS, round(0.02 * 60 / known[1]))
    # another shape has another speed, and the first one's is not forgotten
    deeper = replace(named, model=replace(named.model, n_layers=6))
    assert study.with_budget(deeper).pretrain.steps < steps[point.kind]
    assert study.with_budget(named).pretrain.steps == steps[point.kind]
    both = json.loads(speeds.read_text())["seconds_per_step"]
    assert len(both) == 2
    assert known in both.items()
