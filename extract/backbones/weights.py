"""The backbone's weights: from the Kinetics checkpoint, a file or a seed into the network."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import urllib.error
import urllib.request
import warnings
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import InputError, shown
from ...formats.atomic import replacing, write_text
from ...formats.limits import check_archive, read_text, regular_file
from ...formats.tensors import TENSORS_SUFFIX, read_tensors
from ...progress import Progress

log = logging.getLogger(__name__)

CHUNK = 2**20  # bytes, 1 MiB
BRANCH_SCALE = 0.3  # of residual branches with random weights
HEAD = "blocks.6."  # the stock network's classifier, which is not used


@dataclass(frozen=True)
class Weights:
    """A checkpoint's path and digest, or, without a path, the seed of random weights."""

    name: str
    path: Path | None = None
    sha256: str | None = None
    seed: int = 0

    def identity(self) -> dict[str, Any]:
        """The part of a provenance that must be equal for rows to be comparable; JSON."""
        if self.path is None:
            return {"name": self.name, "seed": self.seed}
        return {"name": self.name, "sha256": self.sha256}


def resolve_weights(
    name: str,
    *,
    seed: int = 0,
    sha256: str | None = None,
    published: str,
    find: Callable[[], tuple[Path, str]],
) -> Weights:
    """Find weights by name, downloading them if need be.

    Args:
        name: that of the published weights, `random`, or the path of a checkpoint.
        seed: of `random`.
        sha256: the digest that a checkpoint must have, if known.
        published: what the backbone's published weights are called.
        find: returns their path and digest, see `table.find_published`.
    Raises:
        InputError: no such file, no network, or another digest than expected.
    """
    if name == "random":
        if sha256 is not None:
            raise InputError("--weights-sha256 is for a checkpoint; random weights have no file")
        return Weights("random", seed=seed)
    if name == published:
        path, digest = find()
    else:
        path = Path(name)
        if not os.path.lexists(path):
            raise InputError(f"weights {shown(name)}: no such file; or use {published} or random")
        regular_file(path, needs="a checkpoint")
        check_archive(path)
        digest = file_sha256(path)
    if sha256 is not None and digest != sha256.lower():
        raise InputError(f"{path}: its sha256 is {digest}, expected {sha256}")
    return Weights(name if name == published else path.name, path, digest)


def fetch_checkpoint(
    url: str, folder: Path | None = None, *, option: str = "--weights"
) -> tuple[Path, str]:
    """Return the cached file of `url` and its sha256, downloading it the first time.

    No digest of the checkpoint is published: that of the first download is written beside it, and
    every later use is checked against it.

    Args:
        folder: of the cache; by default that of torch.hub, which `TORCH_HOME` moves.
        option: by which a file that was fetched by hand is given.
    Raises:
        InputError: it cannot be downloaded or kept, came incomplete, or was altered since.
    """
    path = cached_checkpoint(url, folder)
    folder = path.parent
    if folder.parts[0].startswith("~"):
        raise InputError(f"{folder}: there is no home folder (HOME is not set); set TORCH_HOME")
    record = path.with_name(path.name + ".sha256")
    try:
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            _download(url, path, option)
        digest = file_sha256(path)
    except OSError as e:
        raise InputError(
            f"{folder}: the weights cannot be kept there ({e.strerror or e}); set TORCH_HOME to a "
            f"folder that can be written, or give a file with {option}"
        ) from None
    if not record.exists():
        try:
            write_text(record, digest + "\n")
        except OSError as e:  # a cache that others fill, and that is only read here
            log.warning("%s: its sha256 cannot be remembered (%s)", path, e.strerror or e)
            return path, digest
        log.info("%s: sha256 %s, remembered in %s", path, digest, record.name)
    if digest != (known := read_text(record).strip()):
        raise InputError(
            f"{path}: altered since it was downloaded (sha256 {digest}, was "
            f"{known:.64}); remove both files to download it again"
        )
    # torch's own hub and torchvision's put the first digits of the digest into the name.
    stated = re.search(r"-([0-9a-f]{8})\.pth$", path.name)
    if stated and not digest.startswith(stated[1]):
        raise InputError(
            f"{path}: its sha256 is {digest}, but begins with {stated[1]} by its name; remove it "
            "and its .sha256 to download it again"
        )
    return path, digest


def cached_checkpoint(url: str, folder: Path | None = None) -> Path:
    """The place where the file of `url` is kept, whether it is there or not."""
    folder = folder or Path(torch.hub.get_dir()) / "checkpoints"
    return folder / url.rsplit("/", 1)[-1]


