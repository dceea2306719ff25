from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tsatal.errors import InputError
from tsatal.extract.sharing.parts import Parts, embedded_annotations, read_existing, write_failures
from tsatal.formats import atomic as files
from tsatal.formats.features import FeatureFile, VideoFeatures

ANNOTATIONS = '{"database": {"a": {"subset": "training", "duration": 1.0, "annotations": []}}}'
MADE = {"fps": 10.0, "made_with": {"torch": "1"}}


def video(video_id: str, value: float = 0.0, source: str = "s") -> VideoFeatures:
    rows = np.full((3, 4), value, np.float32)
    return VideoFeatures(video_id, {"rgb": rows}, 0.05, 0.2, 0.6, {"fingerprint": source})


def assemble(parts: Parts, **changes: object) -> None:
    given: dict[str, object] = {"annotations_text": None, "projections": {}, "fresh": False}
    parts.assemble(**{**given, **changes})  # type: ignore[arg-type]


def values(path: Path) -> dict[str, float]:
    with FeatureFile(path) as file:
        return {v: float(file.rows(v, ["rgb"])[0, 0]) for v in file.video_ids}


def test_parts_are_found_again_with_their_fingerprints(tmp_path: Path) -> None:
    parts = Parts(tmp_path / "out.h5", MADE)
    parts.write(video("a", source="one"))
    parts.write(video("b" * 250, source="two"))
    found = {k: v[1] for k, v in Parts(tmp_path / "out.h5", MADE).find().items()}
    assert found == {"a": "one", "b" * 250: "two"}


def test_parts_of_other_settings_and_broken_parts_do_not_count(tmp_path: Path) -> None:
    Parts(tmp_path / "out.h5", {**MADE, "fps": 25.0}).write(video("a"))
    parts = Parts(tmp_path / "out.h5", MADE)
    (parts.folder / "x.h5").write_bytes(b"half a file")
    assert parts.find() == {} and parts.source("a") is None
    parts.write(video("b", source="two"))
    assert set(parts.find()) == {"b"} and parts.source("b") == "two"


def test_assembly_adds_replaces_and_clears(tmp_path: Path) -> None:
    out = tmp_path / "out.h5"
    parts = Parts(out, MADE)
    parts.write(video("b", 1))
    parts.write(video("a", 1))
    assemble(parts, annotations_text=ANNOTATIONS)
    (parts.folder).mkdir()
    (tmp_path / ".out.h5.1.tmp").write_bytes(b"left by a killed run")
    parts.write(video("b", 2))
    parts.write(video("c", 2))
    assemble(parts)
    assert values(out) == {"a": 1, "b": 2, "c": 2}
    assert embedded_annotations(out) == ANNOTATIONS
    assert [p.name for p in tmp_path.iterdir()] == ["out.h5"]


def test_a_fresh_assembly_leaves_the_old_videos_out(tmp_path: Path) -> None:
    parts = Parts(tmp_path / "out.h5", MADE)
    parts.write(video("old"))
    assemble(parts)
    parts.write(video("new"))
    assemble(parts, fresh=True)
    assert list(values(tmp_path / "out.h5")) == ["new"]


def test_a_full_disk_leaves_the_old_file_and_the_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out.h5"
    parts = Parts(out, MADE)
    parts.write(video("a", 1))
    assemble(parts)
    parts.write(video("b", 2))

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(files, "sync", full)
        with pytest.raises(InputError, match="No space left on device.*finished videos are kept"):
            assemble(parts)
        with pytest.raises(InputError, match="No space left"):
            parts.write(video("c"))
    assert values(out) == {"a": 1} and set(parts.find()) == {"b"}
    assert [p.name for p in parts.folder.iterdir() if p.suffix == ".tmp"] == []
    assemble(parts)
    assert values(out) == {"a": 1, "b": 2}


def test_a_file_of_other_settings_is_not_added_to(tmp_path: Path) -> None:
    out = tmp_path / "out.h5"
    assert read_existing(out, MADE) == {}
    parts = Parts(out, MADE)
    parts.write(video("a", source="one"))
    assemble(parts)
    assert read_existing(out, MADE) == {"a": "one"}
    with pytest.raises(InputError, match=r"fps is 25.0 here, 10.0 there.*--overwrite"):
        read_existing(out, {**MADE, "fps": 25.0})


def test_the_list_of_failures_goes_when_there_are_none(tmp_path: Path) -> None:
    out, listed = tmp_path / "out.h5", tmp_path / "out.h5.failed.json"
    write_failures(out, {"v": "v.mp4: empty (0 bytes)"})
    assert json.loads(listed.read_text()) == {"v": "v.mp4: empty (0 bytes)"}
    write_failures(out, {})
    assert list(tmp_path.iterdir()) == []
