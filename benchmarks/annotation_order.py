"""What an order of videos is worth: labels needed for 90 % of the mAP with all labels.

    python benchmarks/annotation_order.py ut-squeezenet.h5 --seeds 0 1 2 3 4 --out order.csv

A simulated loop of annotating and training: labels are revealed when they are asked for. Two in
five sequences, drawn by the seed, are tested on; the others are cut between their actions into
recordings of about one action. A head is trained on a few recordings at random; then, round by
round, more are labelled and a head is trained anew: those that come first by
`tsatal annotate --order useful`, or random ones. Both begin with the same recordings, and end with
all.

The table gives the average mAP after each round, and how many labels it took to come to 90 % of the
mAP with all labels, between rounds by linear interpolation. Trainings that are in --out are not
made again.
"""

from __future__ import annotations

import argparse
import csv
import logging
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path
from statistics import mean, stdev

import numpy as np
import torch

from tsatal import pipeline
from tsatal.annotator.suggest import suggest
from tsatal.config import load_config
from tsatal.errors import InputError
from tsatal.formats.annotations import AnnotatedVideo, Instance, annotations_json
from tsatal.formats.feature_writer import write_feature_file
from tsatal.formats.features import FeatureFile, VideoFeatures
from tsatal.formats.subsets import find_annotations
from tsatal.head.decode import AGREEMENT
from tsatal.head.detector import load_detector
from tsatal.head.run import POINT_FILE

TESTED = 0.4  # share of the sequences
FIRST, EACH = 6, 6  # recordings that are labelled at first, and in each round
ENOUGH = 0.9  # of the mAP with all labels
SHORT = ("optim.epochs=15", "data.least_steps=90", "optim.validate_every=1000000")
ORDERS = ("random", "useful")


@dataclass(frozen=True)
class Row:
    """One training: in which order, after how many labels, and its average mAP in %."""

    seed: int
    order: str
    labels: int
    average_map: float


def pieces_of(video: AnnotatedVideo, duration_sec: float) -> list[tuple[float, float]]:
    """Return the recordings that a sequence is cut into: between its actions, in the middle."""
    actions = sorted(video.instances, key=lambda i: i.start_sec)
    cuts = [(a.end_sec + b.start_sec) / 2 for a, b in pairwise(actions) if b.start_sec > a.end_sec]
    return list(pairwise([0.0, *cuts, duration_sec]))


def cut(
    file: FeatureFile, video: AnnotatedVideo, subset: str, spans: Sequence[tuple[float, float]]
) -> Iterator[tuple[VideoFeatures, AnnotatedVideo]]:
    """Yield stretches of a video as videos of their own, on a clock of their own."""
    axis, rows = file.time_axis(video.video_id), file.rows(video.video_id, file.streams())
    times = axis.start_sec + axis.step_sec * np.arange(axis.num_steps)
    for number, (start, end) in enumerate(spans):
        inside = np.flatnonzero((times >= start) & (times < end))
        name = f"{video.video_id}_{number}"
        at = times[inside[0]] - start
        made = VideoFeatures(name, {"rgb": rows[inside]}, at, axis.step_sec, end - start)
        kept = tuple(
            Instance(i.label, max(i.start_sec, start) - start, min(i.end_sec, end) - start)
            for i in video.instances
            if i.start_sec < end and i.end_sec > start
        )
        yield made, AnnotatedVideo(name, subset, end - start, kept)


def deal(features: Path, seed: int, out: Path) -> dict[str, AnnotatedVideo]:
    """Write the feature file of a seed: tested sequences whole, the others cut; return all."""
    with FeatureFile(features) as file:
        truth = find_annotations(file, None).videos
        order = np.random.default_rng(seed).permutation(sorted(truth))
        tested = {str(v) for v in order[: round(TESTED * len(order))]}
        made = []
        for video_id, video in truth.items():
            duration = file.time_axis(video_id).duration_sec
            whole = [(0.0, duration)]
            spans = whole if video_id in tested else pieces_of(video, duration)
            made += list(cut(file, video, "test" if video_id in tested else "pool", spans))
    write_feature_file(out, [rows for rows, _ in made], provenance={"extractor": "benchmark"})
    return {video.video_id: video for _, video in made}


def train_and_measure(
    features: Path, videos: dict[str, AnnotatedVideo], labelled: Sequence[str], seed: int, run: Path
) -> float:
    """Return the average mAP of a head that was trained on these recordings, in percent."""
    known = [videos[v] for v in labelled] + [v for v in videos.values() if v.subset == "test"]
    annotations = run.parent / f"{run.name}.json"
    annotations.write_text(annotations_json(known))
    own = [f"optim.seed={seed}", "data.train_subset=pool", f"decode.class_agreement={AGREEMENT}"]
    own += [f"data.{s}_subset=test" for s in ("validation", "test")]
    config = load_config("strong", [*SHORT, *own])
    pipeline.train(features, config, run=run, annotations=annotations)
    (run / POINT_FILE).unlink(missing_ok=True)  # chosen on what is tested
    measured = pipeline.evaluate(run, protocol="anet", exclude=(), timelines=0)
    return 100 * measured.evaluation.average_map


