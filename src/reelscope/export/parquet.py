"""Rows as Parquet: the columns of export/columns.py with explicit types.

Every column is nullable; its unit and description travel in the field's metadata, the
schema version in the file's. After them stands what only this format carries: the video's
vector.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, BinaryIO, Self

from reelscope.export.column import Cell, Column
from reelscope.records import SCHEMA_VERSION, Embedding, VideoRecord

ROWS_PER_GROUP = 1000
"""Rows that are held before they are written."""
VECTOR = "embedding"
"""Name of the column with the video's vector, a list of numbers."""
VECTOR_MEANING = (
    "Mean of its frames' vectors, of unit length; `embedding_model` says in whose space. Empty "
    "without stage embed, or without frames."
)


def schema(table: Sequence[Column]) -> Any:
    """The pyarrow schema of a file with these columns."""
    import pyarrow as pa

    types = {
        "text": pa.string(),
        "integer": pa.int64(),
        "number": pa.float64(),
        "boolean": pa.bool_(),
        "time": pa.timestamp("us", tz="UTC"),
    }
    fields = [
        pa.field(
            column.name,
            types[column.type],
            nullable=True,
            metadata={"unit": column.unit or "", "description": column.description},
        )
        for column in table
    ]
    meaning = {"unit": "", "description": VECTOR_MEANING}
    fields.append(pa.field(VECTOR, pa.list_(pa.float32()), nullable=True, metadata=meaning))
    return pa.schema(fields, metadata={"schema_version": str(SCHEMA_VERSION)})


class ParquetRows:
    """Writes rows of these columns to a file that somebody else opened and closes."""

    def __init__(self, file: BinaryIO, table: Sequence[Column]) -> None:
        import pyarrow.parquet as pq

        self._schema = schema(table)
        self._writer = pq.ParquetWriter(file, self._schema, compression="zstd")
        self._rows: list[Mapping[str, Cell | tuple[float, ...]]] = []

    def add(self, row: Mapping[str, Cell], record: VideoRecord) -> None:
        """One more row.

        Args:
            row: the record's cells.
            record: whose vector goes with them.
        """
        value = record.value(Embedding)
        self._rows.append({**row, VECTOR: value.mean or None if value else None})
        if len(self._rows) >= ROWS_PER_GROUP:
            self._flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self._flush()
        self._writer.close()

    def _flush(self) -> None:
        import pyarrow as pa

        if self._rows:
            self._writer.write_batch(pa.RecordBatch.from_pylist(self._rows, schema=self._schema))
            self._rows.clear()
