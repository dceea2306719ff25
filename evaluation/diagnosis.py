"""Why an mAP is what it is: matches come in, and go out as kinds of errors with their costs.

After Alwassel, Caba Heilbron, Escorcia and Ghanem, "Diagnosing Error in Temporal Action Detectors"
(ECCV 2018), section 3, on the matches that the mAP is measured by. At a tIoU threshold t, with
`same` and `other` a detection's largest tIoU with the instances of its own label and of any other
label in its video, the first line that applies is its kind:

    true positive      it hit an instance
    double detection   same reaches t: its instances were already hit by others
    wrong label        other reaches t
    localization       same is at least 0.1
    confusion          other is at least 0.1
    background         neither: nothing is there

So kinds exclude each other, leave nothing out, and depend on nothing but the two numbers. (For
`thumos14`, "reaches" is ">"; detections that count neither way have no kind.) Of each class, the
best 10 G detections are *considered*, G being its number of instances, as in the study; true
positives and the five kinds add up to them.

Turned around, the same lines say why an instance was missed: see `REASONS`.

Three things are different from the study and its program:

* There the instance of largest tIoU alone decides between right and wrong label. Where it is a tie
  (every CliffDiving of THUMOS14 is also a Diving, with the same bounds) the order of the file
  decides, and a double detection that happens to fit a neighbour of another label better is called
  a wrong label. Here the right label comes first.
* There AP is normalised (AP_N) and measured on the considered detections; here the gains are those
  of the reported mAP: all detections of a kind, wherever they rank, are as if never made. Removing
  errors changes no match. Nor are buckets of instances compared by AP_N: see `traits.bucket_ap`.
* The program compares the second and further detections of a video without instances with the
  instances of the video before, and a bucket's detections dropped at one threshold stay dropped at
  the next. These are taken for mistakes.

Gains of single kinds do not add up: where two errors rank above the same hit, removing one leaves
the other. What does add up is 1 = mAP + (mean recall - mAP) + (1 - mean recall): the second term is
what all false positives cost together (without any, every hit has precision 1, and AP is the
recall), the third what the missed instances cost.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from ..segments import tiou
from .average_precision import precision_at_hits
from .matching import Entries, Matches, pairs, threshold_name
from .traits import Trait, bucket_ap, instance_weights, traits

TRUE_POSITIVE = "true positive"
KINDS = ("double detection", "wrong label", "localization", "confusion", "background")
# Why an instance was missed, by the same tests on the detections near it: one of its label reaches
# the threshold, but hit another instance; one of another label reaches it; ...
REASONS = ("taken", "wrong label", "boundaries", "label and boundaries", "not seen")
MATCHED, NEUTRAL = 0, len(KINDS) + 1  # codes beside 1..5 of the kinds and reasons
TOUCH = 0.1  # tIoU from which on a detection is about an instance rather than about nothing
MULTIPLES = 10  # of the instances of a class: so many of its detections are considered


@dataclass(frozen=True, eq=False, repr=False)
class Diagnosis:
    """The kind of every detection and the fate of every instance, and what they cost.

    K thresholds, C classes, N detections, M instances, V videos, in the order of `matches`.

    kind: 0 true positive, 1..5 `KINDS`, 6 neutral, (K, N) int.
    fate: 0 found, 1..5 `REASONS`, (K, M) int.
    tally: number of true positives and of each kind among the G best detections of a class, the
        next G, and so on ten times, and last among all that are beyond, (K, C, 11, 6) int.
    ap: average precision, (K, C) in [0, 1]; ap_without: the same without one kind, (5, K, C).
    video_ap: average precision of one video's detections of all classes in one ranking, against
        all its instances, (K, V); nan for a video without instances.
    traits: buckets of instances.
    worth: the precision at the hit of every instance, 0 where missed, (K, M): AP is its mean.
    """

    matches: Matches
    kind: np.ndarray
    fate: np.ndarray
    tally: np.ndarray
    ap: np.ndarray
    ap_without: np.ndarray
    video_ap: np.ndarray
    traits: tuple[Trait, ...]
    worth: np.ndarray

    @property
    def mean_ap(self) -> np.ndarray:
        """Return the mean over classes, (K,)."""
        return np.asarray(self.ap.mean(axis=1))

    @cached_property
    def recall(self) -> np.ndarray:
        """Return the share of every class's instances that were found, (K, C)."""
        return self.found_per_class / self.matches.instances_per_class

    @property
    def gain(self) -> np.ndarray:
        """Return how much mAP rises when the errors of one kind are gone, (5, K)."""
        return np.asarray((self.ap_without - self.ap).mean(axis=2))

    @cached_property
    def found_per_class(self) -> np.ndarray:
        """Return the number of instances of every class that were found, (K, C) int."""
        labels, classes = self.matches.instances.label, len(self.matches.labels)
        return np.array([np.bincount(labels[f], minlength=classes) for f in self.matches.found])

    def to_json(self) -> dict[str, Any]:
        """Return everything as plain values for JSON, a part for every threshold."""
        return {
            "matching": self.matches.measure.protocol,
            "average_gain": _by_kind(self.gain.mean(axis=1)),
            "thresholds": {
                threshold_name(t): self._at(k) for k, t in enumerate(self.matches.measure.tious)
            },
        }

    def _at(self, k: int) -> dict[str, Any]:
        mean_ap, mean_recall = float(self.mean_ap[k]), float(self.recall[k].mean())
        return {
            "mAP": mean_ap,
            "mean_recall": mean_recall,
            "cost": {"false positives": mean_recall - mean_ap, "missed": 1 - mean_recall},
            "gain": _by_kind(self.gain[:, k]),
            "detections": {
                "all": len(self.matches.detections),
                "neutral": int(self.matches.neutral[k].sum()),
                "beyond": int(self.tally[k, :, MULTIPLES].sum()),
                **_counts(self.tally[k, :, :MULTIPLES].sum(axis=(0, 1))),
            },
            "profile": [_counts(n) for n in self.tally[k, :, :MULTIPLES].sum(axis=0)],
            "instances": fates(self.fate[k]),
            "traits": {trait.name: self._buckets_at(k, trait) for trait in self.traits},
            "per_class": {
                label: {
                    "AP": float(self.ap[k, c]),
                    "instances": int(self.matches.instances_per_class[c]),
                    "found": int(self.found_per_class[k, c]),
                    "detections": _counts(self.tally[k, c, :MULTIPLES].sum(axis=0)),
                    "gain": _by_kind(self.ap_without[:, k, c] - self.ap[k, c]),
                }
                for c, label in enumerate(self.matches.labels)
            },
        }

    def _buckets_at(self, k: int, trait: Trait) -> list[dict[str, Any]]:
        weight = instance_weights(self.matches)
        return [
            {
                "name": bucket.name,
                "AP": float(bucket_ap(self.matches, self.worth[k : k + 1], bucket.members)[0]),
                "weight": float(weight[bucket.members].sum()),
                **fates(self.fate[k, bucket.members]),
            }
            for bucket in trait.buckets
        ]


