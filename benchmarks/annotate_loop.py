"""What annotating costs, and what an order of videos is worth: two measurements.

    python benchmarks/annotate_loop.py page
    python benchmarks/annotate_loop.py loop FEATURES.h5 --seeds 0 1 2 3 4 --out loop.csv

`page` drives the page of `tsatal annotate` in a headless Chromium, with the demo's videos and known
actions, and prints seconds per action: marked by hand from start to end; with suggestions that are
right (accepted); with suggestions whose edges are off (corrected). A script needs no time to look
and think, so this is what the page itself costs, in waiting and in keys; the video does not play.

`loop` simulates: labels are revealed when they are asked for. The sequences are dealt
by the seed: two in five are tested on, the others are cut between their actions into recordings of
about one action. A head is trained on a few recordings at random; then, round by round, further
ones are labelled and a head is trained anew: those of which the last head is least sure
(`tsatal annotate --order useful`), or random ones. The two begin from the same recordings. The
table gives the average mAP after each round, and how many labels it took to come to 90 % of the mAP
with all labels, by linear interpolation.
"""

from __future__ import annotations

import argparse
import csv
import logging
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from statistics import mean, median, stdev
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tsatal import pipeline
from tsatal.annotator.server import open_server
from tsatal.annotator.session import Session
from tsatal.annotator.suggest import Suggested, suggest
from tsatal.commands.demo import write_demo_videos
from tsatal.config import load_config
from tsatal.extract.sources import assign_ids, find_videos
from tsatal.formats.annotation_file import AnnotationFile
from tsatal.formats.annotations import AnnotatedVideo, Detection, Instance, annotations_json
from tsatal.formats.features import FeatureFile, VideoFeatures, write_feature_file
from tsatal.formats.labels.find import load_annotations
from tsatal.formats.subsets import find_annotations
from tsatal.head.decode import AGREEMENT
from tsatal.head.detector import load_detector
from tsatal.head.run import POINT_FILE

if TYPE_CHECKING:
    from playwright.sync_api import Page

TESTED = 0.4  # share of the sequences
FIRST, EACH = 6, 6  # recordings that are labelled at first, and in each round
ENOUGH = 0.9  # of the mAP with all labels
SHORT = ("optim.epochs=15", "data.least_steps=90", "optim.validate_every=1000000")
OFF_SEC = 0.12  # of an edge set by a click on the ruler: a picture, and two pixels of 30 s
ORDERS = ("random", "useful")


# ---- the loop ----


@dataclass(frozen=True)
class Row:
    """One training: which order, after how many labels, and what it found."""

    seed: int
    order: str
    labels: int
    seconds_of_video: float
    mean_ap: float


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
            seconds = sum(videos[v].duration_sec or 0 for v in labelled)
            labels = sum(len(videos[v].instances) for v in labelled)
            yield Row(seed, order, labels, seconds, value)
            if not rest:
                break
            if order == "useful":
                rest = most_useful(file, videos, rest, run)
            labelled, rest = labelled + rest[:EACH], rest[EACH:]


def labels_needed(rows: Sequence[Row]) -> float:
    """Return the labels at which 90 % of the last mAP are first reached, between rounds linear."""
    wanted = ENOUGH * rows[-1].mean_ap
    if rows[0].mean_ap >= wanted:
        return rows[0].labels
    for a, b in pairwise(rows):
        if b.mean_ap >= wanted:
            share = (wanted - a.mean_ap) / (b.mean_ap - a.mean_ap)
            return a.labels + share * (b.labels - a.labels)
    return rows[-1].labels


