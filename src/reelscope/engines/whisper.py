"""What both Whisper engines do alike, around what their packages do.

A sound of at most 30 s is decoded with timestamps, as in the paper ("Robust Speech
Recognition via Large-Scale Weak Supervision", Radford et al. 2022, section 4.5) and in
whisper/transcribe.py, but many sounds of several videos go through the model together.
Three rules differ from the packages' own batched decoding, which loses speech
(SYSTRAN/faster-whisper issues 1179 and 1270, pull request 856):

- Where decoding ends before the sound does, the rest is a sound of its own in the next
  round, however short the video is, and also where the model claims that nothing follows:
  the sounds were cut where a voice was found.
- What looks like a hallucination is decoded again at higher temperatures, and then kept.
- What comes before has no part in it (condition_on_previous_text is off), so a sound gives
  the same text wherever it stands.
"""

from __future__ import annotations

import math
import zlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Generic, Literal, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from reelscope.audio.garbage import SCRIPTS
from reelscope.audio.speech_windows import RATE_HZ
from reelscope.audio.transcribe import Heard, HeardSegment, Sound
from reelscope.engines import device as devices
from reelscope.engines.batching import Batches
from reelscope.engines.pool import ModelPool
from reelscope.engines.registry import WHISPER_SIZES_MB
from reelscope.engines.weights import WeightStore, installed, require
from reelscope.errors import EngineFailed
from reelscope.records import TranscriptWord

Samples: TypeAlias = NDArray[np.float32]
E = TypeVar("E")

TEMPERATURES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
MAX_COMPRESSION, MIN_LOGPROB, MAX_NO_SPEECH = 2.4, -1.0, 0.6
"""Defaults of whisper/transcribe.py: a text that repeats itself or that the model doubts is
decoded again at the next temperature, unless nobody seems to speak."""
SAMPLE_COUNT = 30 * RATE_HZ
"""30 s at 16 kHz (whisper/audio.py, N_SAMPLES)."""
HOP = 160
"""Samples between two frames of the spectrogram (whisper/audio.py, HOP_LENGTH)."""
TICK_S = 0.02
"""Between two timestamp tokens."""
MIN_REST_S = 0.5
"""A rest of speech this short is not decoded again where the model cut its text off ..."""
SILENT_REST_S = 2.0
"""... nor one this short where the model says that nothing follows: its last timestamp is
off by a second at times, and what was written down already would be heard twice."""
MIN_STEP_S = 0.5
"""Every round gets on by at least so much."""
MIN_FRAMES = 32
"""Words are aligned over at least so many frames; the median filter needs some."""
CPU_BATCH, GPU_BATCH = 4, 16
"""Sounds in a forward pass. Each takes about 0.1 GB with `small`, 0.5 GB with `large`."""
SENTENCE_ENDS = ".。!！?？"


@dataclass(frozen=True, slots=True)
class Decoded:
    """What the decoder wrote for one sound: text and timestamp tokens, without the prompt."""

    tokens: list[int]
    avg_logprob: float
    no_speech_probability: float


@dataclass(slots=True)
class Timing:
    """A word, when it is said, and how many tokens it has."""

    word: str
    tokens: int
    start_s: float
    end_s: float
    probability: float


class WhisperModel(Protocol[E]):
    """A loaded model; E is its package's type for sounds that went through the encoder."""

    @property
    def multilingual(self) -> bool:
        """Whether it knows more than English."""
        ...

    @property
    def end_of_text(self) -> int:
        """Tokens below this one are text."""
        ...

    @property
    def timestamp_begin(self) -> int:
        """The token for 0.00 s."""
        ...

    def encode(self, sounds: Sequence[Samples]) -> E:
        """Sounds of 30 s (silence at the end) through the encoder."""
        ...

    def pick(self, encoded: E, rows: Sequence[int]) -> E:
        """Some of the encoded sounds."""
        ...

    def languages(self, encoded: E) -> list[dict[str, float]]:
        """The probability of each language, by sound."""
        ...

    def decode(self, encoded: E, language: str, temperature: float) -> list[Decoded]:
        """The best text of each sound."""
        ...

    def align(
        self, encoded: E, language: str, *, tokens: Sequence[list[int]], frames: Sequence[int]
    ) -> list[list[Timing]]:
        """The words of each text, none of which is empty, with their times in the sound."""
        ...

    def text(self, tokens: Sequence[int]) -> str:
        """The text of text tokens."""
        ...


