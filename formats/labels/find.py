"""A file or folder of labels in, whichever program wrote it; out comes what it holds.

The form is found by the content, never by the name. Everything that takes annotations reads them
here: `load_annotations` for ground truth, `read_labels` for what may have scores or faults.
"""

from __future__ import annotations

import json
import logging
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ...errors import InputError, quantity
from ..annotations import Annotations, read_annotations
from ..json_values import Problem, parse_json, repeated_keys
from ..limits import TooLarge, kind_of
from ..names import nfc
from ..predictions import (
    actionness_of,
    detections_of,
    label_order_of,
    thresholds_of,
    without_collector,
)
from ..split import split
from . import (
    audacity,
    boris,
    boris_export,
    datasets,
    elan,
    fiftyone,
    label_studio,
    subtitles,
    tables,
    textgrid,
    via,
)
from .record import FrameClock, Labels, VideoLabels, listed
from .text import UnknownForm, read_any_text

logger = logging.getLogger(__name__)

ACTIVITYNET, DETECTIONS = "ActivityNet annotations", "detections"
KEYS = {"subset", "duration", "annotations", "annotated", "ignore", "group"}  # of a video
ENDINGS = (".boris", ".csv", ".eaf", ".json", ".srt", ".textgrid", ".tsv", ".txt", ".vtt")
LOOSE = (".json", ".txt")  # which may be something else in a folder of labels
MAX_FILES = 20_000  # of a folder
KNOWN = (
    "ActivityNet, BORIS, ELAN, VIA 3, Label Studio, FiftyOne, Praat, Audacity, WebVTT, SRT, tables"
    " and more are known (docs/labels.md)"
)


@dataclass(frozen=True)
class HowToRead:
    """What a user says of how labels are to be read.

    clock: turns frames into seconds.
    tiers: of ELAN, to take; all where none is named.
    split: the share of videos to train on, where the labels have no subsets.
    seed: of the split.
    """

    clock: FrameClock = field(default_factory=FrameClock)
    tiers: tuple[str, ...] = ()
    split: float | None = None
    seed: int = 0


AS_IT_IS = HowToRead()


def load_annotations(path: str | Path, how: HowToRead = AS_IT_IS) -> Annotations:
    """Return the ground truth in a file or folder of labels; the log says which form it has.

    Raises:
        InputError: nothing is there, its form is not known, or an entry cannot be read; the message
            names the first.
    """
    labels = read_labels(Path(path), how)
    if labels.form == DETECTIONS:
        raise InputError(
            f"{path}: has no 'database', but detections; annotations are needed (`tsatal convert "
            "--labels` makes these of them)"
        )
    refuse_problems(labels, path)
    tell(labels, path)
    truth = labels.annotations(str(path))
    return truth if how.split is None else split(truth, how.split, seed=how.seed)


def read_labels(path: Path, how: HowToRead = AS_IT_IS) -> Labels:
    """Return the content of a file or folder of labels or detections, with its faults.

    Raises:
        InputError: nothing is there, or it cannot be read at all.
    """
    if path.is_dir():
        return _folder(path, how)
    text, remark = read_any_text(path)
    if not text.strip():
        raise UnknownForm(f"{path}: empty; a file of labels is needed")
    if remark and text.lstrip()[:1] in ("{", "["):
        raise InputError(f"{path}: not a text file in UTF-8, as JSON has to be")
    try:
        with without_collector():
            found = parse_labels(text, path, how)
    except UnknownForm as e:
        raise UnknownForm(f"{path}: {e}; {KNOWN}") from None
    except TooLarge:
        raise
    except InputError as e:
        raise InputError(str(e) if str(e).startswith(str(path)) else f"{path}: {e}") from None
    return replace(found, remarks=(remark, *found.remarks)) if remark else found


def look_at(path: str | Path) -> None:
    """See that a file or folder is there, before anything slow is done.

    Raises:
        InputError: nothing is there, or something else.
    """
    if (kind := kind_of(path)) not in ("a file", "a folder"):
        raise InputError(f"{path}: {kind}, where a file or folder of labels is needed")


