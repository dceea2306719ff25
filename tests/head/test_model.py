"""The whole head: shapes, switches, masks, levels, and any feature width."""

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tsatal.config import ModelConfig
from tsatal.head.feature_stats import FeatureStats
from tsatal.head.model import PRIOR, TSATAL, Branch, Heads
from tsatal.head.points import level_points, level_sizes
from tsatal.head.prediction import HeadOutput, Prediction


def head(
    *, width_in: int = 12, half_length: float = 6.0, own_norm: int = 0, **changes: Any
) -> TSATAL:
    torch.manual_seed(0)
    model = ModelConfig(**{"width": 16, "input_dropout": 0.0, **changes})
    return TSATAL(
        model, width_in=width_in, num_classes=3, half_length=half_length, own_norm=own_norm
    )


def mask(*lengths: int, steps: int | None = None) -> Tensor:
    return torch.arange(steps or max(lengths)) < torch.tensor(lengths)[:, None]


def trained(**changes: Any) -> TSATAL:
    """Return a head whose refinement and batch norms have left their initialisation."""
    model = head(**changes).train()
    if model.tsa is not None:
        torch.nn.init.normal_(model.tsa.to_out.weight)
    for _ in range(3):
        model(torch.randn(4, 30, 12) * 2 + 1, mask(30, 30, 30, 30))
    return model.eval()


def parts(prediction: Prediction) -> dict[str, Tensor]:
    """Return what a prediction says, (B, P, ...) each."""
    said = {
        "classes": prediction.class_logits,
        "distances": prediction.distances,
        "intervals": prediction.intervals,
    }
    if prediction.actionness_logits is not None:
        said["actionness"] = prediction.actionness_logits
    return said


# Settings that differ in what runs; every one must keep every promise below.
VARIANTS: list[dict[str, Any]] = [
    {"tsa": "hard"},
    {"tsa": "soft"},
    {"tsa": "soft", "tsa_reach": 5},
    {"tsa": "none", "tpp": False},
    {"levels": 4},
    {"levels": 4, "tpp": False, "final_actionness": False},
    {"levels": 4, "classes": "sigmoid", "early_depth": 0, "final_depth": 2, "tsa_reach": 5},
    {"levels": 4, "separable": True},
    {"separable": True},
    {"levels": 4, "own_norm": 8},
    {"stacked": True, "fully_connected": 7},
    {"shared_heads": "outputs", "levels": 4},
    {"shared_heads": "stages", "aggregate": True, "stacked": True},
    {"aggregate": True, "classes": "sigmoid", "tsa_sigmoid": False, "tsa_same": True},
]
every_variant = pytest.mark.parametrize("changes", VARIANTS, ids=str)


@pytest.mark.parametrize("classes", ["softmax", "sigmoid"])
@pytest.mark.parametrize("tsa, tpp", itertools.product(["hard", "soft", "none"], [True, False]))
@pytest.mark.parametrize("steps", [1, 2, 9, 100])
@pytest.mark.parametrize("levels", [1, 5])
def test_every_switch_gives_the_same_shapes(
    classes: str, tsa: str, tpp: bool, steps: int, levels: int
) -> None:
    model = head(classes=classes, tsa=tsa, tpp=tpp, levels=levels).eval()
    out: HeadOutput = model(torch.randn(2, steps, 12), mask(steps, steps))
    assert set(out.stages()) == {
        *(["pre"] if tsa != "none" else []),
        *(["refined"] if tpp or levels > 1 else []),
        "final",
    }
    for name, prediction in out.stages().items():
        points = sum(level_sizes(steps, levels if name == "final" else 1))
        assert len(prediction.points) == points
        assert prediction.valid.shape == (2, points) and prediction.valid.all()
        assert prediction.exclusive == (classes == "softmax")
        assert prediction.class_logits.shape == (2, points, 3 + prediction.exclusive)
        assert prediction.distances.shape == (2, points, 2)
        assert (prediction.distances > 0).all()
    assert out.final.actionness_logits is not None
    assert out.final.actionness_logits.shape == out.final.valid.shape


@pytest.mark.parametrize("levels", [1, 3])
def test_final_actionness_can_be_left_out_and_that_before_tpp_cannot(levels: int) -> None:
    model = head(levels=levels, final_actionness=False).eval()
    out = model(torch.randn(1, 9, 12), mask(9))
    assert out.final.actionness_logits is None
    assert out.refined.actionness_logits is not None


