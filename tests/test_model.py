"""The transformer against Hugging Face's and torch's own arithmetic, and its cache against itself."""

import math

import pytest
import torch
from conftest import tiny_shape

from minitron.data.packing import collate
from minitron.model import joined
from minitron.model.language_model import LanguageModel
from minitron.model.mlp import silu_product
from minitron.model.norms import RMSNorm
from minitron.model.rope import rope_table, rotate
from minitron.recipe.training import ModelConfig
from minitron.train.passes import summed_loss

SHAPES = {
    "llama": tiny_shape(),
    "grouped": tiny_shape(n_heads=4, n_kv_heads=2, qk_norm=True),
    "nanogpt": tiny_shape("nanogpt"),
    "biased": tiny_shape("nanogpt", bias=True),
    "stream": tiny_shape("stream", n_layers=4, window=8),
}


@pytest.fixture(params=SHAPES)
def model(request) -> LanguageModel:
    torch.manual_seed(1)
    model = LanguageModel(SHAPES[request.param], 100).eval()
    with torch.no_grad():  # norms and biases away from 1 and 0, so that forgetting one shows
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.randn_like(parameter) * 0.2)
    return model


def test_step_by_step_equals_all_at_once(model):
    ids = torch.randint(100, (3, 20))
    whole = model(ids)
    state = model.new_state(3, 20)
    parts = [model(ids[:, :7], state=state), model(ids[:, 7:9], state=state)]
    parts += [model(ids[:, i : i + 1], state=state) for i in range(9, 20)]
    torch.testing.assert_close(torch.cat(parts, 1), whole, rtol=1e-4, atol=1e-5)


def test_the_future_is_not_seen(model):
    ids = torch.randint(100, (1, 20))
    changed = ids.clone()
    changed[0, 12:] = 5
    torch.testing.assert_close(model(ids)[:, :12], model(changed)[:, :12])
    assert not torch.allclose(model(ids)[:, 12:], model(changed)[:, 12:])


def test_packed_neighbours_do_not_see_each_other(model):
    parts = [(torch.randint(5, 100, (n,)).numpy(), torch.ones(n, dtype=bool).numpy()) for n in (9, 17, 5)]
    packed = collate([parts], context=64)
    alone = [collate([[part]], context=64) for part in parts]
    together = summed_loss(model, packed)
    apart = sum(summed_loss(model, batch) for batch in alone)
    torch.testing.assert_close(together, apart, rtol=1e-5, atol=1e-4)


def test_loss_at_the_start_is_ln_vocabulary(tiny_model):
    ids = torch.randint(tiny_model.vocab_size, (8, 64))
    loss = torch.nn.functional.cross_entropy(tiny_model(ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())
    assert abs(loss.item() - math.log(tiny_model.vocab_size)) < 0.1


def test_mini_tron_50_has_47_85_million_parameters():
    shape = ModelConfig(arch="nanogpt", n_layers=10, n_heads=8, n_kv_heads=8, d_model=512, d_ff=2048, context=1024)
    with torch.device("meta"):
        assert LanguageModel(shape, 32000).count_params() == 47_852_032


def test_rope_turns_pairs_of_halves():
    cos, sin = rope_table(ModelConfig(d_model=8, n_heads=2, context=16, rope_theta=100.0))
    x = torch.tensor([[[[1.0, 0.0, 0.0, 2.0]]]])
    turned = rotate(x, cos[None, 3:4, None], sin[None, 3:4, None])
    angle = 3 * 100.0 ** (-2 / 4)
    want = [math.cos(3.0), -2 * math.sin(angle), math.sin(3.0), 2 * math.cos(angle)]
    torch.testing.assert_close(turned.flatten(), torch.tensor(want))


def test_rope_s_gradient_turns_back():
    cos, sin = (table.double()[None, :5, None] for table in rope_table(ModelConfig(d_model=16, n_heads=2, context=16)))
    x = torch.randn(2, 5, 2, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0), requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: rotate(x, cos, sin), x)


