"""Paths that are no files, files that unpack to more than a machine has, and numbers too large."""

from __future__ import annotations

import io
import json
import os
import pickle
import socket
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import h5py
import numpy as np
import torch

from .commands import Inputs

HUGE = 3 * 10**8  # values, more than memory may take
NO_FILES = (
    "zero", "null", "pipe", "socket", "loop", "nothing", "missing", "folder", "below a file",
    "long", "proc", "empty",
)  # fmt: skip


def no_file(kind: str, folder: Path, ending: str) -> Path | str:
    """Return a path of a name with that ending, at which there is no file."""
    path = folder / f"{kind.replace(' ', '_')}{ending}"
    if kind in ("zero", "null"):
        path.symlink_to(f"/dev/{kind}")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        here = os.getcwd()
        os.chdir(folder)  # the whole path may be too long for a socket
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
        os.chdir(here)
    elif kind == "loop":
        path.symlink_to(path.name)
    elif kind == "nothing":
        path.symlink_to("nowhere/at/all")
    elif kind == "folder":
        path.mkdir()
    elif kind == "below a file":
        (folder / "file").write_text("x")
        return folder / "file" / path.name
    elif kind == "long":
        return folder / ("x" * 15_000 + ending)
    elif kind == "proc":
        return Path("/proc/no") / path.name
    elif kind == "empty":
        return ""
    return path


def inputs_taking(inputs: Inputs) -> dict[str, tuple[str, Callable[[object], tuple[object, ...]]]]:
    """Return every place of a path to read, by name: the ending it should have, and the command."""
    video = min(inputs.videos.glob("*.mp4"))
    labels, found, toy, run = inputs.labels, inputs.found, inputs.toy, inputs.run
    cpu = ("--device", "cpu")
    tiny = ("--crop", "32", "--resize", "32", *cpu)
    take = ("--format", "npy", "--fps", "30", "--stride-frames", "4", "--window-frames", "16")
    return {
        "check": (".h5", lambda p: ("check", p)),
        "check json": (".json", lambda p: ("check", p)),
        "check --annotations": (".json", lambda p: ("check", toy, "--annotations", p)),
        "info": (".pt", lambda p: ("info", p)),
        "info h5": (".h5", lambda p: ("info", p)),
        "info json": (".json", lambda p: ("info", p)),
        "view VIDEO": (".mp4", lambda p: ("view", p, found, "--id", video.stem, "--out", "o.html")),
        "view": (".json", lambda p: ("view", video, p, "--out", "o.html")),
        "view --annotations": (
            ".json", lambda p: ("view", video, found, "--annotations", p, "--out", "o.html")),
        "evaluate --predictions": (
            ".json", lambda p: ("evaluate", "--predictions", p, "--annotations", labels)),
        "evaluate --annotations": (
            ".json", lambda p: ("evaluate", "--predictions", found, "--annotations", p)),
        "evaluate": ("", lambda p: ("evaluate", p, *cpu)),
        "evaluate --features": (
            ".h5", lambda p: ("evaluate", run, "--features", p, "--out", "o", *cpu)),
        "report": (".json", lambda p: ("report", "--predictions", p, "--annotations", labels,
                                       "--out", "o")),
        "train": (".h5", lambda p: ("train", "--features", p, "--out", "o", *cpu)),
        "train --config": (
            ".yaml", lambda p: ("train", "--features", toy, "--config", p, "--out", "o", *cpu)),
        "train --annotations": (
            ".json", lambda p: ("train", "--features", toy, "--annotations", p, "--out", "o")),
        "extract": (".mp4", lambda p: ("extract", p, "o.h5", "--weights", "random", *tiny)),
        "extract LIST": (".txt", lambda p: ("extract", p, "o.h5", "--weights", "random", *tiny)),
        "extract --annotations": (
            ".json", lambda p: ("extract", video, "o.h5", "--annotations", p, "--weights", "random",
                                *tiny)),
        "extract --weights": (".pt", lambda p: ("extract", video, "o.h5", "--weights", p, *tiny)),
        "extract --projection": (
            ".npy", lambda p: ("extract", video, "o.h5", "--projection", p, "--weights", "random",
                               *tiny)),
        "extract OUT": (".h5", lambda p: ("extract", video, p, "--weights", "random", *tiny)),
        "import": (".npy", lambda p: ("import", p, "o.h5", *take)),
        "import npz": (".npz", lambda p: ("import", p, "o.h5", *take)),
        "import pt": (".pt", lambda p: ("import", p, "o.h5", *take)),
        "import h5": (".h5", lambda p: ("import", p, "o.h5", *take)),
        "import bmn": (".csv", lambda p: ("import", p, "o.h5", "--format", "bmn")),
        "import --video-info": (
            ".csv", lambda p: ("import", inputs.arrays, "o.h5", *take, "--video-info", p)),
        "import --flow": (".npy", lambda p: ("import", inputs.arrays, "o.h5", *take, "--flow", p)),
        "export": (".h5", lambda p: ("export", p, "o")),
        "export-onnx": ("", lambda p: ("export-onnx", p, "o.onnx")),
        "detect": (".mp4", lambda p: ("detect", p, "--run", inputs.seen, "--out", "o", *cpu)),
        "detect h5": (".h5", lambda p: ("detect", p, "--run", inputs.seen, "--out", "o", *cpu)),
        "detect --annotations": (
            ".json", lambda p: ("detect", video, "--run", inputs.seen, "--annotations", p,
                                "--out", "o", *cpu)),
        "configs": (".yaml", lambda p: ("configs", p)),
    }  # fmt: skip


