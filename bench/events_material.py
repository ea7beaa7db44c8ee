"""Sounds of known kind to fit and to judge `reelscope.audio.events` with.

Speech and music are the recordings of ../shared/corpus; noises of many sorts and some
more music are synthesised. Everything is mono float32 at 16 kHz and follows from a seed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray
from scipy import signal
from scipy.linalg import solve_toeplitz

Sound = NDArray[np.float32]
Rng = np.random.Generator
RATE_HZ = 16000
CORPUS = Path(__file__).resolve().parents[2] / "shared" / "corpus"


@dataclass(frozen=True)
class Track:
    """A recording and the family (same author and sound) that it is held out with."""

    name: str
    family: str
    sound: Sound


def decode(path: Path) -> Sound:
    with av.open(str(path)) as container:
        resampler = av.AudioResampler("fltp", "mono", RATE_HZ)
        frames = [f for frame in container.decode(audio=0) for f in resampler.resample(frame)]
        frames += resampler.resample(None)
    return np.concatenate([frame.to_ndarray()[0] for frame in frames])


@cache
def music_tracks() -> tuple[Track, ...]:
    return tuple(
        Track(path.stem, _family(path.name), decode(path))
        for path in sorted((CORPUS / "music").glob("*.ogg"))
    )


def _family(name: str) -> str:
    if name.startswith("JRPG"):
        return "yubatake"
    if name[:2].isdigit() and name[2] == "_":
        return "t4ngr4m"
    if ".hq" in name:
        return "real"
    return "chip"


@cache
def speech_tracks() -> tuple[Track, ...]:
    files = sorted((CORPUS / "speech").iterdir())
    return tuple(Track(path.stem, path.stem, decode(path)) for path in files)


HELD_OUT = ("chaplin", "nasa_13013", "big_buck_bunny_0_30", "fire2", "smpte-2997")
"""Videos of the corpus; nothing is fitted on their sound."""


def rms(sound: Sound) -> float:
    return float(np.sqrt(np.mean(np.square(sound, dtype=np.float64)))) + 1e-12


def at_level(sound: NDArray[np.floating], dbfs: float) -> Sound:
    return (sound * (10 ** (dbfs / 20) / rms(sound))).astype(np.float32)


def excerpt(rng: Rng, sound: Sound, seconds: float) -> Sound:
    """A stretch of it, repeated where it is too short."""
    count = round(seconds * RATE_HZ)
    if len(sound) < count:
        sound = np.resize(sound, count)
    start = rng.integers(0, len(sound) - count + 1)
    return sound[start : start + count]


# ------------------------------------------------------------------------ building blocks


def _time(seconds: float) -> NDArray[np.float64]:
    return np.arange(round(seconds * RATE_HZ)) / RATE_HZ


def coloured(rng: Rng, seconds: float, slope: float) -> NDArray[np.float64]:
    """Noise whose power goes as 1 / f ** slope."""
    count = round(seconds * RATE_HZ)
    spectrum = np.fft.rfft(rng.standard_normal(count))
    hz = np.maximum(np.fft.rfftfreq(count, 1 / RATE_HZ), 20)
    made = np.fft.irfft(spectrum * hz ** (-slope / 2), count)
    return np.asarray(made / rms(made))


def slow(rng: Rng, seconds: float, hz: float) -> NDArray[np.float64]:
    """A random walk around 0 with standard deviation 1, no faster than `hz`."""
    points = max(4, int(seconds * hz * 2) + 4)
    curve = np.interp(
        np.linspace(0, points - 1, round(seconds * RATE_HZ)),
        np.arange(points),
        rng.standard_normal(points),
    )
    return np.asarray(curve)


def band(sound: NDArray[np.floating], low_hz: float, high_hz: float) -> NDArray[np.float64]:
    sos = signal.butter(2, [low_hz, min(high_hz, 7900)], "bandpass", fs=RATE_HZ, output="sos")
    return np.asarray(signal.sosfilt(sos, sound))


def strew(
    seconds: float,
    times_s: NDArray[np.floating],
    make: Callable[[], NDArray[np.floating]],
) -> NDArray[np.float64]:
    """Short sounds at given times."""
    out = np.zeros(round(seconds * RATE_HZ))
    for start in (times_s * RATE_HZ).astype(int):
        one = make()
        end = min(len(out), start + len(one))
        if 0 <= start < end:
            out[start:end] += one[: end - start]
    return out


def at_random(rng: Rng, seconds: float, per_s: float) -> NDArray[np.float64]:
    return np.sort(rng.uniform(0, seconds, max(1, rng.poisson(seconds * per_s))))


def regular(rng: Rng, seconds: float, per_s: float, jitter: float) -> NDArray[np.float64]:
    period = 1 / per_s
    times = np.arange(rng.uniform(0, period), seconds, period)
    return times + rng.normal(0, jitter * period, len(times))


def burst(rng: Rng, decay_s: float, low_hz: float, high_hz: float) -> NDArray[np.float64]:
    t = _time(decay_s * 6)
    return band(rng.standard_normal(len(t)), low_hz, high_hz) * np.exp(-t / decay_s)


def harmonic(f0_hz: NDArray[np.floating], amplitudes: NDArray[np.floating]) -> NDArray[np.float64]:
    """A sum of partials over a moving fundamental."""
    phase = 2 * np.pi * np.cumsum(f0_hz) / RATE_HZ
    out = np.zeros(len(f0_hz))
    for k, amplitude in enumerate(amplitudes, start=1):
        out += np.where(k * f0_hz < 7800, amplitude * np.sin(k * phase), 0)
    return out


def reverberant(
    rng: Rng, sound: NDArray[np.floating], rt60_s: float, wet: float
) -> NDArray[np.float64]:
    t = _time(rt60_s)
    tail = rng.standard_normal(len(t)) * 10 ** (-3 * t / rt60_s)
    tail = tail / np.sqrt(np.sum(tail**2))
    return np.asarray(sound * (1 - wet) + wet * signal.fftconvolve(sound, tail)[: len(sound)])


# --------------------------------------------------------------------------------- noises


def _hiss(rng: Rng, s: float) -> NDArray[np.floating]:
    return coloured(rng, s, rng.uniform(-0.5, 2.5))


def _wind(rng: Rng, s: float) -> NDArray[np.floating]:
    out = np.zeros(round(s * RATE_HZ))
    for low, high in ((30, 150), (100, 500), (300, 1200), (500, 900)):
        gust = np.exp(slow(rng, s, rng.uniform(0.2, 1.5)))
        out += band(coloured(rng, s, 1), low, high * rng.uniform(0.7, 1.4)) * gust * rng.uniform()
    return out


def _rain(rng: Rng, s: float) -> NDArray[np.floating]:
    drops = strew(s, at_random(rng, s, rng.uniform(5, 80)),
        lambda: burst(rng, rng.uniform(0.002, 0.01), 1000, 7000) * rng.exponential(2),
    )  # fmt: skip
    return band(coloured(rng, s, 0.5), 300, 7800) + drops * rng.uniform(0.1, 1)


def _sea(rng: Rng, s: float) -> NDArray[np.floating]:
    t = _time(s)
    swell = 0.55 + 0.45 * np.sin(2 * np.pi * t / rng.uniform(4, 12) + rng.uniform(0, 6))
    return coloured(rng, s, rng.uniform(0.5, 1.5)) * swell**2


def _traffic(rng: Rng, s: float) -> NDArray[np.floating]:
    t = _time(s)
    out = coloured(rng, s, 2) * rng.uniform(0.3, 1.5)
    for _ in range(rng.integers(1, 4)):
        f0 = rng.uniform(30, 120) * (1 + 0.08 * slow(rng, s, 0.5))
        passing = np.exp(-(((t - rng.uniform(0, s)) / rng.uniform(1, 4)) ** 2))
        engine = harmonic(f0, rng.uniform(0, 1, 25) / np.arange(1, 26) ** 0.7)
        tyres = band(coloured(rng, s, 0.5), 500, 2500)
        out += passing * (engine * rng.uniform(0.2, 1) + tyres * rng.uniform(0.3, 1.5))
    return out


def _babble(rng: Rng, s: float) -> NDArray[np.floating]:
    out = np.zeros(round(s * RATE_HZ))
    voices = speech_tracks()
    for _ in range(rng.integers(8, 30)):
        one = excerpt(rng, voices[rng.integers(len(voices))].sound, s * 1.4)
        speed = rng.uniform(0.8, 1.3)
        one = np.interp(np.arange(len(out)) * speed, np.arange(len(one)), one)
        out += one / rms(one) * rng.exponential(0.7)
    return reverberant(rng, out, rng.uniform(0.3, 1.5), rng.uniform(0.3, 0.8))


def _applause(rng: Rng, s: float) -> NDArray[np.floating]:
    return strew(s, at_random(rng, s, rng.choice([3, 15, 60, 200])),
        lambda: rng.exponential(1)
        * burst(rng, rng.uniform(0.003, 0.012), rng.uniform(500, 1200), rng.uniform(2000, 5000)),
    )  # fmt: skip


def _steps(rng: Rng, s: float) -> NDArray[np.floating]:
    low = rng.uniform(50, 300)
    return strew(s, regular(rng, s, rng.uniform(1, 3), rng.uniform(0.01, 0.12)),
        lambda: burst(rng, rng.uniform(0.01, 0.05), low, low * rng.uniform(3, 8))
        * rng.uniform(0.5, 1.2),
    ) + coloured(rng, s, 1.5) * rng.uniform(0, 0.05)  # fmt: skip


def _ticking(rng: Rng, s: float) -> NDArray[np.floating]:
    low, ring = rng.uniform(800, 3000), rng.uniform(0.002, 0.01)
    return strew(s, regular(rng, s, rng.uniform(1, 6), 0.002),
        lambda: burst(rng, ring, low, low * 2),
    ) + coloured(rng, s, 1) * rng.uniform(0, 0.03)  # fmt: skip


def _typing(rng: Rng, s: float) -> NDArray[np.floating]:
    return strew(s, at_random(rng, s, rng.uniform(2, 10)),
        lambda: burst(rng, rng.uniform(0.002, 0.01), 1000, 6000) * rng.uniform(0.3, 1),
    ) + coloured(rng, s, 1) * rng.uniform(0.005, 0.1)  # fmt: skip


def _machine(rng: Rng, s: float) -> NDArray[np.floating]:
    """Washing machine, train on rails, printer: noise with a rhythm."""
    low, beat = rng.uniform(100, 2000), rng.uniform(0.7, 8)
    thump = strew(s, regular(rng, s, beat, rng.uniform(0.005, 0.05)),
        lambda: burst(rng, rng.uniform(0.02, 0.1), low, low * 4),
    )  # fmt: skip
    return (
        thump + coloured(rng, s, 1.5) * rng.uniform(0.02, 0.3) + _hum(rng, s) * rng.uniform(0, 0.3)
    )


def _helicopter(rng: Rng, s: float) -> NDArray[np.floating]:
    return strew(
        s, regular(rng, s, rng.uniform(9, 25), 0.01), lambda: burst(rng, 0.015, 40, 600)
    ) + coloured(rng, s, 1.5) * rng.uniform(0.05, 0.4)


def _hum(rng: Rng, s: float) -> NDArray[np.floating]:
    f0 = rng.choice([50, 60, 100, 120, rng.uniform(40, 400)])
    wobble = 1 + rng.choice([0, 0.002, 0.01]) * slow(rng, s, 2)
    tone = harmonic(
        np.full(round(s * RATE_HZ), f0) * wobble, rng.exponential(1, 20) / np.arange(1, 21)
    )
    return tone / rms(tone) + coloured(rng, s, 1.5) * rng.uniform(0.01, 1)


def _engine(rng: Rng, s: float) -> NDArray[np.floating]:
    rev = rng.uniform(40, 200) * np.exp(rng.uniform(0.05, 0.5) * slow(rng, s, 0.7))
    tone = harmonic(rev, rng.uniform(0.2, 1, 30) / np.arange(1, 31) ** 0.6)
    return tone / rms(tone) + coloured(rng, s, 1) * rng.uniform(0.1, 1)


def _sine(rng: Rng, s: float) -> NDArray[np.floating]:
    t = _time(s)
    out = np.zeros(len(t))
    for _ in range(rng.integers(1, 3)):
        out += np.sin(2 * np.pi * rng.uniform(80, 3500) * t) * rng.uniform(0.3, 1)
    return out + coloured(rng, s, 1) * rng.choice([0, 0.001, 0.02, 0.1])


def _siren(rng: Rng, s: float) -> NDArray[np.floating]:
    t = _time(s)
    rate, centre, depth = (
        rng.choice([0.15, 0.3, 3, 6]),
        rng.uniform(500, 1400),
        rng.uniform(0.1, 0.5),
    )
    swing = np.sin(2 * np.pi * rate * t + rng.uniform(0, 6))
    swing = np.sign(swing) if rng.random() < 0.25 else swing  # two-tone horn
    tone = harmonic(centre * (1 + depth * swing), np.array([1, 0.5, 0.3, 0.2, 0.1]))
    return reverberant(rng, tone, 0.8, 0.3) + coloured(rng, s, 1.5) * rng.uniform(0.02, 0.5)


def _beeps(rng: Rng, s: float) -> NDArray[np.floating]:
    t = _time(s)
    period, duty = rng.uniform(0.2, 2), rng.uniform(0.1, 0.6)
    on = ((t / period) % 1 < duty).astype(float)
    tone = harmonic(np.full(len(t), rng.uniform(400, 3000)), np.array([1, 0.1, 0.3, 0.05]))
    return tone * signal.sosfilt(signal.butter(1, 60, fs=RATE_HZ, output="sos"), on) + coloured(
        rng, s, 1
    ) * rng.uniform(0.003, 0.2)


def _chirp(rng: Rng, low: float, high: float, seconds: float) -> NDArray[np.float64]:
    t = _time(seconds)
    start, end = rng.uniform(low, high, 2)
    curve = (
        start
        + (end - start) * (t / seconds)
        + rng.uniform(0, 300) * np.sin(2 * np.pi * rng.uniform(5, 40) * t)
    )
    return harmonic(np.maximum(curve, 50), np.array([1, 0.2, 0.05])) * np.hanning(len(t))


def _birds(rng: Rng, s: float) -> NDArray[np.floating]:
    out = coloured(rng, s, 1) * rng.uniform(0.01, 0.2)
    for _ in range(rng.integers(1, 5)):
        low = rng.uniform(1200, 4500)
        out += strew(s, at_random(rng, s, rng.uniform(0.5, 6)),
            lambda low=low: rng.uniform(0.2, 1)
            * _chirp(rng, low, low * 1.8, rng.uniform(0.03, 0.3)),
        )  # fmt: skip
    return out


def _crickets(rng: Rng, s: float) -> NDArray[np.floating]:
    t = _time(s)
    out = coloured(rng, s, 1) * rng.uniform(0.01, 0.2)
    for _ in range(rng.integers(1, 4)):
        trill = np.maximum(0, np.sin(2 * np.pi * rng.uniform(15, 60) * t))
        trill = trill * ((t * rng.uniform(0.5, 4)) % 1 < rng.uniform(0.3, 1))
        out += np.sin(2 * np.pi * rng.uniform(2000, 5500) * t) * trill * rng.uniform(0.2, 1)
    return out


def _barks(rng: Rng, s: float) -> NDArray[np.floating]:
    """Dogs, gulls, babies: short voiced calls that fall or rise."""
    base = rng.uniform(250, 900)

    def call() -> NDArray[np.floating]:
        t = _time(rng.uniform(0.08, 0.9))
        share = t / t[-1]
        f0 = base * rng.uniform(0.8, 1.2) * (1 + rng.uniform(-0.4, 0.4) * share - 0.3 * share**2)
        voice = harmonic(f0, rng.uniform(0.2, 1, 10) / np.arange(1, 11))
        return (voice + 0.3 * rng.standard_normal(len(t))) * np.hanning(len(t))

    calls = strew(s, at_random(rng, s, rng.uniform(0.5, 2)), call)
    return reverberant(rng, calls, 0.5, 0.3) + coloured(rng, s, 1) * rng.uniform(0.01, 0.2)


def _stream(rng: Rng, s: float) -> NDArray[np.floating]:
    def bubble() -> NDArray[np.floating]:
        t = _time(rng.uniform(0.01, 0.06))
        f0 = rng.uniform(400, 3000) * (1 + rng.uniform(0, 8) * t)
        return harmonic(f0, np.ones(1)) * np.exp(-t / 0.015) * rng.exponential(1)

    drops = strew(s, at_random(rng, s, rng.uniform(10, 120)), bubble)
    return drops + band(coloured(rng, s, 0.5), 400, 6000) * rng.uniform(0.05, 1)


def _clinks(rng: Rng, s: float) -> NDArray[np.floating]:
    """Cutlery, glasses, keys: inharmonic modes that ring."""

    def clink() -> NDArray[np.floating]:
        t = _time(rng.uniform(0.05, 0.6))
        modes = rng.uniform(900, 7000, rng.integers(3, 8))
        return sum(
            np.sin(2 * np.pi * hz * t) * np.exp(-t / rng.uniform(0.01, 0.15)) for hz in modes
        ) * rng.exponential(1)

    return strew(s, at_random(rng, s, rng.uniform(0.5, 6)), clink) + coloured(
        rng, s, 1
    ) * rng.uniform(0.01, 0.5)


def _rustle(rng: Rng, s: float) -> NDArray[np.floating]:
    grip = np.maximum(0, slow(rng, s, rng.uniform(2, 12)))
    return band(coloured(rng, s, 0.7), 200, 7000) * grip + _hiss(rng, s) * rng.uniform(0.01, 0.1)


def _fire(rng: Rng, s: float) -> NDArray[np.floating]:
    crackle = strew(s, at_random(rng, s, rng.uniform(5, 40)),
        lambda: burst(rng, rng.uniform(0.001, 0.006), 800, 7000) * rng.pareto(2.0),
    )  # fmt: skip
    return crackle + coloured(rng, s, 1.5) * rng.uniform(0.05, 0.5)


def _modulated(rng: Rng, s: float) -> NDArray[np.floating]:
    """Noise that swells at the rate of syllables or beats, but is neither."""
    t = _time(s)
    depth, hz = rng.uniform(0.3, 1), rng.uniform(0.5, 12)
    return _hiss(rng, s) * (1 + depth * np.sin(2 * np.pi * hz * t))


NOISES: dict[str, Callable[[Rng, float], NDArray[np.floating]]] = {
    "hiss": _hiss, "wind": _wind, "rain": _rain, "sea": _sea, "traffic": _traffic,
    "babble": _babble, "applause": _applause, "steps": _steps, "ticking": _ticking,
    "typing": _typing, "machine": _machine, "helicopter": _helicopter, "hum": _hum,
    "engine": _engine, "sine": _sine, "siren": _siren, "beeps": _beeps, "birds": _birds,
    "crickets": _crickets, "barks": _barks, "stream": _stream, "clinks": _clinks,
    "rustle": _rustle, "fire": _fire, "modulated": _modulated,
}  # fmt: skip


def noise(rng: Rng, kind: str, seconds: float) -> Sound:
    """One sort of noise, now and then with a second one behind it or in a room."""
    out = NOISES[kind](rng, seconds)
    out = out / rms(out)
    if rng.random() < 0.35:
        other = NOISES[list(NOISES)[rng.integers(len(NOISES))]](rng, seconds)
        out = out + other / rms(other) * 10 ** (rng.uniform(-25, 0) / 20)
    if rng.random() < 0.3:
        out = reverberant(rng, out, rng.uniform(0.2, 1.2), rng.uniform(0.1, 0.6))
    return out.astype(np.float32)


# ---------------------------------------------------------------------------------- music


@dataclass(frozen=True)
class Timbre:
    """How the notes of one layer sound."""

    partials: NDArray[np.float64]
    stretch: float  # inharmonicity: partial k at k * sqrt(1 + stretch * k ** 2)
    attack_s: float
    decay_s: float
    vibrato_cents: float
    voices: int
    detune_cents: float


def _timbre(rng: Rng) -> Timbre:
    count = rng.integers(3, 25)
    k = np.arange(1, count + 1)
    partials = rng.uniform(0.3, 1, count) * k ** -rng.uniform(0.3, 2)
    if rng.random() < 0.2:
        partials[1::2] = 0  # like a clarinet or a square wave
    plucked = rng.random() < 0.55
    return Timbre(
        partials=partials,
        stretch=rng.choice([0, 1e-4, 5e-4]),
        attack_s=rng.uniform(0.002, 0.02) if plucked else rng.uniform(0.02, 0.2),
        decay_s=rng.uniform(0.1, 1.0) if plucked else 10.0,
        vibrato_cents=0 if plucked else rng.uniform(0, 60),
        voices=int(rng.choice([1, 1, 2, 4])),
        detune_cents=rng.uniform(2, 15),
    )


def _note(rng: Rng, timbre: Timbre, hz: float, seconds: float) -> NDArray[np.float64]:
    t = _time(seconds + 0.1)
    out = np.zeros(len(t))
    for _ in range(timbre.voices):
        tuned = hz * 2 ** (rng.normal(0, timbre.detune_cents) / 1200 * (timbre.voices > 1))
        swing = timbre.vibrato_cents * np.sin(
            2 * np.pi * rng.uniform(4.5, 7) * t + rng.uniform(0, 6)
        )
        phase = 2 * np.pi * np.cumsum(tuned * 2 ** (swing / 1200)) / RATE_HZ
        for k, amplitude in enumerate(timbre.partials, start=1):
            ratio = k * np.sqrt(1 + timbre.stretch * k * k)
            if ratio * tuned < 7500:
                fade = np.exp(-t * np.sqrt(k) / timbre.decay_s)
                out += amplitude * fade * np.sin(ratio * phase + rng.uniform(0, 6))
    gate = np.clip(t / timbre.attack_s, 0, 1) * np.clip((t[-1] - t) / 0.08, 0, 1)
    return out * gate


def _drums(rng: Rng, seconds: float, beat_s: float) -> NDArray[np.float64]:
    """Kick, snare and hats in a pattern of eight half beats that repeats."""
    out = np.zeros(round(seconds * RATE_HZ))
    kits: list[Callable[[], NDArray[np.float64]]] = []
    kick_hz, kick_s = rng.uniform(40, 80), rng.uniform(0.05, 0.2)
    t = _time(0.4)
    kick = np.sin(2 * np.pi * (kick_hz * t + 4 * (1 - np.exp(-t / 0.03)))) * np.exp(-t / kick_s)
    snare_s, snare_hz = rng.uniform(0.03, 0.12), rng.uniform(150, 260)
    kits.append(lambda: 2 * kick)
    kits.append(
        lambda: burst(rng, snare_s, 300, 7000) + np.sin(2 * np.pi * snare_hz * _time(snare_s * 6))
        * np.exp(-_time(snare_s * 6) / snare_s) * 0.5
    )  # fmt: skip
    kits.append(lambda: 0.4 * burst(rng, 0.02, 4000, 7800))
    patterns = [rng.random(8) < p for p in (0.35, 0.25, 0.8)]
    patterns[0][0] = patterns[1][4] = True
    for kit, pattern in zip(kits, patterns, strict=True):
        steps = np.arange(0, seconds, beat_s / 2)
        hits = steps[pattern[np.arange(len(steps)) % 8]]
        out += strew(seconds, hits + rng.normal(0, 0.004, len(hits)), kit) * rng.uniform(0.4, 1)
    return out


def melody(rng: Rng, count: int, root_hz: float, scale: NDArray[np.int_]) -> NDArray[np.float64]:
    degrees = np.cumsum(rng.integers(-2, 3, count)) + 4
    octave, step = np.divmod(degrees, len(scale))
    return np.asarray(root_hz * 2 ** (scale[step] / 12 + np.clip(octave, -1, 2)))


def synthetic_music(rng: Rng, seconds: float) -> Sound:
    """A small band: some of chords, melody, bass and drums, then distortion and a room."""
    beat_s = 60 / rng.uniform(60, 170)
    scale = np.array([[0, 2, 4, 5, 7, 9, 11], [0, 2, 3, 5, 7, 8, 10]][rng.integers(2)])
    root = 110 * 2 ** rng.uniform(-0.5, 0.5)
    chords = rng.integers(0, 6, 4)
    out = np.zeros(round(seconds * RATE_HZ))
    layers = rng.random(4) < (0.6, 0.6, 0.5, 0.5)
    if not layers.any():
        layers[rng.integers(4)] = True
    bar_s = 4 * beat_s
    for bar, start in enumerate(np.arange(0, seconds, bar_s)):
        chord = root * 2 ** (np.array([scale[(chords[bar % 4] + d) % 7] for d in (0, 2, 4)]) / 12)
        if bar == 0:
            strummed, lead, bass = (_timbre(rng) for _ in range(3))
            chord_beats, lead_beats = rng.choice([1, 2, 4]), rng.choice([0.5, 1, 2])
        if layers[0]:
            for at in np.arange(0, 4, chord_beats) * beat_s:
                for hz in chord * rng.choice([1, 2]):
                    one = _note(rng, strummed, hz, chord_beats * beat_s)
                    out += strew(seconds, np.array([start + at]), lambda one=one: one)
        if layers[1]:
            notes = melody(rng, int(4 / lead_beats), root * 4, scale)
            for i, hz in enumerate(notes):
                if rng.random() < 0.85:
                    one = 1.5 * _note(rng, lead, hz, lead_beats * beat_s)
                    at = start + i * lead_beats * beat_s
                    out += strew(seconds, np.array([at]), lambda one=one: one)
        if layers[2]:
            for i in range(4):
                one = 2 * _note(rng, bass, chord[0] / 2, beat_s * 0.9)
                out += strew(seconds, np.array([start + i * beat_s]), lambda one=one: one)
    out = out / rms(out) if layers[:3].any() else out
    if layers[3]:
        drums = _drums(rng, seconds, beat_s)
        out = out + drums / rms(drums) * rng.uniform(0.3, 1.2)
    if rng.random() < 0.3:
        out = np.tanh(out / rms(out) * rng.uniform(1, 6))
    if rng.random() < 0.6:
        out = reverberant(rng, out, rng.uniform(0.3, 2), rng.uniform(0.1, 0.5))
    return (out / rms(out)).astype(np.float32)


def singing(rng: Rng, seconds: float) -> Sound:
    """Speech sung: its vocal tract follows the notes of a melody, with vibrato."""
    t, note_s = _time(seconds), rng.uniform(0.25, 0.8)
    scale = np.array([0, 2, 4, 5, 7, 9, 11])
    notes = melody(rng, int(seconds / note_s) + 2, rng.uniform(110, 260), scale)
    glide = signal.butter(1, 8, fs=RATE_HZ, output="sos")
    hz = signal.sosfiltfilt(glide, notes[(t / note_s).astype(int)])
    vibrato = rng.uniform(5, 60) / 1200 * np.sin(2 * np.pi * rng.uniform(5, 6.5) * t)
    return voiced(rng, hz * 2**vibrato, slower=rng.uniform(1.2, 2.5))


def announcing(rng: Rng, seconds: float) -> Sound:
    """Speech with little intonation and a buzz, as simple text-to-speech has it."""
    drift = slow(rng, seconds, rng.uniform(1.5, 4)) * rng.uniform(0.08, 0.2)
    return voiced(rng, rng.uniform(90, 230) * np.exp(drift), slower=1.0)


def voiced(rng: Rng, hz: NDArray[np.floating], *, slower: float) -> Sound:
    """Recorded speech whose vocal tract (linear prediction) is driven at a given pitch."""
    voices, hop, order, size = speech_tracks(), 160, 18, 480
    speech = excerpt(rng, voices[rng.integers(len(voices))].sound, len(hz) / RATE_HZ)
    pulses = np.diff(np.floor(np.cumsum(hz) / RATE_HZ), prepend=0.0)
    breath = rng.standard_normal(len(hz)) * rng.uniform(0.01, 0.05)
    source = signal.lfilter([1], [1, -0.9], pulses) + breath
    out, window = np.zeros(len(hz) + size), np.hanning(size)
    for start in range(0, len(hz) - size, hop):
        read = int(start / slower)
        piece = speech[read : read + size] * window
        r = np.correlate(piece, piece, "full")[size - 1 : size + order]
        if r[0] < 1e-6:
            continue
        r[0] *= 1.001
        tract = np.concatenate([[1], -solve_toeplitz(r[:-1], r[1:])])
        excited = signal.lfilter([1], tract, source[start : start + size])
        out[start : start + size] += excited * window * np.sqrt(r[0]) / rms(excited)
    return (out[: len(hz)] / rms(out)).astype(np.float32)


def spoken(rng: Rng, seconds: float, track: Track) -> Sound:
    """A stretch of a recording, its pitch and speed changed a little."""
    speed = rng.uniform(0.85, 1.2)
    sound = excerpt(rng, track.sound, seconds * speed + 0.1)
    at = np.arange(round(seconds * RATE_HZ)) * speed
    return np.interp(at, np.arange(len(sound)), sound).astype(np.float32)
