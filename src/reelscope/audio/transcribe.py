"""What is said? Stage `transcribe`.

A transcriber (engines/faster_whisper.py, openai_whisper.py, pocketsphinx.py) writes down
single stretches of speech of at most 30 s. This file says which stretches of a video those
are, and makes of what was heard in them one transcript.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from typing import Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from reelscope.audio.garbage import without_garbage
from reelscope.audio.hallucination import flags_of
from reelscope.audio.separate import vocals_of
from reelscope.audio.speech_windows import RATE_HZ, plan_windows, read_windows
from reelscope.errors import ConfigError
from reelscope.media.clip import Clip
from reelscope.records import (
    Lane,
    Ok,
    Outcome,
    Transcript,
    TranscriptFlag,
    TranscriptSegment,
    TranscriptWord,
    TriedSound,
    Voice,
)
from reelscope.settings import Transcribe

FIRST_WINDOWS = 16
"""Windows of a video that are heard in one go, and by which its language is told."""
MOST_WINDOWS = 64
"""Windows in memory at once: 64 x 30 s are 123 MB."""


@dataclass(frozen=True, slots=True, eq=False)
class Sound:
    """A stretch of speech that is to be written down.

    Attributes:
        samples: float32 (n,) at 16 kHz, full scale +-1, finite, at most 30 s.
        video: sounds of one call with the same number are of one video, and so of one
            language.
        language: Whisper's code of the language; None: to be told from the video's sounds.
    """

    samples: NDArray[np.float32]
    video: int
    language: str | None = None

    @property
    def duration_s(self) -> float:
        """Its length."""
        return len(self.samples) / RATE_HZ


@dataclass(frozen=True, slots=True)
class HeardSegment:
    """About a sentence. All times count from the start of the `Sound`.

    Attributes:
        start_s: it begins.
        end_s: it ends.
        text: as the engine wrote it, without blanks around it.
        words: of the text, in order of time.
        tokens: how many the log probability is a mean of; the number of words where the
            engine has no tokens.
        avg_logprob: mean log probability of the tokens; None: the engine does not say.
        no_speech_probability: that nobody speaks; None: the engine does not say.
        compression_ratio: of the text that was decoded in one go, of which this is a part
            (whisper/utils.py, compression_ratio); None: not measured.
    """

    start_s: float
    end_s: float
    text: str
    words: tuple[TranscriptWord, ...] = ()
    tokens: int = 0
    avg_logprob: float | None = None
    no_speech_probability: float | None = None
    compression_ratio: float | None = None


@dataclass(frozen=True, slots=True)
class Heard:
    """What was heard in one `Sound`.

    Attributes:
        segments: in order of time; empty: nothing.
        language: of the whole video, the given one or the one that was told.
        language_probability: None where the language was given, or is the only one that
            the engine knows.
    """

    segments: tuple[HeardSegment, ...]
    language: str
    language_probability: float | None = None


class Transcriber(Protocol):
    """What this stage needs of an engine."""

    @property
    def engine(self) -> str:
        """Name, version and revision of the weights; must not raise."""
        ...

    @property
    def weights(self) -> tuple[str, ...]:
        """Names of its weights in the registry."""
        ...

    @property
    def accuracy(self) -> Literal["normal", "low"]:
        """low: many words are wrong."""
        ...

    @property
    def languages(self) -> tuple[str, ...]:
        """Codes of all languages that it can write down."""
        ...

    def open(self) -> None:
        """Load the model; raises EngineUnavailable with the remedy."""
        ...

    def transcribe(self, sounds: Sequence[Sound]) -> list[Heard]:
        """What is said in each; sounds of several videos may share a forward pass."""
        ...

    def close(self) -> None:
        """Let go of the model."""
        ...


# ------------------------------------------------------------------------- the stage


SoundName: TypeAlias = Literal["mix", "vocals"]
Accuracy: TypeAlias = Literal["normal", "low"]


class TranscribeStage:
    """Writes down what is said where stage `voice` found speech.

    Where voices were separated from music, both sounds are heard, and the one that the
    engine is surer of is kept. Without `compare_sounds` the voices alone are heard.

    Args:
        settings: of the stage.
        transcriber: the engine.
        batch_size: videos that are heard together.

    Raises:
        ConfigError: `transcribe.language` is no language that the engine knows.
    """

    name = "transcribe"
    version = 1
    needs: tuple[str, ...] = ("voice",)
    uses: tuple[str, ...] = ("separate",)
    lane: Lane = "gpu"

    def __init__(
        self, settings: Transcribe, transcriber: Transcriber, *, batch_size: int = 8
    ) -> None:
        self.settings = settings
        self.batch_size = batch_size
        self._transcriber = transcriber
        known = transcriber.languages
        if settings.language is not None and settings.language not in known:
            raise ConfigError(
                f"transcribe.language = {settings.language!r}: the engine does not know it; "
                f"there are: {', '.join(sorted(known))}; null: it is told from the sound"
            )

    @property
    def engine(self) -> str:
        """The transcriber's."""
        return self._transcriber.engine

    @property
    def weights(self) -> tuple[str, ...]:
        """The transcriber's."""
        return self._transcriber.weights

    def open(self) -> None:
        """Load the transcriber's model."""
        self._transcriber.open()

    def run(self, clips: Sequence[Clip]) -> list[Outcome]:
        """Ok with what is said (nothing where nobody speaks); Skipped without sound."""
        videos = {
            index: _Video(index, clip, self.settings)
            for index, clip in enumerate(clips)
            if clip.missing_audio() is None
        }
        for portion in _portions(list(videos.values())):
            self._hear(portion)
        return [
            Ok(videos[index].transcript(self._transcriber.accuracy, self.settings))
            if index in videos
            else clip.missing_audio() or Ok(EMPTY)
            for index, clip in enumerate(clips)
        ]

    def close(self) -> None:
        """Let go of the transcriber's model."""
        self._transcriber.close()

    def _hear(self, portion: Sequence[_Window]) -> None:
        for window in portion:
            window.take.video.clip.check_time()
        heard = self._transcriber.transcribe(
            [Sound(w.samples, w.take.video.index, w.take.video.language) for w in portion]
        )
        for window, found in zip(portion, heard, strict=True):
            window.take.add(window.start_s, found)


