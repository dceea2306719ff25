"""Paths that a user names, looked at before the stages are loaded."""

from __future__ import annotations

from pathlib import Path

from ..formats.features import FeatureFile
from ..formats.labels.find import look_at

Pathlike = str | Path


def look_at_files(features: Pathlike | None = None, annotations: Pathlike | None = None) -> None:
    """Open and close files that are needed later.

    Raises:
        InputError: one is not there, cannot be opened, or is no feature file.
    """
    if annotations:
        look_at(annotations)
    if features:
        FeatureFile(features).close()
