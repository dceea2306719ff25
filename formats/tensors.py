"""Arrays by name in one file, in the safetensors format: a header in JSON, then plain numbers.

Nothing in such a file can be run, and its size is known before any of it is read. What is written
here is read by the safetensors library too, and the other way round; it needs none.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, shown
from .atomic import replacing
from .limits import check_json, read_bytes

TENSORS_SUFFIX = ".safetensors"
LENGTH = 8  # bytes before the header, which hold its length
MAX_HEADER = 2**24  # bytes
FACTOR = 3  # bytes of memory for each of the file: read, copied, and handed on
FACTS = "__metadata__"
TYPES = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2",
    "I8": "|i1", "U8": "|u1", "BOOL": "|b1",
}  # fmt: skip
NAMES = {np.dtype(code): name for name, code in TYPES.items()}


def tensor_bytes(arrays: Mapping[str, np.ndarray], facts: Mapping[str, str] | None = None) -> bytes:
    """Return a safetensors file's content: arrays by name, and facts about them.

    Raises:
        ValueError: an array of a type that the format lacks.
    """
    header: dict[str, Any] = {FACTS: dict(facts)} if facts else {}
    parts, end = [], 0
    for name, array in arrays.items():
        stored = np.asarray(array, dtype=array.dtype.newbyteorder("<"))
        if stored.dtype not in NAMES:
            raise ValueError(f"{name}: arrays of {array.dtype} have no place in safetensors")
        begin, end = end, end + stored.nbytes
        kind, shape = NAMES[stored.dtype], list(stored.shape)
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [begin, end]}
        parts.append(stored.tobytes())
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # so that numbers lie where a processor likes them
    return b"".join([len(text).to_bytes(LENGTH, "little"), text, *parts])


def write_tensors(
    path: str | Path, arrays: Mapping[str, np.ndarray], facts: Mapping[str, str] | None = None
) -> None:
    """Write a safetensors file, whole or not at all; see `tensor_bytes`."""
    content = tensor_bytes(arrays, facts)
    with replacing(path) as aside:
        aside.write_bytes(content)


def read_tensors(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Return the arrays of a safetensors file by name, and what it says of them.

    Raises:
        InputError: no such file, one that is too large, or damaged.
    """
    content = read_bytes(path, needs="a safetensors file", factor=FACTOR)
    try:
        header, numbers = _header(content, str(path))
        facts = {str(key): str(value) for key, value in header.pop(FACTS, {}).items()}
        arrays = {name: _array(entry, numbers) for name, entry in header.items()}
    except InputError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as e:
        said = " ".join(str(e).split()) or type(e).__name__
        raise InputError(
            f"{path}: damaged, or no safetensors file ({said:.100}); copy it again"
        ) from None
    return arrays, facts


def _header(content: bytes, source: str) -> tuple[dict[str, Any], memoryview]:
    """Return the header, and the bytes that it speaks of."""
    length = int.from_bytes(content[:LENGTH], "little")
    if length > min(MAX_HEADER, len(content) - LENGTH):
        raise ValueError(f"its header would have {length:,} bytes")
    text = content[LENGTH : LENGTH + length].decode("utf-8")
    check_json(text, source)
    header = json.loads(text)
    if not isinstance(header, dict):
        raise ValueError("its header is no object")
    return header, memoryview(content)[LENGTH + length :]


def _array(entry: Mapping[str, Any], numbers: memoryview) -> np.ndarray:
    if entry["dtype"] not in TYPES:
        raise ValueError(f"numbers of type {shown(entry['dtype'])}")
    kind, shape, (begin, end) = (
        np.dtype(TYPES[entry["dtype"]]),
        entry["shape"],
        entry["data_offsets"],
    )
    if not all(type(n) is int and n >= 0 for n in (*shape, begin, end)):
        raise ValueError("a shape or a place that is no whole number")
    if end > len(numbers) or end - begin != math.prod(shape) * kind.itemsize:
        raise ValueError("its numbers are fewer or more than their shape says")
    array = np.frombuffer(numbers[begin:end], kind).reshape(shape)
    return array.astype(kind.newbyteorder("="))  # a copy, which may be written to
