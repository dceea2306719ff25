"""A trained head as one file that needs no tsatal: ONNX, or PyTorch's own exported program."""

from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import InputError, how_to_install
from ..formats.atomic import check_place, replacing
from .decode import agreement, segment_scores
from .detector import load_detector
from .prediction import HeadOutput

INPUTS = ("features", "valid")
OUTPUTS = ("scores", "intervals", "point_valid", "actionness")


def export_head(
    run_dir: Path, out: Path, *, steps: int | None = None, checkpoint: str = "last"
) -> Path:
    """Write a run's trained head as ONNX, or, where `out` ends so, as `.pt2` of `torch.export`.

    Args:
        steps: T, the number of rows that the file takes; as in training where not given. It is
            fixed because the levels of a head, their points and the blocks of its attention are
            laid out for it. A shorter sequence is padded with zeros, and `valid` says so.
    Raises:
        InputError: no such run, another ending, or the packages that write ONNX are missing.
    """
    if out.suffix not in (".onnx", ".pt2"):
        raise InputError(f"{out}: must end in .onnx or .pt2")
    check_place(out)
    detector = load_detector(run_dir, checkpoint=checkpoint)
    data, config = detector.data, detector.config
    steps = steps or config.data.window_steps
    example = (torch.zeros(1, steps, data.width), torch.ones(1, steps, dtype=torch.bool))
    plain = Exportable(detector.head, class_agreement=agreement(config.decode)).eval()
    with torch.no_grad():
        program = torch.export.export(plain, example)
    facts = {
        "labels": json.dumps(data.labels),
        "streams": json.dumps(data.streams),
        "extraction": json.dumps(data.extraction),
        "intervals": "steps: multiply by step_sec of the features and add their start_sec",
    }
    # What writes in C++ ends the process on a full disk, or says it in a way of its own.
    content = onnx_bytes(program, facts) if out.suffix == ".onnx" else program_bytes(program, facts)
    out.parent.mkdir(parents=True, exist_ok=True)
    with replacing(out) as aside:
        aside.write_bytes(content)
    return out


class Exportable(nn.Module):
    """A head whose output is plain tensors: what decoding needs."""

    def __init__(self, head: nn.Module, *, class_agreement: float) -> None:
        super().__init__()
        self.head, self.class_agreement = head, class_agreement

    def forward(self, features: Tensor, valid: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the predictions for B sequences of T rows, at P points each.

        Args:
            features: (B, T, D) float32.
            valid: False where a sequence is padded, (B, T) bool.
        Returns:
            scores: of every class, see `decode.segment_scores`, (B, P, C) in [0, 1].
            intervals: (B, P, 2) in steps: 0 is the instant of the first row.
            point_valid: False where a point lies in padding, (B, P) bool.
            actionness: of every row, (B, T) in [0, 1].
        """
        output: HeadOutput = self.head(features, valid)
        scores = segment_scores(output, class_agreement=self.class_agreement)
        return scores, output.final.intervals, output.final.valid, output.actionness


def program_bytes(program: torch.export.ExportedProgram, facts: dict[str, Any]) -> bytes:
    """Return an exported program as `torch.export.load` reads it, with `facts` inside."""
    content = io.BytesIO()
    torch.export.save(program, content, extra_files=facts)
    return content.getvalue()


def onnx_bytes(
    program: torch.export.ExportedProgram,
    facts: Mapping[str, str],
    *,
    inputs: Sequence[str] = INPUTS,
    outputs: Sequence[str] = OUTPUTS,
) -> bytes:
    """Return an exported program as ONNX, its weights inside.

    Args:
        facts: what a user of the file should know, kept in its metadata.
        inputs, outputs: their names.
    Raises:
        InputError: the packages that write ONNX are not installed.
    """
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # of torchvision, which we do not use
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            made = torch.onnx.export(
                program, input_names=inputs, output_names=outputs, dynamo=True, verbose=False
            )
    except ModuleNotFoundError as e:
        raise InputError(f"{e.name} is needed to write ONNX: {how_to_install('onnx')}") from None
    assert made is not None
    made.model.metadata_props.update(facts)
    serialized: bytes = made.model_proto.SerializeToString()
    return serialized
