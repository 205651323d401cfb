"""Dry runs: what they say about memory is what torch counts, and what they say at all."""

import re
from pathlib import Path

import pytest
import torch
from commands import minitron
from conftest import tiny_shape
from torch._subclasses.fake_tensor import FakeTensorMode

from minitron.data.packing import Batch
from minitron.model import lora
from minitron.model.language_model import LanguageModel
from minitron.plan import corpus_stats, memory, timing
from minitron.recipe.load import load_recipe
from minitron.recipe.shapes import resolved
from minitron.recipe.training import LoraConfig, ModelConfig, OptimConfig
from minitron.train.optimizer import make_optimizer
from minitron.train.passes import summed_loss
from minitron.train.precision import autocast

RECIPES = Path(__file__).parent.parent / "recipes"
CPU = torch.device("cpu")
SHAPES = {
    "tiny": (tiny_shape(), 340, 2),
    "wider": (tiny_shape(n_layers=3, n_heads=4, n_kv_heads=4, d_model=96, d_ff=256, context=128), 2048, 4),
    "mini-tron-50": (tiny_shape(n_layers=10, n_heads=8, n_kv_heads=8, d_model=512, d_ff=2048, context=1024), 32000, 2),
}


def kept_by_torch(
    shape: ModelConfig,
    vocab_size: int,
    rows: int,
    precision: str,
    *,
    recompute: bool = False,
    low_rank: LoraConfig | None = None,
    tokens: int = 0,
) -> int:
    """Bytes of all storages that autograd keeps for a micro-batch, except weights and the batch itself. With `low_rank`
    only LoRA factors of that rank and the rows of the first `tokens` tokens are trained."""
    model, length = LanguageModel(shape, vocab_size), shape.context
    if low_rank:
        lora.attach(model, low_rank, seed=1, tokens=range(tokens))
    model.recompute = recompute
    targets = memory.targets_of(rows * length)
    batch = Batch(
        ids=torch.zeros(rows, length, dtype=torch.long),
        targets=torch.zeros(targets, dtype=torch.long),
        select=torch.zeros(targets, dtype=torch.long),
        count=targets,
        positions=torch.zeros(rows, length, dtype=torch.long),
        lengths=[length] * rows,  # the longest sequences, which need most memory
    )
    inputs = [value for value in vars(batch).values() if isinstance(value, torch.Tensor)]
    known = {t.untyped_storage()._cdata for t in (*model.parameters(), *model.buffers(), *inputs)}
    kept = {}  # holds the storages, so that no address is used twice

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in known:
            kept[storage._cdata] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor), autocast(CPU, precision):
        loss = summed_loss(model, batch)
    assert loss.requires_grad
    return sum(storage.nbytes() for storage in kept.values())


@pytest.mark.parametrize("dropout", [0.0, 0.1])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("arch", ["llama", "nanogpt", "stream"])
@pytest.mark.parametrize("name", SHAPES)
def test_activations_are_what_torch_keeps(name, arch, precision, dropout):
    shape, vocab_size, rows = SHAPES[name]
    shape = resolved(ModelConfig(**vars(shape) | {"arch": arch, "dropout": dropout}))
    terms = memory.activations(shape, vocab_size, rows=rows, length=shape.context, device=CPU, precision=precision)
    with FakeTensorMode():  # the same graph, without numbers
        kept = kept_by_torch(shape, vocab_size, rows, precision)
    assert sum(terms.values()) == pytest.approx(kept, rel=0.05), terms


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("arch", ["llama", "nanogpt"])
def test_recomputed_blocks_keep_their_inputs(arch, precision):
    """The formula also counts what one block keeps while it is recomputed; twice as many blocks add only their inputs."""
    shape, vocab_size, rows = SHAPES["mini-tron-50"]
    sums, kept = [], []
    for layers in (10, 20):
        deeper = resolved(ModelConfig(**vars(shape) | {"arch": arch, "n_layers": layers}))
        how = {"rows": rows, "length": 1024, "device": CPU, "precision": precision, "recompute": True}
        terms = memory.activations(deeper, vocab_size, **how)
        sums.append(sum(terms.values()))
        with FakeTensorMode():
            kept.append(kept_by_torch(deeper, vocab_size, rows, precision, recompute=True))
    assert sums[1] - sums[0] == pytest.approx(kept[1] - kept[0], rel=0.05)
    with FakeTensorMode():  # what a block keeps that is not the last one, which keeps less
        one, two = (
            kept_by_torch(ModelConfig(**vars(shape) | {"arch": arch, "n_layers": layers}), vocab_size, rows, precision)
            for layers in (1, 2)
        )
        block = two - one
    assert sums[0] == pytest.approx(kept[0] + block + 4 * rows * 1024 * 512, rel=0.1)