@dataclass(frozen=True, slots=True)
class _Encoded(Generic[E]):
    """Sounds that shared a pass through the encoder."""

    sounds: tuple[int, ...]
    output: E


@dataclass(slots=True)
class _Piece(Generic[E]):
    """What is left of a sound.

    Attributes:
        index: of the sound.
        start_s: of this rest in the sound.
        samples: float32 (n,).
        encoded: it went through the encoder already, among these.
    """

    index: int
    start_s: float
    samples: Samples
    encoded: _Encoded[E] | None = None

    @property
    def duration_s(self) -> float:
        return len(self.samples) / RATE_HZ


@dataclass(frozen=True, slots=True)
class Cut:
    """The tokens of a sound as segments, and from where on to decode again.

    Attributes:
        segments: (start_s, end_s, text tokens) in the sound, in order.
        rest_s: where the rest begins; None: the sound is done.
    """

    segments: list[tuple[float, float, list[int]]]
    rest_s: float | None


class Whisper(Generic[E]):
    """A Whisper engine; a subclass says which package, and loads the model.

    Attributes:
        package: PyPI name.
        weights_name: of its weights in the registry, without the size.
        cpu_memory: memory of the loaded model over the size of its file (two bytes a
            number), on a processor.
        gpu_memory: the same on a GPU.

    Args:
        size: of the weights, as in `models.whisper.size`.
        store: where the weights are.
        pool: which lends the model out.
        temperatures: tried one after the other.
    """

    package: str
    weights_name: str
    cpu_memory: float
    gpu_memory: float
    accuracy: Literal["normal", "low"] = "normal"

    def __init__(
        self,
        size: str,
        store: WeightStore,
        pool: ModelPool,
        *,
        temperatures: Sequence[float] = TEMPERATURES,
    ) -> None:
        self.size = size
        self._store = store
        self._pool = pool
        self._temperatures = tuple(temperatures)
        self._cpu = Batches(self.name, CPU_BATCH)
        self._gpu = Batches(self.name, GPU_BATCH)

    @property
    def name(self) -> str:
        """Of the weights in the registry."""
        return self.weights_name + self.size

    @property
    def weights(self) -> tuple[str, ...]:
        """Of this size."""
        return (self.name,)

    @property
    def engine(self) -> str:
        """Package and version, size, revision of the weights."""
        version = installed(self.package) or "not installed"
        return f"{self.package} {version} {self.size} {self._store.revision(self.name)}"

    @property
    def languages(self) -> tuple[str, ...]:
        """English alone for names with .en; Cantonese came with large-v3."""
        if self.size.endswith(".en"):
            return ("en",)
        return tuple(c for c in SCRIPTS if c != "yue" or self.size.startswith("large-v3"))

    def open(self) -> None:
        """Load the model.

        Raises:
            EngineUnavailable: the package or the weights are not here, or are damaged.
        """
        require(self.package)
        self._store.locate(self.name)
        with self._model():
            pass

    def close(self) -> None:
        """Let go of the model."""
        self._pool.release(self.name)

    def transcribe(self, sounds: Sequence[Sound]) -> list[Heard]:
        """What is said in each sound, in their order.

        Args:
            sounds: those of one video get one language: what most of their seconds sound
                like, unless it is given.

        Raises:
            OutOfMemory: a single sound does not fit the device.
            EngineFailed: the model gave numbers that are none.
        """
        if not sounds:
            return []
        with self._model() as model:
            pieces = [_Piece[E](i, 0.0, sound.samples) for i, sound in enumerate(sounds)]
            languages = self._languages(model, sounds, pieces)
            found: list[list[HeardSegment]] = [[] for _ in sounds]
            while pieces:
                pieces = self._round(model, pieces, [code for code, _ in languages], found)
        return [
            Heard(tuple(segments), code, probability)
            for segments, (code, probability) in zip(found, languages, strict=True)
        ]

    def _model(self) -> AbstractContextManager[WhisperModel[E]]:
        factor = self.cpu_memory if devices.current() == devices.CPU else self.gpu_memory
        size_mb = round(WHISPER_SIZES_MB[self.size] * factor)
        return self._pool.lease(self.name, self._load, size_mb=size_mb)

    def _load(self, device: str) -> WhisperModel[E]:
        raise NotImplementedError

    @property
    def _batches(self) -> Batches:
        return self._cpu if devices.current() == devices.CPU else self._gpu

    def _languages(
        self, model: WhisperModel[E], sounds: Sequence[Sound], pieces: list[_Piece[E]]
    ) -> list[tuple[str, float | None]]:
        """The language of each sound's video; keeps what went through the encoder."""
        if not model.multilingual:
            return [("en", None)] * len(sounds)
        unknown = [piece for piece in pieces if sounds[piece.index].language is None]

        def detect(batch: Sequence[_Piece[E]]) -> list[dict[str, float]]:
            output = model.encode([piece.samples for piece in batch])
            encoded = _Encoded(tuple(piece.index for piece in batch), output)
            for piece in batch:
                piece.encoded = encoded
            return model.languages(output)

        votes: dict[int, dict[str, float]] = defaultdict(lambda: defaultdict(float))
        for piece, found in zip(unknown, self._batches.map(detect, unknown), strict=True):
            for code, probability in found.items():
                votes[sounds[piece.index].video][code] += probability * piece.duration_s
        won = {video: _winner(vote) for video, vote in votes.items()}
        return [(s.language, None) if s.language else won[s.video] for s in sounds]

    def _round(
        self,
        model: WhisperModel[E],
        pieces: Sequence[_Piece[E]],
        languages: Sequence[str],
        found: list[list[HeardSegment]],
    ) -> list[_Piece[E]]:
        """Decode every piece; gives what is left of them."""
        by_language: dict[str, list[_Piece[E]]] = defaultdict(list)
        for piece in pieces:
            by_language[languages[piece.index]].append(piece)
        left: list[_Piece[E]] = []
        for language, some in by_language.items():

            def forward(
                batch: Sequence[_Piece[E]], language: str = language
            ) -> list[tuple[list[HeardSegment], float | None]]:
                return self._forward(model, batch, language)

            for piece, (segments, rest_s) in zip(
                some, self._batches.map(forward, some), strict=True
            ):
                found[piece.index] += segments
                if rest_s is not None:
                    rest = piece.samples[round(rest_s * RATE_HZ) :]
                    left.append(_Piece(piece.index, piece.start_s + rest_s, rest))
        return left

    def _forward(
        self, model: WhisperModel[E], batch: Sequence[_Piece[E]], language: str
    ) -> list[tuple[list[HeardSegment], float | None]]:
        encoded = _encoded(model, batch)
        decoded = self._decode(model, encoded, len(batch), language)
        cuts = [
            cut(d.tokens, p.duration_s, begin=model.timestamp_begin, end=model.end_of_text)
            for d, p in zip(decoded, batch, strict=True)
        ]
        words = _align(model, encoded, batch, cuts, language)
        return [
            (list(_segments(model, piece, d, c, w)), c.rest_s)
            for piece, d, c, w in zip(batch, decoded, cuts, words, strict=True)
        ]

    def _decode(
        self, model: WhisperModel[E], encoded: E, count: int, language: str
    ) -> list[Decoded]:
        """The first text of each sound that is neither doubted nor repeats itself, else the
        least doubted one (faster_whisper/transcribe.py, generate_with_fallback)."""
        tried: list[list[Decoded]] = [[] for _ in range(count)]
        chosen: dict[int, Decoded] = {}
        todo = list(range(count))
        for temperature in self._temperatures:
            if not todo:
                break
            some = encoded if len(todo) == count else model.pick(encoded, todo)
            for row, decoded in zip(todo, model.decode(some, language, temperature), strict=True):
                if not math.isfinite(decoded.avg_logprob):
                    raise EngineFailed(f"{self.name} gave numbers that are none")
                tried[row].append(decoded)
                if not self._doubtful(model, decoded):
                    chosen[row] = decoded
            todo = [row for row in todo if row not in chosen]
        for row in todo:
            fine = [d for d in tried[row] if compression_ratio(_text(model, d)) <= MAX_COMPRESSION]
            chosen[row] = max(fine or tried[row], key=lambda d: d.avg_logprob)
        return [chosen[row] for row in range(count)]

    def _doubtful(self, model: WhisperModel[E], decoded: Decoded) -> bool:
        unsure = decoded.avg_logprob < MIN_LOGPROB
        if unsure and decoded.no_speech_probability > MAX_NO_SPEECH:
            return False  # nobody speaks; other temperatures would not hear more
        return unsure or compression_ratio(_text(model, decoded)) > MAX_COMPRESSION


