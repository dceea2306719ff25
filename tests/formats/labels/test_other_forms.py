"""ELAN, VIA 3, Label Studio, FiftyOne, Audacity and subtitles, as these programs write them."""

import json
from typing import Any

import pytest

from tsatal.errors import InputError
from tsatal.formats.annotations import Detection
from tsatal.formats.labels.find import HowToRead
from tsatal.formats.labels.record import FrameClock

from .sample import at_rate, labels_of, spans

EAF = """<?xml version="1.0" encoding="UTF-8"?>
<ANNOTATION_DOCUMENT AUTHOR="" DATE="2024-01-01T00:00:00+00:00" FORMAT="3.0" VERSION="3.0">
  <HEADER MEDIA_FILE="" TIME_UNITS="milliseconds">
    <MEDIA_DESCRIPTOR MEDIA_URL="file:///C:/films/v.mp4" MIME_TYPE="video/mp4"
        RELATIVE_MEDIA_URL="./v.mp4"/>
  </HEADER>
  <TIME_ORDER>
    <TIME_SLOT TIME_SLOT_ID="ts1" TIME_VALUE="1500"/>
    <TIME_SLOT TIME_SLOT_ID="ts2" TIME_VALUE="2750"/>
    <TIME_SLOT TIME_SLOT_ID="ts3" TIME_VALUE="4000"/><TIME_SLOT TIME_SLOT_ID="ts4"/>
  </TIME_ORDER>
  <TIER LINGUISTIC_TYPE_REF="a" TIER_ID="actions">
    <ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a1" TIME_SLOT_REF1="ts1" TIME_SLOT_REF2="ts2">
      <ANNOTATION_VALUE>run</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
    <ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a2" TIME_SLOT_REF1="ts3" TIME_SLOT_REF2="ts4">
      <ANNOTATION_VALUE>run</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
  </TIER>
  <TIER LINGUISTIC_TYPE_REF="a" TIER_ID="falling">
    <ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="a3" TIME_SLOT_REF1="ts2" TIME_SLOT_REF2="ts3">
      <ANNOTATION_VALUE></ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>
  </TIER>
  <TIER LINGUISTIC_TYPE_REF="b" PARENT_REF="actions" TIER_ID="notes">
    <ANNOTATION><REF_ANNOTATION ANNOTATION_ID="a4" ANNOTATION_REF="a1">
      <ANNOTATION_VALUE>fast</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION>
  </TIER>
</ANNOTATION_DOCUMENT>
"""


def eaf(slots: str, entries: str, media: str = 'MEDIA_URL="v.mp4" MIME_TYPE="video/mp4"') -> str:
    """Return an ELAN document with one tier."""
    return (
        '<ANNOTATION_DOCUMENT><HEADER TIME_UNITS="milliseconds"><MEDIA_DESCRIPTOR MEDIA_URL="a.wav"'
        f' MIME_TYPE="audio/x-wav"/><MEDIA_DESCRIPTOR {media}/></HEADER><TIME_ORDER>{slots}'
        f'</TIME_ORDER><TIER TIER_ID="t">{entries}</TIER></ANNOTATION_DOCUMENT>'
    )


def slot(name: int, time: int | None = None) -> str:
    return f'<TIME_SLOT TIME_SLOT_ID="s{name}"' + (
        "/>" if time is None else f' TIME_VALUE="{time}"/>'
    )


def annotation(start: int, end: int, label: str) -> str:
    return (
        f'<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="{label}" TIME_SLOT_REF1="s{start}" '
        f'TIME_SLOT_REF2="s{end}"><ANNOTATION_VALUE>{label}</ANNOTATION_VALUE>'
        "</ALIGNABLE_ANNOTATION></ANNOTATION>"
    )


