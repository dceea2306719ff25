"""What training and detection cost, ours over a peer's, timed in turn in the same run.

    python benchmarks/bench_head.py FEATURES.h5 [train detect nms shares] [--config strong]
        [--set key=value]... [--width 256] [--actionformer PATH] [--repeats 5] [--device cpu]

train   one optimiser step on the same batch of 2 sequences of 2304 rows (--steps): forward, losses,
        backward, clipping, AdamW, weight average
detect  from features in memory to the final detections of the test videos (at most --videos)
nms     Gaussian soft-NMS: 2,000 candidates over 20 classes, and 2,000 in each of 20 classes
shares  where our time goes: a training under the preset's own sampling, read from the file, and a
        detection read from the file (from the page cache after the warm-up)

The peer is ActionFormer (PATH: a checkout with its NMS extension built), with its own recipe for
THUMOS14, configs/thumos_i3d.yaml, except for the width of the features, the classes, and
`embd_dim`, `fpn_dim`, `head_dim` = --width. Without PATH there are our own figures only.

To be fair to it: it sees both sequences whole (nothing is padded if --steps is a multiple of 576)
with the same clipped actions; in detection its `max_seq_len`, to which it pads shorter videos, is
2304 or what the longest of the videos needs, if less. Features are in memory for both.

Weights are random, which changes no cost but that of decoding: it depends on scores. So on both
sides the logits of the read-out are scaled to a mean of -8 and a standard deviation of 2 on the
longest video (three scores in ten pass 0.001, few are high, as after training) and intervals begin
at twice the stride to either side; then each side decodes as many candidates as its own recipe lets
through, where the video has them: ours `decode.max_candidates` in all, 2,000, the peer 2,000 per
level. How many went into suppression is printed. Without annotations, or without videos that are
long enough, sequences are noise with random actions. Medians of pairwise ratios, their range, and
the medians themselves.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import importlib
import logging
import math
import statistics
import sys
import time
import types
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor, nn

from tsatal.annotations import AnnotatedVideo, class_labels
from tsatal.config import Config, load_config
from tsatal.errors import InputError
from tsatal.features import FeatureFile, TimeAxis
from tsatal.head import decode
from tsatal.head.dataset import (
    Batch,
    LabelledVideo,
    alike_together,
    batches,
    collate_truth,
    draw_windows,
    feature_scale,
    label_videos,
)
from tsatal.head.train import averaged, make_optimizer, seed_everything
from tsatal.pipeline import detect
from tsatal.runs import RunData, build_head, build_loss
from tsatal.subsets import Subsets, choose_subsets, videos_with_features

PARTS = ("train", "detect", "nms", "shares")
SEQUENCES = 2  # in a batch, as in the peer's recipe
PEER_STEPS = 2304  # max_seq_len of the peer's recipe
LOGIT_MEAN, LOGIT_STD = -8.0, 2.0
REACH_STRIDES = 2.0
SOME_BATCHES = 4  # per repeat, for the shares of training
NMS_CANDIDATES, NMS_CLASSES = 2000, 20


class Clock:
    """Adds up seconds, and how much was handled, by name."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: Counter[str] = Counter()  # type: ignore[type-var]
        self.counts: Counter[str] = Counter()

    def now(self) -> float:
        """Return the time in seconds, once the device has done all it was told."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    @contextlib.contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Add the time inside to `name`."""
        began = self.now()
        yield
        self.seconds[name] += self.now() - began  # type: ignore[assignment]

    def wrap(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, measured."""

        def measured(*args: Any, **kwargs: Any) -> Any:
            with self.measure(name):
                return call(*args, **kwargs)

        return measured

    def shares(self) -> str:
        """Return the share of every name, the largest first."""
        total = sum(self.seconds.values())
        return ", ".join(f"{n} {100 * s / total:.1f} %" for n, s in self.seconds.most_common())


def in_turn(repeats: int, clock: Clock, *calls: Callable[[], object]) -> list[list[float]]:
    """Return the seconds of every call, timed A B A B ... after one warm-up each."""
    for call in calls:
        call()
    rounds = []
    for _ in range(repeats):
        marks = [clock.now()]
        for call in calls:
            call()
            marks.append(clock.now())
        rounds.append([b - a for a, b in pairwise(marks)])
    return [list(column) for column in zip(*rounds, strict=True)]


def report(part: str, what: str, figures: str) -> None:
    """Print one line of figures."""
    print(f"({part}) {what}: {figures}", flush=True)


def ratio(above: Sequence[float], below: Sequence[float]) -> str:
    """Return the median of the pairwise ratios and their range."""
    ratios = [a / b for a, b in zip(above, below, strict=True)]
    return f"{statistics.median(ratios):.2f} [{min(ratios):.2f} .. {max(ratios):.2f}]"


@dataclass(frozen=True)
class Material:
    """What is measured on.

    scale: what our head divides features by.
    train: annotated videos to draw windows from; none without annotations.
    test: ids of the videos to detect in.
    """

    file: FeatureFile
    data: RunData
    scale: float
    train: list[LabelledVideo]
    test: list[str]


def find_material(file: FeatureFile, config: Config, *, videos: int | None) -> Material:
    """Return the training and test videos of a feature file as `tsatal train` would choose them."""
    truth = file.annotations()
    there = videos_with_features(file, truth) if truth else {}
    subsets, chosen = Subsets("", "", ""), dict[str, AnnotatedVideo]()
    labels, test = [f"class {n}" for n in range(NMS_CLASSES)], file.video_ids
    if there:
        annotated = Counter(v.subset for v in there.values() if v.instances)
        subsets = choose_subsets(
            annotated,
            train=config.data.train_subset,
            validation=config.data.validation_subset,
            test=config.data.test_subset,
        )
        chosen = {k: v for k, v in there.items() if v.subset == subsets.train and v.instances}
        labels = class_labels(chosen.values())
        test = [k for k, v in there.items() if v.subset == subsets.test]
    streams = config.data.streams or file.streams()
    train = label_videos(file, chosen, labels)
    lengths = [np.diff(v.segments, axis=1).ravel() for v in train]
    data = RunData(
        features=str(file.path),
        streams=tuple(streams),
        labels=tuple(labels),
        subsets=subsets,
        width=file.width(streams),
        reach_steps=max(float(np.median(np.concatenate(lengths))) / 2, 0.5) if lengths else 8.0,
        extraction=file.provenance,
    )
    known = train or label_videos(file, {k: AnnotatedVideo(k, "", None, ()) for k in test[:9]}, [])
    scale = feature_scale(file, known, streams, max_videos=50)
    return Material(file, data, scale, [v for v in train if len(v.segments)], test[:videos])


def make_batch(material: Material, steps: int) -> Batch:
    """Return sequences of `steps` rows: real windows of long videos, or else noise."""
    rng = np.random.default_rng(0)
    data = material.data
    long = [v for v in material.train if v.axis.num_steps >= steps]
    windows = draw_windows(
        long,
        window_steps=steps,
        windows_per_video=SEQUENCES,
        min_share=0.75,
        min_crop=1.0,
        rng=rng,
    )
    if windows:
        return next(
            batches(
                material.file, windows, streams=data.streams, batch_size=SEQUENCES, min_visible=0.5
            )
        )
    starts = rng.uniform(0, steps * 0.9, (SEQUENCES, 15, 1))
    segments = np.concatenate([starts, starts + rng.uniform(2, 0.1 * steps, starts.shape)], axis=2)
    labels = rng.integers(len(data.labels), size=segments.shape[:2])
    features = rng.standard_normal((SEQUENCES, steps, data.width)).clip(min=0) * material.scale
    return Batch(
        torch.from_numpy(features).float(),
        torch.ones(SEQUENCES, steps, dtype=torch.bool),
        collate_truth(list(zip(segments, labels, strict=True))),
    )


class OurTraining:
    """What `tsatal.head.train.fit` does with a batch, measured."""

    def __init__(self, config: Config, material: Material, device: torch.device) -> None:
        optim, data = config.optim, material.data
        seed_everything(optim.seed)
        self.clock = Clock(device)
        self.head = build_head(config, data)
        self.head.divide_features_by(material.scale)
        self.head.to(device).train()
        self.criterion = build_loss(config, data).to(device)
        self.optimizer = make_optimizer(self.head, lr=optim.lr, weight_decay=optim.weight_decay)
        self.average = averaged(self.head, decay=optim.average_decay)
        self.clip_norm = optim.clip_norm

    def step(self, batch: Batch) -> None:
        """Take one optimiser step."""
        with self.clock.measure("network forward"):
            batch = batch.to(self.clock.device)
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


@contextlib.contextmanager
def missing_modules(names: Mapping[str, Sequence[str]]) -> Iterator[None]:
    """Put empty modules where those named, with these members, are not installed."""
    absent = [n for n in names if importlib.util.find_spec(n) is None]
    for name in absent:
        stand_in = types.ModuleType(name)
        for member in names[name]:
            setattr(stand_in, member, None)
        sys.modules[name] = stand_in
    yield
    for name in absent:
        del sys.modules[name]


class Peer:
    """A checkout of ActionFormer.

    Raises:
        InputError: it is not one, or its extension is not built.
    """

    def __init__(self, root: Path) -> None:
        if not (root / "libs" / "modeling" / "meta_archs.py").is_file():
            raise InputError(f"{root}: not a checkout of ActionFormer (no libs/modeling)")
        self.root = root.resolve()
        places = [str(self.root), str(self.root / "libs" / "utils")]
        sys.path[:0] = places
        try:
            # only its own evaluator needs them, which is not used here
            with missing_modules({"pandas": (), "joblib": ("Parallel", "delayed")}):
                self.core = importlib.import_module("libs.core")
                self.modeling = importlib.import_module("libs.modeling")
                self.tools = importlib.import_module("libs.utils")
        except ImportError as e:
            if "nms_1d_cpu" in str(e):
                raise InputError(
                    f"{root}: its NMS extension is not built for this Python and torch ({e}); "
                    f"cd {root}/libs/utils && python setup.py build_ext --inplace"
                ) from None
            raise InputError(f"{root}: cannot be imported ({e})") from None
        finally:
            for place in places:
                sys.path.remove(place)

    def config(self, data: RunData, *, width: int, steps: int, longest: int) -> dict[str, Any]:
        """Return its recipe for THUMOS14 for other features, classes, width and lengths."""
        recipe = self.root / "configs" / "thumos_i3d.yaml"
        config: dict[str, Any] = copy.deepcopy(self.core.load_config(str(recipe)))
        model, window = config["model"], config["model"]["n_mha_win_size"]
        divisor = 2 ** model["backbone_arch"][-1] * (window // 2) * 2
        steps = -(-steps // divisor) * divisor
        model.update(
            input_dim=data.width,
            num_classes=len(data.labels),
            max_seq_len=steps,
            embd_dim=width,
            fpn_dim=width,
            head_dim=width,
            max_buffer_len_factor=max(
                model["max_buffer_len_factor"], float(-(-longest // steps) + 1)
            ),
        )
        return config

    def build(self, config: Mapping[str, Any], device: torch.device) -> nn.Module:
        """Return its untrained model."""
        torch.manual_seed(0)
        made: nn.Module = self.modeling.make_meta_arch(config["model_name"], **config["model"])
        return made.to(device)


class PeerTraining:
    """What the peer's own loop does with a batch."""

    def __init__(self, peer: Peer, config: Mapping[str, Any], device: torch.device) -> None:
        self.model = peer.build(config, device).train()
        self.optimizer = peer.tools.make_optimizer(self.model, config["opt"])
        self.scheduler = peer.tools.make_scheduler(self.optimizer, config["opt"], 100)
        self.average = peer.tools.ModelEma(self.model)
        self.clip_norm = config["train_cfg"]["clip_grad_l2norm"]

    def step(self, videos: Sequence[Mapping[str, Any]]) -> None:
        """Take one optimiser step."""
        self.optimizer.zero_grad(set_to_none=True)
        self.model(videos)["final_loss"].backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), self.clip_norm)
        self.optimizer.step()
        self.scheduler.step()
        self.average.update(self.model)


