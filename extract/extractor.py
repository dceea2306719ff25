"""Stage one: many videos in, one feature file out, whatever happens on the way.

The way of a video: `sharing.share` claims it for this process, an engine (`engine`) makes its rows,
`sharing.parts` keeps them, and in the end puts all parts into the feature file.
"""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..formats.features import VideoFeatures
from ..progress import Progress
from .clock import Reading
from .container import VideoError
from .engine import Engine, Recipe, ThisProcess, prepare
from .pca import with_pca
from .settings import ExtractSettings
from .sharing.parts import Parts, embedded_annotations, write_failures
from .sharing.share import MEMBER, Left, Share, join
from .sources import assign_ids, fingerprint
from .video import probe_duration

log = logging.getLogger(__name__)


@dataclass(repr=False)
class Summary:
    """What became of the videos: ids of those done now and done before, reasons for the others.

    `failed` and `partial` say why, by video id (by path where a video has no id of its own);
    a partial video is also done. `elsewhere` are those that other processes have finished while
    this one ran. `stopped_by` is the signal that ended it early, so that some were not tried.
    """

    out: Path
    done: list[str] = field(default_factory=list)
    already: list[str] = field(default_factory=list)
    elsewhere: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)
    partial: dict[str, str] = field(default_factory=dict)
    video_sec: float = 0.0
    stopped_by: KeyboardInterrupt | None = None

    @property
    def interrupted(self) -> bool:
        """Return whether a signal ended it early."""
        return self.stopped_by is not None

    def __repr__(self) -> str:
        """Return one line: how many videos became what."""
        elsewhere = f"{len(self.elsewhere)} by other processes, " if self.elsewhere else ""
        return (
            f"{self.out}: {len(self.done)} done ({self.video_sec:.0f} s of video), "
            f"{len(self.already)} already there, {elsewhere}{len(self.failed)} failed, "
            f"{len(self.partial)} partial"
        )

    def add(self, video: VideoFeatures, path: Path) -> None:
        """Take down a video that this process has finished, and log what is missing in it."""
        self.done.append(video.video_id)
        self.video_sec += video.duration_sec
        if partial := video.details.get("partial"):
            self.partial[video.video_id] = f"{path}: {partial}"
            log.warning("%s", self.partial[video.video_id])
        if remarks := video.details.get("remarks"):
            log.info("%s: %s", path, remarks)

    def fail(self, video_id: str, reason: str) -> None:
        """Take down and log why a video failed."""
        self.failed[video_id] = reason
        log.warning("%s", reason)


def extract_videos(
    videos: Sequence[Path],
    out: str | Path,
    settings: ExtractSettings,
    *,
    annotations_text: str | None = None,
    overwrite: bool = False,
    strict: bool = False,
    show_progress: bool = True,
    engine: Engine | None = None,
    on_video: Callable[[VideoFeatures], None] | None = None,
) -> Summary:
    """Add to the feature file what is not yet in it, and return what became of each video.

    Ctrl-C and SIGTERM end it early, with the finished videos in the file. A video that fails is
    reported, listed in `OUT.h5.failed.json`, and tried again the next time. Several processes
    that are given the same to do share the videos (see `sharing`); each returns when all are done.

    Args:
        videos: their paths, see `sources.find_videos`.
        out: the feature file; made, added to, or replaced.
        annotations_text: ActivityNet-style JSON to embed; None keeps what is embedded.
        overwrite: whether to start the file anew, also where its settings differ.
        strict: whether to stop at the first video that fails.
        show_progress: a bar, or lines in the log where there is no terminal.
        engine: what runs the network; by default this process.
        on_video: called here with every video that this call extracts, once its rows are safe.
    Raises:
        InputError: the settings cannot work, the file was made with others, or cannot be written.
    """
    out, engine = Path(out), engine or ThisProcess()
    settings = with_pca(settings, videos, out, overwrite=overwrite)
    recipe = prepare(settings, device=engine.device(settings.device))
    ids, refused = assign_ids(videos)
    summary = Summary(out)
    for video_id, reason in refused.items():
        summary.fail(video_id, reason)
    with join(Parts(out, recipe.provenance), overwrite=overwrite) as share:
        left = _left(ids, share.finished(), summary, settings.reading)
        if left and not (strict and summary.failed):
            bar = _Bar(left, shown=show_progress)
            with _interruptible(summary), contextlib.closing(bar.progress):
                _extract_left(
                    share, left, summary, bar, engine, recipe, strict=strict, on_video=on_video
                )
        _put_together(share, summary, annotations_text, recipe)
    return summary


