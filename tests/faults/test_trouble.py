"""A full disk, a folder that cannot be written or vanishes, two at once, a video that is replaced.

Whatever happens, a command ends by itself and says in one line what is wrong; what is there under
its final name is whole; and once the trouble is over, the same command does the rest.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tsatal.formats.features import FeatureFile

from .commands import TINY, Command, Inputs, check_extract, make_command, names
from .conftest import LONG, SEED, Undisturbed, cases
from .warm import Ended, Warm
from .whole import feature_file


@contextlib.contextmanager
def small_disk(folder: Path, kilobytes: int) -> Iterator[Path]:
    """Yield a folder on a disk of that size; skip where none can be had."""
    folder.mkdir(exist_ok=True)
    if not _mount("-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", str(folder)):
        pytest.skip("mounting a disk takes a superuser")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def _mount(*arguments: str) -> bool:
    mount = shutil.which("mount")
    if os.geteuid() != 0 or mount is None:
        return False
    return subprocess.run([mount, *arguments], capture_output=True, check=False).returncode == 0


def said_in_one_line(ended: Ended) -> None:
    """Fail unless it succeeded, or said what is wrong in one line."""
    ended.check_clean(0, 1)
    if ended.code:
        said = [x for x in ended.output.splitlines() if x.startswith(("Error: ", "failed: "))]
        assert said and all(len(x) < 2000 for x in said), ended.output


def test_no_file_can_grow(
    command: Command, undisturbed: Undisturbed, warm: Warm, tmp_path: Path
) -> None:
    """As on a full disk, but at any size, and without a superuser."""
    sizes = [0, *(2**n for n in range(22))] if LONG else [20_000]
    failed = 0
    for size in sizes:
        folder = tmp_path / f"{size}"
        folder.mkdir()
        ended = warm.run(*command.argv(folder), cwd=folder, file_bytes=size)
        said_in_one_line(ended)
        failed += ended.code
        command.check(folder)
        warm.run(*command.argv(folder), cwd=folder).check_clean(0)
        assert command.content(folder) == undisturbed.content
    assert failed


def test_a_full_disk(
    command: Command, undisturbed: Undisturbed, warm: Warm, tmp_path: Path
) -> None:
    if command.name in ("evaluate", "import") and not LONG:
        pytest.skip("writes as the others do; a limit on files is tried above")
    failed = 0
    for kilobytes in (16, 64, 256, 1024, 4096) if LONG else (64,):
        with small_disk(tmp_path / "disk", kilobytes) as folder:
            ended = warm.run(*command.argv(folder), cwd=folder)
            said_in_one_line(ended)
            failed += ended.code
            command.check(folder)
            assert _mount("-o", "remount,size=64m", str(folder))
            warm.run(*command.argv(folder), cwd=folder).check_clean(0)
            assert command.content(folder) == undisturbed.content
    assert failed


def test_a_folder_that_cannot_be_written(command: Command, warm: Warm, tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        if os.geteuid() == 0:  # permissions do not stop a superuser
            folder = stack.enter_context(small_disk(tmp_path / "disk", 1024))
            assert _mount("-o", "remount,ro", str(folder))
        else:
            folder = tmp_path / "closed"
            folder.mkdir(mode=0o500)
        ended = warm.run(*command.argv(folder), cwd=folder)
        said_in_one_line(ended)
        assert ended.code == 1 and names(folder) == []


def test_a_folder_that_vanishes(
    command: Command, undisturbed: Undisturbed, warm: Warm, tmp_path: Path
) -> None:
    for case in cases(1, 25):
        dice, folder = random.Random(case), tmp_path / f"{case}" / "work"
        folder.mkdir(parents=True)
        process = warm.start(*command.argv(folder), cwd=folder)
        time.sleep(dice.uniform(0, undisturbed.seconds))
        shutil.rmtree(folder, ignore_errors=True)
        said_in_one_line(process.wait())
        assert {p.name for p in folder.parent.iterdir()} <= {"work"}


@pytest.mark.skipif(not LONG, reason="a short form of it is in tests/extract/test_sharing.py")
@pytest.mark.parametrize("kill", [False, True])
def test_two_at_once_into_the_same_file(
    inputs: Inputs, warm: Warm, warm2: Warm, kill: bool, tmp_path: Path
) -> None:
    command = make_command("extract", inputs)
    whole = tmp_path / "whole"
    whole.mkdir()
    warm.run(*command.argv(whole), cwd=whole).check_clean(0)
    for case in cases(1, 20):
        folder, dice = tmp_path / f"{case}", random.Random(case)
        folder.mkdir()
        one = warm.start(*command.argv(folder), cwd=folder)
        time.sleep(dice.uniform(0, 0.5))
        other = warm2.start(*command.argv(folder), cwd=folder)
        if kill:
            time.sleep(dice.uniform(0, 1.5))
            one.kill(dice.choice((signal.SIGKILL, signal.SIGTERM)))
        one.wait().check_clean(0, *((-signal.SIGKILL, 128 + signal.SIGTERM) if kill else ()))
        other.wait().check_clean(0)
        check_extract(folder)
        warm.run(*command.argv(folder), cwd=folder).check_clean(0)
        assert command.content(folder) == command.content(whole), f"case {case}"


def test_a_file_is_read_while_it_is_written(inputs: Inputs, warm: Warm, tmp_path: Path) -> None:
    """A reader sees the old file or the new one, at any instant."""
    take = make_command("import", inputs)
    warm.run(*take.argv(tmp_path), cwd=tmp_path).check_clean(0)
    expected, reads = feature_file(tmp_path / "out.h5"), 0
    for _ in cases(2, 30):
        done = threading.Event()
        process = warm.start(*take.argv(tmp_path), cwd=tmp_path)
        waiting = threading.Thread(target=lambda p=process, d=done: (p.wait(), d.set()))
        waiting.start()
        while not done.is_set():
            assert feature_file(tmp_path / "out.h5") == expected
            reads += 1
        waiting.join()
    assert reads


def test_a_video_replaced_while_it_is_read_is_never_taken_for_the_other(
    videos: Path, warm: Warm, tmp_path: Path
) -> None:
    """The rows of a video are those of what it is in the end, whenever it was replaced."""
    one, other = sorted(videos.glob("*.mp4"))[:2]
    for case in cases(1, 40):
        dice, folder = random.Random(f"{SEED} {case}"), tmp_path / f"{case}"
        (folder / "videos").mkdir(parents=True)
        for n in range(3):
            shutil.copyfile(one, folder / "videos" / f"v{n}.mp4")
        argv = ("extract", folder / "videos", "out.h5", *TINY)
        process = warm.start(*argv, cwd=folder)
        time.sleep(dice.uniform(0.0, 1.5))
        path, aside = folder / "videos" / f"v{dice.randrange(3)}.mp4", folder / "aside"
        shutil.copyfile(other, path if dice.random() < 0.5 else aside)
        if aside.exists():
            os.replace(aside, path)
        process.wait().check_clean(0, 1)
        warm.run(*argv, cwd=folder).check_clean(0)
        expected = {}
        for video in sorted((folder / "videos").iterdir()):
            fresh = folder / "fresh.h5"
            fresh.unlink(missing_ok=True)
            warm.run("extract", video, fresh, *TINY, cwd=folder).check_clean(0)
            with FeatureFile(fresh) as file:
                expected[video.stem] = file.rows(video.stem, ["rgb"]).tobytes()
        with FeatureFile(folder / "out.h5") as file:
            rows = {v: file.rows(v, ["rgb"]).tobytes() for v in file.video_ids}
        assert rows == expected, f"case {case}"
