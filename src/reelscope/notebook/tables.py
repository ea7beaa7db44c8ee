"""Tables for reading: how the stages ended, what is said, what a model answered.

A text from outside (caption, transcript, message) is shown as text: escaped, on one line,
without characters that nobody sees.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
BETTER_EARS = "python main.py models pull faster-whisper-small"

_CELL = "text-align:left;vertical-align:top;white-space:normal;padding:.25em .9em .25em 0"
_NUMBER = _CELL.replace("left", "right") + ";font-variant-numeric:tabular-nums"


@dataclass(frozen=True)
class Table:
    """Rows of cells; a notebook shows it as HTML, `print` as text.

    Attributes:
        head: names of the columns.
        rows: cells: text, numbers, times, None for what is not known.
        note: a sentence below.
        commands: what one would call, below that.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[object]]
    note: str = ""
    commands: Sequence[str] = ()

    def _repr_html_(self) -> str:
        """As HTML without scripts and without anything that is fetched."""
        styles = [_NUMBER if self._is_number(k) else _CELL for k in range(len(self.head))]
        head = _html_row("th", self.head, styles)
        body = "".join(_html_row("td", map(cell_text, row), styles) for row in self._shown())
        table = f"<table><thead>{head}</thead><tbody>{body}</tbody></table>" if self.rows else ""
        called = f"<pre>{escape(chr(10).join(self.commands))}</pre>" if self.commands else ""
        return table + "".join(f"<p>{escape(note)}</p>" for note in self._notes()) + called

    def __repr__(self) -> str:
        """The same in columns of text."""
        lines = [tuple(self.head), *(tuple(map(cell_text, row)) for row in self._shown())]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        cells = ("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)
        return "\n".join([*(cells if self.rows else ()), *self._notes(), *self.commands])

    def _shown(self) -> Sequence[Sequence[object]]:
        return self.rows[:MOST_ROWS]

    def _is_number(self, k: int) -> bool:
        values = [row[k] for row in self._shown() if row[k] is not None]
        return bool(values) and all(
            isinstance(value, int | float) and not isinstance(value, bool) for value in values
        )

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


def _html_row(kind: str, cells: Iterable[str], styles: Sequence[str]) -> str:
    shown = (
        f'<{kind} style="{style}">{escape(cell)}</{kind}>'
        for cell, style in zip(cells, styles, strict=True)
    )
    return f"<tr>{''.join(shown)}</tr>"


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
    better = [BETTER_EARS] if said and said.segments and said.accuracy == "low" else []
    return Table(("from s", "to s", "words", "doubts"), rows, _words_note(record, said), better)


def _words_note(record: VideoRecord, said: Transcript | None) -> str:
    if said is None:
        return f"Not transcribed: {why_missing(record, Transcript.stage)}."
    if not said.segments:
        return "Nobody says anything."
    if said.accuracy == "low":
        return (
            f"Heard by {record.stages[said.stage].engine}, the engine for machines without weights:"
            " many words are wrong. Better:"
        )
    return f"Language: {said.language}, heard in the {said.sound}."


def answers(record: VideoRecord) -> Table:
    """What a language model says of the video; or that none was asked, and how to ask."""
    said = record.value(Description)
    if said is None:
        return _undescribed(record)
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


def _undescribed(record: VideoRecord) -> Table:
    if Description.stage in record.stages:
        return Table((), (), f"Not described: {why_missing(record, Description.stage)}.")
    off = (
        "Not described: that is off, since it sends frames and texts to a server and costs money."
        " What it would cost, and how it looks by a stand-in, without a key:"
    )
    commands = ("python main.py analyze VIDEO --describe --dry-run", "python main.py demo")
    return Table((), (), off, commands)


def answer_text(value: JsonValue) -> str:
    """An answer of any type on one line; what it rests on is left out."""
    if isinstance(value, list):
        return " | ".join(map(answer_text, value))
    if isinstance(value, dict):
        kept = {key: item for key, item in value.items() if key != "evidence" and item is not None}
        return "; ".join(f"{key}: {answer_text(item)}" for key, item in kept.items())
    return "nothing" if value is None else str(value)


# ----------------------------------------------------------------------------- a batch


def outcomes(rows: Sequence[Mapping[str, Any]], summary: Summary) -> Table:
    """How the stages ended over all videos; below, what would help.

    Args:
        rows: of the results file: its columns `status_<stage>`.
        summary: of a run over these videos.
    """
    ends = ("ok", "skipped", "failed")
    body = [
        (
            name,
            stage.engine,
            *(sum(row.get(f"status_{name}") == end for row in rows) for end in ends),
        )
        for name, stage in summary.stages.items()
    ]
    commands = tuple(dict.fromkeys(group.remedy for group in summary.remedies if group.remedy))
    note = "What would help:" if commands else ""
    return Table(("stage", "by", *ends), body, note, commands)


def rows_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> Table:
    """These columns of the rows of a results file."""
    return Table(columns, [[row.get(column) for column in columns] for row in rows])
