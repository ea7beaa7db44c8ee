"""Any site that yt-dlp knows as a source of videos, by its Python interface.

No configuration file, plugin, netrc, cookie store of a browser or post-processor of yt-dlp is
used, names of files are ours alone, and only addresses of the public network are asked. A
redirect is checked before it is followed, but other than in `crawl/fetch.py` the name is
looked up anew for the connection.
"""

from __future__ import annotations

import io
import itertools
import logging
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from reelscope.atomic import not_written
from reelscope.crawl.addresses import split_url
from reelscope.crawl.creators import Creator
from reelscope.crawl.fetch import Opener, Progress
from reelscope.crawl.media_file import media_suffix
from reelscope.crawl.source import Listed
from reelscope.engines.weights import importing, require
from reelscope.engines.ytdlp_faults import fault_of, wait_of
from reelscope.engines.ytdlp_guard import guarded
from reelscope.engines.ytdlp_info import listed_of
from reelscope.errors import CrawlFailed, EngineUnavailable, MediaError
from reelscope.settings import Crawl

if TYPE_CHECKING:
    from yt_dlp import YoutubeDL

log = logging.getLogger(__name__)

T = TypeVar("T")

FORMAT = "b[protocol^=http]/b"
"""One file with pictures and sound: putting two together would need ffmpeg. Where a site has
only sound, `b` takes that (README of yt-dlp, "Format Selection")."""
FIRST_WAIT_S = 1.0
"""Before the second attempt, doubled before each further one (and spread by chance)."""
MAX_PINNED = 3
"""Posts that a creator can put before all others on TikTok, however old they are."""


