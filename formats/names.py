"""Ids of videos in, safe names of files out; and the reasons why an id cannot be stored.

A video's id comes from outside: from a file's name, from annotations, from another program's
feature file. It goes into messages, JSON and HDF5, and into the names of files, where "../x" or
300 letters must do no harm.
"""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Iterable

MAX_BYTES = 200  # of a file's name, so that there is room for what is put around it
DIGEST = 12  # hexadecimal digits
DIGESTED = re.compile(rf"-[0-9a-fA-F]{{{DIGEST}}}$")  # what looks as if it had a digest already
SPELT = "in names that differ only in how their accents are encoded (NFC, NFD)"
UNSAFE = re.compile(r"[^\w .,;@#%&+=~!()\[\]{}\'^$-]")  # "/", "\", ":", control characters, ...


def nfc(name: str) -> str:
    """Return a name in Unicode's composed form, in which two spellings of it are one.

    Files from a Mac have decomposed names ("e" and an accent), most annotations composed ones
    ("é"). Whatever names a video, a label or a subset is brought into this form where it comes in;
    a file is opened by its name as it is.
    """
    return unicodedata.normalize("NFC", name)


def is_text(name: str) -> bool:
    """Return whether a string can be written in UTF-8 and handed to libraries in C.

    Half a surrogate pair cannot, which JSON may hold and which stands for bytes of a file's name
    that are no UTF-8; and a NUL would end the string.
    """
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return "\0" not in name


def id_problem(video_id: str) -> str | None:
    """Return the reason why a feature file cannot hold a video of this id, or None.

    HDF5 reads "/" as a path, and "." as the current group.
    """
    if not is_text(video_id):
        return "is not valid text"
    if video_id in ("", "."):
        return "is empty" if not video_id else "means a folder"
    if "/" in video_id:
        return "has a '/' in it"
    return None


def file_names(video_ids: Iterable[str], ending: str) -> dict[str, str]:
    """Return the names of videos' files, all different also where a filesystem ignores case.

    Ids that differ in case alone each get a digest; the others are named as by `file_name`.

    Args:
        video_ids: of all videos whose files lie in one folder.
        ending: with its dot.
    """
    names = {v: file_name(v, ending) for v in video_ids}
    times = Counter(name.casefold() for name in names.values())
    return {
        v: name if times[name.casefold()] == 1 else file_name(v, ending, digest=True)
        for v, name in names.items()
    }


def file_name(video_id: str, ending: str, *, digest: bool = False) -> str:
    """Return the name of a video's file: the id itself where that is safe.

    An id that is not a safe name everywhere, or too long for one, loses what is unsafe and gets a
    digest, so two ids never share a name. Two names may differ in case alone (see `file_names`).

    Args:
        ending: with its dot.
        digest: whether a safe id gets one, too.
    """
    clean = UNSAFE.sub("_", nfc(video_id)).strip(" ").rstrip(".")
    clean = re.sub(r"^\.", "_", clean)
    safe = clean == video_id != "" and len(clean.encode()) <= MAX_BYTES
    if safe and not digest and not DIGESTED.search(video_id):
        return video_id + ending
    digits = hashlib.sha256(video_id.encode("utf-8", "surrogatepass")).hexdigest()[:DIGEST]
    short = clean.encode("utf-8", "ignore")[: MAX_BYTES - DIGEST - 1].decode("utf-8", "ignore")
    return f"{short.strip() or '_'}-{digits}{ending}"


def as_spelled(name: str, there: Collection[str]) -> str:
    """The one of the names that are there which `name` means: itself, or in other capitals.

    ActionFormer's THUMOS14 has `Validation` and `Test`, most others `validation` and `test`.
    `name` itself is returned where none or several differ in capitals alone.
    """
    alike = [n for n in there if n.casefold() == name.casefold()]
    return alike[0] if len(alike) == 1 and name not in there else name
