"""Why minitron computes attention with plain matrix products on a CPU where texts are short. Compares torch's fused kernel with
four plain lines, and packed rows under a mask with attention computed sequence by sequence.

Run: .venv/bin/python benchmarks/attention.py. Prints the least time of several turns, forward and backward on one thread, and
writes benchmarks/attention.json.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from minitron.core.device import processor
from minitron.model.segments import Segments, by_segment
from minitron.model.state import Span

HEADS, SIZE, TOKENS, TURNS = 4, 64, 2048, 15
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


def fused(q: Tensor, k: Tensor, v: Tensor, seen: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, attn_mask=seen)


def written(q: Tensor, k: Tensor, v: Tensor, seen: Tensor) -> Tensor:
    mask = torch.zeros((), dtype=q.dtype).masked_fill(~seen, float("-inf"))
    return (q * SIZE**-0.5 @ k.mT + mask).softmax(-1) @ v


def least(ways: dict[str, Callable[[], Tensor]]) -> dict[str, float]:
    """The least milliseconds of each way, forward and backward; the ways take turns."""
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(TURNS):
        for name, way in ways.items():
            start = time.perf_counter()
            way().float().sum().backward()
            best[name] = min(best[name], 1000 * (time.perf_counter() - start))
    return {name: round(ms, 2) for name, ms in best.items()}


def main() -> None:
    torch.set_num_threads(1)
    chance, results = torch.Generator().manual_seed(0), []
    for name, dtype in DTYPES.items():
        for keys in (64, 128, 256, 512, 1024):
            shape = (TOKENS // keys, HEADS, keys, SIZE)
            q, k, v = (torch.randn(shape, generator=chance).to(dtype).requires_grad_() for _ in "qkv")
            causal = torch.ones(keys, keys, dtype=torch.bool).tril()
            ways = {
                "fused, causal": lambda q=q, k=k, v=v: F.scaled_dot_product_attention(q, k, v, is_causal=True),
                "fused, a mask": lambda q=q, k=k, v=v, m=causal: fused(q, k, v, m),
                "written out": lambda q=q, k=k, v=v, m=causal: written(q, k, v, m),
            }
            results.append({"precision": name, "what": f"rows of {keys}", **least(ways)})
        lengths = np.random.default_rng(0).geometric(1 / 54, 200).clip(4, 256)  # distributed as in the demo's dialogues
        lengths = [int(n) for n in lengths[np.cumsum(lengths) <= TOKENS]]
        lengths.append(TOKENS - sum(lengths))
        flat = [torch.randn(1, HEADS, TOKENS, SIZE, generator=chance).to(dtype).requires_grad_() for _ in "qkv"]
        rows = [x.view(HEADS, -1, 256, SIZE).transpose(0, 1) for x in (y.detach()[0] for y in flat)]
        rows = [x.contiguous().requires_grad_() for x in rows]
        owner = torch.arange(len(lengths)).repeat_interleave(torch.tensor(lengths)).view(-1, 256)
        seen = (owner[:, :, None] == owner[:, None, :]).tril()[:, None]
        segments = Segments.of([Span(n) for n in lengths], flat[0])
        ways = {
            "fused, a mask": lambda rows=rows, seen=seen: fused(*rows, seen),
            "written out": lambda rows=rows, seen=seen: written(*rows, seen),
            "by segment": lambda flat=flat, segments=segments: by_segment(*flat, segments, 0.0),
        }
        results.append({"precision": name, "what": f"{len(lengths)} sequences in rows of 256", **least(ways)})
    for line in results:
        print(", ".join(f"{key} {value}" for key, value in line.items()))
    found = {"processor": processor(), "milliseconds": results}
    Path(__file__).with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
