"""The examples run as they stand: small, offline, in seconds."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tsatal.commands.demo import write_demo_videos

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples"
NOTEBOOK = EXAMPLES / "look_at_detections.ipynb"
SMALL = ("model.width=16", "optim.epochs=2", "optim.batch_size=2", "data.least_steps=1")


def example(name: str) -> ModuleType:
    """Return an example as a module, without running its command line."""
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def cells(kind: str) -> list[str]:
    """Return the sources of the notebook's cells of one kind."""
    found = json.loads(NOTEBOOK.read_text("utf-8"))["cells"]
    return ["".join(cell["source"]) for cell in found if cell["cell_type"] == kind]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `videos` and, in `work`, what own_videos.py made of them."""
    folder = tmp_path_factory.mktemp("example")
    write_demo_videos(folder / "videos", training=2, validation=1, duration_sec=6.0, seed=0)
    example("own_videos").main(
        str(folder / "videos"),
        str(folder / "work"),
        overrides=SMALL,
        weights="random",
        resize=32,
        crop=32,
    )
    return folder


def test_own_videos_writes_features_a_run_and_detections(work: Path) -> None:
    assert (work / "work" / "features.h5").exists()
    assert (work / "work" / "run" / "report.html").exists()
    found = json.loads((work / "work" / "found" / "predictions.json").read_text())
    assert sorted(found["results"]) == ["training_00", "training_01", "validation_02"]


def test_cached_features_are_learned(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    average_map = example("cached_features").main(
        tmp_path, overrides=("model.width=32", "optim.epochs=10", "data.windows_per_video=6")
    )
    assert average_map > 0.5  # the actions are plain to see
    assert "12 videos; video_00 has 120 rows" in capsys.readouterr().out


def test_compare_measures_prints_both_protocols(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # One instance, and two detections of it of equal tIoU 0.5. Under `anet` a tIoU of 0.5 reaches
    # the threshold 0.5, under `thumos14` it must exceed it: 3 of 5 thresholds against 2 of 5.
    instance = {"label": "run", "segment": [0, 10]}
    truth = {"database": {"v": {"subset": "test", "annotations": [instance]}}}
    found = {"results": {"v": [{"label": "run", "segment": [0, 5], "score": 0.9}]}}
    for name, content in (("a.json", truth), ("p.json", found)):
        (tmp_path / name).write_text(json.dumps(content))
    averages = example("compare_measures").main(tmp_path / "p.json", tmp_path / "a.json")
    assert averages == pytest.approx({"anet": 3 / 5, "thumos14": 2 / 5})
    assert re.search(r"thumos14 +100\.00 +100\.00 +0\.00", capsys.readouterr().out)


def test_the_notebook_runs(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(work)
    names: dict[str, Any] = {}
    for source in cells("code"):
        exec(compile(source, NOTEBOOK.name, "exec"), names)
    assert len(names["rows"]) == len(names["video"].detections)
    assert "<" in names["video"]._repr_html_()
    assert set(names["seconds"]) <= {"bounce", "circle", "pulse", "sweep"}


def test_the_notebook_is_stored_without_output() -> None:
    notebook = json.loads(NOTEBOOK.read_text("utf-8"))
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    for cell in notebook["cells"]:
        assert set(cell) >= {"cell_type", "id", "metadata", "source"}
        assert re.fullmatch(r"[a-zA-Z0-9-_]{1,64}", cell["id"])
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None


def published_thumos14(folder: Path) -> Path:
    """Write files of the form of ActionFormer's download: four videos, two classes."""
    (folder / "i3d_features").mkdir(parents=True)
    (folder / "annotations").mkdir()
    database = {}
    for n, subset in enumerate(("Validation", "Validation", "Test", "Test")):
        video_id = f"video_{subset.lower()}_{n:07d}"
        rows = np.random.default_rng(n).normal(0, 0.1, (80, 2048)).astype(np.float32)
        actions = []
        for k, first in enumerate((10, 40)):
            rows[first : first + 12, k * 1024 : k * 1024 + 8] += 1
            seconds = [(7.5 + 4 * t) / 30 for t in (first, first + 12)]
            actions.append({"label": ("Diving", "Shotput")[k], "segment": seconds, "label_id": k})
        np.save(folder / "i3d_features" / f"{video_id}.npy", rows)
        database[video_id] = {
            "subset": subset, "duration": 11.2, "fps": 30.0, "annotations": actions,
        }  # fmt: skip
    text = json.dumps({"version": "Thumos14-30fps", "database": database})
    (folder / "annotations" / "thumos14.json").write_text(text)
    return folder


