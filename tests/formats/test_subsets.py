"""Subset roles by name."""

import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from tsatal.errors import InputError
from tsatal.formats.annotations import AnnotatedVideo, Annotations
from tsatal.formats.features import FeatureFile
from tsatal.formats.subsets import Subsets, choose_subsets, with_durations


@pytest.mark.parametrize(
    "annotated, expected",
    [
        ({"training": 5, "validation": 5}, ("training", "validation", "validation")),
        ({"validation": 200, "test": 212}, ("validation", "test", "test")),  # THUMOS14
        ({"training": 9, "validation": 4, "testing": 0}, ("training", "validation", "validation")),
        ({"training": 9, "validation": 4, "testing": 3}, ("training", "validation", "testing")),
        ({"train": 9, "val": 4, "test": 2}, ("train", "val", "test")),
        ({"training": 9, "test": 2}, ("training", "test", "test")),
        ({"Validation": 200, "Test": 212}, ("Validation", "Test", "Test")),  # ActionFormer's
        ({"TRAIN": 9, "Val": 4}, ("TRAIN", "Val", "Val")),
    ],
)
def test_roles_are_found_by_the_usual_names(
    annotated: dict[str, int], expected: tuple[str, str, str]
) -> None:
    assert choose_subsets(annotated) == Subsets(*expected)


def test_given_names_count_and_fill_the_rest() -> None:
    annotated = {"a": 3, "b": 2}
    assert choose_subsets(annotated, train="a", test="b") == Subsets("a", "b", "b")
    assert choose_subsets(annotated, train="a", validation="b") == Subsets("a", "b", "b")
    only = choose_subsets({"training": 4}, test="training")
    assert only == Subsets("training", "training", "training")


def test_nothing_may_be_validated_on() -> None:
    two = {"training": 5, "validation": 3}
    assert choose_subsets(two, validation="none") == Subsets("training", "", "validation")
    alone = choose_subsets({"training": 5}, validation="none")
    assert alone == Subsets("training", "", "training")
    named = choose_subsets({"training": 5, "none": 3}, validation="none", test="none")
    assert named == Subsets("training", "none", "none")


def test_given_names_may_have_other_capitals_where_that_is_plain() -> None:
    annotated = {"Validation": 3, "Test": 2}
    asked = choose_subsets(annotated, train="validation", test="test")
    assert asked == Subsets("Validation", "Test", "Test")
    both = {"test": 3, "Test": 2, "Dev": 4}
    assert choose_subsets(both, train="dev", test="Test") == Subsets("Dev", "Test", "Test")
    with pytest.raises(InputError, match="in subset 'TEST'; there are"):
        choose_subsets(both, test="TEST")
    entries = {
        "a": AnnotatedVideo("a", "Test", None, ()), "b": AnnotatedVideo("b", "Validation", None, ())
    }  # fmt: skip
    assert list(Annotations(entries, source="a.json", text="").subset("test")) == ["a"]


def test_a_subset_that_matches_nothing_lists_what_there_is() -> None:
    with pytest.raises(InputError, match=r"subset 'tset'; there are: 'training' \(5 videos\)"):
        choose_subsets({"training": 5, "validation": 5}, test="tset")


@pytest.mark.parametrize("annotated", [{"all": 7, "other": 2}, {"training": 7, "dev": 1}])
def test_names_that_say_nothing_are_an_error_with_a_remedy(annotated: dict[str, int]) -> None:
    with pytest.raises(InputError, match=r"there are: .*--set data\.(train|test)_subset=NAME"):
        choose_subsets(annotated)


@pytest.mark.parametrize(
    ("only", "other", "way"),
    [
        ("training", "validation", "--set data.test_subset=training"),
        ("validation", "training",
         "--set data.train_subset=validation --set data.test_subset=validation"),
        ("my set", "validation",
         "--set 'data.train_subset=my set' --set 'data.test_subset=my set'"),
    ],
)  # fmt: skip
def test_one_subset_is_an_error_that_says_how_to_go_on(only: str, other: str, way: str) -> None:
    with pytest.raises(InputError) as caught:
        choose_subsets({only: 1})
    message = str(caught.value)
    assert f"are in subset {only!r}; put some into {other!r}" in message
    assert message.endswith(f"which flatters: {way}")
    given = dict(word.split("=") for word in shlex.split(way) if "=" in word)
    roles = {key.removeprefix("data.").removesuffix("_subset"): v for key, v in given.items()}
    assert choose_subsets({only: 1}, **roles).test == only


def test_durations_that_annotations_lack_are_those_of_the_features(
    tmp_path: Path, write_toy: Callable[..., Path]
) -> None:
    with FeatureFile(write_toy(tmp_path / "f.h5")) as file:
        truth = file.annotations()
        assert truth is not None
        wrong = {"video_0": None, "video_1": 0.0, "video_2": 12.0, "video_3": -1.0, "absent": None}
        videos = {v: AnnotatedVideo(v, "training", d, ()) for v, d in wrong.items()}
        filled = {v: video.duration_sec for v, video in with_durations(file, videos).items()}
    expected = dict.fromkeys(("video_0", "video_1", "video_3"), 30.0)
    assert filled == {**expected, "video_2": 12.0, "absent": None}


def test_videos_without_any_action_are_said_to_be_such() -> None:
    with pytest.raises(InputError, match="no video with features has an action"):
        choose_subsets({})
    with pytest.raises(InputError, match="all videos with actions and features are in subset"):
        choose_subsets({"validation": 4})
