"""A machine without a screen has no libGL; commands say what helps, or need no OpenCV."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

MISSING = "libGL.so.1: cannot open shared object file: No such file or directory"


@pytest.fixture
def without_opencv(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Return a function that runs a command where OpenCV cannot be imported."""
    (tmp_path / "packages" / "cv2").mkdir(parents=True)
    (tmp_path / "packages" / "cv2" / "__init__.py").write_text(f"raise ImportError({MISSING!r})")

    def run(*argv: object) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join([str(tmp_path / "packages"), os.environ.get("PYTHONPATH", "")])
        return subprocess.run(
            [sys.executable, "-m", "tsatal", *map(str, argv)],
            env=os.environ | {"PYTHONPATH": path}, cwd=tmp_path,
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    return run


def test_an_extraction_without_libgl_says_what_to_install(
    without_opencv: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    (tmp_path / "v.mp4").touch()
    done = without_opencv("extract", "v.mp4", "out.h5", "--weights", "random")
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1
    assert MISSING in done.stderr and "pip install opencv-python-headless" in done.stderr


def test_what_reads_no_video_needs_no_opencv(
    without_opencv: Callable[..., subprocess.CompletedProcess[str]],
    tmp_path: Path,
    write_toy: Callable[..., Path],
) -> None:
    write_toy(tmp_path / "f.h5")
    small = ("--config", "paper", "--set", "model.width=16", "--set", "optim.epochs=1")
    done = without_opencv("-q", "train", "--features", "f.h5", "--out", "run", *small)
    assert done.returncode == 0, done.stderr
