"""Where the commands print: results on stdout, progress on stderr."""

from __future__ import annotations

import os
import sys
import unicodedata

from rich.console import Console

PIPE_WIDTH = 120
"""Columns where the output is no terminal and COLUMNS is not set."""

_width = None if sys.stdout.isatty() or "COLUMNS" in os.environ else PIPE_WIDTH
console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True, width=_width)
progress_console = Console(stderr=True, highlight=False, markup=False, emoji=False)


def printable(text: str) -> str:
    """Text from outside without what would steer a terminal or forge a line."""
    return "".join(c if unicodedata.category(c)[0] != "C" else "�" for c in text)
