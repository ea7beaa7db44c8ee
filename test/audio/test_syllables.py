"""Syllable nuclei and silences: synthetic speech with known syllables, and real readings."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reelscope.audio.syllables import RATE_HZ, Contour, measure, nuclei, silences
from reelscope.testing.sounds import music_like, noise, silence, tone
from reelscope.testing.speech import SpeechTruth, speech_like

DIP_DB = 2.0


def contour_of(
    samples: np.ndarray, spans: tuple[tuple[float, float], ...] | None = None
) -> Contour:
    whole = ((0.0, samples.size / RATE_HZ),)
    return measure([np.asarray(samples, np.float32)], spans if spans is not None else whole)


def agreement(found_s: np.ndarray, truth: SpeechTruth) -> tuple[int, int]:
    """How many true nuclei have a found one within 60 ms, and how many of those found."""
    true_s = np.array(truth.nuclei_s)
    near = np.abs(true_s[:, None] - found_s[None]) < 0.06
    return int(near.any(axis=1).sum()), int(near.any(axis=0).sum())


@pytest.mark.parametrize("rate", [2.5, 4.0, 6.0, 7.5])
@pytest.mark.parametrize("pitch_hz", [75.0, 118.0, 230.0])
def test_finds_every_syllable_where_it_is(rate: float, pitch_hz: float) -> None:
    samples, truth = speech_like(10, syllables_per_s=rate, pitch_hz=pitch_hz, seed=4)
    found_s = nuclei(contour_of(samples, truth.phrases_s), min_dip_db=DIP_DB)
    recalled, correct = agreement(found_s, truth)
    assert recalled >= 0.95 * len(truth.nuclei_s)
    assert correct >= 0.95 * found_s.size
    assert found_s.size == pytest.approx(len(truth.nuclei_s), rel=0.05)


def test_silences_are_the_pauses_and_not_the_quiet_ends() -> None:
    samples, truth = speech_like(15, pause_s=0.6, seed=3)
    # One segment over everything: the pauses are heard, not told.
    (begin_s, end_s), found = silences(contour_of(samples), min_silence_s=0.3)
    assert begin_s == pytest.approx(truth.phrases_s[0][0], abs=0.15)
    assert end_s == pytest.approx(truth.phrases_s[-1][1], abs=0.1)
    assert found.shape == (len(truth.pauses_s), 2)
    # The consonants at the edges of a phrase are quiet in the vowels' band.
    assert np.abs(found - np.array(truth.pauses_s)).max() < 0.15


def test_a_gap_between_segments_is_silent_whatever_sounds_in_it() -> None:
    samples, _ = speech_like(6, pause_s=0.0, seed=1)
    _, found = silences(contour_of(samples, ((0.3, 2.0), (3.0, 5.5))), min_silence_s=0.3)
    assert found == pytest.approx(np.array([[2.0, 3.0]]), abs=0.1)


def test_shorter_silences_are_no_pauses() -> None:
    samples, truth = speech_like(15, pause_s=0.6, seed=3)
    assert len(truth.pauses_s) > 2
    assert not silences(contour_of(samples), min_silence_s=1.0)[1].size


@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(0, 3 * RATE_HZ), max_size=8))
def test_blocks_of_any_length_give_the_same_contour(cuts: list[int]) -> None:
    samples, truth = speech_like(3, seed=2)
    whole = contour_of(samples, truth.phrases_s)
    blocks = [part[:, None] for part in np.split(samples, sorted(cuts))]
    pieces = measure(blocks, truth.phrases_s)
    assert pieces.level_db == pytest.approx(whole.level_db, abs=1e-3)
    assert pieces.voicing == pytest.approx(whole.voicing, abs=1e-3)
    assert (pieces.speech == whole.speech).all()


@pytest.mark.parametrize("gain", [1e-3, 0.1, 4.0])
def test_loudness_does_not_matter(gain: float) -> None:
    samples, truth = speech_like(8, seed=5)
    loud = nuclei(contour_of(samples, truth.phrases_s), min_dip_db=DIP_DB)
    scaled = nuclei(contour_of(samples * np.float32(gain), truth.phrases_s), min_dip_db=DIP_DB)
    assert scaled == pytest.approx(loud)


def test_clipping_costs_few_syllables() -> None:
    samples, truth = speech_like(10, seed=6)
    clipped = np.clip(samples * (8 / np.abs(samples).max()), -1, 1)
    found_s = nuclei(contour_of(clipped, truth.phrases_s), min_dip_db=DIP_DB)
    assert found_s.size == pytest.approx(len(truth.nuclei_s), rel=0.15)


def test_a_quiet_speaker_after_a_loud_one_is_heard() -> None:
    first, loud = speech_like(8, seed=7)
    second, quiet = speech_like(8, seed=8)
    both = np.concatenate([first, second * np.float32(0.1)])  # 20 dB below
    spans = (*loud.phrases_s, *((a + 8, b + 8) for a, b in quiet.phrases_s))
    found_s = nuclei(contour_of(both, spans), min_dip_db=DIP_DB)
    assert (found_s > 8).sum() >= 0.8 * len(quiet.nuclei_s)


@pytest.mark.parametrize(
    "samples",
    [
        silence(4, rate_hz=RATE_HZ),
        tone(4, hz=440, rate_hz=RATE_HZ),
        noise(4, rate_hz=RATE_HZ),
        np.ones(4 * RATE_HZ, np.float32),
    ],
    ids=["silence", "tone", "noise", "offset"],
)
def test_what_has_no_syllables_has_few(samples: np.ndarray) -> None:
    # The switching on and off of a steady tone is one peak.
    assert nuclei(contour_of(samples), min_dip_db=DIP_DB).size <= 1


def test_drums_and_hum_outside_the_segments_do_not_count() -> None:
    samples, truth = speech_like(10, pause_s=1.0, seed=9)
    mixed = samples.copy()
    music = music_like(10, rate_hz=RATE_HZ, seed=1)
    for begin_s, end_s in truth.pauses_s:
        part = slice(round(begin_s * RATE_HZ), round(end_s * RATE_HZ))
        mixed[part] += music[part]
    found_s = nuclei(contour_of(mixed, truth.phrases_s), min_dip_db=DIP_DB)
    assert found_s.size == pytest.approx(len(truth.nuclei_s), rel=0.1)


@pytest.mark.parametrize("count", [0, 1, 159, 1600, 1601])
def test_hardly_any_sound(count: int) -> None:
    found = measure([np.full(count, 0.1, np.float32)], [(0.0, 1.0)])
    assert np.isfinite(found.level_db).all()
    assert np.isfinite(found.voicing).all()
    assert nuclei(found, min_dip_db=DIP_DB).size <= 1


def test_no_sound_and_no_speech() -> None:
    found = measure([], [])
    assert not found.speech.any()
    assert not nuclei(found, min_dip_db=DIP_DB).size
    assert silences(found, min_silence_s=0.3)[0] == (0.0, 0.0)


def test_samples_that_are_not_numbers_are_silence() -> None:
    samples, truth = speech_like(6, seed=10)
    clean = nuclei(contour_of(samples, truth.phrases_s), min_dip_db=DIP_DB)
    samples[100:110] = np.nan
    samples[200] = np.inf
    assert nuclei(contour_of(samples, truth.phrases_s), min_dip_db=DIP_DB) == pytest.approx(clean)


def test_memory_does_not_grow_with_the_sound() -> None:
    block, _ = speech_like(10, seed=1)

    def peak_bytes(blocks: int) -> int:
        tracemalloc.start()
        measure((block for _ in range(blocks)), [(0.0, 10.0 * blocks)])
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    few, many = peak_bytes(3), peak_bytes(15)
    assert few < 32e6
    # 9 bytes per 10 ms are kept, and there twice while the pieces are joined.
    assert many - few < 12 * 1000 * 9 * 3


VOWELS_S = np.array(
    [
        0.39, 0.575, 0.795, 1.125, 1.37, 1.625, 1.895, 2.095, 2.375, 2.71, 3.49, 3.6, 3.855, 3.965,
        4.215, 4.905, 4.98, 5.16, 5.365, 5.67, 6.045, 6.265, 6.515, 6.805, 6.935, 7.065, 7.26, 7.41,
        7.6,
    ]
)  # fmt: skip
"""Middles of the 29 vowels in the first 8 s of LibriSpeech 5703-47212-0000, from the
forced alignments of L. Lugosch et al. (Zenodo 2619474, CC BY 4.0)."""


def test_a_reading_whose_vowels_are_aligned(corpus: Path) -> None:
    samples = real(corpus / "speech" / "librispeech-5703-47212-0000.ogg")[: 8 * RATE_HZ]
    spoken = ((0.28, 2.97), (3.33, 4.61), (4.77, 8.0))
    found_s = nuclei(contour_of(samples, spoken), min_dip_db=DIP_DB)
    assert found_s.size == pytest.approx(VOWELS_S.size, rel=0.15)
    near = np.abs(VOWELS_S[:, None] - found_s[None]) < 0.1
    assert near.any(axis=1).mean() > 0.75


def test_a_speech_whose_words_are_known(corpus: Path) -> None:
    """ "And so my fellow Americans, ask not what your country can do for you, ask what you
    can do for your country": 28 syllables, 4 pauses."""
    samples = real(corpus / "speech" / "jfk.flac")
    spoken = ((0.32, 2.27), (3.27, 4.45), (5.38, 7.68), (8.16, 10.62))
    found = contour_of(samples, spoken)
    assert nuclei(found, min_dip_db=DIP_DB).size == pytest.approx(28, rel=0.15)
    _, pauses = silences(found, min_silence_s=0.3)
    assert len(pauses) == 4


def real(path: Path) -> np.ndarray:
    resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE_HZ)
    with av.open(str(path)) as container:
        frames = [part for frame in container.decode(audio=0) for part in resampler.resample(frame)]
        frames += resampler.resample(None)
    return np.concatenate([frame.to_ndarray()[0] for frame in frames])


def test_the_level_is_in_decibels_of_power() -> None:
    quiet = contour_of(tone(2, hz=1000, amplitude=0.1, rate_hz=RATE_HZ)).level_db[20:180]
    loud = contour_of(tone(2, hz=1000, amplitude=1.0, rate_hz=RATE_HZ)).level_db[20:180]
    assert loud - quiet == pytest.approx(20, abs=1e-3)
    assert np.ptp(loud) < 0.01
