"""What is heard in a clip: its peaks in pairs, and how much every point of it stands out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reelscope.music.compiled import compiled
from reelscope.music.fingerprint import (
    BINS,
    FRAME,
    FRAMES_PER_S,
    HOP,
    LOWEST_BIN,
    QUERY_PEAKS_PER_S,
    Map,
    loudness,
    peaks,
    spectrum,
    whitened,
)
from reelscope.music.sound import Sound

ALL_FAN_OUT, FEW_FAN_OUT = 10, 6
"""Pairs that a peak begins: of all peaks, and of the strongest few, which the many hypotheses
of other speeds are tried with."""
FEW_PEAKS, FEW_PEAKS_PER_S = 300, 50
WIDEST_GAP, WIDEST_STEP = 100, 100
"""Frames and bins between the peaks of a pair; wider than in the index (segment.py), because
sound that is slowed down has its pairs further apart."""
SMOOTH_BINS = 17
"""Mean and spread of the evidence are those of 66 Hz on either side."""
LEAST_EVIDENCE, MOST_EVIDENCE = -1.5, 3.0
"""Standard deviations; one loud partial is not to outweigh all that is missing."""


@dataclass(frozen=True, slots=True, eq=False)
class Heard:
    """A stretch of sound, ready to be compared.

    Attributes:
        evidence: (frames, BINS), standard deviations by which each point, or one beside it,
            stands out, compared with this stretch at about this frequency.
        sharp: the same of each point alone.
        marked: (frames, BINS), 1 where there is a peak of the clip, or one beside it.
        pairs: (n, 4) float32: frame, first bin, second bin, frames between; of all peaks.
        few: the same of the strongest peaks.
    """

    evidence: Map
    sharp: Map
    marked: NDArray[np.uint8]
    pairs: NDArray[np.float32]
    few: NDArray[np.float32]

    @property
    def length(self) -> int:
        """Frames."""
        return len(self.evidence)


def listen(sound: Sound) -> Heard:
    """Analyse a stretch of sound.

    Args:
        sound: one channel at RATE_HZ, (n,), finite.
    """
    count = -(-len(sound) // HOP)
    padded = np.pad(sound, (FRAME // 2, FRAME))[: (count - 1) * HOP + FRAME] if count else sound
    if not count:
        nothing = np.zeros((0, 4), np.float32)
        return Heard(_NO_FRAMES, _NO_FRAMES, np.zeros((0, BINS), np.uint8), nothing, nothing)
    shown = spectrum(padded)
    white, loudest = whitened(shown), loudness(shown)
    frames, bins = peaks(white, loudest, 0, count, QUERY_PEAKS_PER_S)
    few = min(FEW_PEAKS_PER_S, max(round(FEW_PEAKS * FRAMES_PER_S / count), 1))
    return Heard(
        _evidence(_widened(white)),
        _evidence(white),
        _marked(frames, bins, count),
        _paired(frames, bins, ALL_FAN_OUT),
        _paired(*peaks(white, loudest, 0, count, few), FEW_FAN_OUT),
    )


@compiled
def _marked(frames: NDArray[np.int32], bins: NDArray[np.int16], count: int) -> NDArray[np.uint8]:
    out = np.zeros((count, BINS), np.uint8)
    for i in range(len(frames)):
        out[max(frames[i] - 1, 0) : frames[i] + 2, max(bins[i] - 1, 0) : bins[i] + 2] = 1
    return out


_NO_FRAMES: Map = np.zeros((0, BINS), np.float32)


def _evidence(near: Map) -> Map:
    """Each point in standard deviations of its frequency."""
    kernel = np.ones(SMOOTH_BINS) / SMOOTH_BINS
    mean = np.convolve(near.mean(axis=0), kernel, "same")
    spread = np.convolve(near.std(axis=0), kernel, "same") + 1e-3
    return _standardised(near, mean.astype(np.float32), (1 / spread).astype(np.float32))


@compiled
def _standardised(near: Map, mean: NDArray[np.float32], scale: NDArray[np.float32]) -> Map:
    out = np.empty_like(near)
    for t in range(near.shape[0]):
        for k in range(near.shape[1]):
            value = (near[t, k] - mean[k]) * scale[k]
            out[t, k] = min(max(value, np.float32(LEAST_EVIDENCE)), np.float32(MOST_EVIDENCE))
    return out


@compiled
def _widened(white: Map) -> Map:
    """The highest of each point and its eight neighbours."""
    frames, bins = white.shape
    wide = np.empty_like(white)
    for t in range(frames):
        wide[t, 0] = max(white[t, 0], white[t, 1])
        wide[t, bins - 1] = max(white[t, bins - 1], white[t, bins - 2])
        for k in range(1, bins - 1):
            wide[t, k] = max(white[t, k], white[t, k - 1], white[t, k + 1])
    out = np.empty_like(white)
    for t in range(frames):
        before, after = max(t - 1, 0), min(t + 1, frames - 1)
        for k in range(bins):
            out[t, k] = max(wide[t, k], wide[before, k], wide[after, k])
    return out


@compiled
def _paired(
    frames: NDArray[np.int32], bins: NDArray[np.int16], fan_out: int
) -> NDArray[np.float32]:
    """Each peak with the next `fan_out` in reach."""
    out = np.empty((len(frames) * fan_out, 4), np.float32)
    count = 0
    for first in range(len(frames)):
        begun = 0
        for second in range(first + 1, len(frames)):
            gap = frames[second] - frames[first]
            if gap > WIDEST_GAP or begun == fan_out:
                break
            step = bins[second] - bins[first]
            if gap >= 1 and abs(step) <= WIDEST_STEP and bins[first] >= LOWEST_BIN:
                out[count, 0], out[count, 1] = frames[first], bins[first]
                out[count, 2], out[count, 3] = bins[second], gap
                count += 1
                begun += 1
    return out[:count].copy()
