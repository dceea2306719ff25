"""Where a network runs and in which precision: a user's wish to what this machine has."""

from __future__ import annotations

import re

import torch

from ...errors import InputError, is_out_of_memory, one_line


def choose_device(device: str) -> str:
    """Return `cpu` or `cuda` for `auto`, and `cpu` or `cuda[:index]` as they are.

    Raises:
        InputError: an unknown name, CUDA where there is none, or a GPU that is not there or does
            not compute.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if not re.fullmatch(r"cpu|cuda(:\d{1,4})?", device):
        raise InputError(f"device must be auto, cpu, cuda or cuda:NUMBER, is {device!r}")
    if device == "cpu":
        return device
    if not torch.cuda.is_available():
        raise InputError(f"device {device!r}: this torch finds no CUDA device; use --device cpu")
    number, count = int(device.partition(":")[2] or 0), torch.cuda.device_count()
    if number >= count:
        raise InputError(
            f"device {device!r}: there are {count} CUDA devices, counted from 0"
            "; CUDA_VISIBLE_DEVICES may hide others"
        )
    _try(device)
    return device


def _try(device: str) -> None:
    """Compute something on a GPU: one that is full, broken, or too old for torch fails here.

    Raises:
        InputError: it does not compute.
    """
    try:
        torch.ones(8, device=device).sum().item()
    except (RuntimeError, AssertionError) as e:
        busy = is_out_of_memory(e)
        remedy = "another program fills it; `nvidia-smi` says which" if busy else "use --device cpu"
        raise InputError(f"device {device!r}: does not compute ({one_line(e)}); {remedy}") from None


def choose_dtype(dtype: str, device: str) -> str:
    """Return `float32` or `bfloat16` for `auto`, and others as they are.

    Auto is bfloat16 on a GPU that computes in it (Ampere and later), else float32.
    """
    if dtype != "auto":
        return dtype
    if not device.startswith("cuda"):
        return "float32"
    # A GPU that only another machine has is taken for a recent one.
    recent = not torch.cuda.is_available() or torch.cuda.get_device_capability(device)[0] >= 8
    return "bfloat16" if recent else "float32"
