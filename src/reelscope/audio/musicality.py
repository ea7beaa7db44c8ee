"""How much does a sound resemble music? Measured from the signal, no downloaded weights.

Music keeps its partials still, starts and ends them in steps and tunes them to a grid;
speech lets them glide and pauses; noise has few. Every 20 ms the spectrum below 3.4 kHz
(so that a telephone's sound reads the same) is reduced to its partials and how long each
stands still; statistics of that over 2 to 6 s go into a logistic model. Partials that
outlast syllables are what gives music away under speech: Seyerlehner, Pohle, Schedl,
Widmer, "Automatic music detection in television productions", DAFx 2007.

The model's numbers stand in `MODEL`; `bench/fit_events.py` derives them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.ndimage import maximum_filter1d, uniform_filter1d
from scipy.special import logit

Float32 = NDArray[np.float32]
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

HOP_S = 0.02
FRAME_S = 0.08
"""Resolves the partials of a voice at 100 Hz (12.5 Hz from bin to bin)."""
FIRST_BIN, BINS = 6, 266
HZ = (np.arange(BINS) + FIRST_BIN) / FRAME_S
"""75 to 3388 Hz."""
LOW, MID = HZ < 500, (HZ >= 500) & (HZ < 1500)
BAND_EDGES = np.unique(np.round(np.geomspace(1, BINS, 20)).astype(int))[:-1] - 1
"""First bins of the bands whose rise is an onset: about a third of an octave each."""

STRIDE = 25
"""Frames from one window to the next: 0.5 s."""
BAND_STRIDE = 5
"""Frames that share a row of `Heard.bands`: 0.1 s."""
CORE = 1500
"""Frames that are worked on at once (30 s) ..."""
MARGIN = 250
"""... with so many more on either side: the longest window reaches 3 s, a partial 1 s."""

CONTRAST_DB, CONTRAST_BINS = 6.0, 21
"""A partial stands out of the 260 Hz around it by this much ..."""
RANGE_DB = 50.0
"""... and lies at most so far below the loudest bin within 1 s."""
FLOOR_DB = 70.0
"""Whatever lies further below that is taken to be so loud: whether a recording pauses in
digital silence or in faint noise is to make no difference."""
FORGET = 4
"""Frames of its age that a partial loses with each frame in which it is missing: a drum
covers a partial for a moment, speech breaks it off."""
SHORT_NOTE, NOTE, LONG_NOTE, LONGEST = 6, 12, 25, 50
"""Frames that a partial stands still: 0.12, 0.24, 0.5 and 1 s. Few syllables last longer
than 0.25 s, and hardly a voice keeps its pitch for 0.5 s (Greenberg 1999)."""


@dataclass(frozen=True)
class Heard:
    """What is kept of a sound.

    Attributes:
        times_s: centres of the windows, 0.5 s apart, (n,).
        features: float64 (n, len(FEATURES)).
        bands: power in `BAND_EDGES`, dB, one row per 0.1 s, float32 (m, bands).
    """

    times_s: Floats
    features: Floats
    bands: Float32


def hear(blocks: Iterable[Float32], rate_hz: int) -> Heard:
    """Listen to a whole sound in bounded memory.

    Args:
        blocks: consecutive pieces, float32 (n,), full scale +-1, finite.
        rate_hz: 8000 Hz or more.
    """
    hop_s = round(HOP_S * rate_hz) / rate_hz
    times: list[Floats] = []
    rows: list[Floats] = []
    bands: list[Float32] = []
    done = 0
    for power, lead, core in _with_context(_spectra(blocks, rate_hz)):
        frames = measure(power)
        centres = np.arange(lead + STRIDE // 2, lead + core, STRIDE)
        if not done and not len(centres):
            centres = np.array([core // 2])
        times.append(np.asarray((done + centres - lead) * hop_s, np.float64))
        rows.append(np.asarray(summarise(frames, centres), np.float64))
        starts = np.arange(0, core, BAND_STRIDE)
        sums = np.add.reduceat(frames.bands[lead : lead + core], starts, axis=0)
        bands.append(np.asarray(sums / np.diff(starts, append=core)[:, None], np.float32))
        done += core
    return Heard(np.concatenate(times), np.concatenate(rows), np.concatenate(bands))


# ------------------------------------------------------------------- sound to spectra


def _spectra(blocks: Iterable[Float32], rate_hz: int) -> Iterator[Float32]:
    """Power spectra of all frames, float32 (n, BINS); frame i is centred at i hops."""
    length, hop = round(FRAME_S * rate_hz), round(HOP_S * rate_hz)
    window = np.hanning(length + 1)[:-1].astype(np.float32)
    window /= window.sum() / 2  # a sine of amplitude 1 gives a bin of 1
    edge = np.zeros(length // 2, np.float32)
    rest = np.zeros(0, np.float32)
    for block in chain([edge], blocks, [edge]):
        rest = np.concatenate([rest, block])
        count = (len(rest) - length) // hop + 1
        if count < 1:
            continue
        frames = np.lib.stride_tricks.sliding_window_view(rest, length)[::hop]
        for start in range(0, count, 256):  # small enough for the processor's cache
            bins = fft.rfft(frames[start : start + 256] * window, axis=1)
            yield np.square(np.abs(bins[:, FIRST_BIN : FIRST_BIN + BINS]))
        rest = rest[count * hop :]


def _with_context(spectra: Iterable[Float32]) -> Iterator[tuple[Float32, int, int]]:
    """Pieces of the spectrogram that overlap: (frames, how many lead, how many are meant)."""
    held, lead = np.zeros((0, BINS), np.float32), 0
    for some in spectra:
        held = np.concatenate([held, some])
        while len(held) >= lead + CORE + MARGIN:
            yield held[: lead + CORE + MARGIN], lead, CORE
            held = held[lead + CORE - MARGIN :]
            lead = MARGIN
    if len(held) > lead:
        yield held, lead, len(held) - lead


# ------------------------------------------------------------------ spectra to frames


@dataclass(frozen=True)
class Frames:
    """What is measured of every frame: float64 (n,) where nothing else is said.

    Attributes:
        level: power, dB.
        flatness: logarithm (base 10) of geometric over arithmetic mean of the power.
        centroid: octaves.
        onset: mean rise of the bands since the frame before, dB.
        low_notes: partials below 500 Hz that last 0.12 s, weighted by contrast.
        mid_notes: the same from 500 to 1500 Hz.
        mid_long: the same for 0.5 s.
        long_share: which part of all partials lasts 0.5 s.
        note_energy: square root of the share of power in partials that last 0.24 s.
        long_energy: the same for 1 s.
        ends: partials that end here after 0.24 s.
        jumps: partials that last 0.24 s and begin here, out of nothing.
        tuning: partials as phases on a grid of semitones, summed, complex128 (n,).
        tuned: sum of the same partials' weights.
        chroma: partials by pitch class, (n, 12).
        bands: log power, dB, float32 (n, bands).
    """

    level: Floats
    flatness: Floats
    centroid: Floats
    onset: Floats
    low_notes: Floats
    mid_notes: Floats
    mid_long: Floats
    long_share: Floats
    note_energy: Floats
    long_energy: Floats
    ends: Floats
    jumps: Floats
    tuning: NDArray[np.complex128]
    tuned: Floats
    chroma: Floats
    bands: Float32


def measure(power: Float32) -> Frames:
    """Find the partials of every frame and how long each stands still.

    Args:
        power: of bins of 12.5 Hz from 75 Hz on, float32 (n, BINS).
    """
    loudest = maximum_filter1d(power.max(axis=1), 2 * LONGEST + 1)
    floor = (loudest * np.float32(10 ** (-FLOOR_DB / 10)) + np.float32(1e-15))[:, None]
    log = 10 * np.log10(power + floor)
    contrast = log - uniform_filter1d(log, CONTRAST_BINS, axis=1, mode="nearest")
    partial = _partials(power, contrast, loudest)
    present = _widened(partial, 1)
    age, left = _ages(present), _ages(present[::-1])[::-1]
    lasts = (age + left - 1) * partial
    weight = np.clip(contrast, 0, 20) / 20
    total = power.sum(axis=1) + floor[:, 0]
    bands = 10 * np.log10(np.add.reduceat(power, BAND_EDGES, axis=1) + floor)
    tuning, tuned, chroma = _pitches(log, weight * (lasts >= NOTE))

    def energy(frames: int) -> Floats:
        return np.asarray(np.sqrt((power * _widened(lasts >= frames, 1)).sum(axis=1) / total))

    def count(frames: int, part: Bools) -> Floats:
        return np.asarray((weight * (lasts >= frames))[:, part].sum(axis=1))

    return Frames(
        level=10 * np.log10(total),
        flatness=log.mean(axis=1) / 10 - np.log10(total / BINS),
        centroid=np.log2((power * HZ).sum(axis=1) / total + 50),
        onset=np.maximum(np.diff(bands, axis=0, prepend=bands[:1]), 0).mean(axis=1),
        low_notes=count(SHORT_NOTE, LOW),
        mid_notes=count(SHORT_NOTE, MID),
        mid_long=count(LONG_NOTE, MID),
        long_share=(lasts >= LONG_NOTE).sum(axis=1) / (partial.sum(axis=1) + 1),
        note_energy=energy(NOTE),
        long_energy=energy(LONGEST),
        ends=_ends(present, age, left),
        jumps=_jumps(present, age, left),
        tuning=tuning,
        tuned=tuned,
        chroma=chroma,
        bands=bands,
    )


def _partials(power: Float32, contrast: Float32, loudest: Float32) -> Bools:
    """Bins that are a partial: local maxima that stand out and are not far too weak."""
    weakest = loudest * np.float32(10 ** (-RANGE_DB / 10))
    found = (contrast > CONTRAST_DB) & (power > weakest[:, None])
    found[:, 1:-1] &= (power[:, 1:-1] > power[:, :-2]) & (power[:, 1:-1] >= power[:, 2:])
    found[:, [0, -1]] = False
    return np.asarray(found)


def _widened(found: Bools, bins: int) -> Bools:
    """True also where a neighbour within so many bins is."""
    wide = found.copy()
    for by in range(1, bins + 1):
        wide[:, by:] |= found[:, :-by]
        wide[:, :-by] |= found[:, by:]
    return wide


def _ages(present: Bools) -> NDArray[np.int16]:
    """For how many frames each bin has held a partial, up to LONGEST, with forgetting."""
    ages = np.empty(present.shape, np.int16)
    age = np.zeros(present.shape[1], np.int16)
    step = np.where(present, 1, -FORGET).astype(np.int16)
    for i in range(len(present)):
        age = np.clip(age + step[i], 0, LONGEST)
        ages[i] = age
    return ages


def _ends(present: Bools, age: NDArray[np.int16], left: NDArray[np.int16]) -> Floats:
    """Partials (each is three bins wide) that end in a frame after a note's length."""
    gone = np.vstack([left[1:], np.zeros_like(left[:1])]) == 0
    return np.asarray((present & gone & (age >= NOTE)).sum(axis=1) / 3)


