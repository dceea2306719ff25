"""Random windows in closed form, how many there are, and in which order they come."""

import numpy as np
import pytest

from tsatal.config import DataConfig
from tsatal.formats.features import FeatureFile, TimeAxis
from tsatal.head import dataset, windows
from tsatal.head.windows import LabelledVideo, Window, WindowPlan, plan_windows

from .test_dataset import annotated, file, windows_of

__all__ = ["file"]  # the fixture


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
        windows.window_start(
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
        windows.window_start(
            np.array([20.0, 180.0]), window_steps=50, num_steps=200, min_share=0.75, rng=rng
        )
        for _ in range(200)
    ]
    assert min(starts) >= 20 and max(starts) <= 130


def test_a_video_shorter_than_the_window_starts_at_zero() -> None:
    rng = np.random.default_rng(0)
    assert windows.window_start(
        np.array([0.0, 3.0]), window_steps=100, num_steps=7, min_share=0.75, rng=rng
    ) == 0  # fmt: skip


def test_one_pass_draws_every_action_equally_often(file: FeatureFile) -> None:
    truth = annotated(*[("a", 10.0 * n, 10.0 * n + 0.4) for n in range(6)])
    data = DataConfig(window_steps=3, windows_per_video=12)
    drawn = drawn_windows(dataset.label_videos(file, truth, ["a"]), data)
    nearest = [round(w.start * 0.2 / 10) for w in drawn]
    assert sorted(nearest) == sorted(list(range(6)) * 2)


def test_videos_without_actions_give_no_windows(file: FeatureFile) -> None:
    videos = dataset.label_videos(file, annotated(), ["a"])
    assert draw(videos, window_steps=3, min_crop=1.0) == []


def draw(
    videos: list[LabelledVideo], *, window_steps: int, min_crop: float, seed: int = 0
) -> list[Window]:
    data = DataConfig(window_steps=window_steps, windows_per_video=50, min_crop=min_crop)
    return drawn_windows(videos, data, seed=seed)


def drawn_windows(videos: list[LabelledVideo], data: DataConfig, *, seed: int = 0) -> list[Window]:
    plan = plan_windows(videos, data, epochs=1, batch_size=1)
    return windows.draw_windows(videos, plan, data, rng=np.random.default_rng(seed))


@pytest.mark.parametrize("name, steps", [("long", 300), ("short", 7)])
@pytest.mark.parametrize("window_steps", [2, 5, 100])
@pytest.mark.parametrize("min_crop", [0.3, 1.0])
def test_windows_lie_in_their_video_and_are_as_long_as_asked(
    file: FeatureFile, name: str, steps: int, window_steps: int, min_crop: float
) -> None:
    videos = dataset.label_videos(file, annotated(("a", 0.1, 1.0), name=name), ["a"])
    found = draw(videos, window_steps=window_steps, min_crop=min_crop)
    longest = min(window_steps, steps)
    assert len(found) == 50
    for w in found:
        assert w.start >= 0 and w.start + w.steps <= steps
        assert max(1, round(min_crop * longest)) <= w.steps <= longest


def test_crops_are_of_all_lengths_and_still_hold_their_action(file: FeatureFile) -> None:
    videos = dataset.label_videos(file, annotated(("a", 20.0, 22.0)), ["a"])
    [(start, end)] = videos[0].segments
    found = draw(videos, window_steps=100, min_crop=0.5)
    assert len({w.steps for w in found}) > 20
    for w in found:
        held = min(end, w.start + w.steps) - max(start, w.start)
        assert held >= 0.75 * (end - start) - 1e-9


def test_windows_are_a_function_of_the_seed(file: FeatureFile) -> None:
    videos = dataset.label_videos(file, annotated(("a", 20.0, 22.0), ("a", 3.0, 9.0)), ["a"])
    drawn = [draw(videos, window_steps=60, min_crop=0.5, seed=s) for s in (0, 0, 1)]
    where = [[(w.start, w.steps) for w in found] for found in drawn]
    assert where[0] == where[1] != where[2]


@pytest.mark.parametrize("count", [0, 1, 4, 5, 32, 70])
def test_windows_of_like_length_meet_and_none_is_lost(file: FeatureFile, count: int) -> None:
    rng = np.random.default_rng(0)
    found = windows_of(file, *rng.integers(1, 100, count).tolist())
    ordered = windows.alike_together(found, 4, rng=rng)
    assert sorted(w.start for w in ordered) == list(range(count))

    def padding(some: list[Window]) -> int:
        batches = [some[n : n + 4] for n in range(0, count, 4)]
        return sum(max(w.steps for w in b) * len(b) - sum(w.steps for w in b) for b in batches)

    assert padding(ordered) <= padding(found)
    if count >= 32:
        assert padding(ordered) < padding(found) / 3


