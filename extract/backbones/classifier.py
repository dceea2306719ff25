"""Rows to class scores: the last layer of a network that was trained to tell classes."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn


def linear(weight: Tensor | None, bias: Tensor | None) -> nn.Linear | None:
    """Return the layer with this weight, (classes, width, ...), and bias; None without them."""
    if weight is None or bias is None or weight.dim() < 2:
        return None
    layer = nn.Linear(weight.shape[1], len(weight))
    layer.load_state_dict({"weight": weight.flatten(1), "bias": bias})
    return layer


@torch.inference_mode()
def linear_logits(layer: nn.Linear | None, rows: np.ndarray) -> np.ndarray | None:
    """Return the logits, (t, classes) float32, of rows (t, width) float32; None without a layer."""
    return None if layer is None else layer(torch.from_numpy(rows)).numpy()


def class_scores(logits: np.ndarray) -> np.ndarray:
    """Return the softmax of logits (t, classes) as float16."""
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (e / e.sum(axis=1, keepdims=True)).astype(np.float16)
