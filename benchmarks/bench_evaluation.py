"""What evaluation costs: ours over the plain reading of each protocol, and from files to a table.

    python benchmarks/bench_evaluation.py [anet thumos14 files] [--repeats 3] [--detections 1000000]

The plain reading is written here from the definition of the protocol, loop by loop, one threshold
after the other, with nothing clever but the detections sorted by class beforehand. It runs on all
of the data, in turn with ours, and every average precision of the two must agree to 1e-9.

The data are drawn: 20,000 videos with 1 to 4 instances of 1 or 2 of 200 classes, one video in ten
with an `Ambiguous` stretch; of the detections three in five are of a class of their video, near
one of its instances, the others of any class anywhere. Scores have 4 decimals, so that many tie.

Seconds are of the processor: one thread does all the work (OMP_NUM_THREADS=1), so on an idle
machine they are those that one waits, and other work disturbs them less.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tsatal.evaluation.average_precision import evaluate
from tsatal.evaluation.matching import ACTIVITYNET_TIOUS, ANET, THUMOS14, THUMOS14_TIOUS, Measure
from tsatal.formats.annotations import (
    AMBIGUOUS,
    AnnotatedVideo,
    Detection,
    Instance,
    class_labels,
)
from tsatal.formats.predictions import predictions_json

TIOUS = {ANET: ACTIVITYNET_TIOUS, THUMOS14: THUMOS14_TIOUS}
TOLERANCE = 1e-9
DURATION_SEC = 200.0
NEAR = 0.6  # share of detections that are of a class of their video

Videos = Mapping[str, AnnotatedVideo]
Predictions = Mapping[str, Sequence[Detection]]
Ranked = Sequence[tuple[str, Detection]]  # of one class, by falling score


def draw_videos(dice: random.Random, *, videos: int, classes: int) -> dict[str, AnnotatedVideo]:
    """Return annotated videos as the module's docstring says."""

    def instance(label: str) -> Instance:
        start, length = dice.uniform(0, 0.8 * DURATION_SEC), dice.uniform(2, 0.2 * DURATION_SEC)
        return Instance(label, start, start + length)

    made = {}
    for number in range(videos):
        own = dice.choices(range(classes), k=2)
        labels = [f"class {dice.choice(own)}" for _ in range(dice.randint(1, 4))]
        labels += [AMBIGUOUS] if dice.random() < 0.1 else []
        name = f"video_{number:07d}"
        made[name] = AnnotatedVideo(name, "test", DURATION_SEC, tuple(map(instance, labels)))
    return made


