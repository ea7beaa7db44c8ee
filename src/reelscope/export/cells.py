"""Values as text: cells of a CSV file that no spreadsheet runs, and JSON rows.

CSV is UTF-8 without a byte order mark, comma, quotes where they are needed, one line per
row ended by a line feed. None is an empty cell; numbers read back equal; times are ISO
8601 in UTC; booleans are true and false.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from datetime import datetime

from reelscope.export.column import Cell

_LINE_BREAKS = re.compile(r"[\t\n\v\f\r\x85\u2028\u2029]+")
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
# What a spreadsheet takes for the beginning of a formula, also in full width and behind
# blanks (OWASP, "CSV Injection").
_FORMULA = re.compile(r"\s*[=+\-@＝＋－＠]")


def csv_line(cells: Iterable[Cell]) -> bytes:
    """One line of a CSV file."""
    return (",".join(map(_quoted, map(csv_cell, cells))) + "\n").encode("utf-8")


def csv_cell(value: Cell) -> str:
    """A value as it stands in a CSV cell, before quotes.

    In a text, line breaks and tabs become blanks, other control characters vanish, and an
    apostrophe goes before anything that a spreadsheet would run. Numbers stay numbers,
    negative ones too.
    """
    if value is None:
        return ""
    if isinstance(value, str):
        text = _UNPRINTABLE.sub("", _LINE_BREAKS.sub(" ", value))
        return f"'{text}" if _FORMULA.match(text) else text
    if isinstance(value, bool):
        return "true" if value else "false"
    return iso(value) if isinstance(value, datetime) else repr(value)


def json_row(row: Mapping[str, Cell]) -> str:
    """A row as one JSON object in one line; texts are exact."""
    return json.dumps(row, ensure_ascii=False, default=iso, allow_nan=False)


def iso(time: datetime) -> str:
    """A UTC time as ISO 8601: 2024-05-01T10:00:00Z."""
    return time.isoformat().replace("+00:00", "Z")


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if "," in text or '"' in text else text
