"""Eq. 5 and 6 by hand, what sums are divided by, and what a batch without actions gives."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from tsatal.config import LossConfig
from tsatal.head import losses
from tsatal.head.points import Points, level_points
from tsatal.head.prediction import HeadOutput, Prediction
from tsatal.head.targets import Truth, assign_points


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


def prediction(
    points: Points, valid: Tensor, *, actionness: bool = True, exclusive: bool = True
) -> Prediction:
    """Return random beliefs in two exclusive classes, or in three independent ones."""
    shape = valid.shape
    return Prediction(
        points,
        valid,
        torch.randn(*shape, 3, requires_grad=True),
        exclusive,
        torch.rand(*shape, 2, requires_grad=True),
        torch.randn(shape, requires_grad=True) if actionness else None,
    )


def example(steps: int = 6, *, levels: int = 1, exclusive: bool = True) -> HeadOutput:
    """Return the output for one sequence, whose final stage has several levels."""
    torch.manual_seed(0)
    fine, all_levels = level_points(steps), level_points(steps, levels=levels, first_reach=1.0)
    everywhere = torch.ones(1, steps, dtype=torch.bool)
    return HeadOutput(
        prediction(fine, everywhere, actionness=False, exclusive=exclusive),
        prediction(fine, everywhere, exclusive=exclusive),
        prediction(all_levels, torch.ones(1, len(all_levels)).bool(), exclusive=exclusive),
    )


def cut(p: Prediction, steps: int) -> Prediction:
    """Return a prediction at one level, without what lies after so many steps."""
    return Prediction(
        level_points(steps),
        p.valid[:, :steps],
        p.class_logits[:, :steps],
        p.exclusive,
        p.distances[:, :steps],
        None if p.actionness_logits is None else p.actionness_logits[:, :steps],
    )


ONE_ACTION = Truth(torch.tensor([[[0.5, 3.5]]]), torch.tensor([[1]]))  # covers steps 1, 2, 3
NO_ACTION = Truth(torch.zeros(1, 0, 2), torch.zeros(1, 0, dtype=torch.long))


def action_of(covered: int) -> Truth:
    """Return one action that covers so many steps, the first of the sequence."""
    return Truth(torch.tensor([[[-0.4, covered - 0.6]]]), torch.tensor([[0]]))


def head_loss(**settings: Any) -> losses.HeadLoss:
    return losses.HeadLoss(LossConfig(**settings))


def sums_of(p: Prediction, truth: Truth) -> dict[str, Tensor]:
    classes = p.class_logits.shape[-1] - p.exclusive
    targets = assign_points(
        truth, p.points, num_steps=int(p.points.position[-1]) + 1, num_classes=classes
    )
    return losses.stage_losses(p, targets, gamma=2.0, alpha=0.5)


def test_losses_of_a_stage_are_sums_over_the_sequences() -> None:
    together = prediction(level_points(6), torch.ones(2, 6, dtype=torch.bool))
    one, other = (
        Prediction(
            together.points,
            together.valid[n : n + 1],
            together.class_logits[n : n + 1],
            together.exclusive,
            together.distances[n : n + 1],
            together.actionness_logits[n : n + 1],  # type: ignore[index]
        )
        for n in range(2)
    )
    segments = torch.cat([ONE_ACTION.segments, action_of(2).segments])
    sums = sums_of(together, Truth(segments, torch.tensor([[1], [0]])))
    a, b = sums_of(one, ONE_ACTION), sums_of(other, action_of(2))
    assert set(sums) == {"classes", "boundary", "actionness"}
    for term, value in sums.items():
        torch.testing.assert_close(value, a[term] + b[term])


def test_perfect_boundaries_cost_nothing_and_background_has_none() -> None:
    p = prediction(level_points(6), torch.ones(1, 6, dtype=torch.bool))
    position = p.points.position
    perfect = torch.stack([position - 0.5, 3.5 - position], -1)[None]
    right = Prediction(p.points, p.valid, p.class_logits, p.exclusive, perfect)
    assert sums_of(right, ONE_ACTION)["boundary"].item() == pytest.approx(0, abs=1e-6)
    assert "actionness" not in sums_of(right, ONE_ACTION)


def test_every_stage_and_term_is_in_the_total() -> None:
    total, parts = head_loss()(example(), ONE_ACTION, num_steps=6)
    assert set(parts) == {
        "pre_classes", "pre_boundary",
        "refined_classes", "refined_boundary", "refined_actionness",
        "final_classes", "final_boundary", "final_actionness",
    }  # fmt: skip
    assert total.item() == pytest.approx(sum(p.item() for p in parts.values()), rel=1e-5)


def test_a_term_counts_with_the_weights_of_its_stage_and_its_kind() -> None:
    weights: dict[str, Any] = {"pre": 0.5, "refined": 2.0, "final": 3.0}
    weights |= {"classes": 5.0, "boundary": 7.0, "actionness": 11.0}
    total, parts = head_loss(**weights)(example(), ONE_ACTION, num_steps=6)
    expected = 0.0
    for name, value in parts.items():
        stage, term = name.split("_")
        expected += weights[stage] * weights[term] * value.item()
    assert total.item() == pytest.approx(expected, rel=1e-5)


def test_stages_that_are_switched_off_have_no_terms() -> None:
    output = HeadOutput(None, None, example().final)
    _, parts = head_loss()(output, ONE_ACTION, num_steps=6)
    assert set(parts) == {"final_classes", "final_boundary", "final_actionness"}


def test_sums_are_divided_by_points_of_actions_and_actionness_by_all_points() -> None:
    output = example()
    _, parts = head_loss()(output, ONE_ACTION, num_steps=6)
    sums = sums_of(output.final, ONE_ACTION)
    torch.testing.assert_close(parts["final_classes"], sums["classes"].detach() / 3)
    torch.testing.assert_close(parts["final_boundary"], sums["boundary"].detach() / 3)
    torch.testing.assert_close(parts["final_actionness"], sums["actionness"].detach() / 6)


def test_every_stage_is_divided_by_the_number_of_its_own_points() -> None:
    # [0.5, 3.5] reaches 1.5 to each side of its centre, step 2: with a first reach of 1 it is only
    # the second level's, of whose points 0, 2, 4 it covers one
    criterion = head_loss()
    criterion(example(levels=2), ONE_ACTION, num_steps=6)
    assert criterion.positives.tolist() == [3, 3, 1]


def test_only_the_final_stage_is_sampled_at_the_centre() -> None:
    criterion = head_loss(centre_radius=1.0)
    criterion(example(), action_of(5), num_steps=6)
    assert criterion.positives.tolist() == [5, 5, 3]  # the centre is step 2


def test_levels_overlap_in_the_final_stage() -> None:
    # the first level reaches 1 step, and 1.5 with the overlap: both ends, from step 2
    criterion = head_loss(reach_overlap=1.5)
    criterion(example(levels=2), ONE_ACTION, num_steps=6)
    assert criterion.positives.tolist() == [3, 3, 2]


def test_padding_adds_nothing_to_the_loss() -> None:
    output = example()
    valid = torch.tensor([[True, True, True, True, False, False]])
    padded = HeadOutput(*(replace(p, valid=valid) for p in output.stages().values()))
    alone = HeadOutput(*(cut(p, 4) for p in output.stages().values()))
    a, a_parts = head_loss()(padded, ONE_ACTION, num_steps=6)
    b, b_parts = head_loss()(alone, ONE_ACTION, num_steps=4)
    assert a.item() == pytest.approx(b.item())
    assert a_parts.keys() == b_parts.keys()
    for name, value in a_parts.items():
        torch.testing.assert_close(value, b_parts[name])


@pytest.mark.parametrize("exclusive", [True, False])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_a_batch_without_actions_gives_a_finite_loss_and_gradient(
    exclusive: bool, momentum: float
) -> None:
    output = example(exclusive=exclusive)
    criterion = head_loss(positives_momentum=momentum)
    total, parts = criterion(output, NO_ACTION, num_steps=6)
    total.backward()
    assert total.isfinite() and parts["final_boundary"] == 0
    assert output.final.class_logits.grad is not None
    assert output.final.class_logits.grad.isfinite().all()


def test_without_momentum_every_batch_is_divided_by_its_own_number() -> None:
    criterion, output = head_loss(), example()
    for covered in (5, 1, 3):
        truth = action_of(covered)
        _, parts = criterion(output, truth, num_steps=6)
        expected = sums_of(output.final, truth)["classes"].detach() / covered
        torch.testing.assert_close(parts["final_classes"], expected)


def test_running_mean_of_positives_by_hand() -> None:
    criterion, output = head_loss(positives_momentum=0.9), example()
    mean = 5.0  # the first batch is its own mean
    for covered in (5, 1, 3):
        mean = 0.9 * mean + 0.1 * covered
        truth = action_of(covered)
        _, parts = criterion(output, truth, num_steps=6)
        assert criterion.positives.tolist() == pytest.approx([mean] * 3)
        sums = sums_of(output.final, truth)
        torch.testing.assert_close(parts["final_classes"], sums["classes"].detach() / mean)
        torch.testing.assert_close(parts["final_actionness"], sums["actionness"].detach() / 6)


def test_running_mean_is_part_of_the_state() -> None:
    criterion, restored = head_loss(positives_momentum=0.9), head_loss(positives_momentum=0.9)
    criterion(example(), action_of(5), num_steps=6)
    restored.load_state_dict(criterion.state_dict())
    a, b = (c(example(), action_of(2), num_steps=6)[0] for c in (criterion, restored))
    assert torch.equal(a, b)
    assert not torch.equal(
        a, head_loss(positives_momentum=0.9)(example(), action_of(2), num_steps=6)[0]
    )


def test_what_nobody_has_labelled_counts_neither_way() -> None:
    """The loss on a sequence whose second half is ignored is the loss on its first half."""
    torch.manual_seed(0)
    first, second = torch.randn(1, 8, 3), torch.randn(1, 8, 3)
    actionness, distances = torch.randn(1, 16), torch.rand(1, 16, 2) + 0.5

    def loss(steps: int, ignored: Tensor) -> dict[str, Tensor]:
        prediction = Prediction(
            points=level_points(steps),
            valid=torch.ones(1, steps, dtype=torch.bool),
            class_logits=torch.cat([first, second], 1)[:, :steps],
            exclusive=True,
            distances=distances[:, :steps],
            actionness_logits=actionness[:, :steps],
        )
        truth = Truth(torch.tensor([[[1.5, 4.5]]]), torch.tensor([[1]]), ignored)
        output = HeadOutput(prediction, prediction, prediction)
        return losses.HeadLoss(LossConfig())(output, truth, num_steps=steps)[1]

    half = loss(8, torch.zeros(1, 0, 2))
    ignoring = loss(16, torch.tensor([[[7.5, 1e9], [torch.inf, torch.inf]]]))
    for name, value in half.items():
        torch.testing.assert_close(ignoring[name], value)
    assert loss(16, torch.zeros(1, 0, 2))["final_classes"] != half["final_classes"]


def test_an_action_counts_where_others_are_not_labelled() -> None:
    points = level_points(8)
    truth = Truth(torch.zeros(1, 0, 2), torch.zeros(1, 0).long(), torch.tensor([[[2.0, 4.5]]]))
    assert truth.counts(points.position).tolist() == [[True] * 2 + [False] * 3 + [True] * 3]
