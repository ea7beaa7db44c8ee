"""Which moments of a video are looked at."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

import numpy as np

from reelscope.media.tracks import EPSILON_S, Integers, Track
from reelscope.records import FrameKind

Moments = dict[int, frozenset[FrameKind]]
"""Ticks of a frame -> why it is looked at."""


def choose_moments(
    track: Track, *, sample_fps: float, highlights_s: Sequence[float], max_frames: int
) -> Moments:
    """The frames shown at evenly spaced times, at the highlights, and the key frames.

    Where that is more than `max_frames`, each kind is sure of a third: highlights are
    thinned first, then the sampling interval grows, then key frames are thinned, each
    evenly over the video.

    Args:
        track: the video track; its times are known before anything is decoded.
        sample_fps: frames per second.
        highlights_s: times of special interest, seconds.
        max_frames: upper bound of the result.

    Returns:
        Ticks -> kinds, in time order.
    """
    share = max(max_frames // 3, 1)
    keys = track.key_order
    special = _evenly(np.unique(track.at(highlights_s)), max(max_frames - 2 * share, share))
    room = max_frames - len(special) - min(len(keys), share)
    sampled = _sampled(track, sample_fps, max(room, 1))
    taken = np.union1d(special, sampled)
    left = _evenly(keys[~np.isin(keys, taken)], max(max_frames - len(taken), 0))
    keys = np.union1d(keys[np.isin(keys, taken)], left)
    return _first(_kinds({"iframe": keys, "sampled": sampled, "highlight": special}), max_frames)


def _sampled(track: Track, sample_fps: float, room: int) -> Integers:
    """One frame per 1 / sample_fps seconds; a longer interval if that is too many."""
    first, last = track.times_s[0], track.times_s[-1]
    count = int((last - first + EPSILON_S) * sample_fps) + 1
    step_s = 1 / sample_fps if count <= room else (last - first) / room
    return np.unique(track.at(first + step_s * np.arange(min(count, room))))


def _evenly(values: Integers, most: int) -> Integers:
    if len(values) <= most:
        return values
    return values[np.linspace(0, len(values) - 1, most).round().astype(np.int64)]


def _kinds(ticks: dict[FrameKind, Integers]) -> Moments:
    found: dict[int, set[FrameKind]] = {}
    for kind, values in ticks.items():
        for value in values.tolist():
            found.setdefault(value, set()).add(kind)
    return {tick: frozenset(found[tick]) for tick in sorted(found)}


def _first(moments: Moments, most: int) -> Moments:
    """A bound of one or two frames leaves no room for thirds."""
    return dict(islice(moments.items(), most))
