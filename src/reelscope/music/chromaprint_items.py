"""Chromaprint's raw fingerprint of samples: our own implementation of its algorithm 2.

The algorithm, its classifiers and their thresholds are Lukas Lalinsky's (Chromaprint, "How
does Chromaprint work?", https://oxygene.sk/2011/01/how-does-chromaprint-work/; the numbers
are those of the configuration "TEST2" in https://github.com/acoustid/chromaprint, MIT
licence), after Ke, Hoiem and Sukthankar, "Computer Vision for Music Identification" (CVPR
2005) and Jang et al., "Pairwise Boosted Audio Fingerprint" (2009). Sums are taken in
Chromaprint's own order and width, so that the same samples give the same 32-bit items.
"""

from __future__ import annotations

import functools
import math

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from reelscope.music.compiled import compiled

RATE_HZ = 11025
"""The rate that Chromaprint works at, one channel of 16 bits."""

FRAME = 4096
"""Samples of a Fourier transform, 0.37 s."""

HOP = FRAME // 3
"""Samples from one item to the next: 1365, 0.124 s."""

ITEM_S = HOP / RATE_HZ
"""Seconds from one item to the next."""

ROWS = 16
"""Chroma vectors that one item looks at: the widest classifier."""

SMOOTHED = 5
"""Transforms that a chroma vector is the weighted sum of."""

DELAY_S = ((ROWS + SMOOTHED - 2) * HOP + FRAME) / RATE_HZ
"""The shortest sound that has one item: 2.72 s."""

_LOWEST_HZ, _HIGHEST_HZ = 28, 3520
_BASE_HZ = 440.0 / 16
_BANDS = 12
_LEAST_NORM = 0.01
_WEIGHTS = np.array([0.25, 0.75, 1.0, 0.75, 0.25])
_AT_ONCE = 256

# kind, first band, bands, rows, and three thresholds, of each of the 16 classifiers
_CLASSIFIERS = np.array(
    [
        (0, 4, 3, 15, 1.98215, 2.35817, 2.63523),
        (4, 4, 6, 15, -1.03809, -0.651211, -0.282167),
        (1, 0, 4, 16, -0.298702, 0.119262, 0.558497),
        (3, 8, 2, 12, -0.105439, 0.0153946, 0.135898),
        (3, 4, 4, 8, -0.142891, 0.0258736, 0.200632),
        (4, 0, 3, 5, -0.826319, -0.590612, -0.368214),
        (1, 2, 2, 9, -0.557409, -0.233035, 0.0534525),
        (2, 7, 3, 4, -0.0646826, 0.00620476, 0.0784847),
        (2, 6, 2, 16, -0.192387, -0.029699, 0.215855),
        (2, 1, 3, 2, -0.0397818, -0.00568076, 0.0292026),
        (5, 10, 1, 15, -0.53823, -0.369934, -0.190235),
        (3, 6, 2, 10, -0.124877, 0.0296483, 0.139239),
        (2, 1, 1, 14, -0.101475, 0.0225617, 0.231971),
        (3, 5, 6, 4, -0.0799915, -0.00729616, 0.063262),
        (1, 9, 2, 12, -0.272556, 0.019424, 0.302559),
        (3, 4, 2, 14, -0.164292, -0.0321188, 0.0846339),
    ]
)


