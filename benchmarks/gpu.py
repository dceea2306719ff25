"""What a GPU is worth to this program, in one run: tests, measures, goals, a table.

    python benchmarks/gpu.py OUT [--device cuda] [--minutes 8] [--only PART ...] [--quick]

Each part (gpu_parts.py says what it measures) is a process of its own under its own time limit, the
most important first; one that fails or is stopped leaves the others alone, and leaves what it had
measured. OUT/gpu.json and OUT/gpu.md are written anew after every part, OUT/gpu.log has what the
parts said. `--device cpu --quick` runs the same code in small, which shows that it runs and no
more; then nothing is held against a goal.

`--annotations thumos14.json` takes the lengths and actions of the features that are drawn from
there; else they are drawn, too. `--actionformer PATH` trains a checkout of ActionFormer beside.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
RESERVE_SEC = 5.0  # for what is written in the end
LEAST_SEC = 10.0  # below which no part is begun
PATIENCE = 6  # times as long as a limit may a part of a quick run take, on a busy machine

# Each part, the most important first, with the seconds that it may take.
PARTS = {
    "tests": 100,
    "extract": 75,
    "network": 45,
    "head": 50,
    "decode": 60,
    "full": 200,
    "short": 40,
    "variants": 60,
}
HEAD = ("part", "measured", "figure", "limit in the same run", "share of it", "aim", "reached")


@dataclass
class Outcome:
    """What became of a part: how it ended, its seconds, and the rows that it left."""

    state: str
    seconds: float = 0.0
    rows: list[dict[str, Any]] = field(default_factory=list)


def machine(device: str) -> dict[str, Any]:
    """Return the card, its driver, torch and the rest of what figures hang on."""
    import torch

    about: dict[str, Any] = {
        "device": device,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "commit": said("git", "-C", str(HERE), "rev-parse", "--short", "HEAD"),
        "date": time.strftime("%Y-%m-%d"),
    }
    if device.startswith("cuda"):
        if not torch.cuda.is_available():
            raise SystemExit("error: this torch finds no CUDA device; try --device cpu --quick")
        about["card"] = torch.cuda.get_device_name(device)
        about["cuda"] = torch.version.cuda
        about["cudnn"] = torch.backends.cudnn.version()
        query = ("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")
        about["driver"] = said(*query).split("\n")[0]
    return about


def said(*command: str) -> str:
    """Return what a command prints; nothing where it is not there, or fails."""
    if shutil.which(command[0]) is None:
        return ""
    return subprocess.run(command, capture_output=True, text=True).stdout.strip()


def run_part(name: str, options: argparse.Namespace, work: Path, limit: float) -> Outcome:
    """Run a part in a process of its own, and end it and its children after the limit."""
    rows = work / f"{name}.jsonl"
    command = [sys.executable, str(HERE / "gpu_parts.py"), name, "--device", options.device]
    command += ["--rows", str(rows), "--work", str(work), "--seconds", str(limit)]
    command += ["--quick"] if options.quick else []
    for flag in ("annotations", "actionformer", "videos"):
        if given := getattr(options, flag):
            command += [f"--{flag}", str(given.resolve())]
    began = time.monotonic()
    with (options.out / "gpu.log").open("a") as log:
        log.write(f"\n== {name} ==\n")
        log.flush()
        process = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
        try:
            status = process.wait(limit)
            state = "done" if status == 0 else f"failed ({status})"
        except subprocess.TimeoutExpired:
            state = f"stopped after {limit:.0f} s"
        finally:
            end_group(process)
    found = [json.loads(line) for line in rows.read_text().splitlines()] if rows.exists() else []
    return Outcome(state, time.monotonic() - began, found)


def end_group(process: subprocess.Popen[bytes]) -> None:
    """End a part and every process that it started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()


def figure(value: float, unit: str) -> str:
    """Return a number with three figures, and its unit."""
    number = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return f"{number} {unit}".strip()


