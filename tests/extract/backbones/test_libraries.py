"""Networks of other libraries: rows and class scores are theirs, at the right instant."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tsatal.errors import InputError
from tsatal.extract.backbones import (
    hub,
    pytorchvideo_clips,
    timm_frames,
    torchvision_clips,
    videomae_clips,
)
from tsatal.extract.backbones.clips import ClipNetwork, normaliser
from tsatal.extract.backbones.family import Family
from tsatal.extract.backbones.i3d_r50 import _without_torchvision
from tsatal.extract.backbones.table import find_family, load_backbones
from tsatal.extract.backbones.weights import Weights, random_weights

from .answers import mean_offset, noise

GREY = normaliser((0.45,) * 3, (0.225,) * 3)
Parts = tuple[nn.Module, nn.Module | None]  # up to the features, and the classifier


def tiny_x3d(clip: int) -> nn.Module:
    with _without_torchvision():
        from pytorchvideo.models.x3d import create_x3d
    net: nn.Module = create_x3d(input_clip_length=clip, input_crop_size=32)
    return net


def pytorchvideo_net(name: str) -> nn.Module:
    """A narrow network of the kind, whose head averages frames of any size."""
    if name.startswith("x3d"):
        return tiny_x3d(pytorchvideo_clips.FAMILIES[name].clip_frames)
    narrow = {"stem_dim_outs": (16, 2)} if name == "slowfast_r50" else {"stem_dim_out": 8}
    net: Any = pytorchvideo_clips.build(pytorchvideo_clips.FAMILIES[name], **narrow)
    if name == "slowfast_r50":
        net.blocks[-2].pool = nn.ModuleList(nn.AdaptiveAvgPool3d(1) for _ in range(2))
    else:
        net.blocks[-1].pool = nn.AdaptiveAvgPool3d(1)
    made: nn.Module = net
    return made


def torchvision_net(name: str) -> nn.Module:
    video = pytest.importorskip("torchvision.models.video")
    if name.startswith("swin3d"):
        net: nn.Module = video.SwinTransformer3d(
            patch_size=[2, 4, 4], embed_dim=12, depths=[2, 2], num_heads=[1, 2],
            window_size=[8, 7, 7],
        )  # fmt: skip
        return net
    from torchvision.models.video.mvit import MSBlockConfig

    blocks = [
        MSBlockConfig(
            num_heads=n, input_channels=16 * n, output_channels=32, kernel_q=[3, 3, 3],
            kernel_kv=[3, 3, 3], stride_q=[1, n, n], stride_kv=[1, 4, 4],
        )
        for n in (1, 2)
    ]  # fmt: skip
    net = video.MViT(
        spatial_size=(32, 32), temporal_size=16, block_setting=blocks, residual_pool=True,
        residual_with_cls_embed=False, rel_pos_embed=True, proj_after_attn=True,
    )  # fmt: skip
    return net


def of_pytorchvideo(name: str) -> tuple[nn.Module, Parts]:
    def make() -> nn.Module:
        return random_weights(lambda: pytorchvideo_net(name), seed=0)

    return make(), pytorchvideo_clips.apart(make(), slow_and_fast=name == "slowfast_r50")


def of_torchvision(name: str) -> tuple[nn.Module, Parts]:
    def make() -> nn.Module:
        return random_weights(lambda: torchvision_net(name), seed=0)

    return make(), torchvision_clips.apart(make())


MAKERS: dict[str, Callable[[str], tuple[nn.Module, Parts]]] = {
    **dict.fromkeys(pytorchvideo_clips.FAMILIES, of_pytorchvideo),
    **dict.fromkeys(("swin3d_t", "mvit_v2_s"), of_torchvision),
}


def own_forward(net: Any, name: str, clips: Tensor) -> Tensor:
    """The library's own logits of clips (B, C, T, H, W)."""
    if name == "slowfast_r50":
        # As pytorchvideo's tutorial packs the two paths.
        slow = torch.linspace(0, clips.shape[2] - 1, clips.shape[2] // 4).long()
        return net([torch.index_select(clips, 2, slow), clips])
    if name in pytorchvideo_clips.FAMILIES:  # without the softmax that some heads end with
        net.blocks[-1].activation = None
    return net(clips)


@pytest.mark.parametrize("name", MAKERS)
def test_rows_and_scores_are_the_librarys(name: str) -> None:
    net, (features, classifier) = MAKERS[name](name)
    assert isinstance(classifier, nn.Linear)
    family = find_family(name)
    clip = family.clip_frames
    network = ClipNetwork(
        features, replace(family, centred=False), stride=clip // 2, clip_frames=clip,
        normalise=GREY, classifier=classifier, width=classifier.in_features,
    )  # fmt: skip
    frames = noise(2 * clip, 32)
    rows = network.rows(frames)
    logits = network.logits(rows)
    starts = range(0, clip + 1, clip // 2)
    clips = torch.stack([torch.from_numpy(frames[n : n + clip]) for n in starts])
    with torch.inference_mode():
        theirs = own_forward(net, name, GREY(clips)).numpy()
    assert logits is not None and logits.std() > 1e-4
    np.testing.assert_allclose(logits, theirs, atol=1e-3 * abs(theirs).max())


@pytest.mark.parametrize("name", MAKERS)
def test_a_flash_lands_on_its_row(name: str) -> None:
    _, (features, classifier) = MAKERS[name](name)
    assert isinstance(classifier, nn.Linear)
    family = find_family(name)
    clip, stride = family.clip_frames, family.stride_frames
    network = ClipNetwork(
        features, family, stride=stride, clip_frames=clip, normalise=GREY,
        width=classifier.in_features,
    )  # fmt: skip
    middle = (clip // stride + 2) * stride
    offset = mean_offset(
        network, stride=stride, first=family.first_frame(clip), side=32, frames=2 * middle,
        moments=range(middle, middle + stride),
    )  # fmt: skip
    assert abs(offset) <= stride / 2


@pytest.mark.parametrize("name", ["x3d_s", "swin3d_t", "s3d"])
def test_a_checkpoint_is_loaded_whole_or_refused(name: str, tmp_path: Path) -> None:
    if name != "x3d_s":
        pytest.importorskip("torchvision")
    family = find_family(name)
    module: Any = pytorchvideo_clips if name == "x3d_s" else torchvision_clips
    net = random_weights(lambda: module.build(family), seed=1)
    state = net.state_dict()
    torch.save({"model_state": state} if name == "x3d_s" else state, tmp_path / "w.pth")
    given = Weights("w.pth", tmp_path / "w.pth")
    clip = {"swin3d_t": 4, "s3d": 16}.get(name, family.clip_frames)
    loaded = load_backbones(family, {"rgb": given}, stride=clip, clip_frames=clip)["rgb"]
    side = max(family.least_crop, 32)
    frames = noise(1, side)
    rows = loaded.rows(frames)
    assert rows.shape == (1, family.width)
    logits = loaded.logits(rows)
    x = torch.from_numpy(frames.repeat(clip, axis=0)[None])
    colours = torchvision_clips.COLOURS.get(name, ((0.45,) * 3, (0.225,) * 3))
    with torch.inference_mode():
        theirs = own_forward(net, name, normaliser(*colours)(x)).numpy()
    assert logits is not None
    np.testing.assert_allclose(logits, theirs, atol=1e-3 * abs(theirs).max())
    state.popitem()
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(InputError, match=f"w.pth: does not fit {name}: .* is missing"):
        load_backbones(family, {"rgb": given}, stride=clip, clip_frames=clip)


@pytest.fixture
def videomae(tmp_path: Path) -> tuple[Any, Path]:
    """A small VideoMAE that tells three classes, in a folder."""
    transformers = pytest.importorskip("transformers")
    config = transformers.VideoMAEConfig(
        image_size=32, patch_size=8, num_frames=4, tubelet_size=2, hidden_size=24,
        num_hidden_layers=2, num_attention_heads=2, intermediate_size=48, num_labels=3,
        initializer_range=0.3,
    )  # fmt: skip
    torch.manual_seed(0)
    net = transformers.VideoMAEForVideoClassification(config).eval()
    net.save_pretrained(tmp_path / "mae")
    return net, tmp_path / "mae"


def test_videomae_of_a_folder_is_transformers_own(videomae: tuple[Any, Path]) -> None:
    net, folder = videomae
    family = find_family(f"hf:{folder}")
    assert (family.width, family.clip_frames, family.crop) == (24, 4, 32)
    assert family.labels == ("LABEL_0", "LABEL_1", "LABEL_2")
    path, digest = videomae_clips.published(family, "rgb", None)
    given = Weights("pretrained", path, digest)
    network = load_backbones(family, {"rgb": given}, stride=4, clip_frames=4)["rgb"]
    frames = noise(8, 32)
    rows = network.rows(frames)
    logits = network.logits(rows)
    colours = normaliser(videomae_clips.COLOURS["image_mean"], videomae_clips.COLOURS["image_std"])
    seen = np.stack([frames[[0, 0, 1, 2]], frames[3:7]])  # the clip before is held
    with torch.inference_mode():
        theirs = net(colours(torch.from_numpy(seen)).transpose(1, 2)).logits.numpy()
    assert logits is not None
    np.testing.assert_allclose(logits, theirs, atol=1e-3 * abs(theirs).max())
    offset = mean_offset(
        network_of(family, given, stride=1), stride=1, first=0.5, side=32, frames=30,
        moments=range(14, 18),
    )  # fmt: skip
    assert abs(offset) <= 0.5


def network_of(family: Family, given: Weights, *, stride: int) -> Any:
    clip = family.clip_frames
    return load_backbones(family, {"rgb": given}, stride=stride, clip_frames=clip)["rgb"]


def test_other_networks_of_the_hub_are_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(InputError, match="its config.json says 'bert'; only videomae is known"):
        find_family(f"hf:{tmp_path}")
    (tmp_path / "config.json").write_text("[")
    with pytest.raises(InputError, match="config.json: not JSON"):
        find_family(f"hf:{tmp_path}")
    with pytest.raises(InputError, match="no such folder, nor OWNER/NAME"):
        find_family("hf:nothing")


def test_without_network_a_line_says_what_to_bring(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    library = pytest.importorskip("huggingface_hub")

    def fails(*_: object) -> None:
        logging.getLogger("huggingface_hub.utils").warning("Retrying in 1s [Retry 1/5].")
        raise OSError("no network")

    monkeypatch.setattr(library, "hf_hub_download", fails)
    message = "not here and cannot be downloaded .* and name its folder, hf:FOLDER$"
    with caplog.at_level(logging.INFO), pytest.raises(InputError, match=message):
        hub.hub_file("someone/network", "config.json", "transformers")
    assert caplog.messages == ["looking for config.json at https://huggingface.co/someone/network"]
    weights = "someone/network/resolve/main/model.safetensors by hand and give .* --weights$"
    with pytest.raises(InputError, match=weights):
        hub.hub_file("someone/network", "model.safetensors", "timm")


@pytest.mark.parametrize(
    ("stated", "commercial"),
    [("apache-2.0", "yes"), ("cc-by-nc-4.0", "no"), ("other", "ask"), (None, "ask")],
)
def test_licences_are_read_as_they_are_stated(stated: str | None, commercial: str) -> None:
    assert hub.licence_of(stated)[1] == commercial


def test_an_image_network_of_timm_gives_a_row_of_every_frame(tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    safetensors = pytest.importorskip("safetensors.torch")
    name = "timm:test_resnet.r160_in1k"
    family = find_family(name)
    assert family.kind == "frames" and family.crop == 160 and family.first_frame(1) == 0
    assert family.labels and len(family.labels) == 1000
    torch.manual_seed(0)
    net = timm.create_model("test_resnet").eval()
    safetensors.save_file(net.state_dict(), tmp_path / "model.safetensors")
    given = Weights("pretrained", tmp_path / "model.safetensors")
    network = network_of(family, given, stride=1)
    frames = noise(5, 160)
    rows = network.rows(frames)
    stated = timm.get_pretrained_cfg("test_resnet.r160_in1k")
    x = normaliser(stated.mean, stated.std)(torch.from_numpy(frames[:, None]))[:, :, 0]
    with torch.inference_mode():
        theirs = net(x).numpy()
    assert rows.shape == (5, family.width)
    np.testing.assert_allclose(network.logits(rows), theirs, atol=1e-3 * abs(theirs).max())
    offset = mean_offset(network, stride=1, first=0, side=160, frames=9, moments=range(3, 5))
    assert abs(offset) < 1e-3
    (tmp_path / "model.safetensors").write_bytes(b"no")
    with pytest.raises(InputError, match="model.safetensors: does not fit timm:test_resnet"):
        network_of(family, given, stride=1)
    with pytest.raises(InputError, match="timm has no such network"):
        timm_frames.describe("timm:nothing")
