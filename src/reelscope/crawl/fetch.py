"""Fetches one media file: within limits, from public addresses, whole or not at all.

What comes is written to `<target>.part`; `<target>.part.json` beside it says of which file
it is the beginning, so that a later run can go on where this one was cut (RFC 9110, section
14: Range, If-Range, Content-Range). The file gets its name when its length is right and
somebody who knows media could open it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import random
import re
import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self
from urllib.parse import urldefrag, urljoin, urlsplit

from reelscope.atomic import not_written, write_atomic
from reelscope.crawl.addresses import public_addresses, require_public_literal, split_url
from reelscope.crawl.watch import Watch
from reelscope.errors import CrawlFailed, CrawlFault, MediaError, OutputError
from reelscope.pace import Pace, retry_after_s
from reelscope.settings import Crawl

if TYPE_CHECKING:
    import httpx

logger = logging.getLogger(__name__)

MAX_REDIRECTS = 10
MAX_ADDRESSES = 3
"""Of a host that has many addresses so many are tried."""
FIRST_WAIT_S = 1.0
"""Before the second attempt, doubled before each further one; half of it is by chance, so
that many who were refused together do not come back together (AWS Architecture Blog,
"Exponential Backoff And Jitter")."""
USER_AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0.0.0 Safari/537.36"  # noqa: E501
_SECRET_HEADERS = {"cookie", "authorization", "proxy-authorization"}
_OURS = {"host", "range", "if-range", "accept-encoding", "content-length", "transfer-encoding"}
_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are here, and all bytes if that is known; may raise to stop."""
Opener = Callable[[Path], str]
"""Opens a file and says the suffix that it should have (".mp4"); raises MediaError."""


@dataclass(frozen=True)
class _Part:
    """Of which file a part is the beginning."""

    url: str
    validator: str | None
    total: int | None


class _Passing(Exception):  # noqa: N818 - never leaves this file
    """An attempt failed in a way that another may not."""

    def __init__(self, fault: CrawlFault, cause: str, wait_s: float | None = None) -> None:
        super().__init__(cause)
        self.fault = fault
        self.wait_s = wait_s