@pytest.mark.parametrize("arch", ["llama", "nanogpt"])
def test_fake_tensors_keep_what_real_ones_do(arch):
    shape = tiny_shape(arch, dropout=0.1)
    with FakeTensorMode():
        fake = kept_by_torch(shape, 340, 2, "bf16")
    assert fake == kept_by_torch(shape, 340, 2, "bf16")


@pytest.mark.parametrize("arch", ["llama", "nanogpt"])
@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_weights_gradients_and_optimizer(arch, name):
    shape, optim = tiny_shape(arch), OptimConfig(name=name)
    model = LanguageModel(shape, 340)
    parts = memory.parameters(shape, 340)
    assert sum(parts.values()) == sum(p.numel() for p in model.parameters())
    assert sum(parts.values()) - parts["positions"] == model.count_params()
    assert parts["embedding"] == 340 * 32
    assert parts["positions"] == (64 * 32 if arch == "nanogpt" else 0)
    assert parts["norms"] == 5 * 32
    assert parts["attention"] == 2 * 4 * 32 * 32
    optimizer = make_optimizer(model, optim)
    sum(p.sum() for p in model.parameters()).backward()
    optimizer.step(1e-3)
    states = [state for part in optimizer.parts for state in part.state.values()]
    found = sum(t.nbytes for state in states for t in state.values() if t.ndim)  # step counters are scalars
    assert memory.optimizer_bytes(shape, 340, optim) == found


def test_memory_of_kto_with_low_ranks(tiny_run):
    recipe = load_recipe(tiny_run, ["kto.lora_rank=4"])
    model = LanguageModel(recipe.model, recipe.tokenizer.vocab_size)
    lora.attach(model, recipe.kto, seed=1)
    needs = memory.kto(recipe, device=CPU, tokens=20)
    # a step of one micro-batch
    assert needs["gradients"] == sum(p.nbytes for p in model.parameters() if p.requires_grad)
    assert needs["optimizer"] == 2 * needs["gradients"]


@pytest.mark.parametrize(("precision", "gigabytes"), [("bf16", 1.67), ("fp32", 1.87)])
def test_the_reference_fits_into_4_gb(precision, gigabytes):
    """mini-tron-50: context 1,024, batch 2 x 32, as on the reference's RTX 3050 Mobile."""
    recipe = load_recipe(RECIPES / "mini-tron-50.toml")
    needs = memory.training(recipe, "sft", device=torch.device("cuda"), precision=precision)
    assert sum(needs.values()) < 4e9
    assert sum(needs.values()) / 1e9 == pytest.approx(gigabytes, abs=0.01)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_the_peak_on_a_gpu(precision):
    from minitron.train.passes import accumulate

    recipe, device = load_recipe(RECIPES / "mini-tron-50.toml"), torch.device("cuda")
    needs = memory.training(recipe, "sft", device=device, precision=precision)
    model = LanguageModel(recipe.model, recipe.tokenizer.vocab_size).to(device).train()
    optimizer, batch = make_optimizer(model, recipe.optim), timing.random_batch(recipe, "sft", 2).to(device)

    def part():
        with autocast(device, precision):
            return summed_loss(model, batch), None

    for _ in range(2):
        accumulate(model, [part] * 3)
        optimizer.step(1e-4)
    assert torch.cuda.max_memory_allocated(device) == pytest.approx(sum(needs.values()), rel=0.15)


