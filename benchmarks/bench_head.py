"""What training and detection cost, ours over a peer's, timed in turn in the same run.

    python benchmarks/bench_head.py FEATURES.h5 [train detect nms shares] [--config strong]
        [--set key=value]... [--actionformer PATH] [--repeats 5] [--device cpu]

train   one optimiser step on the same batch of 2 sequences of 2304 rows (--steps): forward, losses,
        backward, clipping, AdamW, weight average; ours also with the norms frozen
detect  from features in memory to the final detections of the test videos (at most --videos)
nms     Gaussian soft-NMS: 2,000 candidates over 20 classes, and 2,000 in each of 20 classes
shares  where our time goes: a training under the preset's own sampling, read from the file, and a
        detection read from the file (from the page cache after the warm-up)

The peer is ActionFormer (PATH: a checkout with its NMS extension built); actionformer_peer.py says
how it is made comparable. It is as wide as our head: `--set model.width=N`. Without PATH there are
our own figures only. Medians of pairwise ratios, their range, and the medians themselves.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import numpy as np
import torch
from torch import nn

from tsatal.config import Config, DataConfig, load_config
from tsatal.errors import InputError
from tsatal.formats.features import FeatureFile
from tsatal.formats.subsets import videos_in_subset
from tsatal.head import dataset, decode, nms
from tsatal.head.dataset import Batch
from tsatal.head.detector import Detector
from tsatal.head.feature_stats import FeatureStats
from tsatal.head.fused_norm import freeze_norms
from tsatal.head.loop import averaged, make_optimizer, seed_everything
from tsatal.head.losses import HeadLoss
from tsatal.head.model import TSATAL
from tsatal.head.run import RunData, build_head, describe
from tsatal.head.windows import LabelledVideo, alike_together, draw_windows, plan_windows

if TYPE_CHECKING:  # the name by which mypy knows it
    from benchmarks.actionformer_peer import (
        MAX_STEPS,
        Clock,
        Peer,
        as_video,
        in_turn,
        ratio,
        spread_logits,
    )
else:
    from actionformer_peer import MAX_STEPS, Clock, Peer, as_video, in_turn, ratio, spread_logits

SEQUENCES = 2  # in a batch, as in the peer's recipe
SOME_BATCHES = 4  # per repeat, for the shares of training
NMS_CANDIDATES, NMS_CLASSES = 2000, 20


@dataclass(frozen=True)
class Bench:
    """What is measured, on what.

    steps: rows of each sequence in `train`.
    stats: by which our head normalises features.
    train: videos with actions to draw windows from.
    test: ids of the videos to detect in.
    """

    config: Config
    peer: Peer | None
    device: torch.device
    repeats: int
    steps: int
    file: FeatureFile
    data: RunData
    stats: FeatureStats
    train: list[LabelledVideo]
    test: list[str]


def load_data(file: FeatureFile, config: Config, *, videos: int | None) -> dict[str, Any]:
    """Return the training and test videos of a feature file as `tsatal train` would choose them."""
    truth = file.annotations()
    if truth is None:
        raise InputError(f"{file.path}: has no annotations inside, which this needs")
    data, training = describe(file, truth, config)
    train = [v for v in training.labelled if len(v.segments)]
    test = list(videos_in_subset(file, truth, data.subsets.test))[:videos]
    stats = training.stats
    return {"file": file, "data": data, "stats": stats, "train": train, "test": test}


def report(part: str, what: str, figures: str) -> None:
    """Print one line of figures."""
    print(f"({part}) {what}: {figures}", flush=True)


def draw_batches(
    bench: Bench, videos: Sequence[LabelledVideo], sampling: DataConfig, *, size: int, alike: bool
) -> Iterator[Batch]:
    """Yield one pass over the videos; `alike`: windows of like length meet, as in training."""
    rng = np.random.default_rng(0)
    plan = plan_windows(videos, sampling, epochs=1, batch_size=size)
    windows = draw_windows(videos, plan, sampling, rng=rng)
    if alike:
        windows = alike_together(windows, size, rng=rng)
    streams = bench.data.streams
    return dataset.batches(bench.file, windows, sampling, streams=streams, batch_size=size)


def full_batch(bench: Bench) -> Batch:
    """Return sequences of `bench.steps` rows, without padding, with the actions clipped to them."""
    steps = bench.steps
    long = [v for v in bench.train if v.axis.num_steps >= steps]
    if not long:
        longest = max(v.axis.num_steps for v in bench.train)
        raise InputError(
            f"no training video has {steps} rows; the longest has {longest}: --steps {longest}"
        )
    changes: dict[str, Any] = {"window_steps": steps, "windows_per_video": SEQUENCES}
    changes |= {"min_crop": 1.0, "min_visible": 0.5}
    sampling = bench.config.data.model_copy(update=changes)
    return next(draw_batches(bench, long, sampling, size=SEQUENCES, alike=False))


def new_head(bench: Bench) -> TSATAL:
    """Return our untrained head, ready to be trained."""
    seed_everything(bench.config.optim.seed)
    head = build_head(bench.config, bench.data)
    head.normalise_features(bench.stats)
    return head.to(bench.device).train()


class OurTraining:
    """What `tsatal.head.loop.fit` does with a batch, measured."""

    def __init__(self, bench: Bench, *, frozen: bool = False) -> None:
        optim = bench.config.optim
        self.clock, self.head = Clock(bench.device), new_head(bench)
        if frozen:
            freeze_norms(self.head)
        self.criterion = HeadLoss(bench.config.loss).to(bench.device)
        self.optimizer = make_optimizer(self.head, lr=optim.lr, weight_decay=optim.weight_decay)
        self.average = averaged(self.head, decay=optim.average_decay)
        self.clip_norm = optim.clip_norm
        self.half = optim.half and bench.device.type == "cuda"

    def step(self, batch: Batch) -> None:
        """Take one optimiser step."""
        with self.clock.measure("network forward"):
            batch = batch.to(self.clock.device)
            with torch.autocast(self.clock.device.type, torch.bfloat16, enabled=self.half):
                output = self.head(batch.features, batch.valid)
        with self.clock.measure("loss and backward"):
            loss, _ = self.criterion(output, batch.truth, num_steps=batch.features.shape[1])
            assert math.isfinite(loss.item())
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
        with self.clock.measure("clipping, optimiser, average"):
            nn.utils.clip_grad_norm_(self.head.parameters(), self.clip_norm)
            self.optimizer.step()
            self.average.update_parameters(self.head)


def compare_training(bench: Bench) -> None:
    """(train)"""
    batch, width = full_batch(bench), bench.config.model.width
    calls: dict[str, Callable[[], None]] = {
        "ours": partial(OurTraining(bench).step, batch),
        "ours, norms frozen": partial(OurTraining(bench, frozen=True).step, batch),
    }
    if peer := bench.peer:
        calls["peer"] = peer.training_step(bench.data, batch, width=width, device=bench.device)
    shape, actions = batch.features.shape, int((batch.truth.labels >= 0).sum())
    report("train", "steps of", "{} x {} rows x {}, {} actions".format(*shape, actions))
    seconds = in_turn(*calls.values(), repeats=bench.repeats, device=bench.device)
    for what, each in zip(calls, seconds, strict=True):
        figures = f"{1 / statistics.median(each):.3f} steps/s"
        if bench.peer and what != "peer":
            figures += f", {ratio(seconds[-1], each)} times as fast as the peer (aim: 3)"
        report("train", what, figures)


@contextlib.contextmanager
def in_memory(bench: Bench) -> Iterator[None]:
    """Read the test videos once; inside, the feature file answers from memory."""
    file = bench.file
    rows = {v: file.rows(v, bench.data.streams) for v in bench.test}
    axes = {v: file.time_axis(v) for v in bench.test}
    with (
        patch.object(file, "rows", lambda video_id, _streams: rows[video_id]),
        patch.object(file, "time_axis", axes.__getitem__),
    ):
        yield


def run_detection(bench: Bench, head: TSATAL, videos: Sequence[str]) -> None:
    """Detect in videos of the feature file."""
    detector = Detector(head, bench.config, bench.data, bench.device)
    for video_id in videos:
        detector.in_file(bench.file, video_id)


def our_detector(bench: Bench) -> TSATAL:
    """Return our head, untrained, with statistics of real features and scores that pass."""
    file, head = bench.file, new_head(bench)
    longest = max(bench.test, key=lambda v: file.time_axis(v).num_steps)
    for module in head.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.momentum = 1.0  # the first batch is all there is to remember
    rows = torch.from_numpy(file.rows(longest, bench.data.streams)[None, :MAX_STEPS])
    with torch.no_grad():
        head(rows.to(bench.device), torch.ones(rows.shape[:2]).bool().to(bench.device))
    head.eval()
    last = head.final_heads or head.shared_heads
    spread_logits(
        last.classes.read,
        lambda: run_detection(bench, head, [longest]),
        background=last.exclusive,
        branch=last.classes,
    )
    return head


def our_detection(bench: Bench, clock: Clock) -> Callable[[], None]:
    """Return the detection in all test videos, its network and its suppression measured."""
    head, vote = our_detector(bench), clock.wrap("suppression", nms.vote)
    network = clock.wrap("network", head.forward)
    keep = clock.wrap("suppression", nms.soft_nms, lambda _intervals, scores, *_: len(scores))

    def run() -> None:
        with (
            patch.object(head, "forward", network),
            patch.object(decode, "soft_nms", keep),
            patch.object(decode, "vote", vote),
        ):
            run_detection(bench, head, bench.test)

    return run


def peer_detection(bench: Bench, peer: Peer, clock: Clock) -> Callable[[], None]:
    """Return the peer's detection in all test videos, its suppression measured."""
    file, streams = bench.file, bench.data.streams
    return peer.detection(
        bench.data,
        [as_video(torch.from_numpy(file.rows(v, streams)), file.time_axis(v)) for v in bench.test],
        width=bench.config.model.width,
        clock=clock,
    )


