"""Several processes that train as one (`torchrun --nproc-per-node N -m tsatal train ...`).

Each process takes its share of every batch on a device of its own; gradients, batch-norm statistics
and divisors of losses are those of the whole batch, so buffers agree. Only rank 0 writes files.
The functions are named after those of `torch.distributed`; a process alone needs none of it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TypeVar

import torch
from torch import Tensor
from torch import distributed as dist

from ..errors import InputError

T = TypeVar("T")


@contextlib.contextmanager
def process_group(device: torch.device) -> Iterator[torch.device]:
    """Join the other processes that `torchrun` started, if any; yield this process's device.

    Raises:
        InputError: there are more processes on this machine than GPUs.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or dist.is_initialized():
        yield device
        return
    if device.type == "cuda":
        own, count = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if own >= count:
            raise InputError(
                f"torchrun: process {own} has no GPU of its own, since there are {count} here"
                f"; start {count} with --nproc-per-node, or train with --device cpu"
            )
        device = torch.device("cuda", own)
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield device
    finally:
        dist.destroy_process_group()


def world_size() -> int:
    """Return the number of processes that train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Return the number of this process, from 0."""
    return dist.get_rank() if dist.is_initialized() else 0


def barrier() -> None:
    """Wait until every process has come here."""
    if dist.is_initialized():
        dist.barrier()


def broadcast(value: T) -> T:
    """Return rank 0's value in all processes."""
    return all_gather(value)[0]


def all_gather(value: T) -> list[T]:
    """Return the values of all processes, by rank, in all of them."""
    if not dist.is_initialized():
        return [value]
    boxes: list[T] = [value] * world_size()
    dist.all_gather_object(boxes, value)
    return boxes


def all_reduce(x: Tensor) -> Tensor:
    """Return `x` after the `x` of all other processes was added to it in place; no gradient."""
    if dist.is_initialized():
        dist.all_reduce(x)
    return x
