from __future__ import annotations

import numpy as np
import pytest

from reelscope.testing.sounds import mix, music_like, noise, sequence, silence, tone


def rms(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(samples.astype(float) ** 2)))


def band_power(samples: np.ndarray, rate_hz: int, low_hz: float, high_hz: float) -> float:
    spectrum = np.abs(np.fft.rfft(samples)) ** 2
    hz = np.fft.rfftfreq(samples.size, 1 / rate_hz)
    return float(spectrum[(hz >= low_hz) & (hz < high_hz)].sum())


def test_tone_noise_and_silence_are_as_loud_as_asked() -> None:
    assert rms(tone(1.0, amplitude=0.3)) == pytest.approx(0.3 / np.sqrt(2), rel=1e-3)
    assert rms(noise(1.0, amplitude=0.05)) == pytest.approx(0.05, rel=1e-3)
    assert rms(noise(1.0, kind="pink", amplitude=0.05)) == pytest.approx(0.05, rel=1e-3)
    assert not silence(0.5).any()
    assert silence(0.5).size == 22050


def test_white_noise_is_flat_and_pink_noise_has_equal_octaves() -> None:
    white, pink = noise(8.0, rate_hz=16000), noise(8.0, kind="pink", rate_hz=16000)
    octaves = [(250, 500), (500, 1000), (1000, 2000), (2000, 4000)]
    whites = [band_power(white, 16000, *octave) for octave in octaves]
    pinks = [band_power(pink, 16000, *octave) for octave in octaves]
    assert np.log2(whites[3] / whites[0]) == pytest.approx(3.0, abs=0.3)
    assert np.log2(pinks[3] / pinks[0]) == pytest.approx(0.0, abs=0.4)


@pytest.mark.parametrize("seed", range(4))
def test_music_keeps_its_beat_and_never_pauses(seed: int) -> None:
    samples = music_like(10.0, beats_per_minute=120.0, rate_hz=16000, seed=seed)
    assert samples.size == 160_000
    assert np.abs(samples).max() <= 1.0
    energy = np.convolve(samples.astype(float) ** 2, np.hanning(320), "same")[::160]
    onsets = np.maximum(0, np.diff(np.log(energy + 1e-5)))
    onsets -= onsets.mean()
    echo = np.correlate(onsets, onsets, "full")[onsets.size - 1 :]
    lags = np.arange(30, 90)  # 0.3-0.9 s; a beat is 0.5 s
    assert abs(int(lags[echo[lags].argmax()]) - 50) <= 1
    blocks = samples[: 160_000 - 160_000 % 3200].reshape(-1, 3200)
    assert min(rms(block) for block in blocks) > 0.1 * rms(samples)


def test_mixing_never_clips_and_is_as_long_as_the_longest() -> None:
    total = mix(tone(1.0, amplitude=0.9), tone(2.0, amplitude=0.9))
    assert total.size == 88200
    assert np.abs(total).max() <= 0.981
    quiet = tone(0.1, amplitude=0.1)
    assert np.allclose(mix(quiet), quiet)


def test_a_sequence_is_one_after_the_other() -> None:
    both = sequence(tone(0.1), silence(0.2))
    assert both.size == 4410 + 8820
    assert not both[4410:].any()
