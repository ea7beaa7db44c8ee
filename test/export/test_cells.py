"""Cells that read back, and that no spreadsheet runs."""

import csv
import io
import json
import math
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelscope.export.cells import csv_cell, csv_line, json_row
from reelscope.export.columns import Cell

anything = st.text(st.characters(), max_size=40)


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (None, ""),
        (True, "true"),
        (False, "false"),
        (0, "0"),
        (-5, "-5"),
        (-23.1, "-23.1"),
        (0.1 + 0.2, "0.30000000000000004"),
        (1e-07, "1e-07"),
        (7123456789012345678, "7123456789012345678"),
        (datetime(2024, 5, 1, 10, tzinfo=UTC), "2024-05-01T10:00:00Z"),
        (datetime(2024, 5, 1, 10, 0, 0, 5, tzinfo=UTC), "2024-05-01T10:00:00.000005Z"),
        ("", ""),
        ("plain, “text”", "plain, “text”"),
        ("=1+1", "'=1+1"),
        ("+49", "'+49"),
        ("-23.1", "'-23.1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "' =1"),
        ("\rabc", " abc"),
        ("\n\n-x", "' -x"),
        ("\x00=1", "'=1"),
        ("＝1", "'＝1"),
        ("a=1", "a=1"),
        ("two\r\nlines\x00\x1b[0m", "two lines[0m"),
        ("half \ud800", "half "),
    ],
)
def test_cells(value: Cell, cell: str) -> None:
    assert csv_cell(value) == cell


@given(st.lists(anything, min_size=2))
def test_a_line_is_read_back_as_its_cells(texts: list[str]) -> None:
    raw = csv_line(texts)
    assert raw.endswith(b"\n")
    assert raw.count(b"\n") == 1
    rows = list(csv.reader(io.StringIO(raw.decode("utf-8"), newline=""), strict=True))
    assert rows == [[csv_cell(text) for text in texts]]


@given(anything)
def test_no_text_begins_like_a_formula_or_hides_anything(text: str) -> None:
    cell = csv_cell(text)
    assert not cell.lstrip().startswith(("=", "+", "-", "@", "＝", "＋", "－", "＠"))
    assert cell.isprintable() or all(c.isprintable() or ord(c) > 0x9F for c in cell)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_read_back_equal(value: float) -> None:
    read = float(csv_cell(value))
    assert read == value
    assert math.copysign(1, read) == math.copysign(1, value)


@given(st.dictionaries(anything, st.none() | st.booleans() | st.integers() | anything))
def test_json_rows_keep_texts_exactly(row: dict[str, Cell]) -> None:
    line = json_row(row)
    assert "\n" not in line
    assert json.loads(line) == row
