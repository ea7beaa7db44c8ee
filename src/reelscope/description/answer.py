"""What a model has to answer, as a JSON schema, and whether it did.

Nothing is filled in. A value of another type is taken where that loses nothing ("0.8" for a
number); whatever else is not as it was asked for is a problem, in a sentence that the model
can be shown to put it right.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias, get_args

from pydantic import JsonValue

from reelscope.records import EvidenceSource
from reelscope.settings.description import AnswerField, Dimension, FieldType

MAX_TEXT_CHARS = 20_000
"""Of a text in an answer."""
MAX_ITEMS = 200
"""Of a list in an answer."""
MAX_PROBLEMS = 20
"""That are named; the number of the others is said."""
MAX_WHOLE = 2**53
"""Up to here every whole number is the same as a float (IEEE 754, 53 bits)."""
MAX_SHOWN_CHARS = 60
"""Of a value inside a problem."""
MAX_SHOWN_CHOICES = 20
"""Of those that a problem lists."""
MAX_NUMBER_CHARS = 40
"""Of a number that is written as a text."""
SOURCES: tuple[EvidenceSource, ...] = get_args(EvidenceSource)


# --------------------------------------------------------------------------- schema

MAX_LEVELS = 10
MAX_PROPERTIES = 5000
MAX_ENUM_VALUES = 1000
MAX_NAME_CHARS = 120_000
LONG_ENUM = 250
MAX_LONG_ENUM_CHARS = 15_000

_JSON_TYPES: dict[FieldType, str] = {
    "text": "string", "number": "number", "integer": "integer", "share": "number",
    "boolean": "boolean", "choice": "string", "texts": "array", "choices": "array",
    "objects": "array", "evidence": "array",
}  # fmt: skip


def answer_schema(dimensions: Sequence[Dimension]) -> dict[str, Any]:
    """The JSON schema of an answer, as strict structured outputs want it.

    An object with a key for each dimension: {value, confidence[, evidence]}. Every object
    names all its keys as required and takes no others; what is optional may be null. Ranges
    stand in descriptions: not every server knows `minimum`, and `check_answer` looks.

    Source: OpenAI, guide "Structured model outputs", section "Supported schemas".
    """
    return _object({dimension.name: _dimension(dimension) for dimension in dimensions})


def _dimension(dimension: Dimension) -> dict[str, Any]:
    keys = {
        "value": _field(dimension),
        "confidence": {"type": "number", "description": "How sure you are of the value, 0 to 1."},
    }
    return _object({**keys, "evidence": _evidence()} if dimension.evidence else keys)


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _evidence() -> dict[str, Any]:
    entry = _object(
        {
            "source": {"type": "string", "enum": list(SOURCES)},
            "time_s": {
                "type": ["number", "null"],
                "description": "Seconds from the start; of a frame exactly as it was given.",
            },
            "quote": {
                "type": ["string", "null"],
                "description": "The words exactly as they were given; null for a frame.",
            },
        }
    )
    return {"type": "array", "items": entry}


def _field(asked: AnswerField) -> dict[str, Any]:
    if asked.type == "object":
        schema = _of_fields(asked)
        if asked.optional:
            schema = {"anyOf": [schema, {"type": "null"}]}
    else:
        kind = _JSON_TYPES[asked.type]
        schema = {"type": [kind, "null"] if asked.optional else kind, **_details(asked)}
    said = asked.instruction.strip()
    if asked.type == "share":
        said = f"{said} A number from 0 to 1.".strip()
    return {**schema, "description": said} if said else schema


def _details(asked: AnswerField) -> dict[str, Any]:
    choices: list[str | None] = list(asked.choices)
    match asked.type:
        case "texts":
            return {"items": {"type": "string"}}
        case "choice":
            return {"enum": [*choices, None] if asked.optional else choices}
        case "choices":
            return {"items": {"type": "string", "enum": choices}}
        case "objects":
            return {"items": _of_fields(asked)}
        case "evidence":
            return {"items": _evidence()["items"]}
        case _:
            return {}


def _of_fields(asked: AnswerField) -> dict[str, Any]:
    return _object({inner.name: _field(inner) for inner in asked.fields})


def schema_problems(schema: Mapping[str, Any]) -> list[str]:
    """Which published limits of strict structured outputs a schema passes, a sentence each.

    10 levels, 5,000 properties, 1,000 choices, 120,000 characters of names and choices, and
    15,000 characters of an enum of more than 250 choices (OpenAI, guide "Structured model
    outputs", "Objects have limitations on nesting depth and size" and the two sections after
    it, as of 2026). The guide does not say whether a list is a level: it counts as one here,
    so what passes here passes there.
    """
    levels, properties, enums, names = 0, 0, 0, 0
    long_enums: list[int] = []
    for level, part in _parts(schema, 1):
        own = part.get("properties", {})
        choices = [choice for choice in part.get("enum", ()) if isinstance(choice, str)]
        chars = sum(map(len, choices))
        levels = max(levels, level)
        properties += len(own)
        enums += len(part.get("enum", ()))
        names += sum(map(len, own)) + chars
        if len(choices) > LONG_ENUM:
            long_enums.append(chars)
    counted = (
        ("levels of objects and lists", levels, MAX_LEVELS),
        ("properties", properties, MAX_PROPERTIES),
        ("choices", enums, MAX_ENUM_VALUES),
        ("characters of names and choices", names, MAX_NAME_CHARS),
        (
            f"characters in an enum of more than {LONG_ENUM} choices",
            max(long_enums, default=0),
            MAX_LONG_ENUM_CHARS,
        ),
    )
    return [f"{found} {what}; at most {most}" for what, found, most in counted if found > most]


def _parts(schema: Mapping[str, Any], level: int) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The schema and all within it, each with its level; what is no object or list has none."""
    holds = "properties" in schema or "items" in schema
    yield (level if holds else 0), schema
    for inner in schema.get("properties", {}).values():
        yield from _parts(inner, level + 1)
    if "items" in schema:
        yield from _parts(schema["items"], level + 1)
    for inner in schema.get("anyOf", ()):
        yield from _parts(inner, level)


