"""A folder of numbered images, read as a video: an image's number is its place in time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import av

from .container import DecodeReport, VideoError, decoded_pictures, open_container, picture_track

IMAGE_EXTENSIONS = frozenset((".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp"))
NUMBERED = re.compile(r"(.*?)(\d+)")  # a name before the number, and the number
MAX_NUMBER = 10**9


def is_image_folder(folder: Path) -> bool:
    """Whether a folder holds numbered images and no other file but hidden ones."""
    files = [p for p in folder.iterdir() if not p.name.startswith(".")]
    numbered = [p for p in files if _is_image(p) and NUMBERED.fullmatch(p.stem)]
    return len(numbered) > 1 and len(numbered) == sum(1 for p in files if not p.is_dir())


def numbered_images(folder: Path) -> list[tuple[int, Path]]:
    """Return the images of a folder by their numbers, in order.

    Raises:
        VideoError: there are none, of several names, or two of one number.
    """
    found: dict[int, Path] = {}
    names = set()
    for path in sorted(folder.iterdir()):
        parts = NUMBERED.fullmatch(path.stem)
        if path.name.startswith(".") or not _is_image(path) or not parts:
            continue
        names.add(parts[1])
        number = min(int(parts[2]), MAX_NUMBER)
        if len(names) > 1 or number in found:
            other = found.get(number) or next(iter(found.values()))
            raise VideoError(
                f"{folder}: {path.name} and {other.name} are not of one sequence"
                "; one folder holds the images of one video, each with its own number"
            )
        found[number] = path
    if not found:
        raise VideoError(f"{folder}: holds no numbered images")
    return sorted(found.items())


def image_pictures(
    folder: Path, fps: float | None, report: DecodeReport
) -> Iterator[tuple[av.VideoFrame, float]]:
    """Yield the images with their seconds; a number that is left out leaves its time to the last.

    Args:
        fps: images per second; None where nobody has said.
    Raises:
        VideoError: no rate is known, or none of the images can be read.
    """
    images = numbered_images(folder)
    if fps is None:
        raise VideoError(
            f"{folder}: {len(images)} numbered images, which have no clock"
            "; give their number per second with --assume-fps"
        )
    report.remarks.append(f"numbered images, read at {fps:g} per second")
    first, last = images[0][0], images[-1][0]
    report.promised_sec = (last - first + 1) / fps
    for number, path in images:
        seconds = (number - first) / fps
        picture = _decoded(path, report)
        if picture is not None:
            report.decoded_sec = seconds + 1 / fps
            yield picture, seconds
    if not report.pictures:
        raise VideoError(f"{folder}: none of its {len(images)} images can be read")


def _decoded(path: Path, report: DecodeReport) -> av.VideoFrame | None:
    try:
        with open_container(path) as container:
            stream = picture_track(container, path)
            return next(decoded_pictures(container, stream, report, path), None)
    except VideoError:
        report.lost_packets += 1
        return None


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_EXTENSIONS and path.is_file()
