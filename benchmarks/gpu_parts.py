"""The parts of gpu.py, each run as a process of its own: `gpu_parts.py PART --rows FILE ...`.

tests     the tests marked `cuda`
extract   extraction with frames decoded beforehand over the bare network; from files, decoded by
          all cores, and which of the two limits it
network   the bare network against the product of two matrices, in operations a second
head      training steps a second of `strong` at width 512, and detection, beside ActionFormer's
decode    decoding by threads, by processes, and by NVDEC (torchcodec), where it is installed
full      `strong` on drawn features of as many videos as THUMOS14 has, trained and measured
short     many short clips, from files to a feature file
variants  a CUDA graph, `torch.compile`, and clips of lengths that were never seen

Each writes a line of JSON per figure as soon as it is known, so that nothing measured is lost.
"""

from __future__ import annotations

import argparse
import csv
import json
import logging
import re
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from tsatal.config import load_config
from tsatal.evaluation.average_precision import evaluate
from tsatal.evaluation.matching import ANET, Measure
from tsatal.extract.settings import ExtractSettings
from tsatal.formats.annotations import AnnotatedVideo, Instance, annotations_json
from tsatal.formats.features import FeatureFile
from tsatal.formats.subsets import find_annotations, videos_in_subset
from tsatal.head.detector import load_detector

if TYPE_CHECKING:  # the name by which mypy knows them
    from benchmarks import bench_head, gpu_video, simulate_features
    from benchmarks.actionformer_peer import Clock, Peer, in_turn
else:
    import bench_head
    import gpu_video
    import simulate_features
    from actionformer_peer import Clock, Peer, in_turn

ROOT = Path(__file__).resolve().parents[1]
REAL_TIME, TRAINING_SEC, OF_BARE = 240.0, 300.0, 0.9  # the goals
WIDTH = 512  # of the drawn features, and of the head whose steps are compared
# Of THUMOS14's two subsets: videos, mean seconds, actions in a video, classes.
VIDEOS, MEAN_SEC, ACTIONS, CLASSES = (200, 212), 212.0, 16, 20


class Part:
    """What a part is told, and where it writes figures."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.device: str = options.device
        self.quick: bool = options.quick
        self.work: Path = options.work
        self.until = time.monotonic() + options.seconds
        self.options = options

    @property
    def on_gpu(self) -> bool:
        """Whether the device is a GPU."""
        return self.device.startswith("cuda")

    def add(
        self,
        what: str,
        value: float,
        unit: str,
        *,
        limit: float | None = None,
        limit_is: str = "",
        aim: str = "",
        reached: bool | None = None,
        note: str = "",
    ) -> None:
        """Write a figure; with a limit that was measured in the same run, its share of that."""
        row: dict[str, Any] = {"what": what, "value": value, "unit": unit}
        if limit:
            row |= {"limit": limit, "limit_is": limit_is, "share": value / limit}
        row |= {"aim": aim, "reached": reached, "note": note}
        with self.options.rows.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(row, flush=True)


def settings_for(part: Part) -> ExtractSettings:
    """Return the settings of an extraction: the default backbone's, or small ones."""
    small = {"crop": 32, "resize": 36, "projection": "none"} if part.quick else {}
    return ExtractSettings.model_validate({"weights": "random", "device": part.device, **small})


def a_video(part: Part) -> Path:
    """Return the video to work on: the given one, or a drawn one like those of THUMOS14."""
    if part.options.videos:
        given: Path = part.options.videos
        return given
    seconds = 2.0 if part.quick else 60.0
    return gpu_video.encode(part.work / "minute.mp4", seconds, gpu_video.THUMOS_SIZE)


