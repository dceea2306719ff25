"""A note where a head is measured on videos that it has learned from."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tsatal import pipeline
from tsatal.formats.features import FeatureFile
from tsatal.formats.labels.find import load_annotations
from tsatal.head.learned import note_on_learned
from tsatal.head.run import load_run_description

SMALL = ("model.width=8", "optim.epochs=1", "data.least_steps=1", "data.windows_per_video=1")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, write_toy: Callable[..., Path]) -> Path:
    folder = tmp_path_factory.mktemp("learned")
    features = write_toy(folder / "f.h5")
    return pipeline.train(features, overrides=SMALL, run=folder / "run", device="cpu")


def test_a_subset_that_was_learned_from_is_noted(run: Path) -> None:
    report = pipeline.evaluate(run, subset="training", timelines=0, device="cpu")
    assert any("has learned from these 4 videos" in n for n in report.evaluation.notes)
    report = pipeline.report(run)
    assert any("has learned from these 4 videos" in n for n in report.evaluation.notes)
    report = pipeline.evaluate(run, timelines=0, device="cpu")
    assert not any("learned" in n for n in report.evaluation.notes)


def test_of_a_packed_model_names_are_all_that_is_known(run: Path, tmp_path: Path) -> None:
    packed = pipeline.pack(run, tmp_path / "m.tsatal").path
    features = load_run_description(run)[1].features
    report = pipeline.evaluate(
        packed, features=features, subset="training", timelines=0, out=tmp_path / "o", device="cpu"
    )
    assert any("if these are the same videos" in n for n in report.evaluation.notes)


def test_where_a_run_keeps_its_annotations_ids_tell(run: Path, tmp_path: Path) -> None:
    """Under another subset's name, two of three videos are those of the training."""
    _, data = load_run_description(run)
    with FeatureFile(data.features) as file:
        truth = file.annotations()
    assert truth is not None
    (tmp_path / "annotations.json").write_text(truth.text)
    learned = list(load_annotations(tmp_path / "annotations.json").subset("training"))[:2]
    for name in ("data.json", "config.yaml"):
        (tmp_path / name).write_bytes((run / name).read_bytes())
    note = note_on_learned(tmp_path, "mine", [*learned, "new"])
    assert note.startswith("this head has learned from 2 of these 3 videos, so the figures")
    assert note_on_learned(tmp_path, "training", ["new"]) == ""
