"""The loop of pretrain and sft: its loss, its schedules and precisions, and what it says on the way."""

import gc
import json
import math
import os
import pickle
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import tiny_shape
from safetensors.torch import load_file, save_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from minitron.core import console
from minitron.core.errors import MinitronError
from minitron.core.files import sha256_file
from minitron.core.interrupt import Stopped
from minitron.data.packing import PackedRows, Sequence, collate, pack
from minitron.model.language_model import LanguageModel
from minitron.recipe.training import OptimConfig, TrainConfig
from minitron.train import checkpoint, cross_entropy, metrics
from minitron.train.compile import compile_blocks
from minitron.train.cross_entropy import linear_cross_entropy
from minitron.train.loop import Fit, State, fit
from minitron.train.metrics import MetricsLog
from minitron.train.order import row_order, rows_of_step
from minitron.train.passes import summed_loss
from minitron.train.precision import LossScale
from minitron.train.schedule import learning_rate

VOCAB = 90


@pytest.mark.parametrize("cap", [0.0, 3.0])
@pytest.mark.parametrize("z_loss", [0.0, 0.05])
@pytest.mark.parametrize("pieces", [False, True])
def test_the_loss_in_pieces_is_torchs(monkeypatch, cap, z_loss, pieces):
    if pieces:  # of 7 rows
        monkeypatch.setattr(cross_entropy, "LOGITS_AT_ONCE", 7 * VOCAB)
        monkeypatch.setattr(cross_entropy, "ROWS_AT_ONCE", 1)
    torch.manual_seed(0)
    hidden, weight = torch.randn(40, 16), torch.randn(VOCAB, 16)
    targets = torch.randint(VOCAB, (40,))
    targets[[3, 20, 39]] = -100
    found = []
    for own in (True, False):
        h, w = hidden.clone().requires_grad_(), weight.clone().requires_grad_()
        if own:
            loss = linear_cross_entropy(h, w, targets, z_loss=z_loss, cap=cap)
        else:
            logits = F.linear(h, w)
            logits = cap * torch.tanh(logits / cap) if cap else logits
            loss = F.cross_entropy(logits, targets, reduction="sum")
            loss = loss + z_loss * logits.logsumexp(1)[targets >= 0].square().sum()
        found.append((loss.detach(), *torch.autograd.grad(loss * 0.3, [h, w])))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    with torch.inference_mode():
        assert linear_cross_entropy(hidden, weight, targets, z_loss=z_loss, cap=cap) == found[0][0]


def test_without_gradients_the_loss_is_one_product_of_matrices():
    """`needs_input_grad` is true for a Parameter under inference_mode, too: the held-out loss took twice as long as it had to."""
    hidden, weight, targets = (
        torch.randn(64, 16),
        torch.nn.Parameter(torch.randn(VOCAB, 16)),
        torch.randint(VOCAB, (64,)),
    )
    for how in (torch.inference_mode, torch.no_grad):
        with how(), FlopCounterMode(display=False) as counted:
            linear_cross_entropy(hidden, weight, targets)
        assert counted.get_total_flops() == 2 * 64 * 16 * VOCAB
    with FlopCounterMode(display=False) as counted:
        linear_cross_entropy(hidden, weight, targets).backward()
    assert counted.get_total_flops() >= 2 * 2 * 64 * 16 * VOCAB


def test_the_loss_in_bf16_is_near():
    torch.manual_seed(0)
    hidden, weight, targets = torch.randn(64, 32), 0.1 * torch.randn(VOCAB, 32), torch.randint(VOCAB, (64,))
    weight.requires_grad_()
    exact = linear_cross_entropy(hidden, weight, targets)
    with torch.autocast("cpu", torch.bfloat16):
        near = linear_cross_entropy(hidden, weight, targets)
    assert near.item() == pytest.approx(exact.item(), rel=2e-3)
    one, other = (torch.autograd.grad(loss, weight)[0] for loss in (exact, near))
    assert other.dtype == torch.float32
    assert F.cosine_similarity(one.flatten(), other.flatten(), 0) > 0.999


def test_the_cap_is_in_the_heads_logits_too():
    torch.manual_seed(0)
    plain, capped = (LanguageModel(tiny_shape(logit_cap=cap), VOCAB).eval() for cap in (0.0, 2.0))
    capped.load_state_dict(plain.state_dict())
    with torch.no_grad():
        for weight in (plain.embedding, capped.embedding):
            weight.mul_(50)
        ids = torch.randint(VOCAB, (2, 9))
        torch.testing.assert_close(capped(ids), 2 * torch.tanh(plain(ids) / 2))
        assert plain(ids).abs().max() > 4


