"""A learning curve goes on as the power law that it is fitted with, and says when it cannot."""

import json

import numpy as np
import pytest

from tsatal.evaluation import learning_curve
from tsatal.evaluation.learning_curve import LearningCurve, fit_curve
from tsatal.evaluation.matching import Matches, Measure, match
from tsatal.formats.annotations import AnnotatedVideo, Detection, Instance


def matches(share: float, *, videos: int = 40, seed: int = 0) -> Matches:
    """Return matches in which that share of the videos is found, and nothing else."""
    truth = {
        f"v{n:02d}": AnnotatedVideo(f"v{n:02d}", "s", 100.0, (Instance("a", 10, 20),))
        for n in range(videos)
    }
    order = np.random.default_rng(seed).permutation(list(truth))
    found = {str(k): [Detection("a", 10, 20, 0.9)] for k in order[: round(share * videos)]}
    return match(truth, found, Measure(), subset="s")


def curve(*shares: float, seeds: int = 3, videos: int = 40) -> LearningCurve:
    results = [[matches(s, videos=videos, seed=n) for n in range(seeds)] for s in shares]
    return fit_curve(results, [[10] * seeds, [20] * seeds, [40] * seeds], (0.25, 0.5, 1.0))


def test_an_error_that_halves_with_each_doubling_halves_again() -> None:
    got = curve(0.2, 0.6, 0.8)
    assert got.fitted == pytest.approx([0.2, 0.6, 0.8], abs=0.01)
    assert got.twice.value == pytest.approx(0.9, abs=0.01)
    assert got.gain.value == pytest.approx(0.1, abs=0.01)
    assert 0 < got.gain.low < got.gain.value < got.gain.high
    assert got.sentence.startswith("twice the labels (80 actions for 40) would bring +10.")
    assert json.loads(json.dumps(got.to_json()))["labels"] == [10, 20, 40]


def test_a_flat_curve_may_be_nothing() -> None:
    got = curve(0.5, 0.5, 0.5)
    assert abs(got.gain.value) < 1e-9 and "so it may be nothing" in got.sentence


@pytest.mark.parametrize(
    ("options", "why"),
    [({"videos": 8}, "8 validation videos"), ({"seeds": 1}, "one draw; more --seeds")],
)
def test_too_few_data_are_told(options: dict[str, int], why: str) -> None:
    sentence = curve(0.25, 0.5, 0.75, **options).sentence
    assert sentence.startswith("too few data to say what twice the labels (40 actions)")
    assert why in sentence


def test_all_that_is_found_is_no_trouble(monkeypatch: pytest.MonkeyPatch) -> None:
    got = curve(1.0, 1.0, 1.0)
    assert got.twice.value == pytest.approx(1 - learning_curve.LEAST_ERROR)
