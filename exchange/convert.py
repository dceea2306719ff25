"""Labels or detections of one program's form in, another's out, with an account of what is lost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ..errors import InputError, quantity
from ..formats.annotations import Detection
from ..formats.labels.find import ACTIVITYNET, HowToRead, read_labels, refuse_problems
from ..formats.labels.record import Labels, VideoLabels, instance_of
from ..formats.labels.write import are_detections, choose_form, losses, write_labels
from ..formats.split import split


@dataclass(frozen=True)
class Converted:
    """The account of a conversion.

    source: the form that was read, and what was left out of it, in words.
    form: the form that was written.
    content: how much was written, in words.
    lost: what the form cannot hold, each in a few words.
    left_out: detections that scored too little.
    written: files.
    """

    source: str
    form: str
    content: str
    lost: tuple[str, ...]
    left_out: int
    written: tuple[Path, ...]

    def __str__(self) -> str:
        """Return a line on what was read, one on what was written, and one on what is lost."""
        first = self.written[0] if self.written else "nothing"
        more = f" and {len(self.written) - 1} more" if len(self.written) > 1 else ""
        lines = [f"read: {self.source}", f"wrote {self.form}, {self.content}: {first}{more}"]
        if self.left_out:
            lines.append(f"left out: {quantity(self.left_out, 'detection')} below --min-score")
        if self.lost:
            lines.append(f"{self.form} cannot hold: {', '.join(self.lost)}")
        return "\n".join(lines)


def convert_labels(
    source: Path,
    to: Path,
    form_name: str | None,
    how: HowToRead,
    *,
    min_score: float | None = None,
    as_labels: bool = False,
) -> Converted:
    """Write labels or detections in another form, and return the account.

    Args:
        form_name: of `formats.labels.write.FORMS`; by the ending of `to` where not given.
        min_score: leave out detections that score less.
        as_labels: leave out the scores.
    Raises:
        InputError: `source` cannot be read, or `to` cannot hold it.
    """
    form = choose_form(to, form_name)
    if to.exists() and source.exists() and to.samefile(source):
        raise InputError(f"{to}: is what would be converted; write to another place")
    labels = read_labels(source, how)
    refuse_problems(labels, source)
    if not labels.videos:
        raise InputError(f"{source}: holds no videos to write")
    said = "; ".join([labels.words, *(labels.remarks if labels.form != ACTIVITYNET else ())])
    before = sum(len(v.actions) for v in labels.videos.values())
    if min_score is not None:
        labels = _above(labels, min_score)
    if as_labels:
        labels = _without_scores(labels)
    if how.split is not None:
        if are_detections(labels):
            raise InputError(f"{source}: --split divides annotations, and these are detections")
        truth = split(labels.annotations(str(source)), how.split, seed=how.seed)
        subsets = {k: v.subset for k, v in truth.videos.items()}
        text = truth.text if labels.text is not None else None
        labels = replace(_with(labels, subsets=subsets), text=text)
    lost = losses(labels, form)
    written = write_labels(labels, to, form, how.clock)
    number = sum(len(v.actions) for v in labels.videos.values())
    noun = "detection" if are_detections(labels) else "label"
    content = f"{quantity(len(labels.videos), 'video')} with {quantity(number, noun)}"
    return Converted(said, form.words, content, tuple(lost), before - number, tuple(written))


def _above(labels: Labels, min_score: float) -> Labels:
    """Return the labels without detections that score less."""
    videos = {
        k: replace(
            v,
            actions=tuple(
                a for a in v.actions if not isinstance(a, Detection) or a.score >= min_score
            ),
        )
        for k, v in labels.videos.items()
    }
    return replace(labels, videos=videos)


def _without_scores(labels: Labels) -> Labels:
    videos = {
        k: replace(v, actions=tuple(map(instance_of, v.actions))) for k, v in labels.videos.items()
    }
    form = "labels of detections" if labels.form == "detections" else labels.form
    return replace(labels, videos=videos, form=form, curves={}, thresholds={})


def _with(labels: Labels, subsets: Mapping[str, str]) -> Labels:
    """Return the labels with these subsets."""
    videos: dict[str, VideoLabels] = {
        k: replace(v, subset=subsets.get(k, "")) for k, v in labels.videos.items()
    }
    return replace(labels, videos=videos)
