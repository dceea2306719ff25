"""The losses of all stages of the head: focal (Eq. 5), DIoU (Eq. 6), and actionness."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..config import LossConfig
from ..segments import diou
from .parallel import all_reduce, world_size
from .prediction import HeadOutput, Prediction
from .targets import Targets, Truth, assign_points


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
    """Return the focal loss of independent classes, summed over classes. (Not in the paper.)

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

    The paper calls this one term Loss_loc in the text and Loss_act in the equation.
    """
    return 1 - diou(predicted, truth)


def stage_losses(
    prediction: Prediction, targets: Targets, *, gamma: float, alpha: float
) -> dict[str, Tensor]:
    """Return the sums of one stage's losses: "classes", "boundary" and, if any, "actionness".

    Class and actionness losses are summed over all valid points, boundary losses over those that
    belong to an action. (The paper has no loss for the actionness; here it is cross entropy.)
    """
    focal = focal_loss_softmax if prediction.exclusive else focal_loss_sigmoid
    valid = prediction.valid
    inside = targets.inside & valid
    per_point = focal(prediction.class_logits, targets.classes, gamma=gamma, alpha=alpha)  # Eq. 5
    boundary = diou_loss(prediction.intervals[inside], targets.intervals[inside])  # Eq. 6
    losses = {"classes": per_point[valid].sum(), "boundary": boundary.sum()}
    if prediction.actionness_logits is not None:
        losses["actionness"] = F.binary_cross_entropy_with_logits(
            prediction.actionness_logits[valid], inside[valid].float(), reduction="sum"
        )
    return losses


class HeadLoss(nn.Module):
    """The weighted sum of all losses of all stages.

    Class and boundary losses are divided by the number of points that belong to an action,
    actionness by the number of valid points. In a distributed training these are means over the
    processes, so that the averaged gradient is that of one process with all their batches.

    Args:
        loss: see each setting's sentence in `config.LossConfig`. `centre_radius` and
            `reach_overlap` hold for the final stage alone. With `positives_momentum`, losses are
            divided by a running mean of the number of points, so that a batch with few actions
            weighs less than one with many (ActionFormer; not in the paper).
    """

    def __init__(self, loss: LossConfig) -> None:
        super().__init__()
        self.loss = loss
        self.positives: Tensor  # running mean by stage; 0 before the first batch
        self.register_buffer("positives", torch.zeros(3))

    def forward(
        self, output: HeadOutput, truth: Truth, *, num_steps: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss, and every term by "stage_term"; zero, not NaN, without actions."""
        loss = self.loss
        parts: dict[str, Tensor] = {}
        total = output.final.distances.new_zeros(())
        for number, (stage, prediction) in enumerate(output.stages().items()):
            targets = assign_points(
                truth,
                prediction.points,
                num_steps=num_steps,
                num_classes=prediction.class_logits.shape[-1] - prediction.exclusive,
                centre_radius=loss.centre_radius if stage == "final" else None,
                reach_overlap=loss.reach_overlap if stage == "final" else 1.0,
            )
            # An action counts wherever it is; else, what nobody has labelled does not.
            counted = truth.counts(prediction.points.position) | targets.inside
            prediction = replace(prediction, valid=prediction.valid & counted)
            sums = stage_losses(prediction, targets, gamma=loss.focal_gamma, alpha=loss.focal_alpha)
            positives = all_reduce((targets.inside & prediction.valid).sum().float())
            old = self.positives[number]  # the first batch has none before it
            keep = torch.where(old > 0, loss.positives_momentum, 0.0)
            positives = keep * old + (1 - keep) * positives
            self.positives[number] = positives
            points = all_reduce(prediction.valid.sum())
            for term, value in sums.items():
                count = points if term == "actionness" else positives
                mean = value * world_size() / count.clamp(min=1)
                parts[f"{stage}_{term}"] = mean.detach()
                total = total + getattr(loss, stage) * getattr(loss, term) * mean
        return total, parts
