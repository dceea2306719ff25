"""What decoding assumes of a data set, checked on the validation videos after the training.

`decode.class_agreement` multiplies a segment's score by its class's share along the segment. Where
rows tell classes badly by themselves (short movements between long postures) that does harm, and
where they tell them well it helps; which it is, only data tell.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from ..evaluation.matching import Measure, match
from ..evaluation.significance import map_difference
from ..formats.annotations import AnnotatedVideo, Detection
from .decode import AGREEMENT

logger = logging.getLogger(__name__)

OTHERS = (0.4, 0.0)  # powers that are tried beside AGREEMENT
ENOUGH_VIDEOS = 5  # with actions; of fewer, all may agree by chance


def check_agreement(
    videos: Mapping[str, AnnotatedVideo],
    found: dict[str, list[Detection]],
    detect: Callable[[float], dict[str, list[Detection]]],
    *,
    measure: Measure,
    subset: str,
) -> tuple[float, dict[str, list[Detection]]]:
    """Return the power of a class's share that fits these videos, and its detections.

    It is `AGREEMENT` unless another's average mAP is higher by more than two standard errors, half
    of the 95 % interval of the difference (`significance.map_difference`).

    Args:
        found: detections with `AGREEMENT`.
        detect: detects in the videos with another power.
    """
    if sum(bool(v.instances) for v in videos.values()) < ENOUGH_VIDEOS:
        return AGREEMENT, found
    first = match(videos, found, measure, subset=subset)
    best, kept, lead = AGREEMENT, found, 0.0
    for power in OTHERS:
        other = detect(power)
        gain = map_difference(first, match(videos, other, measure, subset=subset))
        if gain.value > max((gain.high - gain.low) / 2, lead):
            best, kept, lead = power, other, gain.value
    if best != AGREEMENT:
        logger.info(
            "on %r, mAP is %.1f points higher where scores hang less on what the rows along a "
            "segment say of its class: decode.class_agreement is %g",
            subset, 100 * lead, best,
        )  # fmt: skip
    return best, kept
