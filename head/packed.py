"""Where a run is: its folder, a packed model, or one on the Hugging Face hub.

A packed model is unpacked into a folder of its own that lasts as long as the process, and that
looks like a run's: whatever reads runs reads it, too.

<model>/config.yaml  data.json  run.json  operating_point.json   as in a run
       /head.safetensors         the averaged weights, in the place of last.pt and best.pt
       /projection.safetensors   as in a run
       /backbone/<stream>/<NAME>   the backbone's weights, where they were put in
"""

from __future__ import annotations

import atexit
import logging
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError, how_to_install, shown
from ..formats.bundle import MODEL_SUFFIX, open_bundle
from ..formats.limits import regular_file
from ..formats.names import file_name
from ..formats.tensors import read_tensors, tensor_bytes
from .run import BEST, HEAD_FILE, LAST, PROJECTION_FILE

if TYPE_CHECKING:
    from torch import Tensor

logger = logging.getLogger(__name__)

HUB = "hf:"
HUB_FILE = f"model{MODEL_SUFFIX}"  # the name in a repository, where none is given
ON_THE_HUB = re.compile(
    rf"{HUB}(?P<repository>[\w.-]+/[\w.-]+?)(?:/(?P<file>[\w./-]+\{MODEL_SUFFIX}))?"
    r"(?:@(?P<revision>[\w./-]+))?"
)
_NO_REPOSITORY = "no such repository, or one that needs a login: hf auth login"
HUB_SAYS = {  # the names of its errors, in words
    "LocalEntryNotFoundError": "the hub does not answer",
    "RevisionNotFoundError": "no such branch, tag or commit",
    "EntryNotFoundError": "no such file there; name it: hf:OWNER/NAME/FILE.tsatal",
    "RemoteEntryNotFoundError": "no such file there; name it: hf:OWNER/NAME/FILE.tsatal",
    "RepositoryNotFoundError": _NO_REPOSITORY,
    "GatedRepoError": _NO_REPOSITORY,
}
BACKBONE = "backbone"  # folder of its weights


def run_folder(run: str | Path) -> Path:
    """Return the folder of a run; of a packed model, the one that it is unpacked into.

    Args:
        run: a folder, the file of a packed model, or `hf:OWNER/NAME[/FILE][@REVISION]`.
    Raises:
        InputError: a packed model that was changed, is not there, or cannot be downloaded.
    """
    path = model_file(run)
    if not path.is_file():
        if path.suffix == MODEL_SUFFIX and not path.is_dir():
            regular_file(path, needs="a packed model")  # which says what is wrong
        return path
    now = path.stat()
    return _unpacked(Path(os.path.abspath(path)), now.st_mtime_ns, now.st_size)


def unpacked_run(run: str | Path, instead: str) -> Path:
    """Return the folder of a run, for what a packed model cannot do.

    Args:
        instead: what to do with a packed model, for the message.
    Raises:
        InputError: it is a packed model, or a file of another kind.
    """
    path = Path(run)
    if str(run).startswith(HUB) or path.is_file():
        raise InputError(f"{run}: a packed model, where the folder of a run is needed; {instead}")
    return path


def model_file(name: str | Path) -> Path:
    """Return a path as it is; of a name on the hub, the path of its file, see `hub_model`."""
    return hub_model(str(name)) if str(name).startswith(HUB) else Path(name)


def is_packed(folder: Path) -> bool:
    """Return whether a run's folder is that of a packed model."""
    return (folder / HEAD_FILE).is_file()


def place_for(run: str | Path, name: str = "") -> Path:
    """Return where a command writes what it makes of a run, where the user does not say.

    That is in the folder of a run, and in the current folder for a packed model.

    Args:
        name: of the folder to write; empty for the run's own.
    """
    path = Path(run)
    if str(run).startswith(HUB) or path.is_file():
        stem = re.sub(r"@.*", "", path.name).removesuffix(MODEL_SUFFIX)
        return Path(name or f"{stem}-evaluation")
    return path / name


def head_bytes(average: Mapping[str, Tensor], *, checkpoint: str, epoch: int | None) -> bytes:
    """Return the content of `head.safetensors` for the averaged weights of a checkpoint.

    Args:
        epoch: how many epochs were finished; None where unknown.
    """
    facts = {"checkpoint": checkpoint} | ({} if epoch is None else {"epoch": str(epoch)})
    return tensor_bytes({name: t.cpu().numpy() for name, t in average.items()}, facts)


