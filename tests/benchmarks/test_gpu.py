"""One run on a GPU: no part hangs on another, and what was measured is never lost."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

PARTS = """
import argparse, json, sys, time
parser = argparse.ArgumentParser()
parser.add_argument("part")
parser.add_argument("--rows")
known, _ = parser.parse_known_args()
row = {"what": known.part, "value": 3.0, "unit": "s", "aim": "4", "reached": known.part == "good"}
open(known.rows, "w").write(json.dumps(row) + "\\n")
if known.part == "slow":
    time.sleep(60)
sys.exit(known.part == "bad")
"""


@pytest.fixture
def gpu(program: Callable[[str], ModuleType]) -> Any:
    return program("gpu")


@pytest.fixture
def played(gpu: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The program with parts that fail, hang, and are well."""
    (tmp_path / "gpu_parts.py").write_text(PARTS)
    monkeypatch.setattr(gpu, "HERE", tmp_path)
    monkeypatch.setattr(gpu, "PARTS", {"bad": 30, "slow": 3, "good": 30, "late": 30})
    return gpu


def run(gpu: Any, out: Path, *words: str) -> dict[str, Any]:
    """Run it on the CPU, and return what it wrote as JSON."""
    gpu.run(gpu.parse_args([str(out), "--device", "cpu", *words]))
    found: dict[str, Any] = json.loads((out / "gpu.json").read_text())
    return found


def test_a_part_that_fails_or_hangs_leaves_the_others_and_its_figures(
    played: Any, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    parts = run(played, out, "--only", "bad", "slow", "good")["parts"]
    assert [p["state"] for p in parts.values()] == ["failed (1)", "stopped after 3 s", "done"]
    assert [p["rows"][0]["what"] for p in parts.values()] == ["bad", "slow", "good"]
    report = (out / "gpu.md").read_text()
    assert "On a CPU: nothing of this has run on CUDA." in report
    assert "| bad | bad | 3 s |  |  | 4 | **no** |" in report
    assert "| good | good | 3 s |  |  | 4 | yes |" in report


def test_without_time_a_part_is_not_begun(played: Any, tmp_path: Path) -> None:
    parts = run(played, tmp_path / "out", "--only", "good", "--minutes", "0.1")["parts"]
    assert parts["good"]["state"] == "not begun: no time was left" and not parts["good"]["rows"]


def test_a_quick_run_is_held_against_no_goal(played: Any, tmp_path: Path) -> None:
    run(played, tmp_path / "out", "--only", "good", "--quick")
    report = (tmp_path / "out" / "gpu.md").read_text()
    assert "| good | good | 3 s |  |  | 4 | not judged |" in report
    assert "its figures mean nothing" in report


def test_figures_say_their_share_of_the_limit(gpu: Any) -> None:
    row = {
        "what": "w",
        "value": 1234.5,
        "unit": "x",
        "limit": 2000.0,
        "limit_is": "l",
        "share": 0.6,
    }
    assert gpu.table_row("p", row, judged=True) == "| p | w | 1,234 x | 2,000 x: l | 0.60 |  |  |"


def test_every_part_is_there_and_fits_into_the_whole(
    gpu: Any, program: Callable[[str], ModuleType]
) -> None:
    parts = program("gpu_parts")
    assert list(gpu.PARTS) == list(parts.PARTS)
    drawn = json.loads(parts.draw_annotations((3, 2)))["database"]
    assert [v["subset"] for v in drawn.values()].count("validation") == 3
    assert all(v["annotations"] for v in drawn.values())


def test_it_runs_in_small_on_the_cpu(gpu: Any, tmp_path: Path) -> None:
    out = tmp_path / "out"
    found = run(gpu, out, "--quick", "--only", "extract", "head", "variants")
    states = {name: part["state"] for name, part in found["parts"].items()}
    assert set(states.values()) == {"done"}, (out / "gpu.log").read_text()
    assert [r["what"].split(",")[0] for r in found["parts"]["extract"]["rows"]] == [
        "extraction", "extraction from files"
    ]  # fmt: skip


def test_torchcodec_is_asked_for_every_tick(
    program: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    video, asked = program("gpu_video"), list[float]()

    class VideoDecoder:
        def __init__(self, _path: str, device: str) -> None:
            self.metadata = SimpleNamespace(duration_seconds=2.0 if device == "cpu" else None)

        def get_frames_played_at(self, seconds: list[float]) -> None:
            asked.extend(seconds)

    decoders = SimpleNamespace(VideoDecoder=VideoDecoder)
    monkeypatch.setitem(sys.modules, "torchcodec", SimpleNamespace(decoders=decoders))
    monkeypatch.setitem(sys.modules, "torchcodec.decoders", decoders)
    settings = video.ExtractSettings(weights="random", device="cpu")
    assert video.nvdec_rate(Path("v.mp4"), settings, "cpu", times=2) > 0
    assert len(asked) == 3 * 19 and asked[:2] == [0.0, 0.1]  # of 2 s, short of the end
