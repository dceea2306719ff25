from __future__ import annotations

import pytest

from tsatal.errors import InputError
from tsatal.extract.settings import PRESETS, ExtractSettings, with_preset


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


def test_what_is_left_open_is_the_backbones() -> None:
    first = ExtractSettings(backbone=None, fps=None)  # as the command line gives it
    assert first == ExtractSettings()
    assert (first.fps, first.resize, first.crop, first.stride, first.width) == (
        10,
        128,
        112,
        2,
        512,
    )
    assert (first.context, first.projection, first.weights) == (18, "orthogonal", "kinetics")
    i3d = ExtractSettings(backbone="i3d")
    assert (i3d.fps, i3d.resize, i3d.crop, i3d.stride, i3d.width) == (12.5, 182, 160, 4, 1024)
    assert (i3d.context, i3d.projection, i3d.exact, i3d.clip_frames) == (0, "none", True, None)
    assert (i3d.start_sec, i3d.step_sec) == (0.4, 0.32)
    windows = ExtractSettings(backbone="i3d_windows", fps=30)
    assert (windows.clip_frames, windows.start_sec, windows.step_sec) == (16, 0.25, 4 / 30)


def test_a_width_or_a_projection_that_is_asked_for_projects() -> None:
    assert ExtractSettings(backbone="i3d", width=300).projection == "orthogonal"
    assert ExtractSettings(backbone="i3d", projection="pca").width == 512
    assert ExtractSettings(projection="none").width == 2048
    with pytest.raises(InputError, match="^width must be 1024 without a projection, is 512"):
        ExtractSettings(backbone="i3d", projection="none", width=512)


@pytest.mark.parametrize(
    ("backbone", "wrong"),
    [
        ("i3d", {"stride": 3}),
        ("i3d", {"context": 18}),
        ("i3d", {"segment": 12}),
        ("i3d", {"width": 1025}),
        ("i3d_windows", {"segment": 12}),
    ],
)
def test_what_does_not_suit_the_backbone_is_refused_by_name(
    backbone: str, wrong: dict[str, object]
) -> None:
    with pytest.raises(InputError, match=f"^{next(iter(wrong))} must be .* backbone {backbone}$"):
        ExtractSettings(backbone=backbone, **wrong)  # type: ignore[arg-type]


def test_an_unknown_backbone_is_refused_with_the_nearest() -> None:
    with pytest.raises(InputError, match="backbone 'i3d_r5': .* did you mean i3d_r50?"):
        ExtractSettings(backbone="i3d_r5")


def test_another_backbone_brings_its_own_values() -> None:
    changed = ExtractSettings(fps=5, seed=3).changed(backbone="i3d")
    assert (changed.fps, changed.seed, changed.crop, changed.width) == (5, 3, 160, 1024)


def test_flow_weights_without_flow_are_refused() -> None:
    with pytest.raises(InputError, match="flow_weights 'random' are of no use without flow"):
        ExtractSettings(flow_weights="random")


def test_the_papers_settings_are_those_of_its_text() -> None:
    paper = with_preset("paper", {})
    assert (paper.fps, paper.resize, paper.crop) == (10, 112, 112)
    assert (paper.segment, paper.context, paper.exact) == (128, 0, False)
    assert paper.streams == ("rgb", "flow")
    assert (paper.projection, paper.width) == ("none", 2048)


def test_what_is_given_counts_before_a_name() -> None:
    chosen = with_preset("paper", {"fps": 5.0, "crop": None, "weights": "random"})
    assert chosen == ExtractSettings(**{**PRESETS["paper"], "fps": 5.0, "weights": "random"})
    assert with_preset(None, {"fps": 5.0}) == ExtractSettings(fps=5.0)
    with pytest.raises(InputError, match="^config 'papr': extraction has the settings paper$"):
        with_preset("papr", {})
