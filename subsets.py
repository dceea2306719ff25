"""Which subset of a data set is trained on, which is watched, and which is tested on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .errors import InputError


@dataclass(frozen=True)
class Subsets:
    """The names of the subsets to train on, to watch during training, and to test on."""

    train: str
    validation: str
    test: str


def choose_subsets(
    annotated: Mapping[str, int], *, train: str = "", validation: str = "", test: str = ""
) -> Subsets:
    """Return the roles of the subsets: as named, and where not named, by the usual names.

    ActivityNet and most others train on `training` and have `validation`, and perhaps `testing`
    with annotations; THUMOS14 trains on `validation` and has `test`. With one held-out subset,
    it is both watched and tested on.

    Args:
        annotated: the number of videos with actions and features, by subset.
        train, validation, test: names given by the user; empty to find them.
    Raises:
        InputError: a named subset has no such video, or a role cannot be told by name; the
            message lists what there is.
    """
    there = ", ".join(f"{name!r} ({n} videos)" for name, n in annotated.items()) or "none"
    for name in filter(None, (train, validation, test)):
        if not annotated.get(name):
            raise InputError(
                f"no annotated video with features is in subset {name!r}; there are: {there}"
            )

    def first(*names: str) -> str:
        return next((n for n in names if annotated.get(n)), "")

    held_out = first("testing", "test")
    train = train or first("training", "train") or (first("validation", "val") if held_out else "")
    watched = first("validation", "val")
    watched = "" if watched == train else watched
    test = test or held_out or watched or validation
    validation = validation or watched or test
    if not train or not test:
        role, missing = ("training", "train") if not train else ("test", "test")
        raise InputError(
            f"cannot tell the {role} subset by name; there are: {there}; "
            f"name it with --set data.{missing}_subset=NAME"
        )
    return Subsets(train, validation, test)
