"""Damaged files of every form: read, or refused in one line; never a traceback."""

import copy
import json
import random
from pathlib import Path
from typing import Any

import pytest

from tsatal.errors import InputError
from tsatal.formats.labels.find import HowToRead, parse_labels
from tsatal.formats.labels.record import FrameClock
from tsatal.formats.labels.text import decoded
from tsatal.formats.labels.write import FORMS, _whole, write_labels

from .sample import at_random
from .test_boris import event, project
from .test_other_forms import EAF, segment, task, timeline, via

JUNK: list[Any] = [
    None, True, 5, -1, 1e308, float("nan"), float("inf"), "", "x", "\ud800", "a\0b", [], {}, [[]],
    {"a": 1}, [None], 10**400, "1" * 5000, ["x", "y"], [1, 2, 3],
]  # fmt: skip
SELECT = {"aname": "a", "anchor_id": "FILE1_Z2_XY0", "type": 4, "options": {"0": "run"}}
RECTANGLE = {
    "type": "videorectangle",
    "value": {"framesCount": 9, "duration": 1, "labels": ["c"], "sequence": [{"frame": 1}]},
}
SAMPLE = {
    "filepath": "v.mp4", "tags": ["train"], "metadata": {"duration": 10.0, "frame_rate": 10},
    "found": {"_cls": "TemporalDetections", "detections": [{"label": "a", "support": [1, 2]}]},
}  # fmt: skip
JSONS: dict[str, Any] = {
    "boris": json.loads(
        project(
            o={
                "file": {"1": ["a.mp4", "b.mp4"]}, "time offset": 1.0,
                "media_info": {"length": {"a.mp4": 5.0}},
                "events": [event(t, "run", "A", "m") for t in (2, 3)] + [event(4, "peck")],
            }
        )
    ),
    "via": json.loads(via({"1_a": segment(1, 2, **{"1": "0"})}, {"1": SELECT})),
    "label-studio": [task([timeline("run", 1, 5), RECTANGLE])],
    "label-studio, minimal": [
        {"id": n, "video": "v.mp4", "annotator": 1, "annotation_id": n,
         "actions": [{"ranges": [{"start": 1, "end": 5}], "timelinelabels": ["run"]}]}
        for n in (1, 2)
    ],
    "samples": {"samples": [SAMPLE]},
    "labels": {"classes": ["a"], "labels": {"v": [{"label": 0, "timestamps": [1, 2]}]}},
    "activitynet": {"database": {"v": {"subset": "a", "duration": 5, "annotations": [
        {"label": "a", "segment": [1, 2]}]}}},
}  # fmt: skip
HOW = HowToRead(FrameClock(10))
BY_PICTURES = HowToRead(FrameClock(pictures=lambda video_id: [0.0, 0.5, 1.0, 9.0]))


def places(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the ways to all nodes below one."""
    keys = (
        node.keys()
        if isinstance(node, dict)
        else range(len(node))
        if isinstance(node, list)
        else ()
    )
    return [p for k in keys for p in ((*path, k), *places(node[k], (*path, k)))]


def read(text: str) -> None:
    """Read a text in every way that frames may become seconds."""
    for how in (HOW, BY_PICTURES, HowToRead()):
        try:
            labels = parse_labels(text, Path("v.json"), how)
        except InputError as e:
            assert str(e) and "\n" not in str(e)
            return
        assert all(str(p) for p in labels.problems)
        # What was read can be written.
        for form in ("label-studio", "via", "boris", "csv"):
            _whole(labels, list(labels.videos.values()), FORMS[form], HOW.clock).encode()


@pytest.mark.parametrize("name", JSONS)
def test_every_node_of_json_may_be_anything(name: str) -> None:
    for place in places(JSONS[name]):
        for junk in JUNK:
            damaged = copy.deepcopy(JSONS[name])
            node = damaged
            for key in place[:-1]:
                node = node[key]
            node[place[-1]] = junk
            try:
                text = json.dumps(damaged)
            except ValueError:  # Python writes no such number
                text = json.dumps(damaged, default=str)
            read(text)
            del node[place[-1]]
            read(json.dumps(damaged))


@pytest.mark.parametrize("name", [n for n in FORMS if n != "fiftyone"])
def test_every_text_may_be_damaged(name: str, tmp_path: Path) -> None:
    rng = random.Random(name)
    made = at_random(1, step=0.001)
    form = FORMS[name]
    paths = write_labels(
        made, tmp_path / (f"x{form.ending}" if form.several else "x"), form, HOW.clock
    )
    whole = paths[0].read_bytes() if name != "elan" else EAF.encode()
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(rng.randrange(1, 8)):
            place = rng.randrange(len(data))
            kind = rng.randrange(4)
            if kind == 0:
                data[place] = rng.randrange(256)
            elif kind == 1:
                del data[place : place + rng.randrange(1, 40)]
            elif kind == 2:
                data[place:place] = rng.choice(
                    [b"\n", b"\t", b";", b'"', b"\0", b"-->", b"99999999"]
                )
            else:
                del data[place:]
            data = data or bytearray(b" ")
        try:
            text, _ = decoded(bytes(data))
        except InputError:
            continue
        read(text)
