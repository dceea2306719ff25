"""What is asked of folds, and who is held out where."""

import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tsatal.errors import InputError
from tsatal.formats.annotations import Annotations, parse_annotations
from tsatal.formats.dealing import Dealt, deal_out, name_of
from tsatal.formats.features import FeatureFile

WHO = ["anna", "anna", "bert", "bert", "carl", ""]


@pytest.fixture(scope="module")
def file(
    tmp_path_factory: pytest.TempPathFactory, write_toy: Callable[..., Path]
) -> Iterator[FeatureFile]:
    """Six videos, of which every third is of subset `validation`."""
    with FeatureFile(write_toy(tmp_path_factory.mktemp("toy") / "f.h5")) as file:
        yield file


def truth_with(file: FeatureFile, change: Callable[[int, dict[str, Any]], None]) -> Annotations:
    """The file's annotations, each video's entry changed."""
    truth = file.annotations()
    assert truth is not None
    raw = json.loads(truth.text)
    for n, entry in enumerate(raw["database"].values()):
        change(n, entry)
    return parse_annotations(json.dumps(raw), source="a.json")


def of_people(file: FeatureFile) -> Annotations:
    return truth_with(file, lambda n, entry: entry.update({"person": WHO[n], "day": n % 2}))


def deal(file: FeatureFile, truth: Annotations, asked: Any, **more: Any) -> Dealt:
    return deal_out(file, truth, asked, **{"group_by": None, "seed": 0, **more})


def test_a_number_deals_all_of_them(file: FeatureFile) -> None:
    dealt = deal(file, of_people(file), 3)
    assert sorted(v for fold in dealt.folds for v in fold) == sorted(dealt.videos)
    assert (dealt.names, dealt.always, dealt.group_by) == ((), (), "video")
    together = deal(file, of_people(file), 2, group_by="person")
    assert together.group_by == "person"
    assert all({"video_0", "video_1"}.isdisjoint(f) or {"video_0", "video_1"} <= set(f)
               for f in together.folds)  # fmt: skip


def test_one_fold_is_none(file: FeatureFile) -> None:
    with pytest.raises(InputError, match="--folds 1: at least two are needed"):
        deal(file, of_people(file), 1)


def test_groups_give_a_fold_each(file: FeatureFile, caplog: pytest.LogCaptureFixture) -> None:
    dealt = deal(file, of_people(file), "groups", group_by="person")
    assert dict(zip(dealt.names, dealt.folds, strict=True)) == {
        "anna": ("video_0", "video_1"), "bert": ("video_2", "video_3"), "carl": ("video_4",),
    }  # fmt: skip
    assert dealt.always == ("video_5",)
    assert "1 video without a group, or of one without actions: all folds train" in caplog.text


def test_a_group_without_actions_is_only_trained_on(file: FeatureFile) -> None:
    def change(n: int, entry: dict[str, Any]) -> None:
        entry["group"] = WHO[n] or "dora"
        if WHO[n] == "carl":
            entry["annotations"] = []

    dealt = deal(file, truth_with(file, change), "groups")
    assert dealt.names == ("anna", "bert", "dora") and dealt.always == ("video_4",)


def test_each_video_may_be_a_fold(file: FeatureFile) -> None:
    dealt = deal(file, of_people(file), "groups", group_by="video")
    assert [len(f) for f in dealt.folds] == [1] * 6 and dealt.names[0] == "video_0"
    with pytest.raises(InputError, match="--folds groups: no video .* --group-by KEY"):
        deal(file, of_people(file), "groups")


def test_one_group_is_no_folds(file: FeatureFile) -> None:
    def change(n: int, entry: dict[str, Any]) -> None:
        if n < 2:
            entry["group"] = "anna"

    with pytest.raises(InputError, match="holds out a group with actions, and there is one"):
        deal(file, truth_with(file, change), "groups")


def test_a_file_says_who_is_held_out(
    file: FeatureFile, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"x": ["video_3"], "y": ["video_0", "video_1"]}))
    dealt = deal(file, of_people(file), path)
    assert dealt.folds == (("video_3",), ("video_0", "video_1")) and dealt.names == ("x", "y")
    assert dealt.always == ("video_2", "video_4", "video_5")
    assert f"3 videos in no fold of {path}: all folds train there" in caplog.text
    numbered = deal(file, of_people(file), [["video_3"], ["video_0"]])
    assert numbered.names == () and name_of(path) == "mine" and name_of(5) == "5folds"


def test_a_file_may_hold_out_test_videos_and_others_stay_out(
    file: FeatureFile, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    def change(n: int, entry: dict[str, Any]) -> None:
        entry["subset"] = "testing" if n in (2, 5) else "training"

    dealt = deal(file, truth_with(file, change), [["video_0"], ["video_2"]])
    assert set(dealt.videos) == {f"video_{n}" for n in (0, 1, 2, 3, 4)}
    assert "in no fold: 1 video of subset 'testing'" in caplog.text


def test_groups_that_a_file_divides_are_told(
    file: FeatureFile, caplog: pytest.LogCaptureFixture
) -> None:
    folds = [["video_0", "video_2", "video_3"], ["video_1", "video_4", "video_5"]]
    deal(file, of_people(file), folds, group_by="person")
    assert "1 groups are not held out as one: anna; a head that has learned" in caplog.text


def test_a_fold_without_actions_is_refused(file: FeatureFile) -> None:
    def change(n: int, entry: dict[str, Any]) -> None:
        if n == 4:
            entry["annotations"] = []

    with pytest.raises(InputError, match="folds: fold '1' holds out 1 video without any action"):
        deal(file, truth_with(file, change), [["video_0"], ["video_4"]])


def test_an_id_that_is_not_there_is_refused(file: FeatureFile) -> None:
    with pytest.raises(InputError, match="folds: fold '1' names 1 of 2 videos .*: vide_4; mend"):
        deal(file, of_people(file), [["video_0"], ["video_1", "vide_4"]])
