"""Which bucket an instance is in, and what the buckets are called."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from tsatal.evaluation.matching import Measure, match
from tsatal.evaluation.traits import Trait, traits
from tsatal.formats.annotations import AnnotatedVideo, Instance

Videos = dict[str, AnnotatedVideo]


def annotated(duration: float | None, **videos: Sequence[tuple[str, float, float]]) -> Videos:
    return {
        k: AnnotatedVideo(k, "test", duration, tuple(Instance(*i) for i in instances))
        for k, instances in videos.items()
    }


def traits_of(videos: Videos) -> tuple[Trait, ...]:
    return traits(match(videos, {}, Measure("anet", (0.5,)), subset="test"))


def test_buckets_hold_every_instance_once_and_say_their_bounds() -> None:
    # 25 instances of 1, 2, ..., 25 s: fifths end at 5.8, 10.6, 15.4 and 20.2 s, in two digits.
    spans = [("A", 30.0 * n, 30.0 * n + n + 1) for n in range(25)]
    length, coverage, number = made = traits_of(annotated(1000.0, v=spans[:24], w=spans[24:]))
    assert [b.name for b in length.buckets] == [
        "up to 5.8 s", "5.8 to 11 s", "11 to 15 s", "15 to 20 s", "over 20 s",
    ]  # fmt: skip
    assert [int(b.members.sum()) for b in length.buckets] == [5, 6, 4, 5, 5]
    assert coverage.buckets[0].name == "up to 0.58 %"
    assert [(b.name, int(b.members.sum())) for b in number.buckets] == [
        ("1", 1),
        ("9 or more", 24),
    ]
    for trait in made:
        assert (np.sum([b.members for b in trait.buckets], axis=0) == 1).all()


def test_a_duration_that_is_not_known_is_a_bucket_of_its_own() -> None:
    truth = annotated(None, v=[("A", 0, 10)]) | annotated(50.0, w=[("A", 0, 10)])
    coverage = traits_of(truth)[1]
    assert [b.name for b in coverage.buckets] == ["any", "duration not known"]


@pytest.mark.filterwarnings("error")
def test_extreme_times_are_in_the_right_buckets() -> None:
    # Nine instances of 90 s and of 90 % make the one cut of both traits. 0.8e308 of 1.6e308 s is
    # 50 %; 1 of 1e-308 s is 1e310 %, and from -1.7e308 to 1.7e308 s more than a float can say.
    videos = annotated(100.0, v=[("A", 0, 90)] * 9)
    videos |= annotated(1.6e308, huge=[("A", 0, 0.8e308)])
    videos |= annotated(1e-308, brief=[("A", 0, 1)])
    videos |= annotated(1e308, both=[("A", -1.7e308, 1.7e308)])
    videos |= annotated(-5.0, wrong=[("A", 0, 1)])
    length, coverage, _ = traits_of(videos)
    for trait, names in [
        (length, ["over 90 s", "up to 90 s", "over 90 s", "up to 90 s"]),
        (coverage, ["up to 90 %", "over 90 %", "over 90 %", "duration not known"]),
    ]:
        assert [next(b.name for b in trait.buckets if b.members[n]) for n in range(9, 13)] == names


def test_equal_instances_make_one_bucket() -> None:
    spans = [("A", 10.0 * n, 10.0 * n + 5) for n in range(20)]
    assert len(traits_of(annotated(None, v=spans))[0].buckets) == 1
