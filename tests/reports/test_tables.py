"""Text tables: columns are aligned, a table names what it was measured on, runs side by side."""

from __future__ import annotations

import numpy as np

from tsatal.config import load_config
from tsatal.evaluation.average_precision import Evaluation, evaluate
from tsatal.evaluation.events import outcome
from tsatal.evaluation.matching import Measure, match
from tsatal.evaluation.operating_point import OperatingPoint
from tsatal.formats.annotations import AnnotatedVideo, Detection, Instance
from tsatal.reports.tables import (
    comparison_table,
    evaluation_table,
    outcome_table,
    outcomes_table,
    text_table,
)

VIDEO = AnnotatedVideo("v", "test", None, (Instance("jump", 0, 1),))


def test_events_have_a_line_per_class_and_none_of_what_is_not_there() -> None:
    """By hand: one of two hits; a second class that nobody annotated, found once."""
    video = AnnotatedVideo("v", "test", 1800.0, (Instance("A", 0, 10), Instance("A", 20, 30)))
    found = {"v": [Detection("A", 0, 10, 0.9), Detection("B", 50, 60, 0.8)]}
    point = OperatingPoint({"A": 0.5, "B": 0.25}, 0.5, 0.9, "validation", 0.5)
    lines = outcome_table(outcome({"v": video}, found, point, subset="test"))
    assert lines[0].startswith(
        "above the run's own thresholds (precision 90% at tIoU 0.5 on 'valid"
    )
    values = [line.split() for line in lines[4:] if not line.startswith("---")]
    half, none = ["66.7"] * 3, ["0.0"] * 3
    assert values[0] == ["A", "0.50", "2", "1", "100.0", "50.0", "66.7", "50.0", "0.0", *half]
    assert values[1] == ["B", "0.25", "0", "1", "0.0", "-", "0.0", "-", "2.0", *none]
    assert values[2] == ["all", "2", "2", "50.0", "50.0", "50.0", "0.0", "2.0", *["50.0"] * 3]
    runs = outcomes_table({"one": outcome({"v": video}, found, point, subset="test")})
    assert runs[2].split()[:4] == ["one", "2", "2", "50.0"]


def test_names_stand_to_the_left_and_figures_to_the_right() -> None:
    rows = [["run", "a", "mean"], ["long name", "1.00", "-"]]
    assert text_table(rows) == ["run           a  mean", "long name  1.00     -"]
    assert text_table([["x", "1"]], least_width=3) == ["x    1"]
    assert text_table([["x"], ["long"]]) == ["x   ", "long"]


def test_the_table_names_what_it_was_measured_on() -> None:
    instances = (Instance("A", 0, 10), Instance("B", 20, 30), Instance("Ambiguous", 50, 60))
    videos = {
        "v": AnnotatedVideo("v", "test", 100.0, instances),
        "w": AnnotatedVideo("w", "test", 100.0, instances[:1]),
    }
    found = {"v": [Detection("A", 0, 10, 0.9), Detection("B", 20, 24, 0.9)]}
    evaluation = evaluate(videos, found, Measure("thumos14", (0.1 + 0.2, 0.5)), subset="test")
    assert evaluation_table(evaluation).splitlines() == [
        "thumos14 protocol, subset 'test': 2 videos, 3 instances of 2 classes",
        "average precision in % at tIoU thresholds",
        "",
        "class  instances     0.3     0.5    mean",
        "A              2   50.00   50.00   50.00",
        "B              1  100.00    0.00   50.00",
        "----------------------------------------",
        "mAP            3   75.00   25.00   50.00",
        "note: 1 of 2 videos without detections; they count",
    ]


def measured(ap: float, *, videos: int = 2) -> Evaluation:
    return Evaluation(
        protocol="anet",
        subset="test",
        tious=(0.5, 0.7),
        num_videos=videos,
        num_instances=3,
        per_class={"jump": np.array([ap, ap / 2]), "run": np.array([1.0, 0.0])},
        instances_per_class={"jump": 1, "run": 2},
        notes=(),
        matches=match({"v": VIDEO}, {}, Measure("anet", (0.5, 0.7)), subset="test"),
    )


