"""Speech-like sound with known syllables: a small source-filter synthesiser.

Glottal pulses (Klatt's KLGLOTT88 flow derivative) and noise go through five moving
formant resonators (Klatt, JASA 67, 1980; Klatt and Klatt, JASA 87, 1990). Vowels have
the formants of men in Peterson and Barney, JASA 24, 1952; consonants are noises and
closures with formant loci. It means nothing and no one would take it for a person, but
voice activity detectors and syllable counters hear speech, and every syllable is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy import signal

Samples: TypeAlias = NDArray[np.float32]
Span: TypeAlias = tuple[float, float]
_Track: TypeAlias = NDArray[np.float64]

_RATE_HZ = 16000
_BLOCK = 80  # samples (5 ms) over which the formants stand still
_BANDWIDTHS_HZ = (70.0, 100.0, 160.0, 220.0, 300.0)

_VOWELS_HZ = (
    (270, 2290, 3010), (390, 1990, 2550), (530, 1840, 2480), (660, 1720, 2410),
    (730, 1090, 2440), (570, 840, 2410), (440, 1020, 2240), (300, 870, 2240),
    (640, 1190, 2390), (490, 1350, 1690),
)  # fmt: skip
"""F1-F3 of heed, hid, head, had, hod, hawed, hood, who'd, hud, heard (Peterson and Barney)."""


class _Consonant(NamedTuple):
    """How a syllable begins.

    Attributes:
        voicing: strength of the glottal pulses, 1 is that of a vowel.
        noise: strength of the noise, in the same measure.
        band_hz: of the noise.
        burst: the noise is a short pop at the end instead of a steady hiss.
        formants_hz: from where the formants come.
    """

    voicing: float
    noise: float
    band_hz: tuple[float, float]
    burst: bool
    formants_hz: tuple[float, float, float]


_CONSONANTS = (
    _Consonant(0.0, 0.10, (4000, 7600), False, (320, 1700, 2600)),  # s
    _Consonant(0.0, 0.12, (2000, 6000), False, (320, 1900, 2500)),  # sh
    _Consonant(0.0, 0.05, (1000, 7600), False, (320, 1100, 2300)),  # f
    _Consonant(0.0, 0.14, (500, 3000), True, (300, 900, 2200)),  # p
    _Consonant(0.0, 0.16, (2500, 7600), True, (300, 1800, 2700)),  # t
    _Consonant(0.0, 0.16, (1300, 3500), True, (300, 2200, 2500)),  # k
    _Consonant(0.14, 0.06, (500, 3000), True, (250, 900, 2200)),  # b
    _Consonant(0.14, 0.07, (2500, 7600), True, (250, 1750, 2600)),  # d
    _Consonant(0.28, 0.0, (500, 4000), False, (260, 1100, 2200)),  # m
    _Consonant(0.28, 0.0, (500, 4000), False, (260, 1650, 2600)),  # n
    _Consonant(0.36, 0.0, (500, 4000), False, (330, 1100, 2600)),  # l
    _Consonant(0.36, 0.0, (500, 4000), False, (310, 1250, 1650)),  # r
)
_ONSET_SHARE = 0.36  # of a syllable is its consonant


@dataclass(frozen=True, slots=True)
class SpeechTruth:
    """What `speech_like` said, seconds from its start.

    Attributes:
        nuclei_s: the loudest moment of every syllable.
        phrases_s: begin and end of every run of syllables.
        pauses_s: the silences between the phrases.
    """

    nuclei_s: tuple[float, ...]
    phrases_s: tuple[Span, ...]
    pauses_s: tuple[Span, ...]


class _Syllable(NamedTuple):
    start_s: float
    seconds: float
    consonant: _Consonant
    vowel_hz: tuple[int, int, int]
    strength: float


