"""Streams side by side, and what the axes of their arrays mean, through the command line."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from click.testing import Result

from tsatal.formats.features import FeatureFile

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
