"""A run's folder: names, the newest one, and damage that is named."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tsatal.config import Config, load_config
from tsatal.errors import InputError
from tsatal.formats.features import TimeAxis
from tsatal.formats.subsets import Subsets
from tsatal.head import run as runs
from tsatal.head.feature_stats import FeatureStats
from tsatal.head.windows import LabelledVideo


def description() -> runs.RunData:
    return runs.RunData(
        features="/data/f.h5",
        streams=("rgb", "flow"),
        labels=("a", "b"),
        subsets=Subsets("training", "validation", "test"),
        width=12,
        reach_steps=3.5,
        between_videos=0.75,
        extraction={"extractor": "x"},
    )


def test_description_round_trip(tmp_path: Path) -> None:
    config = Config()
    runs.save_run_description(tmp_path / "r", config, description())
    assert runs.load_run_description(tmp_path / "r") == (config, description())


@pytest.mark.parametrize(
    ("examples", "dropped", "depth"),
    [(1, 0.5, 1), (30, 0.5, 1), (45, 0.25, 1), (60, 0.0, 2), (500, 0.0, 2)],
)
def test_the_more_examples_a_class_has_the_less_is_dropped_and_the_deeper_it_embeds(
    examples: int, dropped: float, depth: int
) -> None:
    axis = TimeAxis(1000, 0.0, 1.0, 1000.0)
    video = LabelledVideo("v", axis, np.zeros((examples, 2)), np.zeros(examples, dtype=int))
    stats = FeatureStats(1.0, np.zeros(1), np.ones(1), False, 0.0, 0.0)
    videos = runs.TrainingVideos([video, video], stats)  # of two classes
    settled = runs.settled(load_config("strong"), description(), videos)
    assert settled.model.channel_dropout == dropped
    changes = [f"model.channel_dropout={dropped}", f"model.embed_depth={depth}"]
    assert load_config("strong", [*changes, "model.standardise=false"]) == settled
    own = ["model.channel_dropout=0.1", "model.embed_depth=3", "model.standardise=true"]
    chosen = load_config("strong", own)
    assert runs.settled(chosen, description(), videos) is chosen


@pytest.mark.parametrize("better", [False, True])
def test_channels_are_standardised_where_that_tells_more(
    better: bool, caplog: pytest.LogCaptureFixture
) -> None:
    video = LabelledVideo("v", TimeAxis(9, 0.0, 1.0, 9.0), np.zeros((1, 2)), np.zeros(1, dtype=int))
    stats = FeatureStats(1.0, np.zeros(1), np.ones(1), better, 0.0, 0.0)
    with caplog.at_level("INFO"):
        settled = runs.settled(
            load_config("strong"), description(), runs.TrainingVideos([video], stats)
        )
    assert settled.model.standardise is better
    assert ("better standardised" in caplog.text) is better


def test_new_runs_never_share_a_folder(tmp_path: Path) -> None:
    first = runs.new_run_dir("configs/mine.yaml", root=tmp_path)
    first.mkdir()
    second = runs.new_run_dir("configs/mine.yaml", root=tmp_path)
    assert first != second and first.name.startswith("mine-")


def test_newest_is_by_its_checkpoint(tmp_path: Path) -> None:
    for age, name in ((100, "b"), (300, "c"), (200, "a")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "last.pt").touch()
        os.utime(tmp_path / name / "last.pt", (10_000 - age, 10_000 - age))
    (tmp_path / "unfinished").mkdir()
    assert runs.newest_run(root=tmp_path).name == "b"


def test_no_run_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="tsatal train --features"):
        runs.newest_run(root=tmp_path / "runs")


def test_other_folders_and_damaged_runs_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not the folder of a run"):
        runs.load_run_description(tmp_path)
    runs.save_run_description(tmp_path, Config(), description())
    (tmp_path / "data.json").write_text('{"features": 3}')
    with pytest.raises(InputError, match="data.json: damaged"):
        runs.load_run_description(tmp_path)


@pytest.mark.parametrize(
    "key, value",
    [
        ("width", "x"), ("width", 0), ("width", 10**9), ("labels", []), ("labels", [1]),
        ("streams", []), ("reach_steps", 0), ("reach_steps", None), ("subsets", {"train": "a"}),
        ("extraction", 3), ("features", "a\0b"), ("features", ""), ("annotations", 3), ("new", 1),
    ],
)  # fmt: skip
def test_a_description_of_other_types_is_damaged(tmp_path: Path, key: str, value: object) -> None:
    runs.save_run_description(tmp_path, Config(), description())
    raw = json.loads((tmp_path / "data.json").read_text())
    (tmp_path / "data.json").write_text(json.dumps({**raw, key: value}))
    with pytest.raises(InputError, match=f"data.json: damaged \\({key}"):
        runs.load_run_description(tmp_path)


def test_a_description_is_there_only_with_its_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed in between, the settings of one run must not stand beside the data of another."""
    runs.save_run_description(tmp_path, Config(), description())
    written = []

    def stop(path: Path, text: str) -> None:
        written.append((path.name, sorted(p.name for p in tmp_path.iterdir())))

    monkeypatch.setattr(runs, "write_text", stop)
    runs.save_run_description(tmp_path, Config(), description())
    assert written == [("config.yaml", ["config.yaml"]), ("data.json", ["config.yaml"])]


@pytest.mark.parametrize(
    "between, told, own",
    [(0.0, 0.0, 0), (0.09, 0.0, 0), (0.1, 0.0, 16), (0.9, 0.49, 16), (0.9, 0.5, 0), (0.05, 1.0, 0)],
)
def test_channels_are_normalised_within_videos_where_these_differ_in_more_than_class(
    between: float, told: float, own: int
) -> None:
    config = load_config("strong", ["model.width=32", "model.instance_norm=0.5"])
    data = replace(description(), between_videos=between, classes_told=told)
    head = runs.build_head(config, data)
    assert head.embed.norm.num_features == 32 - own
    assert (head.embed_own is None) == (own == 0)
    assert head.embed_own is None or len(head.embed_own.weight) == own


def test_a_run_of_before_the_variance_was_measured_is_still_read(tmp_path: Path) -> None:
    runs.save_run_description(tmp_path, Config(), description())
    said = json.loads((tmp_path / "data.json").read_text())
    del said["between_videos"], said["classes_told"]
    (tmp_path / "data.json").write_text(json.dumps(said))
    _, data = runs.load_run_description(tmp_path)
    assert data.between_videos == data.classes_told == 0
