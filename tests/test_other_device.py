"""Nothing that belongs on the network's device is left on the CPU: played on torch's `meta`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from tsatal.config import Config, DecodeConfig, load_config
from tsatal.extract.backbones import i3d, i3d_r50
from tsatal.extract.backbones.family import Network
from tsatal.extract.backbones.i3d import DenseI3d
from tsatal.extract.backbones.i3d_r50 import Backbone, build_i3d
from tsatal.extract.backbones.inception import random_inception
from tsatal.head.decode import score_video
from tsatal.head.loop import averaged, make_optimizer
from tsatal.head.losses import HeadLoss
from tsatal.head.model import TSATAL
from tsatal.head.targets import Truth

from .other_device import META, Transfer, apart_from_the_cpu

STEPS, WIDTH = 64, 8


@pytest.mark.parametrize("left", ["a mask", "a weight"])
def test_what_is_left_on_the_cpu_is_found(left: str) -> None:
    x, here = torch.ones(2, 3, device=META), torch.ones(2, 3)
    with apart_from_the_cpu(), pytest.raises(AssertionError, match="mixes devices"):
        _ = x * here if left == "a mask" else torch.addcmul(x, x, here)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", ["i3d_r50", "i3d 8", "i3d 4", "i3d 2"])
def test_a_dense_backbone_stays_on_its_device(
    kind: str, dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (i3d_r50, i3d):
        monkeypatch.setattr(module, "Transfer", Transfer)
        monkeypatch.setitem(module.PIECE_FRAMES, "meta", 256)
    network: Network
    if kind == "i3d_r50":
        network = Backbone(build_i3d(width=8).eval(), device="meta", dtype=dtype)
    else:
        stride = int(kind.split()[1])
        net = random_inception(0, narrow=16)
        network = DenseI3d(net, stride=stride, device="meta", dtype=dtype)
    frames = np.zeros((90, 64, 64, 3), np.uint8)
    with apart_from_the_cpu():
        passage = network.passage()
        rows = [passage.push(frames[:n], last=last)() for n, last in ((60, False), (9, True))]
    stride = 2 if kind == "i3d_r50" else int(kind.split()[1])
    assert sum(map(len, rows)) == (69 // 2 if kind == "i3d_r50" else -(-69 // stride))


def head_of(preset: str) -> tuple[Config, TSATAL]:
    config = load_config(preset, ["model.width=16"])
    head = TSATAL(config.model, width_in=WIDTH, num_classes=3, half_length=4.0, own_norm=8)
    return config, head.to(META)


def truth() -> Truth:
    labels = torch.zeros(2, 3, dtype=torch.long, device=META)
    return Truth(torch.zeros(2, 3, 2, device=META), labels, torch.zeros(2, 1, 2, device=META))


@pytest.mark.parametrize("preset", ["paper", "strong"])
def test_a_training_step_stays_on_its_device(preset: str) -> None:
    config, head = head_of(preset)
    criterion, average = HeadLoss(config.loss).to(META), averaged(head, decay=0.99)
    optimizer = make_optimizer(head, lr=0.01, weight_decay=0.05)
    features = torch.zeros(2, STEPS, WIDTH, device=META)
    valid = torch.ones(2, STEPS, dtype=torch.bool, device=META)
    with apart_from_the_cpu():
        for _ in range(2):  # the first update of the average is a copy
            loss, parts = criterion(head(features, valid), truth(), num_steps=STEPS)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(head.parameters(), 1.0)
            optimizer.step()
            average.update_parameters(head)
    assert {t.device for t in (loss, *parts.values())} == {META}


@pytest.mark.parametrize("window_steps", [16, 200])
@pytest.mark.parametrize("preset", ["paper", "strong"])
def test_detection_stays_on_its_device(preset: str, window_steps: int) -> None:
    config, head = head_of(preset)
    decode: DecodeConfig = config.decode
    with apart_from_the_cpu():
        points = score_video(
            head.eval(), np.zeros((STEPS, WIDTH), np.float32), decode,
            window_steps=max(window_steps, 2 ** (config.model.levels - 1)),
            align=2 ** (config.model.levels - 1), batch_size=2, device=META,
        )  # fmt: skip
    assert {t.device.type for t in vars(points).values()} == {"cpu"}


def test_a_level_is_known_whatever_a_logarithm_rounds_to() -> None:
    """A GPU's logarithm of 8 may be a little less than 3, which cut off would be another level."""
    config = load_config("strong", ["model.width=16"])
    head = TSATAL(config.model, width_in=WIDTH, num_classes=3, half_length=4.0).eval()
    rough: Callable[[Tensor], Tensor] = Tensor.log2
    features, valid = torch.randn(1, STEPS, WIDTH), torch.ones(1, STEPS, dtype=torch.bool)
    assert head.final_heads is not None and head.final_heads.log_scale is not None
    torch.nn.init.normal_(head.final_heads.log_scale)
    with torch.no_grad(), pytest.MonkeyPatch.context() as patched:
        exact = head(features, valid).final.distances
        patched.setattr(Tensor, "log2", lambda x: rough(x) - 1e-6)
        assert torch.equal(head(features, valid).final.distances, exact)
