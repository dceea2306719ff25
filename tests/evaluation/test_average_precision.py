"""The two protocols by hand; what is refused, what is noted, and what is written."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pytest

from tsatal.errors import InputError
from tsatal.evaluation.average_precision import Evaluation, evaluate, precision_recall
from tsatal.evaluation.matching import PROTOCOLS, Measure
from tsatal.formats.annotations import AnnotatedVideo, Detection, Instance

Videos = Mapping[str, AnnotatedVideo]
Predictions = Mapping[str, Sequence[Detection]]
Spans = list[tuple[float, float]]


def annotated(**videos: list[tuple[str, float, float]]) -> dict[str, AnnotatedVideo]:
    return {
        k: AnnotatedVideo(k, "test", 100.0, tuple(Instance(*i) for i in instances))
        for k, instances in videos.items()
    }


def run(
    videos: Videos,
    predictions: Predictions,
    protocol: str = "anet",
    tious: Sequence[float] = (0.5,),
    exclude: Collection[str] = (),
) -> Evaluation:
    measure = Measure(protocol, tuple(tious), tuple(exclude))
    return evaluate(videos, predictions, measure, subset="test")


def average_precision(
    truth: Spans, found: list[tuple[float, float, float]], protocol: str, threshold: float = 0.5
) -> float:
    """One class, one video: the average precision at one threshold."""
    videos = annotated(v=[("A", *span) for span in truth])
    predictions = {"v": [Detection("A", *f) for f in found]}
    return run(videos, predictions, protocol, [threshold]).average_map


def test_a_miss_between_two_hits_by_hand() -> None:
    # Verdicts by falling score: hit, miss, hit; 3 instances. Precision at the hits: 1/1 and 2/3.
    # Both protocols: (1 + 2/3) / 3 = 5/9; the envelope changes nothing, as precision falls.
    truth = [(0.0, 10.0), (20.0, 30.0), (40.0, 50.0)]
    found = [(0.0, 10.0, 0.9), (60.0, 70.0, 0.8), (20.0, 30.0, 0.7)]
    for protocol in PROTOCOLS:
        assert average_precision(truth, found, protocol) == pytest.approx(5 / 9)


def test_only_anet_takes_the_envelope_of_precision() -> None:
    # Miss, hit, hit; 2 instances. Precision at the hits: 1/2 and 2/3.
    # thumos14: (1/2 + 2/3) / 2 = 7/12. anet lifts the first to the best that follows: 2/3.
    truth = [(0.0, 10.0), (20.0, 30.0)]
    found = [(60.0, 70.0, 0.9), (0.0, 10.0, 0.8), (20.0, 30.0, 0.7)]
    assert average_precision(truth, found, "thumos14") == pytest.approx(7 / 12)
    assert average_precision(truth, found, "anet") == pytest.approx(2 / 3)


def test_who_claims_whom_differs() -> None:
    # One instance [0, 10]; the surer detection has tIoU 0.6, the other 1.0.
    # anet: the surer one takes the instance, the better one is a duplicate: 1/1 / 1 = 1.
    # thumos14: the instance takes the better one, at rank 2 after a miss: 1/2 / 1 = 1/2.
    found = [(0.0, 6.0, 0.9), (0.0, 10.0, 0.8)]
    assert average_precision([(0.0, 10.0)], found, "anet") == 1.0
    assert average_precision([(0.0, 10.0)], found, "thumos14") == 0.5


def test_an_anet_detection_moves_on_to_the_next_instance_that_is_free() -> None:
    # tIoU of [0, 10] with both instances: 1.0 and 9/11. The second detection finds the first
    # instance taken and takes the other: two hits, AP 1.
    found = [(0.0, 10.0, 0.9), (0.0, 10.0, 0.8)]
    assert average_precision([(0.0, 10.0), (1.0, 11.0)], found, "anet") == 1.0


def test_thumos14_instances_choose_in_the_order_of_the_file() -> None:
    # [0, 10] and [0, 8] both like [0, 9] best (tIoU 0.9 and 8/9). The alternative [0, 6] is good
    # enough at 0.65 for [0, 8] (0.75), but not for [0, 10] (0.6): who comes first matters.
    found = [(0.0, 9.0, 0.9), (0.0, 6.0, 0.8)]
    assert average_precision([(0.0, 10.0), (0.0, 8.0)], found, "thumos14", 0.65) == 1.0
    assert average_precision([(0.0, 8.0), (0.0, 10.0)], found, "thumos14", 0.65) == 0.5


def test_reaching_the_threshold_is_enough_for_anet_only() -> None:
    # [0, 5] in [0, 10] is a tIoU of exactly 0.5.
    assert average_precision([(0.0, 10.0)], [(0.0, 5.0, 1.0)], "anet", 0.5) == 1.0
    assert average_precision([(0.0, 10.0)], [(0.0, 5.0, 1.0)], "thumos14", 0.5) == 0.0


def test_thresholds_are_what_they_look_like() -> None:
    # [0, 3] in [0, 10] is exactly 0.3, less than the 0.30000000000000004 of arange(0.1, 0.4, 0.1).
    assert average_precision([(0.0, 10.0)], [(0.0, 3.0, 1.0)], "anet", 0.1 + 0.2) == 1.0


@pytest.mark.parametrize(
    ("span", "thumos14"),
    [
        ((25.0, 35.0), 1.0),  # overlaps the ambiguous stretch [30, 40]: as if never made
        ((39.0, 90.0), 1.0),  # however little
        ((40.0, 50.0), 0.5),  # touching is not overlapping: a miss before the hit
        ((35.0, 35.0), 0.5),  # nor is a point
    ],
)
def test_ambiguous_stretches_neutralise_under_thumos14_only(
    span: tuple[float, float], thumos14: float
) -> None:
    videos = annotated(v=[("A", 0, 10), ("Ambiguous", 30, 40)])
    predictions = {"v": [Detection("A", *span, 0.9), Detection("A", 0, 10, 0.8)]}
    assert run(videos, predictions, "thumos14").average_map == thumos14
    assert run(videos, predictions, "anet").average_map == 0.5


def test_a_hit_counts_also_where_it_is_ambiguous() -> None:
    videos = annotated(v=[("A", 0, 10), ("Ambiguous", 5, 40)], w=[("A", 0, 10)])
    predictions = {"v": [Detection("A", 0, 10, 0.9)], "w": []}
    assert run(videos, predictions, "thumos14").average_map == 0.5


def test_ambiguous_neutralises_in_its_own_video_only() -> None:
    videos = annotated(v=[("A", 0, 10)], w=[("Ambiguous", 0, 100)])
    predictions = {"v": [Detection("A", 50, 60, 0.9), Detection("A", 0, 10, 0.8)]}
    assert run(videos, predictions, "thumos14").average_map == 0.5
    predictions = {"w": [Detection("A", 50, 60, 0.9)], "v": [Detection("A", 0, 10, 0.8)]}
    assert run(videos, predictions, "thumos14").average_map == 1.0


def test_detections_in_videos_that_lack_the_class_are_misses() -> None:
    videos = annotated(v=[("A", 0, 10)], w=[("B", 0, 10)], x=[])
    for other in ("w", "x"):
        predictions = {other: [Detection("A", 0, 10, 0.9)], "v": [Detection("A", 0, 10, 0.8)]}
        for protocol in PROTOCOLS:
            result = run(videos, predictions, protocol)
            assert result.per_class["A"] == pytest.approx(0.5)
            assert result.per_class["B"] == 0.0  # a class without detections


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_equal_scores_keep_the_order_of_the_predictions(protocol: str) -> None:
    # A hit and a miss of equal score: 1 in this order, 1/2 in the other; across videos too.
    videos = annotated(v=[("A", 0, 10)], w=[("B", 0, 10)])
    hit, miss = Detection("A", 0, 10, 0.5), Detection("A", 50, 60, 0.5)
    for predictions, expected in [
        ({"v": [hit, miss]}, 1.0),
        ({"v": [miss, hit]}, 0.5),
        ({"v": [hit], "w": [miss]}, 1.0),
        ({"w": [miss], "v": [hit]}, 0.5),
    ]:
        assert run(videos, predictions, protocol).per_class["A"] == pytest.approx(expected)


def test_of_equal_tious_the_first_in_line_wins() -> None:
    # anet: [5, 15] has tIoU 1/3 with both instances and takes the first; the second detection
    # [10, 21] then has 10/11 with the other: two hits at 0.3. Were the other one taken, [10, 21]
    # would be left without.
    found = [(5.0, 15.0, 0.9), (10.0, 21.0, 0.8)]
    assert average_precision([(0.0, 10.0), (10.0, 20.0)], found, "anet", 0.3) == 1.0
    assert average_precision([(10.0, 20.0), (0.0, 10.0)], found, "anet", 0.3) == 0.5
    # thumos14: both detections have tIoU 1/2 with the instance; the surer one is the hit.
    found = [(0.0, 5.0, 0.8), (5.0, 10.0, 0.9)]
    assert average_precision([(0.0, 10.0)], found, "thumos14", 0.4) == 1.0


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_segments_of_no_length_are_misses_and_cannot_be_hit(protocol: str) -> None:
    assert average_precision([(5.0, 5.0), (0.0, 9.0)], [(5.0, 5.0, 0.9)], protocol) == 0.0
    found = [(0.0, 9.0, 0.9), (5.0, 5.0, 0.8)]
    assert average_precision([(5.0, 5.0), (0.0, 9.0)], found, protocol) == 0.5


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("predictions", [{}, {"v": []}, {"v": [Detection("Z", 0, 10, 0.9)]}])
def test_no_detections_score_zero_and_say_so(protocol: str, predictions: Predictions) -> None:
    result = run(annotated(v=[("A", 0, 10)]), predictions, protocol)
    assert result.average_map == 0.0
    assert result.notes[-1] == "no detections to evaluate: every average precision is 0"
    curves = precision_recall(result.matches, tiou=0.5)
    assert [len(x) for x in curves["A"]] == [0, 0]


def test_everything_left_out_is_counted_and_named() -> None:
    videos = annotated(v=[("A", 0, 10)], w=[("A", 0, 10)], x=[])
    stray = [Detection("Foo", 0, 1, 0.1)] * 2 + [Detection("Bar", 0, 1, 0.1)]
    hit = Detection("A", 0, 10, 0.9)
    predictions = {"v_w": [hit] * 3, "gone": [hit], "empty": [], "v": [*stray, hit], "w": [hit]}
    result = run(videos, predictions, exclude=["w"])
    assert result.notes == (
        "1 video excluded: w",
        "4 detections in 2 videos outside the subset left out (the first: 'v_w')",
        "3 detections of labels without ground truth left out: 'Foo' (2), 'Bar' (1)",
        "1 of 2 videos without detections; they count",
    )
    assert result.average_map == 1.0


def test_a_long_list_of_unknown_labels_is_cut_short() -> None:
    found = [Detection(f"L{k}", 0, 1, 0.5) for k in range(9)]
    note = run(annotated(v=[("A", 0, 10)]), {"v": found}).notes[0]
    assert note.startswith("9 detections of labels without ground truth left out: 'L0' (1), ")
    assert note.endswith("'L4' (1), 4 more")


def test_nothing_to_say_is_no_note() -> None:
    assert run(annotated(v=[("A", 0, 10)]), {"v": [Detection("A", 0, 10, 0.9)]}).notes == ()


def test_excluded_videos_leave_ground_truth_and_detections() -> None:
    videos = annotated(v=[("A", 0, 10)], w=[("A", 0, 10), ("B", 0, 10)])
    predictions = {"w": [Detection("A", 50, 60, 0.9)], "v": [Detection("A", 0, 10, 0.8)]}
    result = run(videos, predictions, exclude=["w"])
    assert (result.num_videos, result.num_instances) == (1, 1)
    assert list(result.per_class) == ["A"]
    assert result.average_map == 1.0


def test_an_excluded_id_that_is_not_there_names_the_nearest() -> None:
    videos = annotated(video_test_0000270=[("A", 0, 1)], video_test_0001292=[])
    for wrong in ("270", "video_test_000270"):
        with pytest.raises(InputError, match=f"{wrong!r}.* 'test'; the nearest: video_test_00002"):
            run(videos, {}, exclude=[wrong])
    with pytest.raises(InputError, match=r"no such video in subset 'test'$"):
        run(videos, {}, exclude=["§§§"])


def test_a_subset_without_ground_truth_is_an_error() -> None:
    for videos in (annotated(v=[], w=[]), annotated(v=[("Ambiguous", 0, 1)], w=[])):
        with pytest.raises(InputError, match="subset 'test' has no ground truth: none of its 2 v"):
            run(videos, {})
    with pytest.raises(InputError, match="none of its 0 videos"):
        run(annotated(v=[("A", 0, 1)]), {}, exclude=["v"])


def test_curves_are_those_of_a_threshold_that_was_evaluated() -> None:
    # A: one of two instances found, at 0.3 and 0.5; B: found at 0.3 only.
    result = example()
    for tiou, hits in [(0.1 + 0.2, [1, 1]), (0.5, [1, 0])]:
        curves = precision_recall(result.matches, tiou=tiou)
        assert [len(recall) for recall, _ in curves.values()] == hits
    with pytest.raises(ValueError, match=r"tIoU 0.4 was not evaluated; there are: 0.3, 0.5"):
        precision_recall(result.matches, tiou=0.4)


@pytest.mark.parametrize("tious", [[], [0.0], [-0.5], [1.01], [50], [0.5, math.nan]])
def test_thresholds_outside_zero_to_one_are_refused(tious: list[float]) -> None:
    with pytest.raises(InputError, match=r"thresholds in \(0, 1\] are needed"):
        run(annotated(v=[("A", 0, 1)]), {}, tious=tious)


def test_other_mistakes_are_refused() -> None:
    videos = annotated(v=[("A", 0, 1)])
    with pytest.raises(InputError, match="threshold twice"):
        run(videos, {}, tious=[0.3, 0.1 + 0.2])
    with pytest.raises(InputError, match="no protocol 'coco'; there are: anet, thumos14"):
        run(videos, {}, "coco")
    with pytest.raises(InputError, match="v: times and score must be finite"):
        run(videos, {"v": [Detection("A", 0, 1, math.nan)]})


def example() -> Evaluation:
    videos = annotated(v=[("A", 0, 10), ("B", 20, 30), ("Ambiguous", 50, 60)], w=[("A", 0, 10)])
    predictions = {"v": [Detection("A", 0, 10, 0.9), Detection("B", 20, 24, 0.9)]}
    return run(videos, predictions, "thumos14", [0.1 + 0.2, 0.5])


def test_json_is_plain_and_complete() -> None:
    # A: one of two instances found. B: tIoU 0.4, found at 0.3 only.
    content: dict[str, Any] = json.loads(json.dumps(example().to_json(), allow_nan=False))
    assert content == {
        "protocol": "thumos14",
        "subset": "test",
        "tious": [0.3, 0.5],
        "num_videos": 2,
        "num_instances": 3,
        "mAP": {"0.3": 0.75, "0.5": 0.25},
        "average_mAP": 0.5,
        "per_class": {"A": {"0.3": 0.5, "0.5": 0.5}, "B": {"0.3": 1.0, "0.5": 0.0}},
        "instances_per_class": {"A": 2, "B": 1},
        "notes": ["1 of 2 videos without detections; they count"],
    }


def test_means_are_over_classes_then_thresholds() -> None:
    result = example()
    np.testing.assert_allclose(result.mean_ap, [0.75, 0.25])
    assert result.average_map == 0.5
