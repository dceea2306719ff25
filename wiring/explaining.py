"""One video and a run to a picture of what TSA does."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import InputError, shown
from ..formats.annotations import all_labels
from ..formats.atomic import check_place
from ..formats.features import FeatureFile
from ..formats.labels.find import load_annotations
from ..formats.names import nfc
from ..head.packed import is_packed, place_for, run_folder
from ..head.run import check_same_extraction, load_run_description
from .files import Pathlike, look_at_files


def explain(
    run: Pathlike,
    video: str,
    *,
    start_sec: float = 0.0,
    features: Pathlike | None = None,
    annotations: Pathlike | None = None,
    checkpoint: str = "last",
    out: Pathlike | None = None,
    device: str = "auto",
) -> Path:
    """Draw what TSA does in one video, and return the picture's path.

    Args:
        run: the run's folder, or a packed model (see `head.packed.run_folder`).
        video: the id of a video in the run's feature file or in `features`, or its path.
        start_sec: where to begin; as much is drawn as the head sees at once.
        features, annotations: see `evaluate`; without ground truth none is drawn.
        checkpoint: "last" or "best".
        out: the picture; where not given, `explained/VIDEO.png` in the run's folder, and for a
            packed model in this one.
        device: `auto`, `cpu` or `cuda`.
    Raises:
        InputError: no such run or video, a head without TSA, or an instant after the last row.
    """
    given, run = run, run_folder(run)
    config, data = load_run_description(run)
    if config.model.tsa == "none":
        raise InputError(f"{given}: its head has no TSA to explain (model.tsa=none)")
    if not features and is_packed(run):
        raise InputError(f"{given}: a packed model holds no features; give --features FILE.h5")
    video = nfc(Path(video).stem if os.path.isfile(video) else video)
    out = Path(out or place_for(given, "explained") / f"{video}.png")
    check_place(out)
    look_at_files(features or data.features, annotations)

    from ..extract.backbones.device import choose_device
    from ..head.detector import load_detector
    from ..head.explanation import explain_rows
    from ..reports.explanation import explanation_picture, reading_of

    detector = load_detector(run, checkpoint=checkpoint, device=choose_device(device))
    with FeatureFile(features or data.features) as file:
        check_same_extraction(file, data)
        if video not in file.video_ids:
            raise InputError(
                f"{file.path}: has no video {shown(video)}; rows of new videos are where `tsatal "
                "detect` put them: --features FOLDER/features.h5"
            )
        rows, axis = file.rows(video, data.streams), file.time_axis(video)
        # Nobody has annotated what was just detected in: then there is no ground truth to draw.
        path = data.annotations_for(features, annotations)
        truth = load_annotations(path) if path else file.annotations()
    first = round(max(start_sec - axis.start_sec, 0) / axis.step_sec)
    if first >= axis.num_steps:
        raise InputError(
            f"{video}: --from {start_sec:g} is after its last row, at "
            f"{axis.start_sec + (axis.num_steps - 1) * axis.step_sec:.4g} s"
        )
    annotated = truth.videos.get(video) if truth else None
    picture = explanation_picture(
        explain_rows(detector, rows, first=first),
        axis,
        video_id=video,
        reading=reading_of(config.model),
        truth=annotated.instances if annotated else (),
        detections=detector(rows, axis).detections,
        labels=data.labels,
        colours_of=all_labels(data.labels, truth),
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    picture.save(out)
    return out
