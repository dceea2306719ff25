"""The training loop and its checkpoints: one visible function, everything it needs passed in."""

from __future__ import annotations

import io
import logging
import math
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

from ..errors import InputError
from ..formats.atomic import replacing
from .dataset import Batch
from .finite import check_values, check_weights
from .layers import freeze_norms
from .log import TrainingLog, Watched
from .parallel import processes, rank, sum_over_processes

logger = logging.getLogger(__name__)

LAST, BEST = "last.pt", "best.pt"
# What torch raises on a state that is not what it says.
MISFITS = (KeyError, RuntimeError, ValueError, TypeError, AttributeError, IndexError, OverflowError)


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
    validate: Callable[[nn.Module, bool], Watched] | None,
    run_dir: Path,
    epochs: int,
    lr: float,
    weight_decay: float,
    warmup_share: float,
    clip_norm: float,
    average_decay: float,
    freeze_norms_after: float,
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
        validate: what a model is worth, with pictures if so asked: four times in a training;
            None when there is nothing to validate on.
        run_dir: where `last.pt`, `best.pt`, `log.csv` and TensorBoard files go.
        freeze_norms_after: share of the epochs after which batch norms are frozen with the
            average's statistics (`layers.freeze_norms`); 1: never.
        half: compute the model in bfloat16 where that is safe; weights and loss stay single.
        seed: dropout of an epoch is a function of it, the epoch, and the process.
        resume: go on from `last.pt`; on CPU, bit for bit as if never interrupted.
    Raises:
        InputError: loss, gradient or weights are not finite; nothing is saved from then on.
    """
    total_steps = epochs * steps_per_epoch
    frozen_from = math.ceil(freeze_norms_after * epochs - 1e-9)
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
        if epoch >= frozen_from:
            freeze_norms(model, like=average.module)
        if epoch == frozen_from:
            logger.info("batch norms are constants from epoch %d on", epoch + 1)
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
            check_values(values, windows=batch.windows, epoch=epoch, step=progress.step)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            values["grad_norm"] = float(nn.utils.clip_grad_norm_(model.parameters(), clip_norm))
            check_values(values, windows=batch.windows, epoch=epoch, step=progress.step)
            optimizer.step()
            average.update_parameters(model)
            progress.step += 1
            if log and (progress.step % log_every == 0 or progress.step == total_steps):
                now = time.monotonic()
                speed = (progress.step - seen) / max(now - since, 1e-9)
                since, seen = now, progress.step
                rates = {"lr": rate, "steps_per_sec": speed}
                log.training(progress.step, epoch + 1, {**values, **rates})
        check_weights(average.module, epoch=epoch)
        progress.epoch = epoch + 1
        last = progress.epoch == epochs
        if validate is not None and (last or progress.epoch % validate_every == 0):
            quarter = 4 * progress.epoch // epochs
            drawn = last or quarter > 4 * (progress.epoch - validate_every) // epochs
            watched = validate(average.module, drawn)
            since = time.monotonic()  # validation is not training time
            if log:
                log.validation(progress.step, progress.epoch, watched)
            if watched.mean_ap > progress.best_map:
                progress.best_map, progress.best_epoch = watched.mean_ap, progress.epoch
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
        average.n_averaged.fill_(int(state["updates"]))
        load_moments(optimizer, state["optimizer"])
        progress = checkpoint["progress"]
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


def load_moments(optimizer: torch.optim.Optimizer, saved: Mapping[str, Any]) -> None:
    """Put the moments of a saved optimiser into a new one, whose settings stay what they are.

    Raises:
        ValueError: they are not those of its parameters.
    """
    own = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": saved["state"], "param_groups": own})
    for parameter, state in optimizer.state.items():
        shapes = [state[name].shape for name in ("exp_avg", "exp_avg_sq", "step")]
        if shapes != [parameter.shape, parameter.shape, torch.Size([])]:
            raise ValueError(f"moments of shapes {[tuple(s) for s in shapes]}")


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Return the checkpoint at `path`, on the CPU.

    Raises:
        InputError: there is none, or it is not one of ours.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such checkpoint")
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)  # runs no code
    except Exception as e:  # torch raises many kinds on a damaged file
        raise InputError(f"{path}: not a readable checkpoint ({type(e).__name__})") from None
    if not isinstance(checkpoint, dict) or "average" not in checkpoint:
        raise InputError(f"{path}: not a checkpoint of tsatal")
    return checkpoint


def last_line(error: Exception) -> str:
    """Return what an error says, as one short line."""
    words = str(error).strip().splitlines() or [type(error).__name__]
    return words[-1].strip()[:200]


def save_atomically(checkpoint: Mapping[str, Any], path: Path) -> None:
    """Write a checkpoint whole or not at all: a crash leaves the previous one."""
    content = io.BytesIO()  # because torch itself says nothing one could read of a full disk
    torch.save(dict(checkpoint), content)
    with replacing(path) as aside:
        aside.write_bytes(content.getbuffer())