# --------------------------------------------------------------------------- answers


@dataclass(frozen=True, slots=True)
class RawEvidence:
    """What an answer says it rests on; nobody has looked yet.

    Attributes:
        source: what kind of thing.
        time_s: seconds from the start, 0 or more; a frame always has one.
        quote: the words; sources other than a frame always have some.
    """

    source: EvidenceSource
    time_s: float | None
    quote: str | None


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """An answer of the right type.

    Attributes:
        value: as the dimension's type wants it.
        confidence: 0-1.
        evidence: in the model's order; empty if the dimension asks for none.
    """

    value: JsonValue
    confidence: float
    evidence: tuple[RawEvidence, ...] = ()


@dataclass(frozen=True, slots=True)
class Checked:
    """What is right in an answer, and what is not.

    Attributes:
        answers: by dimension, in the dimensions' order, those that are right.
        problems: what is not as it was asked for, a sentence each with its path.
        missing: dimensions that the text ended before or in.
        repairs: the kinds of values that were taken although they were of another type,
            each once.
    """

    answers: dict[str, RawAnswer]
    problems: tuple[str, ...]
    missing: tuple[str, ...]
    repairs: tuple[str, ...]


def check_answer(
    data: JsonValue,
    dimensions: Sequence[Dimension],
    *,
    cut: str | None = None,
    whole: bool = True,
) -> Checked:
    """Hold a model's answer against what was asked.

    Args:
        data: as it was read from the model's text; anything.
        dimensions: what was asked.
        cut: the key in which the text ended, as `JsonText.cut`.
        whole: False: the text ended too early. Then a dimension that is not there, or is
            the one in which it ended, is missing rather than wrong.

    Returns:
        Answers that, without problems and nothing missing, satisfy `answer_schema`.
    """
    check = _Check()
    answers: dict[str, RawAnswer] = {}
    missing: list[str] = []
    given = check.members(data, "answer", [dimension.name for dimension in dimensions])
    for dimension in dimensions:
        if given is None:
            break  # said to be wrong as a whole
        name = dimension.name
        if not whole and (name == cut or name not in given):
            missing.append(name)
        elif (answer := check.dimension(given, dimension)) is not None:
            answers[name] = answer
    return Checked(answers, check.all_problems(), tuple(missing), tuple(check.repairs))


class _Wrong:
    """In place of a value that cannot be taken."""


WRONG: Final = _Wrong()
_Taken: TypeAlias = JsonValue | _Wrong
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_TIME = AnswerField(name="time_s", type="number", optional=True)
_QUOTE = AnswerField(name="quote", type="text", optional=True)
_SOURCE = AnswerField(name="source", type="choice", choices=SOURCES)
_SHARE = AnswerField(name="confidence", type="share")


