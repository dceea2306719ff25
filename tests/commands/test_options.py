"""Options made from a settings model: types, ranges, defaults, and what the help says."""

import re
from pathlib import Path
from typing import Any, Literal

import click
import pytest
from click.testing import CliRunner
from pydantic import Field

from tsatal.commands.options import settings_options
from tsatal.config import Settings


class Sample(Settings):
    """One field of every kind."""

    layout: Literal["tall", "wide"] = Field(description="Which way.")
    frame_rate: float | None = Field(None, gt=0, le=60, description="Rate.  [default: the file's]")
    count: int = Field(3, ge=1, description="How many.")
    where: Path | None = Field(None, description="A place.")
    loud: bool = Field(False, description="Say more.")
    turn: bool | None = Field(None, description="Turn it.  [default: found out]")
    name: str = Field("x", description="A name.", json_schema_extra={"metavar": "NAME"})
    hidden: int = Field(7, description="Not on the command line.")


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
