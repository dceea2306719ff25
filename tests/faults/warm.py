"""Processes that can be killed by the hundred: forked from one that has everything imported.

As a script this is that one: it takes jobs on its standard input, forks, runs the command line in
the child, and says how the child ended. Starting Python and torch anew takes seconds; this takes
milliseconds, and what is killed is the same code in a process of its own.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import gc
import json
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STEPS = {"open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.truncate"}
LIMIT_SEC = 60.0  # what takes longer hangs
LIMIT_BYTES = 2 * 2**30  # of memory, beyond what the imports take


@dataclass(frozen=True)
class Ended:
    """How a process ended: `code` is its exit status, or minus the signal that killed it."""

    code: int
    output: str
    seconds: float
    most_bytes: int

    def check_clean(self, *codes: int, commands: int = 1) -> None:
        """Fail unless it ended by itself, with one of `codes`, without a traceback or a hang."""
        assert self.seconds < LIMIT_SEC * commands, f"hung: {self.output[-2000:]}"
        assert "Traceback" not in self.output, self.output[-3000:]
        assert self.code in codes, f"status {self.code}: {self.output[-2000:]}"


def stopped_in_one_line(ended: Ended, how: signal.Signals) -> None:
    """Fail unless it was done before the signal, or said in one line what is kept.

    Or had not begun: until the command line listens to signals, the system ends it.
    """
    ended.check_clean(0, 128 + how, *([] if ended.output else [-how]))
    if ended.code > 0:
        said = re.findall("^(?:Error: stopped; |interrupted; ).*", ended.output, flags=re.MULTILINE)
        assert len(said) == 1, ended.output[-3000:]


class Running:
    """A command that was started, until `wait` says how it ended."""

    def __init__(self, warm: Warm, pid: int, log: Path) -> None:
        self._warm, self.pid, self._log = warm, pid, log
        self._began = time.monotonic()

    def kill(self, how: int = signal.SIGKILL) -> None:
        """Send a signal, if it still runs."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, how)  # its parent has not been told yet, so the number is its own

    def wait(self, seconds: float = LIMIT_SEC) -> Ended:
        """Return how it ended; it is killed if it takes longer."""
        timer = threading.Timer(seconds, self.kill)
        timer.start()
        answer = self._warm.answer()
        timer.cancel()
        seconds = time.monotonic() - self._began
        code = os.waitstatus_to_exitcode(answer["status"])
        output = self._log.read_text(errors="replace")
        return Ended(code, output, seconds, answer["most_bytes"])


class Warm:
    """The process that forks; one command at a time."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        self.answer()

    def start(self, *argv: object, cwd: Path, **faults: int) -> Running:
        """Start a command, with faults: see `_become`."""
        return self._start({"argv": [str(a) for a in argv], **faults}, cwd)

    def _start(self, job: dict[str, Any], cwd: Path) -> Running:
        job = {**job, "cwd": str(cwd), "log": str(self._log)}
        assert self._process.stdin
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        return Running(self, self.answer()["pid"], self._log)

    def run_batch(self, commands: Sequence[Sequence[object]], *, cwd: Path, **faults: int) -> Ended:
        """Run commands one after the other in one process; its log says how each ended.

        `decode VIDEO` is a command too, which reads a video as the extraction does.
        """
        batch = [[str(a) for a in argv] for argv in commands]
        return self._start({"batch": batch, **faults}, cwd).wait(len(batch) * LIMIT_SEC)

    def run(self, *argv: object, cwd: Path, **faults: int) -> Ended:
        """Run a command to its end, with faults: see `_become`."""
        return self.start(*argv, cwd=cwd, **faults).wait()

    def answer(self) -> dict[str, Any]:
        """Return the next thing that the process says."""
        assert self._process.stdout
        line = self._process.stdout.readline()
        assert line, "the process that forks has ended"
        return dict(json.loads(line))

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin and self._process.stdout
        self._process.stdin.close()
        self._process.wait(timeout=120)
        self._process.stdout.close()


@contextlib.contextmanager
def warmed(log: Path) -> Iterator[Warm]:
    """Yield a process that forks, and end it."""
    warm = Warm(log)
    try:
        yield warm
    finally:
        warm.close()


def _serve() -> None:
    """Fork for every job; in the child, return from here by the exit of the command line."""
    main = _prepare()
    gc.freeze()
    _say(ready=True)
    for line in sys.stdin:
        job = json.loads(line)
        reading, writing = os.pipe()
        pid = os.fork()
        if pid == 0:
            _become(job, writing)
            _exit(functools.partial(_run, main, job))
        _say(pid=pid)
        os.close(writing)
        with open(reading, "rb") as output:  # no file: the job may not be able to write any
            Path(job["log"]).write_bytes(output.read())
        _, status, usage = os.wait4(pid, 0)
        own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        most = max(usage.ru_maxrss - own, 0) * 1024
        _say(status=status, most_bytes=most)


def _run(main: Any, job: dict[str, Any]) -> None:
    """Run the job's command, or all of its batch, saying how each ends."""
    for argv in job.get("batch", []):
        began = time.monotonic()
        try:
            _decode(argv[1]) if argv[0] == "decode" else main(argv, prog_name="tsatal")
        except SystemExit as e:
            if e.code not in (None, 0, 1, 2):
                raise
            print(f"[status {e.code or 0} in {time.monotonic() - began:.1f} s]", flush=True)
    if "argv" in job:
        main(job["argv"], prog_name="tsatal")


