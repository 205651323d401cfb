"""Optimizers, schedule, and gradients that do not depend on how a step is divided."""

import math
import threading
import time

import pytest
import torch
from conftest import tiny_shape

from minitron.core import parallel
from minitron.data.packing import collate
from minitron.model.language_model import LanguageModel
from minitron.recipe.training import OptimConfig
from minitron.train.optimizer import make_optimizer
from minitron.train.order import rows_of_step
from minitron.train.passes import accumulate, summed_loss
from minitron.train.schedule import learning_rate

CPU = torch.device("cpu")


def batches(count: int, vocab: int = 100) -> list:
    chance = torch.Generator().manual_seed(1)
    made = []
    for _ in range(count):
        ids = torch.randint(5, vocab, (40,), generator=chance).numpy()
        mask = (torch.rand(40, generator=chance) < 0.5).numpy()
        made.append([(ids, mask)])
    return made


@pytest.fixture(params=["llama", "nanogpt"])
def model(request) -> LanguageModel:
    torch.manual_seed(0)
    return LanguageModel(tiny_shape(request.param, n_layers=3), 100)


def gradients(model: LanguageModel, rows: list, parts: int) -> dict[str, torch.Tensor]:
    model.zero_grad(set_to_none=True)
    pieces = [collate(rows[i::parts], context=64) for i in range(parts)]
    accumulate(model, [lambda b=b: (summed_loss(model, b), None) for b in pieces])
    return {name: p.grad.clone() for name, p in model.named_parameters()}


def test_gradients_do_not_depend_on_the_division(model):
    rows = batches(6)
    whole = gradients(model, rows, 1)
    for parts in (2, 3, 6):
        for name, gradient in gradients(model, rows, parts).items():
            torch.testing.assert_close(gradient, whole[name], rtol=1e-4, atol=1e-4)
    again, once = gradients(model, rows, 6), gradients(model, rows, 6)
    assert all(torch.equal(again[name], once[name]) for name in once)  # whichever thread was first


# slow: hundreds of steps
@pytest.mark.slow
@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_overfits_one_batch(model, name):
    optimizer = make_optimizer(model, OptimConfig(name=name, weight_decay=0.0))
    batch = collate(batches(2), context=64)
    for _ in range(300):
        ((loss, _),) = accumulate(model, [lambda: (summed_loss(model, batch) / batch.count, None)])
        if loss < 0.01:
            return
        optimizer.step(5e-3)
    pytest.fail(f"loss is still {loss}")


def test_muon_takes_the_blocks_matrices_and_adamw_the_rest(model):
    adamw, muon = make_optimizer(model, OptimConfig(name="muon")).parts
    names = {id(p): n for n, p in model.named_parameters()}
    by_muon = {names[id(p)] for group in muon.param_groups for p in group["params"]}
    by_adamw = {names[id(p)] for group in adamw.param_groups for p in group["params"]}
    assert by_muon | by_adamw == set(names.values())
    assert not by_muon & by_adamw
    assert all(".0." in n or ".1." in n or ".2." in n for n in by_muon)
    assert any("embed" in n or "wte" in n for n in by_adamw)
    decay = {names[id(p)]: group["weight_decay"] for group in adamw.param_groups for p in group["params"]}
    assert {decay[n] for n in by_adamw if "norm" in n or "ln_" in n} == {0.0}


def test_adamw_is_torchs():
    weight = torch.nn.Parameter(torch.tensor([[1.0, -2.0]]))
    holder = torch.nn.Module()
    holder.weight = weight
    weight.grad = torch.tensor([[0.5, 0.25]])
    make_optimizer(holder, OptimConfig(weight_decay=0.1)).step(0.01)
    # first step: the update is lr * sign(gradient), after decay by 1 - lr * wd
    torch.testing.assert_close(weight.detach(), torch.tensor([[1 * 0.999 - 0.01, -2 * 0.999 - 0.01]]))
    assert weight.grad is None


def test_the_schedule():
    config = OptimConfig(lr=1.0, min_lr=0.1, warmup_steps=10)
    lr = [learning_rate(step, steps=111, config=config) for step in range(111)]
    assert lr[:10] == pytest.approx([0.1 * i for i in range(1, 11)])
    assert lr[10] == pytest.approx(1.0)
    assert lr[60] == pytest.approx(0.55)
    assert lr[35] == pytest.approx(0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi / 4)))
    assert lr[110] == pytest.approx(0.1)


def test_every_epoch_reads_every_row_once():
    rows, per_step = 23, 5
    read = [int(r) for step in range(23) for r in rows_of_step(step, rows=rows, per_step=per_step, seed=9)]
    for epoch in range(5):
        assert sorted(read[epoch * rows : (epoch + 1) * rows]) == list(range(rows))
    assert read[:rows] != read[rows : 2 * rows]
    assert rows_of_step(0, rows=3, per_step=10, seed=1).shape == (10,)  # a step longer than an epoch


def test_each_keeps_the_order_and_the_failure():
    assert parallel.parallel_map(lambda x: x * x, range(50), device=CPU) == [x * x for x in range(50)]

    def work(x):
        if x == 7:
            raise ValueError("seven")

    with pytest.raises(ValueError, match="seven"):
        parallel.parallel_map(work, range(20), device=CPU)


def test_each_keeps_its_threads_and_may_be_nested():
    def here(_) -> int:
        time.sleep(0.01)
        return threading.get_ident()

    first, again = ({*parallel.parallel_map(here, range(8), device=CPU)} for _ in "12")
    assert again <= first or parallel.cores() == 1
    inner = parallel.parallel_map(
        lambda x: parallel.parallel_map(lambda y: x * y, range(3), device=CPU), range(9), device=CPU
    )
    assert inner == [[0, x, 2 * x] for x in range(9)]
