"""A file or folder of ours in, its description out: plain values, and text.

`describe` tells feature files, annotations, detections, checkpoints, packed models and runs apart
by their content, not by their names. Modules that take long to import are imported where they are
needed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..formats.annotations import Detection, Instance
from ..formats.bundle import CARD, looks_like_bundle, open_bundle
from ..formats.features import FeatureFile, embedded_in, looks_like_features
from ..formats.json_values import JSON, parse_json
from ..formats.labels.detections import detections_in, hold_detections
from ..formats.labels.find import DETECTIONS, holds_labels, read_labels
from ..formats.labels.record import Labels
from ..formats.labels.text import UnknownForm
from ..formats.limits import TooLarge, kind_of, read_text, regular_file
from ..formats.predictions import json_kind
from .rows import usable_axes
from .truth import actions, read_leniently

if TYPE_CHECKING:
    from ..config import Config

ZIP = b"PK"  # what checkpoints begin with
MAX_IN_LINE = 4  # members told in one line
MAX_LISTED = 12  # items of a list in the text; the rest are counted
DIGEST = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{20,}\b")
NOT_LEARNED = ("running_mean", "running_var", "num_batches_tracked", "feature_scale")


def describe(path: Path) -> dict[str, Any]:
    """Return a description of the file or folder at `path`, as plain values for JSON.

    Raises:
        InputError: nothing is there, or nothing of ours; the message says why.
    """
    if path.is_dir():
        from ..head.run import CONFIG_FILE, DATA_FILE

        of_a_run = any((path / name).exists() for name in (CONFIG_FILE, DATA_FILE))
        if not of_a_run and not looks_like_features(path) and holds_labels(path):
            return _labels(path)
        if of_a_run or not looks_like_features(path):
            return _run(path)
    elif kind_of(path) != "a file":
        regular_file(path, needs="a file or the folder of a run")
    if looks_like_features(path):
        with FeatureFile(path) as features:
            return _features(features)
    if looks_like_bundle(path):
        return _packed(path)
    with path.open("rb") as file:
        zipped = file.read(len(ZIP)) == ZIP
    if zipped or path.suffix == ".pt":
        return {"file": str(path), "kind": "checkpoint", **_checkpoint(path)}
    try:
        kind = json_kind(path)
        unknown = "JSON, but neither annotations ('database') nor detections ('results')"
    except TooLarge:
        raise
    except InputError:
        kind = None
        unknown = (
            "neither a feature file, a checkpoint, a packed model, annotations, nor detections"
        )
    if kind == "annotations":
        return {
            "file": str(path),
            "kind": kind,
            **_truth(read_text(path, needs=JSON), str(path), None),
        }
    try:
        return _labels(path)
    except UnknownForm as e:
        raise InputError(f"{path}: {unknown}") from e


def _labels(path: Path) -> dict[str, Any]:
    """Return the contents of a file or folder of labels or detections."""
    labels = read_labels(path)
    if hold_detections(labels):
        return _predictions(labels, path)
    described = _truth(labels.annotations(str(path)).text, str(path), None)
    described["unreadable_entries"] = len(labels.problems)
    return {"file": str(path), "kind": "annotations", "form": labels.words, **described}


def _features(file: FeatureFile) -> dict[str, Any]:
    """Return the contents of a feature file: videos, rows, annotations, and their making."""
    axes, unusable = usable_axes(file)
    text = file.annotations_text()
    streams = {}
    for stream in file.streams():
        try:
            width: int | str = file.width((stream,))
        except InputError:
            width = "differs between videos"
        rows = file.video(file.video_ids[0]).streams[stream]
        streams[stream] = {"width": width, "dtype": str(rows.dtype)}
    try:
        made_by = file.provenance
    except (TypeError, ValueError):
        made_by = {"provenance": "damaged"}
    return {
        "file": str(file.path),
        "kind": "feature file" if len(file.parts) == 1 else "feature files, read as one",
        **({"files": len(file.parts)} if len(file.parts) > 1 else {}),
        "size_mb": round(sum(map(_megabytes, file.parts)), 3),
        "videos": len(file.video_ids),
        "unreadable_videos": len(unusable),
        "hours": _hours(axis.duration_sec for axis in axes.values()),
        "rows": sum(axis.num_steps for axis in axes.values()),
        "streams": streams,
        "step_sec": _range([axis.step_sec for axis in axes.values()]),
        "start_sec": _range([axis.start_sec for axis in axes.values()]),
        "annotations": _embedded(text, file) if text else None,
        "made_by": made_by,
    }


def _embedded(text: str, file: FeatureFile) -> dict[str, Any]:
    try:
        return _truth(text, embedded_in(file.path), set(file.video_ids))
    except InputError as e:
        return {"problem": str(e)}


def _run(run_dir: Path) -> dict[str, Any]:
    """Return the data, the progress and the figures of a run."""
    from ..head.checkpoint import BEST, LAST
    from ..head.origin import load_origin
    from ..head.run import load_run_description

    config, data = load_run_description(run_dir)
    checkpoints: dict[str, dict[str, Any]] = {}
    for path in (run_dir / LAST, run_dir / BEST):
        if path.is_file():
            try:
                checkpoints[path.name] = _checkpoint(path)
            except InputError as e:
                checkpoints[path.name] = {"problem": str(e)}
    try:
        made_by: list[dict[str, Any]] | str = load_origin(run_dir)
    except InputError:
        made_by = "damaged"
    return {
        "folder": str(run_dir),
        "kind": "run",
        "config": _nearest(config),
        "features": {"path": data.features, "there": Path(data.features).exists()},
        "annotations": data.annotations or "inside the feature file",
        "streams": list(data.streams),
        "width": data.width,
        "labels": list(data.labels),
        "subsets": {role: name or "none" for role, name in vars(data.subsets).items()},
        "epochs": {
            "done": checkpoints.get(LAST, {"epoch": 0}).get("epoch"),
            "of": config.optim.epochs,
        },
        "validation_mAP": _validation(run_dir),
        "checkpoints": checkpoints,
        "evaluation": _evaluation(run_dir / "metrics.json"),
        "made_by": made_by or None,
    }


def _checkpoint(path: Path) -> dict[str, Any]:
    from ..head.checkpoint import load_checkpoint

    checkpoint = load_checkpoint(path)
    try:
        progress = checkpoint["progress"]
        validated = progress["best_map"] >= 0
        tensors = checkpoint["average"]
        return {
            "size_mb": _megabytes(path),
            "epoch": progress["epoch"],
            "step": progress["step"],
            "best_validation_mAP": progress["best_map"] if validated else None,
            "best_epoch": progress["best_epoch"] if validated else None,
            "parameters": sum(t.numel() for k, t in tensors.items() if not k.endswith(NOT_LEARNED)),
            "tensors": len(tensors),
            "keys": list(checkpoint),
        }
    except (KeyError, TypeError, AttributeError) as e:
        raise InputError(f"{path}: a checkpoint, but damaged ({e!r})") from None


def _packed(path: Path) -> dict[str, Any]:
    """Return the facts of a packed model, its digest, and its card."""
    with open_bundle(path) as model:
        facts = model.manifest()
        try:
            card = model.read(CARD).decode("utf-8")
        except UnicodeDecodeError:
            raise InputError(f"{path}: {CARD}: not a text in UTF-8") from None
        return {
            "file": str(path),
            "kind": "packed model",
            "size_mb": _megabytes(path),
            "sha256": model.sha256,
            "facts": facts,
            "card": card,
        }


def _predictions(labels: Labels, path: Path) -> dict[str, Any]:
    """Return the contents of a file or folder of detections."""
    read = detections_in(labels, path)
    found = read.videos
    every = [d for detections in found.values() for d in detections]
    return {
        "file": str(path),
        "kind": "detections",
        **({} if labels.form == DETECTIONS else {"form": labels.words}),
        "videos": len(found),
        "unreadable_entries": len(read.problems),
        "videos_without_detections": sum(not detections for detections in found.values()),
        "detections": len(every),
        "scores": _spread([d.score for d in every]),
        "length_sec": _spread([d.end_sec - d.start_sec for d in every]),
        "labels": _counted_labels(every),
        "actionness_curves": len(labels.curves),
    }


def as_text(described: Mapping[str, Any], *, indent: str = "") -> str:
    """Return a description as aligned text: a line per value, sections indented.

    A packed model is described by its card.
    """
    if "card" in described:
        seal = f"{described['file']}: {described['size_mb']:g} MB, sha256 {described['sha256']}"
        return f"{described['card']}\n{seal}"
    width = max(map(len, described), default=0)
    lines = []
    for name, value in described.items():
        if isinstance(value, list) and any(isinstance(v, Mapping) for v in value):
            value = {str(n): v for n, v in enumerate(value, start=1)}
        members = value.values() if isinstance(value, Mapping) else ()
        # Values with commas in them could not be told apart on one line.
        apart = any(isinstance(m, Mapping) or "," in str(m) for m in members)
        if len(members) > MAX_IN_LINE or apart:
            lines += [f"{indent}{name}", as_text(value, indent=f"{indent}  ")]
        else:
            lines.append(f"{indent}{name:{width}}  {_words(value)}")
    return "\n".join(lines)


def _words(value: Any) -> str:
    """Return a value in words: digests cut short, long lists counted."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_words(v)}" for name, v in value.items()) or "-"
    if isinstance(value, list):
        more = [f"... ({len(value)} in all)"] if len(value) > MAX_LISTED else []
        return ", ".join([*map(_words, value[:MAX_LISTED]), *more]) or "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    words = "-" if value is None else DIGEST.sub(r"\1...", str(value))
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in words)


