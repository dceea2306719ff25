"""Subset roles by name."""

import pytest

from tsatal.errors import InputError
from tsatal.formats.subsets import Subsets, choose_subsets


@pytest.mark.parametrize(
    "annotated, expected",
    [
        ({"training": 5, "validation": 5}, ("training", "validation", "validation")),
        ({"validation": 200, "test": 212}, ("validation", "test", "test")),  # THUMOS14
        ({"training": 9, "validation": 4, "testing": 0}, ("training", "validation", "validation")),
        ({"training": 9, "validation": 4, "testing": 3}, ("training", "validation", "testing")),
        ({"train": 9, "val": 4, "test": 2}, ("train", "val", "test")),
        ({"training": 9, "test": 2}, ("training", "test", "test")),
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


def test_a_subset_that_matches_nothing_lists_what_there_is() -> None:
    with pytest.raises(InputError, match=r"subset 'tset'; there are: 'training' \(5 videos\)"):
        choose_subsets({"training": 5, "validation": 5}, test="tset")


@pytest.mark.parametrize("annotated", [{}, {"all": 7}, {"training": 7}, {"validation": 7}])
def test_names_that_say_nothing_are_an_error_with_a_remedy(annotated: dict[str, int]) -> None:
    with pytest.raises(InputError, match=r"there are: .*--set data\.(train|test)_subset=NAME"):
        choose_subsets(annotated)