def _winner(vote: dict[str, float]) -> tuple[str, float]:
    code = max(vote, key=lambda c: (vote[c], c))
    total = sum(vote.values())
    return code, min(max(vote[code] / total, 0.0), 1.0) if total else 0.0


def _encoded(model: WhisperModel[E], batch: Sequence[_Piece[E]]) -> E:
    """The batch through the encoder, unless it went there before and in this company."""
    before = batch[0].encoded
    shared = before is not None and all(piece.encoded is before for piece in batch)
    for piece in batch:
        piece.encoded = None  # the memory is free once this batch is done
    if not shared or before is None:
        return model.encode([piece.samples for piece in batch])
    rows = [before.sounds.index(piece.index) for piece in batch]
    same = rows == list(range(len(before.sounds)))
    return before.output if same else model.pick(before.output, rows)


def padded(samples: Samples) -> Samples:
    """A sound with silence up to 30 s, float32 (480000,)."""
    sound = samples[:SAMPLE_COUNT]
    return np.pad(sound, (0, SAMPLE_COUNT - len(sound))).astype(np.float32, copy=False)


def compression_ratio(text: str) -> float:
    """Bytes of a text over its bytes when compressed (whisper/utils.py)."""
    data = text.encode("utf-8")
    return len(data) / len(zlib.compress(data))


