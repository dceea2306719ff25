"""BORIS: states that begin and end in turn, points, several videos, and exports as tables."""

import json
from typing import Any

from .sample import labels_of, spans

ETHOGRAM = {
    "0": {"type": "State event", "key": "r", "code": "run", "modifiers": ""},
    "1": {"type": "Point event", "key": "p", "code": "peck", "modifiers": ""},
    "2": {"type": "State event", "key": "g", "code": "groom", "modifiers": ""},
}


def project(**observations: Any) -> str:
    content = {
        "project_format_version": "7.0",
        "project_name": "made up",
        "behaviors_conf": ETHOGRAM,
        "subjects_conf": {},
        "observations": {name: {"type": "MEDIA", **o} for name, o in observations.items()},
    }
    return json.dumps(content)


def event(time: float, code: str, subject: str = "", modifier: str = "") -> list[Any]:
    return [time, subject, code, modifier, "a comment", 12]


def test_states_are_paired_and_points_are_told() -> None:
    events = [
        event(1, "run"),
        event(2.5, "peck"),
        event(4.25, "run"),
        event(5, "run"),
        event(6, "run"),
    ]
    there = labels_of(
        project(o={"file": {"1": ["/home/me/v.mp4"], "2": []}, "events": events, "time offset": 0})
    )
    assert there.words == "BORIS project, 1 observation"
    assert spans(there, "v") == [("peck", 2.5, 2.5), ("run", 1, 4.25), ("run", 5, 6)]
    assert there.remarks == ("1 point event (peck) kept as labels of no length",)
    assert there.problems == ()


def test_subjects_and_modifiers_are_paired_each_by_itself() -> None:
    events = [
        event(1, "run", "A"), event(2, "run", "B"), event(3, "run", "A"), event(5, "run", "B"),
        event(6, "groom", "", "left"), event(7, "groom", "", "right"),
        event(8, "groom", "", "left"), event(9, "groom", "", "right"),
    ]  # fmt: skip
    there = labels_of(project(o={"file": {"1": ["v.mp4"]}, "events": events}))
    assert sorted(spans(there, "v")) == [
        ("groom", 6, 8), ("groom", 7, 9), ("run", 1, 3), ("run", 2, 5),
    ]  # fmt: skip
    assert "subjects are not told apart (A, B)" in there.remarks
    assert "modifiers are left out (left, right)" in there.remarks


def test_a_modifier_that_only_the_start_has_still_pairs() -> None:
    events = [event(1, "run", "", "fast"), event(2, "run")]
    there = labels_of(project(o={"file": {"1": ["v.mp4"]}, "events": events}))
    assert spans(there, "v") == [("run", 1, 2)] and not there.problems


def test_the_offset_is_taken_off_and_videos_in_a_row_are_told_apart() -> None:
    there = labels_of(
        project(
            o={
                "file": {"1": ["a.mp4", "b.mp4"]},
                "time offset": 100.0,
                "media_info": {"length": {"a.mp4": 60.0, "b.mp4": 30.5}},
                "events": [event(t, "run") for t in (101, 102, 159, 161, 165, 170)],
            }
        )
    )
    assert spans(there, "a") == [("run", 1, 2)] and spans(there, "b") == [("run", 5, 10)]
    assert there.videos["b"].duration_sec == 30.5
    assert [p.says for p in there.problems] == [
        "observation o: event 2: 'run' goes on into the next video"
    ]


def test_what_cannot_be_read_is_named() -> None:
    there = labels_of(
        project(
            o={"file": {"1": ["v.mp4"]}, "events": [event(1, "run"), event(2, "fly"), ["x"]]},
            p={"file": {"1": ["a.mp4", "b.mp4"]}, "events": []},
            q={"events": [event(3, "groom"), event(4, "groom")]},  # live: no video
        )
    )
    assert spans(there, "q") == [("groom", 3, 4)]
    assert [str(p) for p in there.problems] == [
        "o: event 1: 'fly' is not in the ethogram",
        "o: event 2: an event is [time, subject, code, modifier, comment]",
        "o: observation o: event 0: 'run' begins at 1 s and never ends",
        "p: its 2 videos follow each other, and the project does not say how long a.mp4 is; "
        "observe them one by one",
    ]


def test_two_observations_of_one_video_are_joined_and_told() -> None:
    one = {"file": {"1": ["v.mp4"]}, "events": [event(1, "run"), event(2, "run")]}
    there = labels_of(project(o=one, p=one))
    assert spans(there, "v") == [("run", 1, 2)] * 2
    assert there.remarks == ("several observations of one video are joined (v)",)


def test_aggregated_events() -> None:
    head = (
        "Observation id,Observation date,Description,Media file,Total length,FPS,Subject,Behavior,"
        "Behavioral category,Modifiers,Behavior type,Start (s),Stop (s),Duration (s),Comment start,"
        "Comment stop\n"
    )
    rows = (
        "o1,2024-01-01,,D:/films/v.mp4,61.5,25,No focal subject,run,,,STATE,1.5,3.25,1.75,,\n"
        "o1,2024-01-01,,D:/films/v.mp4,61.5,25,No focal subject,peck,,,POINT,4,NA,NA,,\n"
    )
    there = labels_of(head + rows)
    assert there.words == "BORIS export, 2 events"
    assert spans(there, "v") == [("run", 1.5, 3.25), ("peck", 4, 4)]
    assert there.videos["v"].duration_sec == 61.5
    assert there.remarks == ("1 point event (peck) kept as labels of no length",)


