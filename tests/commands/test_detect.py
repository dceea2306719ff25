"""The names of classes that a first look is asked for."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from tsatal.cli import main
from tsatal.commands.detect import class_names


def test_names_are_separated_by_commas_and_kinetics_is_all() -> None:
    assert class_names("push up, squat,") == ("push up", "squat")
    assert (
        class_names("kinetics") == class_names(" Kinetics ") == class_names("squat,KINETICS") == ()
    )


@pytest.mark.parametrize("given", ["", ",", " , "])
def test_no_name_at_all_is_refused(given: str) -> None:
    with pytest.raises(click.UsageError, match="names no class; kinetics takes all"):
        class_names(given)
    result = CliRunner().invoke(main, ["detect", "x.mp4", "--classes", given])
    assert result.exit_code == 2 and "no run in" not in result.output
