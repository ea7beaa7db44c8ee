"""Characters that belong to no word of a language.

Engines that are unsure mix writing systems ("the кot"), and tokens that are half a
character become U+FFFD. Only letters and marks of a script in which the language is not
written go, and what is no character at all: numbers, punctuation, symbols and emoji stay
whatever they are, and so does Latin everywhere, because names and brands are written in it.

Scripts are those of the Unicode Character Database (UAX 24: a letter counts for all of its
Script_Extensions); which language is written in which is CLDR's supplementalData
(languageData), the scripts of minorities and of the past among them.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import regex

if TYPE_CHECKING:
    from regex import Match, Pattern

_CYRILLIC, _ARABIC, _DEVANAGARI = ("Cyrillic",), ("Arabic",), ("Devanagari",)

SCRIPTS: dict[str, tuple[str, ...]] = {
    "af": (), "am": ("Ethiopic",), "ar": _ARABIC, "as": ("Bengali",),
    "az": ("Cyrillic", "Arabic"), "ba": _CYRILLIC, "be": _CYRILLIC, "bg": _CYRILLIC,
    "bn": ("Bengali",), "bo": ("Tibetan",), "br": (), "bs": _CYRILLIC, "ca": (), "cs": (),
    "cy": (), "da": (), "de": (), "el": ("Greek",), "en": (), "es": (), "et": (), "eu": (),
    "fa": _ARABIC, "fi": (), "fo": (), "fr": (), "gl": (), "gu": ("Gujarati",), "ha": _ARABIC,
    "haw": (), "he": ("Hebrew",), "hi": _DEVANAGARI, "hr": (), "ht": (), "hu": (),
    "hy": ("Armenian",), "id": _ARABIC, "is": (), "it": (),
    "ja": ("Han", "Hiragana", "Katakana"), "jw": ("Javanese",), "ka": ("Georgian",),
    "kk": ("Cyrillic", "Arabic"), "km": ("Khmer",), "kn": ("Kannada",),
    "ko": ("Hangul", "Han"), "la": (), "lb": (), "ln": (), "lo": ("Lao",), "lt": (), "lv": (),
    "mg": (), "mi": (), "mk": _CYRILLIC, "ml": ("Malayalam",), "mn": ("Cyrillic", "Mongolian"),
    "mr": _DEVANAGARI, "ms": _ARABIC, "mt": (), "my": ("Myanmar",), "ne": _DEVANAGARI, "nl": (),
    "nn": (), "no": (), "oc": (), "pa": ("Gurmukhi", "Arabic"), "pl": (), "ps": _ARABIC,
    "pt": (), "ro": _CYRILLIC, "ru": _CYRILLIC, "sa": _DEVANAGARI,
    "sd": ("Arabic", "Devanagari"), "si": ("Sinhala",), "sk": (), "sl": (), "sn": (),
    "so": _ARABIC, "sq": (), "sr": _CYRILLIC, "su": ("Sundanese",), "sv": (), "sw": _ARABIC,
    "ta": ("Tamil",), "te": ("Telugu",), "tg": ("Cyrillic", "Arabic"), "th": ("Thai",),
    "tk": ("Cyrillic", "Arabic"), "tl": ("Tagalog",), "tr": (), "tt": _CYRILLIC,
    "uk": _CYRILLIC, "ur": _ARABIC, "uz": ("Cyrillic", "Arabic"), "vi": ("Han",),
    "yi": ("Hebrew",), "yo": (), "yue": ("Han", "Bopomofo"), "zh": ("Han", "Bopomofo"),
}  # fmt: skip
"""Whisper's language codes (whisper/tokenizer.py, LANGUAGES), each with the scripts in
which it is written beside Latin."""

CLOSING = ",.;:!?…)]}»”、。！？"
"""Signs that stand right after a word."""


def without_garbage(text: str, language: str | None) -> str:
    """The text without the characters that belong to no word of its language.

    What stood around them stays apart if there was a blank. A text without such characters
    is given back as it is; so is one in a language that is not in `SCRIPTS`.

    Args:
        text: what an engine wrote.
        language: Whisper's code.
    """
    if language not in SCRIPTS:
        return text
    return str(_pattern(language).sub(_joint, text))


def _joint(found: Match[str]) -> str:
    """What is put in the place of garbage and of the blanks around it."""
    before, after = found.string[: found.start()], found.string[found.end() :]
    if not before or not after or after[0] in CLOSING:
        return ""
    return " " if any(sign.isspace() for sign in found.group()) else ""


@cache
def _pattern(language: str) -> Pattern[str]:
    """Garbage with the blanks around it.

    Garbage is U+FFFD, controls, unassigned and private code points, letters and marks of
    other scripts, each with the marks and joiners after it, and marks that stand on nothing.
    """
    scripts = "".join(
        rf"\p{{Script_Extensions={name}}}"
        for name in ("Latin", "Common", "Inherited", *SCRIPTS[language])
    )
    broken = r"[\uFFFD[[\p{Cc}\p{Cn}\p{Co}\p{Cs}]--[\s\p{Extended_Pictographic}]]]"
    foreign = rf"[[\p{{L}}\p{{M}}]--[{scripts}]]"
    lone_mark = r"(?:(?<=^|\s)\p{M})"
    garbage = rf"(?:{broken}|{foreign}|{lone_mark})[\p{{M}}\u200C\u200D]*"
    return regex.compile(rf"\s*(?:{garbage}\s*)+", regex.VERSION1)
