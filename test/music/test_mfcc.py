"""The coefficients are librosa's."""

from __future__ import annotations

from pathlib import Path

import librosa
import numpy as np
import pytest
from numpy.typing import NDArray

from reelscope.music.mfcc import COEFFICIENTS, HOP, RATE_HZ, mel_weights, mfcc
from reelscope.music.sound import read_sound
from reelscope.testing.sounds import music_like, noise, sequence, silence, tone

SOUNDS = {
    "music": music_like(5.0, rate_hz=RATE_HZ, seed=1),
    "noise": noise(3.0, rate_hz=RATE_HZ, seed=2),
    "tone": tone(2.0, hz=440.0, rate_hz=RATE_HZ),
    "silence": silence(1.0, rate_hz=RATE_HZ),
    "loud and silent": sequence(
        tone(1.0, hz=100.0, rate_hz=RATE_HZ), silence(1.0, rate_hz=RATE_HZ)
    ),
    "clipped": np.clip(noise(1.0, rate_hz=RATE_HZ, seed=3) * 100, -1, 1).astype(np.float32),
    "one sample short of a hop": noise(1.0, rate_hz=RATE_HZ, seed=4)[: 20 * HOP - 1],
    "a single window": noise(1.0, rate_hz=RATE_HZ, seed=5)[:2048],
}


def equals(ours: NDArray[np.float32], samples: NDArray[np.float32]) -> bool:
    """Within 1e-4; the first coefficient of silence, -1131, has steps of 1.2e-4 itself."""
    theirs = librosa.feature.mfcc(y=samples, sr=RATE_HZ, n_mfcc=COEFFICIENTS)
    return ours.shape == theirs.T.shape and np.allclose(ours, theirs.T, atol=1e-4, rtol=3e-7)


@pytest.mark.slow
@pytest.mark.parametrize("samples", SOUNDS.values(), ids=SOUNDS.keys())
def test_equals_librosa(samples: NDArray[np.float32]) -> None:
    assert equals(mfcc(samples), samples)


@pytest.mark.slow
def test_equals_librosa_on_a_sound_shorter_than_a_window() -> None:
    samples = noise(1.0, rate_hz=RATE_HZ, seed=6)[:100]
    with pytest.warns(UserWarning, match="too large"):
        assert equals(mfcc(samples), samples)


def test_equals_librosa_on_recordings(corpus: Path) -> None:
    for path in [*sorted((corpus / "music").iterdir())[:4], corpus / "speech" / "jfk.flac"]:
        samples = read_sound(path, RATE_HZ, most_s=10.0)
        assert equals(mfcc(samples), samples), path.name


def test_the_bands_are_librosas() -> None:
    theirs = librosa.filters.mel(sr=RATE_HZ, n_fft=2048, n_mels=128)
    assert np.allclose(mel_weights(), theirs, atol=1e-8)


@pytest.mark.parametrize(
    "samples", [np.zeros(0, np.float32), np.array([0, np.nan], np.float32)], ids=["none", "nan"]
)
def test_what_is_no_sound_is_refused(samples: NDArray[np.float32]) -> None:
    with pytest.raises(ValueError, match="no sound"):
        mfcc(samples)
