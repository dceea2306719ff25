"""Which point answers for which action."""

import pytest
import torch
from torch import Tensor

from tsatal.head.points import Points, level_points
from tsatal.head.targets import Targets, Truth, assign_points

Action = tuple[float, float, int]


def truth_of(*actions: Action) -> Truth:
    """Return a batch of one sequence."""
    segments = torch.tensor([a[:2] for a in actions]).reshape(1, -1, 2)
    return Truth(segments, torch.tensor([[a[2] for a in actions]], dtype=torch.long))


def assign(
    *actions: Action,
    steps: int = 10,
    levels: int = 1,
    centre_radius: float | None = None,
    reach_overlap: float = 1.0,
) -> Targets:
    """Return the targets of one sequence, without the batch dimension."""
    t = assign_points(
        truth_of(*actions),
        level_points(steps, levels=levels),
        num_steps=steps,
        num_classes=3,
        centre_radius=centre_radius,
        reach_overlap=reach_overlap,
    )
    return Targets(t.classes[0], t.intervals[0])


def many(count: int, steps: int, *, seed: int = 0) -> Truth:
    """Return sequences of one action each, short to long, whose centres lie in the sequence."""
    g = torch.Generator().manual_seed(seed)
    centre = torch.rand(count, generator=g) * (steps - 0.02) - 0.49
    half = 10 ** (torch.rand(count, generator=g) * 5 - 2)  # 0.01 to 1000
    segments = torch.stack([centre - half, centre + half], -1)[:, None]
    return Truth(segments, torch.zeros(count, 1, dtype=torch.long))


def fits(distance: Tensor, points: Points) -> Tensor:
    return (points.regression_range[:, 0] < distance) & (distance <= points.regression_range[:, 1])


def test_steps_inside_an_action_know_its_class_and_extent() -> None:
    t = assign((2.0, 4.5, 1))
    assert t.inside.nonzero().flatten().tolist() == [2, 3, 4]
    assert t.classes[3].tolist() == [0, 1, 0]
    assert t.intervals[3].tolist() == [2, 4.5]
    assert t.intervals[~t.inside].abs().max() == 0


def test_the_shortest_action_wins_where_two_overlap() -> None:
    t = assign((0.0, 9.0, 0), (3.0, 5.0, 2))
    assert t.classes.argmax(-1).tolist() == [0, 0, 0, 2, 2, 2, 0, 0, 0, 0]
    assert t.intervals[4].tolist() == [3, 5] and t.intervals[6].tolist() == [0, 9]


@pytest.mark.parametrize("levels", [1, 3])
def test_two_labels_of_the_same_extent_both_count(levels: int) -> None:
    t = assign((2.0, 4.0, 0), (2.0, 4.0, 2), (2.0, 4.5, 1), levels=levels)
    assert t.classes[3].tolist() == [1, 0, 1]
    assert t.intervals[3].tolist() == [2, 4]


def test_two_labels_of_the_same_extent_both_count_where_neither_covers_a_point() -> None:
    assert assign((4.1, 4.4, 1), (4.1, 4.4, 2)).classes[4].tolist() == [0, 1, 1]


def test_the_same_action_twice_counts_once() -> None:
    assert assign((2.0, 4.0, 1), (2.0, 4.0, 1)).classes[3].tolist() == [0, 1, 0]


def test_an_action_between_two_steps_goes_to_the_nearest() -> None:
    t = assign((4.1, 4.4, 1), (6.7, 6.8, 0))
    assert t.inside.nonzero().flatten().tolist() == [4, 7]
    assert t.intervals[4].tolist() == torch.tensor([4.1, 4.4]).tolist()


def test_an_action_that_goes_on_outside_the_sequence_keeps_its_true_extent() -> None:
    t = assign((-5.0, 1.0, 1), (8.0, 30.0, 2))
    assert t.inside.nonzero().flatten().tolist() == [0, 1, 8, 9]
    assert t.intervals[0].tolist() == [-5, 1] and t.intervals[9].tolist() == [8, 30]


def test_an_action_outside_the_sequence_is_not_forced_into_it() -> None:
    assert not assign((9.7, 9.9, 0), (-0.9, -0.6, 1), (50.0, 70.0, 2)).inside.any()


