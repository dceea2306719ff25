"""Whole or not at all: what is left where it succeeds, where it fails, and where it was killed."""

import os
import stat
import threading
from pathlib import Path

import h5py
import numpy as np
import pytest

from tsatal.formats import atomic as files
from tsatal.formats.atomic import ErrorKeeper, filling, replacing, write_text


def test_what_was_there_stays_until_all_is_written(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with replacing(path) as aside:
        aside.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, OSError])
def test_what_fails_leaves_nothing_behind(error: type[BaseException], tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    with pytest.raises(error), replacing(path) as aside:
        aside.write_text("half")
        raise error
    assert not list(tmp_path.iterdir())


def test_an_error_names_the_file_and_not_what_lies_aside(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"No such file or directory: '[^']*/gone/a.txt'"):
        write_text(tmp_path / "gone" / "a.txt", "")


def test_what_killed_processes_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    with replacing(tmp_path / "a.txt") as aside:
        aside.touch()
        mine = aside.name.removesuffix(f"-{os.getpid()}.tmp")
    # A process of another host may well have a number that none has here.
    kept = {f".b.txt.{GONE}.tmp", ".a.txt.1.tmp", ".a.txt.x.tmp", f".a.txt.0123abcd-{GONE}.tmp"}
    for name in (*kept, f".a.txt.{GONE}.tmp", f"{mine}-{GONE}.tmp"):
        (tmp_path / name).touch()
    write_text(tmp_path / "a.txt", "")
    assert {p.name for p in tmp_path.iterdir()} == {"a.txt", *kept}


def test_a_link_is_followed_and_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    link, target = tmp_path / "link.txt", tmp_path / "elsewhere" / "a.txt"
    link.symlink_to(target)
    write_text(link, "text")
    assert link.is_symlink() and target.read_text() == "text"


def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path: Path) -> None:
    path, read = tmp_path / "pipe", []
    os.mkfifo(path)
    reader = threading.Thread(target=lambda: read.append(path.read_text()))
    reader.start()
    write_text(path, "text")
    reader.join(timeout=60)
    assert read == ["text"] and stat.S_ISFIFO(path.stat().st_mode)


NAMES = ("rows", "last.json")
GONE = 2**22 + 1  # no process has this number


def fill(folder: Path, *, error: BaseException | None = None) -> bool:
    with filling(folder, NAMES) as aside:
        if aside is None:
            return False
        (aside / "rows").mkdir()
        (aside / "rows" / "a").write_text("a")
        (aside / "last.json").write_text("{}")
        assert not {p.name for p in folder.iterdir()} & set(NAMES)
        if error:
            raise error
    return True


def names_in(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


FULL = ["last.json", "rows", "rows/a"]


def test_a_folder_is_filled_whether_it_is_there_or_not(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    for folder in (tmp_path / "new" / "one", tmp_path / "there"):
        assert fill(folder) and names_in(folder) == FULL
        assert not fill(folder) and names_in(folder) == FULL


@pytest.mark.parametrize("error", [ValueError(), KeyboardInterrupt(), OSError(28, "no space")])
def test_a_folder_that_cannot_be_filled_is_as_it_was(error: BaseException, tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.mkdir()
    for folder in (there, tmp_path / "new"):
        with pytest.raises(type(error)):
            fill(folder, error=error)
    assert names_in(tmp_path) == ["there"]


def test_a_full_disk_is_said_of_the_folder_and_not_of_what_lies_aside(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"no space: '[^']*/out'$"):
        fill(tmp_path / "out", error=OSError(28, "no space", "x"))


@pytest.mark.parametrize("pid", [GONE, os.getpid()], ids=["gone", "mine"])
@pytest.mark.parametrize("came_to_be", [0, 1, 2])
def test_what_a_killed_process_has_left_in_a_folder_is_replaced(
    pid: int, came_to_be: int, tmp_path: Path
) -> None:
    aside = tmp_path / f".filling.{pid}.tmp"
    for number, name in enumerate(NAMES):
        place = tmp_path if number < came_to_be else aside
        (place / name).mkdir(parents=True)
        (place / name / "old").touch()
    aside.mkdir(exist_ok=True)
    assert fill(tmp_path) and names_in(tmp_path) == FULL


@pytest.mark.parametrize("name", ["rows", "mine", ".filling.1.tmp"])
def test_a_folder_with_something_else_in_it_is_not_filled(name: str, tmp_path: Path) -> None:
    """Process 1 always runs."""
    (tmp_path / name).mkdir()
    assert not fill(tmp_path) and names_in(tmp_path) == [name]


def test_what_others_have_put_there_meanwhile_is_kept(tmp_path: Path) -> None:
    (tmp_path / f".filling.{GONE}.tmp").mkdir()
    (tmp_path / "mine").touch()
    assert not fill(tmp_path) and names_in(tmp_path) == ["mine"]


def test_lines_end_as_they_were_written(tmp_path: Path) -> None:
    write_text(tmp_path / "a.csv", "a\r\nb\n")
    assert (tmp_path / "a.csv").read_bytes() == b"a\r\nb\n"


def test_the_keeper_gives_hdf5_what_a_file_gives(tmp_path: Path) -> None:
    rows = np.arange(300_000, dtype=np.float32).reshape(-1, 10)
    keeper = ErrorKeeper(tmp_path / "a.h5")
    with h5py.File(keeper, "w") as file:
        file["rows"] = rows
    keeper.check()
    keeper.close()
    with h5py.File(tmp_path / "a.h5") as file:
        np.testing.assert_array_equal(file["rows"][()], rows)


def test_the_keeper_raises_the_first_error_when_asked(tmp_path: Path) -> None:
    keeper = ErrorKeeper(tmp_path / "a")
    os.close(keeper.fileno())  # whatever is written now fails
    assert keeper.write(b"abc") == 3 and keeper.write(b"d") == 1
    with pytest.raises(OSError, match="Bad file descriptor"):
        keeper.check()
    with pytest.raises(OSError, match="Bad file descriptor"):
        keeper.close()


def test_a_folder_that_cannot_be_synced_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = files.sync

    def some(path: Path) -> None:
        if path.is_dir():
            raise OSError(22, "Invalid argument")
        sync(path)

    monkeypatch.setattr(files, "sync", some)
    write_text(tmp_path / "a.txt", "text")
    assert (tmp_path / "a.txt").read_text() == "text"
