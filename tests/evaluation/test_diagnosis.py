"""The error analysis by hand, against `evaluate`, and the sums that its parts make."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsatal.errors import InputError
from tsatal.evaluation.average_precision import evaluate, precision_recall
from tsatal.evaluation.diagnosis import KINDS, NEUTRAL, REASONS, TRUE_POSITIVE, Diagnosis, diagnose
from tsatal.evaluation.matching import PROTOCOLS, Measure, match
from tsatal.evaluation.traits import bucket_ap
from tsatal.formats.annotations import AnnotatedVideo, Detection, Instance

Videos = dict[str, AnnotatedVideo]
Predictions = dict[str, list[Detection]]


def annotated(
    duration: float | None = 100.0, **videos: Sequence[tuple[str, float, float]]
) -> Videos:
    return {
        k: AnnotatedVideo(k, "test", duration, tuple(Instance(*i) for i in instances))
        for k, instances in videos.items()
    }


def detected(**videos: Sequence[tuple[str, float, float, float]]) -> Predictions:
    return {k: [Detection(*d) for d in found] for k, found in videos.items()}


def analysed(
    videos: Mapping[str, AnnotatedVideo],
    predictions: Mapping[str, Sequence[Detection]],
    protocol: str = "anet",
    *tious: float,
    exclude: Sequence[str] = (),
) -> Diagnosis:
    measure = Measure(protocol, tious or (0.5,), tuple(exclude))
    return diagnose(match(videos, predictions, measure, subset="test"))


def at(result: Diagnosis, threshold: str = "0.5") -> dict[str, Any]:
    part: dict[str, Any] = result.to_json()["thresholds"][threshold]
    return part


# One video, class A at [0, 10] and [40, 50], class B at [20, 30] and [60, 70]; threshold 0.5.
TRUTH = annotated(v=[("A", 0, 10), ("A", 40, 50), ("B", 20, 30), ("B", 60, 70)])
# Class A by falling score, with its largest tIoU with A (same) and with B (other):
FOUND_A = [
    ("A", 0.0, 10.0, 0.9),  # same 1: true positive
    ("A", 1.0, 11.0, 0.8),  # same 9/11, [0, 10] already hit: double detection
    ("A", 20.0, 29.0, 0.7),  # same 0, other 9/10: wrong label
    ("A", 46.0, 56.0, 0.6),  # same 4/16 = 0.25: localization; [40, 50] stays missed
    ("A", 26.0, 36.0, 0.5),  # other 4/16 = 0.25: confusion
    ("A", 80.0, 90.0, 0.4),  # background
    ("A", 40.0, 50.0, 0.3),  # same 1: true positive
]
# Class B: a hit, and nothing for [60, 70].
FOUND_B = [("B", 20.0, 30.0, 0.95)]


def test_each_kind_of_error_by_hand() -> None:
    result = analysed(TRUTH, detected(v=FOUND_A))
    assert result.kind[0].tolist() == [0, 1, 2, 3, 4, 5, 0]


def test_parts_of_the_hand_made_case_add_up() -> None:
    part = at(analysed(TRUTH, detected(v=FOUND_A + FOUND_B)))
    assert part["detections"] == {
        "all": 8, "neutral": 0, "beyond": 0, "considered": 8, "true positive": 3,
        "double detection": 1, "wrong label": 1, "localization": 1, "confusion": 1,
        "background": 1,
    }  # fmt: skip
    assert part["instances"] == {
        "all": 4, "found": 3, "missed": 1, "missed_because": dict.fromkeys(REASONS, 0)
        | {"not seen": 1},
    }  # fmt: skip


def test_what_each_kind_costs_by_hand() -> None:
    # Class A has 2 instances, hits at ranks 1 and 7: AP = (1 + 2/7) / 2 = 9/14. Without any one of
    # the five errors the second hit is at rank 6: (1 + 2/6) / 2 = 2/3, a gain of 1/42. Class B has
    # AP (1 + 0) / 2 = 1/2, and no errors to lose. mAP = (9/14 + 1/2) / 2 = 4/7, and each kind
    # costs (1/42) / 2 = 1/84. Mean recall is (1 + 1/2) / 2 = 3/4: false positives cost
    # 3/4 - 4/7 = 5/28 together, the missed [60, 70] 1/4.
    part = at(analysed(TRUTH, detected(v=FOUND_A + FOUND_B)))
    assert part["mAP"] == pytest.approx(4 / 7)
    assert part["gain"] == pytest.approx(dict.fromkeys(KINDS, 1 / 84))
    assert part["cost"] == pytest.approx({"false positives": 5 / 28, "missed": 1 / 4})
    assert part["mAP"] + sum(part["cost"].values()) == pytest.approx(1)


def test_the_profile_goes_in_steps_of_the_number_of_instances() -> None:
    # A has 2 instances: ranks 1-2, 3-4, 5-6, 7; B has 2: rank 1 in the first step.
    part = at(analysed(TRUTH, detected(v=FOUND_A + FOUND_B)))
    first, second, third, fourth, *rest = [
        {name: n for name, n in step.items() if n and name != "considered"}
        for step in part["profile"]
    ]
    assert first == {TRUE_POSITIVE: 2, "double detection": 1}
    assert second == {"wrong label": 1, "localization": 1}
    assert third == {"confusion": 1, "background": 1}
    assert fourth == {TRUE_POSITIVE: 1}
    assert rest == [{}] * 6


def test_ten_times_the_instances_are_considered_and_the_rest_is_counted() -> None:
    # 1 instance: ranks 1 to 10 are considered; of 25 detections, 15 are beyond.
    found = [("A", 50.0 + n, 51.0 + n, 1 - n / 100) for n in range(25)]
    part = at(analysed(annotated(v=[("A", 0, 10)]), detected(v=found)))
    assert part["detections"]["considered"] == part["detections"]["background"] == 10
    assert part["detections"]["beyond"] == 15


def test_a_hit_far_down_the_ranking_is_still_found_and_its_errors_still_cost() -> None:
    # 30 background errors above the only hit: AP 1/31, and 1 without them, though 20 are beyond.
    found = [("A", 50.0, 51.0, 0.9)] * 30 + [("A", 0.0, 10.0, 0.1)]
    part = at(analysed(annotated(v=[("A", 0, 10)]), detected(v=found)))
    assert part["gain"]["background"] == pytest.approx(30 / 31)
    assert part["instances"]["found"] == 1
    assert part["detections"][TRUE_POSITIVE] == 0  # it ranks 31st, beyond the first 10


@pytest.mark.parametrize("order", [1, -1])
def test_the_right_label_comes_first_whatever_the_order_of_the_file(order: int) -> None:
    # [0, 10] is both Diving and CliffDiving, as in THUMOS14. The second Diving there is a double
    # detection; the third overlaps both by 4/16: localization.
    instances = [("Diving", 0.0, 10.0), ("CliffDiving", 0.0, 10.0)][::order]
    spans = [(0.0, 10.0, 0.9), (0.0, 10.0, 0.8), (6.0, 16.0, 0.7)]
    found = [("Diving", *span) for span in spans]
    result = analysed(annotated(v=instances), detected(v=found))
    assert [KINDS[n - 1] for n in result.kind[0, 1:]] == ["double detection", "localization"]


def test_a_good_fit_of_another_label_is_worse_than_a_bad_fit_of_the_right_one() -> None:
    # [8, 18]: same [0, 10] 2/18 = 0.11, other [9, 19] 9/11: the label is wrong. [6, 16] with
    # other [7, 30] 9/24 = 0.375: same 4/16 = 0.25: what is wrong are the bounds.
    for other, span, kind in [
        ((9.0, 19.0), (8.0, 18.0), "wrong label"),
        ((7.0, 30.0), (6.0, 16.0), "localization"),
    ]:
        truth = annotated(v=[("A", 0, 10), ("B", *other)])
        result = analysed(truth, detected(v=[("A", *span, 0.9)]))
        assert KINDS[result.kind[0, 0] - 1] == kind


def test_a_video_without_instances_holds_background_only() -> None:
    """The study's program compares the second detection there with the video before."""
    truth = annotated(v=[("A", 0, 10)], w=[])
    found = detected(w=[("A", 0, 10, 0.9), ("A", 0, 10, 0.8)], v=[("A", 0, 10, 0.7)])
    assert analysed(truth, found).kind[0].tolist() == [5, 5, 0]


