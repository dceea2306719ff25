"""Kill `tsatal extract` at random instants, start it again, and compare what comes out in the end.

    python benchmarks/kill_extract.py VIDEOS --kills 100 -- --crop 32 --resize 32

What follows `--` goes to `tsatal extract`. As soon as an extraction has been completed it is
compared with an undisturbed one, and another is begun, until there were enough kills.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tsatal.formats.features import FeatureFile

PARTS = "out.h5.parts"
VIDEO, PROCESS = "[0-9a-f]" * 24, "process-*"  # names of claims
Finished = dict[str, tuple[int, int]]  # part -> inode and time of modification, ns


def main() -> None:
    """Print figures as JSON; status 1 if anything was lost, extracted twice or different."""
    options = _options()
    dice, counts = random.Random(options.seed), Counter[str]()
    with tempfile.TemporaryDirectory(prefix="kill_extract_") as folder:
        whole = Path(folder) / "whole.h5"
        began = time.monotonic()
        _start(options, whole).wait()
        whole_sec = time.monotonic() - began
        expected, delay_sec = _content(whole), options.most or 2 * whole_sec / len(_content(whole))
        while counts["kills"] < options.kills:
            out = Path(folder) / str(counts["extractions"]) / "out.h5"
            out.parent.mkdir()
            counts.update(_kill_until_done(options, out, dice, delay_sec, len(expected)))
            counts["different"] += _content(out) != expected
            counts["left over"] += [p.name for p in out.parent.iterdir()] != ["out.h5"]
            counts["extractions"] += 1
    fixed = {"videos": len(expected), "undisturbed_sec": round(whole_sec, 1), "seed": options.seed}
    print(json.dumps({**fixed, "latest_kill_sec": round(delay_sec, 2), **counts}, indent=1))
    sys.exit(any(counts[bad] for bad in ("different", "left over", "twice", "lost")))


def _kill_until_done(
    options: argparse.Namespace, out: Path, dice: random.Random, delay_sec: float, videos: int
) -> Counter[str]:
    """Return how often an extraction was killed, and what that did, until it was complete."""
    counts: Counter[str] = Counter()
    finished: Finished = {}
    while True:
        process = _start(options, out)
        anywhere = dice.random() < 0.1  # also while it starts
        if not anywhere:  # else in what is left to do: extracting, or putting together
            _wait_for_work(process, out, VIDEO if len(finished) < videos else PROCESS)
        try:
            process.wait(timeout=dice.uniform(0, 5.0 if anywhere else delay_sec))
        except subprocess.TimeoutExpired:
            process.kill()
        process.wait()
        now = _finished(out)
        counts["twice"] += sum(now.get(name, mark) != mark for name, mark in finished.items())
        if process.returncode == 0:
            return counts
        if process.returncode != -signal.SIGKILL:
            sys.exit(f"tsatal extract ended by itself, with status {process.returncode}")
        counts["kills"] += 1
        counts["kills while there were parts"] += bool(now)
        counts["kills that cost nothing but time"] += now == finished
        counts["kills after the last video"] += out.exists() or len(now) == videos
        counts["lost"] += 0 if out.exists() else len(set(finished) - set(now))
        finished = {**finished, **now}


def _wait_for_work(process: subprocess.Popen[bytes], out: Path, claims: str) -> None:
    """Return when the process has claimed something: before that there is little to destroy."""
    mine = f'"pid": {process.pid},'
    while process.poll() is None:
        if any(mine in _text(path) for path in (out.parent / PARTS).glob(f"{claims}.claim")):
            return
        time.sleep(0.005)


def _start(options: argparse.Namespace, out: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tsatal", "-q", "extract", options.videos, str(out)]
    command += ["--weights", "random", *options.passed_on]
    quiet: Any = subprocess.DEVNULL
    return subprocess.Popen(command, stdout=quiet, stderr=quiet)


def _finished(out: Path) -> Finished:
    parts = (out.parent / PARTS).glob("*.h5")
    return {p.name: (p.stat().st_ino, p.stat().st_mtime_ns) for p in parts}


def _content(path: Path) -> dict[str, object]:
    with FeatureFile(path) as file:
        return {
            v: ({s: r.tobytes() for s, r in file.video(v).streams.items()},
                file.time_axis(v), file.details(v), file.provenance)
            for v in file.video_ids
        }  # fmt: skip


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Kill tsatal extract, and see what is lost.")
    parser.add_argument("videos", help="as of tsatal extract")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0, help="of the instants")
    parser.add_argument(
        "--most", type=float, help="latest kill, seconds into the work; default two videos' time"
    )
    given = [*sys.argv[1:], "--"]
    own, passed_on = given[: given.index("--")], given[given.index("--") + 1 : -1]
    return parser.parse_args(own, argparse.Namespace(passed_on=passed_on))


if __name__ == "__main__":
    main()