@pytest.mark.parametrize("width_in", [1, 5, 512])
@pytest.mark.parametrize("levels", [1, 3])
def test_features_may_have_any_width(width_in: int, levels: int) -> None:
    out = head(width_in=width_in, levels=levels)(torch.randn(2, 9, width_in), mask(9, 9))
    assert out.final.distances.isfinite().all()


@every_variant
def test_batched_with_padding_equals_alone(changes: dict[str, Any]) -> None:
    model = trained(**changes)
    lengths = (1, 2, 7, 16, 33)
    x = [torch.randn(n, 12) for n in lengths]
    batch = torch.full((len(lengths), 40, 12), 50.0)
    for n, sequence in enumerate(x):
        batch[n, : len(sequence)] = sequence
    together = model(batch, mask(*lengths, steps=40)).stages()
    for n, sequence in enumerate(x):
        alone = model(sequence[None], mask(len(sequence))).stages()
        for name, stage in alone.items():
            valid = together[name].valid[n]
            padded = parts(together[name])
            for part, expected in parts(stage).items():
                torch.testing.assert_close(
                    padded[part][n, valid], expected[0], atol=1e-4, rtol=1e-4
                )
            assert torch.equal(together[name].points.position[valid], stage.points.position)
            assert torch.equal(together[name].points.stride[valid], stage.points.stride)
            assert torch.equal(
                together[name].points.regression_range[valid], stage.points.regression_range
            )


@pytest.mark.parametrize("levels", [1, 4])
def test_a_point_is_valid_where_its_step_is(levels: int) -> None:
    valid = mask(1, 2, 7, 16, 33, steps=40)
    final = head(levels=levels).eval()(torch.randn(5, 40, 12), valid).final
    assert torch.equal(final.valid, valid[:, level_points(40, levels=levels).position.long()])