@dataclass(slots=True)
class _Check:
    """One pass over an answer. Each method takes a value and the path that leads to it."""

    problems: list[str] = field(default_factory=list)
    more: int = 0
    repairs: dict[str, None] = field(default_factory=dict)

    def all_problems(self) -> tuple[str, ...]:
        rest = (f"and {self.more} more problems",) if self.more else ()
        return (*self.problems, *rest)

    def dimension(self, given: dict[str, JsonValue], dimension: Dimension) -> RawAnswer | None:
        path = dimension.name
        keys = ["value", "confidence", *(["evidence"] if dimension.evidence else [])]
        if path not in given:
            self._wrong(path, "missing")
            return None
        members = self.members(given[path], path, keys)
        if members is None:
            return None
        value = self._member(members, dimension, f"{path}.value", key="value")
        confidence = self._member(members, _SHARE, f"{path}.confidence")
        evidence = self._own_evidence(members, path) if dimension.evidence else ()
        if isinstance(value, _Wrong) or evidence is None or not isinstance(confidence, int | float):
            return None
        return RawAnswer(value, float(confidence), evidence)

    def _own_evidence(
        self, members: dict[str, JsonValue], path: str
    ) -> tuple[RawEvidence, ...] | None:
        asked = AnswerField(name="evidence", type="evidence")
        taken = self._member(members, asked, f"{path}.evidence")
        if not isinstance(taken, list):
            return None
        return tuple(raw_evidence(entry) for entry in taken)

    def members(self, data: JsonValue, path: str, keys: list[str]) -> dict[str, JsonValue] | None:
        """An object's members by those keys; others are left out."""
        if not isinstance(data, dict):
            self._wrong(path, f"object expected, found {_shown(data)}")
            return None
        if any(key not in keys for key in data):
            self._note("unknown keys left out")
        return {key: data[key] for key in keys if key in data}

    def _member(
        self, members: dict[str, JsonValue], asked: AnswerField, path: str, *, key: str = ""
    ) -> _Taken:
        key = key or asked.name
        if key not in members:
            return self._wrong(path, "missing")
        return self.value(members[key], asked, path)

    def value(self, data: JsonValue, asked: AnswerField, path: str) -> _Taken:
        if data is None:
            return None if asked.optional else self._wrong(path, "null is no answer here")
        return _TAKERS[asked.type](self, data, asked, path)

    def text(self, data: JsonValue, _: AnswerField, path: str) -> _Taken:
        if isinstance(data, int | float) and not isinstance(data, bool) and _bounded(data):
            self._note("number taken as text")
            return json.dumps(data)
        if not isinstance(data, str):
            return self._expected(path, "text", data)
        if len(data) > MAX_TEXT_CHARS:
            return self._wrong(path, f"a text of {len(data)} characters; at most {MAX_TEXT_CHARS}")
        clean = _CONTROL.sub("", data.replace("\r\n", "\n").replace("\r", "\n"))
        if clean != data:
            self._note("control characters removed")
        return clean

    def number(self, data: JsonValue, _: AnswerField, path: str) -> _Taken:
        number = self._as_number(data)
        if number is None:
            return self._expected(path, "number", data)
        if not _bounded(number):
            return self._wrong(path, "the number is too large")
        return number

    def integer(self, data: JsonValue, asked: AnswerField, path: str) -> _Taken:
        number = self.number(data, asked, path)
        if isinstance(number, float):
            if not number.is_integer() or abs(number) > MAX_WHOLE:
                return self._expected(path, "whole number", data)
            self._note("number taken as whole number")
            return int(number)
        return number

    def share(self, data: JsonValue, _: AnswerField, path: str) -> _Taken:
        number = self._as_number(data)
        if number is None or not 0 <= number <= 1:
            return self._expected(path, "number from 0 to 1", data)
        return number

    def boolean(self, data: JsonValue, _: AnswerField, path: str) -> _Taken:
        if isinstance(data, bool):
            return data
        if isinstance(data, str) and (word := data.strip().lower()) in ("true", "false"):
            self._note("text taken as true or false")
            return word == "true"
        return self._expected(path, "true or false", data)

    def choice(self, data: JsonValue, asked: AnswerField, path: str) -> _Taken:
        if isinstance(data, str):
            if data in asked.choices:
                return data
            alike = [choice for choice in asked.choices if _folded(choice) == _folded(data)]
            if len(alike) == 1:
                self._note("choice spelled otherwise")
                return alike[0]
        return self._expected(path, f"one of {_listed(asked.choices)}", data)

    def texts(self, data: JsonValue, asked: AnswerField, path: str) -> _Taken:
        return self._list(self._listed_text(data), asked, path, take=_Check.text)

    def choices(self, data: JsonValue, asked: AnswerField, path: str) -> _Taken:
        return self._list(self._listed_text(data), asked, path, take=_Check.choice)

    def object(self, data: JsonValue, asked: AnswerField, path: str) -> _Taken:
        members = self.members(data, path, [inner.name for inner in asked.fields])
        if members is None:
            return WRONG
        taken: dict[str, JsonValue] = {}
        for inner in asked.fields:
            value = self._member(members, inner, f"{path}.{inner.name}")
            if not isinstance(value, _Wrong):
                taken[inner.name] = value
        return taken if len(taken) == len(asked.fields) else WRONG

    def objects(self, data: JsonValue, asked: AnswerField, path: str) -> _Taken:
        return self._list(data, asked, path, take=_Check.object)

    def evidence(self, data: JsonValue, asked: AnswerField, path: str) -> _Taken:
        return self._list(data, asked, path, take=_Check._entry)

    def _entry(self, data: JsonValue, _: AnswerField, path: str) -> _Taken:
        members = self.members(data, path, ["source", "time_s", "quote"])
        if members is None:
            return WRONG
        source = self._member(members, _SOURCE, f"{path}.source")
        time_s = self._member(members, _TIME, f"{path}.time_s")
        quote = self._member(members, _QUOTE, f"{path}.quote")
        if isinstance(time_s, int | float) and time_s < 0:
            return self._wrong(f"{path}.time_s", "a time is 0 or more")
        if isinstance(source, _Wrong) or isinstance(time_s, _Wrong) or isinstance(quote, _Wrong):
            return WRONG
        named = (
            time_s is not None if source == "frame" else isinstance(quote, str) and quote.strip()
        )
        if not named:
            return self._wrong(path, "evidence must name a frame's time or words")
        return {"source": source, "time_s": time_s, "quote": quote}

    def _list(self, data: JsonValue, asked: AnswerField, path: str, *, take: _Taker) -> _Taken:
        if not isinstance(data, list):
            return self._expected(path, "list", data)
        if len(data) > MAX_ITEMS:
            return self._wrong(path, f"a list of {len(data)}; at most {MAX_ITEMS}")
        taken: list[JsonValue] = []
        for number, item in enumerate(data):
            value = take(self, item, asked, f"{path}[{number}]")
            if not isinstance(value, _Wrong):
                taken.append(value)
        return taken if len(taken) == len(data) else WRONG

    def _listed_text(self, data: JsonValue) -> JsonValue:
        if not isinstance(data, str):
            return data
        self._note("single text taken as list")
        return [data]

    def _as_number(self, data: JsonValue) -> int | float | None:
        """A finite number; None: it is none."""
        if isinstance(data, str) and len(data) <= MAX_NUMBER_CHARS:
            written = data.strip()
            if not _NUMBER.fullmatch(written):
                return None
            data = json.loads(written)
            self._note("text taken as number")
        if isinstance(data, bool) or not isinstance(data, int | float):
            return None
        return data if isinstance(data, int) or math.isfinite(data) else None

    def _expected(self, path: str, what: str, data: JsonValue) -> _Wrong:
        return self._wrong(path, f"{what} expected, found {_shown(data)}")

    def _wrong(self, path: str, what: str) -> _Wrong:
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(f"{path}: {what}")
        else:
            self.more += 1
        return WRONG

    def _note(self, kind: str) -> None:
        self.repairs[kind] = None


