"""Training and detection on a GPU go as on the CPU; the same tests run on the CPU, too."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from tsatal import pipeline
from tsatal.cli import main
from tsatal.config import load_config
from tsatal.errors import InputError
from tsatal.formats.features import FeatureFile
from tsatal.head.checkpoint import load_checkpoint
from tsatal.head.detector import load_detector
from tsatal.head.parallel import process_group
from tsatal.head.windows import draw_windows

from ..conftest import EACH_DEVICE

SETTINGS = [
    "model.width=16",
    "model.input_dropout=0",  # each device draws by itself
    "model.channel_dropout=0",
    "data.window_steps=30",
    "data.least_steps=1",
    "optim.epochs=4",
    "optim.lr=0.003",
    "optim.log_every=1",
]
# Of the loss of every step, with what the network computes in on a GPU.
TOLERANCE = {"false": 0.01, "true": 0.1}


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory, write_toy: Callable[..., Path]) -> Path:
    return write_toy(tmp_path_factory.mktemp("toy") / "f.h5", places=0.3)


def train(features: Path, run: Path, preset: str, device: str, *more: str) -> Path:
    config = load_config(preset, [*SETTINGS, *more])
    return pipeline.train(features, config, run=run, device=device)


def losses(run: Path) -> list[float]:
    with (run / "log.csv").open(newline="") as file:
        return [float(row["loss"]) for row in csv.DictReader(file) if row["loss"]]


@EACH_DEVICE
@pytest.mark.parametrize("half", TOLERANCE)
@pytest.mark.parametrize("preset", ["paper", "strong"])
def test_a_training_goes_as_on_the_cpu(
    features: Path, tmp_path: Path, preset: str, half: str, device: str
) -> None:
    here = losses(train(features, tmp_path / "here", preset, "cpu"))
    there = losses(train(features, tmp_path / "there", preset, device, f"optim.half={half}"))
    assert len(here) > 4 and here[-1] < here[0]
    assert there == pytest.approx(here, rel=TOLERANCE[half])


@EACH_DEVICE
def test_a_stopped_training_goes_on(
    features: Path, tmp_path: Path, device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, calls = train(features, tmp_path / "whole", "strong", device), 0

    def interrupted(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return draw_windows(*arguments, **options)

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("tsatal.head.training.draw_windows", interrupted)
        train(features, tmp_path / "cut", "strong", device)
    assert load_checkpoint(tmp_path / "cut" / "last.pt")["progress"]["epoch"] == 2
    pipeline.resume(tmp_path / "cut", device=device)
    # On a GPU sums are taken in another order each time.
    assert losses(tmp_path / "cut") == pytest.approx(losses(whole), rel=0.02)


@EACH_DEVICE
def test_a_run_detects_on_any_device(features: Path, tmp_path: Path, device: str) -> None:
    run = train(features, tmp_path / "run", "strong", device)
    one, other = (load_detector(run, device=d) for d in ("cpu", device))
    with FeatureFile(features) as file:
        for video_id in file.video_ids:
            here, there = (d.in_file(file, video_id) for d in (one, other))
            assert here.detections and there.actionness and here.actionness
            np.testing.assert_allclose(
                there.actionness.values, here.actionness.values, rtol=0, atol=2e-3
            )
            best, same = (max(d.detections, key=lambda x: x.score) for d in (here, there))
            assert same.label == best.label
            assert same.score == pytest.approx(best.score, abs=1e-3)
            assert same.start_sec == pytest.approx(best.start_sec, abs=0.01)


@EACH_DEVICE
def test_the_commands_take_a_device_by_number(features: Path, tmp_path: Path, device: str) -> None:
    numbered = "cuda:0" if device == "cuda" else device
    settings = [word for s in SETTINGS for word in ("--set", s)]
    run = str(tmp_path / "run")
    command = ["train", "--features", str(features), "--out", run, "--device", numbered]
    for words in ([*command, *settings], ["evaluate", run, "--device", numbered]):
        result = CliRunner().invoke(main, words)
        assert result.exit_code == 0, result.output


def test_a_device_of_another_name_is_told(features: Path) -> None:
    result = CliRunner().invoke(main, ["train", "--features", str(features), "--device", "gpu"])
    assert result.exit_code == 2 and "not one of auto, cpu, cuda or cuda:NUMBER" in result.output


def test_more_processes_than_gpus_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with (
        pytest.raises(InputError, match="process 1 has no GPU of its own, since there are 1 here"),
        process_group(torch.device("cuda")),
    ):
        pass


@pytest.mark.cuda
def test_out_of_memory_is_one_line(features: Path, tmp_path: Path) -> None:
    words = ["train", "--features", str(features), "--out", str(tmp_path / "run")]
    words += ["--device", "cuda", "--set", "model.width=2048"]
    torch.ones(1, device="cuda").sum().item()
    torch.cuda.empty_cache()
    torch.cuda.set_per_process_memory_fraction(1e-3)
    try:
        result = CliRunner().invoke(main, words)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    last = result.output.strip().splitlines()[-1]
    assert result.exit_code == 1 and "Traceback" not in result.output
    assert last.startswith("Error: out of memory (CUDA") and "optim.batch_size" in last
