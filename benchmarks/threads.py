"""Why each thread gets a micro-batch of its own, and why torch's threads soon sleep when they wait for each other.

Run: .venv/bin/python benchmarks/threads.py. Prints medians of alternating runs and writes benchmarks/threads.json:

- tokens per second of a training step with one batch for all threads and with one per thread, alone and beside busy programs;
- tokens per second with one batch for all threads, of one program and of the slower of two at once. A waiting thread looks 300,000
  times whether the others are ready before it sleeps (OpenMP's own choice), or 1,000 times (as minitron/__init__.py sets it).
"""

import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import torch

from minitron.core import parallel
from minitron.data.packing import collate
from minitron.model.language_model import LanguageModel
from minitron.recipe.training import ModelConfig
from minitron.train.passes import accumulate, summed_loss
from minitron.train.precision import autocast

ROWS, CONTEXT, STEPS = 16, 256, 6
CHILD, WAITING = "child", ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")


def spin() -> None:
    while True:
        pass


def setting():
    """Three things: a function that trains a model on batches and returns tokens per second; one batch for all threads; and the same
    rows as one batch per thread."""
    torch.manual_seed(0)
    shape = ModelConfig(n_layers=4, n_heads=3, n_kv_heads=3, d_model=192, d_ff=512, context=CONTEXT)
    model = LanguageModel(shape, 2048)
    chance = torch.Generator().manual_seed(0)
    ids = torch.randint(2048, (ROWS, CONTEXT + 1), generator=chance).numpy()
    mask = (torch.rand((ROWS, CONTEXT + 1), generator=chance) < 0.45).numpy()
    pairs = list(zip(ids, mask, strict=True))
    whole = collate([[p] for p in pairs], context=CONTEXT)
    cores = parallel.cores()
    halves = [collate([[p] for p in pairs[i::cores]], context=CONTEXT) for i in range(cores)]

    def part(batch):
        with autocast(model.device, "bf16"):
            return summed_loss(model, batch), None

    def step(batches) -> float:
        start = time.perf_counter()
        for _ in range(STEPS):
            accumulate(model, [partial(part, b) for b in batches])
            model.zero_grad(set_to_none=True)
        return STEPS * ROWS * CONTEXT / (time.perf_counter() - start)

    return step, [whole], halves


def at_once(count: int, **settings: str) -> float:
    """Tokens per second of the slowest of `count` programs that run at once, with `settings` in their environment."""
    env = {name: value for name, value in os.environ.items() if name not in WAITING} | settings
    command = [sys.executable, __file__, CHILD]
    running = [subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) for _ in range(count)]
    return min(float(program.communicate()[0]) for program in running)


def main() -> None:
    step, whole, halves = setting()
    if sys.argv[1:] == [CHILD]:
        step(whole)
        print(statistics.median(step(whole) for _ in range(3)))
        return
    results = {}
    for busy_programs in (0, 1, 2):
        beside = f"beside {busy_programs} busy programs" if busy_programs else "alone"
        others = [multiprocessing.Process(target=spin, daemon=True) for _ in range(busy_programs)]
        for other in others:
            other.start()
        speeds = {"one batch, torch's threads": [], "one micro-batch per thread": []}
        step(whole)
        step(halves)
        for _ in range(5):
            speeds["one batch, torch's threads"].append(step(whole))
            speeds["one micro-batch per thread"].append(step(halves))
        results[beside] = {name: round(statistics.median(values)) for name, values in speeds.items()}
        for other in others:
            other.terminate()
    for count in (1, 2):
        speeds = {"OpenMP's own 300,000": [], "minitron's 1,000": []}
        for _ in range(3):
            speeds["OpenMP's own 300,000"].append(at_once(count))
            speeds["minitron's 1,000"].append(at_once(count, GOMP_SPINCOUNT="1000"))
        at = f"{count} at once, looks before sleep"
        results[at] = {name: round(statistics.median(values)) for name, values in speeds.items()}
    for beside, speeds in results.items():
        for name, value in speeds.items():
            print(f"{beside:<32} {name:<30} {value:>8,} tokens/s (bf16)")
    Path(__file__).with_suffix(".json").write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