def plain(actions: list[Action], steps: int) -> Targets:
    """Return the rule for one level, step by step: a loop over all there is."""
    classes, intervals = torch.zeros(steps, 3), torch.zeros(steps, 2)
    for t in range(steps):
        mine = [a for a in actions if a[0] <= t <= a[1] or nearest_of_none(a, steps) == t]
        if mine:
            start, end, _ = min(mine, key=lambda a: a[1] - a[0])
            intervals[t] = torch.tensor([start, end])
            for other in mine:
                if other[:2] == (start, end):
                    classes[t, other[2]] = 1
    return Targets(classes, intervals)


def nearest_of_none(action: Action, steps: int) -> int | None:
    """Return the step nearest to an action that covers none."""
    start, end, _ = action
    centre = (start + end) / 2
    if any(start <= t <= end for t in range(steps)) or not -0.5 < centre < steps - 0.5:
        return None
    return min(range(steps), key=lambda t: abs(t - centre))


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("steps", [1, 2, 30])
def test_one_level_is_the_plain_rule(seed: int, steps: int) -> None:
    g = torch.Generator().manual_seed(seed)
    start = torch.rand(8, generator=g) * (steps + 6) - 3
    end = start + 10 ** (torch.rand(8, generator=g) * 2.5 - 1)  # 0.1 to 30 long
    label = torch.randint(0, 3, (8,), generator=g)
    actions = list(zip(start.tolist(), end.tolist(), label.tolist(), strict=True))
    actions += [(*actions[0][:2], 0), (*actions[0][:2], 2)]  # as every CliffDiving is a Diving
    expected, got = plain(actions, steps), assign(*actions, steps=steps)
    assert torch.equal(got.classes, expected.classes)
    assert torch.equal(got.intervals, expected.intervals)


def test_levels_by_hand() -> None:
    # [20, 32]: from 24, 26, 28 the farther end is 6 to 8 away, which is level 1's; from the other
    # points inside it is farther, which is level 2's, where only 20 and 32 are not nearer than 8.
    points = level_points(64, levels=3, first_reach=4.0)
    t = assign((20.0, 32.0, 0), steps=64, levels=3)
    got = list(zip(points.stride[t.inside], points.position[t.inside], strict=True))
    assert got == [(2, 24), (2, 26), (2, 28), (4, 20), (4, 32)]


def test_levels_that_overlap_by_hand() -> None:
    # The same [20, 32]: level 0 now answers for 6 steps, which is how far both ends are from 26;
    # level 1 for 12, and has every point; level 2 still begins after 8.
    points = level_points(64, levels=3, first_reach=4.0)
    t = assign((20.0, 32.0, 0), steps=64, levels=3, reach_overlap=1.5)
    got = list(zip(points.stride[t.inside], points.position[t.inside], strict=True))
    level_1 = [(2, p) for p in range(20, 33, 2)]
    assert got == [(1, 26), *level_1, (4, 20), (4, 32)]


def test_centre_sampling_by_hand() -> None:
    # [0, 20], centre 10: within 1.5 strides, of 1 in one level; of 2 in level 1, which reaches far
    t = assign((0.0, 20.0, 1), steps=30, centre_radius=1.5)
    assert t.inside.nonzero().flatten().tolist() == [9, 10, 11]
    t = assign((0.0, 20.0, 1), steps=30, levels=2, centre_radius=1.5)
    points = level_points(30, levels=2)
    assert points.position[t.inside].tolist() == [8, 10, 12]
    assert points.stride[t.inside].unique().tolist() == [2]


def test_a_radius_longer_than_the_action_claims_nothing_outside_it() -> None:
    assert assign((3.0, 5.0, 1), centre_radius=100).inside.nonzero().flatten().tolist() == [3, 4, 5]


