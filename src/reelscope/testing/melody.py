"""Music by chance: short tracks of which no two have a bar in common."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

RATE_HZ = 8000


def melody(seed: int, seconds: float = 4.0) -> NDArray[np.float32]:
    """Two notes every eighth of a second, each with three partials, that fade; (n,) at RATE_HZ."""
    random = np.random.default_rng(seed)
    length = round(seconds * RATE_HZ)
    out = np.zeros(length + RATE_HZ)
    time_s = np.arange(RATE_HZ // 2) / RATE_HZ
    for start in range(0, length, RATE_HZ // 8):
        for _ in range(2):
            hz = 110 * 2 ** (random.integers(0, 48) / 12 + random.normal(0, 0.02))
            note = sum(np.sin(2 * np.pi * hz * k * time_s) / k for k in (1, 2, 3))
            out[start : start + len(time_s)] += note * np.exp(-6 * time_s)
    return np.asarray(out[:length] / np.abs(out).max() * 0.7, np.float32)


def write_wav(path: Path, samples: NDArray[np.float32], rate_hz: int = RATE_HZ) -> Path:
    """One channel, 16 bits; folders above it are made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    return path
