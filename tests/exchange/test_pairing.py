"""Two streams in one place, through the command line: told apart by names, and said so."""

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import Result

from tsatal.exchange.layouts import ImportSettings
from tsatal.exchange.pairing import stream_folders, with_suffixes
from tsatal.formats.features import FeatureFile

Check = Callable[..., None]
Run = Callable[..., Result]
Save = Callable[..., Path]

I3D = ("--format", "actionformer", "--stride-frames", 4, "--window-frames", 16)
DURATIONS = {"video_test_0000004": 34.0, "video_test_0000006": 20.5, "b": 50.0}  # conftest's


@pytest.fixture
def whole(i3d: Path) -> dict[str, np.ndarray]:
    """The rows of three videos by id."""
    return {v: np.load(i3d / f"{v}.npy") for v in DURATIONS}


def both(whole: dict[str, np.ndarray], rgb: str, flow: str) -> dict[str, np.ndarray]:
    """Return the arrays of two streams by name; flow is the negative of rgb."""
    return {f"{v}{rgb}": r for v, r in whole.items()} | {f"{v}{flow}": -r for v, r in whole.items()}


def has_both(path: Path) -> bool:
    with FeatureFile(path) as file:
        rows = [(file.rows(v, ("rgb",)), file.rows(v, ("flow",))) for v in file.video_ids]
        assert file.video_ids == sorted(DURATIONS)
    return all((rgb == -flow).all() for rgb, flow in rows)


@pytest.mark.parametrize(("rgb", "flow"), [("_rgb", "_flow"), (".RGB", ".Flow"), ("-rgb", "_flow")])
@pytest.mark.parametrize("annotated", [True, False])
def test_streams_side_by_side_are_found_by_their_names_and_that_is_said(
    annotated: bool, rgb: str, flow: str, whole: dict[str, np.ndarray], truth: Path,
    tmp_path: Path, tsatal: Run, save: Save, check_instants: Check,
) -> None:  # fmt: skip
    folder, out = save(tmp_path / "both", both(whole, rgb, flow)), tmp_path / "o.h5"
    more = ("--annotations", truth) if annotated else ("--fps", 30)
    result = tsatal("import", folder, out, *I3D, *more)
    assert result.exit_code == 0, result.output
    assert f"{rgb!r} are rgb, in {flow!r} flow" in result.output
    assert has_both(out)
    if annotated:
        check_instants(out, list(DURATIONS))


def test_what_video_features_writes_beside_its_features_is_no_video(
    whole: dict[str, np.ndarray], tmp_path: Path, tsatal: Run, save: Save
) -> None:
    beside = {f"{v}_fps": np.array(25.0) for v in whole}
    beside |= {f"{v}_timestamps_ms": np.arange(9.0) for v in whole}
    folder = save(tmp_path / "both", both(whole, "_rgb", "_flow") | beside)
    result = tsatal("import", folder, tmp_path / "o.h5", *I3D, "--fps", 30)
    assert result.exit_code == 0, result.output
    assert has_both(tmp_path / "o.h5")
    assert "6 arrays have other names" in result.output


@pytest.mark.parametrize(
    ("rgb", "flow", "options"),
    [
        ("_spatial", "_temporal", ("--rgb-suffix", "_spatial", "--flow-suffix", "_temporal")),
        ("", "_of", ("--flow-suffix", "_of")),
        ("_rgb", "_flow", ("--flow-suffix", "_flow")),
        ("_c", "_c_flow", ("--suffix", "_c", "--flow-suffix", "_c_flow")),
    ],
)
def test_other_names_are_told_by_options(
    rgb: str, flow: str, options: tuple[str, ...], whole: dict[str, np.ndarray], truth: Path,
    tmp_path: Path, tsatal: Run, save: Save,
) -> None:  # fmt: skip
    folder, out = save(tmp_path / "both", both(whole, rgb, flow)), tmp_path / "o.h5"
    result = tsatal("import", folder, out, "--annotations", truth, *I3D, *options)
    assert result.exit_code == 0, result.output
    assert "other names" not in result.output
    assert has_both(out)


