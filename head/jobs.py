"""Several trainings one after another, or some at once, each in a process of its own.

A training that fails, or whose process is killed, leaves the others alone. Ctrl-C ends all; when
this process is killed, the others end by themselves within moments.
"""

from __future__ import annotations

import contextlib
import logging
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from multiprocessing import connection
from typing import Any, NamedTuple

from ..errors import InputError, is_out_of_memory, one_line
from ..formats.limits import GIB, allow, allowed

logger = logging.getLogger(__name__)

Task = Callable[[], str]


class Outcome(NamedTuple):
    """What a task said at its end, and what went wrong, in words; one of them is empty."""

    says: str
    problem: str


class _Running(NamedTuple):
    """A task that is being worked on, its process, and where its outcome will be read."""

    name: str
    process: Any
    reader: Any


def work_through(
    tasks: Mapping[str, Task], *, jobs: int, done: Callable[[str, Outcome], None]
) -> dict[str, str]:
    """Do all tasks, and return what went wrong, by the name of the task.

    Args:
        tasks: by name; functions of modules and `functools.partial` of these, where `jobs` is
            above 1.
        jobs: how many at once; of more than one, each has a process with its share of the threads.
        done: called with each task's name and outcome at its end.
    """
    failed: dict[str, str] = {}

    def note(name: str, outcome: Outcome) -> None:
        if outcome.problem:
            failed[name] = outcome.problem
        done(name, outcome)

    if jobs > 1 and len(tasks) > 1:
        _in_processes(tasks, min(jobs, len(tasks)), note)
    else:
        for name, task in tasks.items():
            note(name, _attempt(task))
    return failed


def _attempt(task: Task) -> Outcome:
    """Do a task; whatever goes wrong is put into words."""
    try:
        return Outcome(task(), "")
    except (InputError, OSError) as e:
        return Outcome("", one_line(e))
    except Exception as e:
        if is_out_of_memory(e):
            return Outcome("", f"out of memory ({one_line(e)}); fewer --jobs may help")
        logger.exception("a bug of tsatal: please report it")
        return Outcome("", f"{type(e).__name__}: {one_line(e)}")


def _in_processes(
    tasks: Mapping[str, Task], jobs: int, done: Callable[[str, Outcome], None]
) -> None:
    """Do tasks in processes, `jobs` at a time; all are ended however this ends."""
    context = multiprocessing.get_context("spawn")  # a fork would inherit threads and CUDA
    level = logging.getLogger(__package__.split(".")[0]).getEffectiveLevel()
    waiting, running = deque(tasks.items()), dict[int, _Running]()
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                name, task = waiting.popleft()
                reader, writer = context.Pipe(duplex=False)
                arguments = (task, writer, name, jobs, allowed(), max(level, logging.WARNING))
                process = context.Process(target=_child, args=arguments, daemon=True)
                with _not_interrupted():
                    process.start()
                writer.close()
                running[process.sentinel] = _Running(name, process, reader)
            for ended in connection.wait(list(running)):
                name, process, reader = running.pop(ended)  # type: ignore[arg-type]
                process.join()
                done(name, _outcome(reader, process.exitcode))
    finally:
        for _, process, _ in running.values():
            process.kill()
        for _, process, _ in running.values():
            process.join()


def _outcome(reader: Any, exit_code: int) -> Outcome:
    """Return what a process that has ended said, or how it ended without a word."""
    try:
        return Outcome(*reader.recv())
    except EOFError:
        how = f"signal {-exit_code}" if exit_code < 0 else f"status {exit_code}"
        return Outcome("", f"its process ended by {how}; out of memory? fewer --jobs may help")
    finally:
        reader.close()


def _child(task: Task, writer: Any, name: str, jobs: int, memory: int, level: int) -> None:
    """Do one task in this process, which ends when its parent does, and send the outcome."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    allow(memory / GIB)
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter(f"{name}: %(message)s"))
    logging.getLogger().addHandler(handler)
    logging.getLogger(__package__.split(".")[0]).setLevel(level)
    import torch
    from tqdm import tqdm

    # Bars here need no lock between processes, which would be told as lost when one is ended.
    tqdm.set_lock(threading.RLock())
    torch.set_num_threads(max(torch.get_num_threads() // jobs, 1))
    writer.send(tuple(_attempt(task)))


def _end_with_parent() -> None:
    """End this process as soon as its parent has ended, however that came."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)


@contextlib.contextmanager
def _not_interrupted() -> Iterator[None]:
    """Start processes that Ctrl-C does not reach: it is for this one, which ends them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
