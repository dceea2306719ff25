"""What stops a training whose numbers are no longer finite, and says where that began."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from torch import nn

from ..errors import InputError
from .dataset import Window
from .parallel import of_all

WHOLE = {"loss": "the loss", "grad_norm": "the gradient"}  # the other values are the loss's parts


def check_values(
    values: Mapping[str, float], *, windows: Sequence[Window], epoch: int, step: int
) -> None:
    """Stop unless loss, its parts and, if there, the gradient's norm are finite.

    Args:
        values: the same in all processes.
        windows: what this process has of the batch.
        epoch, step: how many are finished; the message counts from 1, as the log does.
    Raises:
        InputError: one line with the parts that are not finite (all, if all are), epoch, step,
            and the windows of all processes.
    """
    wrong = [name for name in WHOLE if not math.isfinite(values.get(name, 0.0))]
    if not wrong:
        return
    parts = {name: value for name, value in values.items() if name not in WHOLE}
    blamed = {name: value for name, value in parts.items() if not math.isfinite(value)} or parts
    shown = ", ".join(f"{name} {value:.4g}" for name, value in blamed.items())
    batch = ", ".join(name for names in of_all(_names(windows)) for name in names)
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


def _names(windows: Sequence[Window]) -> list[str]:
    return [
        f"{w.video.video_id} (rows {w.start} to {w.start + w.steps - 1})"
        for w in windows
        if w.steps  # else one that only fills a process's place
    ]


def _kept(epoch: int) -> str:
    return f"the checkpoint of epoch {epoch} is left as it was" if epoch else "nothing was saved"
