"""Chromaprint: ours is fpcalc's, whoever is asked, and bad sounds get clear answers."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import wave
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from reelscope.errors import EngineUnavailable, UnreadableMedia
from reelscope.media.container import never
from reelscope.music import chromaprint as module
from reelscope.music.chromaprint import available, chromaprint
from reelscope.music.chromaprint_items import DELAY_S, HOP, RATE_HZ, Items, items_of
from reelscope.music.chromaprint_sound import FORM
from reelscope.music.sound import _careful, _quick, open_sound, pieces
from reelscope.testing.sounds import music_like, noise, silence, tone

GOLDEN = Path(__file__).parent / "chromaprint_golden.json"

needs_fpcalc = pytest.mark.skipif(
    shutil.which("fpcalc") is None, reason="fpcalc (libchromaprint-tools) is not installed"
)
needs_library = pytest.mark.skipif(
    "libchromaprint" not in available(), reason="libchromaprint or pyacoustid is not installed"
)


def melody(seconds: int, rate_hz: int, *, channels: int, seed: int) -> NDArray[np.int16]:
    """(n, channels) of saw-tooths whose notes change: whole numbers, the same everywhere."""
    count, state = seconds * rate_hz, seed
    total = np.zeros((count, channels), np.int64)
    ticks = np.arange(count, dtype=np.int64)
    for voice in range(3):
        for start in range(0, count, rate_hz * (voice + 1) // 4):
            state = (state * 1103515245 + 12345) % 2**31
            step = (110 + state // 65536 % 660) * 65536 // rate_hz
            end = min(start + rate_hz * (voice + 1) // 4, count)
            wave_ = (ticks[start:end] * step % 65536 - 32768) // 5
            total[start:end, voice % channels] += wave_
    return total.astype(np.int16)


def write_wav(path: Path, samples: NDArray[np.int16], rate_hz: int) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1 if samples.ndim == 1 else samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(samples.astype("<i2").tobytes())
    return path


def write_float(path: Path, samples: NDArray[np.float32], rate_hz: int = 44100) -> Path:
    return write_wav(path, np.asarray(samples * 32767, np.int16), rate_hz)


def by_fpcalc(path: Path) -> NDArray[np.uint32]:
    command = ["fpcalc", "-raw", "-json", "-length", "0", str(path)]
    # it ends with 3 on a WAV file that it has read to its end
    done = subprocess.run(command, capture_output=True, check=False)
    return np.array(json.loads(done.stdout)["fingerprint"], np.int64).astype(np.uint32)


def differing_bits(one: NDArray[np.uint32], other: NDArray[np.uint32]) -> float:
    return float(np.bitwise_count(one ^ other).mean() / 32)


CASES: Sequence[tuple[str, int, int, int]] = [
    ("mono_11025", 11025, 1, 1),
    ("stereo_44100", 44100, 2, 2),
    ("mono_8000", 8000, 1, 3),
    ("stereo_48000", 48000, 2, 4),
]


@pytest.mark.parametrize(("name", "rate_hz", "channels", "seed"), CASES)
def test_equals_what_fpcalc_said_once(
    tmp_path: Path, name: str, rate_hz: int, channels: int, seed: int
) -> None:
    path = write_wav(tmp_path / "a.wav", melody(12, rate_hz, channels=channels, seed=seed), rate_hz)
    said = np.array(json.loads(GOLDEN.read_text())[name], np.uint32)
    found = chromaprint(path, "own")
    assert found.engine == "own"
    assert len(found.items) == len(said) > 70
    assert (found.items == said).mean() >= 0.98, "another FFT may round one threshold away"
    assert differing_bits(found.items, said) < 0.001
    assert found.duration_s == pytest.approx(12.0, abs=0.01)


@needs_fpcalc
@pytest.mark.parametrize(("name", "rate_hz", "channels", "seed"), CASES)
def test_the_golden_is_what_fpcalc_says(
    tmp_path: Path, name: str, rate_hz: int, channels: int, seed: int
) -> None:
    path = write_wav(tmp_path / "a.wav", melody(12, rate_hz, channels=channels, seed=seed), rate_hz)
    assert by_fpcalc(path).tolist() == json.loads(GOLDEN.read_text())[name]


@needs_library
@pytest.mark.parametrize("kind", ["music", "noise", "tone", "silence"])
def test_ours_is_the_library_s_on_synthetic_sounds(tmp_path: Path, kind: str) -> None:
    sound = {
        "music": music_like(20, seed=3),
        "noise": noise(20, seed=4),
        "tone": tone(20),
        "silence": silence(20),
    }[kind]
    path = write_float(tmp_path / "a.wav", sound)
    ours, theirs = chromaprint(path, "own"), chromaprint(path, "libchromaprint")
    assert theirs.engine == "libchromaprint"
    assert len(ours.items) == len(theirs.items)
    assert differing_bits(ours.items, theirs.items) < 0.001


@needs_library
@pytest.mark.slow
def test_ours_is_the_library_s_on_real_music(corpus: Path) -> None:
    equal, count = 0, 0
    for path in sorted((corpus / "music").glob("*.ogg")):
        ours, theirs = chromaprint(path, "own").items, chromaprint(path, "libchromaprint").items
        assert len(ours) == len(theirs), path.name
        equal += int((ours == theirs).sum())
        count += len(ours)
    assert equal / count > 0.999


@needs_fpcalc
@pytest.mark.slow
def test_ours_is_fpcalc_s_on_real_music(corpus: Path) -> None:
    equal, wrong, count = 0, 0, 0
    for path in sorted((corpus / "music").glob("*.ogg")):
        ours, theirs = chromaprint(path, "own").items, by_fpcalc(path)
        assert abs(len(ours) - len(theirs)) <= 1, path.name
        shared = min(len(ours), len(theirs))
        different = ours[:shared] ^ theirs[:shared]
        equal += int((different == 0).sum())
        wrong += int(np.bitwise_count(different).sum())
        count += shared
    assert equal / count > 0.998
    assert wrong / count / 32 < 1e-4


@pytest.mark.parametrize("engine", module.ENGINES)
def test_each_engine_or_a_clear_no(
    tmp_path: Path, engine: module.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_float(tmp_path / "-a 'b\"\n.wav", music_like(6))
    if engine in available():
        found = chromaprint(path, engine)
        assert found.engine == engine
        assert differing_bits(found.items, chromaprint(path, "own").items) < 0.002
        assert found.duration_s == pytest.approx(6.0, abs=0.01)
    else:
        with pytest.raises(EngineUnavailable, match="not installed"):
            chromaprint(path, engine)


def test_without_path_and_library_we_speak_ourselves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert "fpcalc" not in available()
    assert available()[-1] == "own"


def test_pieces_of_any_size_give_the_same_items() -> None:
    samples = melody(20, RATE_HZ, channels=1, seed=9)[:, 0]
    whole = items_of(samples)
    for size in (1000, 4096, 70_001):
        items = Items()
        for start in range(0, len(samples), size):
            items.feed(samples[start : start + size])
        assert np.array_equal(items.finish(), whole)
    assert len(whole) == (len(samples) / RATE_HZ - DELAY_S) * RATE_HZ // HOP + 1


@pytest.mark.parametrize("seconds", [0.2, 1.0, 2.71])
def test_too_short_a_sound_has_no_items(tmp_path: Path, seconds: float) -> None:
    path = write_float(tmp_path / "a.wav", music_like(seconds))
    for engine in available():
        found = chromaprint(path, engine)
        assert len(found.items) == 0
        assert found.duration_s == pytest.approx(seconds, abs=0.01)


@pytest.mark.parametrize("sound", [silence(8), tone(8, hz=1000.0)], ids=["silence", "sine"])
def test_what_does_not_change_is_one_item_again_and_again(
    tmp_path: Path, sound: NDArray[np.float32]
) -> None:
    items = chromaprint(write_float(tmp_path / "a.wav", sound), "own").items
    assert len(np.unique(items)) <= 3


@pytest.mark.slow
@pytest.mark.parametrize("rate_hz", [8000, 22050, 96000, 192000])
def test_any_rate_hears_the_same(tmp_path: Path, rate_hz: int) -> None:
    # 3 kHz and less is in all of them; what is above 3.5 kHz does not count
    plain = chromaprint(write_float(tmp_path / "a.wav", music_like(12, seed=5)), "own").items
    resampled = np.asarray(
        np.interp(np.arange(12 * rate_hz) / rate_hz, np.arange(12 * 44100) / 44100,
                  music_like(12, seed=5)), np.float32
    )  # fmt: skip
    found = chromaprint(write_float(tmp_path / "b.wav", resampled, rate_hz), "own").items
    shared = min(len(found), len(plain))
    assert abs(len(found) - len(plain)) <= 1
    assert differing_bits(found[:shared], plain[:shared]) < 0.15


def test_six_channels_hear_the_same_as_one(tmp_path: Path) -> None:
    mono = np.asarray(music_like(12, seed=5) * 32767, np.int16)
    plain = chromaprint(write_wav(tmp_path / "a.wav", mono, 44100), "own").items
    six = np.repeat(mono[:, None] // 4, 6, axis=1)
    found = chromaprint(write_wav(tmp_path / "b.wav", six, 44100), "own")
    assert found.facts.channels == 6
    assert differing_bits(found.items, plain) < 0.05


@pytest.mark.parametrize("content", [b"", b"not a sound at all" * 100, b"#EXTM3U\nhttp://a/b.ts\n"])
def test_no_media_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.mp3"
    path.write_bytes(content)
    for engine in available():
        with pytest.raises(UnreadableMedia):
            chromaprint(path, engine)


def test_a_damaged_file_gives_what_can_be_heard(tmp_path: Path) -> None:
    path = encoded(tmp_path / "a.mp3", music_like(20, seed=7), "mp3")
    whole = chromaprint(path, "own").items
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 2000] = b"\xff" * 2000
    path.write_bytes(data)
    items = chromaprint(path, "own").items
    assert len(items) > 100
    assert np.array_equal(items[:60], whole[:60])


@pytest.mark.parametrize(("codec", "suffix"), [("mp3", "mp3"), ("aac", "m4a"), ("flac", "flac")])
def test_bytes_changed_anywhere_give_a_fingerprint_or_a_clear_no(
    tmp_path: Path, codec: str, suffix: str
) -> None:
    whole = encoded(tmp_path / f"a.{suffix}", music_like(6, seed=7), codec).read_bytes()
    rng = np.random.default_rng(6)
    damaged = tmp_path / f"b.{suffix}"
    for _ in range(40):
        data = bytearray(whole[: int(rng.integers(100, len(whole) + 1))])
        for place in rng.integers(0, len(data), int(rng.choice([1, 10, 200]))):
            data[place] = int(rng.integers(256))
        damaged.write_bytes(data)
        with contextlib.suppress(UnreadableMedia):
            assert chromaprint(damaged, "own").duration_s > 0


@pytest.mark.slow
def test_both_ways_of_decoding_give_the_same_samples(tmp_path: Path) -> None:
    for codec, suffix in (("mp3", "mp3"), ("aac", "m4a"), ("flac", "flac"), ("libopus", "ogg")):
        path = encoded(tmp_path / f"a.{suffix}", music_like(15, seed=8), codec)
        way = open_sound(path)
        assert way.fast
        quick = np.concatenate(list(_quick(path, way, FORM)))
        careful = np.concatenate(list(_careful(path, FORM, never)))
        assert np.array_equal(quick, careful), codec


def test_a_name_that_is_no_utf8_is_read_the_careful_way(tmp_path: Path) -> None:
    plain = write_float(tmp_path / "a.wav", music_like(5))
    odd = tmp_path / "\udcff.wav"
    odd.write_bytes(plain.read_bytes())
    assert np.array_equal(chromaprint(odd, "own").items, chromaprint(plain, "own").items)


def test_reading_can_be_stopped(tmp_path: Path) -> None:
    path = write_float(tmp_path / "a.wav", music_like(20))
    calls = 0

    def stop() -> None:
        nonlocal calls
        calls += 1
        if calls > 2:
            raise TimeoutError

    with pytest.raises(TimeoutError):
        list(pieces(path, open_sound(path), FORM, check_time=stop))


def encoded(
    path: Path, samples: NDArray[np.float32], codec: str, bit_rate: int | None = None
) -> Path:
    """A file with this sound, by FFmpeg's encoder."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=48000 if codec == "libopus" else 44100)
        stream.layout = "mono"
        if bit_rate:
            stream.bit_rate = bit_rate
        frame = av.AudioFrame.from_ndarray(samples[None, :], format="flt", layout="mono")
        frame.sample_rate = 44100
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            container.mux(packet)
    return path
