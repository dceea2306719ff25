"""`tsatal extract --config`: named settings, under those that are typed."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from tsatal.cli import main
from tsatal.commands.demo import write_demo_videos
from tsatal.formats.features import FeatureFile


def test_the_papers_extraction_gives_both_streams_in_pieces_without_context(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_demo_videos(Path("videos"), training=1, validation=0, duration_sec=2.0, seed=0)
    small = ["--weights", "random", "--resize", "32", "--crop", "32", "--device", "cpu"]
    told = CliRunner().invoke(main, ["extract", "videos", "o.h5", "--config", "paper", *small])
    assert told.exit_code == 0, told.output
    with FeatureFile("o.h5") as file:
        [video] = file.video_ids
        assert [file.rows(video, [s]).shape for s in ("rgb", "flow")] == [(10, 2048)] * 2
        made = file.provenance
    # What is typed counts before the name, and the name before the defaults of options.
    assert (made["crop"], made["fps"], made["context"]) == (32, 10, 0)


def test_a_name_that_is_none_is_refused(tmp_path: Path) -> None:
    told = CliRunner().invoke(main, ["extract", str(tmp_path), "o.h5", "--config", "papr"])
    assert told.exit_code == 2 and "'papr' is not" in told.output