def test_big_models_are_measured_in_part():
    recipe = load_recipe(RECIPES / "mini-tron-50.toml")
    small, rows, times = timing.sample_of(recipe, "sft", 2, CPU)
    assert (small.model.n_layers, rows) == (2, 1)
    head = 6 * memory.TARGET_SHARES["sft"] * 32000 * 512
    layer = 6 * 12 * 512 * 512 + 12 * 1024 * 512
    assert times == pytest.approx(2 * (10 * layer + head) / (2 * layer + head), rel=1e-3)
    tiny = load_recipe(RECIPES / "demo.toml")
    assert timing.sample_of(tiny, "sft", 8, CPU)[1:] == (8, 1.0)


def test_speed_is_counted_in_rounds():
    speed = timing.Speed("fp32", at_once=2, rows=4, round=1.0, update=0.25)
    assert speed.step(4) == 2.25
    assert speed.step(5) == 3.25
    assert speed.row == 1 / 8


def dry(*arguments: str) -> str:
    done = minitron(*arguments, "--dry-run")
    assert done.returncode == 0, done.stderr
    assert not done.stdout
    return re.sub(" +", " ", done.stderr)


def test_dry_runs_of_every_stage(tiny_run):
    said = dry("sft", "tiny.toml")
    assert "parameters 0.03M: embedding 0.01M" in said
    assert "256 per step (2 rows of 64 x 2), 6,144 in 24 steps" in said
    assert "24 steps" in said
    assert "4 validations" in said
    said = dry("reject", "tiny.toml")
    assert "answers 120: loops 40 of at most 24 tokens, canned 40" in said
    assert "time " in said
    said = dry("kto", "tiny.toml")
    assert "looks 5, each 64 free answers" in said  # before the first step, and after 3, 6, 9, 12
    assert "choice among 5 models" in said
    assert "24 completions expected" in said  # a tenth of 120 answers, and as many recorded ones
    assert not Path("runs").exists()


def test_the_sample_counts_what_the_data_stage_keeps(tiny_run):
    recipe = load_recipe(tiny_run)
    before = corpus_stats.look(recipe)
    assert before.where == "a sample of 200 of 200 rows"
    assert minitron("run", "tiny.toml", "--to", "sft").returncode == 0
    after = corpus_stats.look(recipe)
    assert after.where == "the data stage's report"
    assert before.dialogues == pytest.approx(after.dialogues, rel=0.15)
    counts = after.count(recipe, vocab_size=340)
    packed = Path("runs/tiny/sft/packed-train/pack.json").read_text()
    assert counts.sft == int(re.search(r'"tokens": (\d+)', packed)[1])
    assert before.count(recipe, vocab_size=340).sft == pytest.approx(counts.sft, rel=0.15)
    tiny_run.write_text(tiny_run.read_text().replace("valid_fraction = 0.2", "valid_fraction = 0.1"))
    # those files are of another recipe
    assert corpus_stats.look(load_recipe(tiny_run)).where == "a sample of 200 of 200 rows"


@pytest.mark.parametrize("context", [64, 256, 1024])
def test_the_batch_that_is_timed_has_dialogues_of_many_lengths(context):
    recipe = load_recipe(RECIPES / "demo.toml", [f"model.context={context}"])
    batch = timing.random_batch(recipe, "sft", 64)
    assert batch.ids.shape == (64, context)
    assert sum(batch.lengths) == 64 * context
    assert min(batch.lengths) >= 1
    assert 2 * 64 < len(batch.lengths) < 6 * 64
    assert len(set(batch.lengths)) >= min(50, context // 4)
