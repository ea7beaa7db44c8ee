"""What is said? Stage `transcribe`.

A transcriber (engines/faster_whisper.py, openai_whisper.py, pocketsphinx.py) writes down
single stretches of speech of at most 30 s. This file says which stretches of a video those
are, and makes of what was heard in them one transcript.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from reelscope.records import TranscriptWord

RATE_HZ = 16000
LONGEST_S = 30.0
"""Length of the sound that Whisper sees at once (whisper/audio.py, CHUNK_LENGTH)."""


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
