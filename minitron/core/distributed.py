"""One training run on several devices: one process each, started by torchrun.

    torchrun --nproc-per-node 2 -m minitron sft RECIPE

All processes hold the same weights (or, with `shard`, a part each) and read the same rows; each computes its share of a
step's micro-batches, and gradients are summed before the one update that all of them make. Only the first process writes,
speaks and does what is not training. Without torchrun every function here does nothing and costs nothing: torch is
imported only where there are several processes. Knows nothing about what is trained.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

from minitron.core import console
from minitron.core.errors import MinitronError

Result = TypeVar("Result")

BUCKET_WEIGHTS = 1 << 25  # gradients summed in one message: 128 MiB in fp32
# How long the others wait while the first packs rows or evaluates; torchrun sees who died
COLLECTIVE_TIMEOUT = timedelta(days=30)
LINGER_SECONDS = 2.0  # torchrun ends all processes within a moment of the first failure

_rank, _world, _local_world = 0, 1, 1
_parent = 0  # torchrun's process id
_control: Any = None  # a gloo group on CPU tensors, for counts and decisions


def launched() -> bool:
    """Whether torchrun started this process beside others. WORLD_SIZE alone does not tell: cluster images set it, too."""
    return "TORCHELASTIC_RUN_ID" in os.environ and int(os.environ.get("WORLD_SIZE", 1)) > 1


def rank() -> int:
    """This process's number, from 0."""
    return _rank


def world() -> int:
    """How many processes work together right now: 1 without torchrun, and within `on_rank0`."""
    return _world


def local_world_size() -> int:
    """How many processes of the run share this machine's cores."""
    return _local_world


@contextmanager
def joined() -> Iterator[None]:
    """Joins the processes that torchrun started; without torchrun does nothing. CUDA tensors go through NCCL, others through gloo.

    Raises MinitronError if another process has died: torchrun is then about to end this one.
    """
    global _rank, _world, _local_world, _parent, _control
    if not launched():
        yield
        return
    import torch
    from torch import distributed as dist

    local = int(os.environ["LOCAL_RANK"])
    if local < torch.cuda.device_count():
        torch.cuda.set_device(local)  # what "cuda" means from here on
    dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
    _control = dist.new_group(backend="gloo", timeout=COLLECTIVE_TIMEOUT)
    _rank, _world, _local_world = dist.get_rank(), dist.get_world_size(), int(os.environ["LOCAL_WORLD_SIZE"])
    _parent = os.getppid()
    console.quiet(_rank > 0)
    try:
        yield
        dist.destroy_process_group()
    except RuntimeError as error:
        if not any(sign in str(error) for sign in ("Connection closed by peer", "Connection reset by peer")):
            raise
        _speak_last()
        raise MinitronError(
            "another process of this run has ended", hint="the same command goes on from the last checkpoint"
        ) from error
    except MinitronError:
        _speak_last()
        raise
    finally:
        _rank, _world, _local_world, _control = 0, 1, 1, None


def _speak_last() -> None:
    """Sees to it that an error of all processes is printed once: by the first one, while the others wait for torchrun to end them.
    One that is still there after LINGER_SECONDS may print its own."""
    if _rank:
        time.sleep(LINGER_SECONDS)
        console.quiet(False)


def on_rank0(work: Callable[[], Result]) -> Result:
    """Calls work() on the first process alone, while the others wait; returns its result, which must be picklable, on all.

    If `work` fails, the others exit without a message. Within `work` there is one process: `world()` is 1.
    """
    global _world, _local_world
    if _world == 1:
        return work()
    from torch import distributed as dist

    told: list = [None, None]  # the result, or an exit status
    if _rank == 0:
        together = _world, _local_world
        _world = _local_world = 1
        try:
            told[0] = work()
        except BaseException as error:
            told[1] = getattr(error, "code", None) or (130 if isinstance(error, KeyboardInterrupt) else 1)
            raise
        finally:
            _world, _local_world = together
            dist.broadcast_object_list(told, src=0, group=_control)
        return told[0]
    dist.broadcast_object_list(told, src=0, group=_control)
    if told[1] is not None:
        sys.exit(told[1])
    return told[0]


def broadcast(value: Result) -> Result:
    """The first process's value, so that all use the same one where each has measured or found its own."""
    return on_rank0(lambda: value)


