"""Several processes at work on one feature file: who is there, what is left, and who does what.

Every process that extracts into OUT.h5 joins the others through `OUT.h5.parts/`, on one host or on
several that share the folder. It claims a video, looks whether another has finished it meanwhile,
extracts it, keeps the part, and gives the claim back. When nothing is left to claim, it waits for
the videos of the others, and takes over the claims of those that die.
"""

from __future__ import annotations

import contextlib
import logging
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from ...errors import InputError
from ...formats.features import VideoFeatures
from ..provenance import differing_setting
from .claims import LIMIT_SEC, Claim, Claims
from .parts import Parts, file_identity, part_name, read_existing

log = logging.getLogger(__name__)

POLL_SEC = 0.5  # how often a process with nothing to do looks after the others
LOCK = "assemble"  # held while the feature file is written, or somebody joins
MEMBER = "process-"  # prefix of the claims that say who is there

Left = dict[str, tuple[Path, str]]  # video id -> path and source fingerprint


class Share:
    """One process's share in the work; made by `join`.

    `replaces` is the identity of the file that is being replaced, None if it is added to.
    """

    def __init__(self, parts: Parts, claims: Claims, replaces: str | None) -> None:
        self.parts, self.claims, self.replaces = parts, claims, replaces
        self._existing: tuple[str, dict[str, str]] | None = None
        self._waiting = False

    def finished(self) -> dict[str, str]:
        """Return the source fingerprint of every video that any process has finished.

        Raises:
            InputError: the feature file was made with other settings.
        """
        parts = {video_id: source for video_id, (_, source) in self.parts.find().items()}
        return {**self.in_file(), **parts}  # in this order: an assembly moves parts to the file

    def claim(
        self, left: Left, settle: Callable[[str, str | None], None]
    ) -> Iterator[tuple[str, Path]]:
        """Yield videos that this process has just claimed, until none can be claimed for now.

        Args:
            left: the videos to do; those that are yielded or settled are taken out of it.
            settle: called with a video that another process has finished, and None; or with one
                that it has failed at, and the reason.
        """
        for video_id, (path, source) in list(left.items()):
            name = part_name(video_id)
            if not self.claims.take(name):
                holder = self.claims.holder(name)
                if holder and "failed" in holder.about:
                    del left[video_id]
                    settle(video_id, holder.about["failed"])
                continue
            del left[video_id]
            # Another may have finished it before this process took the claim. The part is looked
            # for first, because an assembly moves it to the file.
            if source in (self.parts.source(video_id), self.in_file().get(video_id)):
                self.claims.release(name)
                settle(video_id, None)
            else:
                yield video_id, path

    def finish(self, video: VideoFeatures) -> None:
        """Keep a claimed video's rows for good, and give the claim back."""
        self.parts.write(video)
        self.claims.release(part_name(video.video_id))

    def kept(self, video_id: str) -> bool:
        """Whether a finished video's rows are still there: nobody may remove them."""
        return self.parts.path(video_id).exists() or video_id in self.in_file()

    def fail(self, video_id: str, reason: str) -> None:
        """Tell the others that a claimed video has failed, for as long as this process runs."""
        self.claims.note(part_name(video_id), failed=reason)

    def wait(self, left: Left) -> None:
        """Let some time pass while others work on what is left."""
        if not self._waiting:
            self._waiting = True
            holders = filter(None, (self.claims.holder(part_name(v)) for v in left))
            at_work = ", ".join(sorted({str(c) for c in holders})) or "others"
            log.info("waiting for %d videos that are claimed by %s", len(left), at_work)
        time.sleep(POLL_SEC)

    def replacing(self) -> bool:
        """Whether the feature file as it stands is to be replaced, not added to."""
        return self.replaces == file_identity(self.parts.out)

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Keep every other process from writing the feature file, or from joining."""
        with self.claims.hold(LOCK):
            yield
            self.claims.sweep()

    def in_file(self) -> Mapping[str, str]:
        """Return the fingerprint of every video in the feature file; a file to replace has none.

        It is read again only when it was replaced.
        """
        identity = file_identity(self.parts.out)
        if self._existing is None or self._existing[0] != identity:
            old = self.replaces == identity
            there = {} if old else read_existing(self.parts.out, self.parts.provenance)
            self._existing = identity, there
        return self._existing[1]


@contextlib.contextmanager
def join(parts: Parts, *, overwrite: bool, limit_sec: float = LIMIT_SEC) -> Iterator[Share]:
    """Join the processes at work on a feature file, and leave them in the end.

    With `overwrite`, the first one starts the file anew, and others that overwrite join it: what
    it replaces is the file that it found. All must be started alike.

    Raises:
        InputError: the folder cannot be written, or others work with other settings or in the
            other way.
    """
    with Claims(parts.folder, limit_sec=limit_sec) as claims:
        with claims.hold(LOCK):
            # Of processes that would stand in the way, make sure first that they live.
            while (doubtful := claims.doubtful(MEMBER)) and (
                overwrite or any(_conflict(parts, other, overwrite) for other in doubtful)
            ):
                time.sleep(POLL_SEC)
            others = claims.others(MEMBER)
            for other in others:
                if conflict := _conflict(parts, other, overwrite):
                    raise InputError(f"{parts.out}: {other} is {conflict}; wait until it has ended")
            replaces = file_identity(parts.out) if overwrite else None
            if others:
                replaces = others[0].about["replaces"]
            claims.take(
                f"{MEMBER}{uuid.uuid4().hex[:12]}", provenance=parts.provenance, replaces=replaces
            )
        if others:
            log.info("sharing the work with %s", ", ".join(map(str, others)))
        yield Share(parts, claims, replaces)


def _conflict(parts: Parts, other: Claim, overwrite: bool) -> str | None:
    """What keeps this process from joining another one, in words, or None."""
    said = other.about.get("provenance")
    if not isinstance(said, Mapping) or "replaces" not in other.about:  # cut short, or damaged
        return "starting"
    if differing := differing_setting(parts.provenance, said):
        return f"extracting to it with other settings ({differing})"
    if overwrite != (other.about["replaces"] is not None):
        return f"{'adding to' if overwrite else 'overwriting'} it"
    return None
