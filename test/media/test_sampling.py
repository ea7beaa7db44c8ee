"""Which moments are looked at."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelscope.media.sampling import Moments, choose_moments
from reelscope.media.tracks import Track


def track(count: int, *, fps: int = 30, keys_every: int = 250, first: int = 0) -> Track:
    number = np.arange(count, dtype=np.int64)
    return Track(
        index=0,
        codec="h264",
        time_base=Fraction(1, fps),
        pts=number + first,
        key=number % keys_every == 0,
        shown=np.ones(count, np.bool_),
        damaged=np.zeros(count, np.bool_),
        step=1,
        timed=True,
        start_s=first / fps,
    )


def chosen(video: Track, **how: object) -> Moments:
    return choose_moments(
        video, **{"sample_fps": 1.0, "highlights_s": (), "max_frames": 300, **how}
    )  # type: ignore[arg-type]


def of_kind(moments: Moments, kind: str) -> list[int]:
    return [tick for tick, kinds in moments.items() if kind in kinds]


def test_every_second_every_key_frame_and_the_highlights() -> None:
    moments = chosen(track(300), highlights_s=[4.99, 7.5])
    assert of_kind(moments, "sampled") == [n * 30 for n in range(10)]
    assert of_kind(moments, "iframe") == [0, 250]
    assert of_kind(moments, "highlight") == [149, 225]
    assert moments[0] == {"iframe", "sampled"}


def test_frames_are_counted_from_the_first_one() -> None:
    moments = chosen(track(61, first=-17), sample_fps=2.0)
    assert of_kind(moments, "sampled") == [-17, -2, 13, 28, 43]


def test_a_long_video_is_sampled_more_thinly_from_end_to_end() -> None:
    moments = chosen(track(30 * 3600), max_frames=100, highlights_s=np.arange(0, 3600, 2.0))
    sampled = of_kind(moments, "sampled")
    assert len(moments) <= 100
    assert max(np.diff(sampled)) - min(np.diff(sampled)) <= 1
    for kind in ("iframe", "sampled", "highlight"):
        ticks = of_kind(moments, kind)
        assert len(ticks) >= 30
        assert ticks[0] < 30 * 60
        assert ticks[-1] > 30 * 3400


def test_where_every_frame_is_a_key_frame_samples_are_not_lost() -> None:
    moments = chosen(track(1800, keys_every=1), max_frames=200)
    assert of_kind(moments, "sampled") == [n * 30 for n in range(60)]
    assert len(moments) == pytest.approx(200, abs=2)


@given(
    st.integers(1, 3000),
    st.integers(1, 400),
    st.floats(0.01, 30),
    st.integers(1, 400),
    st.lists(st.floats(-5, 200), max_size=50),
)
def test_never_too_many_never_none(
    count: int, keys_every: int, sample_fps: float, max_frames: int, highlights_s: list[float]
) -> None:
    video = track(count, keys_every=keys_every)
    moments = chosen(video, sample_fps=sample_fps, max_frames=max_frames, highlights_s=highlights_s)
    assert 1 <= len(moments) <= max_frames
    assert list(moments) == sorted(moments)
    assert set(moments) <= set(video.order.tolist())
    assert all(moments.values())
    if len(moments) < max_frames // 3:  # there was room for all
        assert of_kind(moments, "iframe") == video.key_order.tolist()
