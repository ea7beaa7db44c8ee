"""What a column is: its name, what it says, and how it is taken out of a record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeAlias, TypeVar

from reelscope.records import Value, VideoRecord

Cell: TypeAlias = str | int | float | bool | datetime | None
CellType: TypeAlias = Literal["text", "integer", "number", "boolean", "time"]
V = TypeVar("V", bound=Value)

TEXT_JOINT = " | "
"""Between the texts of a cell that holds several."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes:
        name: in every format.
        type: `time` is a UTC time with microseconds; `number` is a 64-bit float.
        unit: what one stands for; None for text, booleans and plain counts.
        description: what it says, a sentence.
        stage: whose value it comes from; `source` and `record` are not stages.
        get: takes it out of a record.
    """

    name: str
    type: CellType
    unit: str | None
    description: str
    stage: str
    get: Callable[[VideoRecord], Cell]


def of_stage(
    kind: type[V], *rows: tuple[str, CellType, str | None, str, Callable[[V], Cell]]
) -> list[Column]:
    """Columns of one stage's value: name, type, unit, description, and how it is read."""

    def getter(read: Callable[[V], Cell]) -> Callable[[VideoRecord], Cell]:
        def get(record: VideoRecord) -> Cell:
            value = record.value(kind)
            return None if value is None else read(value)

        return get

    return [
        Column(name, cell_type, unit, text, kind.stage, getter(read))
        for name, cell_type, unit, text, read in rows
    ]
