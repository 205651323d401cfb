"""`llama`: RMSNorm, RoPE, SwiGLU, optionally fewer key/value heads and QK-norm.

Names and arithmetic are those of Hugging Face's Llama (Touvron et al., arXiv 2302.13971), or with QK-norm those of its Qwen3, so that
a checkpoint's tensors mean the same to other programs.

Letters in shapes: B rows, T tokens, D d_model, H heads, K key/value heads, h = D / H.
"""

from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from minitron.model import joined
from minitron.model.attention import Attention, prepared
from minitron.model.costs import Load, total
from minitron.model.mlp import SwiGLU
from minitron.model.norms import RMSNorm
from minitron.model.rope import for_heads, rope_table, rotate
from minitron.model.shape import Block, Gguf, HuggingFace, Trunk
from minitron.model.state import LayerState, Pass, compute_dtype, run_blocks
from minitron.recipe.training import ModelConfig


class LlamaAttention(Attention):
    def __init__(self, config: ModelConfig):
        super().__init__(config)
        self.size, self.heads = config.head_size, (config.n_heads, config.n_kv_heads)
        self.q_proj = nn.Linear(config.d_model, config.n_heads * self.size, bias=False)
        self.k_proj = nn.Linear(config.d_model, config.n_kv_heads * self.size, bias=False)
        self.v_proj = nn.Linear(config.d_model, config.n_kv_heads * self.size, bias=False)
        self.o_proj = nn.Linear(config.n_heads * self.size, config.d_model, bias=False)
        if config.qk_norm:
            self.q_norm = RMSNorm(self.size, config.norm_eps)
            self.k_norm = RMSNorm(self.size, config.norm_eps)

    def forward(self, x: Tensor, step: Pass, state: LayerState | None) -> Tensor:
        assert step.rope is not None
        heads, kv_heads = self.heads
        every = joined.product(x, self.q_proj, self.k_proj, self.v_proj)
        every = every.view(*x.shape[:-1], -1, self.size)
        both, value = torch.split(every, [heads + kv_heads, kv_heads], dim=2)  # (B, T, H + K, h), (B, T, K, h)
        if hasattr(self, "q_norm"):
            query, key = torch.split(both, [heads, kv_heads], dim=2)
            both = torch.cat((self.q_norm(query), self.k_norm(key)), dim=2)
        query, key = torch.split(rotate(both, *step.rope), [heads, kv_heads], dim=2)
        query, key, value = (x.transpose(1, 2) for x in (query, key, value))
        out: Tensor = self.o_proj(self.mix(query, key, value, step, state))
        return out

    @staticmethod
    def saved_bytes(config: ModelConfig, load: Load) -> dict[str, int]:
        """The input of q, k and v, and what attention itself keeps."""
        made = [heads * config.head_size for heads in (config.n_heads, config.n_kv_heads, config.n_kv_heads)]
        terms = {"Linear's inputs": joined.saved_bytes(load, load.tokens, read=config.d_model, made=made)}
        if config.qk_norm:
            terms["norms"] = 2 * RMSNorm.saved_bytes(
                config.n_heads * config.head_size, load.tokens, on_cuda=load.on_cuda
            )
        return total(terms, Attention.saved_bytes(config, load))


class LlamaBlock(Block):
    mixer: ClassVar[type[Any]] = LlamaAttention

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.input_layernorm = RMSNorm(config.d_model, config.norm_eps)
        self.self_attn = self.mixer(config)
        self.post_attention_layernorm = RMSNorm(config.d_model, config.norm_eps)
        self.mlp = SwiGLU(config)
        self.drop = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, step: Pass, state: LayerState | None) -> Tensor:
        x = step.keep(x) + self.drop(self.self_attn(self.input_layernorm(x), step, state))
        out: Tensor = x + self.drop(self.mlp(self.post_attention_layernorm(x)))
        return out

    def new_state(self, rows: int, slots: int, *, device: torch.device, dtype: torch.dtype) -> LayerState:
        state: LayerState = self.self_attn.new_state(rows, slots, device=device, dtype=dtype)
        return state

    def parts(self) -> dict[str, nn.Module]:
        return {"attention": self.self_attn, "MLP": self.mlp}

    @classmethod
    def saved_bytes(cls, config: ModelConfig, load: Load) -> dict[str, int]:
        norms = RMSNorm.saved_bytes(config.d_model, load.tokens + load.after, on_cuda=load.on_cuda)
        return total({"norms": norms}, cls.mixer.saved_bytes(config, load), SwiGLU.saved_bytes(config, load))

    @classmethod
    def operations(cls, config: ModelConfig) -> float:
        count: float = cls.mixer.operations(config)
        return count


