"""Messages for users: each says what is wrong and where, and some say what the command line does.

Most messages are met in the tests of the modules that they come from; here are those that it takes
the command line to meet. docs/errors.md says how errors work.
"""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import pytest
from click.testing import CliRunner

from tsatal import pipeline
from tsatal.cli import main
from tsatal.errors import InputError, how_to_install
from tsatal.formats.feature_writer import write_feature_file
from tsatal.formats.features import VideoFeatures

ROOT = Path(__file__).parents[1]
NO_PACKAGE = {"tests", "benchmarks", "examples", "build", "dist", "demo"}

# What takes a message: what the command line shows, and what hands a message on to it.
RAISED = {
    "InputError", "VideoError", "UnknownTimes", "UsageError", "BadParameter", "ClickException",
}  # fmt: skip
# How a message without a value names its place: an option, a command, a file or a setting of ours.
NAMES_A_PLACE = re.compile(r"--[a-z]|`tsatal |\b[a-z]+_[a-z]+\b|\b[A-Z]+\.(h5|json)\b")
# These are shown after the place, which whoever catches or calls puts before them.
PLACE_IS_PUT_BEFORE = {
    "no ground truth: none of the videos has a labelled instance",
    "the label is empty",
}


def messages() -> Iterator[tuple[str, str]]:
    """Yield every message that is raised: where, and its text, `…` where it varies."""
    for path in sorted(ROOT.rglob("*.py")):
        inside = path.relative_to(ROOT)
        if inside.parts[0] in NO_PACKAGE or inside.parts[0].startswith("."):
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and last_name(node.func) in RAISED:
                for text in filter(None, map(message, node.args)):
                    yield f"{inside}:{node.lineno}", text


def message(node: ast.expr) -> str | None:
    """Return the text of a string or f-string, `…` where it varies, or None."""
    if isinstance(node, ast.JoinedStr):
        return "".join(message(part) or "…" for part in node.values)
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def last_name(node: ast.expr) -> str:
    """Return the last name in `a` or `a.b`: `a` or `b`."""
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def names_its_place(text: str) -> bool:
    return "…" in text or bool(NAMES_A_PLACE.search(text)) or text in PLACE_IS_PUT_BEFORE


def test_every_message_names_its_place() -> None:
    """Readers of labels know no path: `formats.labels.find` puts it before what they say."""
    nowhere = [(where, text) for where, text in messages() if not names_its_place(text)]
    assert [m for m in nowhere if not m[0].startswith("formats/labels/")] == []


def test_a_message_is_one_line_that_ends_without_a_stop() -> None:
    wrong = [
        (where, text)
        for where, text in messages()
        if "\n" in text or text != text.strip() or text.endswith((".", "!"))
    ]
    assert wrong == []


def test_there_are_messages_to_look_at() -> None:
    assert len(list(messages())) > 150


@pytest.mark.parametrize(
    ("code", "named"),
    [
        ('InputError("no such file")', False),
        ('InputError(f"{path}: no such file")', True),
        ('InputError("give --features FILE.h5")', True),
        ('errors.InputError("something is wrong with the " "file")', False),
    ],
)
def test_a_message_without_its_place_would_be_found(code: str, named: bool) -> None:
    call = ast.parse(code, mode="eval").body
    assert isinstance(call, ast.Call) and last_name(call.func) in RAISED
    text = message(call.args[0])
    assert text and names_its_place(text) == named


SMALL = [
    "--config", "paper", "--set", "model.width=16", "--set", "optim.epochs=1",
    "--set", "data.window_steps=20",
]  # fmt: skip
ENTRY = {"label": "run", "segment": [0, 1], "score": 0.5}
FOUND = {"results": {"v": [ENTRY]}}
TRUTH = {"database": {"v": {"subset": "test", "annotations": [ENTRY]}}}
EVALUATE = "evaluate --predictions p.json --annotations a.json"
IMPORT = "import arrays f.h5 --format npy --fps 10 --stride-frames 4 --window-frames 16"


def said(command: str, *more: object) -> str:
    """Return the line that a command fails with."""
    result = CliRunner().invoke(main, [*command.split(), *map(str, more)])
    assert result.exit_code in (1, 2, 130) and "Traceback" not in result.output, result.output
    assert isinstance(result.exception, SystemExit), result.exception
    return result.stderr.strip().splitlines()[-1]


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, write_toy: Callable[..., Path]) -> Path:
    """A trained run, whose features are beside it."""
    folder = tmp_path_factory.mktemp("trained")
    features = write_toy(folder / "f.h5")
    out = folder / "run"
    arguments = ["-q", "train", "--features", str(features), "--out", str(out), *SMALL]
    assert CliRunner().invoke(main, arguments).exit_code == 0
    return out