def saved_head(run_dir: Path, checkpoint: str) -> tuple[Path, Mapping[str, Any], int | None]:
    """Return the file of a run's averaged weights, the weights by name, and finished epochs.

    Args:
        checkpoint: "last" or "best".
    Raises:
        InputError: no such checkpoint, or a damaged one; a packed model of the other one.
    """
    import torch

    from .checkpoint import epoch_of, load_checkpoint

    if not is_packed(run_dir):
        path = run_dir / (BEST if checkpoint == "best" else LAST)
        saved = load_checkpoint(path)
        return path, saved["average"], epoch_of(saved)
    path = run_dir / HEAD_FILE
    arrays, facts = read_tensors(path)
    holds = facts.get("checkpoint", "last")
    if checkpoint == "best" != holds:
        raise InputError(
            f"{run_dir.name}: holds the {holds} weights alone; pack the best with: tsatal pack RUN "
            "MODEL.tsatal --checkpoint best"
        )
    epoch = facts.get("epoch", "")
    weights = {name: torch.from_numpy(array) for name, array in arrays.items()}
    return path, weights, int(epoch) if epoch.isdecimal() else None


def projection_of(run_dir: Path, features: str | Path | None, trained_on: str) -> Path:
    """Return the file with the projection of a run's features.

    Args:
        features: a feature file that the user names; it comes first.
        trained_on: the run's own, for a run of an older version, which kept no projection.
    """
    own = run_dir / PROJECTION_FILE
    if features is None and own.is_file():
        return own
    return Path(features or trained_on)


def backbone_weights(run_dir: Path, stream: str) -> str | None:
    """Return the path of a backbone's weights in a packed model; None without any."""
    found = sorted((run_dir / BACKBONE / stream).glob("*"))
    return str(found[0]) if found else None


@cache
def hub_model(name: str) -> Path:
    """Return the path of a packed model of the Hugging Face hub; downloaded the first time.

    It lies in the hub's own cache. `HF_HUB_OFFLINE=1` takes what is there. The hub is asked once,
    so that all of a command sees one model while a branch moves on.

    Args:
        name: `hf:OWNER/NAME`, which holds `model.tsatal`; `hf:OWNER/NAME/FILE` for another, and
            `@REVISION` at the end for a branch, tag or commit.
    Raises:
        InputError: another name, huggingface-hub is not installed, or it cannot be had.
    """
    asked = ON_THE_HUB.fullmatch(name)
    if not asked:
        raise InputError(
            f"{shown(name)}: must be hf:OWNER/NAME, hf:OWNER/NAME@REVISION or "
            f"hf:OWNER/NAME/FILE{MODEL_SUFFIX}"
        )
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as e:
        raise InputError(f"{name}: the hub needs: {how_to_install('hub')} ({e})") from None
    file = asked["file"] or HUB_FILE
    logger.info("%s: asking the hub", name)
    # It would tell of every try; the line below says what came of them.
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    try:
        return Path(hf_hub_download(asked["repository"], file, revision=asked["revision"]))
    except Exception as e:  # the hub raises many kinds, and those of its HTTP library
        kind = type(e).__name__
        why = HUB_SAYS.get(kind, kind)
        if os.environ.get("HF_HUB_OFFLINE", "0").upper() not in ("", "0", "NO", "FALSE", "OFF"):
            why = "HF_HUB_OFFLINE is set"
        raise InputError(
            f"{name}: {file} is not in the cache and cannot be downloaded ({why}); "
            f"look at https://huggingface.co/{asked['repository']}, or give the file itself"
        ) from None


@cache
def _unpacked(path: Path, modified_ns: int, size: int) -> Path:
    """Return a folder with a packed model in it, removed when the process ends.

    It has the name of the file, so that messages about what is in it name the model.

    Args:
        modified_ns, size: of the file, so that another in its place is unpacked anew.
    """
    with open_bundle(path) as bundle:
        backbone = bundle.manifest().get("backbone")
        try:
            above = tempfile.mkdtemp(prefix="tsatal-")
            atexit.register(shutil.rmtree, above, ignore_errors=True)
            inside = Path(above) / path.name
            inside.mkdir()
            bundle.unpack(inside)
        except OSError as e:
            raise InputError(
                f"{path}: cannot be unpacked ({e.strerror}); name a folder with room for "
                f"{sum(bundle.parts.values()) / 1e6:.3g} MB as TMPDIR"
            ) from None
    streams = backbone.get("weights") if isinstance(backbone, dict) else None
    for stream, facts in (streams if isinstance(streams, dict) else {}).items():
        # Rows say which weights made them, by name and digest: the file has that name again.
        packed = inside / BACKBONE / file_name(str(stream), "")
        if packed.is_file():
            aside = packed.rename(packed.with_suffix(".part"))
            packed.mkdir()
            name = facts.get("name") if isinstance(facts, dict) else None
            aside.rename(packed / file_name(str(name), ""))
    return inside
