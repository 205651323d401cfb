"""A language model of any shape behind one interface: hidden states, the head, and the state of texts being written.

    model = LanguageModel(config.model, vocab_size)
    logits = model(ids)                              # (B, T) -> (B, T, V)
    state = model.new_state(rows=8, slots=256)       # then model.prefill(prompts, state), model.step(ids, state)

The shapes are in files of their own (`llama`, `nanogpt`), named in `recipe.kinds.SHAPES`. Knows nothing about text or training.

Letters in shapes: B rows, T tokens, D d_model, V vocabulary.
"""

import math
import sys
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from minitron.model.shape import Block, Trunk
from minitron.model.state import Pass, Span, State
from minitron.recipe.kinds import SHAPES
from minitron.recipe.training import ModelConfig


def trunk_type(arch: str) -> type[Trunk]:
    """The class of a shape."""
    found: type[Trunk] = SHAPES[arch].load()
    return found


def softcap(logits: Tensor, cap: float) -> Tensor:
    """Logits within ±cap (Gemma 2, arXiv 2408.00118, section 2); cap 0: as they are."""
    return cap * torch.tanh(logits / cap) if cap else logits


class LanguageModel(nn.Module):
    """`hidden` for the trunk, `head` for the projection to the vocabulary, `forward` for both."""

    def __init__(self, config: ModelConfig, vocab_size: int):
        super().__init__()
        self.config, self.vocab_size = config, vocab_size
        self.recompute = False  # gradient checkpointing, for training
        shape = trunk_type(config.arch)
        self.add_module(shape.prefix, shape(config, vocab_size))
        if config.untied_head:
            self.lm_head = nn.Linear(config.d_model, vocab_size, bias=False)
        # GPT-2's initialisation: std 0.02 everywhere, scaled down by depth in the layers that write to the residual stream.
        for name, weight in self.named_parameters():
            if weight.ndim == 2:
                scale = 1 / math.sqrt(2 * config.n_layers) if name.endswith(shape.residual) else 1.0
                nn.init.normal_(weight, std=0.02 * scale)
            elif name.endswith("bias"):
                nn.init.zeros_(weight)

    @property
    def trunk(self) -> Trunk:
        found = self.get_submodule(trunk_type(self.config.arch).prefix)
        assert isinstance(found, Trunk)
        return found

    @property
    def blocks(self) -> nn.ModuleList:
        return self.trunk.blocks

    @property
    def embedding(self) -> Tensor:
        """The embedding matrix (V, D), also the head's unless that is untied."""
        return self.trunk.embedding

    @property
    def output(self) -> Tensor:
        """The head's matrix (V, D)."""
        return self.lm_head.weight if self.config.untied_head else self.embedding

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    @property
    def context_limit(self) -> int:
        """The most ids of one text that a state can hold: model.context, or any number where the state does not grow."""
        return self.config.context if self.trunk.grows else sys.maxsize

    @property
    def position_table(self) -> str:
        """The name of the learned positions' weights, empty if there are none."""
        trunk = self.trunk
        return f"{trunk.prefix}.{trunk.position_table}" if trunk.position_table else ""

    def count_params(self) -> int:
        """The number of all weights except learned positions, with tied ones counted once, as nanoGPT counts."""
        return sum(p.numel() for n, p in self.named_parameters() if n != self.position_table)

    def new_state(self, rows: int, slots: int) -> State:
        """An empty state for `rows` texts that are written side by side, of at most `slots` tokens each, in fp32."""
        layers = []
        for block in self.blocks:
            assert isinstance(block, Block)
            layers.append(block.new_state(rows, slots, device=self.device, dtype=torch.float32))
        return State(layers)

    def hidden(
        self,
        ids: Tensor,
        *,
        positions: Tensor | None = None,
        mask: Tensor | None = None,
        state: State | None = None,
        spans: list[Span] | None = None,
        wanted: Tensor | None = None,
    ) -> Tensor:
        """ids (B, T) -> final hidden states (B, T, D). With `wanted` (N,), indices into the flattened (B * T) positions, only
        those hidden states, (N, D), which takes less time.

        `positions` (B, T) defaults to those that follow the state; `mask` (B, 1, T, S) is True where a query may look and
        defaults to causal attention; a state is extended by this call. With `spans` the single row (B = 1) holds several
        texts, and the spans say which tokens see each other.
        """
        used = state.used if state is not None else 0
        if positions is None:
            positions = torch.arange(used, used + ids.shape[1], device=ids.device).expand_as(ids)
            if state is not None and state.pad is not None:
                positions = (positions - state.pad[:, None]).clamp(min=0)
        recompute = self.recompute and torch.is_grad_enabled()
        step = Pass(positions, mask=mask, spans=spans, state=state, wanted=wanted, recompute=recompute)
        hidden: Tensor = self.trunk(ids, step)
        if state is not None:
            state.used += ids.shape[1]
        return hidden

    def prefill(self, prompts: list[list[int]], state: State) -> Tensor:
        """Reads a prompt into each row of an empty state -> the hidden state of each prompt's last id (B, D). Shorter prompts
        are padded on the left; no id of a prompt sees the padding."""
        width, rows, device = max(map(len, prompts)), len(prompts), self.device
        state.pad = torch.tensor([width - len(prompt) for prompt in prompts], device=device)
        ids = torch.tensor([[0] * (width - len(prompt)) + prompt for prompt in prompts], device=device)
        return self.hidden(ids, state=state, wanted=torch.arange(1, rows + 1, device=device) * width - 1)

    def step(self, ids: Tensor, state: State) -> Tensor:
        """Reads the next id of every row, (B,) -> their hidden states (B, D)."""
        return self.hidden(ids[:, None], state=state)[:, -1]

    def head(self, hidden: Tensor) -> Tensor:
        """(..., D) -> logits (..., V)."""
        return softcap(F.linear(hidden, self.output), self.config.logit_cap)

    def forward(self, ids: Tensor, **how: Any) -> Tensor:
        """ids (B, T) -> logits (B, T, V); see `hidden` for the rest."""
        return self.head(self.hidden(ids, **how))
