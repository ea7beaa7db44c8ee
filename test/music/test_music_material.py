"""The benchmark's queries are what they say: levels, places, stretches, seeds."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import signal

from reelscope.music.fingerprint import Constellation, constellation
from reelscope.testing.media import write_sound

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def material() -> Iterator[ModuleType]:
    path = Path(__file__).parents[2] / "bench" / "music_material.py"
    spec = importlib.util.spec_from_file_location("music_material_tested", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look themselves up there
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


@pytest.fixture(scope="module")
def tracks(material: ModuleType) -> tuple[Path, ...]:
    return material.composed_tracks(0, 3)


def snr_db(mixture: NDArray[np.float32], sound: NDArray[np.float32]) -> float:
    """Of a sound in a mixture whose gain is not known."""
    gain = float(mixture @ sound) / float(sound @ sound)
    return 20 * np.log10(np.linalg.norm(gain * sound) / np.linalg.norm(mixture - gain * sound))


def lag_s(late: NDArray[np.floating], early: NDArray[np.floating], rate_hz: float) -> float:
    """By how much the first comes after the second, by cross-correlation."""
    late, early = late - late.mean(), early - early.mean()
    found = signal.correlate(late, early, "full", "fft")
    return float(np.argmax(found) - (len(early) - 1)) / rate_hz


def onsets(sound: NDArray[np.float32], rate_hz: float) -> NDArray[np.float64]:
    """How much louder it gets, 200 times a second."""
    edges = np.arange(0, len(sound), rate_hz / 200).astype(int)
    power = np.add.reduceat(sound.astype(np.float64) ** 2, edges)
    smooth = np.convolve(power, np.hanning(9), "same")
    return np.maximum(0, np.diff(np.log(smooth + 1e-4 * smooth.max())))


@pytest.mark.parametrize("condition", ["clean", "white_5dB", "pitch+1", "speed_any", "reverb"])
def test_the_seed_decides(material: ModuleType, tracks: tuple[Path, ...], condition: str) -> None:
    first, again = (list(material.queries(tracks, condition, 3.0, 3, 7)) for _ in range(2))
    others = list(material.queries(tracks, condition, 3.0, 3, 8))
    for one, two, other in zip(first, again, others, strict=True):
        assert np.array_equal(one.samples, two.samples)
        assert (one.track_path, one.offset_s, one.tempo) == (
            two.track_path,
            two.offset_s,
            two.tempo,
        )
        assert one.offset_s != other.offset_s


def test_every_condition_gives_clips_of_the_length_asked_for(
    material: ModuleType, tracks: tuple[Path, ...], corpus: Path
) -> None:
    assert len(material.PAGE) == 17
    for condition in material.CONDITIONS:
        query = next(material.queries(tracks, condition, 3.0, 1, 1))
        assert abs(len(query.samples) - 3 * query.rate_hz) <= 2, condition
        assert query.samples.dtype == np.float32
        assert 0.01 < np.abs(query.samples).max() <= 1.0, condition


def test_every_track_is_asked_for_equally_often(
    material: ModuleType, tracks: tuple[Path, ...]
) -> None:
    asked = [query.track_path for query in material.queries(tracks, "clean", 3.0, 9, 1)]
    assert sorted(asked) == sorted(tracks * 3)


def test_a_clean_clip_is_the_track_at_its_offset(
    material: ModuleType, tracks: tuple[Path, ...]
) -> None:
    for query in material.queries(tracks, "clean", 3.0, 6, 1):
        assert np.array_equal(
            query.samples, material.track_sound(query.track_path, query.offset_s, 3.0)
        )


@pytest.mark.parametrize("snr", [10, 5, 0])
@pytest.mark.parametrize("noise", ["white", "babble", "speech"])
def test_noise_has_the_level_that_it_says(
    material: ModuleType, tracks: tuple[Path, ...], corpus: Path, noise: str, snr: int
) -> None:
    if noise == "speech" and snr:
        return
    clean = material.queries(tracks, "clean", 5.0, 3, 1)
    noisy = material.queries(tracks, f"{noise}_{snr}dB", 5.0, 3, 1)
    for sound, mixture in zip(clean, noisy, strict=True):
        assert sound.offset_s == mixture.offset_s
        assert snr_db(mixture.samples, sound.samples) == pytest.approx(snr, abs=0.5)


@pytest.mark.parametrize("condition", ["mp3_64k", "aac_64k"])
def test_codecs_change_the_sound_and_not_its_place(
    material: ModuleType, tracks: tuple[Path, ...], condition: str
) -> None:
    clean = material.queries(tracks, "clean", 5.0, 3, 1)
    coded = material.queries(tracks, condition, 5.0, 3, 1)
    for sound, heard in zip(clean, coded, strict=True):
        assert lag_s(heard.samples, sound.samples, sound.rate_hz) == 0
        assert 10 < snr_db(heard.samples, sound.samples) < 50


@pytest.mark.parametrize("by_waveform", [False, True])
@pytest.mark.parametrize("tempo", [0.75, 0.9, 0.96, 1.04, 1.1, 1.5])
def test_a_stretch_moves_every_moment_where_it_belongs(
    material: ModuleType, tempo: float, by_waveform: bool
) -> None:
    rate, rng = material.RATE_HZ, np.random.default_rng(0)
    sound = np.zeros(6 * rate, np.float32)
    moments = np.arange(0.5, 5.6, 0.7)
    for moment in moments:
        at = round(moment * rate)
        sound[at : at + 300] = rng.standard_normal(300) * 0.3
    made = material.retempo(sound, tempo, by_waveform=by_waveform)
    assert len(made) == pytest.approx(len(sound) / tempo, abs=2)
    for moment in moments:
        first = max(0, round((moment / tempo - 0.2) * rate))
        power = made[first : first + round(0.4 * rate)].astype(np.float64) ** 2
        centre_s = (first + np.arange(len(power)) @ power / power.sum()) / rate
        assert centre_s - 150 / rate == pytest.approx(
            moment / tempo, abs=0.03 if by_waveform else 0.005
        )


@pytest.mark.parametrize("by_waveform", [False, True])
@pytest.mark.parametrize("change", [0.9, 1.1, "+3", "-1"])
def test_tempo_and_pitch_change_one_without_the_other(
    material: ModuleType, change: float | str, by_waveform: bool
) -> None:
    rate = material.RATE_HZ
    sound = np.sin(2 * np.pi * 440 * np.arange(4 * rate) / rate).astype(np.float32)
    if isinstance(change, str):
        made = material.repitch(sound, int(change), by_waveform=by_waveform)
        wanted_hz, seconds = 440 * 2 ** (int(change) / 12), 4.0
    else:
        made = material.retempo(sound, change, by_waveform=by_waveform)
        wanted_hz, seconds = 440.0, 4 / change
    assert len(made) / rate == pytest.approx(seconds, abs=0.001)
    middle = made[rate : 3 * rate]
    found_hz = np.argmax(np.abs(np.fft.rfft(middle * np.hanning(len(middle))))) / 2
    assert found_hz == pytest.approx(wanted_hz, abs=1.0)


@pytest.mark.parametrize(
    "condition", ["tempo+4", "tempo-10", "pitch+3", "pitch-1", "speed+4", "speed_1.5", "speed_0.75"]
)
def test_offsets_and_factors_lead_back_to_the_track(
    material: ModuleType, tracks: tuple[Path, ...], condition: str
) -> None:
    """The loudness of a clip, on the track's time, is the track's: at its start and its end."""
    for query in material.queries(tracks, condition, 8.0, 3, 2):
        passage = material.track_sound(query.track_path, query.offset_s, 8 * query.tempo)
        wanted = onsets(passage, query.rate_hz)
        found = onsets(query.samples, query.rate_hz / query.tempo)
        half = min(len(wanted), len(found)) // 2
        for part in (slice(half), slice(half, 2 * half)):
            assert abs(lag_s(found[part], wanted[part], 200)) <= 0.02


def test_speed_changes_pitch_and_time_together(
    material: ModuleType, tracks: tuple[Path, ...]
) -> None:
    for query in material.queries(tracks, "speed_any", 4.0, 6, 1):
        assert 0.75 <= query.tempo <= 1.5
        assert query.pitch == query.tempo
        back = material.respeed(query.samples, 1 / query.tempo)
        passage = material.track_sound(query.track_path, query.offset_s, 4 * query.tempo)
        size = min(len(back), len(passage))
        assert abs(lag_s(back[:size], passage[:size], query.rate_hz)) < 0.001
        assert snr_db(back[:size], passage[:size]) > 10


def test_a_telephone_leaves_its_band(material: ModuleType) -> None:
    rate, rng = material.RATE_HZ, np.random.default_rng(0)
    heard = material.telephone(rng, material.white(rng, 4 * rate))
    hz, power = signal.welch(heard, rate, nperseg=4096)
    inside = power[(hz > 500) & (hz < 3000)].mean()
    outside = power[(hz < 150) | (hz > 6000)].mean()
    assert 10 * np.log10(inside / outside) > 15


def test_a_room_falls_by_60_db_in_its_time(material: ModuleType) -> None:
    click = np.zeros(material.RATE_HZ, np.float32)
    click[0] = 1
    heard = material.reverberant(np.random.default_rng(0), click, 0.6)
    assert heard[0] == pytest.approx(1)
    level_db = [
        10 * np.log10(np.mean(heard[round(at * 44100) :][:882] ** 2)) for at in (0.01, 0.55)
    ]
    assert level_db[0] - level_db[1] == pytest.approx(54, abs=2)


def test_a_hit_is_the_place_or_one_that_sounds_the_same(
    material: ModuleType, tmp_path: Path
) -> None:
    loop = material.composed(5)[: 6 * material.RATE_HZ]
    path = tmp_path / "looped.wav"
    sound = np.concatenate([loop, loop, material.composed(6)[: 6 * material.RATE_HZ]])
    write_sound(path, sound, rate_hz=material.RATE_HZ)
    query = material.Query(loop, material.RATE_HZ, path, 1.0, 1.0, 1.0, "clean", 4.0)
    assert material.is_hit(query, path, 1.4)
    assert material.is_hit(query, path, 7.0)
    assert not material.is_hit(query, path, 3.0)
    assert not material.is_hit(query, path, 12.5)
    assert not material.is_hit(query, material.COMPOSED / "7", 1.0)


def test_composed_tracks_are_music_of_their_number(material: ModuleType) -> None:
    one, again, other = (material.composed(number) for number in (3, 3, 4))
    assert np.array_equal(one, again)
    assert 55 < len(one) / material.RATE_HZ < 190
    assert len(one) != len(other)
    _, power = signal.welch(one, material.RATE_HZ, nperseg=8192)
    power = power[(np.arange(len(power)) > 10) & (np.arange(len(power)) < 1500)]
    flatness = np.exp(np.mean(np.log(power))) / np.mean(power)
    assert flatness < 0.3  # of white noise: near 1


def test_distractors_are_like_the_tracks_and_none_of_them(
    material: ModuleType, tracks: tuple[Path, ...]
) -> None:
    given = [constellation(material.track_sound(path, 0, 30), material.RATE_HZ) for path in tracks]
    made = list(material.distractors(given, 12, first_number=100, seed=3))
    again = material.distractors(given, 12, first_number=100, seed=3)
    assert [number for number, _ in made] == list(range(100, 112))
    for (_, one), (_, two) in zip(made, again, strict=True):
        assert np.array_equal(one.frames, two.frames)
        assert np.array_equal(one.bins, two.bins)
        places = one.frames.astype(np.int64) << 16 | one.bins
        assert np.all(np.diff(places) > 0)
        assert one.frames[0] >= 0
        assert one.frames[-1] < one.length
        assert 15 < one.duration_s < 60
        assert len(one) / one.duration_s == pytest.approx(40, rel=0.5)
        assert max(shared(one, source) for source in given) < 0.2


def shared(one: Constellation, other: Constellation) -> float:
    """Share of the peaks that stand at the same place, at the best of all shifts."""
    there = set(zip(other.frames.tolist(), other.bins.tolist(), strict=True))
    peaks = list(zip(one.frames.tolist(), one.bins.tolist(), strict=True))
    return max(
        sum((frame + shift, place) in there for frame, place in islice(peaks, 300)) / 300
        for shift in range(-50, 51, 2)
    )
