"""What can be seen of a text from outside.

Characters that nobody sees are a known way of smuggling instructions into a prompt (the tag
block writes ASCII invisibly, variation selectors carry bytes), and characters that turn the
direction of writing show people another text than the model reads.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

_IGNORABLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    "\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
"""Default_Ignorable_Code_Point of Unicode 16, DerivedCoreProperties.txt (UAX #44)."""
_JOINERS = "\u200c\u200d"
_STYLES = "\ufe0e\ufe0f"


def visible(text: str) -> str:
    """The text on one line, without what cannot be seen.

    Removed are control, format, private and surrogate characters (Unicode Cc, Cf, Co, Cs)
    and all that Unicode calls ignorable. Kept are single joiners inside emoji and inside
    words of scripts that need them (Persian, Hindi), and a single choice between the plain
    and the coloured shape of an emoji. White space becomes single blanks.
    """
    text = " ".join(text.split())
    if text.isprintable() and not _IGNORABLE.search(text):
        return text
    kept = "".join(_kept(text))
    return " ".join(kept.split())


def _kept(text: str) -> Iterator[str]:
    before = ""
    for at, char in enumerate(text):
        if _stays(before, char, text[at + 1 : at + 2]):
            yield char
            before = char


def _stays(before: str, char: str, after: str) -> bool:
    if char in _JOINERS:
        return _joined(before) and _joined(after)
    if char in _STYLES:
        return bool(before) and (before in "#*0123456789" or unicodedata.category(before) == "So")
    return not _IGNORABLE.match(char) and unicodedata.category(char) not in ("Cc", "Cf", "Co", "Cs")


def _joined(char: str) -> bool:
    """Whether joiners have a meaning beside it: never beside a Latin letter of ASCII."""
    if not char or char.isascii():
        return False
    return char in _STYLES or (
        not _IGNORABLE.match(char) and unicodedata.category(char)[0] in ("L", "M", "S")
    )
