"""What yt-dlp's errors mean: it has few classes and many sentences."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

from reelscope.errors import CrawlFailed, CrawlFault
from reelscope.pace import retry_after_s

MAX_MESSAGE = 300

_LEAVE_OUT = "take it out of the list"
_LATER = "run the same command again later"
_RULES: tuple[tuple[str, CrawlFault, str], ...] = (
    (
        r"secondary user ID",
        "blocked",
        "TikTok shows yt-dlp nothing of this creator: use --source tiktok with a token, or give"
        " the addresses of videos with --urls",
    ),
    (r"does not have any videos|no videos? posted", "no_videos", _LEAVE_OUT),
    (r"429|too many requests|rate.?limit", "rate_limited", _LATER),
    (
        r"geo.?restrict|HTTP Error 451|not (made this video )?available (in|from) your"
        r" (country|location|region)",
        "geo_blocked",
        "use a proxy in another country (crawl.proxy)",
    ),
    (
        r"captcha|not a bot|IP address is blocked|challenge|Unexpected response from webpage"
        r"|universal data|HTTP Error 40[13]",
        "blocked",
        "try again later, or by another way (crawl.proxy, crawl.cookies, --source tiktok)",
    ),
    (
        r"\bprivate\b|account that has access|log ?in|sign in|members.only|followers only",
        "private",
        "nobody but approved followers can see it; crawl.cookies of one who can, or leave it out",
    ),
    (
        r"HTTP Error 4(04|10)|removed|deleted|no longer (available|exists?)|does ?n.t exist"
        r"|not found|terminated|video (is )?(not |un)available",
        "gone",
        _LEAVE_OUT,
    ),
    (
        r"requested format is not available",
        "not_supported",
        "the site gives pictures and sound apart only, which ffmpeg would have to put together",
    ),
    (r"unsupported url|no video|DRM|valid URL|\blive\b|no media", "not_supported", _LEAVE_OUT),
    (
        r"timed? ?out|connection|resolve|unreachable|ssl|certificate|HTTP Error (408|5\d\d)"
        r"|bytes read|IncompleteRead|transport|Downloaded \d+ bytes",
        "network",
        "check the network, then run the same command again",
    ),
)  # fmt: skip


class YtDlpFailed(CrawlFailed):
    """With what the server said of waiting, if it did."""

    wait_s: float | None = None


def fault_of(error: BaseException) -> CrawlFailed:
    """The fault that an error of yt-dlp's tells of."""
    chain = list(_chain(error))
    for cause in chain:
        if isinstance(cause, CrawlFailed):
            return cause
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).removeprefix("ERROR: ").strip()
    text = text.partition("; please report this issue")[0]
    said = "".join(c if c.isprintable() else " " for c in text)[:MAX_MESSAGE]
    if any(type(cause).__name__ == "GeoRestrictedError" for cause in chain):
        return _failed("geo_blocked", said, "use a proxy in another country (crawl.proxy)", chain)
    for pattern, fault, remedy in _RULES:
        if re.search(pattern, text, re.IGNORECASE):
            return _failed(fault, said, remedy, chain)
    return _failed("not_supported", said, "pip install -U yt-dlp; the site may have changed", chain)


def wait_of(fault: CrawlFailed) -> float | None:
    """How long the server asks to wait, seconds; None: it does not say."""
    return fault.wait_s if isinstance(fault, YtDlpFailed) else None


def _failed(fault: CrawlFault, said: str, remedy: str, chain: list[BaseException]) -> YtDlpFailed:
    found = YtDlpFailed(fault, f"yt-dlp: {said}", remedy=remedy)
    for cause in chain:
        headers = getattr(getattr(cause, "response", None), "headers", None)
        if headers is not None:
            given = {str(name).lower(): str(value) for name, value in headers.items()}
            found.wait_s = retry_after_s(given, now_s=time.time())
            break
    return found


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and all that it came from."""
    waiting, seen = [error], set[int]()
    while waiting:
        cause = waiting.pop(0)
        if not isinstance(cause, BaseException) or id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        info = getattr(cause, "exc_info", None)
        waiting += [cause.__cause__, getattr(cause, "cause", None), cause.__context__]
        if isinstance(info, tuple) and len(info) == 3:
            waiting.append(info[1])