def compare_detection(bench: Bench) -> None:
    """(detect)"""
    clocks = [Clock(bench.device), Clock(bench.device)]
    with in_memory(bench):
        hours = sum(bench.file.time_axis(v).duration_sec for v in bench.test) / 3600
        calls = [our_detection(bench, clocks[0])]
        if bench.peer:
            calls.append(peer_detection(bench, bench.peer, clocks[1]))
        seconds = in_turn(*calls, repeats=bench.repeats, device=bench.device)
    count, runs = len(bench.test), bench.repeats + 1
    for who, took, clock in zip(("ours", "peer"), seconds, clocks, strict=False):
        suppression = clock.seconds["suppression"] / runs / hours
        figures = (
            f"{statistics.median(took) / hours:.2f} s per hour of video, {suppression:.2f} s of it "
            f"suppression of {clock.candidates / runs / count:.0f} candidates a video"
        )
        report("detect", who, figures)
    if bench.peer:
        what = f"ours against the peer's on {count} videos, {hours:.2f} hours"
        report("detect", what, f"{ratio(*seconds[::-1])} times as fast (aim: 5)")


def make_candidates(per_class: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return intervals (N, 2) in seconds, scores and labels: of each class so many, in clusters."""
    rng = np.random.default_rng(0)
    count = per_class * NMS_CLASSES
    labels = np.repeat(np.arange(NMS_CLASSES), per_class)
    centre, length = rng.uniform(0, 600, (NMS_CLASSES, 10)), rng.uniform(2, 20, (NMS_CLASSES, 10))
    action = rng.integers(10, size=count)
    middle = centre[labels, action] + length[labels, action] * rng.normal(0, 0.4, count)
    half = length[labels, action] * rng.lognormal(0, 0.4, count) / 2
    scores = 1 / (1 + np.exp(-rng.normal(-4, 2, count)))
    order = np.argsort(-scores)
    return np.stack([middle - half, middle + half], axis=1)[order], scores[order], labels[order]


def compare_suppression(bench: Bench) -> None:
    """(nms)"""
    decoding, peer = bench.config.decode, bench.peer
    limits: dict[str, Any] = {"sigma": decoding.nms_sigma, "min_score": decoding.min_score}
    limits["max_count"] = decoding.max_detections
    for per_class in (NMS_CANDIDATES // NMS_CLASSES, NMS_CANDIDATES):
        found = make_candidates(per_class)
        segments, scores, labels = (torch.from_numpy(a) for a in found)
        inputs = segments.float(), scores.float(), labels
        calls: list[Callable[[], Any]] = [partial(nms.soft_nms, *found, **limits)]
        if peer:
            calls.append(partial(peer.soft_nms, *inputs, **limits))
        seconds = in_turn(*calls, repeats=bench.repeats, device=bench.device)
        figures = " / ".join(f"{1000 * statistics.median(s):.1f} ms" for s in seconds)
        if peer:
            ours, theirs = inputs[0][calls[0]()[0]].tolist(), calls[1]()[0].tolist()
            same = sum(segment in ours for segment in theirs)
            agreement = f"{same} the same of {len(ours)} and {len(theirs)}"
            figures = f"{ratio(*seconds)} of the peer's time   {figures}   {agreement}"
        report("nms", f"{len(scores):,} candidates over {NMS_CLASSES} classes", figures)


def training_shares(bench: Bench) -> None:
    """(shares) Training, with the preset's own windows."""
    sampling, size = bench.config.data, bench.config.optim.batch_size
    coming = draw_batches(bench, bench.train, sampling, size=size, alike=True)
    ours, taken = OurTraining(bench), 0
    ours.step(next(coming))
    ours.clock.seconds.clear()
    load = ours.clock.wrap("data loading", lambda: next(coming, None))
    for batch in islice(iter(load, None), SOME_BATCHES * bench.repeats):
        ours.step(batch)
        taken += 1
    speed = taken / sum(ours.clock.seconds.values())
    figures = f"{ours.clock.shares()}   {speed:.2f} steps/s"
    report("shares", f"training, batches of {size} x <= {sampling.window_steps} rows", figures)


def detection_shares(bench: Bench) -> None:
    """(shares) Detection, from the file."""
    file, clock = bench.file, Clock(bench.device)
    whole = our_detection(bench, clock)
    with patch.object(file, "rows", clock.wrap("reading", file.rows)):
        whole()
        clock.seconds.clear()
        began = clock.now()
        for _ in range(bench.repeats):
            whole()
    clock.seconds["decoding"] = clock.now() - began - sum(clock.seconds.values())
    report("shares", f"detection in {len(bench.test)} videos", clock.shares())


PARTS = {
    "train": [compare_training],
    "detect": [compare_detection],
    "nms": [compare_suppression],
    "shares": [training_shares, detection_shares],
}


def parse_args() -> argparse.Namespace:
    """Return the command line's arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("features", type=Path)
    parser.add_argument("parts", nargs="*", metavar="part", help=f"of: {', '.join(PARTS)}")
    parser.add_argument("--config", default="strong")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="changes")
    parser.add_argument("--steps", type=int, default=MAX_STEPS)
    parser.add_argument("--videos", type=int)
    parser.add_argument("--actionformer", type=Path, metavar="PATH")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", type=torch.device, default="cpu")
    args = parser.parse_intermixed_args()
    if unknown := set(args.parts) - set(PARTS):
        parser.error(f"no part {', '.join(sorted(unknown))}; there are: {', '.join(PARTS)}")
    return args


def main() -> None:
    """Run the parts that are named, or all."""
    args = parse_args()
    logging.basicConfig(level=logging.ERROR)
    threads = torch.get_num_threads()
    print(f"torch {torch.__version__}, {threads} threads, {args.device}, {args.repeats} repeats")
    try:
        config = load_config(args.config, args.changes)
        peer = Peer(args.actionformer) if args.actionformer else None
        with FeatureFile(args.features) as file:
            data = load_data(file, config, videos=args.videos)
            bench = Bench(config, peer, args.device, args.repeats, args.steps, **data)
            for part, measures in PARTS.items():
                for measure in measures if part in (args.parts or PARTS) else []:
                    measure(bench)
    except InputError as e:
        raise SystemExit(f"error: {e}") from None


if __name__ == "__main__":
    main()
