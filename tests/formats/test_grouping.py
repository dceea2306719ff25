"""Groups by members of the annotations: what shares a value, directly or not, stays together."""

import json
import logging
from typing import Any

import pytest

from tsatal.errors import InputError
from tsatal.formats.annotations import Annotations, parse_annotations
from tsatal.formats.grouping import connected, group_videos, unit_of


def truth_of(entries: dict[str, dict[str, Any]]) -> Annotations:
    database = {v: {"subset": "s", "annotations": [], **more} for v, more in entries.items()}
    return parse_annotations(json.dumps({"database": database}), source="a.json")


def grouped(entries: dict[str, dict[str, Any]], asked: str | None) -> dict[str, str]:
    truth = truth_of(entries)
    return {k: v.group for k, v in group_videos(truth.videos, truth, asked)[0].items()}


VIDEOS: dict[str, dict[str, Any]] = {
    "v0": {"person": "anna", "camera": 1, "day": "mo"},
    "v1": {"person": "bert", "camera": 1, "day": "tu"},
    "v2": {"person": "bert", "camera": 2, "day": "we"},
    "v3": {"person": "carl", "camera": 3, "day": "mo"},
}


def test_one_key_groups_by_its_values() -> None:
    groups = grouped(VIDEOS, "person")
    assert groups == {"v0": "anna", "v1": "bert", "v2": "bert", "v3": "carl"}
    assert grouped(VIDEOS, "camera") == {"v0": "1", "v1": "1", "v2": "2", "v3": "3"}


def test_of_several_keys_any_shared_value_keeps_together(caplog: pytest.LogCaptureFixture) -> None:
    """v0 and v2 share nothing, but v1 has the camera of one and the person of the other."""
    caplog.set_level(logging.INFO)
    groups = grouped(VIDEOS, "person,camera")
    assert groups == {v: "person anna, bert" for v in ("v0", "v1", "v2")} | {"v3": "person carl"}
    assert "2 groups, the largest of 3 of 4 videos (person anna, bert)" in caplog.text


def test_values_of_different_keys_are_not_the_same() -> None:
    assert (
        len(set(grouped({"a": {"x": "1"}, "b": {"y": "1"}, "c": {"x": "2"}}, "x,y").values())) == 3
    )


def test_all_glued_into_one_is_told() -> None:
    with pytest.raises(InputError) as told:
        grouped(VIDEOS, "person,camera,day")
    line = str(told.value)
    assert line.startswith("--group-by person,camera,day: all 4 videos are one group")
    assert line.endswith("name fewer keys")
    with pytest.raises(InputError, match="all 2 videos are one group, .* name another key"):
        grouped({"a": {"group": "x"}, "b": {"group": "x"}}, None)


def test_a_key_that_no_video_has_is_told_with_those_there() -> None:
    with pytest.raises(InputError) as told:
        grouped(VIDEOS, "persn")
    assert 'no video of the annotations has a "persn"; there are: camera, day, person' in str(
        told.value
    )
    with pytest.raises(InputError, match="has a .group.; write one per video"):
        grouped({"a": {}, "b": {"note": "x"}}, "group")


def test_a_value_that_is_no_text_is_told() -> None:
    with pytest.raises(InputError, match="a.json: 'b': 'day' must be text or a whole number"):
        grouped({"a": {"day": "mo"}, "b": {"day": ["mo"]}}, "day")


def test_videos_without_a_value_stay_alone(caplog: pytest.LogCaptureFixture) -> None:
    groups = grouped({"a": {"day": "mo"}, "b": {"day": None}, "c": {"day": ""}, "d": {}}, "day")
    assert groups == {"a": "mo", "b": "", "c": "", "d": ""}
    assert "3 videos have no day and are dealt one by one: b, c, d" in caplog.text


def test_groups_are_taken_where_there_are_some() -> None:
    some = truth_of({"a": {"group": "x"}, "b": {"group": "y"}})
    assert group_videos(some.videos, some, None)[1] == "group"
    assert group_videos(some.videos, some, "video") == (dict(some.videos), "video")
    none = truth_of({"a": {"person": "x"}})
    assert group_videos(none.videos, none, None) == (dict(none.videos), "video")
    assert [unit_of(by) for by in ("video", "group", "person,day")] == ["video", "group", "group"]


def test_a_long_chain_is_one_part() -> None:
    """Each is connected to the next alone; 20,000 of them must not be too deep."""
    chain = {f"v{n}": [n, n + 1] for n in range(20_000)}
    assert [len(part) for part in connected({**chain, "alone": [-7]})] == [20_000, 1]
