"""What a run finds out about its machine: alternatives are timed in turns; the choice is kept, and not changed later."""

import json
import time
from functools import partial

import pytest
import torch
from test_trainer import train

from minitron.train.choices import Choices
from minitron.train.precision import ROUNDS, choose_precision, fastest

CPU = torch.device("cpu")


def test_they_take_turns_and_the_least_counts():
    calls = []

    def trial(name: str, seconds: float) -> None:
        calls.append(name)
        hiccup = 0.2 if calls.count(name) == 2 else 0.0  # as if another program took the core
        time.sleep(seconds + hiccup)

    found = fastest({"slow": partial(trial, "slow", 0.08), "fast": partial(trial, "fast", 0.01)}, what="a try")
    assert found.name == "fast"
    assert calls == ["slow", "fast"] * (ROUNDS + 1)  # a warm-up, and then the rounds
    assert found.seconds["fast"] < 0.08 <= found.seconds["slow"] < 0.28
    assert found.why.startswith("measured here: slow ")
    assert found.why.endswith(" ms a try")


def test_what_the_recipe_says_is_not_measured():
    def never(precision: str) -> None:
        raise AssertionError

    for name in ("fp32", "bf16", "fp16"):
        assert choose_precision(name, CPU, never, what="a try").name == name
    assert choose_precision("auto", torch.device("mps"), never, what="a try").name == "fp32"


def test_the_faster_one_is_chosen():
    """If timing a product of matrices does not decide, the trial does."""
    seconds = {"fp32": 0.03, "bf16": 0.01}
    found = choose_precision("auto", CPU, lambda name: time.sleep(seconds[name]), what="a try")
    assert found.name == ("bf16" if "a try" in found.why else "fp32")  # fp32 alone: this machine emulates bf16


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_run_keeps_what_it_found(tmp_path, capsys, precision):
    train(tmp_path, optim={"name": "muon", "precision": "auto"}, steps=2)
    path = tmp_path / "sft" / "report.json"
    kept = json.loads(path.read_text())
    assert kept["processor"]
    assert kept["choices"].keys() == {"precision", "products", "compile"}
    for name in ("precision", "products"):
        kept["choices"][name]["name"] = precision
    kept["choices"]["compile"]["name"] = "on"  # as on a GPU, where it began
    path.write_text(json.dumps(kept))
    for folder in (tmp_path / "sft" / "checkpoints").iterdir():  # killed before its first checkpoint
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()
    capsys.readouterr()
    torch._dynamo.utils.counters.clear()
    result, _ = train(tmp_path, optim={"name": "muon", "precision": "auto"}, steps=2)
    assert not torch._dynamo.utils.counters["stats"]  # nothing was compiled on a CPU
    assert result["precision"] == precision
    assert "measured" not in capsys.readouterr().err


@pytest.mark.parametrize("text", ["", "{}", '{"choices": {"precision": 3}}', '{"choices": [1]}'])
def test_a_report_that_cannot_be_read_is_measured_again(tmp_path, text):
    path = tmp_path / "report.json"
    assert Choices.read(path) is None
    path.write_text(text)
    assert Choices.read(path) is None
