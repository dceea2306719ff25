"""Annotated videos in, folds out: who is held out with whom, so that nothing is measured twice.

Whole videos are dealt, or whole groups of them (a person, a day, a camera), so that no fold knows
from training what it is measured on. Every class has its share in every fold where it can.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from ..errors import InputError, quantity
from .annotations import AMBIGUOUS, AnnotatedVideo, Annotations, class_labels
from .features import FeatureFile
from .names import as_spelled, nfc
from .split import GroupBy, as_one, divide, units_of
from .subsets import videos_with_features, with_durations

logger = logging.getLogger(__name__)

DEALS = 16  # of which the best is taken,
MANY = 500  # where there are fewer units than that; of more, any deal is even
TESTING = ("testing", "test")  # subsets that folds leave alone


def videos_to_deal(
    file: FeatureFile,
    truth: Annotations,
    *,
    train: str = "",
    validation: str = "",
    test: str = "",
    named: Collection[str] = (),
) -> dict[str, AnnotatedVideo]:
    """Return the annotated videos with features that folds are made of, and log the others.

    The test subset is left out, so that it can be measured on in the end. Where the user names
    subsets, only those named to train on and to validate on are in.

    Args:
        train, validation, test: names of subsets given by the user; empty to find them.
        named: ids that are in, whatever their subset.
    Raises:
        InputError: a named subset has no such video, or no video is left.
    """
    there = with_durations(file, videos_with_features(file, truth))
    counts = Counter(v.subset for v in there.values())
    train, validation, test = (as_spelled(nfc(n), counts) for n in (train, validation, test))
    for name in filter(None, (train, validation, test)):
        if not counts[name]:
            truth.subset(name)  # says which there are
            raise InputError(f"{file.path}: has features of none of the videos of subset {name!r}")
    left_out = (
        {test} if test else {n for n in (as_spelled(n, counts) for n in TESTING) if counts[n]}
    )
    left_out -= {train, validation}
    wanted = {name for name in (train, validation) if name}
    if not train:
        wanted = set(counts) - left_out
    chosen = {k: v for k, v in there.items() if v.subset in wanted or k in named}
    absent = sum(v.subset in wanted for k, v in truth.videos.items() if k not in there)
    if absent:
        logger.warning("%d annotated videos have no features and are in no fold", absent)
    left = Counter(v.subset for k, v in there.items() if k not in chosen)
    for name in sorted(left):
        logger.info("in no fold: %s of subset %r", quantity(left[name], "video"), name)
    if not chosen:
        raise InputError(
            f"{truth.source}: no video with features is left for folds, which leave the test "
            "subset alone; name one to deal from with --set data.train_subset=NAME"
        )
    return chosen


def deal(
    videos: Mapping[str, AnnotatedVideo],
    shares: Sequence[float],
    *,
    group_by: GroupBy = "video",
    seed: int = 0,
) -> list[list[str]]:
    """Return the ids of the videos of every part, in the order of `videos`.

    Of several deals by `split.divide`, the one is taken that leaves the fewest parts without an
    action, then the fewest classes in a single part though they could be in two, then the one
    whose parts have most nearly their share of every class.

    Args:
        shares: of the instances, part by part; they add up to 1.
        seed: another one deals otherwise.
    """
    units = units_of(videos, group_by)
    whole = as_one(videos, units)
    names = {f"{n:04d}": share for n, share in enumerate(shares)}
    number = DEALS if len(units) < MANY else 1
    deals = [divide(whole, names, seed=DEALS * seed + n) for n in range(number)]
    best = min(deals, key=lambda parts: _unevenness(whole, names, parts))
    _give_each_an_action(whole, names, best)
    part_of = {v: best[unit] for unit, ids in units.items() for v in ids}
    return [[v for v in videos if part_of[v] == name] for name in names]


def deal_folds(
    videos: Mapping[str, AnnotatedVideo], folds: int, *, group_by: GroupBy, seed: int = 0
) -> list[list[str]]:
    """Return the ids of the videos that each fold holds out.

    Raises:
        InputError: there are fewer videos or groups with actions than folds.
    """
    units = units_of(videos, group_by)
    with_actions = [n for n, ids in units.items() if any(_actions(videos[v]) for v in ids)]
    if len(with_actions) < folds:
        remedy = "fewer folds" if len(with_actions) > 1 else "annotate others, too"
        raise InputError(
            f"--folds {folds}: each fold holds out a {group_by} with actions, and there "
            f"{'is' if len(with_actions) == 1 else 'are'} {len(with_actions)}; {remedy}"
            + (", or --group-by video" if group_by == "group" else "")
        )
    return deal(videos, [1 / folds] * folds, group_by=group_by, seed=seed)


def unlearnt(
    videos: Mapping[str, AnnotatedVideo],
    folds: Sequence[Iterable[str]],
    always: Iterable[str] = (),
) -> dict[str, int]:
    """Return the classes that are all in one fold, so that no training without it has them.

    Args:
        always: ids that all train on.
    """
    known = set(class_labels(videos[v] for v in always))
    of_fold = [set(class_labels(videos[v] for v in fold)) for fold in folds]
    number = Counter(label for labels in of_fold for label in labels)
    return {
        label: n
        for n, labels in enumerate(of_fold)
        for label in sorted(labels)
        if number[label] == 1 and label not in known
    }


def _actions(video: AnnotatedVideo) -> Counter[str]:
    return Counter(i.label for i in video.instances if i.label != AMBIGUOUS)


def _unevenness(
    units: Mapping[str, AnnotatedVideo], shares: Mapping[str, float], parts: Mapping[str, str]
) -> tuple[int, int, float]:
    """Return what is wrong with a deal, worst first; less is better."""
    counts = {name: Counter[str]() for name in shares}
    spread: dict[str, set[str]] = {}
    holders: Counter[str] = Counter()
    for unit, part in parts.items():
        own = _actions(units[unit])
        counts[part] += own
        holders.update(own.keys())
        for label in own:
            spread.setdefault(label, set()).add(part)
    total = sum(counts.values(), Counter[str]())
    empty = sum(not c for c in counts.values())
    alone = sum(len(p) == 1 and holders[label] > 1 for label, p in spread.items())
    uneven = sum(
        abs(counts[name][label] / n - share)
        for name, share in shares.items()
        for label, n in total.items()
    )
    sizes = Counter(parts.values())
    uneven += sum(abs(sizes[name] / len(parts) - share) for name, share in shares.items())
    return empty, alone, round(uneven, 9)


def _give_each_an_action(
    units: Mapping[str, AnnotatedVideo], shares: Mapping[str, float], parts: dict[str, str]
) -> None:
    """Move a unit with actions, the smallest, into each part that has none."""
    for name in shares:
        by_part: dict[str, list[str]] = {part: [] for part in shares}
        for unit, part in parts.items():
            if _actions(units[unit]):
                by_part[part].append(unit)
        largest = max(by_part.values(), key=len)
        if not by_part[name] and len(largest) > 1:
            parts[min(largest, key=lambda u: (_actions(units[u]).total(), u))] = name
