from __future__ import annotations

from collections.abc import Sequence

import pytest

from tsatal.extract.clock import ClockError, ClockSteps, at_ticks, in_order, on_one_clock

PERIOD = 0.04


def ordered(stamps: Sequence[float | None], *, shuffled: bool = False) -> list[float | None]:
    numbered = [(n, s) for n, s in enumerate(stamps)]
    found = list(in_order(numbered, shuffled=shuffled))
    assert [n for n, _ in found] == list(range(len(stamps)))  # every picture, as it came
    return [s for _, s in found]


def timed(
    stamps: Sequence[float | None], **kwargs: float
) -> tuple[list[float], list[str], ClockSteps]:
    steps = ClockSteps()
    pictures = in_order(list(enumerate(stamps)), shuffled=False)
    found = list(on_one_clock(pictures, period_sec=PERIOD, steps=steps, **kwargs))
    assert [n for n, _ in found] == list(range(len(stamps)))
    seconds = [s for _, s in found]
    assert seconds == sorted(seconds)
    return seconds, steps.words, steps


def steady(count: int, start: float = 0.0) -> list[float]:
    return [start + n * PERIOD for n in range(count)]


def shown(seconds: Sequence[float], end: float, *, fps: float = 10.0) -> list[int]:
    pictures = enumerate(seconds)
    return list(at_ticks(pictures, fps=fps, slack_sec=1e-9, end_sec=lambda: end))


def test_a_tick_has_the_last_picture_at_or_before_it() -> None:
    assert shown([0.0, 0.1, 0.15, 0.19, 0.2, 0.45], 0.5) == [0, 1, 4, 4, 4]


def test_a_held_picture_never_shows_the_future() -> None:
    assert shown([0.0, 1.0, 2.0], 3.0) == [0] * 10 + [1] * 10 + [2] * 10


def test_ticks_before_the_first_picture_have_it_and_one_picture_has_a_tick() -> None:
    assert shown([0.35], 0.4) == [0] * 4
    assert shown([0.0], 0.0) == [0]
    assert shown([], 0.0) == []


def test_stamps_in_the_order_of_storage_are_put_in_order() -> None:
    stored = [1.0, 4.0, 3.0, 5.0, 2.0, 8.0, 7.0, 9.0, 6.0, 12.0, 11.0, 10.0]
    assert ordered(stored, shuffled=True) == sorted(stored)
    late = ordered([float(n) / 100 for n in range(50)] + [0.5 + s / 100 for s in stored])
    assert late[50:52] == [0.51, 0.54]  # nobody knew yet
    assert late == sorted(s for s in late if s is not None)
    assert late[-4:] == [0.59, 0.60, 0.61, 0.62]


@pytest.mark.parametrize("back", [0.3, 1.0, 5.0, 3600.0, 95443.7])
def test_a_clock_that_steps_back_goes_on_and_says_so(back: float) -> None:
    first = steady(200, 100_000.0)
    seconds, words, _ = timed([*first, *steady(100, first[-1] - back)])
    assert seconds == pytest.approx(steady(300))
    assert len(words) == 1 and words[0].startswith(f"its clock steps back by {back:.2f} s at 8.0 s")


def test_three_recordings_put_together_are_one() -> None:
    seconds, words, _ = timed(steady(100) * 3)
    assert seconds == pytest.approx(steady(300))
    assert len(words) == 1 and "(2 times in all)" in words[0]


@pytest.mark.parametrize("ahead", [601.0, 90_000.0, 1e7])
def test_a_clock_that_jumps_ahead_goes_on(ahead: float) -> None:
    seconds, words, steps = timed([*steady(100), *steady(100, 3.96 + ahead)])
    assert seconds == pytest.approx(steady(200))
    assert f"jumps ahead by {ahead:.1f} s at 4.0 s" in words[0]
    assert steps.skipped_sec == pytest.approx(ahead - PERIOD)


def test_still_pictures_are_held_and_long_ones_told() -> None:
    slides = [10.0 * n for n in range(180)]
    assert timed(slides)[:2] == (slides, [])
    seconds, words, _ = timed([0.0, 300.0, 310.0])
    assert seconds == [0.0, 300.0, 310.0]
    assert words == ["no picture for 300 s after 0.0 s; the last one is held"]


def test_half_an_hour_without_a_picture_is_believed_if_the_container_says_so() -> None:
    stamps = [0.0, 1800.0, 1801.0]
    assert timed(stamps, stated_sec=1802.0)[0] == stamps
    assert timed(stamps)[0] == pytest.approx([0.0, PERIOD, PERIOD + 1.0])


@pytest.mark.parametrize("wrong", [3.0, 100.0, 50_000.0])
def test_one_stamp_far_ahead_moves_nothing(wrong: float) -> None:
    stamps = steady(100)
    stamps[50] += wrong
    seconds, words, _ = timed(stamps)
    assert seconds == pytest.approx(steady(100)) and not words


def test_one_stamp_behind_moves_nothing() -> None:
    stamps = steady(100)
    stamps[50] = 0.0
    seconds, words, _ = timed(stamps)
    assert seconds == pytest.approx(steady(100), abs=PERIOD + 1e-9) and not words


def test_unknown_stamps_are_counted_on() -> None:
    assert timed([None] * 5)[0] == pytest.approx(steady(5))
    stamps: list[float | None] = [*steady(10, 7.0)]
    stamps[0] = stamps[4] = stamps[5] = None
    assert timed(stamps)[0] == pytest.approx(steady(10))


def test_a_clock_that_stands_still_is_counted_on() -> None:
    seconds, words, _ = timed([*steady(50), *[1.96] * 100])
    assert seconds[-1] == pytest.approx(1.96 + PERIOD * (100 - 7))
    assert "stands still at 2.0 s" in words[0]


def test_a_picture_track_that_starts_late_may_keep_its_distance() -> None:
    assert timed([1.5, 1.6, 1.7], first_sec=0.5)[0] == pytest.approx([0.5, 0.6, 0.7])


def test_pictures_that_are_spread_over_days_end_the_video() -> None:
    with pytest.raises(ClockError, match="spread 39 pictures over 25 hours"):
        timed([599.0 * 4 * n for n in range(100)], stated_sec=1e9)