def test_kinds_change_with_the_threshold() -> None:
    # tIoU 0.6 is a hit at 0.5, an error of localization at 0.7.
    result = analysed(annotated(v=[("A", 0, 10)]), detected(v=[("A", 0, 6, 0.9)]), "anet", 0.5, 0.7)
    assert result.kind.tolist() == [[0], [3]]
    assert at(result, "0.7")["instances"]["missed_because"]["boundaries"] == 1


def test_below_the_least_overlap_there_is_no_localization() -> None:
    # At a threshold of 0.05, tIoU 0.05 hits and the duplicate is double; what overlaps less is
    # background: no error fits between the threshold and 0.1.
    found = detected(v=[("A", 0, 0.5, 0.9), ("A", 0, 0.5, 0.8), ("A", 0, 0.4, 0.7)])
    result = analysed(annotated(v=[("A", 0, 10)]), found, "anet", 0.05)
    assert result.kind[0].tolist() == [0, 1, 5]


def test_why_instances_are_missed_by_hand() -> None:
    truth = annotated(
        v=[("A", 0, 10), ("A", 1, 11), ("A", 30, 40), ("A", 50, 60), ("A", 70, 80), ("B", 90, 99)]
    )
    found = detected(
        v=[
            ("A", 0, 10, 0.9),  # hits [0, 10]; reaches [1, 11] too, which nothing else touches
            ("B", 30, 40, 0.8),  # [30, 40] under another label
            ("A", 56, 66, 0.7),  # [50, 60] with a tIoU of 4/16
            ("B", 76, 86, 0.6),  # [70, 80] with a tIoU of 4/16, under another label
        ]
    )
    result = analysed(truth, found)
    assert [("found", *REASONS)[n] for n in result.fate[0]] == [
        "found", "taken", "wrong label", "boundaries", "label and boundaries", "not seen",
    ]  # fmt: skip


