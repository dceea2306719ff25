"""A trained head as one file that needs no tsatal: ONNX, or PyTorch's own exported program."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import InputError
from .decode import segment_scores
from .prediction import HeadOutput

INPUTS = ("features", "valid")
OUTPUTS = ("scores", "intervals", "point_valid", "actionness")


class Exportable(nn.Module):
    """A head that returns what is decoded, as plain tensors."""

    def __init__(self, head: nn.Module, *, softmax: bool, class_agreement: float) -> None:
        super().__init__()
        self.head, self.softmax, self.class_agreement = head, softmax, class_agreement

    def forward(self, features: Tensor, valid: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return what is decoded of B sequences of T rows, at P points each.

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
        final, every_row = output.final, output.refined or output.final
        assert every_row.actionness_logits is not None
        scores = segment_scores(output, softmax=self.softmax, class_agreement=self.class_agreement)
        return scores, final.intervals, final.valid, every_row.actionness_logits.sigmoid()


def exported_program(
    head: nn.Module, *, softmax: bool, class_agreement: float, steps: int, width: int
) -> torch.export.ExportedProgram:
    """Return the head as an exported program for one sequence of exactly `steps` rows.

    A shorter sequence is padded with zeros, and `valid` says so: padding changes nothing. The
    length is fixed because the levels of a head, their points and the blocks of its attention are
    laid out for it.

    Args:
        head: on the CPU.
        softmax: whether its classes exclude each other.
        class_agreement: see `decode.segment_scores`.
        steps: T; width: D.
    """
    wrapped = Exportable(head, softmax=softmax, class_agreement=class_agreement).eval()
    example = (torch.zeros(1, steps, width), torch.ones(1, steps, dtype=torch.bool))
    with torch.no_grad():
        return torch.export.export(wrapped, example)


def save_onnx(program: torch.export.ExportedProgram, path: Path, facts: Mapping[str, str]) -> None:
    """Write an exported program as ONNX, its weights inside.

    Args:
        facts: what a user of the file should know, kept in its metadata.
    Raises:
        InputError: the packages that write ONNX are not installed.
    """
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # of torchvision, which we do not use
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            made = torch.onnx.export(
                program, input_names=INPUTS, output_names=OUTPUTS, dynamo=True, verbose=False
            )
    except ModuleNotFoundError as e:
        raise InputError(f"{e.name} is needed to write ONNX: pip install 'tsatal[onnx]'") from None
    assert made is not None
    made.model.metadata_props.update(facts)
    made.save(path)
