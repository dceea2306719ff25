"""Eq. 1-4 against cases worked by hand, and what the module promises about masks and order."""

import math

import pytest
import torch
from torch import Tensor

from tsatal.config import ModelConfig
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
    classes = torch.tensor([[0, 1, 1, 2]])
    assert torch.equal(tsa.condition_matrix(classes, classes)[0], expected)


def test_background_steps_never_attend_to_background() -> None:
    background = torch.zeros(1, 5, dtype=torch.long)
    assert tsa.condition_matrix(background, background).abs().max() == 0


def test_matrices_between_some_steps_and_others_are_those_rows_and_columns() -> None:
    g = torch.Generator().manual_seed(0)
    classes = torch.randint(0, 4, (2, 9), generator=g)
    whole = tsa.condition_matrix(classes, classes)
    assert torch.equal(tsa.condition_matrix(classes[:, 2:5], classes[:, 3:]), whole[:, 2:5, 3:])
    p = torch.rand(2, 9, 4, generator=g).softmax(-1)
    soft = tsa.soft_condition_matrix(p, p)
    torch.testing.assert_close(tsa.soft_condition_matrix(p[:, 2:5], p[:, 3:]), soft[:, 2:5, 3:])
    where = torch.rand(2, 9, 2, generator=g).sort(-1).values
    b = tsa.distance_similarity(where, where)
    assert torch.equal(tsa.distance_similarity(where[:, 2:5], where[:, 3:]), b[:, 2:5, 3:])


def test_soft_condition_matrix_of_certain_classes_is_the_hard_one() -> None:
    g = torch.Generator().manual_seed(0)
    classes, others = torch.randint(0, 4, (2, 9), generator=g), torch.randint(0, 4, (2, 7))
    certain, certain_others = (torch.nn.functional.one_hot(c, 4).float() for c in (classes, others))
    torch.testing.assert_close(
        tsa.soft_condition_matrix(certain, certain_others),
        tsa.condition_matrix(classes, others),
        atol=1e-6,
        rtol=0,
    )


def test_soft_condition_matrix_is_the_expectation() -> None:
    # p = (bg .5, a .5) at both steps: P(both bg) 1/4, P(one) 1/2, P(same action) 1/4
    p = torch.tensor([[[0.5, 0.5], [0.5, 0.5]]])
    expected = 0.5 * 0.1 + 0.25 * 0.5
    assert tsa.soft_condition_matrix(p, p)[0, 0, 1].item() == pytest.approx(expected)


def test_soft_condition_matrix_is_the_sum_over_all_pairs_of_classes() -> None:
    g = torch.Generator().manual_seed(0)
    p, q = (torch.randn(5, 4, generator=g).softmax(-1) for _ in range(2))
    every = torch.arange(4)
    expected = torch.einsum("ic,cd,jd->ij", p, tsa.condition_matrix(every, every), q)
    torch.testing.assert_close(tsa.soft_condition_matrix(p, q), expected)


def test_distance_similarity_is_eq_2() -> None:
    # [0, 4] and [2, 6] share 2 of 6; [0, 4] and [8, 9] share nothing
    intervals = torch.tensor([[0.0, 4.0], [2.0, 6.0], [8.0, 9.0]])
    b = tsa.distance_similarity(intervals, intervals)
    assert b[0, 1].item() == pytest.approx(2 / 6)
    assert b[0, 2].item() == 0
    torch.testing.assert_close(b.diagonal(), torch.ones(3))
    torch.testing.assert_close(b, b.T)


def test_attention_map_is_eq_4() -> None:
    # d = 4; q.k = (4, 0) / sqrt(4) = (2, 0): weights e^2 / (e^2 + 1) and the rest
    q = torch.ones(1, 1, 4)
    k = torch.stack([torch.ones(4), torch.zeros(4)])[None]
    m = tsa.attention_map(q.expand(1, 2, 4), k, torch.ones(1, 1, 2, dtype=torch.bool))
    assert m[0, 0, 0].item() == pytest.approx(math.e**2 / (math.e**2 + 1))
    torch.testing.assert_close(m.sum(-1), torch.ones(1, 2))


def test_attention_gives_no_weight_to_padding() -> None:
    valid = torch.tensor([[[True, True, False]]])
    m = tsa.attention_map(torch.randn(1, 3, 8), torch.randn(1, 3, 8), valid)
    assert m[0, :, 2].abs().max() == 0


