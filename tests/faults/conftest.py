"""What all faults share: how long to look for them, small inputs, and processes to kill.

`TSATAL_FAULTS=long` is the long form (`make test-faults`); without it, a minute of it is part of
the tests. `TSATAL_FAULTS_SEED` is another seed than 0.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tsatal.commands.demo import write_demo_videos

from .commands import (
    BRIEF,
    COMMANDS,
    LONG_ONLY,
    SMALL,
    TINY,
    Command,
    Inputs,
    make_command,
    write_arrays,
    write_labels,
)
from .warm import Warm, warmed

LONG = os.environ.get("TSATAL_FAULTS") == "long"
SEED = int(os.environ.get("TSATAL_FAULTS_SEED", "0"))
KILLED = (*COMMANDS, *BRIEF, *(LONG_ONLY if LONG else ()))  # by name
STRUCK = KILLED if LONG else COMMANDS  # by every fault


def cases(short: int, long: int) -> range:
    """Return the numbers of the cases, each of which is also its seed."""
    return range(SEED * 1_000_000, SEED * 1_000_000 + (long if LONG else short))


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of four videos of a few seconds, with annotations."""
    folder = tmp_path_factory.mktemp("faults") / "videos"
    write_demo_videos(folder, training=3, validation=1, duration_sec=3.0, seed=0)
    return folder


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory, write_toy: Callable[..., Path]) -> Path:
    """A small feature file."""
    return write_toy(tmp_path_factory.mktemp("toy") / "f.h5", videos=3, steps=40)


@pytest.fixture(scope="session")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warm]:
    """A process that forks others."""
    with warmed(tmp_path_factory.mktemp("warm") / "log") as process:
        yield process


@pytest.fixture(scope="session")
def warm2(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warm]:
    """Another one, so that two commands run at once."""
    with warmed(tmp_path_factory.mktemp("warm") / "log") as process:
        yield process


@pytest.fixture(scope="session")
def run_dir(tmp_path_factory: pytest.TempPathFactory, toy: Path, warm: Warm) -> Path:
    """The folder of a run, trained for two epochs."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    train = ("-q", "train", "--features", toy, "--out", folder, *SMALL)
    warm.run(*train, "--set", "optim.epochs=2", cwd=folder.parent).check_clean(0)
    return folder


@pytest.fixture(scope="session")
def arrays(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of published features."""
    return write_arrays(tmp_path_factory.mktemp("published") / "arrays")


@pytest.fixture(scope="session")
def inputs(
    videos: Path, toy: Path, run_dir: Path, arrays: Path, warm: Warm,
    tmp_path_factory: pytest.TempPathFactory,
) -> Inputs:  # fmt: skip
    """What the commands work on."""
    labels, found = write_labels(videos)
    seen = tmp_path_factory.mktemp("seen") / "run"
    features = seen.with_name("f.h5")
    extract = ("-q", "extract", videos, features, "--annotations", labels, *TINY)
    warm.run(*extract, cwd=seen.parent).check_clean(0)
    train = ("-q", "train", "--features", features, "--out", seen, *SMALL, "--device", "cpu")
    warm.run(*train, "--set", "optim.epochs=1", cwd=seen.parent).check_clean(0)
    return Inputs(videos, labels, found, toy, run_dir, seen, arrays)


@pytest.fixture(scope="session", params=STRUCK)
def command(request: pytest.FixtureRequest, inputs: Inputs) -> Command:
    """One of the commands that faults strike."""
    return make_command(request.param, inputs)


@dataclass(frozen=True)
class Undisturbed:
    """How a command does without faults: what comes out, how long it takes, in how many steps."""

    content: object
    seconds: float
    steps: int


@pytest.fixture(scope="session")
def undisturbed(
    command: Command, warm: Warm, tmp_path_factory: pytest.TempPathFactory
) -> Undisturbed:
    """The command as it does without faults."""
    whole = tmp_path_factory.mktemp("whole")
    ended = warm.run(*command.argv(whole), cwd=whole, count=1)
    ended.check_clean(0)
    return Undisturbed(command.content(whole), ended.seconds, int(ended.output.split()[-1]))
