"""Settings from a feature file's provenance, and what is said where they cannot be had."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tsatal.errors import InputError
from tsatal.extract.again import settings_of
from tsatal.extract.extractor import BACKBONE_WIDTH
from tsatal.extract.projection import matrix_sha256, orthogonal_projection
from tsatal.extract.settings import ExtractSettings, make_provenance

SETTINGS = ExtractSettings(weights="random", width=16, seed=3, fps=5.0, context=0, device="cpu")
FEATURES = Path("nowhere.h5")


def provenance(settings: ExtractSettings = SETTINGS, **changed: Any) -> dict[str, Any]:
    """Return what a feature file of these settings says of its rows."""
    matrix = orthogonal_projection(BACKBONE_WIDTH, settings.width, seed=settings.seed)
    identity: dict[str, Any] = {
        "weights": {"name": "random", "seed": settings.seed},
        "projection": {"sha256": matrix_sha256(matrix)},
    }
    flow = {"method": settings.flow_method, **identity} if settings.flow else None
    made = make_provenance(settings, **identity, flow=flow, dtype="float32", device="cpu")
    return {**made, **changed}


def again(provenance: dict[str, Any], **given: Any) -> ExtractSettings:
    return settings_of(provenance, streams=("rgb",), features=FEATURES, device="cpu", **given)


def test_the_settings_make_the_same_rows() -> None:
    made = again(provenance())
    assert provenance(made) == provenance()


def test_a_projection_that_no_seed_makes_comes_from_the_feature_file(tmp_path: Path) -> None:
    other = {"sha256": matrix_sha256(np.zeros((BACKBONE_WIDTH, 16), np.float32))}
    with pytest.raises(InputError, match="^nowhere.h5: no such file; the projection of the"):
        again(provenance(projection=other))
    there = tmp_path / "there.h5"
    there.touch()
    made = settings_of(provenance(projection=other), streams=("rgb",), features=there)
    assert made.projection == str(there)


def test_weights_that_are_not_published_must_be_given() -> None:
    own = provenance(replace(SETTINGS, seed=0), weights={"name": "mine.pyth", "sha256": "12ab"})
    message = (
        r"^the features were made with .* 'mine.pyth' \(sha256 12ab\): give .* with --weights$"
    )
    with pytest.raises(InputError, match=message):
        again(own)
    made = again(own, weights="moved.pyth")
    assert (made.weights, made.weights_sha256) == ("moved.pyth", "12ab")


def test_features_of_another_program_cannot_be_extracted_again() -> None:
    with pytest.raises(InputError, match="come from 'imported', not from `tsatal extract`"):
        again({"extractor": "imported"})


def test_a_damaged_provenance_is_said_to_be_one() -> None:
    damaged = provenance()
    del damaged["fps"]
    with pytest.raises(InputError, match="^nowhere.h5: its provenance is damaged"):
        again(damaged)
