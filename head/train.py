"""The training loop and its checkpoints: one visible function, everything it needs passed in."""

from __future__ import annotations

import csv
import logging
import math
import os
import random
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel
from torch.utils.tensorboard import SummaryWriter

from ..errors import InputError
from .dataset import Batch
from .parallel import processes, rank, sum_over_processes

logger = logging.getLogger(__name__)

LAST, BEST = "last.pt", "best.pt"


@dataclass
class Progress:
    """Where training stands; saved in every checkpoint."""

    epoch: int = 0  # finished epochs
    step: int = 0  # finished optimiser steps
    best_map: float = -1.0
    best_epoch: int = -1


def seed_everything(seed: int) -> None:
    """Seed every random generator that initialisation, dropout and libraries draw from."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def learning_rate(step: int, *, peak: float, warmup_steps: int, total_steps: int) -> float:
    """Return the learning rate of a step: linear warm-up, then half a cosine down to 0."""
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    share = (step - warmup_steps) / max(total_steps - warmup_steps, 1)
    return peak * 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))


def warmed_decay(updates: int, *, decay: float) -> float:
    """Return how much of the old average is kept: `decay`, or less while few steps are in it.

    A fixed 0.999 would still hold a third of the random initialisation after 1,000 steps.
    """
    return min(decay, (1 + updates) / (10 + updates))


def averaged(model: nn.Module, *, decay: float) -> AveragedModel:
    """Return the weight average of `model`, batch-norm statistics included, to be updated."""

    @torch.no_grad()
    def update(average: Any, current: Any, updates: Tensor | int) -> None:
        keep = warmed_decay(int(updates), decay=decay)
        for a, c in zip(average, current, strict=True):
            if a.is_floating_point():
                a.lerp_(c, 1 - keep)
            else:
                a.copy_(c)

    return AveragedModel(model, multi_avg_fn=update, use_buffers=True)


def make_optimizer(model: nn.Module, *, lr: float, weight_decay: float) -> torch.optim.AdamW:
    """Return AdamW that decays matrices and kernels but not biases and norms."""
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=lr)


def fit(
    *,
    model: nn.Module,
    batches_of: Callable[[int], Iterable[Batch]],
    steps_per_epoch: int,
    criterion: nn.Module,
    validate: Callable[[nn.Module], float] | None,
    run_dir: Path,
    epochs: int,
    lr: float,
    weight_decay: float,
    warmup_share: float,
    clip_norm: float,
    average_decay: float,
    half: bool,
    seed: int,
    log_every: int,
    validate_every: int,
    resume: bool,
    device: torch.device,
) -> Progress:
    """Train `model` and return where it ended; its average is what is validated and saved.

    Args:
        batches_of: the batches of an epoch for this process, a function of the epoch's number
            alone, so that a resumed training sees what the uninterrupted one would have seen.
        criterion: from the model's output, the truth and T to the loss and its named parts; what
            it remembers is saved too.
        validate: mAP of a model, as a fraction; None when there is nothing to validate on.
        run_dir: where `last.pt`, `best.pt`, `log.csv` and TensorBoard files go.
        half: compute the model in bfloat16 where that is safe; weights and loss stay single.
        seed: dropout of an epoch is a function of it, the epoch, and the process.
        resume: go on from `last.pt`; on CPU, bit for bit as if never interrupted.
    Raises:
        InputError: the loss is not finite; nothing is saved from then on.
    """
    total_steps = epochs * steps_per_epoch
    average = averaged(model, decay=average_decay)
    optimizer = make_optimizer(model, lr=lr, weight_decay=weight_decay)
    progress = Progress()
    if resume:
        progress = load_training(run_dir / LAST, model, criterion, average, optimizer)
    if progress.epoch >= epochs:
        logger.info("all %d epochs are done; there is nothing to go on with", epochs)
        return progress
    wrapped = across_processes(model)
    log = TrainingLog(run_dir, from_step=progress.step) if rank() == 0 else None
    since, seen = time.monotonic(), progress.step

    for epoch in range(progress.epoch, epochs):
        model.train()
        seed_epoch(seed, epoch)
        for batch in batches_of(epoch):
            rate = learning_rate(
                progress.step,
                peak=lr,
                warmup_steps=round(warmup_share * total_steps),
                total_steps=total_steps,
            )
            for group in optimizer.param_groups:
                group["lr"] = rate
            batch = batch.to(device)
            with torch.autocast(device.type, torch.bfloat16, enabled=half):
                output = wrapped(batch.features, batch.valid)
            loss, parts = criterion(output, batch.truth, num_steps=batch.features.shape[1])
            values = mean_over_processes({"loss": loss.detach(), **parts})
            if not math.isfinite(values["loss"]):
                raise InputError(
                    f"the loss is {values.pop('loss')} at step {progress.step} ({values}); "
                    f"a lower optim.lr may help; {run_dir / LAST} holds the last finished epoch"
                )
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            norm = nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
            optimizer.step()
            average.update_parameters(model)
            progress.step += 1
            if log and (progress.step % log_every == 0 or progress.step == total_steps):
                now = time.monotonic()
                speed = (progress.step - seen) / max(now - since, 1e-9)
                since, seen = now, progress.step
                rates = {"lr": rate, "grad_norm": float(norm), "steps_per_sec": speed}
                log.training(progress.step, epoch + 1, {**values, **rates})
        progress.epoch = epoch + 1
        last = progress.epoch == epochs
        if validate is not None and (last or progress.epoch % validate_every == 0):
            mean_ap = validate(average.module)
            since = time.monotonic()  # validation is not training time
            if log:
                log.validation(progress.step, progress.epoch, mean_ap)
            if mean_ap > progress.best_map:
                progress.best_map, progress.best_epoch = mean_ap, progress.epoch
        if log:
            training = training_state(model, criterion, average, optimizer)
            save_checkpoints(run_dir, progress, average, training)
    if log:
        log.close()
    return progress


def across_processes(model: nn.Module) -> nn.Module:
    """Return the model so that its gradients are averaged over all processes, if there are any."""
    if processes() == 1:
        return model
    return DistributedDataParallel(model, broadcast_buffers=False)  # buffers agree by themselves


def seed_epoch(seed: int, epoch: int) -> None:
    """Seed torch for an epoch of this process, so that nothing needs to be remembered of it."""
    state = np.random.SeedSequence([seed, epoch, rank()]).generate_state(1, np.uint64)
    torch.manual_seed(int(state[0]))


def mean_over_processes(values: Mapping[str, Tensor]) -> dict[str, float]:
    """Return the means of scalars over all processes."""
    mean = sum_over_processes(torch.stack(list(values.values())).detach()) / processes()
    return dict(zip(values, mean.tolist(), strict=True))


def save_checkpoints(
    run_dir: Path, progress: Progress, average: AveragedModel, training: Mapping[str, Any]
) -> None:
    """Write `last.pt`, and `best.pt` where this epoch is the best."""
    checkpoint = {"progress": vars(progress).copy(), "average": average.module.state_dict()}
    if progress.best_epoch == progress.epoch:
        save_atomically(checkpoint, run_dir / BEST)
    save_atomically({**checkpoint, "training": dict(training)}, run_dir / LAST)


def training_state(
    model: nn.Module,
    criterion: nn.Module,
    average: AveragedModel,
    optimizer: torch.optim.Optimizer,
) -> dict[str, Any]:
    """Return what a resumed training needs beside the average itself."""
    return {
        "model": model.state_dict(),
        "criterion": criterion.state_dict(),
        "updates": int(average.n_averaged),
        "optimizer": optimizer.state_dict(),
    }


def load_training(
    path: Path,
    model: nn.Module,
    criterion: nn.Module,
    average: AveragedModel,
    optimizer: torch.optim.Optimizer,
) -> Progress:
    """Put a checkpoint's state into the four, and return where that training stood."""
    checkpoint = load_checkpoint(path)
    try:
        state = checkpoint["training"]
        model.load_state_dict(state["model"])
        criterion.load_state_dict(state["criterion"])
        average.module.load_state_dict(checkpoint["average"])
        average.n_averaged.fill_(state["updates"])
        optimizer.load_state_dict(state["optimizer"])
    except (KeyError, RuntimeError, ValueError) as e:
        reason = str(e).splitlines()[-1].strip()
        raise InputError(
            f"{path}: does not fit this version or these settings ({reason}); train anew"
        ) from None
    return Progress(**checkpoint["progress"])


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Return the checkpoint at `path`, on the CPU.

    Raises:
        InputError: there is none, or it is not one of ours.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such checkpoint")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as e:  # torch raises many kinds on a damaged file
        raise InputError(f"{path}: not a readable checkpoint ({type(e).__name__})") from None
    if not isinstance(checkpoint, dict) or "average" not in checkpoint:
        raise InputError(f"{path}: not a checkpoint of tsatal")
    return checkpoint


