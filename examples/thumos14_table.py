"""The table of thumos14.sh: our runs beside what the paper and ActionFormer report, in %.

    python examples/thumos14_table.py WORK

WORK holds a folder PRESET.seedN for each run, with the metrics.json that `tsatal evaluate` writes.
"""

from __future__ import annotations

import json
import math
import statistics
import sys
from pathlib import Path

TIOUS = ("0.3", "0.4", "0.5", "0.6", "0.7")
REPORTED = {
    "TSA-TAL, as the paper reports": (54.7, 51.2, 49.8, 40.4),  # its table 1 ends at 0.6
    "ActionFormer, as its repository reports": (82.13, 77.80, 70.95, 59.40, 43.87),
}


def row(name: str, values: tuple[float, ...], errors: tuple[float, ...] = ()) -> str:
    """Return one line of the table; the mean only where all thresholds are there."""
    cells = [f"{value:.1f}" for value in values]
    cells = [f"{c} ± {e:.1f}" for c, e in zip(cells, errors, strict=True)] if errors else cells
    cells += [""] * (len(TIOUS) - len(cells))
    mean = f"{statistics.mean(values):.1f}" if len(values) == len(TIOUS) else ""
    return f"| {name} | {' | '.join(cells)} | {mean} |"


def measured(work: Path) -> dict[str, list[list[float]]]:
    """Return the mAP in % at each threshold of every seed, by preset."""
    found: dict[str, list[list[float]]] = {}
    for path in sorted(work.glob("*.seed*/metrics.json")):
        preset = path.parent.name.rsplit(".seed", 1)[0]
        by_threshold = json.loads(path.read_text("utf-8"))["mAP"]
        found.setdefault(preset, []).append([100 * by_threshold[t] for t in TIOUS])
    return found


def main(work: Path) -> list[str]:
    """Return the table, with the standard error of the mean over seeds where there are several."""
    lines = [f"| mAP in %, tIoU | {' | '.join(TIOUS)} | mean |", "|---" * (len(TIOUS) + 2) + "|"]
    lines += [row(name, values) for name, values in REPORTED.items()]
    for preset, seeds in measured(work).items():
        columns = list(zip(*seeds, strict=True))
        means = tuple(statistics.mean(c) for c in columns)
        errors = tuple(statistics.stdev(c) / math.sqrt(len(c)) for c in columns if len(c) > 1)
        count = f"{len(seeds)} seed" + ("s" if len(seeds) > 1 else "")
        lines.append(row(f"`{preset}`, here, {count}", means, errors))
    return lines


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: python examples/thumos14_table.py WORK")
    print("\n".join(main(Path(sys.argv[1]))))
