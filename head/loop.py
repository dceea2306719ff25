"""The training loop: batches in, checkpoints and a log out. (Optimiser: not in the paper.)"""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils import clip_grad_norm_
from torch.optim.swa_utils import AveragedModel

from ..config import OptimConfig
from ..errors import InputError
from .checkpoint import LAST, Progress, TrainingState
from .dataset import Batch
from .fused_norm import freeze_norms
from .log import TrainingLog, Validation
from .parallel import all_gather, all_reduce, rank, world_size
from .windows import Window

logger = logging.getLogger(__name__)

WHOLE = {"loss": "the loss", "grad_norm": "the gradient"}  # the other values are the loss's parts


def fit(
    *,
    model: nn.Module,
    batches_of: Callable[[int], Iterable[Batch]],
    steps_per_epoch: int,
    criterion: nn.Module,
    validate: Callable[[nn.Module, bool], Validation] | None,
    run_dir: Path,
    optim: OptimConfig,
    resume: bool,
    device: torch.device,
) -> Progress:
    """Train `model` and return where it ended; its average is what is validated and saved.

    Args:
        batches_of: the batches of an epoch for this process, a function of the epoch's number
            alone, so that a resumed training sees what the uninterrupted one would have seen.
        criterion: from output, ground truth and T to loss and named parts; its buffers are saved.
        validate: measures a model, with pictures if so asked: once in each quarter of a training.
            Without it, no weights are the best.
        run_dir: for `last.pt`, `best.pt`, `log.csv` and TensorBoard files.
        optim: with `half`, the model computes in bfloat16 where that is safe; weights and loss
            stay single. Dropout of an epoch is a function of `seed`, the epoch, and the process.
        resume: go on from `last.pt`; on CPU, bit for bit as if never interrupted.
    Raises:
        InputError: loss, gradient or weights are not finite; nothing is saved from then on.
    """
    total_steps = optim.epochs * steps_per_epoch
    frozen_from = math.ceil(optim.freeze_norms_after * optim.epochs - 1e-9)
    average = averaged(model, decay=optim.average_decay)
    optimizer = make_optimizer(model, lr=optim.lr, weight_decay=optim.weight_decay)
    state = TrainingState(model, criterion, average, optimizer)
    progress = state.load(run_dir / LAST) if resume else Progress()
    if progress.epoch >= optim.epochs:
        logger.info("all %d epochs are done; there is nothing to go on with", optim.epochs)
        return progress
    wrapped = DistributedDataParallel(model) if world_size() > 1 else model
    log = None
    if rank() == 0:
        log = TrainingLog(run_dir, from_step=progress.step, steps=total_steps, epochs=optim.epochs)

    for epoch in range(progress.epoch, optim.epochs):
        model.train()
        if epoch >= frozen_from:
            freeze_norms(model, like=average.module)
        if epoch == frozen_from:
            logger.debug("batch norms are constants from epoch %d on", epoch + 1)
        seed_epoch(optim.seed, epoch)
        for batch in batches_of(epoch):
            rate = learning_rate(progress.step, total_steps=total_steps, optim=optim)
            for group in optimizer.param_groups:
                group["lr"] = rate
            batch = batch.to(device)
            with torch.autocast(device.type, torch.bfloat16, enabled=optim.half):
                output = wrapped(batch.features, batch.valid)
            loss, parts = criterion(output, batch.truth, num_steps=batch.features.shape[1])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            # Nothing that is not finite may get into the weights, or the average, or a file.
            sums = all_reduce(torch.stack([loss.detach(), *parts.values()]))
            values = dict(zip(("loss", *parts), (sums / world_size()).tolist(), strict=True))
            values["grad_norm"] = float(clip_grad_norm_(model.parameters(), optim.clip_norm))
            check_values(values, windows=batch.windows, epoch=epoch, step=progress.step)
            optimizer.step()
            average.update_parameters(model)
            progress.step += 1
            if log:
                log.advance(epoch + 1, values["loss"])
            if log and (progress.step % optim.log_every == 0 or progress.step == total_steps):
                log.training(progress.step, epoch + 1, {**values, "lr": rate})
        # The average is what detects, so it is what is checked, validated and saved.
        check_weights(average.module, epoch=epoch)
        progress.epoch = done = epoch + 1
        if validate and (done % optim.validate_every == 0 or done == optim.epochs):
            # Pictures come with the first validation in each quarter; the last epoch ends one.
            drawn = 4 * done // optim.epochs > 4 * (done - optim.validate_every) // optim.epochs
            result = validate(average.module, drawn)
            if log:
                log.validation(progress.step, done, result)
            # Of equals the later: at first it is often 0, which says nothing for those weights.
            if result.mean_ap >= progress.best_map:
                progress.best_map, progress.best_epoch = result.mean_ap, done
        if log:
            state.save(run_dir, progress)
    if log:
        log.close()
    return progress


