"""Which step answers for which action."""

import torch

from tsatal.head.targets import Targets, assign_steps


def assign(*actions: tuple[float, float, int], steps: int = 10, classes: int = 3) -> Targets:
    segments = torch.tensor([a[:2] for a in actions]).reshape(-1, 2)
    labels = torch.tensor([a[2] for a in actions], dtype=torch.long)
    return assign_steps(segments, labels, num_steps=steps, num_classes=classes)


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


def test_two_labels_of_the_same_extent_both_count() -> None:
    t = assign((2.0, 4.0, 0), (2.0, 4.0, 2), (2.0, 4.5, 1))
    assert t.classes[3].tolist() == [1, 0, 1]
    assert t.intervals[3].tolist() == [2, 4]


def test_an_action_between_two_steps_goes_to_the_nearest() -> None:
    t = assign((4.1, 4.4, 1), (6.7, 6.8, 0))
    assert t.inside.nonzero().flatten().tolist() == [4, 7]
    assert t.intervals[4].tolist() == torch.tensor([4.1, 4.4]).tolist()


def test_an_action_reaching_beyond_the_sequence_keeps_its_true_extent() -> None:
    t = assign((-5.0, 1.0, 1), (8.0, 30.0, 2))
    assert t.inside.nonzero().flatten().tolist() == [0, 1, 8, 9]
    assert t.intervals[0].tolist() == [-5, 1] and t.intervals[9].tolist() == [8, 30]


def test_order_of_actions_does_not_matter() -> None:
    actions = [(0.0, 9.0, 0), (3.0, 5.0, 2), (3.0, 5.0, 1)]
    a, b = assign(*actions), assign(*actions[::-1])
    assert torch.equal(a.classes, b.classes) and torch.equal(a.intervals, b.intervals)


def test_no_actions_and_no_steps() -> None:
    assert not assign().inside.any()
    assert assign((0.0, 1.0, 0), steps=0).classes.shape == (0, 3)


def test_one_step() -> None:
    assert assign((0.0, 0.3, 1), steps=1).classes.tolist() == [[0, 1, 0]]
