from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tsatal.errors import InputError
from tsatal.extract.clock import Reading
from tsatal.extract.sources import assign_ids, find_videos, fingerprint, id_of


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


def test_what_a_folder_holds_and_is_not_taken_is_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    touch(tmp_path, "a.mp4", "a.json", "b.txt", "c.txt", ".d", "README", "e/1.jpg", "e/2.jpg")
    (tmp_path / "elsewhere").symlink_to(tmp_path / "e")
    with caplog.at_level("INFO"):
        assert find_videos(tmp_path) == [tmp_path / "a.mp4"]
    (line,) = caplog.messages
    assert line.startswith(f"{tmp_path}: not taken: 2 .txt, 1 ")
    for said in ("1 .json", "1 without an ending", "1 hidden", "1 linked folders"):
        assert said in line
    assert "1 folders of numbered images (videos with --assume-fps)" in line


@pytest.mark.parametrize("name", ["v.h264", "v.gif", "v.dav", "v.MTS", "v.mjpeg"])
def test_less_common_kinds_are_taken(tmp_path: Path, name: str) -> None:
    touch(tmp_path, name)
    assert find_videos(tmp_path) == [tmp_path / name]


def test_folders_of_images_are_videos_where_the_rate_is_known(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "b.1/1.jpg", "b.1/2.jpg")
    folder = tmp_path / "b.1"
    assert find_videos(tmp_path, images=True) == [tmp_path / "a.mp4", folder]
    assert find_videos(folder) == [folder]
    assert assign_ids([folder])[0] == {"b.1": folder}
    (tmp_path / "a.mp4").unlink()
    with pytest.raises(InputError, match="folders of numbered images with --assume-fps"):
        find_videos(tmp_path)


def test_the_id_of_the_folder_here_is_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert id_of(Path()) == tmp_path.name


def test_what_the_user_says_of_a_file_is_in_its_fingerprint(tmp_path: Path) -> None:
    touch(tmp_path, "a.mp4", "b.h264", "c/1.jpg", "c/2.jpg")
    rate, track = Reading(assume_fps=30.0), Reading(track=1)
    assert fingerprint(tmp_path / "a.mp4", rate) == fingerprint(tmp_path / "a.mp4")
    assert fingerprint(tmp_path / "a.mp4", track) != fingerprint(tmp_path / "a.mp4")
    for name in ("b.h264", "c"):
        assert fingerprint(tmp_path / name, rate) != fingerprint(tmp_path / name)
    assert json.loads(fingerprint(tmp_path / "c"))["images"] == 2
