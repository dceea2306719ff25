"""Exports as rows, Praat, and the texts that published data sets come in."""

import csv
import io
import json
import random
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsatal.errors import InputError
from tsatal.formats.annotations import Detection
from tsatal.formats.labels.find import HowToRead, load_annotations, read_labels
from tsatal.formats.labels.record import FrameClock
from tsatal.formats.names import nfc

from .sample import at_rate, labels_of, spans
from .test_damage import read

VIA_ATTRIBUTES = {
    "1": {"aname": "what", "anchor_id": "FILE1_Z2_XY0", "type": 4, "options": {"0": "run"}},
    "2": {"aname": "comment", "type": 1, "options": {}},
}
VIA = f"""# Exported using VGG Image Annotator (http://www.robots.ox.ac.uk/~vgg/software/via)
# - metadata of {{""1"":""3""}} indicates attribute with id "1" set to an option with id "3"
# ATTRIBUTE = {json.dumps(VIA_ATTRIBUTES)}
# CSV_HEADER = metadata_id,file_list,flags,temporal_coordinates,spatial_coordinates,metadata
"1_a","[""v one.mp4""]",0,"[1.5,2.25]","[]","{{""1"":""0"",""2"":""fast""}}"
"1_b","[""v one.mp4""]",0,"[2.4]","[2,1,1,5,5]","{{""1"":""0""}}"
"2_c","[""clips/w.mp4""]",0,"[3,4]","[]","{{""1"":""0""}}"
"""
VIA_SEGMENTS = """# Exported using VGG Image Annotator
# CSV_HEADER = metadata_id,file_list,temporal_segment_start,temporal_segment_end,metadata
"1_a","[""v one.mp4""]",1.5,2.25,"{""TEMPORAL-SEGMENTS"":""run""}"
"2_c","[""w.mp4""]",3,4,"{""TEMPORAL-SEGMENTS"":""run""}"
"""


@pytest.mark.parametrize(
    "text",
    [VIA, VIA_SEGMENTS, VIA.replace("# CSV_HEADER = metadata_id", '"# CSV_HEADER = metadata_id"')],
)
def test_tables_of_via(text: str) -> None:
    there = labels_of(text, "export.csv")
    assert there.problems == () and there.form == "VIA 3 table"
    assert spans(there, "v one") == [("run", 1.5, 2.25)]
    assert spans(there, "w") == [("run", 3, 4)]


def test_a_damaged_table_of_via_says_where() -> None:
    with pytest.raises(InputError, match="a cell that is not JSON: '{1:2'"):
        labels_of(VIA.replace('"{""1"":""0"",""2"":""fast""}"', "{1:2"))
    with pytest.raises(InputError, match="VIA's table without file_list, metadata or times"):
        labels_of(VIA.replace("temporal_coordinates", "times"))


def label_studio_rows(delimiter: str) -> str:
    rows = [
        ["annotation_id", "annotator", "id", "label", "video"],
        ["1", "1", "7", "[]", "/data/upload/1/0a1b2c3d-v.mp4"],
        [
            "2", "1", "7",
            json.dumps([{"ranges": [{"start": 11, "end": 20}], "timelinelabels": ["run", "far"]}]),
            "/data/upload/1/0a1b2c3d-v.mp4",
        ],
        ["3", "1", "8", "", "/data/upload/1/0a1b2c3d-w.mp4"],
    ]  # fmt: skip
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter).writerows(rows)
    return text.getvalue()


@pytest.mark.parametrize("delimiter", [",", "\t"])
def test_tables_of_label_studio(delimiter: str) -> None:
    there = labels_of(label_studio_rows(delimiter), "export.csv", at_rate(10))
    assert there.problems == () and there.form == "Label Studio"
    assert spans(there, "v") == [("run", 1, 2), ("far", 1, 2)]
    assert spans(there, "w") == []
    assert any("several annotations; the last is taken" in r for r in there.remarks)


