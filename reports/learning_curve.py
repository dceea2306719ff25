"""A folder of trainings on more and more videos in; a table, a picture and a sentence out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.ticker import FixedLocator, NullFormatter

from ..config import Config
from ..evaluation.learning_curve import LearningCurve, fit_curve
from ..evaluation.matching import Matches, Measure, match
from ..evaluation.significance import spread
from ..formats.annotations import AMBIGUOUS
from ..formats.atomic import write_text
from ..formats.labels.find import load_annotations
from ..formats.names import nfc
from ..head.held_out import found_in
from ..head.run import ANNOTATIONS_FILE
from ..head.studies import MEASURED, SHARES, load_curve
from .pictures import CHART_WIDTH, GRID, HUES, INK, Picture, new_figure
from .tables import text_table

FIGURES, PICTURE = "learning_curve.json", "learning_curve.png"


@dataclass(frozen=True)
class CurveReport:
    """A learning curve, and the files that say it."""

    curve: LearningCurve
    written: tuple[Path, ...]

    def __str__(self) -> str:
        """Return a table of the shares, and the sentence about twice the labels."""
        return f"{curve_table(self.curve)}\n{self.curve.sentence}"

    def to_json(self) -> dict[str, Any]:
        """Return the figures as plain values for JSON."""
        return self.curve.to_json()


def measure_curve(folder: Path) -> CurveReport:
    """Return what twice the labels would bring by the trainings in a folder, and write it there.

    Raises:
        InputError: some are not done.
    """
    plan = load_curve(folder)
    truth = load_annotations(folder / ANNOTATIONS_FILE)
    watched = truth.subset(MEASURED)
    how = Config.model_validate(plan.settings).eval
    exclude = tuple(v for v in map(nfc, how.exclude) if v in watched)
    measure = Measure(how.protocol, how.tious, exclude)
    found_in(folder, plan.trainings)  # names all that are not done
    results: list[list[Matches]] = [[] for _ in SHARES]
    labels: list[list[int]] = [[] for _ in SHARES]
    for training in plan.trainings:
        found = found_in(folder, [training])
        results[training.part].append(match(watched, found, measure, subset=MEASURED))
        actions = [i for v in training.train for i in truth.videos[v].instances]
        labels[training.part].append(sum(i.label != AMBIGUOUS for i in actions))
    curve = fit_curve(results, labels, SHARES)
    write_text(folder / FIGURES, json.dumps(curve.to_json(), indent=1))
    curve_picture(curve).save(folder / PICTURE)
    return CurveReport(curve, (folder / FIGURES, folder / PICTURE))


def curve_table(curve: LearningCurve) -> str:
    """Return the mAP at each share of the training videos in percent, as lines."""
    rows = [["videos", "actions", "mAP", "+-", "curve"]]
    shares = zip(curve.shares, curve.labels, curve.by_draw, curve.fitted, strict=True)
    for share, labels, values, fitted in shares:
        mean, error = spread(values.tolist())
        among = "-" if np.isnan(error) else f"{100 * error:.1f}"
        rows.append(
            [f"{share:.0%}", f"{labels:.0f}", f"{100 * mean:.1f}", among, f"{100 * fitted:.1f}"]
        )
    twice = f"{2 * curve.labels[-1]:.0f}"
    rows.append(["twice", twice, "", "", f"{100 * curve.twice.value:.1f}"])
    draws = curve.by_draw.shape[1]
    head = f"mAP in % on {curve.videos} validation videos, mean of {draws} draws and its error"
    return "\n".join([head, *text_table(rows)])


def curve_picture(curve: LearningCurve) -> Picture:
    """Return the picture of a learning curve: every training, the curve, and twice the labels."""
    last = f"{100 * curve.by_draw[-1].mean():.1f} %"
    figure, [axes] = new_figure(
        f"mAP {last} with all labels, {100 * curve.twice.value:.1f} % with twice as many",
        f"{curve.sentence}  ·  points: trainings  ·  line: curve  ·  bar: 95 %",
        CHART_WIDTH,
        4.5,
    )
    ticks = np.append(curve.labels, 2 * curve.labels[-1])
    line = np.append(curve.fitted, curve.twice.value)
    axes.plot(ticks[:-1], 100 * line[:-1], color=HUES[0], linewidth=2)
    axes.plot(ticks[-2:], 100 * line[-2:], color=HUES[0], linewidth=2, linestyle="--")
    draws = curve.by_draw.shape[1]
    axes.scatter(
        np.repeat(curve.labels, draws), 100 * curve.by_draw.ravel(), s=22, color=INK, zorder=3
    )
    axes.vlines(
        ticks[-1], 100 * curve.twice.low, 100 * curve.twice.high, color=HUES[1], linewidth=3
    )
    axes.set(xscale="log", xlabel="labelled actions to train on", ylabel="mAP in %")
    axes.xaxis.set_major_locator(FixedLocator(ticks.tolist()))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xticks(ticks, [f"{t:.0f}" for t in ticks])
    axes.grid(color=GRID, linewidth=0.8)
    return Picture(figure)
