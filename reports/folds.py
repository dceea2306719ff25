"""A folder of folds in; out come the pooled detections, their figures, pictures and the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..config import Config, EvalConfig
from ..errors import InputError, printable
from ..evaluation.average_precision import Evaluation
from ..evaluation.folds import ALL_FOLDS, FoldFigures, measure_folds
from ..evaluation.matching import Measure
from ..evaluation.video_scores import note_on_scores, with_video_scores
from ..formats.annotations import all_labels, class_labels
from ..formats.atomic import write_text
from ..formats.labels.find import load_annotations
from ..formats.names import nfc
from ..formats.predictions import predictions_json
from ..formats.video_scores import load_video_scores
from ..head.held_out import found_in
from ..head.run import ANNOTATIONS_FILE
from ..head.studies import load_folds
from .report import PREDICTIONS, Report, write_report
from .tables import text_table


@dataclass(frozen=True, repr=False)
class FoldsReport(Report):
    """The pooled evaluation of folds (of the first seed), with the figures of all.

    final: the run of a head that has learned from all of their videos; None without one.
    """

    figures: FoldFigures | None = None
    final: Path | None = None

    @property
    def seeds(self) -> tuple[Evaluation, ...]:
        """The pooled evaluations of all seeds."""
        return self.figures.pooled if self.figures else (self.evaluation,)

    def __str__(self) -> str:
        """Return a table of the folds, and the table of all classes."""
        return f"{folds_table(self.figures)}\n\n{super().__str__()}" if self.figures else ""

    def to_json(self) -> dict[str, Any]:
        """Return the figures as plain values for JSON, with those of each fold."""
        folds = {"folds": self.figures.to_json()} if self.figures else {}
        return {**super().to_json(), **folds}


def evaluate_folds(
    folder: Path,
    out: Path,
    annotations: str | Path | None,
    subset: str | None,
    timelines: int,
    defaults: EvalConfig | None,
    video_scores: str | Path | None,
    measure: Mapping[str, Any],
    precision: float | str | None = None,
) -> FoldsReport:
    """Return the figures of folds, and write them; arguments as of `pipeline.evaluate`.

    `precision`, or else that of the settings, is what each fold's thresholds are chosen for, on the
    other folds.

    Pooled detections of the first seed are `predictions.json`, those of others
    `predictions-seedN.json`.

    Raises:
        InputError: trainings that are not done; an `annotations` without their videos.
    """
    plan = load_folds(folder)
    config = Config.model_validate(plan.settings)
    truth = load_annotations(annotations or folder / ANNOTATIONS_FILE)
    named = None if subset in (None, ALL_FOLDS) else subset
    wanted = {v for ids in plan.folds for v in ids}
    there = truth.subset(named) if named else truth.videos
    videos = {k: v for k, v in there.items() if k in wanted}
    if not videos:
        raise InputError(f"{truth.source}: has none of the videos of {folder}")
    labels = all_labels((), truth)
    scores = load_video_scores(video_scores) if video_scores else None
    found = {}
    for seed in plan.seeds:
        whole = found_in(folder, [t for t in plan.trainings if t.seed == seed])
        found[seed] = {k: whole[k] for k in videos if k in whole}
        if scores:
            classes = class_labels(videos.values())
            found[seed] = with_video_scores(found[seed], scores, classes, classes=classes)
    out.mkdir(parents=True, exist_ok=True)
    paths = [out / PREDICTIONS, *(out / f"predictions-seed{s}.json" for s in plan.seeds[1:])]
    for path, detections in zip(paths, found.values(), strict=True):
        write_text(path, predictions_json(detections, labels=labels))
    defaults = defaults or config.eval
    configured = tuple(v for v in map(nfc, defaults.exclude) if v in videos)
    how = Measure(defaults.protocol, defaults.tious, configured).changed(**measure)
    folds = {n: [v for v in ids if v in videos] for n, ids in enumerate(plan.folds)}
    folds = {n: ids for n, ids in folds.items() if ids}
    least = config.eval.precision if precision is None else precision
    figures = measure_folds(
        videos, found, list(folds.values()), how, subset=named or ALL_FOLDS,
        names=[plan.names[n] for n in folds] if plan.names else (),
        precision=None if isinstance(least, str) else least,
    )  # fmt: skip
    first = figures.pooled[0]
    weighted = [note_on_scores(videos, scores)] if scores else []
    evaluation = replace(first, notes=(*first.notes, *figures.notes, *weighted))
    written = write_report(
        evaluation, out, timelines=timelines, name=folder.resolve().name, labels=labels,
        outcome=figures.outcome, more={"folds": figures.to_json()},
    )  # fmt: skip
    return FoldsReport(
        evaluation, (*paths, *written), config, outcome=figures.outcome, figures=figures
    )


def folds_table(figures: FoldFigures) -> str:
    """Return the average mAP of every fold and seed in percent, and their mean, as lines."""
    seeds = [f"seed {s}" for s in figures.seeds] if len(figures.seeds) > 1 else ["mAP"]
    rows: list[Sequence[str]] = [["fold", "videos", *seeds]]
    for n, (ids, row) in enumerate(zip(figures.folds, figures.by_fold, strict=True)):
        name = printable(figures.names[n]) if figures.names else str(n)
        rows.append([name, str(len(ids)), *(_percent(v) for v in row)])
    rows.append(["pooled", "", *(_percent(e.average_map) for e in figures.pooled)])
    return "\n".join(["mAP in % of each fold's held-out videos", *text_table(rows)])


def _percent(share: float) -> str:
    return f"{100 * share:.2f}" if share == share else "-"
