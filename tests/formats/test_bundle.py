"""Packed models as files: whole they are read, changed in any byte they are refused."""

import hashlib
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tsatal.errors import InputError
from tsatal.formats import limits
from tsatal.formats.bundle import (
    CARD,
    COMMENT,
    DIGITS,
    MANIFEST,
    looks_like_bundle,
    open_bundle,
    write_bundle,
)

PARTS = {CARD: b"# card\n", "head.safetensors": bytes(range(256)), "backbone/rgb": b"weights"}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "m.tsatal"
    write_bundle(path, PARTS, {"labels": ["run"]})
    return path


def sealed(path: Path, fill: Callable[[zipfile.ZipFile], None], comment: bytes = COMMENT) -> Path:
    """Write an archive of other content with a digest that is right, as a stranger may."""
    with zipfile.ZipFile(path, "w") as archive:
        fill(archive)
        archive.comment = comment + b"0" * DIGITS
    content = path.read_bytes()[:-DIGITS]
    path.write_bytes(content + hashlib.sha256(content).hexdigest().encode())
    return path


def test_parts_come_out_as_they_went_in(model: Path, tmp_path: Path) -> None:
    with open_bundle(model) as bundle:
        assert {name: bundle.read(name) for name in PARTS} == PARTS
        manifest = bundle.manifest()
        bundle.unpack(tmp_path)
    assert manifest["labels"] == ["run"] and (tmp_path / "backbone/rgb").read_bytes() == b"weights"
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in PARTS.items()}
    assert manifest["parts"] == digests


def test_a_part_may_be_a_file_and_the_same_parts_give_the_same_bytes(
    model: Path, tmp_path: Path
) -> None:
    (tmp_path / "w").write_bytes(b"weights")
    again = write_bundle(
        tmp_path / "again.tsatal", PARTS | {"backbone/rgb": tmp_path / "w"}, {"labels": ["run"]}
    )
    assert (tmp_path / "again.tsatal").read_bytes() == model.read_bytes()
    with open_bundle(model) as bundle:
        assert bundle.sha256 == again


def test_a_change_of_any_byte_is_refused(model: Path) -> None:
    whole = model.read_bytes()
    for at in range(0, len(whole), 7):
        changed = bytearray(whole)
        changed[at] ^= 1
        model.write_bytes(changed)
        with pytest.raises(InputError, match=r"m\.tsatal: .*copy it again"), open_bundle(model):
            pass


def test_a_cut_or_longer_file_is_refused(model: Path) -> None:
    whole = model.read_bytes()
    for content in (b"", whole[:10], whole[:-1], whole[:-100], whole + b"\n"):
        model.write_bytes(content)
        line = "not a packed model of tsatal, or cut short"
        with pytest.raises(InputError, match=line), open_bundle(model):
            pass


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x", "a\\b", ".x", "a/b/c", "A"])
def test_a_part_that_would_lie_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    def fill(archive: zipfile.ZipFile) -> None:
        for part in (MANIFEST, CARD, name):
            archive.writestr(part, "{}")

    path = sealed(tmp_path / "m.tsatal", fill)
    with pytest.raises(InputError, match="which no packed model has"), open_bundle(path):
        pass


def test_packed_bytes_and_missing_or_double_parts_are_refused(tmp_path: Path) -> None:
    def squeezed(archive: zipfile.ZipFile) -> None:
        archive.writestr(MANIFEST, "{}", zipfile.ZIP_DEFLATED)

    def twice(archive: zipfile.ZipFile) -> None:
        for name in (MANIFEST, CARD):
            archive.writestr(name, "{}")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr(CARD, "{}")

    def without_card(archive: zipfile.ZipFile) -> None:
        archive.writestr(MANIFEST, "{}")

    for fill, line in (
        (squeezed, "which no packed model has"),
        (twice, "has some twice"),
        (without_card, "lacks parts"),
    ):
        with pytest.raises(InputError, match=line), open_bundle(sealed(tmp_path / "m", fill)):
            pass


@pytest.mark.parametrize(
    ("manifest", "line"),
    [
        (b"\xff", "not a text in UTF-8"),
        (b"{", "not JSON"),
        (b"[]", "does not say 'tsatal-model'"),
        (b'{"format": "tsatal-model", "version": 2}', "of version 2; this program reads 1"),
        (b'{"format": "tsatal-model", "version": 1}', r"names other parts .*'card.md'"),
        (b'{"format": "tsatal-model", "version": 1, "parts": {}}', r"other parts .*'card.md'"),
    ],
)
def test_a_manifest_of_another_form_is_refused(tmp_path: Path, manifest: bytes, line: str) -> None:
    def fill(archive: zipfile.ZipFile) -> None:
        archive.writestr(MANIFEST, manifest)
        archive.writestr(CARD, "")

    path = sealed(tmp_path / "m.tsatal", fill)
    with pytest.raises(InputError, match=line), open_bundle(path):
        pass


Parts = dict[str, bytes]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda parts: parts | {"last.pt": b"x"}, r"names other parts than it has \('last.pt'\)"),
        (lambda parts: {k: v for k, v in parts.items() if k != "backbone/rgb"}, "'backbone/rgb'"),
        (lambda parts: parts | {"head": parts.pop("head.safetensors")}, r"'head"),
        (lambda parts: parts | {"head.safetensors/rgb": b"x"}, "has some twice"),
        (lambda parts: parts | {"backbone/rgb": b"WEIGHTS"}, "part backbone/rgb is not the one"),
    ],
)
def test_parts_are_those_that_were_packed(
    model: Path, tmp_path: Path, change: Callable[[Parts], Parts], line: str
) -> None:
    """Whatever the digest of the whole says: so nothing is mixed from two models."""
    with zipfile.ZipFile(model) as archive:
        parts = change({name: archive.read(name) for name in archive.namelist()})

    def fill(archive: zipfile.ZipFile) -> None:
        for name, content in parts.items():
            archive.writestr(name, content)

    path = sealed(tmp_path / "m", fill)
    with pytest.raises(InputError, match=line), open_bundle(path) as bundle:
        bundle.unpack(tmp_path)


def test_a_file_written_to_while_it_is_read_is_refused(tmp_path: Path) -> None:
    model = tmp_path / "m.tsatal"
    long = bytes(10**6) + b"weights" + bytes(10**6)  # more than is read ahead
    write_bundle(model, PARTS | {"backbone/rgb": long}, {})
    with pytest.raises(InputError, match=r"m\.tsatal: damaged"), open_bundle(model) as bundle:
        model.write_bytes(model.read_bytes().replace(b"weights", b"WEIGHTS"))
        bundle.unpack(tmp_path)


def test_a_file_of_a_later_version_is_told(tmp_path: Path) -> None:
    later = sealed(tmp_path / "m", lambda archive: None, COMMENT.replace(b"1", b"12"))
    with pytest.raises(InputError, match="of version 12; this program reads 1"), open_bundle(later):
        pass


def test_sizes_are_looked_at_first(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_allowed", 100)
    with pytest.raises(InputError, match="would take"), open_bundle(model):
        pass


def test_a_packed_model_is_known_by_its_end_or_its_name(model: Path, tmp_path: Path) -> None:
    renamed = model.rename(tmp_path / "m.zip")
    assert looks_like_bundle(renamed)
    (tmp_path / "n.tsatal").write_bytes(b"")
    assert looks_like_bundle(tmp_path / "n.tsatal")
    (tmp_path / "o.zip").write_bytes(b"PK")
    assert not looks_like_bundle(tmp_path / "o.zip")
