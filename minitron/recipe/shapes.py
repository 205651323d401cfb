"""What a recipe must know of a model's shape: whether its options fit together, and what they default to.

These are pure functions of [model]. They stand here and not with the layers themselves (minitron/model) because a recipe's
mistakes are reported before anything heavy is imported. A checkpoint's model.json is checked by the same functions. Knows
nothing about torch.
"""

import difflib
from dataclasses import fields, replace

from minitron.recipe.kinds import LAYERS, SHAPES
from minitron.recipe.training import ModelConfig

MOST_STATE_BYTES = 4 << 30  # of a full context: the chat program's limit
STREAM = ("conv", "window", "conv", "delta")  # layers of a `stream`, unless told
WINDOW, CONV_WIDTH = 128, 3


def check(model: ModelConfig) -> list[str]:
    """A sentence for every pair of options that do not fit together, and for every option that the shape does not have."""
    problems = []
    shape = SHAPES[model.arch]
    if model.d_model % model.n_heads and not model.head_dim:
        problems.append(f"model.d_model {model.d_model} is no multiple of model.n_heads {model.n_heads}")
    elif shape.even_heads and model.head_size % 2:
        problems.append("the width of a head (model.d_model / model.n_heads) must be even: RoPE turns pairs")
    if model.n_heads % kv_heads(model):
        problems.append(f"model.n_heads {model.n_heads} is no multiple of model.n_kv_heads {model.n_kv_heads}")
    if unknown := [kind for kind in model.layers if kind not in LAYERS]:
        near = difflib.get_close_matches(unknown[0], LAYERS, n=1)
        told = f"; did you mean '{near[0]}'?" if near else ""
        problems.append(f"model.layers may only name {', '.join(LAYERS)}, not {unknown[0]!r}{told}")
    elif len(model.layers) > model.n_layers:
        problems.append(f"model.layers names {len(model.layers)} layers, but model.n_layers is {model.n_layers}")
    if model.conv_width == 1:
        problems.append("model.conv_width 1 is no convolution: it must be 2 at least")
    # the chat program refuses more; it also counts a few buffers, and for a stream a copy (go_serve/internal/model, StateBytes)
    if not problems and (2.1 if model.arch == "stream" else 1.05) * (state := state_bytes(model)) > MOST_STATE_BYTES:
        size = f"model.window {model.window}" if model.arch == "stream" else f"model.context {model.context}"
        most = (MOST_STATE_BYTES >> 20) // (2 if model.arch == "stream" else 1)
        problems.append(f"{size} would take {state >> 20:,} MB for keys and values, more than {most:,} MB")
    for option in fields(ModelConfig):
        having = [name for name, other in SHAPES.items() if option.name in other.options]
        value = getattr(model, option.name)
        # 0 key/value heads means as many as heads, which every shape has
        usual = (0, model.n_heads) if option.name == "n_kv_heads" else (getattr(ModelConfig(), option.name),)
        if having and model.arch not in having and value not in usual:
            problems.append(f"model.{option.name} is for {' and '.join(having)}; {model.arch} does not have it")
    return problems


def resolved(model: ModelConfig) -> ModelConfig:
    """The model's options with the values that 0 and an empty list stand for."""
    found = replace(
        model,
        n_kv_heads=kv_heads(model),
        d_ff=model.d_ff or default_d_ff(model.arch, model.d_model),
    )
    if model.arch != "stream":
        return found
    window, conv_width = model.window or WINDOW, model.conv_width or CONV_WIDTH
    return replace(found, layers=layer_kinds(model), window=window, conv_width=conv_width)


def kv_heads(model: ModelConfig) -> int:
    """Heads of keys and values. A `stream` has about a third as many as heads, since its windows are most of what it keeps of a text; but
    not one, with which a small model recalls less (docs/streaming.md)."""
    heads = model.n_heads
    if model.n_kv_heads or model.arch != "stream":
        return model.n_kv_heads or heads
    return min((n for n in range(2, heads + 1) if heads % n == 0), key=lambda n: abs(3 * n - heads), default=1)


def layer_kinds(model: ModelConfig) -> list[str]:
    """The kind of each layer of a `stream`, first to last."""
    pattern = model.layers or STREAM
    return [pattern[n % len(pattern)] for n in range(model.n_layers)]


def state_bytes(model: ModelConfig) -> int:
    """Bytes that all layers together keep of one text: keys and values in fp16, of the whole context or of a window, and the matrices
    of delta rules in fp32. What convolutions keep is next to nothing and is not counted."""
    key_values = 4 * kv_heads(model) * model.head_size
    if model.arch != "stream":
        return model.n_layers * key_values * model.context
    sizes = {"window": key_values * (model.window or WINDOW), "delta": 4 * model.n_heads * model.head_size**2}
    return sum(sizes.get(kind, 0) for kind in layer_kinds(model))


def default_d_ff(arch: str, d_model: int) -> int:
    """4 d_model; for a gated MLP (SwiGLU) 8/3 d_model, rounded up to a multiple of 64, so that its three matrices cost about as much
    as two of width 4 d_model (arXiv 2002.05202)."""
    return -(-8 * d_model // 3 // 64) * 64 if SHAPES[arch].gated else 4 * d_model
