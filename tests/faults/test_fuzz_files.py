"""Broken feature files and videos: each ends in success or in one clear line.

In a process of their own: damage may crash or hang a library in C, and take the tests with it.
"""

from __future__ import annotations

import random
import re
import shutil
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from .commands import SMALL, TINY, check_extract
from .conftest import LONG, cases
from .mutation import mutate_features, mutated_bytes
from .warm import LIMIT_BYTES, LIMIT_SEC, Warm

BATCH = 25  # cases of one process
CONTAINERS = {"mp4": "mpeg4", "mkv": "mpeg4", "avi": "mpeg4", "webm": "libvpx", "ts": "mpeg2video"}


def run_all(warm: Warm, commands: Sequence[Sequence[object]], cwd: Path, case: int) -> Counter[str]:
    """Return how the commands ended; fail unless each ended well, or in one line of error."""
    ended = warm.run_batch(commands, cwd=cwd, more_bytes=LIMIT_BYTES)
    ended.check_clean(0, commands=len(commands))
    counts: Counter[str] = Counter()
    each = re.split(r"^\[status (\d) in ([\d.]+) s\]$", ended.output, flags=re.MULTILINE)
    for said, status, seconds in zip(each[::3], each[1::3], each[2::3], strict=False):
        counts[f"status {status}"] += 1
        assert float(seconds) < LIMIT_SEC
        if status != "0":
            errors = re.findall("^(?:Error|failed|.*docs/checking.md).*", said, flags=re.MULTILINE)
            assert errors and all(len(x) < 3000 for x in errors), f"case {case}: {said[-2000:]}"
    assert counts.total() == len(commands), f"cases from {case}: {ended.output[-2000:]}"
    return counts


def test_feature_files(warm: Warm, toy: Path, run_dir: Path, videos: Path, tmp_path: Path) -> None:
    counts: Counter[str] = Counter()
    own = tmp_path / "own.h5"
    warm.run("extract", videos, own, *TINY, cwd=tmp_path).check_clean(0)
    every = cases(30, 2500)
    for first in range(every.start, every.stop, BATCH):
        folder = tmp_path / "work"
        folder.mkdir()
        commands, done = [], []
        for case in range(first, min(first + BATCH, every.stop)):
            dice = random.Random(case)
            use = dice.choice(
                ("train", "evaluate", "check", "info", "extract", "project", "export")
            )
            broken = folder / f"{case}.h5"
            source = own if use in ("extract", "project") else toy
            done.append(f"{case}: {use}, {mutate_features(source, broken, dice)}")
            commands.append(_use(use, broken, run_dir, videos))
        try:
            counts += run_all(warm, commands, folder, first)
        except AssertionError as e:
            raise AssertionError("\n".join([str(e), *done])) from None
        shutil.rmtree(folder)
    print(dict(counts))
    assert counts["status 0"] and counts["status 1"]


def _use(use: str, broken: Path, run_dir: Path, videos: Path) -> tuple[object, ...]:
    cpu, aside = ("--device", "cpu"), broken.with_suffix("")
    uses: dict[str, tuple[object, ...]] = {
        "train": ("-q", "train", "--features", broken, "--out", aside, *SMALL, *cpu,
                  "--set", "optim.epochs=1"),
        "evaluate": ("evaluate", run_dir, "--features", broken, "--timelines", "0",
                     "--out", aside, *cpu),
        "check": ("check", broken),
        "info": ("info", broken),
        "extract": ("-q", "extract", videos, broken, *TINY),
        "project": ("-q", "extract", sorted(videos.glob("*.mp4"))[0], f"{aside}.new.h5", *TINY,
                    "--projection", broken),
        "export": ("export", broken, aside),
    }  # fmt: skip
    return uses[use]


@pytest.fixture(scope="session")
def originals(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """A short video in every container."""
    folder = tmp_path_factory.mktemp("originals")
    for ending, codec in CONTAINERS.items():
        with av.open(str(folder / f"v.{ending}"), "w") as container:
            stream: Any = container.add_stream(codec, rate=Fraction(25))
            stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
            for n in range(40):
                image = np.full((64, 96, 3), 6 * n, np.uint8)
                image[n : n + 20, n : n + 30] = 255 - 6 * n
                container.mux(stream.encode(av.VideoFrame.from_ndarray(image)))
            container.mux(stream.encode())
    return sorted(folder.iterdir())


def damaged_video(content: bytes, dice: random.Random) -> bytes:
    """Return a video cut at a tenth, with flipped bits, or with a header that lies."""
    kind = dice.randrange(4)
    if kind == 0:
        return content[: len(content) * dice.randrange(1, 10) // 10]
    if kind == 1:
        return mutated_bytes(content, dice)
    data = bytearray(content)
    ends = [*range(min(1500, len(data))), *range(max(len(data) - 1500, 0), len(data))]
    for _ in range(dice.choice((1, 2, 8))):
        at = dice.choice(ends)
        if kind == 2:
            data[at] ^= 1 << dice.randrange(8)
        else:
            data[at : at + 4] = dice.choice(
                (b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff", b"\0\0\0\1")
            )
    return bytes(data)


def test_videos(warm: Warm, originals: list[Path], tmp_path: Path) -> None:
    counts: Counter[str] = Counter()
    every = cases(60, 2500)
    for first in range(every.start, every.stop, BATCH):
        folder = tmp_path / "work"
        folder.mkdir()
        commands: list[tuple[object, ...]] = []
        for case in range(first, min(first + BATCH, every.stop)):
            dice = random.Random(case)
            original = dice.choice(originals)
            path = folder / f"{case}{original.suffix}"
            path.write_bytes(damaged_video(original.read_bytes(), dice))
            commands.append(("decode", path))
        counts += run_all(warm, commands, folder, first)
        if LONG and (first // BATCH) % 20 == 0:
            warm.run("-q", "extract", folder, "out.h5", *TINY, cwd=folder).check_clean(0, 1)
            check_extract(folder)
        shutil.rmtree(folder)
    print(dict(counts))
    assert counts["status 0"] and counts["status 1"]


@pytest.mark.parametrize(
    "text",
    [
        "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://127.0.0.1:9/x.ts\n#EXT-X-ENDLIST\n",
        "ffconcat version 1.0\nfile /etc/passwd\n",
        "ffconcat version 1.0\nfile http://127.0.0.1:9/x.mp4\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n",
    ],
)
def test_a_playlist_in_the_place_of_a_video_fetches_nothing(
    text: str, warm: Warm, tmp_path: Path
) -> None:
    (tmp_path / "v.mp4").write_text(text)
    counts = run_all(warm, [("decode", tmp_path / "v.mp4")], tmp_path, 0)
    assert counts == {"status 1": 1}