def test_tabular_events_with_a_preamble_and_with_tabs() -> None:
    text = (
        "Observation id\to1\n\nMedia file(s)\n\nPlayer #1\tC:\\films\\v.mp4\n\n"
        "Time\tMedia file path\tTotal length\tFPS\tSubject\tBehavior\tBehavioral category\t"
        "Comment\tStatus\n"
        "00:00:01.500\tC:\\films\\v.mp4\t60\t25\t\trun\t\t\tSTART\n"
        "00:00:02.000\tC:\\films\\v.mp4\t60\t25\t\tpeck\t\t\tPOINT\n"
        "00:00:03.250\tC:\\films\\v.mp4\t60\t25\t\trun\t\t\tSTOP\n"
        "00:00:05.000\tC:\\films\\v.mp4\t60\t25\t\trun\t\t\tSTART\n"
    )
    there = labels_of(text)
    assert sorted(spans(there, "v")) == [("peck", 2, 2), ("run", 1.5, 3.25)]
    assert [p.says for p in there.problems] == ["START of 'run' at 5 s without a STOP"]


def test_tabular_events_of_newer_versions() -> None:
    text = (
        "Observation id,Observation duration,Subject,Behavior,Modifier #1,Behavior type,Time,"
        "Media file name\n"
        "o1,60,,run,,START,1.5,1:v.mp4\no1,60,,run,,STOP,2.5,1:v.mp4\n"
    )
    assert spans(labels_of(text), "v") == [("run", 1.5, 2.5)]


HEAD_8_27 = (
    "Observation id,Observation date,Description,Observation duration,Observation type,Source,"
    "Time offset (s),Media duration (s),FPS,Subject,Behavior,Behavioral category,Behavior type,"
    "Time,Media file name,Image index,Image file path,Comment\n"
)


def row_8_27(status: str, time: float, media: str, source: str, lengths: str) -> str:
    """Return a row as the tabular export of BORIS 8.27 has it."""
    return (
        f"o1,2024-01-01,,60.5,Media file(s),player #1:{source},100.0,{lengths},25.000,run,"
        f",Not defined,{status},{time},{media},12,NA,\n"
    ).replace(",25.000,run,,", ",25.000,No focal subject,run,")


def test_an_export_has_the_offset_taken_off_and_tells_videos_in_a_row_apart() -> None:
    two, lengths = "C:\\x\\a.mp4;C:\\x\\b.mp4", "60.000;30.500"
    text = HEAD_8_27 + "".join(
        row_8_27(status, time, f"C:\\x\\{media}.mp4", two, lengths)
        for status, time, media in (
            ("START", 101, "a"), ("STOP", 102.5, "a"), ("START", 165, "b"), ("STOP", 170, "b"),
            ("START", 159, "a"), ("STOP", 161, "b"), ("POINT", 189, "b"),
        )
    )  # fmt: skip
    there = labels_of(text)
    assert spans(there, "a") == [("run", 1, 2.5)]
    assert spans(there, "b") == [("run", 5, 10), ("run", 29, 29)]
    assert (there.videos["a"].duration_sec, there.videos["b"].duration_sec) == (60, 30.5)
    assert [str(p) for p in there.problems] == ["o1: line 7: 'run' goes on into the next video"]


def test_an_aggregated_export_of_videos_in_a_row() -> None:
    head = (
        "Observation id,Observation type,Source,Time offset (s),Coding duration,"
        "Media duration (s),FPS (frame/s),Subject,Behavior,Behavioral category,Behavior type,"
        "Start (s),Stop (s),Duration (s),Media file name\n"
    )
    first = "o1,Media file,player #1:a.mp4;b.mp4|player #2:c.mp4,0.0,10,60.0;30.0|60.0,25,"
    text = head + (
        f"{first}No focal subject,run,,STATE,61.5,64.000,2.5,b.mp4\n"
        f"{first}No focal subject,run,,STATE,59,64.000,5,a.mp4\n"
        f"{first}No focal subject,run,,STATE,59,NA,NA,a.mp4\n"
    )
    there = labels_of(text)
    assert spans(there, "b") == [("run", 1.5, 4)]
    assert [str(p) for p in there.problems] == [
        "o1: line 3: 'run' goes on into the next video", "o1: line 4: no end of 'run'",
    ]  # fmt: skip


def test_videos_in_a_row_of_unknown_lengths_are_told() -> None:
    text = HEAD_8_27 + row_8_27("POINT", 165, "b.mp4", "a.mp4;b.mp4", "NA")
    assert "does not say how long they are" in labels_of(text).problems[0].says
    live = HEAD_8_27 + row_8_27("POINT", 165, "NA", "NA", "NA").replace("player #1:NA", "NA")
    assert spans(labels_of(live), "o1") == [("run", 65, 65)]
