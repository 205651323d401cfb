"""Work for the machines of a Ray cluster, whose results come in the order of the items. Needs: pip install 'minitron[ray]'

    with ordered(work, items, address="auto") as results:
        for result in results: ...

Like `processes.ordered`, but with Ray Data, which sends results over the network: the machines need minitron, but no disk in common.
`work`, the items and the results must be picklable. Knows nothing about the work.
"""

import functools
import logging
import pickle
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

from minitron.core.errors import MinitronError

Item = TypeVar("Item")
Result = TypeVar("Result")


def check_installed(option: str) -> None:
    """Raises MinitronError if Ray, which `option` needs, is not installed."""
    try:
        import ray.data  # noqa: F401
    except ImportError:
        hint = f"pip install 'minitron[ray]', or leave {option} out"
        raise MinitronError(f"{option} needs the library ray, which is not installed", hint=hint) from None


@contextmanager
def ordered(work: Callable[[Item], Result], items: Sequence[Item], *, address: str) -> Iterator[Iterator[Result]]:
    """The results of work(item), in the order of the items. What `work` raises is raised where its result would have come.

    `address` is "local" (a cluster of this computer alone, which ends with this process), "auto" (the cluster that this computer belongs
    to), "ray://host:port", or the address of a head node. Raises MinitronError if there is no cluster at it.
    """
    from ray.data import DataContext, from_items

    _join(address)
    context = DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = False
    for part in ("ray", "ray.data"):
        logging.getLogger(part).setLevel(logging.ERROR)
    rows = [{"item": pickle.dumps(item)} for item in items]
    if not rows:
        yield iter(())
        return
    outcomes = iter(from_items(rows, override_num_blocks=len(rows)).map(partial(_outcome, work)).iter_rows())
    try:
        yield map(_result, outcomes)
    finally:
        outcomes.close()  # else work that is not wanted any more would keep the cluster's cores busy


@functools.cache  # a process can't leave a cluster and join another: Ray keeps handles of the first
def _join(address: str) -> None:
    import ray

    with warnings.catch_warnings(action="ignore"):
        try:
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR, configure_logging=False)
        except (ConnectionError, ValueError, RuntimeError) as error:
            hint = "begin one with `ray start --head`, name its address, or write 'local'"
            raise MinitronError(f"there is no Ray cluster at {address}", hint=hint) from error


def _outcome(work: Callable[[Any], Any], row: dict[str, bytes]) -> dict[str, bytes]:
    """Runs on one of the machines. Returns what `work` returns, or the exception that it raises, which Ray would wrap into its own."""
    try:
        found = (work(pickle.loads(row["item"])), None)
    except Exception as error:
        found = (None, error)
    return {"outcome": pickle.dumps(found)}


def _result(row: dict[str, bytes]) -> Any:
    result, error = pickle.loads(row["outcome"])
    if error is not None:
        raise error
    return result