@pytest.mark.parametrize(
    ("command", "files", "line"),
    [
        (
            "view v.mp4 p.json",
            {"p.json": FOUND | {"actionness": []}},
            "'actionness' must be a dict",
        ),
        (
            "view v.mp4 p.json",
            {"p.json": FOUND | {"actionness": {"v": {"values": [1], "step_sec": 0}}}},
            "p.json: actionness of v: 'step_sec' must be above 0, is 0.0",
        ),
        (EVALUATE, {"p.json": FOUND, "a.json": "1" * 5000}, "a.json: JSON that cannot be read"),
        (
            EVALUATE,
            {"p.json": FOUND, "a.json": {"database": {"\ud800": {}}}},
            r"a.json: '\ud800' is not valid text",
        ),
        ("evaluate one two --out o", {}, "several runs are written into their own folders"),
        (
            "train --features f.h5 --config c.yaml --set data.streams=[rgb]",
            {"c.yaml": "data: 5"},
            "section 'data' must hold keys",
        ),
        ("extract l.txt o.h5 --weights random", {"l.txt": b"\xe9.mp4"}, "l.txt: not a text file"),
        (
            "extract v.mp4 o.h5 --weights random --weights-sha256 00",
            {"v.mp4": ""},
            "--weights-sha256 is for a checkpoint",
        ),
        (f"{IMPORT} --flow arrays", {"arrays/v.npy": ""}, "is the first stream's place too"),
        (
            f"{IMPORT} --flow flow",
            {"arrays/v.npy": "", "flow/w.npy": ""},
            "arrays: no video can be imported: v: has no array of flow",
        ),
        (IMPORT, {"arrays/v.npz": np.zeros((9, 3))}, "v.npz: cannot be read: not an .npz file"),
        (
            f"{IMPORT} --flow flow --split-at 1 --no-transpose",
            {"arrays/v.npy": np.zeros((9, 3)), "flow/v.npy": np.zeros((9, 3))},
            "--split-at is for arrays that hold both streams; flow is there already",
        ),
    ],
)
def test_a_mistake_on_the_command_line(command: str, files: dict[str, Any], line: str) -> None:
    for name, content in files.items():
        Path(name).parent.mkdir(exist_ok=True)
        with open(name, "wb") as file:
            if isinstance(content, np.ndarray):
                np.save(file, content)
            else:
                text = json.dumps(content) if isinstance(content, dict) else content
                file.write(text.encode() if isinstance(text, str) else text)
    assert line in said(command)


def other_step(file: h5py.File) -> None:
    for video in file["videos"].values():
        video.attrs["step_sec"] = 0.0


def other_group(file: h5py.File) -> None:
    del file["videos/video_0"]
    file["videos/video_0"] = 1


def other_name(file: h5py.File) -> None:
    file["videos"].create_group(b"\xff")


def other_rows(file: h5py.File) -> None:
    del file["videos/video_0/rgb"]
    file["videos/video_0/rgb"] = np.zeros(60)


def fewer_rows(file: h5py.File) -> None:
    del file["videos/video_0/rgb"]
    file.create_dataset("videos/video_0/rgb", (10**6, 8), np.float32, chunks=(100, 8))


def other_streams(file: h5py.File) -> None:
    file.move("videos/video_0/rgb", "videos/video_0/flow")


def unknown_type(file: h5py.File) -> None:
    del file.attrs["format"]
    scalar = h5py.h5s.create(h5py.h5s.SCALAR)
    h5py.h5a.create(file.id, b"format", h5py.h5t.UNIX_D32LE, scalar)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (other_step, "f.h5: has no video whose rows have a place in time"),
        (other_group, "f.h5: video_0: is no group with streams in it"),
        (other_name, r"f.h5: the video id '\udcff' is not valid text"),
        (other_rows, "f.h5: video_0: rgb: a table (T, D) of numbers is needed"),
        (fewer_rows, "f.h5: video_0: rgb: damaged (holds fewer rows than the 1,000,000 it"),
        (other_streams, "f.h5: has no stream that all videos have"),
        (unknown_type, "f.h5: damaged (No NumPy equivalent"),
    ],
)
def test_a_feature_file_that_something_else_wrote(
    change: Callable[[h5py.File], None], line: str, write_toy: Callable[..., Path]
) -> None:
    with h5py.File(write_toy(Path("f.h5"), videos=2), "a") as file:
        change(file)
    assert line in said("export f.h5 out")


def test_a_step_that_is_no_time(write_toy: Callable[..., Path]) -> None:
    with h5py.File(write_toy(Path("f.h5")), "a") as file:
        other_step(file)
    assert "video_0: step_sec must be at least 1e-06 and all times at most 1e+09" in said(
        "train --features f.h5"
    )