def save_atomically(checkpoint: Mapping[str, Any], path: Path) -> None:
    """Write a checkpoint whole or not at all: a crash leaves the previous one."""
    aside = path.with_name(f".{path.name}.tmp")
    try:
        with open(aside, "wb") as file:
            torch.save(dict(checkpoint), file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    except OSError as e:
        raise OSError(e.errno, e.strerror, str(path)) from None  # torch does not say which file
    finally:
        aside.unlink(missing_ok=True)


class TrainingLog:
    """One line per interval to the log, to `log.csv`, and to TensorBoard.

    A resumed training goes on behind `from_step`; lines of a later step, written by a training
    that was killed before its checkpoint, are dropped.
    """

    def __init__(self, run_dir: Path, *, from_step: int) -> None:
        self._path = run_dir / "log.csv"
        self._rows: list[dict[str, Any]] = [
            dict(r) for r in read_log(self._path) if int(r["step"]) <= from_step
        ]
        self._save()
        self._board = SummaryWriter(str(run_dir), purge_step=from_step + 1 if from_step else None)

    def training(self, step: int, epoch: int, values: Mapping[str, float]) -> None:
        """Log the losses and rates of one training step."""
        line = "epoch %d, step %d: loss %.4f, gradient %.2f, lr %.2g, %.1f steps/s"
        shown = (values[k] for k in ("loss", "grad_norm", "lr", "steps_per_sec"))
        logger.info(line, epoch, step, *shown)
        self._add({"step": step, "epoch": epoch, **values})
        for name, value in values.items():
            self._board.add_scalar(f"train/{name}", value, step)

    def validation(self, step: int, epoch: int, mean_ap: float) -> None:
        """Log the validation mAP (a fraction) after an epoch."""
        logger.info("epoch %d, step %d: validation mAP %.2f %%", epoch, step, 100 * mean_ap)
        self._add({"step": step, "epoch": epoch, "validation_mAP": mean_ap})
        self._board.add_scalar("validation/mAP", mean_ap, step)
        self._board.flush()

    def close(self) -> None:
        """Close TensorBoard's file."""
        self._board.close()

    def _add(self, row: Mapping[str, Any]) -> None:
        self._rows.append(dict(row))
        self._save()

    def _save(self) -> None:
        """Write all rows anew: which columns there are is known only from the rows."""
        columns = list(dict.fromkeys(name for row in self._rows for name in row))
        aside = self._path.with_name(f".{self._path.name}.tmp")
        with open(aside, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, columns, restval="")
            writer.writeheader()
            writer.writerows(self._rows)
        os.replace(aside, self._path)


def read_log(path: Path) -> list[dict[str, str]]:
    """Return the rows of a `log.csv`; none where there is no such file."""
    if not path.exists():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
