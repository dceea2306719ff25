"""The bootstrap over videos, against measuring the drawn videos anew."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tsatal.evaluation import significance
from tsatal.evaluation.average_precision import evaluate
from tsatal.evaluation.matching import ANET, THUMOS14, Matches, Measure, match
from tsatal.evaluation.significance import map_difference, map_interval, spread
from tsatal.formats.annotations import AnnotatedVideo, Detection, Instance


def drawn(seed: int, *, noise: float, videos: int = 12) -> tuple[dict[str, Any], dict[str, Any]]:
    truth_rng, rng = np.random.default_rng(7), np.random.default_rng(seed)
    truth, found = {}, {}
    for n in range(videos):
        starts = np.cumsum(truth_rng.uniform(5, 20, truth_rng.integers(1, 6)))
        instances = [Instance("ab"[k % 2], float(s), float(s) + 4) for k, s in enumerate(starts)]
        truth[f"v{n}"] = AnnotatedVideo(f"v{n}", "test", 200.0, tuple(instances))
        found[f"v{n}"] = [
            Detection(i.label, i.start_sec + s, i.end_sec + s, float(rng.uniform()))
            for i in instances
            for s in rng.normal(0, noise, 2)
        ]
    return truth, found


def matched(seed: int, *, noise: float, protocol: str = ANET, videos: int = 12) -> Matches:
    truth, found = drawn(seed, noise=noise, videos=videos)
    return match(truth, found, Measure(protocol), subset="test")


@pytest.mark.parametrize("protocol", [ANET, THUMOS14])
def test_a_draw_is_the_map_of_the_drawn_videos(protocol: str) -> None:
    truth, found = drawn(1, noise=1.0)
    weights = np.random.default_rng(0).multinomial(12, np.full(12, 1 / 12), 5).astype(float)
    got = significance._average_map(match(truth, found, Measure(protocol), subset="test"), weights)
    for row, value in zip(weights.astype(int), got, strict=True):
        copies = [(v, k) for v, times in zip(truth, row, strict=True) for k in range(times)]
        many = {f"{v}-{k}": truth[v] for v, k in copies}
        again = evaluate(
            many, {f"{v}-{k}": found[v] for v, k in copies}, Measure(protocol), subset="test"
        )
        assert value == pytest.approx(again.average_map, abs=0.02)  # equal scores come in turn


def test_the_figure_itself_is_the_map() -> None:
    truth, found = drawn(1, noise=1.0)
    whole = evaluate(truth, found, subset="test").average_map
    interval = map_interval(match(truth, found, Measure(), subset="test"))
    assert interval.value == pytest.approx(whole)
    assert interval.low < whole < interval.high


def test_more_videos_make_it_surer() -> None:
    few = map_interval(matched(1, noise=1.0, videos=8))
    many = map_interval(matched(1, noise=1.0, videos=80))
    assert many.high - many.low < 0.6 * (few.high - few.low)


def test_a_difference_is_told_from_none() -> None:
    good, bad, alike = (
        matched(1, noise=0.2), matched(2, noise=2.5), matched(3, noise=0.2)
    )  # fmt: skip
    better = map_difference(bad, good)
    assert better.certain and better.low > 0 and better.value > 0.2
    assert map_difference(good, bad).value == pytest.approx(-better.value)
    assert not map_difference(good, alike).certain
    same = map_difference(good, good)
    assert (same.value, same.low, same.high, same.certain) == (0, 0, 0, False)


def test_draws_a_few_at_a_time_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    found = matched(1, noise=1.0)
    whole = map_interval(found)
    monkeypatch.setattr(significance, "MAX_WEIGHTS", 200)
    assert map_interval(found) == whole


def test_several_seeds_are_taken_together_in_every_draw() -> None:
    one, other = matched(1, noise=1.0), matched(2, noise=1.0)
    both, apart = map_interval(one, other), [map_interval(one), map_interval(other)]
    assert both.value == pytest.approx(np.mean([a.value for a in apart]))
    assert both.high - both.low < max(a.high - a.low for a in apart)
    assert map_difference([one, other], [other, one]).value == 0
    assert map_difference([one], other) == map_difference(one, other)


def test_other_videos_cannot_be_compared() -> None:
    with pytest.raises(ValueError, match="same videos"):
        map_difference(matched(1, noise=1.0, videos=5), matched(1, noise=1.0, videos=6))


def test_mean_and_standard_error() -> None:
    assert spread([1.0, 2.0, 3.0]) == pytest.approx((2.0, 1 / np.sqrt(3)))
    mean, error = spread([4.0])
    assert mean == 4.0 and np.isnan(error)
