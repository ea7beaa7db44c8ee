"""How many syllables a written word has, by language.

Four ways, the first that knows the word wins:

- English: vowels of the word's first pronunciation in the CMU Pronouncing Dictionary, the
  copy that the package pocketsphinx carries.
- Chinese and Korean characters, and kana, stand for a syllable each. Japanese words with
  a Chinese character in them are not known: their reading has one to four syllables.
- Languages in which every vowel letter is a syllable (Russian, Turkish, Hungarian, ...).
- Others for which pyphen has LibreOffice's hyphenation patterns: runs of vowels between
  the points where the word may be hyphenated. Points alone are too few, because no word is
  broken after its first letter ("ami-go"); runs alone miss vowels that meet ("ne-on"). An
  approximation: of 156 common words of ten languages 150 are right (points + 1: 113).

What none of them knows is None.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from statistics import fmean
from typing import Protocol

from reelscope.records import SyllableSource

MIN_KNOWN_SHARE = 0.75
"""Of the words: where fewer are known, those that are may be the short ones."""

WITHOUT_BLANKS = frozenset({"zh", "yue", "ja", "th", "lo", "my", "km", "bo"})
"""Written without blanks between words: a transcript's words are pieces of any length."""

_ARPABET_VOWELS = frozenset(
    {"AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW"}
)
_EVERY_VOWEL = frozenset({"ru", "uk", "be", "bg", "mk", "sr", "tr", "az", "hu"})
_HIATUS = frozenset({"es", "pt", "it"})
"""Two strong vowels, or a weak one with its accent, are two syllables: te-a-tro, pa-ís."""
_APART = re.compile(r"(?<=[aeoáéó])(?=[aeoáéóíú])|(?<=[íú])(?=[aeoáéó])")
_TO_THE_EDGE = frozenset({"it", "pt"})
"""Languages whose patterns also part a first or last letter."""
_MUTE_E = {"fr": re.compile(r"(?<=[^aeiouy])es?$"), "en": re.compile(r"(?<=[^aeiouyl])e$")}
_VOWELS = "aeiouyæœøıə" + "аеиоуыэюяєіѐѝө" + "αεηιουω"
_RUN, _VOWEL = re.compile(f"[{_VOWELS}]+"), re.compile(f"[{_VOWELS}]")
_Y_OF_HUNGARIAN = re.compile("(?<=[gnlt])y")
_NAMED_OTHERWISE = {"no": "nb"}
"""Whisper's code of a language -> pyphen's."""
_PUNCTUATION = '.,;:!?…"()[]{}“”„«»–—-*#&/ '
_NOT_OF_THEIR_OWN = frozenset("ぁぃぅぇぉっゃゅょゎァィゥェォッャュョヮー")


class _Hyphenator(Protocol):
    def inserted(self, word: str, hyphen: str = "-") -> str: ...


def engine() -> str:
    """The versions of the dictionaries, as a stage names its engine."""
    return ", ".join(f"{name} {_version(name)}" for name in ("pyphen", "pocketsphinx"))


def word_syllables(word: str, language: str | None) -> int | None:
    """Syllables of one word as a transcript writes it, with its punctuation.

    Args:
        word: "don't", "well-known,", "こんにちは".
        language: ISO 639-1 code; None: not known.

    Returns:
        At least 1; None for numbers, signs, and words of a language that nothing here knows.
    """
    plain = unicodedata.normalize("NFC", word).casefold().replace("’", "'")
    if language is None or any(sign.isnumeric() and _kind(sign) is None for sign in plain):
        return None
    if language == "en" and (spoken := _in_cmudict(plain)):
        return spoken
    parts = ["".join(signs) for is_letter, signs in groupby(plain, _is_part_of_word) if is_letter]
    parts = [part for part in parts if any(sign.isalpha() for sign in part)]
    if not parts:
        return None
    counts = [_part(part, language) for part in parts]
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def mean_syllables(
    words: Iterable[str], language: str | None
) -> tuple[float, SyllableSource] | None:
    """Syllables per word over the words that are known, and how they were counted.

    None where fewer than `MIN_KNOWN_SHARE` of the words are known.
    """
    counts = [word_syllables(word, language) for word in words]
    known = [count for count in counts if count is not None]
    if language is None or not known or len(known) < MIN_KNOWN_SHARE * len(counts):
        return None
    return fmean(known), _source(language)


