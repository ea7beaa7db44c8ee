"""A chat model's text -> the one JSON object in it.

What is valid JSON comes back as it is. Servers without structured outputs let their
models write more freely; what such a text says beyond doubt is read, and each kind of
liberty is named. A value is never guessed, completed or shortened: a text that ends too
early gives what was complete before, and a text with two meanings is refused.
docs/adr/021-json-text.md says why this is our own.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Literal, NoReturn, TypeAlias

from pydantic import JsonValue

MAX_CHARS = 4_000_000
"""Of a text: more than the 400,000 tokens that settings.description allows."""
MAX_DEPTH = 100
"""Of objects and lists within each other; what Python's own stack bears easily."""
MAX_DIGITS = 300
"""Of a whole number; it fits a float (at most 1.8e308)."""
MAX_STARTS = 1000
"""Opening braces that are tried. It bounds the time that a hostile text takes."""

TRUNCATED = "truncated"
"""The entry of `JsonText.repairs` of a text that ended too early."""


class NotJson(ValueError):  # noqa: N818  (named by what happened)
    """There is no JSON object in the text that could be read beyond doubt.

    The message is a clause with the place, fit to be shown to the model.
    """


@dataclass(frozen=True, slots=True)
class JsonText:
    """An object that was read from a text.

    Attributes:
        value: the object.
        whole: False: the text ended inside it; `value` has what was complete by then.
        repairs: the kinds of liberties that the text takes with JSON, each once; empty:
            it is JSON.
        cut: the key of `value`'s own level inside whose value the text ended, which may
            be partly there or not at all; None: it is whole or ended between two members.
    """

    value: dict[str, JsonValue]
    whole: bool
    repairs: tuple[str, ...]
    cut: str | None = None


def read_json(text: str) -> JsonText:
    """The JSON object in a text.

    JSON (RFC 8259) comes back unchanged. Else the text may hold: prose and code fences
    around the object, trailing commas, commas that lack between two lines, single
    quotes (an apostrophe between two letters ends no text), Python's words and escapes,
    line breaks within texts, // and /* */ comments. Of several objects the one with the
    longest text counts, the first of equals: examples and braces in prose are shorter than
    the answer. If the longest is broken, nothing is read: a shorter one is not the answer.
    Nor is anything that a reasoning model writes before `</think>`.

    A text that ends inside the object gives all that is certainly complete: not a text
    without its closing quote, a number with nothing behind it, a key without a value, nor
    lists and objects with nothing complete in them.

    A key that stands twice with the same value is taken once; with two values it is refused.
    Takes time in proportion to the text.

    Raises:
        NotJson: whatever else the text is; also NaN, Infinity and numbers beyond a float.
    """
    if len(text) > MAX_CHARS:
        raise NotJson(f"longer than {MAX_CHARS} characters")
    return _strictly(text) or _tolerantly(text)


class _Nothing(Enum):
    """In place of a value that the text ends in."""

    NOTHING = 0


NOTHING: Final = _Nothing.NOTHING
_Maybe: TypeAlias = JsonValue | Literal[_Nothing.NOTHING]


# --------------------------------------------------------------------------- JSON as it is


