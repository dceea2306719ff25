"""Tables in the variants that people and programs write."""

import pytest

from tsatal.errors import InputError
from tsatal.formats.annotations import Detection
from tsatal.formats.labels.find import HowToRead
from tsatal.formats.labels.record import FrameClock

from .sample import at_rate, labels_of, spans

RUN = [("run", 1.5, 62.25)]


@pytest.mark.parametrize(
    "text",
    [
        "video,label,start,end\nv.mp4,run,1.5,62.25\n",
        "start,end,video,label\n1.5,62.25,v,run\n",
        "Video ID,Class,Start Time,End Time\nv,run,1.5,62.25\n",
        "filename\tbehavior\tstart (s)\tstop (s)\nclips/v.avi\trun\t1.5\t62.25\n",
        "Video,Behavior,Start (s),Stop (s)\nv,run,1.5,62.25\n",
        "file;label;start;end\nC:\\videos\\v.MP4;run;1,5;62,25\n",  # Excel in Germany
        "Datei;Klasse;Beginn;Ende\nv.mp4;run;1,5;0:01:02,25\n",
        "video,label,start_ms,end_ms\nv,run,1500,62250\n",
        "video,action,begin,duration\nv,run,0:01.5,60.75\n",
        "video,label,onset,offset\nv,run,00:00:01.500,00:01:02.250\n",
        'video,label,start,end,comment\nv,run,1.5 s,62.25 s,"late,\nbut sure"\n',
        "# made by hand\n\nvideo,label,start,end\n\nv,run,1.5,62.25\n,,,\n",
        "video|label|start|end\nv|run|1.5|62.25\n",
        "v,run,1.5,62.25\n",
        "v,1.5,62.25,run\n",
        "run,1.5,62.25\n",
        "1.5,62.25,run\n",
        "run,v.mp4,1.5,62.25\n",
        "labelId,timestamp,endTimestamp\nrun,1.5,62.25\n",
        "\nvideo,label,start,end\r\nv,run,1.5,62.25\r\n",
        "video,label,start,end\rv,run,1.5,62.25\r",
    ],
)
def test_variants_of_one_table(text: str) -> None:
    there = labels_of(text, "v.csv")
    assert there.problems == ()
    assert spans(there, "v") == RUN


@pytest.mark.parametrize(
    ("text", "how"),
    [
        ("video,label,start_frame,end_frame\nv,run,15,40\n", at_rate(10)),
        ("video,label,frame_start,frame_end,fps\nv,run,15,40,10\n", HowToRead()),
        ("video,label,start_frame,end_frame,start,end\nv,run,7,8,1.5,4\n", HowToRead()),
        ("video,label,start,end,fps\nv,run,00:00:01:05,00:00:04:00,10\n", HowToRead()),
        (
            "video,label,start_frame,end_frame\nv,run,2,4\n",
            HowToRead(FrameClock(pictures=lambda v: [0.0, 0.1, 1.5, 3.0, 4.0, 4.5])),
        ),
    ],
)
def test_frames_become_seconds(text: str, how: HowToRead) -> None:
    there = labels_of(text, how=how)
    assert there.problems == ()
    assert spans(there, "v") == [("run", 1.5, 4.0)]


def test_frames_of_unknown_rate_say_what_to_do() -> None:
    there = labels_of("video,label,start_frame,end_frame\nv,run,15,40\n")
    assert str(there.problems[0]).startswith("v: line 2: counts in frames, whose rate is not known")
    assert "--label-fps" in there.problems[0].says
    times = HowToRead(FrameClock(pictures=lambda v: [0.0, 0.5, 1.0]))
    there = labels_of("video,label,start_frame,end_frame\nv,run,1,40\n", how=times)
    assert "frame 40 is after the last of 2 pictures" in there.problems[0].says


def test_scores_subsets_durations_and_videos_without_actions() -> None:
    there = labels_of(
        "video,label,start,end,score,subset,video_duration\n"
        "v,run,1,2,0.5,training,60\nw,,,,,validation,1:30\n"
    )
    assert there.videos["v"].actions == (Detection("run", 1, 2, 0.5),)
    assert there.videos["v"].subset == "training" and there.videos["v"].duration_sec == 60
    assert there.videos["w"].actions == () and there.videos["w"].duration_sec == 90


def test_what_is_not_read_is_said() -> None:
    there = labels_of("video,label,start,end,annotator,notes\nv,run,1,2,me,ok\n")
    assert there.remarks == ("columns that are not read: annotator, notes",)
    assert labels_of("v,run,1,2\n").remarks == ("no line of names; read as video,label,start,end",)
    assert labels_of("labelId,timestamp,endTimestamp\na,1,2\n").words == "TRACE labels, 1 row"


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("v,run,2,1", "v: line 2: ends (1 s) before it starts (2 s)"),
        ("v,run,nan,1", "v: line 2: the start must be a finite number, is nan"),
        ("v,run,1,inf", "v: line 2: the end must be a finite number, is inf"),
        ("v,run,1,1e300", "v: line 2: lies beyond 1e+09 s"),
        ("v,run,soon,1", "v: line 2: the start is no time: 'soon'"),
        ("v,run,1_0,11", "v: line 2: the start is no time: '1_0'"),
        ("v,run,1", "v: line 2: no end"),
        ("v,,1,2", "v: line 2: the label is empty"),
        (",run,1,2", "line 2: names no video"),
    ],
)
def test_a_row_that_is_no_action_is_named(row: str, says: str) -> None:
    there = labels_of(f"video,label,start,end\n{row}\nv,walk,3,4\n")
    assert [str(p) for p in there.problems] == [says]
    assert spans(there, "v") == [("walk", 3, 4)]


@pytest.mark.parametrize(
    "text",
    [
        "hello world\n",
        "# nothing\n",
        "",
        "a,b\n1,2\n",
        "video,label\nv,run\n",
        "v,run,fast,1,2,3,4\n",
        "1,2,3\n",
    ],
)
def test_what_is_no_table_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="not labels of a known form|a table with the columns"):
        labels_of(text)


def test_times_before_0_are_kept() -> None:
    assert spans(labels_of("video,label,start,end\nv,run,-1.5,2\n"), "v") == [("run", -1.5, 2)]
