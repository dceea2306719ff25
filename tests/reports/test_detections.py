"""What `detect` returns: of a video that is not in it, it says why."""

from pathlib import Path

import pytest

from tsatal.extract.extractor import Summary
from tsatal.formats.annotations import ActionnessCurve
from tsatal.reports.detections import DetectedVideo, DetectedVideos

VIDEO = DetectedVideo("good", 4.0, [], ActionnessCurve(0.0, 1.0, (0.5,) * 4))


def test_a_video_that_is_not_there_says_why() -> None:
    extraction = Summary(Path("o.h5"), failed={"bad": "bad.mp4: empty (0 bytes); copy it again"})
    found = DetectedVideos({"good": VIDEO}, (), extraction)
    assert found["good"] is VIDEO and "bad" not in found and found.get("late") is None
    with pytest.raises(KeyError, match=r"bad: bad\.mp4: empty \(0 bytes\); copy it again"):
        found["bad"]
    with pytest.raises(KeyError, match="late: none of the videos that were looked at: good"):
        found["late"]
    extraction.stopped_by = KeyboardInterrupt()
    with pytest.raises(KeyError, match="late: a signal ended the extraction before its turn"):
        found["late"]
    with pytest.raises(KeyError, match="good: none of the videos that were looked at: no videos"):
        DetectedVideos({})["good"]
