"""Packets as tracks: which frames are shown, when, and at what rate."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelscope.media.tracks import NO_PTS, Track, _together, is_variable, measured_rate


def track(ticks: list[int], base: Fraction = Fraction(1, 1000), start_s: float = 0.0) -> Track:
    count = len(ticks)
    return Track(
        index=0,
        codec="h264",
        time_base=base,
        pts=np.array(ticks, np.int64),
        key=np.array([i % 3 == 0 for i in range(count)]),
        shown=np.ones(count, np.bool_),
        damaged=np.zeros(count, np.bool_),
        step=40,
        timed=True,
        start_s=start_s,
    )


def test_frames_are_ordered_by_time_not_by_file() -> None:
    found = track([0, 120, 40, 80], start_s=-0.01)
    assert found.order.tolist() == [0, 40, 80, 120]
    assert found.times_s.tolist() == [0.01, 0.05, 0.09, 0.13]
    assert found.key_order.tolist() == [0, 80]
    assert found.end_s == 0.17


@given(
    st.lists(st.integers(-(10**6), 10**6), min_size=1, unique=True),
    st.floats(-2000, 2000),
    st.sampled_from([Fraction(1, 1000), Fraction(1, 90000), Fraction(1001, 30000)]),
)
def test_the_frame_shown_is_the_last_that_began(
    ticks: list[int], time_s: float, base: Fraction
) -> None:
    found = track(ticks, base)
    (tick,) = found.at([time_s]).tolist()
    began = [t for t in ticks if float(t * base) <= time_s + 1.5e-6]
    assert tick in ticks
    assert found.second(tick) == pytest.approx(float(tick * base), abs=1e-6)
    if began and abs(found.second(max(began)) - time_s) > 2e-6:
        assert tick == max(began)


@given(st.lists(st.integers(-(10**6), 10**6), min_size=1, unique=True))
def test_each_frame_is_shown_at_its_own_time(ticks: list[int]) -> None:
    found = track(ticks)
    assert found.at(found.times_s).tolist() == sorted(ticks)


def test_packets_hours_away_are_not_shown() -> None:
    year = 365 * 86400 * 1000
    pts = np.array([0, 40, 80, year, year + 40, 120, NO_PTS + 1], np.int64)
    shown = _together(pts, np.ones(7, np.bool_), Fraction(1, 1000))
    assert shown.tolist() == [True, True, True, False, False, True, False]


def test_rates() -> None:
    even = track([n * 1001 for n in range(31)], Fraction(1, 30000))
    assert measured_rate(even) == Fraction(30000, 1001)
    assert not is_variable(even)
    assert not is_variable(track([round(n * 1000 / 29.97) for n in range(200)]))
    assert is_variable(track([0, 33, 67, 100, 200, 233]))
    assert is_variable(track([0, 1, 2, 3, 5, 6], Fraction(1, 30)))
    assert measured_rate(track([5])) is None
    assert not is_variable(track([5]))
