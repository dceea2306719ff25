from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path

import numpy as np
import pytest

from tsatal.errors import InputError
from tsatal.extract.sharing.claims import Claims
from tsatal.extract.sharing.parts import Parts, part_name
from tsatal.extract.sharing.share import MEMBER, Left, Share, join
from tsatal.formats.feature_writer import write_feature_file
from tsatal.formats.features import FeatureFile, VideoFeatures

from ..conftest import VideoWriter
from ..forked import begin

PATIENCE_SEC = 120  # with a process that shares its processor with many

MADE = {"fps": 10.0, "made_with": {"torch": "1"}}


def video(video_id: str, source: str = "s") -> VideoFeatures:
    rows = np.zeros((3, 4), np.float32)
    return VideoFeatures(video_id, {"rgb": rows}, 0.05, 0.2, 0.6, {"fingerprint": source})


def left(*video_ids: str) -> Left:
    return {v: (Path(f"{v}.mp4"), "s") for v in video_ids}


@contextlib.contextmanager
def joined(
    out: Path, *, overwrite: bool = False, limit_sec: float = 60, **made: object
) -> Iterator[Share]:
    parts = Parts(out, {**MADE, **made})
    with join(parts, overwrite=overwrite, limit_sec=limit_sec) as share:
        yield share


def assemble(share: Share) -> None:
    with share.alone():
        share.parts.assemble(annotations_text=None, projections={}, fresh=share.replacing())


def test_each_video_is_claimed_by_one_and_settled_by_the_others(tmp_path: Path) -> None:
    with joined(tmp_path / "out.h5") as one, joined(tmp_path / "out.h5") as two:
        ours, theirs = left("a", "b", "c", "d"), left("a", "b", "c", "d")
        settled: dict[str, str | None] = {}
        first = one.claim(ours, settled.__setitem__)
        assert [next(first)[0], next(first)[0]] == ["a", "b"]
        second = two.claim(theirs, settled.__setitem__)
        assert next(second) == ("c", Path("c.mp4"))
        one.finish(video("a"))
        one.fail("b", "no pictures")
        assert next(second)[0] == "d"
        assert list(second) == [] and list(theirs) == ["a", "b"]
        assert list(two.claim(theirs, settled.__setitem__)) == []
        assert settled == {"a": None, "b": "no pictures"} and theirs == {}


def test_a_video_is_not_extracted_again_after_others_have_put_it_into_the_file(
    tmp_path: Path,
) -> None:
    with joined(tmp_path / "out.h5") as one, joined(tmp_path / "out.h5") as two:
        assert two.finished() == {}
        list(one.claim(left("a"), lambda *a: None))
        one.finish(video("a"))
        assemble(one)
        settled: list[str] = []
        assert list(two.claim(left("a"), lambda v, reason: settled.append(v))) == []
        assert settled == ["a"] and two.finished() == {"a": "s"}


def test_what_one_writes_while_another_assembles_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with joined(tmp_path / "out.h5") as one, joined(tmp_path / "out.h5") as two:
        list(one.claim(left("a", "b"), lambda *a: None))
        one.finish(video("a"))
        find = two.parts.find

        def find_then_write() -> dict[str, tuple[Path, str]]:
            found = find()
            one.finish(video("b"))
            one.parts.write(video("a", source="changed"))
            return found

        monkeypatch.setattr(two.parts, "find", find_then_write)
        assemble(two)
        assert set(one.finished().items()) == {("a", "changed"), ("b", "s")}
    assert (tmp_path / "out.h5.parts").exists()


def test_videos_of_a_process_that_has_died_are_taken_over(tmp_path: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path\n"
        "from tsatal.extract.sharing.claims import Claims\n"
        "claims = Claims(Path(sys.argv[1])); claims.take(sys.argv[2]); os._exit(9)"
    )
    with joined(tmp_path / "out.h5") as share:
        command = [sys.executable, "-c", script, str(share.parts.folder), part_name("a")]
        subprocess.run(command, check=False)
        assert list(share.claim(left("a"), lambda *a: None)) == [("a", Path("a.mp4"))]


