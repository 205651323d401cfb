"""LoRA: what it computes and trains, sft with it from one model to the next, checkpoints that hold an adapter."""

import json
import shutil
import signal
from pathlib import Path

import pytest
import torch
from commands import refused
from conftest import run_to, tiny_shape, tiny_texts
from safetensors.torch import load_file
from test_plan import SHAPES, dry, kept_by_torch
from test_resume import PRETRAIN, minitron, outcome, stop_at
from torch._subclasses.fake_tensor import FakeTensorMode

from minitron.model import lora
from minitron.model.language_model import LanguageModel
from minitron.plan import memory
from minitron.recipe.load import load_recipe
from minitron.recipe.training import LoraConfig, OptimConfig
from minitron.train import checkpoint
from minitron.train.optimizer import make_optimizer

CPU = torch.device("cpu")
IDS = torch.tensor([[5, 6, 7, 8]])


def trained(model: LanguageModel) -> None:
    """Changes the adapter's factors and rows at random, as training would."""
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for weight in lora.state(model).values():
            weight += torch.randn(weight.shape, generator=generator) * 0.3


def test_it_begins_at_the_model_and_trains_its_factors_alone(tiny_model):
    before, plain = tiny_model(IDS), {name: p.clone() for name, p in tiny_model.named_parameters()}
    lora.attach(tiny_model, LoraConfig(4), seed=1)
    assert torch.equal(tiny_model(IDS), before)
    found = lora.weights(tiny_model)
    assert found.keys() == plain.keys()
    assert all(torch.equal(found[name], plain[name]) for name in plain)
    learning = {name for name, p in tiny_model.named_parameters() if p.requires_grad}
    assert learning == lora.state(tiny_model).keys()
    assert all(name.endswith((".lora_a", ".lora_b")) for name in learning)


@pytest.mark.parametrize("untied_head", [False, True])
def test_the_plain_weights_compute_the_same(untied_head):
    torch.manual_seed(1)
    shape = tiny_shape(untied_head=untied_head, n_heads=4, n_kv_heads=2)
    model = LanguageModel(shape, 50).eval()
    lora.attach(model, LoraConfig(3, lora_alpha=9.0), seed=1, tokens=[7, 49])
    trained(model)
    plain = LanguageModel(shape, 50).eval()
    plain.load_state_dict(lora.weights(model))
    with torch.inference_mode():
        for ids in (IDS, torch.tensor([[49, 7, 3, 49]])):
            torch.testing.assert_close(model(ids), plain(ids), rtol=0, atol=1e-5)
    changed = plain.get_parameter("model.layers.0.mlp.up_proj.weight") - model.model.layers[0].mlp.up_proj.weight
    a, b = (lora.state(model)[f"model.layers.0.mlp.up_proj.lora_{part}"] for part in "ab")
    torch.testing.assert_close(changed, 9.0 / 3 * b @ a, rtol=0, atol=1e-6)


def test_rows_of_tokens_learn_at_both_ends_and_no_other_row_does():
    torch.manual_seed(1)
    model = LanguageModel(tiny_shape(untied_head=True), 50)
    lora.attach(model, LoraConfig(2), seed=1, tokens=[7, 9])
    before = lora.weights(model)
    optimizer = make_optimizer(model, OptimConfig())
    torch.nn.functional.cross_entropy(model(torch.tensor([[7, 3, 7]]))[0], torch.tensor([3, 9, 9])).backward()
    optimizer.step(1e-2)
    after = lora.weights(model)
    for name, rows in (("model.embed_tokens.weight", {7}), ("lm_head.weight", {7, 9})):
        moved = set((before[name] != after[name]).any(1).nonzero().flatten().tolist())
        assert rows <= moved <= {7, 9}, name


def test_targets_are_those_named():
    model = LanguageModel(tiny_shape(), 50)
    lora.attach(model, LoraConfig(2, lora_targets=["q_proj", "v_proj"]), seed=1)
    assert {name.split(".")[-2] for name in lora.state(model)} == {"q_proj", "v_proj"}
    assert len(lora.state(model)) == 2 * 2 * 2


def test_wrong_ones_are_told_before_the_first_step(tiny_run):
    refused("run", "tiny.toml", "sft.lora_rank=4", "--to", "sft", code=2, saying="sft.lora_rank changes a model that")
    wrong = ["kto.lora_rank=2", "kto.lora_targets=['q_prj']"]
    said = refused("run", "tiny.toml", *wrong, "--to", "kto", code=2, saying="lora_targets names 'q_prj'")
    assert "there are down_proj, gate_proj, k_proj, o_proj, q_proj, up_proj, v_proj" in said
    assert not Path("runs/tiny/sft").exists()


# ---- sft with it


@pytest.fixture
def on_pretrain(tiny_run) -> Path:
    """A recipe whose sft changes pretrain's model, with a run of it up to pretrain."""
    Path("book.txt").write_text("\n".join(tiny_texts(600)))
    options = '[sft]\nlora_rank = 4\nsamples = ["say 3"]\noptim = {lr = 2e-2}\n'
    recipe = (
        tiny_run.read_text()
        .replace("[sft]\nsteps = 24", f"{options}steps = 12")
        .replace("every_steps = 6", "every_steps = 3")
    )
    tiny_run.write_text(recipe + PRETRAIN.replace("steps = 24", "steps = 12"))
    run_to("pretrain")
    return tiny_run


