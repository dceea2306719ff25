"""The loop: schedules in closed form, resuming bit for bit, checkpoints whole or not at all."""

import csv
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tsatal.errors import InputError
from tsatal.head import loop as train
from tsatal.head.dataset import Batch
from tsatal.head.log import Watched, read_log
from tsatal.head.losses import HeadLoss
from tsatal.head.model import TSATAL
from tsatal.head.targets import Truth


def test_learning_rate_warms_up_and_follows_half_a_cosine() -> None:
    rates = [train.learning_rate(s, peak=2.0, warmup_steps=4, total_steps=20) for s in range(20)]
    np.testing.assert_allclose(rates[:4], [0.5, 1.0, 1.5, 2.0])
    assert rates[4] == 2.0
    assert rates[12] == pytest.approx(1.0)  # half way down
    assert rates[19] == pytest.approx(1 + math.cos(math.pi * 15 / 16))


def test_no_warmup_and_one_step() -> None:
    assert train.learning_rate(0, peak=1.0, warmup_steps=0, total_steps=1) == 1.0


def test_average_forgets_the_initialisation_in_a_short_training() -> None:
    model = nn.Linear(1, 1, bias=False)
    nn.init.constant_(model.weight, 1000.0)
    average = train.averaged(model, decay=0.999)
    nn.init.constant_(model.weight, 1.0)
    average.update_parameters(model)  # the first update copies
    for _ in range(5):
        average.update_parameters(model)
    assert weight_of(average) == pytest.approx(1.0)


def test_average_is_the_moving_average_by_hand() -> None:
    model = nn.Linear(1, 1, bias=False)
    average = train.averaged(model, decay=0.999)
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
    decayed, free = train.make_optimizer(model, lr=1e-3, weight_decay=0.1).param_groups
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


def run(run_dir: Path, *, epochs: int = 4, resume: bool = False, **changes: Any) -> train.Progress:
    run_dir.mkdir(exist_ok=True)
    torch.manual_seed(99 if resume else 0)  # a resumed process starts from another state
    options: dict[str, Any] = {
        "model": Net(),
        "batches_of": batches_of,
        "steps_per_epoch": 3,
        "criterion": Criterion(),
        "validate": lambda model, drawn: Watched(0.5),
        "run_dir": run_dir,
        "epochs": epochs,
        "lr": 1e-2,
        "weight_decay": 0.01,
        "warmup_share": 0.1,
        "clip_norm": 1.0,
        "average_decay": 0.9,
        "freeze_norms_after": 1.0,
        "half": False,
        "seed": 5,
        "log_every": 2,
        "validate_every": 2,
        "resume": resume,
        "device": torch.device("cpu"),
    }
    return train.fit(**{**options, **changes})


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
    whole, cut = (train.load_checkpoint(tmp_path / d / train.LAST) for d in ("whole", "cut"))
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
    caplog.set_level("INFO")
    used: list[tuple[bool, Tensor]] = []
    averages: list[Tensor] = []
    model = Net()
    model.layers[2].register_forward_pre_hook(
        lambda norm, _: used.append((norm.training, norm.running_mean.clone()))
    )

    def remember(average: nn.Module, drawn: bool) -> Watched:
        averages.append(average.get_buffer("layers.2.running_mean").clone())
        return Watched(0.5)

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
    return TSATAL(
        width_in=4,
        num_classes=2,
        width=8,
        softmax=False,
        tsa="soft",
        tsa_threshold=None,
        tsa_reach=4,
        tpp=True,
        pyramid_levels=1,
        dilations=(1, 2),
        levels=3,
        first_reach=2.0,
        early_depth=0,
        final_depth=1,
        final_actionness=False,
        separable=True,
        input_dropout=0.2,
        channel_dropout=0.2,
        own_norm=4,
        reach_steps=2.0,
    )


