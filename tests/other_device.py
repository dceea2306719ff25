"""A device that is not the CPU, without a GPU: torch's `meta`, whose tensors have no values.

Tensors there have shapes, types and a place. An operation that mixes the two places, as a constant
that was left on the CPU would, is refused here by name; on a GPU it would fail, or be slow.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor
from torch.fx.experimental import _config
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

META = torch.device("meta")
# On a GPU, too, these take tensors of the CPU: copies, and lists of places.
MAY_MIX = {"aten::_to_copy", "aten::copy_", "aten::index.Tensor", "aten::index_put_"}


@contextlib.contextmanager
def apart_from_the_cpu() -> Iterator[None]:
    """Inside, no operation may mix `meta` and the CPU.

    A mask on `meta` is taken as all true, a number that is read from there is 64, and what is
    fetched from there is zeros.
    """
    with patch.object(_config, "meta_nonzero_assume_all_nonzero", True), _OneDevice():
        yield


class _OneDevice(TorchDispatchMode):
    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        there = any(t.device == META for t in tensors)
        # A single number of the CPU may go with tensors of any device.
        here = any(t.device != META and t.dim() for t in tensors)
        if there and here and func.name() not in MAY_MIX:
            shapes = [(str(t.device), tuple(t.shape)) for t in tensors]
            raise AssertionError(f"{func.name()} mixes devices: {shapes}")
        if there and func.name() == "aten::_local_scalar_dense":  # a number is read from there
            return {torch.bool: True, torch.float32: 64.0}.get(tensors[0].dtype, 64)
        to = (kwargs or {}).get("device")
        fetches = func.name().startswith(("aten::_to_copy", "aten::to."))  # the latter in inference
        if there and fetches and to is not None and to != META:
            return torch.zeros_like(tensors[0], device=to)
        return func(*args, **(kwargs or {}))


class Transfer:
    """The way to that device and back; see `extract.backbones.transfer`."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def to_device(self, frames: np.ndarray) -> Tensor:
        return torch.empty(frames.shape, dtype=torch.uint8, device=self.device)

    def to_host(self, rows: Tensor) -> Callable[[], np.ndarray]:
        assert rows.device == self.device and rows.dtype == torch.float32
        return lambda: np.zeros(tuple(rows.shape), np.float32)
