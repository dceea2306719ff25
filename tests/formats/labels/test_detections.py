"""Detections in every form that holds scores, and what happens to those that have none."""

import json
import logging
from pathlib import Path

import pytest
from click.testing import CliRunner

from tsatal.checks.check import check_file
from tsatal.checks.info import describe
from tsatal.cli import main
from tsatal.errors import InputError
from tsatal.formats.annotations import Detection
from tsatal.formats.labels.detections import load_detections
from tsatal.formats.labels.find import HowToRead
from tsatal.formats.labels.record import FrameClock, Labels, VideoLabels
from tsatal.formats.labels.write import FORMS, write_labels

FOUND = {
    "v": (Detection("run", 1, 2, 0.9), Detection("jump", 4, 6, 0.25)),
    "w": (Detection("run", 3, 5, 0.5),),
}
TRUTH = "video,label,start,end\nv,run,1,2\nv,jump,4,6\nw,run,3,5\n"
SCORED = [name for name, form in FORMS.items() if "scores" in form.holds] + ["activitynet"]


def written(name: str, folder: Path) -> Path:
    form = FORMS[name]
    to = folder / (f"found{form.ending}" if form.several else "found")
    videos = {k: VideoLabels(k, actions) for k, actions in FOUND.items()}
    write_labels(Labels("detections", videos), to, form, FrameClock(10))
    return to


@pytest.mark.parametrize("name", SCORED)
def test_every_form_with_scores_is_measured_checked_and_described(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    found, truth = written(name, tmp_path), tmp_path / "truth.csv"
    how = HowToRead(FrameClock(10)) if name == "label-studio" else HowToRead()  # counts in frames
    rate = ["--label-fps", "10"] if name == "label-studio" else []
    truth.write_text(TRUTH)
    assert {k: tuple(d) for k, d in load_detections(found, how).videos.items()} == FOUND
    command = ["evaluate", "--predictions", str(found), "--annotations", str(truth), "--json", "-"]
    done = CliRunner().invoke(main, [*command, *rate])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["average_mAP"] == 1
    said = f"{found}: " in caplog.text
    assert said == (name != "activitynet")  # another program's form is said in one line
    table = tmp_path / "found.table.csv"
    assert CliRunner().invoke(main, ["convert", str(found), str(table), *rate]).exit_code == 0
    described = describe(found if not rate else table)
    assert (described["kind"], described["detections"]) == ("detections", 3)
    assert "checked" in (checked := check_file(found, annotations=truth, how=how)).checked
    assert "3 detections of 2 labels in 2 videos" in checked.checked


@pytest.mark.parametrize(
    "text",
    [TRUTH, json.dumps({"database": {"v": {"annotations": [{"label": "a", "segment": [0, 1]}]}}})],
)
def test_what_ranks_refuses_labels_without_scores(text: str, tmp_path: Path) -> None:
    (tmp_path / "f").write_text(text)
    with pytest.raises(InputError, match="annotations without scores, where detections are needed"):
        load_detections(tmp_path / "f")
    command = ["--predictions", str(tmp_path / "f"), "--annotations", str(tmp_path / "f")]
    for name in ("evaluate", "report"):
        done = CliRunner().invoke(main, [name, *command])
        assert done.exit_code == 1 and "give a table a column 'score'" in done.output


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("video,label,start,end,score\nv,run,x,2,0.9\n", "v: line 2: the start is no time: 'x'"),
        ("video,label,start_frame,end_frame,score\nv,run,25,50,0.9\n", "rate is not known"),
    ],
    ids=["no time", "frames without a rate"],
)
def test_a_file_of_which_nothing_can_be_read_is_no_map_of_0(
    text: str, says: str, tmp_path: Path
) -> None:
    found, truth = tmp_path / "f.csv", tmp_path / "truth.csv"
    found.write_text(text)
    truth.write_text(TRUTH)
    command = ["--predictions", str(found), "--annotations", str(truth)]
    for name in ("evaluate", "report"):
        done = CliRunner().invoke(main, [name, *command])
        assert done.exit_code == 1
        assert says in done.output and "no entry can be read" in done.output
    with pytest.raises(InputError, match="no entry can be read"):
        load_detections(found, unscored=1.0)


def test_what_shows_gives_them_one_score_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "f.csv").write_text("video,label,start,end,score\nv,run,1,2,0.5\nv,run,3,4,\n")
    with caplog.at_level(logging.INFO):
        read = load_detections(tmp_path / "f.csv", unscored=1.0)
    assert [d.score for d in read.videos["v"]] == [0.5, 1.0]
    assert caplog.messages[-1].endswith("1 action without a score; each is taken as 1")


def test_a_score_that_is_missing_among_others_is_named_and_left_out(tmp_path: Path) -> None:
    found, truth = tmp_path / "f.csv", tmp_path / "truth.csv"
    found.write_text("video,label,start,end,score\nv,run,1,2,0.5\nv,run,3,4,\n")
    truth.write_text(TRUTH)
    read = load_detections(found)
    assert [str(p) for p in read.problems] == ["v: run from 3 to 4 s has no score"]
    command = ["evaluate", "--predictions", str(found), "--annotations", str(truth)]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0
    assert f"1 entry of {found} that cannot be read left out: v: run from 3 to 4 s" in done.output
    strict = CliRunner().invoke(main, [*command, "--strict"])
    assert strict.exit_code == 1 and "has no score" in strict.output
    finding = next(f for f in check_file(found).findings if f.kind.name == "refused-detection")
    assert "has no score" in str(finding.to_json())
