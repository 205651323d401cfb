"""The transformer, in two shapes, with its KV cache.

`llama` has the names and the arithmetic of Hugging Face's Llama (RMSNorm, rotate-half RoPE, SwiGLU), `nanogpt` those of
nanoGPT (learned positions, LayerNorm, exact GELU), so that a checkpoint's tensors mean the same to other programs. The
head is tied to the embedding in both. Knows nothing about text or training.

Letters in shapes: B rows, T tokens, D d_model, H heads, K key/value heads, h = D / H, F d_ff, V vocabulary.
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from minitron.recipe.schema import ModelConfig


class RMSNorm(nn.Module):
    """x / rms(x) * weight (Zhang & Sennrich, arXiv 1910.07467), in fp32 as Llama does it."""

    def __init__(self, size: int, eps: float):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        return F.rms_norm(x.float(), self.weight.shape, self.weight, self.eps).to(x.dtype)


def rope_table(config: ModelConfig) -> tuple[Tensor, Tensor]:
    """cos and sin of RoPE (Su et al., arXiv 2104.09864) for all positions, each (context, h)."""
    size = config.d_model // config.n_heads
    inverse = config.rope_theta ** -(torch.arange(0, size, 2, dtype=torch.float64) / size)
    angles = torch.outer(torch.arange(config.context, dtype=torch.float64), inverse)
    angles = torch.cat((angles, angles), dim=-1)  # element i turns with element i + h/2
    return angles.cos().float(), angles.sin().float()


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Applies RoPE to x (B, H, T, h) with cos and sin (B, 1, T, h)."""
    left, right = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-right, left), dim=-1) * sin


@dataclass
class Span:
    """The next `length` tokens of a flat row of texts. They see each other causally, and of span number `of` the first
    `prompt` tokens, which they go on from. Nothing is padded, and a prompt is computed once for all that follow it."""

    length: int
    of: int = 0
    prompt: int = 0

    def mask(self, *, always: bool) -> Tensor | None:
        """(length, prompt + length); None where plain causal attention is right, unless `always` wanted."""
        seen = torch.ones(self.length, self.prompt + self.length, dtype=torch.bool).tril(self.prompt)
        return seen if self.prompt or always else None


@dataclass
class Step:
    """What every block needs to know of this forward pass."""

    mask: (
        Tensor | None
    )  # (B or 1, 1, T, S): True where a query may look, or 0 there and -inf elsewhere; None: plain causal
    cos: Tensor | None = None  # (B, 1, T, h), llama only
    sin: Tensor | None = None
    cache: "KVCache | None" = None
    recompute: bool = False  # blocks keep their input only and are computed again in backward
    spans: list[tuple[Span, Tensor | None]] | None = None  # all that the (single) row consists of, each with its mask
    wanted: Tensor | None = None  # (N,) of the flattened B * T: what comes after the attention is for these only

    def keep(self, x: Tensor) -> Tensor:
        """x (B, T, D), or of it what is wanted, (N, D)."""
        return x if self.wanted is None else x.flatten(0, 1).index_select(0, self.wanted)


def run_blocks(blocks: nn.ModuleList, x: Tensor, step: Step) -> Tensor:
    """x (B, T, D) after all blocks; with `step.recompute` by gradient checkpointing (Chen et al., arXiv 1604.06174).

    All but the last compute every position: the attention of the next one looks at it.
    """
    inner = replace(step, wanted=None)
    for number, block in enumerate(blocks, 1):
        now = step if number == len(blocks) else inner
        x = checkpoint(block, x, now, use_reentrant=False) if step.recompute else block(x, now)
    return x


def softcap(logits: Tensor, cap: float) -> Tensor:
    """Logits within ±cap (Gemma 2, arXiv 2408.00118, section 2); cap 0: as they are."""
    return cap * torch.tanh(logits / cap) if cap else logits


