"""Devices and precisions: what a wish becomes on this machine."""

import pytest
import torch

from tsatal.errors import InputError
from tsatal.extract.backbones.device import choose_device, choose_dtype


def test_devices_and_dtypes() -> None:
    assert choose_device("cpu") == "cpu"
    assert choose_device("auto") in ("cpu", "cuda")
    assert choose_dtype("auto", "cpu") == "float32"
    assert choose_dtype("auto", "cuda:1") == "bfloat16"
    assert choose_dtype("bfloat16", "cpu") == "bfloat16"
    with pytest.raises(InputError, match="device must be"):
        choose_device("tpu")
    with pytest.raises(InputError, match="device must be"):
        choose_device("cuda:first")
    if not torch.cuda.is_available():
        with pytest.raises(InputError, match="no CUDA device"):
            choose_device("cuda")


def test_a_gpu_that_knows_no_bfloat16_computes_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for capability, dtype in (((7, 5), "float32"), ((8, 0), "bfloat16"), ((9, 0), "bfloat16")):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _, c=capability: c)
        assert choose_dtype("auto", "cuda") == dtype
