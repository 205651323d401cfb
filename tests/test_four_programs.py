"""The same model answers alike in torch, transformers, llama.cpp and the chat program (docs/interop.md)."""

import pytest
import torch
from conftest import run_to, tiny_shape
from four_programs import compare

from minitron.model.language_model import LanguageModel
from minitron.recipe.load import load_recipe
from minitron.tokenizer import kinds
from minitron.train import checkpoint

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # starts all four
pytest.importorskip("transformers")
pytest.importorskip("xllamacpp")

COUNT = 40  # texts; benchmarks/four_programs.py takes 200
SHAPES = {
    "llama": {"n_heads": 4, "n_kv_heads": 2, "rope_theta": 500.0},
    "nanogpt": {"arch": "nanogpt", "bias": True},
}


def random_model(vocab_size: int, **shape) -> LanguageModel:
    """A model with weights so large that attention is far from uniform and few choices are close."""
    torch.manual_seed(1)
    made = LanguageModel(tiny_shape(context=128, **shape), vocab_size).eval()
    with torch.no_grad():
        for weight in made.parameters():
            weight += torch.randn_like(weight) * 0.1
    return made


def assert_agree(found, same: float) -> None:
    assert found.texts == found.prompts == COUNT
    assert found.f32 <= 1e-4
    assert max(found.f16.values()) <= 0.03, found.f16
    assert found.rounded["transformers"] <= 1e-4
    assert found.rounded["minitron-chat"] <= 1e-3
    assert found.parted <= 0.03  # only at choices that fp16 cannot tell apart
    assert found.same >= same * COUNT, found.differ


@pytest.mark.parametrize("arch", SHAPES)
def test_random_weights(tmp_path, tiny_tokenizer, program, arch):
    made = random_model(tiny_tokenizer.vocab_size, **SHAPES[arch])
    found = compare(made, tiny_tokenizer, program=program, folder=tmp_path, count=COUNT, answer=24)
    assert_agree(found, same=0.9)


def test_trained_weights(tiny_run, tmp_path, program):
    run_to("sft")
    recipe = load_recipe("tiny.toml")
    made, _ = checkpoint.load_model(recipe.layout.last_trained[1])
    tokenizer = kinds.load(recipe.layout.tokenizer)
    found = compare(made.eval(), tokenizer, program=program, folder=tmp_path / "same", count=COUNT, answer=24)
    assert_agree(found, same=0.95)  # of 40: one tie is 2.5%; the benchmark asks 200 and wants 98%
