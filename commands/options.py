"""Options that several commands share, and options made from a settings model."""

from __future__ import annotations

import json
import math
import os
import re
import signal
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

import click
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from ..errors import Terminated, listed, shortened, shown
from ..formats.atomic import check_place, write_text

Command = TypeVar("Command", bound=Callable[..., Any])

TYPED = f"{__name__}.typed"  # key of a context's `meta`
KEPT = "tsatal.kept"  # where a command's words on a stop lie, in click's context
NOTHING = "nothing was written; give the same command again"
WHOLE = "every file is whole, the new one or the old one; give the same command again"
READS = "nothing was changed; give the same command again"
MAX_TIOUS = 1000
BEST_F1 = "f1"
MOST = 10**9  # of anything that is counted


class _Path(click.Path):
    """A path, which is not empty: the empty one would be taken for this folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path."""
        if not os.fspath(value) or "\0" in str(value):
            self.fail(f"{str(value)!r} is no path", param, ctx)
        return super().convert(value, param, ctx)


class Number(click.FloatRange):
    """A finite number within bounds."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{number} is not in the range {self._describe_range()}.", param, ctx)
        return number


class LeastPrecision(Number):
    """A number within bounds, or the word for the best F1."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number, or the word."""
        return value if value == BEST_F1 else super().convert(value, param, ctx)


class _Device(click.ParamType[str]):
    """A place where a network can run; whether it is there is seen when it is needed."""

    name = "device"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name."""
        if not re.fullmatch(r"auto|cpu|cuda(:\d{1,4})?", str(value)):
            self.fail(f"{shown(value)} is not one of auto, cpu, cuda or cuda:NUMBER.", param, ctx)
        return str(value)


FILE = _Path(path_type=Path, dir_okay=False)
FOLDER = _Path(path_type=Path, file_okay=False)
ANY = _Path(path_type=Path)
RUN = ANY  # a folder, a packed model, or a name on the hub
A_RUN = "Folder of the run, a packed model, or hf:OWNER/NAME[@REVISION]."
WEIGHTS = _Path()  # or a word that stands for them
DEVICE = click.option(
    "--device",
    type=_Device(),
    default="auto",
    show_default=True,
    metavar="auto|cpu|cuda[:N]",
    help="Where the network runs; auto takes CUDA where there is one, cuda:1 is the second GPU.",
)


DECODING = click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="decode.KEY=VALUE",
    help="Decode with another setting than the run's; repeatable.",
)


def _of_a_split(context: click.Context, option: click.Parameter, value: int | None) -> int:
    """Return the seed of a division, 0 where none is given; refuse one without a division."""
    divided = context.params.get("split") or context.params.get("folds")
    if value is not None and not divided:
        raise click.BadParameter(
            "is the seed of --split, which is not given (that of a training: --set optim.seed=N)",
            context,
            option,
        )
    return value or 0


# Eager, so that it is known when the seed is looked at, in whichever order they are given.
SPLIT = click.option(
    "--split",
    type=Number(0, 1, min_open=True, max_open=True),
    metavar="SHARE",
    is_eager=True,
    help="Train on this share of the videos, where the annotations name no subsets; classes stay "
    "balanced.",
)


def split_seed(*names: str) -> Callable[[Command], Command]:
    """The option of a division's seed, under further names where a command has no other seed."""
    return click.option(
        "--split-seed",
        *names,
        "split_seed",
        type=click.IntRange(0, MOST),
        callback=_of_a_split,
        metavar="N",
        help="Another division.  [default: 0]",
    )


LABEL_FPS = click.option(
    "--label-fps",
    type=Number(0.001, 100_000),
    metavar="N",
    help="Frames per second of annotations that count frames.",
)


VIDEO_SCORES = click.option(
    "--video-scores",
    type=FILE,
    help="Class scores of whole videos, by which detections are multiplied: JSON, or features with "
    "--scores.",
)


def settings_options(
    model: type[BaseModel], *, exclude: Collection[str] = (), only: Collection[str] = ()
) -> Callable[[Command], Command]:
    """A decorator that gives a command one option per field of a settings model.

    `config.setting` makes such fields: its sentence is the help, its bounds and choices are the
    option's. A sentence may end with "  [default: ...]" where the default is None.

    Args:
        model: the options' values together are its arguments.
        exclude: fields without an option.
        only: the fields that have one; all where none is named.
    """

    def decorate(command: Command) -> Command:
        for name, field in reversed(model.model_fields.items()):
            if name not in exclude and (not only or name in only):
                command = _settings_option(name, field)(command)
        return command

    return decorate


