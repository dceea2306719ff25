"""What detections above an operating point are worth: as events, not as a ranking.

Precision, recall, counts and false alarms per hour, and the F1 of segments, by class and together.
What the annotations ignore counts neither way: neither detections there, nor the time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..formats.annotations import AMBIGUOUS, AnnotatedVideo, Detection
from .matching import ANET, Matches, Measure, Predictions, Videos, match
from .operating_point import OperatingPoint, looking_away, threshold_number
from .segment_f1 import NONE, SegmentCounts, count_segments, is_ignored


@dataclass(frozen=True)
class Events:
    """What the detections above an operating point are worth.

    instances, detections, right: how many there are, and how many detections hit an instance.
    hours: of the videos, as far as they count and are known; 0 where not.
    segments: the same as segments that do not overlap, see `segment_f1`.
    """

    instances: int
    detections: int
    right: int
    hours: float = 0.0
    segments: SegmentCounts = NONE

    def to_json(self) -> dict[str, Any]:
        """Return counts and shares as JSON's own types."""
        counts = {name: value for name, value in asdict(self).items() if name != "segments"}
        shares = ("precision", "recall", "f1", "count_error", "false_alarms_per_hour")
        shares_of = {name: getattr(self, name) for name in shares}
        return {**counts, **shares_of, "segment_f1": self.segments.f1}

    @property
    def precision(self) -> float:
        """The share of detections that are right; 1 where there are none."""
        return self.right / self.detections if self.detections else 1.0

    @property
    def recall(self) -> float:
        """The share of instances that are found; 1 where there are none."""
        return self.right / self.instances if self.instances else 1.0

    @property
    def f1(self) -> float:
        """The harmonic mean of precision and recall."""
        both = self.detections + self.instances
        return 2 * self.right / both if both else 1.0

    @property
    def count_error(self) -> float:
        """How far the number of detections is off, as a share of the instances."""
        return abs(self.detections - self.instances) / max(self.instances, 1)

    @property
    def false_alarms_per_hour(self) -> float | None:
        """Detections per hour that are wrong; None where the videos' durations are unknown."""
        return (self.detections - self.right) / self.hours if self.hours else None


@dataclass(frozen=True)
class Outcome:
    """What a run's detections above its operating point are worth in a subset, by class."""

    point: OperatingPoint
    subset: str
    per_class: Mapping[str, Events]

    @property
    def all(self) -> Events:
        """All classes together."""
        return together(self.per_class)

    @property
    def in_words(self) -> str:
        """Which detections these are, and what was right."""
        flatters = "; chosen on these very videos, which flatters"
        return (
            f"above the run's own thresholds ({self.point.in_words}); right: a tIoU of at least "
            f"{self.point.tiou:g}{flatters if self.subset == self.point.subset else ''}"
        )

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain values."""
        by_class = {
            label: {"threshold": self.point.of(label), **seen.to_json()}
            for label, seen in self.per_class.items()
        }
        return {
            "rule": self.point.rule,
            "chosen_on": self.point.subset,
            "tiou": self.point.tiou,
            "all": self.all.to_json(),
            "per_class": by_class,
        }


def outcome(videos: Videos, found: Predictions, point: OperatingPoint, *, subset: str) -> Outcome:
    """Return what the detections above an operating point are worth in these videos.

    Args:
        videos: the ground truth of the subset, with durations where they are known.
        found: detections with calibrated scores, where the point has a calibration.
    """
    matches = match(looking_away(videos), found, Measure(ANET, (point.tiou,)), subset=subset)
    return Outcome(point, subset, events(matches, point, tiou=point.tiou))


def events(matches: Matches, point: OperatingPoint, *, tiou: float = 0.5) -> dict[str, Events]:
    """Return what the detections above an operating point are worth, by class.

    Classes that the point knows and that no instance has are there, too: all they find is wrong.

    Args:
        tiou: one of the thresholds of the matches.
    """
    k = threshold_number(matches, tiou)
    hit, counted = matches.hit[k], ~matches.neutral[k]
    seconds = [_seconds_that_count(video) for video in matches.videos.values()]
    hours = sum(s or 0.0 for s in seconds) / 3600 if None not in seconds else 0.0
    above = {
        video_id: [d for d in matches.predictions.get(video_id, ()) if d.score >= point.of(d.label)]
        for video_id in matches.videos
    }
    elsewhere = sorted({*point.thresholds} - {*matches.labels, AMBIGUOUS})
    segments = count_segments(matches.videos, above, [*matches.labels, *elsewhere])
    found = {}
    for label, ranked, count in zip(
        matches.labels, matches.rankings, matches.instances_per_class, strict=True
    ):
        kept = ranked[(matches.score[ranked] >= point.of(label)) & counted[ranked]]
        found[label] = Events(int(count), len(kept), int(hit[kept].sum()), hours, segments[label])
    for label in elsewhere:
        wrong = _without_instances(matches.videos, above, label)
        found[label] = Events(0, wrong, 0, hours, segments[label])
    return found


def together(found: Mapping[str, Events]) -> Events:
    """Return all classes' events as one."""
    every = list(found.values())
    return Events(
        sum(e.instances for e in every),
        sum(e.detections for e in every),
        sum(e.right for e in every),
        max((e.hours for e in every), default=0.0),
        sum((e.segments for e in every), NONE),
    )


def _without_instances(videos: Videos, above: Mapping[str, Sequence[Detection]], label: str) -> int:
    """Return how many detections of a class that the videos do not have count."""
    return sum(
        d.label == label and not is_ignored(d, videos[video_id])
        for video_id, found in above.items()
        for d in found
    )


def _seconds_that_count(video: AnnotatedVideo) -> float | None:
    """Return how long a video is without what is ignored of it; None where nobody knows."""
    if not video.duration_sec:
        return None
    ignored = (min(end, video.duration_sec) - start for start, end in video.ignored)
    return max(video.duration_sec - sum(max(seconds, 0.0) for seconds in ignored), 0.0)