def _decode(path: str) -> None:
    """Read a video as the extraction does, and exit as it would."""
    from tsatal.extract.container import VideoError
    from tsatal.extract.prefetch import FrameStream
    from tsatal.extract.settings import ExtractSettings
    from tsatal.extract.video import probe_duration

    probe_duration(path)
    try:
        for _ in FrameStream(Path(path), ExtractSettings(resize=32, crop=32)):
            pass
    except VideoError as e:
        assert "decoding failed" not in str(e), e
        print(f"Error: {e}")
        sys.exit(1)
    sys.exit(0)


def _exit(run: Callable[[], object]) -> None:
    """Run the command line, and end this process as Python does.

    All but the last step, in which it would take every module apart: that takes longer than the
    command, because after a fork every object that is touched has to be copied.
    """
    code = 70
    try:
        run()
        code = 0
    except SystemExit as e:
        code = e.code if isinstance(e.code, int) else 0 if e.code is None else 1
    except BaseException:
        traceback.print_exc()
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _prepare() -> Any:
    """Import everything, and load the network once: the children share it."""
    import torch

    from tsatal import pipeline
    from tsatal.cli import main
    from tsatal.exchange import exporter, importer
    from tsatal.extract import engine, projection
    from tsatal.extract.backbones import table
    from tsatal.extract.backbones.weights import Weights
    from tsatal.reports import pictures

    torch.set_num_threads(1)  # a pool of threads would not survive the fork
    assert pipeline and exporter and importer
    # The first picture finds its font.
    pictures.timeline(video_id="v", duration_sec=1.0, truth=[], detections=[], labels=[]).pixels()
    torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1, requires_grad=True))]).step()
    changed: Any = engine
    nets = changed.load_backbones(
        table.find_family("i3d_r50"), {"rgb": Weights("random")}, stride=2
    )
    matrix = projection.orthogonal_projection(2048, 512, seed=0)
    changed.load_backbones = lambda *_, **__: nets
    changed.orthogonal_projection = lambda *_, **__: matrix
    return main


def _become(job: dict[str, Any], output: int) -> None:
    """Turn this child into what a shell would have started, with the faults that the job asks for.

    file_bytes: no file may grow beyond that; writing fails as on a full disk.
    kill_at: killed just before the step of that number, from 1, that changes files in `cwd`.
    tear_at: from that step on, killed in the middle of the first write.
    more_bytes: so much more memory can be had.
    tear_bytes: killed in the middle of the first write beyond so many bytes of a file.
    count: the steps are counted, and the number is the last line of the log.
    """
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    os.close(output)
    sys.stdout, sys.stderr = open(1, "w"), open(2, "w", errors="backslashreplace")  # noqa: SIM115
    os.chdir(job["cwd"])
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stopped_outside)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if "file_bytes" in job:
        resource.setrlimit(resource.RLIMIT_FSIZE, (job["file_bytes"],) * 2)
    if "more_bytes" in job:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        resource.setrlimit(
            resource.RLIMIT_AS, (pages * resource.getpagesize() + job["more_bytes"],) * 2
        )
    if {"tear_at", "tear_bytes"} & set(job):
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    if "tear_bytes" in job:
        resource.setrlimit(resource.RLIMIT_FSIZE, (job["tear_bytes"],) * 2)
    if {"kill_at", "tear_at", "count"} & set(job):
        sys.addaudithook(_Steps(job))


def _stopped_outside(number: int, frame: object) -> None:
    """End on a signal before the command line has begun, or after it has ended."""
    os.write(2, b"Error: stopped; outside of the command line\n")
    os._exit(128 + number)


class _Steps:
    """Counts the steps by which a process changes files in its folder, and kills it at one."""

    def __init__(self, job: dict[str, Any]) -> None:
        self._job, self._folder, self.count = job, job["cwd"], 0
        if "count" in job:
            atexit.register(lambda: print(self.count))

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in STEPS or not self._changes(event, arguments):
            return
        self.count += 1
        if self.count == self._job.get("kill_at"):
            os.kill(os.getpid(), signal.SIGKILL)
        if self.count == self._job.get("tear_at"):
            resource.setrlimit(resource.RLIMIT_FSIZE, (20, 20))

    def _changes(self, event: str, arguments: tuple[Any, ...]) -> bool:
        if event == "open" and not (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            return False
        path = arguments[0]
        if not isinstance(path, str | bytes | os.PathLike):
            return False
        return os.path.abspath(os.fsdecode(path)).startswith(self._folder)


def _say(**what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    _serve()
