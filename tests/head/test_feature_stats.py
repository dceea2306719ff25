"""The size of features, what videos differ in as a whole, and whether it tells their classes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tsatal.formats.feature_writer import write_feature_file
from tsatal.formats.features import FeatureFile, VideoFeatures
from tsatal.head import feature_stats
from tsatal.head.feature_stats import FeatureStats, classes_told, measure_features, time_shares
from tsatal.head.windows import LabelledVideo

Rows = dict[str, np.ndarray]


def labelled(file: FeatureFile, video_id: str, labels: list[int]) -> LabelledVideo:
    segments = np.tile([[1.0, 3.0]], (len(labels), 1))
    return LabelledVideo(video_id, file.time_axis(video_id), segments, np.array(labels, np.int64))


def measured(path: Path, rows: Rows, labels: list[list[int]]) -> FeatureStats:
    videos = [VideoFeatures(v, {"rgb": r}, 0.1, 0.2, len(r) * 0.2) for v, r in rows.items()]
    write_feature_file(path, videos, provenance={})
    with FeatureFile(path) as file:
        known = [labelled(file, v, found) for v, found in zip(rows, labels, strict=True)]
        return measure_features(file, known, ["rgb"])


def test_scale_is_the_root_mean_square_of_videos_with_actions(tmp_path: Path) -> None:
    rows = {"a": np.arange(300.0)[:, None], "b": np.full((5, 1), 1000.0), "c": np.zeros((5, 1))}
    with_a_zero, zeros = [[0], [], [1]], [[], [], [1]]
    square = np.mean(np.arange(300.0) ** 2)
    stats = measured(tmp_path / "f.h5", rows, with_a_zero)
    assert stats.scale == pytest.approx(np.sqrt(square / 2))  # a video counts as much as another
    assert measured(tmp_path / "z.h5", rows, zeros).scale == 1


def test_every_channel_has_its_mean_and_its_deviation(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    units, offset = np.array([1e-3, 1.0, 1e3]), np.array([5.0, -2.0, 0.0])
    stats = measured(
        tmp_path / "f.h5", {"a": (rng.normal(0, 1, (2000, 3)) + offset) * units}, [[0]]
    )
    np.testing.assert_allclose(stats.mean / units, offset, atol=0.1)
    np.testing.assert_allclose(stats.deviation, units, rtol=0.05)
    assert not stats.standardise  # they tell nothing


@pytest.mark.parametrize("offset, share", [(0.0, 0.0), (1.0, 0.5), (100.0, 0.9999)])
def test_variance_between_videos_is_that_of_their_means(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offset: float, share: float
) -> None:
    rng = np.random.default_rng(0)
    signs = {"a": 1, "b": -1, "c": 1, "d": -1}
    rows = {v: rng.normal(5, 1, (4000, 3)) + offset * sign for v, sign in signs.items()}
    none: list[list[int]] = [[]] * 4
    assert measured(tmp_path / "f.h5", rows, none).between_videos == pytest.approx(share, abs=0.01)
    alone = measured(tmp_path / "one.h5", {"a": rows["a"]}, [[]])
    assert (alone.between_videos, alone.classes_told) == (0.0, 0.0)
    monkeypatch.setattr(feature_stats, "ENOUGH_VIDEOS", 2)
    every_second = measured(tmp_path / "some.h5", rows, none)
    assert every_second.between_videos == pytest.approx(0, abs=0.01)  # "a" and "c", which are alike


def test_features_that_never_vary_have_no_variance_between_videos(tmp_path: Path) -> None:
    rows = {v: np.ones((5, 3)) for v in ("a", "b")}
    assert measured(tmp_path / "f.h5", rows, [[0], [1]]).between_videos == 0


def test_classes_are_told_where_videos_of_a_class_are_alike(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = {str(n): rng.normal(5.0 * (n % 3), 1, (200, 4)) for n in range(12)}
    alike = measured(tmp_path / "alike.h5", rows, [[n % 3] for n in range(12)])
    assert alike.classes_told == pytest.approx(1)
    mixed = measured(tmp_path / "mixed.h5", rows, [[0, 1, 2]] * 12)
    assert mixed.classes_told == 0
    otherwise = measured(tmp_path / "otherwise.h5", rows, [[n // 4] for n in range(12)])
    assert otherwise.classes_told < 0.3


def test_classes_are_told_by_chance_where_means_know_nothing_of_them() -> None:
    rng = np.random.default_rng(0)
    shares = np.eye(5)[rng.integers(0, 5, 400)]
    assert classes_told(rng.normal(size=(400, 8)), shares) < 0.1


def test_half_of_the_neighbours_is_half_way_from_chance() -> None:
    """Two far groups of two classes each: a video's neighbour is of its class half of the time."""
    means = np.array([[0.0], [1.0], [2.1], [3.3], [100.0], [101.0], [102.1], [103.3]])
    nearest = [1, 0, 1, 2, 5, 4, 5, 6]
    classes = [0, 0, 1, 1, 2, 2, 3, 3]
    found = np.mean([classes[n] == classes[m] for n, m in enumerate(nearest)])
    chance = 1 / 7  # of seven other videos one is of the same class
    told = classes_told(means, np.eye(4)[classes])
    assert told == pytest.approx((found - chance) / (1 - chance))


@pytest.mark.parametrize("shares", [np.zeros((3, 2)), np.tile([1.0, 0.0], (3, 1))])
def test_nothing_is_told_where_there_is_nothing_to_tell(shares: np.ndarray) -> None:
    assert classes_told(np.arange(6.0).reshape(3, 2), shares) == 0


def test_time_shares_are_of_the_time_of_actions(tmp_path: Path) -> None:
    rows = {"a": np.zeros((50, 2))}
    write_feature_file(
        tmp_path / "f.h5",
        [VideoFeatures(v, {"rgb": r}, 0.1, 0.2, 10.0) for v, r in rows.items()],
        provenance={},
    )
    with FeatureFile(tmp_path / "f.h5") as file:
        axis = file.time_axis("a")
    segments = np.array([[0.0, 6.0], [10.0, 11.0], [20.0, 21.0]])
    video = LabelledVideo("a", axis, segments, np.array([2, 0, 0]))
    assert time_shares(video, 4).tolist() == [0.25, 0, 0.75, 0]
    empty = LabelledVideo("a", axis, np.zeros((0, 2)), np.zeros(0, np.int64))
    assert time_shares(empty, 4).tolist() == [0, 0, 0, 0]


def test_a_video_without_rows_says_nothing(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = {v: rng.normal(n, 1, (50, 3)) for n, v in enumerate("abc")}
    without = measured(tmp_path / "f.h5", rows, [[0], [1], []])
    with_one = measured(tmp_path / "g.h5", {**rows, "d": np.zeros((0, 3))}, [[0], [1], [], []])
    assert with_one.between_videos == without.between_videos > 0
    assert with_one.scale == without.scale and with_one.classes_told == without.classes_told
