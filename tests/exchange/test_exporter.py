"""ActionFormer's layout: what is written is read back, here and by ActionFormer's own rule."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from click.testing import Result

from tsatal.formats.feature_writer import write_feature_file
from tsatal.formats.features import FeatureFile, VideoFeatures

Run = Callable[..., Result]


def write(
    path: Path, axes: dict[str, tuple[float, float]], *, dtype: str = "float32", **options: Any
) -> Path:
    """Write a feature file of two streams; an axis is (start_sec, step_sec)."""
    rng = np.random.default_rng(0)
    videos = []
    for number, (video_id, (start, step)) in enumerate(axes.items()):
        rows = rng.normal(size=(40 + number, 5)).astype(dtype)
        streams = {"rgb": rows[:, :3], "flow": rows[:, 3:]}
        videos.append(VideoFeatures(video_id, streams, start, step, len(rows) * step))
    options.setdefault("provenance", {})
    write_feature_file(path, videos, **options)
    return path


ANNOTATIONS = json.dumps(
    {
        "database": {
            "a": {"subset": "training", "duration": 8.0, "annotations": [
                {"label": "run", "segment": [1, 2]}, {"label": "Ambiguous", "segment": [3, 4]},
                {"label": "jump", "segment": [4, 6]}]},
            "gone": {"subset": "training", "annotations": [{"label": "fly", "segment": [1, 2]}]},
        }
    }
)  # fmt: skip


def actionformers_instants(out: Path, video_id: str, rows: int) -> np.ndarray:
    """Return what ActionFormer takes the rows' instants to be, from what it reads."""
    dataset = yaml.safe_load((out / "dataset.yaml").read_text())["dataset"]
    entry = json.loads(Path(dataset["json_file"]).read_text())["database"][video_id]
    grid = np.arange(rows)
    frames = grid * dataset["feat_stride"] + 0.5 * dataset["num_frames"]
    instants: np.ndarray = frames / entry["fps"]
    return instants


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_an_export_comes_back_as_it_was(tmp_path: Path, tsatal: Run, dtype: str) -> None:
    axes = {"a": (0.05, 0.2), "b (1)": (7.5 / 29.97, 4 / 29.97), "c": (0.0, 1 / 3)}
    source = write(tmp_path / "f.h5", axes, dtype=dtype, annotations_text=ANNOTATIONS)
    out = tmp_path / "sub" / "out"
    assert tsatal("export", source, out).exit_code == 0
    back = tmp_path / "back.h5"
    result = tsatal(
        "import", out, back, "--annotations", out / "annotations.json",
        "--format", "actionformer", "--dtype", dtype, "--no-transpose",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "warning" not in result.output
    with FeatureFile(source) as old, FeatureFile(back) as new:
        assert new.video_ids == old.video_ids and new.streams() == old.streams()
        for video_id in old.video_ids:
            assert new.time_axis(video_id) == old.time_axis(video_id)
            was, now = old.video(video_id).streams, new.video(video_id).streams
            for name in ("rgb", "flow"):
                assert now[name].dtype == was[name].dtype
                np.testing.assert_array_equal(now[name], was[name])


@pytest.mark.parametrize(
    "provenance, axes, stride, frames",
    [
        ({"fps": 10.0}, {"a": (0.05, 0.2)}, 2, 1),  # our own extractor's
        ({"fps": 30}, {"a": (7.5 / 30, 4 / 30)}, 4, 15),
        ({"fps": "per video"}, {"a": (0.5, 1.0), "b": (1.25, 2.5)}, 1, 1),  # resized
    ],
)
def test_actionformer_takes_rows_for_the_same_instants(
    tmp_path: Path,
    tsatal: Run,
    provenance: dict[str, Any],
    axes: dict[str, tuple[float, float]],
    stride: int,
    frames: int,
) -> None:
    source, out = write(tmp_path / "f.h5", axes, provenance=provenance), tmp_path / "out"
    result = tsatal("export", source, out)
    assert result.exit_code == 0 and "warning" not in result.output
    dataset = yaml.safe_load((out / "dataset.yaml").read_text())["dataset"]
    assert (dataset["feat_stride"], dataset["num_frames"]) == (stride, frames)
    assert isinstance(dataset["feat_stride"], int) and isinstance(dataset["num_frames"], int)
    for video_id, (start, step) in axes.items():
        theirs = actionformers_instants(out, video_id, 40)
        np.testing.assert_allclose(theirs, start + step * np.arange(40), atol=1e-9)


def test_videos_that_one_num_frames_does_not_suit_are_named(tmp_path: Path, tsatal: Run) -> None:
    axes = {"a": (0.1, 0.2), "b": (0.1, 0.2), "c": (0.4, 0.2)}
    result = tsatal("export", write(tmp_path / "f.h5", axes), tmp_path / "out")
    assert result.exit_code == 0 and "takes these off by: c (0.30 s)" in result.output
    np.testing.assert_allclose(actionformers_instants(tmp_path / "out", "c", 1), [0.1])


def test_the_json_is_what_actionformer_needs(tmp_path: Path, tsatal: Run) -> None:
    axes = {"a": (0.05, 0.2), "x": (0.05, 0.2)}
    source = write(tmp_path / "f.h5", axes, annotations_text=ANNOTATIONS)
    result = tsatal("export", source, tmp_path / "out")
    assert "1 ambiguous stretches" in result.output and "unlabelled: x" in result.output
    database = json.loads((tmp_path / "out" / "annotations.json").read_text())["database"]
    assert list(database) == ["a", "x"]
    assert database["a"]["annotations"] == [
        {"label": "run", "segment": [1.0, 2.0], "label_id": 1},
        {"label": "jump", "segment": [4.0, 6.0], "label_id": 0},
    ]
    assert database["a"]["subset"] == "training" and database["x"]["subset"] == "unlabelled"
    dataset = yaml.safe_load((tmp_path / "out" / "dataset.yaml").read_text())["dataset"]
    assert dataset["num_classes"] == 2 and dataset["input_dim"] == 5
    rows = np.load(Path(dataset["feat_folder"]) / f"a{dataset['file_ext']}")
    assert rows.shape == (40, 5) and dataset["file_prefix"] is None


def test_other_annotations_can_be_given(tmp_path: Path, tsatal: Run) -> None:
    source = write(tmp_path / "f.h5", {"a": (0.05, 0.2)})
    (tmp_path / "a.json").write_text(ANNOTATIONS)
    tsatal("export", source, tmp_path / "out", "--annotations", tmp_path / "a.json")
    written = json.loads((tmp_path / "out" / "annotations.json").read_text())
    assert len(written["database"]["a"]["annotations"]) == 2


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path, tsatal: Run) -> None:
    source = write(tmp_path / "f.h5", {"a": (0.05, 0.2)})
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("x")
    result = tsatal("export", source, tmp_path / "out")
    assert result.exit_code == 1 and "not an empty folder" in result.output
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_what_a_killed_export_has_left_is_replaced(tmp_path: Path, tsatal: Run) -> None:
    source = write(tmp_path / "f.h5", {"a": (0.05, 0.2)})
    out = tmp_path / "out"
    (out / ".filling.4194305.tmp").mkdir(parents=True)  # no process has this number
    (out / "features").mkdir()
    (out / "features" / "other.npy").touch()
    assert tsatal("export", source, out).exit_code == 0
    left = sorted(str(p.relative_to(out)) for p in out.rglob("*"))
    assert left == ["annotations.json", "dataset.yaml", "features", "features/a.npy"]


