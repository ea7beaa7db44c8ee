"""Mel-frequency cepstral coefficients, equal to `librosa.feature.mfcc` as it comes.

Frames of 2048 samples every 512 around their centre, zeros beyond the ends, a periodic Hann
window, 128 mel bands (Slaney's scale and normalisation), decibels that end 80 dB under the
loudest, an orthonormal DCT-II. The transform is one of doubles, as librosa's is in effect
(its window has doubles); so the coefficients differ by the rounding of single precision only.

Sources: Davis and Mermelstein 1980 (the coefficients); Slaney, Auditory Toolbox, 1998 (scale
and bands); librosa 0.11, `feature/spectral.py` and `filters.py` (the defaults).
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

from reelscope.music.compiled import compiled

RATE_HZ = 22_050
"""librosa's own rate, at which the coefficients are taken."""
COEFFICIENTS = 13
WINDOW = 2048
HOP = 512
BANDS = 128
LEAST_POWER = 1e-10
"""Anything softer counts as this, so that silence has a logarithm."""
RANGE_DB = 80.0
"""Under the loudest band of the whole sound nothing is told apart."""
FRAMES_AT_ONCE = 256
"""Of the transform: 4 MB, which a processor's cache can hold."""

_LINEAR_HZ = 200.0 / 3
"""Slaney's scale: one mel is so wide up to 1 kHz ..."""
_LOG_FROM_HZ = 1000.0
_LOG_STEP = np.log(6.4) / 27.0
"""... and 27 mels are a factor of 6.4 above."""

Coefficients = NDArray[np.float32]
"""(frames, COEFFICIENTS): librosa's matrix, turned."""


def mfcc(samples: NDArray[np.float32]) -> Coefficients:
    """The coefficients of a sound at RATE_HZ, a row for every 512 samples (23.2 ms).

    Args:
        samples: one channel, (n,), full scale -1 to 1.

    Raises:
        ValueError: no samples, or some that are not finite.
    """
    if not samples.size or not np.isfinite(samples).all():
        raise ValueError("there is no sound in it, or samples that are no numbers")
    padded = np.pad(samples.astype(np.float32, copy=False), WINDOW // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::HOP]
    window, starts, bands = _window(), *_bands()
    energies = np.empty((len(frames), BANDS), np.float32)
    for first in range(0, len(frames), FRAMES_AT_ONCE):
        some = slice(first, first + FRAMES_AT_ONCE)
        _mel(_spectra(frames[some], window), starts, bands, energies[some])
    decibels = 10.0 * np.log10(np.maximum(energies, np.float32(LEAST_POWER)))
    decibels = np.maximum(decibels, decibels.max() - np.float32(RANGE_DB))
    return _cosines(decibels)


def _spectra(frames: NDArray[np.float32], window: NDArray[np.float64]) -> NDArray[np.complex128]:
    from scipy.fft import rfft

    spectra: NDArray[np.complex128] = rfft(frames * window, axis=-1)
    return spectra


@cache
def _window() -> NDArray[np.float64]:
    """A Hann window of a period: scipy.signal.get_window("hann", WINDOW)."""
    return 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(WINDOW) / WINDOW)


@cache
def _bands() -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The first bin of every band, and its weights from there, (BANDS, widest)."""
    weights = mel_weights()
    starts = np.array([np.flatnonzero(band)[0] for band in weights])
    widest = max(np.count_nonzero(band) for band in weights)
    packed = np.zeros((BANDS, widest), np.float32)
    for row, band, start in zip(packed, weights, starts, strict=True):
        found = band[start : start + widest]
        row[: len(found)] = found
    return starts.astype(np.int64), packed


def mel_weights() -> NDArray[np.float32]:
    """The bands as triangles over the bins of the transform, (BANDS, WINDOW / 2 + 1)."""
    bins_hz = np.arange(WINDOW // 2 + 1) * (RATE_HZ / WINDOW)
    corners_hz = _hz(np.linspace(0.0, _mels(RATE_HZ / 2), BANDS + 2))
    width_hz = np.diff(corners_hz)
    away = corners_hz[:, None] - bins_hz[None, :]
    rising, falling = -away[:-2] / width_hz[:-1, None], away[2:] / width_hz[1:, None]
    area = 2.0 / (corners_hz[2:] - corners_hz[:-2])
    triangles = np.maximum(0.0, np.minimum(rising, falling)).astype(np.float32)
    weights: NDArray[np.float32] = (triangles * area[:, None]).astype(np.float32)
    return weights


def _mels(hz: float) -> float:
    """On Slaney's scale."""
    if hz < _LOG_FROM_HZ:
        return hz / _LINEAR_HZ
    return float(_LOG_FROM_HZ / _LINEAR_HZ + np.log(hz / _LOG_FROM_HZ) / _LOG_STEP)


def _hz(mels: NDArray[np.float64]) -> NDArray[np.float64]:
    bend = _LOG_FROM_HZ / _LINEAR_HZ
    above = _LOG_FROM_HZ * np.exp(_LOG_STEP * (np.maximum(mels, bend) - bend))
    return np.where(mels >= bend, above, mels * _LINEAR_HZ)


def _cosines(decibels: NDArray[np.float32]) -> Coefficients:
    """The first of the orthonormal DCT-II, by the transform that librosa takes.

    A product with a matrix would be as good, and 1e-3 away in the first coefficient.
    """
    from scipy.fft import dct

    return np.ascontiguousarray(dct(decibels, axis=-1, type=2, norm="ortho")[:, :COEFFICIENTS])


@compiled
def _mel(
    spectra: NDArray[np.complex128],
    starts: NDArray[np.int64],
    bands: NDArray[np.float32],
    energies: NDArray[np.float32],
) -> None:
    """Fill `energies`: each band's sum of power, by frame."""
    power = np.empty(spectra.shape[1] + bands.shape[1])
    power[:] = 0.0
    for frame in range(spectra.shape[0]):
        for number in range(spectra.shape[1]):
            value = spectra[frame, number]
            power[number] = value.real * value.real + value.imag * value.imag
        for band in range(bands.shape[0]):
            total = 0.0
            first = starts[band]
            for number in range(bands.shape[1]):
                total += power[first + number] * bands[band, number]
            energies[frame, band] = total