def test_both_readings_of_the_redundancy_rule() -> None:
    similarity = torch.tensor([0.0, 0.3, 0.9, 1.0])
    torch.testing.assert_close(
        tsa.novelty(similarity, threshold=None), torch.tensor([1.0, 0.7, 0.1, 0.0])
    )
    assert tsa.novelty(similarity, threshold=0.5).tolist() == [1, 1, 0, 0]
    assert torch.equal(tsa.novelty(similarity, threshold=None, same=True), similarity)
    assert tsa.novelty(similarity, threshold=0.5, same=True).tolist() == [0, 0, 1, 1]


def inputs(steps: int, width: int = 8, classes: int = 3) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    g = torch.Generator().manual_seed(steps)
    y = torch.randn(2, steps, width, generator=g)
    valid = torch.ones(2, steps, dtype=torch.bool)
    p = torch.randn(2, steps, classes + 1, generator=g).softmax(-1)
    t = torch.arange(steps)
    d = torch.rand(2, steps, 2, generator=g) * 5
    return y, valid, p, torch.stack([t - d[..., 0], t + d[..., 1]], -1)


def trained(
    width: int,
    *,
    soft: bool = False,
    threshold: float | None = None,
    reach: int | None = None,
    sigmoid: bool = True,
) -> tsa.TemporalSelfAttention:
    """Return a module whose output layer has left its zero initialisation."""
    torch.manual_seed(0)
    model = ModelConfig(
        width=width,
        tsa="soft" if soft else "hard",
        tsa_threshold=threshold,
        tsa_reach=reach,
        tsa_sigmoid=sigmoid,
    )
    module = tsa.TemporalSelfAttention(model)
    torch.nn.init.normal_(module.to_out.weight)
    return module


def mixed(
    module: tsa.TemporalSelfAttention, y: Tensor, valid: Tensor, p: Tensor, intervals: Tensor
) -> Tensor:
    """Return what the module makes of y, both (B, T, D) as `by_hand` has them."""
    out = module(y.transpose(1, 2), valid, probabilities=p, intervals=intervals)
    return out.transpose(1, 2)


def test_refinement_begins_as_no_change() -> None:
    y, valid, p, intervals = inputs(6)
    module = tsa.TemporalSelfAttention(ModelConfig(width=8))
    assert torch.equal(mixed(module, y, valid, p, intervals), y)


