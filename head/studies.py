"""Several trainings that answer one question, in one folder: folds, or a learning curve.

Here is what is trained on what, and how that is kept; `study_work` does the trainings, and
`held_out` has what their heads find in videos that they have not seen.

runs/<name>/folds.json  or  curve.json   what is trained on what, and how
           /annotations.json             of all its videos
           /<training>/                  a run like any other, with annotations.json of its own
           /<training>/held_out.json     its detections in the videos that it is measured on; the
                                         training is done as soon as this file is there
           /predictions.json  metrics.json  report.html ...   of all trainings together
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from ..config import Config, parse_config
from ..errors import InputError, listed, printable, quantity, shown
from ..formats.annotations import AnnotatedVideo, Annotations, annotations_json
from ..formats.atomic import check_place, write_text
from ..formats.dealing import Asked, deal_out
from ..formats.features import FeatureFile
from ..formats.folds import deal, unlearnt
from ..formats.grouping import group_videos, unit_of
from ..formats.limits import read_bytes, read_text
from ..formats.split import units_of
from ..formats.subsets import NO_VALIDATION, videos_in_subset
from .run import (
    ANNOTATIONS_FILE,
    CURVE_FILE,
    FOLDS_FILE,
    JSON_FACTOR,
    check_new,
    subsets_of,
)

logger = logging.getLogger(__name__)

TRAIN, MEASURED = "training", "validation"  # subsets in the annotations of each training
SHARES = (0.25, 0.5, 1.0)  # of the training videos, on a learning curve
FEWEST_TO_SHARE = 4  # videos or groups with actions, so that a quarter is one

_Ids = tuple[str, ...]
_Seed = Annotated[int, Field(ge=0, lt=2**63)]


@dataclass(frozen=True)
class Training:
    """One training: its folder's name, its seed, and the ids of the videos on both sides.

    One that holds out none is measured on nothing.

    part: the number of the fold, or of the share of a learning curve.
    """

    name: str
    part: int
    seed: int
    train: _Ids
    held_out: _Ids


@dataclass(frozen=True)
class Folds:
    """Folds, as `folds.json` holds them.

    features: absolute path of the feature file.
    settings: of all trainings; each takes its own `optim.seed`.
    group_by: what stayed together, see `formats.dealing.Dealt`.
    deal: the seed by which videos were dealt.
    folds: the ids of the videos that each holds out; it trains on those of all others.
    names: of the folds; none where they are numbered.
    always: ids that no fold holds out, and all train on.
    """

    features: str
    settings: Mapping[str, Any]
    group_by: str
    deal: int
    seeds: Annotated[tuple[_Seed, ...], Field(min_length=1)]
    folds: Annotated[tuple[_Ids, ...], Field(min_length=2)]
    names: tuple[str, ...] = ()
    always: _Ids = ()

    __pydantic_config__ = ConfigDict(extra="forbid")

    @property
    def trainings(self) -> list[Training]:
        """All trainings, seed by seed, so that an early stop leaves whole ones."""
        return [
            Training(f"fold{n}-seed{seed}", n, seed, self._others(n), self.folds[n])
            for seed in self.seeds
            for n in range(len(self.folds))
        ]

    def _others(self, fold: int) -> _Ids:
        others = (v for n, ids in enumerate(self.folds) if n != fold for v in ids)
        return (*others, *self.always)


@dataclass(frozen=True)
class Curve:
    """A learning curve, as `curve.json` holds it.

    features, settings, group_by: as of `Folds`.
    seeds: one draw of videos each.
    added: by seed, the ids of the videos that each share adds to the one before.
    held_out: the ids of the validation videos, on which all are measured.
    """

    features: str
    settings: Mapping[str, Any]
    group_by: str
    seeds: Annotated[tuple[_Seed, ...], Field(min_length=1)]
    added: tuple[tuple[_Ids, ...], ...]
    held_out: _Ids

    __pydantic_config__ = ConfigDict(extra="forbid")

    @property
    def trainings(self) -> list[Training]:
        """All trainings, draw by draw."""
        return [
            Training(
                f"share{round(100 * share)}-seed{seed}", n, seed,
                tuple(v for ids in added[: n + 1] for v in ids), self.held_out,
            )
            for seed, added in zip(self.seeds, self.added, strict=True)
            for n, share in enumerate(SHARES)
        ]  # fmt: skip


Study = Folds | Curve
Train = Callable[[Path, Config], str]  # trains in a folder, and says what came out
_Plan = TypeVar("_Plan", Folds, Curve)


def plan_folds(
    file: FeatureFile,
    truth: Annotations,
    config: Config,
    *,
    folds: Asked,
    seeds: Sequence[int],
    group_by: str | None,
    deal_seed: int,
) -> tuple[Folds, list[AnnotatedVideo]]:
    """Return the folds of the annotated videos, and these videos.

    Raises:
        InputError: see `formats.dealing.deal_out`.
    """
    data = config.data
    dealt = deal_out(
        file, truth, folds, group_by=group_by, seed=deal_seed,
        train=data.train_subset, validation=data.validation_subset, test=data.test_subset,
    )  # fmt: skip
    videos = dealt.videos
    for label, n in unlearnt(videos, dealt.folds, dealt.always).items():
        logger.warning(
            "%s: all of its actions are in one %s of fold %d, so the head that is measured there "
            "has never seen any, and finds none",
            shown(label), unit_of(dealt.group_by), n,
        )  # fmt: skip
    plan = Folds(
        str(file.path.resolve()), _settings(config), dealt.group_by, deal_seed,
        _each_once(seeds, config), dealt.folds, dealt.names, dealt.always,
    )  # fmt: skip
    of_fold = {v: f"fold{n}" for n, ids in enumerate(dealt.folds) for v in ids}
    for n, ids in enumerate(dealt.folds):
        name = f" ({printable(dealt.names[n])})" if dealt.names else ""
        actions = sum(len(videos[v].instances) for v in ids)
        logger.info(
            "fold %d%s holds out %s with %s: %s", n, name, quantity(len(ids), "video"),
            quantity(actions, "action"), listed(ids, most=20),
        )  # fmt: skip
    return plan, [replace(v, subset=of_fold.get(k, TRAIN)) for k, v in videos.items()]


def plan_curve(
    file: FeatureFile,
    truth: Annotations,
    config: Config,
    *,
    seeds: Sequence[int],
    group_by: str | None,
) -> tuple[Curve, list[AnnotatedVideo]]:
    """Return the draws of a learning curve, and its videos.

    Every draw deals the training videos into a quarter, another, and the other half, balanced like
    folds; each share holds the one before.

    Raises:
        InputError: too few training videos, or subsets whose roles cannot be told.
    """
    subsets = subsets_of(file, truth, config)
    train = videos_in_subset(file, truth, subsets.train)
    watched = videos_in_subset(file, truth, subsets.validation)
    if subsets.train == subsets.validation:
        raise InputError(
            f"{truth.source}: --learning-curve needs validation videos that it does not train on"
        )
    train, by = group_videos(train, truth, group_by)
    unit = unit_of(by)
    units = units_of({k: v for k, v in train.items() if v.instances}, unit)
    if len(units) < FEWEST_TO_SHARE:
        raise InputError(
            f"--learning-curve trains on a quarter of the training {unit}s with actions, and "
            f"{truth.source} has {len(units)}; it needs {FEWEST_TO_SHARE}"
        )
    seeds = _each_once(seeds, config)
    steps = [b - a for a, b in zip((0.0, *SHARES), SHARES, strict=False)]
    added = [deal(train, steps, group_by=unit, seed=seed) for seed in seeds]
    plan = Curve(
        str(file.path.resolve()), _settings(config), by, tuple(seeds),
        tuple(tuple(map(tuple, parts)) for parts in added), tuple(watched),
    )  # fmt: skip
    videos = [replace(v, subset=TRAIN) for v in train.values()]
    return plan, videos + [replace(v, subset=MEASURED) for v in watched.values()]


def _settings(config: Config) -> dict[str, Any]:
    """Return the settings that all trainings share; what each sets by itself is at its default."""
    settings = config.model_dump(mode="json")
    for name in ("train", "validation", "test"):
        settings["data"][f"{name}_subset"] = ""
    settings["optim"]["seed"] = 0
    return settings


def _each_once(seeds: Sequence[int], config: Config) -> tuple[int, ...]:
    return tuple(dict.fromkeys(seeds or [config.optim.seed]))


def config_of(plan: Study, training: Training) -> Config:
    """Return the settings of one training."""
    config = Config.model_validate(plan.settings)
    measured = {"validation_subset": MEASURED, "test_subset": MEASURED}
    if not training.held_out:
        measured = {"validation_subset": NO_VALIDATION, "test_subset": TRAIN}
    subsets = {"train_subset": TRAIN, **measured}
    return config.model_copy(
        update={
            "data": config.data.model_copy(update=subsets),
            "optim": config.optim.model_copy(update={"seed": training.seed}),
        }
    )


def is_study(folder: Path) -> bool:
    """Whether a folder is that of folds or of a learning curve."""
    return any((folder / name).is_file() for name in (FOLDS_FILE, CURVE_FILE))


def load_folds(folder: Path) -> Folds:
    """Return the folds in a folder.

    Raises:
        InputError: there are none, or the file is damaged.
    """
    return _load(folder / FOLDS_FILE, Folds)


def load_curve(folder: Path) -> Curve:
    """Return the learning curve in a folder; errors as of `load_folds`."""
    return _load(folder / CURVE_FILE, Curve)


def _load(path: Path, kind: type[_Plan]) -> _Plan:
    if not path.is_file():
        raise InputError(f"{path}: no such file; name the folder that `tsatal train` printed")
    try:
        plan = TypeAdapter(kind).validate_json(read_bytes(path, factor=JSON_FACTOR))
    except ValidationError as e:
        first = e.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"])) or "JSON"
        raise InputError(
            f"{path}: damaged ({key}: {first['msg']}); put it back, or take a new folder"
        ) from None
    parse_config(plan.settings, source=str(path))
    return plan


def begin(folder: Path, plan: Study, videos: Sequence[AnnotatedVideo]) -> Study:
    """Write what is to be done into a folder, or find that it is there, and return it.

    More seeds than before are added to those that are there.

    Raises:
        InputError: the folder holds something else; the message names the first difference.
    """
    check_place(folder, folder=True)
    name = FOLDS_FILE if isinstance(plan, Folds) else CURVE_FILE
    text = annotations_json(videos)
    if (folder / name).is_file():
        there: Study = load_folds(folder) if isinstance(plan, Folds) else load_curve(folder)
        if difference := _difference(there, plan):
            raise InputError(
                f"{folder}: was begun with {difference}; give the same again to go on with it, or "
                "another --out"
            )
        if read_text(folder / ANNOTATIONS_FILE) != text:
            raise InputError(
                f"{folder}: was begun with other annotations; give the same again to go on with "
                "it, or another --out"
            )
        plan = _with_seeds_of(there, plan)
    else:
        check_new(folder)
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / ANNOTATIONS_FILE, text)
    write_text(folder / name, json.dumps(asdict(plan), indent=1))
    return plan


def _difference(there: Study, here: Study) -> str:
    """Return the first setting in which two plans differ, in words; nothing where they agree."""
    if there.features != here.features:
        return f"features {there.features}, not {here.features}"
    for section, values in here.settings.items():
        for key, value in values.items():
            if (before := there.settings.get(section, {}).get(key)) != value:
                return f"{section}.{key} {shown(before)}, not {shown(value)}"
    if there.group_by != here.group_by:
        return f"--group-by {there.group_by}, not {here.group_by}"
    if isinstance(there, Folds) and isinstance(here, Folds):
        if len(there.folds) != len(here.folds):
            return f"--folds {len(there.folds)}, not {len(here.folds)}"
        if there.deal != here.deal:
            return f"--seed {there.deal}, not {here.deal}"
        if (there.folds, there.always) != (here.folds, here.always):
            return "other videos in its folds"
    if isinstance(there, Curve) and isinstance(here, Curve) and there.held_out != here.held_out:
        return "other validation videos"
    return ""


def _with_seeds_of(there: Study, here: Study) -> Study:
    """Return a plan with the seeds of an earlier one before its own."""
    if isinstance(here, Folds) or isinstance(there, Folds):
        return replace(here, seeds=tuple(dict.fromkeys([*there.seeds, *here.seeds])))
    of_seed = dict(zip(there.seeds, there.added, strict=True))
    of_seed |= {s: a for s, a in zip(here.seeds, here.added, strict=True) if s not in of_seed}
    return replace(here, seeds=tuple(of_seed), added=tuple(of_seed.values()))