def test_an_id_whose_file_is_that_of_another_is_left_out_by_name(
    tmp_path: Path, tsatal: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the filesystem takes `A.npy` for `a.npy`."""
    source = write(tmp_path / "f.h5", dict.fromkeys(["A", "a", "b"], (0.05, 0.2)))
    exists = Path.exists

    def ignoring_case(path: Path) -> bool:
        return exists(path) or exists(path.with_name(path.name.upper().replace("NPY", "npy")))

    monkeypatch.setattr(Path, "exists", ignoring_case)
    result = tsatal("export", source, tmp_path / "out")
    assert result.exit_code == 1 and "failed: a: its file would be that of" in result.output
    written = json.loads((tmp_path / "out" / "annotations.json").read_text())
    assert set(written["database"]) == {"A", "b"}


def test_ids_that_are_no_file_names_and_bad_rows_are_left_out_by_name(
    tmp_path: Path, tsatal: Run
) -> None:
    ids = ["ok", "..\\up", ".hidden", "long" * 60, "..", "bad"]
    source = write(tmp_path / "f.h5", dict.fromkeys(ids, (0.05, 0.2)))
    with FeatureFile(source) as file:
        videos = [file.video(v) for v in file.video_ids]
    next(v for v in videos if v.video_id == "bad").streams["rgb"][3] = np.nan
    write_feature_file(source, videos, provenance={})
    result = tsatal("export", source, tmp_path / "out")
    assert result.exit_code == 1 and "1 video exported" in result.output
    assert (
        result.output.count("cannot be a file's name") == 4 and "bad: has features" in result.output
    )
    assert [p.name for p in (tmp_path / "out" / "features").iterdir()] == ["ok.npy"]
    assert list(tmp_path.glob("*.npy")) == []