@pytest.mark.parametrize("centre_radius", [None, 0.2, 1.5])
@pytest.mark.parametrize("levels", [1, 3, 8])
@pytest.mark.parametrize("steps", [1, 5, 64, 500])
def test_every_action_gets_a_point_and_only_where_its_length_belongs(
    steps: int, levels: int, centre_radius: float | None
) -> None:
    truth, points = many(400, steps), level_points(steps, levels=levels)
    t = assign_points(
        truth, points, num_steps=steps, num_classes=1, centre_radius=centre_radius
    )  # fmt: skip
    assert t.inside.any(1).all()
    start, end = truth.segments.unbind(-1)  # (B, 1)
    p = points.position
    farther, centre = torch.maximum(p - start, end - p), (start + end) / 2
    claimed = (start <= p) & (p <= end) & fits(farther, points)
    if centre_radius is not None:
        claimed &= (p - centre).abs() <= centre_radius * points.stride
    lost = ~claimed.any(1)
    assert torch.equal(t.inside[~lost], claimed[~lost])
    # what claims no point is given one, of the level that its half length belongs to
    assert (t.inside[lost].sum(1) == 1).all()
    assert fits((end - start) / 2, points)[t.inside & lost[:, None]].all()
    if centre_radius == 0.2 and steps > 1:
        assert lost.any() and not lost.all()


def test_a_lost_action_goes_to_the_nearest_point_of_its_level() -> None:
    # [5.5, 17.5] is 6 to each side: level 1, whose points stand at ..., 10, 12, ...
    t = assign((5.5, 17.5, 1), steps=40, levels=3, centre_radius=0.1)
    points = level_points(40, levels=3)
    assert points.position[t.inside].tolist() == [12]  # 11.5 is nearer to 12 than to 10
    assert points.stride[t.inside].tolist() == [2]


@pytest.mark.parametrize("levels", [1, 4])
def test_order_of_actions_does_not_matter(levels: int) -> None:
    actions = [(0.0, 9.0, 0), (3.0, 5.0, 2), (3.0, 5.0, 1), (6.2, 6.4, 0), (-3.0, 25.0, 1)]
    a = assign(*actions, steps=20, levels=levels, centre_radius=2.0)
    b = assign(*actions[::-1], steps=20, levels=levels, centre_radius=2.0)
    assert torch.equal(a.classes, b.classes) and torch.equal(a.intervals, b.intervals)


@pytest.mark.parametrize("levels", [1, 3])
def test_a_batch_with_padding_equals_each_sequence_alone(levels: int) -> None:
    sequences: list[list[Action]] = [
        [(0.0, 9.0, 0), (3.0, 5.0, 2), (3.0, 5.0, 1)],
        [],
        [(2.2, 2.4, 1)],
    ]
    segments = torch.tensor([[[0.0, 19.0]] * 3] * 3)  # padding that would cover everything
    labels = torch.full((3, 3), -1)
    for n, actions in enumerate(sequences):
        for m, (start, end, label) in enumerate(actions):
            segments[n, m], labels[n, m] = torch.tensor([start, end]), label
    points = level_points(20, levels=levels)
    together = assign_points(Truth(segments, labels), points, num_steps=20, num_classes=3)
    for n, actions in enumerate(sequences):
        alone = assign(*actions, steps=20, levels=levels)
        assert torch.equal(together.classes[n], alone.classes)
        assert torch.equal(together.intervals[n], alone.intervals)


@pytest.mark.parametrize("levels", [1, 2, 5])
@pytest.mark.parametrize("steps", [1, 7, 30])
@pytest.mark.parametrize("centre_radius", [None, 1.5])
def test_points_in_padding_take_nothing_from_those_in_the_sequence(
    steps: int, levels: int, centre_radius: float | None
) -> None:
    truth = many(300, steps)
    alone, padded = (level_points(t, levels=levels) for t in (steps, 48))
    a = assign_points(
        truth, alone, num_steps=steps, num_classes=1, centre_radius=centre_radius
    )  # fmt: skip
    b = assign_points(truth, padded, num_steps=48, num_classes=1, centre_radius=centre_radius)
    real = padded.position < steps
    assert torch.equal(a.classes, b.classes[:, real])
    assert torch.equal(a.intervals, b.intervals[:, real])


@pytest.mark.parametrize("levels", [1, 3])
def test_no_actions_and_no_steps(levels: int) -> None:
    assert not assign(levels=levels).inside.any()
    nothing = assign((0.0, 1.0, 0), steps=0, levels=levels)
    assert nothing.classes.shape == (0, 3) and nothing.intervals.shape == (0, 2)


def test_one_step() -> None:
    assert assign((0.0, 0.3, 1), steps=1).classes.tolist() == [[0, 1, 0]]
    # alone in each of three levels; the action ends within 4 steps, so it is the first one's
    assert assign((0.0, 0.3, 1), steps=1, levels=3).inside.tolist() == [True, False, False]
