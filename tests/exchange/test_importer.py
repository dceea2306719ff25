"""Imports through the command line: rows at the right instants, and an account of every video."""

import json
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from click.testing import Result

from tsatal.formats.features import FeatureFile

See = Callable[..., np.ndarray]
Annotate = Callable[..., Path]
Check = Callable[..., None]
Run = Callable[..., Result]
Save = Callable[..., Path]

I3D = ("--format", "actionformer", "--stride-frames", 4, "--window-frames", 16)
DURATIONS = {"video_test_0000004": 34.0, "video_test_0000006": 20.5, "b": 50.0}  # conftest's
RATES = {"video_test_0000004": 30.0, "video_test_0000006": 25.0, "b": 29.97}


def test_actionformer_takes_each_videos_own_frame_rate(
    i3d: Path, truth: Path, tmp_path: Path, tsatal: Run, check_instants: Check
) -> None:
    out = tmp_path / "sub" / "out.h5"
    result = tsatal("import", i3d, out, "--annotations", truth, *I3D)
    assert result.exit_code == 0, result.output
    assert "3 videos matched, 0 missing, 0 unlabelled, 0 failed" in result.output
    assert "warning" not in result.output
    check_instants(out, list(DURATIONS))
    with FeatureFile(out) as file:
        found = file.annotations()
        assert found is not None and list(found.videos) == list(DURATIONS)
        assert file.time_axis("b").duration_sec == 50.0 and file.details("b")["fps"] == 29.97
        said = file.provenance
        assert (said["extractor"], said["format"]) == ("imported", "actionformer")
        assert (said["fps"], said["stride_frames"], said["window_frames"]) == ("per video", 4, 16)
        assert said["source"] == "i3d_features"


def test_the_middle_of_a_window_is_half_a_frame_before_actionformers(
    i3d: Path, truth: Path, tmp_path: Path, tsatal: Run
) -> None:
    """Frames 0..15 at 30 fps have their mean time stamp at 7.5/30; ActionFormer takes 8/30."""
    for name, more in {"ours": (), "theirs": ("--offset-frames", 8)}.items():
        tsatal("import", i3d, tmp_path / name, "--annotations", truth, *I3D, *more)
    with FeatureFile(tmp_path / "ours") as ours, FeatureFile(tmp_path / "theirs") as theirs:
        assert ours.time_axis("video_test_0000004").start_sec == 7.5 / 30
        assert theirs.time_axis("video_test_0000004").start_sec == 8 / 30


def test_fps_overrides_the_json(
    tmp_path: Path, see: See, annotate: Annotate, tsatal: Run, save: Save, check_instants: Check
) -> None:
    """TSP: computed at 15 fps from videos of another rate, which the JSON has."""
    folder = save(tmp_path / "tsp", {"v_a": see(60, 15, window=16, stride=16)})
    truth = annotate(tmp_path / "a.json", {"a": 60.0}, fps=30)
    result = tsatal(
        "import", folder, tmp_path / "o.h5", "--annotations", truth, "--format", "actionformer",
        "--fps", 15, "--stride-frames", 16, "--window-frames", 16,
    )  # fmt: skip
    assert result.exit_code == 0 and "warning" not in result.output
    check_instants(tmp_path / "o.h5", ["a"])
    with FeatureFile(tmp_path / "o.h5") as file:
        assert file.provenance["fps"] == 15


def test_opentads_frame_counts_are_frame_rates(
    tmp_path: Path, see: See, annotate: Annotate, tsatal: Run, save: Save, check_instants: Check
) -> None:
    folder = save(
        tmp_path / "npy",
        {"a": see(40, 25, window=16, stride=4), "b": see(30, 50, window=16, stride=4)},
    )
    truth = annotate(tmp_path / "a.json", {"a": 40.0, "b": 30.0}, frame={"a": 1000, "b": 1500})
    options = ("--format", "opentad", "--stride-frames", 4, "--window-frames", 16)
    result = tsatal("import", folder, tmp_path / "o.h5", "--annotations", truth, *options)
    assert result.exit_code == 0, result.output
    check_instants(tmp_path / "o.h5", ["a", "b"])


def hundredths(span_sec: float, parts: int = 100) -> np.ndarray:
    """Return the mean instant of each part of a span, from many instants in it."""
    instants = [span_sec * (n + 0.5) / (parts * 20) for n in range(parts * 20)]
    column = np.array(instants).reshape(parts, 20).mean(axis=1)
    return np.column_stack([column, *[column * 0 + n for n in range(3)]])


def write_csv(path: Path, rows: np.ndarray) -> None:
    lines = [",".join(f"f{n}" for n in range(rows.shape[1]))]
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(lines + [",".join(map(str, row)) for row in rows.tolist()]) + "\n")