class KVCache:
    """Keys and values of every layer, (B, K, slots, h) each. All rows write at the same slot (prompts are padded left)."""

    def __init__(self, config: ModelConfig, rows: int, slots: int, *, device=None, dtype=torch.float32):
        shape = (rows, config.n_kv_heads, slots, config.d_model // config.n_heads)
        self.keys = [torch.zeros(shape, device=device, dtype=dtype) for _ in range(config.n_layers)]
        self.values = [torch.zeros(shape, device=device, dtype=dtype) for _ in range(config.n_layers)]
        self.used = 0  # slots filled so far

    def extend(self, layer: int, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        """Stores this step's (B, K, T, h) and returns all keys and values so far, (B, K, S, h)."""
        end = self.used + key.shape[2]
        self.keys[layer][:, :, self.used : end] = key
        self.values[layer][:, :, self.used : end] = value
        return self.keys[layer][:, :, :end], self.values[layer][:, :, :end]

    def keep_rows(self, rows: Tensor) -> None:
        """Keeps only these rows (those still being written)."""
        self.keys = [k[rows] for k in self.keys]
        self.values = [v[rows] for v in self.values]


def writes_out_attention(x: Tensor) -> bool:
    """torch 2.13's fused CPU kernel is slower in bf16 than four plain lines (seen with rows of 64 to 1,024 tokens)."""
    return x.device.type == "cpu" and compute_dtype(x) == torch.bfloat16


def compute_dtype(x: Tensor) -> torch.dtype:
    """What autocast makes of products with x."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype


def attend(query: Tensor, key: Tensor, value: Tensor, step: Step, layer: int, dropout: float) -> Tensor:
    """Attention of query (B, H, T, h) on key, value (B, K, T, h), the cache's included -> (B, T, D), or (N, D) of what is
    wanted."""
    if step.cache is not None:
        key, value = step.cache.extend(layer, key, value)
    if step.spans is None:
        out = attention(query, key, value, step.mask, dropout)
    else:
        lengths, found = [span.length for span, _ in step.spans], []
        keys, values = key.split(lengths, 2), value.split(lengths, 2)
        for (span, mask), q, k, v in zip(step.spans, query.split(lengths, 2), keys, values, strict=True):
            if span.prompt:
                k, v = (torch.cat((x[span.of][:, :, : span.prompt], y), 2) for x, y in ((keys, k), (values, v)))
            found.append(attention(q, k, v, mask, dropout))
        out = torch.cat(found, 2)
    return step.keep(out.transpose(1, 2).flatten(2))


def attention(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, dropout: float) -> Tensor:
    """Scaled dot-product attention of query (B, H, T, h) on key, value (B, K, S, h) -> (B, H, T, h)."""
    grouped = query.shape[1] != key.shape[1]
    if writes_out_attention(query):
        if grouped:
            key, value = (x.repeat_interleave(query.shape[1] // x.shape[1], dim=1) for x in (key, value))
        weights = query * query.shape[-1] ** -0.5 @ key.transpose(-1, -2)
        weights = (weights if mask is None else weights + mask).softmax(-1)
        return F.dropout(weights, dropout) @ value
    return F.scaled_dot_product_attention(
        query,
        key,
        value,
        attn_mask=mask,
        dropout_p=dropout,
        is_causal=mask is None and query.shape[2] > 1,
        enable_gqa=grouped,
    )


class LlamaAttention(nn.Module):
    def __init__(self, config: ModelConfig, layer: int):
        super().__init__()
        self.layer, self.dropout = layer, config.dropout
        self.size = config.d_model // config.n_heads
        self.q_proj = nn.Linear(config.d_model, config.n_heads * self.size, bias=False)
        self.k_proj = nn.Linear(config.d_model, config.n_kv_heads * self.size, bias=False)
        self.v_proj = nn.Linear(config.d_model, config.n_kv_heads * self.size, bias=False)
        self.o_proj = nn.Linear(config.n_heads * self.size, config.d_model, bias=False)
        if config.qk_norm:
            self.q_norm = RMSNorm(self.size, config.norm_eps)
            self.k_norm = RMSNorm(self.size, config.norm_eps)

    def forward(self, x: Tensor, step: Step) -> Tensor:
        query, key, value = (
            proj(x).unflatten(-1, (-1, self.size)).transpose(1, 2)  # (B, H or K, T, h)
            for proj in (self.q_proj, self.k_proj, self.v_proj)
        )
        if hasattr(self, "q_norm"):
            query, key = self.q_norm(query), self.k_norm(key)
        query, key = rotate(query, step.cos, step.sin), rotate(key, step.cos, step.sin)
        out = attend(query, key, value, step, self.layer, self.dropout if self.training else 0.0)
        return self.o_proj(out)


class LlamaMLP(nn.Module):
    """SwiGLU (Shazeer, arXiv 2002.05202)."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.gate_proj = nn.Linear(config.d_model, config.d_ff, bias=False)
        self.up_proj = nn.Linear(config.d_model, config.d_ff, bias=False)
        self.down_proj = nn.Linear(config.d_ff, config.d_model, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class LlamaBlock(nn.Module):
    def __init__(self, config: ModelConfig, layer: int):
        super().__init__()
        self.input_layernorm = RMSNorm(config.d_model, config.norm_eps)
        self.self_attn = LlamaAttention(config, layer)
        self.post_attention_layernorm = RMSNorm(config.d_model, config.norm_eps)
        self.mlp = LlamaMLP(config)
        self.drop = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, step: Step) -> Tensor:
        x = step.keep(x) + self.drop(self.self_attn(self.input_layernorm(x), step))
        return x + self.drop(self.mlp(self.post_attention_layernorm(x)))


class Llama(nn.Module):
    def __init__(self, config: ModelConfig, vocab_size: int):
        super().__init__()
        self.embed_tokens = nn.Embedding(vocab_size, config.d_model)
        self.layers = nn.ModuleList(LlamaBlock(config, i) for i in range(config.n_layers))
        self.norm = RMSNorm(config.d_model, config.norm_eps)
        self.drop = nn.Dropout(config.dropout)
        cos, sin = rope_table(config)
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def forward(self, ids: Tensor, positions: Tensor, step: Step) -> Tensor:
        x = self.drop(self.embed_tokens(ids))
        step.cos = self.cos[positions].unsqueeze(1).to(compute_dtype(x))
        step.sin = self.sin[positions].unsqueeze(1).to(compute_dtype(x))
        return self.norm(run_blocks(self.layers, x, step))


class GPTAttention(nn.Module):
    def __init__(self, config: ModelConfig, layer: int):
        super().__init__()
        self.layer, self.heads, self.dropout = layer, config.n_heads, config.dropout
        self.c_attn = nn.Linear(config.d_model, 3 * config.d_model, bias=config.bias)
        self.c_proj = nn.Linear(config.d_model, config.d_model, bias=config.bias)

    def forward(self, x: Tensor, step: Step) -> Tensor:
        query, key, value = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)  # (B, H, T, h)
            for part in self.c_attn(x).chunk(3, dim=-1)
        )
        out = attend(query, key, value, step, self.layer, self.dropout if self.training else 0.0)
        return self.c_proj(out)