class Fetcher:
    """Fetches files. Threads may share one.

    Args:
        settings: limits, waits and the proxy.
        sleep: waits so many seconds.
        chance: a number from 0 to 1, for the waits.
    """

    def __init__(
        self,
        settings: Crawl,
        *,
        sleep: Callable[[float], object] = time.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        import httpx

        self.settings = settings
        self._sleep = sleep
        self._chance = chance
        self._paces: defaultdict[str, Pace] = defaultdict(lambda: Pace(sleep=sleep))
        # Connections are made to addresses that were checked, so none is kept for another
        # host that happens to have the same address. SSL_CERT_FILE counts, HTTPS_PROXY not.
        proxy = settings.proxy.get_secret_value() if settings.proxy else None
        self._client = httpx.Client(
            verify=httpx.create_ssl_context(),
            trust_env=False,
            proxy=proxy,
            follow_redirects=False,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the connections."""
        self._client.close()

    def fetch(
        self,
        url: str,
        target: Path,
        *,
        opens: Opener,
        headers: Mapping[str, str] | None = None,
        max_bytes: int | None = None,
        progress: Progress | None = None,
    ) -> Path:
        """Fetch a file; what an earlier call has begun is gone on with.

        Args:
            url: http or https.
            target: path without suffix; folders above it are made.
            opens: says whether that is media, and which.
            headers: to be sent. Cookies and such go to the host of `url` alone.
            max_bytes: of the file; None: `max_file_mb` of the settings.
            progress: hears of every block.

        Returns:
            `<target><suffix>`; a file of that name is replaced.

        Raises:
            CrawlFailed: not_supported (no web address, a private one, too large),
                blocked, gone, geo_blocked, rate_limited, network, not_media.
            OutputError: the disk is full or may not be written; what came is kept.
        """
        part = target.with_name(f"{target.name}.part")
        most = max_bytes or self.settings.max_file_mb * 1_000_000
        until = time.monotonic() + self.settings.download_timeout_s
        transfer = _Transfer(part, url, max_bytes=most, progress=progress)
        sent = {name: v for name, v in (headers or {}).items() if name.lower() not in _OURS}
        try:
            part.parent.mkdir(parents=True, exist_ok=True)
            self._transfer(transfer, sent, until)
            return _named(part, target, opens)
        except OSError as error:
            raise not_written(part, error) from error

    # ----------------------------------------------------------------------- attempts

    def _transfer(self, transfer: _Transfer, headers: Mapping[str, str], until: float) -> None:
        host = _host(transfer.url)
        for attempt in range(1, self.settings.attempts + 1):
            try:
                return self._attempt(transfer, headers, until)
            except _Passing as failure:
                wait_s = failure.wait_s
                if wait_s is None:
                    wait_s = FIRST_WAIT_S * 2 ** (attempt - 1) * (1 + self._chance()) / 2
                too_long = wait_s > min(self.settings.max_wait_s, until - time.monotonic())
                if too_long or attempt == self.settings.attempts:
                    raise _given_up(host, failure, attempts=attempt) from None
                logger.info("%s: %s; again in %.1f s", host, failure, wait_s)
                if failure.wait_s is None:
                    self._sleep(wait_s)
                else:  # a server that says "wait" says it to all who fetch from it
                    self._paces[host].hold(wait_s)
        raise AssertionError("there is at least one attempt")

    def _attempt(self, transfer: _Transfer, headers: Mapping[str, str], until: float) -> None:
        import httpx

        transfer.take_up()
        if transfer.done:
            return
        at_most_s = min(self.settings.max_wait_s * 2, until - time.monotonic())
        if not self._paces[_host(transfer.url)].wait(at_most_s=at_most_s):
            raise _Passing("rate_limited", "the server asks to wait longer than there is time")
        try:
            with self._answer(transfer, headers, until) as answer:
                _require_good(answer, transfer)
                transfer.receive(answer, until)
        except httpx.TimeoutException as error:
            raise _Passing("network", "the server did not answer in time") from error
        except httpx.TransportError as error:
            late = time.monotonic() >= until
            cause = "it took too long" if late else f"the connection broke ({_words(error)})"
            raise _Passing("network", cause) from error
        except httpx.InvalidURL as error:
            raise CrawlFailed(
                "not_supported", f"no web address: {error}", remedy="take it out of the list"
            ) from None

    @contextlib.contextmanager
    def _answer(
        self, transfer: _Transfer, headers: Mapping[str, str], until: float
    ) -> Iterator[httpx.Response]:
        """The answer that is no redirect any more; every hop is checked first."""
        url = urldefrag(transfer.url)[0]
        sent = {"User-Agent": USER_AGENT, **headers, **transfer.asks()}
        sent["Accept-Encoding"] = "identity"
        for _ in range(MAX_REDIRECTS + 1):
            with self._one(url, sent, until) as answer:
                onward = answer.headers.get("location") if answer.is_redirect else None
                if onward is None:
                    yield answer
                    return
            there = urldefrag(urljoin(url, onward))[0]
            if _origin(there) != _origin(url):
                sent = {k: v for k, v in sent.items() if k.lower() not in _SECRET_HEADERS}
            url = there
        raise CrawlFailed(
            "not_supported", f"{_host(url)} redirects without end", remedy="list the video again"
        )

    @contextlib.contextmanager
    def _one(self, url: str, headers: dict[str, str], until: float) -> Iterator[httpx.Response]:
        """One request. The name is looked up once: what was checked is what is connected to."""
        import httpx

        parts = split_url(url)
        asked = httpx.URL(url)
        headers = {**headers, "Host": asked.netloc.decode("ascii")}
        extensions: dict[str, object] = {}
        hosts = [asked.host]
        if self.settings.proxy:
            require_public_literal(parts.hostname or "", loopback=self.settings.loopback)
        else:
            port = parts.port or (443 if parts.scheme == "https" else 80)
            hosts = public_addresses(parts.hostname or "", port, loopback=self.settings.loopback)[
                :MAX_ADDRESSES
            ]
            extensions["sni_hostname"] = parts.hostname
        for number, host in enumerate(hosts, 1):
            watch = Watch(until)
            request = self._client.build_request(
                "GET",
                asked.copy_with(host=host),
                headers=headers,
                timeout=self._timeout(until),
                extensions={**extensions, "trace": watch.trace},
            )
            try:
                answer = self._client.send(request, stream=True)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                watch.end()
                if number == len(hosts):
                    raise
                continue
            except BaseException:
                watch.end()
                raise
            with watch, contextlib.closing(answer):
                yield answer
            return

    def _timeout(self, until: float) -> httpx.Timeout:
        import httpx

        left_s = max(until - time.monotonic(), 0.001)
        read_s, connect_s = self.settings.read_timeout_s, self.settings.connect_timeout_s
        return httpx.Timeout(min(read_s, left_s), connect=min(connect_s, left_s))


# ---------------------------------------------------------------------------- one file


class _Transfer:
    """The unfinished file of a download, and what is known of the whole."""

    def __init__(self, part: Path, url: str, *, max_bytes: int, progress: Progress | None) -> None:
        self.part, self.url, self.max_bytes = part, url, max_bytes
        self._note = part.with_name(f"{part.name}.json")
        self._progress = progress
        self._whole = _Part(_bare(url), None, None)
        self._have = 0

    @property
    def done(self) -> bool:
        """Everything is here."""
        return self._have > 0 and self._have == self._whole.total

    def take_up(self) -> None:
        """Look how much is here of this very file; anything else is thrown away."""
        found = _read_note(self._note)
        size = self.part.stat().st_size if self.part.is_file() else 0
        fits = found is not None and found.url == self._whole.url and found.total is not None
        if found and fits and 0 < size <= min(found.total or 0, self.max_bytes):
            self._whole, self._have = found, size
        else:
            self.discard()

    def discard(self) -> None:
        """Begin anew with the next request."""
        self._whole, self._have = _Part(_bare(self.url), None, None), 0
        self._note.unlink(missing_ok=True)
        if self.part.is_file() and not self.part.is_symlink():
            self.part.unlink()

    def asks(self) -> dict[str, str]:
        """Headers that ask for what is missing."""
        if not self._have:
            return {}
        asked = {"Range": f"bytes={self._have}-"}
        if self._whole.validator:
            asked["If-Range"] = self._whole.validator
        return asked

    def receive(self, answer: httpx.Response, until: float) -> None:
        """Write what comes.

        Raises:
            CrawlFailed: too large, or not as it was asked for.
            OutputError: the disk is full.
        """
        coding = answer.headers.get("content-encoding", "identity").strip().lower()
        if coding not in ("", "identity"):
            raise self._refused("not_media", f"came compressed ({coding[:20]}) unasked")
        if answer.status_code == 206:
            self._require_continuation(answer)
        else:
            self._begin(answer)
        with self.part.open("ab" if self._have else "wb", buffering=0) as out:
            for block in answer.iter_raw():
                self._have += len(block)
                if self._have > self.max_bytes:
                    raise self._too_large(self._have)
                out.write(block)
                if self._progress:
                    self._progress(self._have, self._whole.total)
                if time.monotonic() > until:
                    raise _Passing("network", "it took too long")
            os.fsync(out.fileno())
        if self._whole.total is not None and self._have != self._whole.total:
            raise _Passing("network", f"{self._have} of {self._whole.total} bytes came")

    def _begin(self, answer: httpx.Response) -> None:
        """From the first byte: write down what this is the beginning of."""
        total = _length(answer.headers.get("content-length"))
        if total is not None and total > self.max_bytes:
            raise self._too_large(total)
        free = shutil.disk_usage(self.part.parent).free
        if total is not None and total > free:
            raise OutputError(
                f"{self.part} could not be written: the disk is full"
                f" ({total / 1e6:.1f} MB are to come, {free / 1e6:.1f} MB are free)"
            )
        self._have, self._whole = 0, _Part(_bare(self.url), _validator(answer), total)
        if total:
            note = json.dumps(asdict(self._whole))
            write_atomic(self._note, note, durable=False)

    def _require_continuation(self, answer: httpx.Response) -> None:
        stated = _RANGE.fullmatch(answer.headers.get("content-range", "").strip())
        known = (self._have, self._whole.total)
        fits = stated and (int(stated[1]), _length(stated[3])) == known
        same = not self._whole.validator or _validator(answer) in (None, self._whole.validator)
        if not (self._have and fits and same):
            self.discard()
            raise _Passing("network", "the server sends another part than was asked for", 0.0)

    def _too_large(self, size: int) -> CrawlFailed:
        least = "at least " if size == self._have else ""
        self.discard()
        return CrawlFailed(
            "not_supported",
            f"the file has {least}{size / 1e6:.1f} MB, {self.max_bytes / 1e6:.1f} MB are allowed",
            remedy="raise crawl.max_file_mb",
        )

    def _refused(self, fault: CrawlFault, words: str) -> CrawlFailed:
        self.discard()
        return CrawlFailed(
            fault, f"what {_host(self.url)} sent {words}", remedy="list the video again"
        )


def _named(part: Path, target: Path, opens: Opener) -> Path:
    """Give the file its name, if it is media."""
    note = part.with_name(f"{part.name}.json")
    try:
        if part.stat().st_size == 0:
            raise MediaError("the file is empty")
        suffix = opens(part)
    except MediaError as error:
        part.unlink(missing_ok=True)
        note.unlink(missing_ok=True)
        raise CrawlFailed(
            "not_media", f"what came is no media file: {error}", remedy="list the video again"
        ) from error
    whole = target.with_name(f"{target.name}{suffix}")
    part.replace(whole)
    note.unlink(missing_ok=True)
    return whole


# ------------------------------------------------------------------- answers in words

_REFUSALS: dict[int, tuple[CrawlFault, str, str]] = {
    401: ("blocked", "the server wants a login", "list the video again: addresses expire"),
    403: ("blocked", "the server refuses", "list the video again: addresses expire"),
    404: ("gone", "there is no such file (any more)", "list the video again: addresses expire"),
    410: ("gone", "the file was deleted", "nothing helps"),
    451: ("geo_blocked", "it may not be shown here by law", "use a proxy in another country"),
}


def _require_good(answer: httpx.Response, transfer: _Transfer) -> None:
    """Refuse an answer that brings no file."""
    code, host = answer.status_code, _host(transfer.url)
    if code in (200, 206):
        return
    if code == 416:  # what is here is no beginning of what is there
        transfer.discard()
        raise _Passing("network", "the server has no such part of the file", 0.0)
    if code in (408, 425, 429, 500, 502, 503, 504):
        wait_s = retry_after_s(answer.headers, now_s=time.time())
        fault: CrawlFault = "rate_limited" if code == 429 else "network"
        raise _Passing(fault, f"the server answered {code}", wait_s)
    plain: tuple[CrawlFault, str, str] = ("blocked", "the server refuses", "try again later")
    fault, sentence, remedy = _REFUSALS.get(code, plain)
    raise CrawlFailed(fault, f"{host} answered {code}: {sentence}", remedy=remedy)


def _given_up(host: str, failure: _Passing, *, attempts: int) -> CrawlFailed:
    times = "once" if attempts == 1 else f"{attempts} times"
    asks = f", it asks to wait {failure.wait_s:.0f} s" if failure.wait_s else ""
    remedy = "run the same command again later"
    if failure.fault == "network":
        remedy = "check the network, then run the same command again"
    message = f"{host} was asked {times} in vain: {failure}{asks}"
    return CrawlFailed(failure.fault, message, remedy=remedy)


def _words(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error)[:200]}"


def _host(url: str) -> str:
    with contextlib.suppress(ValueError):
        return urlsplit(url).hostname or "?"
    return "?"


def _origin(url: str) -> tuple[str, str]:
    parts = split_url(url)
    return parts.scheme, parts.netloc.lower()


def _bare(url: str) -> str:
    """Without the query: it holds the signature, which is new each time, and is secret."""
    return urldefrag(url)[0].partition("?")[0]


def _length(text: str | None) -> int | None:
    return int(text) if text and re.fullmatch(r"[0-9]{1,18}", text.strip()) else None


def _validator(answer: httpx.Response) -> str | None:
    """The answer's strong ETag, else its date (RFC 9110, section 13.1.5)."""
    tag = str(answer.headers.get("etag", ""))
    if tag and not tag.startswith("W/"):
        return tag
    return answer.headers.get("last-modified") or None


def _read_note(path: Path) -> _Part | None:
    try:
        facts = json.loads(path.read_bytes())
        url, validator, total = facts["url"], facts["validator"], facts["total"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    right = isinstance(url, str) and isinstance(validator, str | None)
    return _Part(url, validator, total) if right and isinstance(total, int) else None
