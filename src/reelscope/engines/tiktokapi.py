"""TikTok as a source of videos, asked by the package TikTokApi through a real browser.

Lists come page by page from the endpoints that TikTok's own site asks; files are fetched with
the cookies of that page. Addresses of files expire, so one that is refused is asked for anew,
once. What TikTok says is told apart as kinds of failure, each with what helps.
"""

from __future__ import annotations

import itertools
import logging
import math
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from reelscope.crawl.creators import Creator
from reelscope.crawl.fetch import Fetcher, Opener
from reelscope.crawl.media_file import video_suffix
from reelscope.crawl.photo_fetch import fetch_photo_post
from reelscope.crawl.source import Listed
from reelscope.crawl.tiktok_item import count_of, flag_of, listed_of
from reelscope.crawl.webvtt import lines_of
from reelscope.engines.browser import find_browser
from reelscope.engines.tiktok_sessions import (
    NETWORK_REMEDY,
    SHUT_OUT_REMEDY,
    SessionLost,
    TikTokSessions,
)
from reelscope.errors import CrawlFailed, OutputError
from reelscope.pace import Pace
from reelscope.settings import Crawl, TikTok

log = logging.getLogger(__name__)

T = TypeVar("T")

USER_PATH = "/api/user/detail/"
LIST_PATH = "/api/post/item_list/"
ITEM_PATH = "/api/item/detail/"
PAGE_SIZE = 35
"""Posts asked for at once: as many as TikTok's own page asks for."""
MAX_EMPTY_PAGES = 3
"""In a row, of a list that says that it goes on."""
MAX_SUBTITLE_BYTES = 1_000_000
"""Ten minutes of speech in WebVTT have about 20,000."""
SUBTITLE_TIMEOUT_S = 30.0
"""For all of it; they are worth no longer wait."""
FIRST_WAIT_S = 1.0
"""Before the second attempt, doubled before each further one (and spread by chance)."""

# USER_PRIVATE, VIDEO_PRIVATE_BY_USER; the source is that of SHUT_OUT_CODES. Where an answer
# names no account or post, there is none (10202, 10204, 10221: a ban), whatever its number.
PRIVATE_CODES = frozenset({10222, 10216})

GONE_REMEDY = "check the spelling, or take it out of the list"
PRIVATE_REMEDY = "nobody but approved followers can see it; take it out of the list"


