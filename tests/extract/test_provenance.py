"""What a feature file says of its rows, what differs, and the settings that make them again."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tsatal.errors import InputError
from tsatal.extract.backbones.dense import I3D_R50
from tsatal.extract.projection import matrix_sha256, orthogonal_projection
from tsatal.extract.provenance import differing_setting, make_provenance, settings_of
from tsatal.extract.settings import ExtractSettings

SETTINGS = ExtractSettings(weights="random", width=16, seed=3, fps=5.0, context=0, device="cpu")
FEATURES = Path("nowhere.h5")


def provenance(
    settings: ExtractSettings = SETTINGS, *, device: str = "cpu", **changed: Any
) -> dict[str, Any]:
    """Return what a feature file of these settings says of its rows."""
    matrix = orthogonal_projection(I3D_R50.width, settings.width, seed=settings.seed)
    identity: dict[str, Any] = {
        "weights": {"name": "random", "seed": settings.seed},
        "projection": {"sha256": matrix_sha256(matrix)},
    }
    made_by = {stream: identity for stream in settings.streams}
    made = make_provenance(settings, made_by, dtype="float32", device=device)
    return {**made, **changed}


def again(provenance: dict[str, Any], **given: Any) -> ExtractSettings:
    return settings_of(provenance, streams=("rgb",), features=FEATURES, device="cpu", **given)


def test_the_settings_make_the_same_rows() -> None:
    made = again(provenance())
    assert provenance(made) == provenance()


def test_a_projection_that_no_seed_makes_comes_from_the_feature_file(tmp_path: Path) -> None:
    other = {"sha256": matrix_sha256(np.zeros((I3D_R50.width, 16), np.float32))}
    with pytest.raises(InputError, match="^nowhere.h5: no such file; the projection of the"):
        again(provenance(projection=other))
    there = tmp_path / "there.h5"
    there.touch()
    made = settings_of(provenance(projection=other), streams=("rgb",), features=there)
    assert made.projection == str(there)


def test_weights_that_are_not_published_must_be_given() -> None:
    own = provenance(SETTINGS.changed(seed=0), weights={"name": "mine.pyth", "sha256": "12ab"})
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
    for wrong in (damaged, provenance(fps="fast"), provenance(crop=8)):
        with pytest.raises(InputError, match="^nowhere.h5: its provenance is damaged"):
            again(wrong)


def test_provenance_is_json_and_names_versions() -> None:
    found = json.loads(json.dumps(provenance()))
    assert found["fps"] == 5.0 and found["weights"]["name"] == "random"
    assert {"torch", "av", "tsatal"} <= set(found["made_with"])


def test_equal_settings_do_not_differ_whatever_they_were_made_with() -> None:
    ours = provenance()
    theirs = json.loads(json.dumps(provenance(device="cuda")))
    assert differing_setting(ours, theirs) is None


@pytest.mark.parametrize(
    ("name", "value"), [("fps", 25.0), ("context", 2), ("crop", 64), ("width", 64)]
)
def test_the_differing_setting_is_named_with_both_values(name: str, value: float) -> None:
    ours = provenance()
    theirs = provenance(SETTINGS.changed(**{name: value}))
    said = differing_setting(ours, theirs)
    assert said is not None and said.startswith(name) and str(value) in said


def test_other_weights_differ() -> None:
    theirs = provenance(weights={"name": "kinetics", "sha256": "ab" * 32})
    assert differing_setting(provenance(), theirs) == (
        "weights is name=random seed=3 here, name=kinetics sha256=abababababababab there"
    )
    assert "unknown there" in str(differing_setting(theirs, {}))


def test_rows_of_the_older_picture_rule_are_told_apart() -> None:
    old = provenance()
    del old["clock"]
    assert "first picture at or after an instant" in str(differing_setting(provenance(), old))
    with pytest.raises(InputError, match=r"^nowhere.h5: an older version .* train on them"):
        again(old)


def test_where_time_0_is_differs_and_is_made_again() -> None:
    late = provenance(SETTINGS.changed(time_zero="container"))
    said = differing_setting(provenance(), late)
    assert said is not None and "zero=picture here" in said and "zero=container there" in said
    assert again(late).time_zero == "container"


def test_how_a_single_video_is_read_may_differ() -> None:
    said = SETTINGS.changed(track=1, assume_fps=30.0)
    assert differing_setting(provenance(), provenance(said)) is None
    made = again(provenance(said), assume_fps=25.0)
    assert (made.track, made.assume_fps) == (None, 25.0)