def peer_video(
    name: str, features: Tensor, axis: TimeAxis, segments: Tensor, labels: Tensor
) -> dict[str, Any]:
    """Return a video, features (T, D), as the peer's data sets do; its frames are our seconds."""
    return {
        "video_id": name,
        "feats": features.T.contiguous(),
        "segments": segments,
        "labels": labels,
        "fps": 1.0,
        "duration": axis.duration_sec,
        "feat_stride": axis.step_sec,
        "feat_num_frames": 2 * axis.start_sec,
    }


def peer_batch(batch: Batch) -> list[dict[str, Any]]:
    """Return our batch as the peer takes it."""
    axis = TimeAxis(batch.features.shape[1], 0.0, 1.0, float(batch.features.shape[1]))
    truth = batch.truth
    return [
        peer_video(f"video {n}", features, axis, segments[labels >= 0], labels[labels >= 0])
        for n, (features, segments, labels) in enumerate(
            zip(batch.features, truth.segments, truth.labels, strict=True)
        )
    ]


def compare_training(
    config: Config, material: Material, peer: Peer | None, *, steps: int, repeats: int, clock: Clock
) -> None:
    """(train)"""
    batch = make_batch(material, steps)
    ours = OurTraining(config, material, clock.device)
    calls: list[Callable[[], object]] = [lambda: ours.step(batch)]
    if peer:
        width = config.model.width
        recipe = peer.config(material.data, width=width, steps=steps, longest=steps)
        theirs, videos = PeerTraining(peer, recipe, clock.device), peer_batch(batch)
        calls.append(lambda: theirs.step(videos))
    seconds = in_turn(repeats, clock, *calls)
    speeds = [f"{1 / statistics.median(s):.3f} steps/s" for s in seconds]
    shape = "{} x {} rows x {}".format(*batch.features.shape)
    actions = int((batch.truth.labels >= 0).sum())
    if len(seconds) == 1:
        report("train", f"ours on {shape}, {actions} actions", speeds[0])
        return
    figures = f"{ratio(*seconds[::-1])} times as fast (aim: 3)   {' / '.join(speeds)}"
    report("train", f"ours against the peer's on {shape}, {actions} actions", figures)


