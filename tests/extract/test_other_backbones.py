"""Extraction with another backbone than the first: rows, scores, provenance, and back again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tsatal.errors import InputError
from tsatal.extract.backbones import i3d
from tsatal.extract.backbones.i3d import DenseI3d
from tsatal.extract.backbones.inception import random_inception
from tsatal.extract.engine import prepare
from tsatal.extract.extractor import Summary, extract_videos
from tsatal.extract.flow import with_flow
from tsatal.extract.provenance import make_provenance, settings_of
from tsatal.extract.settings import ExtractSettings
from tsatal.extract.sources import find_videos
from tsatal.extract.video import read_frames
from tsatal.formats.features import FeatureFile

from .conftest import VideoWriter

SETTINGS = ExtractSettings(
    backbone="i3d", weights="random", crop=32, resize=32, fps=10, device="cpu", stride=8
)


@pytest.fixture(autouse=True)
def quick_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Random networks are made once."""
    made: dict[int, Any] = {}

    def make(seed: int = 0, *, channels: int = 3) -> Any:
        if channels not in made:
            made[channels] = random_inception(seed, channels=channels)
        return made[channels]

    monkeypatch.setattr(i3d, "random_inception", make)


@pytest.fixture
def folder(write_video: VideoWriter, tmp_path: Path) -> Path:
    for name, frames in (("a", 90), ("b", 33), ("c", 3)):
        write_video(f"videos/{name}.mp4", range(0, 1000 * frames, 1000))
    return tmp_path / "videos"


def extract(folder: Path, out: Path, settings: ExtractSettings = SETTINGS) -> Summary:
    return extract_videos(find_videos(folder), out, settings, show_progress=False)


def frames_of(folder: Path) -> np.ndarray:
    return np.stack(list(read_frames(folder / "a.mp4", fps=10, resize=32, crop=32)))


def test_rows_are_the_networks_at_their_own_width(folder: Path, tmp_path: Path) -> None:
    assert extract(folder, tmp_path / "out.h5").done == ["a", "b", "c"]
    with FeatureFile(tmp_path / "out.h5") as file:
        axis = file.time_axis("a")
        assert (axis.num_steps, axis.start_sec, axis.step_sec) == (4, 0.5, 0.8)
        assert file.time_axis("c").num_steps == 1 and file.width(["rgb"]) == 1024
        assert file.projections() == {} and file.class_scores("a") is None
        expected = DenseI3d(random_inception(0)).rows(frames_of(folder))
        np.testing.assert_allclose(file.rows("a", ["rgb"]), expected, rtol=1e-4, atol=1e-5)


def test_a_width_that_is_asked_for_is_projected(folder: Path, tmp_path: Path) -> None:
    settings = SETTINGS.changed(width=16, projection="orthogonal")
    extract(folder, tmp_path / "out.h5", settings)
    with FeatureFile(tmp_path / "out.h5") as file:
        assert file.width(["rgb"]) == 16
        wide = DenseI3d(random_inception(0)).rows(frames_of(folder))
        expected = wide @ file.projections()["rgb"]
        np.testing.assert_allclose(file.rows("a", ["rgb"]), expected, rtol=1e-3, atol=1e-4)


def test_scores_stand_beside_the_rows(folder: Path, tmp_path: Path) -> None:
    out, settings = tmp_path / "out.h5", SETTINGS.changed(scores=True)
    (folder / "b.mp4").rename(tmp_path / "b.mp4")
    extract(folder, out, settings)
    with FeatureFile(out) as file:
        scores = file.class_scores("a")
        network = DenseI3d(random_inception(0))
        logits = network.logits(file.rows("a", ["rgb"]))
        assert file.streams() == ("rgb",)
    assert scores is not None and logits is not None
    assert scores.values.shape == (4, 400) and scores.classes[0] == "abseiling"
    np.testing.assert_allclose(scores.values.sum(axis=1), 1, atol=0.01)
    e = np.exp(logits - logits.max(axis=1, keepdims=True))
    np.testing.assert_allclose(scores.values, e / e.sum(axis=1, keepdims=True), atol=1e-3)
    means = scores.values.mean(axis=0)
    [(best, score)] = scores.best(1)
    assert (best, score) == (scores.classes[means.argmax()], float(means.max()))
    # What is added later has scores, too, and those that were there stay.
    (tmp_path / "b.mp4").rename(folder / "b.mp4")
    assert extract(folder, out, settings).done == ["b"]
    with FeatureFile(out) as file:
        again, added = file.class_scores("a"), file.class_scores("b")
    assert again is not None and np.array_equal(again.values, scores.values)
    assert added is not None and len(added.values) == 2
    with pytest.raises(InputError, match=r"other settings \(scores is unknown here, True there\)"):
        extract(folder, out)


