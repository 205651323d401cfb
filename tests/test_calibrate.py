"""Calibration: second moments of the inputs that a model's matrices meet on training rows, and q4 bundles rounded with them."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY_RECIPE, run_to, write_dialogues

from minitron.quant import arithmetic, panels
from minitron.recipe.load import load_recipe
from minitron.stages import export
from minitron.train import calibrate, checkpoint

FIRST = "model.layers.0.self_attn.q_proj.weight"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder in which the tiny recipe was run up to sft."""
    folder = tmp_path_factory.mktemp("trained")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_dialogues(folder / "dialogues.jsonl")
        (folder / "tiny.toml").write_text(TINY_RECIPE.partition("[reject]")[0])
        run_to("sft", "sft.steps=6")
    return folder


@pytest.fixture
def config(trained, monkeypatch):
    monkeypatch.chdir(trained)
    return load_recipe(Path("tiny.toml"))


def load(config):
    return checkpoint.load_model(checkpoint.finished(config.layout.stage("sft"), "sft"))[0]


def weights(config, folder) -> bytes:
    export.write(config, out=folder, dtype="q4")
    return (folder / "weights.bin").read_bytes()


def test_moments_are_of_what_a_matrix_multiplies(config):
    model, rows = load(config), calibrate.training_rows(config)
    found = calibrate.second_moments(model, calibrate.batches(rows, seed=3))
    matrices = {name for name, p in model.named_parameters() if p.ndim == 2}
    assert found.keys() == matrices - {"model.embed_tokens.weight"}
    want = 0.0
    with torch.no_grad():
        for batch in calibrate.batches(rows, seed=3):
            read = model.blocks[0].input_layernorm(model.embedding[batch.ids])
            x = arithmetic.rounded(read).flatten(0, 1).double()
            want += (x.T @ x).numpy()
    np.testing.assert_allclose(found[FIRST], want, rtol=1e-4, atol=1e-3)


def test_every_answer_token_counts_once_before_the_head(config):
    """A batch's targets are padded to a round number; the padding must not count."""
    rows = calibrate.training_rows(config)
    model = load(config)
    targets = sum(batch.count for batch in calibrate.batches(rows, seed=3))
    with torch.no_grad():  # a norm gives inputs whose squares have the mean 1
        model.blocks[-1].post_attention_layernorm.weight.fill_(1.0)
    found = calibrate.second_moments(model, calibrate.batches(rows, seed=3))
    assert np.trace(found["model.layers.1.mlp.gate_proj.weight"]) == pytest.approx(targets * 32, rel=0.01)


def test_a_bundle_is_the_same_each_time_and_no_larger(config, tmp_path, capsys):
    made = weights(config, tmp_path / "a")
    rows = calibrate.training_rows(config)
    said = " ".join(capsys.readouterr().err.split())
    assert f"q4: rounded by what the matrices meet in {calibrate.sample_size(rows)} training rows of 64 tokens" in said
    assert weights(config, tmp_path / "b") == made
    plain = arithmetic.shrink(load(config), "q4")
    tensors = {t["name"]: t for t in json.loads((tmp_path / "a/config.json").read_text())["tensors"]}
    for name, matrix in plain.items():
        assert tensors[name]["bytes"] == len(matrix.pack())
    q = tensors[FIRST]
    assert made[q["offset"] :][: q["bytes"]] != plain[FIRST].pack().tobytes()


def test_without_training_rows_it_takes_the_nearest_values(config, tmp_path, capsys):
    packed = config.layout.packed("sft", "train")
    packed.rename(packed.with_name("away"))
    try:
        made = weights(config, tmp_path / "a")
    finally:
        packed.with_name("away").rename(packed)
    said = " ".join(capsys.readouterr().err.split())
    assert "q4: there are no training rows to round by: every weight becomes the nearest value" in said
    for tensor in json.loads((tmp_path / "a/config.json").read_text())["tensors"]:
        if tensor["dtype"] == "q4":
            data = made[tensor["offset"] :][: tensor["bytes"]]
            stored = panels.unpack(data, "q4", tuple(tensor["shape"])).values()
            before = dict(load(config).named_parameters())[tensor["name"]].detach().numpy()
            assert np.array_equal(stored, panels.nearest(before, "q4").values())


def test_the_program_answers_as_torch_did(config, program, tmp_path):
    weights(config, tmp_path / "a")
    done = subprocess.run([program, "--model", tmp_path / "a", "selftest"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "a/config.json").read_text())["selftest"]


def test_the_number_of_threads_moves_the_last_bits_only(config):
    model, rows = load(config), calibrate.training_rows(config)
    before, found = torch.get_num_threads(), {}
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            moments = calibrate.second_moments(model, calibrate.batches(rows, seed=3))
            found[threads] = moments, arithmetic.shrink(load(config), "q4", moments)
    finally:
        torch.set_num_threads(before)
    for name, moments in found[1][0].items():
        np.testing.assert_allclose(moments, found[2][0][name], rtol=1e-4, atol=1e-5 * np.trace(moments) / len(moments))
    differ = [found[1][1][name].codes != found[2][1][name].codes for name in found[1][1]]
    assert sum(map(np.sum, differ)) <= 1e-3 * sum(map(np.size, differ))