def refuse_problems(labels: Labels, path: str | Path) -> None:
    """Raise an InputError for the first entry that could not be read, if there is one."""
    if labels.problems:
        more = len(labels.problems) - 1
        others = f" (and {more:,} more like it; `tsatal check` lists all)" if more else ""
        raise InputError(f"{path}: {labels.problems[0]}{others}")


def tell(labels: Labels, path: str | Path) -> None:
    """Log which form a file has, where it is another program's, and what is left out."""
    if labels.form not in (ACTIVITYNET, DETECTIONS):
        logger.info("%s: %s", path, "; ".join([labels.words, *labels.remarks]))


def parse_labels(text: str, path: Path, how: HowToRead = AS_IT_IS) -> Labels:
    """Return the labels in a text.

    Args:
        path: where it came from: its name is that of the video where the text names none.
    Raises:
        UnknownForm: it is none of labels.
        InputError: it cannot be read.
    """
    name, begin = path.stem, text.lstrip()[:1]
    if begin in ("{", "[") or path.suffix.lower() in (".json", ".boris"):
        return _parse_json_labels(text, path, how.clock)
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if begin == "<":
        if elan.looks_like_elan(text) or path.suffix.lower() == ".eaf":
            return elan.read_elan(text, name, tiers=how.tiers)
        raise UnknownForm(elan.why_none(text))
    if textgrid.looks_like_textgrid(text):
        return textgrid.read_textgrid(text, name, tiers=how.tiers)
    if via.looks_like_via_csv(text):
        return via.read_via_csv(text)
    if delimiter := label_studio.looks_like_label_studio_table(text):
        return label_studio.read_label_studio_table(text, delimiter, how.clock)
    if subtitles.looks_like_subtitles(text):
        return subtitles.read_subtitles(text, name, how.clock)
    if boris_export.looks_like_export(text):
        return boris_export.read_export(text, name)
    if audacity.looks_like_audacity(text):
        return audacity.read_audacity(text, name, how.clock)
    if found := datasets.read_data_set(text, name, how.clock):
        return found
    if not tables.looks_like_table(text):
        raise UnknownForm(tables.why_none(text) or "not labels of a known form")
    return tables.read_table(text, name, how.clock)


def _parse_json_labels(text: str, path: Path, clock: FrameClock) -> Labels:
    """Return the labels in JSON, by its keys."""
    raw = parse_json(text, str(path))
    if isinstance(raw, dict) and "database" in raw:
        return _activitynet(text, raw, path)
    if isinstance(raw, dict) and "results" in raw:
        return _detections(raw, path)
    if boris.looks_like_project(raw):
        return boris.read_project(raw)
    if via.looks_like_via(raw):
        return via.read_via(raw)
    if fiftyone.looks_like_fiftyone(raw):
        return fiftyone.read_fiftyone(raw, clock)
    if label_studio.looks_like_label_studio(raw):
        return label_studio.read_label_studio(raw, clock)
    raise UnknownForm("has no 'database' of annotations, nor labels of another form")


def _activitynet(text: str, raw: Any, path: Path) -> Labels:
    truth, problems = read_annotations(text, source=str(path))
    videos = {
        v.video_id: VideoLabels(
            v.video_id, v.instances, v.subset, v.duration_sec, ignored=v.ignored, group=v.group
        )
        for v in truth.videos.values()
    }
    entries = _dicts(raw["database"].values() if isinstance(raw["database"], dict) else [])
    actions = [a for e in entries for a in _dicts(e.get("annotations"))]
    others = {
        "the file": set(raw) - {"database"},
        "its videos": {k for e in entries for k in e} - KEYS,
        "its actions": {k for a in actions for k in a} - {"label", "segment"},
    }
    remarks = tuple(f"other keys of {of} {listed(sorted(k))}" for of, k in others.items() if k)
    number = quantity(len(videos), "video")
    return Labels(ACTIVITYNET, videos, number, tuple(problems), remarks, text)


