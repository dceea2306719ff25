"""Devices and precisions: what a wish becomes on this machine."""

import pytest
import torch

from tsatal.errors import InputError
from tsatal.extract.backbones import device as module
from tsatal.extract.backbones.device import choose_device, choose_dtype


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that says it has two, of which nothing is asked."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(module, "_try", lambda _: None)


def test_devices_and_dtypes() -> None:
    assert choose_device("cpu") == "cpu"
    assert choose_device("auto") in ("cpu", "cuda")
    assert choose_dtype("auto", "cpu") == "float32"
    assert choose_dtype("bfloat16", "cpu") == "bfloat16"
    for wrong in ("tpu", "cuda:first", "cuda:", "cuda:-1", "cuda:99999", "cpu:0", "cuda:0\n"):
        with pytest.raises(InputError, match="device must be"):
            choose_device(wrong)
    if not torch.cuda.is_available():
        assert choose_dtype("auto", "cuda:1") == "bfloat16"  # of another machine
        with pytest.raises(InputError, match="no CUDA device"):
            choose_device("cuda")


def test_a_gpu_is_taken_by_its_number(two_gpus: None) -> None:
    assert [choose_device(d) for d in ("auto", "cuda", "cuda:0", "cuda:1", "cpu")] == [
        "cuda", "cuda", "cuda:0", "cuda:1", "cpu"
    ]  # fmt: skip
    with pytest.raises(InputError, match="'cuda:2': there are 2 CUDA devices, counted from 0"):
        choose_device("cuda:2")


@pytest.mark.parametrize(
    ("says", "remedy"),
    [
        ("CUDA error: out of memory\nCUDA kernel errors might be", "another program fills it"),
        ("CUDA error: no kernel image is available for execution", "use --device cpu"),
    ],
)
def test_a_gpu_that_does_not_compute_is_told(
    two_gpus: None, says: str, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ones(*_: object, **__: object) -> None:
        raise RuntimeError(says)

    monkeypatch.undo()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch, "ones", ones)
    with pytest.raises(InputError, match=rf"does not compute \(CUDA error: .*\); {remedy}"):
        choose_device("auto")


@pytest.mark.cuda
def test_a_gpu_that_is_not_there_is_told() -> None:
    with pytest.raises(InputError, match="counted from 0"):
        choose_device(f"cuda:{torch.cuda.device_count()}")
    assert choose_device("cuda:0") == "cuda:0" and choose_device("auto") == "cuda"


def test_a_gpu_that_knows_no_bfloat16_computes_in_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for capability, dtype in (((7, 5), "float32"), ((8, 0), "bfloat16"), ((9, 0), "bfloat16")):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _, c=capability: c)
        assert choose_dtype("auto", "cuda") == dtype
