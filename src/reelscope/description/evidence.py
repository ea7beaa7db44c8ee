"""What an answer rests on, held against what the model was given.

A model names a frame by its time, or words and where it read or heard them. Whether there is
such a frame and there are such words can be looked up; nothing is left out that is not found,
it is marked.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from pydantic import JsonValue

from reelscope.description.answer import RawAnswer, RawEvidence, raw_evidence
from reelscope.records import DimensionAnswer, Evidence, EvidenceSource
from reelscope.settings.description import AnswerField, Dimension

FRAME_TOLERANCE_S = 0.25
"""How far a named time may be from a frame's: models round what they read to halves."""

_NO_BLANKS = (
    (0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x1950, 0x19DF), (0x1A20, 0x1AAF),
    (0x2E80, 0x30FF), (0x3100, 0x312F), (0x31A0, 0x31FF), (0x3400, 0x4DBF), (0x4E00, 0x9FFF),
    (0xA9E0, 0xA9FF), (0xAA60, 0xAADF), (0xF900, 0xFAFF), (0x1AFF0, 0x1B16F), (0x20000, 0x3FFFF),
)  # fmt: skip
"""Letters of scripts that put no blanks between words: Thai, Lao, Myanmar, Khmer, Tai Le, New
Tai Lue, Tai Tham, Tai Viet, Han, Hiragana, Katakana, Bopomofo. Source: Unicode Standard Annex
14, classes SA (complex context) and ID (ideographic), and the blocks of Unicode 15."""


@dataclass(frozen=True, slots=True)
class Given:
    """What a model was given to look at and read.

    Attributes:
        frames_s: times of the pictures that were sent, seconds, in any order.
        words: for each source (any but frame) its texts in order, each with the time where
            it begins, seconds; None: it has no time.
    """

    frames_s: tuple[float, ...]
    words: Mapping[EvidenceSource, tuple[tuple[float | None, str], ...]]


def check_evidence(
    answers: Mapping[str, RawAnswer], dimensions: Sequence[Dimension], given: Given
) -> dict[str, DimensionAnswer]:
    """Look up everything that answers say they rest on.

    A frame is found within `FRAME_TOLERANCE_S` of one that was sent, and gets its exact time.
    Words are found where they stand in their source: whole words, in any case and with any
    punctuation, over consecutive pieces too; their time is that of the piece in which they
    begin, of several places the one nearest to the time that the model names, else the
    first. What is not found keeps the time that the model gave.

    Args:
        answers: as `check_answer` gives them.
        dimensions: what was asked; entries of fields of type evidence stand in the value as
            dicts with the keys of `Evidence`.
        given: what the model had before it.
    """
    lookup = _Lookup(given)
    return {
        dimension.name: DimensionAnswer(
            value=_with_evidence(answers[dimension.name].value, dimension, lookup),
            confidence=answers[dimension.name].confidence,
            evidence=tuple(lookup.check(entry) for entry in answers[dimension.name].evidence),
        )
        for dimension in dimensions
        if dimension.name in answers
    }


def _with_evidence(value: JsonValue, asked: AnswerField, lookup: _Lookup) -> JsonValue:
    if asked.type == "evidence" and isinstance(value, list):
        return [lookup.check(raw_evidence(entry)).model_dump() for entry in value]
    if asked.type in ("object", "objects"):
        return _within(value, asked, lookup)
    return value


def _within(value: JsonValue, asked: AnswerField, lookup: _Lookup) -> JsonValue:
    if isinstance(value, list):
        return [_within(item, asked, lookup) for item in value]
    if isinstance(value, dict):
        return {
            inner.name: _with_evidence(value[inner.name], inner, lookup) for inner in asked.fields
        }
    return value


# --------------------------------------------------------------------------- looking up


@dataclass(slots=True)
class _Lookup:
    """Each source is brought into its normal form once, when it is first named."""

    given: Given
    sources: dict[EvidenceSource, _Words] = field(default_factory=dict)

    def check(self, entry: RawEvidence) -> Evidence:
        found, time_s = self._frame(entry) if entry.source == "frame" else self._words(entry)
        return Evidence(source=entry.source, time_s=time_s, quote=entry.quote, found=found)

    def _frame(self, entry: RawEvidence) -> tuple[bool, float | None]:
        named = entry.time_s
        if named is None or not self.given.frames_s:
            return False, named
        nearest = min(self.given.frames_s, key=lambda time_s: abs(time_s - named))
        found = abs(nearest - named) <= FRAME_TOLERANCE_S
        return found, nearest if found else named

    def _words(self, entry: RawEvidence) -> tuple[bool, float | None]:
        if entry.source not in self.sources:
            self.sources[entry.source] = _Words(self.given.words.get(entry.source, ()))
        times = list(self.sources[entry.source].times_of(entry.quote or ""))
        if not times:
            return False, entry.time_s
        named = entry.time_s
        if named is None:
            return True, times[0]
        timed = [time_s for time_s in times if time_s is not None]
        return True, min(timed, key=lambda time_s: abs(time_s - named), default=None)


class _Words:
    """A source's pieces as one text in normal form, with the place where each begins."""

    def __init__(self, pieces: Sequence[tuple[float | None, str]]) -> None:
        parts = [" "]
        self._starts: list[int] = []
        self._times: list[float | None] = []
        length, last = 1, ""
        for time_s, text in pieces:
            if not (normal := normal_form(text)):
                continue
            if last and _parted(last, normal[0]):
                parts.append(" ")
                length += 1
            self._starts.append(length)
            self._times.append(time_s)
            parts.append(normal)
            length += len(normal)
            last = normal[-1]
        self._text = "".join([*parts, " "])

    def times_of(self, quote: str) -> Iterator[float | None]:
        """Of the pieces in which the quote begins, in order; places do not overlap."""
        if not (normal := normal_form(quote)):
            return
        before = "" if _runs_on(normal[0]) else " "
        wanted = f"{before}{normal}{'' if _runs_on(normal[-1]) else ' '}"
        at = self._text.find(wanted)
        while at >= 0:
            begins = at + len(before)
            yield self._times[bisect_right(self._starts, begins) - 1]
            at = self._text.find(wanted, begins + len(normal))


def normal_form(text: str) -> str:
    """A text by its words alone, as quotes are compared.

    Compatibility forms (NFKC) and case are made alike; what cannot be seen is dropped; all
    else but letters, their marks and numbers is one blank. Between letters of scripts that
    put no blanks between words there is none, and between those and others always one.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return "".join(_spaced("".join(map(_plain, folded))))


def _spaced(text: str) -> Iterator[str]:
    last, gap = "", False
    for char in text:
        if char == " ":
            gap = True
            continue
        if last and (gap or _runs_on(last) != _runs_on(char)) and _parted(last, char):
            yield " "
        yield char
        last, gap = char, False


def _parted(last: str, first: str) -> bool:
    """Whether a blank can stand between two words that end and begin so."""
    return not (_runs_on(last) and _runs_on(first))


@lru_cache(maxsize=65_536)
def _plain(char: str) -> str:
    """The character if it is part of a word, a blank if it parts words, else nothing."""
    if char.isalnum():
        return char
    kind = unicodedata.category(char)
    if kind in ("Cf", "Me") or 0xFE00 <= ord(char) <= 0xFE0F or 0xE0100 <= ord(char) <= 0xE01EF:
        return ""  # joiners, marks of direction, enclosing marks, variation selectors
    return char if kind in ("Mn", "Mc") else " "


@lru_cache(maxsize=65_536)
def _runs_on(char: str) -> bool:
    return any(first <= ord(char) <= last for first, last in _NO_BLANKS)
