"""What a recipe must know of a model's shape: whether its options fit together, and what they default to.

These are pure functions of [model] and stand here, below the layers themselves (minitron/model), because a recipe's mistakes
are told before anything heavy is imported; a checkpoint's model.json is checked by the same ones. Knows nothing about torch.
"""

from dataclasses import fields, replace

from minitron.recipe.kinds import SHAPES
from minitron.recipe.schema import ModelConfig

MOST_STATE_BYTES = 4 << 30  # of a full context, as the chat program has it


def check(model: ModelConfig) -> list[str]:
    """A sentence for every pair of options that do not fit together, and for every one that the shape does not have."""
    problems = []
    shape = SHAPES[model.arch]
    if model.d_model % model.n_heads and not model.head_dim:
        problems.append(f"model.d_model {model.d_model} is no multiple of model.n_heads {model.n_heads}")
    elif shape.even_heads and model.head_size % 2:
        problems.append("the width of a head (model.d_model / model.n_heads) must be even: RoPE turns pairs")
    if model.n_heads % (model.n_kv_heads or model.n_heads):
        problems.append(f"model.n_heads {model.n_heads} is no multiple of model.n_kv_heads {model.n_kv_heads}")
    # keys and values in fp16; the program refuses more, counting a few buffers too (go_serve/internal/model, StateBytes)
    state = 4 * model.n_layers * (model.n_kv_heads or model.n_heads) * model.head_size * model.context
    if 1.05 * state > MOST_STATE_BYTES:
        problems.append(
            f"model.context {model.context} would take {state >> 20:,} MB for keys and values, more than 4,096 MB"
        )
    for option in fields(ModelConfig):
        having = [name for name, other in SHAPES.items() if option.name in other.options]
        value = getattr(model, option.name)
        # 0 key/value heads means as many as heads, which every shape has
        usual = (0, model.n_heads) if option.name == "n_kv_heads" else (option.default,)
        if having and model.arch not in having and value not in usual:
            problems.append(f"model.{option.name} is for {' and '.join(having)}; {model.arch} does not have it")
    return problems


def resolved(model: ModelConfig) -> ModelConfig:
    """The same with the values that 0 stands for."""
    return replace(
        model,
        n_kv_heads=model.n_kv_heads or model.n_heads,
        d_ff=model.d_ff or default_d_ff(model.arch, model.d_model),
    )


def default_d_ff(arch: str, d_model: int) -> int:
    """8/3 of the width, rounded up to 64, where SwiGLU's three matrices cost what GELU's two of 4 do (arXiv 2002.05202)."""
    return -(-8 * d_model // 3 // 64) * 64 if SHAPES[arch].gated else 4 * d_model
