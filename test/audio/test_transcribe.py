"""Stage `transcribe`: what is heard where, and what becomes of it."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from reelscope.audio.separate import VOCALS_FILE
from reelscope.audio.transcribe import Heard, HeardSegment, Sound, Transcriber, TranscribeStage
from reelscope.audio.voice import VoiceStage
from reelscope.engines.faster_whisper import FasterWhisper
from reelscope.engines.pool import ModelPool
from reelscope.engines.silero import SileroDetector
from reelscope.engines.weights import WeightStore
from reelscope.errors import ConfigError, EngineUnavailable, StageTimeout
from reelscope.media.clip import Clip
from reelscope.media.flac import write_flac
from reelscope.pipeline.graph import build_graph
from reelscope.records import (
    Ok,
    Outcome,
    Separation,
    Skipped,
    SpeechSegment,
    StageRecord,
    Stem,
    Transcript,
    TranscriptWord,
    Value,
    VideoRecord,
    VideoSource,
    Voice,
)
from reelscope.settings import Media, Settings, Transcribe
from reelscope.settings import Voice as VoiceSettings
from reelscope.testing.media import Scene, write_sound, write_video
from reelscope.testing.sounds import music_like, sequence, silence
from reelscope.testing.speech import speech_like

RATE_HZ = 16000
SETTINGS = Transcribe()
Span = tuple[float, float]


class Hears:
    """An engine that hears how loud a sound is: "loud" or "soft", word after word.

    It notes every call; each sound is one segment with a word per second.
    """

    engine = "hears 1"
    weights: tuple[str, ...] = ()
    accuracy: Literal["normal", "low"] = "normal"
    languages: tuple[str, ...] = ("en", "de", "ja")

    def __init__(self, *, logprob: Callable[[str], float | None] = lambda _: -0.3) -> None:
        self.calls: list[list[Sound]] = []
        self.logprob = logprob
        self.words = {"loud": "loud", "soft": "soft"}

    def open(self) -> None: ...

    def close(self) -> None: ...

    def transcribe(self, sounds: Sequence[Sound]) -> list[Heard]:
        self.calls.append(list(sounds))
        return [self._heard(sound) for sound in sounds]

    def _heard(self, sound: Sound) -> Heard:
        kind = "loud" if np.abs(sound.samples).max() > 0.2 else "soft"
        count = max(1, int(sound.duration_s))
        words = tuple(
            TranscriptWord(text=self.words[kind], start_s=i, end_s=i + 0.5, probability=0.9)
            for i in range(count)
        )
        one = HeardSegment(
            start_s=0.0,
            end_s=words[-1].end_s,
            text=" ".join(word.text for word in words),
            words=words,
            tokens=count,
            avg_logprob=self.logprob(kind),
            no_speech_probability=0.1,
            compression_ratio=1.1,
        )
        known = sound.language is not None
        return Heard((one,), sound.language or "en", None if known else 0.8)


def voices(*spans: Span, duration_s: float = 60.0) -> Voice:
    return Voice(
        segments=tuple(SpeechSegment(start_s=a, end_s=b, probability=0.9) for a, b in spans),
        duration_s=duration_s,
        speech_s=sum(b - a for a, b in spans),
        speech_share=0.5,
    )


def clip_of(path: Path, *values: Value, name: str = "v") -> Clip:
    source = VideoSource(creator="c", video_id=name, frames_id=name, path=str(path))
    stages = {v.stage: StageRecord(status="ok", key="k", engine="e", value=v) for v in values}
    record = VideoRecord(source=source, stages=stages)
    return Clip(source, record, Media(), frames_root=path.parent / "frames")


def run(engine: Transcriber, *clips: Clip, settings: Transcribe = SETTINGS) -> list[Transcript]:
    stage = TranscribeStage(settings, engine)
    stage.open()
    with ExitStack() as stack:
        outcomes = stage.run([stack.enter_context(clip) for clip in clips])
    stage.close()
    return [transcript(outcome) for outcome in outcomes]


def transcript(outcome: Outcome) -> Transcript:
    assert isinstance(outcome, Ok)
    assert isinstance(outcome.value, Transcript)
    return outcome.value


def hum(level: float, seconds: float, *, rate_hz: int = RATE_HZ) -> NDArray[np.float64]:
    return level * np.sin(2 * np.pi * 200 * np.arange(round(seconds * rate_hz)) / rate_hz)


def sound_file(path: Path, samples: NDArray[Any], rate_hz: int = RATE_HZ) -> Path:
    write_sound(path, samples.astype(np.float32), rate_hz=rate_hz)
    return path


@pytest.fixture(scope="module")
def loud(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """60 s of a loud tone."""
    path = tmp_path_factory.mktemp("sound") / "loud.wav"
    return sound_file(path, hum(0.5, 60.0, rate_hz=RATE_HZ))


# -------------------------------------------------------------------------- what is heard


def test_only_speech_is_heard_and_times_are_those_of_the_video(loud: Path) -> None:
    engine = Hears()
    (found,) = run(engine, clip_of(loud, voices((10.0, 13.0), (40.0, 42.0))))
    ((first, second),) = engine.calls
    assert first.duration_s == pytest.approx(3.6)
    assert second.duration_s == pytest.approx(2.6)
    assert [s.start_s for s in found.segments] == [9.7, 39.7]
    assert [w.start_s for w in found.segments[0].words] == [9.7, 10.7, 11.7]
    assert found.text == "loud loud loud loud loud"
    assert (found.language, found.language_probability) == ("en", 0.8)
    assert (found.sound, found.accuracy) == ("mix", "normal")
    assert [(t.sound, t.avg_logprob, t.words) for t in found.tried] == [
        ("mix", pytest.approx(-0.3), 5)
    ]
    assert all(segment.flags == () for segment in found.segments)


def test_where_nobody_speaks_the_engine_is_not_asked(loud: Path) -> None:
    engine = Hears()
    (found,) = run(engine, clip_of(loud, voices()))
    assert engine.calls == []
    assert (found.text, found.language, found.segments, found.tried) == ("", None, (), ())


def test_without_sound_it_is_skipped(tmp_path: Path, loud: Path) -> None:
    mute = tmp_path / "mute.mp4"
    write_video(mute, [Scene(0.5)], size=(64, 64))
    stage = TranscribeStage(SETTINGS, Hears())
    with clip_of(mute, voices()) as one, clip_of(loud, voices((1.0, 3.0))) as other:
        outcomes = stage.run([one, other])
    assert outcomes[0] == Skipped("there is no audio stream")
    assert transcript(outcomes[1]).text


def test_several_videos_share_a_call_and_keep_apart(loud: Path, tmp_path: Path) -> None:
    soft = sound_file(tmp_path / "soft.wav", hum(0.05, 20.0, rate_hz=RATE_HZ))
    engine = Hears()
    found = run(
        engine,
        clip_of(loud, voices((1.0, 3.0))),
        clip_of(soft, voices((2.0, 4.0), (9.0, 11.0), duration_s=20.0)),
        clip_of(loud, voices()),
    )
    assert [len(call) for call in engine.calls] == [3]
    assert [sound.video for sound in engine.calls[0]] == [0, 1, 1]
    assert [set(one.text.split()) for one in found] == [{"loud"}, {"soft"}, set()]


def test_the_language_of_the_first_windows_holds_for_the_rest(tmp_path: Path) -> None:
    path = sound_file(tmp_path / "long.wav", hum(0.5, 900.0, rate_hz=RATE_HZ))
    spans = [(i * 10.0 + 1, i * 10.0 + 4) for i in range(90)]
    engine = Hears()
    (found,) = run(engine, clip_of(path, voices(*spans, duration_s=900.0)))
    assert [len(call) for call in engine.calls] == [64, 26]
    assert {sound.language for sound in engine.calls[0]} == {None}
    assert {sound.language for sound in engine.calls[1]} == {"en"}
    assert len(found.segments) == 90
    assert (found.language, found.language_probability) == ("en", 0.8)


def test_a_language_that_is_set_is_passed_on(loud: Path) -> None:
    engine = Hears()
    (found,) = run(engine, clip_of(loud, voices((1.0, 3.0))), settings=Transcribe(language="de"))
    assert engine.calls[0][0].language == "de"
    assert (found.language, found.language_probability) == ("de", None)


def test_an_unknown_language_is_refused_before_anything_runs() -> None:
    with pytest.raises(ConfigError, match=r"'xx'.*there are: de, en, ja"):
        TranscribeStage(Transcribe(language="xx"), Hears())
    for models in ({}, {"whisper": {"engine": "openai-whisper"}}):
        settings = Settings.model_validate({"transcribe": {"language": "xx"}, "models": models})
        with pytest.raises(ConfigError, match="yi, yo"):
            build_graph(settings)
    english = {"whisper": {"engine": "faster-whisper", "size": "small.en"}}
    with pytest.raises(ConfigError, match="there are: en"):
        build_graph(Settings.model_validate({"transcribe": {"language": "de"}, "models": english}))


def test_the_time_limit_holds(loud: Path) -> None:
    stage = TranscribeStage(SETTINGS, Hears())
    with clip_of(loud, voices((1.0, 3.0))) as clip:
        clip.deadline = 0.0
        with pytest.raises(StageTimeout):
            stage.run([clip])


# ------------------------------------------------------------------- the mix or the vocals


@pytest.fixture
def separated(tmp_path: Path) -> Clip:
    """A loud video with soft vocals."""
    path = sound_file(tmp_path / "mix.wav", hum(0.5, 10.0, rate_hz=RATE_HZ))
    folder = clip_of(path).folder
    folder.mkdir(parents=True)
    with write_flac(folder / VOCALS_FILE, 44100) as write:
        vocals = hum(0.05, 10.0, rate_hz=44100)
        write(np.stack([vocals, vocals], axis=1).astype(np.float32))
    size = (folder / VOCALS_FILE).stat().st_size
    separation = Separation(
        applied=True,
        reason="",
        spans=(),
        seconds=5.0,
        duration_s=10.0,
        vocals=Stem(file=VOCALS_FILE, size_bytes=size, sha256=""),
        accompaniment=None,
    )
    return clip_of(path, voices((1.0, 4.0), duration_s=10.0), separation)


@pytest.mark.parametrize(
    ("logprobs", "sound"),
    [
        ({"loud": -0.5, "soft": -0.2}, "vocals"),
        ({"loud": -0.2, "soft": -0.5}, "mix"),
        ({"loud": -0.3, "soft": -0.3}, "mix"),
        ({"loud": None, "soft": None}, "mix"),
    ],
)
def test_the_sound_that_the_engine_is_surer_of_is_kept(
    separated: Clip, logprobs: dict[str, float | None], sound: str
) -> None:
    engine = Hears(logprob=logprobs.__getitem__)
    (found,) = run(engine, separated)
    assert [len(call) for call in engine.calls] == [2]  # both in one go
    assert found.sound == sound
    assert set(found.text.split()) == {"soft" if sound == "vocals" else "loud"}
    assert {t.sound: t.avg_logprob for t in found.tried} == {
        "mix": logprobs["loud"],
        "vocals": logprobs["soft"],
    }


def test_without_the_comparison_the_vocals_alone_are_heard(separated: Clip) -> None:
    engine = Hears()
    (found,) = run(engine, separated, settings=Transcribe(compare_sounds=False))
    assert [len(call) for call in engine.calls] == [1]
    assert found.sound == "vocals"
    assert [t.sound for t in found.tried] == ["vocals"]


def test_vocals_that_are_gone_are_done_without(separated: Clip) -> None:
    (separated.folder / VOCALS_FILE).unlink()
    (found,) = run(Hears(), separated)
    assert found.sound == "mix"
    assert [t.sound for t in found.tried] == ["mix"]


# ------------------------------------------------------------------------- what is written


def test_the_garbage_filter_keeps_the_raw_text(loud: Path) -> None:
    engine = Hears()
    engine.words["loud"] = "ло\ufffdud"
    clip = voices((1.0, 2.0))
    (clean,) = run(engine, clip_of(loud, clip))
    (raw,) = run(engine, clip_of(loud, clip), settings=Transcribe(garbage_filter=False))
    assert (clean.text, clean.raw_text) == ("ud", "ло\ufffdud")
    assert raw.text == raw.raw_text == "ло\ufffdud"
    assert clean.segments[0].words[0].text == "ло\ufffdud"


def test_what_looks_made_up_is_flagged_and_kept(loud: Path) -> None:
    engine = Hears(logprob=lambda _: -1.5)
    (found,) = run(engine, clip_of(loud, voices((1.0, 8.0))))
    assert found.segments[0].flags == ("repetition", "low_probability")
    assert found.text == "loud " * 6 + "loud"


def test_accuracy_is_the_engines(loud: Path) -> None:
    engine = Hears()
    engine.accuracy = "low"
    heard, silent = run(engine, clip_of(loud, voices((1.0, 2.0))), clip_of(loud, voices()))
    assert heard.accuracy == silent.accuracy == "low"


# ----------------------------------------------------------------------- with real models


@pytest.fixture(scope="module")
def whisper(whisper_weights: Path) -> Iterator[FasterWhisper]:
    pytest.importorskip("faster_whisper")
    engine = FasterWhisper("tiny", WeightStore(whisper_weights), ModelPool())
    engine.open()
    yield engine
    engine.close()


def test_six_seconds_give_what_they_give_inside_a_minute(
    whisper: FasterWhisper, tmp_path: Path
) -> None:
    """Short videos once gave nothing in batched mode (SYSTRAN/faster-whisper PR 856)."""
    said = 0.3 * speech_like(5.0, rate_hz=RATE_HZ, seed=7)[0]
    other = 0.3 * speech_like(20.0, rate_hz=RATE_HZ, seed=8)[0]
    gap = silence(0.5, rate_hz=RATE_HZ)
    short = sound_file(tmp_path / "short.wav", sequence(gap, said, gap))
    pause = silence(4.5, rate_hz=RATE_HZ)
    minute = sound_file(tmp_path / "minute.wav", sequence(other, pause, gap, said, gap, pause))
    (alone,) = run(whisper, clip_of(short, voices((0.5, 5.5), duration_s=6.0)))
    (among,) = run(whisper, clip_of(minute, voices((0.2, 20.0), (25.0, 30.0), duration_s=36.0)))
    assert alone.text
    late = [segment for segment in among.segments if segment.start_s > 22]
    assert [s.text for s in late] == [s.text for s in alone.segments]
    for a, b in zip(late, alone.segments, strict=True):
        assert a.avg_logprob == pytest.approx(b.avg_logprob, abs=1e-3)
        assert [w.start_s for w in a.words] == pytest.approx(
            [w.start_s + 24.5 for w in b.words], abs=1e-6
        )


@pytest.mark.parametrize("kind", ["silence", "music", "clipping", "blink"])
def test_without_speech_there_are_no_words(
    kind: str, whisper: FasterWhisper, tmp_path: Path
) -> None:
    sounds = {
        "silence": silence(4.0, rate_hz=RATE_HZ),
        "music": music_like(6.0, rate_hz=RATE_HZ),
        "clipping": np.sign(hum(1.0, 3.0)),
        "blink": hum(0.1, 0.3, rate_hz=RATE_HZ),
    }
    path = sound_file(tmp_path / "sound.wav", sounds[kind])
    listener = VoiceStage(VoiceSettings(), SileroDetector())
    listener.open()
    with clip_of(path) as clip:
        (outcome,) = listener.run([clip])
    assert isinstance(outcome, Ok)
    (found,) = run(whisper, clip_of(path, outcome.value))
    assert (found.text, found.segments) == ("", ())


def test_a_stage_without_weights_says_how_to_get_them(tmp_path: Path) -> None:
    stage = TranscribeStage(SETTINGS, FasterWhisper("tiny", WeightStore(tmp_path), ModelPool()))
    assert stage.weights == ("faster-whisper-tiny",)
    assert stage.engine.startswith("faster-whisper ")
    with pytest.raises(EngineUnavailable, match="models pull faster-whisper-tiny"):
        stage.open()


@pytest.mark.slow
def test_two_hours_take_no_more_memory_than_their_windows(tmp_path: Path) -> None:
    path = sound_file(tmp_path / "long.wav", np.tile(hum(0.5, 60.0, rate_hz=8000), 120), 8000)
    spans = [(i * 10.0 + 1, i * 10.0 + 9) for i in range(720)]
    engine = Hears()
    tracemalloc.start()
    (found,) = run(Forgets(engine), clip_of(path, voices(*spans, duration_s=7200.0)))
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 400_000_000  # 64 windows of 30 s are 123 MB; all of them are 460
    assert len(found.segments) == 240
    assert found.segments[-1].end_s > 7190


class Forgets:
    """An engine that keeps no calls."""

    def __init__(self, engine: Hears) -> None:
        self._inner = engine

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def transcribe(self, sounds: Sequence[Sound]) -> list[Heard]:
        heard = self._inner.transcribe(sounds)
        self._inner.calls.clear()
        return heard
