"""A model in fewer bits: torch must compute what the program's fixed arithmetic says."""

import base64
import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from minitron.data.packing import collate
from minitron.quant import arithmetic, panels
from minitron.train.passes import summed_loss

VECTORS = Path(__file__).parents[1] / "go_serve/internal/kernel/testdata/vectors.json"
CASES = [c for c in json.loads(VECTORS.read_text())["cases"] if c["dtype"] != "f16" and "tiny" not in str(c["note"])]


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c['dtype']} {c['note']}")
def test_a_product_is_the_programs(case):
    """torch gets the numbers that the Go kernels must reproduce, up to the order of the float sums."""
    stored = panels.unpack(base64.b64decode(case["packed"]), case["dtype"], (case["rows"], case["cols"])).values()
    x = arithmetic.rounded(torch.tensor(case["x"], dtype=torch.float32))
    got = (torch.from_numpy(stored).double() @ x.double()).numpy()
    want = np.array(case["y"], np.uint32).view(np.float32)
    size = np.abs(stored) @ np.abs(x.numpy())
    assert (np.abs(got - want) <= 2e-6 * size + 1e-30).all()


@pytest.mark.parametrize("dtype", panels.DTYPES)
def test_shrunk_weights_are_what_is_stored(tiny_model, dtype):
    model = copy.deepcopy(tiny_model)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    matrices = arithmetic.shrink(model, dtype)
    for name, parameter in model.named_parameters():
        if parameter.ndim == 2:
            assert torch.equal(parameter, torch.from_numpy(matrices[name].values()))
            assert 0 < (parameter - before[name]).abs().max() < 0.2 * before[name].abs().max()
        else:
            assert torch.equal(parameter, before[name])


def test_fewer_bits_differ_more(tiny_model):
    model, ids = tiny_model.eval(), torch.arange(1, 9)[None]
    gaps = {}
    with torch.inference_mode():
        exact = model(ids)
        for dtype in panels.DTYPES:
            gaps[dtype] = (arithmetic.as_program(model, dtype)(ids) - exact).abs().max().item()
        assert torch.equal(model(ids), exact)  # the model itself stays
    assert 0 < gaps["f16"] < gaps["q8"] < gaps["q4"]


@pytest.mark.parametrize("dtype", panels.DTYPES)
def test_the_loss_is_that_of_the_rounded_logits(tiny_model, dtype):
    """eval measures what fewer bits cost by `summed_loss`, which never makes all logits: its head must round as the program's does."""
    model = arithmetic.as_program(tiny_model, dtype)
    ids = torch.randint(tiny_model.vocab_size, (40,), generator=torch.Generator().manual_seed(1))
    batch = collate([[(ids.numpy(), np.ones(40, bool))]], context=64)
    with torch.inference_mode():
        logits = model(ids[None, :-1])[0]
        want = torch.nn.functional.cross_entropy(logits, ids[1:], reduction="sum")
        assert summed_loss(model, batch).item() == pytest.approx(want.item(), rel=1e-6)
        exact = summed_loss(tiny_model, batch).item()
    assert summed_loss(model, batch).item() != pytest.approx(exact, rel=1e-7)
