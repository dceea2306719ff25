"""What is no file, what is too large, what is out of range, and a signal at any moment.

Each ends soon, in one line, within a bounded memory, and without a file that was not asked for.
"""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import pytest

from .commands import Inputs
from .conftest import LONG, SEED
from .hostile import NO_FILES, bombs, inputs_taking, no_file, outputs_taking
from .warm import Ended, Warm, stopped_in_one_line

GIB = 2**30
SOON_SEC = 30.0  # a loaded machine, and what a command does before it meets the input
MOST_SAID = 2600  # characters: click puts a line of usage and a hint before its error
MORE = GIB + 2**29  # address space: threads and libraries take some that they never use


def refused(ended: Ended, what: object) -> None:
    """Fail unless it ended soon, in one line, and within a GiB."""
    ended.check_clean(1, 2)
    marks = ("Error: ", "failed: ", "docs/checking.md")
    said = [x for x in ended.output.splitlines() if any(mark in x for mark in marks)]
    assert said, f"{what}: {ended.output[-2000:]}"
    assert len(ended.output) < MOST_SAID, f"{what}: {ended.output[:4000]}"
    assert ended.output.isprintable() or all(
        c.isprintable() or c in "\n\r" for c in ended.output
    ), f"{what}: {ended.output!r}"
    assert ended.seconds < SOON_SEC and ended.most_bytes < GIB, f"{what}: {ended}"


Places = dict[str, tuple[str, Callable[[object], tuple[object, ...]]]]


def some(every: Sequence[tuple[str, str]], short: int) -> list[tuple[str, str]]:
    """Return all, or a few of them where the time is short."""
    return list(every) if LONG else random.Random(f"hostile {SEED}").sample(every, short)


def all_refused(
    warm: Warm,
    tmp_path: Path,
    every: Sequence[tuple[str, Callable[[Path], tuple[object, ...]]]],
) -> None:
    """Run each command in a folder that its inputs are made in; fail for all that are not refused.

    Nothing may appear in the folder but a list of failures.
    """
    wrong = []
    for n, (what, argv_in) in enumerate(every):
        folder = tmp_path / f"{n}"
        folder.mkdir()
        argv = argv_in(folder)
        before = sorted(folder.rglob("*"))
        try:
            refused(warm.run("-q", *argv, cwd=folder, more_bytes=MORE), what)
            after = sorted(p for p in folder.rglob("*") if "failed.json" not in p.name)
            assert after == before, f"{what}: {set(after) - set(before)}"
        except AssertionError as e:
            wrong.append(f"{what}: {e}")
        shutil.rmtree(folder)
    assert not wrong, "\n\n".join(wrong)


def test_what_is_no_file_is_not_opened(inputs: Inputs, warm: Warm, tmp_path: Path) -> None:
    places = inputs_taking(inputs)
    every = [
        (f"{place}: {kind}", partial(_no_file_at, *places[place], kind))
        for place, kind in some([(p, k) for p in places for k in NO_FILES], 14)
        if (place, kind) != ("extract OUT", "missing")  # that is as it should be
    ]
    all_refused(warm, tmp_path, every)


def _no_file_at(
    ending: str, argv: Callable[[object], tuple[object, ...]], kind: str, folder: Path
) -> tuple[object, ...]:
    return argv(no_file(kind, folder, ending))


def test_a_place_to_write_is_judged_before_anything_is_made(
    inputs: Inputs, warm: Warm, tmp_path: Path
) -> None:
    places = outputs_taking(inputs)
    kinds = [k for k in NO_FILES if k != "missing"]
    every = [
        (f"{place}: {kind}", partial(_no_file_at, *places[place], kind))
        for place, kind in some([(p, k) for p in places for k in kinds], 14)
        if not (kind == "folder" and not places[place][0])
        and not ("--json" in place and kind in ("zero", "null"))
    ]
    all_refused(warm, tmp_path, every)


def test_what_would_fill_the_memory_is_refused(inputs: Inputs, warm: Warm, tmp_path: Path) -> None:
    places = inputs_taking(inputs)
    (tmp_path / "bombs").mkdir()
    made = [(place, str(path)) for place, path in bombs(tmp_path / "bombs", inputs)]
    every = [
        (f"{place}: {Path(path).name}", lambda _, p=place, at=path: places[p][1](at))
        for place, path in some(made, 20)
    ]
    all_refused(warm, tmp_path, every)


def reading(inputs: Inputs) -> dict[str, tuple[object, ...]]:
    """Return the commands that only read, and those that do several things one after another."""
    return {
        "check": ("check", inputs.toy),
        "info": ("info", inputs.run),
        "configs": ("configs", "strong"),
        "demo": ("demo", "--device", "cpu"),
    }


@pytest.mark.parametrize("name", ["check", "info", "configs", "demo"])
def test_a_signal_at_any_moment_ends_in_one_line(
    name: str, inputs: Inputs, warm: Warm, tmp_path: Path
) -> None:
    dice, longest = random.Random(f"signals {SEED} {name}"), 8.0 if name == "demo" else 0.5
    for n in range(40 if LONG else 2):
        folder = tmp_path / f"{n}"
        folder.mkdir()
        how = dice.choice((signal.SIGINT, signal.SIGTERM))
        running = warm.start(*reading(inputs)[name], cwd=folder)
        timer = threading.Timer(dice.uniform(0, longest), running.kill, [how])
        timer.start()
        ended = running.wait()
        timer.cancel()
        stopped_in_one_line(ended, how)


def test_a_signal_while_the_command_line_is_loaded_ends_in_one_line(tmp_path: Path) -> None:
    dice = random.Random(f"loading {SEED}")
    for _ in range(40 if LONG else 2):
        how = dice.choice((signal.SIGINT, signal.SIGTERM))
        process = subprocess.Popen(
            [sys.executable, "-X", "importtime", "-m", "tsatal", "extract", "nowhere", "o.h5"],
            cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert process.stderr
        for line in process.stderr:  # its handlers are in place when this module is loaded
            if "tsatal.errors" in line:
                break
        time.sleep(dice.uniform(0, 2))
        process.send_signal(how)
        said = [x for x in process.communicate()[1].splitlines() if "import time:" not in x]
        assert process.returncode in (1, 128 + how), said
        assert len(said) == 1 and said[0].startswith("Error: "), said


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_python_ends_changes_nothing(how: signal.Signals, tmp_path: Path) -> None:
    """Python gives signals back to the system before it takes its modules apart."""
    code = f"""
import os, sys
class Last:
    def __del__(self, write=os.write, kill=os.kill, pid=os.getpid()):
        write(1, b"last")
        kill(pid, {how:d})
sys.last = Last()
from tsatal.__main__ import run
sys.argv = ["tsatal", "extract", "nowhere", "o.h5"]
run()
"""
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert (ended.returncode, ended.stdout) == (1, "last")
    assert ended.stderr == "Error: nowhere: no such file or folder\n"


def test_the_second_signal_quits_at_once(tmp_path: Path) -> None:
    code = """
import sys, time
from tsatal.cli import stoppable
with stoppable():
    try:
        print("ready", flush=True)
        time.sleep(60)
    except KeyboardInterrupt:
        print("again", flush=True)
        time.sleep(60)
"""
    for how in (signal.SIGINT, signal.SIGTERM):
        process = subprocess.Popen(
            [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=tmp_path
        )
        assert process.stdout
        for said in ("ready", "again"):
            assert process.stdout.readline().strip() == said
            process.send_signal(how)
        assert process.wait(60) == 128 + how
        process.stdout.close()
