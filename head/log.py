"""The record of a training: how far it is to the log, losses and mAP to files and TensorBoard."""

from __future__ import annotations

import csv
import io
import logging
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..formats.atomic import write_text
from ..formats.limits import TooLarge, read_text
from ..progress import Progress

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Validation:
    """The mAP of a head on the validation videos.

    mean_ap: in [0, 1], the mean over all thresholds; by_tiou: at each threshold, by its name.
    pictures: time lines by video, (H, W, 3) uint8; empty unless asked for.
    detections: how many there were, if known: without any, the mAP is 0.
    """

    mean_ap: float
    by_tiou: Mapping[str, float] = field(default_factory=dict)
    pictures: Mapping[str, np.ndarray] = field(default_factory=dict)
    detections: int | None = None


class TrainingLog:
    """How far a training is, and its figures in `log.csv` and TensorBoard.

    A resumed training goes on after `from_step`; lines of a later step, written by a training
    that was killed before its checkpoint, are dropped.

    Args:
        steps, epochs: of the whole training.
    """

    def __init__(self, run_dir: Path, *, from_step: int, steps: int, epochs: int) -> None:
        self._path = run_dir / "log.csv"
        self._rows: list[Mapping[str, Any]] = []
        try:
            self._rows += [r for r in read_log(self._path) if int(r["step"]) <= from_step]
        except InputError as e:
            logger.warning("%s; it is begun anew", e)
        self._save()
        from torch.utils.tensorboard import SummaryWriter  # it takes a second of a processor

        others = set(threading.enumerate())
        self._board = SummaryWriter(str(run_dir), purge_step=from_step + 1 if from_step else None)
        _leave_errors_to_the_caller(set(threading.enumerate()) - others)
        self._since_sec, self._since_step = time.monotonic(), from_step
        self._epochs = epochs
        shown = logger.isEnabledFor(logging.INFO)
        self._progress = Progress("training", steps, "steps", shown=shown, already=from_step)

    def advance(self, epoch: int, loss: float) -> None:
        """Count a step, and say now and then how far the training is."""
        self._progress.doing = f"epoch {epoch} of {self._epochs}, loss {loss:.3g}"
        self._progress.advance(1)

    def training(self, step: int, epoch: int, values: Mapping[str, float]) -> None:
        """Log the losses and the learning rate of one step, and the speed since the last line."""
        now = time.monotonic()
        speed = (step - self._since_step) / max(now - self._since_sec, 1e-9)
        self._since_sec, self._since_step = now, step
        values = {**values, "steps_per_sec": speed}
        line = "epoch %d, step %d: loss %.4f, gradient %.2f, lr %.2g, %.1f steps/s"
        shown = (values[k] for k in ("loss", "grad_norm", "lr", "steps_per_sec"))
        logger.debug(line, epoch, step, *shown)
        self._save({"step": step, "epoch": epoch, **values})
        for name, value in values.items():
            self._board.add_scalar(f"train/{name}", value, step)

    def validation(self, step: int, epoch: int, result: Validation) -> None:
        """Log the mAP after an epoch; the time until then is not counted as training time."""
        nothing = " (nothing was detected)" if result.detections == 0 else ""
        logger.info(
            "epoch %d of %d: validation mAP %.2f %%%s",
            epoch, self._epochs, 100 * result.mean_ap, nothing,
        )  # fmt: skip
        self._save({"step": step, "epoch": epoch, "validation_mAP": result.mean_ap})
        self._board.add_scalar("validation/mAP", result.mean_ap, step)
        for name, value in result.by_tiou.items():
            self._board.add_scalar(f"validation/mAP at tIoU {name}", value, step)
        for video_id, picture in result.pictures.items():
            self._board.add_image(f"time lines/{video_id}", picture, step, dataformats="HWC")
        self._board.flush()
        self._since_sec = time.monotonic()

    def close(self) -> None:
        """Close TensorBoard's file."""
        self._progress.close()
        self._board.close()

    def _save(self, *more: Mapping[str, Any]) -> None:
        """Write all rows anew, with one more: only the rows tell the columns."""
        self._rows += more
        columns = list(dict.fromkeys(name for row in self._rows for name in row))
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, columns, restval="")
        writer.writeheader()
        writer.writerows(self._rows)
        write_text(self._path, text.getvalue())


def _leave_errors_to_the_caller(threads: set[threading.Thread]) -> None:
    """Let TensorBoard's own threads not print what the next call of it raises anyway."""
    print_it = threading.excepthook

    def hook(error: threading.ExceptHookArgs) -> None:
        if error.thread not in threads:
            print_it(error)

    threading.excepthook = hook


def read_log(path: Path) -> list[dict[str, str]]:
    """Return the rows of a `log.csv`; none if there is no such file.

    Raises:
        InputError: it is damaged.
    """
    if not os.path.lexists(path):
        return []
    try:
        text = read_text(path)
    except TooLarge:
        raise
    except InputError as e:
        raise InputError(f"{path}: damaged ({e})") from None
    try:
        rows = list(csv.DictReader(io.StringIO(text, newline="")))
        if all(None not in row and row["step"].isdecimal() for row in rows):
            return rows
    except (csv.Error, KeyError, AttributeError):
        pass
    raise InputError(f"{path}: damaged")
