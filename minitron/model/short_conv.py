"""`conv`: LFM2's gated short convolution, a layer that sees the last few tokens (arXiv 2511.23404).

    B, C, x = in_proj(h)            each (B, T, D)
    y = C * conv(B * x)             over the last `conv_width` tokens, each channel by itself
    out = o_proj(y)

Its state is the last conv_width - 1 inputs of the convolution. Knows nothing about other layers.

Letters in shapes: B rows, T tokens, D d_model, C channels, w conv_width.
"""

from typing import Any

import torch
from torch import Tensor, nn

from minitron.model.costs import Load
from minitron.model.llama import LlamaBlock
from minitron.model.state import LayerState, Pass
from minitron.recipe.training import ModelConfig


class ConvState(LayerState):
    """The last inputs of a convolution, (B, w - 1, C), the newest one last; zeros at first."""

    def __init__(self, rows: int, width: int, channels: int, *, device: torch.device, dtype: torch.dtype):
        self.inputs = torch.zeros(rows, width - 1, channels, device=device, dtype=dtype)

    def extend(self, x: Tensor) -> Tensor:
        """Appends x (B, T, C) and returns what the convolution of these T tokens reads, (B, w - 1 + T, C)."""
        whole = torch.cat((self.inputs.to(x.dtype), x), 1)
        self.inputs = whole[:, x.shape[1] :].to(self.inputs.dtype)
        return whole

    def select(self, rows: Tensor) -> None:
        self.inputs = self.inputs[rows]

    @property
    def nbytes(self) -> int:
        return self.inputs.nbytes


class CausalConv(nn.Module):
    """A convolution over the last w tokens, each channel by itself and without a bias."""

    def __init__(self, channels: int, width: int):
        super().__init__()
        # (C, 1, w) as in Conv1d, with the newest token's weight last; initialised as in Conv1d
        self.weight = nn.Parameter(torch.empty(channels, 1, width).uniform_(-(width**-0.5), width**-0.5))

    def new_state(self, rows: int, *, device: torch.device, dtype: torch.dtype) -> ConvState:
        channels, _, width = self.weight.shape
        return ConvState(rows, width, channels, device=device, dtype=dtype)

    def forward(self, x: Tensor, positions: Tensor | None = None, state: ConvState | None = None) -> Tensor:
        """x (B, T, C) -> (B, T, C). Without `positions` (B, T) each row is one text from its beginning, and no state is used. With them
        a text begins where the position is 0; a row whose first position is not 0 goes on from the state."""
        taps = self.weight[:, 0].T.to(x.dtype)  # (w, C)
        if positions is None:
            out: Tensor = _FromBeginning.apply(x, taps)  # type: ignore[no-untyped-call]
            return out
        width, length = len(taps), x.shape[1]
        whole = state.extend(x) if state is not None else nn.functional.pad(x, (0, 0, width - 1, 0))
        out = whole[:, width - 1 :] * taps[-1]
        for back in range(1, width):
            there = (positions >= back).unsqueeze(-1)
            out = out + whole[:, width - 1 - back :][:, :length] * taps[-1 - back] * there
        return out


class _FromBeginning(torch.autograd.Function):
    """The convolution for rows that are whole texts from their beginning: takes half the time of torch's on a CPU in fp32."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, taps: Tensor) -> Tensor:
        ctx.save_for_backward(x, taps)
        out = x * taps[-1]
        for back in range(1, len(taps)):
            out[:, back:].addcmul_(x[:, :-back], taps[-1 - back])
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        x, taps = ctx.saved_tensors
        to_x, to_taps = gradient * taps[-1], [(gradient * x).sum((0, 1))]
        for back in range(1, len(taps)):
            later = gradient[:, back:]
            to_x[:, :-back].addcmul_(later, taps[-1 - back])
            to_taps.insert(0, (later * x[:, :-back]).sum((0, 1)))
        return to_x, torch.stack(to_taps)


class ShortConv(nn.Module):
    def __init__(self, config: ModelConfig):
        super().__init__()
        self.in_proj = nn.Linear(config.d_model, 3 * config.d_model, bias=False)
        self.conv = CausalConv(config.d_model, config.conv_width)
        self.o_proj = nn.Linear(config.d_model, config.d_model, bias=False)

    def new_state(self, rows: int, slots: int, *, device: torch.device, dtype: torch.dtype) -> ConvState:
        return self.conv.new_state(rows, device=device, dtype=dtype)

    def forward(self, x: Tensor, step: Pass, state: LayerState | None) -> Tensor:
        before, after, x = self.in_proj(x).chunk(3, dim=-1)
        x = before * x
        if step.segments is not None:
            x = step.segments.in_order(self.conv, x)
        else:
            assert state is None or isinstance(state, ConvState)
            x = self.conv(x, step.restarts, state)
        out: Tensor = self.o_proj(step.keep(after * x))
        return out

    @staticmethod
    def saved_bytes(config: ModelConfig, load: Load) -> dict[str, int]:
        """The inputs of in_proj and o_proj; B, C and x; the convolution's input and output."""
        n, width = load.tokens, config.d_model
        return {"Linear's inputs": load.low * width * n, "convolution": load.low * width * (5 * n + load.after)}

    @staticmethod
    def operations(config: ModelConfig) -> float:
        """Forward and backward, per token: 2 for each weight of the convolution and 1 for each of the two gates, times 3."""
        return 6.0 * config.d_model * (config.conv_width + 1)


class ConvBlock(LlamaBlock):
    mixer = ShortConv

    def parts(self) -> dict[str, nn.Module]:
        return {"convolution": self.self_attn, "MLP": self.mlp}
