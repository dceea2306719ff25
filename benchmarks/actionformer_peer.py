"""ActionFormer, from a checkout of its repository, on our features, and the clock of bench_head.py.

train_peer.py trains it; what follows is how bench_head.py times it.

It keeps its own recipe for THUMOS14, configs/thumos_i3d.yaml, except for the width of the features,
the classes, and `embd_dim`, `fpn_dim`, `head_dim`, which are the width of our head.

To be fair to it: in training it sees both sequences whole (nothing is padded if --steps is a
multiple of 576) with the same clipped actions; in detection its `max_seq_len`, to which it pads
shorter videos, is 2304 or what the longest of the videos needs, if less. Features are in memory for
both.

Weights are random, which changes no cost but that of decoding: it depends on scores. So on both
sides the logits of the read-out are scaled to a mean of -8 and a standard deviation of 2 on the
longest video (three scores in ten pass 0.001, few are high, as after training) and intervals begin
at twice the stride to either side; then each side decodes as many candidates as its own recipe lets
through, where the video has them: ours `decode.max_candidates` in all, 2,000, the peer 2,000 per
level.
"""

from __future__ import annotations

import contextlib
import copy
import importlib
import importlib.util
import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import torch
from torch import Tensor, nn

from tsatal.errors import InputError
from tsatal.formats.features import TimeAxis
from tsatal.head.dataset import Batch
from tsatal.head.run import RunData

MAX_STEPS = 2304  # max_seq_len of its recipe
LOGIT_MEAN, LOGIT_STD = -8.0, 2.0
REACH_STRIDES = 2.0
EVALUATOR_NEEDS = ("pandas", "joblib")  # its evaluator is not used here


