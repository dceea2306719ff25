"""Published features as their makers write them, from simulated videos whose frames are known.

Nothing here uses the importer's formulas: a row is what a network that returns the mean of the
frames' time stamps would give, so the rows themselves say when they were.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from tsatal.cli import main
from tsatal.formats.features import FeatureFile

WIDTH = 6
DURATIONS = {"video_test_0000004": 34.0, "video_test_0000006": 20.5, "b": 50.0}
RATES = {"video_test_0000004": 30.0, "video_test_0000006": 25.0, "b": 29.97}


def _see(
    duration_sec: float, fps: float, *, window: int, stride: int, width: int = WIDTH
) -> np.ndarray:
    """Return rows (T, width) float32 of the windows that fit a video: column 0 is their instant."""
    frames = [n / fps for n in range(round(duration_sec * fps))]
    instants, first = [], 0
    while first + window <= len(frames):
        instants.append(sum(frames[first : first + window]) / window)
        first += stride
    rows = np.random.default_rng(0).normal(size=(len(instants), width))
    rows[:, 0] = instants
    return rows.astype(np.float32)


def _annotate(
    path: Path, durations: dict[str, float], *, subset: str = "training", **facts: Any
) -> Path:
    """Write annotations of videos with one action each; a fact is a dict by video, or for all."""
    database: dict[str, Any] = {}
    for video_id, duration in durations.items():
        mine = {
            name: fact[video_id] if isinstance(fact, dict) else fact
            for name, fact in facts.items()
            if not isinstance(fact, dict) or video_id in fact
        }
        action = {"label": "jump", "segment": [duration * 0.2, duration * 0.5]}
        database[video_id] = {
            "subset": subset,
            "duration": duration,
            "annotations": [action],
            **mine,
        }
    path.write_text(json.dumps({"version": "1", "database": database}))
    return path


def _check(path: Path, ids: Sequence[str], *, within_sec: float = 1e-4) -> None:
    """Assert that a feature file holds these videos, each row at the instant that it encodes."""
    with FeatureFile(path) as file:
        assert file.video_ids == sorted(ids)
        for video_id in ids:
            axis, rows = file.time_axis(video_id), file.rows(video_id, ("rgb",))
            placed = axis.start_sec + np.arange(axis.num_steps) * axis.step_sec
            np.testing.assert_allclose(placed, rows[:, 0], rtol=0, atol=within_sec)


def _save(folder: Path, arrays: dict[str, np.ndarray]) -> Path:
    """Write a .npy file for each array and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array)
    return folder


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments], catch_exceptions=False)


@pytest.fixture(scope="session")
def see() -> Callable[..., np.ndarray]:
    """Return a function that gives the rows of a simulated video."""
    return _see


@pytest.fixture(scope="session")
def annotate() -> Callable[..., Path]:
    """Return a function that writes annotations and returns their path."""
    return _annotate


@pytest.fixture(scope="session")
def check_instants() -> Callable[..., None]:
    """Return a function that asserts that rows stand where they say they were."""
    return _check


@pytest.fixture(scope="session")
def tsatal() -> Callable[..., Result]:
    """Return a function that runs the command line."""
    return _run


@pytest.fixture(scope="session")
def save() -> Callable[..., Path]:
    """Return a function that writes arrays, a file for each."""
    return _save


@pytest.fixture
def i3d(tmp_path: Path) -> Path:
    """Return a folder with the rows of three videos of different frame rates."""
    rows = {v: _see(d, RATES[v], window=16, stride=4) for v, d in DURATIONS.items()}
    return _save(tmp_path / "i3d_features", rows)


@pytest.fixture
def truth(tmp_path: Path) -> Path:
    """Return the annotations of those three videos."""
    return _annotate(tmp_path / "thumos14.json", DURATIONS, fps=RATES)
