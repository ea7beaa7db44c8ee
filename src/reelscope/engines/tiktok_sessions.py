"""Sessions of the package TikTokApi: a browser on TikTok's page, through which one asks.

TikTokApi opens the page, signs addresses with the page's own script and lets the page fetch
them. It tells neither the status of an answer nor why there is none, leaves its browser
behind when it fails, and logs answers and addresses with the token in them. So here its log
is silent, the page's answers are watched, and what went wrong is told apart by what was seen.
Requests are made with `make_request`: `User.videos` gives a page up at the first post that
lacks a field, and cannot say why a list is empty.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from reelscope.crawl.tiktok_item import count_of
from reelscope.engines.loop_thread import LoopThread, outcome
from reelscope.errors import CrawlFailed, CrawlFault
from reelscope.pace import retry_after_s
from reelscope.settings import TikTok

if TYPE_CHECKING:
    from playwright.async_api import BrowserContext, Page, Response

log = logging.getLogger(__name__)

HOME = "https://www.tiktok.com"
CLOSE_S = 15.0
"""A browser that has not closed by then is killed."""
# Of TikTok's `statusCode`. Names and numbers: the table ERROR_CODES that TikTokApi 4 had in
# tiktok.py; the newer versions have none.
SHUT_OUT_CODES = frozenset({10000, 10102, 10113, 10114})
"""VERIFY_CODE, USER_NOT_LOGIN, SHARK_SLIDE (a captcha), SHARK_BLOCK."""
TROUBLE_CODES = frozenset({10101, 10111})
"""SERVER_ERROR_NOT_500, NET_ERROR."""
GEO_CODES = frozenset({10231})
"""VIDEO_GEOFENCE_BLOCK."""

LOOK_S = 0.25
CAPTCHA_PATIENCE_S = 2.0
"""A captcha may lie over a page that works; one whose scripts are not there by then does not."""

_LOOK = """() => {
    if (window.byted_acrawler !== undefined) return 'ready';
    const captcha = '#captcha_container, #captcha-verify-container-main-page, .captcha_verify_container';
    return document.querySelector(captcha) ? 'captcha' : 'bare';
}"""  # noqa: E501

SHUT_OUT_REMEDY = (
    "take a fresh msToken from a browser that is on tiktok.com (main.py tiktok configure), "
    "set tiktok.headless: false, or a proxy in tiktok.proxies"
)
LATER_REMEDY = "run the same command again later; a longer crawl.pause_s asks less often"
NETWORK_REMEDY = "check the network and tiktok.proxies, then run the same command again"
BROWSER_REMEDY = (
    "apt install chromium, or playwright install chromium --with-deps; tiktok.headless: true "
    "where there is no screen"
)


class SessionLost(Exception):  # noqa: N818 - never leaves the engines
    """The browser or its page is not there any more, or does not answer."""


@dataclass
class _Seen:
    """What the page was answered last, by path."""

    statuses: dict[str, int] = field(default_factory=dict)
    waits_s: dict[str, float | None] = field(default_factory=dict)

    def note(self, response: Response) -> None:
        parts = urlsplit(response.url)
        if parts.hostname == "www.tiktok.com" and (parts.path == "/" or "/api/" in parts.path):
            self.statuses[parts.path] = response.status
            self.waits_s[parts.path] = retry_after_s(response.headers, now_s=time.time())

    def forget(self, path: str) -> None:
        self.statuses.pop(path, None)
        self.waits_s.pop(path, None)


class TikTokSessions:
    """Pages on TikTok that ask for its JSON. Used by one thread at a time.

    Args:
        settings: token, proxies, patience.
        browser: the program to start.
    """

    def __init__(self, settings: TikTok, browser: Path) -> None:
        self._settings = settings
        self._browser = browser
        self._loop: LoopThread | None = None
        self._api: Any = None
        self._seen = _Seen()
        self.wait_s: float | None = None
        """What the last answer asked to wait; None: it did not say."""

    def open(self) -> None:
        """Start the browser and load TikTok's page.

        Raises:
            CrawlFailed: no_browser, blocked (a captcha instead of the page), rate_limited,
                network.
        """
        self.close()
        self._seen.forget("/")
        self._loop = LoopThread("tiktok")
        try:
            self._loop.run(self._open(), timeout_s=self._settings.timeout_s * 4)
        except TimeoutError:
            self.close()
            raise _network(f"did not load within {self._settings.timeout_s:g} s") from None
        except BaseException:
            self.close()
            raise

    def ask(self, path: str, params: Mapping[str, str]) -> dict[str, Any]:
        """The JSON that TikTok answers.

        Args:
            path: such as /api/user/detail/.
            params: of the query, besides those that every request has.

        Raises:
            CrawlFailed: blocked, rate_limited, network.
            SessionLost: the browser died, or nothing came.
        """
        if self._loop is None:
            raise SessionLost("there is no browser")
        self._seen.forget(path)
        self.wait_s = None
        limit_s = self._settings.timeout_s
        try:
            found = self._loop.run(self._ask(path, params), timeout_s=limit_s + 5)
        except TimeoutError:
            raise SessionLost(f"no answer within {limit_s:g} s") from None
        self.wait_s = self._seen.waits_s.get(path)
        status = self._seen.statuses.get(path, 200)
        if isinstance(found, BaseException):
            raise self._failure(found, status) from None
        return _checked(found, status)

    def headers_for(self, url: str) -> dict[str, str]:
        """What the page would send along for a file: its cookies for that address, and who asks.

        Raises:
            SessionLost: the browser died.
        """
        if self._loop is None:
            raise SessionLost("there is no browser")
        try:
            found = self._loop.run(self._headers(url), timeout_s=self._settings.timeout_s)
        except TimeoutError:
            raise SessionLost("the browser does not answer") from None
        if isinstance(found, BaseException):
            raise SessionLost(type(found).__name__) from None
        return found

    def close(self) -> None:
        """Close the browser, or kill it."""
        loop, self._loop = self._loop, None
        if loop is None:
            return
        try:
            loop.run(self._close(), timeout_s=CLOSE_S)
        except TimeoutError:
            log.warning("the browser did not close in time")
        finally:
            loop.close()

    # --------------------------------------------------------------- on the loop's thread

    async def _open(self) -> None:
        from TikTokApi import TikTokApi

        token = self._settings.ms_token
        self._api = api = TikTokApi(logging.CRITICAL + 1, f"{__name__}.vendor")
        api.logger.handlers.clear()  # of its own, to stderr
        arguments = ["--headless=new"] if self._settings.headless else []
        proxies = [_proxy(proxy.get_secret_value()) for proxy in self._settings.proxies]
        work = api.create_sessions(
            num_sessions=self._settings.sessions,
            headless=False,  # the argument says it
            ms_tokens=[token.get_secret_value()] if token else None,
            proxies=proxies or None,
            starting_url=HOME,
            override_browser_args=[*arguments, *self._settings.browser_arguments],
            executable_path=str(self._browser),
            page_factory=self._page,
            timeout=round(self._settings.timeout_s * 1000),
            enable_session_recovery=False,  # it could not: it does not keep what it was given
        )
        found = await outcome(work, timeout_s=self._settings.timeout_s * 3)
        if isinstance(found, BaseException):
            raise self._not_opened(found) from None
        for session in api.sessions:
            session.headers = session.headers or {}
            await self._require_signing(session.page)

    async def _page(self, context: BrowserContext) -> Page:
        """As TikTokApi makes it, but watched."""
        from TikTokApi.stealth import stealth_async

        page = await context.new_page()
        page.set_default_timeout(self._settings.timeout_s * 1000)
        await stealth_async(page)
        page.on("response", self._seen.note)
        await page.goto(HOME)
        return page

    async def _require_signing(self, page: Page) -> None:
        """Wait for the script that signs; TikTokApi itself would load pages for minutes."""
        until = time.monotonic() + self._settings.timeout_s
        patience_s = CAPTCHA_PATIENCE_S
        seen: object = "bare"
        while time.monotonic() < until and patience_s > 0:
            seen = await outcome(page.evaluate(_LOOK), timeout_s=self._settings.timeout_s)
            if seen == "ready":
                return
            patience_s -= LOOK_S * (seen == "captcha")
            await asyncio.sleep(LOOK_S)
        if fault := _by_status(self._seen.statuses.get("/", 200)):
            raise fault
        what = "shows a captcha instead of" if seen == "captcha" else "does not send the scripts of"
        raise _blocked(f"{what} its page")

    async def _ask(self, path: str, params: Mapping[str, str]) -> Any:
        work = self._api.make_request(url=HOME + path, params=dict(params), retries=1)
        return await outcome(work, timeout_s=self._settings.timeout_s)

    async def _headers(self, url: str) -> dict[str, str] | BaseException:
        session = self._api.sessions[0] if self._api.sessions else None
        if session is None:
            return SessionLost("there is no page")
        limit_s = self._settings.timeout_s
        cookies = await outcome(session.context.cookies(url), timeout_s=limit_s)
        if isinstance(cookies, BaseException):
            return cookies
        headers = {"User-Agent": session.params["browser_version"], "Referer": f"{HOME}/"}
        if cookies:
            headers["Cookie"] = "; ".join(f"{c['name']}={c['value']}" for c in cookies)
        return headers

    async def _close(self) -> None:
        if self._api is not None:
            await self._api.close_sessions()
            self._api = None

    # ------------------------------------------------------------------------ what failed

    def _not_opened(self, error: BaseException) -> CrawlFailed:
        if fault := _by_status(self._seen.statuses.get("/", 200)):
            return fault
        if isinstance(error, TimeoutError) or _is_timeout(error):
            return _network(f"did not load within {self._settings.timeout_s:g} s")
        text = str(error)
        if "net::" in text:
            return _network(f"could not be loaded ({_net_error(text)})")
        message = f"{self._browser} did not start, or died at once"
        return CrawlFailed("no_browser", message, remedy=BROWSER_REMEDY)

    def _failure(self, error: BaseException, status: int) -> CrawlFailed | SessionLost:
        """What TikTokApi raised, in our words: its own hold addresses with the token."""
        from playwright.async_api import Error as PlaywrightError
        from TikTokApi.exceptions import EmptyResponseException, InvalidJSONException

        if by_status := _by_status(status):
            return by_status
        if isinstance(error, EmptyResponseException):
            return _blocked("gives empty answers, as it does to robots and to old tokens")
        if isinstance(error, InvalidJSONException):
            return _blocked("answers with a page (a captcha, mostly) instead of data")
        if isinstance(error, PlaywrightError):
            return SessionLost("the page cannot reach TikTok, or the browser died")
        return _network(f"gives an answer that makes no sense ({type(error).__name__})")


def _checked(answer: object, status: int) -> dict[str, Any]:
    if fault := _by_status(status):
        raise fault
    if not isinstance(answer, dict):
        raise _network("gives an answer that makes no sense")
    codes = {count_of(answer.get(key)) for key in ("statusCode", "status_code", "code")}
    if answer.get("type") == "verify" or codes & SHUT_OUT_CODES:
        raise _blocked("wants a captcha solved or somebody logged in")
    if codes & TROUBLE_CODES:
        raise _network("is out of order")
    if codes & GEO_CODES:
        raise _geo_blocked()
    return answer


def _by_status(status: int) -> CrawlFailed | None:
    if status == 429:
        message = "TikTok says that it is asked too often (429)"
        return CrawlFailed("rate_limited", message, remedy=LATER_REMEDY)
    if status >= 500:
        return _network(f"is out of order ({status})")
    if status == 451:
        return _geo_blocked()
    return _blocked(f"refuses ({status})") if status >= 400 else None


def _geo_blocked() -> CrawlFailed:
    return _failed("geo_blocked", "does not show this here", "a proxy in another country")


def _blocked(what: str) -> CrawlFailed:
    return _failed("blocked", what, SHUT_OUT_REMEDY)


def _network(what: str) -> CrawlFailed:
    return _failed("network", what, NETWORK_REMEDY)


def _failed(fault: CrawlFault, what: str, remedy: str) -> CrawlFailed:
    return CrawlFailed(fault, f"TikTok {what}", remedy=remedy)


def _is_timeout(error: BaseException) -> bool:
    from playwright.async_api import TimeoutError as PlaywrightTimeout

    return isinstance(error, PlaywrightTimeout)


def _net_error(text: str) -> str:
    """Chromium's own name of what went wrong, such as net::ERR_NAME_NOT_RESOLVED."""
    return text[text.index("net::") :].split(maxsplit=1)[0]


def _proxy(url: str) -> dict[str, str]:
    """As Playwright wants it: user and password apart, so that no process argument has them."""
    parts = urlsplit(url)
    proxy = {"server": f"{parts.scheme}://{parts.hostname}:{parts.port or 80}"}
    if parts.username:
        proxy |= {"username": parts.username, "password": parts.password or ""}
    return proxy
