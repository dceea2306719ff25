"""What several tests share: a small feature file whose actions are plain to see."""

import copy
import functools
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import numpy as np
import pytest

from tsatal.formats import limits
from tsatal.formats.feature_writer import write_feature_file
from tsatal.formats.features import VideoFeatures

ROOT = Path(__file__).parents[1]
SHARED = ROOT.parent / "shared" / "data"  # real data; tests that need it skip without
# A test of `device` runs on the CPU everywhere, and again where there is a GPU.
EACH_DEVICE = pytest.mark.parametrize(
    "device", ["cpu", pytest.param("cuda", marks=pytest.mark.cuda)]
)
# The files that take longest, the longest first: processes begin with these, so that none is left
# with one of them when the others are done. That one is missing or moves costs time alone.
LONGEST = (
    "test_page_commands.py", "faults/test_kills.py", "annotator/test_annotating_in_browser.py",
    "reports/test_viewer_in_browser.py", "test_cli.py", "test_examples.py",
    "extract/sharing/test_share.py", "head/test_parallel.py", "faults/test_hostile.py",
    "faults/test_trouble.py", "head/test_studies.py", "faults/test_file_systems.py",
    "test_errors.py", "test_pipeline.py", "test_pipeline_labels.py", "reports/test_whole_model.py",
    "faults/test_fuzz_text.py", "test_docs.py", "reports/test_pictures.py", "head/test_export.py",
    "head/test_detector.py", "test_repeatability.py", "extract/test_stitch.py",
    "commands/test_pack.py", "head/test_final.py", "extract/test_ray_cluster.py",
    "faults/test_annotate_kills.py", "extract/test_extractor.py", "head/test_gpu.py",
    "commands/test_explain.py", "benchmarks/test_gpu.py", "extract/test_gpu.py",
    "extract/sharing/test_claims.py", "head/test_jobs.py",
)  # fmt: skip
LABELS = ("jump", "run")
STEP_SEC = 0.5

# No example has a time limit, nor has the making of them: other programs may take the processor.
hypothesis.settings.register_profile(
    "patient", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("patient")


class _Root:
    """The repository's root is a package, which pytest would import under the folder's own name."""

    @pytest.hookimpl
    def pytest_collect_directory(self, path: Path, parent: pytest.Collector) -> pytest.Dir | None:
        return pytest.Dir.from_parent(parent, path=path) if path == ROOT else None


def pytest_configure(config: pytest.Config) -> None:
    """Let the root be a plain folder: it may be called tsatal-0.1.0, as in an sdist."""
    config.pluginmanager.register(_Root())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Bring the files that take longest to the front; the others stay in their order."""
    places = {ROOT / "tests" / name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(places)))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what needs a GPU where there is none."""
    if item.get_closest_marker("cuda"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("needs a GPU, and torch finds none")


def _write(
    path: Path,
    *,
    videos: int = 6,
    steps: int = 60,
    width: int = 8,
    flow: bool = False,
    places: float = 0.0,
) -> Path:
    """Write videos in which feature `n` rises while action `n` goes on; every third validates.

    `places`: how far videos differ in all their rows.
    """
    rng = np.random.default_rng(0)
    offsets = np.random.default_rng(1).normal(0, places, (videos, width)).astype(np.float32)
    made, database = [], {}
    for number in range(videos):
        rows = rng.normal(0, 0.1, (steps, width)).astype(np.float32) + offsets[number]
        actions = []
        for n, first in enumerate(range(5, steps - 12, 18)):
            label = (number + n) % len(LABELS)
            rows[first : first + 8, label] += 1
            seconds = [(first - 0.5) * STEP_SEC, (first + 7.5) * STEP_SEC]
            actions.append({"label": LABELS[label], "segment": seconds})
        streams = {"rgb": rows, **({"flow": rows[:, :5] * 2} if flow else {})}
        name = f"video_{number}"
        made.append(VideoFeatures(name, streams, 0.0, STEP_SEC, steps * STEP_SEC))
        subset = "validation" if number % 3 == 2 else "training"
        database[name] = {
            "subset": subset,
            "duration": steps * STEP_SEC,
            "annotations": actions,
        }
    annotations = json.dumps({"database": database})
    write_feature_file(path, made, provenance={"extractor": "toy"}, annotations_text=annotations)
    return path


@pytest.fixture(autouse=True)
def state_of_before() -> Iterator[None]:
    """What programs that a test runs in this process set for it is as before for the next test.

    How much is logged, the memory that a thing may take, and the folder to work in.
    """
    ours = logging.getLogger("tsatal")
    level, memory, folder = ours.level, limits.allowed(), os.getcwd()
    yield
    ours.setLevel(level)
    limits.allow(memory / limits.GIB)
    os.chdir(folder)


@pytest.fixture(scope="session", autouse=True)
def untrained_networks_are_made_once() -> Iterator[None]:
    """Making one takes a second of a processor; who loads the same again is given a copy.

    Tests of how it is made import the function, and so have it as it is. Where no test that was
    collected needs torch, it is not loaded for this.
    """
    if "torch" not in sys.modules:
        yield
        return
    from tsatal.extract.backbones import i3d_r50

    made = functools.lru_cache(2)(i3d_r50.random_i3d)  # 110 MB each
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(i3d_r50, "random_i3d", lambda *a, **k: copy.deepcopy(made(*a, **k)))
        yield


@pytest.fixture(scope="session")
def write_toy() -> Callable[..., Path]:
    """Return a function that writes the small feature file and returns its path."""
    return _write