def run_tests(part: Part) -> None:
    """(tests)"""
    files = sorted(
        p for p in (ROOT / "tests").rglob("test_*.py")
        if re.search(r"EACH_DEVICE|mark\.cuda", p.read_text("utf-8"))
    )  # fmt: skip
    if part.quick:
        files = [p for p in files if p.name in ("test_transfer.py", "test_device.py")]
    report = part.work / "tests.xml"
    command = [sys.executable, "-m", "pytest", "-q", "-m", "cuda", "-p", "no:cacheprovider"]
    subprocess.run([*command, f"--junitxml={report}", *map(str, files)], cwd=ROOT)
    suite = next(ET.parse(report).iter("testsuite"))
    count = {k: int(suite.get(k, 0)) for k in ("tests", "failures", "errors", "skipped")}
    wrong = count["failures"] + count["errors"]
    passed = count["tests"] - wrong - count["skipped"]
    bad = [
        case.get("name", "") for case in suite.iter("testcase")
        if case.find("failure") is not None or case.find("error") is not None
    ]  # fmt: skip
    note = f"Tests that failed: {', '.join(bad)}." if bad else ""
    if not part.on_gpu:
        note = f"{count['skipped']} tests need a GPU and were skipped."
    part.add(
        "tests marked cuda, passed", passed, "", limit=float(count["tests"]),
        limit_is="collected", aim="all", reached=passed == count["tests"], note=note,
    )  # fmt: skip


def measure_extraction(part: Part) -> None:
    """(extract)"""
    settings, video = settings_for(part), a_video(part)
    network = gpu_video.resnet(part.device, quick=part.quick)
    count, videos = (128, 3) if part.quick else (2048, 8)
    frames = gpu_video.noise(count, settings.crop, "cpu").numpy()
    on_device = torch.from_numpy(frames).to(part.device)
    calls = [
        gpu_video.engine_on_decoded(network, settings, video, frames, videos=videos),
        gpu_video.bare(network, on_device),
    ]
    seconds = in_turn(*calls, repeats=2 if part.quick else 5, device=torch.device(part.device))
    rates = [
        n * count / settings.fps / float(np.median(s))
        for n, s in zip((videos, 1), seconds, strict=True)
    ]
    engine_rate, network_rate = rates
    part.add(
        "extraction, frames decoded beforehand", engine_rate, "s of video/s", limit=network_rate,
        limit_is="the bare network", aim=f"at least {OF_BARE} of it",
        reached=engine_rate >= OF_BARE * network_rate,
    )  # fmt: skip
    paths = gpu_video.copies(video, part.work / "copies", 3 if part.quick else 4 * gpu_video.CORES)
    decoding = gpu_video.decoding_rate(paths, settings, processes=False)
    # The first is not counted: it chooses algorithms, and fills the file cache.
    gpu_video.whole_extraction(paths[:2], part.work / "e.h5", settings, network)
    taken = gpu_video.whole_extraction(paths, part.work / "e.h5", settings, network)
    total = sum(gpu_video.decode(path, settings) for path in paths[:1]) / settings.fps * len(paths)
    limiting = "decoding" if decoding < network_rate else "the bare network"
    part.add(
        f"extraction from files, {gpu_video.CORES} cores decode", total / taken, "s of video/s",
        limit=min(decoding, network_rate), limit_is=limiting,
        aim=f"at least {REAL_TIME:.0f}: a day in six minutes", reached=total / taken >= REAL_TIME,
        note=f"{len(paths)} copies of a video of {total / len(paths):.0f} s, "
        + (video.name if part.options.videos else "drawn, of 320 x 180 at 30 pictures a second")
        + f"; decoding alone {decoding:,.0f}, the bare network {network_rate:,.0f} s of video/s.",
    )  # fmt: skip


