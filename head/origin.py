"""What made a run: `run.json` in its folder, one entry for each time that `train` was called.

It names no machine and no person: program, versions, command line, date, and digests of what was
read, so that a run can be made again, or be told from another that looks like it.
"""

from __future__ import annotations

import hashlib
import json
import platform
import re
import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import InputError
from ..formats.annotations import Annotations
from ..formats.atomic import write_text
from ..formats.shards import is_sharded, shard_paths

ORIGIN_FILE = "run.json"
PACKAGE = Path(__file__).parents[1]
COMMIT = re.compile(r"[0-9a-f]{40,64}")
CHUNK = 1 << 22  # bytes of a file that are read at once


def add_origin(
    run_dir: Path,
    *,
    features: Path,
    truth: Annotations,
    seed: int,
    epoch: int,
    command: Sequence[str] | None,
    trained_on: Mapping[str, Any] | None = None,
) -> None:
    """Add an entry to a run's `run.json`, which is begun anew where it is damaged.

    Args:
        features: the feature file, whose bytes are digested.
        truth: the annotations that are trained on, wherever they came from.
        epoch: how many are finished before.
        command: the words of the command line; None where Python called.
        trained_on: how much of what, see `run.TrainingVideos.facts`.
    """
    entry = {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "command": shlex.join(command) if command else None,
        "tsatal": metadata.version("tsatal"),
        "commit": commit(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "seed": seed,
        "from_epoch": epoch,
        "features": {"sha256": digest(features)},
        "annotations": {"sha256": hashlib.sha256(truth.text.encode()).hexdigest()},
    } | ({"trained_on": dict(trained_on)} if trained_on else {})
    try:
        earlier = load_origin(run_dir)
    except InputError:
        earlier = []
    write_text(run_dir / ORIGIN_FILE, json.dumps([*earlier, entry], indent=1))


def load_origin(run_dir: Path) -> list[dict[str, Any]]:
    """Return the entries of a run's `run.json`, none where it has none.

    Raises:
        InputError: the file is damaged.
    """
    path = run_dir / ORIGIN_FILE
    if not path.is_file():
        return []
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as e:
        raise InputError(f"{path}: damaged ({e})") from None
    if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
        raise InputError(f"{path}: damaged (a list of entries is needed)")
    return entries


def digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, as hexadecimal digits; of shards, one after another."""
    whole = hashlib.sha256()
    for part in shard_paths(path) if is_sharded(path) else [path]:
        with part.open("rb") as file:
            while chunk := file.read(CHUNK):
                whole.update(chunk)
    return whole.hexdigest()


def commit(package: Path = PACKAGE) -> str | None:
    """Return the commit of the checkout that the program runs from, or was installed from.

    None where neither is known. git is not asked: no program is started.

    Args:
        package: the folder of the package, which is the root of a checkout.
    """
    try:
        return _head(package / ".git") if (package / ".git").exists() else _installed_from()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _head(git: Path) -> str | None:
    """Return the commit that is checked out; `git` is a folder, or a file that names one."""
    if git.is_file():  # of a worktree
        git = git.parent / git.read_text(encoding="utf-8").partition("gitdir: ")[2].strip()
    shared = git / "commondir"
    common = git / shared.read_text(encoding="utf-8").strip() if shared.is_file() else git
    said = (git / "HEAD").read_text(encoding="utf-8").strip()
    if said.startswith("ref: "):
        name = said.removeprefix("ref: ")
        loose = common / name
        if loose.is_file():
            said = loose.read_text(encoding="utf-8").strip()
        else:
            packed = (common / "packed-refs").read_text(encoding="utf-8").splitlines()
            said = next(line for line in packed if line.endswith(f" {name}")).partition(" ")[0]
    return said if COMMIT.fullmatch(said) else None


def _installed_from() -> str | None:
    text = metadata.distribution("tsatal").read_text("direct_url.json")
    found = json.loads(text)["vcs_info"]["commit_id"] if text else None
    return found if isinstance(found, str) and COMMIT.fullmatch(found) else None
