from __future__ import annotations

import dataclasses
import json

import pytest

from tsatal.errors import InputError
from tsatal.extract.settings import ExtractSettings, differing_setting, make_provenance


def provenance(settings: ExtractSettings, **changes: object) -> dict[str, object]:
    given = {
        "weights": {"name": "random", "seed": 0},
        "projection": {"sha256": "12"},
        "flow": None,
        "dtype": "float32",
        "device": "cpu",
    }
    return make_provenance(settings, **{**given, **changes})  # type: ignore[arg-type]


def test_rows_stand_between_their_two_frames() -> None:
    settings = ExtractSettings()
    assert (settings.start_sec, settings.step_sec) == (0.05, 0.2)
    assert ExtractSettings(fps=25).step_sec == 0.08


@pytest.mark.parametrize(
    "wrong",
    [
        {"fps": 0},
        {"crop": 8},
        {"resize": 100},
        {"segment": 0},
        {"segment": 127},
        {"context": 17},
        {"context": -2},
        {"width": 0},
        {"width": 4096},
        {"store": "int8"},
    ],
)
def test_values_out_of_range_are_refused_by_name(wrong: dict[str, object]) -> None:
    with pytest.raises(InputError, match=f"{next(iter(wrong))} must be "):
        ExtractSettings(**wrong)  # type: ignore[arg-type]


def test_provenance_is_json_and_names_versions() -> None:
    found = json.loads(json.dumps(provenance(ExtractSettings())))
    assert found["fps"] == 10.0 and found["weights"]["name"] == "random"
    assert {"torch", "av", "tsatal"} <= set(found["made_with"])


def test_equal_settings_do_not_differ_whatever_they_were_made_with() -> None:
    ours = provenance(ExtractSettings())
    theirs = json.loads(json.dumps(provenance(ExtractSettings(), device="cuda")))
    assert differing_setting(ours, theirs) is None


@pytest.mark.parametrize(
    ("name", "value"), [("fps", 25.0), ("context", 0), ("crop", 64), ("width", 64)]
)
def test_the_differing_setting_is_named_with_both_values(name: str, value: float) -> None:
    ours = provenance(ExtractSettings())
    theirs = provenance(dataclasses.replace(ExtractSettings(), **{name: value}))  # type: ignore[arg-type]
    said = differing_setting(ours, theirs)
    assert said is not None and said.startswith(name) and str(value) in said


def test_other_weights_differ() -> None:
    theirs = provenance(ExtractSettings(), weights={"name": "kinetics", "sha256": "ab" * 32})
    assert differing_setting(provenance(ExtractSettings()), theirs) == (
        "weights is name=random seed=0 here, name=kinetics sha256=abababababababab there"
    )
    assert "unknown there" in str(differing_setting(theirs, {}))


def test_flow_weights_without_flow_are_refused() -> None:
    with pytest.raises(InputError, match="flow_weights 'random' are of no use without flow"):
        ExtractSettings(flow_weights="random")