def test_the_papers_table_is_made_from_files_of_the_published_form(tmp_path: Path) -> None:
    published = published_thumos14(tmp_path / "thumos")
    program = tmp_path / "bin" / "tsatal"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m tsatal "$@"\n')
    program.chmod(0o755)
    small = ("model.width=16", "optim.epochs=1", "data.least_steps=1")
    env = {
        **os.environ,
        "PATH": f"{program.parent}:{os.environ['PATH']}", "PYTHON": sys.executable,
        "SEEDS": "0", "SETTINGS": " ".join(f"--set {s}" for s in small), "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    command = ["sh", str(EXAMPLES / "thumos14.sh"), str(published), str(tmp_path / "work")]
    made = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr
    table = made.stdout.splitlines()[-6:]
    assert table[0].startswith("| mAP in %, tIoU | 0.3 |")
    assert table[2].startswith("| TSA-TAL, as the paper reports | 54.7 | 51.2 | 49.8 | 40.4 |  |")
    assert [line.split(" | ")[0] for line in table[4:]] == [
        "| `paper`, here, 1 seed", "| `strong`, here, 1 seed",
    ]  # fmt: skip
    again = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert again.stdout.splitlines() == table  # nothing is made twice


def test_seeds_are_averaged_with_their_standard_error(tmp_path: Path) -> None:
    for seed, value in enumerate((0.5, 0.6)):
        folder = tmp_path / f"strong.seed{seed}"
        folder.mkdir()
        thresholds = ("0.3", "0.4", "0.5", "0.6", "0.7")
        metrics = {"mAP": {t: value + n / 10 for n, t in enumerate(thresholds)}}
        (folder / "metrics.json").write_text(json.dumps(metrics))
    # 50 and 60: the deviation is sqrt(50), over sqrt(2) seeds 5.
    assert example("thumos14_table").main(tmp_path)[-1] == (
        "| `strong`, here, 2 seeds | 55.0 ± 5.0 | 65.0 ± 5.0 | 75.0 ± 5.0 | 85.0 ± 5.0 | "
        "95.0 ± 5.0 | 75.0 |"
    )


def test_the_papers_table_needs_the_published_files(tmp_path: Path) -> None:
    command = ["sh", str(EXAMPLES / "thumos14.sh"), str(tmp_path)]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert told.returncode == 2 and "must hold i3d_features/" in told.stderr


def test_the_onnx_consumer_has_thirty_lines() -> None:
    """Of code: without blank lines and docstrings."""
    text = (EXAMPLES / "run_onnx.py").read_text("utf-8")
    body = re.sub(r'""".*?"""', "", text, flags=re.DOTALL)
    assert len([line for line in body.splitlines() if line.strip()]) <= 30


def test_every_example_is_tested_and_described() -> None:
    files = {p.name for p in EXAMPLES.iterdir() if p.suffix in (".py", ".ipynb", ".sh")}
    page = (EXAMPLES / "README.md").read_text("utf-8")
    assert files == {
        "own_videos.py", "cached_features.py", "compare_measures.py", "run_onnx.py",
        "look_at_detections.ipynb",
        "thumos14.sh", "thumos14_table.py",
    }  # fmt: skip
    assert all(f"({name})" in page for name in files)
