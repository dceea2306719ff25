"""Several processes that train as one (`torchrun --nproc-per-node N -m tsatal train ...`).

Each takes its share of every batch on a device of its own; gradients, batch-norm statistics and the
counts that losses are divided by are those of the whole batch. The first process alone writes.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TypeVar

import torch
from torch import Tensor
from torch import distributed as dist

T = TypeVar("T")


def launched_processes() -> int:
    """Return how many processes `torchrun` has started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


@contextlib.contextmanager
def joined(device: torch.device) -> Iterator[torch.device]:
    """Meet the other processes, if there are any, and yield the device of this one."""
    if launched_processes() == 1 or dist.is_initialized():
        yield device
        return
    if device.type == "cuda":
        device = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield device
    finally:
        dist.destroy_process_group()


def processes() -> int:
    """Return how many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Return the number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def wait_for_all() -> None:
    """Return when every process has come here."""
    if dist.is_initialized():
        dist.barrier()


def of_first(value: T) -> T:
    """Return the value that the first process has passed, in all of them."""
    if not dist.is_initialized():
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def of_all(value: T) -> list[T]:
    """Return what every process has passed, in the order of their ranks, in all of them."""
    if not dist.is_initialized():
        return [value]
    boxes: list[T] = [value] * processes()
    dist.all_gather_object(boxes, value)
    return boxes


def sum_over_processes(x: Tensor) -> Tensor:
    """Return the sum of `x` over all processes, a new tensor; no gradient flows through it."""
    return add_up(x.detach().clone())


def add_up(x: Tensor) -> Tensor:
    """Return `x` after adding to it, in place, that of all other processes."""
    if dist.is_initialized():
        dist.all_reduce(x)
    return x
