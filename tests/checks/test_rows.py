"""Every fault of features is planted by itself in clean data: it is named, and no other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from .planted import (
    STEP,
    STEPS,
    action,
    changed,
    clean,
    kinds,
    of_features,
    put,
    rows_of,
    the,
)


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


@pytest.mark.parametrize(
    ("rows", "expected"),
    [(65, ["part-rows"]), (74, []), (75, [])],
    ids=["a third", "a step", "none"],
)
def test_instances_with_rows_for_a_part_are_named(
    rows: int, expected: list[str], tmp_path: Path
) -> None:
    """The instance lasts from 12 to 15 s, and a row 0.2 s."""
    videos = rows_of("abcd")
    videos["a"] = replace(changed(videos["a"], lambda r: r[:rows]), duration_sec=rows / 5)
    database = clean()
    database["a"]["duration"] = 15.0
    found = of_features(tmp_path, videos.values(), database)
    named = [f for f in found if f.kind.name == "part-rows"]
    assert [f.kind.name for f in named] == expected
    for finding in named:
        assert finding.level == "note"
        assert finding.cases[0].says == "Jump 12-15 s, rows from 0 to 13 s"


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
