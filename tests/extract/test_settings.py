from __future__ import annotations

import pytest

from tsatal.errors import InputError
from tsatal.extract.settings import ExtractSettings


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
        {"dtype": "float16"},
        {"flow_method": "farneback"},
        {"at_once": 0},
        {"seed": -1},
    ],
)
def test_values_out_of_range_are_refused_by_name(wrong: dict[str, object]) -> None:
    with pytest.raises(InputError, match=f"{next(iter(wrong))} must be "):
        ExtractSettings(**wrong)  # type: ignore[arg-type]


def test_changed_settings_are_checked_too() -> None:
    assert ExtractSettings().changed(fps=5).fps == 5
    with pytest.raises(InputError, match="^crop must be at least 32, is 8$"):
        ExtractSettings().changed(crop=8)
    with pytest.raises(InputError, match="unknown key 'frames'; did you mean"):
        ExtractSettings().changed(frames=8)


def test_flow_weights_without_flow_are_refused() -> None:
    with pytest.raises(InputError, match="flow_weights 'random' are of no use without flow"):
        ExtractSettings(flow_weights="random")