def cells(line: str) -> list[str]:
    return line.split()


def test_a_table_has_a_row_per_run_and_a_column_per_threshold() -> None:
    lines = comparison_table({"runs/a": measured(0.4), "runs/b": measured(0.8)}, {}).splitlines()
    assert "anet protocol" in lines[0] and "2 videos" in lines[0]
    assert cells(lines[3]) == ["runs/a", "70.00", "10.00", "40.00"]
    assert cells(lines[4]) == ["runs/b", "90.00", "20.00", "55.00"]
    assert cells(lines[8]) == ["jump", "30.00", "60.00"]
    assert cells(lines[9]) == ["run", "50.00", "50.00"]


def test_it_names_the_settings_that_differ_and_no_others() -> None:
    configs = {"a": load_config("paper"), "b": load_config("paper", ["optim.lr=0.5"])}
    text = comparison_table({"a": measured(0.4), "b": measured(0.4)}, configs)
    settings = text.partition("settings that differ\n")[2].splitlines()
    assert [cells(line) for line in settings if not line.startswith("note: ")] == [
        ["setting", "a", "b"],
        ["optim.lr", "0.001", "0.5"],
    ]


def test_it_says_where_a_run_was_measured_on_something_else() -> None:
    text = comparison_table({"a": measured(0.4), "b": measured(0.4, videos=7)}, {})
    assert text.splitlines()[-1].startswith("note: b: ") and "7 videos" in text.splitlines()[-1]


def on_videos(found: int, *, videos: int) -> Evaluation:
    """Return the evaluation of detections that are right in the first `found` videos."""
    truth = {
        f"v{n}": AnnotatedVideo(f"v{n}", "test", 10.0, (Instance("jump", 0, 1),))
        for n in range(videos)
    }
    right = {f"v{n}": [Detection("jump", 0, 1, 0.5)] for n in range(found)}
    return evaluate(truth, right, Measure("anet", (0.5,)), subset="test")


def test_it_says_whether_a_difference_is_more_than_chance() -> None:
    runs = {"a": on_videos(5, videos=20), "b": on_videos(20, videos=20)}
    line = comparison_table(runs, {}).splitlines()[-1]
    assert line.startswith("note: b against a: +75.00 (95 %: ") and line.endswith(
        "more than chance"
    )
    runs = {"a": on_videos(5, videos=20), "b": on_videos(5, videos=20)}
    line = comparison_table(runs, {}).splitlines()[-1]
    assert line.startswith("note: b against a: +0.00") and line.endswith("may be chance")


def test_few_videos_cannot_say_whether_a_difference_is_chance() -> None:
    runs = {"a": on_videos(0, videos=9), "b": on_videos(9, videos=9)}
    assert "too few videos (9)" in comparison_table(runs, {})


def test_runs_with_other_ground_truth_of_the_same_videos_are_not_compared() -> None:
    one, other = on_videos(5, videos=20), on_videos(5, videos=20)
    moved = {**other.matches.videos}
    moved["v3"] = AnnotatedVideo("v3", "test", 10.0, (Instance("jump", 2, 3),))
    ignoring = {**other.matches.videos}
    ignoring["v4"] = AnnotatedVideo("v4", "test", 10.0, (Instance("jump", 0, 1),), ((5.0, 6.0),))
    for truth, named in ((moved, "v3"), (ignoring, "v4")):
        unlike = evaluate(truth, {}, Measure("anet", (0.5,)), subset="test")
        assert unlike.headline == one.headline
        table = comparison_table({"a": one, "b": unlike}, {})
        [line] = [s for s in table.splitlines() if "b:" in s]
        assert f"note: b: measured on other annotations (of 1 of 20 videos, such as {named}" in line
        assert "than a, so the two are not compared" in line and "--annotations FILE" in line


def test_a_label_does_not_break_a_line_of_a_table() -> None:
    assert text_table([["a\nb\x1b[31m", "1"], ["c", "2"]]) == [
        r"a\nb\x1b[31m  1",
        "c             2",
    ]
