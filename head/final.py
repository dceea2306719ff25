"""The head that is given away: trained on all videos of folds, with what the folds have found.

FOLDER/final/                      a run like any other
            /operating_point.json  thresholds and calibration, of the folds' held-out detections
            /out_of_fold.json      the folds' figures, which `pack` puts on the model's card

No video is left to choose anything on, and none is needed: each fold's head has found what it has
in videos that it had not seen.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ..errors import InputError
from ..evaluation.folds import ALL_FOLDS, held_out_outcome
from ..evaluation.held_out import learn_from_held_out
from ..evaluation.operating_point import OperatingPoint
from ..formats.annotations import AnnotatedVideo, Detection, annotations_json
from ..formats.atomic import write_text
from ..formats.json_values import parse_json
from ..formats.labels.find import load_annotations
from ..formats.limits import read_text
from ..formats.predictions import load_predictions
from .checkpoint import finished_epochs
from .detector import Detector
from .held_out import AUTO, held_out_file
from .run import (
    ANNOTATIONS_FILE,
    FINAL,
    FOLDS_FILE,
    LAST,
    OUT_OF_FOLD_FILE,
    POINT_FILE,
    load_run_description,
    save_config,
    save_operating_point,
)
from .studies import TRAIN, Folds, Training, config_of, load_folds

logger = logging.getLogger(__name__)


def final_training(plan: Folds) -> Training:
    """Return the training on all videos of folds; it holds out none."""
    held_out = (v for ids in plan.folds for v in ids)
    return Training(FINAL, len(plan.folds), plan.seeds[0], (*held_out, *plan.always), ())


def begin_final(folder: Path) -> Training | None:
    """Return the final training, with its annotations in place; None where it is done.

    They are those of the folds, all in the subset to train on.
    """
    plan, run = load_folds(folder), folder / FINAL
    training = final_training(plan)
    epochs = config_of(plan, training).optim.epochs
    if (run / LAST).is_file() and finished_epochs(run / LAST) >= epochs:
        return None
    videos = load_annotations(folder / ANNOTATIONS_FILE).videos.values()
    run.mkdir(parents=True, exist_ok=True)
    write_text(run / ANNOTATIONS_FILE, annotations_json(replace(v, subset=TRAIN) for v in videos))
    return training


def is_settled(folder: Path) -> bool:
    """Whether there is a final head with all that belongs to it, so that more folds change it."""
    return (folder / FINAL / POINT_FILE).is_file()


def settle(folder: Path, figures: Mapping[str, object]) -> OperatingPoint:
    """Write into the final run what the folds say: `decode`, thresholds, calibration, figures.

    Args:
        figures: of the folds, as `metrics.json` has them.
    """
    run = folder / FINAL
    config, _ = load_run_description(run)
    power, found = _agreed(folder)
    if power != AUTO:
        decode = config.decode.model_copy(update={"class_agreement": power})
        save_config(run, config.model_copy(update={"decode": decode}))
    write_text(run / OUT_OF_FOLD_FILE, json.dumps(figures, indent=1))
    point = _learned(folder, found, config.eval.precision)
    save_operating_point(run, point)  # last: it says that all is there
    logger.info(
        "%s has learned from all videos; what scores enough counts (%s)", run, point.in_words
    )
    return point


def choose_final_anew(run: Path, detector: Detector, *, precision: float | str) -> Detector:
    """Return the detector of a final run with other thresholds, which are stored in the run.

    Args:
        precision: see `detector.choose_anew`; here of held-out detections.
    Raises:
        InputError: its folds are not beside it any more.
    """
    folder = run.resolve().parent
    if not (folder / FOLDS_FILE).is_file():
        raise InputError(
            f"{run}: nothing was validated on in its training, so --precision needs the folds "
            f"that its thresholds come from, and {folder} holds none"
        )
    least = None if isinstance(precision, str) else precision
    plan, (_, found) = load_folds(folder), _agreed(folder)
    point = _learned(folder, found, least)
    figures = parse_json(read_text(run / OUT_OF_FOLD_FILE), str(run / OUT_OF_FOLD_FILE))
    worth = held_out_outcome(
        _held_out(folder), found[0], plan.folds, subset=ALL_FOLDS, precision=least
    )
    text = json.dumps({**figures, "events": worth.to_json()}, indent=1)
    write_text(run / OUT_OF_FOLD_FILE, text)
    save_operating_point(run, point)
    return replace(detector, point=point)


def learn_final(folder: Path, precision: float | None) -> OperatingPoint:
    """Return the operating point that the folds in a folder give a head trained on all of them."""
    return _learned(folder, _agreed(folder)[1], precision)


def _learned(
    folder: Path, found: list[dict[str, list[Detection]]], precision: float | None
) -> OperatingPoint:
    count = len(load_folds(folder).folds)
    return learn_from_held_out(_held_out(folder), found, folds=count, precision=precision)


def _held_out(folder: Path) -> dict[str, AnnotatedVideo]:
    """Return the ground truth of the videos that folds hold out."""
    held_out = {v for ids in load_folds(folder).folds for v in ids}
    truth = load_annotations(folder / ANNOTATIONS_FILE).videos
    return {k: v for k, v in truth.items() if k in held_out}


def _agreed(folder: Path) -> tuple[float | str, list[dict[str, list[Detection]]]]:
    """Return what most folds chose for `decode.class_agreement`, and by seed what they find so."""
    plan = load_folds(folder)
    chosen = Counter(
        load_run_description(folder / t.name)[0].decode.class_agreement for t in plan.trainings
    )
    power = chosen.most_common(1)[0][0]
    by_seed: dict[int, dict[str, list[Detection]]] = {seed: {} for seed in plan.seeds}
    for training in plan.trainings:
        found = load_predictions(held_out_file(folder / training.name, power))
        by_seed[training.seed] |= found
    return power, list(by_seed.values())
