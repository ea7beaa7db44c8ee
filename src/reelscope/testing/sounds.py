"""Sounds that are not speech: music-like, noise, tones, silence; and how to mix them.

Samples are float32 in -1..1, shape (n,), mono. Everything is seeded.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Samples: TypeAlias = NDArray[np.float32]

_PROGRESSIONS = (
    ((0, 4, 7), (9, 12, 16), (5, 9, 12), (7, 11, 14)),
    ((0, 3, 7), (8, 12, 15), (3, 7, 10), (10, 14, 17)),
)
"""Chords in semitones over the key: I-vi-IV-V in major, i-VI-III-VII in minor."""


def silence(seconds: float, *, rate_hz: int = 44100) -> Samples:
    """Zeros."""
    return np.zeros(round(seconds * rate_hz), np.float32)


def tone(
    seconds: float, *, hz: float = 440.0, amplitude: float = 0.3, rate_hz: int = 44100
) -> Samples:
    """A sine; its RMS is `amplitude` / sqrt(2)."""
    time_s = np.arange(round(seconds * rate_hz)) / rate_hz
    return np.asarray(amplitude * np.sin(2 * np.pi * hz * time_s), np.float32)


def noise(
    seconds: float,
    *,
    kind: Literal["white", "pink"] = "white",
    amplitude: float = 0.1,
    rate_hz: int = 44100,
    seed: int = 0,
) -> Samples:
    """Gaussian noise with an RMS of `amplitude`: "white", or "pink" (power as 1/f)."""
    samples = np.random.default_rng(seed).standard_normal(round(seconds * rate_hz))
    if kind == "pink":
        spectrum = np.fft.rfft(samples)
        spectrum[1:] /= np.sqrt(np.arange(1, spectrum.size))
        spectrum[:1] = 0
        samples = np.fft.irfft(spectrum, samples.size)
    return _at_rms(samples, amplitude)


def music_like(
    seconds: float,
    *,
    beats_per_minute: float = 112.0,
    rms: float = 0.12,
    rate_hz: int = 44100,
    seed: int = 0,
) -> Samples:
    """A loop of four chords with arpeggio, bass, kick, snare and hi-hat, all on the beat.

    The seed chooses key, mode and pattern. Every tone is a set of decaying partials, so
    the sound is harmonic and steady where speech glides, and it never pauses.
    """
    rng = np.random.default_rng(seed)
    beat_s = 60.0 / beats_per_minute
    key_hz = 110.0 * 2 ** (rng.integers(0, 12) / 12)
    chords = _PROGRESSIONS[rng.integers(len(_PROGRESSIONS))]
    order = rng.permutation([0, 1, 2, 1])
    out = np.zeros(round(seconds * rate_hz) + 4 * rate_hz)
    for half_beat in range(int(seconds / (beat_s / 2)) + 1):
        beat, off = divmod(half_beat, 2)
        chord = chords[beat // 4 % len(chords)]
        notes = [(2 * key_hz * 2 ** (chord[order[half_beat % 4]] / 12), 0.30, 0.35)]
        if beat % 4 == 0 and not off:
            notes += [(key_hz * 2 ** (step / 12), 0.28, 1.2) for step in chord]
        if beat % 2 == 0 and not off:
            notes.append((key_hz / 2 * 2 ** (chord[0] / 12), 0.7, 0.5))
        strokes = [_note(hz, strength, decay_s, rate_hz) for hz, strength, decay_s in notes]
        strokes += [_drum(rng, kind, rate_hz) for kind in _drums_on(beat, off)]
        start = round(half_beat * beat_s / 2 * rate_hz)
        for stroke in strokes:
            room = out[start : start + stroke.size]
            room += stroke[: room.size]
    return _at_rms(out[: round(seconds * rate_hz)], rms)


def _drums_on(beat: int, off: int) -> tuple[str, ...]:
    if off:
        return ("hat",)
    return ("hat", "kick") if beat % 2 == 0 else ("hat", "snare")


def _note(hz: float, strength: float, decay_s: float, rate_hz: int) -> NDArray[np.float64]:
    """A plucked tone: six partials, the higher the weaker and the sooner gone."""
    time_s = np.arange(round(4 * decay_s * rate_hz)) / rate_hz
    tone_ = np.zeros(time_s.size)
    for k in range(1, 7):
        if k * hz < rate_hz / 2:
            tone_ += np.exp(-time_s * k**0.5 / decay_s) * np.sin(2 * np.pi * k * hz * time_s) / k
    return strength * tone_ * np.minimum(1.0, time_s / 0.004)


def _drum(rng: np.random.Generator, kind: str, rate_hz: int) -> NDArray[np.float64]:
    time_s = np.arange(round(0.25 * rate_hz)) / rate_hz
    if kind == "kick":
        phase = 2 * np.pi * (48 * time_s + 90 * 0.03 * (1 - np.exp(-time_s / 0.03)))
        return 0.9 * np.exp(-time_s / 0.09) * np.sin(phase)
    hiss = rng.standard_normal(time_s.size)
    if kind == "snare":
        body = 0.3 * np.sin(2 * np.pi * 190 * time_s)
        return 0.45 * np.exp(-time_s / 0.07) * (0.5 * hiss + body)
    bright = np.diff(hiss, prepend=0.0)
    return 0.12 * np.exp(-time_s / 0.02) * bright


def mix(*parts: Samples) -> Samples:
    """The sum of sounds that begin together, as long as the longest, held within -1..1."""
    total = np.zeros(max(part.size for part in parts), np.float64)
    for part in parts:
        total[: part.size] += part
    peak = float(np.abs(total).max(initial=0.0))
    return np.asarray(total / max(1.0, peak / 0.98), np.float32)


def sequence(*parts: Samples) -> Samples:
    """One sound after the other."""
    return np.concatenate(parts)


def _at_rms(samples: NDArray[np.floating], rms: float) -> Samples:
    now = float(np.sqrt(np.mean(np.square(samples)))) if samples.size else 0.0
    return np.asarray(samples * (rms / now if now > 0 else 0.0), np.float32)
