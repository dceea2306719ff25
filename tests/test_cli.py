"""The command line: the three lines on encoded video, and what a mistake prints."""

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import pytest
from click.testing import CliRunner, Result

from tsatal import pipeline
from tsatal.cli import main, stoppable
from tsatal.commands import configs, demo

SMALL = [
    "--config", "paper", "--set", "model.width=16", "--set", "optim.epochs=1",
    "--set", "data.window_steps=20",
]  # fmt: skip


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def features(tmp_path_factory: pytest.TempPathFactory, write_toy: Callable[..., Path]) -> Path:
    return write_toy(tmp_path_factory.mktemp("toy") / "f.h5")


def test_the_three_lines_on_encoded_video_from_another_folder(tmp_path: Path) -> None:
    """Installed, as a user runs it; every stage real, only small."""
    videos = demo.write_demo_videos(
        tmp_path / "videos", training=2, validation=1, duration_sec=7.0, seed=0
    )
    (tmp_path / "videos" / "broken.mp4").write_text("not a video")

    def tsatal(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "tsatal", *arguments],
            cwd=tmp_path, capture_output=True, text=True, check=False,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )  # fmt: skip

    extraction = ("extract", "videos/", "out.h5", "--weights", "random", "--device", "cpu",
                  "--resize", "32", "--crop", "32")  # fmt: skip
    first = tsatal(*extraction)
    assert first.returncode == 1  # one video failed, the others are there
    assert "3 done" in first.stdout and "broken.mp4" in first.stdout + first.stderr
    (tmp_path / "videos" / "broken.mp4").unlink()
    again = tsatal(*extraction)
    assert again.returncode == 0 and "3 already there" in again.stdout
    with h5py.File(tmp_path / "out.h5") as file:
        assert sorted(file["videos"]) == sorted(p.stem for p in videos)
        rows = file[f"videos/{videos[0].stem}/rgb"]
        assert rows.shape == (35, 512)  # 7 s at one row every 0.2 s
    trained = tsatal("train", "--features", "out.h5", *SMALL)
    assert trained.returncode == 0, trained.stderr
    evaluated = tsatal("evaluate", "--json", "-")
    assert evaluated.returncode == 0, evaluated.stderr
    metrics = json.loads(evaluated.stdout)
    assert metrics["num_videos"] == 1 and 0 <= metrics["average_mAP"] <= 1
    [run_dir] = (tmp_path / "runs").iterdir()
    assert (run_dir / "predictions.json").exists() and list(run_dir.glob("timelines/*.png"))

    held_out = videos[-1]  # as a new video: the same detections as from its cached features
    detected = tsatal("detect", f"videos/{held_out.name}", "--out", "found", "--min-score", "0")
    assert detected.returncode == 0 and held_out.stem in detected.stdout, detected.stderr
    of_raw_video, of_features = (
        json.loads((folder / "predictions.json").read_text())
        for folder in (tmp_path / "found", run_dir)
    )
    assert of_raw_video["results"][held_out.stem] == of_features["results"][held_out.stem]
    assert len(of_raw_video["actionness"][held_out.stem]["values"]) == 35
    assert (tmp_path / "found" / "timelines" / f"{held_out.stem}.png").exists()


