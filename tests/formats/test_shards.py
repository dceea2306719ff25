"""Feature files that are read as one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from tsatal import pipeline
from tsatal.cli import main
from tsatal.config import load_config
from tsatal.errors import InputError
from tsatal.formats.feature_format import DamagedFile
from tsatal.formats.feature_writer import write_feature_file
from tsatal.formats.features import FeatureFile, VideoFeatures, looks_like_features

MADE: dict[str, Any] = {"extractor": "toy", "fps": 10.0, "made_with": {"tsatal": "1"}}


def video(name: str, value: float = 1.0) -> VideoFeatures:
    scores = np.full((4, 2), value, np.float16)
    return VideoFeatures(name, {"rgb": np.full((4, 3), value)}, 0.1, 0.2, 0.8, scores=scores)


def write(path: Path, *names: str, text: str | None = None, **changes: Any) -> Path:
    videos = [video(name, float(n)) for n, name in enumerate(names)]
    made = MADE | changes
    write_feature_file(path, videos, provenance=made, annotations_text=text, classes=("a", "b"))
    return path


def annotated(*names: str, start: float = 0.0) -> str:
    entry = {"subset": "training", "duration": 0.8, "annotations": []}
    entry["annotations"] = [{"label": "a", "segment": [start, start + 0.2]}]
    return json.dumps({"database": {name: entry for name in names}})


def split(whole: Path, folder: Path) -> Path:
    """Write a feature file's videos into three, each with all annotations."""
    folder.mkdir()
    with FeatureFile(whole) as file:
        for n in range(3):
            write_feature_file(
                folder / f"shard{n}.h5",
                [file.video(v) for v in file.video_ids[n::3]],
                provenance=file.provenance,
                annotations_text=file.annotations_text(),
            )
    return folder


def test_a_folder_of_shards_is_read_as_the_whole_file(
    tmp_path: Path, write_toy: Callable[..., Path]
) -> None:
    whole, folder = write_toy(tmp_path / "whole.h5", flow=True), tmp_path / "shards"
    split(whole, folder)
    (folder / ".hidden.h5").write_bytes(b"no HDF5")
    (folder / "notes.txt").write_text("no feature file")
    with FeatureFile(whole) as one, FeatureFile(folder) as several:
        assert several.video_ids == one.video_ids and several.provenance == one.provenance
        assert several.streams() == one.streams()
        assert several.width(["rgb", "flow"]) == one.width(["rgb", "flow"])
        assert several.annotations_text() == one.annotations_text()
        assert [p.name for p in several.parts] == ["shard0.h5", "shard1.h5", "shard2.h5"]
        for name in one.video_ids:
            assert several.time_axis(name) == one.time_axis(name)
            assert several.details(name) == one.details(name)
            np.testing.assert_array_equal(
                several.rows(name, ["flow", "rgb"], 3, 9), one.rows(name, ["flow", "rgb"], 3, 9)
            )
            assert several.video(name).axis == one.video(name).axis


def test_a_list_names_shards_beside_it(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    write(tmp_path / "deep" / "one.h5", "a", "b")
    write(tmp_path / "two.h5", "c")
    listed = tmp_path / "all.txt"
    listed.write_text(f"# two machines\ndeep/one.h5\n\n{tmp_path / 'two.h5'}\n")
    with FeatureFile(listed) as file:
        assert file.video_ids == ["a", "b", "c"]
        scores = file.class_scores("b")
        assert scores is not None and scores.classes == ("a", "b") and scores.values[0, 0] == 1
        with pytest.raises(InputError, match=r"all\.txt: has no video 'd'"):
            file.rows("d", ["rgb"])


def test_a_list_may_be_of_one(tmp_path: Path) -> None:
    write(tmp_path / "one.h5", "a")
    (tmp_path / "all.txt").write_text("one.h5")
    with FeatureFile(tmp_path / "all.txt") as file:
        assert file.video_ids == ["a"] and file.rows("a", ["rgb"]).shape == (4, 3)


def test_shards_made_otherwise_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "one.h5", "a")
    write(tmp_path / "two.h5", "b", made_with={"tsatal": "2"})
    with FeatureFile(tmp_path) as file:  # another version gives the same rows
        assert file.video_ids == ["a", "b"]
    write(tmp_path / "three.h5", "c", fps=25.0)
    with pytest.raises(
        InputError,
        match=r"three\.h5: is read as one with .*one\.h5, .* \(fps is 25\.0, there 10\.0\)",
    ):
        FeatureFile(tmp_path)


def test_a_video_in_two_shards_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "one.h5", "a", "caf\u00e9")
    write(tmp_path / "two.h5", "cafe\u0301")  # the same name, otherwise spelt
    with pytest.raises(InputError, match=r"two\.h5: has the video 'café', as .*one\.h5 has"):
        FeatureFile(tmp_path)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("", "names no feature file"),
        ("# nothing\n\n", "names no feature file"),
        ("one.h5\none.h5", "twice"),
        ("one.h5\ngone.h5", "gone.h5: no such file"),
        ("one.h5\nall.txt", "not an HDF5 file"),
        ("one.h5\nsub", "a folder, where a feature file is needed"),
    ],
)
def test_a_wrong_list_is_told(tmp_path: Path, lines: str, message: str) -> None:
    write(tmp_path / "one.h5", "a")
    (tmp_path / "sub").mkdir()
    (tmp_path / "all.txt").write_text(lines)
    with pytest.raises(InputError, match=message):
        FeatureFile(tmp_path / "all.txt")


