"""Several trainings that answer one question: folds, and the learning curve."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..config import Config, load_config
from ..formats.dealing import Asked, name_of
from ..formats.features import FeatureFile
from ..formats.labels.find import HowToRead
from ..formats.labels.record import FrameClock
from ..formats.subsets import find_annotations
from ..head.run import ANNOTATIONS_FILE, FINAL, LAST, RUNS
from .files import Pathlike
from .training_runs import resume, train

if TYPE_CHECKING:
    from ..formats.annotations import AnnotatedVideo, Annotations
    from ..head.studies import Study
    from ..reports.folds import FoldsReport
    from ..reports.learning_curve import CurveReport

logger = logging.getLogger(__name__)

TIMELINES = 8  # videos that are drawn


def train_folds(
    features: Pathlike,
    config: str | Config = "strong",
    *,
    folds: Asked = 5,
    seeds: Sequence[int] = (),
    group_by: str | None = None,
    deal: int = 0,
    final: bool = False,
    overrides: Sequence[str] = (),
    out: Pathlike | None = None,
    annotations: Pathlike | None = None,
    label_fps: float | None = None,
    jobs: int = 1,
    device: str = "auto",
    command: Sequence[str] | None = None,
) -> FoldsReport:
    """Train a head for every fold, and measure all in the videos that they have not seen.

    The same call goes on where it was stopped. `docs/folds.md` says what is in the folder.

    Args:
        folds: how many; each holds out its share of the videos, of all but the test subset. Or
            `groups`, one for each. Or those that are dealt already: a JSON file, or lists of ids
            (docs/folds.md).
        seeds: of the trainings; each trains all folds. The settings' own where none is given.
        group_by: "video", or "group": videos of one `group` of the annotations stay together; or
            other members of theirs, "person,camera"; where not given, groups if there are some.
        deal: another number, other folds.
        final: then train a head on all of these videos, the run `final` in the folder; its
            thresholds and calibration are chosen on what the folds found in held-out videos.
        out: the folder; where not given, one in `runs` named after all these.
        jobs: trainings at once, each in a process with its share of the threads. A program that
            calls this with more than one must guard its main module (`if __name__ == "__main__"`).
        features, config, overrides, annotations, label_fps, device, command: see `train`.
    Raises:
        InputError: too few videos; a folder that was begun otherwise; trainings that failed.

    Example:
        >>> print(tsatal.train_folds("out.h5", folds=5, jobs=2))  # doctest: +SKIP
    """
    from ..head.studies import plan_folds

    name, chosen = _named(config, overrides)
    out = Path(out or RUNS / f"{name}-{Path(features).stem}-{name_of(folds)}")
    how = HowToRead(FrameClock(label_fps))
    with _open(features, annotations, how, chosen.eval.exclude) as (file, truth):
        plan, videos = plan_folds(
            file, truth, chosen, folds=folds, seeds=seeds, group_by=group_by, deal_seed=deal
        )
    _carry_out(out, plan, videos, jobs, device, command)
    return _finish_folds(out, final, device, command)


def _finish_folds(
    out: Path, final: bool, device: str, command: Sequence[str] | None
) -> FoldsReport:
    """Measure folds that are trained, and train the final head where it is asked for.

    One that is there takes over what more seeds say.
    """
    from ..head.final import begin_final, is_settled, settle
    from ..head.studies import config_of, load_folds
    from ..head.study_work import alone_in
    from ..reports.folds import evaluate_folds

    report = evaluate_folds(out, out, None, None, TIMELINES, None, None, {})
    if not final and not is_settled(out):
        return report
    with alone_in(out):
        if training := begin_final(out):
            plan = load_folds(out)
            config = config_of(plan, training)
            _train_or_resume(
                out / FINAL, config, features=plan.features, device=device, command=command
            )
        settle(out, report.to_json())
    return replace(report, final=out / FINAL)


def learning_curve(
    features: Pathlike,
    config: str | Config = "strong",
    *,
    seeds: Sequence[int] = (0, 1, 2),
    group_by: str | None = None,
    overrides: Sequence[str] = (),
    out: Pathlike | None = None,
    annotations: Pathlike | None = None,
    split: float | None = None,
    split_seed: int = 0,
    label_fps: float | None = None,
    jobs: int = 1,
    device: str = "auto",
    command: Sequence[str] | None = None,
) -> CurveReport:
    """Train on a quarter, half and all of the training videos; say what twice as many would bring.

    Args:
        seeds: one draw of videos each, which is also the training's seed.
        features, config, overrides, annotations, split, split_seed, label_fps, device, command: see
            `train`.
        group_by, out, jobs: see `train_folds`.
    Raises:
        InputError: as of `train_folds`.
    """
    from ..head.studies import plan_curve
    from ..reports.learning_curve import measure_curve

    name, chosen = _named(config, overrides)
    out = Path(out or RUNS / f"{name}-{Path(features).stem}-curve")
    how = HowToRead(FrameClock(label_fps), split=split, seed=split_seed)
    with _open(features, annotations, how, chosen.eval.exclude) as (file, truth):
        plan, videos = plan_curve(file, truth, chosen, seeds=seeds, group_by=group_by)
    _carry_out(out, plan, videos, jobs, device, command)
    return measure_curve(out)


def _named(config: str | Config, overrides: Sequence[str]) -> tuple[str, Config]:
    """Return settings, and a name for a folder of theirs."""
    if isinstance(config, Config):
        return "run", config
    return Path(config).stem, load_config(config, overrides)


@contextmanager
def _open(
    features: Pathlike, annotations: Pathlike | None, how: HowToRead, exclude: Sequence[str]
) -> Iterator[tuple[FeatureFile, Annotations]]:
    """Open a feature file, with its annotations or others; say which videos have none."""
    from ..checks.check import without_annotations

    with FeatureFile(features) as file:
        truth = find_annotations(file, annotations, how)
        for finding in without_annotations(file, truth, exclude=exclude):
            logger.warning("%s", finding.line)
        yield file, truth


def _carry_out(
    out: Path,
    plan: Study,
    videos: Sequence[AnnotatedVideo],
    jobs: int,
    device: str,
    command: Sequence[str] | None,
) -> None:
    """Do what is left to do of several trainings."""
    from ..head.studies import begin
    from ..head.study_work import alone_in, carry_out

    plan = begin(out, plan, videos)
    one = partial(_train_one, features=plan.features, device=device, command=command)
    with alone_in(out):
        carry_out(out, plan, videos, one, jobs=jobs)


def _train_one(
    run: Path, config: Config, *, features: str, device: str, command: Sequence[str] | None
) -> str:
    """Train one head of several, or go on with it, and keep what it finds in held-out videos."""
    from ..head.held_out import keep_held_out

    _train_or_resume(run, config, features=features, device=device, command=command)
    from ..extract.backbones.device import choose_device

    mean = keep_held_out(run, features, config.decode, config.eval, device=choose_device(device))
    return f"mAP {100 * mean:.2f} % in the videos that it has not seen"


def _train_or_resume(
    run: Path, config: Config, *, features: str, device: str, command: Sequence[str] | None
) -> None:
    """Train a head on the annotations in its folder, or go on with it."""
    truth = run / ANNOTATIONS_FILE
    if (run / LAST).exists():
        resume(run, features=features, annotations=truth, device=device, command=command)
    else:
        train(features, config, run=run, annotations=truth, device=device, command=command)
