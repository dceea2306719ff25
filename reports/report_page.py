"""The report's page: an evaluation and its diagnosis as one HTML file that says why mAP is low."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from ..evaluation.average_precision import Evaluation, threshold_name
from ..evaluation.diagnosis import KINDS, MATCHED, NEUTRAL, REASONS, TRUE_POSITIVE, Diagnosis
from ..formats.annotations import AMBIGUOUS, AnnotatedVideo, Detection
from .page import page
from .report_words import MEANINGS, REASON_MEANINGS, definitions, findings

MISTAKES = 10  # most confident false positives that are listed
VIDEOS = 3  # with the lowest and with the highest average precision
MAX_DETECTIONS, MAX_INSTANCES = 200, 1000  # on a video's time line
LEAST_SEC = 0.001  # extent of a time line


def report_page(
    evaluation: Evaluation,
    diagnosis: Diagnosis,
    videos: Mapping[str, AnnotatedVideo],
    predictions: Mapping[str, Sequence[Detection]],
    *,
    name: str,
) -> str:
    """Return the page; it shows every name as plain text, whatever the name holds.

    Args:
        videos, predictions: those that were evaluated and diagnosed.
        name: of the run or file that was measured, for the title.
    """
    data = report_data(evaluation, diagnosis, videos, predictions, name=name)
    title = f"{name}: why the mAP is what it is"
    return page(title=title, name="report", data=data, scripts=("report_tools",))


def report_data(
    evaluation: Evaluation,
    diagnosis: Diagnosis,
    videos: Mapping[str, AnnotatedVideo],
    predictions: Mapping[str, Sequence[Detection]],
    *,
    name: str,
) -> dict[str, Any]:
    """Return the page's content as plain values; arguments as for `report_page`."""
    thresholds = range(len(evaluation.tious))
    lowest, highest = _videos_to_show(diagnosis)
    return {
        "name": name,
        "headline": evaluation.headline,
        "protocol": evaluation.protocol,
        "notes": list(evaluation.notes),
        "average_mAP": evaluation.average_map,
        "tious": [threshold_name(t) for t in evaluation.tious],
        "shown": min(thresholds, key=lambda k: abs(evaluation.tious[k] - 0.5)),
        "kinds": [{"name": n, "meaning": MEANINGS[n]} for n in (TRUE_POSITIVE, *KINDS)],
        "reasons": [{"name": n, "meaning": REASON_MEANINGS[n]} for n in REASONS],
        "traits": [{"name": t.name, "meaning": t.meaning} for t in diagnosis.traits],
        "diagnosis": diagnosis.to_json(),
        "findings": [findings(diagnosis, k) for k in thresholds],
        "curves": [_precisions(diagnosis, k) for k in thresholds],
        "mistakes": [_mistakes(diagnosis, predictions, k) for k in thresholds],
        "lowest": [_line(diagnosis, videos, predictions, v) for v in lowest],
        "highest": [_line(diagnosis, videos, predictions, v) for v in highest],
        "definitions": definitions(diagnosis),
    }


def _precisions(diagnosis: Diagnosis, k: int) -> dict[str, list[float]]:
    """Return every class's precision at its hits; each hit adds one instance to the recall."""
    verdicts = diagnosis.verdicts
    false = ~verdicts.hit[k] & ~verdicts.neutral[k]
    return {
        label: verdicts.precision_at_hits(verdicts.hit[k, ranked], false[ranked]).round(4).tolist()
        for label, ranked in zip(verdicts.labels, verdicts.rankings, strict=True)
    }


def _mistakes(
    diagnosis: Diagnosis, predictions: Mapping[str, Sequence[Detection]], k: int
) -> list[dict[str, Any]]:
    """Return the false positives with the highest scores, with their kinds."""
    verdicts = diagnosis.verdicts
    kinds = diagnosis.kind[k, verdicts.order]
    wrong = verdicts.order[(kinds != MATCHED) & (kinds != NEUTRAL)]
    return [
        {
            "video": verdicts.video_ids[verdicts.detections.video[n]],
            **asdict(_detection(diagnosis, predictions, n)),
            "kind": KINDS[diagnosis.kind[k, n] - 1],
        }
        for n in wrong[:MISTAKES]
    ]


def _videos_to_show(diagnosis: Diagnosis) -> tuple[list[int], list[int]]:
    """Return the videos of lowest and of highest average precision, over all thresholds.

    Of videos with equal precision, those with more instances come first: they tell more.
    """
    ap = diagnosis.video_ap.mean(axis=0)
    number = np.bincount(diagnosis.verdicts.instances.video, minlength=len(ap))
    annotated = np.flatnonzero(number)
    rising = annotated[np.lexsort((-number[annotated], ap[annotated]))].tolist()
    falling = annotated[np.lexsort((-number[annotated], -ap[annotated]))].tolist()
    lowest = rising[: min(VIDEOS, -(-len(annotated) // 2))]
    return lowest, [v for v in falling if v not in lowest][:VIDEOS]


def _line(
    diagnosis: Diagnosis,
    videos: Mapping[str, AnnotatedVideo],
    predictions: Mapping[str, Sequence[Detection]],
    video: int,
) -> dict[str, Any]:
    """Return one video's time line: its first 1000 instances, and its best detections.

    `kinds` and `fates` are strings with a digit for every threshold.
    """
    verdicts = diagnosis.verdicts
    annotated = videos[verdicts.video_ids[video]]
    instances = np.flatnonzero(verdicts.instances.video == video)
    ranked = verdicts.video_rankings[video]
    best = ranked[: min(MAX_DETECTIONS, max(10, 2 * len(instances)))]
    in_time = np.argsort(verdicts.instances.segment[instances, 0], kind="stable")
    truth = [
        {
            **asdict(annotated.instances[verdicts.instances.place[m]]),
            "fates": _digits(diagnosis.fate, int(m)),
        }
        for m in instances[in_time[:MAX_INSTANCES]]
    ]
    ambiguous = [asdict(i) for i in annotated.instances if i.label == AMBIGUOUS][:MAX_INSTANCES]
    ends = [verdicts.instances.segment[instances, 1].max(), annotated.duration_sec or 0.0]
    if not annotated.duration_sec and len(best):
        ends.append(verdicts.detections.segment[best, 1].max())
    return {
        "video": annotated.video_id,
        "duration": annotated.duration_sec,
        "extent": float(max(*ends, LEAST_SEC)),
        "AP": diagnosis.video_ap[:, video].tolist(),
        "truth": truth,
        "instances": len(instances),
        "missed": (diagnosis.fate[:, instances] > 0).sum(1).tolist(),
        "ambiguous": ambiguous if verdicts.protocol != "anet" else [],
        "found": [
            {
                **asdict(_detection(diagnosis, predictions, n)),
                "kinds": _digits(diagnosis.kind, int(n)),
            }
            for n in best
        ],
        "detections": len(ranked),
    }


def _detection(
    diagnosis: Diagnosis, predictions: Mapping[str, Sequence[Detection]], n: int
) -> Detection:
    entries = diagnosis.verdicts.detections
    return predictions[diagnosis.verdicts.video_ids[entries.video[n]]][entries.place[n]]


def _digits(codes: np.ndarray, n: int) -> str:
    return "".join(map(str, codes[:, n]))
