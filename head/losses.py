"""Focal loss (Eq. 5), DIoU loss (Eq. 6) and actionness loss, before and after refinement."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from ..segments import diou
from .model import HeadOutput, Prediction, intervals_at_steps
from .targets import Targets


def focal_loss_softmax(logits: Tensor, classes: Tensor, *, gamma: float, alpha: float) -> Tensor:
    """Return the focal loss of exclusive classes per step (Eq. 5).

    FL = -w (1 - p)^gamma log p, with p the probability of the true class, and w = alpha for
    actions, 1 - alpha for background (Lin et al. 2017, whose formula the paper cites by name).

    Args:
        logits: (..., 1 + C), background first.
        classes: multi-hot (..., C); where two classes are true, the first counts.
    Returns:
        (...), >= 0.
    """
    action = classes.any(-1)
    target = torch.where(action, classes.argmax(-1) + 1, 0)
    log_p = logits.log_softmax(-1).gather(-1, target[..., None]).squeeze(-1)
    weight = torch.where(action, alpha, 1 - alpha)
    return -weight * (1 - log_p.exp()) ** gamma * log_p


def focal_loss_sigmoid(logits: Tensor, classes: Tensor, *, gamma: float, alpha: float) -> Tensor:
    """Return the focal loss of independent classes per step, summed over classes.

    Args:
        logits: (..., C).
        classes: multi-hot (..., C).
    Returns:
        (...), >= 0.
    """
    cross_entropy = F.binary_cross_entropy_with_logits(logits, classes, reduction="none")
    p_true = (-cross_entropy).exp()
    weight = alpha * classes + (1 - alpha) * (1 - classes)
    return (weight * (1 - p_true) ** gamma * cross_entropy).sum(-1)


def diou_loss(predicted: Tensor, truth: Tensor) -> Tensor:
    """Return 1 - DIoU of intervals (..., 2), in [0, 2) (Eq. 6).

    The paper writes Loss_loc in the text and Loss_act in the equation for this one term.
    """
    return 1 - diou(predicted, truth)


def stage_losses(
    prediction: Prediction,
    targets: Targets,
    valid: Tensor,
    *,
    softmax: bool,
    gamma: float,
    alpha: float,
) -> dict[str, Tensor]:
    """Return the losses of one stage: "classes", "boundary" and, if it has any, "actionness".

    Class and boundary losses are sums over steps divided by the number of action steps in the
    batch; actionness is the mean over valid steps. A batch without actions gives zero, not NaN.
    """
    focal = focal_loss_softmax if softmax else focal_loss_sigmoid
    inside = targets.inside & valid
    positives = inside.sum().clamp(min=1)
    per_step = focal(prediction.class_logits, targets.classes, gamma=gamma, alpha=alpha)
    intervals = intervals_at_steps(prediction.distances)
    losses = {
        "classes": (per_step * valid).sum() / positives,
        "boundary": diou_loss(intervals[inside], targets.intervals[inside]).sum() / positives,
    }
    if prediction.actionness_logits is not None:
        losses["actionness"] = F.binary_cross_entropy_with_logits(
            prediction.actionness_logits[valid], inside[valid].float()
        )
    return losses


def total_loss(
    output: HeadOutput,
    targets: Targets,
    valid: Tensor,
    *,
    weights: Mapping[str, float],
    softmax: bool,
    gamma: float,
    alpha: float,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the weighted sum over stages and terms, and every term by "stage_term".

    Args:
        weights: by stage ("pre", "refined", "final") and by term ("classes", "boundary",
            "actionness"); a term counts with the product of the two.
    """
    parts: dict[str, Tensor] = {}
    total = torch.zeros((), device=valid.device)
    for stage, prediction in output.stages().items():
        terms = stage_losses(prediction, targets, valid, softmax=softmax, gamma=gamma, alpha=alpha)
        for term, value in terms.items():
            parts[f"{stage}_{term}"] = value.detach()
            total = total + weights[stage] * weights[term] * value
    return total, parts
