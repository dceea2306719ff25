"""What TSA does in one video: the beliefs it starts from, its matrices, and what it adds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .dataset import pad_rows
from .detector import Detector
from .model import TSATAL

MOST_ROWS = 1000  # at once: the matrices are of all pairs


@dataclass(frozen=True)
class Explanation:
    """The inside of TSA for T rows of a video, from row `first` on.

    probabilities: of every class as pre-judged, background first, (T, 1 + C).
    intervals: as pre-judged, in steps from `first`, (T, 2).
    actionness: by the heads after TSA, (T,) in [0, 1].
    a, b, m, g: see `tsa.Relations`, (T, T).
    added: the norm of what TSA adds to a row over the norm of the row, (T,).
    """

    first: int
    probabilities: np.ndarray
    intervals: np.ndarray
    actionness: np.ndarray
    a: np.ndarray
    b: np.ndarray
    m: np.ndarray
    g: np.ndarray
    added: np.ndarray

    @property
    def pre_judged(self) -> np.ndarray:
        """The probability that a row is of any action, as pre-judged, (T,)."""
        action: np.ndarray = 1 - self.probabilities[:, 0]
        return action


@torch.inference_mode()
def explain_rows(detector: Detector, rows: np.ndarray, *, first: int = 0) -> Explanation:
    """The inside of TSA for the rows that the head sees at once, at most 1,000.

    Args:
        detector: whose head has TSA.
        rows: of one video, (T, D) float32; those before `first` are left out.
        first: below T.
    """
    head, config = detector.head, detector.config
    assert isinstance(head, TSATAL) and head.tsa is not None
    window = config.decode.window_steps or config.data.window_steps
    last = first + min(window, MOST_ROWS)
    rows = rows[first:last]
    features, valid = pad_rows([rows], len(rows))
    given: dict[str, Any] = {}

    def keep(module: object, arguments: tuple[Tensor, ...], keywords: dict[str, Tensor]) -> None:
        given.update(keywords, y=arguments[0], valid=arguments[1])

    hook = head.tsa.register_forward_pre_hook(keep, with_kwargs=True)
    try:
        output = head(features.to(detector.device), valid.to(detector.device))
    finally:
        hook.remove()
    told = head.tsa.relations(**given)
    norm = given["y"].norm(dim=1).clamp(min=1e-9)  # (1, T)
    arrays = {
        "probabilities": given["probabilities"],
        "intervals": given["intervals"],
        "actionness": output.actionness,
        **{name: getattr(told, name) for name in ("a", "b", "m", "g")},
        "added": told.added.norm(dim=2) / norm,
    }
    return Explanation(first, **{name: x[0].float().cpu().numpy() for name, x in arrays.items()})
