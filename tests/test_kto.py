"""kto: what is scored, what each step reads, and the guards. The losses themselves: test_losses.py."""

import contextlib
import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.torch
import torch
from conftest import TINY_RECIPE, write_dialogues
from torch.distributions import Categorical, kl_divergence

from minitron.align.guards import Signals, check
from minitron.align.preference import Batches, Example, Scored, mismatch, token_log_probs
from minitron.align.selection import blended, objection
from minitron.evaluate.examiner import Examiner, _distance
from minitron.model import lora
from minitron.recipe.load import load_recipe
from minitron.recipe.schema import GuardsConfig, KtoConfig
from minitron.stages import pipeline
from minitron.stages.kto import read_pairs
from minitron.tokenizer import kinds
from minitron.train import checkpoint


def test_log_probabilities_of_tokens(tiny_model):
    examples = [Example([5, 6, 7, 8, 9], 2, True), Example([5, 9, 4], 1, False), Example([5, 6, 7, 8, 9], 2, False, 4)]
    want = []
    for example in examples:
        logits = tiny_model(torch.tensor([example.ids]))[0].log_softmax(-1)
        want += [logits[i - 1, example.ids[i]] for i in range(example.start, len(example.ids))]
    got = token_log_probs(tiny_model, examples)
    assert [e.length for e in examples] == [3, 2, 1]
    torch.testing.assert_close(got, torch.stack(want), rtol=1e-5, atol=1e-5)


def test_the_reference_is_kept_by_example(tiny_model):
    """In any order, and whatever else is in the batch, the policy that is the reference has log-ratios of 0."""
    examples = [Example(list(range(5, 8 + i % 5)), 2, i % 2 == 0) for i in range(11)]
    pairs = Scored(tiny_model, examples)
    for numbers in ([3, 0, 10], [7], list(range(11))[::-1]):
        log_probs = token_log_probs(tiny_model, pairs.pick(numbers))
        ratios = pairs.ratios(log_probs, numbers, mean=False)
        torch.testing.assert_close(ratios, torch.zeros(len(numbers)), rtol=0, atol=2e-5)
        shifted = pairs.ratios(log_probs + 0.5, numbers, mean=True)
        torch.testing.assert_close(shifted, torch.full((len(numbers),), 0.5), rtol=0, atol=2e-5)


def test_mismatch_never_pairs_a_prompt_with_its_own_completions():
    prompts = [0, 0, 0, 1, 2, 2, 3]
    examples = [Example([10 + p, 20 + p, 30 + i], 2, i % 2 == 0, 2) for i, p in enumerate(prompts)]
    for number, mixed in enumerate(mismatch(examples, prompts, 64)):
        assert mixed.ids[:2] == examples[number].ids[:2]
        assert prompts[mixed.ids[2] - 30] != prompts[number]


@pytest.mark.parametrize(("chosen", "rejected", "per_step"), [(8, 8, (4, 4)), (30, 10, (6, 2)), (99, 1, (7, 1))])
def test_every_step_reads_both_classes_in_their_proportion(chosen, rejected, per_step):
    labels = [True] * chosen + [False] * rejected
    batches, seen = Batches(labels, rows=8, seed=5), []
    for step in range(chosen):
        numbers = batches.step(step)
        assert (sum(labels[n] for n in numbers), sum(not labels[n] for n in numbers)) == per_step
        seen += numbers
    assert set(seen) == set(range(chosen + rejected))


def test_pairs_stay_together():
    batches = Batches([True, False] * 20, rows=8, seed=1)
    for step in range(10):
        numbers = batches.step(step)
        assert sorted(n + 1 for n in numbers[:4]) == sorted(numbers[4:])


SAY_IT, SAY_MORE = ([{"role": "user", "content": text}] for text in ("say it", "say more"))
LOOP = "you said you are what " + "who are you " * 5


def write_pairs(*rows: tuple[list[dict], str, bool, str]) -> None:
    columns = dict(zip(("prompt", "completion", "label", "failure"), map(list, zip(*rows, strict=True)), strict=True))
    folder = Path("runs/tiny/reject")
    folder.mkdir(parents=True)
    pq.write_table(pa.table(columns), folder / "pairs.parquet")