class TikTokApiSource:
    """TikTok's videos (the Protocol `crawl.source.Source`).

    Args:
        tiktok: token, browser, proxies, patience.
        crawl: pauses, attempts, limits.
        opens: opens what was fetched and says its suffix.
        fetcher: fetches the files; None: one of its own.
        sleep: waits so many seconds.
    """

    name = "tiktok"

    def __init__(
        self,
        tiktok: TikTok,
        crawl: Crawl,
        *,
        opens: Opener = video_suffix,
        fetcher: Fetcher | None = None,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._tiktok = tiktok
        self._crawl = crawl
        self._opens = opens
        self._fetcher = fetcher
        self._own_fetcher: Fetcher | None = None
        self._pace = Pace(sleep=sleep)
        self._sessions: TikTokSessions | None = None

    # ------------------------------------------------------------------------ the Protocol

    def open(self) -> None:
        """Start the browser and load TikTok's page.

        Raises:
            CrawlFailed: no_token, no_browser, blocked, rate_limited, network.
        """
        if self._tiktok.ms_token is None or not self._tiktok.ms_token.get_secret_value().strip():
            remedy = "main.py tiktok configure, or set TIKTOK_MS_TOKEN"
            raise CrawlFailed("no_token", "TikTok's cookie msToken is not set", remedy=remedy)
        _require_package()
        settings = self._tiktok
        if self._crawl.proxy and not settings.proxies:
            settings = settings.model_copy(update={"proxies": (self._crawl.proxy,)})
        sessions = TikTokSessions(settings, find_browser(settings.browser))
        self._patiently(sessions.open, sessions)
        self._sessions = sessions

    def list_videos(
        self, creator: Creator, *, since: datetime | None, limit: int | None
    ) -> Iterator[Listed]:
        """A creator's posts, newest first, but pinned ones before all others.

        A post that makes no sense is left out with a warning. Paging stops with the first
        page that ends with a post older than `since`.

        Raises:
            CrawlFailed: gone, private, no_videos, blocked, rate_limited, network.
        """
        sec_uid, expected = self._account(creator.username)
        given: set[str] = set()
        for page in self._pages(sec_uid, creator.username, expected):
            videos = [v for v in map(_listed, page) if v is not None]
            for video in videos:
                if video.video_id in given or _is_older(video, since):
                    continue
                given.add(video.video_id)
                yield video
                if len(given) == limit:
                    return
            if _ends_before(page, since):
                return

    def download(self, video: Listed, target: Path) -> Path:
        """Fetch a video's file; an address that is refused is asked for anew, once.

        The pictures and the sound of a photo post are put into one file.

        Raises:
            CrawlFailed: gone, private, blocked, geo_blocked, rate_limited, network, not_media,
                not_supported.
            OutputError: the disk does not take it.
        """
        if video.media_urls or video.image_urls:
            try:
                return self._fetched(video, target)
            except CrawlFailed as fault:
                if fault.fault not in ("blocked", "gone"):
                    raise
                log.info("%s: %s; its address is asked for anew", video.video_id, fault)
        return self._fetched(self.refreshed(video), target)

    def subtitles(self, video: Listed) -> tuple[str, ...]:
        """The lines of TikTok's own subtitles, from the first address, asked for once.

        Raises:
            CrawlFailed: gone, blocked, geo_blocked, rate_limited, network, not_media,
                not_supported.
            OutputError: the disk does not take them.
        """
        if not video.subtitle_urls:
            return ()
        url = video.subtitle_urls[0]
        settings = self._files().settings
        timeout_s = min(settings.download_timeout_s, SUBTITLE_TIMEOUT_S)
        once = settings.model_copy(update={"attempts": 1, "download_timeout_s": timeout_s})
        try:
            with TemporaryDirectory(prefix="reelscope-") as folder, Fetcher(once) as fetcher:
                file = fetcher.fetch(
                    url,
                    Path(folder) / "subtitles",
                    opens=lambda _: ".vtt",
                    headers=self.headers_for(url),
                    max_bytes=MAX_SUBTITLE_BYTES,
                )
                return lines_of(file.read_bytes().decode("utf-8", errors="replace"))
        except OSError as error:
            raise OutputError(f"no temporary folder for subtitles: {error}") from error

    def refreshed(self, video: Listed) -> Listed:
        """The post with addresses that have not expired.

        Raises:
            CrawlFailed: gone, private, blocked, rate_limited, network.
        """
        answer = self._ask(ITEM_PATH, {"itemId": video.video_id})
        item = _inner(answer, "itemInfo", "itemStruct")
        code = _code(answer)
        if code in PRIVATE_CODES or flag_of(item.get("privateItem")):
            message = f"{video.video_id} is private"
            raise CrawlFailed("private", message, remedy=PRIVATE_REMEDY)
        fresh = listed_of(item, taken_at=datetime.now(UTC))
        if fresh is None or fresh.video_id != video.video_id:
            message = f"{video.video_id} is not on TikTok any more"
            raise CrawlFailed("gone", f"{message} ({code})", remedy=GONE_REMEDY)
        return fresh

    def headers_for(self, url: str) -> dict[str, str]:
        """What has to be sent with a request for a file: cookies and such; secret.

        Raises:
            CrawlFailed: the browser cannot be started again.
        """
        return self._with_sessions(lambda sessions: sessions.headers_for(url))

    def close(self) -> None:
        """Close the browser."""
        self._let_go()
        fetcher, self._own_fetcher = self._own_fetcher, None
        if fetcher is not None:
            fetcher.close()

    # --------------------------------------------------------------------------- the list

    def _account(self, username: str) -> tuple[str, int | None]:
        """The id that lists are asked by, and how many posts there should be.

        Raises:
            CrawlFailed: gone, private, no_videos, ...
        """
        answer = self._ask(USER_PATH, {"uniqueId": username, "secUid": ""})
        user = _inner(answer, "userInfo", "user")
        code = _code(answer)
        if code in PRIVATE_CODES or flag_of(user.get("privateAccount")):
            raise CrawlFailed("private", f"@{username} is private", remedy=PRIVATE_REMEDY)
        sec_uid = user.get("secUid")
        if not isinstance(sec_uid, str) or not sec_uid:
            message = f"TikTok knows no @{username} ({code}): deleted, banned, or never there"
            raise CrawlFailed("gone", message, remedy=GONE_REMEDY)
        stats = answer["userInfo"].get("statsV2") or answer["userInfo"].get("stats")
        expected = count_of(stats.get("videoCount")) if isinstance(stats, dict) else None
        if expected == 0:
            raise _no_videos(username)
        return sec_uid, expected

    def _pages(
        self, sec_uid: str, username: str, expected: int | None
    ) -> Iterator[Sequence[object]]:
        """Pages of posts, none of them empty."""
        cursor, empty, found = "0", 0, False
        while True:
            params = {"secUid": sec_uid, "count": str(PAGE_SIZE), "cursor": cursor}
            answer = self._ask(LIST_PATH, params)
            page = answer.get("itemList")
            page = page if isinstance(page, list) else []
            if page:
                empty, found = 0, True
                yield page
            empty += not page
            onward = str(answer.get("cursor"))
            if not flag_of(answer.get("hasMore")) or empty == MAX_EMPTY_PAGES or onward == cursor:
                break
            cursor = onward
        if not found:
            raise _nothing_listed(username, expected)

    # ---------------------------------------------------------------------- one request

    def _ask(self, path: str, params: Mapping[str, str]) -> dict[str, Any]:
        """An answer, after several attempts if need be.

        Raises:
            CrawlFailed: blocked, rate_limited, network.
        """
        return self._with_sessions(
            lambda sessions: self._patiently(lambda: sessions.ask(path, params), sessions)
        )

    def _patiently(self, work: Callable[[], T], sessions: TikTokSessions) -> T:
        """Do it; again after a wait, where TikTok asks for one or fails in passing."""
        for attempt in range(self._crawl.attempts):
            self._pace.wait(at_most_s=math.inf)  # what is waited for is bounded below
            try:
                return work()
            except CrawlFailed as fault:
                backoff_s = FIRST_WAIT_S * 2**attempt * random.uniform(0.5, 1)  # noqa: S311
                wait_s = backoff_s if sessions.wait_s is None else sessions.wait_s
                again = fault.fault in ("rate_limited", "network")
                last = attempt == self._crawl.attempts - 1
                if last or not again or wait_s > self._crawl.max_wait_s:
                    raise
                log.info("%s; again in %.1f s", fault, wait_s)
                self._pace.hold(wait_s)
            finally:
                spread_s = self._crawl.pause_spread_s * random.random()  # noqa: S311
                self._pace.hold(self._crawl.pause_s + spread_s)
        raise AssertionError("there is at least one attempt")

    def _with_sessions(self, work: Callable[[TikTokSessions], T]) -> T:
        """Do it with a browser; with a new one if that has died, or if TikTok shuts us out."""
        for recovered in itertools.count():
            if self._sessions is None:
                self.open()
            assert self._sessions is not None  # noqa: S101  (open has made them)
            try:
                return work(self._sessions)
            except SessionLost as lost:
                message = f"TikTok cannot be asked: {lost}"
                failure = CrawlFailed("network", message, remedy=NETWORK_REMEDY)
                most = self._tiktok.recoveries
            except CrawlFailed as fault:
                if fault.fault != "blocked":
                    raise
                failure, most = fault, min(1, self._tiktok.recoveries)  # a new page may be let in
            self._let_go()
            if recovered >= most:
                raise failure
            log.info("%s; the browser is started again", failure)
        raise AssertionError("counting has no end")

    def _let_go(self) -> None:
        sessions, self._sessions = self._sessions, None
        if sessions is not None:
            sessions.close()

    # -------------------------------------------------------------------------- the files

    def _files(self) -> Fetcher:
        """What fetches files."""
        fetcher = self._fetcher or self._own_fetcher
        if fetcher is None:
            # Addresses may hold for the network alone that asked for them.
            proxy = self._crawl.proxy or next(iter(self._tiktok.proxies), None)
            fetcher = Fetcher(self._crawl.model_copy(update={"proxy": proxy}))
            self._own_fetcher = fetcher
        return fetcher

    def _fetched(self, video: Listed, target: Path) -> Path:
        """The file, from the first address that gives it."""
        fetcher = self._files()
        if video.image_urls:
            return fetch_photo_post(fetcher, video, target, headers_for=self.headers_for)
        failure = CrawlFailed("gone", "TikTok names no address of the file", remedy=GONE_REMEDY)
        for url in video.media_urls:
            try:
                headers = self.headers_for(url)
                return fetcher.fetch(url, target, opens=self._opens, headers=headers)
            except CrawlFailed as fault:
                failure = fault
        raise failure


def _require_package() -> None:
    try:
        import TikTokApi  # noqa: F401
    except ImportError:
        message = "the package TikTokApi is not installed"
        raise CrawlFailed("not_supported", message, remedy="pip install reelscope[crawl]") from None


def _listed(item: object) -> Listed | None:
    video = listed_of(item, taken_at=datetime.now(UTC))
    if video is None:
        log.warning("TikTok lists something that is no post; it is left out")
    return video


def _is_older(video: Listed, since: datetime | None) -> bool:
    posted_at = video.platform.posted_at
    return since is not None and posted_at is not None and posted_at < since


def _ends_before(page: Sequence[object], since: datetime | None) -> bool:
    """Whether the page's last post is older, and is not merely pinned to the top of the list."""
    last = page[-1]
    if since is None or not isinstance(last, dict) or flag_of(last.get("isPinnedItem")):
        return False
    video = listed_of(last, taken_at=None)
    return video is not None and _is_older(video, since)


def _nothing_listed(username: str, expected: int | None) -> CrawlFailed:
    if not expected:
        return _no_videos(username)
    message = f"TikTok says that @{username} has {expected} videos, but lists none"
    return CrawlFailed("blocked", message, remedy=SHUT_OUT_REMEDY)


def _no_videos(username: str) -> CrawlFailed:
    return CrawlFailed(
        "no_videos", f"@{username} has no public videos", remedy="take it out of the list"
    )


def _inner(answer: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    """What stands within an answer; empty where something on the way is no object."""
    found: Any = answer
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    return found if isinstance(found, dict) else {}


def _code(answer: Mapping[str, Any]) -> int:
    code = count_of(answer.get("statusCode"))
    return code if code is not None else count_of(answer.get("status_code")) or 0
