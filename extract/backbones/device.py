"""Where a network runs and in which precision: a user's wish to what this machine has."""

from __future__ import annotations

import re

import torch

from ...errors import InputError


def choose_device(device: str) -> str:
    """Return `cpu` or `cuda` for `auto`, and `cpu` or `cuda[:index]` as they are.

    Raises:
        InputError: an unknown name, or CUDA where there is none.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if not re.fullmatch(r"cpu|cuda(:\d+)?", device):
        raise InputError(f"device must be auto, cpu or cuda, is {device!r}")
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(f"device {device!r}: this torch finds no CUDA device; use --device cpu")
    return device


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
