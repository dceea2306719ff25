"""Files of detections: every fault is named, and what cannot be used is left out and said."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from tsatal.checks.check import check_file
from tsatal.checks.findings import Finding
from tsatal.cli import main

from .planted import action, clean, kinds, the

Entries = dict[str, list[dict[str, Any]]]


def right() -> Entries:
    """Return detections without a fault: all instances of the held-out videos."""
    return {
        v: [{**a, "score": 0.9 - 0.1 * n} for n, a in enumerate(clean()[v]["annotations"])]
        for v in ("c", "d")
    }


def saved(tmp_path: Path, results: Any, database: Any = None) -> tuple[Path, Path]:
    predictions, annotations = tmp_path / "p.json", tmp_path / "a.json"
    predictions.write_text(json.dumps({"results": results}))
    annotations.write_text(json.dumps({"database": database or clean()}))
    return predictions, annotations


def checked(tmp_path: Path, results: Any, database: Any = None) -> list[Finding]:
    predictions, annotations = saved(tmp_path, results, database)
    return list(check_file(predictions, annotations=annotations).findings)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


def test_right_detections_have_no_fault(tmp_path: Path) -> None:
    assert checked(tmp_path, right()) == []
    predictions, annotations = saved(tmp_path, right())
    result = run("check", predictions, "--annotations", annotations)
    assert result.exit_code == 0
    assert "checked 6 detections of 2 labels in 2 videos; annotations of 4 videos" in result.output
    alone = run("check", predictions)
    assert alone.exit_code == 0 and "[not-compared]" in alone.output


def one(label: str, start: float, end: float, score: Any = 0.1) -> dict[str, Any]:
    return {"label": label, "segment": [start, end], "score": score}


BROKEN: tuple[Any, ...] = (
    one("Jump", 5, 4),
    one("Jump", float("nan"), 4),
    {"segment": [1, 2], "score": 1},
    one("Jump", 1, 2, "0.9"),
    one("Jump", 1, 2, None),
    one("Jump", 1, 2, float("inf")),
    {"label": "Jump", "score": 1},
    "x",
)


@pytest.mark.parametrize(
    ("change", "kind", "says"),
    [
        *((lambda r, e=e: r["c"].append(e), "refused-detection", "entry 3") for e in BROKEN),
        (lambda r: r.update(e=r["c"]), "unknown-video", "3 detections"),
        (lambda r: r["c"].append(one("jump", 1, 2)), "unknown-label", "is it 'Jump'?"),
        (lambda r: r.pop("c"), "no-detections", "3 instances"),
        (lambda r: r["c"].append(one("Jump", 1, 25)), "outside-video", "1 of 4 end after 20 s"),
        (lambda r: r["c"].append(one("Jump", -3, 5)), "outside-video", "start before 0 s"),
        (lambda r: r["c"].append(r["c"][0]), "repeated-detection", "1 of 4, such as Jump 2-5 s"),
        (lambda r: r["c"].append(one("Jump", 1, 2, 7)), "score-range", "from 7 to 7"),
        (lambda r: r["c"].append(one("Jump", 1, 1)), "empty-detection", "1 of 4"),
        (lambda r: [d.update(score=1) for e in r.values() for d in e], "one-score", "1"),
        (lambda r: [r.pop(k) for k in list(r)], "empty", "no detection at all"),
    ],
)
def test_each_fault_is_one_finding(
    change: Callable[[Entries], object], kind: str, says: str, tmp_path: Path
) -> None:
    results = right()
    change(results)
    [finding] = checked(tmp_path, results)
    assert finding.kind.name == kind and says in finding.cases[0].says


def test_a_label_that_nothing_was_found_of(tmp_path: Path) -> None:
    results = {v: [d for d in each if d["label"] != "Run"] for v, each in right().items()}
    assert the(checked(tmp_path, results), "undetected-label").cases[0].says == "'Run'"


def test_another_scale_is_an_error_with_its_factor(tmp_path: Path) -> None:
    database = clean()
    for n, video in enumerate(database.values()):
        video["annotations"] = [action(2 + n + 5 * k, 4 + n + 5 * k) for k in range(3)]
    results: Entries = {v: [] for v in database}
    for video_id, entries in results.items():
        for n, entry in enumerate(database[video_id]["annotations"]):
            start, end = (25 * t for t in entry["segment"])
            entries.append(one("Jump", start, end, 0.5 + 0.1 * n))
    findings = checked(tmp_path, results, database)
    assert kinds(findings) == ["time-scale", "outside-video"]
    assert "frames, at about 25 per second?" in findings[0].cases[0].says
    predictions, annotations = saved(tmp_path, results, database)
    told = run("evaluate", "--predictions", predictions, "--annotations", annotations)
    assert told.exit_code == 0 and "multiplied by 0.04" in told.output


def test_evaluation_leaves_out_what_cannot_be_read_and_says_so(tmp_path: Path) -> None:
    results = right()
    predictions, annotations = saved(tmp_path, results)
    arguments = ("evaluate", "--predictions", predictions, "--annotations", annotations)
    without = json.loads(run(*arguments, "--json", "-").stdout)
    results["c"] += BROKEN
    results["elsewhere"] = results["d"]
    saved(tmp_path, results)
    told = json.loads(run(*arguments, "--json", "-").stdout)
    assert told["average_mAP"] == without["average_mAP"] == 1.0
    [entries, video] = told["notes"]
    assert entries.startswith(f"8 entries of {predictions} that cannot be read left out: c: entry")
    assert entries.endswith("; and 5 more") and "'elsewhere'" not in entries
    assert "has no 1 video of the detections: elsewhere" in video
    strict = run(*arguments, "--strict")
    assert strict.exit_code == 1 and "p.json: c: entry 3: the segment ends" in strict.output
    assert "; and 7 more" in strict.output
    del results["c"][3:]
    saved(tmp_path, results)
    unknown = run(*arguments, "--strict")
    assert unknown.exit_code == 1 and "elsewhere; correct the ids" in unknown.output


def test_a_file_of_nothing_but_broken_entries_is_refused(tmp_path: Path) -> None:
    predictions, annotations = saved(tmp_path, {"c": list(BROKEN)})
    result = run("evaluate", "--predictions", predictions, "--annotations", annotations)
    assert result.exit_code == 1 and "no entry can be read" in result.output


def test_broken_annotations_are_refused_as_before(tmp_path: Path) -> None:
    database = clean()
    database["a"]["annotations"].append(action(5, 4))
    predictions, annotations = saved(tmp_path, right(), database)
    for command in ("check", "evaluate --predictions"):
        result = run(*command.split(), predictions, "--annotations", annotations)
        assert result.exit_code == 1 and "a: entry 3: the segment ends" in result.output
