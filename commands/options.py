"""Options that several commands share, and options made from a settings model."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

import click
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from ..formats.atomic import write_text

Command = TypeVar("Command", bound=Callable[..., Any])

TYPED = f"{__name__}.typed"  # key of a context's `meta`
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


def settings_options(
    model: type[BaseModel], *, exclude: Collection[str] = ()
) -> Callable[[Command], Command]:
    """A decorator that gives a command one option per field of a settings model.

    `config.setting` makes such fields: its sentence is the help, its bounds and choices are the
    option's. A sentence may end with "  [default: ...]" where the default is None.

    Args:
        model: the options' values together are its arguments.
        exclude: fields without an option.
    """

    def decorate(command: Command) -> Command:
        for name, field in reversed(model.model_fields.items()):
            if name not in exclude:
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
    metavar = named.get("metavar") or ("N" if kind in (int, float) else None)
    return click.option(flag, name, type=_option_type(kind, field), metavar=metavar, **more)


def _option_type(kind: Any, field: FieldInfo) -> click.ParamType[Any]:
    """The click type of a field: one of its choices, a path, or a number within its bounds."""
    if get_origin(kind) is Literal:
        return click.Choice(get_args(kind))
    if kind is Path:
        return ANY
    if kind not in (int, float):
        return click.STRING
    bounds: dict[str, Any] = {}
    for bound in field.metadata:
        for name, end in (("ge", "min"), ("gt", "min"), ("le", "max"), ("lt", "max")):
            if hasattr(bound, name):
                bounds |= {end: getattr(bound, name), f"{end}_open": name in ("gt", "lt")}
    if not bounds:
        return click.INT if kind is int else click.FLOAT
    return click.IntRange(**bounds) if kind is int else click.FloatRange(**bounds)


def _parse_tious(texts: tuple[str, ...]) -> tuple[float, ...]:
    """Read the thresholds in "0.5", "0.5,0.7" or "0.3:0.1:0.7" (start:step:stop, inclusive)."""
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
    """Print a text, and write the same as JSON to where `--json` says."""
    to_stdout = json_path == "-"
    click.echo(text, err=to_stdout)
    if json_path:
        written = json.dumps(values, indent=1)
        if to_stdout:
            click.echo(written)
        else:
            write_text(json_path, written + "\n")


def named(what: str, names: list[str]) -> list[str]:
    """Return one line with the number and the first of the names; no line without names."""
    if not names:
        return []
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return [f"{what}: {', '.join(names[:MAX_NAMED])}{more}"]


def typed_command() -> list[str]:
    """The words of the command line that is being run."""
    return list(click.get_current_context().meta.get(TYPED, []))


def is_first_process() -> bool:
    """Whether this is the only process of a training, or the one of several that speaks."""
    return os.environ.get("RANK", "0") == "0"
