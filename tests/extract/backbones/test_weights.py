from __future__ import annotations

import pickle
import threading
import warnings
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from tsatal.errors import InputError
from tsatal.extract.backbones.dense import I3D_R50, KINETICS_URL
from tsatal.extract.backbones.i3d_r50 import build_i3d
from tsatal.extract.backbones.table import find_published
from tsatal.extract.backbones.weights import (
    Weights,
    adapt_colour,
    fetch_checkpoint,
    file_sha256,
    load_state,
    resolve_weights,
)
from tsatal.formats.tensors import write_tensors


def resolve(name: str, *, seed: int = 0, sha256: str | None = None) -> Weights:
    """Find weights of the I3D-R50 by name."""
    find = partial(find_published, I3D_R50, "rgb")
    return resolve_weights(name, seed=seed, sha256=sha256, published="kinetics", find=find)


HEAD = {"blocks.6.proj.weight": torch.zeros(400, 2048), "blocks.6.proj.bias": torch.zeros(400)}


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    """What the published checkpoint holds under `model_state`, at a quarter of its width."""
    torch.manual_seed(5)
    return {**build_i3d(width=16).state_dict(), **HEAD}


def save(path: Path, content: object) -> Path:
    torch.save(content, path)
    return path


def loaded(path: Path, channels: int = 3) -> nn.Module:
    net = build_i3d(channels, width=16)
    load_state(net, path)
    return net


@pytest.mark.parametrize("form", ["model_state", "plain", "without head", "no counters"])
def test_checkpoints_of_every_form_are_loaded(
    tmp_path: Path, state: dict[str, Tensor], form: str
) -> None:
    assert len(state) == 320
    content: object = state
    if form == "model_state":
        content = {"model_state": state}
    elif form == "without head":
        content = {k: v for k, v in state.items() if k not in HEAD}
    elif form == "no counters":
        content = {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")}
    net = loaded(save(tmp_path / "w.pyth", content))
    for name, value in net.state_dict().items():
        assert torch.equal(value, state[name]), name


@pytest.mark.parametrize("kind", ["missing", "unknown", "shape"])
def test_a_checkpoint_that_does_not_fit_is_refused_whole(
    tmp_path: Path, state: dict[str, Tensor], kind: str
) -> None:
    key = "blocks.3.res_blocks.0.branch2.conv_a.weight"
    content = dict(state)
    if kind == "missing":
        del content[key]
    elif kind == "unknown":
        content["blocks.9.weight"] = torch.zeros(1)
        key = "blocks.9.weight"
    else:
        content[key] = content[key][:, :, :1]
    path = save(tmp_path / "w.pyth", {"model_state": content})
    net = build_i3d(width=16)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    with pytest.raises(InputError, match="does not fit") as error:
        load_state(net, path)
    assert key in str(error.value) and str(path) in str(error.value)
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())


def test_only_the_first_differences_are_named_and_the_rest_counted(
    tmp_path: Path, state: dict[str, Tensor]
) -> None:
    path = save(tmp_path / "w.pyth", state)
    with pytest.raises(InputError, match=r"and \d+ more$"):
        load_state(build_i3d(width=8), path)


@pytest.mark.parametrize("content", [b"", b"no checkpoint", None])
def test_what_is_no_checkpoint_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "w.pyth"
    if content is None:
        save(path, {"model_state": [1, 2, 3]})
    else:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"w\.pyth: "):
        load_state(build_i3d(width=8), path)


def test_a_checkpoint_that_runs_code_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "w.pyth", {"model_state": threading.Thread})
    with pytest.raises(InputError, match="tensors only"):
        load_state(build_i3d(width=8), path)


def test_a_checkpoint_that_is_cut_short_is_said_to_be(
    tmp_path: Path, state: dict[str, Tensor]
) -> None:
    path = save(tmp_path / "w.pyth", state)
    whole = path.read_bytes()
    for length in (0, 1000, len(whole) // 2, len(whole) - 50):
        path.write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"w\.pyth: damaged, cut short, .*; copy it again"):
            load_state(build_i3d(width=8), path)


def test_what_torch_warns_of_is_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "w.pyth"
    path.write_bytes(pickle.dumps([1, 2, 3], protocol=4))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InputError, match="tensors only"):
            load_state(build_i3d(width=8), path)


def test_weights_in_safetensors_are_the_same(tmp_path: Path, state: dict[str, Tensor]) -> None:
    write_tensors(tmp_path / "w.safetensors", {k: v.numpy() for k, v in state.items()})
    net = loaded(tmp_path / "w.safetensors")
    same = loaded(save(tmp_path / "w.pyth", state))
    for name, value in same.state_dict().items():
        assert torch.equal(net.state_dict()[name], value)


