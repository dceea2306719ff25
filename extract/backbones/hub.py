"""Files of the Hugging Face hub, and libraries that are not always here."""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from ...errors import InputError, how_to_install

log = logging.getLogger(__name__)

HUB = "https://huggingface.co"
FREE = ("apache-2.0", "mit", "bsd-3-clause", "bsd-2-clause", "cc-by-4.0")


def hub_file(repository: str, name: str, extra: str) -> tuple[Path, str]:
    """Return the path of a file of a repository, and its sha256; downloaded the first time.

    Args:
        repository: as `OWNER/NAME`, or a folder.
        name: of the file.
        extra: of tsatal, which brings what this needs.
    Raises:
        InputError: it is not here and cannot be downloaded; the message says where to put it.
    """
    from .weights import file_sha256

    path = hub_path(repository, name, extra)
    return path, file_sha256(path)


def hub_path(repository: str, name: str, extra: str) -> Path:
    """Return the path of a file of a repository; see `hub_file`."""
    if Path(repository).is_dir():
        path = Path(repository) / name
        if not path.is_file():
            raise InputError(f"{path}: no such file; the folder of a network needs one")
        return path
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        raise InputError(f"hf:{repository}: no such folder, nor OWNER/NAME of a repository")
    with needing(extra):
        from huggingface_hub import hf_hub_download, try_to_load_from_cache
    # It would tell of every try; the line below says what came of them.
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    if not isinstance(try_to_load_from_cache(repository, name), str):
        log.info("looking for %s at %s/%s", name, HUB, repository)
    try:
        return Path(hf_hub_download(repository, name))
    except Exception as e:  # the hub raises many kinds, and those of its HTTP library
        raise InputError(
            f"{HUB}/{repository}: {name} is not here and cannot be downloaded "
            f"({type(e).__name__}); {_by_hand(repository, name, extra)}"
        ) from None


def _by_hand(repository: str, name: str, extra: str) -> str:
    """Return how to go on without a network."""
    if extra == "timm":  # which describes its networks by itself: the weights are all it lacks
        file = f"{HUB}/{repository}/resolve/main/{name}"
        return f"fetch {file} by hand and give its path with --weights"
    return "fetch the repository by hand and name its folder, hf:FOLDER"


def licence_of(stated: object) -> tuple[str, Literal["yes", "no", "ask"]]:
    """Return a licence as its publisher states it, and whether it allows commercial use."""
    name = str(stated or "unknown")
    if "-nc" in name.lower():
        return name, "no"
    return name, "yes" if name.lower() in FREE else "ask"


@contextlib.contextmanager
def needing(extra: str) -> Iterator[None]:
    """Turn the failed import of a library into a line that says what to install."""
    try:
        yield
    except (ImportError, RuntimeError, AttributeError, OSError) as e:
        said = f"{type(e).__name__}: {' '.join(str(e).split()):.100}"
        raise InputError(f"this backbone needs: {how_to_install(extra)} ({said})") from None
