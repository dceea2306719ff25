"""Every fault is planted by itself in clean data: it is named, and nothing else above a note is."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from click.testing import CliRunner, Result

from tsatal.checks.check import check_annotations, check_features, check_file, warnings_for_training
from tsatal.checks.findings import ERROR, KINDS, NOTE, WARNING, Finding, collect
from tsatal.checks.truth import read_leniently
from tsatal.cli import main
from tsatal.errors import InputError
from tsatal.features import FeatureFile, VideoFeatures, write_feature_file
from tsatal.subsets import Subsets

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
DOCS = Path(__file__).parents[2] / "docs" / "checking.md"
STEP = 0.2
STEPS = 100  # rows of every video: 20 s

Database = dict[str, dict[str, Any]]


def action(start: float, end: float, label: str = "Jump") -> dict[str, Any]:
    return {"label": label, "segment": [start, end]}


def clean() -> Database:
    """Return four videos of 20 s without any fault: a and b train, c and d are held out."""
    subsets = {"a": "training", "b": "training", "c": "validation", "d": "validation"}
    return {
        name: {
            "subset": subset,
            "duration": 20.0,
            "annotations": [action(2, 5), action(4, 9, "Run"), action(12, 15)],
        }
        for name, subset in subsets.items()
    }


def rows_of(names: Iterable[str]) -> dict[str, VideoFeatures]:
    rng = np.random.default_rng(0)
    return {
        name: VideoFeatures(
            name, {"rgb": rng.normal(size=(STEPS, 6)).astype(np.float32)}, STEP / 2, STEP, 20.0
        )
        for name in names
    }


def kinds(findings: Iterable[Finding], *, above_notes: bool = True) -> list[str]:
    return [f.kind.name for f in findings if not above_notes or f.level != NOTE]


def of_annotations(database: Database, named: Subsets | None = None) -> list[Finding]:
    truth, cases = read_leniently(json.dumps({"database": database}), source="a.json")
    found = check_annotations(truth, named=named) if named else check_annotations(truth)
    return sorted([*collect(cases), *found], key=lambda f: (ERROR, WARNING, NOTE).index(f.level))


def the(findings: Iterable[Finding], kind: str) -> Finding:
    [found] = [f for f in findings if f.kind.name == kind]
    return found


def written(path: Path, videos: Iterable[VideoFeatures], database: Database | None = None) -> Path:
    text = None if database is None else json.dumps({"database": database})
    write_feature_file(path, videos, provenance={"extractor": "t"}, annotations_text=text)
    return path


def of_features(
    tmp_path: Path, videos: Iterable[VideoFeatures], database: Database | None = None
) -> list[Finding]:
    path = written(tmp_path / "f.h5", videos, clean() if database is None else database)
    return list(check_file(path).findings)


def changed(video: VideoFeatures, rows: Callable[[np.ndarray], Any]) -> VideoFeatures:
    """Return a video whose rows were changed in place, or replaced by what comes back."""
    copy = video.streams["rgb"].copy()
    after = rows(copy)
    return replace(video, streams={"rgb": copy if after is None else after})


def put(where: Any, value: float) -> Callable[[np.ndarray], None]:
    """Return a change of rows: `value` put `where`."""
    return lambda rows: rows.__setitem__(where, value)


def test_clean_annotations_have_no_finding_at_all() -> None:
    assert of_annotations(clean()) == []


def test_a_clean_feature_file_has_no_finding_at_all(tmp_path: Path) -> None:
    assert of_features(tmp_path, rows_of("abcd").values()) == []


def test_usual_subset_names_are_clean() -> None:
    thumos = {"training": "validation", "validation": "test"}
    three = {**clean(), "e": {**clean()["a"], "subset": "testing"}}
    renamed = {k: {**v, "subset": thumos[v["subset"]]} for k, v in clean().items()}
    assert of_annotations(renamed) == [] and of_annotations(three) == []


@pytest.mark.parametrize(
    ("kind", "entry", "says"),
    [
        ("beyond-end", action(21, 23), "Jump 21-23 s ends 3 s after the end of the video at 20 s"),
        ("past-end", action(18, 21.5), "Jump 18-21.5 s ends 1.5 s after"),
        ("before-start", action(-0.5, 2), "Jump -0.5-2 s starts 0.5 s before"),
        ("no-length", action(7, 7), "Jump 7-7 s has no length"),
        ("duplicate", action(2, 5), "Jump 2-5 s, 2 times"),
        ("label-spelling", action(7, 8, "jump "), "'Jump' (8), 'jump ' (1)"),
        ("label-spelling", action(7, 8, "ambiguous"), "'Ambiguous' (never a class), 'ambi"),
        ("lone-label", action(7, 8, "Dive"), "'Dive': 1 in 'training' only"),
        ("refused", action(8, 7), "entry 3: the segment ends (7.0 s) before it starts (8.0 s)"),
        ("refused", {"segment": [1, 2]}, "entry 3: has no 'label'"),
        ("refused", {"label": "Jump", "segment": [1]}, "entry 3: 'segment' must be"),
        ("refused", action(1, float("nan")), "entry 3: 'end' must be a finite number"),
        ("refused", "Jump", "entry 3: has no 'label'"),
    ],
)  # fmt: skip
def test_a_fault_of_an_instance_is_named(kind: str, entry: Any, says: str) -> None:
    database = clean()
    database["b"]["annotations"].append(entry)
    found = of_annotations(database)
    if kind == "label-spelling":  # the odd label is in one subset too
        assert kinds(found) == ["label-spelling", "lone-label"]
    else:
        assert kinds(found) == [kind]
    [case] = the(found, kind).cases
    assert says in case.says
    assert case.video_id == ("" if "label" in kind else "b")


def test_all_refused_entries_are_named_at_once_and_the_rest_is_checked() -> None:
    database = clean()
    database["a"]["annotations"] += [action(9, 8), action(30, 31), action(5, 4)]
    database["c"].update(duration="long", annotations=[action(6, 5), action(1, 1)])
    del database["d"]["subset"]
    database["e"] = {"subset": "training", "annotations": {"label": "Jump"}}
    database["f"] = []  # type: ignore[assignment]
    found = of_annotations(database)
    refused = [str(case) for case in the(found, "refused").cases]
    assert [r.partition(" ")[0] + r.split(": ")[1][:7] for r in refused] == [
        "a:entry 3", "a:entry 5", "c:'durati", "c:entry 0", "d:has no ", "e:a list ", "f:has no ",
    ]  # fmt: skip
    assert [c.video_id for c in the(found, "beyond-end").cases] == ["a"]
    assert [c.video_id for c in the(found, "no-length").cases] == ["c"]


def test_a_video_that_stands_twice_is_named() -> None:
    text = json.dumps({"database": clean()})
    twice = text.replace('"b": {', '"a": {')
    _, [case] = read_leniently(twice, source="a.json")
    assert (case.kind, case.says) == ("repeated-key", "'a'")


@pytest.mark.parametrize("past", [0.1, 0.004])
def test_a_rounded_end_is_no_finding(past: float) -> None:
    database = clean()
    database["a"]["annotations"].append(action(15, 20 + past, "Run"))
    assert of_annotations(database) == []


def test_one_percent_of_a_long_instance_is_no_finding() -> None:
    database = clean()
    database["a"].update(duration=119.65, annotations=[action(0, 120), action(3, 5, "Run")])
    assert of_annotations(database) == []


def test_near_duplicates_are_a_note() -> None:
    database = clean()
    database["a"]["annotations"] += [action(12.1, 15), action(12, 14.8, "Run"), action(12, 14)]
    found = of_annotations(database)
    assert kinds(found) == []
    [case] = the(found, "near-duplicate").cases  # (15 - 12.1) / 3 = 0.967
    assert case.says == "Jump 12-15 s and 12.1-15 s"


def test_ambiguous_is_never_a_class() -> None:
    database = clean()
    marks = [action(30, 31, "Ambiguous"), action(1, 1, "Ambiguous"), action(2, 3, "Ambiguous")]
    database["a"]["annotations"] += [*marks, marks[-1]]
    assert of_annotations(database) == []
    database["c"]["annotations"] = marks
    found = of_annotations(database)
    assert kinds(found) == [] and the(found, "no-action").cases[0].video_id == "c"


def test_labels_that_are_tested_on_but_not_trained_are_an_error() -> None:
    database = clean()
    database["c"]["annotations"].append(action(7, 8, "Dive"))
    [found] = of_annotations(database)
    assert found.kind.name == "untrained-label" and found.level == ERROR
    assert found.cases[0].says == "'Dive': 1 in 'validation', none in 'training'"


def test_durations_that_cannot_be_and_that_are_not_said() -> None:
    database = clean()
    database["a"]["duration"] = 0
    del database["b"]["duration"]
    database["b"]["annotations"].append(action(500, 600))
    found = of_annotations(database)
    assert kinds(found) == ["bad-duration"]
    assert the(found, "no-duration").cases[0].video_id == "b"


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ({"training": "Training"}, ["subset-spelling", "subset-roles"]),
        ({"validation": "test "}, ["subset-spelling", "subset-roles"]),
        ({"validation": "vaildation"}, ["subset-spelling", "subset-roles"]),
        ({"training": "fold1", "validation": "fold2"}, ["subset-roles"]),
        ({"training": "validation"}, ["one-subset"]),
        ({"validation": "training"}, ["one-subset"]),
    ],
)
def test_subsets_without_a_role_are_named(names: dict[str, str], expected: list[str]) -> None:
    database = {k: {**v, "subset": names.get(v["subset"], v["subset"])} for k, v in clean().items()}
    assert kinds(of_annotations(database)) == expected


def test_a_second_spelling_of_a_subset_is_named_beside_the_first() -> None:
    database = {**clean(), "e": {**clean()["a"], "subset": "Training"}}
    found = the(of_annotations(database), "subset-spelling")
    assert found.cases[0].says == "'Training': is 'training' meant? (1 videos)"


def test_subsets_named_by_the_user_have_their_roles() -> None:
    names = {"training": "fold1", "validation": "fold2"}
    database = {k: {**v, "subset": names[v["subset"]]} for k, v in clean().items()}
    assert of_annotations(database, Subsets("fold1", "", "fold2")) == []
    database["e"] = {**database["a"], "subset": "fold3"}
    found = of_annotations(database, Subsets("fold1", "", "fold2"))
    assert kinds(found, above_notes=False) == ["unused-subset"]


def test_videos_without_actions_are_a_note() -> None:
    database = {**clean(), "e": {"subset": "testing", "duration": 5}}
    assert kinds(of_annotations(database), above_notes=False) == ["no-action"]


@pytest.mark.parametrize(
    ("kind", "change", "says"),
    [
        ("not-finite", put((7, 2), np.nan), "1 of 100 rows, the first at 1.5 s"),
        ("not-finite", put(slice(98, 100), np.inf), "rgb: 2 of 100 rows"),
        ("zero-rows", put(slice(90, 100), 0), "10 of 100 rows, the first at 18.1 s"),
        ("zero-rows", lambda r: np.zeros_like(r), "100 of 100 rows"),
        ("constant", lambda r: np.tile(r[:1], (STEPS, 1)), "rgb: all 100 rows"),
        ("widths", lambda r: r[:, :5], "rgb is 5 wide, not 6"),
        ("wrong-duration", lambda r: r[:50], "rows cover 10 s"),
        ("unreadable", lambda r: r[:0], "has no rows"),
    ],
)  # fmt: skip
def test_a_fault_of_rows_is_named(
    kind: str, change: Callable[[np.ndarray], Any], says: str, tmp_path: Path
) -> None:
    database, videos = clean(), rows_of("abcd")
    database["b"]["annotations"] = [action(1, 3), action(4, 6, "Run")]
    videos["b"] = changed(videos["b"], change)
    found = of_features(tmp_path, videos.values(), database)
    assert kinds(found) == [kind]
    [case] = the(found, kind).cases
    assert case.video_id == "b" and says in case.says


def test_frozen_stretches_are_counted_only_when_most_rows_are(tmp_path: Path) -> None:
    def still(rows: np.ndarray, until: int) -> None:
        rows[:until] = rows[0]

    videos = rows_of("abcd")
    videos["a"] = changed(videos["a"], lambda r: still(r, 40))
    assert of_features(tmp_path, videos.values()) == []
    videos["a"] = changed(videos["a"], lambda r: still(r, 80))
    found = of_features(tmp_path, videos.values())
    assert kinds(found, above_notes=False) == ["frozen"]
    assert found[0].cases[0].says == "rgb: 80 % of the rows"  # 79 of 99 pairs


def test_copied_rows_are_a_warning(tmp_path: Path) -> None:
    videos = rows_of("abcd")
    videos["d"] = replace(videos["d"], streams=videos["a"].streams)
    found = of_features(tmp_path, videos.values())
    assert kinds(found) == ["copied"]
    assert str(found[0].cases[0]) == "d: has the rows of a"


def test_dead_columns_are_a_note(tmp_path: Path) -> None:
    dead = [changed(v, put((slice(None), 3), 0)) for v in rows_of("abcd").values()]
    found = of_features(tmp_path, dead)
    assert kinds(found, above_notes=False) == ["dead-columns"]
    assert found[0].cases[0].says == "rgb: 1 of 6 columns"


def test_missing_streams_are_a_warning(tmp_path: Path) -> None:
    videos = rows_of("abcd")
    both = [
        replace(v, streams={**v.streams, "flow": v.streams["rgb"] + 1}) for v in videos.values()
    ]
    found = of_features(tmp_path, [*both[:3], videos["d"]])
    assert kinds(found) == ["streams"] and str(found[0].cases[0]) == "d: has no flow"


def test_ids_that_miss_each_other_are_named(tmp_path: Path) -> None:
    database = clean()
    database["e"] = {**database["a"]}
    database["f"] = {"subset": "testing"}  # no actions, so nothing is missing
    videos = rows_of(["a", "b", "c", "v_D.mp4", "other"])
    found = of_features(tmp_path, videos.values(), database)
    assert kinds(found) == ["missing-features", "no-annotations"]
    assert [c.video_id for c in the(found, "missing-features").cases] == ["d", "e"]
    unknown = {c.video_id: c.says for c in the(found, "no-annotations").cases}
    assert unknown == {
        "v_D.mp4": "annotated under the id 'd'?", "other": "not in the annotations",
    }  # fmt: skip


def test_ids_that_have_nothing_in_common_are_an_error(tmp_path: Path) -> None:
    found = of_features(tmp_path, rows_of(["v_a", "v_b"]).values())
    assert kinds(found) == ["no-match", "missing-features", "no-annotations"]


def test_an_empty_feature_file_is_an_error(tmp_path: Path) -> None:
    assert "empty" in kinds(of_features(tmp_path, []))


def test_roles_are_those_of_videos_with_features(tmp_path: Path) -> None:
    found = of_features(tmp_path, rows_of("ab").values())
    assert "one-subset" in kinds(found)


@pytest.mark.parametrize("ratio", [1.25, 0.8])
def test_a_wrong_frame_rate_is_named_with_its_ratio(ratio: float, tmp_path: Path) -> None:
    videos = [
        replace(v, step_sec=STEP * ratio, start_sec=STEP * ratio / 2)
        for v in rows_of("abcd").values()
    ]
    found = of_features(tmp_path, videos)
    assert kinds(found)[:2] == ["wrong-fps", "wrong-duration"]
    says = the(found, "wrong-fps").cases[0].says
    assert says == f"rows cover {ratio:.3f} times what is said, in 4 of 4 videos"
    assert f"{20 * ratio:g} s" in the(found, "wrong-duration").cases[0].says


def test_the_annotations_duration_is_compared_too(tmp_path: Path) -> None:
    database = clean()
    database["a"]["duration"] = 30.0
    found = of_features(tmp_path, rows_of("abcd").values(), database)
    assert kinds(found) == ["wrong-duration"]
    says = "rows cover 20 s, the annotations say 30 s (ratio 0.667)"
    assert found[0].cases[0].says == says


@pytest.mark.parametrize(
    ("duration", "expected"),
    [(20.4, []), (20.5, ["duration"]), (21.5, ["wrong-duration"]), (21, ["rounded-duration"])],
)
def test_two_steps_or_rounding_to_seconds_are_no_fault(
    duration: float, expected: list[str], tmp_path: Path
) -> None:
    database = clean()
    database["a"]["duration"] = duration
    found = of_features(tmp_path, rows_of("abcd").values(), database)
    assert kinds(found, above_notes=False) == expected


def test_features_of_long_clips_cover_the_video(tmp_path: Path) -> None:
    """16 frames every 4 at 30 fps: rows start 8 / 30 s late, and end as early."""
    frames, videos = 600, rows_of("abcd")
    count = (frames - 16) // 4 + 1
    rng = np.random.default_rng(1)
    clips = [
        replace(v, streams={"rgb": rng.normal(size=(count, 6))}, start_sec=8 / 30, step_sec=4 / 30)
        for v in videos.values()
    ]
    assert of_features(tmp_path, clips) == []


def test_instances_behind_the_rows_are_named(tmp_path: Path) -> None:
    videos = rows_of("abcd")
    videos["a"] = changed(videos["a"], lambda r: r[:50])
    found = of_features(tmp_path, videos.values())
    assert kinds(found) == ["no-rows", "wrong-duration"]
    assert found[0].cases[0].says == "Jump 12-15 s, rows from 0 to 10 s"


@pytest.mark.parametrize(("number", "kind"), [(1, "short"), (5, "many-short")])
def test_instances_shorter_than_a_step_are_counted(number: int, kind: str, tmp_path: Path) -> None:
    database = clean()
    for entry in database.values():
        entry["annotations"] += [action(16 + n / 2, 16.3 + n / 2) for n in range(5)]
    brief = [action(7 + n / 5, 7.1 + n / 5) for n in range(number)]
    database["a"]["annotations"] += brief
    [found] = of_features(tmp_path, rows_of("abcd").values(), database)
    assert found.kind.name == kind and len(found.cases) == number


def test_the_files_duration_stands_in_for_one_that_is_not_said(tmp_path: Path) -> None:
    database = clean()
    del database["a"]["duration"]
    database["a"]["annotations"].append(action(21, 23))
    found = of_features(tmp_path, rows_of("abcd").values(), database)
    assert kinds(found) == ["beyond-end"]


def test_damaged_videos_are_named_and_the_others_are_checked(tmp_path: Path) -> None:
    path = written(tmp_path / "f.h5", rows_of("abcd").values(), clean())
    with h5py.File(path, "r+") as file:
        del file["videos/a"].attrs["step_sec"]
        file["videos/b/flow"] = np.zeros((3, 2), np.float32)
        file["videos/c/rgb"][3] = np.nan
    found = check_file(path).findings
    assert [c.video_id for c in the(found, "unreadable").cases] == ["a", "b"]
    assert "step_sec" in the(found, "unreadable").cases[0].says
    assert [c.video_id for c in the(found, "not-finite").cases] == ["c"]
    assert "missing-features" not in kinds(found)


def test_refused_annotations_inside_a_feature_file_are_findings(tmp_path: Path) -> None:
    database = clean()
    database["a"]["annotations"].append(action(5, 4))
    assert kinds(of_features(tmp_path, rows_of("abcd").values(), database)) == ["refused"]


def test_a_feature_file_without_annotations_says_so(tmp_path: Path) -> None:
    path = written(tmp_path / "f.h5", rows_of("ab").values())
    found = check_file(path).findings
    assert kinds(found, above_notes=False) == ["not-annotated"]
    with FeatureFile(path) as file:
        assert check_features(file, None) == []


def test_excluded_videos_are_not_looked_at(tmp_path: Path) -> None:
    database, videos = clean(), rows_of("abcd")
    database["b"]["annotations"].append(action(30, 31))
    videos["b"] = changed(videos["b"], lambda r: r.fill(0))
    path = written(tmp_path / "f.h5", videos.values(), database)
    assert not check_file(path).clean and check_file(path, exclude=["b"]).findings == ()


def test_training_is_warned_without_reading_rows(tmp_path: Path) -> None:
    database, videos = clean(), rows_of("abcd")
    database["b"]["annotations"] += [action(30, 31), action(3, 3)]
    videos["c"] = changed(videos["c"], lambda r: r.fill(np.nan))
    path = written(tmp_path / "f.h5", videos.values(), {**database, "e": database["a"]})
    roles = Subsets("training", "validation", "validation")
    with FeatureFile(path) as file:
        truth = file.annotations()
        assert truth is not None
        found = warnings_for_training(file, truth, roles)
        assert warnings_for_training(file, truth, roles, exclude=["b"]) == []
    assert kinds(found) == ["beyond-end"]
    assert found[0].line.startswith("1 instances that start after the end of their video (b: Jump")


def test_a_large_file_takes_seconds(tmp_path: Path) -> None:
    names = [f"v{n}" for n in range(60)]
    base = np.random.default_rng(0).normal(size=(2100, 512)).astype(np.float32)
    videos = (
        VideoFeatures(name, {"rgb": base[n : n + 2000]}, 0.1, 0.2, 400.0)
        for n, name in enumerate(names)
    )
    instances = [action(10 * n, 10 * n + 5, f"class {n % 20}") for n in range(39)]
    subsets = ("training", "validation")
    database = {
        name: {"subset": subsets[n % 2], "duration": 400.0, "annotations": instances}
        for n, name in enumerate(names)
    }
    path = written(tmp_path / "f.h5", videos, database)
    started = time.monotonic()
    assert check_file(path).findings == ()
    assert time.monotonic() - started < 10  # 0.5 s where this was written


def test_every_kind_stands_in_the_documentation_and_has_one_place() -> None:
    names = [kind.name for kind in KINDS]
    assert len(names) == len(set(names))
    assert re.findall(r"^### `(.+)`", DOCS.read_text(encoding="utf-8"), re.M) == names
    levels = [(ERROR, WARNING, NOTE).index(kind.level) for kind in KINDS]
    assert levels == sorted(levels)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


def test_the_command_says_what_was_checked_when_there_is_nothing(tmp_path: Path) -> None:
    path = written(tmp_path / "f.h5", rows_of("abcd").values(), clean())
    result = run("check", path)
    assert result.exit_code == 0
    assert result.output.splitlines() == [
        f"{path}: checked 4 videos with rows of rgb; annotations of 4 videos, 12 instances, "
        "2 classes; subsets training (2), validation (2)",
        "nothing wrong was found",
    ]


def test_the_command_names_examples_of_different_videos(tmp_path: Path) -> None:
    database = clean()
    for name, count in {"a": 4, "d": 1}.items():
        database[name]["annotations"] += [action(30 + n, 31 + n) for n in range(count)]
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"database": database}))
    result = run("check", path, "--examples", 2)
    assert result.exit_code == 1
    assert result.output.splitlines()[2:] == [
        "error         5  instances that start after the end of their video  [beyond-end]",
        "                 a: Jump 30-31 s ends 11 s after the end of the video at 20 s",
        "                 d: Jump 30-31 s ends 11 s after the end of the video at 20 s",
        "                 ... and 3 more",
        "                 -> nothing can find them; are the times seconds, and of this very file? "
        "if so, leave the video out (--exclude)",
        "1 error; docs/checking.md says more about each",
    ]


def test_json_names_every_case(tmp_path: Path) -> None:
    database = clean()
    database["a"]["annotations"] += [action(30 + n, 31 + n) for n in range(9)]
    features = written(tmp_path / "f.h5", rows_of("abcd").values())
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"database": database}))
    result = run("check", features, "--annotations", path, "--json", "-", "--examples", 0)
    told = json.loads(result.stdout)
    assert result.exit_code == 1 and told["clean"] is False
    [finding] = told["findings"]
    assert (finding["level"], finding["kind"], finding["count"]) == ("error", "beyond-end", 9)
    assert [case["video"] for case in finding["cases"]] == ["a"] * 9
    assert run("check", path, "--json", tmp_path / "out.json").exit_code == 1
    written_too = json.loads((tmp_path / "out.json").read_text())["findings"]
    assert written_too == told["findings"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", "{", "a.json: not JSON"),
        ("a.json", '{"results": {}}', "a.json: has no 'database'"),
        ("a.json", '{"database": []}', "a.json: 'database' must be a dict"),
        ("a.json", b"\xff\xfe\x00", "a.json: not a text file in UTF-8"),
        ("f.h5", "text", "f.h5: not an HDF5 file"),
    ],
)
def test_what_is_not_ours_is_one_line(
    name: str, content: str | bytes, message: str, tmp_path: Path
) -> None:
    content = content.encode() if isinstance(content, str) else content
    (tmp_path / name).write_bytes(content)
    result = run("check", tmp_path / name)
    assert result.exit_code == 1
    assert message in result.output and len(result.output.splitlines()) == 1


def test_annotations_go_with_features_only(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"database": clean()}))
    with pytest.raises(InputError, match="--annotations goes with one"):
        check_file(tmp_path / "a.json", annotations=tmp_path / "a.json")


def test_checking_annotations_does_not_import_torch(tmp_path: Path) -> None:
    import subprocess

    (tmp_path / "a.json").write_text(json.dumps({"database": clean()}))
    code = (
        "import sys; from pathlib import Path; from tsatal.checks.check import check_file; "
        f"assert check_file(Path({str(tmp_path / 'a.json')!r})).clean; "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd="/")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("annotations/thumos14.json", ["beyond-end"]),
        ("annotations/activitynet-1.2.json", ["no-length", "duplicate"]),
        ("ut_stitched/annotations.json", []),
        ("ut_stitched/squeezenet.h5", []),
        ("workout/annotations.json", []),
        ("workout/squeezenet.h5", []),
    ],
)
def test_real_files_have_their_known_faults_and_no_others(name: str, expected: list[str]) -> None:
    """THUMOS14: 30 instances behind the end of five videos; ActivityNet 1.2: nine instances of no
    length, and nineteen that stand there more than once."""
    if not (SHARED / name).exists():
        pytest.skip(f"{SHARED / name} is not here")
    assert kinds(check_file(SHARED / name).findings) == expected
