"""Subtitles: words with times, cut into cues that can be read.

The numbers are those of the Netflix Timed Text Style Guide (General Requirements, and
English (USA)): at most 42 characters in a line, two lines, at most 7 s, two frames between
cues, 17 characters a second (20 at most for English). The shortest cue there is 5/6 s;
here it is 1 s, where the next cue leaves the time. Lines and cues end where a sentence, a
clause or a pause does, as the BBC's Subtitle Guidelines ask ("Break at natural points").
Wide characters (Chinese, Japanese, Korean) count as two, which gives 21 in a line.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from math import inf

from reelscope.records import Transcript, TranscriptSegment

LINE_WIDTH = 42
LONGEST_MS = 7000
SHORTEST_MS = 1000
GAP_MS = 83
"""Two frames of 24 a second."""
WIDTH_PER_S = 17.0
LONG_PAUSE_MS = 1000
"""Over such a silence no cue stays."""
PAUSE_MS = 250
FRAME_MS = 40
"""What a cue gets at least, even if the words before it took its time."""
FEW_CHARACTERS = 14
"""A cue with less is an orphan, if its sentence goes on."""

INNER_END, TOO_SHORT = 1.2, 1.5
"""A sentence that ends inside a cue is worse than a cue more, one of less than a second
worse than that: sentences stand alone, "Yes." stays with its neighbour."""

_SENTENCE_ENDS = re.compile(r"[.!?…。！？؟۔।]['\"”’»)\]」』]*$")
_CLAUSE_ENDS = re.compile(r"[,;:—–、，；：،]['\"”’»)\]」』]*$")
_NEVER_FIRST = frozenset(
    "、。，．！？：；）」』】〉》〕ー…ぁぃぅぇぉっゃゅょァィゥェォッャュョ,.!?:;)]}%"
)
_CONTROLS = re.compile("[\u202a-\u202e\u2066-\u2069\ufeff\ufffe\uffff]")


@dataclass(frozen=True, slots=True)
class Piece:
    """A word, or a part of one, as it is shown.

    Attributes:
        text: without blanks, at most `LINE_WIDTH` wide, not empty.
        start_ms: milliseconds from the start of the video.
        end_ms: likewise, not before `start_ms`.
        apart: whether a blank stands before it.
        last: whether a segment of the transcript ends with it.
    """

    text: str
    start_ms: int
    end_ms: int
    apart: bool
    last: bool = False


@dataclass(frozen=True, slots=True)
class Cue:
    """What is shown at a time: one or two lines, never empty.

    Attributes:
        start_ms: milliseconds from the start of the video, not before the end of the
            cue before.
        end_ms: likewise, after `start_ms`.
        lines: from top to bottom.
    """

    start_ms: int
    end_ms: int
    lines: tuple[str, ...]


def cues(transcript: Transcript, *, until_s: float | None = None) -> list[Cue]:
    """All of a transcript's text, in order of time, without overlap.

    Args:
        transcript: what is said, and when.
        until_s: end of the video; no cue stays longer to be read. None: not known.
    """
    pieces = _in_order([piece for segment in transcript.segments for piece in _pieces(segment)])
    groups = [group for run in _runs(pieces) for group in _best_groups(run)]
    until_ms = inf if until_s is None else _ms(until_s)
    return [_ended(cue, until_ms) for cue in _timed(groups)]


def _ended(cue: Cue, until_ms: float) -> Cue:
    if cue.end_ms <= until_ms:
        return cue
    return replace(cue, end_ms=int(max(until_ms, min(cue.start_ms + FRAME_MS, cue.end_ms))))


def clean(text: str) -> str:
    """One line without what a player or a terminal would act on.

    Line breaks, tabs and other blanks become single blanks; control characters, halves of
    characters and marks that turn the direction of writing vanish.
    """
    one_line = " ".join(text.split())
    kept = (c for c in one_line if c == " " or unicodedata.category(c) not in {"Cc", "Cs", "Zl"})
    return " ".join(_CONTROLS.sub("", "".join(kept)).split())


def width(text: str) -> int:
    """Columns that it takes: two for wide characters, none for marks and joiners."""
    return sum(
        0
        if unicodedata.category(c) in {"Mn", "Me", "Cf"}
        else 1 + (unicodedata.east_asian_width(c) in "WF")
        for c in text
    )


# ---------------------------------------------------------------------------- pieces


def _pieces(segment: TranscriptSegment) -> Iterator[Piece]:
    """The words of a segment as its filtered text has them; without words, its text."""
    whole = _whole_words(segment) if segment.words else _guessed_words(segment)
    parts = [part for piece in whole for part in _split(piece)]
    yield from parts[:-1]
    if parts:
        yield replace(parts[-1], last=True)


def _whole_words(segment: TranscriptSegment) -> Iterator[Piece]:
    at, text = 0, segment.text
    raw_at, raw = 0, segment.raw_text
    for word in segment.words:
        found = raw.find(word.text, raw_at)
        apart = found < 0 or any(sign.isspace() for sign in raw[raw_at:found])
        raw_at = raw_at if found < 0 else found + len(word.text)
        kept, at = (word.text, at) if text == raw else _kept(word.text, text, at)
        if shown := clean(kept):
            yield Piece(shown, _ms(word.start_s), _ms(word.end_s), apart=apart)


def _kept(word: str, text: str, at: int) -> tuple[str, int]:
    """What the garbage filter left of a word: it takes signs out and puts none in."""
    kept = []
    for sign in word:
        while at < len(text) and text[at].isspace():
            at += 1
        if at < len(text) and text[at] == sign:
            kept.append(sign)
            at += 1
    return "".join(kept), at


def _guessed_words(segment: TranscriptSegment) -> Iterator[Piece]:
    """An engine without times for words: they share the segment by their length."""
    words = clean(segment.text).split()
    start_ms, total = _ms(segment.start_s), max(1, sum(map(len, words)))
    lasts_ms, done = max(0, _ms(segment.end_s) - start_ms), 0
    for word in words:
        begin = start_ms + lasts_ms * done // total
        done += len(word)
        yield Piece(word, begin, start_ms + lasts_ms * done // total, apart=True)


def _split(piece: Piece) -> Iterator[Piece]:
    """A word with a blank in it, or wider than a line, in parts."""
    parts = [(bit, not at) for word in piece.text.split() for at, bit in enumerate(_bits(word))]
    lasts_ms = max(0, piece.end_ms - piece.start_ms)
    for at, (bit, apart) in enumerate(parts):
        yield Piece(
            bit,
            piece.start_ms + lasts_ms * at // len(parts),
            piece.start_ms + lasts_ms * (at + 1) // len(parts),
            apart=apart if at else piece.apart,
        )


def _bits(word: str) -> list[str]:
    """A word as it is; if it is too wide (or a sentence without blanks), its parts."""
    if width(word) <= LINE_WIDTH:
        return [word]
    bits = [""]
    most = 1 if _is_wide(word) else LINE_WIDTH
    for sign in word:
        joins = not width(sign) or (sign in _NEVER_FIRST and most == 1)
        if joins or width(bits[-1] + sign) <= max(most, width(sign)):
            bits[-1] += sign
        else:
            bits.append(sign)
    return [part for bit in bits for part in _hard_split(bit)]


def _is_wide(word: str) -> bool:
    return sum(unicodedata.east_asian_width(sign) in "WF" for sign in word) * 2 > len(word)


def _hard_split(bit: str) -> Iterator[str]:
    """No part wider than a line, nor of more signs than two, whatever they are made of."""
    part = ""
    for sign in bit:
        if part and (width(part + sign) > LINE_WIDTH or len(part) >= 2 * LINE_WIDTH):
            yield part
            part = ""
        part += sign
    if part:
        yield part


def _in_order(pieces: Sequence[Piece]) -> list[Piece]:
    """With times that never go back."""
    ordered: list[Piece] = []
    now_ms = 0
    for piece in pieces:
        now_ms = max(now_ms, piece.start_ms)
        ordered.append(replace(piece, start_ms=now_ms, end_ms=max(piece.end_ms, now_ms)))
    return ordered


def _ms(seconds: float) -> int:
    return max(0, round(seconds * 1000))


# ---------------------------------------------------------------------------- groups


def _runs(pieces: Sequence[Piece]) -> Iterator[list[Piece]]:
    """Stretches without a long silence."""
    if not pieces:
        return
    run = [pieces[0]]
    for before, after in pairwise(pieces):
        if after.start_ms - before.end_ms >= LONG_PAUSE_MS:
            yield run
            run = []
        run.append(after)
    yield run


def _best_groups(run: Sequence[Piece]) -> list[Sequence[Piece]]:
    """The run cut into cues at the least cost in all (dynamic programming).

    Every cue costs 1, and more for each sentence that ends inside it, and the worse it ends
    itself.
    """
    sentences = list(accumulate(map(_ends_sentence, run), initial=0))
    endings = [_ending_cost(piece) for piece in run[:-1]] + [0.0]
    best = [0.0] + [inf] * len(run)
    cut = [0] * (len(run) + 1)
    for start in range(len(run)):
        for end, wide in _possible_ends(run, start):
            cost = best[start] + 1.0 + INNER_END * (sentences[end - 1] - sentences[start])
            cost += endings[end - 1] + _hurry(run[start:end], wide, endings[end - 1])
            if cost < best[end]:
                best[end], cut[end] = cost, start
    groups, end = [], len(run)
    while end:
        groups.append(run[cut[end] : end])
        end = cut[end]
    return groups[::-1]


def _possible_ends(run: Sequence[Piece], start: int) -> Iterator[tuple[int, int]]:
    """Where a cue that begins here may end, and its width; one piece is always possible."""
    filled, lines, total = 0, 1, 0
    for end in range(start, min(len(run), start + 2 * LINE_WIDTH)):
        piece = run[end]
        own = width(piece.text)
        blank = piece.apart and end > start
        if filled + blank + own > LINE_WIDTH:
            filled, lines, blank = 0, lines + 1, False
        filled += blank + own
        total += blank + own
        too_long = piece.end_ms - run[start].start_ms > LONGEST_MS
        if end > start and (lines > 2 or too_long):
            return
        yield end + 1, total


def _ending_cost(piece: Piece) -> float:
    """Of a cue that ends with this piece."""
    if _ends_sentence(piece):
        return 0.0
    return 0.4 if _CLAUSE_ENDS.search(piece.text) else 0.9


def _hurry(group: Sequence[Piece], wide: int, ending: float) -> float:
    """A cue that is over before it can be read, or has hardly any of its sentence."""
    short = TOO_SHORT if group[-1].end_ms - group[0].start_ms < SHORTEST_MS else 0.0
    return short + (0.5 if ending and wide < FEW_CHARACTERS else 0.0)


def _ends_sentence(piece: Piece) -> bool:
    return piece.last or bool(_SENTENCE_ENDS.search(piece.text))


def _joined(group: Sequence[Piece]) -> str:
    return "".join(
        (" " if piece.apart and at else "") + piece.text for at, piece in enumerate(group)
    )


def _lines(group: Sequence[Piece]) -> tuple[str, ...]:
    """One line, or two about as long, the lower one rather longer."""
    whole = _joined(group)
    if width(whole) <= LINE_WIDTH:
        return (whole,)
    choices = []
    for at in range(1, len(group)):
        upper, lower = _joined(group[:at]), _joined(group[at:])
        wide = width(upper), width(lower)
        too_wide = max(0, max(wide) - LINE_WIDTH)
        clause = _ends_sentence(group[at - 1]) or bool(_CLAUSE_ENDS.search(upper))
        uneven = abs(wide[0] - wide[1]) + (wide[0] > wide[1]) - 12 * clause
        choices.append((too_wide, group[at].text[0] in _NEVER_FIRST, uneven, (upper, lower)))
    return min(choices)[3]


# ----------------------------------------------------------------------------- times


def _timed(groups: Sequence[Sequence[Piece]]) -> Iterator[Cue]:
    """Each group from its first word to its last, and on, if there is time to read it."""
    free_ms = 0
    for at, group in enumerate(groups):
        start_ms = max(group[0].start_ms, free_ms)
        next_ms = groups[at + 1][0].start_ms if at + 1 < len(groups) else None
        lines = _lines(group)
        end_ms = _end_ms(start_ms, group[-1].end_ms, next_ms, sum(map(width, lines)))
        yield Cue(start_ms, end_ms, lines)
        free_ms = end_ms


def _end_ms(start_ms: int, spoken_ms: int, next_ms: int | None, wide: int) -> int:
    to_read_ms = max(SHORTEST_MS, round(1000 * wide / WIDTH_PER_S))
    end_ms = min(max(spoken_ms, start_ms + to_read_ms), start_ms + LONGEST_MS)
    if next_ms is not None and end_ms > next_ms - GAP_MS:
        # the gap is for the eye: a cue that is short without it goes without the gap
        apart = next_ms - GAP_MS
        end_ms = apart if apart - start_ms >= SHORTEST_MS else min(end_ms, next_ms)
    return max(end_ms, start_ms + FRAME_MS)