def test_those_that_overwrite_replace_the_file_once(tmp_path: Path) -> None:
    out = tmp_path / "out.h5"
    write_feature_file(out, [video("old")], provenance={**MADE, "fps": 25.0})
    with joined(out, overwrite=True) as one:
        assert one.finished() == {} and one.replacing()
        with joined(out, overwrite=True) as two:
            list(one.claim(left("a", "b"), lambda *a: None))
            one.finish(video("a"))
            assemble(one)
            assert two.finished() == {"a": "s"} and not two.replacing()
            one.finish(video("b"))
            assemble(two)
        with joined(out, overwrite=True) as late:
            assert set(late.finished()) == {"a", "b"}
    with joined(out, overwrite=True) as again:
        assert again.finished() == {}


def test_processes_that_would_spoil_each_others_work_are_refused(tmp_path: Path) -> None:
    out = tmp_path / "out.h5"
    with joined(out):
        with pytest.raises(InputError, match="adding to it"), joined(out, overwrite=True):
            pass
        with pytest.raises(InputError, match=r"other settings \(fps is 5"), joined(out, fps=5):
            pass
    overwriting, refused = joined(out, overwrite=True), pytest.raises(InputError, match="is overwr")
    with overwriting, refused, joined(out):
        pass
    assert not (tmp_path / "out.h5.parts").exists()


def test_another_host_that_was_switched_off_stops_nobody_for_long(tmp_path: Path) -> None:
    out = tmp_path / "out.h5"
    with joined(out, overwrite=True) as share:
        (path,) = share.parts.folder.glob(f"{MEMBER}*.claim")
        path.write_text(json.dumps({**json.loads(path.read_text()), "host": "elsewhere"}))
        share.claims._held.clear()
    with joined(out, limit_sec=0.3) as share:
        assert share.claims.others(MEMBER) == [] and not share.replacing()


RUN = """
import os, signal, sys, time
from pathlib import Path
from tsatal.extract import engine, extractor
from tsatal.extract.sharing import parts
from tsatal.extract.settings import ExtractSettings
from tsatal.extract.sources import find_videos

signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored under nohup, as CI may be

stalls_after, kept = int(sys.argv[3]), 0

class Slow:
    def rows(self, frames):
        if kept == stalls_after:
            Path(f"stalled-{os.getpid()}").touch()
            for _ in range(1200):  # a signal may reach another thread and wake nobody here
                time.sleep(0.1)
        time.sleep(0.05)
        pairs = frames[: max(len(frames) // 2, 1) * 2 : 2].astype("float32")
        return pairs.mean(axis=(1, 2)).repeat(700, axis=1)[:, :2048] / 255

class Logging(parts.Parts):
    def write(self, video):
        global kept
        super().write(video)
        kept += 1
        with open(sys.argv[2] + ".log", "a") as log:
            log.write(f"{os.getpid()} {video.video_id}\\n")

engine.load_backbones = lambda *args, **kwargs: {"rgb": Slow()}
extractor.Parts = Logging
settings = ExtractSettings(weights="random", width=16, device="cpu", segment=8, context=0)
summary = extractor.extract_videos(
    find_videos(sys.argv[1]), Path(sys.argv[2]), settings, show_progress=False
)
counts = summary.done, summary.already, summary.elsewhere
ended = f"{' '.join(str(len(c)) for c in counts)} {int(summary.interrupted)}"
Path(f"ended-{os.getpid()}").write_text(ended)
"""


@pytest.fixture
def folder(write_video: VideoWriter, tmp_path: Path) -> Path:
    for number in range(8):
        write_video(f"videos/v{number}.mp4", range(0, 60000, 1000))
    return tmp_path / "videos"


def start(folder: Path, out: Path, *, stalls_after: int = -1) -> BaseProcess:
    """Start an extraction, which stands still in the video after so many, none by default."""
    return begin(RUN, folder, out, stalls_after, cwd=out.parent)


def stalled(process: BaseProcess, out: Path) -> bool:
    return out.with_name(f"stalled-{process.pid}").exists()


def send(process: BaseProcess, how: signal.Signals) -> None:
    assert process.pid
    os.kill(process.pid, how)


def end(process: BaseProcess, out: Path) -> list[int]:
    """Return how many videos it has done, found, and left to others, and if it was interrupted."""
    process.join(PATIENCE_SEC)
    assert process.exitcode == 0
    text = out.with_name(f"ended-{process.pid}").read_text()
    return [int(word) for word in text.split()]


