"""tsatal finds actions in untrimmed video: label, start, end, score.

The names below are all that most programs need; each is loaded when it is first used, so that
`import tsatal` takes no time. `tsatal.pipeline` has their arguments.

Example:
    >>> import tsatal
    >>> tsatal.extract("videos", "out.h5")  # doctest: +SKIP
    >>> run = tsatal.train("out.h5")  # doctest: +SKIP
    >>> print(tsatal.evaluate(run))  # doctest: +SKIP
    >>> tsatal.detect("new.mp4", run)["new"].detections  # doctest: +SKIP
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"


def _let_waiting_threads_sleep() -> None:
    """Tell OpenMP, before torch loads it, that a thread without work gives its core away.

    By default it spins there for milliseconds, and beside other programs the thread that has work
    waits for that very core: a training is then ten times as slow. A setting of the user's counts.
    """
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"} & set(os.environ):
        if "torch" in sys.modules:
            import logging

            logging.getLogger(__name__).info(
                "torch was imported before tsatal: its threads spin while they wait, which is slow "
                "beside other programs; import tsatal first, or set OMP_WAIT_POLICY=passive"
            )
        else:
            os.environ["OMP_WAIT_POLICY"] = "passive"


_let_waiting_threads_sleep()

# Where each public name lives.
_HOMES = {
    "train": "pipeline",
    "resume": "pipeline",
    "train_folds": "pipeline",
    "learning_curve": "pipeline",
    "evaluate": "pipeline",
    "evaluate_predictions": "pipeline",
    "detect": "pipeline",
    "first_look": "pipeline",
    "convert": "pipeline",
    "clips": "pipeline",
    "pack": "pipeline",
    "load_detector": "head.detector",
    "FeatureFile": "formats.features",
    "VideoFeatures": "formats.features",
    "write_feature_file": "formats.feature_writer",
    "load_annotations": "formats.labels.find",
    "load_predictions": "formats.predictions",
    "load_config": "config",
    "InputError": "errors",
}
__all__ = ["__version__", "extract", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


if TYPE_CHECKING:
    from .config import load_config as load_config
    from .errors import InputError as InputError
    from .formats.feature_writer import write_feature_file as write_feature_file
    from .formats.features import FeatureFile as FeatureFile
    from .formats.features import VideoFeatures as VideoFeatures
    from .formats.labels.find import load_annotations as load_annotations
    from .formats.predictions import load_predictions as load_predictions
    from .head.detector import load_detector as load_detector
    from .pipeline import clips as clips
    from .pipeline import convert as convert
    from .pipeline import detect as detect
    from .pipeline import evaluate as evaluate
    from .pipeline import evaluate_predictions as evaluate_predictions
    from .pipeline import extract as extract
    from .pipeline import first_look as first_look
    from .pipeline import learning_curve as learning_curve
    from .pipeline import pack as pack
    from .pipeline import resume as resume
    from .pipeline import train as train
    from .pipeline import train_folds as train_folds
else:
    # `tsatal.extract` is the function and also the folder of stage one, which Python binds to this
    # name as soon as any module of it is imported. So the folder itself can be called.
    from . import extract

    class _Stage(ModuleType):
        def __call__(self, *args: Any, **options: Any) -> Any:
            """Call `tsatal.pipeline.extract`."""
            return import_module(".pipeline", __package__).extract(*args, **options)

    extract.__class__ = _Stage