def test_bmns_hundred_rows_are_spread_over_each_video(
    tmp_path: Path, annotate: Annotate, tsatal: Run, check_instants: Check
) -> None:
    durations = {"a": 93.0, "b": 14.07}
    for video_id, duration in durations.items():
        write_csv(tmp_path / "csv_mean_100" / f"v_{video_id}.csv", hundredths(duration))
    truth = annotate(tmp_path / "a.json", durations)
    result = tsatal(
        "import", tmp_path / "csv_mean_100", tmp_path / "o.h5",
        "--annotations", truth, "--format", "bmn",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    check_instants(tmp_path / "o.h5", ["a", "b"])


def test_bmns_rows_end_where_the_network_did_if_that_is_known(
    tmp_path: Path, annotate: Annotate, tsatal: Run, check_instants: Check
) -> None:
    """418 frames in 14.07 s, and 400 of them seen, as in BSN's video_info_new.csv."""
    write_csv(tmp_path / "csv" / "v_a.csv", hundredths(14.07 * 400 / 418))
    (tmp_path / "info.csv").write_text(
        "video,numFrame,seconds,fps,rfps,subset,featureFrame\n"
        "v_a,418,14.07,30.0,29.7085998579,training,400\n"
    )
    truth = annotate(tmp_path / "a.json", {"a": 14.07})
    result = tsatal(
        "import", tmp_path / "csv", tmp_path / "o.h5", "--annotations", truth,
        "--format", "bmn", "--video-info", tmp_path / "info.csv",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    check_instants(tmp_path / "o.h5", ["a"])


def test_activitynets_c3d_is_a_row_every_8_of_16_frames(
    tmp_path: Path, see: See, annotate: Annotate, tsatal: Run, check_instants: Check
) -> None:
    rates, durations = {"a": 30.0, "-b_": 23.976}, {"a": 60.0, "-b_": 31.0}
    with h5py.File(tmp_path / "sub_activitynet_v1-3.c3d.hdf5", "w") as file:
        for video_id, fps in rates.items():
            rows = see(durations[video_id], fps, window=16, stride=8, width=500)
            file[f"v_{video_id}/c3d_features"] = rows
    truth = annotate(tmp_path / "a.json", durations, fps=rates)
    result = tsatal(
        "import", tmp_path / "sub_activitynet_v1-3.c3d.hdf5", tmp_path / "o.h5",
        "--annotations", truth, "--format", "activitynet-h5",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    check_instants(tmp_path / "o.h5", ["a", "-b_"])


def test_rows_of_unknown_frame_rate_can_be_spread_over_the_video(
    tmp_path: Path, see: See, annotate: Annotate, tsatal: Run, check_instants: Check
) -> None:
    """Exact but for the few frames at the end of a video that no window of 16 reaches."""
    with h5py.File(tmp_path / "c3d.h5", "w") as file:
        file["v_a/c3d_features"] = see(60, 25, window=16, stride=8)
    truth = annotate(tmp_path / "a.json", {"a": 60.0})
    arguments = ("import", tmp_path / "c3d.h5", tmp_path / "o.h5", "--annotations", truth)
    refused = tsatal(*arguments, "--format", "activitynet-h5")
    assert refused.exit_code == 1 and "no frame rate: give --fps" in refused.output
    assert not (tmp_path / "o.h5").exists()
    assert tsatal(*arguments, "--format", "activitynet-h5", "--resized").exit_code == 0
    check_instants(tmp_path / "o.h5", ["a"], within_sec=5 / 25)  # 1500 frames, 4 unseen


@pytest.mark.parametrize("ending", ["npz", "pt"])
def test_npz_and_pt_with_several_arrays_need_a_key(
    tmp_path: Path,
    see: See,
    annotate: Annotate,
    tsatal: Run,
    save: Save,
    check_instants: Check,
    ending: str,
) -> None:
    """EPIC-Kitchens' SlowFast features: .npz, `feats`, 32 frames every 16 at 30 fps."""
    rows, other = see(90, 30, window=32, stride=16), np.zeros(3, np.float32)
    folder = tmp_path / "epic"
    folder.mkdir()
    if ending == "npz":
        np.savez(folder / "P01_01.npz", feats=rows, other=other)
    else:
        tensors = {"feats": torch.from_numpy(rows), "other": torch.from_numpy(other)}
        torch.save(tensors, folder / "P01_01.pt")
    truth = annotate(tmp_path / "a.json", {"P01_01": 90.0})
    arguments = (
        "import", folder, tmp_path / "o.h5", "--annotations", truth, "--format", "npy",
        "--fps", 30, "--stride-frames", 16, "--window-frames", 32,
    )  # fmt: skip
    unnamed = tsatal(*arguments)
    assert unnamed.exit_code == 1 and "with --key; it has: feats, other" in unnamed.output
    wrong = tsatal(*arguments, "--key", "feat")
    assert wrong.exit_code == 1 and "has no array 'feat'; it has: feats, other" in wrong.output
    assert tsatal(*arguments, "--key", "feats").exit_code == 0
    check_instants(tmp_path / "o.h5", ["P01_01"])


def test_missing_unlabelled_and_damaged_videos_are_accounted_for(
    i3d: Path, tmp_path: Path, annotate: Annotate, tsatal: Run, save: Save, check_instants: Check
) -> None:
    durations = {**DURATIONS, "gone": 9.0, "cut": 9.0, "text": 9.0, "pickled": 9.0, "nan": 34.0}
    truth = annotate(tmp_path / "a.json", durations, fps=30.0)
    damaged = np.load(i3d / "video_test_0000004.npy")
    damaged[3, 2] = np.nan
    save(i3d, {"extra": np.load(i3d / "video_test_0000004.npy"), "nan": damaged})
    (i3d / "cut.npy").write_bytes((i3d / "b.npy").read_bytes()[:-100])
    (i3d / "text.npy").write_text("not an array")
    np.save(i3d / "pickled.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    (i3d / "._b.npy").write_text("what a Mac leaves in archives")
    out = tmp_path / "o.h5"
    result = tsatal("import", i3d, out, "--annotations", truth, *I3D, "--fps", 30)
    assert result.exit_code == 1
    assert "3 videos matched, 1 missing, 1 unlabelled, 4 failed" in result.output
    assert "missing: gone" in result.output and "unlabelled: extra" in result.output
    for name in ("cut", "text", "pickled"):
        assert f"{name}.npy: cannot be read" in result.output
    assert "nan.npy: has values that are NaN" in result.output
    with FeatureFile(out) as file:
        assert file.video_ids == sorted([*DURATIONS, "extra"])
        duration = file.time_axis("extra").duration_sec
    assert duration == pytest.approx(1020 / 30)  # the last window ends with the video


def test_without_a_frame_rate_unlabelled_videos_are_named_and_left_out(
    i3d: Path, truth: Path, tmp_path: Path, tsatal: Run, save: Save
) -> None:
    save(i3d, {"extra": np.load(i3d / "b.npy")})
    out = tmp_path / "o.h5"
    result = tsatal("import", i3d, out, "--annotations", truth, *I3D)
    assert result.exit_code == 0 and "1 unlabelled" in result.output
    assert (
        "not imported, unlabelled and so without a frame rate or duration: extra" in result.output
    )
    with FeatureFile(out) as file:
        assert "extra" not in file.video_ids


def test_one_labelled_video_without_a_frame_rate_fails_by_name(
    i3d: Path, tmp_path: Path, annotate: Annotate, tsatal: Run, check_instants: Check
) -> None:
    rates = {v: r for v, r in RATES.items() if v != "b"}
    truth = annotate(tmp_path / "a.json", DURATIONS, fps=rates)
    result = tsatal("import", i3d, tmp_path / "o.h5", "--annotations", truth, *I3D)
    assert result.exit_code == 1 and "failed: b: no frame rate: give --fps" in result.output
    check_instants(tmp_path / "o.h5", list(rates))


@pytest.mark.parametrize(
    "options, message",
    [
        (("--window-frames", 16, "--fps", 30), "no stride: give --stride-frames"),
        (("--stride-frames", 4, "--fps", 30), "no window: give --window-frames"),
        (("--stride-frames", 4, "--window-frames", 16), "no frame rate: give --fps"),
    ],
)
def test_what_is_missing_for_all_is_one_error_that_says_what_to_do(
    i3d: Path,
    tmp_path: Path,
    annotate: Annotate,
    tsatal: Run,
    options: tuple[object, ...],
    message: str,
) -> None:
    truth = annotate(tmp_path / "a.json", DURATIONS)
    out = tmp_path / "o.h5"
    result = tsatal("import", i3d, out, "--annotations", truth, "--format", "npy", *options)
    assert result.exit_code == 1 and message in result.output and not out.exists()
    assert len(result.output.splitlines()) == 1


def test_a_wrong_frame_rate_is_noticed_by_the_durations(
    i3d: Path, truth: Path, tmp_path: Path, tsatal: Run
) -> None:
    """34 s at 30 fps, taken for 25 fps, are 40.8 s; the video of 25 fps is right."""
    wrong = tsatal("import", i3d, tmp_path / "a.h5", "--annotations", truth, *I3D, "--fps", 25)
    assert wrong.exit_code == 0
    assert "is --fps or --stride-frames wrong?" in wrong.output
    assert "video_test_0000004 (1.20)" in wrong.output and "0000006 (" not in wrong.output


def test_prefix_and_suffix_say_what_stands_around_the_id(
    i3d: Path, truth: Path, tmp_path: Path, tsatal: Run, save: Save, check_instants: Check
) -> None:
    for path in list(i3d.iterdir()):
        path.rename(i3d / f"feat-{path.stem}.mp4.npy")
    save(i3d, {"b": np.zeros((3, 6))})
    arguments = ("import", i3d, tmp_path / "o.h5", "--annotations", truth, *I3D)
    result = tsatal(*arguments, "--prefix", "feat-", "--suffix", ".mp4")
    assert result.exit_code == 0 and "1 arrays have other names" in result.output
    check_instants(tmp_path / "o.h5", list(DURATIONS))


def test_names_that_match_nothing_are_one_error(i3d: Path, tmp_path: Path, tsatal: Run) -> None:
    (tmp_path / "a.json").write_text(
        json.dumps({"database": {"other": {"subset": "test", "annotations": []}}})
    )
    out, truth = tmp_path / "o.h5", tmp_path / "a.json"
    result = tsatal("import", i3d, out, "--annotations", truth, *I3D, "--fps", 30)
    assert result.exit_code == 1 and "'b'" in result.output and "'other'" in result.output
    assert "--prefix" in result.output and not out.exists()


def test_two_arrays_of_one_id_are_named_and_the_first_is_kept(
    i3d: Path, truth: Path, tmp_path: Path, tsatal: Run, save: Save, check_instants: Check
) -> None:
    save(i3d / "more", {"v_b": np.load(i3d / "b.npy") + 1})
    result = tsatal("import", i3d, tmp_path / "o.h5", "--annotations", truth, *I3D)
    assert result.exit_code == 1 and "v_b.npy: has the id 'b' of" in result.output
    check_instants(tmp_path / "o.h5", list(DURATIONS))


def test_a_file_that_is_there_is_only_replaced_when_asked(
    i3d: Path, truth: Path, tmp_path: Path, tsatal: Run
) -> None:
    out = tmp_path / "o.h5"
    arguments = ("import", i3d, out, "--annotations", truth, *I3D)
    assert tsatal(*arguments).exit_code == 0
    before = out.read_bytes()
    again = tsatal(*arguments)
    assert again.exit_code == 1 and "--overwrite replaces it" in again.output
    assert tsatal(*arguments[:-1], 0.5, "--format", "npy", "--overwrite").exit_code == 0
    assert out.read_bytes() != before
    itself = tsatal("import", out, out, "--format", "npy", "--fps", 1, "--overwrite")
    assert itself.exit_code == 1 and "is what would be imported" in itself.output
    other = tsatal("import", out, tmp_path / "p.h5", "--format", "npy", "--fps", 1)
    assert other.exit_code == 1 and "there is nothing to import" in other.output


@pytest.mark.parametrize(
    "options, message",
    [
        (("--format", "bmn"), "holds no features (.csv would be taken)"),
        (("--format", "activitynet-h5"), "no HDF5 file"),
        (("--format", "npy", "--resized", "--fps", 3), "leave these out"),
        (("--format", "npy", "--flow", "nowhere"), "nowhere: no such file or folder"),
        (("--format", "npy", "--video-info", "nowhere.csv"), "nowhere.csv"),
    ],
)
def test_a_mistake_is_one_line(
    i3d: Path, tmp_path: Path, tsatal: Run, options: tuple[object, ...], message: str
) -> None:
    result = tsatal("import", i3d, tmp_path / "o.h5", *options)
    assert result.exit_code == 1 and message in result.output
    assert len(result.output.splitlines()) == 1 and not (tmp_path / "o.h5").exists()


def test_an_imported_file_can_be_trained_on(
    tmp_path: Path, see: See, annotate: Annotate, tsatal: Run, save: Save
) -> None:
    names = [f"video_{n}" for n in range(4)]
    folder = save(tmp_path / "npy", {n: see(40, 30, window=16, stride=4) for n in names})
    truth = annotate(tmp_path / "a.json", dict.fromkeys(names, 40.0), fps=30)
    database = json.loads(truth.read_text())
    database["database"]["video_3"]["subset"] = "validation"
    truth.write_text(json.dumps(database))
    assert tsatal("import", folder, tmp_path / "o.h5", "--annotations", truth, *I3D).exit_code == 0
    small = ("model.width=16", "optim.epochs=1", "data.window_steps=20")
    sets = [part for setting in small for part in ("--set", setting)]
    run = tmp_path / "run"
    trained = tsatal(
        "-q", "train", "--features", tmp_path / "o.h5", "--config", "paper", "--out", run, *sets
    )
    assert trained.exit_code == 0, trained.output
    assert (run / "last.pt").exists()