# ----------------------------------------------------------------- videos and windows


@dataclass(eq=False, slots=True)
class _Window:
    """A stretch of speech that is to be written down."""

    take: _Take
    start_s: float
    samples: NDArray[np.float32]


@dataclass(eq=False, slots=True)
class _Take:
    """One of a video's sounds, and what was heard in it so far."""

    video: _Video
    sound: SoundName
    blocks: Iterable[NDArray[np.float32]]
    heard: list[HeardSegment] = field(default_factory=list)

    def windows(self) -> Iterator[_Window]:
        for start_s, samples in read_windows(self.blocks, self.video.windows):
            yield _Window(self, start_s, samples)

    def add(self, start_s: float, found: Heard) -> None:
        self.heard += (_moved(segment, start_s) for segment in found.segments)
        self.video.told(found)

    @property
    def tried(self) -> TriedSound:
        return TriedSound(
            sound=self.sound,
            avg_logprob=mean_logprob(self.heard),
            words=sum(len(segment.words) for segment in self.heard),
        )


class _Video:
    """A clip on its way through the transcriber."""

    def __init__(self, index: int, clip: Clip, settings: Transcribe) -> None:
        self.index = index
        self.clip = clip
        self.language = settings.language
        self._probability: float | None = None
        voice = clip.value(Voice)
        self.speech_s = [(s.start_s, s.end_s) for s in voice.segments] if voice else []
        self.windows = plan_windows(self.speech_s, voice.duration_s if voice else 0.0)
        self.takes = list(self._takes(settings)) if self.windows else []

    def _takes(self, settings: Transcribe) -> Iterator[_Take]:
        vocals = vocals_of(self.clip, RATE_HZ)
        if vocals is None or settings.compare_sounds:
            yield _Take(self, "mix", self.clip.audio.blocks(RATE_HZ))
        if vocals is not None:
            yield _Take(self, "vocals", vocals)

    def portions(self) -> Iterator[list[_Window]]:
        """The windows of all takes, some at a time, those of one time together."""
        sources = [take.windows() for take in self.takes]
        while portion := [window for source in sources for window in islice(source, FIRST_WINDOWS)]:
            yield portion

    def told(self, heard: Heard) -> None:
        """Keep the language of the first windows for the rest of the video."""
        if self.language is None:
            self.language, self._probability = heard.language, heard.language_probability

    def transcript(self, accuracy: Accuracy, settings: Transcribe) -> Transcript:
        """What the better take heard."""
        if not any(take.heard for take in self.takes):
            tried = tuple(take.tried for take in self.takes)
            return EMPTY.model_copy(update={"tried": tried, "accuracy": accuracy})
        take = max(self.takes, key=_sureness)
        language = self.language if settings.garbage_filter else None
        segments = _segments(take.heard, self.speech_s, language)
        return Transcript(
            text=_joined(segment.text for segment in segments),
            raw_text=_joined(segment.raw_text for segment in segments),
            language=self.language,
            language_probability=self._probability,
            segments=segments,
            sound=take.sound,
            tried=tuple(take.tried for take in self.takes),
            accuracy=accuracy,
        )