class Items:
    """Computes the raw fingerprint of a sound that comes in pieces, of any length."""

    def __init__(self) -> None:
        self._left = np.zeros(0, np.int16)
        self._chroma: list[NDArray[np.float64]] = []

    def feed(self, samples: NDArray[np.int16]) -> None:
        """The next piece of the sound: one channel at `RATE_HZ`."""
        whole = np.concatenate([self._left, samples])
        count = max((len(whole) - FRAME) // HOP + 1, 0)
        if count:
            self._chroma.append(_chroma(whole, count))
        self._left = whole[count * HOP :]

    def finish(self) -> NDArray[np.uint32]:
        """One 32-bit item for every 0.124 s; none if the sound is shorter than `DELAY_S`."""
        if sum(map(len, self._chroma)) < ROWS + SMOOTHED - 1:
            return np.zeros(0, np.uint32)
        return _items(_image(np.concatenate(self._chroma)), _CLASSIFIERS)


def items_of(samples: NDArray[np.int16]) -> NDArray[np.uint32]:
    """The raw fingerprint of a sound that is here as a whole; see `Items`."""
    items = Items()
    items.feed(samples)
    return items.finish()


def _chroma(samples: NDArray[np.int16], count: int) -> NDArray[np.float64]:
    """Energy by pitch class of every transform: float64 (count, 12)."""
    window = _window()
    first, notes = _notes()
    frames = np.lib.stride_tricks.sliding_window_view(samples, FRAME)[::HOP][:count]
    chroma = np.zeros((count, _BANDS))
    for start in range(0, count, _AT_ONCE):
        piece = scipy.fft.rfft(frames[start : start + _AT_ONCE] * window, axis=1)
        _fold(piece[:, first : first + len(notes)], notes, chroma[start : start + _AT_ONCE])
    return chroma


@functools.cache
def _window() -> NDArray[np.float32]:
    turn = 2.0 * math.pi / (FRAME - 1) * np.arange(FRAME)
    window: NDArray[np.float64] = (0.54 - 0.46 * np.cos(turn)) / np.iinfo(np.int16).max
    return window.astype(np.float32)


@functools.cache
def _notes() -> tuple[int, NDArray[np.int64]]:
    """The first bin that counts, and the pitch class of it and the following bins."""
    first = round(FRAME * _LOWEST_HZ / RATE_HZ)
    frequency = np.arange(first, round(FRAME * _HIGHEST_HZ / RATE_HZ)) * RATE_HZ / FRAME
    octave = np.log(frequency / _BASE_HZ) / math.log(2.0)
    return first, np.asarray(_BANDS * (octave - np.floor(octave)), np.int64)


@compiled
def _fold(
    spectrum: NDArray[np.complex64], notes: NDArray[np.int64], chroma: NDArray[np.float64]
) -> None:
    """Add the energy of every bin to its pitch class."""
    for row in range(spectrum.shape[0]):
        for column in range(spectrum.shape[1]):
            value = spectrum[row, column]
            energy = value.real * value.real + value.imag * value.imag
            chroma[row, notes[column]] += energy


def _image(chroma: NDArray[np.float64]) -> NDArray[np.float64]:
    """Smoothed over time, of unit length, and summed up from the beginning and from band 0."""
    rows = len(chroma) - SMOOTHED + 1
    smooth = np.zeros((rows, _BANDS))
    for place, weight in enumerate(_WEIGHTS):
        smooth += chroma[place : place + rows] * weight
    return _summed(smooth)


@compiled
def _summed(smooth: NDArray[np.float64]) -> NDArray[np.float64]:
    """The integral image of the normalised rows, with a row and a column of zeros before it."""
    rows, bands = smooth.shape
    image = np.zeros((rows + 1, bands + 1))
    for row in range(rows):
        squares = 0.0
        for band in range(bands):
            squares += smooth[row, band] * smooth[row, band]
        norm = math.sqrt(squares)
        total = 0.0
        for band in range(bands):
            total += 0.0 if norm < _LEAST_NORM else smooth[row, band] / norm
            image[row + 1, band + 1] = image[row, band + 1] + total
    return image


@compiled
def _area(image: NDArray[np.float64], row: int, band: int, row_end: int, band_end: int) -> float:
    if row >= row_end or band >= band_end:
        return 0.0
    upper: float = image[row_end, band_end] - image[row, band_end]
    return upper - image[row_end, band] + image[row, band]  # type: ignore[no-any-return]


@compiled
def _contrast(
    image: NDArray[np.float64], kind: int, row: int, band: int, rows: int, bands: int
) -> float:
    """The log ratio of the light to the dark areas of a classifier of this kind."""
    row_end, band_end = row + rows, band + bands
    mid_row, mid_band = row + rows // 2, band + bands // 2
    if kind == 0:  # everything against nothing
        light, dark = _area(image, row, band, row_end, band_end), 0.0
    elif kind == 1:  # higher bands against lower ones
        light = _area(image, row, mid_band, row_end, band_end)
        dark = _area(image, row, band, row_end, mid_band)
    elif kind == 2:  # later against earlier
        light = _area(image, mid_row, band, row_end, band_end)
        dark = _area(image, row, band, mid_row, band_end)
    elif kind == 3:  # one diagonal of a chessboard against the other
        light = _area(image, row, mid_band, mid_row, band_end) + _area(
            image, mid_row, band, row_end, mid_band
        )
        dark = _area(image, row, band, mid_row, mid_band) + _area(
            image, mid_row, mid_band, row_end, band_end
        )
    elif kind == 4:  # the middle third of the bands against the outer ones
        third = bands // 3
        light = _area(image, row, band + third, row_end, band + 2 * third)
        dark = _area(image, row, band, row_end, band + third) + _area(
            image, row, band + 2 * third, row_end, band_end
        )
    else:  # the middle third of the time against the outer ones
        third = rows // 3
        light = _area(image, row + third, band, row + 2 * third, band_end)
        dark = _area(image, row, band, row + third, band_end) + _area(
            image, row + 2 * third, band, row_end, band_end
        )
    return math.log(1.0 + light) - math.log(1.0 + dark)


@compiled
def _items(image: NDArray[np.float64], classifiers: NDArray[np.float64]) -> NDArray[np.uint32]:
    """Two bits of every classifier, in Gray code, the first classifier highest."""
    items = np.zeros(image.shape[0] - ROWS, np.uint32)
    for row in range(len(items)):
        bits = 0
        for number in range(len(classifiers)):
            given = classifiers[number]
            value = _contrast(
                image, int(given[0]), row, int(given[1]), int(given[3]), int(given[2])
            )
            level = int(value >= given[4]) + int(value >= given[5]) + int(value >= given[6])
            bits = (bits << 2) | (level ^ (level >> 1))
        items[row] = bits
    return items
