"""How a record shows itself in a notebook, without the record knowing who draws it.

`records` stands below `export`, which draws. So the package names the drawer here when it
is imported, as a function that loads it when a record is first shown.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_drawers: list[Callable[[Any], str]] = []


def draw_records_with(drawer: Callable[[Any], str]) -> None:
    """From now on records are drawn by this function, which returns HTML."""
    _drawers[:] = [drawer]


def record_html(record: object) -> str | None:
    """The record as HTML; None: nobody draws, and it shows as text."""
    return _drawers[0](record) if _drawers else None
