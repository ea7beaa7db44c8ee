"""data-dictionary.md, made from the column table and from the models themselves.

`scripts/make_dictionary.py` writes docs/data-dictionary.md, the page of the dimensions that
are asked for by default; a test holds it against this. Each batch has the page of its own.
"""

from __future__ import annotations

import re
import types
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Le
from pydantic import BaseModel, JsonValue

from reelscope.description.creator_summary import FILE_NAME as CREATOR_NAME
from reelscope.description.creator_summary import REQUESTS_NAME, CreatorDescription
from reelscope.description.exchange import FILE_NAME as EXCHANGE_NAME
from reelscope.description.exchange import Exchange
from reelscope.export.batch import ErrorRow
from reelscope.export.columns import columns
from reelscope.export.description import in_short, title
from reelscope.export.video import VIDEO_FILES
from reelscope.records import (
    LATER_VALUES,
    SCHEMA_VERSION,
    STAGE_VALUES,
    Description,
    Evidence,
    VideoRecord,
)
from reelscope.settings import AnswerField, Dimension, FieldType


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a JSON file.

    Attributes:
        path: dots between levels, `[]` for every item of a list, `<...>` for any key.
        type: in words.
        unit: what one stands for, or its range; empty where there is none.
        description: what it says.
    """

    path: str
    type: str
    unit: str
    description: str


def keys(model: type[BaseModel], *, above: str = "") -> Iterator[Key]:
    """Every key of a model and of the models in it, from the top down."""
    model.model_rebuild()  # a model that names one further down in its file
    for name, field in model.model_fields.items():
        shape = _shape(field.annotation, tuple(field.metadata))
        path = f"{above}{name}{shape.path}"
        yield Key(path, shape.text, _unit(name, shape), field.description or "")
        if shape.model is not None:
            yield from keys(shape.model, above=f"{path}.")


def render(summary: type[BaseModel], dimensions: Sequence[Dimension]) -> str:
    """The page.

    Args:
        summary: the model of summary.json, which a room above this one owns.
        dimensions: what the description asks for, `description.dimensions`.

    Raises:
        ConfigError: two columns would have the same name.
    """
    rows = [
        (f"`{c.name}`", c.type, c.unit or "", c.stage, c.description) for c in columns(dimensions)
    ]
    parts = [
        _HEAD.format(version=SCHEMA_VERSION),
        _COLUMNS,
        _table(("column", "type", "unit", "stage", "meaning"), rows),
        _ERRORS,
        _key_table(ErrorRow, first="column"),
        _RECORD,
        _key_table(VideoRecord),
        *_stage_parts(dimensions),
        "## Files in a video's folder\n",
        _TEXT_FILES,
        *_file_parts(),
        f"### {EXCHANGE_NAME}\n",
        _EXCHANGE,
        _key_table(Exchange),
        _CREATOR,
        f"### {CREATOR_NAME}\n",
        _CREATOR_DESCRIPTION,
        _key_table(CreatorDescription),
        _BATCH,
        _key_table(summary),
    ]
    return "\n".join(parts)


def _stage_parts(dimensions: Sequence[Dimension]) -> Iterator[str]:
    for stage, model in STAGE_VALUES.items():
        yield f"### Stage `{stage}`: keys of `stages.{stage}.value`\n"
        yield f"{_about(model)}\n"
        yield _key_table(model)
        if model is Description:
            yield _DIMENSIONS
            asked = (key for dimension in dimensions for key in answer_keys(dimension))
            yield _rows_of(asked)
    for name, model in LATER_VALUES.items():
        yield f"### Entry `{name}`: keys of `stages.{name}.value`\n"
        yield f"{_about(model)}\n"
        yield _key_table(model)


def _file_parts() -> Iterator[str]:
    for name, model in VIDEO_FILES.items():
        yield f"### {name}\n"
        if model in STAGE_VALUES.values():
            yield f"The value of stage `{model.stage}` as it is.\n"  # type: ignore[attr-defined]
        yield _key_table(model)


def _about(model: type[BaseModel]) -> str:
    """The model's own words, without the line breaks of its paragraphs."""
    paragraphs = (model.__doc__ or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


def _key_table(model: type[BaseModel], *, first: str = "key") -> str:
    return _rows_of(keys(model), first=first)


def _rows_of(found: Iterable[Key], *, first: str = "key") -> str:
    rows = [(f"`{k.path}`", k.type, k.unit, k.description) for k in found]
    return _table((first, "type", "unit", "meaning"), rows)


_PIPE = re.compile(r"(\\*)\|")


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    cells = [[_PIPE.sub(r"\1\1\\|", cell) for cell in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells) + "\n"


# ------------------------------------------------------------------------- dimensions

_ANSWERS: dict[FieldType, str] = {
    "text": "text", "texts": "list of text", "number": "number", "integer": "integer",
    "share": "number", "boolean": "boolean", "object": "object", "objects": "list of object",
    "evidence": "list of object",
}  # fmt: skip
"""Type of the answer -> in words; those with choices name them."""


def answer_keys(asked: AnswerField, *, above: str = "") -> Iterator[Key]:
    """The keys of the answer to a dimension, or (with `above`, its path) of a field in it."""
    listed = asked.type in ("texts", "choices", "objects", "evidence")
    path = f"{above or f'dimensions.{asked.name}.value'}{'[]' if listed else ''}"
    choices = " / ".join(f"`{choice.replace('`', chr(39))}`" for choice in asked.choices)
    words = f"list of {choices}" if asked.type == "choices" else choices or _ANSWERS[asked.type]
    null = " or null" if asked.optional else ""
    unit = "0-1" if asked.type == "share" else ""
    yield Key(path, words + null, unit, in_short(asked.instruction.strip() or title(asked.name)))
    if asked.type == "evidence":
        yield from keys(Evidence, above=f"{path}.")
    for field in asked.fields:
        yield from answer_keys(field, above=f"{path}.{field.name}")


# ----------------------------------------------------------------------------- types


@dataclass(slots=True)
class _Shape:
    """A type in words, the path that leads into it, and the model inside it."""

    text: str
    path: str = ""
    model: type[BaseModel] | None = None
    limits: tuple[object, ...] = ()


_WORDS: dict[Any, str] = {
    str: "text", int: "integer", float: "number", bool: "boolean", JsonValue: "any JSON",
    datetime: "time, ISO 8601 UTC",
}  # fmt: skip


def _shape(annotation: Any, metadata: tuple[object, ...] = ()) -> _Shape:
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _shape(args[0], args[1:])
    if origin in (Union, types.UnionType):
        inner = _shape(next(arg for arg in args if arg is not type(None)), metadata)
        inner.text += " or null"
        return inner
    if origin is Literal:
        return _Shape(" / ".join(f"`{value}`" for value in args))
    if origin in (tuple, dict):
        return _container(origin, args)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return _Shape("object", model=annotation)
    return _Shape(_WORDS[annotation], limits=_limits(metadata))


def _container(origin: type, args: tuple[Any, ...]) -> _Shape:
    inner = _shape(args[1] if origin is dict else args[0])
    if origin is tuple and args[-1] is not Ellipsis and len(set(args)) > 1:
        return _Shape(f"[{', '.join(_shape(arg).text for arg in args)}]")
    if origin is dict:
        key = "kind" if get_origin(args[0]) is Literal else "name"
        inner.text, step = f"{inner.text} by {key}", f".<{key}>"
    else:
        times = "list of" if args[-1] is Ellipsis else f"{len(args)} ×"
        inner.text, step = f"{times} {inner.text}", "[]"
    inner.path = step + inner.path
    return inner


def _limits(metadata: Iterable[object]) -> tuple[object, ...]:
    found: list[object] = []
    for item in metadata:
        found += getattr(item, "metadata", [item])
    return tuple(item for item in found if isinstance(item, Ge | Le))


# ----------------------------------------------------------------------------- units

_SUFFIX_UNITS = {
    "_s": "s", "_ns": "ns", "_hz": "Hz", "_bps": "bit/s", "_bytes": "bytes", "_px": "px",
    "_px[]": "px", "_deg": "degrees", "_lufs": "LUFS", "_lu": "LU", "_dbtp": "dBTP",
    "_duration": "s", "_per_minute": "1/min", "_wpm": "1/min", "_usd": "USD",
    "_tokens": "tokens",
}  # fmt: skip
_UNITS = {
    "width": "px", "height": "px", "box": "px", "fps": "1/s", "seconds": "s",
    "speaking_time": "s", "mean_pause": "s", "media_seconds": "s", "articulation_rate": "1/s",
    "luma": "0-255", "contrast": "0-255", "black_below": "0-255", "motion": "1/s",
    "bytes_before": "bytes", "bytes_after": "bytes", "ssim": "-1 to 1", "mean": "-1 to 1",
    "similarity": "-1 to 1",
}  # fmt: skip


def _unit(name: str, shape: _Shape) -> str:
    if set(shape.limits) >= {Ge(0.0), Le(1.0)}:
        return "0-1"
    if set(shape.limits) >= {Ge(1.0), Le(10.0)}:
        return "1-10"
    if name in _UNITS:
        return _UNITS[name]
    return next((unit for end, unit in _SUFFIX_UNITS.items() if name.endswith(end)), "")


# ------------------------------------------------------------------------------ words

_HEAD = """\
# Data dictionary

<!-- Made from the code and from description.dimensions (docs/: by
scripts/make_dictionary.py, and a test compares). Do not edit. -->

Every column and every key that Reelscope writes, schema version {version}. The version is
raised when a reader of the files has to change.

- **Times** are seconds from the start of the video, from exact presentation timestamps,
  rounded to microseconds. Dates are UTC.
- **Shares and confidences** are 0-1. **Pixels** count from the top left corner of the upright
  picture.
- **null** (an empty cell in CSV) means that there is no such value: the stage did not run, was
  skipped, failed, or its method cannot know it. Nothing is filled in. Nobody speaking is
  a value: 0 seconds of speech.
- The files are made from the records alone: the same records give the same bytes. Rows are
  sorted by creator, then by video id, as plain text.
"""

_COLUMNS = """\
## Columns: one row per video

In `data/results/<batch_id>/video_features_results.csv`, `.json` and `.parquet` for the videos of
a batch, and in `data/analysis_results/<creator>/<creator>.csv` for all videos of a creator.

- **CSV**: UTF-8 without a byte order mark, comma, quotes where needed, line feed. Numbers read
  back equal. Line breaks and tabs inside a text are blanks here, other control characters are
  left out. A text that begins with `=`, `+`, `-` or `@` (blanks before it do not count) has an
  apostrophe before it, so that a spreadsheet does not run it; numbers such as -23.1 stay
  numbers. In a spreadsheet, import `video_id` and `music_id` as text: they have more digits
  than its numbers hold.
- **JSON**: a list of objects. **Parquet**: typed and nullable, unit and description in each
  field's metadata, `schema_version` in the file's. In both, texts are exact. The Parquet file
  has a column more, `embedding`, a list of numbers: the mean of the vectors of the video's
  frames, of unit length, in the space of `embedding_model`. The frames' own vectors stand in
  `embeddings.npz` beside the record.
"""

_DIMENSIONS = """\
The dimensions are those of `description.dimensions` in the settings. Each gives one column, an
object one per field; several texts in a cell are joined by ' | ', fields by '; '. Nulls and
evidence are left out of the cells. These are the keys of their answers:
"""

_ERRORS = """\
## errors.csv: one row per failed stage

In `data/results/<batch_id>/`. Skipped stages are not in it: what a video lacks stands in its
record, and what this machine lacks stands once in `summary.json` under `remedies`.
"""

_RECORD = """\
## record.json: all that is known of a video

In `data/analysis_results/<creator>/<video_id>/`. Checkpoint and result in one: `stages` holds,
for every stage, how it ended and what it found.
"""

_TEXT_FILES = """\
`speech_transcription.txt`, `subtitles.srt` and `subtitles.vtt` are texts made from stage
`transcribe`; docs/transcript.md of the project describes them. The others hold JSON.
"""

_CREATOR = """\
## Files of a creator

In `data/analysis_results/<creator>/`: `<creator>.csv` with the columns above; `<creator>.json`
with the keys `schema_version` (integer), `creator` (text) and `videos` (list of records, the keys
of record.json); `report.md` for reading, with the chosen pictures; `report.html` for looking at,
one file that needs no other. The pictures themselves stand in `data/tiktok_frames/<frames_id>/`.
"""

_EXCHANGE = """\
Where a model was asked: what was sent about the video and what came back. An answer that stands
here is not paid for again; docs/description.md of the project says more.
"""

_CREATOR_DESCRIPTION = f"""\
With `description.creator_summary`: what a model says of the creator, made from the descriptions
of the videos. What was asked for it stands in `{REQUESTS_NAME}`, with the keys of
`{EXCHANGE_NAME}`; it has no pictures and no words to quote.
"""

_BATCH = """\
## Files of a batch

In `data/results/<batch_id>/`, beside the tables above: `settings.yml`, every setting of the run
without secrets (the keys of config/config.yml); `data-dictionary.md`, this page for the
dimensions that the batch asked for; and summary.json, the run in numbers:
"""
