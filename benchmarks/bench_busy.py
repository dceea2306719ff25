"""What busy programs beside it leave of a training's speed, as ratios taken in turn in one run.

    python benchmarks/bench_busy.py FEATURES.h5 [--busy 0 2 4] [--config NAME] [--set key=value]...
        [--as NAME=VALUE,NAME=VALUE]... [--repeats 5] [--seconds 6]

A `tsatal train` runs, and programs that do nothing but compute are stopped and woken beside it, in
turn: none, two, four, none, ... . Each stretch counts the steps of the training. Ratios are of
neighbours, so what else the machine does counts alike in both. Each `--as` is one more training,
with these variables set (NAME alone: taken away), such as OMP_WAIT_POLICY=active or
OMP_NUM_THREADS=1; trainings take turns, too, and all but one are stopped.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

BUSY = "while True: pass"
SETTLE_SEC = 0.5  # after programs were woken or stopped
WARM_STEPS = 5


class Training:
    """A `tsatal train` that goes on until it is closed, and says how many steps it has done."""

    def __init__(self, options: argparse.Namespace, variables: str, run: Path) -> None:
        changes = ["optim.epochs=100000", "optim.validate_every=100000", "optim.log_every=1"]
        sets = [word for change in (*changes, *options.set) for word in ("--set", change)]
        env = dict(os.environ)
        for given in filter(None, variables.split(",")):
            name, there, value = given.partition("=")
            env.pop(name, None)
            env |= {name: value} if there else {}
        self.steps = 0
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tsatal", "train", "--features", str(options.features),
             "--config", options.config, "--out", str(run), "--device", "cpu", *sets],
            env=env, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        threading.Thread(target=self._count, daemon=True).start()
        while self.steps < WARM_STEPS:
            if self._process.poll() is not None:
                raise SystemExit("the training ended; its last words are above")
            time.sleep(0.1)
        self.go(False)

    def go(self, on: bool) -> None:
        """Go on, or stand still."""
        self._process.send_signal(signal.SIGCONT if on else signal.SIGSTOP)

    def _count(self) -> None:
        assert self._process.stderr is not None
        for line in self._process.stderr:
            if ", step " in line:
                self.steps += 1
            elif "Error" in line:
                sys.stderr.write(line)

    def rate(self, seconds: float) -> float:
        """Return the steps per second of the next seconds."""
        began, before = time.perf_counter(), self.steps
        time.sleep(seconds)
        return (self.steps - before) / (time.perf_counter() - began)

    def close(self) -> None:
        """End the training."""
        self._process.kill()
        self._process.wait()


@contextlib.contextmanager
def busy_programs(count: int) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Start programs that compute, all of them stopped."""
    programs = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(count)]
    try:
        wake(programs, 0)
        yield programs
    finally:
        for program in programs:
            program.kill()
            program.wait()


def wake(programs: list[subprocess.Popen[bytes]], count: int) -> None:
    """Let the first `count` programs run, and stop the others."""
    for number, program in enumerate(programs):
        program.send_signal(signal.SIGCONT if number < count else signal.SIGSTOP)


def main() -> None:
    """Print the speed alone, and the ratios beside busy programs."""
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n", 1)[0])
    parser.add_argument("features", type=Path)
    parser.add_argument("--busy", type=int, nargs="+", default=[0, 2, 4])
    parser.add_argument("--config", default="strong")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--as", dest="variants", action="append", metavar="NAME=VALUE,...")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6.0)
    options = parser.parse_args()
    variants = options.variants or [""]
    print(f"{os.cpu_count()} processors, load {os.getloadavg()[0]:.1f} before")
    rates: dict[tuple[str, int], list[float]] = {}
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        programs = stack.enter_context(busy_programs(max(options.busy)))
        trainings = {}
        for number, variables in enumerate(variants):
            trainings[variables] = Training(options, variables, folder / str(number))
            stack.callback(trainings[variables].close)
        for _ in range(options.repeats):
            for count in options.busy:
                wake(programs, count)
                for variables, training in trainings.items():
                    training.go(True)
                    time.sleep(SETTLE_SEC)
                    rates.setdefault((variables, count), []).append(training.rate(options.seconds))
                    training.go(False)
    report(rates, variants, options.busy)


def report(rates: dict[tuple[str, int], list[float]], variants: list[str], busy: list[int]) -> None:
    """Print a line for every training and number of busy programs."""
    for variables in variants:
        print(variables or "as it is")
        alone = rates[variables, busy[0]]
        for count in busy:
            mine = rates[variables, count]
            print(f"  {count} busy: {statistics.median(mine):.2f} steps/s", end="")
            if count != busy[0]:
                print(f"; {ratio(mine, alone)} of its speed beside {busy[0]}", end="")
            if variables != variants[0]:
                print(f"; {ratio(mine, rates[variants[0], count])} of the first's speed", end="")
            print()


def ratio(ours: list[float], others: list[float]) -> str:
    """Return the median of the pairs' ratios, and their range, in words."""
    ratios = [a / b for a, b in zip(ours, others, strict=True) if b] or [float("nan")]
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


if __name__ == "__main__":
    main()