class InMemory:
    """The features of some videos, read once; answers `detect` as a feature file does."""

    def __init__(self, material: Material) -> None:
        file, data = material.file, material.data
        self._rows = {v: file.rows(v, data.streams) for v in material.test}
        self._axis = {v: file.time_axis(v) for v in material.test}

    def rows(self, video_id: str, streams: Sequence[str]) -> np.ndarray:
        """Return all rows."""
        return self._rows[video_id]

    def time_axis(self, video_id: str) -> TimeAxis:
        """Return where they stand."""
        return self._axis[video_id]

    def longest(self) -> str:
        """Return the video with the most rows."""
        return max(self._rows, key=lambda v: len(self._rows[v]))

    def hours(self) -> float:
        """Return how long all videos are together."""
        return sum(a.duration_sec for a in self._axis.values()) / 3600


@torch.no_grad()
def spread_logits(
    read_out: nn.Linear | nn.Conv1d, run: Callable[[], object], *, background: bool
) -> None:
    """Give the logits of a class read-out the mean and deviation that the docstring states.

    Args:
        run: passes a video through the network.
        background: whether logit 0 is a background's; it becomes 0.
    """
    seen: list[Tensor] = []
    handle = read_out.register_forward_hook(lambda _module, _args, out: seen.append(out.flatten()))
    run()
    handle.remove()
    logits = torch.cat(seen)
    assert read_out.bias is not None
    factor = LOGIT_STD / logits.std()
    read_out.weight.mul_(factor)
    read_out.bias.copy_((read_out.bias - logits.mean()) * factor + LOGIT_MEAN)
    if background:
        read_out.weight[0], read_out.bias[0] = 0.0, 0.0


