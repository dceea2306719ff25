"""What a user names as videos, a file, a folder or a list, to ids, paths and fingerprints."""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ..errors import InputError
from ..formats.limits import kind_of, read_text, regular_file
from ..formats.names import SPELT, id_problem, is_text, nfc
from .clock import BY_ITSELF, Reading
from .container import VideoError
from .images import is_image_folder, numbered_images

log = logging.getLogger(__name__)

IMAGE_FOLDERS = "folders of numbered images (videos with --assume-fps)"

# fmt: off
RAW_EXTENSIONS = frozenset((  # streams that have no clock of their own
    ".264", ".265", ".266", ".avs2", ".avs3", ".avc", ".h261", ".h263", ".h264", ".h265", ".h266",
    ".h26l", ".hevc", ".m1v", ".m2v", ".mjpeg", ".mjpg", ".mpv", ".obu", ".vc1", ".vvc",
))
VIDEO_EXTENSIONS = RAW_EXTENSIONS | frozenset((
    ".3g2", ".3gp", ".amv", ".asf", ".avi", ".dav", ".divx", ".dv", ".dvr-ms", ".f4v", ".flv",
    ".gif", ".insv", ".ivf", ".lrv", ".m2t", ".m2ts", ".m4v", ".mkv", ".mod", ".mov", ".mp4",
    ".mpeg", ".mpg", ".mts", ".mxf", ".nut", ".ogm", ".ogv", ".qt", ".rm", ".rmvb", ".tod", ".trp",
    ".ts", ".vob", ".webm", ".wmv", ".wtv", ".y4m",
))
# fmt: on


def find_videos(path: str | Path, *, images: bool = False) -> list[Path]:
    """Return the paths of the videos in `path`, sorted; a list keeps its order.

    What a folder holds and is not taken is counted in the log.

    Args:
        path: one video; a folder, searched recursively by extension, hidden files and folders
            left out; or a `.txt` file with one path per line, relative to its own folder, where
            empty lines and lines that start with `#` do not count.
        images: whether folders of numbered images inside the folder are videos, too; a folder of
            images that is named itself always is.
    Raises:
        InputError: nothing is there, or no video is in it. A listed path that is missing or no
            video is found out when it is extracted, so that one bad line stops nothing.
    """
    path = Path(path)
    if kind_of(path) != "a folder":
        regular_file(path, needs="a video, a folder or a list of videos")
    if path.is_dir():
        found, left_out = _search(path, images=images)
        if left_out and found != [path]:
            log.info("%s: not taken: %s", path, _counted(left_out))
        sequences = any(kind == IMAGE_FOLDERS for kind in left_out)
        needed = f"files named {' '.join(sorted(VIDEO_EXTENSIONS))} would be taken" + (
            ", and its folders of numbered images with --assume-fps" if sequences else ""
        )
    elif path.suffix.lower() == ".txt":
        text = read_text(path)
        lines = [line.strip() for line in text.splitlines()]
        listed = [path.parent / line for line in lines if line and not line.startswith("#")]
        found = [_as_on_disk(video) for video in listed]
        needed = "one path per line would be taken"
    else:
        return [path]
    if not found:
        raise InputError(f"{path}: holds no videos ({needed})")
    return found


def _search(root: Path, *, images: bool) -> tuple[list[Path], Counter[str]]:
    """Return the videos below a folder, sorted, and how many of what kind are none."""
    if is_image_folder(root):
        return [root], Counter()
    found, left_out = list[Path](), Counter[str]()
    for where, folders, names in os.walk(root):
        folder = Path(where)
        for name in sorted(folders):
            if name.startswith("."):
                left_out["hidden"] += 1
            elif (folder / name).is_symlink():
                left_out["linked folders"] += 1
            elif is_image_folder(folder / name):
                if images:
                    found.append(folder / name)
                else:
                    left_out[IMAGE_FOLDERS] += 1
            else:
                continue
            folders.remove(name)
        for name in names:
            if name.startswith("."):
                left_out["hidden"] += 1
            elif (video := folder / name).suffix.lower() in VIDEO_EXTENSIONS and video.is_file():
                found.append(video)
            else:
                left_out[video.suffix.lower() or "without an ending"] += 1
    return sorted(found), left_out


def _counted(left_out: Counter[str]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in left_out.most_common())


def id_of(path: Path) -> str:
    """The id of a video: its file's name without the ending; the name of a folder of images."""
    return nfc(path.resolve().name if path.is_dir() else path.stem)


def assign_ids(videos: Sequence[Path]) -> tuple[dict[str, Path], dict[str, str]]:
    """Return paths by video id, the file's stem in NFC; and by file name, why others have no id.

    Two files with one stem would be one video in the feature file, so the first keeps the id. The
    same path twice counts once.
    """
    ids: dict[str, Path] = {}
    refused: dict[str, str] = {}
    for video in dict.fromkeys(videos):
        name = id_of(video)
        if problem := id_problem(name):
            refused[ascii(str(video))] = f"{str(video)!a}: its id {problem}; rename it"
        elif not is_text(str(video)):
            refused[ascii(str(video))] = f"{str(video)!a}: its folder's name is not valid text"
        elif (first := ids.setdefault(name, video)) != video:
            how = "" if first.stem == video.stem else f", {SPELT}"
            says = f"has the id {name!r} of {first}{how}; rename one of them"
            refused[str(video)] = f"{video}: {says}"
    return ids, refused


def fingerprint(path: Path, reading: Reading = BY_ITSELF) -> str:
    """Return a file's size and modification time as JSON: it changes with the content.

    What the user says of how this file is to be read is part of it.

    Raises:
        VideoError: the file is not there.
    """
    try:
        if path.is_dir():
            stats = [image.stat() for _, image in numbered_images(path)]
            size, mtime_ns = sum(s.st_size for s in stats), max(s.st_mtime_ns for s in stats)
            said: dict[str, float] = {"images": len(stats), "size": size, "mtime_ns": mtime_ns}
        else:
            stat = os.stat(path)
            said = {"size": stat.st_size, "mtime_ns": stat.st_mtime_ns}
    except OSError as e:
        raise VideoError(f"{path}: cannot be opened ({e.strerror})") from None
    if reading.track is not None:
        said["track"] = reading.track
    if reading.assume_fps and (path.is_dir() or path.suffix.lower() in RAW_EXTENSIONS):
        said["assume_fps"] = reading.assume_fps
    return json.dumps(said)


def _as_on_disk(path: Path) -> Path:
    """Return the path of a file whose name may be encoded in the other form in a list."""
    with contextlib.suppress(OSError):
        if not path.exists() and not path.name.isascii():
            wanted = nfc(path.name)
            return next((p for p in path.parent.iterdir() if nfc(p.name) == wanted), path)
    return path