def test_elan_divides_what_has_no_times_of_its_own() -> None:
    slots = slot(1, 1000) + slot(2) + slot(3) + slot(4, 2500) + slot(5)
    entries = annotation(1, 2, "a") + annotation(2, 3, "b") + annotation(3, 4, "c")
    there = labels_of(eaf(slots, entries + annotation(4, 5, "d")))
    assert spans(there, "v") == [("a", 1, 1.5), ("b", 1.5, 2), ("c", 2, 2.5)]
    assert [p.says for p in there.problems] == ["tier t: d: has no time"]
    assert there.remarks[0].startswith("2 boundaries without a time put at equal distances")
    around = annotation(2, 3, "a") + annotation(3, 2, "b") + annotation(1, 2, "c")
    assert len(labels_of(eaf(slots, around)).problems) == 3


def test_elan_names_encoded_addresses_and_where_its_time_begins_in_the_video() -> None:
    address = 'MEDIA_URL="file:///C:/my%20films/k%C3%BCche%2001.mp4" MIME_TYPE="video/mp4"'
    text = eaf(slot(1, 0) + slot(2, 500), annotation(1, 2, "a"), f'{address} TIME_ORIGIN="2000"')
    there = labels_of(text)
    assert spans(there, "küche 01") == [("a", 2, 2.5)]
    with pytest.raises(InputError, match="counts in PAL-frames"):
        labels_of(text.replace("milliseconds", "PAL-frames"))


def test_elan_has_tiers_and_a_tier_may_be_the_label() -> None:
    there = labels_of(EAF)
    assert there.words == "ELAN, 3 tiers (actions, falling, notes)"
    assert spans(there, "v") == [("run", 1.5, 2.75), ("falling", 2.75, 4)]
    assert [str(p) for p in there.problems] == ["v: tier actions: a2: has no time"]
    assert there.remarks == ("1 annotation of dependent tiers, without times, left out",)
    chosen = labels_of(EAF, how=HowToRead(tiers=("falling",)))
    assert spans(chosen, "v") == [("falling", 2.75, 4)]
    assert "tiers left out (actions, notes)" in chosen.remarks
    with pytest.raises(InputError, match="has no tier 'x', but: actions, falling, notes"):
        labels_of(EAF, how=HowToRead(tiers=("x",)))


def test_xml_with_entities_is_refused() -> None:
    bomb = '<?xml version="1.0"?><!DOCTYPE z [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]>'
    with pytest.raises(InputError, match="a document type"):
        labels_of(f"{bomb}<ANNOTATION_DOCUMENT>&b;</ANNOTATION_DOCUMENT>")
    with pytest.raises(InputError, match="XML that cannot be read"):
        labels_of("<ANNOTATION_DOCUMENT><TIER>")
    with pytest.raises(InputError, match="XML, but no ELAN document"):
        labels_of("<html></html>")


def via(metadata: dict[str, Any], attribute: dict[str, Any]) -> str:
    content = {
        "project": {"pid": "__VIA_PROJECT_ID__", "data_format_version": "3.1.1", "vid_list": ["1"]},
        "config": {},
        "attribute": attribute,
        "file": {"1": {"fid": "1", "fname": "v.mp4", "type": 4, "loc": 1, "src": ""}},
        "view": {"1": {"fid_list": ["1"]}},
        "metadata": metadata,
    }
    return json.dumps(content)


def segment(start: float, end: float, **av: str) -> dict[str, Any]:
    return {"vid": "1", "flg": 0, "z": [start, end], "xy": [], "av": av}


def test_via_has_options_and_free_text() -> None:
    select = {"aname": "action", "anchor_id": "FILE1_Z2_XY0", "type": 4, "options": {"0": "run"}}
    text = {"aname": "who", "anchor_id": "FILE1_Z2_XY0", "type": 1, "options": {}}
    shape = {"vid": "1", "flg": 0, "z": [3], "xy": [2, 1, 1, 5, 5], "av": {}}
    metadata = {
        "1_a": segment(1.5, 2.75, **{"1": "0", "2": "me"}), "1_b": segment(3, 4, **{"1": "0"}),
        "1_c": segment(5, 6), "1_d": shape,
    }  # fmt: skip
    there = labels_of(via(metadata, {"1": select, "2": text}))
    assert there.words == "VIA 3 project, 3 segments"
    assert spans(there, "v") == [("run", 1.5, 2.75), ("run", 3, 4)]
    assert [str(p) for p in there.problems] == ["v: 1_c: has no label"]
    assert there.remarks == (
        "other attributes are left out (who)", "1 shape or point in pictures left out",
    )  # fmt: skip
    free = labels_of(via({"1_a": segment(1, 2, **{"2": "0"})}, {"2": text}))
    assert spans(free, "v") == [("0", 1, 2)]