def _sureness(take: _Take) -> tuple[bool, float]:
    """More is better; of two alike the first is taken, the mix."""
    told = mean_logprob(take.heard)
    return bool(take.heard), -math.inf if told is None else told


def _portions(videos: Sequence[_Video]) -> Iterator[list[_Window]]:
    """Windows of several videos, as many at a time as may be in memory.

    The first windows of a video come in one portion: they tell its language.
    """
    portion: list[_Window] = []
    for some in chain.from_iterable(video.portions() for video in videos):
        if portion and len(portion) + len(some) > MOST_WINDOWS:
            yield portion
            portion = []
        portion += some
    if portion:
        yield portion


def _moved(segment: HeardSegment, by_s: float) -> HeardSegment:
    """With times in the video."""
    words = tuple(
        TranscriptWord(
            text=word.text,
            start_s=word.start_s + by_s,
            end_s=word.end_s + by_s,
            probability=word.probability,
        )
        for word in segment.words
    )
    return replace(segment, start_s=segment.start_s + by_s, end_s=segment.end_s + by_s, words=words)


def mean_logprob(segments: Sequence[HeardSegment]) -> float | None:
    """Mean log probability over all tokens; None: the engine does not say, or no text."""
    told = [(s.avg_logprob, s.tokens) for s in segments if s.avg_logprob is not None and s.tokens]
    tokens = sum(count for _, count in told)
    return sum(mean * count for mean, count in told) / tokens if tokens else None


def _segments(
    heard: Sequence[HeardSegment],
    speech_s: Sequence[tuple[float, float]],
    language: str | None,
) -> tuple[TranscriptSegment, ...]:
    """The record's segments; without a language nothing is filtered."""
    flags = flags_of(heard, speech_s)
    return tuple(_segment(s, language, f) for s, f in zip(heard, flags, strict=True))


def _segment(
    heard: HeardSegment, language: str | None, flags: tuple[TranscriptFlag, ...]
) -> TranscriptSegment:
    return TranscriptSegment(
        start_s=heard.start_s,
        end_s=heard.end_s,
        text=without_garbage(heard.text, language),
        raw_text=heard.text,
        words=heard.words,
        avg_logprob=heard.avg_logprob,
        no_speech_probability=heard.no_speech_probability,
        compression_ratio=heard.compression_ratio,
        flags=flags,
    )


def _joined(texts: Iterable[str]) -> str:
    return " ".join(text for text in texts if text)


EMPTY = Transcript(
    text="", raw_text="", language=None, language_probability=None, segments=(), sound="mix",
    tried=(), accuracy="normal",
)  # fmt: skip
"""Nobody says anything."""
