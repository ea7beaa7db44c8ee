"""faster-whisper on tiny weights in CTranslate2's own format."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from reelscope.audio.transcribe import Heard, Sound
from reelscope.engines.faster_whisper import FasterWhisper, spectrograms
from reelscope.engines.pool import ModelPool
from reelscope.engines.weights import WeightStore, installed
from reelscope.engines.whisper import padded
from reelscope.errors import EngineUnavailable
from reelscope.testing.sounds import noise
from reelscope.testing.speech import speech_like
from reelscope.testing.whisper import write_faster_whisper

pytestmark = pytest.mark.slow

pytest.importorskip("faster_whisper")
RATE_HZ = 16000


def speech(seconds: float, *, video: int = 0, seed: int = 0) -> Sound:
    samples, _ = speech_like(seconds, rate_hz=RATE_HZ, seed=seed)
    return Sound(samples.astype(np.float32), video)


@pytest.fixture(scope="module")
def engine(whisper_weights: Path) -> Iterator[FasterWhisper]:
    one = FasterWhisper("tiny", WeightStore(whisper_weights), ModelPool())
    one.open()
    yield one
    one.close()


def sane(heard: Heard, duration_s: float) -> None:
    times = [t for s in heard.segments for w in s.words for t in (w.start_s, w.end_s)]
    assert times == sorted(times)
    assert all(0 <= time_s <= duration_s for time_s in times)
    for segment in heard.segments:
        assert segment.text == segment.text.strip() != ""
        assert " ".join(word.text for word in segment.words) == segment.text
        assert segment.tokens > 0
        assert segment.avg_logprob is not None and segment.avg_logprob < 0
        assert all(word.probability is not None for word in segment.words)


def test_sounds_of_several_videos_give_words_with_times(engine: FasterWhisper) -> None:
    lengths = (0.3, 2.0, 7.9, 29.9)
    heard = engine.transcribe([speech(s, video=i, seed=i) for i, s in enumerate(lengths)])
    for found, length in zip(heard, lengths, strict=True):
        assert found.language == "en"
        assert found.language_probability == pytest.approx(1.0)
        assert found.segments
        sane(found, length)


def test_a_short_sound_gives_the_same_alone_and_among_others(engine: FasterWhisper) -> None:
    one = speech(6.0, video=1, seed=5)
    (alone,) = engine.transcribe([one])
    others = [speech(20.0, video=2 + i, seed=i) for i in range(5)]
    among = engine.transcribe([*others[:2], one, *others[2:]])[2]
    assert [s.text for s in among.segments] == [s.text for s in alone.segments]
    for a, b in zip(among.segments, alone.segments, strict=True):
        assert [w.start_s for w in a.words] == [w.start_s for w in b.words]
        assert a.avg_logprob == pytest.approx(b.avg_logprob, abs=1e-3)


def test_the_same_words_as_the_package_itself(engine: FasterWhisper, whisper_weights: Path) -> None:
    from faster_whisper import WhisperModel

    sound = speech(30.0, seed=3)  # shorter ones it fills up with zeros in the spectrogram
    (heard,) = engine.transcribe([sound])
    folder = whisper_weights / "faster-whisper-tiny"
    model = WhisperModel(str(folder), device="cpu", compute_type="int8", local_files_only=True)
    segments, info = model.transcribe(
        sound.samples, temperature=0.0, condition_on_previous_text=False, word_timestamps=True
    )
    theirs = list(segments)
    assert info.language == heard.language
    assert [s.text.strip() for s in theirs] == [s.text for s in heard.segments]
    assert theirs[0].avg_logprob == pytest.approx(heard.segments[0].avg_logprob, abs=1e-3)


@pytest.mark.parametrize("level", [0.0, 1e-6, 1.0, 50.0])
def test_silence_noise_and_clipping_raise_nothing(engine: FasterWhisper, level: float) -> None:
    samples = np.clip(noise(2.0, rate_hz=RATE_HZ) * level, -1, 1).astype(np.float32)
    for heard in engine.transcribe([Sound(samples, 0), Sound(samples[:10], 1)]):
        assert len(heard.segments) <= 3


def test_it_says_what_it_is(whisper_weights: Path) -> None:
    store = WeightStore(whisper_weights)
    engine = FasterWhisper("tiny", store, ModelPool())
    assert engine.engine == f"faster-whisper {installed('faster-whisper')} tiny by hand"
    exact = FasterWhisper("tiny", store, ModelPool(), compute_type="float32")
    assert exact.engine == f"{engine.engine} float32"
    exact.open()
    (heard,) = exact.transcribe([speech(3.0)])
    sane(heard, 3.0)
    exact.close()


def test_a_model_of_english_alone(tmp_path: Path) -> None:
    write_faster_whisper(tmp_path, "faster-whisper-tiny.en")
    engine = FasterWhisper("tiny.en", WeightStore(tmp_path), ModelPool())
    engine.open()
    (heard,) = engine.transcribe([speech(4.0)])
    assert (heard.language, heard.language_probability) == ("en", None)
    assert heard.segments
    sane(heard, 4.0)
    engine.close()


def test_numbers_that_the_device_cannot_count_with(whisper_weights: Path) -> None:
    engine = FasterWhisper(
        "tiny", WeightStore(whisper_weights), ModelPool(), compute_type="int8_float16"
    )
    with pytest.raises(EngineUnavailable, match="compute_type to auto or one of"):
        engine.open()


def test_weights_that_are_missing_or_cut_short(whisper_weights: Path, tmp_path: Path) -> None:
    engine = FasterWhisper("tiny", WeightStore(tmp_path), ModelPool())
    with pytest.raises(EngineUnavailable, match="models pull faster-whisper-tiny"):
        engine.open()
    for name in ("model.bin", "tokenizer.json"):
        shutil.rmtree(tmp_path / "faster-whisper-tiny", ignore_errors=True)
        shutil.copytree(whisper_weights / "faster-whisper-tiny", tmp_path / "faster-whisper-tiny")
        path = tmp_path / "faster-whisper-tiny" / name
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(EngineUnavailable, match="models pull faster-whisper-tiny --force"):
            engine.open()


def test_spectrograms_made_on_a_device_are_the_packages() -> None:
    from faster_whisper.feature_extractor import FeatureExtractor

    for mels in (80, 128):
        extractor = FeatureExtractor(feature_size=mels)
        sounds = [speech(s, seed=i).samples for i, s in enumerate((0.3, 9.0, 30.0))]
        sounds.append(np.zeros(16000, np.float32))
        found = spectrograms(sounds, extractor.mel_filters, device="cpu")
        theirs = np.stack([extractor(padded(sound), padding=0) for sound in sounds])
        assert found.shape == (4, mels, 3000)
        assert found.dtype == np.float32
        assert np.abs(found - theirs).max() < 1e-3