def draw_detections(
    dice: random.Random, videos: Videos, *, detections: int, classes: int
) -> dict[str, list[Detection]]:
    """Return equally many detections for every video, in no order."""

    def detection(video: AnnotatedVideo) -> Detection:
        score = round(dice.random(), 4)
        if dice.random() < NEAR:
            near = dice.choice([i for i in video.instances if i.label != AMBIGUOUS])
            reach = 0.3 * (near.end_sec - near.start_sec)
            start = near.start_sec + dice.uniform(-reach, reach)
            return Detection(near.label, start, near.end_sec + dice.uniform(-reach, reach), score)
        start = dice.uniform(0, DURATION_SEC)
        return Detection(
            f"class {dice.randrange(classes)}", start, start + dice.uniform(0, 30), score
        )

    return {k: [detection(v) for _ in range(detections // len(videos))] for k, v in videos.items()}


def plain(videos: Videos, predictions: Predictions, protocol: str) -> dict[str, list[float]]:
    """Return the average precision of every class at the protocol's thresholds, by definition."""
    by_label: dict[str, list[tuple[str, Detection]]] = defaultdict(list)
    for video, found in predictions.items():
        for detection in found:
            by_label[detection.label].append((video, detection))
    truth: dict[str, dict[str, list[Instance]]] = defaultdict(lambda: defaultdict(list))
    for video, annotated in videos.items():
        for instance in annotated.instances:
            truth[instance.label][video].append(instance)
    precisions = {}
    for label in class_labels(videos.values()):
        ranked = sorted(by_label[label], key=lambda entry: -entry[1].score)
        precisions[label] = [
            plain_anet(ranked, truth[label], threshold)
            if protocol == ANET
            else plain_thumos14(ranked, truth[label], truth[AMBIGUOUS], threshold)
            for threshold in TIOUS[protocol]
        ]
    return precisions


def plain_tiou(a: Instance | Detection, b: Instance | Detection) -> float:
    """Return the temporal intersection over union of two segments."""
    shared = max(0.0, min(a.end_sec, b.end_sec) - max(a.start_sec, b.start_sec))
    union = (a.end_sec - a.start_sec) + (b.end_sec - b.start_sec) - shared
    return shared / union if union > 0 else 0.0


def plain_anet(ranked: Ranked, truth: Mapping[str, Sequence[Instance]], threshold: float) -> float:
    """Return the area under the monotone envelope of precision over recall."""
    locked: set[tuple[str, int]] = set()
    positives = sum(map(len, truth.values()))
    recall, precision = [0.0], [0.0]
    for rank, (video, detection) in enumerate(ranked, start=1):
        tious = [plain_tiou(detection, instance) for instance in truth.get(video, ())]
        for n in sorted(range(len(tious)), key=lambda n: -tious[n]):
            if tious[n] < threshold:
                break
            if (video, n) not in locked:
                locked.add((video, n))
                break
        recall.append(len(locked) / positives)
        precision.append(len(locked) / rank)
    for rank in reversed(range(len(precision) - 1)):
        precision[rank] = max(precision[rank], precision[rank + 1])
    return sum((recall[i] - recall[i - 1]) * precision[i] for i in range(1, len(recall)))


def plain_thumos14(
    ranked: Ranked,
    truth: Mapping[str, Sequence[Instance]],
    ambiguous: Mapping[str, Sequence[Instance]],
    threshold: float,
) -> float:
    """Return the sum of the precisions at the hits over the number of instances."""
    by_video: dict[str, list[tuple[int, Detection]]] = defaultdict(list)
    for rank, (video, detection) in enumerate(ranked):
        by_video[video].append((rank, detection))
    hits: set[int] = set()
    neutral: set[int] = set()
    for video, found in by_video.items():
        for instance in truth.get(video, ()):
            best, largest = -1, threshold
            for rank, detection in found:
                tiou = plain_tiou(instance, detection)
                if rank not in hits and tiou > largest:
                    best, largest = rank, tiou
            if best >= 0:
                hits.add(best)
        for rank, detection in found:
            if any(plain_tiou(detection, stretch) > 0 for stretch in ambiguous.get(video, ())):
                neutral.add(rank)
    total, counted, found_so_far = 0.0, 0, 0
    for rank in range(len(ranked)):
        counted += rank in hits or rank not in neutral
        if rank in hits:
            found_so_far += 1
            total += found_so_far / counted
    return total / sum(map(len, truth.values()))


def ours(videos: Videos, predictions: Predictions, protocol: str) -> Mapping[str, np.ndarray]:
    """Return the average precision of every class at the protocol's thresholds."""
    measure = Measure(protocol, TIOUS[protocol])
    return evaluate(videos, predictions, measure, subset="test").per_class


def compare(protocol: str, videos: Videos, predictions: Predictions, *, repeats: int) -> bool:
    """Print seconds, ratio and the largest difference; return whether the results agree."""
    ratios, quick, slow, apart = [], [], [], 0.0
    for _ in range(repeats):
        began = time.process_time()
        measured = ours(videos, predictions, protocol)
        between = time.process_time()
        expected = plain(videos, predictions, protocol)
        quick.append(between - began)
        slow.append(time.process_time() - between)
        ratios.append(slow[-1] / quick[-1])
        assert measured.keys() == expected.keys()
        apart = max(apart, *(abs(measured[k] - expected[k]).max() for k in expected))
    print(
        f"{protocol}, {len(TIOUS[protocol])} thresholds: {statistics.median(ratios):.1f} times as "
        f"fast as the plain reading [{min(ratios):.1f} .. {max(ratios):.1f}]   "
        f"{statistics.median(quick):.2f} s / {statistics.median(slow):.2f} s   "
        f"average mAP {np.mean(list(measured.values())):.6f}, largest difference of an AP "
        f"{apart:.1e}",
        flush=True,
    )
    return bool(apart <= TOLERANCE)


def annotations_json(videos: Videos) -> str:
    """Return the ground truth as ActivityNet-style JSON."""
    database = {
        k: {
            "subset": v.subset,
            "duration": v.duration_sec,
            "annotations": [
                {"label": i.label, "segment": [i.start_sec, i.end_sec]} for i in v.instances
            ],
        }
        for k, v in videos.items()
    }
    return json.dumps({"database": database})


def from_files(videos: Videos, predictions: Predictions, *, repeats: int) -> None:
    """Print what `tsatal evaluate --predictions` takes, in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="bench_evaluation_") as folder:
        found, truth = Path(folder) / "predictions.json", Path(folder) / "annotations.json"
        found.write_text(predictions_json(predictions), encoding="utf-8")
        truth.write_text(annotations_json(videos), encoding="utf-8")
        print(f"the file of detections has {found.stat().st_size / 2**20:.0f} MiB", flush=True)
        read = [sys.executable, "-c", f"import json; json.load(open({str(found)!r}))"]
        start = [sys.executable, "-c", "import tsatal.pipeline"]
        for protocol, tious in TIOUS.items():
            command = [sys.executable, "-m", "tsatal", "evaluate", "--protocol", protocol]
            command += ["--predictions", str(found), "--annotations", str(truth)]
            command += ["--tiou", ",".join(map(str, tious))]
            rounds = [[cost(c) for c in (command, read, start)] for _ in range(repeats)]
            whole, reading, starting = (
                statistics.median(seconds for seconds, _ in column)
                for column in zip(*rounds, strict=True)
            )
            peak = max(gib for (_, gib), *_ in rounds)
            print(
                f"{protocol}: tsatal evaluate takes {whole:.1f} s and {peak:.2f} GiB; "
                f"imports alone are {starting:.1f} s, json.load of the file {reading:.1f} s",
                flush=True,
            )


def cost(command: Sequence[str]) -> tuple[float, float]:
    """Return the processor seconds and the peak memory (GiB) of a command."""
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 2**20


def main() -> None:
    """Measure what was asked for; status 1 if a result differs from the plain reading's."""
    parser = argparse.ArgumentParser(description="What evaluation costs.")
    parser.add_argument("parts", nargs="*", metavar="PART", help="anet, thumos14, files; else all")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--detections", type=int, default=1_000_000)
    parser.add_argument("--videos", type=int, default=20_000)
    parser.add_argument("--classes", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    dice = random.Random(args.seed)
    videos = draw_videos(dice, videos=args.videos, classes=args.classes)
    predictions = draw_detections(dice, videos, detections=args.detections, classes=args.classes)
    parts = args.parts or [*TIOUS, "files"]
    agree = [
        compare(protocol, videos, predictions, repeats=args.repeats)
        for protocol in TIOUS
        if protocol in parts
    ]
    if "files" in parts:
        from_files(videos, predictions, repeats=args.repeats)
    sys.exit(not all(agree))


if __name__ == "__main__":
    main()
