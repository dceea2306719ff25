"""Progress over videos where output is not a terminal."""

import logging

import pytest

from tsatal.exchange import progress


def test_items_come_as_they_are_and_a_line_says_how_far(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    assert list(progress.counted("abc", "import")) == ["a", "b", "c"]
    assert not caplog.messages
    monkeypatch.setattr(progress, "PLAIN_EVERY_SEC", 0.0)
    assert list(progress.counted("abc", "import")) == ["a", "b", "c"]
    assert caplog.messages[0].startswith("import: 1 of 3 videos, ") and len(caplog.messages) == 2
