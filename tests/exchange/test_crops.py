"""Features of several crops: averaged where that is asked for, and never taken for videos."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

from tsatal.errors import InputError
from tsatal.exchange.crops import crop_axis
from tsatal.formats.features import FeatureFile

Annotate = Callable[..., Path]
Check = Callable[..., None]
Run = Callable[..., Result]
Save = Callable[..., Path]
See = Callable[..., np.ndarray]

DURATIONS = {"Abuse001_x264": 34.0, "Normal_Videos_003_x264": 20.5}
I3D = ("--format", "npy", "--fps", 30, "--stride-frames", 16, "--window-frames", 16)


@pytest.fixture
def crops(see: See) -> dict[str, np.ndarray]:
    """Arrays (crops, T, D) by video, ten crops around the true rows."""
    rows = {v: see(d, 30, window=16, stride=16) for v, d in DURATIONS.items()}
    off = np.linspace(-1, 1, 10, dtype=np.float32)[:, None, None]
    return {v: r + off for v, r in rows.items()}


@pytest.fixture
def truth(tmp_path: Path, annotate: Annotate) -> Path:
    return annotate(tmp_path / "a.json", DURATIONS)


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (1, 2, 0), (0, 2, 1)])
def test_the_mean_of_the_crops_whatever_the_order_of_the_axes(
    order: tuple[int, ...], crops: dict[str, np.ndarray], truth: Path, tmp_path: Path,
    tsatal: Run, save: Save, check_instants: Check,
) -> None:  # fmt: skip
    folder = save(tmp_path / "npy", {v: a.transpose(order) for v, a in crops.items()})
    more = ("--crop-axis", 2) if order == (1, 2, 0) else ()
    arguments = ("import", folder, tmp_path / "o.h5", "--annotations", truth, *I3D)
    refused = tsatal(*arguments)
    assert refused.exit_code == 1 and "--crops mean averages" in refused.output
    result = tsatal(*arguments, "--crops", "mean", *more)
    assert result.exit_code == 0, result.output
    check_instants(tmp_path / "o.h5", list(DURATIONS), within_sec=1e-3)
    with FeatureFile(tmp_path / "o.h5") as file:
        assert file.provenance["crops"] == "mean"


def test_a_file_for_each_crop(
    crops: dict[str, np.ndarray], truth: Path, tmp_path: Path, tsatal: Run, save: Save,
    check_instants: Check,
) -> None:  # fmt: skip
    files = {f"{v}__{n}": crop for v, a in crops.items() for n, crop in enumerate(a)}
    folder = save(tmp_path / "npy", files)
    arguments = ("import", folder, tmp_path / "o.h5", *I3D)
    for more in ((), ("--annotations", truth)):
        refused = tsatal(*arguments, *more)
        assert refused.exit_code == 1 and "one of 10 crops of a video; say --crops mean" in (
            refused.output
        )
    result = tsatal(*arguments, "--annotations", truth, "--crops", "mean")
    assert result.exit_code == 0, result.output
    check_instants(tmp_path / "o.h5", list(DURATIONS), within_sec=1e-3)
    apart = tsatal(*arguments, "--crops", "apart", "--overwrite")
    assert apart.exit_code == 0 and "20 unlabelled" in apart.output


def test_a_video_that_lacks_a_crop_or_whose_crops_differ_is_named(
    crops: dict[str, np.ndarray], tmp_path: Path, tsatal: Run, save: Save
) -> None:
    crops["c"], crops["d"] = next(iter(crops.values())), next(iter(crops.values()))
    files = {f"{v}__{n}": crop for v, a in crops.items() for n, crop in enumerate(a)}
    del files["c__3"]
    files["d__4"] = files["d__4"][:-1]
    folder = save(tmp_path / "npy", files)
    result = tsatal("import", folder, tmp_path / "o.h5", *I3D, "--crops", "mean")
    assert result.exit_code == 1
    assert "c__0.npy: has the crops 0, 1, 2, 4, 5, 6, 7, 8, 9; other videos have 10" in (
        result.output
    )
    assert "d__0.npy: its crops have the shapes" in result.output
    assert "2 unlabelled, 2 failed" in result.output


def test_rows_of_crops_one_after_the_other_are_refused(
    crops: dict[str, np.ndarray], tmp_path: Path, tsatal: Run, save: Save
) -> None:
    folder = save(tmp_path / "npy", {v: a.reshape(-1, a.shape[-1]) for v, a in crops.items()})
    result = tsatal("import", folder, tmp_path / "o.h5", *I3D, "--crops", "mean")
    assert result.exit_code == 1 and "and so no axis of crops; leave out --crops" in result.output


def test_an_id_that_ends_like_a_crop_is_an_id(
    see: See, annotate: Annotate, tmp_path: Path, tsatal: Run, save: Save
) -> None:
    ids = {"a__0": 20.0, "a__1": 30.0}
    folder = save(tmp_path / "npy", {v: see(d, 30, window=16, stride=16) for v, d in ids.items()})
    truth = annotate(tmp_path / "b.json", ids)
    result = tsatal("import", folder, tmp_path / "o.h5", *I3D, "--annotations", truth)
    assert result.exit_code == 0 and "2 videos matched" in result.output


@pytest.mark.parametrize(
    ("shapes", "axis"),
    [
        ([(120, 10, 64)], 1),
        ([(5, 120, 64)], 0),
        ([(10, 10, 64), (30, 10, 64)], 1),
        ([(10, 10, 64), (10, 30, 64)], 0),
    ],
)
def test_the_axis_of_the_crops(shapes: list[tuple[int, ...]], axis: int) -> None:
    assert crop_axis(shapes, "here") == axis


@pytest.mark.parametrize("shapes", [[(10, 10, 64)], [(120, 7, 64)], [(120, 64, 10)]])
def test_an_axis_that_cannot_be_told_is_asked_for(shapes: list[tuple[int, ...]]) -> None:
    with pytest.raises(InputError, match="here: cannot tell .* --crop-axis 0, 1 or 2"):
        crop_axis(shapes, "here")