_Taker: TypeAlias = Callable[[_Check, JsonValue, AnswerField, str], _Taken]
_TAKERS: dict[FieldType, _Taker] = {
    "text": _Check.text, "texts": _Check.texts, "number": _Check.number,
    "integer": _Check.integer, "share": _Check.share, "boolean": _Check.boolean,
    "choice": _Check.choice, "choices": _Check.choices, "object": _Check.object,
    "objects": _Check.objects, "evidence": _Check.evidence,
}  # fmt: skip


def raw_evidence(entry: Any) -> RawEvidence:
    """An entry of a checked value of type `evidence`, typed."""
    time_s = entry["time_s"]
    return RawEvidence(entry["source"], None if time_s is None else float(time_s), entry["quote"])


def _bounded(number: float) -> bool:
    """Whether it is finite and every reader of the results can hold it."""
    if isinstance(number, int):
        return abs(number) <= MAX_WHOLE
    return math.isfinite(number)


def _folded(text: str) -> str:
    return " ".join(text.split()).casefold()


def _shown(data: JsonValue) -> str:
    """A value as a problem shows it: short, and without what cannot be printed."""
    if isinstance(data, dict):
        return "an object"
    if isinstance(data, list):
        return "a list"
    if isinstance(data, str):
        return f'the text "{_plain(data)}"'
    if isinstance(data, bool) or data is None:
        return json.dumps(data)
    if not _bounded(data):
        return "a number that is too large"
    return f"the number {json.dumps(data)}"


def _listed(choices: Sequence[str]) -> str:
    shown = ", ".join(_plain(choice) for choice in choices[:MAX_SHOWN_CHOICES])
    return f"{shown}, ..." if len(choices) > MAX_SHOWN_CHOICES else shown


def _plain(text: str) -> str:
    """A text's beginning in one line that can be printed."""
    clean = " ".join(_CONTROL.sub(" ", text[:MAX_SHOWN_CHARS]).split())
    return f"{clean}..." if len(text) > MAX_SHOWN_CHARS else clean
