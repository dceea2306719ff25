"""`tsatal report`: a run as it was evaluated, or a file of detections, as a page and as JSON."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tsatal.cli import main

SMALL = [
    "--set", "model.width=16", "--set", "optim.epochs=1", "--set", "data.window_steps=20",
    "--set", "data.least_steps=1",
]  # fmt: skip


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def evaluated(tmp_path_factory: pytest.TempPathFactory, write_toy: Callable[..., Path]) -> Path:
    """A run that was evaluated in another way than its settings say."""
    folder = tmp_path_factory.mktemp("toy")
    features, out = write_toy(folder / "f.h5"), folder / "run"
    assert run("-q", "train", "--features", features, "--out", out, *SMALL).exit_code == 0
    settings = ["--protocol", "thumos14", "--tiou", "0.4,0.6", "--exclude", "video_2"]
    result = run("evaluate", out, "--timelines", 0, *settings)
    assert result.exit_code == 0, result.output
    return out


@pytest.fixture
def a_run(evaluated: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(evaluated, tmp_path / "run"))


def test_evaluate_leaves_the_page_and_its_figures(evaluated: Path) -> None:
    assert "<!doctype html>" in (evaluated / "report.html").read_text(encoding="utf-8")
    figures = json.loads((evaluated / "report.json").read_text())
    assert figures["excluded"] == ["video_2"]
    assert figures["diagnosis"]["matching"] == "thumos14"
    for tiou, part in figures["diagnosis"]["thresholds"].items():
        assert part["mAP"] == pytest.approx(figures["evaluation"]["mAP"][tiou])


def test_a_run_is_explained_as_it_was_evaluated(a_run: Path) -> None:
    before = (a_run / "report.json").read_text()
    (a_run / "report.json").unlink()
    result = run("report", a_run)
    assert result.exit_code == 0, result.output
    assert "thumos14 protocol" in result.output and str(a_run / "report.html") in result.output
    assert (a_run / "report.json").read_text() == before


def test_the_newest_run_is_explained_where_none_is_named(
    evaluated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(evaluated, tmp_path / "runs" / "newest")
    monkeypatch.chdir(tmp_path)
    result = run("report", "--out", "elsewhere", "--protocol", "anet", "--tiou", "0.5")
    assert result.exit_code == 0, result.output
    assert "anet protocol" in result.output
    assert "newest: why the mAP" in Path("elsewhere/report.html").read_text(encoding="utf-8")


def test_another_truth_is_noticed(a_run: Path, caplog: pytest.LogCaptureFixture) -> None:
    metrics = json.loads((a_run / "metrics.json").read_text())
    (a_run / "metrics.json").write_text(json.dumps({**metrics, "average_mAP": 0.987}))
    assert run("report", a_run).exit_code == 0
    assert "says mAP 98.70 %" in caplog.text and "--annotations or --features" in caplog.text


@pytest.mark.parametrize(
    ("spoilt", "message"),
    [
        ("predictions.json", "write it with: tsatal evaluate"),
        ("metrics.json", "metrics.json: damaged"),
        ("subset", "is about none of the training videos"),
    ],
)
def test_a_run_that_cannot_be_explained_says_what_to_do(
    spoilt: str, message: str, a_run: Path
) -> None:
    options = ["--subset", "training"] if spoilt == "subset" else []
    if spoilt == "predictions.json":
        (a_run / spoilt).unlink()
    elif spoilt == "metrics.json":
        (a_run / spoilt).write_text("{}")
    result = run("report", a_run, *options)
    assert result.exit_code == 1 and message in " ".join(result.output.split())


def test_a_file_of_detections_is_explained_beside_it(tmp_path: Path) -> None:
    truth = {"v": {"subset": "test", "annotations": [{"label": "a", "segment": [0, 4]}]}}
    found = {"v": [{"label": "a", "segment": [0, 3], "score": 0.5}]}
    (tmp_path / "a.json").write_text(json.dumps({"database": truth}))
    (tmp_path / "p.json").write_text(json.dumps({"results": found}))
    files = ["--predictions", tmp_path / "p.json", "--annotations", tmp_path / "a.json"]
    result = run("report", *files, "--tiou", "0.7:0.1:0.8")
    assert result.exit_code == 0, result.output
    part = json.loads((tmp_path / "report.json").read_text())["diagnosis"]["thresholds"]
    assert part["0.7"]["detections"]["true positive"] == 1
    assert part["0.8"]["detections"]["localization"] == 1
    assert (tmp_path / "report.html").exists()


def test_mistaken_options_are_refused() -> None:
    for options in (["--predictions", "p.json"], ["r", "--predictions", "p", "--annotations", "a"]):
        result = run("report", *options)
        assert result.exit_code == 2 and "--predictions needs --annotations" in result.output
