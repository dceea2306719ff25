"""Features that benchmarks draw or make: where they stand, what they hold, and that they repeat."""

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from tsatal.commands import demo
from tsatal.formats.features import FeatureFile

TRUTH = {
    f"v{n}": {
        "subset": "training" if n % 2 else "test",
        "duration": 40.1,
        "annotations": [
            {"label": "jump", "segment": [5.0, 15.0]},
            {"label": "run", "segment": [25.0, 35.0]},
            {"label": "Ambiguous", "segment": [0.0, 2.0]},
        ],
    }
    for n in range(6)
}


@pytest.fixture
def annotations(tmp_path: Path) -> Path:
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"database": TRUTH}))
    return path


def simulated(
    program: Callable[[str], ModuleType],
    monkeypatch: pytest.MonkeyPatch,
    annotations: Path,
    out: Path,
    *options: str,
) -> Path:
    """Write simulated features as the command line does."""
    monkeypatch.setattr("sys.argv", ["simulate", str(annotations), str(out), *options])
    program("simulate_features").main()
    return out


def test_simulated_rows_repeat_and_depend_on_the_seed(
    program: Callable[[str], ModuleType],
    monkeypatch: pytest.MonkeyPatch,
    annotations: Path,
    tmp_path: Path,
) -> None:
    paths = [
        simulated(program, monkeypatch, annotations, tmp_path / f"{n}.h5", "--dim", "16", *more)
        for n, more in enumerate(((), (), ("--seed", "1")))
    ]
    each = []
    for path in paths:
        with FeatureFile(path) as file:
            each.append({v: file.rows(v, ("rgb",)).tobytes() for v in file.video_ids})
    assert each[0] == each[1] and each[0] != each[2]


def test_simulated_actions_are_in_the_rows_of_their_time(
    program: Callable[[str], ModuleType],
    monkeypatch: pytest.MonkeyPatch,
    annotations: Path,
    tmp_path: Path,
) -> None:
    out = simulated(
        program, monkeypatch, annotations, tmp_path / "s.h5",
        "--dim", "64", "--noise", "0.5", "--videos", "2",
    )  # fmt: skip
    with FeatureFile(out) as file:
        assert len(file.video_ids) == 4  # two of each subset
        for video_id in file.video_ids:
            rows, axis = file.rows(video_id, ("rgb",)), file.time_axis(video_id)
            assert (axis.num_steps, axis.start_sec, axis.step_sec) == (201, 0.1, 0.2)
            seconds = axis.start_sec + axis.step_sec * np.arange(axis.num_steps)
            jump, run = (rows[(seconds > a + 1) & (seconds < a + 9)] for a in (5.0, 25.0))
            between = np.linalg.norm(jump.mean(0) - run.mean(0))
            halves = np.linalg.norm(jump[::2].mean(0) - jump[1::2].mean(0))
            assert between > 3 * halves


def test_a_video_without_duration_cannot_be_simulated(
    program: Callable[[str], ModuleType],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"database": {"v": {**TRUTH["v0"], "duration": None}}}))
    with pytest.raises(SystemExit, match="error: v: has no duration"):
        simulated(program, monkeypatch, path, tmp_path / "s.h5")


def test_rows_of_pictures_stand_at_their_ticks(
    program: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    demo.write_demo_videos(tmp_path, training=2, validation=0, duration_sec=4.0, seed=0)
    images: Any = program("image_features")
    videos = {p.stem: p for p in sorted(tmp_path.glob("*.mp4"))}
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    seen: list[tuple[int, ...]] = []

    def network(pictures: torch.Tensor) -> torch.Tensor:
        seen.append(tuple(pictures.shape))
        return pictures[:, :2, ::32, ::32]

    failed: list[str] = []
    made = list(images.extract({**videos, "broken": broken}, network, failed))
    assert [m.video_id for m in made] == list(videos)
    assert made[0].streams["rgb"].shape == (20, 2)
    assert (made[0].start_sec, made[0].step_sec) == (0.0, 0.2)
    assert seen[0] == (20, 3, 224, 224)
    assert len(failed) == 1 and "broken.mp4" in failed[0]


def test_facts_of_data_are_counted(program: Callable[[str], ModuleType], tmp_path: Path) -> None:
    demo.write_demo_videos(tmp_path, training=2, validation=1, duration_sec=6.0, seed=0)
    facts: Any = program("data_facts")
    videos = facts.load_annotations(tmp_path / "annotations.json").videos
    said = list(facts.about_annotations(videos))
    assert said[0].startswith("3 videos, ")
    assert "neighbouring actions that touch: 0 of " in said[2]
    assert "6.0 to 6.0 s, 18 s in all" in said[3]
    assert len(list(facts.about_folds(videos, 3, 0))) == 3
    borders, elsewhere = facts.about_cuts(videos, tmp_path, 100.0)
    assert ": 0 of " in borders and ": 0 of " in elsewhere  # nothing is cut
    borders, _ = facts.about_cuts(videos, tmp_path, -1.0)
    assert "(100 %)" in borders
