"""Folds: whole videos or groups, every class in every training where it can be."""

import json
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tsatal.errors import InputError
from tsatal.formats.annotations import (
    AnnotatedVideo,
    Instance,
    annotations_json,
    class_labels,
    parse_annotations,
)
from tsatal.formats.features import FeatureFile
from tsatal.formats.folds import deal, deal_folds, unlearnt, videos_to_deal
from tsatal.formats.split import split


def videos(*labels: str, groups: Sequence[str] = ()) -> dict[str, AnnotatedVideo]:
    """Return a video per word; each of its letters is an action."""
    made = {}
    for n, word in enumerate(labels):
        instances = tuple(Instance(c, 10.0 * k, 10.0 * k + 5) for k, c in enumerate(word))
        group = groups[n] if groups else ""
        made[f"v{n:02d}"] = AnnotatedVideo(f"v{n:02d}", "", 99.0, instances, (), group)
    return made


def test_every_video_is_held_out_once_and_classes_are_shared_out() -> None:
    every = videos(*["aab", "ab", "b", "aa", "ab"] * 4, "", "")
    folds = deal_folds(every, 4, group_by="video")
    assert sorted(v for fold in folds for v in fold) == sorted(every)
    for label, number in (("a", 24), ("b", 16)):
        shares = [sum(i.label == label for v in f for i in every[v].instances) for f in folds]
        assert sum(shares) == number and max(shares) - min(shares) <= 2
    assert max(map(len, folds)) - min(map(len, folds)) <= 2
    again = deal_folds(dict(reversed(every.items())), 4, group_by="video")
    assert [sorted(f) for f in again] == [sorted(f) for f in folds]
    assert folds != deal_folds(every, 4, group_by="video", seed=1)


def test_a_class_of_two_videos_is_in_training_whatever_is_held_out() -> None:
    """Of 20 arrangements, none puts both into one fold."""
    for shift in range(20):
        words = ["ab"] * 18
        words[shift % 18] += "r"
        words[(7 * shift + 5) % 18] += "r"
        every = videos(*words)
        if sum("r" in w for w in words) == 2:
            assert unlearnt(every, deal_folds(every, 3, group_by="video", seed=shift)) == {}


def test_a_class_in_a_single_video_is_named_with_its_fold() -> None:
    every = videos("a", "a", "ab", "a")
    folds = deal_folds(every, 2, group_by="video")
    (where,) = unlearnt(every, folds).items()
    assert where == ("b", next(n for n, fold in enumerate(folds) if "v02" in fold))


def test_groups_stay_together() -> None:
    people = ["ann", "bob", "cem", "dan", "eve"]
    every = videos(*["ab"] * 10, groups=people * 2)
    folds = deal_folds(every, 5, group_by="group")
    assert sorted({every[v].group for v in fold}.pop() for fold in folds) == people
    assert all(len({every[v].group for v in fold}) == 1 for fold in folds)


def test_a_split_keeps_groups_together(caplog: pytest.LogCaptureFixture) -> None:
    every = videos(*["ab"] * 9, groups=["ann", "bob", "cem"] * 3)
    truth = parse_annotations(annotations_json(every.values()), source="a.json")
    divided = split(truth, 0.7)
    sides = {(v.group, v.subset) for v in divided.videos.values()}
    assert len(sides) == 3 and {subset for _, subset in sides} == {"training", "validation"}
    alone = parse_annotations(
        annotations_json(videos("a", "a", groups=["x", "x"]).values()), source="a.json"
    )
    with pytest.raises(InputError, match="--split divides whole groups, and there is one"):
        split(alone, 0.7)


def test_each_fold_has_an_action_to_be_measured_on() -> None:
    every = videos("aaaa", "aaaa", "b", *[""] * 20)
    for seed in range(5):
        folds = deal_folds(every, 3, group_by="video", seed=seed)
        assert all(class_labels(every[v] for v in fold) for fold in folds)


@pytest.mark.parametrize(
    ("every", "folds", "by", "line"),
    [
        (videos("a", "a", ""), 3, "video", r"--folds 3: each fold holds out a video with actions, "
         "and there are 2; fewer folds"),
        (videos("a", "a", "a", groups=["x"] * 3), 2, "group", "each fold holds out a group with "
         "actions, and there is 1; annotate others, too, or --group-by video"),
    ],
)  # fmt: skip
def test_too_few(every: dict[str, AnnotatedVideo], folds: int, by: str, line: str) -> None:
    with pytest.raises(InputError, match=line):
        deal_folds(every, folds, group_by=by)  # type: ignore[arg-type]


def test_shares_of_a_learning_curve_are_balanced() -> None:
    every = videos(*["ab"] * 16)
    quarter, another, half = deal(every, [0.25, 0.25, 0.5])
    assert [len(quarter), len(another), len(half)] == [4, 4, 8]


def test_groups_are_read_written_and_refused() -> None:
    text = json.dumps(
        {"database": {k: {"subset": "s", "group": g} for k, g in (("a", "ann"), ("b", 7))}}
    )
    truth = parse_annotations(text, source="a.json")
    assert [v.group for v in truth.videos.values()] == ["ann", "7"]
    again = parse_annotations(annotations_json(truth.videos.values()), source="b.json")
    assert again.videos == truth.videos
    wrong = json.dumps({"database": {"a": {"subset": "s", "group": ["ann"]}}})
    with pytest.raises(InputError, match="a: 'group' must be a str, is "):
        parse_annotations(wrong, source="a.json")


def test_the_test_subset_stays_out(
    write_toy: Callable[..., Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with FeatureFile(write_toy(tmp_path / "f.h5")) as file:
        truth = file.annotations()
        assert truth is not None
        assert len(videos_to_deal(file, truth)) == 6
        text = truth.text.replace('"validation"', '"Testing"')
        testing = parse_annotations(text, source="a.json")
        assert len(videos_to_deal(file, testing)) == 4
        assert "in no fold: 2 videos of subset 'Testing'" in caplog.text
        assert len(videos_to_deal(file, truth, test="validation")) == 4
        assert len(videos_to_deal(file, truth, train="training")) == 4
        with pytest.raises(InputError, match="no video is in subset 'nowhere'"):
            videos_to_deal(file, truth, train="nowhere")
        only = parse_annotations(text.replace('"training"', '"test"'), source="a.json")
        with pytest.raises(InputError, match="no video with features is left for folds"):
            videos_to_deal(file, only)