def _truth(text: str, source: str, there: set[str] | None) -> dict[str, Any]:
    """Return the contents of annotations; `there` are the videos with features, if known."""
    truth, refused = read_leniently(text, source=source)
    videos = list(truth.videos.values())
    instances = [i for v in videos for i in actions(v)]
    subsets = {}
    for name, number in truth.subset_counts().items():
        members = truth.subset(name)
        about = subsets[name or "none"] = {"videos": number}
        if there is not None:
            about["with_features"] = len(there & members.keys())
        about["instances"] = sum(len(actions(v)) for v in members.values())
    return {
        "videos": len(videos),
        "unreadable_entries": len(refused),
        "hours": _hours(v.duration_sec or 0.0 for v in videos),
        "subsets": subsets,
        "instances": len(instances),
        "instance_sec": _spread([i.end_sec - i.start_sec for i in instances]),
        "labels": _counted_labels(instances),
    }


def _nearest(config: Config) -> dict[str, Any]:
    """Return the shipped configuration, or the two joined, that a run's settings are nearest to,
    and the keys in which they differ from it."""
    from ..config import load_config, shipped_configs

    names = shipped_configs()
    pairs = [f"{a}+{b}" for a in names for b in names if a != b]
    ours = config.model_dump(mode="json")
    differing = {}
    for name in [*names, *pairs]:
        try:
            theirs = load_config(name).model_dump(mode="json")
        except InputError:  # two that cannot be joined
            continue
        differing[name] = {
            f"{section}.{key}": value
            for section, keys in ours.items()
            for key, value in keys.items()
            if theirs[section][key] != value
        }
    name = min(differing, key=lambda n: len(differing[n]))
    return {"nearest": name, "differences": differing[name]}