def tell_loop(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the lines of the table."""
    seeds = sorted({r.seed for r in rows})
    needed: dict[str, list[float]] = {}
    for order in ORDERS:
        ones = [[r for r in rows if (r.seed, r.order) == (s, order)] for s in seeds]
        needed[order] = [labels_needed(of_seed) for of_seed in ones]
        cells = [
            f"{mean([r.labels for r in at]):.0f}: {mean([r.mean_ap for r in at]):.1f}"
            for at in zip(*ones, strict=False)
        ]
        yield f"{order:>7}  labels: mAP  {'  '.join(cells)}"
        said = ", ".join(f"{n:.0f}" for n in needed[order])
        yield f"{'':>7}  labels for 90 %: {mean(needed[order]):.1f} ({said})"
    differences = [u - r for u, r in zip(needed["useful"], needed["random"], strict=True)]
    error = stdev(differences) / len(differences) ** 0.5 if len(seeds) > 1 else 0.0
    yield f"useful - random: {mean(differences):+.1f} labels, standard error {error:.1f}"


def loop(args: argparse.Namespace) -> None:
    """Simulate all seeds, write each training down as it comes, and print the table."""
    torch.set_num_threads(1)
    logging.getLogger("tsatal").setLevel(logging.ERROR)
    rows = []
    started = time.process_time()
    with tempfile.TemporaryDirectory() as folder, args.out.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(Row.__dataclass_fields__)
        for seed in args.seeds:
            for row in simulate(args.features, seed, Path(folder)):
                rows.append(row)
                writer.writerow(vars(row).values())
                out.flush()
                print(row, f"{time.process_time() - started:.0f} s", flush=True)
    print("\n".join(tell_loop(rows)))


# ---- the page ----


def settled(page: Page) -> None:
    """Return when the video stands and all is saved."""
    page.evaluate(
        """async () => {
          const video = document.querySelector("video");
          const saved = document.querySelector("#saved");
          while (video.seeking || !["", "Saved"].includes(saved.innerText)) {
            await new Promise((done) => setTimeout(done, 2));
          }
        }"""
    )


def by_hand(page: Page, action: Instance, number: int) -> int:
    """Mark an action from nothing; return how many keys and clicks it took."""
    x, y = place(page, action.start_sec)
    page.mouse.click(x, y)
    settled(page)
    page.keyboard.press("s")
    x, y = place(page, action.end_sec - 0.02)
    page.mouse.click(x, y)
    settled(page)
    page.keyboard.press("e")
    page.keyboard.press(str(number))
    return 5


def accept(page: Page, action: Instance, number: int) -> int:
    """Accept the suggestion at hand."""
    page.keyboard.press("a")
    return 1


def correct(page: Page, action: Instance, number: int) -> int:
    """Accept the suggestion at hand, and move both of its edges to where they should be."""
    page.keyboard.press("g")
    settled(page)
    page.keyboard.press("c")
    keys = 2
    for key, at in (("[", action.start_sec), ("]", action.end_sec - 0.02)):
        page.mouse.click(*place(page, at))
        settled(page)
        page.keyboard.press(key)
        keys += 2
    return keys


def place(page: Page, seconds: float) -> tuple[float, float]:
    """Return where an instant is on the ruler, px."""
    box = page.locator("#ruler").bounding_box()
    extent = float(page.locator("#ruler").get_attribute("aria-valuemax") or 1)
    assert box
    return box["x"] + box["width"] * seconds / extent, box["y"] + 12


def drive(page: Page, folder: Path, way: Any, shift_sec: float | None) -> tuple[float, float, int]:
    """Annotate the folder's video in one way; return seconds and keys per action, and actions.

    Args:
        shift_sec: how far suggestions are off; None for no suggestions.
    """
    truth = load_annotations(folder / "truth.json").videos
    paths, _ = assign_ids(find_videos(folder))
    (folder / "annotations.json").unlink(missing_ok=True)
    labels = sorted({i.label for v in truth.values() for i in v.instances})
    found = {
        v: [
            Detection(i.label, max(0.0, i.start_sec - (shift_sec or 0)), i.end_sec, 0.9 - n / 100)
            for n, i in enumerate(truth[v].instances)
        ]
        for v in paths
    }
    suggested = Suggested(found if shift_sec is not None else {})
    session = Session(paths, AnnotationFile(folder / "annotations.json"), suggested=suggested)
    session.ready(0, wait_sec=60)
    server, address = open_server(session)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    page.goto(address)
    page.locator("#next").click()
    page.wait_for_timeout(500)
    settled(page)
    for label in labels:
        page.keyboard.press("/")
        page.keyboard.type(label)
        page.keyboard.press("Enter")
    actions = truth[session.ids[0]].instances
    keys, started = 0, time.perf_counter()
    known = page.locator("button.label").all_inner_texts()
    for action in actions:
        number = next(n for n, words in enumerate(known, start=1) if action.label in words)
        keys += way(page, action, number)
        settled(page)
    seconds = time.perf_counter() - started
    there = load_annotations(folder / "annotations.json").videos[session.ids[0]].instances
    assert len(there) == len(actions)
    for one, wanted in zip(there, actions, strict=True):
        assert one.label == wanted.label
        assert (
            abs(one.start_sec - wanted.start_sec) < OFF_SEC
            and abs(one.end_sec - wanted.end_sec) < OFF_SEC
        )
    server.shutdown()
    return seconds / len(actions), keys / len(actions), len(actions)


def measure_page(args: argparse.Namespace) -> None:
    """Measure the three ways, in turn, and print medians."""
    from playwright.sync_api import sync_playwright

    program = shutil.which("chromium") or shutil.which("chromium-browser")
    ways = {"by hand": (by_hand, None), "accepted": (accept, 0.0), "corrected": (correct, 0.3)}
    results: dict[str, list[tuple[float, float, int]]] = {name: [] for name in ways}
    with tempfile.TemporaryDirectory() as scratch, sync_playwright() as driver:
        folder = Path(scratch)
        write_demo_videos(folder, training=1, validation=0, duration_sec=30.0, seed=0)
        (folder / "annotations.json").rename(folder / "truth.json")
        browser = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        for _ in range(args.times):
            for name, (way, shift) in ways.items():
                tab = browser.new_page(viewport={"width": 1200, "height": 900})
                results[name].append(drive(tab, folder, way, shift))
                tab.close()
        browser.close()
    for name, measured in results.items():
        seconds = median(m[0] for m in measured)
        print(f"{name:>10}: {seconds:.2f} s and {measured[0][1]:.0f} keys or clicks per action")
    print(f"{results['by hand'][0][2]} actions, median of {args.times}")


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    one = commands.add_parser("page")
    one.add_argument("--times", type=int, default=3)
    one.set_defaults(run=measure_page)
    other = commands.add_parser("loop")
    other.add_argument("features", type=Path)
    other.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    other.add_argument("--out", type=Path, default=Path("loop.csv"))
    other.set_defaults(run=loop)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
