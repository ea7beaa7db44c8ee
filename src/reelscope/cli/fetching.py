"""How far a download of weights is: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from reelscope.cli.terminal import printable, progress_console

LINE_EVERY_S = 10.0


class FetchLines:
    """Notices, and every ten seconds how many MB are here."""

    def __init__(self) -> None:
        self._next = time.monotonic() + LINE_EVERY_S

    def notice(self, text: str) -> None:
        """Print it."""
        progress_console.print(printable(text), soft_wrap=True)

    def moved(self, name: str, file: str, done: int, total: int | None) -> None:
        """Print a line if it is time."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + LINE_EVERY_S
        of = f" of {total / 1e6:.0f}" if total else ""
        self.notice(f"{name}: {file} {done / 1e6:.0f}{of} MB")


class FetchBars:
    """A bar for each file."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[tuple[str, str], TaskID] = {}

    def notice(self, text: str) -> None:
        """Print it above the bars."""
        self._progress.console.print(printable(text), soft_wrap=True)

    def moved(self, name: str, file: str, done: int, total: int | None) -> None:
        """Move the file's bar."""
        if (name, file) not in self._tasks:
            self._tasks[name, file] = self._progress.add_task(printable(f"{name} {file}"))
        self._progress.update(self._tasks[name, file], completed=done, total=total)


@contextmanager
def open_fetching() -> Iterator[FetchLines | FetchBars]:
    """The display that fits stderr."""
    if not progress_console.is_terminal:
        yield FetchLines()
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=progress_console, transient=True) as progress:
        yield FetchBars(progress)
