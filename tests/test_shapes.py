"""Shapes: what a recipe may ask of each, and the contract that sampling, packing and alignment rely on."""

import pytest
import torch
from conftest import tiny_shape

from minitron.core.errors import MinitronError
from minitron.model.language_model import LanguageModel, trunk_type
from minitron.model.state import Span
from minitron.recipe.kinds import SHAPES
from minitron.recipe.load import load_recipe


@pytest.fixture(params=["llama", "grouped", "nanogpt", "biased", "stream"])
def model(request) -> LanguageModel:
    changes = {
        "grouped": {"n_heads": 4, "n_kv_heads": 2, "qk_norm": True},
        "biased": {"bias": True},
        "stream": {"n_layers": 4},
    }
    arch = {"grouped": "llama", "biased": "nanogpt"}.get(request.param, request.param)
    torch.manual_seed(1)
    return LanguageModel(tiny_shape(arch, **changes.get(request.param, {})), 100).eval()


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("arch=nanogpt model.n_kv_heads=1", "model.n_kv_heads is for llama and stream; nanogpt does not have it"),
        ("arch=nanogpt model.qk_norm=true", "model.qk_norm is for llama; nanogpt does not have it"),
        ("arch=nanogpt model.rope_theta=500.0", "model.rope_theta is for llama and stream; nanogpt does not have it"),
        ("arch=llama model.bias=true", "model.bias is for nanogpt; llama does not have it"),
        (
            "d_model=36 model.n_heads=4",
            "the width of a head (model.d_model / model.n_heads) must be even: RoPE turns pairs",
        ),
        ("n_heads=3", "model.d_model 32 is no multiple of model.n_heads 3"),
        ("n_heads=4 model.n_kv_heads=3", "model.n_heads 4 is no multiple of model.n_kv_heads 3"),
    ],
)
def test_what_a_shape_does_not_have_is_refused(tiny_run, override, told):
    with pytest.raises(MinitronError) as failure:
        load_recipe(tiny_run, f"model.{override}".split())
    assert str(failure.value).endswith(told)
    assert failure.value.code == 2


@pytest.mark.parametrize(
    "override", ["arch=nanogpt model.n_kv_heads=2", "arch=nanogpt model.d_model=36 model.n_heads=4"]
)
def test_what_it_has_is_not(tiny_run, override):
    assert load_recipe(tiny_run, f"model.{override}".split()).model.arch == "nanogpt"


@pytest.mark.parametrize("name", SHAPES)
def test_the_list_names_shapes(name):
    assert issubclass(trunk_type(name), torch.nn.Module)
    assert set(SHAPES[name].options) <= set(vars(tiny_shape()))


def test_a_row_that_is_named_twice_is_forked(model):
    """Prompts of different lengths side by side: one of them goes on in two ways, and another ends."""
    prompts = [[5, 6, 7], [8, 9, 10, 11, 12], [13]]
    state = model.new_state(3, 20)
    first = model.prefill(prompts, state)
    for hidden, prompt in zip(first, prompts, strict=True):
        torch.testing.assert_close(hidden, model.hidden(torch.tensor([prompt]))[0, -1], rtol=1e-4, atol=1e-5)
    state.select(torch.tensor([2, 0, 0]))
    hidden = model.step(torch.tensor([20, 21, 22]), state)
    for row, text in zip(hidden, ([13, 20], [5, 6, 7, 21], [5, 6, 7, 22]), strict=True):
        torch.testing.assert_close(row, model.hidden(torch.tensor([text]))[0, -1], rtol=1e-4, atol=1e-5)
    hidden = model.step(torch.tensor([30, 31, 32]), state)
    for row, text in zip(hidden, ([13, 20, 30], [5, 6, 7, 21, 31], [5, 6, 7, 22, 32]), strict=True):
        torch.testing.assert_close(row, model.hidden(torch.tensor([text]))[0, -1], rtol=1e-4, atol=1e-5)


def test_segments_go_on_from_their_parent(model):
    prompt, answers, other = [5, 6, 7], [[8, 9], [10, 11, 12]], [20, 21, 22, 23]
    flat = prompt + answers[0] + answers[1] + other
    positions = [*range(5), 3, 4, 5, *range(4)]
    spans = [Span(5), Span(3, parent=0, prefix_len=3), Span(4)]
    hidden = model.hidden(torch.tensor([flat]), positions=torch.tensor([positions]), spans=spans)[0]
    for part, text, count in ((hidden[:5], flat[:5], 5), (hidden[5:8], prompt + answers[1], 3), (hidden[8:], other, 4)):
        alone = model.hidden(torch.tensor([text]))[0, -count:]
        torch.testing.assert_close(part, alone, rtol=1e-4, atol=1e-5)


def test_a_state_is_as_large_as_it_says(model):
    state, config = model.new_state(3, 20), model.config
    if config.arch == "stream":
        pytest.skip("test_stream.py has its state")
    slot = 2 * config.n_layers * config.n_kv_heads * (config.d_model // config.n_heads)
    assert state.nbytes == 4 * 3 * 20 * slot
    with torch.device("meta"):
        assert LanguageModel(config, 100).new_state(3, 20).nbytes == state.nbytes


def test_every_weight_is_of_one_part(model):
    parts = model.trunk.parts()
    counted = [id(weight) for weights in parts.values() for weight in weights]
    assert sorted(counted) == sorted(map(id, model.parameters()))
    assert (
        sum(w.numel() for w in model.parameters()) - sum(w.numel() for w in parts["positions"]) == model.count_params()
    )