def _jumps(present: Bools, age: NDArray[np.int16], left: NDArray[np.int16]) -> Floats:
    """Partials that begin and last, where for a note's length there was none nearby.

    A gliding voice or engine goes on in the next bin; a new note jumps.
    """
    new = np.vstack([np.zeros_like(age[:1]), age[:-1]]) == 0
    near = np.cumsum(_widened(present, 2), axis=0, dtype=np.int32)
    before = np.vstack([np.zeros_like(near[:1]), near[:-1]])
    earlier = np.vstack([np.zeros_like(near[: NOTE + 1]), near])[: len(near)]
    jumps = np.asarray((present & new & (left >= NOTE) & (before == earlier)).sum(axis=1) / 3)
    jumps[:NOTE] = 0  # what begins with the sound may have been there before
    return jumps


def _pitches(log: Float32, weight: Float32) -> tuple[NDArray[np.complex128], Floats, Floats]:
    """How well partials above 200 Hz agree on one tuning, and their pitch classes.

    A partial's frequency is that of the parabola through its bin and the two beside it.
    """
    frame, at = np.nonzero(weight)
    below, here, above = log[frame, at - 1], log[frame, at], log[frame, at + 1]
    offset = 0.5 * (below - above) / np.minimum(below - 2 * here + above, -1e-6)
    hz = (at + FIRST_BIN + np.clip(offset, -0.5, 0.5)) / FRAME_S
    semitone = 12 * np.log2(hz / 440)
    heavy = weight[frame, at] * (hz > 200)
    phase = heavy * np.exp(2j * np.pi * semitone)
    count = len(log)
    real, imaginary = (np.bincount(frame, part, count) for part in (phase.real, phase.imag))
    pitch_class = np.round(semitone).astype(int) % 12
    chroma = np.bincount(frame * 12 + pitch_class, heavy, count * 12).reshape(count, 12)
    weight_sum = np.bincount(frame, heavy, count)
    return np.asarray(real + 1j * imaginary), np.asarray(weight_sum), np.asarray(chroma)


