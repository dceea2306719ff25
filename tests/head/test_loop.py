"""The loop: schedules in closed form, resuming bit for bit, stopping at what is not finite."""

import csv
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tsatal.config import LossConfig, ModelConfig, OptimConfig
from tsatal.errors import InputError
from tsatal.formats.features import TimeAxis
from tsatal.head import loop
from tsatal.head.checkpoint import BEST, LAST, Progress, load_checkpoint
from tsatal.head.dataset import Batch
from tsatal.head.log import Validation, read_log
from tsatal.head.losses import HeadLoss
from tsatal.head.model import TSATAL
from tsatal.head.targets import Truth
from tsatal.head.windows import LabelledVideo, Window


def test_learning_rate_warms_up_and_follows_half_a_cosine() -> None:
    optim = OptimConfig(lr=2.0, warmup_share=0.2)
    rates = [loop.learning_rate(s, total_steps=20, optim=optim) for s in range(20)]
    np.testing.assert_allclose(rates[:4], [0.5, 1.0, 1.5, 2.0])
    assert rates[4] == 2.0
    assert rates[12] == pytest.approx(1.0)  # half way down
    assert rates[19] == pytest.approx(1 + math.cos(math.pi * 15 / 16))


def test_no_warmup_and_one_step() -> None:
    optim = OptimConfig(lr=1.0, warmup_share=0.0)
    assert loop.learning_rate(0, total_steps=1, optim=optim) == 1.0


def test_average_forgets_the_initialisation_in_a_short_training() -> None:
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 1000.0)
    average = loop.averaged(model, decay=0.999)
    nn.init.constant_(model.weight, 1.0)
    average.update_parameters(model)  # the first update copies
    for _ in range(5):
        average.update_parameters(model)
    assert weight_of(average) == pytest.approx(1.0)


def test_average_is_the_moving_average_by_hand() -> None:
    model = nn.Linear(1, 1, bias=False)
    average = loop.averaged(model, decay=0.999)
    values = [3.0, 5.0, 8.0]
    for v in values:
        nn.init.constant_(model.weight, v)
        average.update_parameters(model)
    expected = values[0]
    for updates, v in enumerate(values[1:], start=1):
        keep = (1 + updates) / (10 + updates)
        expected = keep * expected + (1 - keep) * v
    assert weight_of(average) == pytest.approx(expected)


def test_biases_and_norms_do_not_decay() -> None:
    model = nn.Sequential(nn.Conv1d(2, 3, 1), nn.BatchNorm1d(3))
    decayed, free = loop.make_optimizer(model, lr=1e-3, weight_decay=0.1).param_groups
    assert [p.shape for p in decayed["params"]] == [(3, 2, 1)] and decayed["weight_decay"] == 0.1
    assert len(free["params"]) == 3 and free["weight_decay"] == 0.0


def weight_of(average: nn.Module) -> float:
    return float(average.get_parameter("module.weight").detach())


