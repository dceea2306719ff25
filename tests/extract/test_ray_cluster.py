from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tsatal.errors import InputError
from tsatal.extract import extractor
from tsatal.extract import ray_cluster as module
from tsatal.extract.backbones.weights import Weights, file_sha256
from tsatal.extract.container import VideoError
from tsatal.extract.engine import Recipe, prepare
from tsatal.extract.extractor import extract_videos
from tsatal.extract.ray_cluster import Cluster, _with_own_weights, connect
from tsatal.extract.settings import ExtractSettings
from tsatal.extract.sources import find_videos
from tsatal.formats.features import FeatureFile, VideoFeatures

from .conftest import VideoWriter

SETTINGS = ExtractSettings(weights="random", width=16, crop=32, resize=32, device="cpu", context=0)


class Means:
    """A stand-in for the network that ends its process where it is told to."""

    def __init__(self, fatal: Path, always: bool) -> None:
        self.fatal, self.always = fatal, always

    def rows(self, frames: np.ndarray) -> np.ndarray:
        first = not self.fatal.exists()
        with self.fatal.open("a") as file:
            file.write(f"{os.getpid()}\n")
        if first or self.always:
            os.kill(os.getpid(), signal.SIGKILL)
        pairs = frames[: max(len(frames) // 2, 1) * 2 : 2].astype(np.float32)
        rows: np.ndarray = pairs.mean(axis=(1, 2)).repeat(700, axis=1)[:, :2048] / 255
        return rows


@dataclass(frozen=True)
class FatalRecipe(Recipe):
    """A recipe whose network kills the first process that runs it, or every one."""

    fatal: Path = Path()
    always: bool = False

    def backbones(self) -> Any:
        return {"rgb": Means(self.fatal, self.always)}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    ray = pytest.importorskip("ray")
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    ray.init(
        address="local", num_cpus=2, num_gpus=1, include_dashboard=False, log_to_driver=False,
        logging_level="error",
    )  # fmt: skip
    yield Cluster(ray)
    ray.shutdown()


@pytest.fixture
def folder(write_video: VideoWriter, tmp_path: Path) -> Path:
    for name, frames in (("a", 90), ("b", 33), ("c", 3), ("d", 60)):
        write_video(f"videos/{name}.mp4", range(0, 1000 * frames, 1000))
    return tmp_path / "videos"


def fatal_recipe(tmp_path: Path, *, always: bool = False) -> FatalRecipe:
    known = prepare(SETTINGS)
    return FatalRecipe(**vars(known), fatal=tmp_path / "fatal", always=always)


def harmless_recipe(tmp_path: Path) -> FatalRecipe:
    recipe = fatal_recipe(tmp_path)
    recipe.fatal.touch()
    return recipe


def extract_all(cluster: Cluster, folder: Path, recipe: Recipe) -> dict[str, Any]:
    videos = [(path.stem, path) for path in find_videos(folder)]
    return dict(cluster.extract(videos, lambda *done: None, recipe=recipe))


def test_workers_that_share_a_gpu_do_all_videos(
    cluster: Cluster, folder: Path, tmp_path: Path
) -> None:
    """Ray counts GPUs as it is told; the stand-in for the network needs none."""
    assert cluster.device("auto") == "cuda" and cluster._per_gpu(None) == (2, 1.0)
    results = extract_all(cluster, folder, replace(harmless_recipe(tmp_path), device="cuda"))
    assert {k: v.streams["rgb"].shape[1] for k, v in results.items()} == dict.fromkeys("abcd", 16)
    assert len(set((tmp_path / "fatal").read_text().split())) == 2  # processes


def test_a_lost_worker_is_replaced_and_its_video_done_again(
    cluster: Cluster, folder: Path, tmp_path: Path
) -> None:
    results = extract_all(cluster, folder, fatal_recipe(tmp_path))
    assert {k: v.streams["rgb"].shape for k, v in results.items()} == {
        "a": (15, 16), "b": (5, 16), "c": (1, 16), "d": (10, 16)
    }  # fmt: skip
    runs = (tmp_path / "fatal").read_text().split()
    assert len(runs) == 5 and runs[0] not in runs[1:] and len(set(runs)) <= 3


def test_a_video_that_loses_every_worker_fails_and_stops_nothing(
    cluster: Cluster, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRIES", 1)
    for name in "bcd":
        (folder / f"{name}.mp4").unlink()
    (folder / "empty.mp4").write_bytes(b"")
    results = extract_all(cluster, folder, fatal_recipe(tmp_path, always=True))
    assert all(isinstance(v, VideoError) for v in results.values())
    assert "a.mp4: its worker was lost 2 times" in str(results["a"])
    assert "empty (0 bytes)" in str(results["empty"])
    assert len((tmp_path / "fatal").read_text().split()) == 2


def test_a_fault_of_the_program_is_a_reason_too(
    cluster: Cluster, folder: Path, tmp_path: Path
) -> None:
    for name in "bcd":
        (folder / f"{name}.mp4").unlink()
    wrong: Any = {"rgb": None}
    results = extract_all(cluster, folder, replace(harmless_recipe(tmp_path), projections=wrong))
    assert "a.mp4: failed on the cluster (TypeError" in str(results["a"])


def test_a_checkpoint_that_does_not_fit_stops_it_all(
    cluster: Cluster, folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "w.pyth").write_bytes(b"no checkpoint")
    settings = SETTINGS.changed(weights=str(tmp_path / "w.pyth"))
    with pytest.raises(InputError, match=r"w\.pyth: not a checkpoint"):
        extract_all(cluster, folder, prepare(settings))


def test_the_result_is_the_same_file(
    cluster: Cluster, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extractor, "prepare", lambda *args, **kwargs: harmless_recipe(tmp_path))
    here, there = tmp_path / "here.h5", tmp_path / "there.h5"
    extract_videos(find_videos(folder), here, SETTINGS, show_progress=False)
    told: list[VideoFeatures] = []
    summary = extract_videos(
        find_videos(folder),
        there,
        SETTINGS,
        show_progress=False,
        engine=cluster,
        on_video=told.append,
    )
    assert sorted(summary.done) == ["a", "b", "c", "d"] and summary.video_sec > 6
    assert [video.video_id for video in told] == summary.done
    with FeatureFile(here) as one, FeatureFile(there) as two:
        assert one.video_ids == two.video_ids and one.provenance == two.provenance
        for video_id in one.video_ids:
            assert one.details(video_id) == two.details(video_id)
            np.testing.assert_array_equal(one.rows(video_id, ["rgb"]), two.rows(video_id, ["rgb"]))


class FakeRay:
    """The cluster's size, as Ray states it, with machines that are alike unless they are given."""

    def __init__(self, *machines: dict[str, float], **resources: float) -> None:
        self.machines = machines or (resources,)

    def cluster_resources(self) -> dict[str, float]:
        return {k: sum(m.get(k, 0) for m in self.machines) for k in ("CPU", "GPU")}

    def nodes(self) -> list[dict[str, Any]]:
        return [{"Alive": True, "Resources": m} for m in self.machines] + [
            {"Alive": False, "Resources": {"CPU": 0.0, "GPU": 99.0}}
        ]

    def put(self, what: object) -> object:
        return what

    def remote(self, **options: float) -> Any:
        """Remember what every worker asks for, and how many there are."""
        self.asked, self.workers = options, list[Any]()

        def start() -> Any:
            task = SimpleNamespace(remote=lambda *_: object())
            self.workers.append(SimpleNamespace(extract=task))
            return self.workers[-1]

        return lambda _worker: SimpleNamespace(remote=start)

    def wait(self, _tasks: Any, num_returns: int) -> Any:
        raise InterruptedError  # all workers that there is room for have been started

    def kill(self, _worker: Any) -> None:
        pass


@pytest.mark.parametrize(
    ("machines", "at_once", "workers", "cpus", "gpus"),
    [
        ([{"CPU": 16.0, "GPU": 1.0}], None, 8, 1.0, 1 / 8),
        ([{"CPU": 16.0, "GPU": 1.0}], 3, 3, 1.0, 1 / 3),
        ([{"CPU": 16.0, "GPU": 4.0}] * 2, None, 32, 1.0, 1 / 4),
        ([{"CPU": 64.0}, {"CPU": 4.0, "GPU": 2.0}], None, 4, 1.0, 1 / 2),  # cores elsewhere
        ([{"CPU": 2.0, "GPU": 4.0}], None, 4, 0.5, 1.0),
        ([{"CPU": 8.0}], None, 8, 1.0, 0.0),
    ],
)
def test_workers_share_a_gpu_as_far_as_its_machine_has_cores(
    machines: list[dict[str, float]], at_once: int | None, workers: int, cpus: float, gpus: float
) -> None:
    ray = FakeRay(*machines)
    device = "cuda" if any("GPU" in m for m in machines) else "cpu"
    recipe = replace(prepare(SETTINGS.changed(at_once=at_once)), device=device)
    videos = [(str(n), Path(f"{n}.mp4")) for n in range(100)]
    with pytest.raises(InterruptedError):
        next(Cluster(ray).extract(iter(videos), lambda *done: None, recipe=recipe))
    assert (ray.asked["num_cpus"], ray.asked["num_gpus"]) == (cpus, gpus)
    assert len(ray.workers) == workers


def test_the_device_is_the_clusters() -> None:
    gpus, none = Cluster(FakeRay(CPU=8.0, GPU=4.0)), Cluster(FakeRay(CPU=8.0))
    assert [c.device("auto") for c in (gpus, none)] == ["cuda", "cpu"]
    assert gpus.device("cpu") == "cpu" and gpus.device("cuda:3") == "cuda"
    with pytest.raises(InputError, match="the cluster has no GPU"):
        none.device("cuda")
    with pytest.raises(InputError, match="must be auto, cpu, cuda or"):
        none.device("tpu")


def test_weights_that_a_worker_lacks_are_fetched_and_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = tmp_path / "own.pyth"
    own.write_bytes(b"weights")
    monkeypatch.setattr(
        "tsatal.extract.backbones.weights.fetch_checkpoint", lambda url: (own, file_sha256(own))
    )
    known = prepare(SETTINGS)
    gone = Weights("kinetics", tmp_path / "elsewhere.pyth", file_sha256(own))
    found = _with_own_weights(replace(known, weights={"rgb": gone, "flow": known.weights["rgb"]}))
    assert found.weights["rgb"].path == own and found.weights["flow"].name == "random"
    with pytest.raises(InputError, match="its sha256 is"):
        _with_own_weights(replace(known, weights={"rgb": replace(gone, sha256="0")}))


def test_without_ray_the_remedy_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"pip install '?ray"), connect("local"):
        pass


def test_an_address_without_a_cluster_is_said() -> None:
    ray = pytest.importorskip("ray")
    if ray.is_initialized():
        ray.shutdown()
    with pytest.raises(InputError, match="--ray auto: cannot connect"), connect("auto"):
        pass


def test_features_come_back_whole() -> None:
    """What a worker returns goes through pickle."""
    pickle = pytest.importorskip("ray").cloudpickle
    video = VideoFeatures("v", {"rgb": np.ones((2, 3))}, 0.05, 0.2, 0.4, {"partial": ""})
    back = pickle.loads(pickle.dumps(video))
    assert back.details == video.details and back.streams["rgb"].tolist() == [[1] * 3] * 2
    assert str(pickle.loads(pickle.dumps(VideoError("v.mp4: empty")))) == "v.mp4: empty"


class NoRoom:
    """A stand-in for Ray, connected to a cluster without a machine."""

    def cluster_resources(self) -> dict[str, float]:
        return {}

    def put(self, what: object) -> object:
        return what

    def remote(self, **options: object) -> Any:
        return lambda worker: SimpleNamespace(remote=worker)


def test_a_cluster_without_room_is_told() -> None:
    recipe = prepare(SETTINGS)
    with pytest.raises(InputError, match="the cluster has no cpu to run on"):
        next(iter(Cluster(NoRoom()).extract(iter([]), lambda *done: None, recipe=recipe)))