def measure_network(part: Part) -> None:
    """(network)"""
    dtype = torch.bfloat16 if part.on_gpu else torch.float32
    chip = gpu_video.matmul_flops(512 if part.quick else 8192, part.device, dtype)
    part.add("product of two matrices", chip / 1e12, "TFLOP/s")
    crop = 32 if part.quick else 112
    with gpu_video.peak_memory(part.device) as peak:
        network, count = (
            gpu_video.resnet(part.device, quick=part.quick),
            128 if part.quick else 4096,
        )
        frames = gpu_video.noise(count, crop, part.device)
        sync = gpu_video.sync_of(part.device)
        rate = count / gpu_video.seconds_of(gpu_video.bare(network, frames), sync)
        flops = rate * gpu_video.flops_per_frame(crop, width=16 if part.quick else 64)
        part.add(
            "bare network, i3d_r50", flops / 1e12, "TFLOP/s", limit=chip / 1e12,
            limit_is="the product", note=f"i3d_r50 alone: {rate / 10:,.0f} s of video/s at 10 "
            f"frames per second, {peak():.1f} GiB at most.",
        )  # fmt: skip
    with gpu_video.peak_memory(part.device) as peak:
        other, crop = gpu_video.inception(part.device, quick=part.quick), 32 if part.quick else 224
        frames = gpu_video.noise(128 if part.quick else 1024, crop, part.device)
        rate = (
            len(frames)
            // other.piece_frames
            * other.piece_frames
            / gpu_video.seconds_of(gpu_video.bare(other, frames), sync)
        )
        part.add(
            "bare network, i3d at 25 frames per second", rate / 25, "s of video/s",
            note=f"i3d: {peak():.1f} GiB at most." if part.on_gpu else "",
        )  # fmt: skip


def draw_annotations(per_subset: tuple[int, int]) -> str:
    """Return annotations of as many videos, of lengths and actions like THUMOS14's, as JSON."""
    rng, videos = np.random.default_rng(0), []
    for subset, count in zip(("validation", "test"), per_subset, strict=True):
        for n in range(count):
            duration = min(max(float(rng.lognormal(np.log(MEAN_SEC) - 0.5, 1.0)), 10.0), 1800.0)
            starts = rng.uniform(0, duration * 0.95, 1 + rng.poisson(ACTIONS - 1))
            label = f"action{rng.integers(CLASSES):02d}"
            actions = tuple(
                Instance(label, start, min(start + float(rng.lognormal(1.0, 0.7)), duration))
                for start in map(float, np.sort(starts))
            )
            videos.append(AnnotatedVideo(f"{subset}_{n:04d}", subset, duration, actions))
    return annotations_json(videos)


def drawn_features(part: Part, name: str, videos: int, width: int) -> Path:
    """Return a file of drawn features; `videos` of each subset, 0 for all that THUMOS14 has."""
    annotations, path = part.options.annotations, part.work / name
    if annotations is None:
        annotations = part.work / f"{name}.json"
        annotations.write_text(draw_annotations((videos, videos) if videos else VIDEOS))
    simulate_features.write(
        argparse.Namespace(
            annotations=annotations, out=path, videos=videos, dim=width, step=0.2, noise=4.0, seed=0
        )
    )
    return path


def measure_head(part: Part) -> None:
    """(head)"""
    width, steps, videos = (16, 32, 3) if part.quick else (WIDTH, 2304, 12)
    features = drawn_features(part, "some.h5", videos, width)
    config = load_config("strong", [f"model.width={width}"])
    device, repeats = torch.device(part.device), 2 if part.quick else 10
    peer = Peer(part.options.actionformer) if part.options.actionformer else None
    with FeatureFile(features) as file:
        data = bench_head.load_data(file, config, videos=2 if part.quick else None)
        steps = min(steps, max(v.axis.num_steps for v in data["train"]))
        bench = bench_head.Bench(config, peer, device, repeats, steps, **data)
        batch = bench_head.full_batch(bench)
        calls: dict[str, Callable[[], None]] = {}
        for name, frozen in (("strong", False), ("strong, norms constant", True)):
            calls[name] = partial(bench_head.OurTraining(bench, frozen=frozen).step, batch)
        if peer:
            calls["ActionFormer"] = peer.training_step(
                data["data"], batch, width=width, device=device
            )
        seconds = in_turn(*calls.values(), repeats=repeats, device=device)
        speed = {w: 1 / float(np.median(s)) for w, s in zip(calls, seconds, strict=True)}
        shape = f"2 x {steps} rows, width {width}"
        for what, value in speed.items():
            limit = speed.get("ActionFormer") if what != "ActionFormer" else None
            part.add(
                f"training, {what}, {shape}", value, "steps/s", limit=limit, limit_is="ActionFormer"
            )
        with bench_head.in_memory(bench):
            hours = sum(file.time_axis(v).duration_sec for v in bench.test) / 3600
            detect = bench_head.our_detection(bench, Clock(device))
            [taken] = in_turn(detect, repeats=2, device=device)
        part.add("detection, strong", float(np.median(taken)) / hours, "s per hour of video")


