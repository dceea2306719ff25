"""Options made from a settings model: types, ranges, defaults, and what the help says."""

import re
from pathlib import Path
from typing import Any, Literal

import click
import pytest
from click.testing import CliRunner

from tsatal.cli import COMMANDS, main
from tsatal.commands.options import ANY, FILE, FOLDER, say, settings_options
from tsatal.config import Settings, setting


class Sample(Settings):
    """One field of every kind."""

    layout: Literal["tall", "wide"] = setting(..., "Which way.")
    frame_rate: float | None = setting(None, "Rate.  [default: the file's]", gt=0, le=60)
    count: int = setting(3, "How many.", ge=1)
    where: Path | None = setting(None, "A place.")
    loud: bool = setting(False, "Say more.")
    turn: bool | None = setting(None, "Turn it.  [default: found out]")
    name: str = setting("x", "A name.", metavar="NAME")
    hidden: int = setting(7, "Not on the command line.")


@click.command()
@settings_options(Sample, exclude=("hidden",))
def command(**values: Any) -> None:
    click.echo(repr(Sample(**values)))


def said(*arguments: str) -> str:
    return CliRunner().invoke(command, arguments).output


def test_values_become_settings() -> None:
    assert said("--layout", "tall").strip() == repr(Sample(layout="tall"))
    given = said(
        *("--layout", "wide", "--frame-rate", "25", "--count", "4", "--where", "p"),
        *("--loud", "--no-turn", "--name", "y"),
    )
    assert given.strip() == repr(
        Sample(
            layout="wide",
            frame_rate=25.0,
            count=4,
            where=Path("p"),
            loud=True,
            turn=False,
            name="y",
        )
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Missing option '--layout'"),
        (["--layout", "round"], "'--layout': 'round' is not one of 'tall', 'wide'"),
        (["--layout", "tall", "--frame-rate", "0"], "'--frame-rate': 0.0 is not in the range 0<x"),
        (["--layout", "tall", "--count", "0"], "'--count': 0 is not in the range x>=1"),
        (["--layout", "tall", "--hidden", "1"], "No such option"),
    ],
)
def test_a_value_out_of_range_is_a_line_that_names_the_option(
    arguments: list[str], message: str
) -> None:
    assert message in " ".join(said(*arguments).split())


def test_the_help_is_the_fields_own_words() -> None:
    text = re.sub(r"\s+", " ", said("--help"))
    for line in (
        "--layout [tall|wide] Which way. [required]",
        "--frame-rate N Rate. [default: (the file's); 0<x<=60]",
        "--count N How many. [default: 3; x>=1]",
        "--loud Say more. --turn / --no-turn Turn it. [default: (found out)]",
        "--name NAME A name. [default: x]",
    ):
        assert line in text


def every_number() -> list[tuple[str, str, Any]]:
    """Return all options of all commands that take a number: command, option, type."""
    found = []
    with click.Context(main) as context:
        for name in COMMANDS:
            command = main.get_command(context, name)
            assert command is not None
            for option in [*command.params, *main.params]:
                numeric = (click.types.IntParamType, click.types.FloatParamType)
                if isinstance(option.type, (*numeric, click.IntRange, click.FloatRange)):
                    found.append((name, option.opts[0], option.type))
    return found


def test_every_number_on_the_command_line_has_a_range() -> None:
    numbers = every_number()
    assert len(numbers) > 30
    for command, option, kind in numbers:
        for wrong in ("-1", "nan", "inf", "-inf", "1e300", "9" * 30, "x", ""):
            with pytest.raises(click.BadParameter):
                print(command, option, wrong, kind.convert(wrong, None, None))


@pytest.mark.parametrize("path", ["", "a\0b"])
def test_a_path_that_is_none_is_refused(path: str) -> None:
    for kind in (FILE, FOLDER, ANY):
        with pytest.raises(click.BadParameter, match="is no path"):
            kind.convert(path, None, None)


def test_what_is_printed_is_cut_and_holds_no_control_characters(
    capsys: pytest.CaptureFixture[str],
) -> None:
    say("a\x1b[31mb\nc", "x" * 15_000)
    first, second, third = capsys.readouterr().out.splitlines()
    assert (first, second) == (r"a\x1b[31mb", "c") and len(third) < 1300


def test_a_long_threshold_is_refused_on_one_screen() -> None:
    result = CliRunner().invoke(main, ["evaluate", "--tiou", "x" * 15_000])
    assert (
        result.exit_code == 2 and len(result.output) < 2000 and "is not a number" in result.output
    )
