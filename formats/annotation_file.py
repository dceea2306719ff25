"""An `annotations.json` that is being edited: one video's labels out, and in again, whole.

What the editor does not know stays as it is: other members of the file, of a video, of an action.
Beside what `annotations` reads, a video may have (all ours, and left alone by other readers)

    "note": TEXT, also in an action;
    "unfinished": [[START, END]]    not looked through yet; which stretches to leave out
    "rejected": [{"label": L, "segment": [START, END]}]    suggestions that were wrong

"Nothing here" is a video without actions that is not unfinished. A video that nobody has looked at
is not in the file. While a video is unfinished, only its actions count as annotated.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from ..errors import InputError, one_line, shown
from .annotations import FOREVER_SEC as FOREVER
from .annotations import parse_annotations
from .atomic import check_place, write_text
from .json_values import JSON, parse_json, repeated_keys
from .limits import read_text
from .names import is_text, nfc

EMPTY = '{"database": {}}'
ROUND = 6  # decimals of a second: a microsecond
VALIDATED = 5  # one in so many videos goes to the subset that is measured on
ROLES = (("training", "train"), ("validation", "val", "testing", "test"))


class Changed(InputError):
    """A video's labels are no longer those that an edit began from; `labels` are there now."""

    def __init__(self, video_id: str, labels: Labels, revision: str) -> None:
        super().__init__(f"{shown(video_id)}: was changed elsewhere since this page read it")
        self.labels, self.revision = labels, revision


def _text(value: str) -> str:
    if not is_text(value):
        raise ValueError("is not valid text")
    return nfc(value)


