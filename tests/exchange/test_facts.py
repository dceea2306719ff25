"""What is known about each video, whoever says it."""

import json
from pathlib import Path
from typing import Any

import pytest

from tsatal.errors import InputError
from tsatal.exchange.facts import FactBook, VideoFacts
from tsatal.formats.annotations import Annotations, parse_annotations


def truth(top: dict[str, Any] | None = None, **facts: Any) -> Annotations:
    entry = {"subset": "test", "annotations": [], **facts}
    return parse_annotations(json.dumps({**(top or {}), "database": {"v": entry}}), source="a.json")


def test_names_of_actionformer_opentad_and_bmn_are_understood() -> None:
    assert FactBook(truth(fps=25, duration=8), None).of("v") == VideoFacts(8, fps=25)
    assert FactBook(truth(frame=200, duration=8), None).of("v").frame_rate == 25
    bmn = truth(duration=8, duration_frame=200, feature_frame=192)
    assert FactBook(bmn, None).of("v") == VideoFacts(8, 200, 192)


def test_what_stands_at_the_top_holds_for_all_but_those_that_say_otherwise() -> None:
    top = {"fps": 30, "feat_stride": 4, "feat_num_frames": 16, "duration": 5}
    facts = FactBook(truth(top, fps=25), None).of("v")
    assert (facts.fps, facts.stride_frames, facts.window_frames) == (25, 4, 16)
    assert facts.duration_sec is None


@pytest.mark.parametrize("name", ["info.csv", "info.json"])
def test_a_table_fills_in_what_annotations_lack(tmp_path: Path, name: str) -> None:
    if name.endswith("csv"):
        text = "video,numFrame,seconds,fps,rfps,featureFrame\nv_v,418,14.07,30.0,29.7,400\n"
    else:
        text = json.dumps({"v_v": {"duration_frame": 418, "rfps": 29.7, "feature_frame": 400}})
    (tmp_path / name).write_text(text)
    facts = FactBook(truth(duration=14.0), tmp_path / name).of("v")
    assert facts == VideoFacts(14.0, 418, 400, 29.7)
    assert FactBook(None, tmp_path / name).of("another") == VideoFacts()


@pytest.mark.parametrize("value", [0, -1, "fast", True, [30], 1e999, "nan"])
def test_a_number_that_is_none_is_named(value: Any) -> None:
    with pytest.raises(InputError, match=r"a\.json: v: 'fps' must be a positive number"):
        FactBook(truth(fps=value), None).of("v")


def test_numbers_that_are_null_or_empty_count_as_unknown() -> None:
    assert FactBook(truth(fps=None, frame=""), None).of("v") == VideoFacts()


@pytest.mark.parametrize(
    "name, text",
    [("t.csv", "a,b\n1,2\n"), ("t.csv", ""), ("t.json", "[1]"), ("t.json", '{"v": 3}'),
     ("t.json", "{"), ("t.csv", b"\xff\xfe\x00")],
)  # fmt: skip
def test_what_is_no_table_is_named(tmp_path: Path, name: str, text: str | bytes) -> None:
    (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError, match=f"{name}: no table of videos"):
        FactBook(None, tmp_path / name)