def _strictly(text: str) -> JsonText | None:
    notes: dict[str, None] = {}

    def members(pairs: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
        found: dict[str, JsonValue] = {}
        for key, value in pairs:
            _put(found, key, value, notes=notes)
        return found

    try:
        value: Any = json.loads(
            text,
            object_pairs_hook=members,
            parse_int=_number,
            parse_float=_number,
            parse_constant=_number,
        )
    except (ValueError, RecursionError):
        return None  # the tolerant reader says what is wrong with it
    if not isinstance(value, dict) or _deeper_than(value, MAX_DEPTH):
        return None
    return JsonText(value, whole=True, repairs=tuple(notes))


def _deeper_than(value: JsonValue, levels: int) -> bool:
    layer = [value]
    for _ in range(levels):
        layer = [
            child
            for holder in layer
            if isinstance(holder, dict | list)
            for child in (holder.values() if isinstance(holder, dict) else holder)
        ]
    return any(isinstance(value, dict | list) for value in layer)


def _put(
    members: dict[str, JsonValue], key: str, value: JsonValue, *, notes: dict[str, None]
) -> None:
    """Add a member; repr tells 1, 1.0 and true apart."""
    if key in members:
        if repr(members[key]) != repr(value):
            raise NotJson(f"the key {key[:40]!a} stands twice with different values")
        notes["key twice"] = None
    members[key] = value


_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_WHOLE = re.compile(r"-?[0-9]+")


def _number(text: str) -> int | float:
    if not _NUMBER.fullmatch(text):
        raise NotJson(f"{text[:40]!a} is no number of JSON")
    if _WHOLE.fullmatch(text):
        if len(text) > MAX_DIGITS:
            raise NotJson(f"a number of more than {MAX_DIGITS} digits")
        return int(text)
    if not math.isfinite(number := float(text)):
        raise NotJson(f"the number {text[:40]!a} is too large")
    return number


# --------------------------------------------------------------------------- an object in a text

_GAP = r"(?:\s{1,500}+|//[^\n]{0,500}+\n|/\*[^*]{0,500}+\*/){0,20}+"
_START = re.compile(
    rf"\{{{_GAP}"
    rf"(?:\}}|(?:\"(?:[^\"\\]|\\.){{0,200}}+\"|'(?:[^'\\]|\\.|(?<=\w)'(?=\w)){{0,200}}+'){_GAP}:)",
    re.DOTALL,
)
"""How an object begins: a quoted key with a colon. Any other brace belongs to the prose. The
bounds keep a try short; a first key of more than 200 characters is none of ours."""
_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)|[][{}]', re.DOTALL)


@dataclass(frozen=True, slots=True)
class _Found:
    """An object in the text, or one that is broken."""

    start: int
    end: int
    reader: _Reader
    value: dict[str, JsonValue]
    broken: NotJson | None = None

    @property
    def size(self) -> int:
        return self.end - self.start if self.value or self.broken else 0


def _tolerantly(text: str) -> JsonText:
    found = _objects(text, _behind_thoughts(text))
    if not found:
        raise NotJson("no JSON object in the text")
    best = max(found, key=lambda one: one.size)  # the first of equals
    if best.broken is not None:
        raise best.broken
    reader = best.reader
    if reader.ended and not best.value:
        raise NotJson("the text ends before anything is complete")
    notes = dict.fromkeys([*_around(text[: best.start], text[best.end :]), *reader.notes])
    if reader.ended:
        notes[TRUNCATED] = None
    return JsonText(best.value, whole=not reader.ended, repairs=tuple(notes), cut=reader.open_key)


def _behind_thoughts(text: str) -> int:
    """Where the answer of a reasoning model can begin.

    Models of the kind of DeepSeek-R1 and Qwen3 think aloud between <think> and </think>; the
    first tag may stand in the prompt's template. Servers part the two only if they are told to
    (vLLM, docs, "Reasoning Outputs").
    """
    begins = text.lstrip()[:7]
    end = text.find("</think>")
    if end >= 0 and begins[:1] not in ("{", "[", "`"):
        return end + len("</think>")
    if begins == "<think>":
        raise NotJson("the text ends before the answer")
    return 0


def _objects(text: str, start: int) -> list[_Found]:
    found: list[_Found] = []
    at = text.find("{", start)
    for _ in range(MAX_STARTS):
        if at < 0:
            break
        after = at + 1
        if _START.match(text, at):
            found.append(_object_at(text, at))
            after = found[-1].end
        at = text.find("{", after)
    return found


def _object_at(text: str, start: int) -> _Found:
    reader = _Reader(text, start)
    try:
        value = reader.object(depth=1)
    except NotJson as error:
        broken = NotJson(f"at character {reader.at + 1}: {error}")
        return _Found(start, _end_of_broken(text, start), reader, {}, broken)
    return _Found(start, reader.at, reader, {} if value is NOTHING else value)


def _end_of_broken(text: str, start: int) -> int:
    """Where its brackets are closed, so that what stands inside it is not taken for an answer."""
    depth = 0
    for bracket in _BRACKET.finditer(text, start):
        kind = bracket.group()[0]
        if kind != '"':
            depth += 1 if kind in "{[" else -1
            if depth == 0:
                return bracket.end()
    return len(text)


