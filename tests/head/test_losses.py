"""Eq. 5 and 6 by hand, and what a batch without actions gives."""

import math

import pytest
import torch

from tsatal.head import losses
from tsatal.head.model import HeadOutput, Prediction
from tsatal.head.targets import Targets

WEIGHTS = {
    "pre": 1.0,
    "refined": 1.0,
    "final": 1.0,
    "classes": 1.0,
    "boundary": 1.0,
    "actionness": 1.0,
}


def test_softmax_focal_loss_by_hand() -> None:
    # two logits 0 and log 3: p = 1/4 (background), 3/4 (action)
    logits = torch.tensor([[0.0, math.log(3)], [0.0, math.log(3)]])
    classes = torch.tensor([[1.0], [0.0]])  # an action, then background
    out = losses.focal_loss_softmax(logits, classes, gamma=2, alpha=0.6)
    assert out[0].item() == pytest.approx(0.6 * (1 / 4) ** 2 * math.log(4 / 3))
    assert out[1].item() == pytest.approx(0.4 * (3 / 4) ** 2 * math.log(4))


def test_sigmoid_focal_loss_by_hand() -> None:
    # logits 0: p = 1/2 for both classes, one true and one not
    out = losses.focal_loss_sigmoid(
        torch.zeros(1, 2), torch.tensor([[1.0, 0.0]]), gamma=2, alpha=0.25
    )
    assert out.item() == pytest.approx((0.25 + 0.75) * 0.25 * math.log(2))


@pytest.mark.parametrize("shape", [(5, 4), (2, 7, 4)])
def test_gamma_zero_is_weighted_cross_entropy(shape: tuple[int, ...]) -> None:
    logits = torch.randn(shape)
    target = torch.randint(0, 4, shape[:-1])
    classes = torch.nn.functional.one_hot(target, 4)[..., 1:].float()
    out = losses.focal_loss_softmax(logits, classes, gamma=0, alpha=0.5)
    plain = torch.nn.functional.cross_entropy(
        logits.reshape(-1, 4), target.reshape(-1), reduction="none"
    )
    torch.testing.assert_close(out.reshape(-1), 0.5 * plain)


def test_diou_loss_by_hand() -> None:
    # [0, 4] against [2, 6]: tIoU 2/6, centres 2 apart, hull 6
    a, b = torch.tensor([0.0, 4.0]), torch.tensor([2.0, 6.0])
    assert losses.diou_loss(a, b).item() == pytest.approx(1 - 2 / 6 + (2 / 6) ** 2)
    assert losses.diou_loss(a, a).item() == 0
    # disjoint intervals still pull: [0, 1] against [3, 4]: 1 - 0 + (3/4)^2
    far = losses.diou_loss(torch.tensor([0.0, 1.0]), torch.tensor([3.0, 4.0]))
    assert far.item() == pytest.approx(1 + (3 / 4) ** 2)


def example(steps: int = 6, actions: bool = True) -> tuple[HeadOutput, Targets]:
    torch.manual_seed(0)

    def prediction(actionness: bool) -> Prediction:
        return Prediction(
            torch.randn(1, steps, 3, requires_grad=True),
            torch.rand(1, steps, 2, requires_grad=True),
            torch.randn(1, steps, requires_grad=True) if actionness else None,
        )

    classes = torch.zeros(1, steps, 2)
    intervals = torch.zeros(1, steps, 2)
    if actions:
        classes[0, 1:4, 1] = 1
        intervals[0, 1:4] = torch.tensor([0.5, 3.5])
    output = HeadOutput(prediction(False), prediction(True), prediction(True))
    return output, Targets(classes, intervals)


def test_every_stage_and_term_is_in_the_total() -> None:
    output, targets = example()
    total, parts = losses.total_loss(
        output,
        targets,
        torch.ones(1, 6, dtype=torch.bool),
        weights=WEIGHTS,
        softmax=True,
        gamma=2,
        alpha=0.5,
    )
    assert set(parts) == {
        "pre_classes", "pre_boundary",
        "refined_classes", "refined_boundary", "refined_actionness",
        "final_classes", "final_boundary", "final_actionness",
    }  # fmt: skip
    assert total.item() == pytest.approx(sum(p.item() for p in parts.values()), rel=1e-5)


def test_padding_adds_nothing_to_the_loss() -> None:
    output, targets = example()
    options = {"weights": WEIGHTS, "softmax": True, "gamma": 2.0, "alpha": 0.5}
    valid = torch.tensor([[True, True, True, True, False, False]])
    cut = HeadOutput(
        *(
            Prediction(
                p.class_logits[:, :4],
                p.distances[:, :4],
                None if p.actionness_logits is None else p.actionness_logits[:, :4],
            )
            for p in output.stages().values()
        )
    )
    short = Targets(targets.classes[:, :4], targets.intervals[:, :4])
    a, _ = losses.total_loss(output, targets, valid, **options)  # type: ignore[arg-type]
    b, _ = losses.total_loss(cut, short, valid[:, :4], **options)  # type: ignore[arg-type]
    assert a.item() == pytest.approx(b.item())


@pytest.mark.parametrize("softmax", [True, False])
def test_a_batch_without_actions_gives_a_finite_loss_and_gradient(softmax: bool) -> None:
    output, targets = example(actions=False)
    if not softmax:
        targets = Targets(torch.zeros(1, 6, 3), targets.intervals)
    total, parts = losses.total_loss(
        output,
        targets,
        torch.ones(1, 6, dtype=torch.bool),
        weights=WEIGHTS,
        softmax=softmax,
        gamma=2,
        alpha=0.5,
    )
    total.backward()
    assert total.isfinite() and parts["final_boundary"] == 0
    assert output.final.class_logits.grad is not None
    assert output.final.class_logits.grad.isfinite().all()
