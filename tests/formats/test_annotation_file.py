"""A file of annotations that is edited: nothing gets lost, and nobody writes over others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsatal.errors import InputError
from tsatal.formats.annotation_file import Action, AnnotationFile, Changed, Labels, Span
from tsatal.formats.annotations import AnnotatedVideo
from tsatal.formats.labels.find import load_annotations

JUMP = Action(start_sec=1.0, end_sec=2.5, label="jump", note="left foot")
RUN = Action(start_sec=4, end_sec=5, label="run")


def opened(folder: Path, database: dict[str, Any] | None = None) -> AnnotationFile:
    path = folder / "annotations.json"
    if database is not None:
        path.write_text(json.dumps({"database": database, "version": "mine"}))
    return AnnotationFile(path)


def saved(file: AnnotationFile, labels: Labels, video: str = "a") -> AnnotatedVideo:
    _, revision = file.video(video)
    file.save(video, labels, revision, 10.0)
    return load_annotations(file.path).videos[video]


def test_a_video_of_no_file_is_new_and_gets_into_one(tmp_path: Path) -> None:
    file = opened(tmp_path)
    assert file.video("a")[0] == Labels()
    assert not file.path.exists()
    video = saved(file, Labels(state="done", subset="training", actions=(JUMP, RUN)))
    assert [i.label for i in video.instances] == ["jump", "run"]
    assert (video.subset, video.duration_sec, video.ignored) == ("training", 10.0, ())


def test_notes_rejections_and_stretches_come_back(tmp_path: Path) -> None:
    file = opened(tmp_path)
    labels = Labels(
        state="done", subset="training", note="dark", actions=(JUMP,), rejected=(RUN,),
        unseen=(Span(start_sec=6, end_sec=7),), ignore=(Span(start_sec=8, end_sec=8.5),),
    )  # fmt: skip
    video = saved(file, labels)
    assert sorted(video.ignored)[:2] == [(6, 7), (8, 8.5)]
    assert file.video("a")[0] == labels


def test_an_unfinished_video_is_annotated_only_where_its_actions_are(tmp_path: Path) -> None:
    file = opened(tmp_path)
    labels = Labels(
        state="begun", subset="t", actions=(JUMP,), unseen=(Span(start_sec=6, end_sec=7),)
    )
    video = saved(file, labels)
    assert sorted(video.ignored)[0] == (0, 1.0) and sorted(video.ignored)[1][0] == 2.5
    assert file.video("a")[0] == labels


def test_nothing_here_is_a_video_to_learn_from_and_undone_it_is_gone(tmp_path: Path) -> None:
    file = opened(tmp_path)
    video = saved(file, Labels(state="done", subset="training"))
    assert (video.instances, video.ignored) == ((), ())
    file.save("a", Labels(state="new", subset="training"), file.video("a")[1], 10.0)
    assert load_annotations(file.path).videos == {}


def test_what_the_editor_does_not_know_stays(tmp_path: Path) -> None:
    entry = {
        "subset": "training", "url": "u", "note": {"not": "ours"}, "annotated": [[0, 5]],
        "annotations": [{"label": "jump", "segment": [1, 2], "id": 7}],
    }  # fmt: skip
    file = opened(tmp_path, {"a": entry, "b": {"subset": "x", "annotations": None, "more": 1}})
    labels, _ = file.video("a")
    saved(file, labels.model_copy(update={"actions": (*labels.actions, RUN)}))
    text = json.loads(file.path.read_text())
    assert text["version"] == "mine" and text["database"]["b"]["more"] == 1
    after = text["database"]["a"]
    assert (after["url"], after["note"], after["annotated"]) == ("u", {"not": "ours"}, [[0, 5]])
    assert after["annotations"][0] == {"id": 7, "label": "jump", "segment": [1, 2]}


def test_an_edit_that_began_from_other_labels_is_refused(tmp_path: Path) -> None:
    file = opened(tmp_path)
    _, before = file.video("a")
    saved(file, Labels(state="done", subset="t", actions=(JUMP,)))
    text = file.path.read_text()
    with pytest.raises(Changed, match="was changed elsewhere") as refused:
        file.save("a", Labels(state="done", subset="t", actions=(RUN,)), before, 10.0)
    assert refused.value.labels.actions == (JUMP,) and file.path.read_text() == text
    file.save("a", Labels(state="done", subset="t"), refused.value.revision, 10.0)


def test_another_program_s_change_of_another_video_is_kept(tmp_path: Path) -> None:
    mine, other = opened(tmp_path), opened(tmp_path)
    saved(mine, Labels(state="done", subset="t", actions=(JUMP,)), "a")
    saved(other, Labels(state="done", subset="t", actions=(RUN,)), "b")
    saved(mine, Labels(state="done", subset="t"), "c")
    assert sorted(load_annotations(mine.path).videos) == ["a", "b", "c"]


def test_a_file_that_was_broken_meanwhile_is_not_written_over(tmp_path: Path) -> None:
    file = opened(tmp_path)
    saved(file, Labels(state="done", subset="t", actions=(JUMP,)))
    file.path.write_text("{")
    with pytest.raises(InputError, match="not JSON"):
        file.save("a", Labels(state="done", subset="t"), "x", 10.0)
    assert file.path.read_text() == "{"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("[]", "which is what is edited"),
        (
            '{"database": {"a": {"subset": "t", "subset": "u", "annotations": []}}}',
            "more than once",
        ),
        ('{"database": {"a": {"subset": "t", "annotations": [{"label": "x"}]}}}', "'segment'"),
    ],
)
def test_what_would_lose_something_is_refused_at_once(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "annotations.json").write_text(text)
    with pytest.raises(InputError, match=says):
        opened(tmp_path)


def test_our_own_members_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    file = opened(tmp_path, {"a": {"subset": "t", "annotations": [], "unfinished": True}})
    with pytest.raises(InputError, match=r"annotations.json: .a.: cannot be edited"):
        file.video("a")


def test_names_are_found_in_either_form_of_their_accents(tmp_path: Path) -> None:
    file = opened(tmp_path, {"cafe\u0301": {"subset": "t", "annotations": []}})
    saved(file, Labels(state="done", subset="t", actions=(JUMP,)), "caf\u00e9")
    assert list(json.loads(file.path.read_text())["database"]) == ["cafe\u0301"]


def test_one_new_video_in_five_is_to_measure_on(tmp_path: Path) -> None:
    file = opened(tmp_path)
    subsets = []
    for n in range(11):
        subsets.append(file.next_subset())
        saved(file, Labels(state="done", subset=subsets[-1], actions=(JUMP,)), f"v{n}")
    assert [n for n, name in enumerate(subsets) if name == "validation"] == [1, 6]
    assert file.subsets() == ["training", "validation"]


def test_the_file_s_own_names_of_subsets_are_taken(tmp_path: Path) -> None:
    file = opened(tmp_path, {"a": {"subset": "train"}, "b": {"subset": "test"}})
    assert (file.next_subset(), file.subsets()) == ("train", ["train", "test"])


seconds = st.floats(0, 10).map(lambda s: round(s, 6))
spans = st.tuples(seconds, seconds).map(sorted)


@settings(max_examples=25)
@given(st.lists(spans, max_size=4), st.sampled_from(["begun", "done"]))
def test_stretches_survive_any_number_of_savings(
    tmp_path_factory: pytest.TempPathFactory, unseen: list[list[float]], state: Any
) -> None:
    """What is unseen is the same set of instants after writing and reading."""
    file = opened(tmp_path_factory.mktemp("f"))
    stretches = tuple(Span(start_sec=a, end_sec=b) for a, b in unseen)
    saved(file, Labels(state=state, subset="t", unseen=stretches))
    once, revision = file.video("a")
    file.save("a", once, revision, 10.0)
    assert file.video("a") == (once, revision)
    for t in (0.0, 0.5, 3.25, 9.5):
        inside = any(a < t < b for a, b in unseen)
        assert inside == any(s.start_sec < t < s.end_sec for s in once.unseen)
