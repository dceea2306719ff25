"""The wiring of a training: videos are read once, and pictures are somebody else's to draw."""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from tsatal.config import load_config
from tsatal.formats.annotations import AnnotatedVideo, Detection
from tsatal.formats.features import FeatureFile
from tsatal.formats.subsets import find_annotations, videos_in_subset
from tsatal.head import training
from tsatal.head.run import (
    CONFIG_FILE,
    POINT_FILE,
    build_head,
    describe,
    load_run_description,
    save_run_description,
)
from tsatal.head.training import Draw, train_head, validate

CONFIG = load_config("paper", ["model.width=16", "data.window_steps=20", "optim.epochs=1"])


def test_training_features_are_read_whole_once_and_those_of_validation_before_it_too(
    tmp_path: Path, write_toy: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole: Counter[str] = Counter()
    with FeatureFile(write_toy(tmp_path / "f.h5")) as file:
        read = file.rows

        def rows(video_id: str, streams: Sequence[str], *part: int) -> np.ndarray:
            whole[video_id] += not part
            return read(video_id, streams, *part)

        monkeypatch.setattr(file, "rows", rows)
        truth = find_annotations(file, None)
        data, videos = describe(file, truth, CONFIG)
        assert data.labels == ("jump", "run")
        train_head(
            file, truth, CONFIG, data, videos,
            run_dir=tmp_path, device=torch.device("cpu"), resume=False,
        )  # fmt: skip
        trained = videos_in_subset(file, truth, "training")
        validated = videos_in_subset(file, truth, "validation")
    assert whole == dict.fromkeys(trained, 1) | dict.fromkeys(validated, 2)


def test_a_validation_draws_with_what_it_is_given(
    tmp_path: Path, write_toy: Callable[..., Path]
) -> None:
    picture = np.zeros((2, 3, 3), np.uint8)

    def draw(
        video: AnnotatedVideo,
        duration_sec: float,
        detections: Sequence[Detection],
        labels: Sequence[str],
    ) -> np.ndarray:
        assert video.instances and duration_sec == 30 and detections and len(labels) == 2
        return picture

    def pictures(draw: Draw | None, *, drawn: bool) -> list[str]:
        head, device = build_head(CONFIG, data), torch.device("cpu")
        result = validate(file, videos, CONFIG, data, head, drawn, draw=draw, device=device)
        assert all(p is picture for p in result.pictures.values())
        return list(result.pictures)

    with FeatureFile(write_toy(tmp_path / "f.h5")) as file:
        truth = find_annotations(file, None)
        data, _ = describe(file, truth, CONFIG)
        videos = videos_in_subset(file, truth, "validation")
        assert pictures(draw, drawn=True) == ["video_2", "video_5"]
        assert pictures(draw, drawn=False) == pictures(None, drawn=True) == []


def test_what_decoding_assumes_is_settled_after_the_training(
    tmp_path: Path, write_toy: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    decode = CONFIG.decode.model_copy(update={"class_agreement": "auto"})
    config = CONFIG.model_copy(update={"decode": decode})
    tried = []

    def choose(
        videos: object,
        found: dict[str, list[Detection]],
        detect: Callable[[float], dict[str, list[Detection]]],
        **measure: object,
    ) -> tuple[float, dict[str, list[Detection]]]:
        tried.append((found, detect(0.0)))
        return 0.25, tried[0][1]

    monkeypatch.setattr(training, "check_agreement", choose)
    run = tmp_path / "run"
    with FeatureFile(write_toy(tmp_path / "f.h5")) as file:
        truth = find_annotations(file, None)
        data, videos = describe(file, truth, config)
        save_run_description(run, config, data)
        train_head(
            file, truth, config, data, videos,
            run_dir=run, device=torch.device("cpu"), resume=False,
        )  # fmt: skip
    ((first, second),) = tried
    assert first.keys() == second.keys() and first != second
    settled, _ = load_run_description(run)
    assert settled.decode.class_agreement == 0.25
    assert settled.model_copy(update={"decode": config.decode}) == config


def test_a_run_stopped_after_its_last_epoch_is_brought_to_its_end(
    tmp_path: Path, write_toy: Callable[..., Path]
) -> None:
    decode = CONFIG.decode.model_copy(update={"class_agreement": "auto"})
    config = CONFIG.model_copy(update={"decode": decode})
    with FeatureFile(write_toy(tmp_path / "f.h5")) as file:
        truth = find_annotations(file, None)
        data, videos = describe(file, truth, config)
        save_run_description(tmp_path, config, data)
        train = partial(
            train_head, file, truth, config, data, videos,
            run_dir=tmp_path, device=torch.device("cpu"),
        )  # fmt: skip
        train(resume=False)
        whole = {name: (tmp_path / name).read_text() for name in (CONFIG_FILE, POINT_FILE)}
        (tmp_path / POINT_FILE).unlink()
        save_run_description(tmp_path, config, data)
        train(resume=True)
    assert {name: (tmp_path / name).read_text() for name in whole} == whole
