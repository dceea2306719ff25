"""`run.json`: what made a run, without a word on where."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tsatal.errors import InputError
from tsatal.formats.features import FeatureFile
from tsatal.head.origin import ORIGIN_FILE, add_origin, commit, digest, load_origin

HASH = "0123456789abcdef0123456789abcdef01234567"


def test_every_call_adds_an_entry(tmp_path: Path, write_toy: Callable[..., Path]) -> None:
    features = write_toy(tmp_path / "f.h5")
    with FeatureFile(features) as file:
        truth = file.annotations()
    assert truth is not None
    assert load_origin(tmp_path) == []
    for epoch, command in ((0, ["tsatal", "train", "--out", "a b"]), (3, None)):
        add_origin(tmp_path, features=features, truth=truth, seed=7, epoch=epoch, command=command)
    first, second = load_origin(tmp_path)
    assert first["command"] == "tsatal train --out 'a b'" and second["command"] is None
    assert (first["seed"], first["from_epoch"], second["from_epoch"]) == (7, 0, 3)
    assert first["features"] == second["features"] == {"sha256": digest(features)}
    assert len(first["annotations"]["sha256"]) == 64
    assert {"tsatal", "commit", "torch", "numpy", "python", "date"} <= set(first)
    assert str(tmp_path) not in (tmp_path / ORIGIN_FILE).read_text()


def test_a_damaged_file_is_named_and_begun_anew(
    tmp_path: Path, write_toy: Callable[..., Path]
) -> None:
    features = write_toy(tmp_path / "f.h5")
    with FeatureFile(features) as file:
        truth = file.annotations()
    assert truth is not None
    for text in ("{", "{}", "[1]"):
        (tmp_path / ORIGIN_FILE).write_text(text)
        with pytest.raises(InputError, match=r"run\.json: damaged"):
            load_origin(tmp_path)
    add_origin(tmp_path, features=features, truth=truth, seed=0, epoch=0, command=None)
    assert len(load_origin(tmp_path)) == 1


def checkout(root: Path, head: str, files: dict[str, str]) -> Path:
    for name, text in {"HEAD": head, **files}.items():
        (root / ".git" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / ".git" / name).write_text(text)
    return root


def test_the_commit_is_that_of_the_checkout(tmp_path: Path) -> None:
    branch = "ref: refs/heads/a/b\n"
    loose = checkout(tmp_path / "loose", branch, {"refs/heads/a/b": HASH + "\n"})
    packed = f"# pack-refs with: peeled\n{'f' * 40} refs/heads/b\n{HASH} refs/heads/a/b\n"
    assert commit(loose) == HASH
    assert commit(checkout(tmp_path / "packed", branch, {"packed-refs": packed})) == HASH
    assert commit(checkout(tmp_path / "detached", HASH + "\n", {})) == HASH
    unborn = checkout(tmp_path / "unborn", branch, {})
    assert commit(unborn) is None
    (unborn / ".git" / "HEAD").write_bytes(b"\xff")
    assert commit(unborn) is None
    # A worktree has its own HEAD, and the branches of the checkout that it belongs to.
    checkout(loose, branch, {"worktrees/w/HEAD": branch, "worktrees/w/commondir": "../..\n"})
    (tmp_path / "w").mkdir()
    (tmp_path / "w" / ".git").write_text(f"gitdir: {loose / '.git/worktrees/w'}\n")
    assert commit(tmp_path / "w") == HASH


def test_the_commit_of_a_plain_installation_is_not_known(tmp_path: Path) -> None:
    found = commit(tmp_path)
    assert found is None or len(found) == 40


def test_entries_are_json_of_plain_values(tmp_path: Path, write_toy: Callable[..., Path]) -> None:
    features = write_toy(tmp_path / "f.h5")
    with FeatureFile(features) as file:
        truth = file.annotations()
    assert truth is not None
    add_origin(tmp_path, features=features, truth=truth, seed=0, epoch=0, command=["tsatal"])
    text = (tmp_path / ORIGIN_FILE).read_text()
    assert json.loads(text) == load_origin(tmp_path)
