from __future__ import annotations

from pathlib import Path

import cv2
import pytest

from tsatal.extract.clock import Reading
from tsatal.extract.container import DecodeReport, VideoError
from tsatal.extract.images import is_image_folder, numbered_images
from tsatal.extract.video import read_frames

from .conftest import numbered_picture, read_number

AT_30 = Reading(assume_fps=30.0)


def write_images(folder: Path, names: list[str], *, first: int = 0) -> Path:
    folder.mkdir(exist_ok=True)
    for number, name in enumerate(names, start=first):
        assert cv2.imwrite(str(folder / name), numbered_picture(number, 160, 128))
    return folder


def numbers(folder: Path, report: DecodeReport | None = None, fps: float = 10.0) -> list[int]:
    frames = read_frames(folder, fps=fps, reading=AT_30, report=report)
    return [read_number(frame) for frame in frames]


@pytest.mark.parametrize("form", ["{:05d}.jpg", "img_{}.png", "%03d-{:d}.jpeg", "{:04d}.bmp"])
def test_numbered_images_are_a_video(tmp_path: Path, form: str) -> None:
    folder = write_images(tmp_path / "clip", [form.format(n) for n in range(1, 61)])
    report = DecodeReport()
    assert numbers(folder, report) == list(range(0, 60, 3))
    assert report.decoded_sec == pytest.approx(2.0) and not report.partial
    assert report.remarks == ["numbered images, read at 30 per second"]


def test_a_number_that_is_left_out_keeps_its_time(tmp_path: Path) -> None:
    kept = [n for n in range(60) if n not in range(10, 20)]
    folder = tmp_path / "clip"
    for number in kept:
        write_images(folder, [f"{number}.png"], first=number)
    assert numbers(folder) == [0, 3, 6, 9, 9, 9, 9, *range(21, 60, 3)]


def test_images_have_no_clock_until_the_user_says(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "clip", [f"{n}.png" for n in range(3)])
    with pytest.raises(VideoError, match="3 numbered images, which have no clock; .*--assume-fps"):
        next(read_frames(folder))


def test_a_damaged_image_is_told_and_its_time_filled(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "clip", [f"{n:03d}.png" for n in range(60)])
    (folder / "030.png").write_bytes(b"")
    report = DecodeReport()
    shown = numbers(folder, report)
    assert shown[10] == 29 and len(shown) == 20
    assert report.partial == "1 packets could not be decoded"
    for path in folder.iterdir():
        path.write_bytes(b"no image")
    with pytest.raises(VideoError, match="none of its 60 images can be read"):
        numbers(folder)


@pytest.mark.parametrize("names", [["a_1.png", "b_2.png"], ["1.png", "01.png"]])
def test_images_of_two_sequences_are_refused(tmp_path: Path, names: list[str]) -> None:
    folder = write_images(tmp_path / "clip", names)
    with pytest.raises(VideoError, match="not of one sequence"):
        numbered_images(folder)


def test_what_is_a_folder_of_images(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "clip", [f"{n}.png" for n in range(3)])
    (folder / ".hidden").touch()
    assert is_image_folder(folder)
    (folder / "v.mp4").touch()
    assert not is_image_folder(folder)
    assert not is_image_folder(write_images(tmp_path / "one", ["1.png"]))
    assert not is_image_folder(write_images(tmp_path / "photos", ["cat.png", "dog.png"]))