def our_detector(
    config: Config, material: Material, memory: InMemory, device: torch.device
) -> nn.Module:
    """Return our head, untrained, with statistics of real features and scores that pass."""
    data, longest = material.data, memory.longest()
    seed_everything(config.optim.seed)
    head = build_head(config, data)
    head.divide_features_by(material.scale)
    head.to(device).train()
    for module in head.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.momentum = 1.0  # the first batch is all there is to remember
    rows = torch.from_numpy(memory.rows(longest, data.streams)[:PEER_STEPS])[None].to(device)
    with torch.no_grad():
        head(rows, torch.ones(rows.shape[:2], dtype=torch.bool, device=device))
    last = head.final_heads or head.shared_heads
    spread_logits(
        last.classes.read,
        lambda: detect(head.eval(), memory, [longest], config, data, device=device),  # type: ignore[arg-type]
        background=head.softmax,
    )
    return head


def their_detector(
    peer: Peer, config: Mapping[str, Any], video: Mapping[str, Any], device: torch.device
) -> Any:
    """Return the peer's model, untrained, with intervals and scores like ours."""
    model: Any = peer.build(config, device).eval()
    nn.init.constant_(model.reg_head.offset_head.conv.bias, REACH_STRIDES)
    spread_logits(model.cls_head.cls_head.conv, lambda: model([video]), background=False)
    return model


