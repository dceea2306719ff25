"""Broken inputs: seeded mutations of bytes, of JSON-like values, and of feature files."""

from __future__ import annotations

import copy
import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

# Values that have broken programs before.
NASTY: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 3.5, -0.0, 1e308, -1e308, 5e-324, 10**30, 10**400, 2**63,
    float("nan"), float("inf"), "", " ", "a", "../x", "a/b", "/etc/passwd", "..", ".", "-",
    "--help", "x" * 300, "x" * 15_000, "\x1b]0;x\x07",
    "\u202e", "9" * 30, 1e38, -1e300, 1e-300, "é" * 130, "\ud800", "\0", "\n",
    "\x1b[31m", "日本", "%s%n{0}", "$x_1^2$",
    [], {}, [[]], [None], [1], [1, 2], [2, 1], [1, 2, 3], ["a", "b"], {"a": 1}, {"": None},
    [[[[[[[[[[]]]]]]]]]],
)  # fmt: skip


def mutated_bytes(content: bytes, dice: random.Random) -> bytes:
    """Return bytes that differ in a few places, are cut short, or hold a stretch twice."""
    data = bytearray(content)
    for _ in range(dice.choice((1, 1, 2, 5, 20))):
        at = dice.randrange(len(data) + 1)
        kind = dice.randrange(6)
        if kind == 0:
            data = data[:at]
        elif kind == 1 and data:
            at = min(at, len(data) - 1)
            data[at] ^= 1 << dice.randrange(8)
        elif kind == 2:
            data[at : at + dice.randrange(1, 9)] = dice.randbytes(dice.randrange(1, 9))
        elif kind == 3:
            data[at:at] = data[max(at - dice.randrange(1, 200), 0) : at]
        elif kind == 4:
            del data[at : at + dice.randrange(1, 200)]
        else:
            data[at : at + 4] = dice.choice((b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff"))
        if not data:
            break
    return bytes(data)


def mutated_text(text: str, dice: random.Random) -> bytes:
    """Return a text file that somebody has edited carelessly."""
    if dice.random() < 0.02:
        opening, closing = dice.choice((("[", "]"), ('{"a":', "}")))
        return (opening * 100_000 + dice.choice(("", closing * 100_000))).encode()
    if dice.random() < 0.03:
        return text.encode(dice.choice(("utf-16", "utf-8-sig", "utf-32")))
    if dice.random() < 0.5:
        return mutated_bytes(text.encode(), dice)
    for _ in range(dice.choice((1, 1, 3))):
        at = dice.randrange(len(text) + 1)
        what = dice.choice(
            ("{", "}", "[", "]", '"', ",", ":", "\\", "\\ud800", "NaN", "1e999", "9" * 5000, "null",
             "&a ", "*a ", "!!int x", "!!python/object/apply:os.system [true]", "2001-99-99", "? ",
             "- ", "\t", "\r", "\u2028", "#", "|", ">", "%YAML 9", "---\n", "\n...\n",
             "0x" + "f" * 5000)
        )  # fmt: skip
        text = text[:at] + what + text[at + dice.choice((0, 0, 1, 5)) :]
    return text.encode()


def mutated_value(
    value: Any, dice: random.Random, *, times: int = 0, nasty: Sequence[Any] = NASTY
) -> Any:
    """Return a copy of nested lists and dictionaries that differs in a few places.

    Every other change keeps the type of what it changes, and so gets further.
    """
    root = [copy.deepcopy(value)]
    for _ in range(times or dice.choice((1, 1, 2, 4))):
        places = list(_places(root))
        holder, key = dice.choice(places)
        kind = dice.randrange(5)
        if kind == 0 and holder is not root:
            del holder[key]
        elif kind == 1 and isinstance(holder, dict):
            holder[dice.choice(("", "x", "../x", "a/b", "\ud800", "y" * 300, f"{key}x"))] = (
                holder.pop(key) if dice.random() < 0.7 else holder[key]
            )
        elif kind == 2 and isinstance(holder, list) and holder is not root:
            holder.insert(key, copy.deepcopy(holder[key]))
        else:
            alike = [v for v in nasty if _kind(v) is _kind(holder[key])]
            if dice.random() < 0.5:
                alike = []
            holder[key] = copy.deepcopy(dice.choice(alike or nasty))
    return root[0]


def _kind(value: Any) -> type:
    return float if type(value) is int else type(value)


def _places(holder: Any) -> Any:
    pairs = holder.items() if isinstance(holder, dict) else enumerate(holder)
    for key, value in list(pairs):
        yield holder, key
        if isinstance(value, dict | list):
            yield from _places(value)


def mutate_features(path: Path, out: Path, dice: random.Random) -> str:
    """Write a damaged copy of a feature file, and return what was done to it."""
    if dice.random() < 0.4:
        out.write_bytes(mutated_bytes(path.read_bytes(), dice))
        return "bytes"
    shutil.copy(path, out)
    done = []
    with h5py.File(out, "a") as file:
        for _ in range(dice.choice((1, 1, 2))):
            name = dice.choice(sorted(_CHANGES))
            done.append(name)
            try:
                _CHANGES[name](file, dice)
            except (LookupError, ValueError, TypeError, OSError, RuntimeError, AttributeError):
                done.append("(in vain)")  # an earlier change has left nothing to change
    return " ".join(done)


def _any_object(file: h5py.File, dice: random.Random) -> Any:
    names: list[str] = ["/"]
    file.visit(names.append)
    return file[dice.choice(names)]


def _video(file: h5py.File, dice: random.Random) -> h5py.Group:
    return file["videos"][dice.choice(sorted(file["videos"]))]


def _drop_attribute(file: h5py.File, dice: random.Random) -> None:
    attrs = _any_object(file, dice).attrs
    del attrs[dice.choice(sorted(attrs))]


def _change_attribute(file: h5py.File, dice: random.Random) -> None:
    attrs = _any_object(file, dice).attrs
    values = (
        "", "x", b"\xff\xfe", 0, -1, 2, 1e308, 5e-324, np.nan, np.inf, np.zeros(3),
        np.zeros((2, 2)), h5py.Empty("f"), np.array(["a", "b"], dtype="S1"), 10**18, 1j,
        "{}", "[" * 50_000, "null", "[1]", "\ud83d", True, np.array([], dtype=float),
        '{"weights": 3, "fps": {}}',
    )  # fmt: skip
    key = dice.choice(sorted(attrs) or ["step_sec"])
    value = dice.choice(values)
    attrs[key] = value


def _drop_object(file: h5py.File, dice: random.Random) -> None:
    del file[_any_object(file, dice).name]


def _other_rows(file: h5py.File, dice: random.Random) -> None:
    group = _video(file, dice)
    wild = np.full((9, 8), dice.choice((np.nan, np.inf, 1e38, -1e38, 1e300, 0.0)))
    tables = (
        np.zeros(8), np.zeros((0, 8)), np.zeros((9, 0)), np.zeros((9, 8, 2)), np.float32(3), wild,
        np.zeros((9, 7)), np.zeros((9, 8), complex), np.zeros((9, 8), "i8"), np.zeros((9, 8), bool),
        np.array([[b"a"] * 8] * 9), np.zeros((9, 8), [("a", "f4")]), np.zeros((1, 8)),
        h5py.Empty("f"), np.zeros((9, 8), "f2"),
    )  # fmt: skip
    name = dice.choice(("rgb", "rgb", "flow", "other"))
    if name in group:
        del group[name]
    group[name] = dice.choice(tables)


def _huge(file: h5py.File, dice: random.Random) -> None:
    group = _video(file, dice)
    del group["rgb"]
    shape = dice.choice(((10**9, 8), (10**5, 10**5), (8, 10**9), (2**40, 2**20)))
    packing = dice.choice(({}, {"chunks": (64, 8), "compression": "gzip"}, {"chunks": (64, 8)}))
    group.create_dataset("rgb", shape=shape, dtype="f4", **packing)


def _elsewhere(file: h5py.File, dice: random.Random) -> None:
    """Rows in other files, which may be devices; links that lead in circles; a huge chunk."""
    group = _video(file, dice)
    kind = dice.randrange(6)
    name = dice.choice(("rgb", "rgb", "flow"))
    if name in group:
        del group[name]
    if kind == 0:
        group[name] = h5py.ExternalLink(dice.choice(("/dev/zero", "/dev/stdin", "x.h5", "")), "/x")
    elif kind == 1:
        layout = h5py.VirtualLayout((dice.choice((9, 10**9)), 8), "f4")
        layout[:9] = h5py.VirtualSource(dice.choice((".", "/dev/zero", "x.h5")), "x", (9, 8))
        group.create_virtual_dataset(name, layout)
    elif kind == 2:
        size = dice.choice((288, h5py.h5f.UNLIMITED))
        group.create_dataset(name, (9, 8), "f4", external=[("/dev/zero", 0, size)])
    elif kind == 3:
        group["a"], group[name] = h5py.SoftLink(f"{group.name}/{name}/a"), h5py.SoftLink("a/a/a")
    elif kind == 4:
        rows = group.create_dataset(
            name, (40, 8), "f4", chunks=(4 * 10**7, 8), compression="gzip", maxshape=(None, 8)
        )
        rows.id.write_direct_chunk((0, 0), bytes(10**6))
    else:
        file.move("videos", "others")
        file["videos"] = dice.choice((h5py.SoftLink("/others"), h5py.ExternalLink(".", "/others")))


def _other_kind(file: h5py.File, dice: random.Random) -> None:
    name = dice.choice(("videos", "annotations", _video(file, dice).name, "projection"))
    if name in file:
        del file[name]
    kinds: tuple[Any, ...] = (
        None, 3, "text", np.zeros(3), b"\xff\xfe", h5py.SoftLink("/nowhere"), h5py.SoftLink("/"),
        h5py.SoftLink("/videos"), h5py.ExternalLink("/nowhere.h5", "/"), np.dtype("f4"),
    )  # fmt: skip
    kind = dice.choice(kinds)
    if kind is None:
        file.create_group(name)
    else:
        file[name] = kind


def _other_name(file: h5py.File, dice: random.Random) -> None:
    old = _video(file, dice).name
    new = dice.choice(("..", "é" * 150, "x" * 1000, "a\nb", "a b", ".hidden", "a/b", "-x"))
    file.move(old, f"videos/{new}")


def _loop(file: h5py.File, dice: random.Random) -> None:
    group = _video(file, dice)
    group[dice.choice(("again", "flow"))] = dice.choice((file["/"], file["videos"], group))


def _other_annotations(file: h5py.File, dice: random.Random) -> None:
    text = file["annotations"].asstr()[()]
    del file["annotations"]
    broken = mutated_text(text, dice).replace(b"\0", b" ")
    file["annotations"] = broken if dice.random() < 0.5 else broken.decode(errors="ignore")


_CHANGES = {
    "drop an attribute": _drop_attribute,
    "change an attribute": _change_attribute,
    "drop an object": _drop_object,
    "other rows": _other_rows,
    "huge": _huge,
    "elsewhere": _elsewhere,
    "other kind": _other_kind,
    "other name": _other_name,
    "loop": _loop,
    "other annotations": _other_annotations,
}
