"""Where videos come from: what every source can do, and what it says of a video.

A source lists a creator's videos and fetches their files. What it fetches lands in the same
layout that the folder source reads: `data/tiktok_videos/<creator>/<video id>.<suffix>` with
`<video id>.json` beside it, so that fetching and analysing know nothing of one another.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Protocol, runtime_checkable

from reelscope.crawl.creators import Creator
from reelscope.records import Platform


@dataclass(frozen=True, slots=True)
class Listed:
    """A video that a source has found, before its file is here.

    Attributes:
        video_id: on the platform; as it came, not yet safe as a path part.
        platform: all that the platform says of it.
        url: its page on the web; None: it has none.
        media_urls: where the file may be fetched, the best first; they may expire.
        image_urls: of a photo post, its pictures in order; empty: it is a video.
        sound_url: of a photo post; None: it has no sound, or nobody said where it is.
        subtitle_urls: the platform's own subtitles, WebVTT; the original language's first.
        headers: what has to be sent with requests for these (cookies and such); secret.
        local: files that are here already (an import with its media beside it).
    """

    video_id: str
    platform: Platform
    url: str | None = None
    media_urls: tuple[str, ...] = ()
    image_urls: tuple[str, ...] = ()
    sound_url: str | None = None
    subtitle_urls: tuple[str, ...] = ()
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    local: tuple[Path, ...] = ()


class Source(Protocol):
    """A place that has videos. Used by one thread at a time."""

    name: str

    def open(self) -> None:
        """Make ready; raises CrawlFailed with the remedy."""
        ...

    def list_videos(
        self, creator: Creator, *, since: datetime | None, limit: int | None
    ) -> Iterator[Listed]:
        """A creator's videos, newest first, page by page.

        Args:
            creator: whose.
            since: none that were posted before; UTC. What has no date is given.
            limit: at most so many.

        Raises:
            CrawlFailed: with its kind and remedy.
        """
        ...

    def download(self, video: Listed, target: Path) -> Path:
        """Fetch a video's file.

        Args:
            video: as this source listed it.
            target: path without suffix; files are written as `<target>.part*` and renamed
                when they are whole.

        Returns:
            The file, `<target>.<suffix>`.

        Raises:
            CrawlFailed: with its kind and remedy.
            OutputError: the disk does not take it.
        """
        ...

    def close(self) -> None:
        """Let go of browsers and connections."""
        ...


@runtime_checkable
class GivesSubtitles(Protocol):
    """A source that can also fetch the platform's own subtitles."""

    def subtitles(self, video: Listed) -> tuple[str, ...]:
        """Their lines in order; () where the platform names none, or they say nothing.

        Raises:
            CrawlFailed: they did not come.
            OutputError: the disk does not take them.
        """
        ...
