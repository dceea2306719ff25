"""A packed model: the parts of a run as one file, and a digest over all of it.

It is a zip archive whose members are stored as they are. Its comment, the last bytes of the file,
is the SHA-256 of every byte before: a file that was changed or cut is refused before it is read.
The same parts give the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from ..errors import InputError, shown
from .atomic import replacing
from .json_values import parse_json
from .limits import check_archive, regular_file

MODEL_SUFFIX = ".tsatal"
FORMAT, VERSION = "tsatal-model", 1
MANIFEST, CARD = "manifest.json", "card.md"  # what every packed model has
COMMENT = b"tsatal model 1 sha256 "  # before the digest, at the end of the file
DIGITS = 64  # of a SHA-256
ENDING = re.compile(rb"tsatal model (\d{1,9}) sha256 ([0-9a-f]{64})\Z")
LONGEST_ENDING = 128  # bytes, from above
NAME = re.compile(r"[a-z0-9_]+(\.[a-z]+)?(/[a-z0-9_]+)?")  # of a part; none leads elsewhere
WHEN = (1980, 1, 1, 0, 0, 0)  # the first date that zip knows, so that bytes do not depend on it
CHUNK = 2**20  # bytes


@dataclass(frozen=True)
class Bundle:
    """A packed model that is open for reading, its digest and its parts' names found right."""

    path: Path
    sha256: str
    _archive: zipfile.ZipFile
    _digests: dict[str, str] = field(default_factory=dict)  # of the parts, as the manifest says

    @property
    def parts(self) -> dict[str, int]:
        """The sizes of all parts in bytes, by name."""
        return {member.filename: member.file_size for member in self._archive.infolist()}

    def read(self, name: str) -> bytes:
        """Return a part.

        Raises:
            InputError: there is none of that name, or it was changed.
        """
        if name not in self.parts:
            raise InputError(f"{self.path}: lacks the part {name}; ask for another copy")
        content = self._archive.read(name)
        self._check_digest(name, hashlib.sha256(content).hexdigest())
        return content

    def manifest(self) -> dict[str, Any]:
        """Return what the model says of itself.

        Raises:
            InputError: it is damaged, or of a newer version.
        """
        at = f"{self.path}: {MANIFEST}"
        try:
            text = self.read(MANIFEST).decode("utf-8")
        except UnicodeDecodeError:
            raise InputError(f"{at}: not a text in UTF-8; ask for another copy") from None
        found = parse_json(text, at)
        if not isinstance(found, dict) or found.get("format") != FORMAT:
            raise InputError(f"{at}: does not say {FORMAT!r}; ask for another copy")
        if found.get("version") != VERSION:
            raise _other_version(self.path, found.get("version"))
        return found

    def unpack(self, folder: Path) -> None:
        """Write every part into a folder that is there.

        Raises:
            InputError: a part is not the one that was packed: somebody is writing to the file.
        """
        for name in self.parts:
            place = folder / name
            place.parent.mkdir(exist_ok=True)
            digest = hashlib.sha256()
            with self._archive.open(name) as source, place.open("wb") as target:
                while chunk := source.read(CHUNK):
                    target.write(chunk)
                    digest.update(chunk)
            self._check_digest(name, digest.hexdigest())

    def _check_digest(self, name: str, sha256: str) -> None:
        if sha256 != self._digests.get(name, sha256):  # the manifest itself is not in it
            raise InputError(
                f"{self.path}: the part {name} is not the one that was packed; copy the file again"
            )

    def _with_digests(self) -> Bundle:
        """Return this, with the digests of the parts that the manifest names, which are all.

        Raises:
            InputError: it names others.
        """
        told, there = self.manifest().get("parts"), set(self.parts) - {MANIFEST}
        if not isinstance(told, dict) or set(told) != there:
            other = sorted(there ^ set(told if isinstance(told, dict) else ()))
            raise InputError(
                f"{self.path}: its manifest names other parts than it has ({shown(other[0])}); "
                "ask for another copy"
            )
        return replace(self, _digests={name: str(digest) for name, digest in told.items()})


