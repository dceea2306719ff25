"""Checkpoints: the state of a training after an epoch, to go on from and to detect with.

{"progress": {epoch, step, best_map, best_epoch},
 "average": state of the averaged head, the one that detects,
 "training": {"model", "criterion", "updates", "optimizer"}}   (in `last.pt` alone)
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from ..errors import InputError
from ..formats.atomic import replacing
from ..formats.limits import check_archive
from .run import BEST as BEST
from .run import LAST as LAST

# Errors of torch on a state of another form than the module's.
MISFITS = (KeyError, RuntimeError, ValueError, TypeError, AttributeError, IndexError, OverflowError)


@dataclass
class Progress:
    """Where training stands; saved in every checkpoint."""

    epoch: int = 0  # finished epochs
    step: int = 0  # finished optimiser steps
    best_map: float = -1.0
    best_epoch: int = -1


@dataclass(frozen=True)
class TrainingState:
    """All that a training changes, and a resumed one needs."""

    model: nn.Module
    criterion: nn.Module
    average: AveragedModel
    optimizer: torch.optim.Optimizer

    def save(self, run_dir: Path, progress: Progress) -> None:
        """Write `last.pt`, and `best.pt` where this epoch is the best."""
        average = self.average.module.state_dict()
        checkpoint = {"progress": vars(progress).copy(), "average": average}
        if progress.best_epoch == progress.epoch:
            save_atomically(checkpoint, run_dir / BEST)
        training = {
            "model": self.model.state_dict(),
            "criterion": self.criterion.state_dict(),
            "updates": int(self.average.n_averaged),
            "optimizer": self.optimizer.state_dict(),
        }
        save_atomically({**checkpoint, "training": training}, run_dir / LAST)

    def load(self, path: Path) -> Progress:
        """Take over the state in a checkpoint, and return where its training stood.

        Raises:
            InputError: there is no checkpoint, or it is of another version or other settings.
        """
        checkpoint = load_checkpoint(path)
        try:
            state, progress = checkpoint["training"], checkpoint["progress"]
            self.model.load_state_dict(state["model"])
            self.criterion.load_state_dict(state["criterion"])
            self.average.module.load_state_dict(checkpoint["average"])
            self.average.n_averaged.fill_(int(state["updates"]))
            # The optimiser takes over its moments; learning rates are those of the settings.
            groups = self.optimizer.state_dict()["param_groups"]
            moments = state["optimizer"]["state"]
            self.optimizer.load_state_dict({"state": moments, "param_groups": groups})
            for p, own in self.optimizer.state.items():
                shapes = [own[name].shape for name in ("exp_avg", "exp_avg_sq", "step")]
                if shapes != [p.shape, p.shape, torch.Size([])]:
                    raise ValueError(f"moments of shapes {[tuple(s) for s in shapes]}")
            return Progress(
                int(progress["epoch"]),
                int(progress["step"]),
                float(progress["best_map"]),
                int(progress["best_epoch"]),
            )
        except MISFITS as e:
            raise InputError(
                f"{path}: does not fit this version or these settings ({last_line(e)}); train anew"
            ) from None


def finished_epochs(path: Path) -> int:
    """Return the number of epochs after which a checkpoint was saved.

    Raises:
        InputError: there is none, or it is not one of ours.
    """
    return epoch_of(load_checkpoint(path)) or 0


def epoch_of(checkpoint: Mapping[str, Any]) -> int | None:
    """Return the number of epochs after which a checkpoint was saved, None where it is damaged."""
    try:
        return int(checkpoint["progress"]["epoch"])
    except (KeyError, TypeError, ValueError):
        return None


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Return the checkpoint at `path`, on the CPU.

    Raises:
        InputError: there is none, or it is not one of ours.
    """
    if not os.path.lexists(path):
        if path.name == BEST and path.with_name(LAST).is_file():
            raise InputError(
                f"{path}: no such checkpoint; nothing was validated on in this training, so none "
                "of its weights are the best: leave out --checkpoint best"
            )
        raise InputError(f"{path}: no such checkpoint; has an epoch ended?")
    check_archive(path)
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)  # runs no code
    except Exception as e:  # torch raises many kinds on a damaged file
        raise InputError(
            f"{path}: not a readable checkpoint ({type(e).__name__})"
            "; in a run, the other of last.pt and best.pt may be whole"
        ) from None
    if not isinstance(checkpoint, dict) or "average" not in checkpoint:
        raise InputError(f"{path}: not a checkpoint of tsatal")
    return checkpoint


def save_atomically(checkpoint: Mapping[str, Any], path: Path) -> None:
    """Write a checkpoint whole or not at all: a crash leaves the previous one."""
    content = io.BytesIO()  # torch's own message on a full disk cannot be understood
    torch.save(dict(checkpoint), content)
    with replacing(path) as aside:
        aside.write_bytes(content.getbuffer())


def last_line(error: Exception) -> str:
    """Return the last line of an error's message, shortened."""
    words = str(error).strip().splitlines() or [type(error).__name__]
    return words[-1].strip()[:200]
