from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from tsatal.extract.backbones import folded
from tsatal.extract.backbones.folded import (
    Carried,
    FoldedConv,
    FoldedResNet,
    Strip,
    fold,
    fused_convolution_works,
)
from tsatal.extract.backbones.i3d_r50 import build_i3d


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).norm() / b.norm())


def clip(frames: int = 20, side: int = 48) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(1, 3, frames, side, side, generator=generator)
    return x.to(memory_format=torch.channels_last_3d)


def shaken(net: nn.Module) -> nn.Module:
    """The network with batch norms whose every number matters."""
    generator = torch.Generator().manual_seed(2)
    for norm in (m for m in net.modules() if isinstance(m, nn.BatchNorm3d)):
        norm.weight.data.uniform_(0.5, 1.5, generator=generator)
        norm.bias.data.uniform_(-0.2, 0.2, generator=generator)
    return net


def test_folding_is_exact(live_net: nn.Module) -> None:
    """In float64 nothing but a wrong formula can differ."""
    net = shaken(copy.deepcopy(live_net)).double()
    x = clip(8, 32).double()
    with torch.inference_mode():
        stock = net(x).mean(dim=(3, 4)).transpose(1, 2)
        ours = _plain(FoldedResNet(net), x)
    assert relative(ours, stock) < 1e-12


def _plain(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folded, "fused_convolution_works", lambda dtype: False)
        return net(x)  # type: ignore[no-any-return]


def test_fused_and_plain_networks_equal_the_stock_network(live_net: nn.Module) -> None:
    ours = FoldedResNet(live_net)
    with torch.inference_mode():
        stock = live_net(clip()).mean(dim=(3, 4)).transpose(1, 2)
        assert ours(clip()).shape == (1, 10, 512)
        assert relative(ours(clip()), stock) < 1e-5
        assert relative(_plain(ours, clip()), stock) < 1e-5


def test_the_networks_input_is_left_alone(live_net: nn.Module) -> None:
    ours = FoldedResNet(live_net)
    x = clip()
    before = x.clone()
    with torch.inference_mode():
        ours(x)
    assert torch.equal(x, before)


def test_threads_change_nothing(live_net: nn.Module) -> None:
    ours, threads = FoldedResNet(live_net), torch.get_num_threads()
    results = []
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            with torch.inference_mode():
                results.append(ours(clip()))
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(*results)


def test_bfloat16_stays_near_float32(live_net: nn.Module) -> None:
    with torch.inference_mode():
        exact = FoldedResNet(live_net)(clip())
        rough = FoldedResNet(live_net).bfloat16()(clip().bfloat16()).float()
    assert relative(rough, exact) < 0.03


def test_without_the_fused_operators_plain_ones_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*args: object) -> None:
        raise AttributeError("no such operator")

    monkeypatch.setattr(FoldedConv, "_fused", missing)
    fused_convolution_works.cache_clear()
    try:
        assert not fused_convolution_works(torch.float32)
    finally:
        fused_convolution_works.cache_clear()


def test_a_convolution_that_cannot_be_folded_is_refused() -> None:
    with pytest.raises(ValueError, match="plain convolutions"):
        fold(nn.Conv3d(4, 4, 1, groups=2, bias=False), nn.BatchNorm3d(4))


def test_another_pooling_is_refused() -> None:
    net: Any = build_i3d(width=8)
    net.blocks[2].stride = (1, 1, 1)
    with pytest.raises(ValueError, match="every two frames"):
        FoldedResNet(net)


def test_plain_and_fused_layers_carry_over_alike(live_net: nn.Module) -> None:
    ours, x = FoldedResNet(live_net), clip(44)

    def in_pieces(x: torch.Tensor) -> torch.Tensor:
        carried, found = Carried(), []
        for first, end in ((0, 20), (20, 23), (23, 44)):
            carried.ends = end == 44
            found.append(ours(x[:, :, first:end], carried))
        return torch.cat(found, dim=1)

    with torch.inference_mode(), pytest.MonkeyPatch.context() as patch:
        assert relative(in_pieces(x), ours(x)) < 1e-5
        patch.setattr(folded, "fused_convolution_works", lambda dtype: False)
        assert relative(in_pieces(x), ours(x)) < 1e-5


def test_clips_of_a_batch_do_not_meet(live_net: nn.Module) -> None:
    ours = FoldedResNet(live_net)
    both = torch.cat([clip(), clip().flip(2)]).to(memory_format=torch.channels_last_3d)
    with torch.inference_mode():
        alone = torch.cat([ours(clip()), ours(clip().flip(2))])
        assert relative(ours(both), alone) < 1e-6


def test_kept_frames_are_put_before_new_ones_without_copying_these() -> None:
    carried, layer = Carried(), nn.Identity()
    first = carried.widen(layer, Strip(torch.ones(1, 2, 5, 3, 3)), 1)
    assert first.frames[0, 0, :, 0, 0].tolist() == [0, 1, 1, 1, 1, 1]
    roomy = Strip(torch.arange(8.0).view(1, 1, 8, 1, 1).expand(1, 2, 8, 3, 3).clone(), 3)
    carried.ends = False
    wide = carried.widen(layer, roomy, 1)
    assert wide.frames[0, 0, :, 0, 0].tolist() == [1, 1, 3, 4, 5, 6, 7]
    assert wide.memory.data_ptr() == roomy.memory.data_ptr() and wide.room == 1
    wide.memory.zero_()  # as a layer may, which computes in place
    carried.ends = True
    last = carried.widen(layer, Strip(torch.ones(1, 2, 1, 3, 3), 0), 1)
    assert last.frames[0, 0, :, 0, 0].tolist() == [6, 7, 1, 0]


def test_flow_has_two_channels() -> None:
    net = FoldedResNet(build_i3d(2, width=8))
    with torch.inference_mode():
        assert net(torch.zeros(1, 2, 4, 32, 32)).shape == (1, 2, 256)
