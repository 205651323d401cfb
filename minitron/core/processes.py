"""Spreads work over all cores: Python's own work by other processes of minitron, and work that libraries do without holding Python's
lock, such as Arrow's, by threads. Results come in the order of the items.

    with ordered(work, items, workers=8) as results:
        for result in results: ...

For other processes, `work` and the items must be picklable. Knows nothing about the work.
"""

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from multiprocessing import connection
from typing import TypeVar

from minitron.core.errors import MinitronError

Item = TypeVar("Item")
Result = TypeVar("Result")


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def ordered(
    work: Callable[[Item], Result], items: Iterable[Item], *, workers: int, threads: bool = False
) -> Iterator[Iterator[Result]]:
    """The results of work(item), in the order of the items, by `workers` processes or, with `threads`, threads of this process. Only
    a few more items than there are workers are under way at a time.

    With one worker the work is done where the results are taken. What `work` raises is raised where its result would have come.
    """
    if workers <= 1:
        yield map(work, items)
        return
    pool = ThreadPoolExecutor(workers) if threads else _processes(workers)
    try:
        yield _results(pool, work, iter(items), ahead=workers + 2)
    finally:
        pool.shutdown(cancel_futures=True)


def _processes(workers: int) -> ProcessPoolExecutor:
    # Not forked: this process has threads, of torch and Arrow, and a forked process would have their locks without the threads.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_begin)


def _results(pool: Executor, work: Callable[[Item], Result], items: Iterator[Item], *, ahead: int) -> Iterator[Result]:
    try:
        running = deque(pool.submit(work, item) for item in islice(items, ahead))
        while running:
            result = running.popleft().result()
            running.extend(pool.submit(work, item) for item in islice(items, 1))
            yield result
    except BrokenProcessPool as error:
        hint = "it may have been out of memory: free some, or set data.workers = 1"
        raise MinitronError("a process that was reading was ended from outside", hint=hint) from error


def _begin() -> None:
    """Prepares a worker: it ignores Ctrl-C, which the parent process answers, and ends when the parent does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent
    threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    connection.wait([sentinel])
    os._exit(1)
