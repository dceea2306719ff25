"""Detections as JSON: ActivityNet's submission form, with more of our own that others pass over.

Only this module knows the keys of our prediction files:

    {"results": {ID: [{"label": L, "segment": [START, END], "score": P}]},
     "actionness": {ID: {"start_sec": S, "step_sec": S, "values": [...]}},   (ours, optional)
     "labels": [L, ...],                                                     (ours, optional)
     "thresholds": {L: P}}                                                   (ours, optional)
"""

from __future__ import annotations

import gc
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ..errors import InputError
from .annotations import ActionnessCurve, Detection
from .json_values import (
    JSON,
    Problem,
    by_video,
    finite_number,
    labelled_segment,
    member,
    parse_json,
    readable_entries,
)
from .limits import read_text
from .names import is_text, nfc


def load_predictions(path: str | Path) -> dict[str, list[Detection]]:
    """Return the detections per video in the ActivityNet submission file at `path`.

    Raises:
        InputError: not of that form; the message names the video and the entry.
    """
    found, problems = read_predictions(path)
    if problems:
        raise InputError(f"{path}: {problems[0]}")
    return found


def read_predictions(path: str | Path) -> tuple[dict[str, list[Detection]], list[Problem]]:
    """Return the detections that can be read, per video, and what is wrong with the others.

    Raises:
        InputError: nothing can be read: not JSON, or not of this form.
    """
    with without_collector():
        return detections_of(parse_json(read_text(path, needs=JSON), str(path)), str(path))


@contextmanager
def without_collector() -> Iterator[None]:
    """Keep the garbage collector from walking through millions of new records again and again.

    None of these is garbage, and it would take more than half of the time.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def detections_of(raw: Any, source: str) -> tuple[dict[str, list[Detection]], list[Problem]]:
    """Return the detections in a file's JSON values; see `read_predictions`."""
    problems = list[Problem]()
    results = by_video(raw, "results", source, problems)
    found = {
        v: readable_entries(entries, _detection, v, problems) for v, entries in results.items()
    }
    if problems and not any(found.values()):
        raise InputError(f"{source}: {problems[0]}; no entry can be read")
    return found, problems


def load_actionness(path: str | Path) -> dict[str, ActionnessCurve]:
    """Return the actionness curves in a file of detections; none where it has none.

    Raises:
        InputError: not of that form; the message names the video.
    """
    return actionness_of(parse_json(read_text(path, needs=JSON), str(path)), str(path))


def actionness_of(raw: Any, source: str) -> dict[str, ActionnessCurve]:
    """Return the actionness curves in a file's JSON values; see `load_actionness`."""
    if isinstance(raw, dict) and raw.get("actionness") is None:
        return {}
    curves, problems = dict[str, ActionnessCurve](), list[Problem]()
    for video_id, entry in by_video(raw, "actionness", source, problems).items():
        try:
            values = tuple(finite_number(v, "value") for v in member(entry, "values", list))
            step = finite_number(entry.get("step_sec"), "step_sec")
            if step <= 0:
                raise InputError(f"'step_sec' must be above 0, is {step}; leave 'actionness' out")
            start = finite_number(entry.get("start_sec"), "start_sec")
            curves[video_id] = ActionnessCurve(start, step, values)
        except InputError as e:
            problems.append(Problem(f"actionness of {video_id}", str(e)))
    if problems:
        raise InputError(f"{source}: {problems[0]}")
    return curves


def label_order_of(raw: Any) -> list[str]:
    """Return all classes of the run that wrote these detections; none where it does not say."""
    labels = raw.get("labels") if isinstance(raw, dict) else None
    if not isinstance(labels, list):
        return []
    return list(dict.fromkeys(x for x in labels if isinstance(x, str) and is_text(x)))


def load_thresholds(path: str | Path) -> dict[str, float]:
    """Return from which score on detections count, by class; empty where a file does not say.

    Raises:
        InputError: one is not a finite number; the message names the class.
    """
    return thresholds_of(parse_json(read_text(path, needs=JSON), str(path)), str(path))


def thresholds_of(raw: Any, source: str) -> dict[str, float]:
    """Return the thresholds in a file's JSON values; see `load_thresholds`."""
    least = raw.get("thresholds") if isinstance(raw, dict) else None
    if not isinstance(least, dict):
        return {}
    try:
        return {nfc(label): finite_number(score, label) for label, score in least.items()}
    except InputError as e:
        raise InputError(f"{source}: thresholds: {e}") from None


def json_kind(path: str | Path) -> str | None:
    """Return `annotations` or `detections`, or None for other JSON.

    Raises:
        InputError: not JSON.
    """
    raw = parse_json(read_text(path, needs=JSON), str(path))
    keys = raw if isinstance(raw, dict) else {}
    return "annotations" if "database" in keys else "detections" if "results" in keys else None


def predictions_json(
    predictions: Mapping[str, Iterable[Detection]],
    actionness: Mapping[str, ActionnessCurve] | None = None,
    labels: Sequence[str] = (),
    thresholds: Mapping[str, float] = MappingProxyType({}),
) -> str:
    """Return detections as ActivityNet submission JSON, videos and detections in given order.

    Args:
        actionness: curves that go into the same file, where other programs do not look.
        labels: all classes of the run, in the order that fixes their colours; as `actionness`.
        thresholds: from which score on detections count, by class; as `actionness`.
    """
    results = {
        video: [
            {"label": d.label, "segment": [d.start_sec, d.end_sec], "score": d.score} for d in found
        ]
        for video, found in predictions.items()
    }
    whole: dict[str, Any] = {"version": "VERSION 1.3", "results": results, "external_data": {}}
    if actionness:
        whole["actionness"] = {video: asdict(curve) for video, curve in actionness.items()}
    if labels:
        whole["labels"] = list(labels)
    if thresholds:
        whole["thresholds"] = dict(thresholds)
    return json.dumps(whole)


def _detection(raw: Any) -> Detection:
    return Detection(*labelled_segment(raw), finite_number(raw.get("score"), "score"))