def _dicts(values: Any) -> list[dict[str, Any]]:
    """Return those of some values that are JSON's objects; none of what is no list."""
    every = values if isinstance(values, Iterable) and not isinstance(values, str) else []
    return [v for v in every if isinstance(v, dict)]


def _detections(raw: Any, path: Path) -> Labels:
    found, problems = detections_of(raw, str(path))
    videos = {k: VideoLabels(k, tuple(actions)) for k, actions in found.items()}
    more: dict[str, Any] = {}
    try:
        more = {
            "curves": actionness_of(raw, str(path)),
            "classes": tuple(label_order_of(raw)),
            "thresholds": thresholds_of(raw, str(path)),
        }
    except InputError as e:
        problems.append(Problem("", str(e).removeprefix(f"{path}: ")))
    number = quantity(len(videos), "video")
    return Labels(DETECTIONS, videos, number, tuple(problems), **more)


def _folder(folder: Path, how: HowToRead) -> Labels:
    """Return the labels of all files below a folder, each of its own videos."""
    videos: dict[str, VideoLabels] = {}
    of: dict[str, Path] = {}
    problems, remarks, forms = list[Problem](), list[str](), Counter[str]()
    left_out: list[str] = []
    for path in _files(folder):
        inside = path.relative_to(folder)
        try:
            if not read_any_text(path)[0].strip():
                video_id = nfc(path.stem)
                found = Labels("empty file", {video_id: VideoLabels(video_id, ())})
            else:
                found = read_labels(path, how)
        except UnknownForm:
            if path.suffix.lower() not in LOOSE:
                raise
            left_out.append(str(inside))
            continue
        for video_id, video in found.videos.items():
            if video_id in videos and found.form == datasets.BY_CLASS:
                video = replace(video, actions=(*videos[video_id].actions, *video.actions))
            elif video_id in videos:
                raise InputError(
                    f"{folder}: the video {video_id!r} is in {of[video_id].name} and in "
                    f"{path.name}; keep one of them"
                )
            videos[video_id], of[video_id] = video, path
        forms[found.form] += 1
        problems += [Problem(p.video_id, f"{inside}: {p.says}") for p in found.problems]
        remarks += [f"{inside}: {r}" for r in found.remarks]
    if not forms:
        raise InputError(
            f"{folder}: a folder that holds no labels; {KNOWN}; files named {' '.join(ENDINGS)} "
            "are looked at"
        )
    if left_out:
        remarks.insert(
            0, f"no labels, and left out: {quantity(len(left_out), 'file')} {listed(left_out)}"
        )
    if len(remarks) > 5:
        remarks[5:] = [f"{len(remarks) - 5} more remarks"]
    words = ", ".join(f"{n} of {form}" for form, n in forms.most_common())
    return Labels("folder of labels", videos, words, tuple(problems), tuple(remarks))


def holds_labels(folder: Path) -> bool:
    """Return whether files lie in a folder that are named as labels alone are."""
    return any(p.suffix.lower() in set(ENDINGS) - set(LOOSE) for p in folder.iterdir())


def _files(folder: Path) -> list[Path]:
    """Return the files below a folder that may hold labels, sorted; hidden ones left out."""
    found: list[Path] = []
    for where, folders, names in os.walk(folder):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        for name in sorted(names):
            path = Path(where) / name
            if not name.startswith(".") and path.suffix.lower() in ENDINGS and path.is_file():
                found.append(path)
        if len(found) > MAX_FILES:
            raise InputError(f"{folder}: more than {MAX_FILES:,} files that may hold labels")
    return found


def keys_that_repeat(path: Path) -> Sequence[str]:
    """Return the keys that stand twice in one object of a JSON file; none of other files."""
    if path.is_dir():
        return []
    text, _ = read_any_text(path)
    try:
        return repeated_keys(text) if text.lstrip()[:1] == "{" else []
    except json.JSONDecodeError:
        return []
