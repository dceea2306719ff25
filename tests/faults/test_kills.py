"""Killed at any instant, again and again: in the end everything is there, and as if undisturbed."""

from __future__ import annotations

import random
import shutil
import signal
import threading
from collections import Counter
from pathlib import Path

import pytest

from .commands import BRIEF, Command
from .conftest import KILLED, LONG, SEED, Undisturbed
from .warm import Warm, stopped_in_one_line

# How often each command is ended so.
KILLS = {signal.SIGKILL: 60 if LONG else 2, signal.SIGTERM: 40 if LONG else 1}
KILLS |= {signal.SIGINT: 40} if LONG else {}
SLOW = () if LONG else ("evaluate", "detect")  # one kill of these will do for a minute of faults
QUICK = ("export", "view", "report")  # three steps of these
every_command = pytest.mark.parametrize("command", KILLED, indirect=True)


@every_command
@pytest.mark.parametrize("how", list(KILLS))
def test_killed_again_and_again_the_outcome_is_that_of_an_undisturbed_run(
    command: Command, undisturbed: Undisturbed, how: signal.Signals, warm: Warm, tmp_path: Path
) -> None:
    dice, counts = random.Random(f"{SEED} {command.name} {how}"), Counter[str]()
    while counts["kills"] < (1 if command.name in SLOW else KILLS[how]):
        folder = tmp_path / str(counts["runs"])
        folder.mkdir()
        longest = undisturbed.seconds
        while not _killed(command, how, warm, folder, dice.uniform(0, longest)):
            counts["kills"] += 1
            command.check(folder)
            longest *= 1.1  # another program may take the processor; one day it must be done
        counts["runs"] += 1
        assert command.content(folder) == undisturbed.content
    print(f"{command.name}, {how.name}: {dict(counts)}, {undisturbed.seconds:.2f} s undisturbed")


@every_command
@pytest.mark.parametrize("fault", ["kill_at", "tear_at", "tear_bytes"])
def test_killed_at_every_step_and_in_every_write_nothing_is_half_there(
    command: Command, undisturbed: Undisturbed, fault: str, warm: Warm, tmp_path: Path
) -> None:
    """Every change of a folder is a step: a file opened for writing, renamed, removed."""
    if command.name in ("evaluate", *BRIEF) and fault != "tear_at" and not LONG:
        pytest.skip("one of three ways will do for a minute of faults")
    assert undisturbed.steps >= 2  # a file aside, and its renaming
    every = list(range(1, undisturbed.steps + 1))
    if fault == "tear_bytes":
        every = [2**n for n in range(22)]
    if not LONG:
        every = random.Random(f"{SEED} {fault}").sample(every, 3 if command.name in QUICK else 1)
    for step in every:
        folder = tmp_path / f"{step}"
        folder.mkdir()
        ended = warm.run(*command.argv(folder), cwd=folder, **{fault: step})
        ended.check_clean(0, -signal.SIGKILL, -signal.SIGXFSZ)
        command.check(folder)
        warm.run(*command.argv(folder), cwd=folder).check_clean(0)
        assert command.content(folder) == undisturbed.content, f"{fault} {step}"
        shutil.rmtree(folder)
    print(f"{command.name}: {fault} {len(every)} times, {undisturbed.steps} steps")


def _killed(
    command: Command, how: signal.Signals, warm: Warm, folder: Path, after_sec: float
) -> bool:
    """Start a command and send the signal; return whether it was done before that."""

    process = warm.start(*command.argv(folder), cwd=folder)
    timer = threading.Timer(after_sec, process.kill, [how])
    timer.start()
    ended = process.wait()
    timer.cancel()
    if how == signal.SIGKILL:
        ended.check_clean(0, -how)
    else:
        stopped_in_one_line(ended, how)
    return ended.code == 0
