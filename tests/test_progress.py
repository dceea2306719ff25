from __future__ import annotations

import logging
import time

import pytest

from tsatal import progress
from tsatal.progress import Progress


def test_time_left_goes_by_duration(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 10.0, 10.0, 10.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    bar = Progress(4, 1000.0, shown=False)
    bar.advance(100.0)
    bar.finish_video()
    assert bar.line() == ("1 of 4 videos, 100 of 1000 s of video, 10.0 s per second, 2 min left")
    bar.close()


def test_without_a_terminal_lines_are_logged_now_and_then(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(progress, "PLAIN_EVERY_SEC", 0.0)
    caplog.set_level(logging.INFO)
    bar = Progress(2, 10.0)
    bar.advance(5.0)
    bar.close()
    quiet = Progress(2, 10.0, shown=False)
    quiet.advance(5.0)
    quiet.close()
    assert len(caplog.messages) == 1 and "5 of 10 s of video" in caplog.messages[0]


def test_more_video_than_announced_is_no_error() -> None:
    bar = Progress(1, 0.0, shown=False)
    bar.advance(3.0)
    assert "0 min left" in bar.line()
    bar.close()
