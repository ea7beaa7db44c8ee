"""A source with another one behind it: what the first cannot give, the second is asked for."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from reelscope.crawl.creators import Creator
from reelscope.crawl.source import GivesSubtitles, Listed, Source
from reelscope.errors import CrawlFailed

log = logging.getLogger(__name__)

FINAL = frozenset({"private", "gone", "no_videos"})
"""Faults that lie with the creator or the video: nobody else can give it either."""
SAYS_MORE = FINAL | {"geo_blocked", "not_media"}
"""Faults of the second that are told although the first has failed before."""


class WithFallback:
    """Asks the first source, and the second where the first fails for its own reasons.

    Args:
        first: gives its name to both.
        second: opened when it is needed.
    """

    def __init__(self, first: Source, second: Source) -> None:
        self.name = first.name
        self._first = first
        self._second = second
        self._closed_door: CrawlFailed | None = None
        self._second_open = False

    def open(self) -> None:
        """Make the first ready; if it cannot be, the second.

        Raises:
            CrawlFailed: neither can be; as the first says.
        """
        try:
            self._first.open()
        except CrawlFailed as fault:
            self._closed_door = fault
            self._or_second(fault)

    def list_videos(
        self, creator: Creator, *, since: datetime | None, limit: int | None
    ) -> Iterator[Listed]:
        """The first's list; the second's where the first gives nothing of it."""
        given = 0
        fault = self._closed_door
        if fault is None:
            try:
                for video in self._first.list_videos(creator, since=since, limit=limit):
                    given += 1
                    yield video
                return
            except CrawlFailed as error:
                fault = error
        if given or fault.fault in FINAL:
            raise fault
        second = self._or_second(fault)
        try:
            for video in second.list_videos(creator, since=since, limit=limit):
                given += 1
                yield video
        except CrawlFailed as error:
            raise error if given else self._of_both(fault, error) from None

    def download(self, video: Listed, target: Path) -> Path:
        """From the first, else from the second."""
        fault = self._closed_door
        if fault is None:
            try:
                return self._first.download(video, target)
            except CrawlFailed as error:
                fault = error
        if fault.fault in FINAL:
            raise fault
        second = self._or_second(fault)
        try:
            return second.download(video, target)
        except CrawlFailed as error:
            raise self._of_both(fault, error) from None

    def subtitles(self, video: Listed) -> tuple[str, ...]:
        """From the first, if it can be used and gives any."""
        if self._closed_door is None and isinstance(self._first, GivesSubtitles):
            return self._first.subtitles(video)
        return ()

    def close(self) -> None:
        """Let go of both."""
        if self._closed_door is None:
            self._first.close()
        if self._second_open:
            self._second.close()

    def _of_both(self, first: CrawlFailed, second: CrawlFailed) -> CrawlFailed:
        """The fault that helps: the first's, unless the second knows what is with the video."""
        log.info("%s cannot give it either: %s", self._second.name, second)
        return second if second.fault in SAYS_MORE else first

    def _or_second(self, fault: CrawlFailed) -> Source:
        """The second source, ready.

        Raises:
            CrawlFailed: it cannot be used either; the first's fault says more.
        """
        log.info("%s: %s; %s is asked instead", self.name, fault, self._second.name)
        if not self._second_open:
            try:
                self._second.open()
            except CrawlFailed as error:
                log.info("%s cannot be used either: %s", self._second.name, error)
                raise fault from None
            self._second_open = True
        return self._second