def test_a_folder_without_shards_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"a folder without feature files, which end in \.h5"):
        FeatureFile(tmp_path)


def test_damage_names_the_shard(tmp_path: Path) -> None:
    write(tmp_path / "one.h5", "a")
    two = write(tmp_path / "two.h5", "b")
    size = two.stat().st_size
    content = two.read_bytes()
    place = content.index(b"start_sec")
    two.write_bytes(content[:place] + b"\xff" * 9 + content[place + 9 :])
    assert two.stat().st_size == size
    with FeatureFile(tmp_path) as file, pytest.raises(InputError, match=r"two\.h5: b: "):
        file.time_axis("b")
    two.write_bytes(content[: size // 2])
    with pytest.raises(DamagedFile, match=r"two\.h5: not an HDF5 file, or cut short"):
        FeatureFile(tmp_path)


def test_annotations_of_shards_are_joined(tmp_path: Path) -> None:
    write(tmp_path / "one.h5", "a", text=annotated("a"))
    write(tmp_path / "two.h5", "b")
    write(tmp_path / "three.h5", "c", text=annotated("a", "c"))
    with FeatureFile(tmp_path) as file:
        truth = file.annotations()
        assert truth is not None and set(truth.videos) == {"a", "c"}
    write(tmp_path / "three.h5", "c", text=annotated("a", "c", start=0.1))
    with FeatureFile(tmp_path) as file, pytest.raises(InputError, match=r"annotates 'a' otherwise"):
        file.annotations()
    write(tmp_path / "three.h5", "c", text='{"database": 3}')
    with FeatureFile(tmp_path) as file, pytest.raises(InputError, match="cannot be read"):
        file.annotations()


def test_every_file_is_closed(tmp_path: Path) -> None:
    for name in "ab":
        write(tmp_path / f"{name}.h5", name)
    with FeatureFile(tmp_path) as file:
        opened = list(file._files.values())
        assert all(opened)
    assert not any(opened)  # an open h5py file is true


def tsatal(*words: object) -> Result:
    return CliRunner().invoke(main, [str(w) for w in words])


def test_commands_take_shards_as_they_take_one_file(
    tmp_path: Path, write_toy: Callable[..., Path]
) -> None:
    whole = write_toy(tmp_path / "whole.h5")
    folder = split(whole, tmp_path / "shards")
    settings = ["optim.epochs=1", "model.width=16", "data.window_steps=30", "data.least_steps=1"]
    runs = [
        pipeline.train(features, load_config("strong", settings), run=tmp_path / name, device="cpu")
        for name, features in (("one", whole), ("several", folder))
    ]
    one, several = (pipeline.evaluate(run, device="cpu").evaluation.average_map for run in runs)
    assert one == several
    assert json.loads((tmp_path / "several" / "data.json").read_text())["features"] == str(folder)
    for words in (
        ("check", folder),
        ("info", folder),
        ("evaluate", tmp_path / "one", "--features", folder),
        ("export", folder, tmp_path / "exported"),
        ("info", tmp_path / "several"),
    ):
        result = tsatal(*words)
        assert result.exit_code == 0, (words, result.output)
    said = tsatal("info", folder).output
    assert "feature files, read as one" in said and "6" in said


def test_nothing_is_written_where_a_list_would_be_read(tmp_path: Path) -> None:
    (tmp_path / "v.mp4").write_bytes(b"")
    result = tsatal("extract", tmp_path / "v.mp4", tmp_path / "out.txt")
    assert result.exit_code == 1 and "name one that ends in .h5" in result.output
    assert not (tmp_path / "out.txt").exists()


@pytest.mark.parametrize(
    ("files", "is_one"),
    [
        (["a.h5", "b.hdf5"], True),
        (["a.h5", "a.h5.failed.json", ".hidden"], True),
        (["a.h5", "annotations.json"], False),  # labels, with features beside
        (["a.h5.failed.json"], False),
        ([], False),
    ],
)
def test_a_folder_of_nothing_but_features_is_one(
    tmp_path: Path, files: list[str], is_one: bool
) -> None:
    for name in files:
        (tmp_path / name).touch()
    assert looks_like_features(tmp_path) == is_one


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("# machines\n\na/one.h5\n", True),
        ("0.5\t1.5\tjump\n", False),  # labels of Audacity
        ("", False),
    ],
)
def test_a_text_of_labels_is_no_list_of_features(tmp_path: Path, text: str, is_one: bool) -> None:
    (tmp_path / "x.txt").write_text(text)
    assert looks_like_features(tmp_path / "x.txt") == is_one
    assert not looks_like_features(tmp_path / "gone.txt")
