"""Which video an array belongs to, and names that are nobody's."""

import pytest

from tsatal.exchange.arrays import Entry
from tsatal.exchange.ids import Naming, assign_ids


@pytest.mark.parametrize(
    "naming, stem, found",
    [
        (Naming(), "a", "a"),
        (Naming(), "v_a", "a"),
        (Naming(), "b", "v_b"),
        (Naming(), "v_v_b", "v_b"),
        (Naming(), "v_unknown", "v_unknown"),
        (Naming(""), "v_a", "v_a"),
        (Naming("v_"), "v_a", "a"),
        (Naming("v_"), "a", None),
        (Naming(None, "-rgb"), "v_a-rgb", "a"),
        (Naming(None, "-rgb"), "v_a", None),
        (Naming("ab", "bc"), "abc", None),  # they must not overlap
        (Naming("ab", "c"), "abc", ""),
    ],
)
def test_ids_are_what_prefix_and_suffix_leave(naming: Naming, stem: str, found: str | None) -> None:
    assert naming.video_id(stem, {"a", "v_b"}) == found


def test_of_two_arrays_of_one_video_the_first_counts() -> None:
    entries = [Entry("a", "x/a.npy"), Entry("v_a", "y/v_a.npy"), Entry("b", "b.npy")]
    assigned = assign_ids(entries, Naming(), {"a"})
    assert assigned.entries == {"a": entries[0], "b": entries[2]}
    assert list(assigned.refused) == ["y/v_a.npy"]
    assert "has the id 'a' of x/a.npy" in assigned.refused["y/v_a.npy"]


def test_ids_that_hdf5_would_take_for_a_path_are_refused() -> None:
    stems = ["v_", "v_.", "v_x/y", "v_a\0", "v_\udcff", "v_ok", "other"]
    assigned = assign_ids([Entry(s, f"{s}.npy") for s in stems], Naming("v_"), ())
    assert list(assigned.entries) == ["ok"] and assigned.others == 1
    assert len(assigned.refused) == 5
    for reason in assigned.refused.values():
        reason.encode()  # it can be printed