class YtDlpSource:
    """yt-dlp's sites (the Protocol `crawl.source.Source`).

    Args:
        crawl: limits, attempts, pauses, proxy.
        opens: opens what was fetched and says its suffix.
        progress: hears of every block that comes; may raise to stop.
        sleep: waits so many seconds.
    """

    name = "ytdlp"

    def __init__(
        self,
        crawl: Crawl,
        *,
        opens: Opener = media_suffix,
        progress: Progress | None = None,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._crawl = crawl
        self._opens = opens
        self._progress = progress
        self._sleep = sleep

    def open(self) -> None:
        """See whether the package is here.

        Raises:
            CrawlFailed: not_supported: it is not.
        """
        try:
            require("yt-dlp", extra="crawl")
            with importing("yt-dlp", extra="crawl"):
                import yt_dlp  # noqa: F401
        except EngineUnavailable as lack:
            raise CrawlFailed("not_supported", lack.reason, remedy=lack.remedy) from lack

    def close(self) -> None:
        """Nothing is kept open."""

    # --------------------------------------------------------------------------- lists

    def list_videos(
        self, creator: Creator, *, since: datetime | None, limit: int | None
    ) -> Iterator[Listed]:
        """A TikTok creator's videos, newest first, page by page.

        Raises:
            CrawlFailed: gone, private, no_videos, blocked, rate_limited, geo_blocked, network.
        """
        url = f"https://www.tiktok.com/@{creator.username}"
        yield from self.list_page(url, since=since, limit=limit)

    def list_page(self, url: str, *, since: datetime | None, limit: int | None) -> Iterator[Listed]:
        """The videos of a page that has several: a profile, a channel, a playlist.

        Raises:
            CrawlFailed: as `list_videos`; not_supported: no page that yt-dlp knows.
        """
        found = False
        with self._loader() as loader:
            page = self._patiently(lambda: self._ask(loader, url, process=False))
            videos = self._entries(iter(page.get("entries") or [page]), url)
            first = next(videos, None)
            if first is not None:
                found = True
                yield from newest(itertools.chain([first], videos), since=since, limit=limit)
        if not found:
            raise CrawlFailed("no_videos", f"{url} has no videos", remedy="take it out of the list")

    def _entries(self, entries: Iterator[Any], url: str) -> Iterator[Listed]:
        while (entry := self._next(entries)) is not None:
            video = listed_of(entry, taken_at=datetime.now(UTC))
            if video is None:
                log.warning("%s: an entry that makes no sense is left out", url)
            else:
                yield video

    def look_up(self, url: str) -> Listed:
        """What a site says of the one video at an address.

        Raises:
            CrawlFailed: not_supported: yt-dlp knows no video there, or several; else as
                `list_videos`.
        """
        with self._loader() as loader:
            info = self._patiently(lambda: self._ask(loader, url, process=True))
        entries = [entry for entry in info.get("entries") or () if entry]
        if "entries" in info and len(entries) != 1:
            raise CrawlFailed(
                "not_supported",
                f"there are {len(entries)} videos at {url}",
                remedy="put the address of each video into the list",
            )
        video = listed_of(entries[0] if entries else info, taken_at=datetime.now(UTC), url=url)
        if video is None:
            raise CrawlFailed(
                "not_supported", f"no video was found at {url}", remedy="take it out of the list"
            )
        return video

    # ------------------------------------------------------------------------- a file

    def download(self, video: Listed, target: Path) -> Path:
        """Fetch a video's file from its page.

        What a killed run has left is thrown away: yt-dlp does not look whether it is the
        beginning of the same file. Breaks within a call are gone on with.

        Raises:
            CrawlFailed: as `look_up`; not_media.
            OutputError: the disk does not take it.
        """
        if video.url is None:
            raise CrawlFailed(
                "not_supported", f"{video.video_id} has no page", remedy="list it again"
            )
        url = video.url
        part = target.with_name(f"{target.name}.part.ytdlp")
        try:
            part.parent.mkdir(parents=True, exist_ok=True)
            _remove(part)
            until = time.monotonic() + self._crawl.download_timeout_s
            self._patiently(lambda: self._transfer(url, part, until))
            return self._named(part, target)
        except OSError as error:
            raise not_written(part, error) from error

    def _transfer(self, url: str, part: Path, until: float) -> None:
        most = self._crawl.max_file_mb * 1_000_000

        def watch(state: Mapping[str, Any]) -> None:
            done = _whole_number(state.get("downloaded_bytes")) or 0
            total = _whole_number(state.get("total_bytes"))
            if max(done, total or 0) > most:
                raise CrawlFailed(
                    "not_supported",
                    f"the file has {max(done, total or 0) / 1e6:.1f} MB or more,"
                    f" {most / 1e6:.1f} MB are allowed",
                    remedy="raise crawl.max_file_mb",
                )
            if time.monotonic() > until:
                raise CrawlFailed(
                    "network", "the download took too long", remedy="raise crawl.download_timeout_s"
                )
            if self._progress:
                self._progress(done, total)

        name = str(part.absolute()).replace("%", "%%")
        try:
            with self._loader(outtmpl={"default": name}, progress_hooks=[watch]) as loader:
                self._ask(loader, url, process=True, download=True)
        except CrawlFailed as fault:
            if not fault.passing:
                _remove(part)
            raise

    def _named(self, part: Path, target: Path) -> Path:
        try:
            if not part.is_file() or part.stat().st_size == 0:
                raise MediaError("no file came")
            suffix = self._opens(part)
        except MediaError as error:
            _remove(part)
            raise CrawlFailed(
                "not_media", f"what came is no media file: {error}", remedy="list the video again"
            ) from error
        whole = target.with_name(f"{target.name}{suffix}")
        part.replace(whole)
        _remove(part)
        return whole

    # ------------------------------------------------------------------------- yt-dlp

    @contextmanager
    def _loader(self, **more: object) -> Iterator[YoutubeDL]:
        with importing("yt-dlp", extra="crawl"):
            loader = guarded(self._options(**more), self._crawl)
        with loader:
            yield loader

    def _options(self, **more: object) -> dict[str, Any]:
        crawl = self._crawl
        waits = dict.fromkeys(("http", "fragment", "extractor", "file_access"), self._wait_s)
        return {
            "logger": _Log(), "quiet": True, "noprogress": True, "verbose": False,
            "color": {"stdout": "never", "stderr": "never"},
            "format": FORMAT, "noplaylist": True, "extract_flat": "in_playlist",
            "lazy_playlist": True, "allow_playlist_files": False,
            "fixup": "never", "postprocessors": [], "updatetime": False,
            "external_downloader": {"default": "native"}, "hls_prefer_native": True,
            "cachedir": False, "usenetrc": False, "enable_file_urls": False, "overwrites": True,
            "writesubtitles": False, "geo_bypass": False, "warn_when_outdated": False,
            "cookiefile": _cookies(crawl.cookies),
            "proxy": crawl.proxy.get_secret_value() if crawl.proxy else "",
            "socket_timeout": crawl.read_timeout_s,
            "retries": crawl.attempts - 1, "fragment_retries": crawl.attempts - 1,
            "extractor_retries": crawl.attempts - 1, "file_access_retries": 0,
            "retry_sleep_functions": waits,
            "sleep_interval_requests": crawl.pause_s + random.random() * crawl.pause_spread_s,  # noqa: S311
            **more,
        }  # fmt: skip

    def _ask(
        self, loader: YoutubeDL, url: str, *, process: bool, download: bool = False
    ) -> dict[str, Any]:
        """yt-dlp's answer.

        Raises:
            CrawlFailed: in its place for all that yt-dlp raises.
        """
        from yt_dlp.utils import YoutubeDLError

        split_url(url)  # yt-dlp would search for what is no address
        try:
            info = loader.extract_info(url, download=download, process=process)
        except YoutubeDLError as error:
            raise fault_of(error) from error
        if not isinstance(info, dict):
            raise CrawlFailed("not_supported", f"nothing at {url}", remedy="leave it out")
        return info

    def _next(self, entries: Iterator[Any]) -> object | None:
        """The next entry of a list that comes page by page; None: it is at its end."""
        from yt_dlp.utils import YoutubeDLError

        try:
            return next(entries, None)
        except YoutubeDLError as error:
            raise fault_of(error) from error

    def _patiently(self, call: Callable[[], T]) -> T:
        for attempt in range(self._crawl.attempts):
            try:
                return call()
            except CrawlFailed as fault:
                wait_s = wait_of(fault)
                wait_s = self._wait_s(attempt) if wait_s is None else wait_s
                passing = fault.fault in ("rate_limited", "network")
                last = attempt == self._crawl.attempts - 1
                if last or not passing or wait_s > self._crawl.max_wait_s:
                    raise
                log.info("%s; again in %.1f s", fault, wait_s)
                self._sleep(wait_s)
        raise AssertionError("there is at least one attempt")

    def _wait_s(self, n: int) -> float:
        """Before attempt n + 2; half of it by chance."""
        wait_s: float = FIRST_WAIT_S * 2.0 ** min(n, 16) * (1 + random.random()) / 2  # noqa: S311
        return min(wait_s, self._crawl.max_wait_s)


def newest(
    videos: Iterable[Listed], *, since: datetime | None, limit: int | None
) -> Iterator[Listed]:
    """Of a list that begins with the newest: at most so many, and none from before.

    It ends with the first that is too old, but for those that may be pinned to its top.
    """
    given, older = 0, 0
    for video in videos:
        posted_at = video.platform.posted_at
        if since and posted_at and posted_at < since:
            older += 1
            if older > MAX_PINNED:
                return
            continue
        older, given = 0, given + 1
        yield video
        if given == limit:
            return


class _Log:
    """yt-dlp's words in our log. What it calls an error is raised as well."""

    def debug(self, message: str) -> None:
        log.debug("yt-dlp: %s", message)

    def info(self, message: str) -> None:
        log.debug("yt-dlp: %s", message)

    def warning(self, message: str, *, once: bool = False) -> None:  # noqa: ARG002
        log.info("yt-dlp: %s", message[:500])

    def error(self, message: str) -> None:
        log.info("yt-dlp: %s", message[:500])


def _cookies(path: Path | None) -> io.StringIO | None:
    """A copy: yt-dlp writes what it learns into the file that it is given.

    Raises:
        CrawlFailed: the file cannot be read.
    """
    if path is None:
        return None
    try:
        return io.StringIO(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise CrawlFailed(
            "not_supported", f"{path} cannot be read: {error}", remedy="correct crawl.cookies"
        ) from None


def _remove(part: Path) -> None:
    for path in part.parent.glob(f"{_literally(part.name)}*"):
        path.unlink(missing_ok=True)


def _literally(name: str) -> str:
    return "".join(f"[{c}]" if c in "*?[" else c for c in name)


def _whole_number(value: object) -> int | None:
    return int(value) if isinstance(value, int | float) and value >= 0 else None
