"""The files of one batch.

data/results/<batch_id>/
    video_features_results.csv, .json, .parquet   one row per video
    errors.csv                                    one row per failed stage
    settings.yml                                  the settings of the run
    summary.json                                  the run in numbers
    data-dictionary.md                            what each column and key of these says
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import yaml
from pydantic import Field

from reelscope.atomic import open_atomic, write_atomic
from reelscope.export.cells import csv_line, json_row
from reelscope.export.column import Column
from reelscope.export.columns import flat_row, in_order, stages_in_order
from reelscope.export.parquet import ParquetRows
from reelscope.records import Frozen, VideoRecord


class ErrorRow(Frozen):
    """A row of errors.csv: a stage that failed on a video.

    Skipped stages are not errors: what a video lacks stands in its record, and what this
    machine lacks stands once in summary.json.
    """

    creator: str = Field(description="Whose video it is.")
    video_id: str = Field(description="Which video.")
    path: str | None = Field(description="The file that was analysed.")
    stage: str = Field(description="Which stage failed.")
    engine: str = Field(description="Who was at work: name and revision.")
    kind: str | None = Field(description="Sort of failure, one word: unreadable, timeout, ...")
    message: str | None = Field(description="What happened, a sentence.")
    retryable: bool | None = Field(description="Whether the next run tries again.")


def export_batch(
    records: Iterable[VideoRecord],
    folder: Path,
    *,
    table: Sequence[Column],
    settings: Mapping[str, Any],
    summary: Mapping[str, Any],
    dictionary: str,
) -> None:
    """Write the files of a batch.

    Args:
        records: of every video of the batch; a stream must come ordered by creator and
            video id. It is gone through once and not held.
        table: the columns, of the batch's own dimensions.
        settings: resolved, without secrets; written as it is.
        summary: plain data; written as it is.
        dictionary: the page that explains it all; written as it is.

    Raises:
        OutputError: a file cannot be written.
        ValueError: a stream is not in order.
    """
    with contextlib.ExitStack() as stack:

        def opened(name: str) -> BinaryIO:
            return stack.enter_context(open_atomic(folder / name))

        cells = opened("video_features_results.csv")
        objects = opened("video_features_results.json")
        errors = opened("errors.csv")
        parquet = stack.enter_context(ParquetRows(opened("video_features_results.parquet"), table))
        cells.write(csv_line(column.name for column in table))
        errors.write(csv_line(ErrorRow.model_fields))
        joint = "[\n"
        for record in in_order(records):
            row = flat_row(record, table)
            cells.write(csv_line(row.values()))
            objects.write((joint + json_row(row)).encode("utf-8"))
            parquet.add(row, record)
            joint = ",\n"
            for failure in failures(record):
                errors.write(csv_line(failure.model_dump().values()))
        objects.write(b"[]\n" if joint == "[\n" else b"\n]\n")
    text = yaml.safe_dump(dict(settings), sort_keys=False, allow_unicode=True)
    write_atomic(folder / "settings.yml", text)
    write_atomic(folder / "data-dictionary.md", dictionary)
    write_atomic(folder / "summary.json", json.dumps(summary, indent=2, ensure_ascii=False) + "\n")


def failures(record: VideoRecord) -> Iterator[ErrorRow]:
    """The failed stages of a video."""
    for name, stage in stages_in_order(record):
        if stage.status == "failed":
            yield ErrorRow(
                creator=record.source.creator,
                video_id=record.source.video_id,
                path=record.source.path,
                stage=name,
                engine=stage.engine,
                kind=stage.kind,
                message=stage.message,
                retryable=stage.retryable,
            )
