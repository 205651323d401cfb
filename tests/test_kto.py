"""The KTO loss against NumPy, its values and gradients at known points, and the guards."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import safetensors.torch
import torch

from minitron import checkpoint, config, pipeline
from minitron.config import KtoConfig
from minitron.stages.kto import Example, breach, completion_log_probs, kto_loss, mismatch


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def test_equals_an_independent_calculation():
    chance = np.random.default_rng(0)
    ratios, labels = chance.normal(size=64), chance.random(64) < 0.5
    config = KtoConfig(beta=0.7, weight_chosen=1.3, weight_rejected=0.8)
    for z in (-2.0, 0.0, 0.4):
        z0 = max(0.0, z)
        want = np.where(labels, 1.3 * (1 - sigmoid(0.7 * (ratios - z0))), 0.8 * (1 - sigmoid(0.7 * (z0 - ratios))))
        got = kto_loss(torch.tensor(ratios), labels=torch.tensor(labels), z=z, config=config)
        np.testing.assert_allclose(got.numpy(), want, rtol=1e-12)


def test_half_at_the_reference_and_gradients_point_the_right_way():
    ratios = torch.zeros(2, requires_grad=True)
    labels = torch.tensor([True, False])
    loss = kto_loss(ratios, labels=labels, z=0.0, config=KtoConfig(beta=2.0))
    assert loss.tolist() == [0.5, 0.5]
    loss.sum().backward()
    assert ratios.grad.tolist() == [-0.5, 0.5]  # chosen up, rejected down, each by beta / 4


def test_log_probabilities_of_completions(tiny_model):
    examples = [Example([5, 6, 7, 8, 9], 2, True), Example([5, 9, 4], 1, False)]
    got = completion_log_probs(tiny_model, examples)
    for example, value in zip(examples, got, strict=True):
        logits = tiny_model(torch.tensor([example.ids]))[0].log_softmax(-1)
        want = sum(logits[i - 1, example.ids[i]] for i in range(example.start, len(example.ids)))
        torch.testing.assert_close(value, want, rtol=1e-5, atol=1e-5)


def test_mismatch_never_pairs_a_prompt_with_its_own_completions():
    examples = [Example([10 + i // 2, 20 + i], 1, i % 2 == 0) for i in range(8)]  # the prompt is one id
    for number, mixed in enumerate(mismatch(examples, 64)):
        assert mixed.ids[0] == examples[number].ids[0]
        assert (mixed.ids[1] - 20) // 2 != number // 2


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


def test_pairs_hold_the_recorded_answer_and_the_failure(tiny_run):
    run_to("reject")
    rows = pq.read_table("runs/tiny/reject/pairs.parquet").to_pylist()
    train = pq.read_table("runs/tiny/data/train.parquet").to_pylist()
    recorded = {row["messages"][0]["content"]: row["messages"][1]["content"] for row in train}
    assert len(rows) >= 20
    for chosen, rejected in zip(rows[::2], rows[1::2], strict=True):
        assert chosen["prompt"] == rejected["prompt"]
        assert (chosen["label"], chosen["preset"], chosen["failure"]) == (True, "data", "")
        assert chosen["completion"] == recorded[chosen["prompt"][-1]["content"]]
        assert rejected["label"] is False
        assert rejected["preset"] in ("loops", "canned", "tutorial")
        assert set(rejected["failure"].split("+")) <= {"loop", "runaway", "canned"}
    before = rows
    pipeline.run_stage(pipeline.STAGES[pipeline.NAMES.index("reject")], config.load("tiny.toml"), force=True)
    assert pq.read_table("runs/tiny/reject/pairs.parquet").to_pylist() == before  # the same seed, the same pairs


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
