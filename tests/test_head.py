"""Attention heads of a width of their own and an untied output head, as other people's models have them: in torch, transformers and the
program."""

import json
from pathlib import Path

import pytest
import torch
from conftest import tiny_shape

from minitron.core.errors import MinitronError
from minitron.interop import bundle
from minitron.model import lora
from minitron.model.language_model import LanguageModel
from minitron.recipe.load import load_recipe
from minitron.recipe.training import LoraConfig

WIDE = {"n_heads": 4, "n_kv_heads": 2, "head_dim": 12, "untied_head": True, "qk_norm": True}


def test_the_state_gives_what_the_whole_text_gives():
    torch.manual_seed(1)
    model, ids = LanguageModel(tiny_shape(**WIDE), 50).eval(), [5, 6, 7, 8, 9]
    assert model.get_parameter("model.layers.0.self_attn.q_proj.weight").shape == (48, 32)
    assert model.count_params() == sum(p.numel() for p in model.parameters())
    with torch.inference_mode():
        state = model.new_state(1, 10)
        model.prefill([ids[:3]], state)
        model.step(torch.tensor([8]), state)
        last = model.head(model.step(torch.tensor([9]), state))
        torch.testing.assert_close(last, model(torch.tensor([ids]))[:, -1], rtol=1e-4, atol=1e-5)
        model.lm_head.weight.zero_()
        assert not model(torch.tensor([ids])).any()


def test_lora_is_of_blocks_only():
    model = LanguageModel(tiny_shape(**WIDE), 50)
    lora.attach(model, LoraConfig(2), seed=1)
    assert "lm_head.weight" in dict(model.named_parameters())
    assert len(lora.state(model)) == 2 * 2 * 7


def test_the_bundle_says_only_what_is_unusual(tmp_path):
    plain, wide = (LanguageModel(tiny_shape(**how), 50) for how in ({}, WIDE))
    assert not {"head_dim", "untied_head"} & bundle.shape_of(plain).keys()
    assert bundle.shape_of(wide)["head_dim"] == 12
    assert bundle.shape_of(wide)["untied_head"] is True
    assert bundle.lay_out(wide, "f16")[0][-1]["name"] == "lm_head.weight"


def test_a_recipe_may_ask_for_both(in_tmp_path):
    Path("a.toml").write_text("[model]\nd_model = 50\nn_heads = 4\nhead_dim = 16\nuntied_head = true\n")
    assert load_recipe("a.toml").model.head_size == 16
    Path("b.toml").write_text('[model]\narch = "nanogpt"\nhead_dim = 16\n')
    with pytest.raises(MinitronError, match="model.head_dim is for llama"):
        load_recipe("b.toml")
    json.dumps(load_recipe("a.toml").section("model"))
