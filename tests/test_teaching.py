"""What a step of feedback learns, unlearns and keeps, against torch's own losses; and that a stopped run ends with the same weights."""

import json
from pathlib import Path

import pytest
import torch
from conftest import TINY_RECIPE, run_to, write_dialogues
from torch.nn import functional as F

from minitron.align.labelled import Material, Wish
from minitron.align.preference import token_logits
from minitron.align.teaching import KEPT, LEARNT, UNLEARNT, Teaching, token_losses
from minitron.recipe.load import load_recipe
from minitron.stages import feedback
from minitron.tokenizer import kinds

SECTION = (
    "\n[feedback]\nsteps = 6\nlr = 1e-3\nreplay_rows = 4\neval_every_steps = 3\n[eval]\nprompts = 8\nmax_tokens = 24\n"
)


def user(text: str) -> list[dict]:
    return [{"role": "user", "content": text}]


def test_losses_of_the_three_kinds():
    torch.manual_seed(0)
    logits, targets = torch.randn(4, 7, dtype=torch.float64), torch.tensor([3, 1, 4, 5])
    got = token_losses(logits, targets, kinds=torch.tensor([LEARNT, KEPT, UNLEARNT, LEARNT]))
    p = logits.softmax(-1)
    want = torch.stack([-p[0, 3].log(), -p[1, 1].log(), -(1 - p[2, 4]).log(), -p[3, 5].log()])
    torch.testing.assert_close(got, want)


def test_an_unlikely_answer_is_no_longer_pushed():
    logits = torch.tensor([[0.0, 0.0], [0.0, 30.0], [200.0, 0.0]], requires_grad=True)
    some = torch.full((3,), UNLEARNT)
    losses = token_losses(logits, torch.tensor([0, 0, 0]), kinds=some)
    (gradient,) = torch.autograd.grad(losses.sum(), logits)
    assert losses[0].item() == pytest.approx(0.6931, abs=1e-4)
    assert gradient[0, 0].item() == pytest.approx(0.5)
    assert gradient[1].abs().max() < 1e-9
    assert gradient[2].tolist() == pytest.approx([1, -1])  # one that is certain is pushed the most
    assert torch.isfinite(losses).all()
    assert torch.isfinite(gradient).all()


@pytest.fixture
def tiny_sft(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_dialogues(tmp_path / "dialogues.jsonl")
    (tmp_path / "tiny.toml").write_text(TINY_RECIPE[: TINY_RECIPE.index("[reject]")] + SECTION)
    run_to("sft")
    return load_recipe("tiny.toml", [])


WISHES = [Wish(user("who are you"), ("i am bob",), ("i am a model",)), Wish(user("hello"), (), ("привет",))]


def begun(config) -> tuple[Teaching, Material]:
    tokenizer = kinds.load(config.layout.tokenizer)
    replay = [(user(f"what is {i}"), f"this is {i}") for i in range(24)]
    material = Material.of(WISHES, replay, tokenizer, context=config.model.context, method=feedback.METHOD)
    return feedback.begin(config, tokenizer, WISHES, method=feedback.METHOD), material


def test_a_stopped_run_ends_with_the_same_weights(tiny_sft):
    whole, material = begun(tiny_sft)
    whole.teach(material)
    rows = Path("runs/tiny/feedback/metrics.jsonl").read_text().splitlines()
    assert [json.loads(row)["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
    first, last = json.loads(rows[0]), json.loads(rows[-1])
    assert first["learnt"] > last["learnt"]

    again, material = begun(tiny_sft)
    (folder,) = (p for p in Path("runs/tiny/feedback/checkpoints").iterdir() if p.name.endswith("000003"))
    again.load(folder)
    assert again.state.step == 3
    again.train(material, again.batches(material))
    one, other = (dict(a.model.named_parameters()) for a in (whole, again))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_step_weighs_the_means_of_its_kinds(tiny_sft):
    teaching, material = begun(tiny_sft)
    numbers = [0, material.labels - 1, material.labels, material.labels + 1]  # learnt, unlearnt, kept, kept
    row = teaching.gradients(numbers, material)
    logits, targets = zip(*(token_logits(teaching.model, [material.examples[n]]) for n in numbers), strict=True)
    learnt, *kept = (F.cross_entropy(logits[i], targets[i]) for i in (0, 2, 3))
    sizes = [len(targets[i]) for i in (2, 3)]
    mean = sum(loss * size for loss, size in zip(kept, sizes, strict=True)) / sum(sizes)
    unlearnt = -(1 - logits[1].softmax(-1).gather(-1, targets[1][:, None])).log().mean()
    want = learnt + unlearnt + feedback.METHOD.kept_weight * mean
    got = {name: row[name] for name in ("learnt", "unlearnt", "kept", "loss")}
    assert got == pytest.approx(
        {"learnt": learnt.item(), "unlearnt": unlearnt.item(), "kept": mean.item(), "loss": want.item()}, rel=1e-4
    )
    (gradient,) = torch.autograd.grad(want, [teaching.model.embedding])
    torch.testing.assert_close(teaching.model.embedding.grad, gradient, rtol=1e-3, atol=1e-6)


def test_each_step_replays_as_many_as_the_recipe_says(tiny_sft):
    teaching, material = begun(tiny_sft)
    assert sum(n >= material.labels for n in teaching.batches(material).step(0)) == 4
