"""Several feature files that are read as one: a folder of them, or a list of their paths.

What many machines extract need not be put together into one file: `features.FeatureFile` reads the
shards in its place. They must have been made alike, and no video may be in two of them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..errors import InputError, shown
from .limits import check_size, read_text

SUFFIXES = (".h5", ".hdf5")
LIST_SUFFIX = ".txt"
DIFFER_FREELY = "made_with"  # other versions of the program give the same rows
LOOK_BYTES = 4096  # of a text file, to see whether it is a list
JSON_FACTOR = 40  # bytes of memory that one of JSON may take


def is_sharded(path: Path) -> bool:
    """Whether a path names several feature files: a folder, or a list."""
    return path.is_dir() or path.suffix.lower() == LIST_SUFFIX


def holds_shards(path: Path) -> bool:
    """Whether a folder has feature files and nothing else, or a text file begins with one's path.

    What an extraction leaves beside its file does not count.
    """
    if path.is_dir():
        names = [p.name.lower() for p in path.iterdir() if not p.name.startswith(".")]
        own = [n for n in names if not any(f"{suffix}." in n for suffix in SUFFIXES)]
        return bool(own) and all(n.endswith(SUFFIXES) for n in own)
    if not path.is_file():
        return False
    with path.open("rb") as file:
        lines = file.read(LOOK_BYTES).decode("utf-8", "replace").splitlines()
    written = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    return bool(written) and written[0].lower().endswith(SUFFIXES)


def check_single(out: Path) -> None:
    """Refuse to write a feature file where its name would be read as several.

    Raises:
        InputError: a list ends so.
    """
    if out.suffix.lower() == LIST_SUFFIX:
        raise InputError(f"{out}: a list of feature files ends in .txt; name one that ends in .h5")


def shard_paths(path: Path) -> list[Path]:
    """The feature files in a folder, sorted, or those of a list, one a line.

    Paths of a list are relative to its own folder; empty lines and lines that start with `#` do not
    count. Hidden files of a folder, and its subfolders, do not either.

    Raises:
        InputError: none is named, or one twice.
    """
    if path.is_dir():
        inside = sorted(path.iterdir())
        found = [p for p in inside if p.suffix.lower() in SUFFIXES and not p.name.startswith(".")]
        if not found:
            raise InputError(f"{path}: a folder without feature files, which end in .h5")
        return found
    lines = map(str.strip, read_text(path, needs="a list of feature files").splitlines())
    found = [path.parent / line for line in lines if line and not line.startswith("#")]
    if not found:
        raise InputError(f"{path}: names no feature file; write one path a line")
    if twice := next((p for n, p in enumerate(found) if p in found[:n]), None):
        raise InputError(f"{path}: names {twice} twice")
    return found


def check_made_alike(provenances: Mapping[Path, Mapping[str, Any]]) -> None:
    """Refuse shards that were not all made alike.

    Raises:
        InputError: it names the first setting that differs, and where.
    """
    (first, ours), *others = provenances.items()
    for path, theirs in others:
        for name in sorted({*ours, *theirs} - {DIFFER_FREELY}):
            if ours.get(name) != theirs.get(name):
                raise InputError(
                    f"{path}: is read as one with {first}, and was made with other settings "
                    f"({name} is {shown(theirs.get(name))}, there {shown(ours.get(name))})"
                )


def joined_annotations(texts: Iterable[tuple[Path, str | None]]) -> str | None:
    """The annotations of all shards as one JSON text, or None where no shard has any.

    Texts that are the same, as where each shard embeds those of all videos, are one.

    Raises:
        InputError: two shards say different things of a video, or one is no such JSON.
    """
    distinct: dict[str, Path] = {}
    for path, text in texts:
        if text is not None:
            distinct.setdefault(text, path)
    if len(distinct) <= 1:
        return next(iter(distinct), None)
    check_size(JSON_FACTOR * sum(map(len, distinct)), "the annotations of all shards")
    database: dict[str, Any] = {}
    origin: dict[str, Path] = {}
    for text, path in distinct.items():
        try:
            videos = dict(json.loads(text)["database"])
        except (ValueError, TypeError, KeyError, RecursionError):
            raise InputError(
                f"{path}: its embedded annotations cannot be read; `tsatal check` says why"
            ) from None
        for video_id, entry in videos.items():
            if database.setdefault(video_id, entry) != entry:
                raise InputError(
                    f"{path}: annotates {shown(video_id)} otherwise than {origin[video_id]}"
                    "; give annotations for all with --annotations FILE.json"
                )
            origin.setdefault(video_id, path)
    return json.dumps({"database": database})
