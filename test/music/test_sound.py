"""Sound of a file on the file's own clock: its start is where the encoder was given it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from reelscope.errors import UnreadableMedia
from reelscope.media.info import read_info
from reelscope.music.sound import read_sound, sound_blocks
from reelscope.testing import media

BURSTS_S = (0.05, 1.0, 2.5)


def bursts(rate_hz: int) -> np.ndarray:
    """Three short bursts of noise in 3 s of silence: codecs keep them where they are."""
    samples = np.zeros(3 * rate_hz, np.float32)
    rng, length = np.random.default_rng(1), round(0.03 * rate_hz)
    for at_s in BURSTS_S:
        noise = 0.3 * rng.standard_normal(length) * np.hanning(length)
        samples[round(at_s * rate_hz) :][:length] = noise.clip(-1, 1)
    return samples


def later_s(given: np.ndarray, heard: np.ndarray, rate_hz: int) -> float:
    """By how much one sound is later than the other: the best cross-correlation."""
    size = 2 ** int(np.ceil(np.log2(len(given) + len(heard))))
    both = np.fft.irfft(np.fft.rfft(heard, size) * np.conj(np.fft.rfft(given, size)))
    at = int(np.argmax(both))
    return (at - size if at > size // 2 else at) / rate_hz


@pytest.mark.parametrize(
    ("name", "codec", "rate_hz", "pictures"),
    [
        ("v.m4a", "aac", 44100, None),
        ("v.m4a", "aac", 48000, None),
        ("v.m4a", "aac", 8000, None),  # 1024 samples of priming are 128 ms
        ("v.mp4", "aac", 44100, None),
        ("v.mp4", "aac", 44100, "libx264"),
        ("v.mov", "aac", 44100, "libx264"),
        ("v.mp4", "libmp3lame", 44100, None),
        ("v.mp4", "libopus", 48000, None),
        ("v.mkv", "aac", 44100, None),
        ("v.mkv", "aac", 44100, "libx264"),
        ("v.mp3", "libmp3lame", 44100, None),
        ("v.mp3", "libmp3lame", 16000, None),
        ("v.webm", "libopus", 48000, None),
        ("v.webm", "libopus", 48000, "libvpx"),
        ("v.ogg", "libopus", 48000, None),
        ("v.ogg", "flac", 44100, None),
        ("v.flac", "flac", 44100, None),
    ],
)
def test_a_sound_begins_where_it_was_begun(
    name: str, codec: str, rate_hz: int, pictures: str | None, tmp_path: Path
) -> None:
    given = bursts(rate_hz)
    media.write_video(
        tmp_path / name,
        [media.Scene(3.0)] if pictures else [],
        size=(64, 64),
        fps=5,
        codec=pictures or "libx264",
        sound=given,
        sound_rate_hz=rate_hz,
        sound_codec=codec,
    )
    heard = read_sound(tmp_path / name, rate_hz)
    assert later_s(given, heard, rate_hz) == pytest.approx(0, abs=0.002)
    slack_s = max(0.03, 1024 / rate_hz)  # some keep the encoder's padding at the end
    assert len(heard) / rate_hz == pytest.approx(3.0, abs=slack_s)
    assert len(heard) >= len(given) - 0.0015 * rate_hz  # Matroska counts milliseconds
    assert read_info(tmp_path / name).duration_s == pytest.approx(3.0, abs=slack_s)


def test_its_first_seconds_are_its_beginning(tmp_path: Path) -> None:
    media.write_sound(tmp_path / "v.wav", bursts(8000), rate_hz=8000)
    whole = read_sound(tmp_path / "v.wav", 8000)
    blocks = list(sound_blocks(tmp_path / "v.wav", 8000, block_s=0.7))
    np.testing.assert_array_equal(np.concatenate(blocks), whole)
    for most_s in (0.0, 0.5, 2.9, 10.0):
        first = read_sound(tmp_path / "v.wav", 8000, most_s=most_s)
        np.testing.assert_array_equal(first, whole[: round(most_s * 8000)])


def test_a_film_without_sound_has_none(tmp_path: Path) -> None:
    media.write_video(tmp_path / "v.mp4", [media.Scene(0.5)], size=(64, 64))
    with pytest.raises(UnreadableMedia, match=r"v\.mp4: there is no sound in it"):
        read_sound(tmp_path / "v.mp4", 8000)
