"""A file of labels in, its text out: bounded, and of whichever encoding it has."""

from __future__ import annotations

import codecs
import io
import zipfile
from pathlib import Path

from ...errors import InputError
from ..bundle import MANIFEST
from ..limits import TEXT_FACTOR, read_bytes

ARCHIVE = b"PK\3\4"  # as .xlsx, .ods and .zip begin
NO_TEXT = "not a text file in UTF-8, UTF-16 or Windows-1252"
# The longer marks first: that of UTF-32 begins like that of UTF-16.
MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class UnknownForm(InputError):
    """A file that holds no labels of a form that is known."""


def read_any_text(path: Path) -> tuple[str, str]:
    """Return a file's text, and a remark where its encoding was guessed.

    Raises:
        InputError: there is no such file, it is too large, or it is no text.
    """
    data = read_bytes(path, needs="a file or folder of labels", factor=TEXT_FACTOR)
    try:
        return decoded(data)
    except UnknownForm as e:
        raise UnknownForm(f"{path}: {e}") from None


def _archive(data: bytes) -> str:
    """Return what an archive is, and how its labels come out."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = set(archive.namelist())
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        names = set()
    if {"db", "project"} <= names:
        return (
            "a Datavyu project (.opf); export its cells as CSV with a script of Datavyu's, and "
            "name the columns label, onset_ms, offset_ms"
        )
    if MANIFEST in names:
        return "a packed model of tsatal; `tsatal info` says what it holds"
    return "an Excel workbook, or another archive; save the sheet as CSV"


def decoded(data: bytes) -> tuple[str, str]:
    """Return the text of bytes, and a remark where the encoding was guessed.

    A byte order mark says the encoding; else zeros at every other place mean UTF-16; else UTF-8;
    else Windows-1252, in which Excel saves CSV in western Europe.

    Raises:
        UnknownForm: they are no text.
    """
    if data.startswith(ARCHIVE):
        raise UnknownForm(_archive(data))
    encoding = next((name for mark, name in MARKS if data.startswith(mark)), "")
    head = data[:4096]
    if not encoding and head[1::2].count(0) > len(head) // 4:
        encoding = "utf-16-le"
    elif not encoding and head[::2].count(0) > len(head) // 4:
        encoding = "utf-16-be"
    remark = ""
    try:
        text = data.decode(encoding or "utf-8")
    except UnicodeDecodeError:
        if encoding:
            raise UnknownForm(NO_TEXT) from None
        try:
            text = data.decode("cp1252")
        except UnicodeDecodeError:
            raise UnknownForm(NO_TEXT) from None
        remark = "not in UTF-8; read as Windows-1252"
    if "\0" in text:
        raise UnknownForm("not a text file: it holds NUL characters")
    return text, remark
