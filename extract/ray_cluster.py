"""Stage one on a Ray cluster: the same work per video, on as many videos as there is room for.

Videos are read where they are extracted, so every machine must see them under the same paths;
rows come back to the process that was started, which keeps them as if they were its own.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ..errors import InputError, how_to_install
from ..formats.features import VideoFeatures
from .backbones.device import choose_device
from .container import VideoError
from .engine import Advance, Recipe, Results, ThisProcess, Videos, resolve_stream

log = logging.getLogger(__name__)

# Workers that share a GPU, each with a core to decode with: a GPU computes far more than one core
# decodes. The network and CUDA's own memory take each of them 1 to 2 GB.
MOST_PER_GPU = 8
RETRIES = 3  # of a video whose worker was lost; one that kills every worker must not go on forever


class Worker:
    """What lives in a process of the cluster: the network, loaded with the first video."""

    def __init__(self) -> None:
        torch.set_num_threads(1)  # the worker has one CPU
        self._engine = ThisProcess()
        self._recipe: Recipe | None = None

    def extract(self, recipe: Recipe, video_id: str, path: Path) -> VideoFeatures | VideoError:
        """Return a video's rows, or why there are none; the recipe is the same in every call.

        Raises:
            InputError: a network cannot be loaded.
        """
        self._recipe = self._recipe or _with_own_weights(recipe)
        video = video_id, path
        [(_, result)] = self._engine.extract([video], lambda *done: None, recipe=self._recipe)
        return result


class Cluster:
    """The engine that runs the network on a cluster; made by `connect`.

    On GPUs, several workers share one, because each decodes with one core.
    """

    def __init__(self, ray: Any) -> None:
        self._ray = ray

    def device(self, wanted: str) -> str:
        """`cpu` or `cuda`, as the cluster has them; see `engine.Engine`."""
        if wanted == "auto":
            return "cuda" if self._room("cuda") else "cpu"
        if not wanted.startswith("cuda"):
            return choose_device(wanted)
        if not self._room("cuda"):
            raise InputError(f"device {wanted!r}: the cluster has no GPU; use --device cpu")
        return "cuda"  # Ray shows every worker just its own

    def extract(self, videos: Videos, advance: Advance, *, recipe: Recipe) -> Results:
        """Yield every video's rows, or why there are none; see `engine.Engine`.

        A worker is started only when there is a video for it. Ray starts a lost worker again, and
        its video with it. A video that loses its worker every time has failed.

        Raises:
            InputError: a network cannot be loaded, or the cluster has no room.
        """
        if all(w.path is None for w in recipe.weights.values()):
            log.warning("RANDOM WEIGHTS: the features will be those of an untrained network")
        room = self._room(recipe.device)
        if not room:
            raise InputError(f"the cluster has no {recipe.device} to run on")
        needs: dict[str, float] = {"num_cpus": 1, "num_gpus": 0}
        if recipe.device.startswith("cuda"):
            per_gpu, cores = self._per_gpu(recipe.settings.at_once)
            room, needs = room * per_gpu, {"num_cpus": cores, "num_gpus": 1 / per_gpu}
        lasting = {"max_restarts": -1, "max_task_retries": RETRIES}
        actor = self._ray.remote(**needs, **lasting)(Worker)
        recipe_here = self._ray.put(recipe)
        coming, idle = iter(videos), list[Any]()
        running: dict[Any, tuple[Any, tuple[str, Path]]] = {}
        try:
            while True:
                while len(running) < room and (video := next(coming, None)):
                    worker = idle.pop() if idle else actor.remote()
                    task = worker.extract.remote(recipe_here, video[0], video[1].absolute())
                    running[task] = worker, video
                if not running:
                    return
                (ready,), _ = self._ray.wait(list(running), num_returns=1)
                worker, (video_id, path) = running.pop(ready)
                idle.append(worker)
                yield video_id, self._result(ready, path)
        finally:
            for worker in [*idle, *(worker for worker, _ in running.values())]:
                self._ray.kill(worker)

    def _per_gpu(self, at_once: int | None) -> tuple[int, float]:
        """The number of workers that share a GPU, and the cores of each, at most one.

        The machine with the fewest cores for a GPU counts: on another reckoning workers would wait
        for cores that it does not have, and their videos with them.

        Args:
            at_once: the most workers of a GPU, where it is given.
        """
        has = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        cores = min(r.get("CPU", 0.0) / r["GPU"] for r in has if r.get("GPU"))
        per_gpu = max(min(int(cores), at_once or MOST_PER_GPU), 1)
        return per_gpu, min(cores / per_gpu, 1.0)

    def _room(self, device: str) -> int:
        """The number of CPUs or GPUs that the cluster has for workers."""
        has = self._ray.cluster_resources()
        return int(has.get("GPU" if device.startswith("cuda") else "CPU", 0))

    def _result(self, ready: Any, path: Path) -> VideoFeatures | VideoError:
        try:
            return self._ray.get(ready)
        except self._ray.exceptions.RayTaskError as e:
            if isinstance(e.cause, InputError):
                raise InputError(str(e.cause)) from None
            reason = f"failed on the cluster ({type(e.cause).__name__}: {e.cause})"
        except self._ray.exceptions.RayError as e:
            lines = str(e).strip().splitlines() or [""]
            reason = (
                f"its worker was lost {RETRIES + 1} times ({type(e).__name__}: {lines[0]})"
                "; extract that video alone, without --ray"
            )
        return VideoError(f"{path}: {reason}")


@contextlib.contextmanager
def connect(address: str) -> Iterator[Cluster]:
    """Connect to a Ray cluster, and part from it in the end.

    Args:
        address: of the cluster; `auto` for the one that this machine is part of; `local` for one
            of this machine's own, which lives only as long as the connection.
    Raises:
        InputError: Ray is not installed, or there is no cluster.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise InputError(f"--ray needs Ray: {how_to_install('ray')}") from None
    own: dict[str, Any] = {"include_dashboard": False} if address == "local" else {}
    try:
        ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False, **own)
    except (ConnectionError, ValueError, RuntimeError) as e:
        raise InputError(
            f"--ray {address}: cannot connect to a cluster ({e})"
            "; `ray status` looks for one, --ray local needs none"
        ) from None
    try:
        yield Cluster(ray)
    finally:
        ray.shutdown()


def _with_own_weights(recipe: Recipe) -> Recipe:
    """Return the recipe with checkpoints that are on this machine, downloaded if need be.

    Raises:
        InputError: a checkpoint cannot be found here, or is another one.
    """
    weights = dict(recipe.weights)
    for stream, given in weights.items():
        if given.path is not None and not given.path.is_file():
            published = recipe.settings.family.weights
            name = published if given.name == published else str(given.path)
            weights[stream] = resolve_stream(recipe.settings, stream, name, sha256=given.sha256)
    return replace(recipe, weights=weights)
