"""Two processes train like one with the same batch, through the command line."""

import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from tsatal.cli import main
from tsatal.head import parallel
from tsatal.head.checkpoint import load_checkpoint

CONFIGS = ("paper", "strong")
SETTINGS = {
    "model.width": "16",
    "model.input_dropout": "0",  # drawn by each process for itself
    "model.channel_dropout": "0",
    "data.window_steps": "20",
    "optim.epochs": "3",
    "data.least_steps": "1",
    "optim.batch_size": "4",
    "optim.log_every": "1",
    "optim.validate_every": "3",
}


def words(features: Path, run: Path, config: str) -> list[str]:
    """Return the words of the command that trains."""
    given = ["train", "--features", str(features), "--out", str(run), "--device", "cpu"]
    given += ["--config", config]
    for key, value in SETTINGS.items():
        given += ["--set", f"{key}={value}"]
    return given


TWICE = """
import json, sys
import torch
from tsatal.cli import main
from tsatal.head.parallel import process_group
with process_group(torch.device("cpu")):  # torch begins one group in a process, and no second
    for words in json.loads(sys.argv[1]):
        main(words, standalone_mode=False)
"""


@pytest.fixture(scope="module")
def together(
    tmp_path_factory: pytest.TempPathFactory, write_toy: Callable[..., Path]
) -> tuple[Path, str]:
    """A folder with runs of both configurations, each of two processes, and what these said.

    The same two processes train both, since starting them takes longer than the trainings.
    """
    folder = tmp_path_factory.mktemp("two")
    features = write_toy(folder / "f.h5", places=0.3)
    (folder / "twice.py").write_text(TWICE)
    launch = ["torch.distributed.run", "--standalone", "--nproc-per-node=2", folder / "twice.py"]
    both = json.dumps([words(features, folder / config, config) for config in CONFIGS])
    done = subprocess.run(
        [sys.executable, "-m", *map(str, launch), both],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def losses(run: Path) -> list[float]:
    with open(run / "log.csv", newline="") as file:
        return [float(row["loss"]) for row in csv.DictReader(file) if row["loss"]]


@pytest.mark.parametrize("config", CONFIGS)
def test_two_processes_train_like_one_with_the_same_batch(
    tmp_path: Path, together: tuple[Path, str], config: str
) -> None:
    folder, said = together
    one, two = tmp_path / "one", folder / config
    here = CliRunner().invoke(main, words(folder / "f.h5", one, config))
    assert here.exit_code == 0, here.output
    assert said.count("measure it with") == len(CONFIGS)  # one of the two processes speaks
    assert len(losses(one)) == len(losses(two)) > 2
    assert losses(two) == pytest.approx(losses(one), rel=1e-3)
    alone, shared = (load_checkpoint(run / "last.pt") for run in (one, two))
    assert alone["progress"]["step"] == shared["progress"]["step"]
    for name, value in alone["average"].items():
        # Adam divides rounding of tiny gradients by itself, so single weights may differ a bit
        torch.testing.assert_close(shared["average"][name], value, rtol=1e-2, atol=5e-3, msg=name)
    assert len(list(two.glob("events.*"))) == 1


def test_alone_nothing_is_summed_or_awaited() -> None:
    x = torch.tensor([1.0, 2.0])
    assert parallel.all_reduce(x).tolist() == [1.0, 2.0]
    assert parallel.broadcast("a") == "a" and parallel.all_gather("a") == ["a"]
    assert (parallel.world_size(), parallel.rank()) == (1, 0)
    parallel.barrier()
    with parallel.process_group(torch.device("cpu")) as device:
        assert device.type == "cpu"