def _text(model: WhisperModel[E], decoded: Decoded) -> str:
    return model.text([token for token in decoded.tokens if token < model.end_of_text]).strip()


# ------------------------------------------------------------------------- timestamps


@dataclass(frozen=True, slots=True)
class _Part:
    """Tokens between two pairs of timestamps; an end of None: decoding broke off."""

    start_s: float
    end_s: float | None
    text: list[int]


def cut(tokens: Sequence[int], duration_s: float, *, begin: int, end: int) -> Cut:
    """Segments between timestamps (whisper/transcribe.py), and where the rest begins.

    Args:
        tokens: that the decoder wrote.
        duration_s: of the sound; no segment ends after it.
        begin: the timestamp token for 0.00 s.
        end: tokens below this one are text.
    """
    parts = list(_parts(tokens, begin=begin, end=end))
    if not any(part.text for part in parts):
        return Cut([], None)  # nothing was heard: the same sound would give nothing again
    last = parts.pop()
    done = [part for part in parts if part.text]
    if last.text and last.end_s is None:
        if not done or duration_s - last.start_s < MIN_REST_S or last.start_s < MIN_STEP_S:
            return Cut(_clipped([*done, last], duration_s), None)
        return Cut(_clipped(done, duration_s), last.start_s)
    stated_s = last.start_s if last.end_s is None else last.end_s
    rest_s = max(stated_s, MIN_STEP_S)
    shortest_s = SILENT_REST_S if last.text else MIN_REST_S
    segments = _clipped([*done, last] if last.text else done, duration_s)
    return Cut(segments, rest_s if duration_s - rest_s >= shortest_s else None)


def _parts(tokens: Sequence[int], *, begin: int, end: int) -> Iterator[_Part]:
    """Tokens cut between two timestamps that follow one another."""
    starts = [i for i, (a, b) in enumerate(pairwise(tokens), start=1) if a >= begin and b >= begin]
    for start, stop in pairwise([0, *starts, len(tokens)]):
        part = tokens[start:stop]
        text = [token for token in part if token < end]
        times_s = [(token - begin) * TICK_S for token in part if token >= begin]
        closed = bool(text) and part[-1] >= begin
        first_s = times_s[0] if times_s and part[0] >= begin else 0.0
        yield _Part(first_s, times_s[-1] if closed else None, text)