_FENCE = re.compile(r"```[ \t]*(?:json5?|jsonc|python|py|javascript|js)?(?=\s|\Z)", re.IGNORECASE)


def _around(before: str, after: str) -> list[str]:
    rest = [_FENCE.sub("", side).strip() for side in (before, after)]
    notes = ["code fence"] if "```" in before or "```" in after else []
    return [*notes, "text around"] if any(rest) else notes


# --------------------------------------------------------------------------- reading it

_SKIP = re.compile(r"\s++|//[^\n]*+|/\*.*?\*/|/\*.*+|/\Z", re.DOTALL)
_WORD = re.compile(r"[A-Za-z_][A-Za-z_0-9]*+")
_NUMERIC = re.compile(r"[-+.0-9][-+.0-9A-Za-z_]*+")
_PLAIN = {'"': re.compile(r'[^"\\]*+'), "'": re.compile(r"[^'\\]*+")}
_CONTROL = re.compile(r"[\x00-\x1f]")
_WORDS: dict[str, bool | None] = {
    "true": True, "false": False, "null": None, "True": True, "False": False, "None": None,
}  # fmt: skip
_ESCAPES = {
    '"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t",
}  # fmt: skip
_PAIR = re.compile(r"u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})")
_CODE = re.compile(r"u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|U([0-9a-fA-F]{8})")
_CODE_LENGTH = {"u": 5, "x": 3, "U": 9}


