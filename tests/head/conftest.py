"""What tests of studies share: small settings, one feature file, and trainings of folds on it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tsatal import pipeline
from tsatal.config import load_config

SMALL = [
    "model.width=8", "data.window_steps=16", "data.least_steps=2", "optim.epochs=2",
    "optim.validate_every=2", "optim.batch_size=4",
]  # fmt: skip
WORDS = [word for setting in SMALL for word in ("--set", setting)]


@pytest.fixture(scope="session")
def toy_file(tmp_path_factory: pytest.TempPathFactory, write_toy: Callable[..., Path]) -> Path:
    """The small feature file; not to be changed."""
    return write_toy(tmp_path_factory.mktemp("toy") / "f.h5")


def train_folds(features: Path, out: Path, *settings: str, **options: Any) -> Any:
    """Train a head for every fold, with small settings, on the CPU; return the report."""
    config = load_config("strong", [*SMALL, *settings])
    return pipeline.train_folds(features, config, out=out, device="cpu", **options)
