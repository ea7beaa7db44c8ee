"""Sound at any rate, in blocks or whole, on the video's clock."""

from __future__ import annotations

import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest

from reelscope.errors import UnreadableMedia
from reelscope.media.audio import downmix
from reelscope.media.clip import Clip
from reelscope.testing import media
from reelscope.testing.hostile import mutate

OpenClip = Callable[..., Clip]

SCENES = [media.Scene(2.0)]
STEREO = np.stack([media.tone(2.0, hz=440), media.tone(2.0, hz=1000)], axis=1)


def loudest_hz(samples: np.ndarray, rate_hz: int) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(np.argmax(spectrum)) * rate_hz / len(samples)


def wav(path: Path, samples: np.ndarray, rate_hz: int = 44100, **how: str) -> Path:
    media.write_sound(path, samples, rate_hz=rate_hz, **how)
    return path


@pytest.mark.parametrize("rate_hz", [8000, 16000, 22050, 44100, 48000])
@pytest.mark.parametrize("name", ["v.mp4", "v.mkv", "v.webm", "v.ts", "v.mp3", "v.wav"])
def test_any_rate(rate_hz: int, name: str, tmp_path: Path, open_clip: OpenClip) -> None:
    scenes = () if name in {"v.mp3", "v.wav"} else SCENES
    codec = "libvpx" if name == "v.webm" else "libx264"
    media.write_video(tmp_path / name, scenes, size=(64, 64), sound=STEREO, codec=codec)
    audio = open_clip(tmp_path / name).audio
    mono, stereo = audio.samples(rate_hz), audio.samples(rate_hz, 2)
    assert mono.dtype == stereo.dtype == np.float32
    assert stereo.shape == (len(mono), 2)
    slack = 0.0011 if scenes == () or name == "v.mp4" else 0.05  # others keep encoder padding
    assert len(mono) / rate_hz == pytest.approx(2.0, abs=slack)
    assert len(mono) / rate_hz == pytest.approx(audio.duration_s, abs=0.015)
    middle = slice(rate_hz // 2, 3 * rate_hz // 2)
    assert loudest_hz(stereo[middle, 0], rate_hz) == pytest.approx(440, abs=2)
    assert loudest_hz(stereo[middle, 1], rate_hz) == pytest.approx(1000, abs=2)
    np.testing.assert_allclose(stereo.mean(axis=1), mono, atol=1e-5)
    assert np.sqrt(np.mean(stereo[middle] ** 2)) == pytest.approx(0.3 / 2**0.5, rel=0.05)


@pytest.mark.parametrize("cache_mb", [0, 64])
@pytest.mark.parametrize("block_s", [0.01, 0.5, 1.0, 30.0])
def test_blocks_are_the_whole_in_pieces(
    cache_mb: int, block_s: float, tmp_path: Path, open_clip: OpenClip
) -> None:
    path = wav(tmp_path / "v.mp3", media.noise(3.3, seed=1))
    audio = open_clip(path, cache_mb=cache_mb).audio
    blocks = list(audio.blocks(16000, 1, block_s))
    assert {len(block) for block in blocks[:-1]} <= {round(block_s * 16000)}
    assert 0 < len(blocks[-1]) <= round(block_s * 16000)
    np.testing.assert_array_equal(np.concatenate(blocks)[:, 0], audio.samples(16000))


def test_lossless_sound_comes_back_bit_for_bit(tmp_path: Path, open_clip: OpenClip) -> None:
    rng = np.random.default_rng(0)
    exact = rng.integers(-32768, 32767, (44100, 2)).astype(np.int16)
    path = wav(tmp_path / "v.wav", (exact / 32768).astype(np.float32))
    np.testing.assert_allclose(open_clip(path).audio.samples(44100, 2) * 32768, exact, atol=1)


@pytest.mark.parametrize(
    ("name", "codec", "rate_hz"),
    [
        ("v.m4a", "aac", 44100),
        ("v.m4a", "aac", 8000),  # 1024 samples of priming are 128 ms
        ("v.mp4", "libmp3lame", 44100),
        ("v.mp4", "libopus", 48000),
        ("v.mkv", "aac", 44100),
        ("v.mp3", "libmp3lame", 44100),
        ("v.webm", "libopus", 48000),
        ("v.ogg", "libopus", 48000),
    ],
)
def test_a_sound_alone_begins_where_it_was_begun(
    name: str, codec: str, rate_hz: int, tmp_path: Path, open_clip: OpenClip
) -> None:
    """The encoder's priming is left out, and nothing after it."""
    samples = media.silence(2.0, rate_hz=rate_hz)
    samples[rate_hz : rate_hz + 10] = 0.9
    media.write_video(tmp_path / name, (), sound=samples, sound_rate_hz=rate_hz, sound_codec=codec)
    audio = open_clip(tmp_path / name).audio
    heard = audio.samples(rate_hz)
    assert float(np.argmax(np.abs(heard))) / rate_hz == pytest.approx(1.0, abs=0.002)
    assert audio.duration_s == pytest.approx(2.0, abs=0.03)  # some keep the padding at the end


@pytest.mark.parametrize("name", ["v.mp4", "v.mkv", "v.ts"])
@pytest.mark.parametrize("start_s", [0.0, 0.7])
def test_sound_is_on_the_clock_of_the_pictures(
    name: str, start_s: float, tmp_path: Path, open_clip: OpenClip
) -> None:
    """A click 1 s into the sound is heard where the file says, whenever the sound begins."""
    samples = media.silence(2.0)
    samples[44100:44110] = 0.9
    sound = media.Sound(samples, 44100, start_s=start_s)
    media.write_video(tmp_path / name, SCENES, size=(64, 64), sound=sound)
    clip = open_clip(tmp_path / name)
    heard = clip.audio.samples(44100)
    click_s = float(np.argmax(np.abs(heard))) / 44100
    first_s = clip.frames[0].time_s  # MPEG-TS keeps the encoder's priming before it
    assert click_s - first_s == pytest.approx(1.0 + start_s, abs=0.003)
    before = heard[: max(round((start_s - 0.05) * 44100), 0)]
    assert np.abs(before).max(initial=0.0) == 0.0


def test_a_hole_in_the_sound_is_silence(tmp_path: Path, open_clip: OpenClip, corpus: Path) -> None:
    """The first sound packet of this phone recording stays for 0.18 s and holds 0.02 s."""
    clip = open_clip(corpus / "video" / "fire2.mp4")
    heard = clip.audio.samples(48000)
    assert np.abs(heard[1024:8400]).max() == 0.0
    assert np.abs(heard[8471:12000]).max() > 0.0
    assert len(heard) / 48000 == pytest.approx(clip.audio.duration_s, abs=1e-4)


def test_six_channels_become_two_and_one(tmp_path: Path, open_clip: OpenClip) -> None:
    quiet = media.silence(1.0, rate_hz=48000)
    tones = [media.tone(1.0, hz=hz, rate_hz=48000) for hz in (300, 500, 700)]
    surround = np.stack([*tones, quiet, quiet, quiet], axis=1)  # FL FR FC LFE BL BR
    path = wav(tmp_path / "v.wav", surround, 48000)
    audio = open_clip(path).audio
    assert audio.channels == 6
    assert audio.samples(48000, 6).shape == (48000, 6)
    left, right = audio.samples(48000, 2).T
    for side, own, other in ((left, 300, 500), (right, 500, 300)):
        spectrum = np.abs(np.fft.rfft(side))
        assert spectrum[own] == pytest.approx(spectrum[700] * 2**0.5, rel=0.01)
        assert spectrum[other] < 0.01 * spectrum[own]
    assert np.abs(audio.samples(48000)).max() <= 1.0
    with pytest.raises(ValueError, match="3 channels"):
        audio.blocks(48000, 3)


@pytest.mark.parametrize("channels", [3, 8, 9, 24])
def test_many_channels(channels: int, tmp_path: Path, open_clip: OpenClip) -> None:
    samples = np.random.default_rng(0).integers(-9999, 9999, (2000, channels)).astype("<i2")
    path = tmp_path / "v.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(samples.tobytes())
    audio = open_clip(path).audio
    assert audio.channels == channels
    np.testing.assert_array_equal(audio.samples(8000, channels) * 32768, samples)
    assert audio.samples(16000).shape == (4000,)


def test_downmix_cannot_clip() -> None:
    for speakers in (["FL", "FR", "FC", "LFE", "SL", "SR"], ["FL", "FR", "FC"], ["X"] * 20):
        assert downmix(speakers).sum(axis=0).max() <= 1.0 + 1e-6


def test_one_channel_becomes_two(tmp_path: Path, open_clip: OpenClip) -> None:
    audio = open_clip(wav(tmp_path / "v.wav", media.tone(0.5))).audio
    stereo = audio.samples(44100, 2)
    np.testing.assert_array_equal(stereo[:, 0], stereo[:, 1])


def test_a_stream_that_changes_its_kind(tmp_path: Path, open_clip: OpenClip) -> None:
    """44.1 kHz mono, then 22.05 kHz stereo, in one MP3: heard on, at the first one's rate."""
    first = wav(tmp_path / "a.mp3", media.tone(2.0, hz=440))
    second = wav(tmp_path / "b.mp3", np.repeat(media.tone(2.0, hz=880)[::2, None], 2, 1), 22050)
    path = tmp_path / "both.mp3"
    path.write_bytes(first.read_bytes() + second.read_bytes())
    heard = open_clip(path).audio.samples(44100)
    assert len(heard) / 44100 == pytest.approx(4.0, abs=0.15)
    assert loudest_hz(heard[44100:66150], 44100) == pytest.approx(440, abs=3)
    assert loudest_hz(heard[-66150:-44100], 44100) == pytest.approx(880, abs=3)


def test_damaged_sound_is_counted_and_the_rest_is_had(tmp_path: Path, open_clip: OpenClip) -> None:
    path = tmp_path / "v.mp4"
    media.write_video(path, (), sound=media.noise(4.0, seed=3))
    data = bytearray(path.read_bytes())
    start = data.index(b"mdat") + 4
    rng = np.random.default_rng(0)
    for place in rng.integers(start + 8000, start + 16000, 300):
        data[place] ^= 0xFF
    path.write_bytes(bytes(data))
    clip = open_clip(path)
    check = clip.audio.check()
    assert check.bad > 0
    assert check.first_error is not None
    heard = clip.audio.samples(16000)
    assert len(heard) / 16000 == pytest.approx(4.0, abs=0.1)  # lost packets leave silence
    assert np.sqrt(np.mean(heard[-16000:] ** 2)) > 0.03


@pytest.mark.parametrize("rate_hz", [1, 0, 2_000_000_000])
def test_absurd_rates_are_refused(rate_hz: int, tmp_path: Path, open_clip: OpenClip) -> None:
    path = wav(tmp_path / "v.wav", media.tone(0.2))
    data = bytearray(path.read_bytes())
    data[24:28] = rate_hz.to_bytes(4, "little")
    path.write_bytes(bytes(data))
    with pytest.raises(UnreadableMedia):
        open_clip(path).audio.samples(16000)


def test_no_sound_is_said(tmp_path: Path, open_clip: OpenClip) -> None:
    media.write_video(tmp_path / "v.mp4", SCENES, size=(64, 64))
    clip = open_clip(tmp_path / "v.mp4")
    skipped = clip.missing_audio()
    assert skipped is not None
    assert "no audio" in skipped.reason
    with pytest.raises(UnreadableMedia, match="no audio"):
        clip.audio.samples(16000)


@pytest.mark.slow
def test_an_hour_is_streamed_in_little_memory(tmp_path: Path, open_clip: OpenClip) -> None:
    path = tmp_path / "v.mp3"
    minute = wav(tmp_path / "minute.mp3", media.noise(60.0, kind="pink")).read_bytes()
    path.write_bytes(minute * 60)
    audio = open_clip(path).audio
    before, heard, most = psutil.Process().memory_info().rss, 0, 0
    for block in audio.blocks(16000):
        heard += len(block)
        most = max(most, psutil.Process().memory_info().rss)
    assert heard / 16000 == pytest.approx(3600, abs=5)
    assert most - before < 60_000_000


def test_real_speech_is_heard(corpus: Path, open_clip: OpenClip) -> None:
    flac = open_clip(corpus / "speech" / "jfk.flac").audio
    assert flac.duration_s == pytest.approx(11.0, abs=0.01)
    assert len(flac.samples(16000)) == pytest.approx(176000, abs=10)


def test_a_timestamp_that_claims_days_is_not_filled_with_silence(
    open_clip: OpenClip, corpus: Path, tmp_path: Path
) -> None:
    damaged = mutate((corpus / "video" / "chaplin.mp4").read_bytes(), 21818)
    (tmp_path / "v.mp4").write_bytes(damaged)
    clip = open_clip(tmp_path / "v.mp4")
    assert clip.audio.duration_s > 100_000, "the file claims days"
    assert 9 < sum(len(block) for block in clip.audio.blocks(16000)) / 16000 < 11
