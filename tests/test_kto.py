"""kto: what is scored, what each step reads, and the guards. The losses themselves: test_losses.py."""

import contextlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.torch
import torch
from conftest import TINY_RECIPE, run_to, write_dialogues
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Categorical, kl_divergence

from minitron.align import loop, losses, pairs
from minitron.align.examples import encode_pairs
from minitron.align.guards import LIMITS, Limits, Signals, check
from minitron.align.kto import Kto
from minitron.align.loop import RunningMean
from minitron.align.method import Method
from minitron.align.pairs import Completion
from minitron.align.preference import Batches, Example, Scored, mismatch, token_log_probs
from minitron.align.selection import blended
from minitron.core.errors import MinitronError
from minitron.evaluate.examiner import Examiner, kl_and_entropies
from minitron.recipe.load import load_recipe
from minitron.recipe.removed import REMOVED
from minitron.stages import kto
from minitron.tokenizer import kinds
from minitron.tokenizer.base import Tokenizer
from minitron.train import checkpoint
from minitron.train.metrics import MetricsLog


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
    """A policy that equals the reference has log-ratios of 0, in any order and whatever else is in the batch."""
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


@given(st.lists(st.integers(0, 3), min_size=1, max_size=12))
def test_mismatch_takes_the_next_example_that_has_another_prompt(prompts):
    """The same as looking ahead from each example, which took minutes for many completions of one prompt."""
    count = len(prompts)
    examples = [Example([1, 100 + i], 1, True, 1) for i in range(count)]
    for i, mixed in enumerate(mismatch(examples, prompts, 64)):
        ahead = next((k for k in range(1, count) if prompts[(i + k) % count] != prompts[i]), 0)
        assert mixed.ids[1] == 100 + (i + ahead) % count


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


def test_pairs_are_read_as_they_were_written(tmp_path):
    rows = [Completion(SAY_IT, "да\n", True, "data"), Completion(SAY_IT, LOOP, False, "hot", "loop+runaway")]
    pairs.write(tmp_path / "pairs.parquet", rows)
    assert pairs.read(tmp_path / "pairs.parquet") == rows
    assert pairs.count(tmp_path / "pairs.parquet") == 2
    older = [vars(row) for row in rows]  # from a version in which completions were texts
    pq.write_table(pa.Table.from_pylist(older), tmp_path / "older.parquet")
    assert pairs.read(tmp_path / "older.parquet") == rows
    pairs.write(tmp_path / "none.parquet", [])
    assert pairs.read(tmp_path / "none.parquet") == []
    (tmp_path / "broken.parquet").write_text("{}")
    for name, said in (("broken", "cannot be read"), ("absent", "there are no pairs in")):
        with pytest.raises(MinitronError, match=said):
            pairs.read(tmp_path / f"{name}.parquet")


def encoded(
    tokenizer: Tokenizer, *rows: tuple[list[dict], str, bool, str], **changes
) -> tuple[list[Example], list[int]]:
    completions = [Completion(prompt, text, label, "hot", failure) for prompt, text, label, failure in rows]
    return encode_pairs(completions, tokenizer, context=64, method=replace(Method(), **changes))


def test_a_loop_is_pushed_down_from_its_second_round_on(tiny_tokenizer):
    rows = (SAY_IT, "hello", True, ""), (SAY_IT, LOOP, False, "loop"), (SAY_IT, "you am", False, "canned")
    for masked in (True, False):
        examples, prompts = encoded(tiny_tokenizer, *rows, mask_loops=masked, cut_rejected=False)
        assert prompts == [0, 0, 0]
        assert [e.label for e in examples] == [True, False, False]
        counted = tiny_tokenizer.decode(examples[1].ids[examples[1].start :])
        assert counted == (" who are you" * 4 + " " if masked else LOOP)  # a token may begin with the space
        assert tiny_tokenizer.decode(examples[2].ids[examples[2].start :]) == "you am"