class Llama(Trunk):
    prefix = "model"
    block = LlamaBlock
    norm_type = RMSNorm
    residual = ("o_proj.weight", "down_proj.weight")
    heads: ClassVar[tuple[str, ...]] = ("q_proj.weight", "k_proj.weight", "v_proj.weight")

    def __init__(self, config: ModelConfig, vocab_size: int):
        super().__init__(config, vocab_size)
        self.config = config
        self.embed_tokens = nn.Embedding(vocab_size, config.d_model)
        self.layers = nn.ModuleList(block(config) for block in self.block_types(config))
        self.norm = RMSNorm(config.d_model, config.norm_eps)
        self.drop = nn.Dropout(config.dropout)
        cos, sin = rope_table(config)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def forward(self, ids: Tensor, step: Pass) -> Tensor:
        x = self.drop(self.embed_tokens(ids))
        dtype = compute_dtype(x)
        heads = self.config.n_heads + self.config.n_kv_heads
        cos, sin = (for_heads(table.to(dtype), heads) for table in self.rotations(step.positions))
        out: Tensor = self.norm(run_blocks(self.layers, x, replace(self.prepared(step, x), rope=(cos, sin))))
        return out

    def rotations(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """RoPE's cos and sin for positions (B, T), each (B, T, h)."""
        return self.get_buffer("cos")[positions], self.get_buffer("sin")[positions]

    def prepared(self, step: Pass, x: Tensor) -> Pass:
        """`step` with the masks or segments that mixing inputs like x (B, T, D) needs."""
        return prepared(step, x)

    @classmethod
    def saved_bytes(cls, config: ModelConfig, load: Load) -> dict[str, int]:
        """RoPE's cos and sin; nothing if no layer has attention."""
        kinds = cls.block_types(config)
        if not any(issubclass(kind, LlamaBlock) and issubclass(kind.mixer, LlamaAttention) for kind in kinds):
            return {}
        heads = config.n_heads + config.n_kv_heads if load.device.type == "cpu" else 1
        return {"rotations": 2 * load.low * load.tokens * heads * config.head_size}

    @property
    def blocks(self) -> nn.ModuleList:
        return self.layers

    @property
    def embedding(self) -> Tensor:
        return self.embed_tokens.weight

    def queries_and_keys(self) -> list[tuple[Tensor, Tensor]]:
        return [(layer.q_proj.weight, layer.k_proj.weight) for layer in self.attentions()]

    def attentions(self) -> list[LlamaAttention]:
        """The layers of attention, the first one first."""
        return [block.self_attn for block in self.layers if isinstance(block.self_attn, LlamaAttention)]

    def gguf(self) -> Gguf | None:
        """GGUF's llama, or with QK-norm its qwen3, where RoPE turns halves of a head together, as here."""
        c = self.config
        size = c.head_size
        names = {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v"}
        names |= {"self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm"}
        names |= {"self_attn.o_proj": "attn_output", "input_layernorm": "attn_norm"}
        names |= {"post_attention_layernorm": "ffn_norm", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up"}
        names |= {"mlp.down_proj": "ffn_down", "embed_tokens": "token_embd", "norm": "output_norm", "lm_head": "output"}
        numbers: dict[str, int | float | list[int]] = {
            "attention.head_count_kv": c.n_kv_heads,
            "attention.key_length": size,
            "attention.value_length": size,
            "rope.dimension_count": size,
            "rope.freq_base": c.rope_theta,
        }
        interleaved = () if c.qk_norm else ("attn_q", "attn_k")
        kind = "qwen3" if c.qk_norm else "llama"
        return Gguf(kind, "attention.layer_norm_rms_epsilon", names, numbers, interleaved=interleaved)

    def hugging_face(self) -> HuggingFace | None:
        c = self.config
        kind = "qwen3" if c.qk_norm else "llama"
        rope = {"rope_type": "default", "rope_theta": c.rope_theta}
        config = {
            "model_type": kind,
            "hidden_size": c.d_model,
            "intermediate_size": c.d_ff,
            "num_hidden_layers": c.n_layers,
            "num_attention_heads": c.n_heads,
            "num_key_value_heads": c.n_kv_heads,
            "head_dim": c.head_size,
            "max_position_embeddings": c.context,
            "rms_norm_eps": c.norm_eps,
            "rope_theta": c.rope_theta,  # where transformers before version 5 and other programs look
            "rope_parameters": rope,
            "hidden_act": "silu",
            "attention_bias": False,
            "attention_dropout": c.dropout,
        }
        return HuggingFace(f"{kind.capitalize()}ForCausalLM", config)
