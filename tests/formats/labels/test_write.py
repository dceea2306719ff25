"""What a form cannot hold is named, and what is no place for it is refused."""

from dataclasses import replace
from pathlib import Path

import pytest

from tsatal.errors import InputError
from tsatal.formats.annotations import ActionnessCurve, Detection, Instance
from tsatal.formats.labels.find import read_labels
from tsatal.formats.labels.record import FrameClock, Labels, VideoLabels
from tsatal.formats.labels.write import FORMS, choose_form, losses, write_labels

VIDEO = VideoLabels(
    "a/b", (Detection("x\ny", -1.0, 2.0, 0.5), Detection("x", 3.0, 3.0, 0.25)), "test", 60.0
)
FULL = Labels(
    "made up", {"a/b": VIDEO, "c": VideoLabels("c", ())},
    curves={"c": ActionnessCurve(0, 1, (0.5,))},
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "lost"),
    [
        ("activitynet", ["subsets", "durations"]),
        ("csv", ["actionness", "names of 1 video (a/b)"]),
        ("boris", ["scores of 2 detections", "subsets", "actionness", "names of 1 video (a/b)"]),
        (
            "label-studio",
            ["actionness", "times before 0 of 1 label, set to 0", "no length of 1 label, now one "
             "frame long", "names of 1 video (a/b)", "times finer than frames"],
        ),
        (
            "srt",
            ["scores beyond four digits", "subsets", "durations", "actionness", "times before 0 of "
             "1 label, set to 0", "line breaks and tabs in labels", "names of 1 video (a/b)",
             "times finer than milliseconds"],
        ),
        (
            "audacity",
            ["scores of 2 detections", "subsets", "durations", "actionness", "line breaks and tabs "
             "in labels", "names of 1 video (a/b)", "times finer than microseconds"],
        ),
    ],
)  # fmt: skip
def test_losses_are_named(name: str, lost: list[str]) -> None:
    assert losses(FULL, FORMS[name]) == lost


def test_plain_labels_lose_nothing() -> None:
    plain = Labels("made up", {"v": VideoLabels("v", (Instance("x", 1, 2),))})
    exact = ("activitynet", "csv", "tsv", "trace", "boris", "via", "fiftyone")
    assert [losses(plain, FORMS[name]) for name in exact] == [[]] * len(exact)


def test_the_ending_says_the_form_where_none_is_named() -> None:
    assert choose_form(Path("a.EAF"), None).name == "elan"
    assert choose_form(Path("a.json"), None).name == "activitynet"
    assert choose_form(Path("a.json"), "via").name == "via"
    with pytest.raises(InputError, match="folder: its ending does not say a form"):
        choose_form(Path("folder"), None)


def test_places_that_are_none(tmp_path: Path) -> None:
    two = replace(FULL, videos={"a": VIDEO, "b": replace(VIDEO, video_id="b")})
    clock = FrameClock()
    with pytest.raises(InputError, match="a folder; CSV is one file"):
        write_labels(two, tmp_path, FORMS["csv"], clock)
    with pytest.raises(InputError, match="is about one video, and there are 2; name a folder"):
        write_labels(two, tmp_path / "x.eaf", FORMS["elan"], clock)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="no folder; ELAN has a file for every video"):
        write_labels(two, tmp_path / "file", FORMS["elan"], clock)
    (tmp_path / "other.eaf").write_text("")
    with pytest.raises(InputError, match=r"holds other \.eaf files \(other\.eaf\)"):
        write_labels(two, tmp_path, FORMS["elan"], clock)
    with pytest.raises(InputError, match="this form counts in frames; give the videos"):
        write_labels(two, tmp_path / "x.json", FORMS["label-studio"], clock)


def test_names_of_files_are_safe_and_writing_again_replaces(tmp_path: Path) -> None:
    out = tmp_path / "out"
    names = ("../x", "A", "a", "con:1")
    labels = Labels("made up", {n: VideoLabels(n, (Instance("x", 1, 2),)) for n in names})
    for _ in range(2):
        written = write_labels(labels, out, FORMS["webvtt"], FrameClock())
        assert sorted(written) == sorted(out.iterdir()) and len(written) == 4
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out"]
    assert len(read_labels(out).videos) == 4