def diagnose(matches: Matches) -> Diagnosis:
    """Return the kinds of errors among the detections, and what they cost."""
    near, reach = _nearness(matches.detections, matches.instances)
    kind = sorted_by_kind(matches, matches.hit, near)
    kind[matches.neutral] = NEUTRAL
    counted = kind != NEUTRAL
    worth = precision_of_instances(matches, counted)
    without = (
        precision_of_instances(matches, counted & (kind != n)) for n in range(1, len(KINDS) + 1)
    )
    return Diagnosis(
        matches=matches,
        kind=kind,
        fate=sorted_by_kind(matches, matches.found, reach),
        tally=_tally(matches, kind),
        ap=average_precisions(matches, worth),
        ap_without=np.array([average_precisions(matches, w) for w in without]),
        video_ap=_video_ap(matches, counted),
        traits=traits(matches),
        worth=worth,
    )


def _nearness(detections: Entries, instances: Entries) -> tuple[np.ndarray, np.ndarray]:
    """Return the largest tIoUs of detections with instances, (2, N), and the reverse, (2, M).

    Only entries in the same video count: first those of the same label, then those of any other.
    """
    near, reach = np.zeros((2, len(detections))), np.zeros((2, len(instances)))
    for n, m in pairs(detections, instances):
        tious = tiou(detections.segment[n], instances.segment[m])
        same = detections.label[n] == instances.label[m]
        for row, chosen in enumerate((same, ~same)):
            np.maximum.at(near[row], n[chosen], tious[chosen])
            np.maximum.at(reach[row], m[chosen], tious[chosen])
    return near, reach


