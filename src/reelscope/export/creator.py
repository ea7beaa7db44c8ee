"""The files of one creator, over all of the creator's videos.

data/analysis_results/<creator>/
    <creator>.csv    one row per video, the columns of export/columns.py
    <creator>.json   the full records
    report.md        the same for reading, with the chosen pictures
    report.html      the same for looking at: one file that holds all it needs
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO
from urllib.parse import quote

from pydantic import JsonValue

from reelscope.atomic import open_atomic
from reelscope.export.cells import csv_line
from reelscope.export.column import Column
from reelscope.export.columns import flat_row, in_order
from reelscope.export.html_report import HtmlReport
from reelscope.export.report import Report
from reelscope.records import SCHEMA_VERSION, VideoRecord


def export_creator(
    records: Iterable[VideoRecord],
    folder: Path,
    *,
    table: Sequence[Column],
    frames_root: Path | None = None,
    creator_summary: Mapping[str, JsonValue] | None = None,
) -> None:
    """Write the files of one creator; `folder` is named after the creator.

    Args:
        records: all of one creator; a stream must come in order of the video ids. Not
            more than one of them is held at a time.
        table: the columns of the CSV file.
        frames_root: where the frames folders stand; for the pictures and links of the
            reports. By default `../../tiktok_frames` as seen from `folder`.
        creator_summary: what a model says of the creator, for the report's head; None:
            nothing was asked.

    Raises:
        OutputError: a file cannot be written.
        ValueError: a stream is not in order.
    """
    frames_root = frames_root or folder.parent.parent / "tiktok_frames"
    link = quote(os.path.relpath(frames_root, folder))
    report = Report(folder.name, frames_link=link, summary=creator_summary)
    with contextlib.ExitStack() as stack:

        def opened(name: str) -> BinaryIO:
            return stack.enter_context(open_atomic(folder / name))

        cells = opened(f"{folder.name}.csv")
        full = opened(f"{folder.name}.json")
        page = opened("report.md")
        html_page = opened("report.html")
        html = stack.enter_context(
            HtmlReport(
                folder.name, frames_root=frames_root, frames_link=link, summary=creator_summary
            )
        )
        cells.write(csv_line(column.name for column in table))
        full.write(_head(folder.name))
        joint = b"\n"
        for record in in_order(records):
            cells.write(csv_line(flat_row(record, table).values()))
            full.write(joint + _sorted_stages(record).model_dump_json().encode("utf-8"))
            report.add(record)
            html.add(record)
            joint = b",\n"
        full.write(b"\n]}\n")
        page.write(report.render().encode("utf-8"))
        html_page.writelines(piece.encode("utf-8") for piece in html.pieces())


def _head(creator: str) -> bytes:
    name = json.dumps(creator, ensure_ascii=False)
    head = f'{{"schema_version": {SCHEMA_VERSION}, "creator": {name}, "videos": ['
    return head.encode("utf-8")


def _sorted_stages(record: VideoRecord) -> VideoRecord:
    """Stages end in any order; the file has them in one."""
    return record.model_copy(update={"stages": dict(sorted(record.stages.items()))})
