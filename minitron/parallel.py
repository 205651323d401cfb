"""Work spread over the CPU's cores by whole batches, not inside each operation.

Tiny models make tiny operations: torch's own threads meet at a barrier hundreds of times in a step, and where another
program takes one of the cores for a moment, all wait. One batch per thread meets once, and costs nothing when alone
(`benchmarks/threads.py`). On other devices the work is done in turn.
"""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

from minitron import distributed

Item = TypeVar("Item")
Result = TypeVar("Result")


def cores() -> int:
    """Cores that this process may use; several processes of one run divide them."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, count // distributed.beside())


def each(work: Callable[[Item], Result], items: Iterable[Item], *, device: torch.device) -> list[Result]:
    """[work(item) for item in items], in order. `work` sets its own autocast and inference mode: both are per thread."""
    items = list(items)
    workers = min(len(items), cores()) if device.type == "cpu" else 1
    if workers <= 1:
        torch.set_num_threads(cores())  # an earlier pool may have lowered it: part of the setting is the process's
        return [work(item) for item in items]

    with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(cores() // workers,)) as pool:
        running = [pool.submit(work, item) for item in items]
        try:
            return [future.result() for future in running]
        except BaseException:  # Ctrl-C too: what has not begun never does
            pool.shutdown(wait=False, cancel_futures=True)
            raise