@pytest.mark.parametrize("arch", ["llama", "nanogpt", "stream"])
def test_recomputed_blocks_have_the_same_gradients(arch):
    torch.manual_seed(0)
    model = LanguageModel(tiny_shape(arch, n_layers=4), VOCAB)
    # lengths so different that attention computes them in several groups
    parts = [[(np.arange(n) % VOCAB, np.arange(n) > 0) for n in lengths] for lengths in ((50, 10), (24, 20), (60,))]
    batch = collate(parts, context=64)
    gradients = []
    for model.recompute in (False, True):
        loss = summed_loss(model, batch)
        gradients.append(torch.autograd.grad(loss, list(model.parameters())))
    for plain, again in zip(*gradients, strict=True):
        torch.testing.assert_close(plain, again, rtol=0, atol=0)


def test_warmup_stable_decay():
    config = OptimConfig(lr=1.0, min_lr=0.1, warmup_steps=10, schedule="wsd", decay_share=0.4)
    lr = [learning_rate(step, steps=100, config=config) for step in range(100)]
    assert lr[:10] == pytest.approx([0.1 * i for i in range(1, 11)])
    assert lr[10:60] == [1.0] * 50
    assert lr[79] == pytest.approx(0.55)
    assert lr[99] == pytest.approx(0.1)
    assert all(a > b for a, b in zip(lr[59:], lr[60:], strict=False))


def test_the_scale_of_fp16():
    scale = LossScale("fp16", value=8.0, clean=998)
    assert scale.usable(1.0)
    assert (scale.value, scale.clean) == (8.0, 999)
    assert scale.usable(1.0)
    assert (scale.value, scale.clean) == (16.0, 0)
    assert not scale.usable(math.inf)
    assert not scale.usable(math.nan)
    assert scale.value == 4.0
    assert LossScale("bf16").usable(math.inf)
    assert LossScale("bf16").value == 1.0


def rows(path: Path, count: int = 60) -> PackedRows:
    """Sequences that count upwards: soon learnt."""
    chance = np.random.default_rng(1)
    made = []
    for _ in range(count):
        first, n = int(chance.integers(VOCAB)), int(chance.integers(8, 30))
        made.append(Sequence([(first + i) % VOCAB for i in range(n)], [False] + [True] * (n - 1), n))
    pack(made, context=64, vocab_size=VOCAB, out=path)
    return PackedRows(path)


