"""What a video may be called; and its files: one name each, none of which leads elsewhere."""

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tsatal.formats.names import MAX_BYTES, file_name, file_names, id_problem, is_text

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
