"""Two processes train like one with the same batch, through the command line."""

import csv
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tsatal.head import parallel
from tsatal.head.checkpoint import load_checkpoint

SETTINGS = {
    "model.width": "16",
    "model.input_dropout": "0",  # drawn by each process for itself
    "model.channel_dropout": "0",
    "data.window_steps": "20",
    "optim.epochs": "3",
    "data.least_steps": "1",
    "optim.batch_size": "4",
    "optim.log_every": "1",
    "optim.validate_every": "1",
}


def train(features: Path, run: Path, *, processes: int, config: str) -> str:
    launch = ["torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", "-m"]
    command = [sys.executable, "-m", *(launch if processes > 1 else []), "tsatal", "train"]
    command += ["--features", str(features), "--out", str(run), "--device", "cpu"]
    command += ["--config", config]
    for key, value in SETTINGS.items():
        command += ["--set", f"{key}={value}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def losses(run: Path) -> list[float]:
    with open(run / "log.csv", newline="") as file:
        return [float(row["loss"]) for row in csv.DictReader(file) if row["loss"]]


@pytest.mark.parametrize("config", ["paper", "strong"])
def test_two_processes_train_like_one_with_the_same_batch(
    tmp_path: Path, write_toy: Callable[..., Path], config: str
) -> None:
    features = write_toy(tmp_path / "f.h5", places=0.3)
    train(features, tmp_path / "one", processes=1, config=config)
    said = train(features, tmp_path / "two", processes=2, config=config)
    assert said.count("measure it with") == 1
    alone, together = losses(tmp_path / "one"), losses(tmp_path / "two")
    assert len(alone) == len(together) > 2
    assert together == pytest.approx(alone, rel=1e-3)
    one, two = (load_checkpoint(tmp_path / n / "last.pt") for n in ("one", "two"))
    assert one["progress"]["step"] == two["progress"]["step"]
    for name, value in one["average"].items():
        # Adam divides rounding of tiny gradients by itself, so single weights may differ a bit
        torch.testing.assert_close(two["average"][name], value, rtol=1e-2, atol=5e-3, msg=name)
    assert len(list((tmp_path / "two").glob("events.*"))) == 1


def test_alone_nothing_is_summed_or_awaited() -> None:
    x = torch.tensor([1.0, 2.0])
    assert parallel.all_reduce(x).tolist() == [1.0, 2.0]
    assert parallel.broadcast("a") == "a" and parallel.all_gather("a") == ["a"]
    assert (parallel.world_size(), parallel.rank()) == (1, 0)
    parallel.barrier()
    with parallel.process_group(torch.device("cpu")) as device:
        assert device.type == "cpu"