def test_two_streams_have_scores_and_rows_of_their_own(folder: Path, tmp_path: Path) -> None:
    settings = SETTINGS.changed(flow=True, scores=True)
    extract(folder, tmp_path / "out.h5", settings)
    with FeatureFile(tmp_path / "out.h5") as file:
        assert file.streams() == ("rgb", "flow") and file.width(["rgb", "flow"]) == 2048
        flow = np.stack(list(with_flow(frames_of(folder))))[..., 3:]
        expected = DenseI3d(random_inception(0, channels=2)).rows(flow)
        np.testing.assert_allclose(file.rows("a", ["flow"]), expected, rtol=1e-4, atol=1e-5)
        assert file.class_scores("a") is not None


def test_rows_of_two_backbones_are_never_mixed(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.h5"
    extract(folder, out)
    for other, difference in (
        ({"backbone": "i3d_windows"}, "extractor is i3d_windows here, i3d there"),
        ({"backbone": "i3d_r50"}, "extractor is i3d_r50 here, i3d there"),
        ({"stride": 4}, "stride_frames is 4 here, 8 there"),
    ):
        values = {"weights": "random", "crop": 32, "resize": 32, "fps": 10, **other}
        with pytest.raises(InputError, match=difference):
            extract(folder, out, ExtractSettings(**{"backbone": "i3d", **values}))  # type: ignore[arg-type]


def test_the_length_of_a_piece_does_not_matter(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.h5"
    extract(folder, out)
    assert extract(folder, out, SETTINGS.changed(segment=8)).already == ["a", "b", "c"]


def provenance(settings: ExtractSettings) -> dict[str, Any]:
    return dict(prepare(settings).provenance)


@pytest.mark.parametrize(
    "settings",
    [
        SETTINGS,
        SETTINGS.changed(stride=2, flow=True, seed=4),
        SETTINGS.changed(width=24, projection="orthogonal", store="float16"),
        ExtractSettings(backbone="i3d_windows", weights="random", segment=32, stride=16),
        ExtractSettings(backbone="x3d_s", weights="random", fps=4),
    ],
)
def test_the_settings_come_back_from_the_provenance(settings: ExtractSettings) -> None:
    made = provenance(settings)
    again = settings_of(made, streams=settings.streams, features=Path("f.h5"), device="cpu")
    assert provenance(again) == made and again.backbone == settings.backbone


def test_scores_are_not_needed_to_make_rows_again() -> None:
    made = provenance(SETTINGS.changed(scores=True))
    assert not settings_of(made, streams=("rgb",), features=Path("f.h5")).scores


def test_the_first_backbone_writes_what_it_always_has() -> None:
    """Feature files that were made before other backbones came can be added to."""
    digest = {"sha256": "ab"}
    made_by = {"rgb": {"weights": {"name": "random", "seed": 0}, "projection": digest}}
    settings = ExtractSettings(weights="random")
    made = make_provenance(settings, made_by, dtype="float32", device="cpu")
    del made["made_with"]
    assert list(made.items())[:13] == [
        ("extractor", "i3d_r50"), ("fps", 10.0), ("resize", 128), ("crop", 112), ("context", 18),
        ("width", 512), ("store", "float32"), ("segment", None), ("dtype", "float32"),
        ("weights", {"name": "random", "seed": 0}), ("projection", digest), ("flow", None),
    ]  # fmt: skip


def test_weights_without_a_classifier_give_no_scores(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DenseI3d, "logits", lambda *_: None)
    with pytest.raises(InputError, match="^--scores: these weights have no classifier"):
        extract(folder, tmp_path / "out.h5", SETTINGS.changed(scores=True))
