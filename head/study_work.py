"""The trainings of a study, one by one or several at once: what is done is kept, the rest goes on.

In: a plan and its videos, see `studies`. Out: a run for every training, in a folder of its own.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from ..errors import InputError, listed
from ..formats.annotations import AnnotatedVideo, annotations_json
from ..formats.atomic import write_text
from ..progress import duration
from .held_out import HELD_OUT
from .jobs import Outcome, work_through
from .run import ANNOTATIONS_FILE
from .studies import MEASURED, TRAIN, Study, Train, Training, config_of

logger = logging.getLogger(__name__)

LOCK = ".lock"


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep other processes from training in the same folder, where its file system can.

    Raises:
        InputError: one is at work there.
    """
    try:
        import fcntl
    except ImportError:  # a system without them
        yield
        return
    with open(folder / LOCK, "w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"{folder}: another process is training in it; wait for it, or take another --out"
            ) from None
        except OSError:  # a file system without locks
            pass
        yield


def carry_out(
    folder: Path,
    plan: Study,
    videos: Sequence[AnnotatedVideo],
    train: Train,
    *,
    jobs: int,
) -> None:
    """Do all trainings that are not done yet; go on with those that were stopped.

    Args:
        train: trains in a folder that has its annotations already, or goes on there, leaves
            `held_out.json` at its very end, and says in a few words what came out; a function of a
            module, where `jobs` is above 1.
        jobs: how many at once.
    Raises:
        InputError: some have failed; the message names them. The others are done.
    """
    by_id = {v.video_id: v for v in videos}
    every = plan.trainings
    todo = [t for t in every if not (folder / t.name / HELD_OUT).is_file()]
    if len(todo) < len(every):
        logger.info("%d of %d trainings are done already", len(every) - len(todo), len(every))
    began, finished = time.monotonic(), 0

    def done(name: str, outcome: Outcome) -> None:
        nonlocal finished
        finished += 1
        left = (time.monotonic() - began) / finished * (len(todo) - finished)
        more = f", about {duration(left)} left" if finished < len(todo) else ""
        level = logging.WARNING if outcome.problem else logging.INFO
        logger.log(
            level, "%s: %s (%d of %d trainings%s)", name,
            outcome.says or f"failed: {outcome.problem}", finished, len(todo), more,
        )  # fmt: skip

    tasks = {
        t.name: partial(
            _one, run := folder / t.name, _annotations(t, by_id),
            partial(train, run, config_of(plan, t)),
        )
        for t in todo
    }  # fmt: skip
    failed = work_through(tasks, jobs=jobs, done=done)
    if failed:
        name, problem = next(iter(failed.items()))
        others = f" (and {listed(list(failed)[1:])})" if len(failed) > 1 else ""
        raise InputError(
            f"{folder}: {len(failed)} of {len(every)} trainings failed: {name}: {problem}{others}"
            "; the others are kept, and the same command tries these again"
        )


def _annotations(training: Training, videos: Mapping[str, AnnotatedVideo]) -> str:
    """Return the annotations of one training: its own videos, and those it is measured on."""
    train = [replace(videos[v], subset=TRAIN) for v in training.train]
    return annotations_json(
        [*train, *(replace(videos[v], subset=MEASURED) for v in training.held_out)]
    )


def _one(folder: Path, annotations: str, train: Callable[[], str]) -> str:
    """Do one training, and return what came out."""
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / ANNOTATIONS_FILE, annotations)
    return train()
