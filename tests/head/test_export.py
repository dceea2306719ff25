"""The exported head against the head itself, in ONNX Runtime and as an exported program."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from tsatal import pipeline
from tsatal.cli import main
from tsatal.config import load_config
from tsatal.errors import InputError
from tsatal.formats.features import FeatureFile
from tsatal.head.decode import agreement
from tsatal.head.detector import load_detector
from tsatal.head.export import INPUTS, OUTPUTS, Exportable, export_head, onnx_bytes

STEPS = 64


@pytest.fixture(scope="module", params=["paper", "strong"])
def run(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    write_toy: Callable[..., Path],
) -> Path:
    folder = tmp_path_factory.mktemp(request.param)
    config = load_config(request.param, ["optim.epochs=2", "model.width=16", "data.least_steps=1"])
    features = write_toy(folder / "f.h5", places=0.3)
    run = pipeline.train(features, config, run=folder / "run")
    assert (load_detector(run).head.embed_own is not None) == (request.param == "strong")
    return run


def padded(run: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """A video of 60 rows in a sequence of 64."""
    with FeatureFile(run.parent / "f.h5") as file:
        rows = torch.from_numpy(file.rows("video_2", ("rgb",)))
    features = torch.zeros(1, STEPS, rows.shape[1])
    features[0, : len(rows)] = rows
    return features, torch.arange(STEPS)[None] < len(rows)


def exportable(run: Path) -> Exportable:
    detector = load_detector(run)
    return Exportable(detector.head, class_agreement=agreement(detector.config.decode))


@torch.no_grad()
def expected(run: Path) -> list[np.ndarray]:
    return [t.numpy() for t in exportable(run)(*padded(run))]


def test_onnx_runtime_says_what_pytorch_says(run: Path, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    pytest.importorskip("onnxscript", reason="onnxscript is not installed")
    out = tmp_path / "head.onnx"
    done = CliRunner().invoke(main, ["export-onnx", str(run), str(out), "--steps", str(STEPS)])
    assert done.exit_code == 0, done.output
    assert list(tmp_path.iterdir()) == [out]  # weights inside, nothing beside it
    session = runtime.InferenceSession(str(out), providers=["CPUExecutionProvider"])
    given = dict(zip(INPUTS, (t.numpy() for t in padded(run)), strict=True))
    for name, ours, theirs in zip(OUTPUTS, expected(run), session.run(None, given), strict=True):
        np.testing.assert_allclose(theirs, ours, rtol=1e-4, atol=1e-5, err_msg=name)
    facts = session.get_modelmeta().custom_metadata_map
    assert json.loads(facts["labels"]) == ["jump", "run"]


def test_an_exported_program_says_what_the_head_says(run: Path, tmp_path: Path) -> None:
    export_head(run, tmp_path / "head.pt2", steps=STEPS)
    program = torch.export.load(tmp_path / "head.pt2")
    for ours, theirs in zip(expected(run), program.module()(*padded(run)), strict=True):
        np.testing.assert_allclose(theirs.detach().numpy(), ours, rtol=1e-5, atol=1e-6)


def test_padding_changes_nothing_of_what_is_valid(run: Path) -> None:
    """Or a file of fixed length would be of no use."""
    features, valid = padded(run)
    head = exportable(run)
    rows = int(valid.sum())
    with torch.no_grad():
        whole, alone = head(features, valid), head(features[:, :rows], valid[:, :rows])
    for padded_part, part in zip(whole[:2], alone[:2], strict=True):
        torch.testing.assert_close(
            padded_part[0, whole[2][0]], part[0, alone[2][0]], rtol=1e-4, atol=1e-5
        )


def test_another_ending_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"must end in \.onnx or \.pt2"):
        export_head(run, tmp_path / "head.bin")


def test_what_writes_onnx_may_be_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(*arguments: object, **options: object) -> None:
        raise ModuleNotFoundError(name="onnxscript")

    monkeypatch.setattr(torch.onnx, "export", missing)
    program: Any = None
    with pytest.raises(InputError, match="onnxscript is needed to write ONNX: pip install"):
        onnx_bytes(program, {})
