"""File systems without locks, or that refuse to open what is there: nothing is lost."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import h5py
import pytest

from tsatal.errors import InputError
from tsatal.extract.sharing.parts import Parts
from tsatal.formats.features import FeatureFile

from .commands import SMALL, TINY, write_arrays

NO_LOCKS = """
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
int flock(int fd, int operation) { errno = ERROR; return -1; }
int lockf(int fd, int command, off_t length) { errno = ERROR; return -1; }
int lockf64(int fd, int command, off_t length) { errno = ERROR; return -1; }
"""


@pytest.fixture(scope="module", params=["ENOLCK", "EOPNOTSUPP"])
def lockless(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that makes every lock of a file fail, as some network file systems do."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("no C compiler to make a file system without locks")
    source = tmp_path_factory.mktemp("lockless") / "lockless.c"
    source.write_text(NO_LOCKS.replace("ERROR", request.param))
    library = source.with_suffix(".so")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
    return library


def test_every_stage_works_without_locks(
    lockless: Path, videos: Path, toy: Path, tmp_path: Path
) -> None:
    def run(*argv: object) -> str:
        env = os.environ | {"LD_PRELOAD": str(lockless), "OMP_NUM_THREADS": "1"}
        env.pop("HDF5_USE_FILE_LOCKING", None)
        command = [sys.executable, "-m", "tsatal", "-q", *map(str, argv)]
        done = subprocess.run(
            command, env=env, cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    refused = f"import h5py; h5py.File({str(toy)!r}, 'r', locking=True)"
    env = os.environ | {"LD_PRELOAD": str(lockless)}
    done = subprocess.run(
        [sys.executable, "-c", refused], env=env, capture_output=True, text=True, check=False
    )
    assert "unable to lock file" in done.stderr  # so the library does what it should
    assert "4 done" in run("extract", videos, "out.h5", *TINY)
    assert "0 done" in (again := run("extract", videos, "out.h5", *TINY)) and "4 already" in again
    assert not (tmp_path / "out.h5.parts").exists()
    if "EOPNOTSUPP" in lockless.with_suffix(".c").read_text():  # stages open files alike
        return
    epochs = ("--set", "optim.epochs=1", "--device", "cpu")
    run("train", "--features", toy, "--out", "run", *SMALL, *epochs)
    run("import", write_arrays(tmp_path / "arrays"), "imported.h5", "--format", "npy", "--fps",
        "10", "--stride-frames", "4", "--window-frames", "16", "--no-transpose")  # fmt: skip
    run("info", "imported.h5")


def test_a_part_that_cannot_be_opened_is_an_error_and_stays(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from click.testing import CliRunner

    from tsatal.cli import main

    out, opened = tmp_path / "out.h5", h5py.File

    def refusing(path: object, mode: str = "r", **options: object) -> h5py.File:
        if ".parts" in str(path) and mode == "r":
            raise OSError("no locks available")
        return opened(path, mode, **options)

    monkeypatch.setattr(h5py, "File", refusing)
    argv = ["-q", "extract", str(videos), str(out), *TINY]
    result = CliRunner().invoke(main, argv)
    assert result.exit_code == 1 and "done" not in result.output
    assert "cannot be opened (no locks available)" in result.output
    kept = list((tmp_path / "out.h5.parts").glob("*.h5"))
    assert kept and not out.exists()
    monkeypatch.undo()
    result = CliRunner().invoke(main, argv)
    assert result.exit_code == 0 and f"{4 - len(kept)} done" in result.output
    assert f"{len(kept)} already there" in result.output
    with FeatureFile(out) as file:
        assert len(file.video_ids) == 4


def test_done_is_said_only_of_what_is_in_the_file(
    videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from click.testing import CliRunner

    from tsatal.cli import main

    out = tmp_path / "out.h5"
    monkeypatch.setattr(Parts, "assemble", lambda self, **options: None)
    result = CliRunner().invoke(main, ["-q", "extract", str(videos), str(out), *TINY])
    assert result.exit_code == 1 and "0 done" in result.output and "4 failed" in result.output
    assert result.output.count(f"is not in {out} after all") >= 4
    assert len(json.loads((tmp_path / "out.h5.failed.json").read_text())) == 4


def test_a_damaged_part_is_named_and_its_video_extracted_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    parts = Parts(tmp_path / "out.h5", {})
    parts.folder.mkdir()
    for name, content in (("empty", b""), ("other", b"half a file")):
        (parts.folder / f"{name}.h5").write_bytes(content)
    assert parts.find() == {} == parts.find()
    said = [r.message for r in caplog.records]
    assert len(said) == 2 and all("the video of this part is extracted again" in s for s in said)


def test_an_unreadable_feature_file_is_not_called_damaged(
    toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*args: object, **options: object) -> None:
        raise OSError(37, "Unable to synchronously open file (unable to lock file)")

    monkeypatch.setattr(h5py, "File", failing)
    with pytest.raises(InputError, match=r"f\.h5: cannot be opened \(No locks available\)"):
        FeatureFile(toy)