def log_of(out: Path) -> list[tuple[int, str]]:
    path = Path(f"{out}.log")
    lines = path.read_text().splitlines() if path.exists() else []
    return [(int(line.split()[0]), line.split()[1]) for line in lines]


def until(condition: object, *processes: BaseProcess) -> None:
    deadline = time.monotonic() + PATIENCE_SEC
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline and all(p.is_alive() for p in processes)
        time.sleep(0.005)


def content(path: Path) -> dict[str, object]:
    with FeatureFile(path) as file:
        return {
            v: (file.rows(v, ["rgb"]).tobytes(), file.time_axis(v), file.details(v))
            for v in file.video_ids
        }


def test_of_three_processes_one_is_killed_and_the_others_do_its_videos(
    folder: Path, tmp_path: Path
) -> None:
    out, whole = tmp_path / "out.h5", tmp_path / "whole.h5"
    undisturbed, killed = start(folder, whole), start(folder, out, stalls_after=1)
    until(lambda: stalled(killed, out), killed)
    others = [start(folder, out) for _ in range(2)]
    until(lambda: len(log_of(out)) >= 3, *others)
    assert killed.is_alive()
    killed.kill()
    killed.join()
    counts = [end(process, out) for process in others]
    done = log_of(out)
    assert len({v for _, v in done}) == len(done) == 8
    for process, (own, already, elsewhere, _) in zip(others, counts, strict=True):
        assert own == sum(pid == process.pid for pid, _ in done)
        assert own + already + elsewhere == 8
    end(undisturbed, whole)
    assert content(out) == content(whole)
    assert sorted(p.name for p in tmp_path.glob("out.h5*")) == ["out.h5", "out.h5.log"]


def test_killed_again_and_again_no_finished_video_is_extracted_twice(
    folder: Path, tmp_path: Path
) -> None:
    out, whole = tmp_path / "out.h5", tmp_path / "whole.h5"
    delays, parts, kills = random.Random(0), Path(f"{out}.parts"), 0
    while kills < 5:
        process = start(folder, out)
        until(lambda: list(parts.glob(f"{MEMBER}*")), process)
        time.sleep(delays.uniform(0.0, 0.5))
        process.kill()
        process.join()
        kills += process.exitcode == -signal.SIGKILL
    end(start(folder, out), out)
    assert len({v for _, v in log_of(out)}) == len(log_of(out))
    end(start(folder, whole), whole)
    assert content(out) == content(whole) and not parts.exists()


def test_interrupted_together_the_last_puts_the_finished_videos_into_the_file(
    folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.h5"
    both = [start(folder, out, stalls_after=n) for n in (1, 2)]
    until(lambda: all(stalled(process, out) for process in both), *both)
    for process in both:
        send(process, signal.SIGTERM)
    assert all(end(process, out)[3] for process in both)
    assert set(content(out)) == {v for _, v in log_of(out)}
    assert len(log_of(out)) == 3 and not Path(f"{out}.parts").exists()


def test_one_that_is_interrupted_leaves_the_rest_to_the_other(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.h5"
    interrupted = start(folder, out, stalls_after=1)
    until(lambda: stalled(interrupted, out), interrupted)
    other = start(folder, out)
    until(lambda: len(log_of(out)) >= 2, other)
    send(interrupted, signal.SIGINT)
    assert end(interrupted, out)[3] == 1
    assert not end(other, out)[3]
    assert len(content(out)) == 8 and len(log_of(out)) == 8


def test_thousands_of_finished_videos_are_checked_in_seconds(tmp_path: Path) -> None:
    out, many = tmp_path / "out.h5", 3000
    write_feature_file(out, (video(f"v{n}") for n in range(many)), provenance=MADE)
    began = time.process_time()  # of this processor: other programs may run
    with joined(out) as share:
        assert len(share.finished()) == many
        list(share.claim(left(*(f"v{n}" for n in range(many))), lambda *a: None))
    assert time.process_time() - began < 20


def test_claims_of_a_share_are_in_the_folder_of_the_parts(tmp_path: Path) -> None:
    with joined(tmp_path / "out.h5") as share, Claims(share.parts.folder) as other:
        next(share.claim(left("a"), lambda *a: None))
        assert other.holder(part_name("a")) is not None