def speech_like(
    seconds: float,
    *,
    syllables_per_s: float = 4.0,
    pause_s: float = 0.5,
    phrase_s: float = 2.0,
    pitch_hz: float = 118.0,
    rms: float = 0.08,
    rate_hz: int = _RATE_HZ,
    seed: int = 0,
) -> tuple[Samples, SpeechTruth]:
    """Phrases of syllables with pauses between them.

    Args:
        seconds: length, silences at both ends (0.2 s) included.
        syllables_per_s: inside the phrases (the articulation rate); each syllable is up
            to 15 % longer or shorter.
        pause_s: mean length of the pauses; each up to 30 % longer or shorter.
        phrase_s: mean length of the phrases, likewise.
        pitch_hz: mean pitch; above 160 the formants are a woman's (15 % higher).
        rms: of the phrases.
        rate_hz: of the samples; above 16 kHz there is nothing above 8 kHz.
        seed: of everything that varies.

    Returns:
        float32 (n,) and the truth.
    """
    rng = np.random.default_rng(seed)
    phrases = _plan(rng, seconds, syllables_per_s, pause_s, phrase_s)
    total = round(seconds * _RATE_HZ)
    sound = np.zeros(total)
    nuclei: list[float] = []
    for phrase in phrases:
        start = round(phrase[0].start_s * _RATE_HZ)
        spoken = _utter(rng, phrase, pitch_hz)[: total - start]
        sound[start : start + spoken.size] = spoken
        nuclei += [_nucleus_s(syllable) for syllable in phrase]
    spans = [(phrase[0].start_s, phrase[-1].start_s + phrase[-1].seconds) for phrase in phrases]
    voiced = np.concatenate([sound[round(a * _RATE_HZ) : round(b * _RATE_HZ)] for a, b in spans])
    sound *= rms / max(1e-9, float(np.sqrt(np.mean(voiced**2))))
    if rate_hz != _RATE_HZ:
        common = np.gcd(rate_hz, _RATE_HZ)
        sound = signal.resample_poly(sound, rate_hz // common, _RATE_HZ // common)
    truth = SpeechTruth(
        nuclei_s=tuple(round(t, 6) for t in nuclei),
        phrases_s=tuple((round(a, 6), round(b, 6)) for a, b in spans),
        pauses_s=tuple(
            (round(before[1], 6), round(after[0], 6)) for before, after in pairwise(spans)
        ),
    )
    return np.asarray(sound[: round(seconds * rate_hz)], np.float32), truth


def _plan(
    rng: np.random.Generator,
    seconds: float,
    syllables_per_s: float,
    pause_s: float,
    phrase_s: float,
) -> list[list[_Syllable]]:
    """Phrases of syllables that fill the time; at least one syllable."""
    phrases: list[list[_Syllable]] = []
    now_s, end_s = 0.2, seconds - 0.2
    while True:
        left = int((end_s - now_s) * syllables_per_s)
        count = round(phrase_s * rng.uniform(0.7, 1.3) * syllables_per_s)
        count = min(max(2, count), left)
        if count < 2 and phrases:
            return phrases
        lengths = rng.uniform(0.85, 1.15, max(1, count))
        lengths *= lengths.size / syllables_per_s / lengths.sum()
        phrase = []
        for length in lengths:
            consonant = _CONSONANTS[rng.integers(len(_CONSONANTS))]
            vowel = _VOWELS_HZ[rng.integers(len(_VOWELS_HZ))]
            phrase.append(_Syllable(now_s, length, consonant, vowel, rng.uniform(0.75, 1.0)))
            now_s += length
        phrases.append(phrase)
        now_s += pause_s * rng.uniform(0.7, 1.3)


def _nucleus_s(syllable: _Syllable) -> float:
    """Where the vowel is loudest: a third into it."""
    onset_s = _ONSET_SHARE * syllable.seconds
    return syllable.start_s + onset_s + 0.35 * (syllable.seconds - onset_s)


def _utter(rng: np.random.Generator, phrase: list[_Syllable], pitch_hz: float) -> _Track:
    """One phrase at 16 kHz."""
    start_s = phrase[0].start_s
    seconds = phrase[-1].start_s + phrase[-1].seconds - start_s
    count = round(seconds * _RATE_HZ)
    time_s = np.arange(count) / _RATE_HZ + start_s
    voice = _voice(rng, phrase, time_s, pitch_hz)
    stretch = 1.15 if pitch_hz > 160 else 1.0
    spoken = _through_formants(voice, _formants(phrase, time_s[::_BLOCK]) * stretch)
    return spoken + _hisses(rng, phrase, time_s)


def _voice(
    rng: np.random.Generator, phrase: list[_Syllable], time_s: _Track, pitch_hz: float
) -> _Track:
    """Glottal pulses with breath noise, as loud as the syllables want them."""
    knots_s, strengths, pitches = [time_s[0] - 0.01], [0.0], [pitch_hz * 1.1]
    for syllable in phrase:
        onset_s = _ONSET_SHARE * syllable.seconds
        quiet = syllable.consonant.voicing * syllable.strength
        knots_s += [syllable.start_s + 0.15 * onset_s, syllable.start_s + 0.9 * onset_s]
        strengths += [quiet, quiet]
        knots_s += [_nucleus_s(syllable), syllable.start_s + 0.86 * syllable.seconds]
        strengths += [syllable.strength, 0.45 * syllable.strength]
        fall = 1.12 - 0.24 * (syllable.start_s - time_s[0]) / (time_s[-1] - time_s[0] + 1e-9)
        accent = rng.uniform(0.95, 1.12)
        pitches += [pitch_hz * fall] * 2 + [pitch_hz * fall * accent, pitch_hz * fall]
    knots_s.append(time_s[-1] + 1e-4)
    strengths.append(0.0)
    pitches.append(pitch_hz * 0.85)
    loudness = _smooth(np.interp(time_s, knots_s, strengths), 0.02)
    hz = _smooth(np.interp(time_s, knots_s, pitches), 0.05)
    wobble = _smooth(rng.standard_normal(time_s.size), 0.008)
    phase = np.cumsum(hz * (1 + 0.10 * wobble)) / _RATE_HZ % 1.0
    open_share = 0.62
    into = phase / open_share
    pulses = np.where(phase < open_share, 2 * into - 3 * into**2, 0.0)
    tilted: _Track = signal.lfilter([0.55], [1, -0.45], pulses)
    breath = 0.03 * rng.standard_normal(time_s.size) * (phase < open_share)
    return loudness * (tilted + breath)


def _formants(phrase: list[_Syllable], time_s: _Track) -> _Track:
    """F1-F5 in Hz at the given times, shape (n, 5)."""
    knots_s: list[float] = []
    targets: list[tuple[float, float, float]] = []
    for syllable in phrase:
        for share, target in (
            (0.5 * _ONSET_SHARE, syllable.consonant.formants_hz),
            (_ONSET_SHARE + 0.16, syllable.vowel_hz),
            (0.82, syllable.vowel_hz),
        ):
            knots_s.append(syllable.start_s + share * syllable.seconds)
            targets.append(target)
    columns = [np.interp(time_s, knots_s, column) for column in zip(*targets, strict=True)]
    columns += [np.full(time_s.size, 3500.0), np.full(time_s.size, 4500.0)]
    return np.stack([_smooth(column, 0.03, _RATE_HZ / _BLOCK) for column in columns], axis=1)


def _through_formants(source: _Track, formants_hz: _Track) -> _Track:
    """Cascade of two-pole resonators of unit gain at 0 Hz, set anew every 5 ms."""
    radius = np.exp(-np.pi * np.array(_BANDWIDTHS_HZ) / _RATE_HZ)
    sections = np.zeros((5, 6))
    state = np.zeros((5, 2))
    out = np.zeros_like(source)
    for k, row in enumerate(formants_hz):
        sections[:, 3], sections[:, 5] = 1.0, radius**2
        sections[:, 4] = -2 * radius * np.cos(2 * np.pi * row / _RATE_HZ)
        sections[:, 0] = sections[:, 3:].sum(axis=1)
        block = slice(k * _BLOCK, (k + 1) * _BLOCK)
        out[block], state = signal.sosfilt(sections, source[block], zi=state)
    return out


def _hisses(rng: np.random.Generator, phrase: list[_Syllable], time_s: _Track) -> _Track:
    """The noises of the consonants."""
    out = np.zeros(time_s.size)
    for syllable in phrase:
        consonant = syllable.consonant
        if consonant.noise == 0:
            continue
        start_s = syllable.start_s
        end_s = start_s + _ONSET_SHARE * syllable.seconds
        if consonant.burst:
            start_s = end_s - 0.03
        first, last = (round((t - time_s[0]) * _RATE_HZ) for t in (start_s, end_s))
        noise = rng.standard_normal(max(16, last - first))
        shape = np.hanning(noise.size) if not consonant.burst else np.linspace(1, 0, noise.size)
        band = signal.butter(2, consonant.band_hz, "bandpass", fs=_RATE_HZ, output="sos")
        hiss = signal.sosfilt(band, noise) * shape * consonant.noise * syllable.strength
        room = out[first : first + hiss.size]
        room += hiss[: room.size]
    return out


def _smooth(track: _Track, seconds: float, rate_hz: float = _RATE_HZ) -> _Track:
    """Mean over a Hann window of so many seconds, edges held."""
    length = max(1, round(seconds * rate_hz))
    window = np.hanning(length + 2)[1:-1]
    padded = np.pad(track, (length // 2, length - 1 - length // 2), mode="edge")
    return np.convolve(padded, window / window.sum(), mode="valid")
