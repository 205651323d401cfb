"""`minitron embeddings`: snapshots that change nothing, how rows of never-seen tokens move, and figures against clouds made by hand."""

import base64
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import minitron, refused
from conftest import tiny_shape, tiny_texts
from test_tokenizer_stage import RECIPE

from minitron.lab import cloud
from minitron.model.language_model import LanguageModel
from minitron.recipe.load import load_recipe
from minitron.recipe.training import OptimConfig
from minitron.stages import pipeline
from minitron.train import snapshots
from minitron.train.optimizer import make_optimizer
from minitron.train.schedule import learning_rate

TRAINED = """
steps = 12
batch_rows = 2
accumulation = 2
eval_every_steps = 6
snapshot_steps = 3
[optim]
lr = 1e-2
warmup_steps = 2
precision = "fp32"
compile = "off"
"""


# ---- what moves the row of a token that is never seen


def test_the_only_gradient_of_an_unseen_row_is_the_softmax_s_push():
    """d loss / d e_i = Σ_t p_t(i) h_t if token i is no input and no target: the derivative of -log softmax, compared with autograd."""
    torch.manual_seed(1)
    model, vocab = LanguageModel(tiny_shape(), 40), 40
    ids = torch.randint(0, 30, (2, 12))  # 30 to 39 are never seen
    targets = torch.randint(0, 30, (2, 12))
    hidden = model.hidden(ids)
    logits = model.head(hidden)
    torch.nn.functional.cross_entropy(logits.view(-1, vocab), targets.view(-1), reduction="sum").backward()
    with torch.no_grad():
        push = torch.softmax(logits, -1).reshape(-1, vocab).t() @ hidden.reshape(-1, hidden.shape[-1])
    torch.testing.assert_close(model.embedding.grad[30:], push[30:], rtol=1e-4, atol=1e-6)
    assert not torch.allclose(model.embedding.grad[:30], push[:30])  # other rows get more than that


