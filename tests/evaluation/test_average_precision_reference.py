"""The evaluator against a naive reading of both toolkits, and its properties."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from tsatal.evaluation.average_precision import Evaluation, evaluate, precision_recall
from tsatal.evaluation.matching import ACTIVITYNET_TIOUS, PROTOCOLS, THUMOS14_TIOUS, Measure
from tsatal.formats.annotations import (
    AnnotatedVideo,
    Detection,
    Instance,
    class_labels,
)
from tsatal.formats.labels.find import load_annotations

from ..conftest import SHARED

ANNOTATIONS = SHARED / "annotations"

Videos = Mapping[str, AnnotatedVideo]
Predictions = Mapping[str, Sequence[Detection]]


def run(videos: Videos, predictions: Predictions, protocol: str, *tious: float) -> Evaluation:
    return evaluate(videos, predictions, Measure(protocol, tious), subset="test")


def naive_tiou(a: Instance | Detection, b: Instance | Detection) -> float:
    shared = max(0.0, min(a.end_sec, b.end_sec) - max(a.start_sec, b.start_sec))
    union = (a.end_sec - a.start_sec) + (b.end_sec - b.start_sec) - shared
    return shared / union if union > 0 else 0.0


def of_label(entries: Sequence[Instance], label: str) -> list[Instance]:
    return [e for e in entries if e.label == label]


def pooled(videos: Videos, predictions: Predictions, label: str) -> list[tuple[str, Detection]]:
    """All detections of a label, by falling score; `sorted` keeps the order of equals."""
    within = [(v, found) for v, found in predictions.items() if v in videos]
    every = [(v, d) for v, found in within for d in found if d.label == label]
    return sorted(every, key=lambda entry: -entry[1].score)


def naive_anet(videos: Videos, predictions: Predictions, label: str, threshold: float) -> float:
    locked: set[tuple[str, int]] = set()
    tp = 0
    recall, precision = [0.0], [0.0]
    npos = sum(len(of_label(v.instances, label)) for v in videos.values())
    for rank, (video, detection) in enumerate(pooled(videos, predictions, label), start=1):
        tious = [naive_tiou(detection, g) for g in of_label(videos[video].instances, label)]
        for g in sorted(range(len(tious)), key=lambda g: -tious[g]):
            if tious[g] < threshold:
                break
            if (video, g) not in locked:
                locked.add((video, g))
                tp += 1
                break
        recall.append(tp / npos)
        precision.append(tp / rank)
    recall, precision = [*recall, 1.0], [*precision, 0.0]
    for i in reversed(range(len(precision) - 1)):
        precision[i] = max(precision[i], precision[i + 1])
    return sum((recall[i] - recall[i - 1]) * precision[i] for i in range(1, len(recall)))


def naive_thumos14(videos: Videos, predictions: Predictions, label: str, threshold: float) -> float:
    ranked = pooled(videos, predictions, label)
    verdicts: dict[int, str] = {}
    by_video: dict[str, list[tuple[int, Detection]]] = {v: [] for v in videos}
    for rank, (name, detection) in enumerate(ranked):
        by_video[name].append((rank, detection))
    for video in videos.values():
        mine = by_video[video.video_id]
        for truth in of_label(video.instances, label):
            best_rank, best = -1, threshold
            for rank, d in mine:
                if rank not in verdicts and naive_tiou(truth, d) > best:
                    best_rank, best = rank, naive_tiou(truth, d)
            if best_rank >= 0:
                verdicts[best_rank] = "hit"
        for rank, d in mine:
            if any(naive_tiou(d, a) > 0 for a in of_label(video.instances, "Ambiguous")):
                verdicts.setdefault(rank, "neither")
    hits, considered, total = 0, 0, 0.0
    for rank in range(len(ranked)):
        if verdicts.get(rank) != "neither":
            considered += 1
        if verdicts.get(rank) == "hit":
            hits += 1
            total += hits / considered
    return total / sum(len(of_label(v.instances, label)) for v in videos.values())


NAIVE = {"anet": naive_anet, "thumos14": naive_thumos14}


def random_videos(seed: int, *, videos: int, labels: str = "ABCD") -> dict[str, AnnotatedVideo]:
    """Instances on a half-second grid, so that tIoUs tie and thresholds are met exactly."""
    chance = random.Random(seed)

    def instance() -> Instance:
        start = chance.randrange(160) / 2
        label = chance.choice([*labels, "Ambiguous"])
        return Instance(label, start, start + chance.randrange(30) / 2)

    ids = [f"v{k}" for k in range(videos)]
    return {
        k: AnnotatedVideo(k, "test", 100.0, tuple(instance() for _ in range(chance.randrange(7))))
        for k in ids
    }


def random_detections(seed: int, videos: Videos, *, per_video: int) -> dict[str, list[Detection]]:
    """Near misses, wrong labels, duplicates and noise, in shuffled order, scores to 2 decimals."""
    chance = random.Random(seed)
    labels = [*class_labels(videos.values()), "Unknown", "Ambiguous"]

    def detection(video: AnnotatedVideo) -> Detection:
        if video.instances and chance.random() < 0.7:
            near = chance.choice(video.instances)
            shift = chance.choice([0.0, 0.0, -0.5, 0.5, chance.gauss(0, 2)])
            start, end = near.start_sec + shift, near.end_sec + chance.choice([0.0, shift, -shift])
            label = near.label if chance.random() < 0.8 else chance.choice(labels)
        else:
            start, label = chance.uniform(0, 80), chance.choice(labels)
            end = start + chance.expovariate(0.2)
        return Detection(label, start, max(start, end), round(chance.random(), 2))

    ids = [*videos, "elsewhere"]
    chance.shuffle(ids)
    blank = AnnotatedVideo("elsewhere", "train", None, ())
    return {
        k: [detection(videos.get(k, blank)) for _ in range(per_video)]
        for k in ids
        if chance.random() < 0.9
    }


def assert_same_as_naive(
    videos: Videos, predictions: Predictions, tious: Sequence[float], labels: Sequence[str]
) -> None:
    for protocol, naive in NAIVE.items():
        result = run(videos, predictions, protocol, *tious)
        for label in labels:
            expected = [naive(videos, predictions, label, t) for t in tious]
            np.testing.assert_allclose(result.per_class[label], expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("seed", range(6))
def test_generated_annotations_score_as_in_the_naive_reading(seed: int) -> None:
    videos = random_videos(seed, videos=30)
    predictions = random_detections(seed, videos, per_video=25)
    assert_same_as_naive(videos, predictions, (0.1, 0.3, 0.5, 0.75, 1.0), "ABCD")


@pytest.mark.parametrize(
    ("name", "subset", "tious", "num_labels"),
    [
        ("thumos14", "test", THUMOS14_TIOUS, 20),
        ("activitynet-1.2", "validation", ACTIVITYNET_TIOUS[::3], 20),
    ],
)
def test_real_annotations_score_as_in_the_naive_reading(
    name: str, subset: str, tious: Sequence[float], num_labels: int
) -> None:
    path = ANNOTATIONS / f"{name}.json"
    if not path.exists():
        pytest.skip(f"real annotations are not at hand: {path.name}")
    videos = load_annotations(path).subset(subset)
    predictions = random_detections(7, videos, per_video=20)
    labels = class_labels(videos.values())
    assert_same_as_naive(videos, predictions, tious, labels[:: len(labels) // num_labels])


def perfect(videos: Videos) -> dict[str, list[Detection]]:
    return {
        k: [Detection(i.label, i.start_sec, i.end_sec, 0.5) for i in v.instances]
        for k, v in videos.items()
    }


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_perfect_detections_score_exactly_one(protocol: str) -> None:
    videos = {
        k: AnnotatedVideo(k, "test", None, tuple(i for i in v.instances if i.end_sec > i.start_sec))
        for k, v in random_videos(3, videos=20).items()
    }
    result = run(videos, perfect(videos), protocol, *ACTIVITYNET_TIOUS)
    assert (result.mean_ap == 1.0).all()
    assert result.average_map == 1.0


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_only_the_order_of_scores_matters(protocol: str) -> None:
    videos = random_videos(1, videos=20)
    predictions = random_detections(1, videos, per_video=30)
    moved = {
        k: [Detection(d.label, d.start_sec, d.end_sec, 10 * d.score**3 - 5) for d in found]
        for k, found in predictions.items()
    }
    before, after = (run(videos, p, protocol, 0.3, 0.7) for p in (predictions, moved))
    np.testing.assert_array_equal(before.mean_ap, after.mean_ap)


@pytest.mark.parametrize("seed", range(5))
def test_detections_below_all_others_never_lower_anet(seed: int) -> None:
    videos = random_videos(seed, videos=20)
    predictions = random_detections(seed, videos, per_video=10)
    more = random_detections(seed + 100, videos, per_video=30)
    below = {
        k: [Detection(d.label, d.start_sec, d.end_sec, d.score - 2) for d in found]
        for k, found in more.items()
    }
    both = {k: [*predictions.get(k, []), *below.get(k, [])] for k in {**predictions, **below}}
    before, after = (run(videos, p, "anet", *THUMOS14_TIOUS) for p in (predictions, both))
    for label, ap in before.per_class.items():
        assert (after.per_class[label] >= ap - 1e-12).all()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_area_under_the_curve_is_the_average_precision(protocol: str) -> None:
    videos = random_videos(2, videos=30)
    predictions = random_detections(2, videos, per_video=20)
    result = run(videos, predictions, protocol, 0.5)
    curves = precision_recall(result.matches, tiou=0.5)
    assert list(curves) == list(result.per_class)
    for label, (recall, precision) in curves.items():
        area = (np.diff(recall, prepend=0.0) * precision).sum()
        assert area == pytest.approx(result.per_class[label][0])
        assert (np.diff(recall) > 0).all()
        assert ((precision > 0) & (precision <= 1)).all()
