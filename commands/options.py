"""Types and options that several commands share."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click

from ..formats.atomic import write_text

MAX_NAMED = 5  # names on a line; the rest are counted
FILE = click.Path(path_type=Path, dir_okay=False)
FOLDER = click.Path(path_type=Path, file_okay=False)
ANY = click.Path(path_type=Path)
DEVICE = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where the network runs; auto takes CUDA where there is one.",
)


DECODING = click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="decode.KEY=VALUE",
    help="Decode with another setting than the run's; repeatable.",
)


def _parse_tious(texts: tuple[str, ...]) -> tuple[float, ...]:
    """Return the thresholds in "0.5", "0.5,0.7" or "0.3:0.1:0.7" (start:step:stop, inclusive)."""
    found: list[float] = []
    for text in (part for t in texts for part in t.split(",")):
        try:
            numbers = [float(n) for n in text.split(":")]
        except ValueError:
            raise click.BadParameter(f"{text!r} is not a number or START:STEP:STOP") from None
        if len(numbers) == 3 and numbers[1] >= 0.001 and numbers[0] <= numbers[2]:
            start, step, stop = numbers
            count = int((stop - start) / step + 1e-6) + 1
            found += [round(start + n * step, 10) for n in range(count)]
        elif len(numbers) == 1:
            found += numbers
        else:
            raise click.BadParameter(f"{text!r} is not a number or START:STEP:STOP")
    return tuple(found)


TIOUS = click.option(
    "--tiou",
    "tious",
    multiple=True,
    callback=lambda _c, _p, v: _parse_tious(v),
    metavar="T[,T]|A:STEP:B",
    help="tIoU thresholds.  [default: the run's, or 0.3:0.1:0.7]",
)


JSON = click.option(
    "--json", "json_path", metavar="PATH", help="Write it as JSON there; - prints it."
)


def tell(text: str, values: dict[str, Any], json_path: str | None) -> None:
    """Print the text, and write the values where they are asked for."""
    to_stdout = json_path == "-"
    click.echo(text, err=to_stdout)
    if json_path:
        written = json.dumps(values, indent=1)
        if to_stdout:
            click.echo(written)
        else:
            write_text(json_path, written + "\n")


def named(what: str, names: list[str]) -> list[str]:
    """Return one line with the number and the first of the names, or none."""
    if not names:
        return []
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return [f"{what}: {', '.join(names[:MAX_NAMED])}{more}"]


def is_first_process() -> bool:
    """Return whether this is the only process, or the one of several that speaks."""
    return os.environ.get("RANK", "0") == "0"
