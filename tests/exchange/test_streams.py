"""Streams side by side, through the command line; and which axis of their arrays is time."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result

from tsatal.errors import InputError
from tsatal.exchange.streams import Axes, as_rows, find_axes, two_dimensional
from tsatal.formats.features import FeatureFile

Shapes = list[tuple[int, int]]
Check = Callable[..., None]
Run = Callable[..., Result]
Save = Callable[..., Path]

I3D = ("--format", "actionformer", "--stride-frames", 4, "--window-frames", 16)
DURATIONS = {"video_test_0000004": 34.0, "video_test_0000006": 20.5, "b": 50.0}  # conftest's


def test_flow_a_row_shorter_is_joined_and_cut_at_the_end(
    i3d: Path, truth: Path, tmp_path: Path, tsatal: Run, save: Save, check_instants: Check
) -> None:
    whole = {v: np.load(i3d / f"{v}.npy") for v in DURATIONS}
    flow = save(
        i3d / "flow", {v: rows[: len(rows) - n] for n, (v, rows) in enumerate(whole.items())}
    )
    out = tmp_path / "o.h5"
    result = tsatal("import", i3d, out, "--annotations", truth, "--flow", flow, *I3D)
    assert result.exit_code == 0, result.output
    assert "cut to the other's length: b, video_test_0000006" in result.output
    check_instants(out, list(DURATIONS))
    with FeatureFile(out) as file:
        assert file.streams() == ("rgb", "flow") and file.provenance["flow"] == "flow"
        for lost, (video_id, rows) in enumerate(whole.items()):
            assert file.time_axis(video_id).num_steps == len(rows) - lost
            np.testing.assert_array_equal(file.rows(video_id, ("flow",))[-1], rows[-1 - lost])


def test_flow_three_rows_apart_or_absent_is_refused_by_name(
    i3d: Path, truth: Path, tmp_path: Path, tsatal: Run, save: Save, check_instants: Check
) -> None:
    rows = np.load(i3d / "b.npy")
    first, second = "video_test_0000004", "video_test_0000006"
    flow = save(
        tmp_path / "flow", {"b": rows, first: np.load(i3d / f"{first}.npy")[:-3], "c": rows}
    )
    out = tmp_path / "o.h5"
    result = tsatal("import", i3d, out, "--annotations", truth, "--flow", flow, *I3D)
    assert result.exit_code == 1
    assert f"{first}: has 252 rows of rgb and 249 rows of flow" in result.output
    assert f"{second}: has no array of flow" in result.output
    assert "c: has no array of rgb" in result.output
    check_instants(out, ["b"])


def test_two_streams_side_by_side_can_be_parted(
    i3d: Path, truth: Path, tmp_path: Path, tsatal: Run
) -> None:
    out = tmp_path / "o.h5"
    tsatal("import", i3d, out, "--annotations", truth, *I3D, "--split-at", 4)
    with FeatureFile(out) as file:
        assert (file.width(("rgb",)), file.width(("flow",))) == (4, 2)
        both = file.rows("b", ("rgb", "flow"))
    np.testing.assert_array_equal(both, np.load(i3d / "b.npy"))
    wide = tsatal("import", i3d, tmp_path / "p.h5", "--annotations", truth, *I3D, "--split-at", 6)
    assert wide.exit_code == 1 and "6 wide and cannot be split at 6" in wide.output


def test_width_by_rows_is_found_out(
    i3d: Path, truth: Path, tmp_path: Path, tsatal: Run, save: Save, check_instants: Check
) -> None:
    for path in i3d.iterdir():
        np.save(path, np.load(path).T)
    result = tsatal("import", i3d, tmp_path / "o.h5", "--annotations", truth, *I3D)
    assert result.exit_code == 0 and "transposed" in result.output
    check_instants(tmp_path / "o.h5", list(DURATIONS))


def test_an_array_whose_axes_cannot_be_told_is_refused(
    tmp_path: Path, tsatal: Run, save: Save
) -> None:
    folder, out = save(tmp_path / "npy", {"a": np.ones((100, 128), np.float32)}), tmp_path / "o.h5"
    options = ("--format", "npy", "--fps", 25, "--stride-frames", 8, "--window-frames", 8)
    refused = tsatal("import", folder, out, *options)
    assert refused.exit_code == 1 and "say --no-transpose" in refused.output
    for flag, steps in {"--no-transpose": 100, "--transpose": 128}.items():
        assert tsatal("import", folder, out, *options, flag, "--overwrite").exit_code == 0
        with FeatureFile(out) as file:
            assert file.time_axis("a").num_steps == steps
            assert file.annotations() is None


def test_float16_is_stored_where_it_is_asked_for_and_can_hold_the_values(
    i3d: Path, truth: Path, tmp_path: Path, tsatal: Run, save: Save
) -> None:
    np.save(i3d / "b.npy", np.full((300, 6), 1e6, np.float32))
    out = tmp_path / "o.h5"
    result = tsatal("import", i3d, out, "--annotations", truth, *I3D, "--dtype", "float16")
    assert result.exit_code == 1 and "b.npy: has values that are" in result.output
    assert "too large for float16" in result.output
    with FeatureFile(out) as file:
        assert file.video("video_test_0000004").streams["rgb"].dtype == np.float16


@pytest.mark.parametrize(
    "shapes, expected, axes",
    [
        ([(100, 64), (90, 64)], [None, None], Axes(0, 64)),
        ([(64, 100), (64, 90), (64, 70)], [None] * 3, Axes(1, 64)),
        ([(100, 64), (90, 64), (80, 63)], [None] * 3, Axes(0, 64)),  # one is broken
        ([(100, 64)], [99.0], Axes(0, 64)),
        ([(64, 100)], [99.0], Axes(1, 64)),
        ([(300, 64)], [600.0], Axes(0, 64)),  # a wrong frame rate: the usual layout, not the fit
        ([(100, 64), (100, 64)], [None, 101.0], Axes(0, 64)),
        ([(1, 64)], [1.0], Axes(0, 64)),
    ],
)
def test_sizes_that_vary_are_time_and_else_durations_tell(
    shapes: Shapes, expected: list[float | None], axes: Axes
) -> None:
    assert find_axes(shapes, expected, "here") == axes


@pytest.mark.parametrize(
    "shapes, expected",
    [
        ([(100, 64)], [None]),
        ([(100, 400), (100, 400)], [None, None]),
        ([(64, 300)], [600.0]),
        ([(100, 100)], [100.0]),
        ([(100, 110)], [105.0]),
        ([(100, 64), (64, 100)], [100.0, 100.0]),
    ],
)
def test_what_nothing_tells_is_refused(shapes: Shapes, expected: list[float | None]) -> None:
    with pytest.raises(InputError, match=r"here: cannot tell .*--no-transpose .*--transpose"):
        find_axes(shapes, expected, "here")


def test_axes_of_length_one_are_dropped() -> None:
    for shape in [(1, 9, 4), (9, 4, 1, 1), (9, 1, 4)]:
        assert two_dimensional(np.zeros(shape), "a").shape == (9, 4)
    assert two_dimensional(np.zeros((1, 4)), "a").shape == (1, 4)


@pytest.mark.parametrize(
    "array, message",
    [
        (np.zeros((2, 3, 4)), "a: has the shape (2, 3, 4)"),
        (np.zeros(5), "a: has the shape (5,)"),
        (np.zeros((1, 1, 5)), "a: has the shape (1, 1, 5)"),
        (np.array(3.0), "a: has the shape ()"),
        (np.zeros((0, 5)), "a: is empty"),
        (np.array([["x"]]), "a: holds <U1"),
        (np.zeros((2, 2), complex), "a: holds complex128"),
    ],
)
def test_what_is_no_matrix_of_numbers_is_refused(array: np.ndarray, message: str) -> None:
    with pytest.raises(InputError) as caught:
        two_dimensional(array, "a")
    assert str(caught.value).startswith(message)


def test_rows_are_stored_in_the_type_asked_for() -> None:
    matrix = np.arange(6).reshape(2, 3)
    rows = as_rows(matrix, Axes(1, 2), "a", "float16")
    assert rows.dtype == np.float16 and rows.flags.c_contiguous
    np.testing.assert_array_equal(rows, matrix.T)


@pytest.mark.parametrize(
    "value, message", [(np.nan, "NaN"), (-np.inf, "infinite"), (7e4, "too large for float16")]
)
def test_values_that_cannot_be_stored_are_refused(value: float, message: str) -> None:
    with pytest.raises(InputError, match=message):
        as_rows(np.array([[1.0, value]]), Axes(0, 2), "a", "float16")


def test_another_width_is_refused() -> None:
    options: Any = (Axes(0, 3), "a", "float32")
    with pytest.raises(InputError, match="a: is 2 wide, other videos are 3"):
        as_rows(np.ones((5, 2)), *options)
