"""Features of a sound: the same however it arrives, and what they are meant to tell apart."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from reelscope.audio.musicality import (
    BAND_EDGES,
    FEATURES,
    hear,
    measure,
    music_logit,
    speaking_logit,
)
from reelscope.testing.sounds import mix, music_like, noise, silence, tone
from reelscope.testing.speech import speech_like

RATE = 16000
Sound = NDArray[np.float32]


def feature(sound: Sound, name: str, rate_hz: int = RATE) -> NDArray[np.float64]:
    return hear([sound], rate_hz).features[:, FEATURES.index(name)]


@pytest.mark.slow
@settings(max_examples=5, deadline=None)
@given(cuts=st.lists(st.integers(0, 40 * RATE), max_size=5))
def test_the_size_of_the_blocks_does_not_matter(cuts: list[int]) -> None:
    sound = music_like(40, rate_hz=RATE)
    whole, split = hear([sound], RATE), hear(iter(np.split(sound, sorted(cuts))), RATE)
    np.testing.assert_array_equal(split.times_s, whole.times_s)
    np.testing.assert_allclose(split.features, whole.features, atol=1e-5)
    np.testing.assert_allclose(split.bands, whole.bands, atol=1e-3)


@pytest.mark.slow
def test_work_in_pieces_gives_what_the_whole_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    """30 s are worked on at once, with 5 s on either side that cover every window's reach."""
    sound = music_like(75, rate_hz=RATE, seed=4)
    pieces = hear([sound], RATE)
    monkeypatch.setattr("reelscope.audio.musicality.CORE", 15000)
    np.testing.assert_allclose(hear([sound], RATE).features, pieces.features, atol=1e-4)


@pytest.mark.parametrize("seconds", [0.0, 0.01, 0.25, 0.6, 3.0, 30.0, 30.2])
def test_any_length_has_windows(seconds: float) -> None:
    found = hear([noise(seconds, rate_hz=RATE)], RATE)
    assert len(found.times_s) == max(1, round(seconds * 2))
    assert found.features.shape == (len(found.times_s), len(FEATURES))
    assert np.isfinite(found.features).all()
    assert found.bands.shape[1] == len(BAND_EDGES)
    assert len(found.bands) == pytest.approx(seconds * 10, abs=1)


@pytest.mark.parametrize("gain", [0.02, 4.0])
def test_gain_changes_no_verdict(gain: float) -> None:
    sound = music_like(6, rate_hz=RATE)
    heard = hear([sound * np.float32(gain)], RATE)
    assert (music_logit(heard.features, np.zeros(len(heard.times_s))) > 0).all()


@pytest.mark.parametrize("rate_hz", [8000, 11025, 44100, 48000])
def test_the_rate_changes_little(rate_hz: int) -> None:
    at_16 = hear([music_like(8, rate_hz=RATE, seed=2)], RATE)
    at_other = hear([music_like(8, rate_hz=rate_hz, seed=2)], rate_hz)
    share = np.zeros(len(at_16.times_s))
    ours, other = (music_logit(heard.features, share) for heard in (at_16, at_other))
    assert (ours > 1).all()
    assert (other > 1).all()


def test_silence_and_constants_have_no_partials() -> None:
    for sound in (silence(3, rate_hz=RATE), np.full(3 * RATE, 0.4, np.float32)):
        assert feature(sound, "note_energy").max() == 0
        assert feature(sound, "low_notes").max() == 0


def test_a_tone_stands_still_and_noise_does_not() -> None:
    assert feature(tone(5, hz=700, rate_hz=RATE), "long_energy").min() > 0.95
    assert feature(noise(5, rate_hz=RATE), "long_energy").max() < 0.1


def test_partials_are_found_where_they_are() -> None:
    """Bins of 12.5 Hz from 75 Hz on; 500 Hz is bin 34."""
    power = np.full((100, 266), 1e-6, np.float32)
    power[20:70, 34] = 1e-2
    frames = measure(power)
    assert (frames.mid_notes[20:70] > 0).all()
    assert (frames.mid_notes[:20] == 0).all()
    assert frames.jumps[20] == pytest.approx(1)
    assert frames.jumps.sum() == pytest.approx(1)
    assert frames.ends[69] == pytest.approx(1)
    assert (frames.mid_long[20:70] > 0).all()
    assert frames.long_energy[30] > 0.9


def test_a_glide_is_no_new_note() -> None:
    power = np.full((110, 266), 1e-6, np.float32)
    for i in range(80):
        power[20 + i, 40 + i // 15] = 1e-2
    assert measure(power).jumps.sum() == pytest.approx(1)


def test_tuned_notes_agree() -> None:
    """Eight tones of one scale against eight at random."""
    scale = 440 * 2 ** (np.array([0, 2, 4, 5, 7, 9, 11, 12]) / 12)
    loose = 440 * 2 ** (np.array([0, 2.3, 4.6, 5.1, 7.4, 9.7, 10.5, 12.2]) / 12)
    tuned, random_ = (
        np.concatenate([tone(0.6, hz=hz, rate_hz=RATE) for hz in tones]) for tones in (scale, loose)
    )
    assert feature(tuned, "tuning").min() > 0.8
    assert feature(random_, "tuning").max() < 0.7


def test_a_beat_is_a_pulse() -> None:
    clicks = np.zeros(8 * RATE, np.float32)
    clicks[:: RATE // 2] = 1.0
    clicks = mix(clicks, noise(8, amplitude=0.001, rate_hz=RATE))
    assert feature(clicks, "pulse").min() > 0.7
    assert feature(noise(8, rate_hz=RATE), "pulse").max() < 0.4


def test_music_is_heard_alone_and_under_speech() -> None:
    talk, _ = speech_like(10, seed=8)
    band = music_like(10, rate_hz=RATE, seed=8, rms=0.05)
    cases = {"music": band, "both": mix(talk, band), "talk": talk, "noise": noise(10, rate_hz=RATE)}
    voiced = {"music": 0.0, "both": 1.0, "talk": 1.0, "noise": 0.0}
    found = {}
    for name, sound in cases.items():
        features = hear([sound], RATE).features
        found[name] = np.median(music_logit(features, np.full(len(features), voiced[name])))
    assert min(found["music"], found["both"]) > 1
    assert max(found["talk"], found["noise"]) < -0.5


def test_a_surer_voice_rather_speaks() -> None:
    features = hear([music_like(5, rate_hz=RATE)], RATE).features
    probabilities = np.linspace(0.5, 0.98, 7)
    odds = [speaking_logit(features[:1], np.array([p]))[0] for p in probabilities]
    assert odds == sorted(odds)
    assert odds[0] < 0
