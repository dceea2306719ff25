"""Class scores of whole videos, as a classifier gives them: JSON or a feature file in.

The field multiplies proposals with them on ActivityNet. Read are the form of the files that go
round with BMN and G-TAD (of CUHK's and UntrimmedNet's classifiers), that of ActivityNet's
classification challenge, and a plain one:

    {"class": [LABEL, ...], "results": {ID: [SCORE, ...]}}
    {"results": {ID: [{"label": LABEL, "score": SCORE}, ...]}}
    {ID: {LABEL: SCORE}}, also under "results"

Of a feature file it is the mean of what the backbone's own classifier says of a video's rows.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import InputError, shown
from .features import FeatureFile, looks_like_features
from .json_values import finite_number, member, parse_json
from .limits import read_text


@dataclass(frozen=True)
class VideoScores:
    """Of every video, by id, the score of each class, 0 or more, by its `plain` label.

    spelling: the file's own labels, by their plain ones; source: the file, for messages.
    """

    by_video: Mapping[str, Mapping[str, float]]
    source: str
    spelling: Mapping[str, str] = field(default_factory=dict)

    def of(self, video_id: str) -> Mapping[str, float] | None:
        """Return a video's scores, or None where there are none.

        ActivityNet's video files are called v_ID, its annotations have the ID alone.
        """
        for name in (video_id, video_id.removeprefix("v_"), f"v_{video_id}"):
            if name in self.by_video:
                return self.by_video[name]
        return None


def plain(label: str) -> str:
    """A label without the differences in which classifiers and annotations write it."""
    return " ".join(unicodedata.normalize("NFC", label).casefold().replace("_", " ").split())


def load_video_scores(path: str | Path) -> VideoScores:
    """Return the class scores of whole videos in a JSON file, or in a feature file.

    Raises:
        InputError: no such file, or not of one of the forms above.
    """
    if looks_like_features(Path(path)):
        return _stored(Path(path))
    raw = parse_json(read_text(path), str(path))
    found = raw.get("results", raw) if isinstance(raw, dict) else None
    if not isinstance(found, dict) or not found:
        raise InputError(
            f"{path}: not class scores of videos: "
            '{"class": [...], "results": {ID: [...]}} or {ID: {LABEL: SCORE}} is needed'
        )
    labels = raw.get("class")
    by_video, spelling = {}, dict[str, str]()
    for video_id, raw_scores in found.items():
        try:
            scores = _by_label(raw_scores, labels)
        except InputError as e:
            raise InputError(f"{path}: {video_id}: {e}") from None
        spelling |= {plain(label): label for label in scores}
        by_video[video_id] = {plain(label): score for label, score in scores.items()}
    return VideoScores(by_video, str(path), spelling)


def _stored(path: Path) -> VideoScores:
    """Return the mean scores of the videos of a feature file that has some."""
    by_video, spelling = {}, dict[str, str]()
    with FeatureFile(path) as file:
        for video_id in file.video_ids:
            if (scores := file.class_scores(video_id)) is None or not len(scores.values):
                continue
            of_classes = dict(scores.best(len(scores.classes)))
            spelling |= {plain(label): label for label in of_classes}
            by_video[video_id] = {plain(label): s for label, s in of_classes.items()}
    if not by_video:
        raise InputError(f"{path}: holds no class scores; `tsatal extract --scores` stores them")
    return VideoScores(by_video, str(path), spelling)


def _by_label(raw: Any, labels: Any) -> dict[str, float]:
    pairs: Iterable[tuple[Any, Any]]
    if isinstance(raw, list) and raw and all(isinstance(entry, dict) for entry in raw):
        pairs = [(member(entry, "label", str), entry.get("score")) for entry in raw]
    elif isinstance(raw, list) and isinstance(labels, list) and len(raw) == len(labels):
        pairs = zip(labels, raw, strict=True)
    elif isinstance(raw, dict):
        pairs = raw.items()
    else:
        raise InputError(
            f"a score for every class is needed, not {shown(raw)}; a list needs as many names in "
            "'class'"
        )
    scores = {}
    for label, value in pairs:
        scores[str(label)] = score = finite_number(value, str(label))
        if score < 0:
            raise InputError(f"the score of {label!r} is negative ({score:g}): give probabilities")
    return scores
