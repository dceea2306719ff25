"""Who works on what: files in a shared folder that one process at a time can hold.

An exclusive create makes a claim; local and network filesystems promise that it is atomic. The
claim names its process, so a process that dies is noticed at once on its own host. Its process
touches it every few seconds, so on other hosts a dead one is noticed by a claim that stands still.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import json
import logging
import os
import re
import stat
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from ...errors import InputError
from ...formats.atomic import this_host

LIMIT_SEC = 60.0  # a claim of another host that stands still for so long: its process is dead
BEATS = 6  # how often a claim is touched within that time
FIELDS = {"host": str, "pid": int, "started": str, "token": str, "about": dict}
TOKEN = re.compile(r"[0-9A-Za-z_-]{1,64}")  # it becomes part of a file's name
MOST_PID = 2**31
MAX_BYTES = 1_000_000  # of a claim
POLL_SEC = 0.1  # from one try to take a claim to the next
PATIENCE_SEC = 3.0  # after so many tries the wait is worth a word

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Claim:
    """What a claim's file says; no two claims have the same `token`."""

    host: str
    pid: int
    started: str
    token: str
    about: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        """The process in words."""
        return f"process {self.pid} on {self.host.split()[0]}" if self.host else "a process"


class Claims(contextlib.AbstractContextManager["Claims"]):
    """The claims of one process in one folder; close it, or use it in a `with` statement.

    The folder is made when the first claim is. All processes that share it have one `limit_sec`.
    """

    def __init__(self, folder: Path, *, limit_sec: float = LIMIT_SEC) -> None:
        self.folder, self.limit_sec = folder, limit_sec
        self._held: dict[str, Claim] = {}  # by name
        self._seen: dict[str, tuple[int, float]] = {}  # by token: when touched, and since when so
        self._moved: set[str] = set()  # tokens of claims that were seen to be touched
        self._closed = threading.Event()
        threading.Thread(target=self._beat, name=f"claims {folder.name}", daemon=True).start()

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Release everything that is held, and remove the folder if nothing is left in it."""
        self._closed.set()
        self.release_all()
        with contextlib.suppress(OSError):
            self.folder.rmdir()

    def take(self, name: str, /, **about: Any) -> bool:
        """Claim `name` if no living process holds it, and return whether that worked.

        Args:
            name: of the claim, valid in a file name.
            about: what others may read while it is held; JSON.
        Raises:
            InputError: the folder cannot be written.
        """
        if self._create(name, about):
            return True
        claim = _read(self._path(name))
        if claim and not (self._dead(name, claim) and self._remove_dead(name, claim)):
            return False
        return self._create(name, about)

    def release(self, name: str) -> None:
        """Let others have `name`; nothing happens where this process does not hold it."""
        if claim := self._held.pop(name, None):
            _remove(self._path(name), claim)

    def release_all(self) -> None:
        """Let others have everything that this process holds."""
        for name in list(self._held):
            self.release(name)

    def note(self, name: str, /, **about: Any) -> None:
        """Change what others may read about a claim that this process holds."""
        path = self._path(name)
        claim = replace(self._held[name], about=about)
        aside = path.with_name(f".{path.name}.{claim.token}.tmp")
        aside.write_text(json.dumps(asdict(claim)), encoding="utf-8")
        os.replace(aside, path)

    def holder(self, name: str) -> Claim | None:
        """The claim of the living process that holds `name`, or None."""
        claim = _read(self._path(name))
        return claim if claim and not self._dead(name, claim) else None

    def others(self, prefix: str) -> list[Claim]:
        """The claims of names with that prefix that other living processes hold."""
        names = [path.stem for path in self.folder.glob(f"{prefix}*.claim")]
        return [c for name in names if name not in self._held and (c := self.holder(name))]

    def doubtful(self, prefix: str) -> list[Claim]:
        """The claims among `others` whose process is not known to be alive yet.

        After asking again and again for `limit_sec`, each has been touched, or its process is dead.
        """
        return [
            c for c in self.others(prefix) if c.host != this_host() and c.token not in self._moved
        ]

    @contextlib.contextmanager
    def hold(self, name: str) -> Iterator[None]:
        """Wait until `name` can be held, and hold it for the length of a `with` statement."""
        began, said = time.monotonic(), False
        while not self.take(name):
            if not said and time.monotonic() - began > PATIENCE_SEC:
                said = True
                log.info("%s: waiting for %s", self.folder, self.holder(name) or "a process")
            time.sleep(POLL_SEC)
        try:
            yield
        finally:
            self.release(name)

    def sweep(self) -> None:
        """Remove what dead processes left in the folder: claims, and half-written files.

        A half-written file `.NAME.*.tmp` belongs to the holder of NAME.
        """
        for path in self.folder.glob("*.claim"):
            claim = _read(path)
            if claim and self._dead(path.stem, claim):
                self._remove_dead(path.stem, claim)
        for path in self.folder.glob(".*.tmp"):
            name = path.name[1:].split(".")[0]
            held = name in self._held
            if held or self.take(name):
                path.unlink(missing_ok=True)
            if not held:
                self.release(name)

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.claim"

    def _create(self, name: str, about: Mapping[str, Any]) -> bool:
        pid, token = os.getpid(), uuid.uuid4().hex[:12]
        claim = Claim(this_host(), pid, started(pid), token, about)
        try:
            _write_new(self._path(name), json.dumps(asdict(claim)), token=claim.token)
        except FileExistsError:
            return False
        except OSError as e:
            raise InputError(f"{self.folder}: cannot be written ({e.strerror or e})") from None
        self._held[name] = claim
        return True

    def _remove_dead(self, name: str, claim: Claim) -> bool:
        """Remove a dead process's claim, and return whether it is gone.

        Of two processes that find it dead, the slower could remove the claim that the faster has
        made since. So a process first claims the removal of just this claim, and looks again.
        """
        guard = f"removal-{claim.token}"
        if not self.take(guard):
            return False
        try:
            _remove(self._path(name), claim)
        finally:
            self.release(guard)
        return True

    def _dead(self, name: str, claim: Claim) -> bool:
        """Whether the claim's process is gone.

        A process of another host is gone when its claim has stood still for long by our own clock:
        clocks of two hosts, or of a host and its file server, cannot be compared.
        """
        if claim.host == this_host():
            return not _runs(claim)
        try:
            touched = os.lstat(self._path(name)).st_mtime_ns
        except FileNotFoundError:
            return False
        now = time.monotonic()
        before, since = self._seen.get(claim.token, (touched, now))
        if before != touched:
            since = now
            self._moved.add(claim.token)
        self._seen[claim.token] = touched, since
        return now - since >= self.limit_sec

    def _beat(self) -> None:
        while not self._closed.wait(self.limit_sec / BEATS):
            for name in list(self._held):
                with contextlib.suppress(OSError):
                    os.utime(self._path(name))


def started(pid: int) -> str:
    """Return the start of a process of this host, in ticks; empty where the system does not say.

    The system gives the number of an ended process to a new one, but its start differs. A process
    that has ended, but that its parent has not yet waited for, is `dead`.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "dead" if fields[0] in "ZX" else fields[19]


