"""What `detect` is given: videos, not models; and the names of classes of a first look."""

from __future__ import annotations

from pathlib import Path

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


def test_a_model_in_the_place_of_a_video_is_told(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "data.json").write_text("{}")
    (tmp_path / "m.tsatal").write_bytes(b"PK")
    for model in (tmp_path / "m.tsatal", tmp_path / "run", "hf:someone/model"):
        result = CliRunner().invoke(main, ["detect", "v.mp4", str(model)])
        assert result.exit_code == 2 and "no run in" not in result.output
        assert f"{model} is a model, not a video: give it by --run" in result.output