def counting(
    clock: Clock, call: Callable[..., Any], size: Callable[..., int]
) -> Callable[..., Any]:
    """Return the suppression `call`, which counts the candidates that go in, and measured."""
    measured = clock.wrap("suppression", call)

    def counted(*args: Any, **kwargs: Any) -> Any:
        clock.counts["candidates"] += size(*args)
        return measured(*args, **kwargs)

    return counted


@contextlib.contextmanager
def watched(head: nn.Module, clock: Clock) -> Iterator[None]:
    """Measure the network and the suppression in what our decoding does."""
    suppress = counting(clock, decode.soft_nms, lambda _intervals, scores, *_: len(scores))
    with (
        patch.object(head, "forward", clock.wrap("network", head.forward)),
        patch.object(decode, "soft_nms", suppress),
        patch.object(decode, "vote", clock.wrap("suppression", decode.vote)),
    ):
        yield


def compare_detection(
    config: Config, material: Material, peer: Peer | None, *, repeats: int, clock: Clock
) -> None:
    """(detect)"""
    device, data, memory = clock.device, material.data, InMemory(material)
    hours, runs = memory.hours(), repeats + 1
    head = our_detector(config, material, memory, device)
    clocks = [Clock(device), Clock(device)]

    def ours() -> None:
        with watched(head, clocks[0]):
            detect(head, memory, material.test, config, data, device=device)  # type: ignore[arg-type]

    calls: list[Callable[[], object]] = [ours]
    if peer:
        nothing = torch.zeros(0, 2), torch.zeros(0, dtype=torch.long)
        videos = [
            peer_video(
                v, torch.from_numpy(memory.rows(v, data.streams)), memory.time_axis(v), *nothing
            )
            for v in sorted(material.test, key=lambda v: v == memory.longest())
        ]
        longest = videos[-1]["feats"].shape[1]
        steps = min(PEER_STEPS, longest)
        recipe = peer.config(data, width=config.model.width, steps=steps, longest=longest)
        model = their_detector(peer, recipe, videos[-1], device)
        model.postprocessing = counting(
            clocks[1], model.postprocessing, lambda results: len(results[0]["scores"])
        )

        @torch.no_grad()
        def theirs() -> None:
            for video in videos:
                model([video])

        calls.append(theirs)
    seconds = in_turn(repeats, clock, *calls)
    count = len(material.test)
    for who, took, inner in zip(("ours", "peer"), seconds, clocks, strict=False):
        suppression = inner.seconds["suppression"] / runs / hours
        report(
            "detect",
            who,
            f"{statistics.median(took) / hours:.2f} s per hour of video, {suppression:.2f} s of it "
            f"suppression of {inner.counts['candidates'] / runs / count:.0f} candidates a video",
        )
    if len(seconds) == 2:
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


def compare_suppression(
    config: Config, peer: Peer | None, *, per_class: int, repeats: int, clock: Clock
) -> None:
    """(nms)"""
    settings = config.decode
    floor, most = settings.min_score, settings.max_detections
    intervals, scores, labels = make_candidates(per_class)
    segments = torch.from_numpy(intervals).float()
    inputs = segments, torch.from_numpy(scores).float(), torch.from_numpy(labels)

    def ours() -> tuple[np.ndarray, np.ndarray]:
        return decode.soft_nms(
            intervals, scores, labels, sigma=settings.nms_sigma, min_score=floor, max_count=most
        )

    def theirs() -> tuple[Tensor, Tensor, Tensor]:
        assert peer
        suppressed: tuple[Tensor, Tensor, Tensor] = peer.tools.batched_nms(
            *inputs, 0.1, floor, most, use_soft_nms=True, multiclass=True, sigma=settings.nms_sigma
        )
        return suppressed

    seconds = in_turn(repeats, clock, *((ours, theirs) if peer else (ours,)))
    figures = " / ".join(f"{1000 * statistics.median(s):.1f} ms" for s in seconds)
    if peer:
        (kept, decayed), (found, their_decayed, _) = ours(), theirs()
        mine = {tuple(s) for s in segments[kept].tolist()}
        same = sum(tuple(s) in mine for s in found.tolist())
        shared = min(len(kept), len(found))
        apart = np.abs(their_decayed.numpy()[:shared] - decayed[:shared]).max(initial=0)
        figures = (
            f"{ratio(*seconds)} of the peer's time   {figures}   {same} the same of {len(kept)} "
            f"and {len(found)}, scores at most {apart:.0e} apart"
        )
    report("nms", f"{len(scores):,} candidates over {NMS_CLASSES} classes", figures)


