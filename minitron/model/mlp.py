"""MLPs, which work on each position by itself. The names of their weights are those of Hugging Face's Llama and of nanoGPT."""

from torch import Tensor, nn
from torch.nn import functional as F

from minitron.model.costs import Load
from minitron.recipe.schema import ModelConfig


class SwiGLU(nn.Module):
    """down(silu(gate(x)) * up(x)) (Shazeer, arXiv 2002.05202)."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.gate_proj = nn.Linear(config.d_model, config.d_ff, bias=False)
        self.up_proj = nn.Linear(config.d_model, config.d_ff, bias=False)
        self.down_proj = nn.Linear(config.d_ff, config.d_model, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))
        return out

    @staticmethod
    def saved_bytes(config: ModelConfig, load: Load) -> dict[str, int]:
        """What gate and up read; gate, silu(gate), up, their product."""
        gate_up_copies = 2 if load.autocast else 1
        return {
            "Linear's inputs": load.low * config.d_model * gate_up_copies * load.after,
            "MLP": 4 * load.low * load.after * config.d_ff,
        }


class GELU(nn.Module):
    """proj(gelu(fc(x))) with the exact GELU (Hendrycks & Gimpel, arXiv 1606.08415)."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.c_fc = nn.Linear(config.d_model, config.d_ff, bias=config.bias)
        self.c_proj = nn.Linear(config.d_ff, config.d_model, bias=config.bias)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.c_proj(F.gelu(self.c_fc(x)))
        return out

    @staticmethod
    def saved_bytes(config: ModelConfig, load: Load) -> dict[str, int]:
        """What both products read, and GELU's input."""
        return {
            "Linear's inputs": load.low * config.d_model * load.after,
            "MLP": 2 * load.low * load.after * config.d_ff,
        }
