from __future__ import annotations

import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import pytest
from torch import nn

from tsatal.errors import InputError
from tsatal.extract import engine, extractor, prefetch
from tsatal.extract.backbones import dense, table
from tsatal.extract.backbones.i3d_r50 import Backbone
from tsatal.extract.container import VideoError
from tsatal.extract.engine import extract_video, prepare
from tsatal.extract.extractor import Summary, extract_videos
from tsatal.extract.prefetch import FrameStream
from tsatal.extract.settings import ExtractSettings
from tsatal.extract.sharing.share import Share
from tsatal.extract.sources import find_videos
from tsatal.extract.video import read_frames
from tsatal.formats.features import FeatureFile, VideoFeatures

from .conftest import VideoWriter, numbered_picture, write_raw
from .forked import begin

SETTINGS = ExtractSettings(weights="random", width=16, device="cpu", context=0)


def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the first backbone be as narrow as the tests' network."""
    families = dense.FAMILIES | {"i3d_r50": replace(dense.I3D_R50, width=512)}
    monkeypatch.setattr(dense, "FAMILIES", families)
    table.find_family.cache_clear()


@pytest.fixture(autouse=True)
def families() -> Iterator[None]:
    yield
    table.find_family.cache_clear()


class Averages:
    """A stand-in for the network: every pair of frames gives its mean colour, many times over."""

    def rows(self, frames: np.ndarray) -> np.ndarray:
        pairs = frames[: max(len(frames) // 2, 1) * 2 : 2].astype(np.float32)
        rows: np.ndarray = pairs.mean(axis=(1, 2)).repeat(700, axis=1)[:, :2048] / 255
        return rows


@pytest.fixture(autouse=True)
def quick_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "load_backbones", lambda *a, **k: {"rgb": Averages()})


@pytest.fixture
def folder(write_video: VideoWriter, tmp_path: Path) -> Path:
    for name, frames in (("a", 90), ("b", 33), ("c", 3)):
        write_video(f"videos/{name}.mp4", range(0, 1000 * frames, 1000))
    return tmp_path / "videos"


def run(
    folder: Path,
    out: Path,
    settings: ExtractSettings = SETTINGS,
    *,
    overwrite: bool = False,
    strict: bool = False,
) -> Summary:
    return extract_videos(
        find_videos(folder),
        out,
        settings,
        overwrite=overwrite,
        strict=strict,
        show_progress=False,
    )


def content(path: Path) -> dict[str, object]:
    with FeatureFile(path) as file:
        return {
            v: (file.rows(v, ["rgb"]).tobytes(), file.time_axis(v), file.details(v))
            for v in file.video_ids
        }


def test_videos_become_rows_with_instants(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "sub" / "out.h5"
    summary = run(folder, out)
    assert summary.done == ["a", "b", "c"] and not summary.failed and not summary.partial
    assert summary.video_sec == pytest.approx(3.0 + 1.1 + 0.1)
    with FeatureFile(out) as file:
        axis = file.time_axis("a")
        assert (axis.num_steps, axis.start_sec, axis.step_sec) == (15, 0.05, 0.2)
        assert axis.duration_sec == pytest.approx(3.0)
        assert file.time_axis("b").num_steps == 5 and file.time_axis("c").num_steps == 1
        assert file.width(["rgb"]) == 16
        assert file.projections()["rgb"].shape == (2048, 16)
        assert file.provenance["weights"] == {"name": "random", "seed": 0}
        assert file.details("a")["source"] == "a.mp4" and file.details("a")["frames"] == 30
    assert sorted(p.name for p in out.parent.iterdir()) == ["out.h5"]


def test_rows_are_the_networks_rows_projected(
    folder: Path, tmp_path: Path, live_net: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The whole way with a real network, against decoding, network and matrix by hand."""
    backbone = Backbone(live_net)
    monkeypatch.setattr(engine, "load_backbones", lambda *a, **k: {"rgb": backbone})
    narrow(monkeypatch)
    settings = ExtractSettings(weights="random", width=16, crop=32, resize=32, segment=10)
    run(folder, tmp_path / "out.h5", settings)
    frames = np.stack(list(read_frames(folder / "a.mp4", resize=32, crop=32)))
    with FeatureFile(tmp_path / "out.h5") as file:
        expected = backbone.rows(frames) @ file.projections()["rgb"]
        np.testing.assert_allclose(file.rows("a", ["rgb"]), expected, rtol=1e-3, atol=1e-4)


def test_videos_that_take_turns_give_the_rows_that_each_gives_alone(
    folder: Path, tmp_path: Path, live_net: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every video has state of its own in the network, and pieces of several are on their way."""
    turns: list[str] = []
    begin = engine.extract_video

    def watched(video_id: str, *rest: Any) -> Any:
        pieces = begin(video_id, *rest)

        def go() -> Any:
            while True:
                turns.append(video_id)
                try:
                    yield next(pieces)
                except StopIteration as end:
                    return end.value

        return go()

    backbone = Backbone(live_net)
    monkeypatch.setattr(engine, "load_backbones", lambda *a, **k: {"rgb": backbone})
    narrow(monkeypatch)
    monkeypatch.setattr(engine, "extract_video", watched)
    shutil.copy(folder / "a.mp4", folder / "d.mp4")
    settings = ExtractSettings(weights="random", width=16, crop=32, resize=32, segment=4)
    alone = run(folder, tmp_path / "1.h5", settings.changed(at_once=1))
    assert turns == sorted(turns) and alone.done == ["a", "b", "c", "d"]
    monkeypatch.setattr(engine, "first_ready", lambda streams, n: min(streams, key=turns.count))
    turns.clear()
    together = run(folder, tmp_path / "3.h5", settings.changed(at_once=3))
    assert turns[:5] == ["a", "b", "c", "a", "b"] and sorted(together.done) == alone.done
    assert together.video_sec == pytest.approx(alone.video_sec)
    assert content(tmp_path / "1.h5") == content(tmp_path / "3.h5")


def test_a_slow_video_holds_up_no_other_and_a_broken_one_neither(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[str] = []
    finish = Share.finish

    def frames(path: Path, **named: Any) -> Any:
        deadline = time.monotonic() + 60
        while path.stem == "a" and len(done) < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
        yield from read_frames(path, **named)

    def finished(self: Share, features: VideoFeatures) -> None:
        done.append(features.video_id)
        finish(self, features)

    monkeypatch.setattr(prefetch, "read_frames", frames)
    monkeypatch.setattr(Share, "finish", finished)
    (folder / "bad.mp4").write_bytes(b"no video")
    summary = run(folder, tmp_path / "out.h5", SETTINGS.changed(at_once=3))
    assert sorted(done[:2]) == ["b", "c"] and summary.done[2:] == ["a"]
    assert list(summary.failed) == ["bad"]
    assert not any(t.name.startswith("decode ") for t in threading.enumerate())


def test_every_video_is_told_of_once_its_rows_are_safe(folder: Path, tmp_path: Path) -> None:
    out, told = tmp_path / "out.h5", list[str]()
    (folder / "bad.mp4").write_bytes(b"no video")

    def look(video: VideoFeatures) -> None:
        [part] = [p for p in out.with_name("out.h5.parts").glob("*.h5") if p.name not in told]
        with FeatureFile(part) as file:
            assert file.video_ids == [video.video_id]
            np.testing.assert_array_equal(file.rows(video.video_id, ["rgb"]), video.streams["rgb"])
        told.append(part.name)

    summary = extract_videos(find_videos(folder), out, SETTINGS, on_video=look)
    assert summary.done == ["a", "b", "c"] and list(summary.failed) == ["bad"] and len(told) == 3
    extract_videos(find_videos(folder), out, SETTINGS, on_video=look)
    assert len(told) == 3  # those that are there already are not extracted


def test_running_again_adds_what_is_new_and_counts_what_is_there(
    folder: Path, tmp_path: Path, write_video: VideoWriter
) -> None:
    out = tmp_path / "out.h5"
    run(folder, out)
    before, stamp = content(out), out.stat().st_mtime_ns
    again = run(folder, out)
    assert (again.done, again.already) == ([], ["a", "b", "c"])
    assert out.stat().st_mtime_ns == stamp
    write_video("videos/d.mp4", range(0, 9000, 1000))
    more = run(folder, out)
    assert (more.done, more.already) == (["d"], ["a", "b", "c"])
    after = content(out)
    assert {k: after[k] for k in before} == before and "d" in after


def test_a_video_that_changed_is_extracted_again(
    folder: Path, tmp_path: Path, write_video: VideoWriter
) -> None:
    run(folder, tmp_path / "out.h5")
    write_video("videos/b.mp4", range(0, 60000, 1000))
    summary = run(folder, tmp_path / "out.h5")
    assert (summary.done, summary.already) == (["b"], ["a", "c"])
    with FeatureFile(tmp_path / "out.h5") as file:
        assert file.time_axis("b").num_steps == 10


def test_other_settings_are_refused_unless_overwritten(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.h5"
    run(folder, out)
    other = SETTINGS.changed(fps=5)
    with pytest.raises(InputError, match="fps is 5.* here, 10.0 there"):
        run(folder, out, other)
    with pytest.raises(InputError, match="weights is"):
        run(folder, out, SETTINGS.changed(seed=1))
    (folder / "c.mp4").unlink()
    assert run(folder, out, other, overwrite=True).done == ["a", "b"]
    assert list(content(out)) == ["a", "b"]


def test_one_unreadable_video_never_stops_the_rest(
    folder: Path, tmp_path: Path, write_video: VideoWriter
) -> None:
    (folder / "aa.mp4").write_bytes(b"")
    write_video("videos/sub/a.mp4", [0])
    videos = [*find_videos(folder), folder / "gone.mp4"]
    summary = extract_videos(videos, tmp_path / "out.h5", SETTINGS, show_progress=False)
    assert sorted(summary.done) == ["a", "b", "c"]
    assert "0 bytes" in summary.failed["aa"] and "cannot be opened" in summary.failed["gone"]
    assert "has the id 'a'" in summary.failed[str(folder / "sub" / "a.mp4")]
    listed = json.loads((tmp_path / "out.h5.failed.json").read_text())
    assert listed == summary.failed
    (folder / "aa.mp4").unlink()
    assert not extract_videos([folder / "b.mp4"], tmp_path / "out.h5", SETTINGS).failed
    assert not (tmp_path / "out.h5.failed.json").exists()


def test_only_failures_leave_no_file(tmp_path: Path) -> None:
    (tmp_path / "v.mp4").write_bytes(b"")
    summary = extract_videos([tmp_path / "v.mp4"], tmp_path / "out.h5", SETTINGS)
    assert list(summary.failed) == ["v"] and not (tmp_path / "out.h5").exists()


def test_strict_stops_at_the_first_failure_and_keeps_what_is_done(
    folder: Path, tmp_path: Path
) -> None:
    (folder / "aa.mp4").write_bytes(b"")
    summary = run(folder, tmp_path / "out.h5", strict=True)
    assert summary.done == ["a"] and list(summary.failed) == ["aa"]
    assert list(content(tmp_path / "out.h5")) == ["a"]


def test_a_network_that_gives_no_numbers_is_a_failure(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Averages, "rows", lambda self, f: np.full((64, 2048), np.nan, np.float32))
    summary = run(folder, tmp_path / "out.h5")
    assert set(summary.failed) == {"a", "b", "c"} and "not finite" in summary.failed["a"]


def test_partial_videos_are_done_and_reported(bad_videos: Path, tmp_path: Path) -> None:
    summary = extract_videos(find_videos(bad_videos), tmp_path / "out.h5", SETTINGS)
    assert sorted(summary.done) == ["bitrot", "cut_in_half", "one_frame", "rotated", "vfr"]
    assert sorted(summary.failed) == ["audio_only", "cut_download", "empty", "text"]
    assert sorted(summary.partial) == ["bitrot", "cut_in_half"]
    with FeatureFile(tmp_path / "out.h5") as file:
        assert file.details("cut_in_half")["missing_sec"] == pytest.approx(3.27, abs=0.05)
        assert file.time_axis("one_frame").num_steps == 1


def test_annotations_are_embedded_kept_and_replaced(folder: Path, tmp_path: Path) -> None:
    out, texts = tmp_path / "out.h5", []
    for text in ('{"database": {}}', None, '{"database":   {}}'):
        extract_videos(find_videos(folder), out, SETTINGS, annotations_text=text)
        with FeatureFile(out) as file:
            annotations = file.annotations()
        texts.append(annotations.text if annotations else None)
    assert texts == ['{"database": {}}', '{"database": {}}', '{"database":   {}}']


def test_half_precision_is_stored_when_asked(folder: Path, tmp_path: Path) -> None:
    settings = SETTINGS.changed(store="float16")
    run(folder, tmp_path / "out.h5", settings)
    with FeatureFile(tmp_path / "out.h5") as file:
        assert file.video("a").streams["rgb"].dtype == np.float16


def test_a_projection_that_does_not_fit_is_refused(folder: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "m.npy", np.zeros((2048, 8), np.float32))
    settings = SETTINGS.changed(projection=str(tmp_path / "m.npy"))
    with pytest.raises(InputError, match=r"is \(2048, 8\), must be \(2048, 16\)"):
        run(folder, tmp_path / "out.h5", settings)


SLOW_RUN = """
import signal, sys, time
from pathlib import Path
from tsatal.extract import engine, extractor
from tsatal.extract.settings import ExtractSettings
from tsatal.extract.sources import find_videos

signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored under nohup, as CI may be

class Slow:
    def rows(self, frames):
        time.sleep(0.3)
        pairs = frames[: max(len(frames) // 2, 1) * 2 : 2].astype("float32")
        return pairs.mean(axis=(1, 2)).repeat(700, axis=1)[:, :2048] / 255

engine.load_backbones = lambda *a, **k: {"rgb": Slow()}
settings = ExtractSettings(weights="random", width=16, device="cpu", context=0)
out = Path(sys.argv[2])
summary = extractor.extract_videos(find_videos(sys.argv[1]), out, settings, show_progress=False)
sys.exit(130 if summary.interrupted else 0)
"""


def start_and_stop(folder: Path, out: Path, how: int) -> int:
    """Run in a process of its own, send `how` after the first finished video."""
    process = begin(SLOW_RUN, folder, out, cwd=out.parent)
    parts = out.with_name(out.name + ".parts")
    deadline = time.monotonic() + 60
    while not list(parts.glob("*.h5")):
        assert process.is_alive() and time.monotonic() < deadline
        time.sleep(0.01)
    assert process.pid
    os.kill(process.pid, how)
    process.join(60)
    assert process.exitcode is not None
    return process.exitcode


def test_killed_in_the_middle_the_same_file_comes_out_in_the_end(
    folder: Path, tmp_path: Path
) -> None:
    run(folder, tmp_path / "whole.h5")
    out = tmp_path / "out.h5"
    assert start_and_stop(folder, out, signal.SIGKILL) == -signal.SIGKILL
    assert not out.exists()
    summary = run(folder, out)
    assert "a" in summary.already and "a" not in summary.done
    assert sorted(summary.already + summary.done) == ["a", "b", "c"]
    assert content(out) == content(tmp_path / "whole.h5")
    assert not out.with_name("out.h5.parts").exists()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_stopped_in_the_middle_the_finished_videos_are_in_the_file(
    folder: Path, tmp_path: Path, how: int
) -> None:
    out = tmp_path / "out.h5"
    assert start_and_stop(folder, out, how) == 130
    assert "a" in content(out) and "c" not in content(out)
    assert run(folder, out).done[-1] == "c"


def test_a_video_that_changes_while_it_is_read_fails(folder: Path) -> None:
    video = folder / "a.mp4"
    backbone: Any = Averages()
    stream = FrameStream(video, SETTINGS)
    os.utime(video, ns=(0, 0))
    with pytest.raises(VideoError, match="was changed while it was being read"):
        list(extract_video("a", stream, {"rgb": backbone}, prepare(SETTINGS)))


def test_a_video_that_changes_while_it_is_read_is_failed_and_done_again(
    folder: Path, tmp_path: Path, write_video: VideoWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Old rows under the new file's fingerprint would never be found out."""
    rows = Averages.rows

    def change(self: Averages, frames: np.ndarray) -> np.ndarray:
        if (folder / "b.mp4").stat().st_size < 20_000:
            (folder / "b.mp4").write_bytes((folder / "a.mp4").read_bytes() + bytes(20_000))
        return rows(self, frames)

    (folder / "a.mp4").replace(folder / "z.mp4")
    shutil.copy(folder / "z.mp4", folder / "a.mp4")
    monkeypatch.setattr(Averages, "rows", change)
    summary = run(folder, tmp_path / "out.h5")
    assert "was changed while it was being read" in summary.failed.get("b", "")
    monkeypatch.setattr(Averages, "rows", rows)
    assert run(folder, tmp_path / "out.h5").done == ["b"]
    with FeatureFile(tmp_path / "out.h5") as file:
        assert file.time_axis("b").num_steps == file.time_axis("a").num_steps


def test_rows_that_somebody_removes_meanwhile_are_not_said_to_be_there(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, finish = tmp_path / "out.h5", Share.finish

    def finish_and_lose(self: Share, video: VideoFeatures) -> None:
        finish(self, video)
        if video.video_id == "b":
            self.parts.path("a").unlink()

    monkeypatch.setattr(Share, "finish", finish_and_lose)
    summary = run(folder, out)
    assert summary.done == ["b", "c"] and "its rows were removed" in summary.failed["a"]
    monkeypatch.undo()
    monkeypatch.setattr(engine, "load_backbones", lambda *a, **k: {"rgb": Averages()})
    assert run(folder, out).done == ["a"] and list(content(out)) == ["a", "b", "c"]


def test_what_has_no_clock_waits_for_its_rate_and_stops_nothing(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_raw(folder / "raw.mjpeg", "mjpeg", "mjpeg", "yuvj420p")
    (folder / "images").mkdir()
    for n in range(20):
        cv2.imwrite(str(folder / "images" / f"{n}.png"), numbered_picture(n, 160, 128))
    out = tmp_path / "out.h5"
    first = run(folder, out)
    assert first.done == ["a", "b", "c"] and "--assume-fps" in first.failed["raw"]
    said = SETTINGS.changed(assume_fps=10.0)
    videos = find_videos(folder, images=True)
    with caplog.at_level("INFO"):
        second = extract_videos(videos, out, said, show_progress=False)
    assert second.done == ["images", "raw"] and second.already == ["a", "b", "c"]
    assert "numbered images, read at 10 per second" in caplog.text
    with FeatureFile(out) as file:
        assert file.time_axis("images").duration_sec == pytest.approx(2.0)
        assert "read at 10 pictures per second" in str(file.details("raw")["remarks"])
    assert extract_videos(videos, out, said, show_progress=False).already == [
        *"abc",
        "images",
        "raw",
    ]
    other = SETTINGS.changed(assume_fps=20.0)
    assert extract_videos(videos, out, other, show_progress=False).done == ["images", "raw"]


def test_a_file_of_the_older_picture_rule_is_not_added_to(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.h5"
    run(folder, out)
    with h5py.File(out, "r+") as file:
        said = json.loads(file.attrs["provenance"])
        del said["clock"]
        file.attrs["provenance"] = json.dumps(said)
    with pytest.raises(InputError, match="other settings .*first picture at or after an instant"):
        run(folder, out)
    assert run(folder, out, overwrite=True).done == ["a", "b", "c"]


def test_progress_never_has_more_done_than_there_is_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container may state less than it holds, or nothing, and a network hold the last frame."""
    stated = {"a.mp4": 2.0, "b.mp4": 0.0, "c.mp4": 5.0}
    monkeypatch.setattr(extractor, "probe_duration", lambda path: stated[path.name])
    left = {name[0]: (tmp_path / name, "") for name in stated}
    bar = extractor._Bar(left, shown=False)
    for video_id, seconds in (("a", 1.5), ("a", 1.0), ("b", 3.0), ("c", 2.0)):
        bar.advance(video_id, seconds)
    assert (bar.progress.done, bar.progress.total) == (7.5, 10.5)
    for video_id in left:
        bar.end(video_id)
    assert bar.progress.done == bar.progress.total == 10.5
    bar.progress.close()