def table_row(part: str, row: Mapping[str, Any], *, judged: bool) -> str:
    """Return a row of the table; `judged`: whether figures are held against aims."""
    limit, share = row.get("limit"), row.get("share")
    reached = {True: "yes", False: "**no**", None: ""}[row.get("reached") if judged else None]
    if row.get("aim") and not reached:
        reached = "not judged"
    cells = [
        part,
        row["what"],
        figure(row["value"], row["unit"]),
        "" if limit is None else f"{figure(limit, row['unit'])}: {row['limit_is']}",
        "" if share is None else f"{share:.2f}",
        row.get("aim") or "",
        reached,
    ]
    return f"| {' | '.join(cells)} |"


def markdown(about: Mapping[str, Any], outcomes: Mapping[str, Outcome], *, quick: bool) -> str:
    """Return the report: the machine, the table, and how every part ended."""
    known = [f"{name} {value}" for name, value in about.items() if value]
    lines = ["# GPU run", "", f"{', '.join(known)}.", ""]
    if quick:
        lines += ["A quick run: it shows that every part runs, and its figures mean nothing.", ""]
    if about["device"] == "cpu":
        lines += ["On a CPU: nothing of this has run on CUDA.", ""]
    lines += [f"| {' | '.join(HEAD)} |", "|" + "---|" * len(HEAD)]
    for part, outcome in outcomes.items():
        lines += [table_row(part, row, judged=not quick) for row in outcome.rows]
    notes = [row["note"] for o in outcomes.values() for row in o.rows if row.get("note")]
    lines += [
        "",
        *(f"* {note}" for note in notes),
        "",
        "| part | ended | seconds |",
        "|---|---|---|",
    ]
    lines += [f"| {p} | {o.state} | {o.seconds:.0f} |" for p, o in outcomes.items()]
    return "\n".join(lines) + "\n"


def write_report(
    out: Path, about: Mapping[str, Any], outcomes: Mapping[str, Outcome], *, quick: bool
) -> None:
    """Write what is known so far, each file whole."""
    parts = {name: vars(outcome) for name, outcome in outcomes.items()}
    whole = {"machine": about, "quick": quick, "command": sys.argv, "parts": parts}
    for name, text in (
        ("gpu.json", json.dumps(whole, indent=1)),
        ("gpu.md", markdown(about, outcomes, quick=quick)),
    ):
        aside = out / f".{name}"
        aside.write_text(text)
        aside.replace(out / name)


def run(options: argparse.Namespace) -> dict[str, Outcome]:
    """Run the parts that are asked for, as long as there is time; return what became of each."""
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "gpu.log").write_text("")
    about, patience = machine(options.device), PATIENCE if options.quick else 1
    deadline = time.monotonic() + 60 * options.minutes * patience
    outcomes: dict[str, Outcome] = {}
    with tempfile.TemporaryDirectory() as work:
        for name in options.only:
            left = deadline - time.monotonic() - RESERVE_SEC
            if left < LEAST_SEC:
                outcomes[name] = Outcome("not begun: no time was left")
            else:
                limit = min(PARTS[name] * patience, left)
                outcomes[name] = run_part(name, options, Path(work), limit)
            print(f"{name}: {outcomes[name].state}, {outcomes[name].seconds:.0f} s", flush=True)
            write_report(options.out, about, outcomes, quick=options.quick)
    return outcomes


def parse_args(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the command line's arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--minutes", type=float, default=8.0, help="for all parts together")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART")
    parser.add_argument("--quick", action="store_true", help="in small")
    parser.add_argument("--annotations", type=Path, help="of the features that are drawn")
    parser.add_argument("--actionformer", type=Path, metavar="PATH")
    parser.add_argument("--videos", type=Path, help="a video to extract, instead of a drawn one")
    return parser.parse_args(words)


def main() -> None:
    """Run, and end with status 1 unless every part came to its end."""
    options = parse_args()
    outcomes = run(options)
    print((options.out / "gpu.md").read_text())
    if any(o.state != "done" for o in outcomes.values()):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
