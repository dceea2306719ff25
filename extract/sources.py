"""What a user names as videos, a file, a folder or a list, to ids, paths and fingerprints."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from ..errors import InputError
from ..formats.limits import kind_of, read_text, regular_file
from ..formats.names import id_problem, is_text
from .video import VideoError

# fmt: off
VIDEO_EXTENSIONS = frozenset((
    ".3gp", ".asf", ".avi", ".f4v", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg",
    ".mpg", ".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv",
))
# fmt: on


def find_videos(path: str | Path) -> list[Path]:
    """Return the paths of the videos in `path`, sorted; a list keeps its order.

    Args:
        path: one video; a folder, searched recursively by extension, hidden files and folders
            left out; or a `.txt` file with one path per line, relative to its own folder, where
            empty lines and lines that start with `#` do not count.
    Raises:
        InputError: nothing is there, or no video is in it. A listed path that is missing or no
            video is found out when it is extracted, so that one bad line stops nothing.
    """
    path = Path(path)
    if kind_of(path) != "a folder":
        regular_file(path, needs="a video, a folder or a list of videos")
    if path.is_dir():
        found = sorted(p for p in path.rglob("*") if _is_video(p, path))
        needed = f"files named {' '.join(sorted(VIDEO_EXTENSIONS))}"
    elif path.suffix.lower() == ".txt":
        text = read_text(path)
        lines = [line.strip() for line in text.splitlines()]
        found = [path.parent / line for line in lines if line and not line.startswith("#")]
        needed = "one path per line"
    else:
        return [path]
    if not found:
        raise InputError(f"{path}: holds no videos ({needed} would be taken)")
    return found


def assign_ids(videos: Sequence[Path]) -> tuple[dict[str, Path], dict[str, str]]:
    """Return paths by video id, the file's stem; and by file name, why others have no id.

    Two files with one stem would be one video in the feature file, so the first keeps the id. The
    same path twice counts once.
    """
    ids: dict[str, Path] = {}
    refused: dict[str, str] = {}
    for video in dict.fromkeys(videos):
        if problem := id_problem(video.stem):
            refused[ascii(str(video))] = f"{video!a}: its id {problem}; rename it"
        elif not is_text(str(video)):
            refused[ascii(str(video))] = f"{video!a}: its folder's name is not valid text"
        elif (first := ids.setdefault(video.stem, video)) != video:
            refused[str(video)] = (
                f"{video}: has the id {video.stem!r} of {first}; rename one of them"
            )
    return ids, refused


def fingerprint(path: Path) -> str:
    """Return a file's size and modification time as JSON: it changes with the content.

    Raises:
        VideoError: the file is not there.
    """
    try:
        stat = os.stat(path)
    except OSError as e:
        raise VideoError(f"{path}: cannot be opened ({e.strerror})") from None
    return json.dumps({"size": stat.st_size, "mtime_ns": stat.st_mtime_ns})


def _is_video(path: Path, root: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
    return path.suffix.lower() in VIDEO_EXTENSIONS and not hidden and path.is_file()