def train(
    tmp_path: Path, *, optim: dict | None = None, sample=lambda model: [], layers: int = 2, **settings
) -> tuple[dict, list[dict]]:
    """Trains a tiny model; the final figures and the lines of metrics.jsonl."""
    torch.manual_seed(0)
    model = LanguageModel(tiny_shape(n_layers=layers), VOCAB)
    chosen = OptimConfig(**{"lr": 1e-2, "warmup_steps": 3, "precision": "fp32"} | (optim or {}))
    settings = {"steps": 30, "batch_rows": 2, "accumulation": 2, "eval_every_steps": 10} | settings
    where = tmp_path / "sft"
    run = Fit("sft", where, TrainConfig(**settings, optim=chosen), 1, sample=sample)
    result = fit(model, rows(tmp_path / "train"), rows(tmp_path / "valid", 20), run=run)
    return result, [json.loads(line) for line in (where / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_every_precision_learns(tmp_path, precision):
    result, lines = train(tmp_path, optim={"precision": precision})
    assert lines[0]["loss"] == pytest.approx(math.log(VOCAB), abs=0.1)
    assert lines[-1]["valid_loss"] < 3.0
    assert result["precision"] == precision
    assert all(math.isfinite(line["grad_norm"]) for line in lines[5:])


def test_fp16_finds_its_scale(tmp_path, monkeypatch):
    """The scale is far too large at first: steps are left out, not taken with infinite gradients, until the gradients fit."""
    monkeypatch.setattr(LossScale.__init__, "__kwdefaults__", {"value": 2.0**40, "clean": 0})
    _, lines = train(tmp_path, optim={"precision": "fp16"}, steps=60)
    skipped = [line for line in lines if not math.isfinite(line["grad_norm"])]
    assert 5 < len(skipped) < 40
    assert lines[-1]["valid_loss"] < 3.5
    state = checkpoint.load_trainer(tmp_path / "sft" / "checkpoints" / "step-000060")["state"]
    assert state["scale"]["value"] == 2.0 ** (40 - len(skipped))


def test_patience_ends_a_run_that_gets_no_better(tmp_path):
    result, lines = train(tmp_path, optim={"lr": 1e-9, "min_lr": 0.0, "warmup_steps": 0}, steps=500, patience=3)
    assert lines[-1]["step"] < 500
    validations = [line["valid_loss"] for line in lines if "valid_loss" in line]
    best = validations.index(min(validations))
    assert len(validations) - 1 - best == 3
    assert result["best_valid_loss"] == min(validations)
    assert (tmp_path / "sft" / "best").read_text().strip() == f"step-{10 * (best + 1):06d}"


@pytest.mark.parametrize(("warmup", "told"), [(2, False), (3, True)])
def test_a_warm_up_as_long_as_the_run_is_told(tmp_path, capsys, warmup, told):
    train(tmp_path, optim={"warmup_steps": warmup}, steps=3)
    assert (f"optim.warmup_steps is {warmup}, so" in " ".join(capsys.readouterr().err.split())) == told


def test_samples_are_logged_with_every_validation(tmp_path):
    asked = []

    def sample(model):
        asked.append(model.training)
        return [("one", "two\nthree")]

    _, lines = train(tmp_path, samples=["one"], sample=sample)
    assert asked == [False] * 3
    assert [line["step"] for line in lines if "samples" in line] == [10, 20, 30]
    assert lines[-1]["samples"] == [{"prompt": "one", "text": "two\nthree"}]


def test_tensorboard_reads_the_same_figures(tmp_path):
    _, lines = train(tmp_path, tensorboard=True)
    board = EventAccumulator(str(tmp_path / "sft" / "tensorboard")).Reload()
    losses_there = [(event.step, event.value) for event in board.Scalars("loss")]
    assert losses_there == [(line["step"], pytest.approx(line["loss"], rel=1e-6)) for line in lines]
    assert {"valid_loss", "lr", "tokens_per_second", "memory_mb"} <= set(board.Tags()["scalars"])


def test_torch_compile_is_not_for_a_cpu(tmp_path):
    with pytest.raises(MinitronError, match="not for a CPU"):
        train(tmp_path, steps=2, optim={"compile": "on"})


def test_compiled_blocks_train_the_same():
    """This tests the blocks as torch traces them, not what its compiler for a GPU makes of the trace."""
    torch.manual_seed(0)
    model = LanguageModel(tiny_shape(), VOCAB)
    names = list(model.state_dict())
    rows = [[(np.arange(3, 3 + length) % VOCAB, np.ones(length, bool))] for length in (9, 17)]
    batch = collate(rows, context=16)

    def gradients() -> dict:
        model.zero_grad()
        loss = summed_loss(model, batch)
        loss.backward()
        return {"loss": loss.detach(), **{name: p.grad.clone() for name, p in model.named_parameters()}}

    plain = gradients()
    compile_blocks(model, backend="aot_eager")
    compiled = gradients()
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0
    assert list(model.state_dict()) == names
    for name, value in plain.items():
        torch.testing.assert_close(compiled[name], value, msg=name)


def test_patience_is_not_forgotten(tmp_path):
    """A kill may come after patience ran out but before the stage is done: then the same command must not train on."""
    how = {"optim": {"lr": 0.0}, "steps": 60, "eval_every_steps": 3, "patience": 2}
    result, lines = train(tmp_path, **how)
    assert lines[-1]["step"] == 9  # the first was the best
    again, same = train(tmp_path, **how)
    assert same == lines
    assert again == result


def test_nothing_to_do_gives_the_same_figures(tmp_path, capfd):
    result, lines = train(tmp_path)
    said = capfd.readouterr().err.splitlines()[-1]
    again, _ = train(tmp_path)
    assert again == result
    assert again["loss"] == lines[-1]["loss"]
    assert capfd.readouterr().err.splitlines()[-1] == said
    assert "nan" not in said


def test_no_loss_is_shown_before_there_is_one(tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(console, "PLAIN_EVERY_SECONDS", 0.0)
    train(tmp_path, steps=4, eval_every_steps=3)
    said = [line for line in capfd.readouterr().err.splitlines() if line.startswith("sft ")]
    assert ["valid" in line for line in said] == [False, False, True, True]
    assert not any("inf" in line for line in said)


def test_a_wish_to_stop_at_a_validation_keeps_its_loss(tmp_path):
    """The checkpoint of that step is written once, and `best` names a whole one at every moment."""

    def sample(model):
        if not asked:
            signal.raise_signal(signal.SIGTERM)
        asked.append(1)
        return []

    asked = []
    with pytest.raises(Stopped) as stopped:
        train(tmp_path, samples=["one"], sample=sample)
    assert stopped.value.code == 143
    folder = tmp_path / "sft" / "checkpoints" / "step-000010"
    assert checkpoint.check(folder)["valid_loss"] is not None
    assert checkpoint.pointed(tmp_path / "sft", "best") == folder
    whole, _ = train(tmp_path / "whole", samples=["one"], sample=lambda model: [])
    assert train(tmp_path, samples=["one"], sample=sample)[0] == whole


def test_a_wish_to_stop_at_the_last_validation_is_heard(tmp_path):
    """Otherwise `run` would go on with the stages that follow."""

    def sample(model):
        asked.append(1)
        if len(asked) == 3:
            signal.raise_signal(signal.SIGTERM)
        return []

    asked = []
    with pytest.raises(Stopped) as stopped:
        train(tmp_path, samples=["one"], sample=sample)
    assert stopped.value.code == 143
    whole, _ = train(tmp_path / "whole", samples=["one"], sample=lambda model: [])
    assert train(tmp_path, samples=["one"], sample=sample)[0] == whole


def test_a_model_that_is_lost_at_a_validation_is_not_saved(tmp_path):
    sampled = []
    with pytest.raises(MinitronError, match="the loss is no longer a number at step 1"):
        train(
            tmp_path,
            optim={"name": "adamw", "lr": 1e38, "warmup_steps": 0},
            eval_every_steps=1,
            samples=["one"],
            sample=sampled.append,
        )
    assert not sampled
    assert not list((tmp_path / "sft" / "checkpoints").glob("step-*"))


def test_a_lost_best_checkpoint_is_replaced_by_the_next_best(tmp_path, capfd):
    how = {"optim": {"lr": 0.0}, "steps": 20, "eval_every_steps": 5, "keep_checkpoints": 9}  # lr 0: it gets no better
    _, lines = train(tmp_path, **how)
    best = checkpoint.pointed(tmp_path / "sft", "best")
    assert best.name != "step-000020"
    shutil.rmtree(best)
    result, _ = train(tmp_path, **how)
    left = {
        line["step"]: line["valid_loss"]
        for line in lines
        if "valid_loss" in line and line["step"] != int(best.name[5:])
    }
    second = min(left, key=left.get)
    assert f"the best of those that are left is {best.with_name(f'step-{second:06d}')}" in capfd.readouterr().err
    assert checkpoint.pointed(tmp_path / "sft", "best").name == f"step-{second:06d}"
    assert result["best_valid_loss"] == left[second]


def test_what_failed_leaves_no_log_open(tmp_path):
    def sample(model):
        raise MinitronError("no")

    with pytest.raises(MinitronError, match="no"):
        train(tmp_path, samples=["one"], sample=sample)
    gc.collect()
    assert not [w for w in open_files() if w.startswith(str(tmp_path / "sft" / "metrics"))]


def open_files() -> list[str]:
    return [
        os.readlink(f"/proc/self/fd/{fd}")
        for fd in os.listdir("/proc/self/fd")
        if os.path.exists(f"/proc/self/fd/{fd}")
    ]


HOSTILE = {
    "a list": [],
    "no optimizer": {"state": {"step": 20}},
    "an unknown key": {"optimizer": [], "state": {"step": 20, "wings": 2}},
    "a negative step": {"optimizer": [], "state": {"step": -1}},
    "a text for a step": {"optimizer": [], "state": {"step": "20"}},
    "a list for a state": {"optimizer": [], "state": []},
}


@pytest.mark.parametrize("what", [*HOSTILE, "a pickle", "nothing"])
def test_a_trainer_file_that_is_none_is_passed_over(tmp_path, capfd, what):
    """Even with the right hashes beside it; training goes on from the checkpoint before."""
    train(tmp_path)
    folder = tmp_path / "sft" / "checkpoints" / "step-000030"
    if what in HOSTILE:
        torch.save(HOSTILE[what], folder / "trainer.pt")
    else:
        (folder / "trainer.pt").write_bytes(pickle.dumps(Bomb()) if what == "a pickle" else b"")
    about = json.loads((folder / "model.json").read_text())
    about["sha256"]["trainer.pt"] = sha256_file(folder / "trainer.pt")
    (folder / "model.json").write_text(json.dumps(about))
    assert checkpoint.newest_whole(tmp_path / "sft", state=State).name == "step-000020"
    assert "trainer.pt holds nothing to go on from; going on from the one before" in capfd.readouterr().err
    assert not Path("bomb").exists()


class Bomb:
    def __reduce__(self):
        return (os.system, ("touch bomb",))


@pytest.mark.parametrize(
    "about", [[], None, 1, {}, {"model": [], "sha256": {}, "step": 1}, {"model": {}, "sha256": [], "step": 1}]
)
def test_a_model_file_that_is_none_is_a_broken_checkpoint(tmp_path, about):
    folder = tmp_path / "checkpoints" / "step-000001"
    folder.mkdir(parents=True)
    (folder / "model.json").write_text(json.dumps(about))
    with pytest.raises(MinitronError, match=r"model.json is damaged"):
        checkpoint.check(folder)
    assert checkpoint.newest_whole(tmp_path) is None


@pytest.mark.parametrize("name", ["../../secret", "/etc/passwd", "other.bin"])
def test_names_in_a_model_file_stay_in_its_folder(tmp_path, name):
    folder = tmp_path / "checkpoints" / "step-000001"
    folder.mkdir(parents=True)
    (tmp_path / "secret").write_text("abc")
    about = {"model": {}, "step": 1, "sha256": {name: sha256_file(tmp_path / "secret")}}
    (folder / "model.json").write_text(json.dumps(about))
    with pytest.raises(MinitronError, match=r"model.json is damaged"):
        checkpoint.check(folder)


def test_weights_that_are_whole_numbers_are_refused(tmp_path):
    train(tmp_path)
    folder = tmp_path / "sft" / "checkpoints" / "step-000030"
    tensors = {name: tensor.to(torch.int8) for name, tensor in load_file(folder / "model.safetensors").items()}
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(MinitronError, match="holds no weights to train"):
        checkpoint.load_weights(LanguageModel(tiny_shape(), VOCAB), folder)


def test_steps_are_in_the_order_of_numbers(tmp_path):
    for step in (999_999, 1_000_000, 1_000_001, 5):
        (tmp_path / "checkpoints" / f"step-{step:06d}").mkdir(parents=True)
    (tmp_path / "checkpoints" / "step-last").mkdir()
    assert [int(folder.name[5:]) for folder in checkpoint.steps(tmp_path)] == [5, 999_999, 1_000_000, 1_000_001]
    (tmp_path / "best").write_text("step-000005\n")
    checkpoint.prune(tmp_path, keep=1)
    assert [folder.name for folder in checkpoint.steps(tmp_path)] == ["step-000005", "step-1000001"]


def test_an_epochs_order_is_made_once(monkeypatch):
    made = []
    real = np.random.default_rng
    monkeypatch.setattr(np.random, "default_rng", lambda seed: made.append(seed) or real(seed))
    row_order.cache_clear()
    read = np.concatenate([rows_of_step(step, rows=10, per_step=4, seed=7) for step in range(10)])
    assert made == [(7, epoch) for epoch in range(4)]
    want = np.concatenate([real((7, epoch)).permutation(10) for epoch in range(4)])
    assert read.tolist() == want.tolist()


@pytest.mark.parametrize("end", ["", "\x00\x00\x00", '{"step": 3, "lo', "[3]\n", '{"loss": 1.0}\n'])
def test_metrics_are_split_at_newlines_only(tmp_path, end):
    """Samples may hold characters at which splitlines would break; reading ends where a crash garbled the file."""
    rows = [{"step": 1, "samples": ["a\u2028b\u2029c\u0085d\x0be\x1cf\rg"]}, {"step": 2}]
    path = tmp_path / "metrics.jsonl"
    with MetricsLog(path) as log:
        for row in rows:
            log.write(row)
    with path.open("a", newline="") as file:
        file.write(end)
    assert metrics.read(path) == rows
    with MetricsLog(path, from_step=2) as log:
        log.write({"step": 3})
    assert metrics.read(path) == [*rows, {"step": 3}]
