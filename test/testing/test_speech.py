from __future__ import annotations

import importlib.util
import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from reelscope.testing.sounds import Samples, mix, music_like, noise
from reelscope.testing.speech import SpeechTruth, speech_like

Listen = Callable[[Samples], np.ndarray]


@pytest.fixture(scope="module")
def listen() -> Listen:
    """silero-vad: speech probability of every 512 samples at 16 kHz."""
    spec = importlib.util.find_spec("silero_vad")
    assert spec is not None
    assert spec.origin is not None
    model = Path(spec.origin).parent / "data" / "silero_vad.onnx"
    session = onnxruntime.InferenceSession(str(model))

    def probabilities(samples: Samples) -> np.ndarray:
        state = np.zeros((2, 1, 128), np.float32)
        context = np.zeros((1, 64), np.float32)
        found = []
        for start in range(0, samples.size - 511, 512):
            block = np.concatenate([context, samples[None, start : start + 512]], axis=1)
            feed = {"input": block, "state": state, "sr": np.array(16000, np.int64)}
            probability, state = session.run(None, feed)
            context = block[:, -64:]
            found.append(float(probability[0, 0]))
        return np.array(found)

    return probabilities


def within(truth: SpeechTruth, count: int) -> np.ndarray:
    times = (np.arange(count) + 0.5) * 512 / 16000
    return np.array([any(a <= t < b for a, b in truth.phrases_s) for t in times])


@pytest.mark.parametrize("pitch_hz", [95.0, 118.0, 205.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_voice_detector_takes_it_for_speech(listen: Listen, pitch_hz: float, seed: int) -> None:
    samples, truth = speech_like(6.0, pitch_hz=pitch_hz, seed=seed)
    heard = listen(samples)
    spoken = within(truth, heard.size)
    assert np.mean(heard[spoken] > 0.5) > 0.93
    assert np.mean(heard[~spoken] > 0.5) < 0.25  # it lets go a little late


def test_it_still_is_speech_over_music(listen: Listen) -> None:
    samples, truth = speech_like(6.0)
    heard = listen(mix(samples, 0.3 * music_like(6.0, rate_hz=16000)))
    assert np.mean(heard[within(truth, heard.size)] > 0.5) > 0.8


def test_music_and_noise_are_not_speech(listen: Listen) -> None:
    for seed in range(3):
        assert np.mean(listen(music_like(5.0, rate_hz=16000, seed=seed)) > 0.5) < 0.02
    assert listen(noise(3.0, rate_hz=16000)).max() < 0.5


@pytest.mark.parametrize("rate", [2.5, 4.0, 6.0])
def test_every_syllable_has_a_peak_and_a_dip_on_both_sides(rate: float) -> None:
    samples, truth = speech_like(8.0, syllables_per_s=rate, seed=2)
    window = np.hanning(960) / 480  # 60 ms
    level = 10 * np.log10(np.convolve(samples.astype(float) ** 2, window, "same") + 1e-9)
    at = [round(t * 16000) for t in truth.nuclei_s]
    for one, other in itertools.pairwise(at):
        dip = level[one:other].min()
        assert min(level[one], level[other]) - dip > 4
    for nucleus in at:
        near = level[nucleus - 1000 : nucleus + 1000]
        assert abs(int(near.argmax()) - 1000) / 16000 < 0.045


def test_rate_phrases_and_pauses_are_as_asked() -> None:
    _, truth = speech_like(30.0, syllables_per_s=5.0, pause_s=0.6, phrase_s=3.0, seed=4)
    spoken_s = sum(b - a for a, b in truth.phrases_s)
    assert len(truth.nuclei_s) / spoken_s == pytest.approx(5.0, abs=0.01)
    assert len(truth.pauses_s) == len(truth.phrases_s) - 1
    pauses = [b - a for a, b in truth.pauses_s]
    assert np.mean(pauses) == pytest.approx(0.6, abs=0.1)
    assert min(pauses) >= 0.41


@pytest.mark.parametrize("rate_hz", [8000, 16000, 22050, 44100, 48000])
def test_any_sample_rate(rate_hz: int) -> None:
    samples, truth = speech_like(1.5, rate_hz=rate_hz)
    assert samples.dtype == np.float32
    assert samples.size == round(1.5 * rate_hz)
    assert np.abs(samples).max() <= 1.0
    phrase = truth.phrases_s[0]
    spoken = samples[round(phrase[0] * rate_hz) : round(phrase[1] * rate_hz)]
    assert np.sqrt(np.mean(spoken**2)) == pytest.approx(0.08, rel=0.1)


def test_the_seed_decides() -> None:
    assert np.array_equal(speech_like(1.0, seed=1)[0], speech_like(1.0, seed=1)[0])
    assert not np.array_equal(speech_like(1.0, seed=1)[0], speech_like(1.0, seed=2)[0])


@pytest.mark.parametrize("seconds", [0.3, 0.5, 0.7, 1.0])
def test_very_short_speech_has_at_least_a_syllable(seconds: float) -> None:
    samples, truth = speech_like(seconds)
    assert samples.size == round(seconds * 16000)
    assert truth.nuclei_s