def test_an_id_that_no_file_can_hold() -> None:
    video = VideoFeatures("a/b", {"rgb": np.zeros((3, 2))}, 0.0, 1.0, 3.0)
    with pytest.raises(InputError, match="the video id 'a/b' has a '/' in it; rename the video"):
        write_feature_file("f.h5", [video], provenance={})


def test_actions_of_no_length_are_none_to_learn_from(write_toy: Callable[..., Path]) -> None:
    entry = {"label": "run", "segment": [3, 3]}
    database = {
        f"video_{n}": {"subset": subset, "annotations": [entry]}
        for n, subset in enumerate(("training", "validation"))
    }
    Path("a.json").write_text(json.dumps({"database": database}))
    write_toy(Path("f.h5"))
    line = said("train --features f.h5 --annotations a.json")
    said_so = (
        "Error: a.json: subset 'training' has no action to learn from; `tsatal check` says why"
    )
    assert line == said_so


def test_annotations_of_other_videos(run: Path) -> None:
    Path("a.json").write_text(json.dumps(TRUTH))
    line = said("evaluate --annotations a.json --subset test", run)
    assert "f.h5: has features of none of the 1 test videos" in line


def test_two_feature_files_with_one_video(run: Path) -> None:
    features = run.parent / "f.h5"
    (run.parent / "again.h5").write_bytes(features.read_bytes())
    line = said("detect --out o --run", run, features, run.parent / "again.h5")
    assert "two videos have the id 'video_0'; detect in one after the other" in line


def test_settings_that_were_edited(run: Path) -> None:
    for name in ("config.yaml", "data.json", "last.pt"):
        Path(name).write_bytes((run / name).read_bytes())
    edited = Path("config.yaml").read_text().replace("width: 16", "width: 24")
    Path("config.yaml").write_text(edited)
    assert "last.pt: does not fit config.yaml (" in said("evaluate .")


@pytest.mark.parametrize(
    ("function", "command", "error", "line"),
    [
        ("train", "train --features f.h5 --out r", KeyboardInterrupt(), "stopped; nothing was "
         "written; give the same command again"),
        ("evaluate_predictions", EVALUATE, MemoryError("9 GB"), "out of memory (9 GB); on a GPU, "
         "a smaller --segment, optim.batch_size or data.window_steps may help"),
    ],
)  # fmt: skip
def test_what_stops_a_command(
    function: str, command: str, error: BaseException, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*arguments: object, **options: object) -> None:
        raise error

    monkeypatch.setattr(pipeline, function, stopped)
    assert said(command) == f"Error: {line}"


