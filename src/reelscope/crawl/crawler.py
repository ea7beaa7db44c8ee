"""From creators to videos on disk: list, then fetch, each going on where a kill left it.

Videos come out one by one as their files are there, so that analysing can begin with the
first. What fails for a creator or a video is told and the next one is tried; a service that
fails again and again is left alone for the rest of the run.
"""

from __future__ import annotations

import logging
import random
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from reelscope.atomic import remove_temporaries
from reelscope.crawl.creators import Creator
from reelscope.crawl.folder import NOT_VIDEOS, folder_videos
from reelscope.crawl.listing import Listing, load_listing, save_listing, without_secrets
from reelscope.crawl.names import safe_name
from reelscope.crawl.sidecar import read_sidecar, with_earlier_counts, write_sidecar
from reelscope.crawl.source import GivesSubtitles, Listed, Source
from reelscope.errors import CrawlFailed, OutputError
from reelscope.records import VideoSource
from reelscope.settings import Crawl

log = logging.getLogger(__name__)

FOLDER = "folder"
AUTO = "auto"
NOT_KEPT = frozenset({"urls", "import"})
"""Sources whose lists are files on this machine: asking again costs nothing."""
SAVE_EVERY = 30
"""Videos of a list after which it is saved: about a page of TikTok's."""


class CrawlListener(Protocol):
    """Hears how far the crawl is."""

    def listed(self, creator: Creator, count: int) -> None:
        """A creator's list is there, with so many videos."""
        ...

    def fetched(self, creator: Creator, video_id: str, *, new: bool) -> None:
        """A video's file is there; `new`: it came in this run."""
        ...

    def failed(self, creator: Creator, video_id: str | None, fault: CrawlFailed) -> None:
        """A creator (no video id) or a video did not come."""
        ...


@dataclass(frozen=True)
class Wanted:
    """What is wanted of each creator.

    Attributes:
        source: name of a source for creators that name none themselves; `auto`: the folder
            if it has videos that no crawl has brought, else `otherwise`.
        otherwise: see there; a source, or the folder, which then has none.
        since: nothing that was posted before; UTC.
        limit: at most so many of each creator, the newest.
    """

    source: str = AUTO
    otherwise: str = FOLDER
    since: datetime | None = None
    limit: int | None = None