def write_bundle(
    out: str | Path, parts: Mapping[str, bytes | Path], facts: Mapping[str, Any]
) -> str:
    """Write a packed model whole or not at all, and return the SHA-256 that it ends with.

    Args:
        parts: contents, or files that hold them, by name; the card among them.
        facts: what the model says of itself, for the manifest.
    """
    digests = {name: _part_sha256(content) for name, content in parts.items()}
    manifest = {"format": FORMAT, "version": VERSION, **facts, "parts": digests}
    text = json.dumps(manifest, indent=1).encode()
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    with replacing(out) as aside, aside.open("w+b") as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for name, content in {MANIFEST: text, **parts}.items():
                assert NAME.fullmatch(name), name
                _write_part(archive, name, content)
            archive.comment = COMMENT + b"0" * DIGITS
        sha256 = _sha256_before_the_end(file)
        file.seek(-DIGITS, 2)
        file.write(sha256.encode())
    return sha256


@contextmanager
def open_bundle(path: str | Path) -> Iterator[Bundle]:
    """Yield a packed model, after a look at its digest, its parts and their sizes.

    Raises:
        InputError: no packed model, one that was changed or cut, or one that is too large.
    """
    path = regular_file(path, needs="a packed model")
    check_archive(path)
    with path.open("rb") as file:
        ending = _ending(file)
        if ending is None:
            raise InputError(f"{path}: not a packed model of tsatal, or cut short; copy it again")
        version, told = ending
        if (sha256 := _sha256_before_the_end(file)) != told:
            raise InputError(
                f"{path}: was changed or damaged since it was packed (its sha256 is {sha256}, "
                f"packed was {told}); copy it again"
            )
        if version != VERSION:
            raise _other_version(path, version)
        try:
            with zipfile.ZipFile(file) as archive:
                _check_members(archive, path)
                yield Bundle(path, sha256, archive)._with_digests()
        except (zipfile.BadZipFile, EOFError, NotImplementedError) as e:
            raise InputError(f"{path}: damaged ({e}); ask for another copy") from None


def looks_like_bundle(path: Path) -> bool:
    """Return whether a file is a packed model, by its ending or by its last bytes."""
    if path.suffix.lower() == MODEL_SUFFIX:
        return True
    with path.open("rb") as file:
        return _ending(file) is not None


def _check_members(archive: zipfile.ZipFile, path: Path) -> None:
    """Refuse parts that `write_bundle` does not write."""
    members = archive.infolist()
    for member in members:
        plain = member.compress_type == zipfile.ZIP_STORED and not member.flag_bits & 1
        if (
            not NAME.fullmatch(member.filename)
            or not plain
            or (member.file_size != member.compress_size)
        ):
            raise InputError(
                f"{path}: holds {shown(member.filename)}, which no packed model has; ask for "
                "another copy"
            )
    names = {member.filename for member in members}
    folders = {name.partition("/")[0] for name in names if "/" in name}
    if len(names) < len(members) or not {MANIFEST, CARD} <= names or names & folders:
        raise InputError(f"{path}: lacks parts or has some twice; ask for another copy")


def _write_part(archive: zipfile.ZipFile, name: str, content: bytes | Path) -> None:
    with archive.open(zipfile.ZipInfo(name, WHEN), "w", force_zip64=True) as target:
        if isinstance(content, bytes):
            target.write(content)
            return
        with content.open("rb") as source:
            while chunk := source.read(CHUNK):
                target.write(chunk)


def _part_sha256(content: bytes | Path) -> str:
    if isinstance(content, bytes):
        return hashlib.sha256(content).hexdigest()
    with content.open("rb") as file:
        return _sha256(file, content.stat().st_size)


def _ending(file: IO[bytes]) -> tuple[int, str] | None:
    """Return version and digest at the end of an open file, None where there are none."""
    file.seek(max(file.seek(0, 2) - LONGEST_ENDING, 0))
    found = ENDING.search(file.read())
    return (int(found[1]), found[2].decode()) if found else None


def _other_version(path: Path, version: object) -> InputError:
    return InputError(
        f"{path}: a packed model of version {shown(version)}; this program reads {VERSION}: take a "
        "newer tsatal"
    )


def _sha256_before_the_end(file: IO[bytes]) -> str:
    length = file.seek(0, 2) - DIGITS
    file.seek(0)
    return _sha256(file, length)


def _sha256(file: IO[bytes], length: int) -> str:
    digest = hashlib.sha256()
    while length > 0 and (chunk := file.read(min(CHUNK, length))):
        digest.update(chunk)
        length -= len(chunk)
    return digest.hexdigest()