def _source(language: str) -> SyllableSource:
    if language == "en" and _cmudict():
        return "dictionary"
    return "characters" if language in {"zh", "yue", "ja", "ko"} else "spelling"


def _is_part_of_word(sign: str) -> bool:
    return sign == "'" or unicodedata.category(sign)[0] in "LM"


def _part(part: str, language: str) -> int | None:
    """Syllables of a run of letters, their marks and apostrophes."""
    if language == "en" and (spoken := _in_cmudict(part)):
        return spoken
    letters = [letter for letter in part if letter.isalpha()]
    if counted := _by_character(letters, language):
        return counted
    if not all(_is_european(letter) for letter in letters):
        return _by_points(part, language)
    return _by_vowels("".join(letters), language)


def _by_character(letters: list[str], language: str) -> int | None:
    kinds = [_kind(letter) for letter in letters]
    if None in kinds or (language == "ja" and "han" in kinds):
        return None
    own = [letter for letter in letters if letter not in _NOT_OF_THEIR_OWN | {"ん", "ン"}]
    return max(1, len(own))


def _kind(letter: str) -> str | None:
    name = unicodedata.name(letter, "")
    for start, kind in (
        ("CJK ", "han"),
        ("HANGUL SYLLABLE", "hangul"),
        ("HIRAGANA", "kana"),
        ("KATAKANA", "kana"),
    ):
        if name.startswith(start):
            return kind
    return None


def _is_european(letter: str) -> bool:
    return unicodedata.name(letter, "").startswith(("LATIN", "CYRILLIC", "GREEK", "MODIFIER"))


def _by_vowels(letters: str, language: str) -> int | None:
    """Latin, Cyrillic or Greek letters."""
    if language in _EVERY_VOWEL:
        spelt = _Y_OF_HUNGARIAN.sub("", letters) if language == "hu" else letters
        return max(1, len(_VOWEL.findall(_bare(spelt))))
    hyphenator = _hyphenator(language)
    if hyphenator is None:
        return None
    if mute := _MUTE_E.get(language):
        shorter = mute.sub("", letters)
        letters = shorter if _VOWEL.search(_bare(shorter)) else letters
    points = hyphenator.inserted(letters)
    if language in _HIATUS:
        points = _APART.sub("-", points)
    return max(1, len(_RUN.findall(_bare(points))))


def _by_points(part: str, language: str) -> int | None:
    """Letters of which nothing is known here but where they may be hyphenated."""
    hyphenator = _hyphenator(language)
    return None if hyphenator is None else hyphenator.inserted(part).count("-") + 1


def _bare(text: str) -> str:
    """Without accents."""
    return "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c))


@lru_cache(maxsize=8)
def _hyphenator(language: str) -> _Hyphenator | None:
    try:
        import pyphen
    except ImportError:
        return None
    known: str | None = pyphen.language_fallback(_NAMED_OTHERWISE.get(language, language))
    if known is None:
        return None
    make: Callable[..., _Hyphenator] = pyphen.Pyphen
    edge = 1 if language in _TO_THE_EDGE else 2
    return make(lang=known, left=edge, right=edge)


def _in_cmudict(word: str) -> int | None:
    """The word, or what is left of it without the punctuation around it."""
    inner = word.strip(_PUNCTUATION)
    counts = _cmudict()
    return counts.get(inner) or counts.get(inner + ".") or counts.get(inner.strip("'"))


@lru_cache(maxsize=1)
def _cmudict() -> dict[str, int]:
    """Word -> syllables; empty where the package pocketsphinx is not installed."""
    spec = find_spec("pocketsphinx")
    if spec is None or spec.origin is None:
        return {}
    path = Path(spec.origin).parent / "model" / "en-us" / "cmudict-en-us.dict"
    if not path.is_file():
        return {}
    counts: dict[str, int] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        word, *phones = line.split()
        counts.setdefault(word, sum(phone in _ARPABET_VOWELS for phone in phones))
    return {word: count for word, count in counts.items() if count}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "absent"