def outputs_taking(inputs: Inputs) -> dict[str, tuple[str, Callable[[object], tuple[object, ...]]]]:
    """Return every place of a path to write, as `inputs_taking` does."""
    video = min(inputs.videos.glob("*.mp4"))
    labels, found, toy = inputs.labels, inputs.found, inputs.toy
    cpu = ("--device", "cpu")
    measured = ("--predictions", found, "--annotations", labels, "--subset", "training")
    return {
        "extract": (".h5", lambda p: ("extract", video, p, "--weights", "random", *cpu)),
        "import": (".h5", lambda p: ("import", inputs.arrays, p, "--format", "npy", "--fps", "30",
                                     "--stride-frames", "4", "--window-frames", "16")),
        "train": ("", lambda p: ("train", "--features", toy, "--out", p, *cpu)),
        "evaluate": ("", lambda p: ("evaluate", *measured, "--out", p)),
        "evaluate --json": (".json", lambda p: ("evaluate", *measured, "--json", p)),
        "check --json": (".json", lambda p: ("check", toy, "--json", p)),
        "info --json": (".json", lambda p: ("info", toy, "--json", p)),
        "report": ("", lambda p: ("report", *measured, "--out", p)),
        "view": (".html", lambda p: ("view", video, found, "--out", p)),
        "export": ("", lambda p: ("export", toy, p)),
        "export-onnx": (".onnx", lambda p: ("export-onnx", inputs.run, p, "--steps", "16")),
        "export-pt2": (".pt2", lambda p: ("export-onnx", inputs.run, p, "--steps", "16")),
        "detect": ("", lambda p: ("detect", toy, "--run", inputs.run, "--out", p, *cpu)),
        "demo": ("", lambda p: ("demo", "--out", p, *cpu)),
    }  # fmt: skip


def npy_header(shape: str, descr: str = "'<f4'") -> bytes:
    """Return the beginning of an .npy file that states this shape and type."""
    told = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\1\0" + len(told).to_bytes(2, "little") + told


def sparse(path: Path, size: int, begin: bytes = b"") -> Path:
    """Write a file of that size, zeros after its beginning, which takes no room on the disk."""
    with path.open("wb") as file:
        file.write(begin)
        file.truncate(size)
    return path


def feature_file_of(toy: Path, path: Path, change: Callable[[h5py.File, h5py.Group], None]) -> Path:
    """Write a copy of a feature file whose videos have other rows."""
    path.write_bytes(toy.read_bytes())
    with h5py.File(path, "a") as file:
        for group in file["videos"].values():
            del group["rgb"]
            change(file, group)
    return path