def most_useful(
    features: Path, videos: dict[str, AnnotatedVideo], rest: Sequence[str], run: Path
) -> list[str]:
    """Return the recordings as `tsatal annotate --order useful` sorts them."""
    detector = load_detector(run)
    with FeatureFile(features) as file:
        found = {v: detector.in_file(file, v).detections for v in rest}
    return suggest(found, None, {v: videos[v].duration_sec for v in rest}).order(rest)


def simulate(features: Path, seed: int, scratch: Path) -> Iterator[Row]:
    """Yield the trainings of a seed, both orders round by round."""
    file = scratch / f"{seed}.h5"
    videos = deal(features, seed, file)
    dice = np.random.default_rng([seed, 1])
    pool = [str(v) for v in dice.permutation([v for v in videos if videos[v].subset == "pool"])]
    done: dict[tuple[str, ...], tuple[float, Path]] = {}  # both orders begin and end alike
    for order in ORDERS:
        labelled, rest = pool[:FIRST], pool[FIRST:]
        while True:
            key = tuple(sorted(labelled))
            if key not in done:
                run = scratch / f"{seed}_{order}_{len(labelled)}"
                done[key] = train_and_measure(file, videos, labelled, seed, run), run
            value, run = done[key]
            labels = sum(len(videos[v].instances) for v in labelled)
            yield Row(seed, order, labels, value)
            if not rest:
                break
            if order == "useful":
                rest = most_useful(file, videos, rest, run)
            labelled, rest = labelled + rest[:EACH], rest[EACH:]


def labels_needed(rows: Sequence[Row]) -> float:
    """Return the labels at which 90 % of the last mAP are first reached, between rounds linear."""
    wanted = ENOUGH * rows[-1].average_map
    if rows[0].average_map >= wanted:
        return rows[0].labels
    for a, b in pairwise(rows):
        if b.average_map >= wanted:
            share = (wanted - a.average_map) / (b.average_map - a.average_map)
            return a.labels + share * (b.labels - a.labels)
    return rows[-1].labels


def tell(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the lines of the table."""
    seeds = sorted({r.seed for r in rows})
    needed: dict[str, list[float]] = {}
    for order in ORDERS:
        ones = [[r for r in rows if (r.seed, r.order) == (s, order)] for s in seeds]
        needed[order] = [labels_needed(of_seed) for of_seed in ones]
        cells = [
            f"{mean([r.labels for r in at]):.0f}: {mean([r.average_map for r in at]):.1f}"
            for at in zip(*ones, strict=False)
        ]
        yield f"{order:>7}  labels: mAP  {'  '.join(cells)}"
        said = ", ".join(f"{n:.0f}" for n in needed[order])
        yield f"{'':>7}  labels for 90 %: {mean(needed[order]):.1f} ({said})"
    differences = [u - r for u, r in zip(needed["useful"], needed["random"], strict=True)]
    error = stdev(differences) / len(differences) ** 0.5 if len(seeds) > 1 else 0.0
    yield f"useful - random: {mean(differences):+.1f} labels, standard error {error:.1f}"


def read(path: Path) -> list[Row]:
    """Return the trainings in a CSV; none where it is not there."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [
            Row(int(r["seed"]), r["order"], int(r["labels"]), float(r["average_map"]))
            for r in csv.DictReader(file)
        ]


def append(path: Path, rows: Sequence[Row]) -> None:
    """Add the trainings of a seed to a CSV, all or none."""
    new = not path.exists()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow([f.name for f in fields(Row)])
        writer.writerows([vars(row).values() for row in rows])


def main() -> None:
    """Read the command line, simulate all seeds, print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("features", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--out", type=Path, required=True, help="CSV of all trainings, added to")
    given = parser.parse_args()
    torch.set_num_threads(1)
    logging.getLogger("tsatal").setLevel(logging.ERROR)
    rows = read(given.out)
    try:
        for seed in given.seeds:
            if any(r.seed == seed for r in rows):
                continue
            with tempfile.TemporaryDirectory() as folder:
                of_seed = list(simulate(given.features, seed, Path(folder)))
            rows += of_seed
            append(given.out, of_seed)
    except InputError as e:
        raise SystemExit(f"error: {e}") from None
    print("\n".join(tell([r for r in rows if r.seed in given.seeds])))


if __name__ == "__main__":
    main()
