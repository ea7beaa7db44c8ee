"""The files of one creator, over all of the creator's videos.

data/analysis_results/<creator>/
    <creator>.csv    one row per video, the columns of export/columns.py
    <creator>.json   the full records
    report.md        the same for reading, with the chosen pictures
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from reelscope.atomic import open_atomic
from reelscope.export.cells import csv_line
from reelscope.export.columns import COLUMNS, flat_row, in_order
from reelscope.export.report import Report
from reelscope.records import SCHEMA_VERSION, VideoRecord


def export_creator(
    records: Iterable[VideoRecord], folder: Path, *, frames_root: Path | None = None
) -> None:
    """Write the files of one creator; `folder` is named after the creator.

    Args:
        records: all of one creator; a stream must come in order of the video ids. Not
            more than one of them is held at a time.
        frames_root: where the frames folders stand; for the links of the report. By
            default `../../tiktok_frames` as seen from `folder`.

    Raises:
        OutputError: a file cannot be written.
        ValueError: a stream is not in order.
    """
    frames_root = frames_root or folder.parent.parent / "tiktok_frames"
    report = Report(folder.name, frames_link=quote(os.path.relpath(frames_root, folder)))
    with contextlib.ExitStack() as stack:

        def opened(name: str) -> BinaryIO:
            return stack.enter_context(open_atomic(folder / name))

        table = opened(f"{folder.name}.csv")
        full = opened(f"{folder.name}.json")
        page = opened("report.md")
        table.write(csv_line(column.name for column in COLUMNS))
        full.write(_head(folder.name))
        joint = b"\n"
        for record in in_order(records):
            table.write(csv_line(flat_row(record).values()))
            full.write(joint + _sorted_stages(record).model_dump_json().encode("utf-8"))
            report.add(record)
            joint = b",\n"
        full.write(b"\n]}\n")
        page.write(report.render().encode("utf-8"))


def _head(creator: str) -> bytes:
    name = json.dumps(creator, ensure_ascii=False)
    head = f'{{"schema_version": {SCHEMA_VERSION}, "creator": {name}, "videos": ['
    return head.encode("utf-8")


def _sorted_stages(record: VideoRecord) -> VideoRecord:
    """Stages end in any order; the file has them in one."""
    return record.model_copy(update={"stages": dict(sorted(record.stages.items()))})