def sorted_by_kind(matches: Matches, matched: np.ndarray, near: np.ndarray) -> np.ndarray:
    """Return 0 for what was matched, or the number of the first of five tests that applies, (K, N).

    The tests are the lines of the module's docstring, read for detections or for instances.

    Args:
        near: largest tIoU with the other side's entries of the same and of other labels, (2, N).
    """
    same, other = near
    touch = np.minimum(TOUCH, matches.measure.tious)[:, None]
    tests = [
        matched,
        matches.measure.reached(same),
        matches.measure.reached(other),
        same >= touch,
        other >= touch,
    ]
    return np.select(tests, range(len(tests)), default=len(tests))


def precision_of_instances(matches: Matches, counted: np.ndarray) -> np.ndarray:
    """Return the precision at the hit of every instance, 0 where it was missed, (K, M).

    Args:
        counted: which detections are hits or errors, (K, N) bool; the others are left aside.
    """
    worth = np.zeros((len(counted), len(matches.instances)))
    for k, counts in enumerate(counted):
        for ranked in matches.rankings:
            instances = matches.match[k, ranked[matches.hit[k, ranked]]]
            worth[k, instances] = precision_at_hits(matches, k, ranked, counts)
    return worth


def average_precisions(matches: Matches, worth: np.ndarray) -> np.ndarray:
    """Return the mean of `worth` (K, M) over the instances of every class, (K, C)."""
    labels, sizes = matches.instances.label, matches.instances_per_class
    return np.array([np.bincount(labels, row, minlength=len(sizes)) / sizes for row in worth])


def fates(fate: np.ndarray) -> dict[str, Any]:
    """Return how many instances of these fates (M,) were found and missed, and why."""
    counts = np.bincount(fate, minlength=len(REASONS) + 1)
    because = dict(zip(REASONS, map(int, counts[1:]), strict=True))
    return {
        "all": len(fate),
        "found": int(counts[MATCHED]),
        "missed": sum(because.values()),
        "missed_because": because,
    }


def _counts(counts: np.ndarray) -> dict[str, int]:
    """Return named counts of true positives and the five kinds, and their sum."""
    named = dict(zip((TRUE_POSITIVE, *KINDS), map(int, counts), strict=True))
    return {"considered": sum(named.values()), **named}


def _by_kind(values: np.ndarray) -> dict[str, float]:
    return dict(zip(KINDS, map(float, values), strict=True))


def _tally(matches: Matches, kind: np.ndarray) -> np.ndarray:
    kinds, classes = len(KINDS) + 1, len(matches.labels)
    tally = np.zeros((len(kind), classes, MULTIPLES + 1, kinds), dtype=int)
    for k, codes in enumerate(kind):
        for c, (ranked, size) in enumerate(
            zip(matches.rankings, matches.instances_per_class, strict=True)
        ):
            counted = codes[ranked][codes[ranked] != NEUTRAL]
            part = np.minimum(np.arange(len(counted)) // size, MULTIPLES)
            cells = np.bincount(part * kinds + counted, minlength=(MULTIPLES + 1) * kinds)
            tally[k, c] = cells.reshape(-1, kinds)
    return tally


def _video_ap(matches: Matches, counted: np.ndarray) -> np.ndarray:
    sizes = np.bincount(matches.instances.video, minlength=len(matches.videos))
    values = np.full((len(counted), len(sizes)), np.nan)
    for video in np.flatnonzero(sizes):
        ranked = matches.video_rankings[video]
        for k, counts in enumerate(counted):
            precision = precision_at_hits(matches, k, ranked, counts)
            values[k, video] = precision.sum() / sizes[video]
    return values
