"""Whole files: what is damaged, what is left out, and what the command says."""

from __future__ import annotations

import json
import re
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner, Result

from tsatal.checks.check import check_file, warnings_for_training
from tsatal.checks.findings import ERROR, KINDS, NOTE, WARNING
from tsatal.cli import main
from tsatal.errors import InputError
from tsatal.formats.features import FeatureFile, VideoFeatures
from tsatal.formats.subsets import Subsets

from ..conftest import ROOT, SHARED
from .planted import (
    action,
    changed,
    clean,
    kinds,
    of_features,
    rows_of,
    the,
    written,
)

DOCS = ROOT / "docs" / "checking.md"


def test_damaged_videos_are_named_and_the_others_are_checked(tmp_path: Path) -> None:
    path = written(tmp_path / "f.h5", rows_of("abcd").values(), clean())
    with h5py.File(path, "r+") as file:
        del file["videos/a"].attrs["step_sec"]
        file["videos/b/flow"] = np.zeros((3, 2), np.float32)
        file["videos/c/rgb"][3] = np.nan
    found = check_file(path).findings
    assert [c.video_id for c in the(found, "unreadable").cases] == ["a", "b"]
    assert "step_sec" in the(found, "unreadable").cases[0].says
    assert [c.video_id for c in the(found, "not-finite").cases] == ["c"]
    assert "missing-features" not in kinds(found)


def test_refused_annotations_inside_a_feature_file_are_findings(tmp_path: Path) -> None:
    database = clean()
    database["a"]["annotations"].append(action(5, 4))
    assert kinds(of_features(tmp_path, rows_of("abcd").values(), database)) == ["refused"]


def test_a_feature_file_without_annotations_says_so(tmp_path: Path) -> None:
    path = written(tmp_path / "f.h5", rows_of("ab").values())
    found = check_file(path).findings
    assert kinds(found, above_notes=False) == ["not-annotated"]


def test_excluded_videos_are_not_looked_at(tmp_path: Path) -> None:
    database, videos = clean(), rows_of("abcd")
    database["b"]["annotations"].append(action(30, 31))
    videos["b"] = changed(videos["b"], lambda r: r.fill(0))
    path = written(tmp_path / "f.h5", videos.values(), database)
    assert not check_file(path).clean and check_file(path, exclude=["b"]).findings == ()


def test_training_is_warned_without_reading_rows(tmp_path: Path) -> None:
    database, videos = clean(), rows_of("abcd")
    database["b"]["annotations"] += [action(30, 31), action(3, 3)]
    videos["c"] = changed(videos["c"], lambda r: r.fill(np.nan))
    path = written(tmp_path / "f.h5", videos.values(), {**database, "e": database["a"]})
    roles = Subsets("training", "validation", "validation")
    with FeatureFile(path) as file:
        truth = file.annotations()
        assert truth is not None
        found = warnings_for_training(file, truth, roles)
        assert warnings_for_training(file, truth, roles, exclude=["b"]) == []
    assert kinds(found) == ["beyond-end"]
    assert found[0].line.startswith("instances that start after the end of their video: 1 (b: Jump")


def test_a_large_file_takes_seconds(tmp_path: Path) -> None:
    names = [f"v{n}" for n in range(60)]
    base = np.random.default_rng(0).normal(size=(2100, 512)).astype(np.float32)
    videos = (
        VideoFeatures(name, {"rgb": base[n : n + 2000]}, 0.1, 0.2, 400.0)
        for n, name in enumerate(names)
    )
    instances = [action(10 * n, 10 * n + 5, f"class {n % 20}") for n in range(39)]
    subsets = ("training", "validation")
    database = {
        name: {"subset": subsets[n % 2], "duration": 400.0, "annotations": instances}
        for n, name in enumerate(names)
    }
    path = written(tmp_path / "f.h5", videos, database)
    started = time.process_time()  # of this processor: other programs may run
    assert check_file(path).findings == ()
    assert time.process_time() - started < 10  # 0.5 s where this was written


def test_every_kind_stands_in_the_documentation_and_has_one_place() -> None:
    names = [kind.name for kind in KINDS]
    assert len(names) == len(set(names))
    assert re.findall(r"^### `(.+)`", DOCS.read_text(encoding="utf-8"), re.M) == names
    levels = [(ERROR, WARNING, NOTE).index(kind.level) for kind in KINDS]
    assert levels == sorted(levels)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


