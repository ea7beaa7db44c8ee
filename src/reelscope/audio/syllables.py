"""Syllable nuclei and silences of speech, from the signal alone.

After N. H. de Jong and T. Wempe, "Praat script to detect syllable nuclei and measure
speech rate automatically", Behavior Research Methods 41 (2009) 385-390: a syllable is a
peak of intensity, with a dip before and after it, that is voiced. Written from the paper
and from Praat's manual; what differs from the published settings, and the measurements
behind it, stands in docs/speech-rate.md.

The sound is read in one pass in blocks; what is kept are two numbers for every 10 ms
(about 6 MB for two hours).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy import ndimage, signal

Floats: TypeAlias = NDArray[np.float64]
Spans: TypeAlias = NDArray[np.float64]
"""Shape (n, 2): begin and end in seconds."""

RATE_HZ = 16000
"""The sound is read at this rate, mono."""

HOP_S = 0.01
"""One frame of the contour every 10 ms; frame i is centred on i * HOP_S."""

BANDS_HZ = ((300.0, 600.0), (600.0, 1200.0), (1200.0, 2400.0))
"""Octaves in which vowels carry their energy; bass, kick drum and hum lie below, hiss and
cymbals above."""

LOUDNESS_EXPONENT = 0.3
"""Of the power in a band, before the bands are added (S. S. Stevens, "The measurement of
loudness", JASA 27 (1955) 815-829). In the plain sum one harmonic that glides through a
formant makes a peak: in high, slow voices every fourth syllable counted twice."""

MIN_PITCH_HZ = 80.0
"""Of the intensity contour. Praat's window is 6.4 periods long; at the script's 50 Hz it
is 128 ms, in which the syllables of fast speech melt into one another."""

VOICE_PITCH_HZ = (50.0, 500.0)
"""Creaky male voices to children. Above Praat's default floor of 75 Hz whole readings by
a deep voice count as unvoiced."""

MIN_VOICING = 0.45
"""Praat's default "voicing threshold" of To Pitch (ac)."""

SILENCE_DB = 25.0
"""Quieter than the loud parts by so much is silence (script version 2, 2010)."""

LOUD_PERCENTILE = 99.0
"""The loud parts: not the maximum, which a single bang decides."""

LOUD_WITHIN_S = 5.0
"""... of so much speech around, so that a quiet speaker after a loud one is heard."""

PEAK_WITHIN_S = 2.0
"""A dip further away than this is not looked for."""

_HOP = round(RATE_HZ * HOP_S)
_MARGIN = 10 * _HOP
_FLOOR_POWER = 1e-12
_LEVEL_WINDOW = np.kaiser(round(6.4 / MIN_PITCH_HZ * RATE_HZ) | 1, 20.24)
_LEVEL_WINDOW /= _LEVEL_WINDOW.sum()
_BANDS = [signal.butter(2, band, "bandpass", fs=RATE_HZ, output="sos") for band in BANDS_HZ]
_DECIMATE = 4
_PITCH_WINDOW = np.hanning(round(3 / VOICE_PITCH_HZ[0] * RATE_HZ / _DECIMATE))
_LAGS = slice(
    int(RATE_HZ / _DECIMATE / VOICE_PITCH_HZ[1]), int(RATE_HZ / _DECIMATE / VOICE_PITCH_HZ[0]) + 1
)


@dataclass(frozen=True, slots=True)
class Contour:
    """A sound every `HOP_S` seconds, three arrays of shape (n,).

    Attributes:
        level_db: float32, loudness within `BANDS_HZ`; 10 dB are ten times the power.
        voicing: float32, 0 (noise) to 1 (periodic); 0 where nobody speaks.
        speech: bool, inside a speech segment.
    """

    level_db: NDArray[np.float32]
    voicing: NDArray[np.float32]
    speech: NDArray[np.bool_]


def measure(
    blocks: Iterable[NDArray[np.float32]], segments: Sequence[tuple[float, float]]
) -> Contour:
    """Intensity and voicing of a sound that comes in blocks.

    Args:
        blocks: float32 (n, 1) or (n,) at `RATE_HZ`, -1..1, one after the other.
        segments: where somebody speaks, seconds, in order and apart from one another.

    Returns:
        The same contour, whatever the length of the blocks. Before and after the sound
        there is silence.
    """
    levels, voicings, speeches = [], [], []
    first = 0
    for chunk in _chunks(blocks):
        level = _level_db(chunk)
        speech = _inside(HOP_S * np.arange(first, first + level.size, dtype=np.float64), segments)
        levels.append(level)
        voicings.append(_voicing(chunk, speech))
        speeches.append(speech)
        first += level.size
    return Contour(np.concatenate(levels), np.concatenate(voicings), np.concatenate(speeches))


def _chunks(blocks: Iterable[NDArray[np.float32]]) -> Iterator[Floats]:
    """Cut the sound so that every frame has `_MARGIN` samples on both sides of it once."""
    rest = np.zeros(_MARGIN)
    for block in blocks:
        # A float file may hold anything; one NaN would silence all that follows it.
        clean = np.nan_to_num(block.reshape(-1), nan=0.0, posinf=0.0, neginf=0.0)
        rest = np.concatenate([rest, clean])
        count = (rest.size - 2 * _MARGIN) // _HOP + 1
        if count > 0:
            yield rest[: 2 * _MARGIN + (count - 1) * _HOP]
            rest = rest[count * _HOP :]
    rest = np.concatenate([rest, np.zeros(_MARGIN + _HOP)])
    yield rest[: rest.size - (rest.size - 2 * _MARGIN) % _HOP]


def _inside(times_s: Floats, segments: Sequence[tuple[float, float]]) -> NDArray[np.bool_]:
    bounds = np.asarray(segments, np.float64).reshape(-1)
    # Segment i holds what lies between bounds 2i and 2i + 1: an odd number of bounds passed.
    passed = np.searchsorted(bounds, times_s, side="right")
    return np.asarray(passed % 2 == 1, np.bool_)


def _frames(samples: Floats, *, margin: int, hop: int, width: int) -> Floats:
    """The windows of `width` samples around margin, margin + hop, ...: shape (n, width)."""
    windows = sliding_window_view(samples, width)[margin - width // 2 :: hop]
    return windows[: (samples.size - 2 * margin) // hop + 1]


def _level_db(chunk: Floats) -> NDArray[np.float32]:
    loudness = sum(_band_power(chunk, band) ** LOUDNESS_EXPONENT for band in _BANDS)
    return np.asarray(10 / LOUDNESS_EXPONENT * np.log10(loudness), np.float32)


def _band_power(chunk: Floats, band: Floats) -> Floats:
    power = np.square(signal.sosfilt(band, chunk))
    frames = _frames(power, margin=_MARGIN, hop=_HOP, width=_LEVEL_WINDOW.size)
    return np.maximum(frames @ _LEVEL_WINDOW, _FLOOR_POWER)


def _voicing(chunk: Floats, speech: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Highest normalised autocorrelation within `VOICE_PITCH_HZ`.

    P. Boersma, "Accurate short-term analysis of the fundamental frequency ...", IFA
    Proceedings 17 (1993) 97-110: that of the windowed frame divided by that of the window.
    """
    voicing = np.zeros(speech.size, np.float32)
    if not speech.any():
        return voicing
    low = signal.resample_poly(chunk, 1, _DECIMATE)
    width = _PITCH_WINDOW.size
    frames = _frames(low, margin=_MARGIN // _DECIMATE, hop=_HOP // _DECIMATE, width=width)[speech]
    frames = (frames - frames.mean(axis=1, keepdims=True)) * _PITCH_WINDOW
    own = _autocorrelation(frames)
    power = np.maximum(own[:, :1], _FLOOR_POWER)
    voicing[speech] = (own[:, _LAGS] / power / _WINDOW_SHAPE).max(axis=1).clip(0.0, 1.0)
    return voicing


def _autocorrelation(frames: Floats) -> Floats:
    size = 2 * frames.shape[1]
    return np.fft.irfft(np.square(np.abs(np.fft.rfft(frames, size, axis=1))), size, axis=1)


_WINDOW_SHAPE = _autocorrelation(_PITCH_WINDOW[None])[0]
_WINDOW_SHAPE = (_WINDOW_SHAPE / _WINDOW_SHAPE[0])[_LAGS]


def silence_level(contour: Contour) -> NDArray[np.float32]:
    """The level in dB below which a frame of this sound is silent, shape (n,).

    `SILENCE_DB` below the loud parts of the speech around it.
    """
    threshold = np.full(contour.level_db.size, np.inf, np.float32)
    spoken = contour.level_db[contour.speech]
    if spoken.size:
        width = min(spoken.size, round(LOUD_WITHIN_S / HOP_S))
        loud = ndimage.percentile_filter(spoken, LOUD_PERCENTILE, size=width, mode="reflect")
        threshold[contour.speech] = loud - SILENCE_DB
    return threshold


def nuclei(contour: Contour, *, min_dip_db: float) -> Floats:
    """When the syllables are at their loudest, seconds, in order.

    Args:
        contour: of the sound.
        min_dip_db: how far the intensity falls before and after a nucleus.
    """
    peaks, _ = signal.find_peaks(
        contour.level_db,
        height=silence_level(contour),
        prominence=min_dip_db,
        wlen=round(2 * PEAK_WITHIN_S / HOP_S) + 1,
    )
    return np.asarray(peaks[contour.voicing[peaks] >= MIN_VOICING] * HOP_S, np.float64)


def silences(contour: Contour, *, min_silence_s: float) -> tuple[tuple[float, float], Spans]:
    """Where the speaker is silent, within and between the speech segments.

    Returns:
        Begin and end of the speech without the silence around it, and the silences in
        between that last at least `min_silence_s`. (0, 0) and none if nobody speaks.
    """
    sounding = np.flatnonzero(contour.speech & (contour.level_db >= silence_level(contour)))
    if not sounding.size:
        return (0.0, 0.0), np.empty((0, 2))
    # A frame stands for the HOP_S around its centre.
    ends = (sounding + 0.5) * HOP_S
    begins = (sounding - 0.5) * HOP_S
    gaps = np.column_stack([ends[:-1], begins[1:]])
    gaps = gaps[gaps[:, 1] - gaps[:, 0] >= min_silence_s - 1e-9]
    return (max(0.0, float(begins[0])), float(ends[-1])), gaps