Text = Annotated[str, Field(max_length=100_000), AfterValidator(_text)]
Label = Annotated[str, Field(min_length=1, max_length=500), AfterValidator(_text)]
Seconds = Annotated[float, Field(ge=-1e6, le=1e9, allow_inf_nan=False)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Span(_Model):
    """A stretch of a video, in seconds."""

    start_sec: Seconds
    end_sec: Seconds

    @model_validator(mode="after")
    def _forward(self) -> Span:
        if self.end_sec < self.start_sec:
            raise ValueError(f"ends ({self.end_sec} s) before it starts ({self.start_sec} s)")
        return self

    def pair(self) -> list[float]:
        """Return start and end as they are written."""
        return [round(self.start_sec, ROUND), round(self.end_sec, ROUND)]


class Action(Span):
    """One labelled action; `more` is what else the file says of it."""

    label: Label
    note: Text = ""
    more: dict[str, Any] = {}


class Labels(_Model):
    """All that the file says of one video.

    state: `new` (not in the file), `begun`, or `done`, which without actions is "nothing here".
    unseen: stretches that nobody has looked at; ignore: those that nobody can judge.
    """

    state: Literal["new", "begun", "done"] = "new"
    subset: Text = ""
    note: Text = ""
    actions: tuple[Action, ...] = ()
    unseen: tuple[Span, ...] = ()
    ignore: tuple[Span, ...] = ()
    rejected: tuple[Action, ...] = ()


class AnnotationFile:
    """The file of a data set's annotations, read anew for each question and written whole."""

    def __init__(self, path: Path) -> None:
        """Look at the file at `path`, or at the place where it will be.

        Raises:
            InputError: it cannot be read as annotations, or not be written; nothing is changed.
        """
        self.path = path
        check_place(path)
        self._read_as = (b"", json.loads(EMPTY))
        text = self._text()
        if text.lstrip()[:1] != "{" or '"database"' not in text:
            raise InputError(
                f"{path}: no annotations in ActivityNet's JSON, which is what is edited; labels of "
                f"another form become such with: tsatal convert {path} NEW.json"
            )
        parse_annotations(text, source=str(path))
        if twice := repeated_keys(text):
            raise InputError(
                f"{path}: {shown(twice[0])} stands more than once in one object, and would be lost "
                "in writing; `tsatal check` names them"
            )

    def _text(self) -> str:
        return read_text(self.path, needs=JSON) if os.path.lexists(self.path) else EMPTY

    def _content(self) -> Any:
        """The file's values; read anew where it has changed."""
        text = self._text()
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
        if digest != self._read_as[0]:
            parse_annotations(text, source=str(self.path))  # somebody may have broken it meanwhile
            self._read_as = digest, parse_json(text, str(self.path))
        return self._read_as[1]

    def videos(self, ids: list[str]) -> dict[str, Labels]:
        """Return what the file says of these videos."""
        database = self._content()["database"]
        keys = {nfc(key): key for key in database}
        return {v: self._labels(v, database.get(keys.get(v, v))) for v in ids}

    def video(self, video_id: str) -> tuple[Labels, str]:
        """Return a video's labels, and the revision that an edit of them begins from."""
        database = self._content()["database"]
        raw = database.get(_key(database, video_id))
        return self._labels(video_id, raw), _revision(raw)

    def _labels(self, video_id: str, raw: dict[str, Any] | None) -> Labels:
        """Return what an entry says; an InputError names what of ours cannot be read."""
        try:
            return _labels(raw)
        except (KeyError, TypeError, ValueError) as e:
            said = one_line(e)
            raise InputError(
                f"{self.path}: {shown(video_id)}: cannot be edited ({said}); mend it, or take its "
                "'unfinished' and 'rejected' out"
            ) from None

    def class_labels(self) -> list[str]:
        """Return all labels of the file, sorted."""
        database = self._content()["database"]
        entries = (a for raw in database.values() for a in raw.get("annotations") or [])
        return sorted({nfc(a["label"]) for a in entries})

    def durations(self, ids: list[str]) -> dict[str, float | None]:
        """Return the durations of these videos in seconds, None where the file says none."""
        database = self._content()["database"]
        known = {nfc(key): raw.get("duration") for key, raw in database.items()}
        return {v: known.get(v) for v in ids}

    def subsets(self) -> list[str]:
        """Return the names of the subsets to choose from: those of the file, or the usual two."""
        there = Counter(str(raw["subset"]) for raw in self._content()["database"].values())
        names = [nfc(name) for name, _ in there.most_common()]
        usual = [_role(names, role) for role in ROLES]
        return list(dict.fromkeys([*usual, *names]))

    def next_subset(self) -> str:
        """Return the subset for a new video: of five, four to train on and one to measure on."""
        counts = Counter(nfc(raw["subset"]) for raw in self._content()["database"].values())
        train, test = (_role(list(counts), role) for role in ROLES)
        return test if counts[train] > (VALIDATED - 1) * counts[test] else train

    def save(self, video_id: str, labels: Labels, revision: str, duration_sec: float) -> str:
        """Write a video's labels into the file, and return the new revision.

        Args:
            revision: of the labels that were edited.
            duration_sec: of the video, written where the file says none.
        Raises:
            Changed: others are in the file by now; it is left alone.
            InputError: it cannot be read any more. OSError: it cannot be written.
        """
        content = self._content()
        key = _key(content["database"], video_id)
        before = content["database"].get(key)
        if _revision(before) != revision:
            raise Changed(video_id, self._labels(video_id, before), _revision(before))
        entry = _entry(before or {}, labels, duration_sec)
        database = dict(content["database"])
        if entry is None:
            database.pop(key, None)
        else:
            database[key] = entry
        text = json.dumps({**content, "database": database}, indent=1) + "\n"
        parse_annotations(text, source=str(self.path))  # what is written can be read
        write_text(self.path, text)
        return _revision(entry)


def _key(database: dict[str, Any], video_id: str) -> str:
    """Return the video's key as the file spells it."""
    if video_id in database:
        return video_id
    return next((key for key in database if nfc(key) == video_id), video_id)


def _role(names: list[str], role: tuple[str, ...]) -> str:
    """Return the name that the file uses for a role, or the usual one."""
    return next((name for name in role if name in names), role[0])


def _revision(raw: Any) -> str:
    """Return a digest of a video's entry, which changes whenever the entry does."""
    text = json.dumps(raw, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _labels(raw: dict[str, Any] | None) -> Labels:
    """Return what an entry says; `new` where there is none."""
    if raw is None:
        return Labels()
    begun, annotated = raw.get("unfinished") is not None, raw.get("annotated")
    unseen = _spans(raw["unfinished"]) if begun else _outside(_spans(annotated or []), annotated)
    # Where the last stretch that was annotated ends, the video does.
    end = FOREVER if begun else raw.get("duration") or FOREVER
    return Labels(
        state="begun" if begun else "done",
        subset=raw["subset"],
        note=_note(raw),
        actions=tuple(_action(a) for a in raw.get("annotations") or []),
        unseen=tuple(s for s in unseen if s.start_sec < end),
        ignore=_spans(raw.get("ignore") or []),
        rejected=tuple(_action(a) for a in raw.get("rejected") or []),
    )


def _action(raw: dict[str, Any]) -> Action:
    start, end = raw["segment"]
    note = _note(raw)
    ours = ("label", "segment", "note") if note else ("label", "segment")
    more = {k: v for k, v in raw.items() if k not in ours}
    return Action(label=raw["label"], start_sec=start, end_sec=end, note=note, more=more)


def _note(raw: dict[str, Any]) -> str:
    """Return an entry's note; what is none of our own stays where it is."""
    note = raw.get("note")
    return note if isinstance(note, str) else ""


def _spans(raw: list[Any]) -> tuple[Span, ...]:
    return tuple(Span(start_sec=start, end_sec=end) for start, end in raw)


def _outside(inside: tuple[Span, ...], stated: Any) -> tuple[Span, ...]:
    """Return the stretches outside of those that are said to be annotated; none if none are."""
    if stated is None:
        return ()
    found, before = [], 0.0
    for span in sorted(inside, key=lambda s: s.start_sec):
        if span.start_sec > before:
            found.append(Span(start_sec=before, end_sec=span.start_sec))
        before = max(before, span.end_sec)
    return (*found, Span(start_sec=before, end_sec=FOREVER))


def _entry(before: dict[str, Any], labels: Labels, duration_sec: float) -> dict[str, Any] | None:
    """Return a video's entry with these labels, or None where nothing is said of it."""
    said = labels.actions or labels.unseen or labels.ignore or labels.note or labels.rejected
    if labels.state == "new" and not said:
        return None
    ours = ("subset", "annotations", "annotated", "ignore", "unfinished", "rejected")
    entry = {k: v for k, v in before.items() if k not in ours}
    if _note(before):
        del entry["note"]
    entry["subset"] = labels.subset
    if not entry.get("duration") and duration_sec > 0:
        entry["duration"] = round(duration_sec, ROUND)
    if labels.note:
        entry["note"] = labels.note
    if labels.state == "done":
        if unseen := tuple(s for s in labels.unseen if s.end_sec > s.start_sec):
            entry["annotated"] = _inside(unseen, duration_sec)
    else:  # nothing is known outside of the actions
        entry["annotated"] = [a.pair() for a in labels.actions]
        entry["unfinished"] = [s.pair() for s in labels.unseen]
    if labels.ignore:
        entry["ignore"] = [s.pair() for s in labels.ignore]
    entry["annotations"] = [_written(a) for a in labels.actions]
    if labels.rejected:
        entry["rejected"] = [_written(a) for a in labels.rejected]
    return entry


def _inside(unseen: tuple[Span, ...], duration_sec: float) -> list[list[float]]:
    """Return the stretches of the video outside of those that nobody has looked at."""
    end = duration_sec or FOREVER
    outside = _outside(unseen, ())
    return [[s.start_sec, min(s.end_sec, end)] for s in outside if s.start_sec < end]


def _written(action: Action) -> dict[str, Any]:
    note = {"note": action.note} if action.note else {}
    return {**action.more, "label": action.label, "segment": action.pair(), **note}