def test_the_command_says_what_was_checked_when_there_is_nothing(tmp_path: Path) -> None:
    path = written(tmp_path / "f.h5", rows_of("abcd").values(), clean())
    result = run("check", path)
    assert result.exit_code == 0
    assert result.output.splitlines() == [
        f"{path}: checked 4 videos with rows of rgb; annotations of 4 videos, 12 instances, "
        "2 classes; subsets training (2), validation (2)",
        "nothing wrong was found",
    ]


def test_the_command_names_examples_of_different_videos(tmp_path: Path) -> None:
    database = clean()
    for name, count in {"a": 4, "d": 1}.items():
        database[name]["annotations"] += [action(30 + n, 31 + n) for n in range(count)]
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"database": database}))
    result = run("check", path, "--examples", 2)
    assert result.exit_code == 1
    assert result.output.splitlines()[2:] == [
        "error         5  instances that start after the end of their video  [beyond-end]",
        "                 a: Jump 30-31 s ends 11 s after the end of the video at 20 s",
        "                 d: Jump 30-31 s ends 11 s after the end of the video at 20 s",
        "                 ... and 3 more",
        "                 -> nothing can find them; are the times seconds, and of this very file? "
        "if so, leave the video out (--exclude)",
        "1 error; docs/checking.md says more about each",
    ]


def test_json_names_every_case(tmp_path: Path) -> None:
    database = clean()
    database["a"]["annotations"] += [action(30 + n, 31 + n) for n in range(9)]
    features = written(tmp_path / "f.h5", rows_of("abcd").values())
    path = tmp_path / "a.json"
    path.write_text(json.dumps({"database": database}))
    result = run("check", features, "--annotations", path, "--json", "-", "--examples", 0)
    told = json.loads(result.stdout)
    assert result.exit_code == 1 and told["clean"] is False
    [finding] = told["findings"]
    assert (finding["level"], finding["kind"], finding["count"]) == ("error", "beyond-end", 9)
    assert [case["video"] for case in finding["cases"]] == ["a"] * 9
    assert run("check", path, "--json", tmp_path / "out.json").exit_code == 1
    written_too = json.loads((tmp_path / "out.json").read_text())["findings"]
    assert written_too == told["findings"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", "{", "a.json: not JSON"),
        ("a.json", "{}", "a.json: has no 'database'"),
        ("a.json", '{"results": []}', "a.json: 'results' must be a dict"),
        ("a.json", '{"database": []}', "a.json: 'database' must be a dict"),
        ("a.json", b"\xff\xfe\x00", "a.json: not a text file in UTF-8"),
        ("f.h5", "text", "f.h5: not an HDF5 file"),
    ],
)
def test_what_is_not_ours_is_one_line(
    name: str, content: str | bytes, message: str, tmp_path: Path
) -> None:
    content = content.encode() if isinstance(content, str) else content
    (tmp_path / name).write_bytes(content)
    result = run("check", tmp_path / name)
    assert result.exit_code == 1
    assert message in result.output and len(result.output.splitlines()) == 1


def test_annotations_go_with_features_only(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"database": clean()}))
    with pytest.raises(InputError, match="--annotations goes with one"):
        check_file(tmp_path / "a.json", annotations=tmp_path / "a.json")


def test_checking_annotations_does_not_import_torch(tmp_path: Path) -> None:
    import subprocess

    (tmp_path / "a.json").write_text(json.dumps({"database": clean()}))
    code = (
        "import sys; from pathlib import Path; from tsatal.checks.check import check_file; "
        f"assert check_file(Path({str(tmp_path / 'a.json')!r})).clean; "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd="/")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("annotations/thumos14.json", ["beyond-end"]),
        ("annotations/activitynet-1.2.json", ["no-length", "duplicate"]),
        ("ut_stitched/annotations.json", []),
        ("ut_stitched/squeezenet.h5", []),
        ("workout/annotations.json", []),
        ("workout/squeezenet.h5", []),
    ],
)
def test_real_files_have_their_known_faults_and_no_others(name: str, expected: list[str]) -> None:
    """THUMOS14: 30 instances behind the end of five videos; ActivityNet 1.2: nine instances of no
    length, and nineteen that stand there more than once."""
    if not (SHARED / name).exists():
        pytest.skip(f"{SHARED / name} is not here")
    assert kinds(check_file(SHARED / name).findings) == expected