def test_via_boxes_that_are_ticked_are_labels_each() -> None:
    boxes = {
        "aname": "action", "anchor_id": "FILE1_Z2_XY0", "type": 2,
        "options": {"0": "run", "1": "wave"},
    }  # fmt: skip
    there = labels_of(via({"1_a": segment(1, 2, **{"1": "0,1"})}, {"1": boxes}))
    assert spans(there, "v") == [("run", 1, 2), ("wave", 1, 2)]


def task(result: list[Any], **more: Any) -> dict[str, Any]:
    address = {"video": "/data/upload/3/0a1b2c3d-v.mp4"}
    return {"id": 1, "data": address, "annotations": [{"result": result}], **more}


def timeline(label: str, start: int, end: int) -> dict[str, Any]:
    return {
        "type": "timelinelabels", "from_name": "l", "to_name": "video", "origin": "manual",
        "value": {"ranges": [{"start": start, "end": end}], "timelinelabels": [label]},
    }  # fmt: skip


def test_label_studio_counts_frames_from_1_and_both_ends_are_inside() -> None:
    content = json.dumps([task([timeline("run", 1, 10), timeline("run", 11, 11)])])
    there = labels_of(content, how=at_rate(10))
    assert there.words == "Label Studio, 1 task"
    assert spans(there, "v") == [("run", 0, 1), ("run", 1, 1.1)]
    # By the pictures' own times, at a rate that varies.
    times = [0.0, 0.1, 0.3, 0.9, *(0.9 + n for n in range(1, 9))]
    clock = HowToRead(FrameClock(pictures=lambda v: times if v == "v" else None))
    assert spans(labels_of(content, how=clock), "v") == [("run", 0, 7.9), ("run", 7.9, 8.9)]
    assert "counts in frames" in labels_of(content).problems[0].says


def test_label_studio_life_spans_seconds_and_predictions() -> None:
    rectangle = {
        "type": "videorectangle",
        "value": {
            "framesCount": 100, "duration": 10, "labels": ["cat"],
            "sequence": [
                {"frame": 11, "enabled": True}, {"frame": 20, "enabled": False},
                {"frame": 51, "enabled": True},
            ],
        },
    }  # fmt: skip
    sound = {"type": "labels", "value": {"start": 1.25, "end": 2.5, "labels": ["a", "b"]}}
    choice = {"type": "choices", "value": {"choices": ["good"]}}
    there = labels_of(json.dumps([task([rectangle, sound, choice])]))
    assert spans(there, "v") == [
        ("cat", 1, 2), ("cat", 5, 10), ("a", 1.25, 2.5), ("b", 1.25, 2.5),
    ]  # fmt: skip
    assert there.remarks == ("regions without a span of time left out: 1 choices",)
    scored = {**timeline("run", 1, 10), "score": 0.25}
    guessed = {
        "id": 2,
        "data": {"video": "s3://b/w.mp4?x=1"},
        "predictions": [{"result": [scored]}],
    }
    there = labels_of(json.dumps([guessed]), how=at_rate(10))
    assert there.videos["w"].actions == (Detection("run", 0, 1, 0.25),)


