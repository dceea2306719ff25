"""How close detections and instances come, against all pairs; and how little memory that takes."""

import subprocess
import sys

import numpy as np
import pytest

from tsatal.evaluation import diagnosis, matching
from tsatal.evaluation.matching import Entries
from tsatal.segments import tiou

LITTLE_MEMORY = """
import resource
import numpy as np
from tsatal.evaluation.diagnosis import diagnose
from tsatal.evaluation.matching import Measure, match
from tsatal.formats.annotations import AnnotatedVideo, Detection, Instance

rng = np.random.default_rng(0)
starts = rng.uniform(0, 10_000, (2, 10_000)).tolist()
truth = tuple(Instance(f"c{n % 20}", s, s + 5) for n, s in enumerate(starts[0]))
found = [Detection(f"c{n % 20}", s, s + 6, n / 10_000) for n, s in enumerate(starts[1])]
with open("/proc/self/statm") as file:
    pages = int(file.read().split()[0])
resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + 200 * 2**20,) * 2)
videos = {"v": AnnotatedVideo("v", "test", None, truth)}
for protocol in ("anet", "thumos14"):
    matches = match(videos, {"v": found}, Measure(protocol, (0.3, 0.5, 0.7)), subset="test")
    print(diagnose(matches).matches.hit.any(axis=1).all())
"""


def random_entries(seed: int, count: int) -> Entries:
    rng = np.random.default_rng(seed)
    start, length = rng.integers(0, 40, count), rng.integers(0, 9, count)
    segment = np.stack([start, start + length], axis=1).astype(float)
    return Entries(rng.integers(0, 3, count), rng.integers(0, 4, count), segment, np.arange(count))


@pytest.mark.parametrize("most", [1, 50, 10**6])
def test_nearness_is_the_largest_tiou_however_many_at_a_time(
    monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(matching, "MAX_PAIRS", most)
    detections, instances = random_entries(0, 80), random_entries(1, 30)
    tious = tiou(detections.segment[:, None], instances.segment[None])
    tious[detections.video[:, None] != instances.video] = 0
    same = detections.label[:, None] == instances.label
    near, reach = diagnosis._nearness(detections, instances)
    of_same, of_other = np.where(same, tious, 0), np.where(same, 0, tious)
    np.testing.assert_array_equal(near, [of_same.max(axis=1), of_other.max(axis=1)])
    np.testing.assert_array_equal(reach, [of_same.max(axis=0), of_other.max(axis=0)])


@pytest.mark.skipif(sys.platform != "linux", reason="limits memory as Linux does")
def test_ten_thousand_instances_in_one_video_need_little_memory() -> None:
    """In a process of 200 MiB more than it starts with; a table of all tIoUs has 800 MB."""
    done = subprocess.run(
        [sys.executable, "-c", LITTLE_MEMORY], capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["True", "True"], done.stderr
