"""`tsatal explain`: a picture for every head with TSA, one line for all else."""

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tsatal import pipeline
from tsatal.cli import main
from tsatal.config import ModelConfig
from tsatal.formats.feature_writer import write_feature_file
from tsatal.formats.features import FeatureFile, VideoFeatures
from tsatal.head.detector import load_detector
from tsatal.head.explanation import explain_rows
from tsatal.reports.explanation import reading_of

SMALL = ["model.width=16", "optim.epochs=1", "data.window_steps=32", "data.least_steps=1"]
ROWS = 60  # of every video of the toy file


def tsatal(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, write_toy: Callable[..., Path]) -> Path:
    """A folder with a run of each preset, and one without TSA, beside their features."""
    folder = tmp_path_factory.mktemp("runs")
    features = write_toy(folder / "f.h5")
    for name, changes in (("paper", []), ("strong", []), ("without", ["model.tsa=none"])):
        preset = "paper" if name == "without" else name
        pipeline.train(features, preset, overrides=[*SMALL, *changes], run=folder / name)
    return folder


@pytest.mark.parametrize("preset", ["paper", "strong"])
def test_a_picture_is_drawn_for_every_head_with_tsa(runs: Path, preset: str) -> None:
    told = tsatal("explain", runs / preset, "video_2")
    assert told.exit_code == 0, told.output
    path = runs / preset / "explained" / "video_2.png"
    assert told.output.strip() == str(path)
    assert path.read_bytes().startswith(b"\x89PNG") and path.stat().st_size > 20_000


def test_a_stretch_of_a_video_is_drawn_where_it_is_asked_for(runs: Path, tmp_path: Path) -> None:
    out = tmp_path / "p.png"
    assert tsatal("explain", runs / "paper", "video_2", "--from", 10, "--out", out).exit_code == 0
    assert out.exists()
    with FeatureFile(runs / "f.h5") as file:
        rows = file.rows("video_2", ["rgb"])
    detector = load_detector(runs / "paper")
    told = explain_rows(detector, rows, first=20)
    assert told.first == 20 and told.g.shape == (32, 32)  # as many as the head sees at once
    assert len(explain_rows(detector, rows, first=50).added) == ROWS - 50
    whole = explain_rows(load_detector(runs / "strong"), rows)
    assert whole.g.shape == (ROWS, ROWS) and whole.probabilities.shape == (ROWS, 3)
    assert (whole.g >= 0).all() and whole.g[0, 17:].max() == 0  # tsa_reach is 16


def test_a_new_video_needs_no_ground_truth(runs: Path, tmp_path: Path) -> None:
    with FeatureFile(runs / "f.h5") as file:
        made, rows = file.provenance, {"rgb": file.rows("video_2", ["rgb"])}
    new = tmp_path / "features.h5"
    single = {"rgb": rows["rgb"][:1]}
    videos = [VideoFeatures("new", rows, 0.0, 0.5, 30.0), VideoFeatures("one", single, 0, 0.5, 0.5)]
    write_feature_file(new, videos, provenance=made)
    for name in ("new", "one"):
        out = tmp_path / f"{name}.png"
        told = tsatal("explain", runs / "strong", name, "--features", new, "--out", out)
        assert told.exit_code == 0 and out.exists(), told.output


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("without", "video_2"), "without: its head has no TSA to explain (model.tsa=none)"),
        (
            ("paper", "video_9"),
            "has no video 'video_9'; rows of new videos are where",
        ),
        (("paper", "video_2", "--from", "31"), "video_2: --from 31 is after its last row, at 29.5"),
        (("nowhere", "video_2"), "nowhere: not the folder of a run"),
    ],
)
def test_what_cannot_be_explained_is_one_line(
    runs: Path, arguments: tuple[str, ...], line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(runs)
    told = tsatal("explain", *arguments)
    assert told.exit_code == 1 and line in told.output and told.output.count("\n") == 1


def test_the_caption_says_what_g_is() -> None:
    assert reading_of(ModelConfig()) == "G = A (1 - B) M, A hard"
    other = ModelConfig(tsa="soft", tsa_threshold=0.5, tsa_same=True, tsa_reach=16)
    assert reading_of(other) == "G = A (B ≥ 0.5) M, A soft, at most 16 rows apart"
    assert "(B < 0.5)" in reading_of(ModelConfig(tsa_threshold=0.5))
    assert " B M" in reading_of(ModelConfig(tsa_same=True))
