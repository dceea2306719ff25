"""Train and evaluate as functions, on small feature files."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import h5py
import numpy as np
import pytest

from tsatal import pipeline
from tsatal.config import load_config
from tsatal.errors import InputError
from tsatal.formats.annotations import load_predictions
from tsatal.formats.features import FeatureFile
from tsatal.head import run as runs
from tsatal.head.checkpoint import load_checkpoint
from tsatal.head.dataset import draw_windows

WriteToy = Callable[..., Path]

SMALL = [
    "model.width=16",
    "data.window_steps=20",
    "optim.epochs=2",
    "optim.log_every=2",
    "optim.validate_every=1",
]


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory, write_toy: WriteToy) -> Path:
    return write_toy(tmp_path_factory.mktemp("toy") / "f.h5", flow=True)


def train(features: Path, run_dir: Path, *settings: str) -> Path:
    config = load_config("paper", [*SMALL, *settings])
    return pipeline.train(features, config, run=run_dir, device="cpu")


def test_it_learns(features: Path, tmp_path: Path) -> None:
    run = train(features, tmp_path / "run", "optim.epochs=20", "optim.lr=0.005")
    evaluation = pipeline.evaluate(run, device="cpu").evaluation
    assert evaluation.subset == "validation" and set(evaluation.per_class) == {"jump", "run"}
    assert evaluation.average_map > 0.9


@pytest.mark.parametrize(
    "setting",
    ["model.tsa=soft", "model.tsa=none", "model.tpp=false", "model.classes=sigmoid",
     "model.tsa_threshold=0.5", "data.streams=[rgb]", "data.streams=[flow]"],
)  # fmt: skip
def test_every_switch_trains_and_evaluates(features: Path, tmp_path: Path, setting: str) -> None:
    run = train(features, tmp_path / "run", setting)
    assert 0 <= pipeline.evaluate(run, device="cpu").evaluation.average_map <= 1


def test_streams_are_used_side_by_side(features: Path, tmp_path: Path) -> None:
    assert runs.load_run_description(train(features, tmp_path / "a"))[1].width == 8 + 5
    flow = train(features, tmp_path / "b", "data.streams=[flow]")
    assert runs.load_run_description(flow)[1].width == 5


def test_same_seed_same_weights_other_seed_others(features: Path, tmp_path: Path) -> None:
    weights = [
        load_checkpoint(train(features, tmp_path / name, f"optim.seed={seed}") / "last.pt")[
            "average"
        ]
        for name, seed in (("a", 3), ("b", 3), ("c", 4))
    ]
    key = "embed.conv.weight"
    assert weights[0][key].equal(weights[1][key]) and not weights[0][key].equal(weights[2][key])


def test_a_run_is_resumed_under_its_own_settings(features: Path, tmp_path: Path) -> None:
    whole = train(features, tmp_path / "whole", "optim.epochs=3")
    cut = train(features, tmp_path / "cut", "optim.epochs=3")
    (cut / "last.pt").unlink()  # killed before the first checkpoint
    pipeline.resume(cut, device="cpu")
    a, b = (load_checkpoint(d / "last.pt")["average"] for d in (whole, cut))
    assert all(a[k].equal(b[k]) for k in a)


def test_an_interrupted_run_ends_bit_for_bit_as_the_uninterrupted_one(
    features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train(features, tmp_path / "whole", "optim.epochs=4")
    calls = 0

    def interrupted(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return draw_windows(*arguments, **options)

    monkeypatch.setattr("tsatal.head.training.draw_windows", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(features, tmp_path / "cut", "optim.epochs=4")
    assert load_checkpoint(tmp_path / "cut" / "last.pt")["progress"]["epoch"] == 2
    pipeline.resume(tmp_path / "cut", device="cpu")
    a, b = (load_checkpoint(d / "last.pt") for d in (whole, tmp_path / "cut"))
    assert a["progress"] == b["progress"]
    assert all(a["average"][k].equal(b["average"][k]) for k in a["average"])


def test_a_run_is_resumed_from_a_feature_file_that_has_moved(
    features: Path, tmp_path: Path
) -> None:
    here = tmp_path / "here.h5"
    here.write_bytes(features.read_bytes())
    run = train(here, tmp_path / "run")
    (run / "last.pt").unlink()
    moved = here.rename(tmp_path / "there.h5")
    with pytest.raises(InputError, match="here.h5: no such file.*--features"):
        pipeline.resume(run, device="cpu")
    pipeline.resume(run, features=moved, device="cpu")
    assert (run / "last.pt").exists()


def test_a_folder_with_a_run_is_not_overwritten(features: Path, tmp_path: Path) -> None:
    train(features, tmp_path / "run")
    with pytest.raises(InputError, match="already holds a run; add --resume"):
        train(features, tmp_path / "run")


def test_what_evaluate_writes(features: Path, tmp_path: Path) -> None:
    run = train(features, tmp_path / "run")
    measured = pipeline.evaluate(run, tious=(0.5,), timelines=1, device="cpu")
    names = {p.name for p in measured.written}
    assert names == {
        "predictions.json", "metrics.json", "per_class_ap.png", "precision_recall.png", "timelines",
        "report.html", "report.json",
    }  # fmt: skip
    assert len(list((run / "timelines").glob("*.png"))) == 1
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["mAP"].keys() == {"0.5"} and metrics["num_videos"] == 2
    assert set(load_predictions(run / "predictions.json")) == {"video_2", "video_5"}


def test_predictions_of_a_run_measure_the_same_from_their_file(
    features: Path, tmp_path: Path
) -> None:
    run = train(features, tmp_path / "run")
    of_run = pipeline.evaluate(run, device="cpu").evaluation
    truth = tmp_path / "truth.json"
    with h5py.File(features) as file:
        truth.write_text(file["annotations"].asstr()[()])
    of_file = pipeline.evaluate_predictions(run / "predictions.json", annotations=truth).evaluation
    assert of_file.to_json() == of_run.to_json()


def test_the_only_subset_of_a_file_is_the_one_to_measure(tmp_path: Path) -> None:
    truth, found = tmp_path / "a.json", tmp_path / "p.json"
    video = {"subset": "mine", "annotations": [{"label": "run", "segment": [1, 2]}]}
    truth.write_text(json.dumps({"database": {"v": video}}))
    found.write_text('{"results": {}}')
    measured = pipeline.evaluate_predictions(found, annotations=truth)
    assert measured.evaluation.subset == "mine"


def test_best_on_its_own_validation_subset_says_so(
    features: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = train(features, tmp_path / "run")
    pipeline.evaluate(run, checkpoint="best", timelines=0, device="cpu")
    assert "flatters" in caplog.text


def test_features_made_otherwise_are_refused(
    features: Path, tmp_path: Path, write_toy: WriteToy
) -> None:
    run = train(features, tmp_path / "run", "data.streams=[rgb]")
    other = write_toy(tmp_path / "other.h5")
    assert pipeline.evaluate(run, features=other, device="cpu")
    with h5py.File(other, "a") as file:
        file.attrs["provenance"] = json.dumps({"extractor": "toy", "fps": 25})
    with pytest.raises(InputError, match="fps 25, the run was trained on fps None"):
        pipeline.evaluate(run, features=other, device="cpu")
    wide = write_toy(tmp_path / "wide.h5", width=9)
    with pytest.raises(InputError, match="9 wide, the run needs 8"):
        pipeline.evaluate(run, features=wide, device="cpu")


def test_wrong_subsets_list_what_there_is(features: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"'tset'; there are: 'training' \(4 videos\), 'valid"):
        train(features, tmp_path / "a", "data.train_subset=tset")
    assert not (tmp_path / "a").exists()
    run = train(features, tmp_path / "b")
    with pytest.raises(InputError, match=r"no video is in subset 'tset'; there are: training \(4"):
        pipeline.evaluate(run, subset="tset", device="cpu")


def test_annotated_videos_without_features_are_counted(
    features: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    few = tmp_path / "few.h5"
    few.write_bytes(features.read_bytes())
    with h5py.File(few, "a") as file:
        del file["videos/video_0"], file["videos/video_5"]
    run = train(few, tmp_path / "run")
    assert "1 of 4 training videos have no features and are left out: video_0" in caplog.text
    assert pipeline.evaluate(run, device="cpu").evaluation.num_videos == 1


def test_no_annotations_anywhere_says_where_they_go(features: Path, tmp_path: Path) -> None:
    bare = tmp_path / "bare.h5"
    bare.write_bytes(features.read_bytes())
    with h5py.File(bare, "a") as file:
        del file["annotations"]
    with pytest.raises(InputError, match="has no annotations inside; give --annotations"):
        train(bare, tmp_path / "run")


def test_a_run_keeps_the_annotations_that_it_was_given(features: Path, tmp_path: Path) -> None:
    with h5py.File(features) as file:
        own = file["annotations"].asstr()[()]
    given = tmp_path / "given.json"
    given.write_text(own.replace('"jump"', '"leap"'))
    config = load_config("paper", SMALL)
    run = pipeline.train(features, config, run=tmp_path / "run", annotations=given, device="cpu")
    assert set(pipeline.evaluate(run, device="cpu").evaluation.per_class) == {"leap", "run"}
    (run / "last.pt").unlink()
    pipeline.resume(run, device="cpu")


def test_predictions_without_a_subset_ask_for_the_right_option(tmp_path: Path) -> None:
    truth, found = tmp_path / "a.json", tmp_path / "p.json"
    video = {"subset": "mine", "annotations": [{"label": "run", "segment": [1, 2]}]}
    other = {**video, "subset": "yours"}
    truth.write_text(json.dumps({"database": {"v": video, "w": other}}))
    found.write_text('{"results": {}}')
    with pytest.raises(InputError, match="--subset; with actions there are: mine, yours"):
        pipeline.evaluate_predictions(found, annotations=truth)


def test_training_says_how_much_is_normalised_within_each_video(
    tmp_path: Path, write_toy: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "tsatal")
    config = load_config("strong", ["optim.epochs=1", "model.width=16"])
    for places, own in ((0.0, 0), (0.5, 8)):
        caplog.clear()
        features = write_toy(tmp_path / f"{places}.h5", places=places)
        pipeline.train(features, config, run=tmp_path / f"run-{places}")
        assert f": {own} of 16 channels are normalised within each video" in caplog.text


def test_a_run_on_rows_of_another_backbone_detects_in_raw_videos(tmp_path: Path) -> None:
    """Nothing but the run says which network it was."""
    folder = tmp_path / "videos"
    folder.mkdir()
    entries = {}
    for number in range(3):
        path = folder / f"v{number}.mp4"
        with av.open(str(path), "w") as container:
            stream: Any = container.add_stream("mpeg4", rate=10)
            stream.width = stream.height = 64
            rng = np.random.default_rng(number)
            for picture in rng.integers(0, 256, (160, 64, 64, 3), dtype=np.uint8):
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            container.mux(stream.encode())
        subset = "validation" if number == 2 else "training"
        action = {"label": "run", "segment": [2.0, 6.0]}
        entries[path.stem] = {"subset": subset, "duration": 16.0, "annotations": [action]}
    (folder / "annotations.json").write_text(json.dumps({"database": entries}))
    out = tmp_path / "f.h5"
    made = pipeline.extract(
        folder, out, backbone="i3d_windows", weights="random", crop=32, resize=32, fps=10,
        device="cpu", show_progress=False,
    )  # fmt: skip
    assert made.done == ["v0", "v1", "v2"]
    run = train(out, tmp_path / "run")
    found = pipeline.detect(
        folder / "v2.mp4", run, out=tmp_path / "found", device="cpu", show_progress=False
    )
    with FeatureFile(out) as file, FeatureFile(tmp_path / "found" / "features.h5") as again:
        assert again.provenance["extractor"] == "i3d_windows"
        np.testing.assert_array_equal(file.rows("v2", ["rgb"]), again.rows("v2", ["rgb"]))
    assert found["v2"].detections
