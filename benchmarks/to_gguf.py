"""What `minitron export --format gguf` writes, proven: llama.cpp gives torch's logits on the very same weights.

Run: .venv/bin/python benchmarks/to_gguf.py. Small models of both shapes, with weights so large that no detail stays hidden, give
the same logits in torch and in llama.cpp. Needs llama-cpp-python.
"""

import sys
import tempfile
from pathlib import Path

import llamacpp
import numpy as np
import torch

from minitron.interop import gguf
from minitron.model.language_model import LanguageModel
from minitron.recipe.schema import ModelConfig


def prove() -> None:
    """Prints the largest difference of F16 logits for shapes that use every part of the conversion; ends with 1 if large."""
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
            for tensor in model.parameters():  # attention that looks somewhere, norms and biases that do something
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
