"""What the heads of a study find in the videos that they have not seen.

RUN/held_out.json         its detections there, by which its training counts as done
   /held_out-POWER.json   the same with another `decode.class_agreement`, where that is `auto`
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from ..config import DecodeConfig, EvalConfig
from ..errors import InputError, listed
from ..evaluation.average_precision import evaluate
from ..evaluation.matching import Measure
from ..formats.annotations import Detection
from ..formats.atomic import write_text
from ..formats.features import FeatureFile
from ..formats.labels.find import load_annotations
from ..formats.names import nfc
from ..formats.predictions import load_predictions, predictions_json
from .run import ANNOTATIONS_FILE, load_run_description
from .studies import MEASURED, Training

AUTO = "auto"  # of decode.class_agreement, see `agreement`
HELD_OUT = "held_out.json"


def keep_held_out(
    run: Path, features: str, decoding: DecodeConfig, measuring: EvalConfig, *, device: str
) -> float:
    """Keep what a run's head finds in its held-out videos, and return the average mAP there.

    Scores are the head's own, and nothing that was chosen on these videos is used: neither
    thresholds nor a calibration, nor what `decode.class_agreement: auto` chose. What other choices
    of that find is kept beside, so that `found_in` can choose on other folds.

    Args:
        decoding, measuring: as the training was told, so that `auto` still stands there.
    """
    from .agreement import OTHERS
    from .decode import AGREEMENT
    from .detector import load_detector

    truth, mean = load_annotations(run / ANNOTATIONS_FILE).subset(MEASURED), 0.0
    auto = decoding.class_agreement == AUTO
    names = {_beside(power): power for power in OTHERS} if auto else {}
    for name, power in {**names, HELD_OUT: AGREEMENT}.items():  # that which says done comes last
        changes = [f"decode.class_agreement={power}"] if auto else []
        detector = load_detector(run, device=device, changes=changes, own_scores=True)
        with FeatureFile(features) as file:
            found = {v: detector.in_file(file, v).detections for v in truth}
        write_text(run / name, predictions_json(found))
        exclude = tuple(v for v in map(nfc, measuring.exclude) if v in truth)
        measure = Measure(measuring.protocol, measuring.tious, exclude)
        mean = evaluate(truth, found, measure, subset=MEASURED).average_map
    return mean


def _beside(power: float) -> str:
    return f"held_out-{power:g}.json"


def found_in(folder: Path, trainings: Sequence[Training]) -> dict[str, list[Detection]]:
    """Return the detections of trainings in the videos that they are measured on.

    Where `decode.class_agreement` is `auto`, each takes what most of the others have chosen, each
    on its own videos.

    Raises:
        InputError: one is not done yet.
    """
    absent = [t.name for t in trainings if not (folder / t.name / HELD_OUT).is_file()]
    if absent:
        raise InputError(
            f"{folder}: {len(absent)} of {len(trainings)} trainings are not done "
            f"({listed(absent)}); the `tsatal train` command that began them goes on"
        )
    chosen = {
        t.name: load_run_description(folder / t.name)[0].decode.class_agreement for t in trainings
    }
    found: dict[str, list[Detection]] = {}
    for training in trainings:
        others = Counter(power for name, power in chosen.items() if name != training.name)
        most = others.most_common(1)[0][0] if others else AUTO
        found |= load_predictions(held_out_file(folder / training.name, most))
    return found


def held_out_file(run: Path, power: float | str) -> Path:
    """Return the file of a training's held-out detections with this `decode.class_agreement`."""
    beside = run / (HELD_OUT if power == AUTO else _beside(float(power)))
    return beside if beside.is_file() else run / HELD_OUT