def by_hand(
    module: tsa.TemporalSelfAttention,
    y: Tensor,
    p: Tensor,
    intervals: Tensor,
    allowed: Tensor,
) -> Tensor:
    """Return y + W_o (G V), all pairs at once; `allowed` is (B, T, T)."""
    q, k, v = (
        y @ layer.weight.T + layer.bias
        for layer in (module.to_query, module.to_key, module.to_value)
    )
    if module.sigmoid:
        q, k, v = q.sigmoid(), k.sigmoid(), v.sigmoid()
    logits = q @ k.transpose(1, 2) / math.sqrt(y.shape[-1])
    m = logits.masked_fill(~allowed, -1e9).softmax(-1)
    if module.soft:
        a = tsa.soft_condition_matrix(p, p)
    else:
        a = tsa.condition_matrix(p.argmax(-1), p.argmax(-1))
    b = tsa.distance_similarity(intervals, intervals)
    g = a * tsa.novelty(b, threshold=module.threshold) * m
    return y + g @ v @ module.to_out.weight.T


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("threshold", [None, 0.3])
@pytest.mark.parametrize("sigmoid", [True, False])
def test_module_computes_g_v_by_hand(soft: bool, threshold: float | None, sigmoid: bool) -> None:
    y, valid, p, intervals = inputs(6)
    module = trained(8, soft=soft, threshold=threshold, sigmoid=sigmoid)
    expected = by_hand(module, y, p, intervals, torch.ones(2, 6, 6, dtype=torch.bool))
    torch.testing.assert_close(
        mixed(module, y, valid, p, intervals), expected, atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("reach", [1, 2, 5, 12, 100])
@pytest.mark.parametrize("steps", [1, 2, 3, 5, 6, 12, 24, 25, 40])
def test_within_reach_is_the_full_computation_with_a_band(
    steps: int, reach: int, soft: bool
) -> None:
    y, _, p, intervals = inputs(steps)
    valid = torch.arange(steps) < torch.tensor([steps, (steps + 1) // 2])[:, None]
    y = (y * valid[..., None]).requires_grad_()
    module = trained(8, soft=soft, reach=reach)
    i = torch.arange(steps)
    band = (i[:, None] - i[None]).abs() <= reach
    out = mixed(module, y, valid, p, intervals)
    expected = by_hand(module, y, p, intervals, band & valid[:, None])
    torch.testing.assert_close(out[valid], expected[valid], atol=1e-5, rtol=1e-5)
    assert (out[~valid] == 0).all()
    ((gradient,), (full,)) = (
        torch.autograd.grad(x[valid].square().sum(), y) for x in (out, expected)
    )
    torch.testing.assert_close(gradient[valid], full[valid], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("reach", [None, 4, 50])
def test_relations_are_what_the_module_mixes_by(reach: int | None) -> None:
    y, valid, p, intervals = inputs(20)
    valid[1, 15:] = False
    y = y * valid[..., None]
    module = trained(8, soft=True, reach=reach)
    told = module.relations(y.transpose(1, 2), valid, probabilities=p, intervals=intervals)
    torch.testing.assert_close(y + told.added, mixed(module, y, valid, p, intervals))
    i = torch.arange(20)
    far = (i[:, None] - i[None]).abs() > (reach or 20)
    assert (told.g[:, far] == 0).all() and (told.g[1, :, 15:] == 0).all()
    torch.testing.assert_close(told.b, tsa.distance_similarity(intervals, intervals))


@pytest.mark.parametrize("steps", [1, 9, 30])
@pytest.mark.parametrize("reach", [None, 4])
def test_padding_changes_nothing(steps: int, reach: int | None) -> None:
    y, valid, p, intervals = inputs(steps)
    module = trained(8, reach=reach)
    alone = mixed(module, y, valid, p, intervals)
    y, valid, p, intervals = (
        torch.cat([x, torch.zeros_like(x[:, :1]).expand(-1, 13, *x.shape[2:])], 1)
        for x in (y, valid, p, intervals)
    )
    p[:, steps:] = 0.25  # what the heads say at padding
    padded = mixed(module, y, valid, p, intervals)
    torch.testing.assert_close(padded[:, :steps], alone, atol=1e-6, rtol=1e-6)
    assert padded[:, steps:].abs().max() == 0


def test_what_is_out_of_reach_is_not_felt() -> None:
    y, valid, p, intervals = inputs(30)
    module = trained(8, reach=4)
    other = y.clone()
    other[:, 10] += 3
    a, b = (mixed(module, x, valid, p, intervals) for x in (y, other))
    changed = ((a - b).abs().amax((0, 2)) > 0).nonzero().flatten()
    assert changed.min() >= 6 and changed.max() <= 14 and len(changed) > 1


def test_blocks_and_what_is_around_them_by_hand() -> None:
    x = torch.arange(1.0, 6)[None, :, None]  # five steps in blocks of two
    assert tsa.blocks(x, 2)[0, ..., 0].tolist() == [[1, 2], [3, 4], [5, 0]]
    assert tsa.blocks_around(x, 2)[0, ..., 0].tolist() == [
        [0, 0, 1, 2, 3, 4],
        [1, 2, 3, 4, 5, 0],
        [3, 4, 5, 0, 0, 0],
    ]


def test_a_video_of_background_keeps_its_features() -> None:
    y, valid, _, intervals = inputs(6)
    background = torch.tensor([1.0, 0, 0, 0]).expand(2, 6, 4)
    module = trained(8)
    assert torch.equal(mixed(module, y, valid, background, intervals), y)


@pytest.mark.parametrize("soft", [False, True])
def test_order_of_steps_does_not_matter(soft: bool) -> None:
    y, valid, p, intervals = inputs(12)
    module = trained(8, soft=soft)
    order = torch.randperm(12, generator=torch.Generator().manual_seed(1))
    out = mixed(module, y, valid, p, intervals)
    shuffled = mixed(module, y[:, order], valid, p[:, order], intervals[:, order])
    torch.testing.assert_close(shuffled, out[:, order], atol=1e-5, rtol=1e-5)


def test_soft_matrix_is_learned_through_and_the_hard_one_and_b_are_not() -> None:
    y, valid, p, intervals = inputs(6)
    for soft in (True, False):
        logits = p.log().requires_grad_()
        where = intervals.clone().requires_grad_()
        module = trained(8, soft=soft)
        out = mixed(module, y, valid, logits.softmax(-1), where)
        out.square().sum().backward()
        assert where.grad is None
        assert (logits.grad is not None and bool(logits.grad.abs().max() > 0)) == soft
