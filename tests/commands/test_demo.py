"""The demo's own parts; the stages that it runs have tests of their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tsatal.commands import demo
from tsatal.extract.backbones import i3d
from tsatal.extract.settings import ExtractSettings
from tsatal.formats.feature_writer import write_feature_file
from tsatal.formats.features import VideoFeatures


@pytest.mark.parametrize(("here", "chosen"), [(True, demo.TRAINED), (False, demo.UNTRAINED)])
def test_a_trained_network_looks_where_its_weights_are(
    monkeypatch: pytest.MonkeyPatch, here: bool, chosen: dict[str, object]
) -> None:
    monkeypatch.setattr(i3d, "here", lambda family: here)
    assert demo.network() == chosen
    ExtractSettings(**demo.network())  # a mistyped setting would not be taken


def test_the_first_look_names_stretches_in_the_order_of_time(tmp_path: Path) -> None:
    scores = np.full((40, 3), 0.05, np.float32)
    scores[:20, 2] = 0.6
    scores[20:, 0] = 0.9
    rows = {"rgb": np.zeros((40, 4), np.float32)}
    seen = VideoFeatures("seen", rows, 0.0, 0.32, 12.8, scores=scores)
    unsure = VideoFeatures("unsure", rows, 0.0, 0.32, 12.8, scores=np.full((40, 3), 0.1))
    path = tmp_path / "features.h5"
    write_feature_file(path, [seen, unsure], provenance={}, classes=["bowling", "archery", "poi"])
    lines = demo.first_look(path, ["seen", "unsure"])
    assert lines[1] == "seen: poi 0.0 to 5.9 s (0.59), bowling 5.9 to 12.8 s (0.84)"
    assert lines[2] == "unsure: nothing it is sure of"