class Peer:
    """A checkout of ActionFormer.

    Raises:
        InputError: it is not one, or its extension is not built.
    """

    def __init__(self, root: Path) -> None:
        if not (root / "libs" / "modeling" / "meta_archs.py").is_file():
            raise InputError(f"{root}: not a checkout of ActionFormer (no libs/modeling)")
        self.root = root.resolve()
        try:
            with importable(str(self.root), str(self.root / "libs" / "utils")):
                self.core = importlib.import_module("libs.core")
                self.modeling = importlib.import_module("libs.modeling")
                self.tools = importlib.import_module("libs.utils")
                datasets = importlib.import_module("libs.datasets.data_utils")
        except ImportError as e:
            if "nms_1d_cpu" in str(e):
                raise InputError(
                    f"{root}: its NMS extension is not built for this Python and torch ({e}); "
                    "its own INSTALL.md says how"
                ) from None
            raise InputError(f"{root}: cannot be imported ({e})") from None

        self.truncate_feats: Callable[..., dict[str, Any]] = datasets.truncate_feats

    def recipe(self, data: RunData, *, width: int, steps: int, longest: int) -> dict[str, Any]:
        """Return its recipe for other features, classes, width and lengths.

        Args:
            steps: its `max_seq_len`, rounded up to what its pyramid and attention windows divide.
            longest: rows of the longest video.
        """
        path = self.root / "configs" / "thumos_i3d.yaml"
        recipe: dict[str, Any] = copy.deepcopy(self.core.load_config(str(path)))
        model = recipe["model"]
        divisor = 2 ** model["backbone_arch"][-1] * (model["n_mha_win_size"] // 2) * 2
        steps = -(-steps // divisor) * divisor
        model.update(
            input_dim=data.width,
            num_classes=len(data.labels),
            max_seq_len=steps,
            embd_dim=width,
            fpn_dim=width,
            head_dim=width,
            max_buffer_len_factor=max(model["max_buffer_len_factor"], -(-longest // steps) + 1.0),
        )
        return recipe

    def build(self, recipe: dict[str, Any], device: torch.device) -> Any:
        """Return its untrained model."""
        torch.manual_seed(0)
        return self.modeling.make_meta_arch(recipe["model_name"], **recipe["model"]).to(device)

    @torch.no_grad()
    def detection(
        self,
        data: RunData,
        videos: Sequence[dict[str, Any]],
        *,
        width: int,
        clock: Clock,
    ) -> Callable[[], None]:
        """Return the detection in videos by its untrained model, its suppression measured."""
        longest = max(videos, key=lambda v: v["feats"].shape[1])
        rows = longest["feats"].shape[1]
        recipe = self.recipe(data, width=width, steps=min(MAX_STEPS, rows), longest=rows)
        model = self.build(recipe, clock.device).eval()
        nn.init.constant_(model.reg_head.offset_head.conv.bias, REACH_STRIDES)
        spread_logits(model.cls_head.cls_head.conv, lambda: model([longest]), background=False)
        model.postprocessing = clock.wrap(
            "suppression", model.postprocessing, lambda found: len(found[0]["scores"])
        )

        @torch.no_grad()
        def run() -> None:
            for video in videos:
                model([video])

        return run

    def training_step(
        self, data: RunData, batch: Batch, *, width: int, device: torch.device
    ) -> Callable[[], None]:
        """Return what its own training loop does with a batch."""
        steps = batch.features.shape[1]
        recipe = self.recipe(data, width=width, steps=steps, longest=steps)
        model, videos = self.build(recipe, device).train(), batch_videos(batch)
        optimizer = self.tools.make_optimizer(model, recipe["opt"])
        scheduler = self.tools.make_scheduler(optimizer, recipe["opt"], 100)
        average = self.tools.ModelEma(model)

        def step() -> None:
            optimizer.zero_grad(set_to_none=True)
            model(videos)["final_loss"].backward()
            nn.utils.clip_grad_norm_(model.parameters(), recipe["train_cfg"]["clip_grad_l2norm"])
            optimizer.step()
            scheduler.step()
            average.update(model)

        return step

    def soft_nms(
        self,
        segments: Tensor,
        scores: Tensor,
        labels: Tensor,
        *,
        sigma: float,
        min_score: float,
        max_count: int,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return what its Gaussian soft-NMS keeps in each class, the best of all, decayed.

        Args:
            segments: (N, 2) float32; scores: (N,) float32; labels: (N,) int64; all on the CPU.
        """
        hard_threshold = 0.1  # means nothing to a Gaussian
        kept: tuple[Tensor, Tensor, Tensor] = self.tools.batched_nms(
            segments, scores, labels, hard_threshold, min_score, max_count, sigma=sigma
        )
        return kept


@contextlib.contextmanager
def importable(*places: str) -> Iterator[None]:
    """Look for modules in these folders too, and let those do nothing that are not installed."""
    absent = [n for n in EVALUATOR_NEEDS if importlib.util.find_spec(n) is None]
    sys.path[:0] = places
    sys.modules.update({n: MagicMock() for n in absent})
    try:
        yield
    finally:
        for place in places:
            sys.path.remove(place)
        for name in absent:
            del sys.modules[name]


@torch.no_grad()
def spread_logits(
    read_out: nn.Linear | nn.Conv1d,
    run: Callable[[], object],
    *,
    background: bool,
    branch: nn.Module | None = None,
) -> None:
    """Give the logits of a class read-out the mean and deviation that the docstring states.

    Args:
        run: passes a video through the network.
        background: whether logit 0 is a background's; it becomes 0.
        branch: the module that returns the logits, where it is not the read-out itself.
    """
    seen: list[Tensor] = []
    handle = (branch or read_out).register_forward_hook(
        lambda _module, _args, out: seen.append(out.flatten())
    )
    run()
    handle.remove()
    logits = torch.cat(seen)
    assert read_out.bias is not None
    factor = LOGIT_STD / logits.std()
    read_out.weight.mul_(factor)
    read_out.bias.copy_((read_out.bias - logits.mean()) * factor + LOGIT_MEAN)
    if background:
        read_out.weight[0], read_out.bias[0] = 0.0, 0.0


def as_video(features: Tensor, axis: TimeAxis) -> dict[str, Any]:
    """Return features (T, D) as the peer's data sets do; its frames are our seconds."""
    return {
        "video_id": "video",
        "feats": features.T.contiguous(),
        "segments": torch.zeros(0, 2),
        "labels": torch.zeros(0, dtype=torch.long),
        "fps": 1.0,
        "duration": axis.duration_sec,
        "feat_stride": axis.step_sec,
        "feat_num_frames": 2 * axis.start_sec,
    }


def batch_videos(batch: Batch) -> list[dict[str, Any]]:
    """Return the sequences of our batch, whole, with their actions."""
    steps, truth = batch.features.shape[1], batch.truth
    axis = TimeAxis(steps, 0.0, 1.0, float(steps))
    return [
        {**as_video(features, axis), "segments": where[what >= 0], "labels": what[what >= 0]}
        for features, where, what in zip(batch.features, truth.segments, truth.labels, strict=True)
    ]


class Clock:
    """Adds up seconds by name, and counts the candidates for suppression."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.candidates = 0

    def now(self) -> float:
        """Return the time in seconds, once the device has done all it was told."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    @contextlib.contextmanager
    def measure(self, name: str) -> Iterator[None]:
        """Add the time inside to `name`."""
        began = self.now()
        yield
        self.seconds[name] += self.now() - began

    def wrap(
        self, name: str, call: Callable[..., Any], size: Callable[..., int] = lambda *_: 0
    ) -> Callable[..., Any]:
        """Return the function, measured; `size` of its arguments counts the candidates in them."""

        def measured(*args: Any, **kwargs: Any) -> Any:
            self.candidates += size(*args)
            with self.measure(name):
                return call(*args, **kwargs)

        return measured

    def shares(self) -> str:
        """Return the share of every name, the largest first."""
        total = sum(self.seconds.values())
        falling = sorted(self.seconds.items(), key=lambda item: -item[1])
        return ", ".join(f"{name} {100 * took / total:.1f} %" for name, took in falling)


def in_turn(*calls: Callable[[], object], repeats: int, device: torch.device) -> list[list[float]]:
    """Return the seconds of every call, timed A B A B ... after one warm-up each."""
    for call in calls:
        call()
    clock, rounds = Clock(device), []
    for _ in range(repeats):
        marks = [clock.now()]
        for call in calls:
            call()
            marks.append(clock.now())
        rounds.append([b - a for a, b in pairwise(marks)])
    return [list(column) for column in zip(*rounds, strict=True)]


def ratio(above: Sequence[float], below: Sequence[float]) -> str:
    """Return the median of the pairwise ratios and their range."""
    ratios = [a / b for a, b in zip(above, below, strict=True)]
    return f"{statistics.median(ratios):.2f} [{min(ratios):.2f} .. {max(ratios):.2f}]"
