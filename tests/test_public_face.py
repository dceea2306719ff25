"""What `import tsatal` gives: everything by name, nothing before it is used, paths as strings."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import tsatal
from tsatal.extract.settings import ExtractSettings

WriteToy = Callable[..., Path]
SPINNING = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME")
SMALL = ["model.width=16", "data.window_steps=20", "optim.epochs=1"]


def test_every_public_name_is_there() -> None:
    for name in tsatal.__all__:
        assert getattr(tsatal, name) is not None and name in dir(tsatal)
    with pytest.raises(AttributeError, match="no attribute 'detekt'"):
        tsatal.detekt  # noqa: B018


def test_importing_is_quick_and_loads_nothing_heavy() -> None:
    """Less than a tenth of a processor's second in the best of five, beside Python's own start."""
    code = (
        "import sys, time; began = time.process_time(); import tsatal; "
        "print(time.process_time() - began); "
        "sys.exit(bool({'torch', 'numpy', 'cv2', 'h5py', 'pydantic'} & set(sys.modules)))"
    )
    runs = [
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        for _ in range(5)
    ]
    assert min(float(done.stdout) for done in runs) < 0.1


def test_the_folder_of_stage_one_is_the_function_too(tmp_path: Path) -> None:
    assert tsatal.extract.settings.ExtractSettings is ExtractSettings  # type: ignore[attr-defined]
    with pytest.raises(tsatal.InputError, match="nowhere: no such file or folder"):
        tsatal.extract(str(tmp_path / "nowhere"), "out.h5", weights="random")
    with pytest.raises(tsatal.InputError, match="crop"):
        tsatal.extract(str(tmp_path), "out.h5", crop=3)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, write_toy: WriteToy) -> tuple[str, str]:
    folder = tmp_path_factory.mktemp("face")
    features = str(write_toy(folder / "f.h5"))
    run = tsatal.train(features, "paper", overrides=SMALL, run=str(folder / "run"), device="cpu")
    return features, str(run)


def test_a_training_needs_no_more_than_features(
    trained: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = tsatal.train(trained[0], tsatal.load_config("paper", SMALL))
    assert run.parent == Path("runs") and (run / "last.pt").exists()
    assert tsatal.evaluate(timelines=0).evaluation.subset == "validation"  # of the newest run


def test_an_evaluation_shows_itself(trained: tuple[str, str]) -> None:
    report = tsatal.evaluate(trained[1], timelines=0, device="cpu")
    assert repr(report).startswith("mAP ") and "\n" not in repr(report)
    assert "average precision in %" in str(report)
    assert report._repr_html_().startswith("<table") and "jump" in report._repr_html_()
    rows = report.to_dicts()
    assert [row["label"] for row in rows] == ["jump", "run"]
    assert rows[0]["mean"] == pytest.approx(report.evaluation.per_class["jump"].mean())


def test_detections_show_themselves(trained: tuple[str, str], tmp_path: Path) -> None:
    features, run = trained
    found = tsatal.detect(features, run, out=str(tmp_path), top=3, min_score=0.0, device="cpu")
    video = found["video_2"]
    assert len(found) == 6 and len(video.detections) == 3
    assert repr(video).startswith("video_2 (30 s): 3 detections; best: ")
    assert repr(found).count("\n") == 5
    assert video._repr_html_().lstrip().startswith("<svg") and "video_2" in video._repr_html_()
    assert found._repr_html_().count("<svg") == 6
    row = video.to_dicts()[0]
    assert row == {
        "video": "video_2", "label": video.detections[0].label,
        "start_sec": video.detections[0].start_sec, "end_sec": video.detections[0].end_sec,
        "score": video.detections[0].score,
    }  # fmt: skip
    assert len(found.to_dicts()) == 18


def test_pandas_is_asked_for_in_one_line(
    trained: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = tsatal.detect(trained[0], trained[1], out=tmp_path, top=1, device="cpu")
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(tsatal.InputError, match="pip install pandas"):
        found.to_pandas()


def test_a_frame_has_a_row_per_detection(trained: tuple[str, str], tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    found = tsatal.detect(trained[0], trained[1], out=tmp_path, top=2, min_score=0.0, device="cpu")
    frame = found.to_pandas()
    assert isinstance(frame, pandas.DataFrame) and frame.shape == (12, 5)
    assert list(tsatal.evaluate(trained[1], timelines=0).to_pandas()["label"]) == ["jump", "run"]


def test_a_detector_and_a_file_by_name(trained: tuple[str, str]) -> None:
    detector = tsatal.load_detector(trained[1])
    with tsatal.FeatureFile(trained[0]) as file:
        found = detector.in_file(file, "video_0")
    assert found.detections and found.actionness.step_sec == 0.5


@pytest.mark.parametrize(
    ("given", "policy"),
    [
        ({}, "PASSIVE"),
        ({"OMP_WAIT_POLICY": "active"}, "ACTIVE"),
        ({"GOMP_SPINCOUNT": "7"}, None),
        ({"KMP_BLOCKTIME": "1"}, None),
    ],
)
def test_waiting_threads_sleep_unless_the_user_says_otherwise(
    given: dict[str, str], policy: str | None
) -> None:
    """OpenMP itself says what it has read, where it is the GNU one, as in torch's Linux builds."""
    env = {k: v for k, v in os.environ.items() if k not in SPINNING} | given
    program = "import tsatal, os; print(os.environ.get('OMP_WAIT_POLICY')); import tsatal.head.tsa"
    done = subprocess.run(
        [sys.executable, "-c", program], env=env | {"OMP_DISPLAY_ENV": "TRUE"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip().upper() == str(policy).upper()
    if policy and "OMP_WAIT_POLICY" in done.stderr:
        assert f"OMP_WAIT_POLICY = '{policy}'" in done.stderr


def test_a_torch_that_came_first_is_said(tmp_path: Path) -> None:
    program = (
        "import logging, os, sys, torch\n"
        "logging.basicConfig(level=logging.INFO)\n"
        "import tsatal\n"
        "assert 'OMP_WAIT_POLICY' not in os.environ\n"
    )
    env = {k: v for k, v in os.environ.items() if k not in SPINNING}
    done = subprocess.run(
        [sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True
    )
    assert "torch was imported before tsatal" in done.stderr
