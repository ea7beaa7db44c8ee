"""Loudness against the EBU's own test signals, the ffmpeg program, and its own invariants."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from reelscope.audio.loudness import Steps, k_weighting, measure

CORPUS = Path(__file__).resolve().parents[3] / "shared" / "corpus"
RATE = 48000
Sound = NDArray[np.float32]


def sine(
    seconds: float,
    dbfs: float,
    *,
    hz: float = 1000.0,
    rate_hz: int = RATE,
    channels: int = 2,
    phase_deg: float = 0.0,
) -> Sound:
    t = np.arange(round(seconds * rate_hz)) / rate_hz
    one = 10 ** (dbfs / 20) * np.sin(2 * np.pi * hz * t + np.radians(phase_deg))
    return np.repeat(one[:, None], channels, axis=1).astype(np.float32)


def steps(*parts: tuple[float, float]) -> Sound:
    return np.concatenate([sine(seconds, dbfs) for seconds, dbfs in parts])


def test_k_weighting_is_the_table_of_the_standard_at_48_khz() -> None:
    table = [
        [1.53512485958697, -2.69169618940638, 1.19839281085285],
        [1.0, -1.69065929318241, 0.73248077421585],
        [1.0, -2.0, 1.0],
        [1.0, -1.99004745483398, 0.99007225036621],
    ]
    np.testing.assert_allclose(k_weighting(RATE).reshape(4, 3), table, atol=1e-8)


@pytest.mark.parametrize(
    ("sound", "expected_lufs"),
    [
        (sine(20, -23), -23.0),
        (sine(20, -33), -33.0),
        (steps((10, -36), (60, -23), (10, -36)), -23.0),
        (steps((10, -72), (10, -36), (60, -23), (10, -36), (10, -72)), -23.0),
        (steps((20, -26), (20.1, -20), (20, -26)), -23.0),
        (
            np.hstack([sine(20, db, channels=1) for db in (-28, -28, -24, -30, -30)]),
            -23.0,
        ),
    ],
    ids=["1", "2", "3", "4", "5", "6"],
)
def test_integrated_loudness_of_tech_3341(sound: Sound, expected_lufs: float) -> None:
    assert measure([sound], RATE).integrated_lufs == pytest.approx(expected_lufs, abs=0.1)


@pytest.mark.parametrize(
    ("levels_dbfs", "expected_lu"),
    [
        ((-20, -30), 10),
        ((-20, -15), 5),
        ((-40, -20), 20),
        ((-50, -35, -20, -35, -50), 15),
    ],
)
def test_loudness_range_of_tech_3342(levels_dbfs: tuple[int, ...], expected_lu: int) -> None:
    sound = steps(*((20.0, float(level)) for level in levels_dbfs))
    # the standard grants 1 LU
    assert measure([sound], RATE).range_lu == pytest.approx(expected_lu, abs=0.1)


@pytest.mark.parametrize(
    ("part_of_rate", "phase_deg", "amplitude", "expected_dbtp"),
    [(4, 0, 0.5, -6), (4, 45, 0.5, -6), (6, 60, 0.5, -6), (8, 67.5, 0.5, -6), (4, 45, 1.41, 3)],
    ids=["15", "16", "17", "18", "19"],
)
@pytest.mark.parametrize("rate_hz", [44100, 48000, 96000])
def test_true_peak_of_tech_3341(
    part_of_rate: int, phase_deg: float, amplitude: float, expected_dbtp: float, rate_hz: int
) -> None:
    level = 20 * np.log10(amplitude)
    tone = sine(0.5, level, hz=rate_hz / part_of_rate, rate_hz=rate_hz, phase_deg=phase_deg)
    ramp = np.minimum(1, np.arange(len(tone)) / (0.1 * rate_hz))  # no click at either end
    sound = tone * (ramp * ramp[::-1])[:, None].astype(np.float32)
    found = measure([sound], rate_hz).true_peak_dbtp
    assert found is not None
    assert -0.4 <= found - expected_dbtp <= 0.2


@pytest.mark.parametrize("offset", range(4), ids=["20", "21", "22", "23"])
def test_true_peak_of_a_single_period_between_the_samples(offset: int) -> None:
    """Tech 3341 cases 20-23: made at four times the rate, one louder period, decimated."""
    fine = np.sin(np.pi / 2 * np.arange(4 * 4800) / 4) * 0.5
    fine[9600 : 9600 + 16] *= 2
    spectrum = np.fft.rfft(fine)
    spectrum[len(fine) // 8 :] = 0  # nothing above half of the final rate
    sound = np.fft.irfft(spectrum)
    found = measure([sound[offset::4, None].astype(np.float32)], RATE).true_peak_dbtp
    expected = 20 * np.log10(np.abs(sound).max())
    assert found == pytest.approx(expected, abs=0.2)


@pytest.mark.parametrize("rate_hz", [8000, 11025, 16000, 22050, 44100, 96000, 192000])
def test_every_rate_reads_the_same(rate_hz: int) -> None:
    found = measure([sine(5, -20, rate_hz=rate_hz)], rate_hz)
    assert found.integrated_lufs == pytest.approx(-20, abs=0.1)
    assert found.true_peak_dbtp == pytest.approx(-20, abs=0.1)


@pytest.mark.parametrize(
    ("channels", "expected_lufs"),
    [(1, -26.0), (2, -23.0), (3, -21.25), (6, -18.36), (8, -17.08)],
)
def test_channels_are_weighted(channels: int, expected_lufs: float) -> None:
    found = measure([sine(3, -23, channels=channels)], RATE)
    assert found.integrated_lufs == pytest.approx(expected_lufs, abs=0.1)


@pytest.mark.parametrize(
    ("sound", "has"),
    [
        (np.zeros((0, 2)), (False, False, False)),
        (np.zeros((RATE * 4, 2)), (False, False, False)),
        (np.full((RATE * 4, 1), np.nan), (False, False, False)),
        (sine(0.02, -6), (False, False, True)),
        (sine(0.5, -6), (True, False, True)),
        (sine(4, -80), (False, False, True)),
        (sine(4, -6), (True, True, True)),
    ],
    ids=["nothing", "silent", "nan", "0.02 s", "0.5 s", "below the gate", "all"],
)
def test_what_cannot_be_known_is_none(sound: Sound, has: tuple[bool, bool, bool]) -> None:
    found = measure([sound.astype(np.float32)], RATE)
    assert tuple(value is not None for value in found.model_dump().values()) == has


def test_broken_samples_are_taken_as_silence() -> None:
    sound = sine(4, -20)
    holed = sound.copy()
    holed[5000:5005] = np.nan
    holed[9000, 0], holed[9001, 1] = np.inf, -np.inf
    found, whole = measure([holed], RATE), measure([sound], RATE)
    assert found.integrated_lufs == pytest.approx(whole.integrated_lufs, abs=0.05)


def test_constant_offset_is_not_loud() -> None:
    """The high pass takes it out but for the step at the beginning, as the standard has it."""
    found = measure([np.full((RATE * 20, 1), 0.5, np.float32)], RATE)
    assert found.true_peak_dbtp is not None
    assert found.integrated_lufs is None or found.integrated_lufs < -23


@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(0, 40000), max_size=6), rate_hz=st.sampled_from([8000, 11025]))
def test_the_size_of_the_blocks_does_not_matter(cuts: list[int], rate_hz: int) -> None:
    rng = np.random.default_rng(7)
    sound = rng.normal(0, 0.1, (40000, 2)).astype(np.float32)
    whole = measure([sound], rate_hz)
    split = measure(np.split(sound, sorted(cuts)), rate_hz)
    assert split.true_peak_dbtp == pytest.approx(whole.true_peak_dbtp, abs=1e-4)
    assert split.integrated_lufs == pytest.approx(whole.integrated_lufs, abs=1e-5)
    assert split.range_lu == pytest.approx(whole.range_lu, abs=1e-5)


@settings(max_examples=25, deadline=None)
@given(gain_db=st.floats(-20, 20), seed=st.integers(0, 99))
def test_gain_moves_the_level_and_not_the_range(gain_db: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    swell = np.linspace(0.05, 0.3, 5 * 8000)[:, None]
    sound = (rng.normal(0, 1, (5 * 8000, 1)) * swell).astype(np.float32)
    before = measure([sound], 8000)
    after = measure([sound * np.float32(10 ** (gain_db / 20))], 8000)
    assert None not in (before.integrated_lufs, before.true_peak_dbtp, before.range_lu)
    for name, shift in (("integrated_lufs", gain_db), ("true_peak_dbtp", gain_db), ("range_lu", 0)):
        assert getattr(after, name) == pytest.approx(getattr(before, name) + shift, abs=1e-3)


def test_true_peak_is_never_below_the_samples_and_finds_what_lies_between() -> None:
    rng = np.random.default_rng(3)
    spectrum = np.fft.rfft(rng.normal(0, 0.2, (20000, 2)), axis=0)
    spectrum[len(spectrum) * 20 // 24 :] = 0  # nothing above 20 kHz
    sound = np.fft.irfft(spectrum, axis=0)
    fine = np.fft.irfft(spectrum, 32 * len(sound), axis=0) * 32
    found = measure([sound.astype(np.float32)], RATE).true_peak_dbtp
    assert found is not None
    assert found >= 20 * np.log10(np.abs(sound).max())
    assert found == pytest.approx(20 * np.log10(np.abs(fine).max()), abs=0.2)


# ------------------------------------------------------------------ against another program


def decode(path: Path) -> tuple[Sound, int]:
    """All of the sound at its own rate and channels, float32 (n, channels)."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        resampler = av.AudioResampler("fltp", rate=stream.rate)
        frames = [f for packet in container.decode(stream) for f in resampler.resample(packet)]
        frames += resampler.resample(None)
        return np.concatenate([f.to_ndarray() for f in frames], axis=1).T, int(stream.rate)


