"""Train and evaluate as functions, on small feature files."""

import json
import logging
import re
import shutil
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import av
import h5py
import numpy as np
import pytest
from click.testing import CliRunner

from tsatal import pipeline
from tsatal.cli import main
from tsatal.commands.demo import write_demo_videos
from tsatal.config import load_config
from tsatal.errors import InputError
from tsatal.extract.backbones.family import kinetics_400
from tsatal.extract.backbones.i3d import DenseI3d
from tsatal.formats.feature_writer import write_feature_file
from tsatal.formats.features import FeatureFile, VideoFeatures
from tsatal.formats.predictions import load_predictions, load_thresholds
from tsatal.head import run as runs
from tsatal.head.checkpoint import load_checkpoint
from tsatal.head.windows import draw_windows
from tsatal.reports import pictures, viewer

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
    assert of_file.to_json() | {"notes": of_run.to_json()["notes"]} == of_run.to_json()


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
    with pytest.raises(InputError, match="fps 25, the run was trained on fps unknown"):
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
    caplog.set_level(logging.DEBUG, "tsatal")
    config = load_config("strong", ["optim.epochs=1", "data.least_steps=1", "model.width=16"])
    for places, said in ((0.0, "nothing is normalised"), (0.5, "8 of 16 channels are normalised")):
        caplog.clear()
        features = write_toy(tmp_path / f"{places}.h5", places=places)
        pipeline.train(features, config, run=tmp_path / f"run-{places}")
        assert f"; so {said} within each video" in caplog.text


def test_detections_are_multiplied_by_scores_of_whole_videos(
    features: Path, tmp_path: Path
) -> None:
    run = train(features, tmp_path / "run")
    measured = pipeline.evaluate(run, device="cpu")
    assert measured.outcome
    (run / "operating_point.json").unlink()  # the product is of the head's own scores
    pipeline.evaluate(run, device="cpu")
    before = load_predictions(run / "predictions.json")
    scores = tmp_path / "scores.json"
    scores.write_text(json.dumps({v: {"jump": 0.0, "run": 0.5} for v in before}))
    report = pipeline.evaluate(run, device="cpu", video_scores=scores, out=tmp_path / "out")
    assert report.outcome is None and not load_thresholds(tmp_path / "out" / "predictions.json")
    after = load_predictions(tmp_path / "out" / "predictions.json")
    for video_id, detections in after.items():
        assert len(detections) == len(before[video_id])
        assert all(d.score == 0 for d in detections if d.label == "jump")
        kept = sorted(d.score for d in before[video_id] if d.label == "run")
        assert [2 * d.score for d in detections if d.label == "run"] == pytest.approx(kept[::-1])


