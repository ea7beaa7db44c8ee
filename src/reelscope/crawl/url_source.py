"""A list of addresses as a source of videos: whose they are shows when they are looked up."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

from reelscope.crawl.creators import Creator
from reelscope.crawl.source import Listed
from reelscope.crawl.urls import UNKNOWN_CREATOR, UrlLine, creator_of
from reelscope.errors import CrawlFailed


class LooksUp(Protocol):
    """What knows the pages of many sites; the Protocol of engines/ytdlp.py."""

    def open(self) -> None:
        """Make ready; raises CrawlFailed."""
        ...

    def look_up(self, url: str) -> Listed:
        """What a page says of its video; raises CrawlFailed."""
        ...

    def download(self, video: Listed, target: Path) -> Path:
        """As `Source.download`."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...


class UrlSource:
    """Videos by address (the Protocol `crawl.source.Source`).

    Args:
        urls: in order.
        sites: looks them up and fetches them.
    """

    name = "urls"

    def __init__(self, urls: Sequence[UrlLine], sites: LooksUp) -> None:
        self._urls = urls
        self._sites = sites
        self._found: defaultdict[str, list[Listed | CrawlFailed]] = defaultdict(list)

    def creators(self) -> Iterator[Creator]:
        """The creator of each address in turn; `list_videos` then gives that video.

        One whose page cannot be read belongs to nobody known, and its fault is raised
        where it would have been listed.
        """
        try:
            self.open()
        except CrawlFailed as fault:
            self._found[UNKNOWN_CREATOR].append(fault)
            yield Creator(UNKNOWN_CREATOR)
            return
        for line in self._urls:
            found: Listed | CrawlFailed
            try:
                found = self._sites.look_up(line.url)
                name = creator_of(found.platform)
            except CrawlFailed as fault:
                found, name = _at_line(fault, line), UNKNOWN_CREATOR
            self._found[name].append(found)
            yield Creator(name, line=line.line)

    def open(self) -> None:
        """Make the sites ready."""
        self._sites.open()

    def list_videos(
        self,
        creator: Creator,
        *,
        since: datetime | None,
        limit: int | None,  # noqa: ARG002  (every address that was given is wanted)
    ) -> Iterator[Listed]:
        """What was looked up of this creator and not given yet."""
        for found in self._found.pop(creator.username, []):
            if isinstance(found, CrawlFailed):
                raise found
            posted_at = found.platform.posted_at
            if since is None or posted_at is None or posted_at >= since:
                yield found

    def download(self, video: Listed, target: Path) -> Path:
        """Fetch its file."""
        return self._sites.download(video, target)

    def close(self) -> None:
        """Let go of the sites."""
        self._sites.close()


def _at_line(fault: CrawlFailed, line: UrlLine) -> CrawlFailed:
    return CrawlFailed(fault.fault, f"line {line.line}, {line.url}: {fault}", remedy=fault.remedy)
