"""Sounds with known truth: speech-like, music-like, noise, tones, silence.

Samples are float32 in -1..1, shape (n,), mono. Everything is seeded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Samples: TypeAlias = NDArray[np.float32]
Span: TypeAlias = tuple[float, float]


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
    kind: str = "white",
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
