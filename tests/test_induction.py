"""A `llama` that begins with an induction head: where its first two heads look, what is refused, and that it soon learns to copy."""

from dataclasses import replace

import pytest
import torch
from recall import recalled
from torch.nn import functional as F

from minitron.core.errors import MinitronError
from minitron.model.language_model import LanguageModel
from minitron.model.rope import rope_at, rotate
from minitron.recipe import shapes
from minitron.recipe.load import load_recipe
from minitron.recipe.training import ModelConfig
from minitron.train import fresh, induction

VOCAB = 500
SHAPES = {
    "the demo's": {"n_heads": 2, "d_model": 128, "d_ff": 352},
    "with shared keys": {"n_heads": 4, "n_kv_heads": 2, "d_model": 256, "d_ff": 512},
    "wide": {"n_heads": 12, "d_model": 768, "d_ff": 512},
    "narrow heads": {"n_heads": 4, "d_model": 128, "d_ff": 256},
    "one head": {"n_heads": 1, "d_model": 64, "d_ff": 128},
}


def begun(**shape) -> LanguageModel:
    """A fresh model with embeddings of the right length, as `fresh_model` makes it from a tokenizer."""
    torch.manual_seed(1)
    model = LanguageModel(shapes.resolved(ModelConfig(arch="llama", n_layers=2, context=128, **shape)), VOCAB)
    with torch.no_grad():
        model.embedding.normal_(std=fresh.LENGTH / model.config.d_model**0.5)
    fresh.keys_as_queries(model)
    induction.as_induction_head(model)
    return model


@torch.no_grad()
def looks(model: LanguageModel, ids: torch.Tensor, layer: int) -> torch.Tensor:
    """Weights of attention (T, T) of the first head of a layer, written out."""
    read = []
    attention = model.trunk.layers[layer].self_attn
    hook = attention.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0]))
    model.hidden(ids[None])
    hook.remove()
    size = model.config.head_size
    turn = [table[None, :, None] for table in rope_at(torch.arange(len(ids)), model.config)]
    query, key = (
        rotate(F.linear(read[0], weight[:size])[:, :, None], *turn)[0, :, 0]
        for weight in (attention.q_proj.weight, attention.k_proj.weight)
    )
    scores = query @ key.T / size**0.5
    return scores.masked_fill(torch.ones(len(ids), len(ids)).triu(1).bool(), float("-inf")).softmax(1)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_the_first_head_looks_at_the_token_before(shape):
    model = begun(**shape)
    ids = torch.randperm(VOCAB)[:120]
    assert looks(model, ids, 0).diagonal(-1).mean() > 0.8


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_the_second_head_looks_at_what_came_after_the_same_token(shape):
    model = begun(**shape)
    found = []
    for distance in (8, 20, 40, 80):
        for _ in range(5):
            ids = torch.randperm(VOCAB)[:100]
            ids[99] = ids[99 - distance]
            found.append(looks(model, ids, 1)[99, 99 - distance + 1].item())
    assert sum(found) / len(found) > 0.1  # evenly spread it would be 0.01


def test_what_all_embeddings_share_favours_no_token():
    torch.manual_seed(1)
    model = begun(**SHAPES["the demo's"])
    hidden = torch.randn(5, 128)
    shared = model.embedding.detach().mean(0)
    assert shared.norm() == pytest.approx(fresh.LENGTH, rel=0.05)
    with torch.no_grad():
        before = F.linear(hidden, model.embedding - shared).softmax(1)
        torch.testing.assert_close(F.linear(hidden, model.embedding).softmax(1), before)


@pytest.mark.parametrize(
    "settings",
    [["model.arch=nanogpt"], ["model.arch=stream"], ["model.n_layers=1"], ["optim.name=adamw"]],
)
def test_what_cannot_begin_so_is_refused(settings):
    asked = ["sft.induction_head=true", *settings]
    with pytest.raises(MinitronError, match=r"sft.induction_head needs a llama of at least two layers") as refused:
        load_recipe("recipes/demo.toml", asked)
    assert refused.value.code == 2


def test_only_fresh_weights_can_begin_so():
    asked = ["pretrain.files=['a.txt']", "sft.induction_head=true"]
    with pytest.raises(MinitronError, match=r"sft.induction_head is of fresh weights") as refused:
        load_recipe("recipes/demo.toml", asked)
    assert refused.value.code == 2


def test_a_recipe_asks_for_it(tiny_tokenizer):
    config = load_recipe("recipes/shakespeare-char.toml")
    assert config.pretrain.induction_head
    one, other = (
        fresh.fresh_model(config.model, tiny_tokenizer, seed=1, train=replace(config.pretrain, induction_head=head))
        for head in (True, False)
    )
    weights = ("embed_tokens.weight", *(f"layers.{n}.self_attn.{m}_proj.weight" for n in (0, 1) for m in "qkvo"))
    differ = {name for name, w in one.named_parameters() if not torch.equal(w, other.get_parameter(name))}
    assert differ == {f"model.{name}" for name in weights}


@pytest.mark.parametrize("shape", [{"head_dim": 2}, {"head_dim": 12}, {"head_dim": 64}, {"qk_norm": True}])
def test_odd_shapes_stay_finite(shape):
    model = begun(n_heads=2, d_model=32, d_ff=64, **shape)
    assert all(weight.isfinite().all() for weight in model.parameters())
    assert model.head(model.hidden(torch.arange(60)[None])).isfinite().all()


def test_it_learns_to_copy_in_a_few_steps():
    torch.manual_seed(1)
    assert recalled(begun(n_heads=2, d_model=64, d_ff=128), 60) > 0.9