def shard(items: Sequence) -> list:
    """This process's part of the items. All processes get equally many, filled up with None if the items do not suffice.

    The numbers are equal because a sharded model's blocks are gathered in every forward pass: all processes must make the same
    number of passes.
    """
    mine = list(items[_rank::_world] if _world > 1 else items)
    return mine + [None] * (-(-len(items) // _world) - len(mine))


def all_reduce_sum(*values: float) -> list[float]:
    """Each value summed over all processes, in fp64. Raises MinitronError if torchrun itself was killed: these processes must end,
    since the same command would start others beside them."""
    if _world == 1:
        return list(values)
    if os.getppid() != _parent:
        raise MinitronError("torchrun has ended", hint="the same command goes on from the last checkpoint")
    import torch
    from torch import distributed as dist

    sums = torch.tensor(values, dtype=torch.float64)
    dist.all_reduce(sums, group=_control)
    return sums.tolist()


def check_shares(device: Any, *, stage: str, accumulation: int) -> None:
    """Raises MinitronError if the processes cannot share the work of a training stage."""
    if _world == 1:
        return
    import torch

    if accumulation % _world:
        raise MinitronError(
            f"{stage}.accumulation is {accumulation}: {_world} processes cannot share so many micro-batches evenly",
            hint=f"make it a multiple of {_world}, or change --nproc-per-node",
        )
    if device.type not in ("cpu", "cuda"):
        raise MinitronError(
            f"several processes cannot train on {device.type}", hint="add device=cpu, or use one process"
        )
    if device.type == "cuda" and _local_world > torch.cuda.device_count():
        raise MinitronError(
            f"{_local_world} processes were started where there are {torch.cuda.device_count()} GPUs",
            hint="--nproc-per-node gpu starts one for each",
        )


def prepare(model: Any, blocks: Sequence, *, stage: str, accumulation: int, shard: bool) -> None:
    """Gives all processes the first one's weights. With `shard` each process keeps only a part of them (FSDP2: torch's
    `fully_shard`, arXiv 2304.11277): a part of each of the `blocks`, and a part of all other weights together.

    Raises MinitronError if the processes cannot share the work.
    """
    if _world == 1:
        return
    from torch import distributed as dist
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard, register_fsdp_forward_method

    device = model.device
    check_shares(device, stage=stage, accumulation=accumulation)
    for weight in model.parameters():
        dist.broadcast(weight.detach(), src=0)
    if not shard:
        return
    mesh = init_device_mesh(device.type, (_world,))
    for module in (*blocks, model):
        fully_shard(module, mesh=mesh)
        # The loss is divided by all targets of the step, so gradients are summed, not averaged. Gloo can only add.
        module.set_gradient_divide_factor(1.0)
        module.set_force_sum_reduction_for_comms(True)
    register_fsdp_forward_method(model, "hidden")


def sharded(model: Any) -> bool:
    """Whether each process holds only a part of the weights."""
    return hasattr(model, "set_gradient_divide_factor")  # fully_shard makes the model an FSDPModule


def sum_gradients(model: Any) -> None:
    """Adds up `.grad` over the processes; a sharded model has done so in its backward pass."""
    if _world == 1 or sharded(model):
        return
    from torch import distributed as dist
    from torch.nn.utils import parameters_to_vector, vector_to_parameters

    bucket, size = [], 0
    gradients = [p.grad for p in model.parameters() if p.requires_grad]
    for gradient in gradients:
        bucket.append(gradient)
        size += gradient.numel()
        if size >= BUCKET_WEIGHTS or gradient is gradients[-1]:
            flat = parameters_to_vector(bucket)
            dist.all_reduce(flat)
            vector_to_parameters(flat, bucket)
            bucket, size = [], 0


def full(tensor: Any) -> Any:
    """The whole tensor, on all processes, if they hold it in parts; any other tensor as it is."""
    return tensor.full_tensor() if hasattr(tensor, "full_tensor") else tensor


def part_of(tensor: Any, weight: Any) -> Any:
    """This process's part of a tensor that all have whole, cut as `weight` is; the whole tensor if the weight is not cut."""
    if not hasattr(weight, "full_tensor"):
        return tensor
    from torch.distributed.tensor import distribute_tensor

    return distribute_tensor(tensor, weight.device_mesh, weight.placements, src_data_rank=None)


def whole(value: Any) -> Any:
    """The same dicts and lists with whole tensors for those that processes hold in parts. They are gathered one by one, in the
    first process's memory.

    All processes must call it. The others get None for such tensors.
    """
    if isinstance(value, dict):
        return {key: whole(item) for key, item in value.items()}
    if isinstance(value, list):
        return [whole(item) for item in value]
    if not hasattr(value, "full_tensor"):
        return value
    tensor = value.detach().full_tensor()
    return tensor.cpu() if _rank == 0 else None


def parts_of(state: dict, optimizer: Any) -> dict:
    """An optimizer's whole state, as `whole` gave it, cut as this optimizer's weights are; the state as it is if they are not cut."""
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    if not any(hasattr(weight, "full_tensor") for weight in weights):
        return state

    def cut(value: Any, weight: Any) -> Any:
        fits = getattr(value, "shape", None) == weight.shape  # AdamW's count of steps does not
        return part_of(value.to(weight.device), weight) if fits else value

    states = {i: {name: cut(value, weights[i]) for name, value in one.items()} for i, one in state["state"].items()}
    return state | {"state": states}
