"""Where the commands print: results on stdout, progress on stderr."""

from __future__ import annotations

import unicodedata

from rich.console import Console

console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
progress_console = Console(stderr=True, highlight=False, markup=False, emoji=False)


def printable(text: str) -> str:
    """Text from outside without what would steer a terminal or forge a line."""
    return "".join(c if unicodedata.category(c)[0] != "C" else "�" for c in text)