def packed_zip(path: Path, name: str, begin: bytes = b"", size: int = 4 * HUGE) -> Path:
    """Write an archive with one member of that many bytes, packed a thousandfold."""
    info = zipfile.ZipInfo(name)
    info.compress_type = zipfile.ZIP_DEFLATED
    with (
        zipfile.ZipFile(path, "w", compresslevel=1) as archive,
        archive.open(info, "w", force_zip64=True) as member,
    ):
        member.write(begin)
        for _ in range(size // 2**24):
            member.write(bytes(2**24))
    return path


def big_tensor(path: Path) -> Path:
    """Write a checkpoint of a tensor that says its few values stand for very many."""
    torch.save({"model_state": {"x": torch.zeros(1).expand(HUGE)}, "average": {}}, path)
    return path


def rewritten_sizes(path: Path, archive: Path) -> Path:
    """Write an archive whose table of contents speaks of more than is in it."""
    content = bytearray(archive.read_bytes())
    at = content.rfind(b"PK\1\2")
    content[at + 24 : at + 28] = (2**32 - 2).to_bytes(4, "little")
    path.write_bytes(content)
    return path


def bombs(folder: Path, inputs: Inputs) -> Iterator[tuple[str, Path]]:
    """Yield files that would fill the memory, each with the place of `inputs_taking` it is for."""
    toy = inputs.toy

    def packed(file: h5py.File, group: h5py.Group) -> None:
        rows = group.create_dataset(
            "rgb", (HUGE // 8, 8), "f4", chunks=(10**6, 8), compression="gzip"
        )
        # Each chunk is packed 150-fold, which some features are, so it is believed to be there.
        noise = np.random.default_rng(0).bytes(32 * 10**6 // 150)
        chunk = zlib.compress(noise + bytes(32 * 10**6 - len(noise)), 1)
        for first in range(0, len(rows), 10**6):
            rows.id.write_direct_chunk((first, 0), chunk)

    def virtual(file: h5py.File, group: h5py.Group) -> None:
        layout = h5py.VirtualLayout((HUGE // 8, 8), "f4")
        layout[:100] = h5py.VirtualSource(str(folder / "v.h5"), "x", (100, 8))
        group.create_virtual_dataset("rgb", layout)

    def external(file: h5py.File, group: h5py.Group) -> None:
        group.create_dataset(
            "rgb", (HUGE // 8, 8), "f4", external=[("/dev/zero", 0, h5py.h5f.UNLIMITED)]
        )

    def elsewhere(file: h5py.File, group: h5py.Group) -> None:
        if not (folder / "linked.h5").exists():
            os.mkfifo(folder / "linked.h5")
        group["rgb"] = h5py.ExternalLink(str(folder / "linked.h5"), "/x")

    def in_one_chunk(file: h5py.File, group: h5py.Group) -> None:
        rows = group.create_dataset(
            "rgb", (40, 8), "f4", chunks=(4 * 10**7, 8), compression="gzip", maxshape=(None, 8)
        )
        rows.id.write_direct_chunk((0, 0), bytes(10**6))  # enough to be believed

    def links(file: h5py.File, group: h5py.Group) -> None:
        group["rgb"] = h5py.SoftLink("/" + "/".join(["videos/.."] * 9))

    def attribute(file: h5py.File, group: h5py.Group) -> None:
        group["rgb"] = np.zeros((40, 8), "f4")
        group.attrs["step_sec"] = np.zeros(7000)

    changes = (packed, virtual, external, elsewhere, in_one_chunk, links, attribute)
    for change in changes:
        path = feature_file_of(toy, folder / f"{change.__name__}.h5", change)
        for use in ("check", "info h5", "train", "evaluate --features", "export", "extract OUT"):
            yield use, path
    plain = folder / "plain.h5"
    with h5py.File(plain, "w") as file:
        file.create_dataset("v0", (HUGE // 64, 64), "f4", chunks=(1000, 64), compression="gzip")
        file["v1"] = h5py.ExternalLink("/dev/zero", "/x")
    yield "import h5", plain

    huge = sparse(folder / "huge.npy", 4 * HUGE + 200, npy_header(f"({HUGE // 512}, 512)"))
    yield "import", huge
    yield "extract --projection", huge
    for n, told in enumerate(
        (npy_header(f"({10**30}, 2)"), npy_header("(9"), npy_header("(" * 500),
         npy_header("(-1, 2)"), npy_header("(2, 2)", "'|O'"), npy_header("(2, 2)", "'<f99'"),
         b"\x93NUMPY\1\0\xff\xff",
         b"\x93NUMPY\1\0\x10\0{'descr': '<f4',", npy_header("(3, '\\n)")[:-3], b"\x93NUMPY\2\0\xff")
    ):  # fmt: skip
        path = folder / f"header{n}.npy"
        path.write_bytes(told + bytes(16))
        yield "import", path
        yield "extract --projection", path

    member = npy_header(f"({HUGE // 512}, 512)")
    archive = packed_zip(folder / "packed.npz", "x.npy", member)
    yield "import npz", archive
    for name in ("packed.pt", "packed2.pt"):
        checkpoint = folder / name
        checkpoint.write_bytes(archive.read_bytes())
        yield "info", checkpoint
        yield "import pt", checkpoint
        yield "extract --weights", checkpoint
    small = packed_zip(folder / "small.zip", "x.npy", npy_header("(99999, 512)"), 2**24)
    yield "import npz", rewritten_sizes(folder / "lies.npz", small)
    tensor = big_tensor(folder / "tensor.pt")
    yield "import pt", tensor
    yield "info", tensor
    content = io.BytesIO()
    pickle.dump({"average": b"x"}, content)
    yield "info", sparse(folder / "sparse.pt", 8 * 10**9, b"PK" + content.getvalue())
    yield "extract --weights", sparse(folder / "sparse2.pt", 8 * 10**9, content.getvalue())

    for ending, uses in {
        ".json": ("check json", "check --annotations", "info json", "view", "view --annotations",
                  "evaluate --predictions", "evaluate --annotations", "report",
                  "train --annotations", "extract --annotations", "detect --annotations"),
        ".csv": ("import bmn", "import --video-info"),
        ".txt": ("extract LIST",),
        ".yaml": ("configs", "train --config"),
    }.items():  # fmt: skip
        text = sparse(folder / f"endless{ending}", 6 * 10**9)
        for use in uses:
            yield use, text
    lists = folder / "lists.json"
    lists.write_text('{"database": {"v": {"x": [' + "[]," * (2 * 10**7) + "[]]}}}")
    pairs = folder / "pairs.json"
    pairs.write_text('{"results": {"v": [' + "{}," * (2 * 10**7) + "{}]}}")
    for use in ("check json", "evaluate --annotations"):
        yield use, lists
    for use in ("info json", "view", "evaluate --predictions"):
        yield use, pairs


def long_text(path: Path, value: object) -> Path:
    """Write JSON."""
    path.write_text(json.dumps(value))
    return path
