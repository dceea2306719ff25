"""Files of arrays: what is written is read, and what is damaged is refused in one line."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tsatal.errors import InputError
from tsatal.formats import limits
from tsatal.formats.tensors import read_tensors, tensor_bytes, write_tensors

ARRAYS = {
    "weight": np.arange(12, dtype=np.float32).reshape(3, 4) / 7,
    "count": np.array(5, dtype=np.int64),
    "none": np.zeros((0, 4), dtype=np.float64),
    "mask": np.array([True, False]),
}


def written(path: Path, header: object, numbers: bytes = b"") -> Path:
    """Write a file of a header and numbers, and return its path."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + numbers)
    return path


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_tensors(tmp_path / "t.safetensors", ARRAYS, {"epoch": "3"})
    arrays, facts = read_tensors(tmp_path / "t.safetensors")
    assert facts == {"epoch": "3"} and list(arrays) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype and arrays[name].flags.writeable
        np.testing.assert_array_equal(arrays[name], array)


def test_the_library_reads_and_writes_the_same(tmp_path: Path) -> None:
    library = pytest.importorskip("safetensors.numpy", reason="safetensors is not installed")
    write_tensors(tmp_path / "ours", ARRAYS, {"epoch": "3"})
    library.save_file(ARRAYS, tmp_path / "theirs")
    for arrays in (library.load_file(tmp_path / "ours"), read_tensors(tmp_path / "theirs")[0]):
        assert set(arrays) == set(ARRAYS)
        for name, array in ARRAYS.items():
            np.testing.assert_array_equal(arrays[name], array)


def test_a_type_that_the_format_lacks_is_told() -> None:
    with pytest.raises(ValueError, match="x: arrays of complex128 have no place"):
        tensor_bytes({"x": np.zeros(2, dtype=complex)})


ENTRY = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    "header",
    [
        b"\xff",
        b"{",
        b"[]",
        b"[" * 5000,
        {"w": 5},
        {"w": {}},
        {"w": ENTRY | {"dtype": "O"}},
        {"w": ENTRY | {"dtype": ["F32"]}},
        {"w": ENTRY | {"shape": [3]}},
        {"w": ENTRY | {"shape": [-1, -2]}},
        {"w": ENTRY | {"shape": [2.0]}},
        {"w": ENTRY | {"shape": 2}},
        {"w": ENTRY | {"data_offsets": [0]}},
        {"w": ENTRY | {"data_offsets": [8, 16]}},
        {"w": ENTRY | {"data_offsets": [-8, 0]}},
        {"__metadata__": 5},
    ],
)
def test_a_damaged_header_is_refused(tmp_path: Path, header: Any) -> None:
    path = written(tmp_path / "t.safetensors", header, bytes(8))
    with pytest.raises(InputError, match=r"t\.safetensors: damaged, or no safetensors file"):
        read_tensors(path)


@pytest.mark.parametrize("content", [b"", b"\xff" * 8, b"\xff" * 100, b"PK\3\4" * 9])
def test_another_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "t").write_bytes(content)
    with pytest.raises(InputError, match="t: damaged, or no safetensors file"):
        read_tensors(tmp_path / "t")


def test_a_file_that_is_too_large_is_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tensors(tmp_path / "t", {"w": np.zeros(1000, dtype=np.float32)})
    monkeypatch.setattr(limits, "_allowed", 4000)
    with pytest.raises(InputError, match="t: read as a whole it would take"):
        read_tensors(tmp_path / "t")
