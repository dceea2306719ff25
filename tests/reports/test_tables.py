"""Text tables: columns are aligned, and an evaluation's table names what it was measured on."""

from __future__ import annotations

from tsatal.evaluation.average_precision import evaluate
from tsatal.evaluation.matching import Measure
from tsatal.formats.annotations import AnnotatedVideo, Detection, Instance
from tsatal.reports.tables import evaluation_table, text_table


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
