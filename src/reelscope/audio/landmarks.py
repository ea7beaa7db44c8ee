"""Acoustic fingerprints: pairs of spectral peaks, and when they are heard.

Wang, "An Industrial-Strength Audio Search Algorithm" (ISMIR 2003): peaks of the spectrogram
survive noise and coding; a pair of them (frequency, frequency, time between) is a hash that
is found again exactly, and a recording is recognised where many hashes of it are found at one
and the same distance in time. Sizes as in Ellis, "Robust Landmark-Based Audio Fingerprinting"
(2009), but with a longer window: 128 ms part the partials of music from a voice over it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import soxr
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

VERSION = 1
"""Raised when the same sound gets other hashes; an index of another version is of no use."""
RATE_HZ = 8000
"""Music has its strongest partials below 4 kHz; what codecs cut away lies above."""
FRAME, HOP = 1024, 256
"""128 ms every 32 ms: a sound that is cut elsewhere is off by half a hop at most, an eighth
of a frame."""
FRAMES_PER_S = RATE_HZ / HOP
LOWEST_BIN = 10
"""78 Hz: below is rumble."""
BINS = FRAME // 2
REACH_FRAMES, REACH_BINS = 3, 6
"""A peak is the highest point within about 0.1 s and 50 Hz on either side."""
RANGE_LOG = 9.0
"""Peaks more than this below the highest (natural logarithm of the amplitude: 78 dB) are none."""
PEAKS_PER_S = 20
FAN_OUT = 3
"""Pairs that a peak begins: with 20 peaks a second about 60 hashes a second."""
FIRST_FRAMES, LAST_FRAMES = 2, 63
"""Time between the peaks of a pair: 0.06 to 2 s, 6 bits."""
MOST_BINS = 63
"""Between the frequencies of a pair: 492 Hz, 7 bits."""
_TIME_BITS, _STEP_BITS = 6, 7

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Landmarks:
    """The hashes of a stretch of sound, in order of time.

    Attributes:
        hashes: 22 bits each, (n,).
        frames: when each begins, frames of 32 ms from the start of the stretch, (n,).
    """

    hashes: Ints
    frames: Ints

    def __len__(self) -> int:
        return len(self.hashes)


def landmarks(samples: NDArray[np.float32], rate_hz: int) -> Landmarks:
    """The fingerprint of a sound.

    Args:
        samples: one channel, (n,), finite.
        rate_hz: theirs.
    """
    sound = samples if rate_hz == RATE_HZ else soxr.resample(samples, rate_hz, RATE_HZ)
    frames, bins = _peaks(np.asarray(sound, np.float32))
    pairs = list(_pairs(frames.tolist(), bins.tolist()))
    found = np.array(pairs, np.int64).reshape(-1, 2)
    return Landmarks(found[:, 0], found[:, 1])


def _peaks(sound: NDArray[np.float32]) -> tuple[Ints, Ints]:
    """(frames, bins) of the strongest peaks of every second, by time, then by frequency."""
    if len(sound) < FRAME or not sound.any():
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    cut = np.lib.stride_tricks.sliding_window_view(sound, FRAME)[::HOP]
    spectrum = np.abs(np.fft.rfft(cut * np.hanning(FRAME).astype(np.float32), axis=1))
    level = np.log(spectrum[:, :BINS] + 1e-6)
    around = maximum_filter(level, size=(2 * REACH_FRAMES + 1, 2 * REACH_BINS + 1))
    frames, bins = np.nonzero((level == around) & (level > level.max() - RANGE_LOG))
    heard = bins >= LOWEST_BIN
    frames, bins = frames[heard], bins[heard]
    second = frames // round(FRAMES_PER_S)
    order = np.lexsort((bins, -level[frames, bins], second))
    rank = np.arange(len(order)) - np.searchsorted(second[order], second[order])
    kept = np.sort(order[rank < PEAKS_PER_S])  # np.nonzero goes by time, then by frequency
    return frames[kept], bins[kept]


def _pairs(frames: list[int], bins: list[int]) -> list[tuple[int, int]]:
    """(hash, frame) of each peak with the next FAN_OUT in its reach."""
    found: list[tuple[int, int]] = []
    for at, (frame, low) in enumerate(zip(frames, bins, strict=True)):
        begun = 0
        for later in range(at + 1, len(frames)):
            gap, step = frames[later] - frame, bins[later] - low
            if gap > LAST_FRAMES or begun == FAN_OUT:
                break
            if gap >= FIRST_FRAMES and abs(step) <= MOST_BINS:
                found.append((pack(low, step, gap), frame))
                begun += 1
    return found


def pack(low: int, step: int, gap: int) -> int:
    """Bin of the first peak (9 bits), bins to the second (7), frames between (6)."""
    return (low << (_STEP_BITS + _TIME_BITS)) | ((step + MOST_BINS + 1) << _TIME_BITS) | gap