class Net(nn.Module):
    """A model with dropout and batch-norm, so that every random state matters."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Dropout(0.3), nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 1)
        )

    def forward(self, features: Tensor, valid: Tensor) -> Tensor:
        return self.layers(features.flatten(0, 1))


def batches_of(epoch: int) -> Iterator[Batch]:
    """Return batches whose truth follows from their features: a segment of that length a step."""
    g = torch.Generator().manual_seed(epoch)
    for _ in range(3):
        x = torch.randn(2, 5, 4, generator=g)
        segments = torch.stack([torch.zeros(2, 5), x.sum(-1)], -1)
        labels = torch.zeros(2, 5, dtype=torch.long)
        yield Batch(x, torch.ones(2, 5, dtype=torch.bool), Truth(segments, labels))


class Criterion(nn.Module):
    """Squares over their running mean, so that what it remembers matters."""

    def __init__(self) -> None:
        super().__init__()
        self.mean: Tensor
        self.register_buffer("mean", torch.ones(()))

    def forward(
        self, output: Tensor, truth: Truth, *, num_steps: int
    ) -> tuple[Tensor, dict[str, Tensor]]:
        assert num_steps == 5
        square = (output.flatten() - truth.segments[..., 1].flatten()).square().mean()
        self.mean.lerp_(square.detach(), 0.1)
        loss = square / self.mean
        return loss, {"square": square.detach()}


def run(run_dir: Path, *, resume: bool = False, **changes: Any) -> Progress:
    """Train with these settings of `optim` and these other arguments of `fit`."""
    run_dir.mkdir(exist_ok=True)
    torch.manual_seed(99 if resume else 0)  # a resumed process starts from another state
    settings: dict[str, Any] = {
        "epochs": 4,
        "lr": 1e-2,
        "average_decay": 0.9,
        "half": False,
        "seed": 5,
        "log_every": 2,
        "validate_every": 2,
    }
    options: dict[str, Any] = {
        "model": Net(),
        "batches_of": batches_of,
        "criterion": Criterion(),
        "validate": lambda model, drawn: Validation(0.5),
    }
    for name, value in changes.items():
        (settings if name in OptimConfig.model_fields else options)[name] = value
    return loop.fit(
        **options,
        steps_per_epoch=3,
        run_dir=run_dir,
        optim=OptimConfig(**settings),
        resume=resume,
        device=torch.device("cpu"),
    )


def stop_after(epoch: int) -> Callable[[int], Iterator[Batch]]:
    """Return batches that fail in the middle of `epoch`, as a killed process does."""

    def batches(e: int) -> Iterator[Batch]:
        for n, batch in enumerate(batches_of(e)):
            if e == epoch and n == 2:
                raise KeyboardInterrupt
            yield batch

    return batches


def same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b)


@pytest.mark.parametrize("freeze", [1.0, 0.5])
@pytest.mark.parametrize("interrupted_in", [1, 2, 3])
def test_resumed_training_is_bit_for_bit_the_uninterrupted_one(
    tmp_path: Path, interrupted_in: int, freeze: float
) -> None:
    run(tmp_path / "whole", freeze_norms_after=freeze)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", batches_of=stop_after(interrupted_in), freeze_norms_after=freeze)
    run(tmp_path / "cut", resume=True, freeze_norms_after=freeze)
    whole, cut = (load_checkpoint(tmp_path / d / LAST) for d in ("whole", "cut"))
    assert same(whole, cut)
    for name in ("step", "epoch", "loss", "validation_mAP"):
        columns = [
            [row[name] for row in read_log(tmp_path / d / "log.csv")] for d in ("whole", "cut")
        ]
        assert columns[0] == columns[1]


@pytest.mark.parametrize("share, frozen_from", [(0.5, 2), (0.6, 3), (1.0, 4)])
def test_norms_are_frozen_with_the_statistics_of_the_average(
    tmp_path: Path, share: float, frozen_from: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", "tsatal")
    used: list[tuple[bool, Tensor]] = []
    averages: list[Tensor] = []
    model = Net()
    model.layers[2].register_forward_pre_hook(
        lambda norm, _: used.append((norm.training, norm.running_mean.clone()))
    )

    def remember(average: nn.Module, drawn: bool) -> Validation:
        averages.append(average.get_buffer("layers.2.running_mean").clone())
        return Validation(0.5)

    run(tmp_path, model=model, validate=remember, validate_every=1, freeze_norms_after=share)
    steps = 3
    assert [by_batch for by_batch, _ in used] == [n < frozen_from * steps for n in range(4 * steps)]
    for _, mean in used[frozen_from * steps :]:
        assert torch.equal(mean, averages[frozen_from - 1])
    assert caplog.text.count(f"constants from epoch {frozen_from + 1} on") == (frozen_from < 4)
    if frozen_from < 4:  # the average's were not those of the model's last batches
        assert not torch.allclose(averages[frozen_from - 1], used[frozen_from * steps - 1][1])


class Frames:
    """Batches for a real head: actions of any length, the first of them wherever it may be."""

    def __call__(self, epoch: int) -> Iterator[Batch]:
        g = torch.Generator().manual_seed(epoch)
        for _ in range(3):
            centre = torch.rand(2, 3, generator=g) * 20
            half = torch.rand(2, 3, generator=g) * 6
            labels = torch.randint(-1, 2, (2, 3), generator=g)
            yield Batch(
                torch.randn(2, 20, 4, generator=g),
                torch.arange(20) < torch.tensor([20, 13])[:, None],
                Truth(torch.stack([centre - half, centre + half], -1), labels),
            )


def small_head() -> TSATAL:
    model = ModelConfig(
        width=8,
        classes="sigmoid",
        tsa="soft",
        tsa_reach=4,
        dilations=(1, 2),
        levels=3,
        first_reach=2.0,
        early_depth=0,
        final_actionness=False,
        separable=True,
        input_dropout=0.2,
        channel_dropout=0.2,
    )
    return TSATAL(model, width_in=4, num_classes=2, half_length=2.0, own_norm=4)


def running_loss() -> HeadLoss:
    loss = LossConfig(
        focal_alpha=0.25, centre_radius=1.5, reach_overlap=1.5, positives_momentum=0.9
    )
    return HeadLoss(loss)


def test_a_resumed_head_goes_on_with_the_running_number_of_positives(tmp_path: Path) -> None:
    def training(run_dir: Path, **changes: Any) -> None:
        torch.manual_seed(int(changes.get("resume", False)))
        model, criterion = small_head(), running_loss()
        run(run_dir, **{"model": model, "criterion": criterion, "batches_of": Frames(), **changes})

    def cut_short(epoch: int) -> Iterator[Batch]:
        if epoch == 2:
            raise KeyboardInterrupt
        return Frames()(epoch)

    training(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        training(tmp_path / "cut", batches_of=cut_short)
    training(tmp_path / "cut", resume=True)
    whole, cut = (load_checkpoint(tmp_path / d / LAST) for d in ("whole", "cut"))
    assert same(whole, cut)
    assert (whole["training"]["criterion"]["positives"] > 1).all()


def test_dropout_is_a_function_of_the_seed_and_the_epoch() -> None:
    drawn = {}
    for seed, epoch in ((1, 0), (1, 1), (2, 0)):
        torch.randn(7)  # what was drawn before has no say
        loop.seed_epoch(seed, epoch)
        drawn[seed, epoch] = torch.rand(3)
        loop.seed_epoch(seed, epoch)
        assert torch.equal(torch.rand(3), drawn[seed, epoch])
    assert len({tuple(x.tolist()) for x in drawn.values()}) == 3


def test_half_precision_leaves_weights_and_losses_single(tmp_path: Path) -> None:
    run(tmp_path, model=small_head(), criterion=running_loss(), batches_of=Frames(), half=True)
    state = load_checkpoint(tmp_path / LAST)["training"]
    floats = [x for x in state["model"].values() if x.is_floating_point()]
    assert {x.dtype for x in floats} == {torch.float32}
    assert all(x.isfinite().all() for x in floats)


def test_a_finished_training_is_not_begun_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run(tmp_path)
    files = {p: p.stat().st_mtime_ns for p in tmp_path.iterdir()}
    caplog.set_level("INFO")
    assert run(tmp_path, resume=True).epoch == 4
    assert "all 4 epochs are done" in caplog.text
    assert {p: p.stat().st_mtime_ns for p in tmp_path.iterdir()} == files


def test_log_has_one_line_per_interval_and_per_validation(tmp_path: Path) -> None:
    run(tmp_path)
    with open(tmp_path / "log.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(r["step"]) for r in rows if r["loss"]] == [2, 4, 6, 8, 10, 12]
    assert [(int(r["step"]), float(r["validation_mAP"])) for r in rows if r["validation_mAP"]] == [
        (6, 0.5),
        (12, 0.5),
    ]
    assert list(tmp_path.glob("events.out.tfevents.*"))


@pytest.mark.parametrize("resume", [False, True])
def test_a_validation_may_come_before_the_first_log_line(tmp_path: Path, resume: bool) -> None:
    if resume:
        run(tmp_path, batches_of=batches_of, epochs=1)
        (tmp_path / "log.csv").unlink()
    run(tmp_path, log_every=7, validate_every=1, resume=resume)
    rows = read_log(tmp_path / "log.csv")
    assert [int(r["step"]) for r in rows if r["loss"]] == [7, 12]
    measured = [int(r["step"]) for r in rows if r["validation_mAP"]]
    assert measured == ([6, 9, 12] if resume else [3, 6, 9, 12])


def test_best_is_the_checkpoint_of_the_highest_validation(tmp_path: Path) -> None:
    scores = iter([0.3, 0.7, 0.5])
    progress = run(tmp_path, epochs=6, validate=lambda model, drawn: Validation(next(scores)))
    assert (progress.best_map, progress.best_epoch) == (0.7, 4)
    assert load_checkpoint(tmp_path / BEST)["progress"]["epoch"] == 4
    assert load_checkpoint(tmp_path / LAST)["progress"]["epoch"] == 6


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
    before = {name: (tmp_path / name).read_bytes() for name in (LAST, BEST)}
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
    saved = load_checkpoint(tmp_path / LAST)
    assert saved["progress"]["epoch"] == 1
    assert all(x.isfinite().all() for x in saved["average"].values())
