"""Checkpoints: whole or not at all, and damage that is named."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tsatal.errors import InputError
from tsatal.head.checkpoint import LAST, TrainingState, load_checkpoint, save_atomically
from tsatal.head.loop import averaged, make_optimizer

from .test_loop import run


def test_a_full_disk_leaves_the_previous_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / LAST
    save_atomically({"average": {}, "n": 1}, path)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        save_atomically({"average": {}, "n": 2}, path)
    assert load_checkpoint(path)["n"] == 1
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", None])
def test_a_damaged_or_missing_checkpoint_is_one_clear_line(
    tmp_path: Path, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / "x.pt").write_bytes(content)
    with pytest.raises(InputError, match="x.pt"):
        load_checkpoint(tmp_path / "x.pt")


def test_a_checkpoint_of_another_version_is_one_clear_line(tmp_path: Path) -> None:
    model = nn.Linear(1, 1)
    average = averaged(model, decay=0.9)
    optimizer = make_optimizer(model, lr=1e-3, weight_decay=0.0)
    old = {"average": {}, "training": {"model": model.state_dict()}, "progress": {}}
    save_atomically(old, tmp_path / "last.pt")
    with pytest.raises(InputError, match="criterion.*train anew"):
        TrainingState(model, nn.Identity(), average, optimizer).load(tmp_path / "last.pt")


@pytest.mark.parametrize("name", ["exp_avg", "exp_avg_sq", "step"])
def test_moments_of_other_shapes_are_refused_before_a_step_is_made(
    tmp_path: Path, name: str
) -> None:
    run(tmp_path, epochs=1)
    checkpoint = load_checkpoint(tmp_path / "last.pt")
    checkpoint["training"]["optimizer"]["state"][0][name] = torch.zeros(7)
    save_atomically(checkpoint, tmp_path / "last.pt")
    with pytest.raises(InputError, match="last.pt: does not fit"):
        run(tmp_path, epochs=2, resume=True)


@pytest.mark.parametrize("progress", [None, {}, {"epoch": "x"}, [1, 2]])
def test_progress_that_is_none_is_refused(tmp_path: Path, progress: object) -> None:
    run(tmp_path, epochs=1)
    checkpoint = load_checkpoint(tmp_path / "last.pt")
    save_atomically({**checkpoint, "progress": progress}, tmp_path / "last.pt")
    with pytest.raises(InputError, match="last.pt: does not fit"):
        run(tmp_path, epochs=2, resume=True)