def test_the_minimal_json_of_label_studio_takes_the_last_annotation_of_a_task() -> None:
    def row(number: int, label: str) -> dict[str, object]:
        region = {"ranges": [{"start": 1, "end": 10}], "timelinelabels": [label]}
        return {
            "id": 7, "video": "v.mp4", "actions": [region], "annotator": 1, "annotation_id": number
        }  # fmt: skip

    there = labels_of(json.dumps([row(1, "walk"), row(2, "run")]), "e.json", at_rate(10))
    assert spans(there, "v") == [("run", 0, 1)]


def test_a_prediction_scored_as_a_whole_gives_its_regions_that_score() -> None:
    def region(label: str, **more: float) -> dict[str, object]:
        value = {"ranges": [{"start": 1, "end": 10}], "timelinelabels": [label]}
        return {"type": "timelinelabels", "value": value, **more}

    made = {"score": 0.75, "result": [region("run"), region("walk", score=0.5)]}
    task = {"id": 1, "data": {"video": "v.mp4"}, "annotations": [], "predictions": [made]}
    there = labels_of(json.dumps([task]), "e.json", at_rate(10))
    assert there.videos["v"].actions == (
        Detection("run", 0, 1, 0.75), Detection("walk", 0, 1, 0.5),
    )  # fmt: skip


LONG = '''File type = "ooTextFile"
Object class = "TextGrid"

xmin = 0
xmax = 9.5
tiers? <exists>
size = 2
item []:
    item [1]:
        class = "IntervalTier"
        name = "what 3"
        xmin = 0
        xmax = 9.5
        intervals: size = 3
        intervals [1]:
            xmin = 0
            xmax = 1.5
            text = ""
        intervals [2]:
            xmin = 1.5
            xmax = 2.25
            text = "say ""5"""
        intervals [3]:
            xmin = 2.25
            xmax = 9.5
            text = ""
    item [2]:
        class = "TextTier"
        name = "points"
        xmin = 0
        xmax = 9.5
        points: size = 1
        points [1]:
            number = 4.5
            mark = "peck"
'''
SHORT = '''File type = "ooTextFile"
Object class = "TextGrid"

0
9.5
<exists>
2
"IntervalTier"
"what 3"
0
9.5
3
0
1.5
""
1.5
2.25
"say ""5"""
2.25
9.5
""
"TextTier"
"points"
0
9.5
1
4.5
"peck"
'''


