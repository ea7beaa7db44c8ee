"""Columns of stage `describe`: what a model was asked by `description.dimensions`, as cells.

A dimension `tone` gives `description_tone` and `description_tone_confidence`; the dimension
`description` is called just that. An object gives one column per field. Evidence is left
out of the cells and counted instead; the record has it in full.

A record may hold answers to other dimensions than those of the columns (the config has
changed since). What does not fit a typed column is left out of it; in a column of text it
stands as JSON.
"""

from __future__ import annotations

import json
import math
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import TypeAlias

from pydantic import JsonValue, ValidationError

from reelscope.errors import ConfigError
from reelscope.export.column import TEXT_JOINT, Cell, CellType, Column, of_stage
from reelscope.records import Description, Evidence
from reelscope.settings import AnswerField, Dimension, FieldType

LONGEST_MEANING = 200
"""Characters of an instruction in what a column says of itself."""

_Named: TypeAlias = tuple[str, Column]
"""Whose column it is, in the words of an error, and the column."""
_TYPES: dict[FieldType, tuple[CellType, str | None]] = {
    "number": ("number", None), "share": ("number", "0-1"), "integer": ("integer", None),
    "boolean": ("boolean", None),
}  # fmt: skip
"""Of the answer -> of the column and its unit; every other answer is text."""
_MOST = 2**63
"""An integer of the Parquet file is below it."""


def description_columns(dimensions: Sequence[Dimension]) -> list[Column]:
    """The columns of a description that asks for these dimensions, in their order.

    Raises:
        ConfigError: two of them would have the same name.
    """
    named = [column for dimension in dimensions for column in _of_dimension(dimension)]
    named += [("Reelscope's own", column) for column in _ALWAYS]
    owners: dict[str, str] = {}
    for owner, column in named:
        if (other := owners.setdefault(column.name, owner)) is not owner:
            raise ConfigError(
                f"description.dimensions: two columns would be named {column.name}: "
                f"{other} and {owner}; rename the dimension or the field"
            )
    return [column for _, column in named]


def title(name: str) -> str:
    """A dimension's or a field's name as words."""
    return name.replace("_", " ").capitalize()


def in_short(instruction: str) -> str:
    """An instruction as one line of at most LONGEST_MEANING characters."""
    line = " ".join(instruction.split())
    line = "".join(c for c in line if unicodedata.category(c) not in ("Cc", "Cs"))
    if len(line) > LONGEST_MEANING:
        return line[: LONGEST_MEANING - 4].rstrip() + " ..."
    return line if line.endswith((".", "!", "?")) else f"{line}."


def evidence_in(value: JsonValue) -> Iterator[Evidence]:
    """The evidence that stands inside an answer, at any depth."""
    if isinstance(value, dict):
        if (found := as_evidence(value)) is not None:
            yield found
            return
        value = list(value.values())
    for item in value if isinstance(value, list) else ():
        yield from evidence_in(item)


def as_evidence(value: JsonValue) -> Evidence | None:
    """A piece of evidence, if this is one by its keys."""
    if not isinstance(value, dict) or value.keys() != Evidence.model_fields.keys():
        return None
    try:
        return Evidence.model_validate(value)
    except ValidationError:
        return None


def evidence_of(description: Description, name: str) -> list[Evidence]:
    """What the answer to one dimension rests on, beside the answer and inside it."""
    answer = description.dimensions[name]
    return [*answer.evidence, *evidence_in(answer.value)]


def _all_evidence(description: Description) -> Iterator[Evidence]:
    for name in description.dimensions:
        yield from evidence_of(description, name)


# ------------------------------------------------------------------------------- cells


def cell_of(value: JsonValue, field: AnswerField) -> Cell:
    """An answer as the cell of its column; None where there is none or it is of another type."""
    if field.type in ("number", "share"):
        return _number(value, highest=1.0 if field.type == "share" else None)
    if field.type == "integer":
        return _integer(value)
    if field.type == "boolean":
        return value if isinstance(value, bool) else None
    text = _text(value, field)
    return text.encode("utf-8", "replace").decode("utf-8") or None  # half a character fits no file


def _number(value: JsonValue, *, highest: float | None) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    if not math.isfinite(number) or (highest is not None and not 0.0 <= number <= highest):
        return None
    return number


def _integer(value: JsonValue) -> int | None:
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if -_MOST <= value < _MOST else None


