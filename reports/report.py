"""What `evaluate` returns and leaves in a folder: figures as JSON, pictures, and a page.

The page says why the mAP is what it is; `tsatal report` writes it anew.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path
from typing import Any

from ..config import Config
from ..errors import InputError
from ..evaluation.average_precision import Evaluation
from ..evaluation.diagnosis import diagnose
from ..evaluation.events import Outcome
from ..evaluation.matching import Matches
from ..formats.atomic import write_text
from ..formats.json_values import parse_json
from ..formats.limits import read_text
from ..formats.names import file_names
from ..head.packed import is_packed
from .tables import Rows, evaluation_table, outcome_table

logger = logging.getLogger(__name__)

METRICS, PREDICTIONS = "metrics.json", "predictions.json"
PAGE, FIGURES = "report.html", "report.json"


@dataclass(frozen=True)
class Epochs:
    """How many epochs of a training are in the weights that were measured; `done` if known.

    checkpoint: "last", or "best", which may well be of an earlier epoch.
    """

    done: int | None
    of: int
    checkpoint: str = "last"

    @classmethod
    def of_json(cls, values: Any) -> Epochs | None:
        """Return what `metrics.json` says, None where it says nothing."""
        if not isinstance(values, dict):
            return None
        done, of = values.get("done"), values.get("of")
        if not (isinstance(done, int) and isinstance(of, int)):
            return None
        return cls(done, of, str(values.get("checkpoint", "last")))

    @property
    def short(self) -> str:
        """Return "after 14 of 20 epochs", nothing if all are done or nobody knows."""
        unfinished = self.done is not None and self.done < self.of
        return f"after {self.done} of {self.of} epochs" if unfinished else ""

    def words(self, run: Path) -> str:
        """Return a note on weights that are not those of the last epoch; nothing on others."""
        if not self.short or self.checkpoint == "best":
            return self.short and f"weights {self.short}, the best on the validation subset"
        if is_packed(run):
            return f"weights {self.short}"
        return f"weights {self.short}; `tsatal train --resume --out {run}` goes on where it stopped"


@dataclass(frozen=True, repr=False)
class Report(Rows):
    """An evaluation, and the files that say it.

    written: files and folders.
    config, epochs: of the run that was measured; None for a file of detections.
    outcome: what the detections above the run's own thresholds are worth; None without any.
    """

    evaluation: Evaluation
    written: tuple[Path, ...] = ()
    config: Config | None = None
    epochs: Epochs | None = None
    outcome: Outcome | None = None

    def __repr__(self) -> str:
        """Return one line: the mAP, and what it was measured on."""
        return repr(self.evaluation)

    def __str__(self) -> str:
        """Return the text table of all classes, and of what counts above the thresholds."""
        events = ["", *outcome_table(self.outcome)] if self.outcome else []
        return "\n".join([evaluation_table(self.evaluation), *events])

    def to_json(self) -> dict[str, Any]:
        """Return the figures as plain values for JSON; of a run, with its epochs and events."""
        return {**self.evaluation.to_json(), **_of_run(self.epochs, self.outcome)}

    def _repr_html_(self) -> str:
        """Return the table of all classes, which a notebook shows."""
        rows = self.to_dicts()
        lines = ["".join(f"<th>{escape(name)}</th>" for name in rows[0])]
        for row in rows:
            texts = (f"{100 * v:.2f}" if isinstance(v, float) else str(v) for v in row.values())
            lines.append("".join(f"<td>{escape(text)}</td>" for text in texts))
        table = "".join(f"<tr>{line}</tr>" for line in lines)
        return f"<table><caption>{escape(repr(self))}</caption>{table}</table>"

    def to_dicts(self) -> list[dict[str, Any]]:
        """Return a dictionary per class: label, instances, AP at each tIoU, and their mean.

        Average precisions are in [0, 1].
        """
        figures = self.evaluation.to_json()
        counts, aps = figures["instances_per_class"], figures["per_class"]
        return [
            {"label": label, "instances": counts[label], **aps[label], "mean": float(ap.mean())}
            for label, ap in self.evaluation.per_class.items()
        ]


def write_report(
    evaluation: Evaluation,
    out: Path,
    *,
    timelines: int | None,
    name: str,
    labels: Sequence[str] = (),
    epochs: Epochs | None = None,
    outcome: Outcome | None = None,
    more: Mapping[str, Any] | None = None,
) -> tuple[Path, ...]:
    """Write figures, pictures and the page into `out`, and return their paths.

    Args:
        timelines: how many videos to draw, spread evenly over those that have actions; None
            writes the page alone, without `metrics.json` and pictures.
        name: what was measured, for the page's title.
        labels: all classes of the run, which fix the colours; those with ground truth if not given.
        epochs: of the run that was measured.
        outcome: what the detections above the run's own thresholds are worth.
        more: plain values that go into the JSON files, too.
    """
    from .pictures import per_class_ap_figure, precision_recall_figure
    from .report_page import report_page

    labels = labels or evaluation.matches.labels
    more = {**(more or {}), **_of_run(epochs, outcome)}
    out.mkdir(parents=True, exist_ok=True)
    excluded = sorted(evaluation.matches.measure.exclude)
    written = []
    if timelines is not None:
        figures = {**evaluation.to_json(), "excluded": excluded, **more}
        write_text(out / METRICS, json.dumps(figures, indent=1))
        per_class_ap_figure(out / "per_class_ap.png", evaluation)
        at = min(evaluation.tious, key=lambda t: abs(t - 0.5))
        path = out / "precision_recall.png"
        precision_recall_figure(path, evaluation, tiou=at, labels=labels)
        written = [out / n for n in (METRICS, "per_class_ap.png", "precision_recall.png")]
        written += _write_timelines(
            evaluation.matches, out / "timelines", number=timelines, labels=labels
        )
    diagnosis = diagnose(evaluation.matches)
    write_text(out / PAGE, report_page(evaluation, diagnosis, name=name, outcome=outcome))
    figures = {"evaluation": evaluation.to_json(), "excluded": excluded, **more}
    figures["diagnosis"] = diagnosis.to_json()
    write_text(out / FIGURES, json.dumps(figures, indent=1))
    return (*written, out / PAGE, out / FIGURES)


def _of_run(epochs: Epochs | None, outcome: Outcome | None) -> dict[str, Any]:
    """Return what is known of a run besides its average precisions, as plain values."""
    trained = {"epochs": asdict(epochs)} if epochs else {}
    return {**trained, "events": outcome.to_json()} if outcome else trained


def _write_timelines(
    matches: Matches, folder: Path, *, number: int, labels: Sequence[str]
) -> list[Path]:
    """Draw `number` videos and return the folder, or nothing where there is none to draw."""
    from .pictures import timeline

    shown = [v for v in matches.videos.values() if v.instances]
    if not (shown and number):
        return []
    shown = shown[:: max(1, -(-len(shown) // number))]
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
            labels=labels,
        ).save(folder / names[video.video_id])
    return [folder]


def load_metrics(path: Path) -> dict[str, Any]:
    """Return the figures that an earlier evaluation left, empty without the file.

    Raises:
        InputError: the file is damaged.
    """
    if not path.is_file():
        return {}
    try:
        figures: dict[str, Any] = parse_json(read_text(path), str(path))
        return {**figures, "average_mAP": float(figures["average_mAP"])}
    except (ValueError, TypeError, KeyError) as e:
        raise InputError(f"{path}: damaged ({e}); write it anew with `tsatal evaluate`") from None


def warn_of_other_annotations(
    evaluation: Evaluation, earlier: dict[str, Any], metrics: Path
) -> None:
    """Warn where the same detections, measured in the same way, had another mAP.

    Args:
        earlier: what `load_metrics` returned for the file `metrics`.
    """
    now = evaluation.to_json()
    alike = all(now[key] == earlier.get(key) for key in ("protocol", "subset", "tious"))
    if alike and abs(now["average_mAP"] - earlier["average_mAP"]) > 1e-9:
        logger.warning(
            "%s says mAP %.2f %%, here it is %.2f %%: other videos were left out, or it was "
            "measured on other ground truth; name that with --annotations or --features",
            metrics, 100 * earlier["average_mAP"], 100 * now["average_mAP"],
        )  # fmt: skip
