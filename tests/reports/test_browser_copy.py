"""Copies for browsers: which videos need one, and that its clock is that of the detections."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from tsatal.errors import InputError
from tsatal.extract.clock import Reading
from tsatal.extract.container import VideoError
from tsatal.reports import browser_copy as preview
from tsatal.reports.browser_copy import obstacle, write_preview

from ..extract.conftest import write_tracks

WriteVideo = Callable[..., Path]
UNEVEN = [0.0, 0.04, 0.08, 0.5, 0.54, 1.9, 2.0, 2.04]


def seconds_of(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        return sorted(float(p.time) for p in container.decode(video=0) if p.time is not None)


def levels_of(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        return [p.to_ndarray(format="gray").mean() for p in container.decode(video=0)]


def as_from_first(times: Sequence[float]) -> list[float]:
    return [t - times[0] for t in times]


@pytest.mark.parametrize(
    ("name", "codec", "late_sec", "reason"),
    [
        ("a.mp4", "libx264", 0.0, ""),
        ("a.webm", "libvpx", 0.0, ""),
        ("A.MP4", "libx264", 0.0, ""),
        ("a.mkv", "libx264", 0.0, "not all browsers play .mkv files"),
        ("a.mp4", "mpeg4", 0.0, "browsers do not play mpeg4"),
        ("a.avi", "mpeg4", 0.0, "browsers do not play mpeg4"),
        ("a.mp4", "libx264", 2.0, "its first picture is not at time 0"),
    ],
)
def test_what_browsers_do_not_play_is_told(
    write_video: WriteVideo, tmp_path: Path, name: str, codec: str, late_sec: float, reason: str
) -> None:
    video = write_video(tmp_path / name, codec=codec, late_sec=late_sec)
    assert obstacle(video) == reason


def test_a_kind_of_picture_that_few_browsers_know_is_told(
    write_video: WriteVideo, tmp_path: Path
) -> None:
    assert "yuv444p" in obstacle(write_video(tmp_path / "a.mp4", pixels="yuv444p"))


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mkv", "libx264"), ("a.mp4", "libx264"), ("a.mov", "libx264"), ("a.mp4", "mpeg4"),
        ("a.mkv", "mpeg4"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("late_sec", [0.0, 2.0])
def test_the_pictures_of_a_copy_keep_their_distances_from_the_first(
    write_video: WriteVideo, tmp_path: Path, name: str, codec: str, late_sec: float
) -> None:
    times = UNEVEN if codec == "libx264" else [k / 20 for k in range(30)]
    video = write_video(tmp_path / name, codec=codec, times=times, late_sec=late_sec)
    copy = write_preview(video, tmp_path / "copy")
    assert copy.suffix in (".mp4", ".webm") and obstacle(copy) == ""
    assert seconds_of(copy) == pytest.approx(as_from_first(seconds_of(video)), abs=0.0011)
    assert levels_of(copy) == pytest.approx(levels_of(video), abs=4)


def test_pictures_that_browsers_decode_are_not_encoded_again(
    write_video: WriteVideo, tmp_path: Path
) -> None:
    video = write_video(tmp_path / "a.mkv", times=[k / 20 for k in range(60)], late_sec=1.0)
    copy = write_preview(video, tmp_path / "copy")

    def packets(path: Path) -> int:
        with av.open(str(path)) as container:
            return sum(p.size for p in container.demux(video=0))

    assert packets(copy) == pytest.approx(packets(video), rel=0.05)


def test_a_smaller_copy_is_at_most_480_high_and_has_even_sides(
    write_video: WriteVideo, tmp_path: Path
) -> None:
    video = write_video(tmp_path / "a.mp4", size=(1000, 770))
    with av.open(str(write_preview(video, tmp_path / "copy", smaller=True))) as container:
        stream = container.streams.video[0]
        assert (stream.width, stream.height) == (624, 480)


@pytest.mark.parametrize("content", [b"", b"no video at all"])
def test_what_is_no_video_leaves_nothing_behind(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.mp4").write_bytes(content)
    with pytest.raises(VideoError, match=r"a\.mp4"):
        write_preview(tmp_path / "a.mp4", tmp_path / "copy")
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


def test_a_video_that_breaks_off_is_copied_as_far_as_it_goes(
    write_video: WriteVideo, tmp_path: Path
) -> None:
    video = write_video(tmp_path / "a.avi", codec="mpeg4", times=[k / 20 for k in range(999)])
    video.write_bytes(video.read_bytes()[: video.stat().st_size // 2])
    times = seconds_of(write_preview(video, tmp_path / "copy"))
    assert times[0] == 0 and np.all(np.diff(times) > 0) and 5 < len(times) < 999


def test_a_video_without_a_packet_has_no_copy(tmp_path: Path) -> None:
    video = tmp_path / "empty.avi"
    with av.open(str(video), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 64
        container.start_encoding()
    with pytest.raises(VideoError, match="no picture could be decoded"):
        write_preview(video, tmp_path / "copy")
    assert [p.name for p in tmp_path.iterdir()] == ["empty.avi"]


def test_without_an_encoder_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preview, "ENCODERS", {"nonesuch": (".mp4", {})})
    with pytest.raises(InputError, match="this PyAV has none of the encoders nonesuch"):
        write_preview(tmp_path / "v.avi", tmp_path / "copy", smaller=True)


def test_a_folder_of_images_gets_a_copy(tmp_path: Path) -> None:
    (tmp_path / "clip").mkdir()
    for n in range(10):
        cv2.imwrite(str(tmp_path / "clip" / f"{n}.png"), np.full((64, 64, 3), 20 * n, np.uint8))
    assert "images" in obstacle(tmp_path / "clip")
    copy = write_preview(tmp_path / "clip", tmp_path / "copy", reading=Reading(assume_fps=5.0))
    assert seconds_of(copy) == pytest.approx([n / 5 for n in range(10)])
    assert levels_of(copy) == pytest.approx([20 * n for n in range(10)], abs=16)  # grey has a range


def test_a_copy_may_count_from_the_start_of_the_file(tmp_path: Path) -> None:
    video = write_tracks(tmp_path / "v.mkv", (160, 128, True), late_sec=1.0)
    copy = write_preview(video, tmp_path / "first")
    assert seconds_of(copy) == pytest.approx([n / 10 for n in range(10)], abs=0.001)
    copy = write_preview(video, tmp_path / "start", reading=Reading(zero="container"))
    assert seconds_of(copy)[:2] == pytest.approx([0.0, 1.1], abs=0.001)
