"""Which video an array belongs to, by its name."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from ..formats.names import id_problem
from .arrays import Entry

COMMON_PREFIX = "v_"  # ActivityNet's files have it, its annotations do not


@dataclass(frozen=True)
class Naming:
    """What stands around the video's id in the name of its array.

    prefix: before it; None to find `v_` by itself, in either direction.
    suffix: after it, before the file's ending.
    """

    prefix: str | None = None
    suffix: str = ""

    def video_id(self, stem: str, known: Collection[str]) -> str | None:
        """Return the id in a name without its ending; None where the name is of another form.

        Args:
            stem: the name.
            known: the ids of the annotations, which decide whether `v_` belongs to the id.
        """
        before = self.prefix or ""
        if not (stem.startswith(before) and stem[len(before) :].endswith(self.suffix)):
            return None
        core = stem[len(before) : len(stem) - len(self.suffix)]
        if self.prefix is not None or core in known:
            return core
        others = (core.removeprefix(COMMON_PREFIX), COMMON_PREFIX + core)
        return next((name for name in others if name in known), core)


@dataclass
class Assigned:
    """The array of every video, why others have none, and how many names are of another form."""

    entries: dict[str, Entry] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    others: int = 0


def assign_ids(entries: Iterable[Entry], naming: Naming, known: Collection[str]) -> Assigned:
    """Return which video each array belongs to.

    Two arrays of one id would be one video, so the first keeps the id and the others are refused,
    under their own names, as are ids that a feature file cannot hold.
    """
    assigned = Assigned()
    for entry in entries:
        video_id = naming.video_id(entry.stem, known)
        if video_id is None:
            assigned.others += 1
        elif problem := id_problem(video_id):
            assigned.refused[ascii(entry.where)] = f"{entry.where!a}: its id {problem}; rename it"
        elif (first := assigned.entries.setdefault(video_id, entry)) != entry:
            assigned.refused[entry.where] = (
                f"{entry.where}: has the id {video_id!r} of {first.where}; rename one of them, or "
                "name one folder or --prefix only"
            )
    return assigned
