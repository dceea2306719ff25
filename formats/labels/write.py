"""Labels or detections in, another program's file or folder of files out; and what is lost by it.

`FORMS` says what each form can hold. What one cannot hold is named by `losses`, so that nothing is
lost in silence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import InputError, quantity
from ..annotations import Detection, annotations_json
from ..atomic import write_text
from ..names import file_names
from ..predictions import predictions_json
from . import audacity, boris, elan, fiftyone, label_studio, subtitles, tables, via
from .record import (
    FrameClock,
    Labels,
    VideoLabels,
    annotated_video,
    id_of_media,
    listed,
    spaced,
)
from .times import MAX_SEC


@dataclass(frozen=True)
class Form:
    """A form that labels can be written in.

    name: as typed after --to.
    ending: of its files.
    several: whether one file holds several videos; else there is a folder with a file for each.
    holds: of scores, subsets, groups, durations, empty (videos without labels), ignored (stretches
        that count neither way), names (of videos), lines (labels with line breaks), negative
        (times before 0).
    step: the clock it rounds to, in words; empty where times are exact.
    """

    name: str
    words: str
    ending: str
    several: bool
    holds: frozenset[str]
    step: str = ""


def _form(
    name: str, words: str, ending: str, holds: str, *, step: str = "", several: bool = True
) -> Form:
    return Form(name, words, ending, several, frozenset(holds.split()), step)


ALL = "scores subsets groups durations empty ignored names lines negative"
FORMS = {
    form.name: form
    for form in (
        _form(
            "activitynet", "ActivityNet", ".json",
            "subsets groups durations empty ignored names lines negative",
        ),
        _form("csv", "CSV", ".csv", ALL),
        _form("tsv", "TSV", ".tsv", ALL),
        _form("trace", "TRACE", ".csv", "empty lines negative", several=False),
        _form("boris", "BORIS", ".boris", "durations empty names lines negative"),
        _form("elan", "ELAN", ".eaf", "empty names lines", step="milliseconds", several=False),
        _form("via", "VIA 3", ".json", "empty names lines negative"),
        _form(
            "label-studio", "Label Studio", ".json",
            "scores subsets groups durations empty names lines", step="frames",
        ),
        _form("audacity", "Audacity", ".txt", "empty negative", step="microseconds", several=False),
        _form("fiftyone", "FiftyOne", ".json", "scores empty names lines negative"),
        _form("webvtt", "WebVTT", ".vtt", "scores empty", step="milliseconds", several=False),
        _form("srt", "SRT", ".srt", "scores empty", step="milliseconds", several=False),
    )
}  # fmt: skip
BY_ENDING = {
    ".json": "activitynet", ".csv": "csv", ".tsv": "tsv", ".boris": "boris", ".eaf": "elan",
    ".vtt": "webvtt", ".srt": "srt",
}  # fmt: skip


def choose_form(to: Path, name: str | None) -> Form:
    """Return the form to write: the one named, else by the ending.

    Raises:
        InputError: neither says it.
    """
    chosen = name or BY_ENDING.get(to.suffix.lower())
    if chosen not in FORMS:
        known = ", ".join(FORMS)
        raise InputError(f"{to}: its ending does not say a form; name one with --to: {known}")
    return FORMS[chosen]


def losses(labels: Labels, form: Form) -> list[str]:
    """Return the parts of these labels that the form cannot hold, each in a few words."""
    videos = list(labels.videos.values())
    actions = [a for v in videos for a in v.actions]
    detections = form.name == "activitynet" and are_detections(labels)
    holds = form.holds
    if form.name == "activitynet" and detections:
        holds = (holds | {"scores"}) - {"subsets", "groups", "durations", "ignored"}
    found = []
    if "scores" not in holds and (n := sum(isinstance(a, Detection) for a in actions)):
        found.append(f"scores of {quantity(n, 'detection')}")
    if "scores" in holds and form.name in ("webvtt", "srt") and labels.scored:
        found.append("scores beyond four digits")
    if "subsets" not in holds and any(v.subset for v in videos):
        found.append("subsets")
    if "groups" not in holds and any(v.group for v in videos):
        found.append("groups")
    if "durations" not in holds and any(v.duration_sec is not None for v in videos):
        found.append("durations")
    if n := 0 if "ignored" in holds else sum(len(v.ignored) for v in videos):
        stretches = quantity(n, "stretch", "stretches")
        found.append(f"{stretches} that count neither way (ignored, or not annotated)")
    if labels.curves and not detections:
        found.append("actionness")
    if labels.thresholds and not detections:
        found.append("thresholds of classes")
    if "negative" not in holds and (n := sum(a.start_sec < 0 for a in actions)):
        found.append(f"times before 0 of {quantity(n, 'label')}, set to 0")
    if "lines" not in holds and any(spaced(a.label) != a.label for a in actions):
        found.append("line breaks and tabs in labels")
    if form.name == "label-studio" and (n := sum(a.start_sec == a.end_sec for a in actions)):
        found.append(f"no length of {quantity(n, 'label')}, now one frame long")
    if renamed := _renamed(videos, form):
        found.append(f"names of {quantity(len(renamed), 'video')} {listed(renamed)}")
    if labels.text is not None and form.name != "activitynet":
        found += labels.remarks  # keys that only the JSON has
    if form.step and any(a.end_sec > MAX_SEC for a in actions):
        found.append(f"times beyond {MAX_SEC:g} s")
    if form.step:
        found.append(f"times finer than {form.step}")
    return found


def are_detections(labels: Labels) -> bool:
    """Return whether these are detections rather than ground truth."""
    return labels.form == "detections" or labels.scored


def write_labels(labels: Labels, to: Path, form: Form, clock: FrameClock) -> list[Path]:
    """Write labels in a form, whole or not at all file by file, and return the files.

    Args:
        to: a file; a folder where the form has a file per video, or a file where there is but one.
        clock: turns seconds into frames, for forms that count these.
    Raises:
        InputError: `to` is no place for this form, or other files of the form are in the folder.
    """
    videos = list(labels.videos.values())
    if form.several:
        if to.is_dir():
            raise InputError(
                f"{to}: a folder; {form.words} is one file, such as labels{form.ending}"
            )
        text = _whole(labels, videos, form, clock)
        to.parent.mkdir(parents=True, exist_ok=True)
        write_text(to, text)
        return [to]
    each: dict[str, Callable[[VideoLabels], str]] = {
        "trace": tables.write_trace, "elan": elan.write_elan, "audacity": audacity.write_audacity,
        "webvtt": subtitles.write_webvtt, "srt": subtitles.write_srt,
    }  # fmt: skip
    written = each[form.name]
    if to.suffix.lower() == form.ending and not to.is_dir():
        if len(videos) != 1:
            raise InputError(
                f"{to}: a file of {form.words} is about one video, and there are {len(videos)}"
                "; name a folder"
            )
        to.parent.mkdir(parents=True, exist_ok=True)
        write_text(to, written(videos[0]))
        return [to]
    if to.exists() and not to.is_dir():
        raise InputError(f"{to}: no folder; {form.words} has a file for every video")
    names = file_names((v.video_id for v in videos), form.ending)
    there = {p.name for p in to.glob(f"*{form.ending}")} if to.is_dir() else set()
    if others := sorted(there - set(names.values())):
        raise InputError(
            f"{to}: holds other {form.ending} files ({others[0]}), which would be taken for labels "
            "of the same set; name another folder"
        )
    to.mkdir(parents=True, exist_ok=True)
    for v in videos:
        write_text(to / names[v.video_id], written(v))
    return [to / names[v.video_id] for v in videos]


def _whole(labels: Labels, videos: Sequence[VideoLabels], form: Form, clock: FrameClock) -> str:
    """Return the text of a file that holds all videos."""
    if form.name == "activitynet":
        if are_detections(labels):
            found = {v.video_id: [a for a in v.actions if isinstance(a, Detection)] for v in videos}
            return predictions_json(found, labels.curves, labels.classes, labels.thresholds)
        if labels.text is not None:
            return labels.text
        return annotations_json(map(annotated_video, videos))
    if form.name == "label-studio":
        return label_studio.write_label_studio(videos, clock)
    if form.name == "boris":
        return boris.write_project(videos)
    if form.name == "via":
        return via.write_via(videos)
    if form.name == "fiftyone":
        return fiftyone.write_fiftyone(videos)
    return tables.write_table(videos, delimiter="\t" if form.name == "tsv" else ",")


def _renamed(videos: Sequence[VideoLabels], form: Form) -> list[str]:
    """Return the videos whose names no file can have, or look like the path of another one."""
    if form.name == "activitynet":
        return []
    names = file_names((v.video_id for v in videos), form.ending)
    kept = "names" in form.holds
    return [
        k
        for k, name in names.items()
        if id_of_media(k) != k or (not kept and name != k + form.ending)
    ]