def seed_everything(seed: int) -> None:
    """Seed every random generator that initialisation, dropout and libraries draw from."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def seed_epoch(seed: int, epoch: int) -> None:
    """Seed torch for an epoch of this process, so that no random state needs to be saved."""
    state = np.random.SeedSequence([seed, epoch, rank()]).generate_state(1, np.uint64)
    torch.manual_seed(int(state[0]))


def learning_rate(step: int, *, total_steps: int, optim: OptimConfig) -> float:
    """Return the learning rate of a step: linear warm-up, then half a cosine down to 0."""
    warmup_steps = round(optim.warmup_share * total_steps)
    if step < warmup_steps:
        return optim.lr * (step + 1) / warmup_steps
    share = (step - warmup_steps) / max(total_steps - warmup_steps, 1)
    return optim.lr * 0.5 * (1 + math.cos(math.pi * min(share, 1.0)))


def averaged(model: nn.Module, *, decay: float) -> AveragedModel:
    """Return the weight average of `model`, batch-norm statistics included, to be updated.

    The decay warms up: after 1,000 steps, 0.999 would still hold a third of the initialisation.
    """

    @torch.no_grad()
    def update(average: Any, current: Any, updates: Tensor | int) -> None:
        keep = min(decay, (1 + int(updates)) / (10 + int(updates)))
        for a, c in zip(average, current, strict=True):
            if a.is_floating_point():
                a.lerp_(c, 1 - keep)
            else:
                a.copy_(c)

    return AveragedModel(model, multi_avg_fn=update, use_buffers=True)


def make_optimizer(model: nn.Module, *, lr: float, weight_decay: float) -> torch.optim.AdamW:
    """Return AdamW that decays matrices and kernels but not biases and norms."""
    groups = [
        {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in model.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=lr)


def check_values(
    values: Mapping[str, float], *, windows: Sequence[Window], epoch: int, step: int
) -> None:
    """Stop unless loss and gradient are finite.

    Args:
        values: the loss, its parts and the gradient's norm, the same in all processes.
        windows: this process's share of the batch.
        epoch, step: how many are finished; the message counts from 1, as the log does.
    Raises:
        InputError: it names the parts that are not finite (all, if all are) and all windows.
    """
    wrong = [name for name in WHOLE if not math.isfinite(values[name])]
    if not wrong:
        return
    parts = {name: value for name, value in values.items() if name not in WHOLE}
    blamed = {name: value for name, value in parts.items() if not math.isfinite(value)} or parts
    shown = ", ".join(f"{name} {value:.4g}" for name, value in blamed.items())
    own = [
        f"{w.video.video_id} (rows {w.start} to {w.start + w.steps - 1})"
        for w in windows
        if w.steps  # else one that only fills a process's place
    ]
    batch = ", ".join(name for names in all_gather(own) for name in names)
    raise InputError(
        f"{WHOLE[wrong[0]]} is {values[wrong[0]]} at step {step + 1} of epoch {epoch + 1} "
        f"({shown}), in the batch of {batch}; a lower optim.lr may help; {_kept(epoch)}"
    )


def check_weights(model: nn.Module, *, epoch: int) -> None:
    """Stop unless all weights and statistics of the model are finite after an epoch.

    Raises:
        InputError: one line that names the first that is not; `epoch` others are finished.
    """
    values = model.state_dict().items()
    wrong = [name for name, value in values if not value.isfinite().all()]
    if wrong:
        raise InputError(
            f"{len(wrong)} of {len(values)} weights are not finite after epoch {epoch + 1}, the "
            f"first: {wrong[0]}; a lower optim.lr may help; {_kept(epoch)}"
        )


def _kept(epoch: int) -> str:
    return f"the checkpoint of epoch {epoch} is left as it was" if epoch else "nothing was saved"
