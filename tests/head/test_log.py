"""What TensorBoard is given to show."""

import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tsatal import pipeline
from tsatal.config import load_config
from tsatal.errors import InputError
from tsatal.head.log import TrainingLog, Validation, read_log


@pytest.fixture(scope="module")
def board(
    tmp_path_factory: pytest.TempPathFactory, write_toy: Callable[..., Path]
) -> EventAccumulator:
    folder = tmp_path_factory.mktemp("board")
    settings = ["optim.epochs=8", "optim.validate_every=1", "optim.log_every=1", "model.width=16"]
    features = write_toy(folder / "f.h5")
    run = pipeline.train(features, load_config("paper", settings), run=folder / "run")
    read = EventAccumulator(str(run), size_guidance={"images": 0, "scalars": 0})
    return read.Reload()


def test_losses_are_shown_by_part_beside_learning_rate_and_map(board: EventAccumulator) -> None:
    names = board.Tags()["scalars"]
    assert {"train/loss", "train/lr", "train/grad_norm", "validation/mAP"} <= set(names)
    assert len([n for n in names if n.startswith("train/")]) >= 8
    assert "validation/mAP at tIoU 0.5" in names
    assert [e.step for e in board.Scalars("validation/mAP")] == [3 * n for n in range(1, 9)]


def test_time_lines_are_drawn_four_times_in_a_training(board: EventAccumulator) -> None:
    assert sorted(board.Tags()["images"]) == ["time lines/video_2", "time lines/video_5"]
    pictures = board.Images("time lines/video_2")
    assert [p.step for p in pictures] == [6, 12, 18, 24]
    assert all(p.width == 1200 and p.height > 100 for p in pictures)


@pytest.mark.parametrize(
    "content", [b"\xff\xfe", b"step\n1,2\n", b"a,b\n1,2\n", b"step\n\0\n", b"step\nx\n"]
)
def test_a_damaged_log_is_begun_anew(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match="log.csv: damaged"):
        read_log(path)
    log = TrainingLog(tmp_path, from_step=5, steps=6, epochs=1)
    log.validation(6, 1, Validation(0.5))
    log.close()
    assert [r["step"] for r in read_log(path)] == ["6"]


def test_a_folder_that_vanishes_is_raised_and_not_printed(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run").mkdir()
    log = TrainingLog(tmp_path / "run", from_step=0, steps=1, epochs=1)
    shutil.rmtree(tmp_path / "run")
    with pytest.raises(OSError, match="No such file"):
        log.validation(1, 1, Validation(0.5))
    with contextlib.suppress(OSError):
        log.close()
    assert "Traceback" not in capfd.readouterr().err