def test_neutral_detections_are_left_out_under_thumos14() -> None:
    # [35, 45] overlaps the ambiguous [40, 50]; under anet it is background.
    truth = annotated(v=[("A", 0, 10), ("Ambiguous", 40, 50)])
    found = detected(v=[("A", 35, 45, 0.9), ("A", 0, 10, 0.8)])
    neutral = analysed(truth, found, "thumos14")
    assert neutral.kind[0].tolist() == [NEUTRAL, 0]
    assert at(neutral)["detections"]["neutral"] == 1
    assert at(neutral)["detections"]["considered"] == 1
    assert at(neutral)["mAP"] == 1.0
    assert analysed(truth, found).kind[0].tolist() == [5, 0]


def test_reaching_the_threshold_is_read_as_the_protocol_reads_it() -> None:
    # tIoU exactly 0.5: a hit under anet, an error of localization under thumos14.
    truth, found = annotated(v=[("A", 0, 10)]), detected(v=[("A", 0, 5, 0.9)])
    assert analysed(truth, found, "anet").kind[0, 0] == 0
    assert KINDS[analysed(truth, found, "thumos14").kind[0, 0] - 1] == "localization"


def test_the_average_precision_of_buckets_by_hand() -> None:
    # A: 3 instances of 1 s and one of 20 s, B: two of 10 s. Ranks of A: hit (1 s), error, hit
    # (20 s): precision 1 and 2/3, the other two missed; of B: hit, the other missed. In mAP an
    # instance of A weighs 1/8, one of B 1/4: mAP = (1/8)(1 + 2/3) + 1/4 = 11/24.
    # Over 1 s: ((1/8)(2/3) + 1/4) / (1/8 + 2/4) = 8/15. The others: (1/8) / (3/8) = 1/3.
    truth = annotated(
        v=[("A", 0, 1), ("A", 2, 3), ("A", 4, 5), ("A", 20, 40), ("B", 50, 60), ("B", 70, 80)]
    )
    found = detected(
        v=[("A", 0, 1, 0.9), ("A", 90, 91, 0.8), ("A", 20, 40, 0.7), ("B", 50, 60, 0.9)]
    )
    result = analysed(truth, found)
    long = np.array([False, False, False, True, True, True])
    assert bucket_ap(result.matches, result.worth, long) == pytest.approx([8 / 15])
    assert bucket_ap(result.matches, result.worth, ~long) == pytest.approx([1 / 3])
    assert result.mean_ap == pytest.approx([11 / 24])