def test_a_loop_is_pushed_down_from_its_second_round_on(tiny_run, tiny_tokenizer):
    write_pairs((SAY_IT, "hello", True, ""), (SAY_IT, LOOP, False, "loop"), (SAY_IT, "you am", False, "canned"))
    for masked in ("true", "false"):
        recipe = load_recipe("tiny.toml", [f"kto.mask_loops={masked}", "kto.cut_rejected=false"])
        examples, prompts = read_pairs(recipe, tiny_tokenizer)
        assert prompts == [0, 0, 0]
        assert [e.label for e in examples] == [True, False, False]
        counted = tiny_tokenizer.decode(examples[1].ids[examples[1].start :])
        assert counted == (" who are you" * 4 + " " if masked == "true" else LOOP)  # a token may begin with the space
        assert tiny_tokenizer.decode(examples[2].ids[examples[2].start :]) == "you am"


def test_no_more_of_a_rejected_completion_is_pushed_down_than_the_chosen_one_has(tiny_run, tiny_tokenizer):
    long, t = "who are you and what am i said he to me", tiny_tokenizer
    write_pairs(
        (SAY_IT, long, False, "runaway"),  # recorded labels come in any order
        (SAY_IT, "hello", True, ""),
        (SAY_IT, "who", False, "canned"),
        (SAY_IT, LOOP, False, "loop"),
        (SAY_MORE, long, False, "canned"),  # nothing was chosen here
    )
    examples, _ = read_pairs(load_recipe("tiny.toml", []), t)
    chosen = [*t.encode("hello"), t.end]
    rest = [e.ids[e.prompt :] for e in examples]
    assert rest[:3] == [t.encode(long)[: len(chosen)], chosen, [*t.encode("who"), t.end][: len(chosen)]]
    assert rest[3] == t.encode(LOOP)[: len(rest[3])]
    assert examples[3].length == len(chosen)
    assert examples[3].start > examples[3].prompt  # from the second round on, and no more than that
    assert rest[4] == [*t.encode(long), t.end]


def test_how_far_two_models_are_apart_at_the_same_places(tiny_model):
    """Against torch.distributions, one place after the other."""
    torch.manual_seed(1)
    other = blended(tiny_model, {n: p + 0.1 * torch.randn_like(p) for n, p in tiny_model.named_parameters()}, 1.0)
    rows = [(2, [5, 6, 7, 8]), (1, [9, 4, 4]), (3, [4, 5, 6, 7, 8, 9])]
    want = [0.0, 0.0, 0.0]
    for start, ids in rows:
        for place in range(start - 1, len(ids) - 1):
            ours, theirs = (Categorical(logits=m(torch.tensor([ids[: place + 1]]))[0, -1]) for m in (tiny_model, other))
            for i, value in enumerate((kl_divergence(ours, theirs), ours.entropy(), theirs.entropy())):
                want[i] += value.item()
    *sums, places = _distance(tiny_model, other, rows)
    assert sums == pytest.approx(want, rel=1e-4)
    assert places == 2 + 2 + 3
    assert want[0] > 1e-3


GOOD = {"raw_z": 0.0, "chosen": 0.0, "loss": 0.0, "gradient": 1.0, "kl": 0.0, "entropy": 1.0}
GOOD |= {"loops": 0.0, "endings": 0.0, "words": 0.0, "probes": 0.0}