def test_no_more_of_a_rejected_completion_is_pushed_down_than_the_chosen_one_has(tiny_tokenizer):
    long, t = "who are you and what am i said he to me", tiny_tokenizer
    examples, _ = encoded(
        t,
        (SAY_IT, long, False, "runaway"),  # recorded labels come in any order
        (SAY_IT, "hello", True, ""),
        (SAY_IT, "who", False, "canned"),
        (SAY_IT, LOOP, False, "loop"),
        (SAY_MORE, long, False, "canned"),  # nothing was chosen here
    )
    chosen = [*t.encode("hello"), t.end]
    rest = [e.ids[e.prompt :] for e in examples]
    assert rest[:3] == [t.encode(long)[: len(chosen)], chosen, [*t.encode("who"), t.end][: len(chosen)]]
    assert rest[3] == t.encode(LOOP)[: len(rest[3])]
    assert examples[3].length == len(chosen)
    assert examples[3].start > examples[3].prompt  # only from the loop's second round on
    assert rest[4] == [*t.encode(long), t.end]


def test_how_far_two_models_are_apart_at_the_same_places(tiny_model):
    """KL divergence and entropies, compared with torch.distributions place by place."""
    torch.manual_seed(1)
    other = blended(tiny_model, {n: p + 0.1 * torch.randn_like(p) for n, p in tiny_model.named_parameters()}, 1.0)
    rows = [(2, [5, 6, 7, 8]), (1, [9, 4, 4]), (3, [4, 5, 6, 7, 8, 9])]
    want = [0.0, 0.0, 0.0]
    for start, ids in rows:
        for place in range(start - 1, len(ids) - 1):
            ours, theirs = (Categorical(logits=m(torch.tensor([ids[: place + 1]]))[0, -1]) for m in (tiny_model, other))
            for i, value in enumerate((kl_divergence(ours, theirs), ours.entropy(), theirs.entropy())):
                want[i] += value.item()
    *sums, places = kl_and_entropies(tiny_model, other, rows)
    assert sums == pytest.approx(want, rel=1e-4)
    assert places == 2 + 2 + 3
    assert want[0] > 1e-3


GOOD = {"raw_z": 0.0, "chosen": 0.0, "loss": 0.0, "gradient": 1.0, "kl": 0.0, "entropy": 1.0}
GOOD |= {"loops": 0.0, "endings": 0.0, "words": 0.0, "probes": 0.0}