def test_evaluate_prints_what_was_measured(features: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    assert run("-q", "train", "--features", features, "--out", out, *SMALL).exit_code == 0
    result = run("evaluate", out, "--protocol", "thumos14", "--tiou", "0.4,0.6", "--timelines", 1)
    assert result.exit_code == 0, result.output
    for said in ("thumos14", "validation", "2 videos", "6 instances", "0.4", "0.6", "jump", "run"):
        assert said in result.output


def test_what_a_configuration_leaves_out_is_left_out_where_it_is(
    features: Path, tmp_path: Path
) -> None:
    """A name that a user types must be there; one of the settings need not have features."""
    left_out = ["--set", "eval.exclude=[video_2, video_elsewhere]"]
    trained = run("-q", "train", "--features", features, "--out", tmp_path, *SMALL, *left_out)
    assert trained.exit_code == 0, trained.output
    for runs in ([tmp_path], [tmp_path, tmp_path]):
        result = run("evaluate", *runs, "--timelines", 0)
        assert result.exit_code == 0, result.output
        assert ": 1 video, 3 instances" in result.output
    typed = run("evaluate", tmp_path, "--exclude", "video_elsewhere")
    assert typed.exit_code == 1 and "cannot exclude 'video_elsewhere'" in typed.output


def test_predictions_are_measured_without_a_run(tmp_path: Path) -> None:
    truth = {"v": {"subset": "test", "annotations": [{"label": "a", "segment": [0, 4]}]}}
    found = {"v": [{"label": "a", "segment": [0, 3], "score": 0.5}]}
    (tmp_path / "a.json").write_text(json.dumps({"database": truth}))
    (tmp_path / "p.json").write_text(json.dumps({"results": found}))
    result = run(
        "evaluate", "--predictions", tmp_path / "p.json", "--annotations", tmp_path / "a.json",
        "--subset", "test", "--tiou", "0.7:0.1:0.8", "--json", tmp_path / "m.json",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    metrics = json.loads((tmp_path / "m.json").read_text())
    assert metrics["mAP"] == {"0.7": 1.0, "0.8": 0.0} and metrics["average_mAP"] == 0.5


def test_resume_goes_on_with_the_newest_run(
    features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("train", "--features", features, *SMALL).exit_code == 0
    [run_dir] = (tmp_path / "runs").iterdir()
    (run_dir / "last.pt").unlink()
    result = run("train", "--resume")
    assert result.exit_code == 0 and str(run_dir.relative_to(tmp_path)) in result.output
    assert (run_dir / "last.pt").exists()


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["train", "--features", "missing.h5"], "missing.h5: no such file"),
        (["train"], "give --features"),
        (["train", "--resume", "--set", "optim.lr=1"], "under the run's own"),
        (["train", "--features", "x.h5", "--config", "papr"], "did you mean 'paper'"),
        (["train", "--features", "x.h5", "--set", "optim.epoch=1"], "did you mean 'optim.epochs'"),
        (["evaluate"], "holds no run"),
        (["evaluate", "nowhere"], "nowhere: not the folder of a run"),
        (["evaluate", "--predictions", "p.json"], "--predictions needs --annotations"),
        (["evaluate", "--tiou", "half"], "'half' is not a number"),
        (["evaluate", "--tiou", "0.7:0.1:0.3"], "'0.7:0.1:0.3' is not a number"),
        (["evaluate", "--protocol", "coco"], "'anet', 'thumos14'"),
        (["extract", "nowhere", "out.h5", "--weights", "random"], "nowhere"),
        (["extract", ".", "out.h5", "--weights", "random"], "no video"),
        (["configs", "papr"], "did you mean 'paper'"),
    ],
)
def test_a_mistake_is_one_clear_line_and_no_traceback(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = run(*arguments)
    assert result.exit_code != 0
    assert message in result.output and "Traceback" not in result.output
    assert not list(tmp_path.iterdir())


def test_configs_prints_every_setting() -> None:
    assert "paper" in run("configs").output.split()
    lines = run("configs", "activitynet").output.splitlines()
    where = lines.index("  min_instance_share: 0.75")
    assert lines[where - 1] == "  # Least share of an action inside the window drawn for it."


MISTAKES = (
    "extract nothing.mp4 out.h5",
    "extract f.h5 out.h5 --weights no.pt",
    "extract f.h5 out.h5 --annotations no.json",
    "extract f.h5 out.h5 --projection no.npy",
    "extract f.h5 other.txt --weights random",
    "train --features no.h5",
    "train --features f.h5 --config nosuch",
    "train --features f.h5 --set no.such=1",
    "train --features f.h5 --annotations no.json",
    "train --resume --out nowhere",
    "evaluate",
    "evaluate nowhere",
    "evaluate --predictions no.json --annotations no.json",
    "detect f.h5 --run nowhere",
    "view no.mp4 no.json",
    "report nowhere",
    "check no.h5",
    "info no",
    "export no.h5 out",
    "export-onnx nowhere o.onnx",
    "import nowhere out.h5 --format npy --fps 10 --stride-frames 4 --window-frames 16",
    "configs nosuch",
)


def test_a_wrong_path_is_told_before_torch_is_loaded(
    tmp_path: Path, write_toy: Callable[..., Path]
) -> None:
    """Loading it takes seconds of a processor; everything else together is a few tenths."""
    write_toy(tmp_path / "f.h5")
    (tmp_path / "other.txt").write_text("other")
    program = (
        "import sys\n"
        "from click.testing import CliRunner\n"
        "from tsatal.cli import main\n"
        f"for line in {MISTAKES!r}:\n"
        "    result = CliRunner().invoke(main, line.split())\n"
        "    print(line, result.exit_code, 'torch' in sys.modules, 'cv2' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [f"{line} 1 False False" for line in MISTAKES]


def test_detections_are_measured_without_torch_and_pictures(tmp_path: Path) -> None:
    entry = {"label": "a", "segment": [1, 2]}
    truth = {"v": {"subset": "test", "duration": 9, "annotations": [entry]}}
    (tmp_path / "a.json").write_text(json.dumps({"database": truth}))
    (tmp_path / "p.json").write_text(json.dumps({"results": {"v": [{**entry, "score": 1}]}}))
    program = (
        "import sys, tsatal\n"
        "print(tsatal.evaluate_predictions('p.json', 'a.json'))\n"
        "sys.exit(bool({'torch', 'matplotlib', 'cv2'} & set(sys.modules)))\n"
    )
    subprocess.run([sys.executable, "-c", program], cwd=tmp_path, check=True)


def test_only_our_own_log_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """The log of other libraries is shown from warnings on, whatever our level is."""
    root, ours, other = (logging.getLogger(name) for name in (None, "tsatal.x", "elsewhere"))
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", logging.WARNING)

    def speak(*arguments: object, **keywords: object) -> None:
        for logger in (ours, other):
            logger.info("%s: info", logger.name)
            logger.warning("%s: warning", logger.name)

    monkeypatch.setattr(configs.command, "callback", speak)
    loud, quiet = (CliRunner().invoke(main, [*flags, "configs"]) for flags in ((), ("-q",)))
    warnings = ["tsatal.x: warning", "elsewhere: warning"]
    assert loud.stderr.splitlines() == ["tsatal.x: info", *warnings]
    assert quiet.stderr.splitlines() == warnings
    assert root.handlers == [] and logging.getLogger("tsatal").level == logging.NOTSET


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--classes squat --run r", "--classes is a look without a run"),
        ("--classes squat --set decode.min_score=0.1", "--set needs a run"),
        ("--features f.h5", "--features needs a run"),
        ("--classes squat --weights no.pt", "no such file"),
        ("--classes sqat", "no class 'sqat'; there are 'squat'"),
    ],
)
def test_a_look_without_a_run_takes_what_it_can_use(
    words: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "v.mp4").write_bytes(b"no video")
    result = run("detect", "v.mp4", *words.split())
    assert result.exit_code in (1, 2) and says in result.output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_library_that_makes_another_exception_of_a_signal_is_stopped_too(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As pybind11 does, which tries an overloaded function's next form."""

    def fails(*args: object, **options: object) -> None:
        with contextlib.suppress(KeyboardInterrupt):
            os.kill(os.getpid(), number)
            time.sleep(5)
        raise TypeError("incompatible function arguments")

    monkeypatch.setattr(pipeline, "convert", fails)
    result = run("convert", "a.csv", "b.srt")
    assert result.exit_code == 128 + number
    assert result.stderr.startswith("Error: stopped; ") and result.stderr.count("\n") == 1
    monkeypatch.setattr(pipeline, "convert", lambda *args, **options: [][1])
    assert isinstance(run("convert", "a.csv", "b.srt").exception, IndexError)  # a fault of ours


def test_what_fails_because_it_is_stopped_is_not_printed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    printed: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda lost: printed.append(lost.exc_value))

    class Closing:
        def __init__(self, stopped: bool) -> None:
            self.stopped = stopped

        def __del__(self) -> None:
            try:
                if self.stopped:
                    raise KeyboardInterrupt
                raise OSError
            except BaseException:
                raise AttributeError("flush")  # noqa: B904

    had = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), stoppable():
        Closing(stopped=False)
        assert len(printed) == 1
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(1)
        finally:
            Closing(stopped=True)
    assert len(printed) == 1 and signal.getsignal(signal.SIGTERM) is had