def test_flow_takes_rgb_weights_averaged_over_colour(
    tmp_path: Path, state: dict[str, Tensor]
) -> None:
    net = loaded(save(tmp_path / "w.pyth", state), channels=2)
    first = net.state_dict()["blocks.0.conv.weight"]
    mean = state["blocks.0.conv.weight"].mean(dim=1)
    assert torch.equal(first[:, 0], mean) and torch.equal(first[:, 1], mean)
    own = torch.randn(16, 2, 5, 7, 7)
    assert adapt_colour(own, 2) is own


def test_names_become_weights(tmp_path: Path) -> None:
    path = save(tmp_path / "mine.pyth", {})
    assert resolve("random", seed=3).identity() == {"name": "random", "seed": 3}
    mine = resolve(str(path))
    assert mine.identity() == {"name": "mine.pyth", "sha256": file_sha256(path)}
    assert resolve(str(path), sha256=file_sha256(path).upper()) == mine
    with pytest.raises(InputError, match="expected 00"):
        resolve(str(path), sha256="00")
    with pytest.raises(InputError, match="no such file; or use kinetics or random"):
        resolve("kinetic")


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


class CutOff(Quiet):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"x" * 10)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[object]:
    servers: list[ThreadingHTTPServer] = []

    def start(handler: type[Quiet]) -> str:
        folder = tmp_path / "site"
        folder.mkdir(exist_ok=True)
        (folder / "w.pyth").write_bytes(b"weights")
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder)))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/w.pyth"

    yield start
    for server in servers:
        server.shutdown()


def test_a_checkpoint_is_downloaded_once_and_remembered(tmp_path: Path, serve: object) -> None:
    url = serve(Quiet)  # type: ignore[operator]
    path, digest = fetch_checkpoint(url, tmp_path / "cache")
    assert path.read_bytes() == b"weights" and digest == file_sha256(path)
    (tmp_path / "site" / "w.pyth").unlink()
    assert fetch_checkpoint(url, tmp_path / "cache") == (path, digest)
    assert sorted(p.name for p in path.parent.iterdir()) == ["w.pyth", "w.pyth.sha256"]


def test_a_cached_checkpoint_that_was_altered_is_refused(tmp_path: Path, serve: object) -> None:
    url = serve(Quiet)  # type: ignore[operator]
    path, _ = fetch_checkpoint(url, tmp_path / "cache")
    path.write_bytes(b"altered")
    with pytest.raises(InputError, match="altered since it was downloaded"):
        fetch_checkpoint(url, tmp_path / "cache")


@pytest.mark.parametrize("trouble", ["cut off", "not found", "no network"])
def test_a_failed_download_says_how_to_go_on_and_leaves_nothing(
    tmp_path: Path, serve: object, trouble: str
) -> None:
    handler = CutOff if trouble == "cut off" else Quiet
    url: str = serve(handler)  # type: ignore[operator]
    if trouble == "not found":
        url = url.replace("w.pyth", "other.pyth")
    if trouble == "no network":
        url = "http://127.0.0.1:1/w.pyth"
    with pytest.raises(InputError, match="fetch it by hand and give its path with --weights"):
        fetch_checkpoint(url, tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())


def test_kinetics_lives_in_the_cache_of_torch_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    cached = tmp_path / "hub" / "checkpoints" / KINETICS_URL.rsplit("/", 1)[-1]
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"as if downloaded by torch.hub")
    found = resolve("kinetics")
    assert found.path == cached and found.identity()["sha256"] == file_sha256(cached)


def test_a_cache_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "file" / "hub"))
    line = r"file/hub/checkpoints: the weights cannot be kept there .*; set TORCH_HOME"
    with pytest.raises(InputError, match=line):
        fetch_checkpoint("http://127.0.0.1:9/w.pyth")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: "~/.cache/torch/hub")
    with pytest.raises(InputError, match="no home folder .HOME is not set.; set TORCH_HOME"):
        fetch_checkpoint("http://127.0.0.1:9/w.pyth")


def test_a_cache_that_is_only_read_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "w.pyth").write_bytes(b"weights")

    def read_only(path: Path, text: str) -> None:
        raise OSError(30, "Read-only file system", str(path))

    monkeypatch.setattr("tsatal.extract.backbones.weights.write_text", read_only)
    path, digest = fetch_checkpoint("http://127.0.0.1:9/w.pyth", tmp_path)
    assert path == tmp_path / "w.pyth" and digest == file_sha256(path)
    assert "cannot be remembered (Read-only file system)" in caplog.text
