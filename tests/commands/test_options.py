"""Options made from a settings model: types, ranges, defaults, and what the help says."""

import re
from pathlib import Path
from typing import Any, Literal

import click
import pytest
from click.testing import CliRunner

from tsatal.commands.options import settings_options
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
