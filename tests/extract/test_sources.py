from __future__ import annotations

import os
from pathlib import Path

import pytest

from tsatal.errors import InputError
from tsatal.extract.sources import assign_ids, find_videos, fingerprint


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def test_a_folder_is_searched_recursively_and_sorted(tmp_path: Path) -> None:
    touch(tmp_path, "b.mp4", "a/c.MKV", "a.webm", "notes.txt", ".hidden.mp4", ".cache/d.mp4")
    found = [p.relative_to(tmp_path).as_posix() for p in find_videos(tmp_path)]
    assert found == ["a/c.MKV", "a.webm", "b.mp4"]


def test_a_file_is_itself_whatever_its_extension(tmp_path: Path) -> None:
    touch(tmp_path, "film.xyz")
    assert find_videos(tmp_path / "film.xyz") == [tmp_path / "film.xyz"]


def test_a_list_is_relative_to_its_own_folder_and_keeps_its_order(tmp_path: Path) -> None:
    listed = tmp_path / "list.txt"
    listed.write_text("# chosen\n\nz.mp4\nsub/a.mp4\n/abs/b.mp4\n")
    assert find_videos(listed) == [
        tmp_path / "z.mp4",
        tmp_path / "sub/a.mp4",
        Path("/abs/b.mp4"),
    ]


@pytest.mark.parametrize("name", ["missing", "missing.mp4", "missing.txt"])
def test_nothing_there_is_said(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=f"{name}: no such file or folder"):
        find_videos(tmp_path / name)


def test_a_folder_without_videos_says_what_counts(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no videos.*\.mp4"):
        find_videos(tmp_path)


def test_the_first_of_two_files_with_one_stem_keeps_the_id() -> None:
    ids, refused = assign_ids([Path("a/v.mp4"), Path("a/v.mp4"), Path("b/v.avi"), Path("w.mp4")])
    assert ids == {"v": Path("a/v.mp4"), "w": Path("w.mp4")}
    assert list(refused) == ["b/v.avi"]
    assert "a/v.mp4" in refused["b/v.avi"] and "b/v.avi" in refused["b/v.avi"]


def test_a_name_that_is_no_text_is_refused_not_crashed_on() -> None:
    ids, refused = assign_ids([Path("\udcff.mp4"), Path("gut\u00a0\u00e4.mp4")])
    assert list(ids) == ["gut\u00a0\u00e4"] and "not valid text" in next(iter(refused.values()))


def test_a_folder_whose_name_is_no_text_is_refused_too() -> None:
    ids, refused = assign_ids([Path("\udcff/v.mp4")])
    [reason] = refused.values()
    assert not ids and reason.endswith("its folder's name is not valid text")


def test_the_fingerprint_follows_size_and_time(tmp_path: Path) -> None:
    path = tmp_path / "v.mp4"
    path.write_bytes(b"one")
    first = fingerprint(path)
    assert fingerprint(path) == first
    os.utime(path, ns=(0, 1))
    assert fingerprint(path) != first