def test_silu_product_and_its_gradient():
    both = torch.randn(3, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    gate, up = both.chunk(2, -1)
    torch.testing.assert_close(silu_product(both), torch.nn.functional.silu(gate) * up)
    assert torch.autograd.gradcheck(silu_product, both)


@pytest.mark.parametrize("rows", [5 * joined.TALL, 5 * joined.TALL - 1])
@pytest.mark.parametrize("hook", [False, True])
def test_projections_together_are_each_by_itself(rows, hook):
    torch.manual_seed(0)
    linears = [torch.nn.Linear(5, made, bias=False) for made in (3, 4)]
    asked = []
    if hook:
        linears[1].register_forward_pre_hook(lambda _, inputs: asked.append(len(inputs[0])))
    ours, theirs = (torch.randn(rows, 5).requires_grad_() for _ in "12")
    theirs.data.copy_(ours.data)
    one, other = joined.product(ours, *linears), torch.cat([linear(theirs) for linear in linears], -1)
    torch.testing.assert_close(one, other)
    assert asked == [rows, rows] * hook  # here and above
    slope = torch.randn_like(one)
    weights = [linear.weight for linear in linears]
    for x, y in zip(
        torch.autograd.grad(one, [ours, *weights], slope),
        torch.autograd.grad(other, [theirs, *weights], slope),
        strict=True,
    ):
        torch.testing.assert_close(x, y)


def test_rms_norm_is_torchs():
    chance = torch.Generator().manual_seed(0)
    norm = RMSNorm(24, 1e-5)
    with torch.no_grad():
        norm.weight.copy_(torch.rand(24, generator=chance) + 0.5)
    x, gradient = (torch.randn(2, 5, 24, generator=chance) for _ in "12")
    x.requires_grad_()
    ours = norm(x)
    theirs = torch.nn.functional.rms_norm(x, (24,), norm.weight, 1e-5)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)
    for one, other in zip(
        torch.autograd.grad(ours, (x, norm.weight), gradient),
        torch.autograd.grad(theirs, (x, norm.weight), gradient),
        strict=True,
    ):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    assert norm(x.bfloat16()).dtype == torch.bfloat16
    assert not norm(torch.zeros(1, 24)).any()


def test_bf16_on_a_cpu_takes_the_same_mask():
    torch.manual_seed(0)
    model = LanguageModel(tiny_shape(n_heads=4, n_kv_heads=2), 100)
    ids = torch.randint(100, (2, 32))
    mask = torch.ones(32, 32, dtype=torch.bool).tril().expand(2, 1, 32, 32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = model(ids, mask=mask)
    torch.testing.assert_close(low.float(), model(ids), rtol=0.05, atol=0.02)


@pytest.mark.parametrize("name", ["llama", "grouped"])
def test_equals_hugging_face_llama(name):
    transformers = pytest.importorskip("transformers")
    shape = SHAPES[name]
    torch.manual_seed(2)
    ours = LanguageModel(shape, 100).eval()
    common = {
        "vocab_size": 100,
        "hidden_size": shape.d_model,
        "intermediate_size": shape.d_ff,
        "num_hidden_layers": shape.n_layers,
        "num_attention_heads": shape.n_heads,
        "num_key_value_heads": shape.n_kv_heads,
        "head_dim": shape.d_model // shape.n_heads,
        "max_position_embeddings": shape.context,
        "rms_norm_eps": shape.norm_eps,
        "rope_theta": shape.rope_theta,
        "tie_word_embeddings": True,
    }
    kind = ("Qwen3Config", "Qwen3ForCausalLM") if shape.qk_norm else ("LlamaConfig", "LlamaForCausalLM")
    config, cls = (getattr(transformers, n) for n in kind)
    theirs = cls(config(**common)).eval()
    missing, unexpected = theirs.load_state_dict(dict(ours.named_parameters()), strict=False)
    assert set(missing) <= {"lm_head.weight"}
    assert not unexpected
    ids = torch.randint(100, (2, 30))
    torch.testing.assert_close(ours(ids), theirs(ids).logits, rtol=1e-4, atol=1e-5)