@pytest.mark.parametrize("text", [LONG, SHORT])
def test_praat(text: str) -> None:
    there = labels_of(text, "v.TextGrid")
    assert there.problems == () and there.form == "Praat TextGrid"
    assert spans(there, "v") == [('say "5"', 1.5, 2.25), ("peck", 4.5, 4.5)]
    assert there.videos["v"].duration_sec == 9.5
    one = labels_of(text, "v.TextGrid", HowToRead(tiers=("points",)))
    assert spans(one, "v") == [("peck", 4.5, 4.5)]
    with pytest.raises(InputError, match="has no tier 'x', but: what 3, points"):
        labels_of(text, "v.TextGrid", HowToRead(tiers=("x",)))
    with pytest.raises(InputError, match="a TextGrid that is damaged, or ends too soon"):
        labels_of(text[: len(text) // 2], "v.TextGrid")


WORD = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=8)


@settings(max_examples=60)
@given(st.lists(st.tuples(WORD, st.floats(0.001, 50).map(lambda x: round(x, 4))), max_size=8))
def test_praat_gives_back_whatever_was_said(steps: list[tuple[str, float]]) -> None:
    times, words = [0.0], []
    for label, length in steps:
        times.append(round(times[-1] + length, 4))
        words.append(nfc(label))
    quoted = (w.replace('"', '""') for w in words)
    rows = [f'{a!r} {b!r} "{w}"' for a, b, w in zip(times, times[1:], quoted, strict=False)]
    text = "\n".join(
        [
            'File type = "ooTextFile"', 'Object class = "TextGrid"', f"0 {times[-1]} <exists> 1",
            f'"IntervalTier" "t" 0 {times[-1]} {len(rows)}', *rows,
        ]
    )  # fmt: skip
    expected = list(zip(words, times, times[1:], strict=False))
    assert spans(labels_of(text, "v.TextGrid"), "v") == expected


def test_charades() -> None:
    there = labels_of(
        "id,subject,scene,script,actions,length\n"
        '46GP8,HR43,Kitchen,"A person, cooking.",c092 11.90 21.20;c147 0.00 12.60,24.83\n'
        "N11GT,0KZ7,Stairs,Nothing.,,18.33\n"
    )
    assert there.problems == ()
    assert spans(there, "46GP8") == [("c092", 11.9, 21.2), ("c147", 0.0, 12.6)]
    assert (there.videos["46GP8"].group, there.videos["46GP8"].duration_sec) == ("HR43", 24.83)
    assert there.videos["N11GT"].actions == ()
    broken = labels_of("id,actions\nv,c1 2;c2 1 2\n")
    assert [str(p) for p in broken.problems] == ["v: line 2: no class and two times: 'c1 2'"]


def test_a_folder_of_lists_by_class_is_one_set(tmp_path: Path) -> None:
    (tmp_path / "BaseballPitch_val.txt").write_text(
        "video_validation_0000266  72.8 76.4\nvideo_validation_0000266  1.0 2.0\n"
    )
    (tmp_path / "Billiards_val.txt").write_text("video_validation_0000266  5 6.5\n")
    (tmp_path / "Billiards_test.txt").write_text("video_test_0000004  0.2  1.1\n")
    truth = load_annotations(tmp_path)
    found = truth.videos["video_validation_0000266"]
    assert [i.label for i in found.instances] == ["BaseballPitch"] * 2 + ["Billiards"]
    assert found.subset == "validation" and truth.videos["video_test_0000004"].subset == "test"


PER_FRAME = "SIL\n" * 10 + "take_cup\n" * 20 + "pour_milk\n" * 10 + "SIL\n" * 5


def test_a_label_for_each_frame() -> None:
    there = labels_of(PER_FRAME, "P03_cam01.txt", at_rate(10))
    assert there.problems == ()
    assert spans(there, "P03_cam01") == [("take_cup", 1.0, 3.0), ("pour_milk", 3.0, 4.0)]
    assert there.remarks == ("no actions, and left out: (SIL)",)
    with pytest.raises(InputError, match="counts in frames, whose rate is not known"):
        labels_of(PER_FRAME)
    own = HowToRead(FrameClock(pictures=lambda v: [n / 5 for n in range(46)]))
    assert spans(labels_of(PER_FRAME, how=own), "v")[0] == ("take_cup", 2.0, 6.0)
    other = HowToRead(FrameClock(pictures=lambda v: [n / 5 for n in range(91)]))
    with pytest.raises(InputError, match="each of 45 frames, and the video 90 pictures"):
        labels_of(PER_FRAME, how=other)


@pytest.mark.parametrize(
    "text", ["a.mp4\nb.mp4\n" * 6, "1\n1\n2\n2\n" * 5, "word\n" * 5, "some words\n" * 20]
)
def test_other_lines_are_no_labels_of_frames(text: str) -> None:
    with pytest.raises(InputError, match="not labels of a known form"):
        labels_of(text)


def test_chapters_end_where_the_next_begins() -> None:
    text = CHAPTERS
    there = labels_of(text)
    assert spans(there, "v") == [("Warm up", 0, 65), ("Squats, first set", 65, 3723)]
    assert "the last one (Cool down, from 3723 s) has no end and is left out" in there.remarks[0]
    own = HowToRead(FrameClock(pictures=lambda v: [0.0, 4000.0]))
    assert spans(labels_of(text, how=own), "v")[-1] == ("Cool down", 3723, 4000)
    with pytest.raises(InputError, match="not labels of a known form"):
        labels_of("1:05 b\n0:00 a\n")


@pytest.mark.parametrize(
    "text",
    [
        "0:01,0:05,run\n0:06,0:08,walk\n", "0:01\t0:05\trun\n0:06\t0:08\twalk\n",
        "0:01.0;0:05.0;run\n0:06.0;0:08.0;walk\n", "0:01, 0:05, run\n0:06, 0:08, walk\n",
    ],
)  # fmt: skip
def test_clocks_in_a_table_are_no_chapters(text: str) -> None:
    assert spans(labels_of(text), "v") == [("run", 1, 5), ("walk", 6, 8)]


@pytest.mark.parametrize(
    ("text", "how"),
    [
        (  # EPIC-KITCHENS
            "narration_id,participant_id,video_id,narration_timestamp,start_timestamp,"
            "stop_timestamp,start_frame,stop_frame,narration,verb,verb_class,noun,noun_class\n"
            "v_0,P01,v,00:00:01.089,00:00:01.50,00:01:02.25,8,202,run home,run,3,home,3\n",
            HowToRead(),
        ),
        (  # markers of Premiere
            "Marker Name\tDescription\tIn\tOut\tDuration\tMarker Type\n"
            "run\t\t00:00:01:05\t00:01:02:05\t00:01:00:15\tComment\n",
            at_rate(10),
        ),
    ],
)
def test_tables_of_others(text: str, how: HowToRead) -> None:
    there = labels_of(text, "v.csv", how)
    assert there.problems == ()
    label, start, end = spans(there, "v")[0]
    assert (label, start) == ("run", 1.5) and end in (62.25, 62.5)


def test_timecodes_need_a_rate() -> None:
    there = labels_of("video,label,start,end\nv,run,00:00:01:05,00:00:02:00\n")
    assert "00:00:01:05 counts in frames, whose rate is not known" in there.problems[0].says
    assert "--label-fps" in there.problems[0].says


def test_what_is_not_read_says_what_to_do(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "p.opf", "w") as archive:
        archive.writestr("db", "#4\n")
        archive.writestr("project", "")
    with pytest.raises(InputError, match="a Datavyu project .*label, onset_ms, offset_ms"):
        read_labels(tmp_path / "p.opf")
    with pytest.raises(InputError, match="clips with a yes or no"):
        labels_of("classname,youtube_id,subset,start,end,label\nrun,v,training,1,3,-1\n")
    with pytest.raises(InputError, match="CVAT's XML holds boxes in pictures"):
        labels_of('<?xml version="1.0"?>\n<annotations>\n<version>1.1</version>\n</annotations>')
    with pytest.raises(InputError, match="Anvil's XML is not read; export"):
        labels_of('<?xml version="1.0"?>\n<annotation xmlns:xsi="x"><head/></annotation>')


CHAPTERS = "0:00 Warm up\n(1:05) - Squats, first set\n1:02:03 Cool down\n"
JUNK = (
    '"',
    "\n",
    ",",
    "9" * 400,
    "1e999",
    "nan",
    "[",
    "]",
    "{",
    "\0",
    "\ud800",
    ";",
    "\t",
    "-",
    "e",
)


@pytest.mark.parametrize(
    "text",
    [
        VIA, VIA_SEGMENTS, label_studio_rows(","), LONG, SHORT, PER_FRAME, CHAPTERS,
        "id,subject,actions,length\nv,me,c092 11.90 21.20;c147 0.00 12.60,24.83\n",
        "video_validation_0000266  72.8 76.4\nvideo_test_0000266  1.0 2.0\n",
    ],
)  # fmt: skip
def test_a_damaged_text_is_read_or_refused_in_one_line(text: str) -> None:
    dice = random.Random(len(text))
    for _ in range(100):
        damaged = text
        for _ in range(dice.randrange(1, 5)):
            place = dice.randrange(len(damaged) + 1)
            rest = damaged[place + dice.choice([0, 0, 1, 3, 30]) :]
            damaged = damaged[:place] + dice.choice(JUNK) + rest
        read(damaged)
