"""The commands that faults strike: how they start, what must be whole, what must come out."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tsatal.head.checkpoint import BEST, LAST, load_checkpoint
from tsatal.head.log import read_log
from tsatal.head.run import CONFIG_FILE, DATA_FILE, load_run_description

from .whole import feature_file, under_final_names

SMALL = (
    "--config", "paper", "--set", "model.width=16", "--set", "data.window_steps=20",
    "--set", "optim.log_every=1",
)  # fmt: skip
TINY = ("--crop", "32", "--resize", "32", "--weights", "random", "--device", "cpu")
EPOCHS = ("--set", "optim.epochs=3", "--set", "optim.validate_every=2")
COMMANDS = ("extract", "train", "evaluate", "import")
# These keep nothing between two starts, or what `extract` does: a minute of faults kills them.
BRIEF = ("export", "detect", "view", "report")
LONG_ONLY = ("export-onnx", "export-pt2", "view-link")


@dataclass(frozen=True)
class Command:
    """A command that is killed.

    Args:
        argv: of the first start in an empty folder, and of every other.
        check: fails where a file that is there under its final name is not whole.
        content: what must be the same in the end, from the folder it ran in.
    """

    name: str
    argv: Callable[[Path], tuple[object, ...]]
    check: Callable[[Path], None]
    content: Callable[[Path], object]


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


def write_labels(videos: Path) -> tuple[Path, Path]:
    """Write annotations and detections of videos beside their folder, and return the files."""
    stems = sorted(p.stem for p in videos.glob("*.mp4"))
    segments = {v: [0.5 + 0.2 * n, 1.7 + 0.3 * n] for n, v in enumerate(stems)}
    truth = {
        v: {"subset": "training" if n else "validation", "duration": 3.0,
            "annotations": [{"label": "a", "segment": segments[v]}]}
        for n, v in enumerate(stems)
    }  # fmt: skip
    found = {
        v: [{"label": "a", "segment": [s, e - 0.1 * n], "score": 0.9 - 0.2 * n} for n in range(3)]
        for v, (s, e) in segments.items()
    }
    files = videos.with_name("labels.json"), videos.with_name("found.json")
    for path, content in zip(files, ({"database": truth}, {"results": found}), strict=True):
        path.write_text(json.dumps(content))
    return files


@dataclass(frozen=True)
class Inputs:
    """What the commands work on.

    Args:
        videos: a folder of videos.
        labels, found: annotations and detections of these.
        toy: a feature file.
        run: the folder of a run on `toy`.
        seen: the folder of a run on features of `videos`.
        arrays: a folder of published features.
    """

    videos: Path
    labels: Path
    found: Path
    toy: Path
    run: Path
    seen: Path
    arrays: Path


def make_command(name: str, inputs: Inputs) -> Command:
    """Return one of `COMMANDS` or `BRIEF` on these inputs."""
    arrays = inputs.arrays

    def train(folder: Path) -> tuple[object, ...]:
        if (folder / "run" / DATA_FILE).exists():
            return ("train", "--resume", "--out", "run", "--device", "cpu")
        return (
            "train",
            "--features",
            inputs.toy,
            "--out",
            "run",
            "--device",
            "cpu",
            *SMALL,
            *EPOCHS,
        )

    def extraction(folder: Path) -> object:
        return feature_file(folder / "out.h5"), names(folder)

    if name == "extract":
        argv = ("extract", inputs.videos, "out.h5", *TINY)
        return Command("extract", lambda _: argv, check_extract, extraction)
    if name == "train":
        return Command("train", train, check_run, training)
    if name == "evaluate":
        measure = ("evaluate", inputs.run, "--out", "run", "--device", "cpu", "--timelines", "1")
        return Command("evaluate", lambda _: measure, check_run, evaluation)
    if name == "import":
        take = (
            "import", arrays, "out.h5", "--format", "npy", "--fps", "30", "--stride-frames", "4",
            "--annotations", arrays.with_suffix(".json"), "--window-frames", "16", "--overwrite",
        )  # fmt: skip
        return Command("import", lambda _: take, check_extract, extraction)
    return brief_command(name, inputs)


def brief_command(name: str, inputs: Inputs) -> Command:
    """Return one of `BRIEF`, which all leave files that `whole.READ` knows, and nothing else."""
    video = min(inputs.videos.glob("*.mp4"))
    argv: dict[str, tuple[object, ...]] = {
        "export": ("export", inputs.toy, "exported"),
        "export-onnx": ("export-onnx", inputs.run, "head.onnx", "--steps", "16"),
        "export-pt2": ("export-onnx", inputs.run, "head.pt2", "--steps", "16"),
        "detect": ("detect", inputs.videos, "--run", inputs.seen, "--out", "found", "--view",
                   "--annotations", inputs.labels, "--device", "cpu"),
        "view": ("view", video, inputs.found, "--out", "page.html"),
        "view-link": ("view", video, inputs.found, "--out", "page.html", "--link"),
        "report": ("report", "--predictions", inputs.found, "--annotations", inputs.labels,
                   "--subset", "training", "--out", "out"),
    }  # fmt: skip

    def start(folder: Path) -> tuple[object, ...]:
        done = names(folder / "exported")
        if "annotations.json" in done and not any(n.startswith(".") for n in done):
            return ("configs",)  # a whole export is not replaced: there is nothing left to do
        return argv[name]

    def content(folder: Path) -> object:
        return names(folder), under_final_names(folder)

    def check(folder: Path) -> None:
        under_final_names(folder)

    return Command(name, start, check, content)
