"""What a call wants to have fetched, and by whom: the one place that wires the sources."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from reelscope.crawl.crawler import FOLDER, Crawler, CrawlListener, Wanted, source_of
from reelscope.crawl.creators import Creator
from reelscope.crawl.source import Source
from reelscope.crawl.urls import UrlLine
from reelscope.errors import CrawlFailed, UsageError
from reelscope.pipeline.arrivals import Arrivals
from reelscope.pipeline.plan import Folders
from reelscope.settings import Settings

_HANDLE = re.compile(r"(?=.{2,24}$)[\w.]*\w")
SOURCES = ("tiktok", "ytdlp")
"""Names of what can be asked, as in --source and in the CSV's column; beside `folder`."""


def wanted_of(settings: Settings, source: str, since: datetime | None) -> Wanted:
    """What a call wants; without a token, TikTok is asked only where it is named."""
    return Wanted(
        source=source,
        otherwise="tiktok" if settings.tiktok.ms_token else FOLDER,
        since=since,
        limit=settings.processing.limit_per_creator,
    )


@dataclass(frozen=True)
class CrawlPlan:
    """The creators whose videos are wanted, and from where.

    Attributes:
        creators: in order.
        wanted: source, oldest date, number.
        settings: of the call.
        own: sources of this call alone: an import, a list of addresses.
    """

    creators: Iterable[Creator]
    wanted: Wanted
    settings: Settings
    own: Mapping[str, Source] = field(default_factory=dict)

    def source_of(self, creator: Creator) -> str:
        """Where this creator's videos would come from."""
        return source_of(Folders(self.settings.paths).videos, creator, self.wanted)

    def refused(self) -> Iterator[tuple[Creator, str]]:
        """Creators of whom TikTok cannot have videos, and why; found without asking anybody.

        Handles have 2 to 24 letters, digits, underscores and periods, and end in no period
        (support.tiktok.com, "Changing your username").
        """
        for creator in self.creators:
            if self.source_of(creator) in SOURCES and not _HANDLE.fullmatch(creator.username):
                yield (
                    creator,
                    f"{creator.username!r} is no TikTok handle, and nobody is asked for it",
                )

    @property
    def needed(self) -> bool:
        """Whether anything has to be fetched at all."""
        return any(self.source_of(creator) != FOLDER for creator in self.creators)

    def crawler(self, listener: CrawlListener) -> Crawler:
        """What fetches them."""
        return Crawler(
            Folders(self.settings.paths).videos,
            {**sources(self.settings), **self.own},
            self.settings.crawl,
            listener,
        )

    def start(self, listener: CrawlListener) -> Arrivals:
        """The videos as they come; nothing happens before the first is asked for."""
        crawler = self.crawler(listener)
        return Arrivals(crawler.crawl(self.creators, self.wanted), crawler.stop)


def sources(settings: Settings) -> dict[str, Source]:
    """Everything that can be asked for videos, by name; nothing is opened yet."""
    from reelscope.crawl.fallback import WithFallback
    from reelscope.engines.tiktokapi import TikTokApiSource
    from reelscope.engines.ytdlp import YtDlpSource

    tiktok = TikTokApiSource(settings.tiktok, settings.crawl)
    return {
        "tiktok": WithFallback(tiktok, YtDlpSource(settings.crawl)),
        "ytdlp": YtDlpSource(settings.crawl),
    }


class Listeners:
    """Tells several who hear the crawl.

    Args:
        listeners: in the order they are told.
    """

    def __init__(self, *listeners: CrawlListener) -> None:
        self._listeners = listeners

    def listed(self, creator: Creator, count: int) -> None:
        """A creator's list is there."""
        for listener in self._listeners:
            listener.listed(creator, count)

    def fetched(self, creator: Creator, video_id: str, *, new: bool) -> None:
        """A video's file is there."""
        for listener in self._listeners:
            listener.fetched(creator, video_id, new=new)

    def failed(self, creator: Creator, video_id: str | None, fault: CrawlFailed) -> None:
        """A creator or a video did not come."""
        for listener in self._listeners:
            listener.failed(creator, video_id, fault)


def import_plan(path: Path, media: Path | None, settings: Settings, *, fetch: bool) -> CrawlPlan:
    """The posts of an export of 4CAT or Zeeschuimer.

    Args:
        path: the export.
        media: folder with the posts' files; None: the folder of the export.
        settings: of the call.
        fetch: whether files that are not there are fetched from their pages.

    Raises:
        UsageError: it is no such export.
    """
    from reelscope.crawl.imports import ImportSource
    from reelscope.engines.ytdlp import YtDlpSource

    fallback = YtDlpSource(settings.crawl) if fetch else None
    source = ImportSource(path, media=media, fetch=fallback)
    try:
        source.open()
    except CrawlFailed as fault:
        raise UsageError(f"{fault}; {fault.remedy}") from None
    wanted = Wanted(source=source.name, limit=settings.processing.limit_per_creator)
    return CrawlPlan(source.creators, wanted, settings, {source.name: source})


def url_plan(urls: Sequence[UrlLine], settings: Settings, since: datetime | None) -> CrawlPlan:
    """The videos of these addresses."""
    from reelscope.crawl.url_source import UrlSource
    from reelscope.engines.ytdlp import YtDlpSource

    source = UrlSource(urls, YtDlpSource(settings.crawl))
    wanted = Wanted(source=source.name, since=since)
    return CrawlPlan(source.creators(), wanted, settings, {source.name: source})
