"""The whole head: shapes, switches, masks, and any feature width."""

import itertools
from typing import Any

import pytest
import torch

from tsatal.head.model import (
    TSATAL,
    HeadOutput,
    action_scores,
    class_probabilities,
    intervals_at_steps,
)


def head(**changes: Any) -> TSATAL:
    torch.manual_seed(0)
    options: dict[str, Any] = {
        "width_in": 12,
        "num_classes": 3,
        "width": 16,
        "softmax": True,
        "tsa": "hard",
        "tsa_threshold": None,
        "tpp": True,
        "pyramid_levels": 3,
        "dilations": (1, 2, 4),
        "input_dropout": 0.0,
        "reach_steps": 6.0,
    }
    return TSATAL(**{**options, **changes})


def mask(*lengths: int) -> torch.Tensor:
    return torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]


def trained(**changes: Any) -> TSATAL:
    """Return a head whose batch-norm statistics are not those of initialisation."""
    model = head(**changes).train()
    for _ in range(3):
        model(torch.randn(4, 30, 12) * 2 + 1, mask(30, 30, 30, 30))
    return model.eval()


@pytest.mark.parametrize("softmax", [True, False])
@pytest.mark.parametrize("tsa, tpp", itertools.product(["hard", "soft", "none"], [True, False]))
@pytest.mark.parametrize("steps", [1, 2, 9, 100])
def test_every_switch_gives_the_same_shapes(softmax: bool, tsa: str, tpp: bool, steps: int) -> None:
    model = head(softmax=softmax, tsa=tsa, tpp=tpp).eval()
    out: HeadOutput = model(torch.randn(2, steps, 12), mask(steps, steps))
    assert set(out.stages()) == {
        *(["pre"] if tsa != "none" else []),
        *(["refined"] if tpp else []),
        "final",
    }
    for prediction in out.stages().values():
        assert prediction.class_logits.shape == (2, steps, 3 + softmax)
        assert prediction.distances.shape == (2, steps, 2)
        assert (prediction.distances > 0).all()
    assert out.final.actionness_logits is not None
    assert out.final.actionness_logits.shape == (2, steps)


@pytest.mark.parametrize("tsa", ["hard", "soft"])
def test_batched_with_padding_equals_alone(tsa: str) -> None:
    model = trained(tsa=tsa)
    lengths = (1, 2, 7, 16, 33)
    x = [torch.randn(n, 12) for n in lengths]
    batch = torch.full((len(lengths), 40, 12), 50.0)
    for n, sequence in enumerate(x):
        batch[n, : len(sequence)] = sequence
    valid = torch.arange(40) < torch.tensor(lengths)[:, None]
    together = model(batch, valid).stages()
    for n, sequence in enumerate(x):
        alone = model(sequence[None], mask(len(sequence))).stages()
        for name in alone:
            for a, b in zip(vars(alone[name]).values(), vars(together[name]).values(), strict=True):
                if a is not None:
                    torch.testing.assert_close(
                        b[n : n + 1, : len(sequence)], a, atol=1e-4, rtol=1e-4
                    )


def test_padding_has_no_gradient_and_no_part_in_statistics() -> None:
    short, long = head().train(), head().train()
    x = torch.randn(2, 10, 12)
    wide = torch.cat([x, torch.full((2, 20, 12), 9.0)], 1).requires_grad_()
    a = short(x, mask(10, 10)).final.distances
    b = long(wide, torch.arange(30)[None].expand(2, 30) < 10).final.distances
    torch.testing.assert_close(a, b[:, :10], atol=1e-4, rtol=1e-4)
    b[:, :10].sum().backward()
    assert wide.grad is not None and wide.grad[:, 10:].abs().max() == 0
    for p, q in zip(short.buffers(), long.buffers(), strict=True):
        torch.testing.assert_close(p, q, atol=1e-4, rtol=1e-4)


def test_intervals_surround_their_step() -> None:
    d = torch.tensor([[1.0, 2.0], [0.5, 0.0], [2.0, 3.0]])
    assert intervals_at_steps(d).tolist() == [[-1, 2], [0.5, 1], [0, 5]]


@pytest.mark.parametrize("softmax", [True, False])
def test_class_probabilities_sum_to_one(softmax: bool) -> None:
    p = class_probabilities(torch.randn(2, 5, 4) * 4, softmax=softmax)
    assert p.shape[-1] == (4 if softmax else 5)
    torch.testing.assert_close(p.sum(-1), torch.ones(2, 5))


def test_action_scores_leave_background_out() -> None:
    logits = torch.tensor([[2.0, 0.0, 1.0]])
    torch.testing.assert_close(action_scores(logits, softmax=True), logits.softmax(-1)[:, 1:])
    torch.testing.assert_close(action_scores(logits, softmax=False), logits.sigmoid())


def test_scale_of_the_features_does_not_matter_once_it_is_known() -> None:
    x = torch.randn(2, 20, 12)
    plain, scaled = head().eval(), head().eval()
    scaled.divide_features_by(1e-3)
    a = plain(x, mask(20, 20)).final.class_logits
    b = scaled(x * 1e-3, mask(20, 20)).final.class_logits
    torch.testing.assert_close(a, b, atol=1e-4, rtol=1e-4)


def test_distances_begin_at_the_typical_reach() -> None:
    out = head(reach_steps=6.0).eval()(torch.zeros(1, 20, 12), mask(20))
    torch.testing.assert_close(out.final.distances, torch.full((1, 20, 2), 6.0), rtol=0.2, atol=0)


def test_mismatched_mask_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(1, 5, 12\)"):
        head()(torch.zeros(1, 5, 12), mask(6))