def test_of_an_untied_head_an_unseen_row_of_the_embedding_has_no_gradient_and_the_head_s_has_the_push():
    torch.manual_seed(1)
    model = LanguageModel(replace(tiny_shape(), untied_head=True), 40)
    ids, targets = torch.randint(0, 30, (2, 12)), torch.randint(0, 30, (2, 12))
    hidden = model.hidden(ids)
    logits = model.head(hidden)
    torch.nn.functional.cross_entropy(logits.view(-1, 40), targets.view(-1), reduction="sum").backward()
    with torch.no_grad():
        push = torch.softmax(logits, -1).reshape(-1, 40).t() @ hidden.reshape(-1, hidden.shape[-1])
    assert not model.embedding.grad[30:].any()
    torch.testing.assert_close(model.output.grad[30:], push[30:], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_without_a_gradient_a_row_follows_weight_decay_exactly(name):
    """e_n = e_0 Π (1 - lr_k λ) under decoupled weight decay (AdamW, arXiv 1711.05101), for each row, whatever the other rows do."""
    torch.manual_seed(1)
    model = LanguageModel(tiny_shape(), 40)
    optimizer = make_optimizer(model, OptimConfig(name=name, weight_decay=0.1))
    begun, factor = model.embedding.detach().clone(), 1.0
    for step in range(8):
        for weight in model.parameters():
            weight.grad = torch.randn_like(weight)
        model.embedding.grad[30:] = 0
        lr = 1e-2 * (step + 1)
        optimizer.step(lr)
        factor *= 1 - lr * 0.1
    torch.testing.assert_close(model.embedding.detach()[30:], begun[30:] * factor, rtol=1e-5, atol=1e-7)
    assert not torch.allclose(model.embedding.detach()[:30], begun[:30] * factor, rtol=1e-2)


# ---- figures of clouds made by hand


def made_by_hand(steps: int = 6) -> list[tuple[int, np.ndarray]]:
    """Ten tokens in three dimensions: all drift by 1 along the first axis each step; token 9 also moves by 0.5 along the third until
    step 3."""
    first = np.zeros((10, 3), np.float32)
    first[:9, 1] = np.linspace(-4, 4, 9)
    found = []
    for step in range(steps):
        now = first.copy()
        now[:, 0] += step
        now[9, 2] = 0.5 * min(step, 3)
        found.append((step, now))
    return found


def test_steps_are_measured_in_the_frame_that_moves_with_the_cloud():
    counts = np.array([5] * 8 + [0] * 2)
    found = cloud.measure("pretrain", made_by_hand(), counts)
    live, dead = found.groups
    assert (live.name, live.count, dead.name, dead.count) == ("live", 8, "dead", 2)
    # The centre follows by a tenth of the one step that differs. Relative to the centre, one dead token moves by nine tenths of it,
    # the other by a tenth.
    assert found.drift == pytest.approx([math.hypot(1, 0.05)] * 3 + [1.0] * 2)
    assert dead.speed == pytest.approx([(0.45 + 0.05) / 2] * 3 + [0.0] * 2)
    assert live.speed == pytest.approx([0.05] * 3 + [0.0] * 2)
    assert live.inner == pytest.approx([0.0] * 5)
    assert dead.inner == pytest.approx([0.25] * 3 + [0.0] * 2)
    assert live.cosine[0] == pytest.approx(1.0)
    assert found.frozen_at == 3
    assert live.radius[0] == pytest.approx(2.0)
    assert found.places.shape == (6, 10, 2)
    np.testing.assert_allclose(np.abs(found.places[0][:, 0]), [4, 3, 2, 1, 0, 1, 2, 3, 4, 0], atol=1e-6)


def test_when_tokens_freeze():
    assert cloud.frozen_at([0, 10, 20, 30], [1.0, 0.5, 0.001]) == 20
    assert cloud.frozen_at([0, 10, 20], [1.0, 0.5]) is None
    assert cloud.frozen_at([0, 10, 20], [0.0, 0.0]) == 0
    assert cloud.frozen_at([0], []) is None
    assert cloud.measure("sft", made_by_hand(), np.ones(10)).frozen_at is None


def test_the_bf16_grid_is_seen():
    weights = torch.randn(50, 20)
    assert cloud.on_bf16_grid(weights.numpy()) < 0.01
    assert cloud.on_bf16_grid(weights.bfloat16().float().numpy()) == 1.0


# ---- a run


@pytest.fixture
def base(in_tmp_path) -> Path:
    Path("base.toml").write_text(RECIPE.replace("[tokenizer]", "[tokenizer]\nbyte_fallback = true") + TRAINED)
    Path("book.txt").write_text("\n".join(tiny_texts(300)))
    return in_tmp_path


def train(*overrides: str) -> bytes:
    config = load_recipe("base.toml", list(overrides))
    for stage in pipeline.select(config, None, "pretrain"):
        pipeline.run_stage(stage, config)
    best = config.layout.stage("pretrain") / "best"
    return (config.layout.checkpoint("pretrain", best.read_text().strip()) / "model.safetensors").read_bytes()


def test_snapshots_are_kept_and_change_nothing(base):
    with_them = train()
    found = snapshots.load(Path("runs/base/pretrain"))
    assert [step for step, _ in found] == [0, 3, 6, 9, 12]
    assert all(array.shape == found[0][1].shape and array.dtype == np.float32 for _, array in found)
    assert not np.array_equal(found[0][1], found[1][1])
    Path("runs/base").rename("runs/kept")
    assert train("pretrain.snapshot_steps=0") == with_them
    assert not Path("runs/base/pretrain/snapshots").exists()


def test_of_an_untied_head_the_dead_rows_of_the_embedding_only_decay(base):
    """In a run the embedding's dead rows follow e_n = e_0 Π (1 - lr_k λ), with the schedule's lr_k; the head's dead rows move by more."""
    train("model.untied_head=true")
    config = load_recipe("base.toml", ["model.untied_head=true"])
    optim, steps = config.pretrain.optim, config.pretrain.steps
    factor = math.prod(1 - learning_rate(k, steps=steps, config=optim) * optim.weight_decay for k in range(steps))
    (first, *_, last), (head, *_, head_last) = (
        snapshots.load(Path("runs/base/pretrain"), head=h) for h in (False, True)
    )
    dead = cloud.look(config).dead
    np.testing.assert_allclose(last[1][dead], first[1][dead] * factor, rtol=1e-5, atol=1e-7)
    assert not np.allclose(last[1][~dead], first[1][~dead] * factor, rtol=1e-2)
    assert not np.allclose(head_last[1][dead], head[1][dead] * factor, rtol=1e-2)
    assert len(cloud.look(config, head=True).steps) == 5
    assert minitron("embeddings", "runs/base", "--head").returncode == 0


def test_the_page_and_the_figures_of_a_run(base):
    train()
    done = minitron("embeddings", "base.toml", "--json", "e.json")
    assert done.returncode == 0, done.stderr
    assert "5 snapshots from step 0 to 12" in done.stdout
    assert " dead tokens: radius " in done.stdout  # most bytes never come
    assert "lie on no bf16 grid" in done.stdout
    told = json.loads(Path("e.json").read_text())
    assert told["steps"] == [0, 3, 6, 9, 12]
    assert all(len(group["speed"]) == 4 and len(group["radius"]) == 5 for group in told["groups"].values())
    page = Path("runs/base/pretrain/embeddings.html").read_text()
    assert "http" not in page.replace("http-equiv", "")
    held = json.loads(page.split('id="cloud">')[1].split("</script>")[0])
    places = np.frombuffer(base64.b64decode(held["places"]), "<i2").reshape(5, held["tokens"], 2)
    assert np.abs(places).max() == 32767
    assert sum(held["dead"]) == told["groups"]["dead"]["count"]


def test_a_run_without_snapshots_is_told_how_to_get_them(base):
    train("pretrain.snapshot_steps=0")
    refused("embeddings", "base.toml", code=1, saying="there are no snapshots in runs/base")
    train()
    refused("embeddings", "base.toml", "--head", code=1, saying="there are no snapshots of a head in runs/base")
