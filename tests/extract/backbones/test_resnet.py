"""The network without pytorchvideo is pytorchvideo's, to the last bit."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tsatal.extract.backbones import i3d_r50, resnet
from tsatal.extract.backbones.i3d_r50 import random_i3d


@pytest.mark.parametrize(("channels", "width"), [(3, 64), (2, 8)])
def test_the_network_is_pytorchvideos(
    channels: int, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pytorchvideo")
    torch.manual_seed(0)
    stock = i3d_r50.build_i3d(channels, width=width).eval()
    monkeypatch.setattr(i3d_r50, "_stock_create_resnet", lambda: None)
    torch.manual_seed(0)
    ours = i3d_r50.build_i3d(channels, width=width).eval()
    assert isinstance(ours, resnet.Net) and not isinstance(stock, resnet.Net)
    state, expected = ours.state_dict(), stock.state_dict()
    assert list(state) == list(expected)
    assert all(torch.equal(state[name], expected[name]) for name in expected)
    for net in (stock, ours):  # every branch speaks
        for module in net.modules():
            if isinstance(module, torch.nn.BatchNorm3d):
                torch.nn.init.constant_(module.weight, 0.5)
    clip = torch.randn(1, channels, 5, 32, 32)
    with torch.inference_mode():
        assert torch.equal(ours(clip), stock(clip))


def test_random_networks_are_the_same_with_and_without(monkeypatch: pytest.MonkeyPatch) -> None:
    stock = random_i3d(3, width=8).state_dict()
    monkeypatch.setattr(i3d_r50, "_stock_create_resnet", lambda: None)
    ours = random_i3d(3, width=8).state_dict()
    assert all(torch.equal(ours[name], stock[name]) for name in stock)


UNFIT = {
    "RuntimeError": "raise RuntimeError('operator torchvision::nms does not exist')",
    "AttributeError": "import torch; torch.nosuch",
    "ImportError": "raise ImportError('libcudart.so.13: cannot open shared object file')",
}


@pytest.mark.parametrize("code", UNFIT.values(), ids=UNFIT)
def test_a_torchvision_that_does_not_fit_stops_nothing(code: str, tmp_path: Path) -> None:
    """It is not needed, and what stands in for it is gone afterwards."""
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text(code)
    assert network_beside(tmp_path) == "pytorchvideo.models.net []"


def test_a_pytorchvideo_that_cannot_be_imported_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "pytorchvideo").mkdir()
    (tmp_path / "pytorchvideo" / "__init__.py").write_text(
        "import torchvision.transforms.functional_tensor_of_2022"
    )
    assert network_beside(tmp_path) == "tsatal.extract.backbones.resnet []"


def network_beside(folder: Path) -> str:
    """Return where the network comes from where `folder` goes before all other packages."""
    program = (
        f"import sys; sys.path.insert(0, {str(folder)!r})\n"
        "from tsatal.extract.backbones.i3d_r50 import build_i3d\n"
        "net = build_i3d(width=8)\n"
        "print(type(net).__module__, [m for m in sys.modules if m.startswith('torchvision')])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()