def _text(value: JsonValue, field: AnswerField, *, inside: bool = False) -> str:
    """An answer in words, without nulls and evidence; JSON where it is of another type.

    Args:
        value: the answer.
        field: what was asked.
        inside: it stands among the fields of another answer.
    """
    joint = ", " if inside else TEXT_JOINT
    match field.type, value:
        case _, None:
            return ""
        case (("text" | "choice"), str(text)):
            return text
        case (("texts" | "choices"), list(items)) if all(isinstance(i, str) for i in items):
            return joint.join(map(str, items))
        case "object", dict(item):
            return _bracketed(_fields(item, field.fields), inside)
        case "objects", list(items) if all(isinstance(i, dict) for i in items):
            texts = (_fields(i, field.fields) for i in items if isinstance(i, dict))
            return joint.join(_bracketed(text, inside) for text in texts if text)
        case _:
            return json.dumps(value, ensure_ascii=False)


def _fields(item: Mapping[str, JsonValue], fields: Sequence[AnswerField]) -> str:
    """ "product: lipstick; claim: It stays on all day."."""
    asked = (field for field in fields if field.type != "evidence")
    texts = ((field.name, _text(item.get(field.name), field, inside=True)) for field in asked)
    return "; ".join(f"{name}: {text}" for name, text in texts if text)


def _bracketed(text: str, inside: bool) -> str:
    return f"({text})" if inside and text else text


# ----------------------------------------------------------------------------- columns


def _of_dimension(asked: Dimension) -> Iterator[_Named]:
    prefix = "description" if asked.name == "description" else f"description_{asked.name}"
    about = title(asked.name)
    if asked.type == "object":
        for field in asked.fields:
            if field.type != "evidence":
                meaning = in_short(f"{about}, {field.name}: {field.instruction}")
                column = _column(f"{prefix}_{field.name}", field, meaning, (asked.name, field.name))
                yield f"{asked.name}.{field.name}", column
    else:
        meaning = in_short(asked.instruction.strip() or f"The answer to {asked.name}")
        yield asked.name, _column(prefix, asked, meaning, (asked.name,))
    meaning = f"How sure the model says it is of {asked.name}; empty: no answer."
    yield (
        f"the confidence of {asked.name}",
        _confidence(f"{prefix}_confidence", asked.name, meaning),
    )


def _column(name: str, field: AnswerField, meaning: str, path: tuple[str, ...]) -> Column:
    """The column of an answer (path: its dimension) or of a field in it (dimension, field)."""

    def read(description: Description) -> Cell:
        answer = description.dimensions.get(path[0])
        value = answer.value if answer else None
        for key in path[1:]:
            value = value.get(key) if isinstance(value, dict) else None
        return cell_of(value, field)

    cell_type, unit = _TYPES.get(field.type, ("text", None))
    return of_stage(Description, (name, cell_type, unit, meaning + _how(field), read))[0]


def _how(field: AnswerField) -> str:
    """How several texts stand in one cell."""
    names = "; ".join(f"{f.name}: ..." for f in field.fields if f.type != "evidence")
    return {
        "texts": f" Joined by '{TEXT_JOINT}'.",
        "choices": f" Joined by '{TEXT_JOINT}'.",
        "object": f" As '{names}'.",
        "objects": f" Each as '{names}', joined by '{TEXT_JOINT}'.",
    }.get(field.type, "")


def _confidence(name: str, dimension: str, meaning: str) -> Column:
    def read(description: Description) -> Cell:
        answer = description.dimensions.get(dimension)
        return answer.confidence if answer else None

    return of_stage(Description, (name, "number", "0-1", meaning, read))[0]


def _refusal(description: Description) -> str | None:
    refusal = description.refusal
    return (refusal.reason or refusal.kind) if refusal else None


_ALWAYS = of_stage(
    Description,
    ("description_model", "text", None, "The model that answered, as the server names it.",
     lambda v: v.model),
    ("description_refusal", "text", None, "Why the model or a filter before it would not answer; "
     "empty: it did.", _refusal),
    ("description_truncated", "boolean", None, "Whether the answer ended too early.",
     lambda v: v.truncated),
    ("description_evidence", "integer", None, "Frames and words that the answers say they rest on.",
     lambda v: sum(1 for _ in _all_evidence(v))),
    ("description_evidence_found", "integer", None, "Of those: what the video really has.",
     lambda v: sum(evidence.found for evidence in _all_evidence(v))),
    ("description_images", "integer", None, "Pictures that were sent.", lambda v: len(v.images)),
    ("description_requests", "integer", None, "Answers that were paid for, with those asked for "
     "again.", lambda v: v.usage.requests),
    ("description_input_tokens", "integer", "tokens", "Tokens read.",
     lambda v: v.usage.input_tokens),
    ("description_output_tokens", "integer", "tokens", "Tokens written.",
     lambda v: v.usage.output_tokens),
    ("description_cost_usd", "number", "USD", "By description.prices; empty: the model has no "
     "price there.", lambda v: v.usage.cost_usd),
)  # fmt: skip
