"""Arrays as others store them, what cannot be read, and which video an array belongs to."""

import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from tsatal.errors import InputError
from tsatal.exchange.arrays import (
    CSV_ENDINGS,
    ENDINGS,
    Entry,
    assign_ids,
    datasets_in,
    files_in,
    open_source,
    video_id_of,
)
from tsatal.exchange.layouts import ImportSettings

ROWS = np.arange(12, dtype=np.float32).reshape(4, 3)


def read_all(entries: list[Entry]) -> dict[str, np.ndarray]:
    return {entry.stem: entry.read() for entry in entries}


def test_every_kind_of_file_gives_the_same_rows(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", ROWS)
    np.savez_compressed(tmp_path / "b.npz", feats=ROWS)
    torch.save(torch.from_numpy(ROWS), tmp_path / "c.pt")
    torch.save({"x": torch.from_numpy(ROWS).bfloat16(), "n": 3}, tmp_path / "d.PTH")
    (tmp_path / "e.csv").write_text("not looked at")
    found = read_all(files_in(tmp_path, ENDINGS))
    assert list(found) == ["a", "b", "c", "d"]
    for rows in found.values():
        np.testing.assert_array_equal(rows, ROWS)


@pytest.mark.parametrize("header", ["f0,f1,f2\n", "0,1,2\n", ""])
def test_a_table_has_a_first_line_of_names_or_none(tmp_path: Path, header: str) -> None:
    lines = "\n".join(",".join(map(str, row)) for row in (ROWS + 5).tolist())
    (tmp_path / "a.csv").write_text(header + lines + "\n")
    np.testing.assert_array_equal(read_all(files_in(tmp_path, CSV_ENDINGS))["a"], ROWS + 5)


def test_a_table_with_numbered_rows_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(",f0\n0,0.5\n1,0.7\n")
    with pytest.raises(InputError, match="first column numbers the rows"):
        read_all(files_in(tmp_path, CSV_ENDINGS))


def test_hidden_files_folders_and_another_stream_are_left_out(tmp_path: Path) -> None:
    for name in ("a.npy", "sub/b.npy", ".hidden/c.npy", "._a.npy", "flow/a.npy"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        np.save(tmp_path / name, ROWS)
    (tmp_path / "folder.npy").mkdir()
    source = files_in(tmp_path, ENDINGS, without=tmp_path / "sub" / ".." / "flow")
    assert list(read_all(source)) == ["a", "b"]
    assert list(read_all(files_in(tmp_path / "a.npy", ENDINGS))) == ["a"]


def test_no_file_runs_code(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (tmp_path / "ran",)  # type: ignore[return-value]

    torch.save({"x": Evil()}, tmp_path / "a.pt")
    np.save(tmp_path / "b.npy", np.array([Evil()], dtype=object), allow_pickle=True)
    (tmp_path / "c.npy").write_bytes(pickle.dumps(Evil()))
    (tmp_path / "d.npz").write_bytes(pickle.dumps(Evil()))
    for entry in files_in(tmp_path, ENDINGS):
        with pytest.raises(InputError, match=f"{entry.stem}.*cannot be read"):
            entry.read()
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("ending", ENDINGS)
def test_every_damage_names_the_file(tmp_path: Path, ending: str) -> None:
    whole = tmp_path / f"whole{ending}"
    if ending == ".npy":
        np.save(whole, ROWS)
    elif ending == ".npz":
        np.savez_compressed(whole, ROWS)
    else:
        torch.save(torch.from_numpy(ROWS), whole)
    content = whole.read_bytes()
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    for cut in range(0, len(content), max(1, len(content) // 40)):
        (damaged / f"v{ending}").write_bytes(content[:cut])
        [entry] = files_in(damaged, ENDINGS)
        with pytest.raises(InputError, match=rf"v\{ending}: "):
            entry.read()


def test_a_tensor_is_needed(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "a.pt")
    with pytest.raises(InputError, match=r"a\.pt: holds a list, a tensor is needed"):
        read_all(files_in(tmp_path, ENDINGS))


def test_a_container_has_datasets_or_groups_of_them(tmp_path: Path) -> None:
    path = tmp_path / "c.h5"
    with h5py.File(path, "w") as file:
        file["plain"] = ROWS
        file["only/one"] = ROWS + 1
        file["two/feats"], file["two/more"] = ROWS + 2, ROWS
        file["broken"] = h5py.ExternalLink("nowhere.h5", "x")
    found: dict[str, object] = {}
    with datasets_in(path) as entries:
        for entry in entries:
            try:
                found[entry.stem] = entry.read()[0, 0]
            except InputError as error:
                found[entry.stem] = str(error).removeprefix(f"{path}: ")
    assert found["plain"] == 0 and found["only"] == 1
    assert found["two"] == "two: name one of its arrays with --key; it has: feats, more"
    assert str(found["broken"]).startswith("broken: cannot be read")
    with datasets_in(path, key="feats") as entries:
        assert entries[3].read()[0, 0] == 2


def test_what_is_no_container_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.h5").write_text("text")
    with pytest.raises(InputError, match="not an HDF5 file"), datasets_in(tmp_path / "a.h5"):
        pass
    h5py.File(tmp_path / "b.h5", "w").close()
    with pytest.raises(InputError, match="holds no features"), datasets_in(tmp_path / "b.h5"):
        pass


def test_a_container_stays_open_until_the_with_statement_ends(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file["v"] = ROWS
    with open_source(tmp_path / "c.h5", named()) as [entry]:
        np.testing.assert_array_equal(entry.read(), ROWS)
    with h5py.File(tmp_path / "c.h5", "a") as file:  # another may write it again
        file["w"] = ROWS


def named(prefix: str | None = None, suffix: str = "") -> ImportSettings:
    return ImportSettings(format="npy", prefix=prefix, suffix=suffix)


@pytest.mark.parametrize(
    "naming, stem, found",
    [
        (named(), "a", "a"),
        (named(), "v_a", "a"),
        (named(), "b", "v_b"),
        (named(), "v_v_b", "v_b"),
        (named(), "v_unknown", "v_unknown"),
        (named(""), "v_a", "v_a"),
        (named("v_"), "v_a", "a"),
        (named("v_"), "a", None),
        (named(None, "-rgb"), "v_a-rgb", "a"),
        (named(None, "-rgb"), "v_a", None),
        (named("ab", "bc"), "abc", None),  # they must not overlap
        (named("ab", "c"), "abc", ""),
    ],
)
def test_ids_are_what_prefix_and_suffix_leave(
    naming: ImportSettings, stem: str, found: str | None
) -> None:
    assert video_id_of(stem, naming, {"a", "v_b"}, naming.suffix) == found


def array(stem: str, where: str) -> Entry:
    return Entry(stem, where, lambda: ROWS)


def test_of_two_arrays_of_one_video_the_first_counts() -> None:
    entries = [array("a", "x/a.npy"), array("v_a", "y/v_a.npy"), array("b", "b.npy")]
    assigned = assign_ids(entries, named(), {"a"})
    assert assigned.entries == {"a": entries[0], "b": entries[2]}
    assert list(assigned.refused) == ["y/v_a.npy"]
    assert "has the id 'a' of x/a.npy" in assigned.refused["y/v_a.npy"]


def test_ids_that_hdf5_would_take_for_a_path_are_refused() -> None:
    stems = ["v_", "v_.", "v_x/y", "v_a\0", "v_\udcff", "v_ok", "other"]
    assigned = assign_ids([array(s, f"{s}.npy") for s in stems], named("v_"), ())
    assert list(assigned.entries) == ["ok"] and assigned.others == 1
    assert len(assigned.refused) == 5
    for reason in assigned.refused.values():
        reason.encode()  # it can be printed
