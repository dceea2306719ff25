"""One sitting of annotating: videos, their files for the browser, labels and suggestions.

The server asks here. Nothing of it knows HTTP, and the labels are kept in the file alone: whatever
is said to be saved is there.
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, is_out_of_memory, one_line
from ..extract.clock import BY_ITSELF, Reading
from ..extract.picture_times import PictureTimes, picture_times
from ..extract.sources import fingerprint
from ..formats.annotation_file import AnnotationFile, Labels
from ..formats.annotations import Detection
from ..formats.names import file_name
from ..reports.browser_copy import TYPES, obstacle, write_preview
from .suggest import Suggested

logger = logging.getLogger(__name__)

COPIES = ".tsatal-copies"  # hidden folder beside the annotations; may be removed at any time
STATES = {"new": "not begun", "begun": "begun", "done": "done"}


@dataclass(frozen=True)
class Prepared:
    """A video as the page plays it.

    path, type: of the file that is played, None where there is no picture, and its MIME type.
    words: which file it is, and why.
    """

    path: Path | None
    type: str
    words: str
    times: PictureTimes


@dataclass
class Session:
    """The videos of a sitting, in their order, and all that is done with them.

    paths: by id, in the order in which they are shown, `order` says by what.
    """

    paths: Mapping[str, Path]
    file: AnnotationFile
    reading: Reading = BY_ITSELF
    suggested: Suggested = field(default_factory=Suggested)
    order: str = "name"

    def __post_init__(self) -> None:
        """Number the videos."""
        self.ids = list(self.paths)
        self._saving = threading.Lock()  # two windows of this program
        self._preparing = threading.Lock()
        self._prepared: dict[str, Prepared | str] = {}
        self._wanted: list[str] = []
        self._worker: threading.Thread | None = None

    def overview(self) -> list[dict[str, Any]]:
        """Return one row per video: number, id, state, how many actions and suggestions."""
        labels = self.file.videos(self.ids)
        return [
            {
                "number": number,
                "id": video_id,
                "state": labels[video_id].state,
                "subset": labels[video_id].subset,
                "actions": len(labels[video_id].actions),
                "suggestions": len(self.suggestions(number)),
                "reason": self.reason(number),
            }
            for number, video_id in enumerate(self.ids)
        ]

    def suggestions(self, number: int) -> Sequence[Detection]:
        """Return the detections to look at in a video, best first."""
        return self.suggested.detections.get(self.ids[number], ())

    def reason(self, number: int) -> str:
        """Return why a video stands where it does; empty where they are sorted by name."""
        place = self.suggested.places.get(self.ids[number])
        if self.order != "useful":
            return ""
        return place.words if place else "nothing was looked for in it"

    def labels(self, number: int) -> tuple[Labels, str]:
        """Return a video's labels, with a subset proposed where it has none, and their revision."""
        labels, revision = self.file.video(self.ids[number])
        if labels.state == "new":
            labels = labels.model_copy(update={"subset": self.file.next_subset()})
        return labels, revision

    def save(self, number: int, labels: Labels, revision: str) -> str:
        """Write a video's labels into the file and return the new revision; see the file's `save`.

        A `Changed` is raised where others are there by now.
        """
        ready = self.ready(number)
        end = ready.times.end_sec if isinstance(ready, Prepared) else 0.0
        with self._saving:
            return self.file.save(self.ids[number], labels, revision, end)

    def saved(self) -> str:
        """Return what the file holds of these videos, once nothing is being written any more.

        It is empty where nothing was ever marked.
        """
        with self._saving:
            if not self.file.path.exists():
                return ""
            labels = self.file.videos(self.ids).values()
        counts = Counter[str](one.state for one in labels)
        states = ", ".join(f"{counts[s]} {STATES[s]}" for s in reversed(STATES) if counts[s])
        actions = sum(len(one.actions) for one in labels)
        return (
            f"{self.file.path}: saved, with {actions} action{'' if actions == 1 else 's'}; of "
            f"{len(self.ids)} video{'' if len(self.ids) == 1 else 's'}, {states}"
        )

    def all_labels(self) -> list[str]:
        """Return the labels of the file and of the suggestions, sorted, each once."""
        suggested = {d.label for found in self.suggested.detections.values() for d in found}
        return sorted({*self.file.class_labels(), *suggested})

    def ready(self, number: int, *, wait_sec: float = 0.0) -> Prepared | str | None:
        """Return the prepared video; a sentence where it cannot be; None while it is being made.

        The video after it is prepared next.
        """
        following = self.ids[number + 1 : number + 2]
        with self._preparing:
            self._wanted = [v for v in (self.ids[number], *following) if v not in self._prepared]
            if self._wanted and (self._worker is None or not self._worker.is_alive()):
                self._worker = threading.Thread(target=self._prepare_wanted, daemon=True)
                self._worker.start()
            worker = self._worker
        if wait_sec and worker and self.ids[number] not in self._prepared:
            worker.join(wait_sec)
        return self._prepared.get(self.ids[number])

    def _prepare_wanted(self) -> None:
        while True:
            with self._preparing:
                wanted = [v for v in self._wanted if v not in self._prepared]
                if not wanted:
                    self._worker = None
                    return
            video_id = wanted[0]
            try:
                self._prepared[video_id] = self._prepare(video_id)
            except (InputError, OSError) as error:
                self._prepared[video_id] = one_line(error)
            except Exception as error:  # the page says it, and the others can be annotated
                if not is_out_of_memory(error):
                    logger.exception("%s", self.paths[video_id])
                self._prepared[video_id] = f"{self.paths[video_id]}: {one_line(error)}"

    def _prepare(self, video_id: str) -> Prepared:
        video = self.paths[video_id]
        why = obstacle(video, self.reading)
        folder = self.file.path.parent / COPIES
        mark = hashlib.sha256(
            f"{video.resolve()} {fingerprint(video, self.reading)} {self.reading}".encode()
        ).hexdigest()[:12]
        stem = folder / file_name(f"{video_id}-{mark}x", "")
        times = picture_times(video, self.reading)
        if not why and not times.steady:
            why = "its clock is not that of a player"
        if not why:
            return Prepared(video, TYPES[video.suffix.lower()], "", times)
        copies = [stem.with_name(stem.name + ending) for ending in (".mp4", ".webm")]
        copy = next((c for c in copies if c.is_file()), None)
        if copy is None:
            folder.mkdir(exist_ok=True)
            copy = write_preview(video, stem, smaller=not times.steady, reading=self.reading)
        words = f"a copy is played, without sound, because {why}"
        return Prepared(copy, TYPES[copy.suffix.lower()], words, times)


def boundaries(times: PictureTimes) -> np.ndarray:
    """Return the seconds at which an action can start or end: between any two pictures."""
    return np.round(np.append(times.seconds, max(times.end_sec, times.seconds[-1])), 6)
