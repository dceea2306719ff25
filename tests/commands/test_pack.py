"""`tsatal pack`, and its file in the place of a run: the same detections, to the byte."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from tsatal.annotator.session import Session
from tsatal.cli import main
from tsatal.commands.demo import write_demo_videos

SMALL = [
    "--set", "model.width=16", "--set", "optim.epochs=1", "--set", "data.least_steps=1",
]  # fmt: skip


def called(command: str, *more: object) -> str:
    """Return what a command prints; it must end well."""
    done = CliRunner().invoke(main, ["-q", *command.split(), *map(str, more)])
    assert done.exit_code == 0, done.output
    return done.stdout


def refused(command: str, *more: object) -> str:
    """Return the line that a command fails with."""
    done = CliRunner().invoke(main, [*command.split(), *map(str, more)])
    assert done.exit_code == 1 and isinstance(done.exception, SystemExit), done.output
    return done.stderr.strip().splitlines()[-1]


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory, write_toy: Callable[..., Path]) -> Path:
    """A folder with features, a run on them, and the run as a file."""
    folder = tmp_path_factory.mktemp("toy")
    features = write_toy(folder / "f.h5")
    called("train --out", folder / "run", "--features", features, *SMALL)
    assert "m.tsatal: " in called("pack", folder / "run", folder / "m.tsatal")
    return folder


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_the_file_detects_as_the_run_does(toy: Path) -> None:
    called("detect --out a --run", toy / "run", toy / "f.h5", "--min-score", 0)
    before = (toy / "m.tsatal").read_bytes()
    called("detect --run", toy / "m.tsatal", toy / "f.h5", "--min-score", 0)
    ours, theirs = Path("a/predictions.json"), Path("detections/predictions.json")
    assert json.loads(ours.read_text())["results"]["video_0"]
    assert ours.read_bytes() == theirs.read_bytes()
    # Its thresholds are those of the run, too.
    called("detect --out b --run", toy / "run", toy / "f.h5")
    called("detect --out c --run", toy / "m.tsatal", toy / "f.h5")
    assert Path("b/predictions.json").read_bytes() == Path("c/predictions.json").read_bytes()
    assert (toy / "m.tsatal").read_bytes() == before


def test_the_file_is_measured_as_the_run_is(toy: Path) -> None:
    measured = json.loads(called("evaluate --timelines 0 --json - --out r", toy / "run"))
    packed = called("evaluate --timelines 0 --json -", toy / "m.tsatal", "--features", toy / "f.h5")
    assert json.loads(packed) == measured
    ours, theirs = Path("r/predictions.json"), Path("m-evaluation/predictions.json")
    assert ours.read_bytes() == theirs.read_bytes()


def test_what_a_file_cannot_do_is_told(toy: Path) -> None:
    model = toy / "m.tsatal"
    line = refused("evaluate", model)
    assert line == f"Error: {model}: a packed model holds no features; give --features FILE.h5"
    assert "--features FILE.h5" in refused("explain", model, "video_0")
    line = refused("evaluate --precision 0.9 --features", toy / "f.h5", model)
    assert "the thresholds of a packed model stay as they are" in line
    other = toy / "other"
    other.mkdir()
    (other / "m.tsatal").write_bytes(model.read_bytes())
    line = refused("evaluate --features", toy / "f.h5", model, other / "m.tsatal")
    assert "m-evaluation: two of the runs would be written there" in line
    changed = bytearray(model.read_bytes())
    changed[200] ^= 1
    Path("c.tsatal").write_bytes(changed)
    for command in ("info c.tsatal", f"detect {toy / 'f.h5'} --run c.tsatal"):
        assert "c.tsatal: was changed or damaged since it was packed" in refused(command)
    line = refused("report", model)
    assert "a packed model, where the folder of a run is needed; `tsatal evaluate` writes" in line
    line = refused("pack", model, "again.tsatal")
    assert "it is packed already: copy the file" in line
    line = refused("view v.mp4", model)
    assert "a packed model, not detections; find them with: tsatal detect" in line


def test_the_file_goes_into_a_new_folder(toy: Path) -> None:
    called("pack", toy / "run", "new/folder/m.tsatal", "--licence", "  ")
    assert "Not stated: ask who made the model." in called("info new/folder/m.tsatal")


def test_info_prints_the_card(toy: Path) -> None:
    model = toy / "m.tsatal"
    printed = called("info", model)
    assert printed.startswith("# m\n") and "## Labels" in printed and "sha256" in printed
    described = json.loads(called("info --json -", model))
    assert described["kind"] == "packed model" and described["facts"]["labels"] == ["jump", "run"]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with videos, features by a PCA of their own, and a run on them as a file."""
    folder = tmp_path_factory.mktemp("made")
    write_demo_videos(folder / "videos", training=1, validation=1, duration_sec=6.0, seed=1)
    features = folder / "f.h5"
    called(
        "extract --weights random --resize 32 --crop 32 --projection pca --width 4",
        folder / "videos", features,
    )  # fmt: skip
    called("train --out", folder / "run", "--features", features, *SMALL)
    called("pack", folder / "run", folder / "m.tsatal")
    called("detect --min-score 0 --out", folder / "found", "--run", folder / "run", features)
    features.rename(folder / "gone.h5")
    return folder


@pytest.mark.parametrize("of", ["run", "m.tsatal"])
def test_raw_videos_need_no_training_features(made: Path, of: str) -> None:
    """Though their projection is of the training videos alone."""
    called("detect --min-score 0 --out o --run", made / of, made / "videos")
    assert Path("o/predictions.json").read_bytes() == (made / "found/predictions.json").read_bytes()


def test_a_file_suggests_what_its_run_does(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[Session] = []

    def serve(session: Session, *_: object) -> str:
        served.append(session)
        return "saved"

    monkeypatch.setattr("tsatal.annotator.server.serve", serve)
    monkeypatch.setattr("tsatal.annotator.suggest.SHOWN", 0.0)  # a short training finds little
    for of in ("run", "m.tsatal"):
        called("annotate", made / "videos", "--run", made / of)
    run, packed = served
    assert packed.suggested.detections == run.suggested.detections
    assert any(packed.suggested.detections.values())
    assert (Path("suggested") / "features.h5").is_file()  # a file has no folder of its own
