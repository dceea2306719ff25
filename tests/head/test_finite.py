"""A training whose numbers are no longer finite: what stops it, what it says, what is kept."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tsatal.errors import InputError
from tsatal.formats.features import TimeAxis
from tsatal.head import loop as train
from tsatal.head.dataset import Batch, LabelledVideo, Window
from tsatal.head.targets import Truth

from .test_loop import Criterion, Net, batches_of, run


class Exploding(Criterion):
    """Loses its mind at the fifth batch, the second of the second epoch.

    which: "loss", whose parts stay finite; "square", a part and with it the loss; "gradient",
    of a loss that is finite: the root of 0 has an infinite slope, and 0 times infinity is NaN.
    """

    calls = 0

    def __init__(self, which: str) -> None:
        super().__init__()
        self.which = which

    def forward(
        self, output: Tensor, truth: Truth, *, num_steps: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        self.calls += 1
        loss, parts = super().forward(output, truth, num_steps=num_steps)
        parts["other"] = torch.tensor(0.25)
        if self.calls < 5:
            return loss, parts
        if self.which == "gradient":
            return loss + (output * 0).square().sum().sqrt(), parts
        if self.which == "square":
            parts["square"] = parts["square"] * math.inf
        return loss * math.nan, parts


def named_batches(epoch: int) -> Iterator[Batch]:
    for number, batch in enumerate(batches_of(epoch)):
        axis = TimeAxis(num_steps=50, start_sec=0.0, step_sec=1.0, duration_sec=50.0)
        empty = np.zeros((0, 2)), np.zeros(0, dtype=np.int64)
        videos = [LabelledVideo(f"video {epoch}.{number}{x}", axis, *empty) for x in "ab"]
        windows = (Window(videos[0], 7, 5), Window(videos[1], 0, 0))  # the second fills a place
        yield replace(batch, windows=windows)


@pytest.mark.parametrize(
    ("which", "said"),
    [
        ("loss", r"the loss is nan at step 5 of epoch 2 \(square [\d.]+, other 0.25\)"),
        ("square", r"the loss is nan at step 5 of epoch 2 \(square inf\)"),
        ("gradient", r"the gradient is nan at step 5 of epoch 2 \(square [\d.]+, other 0.25\)"),
    ],
)
def test_a_loss_or_gradient_that_is_not_finite_stops_and_keeps_the_last_epoch(
    tmp_path: Path, which: str, said: str
) -> None:
    run(tmp_path, criterion=Exploding(which), batches_of=named_batches, epochs=1)
    before = {name: (tmp_path / name).read_bytes() for name in (train.LAST, train.BEST)}
    resumed = Exploding(which)
    resumed.calls = 3
    batch = r", in the batch of video 1.1a \(rows 7 to 11\); a lower optim.lr may help; "
    kept = "the checkpoint of epoch 1 is left as it was"
    with pytest.raises(InputError, match=f"^{said}{batch}{kept}$"):
        run(tmp_path, criterion=resumed, batches_of=named_batches, resume=True)
    assert {name: (tmp_path / name).read_bytes() for name in before} == before


def test_where_no_epoch_is_finished_nothing_is_saved(tmp_path: Path) -> None:
    criterion = Exploding("loss")
    criterion.calls = 2
    with pytest.raises(InputError, match="at step 3 of epoch 1 .*; nothing was saved$"):
        run(tmp_path, criterion=criterion)
    assert not list(tmp_path.glob("*.pt"))


def test_statistics_that_are_not_finite_are_not_saved(tmp_path: Path) -> None:
    # The loss does not see them before validation: in training batch-norm uses the batch's own.
    class Overflowing(Net):
        def forward(self, features: Tensor, valid: Tensor) -> Tensor:
            if self.get_buffer("layers.2.num_batches_tracked") == 5:
                self.get_buffer("layers.2.running_var").fill_(math.inf)
            return super().forward(features, valid)

    message = r"1 of 9 weights are not finite after epoch 2, the first: layers.2.running_var; .*"
    with pytest.raises(InputError, match=message + "the checkpoint of epoch 1 is left as it was$"):
        run(tmp_path, model=Overflowing())
    saved = train.load_checkpoint(tmp_path / train.LAST)
    assert saved["progress"]["epoch"] == 1
    assert all(x.isfinite().all() for x in saved["average"].values())
