"""`tsatal annotate`, killed in the middle of edits: whole, and at most the last edit is missing."""

from __future__ import annotations

import http.client
import http.cookiejar
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tsatal.formats.labels.find import load_annotations

from ..browser import write_small_video
from .conftest import LONG, SEED

ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
KILLS = 50 if LONG else 3
EDITS = 400  # more than are made before the kill


class Window:
    """A browser's part: comes in by the address, reads and saves labels."""

    def __init__(self, address: str) -> None:
        self.root = address.split("/?")[0]
        jar = http.cookiejar.CookieJar()
        self.opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
        self.opener.open(address, timeout=120).close()

    def ask(self, path: str, sent: Any = None) -> Any:
        body = None if sent is None else json.dumps(sent).encode()
        request = urllib.request.Request(
            f"{self.root}{path}", body, {"Origin": self.root}, method="PUT" if body else "GET"
        )
        with self.opener.open(request, timeout=120) as answer:
            return json.load(answer)


def heed_signals() -> None:
    """Let signals end a child: who ran the tests by `nohup`, or behind `&`, has it ignore some."""
    for number in ENDS:
        signal.signal(number, signal.SIG_DFL)


@contextmanager
def started(folder: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Start the command, and yield it with its address; a test that fails leaves nothing behind."""
    command = [sys.executable, "-m", "tsatal", "annotate", str(folder)]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=dict(os.environ),
        preexec_fn=heed_signals,
    )
    try:
        assert process.stdout
        for line in process.stdout:
            if found := re.search(r"http://127\.0\.0\.1:\d+/\?token=\S+", line):
                yield process, found.group()
                return
        raise AssertionError("it never said where it is")
    finally:
        process.kill()
        process.wait()


def edit_until_dead(window: Window, process: subprocess.Popen[str], first: int) -> int:
    """Save one action more each time; return how many the server said were saved."""
    try:
        there = window.ask("/labels/0")
    except (OSError, http.client.HTTPException):  # it was killed before it could answer
        assert process.wait(30) == -signal.SIGKILL
        return first
    labels, revision = there["labels"], there["revision"]
    assert len(labels["actions"]) in (first, first + 1)  # the last edit may be there, unsaid
    saved = len(labels["actions"])
    for number in range(saved, saved + EDITS):
        action = {"label": f"n{number}", "start_sec": number, "end_sec": number + 0.5}
        labels = {**labels, "state": "done", "actions": [*labels["actions"], action]}
        try:
            revision = window.ask("/labels/0", {"labels": labels, "revision": revision})["revision"]
        except (OSError, http.client.HTTPException):
            assert process.wait(30) == -signal.SIGKILL
            break
        saved = number + 1
    return saved


def test_killed_while_editing_at_most_the_last_edit_is_missing(tmp_path: Path) -> None:
    write_small_video(tmp_path / "a.mp4")
    dice, saved, path = random.Random(SEED), 0, tmp_path / "annotations.json"
    for _ in range(KILLS):
        with started(tmp_path) as (process, address):
            window = Window(address)
            timer = threading.Timer(dice.uniform(0.05, 0.8), process.kill)
            timer.start()
            saved = edit_until_dead(window, process, saved)
            process.wait()
        if path.exists():
            found = load_annotations(path).videos["a"].instances
            assert [i.label for i in found] == [f"n{n}" for n in range(len(found))]
            assert len(found) in (saved, saved + 1)
        else:
            assert saved == 0


@pytest.mark.parametrize("how", ENDS)
def test_its_end_says_what_is_saved_and_is_no_failure(tmp_path: Path, how: signal.Signals) -> None:
    write_small_video(tmp_path / "a.mp4")
    with started(tmp_path) as (process, address):
        window = Window(address)
        there = window.ask("/labels/0")
        action = {"label": "jump", "start_sec": 0.5, "end_sec": 1}
        labels = {**there["labels"], "state": "done", "actions": [action]}
        window.ask("/labels/0", {"labels": labels, "revision": there["revision"]})
        process.send_signal(how)
        output, _ = process.communicate(timeout=240)
        assert process.returncode == 0
    saved, train, again = output.splitlines()[-3:]
    assert saved == f"{tmp_path / 'annotations.json'}: saved, with 1 action; of 1 video, 1 done"
    assert train.startswith(f"Train on it: tsatal extract {tmp_path} out.h5, then tsatal train")
    assert again.startswith("Mark more")
    assert [i.label for i in load_annotations(tmp_path / "annotations.json").videos["a"].instances]


def test_nothing_marked_is_said_and_a_closed_terminal_is_no_failure(tmp_path: Path) -> None:
    write_small_video(tmp_path / "a.mp4")
    with started(tmp_path) as (process, _):
        assert process.stdout
        process.stdout.close()  # so that nothing can be said any more
        process.send_signal(signal.SIGHUP)
        assert process.wait(60) == 0
    assert not (tmp_path / "annotations.json").exists()
    with started(tmp_path) as (process, _):
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=240)
        assert process.returncode == 0
    assert output.splitlines()[-2:] == [
        "Nothing was marked, so there is no file of labels",
        "Mark: the same command again",
    ]
