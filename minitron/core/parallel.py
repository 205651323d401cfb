"""Spreads work over the CPU's cores by whole batches, not inside each operation.

Tiny models make tiny operations: torch's own threads meet at a barrier hundreds of times in a step, and if another
program takes one of the cores for a moment, all wait. Threads with a batch each meet once, and are no slower on an idle
machine (`benchmarks/threads.py`). On other devices the batches are computed one after the other.
"""

import functools
import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

import torch

from minitron.core import distributed, processes

Item = TypeVar("Item")
Result = TypeVar("Result")

_here = threading.local()  # .working: this thread is one of the pool's


def cores() -> int:
    """Cores that this process may use; several processes of one run divide them."""
    return max(1, processes.cores() // distributed.local_world_size())


@functools.cache
def _pool(workers: int) -> ThreadPoolExecutor:
    """A pool of threads. It is kept, since a step that starts new threads takes longer (by a sixth, in kto with the demo)."""
    return ThreadPoolExecutor(workers, thread_name_prefix="minitron")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # a forked process has none of the threads


def parallel_map(work: Callable[[Item], Result], items: Iterable[Item], *, device: torch.device) -> list[Result]:
    """[work(item) for item in items], in order. `work` must set its own autocast and inference mode: both are per thread."""
    items, working = list(items), getattr(_here, "working", False)
    alone = device.type != "cpu" or working  # a worker must not wait for others
    workers = 1 if alone else min(len(items), cores())
    if workers <= 1:
        if not working:
            torch.set_num_threads(cores())
        return [work(item) for item in items]
    threads = cores() // workers

    def one(item: Item) -> Result:
        _here.working = True
        torch.set_num_threads(threads)  # each time: part of the setting is the thread's, part the process's
        return work(item)

    running = [_pool(cores()).submit(one, item) for item in items]
    try:
        return [future.result() for future in running]
    except BaseException:  # also Ctrl-C: work that has not begun is cancelled
        for future in running:
            future.cancel()
        wait(running)
        raise