@pytest.mark.parametrize(
    ("signal", "warns", "breaks", "text"),
    [
        ("raw_z", -0.06, -0.21, "raw z is -0.210 nats per token"),
        ("chosen", -0.06, -0.16, "chosen completions are at -0.160 nats per token"),
        ("loss", 0.006, 0.011, "held-out loss changed by +1.10%"),
        ("gradient", 1e-4, 1e-6, "the gradient is 1.0e-06 times"),
        ("kl", 0.11, 0.31, "0.310 nats per token from the reference"),
        ("entropy", 0.6, 0.4, "entropy is 0.40 times"),
        ("entropy", 1.5, 2.1, "entropy is 2.10 times"),
        ("loops", 0.06, 0.16, "loops changed by +16.0%"),
        ("endings", -0.06, -0.16, "answers that end by themselves changed by -16.0%"),
        ("words", -0.06, -0.16, "real words changed by -16.0%"),
        ("probes", -0.015, -0.03, "probe accuracy changed by -3.0%"),
    ],
)
def test_every_guard_warns_and_breaks(signal, warns, breaks, text):
    guards = GuardsConfig()
    assert check(Signals(**GOOD), guards) == ([], [])
    warnings, breaches = check(Signals(**GOOD | {signal: warns}), guards)
    assert (len(warnings), breaches) == (1, [])
    warnings, breaches = check(Signals(**GOOD | {signal: breaks}), guards)
    assert (warnings, len(breaches)) == ([], 1)
    assert text in breaches[0]
    assert check(Signals(**GOOD | {signal: float("nan")}), guards)[1]
    names = ("entropy_low", "entropy_high") if signal == "entropy" else (signal,)
    off = GuardsConfig(**{name: [] for name in names})
    assert check(Signals(**GOOD | {signal: breaks}), off) == ([], [])


def run_to(stage: str, *overrides: str) -> None:
    recipe = load_recipe("tiny.toml", list(overrides))
    for each in pipeline.select(recipe, None, stage):
        pipeline.run_stage(each, recipe)


@pytest.fixture(scope="module")
def sft_run(tmp_path_factory) -> Path:
    """A folder with a run up to reject, to be copied."""
    folder = tmp_path_factory.mktemp("sft")
    write_dialogues(folder / "dialogues.jsonl")
    (folder / "tiny.toml").write_text(TINY_RECIPE)
    with contextlib.chdir(folder):
        run_to("reject")
    return folder


@pytest.fixture
def trained_sft(sft_run, tmp_path, monkeypatch) -> None:
    shutil.copytree(sft_run, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)


def report() -> dict:
    return json.loads(Path("runs/tiny/kto/report.json").read_text())


def metrics() -> list[dict]:
    return [json.loads(line) for line in Path("runs/tiny/kto/metrics.jsonl").read_text().splitlines()]


def weights(stage: str) -> dict[str, torch.Tensor]:
    folder = checkpoint.pointed(Path(f"runs/tiny/{stage}"), "best")
    return safetensors.torch.load_file(folder / "model.safetensors")


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_a_wrecking_recipe_goes_back_once_then_ships_the_sft_model(tiny_run, capfd):
    run_to("kto", "kto.lr=30", "kto.guards.loss=[0.005,0.01]", "kto.nll_weight=0.0")
    said = capfd.readouterr().err
    assert "Back to step 0, with half the learning rate" in said
    assert "Stopped; the model of step 0 is kept" in said
    assert (report()["outcome"], report()["shipped_step"], report()["shipped_blend"]) == ("refused", 0, 0)
    assert report()["breaches"] == 2
    assert "held-out loss changed" in report()["why"]
    assert [row["step"] for row in metrics()] == [1, 2, 3, 4, 5, 6]  # a check every three steps
    assert same(weights("sft"), weights("kto"))


def test_a_breach_at_a_tenth_of_the_steps(trained_sft):
    """Where accuracy is looked at and, at once, all is forgotten since the last checkpoint."""
    run_to("kto", "kto.steps=30", "kto.lr=30", "kto.guards.loss=[0.005,0.01]", "kto.nll_weight=0.0")
    assert (report()["outcome"], report()["breaches"]) == ("refused", 2)


def test_without_guards_the_same_recipe_wrecks_the_model_but_does_not_ship_it(tiny_run):
    wreck = ("kto.lr=30", "kto.nll_weight=0.0", "kto.max_loss_rise=0.01", "kto.guards.on=false")
    run_to("kto", *wreck)
    assert report()["outcome"] == "refused"
    assert same(weights("sft"), weights("kto"))
    assert [row["blend"] for row in report()["table"]] == [0.0, 1.0, 0.75, 0.5, 0.25]  # the farthest first
    assert report()["table"][1]["loss"] > 1.2 * report()["held_out_loss_before"]
    run_to("kto", *wreck, "kto.force=true")
    assert report()["shipped_blend"] == 1.0
    assert report()["why"].startswith("forced; ")
    assert not same(weights("sft"), weights("kto"))


