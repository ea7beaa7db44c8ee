"""Does a text look made up? Flags, never a reason to delete.

The thresholds on what the engine says of itself are those of whisper/transcribe.py
(compression_ratio_threshold, logprob_threshold, no_speech_threshold). That a text repeats
itself is also seen word by word, because a loop over several windows compresses well in
none of them; and that nobody speaks, by the segments of stage `voice`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from reelscope.records import TranscriptFlag

if TYPE_CHECKING:
    from reelscope.audio.transcribe import HeardSegment

MAX_COMPRESSION, MIN_LOGPROB, MAX_NO_SPEECH = 2.4, -1.0, 0.6
LONGEST_LOOP = 12
"""Words in the longest phrase that is looked for."""
WORD_TIMES, PHRASE_TIMES = 6, 4
"""A word, and a phrase of several, loops when it comes so many times in a row: "no, no, no"
is said, and a refrain is sung twice or three times."""
VOICE_PAD_S = 0.3
"""A voice detector's ends are about as exact as this."""
MIN_VOICED = 0.5
"""Share of a segment's words that must lie where somebody speaks."""


def flags_of(
    segments: Sequence[HeardSegment], speech_s: Sequence[tuple[float, float]]
) -> list[tuple[TranscriptFlag, ...]]:
    """Why each segment may be a hallucination; empty where nothing speaks for that.

    Args:
        segments: of one transcript in order, with times in the video.
        speech_s: begin and end of each stretch of speech in the video, in order, apart.
    """
    looping = loops([_words(segment) for segment in segments])
    return [
        tuple(_flags(segment, speech_s, loops=index in looping))
        for index, segment in enumerate(segments)
    ]


def _flags(
    segment: HeardSegment, speech_s: Sequence[tuple[float, float]], *, loops: bool
) -> Iterator[TranscriptFlag]:
    unsure = segment.avg_logprob is not None and segment.avg_logprob < MIN_LOGPROB
    if loops:
        yield "repetition"
    if voiced_share(segment, speech_s) < MIN_VOICED:
        yield "no_voice"
    if unsure and (segment.no_speech_probability or 0.0) > MAX_NO_SPEECH:
        yield "no_speech"
    if (segment.compression_ratio or 0.0) > MAX_COMPRESSION:
        yield "compression"
    if unsure:
        yield "low_probability"


def voiced_share(segment: HeardSegment, speech_s: Sequence[tuple[float, float]]) -> float:
    """Share of a segment's words, 0-1, whose middle lies where somebody speaks."""
    spans = [(w.start_s, w.end_s) for w in segment.words] or [(segment.start_s, segment.end_s)]
    voiced = sum(_spoken((start_s + end_s) / 2, speech_s) for start_s, end_s in spans)
    return voiced / len(spans)


def _spoken(at_s: float, speech_s: Sequence[tuple[float, float]]) -> bool:
    """Whether somebody speaks then, or nearly: of all speech that has begun by then the last
    one ends last."""
    after = bisect_right(speech_s, at_s + VOICE_PAD_S, key=lambda span: span[0])
    return after > 0 and at_s <= speech_s[after - 1][1] + VOICE_PAD_S


def loops(texts: Sequence[Sequence[str]]) -> set[int]:
    """Which texts take part in a loop, also if it runs over several of them.

    Args:
        texts: the words of each, in order.
    """
    words = [word for text in texts for word in text]
    owners = [index for index, text in enumerate(texts) for _ in text]
    found: set[int] = set()
    for size in range(1, min(LONGEST_LOOP, len(words) // PHRASE_TIMES) + 1):
        times = WORD_TIMES if size == 1 else PHRASE_TIMES
        for start, end in _runs(words, size, least=size * times):
            found.update(owners[start:end])
    return found


def _runs(words: Sequence[str], size: int, *, least: int) -> Iterator[tuple[int, int]]:
    """Stretches of at least so many words in which each is the one `size` before it."""
    start = 0
    for at in range(size, len(words) + 1):
        if at < len(words) and words[at] == words[at - size]:
            continue
        if at - start >= least:
            yield start, at
        start = at - size + 1


def _words(segment: HeardSegment) -> list[str]:
    texts = [word.text for word in segment.words] or segment.text.split()
    bare = ("".join(sign for sign in text.casefold() if sign.isalnum()) for text in texts)
    return [word for word in bare if word]
