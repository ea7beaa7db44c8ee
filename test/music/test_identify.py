"""Which track, where in it, how fast and how high: on composed music whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
import soxr

from reelscope.music.fingerprint import RATE_HZ, constellation
from reelscope.music.identify import Found, identify
from reelscope.music.segment import Segment, merge
from reelscope.music.sound import Sound


def song(seed: int, seconds: float = 24.0) -> Sound:
    """Notes with partials and decay, a bass, and a drum of noise: 100 to 140 beats a minute."""
    rng = np.random.default_rng(seed)
    out = np.zeros(int(seconds * RATE_HZ) + RATE_HZ, np.float64)
    beat_s = 60 / rng.uniform(100, 140) / 2
    scale = rng.choice([0, 2, 3, 5, 7, 8, 10], size=5, replace=False)
    for step in range(int(seconds / beat_s)):
        start = int(step * beat_s * RATE_HZ)
        length_s = beat_s * rng.integers(1, 4)
        t = np.arange(int(length_s * RATE_HZ)) / RATE_HZ
        for octave, level in ((rng.integers(1, 4), 0.5), (0, 0.4)):
            hz = 110 * 2 ** (octave + scale[rng.integers(5)] / 12)
            tone = sum(np.sin(2 * np.pi * hz * k * t) / k for k in range(1, 6) if hz * k < 3900)
            out[start : start + len(t)] += level * tone * np.exp(-3 * t / length_s)
        if rng.random() < 0.5:
            hit = rng.standard_normal(800) * np.exp(-np.arange(800) / 120)
            out[start : start + 800] += 0.4 * hit
    out = out[: int(seconds * RATE_HZ)]
    return (out / np.abs(out).max() * 0.8).astype(np.float32)


SONGS = [song(seed) for seed in range(8)]


@pytest.fixture(scope="module")
def segment() -> Segment:
    return Segment.build([(10 + n, constellation(sound)) for n, sound in enumerate(SONGS)])


def clip(number: int, start_s: float, length_s: float) -> Sound:
    return SONGS[number][int(start_s * RATE_HZ) : int((start_s + length_s) * RATE_HZ)]


def spoken(found: Found) -> float:
    """Second of the track at which the clip would begin."""
    return found.offset_s - found.start_s * found.tempo


@pytest.mark.parametrize("number", range(8))
def test_a_clip_is_found_at_its_place(segment: Segment, number: int) -> None:
    found = identify(clip(number, 7.3, 5), RATE_HZ, [segment])
    assert found[0].number == 10 + number
    assert spoken(found[0]) == pytest.approx(7.3, abs=0.05)
    assert found[0].tempo == pytest.approx(1, abs=0.01)
    assert found[0].probability > 0.99


@pytest.mark.parametrize("speed", [0.77, 0.9, 1.06, 1.25, 1.48])
def test_sped_up_and_slowed_is_found_with_its_factor(segment: Segment, speed: float) -> None:
    source = clip(2, 4.0, 6 * speed)
    played = soxr.resample(source, RATE_HZ * speed, RATE_HZ).astype(np.float32)
    (found, *_) = identify(played, RATE_HZ, [segment])
    assert found.number == 12
    assert found.tempo == pytest.approx(speed, rel=0.01)
    assert found.pitch == pytest.approx(speed, rel=0.01)
    assert spoken(found) == pytest.approx(4.0, abs=0.1)


def test_two_songs_in_a_clip_have_their_times(segment: Segment) -> None:
    both = np.concatenate([clip(1, 3, 12), clip(6, 8, 12)])
    found = {one.number: one for one in identify(both, RATE_HZ, [segment])}
    assert set(found) == {11, 16}
    assert found[11].end_s == pytest.approx(12, abs=0.7)
    assert found[16].start_s == pytest.approx(12, abs=0.7)
    assert spoken(found[16]) == pytest.approx(8 - 12, abs=0.1)


def test_a_clip_of_no_track_gets_no_answer(segment: Segment) -> None:
    for seed in (50, 51, 52):
        assert identify(song(seed, 6), RATE_HZ, [segment]) == ()


@pytest.mark.parametrize("kind", ["silence", "sine", "noise", "nothing", "short", "constant"])
def test_what_is_no_music_gets_no_answer(segment: Segment, kind: str) -> None:
    t = np.arange(6 * RATE_HZ) / RATE_HZ
    sounds = {
        "silence": np.zeros(len(t)),
        "sine": 0.5 * np.sin(2 * np.pi * 440 * t),
        "noise": 0.3 * np.random.default_rng(0).standard_normal(len(t)),
        "nothing": np.zeros(0),
        "short": clip(0, 3, 0.2),
        "constant": np.full(len(t), 0.7),
    }
    assert identify(sounds[kind].astype(np.float32), RATE_HZ, [segment]) == ()


def test_an_empty_library_answers_nothing(segment: Segment) -> None:
    assert identify(clip(0, 3, 5), RATE_HZ, []) == ()
    assert identify(clip(0, 3, 5), RATE_HZ, [Segment.build([])]) == ()


def test_a_library_of_one_track(segment: Segment) -> None:
    alone = Segment.build([(3, constellation(SONGS[3]))])
    assert [one.number for one in identify(clip(3, 5, 5), RATE_HZ, [alone])] == [3]
    assert identify(clip(4, 5, 5), RATE_HZ, [alone]) == ()


def test_what_is_left_out_is_not_found(segment: Segment) -> None:
    assert identify(clip(5, 6, 5), RATE_HZ, [segment], without={15}) == ()


def test_segments_apart_and_merged_say_the_same() -> None:
    parts = [Segment.build([(n, constellation(SONGS[n]))]) for n in range(4)]
    whole = merge(parts, without={1})
    assert whole.numbers.tolist() == [0, 2, 3]
    for number in (0, 2, 3):
        (one,) = identify(clip(number, 9, 5), RATE_HZ, parts)
        (other,) = identify(clip(number, 9, 5), RATE_HZ, [whole])
        assert one.number == other.number == number
        assert spoken(one) == pytest.approx(spoken(other), abs=0.03)


def test_the_same_content_twice_is_one_find() -> None:
    twice = Segment.build([(1, constellation(SONGS[0])), (2, constellation(SONGS[0]))])
    found = identify(clip(0, 4, 6), RATE_HZ, [twice])
    assert [one.number for one in found] == [1]