def test_the_average_precision_of_a_video_by_hand() -> None:
    # v: wrong label, hit; 2 instances: precision 1/2 at the one hit, AP 1/4. w has none.
    truth = annotated(v=[("A", 0, 10), ("B", 20, 30)], w=[])
    found = detected(v=[("B", 0, 10, 0.9), ("A", 0, 10, 0.8)], w=[("A", 0, 1, 0.5)])
    assert analysed(truth, found).video_ap[0] == pytest.approx([0.25, np.nan], nan_ok=True)


def test_nothing_found_is_all_missed() -> None:
    part = at(analysed(TRUTH, {}))
    assert part["mAP"] == 0 and part["cost"] == {"false positives": 0, "missed": 1}
    assert part["instances"]["missed_because"]["not seen"] == 4
    json.dumps(part, allow_nan=False)


def test_no_ground_truth_is_refused() -> None:
    with pytest.raises(InputError, match="no ground truth"):
        analysed(annotated(v=[("Ambiguous", 0, 1)]), {})


def test_excluded_videos_and_unknown_labels_are_left_out() -> None:
    truth = annotated(v=[("A", 0, 10)], w=[("A", 0, 10)])
    found = detected(w=[("A", 0, 10, 0.9)], v=[("Z", 0, 10, 0.9)], gone=[("A", 0, 1, 0.9)])
    part = at(analysed(truth, found, exclude=["w"]))
    assert part["detections"]["all"] == 0 and part["instances"]["all"] == 1


def random_case(seed: int, *, videos: int = 4) -> tuple[Videos, Predictions]:
    """Crowded videos on a grid of whole seconds, so that ties of every sort occur."""
    rng = np.random.default_rng(seed)
    labels = ["A", "B", "C", "Ambiguous"]

    def spans(number: int) -> list[tuple[str, float, float]]:
        starts, lengths = rng.integers(0, 30, number), rng.integers(0, 12, number)
        chosen = rng.choice(labels, number, p=[0.4, 0.3, 0.2, 0.1])
        return [
            (str(label), float(a), float(a + n))
            for label, a, n in zip(chosen, starts, lengths, strict=True)
        ]

    truth = annotated(40.0, **{f"v{n}": spans(int(rng.integers(0, 8))) for n in range(videos)})
    truth |= annotated(40.0, always=[("A", 0, 5)])
    found = detected(
        **{
            f"v{n}": [(*s, float(rng.integers(0, 6)) / 5) for s in spans(int(rng.integers(0, 25)))]
            for n in rng.permutation(videos + 1)  # the last one is not in the subset
        }
    )
    return truth, found


@settings(max_examples=60)
@given(seed=st.integers(0, 10**6), protocol=st.sampled_from(PROTOCOLS))
def test_hits_and_average_precisions_are_those_of_evaluate(seed: int, protocol: str) -> None:
    truth, found = random_case(seed)
    tious = (0.1, 0.3, 0.5, 0.75)
    expected = evaluate(truth, found, Measure(protocol, tious), subset="test")
    result = diagnose(expected.matches)
    assert list(result.matches.labels) == list(expected.per_class)
    np.testing.assert_allclose(result.ap.T, list(expected.per_class.values()), atol=1e-12)
    for k, threshold in enumerate(tious):
        curves = precision_recall(expected.matches, tiou=threshold)
        assert [len(r) for r, _ in curves.values()] == result.found_per_class[k].tolist()


