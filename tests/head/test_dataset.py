"""Random windows in closed form, and the batches they give."""

from pathlib import Path

import numpy as np
import pytest

from tsatal.annotations import AnnotatedVideo, Instance
from tsatal.features import FeatureFile, VideoFeatures, write_feature_file
from tsatal.head import dataset


@pytest.mark.parametrize("segment", [(0.0, 3.0), (3.2, 4.1), (90.0, 110.0), (196.0, 199.5)])
@pytest.mark.parametrize("length", [10, 30])
def test_windows_hold_the_share_and_are_uniform_over_all_starts_that_do(
    segment: tuple[float, float], length: int
) -> None:
    steps, share = 200, 0.75
    held = [min(segment[1], w + length) - max(segment[0], w) for w in range(steps - length + 1)]
    need = min(share * (segment[1] - segment[0]), length)
    allowed = {w for w, h in enumerate(held) if h >= need - 1e-9}
    rng = np.random.default_rng(0)
    drawn = [
        dataset.window_start(
            np.array(segment), window_steps=length, num_steps=steps, min_share=share, rng=rng
        )
        for _ in range(100 * len(allowed))
    ]
    counts = np.array([drawn.count(w) for w in sorted(allowed)])
    assert set(drawn) == allowed
    assert counts.min() > 50 and counts.max() < 150  # 100 expected; 5 standard deviations


def test_a_window_of_an_action_longer_than_itself_lies_inside() -> None:
    rng = np.random.default_rng(0)
    starts = [
        dataset.window_start(
            np.array([20.0, 180.0]), window_steps=50, num_steps=200, min_share=0.75, rng=rng
        )
        for _ in range(200)
    ]
    assert min(starts) >= 20 and max(starts) <= 130


def test_a_video_shorter_than_the_window_starts_at_zero() -> None:
    rng = np.random.default_rng(0)
    assert dataset.window_start(
        np.array([0.0, 3.0]), window_steps=100, num_steps=7, min_share=0.75, rng=rng
    ) == 0  # fmt: skip


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


def test_actions_without_rows_or_length_are_left_out_and_counted(
    file: FeatureFile, caplog: pytest.LogCaptureFixture
) -> None:
    truth = annotated(("a", 70.0, 80.0), ("a", 3.0, 3.0), ("a", 55.0, 90.0))
    [video] = dataset.label_videos(file, truth, ["a"])
    np.testing.assert_allclose(video.segments, [[274.5, 299.5]])  # clipped to the rows' end
    assert "2 actions" in caplog.text


def test_one_pass_draws_every_action_equally_often(file: FeatureFile) -> None:
    truth = annotated(*[("a", 10.0 * n, 10.0 * n + 0.4) for n in range(6)])
    windows = dataset.draw_windows(
        dataset.label_videos(file, truth, ["a"]),
        window_steps=3,
        windows_per_video=12,
        min_share=0.75,
        rng=np.random.default_rng(0),
    )
    nearest = [round(w.start * 0.2 / 10) for w in windows]
    assert sorted(nearest) == sorted(list(range(6)) * 2)


def test_videos_without_actions_give_no_windows(file: FeatureFile) -> None:
    videos = dataset.label_videos(file, annotated(), ["a"])
    assert dataset.draw_windows(
        videos, window_steps=3, windows_per_video=5, min_share=0.75, rng=np.random.default_rng(0)
    ) == []  # fmt: skip


def test_batches_hold_the_rows_of_their_windows_and_targets_move_along(file: FeatureFile) -> None:
    [video] = dataset.label_videos(file, annotated(("a", 2.1, 4.1)), ["a"])
    [short] = dataset.label_videos(file, annotated(("a", 0.1, 0.5), name="short"), ["a"])
    windows = [dataset.Window(video, 15), dataset.Window(short, 0)]
    [batch] = dataset.batches(
        file, windows, streams=("rgb", "flow"), window_steps=20, num_classes=1, batch_size=8
    )
    assert batch.features.shape == (2, 20, 8)
    assert batch.features[0, 0].tolist() == [15.0] * 4 + [15.5] * 4
    assert batch.valid.sum(1).tolist() == [20, 7]
    assert batch.features[1, 7:].abs().max() == 0
    # the action covers rows 10..20, so steps 0..5 of a window that starts at 15
    assert batch.targets.inside[0].nonzero().flatten().tolist() == [0, 1, 2, 3, 4, 5]
    assert batch.targets.intervals[0, 0].tolist() == [-5, 5]


def test_feature_scale_is_the_root_mean_square(file: FeatureFile) -> None:
    videos = dataset.label_videos(file, annotated(("a", 1.0, 2.0)), ["a"])
    expected = np.sqrt(np.mean(np.arange(300.0) ** 2))
    scale = dataset.feature_scale(file, videos, ("rgb",), max_videos=10)
    assert scale == pytest.approx(expected)