def _clipped(parts: Sequence[_Part], duration_s: float) -> list[tuple[float, float, list[int]]]:
    return [
        (
            min(part.start_s, duration_s),
            min(duration_s if part.end_s is None else part.end_s, duration_s),
            part.text,
        )
        for part in parts
    ]


# ------------------------------------------------------------------------------ words


def _align(
    model: WhisperModel[E],
    encoded: E,
    batch: Sequence[_Piece[E]],
    cuts: Sequence[Cut],
    language: str,
) -> list[list[Timing]]:
    """The words of every sound; none for those without text."""
    tokens = [[token for *_, text in one.segments for token in text] for one in cuts]
    rows = [row for row, text in enumerate(tokens) if text]
    found: list[list[Timing]] = [[] for _ in batch]
    if rows:
        frames = [max(len(batch[row].samples) // HOP, MIN_FRAMES) for row in rows]
        some = encoded if len(rows) == len(batch) else model.pick(encoded, rows)
        aligned = model.align(some, language, tokens=[tokens[row] for row in rows], frames=frames)
        for row, words in zip(rows, aligned, strict=True):
            found[row] = shortened(words)
    return found


def shortened(words: list[Timing]) -> list[Timing]:
    """Words without the silence beside them.

    A word before or after which a sentence ends may have been stretched over a pause; it
    keeps twice the median length (whisper/timing.py, add_word_timestamps).
    """
    lengths_s = [w.end_s - w.start_s for w in words if w.end_s > w.start_s]
    longest_s = 2 * min(0.7, median(lengths_s)) if lengths_s else math.inf
    ended = True
    for word in words:
        ends = word.word.strip()[-1:] in SENTENCE_ENDS and bool(word.word.strip())
        if word.end_s - word.start_s > longest_s:
            if ends:
                word.end_s = word.start_s + longest_s
            elif ended:
                word.start_s = word.end_s - longest_s
        ended = ends if word.word.strip() else ended
    return words


def _segments(
    model: WhisperModel[E],
    piece: _Piece[E],
    decoded: Decoded,
    one: Cut,
    timings: Sequence[Timing],
) -> Iterator[HeardSegment]:
    """What a piece gave, with times in its sound."""
    ratio = compression_ratio(_text(model, decoded))
    words, until_s = iter(timings), 0.0
    for start_s, end_s, tokens in one.segments:
        mine, left = [], len(tokens)
        while left > 0 and (word := next(words, None)) is not None:
            mine.append(word)
            left -= word.tokens
        spoken = _spoken(mine, piece, until_s)
        until_s = spoken[-1].end_s - piece.start_s if spoken else until_s
        text = model.text(tokens).strip()
        if not text:
            continue
        first_s = spoken[0].start_s if spoken else piece.start_s + start_s
        last_s = spoken[-1].end_s if spoken else piece.start_s + end_s
        yield HeardSegment(
            start_s=first_s,
            end_s=max(last_s, first_s),
            text=text,
            words=spoken,
            tokens=len(tokens),
            avg_logprob=decoded.avg_logprob,
            no_speech_probability=_share(decoded.no_speech_probability),
            compression_ratio=ratio,
        )


def _spoken(
    timings: Sequence[Timing], piece: _Piece[E], until_s: float
) -> tuple[TranscriptWord, ...]:
    """Words with times in the sound: inside what was heard, in order."""
    words = []
    for timing in timings:
        text = timing.word.strip()
        start_s = min(max(timing.start_s, until_s), piece.duration_s)
        until_s = min(max(timing.end_s, start_s), piece.duration_s)
        if text:
            words.append(
                TranscriptWord(
                    text=text,
                    start_s=piece.start_s + start_s,
                    end_s=piece.start_s + until_s,
                    probability=_share(timing.probability),
                )
            )
    return tuple(words)


def _share(value: float) -> float | None:
    """A probability; None where the model gave no number."""
    return min(max(float(value), 0.0), 1.0) if math.isfinite(value) else None
