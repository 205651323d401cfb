"""Checks what `minitron export --format gguf` writes: llama.cpp must give torch's logits on the same weights.

Run: .venv/bin/python benchmarks/to_gguf.py. Compares small models of both shapes, with random weights so large that a wrong
detail of the conversion shows in the logits. Exits with 1 if a logit differs by more than 0.02. Needs llama-cpp-python.
"""

import sys
import tempfile
from pathlib import Path

import llamacpp
import numpy as np
import torch

from minitron.interop import gguf
from minitron.model.language_model import LanguageModel
from minitron.recipe.training import ModelConfig


def prove() -> None:
    """Prints the largest difference of the logits for shapes that together use every part of the conversion; exits with 1 if it is
    more than 0.02."""
    small = {"n_layers": 3, "n_heads": 4, "n_kv_heads": 4, "d_model": 128, "d_ff": 384}
    shapes = {
        "nanogpt": ModelConfig(arch="nanogpt", **small),
        "nanogpt, biases": ModelConfig(arch="nanogpt", bias=True, **small),
        "llama": ModelConfig(rope_theta=500.0, **small),
        "llama, grouped": ModelConfig(**small | {"n_kv_heads": 2}),
    }
    ids = torch.randint(512, (1, 200), generator=torch.Generator().manual_seed(1))
    largest = 0.0
    for name, shape in shapes.items():
        torch.manual_seed(1)
        model = LanguageModel(shape, 512).eval()
        with torch.inference_mode(), tempfile.TemporaryDirectory() as folder:
            for tensor in model.parameters():  # so that attention is not uniform, and norms and biases have an effect
                tensor.add_(torch.randn_like(tensor) * (0.1 if tensor.ndim == 2 else 0.3))
                tensor.copy_(tensor.half().float())
            path = Path(folder) / "model.gguf"
            path.write_bytes(gguf.encode(model, None, dtype="f16"))
            want = model(ids)[0, -1].numpy()
            for flash in (False, True):
                gap = np.abs(llamacpp.Peer(path, context=256).logits(ids[0].tolist(), flash=flash) - want).max()
                print(f"{name:<16} flash attention {flash!s:<6} {gap:.4f} of logits spread by {want.std():.2f}")
                largest = max(largest, gap)
    sys.exit(int(largest > 0.02))


if __name__ == "__main__":
    prove()