def test_frames_that_a_tool_counts_at_a_rate_of_its_own_are_taken_at_that() -> None:
    """Label Studio counts 24 in a second where its configuration does not say otherwise."""
    times = [n / 10 for n in range(101)]  # ten seconds of ten pictures each
    how = HowToRead(FrameClock(pictures=lambda _: times))
    for frames, spans_ in ((100, [("cat", 2.4, 4.8)]), (240, [("cat", 1, 2)])):
        sequence = [{"frame": 25, "enabled": True}, {"frame": 48, "enabled": False}]
        value = {"framesCount": frames, "duration": 10, "labels": ["cat"], "sequence": sequence}
        there = labels_of(json.dumps([task([{"type": "videorectangle", "value": value}])]), how=how)
        assert spans(there, "v") == spans_
        found = {"label": "cat", "support": [25, 48]}
        sample = {
            "filepath": "v.mp4",
            "metadata": {"total_frame_count": frames, "frame_rate": frames / 10},
            "f": {"_cls": "TemporalDetections", "detections": [found]},
        }
        assert spans(labels_of(json.dumps({"samples": [sample]}), how=how), "v") == spans_


def test_label_studio_takes_the_last_annotation_that_was_not_cancelled() -> None:
    done = [
        {"result": [timeline("a", 1, 2)]}, {"result": [timeline("b", 1, 2)]},
        {"result": [timeline("c", 1, 2)], "was_cancelled": True},
    ]  # fmt: skip
    there = labels_of(json.dumps([{**task([]), "annotations": done}]), how=at_rate(1))
    assert spans(there, "v") == [("b", 0, 2)]
    assert there.remarks == (
        "1 task has several annotations; the last is taken", "1 cancelled annotation left out",
    )  # fmt: skip


def test_label_studio_in_its_small_form() -> None:
    small = {
        "video": "/data/local-files/?d=films/v.mp4", "id": 1, "annotator": 1, "annotation_id": 7,
        "l": [{"ranges": [{"start": 1, "end": 5}], "timelinelabels": ["run"]}],
    }  # fmt: skip
    assert spans(labels_of(json.dumps([small]), how=at_rate(10)), "v") == [("run", 0, 0.5)]


def test_fiftyone_in_both_forms() -> None:
    entries = [
        {"label": 1, "timestamps": [1.5, 2.5], "confidence": 0.5},
        {"label": 0, "support": [1, 10], "confidence": 0.25},
    ]
    there = labels_of(
        json.dumps({"classes": ["a", "b"], "labels": {"v": entries, "w": None}}), how=at_rate(10)
    )
    assert there.videos["v"].actions == (Detection("b", 1.5, 2.5, 0.5), Detection("a", 0, 1, 0.25))
    assert there.videos["w"].actions == ()
    sample = {
        "filepath": "/films/v.mp4", "tags": ["train"],
        "metadata": {"duration": 10.0, "frame_rate": 10},
        "found": {
            "_cls": "TemporalDetections", "detections": [{"label": "a", "support": [11, 20]}],
        },
    }  # fmt: skip
    there = labels_of(json.dumps({"samples": [sample]}))
    assert spans(there, "v") == [("a", 1, 2)]
    assert (there.videos["v"].subset, there.videos["v"].duration_sec) == ("train", 10)


def test_audacity_with_points_and_frequencies() -> None:
    there = labels_of("1.500000\t2.750000\trun\n\\\t100.0\t200.0\n3\t3\tclap\n4,5\t5\n")
    assert there.words == "Audacity labels, 3 labels"
    assert spans(there, "v") == [("run", 1.5, 2.75), ("clap", 3, 3)]
    assert [str(p) for p in there.problems] == ["v: line 4: the label is empty"]
    assert there.remarks == ("1 range of frequencies left out",)


@pytest.mark.parametrize(
    "text",
    [
        "WEBVTT - made up\n\nNOTE hello\n\n1\n00:01.500 --> 00:02.750 align:start\n<v A>run\n",
        "1\n00:00:01,500 --> 00:00:02,750\n<i>run</i>\n\n",
        "\n1\r\n00:00:01,500 --> 00:00:02,750\r\nrun\r\n",
    ],
)
def test_subtitles(text: str) -> None:
    there = labels_of(text)
    assert there.problems == () and spans(there, "v") == [("run", 1.5, 2.75)]
