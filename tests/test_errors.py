"""docs/errors.md has every message that a user can meet and none that is gone; and what some say.

A message and its entry are compared with their variable parts taken out: what an f-string puts in,
and what the page writes in CAPITALS or as `…`. Constants are no variable parts: the page shows
their values. Most messages are met in the tests of the modules that they come from; here are those
that it takes the command line to meet.
"""

import ast
import importlib
import json
import re
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
from tsatal.errors import InputError
from tsatal.formats.features import VideoFeatures, write_feature_file

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "errors.md"
NO_PACKAGE = {"tests", "benchmarks", "build", "dist", "demo"}

# What takes a message: what the command line shows, and what hands a message on to it.
RAISED = {
    "InputError", "VideoError", "OSError", "ConnectionError", "NotADirectoryError",
    "UsageError", "BadParameter", "ClickException", "_nothing", "_known",
}  # fmt: skip
TAKE_A_MESSAGE = {"InputError", "VideoError", "UnknownTimes", "UsageError", "ClickException"}
# Where the reason is kept for which a video or an array is left out.
KEPT_IN = {"failed", "problems", "reason", "refused"}
# Calls whose message was made elsewhere, and is found there.
PASSED_ON = {
    "InputError(explain(e, list(type(self).model_fields)))",
    "InputError(str(e.cause))",
    "UnknownTimes(otherwise)",
    "click.ClickException(one_line(error))",
}

VARIABLE = re.compile(r"['\"]?(?:…|\b[A-Z][A-Z0-9_]*\b)['\"]?")
ROW = re.compile(r"^\| *(`.*?`) *\|", re.MULTILINE)
CODE = re.compile(r"(`+) ?(.+?) ?\1(?!`)")


def sources() -> Iterator[tuple[str, ast.Module]]:
    """Yield every module of the package, by its name."""
    for path in sorted(ROOT.rglob("*.py")):
        inside = path.relative_to(ROOT)
        if inside.parts[0] not in NO_PACKAGE and not inside.parts[0].startswith("."):
            name = ".".join(("tsatal", *inside.with_suffix("").parts))
            yield name.removesuffix(".__init__"), ast.parse(path.read_text("utf-8"))


def shape(text: str) -> str:
    """Return a message without its variable parts: `FILE: no such file` is `*: no such file`."""
    return re.sub(r"\*+", "*", VARIABLE.sub("*", text))


def message(node: ast.expr, module: str) -> str | None:
    """Return the text of a string, f-string or named constant, `…` where it varies, or None."""
    if isinstance(node, ast.JoinedStr):
        return "".join(message(part, module) or "…" for part in node.values)
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    names = [n.id for n in ast.walk(node) if isinstance(n, ast.Name)]
    if not names or not all(name.isupper() for name in names):
        return None
    whole = ast.JoinedStr([node]) if isinstance(node, ast.FormattedValue) else node
    code = compile(ast.fix_missing_locations(ast.Expression(whole)), module, "eval")
    value = eval(code, vars(importlib.import_module(module)))
    return value if isinstance(value, str) else None


def last_name(node: ast.expr) -> str:
    """Return the last name in `a`, `a.b` or `a.b[c]`: `a` or `b`."""
    node = node.value if isinstance(node, ast.Subscript) else node
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def strings(module: str, tree: ast.Module) -> Iterator[str]:
    """Yield every string in a module."""
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr | ast.Constant):
            yield message(node, module) or ""


def messages() -> dict[str, str]:
    """Return every message that is raised or kept, as it looks and where it is, by its shape."""
    found = {}
    for module, tree in sources():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and last_name(node.func) in RAISED:
                values = node.args
            elif isinstance(node, ast.Assign) and last_name(node.targets[0]) in KEPT_IN:
                values = [node.value]
            else:
                continue
            for text in (message(value, module) for value in values):
                if text and re.search("[a-z]", shape(text)):  # else it is put together of others
                    found[shape(text)] = f"{module}:{node.lineno}: {text}"
    return found


def entries() -> dict[str, str]:
    """Return every message on the page, by its shape: the code in the first cell of each row."""
    cells = ROW.findall(PAGE.read_text("utf-8"))
    texts = [text for cell in cells for _, text in CODE.findall(cell)]
    assert len(set(texts)) == len(texts), "an entry stands twice"
    return {shape(text): text for text in texts}


def test_every_message_is_on_the_page() -> None:
    there = entries()
    assert [where for form, where in messages().items() if form not in there] == []


def test_every_entry_is_a_message() -> None:
    made = {shape(text) for module, tree in sources() for text in strings(module, tree)}
    assert [text for form, text in entries().items() if form not in made] == []


def test_no_message_is_made_where_it_cannot_be_found() -> None:
    passed_on = set()
    for module, tree in sources():
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call) or last_name(node.func) not in TAKE_A_MESSAGE:
                continue
            if not any(message(argument, module) for argument in node.args):
                passed_on.add(ast.unparse(node))
    assert passed_on == PASSED_ON


@pytest.mark.parametrize(
    "code, entry",
    [
        ('f"{path}: no such file"', "FILE: no such file"),
        ('f"weights {name!r}: no such file"', "weights 'NAME': no such file"),
        ('f"{video}{hint}: of NaN"', "VIDEO: of NaN"),
        ('"give --features FILE.h5"', "give --features FILE.h5"),
    ],
)
def test_a_message_and_its_entry_have_one_shape(code: str, entry: str) -> None:
    made = message(ast.parse(code, mode="eval").body, "tsatal.errors")
    assert made and shape(made) == shape(entry)


SMALL = ["--set", "model.width=16", "--set", "optim.epochs=1", "--set", "data.window_steps=20"]
ENTRY = {"label": "run", "segment": [0, 1], "score": 0.5}
FOUND = {"results": {"v": [ENTRY]}}
TRUTH = {"database": {"v": {"subset": "test", "annotations": [ENTRY]}}}
EVALUATE = "evaluate --predictions p.json --annotations a.json"
IMPORT = "import arrays f.h5 --format npy --fps 10 --stride-frames 4 --window-frames 16"


def said(command: str, *more: object) -> str:
    """Return the line that a command fails with."""
    result = CliRunner().invoke(main, [*command.split(), *map(str, more)])
    assert result.exit_code in (1, 2) and "Traceback" not in result.output, result.output
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
        (IMPORT, {"arrays/v.npz": np.zeros((9, 3))}, "v.npz: not an .npz file"),
        (
            f"{IMPORT} --flow flow --split-at 1 --no-transpose",
            {"arrays/v.npy": np.zeros((9, 3)), "flow/v.npy": np.zeros((9, 3))},
            "--split-at is for arrays that hold both streams; --flow is there already",
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
    assert line == "Error: a.json: subset 'training' has no action to learn from"


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
        ("train", "train --features f.h5 --out r", KeyboardInterrupt(), "stopped; go on with: "
         "tsatal train --resume --out r"),
        ("evaluate_predictions", EVALUATE, MemoryError("9 GB"), "out of memory (9 GB)"),
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