def running_loss() -> HeadLoss:
    stages_and_terms = ("pre", "refined", "final", "classes", "boundary", "actionness")
    return HeadLoss(
        num_classes=2,
        weights=dict.fromkeys(stages_and_terms, 1.0),
        softmax=False,
        gamma=2.0,
        alpha=0.25,
        centre_radius=1.5,
        reach_overlap=1.5,
        momentum=0.9,
    )


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
    whole, cut = (train.load_checkpoint(tmp_path / d / train.LAST) for d in ("whole", "cut"))
    assert same(whole, cut)
    assert (whole["training"]["criterion"]["positives"] > 1).all()


def test_dropout_is_a_function_of_the_seed_and_the_epoch() -> None:
    drawn = {}
    for seed, epoch in ((1, 0), (1, 1), (2, 0)):
        torch.randn(7)  # what was drawn before has no say
        train.seed_epoch(seed, epoch)
        drawn[seed, epoch] = torch.rand(3)
        train.seed_epoch(seed, epoch)
        assert torch.equal(torch.rand(3), drawn[seed, epoch])
    assert len({tuple(x.tolist()) for x in drawn.values()}) == 3


def test_half_precision_leaves_weights_and_losses_single(tmp_path: Path) -> None:
    run(tmp_path, model=small_head(), criterion=running_loss(), batches_of=Frames(), half=True)
    state = train.load_checkpoint(tmp_path / train.LAST)["training"]
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
    progress = run(tmp_path, epochs=6, validate=lambda model, drawn: Watched(next(scores)))
    assert (progress.best_map, progress.best_epoch) == (0.7, 4)
    assert train.load_checkpoint(tmp_path / train.BEST)["progress"]["epoch"] == 4
    assert train.load_checkpoint(tmp_path / train.LAST)["progress"]["epoch"] == 6


def test_a_full_disk_leaves_the_previous_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / train.LAST
    train.save_atomically({"average": {}, "n": 1}, path)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        train.save_atomically({"average": {}, "n": 2}, path)
    assert train.load_checkpoint(path)["n"] == 1
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", None])
def test_a_damaged_or_missing_checkpoint_is_one_clear_line(
    tmp_path: Path, content: bytes | None
) -> None:
    if content is not None:
        (tmp_path / "x.pt").write_bytes(content)
    with pytest.raises(InputError, match="x.pt"):
        train.load_checkpoint(tmp_path / "x.pt")


def test_a_checkpoint_of_another_version_is_one_clear_line(tmp_path: Path) -> None:
    model = nn.Linear(1, 1)
    average, optimizer = (
        train.averaged(model, decay=0.9),
        train.make_optimizer(model, lr=1e-3, weight_decay=0.0),
    )
    old = {"average": {}, "training": {"model": model.state_dict()}, "progress": {}}
    train.save_atomically(old, tmp_path / "last.pt")
    with pytest.raises(InputError, match="criterion.*train anew"):
        train.load_training(tmp_path / "last.pt", model, nn.Identity(), average, optimizer)


@pytest.mark.parametrize("name", ["exp_avg", "exp_avg_sq", "step"])
def test_moments_of_other_shapes_are_refused_before_a_step_is_made(
    tmp_path: Path, name: str
) -> None:
    run(tmp_path, epochs=1)
    checkpoint = train.load_checkpoint(tmp_path / "last.pt")
    checkpoint["training"]["optimizer"]["state"][0][name] = torch.zeros(7)
    train.save_atomically(checkpoint, tmp_path / "last.pt")
    with pytest.raises(InputError, match="last.pt: does not fit"):
        run(tmp_path, epochs=2, resume=True)


@pytest.mark.parametrize("progress", [None, {}, {"epoch": "x"}, [1, 2]])
def test_progress_that_is_none_is_refused(tmp_path: Path, progress: object) -> None:
    run(tmp_path, epochs=1)
    checkpoint = train.load_checkpoint(tmp_path / "last.pt")
    train.save_atomically({**checkpoint, "progress": progress}, tmp_path / "last.pt")
    with pytest.raises(InputError, match="last.pt: does not fit"):
        run(tmp_path, epochs=2, resume=True)