class Crawler:
    """Brings creators' videos into their folders.

    Args:
        root: holds the creators' folders.
        sources: by name; opened when the first creator needs them.
        settings: pauses and limits.
        listener: is told of everything.
        sleep: waits so many seconds.
        now: the time, UTC.
    """

    def __init__(
        self,
        root: Path,
        sources: Mapping[str, Source],
        settings: Crawl,
        listener: CrawlListener,
        *,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.root = root
        self.settings = settings
        self.listener = listener
        self._sources = sources
        self._sleep = sleep
        self._now = now
        self._open: set[str] = set()
        self._faults: Counter[str] = Counter()  # in a row, of each source
        self._given_up: dict[str, CrawlFailed] = {}
        self.stopped = False

    def stop(self) -> None:
        """End after the request that is under way. Safe in a signal handler."""
        self.stopped = True

    def crawl(self, creators: Iterable[Creator], wanted: Wanted) -> Iterator[VideoSource]:
        """Every creator's videos, as their files come.

        Raises:
            OutputError: the disk does not take them.
        """
        try:
            for creator in creators:
                if self.stopped:
                    return
                yield from self._creator(creator, wanted)
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the sources."""
        for name in sorted(self._open):
            self._sources[name].close()
        self._open.clear()

    # ---------------------------------------------------------------------- a creator

    def _creator(self, creator: Creator, wanted: Wanted) -> Iterator[VideoSource]:
        here = folder_videos(self.root, creator)
        name = source_of(self.root, creator, wanted)
        if name == FOLDER:
            self.listener.listed(creator, len(here))
            if not here:
                self.listener.failed(creator, None, no_videos(self.root / creator.folder))
            yield from here[: wanted.limit]
            return
        try:
            source = self._opened(name)
            videos = self._listed(creator, source, wanted)
        except CrawlFailed as fault:
            if self.stopped:  # Ctrl-C reaches the browser too: what fails then says nothing
                return
            self._failed(creator, None, fault, name)
            if (creator.source or wanted.source) == AUTO:  # an earlier run's files are better
                yield from here[: wanted.limit]  # than none
            return
        self.listener.listed(creator, len(videos))
        files = fetched_files(self.root / creator.folder)
        for video in videos:
            if self.stopped:
                return
            try:
                path = self._file(creator, source, video, files.get(safe_name(video.video_id)))
            except CrawlFailed as fault:
                if self.stopped:
                    return
                self._failed(creator, video.video_id, fault, name)
                yield _without_file(creator, video, fault)
                if name in self._given_up:
                    return
            else:
                yield _source(creator, video, path)

    def _opened(self, name: str) -> Source:
        if fault := self._given_up.get(name):
            raise fault
        if name not in self._sources:
            known = ", ".join([FOLDER, *self._sources])
            raise CrawlFailed(
                "not_supported", f"there is no source {name!r}", remedy=f"one of: {known}"
            )
        if name not in self._open:
            self._sources[name].open()
            self._open.add(name)
        return self._sources[name]

    # ------------------------------------------------------------------------ the list

    def _listed(self, creator: Creator, source: Source, wanted: Wanted) -> list[Listed]:
        """The creator's videos: from an earlier run's list if that is young, else anew.

        Raises:
            CrawlFailed: there is no list, not even a part of one.
        """
        folder = self.root / creator.folder
        remove_temporaries(folder)
        earlier, now = load_listing(folder), self._now()
        hours = 0.0 if source.name in NOT_KEPT else self.settings.list_again_h
        if earlier and earlier.answers(
            source.name, wanted.since, wanted.limit, now=now, hours=hours
        ):
            return earlier.listed()
        videos: dict[str, Listed] = {}
        fault: CrawlFailed | None = None
        try:
            for video in source.list_videos(creator, since=wanted.since, limit=wanted.limit):
                videos.setdefault(video.video_id, video)
                if len(videos) % SAVE_EVERY == 0:
                    self._keep(folder, source, wanted, videos, complete=False)
                if self.stopped:
                    break
        except CrawlFailed as error:
            fault = error
        if fault and not videos:
            raise fault
        if fault:  # what came before is worth fetching
            if not self.stopped:
                self._failed(creator, None, fault, source.name)
        else:
            self._faults[source.name] = 0
        self._keep(folder, source, wanted, videos, complete=fault is None and not self.stopped)
        return list(videos.values())

    def _keep(
        self,
        folder: Path,
        source: Source,
        wanted: Wanted,
        videos: Mapping[str, Listed],
        *,
        complete: bool,
    ) -> None:
        listing = Listing(
            source=source.name,
            taken_at=self._now(),
            since=wanted.since,
            limit=wanted.limit,
            complete=complete,
            videos=without_secrets(list(videos.values())),
        )
        save_listing(folder, listing)

    # ----------------------------------------------------------------------- the files

    def _file(self, creator: Creator, source: Source, video: Listed, path: Path | None) -> Path:
        """The video's file with today's words of the platform beside it; fetched if it is None."""
        new = path is None
        if path is None:
            self._pause()
            path = source.download(video, self.root / creator.folder / safe_name(video.video_id))
        earlier = read_sidecar(path) if _sidecar(path).exists() else None
        platform = with_earlier_counts(video.platform, earlier)
        if new and not platform.subtitles and (lines := self._subtitles(source, video)):
            platform = platform.model_copy(update={"subtitles": lines})
        write_sidecar(path, platform)
        self._faults[source.name] = 0
        self.listener.fetched(creator, video.video_id, new=new)
        return path

    def _subtitles(self, source: Source, video: Listed) -> tuple[str, ...]:
        """The platform's own; that they do not come is never a reason to lose the video."""
        if self.stopped or not video.subtitle_urls or not isinstance(source, GivesSubtitles):
            return ()
        try:
            return source.subtitles(video)
        except (CrawlFailed, OutputError) as error:
            log.info("%s has subtitles, but they did not come: %s", video.video_id, error)
            return ()

    def _pause(self) -> None:
        """A little while, never the same: nobody is to be flooded."""
        spread_s = random.uniform(0, self.settings.pause_spread_s)  # noqa: S311
        if (wait_s := self.settings.pause_s + spread_s) > 0:
            self._sleep(wait_s)

    def _failed(
        self, creator: Creator, video_id: str | None, fault: CrawlFailed, source: str
    ) -> None:
        self.listener.failed(creator, video_id, fault)
        if fault.passing or fault.fault == "no_token":
            self._faults[source] += 1
        if self._faults[source] >= self.settings.breaker_failures and source not in self._given_up:
            log.warning("%s is left alone for the rest of the run: %s", source, fault)
            self._given_up[source] = CrawlFailed(
                fault.fault,
                f"{source} failed {self._faults[source]} times in a row and is left alone: {fault}",
                remedy=fault.remedy,
            )


def source_of(root: Path, creator: Creator, wanted: Wanted) -> str:
    """Where a creator's videos come from.

    A folder with a list in it was filled by a crawl: `auto` goes on there, with what a kill
    has left and with what is new.
    """
    name = creator.source or wanted.source
    if name != AUTO:
        return name
    if not folder_videos(root, creator):
        return wanted.otherwise
    listing = load_listing(root / creator.folder)
    crawled = listing is not None and listing.source not in NOT_KEPT
    return wanted.otherwise if crawled else FOLDER


def no_videos(folder: Path) -> CrawlFailed:
    """What is said of a creator's folder without videos."""
    return CrawlFailed(
        "no_videos",
        f"no videos in {folder}",
        remedy="put files there, or fetch them: python main.py tiktok configure, or --source ytdlp",
    )


def fetched_files(folder: Path) -> dict[str, Path]:
    """Name without suffix -> file, of all that was fetched into a creator's folder."""
    if not folder.is_dir():
        return {}
    return {
        path.stem: path
        for path in sorted(folder.iterdir(), reverse=True)
        if not path.name.startswith(".")
        and path.suffix.lower() not in NOT_VIDEOS
        and path.is_file()
    }


def _sidecar(path: Path) -> Path:
    return path.with_name(f"{path.stem}.json")


def _source(creator: Creator, video: Listed, path: Path) -> VideoSource:
    video_id = safe_name(video.video_id)
    return VideoSource(
        creator=creator.folder,
        video_id=video_id,
        path=str(path),
        url=video.url,
        frames_id=video_id,
        platform=read_sidecar(path),
    )


def _without_file(creator: Creator, video: Listed, fault: CrawlFailed) -> VideoSource:
    """A video that could not be fetched: what the platform says of it is worth keeping."""
    video_id = safe_name(video.video_id)
    return VideoSource(
        creator=creator.folder,
        video_id=video_id,
        missing=f"it was not fetched: {fault.fault}: {fault}",
        url=video.url,
        frames_id=video_id,
        platform=video.platform,
    )
