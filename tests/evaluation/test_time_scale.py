"""A wrong scale is named where it is plain, and nothing is said where it is not."""

import numpy as np
import pytest

from tsatal.evaluation.time_scale import likely_scale
from tsatal.formats.annotations import AnnotatedVideo, Detection, Instance

LABELS = ("Jump", "Run", "Throw")


def data_set(
    videos: int = 6, *, seed: int = 0, noise: float = 0.1, background: int = 20, per_video: int = 8
) -> tuple[dict[str, AnnotatedVideo], dict[str, list[Detection]]]:
    """Return ground truth, and detections near it (by `noise` of a length) among false ones."""
    rng = np.random.default_rng(seed)
    truth, found = {}, {}
    for n in range(videos):
        duration = float(rng.uniform(60, 300))
        starts = rng.uniform(0, duration - 12, per_video)
        instances = [
            Instance(str(rng.choice(LABELS)), float(s), float(s + rng.uniform(2, 10)))
            for s in starts
        ]
        detections = []
        for i in instances:
            shift = noise * (i.end_sec - i.start_sec) * rng.normal(size=2)
            start, end = sorted((i.start_sec + shift[0], i.end_sec + shift[1]))
            detections.append(Detection(i.label, float(start), float(end), rng.uniform(0.3, 1)))
        for start in rng.uniform(0, duration - 10, background):
            label, length = str(rng.choice(LABELS)), rng.uniform(2, 10)
            detections.append(Detection(label, start, start + length, rng.uniform(0, 0.6)))
        truth[f"v{n}"] = AnnotatedVideo(f"v{n}", "test", duration, tuple(instances))
        found[f"v{n}"] = detections
    return truth, found


def scaled(found: dict[str, list[Detection]], factor: float) -> dict[str, list[Detection]]:
    return {
        v: [Detection(d.label, d.start_sec * factor, d.end_sec * factor, d.score) for d in each]
        for v, each in found.items()
    }


@pytest.mark.parametrize(
    ("factor", "unit"),
    [
        (0.6, "are they frames at about 15 per second, divided by 25?"),
        (1000.0, "are they milliseconds?"),
        (25.0, "are they frames, at about 25 per second?"),
        (30000 / 1001, "are they frames, at about 30 per second?"),
        (1 / 60, "are they minutes?"),
        (25 / 30, "are they frames at about 25 per second, divided by 30?"),
        (0.713, "(mean best tIoU)"),
    ],
)
@pytest.mark.parametrize("seed", range(3))
def test_a_wrong_scale_is_found(factor: float, unit: str, seed: int) -> None:
    truth, found = data_set(seed=seed)
    scale = likely_scale(truth, scaled(found, factor))
    assert scale is not None and scale.factor == pytest.approx(1 / factor, rel=0.01)
    assert unit in str(scale)


def test_shares_of_each_video_are_found() -> None:
    truth, found = data_set()
    shares = {v: scaled({v: d}, 1 / (truth[v].duration_sec or 1))[v] for v, d in found.items()}
    scale = likely_scale(truth, shares)
    assert scale is not None and scale.factor is None
    assert "multiplied by the length of the video" in str(scale)


@pytest.mark.parametrize("seed", range(20))
def test_nothing_is_said_of_detections_by_chance(seed: int) -> None:
    truth, _ = data_set(seed=seed)
    _, others = data_set(seed=seed + 100)
    assert likely_scale(truth, others) is None
    few, _ = data_set(2, seed=seed, per_video=4)
    assert likely_scale(few, data_set(2, seed=seed + 100, per_video=4)[1]) is None


@pytest.mark.parametrize("noise", [0.0, 0.1, 0.5, 2.0])
def test_nothing_is_said_of_the_right_scale(noise: float) -> None:
    truth, found = data_set(noise=noise)
    assert likely_scale(truth, found) is None
    longer = {
        v: [Detection(d.label, d.start_sec, d.end_sec + 5, d.score) for d in each]
        for v, each in found.items()
    }
    assert likely_scale(truth, longer) is None


def test_what_lies_past_the_ends_is_said() -> None:
    truth, found = data_set()
    assert "end after the video" in str(likely_scale(truth, scaled(found, 25.0)))
    assert "end after the video" not in str(likely_scale(truth, scaled(found, 0.6)))


def test_one_video_or_nothing_to_compare() -> None:
    truth, found = data_set(1, per_video=16)
    scale = likely_scale(truth, scaled(found, 0.5))
    assert scale is not None and scale.factor == pytest.approx(2, rel=0.01)
    assert likely_scale(truth, {}) is None
    other = {v: [Detection("x", d.start_sec, d.end_sec, 1.0) for d in e] for v, e in found.items()}
    assert likely_scale(truth, other) is None
    zero = {v: [Detection(d.label, 0.0, 0.0, 1.0) for d in e] for v, e in found.items()}
    assert likely_scale(truth, zero) is None
