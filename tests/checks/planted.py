"""Clean data, and ways to plant one fault in them."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from tsatal.checks.check import check_file
from tsatal.checks.findings import NOTE, Finding
from tsatal.formats.feature_writer import write_feature_file
from tsatal.formats.features import VideoFeatures
from tsatal.formats.subsets import Subsets

STEP = 0.2
STEPS = 100  # rows of every video: 20 s

Database = dict[str, dict[str, Any]]


def action(start: float, end: float, label: str = "Jump") -> dict[str, Any]:
    return {"label": label, "segment": [start, end]}


def clean() -> Database:
    """Return four videos of 20 s without any fault: a and b train, c and d are held out."""
    subsets = {"a": "training", "b": "training", "c": "validation", "d": "validation"}
    return {
        name: {
            "subset": subset,
            "duration": 20.0,
            "annotations": [action(2, 5), action(4, 9, "Run"), action(12, 15)],
        }
        for name, subset in subsets.items()
    }


def rows_of(names: Iterable[str]) -> dict[str, VideoFeatures]:
    rng = np.random.default_rng(0)
    return {
        name: VideoFeatures(
            name, {"rgb": rng.normal(size=(STEPS, 6)).astype(np.float32)}, STEP / 2, STEP, 20.0
        )
        for name in names
    }


def kinds(findings: Iterable[Finding], *, above_notes: bool = True) -> list[str]:
    return [f.kind.name for f in findings if not above_notes or f.level != NOTE]


def of_annotations(database: Database, named: Subsets | None = None) -> list[Finding]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.json")
        path.write_text(json.dumps({"database": database}))
        return list(check_file(path, named=named).findings)


def the(findings: Iterable[Finding], kind: str) -> Finding:
    [found] = [f for f in findings if f.kind.name == kind]
    return found


def written(path: Path, videos: Iterable[VideoFeatures], database: Database | None = None) -> Path:
    text = None if database is None else json.dumps({"database": database})
    write_feature_file(path, videos, provenance={"extractor": "t"}, annotations_text=text)
    return path


def of_features(
    tmp_path: Path, videos: Iterable[VideoFeatures], database: Database | None = None
) -> list[Finding]:
    path = written(tmp_path / "f.h5", videos, clean() if database is None else database)
    return list(check_file(path).findings)


def changed(video: VideoFeatures, rows: Callable[[np.ndarray], Any]) -> VideoFeatures:
    """Return a video whose rows were changed in place, or replaced by what comes back."""
    copy = video.streams["rgb"].copy()
    after = rows(copy)
    return replace(video, streams={"rgb": copy if after is None else after})


def put(where: Any, value: float) -> Callable[[np.ndarray], None]:
    """Return a change of rows: `value` put `where`."""
    return lambda rows: rows.__setitem__(where, value)