def ffmpeg_loudness(path: Path) -> dict[str, float]:
    imageio_ffmpeg = pytest.importorskip("imageio_ffmpeg")
    call = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-nostats", "-i", str(path), "-vn"]
    call += ["-filter_complex", "ebur128=peak=true", "-f", "null", "-"]
    done = subprocess.run(call, capture_output=True, text=True, check=True).stderr
    summary = done[done.rindex("Summary:") :]
    return {
        key: float(re.search(rf"{key}:\s+(\S+)", summary)[1])  # type: ignore[index]
        for key in ("I", "LRA", "Peak")
    }


@pytest.mark.parametrize(
    "name",
    [
        "Kevin_MacLeod_-_Vibe_Ace.hq.ogg",  # stereo
        "18_-_Nighttide_Waltz.ogg",  # mono, wide range
        "HHavok-intro.ogg",  # loud
    ],
)
def test_real_music_reads_as_in_ffmpeg(name: str) -> None:
    path = CORPUS / "music" / name
    if not path.exists():
        pytest.skip("the corpus is not here")
    sound, rate_hz = decode(path)
    found, theirs = measure(np.array_split(sound, 5), rate_hz), ffmpeg_loudness(path)
    assert found.integrated_lufs == pytest.approx(theirs["I"], abs=0.1)
    assert found.range_lu == pytest.approx(theirs["LRA"], abs=0.2)
    assert found.true_peak_dbtp == pytest.approx(theirs["Peak"], abs=0.2)


@pytest.mark.parametrize("rate_hz", [8000, 11025, 44100])
def test_steps_hold_one_mean_each_whatever_the_pieces(rate_hz: int) -> None:
    values = np.random.default_rng(1).random((rate_hz * 3 + 7, 2))
    steps = Steps(rate_hz, 20)
    for piece in np.array_split(values, 13):
        steps.add(piece)
    assert steps.means().shape == (60, 2)
    assert len(steps.means(unfinished=True)) == 61
    np.testing.assert_allclose(steps.means(unfinished=True)[-1], values[-7:].mean(axis=0))
    for i in (0, 17, 59):
        inside = values[-(-i * rate_hz // 20) : -(-(i + 1) * rate_hz // 20)]
        np.testing.assert_allclose(steps.means()[i], inside.mean(axis=0))
