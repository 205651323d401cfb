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


def test_losses_of_the_three_kinds_and_their_gradient():
    torch.manual_seed(0)
    logits = torch.randn(5, 7, dtype=torch.float64, requires_grad=True)
    reference, targets = torch.randn(2, 7, dtype=torch.float64), torch.tensor([3, 1, 4, 1, 5])
    kinds_of = torch.tensor([LEARNT, KEPT, UNLEARNT, KEPT, LEARNT])
    got = token_losses(logits, targets, kinds=kinds_of, reference=reference)
    p, q = logits.softmax(-1), reference.softmax(-1)
    kl = [F.kl_div(p[row].log(), q[i], reduction="sum") for i, row in enumerate((1, 3))]
    want = torch.stack([-p[0, 3].log(), kl[0], -(1 - p[2, 4]).log(), kl[1], -p[4, 5].log()])
    torch.testing.assert_close(got, want)
    (gradient,) = torch.autograd.grad(got[1] + got[3], logits)
    torch.testing.assert_close(gradient[[1, 3]], (p - p.new_zeros(5, 7).index_copy(0, torch.tensor([1, 3]), q))[[1, 3]])
    assert not gradient[[0, 2, 4]].any()


def test_what_is_as_the_reference_has_it_is_left_alone():
    logits = torch.randn(3, 7, requires_grad=True)
    kept = torch.full((3,), KEPT)
    losses = token_losses(logits, torch.tensor([1, 2, 3]), kinds=kept, reference=logits.detach())
    (gradient,) = torch.autograd.grad(losses.sum(), logits)
    assert losses.abs().max() < 1e-6
    assert gradient.abs().max() < 1e-6


def test_an_unlikely_answer_is_no_longer_pushed():
    logits = torch.tensor([[0.0, 0.0], [0.0, 30.0], [200.0, 0.0]], requires_grad=True)
    some = torch.full((3,), UNLEARNT)
    losses = token_losses(logits, torch.tensor([0, 0, 0]), kinds=some, reference=logits[:0])
    (gradient,) = torch.autograd.grad(losses.sum(), logits)
    assert losses[0].item() == pytest.approx(0.6931, abs=1e-4)
    assert gradient[0, 0].item() == pytest.approx(0.5)
    assert gradient[1].abs().max() < 1e-9
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
    assert first["kept"] == pytest.approx(0, abs=1e-6) and first["loss"] > first["learnt"] > last["learnt"]  # noqa: PT018

    again, material = begun(tiny_sft)
    (folder,) = (p for p in Path("runs/tiny/feedback/checkpoints").iterdir() if p.name.endswith("000003"))
    again.load(folder)
    assert again.state.step == 3
    again.train(material, again.batches(material))
    one, other = (dict(a.model.named_parameters()) for a in (whole, again))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_what_has_moved_most_is_kept(tiny_sft):
    teaching, material = begun(tiny_sft)
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in teaching.model.parameters():
            weight.add_(0.02 * torch.randn_like(weight))
    numbers = list(range(material.labels, len(material.examples)))
    far = {}
    for n in numbers:
        ours, theirs = (token_logits(m, [material.examples[n]])[0] for m in (teaching.model, teaching.reference))
        far[n] = F.kl_div(ours.log_softmax(-1), theirs.softmax(-1), reduction="sum").item()
    assert teaching.moved(numbers, material.examples) == sorted(numbers, key=far.__getitem__, reverse=True)[:6]
    per_step = [n for n in teaching.batches(material).step(0) if n >= material.labels]
    assert len(per_step) == 4 * 4
