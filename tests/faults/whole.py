"""Whether files are whole, by their endings, and what is in them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import onnx
import torch
import yaml

from tsatal.formats.features import FeatureFile


def feature_file(path: Path) -> object:
    with FeatureFile(path) as file:
        text = file.annotations_text()
        rows = {
            v: ({s: r.tobytes() for s, r in file.video(v).streams.items()},
                file.time_axis(v), sorted(file.details(v).items()))
            for v in file.video_ids
        }  # fmt: skip
        matrices = {k: m.tobytes() for k, m in file.projections().items()}
        return rows, file.provenance, text, matrices


def exported_program(path: Path) -> object:
    facts = {"labels": ""}
    program = torch.export.load(path, extra_files=facts)
    weights = {k: v.detach().numpy().tobytes() for k, v in program.state_dict.items()}
    return facts, weights, program.graph_module.code


def _ends_with(path: Path, ending: bytes) -> bytes:
    content = path.read_bytes()
    assert content.endswith(ending), f"{path} is cut short"
    return content


def _checked(path: Path, check: Callable[[Path], object]) -> bytes:
    check(path)
    return path.read_bytes()


def _pictures(path: Path) -> int:
    with av.open(str(path)) as container:
        count = sum(1 for _ in container.decode(video=0))
        assert count == container.streams.video[0].frames > 0, f"{path} is cut short"
    return count


READ: dict[str, Callable[[Path], object]] = {
    ".claim": lambda path: json.loads(path.read_text()),
    ".csv": lambda path: _ends_with(path, b"\n"),
    ".h5": feature_file,
    ".html": lambda path: _ends_with(path, b"</html>\n"),
    ".json": lambda path: _checked(path, lambda p: json.loads(p.read_text())),
    ".mp4": lambda path: _checked(path, _pictures),
    ".npy": lambda path: _checked(path, np.load),
    ".onnx": lambda path: _checked(path, onnx.load),
    ".png": lambda path: _ends_with(path, b"IEND\xaeB`\x82"),
    ".pt2": exported_program,
    ".yaml": lambda path: _checked(path, lambda p: yaml.safe_load(p.read_text())),
}


def under_final_names(folder: Path) -> dict[str, object]:
    """Return what is in the files of a folder, by name, but not in those that still lie aside.

    Fails where one is not whole.
    """
    inside = [p.relative_to(folder) for p in folder.rglob("*")]
    final = [p for p in inside if not any(part.startswith(".") for part in p.parts)]
    return {str(p): READ[p.suffix](folder / p) for p in final if (folder / p).is_file()}