def _left(
    ids: Mapping[str, Path], there: Mapping[str, str], summary: Summary, reading: Reading
) -> Left:
    """Return the videos to extract; count those that are there and those that cannot be opened."""
    left = {}
    for video_id, path in ids.items():
        try:
            source = fingerprint(path, reading)
        except VideoError as e:
            summary.fail(video_id, str(e))
            continue
        if there.get(video_id) == source:
            summary.already.append(video_id)
            continue
        if video_id in there:
            log.info("%s: has changed since it was extracted; extracting it again", path)
        left[video_id] = path, source
    return left


class _Bar:
    """Progress by the seconds of the videos that are left, as their containers state them."""

    def __init__(self, left: Left, *, shown: bool) -> None:
        self._left_sec = {video_id: probe_duration(path) for video_id, (path, _) in left.items()}
        self._videos, total_sec = len(left), sum(self._left_sec.values())
        self.progress = Progress(f"0/{len(left)} videos", total_sec, "s of video", shown=shown)

    def advance(self, video_id: str, seconds: float) -> None:
        """Count seconds of a video that goes on; of more than was announced there is more to do."""
        left_sec = max(self._left_sec[video_id], 0.0)
        self.progress.total += max(seconds - left_sec, 0.0)
        self._left_sec[video_id] -= seconds
        self.progress.advance(seconds)

    def end(self, video_id: str) -> None:
        """Count what is left of a video, whether it gave rows or not."""
        left_sec = self._left_sec.pop(video_id)
        self.progress.doing = f"{self._videos - len(self._left_sec)}/{self._videos} videos"
        self.progress.advance(max(left_sec, 0.0))


def _extract_left(
    share: Share,
    left: Left,
    summary: Summary,
    bar: _Bar,
    engine: Engine,
    recipe: Recipe,
    *,
    strict: bool,
    on_video: Callable[[VideoFeatures], None] | None,
) -> None:
    """Extract what can be claimed, and wait for the rest, until nothing is left."""
    paths = {video_id: path for video_id, (path, _) in left.items()}

    def settle(video_id: str, reason: str | None) -> None:
        """Take down what another process has made of a video."""
        if reason is None:
            summary.elsewhere.append(video_id)
        else:
            summary.fail(video_id, reason)
        bar.end(video_id)

    while left and not (strict and summary.failed):
        # A video is claimed only when the engine asks for it, just before it starts.
        claimed = share.claim(left, settle)
        with contextlib.closing(engine.extract(claimed, bar.advance, recipe=recipe)) as results:
            for video_id, result in results:
                bar.end(video_id)
                if isinstance(result, VideoError):
                    share.fail(video_id, str(result))
                    summary.fail(video_id, str(result))
                else:
                    share.finish(result)
                    summary.add(result, paths[video_id])
                    if on_video:
                        on_video(result)
                if strict and summary.failed:
                    return
        if left:
            share.wait(left)


def _put_together(
    share: Share, summary: Summary, annotations_text: str | None, recipe: Recipe
) -> None:
    """Write the feature file if there is anything new to put into it, and the list of failures.

    A process that was interrupted leaves that to the others, if there are any: of several that
    are interrupted at once, to the last one.
    """
    parts, out = share.parts, summary.out
    if summary.interrupted:
        share.claims.release_all()
    with share.alone():
        if summary.interrupted and share.claims.others(MEMBER):
            return
        for video_id in [v for v in summary.done if not share.kept(v)]:
            summary.done.remove(video_id)
            lost = f"its rows were removed before they were in {out}; run the same command again"
            summary.fail(video_id, f"{video_id}: {lost}")
        fresh = share.replacing()
        relabelled = False
        if annotations_text is not None and not fresh and out.exists():
            relabelled = annotations_text != embedded_annotations(out)
        if relabelled or parts.find():
            parts.assemble(
                annotations_text=annotations_text,
                projections=recipe.projections,
                classes=recipe.classes,
                fresh=fresh,
            )
        _confirm(share, summary)
        write_failures(out, summary.failed)


def _confirm(share: Share, summary: Summary) -> None:
    """Take down as failed what should be in the feature file now, and is not."""
    there = share.in_file() if summary.done or summary.already or summary.elsewhere else {}
    for kind in (summary.done, summary.already, summary.elsewhere):
        for video_id in [v for v in kind if v not in there]:
            kind.remove(video_id)
            reason = f"is not in {summary.out} after all; run the same command again"
            summary.fail(video_id, f"{video_id}: {reason}")


@contextlib.contextmanager
def _interruptible(summary: Summary) -> Iterator[None]:
    """End early on Ctrl-C, and on SIGTERM where signals can be caught (the main thread).

    The command line has a handler of its own for SIGTERM, which does as Ctrl-C does.
    """
    here = threading.current_thread() is threading.main_thread()
    alone = here and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    if alone:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt as stop:
        summary.stopped_by = stop.with_traceback(None)
    finally:
        if alone:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