def measure_decoding(part: Part) -> None:
    """(decode)"""
    settings, video = settings_for(part), a_video(part)
    paths = gpu_video.copies(video, part.work / "copies", 2 if part.quick else 4 * gpu_video.CORES)
    began = time.perf_counter()
    alone = gpu_video.decode(video, settings) / settings.fps / (time.perf_counter() - began)
    part.add("decoding, one thread", alone, "s of video/s")
    tiny = gpu_video.encode(part.work / "tiny.mp4", 2.0 if part.quick else 20.0, (32, 32))
    small = settings.changed(crop=32, resize=32)
    began = time.perf_counter()
    python = gpu_video.decode(tiny, small) / settings.fps / (time.perf_counter() - began)
    part.add(
        "decoding pictures of 32 x 32, one thread", python, "s of video/s",
        note="Pictures of 32 x 32 cost little but what Python does for each, and that the threads "
        "of a process do one after another: more than this, one process cannot decode.",
    )  # fmt: skip
    limit = {"limit": alone * gpu_video.CORES, "limit_is": "one thread times the cores"}
    for kind, processes in (("threads", False), ("processes", True)):
        rate = gpu_video.decoding_rate(paths, settings, processes=processes)
        part.add(f"decoding, {gpu_video.CORES} {kind}", rate, "s of video/s", **limit)  # type: ignore[arg-type]
    try:
        times = 2 if part.quick else 8
        rate = gpu_video.nvdec_rate(video, settings, part.device, times=times)
    except (ImportError, RuntimeError, OSError) as e:
        words = str(e).strip().splitlines() or [type(e).__name__]
        part.add("decoding by torchcodec", 0.0, "s of video/s", note=f"torchcodec: {words[0]:.150}")
    else:
        part.add(f"decoding by torchcodec on {part.device}, full size", rate, "s of video/s")


def train_at_full_size(part: Part) -> None:
    """(full)"""
    began = time.monotonic()
    features = drawn_features(part, "all.h5", 3 if part.quick else 0, 16 if part.quick else WIDTH)
    part.add("features drawn", time.monotonic() - began, "s")
    run = part.work / "run"
    changes = ["model.width=16", "optim.epochs=2", "data.least_steps=1"] if part.quick else []
    command = [sys.executable, "-m", "tsatal", "train", "--features", str(features)]
    command += ["--config", "strong", "--out", str(run), "--device", part.device]
    command += [word for change in changes for word in ("--set", change)]
    left, began = part.until - time.monotonic() - 15, time.monotonic()
    with FeatureFile(features) as file:
        what = f"training of strong, {len(file.video_ids)} drawn videos"
    aim = f"at most {TRAINING_SEC:.0f} s"
    try:
        subprocess.run(command, check=True, timeout=max(left, 5))
    except subprocess.TimeoutExpired:
        taken, (done, epochs) = time.monotonic() - began, epochs_of(run)
        if done:
            part.add(
                f"{what}, reckoned", taken / done * epochs, "s", aim=aim,
                note=f"Training stopped after {taken:.0f} s, in epoch {done} of {epochs}; the whole"
                " is reckoned from that, validation included.",
            )  # fmt: skip
        return
    taken = time.monotonic() - began
    part.add(what, taken, "s", aim=aim, reached=taken <= TRAINING_SEC)
    detect_with(part, run)


