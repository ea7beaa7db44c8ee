"""How loud is it? EBU R128: integrated loudness, loudness range, true peak.

Sources: ITU-R BS.1770-5 (2023) annex 1 (K-weighting, gating) and annex 2 (true
peak), EBU Tech 3341 (2023, test signals), EBU Tech 3342 (2023, loudness range).
The sound is taken as it comes, block by block, at its own rate and with its own
channels; memory does not grow with the samples, only by one number per 100 ms.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.signal import firwin, sosfilt

from reelscope.records import Loudness

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]

STEPS_PER_S = 10
"""Gating blocks start every 100 ms: 400 ms with 75 % overlap (BS.1770-5 annex 1)."""
BLOCK_STEPS = 4
SHORT_TERM_STEPS = 30
"""Loudness range looks at windows of 3 s (Tech 3342)."""
ABSOLUTE_GATE_LUFS = -70.0
RELATIVE_GATE_LU = -10.0
RANGE_GATE_LU = -20.0
RANGE_PERCENTILES = (10, 95)

SURROUND_WEIGHTS: dict[int, tuple[float, ...]] = {
    4: (1.0, 1.0, 1.0, 1.0),  # L R C and one at the back
    5: (1.0, 1.0, 1.0, 1.41, 1.41),  # L R C Ls Rs
    6: (1.0, 1.0, 1.0, 0.0, 1.41, 1.41),  # 5.1: L R C LFE Ls Rs
    7: (1.0, 1.0, 1.0, 0.0, 1.0, 1.41, 1.41),  # 6.1: L R C LFE Cb Ls Rs
    8: (1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.41, 1.41),  # 7.1: L R C LFE Lb Rb Ls Rs
}
"""Channels in FFmpeg's usual order. Beside the listener (60-120 degrees) counts +1.5 dB,
behind him 0 dB, the low-frequency channel not at all (BS.1770-5 tables 3 and 4)."""

PIECE = 1 << 18
"""Samples (per channel) that are worked on at once; bounds the memory of the filters."""


def measure(blocks: Iterable[Float32], rate_hz: int) -> Loudness:
    """Measure a whole sound.

    Args:
        blocks: consecutive pieces, float (n, channels), full scale +-1; what is not
            finite counts as 0.
        rate_hz: 8000 Hz or more.

    Returns:
        Loudness: `integrated_lufs` is None below 0.4 s or where all of it lies below
        the absolute gate, `range_lu` likewise below 3 s, `true_peak_dbtp` where no
        sample differs from 0.
    """
    meter = Meter(rate_hz)
    for block in blocks:
        meter.feed(block)
    return meter.result()


class Meter:
    """The same, fed by hand: lets one pass over the sound serve several questions."""

    def __init__(self, rate_hz: int) -> None:
        self._rate_hz = rate_hz
        self._sos = k_weighting(rate_hz)
        self._state: Float64 | None = None
        self._power = Steps(rate_hz, STEPS_PER_S)
        self._peak = TruePeak(rate_hz)

    def feed(self, block: Float32) -> None:
        """Take the next piece, float (n, channels)."""
        for start in range(0, len(block), PIECE):
            piece = np.nan_to_num(block[start : start + PIECE], posinf=0.0, neginf=0.0)
            self._peak.feed(piece)
            self._power.add(self._weighted_power(piece.astype(np.float64)))

    def result(self) -> Loudness:
        """What has been heard so far."""
        steps = self._power.means()[:, 0]
        return Loudness(
            integrated_lufs=integrated(steps),
            range_lu=loudness_range(steps),
            true_peak_dbtp=self._peak.result(),
        )

    def _weighted_power(self, piece: Float64) -> Float64:
        """K-weighted, squared, channels summed: (n, channels) -> (n, 1)."""
        channels = piece.shape[1]
        if self._state is None:
            self._state = np.zeros((len(self._sos), 2, channels))
        heard, self._state = sosfilt(self._sos, piece, axis=0, zi=self._state)
        np.square(heard, out=heard)
        heard *= SURROUND_WEIGHTS.get(channels, (1.0,) * channels)
        return np.asarray(heard.sum(axis=1, keepdims=True))


class Steps:
    """Means over consecutive steps of equal length, fed in pieces of any size.

    Where the rate is no multiple of the steps per second, a step is a sample longer or
    shorter than its neighbour and the time stays exact.
    """

    def __init__(self, rate_hz: int, per_s: int) -> None:
        self._rate_hz = rate_hz
        self._per_s = per_s
        self._means: list[Float64] = []
        self._open: Float64 | None = None
        self._seen = 0

    def add(self, values: Float64) -> None:
        """Take the next values, (n, columns)."""
        if not len(values):
            return
        first, last = self._step_of(self._seen), self._step_of(self._seen + len(values))
        ends = [self._start_of(step) - self._seen for step in range(first + 1, last + 1)]
        sums = [values[a:b].sum(axis=0) for a, b in pairwise([0, *ends, len(values)])]
        if self._open is not None:
            sums[0] = sums[0] + self._open
        self._open = sums.pop()
        for step, total in enumerate(sums, first):
            self._means.append(total / (self._start_of(step + 1) - self._start_of(step)))
        self._seen += len(values)

    def means(self, *, unfinished: bool = False) -> Float64:
        """(steps, columns); with what the last step holds so far if it is asked for."""
        means = list(self._means)
        begun = self._seen - self._start_of(self._step_of(self._seen))
        if unfinished and begun and self._open is not None:
            means.append(self._open / begun)
        return np.stack(means) if means else np.zeros((0, 1))

    def _start_of(self, step: int) -> int:
        return -(-step * self._rate_hz // self._per_s)

    def _step_of(self, sample: int) -> int:
        """How many whole steps end at or before this sample."""
        return sample * self._per_s // self._rate_hz


def k_weighting(rate_hz: int) -> Float64:
    """The two filters of BS.1770-5 annex 1 for any rate, as sections (2, 6).

    The standard prints the coefficients for 48 kHz only. They are the bilinear
    transforms of a high shelf (1682 Hz, +4 dB) and a high pass (38 Hz); recovering the
    analogue values from the table gives those of all other rates (Mansbridge, Finn,
    Reiss 2012; the numbers are those of libebur128).
    """
    k = math.tan(math.pi * 1681.974450955533 / rate_hz)
    q, high = 0.7071752369554196, 10 ** (3.999843853973347 / 20)
    band = high**0.4996667741545416
    a0 = 1 + k / q + k * k
    shelf = [
        (high + band * k / q + k * k) / a0,
        2 * (k * k - high) / a0,
        (high - band * k / q + k * k) / a0,
        1.0,
        2 * (k * k - 1) / a0,
        (1 - k / q + k * k) / a0,
    ]
    k, q = math.tan(math.pi * 38.13547087602444 / rate_hz), 0.5003270373238773
    a0 = 1 + k / q + k * k
    high_pass = [1.0, -2.0, 1.0, 1.0, 2 * (k * k - 1) / a0, (1 - k / q + k * k) / a0]
    return np.array([shelf, high_pass])


def integrated(steps: Float64) -> float | None:
    """Gated loudness (BS.1770-5 annex 1, equations 5-7) in LUFS.

    Args:
        steps: weighted mean power of each 100 ms, float64 (n,).
    """
    kept = _gated(_windows(steps, BLOCK_STEPS), RELATIVE_GATE_LU)
    return lufs(float(kept.mean())) if len(kept) else None


def loudness_range(steps: Float64) -> float | None:
    """Spread of the 3 s loudness between its 10th and 95th percentile (Tech 3342), LU."""
    kept = _gated(_windows(steps, SHORT_TERM_STEPS), RANGE_GATE_LU)
    if not len(kept):
        return None
    low, high = np.percentile(kept, RANGE_PERCENTILES, method="nearest")
    return lufs(float(high)) - lufs(float(low))


def lufs(power: float) -> float:
    """Weighted mean power -> loudness (BS.1770-5 annex 1, equation 2)."""
    return -0.691 + 10 * math.log10(power)


def _power(loudness: float) -> float:
    return float(10 ** ((loudness + 0.691) / 10))


def _windows(steps: Float64, length: int) -> Float64:
    """Mean power of every whole window of so many steps."""
    if len(steps) < length:
        return np.zeros(0)
    return np.asarray(np.lib.stride_tricks.sliding_window_view(steps, length).mean(axis=1))


def _gated(powers: Float64, relative_lu: float) -> Float64:
    """What is above the absolute gate, and then above the one relative to its mean."""
    heard = powers[powers > _power(ABSOLUTE_GATE_LUFS)]
    if not len(heard):
        return heard
    return np.asarray(heard[heard > heard.mean() * 10 ** (relative_lu / 10)])


class TruePeak:
    """Largest absolute value of the sound between its samples (BS.1770-5 annex 2).

    Oversampled 4 times below 96 kHz and twice from there on, by a windowed sinc that
    passes through the samples themselves. A stretch is only interpolated if it could
    beat the peak so far: the interpolated value cannot exceed the largest sample near
    it times the sum of the filter's absolute coefficients.
    """

    HALF_TAPS = 12
    CHUNK = 32
    ROWS = 48  # small enough that the matrix library does not start threads of its own

    def __init__(self, rate_hz: int) -> None:
        filters = _between_samples(2 if rate_hz >= 96000 else 4, self.HALF_TAPS)
        self._gain = float(np.abs(filters).sum(axis=0).max())
        self._matrix = _as_matrix(filters, self.CHUNK)
        self._peak = 0.0
        self._tail: Float32 | None = None

    def feed(self, block: Float32) -> None:
        """Take the next piece, float32 (n, channels), finite."""
        if self._tail is None:
            self._tail = np.zeros((2 * self.HALF_TAPS, block.shape[1]), np.float32)
        joined = np.concatenate([self._tail, block])
        self._tail = joined[-2 * self.HALF_TAPS :]
        for channel in joined.T:
            self._look(channel)

    def result(self) -> float | None:
        """The peak in dBTP; None where every sample was 0."""
        if self._tail is not None:
            self.feed(np.zeros_like(self._tail))
        return 20 * math.log10(self._peak) if self._peak else None

    def _look(self, samples: Float32) -> None:
        """Raise the peak by what stands in one channel, float32 (taps + n,)."""
        width = len(self._matrix)
        rows = -(-(len(samples) - width) // self.CHUNK) + 1
        padded = np.zeros(width + (rows - 1) * self.CHUNK, np.float32)
        padded[: len(samples)] = samples
        chunks = np.lib.stride_tricks.sliding_window_view(padded, width)[:: self.CHUNK]
        largest = np.maximum(chunks.max(axis=1), -chunks.min(axis=1))
        self._peak = max(self._peak, float(largest.max()))
        # the loudest first: the peak found there rules out most of the others
        order = np.argsort(largest)[::-1]
        for start in range(0, len(order), self.ROWS):
            some = order[start : start + self.ROWS]
            if largest[some[0]] * self._gain <= self._peak:
                break
            between = chunks[some] @ self._matrix
            self._peak = max(self._peak, float(between.max()), -float(between.min()))


def _between_samples(factor: int, half_taps: int) -> Float32:
    """Interpolators for the points between two samples, float32 (2 half_taps, factor - 1)."""
    taps = firwin(2 * half_taps * factor + 1, 1 / factor, window=("kaiser", 7.0)) * factor
    phases = taps[:-1].reshape(2 * half_taps, factor)
    return np.ascontiguousarray(phases[::-1, 1:].astype(np.float32))


def _as_matrix(filters: Float32, outputs: int) -> Float32:
    """A matrix that applies the filters at so many places in a row.

    float32 (outputs + taps - 1, outputs * filters): a product of matrices is several
    times faster than a loop of short filters.
    """
    taps, count = filters.shape
    matrix = np.zeros((outputs + taps - 1, outputs, count), np.float32)
    for place in range(outputs):
        matrix[place : place + taps, place] = filters
    return matrix.reshape(len(matrix), -1)
