"""What `info` says of every kind of file that the program reads or writes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from tsatal.checks.info import as_text, describe
from tsatal.cli import main
from tsatal.config import load_config
from tsatal.errors import InputError
from tsatal.formats.feature_writer import write_feature_file
from tsatal.formats.features import VideoFeatures
from tsatal.head.run import build_head, load_run_description

from ..conftest import SHARED

SMALL = [
    "--config", "strong", "--set", "model.width=16", "--set", "optim.epochs=1",
    "--set", "data.least_steps=1",
]  # fmt: skip


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory, write_toy: Callable[..., Path]) -> Path:
    return write_toy(tmp_path_factory.mktemp("toy") / "f.h5", flow=True)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, features: Path) -> Path:
    out = tmp_path_factory.mktemp("runs") / "r"
    assert run("-q", "train", "--features", features, "--out", out, *SMALL).exit_code == 0
    assert run("-q", "evaluate", out, "--timelines", 0).exit_code == 0
    return out


def test_a_feature_file(features: Path) -> None:
    said = describe(features)
    assert said["kind"] == "feature file"
    assert (said["videos"], said["rows"], said["unreadable_videos"]) == (6, 360, 0)
    assert said["hours"] == pytest.approx(6 * 30 / 3600)
    assert said["streams"] == {
        "rgb": {"width": 8, "dtype": "float32"}, "flow": {"width": 5, "dtype": "float32"},
    }  # fmt: skip
    assert (said["step_sec"], said["start_sec"]) == ([0.5], [0.0])
    subsets = said["annotations"]["subsets"]
    assert subsets["training"] == {"videos": 4, "with_features": 4, "instances": 12}
    assert said["annotations"]["labels"] == ["jump (9)", "run (9)"]
    assert said["made_by"] == {"extractor": "toy"}


def test_features_without_annotations_and_with_unlike_videos(tmp_path: Path) -> None:
    videos = [
        VideoFeatures(f"v{n}", {"rgb": np.ones((n, n), np.float16)}, 0.0, n / 10, 1.0)
        for n in (1, 2, 3)
    ]
    write_feature_file(tmp_path / "f.h5", videos, provenance={})
    with h5py.File(tmp_path / "f.h5", "r+") as file:
        del file["videos/v2"].attrs["start_sec"]
    said = describe(tmp_path / "f.h5")
    assert said["annotations"] is None and said["unreadable_videos"] == 1
    assert said["streams"]["rgb"] == {"width": "differs between videos", "dtype": "float16"}
    assert said["step_sec"] == [0.1, 0.3]


def test_an_empty_feature_file(tmp_path: Path) -> None:
    write_feature_file(tmp_path / "f.h5", [], provenance={})
    said = describe(tmp_path / "f.h5")
    assert (said["videos"], said["streams"], said["step_sec"]) == (0, {}, [])


def test_provenance_is_readable_in_text_and_whole_in_json(tmp_path: Path) -> None:
    digest = "0123456789abcdef" * 4
    provenance = {
        "extractor": "i3d_r50", "fps": 10.0, "context": 18, "flow": None,
        "weights": {"name": "kinetics", "sha256": digest},
    }  # fmt: skip
    write_feature_file(tmp_path / "f.h5", [], provenance=provenance)
    said = describe(tmp_path / "f.h5")
    assert said["made_by"] == provenance
    text = as_text(said)
    assert "  weights    name kinetics, sha256 0123456789ab...\n" in text + "\n"
    assert "  fps        10\n" in text


def test_annotations(tmp_path: Path) -> None:
    actions = [
        {"label": "a", "segment": [0, 4]}, {"label": "b", "segment": [1, 2]},
        {"label": "Ambiguous", "segment": [5, 6]}, {"label": "a", "segment": [4, 3]},
    ]  # fmt: skip
    database = {
        "v": {"subset": "training", "duration": 36, "annotations": actions},
        "w": {"subset": "testing"},
    }
    path = tmp_path / "anything"
    path.write_text(json.dumps({"database": database}))
    said = describe(path)
    assert (said["kind"], said["videos"], said["hours"]) == ("annotations", 2, 0.01)
    assert said["subsets"]["training"] == {"videos": 1, "instances": 2}
    assert said["unreadable_entries"] == 1
    assert said["instance_sec"] == {"least": 1, "median": 2.5, "greatest": 4}
    assert said["labels"] == ["a (1)", "b (1)"]


def test_detections(tmp_path: Path) -> None:
    found = [{"label": "a", "segment": [0, 4], "score": s} for s in (0.25, 0.5, 0.75)]
    curves = {"v": {"start_sec": 0, "step_sec": 1, "values": [0.5]}}
    path = tmp_path / "p.json"
    path.write_text(json.dumps({"results": {"v": found, "w": []}, "actionness": curves}))
    said = describe(path)
    assert said["kind"] == "detections"
    assert (said["videos"], said["videos_without_detections"], said["detections"]) == (2, 1, 3)
    assert said["scores"] == {"least": 0.25, "median": 0.5, "greatest": 0.75}
    assert said["actionness_curves"] == 1
    path.write_text('{"results": {}}')
    assert describe(path)["scores"] is None


def test_a_run(trained: Path, features: Path) -> None:
    said = describe(trained)
    assert said["kind"] == "run"
    assert said["config"] == {
        "nearest": "strong",
        "differences": {
            "data.least_steps": 1, "model.width": 16, "model.standardise": False,
            "model.embed_depth": 1,
            "model.channel_dropout": 0.5,
            "optim.epochs": 1, "decode.class_agreement": 0.8,
        },
    }  # fmt: skip
    assert said["features"] == {"path": str(features.resolve()), "there": True}
    assert said["labels"] == ["jump", "run"] and said["width"] == 13
    assert said["subsets"]["train"] == "training"
    assert said["epochs"] == {"done": 1, "of": 1}
    assert said["validation_mAP"]["best_epoch"] == 1
    assert list(said["checkpoints"]) == ["last.pt", "best.pt"]
    best = said["checkpoints"]["best.pt"]["best_validation_mAP"]
    assert best == pytest.approx(said["validation_mAP"]["best"])
    assert said["evaluation"]["num_instances"] == 6


def test_a_checkpoint_counts_what_is_learned(trained: Path) -> None:
    said = describe(trained / "last.pt")
    head = build_head(*load_run_description(trained))
    assert (said["kind"], said["epoch"]) == ("checkpoint", 1)
    assert said["parameters"] == sum(p.numel() for p in head.parameters())
    assert said["keys"] == ["progress", "average", "training"]


def test_a_run_that_lost_its_files_is_still_described(
    trained: Path, features: Path, tmp_path: Path
) -> None:
    data = json.loads((trained / "data.json").read_text())
    (tmp_path / "data.json").write_text(json.dumps({**data, "features": "/nowhere/f.h5"}))
    (tmp_path / "config.yaml").write_text((trained / "config.yaml").read_text())
    said = describe(tmp_path)
    assert said["features"]["there"] is False and said["epochs"] == {"done": 0, "of": 1}
    assert said["checkpoints"] == {} and said["evaluation"] is None
    assert said["validation_mAP"] is None
    for name in ("last.pt", "log.csv", "metrics.json"):
        (tmp_path / name).write_bytes(b"\xff\xfe")
    said = describe(tmp_path)
    assert "not a readable checkpoint" in said["checkpoints"]["last.pt"]["problem"]
    assert said["validation_mAP"] == said["evaluation"] == "damaged"


def test_joined_configurations_are_recognised(trained: Path, tmp_path: Path) -> None:
    from tsatal.config import dump_config

    (tmp_path / "data.json").write_text((trained / "data.json").read_text())
    joined = load_config("strong+thumos14", ["optim.seed=5"])
    (tmp_path / "config.yaml").write_text(dump_config(joined))
    nearest = {"nearest": "strong+thumos14", "differences": {"optim.seed": 5}}
    assert describe(tmp_path)["config"] == nearest


def saved(value: Any) -> Callable[[Path], object]:
    return lambda path: torch.save(value, path)


@pytest.mark.parametrize(
    ("name", "write", "message"),
    [
        ("x.txt", lambda p: p.write_text("hello"), "neither a feature file"),
        ("x.json", lambda p: p.write_text('{"a": 1}'), "JSON, but neither"),
        ("x.json", lambda p: p.write_text("[1]"), "JSON, but neither"),
        ("x.bin", lambda p: p.write_bytes(b"\xff\x00"), "neither a feature file"),
        ("empty", lambda p: p.touch(), "neither a feature file"),
        ("x.h5", lambda p: p.write_text("hello"), "not an HDF5 file"),
        ("x.h5", lambda p: h5py.File(p, "w").close(), "HDF5, but not a tsatal-features file"),
        ("x.pt", saved({"model_state": {}}), "not a checkpoint of tsatal"),
        ("x.pt", saved({"average": {"a": 1}, "progress": {}}), "damaged"),
        ("folder", lambda p: p.mkdir(), "not the folder of a run"),
        ("nothing", lambda p: None, "no such file or folder"),
    ],
)
def test_what_is_not_ours_is_one_line(
    name: str, write: Callable[[Path], object], message: str, tmp_path: Path
) -> None:
    write(tmp_path / name)
    with pytest.raises(InputError, match=message):
        describe(tmp_path / name)
    result = run("info", tmp_path / name)
    assert result.exit_code == 1 and len(result.output.splitlines()) == 1


def test_text_is_aligned_and_json_holds_the_same(features: Path, tmp_path: Path) -> None:
    result = run("info", features, "--json", tmp_path / "i.json")
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert lines[2].startswith("size_mb  ") and "videos             6" in lines
    assert "    training    videos 4, with_features 4, instances 12" in lines
    assert json.loads((tmp_path / "i.json").read_text()) == describe(features)
    assert json.loads(run("info", features, "--json", "-").stdout) == describe(features)


def test_long_lists_are_cut_and_odd_characters_shown() -> None:
    text = as_text({"labels": [f"c{n}" for n in range(20)], "name": "a\n\x1b[31m", "none": None})
    assert text.splitlines() == [
        "labels  " + ", ".join(f"c{n}" for n in range(12)) + ", ... (20 in all)",
        r"name    a\n\x1b[31m",
        "none    -",
    ]


def test_real_files(tmp_path: Path) -> None:
    if not SHARED.exists():
        pytest.skip(f"{SHARED} is not here")
    assert describe(SHARED / "ut_stitched" / "squeezenet.h5")["annotations"]["instances"] == 60
    assert describe(SHARED / "annotations" / "thumos14.json")["instances"] == 6365


def test_values_with_commas_in_them_can_be_told_apart() -> None:
    text = as_text({"made_by": {"extractor": "SqueezeNet v1.0, ImageNet", "step_sec": 0.2}})
    assert text.splitlines() == [
        "made_by",
        "  extractor  SqueezeNet v1.0, ImageNet",
        "  step_sec   0.2",
    ]
    assert as_text({"a": {"b": 1, "c": 2}}) == "a  b 1, c 2"


def test_a_list_of_entries_is_numbered() -> None:
    text = as_text({"made_by": [{"seed": 1}, {"seed": 2}]})
    assert text.splitlines() == ["made_by", "  1  seed 1", "  2  seed 2"]


def test_labels_of_other_programs_and_folders_of_them(tmp_path: Path) -> None:
    for name, label in (("v", "run"), ("w", "jump")):
        text = f"WEBVTT\n\n00:00:01.000 --> 00:00:02.000\n{label}\n"
        (tmp_path / f"{name}.vtt").write_text(text)
    one, both = describe(tmp_path / "v.vtt"), describe(tmp_path)
    assert one["form"] == "WebVTT, 1 cue" and one["labels"] == ["run (1)"]
    assert both["form"] == "folder of labels, 2 of WebVTT" and both["videos"] == 2
    assert list(both["subsets"]) == ["none"]