def test_two_folders_whose_files_have_suffixes(
    whole: dict[str, np.ndarray], truth: Path, tmp_path: Path, tsatal: Run, save: Save
) -> None:
    rgb = save(tmp_path / "a", {f"{v}_rgb": r for v, r in whole.items()})
    flow = save(tmp_path / "b", {f"{v}_flow": -r for v, r in whole.items()})
    result = tsatal(
        "import", rgb, tmp_path / "o.h5", "--flow", flow, "--annotations", truth, *I3D,
        "--rgb-suffix", "_rgb", "--flow-suffix", "_flow",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert has_both(tmp_path / "o.h5")


def test_folders_called_rgb_and_flow_inside_the_source(
    whole: dict[str, np.ndarray], truth: Path, tmp_path: Path, tsatal: Run, save: Save
) -> None:
    save(tmp_path / "both" / "RGB", whole)
    save(tmp_path / "both" / "flow", {v: -r for v, r in whole.items()})
    result = tsatal("import", tmp_path / "both", tmp_path / "o.h5", "--annotations", truth, *I3D)
    assert result.exit_code == 0, result.output
    assert "two streams: rgb in" in result.output
    assert has_both(tmp_path / "o.h5")
    save(tmp_path / "both", whole)  # features beside the folders
    assert stream_folders(tmp_path / "both") == {}


@pytest.mark.parametrize("ending", [".npz", ".h5"])
def test_both_streams_in_one_file_under_two_keys(
    ending: str, whole: dict[str, np.ndarray], truth: Path, tmp_path: Path, tsatal: Run
) -> None:
    source = tmp_path / "both"
    if ending == ".npz":
        source.mkdir()
        for video_id, rows in whole.items():
            np.savez(source / f"{video_id}.npz", rgb=rows, flow=-rows)
    else:
        with h5py.File(source, "w") as file:
            for video_id, rows in whole.items():
                file[f"{video_id}/rgb"], file[f"{video_id}/flow"] = rows, -rows
    arguments = ("import", source, tmp_path / "o.h5", "--annotations", truth, *I3D)
    refused = tsatal(*arguments)
    assert refused.exit_code == 1 and "--flow-key" in refused.output
    result = tsatal(*arguments, "--key", "rgb", "--flow-key", "flow")
    assert result.exit_code == 0, result.output
    assert has_both(tmp_path / "o.h5")


def test_names_that_are_not_clear_are_refused_with_the_options(
    whole: dict[str, np.ndarray], truth: Path, tmp_path: Path, tsatal: Run, save: Save
) -> None:
    arrays = both(whole, "_rgb", "_flow") | {"b_RGB": whole["b"]}
    folder = save(tmp_path / "both", arrays)
    result = tsatal("import", folder, tmp_path / "o.h5", "--annotations", truth, *I3D)
    assert result.exit_code == 1
    assert "--rgb-suffix and --flow-suffix tell two streams" in result.output


@pytest.mark.parametrize(
    ("stems", "known"),
    [
        (["a_rgb", "b_rgb"], []),  # one stream
        (["a_rgb", "b_flow"], []),  # no video has both
        (["a_rgb", "a_flow"], ["a_rgb", "a_flow"]),  # videos of these names
        (["a_rgb", "a_flow", "c"], []),  # another video, perhaps
        (["a_rgb", "a_flow", "a-flow"], ["a"]),
        (["argb", "aflow"], ["a"]),
    ],
)
def test_what_could_mean_something_else_is_left_alone(stems: list[str], known: list[str]) -> None:
    settings = ImportSettings(format="npy")
    assert with_suffixes(settings, stems, known) == settings


def test_annotations_tell_what_other_arrays_would_leave_open() -> None:
    stems = ["v_a_rgb", "v_a_flow", "v_a_vggish"]
    found = with_suffixes(ImportSettings(format="npy"), stems, ["a"])
    assert (found.rgb_suffix, found.flow_suffix) == ("_rgb", "_flow")
