"""Where rows stand in time: against windows counted out, frame by frame."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsatal.errors import InputError
from tsatal.exchange.facts import VideoFacts
from tsatal.exchange.layouts import ImportSettings, UnknownTimes, clock


def i3d(**options: Any) -> ImportSettings:
    return ImportSettings(format="npy", **{"stride_frames": 4, "window_frames": 16, **options})


@given(
    fps=st.floats(1, 120),
    stride=st.integers(1, 64),
    window=st.integers(1, 64),
    row=st.integers(0, 50),
)
def test_a_row_is_the_mean_time_stamp_of_its_frames(
    fps: float, stride: int, window: int, row: int
) -> None:
    seen = [(row * stride + n) / fps for n in range(window)]
    axis = clock(i3d(stride_frames=stride, window_frames=window, fps=fps), VideoFacts())
    assert axis.start_sec + row * axis.step_sec == pytest.approx(sum(seen) / window)
    assert axis.covered_sec(row + 1) == pytest.approx((row * stride + window) / fps)
    assert axis.rows_in(axis.covered_sec(row + 1)) == pytest.approx(row + 1)


@given(duration=st.floats(0.5, 1e4), rows=st.integers(1, 300))
def test_resized_rows_are_the_middles_of_equal_parts(duration: float, rows: int) -> None:
    axis = clock(ImportSettings(format="bmn"), VideoFacts(duration_sec=duration), rows)
    parts = [(duration * n / rows + duration * (n + 1) / rows) / 2 for n in range(rows)]
    assert [axis.start_sec + n * axis.step_sec for n in range(rows)] == pytest.approx(parts)
    assert axis.misfit(rows, duration) is None


def test_what_is_said_goes_before_what_is_known() -> None:
    facts = VideoFacts(fps=25, stride_frames=8, window_frames=8)
    plain = clock(ImportSettings(format="npy"), facts)
    assert (plain.start_sec, plain.step_sec, plain.fps) == (3.5 / 25, 8 / 25, 25)
    assert clock(ImportSettings(format="npy", fps=30), facts).step_sec == 8 / 30
    assert clock(i3d(offset_frames=0), facts).start_sec == 0


def test_exact_times_hold_unless_frames_are_stated() -> None:
    facts = VideoFacts(start_sec=0.05, step_sec=0.2, fps=10)
    exact = clock(ImportSettings(format="actionformer"), facts)
    assert (exact.start_sec, exact.step_sec) == (0.05, 0.2)
    assert clock(i3d(), facts).step_sec == 0.4


def test_frames_by_duration_are_a_frame_rate() -> None:
    assert clock(i3d(), VideoFacts(frames=500, duration_sec=20)).fps == 25


@pytest.mark.parametrize(
    "rows, share", [(100, None), (97, None), (102, None), (104, 1.07), (50, 0.53), (200, 2.03)]
)
def test_rows_that_leave_more_than_three_steps_are_a_misfit(rows: int, share: float | None) -> None:
    """A video of 40 s at 10 fps, four frames a row, so 100 rows that see 16 frames each."""
    found = clock(i3d(fps=10), VideoFacts()).misfit(rows, 40.0)
    assert found == (None if share is None else pytest.approx(share, abs=0.005))


def test_each_missing_number_is_named() -> None:
    cases: dict[str, dict[str, Any]] = {
        "frame rate": {},
        "stride": {"fps": 30, "stride_frames": None},
        "window": {"fps": 30, "window_frames": None},
        "duration": {"stride_frames": None, "window_frames": None, "resized": True},
    }
    for missing, options in cases.items():
        with pytest.raises(UnknownTimes, match=f"no {missing}"):
            clock(i3d(**options), VideoFacts())


@pytest.mark.parametrize(
    "options, message",
    [
        ({"fps": 0.0}, "fps must be at least 0.000001"),
        ({"stride_frames": float("inf")}, "stride_frames must be a finite number"),
        ({"resized": True}, "leave these out"),
        ({"format": "tridet"}, "format must be 'actionformer', 'opentad'"),
    ],
)
def test_settings_that_cannot_be_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ImportSettings(**{"format": "npy", "stride_frames": 4, **options})


def test_provenance_says_how_frames_became_rows() -> None:
    assert i3d(fps=30).provenance()["fps"] == 30 and i3d().provenance()["fps"] == "per video"
    resized = ImportSettings(format="bmn").provenance()
    assert resized["fps"] is None and resized["resized"] and resized["extractor"] == "imported"


def test_bmn_is_always_spread_and_others_where_it_is_said() -> None:
    assert ImportSettings(format="bmn").spread and ImportSettings(format="npy", resized=True).spread
    assert not i3d().spread
    with pytest.raises(InputError, match="the format \\(bmn\\) or --resized is wrong"):
        ImportSettings(format="bmn", offset_frames=0)
    with pytest.raises(InputError, match="leave these out"):
        i3d().changed(resized=True)