def test_an_opencv_that_writes_no_video(monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed:
        """A video writer that did not open."""

        fourcc = staticmethod(cv2.VideoWriter.fourcc)

        def __init__(self, *arguments: object) -> None: ...

        def isOpened(self) -> bool:
            return False

    monkeypatch.setattr(cv2, "VideoWriter", Closed)
    assert "OpenCV cannot write MPEG-4 video here" in said("demo")


WIDTHS = r"rows of one width are needed: 8 in 'video_0', 7 in 'video_1'; `tsatal check` names all"


@pytest.mark.parametrize(
    ("command", "line"),
    [
        ("train --features f.h5", WIDTHS),
        ("evaluate RUN --features f.h5", WIDTHS),
        ("detect f.h5 --run RUN --out o", WIDTHS),
        ("export f.h5 o", WIDTHS),
    ],
)
def test_videos_of_different_widths(
    command: str, line: str, run: Path, write_toy: Callable[..., Path]
) -> None:
    with h5py.File(write_toy(Path("f.h5")), "a") as file:
        del file["videos/video_1/rgb"]
        file["videos/video_1/rgb"] = np.zeros((60, 7), np.float32)
    words = [str(run) if word == "RUN" else word for word in command.split()]
    assert line in said("", *words)
    assert sorted(p.name for p in Path().iterdir()) == ["f.h5"]


def test_check_and_info_say_which_widths_differ(write_toy: Callable[..., Path]) -> None:
    with h5py.File(write_toy(Path("f.h5")), "a") as file:
        del file["videos/video_1/rgb"]
        file["videos/video_1/rgb"] = np.ones((60, 7), np.float32)
    checked = CliRunner().invoke(main, ["check", "f.h5"])
    assert checked.exit_code == 1 and "video_1: rgb is 7 wide, not 8" in checked.output
    assert "differs between videos" in CliRunner().invoke(main, ["info", "f.h5"]).output


def test_very_many_actions_in_one_window(write_toy: Callable[..., Path]) -> None:
    with h5py.File(write_toy(Path("f.h5"), videos=3), "a") as file:
        truth = json.loads(file["annotations"].asstr()[()])
        entry = {"label": "run", "segment": [1.0, 29.0]}
        for video in truth["database"].values():
            video["annotations"] = [entry] * 10_000
        del file["annotations"]
        file["annotations"] = json.dumps(truth)
    words = "train --features f.h5 --out o --set model.width=8 --device cpu"
    line = said(f"--memory 0.1 {words}")
    assert "windows of up to 10,000 actions each would take" in line
    assert "a smaller optim.batch_size or data.window_steps, or `tsatal --memory" in line


def test_a_head_that_no_memory_holds(write_toy: Callable[..., Path]) -> None:
    write_toy(Path("f.h5"), videos=3)
    wide = "--set model.width=4096 --set model.levels=12 --set data.window_steps=4096"
    line = said(f"train --features f.h5 --out o {wide}")
    assert "model.width 4096: a head of" in line and "a smaller model.width" in line


@pytest.mark.parametrize(
    ("command", "line"),
    [
        ("extract v o.h5 --resize 20000", "20000 is not in the range 32<=x<=1024"),
        (f"extract v o.h5 --segment {'9' * 30}", "is not in the range"),
        ("demo --seed -1", "-1 is not in the range"),
        ("train --features f.h5 --set optim.lr=1.0e+38", "optim.lr must be at most 100, is 1e+38"),
        ("train --features f.h5 --set optim.lr=1.0e+300", "optim.lr must be at most 100"),
        ("extract v o.h5 --fps 1e-300", "1e-300 is not in the range 0.01<=x<=1000"),
        ("extract v o.h5 --fps nan", "nan is not in the range"),
        ("extract v o.h5 --segment 4096 --crop 1024 --resize 1024", "a smaller segment or crop"),
        ("--memory 0 configs", "0.0 is not in the range"),
    ],
)
def test_numbers_out_of_range(command: str, line: str) -> None:
    Path("v").write_bytes(b"x")
    assert line in said(command)
    assert [p.name for p in Path().iterdir()] == ["v"]


def test_more_memory_is_allowed_where_a_user_says_so() -> None:
    text = '{"results": {"v": [' + "[]," * 150_000 + "[]]}}"
    Path("p.json").write_text(text)
    refused = said("--memory 0.01 info p.json")
    assert "p.json: as values its JSON would take" in refused and "`tsatal --memory " in refused
    assert "p.json: v: entry 0: has no 'label'" in said("info p.json")


def test_an_export_onto_a_full_disk(run: Path) -> None:
    code = f"""
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
from tsatal.cli import main
main(["export-onnx", {str(run)!r}, "head.pt2", "--steps", "16"])
"""
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 1 and ended.stderr.startswith("Error: [Errno 27] File too large")
    assert len(ended.stderr.splitlines()) == 1 and list(Path().iterdir()) == []


def test_damaged_annotations_inside_a_feature_file_are_told_from_the_file(
    write_toy: Callable[..., Path],
) -> None:
    """The rows are whole: it says what is damaged, and what to do."""
    with h5py.File(write_toy(Path("f.h5")), "a") as file:
        del file["annotations"]
        file["annotations"] = '{"database": {"v": '
    for command in ("train --features f.h5 --out r", "export f.h5 out"):
        line = said(command, *(SMALL if command.startswith("train") else ()))
        assert "f.h5 (embedded annotations): not JSON" in line
        assert line.endswith(
            "give others with --annotations FILE.json, or put them in anew with `tsatal extract "
            "VIDEOS f.h5 --annotations FILE.json`"
        )
    checked = CliRunner().invoke(main, ["check", "f.h5"])
    assert checked.exit_code == 1 and "checked 6 videos with rows of rgb" in checked.output
    assert "f.h5 (embedded annotations): not JSON" in checked.output
    described = CliRunner().invoke(main, ["info", "f.h5"])
    assert described.exit_code == 0 and "(embedded annotations): not JSON" in described.output


def test_packages_that_are_missing_are_named_themselves() -> None:
    """tsatal is not on PyPI, so `pip install tsatal[...]` would work for nobody."""
    assert re.fullmatch(r"pip install 'ray>=[\d.]+'", how_to_install("ray"))
    onnx = how_to_install("onnx")
    assert all(f"'{name}>=" in onnx for name in ("onnx", "onnxscript", "onnxruntime"))
    # A checkout that is not installed, or was before the extra came.
    assert how_to_install("nothing-of-ours") == "pip install '.[nothing-of-ours]'"
    told = [text for _, text in messages() if "pip install" in text]
    pages = [
        p.read_text("utf-8")
        for p in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md"))
        if p.name != "package.md"
    ]
    assert [t for t in (*told, *pages) if re.search(r"pip install '?tsatal", t)] == []