def print_shares(config: Config, material: Material, *, repeats: int, clock: Clock) -> None:
    """(shares)"""
    if material.train:
        training_shares(config, material, repeats=repeats, device=clock.device)
    head = our_detector(config, material, InMemory(material), clock.device)
    file, data, inner = material.file, material.data, Clock(clock.device)

    def whole() -> None:
        with watched(head, inner), patch.object(file, "rows", inner.wrap("reading", file.rows)):
            detect(head, file, material.test, config, data, device=clock.device)

    whole()
    inner.seconds.clear()
    began = inner.now()
    for _ in range(repeats):
        whole()
    inner.seconds["decoding"] += inner.now() - began - sum(inner.seconds.values())  # type: ignore[assignment]
    report("shares", f"detection in {len(material.test)} videos", inner.shares())


def training_shares(
    config: Config, material: Material, *, repeats: int, device: torch.device
) -> None:
    """(shares) Training only, with the preset's own windows."""
    sampling, size = config.data, config.optim.batch_size
    rng = np.random.default_rng(0)
    windows = draw_windows(
        material.train,
        window_steps=sampling.window_steps,
        windows_per_video=sampling.windows_per_video,
        min_share=sampling.min_instance_share,
        min_crop=sampling.min_crop,
        rng=rng,
    )
    coming = batches(
        material.file,
        alike_together(windows, size, rng=rng),
        streams=material.data.streams,
        batch_size=size,
        min_visible=sampling.min_visible,
    )
    ours = OurTraining(config, material, device)
    ours.step(next(coming))
    ours.clock.seconds.clear()
    taken = 0
    while taken < SOME_BATCHES * repeats:
        with ours.clock.measure("data loading"):
            batch = next(coming, None)
        if batch is None:
            break
        ours.step(batch)
        taken += 1
    spent = sum(ours.clock.seconds.values())
    what = f"training, batches of {size} x <= {sampling.window_steps} rows"
    report("shares", what, f"{ours.clock.shares()}   {taken / spent:.2f} steps/s")


def main() -> None:
    """Run the parts that are named, or all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("features", type=Path)
    parser.add_argument("parts", nargs="*", metavar="part", help=f"of: {', '.join(PARTS)}")
    parser.add_argument("--config", default="strong")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", dest="changes")
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--steps", type=int, default=PEER_STEPS)
    parser.add_argument("--videos", type=int)
    parser.add_argument("--actionformer", type=Path, metavar="PATH")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_intermixed_args()
    parts = args.parts or PARTS
    if unknown := set(parts) - set(PARTS):
        parser.error(f"no part {', '.join(sorted(unknown))}; there are: {', '.join(PARTS)}")
    logging.basicConfig(level=logging.ERROR)
    threads = torch.get_num_threads()
    print(f"torch {torch.__version__}, {threads} threads, {args.device}, {args.repeats} repeats")
    clock = Clock(torch.device(args.device))
    try:
        config = load_config(args.config, [f"model.width={args.width}", *args.changes])
        peer = Peer(args.actionformer) if args.actionformer else None
        with FeatureFile(args.features) as file:
            material = find_material(file, config, videos=args.videos)
            both: dict[str, Any] = {"repeats": args.repeats, "clock": clock}
            if "train" in parts:
                compare_training(config, material, peer, steps=args.steps, **both)
            if "detect" in parts:
                compare_detection(config, material, peer, **both)
            if "nms" in parts:
                for per_class in (NMS_CANDIDATES // NMS_CLASSES, NMS_CANDIDATES):
                    compare_suppression(config, peer, per_class=per_class, **both)
            if "shares" in parts:
                print_shares(config, material, **both)
    except InputError as e:
        raise SystemExit(f"error: {e}") from None


if __name__ == "__main__":
    main()
