"""A whole model as ONNX, used without tsatal: it finds what `tsatal detect` finds."""

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
import torch

from tsatal import pipeline
from tsatal.commands.demo import write_demo_videos
from tsatal.errors import InputError
from tsatal.extract.settings import ExtractSettings
from tsatal.head.detector import load_detector
from tsatal.head.nms import soft_nms, vote
from tsatal.reports.whole_model import export_whole, ready_for_suppression

ROOT = Path(__file__).parents[2]
SMALL = ("model.width=16", "optim.epochs=1", "data.least_steps=1")
NEAR_SEC, NEAR_SCORE = 0.01, 0.001


@pytest.fixture(scope="module")
def consumer() -> ModuleType:
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    spec = importlib.util.spec_from_file_location("run_onnx", ROOT / "examples" / "run_onnx.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_video(path: Path, pictures: int, size: tuple[int, int], *, fps: float) -> None:
    rng = np.random.default_rng(0)
    video = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), fps, size)
    for _ in range(pictures):
        small = rng.integers(0, 255, (8, 12, 3), np.uint8)
        video.write(cv2.resize(small, size, interpolation=cv2.INTER_LINEAR))
    video.release()


def test_without_tsatal_it_finds_the_same(
    tmp_path: Path, consumer: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    write_demo_videos(tmp_path / "v", training=1, validation=1, duration_sec=6.0, seed=0)
    write_video(tmp_path / "v/lone.mp4", 1, (64, 48), fps=10)  # a single picture
    write_video(tmp_path / "v/small.mp4", 40, (36, 20), fps=25)  # that is enlarged
    write_video(tmp_path / "v/odd.mp4", 40, (322, 182), fps=25)  # whose half is odd
    pipeline.extract(tmp_path / "v", tmp_path / "f.h5", weights="random", resize=40, crop=32)
    run = pipeline.train(tmp_path / "f.h5", overrides=SMALL, run=tmp_path / "run")
    found = pipeline.detect(tmp_path / "f.h5", run, out=tmp_path / "o", min_score=0)
    packed = pipeline.pack(run, tmp_path / "m.tsatal").path
    out = pipeline.export_whole(packed, tmp_path / "w.onnx", steps=40)  # of 30 that the videos have
    for video_id, video in found.items():
        theirs = consumer.main(str(out), str(tmp_path / "v" / f"{video_id}.mp4"))
        assert len(theirs) == len(video.detections) > 0
        left = list(theirs)
        for ours in video.detections:  # equal scores come in any order
            near = [
                t
                for t in left
                if t[0] == ours.label
                and abs(t[1] - ours.start_sec) < NEAR_SEC
                and abs(t[2] - ours.end_sec) < NEAR_SEC
                and abs(t[3] - ours.score) < NEAR_SCORE
            ]
            assert near, ours
            left.remove(near[0])
    # A video that is longer than the file takes is cut, and that is said.
    write_demo_videos(tmp_path / "long", training=1, validation=0, duration_sec=9.0, seed=0)
    assert consumer.main(str(out), str(next((tmp_path / "long").glob("*.mp4"))))
    assert "8 of 9 s are looked at" in capsys.readouterr().out
    (tmp_path / "none.mp4").touch()
    with pytest.raises(SystemExit, match=r"no video: .*none\.mp4"):
        consumer.main(str(out), str(tmp_path / "none.mp4"))


@pytest.mark.parametrize("voting", [None, 0.6])
def test_what_it_prepares_gives_the_suppression_of_detect(voting: float | None) -> None:
    """Taking the best again and again leaves what `soft_nms` and `vote` leave."""
    rng = np.random.default_rng(0)
    start = rng.uniform(0, 20, 60)
    segments = np.stack([start, start + rng.uniform(0, 4, 60).round() / 2], 1)
    scores = rng.uniform(0, 1, (2, 60)) ** 3
    live, averaged, kept = (
        t.numpy()
        for t in ready_for_suppression(
            torch.from_numpy(scores), torch.from_numpy(segments),
            min_score=0.05, sigma=0.5, voting_tiou=voting,
        )
    )  # fmt: skip
    found = []
    for label in range(2):
        while live[label].max() >= 0.05:
            best = live[label].argmax()
            found.append((live[label, best], *averaged[label, best]))
            live[label] *= kept[best]
    labels, point = np.nonzero(scores >= 0.05)
    candidates, sure = segments[point], scores[labels, point]
    chosen, decayed = soft_nms(candidates, sure, labels, sigma=0.5, min_score=0.05, max_count=1000)
    where = candidates[chosen]
    if voting is not None:
        where = vote(chosen, candidates, sure, labels, tiou_at_least=voting)
    theirs = [(p, *s) for p, s in zip(decayed, where, strict=True) if s[1] > s[0]]
    assert len(theirs) > 20
    assert np.allclose(sorted(found, reverse=True), sorted(theirs, reverse=True))


def test_what_cannot_be_exported_whole_is_told(
    tmp_path: Path, write_toy: Callable[..., Path]
) -> None:
    run = pipeline.train(write_toy(tmp_path / "f.h5"), overrides=SMALL, run=tmp_path / "run")
    detector = load_detector(run)
    out, plain = tmp_path / "w.onnx", ExtractSettings(weights="random")
    with pytest.raises(InputError, match=r"w\.pt2: must end in \.onnx with --whole"):
        export_whole(detector, plain, tmp_path / "w.pt2", rows=None)
    with pytest.raises(InputError, match="the features are of rgb with context 0"):
        export_whole(detector, plain.changed(context=0), out, rows=None)
    both = replace(detector, data=replace(detector.data, streams=("rgb", "flow")))
    with pytest.raises(InputError, match="the features are of rgb, flow with"):
        export_whole(both, plain, out, rows=None)
    other = ExtractSettings(backbone="i3d", weights="random")
    with pytest.raises(InputError, match="works for the backbone i3d_r50 alone; .* are of i3d:"):
        export_whole(detector, other, out, rows=None)
    with pytest.raises(InputError, match="a clip of 20,000 frames of 112 x 112 pixels would take"):
        export_whole(detector, plain, out, rows=10_000)