class _Reader:
    """Recursive descent from `at` on.

    Attributes:
        at: where it is in the text.
        ended: the text was over before the object was.
        open_key: the key of the outermost object whose value is being read.
        notes: kinds of liberties so far.
    """

    def __init__(self, text: str, at: int) -> None:
        self.text = text
        self.at = at
        self.ended = False
        self.open_key: str | None = None
        self.notes: dict[str, None] = {}

    def object(self, *, depth: int) -> dict[str, JsonValue] | Literal[_Nothing.NOTHING]:
        """The object that begins here; NOTHING if the text ends with nothing complete in it."""
        members: dict[str, JsonValue] = {}
        self._enter(depth)
        since: int | None = None
        while self._another("}", since):
            if (key := self._key()) is NOTHING:
                break
            if depth == 1:
                self.open_key = key
            value = self._value(depth)
            if value is not NOTHING:
                _put(members, key, value, notes=self.notes)
            if self.ended:
                break
            if depth == 1:
                self.open_key = None
            since = self.at
        return members if members or not self.ended else NOTHING

    def _list(self, depth: int) -> list[JsonValue] | Literal[_Nothing.NOTHING]:
        items: list[JsonValue] = []
        self._enter(depth)
        since: int | None = None
        while self._another("]", since):
            value = self._value(depth)
            if value is not NOTHING:
                items.append(value)
            if self.ended:
                break
            since = self.at
        return items if items or not self.ended else NOTHING

    def _enter(self, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise NotJson(f"more than {MAX_DEPTH} levels within each other")
        self.at += 1

    def _another(self, close: str, since: int | None) -> bool:
        """Whether a further member stands here; `since`: where the one before it ended."""
        if self._over():
            return False
        if since is not None and self.text[self.at] == ",":
            self.at += 1
            if self._over():
                return False
            if self.text[self.at] == close:
                self._note("trailing comma")
        elif since is not None and self.text[self.at] != close:
            self._bridge(close, since)
        if self.text[self.at] != close:
            return True
        self.at += 1
        return False

    def _bridge(self, close: str, since: int) -> None:
        """Go on without a comma, where nothing else can be meant."""
        last, here = self.text[since - 1], self.text[self.at]
        if close == "}":
            clear = here in "\"'" and (last not in "\"'" or "\n" in self.text[since : self.at])
        else:
            clear = last + here == "}{"
        if not clear:
            self._fail(f"a comma or {close} expected")
        self._note("missing comma")

    def _key(self) -> str | Literal[_Nothing.NOTHING]:
        if self.text[self.at] not in "\"'":
            self._fail("a key in quotes expected")
        key = self._string()
        if key is NOTHING or self._over():
            return NOTHING
        if self.text[self.at] != ":":
            self._fail("a colon expected")
        self.at += 1
        return key

    def _value(self, depth: int) -> _Maybe:
        if self._over():
            return NOTHING
        here = self.text[self.at]
        if here == "{":
            return self.object(depth=depth + 1)
        if here == "[":
            return self._list(depth + 1)
        if here in "\"'":
            return self._string()
        if here in "-+.0123456789":
            return self._numeric()
        return self._word()

    def _numeric(self) -> _Maybe:
        written = _NUMERIC.match(self.text, self.at)
        assert written is not None  # noqa: S101  (its first character was looked at)
        if written.end() == len(self.text):
            return self._end()  # its last digits may be missing
        number = _number(written.group())
        self.at = written.end()
        return number

    def _word(self) -> _Maybe:
        written = _WORD.match(self.text, self.at)
        if not written:
            self._fail("a value expected")
        word = written.group()
        if word not in _WORDS:
            if written.end() == len(self.text) and any(w.startswith(word) for w in _WORDS):
                return self._end()
            self._fail(f"{word[:40]!a} is no value of JSON")
        if word[0].isupper():
            self._note("Python words")
        self.at = written.end()
        return _WORDS[word]

    def _string(self) -> str | Literal[_Nothing.NOTHING]:
        quote = self.text[self.at]
        start = self.at
        if quote == "'":
            self._note("single quotes")
        self.at += 1
        parts: list[str] = []
        while (piece := self._piece(quote)) is not None:
            if piece is NOTHING:
                return NOTHING
            parts.append(piece)
        if _CONTROL.search(self.text, start, self.at):
            self._note("line breaks in texts")
        return "".join(parts)

    def _piece(self, quote: str) -> str | Literal[_Nothing.NOTHING] | None:
        """The next part of a text; None: it has been closed."""
        plain = _PLAIN[quote].match(self.text, self.at)
        if plain and plain.group():
            self.at = plain.end()
            return plain.group()
        if self.at >= len(self.text):
            return self._end()
        if self.text[self.at] == "\\":
            return self._escape()
        before, after = self.text[self.at - 1], self.text[self.at + 1 : self.at + 2]
        self.at += 1
        if quote == "'" and before.isalnum() and after.isalnum():
            self._note("apostrophe in single quotes")
            return quote
        if quote == "'" and before.isalnum() and not after:
            return self._end()  # an apostrophe may have been meant
        return None

    def _escape(self) -> str | Literal[_Nothing.NOTHING]:
        kind = self.text[self.at + 1 : self.at + 2]
        if kind in _ESCAPES:
            self.at += 2
            return _ESCAPES[kind]
        if not kind or len(self.text) - self.at - 1 < _CODE_LENGTH.get(kind, 1):
            return self._end()
        if kind in _CODE_LENGTH:
            return self._code(kind)
        self._note("escapes")
        self.at += 2
        return kind if kind == "'" else "\\" + kind  # one that means nothing stands for itself

    def _code(self, kind: str) -> str:
        if pair := _PAIR.match(self.text, self.at + 1):
            self.at = pair.end()
            high, low = (int(half, 16) for half in pair.groups())
            return chr(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))
        code = _CODE.match(self.text, self.at + 1)
        number = int(next(filter(None, code.groups())), 16) if code else -1
        if code is None or number > 0x10FFFF:
            self._fail(f"a character's number expected behind \\{kind}")
        if kind != "u":
            self._note("escapes")
        self.at = code.end()
        return chr(number)

    def _over(self) -> bool:
        """Go to the next thing that counts; whether there is none."""
        while gap := _SKIP.match(self.text, self.at):
            if gap.group()[0] == "/":
                self._note("comments")
            self.at = gap.end()
        if self.at >= len(self.text) or self.text.startswith("```", self.at):
            self.ended = True
        return self.ended

    def _end(self) -> Literal[_Nothing.NOTHING]:
        self.at = len(self.text)
        self.ended = True
        return NOTHING

    def _note(self, kind: str) -> None:
        self.notes[kind] = None

    def _fail(self, expected: str) -> NoReturn:
        raise NotJson(f"{expected}, found {self.text[self.at]!a}")
