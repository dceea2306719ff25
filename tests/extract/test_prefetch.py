from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tsatal.extract import prefetch
from tsatal.extract.container import VideoError
from tsatal.extract.prefetch import DEPTH, FrameStream, first_ready, videos_at_once
from tsatal.extract.settings import ExtractSettings

from .conftest import VideoWriter, read_number


def decoders() -> int:
    return sum(t.name.startswith("decode ") for t in threading.enumerate())


def wait_until(condition: object) -> None:
    deadline = time.monotonic() + 60
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
    with pytest.raises(VideoError, match="no such file"):
        list(FrameStream(tmp_path / "missing.mp4", ExtractSettings()))


def test_strange_errors_name_the_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(path: Path, **kwargs: object) -> Iterator[np.ndarray]:
        raise ZeroDivisionError("rate 0")
        yield

    monkeypatch.setattr(prefetch, "read_frames", broken)
    with pytest.raises(VideoError, match=r"v.mp4: decoding failed \(ZeroDivisionError: rate 0\)"):
        list(FrameStream(Path("v.mp4"), ExtractSettings()))


def test_a_stream_is_ready_with_so_many_frames_or_with_all_that_are_left(
    write_video: VideoWriter,
) -> None:
    stream = FrameStream(write_video("v.mp4", range(0, 9000, 1000)), ExtractSettings())
    wait_until(lambda: stream.ready(1000))
    assert len(list(stream)) == 3 and stream.ready(1)


def test_a_full_queue_is_ready_whatever_is_asked_for(endless: list[int]) -> None:
    stream = FrameStream(Path("v"), ExtractSettings())
    wait_until(lambda: stream.ready(10 * DEPTH))
    stream.close()


def test_the_first_stream_that_is_ready_has_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = {name: threading.Event() for name in "abc"}

    def frames(path: Path, **kwargs: object) -> Iterator[np.ndarray]:
        yield np.zeros(1)
        assert go_on[path.name].wait(10)
        yield from np.zeros((5, 1))

    monkeypatch.setattr(prefetch, "read_frames", frames)
    streams = {name: FrameStream(Path(name), ExtractSettings()) for name in "abc"}
    go_on["b"].set()
    assert first_ready(streams, 5) == "b"
    assert first_ready({"c": streams["c"]}, 5) == "c"  # alone it is not waited for
    go_on["a"].set()
    wait_until(lambda: first_ready(streams, 5) == "a")  # the oldest goes first
    go_on["c"].set()


def test_a_broken_video_is_ready(tmp_path: Path) -> None:
    streams = {n: FrameStream(tmp_path / n, ExtractSettings()) for n in "ab"}
    assert first_ready(streams, 5) in "ab"


def test_a_gpu_gets_as_many_videos_as_can_be_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    for cores, videos in ((None, 1), (4, 4), (64, 16)):
        monkeypatch.setattr("os.cpu_count", lambda n=cores: n)
        assert videos_at_once("cuda:1") == videos and videos_at_once("cpu") == 1