def _validation(run_dir: Path) -> dict[str, Any] | str | None:
    """Return the last and the best validation mAP that the log of a run has."""
    from ..head.log import read_log

    try:
        rows = read_log(run_dir / "log.csv")
        values = {
            int(r["epoch"]): float(r["validation_mAP"]) for r in rows if r.get("validation_mAP")
        }
    except (InputError, KeyError, ValueError):
        return "damaged"
    if not values:
        return None
    best = max(values, key=lambda epoch: values[epoch])
    return {"last": values[max(values)], "best": values[best], "best_epoch": best}


def _evaluation(metrics: Path) -> dict[str, Any] | str | None:
    """Return the headline of the figures that `evaluate` left, None where it left none."""
    if not metrics.is_file():
        return None
    try:
        raw = parse_json(read_text(metrics, needs=JSON), str(metrics))
        kept = ("protocol", "subset", "num_videos", "num_instances", "average_mAP", "mAP")
        return {key: raw[key] for key in kept}
    except (ValueError, TypeError, KeyError):
        return "damaged"


def _counted_labels(segments: Iterable[Instance | Detection]) -> list[str]:
    return [f"{label} ({n})" for label, n in sorted(Counter(s.label for s in segments).items())]


def _range(values: Collection[float]) -> list[float]:
    """Return the least and the greatest value; one where they are equal, none of none."""
    return sorted({min(values), max(values)}) if values else []


def _spread(values: Collection[float]) -> dict[str, float] | None:
    if not values:
        return None
    return {"least": min(values), "median": float(median(values)), "greatest": max(values)}


def _hours(seconds: Iterable[float]) -> float:
    return round(sum(seconds) / 3600, 4)


def _megabytes(path: Path) -> float:
    return round(path.stat().st_size / 1e6, 3)
