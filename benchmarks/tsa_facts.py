"""Look inside TSA on videos that were not trained on: what it believes, relates, adds, and learns.

    python benchmarks/tsa_facts.py FEATURES.h5 strong --folds 4 --seeds 0 --runs FOLDER

A head is trained for each fold and seed, as compare_heads.py does (the same folds), and kept in
`--runs`, where a second call finds it; with `--first N` for the first N folds alone. Printed is the
mean over folds and seeds of each fact, with its standard error. `same` are steps of the same
action, `repetition` those of another action of the same class in the same video, `other class` and
`background` as they say.

* Average precision of telling the rows of any action from the others: by the actionness that is
  pre-judged, by that of the heads after TSA, and by the latter with what TSA adds left out.
  `chance` is the share of rows that are of an action. And the mean over classes of the average
  precision of telling the rows of a class, as pre-judged.
* Repetitions in reach: the share of actions with one at most `tsa_reach` rows from their ends.
* Of what the rows of actions take in by G, the shares from each kind of row; the same by M alone,
  which is how a plain attention would mix, and by the number of rows alone.
* B, the tIoU of the proposals, between rows of the same action and between repetitions.
* How evenly M weighs: the entropy of its rows, as a share of the greatest.
* The sum of a row of G; the norm of what is added over the norm of the row; and of what is added
  the share that is the same for all rows of a video, which a bias could do as well.
* The cosine between the gradients of the stages' losses at the embedding, in training.

`--kept FOLDER` trains nothing: it reads what compare_heads.py has kept with `--keep`, and prints
for each of its rows the average precision of telling the rows of any action by the actionness
between TSA and TPP, which is kept with the detections, and the paired difference to the preset as
it is; then what the average mAP gains if every score is times the mean actionness of its segment.
"""

from __future__ import annotations

import argparse
import logging
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from tsatal import pipeline
from tsatal.config import Config, load_config
from tsatal.evaluation.significance import spread
from tsatal.formats.annotations import ActionnessCurve, Detection
from tsatal.formats.features import FeatureFile
from tsatal.formats.predictions import load_actionness, load_predictions
from tsatal.formats.subsets import find_annotations, videos_in_subset, videos_with_features
from tsatal.head.dataset import label_videos
from tsatal.head.detector import Detector, load_detector
from tsatal.head.explanation import Explanation, explain_rows
from tsatal.head.losses import HeadLoss
from tsatal.head.model import TSATAL
from tsatal.head.run import training_videos
from tsatal.head.training import epoch_batches
from tsatal.head.windows import LabelledVideo, plan_windows

if TYPE_CHECKING:  # the name by which mypy knows it
    from benchmarks.head_results import (
        TEST,
        TRAIN,
        Result,
        deal_folds,
        difference,
        measure_fold,
        write_fold,
    )
else:
    from head_results import (
        TEST,
        TRAIN,
        Result,
        deal_folds,
        difference,
        measure_fold,
        write_fold,
    )

KINDS = ("same", "repetition", "other class", "background")
BATCHES = 10  # of which gradients are taken


def average_precision(scores: np.ndarray, right: np.ndarray) -> float:
    """Return the area under precision over recall, NaN where nothing is right."""
    if not right.any():
        return float("nan")
    order = np.argsort(-scores, kind="stable")
    hits = right[order].cumsum()
    precision = hits / np.arange(1, len(hits) + 1)
    return float(precision[right[order]].mean())


def owners(video: LabelledVideo) -> np.ndarray:
    """Return the number of the action that each row is of, -1 for none; the shortest counts."""
    owner = np.full(video.axis.num_steps, -1)
    rows = np.arange(video.axis.num_steps)
    for n in np.argsort(-np.diff(video.segments, axis=1)[:, 0], kind="stable"):
        start, end = video.segments[n]
        owner[(rows >= start) & (rows <= end)] = n
    return owner