class GPTMLP(nn.Module):
    def __init__(self, config: ModelConfig):
        super().__init__()
        self.c_fc = nn.Linear(config.d_model, config.d_ff, bias=config.bias)
        self.c_proj = nn.Linear(config.d_ff, config.d_model, bias=config.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.c_proj(F.gelu(self.c_fc(x)))


class GPTBlock(nn.Module):
    def __init__(self, config: ModelConfig, layer: int):
        super().__init__()
        self.ln_1 = nn.LayerNorm(config.d_model, eps=config.norm_eps, bias=config.bias)
        self.attn = GPTAttention(config, layer)
        self.ln_2 = nn.LayerNorm(config.d_model, eps=config.norm_eps, bias=config.bias)
        self.mlp = GPTMLP(config)
        self.drop = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, step: Step) -> Tensor:
        x = step.keep(x) + self.drop(self.attn(self.ln_1(x), step))
        return x + self.drop(self.mlp(self.ln_2(x)))


class GPT(nn.Module):
    def __init__(self, config: ModelConfig, vocab_size: int):
        super().__init__()
        self.wte = nn.Embedding(vocab_size, config.d_model)
        self.wpe = nn.Embedding(config.context, config.d_model)
        self.h = nn.ModuleList(GPTBlock(config, i) for i in range(config.n_layers))
        self.ln_f = nn.LayerNorm(config.d_model, eps=config.norm_eps, bias=config.bias)
        self.drop = nn.Dropout(config.dropout)

    def forward(self, ids: Tensor, positions: Tensor, step: Step) -> Tensor:
        x = self.drop(self.wte(ids) + self.wpe(positions))
        return self.ln_f(run_blocks(self.h, x, step))


