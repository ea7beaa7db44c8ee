"""The words of a WebVTT file: what a platform's own subtitles say, without their times.

Read as W3C, "WebVTT: The Web Video Text Tracks Format", section 6.1 has it: a signature, then
blocks; a block with a line of times is a cue, any other (NOTE, STYLE, REGION) is none. A line
with an arrow always begins a cue, an empty line always ends one.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

from reelscope.crawl.said import MAX_ITEMS, MAX_LIST_CHARACTERS, clean_text

_SIGNATURE = re.compile(r"\ufeff?WEBVTT(?=[ \t\n]|\Z)")
_ARROW = "-->"
_TIME = r"(?:[0-9]{1,9}:)?[0-5][0-9]:[0-5][0-9]\.[0-9]{3}"
_TIMES = re.compile(rf"[ \t]*{_TIME}[ \t]*{_ARROW}[ \t]*{_TIME}")
_TAG = re.compile(r"<[^>]*>?")  # one that is not closed goes on to the end (section 6.4)
# No longer ones: Python refuses to read numbers of thousands of digits.
_REFERENCE = re.compile(
    r"&(?:#[0-9]{1,7}(?![0-9])|#[xX][0-9a-fA-F]{1,6}(?![0-9a-fA-F])|[A-Za-z][A-Za-z0-9]{0,31});?"
)


def lines_of(text: str) -> tuple[str, ...]:
    """What the cues say, one line each, in the file's order.

    Of equal lines in a row there is one. At most `said.MAX_ITEMS` lines, together at most
    `said.MAX_LIST_CHARACTERS` characters, cleaned as all texts of platforms are.

    Returns:
        () where nothing is said, and of anything that is no WebVTT.
    """
    lines: list[str] = []
    room = MAX_LIST_CHARACTERS
    for cue in _cues(text.replace("\r\n", "\n").replace("\r", "\n")):
        line = _plain(cue)
        if not line or (lines and lines[-1] == line):
            continue
        room -= len(line)
        if room < 0 or len(lines) == MAX_ITEMS:
            break
        lines.append(line)
    return tuple(lines)


def _cues(text: str) -> Iterator[str]:
    """The texts of the cues, with their tags."""
    if not _SIGNATURE.match(text):
        return
    cue: list[str] | None = None  # None: outside of a cue, where nothing is text
    for line in (*text.split("\n")[1:], ""):
        if line and _ARROW not in line:
            if cue is not None:
                cue.append(line)
            continue
        if cue:
            yield "\n".join(cue)
        cue = [] if _TIMES.match(line) else None


def _plain(cue: str) -> str:
    """Without tags and entities, on one line."""
    untagged = _TAG.sub("", cue)
    words = _REFERENCE.sub(lambda found: html.unescape(found[0]), untagged)
    return " ".join(clean_text(words).split())