def pairs_by_kind(video: LabelledVideo, owner: np.ndarray) -> dict[str, np.ndarray]:
    """Return for each kind which pairs of an action's row and any row are of it, (I, T) bool."""
    label = np.where(owner >= 0, np.append(video.labels, 0)[owner], -1)
    mine, mine_label = owner[owner >= 0, None], label[owner >= 0, None]
    action = owner[None] >= 0
    same = mine == owner[None]
    return {
        "same": same,
        "repetition": action & ~same & (mine_label == label[None]),
        "other class": action & (mine_label != label[None]),
        "background": ~action & np.ones_like(same),
    }


def matrix_facts(told: Explanation, video: LabelledVideo, owner: np.ndarray) -> dict[str, float]:
    """Return what the matrices say about one video, by the names that are printed."""
    facts: dict[str, float] = {}
    of_action = owner >= 0
    kinds = pairs_by_kind(video, owner)
    allowed = told.m > 0
    for name, weights in (("G", told.g), ("M", told.m), ("rows", allowed.astype(float))):
        taken = weights[of_action]
        total = max(float(taken.sum()), 1e-12)
        for kind, chosen in kinds.items():
            facts[f"{name} takes from {kind}"] = float((taken * chosen).sum()) / total
    for kind in KINDS[:2]:
        chosen = kinds[kind] & allowed[of_action]
        facts[f"B between {kind}"] = (
            float(told.b[of_action][chosen].mean()) if chosen.any() else np.nan
        )
    m = told.m[of_action].clip(1e-12)
    counts = allowed[of_action].sum(1).clip(2)
    facts["entropy of M"] = float((-(m * np.log(m)).sum(1) / np.log(counts)).mean())
    facts["sum of a row of G"] = float(told.g[of_action].sum(1).mean())
    facts["added, of the row's norm, actions"] = float(told.added[of_action].mean())
    if (~of_action).any():
        facts["added, of the row's norm, background"] = float(told.added[~of_action].mean())
    return facts


def within_reach(video: LabelledVideo, reach: int | None) -> list[bool]:
    """Return of each action whether a repetition is so near; none where there is none at all."""
    found = []
    for n, (start, end) in enumerate(video.segments):
        others = (video.labels == video.labels[n]) & (np.arange(len(video.labels)) != n)
        if others.any():
            gap = np.maximum(video.segments[others, 0] - end, start - video.segments[others, 1])
            found.append(reach is None or bool(gap.min() <= reach))
    return found


def facts_of_run(run: Path, features: Path) -> dict[str, float]:
    """Return the facts of one trained head in its test videos."""
    detector = load_detector(run)
    config, data = detector.config, detector.data
    sums: dict[str, list[float]] = defaultdict(list)
    rows_of: dict[str, list[np.ndarray]] = defaultdict(list)
    with FeatureFile(features) as file:
        truth = find_annotations(file, data.annotations_for(None, None))
        labelled = label_videos(file, videos_in_subset(file, truth, data.subsets.test), data.labels)
        for video in labelled:
            rows = file.rows(video.video_id, data.streams)
            told, without = explain_rows(detector, rows), without_tsa(detector, rows)
            part = len(told.added)
            owner = owners(video)[:part]
            rows_of["action"].append(owner >= 0)
            rows_of["pre-judged"].append(told.pre_judged)
            rows_of["after TSA"].append(told.actionness)
            rows_of["after TSA, left out"].append(without)
            rows_of["classes"].append(told.probabilities[:, 1:])
            rows_of["label"].append(np.where(owner >= 0, np.append(video.labels, 0)[owner], -1))
            if (owner >= 0).any():
                for name, value in matrix_facts(told, video, owner).items():
                    sums[name].append(value)
            sums["repetition in reach"] += within_reach(video, config.model.tsa_reach)
            sums["added, the same in all rows"].append(constant_share(detector, rows))
        facts = {f"cosine of gradients, {k}": v for k, v in gradients(detector, file).items()}
    joined = {name: np.concatenate(parts) for name, parts in rows_of.items()}
    ap = {"chance": float(joined["action"].mean())}
    for name in ("pre-judged", "after TSA", "after TSA, left out"):
        ap[f"AP of rows, {name}"] = average_precision(joined[name], joined["action"])
    by_class = [
        average_precision(joined["classes"][:, c], joined["label"] == c)
        for c in range(joined["classes"].shape[1])
    ]
    ap["AP of rows, pre-judged, by class"] = mean_of(by_class)
    return {**ap, **{name: mean_of(v) for name, v in sums.items()}, **facts}