# ----------------------------------------------------------------- frames to features


def summarise(frames: Frames, centres: Ints) -> Floats:
    """The features of the windows around these frames, float64 (n, len(FEATURES))."""
    count = len(frames.level)
    two, four, six = (_Windows(count, centres, length) for length in (100, 200, 300))
    quiet = four.quietest(frames.level)
    low, high = four.percentiles(frames.level, (5, 95))
    chroma = six.mean(frames.chroma)
    values = {
        "note_ends": np.log1p(20 * six.mean(frames.ends)),
        "note_jumps": np.log1p(20 * six.mean(frames.jumps)),
        "tuning": np.abs(six.mean(frames.tuning)) / (six.mean(frames.tuned) + 0.02),
        "pitch_classes": _entropy(chroma / (chroma.sum(axis=1, keepdims=True) + 0.05)),
        "pulse": six.pulse(frames.onset),
        "onset_spread": np.log1p(six.spread(frames.onset)),
        "centroid_spread": six.spread(frames.centroid),
        "level_range": high - low,
        "low_notes": np.log1p(two.mean(frames.low_notes)),
        "mid_long": np.log1p(six.mean(frames.mid_long)),
        "long_energy": six.mean(frames.long_energy),
        "quiet_flatness": _mean_at(frames.flatness, quiet),
        "quiet_mid_notes": np.log1p(_mean_at(frames.mid_notes, quiet)),
        "quiet_long_share": _mean_at(frames.long_share, quiet),
        "note_energy": six.mean(frames.note_energy),
        "flatness": six.mean(frames.flatness),
    }
    return np.stack([values[name] for name in FEATURES], axis=1)