class LanguageModel(nn.Module):
    """Either shape under one face: `hidden` for the trunk, `head` for the tied projection, `forward` for both."""

    def __init__(self, config: ModelConfig, vocab_size: int):
        super().__init__()
        self.config, self.vocab_size = config, vocab_size
        self.recompute = False  # gradient checkpointing, for training
        if config.arch == "nanogpt":
            self.transformer = GPT(config, vocab_size)
        else:
            self.model = Llama(config, vocab_size)
        # GPT-2's initialisation: 0.02 everywhere, the layers that write to the residual stream scaled down by depth.
        residual = ("o_proj.weight", "down_proj.weight", "c_proj.weight")
        for name, weight in self.named_parameters():
            if weight.ndim == 2:
                scale = 1 / math.sqrt(2 * config.n_layers) if name.endswith(residual) else 1.0
                nn.init.normal_(weight, std=0.02 * scale)
            elif name.endswith("bias"):
                nn.init.zeros_(weight)

    @property
    def trunk(self) -> nn.Module:
        return self.transformer if self.config.arch == "nanogpt" else self.model

    @property
    def blocks(self) -> nn.ModuleList:
        return self.transformer.h if self.config.arch == "nanogpt" else self.model.layers

    @property
    def embedding(self) -> Tensor:
        """(V, D), also the head."""
        return self.trunk.wte.weight if self.config.arch == "nanogpt" else self.trunk.embed_tokens.weight

    @property
    def device(self) -> torch.device:
        return self.embedding.device

    def count_params(self) -> int:
        """All weights but learned positions, tied ones once: nanoGPT's way to count."""
        return sum(p.numel() for n, p in self.named_parameters() if not n.endswith("wpe.weight"))

    def hidden(
        self,
        ids: Tensor,
        *,
        positions: Tensor | None = None,
        mask: Tensor | None = None,
        cache: KVCache | None = None,
        spans: list[Span] | None = None,
        wanted: Tensor | None = None,
    ) -> Tensor:
        """ids (B, T) -> final hidden states (B, T, D), or with `wanted` (N,), indices into the flattened (B * T) positions,
        those of them only, (N, D), which takes less time.

        `positions` (B, T) defaults to what follows the cache; `mask` (B, 1, T, S) is True where a query may look and
        defaults to causal attention; a cache is extended by this call. With `spans` the single row (B = 1) is several
        texts, and they say what sees what.
        """
        used = cache.used if cache else 0
        if positions is None:
            positions = torch.arange(used, used + ids.shape[1], device=ids.device).expand_as(ids)
        written_out = writes_out_attention(self.embedding)

        def ready(mask: Tensor | None) -> Tensor | None:
            if mask is not None and written_out:
                return torch.zeros((), dtype=torch.bfloat16).masked_fill(~mask, float("-inf"))
            return mask if mask is None else mask.to(ids.device)

        if mask is None and ids.shape[1] > 1 and (used or written_out):
            slots = torch.arange(used + ids.shape[1], device=ids.device)
            mask = (slots <= slots[used:, None])[None, None]
        step = Step(mask=ready(mask), cache=cache, recompute=self.recompute and torch.is_grad_enabled(), wanted=wanted)
        if spans:
            step.spans = [(span, ready(span.mask(always=written_out))) for span in spans]
        hidden = self.trunk(ids, positions, step)
        if cache:
            cache.used += ids.shape[1]
        return hidden

    def head(self, hidden: Tensor) -> Tensor:
        """(..., D) -> logits (..., V)."""
        return softcap(F.linear(hidden, self.embedding), self.config.logit_cap)

    def forward(self, ids: Tensor, **how) -> Tensor:
        """ids (B, T) -> logits (B, T, V); see `hidden` for the rest."""
        return self.head(self.hidden(ids, **how))
