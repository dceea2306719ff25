"""Sentences for the report's page: a diagnosis in plain words, and what the page's terms mean."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..errors import quantity
from ..evaluation.diagnosis import KINDS, MULTIPLES, REASONS, TOUCH, TRUE_POSITIVE, Diagnosis

SMALL = 0.005  # of mAP: what costs less than half a point is not worth a sentence
WEAK = 0.1  # of recall: a bucket this far below the rest is worth one
LEAST_IN_BUCKET = 5  # instances, for a sentence about a bucket

# A kind of error, as the page defines it, and as a sentence names and explains it.
MEANINGS = {
    TRUE_POSITIVE: "Right label, enough overlap, and the instance was not hit before.",
    "double detection": "Right label and enough overlap, but the instance was already hit.",
    "wrong label": "Enough overlap with an instance, but of another label.",
    "localization": "Right label, but too little overlap: the boundaries are off.",
    "confusion": "Some overlap with an instance of another label: label and boundaries are off.",
    "background": f"An overlap of less than {TOUCH:g} with any instance: nothing is there.",
}
ADVICE = {
    "double detection": ("Double detections", "the same action is reported more than once"),
    "wrong label": ("Wrong labels", "actions are found, but called by another name"),
    "localization": ("Localization errors", "actions are found, but their boundaries are off"),
    "confusion": (
        "Confusion errors",
        "detections touch actions of another label, with other boundaries",
    ),
    "background": ("Background errors", "something is reported where nothing is annotated"),
}
REASON_MEANINGS = {
    "taken": "A detection of its label fits, but hit another instance: one detection for two.",
    "wrong label": "A detection fits, but has another label.",
    "boundaries": "A detection of its label is there, but overlaps too little.",
    "label and boundaries": "Only a detection of another label is there, and overlaps too little.",
    "not seen": f"No detection overlaps it by {TOUCH:g} or more.",
}
REASON_WORDS = {
    "taken": "share their detection with another instance",
    "wrong label": "are covered by a detection, but of another label",
    "boundaries": "are touched by a detection of the right label, with boundaries that are off",
    "label and boundaries": "are touched by detections of other labels only",
    "not seen": "are not touched by any detection",
}


def findings(diagnosis: Diagnosis, k: int) -> list[str]:
    """Return sentences on why mAP at threshold number `k` is not 100 %, the gravest first."""
    mean_ap, mean_recall = diagnosis.mean_ap[k], diagnosis.recall[k].mean()
    lost = 1 - mean_ap
    if not len(diagnosis.matches.detections):
        return ["There are no detections: all instances are missed."]
    if lost < SMALL:
        return ["Next to nothing is lost at this threshold."]
    false = f"{100 * (mean_recall - mean_ap):.1f} to false positives that rank above hits"
    missed = f"{100 * (1 - mean_recall):.1f} to instances that no detection hits"
    total = f"{100 * lost:.1f} points are lost: {false}, {missed}."
    return [total, *_of_kinds(diagnosis, k), *_of_missed(diagnosis, k), *_of_buckets(diagnosis, k)]


def definitions(diagnosis: Diagnosis) -> list[tuple[str, str]]:
    """Return the terms of the page with their meanings."""
    protocol = diagnosis.matches.measure.protocol
    matching = (
        "Each detection, by falling score, takes the free instance of its label that it overlaps "
        "most, if the tIoU reaches the threshold."
        if protocol == "anet"
        else "Each instance, in the order of the annotations, takes the free detection of its "
        "label that overlaps it most, if the tIoU exceeds the threshold. A detection left over "
        "that overlaps an Ambiguous stretch counts neither way."
    )
    return [
        ("tIoU", "How well two stretches of time agree: the length they share, divided by the "
         "length they cover together. 1 is a perfect fit, 0 no overlap."),
        ("Hit", f"{matching} That is the matching of the {protocol} protocol, which the "
         "mAP is measured by."),
        ("Average precision (AP)", "For one class: of the detections down to each hit, the share "
         "that are hits, summed over the hits and divided by the number of instances"
         + (" (under anet, a share lower than a later one is lifted to it)."
            if protocol == "anet" else ".")),
        ("mAP", "The mean of AP over the classes that have instances."),
        ("Recall", "The share of instances that some detection hits, whatever its score."),
        ("Points", "Hundredths of mAP: from 50 % to 53 % is 3 points."),
        ("Lost to false positives", "Mean recall of the classes less mAP: what all false positives "
         "cost together. Lost to missed instances: 100 % less mean recall. With mAP they make "
         "100 %."),
        ("Cost of a kind of error", "How much mAP would rise if all errors of this kind had not "
         "been made and everything else stayed. The costs of single kinds do not add up to the "
         "cost of all: where two errors rank above the same hit, removing one leaves the other."),
        *((name.capitalize(), MEANINGS[name]) for name in (TRUE_POSITIVE, *KINDS)),
        ("Order of the kinds", "The first that applies counts, in the order of this list; so every "
         "detection is of one kind. Wrong label and confusion look at instances of other classes "
         "in the same video."),
        ("Detections considered", f"Of each class with G instances, its {MULTIPLES} G best "
         "detections; true positives and the five kinds add up to them. All detections, also "
         "those beyond, count for mAP, costs and missed instances."),
        *((f"Missed: {name}", REASON_MEANINGS[name]) for name in REASONS),
        ("Buckets", "Length and coverage are cut so that the instances fall into equal parts; "
         "\"2 to 3 s\" means over 2 s and up to 3 s. Every instance is in one bucket of a trait."),
        ("AP of a bucket", "AP is a mean over instances: of the precision at their hits, and 0 for "
         "those missed. This is the mean over the instances of a bucket, each with the weight it "
         "has in mAP, where all classes weigh the same. The buckets of a trait make up mAP."),
        ("AP of a video", "Average precision of its detections of all classes in one ranking, "
         "against all its instances."),
    ]  # fmt: skip


def _of_kinds(diagnosis: Diagnosis, k: int) -> Iterator[str]:
    gain = diagnosis.gain[:, k]
    first, second, *_ = np.argsort(-gain)
    if gain[first] < SMALL:
        if np.any(diagnosis.tally[k, :, :, 1:]):
            yield "No single kind of error costs half a point."
        return
    errors, advice = ADVICE[KINDS[first]]
    words = f"{errors} cost {100 * gain[first]:.1f} points: {advice}"
    if gain[second] >= SMALL:
        errors, advice = ADVICE[KINDS[second]]
        words += f"; next, {errors.lower()} cost {100 * gain[second]:.1f}: {advice}"
    yield f"{words}."


def _of_missed(diagnosis: Diagnosis, k: int) -> Iterator[str]:
    counts = np.bincount(diagnosis.fate[k], minlength=len(REASONS) + 1)[1:]
    if counts.sum():
        missed, reason = int(counts.sum()), int(counts.argmax())
        share = "all" if counts.max() == missed else f"{counts.max()} of them"
        yield (
            f"{missed} of {quantity(len(diagnosis.matches.instances), 'instance')} missed; "
            f"most often ({share}) they {REASON_WORDS[REASONS[reason]]}."
        )


def _of_buckets(diagnosis: Diagnosis, k: int) -> Iterator[str]:
    """Name the bucket of instances that is missed most, where one stands out."""
    found = diagnosis.fate[k] == 0
    weak = [
        (found[bucket.members].mean(), trait.name, bucket.name)
        for trait in diagnosis.traits
        for bucket in trait.buckets
        if bucket.members.sum() >= LEAST_IN_BUCKET
        and (~bucket.members).sum() >= LEAST_IN_BUCKET
        and found[~bucket.members].mean() - found[bucket.members].mean() >= WEAK
    ]
    if weak:
        share, trait_name, name = min(weak)
        yield (
            f"Found least, by {trait_name}: {name}, where {100 * share:.0f} % of the instances are "
            f"found, against {100 * found.mean():.0f} % of all."
        )
