"""A run to a file to give away: a packed model, or ONNX."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..formats.atomic import check_place
from ..head.packed import backbone_weights, projection_of, run_folder, unpacked_run
from ..head.run import load_run_description, newest_run
from .files import Pathlike

if TYPE_CHECKING:
    from ..reports.packing import PackedModel


def pack(
    run: Pathlike | None = None,
    out: Pathlike = "model.tsatal",
    *,
    checkpoint: str = "last",
    features: Pathlike | None = None,
    with_backbone: bool = False,
    weights: Pathlike | None = None,
    flow_weights: Pathlike | None = None,
    licence: str | None = None,
    note: str | None = None,
) -> PackedModel:
    """Write a run as one file to give away, which `detect` and `evaluate` take in its place.

    Args:
        run: the run's folder; the newest in `runs` where not given.
        out: the file, which ends in `.tsatal`.
        checkpoint: "last" or "best"; the file holds one of them.
        features: the run's feature file, for a run of an older version that kept no projection.
        with_backbone: whether the backbone's weights are put in, if their licence allows.
        weights, flow_weights: the files of the backbone's weights, where they are not published.
        licence, note: of the model, for its card.
    Raises:
        InputError: no such run or checkpoint, another ending, or weights that may not be put in.

    Example:
        >>> tsatal.pack("runs/first", "first.tsatal").sha256  # doctest: +SKIP
    """
    run = unpacked_run(run or newest_run(), "it is packed already: copy the file")
    out = Path(out)
    check_place(out)
    load_run_description(run)

    from ..reports.packing import check_name, pack_run

    check_name(out)
    return pack_run(
        run,
        out,
        checkpoint=checkpoint,
        features=Path(features) if features else None,
        with_backbone=with_backbone,
        weights={
            "rgb": Path(weights) if weights else None,
            "flow": Path(flow_weights) if flow_weights else None,
        },
        licence=(licence or "").strip() or None,
        note=(note or "").strip() or None,
    )


def export_whole(
    run: Pathlike,
    out: Pathlike,
    *,
    steps: int | None = None,
    checkpoint: str = "last",
    weights: Pathlike | None = None,
) -> Path:
    """Write backbone and head of a run as one ONNX file: frames in, scored segments out.

    Args:
        run: the run's folder, or a packed model (see `head.packed.run_folder`).
        out: the file, which ends in `.onnx`.
        steps: the most rows of a clip, see `reports.whole_model.export_whole`.
        checkpoint: "last" or "best".
        weights: the file of the backbone's, where they are neither published nor random.
    Raises:
        InputError: no such run, or a backbone that cannot be exported.
    """
    check_place(out)
    folder = run_folder(run)
    load_run_description(folder)

    from ..extract.provenance import settings_of
    from ..head.detector import load_detector
    from ..reports.whole_model import export_whole as export

    detector = load_detector(folder, checkpoint=checkpoint)
    data = detector.data
    settings = settings_of(
        data.extraction,
        streams=data.streams,
        features=projection_of(folder, None, data.features),
        weights=str(weights) if weights else backbone_weights(folder, "rgb"),
        device="cpu",
    )
    return export(detector, settings, Path(out), rows=steps)