def mean_of(values: Sequence[float]) -> float:
    """Return the mean of what is a number; NaN where nothing is."""
    numbers = [v for v in values if not np.isnan(v)]
    return float(np.mean(numbers)) if numbers else float("nan")


def without_tsa(detector: Detector, rows: np.ndarray) -> np.ndarray:
    """Return the actionness after TSA with what TSA adds left out."""
    head = detector.head
    assert isinstance(head, TSATAL) and head.tsa is not None
    weight = head.tsa.to_out.weight.data
    kept = weight.clone()
    try:
        weight.zero_()
        return explain_rows(detector, rows).actionness
    finally:
        weight.copy_(kept)


@torch.inference_mode()
def constant_share(detector: Detector, rows: np.ndarray) -> float:
    """Return the share of what TSA adds that is the mean over all rows of the video."""
    head = detector.head
    assert isinstance(head, TSATAL) and head.tsa is not None
    kept: list[torch.Tensor] = []
    hook = head.tsa.register_forward_hook(lambda _, given, out: kept.append(out - given[0]))
    x = torch.from_numpy(rows[None, : detector.config.decode.window_steps or 100])
    head(x, torch.ones(x.shape[:2], dtype=torch.bool))
    hook.remove()
    (added,) = kept  # (1, D, T)
    return float(added.mean(2).square().sum() / added.square().sum(1).mean().clamp(min=1e-12))


def gradients(detector: Detector, file: FeatureFile) -> dict[str, float]:
    """Return the cosines between the stages' gradients at the embedding, means over batches."""
    head, config, data = detector.head, detector.config, detector.data
    assert isinstance(head, TSATAL)
    truth = find_annotations(file, data.annotations_for(None, None))
    videos = training_videos(
        file, truth, subset=data.subsets.train, streams=data.streams, labels=data.labels
    ).labelled
    optim = config.optim
    plan = plan_windows(videos, config.data, epochs=optim.epochs, batch_size=optim.batch_size)
    head.train()
    torch.manual_seed(0)  # of dropout
    found: dict[str, list[float]] = defaultdict(list)
    for n, batch in enumerate(epoch_batches(file, videos, plan, config, data.streams, epoch=0)):
        if n == BATCHES:
            break
        output = head(batch.features, batch.valid)
        by_stage = {}
        for stage in output.stages():
            off = {s: float(s == stage) for s in ("pre", "refined", "final")}
            criterion = HeadLoss(config.loss.model_copy(update=off))
            loss, _ = criterion(output, batch.truth, num_steps=batch.valid.shape[1])
            given = torch.autograd.grad(loss, list(head.embed.parameters()), retain_graph=True)
            by_stage[stage] = torch.cat([g.flatten() for g in given])
        for a, b in combinations(by_stage, 2):
            cosine = torch.cosine_similarity(by_stage[a], by_stage[b], dim=0)
            found[f"{a} and {b}"].append(float(cosine))
    head.eval()
    return {name: float(np.mean(values)) for name, values in found.items()}


def trained_runs(
    features: Path, row: str, count: int, seeds: Sequence[int], folder: Path, *, first: int | None
) -> Iterator[Path]:
    """Yield the runs of all folds and seeds; those that are not there are trained."""
    with FeatureFile(features) as file:
        truth = find_annotations(file, None)
        folds = deal_folds(truth, file, count)
    preset, *changes = row.split()
    for seed in seeds:
        for n, fold in enumerate(folds[:first]):
            run = folder / f"{features.stem}.{row.replace(' ', '_')}.fold{n}.seed{seed}"
            annotations = folder / f"{run.name}.json"
            if not (run / "predictions.json").exists():
                folder.mkdir(parents=True, exist_ok=True)
                write_fold(truth, fold, annotations)
                own = [f"optim.seed={seed}", "optim.validate_every=1000000"]
                own += [f"data.{s}_subset={TEST}" for s in ("validation", "test")]
                config: Config = load_config(preset, [*changes, *own, f"data.train_subset={TRAIN}"])
                pipeline.train(features, config, run=run, annotations=annotations)
                pipeline.evaluate(run, timelines=0)
            yield run