def test_sft_learns_and_leaves_all_other_weights_as_they_were(on_pretrain):
    run_to("sft")
    before, _ = outcome("pretrain")
    after, rows = outcome("sft")
    assert after.keys() == before.keys()
    assert rows[-1]["valid_loss"] < min(rows[2]["valid_loss"], rows[0]["loss"] - 0.1)
    for name in before:
        matrix = ".layers." in name and "norm" not in name
        assert (after[name] != before[name]) == (matrix or "embed" in name), name
    first, last = (
        load_file(checkpoint.finished(Path(f"runs/tiny/{stage}"), stage) / "model.safetensors")[
            "model.embed_tokens.weight"
        ]
        for stage in ("pretrain", "sft")
    )
    markers = {1, 2, 3, 4}  # system, user, assistant, end
    assert set((first != last).any(1).nonzero().flatten().tolist()) <= markers
    folder = Path("runs/tiny/sft/checkpoints")
    (step, *_) = sorted(folder.glob("step-*"))
    assert {file.name for file in step.iterdir()} == {"adapter.safetensors", "model.json", "trainer.pt"}
    assert Path("runs/tiny/sft/best").read_text() == "merged\n"
    assert checkpoint.check(folder / "merged")["valid_loss"] == min(row.get("valid_loss", 9) for row in rows)


@pytest.mark.slow  # six runs
def test_a_stopped_one_ends_with_the_same_numbers(on_pretrain):
    minitron("sft", "tiny.toml")
    want = outcome("sft")
    for how, step in ((signal.SIGINT, 4), (signal.SIGKILL, 9)):
        shutil.rmtree("runs/tiny/sft")
        stop_at(step, "sft", how)
        assert "going on from" in minitron("sft", "tiny.toml").stderr
        assert outcome("sft") == want
    merged = Path("runs/tiny/sft/checkpoints/merged/model.safetensors")
    merged.write_bytes(merged.read_bytes()[:-9])
    done = minitron("sft", "tiny.toml")
    assert "done already" not in done.stderr
    assert outcome("sft") == want


@pytest.mark.slow  # three runs
def test_kto_with_it_too(on_pretrain):
    options = "[kto]\nlora_rank = 2\nlora_targets = ['q_proj']\nforce = true\n"
    rows = [{"prompt": f"say {n}", "completion": str(n % 7), "label": n % 3 > 0} for n in range(60)]
    Path("labels.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    labels = 'prompts = 0\nfiles = ["labels.jsonl"]'  # the model's own answers may hold too few failures
    on_pretrain.write_text(on_pretrain.read_text().replace("[kto]\n", options).replace("prompts = 40", labels))
    minitron("run", "tiny.toml", "--to", "kto")
    want = outcome("kto")
    shutil.rmtree("runs/tiny/kto")
    stop_at(5, "kto", signal.SIGKILL)
    _, folder = load_recipe("tiny.toml").layout.last_trained
    assert folder.name == "merged"  # a whole model that others can load, even from an unfinished run
    checkpoint.load_model(folder)
    assert "going on from" in minitron("kto", "tiny.toml").stderr
    assert outcome("kto") == want


# ---- what it takes


@pytest.mark.parametrize("name", ["tiny", "wider"])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("tokens", [0, 4])
def test_activations_are_what_torch_keeps(name, precision, tokens):
    shape, vocab_size, rows = SHAPES[name]
    settings = LoraConfig(8)
    how = {"rows": rows, "length": shape.context, "device": CPU, "precision": precision}
    terms = memory.activations(shape, vocab_size, lora=settings, head=tokens > 0, **how)
    with FakeTensorMode():
        kept = kept_by_torch(shape, vocab_size, rows, precision, low_rank=settings, tokens=tokens)
    assert sum(terms.values()) == pytest.approx(kept, rel=0.1), terms


def test_weights_gradients_and_optimizer(tiny_run):
    Path("book.txt").write_text("a book")
    tiny_run.write_text(tiny_run.read_text() + PRETRAIN)
    recipe = load_recipe(tiny_run, ["sft.lora_rank=4", "optim.name=muon", "sft.accumulation=1"])
    model = LanguageModel(recipe.model, 340)
    plain = sum(p.nbytes for p in model.parameters())
    lora.attach(model, recipe.sft, seed=1, tokens=range(4))
    factors = sum(p.nbytes for p in model.parameters() if p.requires_grad)
    needs = memory.training(recipe, "sft", device=CPU, precision="fp32")
    assert needs["weights"] == plain + factors == sum(p.nbytes for p in model.parameters())
    assert needs["gradients"] == factors
    optimizer = make_optimizer(model, recipe.sft.optim)
    sum(p.sum() for p in model.parameters() if p.requires_grad).backward()
    optimizer.step(1e-3)
    states = [state for part in optimizer.parts for state in part.state.values()]
    assert needs["optimizer"] == sum(t.nbytes for state in states for t in state.values() if t.ndim)


def test_a_dry_run_tells(on_pretrain):
    said = dry("sft", "tiny.toml")
    assert "LoRA 4,352 parameters are trained: changes of rank 4" in said
