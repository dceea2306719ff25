"""Progress on a terminal, and where output is none."""

from __future__ import annotations

import io
import logging
import sys
import time

import pytest

from tsatal import progress
from tsatal.progress import LogHandler, Progress, counted, duration


def test_time_left_goes_by_the_amount(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 10.0, 10.0, 10.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    bar = Progress("1 of 4 videos", 1000.0, "s of video", shown=False)
    bar.advance(100.0)
    assert bar.line() == "1 of 4 videos: 100 of 1000 s of video, 10.0 per second, 90 s left"
    bar.close()


def test_time_left_is_that_of_the_machine_as_it_is_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half-way it becomes five times slower; soon the time left is what it takes."""
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    bar = Progress("training", 1000.0, "steps", shown=False, already=200.0)
    for done in range(200, 900):
        clock[0] += 0.5 if done < 600 else 2.5
        bar.advance(1.0)
        if done == 599:
            assert "600 of 1000 steps, 2.0 per second, 3 min left" in bar.line()
    assert "900 of 1000 steps, " in bar.line() and "4 min left" in bar.line()  # 100 of 2.5 s
    assert len(bar._marks) < 400
    bar.close()


def test_a_length_of_time_has_the_unit_that_fits() -> None:
    lengths = [duration(s) for s in (0.2, 40, 99.4, 99.6, 3599, 7500)]
    assert lengths == ["0 s", "40 s", "99 s", "2 min", "60 min", "2 h 5 min"]


def test_at_the_very_start_nobody_says_how_long_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: clock[0])
    bar = Progress("extract", 1000.0, "s of video", shown=False)
    clock[0] = 6.0
    assert bar.line() == "extract: 0 of 1000 s of video"
    bar.advance(2.0)
    assert bar.line() == "extract: 2 of 1000 s of video"
    clock[0] = 25.0
    assert "0.1 per second, 3 h 28 min left" in bar.line()
    bar.close()


def test_without_a_terminal_lines_are_logged_now_and_then(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    bar = Progress("extract", 10.0, "s of video")
    bar.advance(1.0)
    assert not caplog.messages
    bar.close()
    monkeypatch.setattr(progress, "PLAIN_EVERY_SEC", 0.0)
    bar = Progress("extract", 10.0, "s of video", already=1.0)
    bar.advance(4.0)
    bar.close()
    quiet = Progress("extract", 10.0, "s of video", shown=False)
    quiet.advance(5.0)
    quiet.close()
    assert len(caplog.messages) == 1 and "5 of 10 s of video" in caplog.messages[0]


def test_more_than_announced_is_no_error() -> None:
    bar = Progress("extract", 0.0, "s of video", shown=False)
    bar.advance(3.0)
    assert "0 s left" in bar.line()
    bar.close()


def test_more_than_announced_is_no_error_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    bar = Progress("extract", 10.0, "s of video")
    bar.advance(20.0)
    bar.doing = "one more"
    bar.advance(5.0)
    bar.close()
    assert "25/25 s of video" in terminal.getvalue() and "one more" in terminal.getvalue()


def test_items_come_as_they_are_and_a_line_says_how_far(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    assert list(counted("abc", "import")) == ["a", "b", "c"]
    assert not caplog.messages
    monkeypatch.setattr(progress, "PLAIN_EVERY_SEC", 0.0)
    assert list(counted("abc", "import")) == ["a", "b", "c"]
    assert caplog.messages[0].startswith("import: 1 of 3 videos, ") and len(caplog.messages) == 3


class Terminal(io.StringIO):
    """Keeps what a terminal is sent."""

    def isatty(self) -> bool:
        return True

    def screen(self) -> list[str]:
        """Return the lines as they can be read in the end: what follows "\\r" overwrites."""
        lines = []
        for line in self.getvalue().split("\n"):
            shown = ""
            for part in line.split("\r"):
                shown = part + shown[len(part) :]
            lines.append(shown.rstrip())
        return lines


def test_log_lines_stand_above_the_bar_and_not_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    logger, handler = logging.getLogger("tsatal.test"), LogHandler()
    monkeypatch.setattr(logger, "propagate", False)
    logger.addHandler(handler)
    bar = Progress("extract", 10.0, "s of video")
    bar.advance(5.0)
    logger.warning("a line")
    bar.advance(5.0)
    logger.warning("another")
    bar.close()
    logger.removeHandler(handler)
    first, second, last, _ = terminal.screen()
    assert (first, second) == ("a line", "another")
    assert last.startswith("extract |") and "10/10 s of video" in last


def test_less_than_nothing_is_never_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """Videos are longer or shorter than announced, and amounts may be taken back."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(progress._Bar, "monitor_interval", 0)
    bar = Progress("extract", 10.0, "s of video")
    bar._bar.mininterval = 0
    for amount in (4.0, -2.0, 9.4, -3.0, 0.3, 5.0):
        time.sleep(0.01)
        bar.advance(amount)
    bar.total = 3.0
    bar.close()
    assert "<-" not in terminal.getvalue() and "-1:" not in terminal.getvalue()
    assert terminal.getvalue().count("extract") >= 3
