"""How far the run is: a live bar on a terminal, plain lines elsewhere, both on stderr."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from reelscope.cli.terminal import printable, progress_console
from reelscope.crawl.creators import Creator
from reelscope.errors import CrawlFailed
from reelscope.records import StageRecord, VideoRecord, VideoSource

LINE_EVERY_S = 10.0


class Counter:
    """Counts ends for a progress display.

    Args:
        total: videos.
        spent: says what was paid so far; nothing if nothing was.
        what: is counted.
    """

    def __init__(self, total: int, spent: Callable[[], str] = str, *, what: str = "videos") -> None:
        self.total = total
        self.what = what
        self.spent = spent
        self.ended = 0
        self.failures = 0
        self.now = ""
        self.started = time.monotonic()

    def stage_ended(self, source: VideoSource, name: str, record: StageRecord) -> None:
        """A stage was run."""
        self.failures += record.status == "failed"
        self.now = printable(f"{source.creator}/{source.video_id} {name}")
        self.show()

    def video_ended(self, record: VideoRecord, reused: frozenset[str]) -> None:  # noqa: ARG002
        """A video is done."""
        self.ended += 1
        self.show()

    def listed(self, creator: Creator, count: int) -> None:  # noqa: ARG002
        """More videos are on their way."""
        self.total += count
        self.show()

    def fetched(self, creator: Creator, video_id: str, *, new: bool) -> None:
        """A video's file is there."""
        if new:
            self.now = printable(f"{creator.username}/{video_id} fetched")
            self.show()

    def failed(self, creator: Creator, video_id: str | None, fault: CrawlFailed) -> None:
        """A creator or a video did not come."""
        self.failures += video_id is None  # a video has a failed stage of its own
        self.now = printable(f"{creator.username}/{video_id or ''}: {fault}")
        self.show()

    def trouble(self, source: VideoSource, message: str) -> None:
        """Something went wrong outside the stages."""
        self.failures += 1
        self.now = printable(f"{source.creator}/{source.video_id}: {message}")
        self.show()

    def show(self) -> None:
        """Bring the display up to date."""

    def rate(self) -> str:
        """Videos, or what else is counted, a minute so far."""
        elapsed_s = time.monotonic() - self.started
        return f"{60 * self.ended / elapsed_s:.1f} {self.what}/min" if elapsed_s > 0 else ""


class Bar(Counter):
    """A live bar."""

    def __init__(
        self,
        total: int,
        progress: Progress,
        spent: Callable[[], str] = str,
        *,
        what: str = "videos",
    ) -> None:
        super().__init__(total, spent, what=what)
        self._progress = progress
        self._task = progress.add_task(what, total=total, rate="", failures=0, spent="", now="")

    def show(self) -> None:
        """Move the bar."""
        self._progress.update(
            self._task,
            completed=self.ended,
            total=self.total,
            rate=self.rate(),
            failures=self.failures,
            spent=self.spent(),
            now=self.now,
        )


class Lines(Counter):
    """A line every ten seconds, and one at the end."""

    def __init__(
        self,
        total: int,
        console: Console,
        spent: Callable[[], str] = str,
        *,
        what: str = "videos",
    ) -> None:
        super().__init__(total, spent, what=what)
        self._console = console
        self._next = self.started + LINE_EVERY_S

    def show(self) -> None:
        """Print a line if it is time."""
        now = time.monotonic()
        if now < self._next and self.ended < self.total:
            return
        self._next = now + LINE_EVERY_S
        left_s = (now - self.started) / self.ended * (self.total - self.ended) if self.ended else 0
        left = f", about {left_s:.0f} s left" if 0 < self.ended < self.total else ""
        spent = f", {self.spent()}" if self.spent() else ""
        done = f"{self.ended}/{self.total} {self.what}, {self.rate()}, {self.failures} failures"
        self._console.print(done + spent + left)


@contextmanager
def open_progress(
    total: int, spent: Callable[[], str] = str, *, what: str = "videos"
) -> Iterator[Counter]:
    """The display that fits stderr; `spent` says what was paid so far, `what` is counted."""
    if not progress_console.is_terminal:
        yield Lines(total, progress_console, spent, what=what)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[failures]} failures"),
        TextColumn("{task.fields[spent]}"),
        TextColumn("{task.fields[now]}", style="dim"),
    )
    with Progress(*columns, console=progress_console, transient=True) as progress:
        yield Bar(total, progress, spent, what=what)
