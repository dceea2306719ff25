"""Videos of strange names: each is taken under its name or refused, and nothing lands elsewhere."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import h5py
import numpy as np
import pytest

from tsatal.commands.demo import write_demo_videos
from tsatal.formats.feature_writer import write_feature_file
from tsatal.formats.features import FeatureFile, VideoFeatures

from .commands import SMALL, TINY
from .conftest import LONG, SEED
from .warm import Warm

# Stems of files: "/" and NUL cannot be in one.
STEMS = (
    "a b", " a", "a ", "naïve café", "日本語", "e\u0301", "\u202egnp", "a:b", "C:\\x", "a..b",
    "-rf", "--help", "a*?[b]", "$(touch x)", "`x`", "'\"", "%s%d", "%03d", "a\nb", "a\tb",
    "\x1b[31m", "#a", "x" * 251, "é" * 125, "A", "file:a", "http:a", "concat:a|b",
    "😀", "a.b.c", "nul", "_",
)  # fmt: skip
IDS = (
    *STEMS,
    "../x",
    "a/b",
    "/etc/x",
    "a\\b",
    ".",
    "..",
    "",
    ".hidden",
    "x" * 3000,
    "../" * 40 + "x",
)


def few(names: Sequence[str]) -> list[str]:
    """Return all of the names in the long form, some of them in the short one."""
    return list(names) if LONG else random.Random(SEED).sample(names, 8)


def everything(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def test_videos_of_strange_names_are_extracted_and_trained_on(warm: Warm, tmp_path: Path) -> None:
    folder = tmp_path / "videos"
    [source] = write_demo_videos(folder, training=1, validation=0, duration_sec=1.0, seed=0)
    source = source.rename(tmp_path / "source")
    database = {}
    stems = few(STEMS)
    for n, stem in enumerate(stems):
        os.link(source, folder / f"{stem}.mp4") if n else shutil.copy(
            source, folder / f"{stem}.mp4"
        )
        actions = [{"label": "é\n$x_1", "segment": [0.5, 2]}]
        subset = "training" if n % 2 else "validation"
        database[stem] = {"subset": subset, "duration": 3.0, "annotations": actions}
    (folder / "annotations.json").write_text(json.dumps({"database": database}))
    ended = warm.run("extract", folder, "out.h5", *TINY, cwd=tmp_path)
    ended.check_clean(0)
    with FeatureFile(tmp_path / "out.h5") as file:
        assert set(file.video_ids) == set(stems)
    train = ("train", "--features", "out.h5", "--out", "run", *SMALL, "--set", "optim.epochs=1")
    warm.run(*train, "--device", "cpu", cwd=tmp_path).check_clean(0)
    warm.run("evaluate", "run", "--timelines", 3, "--device", "cpu", cwd=tmp_path).check_clean(0)
    assert {p.name for p in tmp_path.iterdir()} == {"source", "videos", "out.h5", "run"}


@pytest.mark.parametrize("name", ["..mp4", "a/.mp4", b"\xff.mp4", b"\xff/a.mp4"])
def test_what_cannot_be_an_id_is_refused_and_stops_nothing(
    name: str | bytes, videos: Path, warm: Warm, tmp_path: Path
) -> None:
    source = sorted(videos.glob("*.mp4"))[0]
    path = Path(os.fsdecode(name))
    (tmp_path / "videos" / path).parent.mkdir(parents=True)
    shutil.copy(source, tmp_path / "videos" / path)
    shutil.copy(source, tmp_path / "videos" / "good.mp4")
    warm.run("extract", "videos", "out.h5", *TINY, cwd=tmp_path).check_clean(0, 1)
    given = warm.run("extract", tmp_path / "videos" / path, "other.h5", *TINY, cwd=tmp_path)
    given.check_clean(0, 1)
    with FeatureFile(tmp_path / "out.h5") as file:
        assert "good" in file.video_ids and set(file.video_ids) <= {"good", ".mp4"}


def test_two_files_with_one_id_and_two_that_differ_in_case(
    videos: Path, warm: Warm, tmp_path: Path
) -> None:
    source = sorted(videos.glob("*.mp4"))[0]
    for name in ("v.mp4", "v.MP4", "V.mp4", "sub/v.mp4"):
        (tmp_path / "videos" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, tmp_path / "videos" / name)
    ended = warm.run("extract", "videos", "out.h5", *TINY, cwd=tmp_path)
    ended.check_clean(1)
    assert ended.output.count("has the id 'v'") >= 2
    assert len(json.loads((tmp_path / "out.h5.failed.json").read_text())) == 2
    with FeatureFile(tmp_path / "out.h5") as file:
        assert file.video_ids == ["V", "v"]


def test_ids_in_annotations_and_predictions_write_nothing_elsewhere(
    warm: Warm, tmp_path: Path
) -> None:
    work = tmp_path / "deep" / "work"
    work.mkdir(parents=True)
    actions = [{"label": "../l", "segment": [0, 4]}]
    ids = {*few(IDS), "../x", "x" * 3000, "", "a/b"}
    truth = {k: {"subset": "../s", "duration": 9.0, "annotations": actions} for k in ids}
    found = {k: [{"label": "../l", "segment": [0, 3], "score": 0.5}] for k in ids}
    (work / "a.json").write_text(json.dumps({"database": truth}))
    (work / "p.json").write_text(json.dumps({"results": found}))
    before = everything(tmp_path)
    argv = ("--predictions", "p.json", "--annotations", "a.json", "--out", "out")
    ended = warm.run("evaluate", *argv, "--subset", "../s", "--timelines", 999, cwd=work)
    ended.check_clean(0)
    made = everything(tmp_path) - before
    assert all((work / "out") in [p, *p.parents] for p in made)
    assert len(list((work / "out" / "timelines").iterdir())) == len(ids)


def strange_feature_file(path: Path) -> list[str]:
    """Write a feature file whose ids no writer of ours would take, and return them."""
    write_feature_file(path, [], provenance={})
    ids = ["..", "a\\b", ".hidden", "x" * 3000, "-rf", "a\nb", "日本語", "$(touch x)"]
    with h5py.File(path, "a") as file:
        for video_id in ids:
            group = file["videos"].create_group(video_id)
            group["rgb"] = np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32)
            group.attrs.update(start_sec=0.0, step_sec=0.5, duration_sec=20.0)
        actions = [{"label": "a", "segment": [2, 9]}]
        database = {
            k: {"subset": ("training", "test")[n % 2], "annotations": actions}
            for n, k in enumerate(ids)
        }
        file["annotations"] = json.dumps({"database": database})
    return ids


def test_ids_in_a_feature_file_write_nothing_elsewhere(warm: Warm, tmp_path: Path) -> None:
    work = tmp_path / "deep" / "work"
    work.mkdir(parents=True)
    strange_feature_file(work / "f.h5")
    before = everything(tmp_path)
    train = ("train", "--features", "f.h5", "--out", "run", *SMALL, "--set", "optim.epochs=1")
    for argv in (
        (*train, "--device", "cpu"),
        ("evaluate", "run", "--timelines", 9, "--device", "cpu"),
        ("check", "f.h5"),
        ("info", "f.h5"),
        ("export", "f.h5", "run/exported"),
        ("detect", "f.h5", "--run", "run", "--out", "run/found", "--device", "cpu"),
    ):
        warm.run(*argv, cwd=work).check_clean(0, 1)
    made = everything(tmp_path) - before
    assert made and all((work / "run") in [p, *p.parents] for p in made)


@pytest.mark.parametrize("video_id", ["a/b", "../x", ".", "", "/x", "\ud800", "a\0b"])
def test_what_hdf5_would_take_for_a_path_is_refused(video_id: str, tmp_path: Path) -> None:
    rows = {"rgb": np.zeros((3, 4), np.float32)}
    with pytest.raises(ValueError, match="the video id"):
        write_feature_file(
            tmp_path / "f.h5", [VideoFeatures(video_id, rows, 0.0, 0.5, 2.0)], provenance={}
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("out", ["a b.h5", "é.h5", "-x.h5", "[1].h5", "x" * 230 + ".h5", "y" * 252])
def test_outputs_of_strange_names_are_written_or_refused(
    out: str, videos: Path, warm: Warm, tmp_path: Path
) -> None:
    video = sorted(videos.glob("*.mp4"))[0]
    ended = warm.run("extract", *TINY, "--", video, out, cwd=tmp_path)
    ended.check_clean(0, 1)
    left = [p.name for p in tmp_path.iterdir()]
    assert left == ([out] if ended.code == 0 else []), ended.output


def test_the_same_id_twice_is_refused(write_toy: Callable[..., Path], tmp_path: Path) -> None:
    with FeatureFile(write_toy(tmp_path / "f.h5")) as file:
        video = file.video(file.video_ids[0])
    with pytest.raises(ValueError, match="two videos have the id"):
        write_feature_file(tmp_path / "g.h5", [video, video], provenance={})
