"""The head of all videos after folds: trained, killed, gone on with, measured, given away."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from tsatal import pipeline
from tsatal.cli import main
from tsatal.config import load_config
from tsatal.errors import InputError
from tsatal.evaluation.held_out import learn_from_held_out
from tsatal.formats.labels.find import load_annotations
from tsatal.formats.predictions import load_predictions
from tsatal.head import final, studies
from tsatal.head.checkpoint import load_checkpoint
from tsatal.head.run import load_operating_point, load_run_description
from tsatal.head.windows import draw_windows

from .conftest import WORDS, train_folds


@pytest.fixture(scope="module")
def printed(toy_file: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of two folds and a final head, and what the command says at its end."""
    out = tmp_path_factory.mktemp("folds") / "a"
    words = ["train", "--features", toy_file, "--folds", 2, "--final", "--device", "cpu"]
    result = CliRunner().invoke(main, [*map(str, [*words, "--out", out]), *WORDS])
    assert result.exit_code == 0, result.output
    return out, result.output


@pytest.fixture
def folder(printed: tuple[Path, str], tmp_path: Path) -> Path:
    """A copy of that folder, to change."""
    return Path(shutil.copytree(printed[0], tmp_path / "a"))


def test_it_learns_from_all_videos_and_the_end_says_what_it_is_for(
    printed: tuple[Path, str],
) -> None:
    out, says = printed
    run = out / "final"
    truth = load_annotations(run / "annotations.json").videos
    assert len(truth) == 6 and {v.subset for v in truth.values()} == {"training"}
    config, data = load_run_description(run)
    assert (data.subsets.train, data.subsets.validation) == ("training", "")
    assert config.optim.seed == studies.load_folds(out).seeds[0]
    assert f"tsatal detect VIDEO --run {run}" in says
    assert f"tsatal pack {run} model.tsatal" in says


def test_its_thresholds_are_of_the_folds_held_out_detections(printed: tuple[Path, str]) -> None:
    out, _ = printed
    point = load_operating_point(out / "final")
    held_out: dict[str, Any] = {}
    for n in range(2):
        held_out |= load_predictions(out / f"fold{n}-seed0" / "held_out.json")
    truth = load_annotations(out / "annotations.json").videos
    assert point == learn_from_held_out(truth, [held_out], folds=2)
    assert (
        point
        and point.in_words == "best F1 at tIoU 0.5 on 18 actions of the held-out videos of 2 folds"
    )


def test_nothing_is_measured_in_its_training(printed: tuple[Path, str]) -> None:
    run = printed[0] / "final"
    assert "validation_mAP" not in (run / "log.csv").read_text()
    assert (run / "last.pt").is_file() and not (run / "best.pt").exists()
    with pytest.raises(InputError, match=r"nothing was validated on .* leave out --checkpoint"):
        pipeline.evaluate(run, checkpoint="best", device="cpu")


def test_measured_on_its_own_videos_it_says_that_this_flatters(folder: Path) -> None:
    report = pipeline.evaluate(folder / "final", timelines=0, device="cpu")
    note = next(n for n in report.evaluation.notes if "has learned from these 6 videos" in n)
    assert note.endswith(f"tsatal evaluate {folder}")
    assert "on 18 actions of the held-out videos of 2 folds" in str(report)
    of_folds = pipeline.evaluate(folder)
    assert of_folds.evaluation.subset == "all folds"


def test_the_card_has_the_figures_of_the_folds(folder: Path, tmp_path: Path) -> None:
    figures = json.loads((folder / "metrics.json").read_text())
    pipeline.evaluate(folder / "final", timelines=0, device="cpu")  # which must not get there
    card = pipeline.pack(folder / "final", tmp_path / "m.tsatal").card
    assert "Out of fold: this head has learned from all of its videos" in card
    assert (
        "| counts from score | average precision, out of fold | precision from there on "
        "| recall from there on |" in card
    )
    worth = figures["events"]["all"]
    assert f"at a tIoU of 0.5: precision {100 * worth['precision']:.1f} %, recall" in card
    assert "Each fold's thresholds were chosen on the other folds for this." in card
    assert "Each of 2 learned from the other folds" in card
    assert "On 6 videos of all folds with 18 actions" in card
    assert f"| average mAP | {100 * figures['average_mAP']:.1f} % |" in card
    assert "best F1 at tIoU 0.5 on 18 actions of the held-out videos of 2 folds" in card


