"""Hours of an extraction by many GPUs: the arithmetic by hand, and what is measured of files."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

SIZES = {
    "hours": 100.0, "gpus": 10, "cores_per_gpu": 4, "shards": 5, "video_minutes": 6.0,
    "megabit": 8.0, "decode": 10.0, "network": 100.0, "storage_mb": 100.0, "write_ms": 36.0,
    "open_ms": 3.6, "assemble_mb": 10.0, "confirm_ms": 3.6,
}  # fmt: skip


@pytest.fixture
def model(program: Callable[[str], ModuleType]) -> Any:
    return program("cluster_model")


def test_hours_are_those_by_hand(model: Any) -> None:
    c = model.Cluster(**SIZES)
    assert c.videos == 1000 and c.gigabytes == pytest.approx(360_000 * 5 * 2048 / 1e9)
    assert model.at_once(c) == pytest.approx(
        {
            "decoding": 100 / (10 * 4 * 10),
            "network": 100 / (10 * 100),
            "file system, videos read": 360_000 / 100 / 3600,  # a MB for each second
            "file system, rows written": 3686.4 / 100 / 3600,
            "parts written, by each process": 100 * 0.036 / 3600,
        }
    )
    assert model.through_ray(c) == pytest.approx(0.01)
    # Of one file, each of ten processes looks through all; of five, two through a fifth.
    assert model.afterwards(c, 1)["looked through by all"] == pytest.approx(10 * 1000 * 1e-6)
    assert model.afterwards(c, 5)["looked through by all"] == pytest.approx(2 * 200 * 1e-6)
    assert model.afterwards(c, 1)["rows copied"] == pytest.approx(3686.4 / 10 / 3600)


def test_the_slowest_stage_is_what_limits(model: Any) -> None:
    limit = next(line for line in model.report(model.Cluster(**SIZES)) if "limited by" in line)
    assert "limited by: file system, videos read, 1.00 h" in limit
    fast = SIZES | {"storage_mb": 1e6}
    limit = next(line for line in model.report(model.Cluster(**fast)) if "limited by" in line)
    assert "limited by: decoding, 0.25 h" in limit


def test_files_are_measured_and_removed(
    model: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "MEASURED_VIDEOS", 3)
    monkeypatch.setattr(model, "MEASURED_SEC", 20)
    lines = model.measure(tmp_path)
    assert [line.split()[0] for line in lines[1:]] == [
        "--write-ms", "--open-ms", "--assemble-mb", "--confirm-ms"
    ]  # fmt: skip
    assert list(tmp_path.iterdir()) == []
