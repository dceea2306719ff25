"""Eq. 1-4 against cases worked by hand, and what the module promises about masks and order."""

import math

import pytest
import torch
from torch import Tensor

from tsatal.head import tsa


def test_condition_matrix_is_eq_1() -> None:
    # steps: background, action 1, action 1, action 2
    expected = torch.tensor(
        [
            [0.0, 0.1, 0.1, 0.1],
            [0.1, 0.5, 0.5, 0.4],
            [0.1, 0.5, 0.5, 0.4],
            [0.1, 0.4, 0.4, 0.5],
        ]
    )
    assert torch.equal(tsa.condition_matrix(torch.tensor([[0, 1, 1, 2]]))[0], expected)


def test_background_steps_never_attend_to_background() -> None:
    assert tsa.condition_matrix(torch.zeros(1, 5, dtype=torch.long)).abs().max() == 0


def test_soft_condition_matrix_of_certain_classes_is_the_hard_one() -> None:
    classes = torch.randint(0, 4, (2, 9), generator=torch.Generator().manual_seed(0))
    certain = torch.nn.functional.one_hot(classes, 4).float()
    torch.testing.assert_close(
        tsa.soft_condition_matrix(certain), tsa.condition_matrix(classes), atol=1e-6, rtol=0
    )


def test_soft_condition_matrix_is_the_expectation() -> None:
    # p = (bg .5, a .5) at both steps: P(both bg) 1/4, P(one) 1/2, P(same action) 1/4
    p = torch.tensor([[[0.5, 0.5], [0.5, 0.5]]])
    assert tsa.soft_condition_matrix(p)[0, 0, 1].item() == pytest.approx(0.5 * 0.1 + 0.25 * 0.5)


def test_distance_similarity_is_eq_2() -> None:
    # [0, 4] and [2, 6] share 2 of 6; [0, 4] and [8, 9] share nothing
    b = tsa.distance_similarity(torch.tensor([[[0.0, 4.0], [2.0, 6.0], [8.0, 9.0]]]))[0]
    assert b[0, 1].item() == pytest.approx(2 / 6)
    assert b[0, 2].item() == 0
    torch.testing.assert_close(b.diagonal(), torch.ones(3))
    torch.testing.assert_close(b, b.T)


def test_attention_map_is_eq_4() -> None:
    # d = 4; q.k = (4, 0) / sqrt(4) = (2, 0): weights e^2 / (e^2 + 1) and the rest
    q = torch.ones(1, 1, 4)
    k = torch.stack([torch.ones(4), torch.zeros(4)])[None]
    m = tsa.attention_map(q.expand(1, 2, 4), k, torch.ones(1, 2, dtype=torch.bool))
    assert m[0, 0, 0].item() == pytest.approx(math.e**2 / (math.e**2 + 1))
    torch.testing.assert_close(m.sum(-1), torch.ones(1, 2))


def test_attention_gives_no_weight_to_padding() -> None:
    valid = torch.tensor([[True, True, False]])
    m = tsa.attention_map(torch.randn(1, 3, 8), torch.randn(1, 3, 8), valid)
    assert m[0, :, 2].abs().max() == 0


def test_both_readings_of_the_redundancy_rule() -> None:
    similarity = torch.tensor([0.0, 0.3, 0.9, 1.0])
    torch.testing.assert_close(
        tsa.novelty(similarity, threshold=None), torch.tensor([1.0, 0.7, 0.1, 0.0])
    )
    assert tsa.novelty(similarity, threshold=0.5).tolist() == [1, 1, 0, 0]


def inputs(steps: int, width: int = 8, classes: int = 3) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    g = torch.Generator().manual_seed(steps)
    y = torch.randn(2, steps, width, generator=g)
    valid = torch.ones(2, steps, dtype=torch.bool)
    p = torch.randn(2, steps, classes + 1, generator=g).softmax(-1)
    t = torch.arange(steps)
    d = torch.rand(2, steps, 2, generator=g) * 5
    return y, valid, p, torch.stack([t - d[..., 0], t + d[..., 1]], -1)


def trained(width: int, *, soft: bool = False) -> tsa.TemporalSelfAttention:
    """Return a module whose output layer has left its zero initialisation."""
    module = tsa.TemporalSelfAttention(width, soft=soft)
    torch.nn.init.normal_(module.to_out.weight)
    return module


def test_refinement_begins_as_no_change() -> None:
    y, valid, p, intervals = inputs(6)
    module = tsa.TemporalSelfAttention(8)
    assert torch.equal(module(y, valid, probabilities=p, intervals=intervals), y)


def test_module_computes_g_v_by_hand() -> None:
    y, valid, p, intervals = inputs(6)
    module = trained(8)
    q, k, v = (
        (y @ layer.weight.T + layer.bias).sigmoid()
        for layer in (module.to_query, module.to_key, module.to_value)
    )
    m = (q @ k.transpose(1, 2) / math.sqrt(8)).softmax(-1)
    g = tsa.condition_matrix(p.argmax(-1)) * (1 - tsa.distance_similarity(intervals)) * m
    expected = y + g @ v @ module.to_out.weight.T
    torch.testing.assert_close(
        module(y, valid, probabilities=p, intervals=intervals), expected, atol=1e-5, rtol=1e-5
    )


def test_a_video_of_background_keeps_its_features() -> None:
    y, valid, _, intervals = inputs(6)
    background = torch.tensor([1.0, 0, 0, 0]).expand(2, 6, 4)
    module = trained(8)
    assert torch.equal(module(y, valid, probabilities=background, intervals=intervals), y)


@pytest.mark.parametrize("soft", [False, True])
def test_order_of_steps_does_not_matter(soft: bool) -> None:
    y, valid, p, intervals = inputs(12)
    module = trained(8, soft=soft)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(1))
    out = module(y, valid, probabilities=p, intervals=intervals)
    shuffled = module(y[:, order], valid, probabilities=p[:, order], intervals=intervals[:, order])
    torch.testing.assert_close(shuffled, out[:, order], atol=1e-5, rtol=1e-5)


def test_soft_matrix_is_learned_through_and_the_hard_one_and_b_are_not() -> None:
    y, valid, p, intervals = inputs(6)
    for soft in (True, False):
        logits = p.log().requires_grad_()
        where = intervals.clone().requires_grad_()
        module = trained(8, soft=soft)
        out = module(y, valid, probabilities=logits.softmax(-1), intervals=where)
        out.square().sum().backward()
        assert where.grad is None
        assert (logits.grad is not None and bool(logits.grad.abs().max() > 0)) == soft
