"""openai-whisper on tiny weights in its own format."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from reelscope.audio.transcribe import Heard, Sound
from reelscope.engines.openai_whisper import OpenAiWhisper
from reelscope.engines.pool import ModelPool
from reelscope.engines.weights import WeightStore, installed
from reelscope.errors import EngineUnavailable
from reelscope.testing.sounds import noise
from reelscope.testing.speech import speech_like

pytest.importorskip("whisper")
RATE_HZ = 16000


def speech(seconds: float, *, video: int = 0, seed: int = 0) -> Sound:
    samples, _ = speech_like(seconds, rate_hz=RATE_HZ, seed=seed)
    return Sound(samples.astype(np.float32), video)


@pytest.fixture(scope="module")
def engine(whisper_weights: Path) -> Iterator[OpenAiWhisper]:
    one = OpenAiWhisper("tiny", WeightStore(whisper_weights), ModelPool())
    one.open()
    yield one
    one.close()


def sane(heard: Heard, duration_s: float) -> None:
    times = [t for s in heard.segments for w in s.words for t in (w.start_s, w.end_s)]
    assert times == sorted(times)
    assert all(0 <= time_s <= duration_s for time_s in times)
    for segment in heard.segments:
        assert " ".join(word.text for word in segment.words) == segment.text != ""
        assert segment.avg_logprob is not None and segment.avg_logprob < 0


def test_sounds_of_several_videos_give_words_with_times(engine: OpenAiWhisper) -> None:
    lengths = (0.3, 7.9)
    heard = engine.transcribe([speech(s, video=i, seed=i) for i, s in enumerate(lengths)])
    for found, length in zip(heard, lengths, strict=True):
        assert found.language == "en"
        assert found.segments
        sane(found, length)


def test_a_short_sound_gives_the_same_alone_and_among_others(engine: OpenAiWhisper) -> None:
    one = speech(6.0, video=1, seed=5)
    (alone,) = engine.transcribe([one])
    others = [speech(20.0, video=2 + i, seed=i) for i in range(2)]
    among = engine.transcribe([others[0], one, others[1]])[1]
    assert [s.text for s in among.segments] == [s.text for s in alone.segments]
    for a, b in zip(among.segments, alone.segments, strict=True):
        assert a.avg_logprob == pytest.approx(b.avg_logprob, abs=1e-3)


def test_the_same_words_as_the_package_itself(engine: OpenAiWhisper, whisper_weights: Path) -> None:
    import whisper

    sound = speech(8.0, seed=3)
    (heard,) = engine.transcribe([sound])
    model = whisper.load_model(str(whisper_weights / "openai-whisper-tiny" / "tiny.pt"), "cpu")
    theirs = model.transcribe(
        sound.samples, temperature=0.0, condition_on_previous_text=False, fp16=False
    )
    assert theirs["language"] == heard.language
    assert [s["text"].strip() for s in theirs["segments"]] == [s.text for s in heard.segments]


def test_several_sounds_are_drawn_from_at_once(whisper_weights: Path) -> None:
    """The package's own `best_of` breaks with more than one sound."""
    engine = OpenAiWhisper("tiny", WeightStore(whisper_weights), ModelPool(), temperatures=(0.5,))
    sounds = [speech(3.0, video=i, seed=i) for i in range(2)]
    first, again = engine.transcribe(sounds), engine.transcribe(sounds)
    assert [len(heard.segments) for heard in first] == [1, 1]
    assert first == again


@pytest.mark.parametrize("level", [0.0, 50.0])
def test_silence_noise_and_clipping_raise_nothing(engine: OpenAiWhisper, level: float) -> None:
    samples = np.clip(noise(2.0, rate_hz=RATE_HZ) * level, -1, 1).astype(np.float32)
    for heard in engine.transcribe([Sound(samples, 0), Sound(samples[:10], 1)]):
        assert len(heard.segments) <= 3


def test_it_says_what_it_is_and_what_is_missing(whisper_weights: Path, tmp_path: Path) -> None:
    engine = OpenAiWhisper("tiny", WeightStore(whisper_weights), ModelPool())
    assert engine.engine == f"openai-whisper {installed('openai-whisper')} tiny by hand"
    engine = OpenAiWhisper("tiny", WeightStore(tmp_path), ModelPool())
    with pytest.raises(EngineUnavailable, match="models pull openai-whisper-tiny"):
        engine.open()
    source = whisper_weights / "openai-whisper-tiny" / "tiny.pt"
    (tmp_path / "openai-whisper-tiny").mkdir()
    (tmp_path / "openai-whisper-tiny" / "tiny.pt").write_bytes(source.read_bytes()[:50_000])
    with pytest.raises(EngineUnavailable, match="models pull openai-whisper-tiny --force"):
        engine.open()