@every_variant
def test_padding_has_no_gradient_and_no_part_in_statistics(changes: dict[str, Any]) -> None:
    short, long = head(**changes).train(), head(**changes).train()
    x = torch.randn(2, 10, 12)
    wide = torch.cat([x, torch.full((2, 20, 12), 9.0)], 1).requires_grad_()
    a = short(x, mask(10, 10)).final
    b = long(wide, mask(10, 10, steps=30)).final
    torch.testing.assert_close(a.distances[a.valid], b.distances[b.valid], atol=1e-4, rtol=1e-4)
    b.distances[b.valid].sum().backward()
    assert wide.grad is not None and wide.grad[:, 10:].abs().max() == 0
    for p, q in zip(short.buffers(), long.buffers(), strict=True):
        torch.testing.assert_close(p, q, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_every_weight_takes_part(changes: dict[str, Any]) -> None:
    model = head(**changes).train()
    if model.tsa is not None:
        torch.nn.init.normal_(model.tsa.to_out.weight)
    out = model(torch.randn(2, 40, 12), mask(40, 33))
    said = [x[stage.valid] for stage in out.stages().values() for x in parts(stage).values()]
    sum(x.square().sum() for x in said).backward()  # type: ignore[union-attr]
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


@every_variant
def test_a_sequence_without_a_valid_step_gives_finite_numbers(changes: dict[str, Any]) -> None:
    for training in (True, False):
        out = head(**changes).train(training)(torch.randn(2, 3, 12), mask(0, 3))
        for stage in out.stages().values():
            assert all(x.isfinite().all() for x in parts(stage).values())
            assert not stage.valid[0].any()


@every_variant
def test_half_precision_gives_single_predictions_close_to_those_of_single(
    changes: dict[str, Any],
) -> None:
    # hard classes may flip where two are near, which changes what is related to what
    model = trained(**{**changes, "tsa": "none"})
    x, valid = torch.randn(2, 33, 12), mask(33, 20)
    full = model(x, valid).final
    with torch.autocast("cpu", torch.bfloat16):
        half = model(x, valid).final
    for part, expected in parts(full).items():
        got = parts(half)[part]
        assert got.dtype == torch.float32
        scale = expected[full.valid].abs().max()
        assert ((got - expected)[full.valid].abs() < 0.05 * scale).all()


def stats(scale: float) -> FeatureStats:
    """Statistics of 12 channels of one scale."""
    return FeatureStats(scale, np.zeros(12), np.ones(12), False, 0.0, 0.0)


def test_a_state_that_is_loaded_gives_the_same_predictions() -> None:
    model = trained(levels=3, tsa="soft")
    model.normalise_features(stats(scale=3.0))
    other = head(levels=3, tsa="soft").eval()
    other.load_state_dict(model.state_dict())
    x = torch.randn(2, 20, 12)
    a, b = (parts(m(x, mask(20, 13)).final) for m in (model, other))
    assert all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("levels", [1, 3])
def test_scale_of_the_features_does_not_matter_once_it_is_known(levels: int) -> None:
    x = torch.randn(2, 20, 12)
    plain, scaled = head(levels=levels).eval(), head(levels=levels).eval()
    scaled.normalise_features(stats(scale=1e-3))
    a = plain(x, mask(20, 20)).final.class_logits
    b = scaled(x * 1e-3, mask(20, 20)).final.class_logits
    torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_the_embedding_may_be_deeper_and_sees_no_padding(depth: int) -> None:
    model = head(levels=3, embed_depth=depth).eval()
    x = torch.randn(2, 20, 12)
    a = model(x, mask(20, 13)).final
    other = x.clone()
    other[1, 13:] = 1e3
    b = model(other, mask(20, 13)).final
    torch.testing.assert_close(a.class_logits[a.valid], b.class_logits[b.valid])
    moved = x.clone()
    moved[0, 10] += 1
    y = [model.embed(v.transpose(1, 2), mask(20, 13)) for v in (x, moved)]
    for layer in model.embed_more:
        y = [layer(v, mask(20, 13)) for v in y]
    reached = (y[0][0] != y[1][0]).any(0).nonzero().flatten()
    assert reached.min() >= 10 - depth and reached.max() <= 10 + depth


def test_units_of_each_channel_do_not_matter_where_channels_are_standardised() -> None:
    x, units, offset = torch.randn(2, 20, 12), torch.logspace(-3, 3, 12), torch.arange(12.0)
    plain, other = (head(levels=3, standardise=True).eval() for _ in range(2))
    mean, deviation = (units * offset).double().numpy(), units.double().numpy()
    deviation[-1] = np.inf  # a constant
    other.normalise_features(FeatureStats(1.0, mean, deviation, True, 0.0, 0.0))
    a = plain(x * (torch.arange(12) < 11), mask(20, 13)).final.class_logits
    b = other((x + offset) * units, mask(20, 13)).final.class_logits
    torch.testing.assert_close(a, b, atol=1e-3, rtol=1e-3)
    assert all(torch.isfinite(v).all() for v in other.state_dict().values())
    loaded = head(levels=3, standardise=True).eval()
    loaded.load_state_dict(other.state_dict())
    assert torch.equal(loaded((x + offset) * units, mask(20, 13)).final.class_logits, b)


def test_distances_begin_at_the_typical_half_length() -> None:
    out = head(half_length=6.0).eval()(torch.zeros(1, 20, 12), mask(20))
    torch.testing.assert_close(out.final.distances, torch.full((1, 20, 2), 6.0), rtol=0.2, atol=0)


def test_distances_of_levels_begin_at_half_of_their_range() -> None:
    out = head(levels=3, first_reach=5.0).eval()(torch.zeros(1, 20, 12), mask(20))
    expected = (out.final.points.stride * 2.5)[None, :, None].expand(1, -1, 2)
    torch.testing.assert_close(out.final.distances, expected, rtol=0.2, atol=0)


def test_actions_begin_as_improbable_as_the_prior() -> None:
    out = head(classes="sigmoid", levels=3).eval()(torch.zeros(1, 20, 12), mask(20))
    torch.testing.assert_close(
        out.final.class_logits.sigmoid(), torch.full((1, 35, 3), PRIOR), rtol=0.3, atol=0
    )


def test_depth_of_a_branch_is_how_far_it_sees() -> None:
    for depth in (0, 1, 3):
        torch.manual_seed(0)
        branch = Branch(4, 2, depth=depth, separable=False).eval()
        x, y = torch.randn(1, 4, 21), torch.zeros(1, 4, 21)
        y[0, :, 10] = 100
        changed = (branch(x, mask(21)) != branch(x + y, mask(21)))[0].any(-1).nonzero().flatten()
        assert changed.tolist() == list(range(10 - depth, 11 + depth))


def heads(levels: int) -> Heads:
    torch.manual_seed(0)
    model = ModelConfig(width=4)
    return Heads(model, 2, depth=2, distance=2.0, actionness=True, levels=levels).eval()


def test_heads_on_rows_of_several_levels_equal_heads_on_every_level_alone() -> None:
    module, points = heads(3), level_points(9, levels=3, gap=1)
    levels = [torch.randn(1, 4, n) for n in level_sizes(9, 3)]
    gap = torch.zeros(1, 4, 1)
    x = torch.cat([piece for level in levels for piece in (level, gap)], 2)
    valid = (x != 0).any(1)
    together = module(x, valid, points)
    first = 0
    for n, level in enumerate(levels):
        alone = module.classes(level, mask(level.shape[2]))
        last = first + level.shape[2]
        torch.testing.assert_close(together.class_logits[:, first:last], alone)
        where = module.boundary(level, mask(level.shape[2]))
        torch.testing.assert_close(together.distances[:, first:last], where[..., :2].exp() * 2.0**n)
        first = last


@pytest.mark.parametrize("level", [0, 1, 11])
def test_every_level_has_its_own_factor_for_distances(level: int) -> None:
    module, points = heads(12), level_points(5, levels=12)
    x, valid = torch.randn(1, 4, len(points)), mask(len(points))
    before = module(x, valid, points).distances
    assert module.log_scale is not None
    with torch.no_grad():
        module.log_scale[level] = torch.tensor(3.0).log()
    factor = module(x, valid, points).distances / before
    expected = torch.where(points.stride == 2**level, 3.0, 1.0)
    torch.testing.assert_close(factor, expected[None, :, None].expand_as(factor))


def test_outputs_share_the_trunk_and_stages_share_all_but_their_norms() -> None:
    apart, outputs, stages = (
        head(shared_heads=shared, early_depth=2, final_depth=2)
        for shared in ("none", "outputs", "stages")
    )
    for model in (outputs, stages):
        assert model.final_heads is not None
        assert len(model.final_heads.trunk) == 2 and len(model.final_heads.classes.layers) == 0
    own, before = stages.final_heads, stages.shared_heads
    assert own is not None
    of_own, of_before = (dict(h.named_parameters()) for h in (own, before))
    alike = {name for name, value in of_own.items() if value is of_before[name]}
    assert {name for name in of_own if ".norm." in name} == set(of_own) - alike
    sizes = [sum(p.numel() for p in m.parameters()) for m in (apart, outputs, stages)]
    assert sizes == sorted(sizes, reverse=True) and len(set(sizes)) == 3


def test_shared_convolutions_stay_shared_after_a_checkpoint() -> None:
    model, other = head(shared_heads="stages"), head(shared_heads="stages")
    with torch.no_grad():
        model.shared_heads.classes.read.bias.fill_(7)
    other.load_state_dict(model.state_dict())
    assert other.final_heads is not None
    assert other.final_heads.classes.read.bias is other.shared_heads.classes.read.bias
    assert other.final_heads.classes.read.bias.eq(7).all()


def test_a_fully_connected_layer_is_learned_and_sees_one_row() -> None:
    model = head(fully_connected=5, tsa="none", tpp=False)
    assert model.connect is not None and model.connect.out_features == 5
    model(torch.randn(1, 9, 12), mask(9)).final.class_logits.sum().backward()
    gradient = model.connect.weight.grad
    assert gradient is not None and gradient.abs().sum() > 0


def test_mismatched_mask_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(1, 5, 12\)"):
        head()(torch.zeros(1, 5, 12), mask(6))


def test_dropped_channels_are_dropped_for_a_whole_sequence() -> None:
    model = head(channel_dropout=0.5).train()
    seen: list[Tensor] = []
    model.embed.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    model(torch.ones(64, 5, 12), mask(*[5] * 64))
    [x] = seen
    assert torch.equal(x, x[..., :1].expand_as(x))  # the same at every step
    assert set(x.unique().tolist()) == {0.0, 2.0}  # what is kept stands in for what is not
    assert 0.4 < (x[..., 0] > 0).float().mean() < 0.6
    model.eval()(torch.ones(1, 5, 12), mask(5))
    assert (seen[1] == 1).all()


def test_what_a_branch_reads_out_is_a_linear_layer_of_every_step() -> None:
    branch = Branch(5, 3, depth=0, separable=False)
    x = torch.randn(2, 5, 9)
    torch.testing.assert_close(branch(x, mask(9, 9)), branch.read(x.transpose(1, 2)))


def test_channels_normalised_by_themselves_do_not_see_what_a_whole_sequence_shares() -> None:
    model = head(own_norm=10).eval()
    seen: list[Tensor] = []
    assert model.pre_heads is not None
    model.pre_heads.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    x = torch.randn(2, 60, 12)
    for shifted in (x, x + torch.randn(2, 1, 12) * 3):
        model(shifted, mask(60, 60))
    change = (seen[0] - seen[1]).abs().mean((0, 2))
    assert change[:6].mean() > 1  # normalised over the batch
    assert change[6:].max() < 0.2  # not 0: beyond the ends there are zeros, whatever is shared
