"""Whether a head is measured on videos that it has learned from."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from ..errors import quantity
from ..formats.labels.find import load_annotations
from .packed import is_packed
from .run import ANNOTATIONS_FILE, FINAL, FOLDS_FILE, load_run_description


def note_on_learned(run: Path, subset: str, videos: Collection[str]) -> str:
    """Return a note that a run's head has learned from these videos; empty where it has not.

    Args:
        subset: the name of the videos, which tells where the run keeps no annotations of its own.
    """
    _, data = load_run_description(run)
    learned = set(videos) if subset == data.subsets.train else set()
    if learned and is_packed(run):
        return (
            f"{subset!r} is also what the subset is called that this head has learned from; if "
            "these are the same videos, the figures say nothing of others, and flatter"
        )
    if (own := run / ANNOTATIONS_FILE).is_file():
        train = data.subsets.train
        known = {v.video_id for v in load_annotations(own).videos.values() if v.subset == train}
        learned = known & set(videos)
    if not learned:
        return ""
    number = f"{len(learned)} of " if len(learned) < len(videos) else ""
    note = (
        f"this head has learned from {number}these {quantity(len(videos), 'video')}, so the "
        "figures say nothing of others, and flatter"
    )
    folds = run.resolve().parent
    if run.name == FINAL and (folds / FOLDS_FILE).is_file():
        note += f"; its folds say what it is worth on others: tsatal evaluate {folds}"
    return note
