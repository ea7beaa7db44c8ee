"""Windows of at most 30 s that hold all speech."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from reelscope.audio.speech_windows import (
    MAX_GAP_S,
    PAD_S,
    RATE_HZ,
    Span,
    plan_windows,
    read_windows,
)

LONGEST = 30 * RATE_HZ


@st.composite
def speech(draw: st.DrawFn) -> tuple[list[tuple[float, float]], float]:
    steps = draw(st.lists(st.tuples(st.floats(0, 6), st.floats(0.1, 70)), max_size=6))
    spans, at_s = [], 0.0
    for gap_s, length_s in steps:
        spans.append((at_s + gap_s, at_s + gap_s + length_s))
        at_s = spans[-1][1]
    return spans, at_s + draw(st.floats(0, 3))


def ramp(duration_s: float, block: int = 30 * RATE_HZ) -> list[NDArray[np.float32]]:
    """A sound whose samples say where they stand."""
    count = round(duration_s * RATE_HZ)
    whole = (np.arange(count, dtype=np.float64) / max(count, 1)).astype(np.float32)
    return [whole[i : i + block, None] for i in range(0, count, block)]


@settings(max_examples=30, deadline=None)
@given(speech())
def test_every_moment_of_speech_is_heard_once(
    found: tuple[list[tuple[float, float]], float],
) -> None:
    spans, duration_s = found
    windows = plan_windows(spans, duration_s)
    heard = [
        (start_s, start_s + len(samples) / RATE_HZ)
        for start_s, samples in read_windows(ramp(duration_s), windows)
    ]
    assert all(0 < end_s - start_s <= 30.0 for start_s, end_s in heard)
    assert all(before[1] <= after[0] + 1e-9 for before, after in pairwise(heard))
    marks = np.concatenate([np.linspace(a, b, 50)[1:-1] for a, b in spans] or [np.zeros(0)])
    inside = np.array([any(a - 1e-3 <= t <= b + 1e-3 for a, b in heard) for t in marks], bool)
    assert inside.all()


@settings(max_examples=30, deadline=None)
@given(speech(), st.sampled_from([0.9, 3.0, 30.0, 1000.0]))
def test_samples_are_those_of_their_time_whatever_the_blocks(
    found: tuple[list[tuple[float, float]], float], block_s: float
) -> None:
    spans, duration_s = found
    windows = plan_windows(spans, duration_s)
    whole = np.concatenate([np.zeros((0, 1), np.float32), *ramp(duration_s)])[:, 0]
    for start_s, samples in read_windows(ramp(duration_s, round(block_s * RATE_HZ)), windows):
        first = round(start_s * RATE_HZ)
        assert np.array_equal(samples, whole[first : first + len(samples)])


def test_close_speech_is_one_window_and_far_speech_is_not() -> None:
    spans = [(1.0, 3.0), (4.0, 6.0), (6.0 + MAX_GAP_S + 0.1, 12.0)]
    assert plan_windows(spans, 20.0) == [
        Span(1.0 - PAD_S, 6.0 + PAD_S),
        Span(6.0 + MAX_GAP_S + 0.1 - PAD_S, 12.0 + PAD_S),
    ]


def test_a_window_is_cut_at_the_longest_pause_of_its_later_half() -> None:
    spans = [(0.0, 9.0), (10.9, 16.0), (17.5, 24.0), (24.2, 27.0), (27.1, 40.0)]
    windows = plan_windows(spans, 40.0)
    assert windows[0].end_s == pytest.approx(16.0 + PAD_S)
    assert windows[1].start_s == pytest.approx(17.5 - PAD_S)


def test_long_speech_is_cut_where_it_is_quiet() -> None:
    rng = np.random.default_rng(0)
    sound = rng.uniform(-0.5, 0.5, (50 * RATE_HZ, 1)).astype(np.float32)
    quiet = slice(round(25.3 * RATE_HZ), round(25.5 * RATE_HZ))
    sound[quiet] *= 0.01
    (first, second) = read_windows([sound], plan_windows([(0.0, 50.0)], 50.0))
    assert 25.3 < second[0] < 25.5
    assert len(first[1]) + len(second[1]) == len(sound)


def test_the_sound_may_be_shorter_than_the_voices_and_not_a_number() -> None:
    sound = np.full((RATE_HZ, 1), np.nan, np.float32)
    sound[::2] = 7.0
    windows = plan_windows([(0.2, 0.8), (5.0, 6.0)], 6.0)
    ((start_s, samples),) = read_windows([sound], windows)
    assert start_s == 0.0
    assert set(np.unique(samples)) == {0.0, 1.0}
    assert list(read_windows([], windows)) == []
    assert plan_windows([], 10.0) == []


def test_two_hours_are_read_piece_by_piece() -> None:
    held = 0

    def blocks() -> Iterator[NDArray[np.float32]]:
        nonlocal held
        for _ in range(240):
            held += 1
            yield np.zeros((30 * RATE_HZ, 1), np.float32)

    spans = [(i * 30.0 + 1, i * 30.0 + 9.5) for i in range(240)]
    windows = plan_windows(spans, 7200.0)
    found = 0
    for start_s, samples in read_windows(blocks(), windows):
        assert held * 30.0 <= start_s + len(samples) / RATE_HZ + 30.0
        found += 1
    assert found == 240