def file_sha256(path: Path) -> str:
    """The SHA-256 digest of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def load_state(net: nn.Module, path: Path) -> dict[str, Tensor]:
    """Load a checkpoint into the I3D-R50, all of it or nothing; return what it has besides.

    That is the weights of a classifier, if any; the network has none.

    Args:
        net: a network with two input channels takes a checkpoint with three, see `fit_state`.
        path: a file of `torch.save` with a state dict, under the key `model_state` or by itself.
    Raises:
        InputError: not such a file, or keys or shapes differ; the message names them.
    """
    state = read_state(path)
    classifier = {k: v for k, v in state.items() if k.startswith(HEAD)}
    rest = {k: v for k, v in state.items() if k not in classifier}
    fit_state(net, rest, source=path, what="the I3D-R50")
    return classifier


def fit_state(net: nn.Module, state: dict[str, Tensor], *, source: Path, what: str) -> None:
    """Load a state dict into a network, all of it or nothing.

    Args:
        state: where the network has fewer input channels than colours, its first convolution is
            averaged.
        source, what: the file and the network, for messages.
    Raises:
        InputError: keys or shapes differ; the message names them.
    """
    own = net.state_dict()
    if first := next((k for k, v in own.items() if v.dim() == 5 and k in state), None):
        state = {**state, first: adapt_colour(state[first], own[first].shape[1])}
    needed = {k: v for k, v in own.items() if not k.endswith("num_batches_tracked")}
    differing = [
        f"{k} is {tuple(state[k].shape)}, must be {tuple(v.shape)}"
        for k, v in needed.items()
        if k in state and state[k].shape != v.shape
    ]
    differing += [f"{k} is missing" for k in needed if k not in state]
    differing += [f"{k} is unknown" for k in state if k not in own]
    if differing:
        more = f" and {len(differing) - 3} more" if len(differing) > 3 else ""
        raise InputError(f"{source}: does not fit {what}: {'; '.join(differing[:3])}{more}")
    net.load_state_dict({**own, **state})


def random_weights(build: Callable[[], nn.Module], *, seed: int) -> nn.Module:
    """Return an untrained network, the same for the same seed, in which every branch is alive.

    Libraries set the last scale of a residual branch to 0, which silences it; here it is 0.3.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = build().eval()
    for norm in (m for m in net.modules() if isinstance(m, nn.BatchNorm3d | nn.BatchNorm2d)):
        if norm.weight is not None and not norm.weight.any():
            nn.init.constant_(norm.weight, BRANCH_SCALE)
    return net


def adapt_colour(weight: Tensor, channels: int) -> Tensor:
    """Return a first convolution (O, 3, ...) for `channels` inputs, as two-stream networks do.

    Every input gets the mean over colour (Wang et al., "Temporal Segment Networks", 2016). A weight
    that has `channels` inputs, or is no convolution, stays as it is.
    """
    if weight.dim() != 5 or weight.shape[1] == channels or weight.shape[1] != 3:
        return weight
    return weight.mean(dim=1, keepdim=True).repeat(1, channels, 1, 1, 1)


def read_state(path: Path) -> dict[str, Tensor]:
    """Read the state dict in a file of `torch.save`, by itself or under `model_state`.

    A `.safetensors` file is read, too.

    Raises:
        InputError: another file, one that holds more than tensors, or one that is too large.
    """
    check_archive(path)
    if path.suffix.lower() == TENSORS_SUFFIX:
        return {name: torch.from_numpy(array) for name, array in read_tensors(path)[0].items()}
    try:
        with warnings.catch_warnings():  # torch's, on the protocol of pickles
            warnings.simplefilter("ignore")
            content = torch.load(path, map_location="cpu", weights_only=True)  # runs no code
    except Exception as e:  # torch raises many kinds on a damaged file
        if type(e).__name__ == "UnpicklingError":  # of pickle, which nothing here imports
            raise InputError(
                f"{path}: not a checkpoint that holds tensors only; save its state_dict()"
            ) from None
        raise InputError(
            f"{path}: damaged, cut short, or no file of torch.save ({type(e).__name__}); copy it "
            "again"
        ) from None
    state = content.get("model_state", content) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(
        isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items()
    ):
        raise InputError(f"{path}: holds no state dict, by itself or under 'model_state'")
    return state


def _download(url: str, path: Path, option: str) -> None:
    log.info("downloading %s to %s", url, path)
    with replacing(path) as aside, aside.open("wb") as file:
        try:
            with urllib.request.urlopen(url, timeout=60) as answer:
                size = int(answer.headers.get("Content-Length") or 0)
                with closing(Progress("download", size / CHUNK, "MiB")) as progress:
                    while chunk := answer.read(CHUNK):
                        file.write(chunk)
                        progress.advance(len(chunk) / CHUNK)
            if size and file.tell() != size:
                raise ConnectionError(f"only {file.tell()} of {size} bytes came")
        except (urllib.error.URLError, ConnectionError, TimeoutError) as e:
            raise InputError(
                f"{url} cannot be downloaded ({getattr(e, 'reason', e)}); fetch it by hand and "
                f"give its path with {option}, or put it at {path}"
            ) from None
