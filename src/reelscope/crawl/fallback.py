"""A source with another one behind it: what the first cannot give, the second is asked for."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from reelscope.crawl.creators import Creator
from reelscope.crawl.source import Listed, Source
from reelscope.errors import CrawlFailed

log = logging.getLogger(__name__)

FINAL = frozenset({"private", "gone", "no_videos"})
"""Faults that lie with the creator or the video: nobody else can give it either."""


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
        yield from self._or_second(fault).list_videos(creator, since=since, limit=limit)

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
        return self._or_second(fault).download(video, target)

    def close(self) -> None:
        """Let go of both."""
        if self._closed_door is None:
            self._first.close()
        if self._second_open:
            self._second.close()

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