def test_stopped_in_its_training_it_goes_on(
    toy_file: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = load_checkpoint(folder / "final" / "last.pt")["average"]
    shutil.rmtree(folder / "final")
    calls = 0

    def interrupted(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        return draw_windows(*arguments, **options)

    monkeypatch.setattr("tsatal.head.training.draw_windows", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train_folds(toy_file, folder, folds=2, final=True)
    monkeypatch.undo()
    run = folder / "final"
    assert load_checkpoint(run / "last.pt")["progress"]["epoch"] == 1
    assert not (run / "operating_point.json").exists()
    assert train_folds(toy_file, folder, folds=2, final=True).final == run
    average = load_checkpoint(run / "last.pt")["average"]
    assert all(whole[name].equal(average[name]) for name in whole)
    assert load_operating_point(run)


def test_killed_before_its_thresholds_it_gets_them_and_is_not_trained_again(
    toy_file: Path, folder: Path
) -> None:
    point = load_operating_point(folder / "final")
    (folder / "final" / "operating_point.json").unlink()
    before = (folder / "final" / "last.pt").stat().st_mtime_ns
    assert train_folds(toy_file, folder, folds=2).final is None  # nobody asked for it
    train_folds(toy_file, folder, folds=2, final=True)
    assert load_operating_point(folder / "final") == point
    assert (folder / "final" / "last.pt").stat().st_mtime_ns == before


def test_more_seeds_move_its_thresholds_alone(toy_file: Path, folder: Path) -> None:
    before = (folder / "final" / "last.pt").stat().st_mtime_ns
    report = train_folds(toy_file, folder, folds=2, seeds=[3])
    assert report.final == folder / "final"
    assert (folder / "final" / "last.pt").stat().st_mtime_ns == before
    point = load_operating_point(folder / "final")
    assert point and point.in_words.endswith(
        "on 18 actions of the held-out videos of 2 folds and 2 seeds"
    )


def test_what_most_folds_chose_in_decoding_is_its_own(folder: Path) -> None:
    for n in range(2):
        path = folder / f"fold{n}-seed0" / "config.yaml"
        config = load_config(str(path))
        now = f"class_agreement: {config.decode.class_agreement}"
        assert now in path.read_text()
        path.write_text(path.read_text().replace(now, "class_agreement: 0.0"))
        beside = folder / f"fold{n}-seed0" / "held_out-0.json"
        text = beside.read_text().replace('"label": "run"', '"label": "jump"')
        beside.write_text(text)  # so that what was taken can be told
    before = final.learn_final(folder, None)
    settled = final.settle(folder, json.loads((folder / "metrics.json").read_text()))
    assert load_config(str(folder / "final" / "config.yaml")).decode.class_agreement == 0.0
    held_out: dict[str, Any] = {}
    for n in range(2):
        held_out |= load_predictions(folder / f"fold{n}-seed0" / "held_out-0.json")
    truth = load_annotations(folder / "annotations.json").videos
    assert settled == before == learn_from_held_out(truth, [held_out], folds=2)


def test_another_precision_is_chosen_on_the_folds(folder: Path, tmp_path: Path) -> None:
    report = pipeline.evaluate(folder / "final", precision=0.7, timelines=0, device="cpu")
    point = load_operating_point(folder / "final")
    assert point == final.learn_final(folder, 0.7) and report.outcome
    assert report.outcome.point.in_words.startswith("precision 70% at tIoU 0.5 on 18 actions of")
    worth = json.loads((folder / "final" / "out_of_fold.json").read_text())
    assert worth["events"]["rule"] == 0.7 and worth["subset"] == "all folds"
    of_folds = pipeline.evaluate(folder, precision=0.7).outcome
    assert of_folds and of_folds.to_json() == worth["events"]
    alone = Path(shutil.copytree(folder / "final", tmp_path / "alone"))
    with pytest.raises(InputError, match="--precision needs the folds"):
        pipeline.evaluate(alone, precision=0.7, device="cpu")


def test_a_command_that_needs_one_run_names_it(printed: tuple[Path, str]) -> None:
    with pytest.raises(InputError, match=rf"such as {printed[0] / 'final'};"):
        pipeline.detect("v.mp4", printed[0])


def test_it_goes_with_folds_alone(toy_file: Path) -> None:
    result = CliRunner().invoke(main, ["train", "--features", str(toy_file), "--final"])
    assert result.exit_code == 2 and "--final goes with --folds" in result.output
