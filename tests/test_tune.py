"""A model that was rounded to q4 is trained to say what it said before."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from minitron.data.packing import PackedRows, Sequence, pack
from minitron.quant import arithmetic, panels
from minitron.train import tune


@pytest.fixture
def teacher(tiny_model):
    with torch.no_grad():
        for weight in tiny_model.parameters():
            if weight.ndim == 2:
                weight.mul_(5)  # fresh weights say hardly anything
    return tiny_model


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    return packed(tmp_path_factory.mktemp("rows") / "packed", count=160)


def packed(folder, *, count: int) -> PackedRows:
    """Rows of 64 tokens with random ids, which no model was trained on."""
    texts = np.random.default_rng(1).integers(300, size=(count, 60))
    pack([Sequence(ids.tolist(), [True] * 60) for ids in texts], context=64, vocab_size=320, out=folder)
    return PackedRows(folder)


def rounded(teacher, rows):
    """The tuned model, its q4 matrices before tuning, and those after."""
    model, matrices = copy.deepcopy(teacher), arithmetic.shrink(copy.deepcopy(teacher), "q4")
    return model, matrices, tune.tuned(model, matrices, rows, seed=1)


def far(teacher, model, rows) -> float:
    program = copy.deepcopy(model)
    arithmetic.round_activations(program, "q4")
    return tune.mean_divergence(teacher, program, [rows.batch(range(40))])


def same(matrix: panels.Matrix, other: panels.Matrix) -> bool:
    return np.array_equal(matrix.pack(), other.pack())


def test_it_comes_nearer_to_what_the_model_said(teacher, rows, tmp_path):
    model, matrices, found = rounded(teacher, rows)
    plain = copy.deepcopy(teacher)
    arithmetic.shrink(plain, "q4")
    unseen = packed(tmp_path / "unseen", count=240)
    assert far(teacher, model, unseen) < 0.9 * far(teacher, plain, unseen)


def test_what_is_stored_is_what_the_model_computes_with(teacher, rows):
    model, matrices, found = rounded(teacher, rows)
    assert found.keys() == matrices.keys()
    for name, parameter in model.named_parameters():
        if name in found:
            assert np.array_equal(parameter.detach().numpy(), found[name].values())
            assert len(found[name].pack()) == len(matrices[name].pack())
            assert same(found[name], matrices[name]) == (name == model.position_table)


def test_it_gives_the_same_each_time(teacher, rows):
    (first, _, one), (second, _, two) = rounded(teacher, rows), rounded(teacher, rows)
    assert all(same(one[name], two[name]) for name in one)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_what_came_out_worse_is_not_kept(teacher, rows, monkeypatch, capsys):
    monkeypatch.setattr(tune, "MATRIX_RATE", 10.0)
    model, matrices, found = rounded(teacher, rows)
    assert "which is not kept" in capsys.readouterr().err
    assert all(same(found[name], matrices[name]) for name in matrices)
    plain = copy.deepcopy(teacher)
    arithmetic.shrink(plain, "q4")
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), plain.parameters(), strict=True))


def test_few_rows_and_large_models_leave_it_as_it_was(teacher, tmp_path, capsys):
    _, matrices, found = rounded(teacher, packed(tmp_path / "few", count=7))
    assert "q4: not tuned" in capsys.readouterr().err
    assert all(same(found[name], matrices[name]) for name in matrices)
    steps, _ = tune.drawn(packed(tmp_path / "rows", count=160), params=10**12, seed=1)
    assert steps == []


def test_rows_set_aside_are_not_trained_on(rows):
    steps, aside = tune.drawn(rows, params=1, seed=1)
    assert 0 < len(steps) <= tune.MOST_STEPS
    trained = {row.numpy().tobytes() for parts in steps for batch in parts for row in batch.ids}
    apart = {row.numpy().tobytes() for batch in aside for row in batch.ids}
    assert len(apart) == len(rows) // 8
    assert not trained & apart


def test_the_loss_counts_the_model_before_rounding_the_text_and_the_hidden_states(teacher, rows):
    """Compared with torch's own losses, on two parts of a step."""
    student = copy.deepcopy(teacher)
    arithmetic.shrink(student, "q4")
    parts = [rows.batch(range(3)), rows.batch(range(3, 8))]
    targets = sum(batch.count for batch in parts)
    found = sum(tune.loss(teacher, student, batch, targets)[1] for batch in parts)
    want = 0.0
    for batch in parts:
        seen, got, target, logits = tune.compared(teacher, student, batch)
        kl = nn.functional.kl_div((logits / 2).log_softmax(-1), (target / 2).softmax(-1), reduction="sum")
        text = nn.functional.cross_entropy(logits, batch.targets[: batch.count], reduction="sum")
        apart = nn.functional.mse_loss(got, seen) / seen.square().mean()
        want += ((4 * kl + 0.25 * text + 0.3 * batch.count * apart) / targets).item()
    assert found == pytest.approx(want, rel=1e-4)


def test_gradients_pass_straight_through_the_rounding():
    """Compared with sums written out: as long as its code stays the same, a stored weight is its scale times a constant."""
    draw = np.random.default_rng(1)
    exact, gradient = (draw.normal(size=(5, 40)).astype(np.float32) for _ in range(2))
    stored = panels.nearest(exact, "q4")
    weight = nn.Parameter(torch.from_numpy(exact.copy()))
    latent = tune.Latent(weight, stored)
    assert np.array_equal(latent.values.numpy(), exact)
    assert np.array_equal(weight.detach().numpy(), stored.values())
    weight.grad = torch.from_numpy(gradient)
    latent.pass_on()
    assert np.array_equal(latent.values.grad.numpy(), gradient)
    for row in range(5):
        for group in range(2):
            columns = range(32 * group, min(32 * group + 32, 40))
            want = sum(gradient[row, c] * panels.Q4_CODEBOOK[stored.codes[row, c]] for c in columns)
            assert latent.scales.grad[row, group].item() == pytest.approx(want, rel=1e-4, abs=1e-3)


def test_a_weight_moves_to_the_next_code_when_it_has_moved_far_enough():
    stored = panels.nearest(np.random.default_rng(1).normal(size=(16, 32)).astype(np.float32), "q4")
    latent = tune.Latent(nn.Parameter(torch.from_numpy(stored.values())), stored)
    code = int(stored.codes[3, 5])
    up = code + 1 if code < 15 else code - 1
    middle = (panels.Q4_CODEBOOK[code] + panels.Q4_CODEBOOK[up]) / 2 * float(stored.scales[3, 0])
    start = float(latent.values[3, 5])
    for share, want in ((0.98, code), (1.02, up)):
        latent.values[3, 5] = start + share * (middle - start)
        latent.round()
        assert latent.stored.codes[3, 5] == want
