"""`nanogpt`: learned positions, LayerNorm, exact GELU, optionally biases.

Names and arithmetic are those of nanoGPT (github.com/karpathy/nanoGPT), so that a checkpoint's tensors mean the same to it.

Letters in shapes: B rows, T tokens, D d_model, H heads, h = D / H.
"""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from minitron.model.attention import Attention, prepared
from minitron.model.costs import Load, total
from minitron.model.mlp import GELU
from minitron.model.norms import LayerNorm
from minitron.model.shape import Block, Gguf, HuggingFace, Trunk
from minitron.model.state import LayerState, Pass, run_blocks
from minitron.recipe.training import ModelConfig


class GPTAttention(Attention):
    def __init__(self, config: ModelConfig):
        super().__init__(config)
        self.heads = config.n_heads
        self.c_attn = nn.Linear(config.d_model, 3 * config.d_model, bias=config.bias)
        self.c_proj = nn.Linear(config.d_model, config.d_model, bias=config.bias)

    def forward(self, x: Tensor, step: Pass, state: LayerState | None) -> Tensor:
        query, key, value = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, H, T, h)
            for part in self.c_attn(x).chunk(3, dim=-1)
        )
        out: Tensor = self.c_proj(self.mix(query, key, value, step, state))
        return out

    @staticmethod
    def saved_bytes(config: ModelConfig, load: Load) -> dict[str, int]:
        """The input of the one product for q, k and v, and what attention itself keeps."""
        return total({"Linear's inputs": load.low * config.d_model * load.tokens}, Attention.saved_bytes(config, load))


class GPTBlock(Block):
    mixer: ClassVar[type[Any]] = GPTAttention

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.ln_1 = LayerNorm(config.d_model, eps=config.norm_eps, bias=config.bias)
        self.attn = self.mixer(config)
        self.ln_2 = LayerNorm(config.d_model, eps=config.norm_eps, bias=config.bias)
        self.mlp = GELU(config)
        self.drop = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, step: Pass, state: LayerState | None) -> Tensor:
        x = step.keep(x) + self.drop(self.attn(self.ln_1(x), step, state))
        out: Tensor = x + self.drop(self.mlp(self.ln_2(x)))
        return out

    def new_state(self, rows: int, slots: int, *, device: torch.device, dtype: torch.dtype) -> LayerState:
        state: LayerState = self.attn.new_state(rows, slots, device=device, dtype=dtype)
        return state

    def parts(self) -> dict[str, nn.Module]:
        return {"attention": self.attn, "MLP": self.mlp}

    @classmethod
    def saved_bytes(cls, config: ModelConfig, load: Load) -> dict[str, int]:
        norms = LayerNorm.saved_bytes(config.d_model, load.tokens + load.after, on_cuda=load.on_cuda)
        return total({"norms": norms}, cls.mixer.saved_bytes(config, load), GELU.saved_bytes(config, load))

    @classmethod
    def operations(cls, config: ModelConfig) -> float:
        count: float = cls.mixer.operations(config)
        return count


class GPT(Trunk):
    prefix = "transformer"
    block = GPTBlock
    norm_type = LayerNorm
    residual = ("c_proj.weight",)
    heads = ("c_attn.weight",)
    position_table = "wpe.weight"

    def __init__(self, config: ModelConfig, vocab_size: int):
        super().__init__(config, vocab_size)
        self.config = config
        self.wte = nn.Embedding(vocab_size, config.d_model)
        self.wpe = nn.Embedding(config.context, config.d_model)
        self.h = nn.ModuleList(self.block(config) for _ in range(config.n_layers))
        self.ln_f = LayerNorm(config.d_model, eps=config.norm_eps, bias=config.bias)
        self.drop = nn.Dropout(config.dropout)

    def forward(self, ids: Tensor, step: Pass) -> Tensor:
        x = self.drop(self.wte(ids) + self.wpe(step.positions))
        out: Tensor = self.ln_f(run_blocks(self.h, x, prepared(step, x)))
        return out

    @property
    def blocks(self) -> nn.ModuleList:
        return self.h

    @property
    def embedding(self) -> Tensor:
        return self.wte.weight

    def queries_and_keys(self) -> list[tuple[Tensor, Tensor]]:
        weights = [block.get_parameter("attn.c_attn.weight") for block in self.h]
        return [(weight.chunk(3)[0], weight.chunk(3)[1]) for weight in weights]

    def gguf(self) -> Gguf:
        """GGUF's gpt2, which approximates GELU by tanh where this shape uses the exact one, by erf."""
        names = {"ln_1": "attn_norm", "attn.c_attn": "attn_qkv", "attn.c_proj": "attn_output"}
        names |= {"ln_2": "ffn_norm", "mlp.c_fc": "ffn_up", "mlp.c_proj": "ffn_down"}
        names |= {"wte": "token_embd", "wpe": "position_embd", "ln_f": "output_norm"}
        return Gguf("gpt2", "attention.layer_norm_epsilon", names, biases=True)

    def hugging_face(self) -> HuggingFace:
        c = self.config
        config = {
            "model_type": "gpt2",
            "n_embd": c.d_model,
            "n_inner": c.d_ff,
            "n_layer": c.n_layers,
            "n_head": c.n_heads,
            "n_positions": c.context,
            "layer_norm_epsilon": c.norm_eps,
            "activation_function": "gelu",  # the exact one
            "resid_pdrop": c.dropout,
            "embd_pdrop": c.dropout,
            "attn_pdrop": c.dropout,
        }
        matrices = ("c_attn.weight", "c_proj.weight", "c_fc.weight")
        return HuggingFace("GPT2LMHeadModel", config, transposed=matrices, biases=True)