class _Windows:
    """Stretches of so many frames around centres, cut off at the ends of the sound."""

    def __init__(self, count: int, centres: Ints, length: int) -> None:
        self.first = np.maximum(centres - length // 2, 0)
        self.end = np.minimum(centres + length // 2, count)

    def mean(self, values: NDArray[np.inexact]) -> NDArray[np.inexact]:
        """Means over the windows, (n, ...)."""
        sums = np.concatenate([np.zeros_like(values[:1]), np.cumsum(values, axis=0)])
        size = (self.end - self.first).reshape(-1, *[1] * (values.ndim - 1))
        return np.asarray((sums[self.end] - sums[self.first]) / size)

    def spread(self, values: Floats) -> Floats:
        """Standard deviations."""
        centred = values - values.mean()
        variance = self.mean(centred**2) - self.mean(centred) ** 2
        return np.asarray(np.sqrt(np.maximum(variance, 0)))

    def percentiles(self, values: Floats, which: tuple[int, int]) -> Floats:
        """(len(which), n)."""
        pairs = zip(self.first, self.end, strict=True)
        return np.array([np.percentile(values[a:b], which) for a, b in pairs]).T

    def quietest(self, level: Floats) -> list[Ints]:
        """The quarter of each window's frames with the lowest level: between the words."""
        pairs = zip(self.first, self.end, strict=True)
        return [a + np.argsort(level[a:b])[: max(1, (b - a) // 4)] for a, b in pairs]

    def pulse(self, onset: Floats) -> Floats:
        """How much the onsets repeat: the highest autocorrelation at lags of 0.2 to 2 s,
        above its median over those lags; 0 where there are none to speak of."""
        return np.array([_pulse(onset[a:b]) for a, b in zip(self.first, self.end, strict=True)])


def _pulse(onset: Floats) -> float:
    count = len(onset)
    if count < 100:
        return 0.0
    spectrum = np.fft.rfft(onset - onset.mean(), 2 * count)
    products = np.fft.irfft(np.square(np.abs(spectrum)))[:count]
    correlation = products / (products[0] + 0.05 * count) * count / (count - np.arange(count))
    lags = correlation[10:101]
    return float(lags.max() - np.median(lags))


def _mean_at(values: Floats, places: list[Ints]) -> Floats:
    return np.array([values[at].mean() for at in places])


def _entropy(shares: Floats) -> Floats:
    """Of shares (n, k) that sum to at most 1; 1 where all are alike."""
    return np.asarray(-(shares * np.log(shares + 1e-9)).sum(axis=1) / np.log(shares.shape[1]))


# ---------------------------------------------------------------------- the verdict


class Weight(NamedTuple):
    """A feature's place in the model: (value - mean) / scale, within +-3, times a weight."""

    mean: float
    scale: float
    without_voice: float = 0.0
    with_voice: float = 0.0
    speaking: float = 0.0


MODEL: dict[str, Weight] = {
    "note_ends": Weight(1.304, 0.7922, 1.075, 0.438, 0),
    "note_jumps": Weight(0.2973, 0.4191, 0.7798, 0.7045, 0),
    "tuning": Weight(0.4189, 0.2643, 0.7539, 1.082, 0),
    "pitch_classes": Weight(0.72, 0.2719, 0.8604, 0.7423, 0),
    "pulse": Weight(0.3829, 0.2522, 0.7427, 0.4483, 0),
    "onset_spread": Weight(0.9333, 0.3091, 0.1924, 0.3834, 0),
    "centroid_spread": Weight(0.5633, 0.2726, 0.4734, -0.01367, 0),
    "level_range": Weight(21.34, 14.77, 1.144, 0.2655, 0),
    "low_notes": Weight(0.8298, 0.4074, 0.9913, 0.03583, 0),
    "mid_long": Weight(0.5083, 0.601, 0.2419, 0.1361, 0),
    "long_energy": Weight(0.2276, 0.2866, -0.09603, -0.4689, 0),
    "quiet_flatness": Weight(-1.24, 0.8282, -0.4018, -1.26, 0),
    "quiet_mid_notes": Weight(0.8609, 0.6551, 0.07528, 1.261, 0),
    "quiet_long_share": Weight(0.1981, 0.2286, -0.03574, -0.6436, 0),
    "note_energy": Weight(0.5318, 0.2932, 0, 0, -2.027),
    "flatness": Weight(-1.609, 0.6888, 0, 0, 1.049),
}
BIAS = Weight(0.0, 1.0, 1.224, 0.9644, 0.5642)
SURENESS_WEIGHT = 0.7411
FEATURES = tuple(MODEL)
_TABLE = np.array(list(MODEL.values()))


def _scaled(features: Floats) -> Floats:
    return np.asarray(np.clip((features - _TABLE[:, 0]) / _TABLE[:, 1], -3, 3))


def music_logit(features: Floats, voice_share: Floats) -> Floats:
    """Log odds that there is music in each window.

    Args:
        features: of `Heard`, (n, len(FEATURES)).
        voice_share: which part of the window's middle 2 s is voice, 0-1, (n,). What music
            must be told from differs: noises without voice, speech with it.
    """
    scaled = _scaled(features)
    without = (scaled * _TABLE[:, 2]).sum(axis=1) + BIAS.without_voice
    with_voice = (scaled * _TABLE[:, 3]).sum(axis=1) + BIAS.with_voice
    return np.asarray(without * (1 - voice_share) + with_voice * voice_share)


def speaking_logit(features: Floats, voice_probability: Floats) -> Floats:
    """Log odds that a voice heard over music speaks; else it sings.

    Voice activity detection is less sure of singing, and a sung tone stands still.

    Args:
        features: of `Heard`, (n, len(FEATURES)).
        voice_probability: of the speech segment around each window, 0-1, (n,).
    """
    scaled = _scaled(features)
    return np.asarray(
        SURENESS_WEIGHT * sureness(voice_probability)
        + (scaled * _TABLE[:, 4]).sum(axis=1)
        + BIAS.speaking
    )


def sureness(probability: Floats) -> Floats:
    """Log odds of a probability, held within bounds that occur."""
    return np.asarray(logit(np.clip(probability, 0.05, 0.99)))
