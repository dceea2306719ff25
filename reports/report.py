"""What `evaluate` leaves in a folder: figures as JSON, pictures, and a page that explains them.

`tsatal report` writes the page anew from the detections that `evaluate` left, or from any file of
detections.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..evaluation.average_precision import Evaluation, evaluate, precision_recall
from ..evaluation.diagnosis import Diagnosis, diagnose
from ..evaluation.matching import ANET, THUMOS14_TIOUS, Matches, Measure
from ..formats.annotations import Annotations, load_annotations, load_predictions
from ..formats.atomic import write_text
from ..formats.features import FeatureFile
from ..formats.names import file_names
from ..formats.subsets import find_annotations, subset_to_test
from ..head.run import RunData, load_run_description
from .pictures import per_class_ap_figure, precision_recall_figure, timeline
from .report_page import report_page

logger = logging.getLogger(__name__)

METRICS, PREDICTIONS = "metrics.json", "predictions.json"
PAGE, FIGURES = "report.html", "report.json"


@dataclass(frozen=True)
class Report:
    """What was measured, what is wrong with it, and the files that say so."""

    evaluation: Evaluation
    diagnosis: Diagnosis
    written: tuple[Path, ...]


def write_report(evaluation: Evaluation, out: Path, *, timelines: int) -> list[Path]:
    """Write `metrics.json`, the pictures and the page into `out`, and return their paths.

    Time lines are drawn of `timelines` videos spread evenly over those that have actions.
    """
    out.mkdir(parents=True, exist_ok=True)
    metrics, per_class, curves = (
        out / name for name in (METRICS, "per_class_ap.png", "precision_recall.png")
    )
    figures = {**evaluation.to_json(), "excluded": sorted(evaluation.matches.measure.exclude)}
    write_text(metrics, json.dumps(figures, indent=1))
    per_class_ap_figure(per_class, evaluation)
    at = min(evaluation.tious, key=lambda t: abs(t - 0.5))
    recall_precision = precision_recall(evaluation.matches, tiou=at)
    precision_recall_figure(curves, evaluation, recall_precision, tiou=at)
    drawn = _write_timelines(evaluation.matches, out / "timelines", number=timelines)
    page = write_page(evaluation, out).written
    return [metrics, per_class, curves, *drawn, *page]


def write_page(evaluation: Evaluation, out: Path, *, name: str = "") -> Report:
    """Write `report.html` and `report.json` into `out`: why the mAP is what it is.

    Args:
        name: what was measured; the folder's name where not given.
    """
    out.mkdir(parents=True, exist_ok=True)
    diagnosis = diagnose(evaluation.matches)
    text = report_page(evaluation, diagnosis, name=name or out.resolve().name)
    figures = {
        "evaluation": evaluation.to_json(),
        "excluded": sorted(evaluation.matches.measure.exclude),
        "diagnosis": diagnosis.to_json(),
    }
    write_text(out / PAGE, text)
    write_text(out / FIGURES, json.dumps(figures, indent=1))
    return Report(evaluation, diagnosis, (out / PAGE, out / FIGURES))


def report_run(
    run_dir: Path,
    *,
    features: Path | None = None,
    annotations: Path | None = None,
    subset: str | None = None,
    protocol: str | None = None,
    tious: Sequence[float] = (),
    exclude: Sequence[str] = (),
    out: Path | None = None,
) -> Report:
    """Write the page about the detections that `tsatal evaluate` left in a run's folder.

    Args:
        features: where the ground truth is inside another feature file than the run's own.
        annotations: the ground truth; the run finds its own.
        subset, protocol, tious, exclude: as `evaluate` was told where not given.
        out: where to write; the run's folder where not given.
    Raises:
        InputError: no such run, it was not evaluated, or not on that subset.
    """
    config, data = load_run_description(run_dir)
    if not (run_dir / PREDICTIONS).is_file():
        raise InputError(
            f"{run_dir}: has no {PREDICTIONS} to explain; write it with: tsatal evaluate {run_dir}"
        )
    found = load_predictions(run_dir / PREDICTIONS)
    earlier = _earlier_figures(run_dir / METRICS)
    truth = _truth_of(data, features, annotations)
    subset = subset or earlier.get("subset") or data.subsets.test
    videos = {k: v for k, v in truth.subset(subset).items() if k in found}
    if not videos:
        raise InputError(
            f"{run_dir / PREDICTIONS}: is about none of the {subset} videos; look for actions in "
            f"them with: tsatal evaluate {run_dir} --subset {subset}"
        )
    configured = [v for v in config.eval.exclude if v in videos]
    measure = Measure(
        protocol or earlier.get("protocol") or config.eval.protocol,
        tuple(tious or earlier.get("tious") or config.eval.tious),
        tuple(exclude or earlier.get("excluded", configured)),
    )
    evaluation = evaluate(videos, found, measure, subset=subset)
    _warn_of_other_truth(evaluation, earlier, run_dir)
    return write_page(evaluation, out or run_dir, name=run_dir.resolve().name)


def report_predictions(
    predictions: Path,
    *,
    annotations: Path,
    subset: str | None = None,
    protocol: str | None = None,
    tious: Sequence[float] = (),
    exclude: Sequence[str] = (),
    out: Path | None = None,
) -> Report:
    """Write the page about a file of detections in the ActivityNet format.

    Args:
        out: where to write; the file's folder where not given.
    Raises:
        InputError: a file is not of its format, or there is no such subset.
    """
    truth = load_annotations(annotations)
    subset = subset or subset_to_test(truth)
    videos, found = truth.subset(subset), load_predictions(predictions)
    measure = Measure(protocol or ANET, tuple(tious or THUMOS14_TIOUS), tuple(exclude))
    evaluation = evaluate(videos, found, measure, subset=subset)
    return write_page(evaluation, out or predictions.parent, name=predictions.stem)


def _write_timelines(matches: Matches, folder: Path, *, number: int) -> list[Path]:
    """Draw `number` videos and return the folder, or nothing where there is none to draw."""
    shown = [v for v in matches.videos.values() if v.instances]
    shown = shown[:: max(1, -(-len(shown) // number))] if number else []
    folder.mkdir(exist_ok=True)
    names = file_names((v.video_id for v in shown), ".png")
    for video in shown:
        detections = matches.predictions.get(video.video_id, [])
        ends = [i.end_sec for i in video.instances] + [d.end_sec for d in detections]
        timeline(
            video_id=video.video_id,
            duration_sec=video.duration_sec or max(ends),
            truth=video.instances,
            detections=detections,
            labels=matches.labels,
        ).save(folder / names[video.video_id])
    return [folder] if shown else []


def _truth_of(data: RunData, features: Path | None, annotations: Path | None) -> Annotations:
    """Return a run's ground truth; the feature file is opened only if it is in there."""
    path = data.annotations_for(features, annotations)
    if path:
        return load_annotations(path)
    with FeatureFile(features or data.features) as file:
        return find_annotations(file, None)


def _earlier_figures(path: Path) -> dict[str, Any]:
    """Return what `evaluate` wrote beside the detections: how it measured, and what."""
    if not path.is_file():
        return {}
    try:
        figures: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return {**figures, "average_mAP": float(figures["average_mAP"])}
    except (ValueError, TypeError, KeyError) as e:
        raise InputError(f"{path}: damaged ({e}); write it anew with `tsatal evaluate`") from None


def _warn_of_other_truth(evaluation: Evaluation, earlier: dict[str, Any], run_dir: Path) -> None:
    """Say where the same detections, measured in the same way, had another mAP."""
    now = evaluation.to_json()
    alike = all(now[key] == earlier.get(key) for key in ("protocol", "subset", "tious"))
    if alike and abs(now["average_mAP"] - earlier["average_mAP"]) > 1e-9:
        logger.warning(
            "%s says mAP %.2f %%, here it is %.2f %%: other videos were left out, or it was "
            "measured on other ground truth; name that with --annotations or --features",
            run_dir / METRICS, 100 * earlier["average_mAP"], 100 * now["average_mAP"],
        )  # fmt: skip
