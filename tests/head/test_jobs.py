"""Trainings in processes of their own: shared threads, failures, and an end with the parent."""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tsatal.errors import InputError
from tsatal.head.jobs import Outcome, work_through

SLEEPERS = """
import functools, signal, sys
from tsatal.head.jobs import work_through
from tests_of_jobs import sleeps
if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's & may ignore it
    work_through(
        {n: functools.partial(sleeps, f"{sys.argv[1]}/{n}") for n in "ab"},
        jobs=2, done=lambda *args: print(*args),
    )
"""
SLEEPS = """
import os
import time
def sleeps(path):
    with open(path, "w") as file:
        file.write(str(os.getpid()))
    time.sleep(600)
"""


def threads(path: Path) -> str:
    import torch

    path.write_text(str(os.getpid()))
    return str(torch.get_num_threads())


def wrong(text: str) -> str:
    raise InputError(text)


def broken(text: str) -> str:
    return str(int(text))


def killed() -> str:
    os.kill(os.getpid(), signal.SIGKILL)
    return ""


def test_one_at_a_time_is_in_this_process(tmp_path: Path) -> None:
    ends: dict[str, Outcome] = {}
    tasks = {"a": partial(wrong, "a.json: no"), "b": partial(threads, tmp_path / "b")}
    assert work_through(tasks, jobs=1, done=ends.__setitem__) == {"a": "a.json: no"}
    assert ends["a"] == Outcome("", "a.json: no") and ends["b"].problem == ""
    assert (tmp_path / "b").read_text() == str(os.getpid())


def test_a_bug_is_told_as_one_and_the_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    tasks: dict[str, Callable[[], str]] = {"a": partial(broken, "x"), "b": lambda: "fine"}
    failed = work_through(tasks, jobs=1, done=lambda *end: None)
    assert list(failed) == ["a"] and failed["a"].startswith("ValueError: invalid literal")
    assert caplog.records[0].levelno == logging.ERROR and "please report it" in caplog.text


def test_each_has_a_process_with_its_share_of_the_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    ends: dict[str, Outcome] = {}
    tasks: dict[str, Callable[[], str]] = {
        "a": partial(threads, tmp_path / "a"), "b": killed, "c": partial(wrong, "c.json: no"),
    }  # fmt: skip
    failed = work_through(tasks, jobs=2, done=ends.__setitem__)
    assert ends["a"] == Outcome("1", "")  # of two threads, each of two has one
    assert (tmp_path / "a").read_text() != str(os.getpid())
    assert failed["b"].startswith("its process ended by signal 9") and failed["c"] == "c.json: no"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_all_end_with_the_process_that_started_them(tmp_path: Path, number: int) -> None:
    (tmp_path / "tests_of_jobs.py").write_text(SLEEPS)
    (tmp_path / "main.py").write_text(SLEEPERS)
    paths = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    parent = subprocess.Popen(
        [sys.executable, str(tmp_path / "main.py"), str(tmp_path)],
        env={**os.environ, "PYTHONPATH": paths}, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        children = [int(waited_for(tmp_path / name)) for name in "ab"]
        parent.send_signal(number)
        parent.wait(60)
        assert all(ended(child) for child in children)
    finally:
        parent.kill()


def waited_for(path: Path) -> str:
    for _ in range(1200):
        if path.is_file() and (text := path.read_text()):
            return text
        time.sleep(0.1)
    raise AssertionError(path)


def ended(pid: int) -> bool:
    for _ in range(300):
        try:
            os.kill(pid, 0)
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
            if state == "Z":  # nobody waits for it here
                return True
        except (ProcessLookupError, FileNotFoundError):
            return True
        time.sleep(0.1)
    return False
