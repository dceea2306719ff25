"""Folds and learning curves from end to end: trained, killed, gone on with, measured, compared."""

import json
import logging
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tsatal import pipeline
from tsatal.cli import main
from tsatal.config import load_config
from tsatal.errors import InputError
from tsatal.formats.features import FeatureFile
from tsatal.formats.labels.find import load_annotations
from tsatal.formats.predictions import load_predictions
from tsatal.formats.subsets import find_annotations
from tsatal.head import held_out, studies, study_work
from tsatal.head.checkpoint import load_checkpoint
from tsatal.head.windows import draw_windows

from .conftest import WORDS, train_folds


@pytest.fixture(scope="module")
def folds(toy_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three folds of six videos with two seeds."""
    out = tmp_path_factory.mktemp("folds") / "a"
    train(toy_file, out, seeds=(0, 4))
    return out


def train(features: Path, out: Path, *settings: str, **options: Any) -> Any:
    return train_folds(features, out, *settings, **{"folds": 3, **options})


def said(*words: object) -> str:
    """Return the line that a command fails with."""
    result = CliRunner().invoke(main, [*map(str, words)])
    assert result.exit_code in (1, 2) and isinstance(result.exception, SystemExit), result.output
    return result.stderr.strip().splitlines()[-1]


def test_every_video_is_detected_in_by_a_head_that_has_not_seen_it(folds: Path) -> None:
    plan = studies.load_folds(folds)
    names = [f"fold{n}-seed{s}" for s in (0, 4) for n in range(3)]
    assert [t.name for t in plan.trainings] == names
    for training in plan.trainings:
        truth = load_annotations(folds / training.name / "annotations.json")
        assert set(truth.subset("validation")) == set(training.held_out)
        assert set(truth.subset("training")) == set(training.train)
        assert not set(training.held_out) & set(training.train)
        found = load_predictions(folds / training.name / "held_out.json")
        assert set(found) == set(training.held_out)
    config = load_config(str(folds / "fold1-seed4" / "config.yaml"))
    assert config.optim.seed == 4 and config.data.train_subset == "training"
    whole = load_annotations(folds / "annotations.json")
    assert {whole.videos[v].subset for v in plan.folds[2]} == {"fold2"}


def test_videos_that_nobody_annotated_are_told_once_and_those_of_other_trainings_never(
    toy_file: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with FeatureFile(toy_file) as file:
        database = json.loads(find_annotations(file, None).text)["database"]
    del database["video_0"]
    database["video_5"]["subset"] = "testing"  # which folds leave alone
    (tmp_path / "a.json").write_text(json.dumps({"database": database}))
    with caplog.at_level(logging.INFO, logger="tsatal"):
        train(toy_file, tmp_path / "f", folds=2, annotations=tmp_path / "a.json")
    told = [r.getMessage() for r in caplog.records if "without annotations" in r.getMessage()]
    assert len(told) == 1 and "1 (video_0: not in the annotations)" in told[0]


def test_the_report_says_folds_pool_and_spread(folds: Path) -> None:
    figures = json.loads((folds / "metrics.json").read_text())
    assert figures["num_videos"] == 6 and figures["subset"] == "all folds"
    of_folds = figures["folds"]
    aps = [fold["average_mAP"] for fold in of_folds["folds"]]
    assert [len(values) for values in aps] == [2, 2, 2]
    assert of_folds["mean"] == pytest.approx(sum(map(sum, aps)) / 6)
    assert of_folds["interval_95"] is None  # of six videos
    assert figures["average_mAP"] == of_folds["pooled"][0]
    assert figures["events"]["chosen_on"] == "the other folds"
    pooled = load_predictions(folds / "predictions.json")
    assert set(pooled) == {f"video_{n}" for n in range(6)}
    assert load_predictions(folds / "predictions-seed4.json") != pooled
    page = (folds / "report.html").read_text()
    assert "mean over 3 folds, 2 seeds: mAP" in page and "too few videos (6)" in page


def test_evaluate_takes_folds_and_compares_them(
    toy_file: Path, folds: Path, tmp_path: Path
) -> None:
    other = tmp_path / "b"
    shutil.copytree(folds, other)
    result = CliRunner().invoke(main, ["evaluate", str(folds), str(other), "--tiou", "0.5"])
    assert result.exit_code == 0, result.output
    assert "subset 'all folds': 6 videos" in result.output
    assert "note: too few videos (6)" in result.output
    assert json.loads((other / "metrics.json").read_text())["tious"] == [0.5]
    wished = CliRunner().invoke(main, ["evaluate", str(other), "--precision", "0.8"])
    assert "precision 80% at tIoU 0.5 on 12 actions of the other folds" in wished.output, (
        wished.output
    )
    assert json.loads((other / "metrics.json").read_text())["events"]["rule"] == 0.8
    one = CliRunner().invoke(main, ["evaluate", str(folds), "--subset", "fold1", "--json", "-"])
    assert json.loads(one.stdout)["num_videos"] == 2
    run = folds / "fold0-seed0"
    assert CliRunner().invoke(main, ["evaluate", str(run), "--device", "cpu"]).exit_code == 0
    line = said("evaluate", folds, run)
    assert line.endswith("a run on its test subset; compare folds with folds")
    assert "leave out --features, --set and --checkpoint" in said(
        "evaluate", folds, "--checkpoint", "best"
    )
    line = said("detect", "v.mp4", "--run", folds)
    assert "holds several runs (folds.json), and one is needed, such as" in line
    assert "already holds several runs" in said("train", "--features", toy_file, "--out", folds)


def test_what_is_done_is_kept_and_what_was_stopped_goes_on(
    toy_file: Path, folds: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second training is stopped after an epoch; the first is not done again."""
    whole = folds / "fold1-seed0"
    calls, out = 0, tmp_path / "cut"

    def interrupted(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 4:
            raise KeyboardInterrupt
        return draw_windows(*arguments, **options)

    monkeypatch.setattr("tsatal.head.training.draw_windows", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(toy_file, out)
    assert load_checkpoint(out / "fold1-seed0" / "last.pt")["progress"]["epoch"] == 1
    assert (out / "fold0-seed0" / "held_out.json").is_file()
    with pytest.raises(InputError, match=r"2 of 3 trainings are not done \(fold1-seed0, fold2"):
        pipeline.evaluate(out)
    before = (out / "fold0-seed0" / "last.pt").stat().st_mtime_ns
    monkeypatch.undo()
    train(toy_file, out)
    assert (out / "fold0-seed0" / "last.pt").stat().st_mtime_ns == before
    found = (load_predictions(d / "held_out.json") for d in (whole, out / "fold1-seed0"))
    assert next(found) == next(found)


def test_one_that_fails_loses_none_of_the_others(
    toy_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    real = held_out.keep_held_out

    def full(run: Path, *arguments: Any, **options: Any) -> float:
        if run.name == "fold0-seed0":
            raise OSError(28, "No space left on device", str(run / "held_out.json"))
        return real(run, *arguments, **options)

    monkeypatch.setattr(held_out, "keep_held_out", full)
    with pytest.raises(InputError, match="1 of 2 trainings failed: fold0-seed0: .* No space left"):
        train(toy_file, tmp_path / "a", folds=2)
    assert "fold0-seed0: failed: [Errno 28] No space left on device" in caplog.text
    assert (tmp_path / "a" / "fold1-seed0" / "held_out.json").is_file()
    monkeypatch.setattr(held_out, "keep_held_out", real)
    assert train(toy_file, tmp_path / "a", folds=2).figures.by_fold.shape == (2, 1)


@pytest.mark.parametrize(
    ("settings", "options", "difference"),
    [
        (["optim.lr=0.01"], {}, "begun with optim.lr 0.001, not 0.01"),
        ([], {"folds": 2}, "begun with --folds 3, not 2"),
        ([], {"deal": 1}, "begun with --seed 0, not 1"),
    ],
)
def test_a_folder_of_something_else_is_refused(
    toy_file: Path, folds: Path, settings: list[str], options: dict[str, Any], difference: str
) -> None:
    with pytest.raises(InputError, match=difference):
        train(toy_file, folds, *settings, **options)


def test_other_annotations_are_refused_and_more_seeds_are_welcome(
    toy_file: Path, folds: Path, tmp_path: Path
) -> None:
    truth = load_annotations(folds / "annotations.json")
    (tmp_path / "a.json").write_text(truth.text.replace('"jump"', '"leap"'))
    with pytest.raises(InputError, match="begun with other"):
        train(toy_file, folds, annotations=tmp_path / "a.json")
    out = tmp_path / "more"
    shutil.copytree(folds, out)
    assert train(toy_file, out, seeds=[4]).figures.seeds == (0, 4)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("--folds 7", "--folds 7: each fold holds out a video with actions, and there are 6"),
        ("--folds 2 --group-by group", "no video of the annotations has a"),
        ("--folds 2 --resume", "the same command, no --resume"),
        ("--folds 2 --learning-curve", "not both"),
        ("--folds nothing.json", "neither a number of folds, nor `groups`, nor a file"),
        ("--folds groups", '--folds groups: no video of the annotations has a "group"'),
        ("--folds groups --seed 1", "--seed deals a number of folds"),
        ("--folds 2 --group-by who", '--group-by who: no video of the annotations has a "who"'),
        ("--folds 1", "1 is not in the range 2 to 1000"),
        ("--folds 2 --split 0.7", "--folds divides the videos by itself; leave out --split"),
        ("--jobs 2", "--jobs goes with --folds or --learning-curve"),
        ("--seeds 1 2", "--seeds goes with --folds or --learning-curve"),
        ("--folds 2 --seeds x", "'x' is no list of whole numbers, such as 0 1 2"),
    ],
)
def test_a_mistake_is_told_in_a_line(
    toy_file: Path, tmp_path: Path, words: str, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert line in said("train", "--features", toy_file, *words.split())
    assert list(tmp_path.iterdir()) == []


def test_the_command_takes_seeds_as_they_are_said(
    toy_file: Path, folds: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    shutil.copytree(folds, tmp_path / "a")
    words = ["train", "--features", toy_file, "--folds", 3, "--seeds", 0, 4, "--device", "cpu"]
    result = CliRunner().invoke(main, [*map(str, [*words, "--out", tmp_path / "a"]), *WORDS])
    assert result.exit_code == 0, result.output
    assert "6 of 6 trainings are done already" in caplog.text
    assert "fold    videos  seed 0  seed 4" in result.output


def test_a_learning_curve(toy_file: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Four training videos: a quarter is one, and every share holds the one before."""
    out = tmp_path / "curve"
    words = ["train", "--features", toy_file, "--learning-curve", "--seeds", 0, 1, "--out", out]
    result = CliRunner().invoke(main, [*map(str, words), "--device", "cpu", *WORDS])
    assert result.exit_code == 0, result.output
    plan = studies.load_curve(out)
    sizes = {t.name: set(t.train) for t in plan.trainings}
    assert [len(v) for v in sizes.values()] == [1, 2, 4] * 2
    assert sizes["share25-seed1"] < sizes["share50-seed1"] < sizes["share100-seed1"]
    assert set(plan.held_out) == {"video_2", "video_5"}
    assert "too few data to say what twice the labels (12 actions) would bring" in result.output
    figures = json.loads((out / "learning_curve.json").read_text())
    assert figures["labels"] == [3, 6, 12] and len(figures["average_mAP"][0]) == 2
    assert (out / "learning_curve.png").read_bytes()[:4] == b"\x89PNG"
    (tmp_path / "few.json").write_text(
        load_annotations(out / "annotations.json").text.replace("video_0", "other")
    )
    line = said("train", "--features", toy_file, "--learning-curve", "--annotations",
                tmp_path / "few.json", "--out", tmp_path / "b")  # fmt: skip
    assert "trains on a quarter of the training videos with actions" in line


def test_folds_from_a_file_have_its_names_and_train_on_what_it_leaves_out(
    toy_file: Path, tmp_path: Path
) -> None:
    path, out = tmp_path / "people.json", tmp_path / "a"
    path.write_text(json.dumps({"anna": ["video_0", "video_3"], "bert": ["video_1"]}))
    words = ["train", "--features", toy_file, "--folds", path, "--device", "cpu", "--out", out]
    result = CliRunner().invoke(main, [*map(str, words), *WORDS])
    assert result.exit_code == 0, result.output
    assert re.search(r"^anna +2 ", result.output, re.M) and "pooled" in result.output
    plan = studies.load_folds(out)
    assert plan.trainings[1].train == ("video_0", "video_3", "video_2", "video_4", "video_5")
    figures = json.loads((out / "metrics.json").read_text())
    assert figures["num_videos"] == 3 and figures["folds"]["folds"][1]["name"] == "bert"
    path.write_text(json.dumps({"anna": ["video_0"], "bert": ["video_1"]}))
    with pytest.raises(InputError, match="begun with other videos in its folds"):
        train(toy_file, out, folds=path)


def test_a_damaged_plan_is_told(folds: Path, tmp_path: Path) -> None:
    shutil.copytree(folds, tmp_path / "a")
    (tmp_path / "a" / "folds.json").write_text('{"folds": 5')
    assert "folds.json: damaged (" in said("evaluate", tmp_path / "a")


def test_two_at_once_in_one_folder(toy_file: Path, folds: Path) -> None:
    with (
        study_work.alone_in(folds),
        pytest.raises(InputError, match="another process is training in it"),
    ):
        train(toy_file, folds, seeds=(0, 4))


def test_each_fold_takes_the_agreement_that_the_others_chose(
    folds: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    out = tmp_path / "a"
    shutil.copytree(folds, out)
    trainings = [t for t in studies.load_folds(out).trainings if t.seed == 0]
    for name in ("fold1-seed0", "fold2-seed0"):
        path = out / name / "config.yaml"
        config = load_config(str(path), ["decode.class_agreement=0.0"])
        path.write_text(path.read_text().replace(
            f"class_agreement: {load_config(str(path)).decode.class_agreement}",
            f"class_agreement: {config.decode.class_agreement}",
        ))  # fmt: skip
    found = held_out.found_in(out, trainings)
    beside = load_predictions(out / "fold0-seed0" / "held_out-0.json")
    plain = load_predictions(out / "fold1-seed0" / "held_out.json")
    assert {k: found[k] for k in beside} == beside
    assert {k: found[k] for k in plain} == plain  # one of the two others did not choose 0
