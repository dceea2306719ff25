"""`tsatal backbones`: the table, and what one network tells apart."""

from __future__ import annotations

import json

from click.testing import CliRunner

from tsatal.cli import main
from tsatal.extract.backbones.family import kinetics_400
from tsatal.extract.backbones.table import MODULES


def said(*words: str) -> str:
    result = CliRunner().invoke(main, ["backbones", *words])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_every_backbone_has_a_row() -> None:
    assert [line.split()[0] for line in said().splitlines()[1 : len(MODULES) + 1]] == list(MODULES)
    assert [b["name"] for b in json.loads(said("--json", "-"))["backbones"]] == list(MODULES)


def test_the_classes_of_one_are_listed() -> None:
    assert tuple(said("--classes", "i3d").splitlines()) == kinetics_400()
    told = json.loads(said("--classes", "slow_r50", "--json", "-"))
    assert told == {"backbone": "slow_r50", "classes": list(kinetics_400())}


def test_an_unknown_one_has_none() -> None:
    result = CliRunner().invoke(main, ["backbones", "--classes", "nothing"])
    assert result.exit_code != 0 and "there is none of that name" in result.output