def _settings_option(name: str, field: FieldInfo) -> Callable[[Command], Command]:
    kind: Any = field.annotation
    flag = "--" + name.replace("_", "-")
    if optional := type(None) in get_args(kind):
        (kind,) = (k for k in get_args(kind) if k is not type(None))
    sentence, _, default = (field.description or "").partition("  [default: ")
    more: dict[str, Any] = {"help": sentence, "show_default": default.rstrip("]") or True}
    more |= {"required": True} if field.is_required() else {"default": field.default}
    if kind is bool:
        both = f"{flag}/--no-{flag[2:]}" if optional else flag
        return click.option(both, name, is_flag=True, **more)
    named = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    metavar = str(named.get("metavar") or ("N" if kind in (int, float) else ""))
    option_type = _option_type(kind, field, metavar)
    return click.option(flag, name, type=option_type, metavar=metavar or None, **more)


def _option_type(kind: Any, field: FieldInfo, metavar: str) -> click.ParamType[Any]:
    """The click type of a field: one of its choices, a path, or a number within its bounds."""
    if get_origin(kind) is Literal:
        return click.Choice(get_args(kind))
    if kind is Path:
        return ANY
    if kind not in (int, float):
        return click.STRING if "PATH" not in metavar and "FILE" not in metavar else _Path()
    bounds: dict[str, Any] = {}
    for bound in field.metadata:
        for name, end in (("ge", "min"), ("gt", "min"), ("le", "max"), ("lt", "max")):
            if hasattr(bound, name):
                bounds |= {end: getattr(bound, name), f"{end}_open": name in ("gt", "lt")}
    return click.IntRange(**bounds) if kind is int else Number(**bounds)


def _parse_tious(texts: tuple[str, ...]) -> tuple[float, ...]:
    """Read the thresholds in "0.5", "0.5,0.7" or "0.3:0.1:0.7" (start:step:stop, inclusive)."""
    found: list[float] = []
    for text in (part for t in texts for part in t.split(",")):
        try:
            numbers = [float(n) for n in text.split(":")]
        except ValueError:
            numbers = []
        if len(numbers) == 3 and numbers[1] >= 0.001 and 0 <= numbers[0] <= numbers[2] <= 1:
            start, step, stop = numbers
            count = int((stop - start) / step + 1e-6) + 1
            found += [round(start + n * step, 10) for n in range(count)]
        elif len(numbers) == 1 and 0 < numbers[0] <= 1:
            found += numbers
        else:
            raise click.BadParameter(
                f"{listed([repr(text)])} is not a number above 0 and at most 1, or START:STEP:STOP "
                "of such"
            )
    if len(found) > MAX_TIOUS:
        raise click.BadParameter(f"{len(found):,} thresholds; {MAX_TIOUS:,} at most")
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
    "--json", "json_path", type=_Path(allow_dash=True), metavar="PATH",
    help="Write it as JSON there; - prints it.",
)  # fmt: skip


def say(*texts: object, err: bool = False) -> None:
    """Print texts, without what a terminal would act on, and no line longer than a screen."""
    for text in texts:
        click.echo("\n".join(map(shortened, str(text).split("\n"))), err=err)


def tell(text: str, values: dict[str, Any], json_path: str | None) -> None:
    """Print a text, and write the same as JSON to where `--json` says."""
    to_stdout = json_path == "-"
    if json_path and not to_stdout:
        check_place(json_path, device=True)
    say(text, err=to_stdout)
    if json_path:
        written = json.dumps(values, indent=1)
        if to_stdout:
            click.echo(written)
        else:
            write_text(json_path, written + "\n")


def named(what: str, names: list[str]) -> list[str]:
    """Return one line with the number and the first of the names; no line without names."""
    return [f"{what}: {listed(names)}"] if names else []


def when_stopped(words: str | Callable[[], str]) -> None:
    """Say what a command keeps, and how it goes on, if Ctrl-C or SIGTERM should end it."""
    click.get_current_context().find_root().meta[KEPT] = words


def kept() -> str:
    """Return what the running command keeps after a stop, and how it goes on."""
    context = click.get_current_context(silent=True)
    words: str | Callable[[], str] = (
        context.find_root().meta.get(KEPT, NOTHING) if context else NOTHING
    )
    return words() if callable(words) else words


def exit_status(stop: KeyboardInterrupt) -> int:
    """Return the exit status of a command that a signal has ended, as shells have it."""
    return 128 + (signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT)


def typed_command() -> list[str]:
    """The words of the command line that is being run."""
    return list(click.get_current_context().meta.get(TYPED, []))


def is_first_process() -> bool:
    """Whether this is the only process of a training, or the one of several that speaks."""
    return os.environ.get("RANK", "0") == "0"