def test_what_meets_in_a_batch_differs_where_lengths_do_not(file: FeatureFile) -> None:
    found = windows_of(file, *[10] * 70)
    orders = [
        [w.start for w in windows.alike_together(found, 4, rng=np.random.default_rng(seed))]
        for seed in (0, 0, 1)
    ]
    assert orders[0] == orders[1] != orders[2]


def video(
    rows: int, *actions: tuple[float, float], ignored: tuple[tuple[float, float], ...] = ()
) -> LabelledVideo:
    segments = np.array(actions, dtype=float).reshape(-1, 2)
    labels = np.zeros(len(segments), np.int64)
    stretches = np.array(ignored, dtype=float).reshape(-1, 2)
    return LabelledVideo("v", TimeAxis(rows, 0.1, 0.2, rows * 0.2), segments, labels, stretches)


def auto(videos: list[LabelledVideo], **changes: float) -> WindowPlan:
    given = {"window_steps": 1024, "least_steps": 1, **changes}
    data = DataConfig.model_validate({"windows_per_video": "auto", **given})
    return plan_windows(videos, data, epochs=100, batch_size=4)


def every(rows: int, step: int) -> list[tuple[float, float]]:
    return [(float(n), n + 10.0) for n in range(0, rows - 10, step)]


def test_a_video_gives_as_many_windows_as_cover_it() -> None:
    clips = [video(50, (10, 20)) for _ in range(7)]
    hour = video(18_000, *every(18_000, 100))
    assert auto([*clips, hour]).around == (1,) * 7 + (18,)


def test_a_few_actions_in_a_long_video_are_not_shown_too_often() -> None:
    assert auto([video(18_000, (100, 120), (5000, 5050))]).around == (4,)
    assert auto([video(18_000), video(300, (5, 9))]).around == (0, 1)


@pytest.mark.parametrize(
    "videos",
    [
        [video(9_000, *every(9_000, 145))],
        [video(300, (10, 20), (50, 90)) for _ in range(3)],
        [video(50, (10, 20))],
        [video(50, (10, 20)) for _ in range(2000)],
    ],
)
@pytest.mark.parametrize("least", [1, 200, 1000])
def test_a_training_has_the_steps_it_needs(videos: list[LabelledVideo], least: int) -> None:
    plan = auto(videos, least_steps=least)
    steps = 100 * -(-len(plan) // 4)
    assert steps >= least
    assert steps <= max(2 * least + 100, 100 * -(-len(auto(videos)) // 4))


def test_background_is_what_no_action_and_nothing_ignored_touches() -> None:
    found = windows.background_stretches(
        [
            video(100, (20.4, 29.6), ignored=((60, 1e9),)),
            video(50),
            video(8),
            video(40, (0, 20), (30, 39)),
            video(30, ignored=((-1e9, 1e9),)),
            video(30, ignored=((-9, -2), (40, 50), (10, 12))),
        ],
        25,
    )
    assert found.tolist() == [[0, 31, 29], [1, 0, 50], [2, 0, 8], [5, 0, 10], [5, 13, 17]]


def test_windows_of_background_hold_none_of_it() -> None:
    videos = [video(3000, *every(2000, 400), ignored=((2500, 2600),)), video(500)]
    data = DataConfig(
        window_steps=100, windows_per_video=20, background_share=0.5, min_crop=0.5, min_visible=0.5
    )
    plan = plan_windows(videos, data, epochs=1, batch_size=1)
    assert (plan.around, plan.background) == ((20, 0), 20)
    drawn = drawn_windows(videos, data)
    empty = [w for w in drawn if not len(dataset.window_actions(w, min_visible=0.01)[0])]
    assert len(drawn) == 40 and len(empty) >= 20
    assert {id(w.video) for w in empty} == {id(v) for v in videos}
    for w in empty:
        assert w.start >= 0 and w.start + w.steps <= w.video.axis.num_steps
        assert w.start + w.steps <= 2500 or w.start > 2600


def test_background_is_seen_once_at_most_and_only_where_there_is_some() -> None:
    whole = [video(300, (0, 299)) for _ in range(10)]
    assert auto(whole, background_share=0.2).background == 0
    assert auto([*whole, video(60)], background_share=0.5).background == 1
    assert auto([*whole, video(9000)], background_share=0.2).background == 2