def _runs(claim: Claim) -> bool:
    try:
        with contextlib.suppress(PermissionError):  # it runs, under another user
            os.kill(claim.pid, 0)  # no signal is sent
    except ProcessLookupError:
        return False
    return started(claim.pid) in ("", claim.started)


def _write_new(path: Path, text: str, *, token: str) -> None:
    """Make a file that must not be there yet, complete from its first moment on.

    A process that is killed between creating and writing would leave a claim that names nobody.

    Raises:
        FileExistsError: it is there.
    """
    aside = path.with_name(f".{path.name}.{token}.tmp")
    try:
        while True:
            _write_exclusively(aside, text)
            try:
                os.link(aside, path)
            except FileExistsError:
                raise
            except OSError:
                if not aside.exists():  # another process has swept it away
                    continue
                _write_exclusively(path, text)  # a filesystem without links
            return
    finally:
        with contextlib.suppress(OSError):
            aside.unlink()


def _write_exclusively(path: Path, text: str) -> None:
    while True:
        try:
            with path.open("x", encoding="utf-8") as stream:
                stream.write(text)
            return
        except FileNotFoundError:  # no folder, or another process has just removed it
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
            except FileExistsError as e:  # removed meanwhile, or a link on the way leads nowhere
                if any(p.is_symlink() and not p.exists() for p in path.parents):
                    raise NotADirectoryError(e.errno, "a link on the way leads nowhere") from None


def _remove(path: Path, claim: Claim) -> None:
    """Remove a file while it is still that of this claim."""
    now = _read(path)
    if now and now.token == claim.token:
        path.unlink(missing_ok=True)


def _read(path: Path) -> Claim | None:
    """Read a claim, None where there is none. One that is cut short, or is no file of ours, names a
    process of no host, so it counts until it has stood still for long."""
    content = b""
    try:
        # Not a pipe or a device, which would be waited for, nor a link to one.
        info = os.lstat(path)
        if stat.S_ISREG(info.st_mode):
            with path.open("rb") as file:
                info = os.fstat(file.fileno())
                content = file.read(MAX_BYTES)
        else:
            _say_once(path)
    except OSError as e:
        if e.errno in (errno.ENOENT, errno.ESTALE):  # the latter from a network filesystem
            return None
        raise
    with contextlib.suppress(ValueError, TypeError, RecursionError):
        claim = Claim(**json.loads(content))
        typed = all(type(v) is FIELDS[name] for name, v in vars(claim).items())
        if (
            typed
            and claim.host.strip()
            and 0 < claim.pid < MOST_PID
            and TOKEN.fullmatch(claim.token)
        ):
            return claim
    return Claim("", 0, "", f"{info.st_ino}-{info.st_mtime_ns}")


@functools.cache
def _say_once(path: Path) -> None:
    log.warning("%s: is no file, so no claim of ours; it counts for a minute, then it goes", path)
