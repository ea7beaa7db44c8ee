"""Fingerprints do not depend on how a sound arrives, and are what they are said to be."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.io import wavfile

from reelscope.errors import UnreadableMedia
from reelscope.music import fingerprint as module
from reelscope.music.fingerprint import (
    BINS,
    FRAMES_PER_S,
    LOWEST_BIN,
    PEAKS_PER_S,
    QUERY_PEAKS_PER_S,
    RATE_HZ,
    Constellation,
    constellation,
    fingerprint_file,
    spectrum,
    whitened,
)
from reelscope.music.sound import Sound, read_sound, sound_blocks


def noise(seconds: float, seed: int = 0) -> Sound:
    rng = np.random.default_rng(seed)
    return (0.2 * rng.standard_normal(int(seconds * RATE_HZ))).astype(np.float32)


def same(one: Constellation, other: Constellation) -> bool:
    return (
        np.array_equal(one.frames, other.frames)
        and np.array_equal(one.bins, other.bins)
        and one.length == other.length
    )


@settings(max_examples=8, deadline=None)
@given(st.lists(st.integers(1, 400_000), min_size=1, max_size=12))
def test_the_same_in_whatever_pieces_it_comes(cuts: list[int]) -> None:
    sound = noise(70)
    places = sorted({min(cut, len(sound)) for cut in itertools.accumulate(cuts)} | {len(sound)})
    pieces = [sound[a:b] for a, b in itertools.pairwise([0, *places])]
    whole = constellation(sound)
    assert same(whole, module._gathered(pieces, PEAKS_PER_S))
    assert whole.length == 70 * FRAMES_PER_S


def test_a_tone_has_its_peaks_where_it_is() -> None:
    t = np.arange(5 * RATE_HZ) / RATE_HZ
    beeps = np.sin(2 * np.pi * 1000 * t) * (t % 1 < 0.3)
    found = constellation(beeps.astype(np.float32))
    near = abs(found.bins - 1000 / (RATE_HZ / module.FRAME)) <= 1
    assert near.any()
    assert {int(f) // 50 for f in found.frames[near]} >= {0, 1, 2, 3, 4}


def test_no_more_peaks_a_second_than_said_and_in_order() -> None:
    for most in (PEAKS_PER_S, QUERY_PEAKS_PER_S):
        found = constellation(noise(6), peaks_per_s=most)
        per_second = np.bincount(found.frames // 50)
        assert per_second.max() <= most
        assert per_second[:5].min() > most / 2
        order = found.frames.astype(np.int64) * BINS + found.bins
        assert (np.diff(order) > 0).all()
        assert found.bins.min() >= LOWEST_BIN
        assert found.bins.max() < BINS


@pytest.mark.parametrize("level", [0.001, 0.1, 1.0])
def test_loudness_changes_nothing(level: float) -> None:
    sound = noise(4)
    one, other = constellation(sound), constellation(sound * np.float32(level))
    shared = set(zip(one.frames, one.bins, strict=True)) & set(
        zip(other.frames, other.bins, strict=True)
    )
    assert len(shared) > 0.95 * len(one)


@pytest.mark.parametrize("value", [0.0, 0.5])
def test_silence_and_a_constant_have_few_peaks(value: float) -> None:
    found = constellation(np.full(4 * RATE_HZ, value, np.float32))
    assert len(found) <= 2  # a constant begins and ends


@pytest.mark.parametrize("count", [0, 1, 100, 1599])
def test_the_shortest_sounds(count: int) -> None:
    found = constellation(noise(1)[:count])
    assert found.length == -(-count // module.HOP)


@pytest.mark.parametrize("rate_hz", [11025, 16000, 22050, 44100, 48000, 96000, 192000])
def test_any_rate_gives_about_the_same(rate_hz: int) -> None:
    sound = noise(4)
    here = constellation(sound)
    there = constellation(soxr.resample(sound, RATE_HZ, rate_hz), rate_hz)
    close = (abs(here.frames[:, None] - there.frames) <= 1) & (
        abs(here.bins[:, None].astype(int) - there.bins) <= 1
    )
    assert close.any(axis=1).mean() > 0.85


def test_whitening_takes_a_steady_slope_away() -> None:
    rng = np.random.default_rng(1)
    shown = rng.standard_normal((200, BINS)).astype(np.float32)
    slope = np.linspace(0, 20, BINS, dtype=np.float32)
    inner = slice(module.AROUND_BINS, -module.AROUND_BINS)
    difference = whitened(shown + slope)[:, inner] - whitened(shown)[:, inner]
    assert abs(difference).max() < 1e-3


def test_the_spectrum_of_a_full_scale_sine() -> None:
    t = np.arange(2048) / RATE_HZ
    shown = spectrum(np.sin(2 * np.pi * 1000 * t).astype(np.float32))
    assert shown.max() == pytest.approx(np.log(module.FRAME / 4), abs=0.1)


def test_a_file_and_its_sound_have_the_same_fingerprint(tmp_path: Path) -> None:
    path = tmp_path / "sound.wav"
    wavfile.write(path, RATE_HZ, noise(65))
    assert same(fingerprint_file(path), constellation(read_sound(path, RATE_HZ)))
    assert len(read_sound(path, RATE_HZ, most_s=2.5)) == 2.5 * RATE_HZ
    assert [len(block) for block in sound_blocks(path, RATE_HZ, block_s=30)] == [
        30 * RATE_HZ,
        30 * RATE_HZ,
        5 * RATE_HZ,
    ]


def test_a_file_without_sound_says_so(tmp_path: Path) -> None:
    path = tmp_path / "text.mp3"
    path.write_text("this is no sound")
    with pytest.raises(UnreadableMedia):
        fingerprint_file(path)
