"""Tables for reading: how the stages ended, what is said, what a model answered.

A text from outside (caption, transcript, message) is shown as text: escaped, on one line,
without characters that nobody sees.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import Any

from pydantic import JsonValue

from reelscope.description.visible import visible
from reelscope.export.video import why_missing
from reelscope.pipeline.summary import Summary
from reelscope.records import STAGE_VALUES, Description, Transcript, VideoRecord

LONGEST_CELL = 400
"""Characters; what is longer is cut and ends in an ellipsis."""
MOST_ROWS = 200

_CELL = "text-align:left;vertical-align:top;white-space:normal;padding:.25em .9em .25em 0"
_NUMBER = _CELL.replace("left", "right") + ";font-variant-numeric:tabular-nums"


@dataclass(frozen=True)
class Table:
    """Rows of cells; a notebook shows it as HTML, `print` as text.

    Attributes:
        head: names of the columns.
        rows: cells: text, numbers, times, None for what is not known.
        note: a sentence below.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[object]]
    note: str = ""

    def _repr_html_(self) -> str:
        """As HTML without scripts and without anything that is fetched."""
        head = "".join(f'<th style="{_CELL}">{escape(name)}</th>' for name in self.head)
        body = "".join(f"<tr>{''.join(map(_html_cell, row))}</tr>" for row in self._shown())
        table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
        return (table if self.rows else "") + "".join(f"<p>{escape(n)}</p>" for n in self._notes())

    def __repr__(self) -> str:
        """The same in columns of text."""
        lines = [tuple(self.head), *(tuple(map(cell_text, row)) for row in self._shown())]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        cells = ("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)
        return "\n".join([*(cells if self.rows else ()), *self._notes()])

    def _shown(self) -> Sequence[Sequence[object]]:
        return self.rows[:MOST_ROWS]

    def _notes(self) -> list[str]:
        more = len(self.rows) - MOST_ROWS
        return [*([f"{more} more rows"] if more > 0 else ()), *([self.note] if self.note else ())]


def cell_text(value: object) -> str:
    """A value as it stands in a cell: one line, numbers with up to four digits, a dash for None."""
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    text = visible(str(value))
    return text if len(text) <= LONGEST_CELL else text[: LONGEST_CELL - 1] + "…"


def _html_cell(value: object) -> str:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return f'<td style="{_NUMBER if number else _CELL}">{escape(cell_text(value))}</td>'


# --------------------------------------------------------------------------- one video


def stages(record: VideoRecord) -> Table:
    """How each stage ended, who did the work, and what would help where it was skipped."""
    ended = [(name, record.stages[name]) for name in STAGE_VALUES if name in record.stages]
    rows = [
        (name, stage.status, stage.engine, stage.reason or stage.message or "", stage.remedy or "")
        for name, stage in ended
    ]
    off = [name for name in STAGE_VALUES if name not in record.stages]
    note = f"Switched off in the settings: {', '.join(off)}." if off else ""
    return Table(("stage", "status", "by", "why not", "what would help"), rows, note)


def words(record: VideoRecord) -> Table:
    """What is said, a row per stretch; or why nothing was written down."""
    said = record.value(Transcript)
    rows = [
        (round(s.start_s, 2), round(s.end_s, 2), s.text, ", ".join(s.flags))
        for s in (said.segments if said else ())
    ]
    return Table(("from s", "to s", "words", "doubts"), rows, _words_note(record, said))


def _words_note(record: VideoRecord, said: Transcript | None) -> str:
    if said is None:
        return f"Not transcribed: {why_missing(record, Transcript.stage)}."
    if not said.segments:
        return "Nobody says anything."
    if said.accuracy == "low":
        remedy = "python main.py models pull faster-whisper-small"
        return (
            f"Heard by {record.stages[said.stage].engine}, the engine for machines without weights:"
            f" many words are wrong. Better: {remedy}"
        )
    return f"Language: {said.language}, heard in the {said.sound}."


def answers(record: VideoRecord) -> Table:
    """What a language model says of the video; or that none was asked, and how to ask."""
    said = record.value(Description)
    if said is None:
        return Table((), (), _undescribed(record))
    if said.refusal:
        return Table((), (), f"{said.model} refused: {said.refusal.reason or said.refusal.kind}")
    rows = [
        (
            name.replace("_", " "),
            answer_text(answer.value),
            answer.confidence,
            f"{sum(piece.found for piece in answer.evidence)} of {len(answer.evidence)}",
        )
        for name, answer in said.dimensions.items()
    ]
    note = f"By {said.model}. Evidence: what it says it rests on, and how much the video has of it."
    return Table(("question", "answer", "confidence", "evidence found"), rows, note)


def _undescribed(record: VideoRecord) -> str:
    if Description.stage in record.stages:
        return f"Not described: {why_missing(record, Description.stage)}."
    return (
        "Not described: that is off, since it sends frames and texts to a server and costs money."
        " What it would cost: python main.py analyze VIDEO --describe --dry-run."
        " Without a key, by a stand-in: make demo-describe."
    )


def answer_text(value: JsonValue) -> str:
    """An answer of any type on one line; what it rests on is left out."""
    if isinstance(value, list):
        return " | ".join(map(answer_text, value))
    if isinstance(value, dict):
        kept = {key: item for key, item in value.items() if key != "evidence" and item is not None}
        return "; ".join(f"{key}: {answer_text(item)}" for key, item in kept.items())
    return "nothing" if value is None else str(value)


# ----------------------------------------------------------------------------- a batch


def run_table(summary: Summary) -> Table:
    """The stages of a run over all its videos; below: what would help."""
    rows = [
        (name, stage.engine, stage.ok, stage.skipped, stage.failed)
        for name, stage in summary.stages.items()
    ]
    commands = dict.fromkeys(group.remedy for group in summary.remedies if group.remedy)
    note = f"What would help: {'; '.join(commands)}" if commands else ""
    return Table(("stage", "by", "ok", "skipped", "failed"), rows, note)


def rows_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> Table:
    """These columns of the rows of a results file."""
    return Table(columns, [[row.get(column) for column in columns] for row in rows])