def kept_actionness(features: Path, count: int, keep: Path) -> list[str]:
    """Return a line for every kept row: the average precision of its actionness, in %."""
    with FeatureFile(features) as file:
        truth = find_annotations(file, None)
        folds = deal_folds(truth, file, count)
        labels = sorted({i.label for v in truth.videos.values() for i in v.instances})
        videos = videos_with_features(file, truth)
        owner = {v.video_id: owners(v) for v in label_videos(file, videos, labels)}
    found: dict[str, list[Result]] = defaultdict(list)
    worth: dict[str, list[float]] = defaultdict(list)
    for path in sorted(keep.glob("*.fold*.seed*.json")):
        row, fold, seed = path.stem.rsplit(".", 2)
        number = int(fold.removeprefix("fold"))
        curves, test = load_actionness(path), folds[number].test
        scores = np.concatenate([curves[v].values for v in test])
        right = np.concatenate([owner[v] >= 0 for v in test])
        value = 100 * average_precision(scores, right)
        found[row].append(Result(row, number, int(seed.removeprefix("seed")), value, 0.0, 0.0))
        detected = load_predictions(path)
        masked = {v: with_mask(d, curves[v]) for v, d in detected.items()}
        worth[row].append(
            measure_fold(truth, folds[number], masked)
            - measure_fold(truth, folds[number], detected)
        )
    lines = []
    for row, runs in found.items():
        mean, _ = spread([r.average_map for r in runs])
        preset = row.split("_")[0]
        against = difference(runs, found[preset]) if row != preset and preset in found else ""
        as_mask = "{:+.1f} +- {:.1f}".format(*spread(worth[row]))
        lines.append(f"{mean:6.1f} ({len(runs)}) {against:>19} {as_mask:>12}  {row}")
    return lines


def with_mask(found: Sequence[Detection], curve: ActionnessCurve) -> list[Detection]:
    """Return detections with scores times the mean actionness of the rows in their segment."""
    values = np.asarray(curve.values)
    seconds = curve.start_sec + curve.step_sec * np.arange(len(values))
    masked = []
    for d in found:
        inside = (d.start_sec <= seconds) & (seconds <= d.end_sec)
        inside[np.abs(seconds - (d.start_sec + d.end_sec) / 2).argmin()] = True  # one at least
        masked.append(replace(d, score=d.score * float(values[inside].mean())))
    return sorted(masked, key=lambda d: -d.score)


def main() -> None:
    """Read the command line, train what is not there, look, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("features", type=Path)
    parser.add_argument("row", nargs="?", default="strong", help="as for compare_heads.py")
    parser.add_argument("--folds", type=int, default=4)
    parser.add_argument("--first", type=int, metavar="N", help="folds to look at; else all")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--runs", type=Path, default=Path("tsa_facts"), metavar="FOLDER")
    parser.add_argument("--kept", type=Path, metavar="FOLDER", help="train nothing")
    given = parser.parse_args()
    torch.set_num_threads(1)
    logging.getLogger("tsatal").setLevel(logging.ERROR)
    if given.kept:
        print("\n".join(kept_actionness(given.features, given.folds, given.kept)))
        return
    every: dict[str, list[float]] = defaultdict(list)
    for run in trained_runs(
        given.features, given.row, given.folds, given.seeds, given.runs, first=given.first
    ):
        for name, value in facts_of_run(run, given.features).items():
            every[name].append(value)
    for name, values in every.items():
        mean, error = spread(values)
        print(f"{mean:8.3f} +- {error:.3f} ({len(values)})  {name}")


if __name__ == "__main__":
    main()
