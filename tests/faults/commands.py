"""The commands that faults strike: how they start, what must be whole, what must come out."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tsatal.features import FeatureFile
from tsatal.head.log import read_log
from tsatal.head.train import BEST, LAST, load_checkpoint
from tsatal.runs import CONFIG_FILE, DATA_FILE, load_run_description

SMALL = ("--set", "model.width=16", "--set", "data.window_steps=20", "--set", "optim.log_every=1")
TINY = ("--crop", "32", "--resize", "32", "--weights", "random", "--device", "cpu")
EPOCHS = ("--set", "optim.epochs=3", "--set", "optim.validate_every=2")
COMMANDS = ("extract", "train", "evaluate", "import")


@dataclass(frozen=True)
class Command:
    """A command that is killed.

    Args:
        argv: of the first start in an empty folder, and of every other.
        check: fails where a file that is there under its final name is not whole.
        content: what must be the same in the end, from the folder it ran in.
        own_end: exit statuses of one that ended by itself after SIGTERM.
    """

    name: str
    argv: Callable[[Path], tuple[object, ...]]
    check: Callable[[Path], None]
    content: Callable[[Path], object]
    own_end: tuple[int, ...] = ()


def feature_file(path: Path) -> object:
    with FeatureFile(path) as file:
        text = file.annotations_text()
        rows = {
            v: ({s: r.tobytes() for s, r in file.video(v).streams.items()},
                file.time_axis(v), sorted(file.details(v).items()))
            for v in file.video_ids
        }  # fmt: skip
        matrices = {k: m.tobytes() for k, m in file.projections().items()}
        return rows, file.provenance, text, matrices


def check_extract(folder: Path) -> None:
    for path in [*folder.glob("*.h5"), *folder.glob("out.h5.parts/*.h5")]:
        feature_file(path)
    if (folder / "out.h5.failed.json").exists():
        json.loads((folder / "out.h5.failed.json").read_text())


def names(folder: Path) -> list[str]:
    """Return what lies in a folder, TensorBoard's files aside: a start makes one."""
    every = (str(p.relative_to(folder)) for p in folder.rglob("*"))
    return sorted(name for name in every if "events.out." not in name)


def check_run(folder: Path) -> None:
    run = folder / "run"
    if (run / DATA_FILE).exists():
        assert (run / CONFIG_FILE).exists()
        load_run_description(run)
    for name in (LAST, BEST):
        if (run / name).exists():
            load_checkpoint(run / name)
    read_log(run / "log.csv")
    for path in run.glob("*.json"):
        json.loads(path.read_text())
    for path in run.rglob("*.png"):
        assert path.read_bytes().endswith(b"IEND\xaeB`\x82"), f"{path} is cut short"


def training(folder: Path) -> object:
    run = folder / "run"
    checkpoints = {n: as_bytes(load_checkpoint(run / n)) for n in (LAST, BEST)}
    log = [{k: v for k, v in r.items() if k != "steps_per_sec"} for r in read_log(run / "log.csv")]
    return checkpoints, log, load_run_description(run), names(folder)


def as_bytes(value: Any) -> Any:
    """Return a checkpoint in which tensors are bytes, so that `==` means bit for bit."""
    if isinstance(value, torch.Tensor):
        return value.dtype, tuple(value.shape), value.numpy().tobytes()
    if isinstance(value, dict):
        return {k: as_bytes(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [as_bytes(v) for v in value]
    return value


def evaluation(folder: Path) -> object:
    run = folder / "run"
    every = names(folder)
    return every, (run / "predictions.json").read_text(), (run / "metrics.json").read_text()


def write_arrays(folder: Path) -> Path:
    """Write published features, an array a video, and annotations beside them."""
    folder.mkdir()
    database = {}
    for n in range(6):
        rows = np.random.default_rng(n).normal(size=(200, 64)).astype(np.float32)
        np.save(folder / f"v{n}.npy", rows)
        actions = [{"label": "a", "segment": [1, 2]}]
        database[f"v{n}"] = {"subset": "training", "duration": 27.0, "annotations": actions}
    truth = folder.with_suffix(".json")
    truth.write_text(json.dumps({"database": database}))
    return folder


def make_command(name: str, *, videos: Path, toy: Path, run_dir: Path, arrays: Path) -> Command:
    """Return one of `COMMANDS` on these inputs."""

    def train(folder: Path) -> tuple[object, ...]:
        if (folder / "run" / DATA_FILE).exists():
            return ("train", "--resume", "--out", "run", "--device", "cpu")
        return ("train", "--features", toy, "--out", "run", "--device", "cpu", *SMALL, *EPOCHS)

    def extraction(folder: Path) -> object:
        return feature_file(folder / "out.h5"), names(folder)

    if name == "extract":
        argv = ("extract", videos, "out.h5", *TINY)
        return Command("extract", lambda _: argv, check_extract, extraction, (130,))
    if name == "train":
        return Command("train", train, check_run, training)
    if name == "evaluate":
        measure = ("evaluate", run_dir, "--out", "run", "--device", "cpu", "--timelines", "1")
        return Command("evaluate", lambda _: measure, check_run, evaluation)
    take = (
        "import", arrays, "out.h5", "--format", "npy", "--annotations", arrays.with_suffix(".json"),
        "--fps", "30", "--stride-frames", "4", "--window-frames", "16", "--overwrite",
    )  # fmt: skip
    return Command("import", lambda _: take, check_extract, extraction)