@settings(max_examples=60)
@given(seed=st.integers(0, 10**6), protocol=st.sampled_from(PROTOCOLS))
def test_parts_add_up(seed: int, protocol: str) -> None:
    truth, found = random_case(seed)
    result = analysed(truth, found, protocol, 0.3, 0.5, 0.9, exclude=["v0"])
    labels = set(result.matches.labels)
    judged = sum(
        d.label in labels for v, ds in found.items() if v in truth and v != "v0" for d in ds
    )
    instances = sum(i.label in labels for v in truth.values() if v.video_id != "v0"
                    for i in v.instances)  # fmt: skip
    for part in result.to_json()["thresholds"].values():
        d, i = part["detections"], part["instances"]
        assert d["all"] == judged == d["considered"] + d["beyond"] + d["neutral"]
        assert d["considered"] == d[TRUE_POSITIVE] + sum(d[kind] for kind in KINDS)
        for name in (TRUE_POSITIVE, *KINDS, "considered"):
            assert d[name] == sum(step[name] for step in part["profile"])
            classes = part["per_class"].values()
            assert d[name] == sum(c["detections"][name] for c in classes)
        assert i["all"] == instances == i["found"] + i["missed"]
        assert i["missed"] == sum(i["missed_because"].values())
        for buckets in part["traits"].values():
            for name in ("all", "found", "missed"):
                assert i[name] == sum(b[name] for b in buckets)
            assert part["mAP"] == pytest.approx(sum(b["weight"] * b["AP"] for b in buckets))
        assert part["mAP"] + sum(part["cost"].values()) == pytest.approx(1)
        assert all(gain >= -1e-12 for gain in part["gain"].values())


@settings(max_examples=30)
@given(seed=st.integers(0, 10**6), protocol=st.sampled_from(PROTOCOLS))
def test_a_gain_is_what_evaluate_says_without_those_errors(seed: int, protocol: str) -> None:
    truth, found = random_case(seed)
    result = analysed(truth, found, protocol)
    entries = result.matches.detections
    for n, kind in enumerate(KINDS, start=1):
        gone = {
            (result.matches.video_ids[v], int(p))
            for v, p in zip(*(x[result.kind[0] == n] for x in (entries.video, entries.place)),
                            strict=True)
        }  # fmt: skip
        left = {v: [d for p, d in enumerate(ds) if (v, p) not in gone] for v, ds in found.items()}
        without = evaluate(truth, left, Measure(protocol, (0.5,)), subset="test")
        gain = at(result)["gain"][kind]
        assert gain == pytest.approx(without.average_map - at(result)["mAP"], abs=1e-12)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_fifty_thousand_detections_take_seconds(protocol: str) -> None:
    rng = np.random.default_rng(0)
    truth, found = {}, {}
    for n in range(200):
        starts = rng.uniform(0, 200, 20)
        instances = [Instance(f"c{rng.integers(20)}", s, s + rng.uniform(1, 9)) for s in starts]
        truth[f"v{n}"] = AnnotatedVideo(f"v{n}", "test", 210.0, tuple(instances))
        picked = [instances[i] for i in rng.integers(0, 20, 250)]
        shift = rng.normal(0, 1, (250, 2))
        found[f"v{n}"] = [
            Detection(i.label, i.start_sec + a, i.end_sec + abs(b), rng.uniform())
            for i, (a, b) in zip(picked, shift, strict=True)
        ]
    started = time.process_time()  # of this processor: other programs may run
    analysed(truth, found, protocol, 0.3, 0.4, 0.5, 0.6, 0.7).to_json()
    assert time.process_time() - started < 20
