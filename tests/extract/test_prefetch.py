from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tsatal.extract import prefetch
from tsatal.extract.prefetch import DEPTH, FrameStream, read_ahead
from tsatal.extract.settings import ExtractSettings
from tsatal.extract.video import VideoError

from .conftest import VideoWriter, read_number


def decoders() -> int:
    return sum(t.name.startswith("decode ") for t in threading.enumerate())


def wait_until(condition: object) -> None:
    deadline = time.monotonic() + 10
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    decoded: list[int] = []

    def frames(path: Path, **kwargs: object) -> Iterator[np.ndarray]:
        while True:
            decoded.append(len(decoded))
            yield np.array(decoded[-1])

    monkeypatch.setattr(prefetch, "read_frames", frames)
    return decoded


def test_frames_come_in_order_and_the_report_with_them(write_video: VideoWriter) -> None:
    stream = FrameStream(write_video("v.mp4", range(0, 60000, 1000)), ExtractSettings())
    assert [read_number(f) for f in stream] == list(range(0, 60, 3))
    assert stream.report.frames == 20


def test_decoding_waits_when_nobody_takes_frames(endless: list[int]) -> None:
    stream = FrameStream(Path("v"), ExtractSettings())
    wait_until(lambda: len(endless) == DEPTH + 1)
    time.sleep(0.05)
    assert len(endless) == DEPTH + 1
    stream.close()
    wait_until(lambda: decoders() == 0)


def test_errors_arrive_where_frames_are_taken(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match="cannot be opened"):
        list(FrameStream(tmp_path / "missing.mp4", ExtractSettings()))


def test_strange_errors_name_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(path: Path, **kwargs: object) -> Iterator[np.ndarray]:
        raise ZeroDivisionError("rate 0")
        yield

    monkeypatch.setattr(prefetch, "read_frames", broken)
    with pytest.raises(VideoError, match=r"v.mp4: decoding failed \(ZeroDivisionError: rate 0\)"):
        list(FrameStream(Path("v.mp4"), ExtractSettings()))


def test_the_next_video_is_begun_while_this_one_is_taken(endless: list[int]) -> None:
    streams = read_ahead([(n, Path(n)) for n in "abc"], ExtractSettings())
    first, stream = next(streams)
    assert first == "a" and decoders() == 2
    stream.close()
    streams.close()
    wait_until(lambda: decoders() == 0)


def test_every_video_comes_once(write_video: VideoWriter) -> None:
    videos = [(n, write_video(f"{n}.mp4", range(0, 9000, 1000))) for n in "abc"]
    found = [(n, len(list(stream))) for n, stream in read_ahead(videos, ExtractSettings())]
    assert found == [("a", 3), ("b", 3), ("c", 3)]