def test_a_run_that_was_stopped_says_so_wherever_its_figures_stand(
    features: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    done = train(features, tmp_path / "done")
    stopped = tmp_path / "stopped"
    shutil.copytree(done, stopped)
    config = (stopped / "config.yaml").read_text().replace("epochs: 2", "epochs: 9")
    (stopped / "config.yaml").write_text(config)
    note = f"weights after 2 of 9 epochs; `tsatal train --resume --out {stopped}` goes on"

    def said(*command: object) -> str:
        return CliRunner().invoke(main, [str(c) for c in command]).output

    assert "epochs" not in said("evaluate", done, "--timelines", 0).partition("tIoU")[2]
    assert note in said("evaluate", stopped, "--timelines", 0)
    metrics = json.loads((stopped / "metrics.json").read_text())
    assert metrics["epochs"] == {"done": 2, "of": 9, "checkpoint": "last"}
    assert any(note in each for each in metrics["notes"])
    (stopped / "report.html").unlink()
    said("report", stopped)
    assert note in (stopped / "report.html").read_text()
    table = said("evaluate", done, stopped, "--timelines", 0)
    assert f"{stopped} (after 2 of 9 epochs)" in table and f"{done} (" not in table
    caplog.clear()
    pipeline.detect(features, stopped, out=tmp_path / "d", device="cpu")
    assert any(note in message for message in caplog.messages)
    best = pipeline.evaluate(stopped, checkpoint="best", timelines=0, device="cpu")
    assert "the best on the validation subset" in best.evaluation.notes[-1]


def test_a_run_says_what_made_it_and_each_resume_too(features: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    settings = [f"--set={s}" for s in SMALL]
    arguments = ["train", "--features", features, "--out", run, "--config=paper", *settings]
    assert CliRunner().invoke(main, [str(a) for a in arguments]).exit_code == 0
    pipeline.resume(run, device="cpu")
    first, second = json.loads((run / "run.json").read_text())
    assert first["command"].startswith(f"tsatal train --features {features} --out {run} ")
    assert (first["from_epoch"], second["from_epoch"]) == (0, 2)
    told = CliRunner().invoke(main, ["info", str(run)]).output
    assert first["commit"] is None or first["commit"][:12] in told
    assert f"command      {first['command']}" in told
    (run / "run.json").unlink()  # as of an older version
    assert "made_by         -" in CliRunner().invoke(main, ["info", str(run)]).output


def test_a_class_has_one_colour_in_all_pictures_of_a_run(
    write_toy: WriteToy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the subset has, and for classes that were never trained too."""
    features = write_toy(tmp_path / "f.h5")
    with h5py.File(features, "a") as file:
        truth = json.loads(file["annotations"].asstr()[()])
        for n, video in enumerate(truth["database"].values()):
            if video["subset"] == "validation":
                for action in video["annotations"]:
                    action["label"] = "a new one" if n < 4 else "run"
        del file["annotations"]
        file["annotations"] = json.dumps(truth)
    annotations = tmp_path / "a.json"
    annotations.write_text(json.dumps(truth))
    seen: dict[str, set[str]] = {}
    colours = pictures.present_colours

    def present_colours(labels: Sequence[str], present: Collection[str]) -> dict[str, str]:
        for label, colour in colours(labels, present).items():
            seen.setdefault(label, set()).add(colour)
        return colours(labels, present)

    monkeypatch.setattr(pictures, "present_colours", present_colours)
    monkeypatch.setattr(viewer, "present_colours", present_colours)
    run = train(features, tmp_path / "run")
    pipeline.evaluate(run, device="cpu")
    pipeline.detect(features, run, annotations=annotations, pages=True, device="cpu")
    videos = write_demo_videos(tmp_path / "v", training=0, validation=1, duration_sec=3.0, seed=0)
    for given in (None, annotations):
        viewer.view_predictions(
            videos[0], run / "predictions.json", tmp_path / "p.html", annotations=given,
            video_id="video_2",
        )  # fmt: skip
    assert set(seen) == {"jump", "run", "a new one"}
    assert all(len(of) == 1 for of in seen.values()) and len(set().union(*seen.values())) == 3


def test_coverage_knows_the_durations_that_only_the_features_have(
    write_toy: WriteToy, tmp_path: Path
) -> None:
    features = write_toy(tmp_path / "f.h5")
    with h5py.File(features, "a") as file:
        truth = json.loads(file["annotations"].asstr()[()])
        for video in truth["database"].values():
            del video["duration"]
        del file["annotations"]
        file["annotations"] = json.dumps(truth)
    run = train(features, tmp_path / "run")
    pipeline.evaluate(run, timelines=0, device="cpu")
    for _ in range(2):
        assert "duration not known" not in (run / "report.json").read_text()
        pipeline.report(run)


def test_no_pictures_are_drawn_where_none_are_wanted(features: Path, tmp_path: Path) -> None:
    run = train(features, tmp_path / "run")
    report = pipeline.evaluate(run, timelines=0, device="cpu")
    assert not (run / "timelines").exists() and all(p.exists() for p in report.written)


def test_a_training_says_what_it_leaves_out_and_how_long_it_is(
    write_toy: WriteToy, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    features = write_toy(tmp_path / "f.h5", videos=6)
    with h5py.File(features, "a") as file:
        truth = json.loads(file["annotations"].asstr()[()])
        truth["database"]["video_0"]["annotations"] = []
        del file["annotations"]
        file["annotations"] = json.dumps(truth)
    caplog.set_level(logging.DEBUG, logger="tsatal")
    train(features, tmp_path / "run", "model.instance_norm=0.5")
    said = "\n".join(caplog.messages)
    assert "training on 4 videos of subset 'training' (2 min, 1 of them without actions): " in said
    assert "actions: run 5, jump 4; all classes have fewer than 10: rough figures" in said
    assert "an action lasts 4 s in the median, 4 to 4; in 70% of the time nothing goes on" in said
    assert "validation on 2 videos of subset 'validation' (6 actions), not learned from" in said
    assert "they are the test videos too" in said
    assert "6 steps in all: 2 epochs of 3 steps, each epoch with 36 windows around actions" in said
    assert "epoch 2 of 2: validation mAP " in said and "from now on, what scores enough" in said
    assert "6 steps: few to learn from" in said
    assert "whole videos look much alike (their differences are" in said


def test_a_run_on_rows_of_another_backbone_detects_in_raw_videos(tmp_path: Path) -> None:
    """Training and detection, with nothing but the run to say which network it was."""
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
    more: dict[str, Any] = {
        "weights": "random",
        "crop": 32,
        "resize": 32,
        "fps": 10,
        "device": "cpu",
    }
    out = tmp_path / "f.h5"
    made = pipeline.extract(folder, out, backbone="i3d_windows", show_progress=False, **more)
    assert made.done == ["v0", "v1", "v2"]
    run = train(out, tmp_path / "run")
    found = pipeline.detect(
        folder / "v2.mp4", run, out=tmp_path / "found", device="cpu", show_progress=False
    )
    with FeatureFile(out) as file, FeatureFile(tmp_path / "found" / "features.h5") as again:
        assert again.provenance["extractor"] == "i3d_windows"
        np.testing.assert_array_equal(file.rows("v2", ["rgb"]), again.rows("v2", ["rgb"]))
    assert found["v2"].detections


def test_a_first_look_has_one_colour_for_a_class_and_hides_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = iter(["squat", "push up"])

    def one_class_a_video(self: DenseI3d, rows: np.ndarray) -> np.ndarray:
        logits = np.zeros((len(rows), 400), np.float32)
        logits[:, kinetics_400().index(next(names))] = 20.0
        return logits

    monkeypatch.setattr(DenseI3d, "logits", one_class_a_video)
    videos = write_demo_videos(tmp_path / "v", training=0, validation=2, duration_sec=3.0, seed=0)
    seen = pipeline.first_look(
        tmp_path / "v", out=tmp_path / "out", pages=True, show_progress=False,
        crop=32, resize=32, weights="random", device="cpu",
    )  # fmt: skip
    assert [video.detections[0].label for video in seen.values()] == ["squat", "push up"]
    assert all(video.labels == ["push up", "squat"] for video in seen.values())
    written = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert written["labels"] == ["push up", "squat"]
    for video in videos:
        page = (tmp_path / "out" / f"{video.stem}.html").read_text()
        [slider] = re.findall(r'"slider": ?(\{.*?\})', page)
        assert json.loads(slider)["start"] == 0


def test_a_first_look_takes_the_scores_that_a_feature_file_has(tmp_path: Path) -> None:
    """The last row of a dense network is left out; of others it counts."""
    names = ("squat", "push up")
    values = np.array([[0.1, 0.9]] * 6 + [[1.0, 0.0]], np.float16)
    rows = {"rgb": np.zeros((7, 3))}
    for extractor, last in (("i3d", 0.9), ("mine", 0.55)):  # a mean of two rows
        path = tmp_path / f"{extractor}.h5"
        video = VideoFeatures("v", rows, 0.4, 0.64, 4.5, scores=values)
        write_feature_file(path, [video], provenance={"extractor": extractor}, classes=names)
        seen = pipeline.first_look(path, out=tmp_path / "out", show_progress=False)
        assert [d.label for d in seen["v"].detections] == ["push up"] and seen.extraction is None
        assert seen["v"].actionness.values[-1] == pytest.approx(last, abs=0.01)
    only = pipeline.first_look(path, out=tmp_path / "out", classes=["squats"], show_progress=False)
    assert {d.label for d in only["v"].detections} <= {"squat"}
    write_feature_file(path, [VideoFeatures("v", rows, 0.4, 0.64, 4.5)], provenance={})
    with pytest.raises(InputError, match="holds no class scores; `tsatal extract --scores`"):
        pipeline.first_look(path, out=tmp_path / "out")


def test_rows_of_other_settings_are_not_mixed_with_those_of_a_look(tmp_path: Path) -> None:
    write_demo_videos(tmp_path / "v", training=0, validation=1, duration_sec=2.0, seed=0)
    small: dict[str, Any] = {"crop": 32, "weights": "random", "device": "cpu"}
    small |= {"out": tmp_path / "out", "show_progress": False}
    pipeline.first_look(tmp_path / "v", resize=32, **small)
    with pytest.raises(InputError, match=r"\(resize .*\); choose another folder with --out$"):
        pipeline.first_look(tmp_path / "v", resize=40, **small)


def test_a_first_look_needs_no_run_and_no_label(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def sure_of_squats(self: DenseI3d, rows: np.ndarray) -> np.ndarray:
        logits = np.zeros((len(rows), 400), np.float32)
        logits[:, kinetics_400().index("squat")] = 20.0
        return logits

    monkeypatch.setattr(DenseI3d, "logits", sure_of_squats)
    videos = write_demo_videos(tmp_path / "v", training=0, validation=2, duration_sec=3.0, seed=0)
    small: dict[str, Any] = {"crop": 32, "resize": 32, "weights": "random", "device": "cpu"}
    for _ in range(2):  # extracted, and then from the file
        seen = pipeline.first_look(
            tmp_path / "v", out=tmp_path / "out", pages=True, show_progress=False, **small
        )
        assert list(seen) == [v.stem for v in videos]
        for video in seen.values():
            [found] = video.detections
            assert (found.label, found.start_sec) == ("squat", 0.0)
            assert found.end_sec == pytest.approx(3.0, abs=0.1) and found.score > 0.9
    captions = (tmp_path / "out" / f"{videos[0].stem}.vtt").read_text()
    assert captions.startswith("WEBVTT\n\n00:00:00.000 --> 00:00:0") and "squat (1.00)" in captions
    assert (tmp_path / "out" / f"{videos[0].stem}.html").exists()
    none = pipeline.first_look(
        tmp_path / "v", out=tmp_path / "out", classes=["pull up"], show_progress=False, **small
    )
    assert not any(video.detections for video in none.values())
    with pytest.raises(InputError, match="no class 'sqat'; there are 'squat'"):
        pipeline.first_look(tmp_path / "v", out=tmp_path / "out", classes=["sqat"], **small)
