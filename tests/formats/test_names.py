"""What a video may be called; and its files: one name each, none of which leads elsewhere."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tsatal.errors import InputError
from tsatal.evaluation.matching import Measure
from tsatal.exchange.arrays import video_id_of
from tsatal.exchange.layouts import ImportSettings
from tsatal.extract.sources import assign_ids, find_videos
from tsatal.formats.annotations import parse_annotations
from tsatal.formats.feature_writer import write_feature_file
from tsatal.formats.features import FeatureFile, VideoFeatures
from tsatal.formats.names import MAX_BYTES, file_name, file_names, id_problem, is_text, nfc
from tsatal.formats.predictions import load_predictions

ANYTHING = st.text(st.characters(), max_size=400)  # halves of surrogate pairs too


@pytest.mark.parametrize(
    "video_id",
    ["a", "video_test_0000004", "v_-QOlSCBRmfWY", "a b.c", "naïve", "日本語", "a(1)", "-x"],
)
def test_a_safe_id_is_its_own_name(video_id: str) -> None:
    assert file_name(video_id, ".png") == f"{video_id}.png"


@given(ANYTHING)
@example("../x")
@example("..")
@example("")
@example(".hidden")
@example("/" * 300)
@example("\ud800")
@example("é" * 150)
def test_a_name_is_one_visible_part_of_a_path_and_short_enough(video_id: str) -> None:
    name = file_name(video_id, ".png")
    assert Path(name).name == name and Path("/out", name).parent == Path("/out")
    assert not name.startswith(".") and name.endswith(".png")
    assert "\0" not in name and "\\" not in name and name.isprintable()
    assert len(name.encode()) <= MAX_BYTES + len(".png")


@given(ANYTHING, ANYTHING)
@example("a/b", "a_b")
@example("a/b", "a_b-c14cddc033f6")
@example("a" * 300, "a" * 301)
@example("e\u0301", "é")
@example("a.", "a")
@example("", "_")
def test_two_ids_have_two_names(one: str, other: str) -> None:
    assert (file_name(one, ".png") == file_name(other, ".png")) == (one == other)


@given(st.lists(st.text("aAbBßẞ-0f", max_size=16) | ANYTHING, max_size=8))
@example(["A", "a"])
@example(["A", "a", "A-559aead08264"])  # the digest of "A"
@example(["A", "a", "A-559AEAD08264"])
@example(["ß", "SS"])
def test_names_in_one_folder_differ_also_where_case_does_not_count(ids: list[str]) -> None:
    names = file_names(ids, ".png")
    assert set(names) == set(ids)
    assert len({name.casefold() for name in names.values()}) == len(names)


def test_only_ids_that_differ_in_case_alone_get_a_digest() -> None:
    names = file_names(["A", "a", "Ab", "b"], ".png")
    assert names == {
        "A": "A-559aead08264.png", "a": "a-ca978112ca1b.png", "Ab": "Ab.png", "b": "b.png"
    }  # fmt: skip


@pytest.mark.parametrize(
    "video_id, problem",
    [
        ("a/b", "has a '/' in it"), ("../x", "has a '/' in it"), (".", "means a folder"),
        ("", "is empty"), ("\ud800", "is not valid text"), ("a\0b", "is not valid text"),
        ("..", None), ("a b", None), ("日本", None), ("x" * 5000, None),
    ],
)  # fmt: skip
def test_what_a_feature_file_can_hold(video_id: str, problem: str | None) -> None:
    assert id_problem(video_id) == problem


def test_text_is_what_can_be_written() -> None:
    assert is_text("") and is_text("é\n") and not is_text("a\0") and not is_text("\udcff")


NFD, NFC = "cafe\u0301", "caf\u00e9"


def test_both_forms_of_a_name_are_one_name() -> None:
    assert NFD != NFC and nfc(NFD) == NFC == nfc(NFC)


def test_a_feature_file_is_asked_and_answers_in_one_form(tmp_path: Path) -> None:
    rows = {"rgb": np.ones((2, 3), np.float32)}
    path = tmp_path / "f.h5"
    write_feature_file(path, [VideoFeatures(NFD, rows, 0.0, 0.5, 1.0)], provenance={})
    with FeatureFile(path) as file:
        assert file.video_ids == [NFC]
    with h5py.File(path, "a") as raw:  # as another writer may leave it
        raw["videos"].move(NFC, NFD)
    for asked in (NFC, NFD):
        with FeatureFile(path) as file:
            assert file.rows(asked, ["rgb"]).shape == (2, 3) and file.video_ids == [NFC]
            assert file.video(asked).video_id == NFC
    with h5py.File(path, "a") as raw:
        raw["videos"].copy(NFD, NFC)
    with FeatureFile(path) as file, pytest.raises(InputError, match=f"'{NFC}' stands twice, in na"):
        _ = file.video_ids


def test_annotations_and_detections_are_read_in_one_form(tmp_path: Path) -> None:
    action = {"label": NFD, "segment": [1, 2]}
    entry = {"subset": NFD, "annotations": [action]}
    truth = parse_annotations(json.dumps({"database": {NFD: entry}}), source="a.json")
    assert list(truth.videos) == [NFC] and list(truth.subset(NFD)) == [NFC]
    assert truth.videos[NFC].instances[0].label == NFC
    found = tmp_path / "p.json"
    found.write_text(json.dumps({"results": {NFD: [{**action, "score": 1}]}}))
    assert load_predictions(found)[NFC][0].label == NFC
    both = json.dumps({"database": {NFD: entry, NFC: entry}})
    with pytest.raises(InputError, match=rf"a\.json: {NFC}: stands twice, in names that differ"):
        parse_annotations(both, source="a.json")


def test_videos_of_both_forms_clash_and_say_how(tmp_path: Path) -> None:
    one, other = tmp_path / f"{NFC}.mp4", tmp_path / f"{NFD}.mp4"
    ids, refused = assign_ids([one, other])
    assert ids == {NFC: one} and "in names that differ only in how their accents" in next(
        iter(refused.values())
    )
    assert assign_ids([other]) == ({NFC: other}, {})  # opened by its name as it is


def test_a_list_may_name_a_file_in_the_other_form(tmp_path: Path) -> None:
    (tmp_path / f"{NFD}.mp4").touch()
    (tmp_path / "l.txt").write_text(f"{NFC}.mp4\ngone.mp4\n")
    names = [p.name for p in find_videos(tmp_path / "l.txt")]
    assert names in ([f"{NFD}.mp4", "gone.mp4"], [f"{NFC}.mp4", "gone.mp4"])  # a Mac takes both
    assert (tmp_path / names[0]).exists()


def test_excluded_and_imported_ids_are_brought_into_one_form() -> None:
    assert Measure(exclude=(NFD,)).exclude == (NFC,)
    settings = ImportSettings(format="npy", suffix=f"_{NFC}")
    assert video_id_of(f"{NFD}_{NFD}", settings, {NFC}, settings.suffix) == NFC
