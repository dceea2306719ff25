"""Detections or labels and their videos in; out comes a clip for each, and an index of them.

OUT/clips/CLASS/VIDEO START-END.mp4   the clips, with sound
   /sheets/CLASS.html, CLASS.png      a contact sheet for every class
   /index.csv                         file, video, label, start_sec, end_sec, score

Times are those of the detections: seconds from the first picture shown.
"""

from __future__ import annotations

import csv
import errno
import io
import logging
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import av

from ..errors import InputError
from ..extract.clock import Reading
from ..extract.container import DecodeReport
from ..extract.video import no_picture, open_pictures
from ..formats.annotations import AMBIGUOUS, Detection
from ..formats.atomic import write_text
from ..formats.labels.record import Labels
from ..formats.names import file_names
from ..formats.subsets import some_names
from ..progress import counted
from .clip_writer import ClipWriter, Sound, WantedClip
from .contact_sheet import Shot, write_sheets

logger = logging.getLogger(__name__)

CLIPS, INDEX = "clips", "index.csv"
COLUMNS = ("file", "video", "label", "start_sec", "end_sec", "score")
MOST_OPEN = 12  # clips that are encoded at once; more overlap in further passes over the video


@dataclass
class Clips:
    """The account of a run.

    made: the clips that are there, with their file's whole name.
    failed: why videos or clips are not there.
    partial: what is missing or damaged in videos whose clips are there.
    missing: videos that were not given.
    older: the number of clips that an earlier run has left in the folder.
    written: index and contact sheets.
    """

    out: Path
    made: list[tuple[str, WantedClip]] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    partial: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    written: list[Path] = field(default_factory=list)
    older: int = 0
    stopped_by: KeyboardInterrupt | None = None

    def __str__(self) -> str:
        """Return a line per failure, and the sums."""
        lines = [f"failed: {reason}" for reason in self.failed]
        lines += [f"partial: {reason}" for reason in self.partial]
        if self.missing:
            lines.append(f"not among the videos: {len(self.missing)} ({some_names(self.missing)})")
        if self.older:
            lines.append(f"{self.older} clips of an earlier run lie there too, not in {INDEX}")
        if self.stopped_by:
            lines.append("interrupted; the clips that are done are whole, and in the index")
        number = len(self.made)
        lines.append(f"{self.out}: {number} clip{'' if number == 1 else 's'}, {INDEX}, sheets/")
        return "\n".join(lines)


def labels_of_videos(labels: Labels, videos: Collection[str]) -> tuple[Labels, list[str]]:
    """Return the labels of the videos that are there, and which others have some.

    Raises:
        InputError: none of those that have some is there.
    """
    asked = [k for k, v in labels.videos.items() if v.actions]
    missing = [k for k in asked if k not in videos]
    if asked and len(missing) == len(asked):
        raise InputError(
            f"none of the videos asked for ({some_names(missing)}) is among those given"
            f" ({some_names(sorted(videos))}); a video's id is its file's name without the ending"
        )
    return replace(labels, videos={k: v for k, v in labels.videos.items() if k in videos}), missing


def choose_clips(
    labels: Labels, *, min_score: float | None = None, top: int | None = None
) -> list[WantedClip]:
    """Return the clips to cut, in the order of videos and time; Ambiguous stretches are none.

    Args:
        min_score: leave out detections that score less; where not given, less than the threshold
            of their class, if the file has thresholds.
        top: take the best so many of each class; of labels without scores, the first.
    Raises:
        InputError: none is left.
    """
    actions = [(v.video_id, a) for v in labels.videos.values() for a in v.actions]
    scores = [a.score if isinstance(a, Detection) else None for _, a in actions]
    by_class: dict[str, list[int]] = defaultdict(list)
    below = 0
    for n, ((_, a), score) in enumerate(zip(actions, scores, strict=True)):
        least = labels.thresholds.get(a.label) if min_score is None else min_score
        if score is not None and least is not None and score < least:
            below += 1
        elif a.label != AMBIGUOUS:
            by_class[a.label].append(n)
    if below and min_score is None:
        logger.info(
            "%d detections score less than the thresholds of their classes, and are left out"
            "; --min-score 0 takes them",
            below,
        )
    if not by_class:
        raise InputError("no detection or label is left to cut; lower --min-score")
    wanted: dict[int, WantedClip] = {}
    folders = file_names(by_class, "")
    for label, numbers in by_class.items():
        best = sorted(numbers, key=lambda n: -(scores[n] or 0.0))[:top]
        names, times = dict[int, str](), Counter[str]()
        for n in best:
            video_id, a = actions[n]
            name = f"{video_id} {a.start_sec:.2f}-{a.end_sec:.2f}"
            times[name] += 1
            names[n] = f"{name} ({times[name]})" if times[name] > 1 else name
        files = file_names(names.values(), "")
        for n, name in names.items():
            video_id, a = actions[n]
            file = f"{CLIPS}/{folders[label]}/{files[name]}"
            wanted[n] = WantedClip(file, video_id, label, a.start_sec, a.end_sec, scores[n])
    return [wanted[n] for n in sorted(wanted)]


