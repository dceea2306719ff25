"""Numbers, through the command line: repeated bit for bit, or refused where they are none."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from tsatal.cli import main
from tsatal.config import dump_config, load_config
from tsatal.head.checkpoint import load_checkpoint
from tsatal.head.log import read_log

SMALL = [
    "--set",
    "model.width=16",
    "--set",
    "data.window_steps=20",
    "--set",
    "optim.epochs=2",
    "--set",
    "data.least_steps=1",
]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory, write_toy: Callable[..., Path]) -> Path:
    return write_toy(tmp_path_factory.mktemp("toy") / "f.h5")


@pytest.fixture
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.mark.parametrize(("preset", "threads"), [("paper", 1), ("strong", 2)], indirect=["threads"])
def test_the_same_seed_gives_the_same_weights_and_detections_bit_for_bit(
    features: Path, tmp_path: Path, preset: str, threads: int
) -> None:
    """Here, where other tests have drawn numbers, and in a process of its own."""
    training = ["-q", "train", "--features", str(features), "--config", preset, *SMALL, "--out"]
    assert run(*training, tmp_path / "here").exit_code == 0
    subprocess.run(
        [sys.executable, "-m", "tsatal", *training, str(tmp_path / "there")],
        env={**os.environ, "OMP_NUM_THREADS": str(threads)}, check=True, capture_output=True,
    )  # fmt: skip
    found = []
    for name in ("here", "there"):
        assert run("-q", "evaluate", tmp_path / name, "--timelines", 0).exit_code == 0
        found.append((tmp_path / name / "predictions.json").read_bytes())
    assert found[0] == found[1] and len(found[0]) > 1000
    here, there = (load_checkpoint(tmp_path / d / "last.pt") for d in ("here", "there"))
    assert here["progress"] == there["progress"]
    for part in (lambda c: c["average"], lambda c: c["training"]["model"]):
        assert part(here).keys() == part(there).keys()
        assert all(part(here)[k].equal(part(there)[k]) for k in part(here))


def spoilt(features: Path, path: Path, video_id: str, value: float) -> Path:
    """Write the features with one value in the middle of one video replaced."""
    shutil.copy(features, path)
    with h5py.File(path, "r+") as file:
        rows = file[f"videos/{video_id}/rgb"]
        rows[len(rows) // 2, 3] = value
    return path


ADVICE = "; extract it anew, and look for others with `tsatal check`"


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_not_finite_are_refused_by_name(
    features: Path, tmp_path: Path, value: float
) -> None:
    training = spoilt(features, tmp_path / "t.h5", "video_1", value)
    result = run("-q", "train", "--features", training, "--out", tmp_path / "bad", *SMALL)
    said = f"Error: {training}: video_1: has features that are NaN or infinite{ADVICE}"
    assert (result.exit_code, result.output.splitlines()) == (1, [said])
    trained = run("-q", "train", "--features", features, "--out", tmp_path / "run", *SMALL)
    assert trained.exit_code == 0
    testing = spoilt(features, tmp_path / "v.h5", "video_2", value)
    result = run("-q", "evaluate", tmp_path / "run", "--features", testing)
    said = f"Error: {testing}: video_2: has features that are NaN or infinite{ADVICE}"
    assert (result.exit_code, result.output.splitlines()) == (1, [said])
    assert not (tmp_path / "run" / "predictions.json").exists()
    rare = ["--set", "optim.validate_every=100"]
    result = run("-q", "train", "--features", testing, "--out", tmp_path / "worse", *SMALL, *rare)
    assert (result.exit_code, result.output.splitlines()) == (1, [said])
    assert not (tmp_path / "worse" / "last.pt").exists()  # told before the first epoch


def test_a_training_that_explodes_stops_with_one_line_and_keeps_its_checkpoint(
    features: Path, tmp_path: Path
) -> None:
    settings = [*SMALL, "--config", "paper", "--set", "optim.batch_size=2"]
    settings += ["--set", "optim.log_every=1"]
    assert run("train", "--features", features, "--out", tmp_path, *settings).exit_code == 0
    before = {name: (tmp_path / name).read_bytes() for name in ("last.pt", "best.pt")}
    config = tmp_path / "config.yaml"
    changed = load_config(str(config), ["optim.lr=100", "optim.weight_decay=1", "optim.epochs=4"])
    config.write_text(dump_config(changed))
    result = run("-q", "train", "--resume", "--out", tmp_path)
    [line] = result.output.splitlines()
    assert result.exit_code == 1
    step = len([row for row in read_log(tmp_path / "log.csv") if row["loss"]]) + 1
    assert f" is nan at step {step} of epoch 3 (" in line and "final_classes" in line
    assert "in the batch of video_" in line and "(rows " in line
    assert "the checkpoint of epoch 2 is left as it was" in line
    assert {name: (tmp_path / name).read_bytes() for name in before} == before
