"""The page that answers why an mAP is low: an evaluation and its diagnosis as one HTML file."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from ..evaluation.average_precision import Evaluation, precision_recall
from ..evaluation.diagnosis import KINDS, MATCHED, NEUTRAL, REASONS, TRUE_POSITIVE, Diagnosis
from ..evaluation.events import Outcome
from ..evaluation.matching import ANET, Matches, threshold_name
from ..formats.annotations import AMBIGUOUS, Detection
from .page import page
from .report_words import MEANINGS, REASON_MEANINGS, definitions, findings

MISTAKES = 10  # most confident false positives that are listed
VIDEOS = 3  # with the lowest and with the highest average precision
MAX_DETECTIONS, MAX_INSTANCES = 200, 1000  # on a video's time line
LEAST_SEC = 0.001  # extent of a time line


def report_page(
    evaluation: Evaluation, diagnosis: Diagnosis, *, name: str, outcome: Outcome | None = None
) -> str:
    """Return the page; it shows every name as plain text, whatever the name holds.

    Args:
        name: of the run or file that was measured, for the title.
        outcome: what the detections above the run's own thresholds are worth.
    """
    data = report_data(evaluation, diagnosis, name=name, outcome=outcome)
    title = f"{name}: why the mAP is what it is"
    return page(title=title, name="report", data=data, scripts=("report_tools",))


def report_data(
    evaluation: Evaluation, diagnosis: Diagnosis, *, name: str, outcome: Outcome | None = None
) -> dict[str, Any]:
    """Return the content of the page as plain values; arguments as for `report_page`."""
    thresholds = range(len(evaluation.tious))
    lowest, highest = _videos_to_show(diagnosis)
    curves = [precision_recall(evaluation.matches, tiou=t) for t in evaluation.tious]
    return {
        "name": name,
        "headline": evaluation.headline,
        "notes": list(evaluation.notes),
        "average_mAP": evaluation.average_map,
        "events": outcome and {"words": outcome.in_words, **outcome.to_json()},
        "tious": [threshold_name(t) for t in evaluation.tious],
        "shown": min(thresholds, key=lambda k: abs(evaluation.tious[k] - 0.5)),
        "kinds": [{"name": n, "meaning": MEANINGS[n]} for n in (TRUE_POSITIVE, *KINDS)],
        "reasons": [{"name": n, "meaning": REASON_MEANINGS[n]} for n in REASONS],
        "traits": [{"name": t.name, "meaning": t.meaning} for t in diagnosis.traits],
        "diagnosis": diagnosis.to_json(),
        "findings": [findings(diagnosis, k) for k in thresholds],
        # Precision at the hits is enough: each hit adds one instance to the recall.
        "curves": [{label: p.round(4).tolist() for label, (_, p) in c.items()} for c in curves],
        "mistakes": [_mistakes(diagnosis, k) for k in thresholds],
        "lowest": [_line(diagnosis, v) for v in lowest],
        "highest": [_line(diagnosis, v) for v in highest],
        "definitions": definitions(diagnosis),
    }


def _mistakes(diagnosis: Diagnosis, k: int) -> list[dict[str, Any]]:
    """Return the false positives with the highest scores, with their kinds."""
    matches, kinds = diagnosis.matches, diagnosis.kind[k]
    wrong = np.flatnonzero((kinds != MATCHED) & (kinds != NEUTRAL))
    return [
        {
            "video": matches.video_ids[matches.detections.video[n]],
            **asdict(_detection(matches, n)),
            "kind": KINDS[kinds[n] - 1],
        }
        for n in wrong[:MISTAKES]
    ]


def _videos_to_show(diagnosis: Diagnosis) -> tuple[list[int], list[int]]:
    """Return the videos of lowest and of highest average precision, over all thresholds.

    Of equals, those with more instances tell more.
    """
    ap = diagnosis.video_ap.mean(axis=0)
    number = np.bincount(diagnosis.matches.instances.video, minlength=len(ap))
    annotated = np.flatnonzero(number)
    rising = annotated[np.lexsort((-number[annotated], ap[annotated]))].tolist()
    falling = annotated[np.lexsort((-number[annotated], -ap[annotated]))].tolist()
    lowest = rising[: min(VIDEOS, -(-len(annotated) // 2))]
    return lowest, [v for v in falling if v not in lowest][:VIDEOS]


def _line(diagnosis: Diagnosis, video: int) -> dict[str, Any]:
    """Return one video's time line: its truth (of very many, the first), and its best detections.

    `kinds` and `fates` are strings with a digit for every threshold.
    """
    matches = diagnosis.matches
    annotated = matches.videos[matches.video_ids[video]]
    instances = np.flatnonzero(matches.instances.video == video)
    ranked = matches.video_rankings[video]
    # By the rule of `pictures.timeline`, so that page and picture show much the same.
    best = ranked[: min(MAX_DETECTIONS, max(10, 2 * len(instances)))]
    in_time = np.argsort(matches.instances.segment[instances, 0], kind="stable")
    place = matches.instances.place
    truth = [
        {**asdict(annotated.instances[place[m]]), "fates": _digits(diagnosis.fate, m)}
        for m in instances[in_time[:MAX_INSTANCES]]
    ]
    ambiguous = [asdict(i) for i in annotated.instances if i.label == AMBIGUOUS][:MAX_INSTANCES]
    # Detections widen the time line only where nobody says how long the video is.
    ends = [matches.instances.segment[instances, 1].max(), annotated.duration_sec or 0.0]
    if not annotated.duration_sec and len(best):
        ends.append(matches.detections.segment[best, 1].max())
    return {
        "video": annotated.video_id,
        "extent": float(max(*ends, LEAST_SEC)),
        "AP": diagnosis.video_ap[:, video].tolist(),
        "truth": truth,
        "instances": len(instances),
        "missed": (diagnosis.fate[:, instances] > 0).sum(1).tolist(),
        "ambiguous": ambiguous if matches.measure.protocol != ANET else [],
        "found": [
            {**asdict(_detection(matches, n)), "kinds": _digits(diagnosis.kind, n)} for n in best
        ],
        "detections": len(ranked),
    }


def _detection(matches: Matches, n: int) -> Detection:
    entries = matches.detections
    return matches.predictions[matches.video_ids[entries.video[n]]][entries.place[n]]


def _digits(codes: np.ndarray, n: int) -> str:
    return "".join(map(str, codes[:, n]))