@pytest.mark.parametrize(
    ("signal", "warns", "breaks", "text"),
    [
        ("raw_z", -0.16, -0.21, "raw z is -0.210 nats per token"),
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
    assert check(Signals(**GOOD)) == ([], [])
    warnings, breaches = check(Signals(**GOOD | {signal: warns}))
    assert (len(warnings), breaches) == (1, [])
    warnings, breaches = check(Signals(**GOOD | {signal: breaks}))
    assert (warnings, len(breaches)) == ([], 1)
    assert text in breaches[0]
    assert check(Signals(**GOOD | {signal: float("nan")}))[1]
    names = ("entropy_low", "entropy_high") if signal == "entropy" else (signal,)
    off = {name: limits for name, limits in LIMITS.items() if name not in names}
    assert check(Signals(**GOOD | {signal: breaks}), off) == ([], [])


def test_an_option_that_the_study_settled_says_what_it_is_now(tiny_run):
    """The error names the option's value now, and the code uses the values that the table of removed options names."""
    with pytest.raises(MinitronError, match=r"'kto.z_decay' is no longer an option: it is 0.99 now"):
        load_recipe("tiny.toml", ["kto.z_decay=0.9"])
    everything = [f"{name}={json.dumps(value)}" for name, value in REMOVED.items()]  # as older versions wrote them down
    assert load_recipe("tiny.toml", everything) == load_recipe("tiny.toml")
    method, was = Method(), {name.removeprefix("kto."): value for name, value in REMOVED.items()}
    assert (was["loss"], was["ratio"], was["z"], was["z_decay"]) == (
        method.loss,
        method.ratio,
        method.z_ref,
        method.z_decay,
    )
    assert (was["weight_chosen"], was["weight_rejected"], method.weights) == (0, 0, None)
    assert (tuple(was["token_clamp"]), was["rejected_floor"]) == (method.token_clamp, method.rejected_floor)
    assert (was["mask_loops"], was["cut_rejected"]) == (method.mask_loops, method.cut_rejected)
    assert (was["nll_weight"], was["eval_rows"], was["guards.retries"]) == (
        method.nll_weight,
        method.held_out_rows,
        method.retries,
    )
    assert (tuple(was["blends"]), was["max_distinct_drop"]) == (method.blends, method.max_distinct_drop)
    asked = was["guards.walk_prompts"], was["guards.probes_asked"]
    assert asked == (method.on_policy_prompts, method.probes_asked)
    assert {name: [limit.warn, limit.stop] for name, limit in method.limits.items()} == {
        name.removeprefix("guards."): value
        for name, value in was.items()
        if isinstance(value, list) and "guards" in name
    }


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


# Wide limits, for a tiny model that hardly knows its dialogues: what it says differs much from one step to the next.
LOOSE = Method(limits=LIMITS | {"raw_z": Limits(-50, -100), "chosen": Limits(-50, -100), "loss": Limits(0.5, 1.0)})


def align(method: Method, *overrides: str) -> None:
    """Runs the kto stage from the start, with a method that recipes cannot choose."""
    shutil.rmtree("runs/tiny/kto", ignore_errors=True)
    kto.run(load_recipe("tiny.toml", list(overrides)), method=method)


def report() -> dict:
    return json.loads(Path("runs/tiny/kto/report.json").read_text())


def metrics() -> list[dict]:
    return [json.loads(line) for line in Path("runs/tiny/kto/metrics.jsonl").read_text().splitlines()]


def weights(stage: str) -> dict[str, torch.Tensor]:
    folder = checkpoint.pointed(Path(f"runs/tiny/{stage}"), "best")
    return safetensors.torch.load_file(folder / "model.safetensors")


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


WRECK = replace(Method(), nll_weight=0.0)


def test_a_wrecking_rate_goes_back_once_then_ships_the_sft_model(trained_sft, capfd):
    align(WRECK, "kto.lr=30")
    said = capfd.readouterr().err
    assert "Back to step 0, with half the learning rate" in said
    assert "Stopped; the model of step 0 is kept" in said
    assert (report()["outcome"], report()["shipped_step"], report()["shipped_blend"]) == ("refused", 0, 0)
    assert report()["breaches"] == 2
    assert "held-out loss changed" in report()["why"]
    assert [row["step"] for row in metrics()] == [1, 2, 3, 4, 5, 6]  # guards look every three steps
    assert [row["lr"] for row in metrics()] == pytest.approx([30 * n / 20 for n in (1, 2, 3, 2, 2.5, 3)])  # warm-up
    assert same(weights("sft"), weights("kto"))


def test_a_breach_at_a_tenth_of_the_steps(trained_sft):
    """At this step accuracy is looked at, and the run also goes back to its last checkpoint."""
    align(WRECK, "kto.steps=30", "kto.lr=30")
    assert (report()["outcome"], report()["breaches"]) == ("refused", 2)


def test_what_ships_from_an_earlier_step_tells_all_breaches(trained_sft, monkeypatch):
    looks = iter([[], ["it went wrong"], ["it went wrong again"]])
    monkeypatch.setattr(loop, "check", lambda *_: ([], next(looks)))
    align(replace(LOOSE, max_distinct_drop=1.0), "kto.force=true")
    assert (report()["breaches"], report()["shipped_step"], report()["shipped_blend"]) == (2, 3, 1.0)
    passed = Path("runs/tiny/kto/checkpoints/step-000003/model.safetensors")
    assert same(weights("kto"), safetensors.torch.load_file(passed))


def begun(*overrides: str, method: Method = LOOSE) -> tuple[Kto, list[Example], list[int]]:
    """An alignment of the tiny run's SFT model that has not made a step, and its examples."""
    recipe = load_recipe("tiny.toml", list(overrides))
    tokenizer = kinds.load(recipe.layout.tokenizer)
    rows = pairs.read(recipe.layout.pairs)
    examples, prompts = encode_pairs(rows, tokenizer, context=recipe.model.context, method=method)
    return kto.begin(recipe, tokenizer, method=method), examples, prompts


def farthest(alignment: Kto) -> float:
    """The largest difference between a weight and the reference's."""
    both = zip(alignment.model.parameters(), alignment.reference.parameters(), strict=True)
    return max((one - other).abs().max().item() for one, other in both)


@pytest.mark.parametrize(("chosen", "rejected"), [(2000, 20), (20, 2000), (90, 1000), (100, 100)])
def test_classes_are_weighted_by_what_a_step_reads(chosen, rejected):
    """A step of few rows cannot hold them in proportion to their numbers."""
    read = Batches([True] * chosen + [False] * rejected, rows=16, seed=1).per_step
    weights = losses.class_weights(*read)
    assert 1 <= weights[0] * read[0] / (weights[1] * read[1]) <= 4 / 3 + 1e-9  # arXiv 2402.01306, eq. 9


def test_after_going_back_steps_are_half_as_long(trained_sft):
    """Adam's first step has the length of the learning rate, whatever the gradient is."""
    alignment, examples, prompts = begun("kto.warmup_steps=0", "kto.lr=1e-3", "optim.weight_decay=0")
    alignment.save(None)
    material, numbers, lengths = alignment.training_set(examples, prompts, (4, 4)), list(range(8)), []
    for _ in range(3):
        alignment.step(numbers, material)
        lengths.append(farthest(alignment))
        alignment.go_back("it went wrong")
    assert lengths == pytest.approx([1e-3, 5e-4, 2.5e-4], rel=0.01)


def test_a_checkpoint_holds_the_whole_state(trained_sft):
    alignment, examples, prompts = begun("kto.lr=1e-3")
    alignment.step(list(range(8)), alignment.training_set(examples, prompts, (4, 4)))
    alignment.save(None)
    state = alignment.state
    assert state.raw_z.weight > 0
    alignment.load(checkpoint.newest_whole(alignment.folder))
    assert alignment.state == state
    assert alignment.state is not state


def test_a_running_mean_does_not_begin_at_zero():
    """At the first step the policy is the reference, so z is 0. Twenty steps after a jump the mean must show a guard most of it."""
    mean = RunningMean()
    assert mean.value == 0
    mean.add(0.0, decay=0.99)
    for _ in range(20):
        mean.add(-1.0, decay=0.99)
    assert mean.value == pytest.approx(-20 / 21, abs=0.01)
    weights = [0.99 ** (20 - i) for i in range(21)]
    assert mean.value == pytest.approx(-sum(weights[1:]) / sum(weights))
    mean.add(7.0, decay=0.0)  # decay 0: the last batch alone
    assert mean.value == 7.0


def test_which_z_the_loss_takes(trained_sft, monkeypatch):
    """`batch` is this step's z, `running` the mean of all steps so far, `matched` that of (chosen + rejected) / 2 of the steps before."""
    taken: dict[str, list[float]] = {}
    rows: dict[str, list[dict]] = {}
    real = losses.preference_loss
    for name in ("batch", "running", "matched"):
        alignment, examples, prompts = begun("kto.lr=1e-2", method=replace(LOOSE, z_ref=name))
        seen = []
        monkeypatch.setattr(
            losses,
            "preference_loss",
            lambda *a, raw_z, seen=seen, **k: seen.append(raw_z) or real(*a, raw_z=raw_z, **k),
        )
        material = alignment.training_set(examples, prompts, (4, 4))
        rows[name] = [alignment.step(list(range(8)), material) for _ in range(4)]
        taken[name] = seen
    z, decay = [row["batch_z"] for row in rows["batch"]], 0.99
    assert taken["batch"] == pytest.approx(z)
    assert len(set(z)) == 4
    z = [row["batch_z"] for row in rows["running"]]
    want = [sum(decay ** (n - i) * z[i] for i in range(n + 1)) / sum(decay**i for i in range(n + 1)) for n in range(4)]
    assert taken["running"] == pytest.approx(want)
    z = [(row["chosen_log_ratio"] + row["rejected_log_ratio"]) / 2 for row in rows["matched"]]
    want = [sum(decay ** (n - 1 - i) * z[i] for i in range(n)) / sum(decay**i for i in range(n)) for n in range(1, 4)]
    assert taken["matched"] == pytest.approx([0.0, *want])


def test_a_row_of_metrics_is_there_before_its_checkpoint(trained_sft, monkeypatch):
    """Writing the log fails once (a full disk) at a guards' look: a run that goes on from the checkpoint finds every line before it."""
    real = MetricsLog.write

    def fails_once(self, row: dict) -> None:
        if row["step"] == 6:
            monkeypatch.setattr(MetricsLog, "write", real)
            raise OSError("no space left")
        real(self, row)

    monkeypatch.setattr(MetricsLog, "write", fails_once)
    with pytest.raises(OSError, match="no space left"):
        kto.run(load_recipe("tiny.toml"), method=LOOSE)
    kto.run(load_recipe("tiny.toml"), method=LOOSE)
    assert [row["step"] for row in metrics()] == list(range(1, 13))


def test_without_guards_the_same_rate_wrecks_the_model_but_does_not_ship_it(trained_sft):
    wreck = ("kto.lr=30", "kto.max_loss_rise=0.01", "kto.guards.on=false")
    align(WRECK, *wreck)
    assert report()["outcome"] == "refused"
    assert same(weights("sft"), weights("kto"))
    assert [row["blend"] for row in report()["table"]] == [0.0, 1.0, 0.75, 0.5, 0.25]  # the farthest first
    assert report()["table"][1]["loss"] > 1.2 * report()["held_out_loss_before"]
    assert report()["table"][0]["answers"] > 0
    assert report()["table"][1]["answers"] == 0  # a blend that lost so much is not asked for answers
    align(WRECK, *wreck, "kto.force=true")
    assert report()["shipped_blend"] == 1.0
    assert report()["why"].startswith("forced; ")
    assert not same(weights("sft"), weights("kto"))


@pytest.mark.slow  # a run of its own, and what two models answer in four ways
def test_a_run_that_unlearns_a_habit_is_improved_and_ships(tiny_run):
    """Half of what sft learns is a loop that a lenient judge let pass, as in the demo; kto takes what is judged better."""
    with Path("dialogues.jsonl").open("w") as file:
        for i in range(300):
            said = "go " * 10 if i % 2 else "yes i am"
            messages = [{"role": "user", "content": f"say {i}"}, {"role": "assistant", "content": said}]
            file.write(json.dumps({"messages": messages, "score": 6 if i % 2 else 8}) + "\n")
    judged = ('data.keep=["score >= 6"]', 'data.valid_keep=["score >= 7"]', "data.valid_fraction=0.4")
    hot = ("reject.presets={hot={temperature=1.0}}", "reject.prompts=80", "eval.prompts=30")
    run_to("reject", *judged, *hot, "tokenizer.vocab_size=300", "sft.steps=60", "optim.lr=5e-3")
    learn = ("kto.steps=40", "kto.lr=1e-3", "kto.guards.on=false", "kto.eval_every_steps=20")
    align(replace(LOOSE, max_distinct_drop=1.0), *judged, *hot, *learn)
    before, after = report()["table"]
    assert before["loop"] > 0.25
    assert after["failing"] < before["failing"] - 0.2
    assert (report()["outcome"], report()["shipped_blend"], report()["shipped_step"]) == ("improved", 1.0, 40)
    assert not same(weights("sft"), weights("kto"))


# slow: each case is a whole run; the first is enough to see most faults
@pytest.mark.parametrize(
    ("beta", "lr"),
    [
        (0.01, 0.1),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in ((0.01, 1e-4), (0.01, 30.0), (10.0, 1e-4), (10.0, 0.1), (10.0, 30.0))
        ),
    ],
)
def test_no_settings_ship_a_wreck(trained_sft, lr, beta):
    """The small version of benchmarks/kto_wreck.py."""
    align(WRECK, f"kto.lr={lr}", f"kto.beta={beta}", "kto.max_loss_rise=0.01")
    recipe = load_recipe("tiny.toml")
    examiner = Examiner(recipe, kinds.load(recipe.layout.tokenizer))
    found = []
    for stage in ("sft", "kto"):
        model, _ = checkpoint.load_model(checkpoint.finished(recipe.layout.stage(stage), stage))
        found.append(examiner.loss(model).loss)
    assert found[1] <= 1.02 * found[0]
    if lr == 30:
        assert report()["outcome"] == "refused"


def test_lora_trains_only_its_factors_and_saves_plain_weights(trained_sft):
    align(replace(LOOSE, blends=(1.0,)), "kto.lora_rank=2", "kto.force=true", "kto.lr=1e-2")
    before, after = weights("sft"), weights("kto")
    assert before.keys() == after.keys()
    for name in before:
        change = after[name] - before[name]
        matrix = ".layers." in name and change.ndim == 2
        assert bool(change.any()) == matrix, name
        if matrix:
            assert torch.linalg.matrix_rank(change, rtol=1e-3) <= 2


def test_without_failures_nothing_changes(tiny_run):
    run_to("kto", "reject.prompts=2", "kto.batch_rows=8")
    assert report()["outcome"] == "no change"
    assert same(weights("sft"), weights("kto"))