@pytest.mark.parametrize("lr", [1e-4, 1e-1, 30.0])
@pytest.mark.parametrize("beta", [0.01, 10.0])
def test_no_settings_ship_a_wreck(trained_sft, lr, beta):
    """The small version of benchmarks/kto_wreck.py."""
    careful = ["kto.max_loss_rise=0.01", "kto.guards.loss=[0.005,0.01]", "kto.nll_weight=0.0"]
    run_to("kto", f"kto.lr={lr}", f"kto.beta={beta}", *careful)
    recipe = load_recipe("tiny.toml")
    examiner = Examiner(recipe, kinds.load(Path("runs/tiny/tokenizer/tokenizer.model")))
    losses = []
    for stage in ("sft", "kto"):
        model, _ = checkpoint.load_model(checkpoint.finished(Path(f"runs/tiny/{stage}"), stage))
        losses.append(examiner.loss(model)["loss"])
    assert losses[1] <= 1.02 * losses[0]
    if lr == 30:
        assert report()["outcome"] == "refused"


def test_no_other_blend_is_asked_where_the_farthest_may_ship(tiny_run):
    run_to("kto", "kto.blends=[0.5, 1.0]", "kto.max_distinct_drop=1.0", "kto.force=true")
    table = report()["table"]
    assert [(row["blend"], row["objection"]) for row in table] == [(0.0, ""), (1.0, "")]
    assert report()["outcome"] in ("improved", "no change", "refused")


def test_blends_lie_between_the_models(tiny_model):
    model = tiny_model
    trained = {name: w + 1 for name, w in model.state_dict().items()}
    half = blended(model, trained, 0.25)
    for name, weight in half.named_parameters():
        torch.testing.assert_close(weight, model.state_dict()[name] + 0.25)


@pytest.mark.parametrize(
    ("now", "want"),
    [
        ({}, ""),
        ({"loss": 1.0101}, "held-out loss"),
        ({"loss": float("nan")}, "held-out loss"),
        ({"probes": 0.889}, "probe accuracy"),
        ({"distinct_2": 0.48}, "distinct-2"),
        ({"loss": 1.009, "probes": 0.891, "distinct_2": 0.495}, ""),
    ],
)
def test_what_may_not_ship(now, want):
    before = {"loss": 1.0, "probes": 0.9, "distinct_2": 0.5}
    said = objection(before | now, before, KtoConfig())
    assert said.startswith(want)
    assert bool(said) == bool(want)


def test_lora_trains_only_its_factors_and_saves_plain_weights(tiny_run):
    run_to("kto", "kto.lora_rank=2", "kto.force=true", "kto.blends=[1.0]", "kto.lr=1e-2")
    before, after = weights("sft"), weights("kto")
    assert before.keys() == after.keys()
    for name in before:
        change = after[name] - before[name]
        matrix = ".layers." in name and change.ndim == 2
        assert bool(change.any()) == matrix, name
        if matrix:
            assert torch.linalg.matrix_rank(change, rtol=1e-3) <= 2


def test_lora_begins_at_the_model(tiny_model):
    ids = torch.tensor([[5, 6, 7]])
    before, plain = tiny_model(ids), {name: p.clone() for name, p in tiny_model.named_parameters()}
    lora.attach(tiny_model, rank=4, seed=1)
    torch.testing.assert_close(tiny_model(ids), before, rtol=0, atol=0)
    assert same(plain, lora.weights(tiny_model))
    trained = [name for name, p in tiny_model.named_parameters() if p.requires_grad]
    assert trained
    assert all(name.endswith((".0.a", ".0.b")) for name in trained)


def test_without_failures_nothing_changes(tiny_run):
    run_to("kto", "reject.prompts=2", "kto.batch_rows=8")
    assert report()["outcome"] == "no change"
    assert same(weights("sft"), weights("kto"))
