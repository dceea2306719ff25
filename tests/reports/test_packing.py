"""Packing a run: what is in the file, what is not, and when it is refused."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tsatal import pipeline
from tsatal.errors import InputError
from tsatal.extract.backbones.dense import I3D_R50, INSTALL, PACKAGE_SHA256
from tsatal.formats.bundle import CARD, open_bundle
from tsatal.formats.feature_writer import write_feature_file
from tsatal.formats.features import FeatureFile
from tsatal.formats.tensors import read_tensors
from tsatal.head.run import DATA_FILE, HEAD_FILE, PROJECTION_FILE

SMALL = ("model.width=16", "optim.epochs=1", "data.least_steps=1", "data.windows_per_video=1")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, write_toy: Callable[..., Path]) -> Path:
    """A run on features of another program, evaluated, in a folder whose name is private."""
    folder = tmp_path_factory.mktemp("private")
    features = write_toy(folder / "f.h5")
    command = ["tsatal", "train", "--features", str(features)]
    run = pipeline.train(features, overrides=SMALL, run=folder / "run", command=command)
    pipeline.evaluate(run, timelines=0)
    return run


def manifest(model: Path) -> dict[str, Any]:
    with open_bundle(model) as bundle:
        return bundle.manifest()


def with_provenance(run: Path, changes: dict[str, Any], out: Path) -> Path:
    """Copy what packing needs of a run, as if its features had been made otherwise."""
    out.mkdir()
    for path in run.iterdir():
        if path.suffix in (".yaml", ".json", ".pt", ".safetensors"):
            (out / path.name).write_bytes(path.read_bytes())
    data = json.loads((out / DATA_FILE).read_text())
    data["extraction"] = changes
    (out / DATA_FILE).write_text(json.dumps(data))
    return out


def of_i3d(name: str, sha256: str | None) -> dict[str, Any]:
    weights = {"name": name, **({"sha256": sha256} if sha256 else {"seed": 0})}
    return {"extractor": "i3d_r50", "weights": weights, "projection": None, "fps": 10.0}


def test_the_file_holds_the_averaged_weights_to_the_bit(run: Path, tmp_path: Path) -> None:
    packed = pipeline.pack(run, tmp_path / "m.tsatal")
    with open_bundle(packed.path) as bundle:
        bundle.unpack(tmp_path)
    arrays, facts = read_tensors(tmp_path / HEAD_FILE)
    average = torch.load(run / "last.pt", weights_only=True)["average"]
    assert facts == {"checkpoint": "last", "epoch": "1"} and set(arrays) == set(average)
    assert all(np.array_equal(arrays[k], v.numpy(), equal_nan=True) for k, v in average.items())


def test_the_file_names_no_place_and_no_command(run: Path, tmp_path: Path) -> None:
    packed = pipeline.pack(run, tmp_path / "m.tsatal")
    content = packed.path.read_bytes()
    assert b"private" not in content and b"--features" not in content


def test_the_card_says_what_was_learned_and_measured(run: Path, tmp_path: Path) -> None:
    packed = pipeline.pack(run, tmp_path / "m.tsatal", licence="CC-BY-4.0", note="For | tests <b>")
    card = packed.card
    assert card.startswith("# m\n") and "For \\| tests &lt;b>" in card
    assert "| jump | 6 |" in card and "| run | 6 |" in card  # 4 training videos, 3 actions each
    assert "4 videos of the subset training, 0.03 hours, 12 actions." in card
    figures = json.loads((run / "metrics.json").read_text())
    assert f"| average mAP | {100 * figures['average_mAP']:.1f} % |" in card
    worth = figures["events"]["all"]
    assert f"recall {100 * worth['recall']:.1f} %, F1 {100 * worth['f1']:.1f} %" in card
    chosen_there = figures["events"]["chosen_on"] == figures["subset"]
    assert ("chosen on these very videos, which flatters" in card) is chosen_there
    assert "CC-BY-4.0" in card and "Rows of toy" in card
    with open_bundle(packed.path) as bundle:
        assert bundle.read(CARD).decode() == card
    assert "best F1" in card and manifest(packed.path)["thresholds"]["of"].keys() == {"jump", "run"}


def test_packing_twice_gives_the_same_bytes(run: Path, tmp_path: Path) -> None:
    first = pipeline.pack(run, tmp_path / "m.tsatal")
    before = first.path.read_bytes()
    assert pipeline.pack(run, tmp_path / "m.tsatal").sha256 == first.sha256
    assert first.path.read_bytes() == before


def test_another_ending_or_a_missing_checkpoint_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"m\.zip: must end in \.tsatal"):
        pipeline.pack(run, tmp_path / "m.zip")
    broken = with_provenance(run, {}, tmp_path / "broken")
    (broken / "last.pt").unlink()
    with pytest.raises(InputError, match=r"last\.pt: no such checkpoint"):
        pipeline.pack(broken, tmp_path / "m.tsatal")
    (broken / "metrics.json").write_text("{}")
    (broken / "last.pt").write_bytes((run / "last.pt").read_bytes())
    with pytest.raises(InputError, match=r"metrics\.json: damaged; write it anew"):
        pipeline.pack(broken, tmp_path / "m.tsatal")
    assert not (tmp_path / "m.tsatal").exists()


def test_a_run_keeps_the_projection_of_its_features(
    tmp_path: Path, write_toy: Callable[..., Path]
) -> None:
    matrix = np.random.default_rng(0).normal(size=(20, 8)).astype(np.float32)
    with FeatureFile(write_toy(tmp_path / "toy.h5")) as toy:
        write_feature_file(
            tmp_path / "f.h5",
            [toy.video(v) for v in toy.video_ids],
            provenance={"extractor": "toy", "projection": {"sha256": "0"}, "pca": {"rgb": {}}},
            annotations_text=toy.annotations_text(),
            projections={"rgb": matrix, "flow": matrix},
        )
    run = pipeline.train(tmp_path / "f.h5", overrides=SMALL, run=tmp_path / "run")
    arrays, facts = read_tensors(run / PROJECTION_FILE)
    assert list(arrays) == ["rgb"] and np.array_equal(arrays["rgb"], matrix)
    assert facts == {"pca": '{"rgb": {}}'}
    packed = pipeline.pack(run, tmp_path / "m.tsatal")
    assert PROJECTION_FILE in packed.parts
    # A run of an older version has no copy: it comes out of the feature file, while that is there.
    (run / PROJECTION_FILE).unlink()
    assert pipeline.pack(run, tmp_path / "m.tsatal").sha256 == packed.sha256
    moved = (tmp_path / "f.h5").rename(tmp_path / "moved.h5")
    with pytest.raises(InputError, match=r"f\.h5: no such file; .* with --features"):
        pipeline.pack(run, tmp_path / "m.tsatal")
    assert pipeline.pack(run, tmp_path / "m.tsatal", features=moved).sha256 == packed.sha256


def test_weights_of_ones_own_are_put_in_where_they_are_the_ones(run: Path, tmp_path: Path) -> None:
    weights = tmp_path / "mine.pth"
    weights.write_bytes(b"numbers")
    other = with_provenance(run, of_i3d("mine.pth", "0" * 64), tmp_path / "other")
    with pytest.raises(InputError, match=r"made with the weights 'mine\.pth' .* with --weights"):
        pipeline.pack(other, tmp_path / "m.tsatal", with_backbone=True)
    with pytest.raises(InputError, match="the features were made with weights of 0000"):
        pipeline.pack(other, tmp_path / "m.tsatal", with_backbone=True, weights=weights)
    digest = hashlib.sha256(b"numbers").hexdigest()
    own = with_provenance(run, of_i3d("mine.pth", digest), tmp_path / "own")
    packed = pipeline.pack(own, tmp_path / "m.tsatal", with_backbone=True, weights=weights)
    with open_bundle(packed.path) as bundle:
        assert bundle.read("backbone/rgb") == b"numbers"
    assert "Their licence is not known" in packed.card and "; inside." in packed.card
    assert "asks for (--weights)" in pipeline.pack(own, tmp_path / "m.tsatal").card


def test_published_weights_are_put_in_where_their_licence_allows(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = hashlib.sha256(b"numbers").hexdigest()
    (tmp_path / "w").write_bytes(b"numbers")
    of = with_provenance(run, of_i3d("kinetics", digest), tmp_path / "of")
    monkeypatch.setattr(
        "tsatal.reports.packing.find_published", lambda *a: (tmp_path / "w", digest)
    )
    packed = pipeline.pack(of, tmp_path / "m.tsatal", with_backbone=True)
    assert "licence Apache-2.0, commercial use allowed by that licence" in packed.card
    assert packed.parts["backbone/rgb"] == 7
    closed = replace(I3D_R50, licence="CC-BY-NC-4.0", commercial="no")
    monkeypatch.setattr("tsatal.reports.packing.find_family", lambda name: closed)
    with pytest.raises(InputError, match=r"\(CC-BY-NC-4\.0\) does not plainly allow to pass"):
        pipeline.pack(of, tmp_path / "m.tsatal", with_backbone=True)
    assert "commercial use not allowed" in pipeline.pack(of, tmp_path / "m.tsatal").card


def test_weights_that_a_package_brings_are_named_with_its_command(
    run: Path, tmp_path: Path
) -> None:
    """By their digest: those at the address have another."""
    packaged = of_i3d("kinetics", PACKAGE_SHA256) | {"extractor": "i3d"}
    card = pipeline.pack(
        with_provenance(run, packaged, tmp_path / "of"), tmp_path / "m.tsatal"
    ).card
    assert f"of a package, where the model is used: {INSTALL}." in card
    other = of_i3d("kinetics", "0" * 64) | {"extractor": "i3d"}
    card = pipeline.pack(
        with_provenance(run, other, tmp_path / "other"), tmp_path / "m.tsatal"
    ).card
    assert "fetched where the model is used (https://" in card and INSTALL not in card


def test_random_weights_need_no_file_and_foreign_rows_no_backbone(
    run: Path, tmp_path: Path
) -> None:
    of = with_provenance(run, of_i3d("random", None), tmp_path / "of")
    packed = pipeline.pack(of, tmp_path / "m.tsatal", with_backbone=True)
    assert "backbone/rgb" not in packed.parts and "made of the seed" in packed.card
    assert "licence is not known" not in packed.card
    with pytest.raises(InputError, match="--with-backbone: the features are of toy"):
        pipeline.pack(run, tmp_path / "m.tsatal", with_backbone=True)
