"""What this room needs of whoever fetches files from the web."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol


class Fetcher(Protocol):
    """Fetches the file behind an address. Threads share one."""

    def fetch(self, url: str, folder: Path) -> Path:
        """Fetch a sound or a video into this folder; the name of the file is the fetcher's.

        Args:
            url: of a media file, or of a page that has one.
            folder: that is there, and in which nobody else writes.

        Raises:
            CrawlFailed: it did not come; `passing` says whether another attempt may help.
            OutputError: the disk does not take it.
        """
        ...
