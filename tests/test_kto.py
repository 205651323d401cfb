"""kto: what is scored, what each step reads, and the guards. The losses themselves: test_losses.py."""

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import safetensors.torch
import torch

from minitron import checkpoint, config, pipeline
from minitron.config import KtoConfig
from minitron.preference import Example, Scored, mismatch, token_log_probs
from minitron.stages.kto import Batches, breach, read_pairs


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


def test_a_loop_is_pushed_down_from_its_second_round_on(tiny_run, tiny_tokenizer):
    prompt = [{"role": "user", "content": "say it"}]
    loop = "you said you are what " + "who are you " * 5
    rows = [(prompt, "hello", True, ""), (prompt, loop, False, "loop"), (prompt, "you am", False, "canned")]
    columns = dict(zip(("prompt", "completion", "label", "failure"), map(list, zip(*rows, strict=True)), strict=True))
    folder = Path("runs/tiny/reject")
    folder.mkdir(parents=True)
    pq.write_table(pa.table(columns), folder / "pairs.parquet")
    for masked in ("true", "false"):
        recipe = config.load("tiny.toml", [f"kto.mask_loops={masked}"])
        examples, prompts = read_pairs(recipe, tiny_tokenizer)
        assert prompts == [0, 0, 0]
        assert [e.label for e in examples] == [True, False, False]
        counted = tiny_tokenizer.decode(examples[1].ids[examples[1].start :])
        assert counted == (" who are you" * 4 + " " if masked == "true" else loop)  # a token may begin with the space
        assert tiny_tokenizer.decode(examples[2].ids[examples[2].start :]) == "you am"


@pytest.mark.parametrize(
    ("z", "loss", "want"),
    [
        (0.3, 2.0, ""),
        (-0.19, 2.0, ""),
        (-0.21, 2.0, "raw z fell"),
        (0.0, 2.021, "held-out loss rose"),
        (float("nan"), 2.0, "the loss is no longer a number"),
        (0.0, float("inf"), "the loss is no longer a number"),
    ],
)
def test_guards(z, loss, want):
    said = breach(z, loss, base_loss=2.0, config=KtoConfig(max_z_drop=0.2, max_loss_rise=0.01))
    assert said.startswith(want)
    assert bool(said) == bool(want)


def run_to(stage: str, *overrides: str) -> None:
    recipe = config.load("tiny.toml", list(overrides))
    for each in pipeline.select(recipe, None, stage):
        pipeline.run_stage(each, recipe)


def weights(stage: str) -> dict[str, torch.Tensor]:
    folder = checkpoint.pointed(Path(f"runs/tiny/{stage}"), "best")
    return safetensors.torch.load_file(folder / "model.safetensors")


def test_a_wrecking_recipe_ships_the_sft_model(tiny_run):
    run_to("kto", "kto.lr=30", "kto.max_loss_rise=0.01", "kto.nll_weight=0.0")
    report = json.loads(Path("runs/tiny/kto/report.json").read_text())
    assert report["outcome"] == "stopped"
    assert "held-out loss rose" in report["why"] or "raw z fell" in report["why"]
    assert report["shipped_step"] == 0
    before, after = weights("sft"), weights("kto")
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_without_failures_nothing_changes(tiny_run):
    run_to("kto", "reject.prompts=2", "kto.batch_rows=8")
    assert json.loads(Path("runs/tiny/kto/report.json").read_text())["outcome"] == "no change"
    before, after = weights("sft"), weights("kto")
    assert all(torch.equal(before[name], after[name]) for name in before)
