"""Whole videos are divided, and every class has its share in both subsets."""

import json
import logging
import random
from collections import Counter
from typing import Any

import pytest

from tsatal.errors import InputError
from tsatal.formats.annotations import (
    AnnotatedVideo,
    Annotations,
    Instance,
    annotations_json,
    parse_annotations,
)
from tsatal.formats.split import divide, split

SHARES = {"training": 0.7, "validation": 0.3}


def truth(counts: dict[str, dict[str, int]], subset: str = "") -> Annotations:
    videos = [
        AnnotatedVideo(
            k, subset, None, tuple(Instance(c, 0, 1) for c, n in v.items() for _ in range(n))
        )
        for k, v in counts.items()
    ]
    return parse_annotations(annotations_json(videos), source="a.json")


def test_classes_are_balanced_by_instances() -> None:
    rng = random.Random(0)
    counts = {
        f"v{n:03d}": {c: rng.randrange(4) for c in "abcde" if rng.random() < 0.5}
        for n in range(100)
    }
    chosen = divide(truth(counts).videos, SHARES, seed=0)
    assert 60 <= sum(s == "training" for s in chosen.values()) <= 80
    for label in "abcde":
        in_train = sum(v.get(label, 0) for k, v in counts.items() if chosen[k] == "training")
        assert in_train / sum(v.get(label, 0) for v in counts.values()) == pytest.approx(
            0.7, abs=0.03
        )


def test_long_videos_come_to_both() -> None:
    counts = {f"v{n:02d}": {"ab"[n % 2]: 1 + n % 9} for n in range(60)}
    chosen = divide(truth(counts).videos, SHARES)
    train = [v for v in counts if chosen[v] == "training"]
    assert len(train) == pytest.approx(42, abs=3)
    actions = sum(sum(counts[v].values()) for v in train)
    assert actions / sum(sum(c.values()) for c in counts.values()) == pytest.approx(0.7, abs=0.02)


def test_a_rare_class_is_in_both_where_it_can_be_and_else_in_training() -> None:
    counts = {f"v{n}": {"often": 3} for n in range(10)}
    counts |= {"x": {"twice": 1, "often": 1}, "y": {"twice": 1}, "z": {"once": 1}}
    for seed in range(20):
        chosen = divide(truth(counts).videos, SHARES, seed=seed)
        assert {chosen["x"], chosen["y"]} == {"training", "validation"}
        assert chosen["z"] == "training"


def test_videos_without_actions_are_divided_too() -> None:
    chosen = divide(truth({f"v{n}": {} for n in range(10)}).videos, SHARES, seed=3)
    assert Counter(chosen.values()) == {"training": 7, "validation": 3}


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_both_subsets_have_a_video(share: float) -> None:
    shares = {"training": share, "validation": 1 - share}
    chosen = divide(truth({"a": {"x": 1}, "b": {"x": 5}}).videos, shares)
    assert set(chosen.values()) == set(shares)


def test_five_folds_are_balanced_and_none_is_empty() -> None:
    folds = {f"fold {n}": 0.2 for n in range(5)}
    chosen = divide(truth({f"v{n}": {"a": 1, "b": n % 2} for n in range(20)}).videos, folds)
    assert Counter(chosen.values()) == dict.fromkeys(folds, 4)
    odd = Counter(chosen[f"v{n}"] for n in range(1, 20, 2))
    assert odd == dict.fromkeys(folds, 2)
    for few in ({"a": {"x": 9}, "b": {"x": 9}, "c": {}, "d": {}, "e": {"y": 1}}, {"a": {"x": 1}}):
        assert len(set(divide(truth(few).videos, folds).values())) == len(few)


def test_a_name_in_another_spelling_gets_its_subset_in_the_json() -> None:
    raw: dict[str, Any] = {"database": {"cafe\u0301": {}, "b": {}}}
    divided = split(parse_annotations(json.dumps(raw), source="a.json"), 0.5)
    again = parse_annotations(divided.text, source="a.json")
    assert {k: v.subset for k, v in again.videos.items()} == {
        k: v.subset for k, v in divided.videos.items()
    }
    assert set(again.subset_counts()) == {"training", "validation"}


def test_what_was_not_annotated_stays_so() -> None:
    entry = {"annotated": [[0, 5]], "annotations": []}
    truth = parse_annotations(json.dumps({"database": {"a": entry, "b": {}}}), source="a.json")
    divided = split(truth, 0.5)
    assert divided.videos["a"].ignored == truth.videos["a"].ignored != ()
    assert json.loads(divided.text)["database"]["a"]["annotated"] == [[0, 5]]


def test_the_same_seed_divides_alike_whatever_the_order() -> None:
    counts = {f"v{n}": {"a": 1 + n % 3} for n in range(30)}
    turned = dict(reversed(counts.items()))
    first = divide(truth(counts).videos, SHARES, seed=1)
    assert divide(truth(turned).videos, SHARES, seed=1) == first
    assert divide(truth(counts).videos, SHARES, seed=2) != first


def test_the_json_has_the_subsets_and_keeps_what_else_it_has(
    caplog: pytest.LogCaptureFixture,
) -> None:
    raw = {"database": {k: {"fps": 25, "annotations": []} for k in "abcd"}, "version": 1}
    with caplog.at_level(logging.INFO):
        divided = split(parse_annotations(json.dumps(raw), source="a.json"), 0.5)
    written = json.loads(divided.text)
    assert written["version"] == 1 and written["database"]["a"]["fps"] == 25
    assert {k: v["subset"] for k, v in written["database"].items()} == {
        k: v.subset for k, v in divided.videos.items()
    }
    assert divided.subset_counts() == {"training": 2, "validation": 2}
    assert len(caplog.messages) == 2 and "2 videos with 0 actions: " in caplog.messages[0]


def test_only_some_videos_are_divided() -> None:
    divided = split(truth({k: {"x": 1} for k in "abcd"}), 0.5, among={"a", "b"})
    assert divided.videos["c"].subset == "" == divided.videos["d"].subset
    assert {divided.videos["a"].subset, divided.videos["b"].subset} == {"training", "validation"}


def test_what_cannot_be_divided() -> None:
    with pytest.raises(InputError, match=r"has subsets already: test \(1 video\); leave out"):
        split(truth({"a": {}}, "test"), 0.5)
    with pytest.raises(InputError, match="whole videos, and there is one"):
        split(truth({"a": {}}), 0.5)
    for share in (0, 1, -1, float("nan")):
        with pytest.raises(InputError, match="--split must lie between 0 and 1"):
            split(truth({"a": {}, "b": {}}), share)