def write_clips(
    wanted: Sequence[WantedClip],
    videos: Mapping[str, Path],
    out: Path,
    *,
    pad_sec: float,
    reading: Reading,
    refused: Mapping[str, str],
    missing: Sequence[str] = (),
) -> Clips:
    """Write the clips, their contact sheets and the index into a folder; return the account.

    A video that cannot be read stops nothing; an interrupted run leaves whole clips, and an index
    of these.

    Args:
        videos: paths by id, of all that `wanted` names.
        pad_sec: to add before and after.
        refused: why files among the videos have no id.
        missing: videos that are not there, for the account.
    Raises:
        OSError: the disk is full, or the folder cannot be written.
    """
    by_video: dict[str, list[WantedClip]] = defaultdict(list)
    for clip in wanted:
        by_video[clip.video_id].append(clip)
    done = Clips(out, failed=list(refused.values()))
    done.missing = list(missing)
    out.mkdir(parents=True, exist_ok=True)
    shots: list[Shot] = []
    try:
        for video_id in counted(by_video, "clips"):
            _cut_all(videos[video_id], by_video[video_id], done, shots, pad_sec, reading)
    except KeyboardInterrupt as stop:
        done.stopped_by = stop
    order = {clip.file: n for n, clip in enumerate(wanted)}
    done.made.sort(key=lambda made: order[made[1].file])
    made = {file for file, _ in done.made}
    there = (p for p in (out / CLIPS).rglob("*") if p.is_file() and not p.name.startswith("."))
    done.older = sum(p.relative_to(out).as_posix() not in made for p in there)
    write_text(out / INDEX, index_csv(done.made))
    done.written = [out / INDEX, *write_sheets(shots, out)]
    return done


def index_csv(made: Sequence[tuple[str, WantedClip]]) -> str:
    """Return the index: a line per clip, with the detection's own times and score."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for file, c in made:
        times = (f"{t:.3f}" for t in (c.start_sec, c.end_sec))
        score = "" if c.score is None else f"{c.score:.5f}"
        writer.writerow([file, c.video_id, c.label, *times, score])
    return text.getvalue()


def _cut_all(
    path: Path,
    clips: Sequence[WantedClip],
    done: Clips,
    shots: list[Shot],
    pad_sec: float,
    reading: Reading,
) -> None:
    """Cut the clips of one video, in as many passes as their overlaps need."""
    for n, some in enumerate(_passes(clips, pad_sec)):
        report = DecodeReport()
        try:
            _cut(path, some, done, shots, pad_sec, reading, report)
        except (InputError, av.error.FFmpegError, ValueError) as e:
            if getattr(e, "errno", None) == errno.ENOSPC:
                raise OSError(errno.ENOSPC, "No space left on device", str(done.out)) from None
            done.failed.append(str(e) if str(path) in str(e) else f"{path}: {e}")
            return
        if report.partial and not n:
            done.partial.append(f"{path}: {report.partial}")


def _passes(clips: Sequence[WantedClip], pad_sec: float) -> Iterator[list[WantedClip]]:
    """Yield the clips in groups of which at most so many go on at once."""
    left = sorted(clips, key=lambda c: c.start_sec)
    while left:
        ends: list[float] = []
        taken, later = [], []
        for clip in left:
            ends = [end for end in ends if end > clip.start_sec - pad_sec]
            if len(ends) < MOST_OPEN:
                ends.append(clip.end_sec + pad_sec)
                taken.append(clip)
            else:
                later.append(clip)
        yield taken
        left = later


def _cut(
    path: Path,
    clips: Sequence[WantedClip],
    done: Clips,
    shots: list[Shot],
    pad_sec: float,
    reading: Reading,
    report: DecodeReport,
) -> None:
    """Go through the pictures of a video once, and hand each to the clips in which it is seen."""
    early = [c for c in clips if c.end_sec + pad_sec < 0]
    done.failed += [f"{path}: {_named(c)} lies before the start of the video" for c in early]
    waiting, opened = [c for c in clips if c not in early], list[ClipWriter]()
    sound = Sound(path, reading, report)

    def close(writer: ClipWriter, end_sec: float) -> None:
        file, image = writer.finish(end_sec)
        clip = writer.clip
        done.made.append((file, clip))
        shots.append(
            Shot(file, clip.video_id, clip.label, clip.start_sec, clip.end_sec, clip.score, image)
        )

    try:
        with open_pictures(path, report, reading, all_threads=True) as source:
            for picture, start, end in _shown(source.pictures, report):
                begins, ends = start + source.slack_sec, end - source.slack_sec
                while waiting and waiting[0].start_sec - pad_sec < ends:
                    opened.append(ClipWriter(waiting.pop(0), done.out, source, pad_sec, sound))
                for writer in [w for w in opened if w.is_over(begins)]:
                    opened.remove(writer)
                    close(writer, writer.end_sec)
                for writer in opened:
                    writer.add(picture, start, end)
                if not waiting and not opened:
                    report.promised_sec = 0.0  # the rest was not looked at, and is not missing
                    break
            if not report.pictures:
                raise no_picture(path)
            for writer in list(opened):
                opened.remove(writer)
                close(writer, min(writer.end_sec, max(report.decoded_sec, writer.start_sec)))
    finally:
        for writer in opened:
            writer.abandon()
    if sound.lost:
        done.partial.append(f"{path}: {sound.lost}")
    done.failed += [
        f"{path}: {_named(clip)} lies after the end of the video at {report.decoded_sec:.2f} s"
        for clip in waiting
    ]


def _named(clip: WantedClip) -> str:
    return f"{clip.label} {clip.start_sec:.2f}-{clip.end_sec:.2f} s"


def _shown(
    pictures: Iterator[tuple[av.VideoFrame, float]], report: DecodeReport
) -> Iterator[tuple[av.VideoFrame, float, float]]:
    """Yield every picture with the seconds from which on and up to which it is shown."""
    before: tuple[av.VideoFrame, float] | None = None
    for picture, seconds in pictures:
        if before:
            yield before[0], before[1], seconds
        before = picture, seconds
    if before:
        yield before[0], before[1], max(report.decoded_sec, before[1])