def detect_with(part: Part, run: Path) -> None:
    """Detect in the test videos of a run, and measure."""
    detector = load_detector(run, device=part.device)
    with FeatureFile(detector.data.features) as file:
        truth = find_annotations(file, None)
        videos = videos_in_subset(file, truth, detector.data.subsets.test)
        hours = sum(file.time_axis(v).duration_sec for v in videos) / 3600
        detector.in_file(file, next(iter(videos)))
        began = time.perf_counter()
        found = {v: detector.in_file(file, v).detections for v in videos}
        taken = time.perf_counter() - began
    part.add(f"detection in its {len(videos)} test videos", taken / hours, "s per hour of video")
    measure = Measure(ANET, detector.config.eval.tious)
    average = evaluate(videos, found, measure, subset=detector.data.subsets.test).average_map
    part.add(
        "average mAP on them", 100 * average, "%", note="Drawn features: this mAP is no result."
    )


def epochs_of(run: Path) -> tuple[int, int]:
    """Return how many epochs a training has begun by its log, and of how many."""
    log = run / "log.csv"
    rows = list(csv.DictReader(log.read_text().splitlines())) if log.exists() else []
    return int(rows[-1]["epoch"]) if rows else 0, load_config(str(run / "config.yaml")).optim.epochs


def measure_short_clips(part: Part) -> None:
    """(short)"""
    settings, folder = settings_for(part), part.work / "clips"
    folder.mkdir()
    kinds, count = (2, 4) if part.quick else (16, 400)
    made = [
        gpu_video.encode(part.work / f"kind{n}.mp4", 1.5 + n / 6, gpu_video.THUMOS_SIZE, seed=n)
        for n in range(kinds)
    ]
    paths = []
    for n in range(count):
        paths.append(folder / f"clip{n:04d}.mp4")
        paths[-1].write_bytes(made[n % kinds].read_bytes())
    total = sum(gpu_video.decode(p, settings) for p in made) / settings.fps * count / kinds
    decoding = gpu_video.decoding_rate(paths, settings, processes=False)
    network = gpu_video.resnet(part.device, quick=part.quick)
    gpu_video.whole_extraction(paths[:kinds], part.work / "s.h5", settings, network)
    taken = gpu_video.whole_extraction(paths, part.work / "s.h5", settings, network)
    part.add(
        f"{count} clips of {total / count:.1f} s, from files", total / taken, "s of video/s",
        limit=decoding, limit_is="decoding them",
        note=f"Short clips: {count / taken:,.0f} a second.",
    )  # fmt: skip


def measure_variants(part: Part) -> None:
    """(variants)"""
    network, crop = gpu_video.resnet(part.device, quick=part.quick), 32 if part.quick else 112
    frames = gpu_video.noise(256, crop, part.device)
    lengths = range(40, 44) if part.quick else range(40, 104)
    first, again = gpu_video.new_length_seconds(network, frames, lengths=lengths)
    part.add(
        f"{len(lengths)} clips of lengths never seen", len(lengths) / first, "clips/s",
        limit=len(lengths) / again, limit_is="the same again",
    )  # fmt: skip
    ways = {"CUDA graph": gpu_video.graph_seconds, "torch.compile": gpu_video.compiled_seconds}
    for name, measure in ways.items() if part.on_gpu else ():
        try:
            eager, other = measure(network, frames)
        except Exception as e:  # whatever a compiler may raise
            words = str(e).strip().splitlines() or [type(e).__name__]
            part.add(f"a piece by {name}", 0.0, "pieces/s", note=f"{name}: {words[0]:.150}")
        else:
            part.add(
                f"a piece by {name}", 1 / other, "pieces/s", limit=1 / eager, limit_is="as it runs"
            )


PARTS = {
    "tests": run_tests,
    "extract": measure_extraction,
    "network": measure_network,
    "head": measure_head,
    "decode": measure_decoding,
    "full": train_at_full_size,
    "short": measure_short_clips,
    "variants": measure_variants,
}


def main() -> None:
    """Run one part."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--rows", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--annotations", type=Path)
    parser.add_argument("--actionformer", type=Path)
    parser.add_argument("--videos", type=Path)
    options = parser.parse_args()
    logging.basicConfig(level=logging.WARNING)
    part = Part(options)
    part.work /= options.part
    part.work.mkdir(exist_ok=True)
    PARTS[options.part](part)


if __name__ == "__main__":
    main()
