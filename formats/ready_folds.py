"""Folds that somebody has dealt already: a JSON file, or values of Python, in; ids by fold out.

Other programs write them as

    [[ID, ...], ...]                      the videos that each fold holds out
    {NAME: [ID, ...], ...}                the same, with names
    [{"train": [ID], "test": [ID]}, ...]  or {NAME: {"train": ..., "test": ...}}
    {ID: FOLD, ...}                       a number or a name for every video
    {"folds": ANY OF THESE}, {"test": [[ID, ...], ...]}
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError, listed, quantity, shown
from .json_values import JSON, parse_json, repeated_keys
from .limits import read_text
from .names import nfc

FOLDS = "folds"
HELD_OUT = ("test", "testing", "held_out", "val", "validation", "valid")  # the first one counts
TRAIN = ("train", "training")
FORMS = (
    "a list of lists of video ids, or an object that names such lists, is needed (docs/folds.md)"
)


@dataclass(frozen=True)
class ReadyFold:
    """One fold: its name, the ids that it holds out, and those to train on, where it says some."""

    name: str
    held_out: tuple[str, ...]
    train: tuple[str, ...] | None = None


def read_folds(path: str | Path) -> list[ReadyFold]:
    """Return the folds in a JSON file.

    Raises:
        InputError: not JSON, or of another form.
    """
    text = read_text(path, needs=JSON)
    raw = parse_json(text, str(path))
    if twice := repeated_keys(text):
        raise InputError(
            f"{path}: {shown(twice[0])} stands more than once in one object, so a fold would be "
            "lost; give each its own name"
        )
    return folds_of(raw, source=str(path))


def folds_of(raw: Any, *, source: str) -> list[ReadyFold]:
    """Return the folds in such values, see the module.

    Args:
        source: where they came from, for messages.
    Raises:
        InputError: of another form, fewer than two, an empty one, or an id that stands twice.
    """
    try:
        folds = [_fold(name, entry) for name, entry in _entries(raw)]
    except InputError as e:
        raise InputError(f"{source}: {e}") from None
    if len(folds) < 2:
        raise InputError(f"{source}: at least two folds are needed, and there is {len(folds)}")
    for fold in folds:
        if not fold.held_out:
            raise InputError(f"{source}: fold {shown(fold.name)} holds out no video; take it out")
    _check_each_once(folds, source)
    return folds


def check_ids(
    folds: Iterable[ReadyFold],
    known: Collection[str],
    learned: Collection[str],
    *,
    source: str,
) -> None:
    """Refuse ids that are not there, and folds that would leave out videos of their training.

    Args:
        known: ids of all videos that are annotated and have features.
        learned: ids of those that take part.
    Raises:
        InputError: the message names fold and ids.
    """
    for fold in folds:
        stated = [*fold.held_out, *(fold.train or ())]
        if unknown := [v for v in dict.fromkeys(stated) if v not in known]:
            raise InputError(
                f"{source}: fold {shown(fold.name)} names {len(unknown)} of {len(stated)} videos "
                f"that are not both annotated and among the features: {listed(unknown)}; mend "
                "their ids, or take them out"
            )
        if fold.train is None:
            continue
        if both := sorted(set(fold.train) & set(fold.held_out)):
            raise InputError(
                f"{source}: fold {shown(fold.name)} trains on what it holds out: {listed(both)}; "
                "a video stands on one side"
            )
        if left_out := sorted(set(learned) - set(stated)):
            raise InputError(
                f"{source}: fold {shown(fold.name)} neither trains on nor holds out "
                f"{quantity(len(left_out), 'video')} ({listed(left_out)}), and here each fold "
                "learns from all that it does not hold out; take its 'train' out of the file, "
                "or those videos out of the annotations"
            )


def _entries(raw: Any) -> Iterator[tuple[str, Any]]:
    """Yield the name of each fold, and what is said of it."""
    if not isinstance(raw, Mapping):
        yield from _named(raw)
        return
    if FOLDS in raw:
        yield from _entries(raw[FOLDS])
        return
    if (key := _first(raw, HELD_OUT)) and not _are_ids(raw[key]):
        trained = dict(_named(raw[train])) if (train := _first(raw, TRAIN)) else {}
        for name, held_out in _named(raw[key]):
            yield name, {"test": held_out, **({"train": trained[name]} if name in trained else {})}
        return
    if key:
        raise InputError(
            f"{shown(key)} names one division, and folds are several; with one, write it into "
            "the annotations as subsets"
        )
    if raw and all(type(value) in (int, str) for value in raw.values()):
        by_fold: dict[str, list[str]] = {}
        for video_id, name in raw.items():
            by_fold.setdefault(str(name), []).append(video_id)
        numbers = all(name.isdecimal() for name in by_fold)
        yield from sorted(by_fold.items(), key=lambda f: int(f[0]) if numbers else 0)
        return
    yield from _named(raw)


def _named(raw: Any) -> Iterator[tuple[str, Any]]:
    """Yield the entries of a list, numbered, or of an object."""
    if isinstance(raw, Mapping):
        yield from ((nfc(str(name)), entry) for name, entry in raw.items())
    elif isinstance(raw, Iterable) and not isinstance(raw, str | bytes):
        for n, entry in enumerate(raw):
            name = entry.get("name", n) if isinstance(entry, Mapping) else n
            yield nfc(str(name)), entry
    else:
        raise InputError(f"{FORMS}, not {shown(raw)}")


def _fold(name: str, raw: Any) -> ReadyFold:
    if not isinstance(raw, Mapping):
        return ReadyFold(name, _ids(name, raw))
    key = _first(raw, HELD_OUT)
    if not key:
        raise InputError(
            f"fold {shown(name)} has no 'test' with the ids of the videos that it holds out"
        )
    # What is neither held out nor trained on by name, such as 'val' beside 'test', is learned from.
    others = [k for k in (*TRAIN, *HELD_OUT) if k in raw and k != key]
    train = tuple(v for k in others for v in _ids(name, raw[k]))
    return ReadyFold(name, _ids(name, raw[key]), train if _first(raw, TRAIN) else None)


def _ids(name: str, raw: Any) -> tuple[str, ...]:
    """Return ids as annotations spell them; a whole number is one, too."""
    if not isinstance(raw, Iterable) or isinstance(raw, str | bytes | Mapping):
        raise InputError(f"fold {shown(name)}: a list of video ids is needed, not {shown(raw)}")
    ids = list(raw)
    if wrong := [v for v in ids if type(v) not in (str, int)]:
        raise InputError(f"fold {shown(name)}: a video id must be text, is {shown(wrong[0])}")
    return tuple(nfc(str(v)) for v in ids)


def _first(raw: Mapping[str, Any], keys: Iterable[str]) -> str:
    return next((key for key in keys if key in raw), "")


def _are_ids(raw: Any) -> bool:
    return isinstance(raw, list | tuple) and all(type(v) in (str, int) for v in raw)


def _check_each_once(folds: Iterable[ReadyFold], source: str) -> None:
    holders: dict[str, list[str]] = {}
    for fold in folds:
        for video_id in fold.held_out:
            holders.setdefault(video_id, []).append(fold.name)
    for video_id, names in holders.items():
        if len(names) > 1:
            by = " and ".join(f"fold {shown(name)}" for name in Counter(names))
            raise InputError(
                f"{source}: {shown(video_id)} is held out {len(names)} times, by {by}; a video is "
                "measured once"
            )
