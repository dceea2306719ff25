"""Annotated videos in steps, and the batches that windows of them give."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tsatal.config import DataConfig
from tsatal.formats.annotations import AnnotatedVideo, Instance
from tsatal.formats.feature_writer import write_feature_file
from tsatal.formats.features import FeatureFile, VideoFeatures
from tsatal.head import dataset
from tsatal.head.windows import Window


@pytest.fixture
def file(tmp_path: Path) -> FeatureFile:
    path = tmp_path / "f.h5"

    def video(name: str, steps: int) -> VideoFeatures:
        rows = np.arange(steps, dtype=np.float16)[:, None] + np.zeros((1, 4), np.float16)
        return VideoFeatures(name, {"rgb": rows, "flow": rows + 0.5}, 0.1, 0.2, steps * 0.2)

    write_feature_file(path, [video("long", 300), video("short", 7)], provenance={})
    return FeatureFile(path)


def annotated(
    *instances: tuple[str, float, float], name: str = "long"
) -> dict[str, AnnotatedVideo]:
    return {name: AnnotatedVideo(name, "training", 60.0, tuple(Instance(*i) for i in instances))}


def test_seconds_become_rows(file: FeatureFile) -> None:
    [video] = dataset.label_videos(file, annotated(("a", 2.1, 4.1), ("b", 0.1, 0.5)), ["a", "b"])
    np.testing.assert_allclose(video.segments, [[10, 20], [0, 2]])
    assert video.labels.tolist() == [0, 1]


def test_what_nobody_has_labelled_becomes_rows_to_ignore(file: FeatureFile) -> None:
    truth = annotated(("a", 2.1, 4.1), ("Ambiguous", 0.1, 0.5))
    truth["long"] = replace(truth["long"], ignored=((10.1, 1e9),))
    [video] = dataset.label_videos(file, truth, ["a"])
    np.testing.assert_allclose(video.ignored, np.array([[0, 2], [50, (1e9 - 0.1) / 0.2]]))
    [batch] = batches_of(file, [Window(video, 45, 20)])
    assert batch.truth.counts(torch.arange(20.0)).tolist() == [[True] * 5 + [False] * 15]


def test_actions_without_rows_or_length_are_left_out_and_counted(
    file: FeatureFile, caplog: pytest.LogCaptureFixture
) -> None:
    truth = annotated(("a", 70.0, 80.0), ("a", 3.0, 3.0), ("a", 55.0, 90.0))
    [video] = dataset.label_videos(file, truth, ["a"])
    np.testing.assert_allclose(video.segments, [[274.5, 299.5]])  # clipped to the rows' end
    assert "left out: 2 actions without length or without rows" in caplog.text
    assert "rows cover 1 action in part alone" in caplog.text


def windows_of(file: FeatureFile, *steps: int) -> list[Window]:
    [video] = dataset.label_videos(file, annotated(("a", 1.0, 2.0)), ["a"])
    return [Window(video, n, length) for n, length in enumerate(steps)]


def batches_of(file: FeatureFile, windows: list[Window], **changes: int) -> list[dataset.Batch]:
    return list(
        dataset.batches(
            file,
            windows,
            DataConfig(),
            streams=("rgb", "flow"),
            **{"batch_size": 8, **changes},
        )
    )


def test_batches_hold_the_rows_of_their_windows_and_the_truth_moves_along(
    file: FeatureFile,
) -> None:
    [video] = dataset.label_videos(file, annotated(("a", 2.1, 4.1), ("a", 50.0, 51.0)), ["a"])
    [short] = dataset.label_videos(
        file, annotated(("b", 0.1, 0.5), ("a", 0.5, 0.9), name="short"), ["a", "b"]
    )
    [batch] = batches_of(file, [Window(video, 15, 20), Window(short, 0, 7)])
    assert batch.features.shape == (2, 20, 8)
    assert batch.features[0, 0].tolist() == [15.0] * 4 + [15.5] * 4
    assert batch.valid.sum(1).tolist() == [20, 7]
    assert batch.features[1, 7:].abs().max() == 0
    # the first action covers rows 10 to 20, so steps -5 to 5 of a window that starts at 15
    assert batch.truth.labels.tolist() == [[0, -1], [1, 0]]
    assert batch.truth.segments[0, 0].tolist() == [-5, 5]
    assert torch.equal(batch.truth.segments[1], torch.tensor([[0.0, 2.0], [2.0, 4.0]]))


def test_a_batch_knows_the_windows_it_came_from(file: FeatureFile) -> None:
    windows = windows_of(file, 5, 9, 30)
    found = batches_of(file, windows, batch_size=2)
    assert [w for batch in found for w in batch.windows] == windows
    assert found[0].to(torch.device("cpu")).windows == tuple(windows[:2])


def test_a_batch_is_as_long_as_its_longest_window(file: FeatureFile) -> None:
    found = batches_of(file, windows_of(file, 5, 9, 30, 2, 4), batch_size=2)
    assert [b.features.shape[:2] for b in found] == [(2, 9), (2, 30), (1, 4)]
    assert [b.valid.sum(1).tolist() for b in found] == [[5, 9], [30, 2], [4]]


def totals(batch: dataset.Batch) -> list[float]:
    """Return the sum over every window that has a valid step."""
    each = zip(batch.features, batch.valid, strict=True)
    return [float(f[valid].sum()) for f, valid in each if valid.any()]


@pytest.mark.parametrize("processes", [2, 3, 5])
def test_processes_share_every_batch_and_make_as_many(
    file: FeatureFile, processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    windows = windows_of(file, 5, 9, 30, 2, 4, 6, 7)
    whole = batches_of(file, windows, batch_size=3)
    monkeypatch.setattr(dataset, "world_size", lambda: processes)
    shares = []
    for rank in range(processes):
        monkeypatch.setattr(dataset, "rank", lambda rank=rank: rank)
        shares.append(batches_of(file, windows, batch_size=3))
    assert {len(share) for share in shares} == {len(whole)}
    for together, *parts in zip(whole, *shares, strict=True):
        shared = [total for part in parts for total in totals(part)]
        assert sorted(shared) == sorted(totals(together))
        for part in parts:
            assert part.features.shape[1] >= 1 and part.features.shape[2] == 8
            assert (part.truth.labels[~part.valid.any(1)] == -1).all()


def window_at(file: FeatureFile, start: int, steps: int) -> Window:
    # rows 10 to 20 and 30 to 70
    [video] = dataset.label_videos(file, annotated(("a", 2.1, 4.1), ("b", 6.1, 14.1)), ["a", "b"])
    return Window(video, start, steps)


@pytest.mark.parametrize(
    "start, steps, expected",
    [
        (0, 100, [[10, 20], [30, 70]]),
        (15, 10, [[-5, 5]]),  # the first to its true start; the second is not touched
        (15, 16, [[-5, 5], [15, 55]]),  # 0.5 of a step of the second
        (40, 10, [[-10, 30]]),  # all of the window
        (21, 9, []),
    ],
)
def test_actions_that_touch_a_window_keep_their_true_ends(
    file: FeatureFile, start: int, steps: int, expected: list[list[float]]
) -> None:
    segments, labels = dataset.window_actions(window_at(file, start, steps), min_visible=0.0)
    np.testing.assert_allclose(segments, np.array(expected).reshape(-1, 2), atol=1e-9)
    assert len(labels) == len(expected)


@pytest.mark.parametrize(
    "start, min_visible, expected",
    [
        (0, 0.9, [(10, 20, 0)]),
        (0, 0.4, [(10, 20, 0), (30, 49.5, 1)]),  # 19.5 of 40
        (15, 0.5, [(-0.5, 5, 0), (15, 49.5, 1)]),  # 5.5 of 10; 34.5 of 40
        (15, 0.6, [(15, 49.5, 1)]),
    ],
)
def test_actions_of_which_enough_is_visible_are_clipped_to_the_window(
    file: FeatureFile, start: int, min_visible: float, expected: list[tuple[float, float, int]]
) -> None:
    segments, labels = dataset.window_actions(window_at(file, start, 50), min_visible=min_visible)
    np.testing.assert_allclose(segments, [e[:2] for e in expected], atol=1e-9)
    assert labels.tolist() == [e[2] for e in expected]


def test_truth_is_padded_behind_with_labels_of_minus_one() -> None:
    truth = dataset.collate_truth(
        [
            (np.array([[1.0, 2.5]]), np.array([4])),
            (np.zeros((0, 2)), np.zeros(0, np.int64)),
            (np.array([[3.0, 4.0], [0.0, 9.0]]), np.array([0, 2])),
        ],
        [np.zeros((0, 2)), np.array([[2.0, 3.0]]), np.zeros((0, 2))],
    )
    assert truth.ignored[1].tolist() == [[2, 3]] and truth.ignored[0].isinf().all()
    assert truth.labels.tolist() == [[4, -1], [-1, -1], [0, 2]]
    assert truth.segments[0, 0].tolist() == [1, 2.5]
    assert truth.segments[2].tolist() == [[3, 4], [0, 9]]


def test_truth_of_windows_without_actions_is_empty() -> None:
    truth = dataset.collate_truth(
        [(np.zeros((0, 2)), np.zeros(0, np.int64))] * 2, [np.zeros((0, 2))] * 2
    )
    assert truth.segments.shape == (2, 0, 2) and truth.labels.shape == (2, 0)
