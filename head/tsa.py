"""TSA, the temporal self-attention module (paper 2.2), one function per equation.

Each step has a pre-judged class and interval. These beliefs decide which steps exchange features:
steps of the same or of another action, but not of the same instance: that would be redundant.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..config import ModelConfig
from ..formats.limits import check_size
from ..segments import tiou

PAIR_BYTES = 32  # of memory for each pair of steps, in float32
# Eq. 1: the weight of a pair of steps by what the two are.
SAME_ACTION, OTHER_ACTION, ONE_ACTION, BOTH_BACKGROUND = 0.5, 0.4, 0.1, 0.0


def condition_matrix(classes: Tensor, others: Tensor) -> Tensor:
    """Return the condition matrix A of Eq. 1 from decided classes.

    "Both background" is tested first, since two background steps also have the same class.

    Args:
        classes: the class of every step i, 0 for background, (..., I) integer.
        others: the class of every step j, (..., J) integer.
    Returns:
        (..., I, J) float in {0, 0.1, 0.4, 0.5}.
    """
    i, j = classes[..., :, None] > 0, others[..., None, :] > 0
    same = classes[..., :, None] == others[..., None, :]
    a = torch.full(same.shape, ONE_ACTION, device=classes.device)
    a = a.masked_fill(i & j & ~same, OTHER_ACTION)
    a = a.masked_fill(i & j & same, SAME_ACTION)
    return a.masked_fill(~i & ~j, BOTH_BACKGROUND)


def soft_condition_matrix(probabilities: Tensor, others: Tensor) -> Tensor:
    """Return the expectation of Eq. 1 when classes are drawn from probabilities.

    Unlike `condition_matrix` it can be learned through. (Not in the paper.)

    Args:
        probabilities: of every step i, (..., I, 1 + C), background first, each row sums to 1.
        others: of every step j, (..., J, 1 + C).
    Returns:
        (..., I, J) float in [0, 0.5].
    """
    # Eq. 1 is bilinear: 0.5 same + 0.4 (both - same) + 0.1 one, with `both` and `one` products of
    # the chances of action, so that one matrix product over 1 + C + 1 columns gives it.
    background, actions = probabilities[..., :1], probabilities[..., 1:]
    other_background, other_actions = others[..., :1], others[..., 1:]
    action, other_action = 1 - background, 1 - other_background
    left = torch.cat(
        [(SAME_ACTION - OTHER_ACTION) * actions, OTHER_ACTION * action, ONE_ACTION * background],
        dim=-1,
    )
    right = torch.cat(
        [other_actions, other_action + ONE_ACTION / OTHER_ACTION * other_background, other_action],
        dim=-1,
    )
    return left @ right.transpose(-1, -2)


def distance_similarity(intervals: Tensor, others: Tensor) -> Tensor:
    """Return the distance similarity B of Eq. 2: tIoU of the intervals predicted at i and j.

    Args:
        intervals: (start, end) predicted at every step i, (..., I, 2).
        others: (start, end) predicted at every step j, (..., J, 2).
    Returns:
        (..., I, J) in [0, 1].
    """
    return tiou(intervals[..., :, None, :], others[..., None, :, :])


def attention_map(query: Tensor, key: Tensor, allowed: Tensor) -> Tensor:
    """Return M = softmax(Q K^T / sqrt(d)) of Eq. 4; pairs that are not allowed have no weight.

    Args:
        query: (..., I, d); key: (..., J, d).
        allowed: bool, broadcast to (..., I, J).
    Returns:
        (..., I, J); each row sums to 1.
    """
    logits = query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1])
    logits = logits.masked_fill(~allowed, torch.finfo(logits.dtype).min)
    return logits.softmax(-1)


def novelty(similarity: Tensor, *, threshold: float | None, same: bool = False) -> Tensor:
    """Return the weight of each pair by how new one is to the other, from B, in [0, 1].

    The paper leaves the fusion of A, B and M open, but says that pairs covering the same
    instance are redundant and must be avoided "by calculating tIoU": hence 1 - B.

    Args:
        similarity: B, in [0, 1].
        threshold: None for 1 - B; a number for the paper's other reading, B < threshold.
        same: the opposite, B itself or B >= threshold: what "position similarity" would weigh
            by, were it not for the sentence on redundance.
    """
    new = 1 - similarity if threshold is None else (similarity < threshold).to(similarity.dtype)
    return 1 - new if same else new


def blocks(x: Tensor, size: int) -> Tensor:
    """Return a sequence (B, T, d) in blocks of `size` steps, zeros at the end: (B, K, size, d)."""
    x = nn.functional.pad(x, (0, 0, 0, -x.shape[1] % size))
    return x.unflatten(1, (-1, size))


def blocks_around(x: Tensor, size: int) -> Tensor:
    """Return every block of `blocks` between its two neighbours, (B, K, 3 size, d)."""
    x = nn.functional.pad(x, (0, 0, size, size + -x.shape[1] % size))
    return x.unfold(1, 3 * size, size).transpose(-1, -2)


@dataclass(frozen=True)
class Relations:
    """The matrices of TSA for all pairs of T steps, (B, T, T) each, and what comes of them.

    a: Eq. 1. b: Eq. 2. m: Eq. 4. g: the mapping coefficients; rows need not sum to 1.
    added: W_o (G V), what is added to the sequence, (B, T, D).
    """

    a: Tensor
    b: Tensor
    m: Tensor
    g: Tensor
    added: Tensor


class TemporalSelfAttention(nn.Module):
    """Mixes every step with the steps it is related to (paper 2.2, Eq. 1-4).

    Args:
        model: `width` is D; `tsa` is "hard", or "soft" for the expectation of Eq. 1 instead of
            arg-max classes; `tsa_threshold` and `tsa_same`, see `novelty`; `tsa_sigmoid`: as in
            Eq. 3, else queries, keys and values are linear; `tsa_reach`: how many steps away a
            related step may be, so that time and memory grow with T and not with its square
            (not in the paper); None: anywhere.
    """

    def __init__(self, model: ModelConfig) -> None:
        super().__init__()
        width = model.width
        self.soft = model.tsa == "soft"
        self.threshold, self.same = model.tsa_threshold, model.tsa_same
        self.reach, self.sigmoid = model.tsa_reach, model.tsa_sigmoid
        # The paper calls these f1, f2, f3, names it has already given to the pre-judgement heads.
        self.to_query = nn.Linear(width, width)
        self.to_key = nn.Linear(width, width)
        self.to_value = nn.Linear(width, width)
        self.to_out = nn.Linear(width, width, bias=False)
        nn.init.zeros_(self.to_out.weight)  # refinement begins as no change (W_o: not in the paper)

    def forward(
        self, y: Tensor, valid: Tensor, *, probabilities: Tensor, intervals: Tensor
    ) -> Tensor:
        """Return y + W_o (G V) with G = A * (1 - B) * M.

        A step related to nothing has a zero row in G and keeps its feature.

        Args:
            y: (B, D, T).
            valid: (B, T) bool.
            probabilities: pre-judged classes, (B, T, 1 + C), background first.
            intervals: pre-judged (start, end) in steps, (B, T, 2); never learned through.
        Returns:
            Refined features, (B, D, T); zero at padding.
        """
        y = y.transpose(1, 2)  # (B, T, D): pairs are pairs of steps
        query, key, value = self._project(y)  # Eq. 3
        beliefs = (probabilities, intervals.detach())
        if self.reach is None or self.reach >= y.shape[1] - 1:
            mixed = self._mix((query, *beliefs), (key, *beliefs), value, valid[:, None])
        else:
            mixed = self._mix_nearby((query, *beliefs), (key, *beliefs), value, valid)
        y = (y + self.to_out(mixed)) * valid[..., None]
        return y.transpose(1, 2)

    def relations(
        self, y: Tensor, valid: Tensor, *, probabilities: Tensor, intervals: Tensor
    ) -> Relations:
        """Return the matrices by which `forward` would mix the steps of y, for all pairs.

        Args: as for `forward`.
        """
        query, key, value = self._project(y.transpose(1, 2))
        i = torch.arange(query.shape[1], device=y.device)
        near = (i[:, None] - i).abs() <= (self.reach or len(i))
        beliefs = (probabilities, intervals)
        a, b, m = self._relate((query, *beliefs), (key, *beliefs), near & valid[:, None])
        g = a * novelty(b, threshold=self.threshold, same=self.same) * m * valid[..., None]
        return Relations(a, b, m, g, self.to_out(g @ value))

    def _project(self, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries, keys and values of (B, T, D), as Eq. 3."""
        q, k, v = self.to_query(y), self.to_key(y), self.to_value(y)
        return (q.sigmoid(), k.sigmoid(), v.sigmoid()) if self.sigmoid else (q, k, v)

    def _relate(
        self, own: tuple[Tensor, ...], others: tuple[Tensor, ...], allowed: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return A, B and M; `own` and `others` are (Q or K, probabilities, intervals) of i, j."""
        (query, classes_i, intervals_i), (key, classes_j, intervals_j) = own, others
        if query.device.type == "cpu":  # where too much memory is not refused by itself
            pairs = math.prod(query.shape[:-1]) * key.shape[-2]
            check_size(
                PAIR_BYTES * pairs,
                f"TSA over {pairs:,} pairs of rows",
                instead="a shorter decode.window_steps or data.window_steps, or model.tsa_reach",
            )
        if self.soft:
            a = soft_condition_matrix(classes_i, classes_j)
        else:
            a = condition_matrix(classes_i.argmax(-1), classes_j.argmax(-1))  # Eq. 1, no gradient
        b = distance_similarity(intervals_i, intervals_j)  # Eq. 2
        return a, b, attention_map(query, key, allowed)  # Eq. 4

    def _mix(
        self, own: tuple[Tensor, ...], others: tuple[Tensor, ...], value: Tensor, allowed: Tensor
    ) -> Tensor:
        """Return G V; see `_relate`."""
        a, b, m = self._relate(own, others, allowed)
        return (a * novelty(b, threshold=self.threshold, same=self.same) * m) @ value  # G V

    def _mix_nearby(
        self, own: tuple[Tensor, ...], others: tuple[Tensor, ...], value: Tensor, valid: Tensor
    ) -> Tensor:
        """Return G V with G restricted to pairs at most `reach` apart, exactly, in blocks.

        (Not in the paper.) A block of `reach` steps meets itself and its two neighbours.
        """
        reach = self.reach
        assert reach is not None
        i = torch.arange(reach, device=value.device)[:, None]
        j = torch.arange(3 * reach, device=value.device)[None] - reach
        near = (i - j).abs() <= reach
        real = blocks_around(valid[..., None].to(value.dtype), reach) > 0  # (B, K, 3 reach, 1)
        mixed = self._mix(
            tuple(blocks(x, reach) for x in own),
            tuple(blocks_around(x, reach) for x in others),
            blocks_around(value, reach),
            near & real.transpose(-1, -2),
        )
        return mixed.flatten(1, 2)[:, : value.shape[1]]
