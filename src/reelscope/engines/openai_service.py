"""OpenAI's API, or any server that speaks it: the connection, and what is asked again when.

The package `openai` speaks the protocol; how often and when something is asked again is
decided here, with tenacity, for all threads together. See docs/adr/022-openai-client.md.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from pydantic import SecretStr

from reelscope.engines import chat_format
from reelscope.engines.chat_format import Fault, NotACompletion, TooLong, fault_of
from reelscope.engines.weights import importing, require
from reelscope.errors import EngineUnavailable, RequestRefused, ServiceClosed, ServiceFailed
from reelscope.pace import Pace, retry_after_s
from reelscope.settings import Describe

if TYPE_CHECKING:
    from openai import APIStatusError, OpenAI
    from tenacity import RetryCallState

log = logging.getLogger(__name__)
T = TypeVar("T")
OPENAI_URL = "https://api.openai.com/v1"
NO_KEY = "none"
FIRST_BACKOFF_S = 0.5
MAX_BACKOFF_S = 30.0
UNREACHED_ATTEMPTS = 6
"""Where nobody takes the connection, waiting for `total_timeout_s` helps nobody either."""
SENSELESS_ATTEMPTS = 4
"""Of answers with status 200 and no completion in it: they may be billed."""
LEAST_ATTEMPT_S = 5.0
"""Time for an answer without which nothing is sent: what comes too late is paid for, too."""
MAX_BODY_BYTES = 8_000_000
"""Of an answer: its text at most, each character written as \\u0000, and the rest."""


class _Again(Exception):  # noqa: N818  (named by what follows)
    """An attempt failed in a way that may pass.

    Args:
        reason: for people.
        wait_s: as the server asks; None: it does not say.
        everybody: whether the wait is for all threads.
        attempts: after so many it is given up; None: only for want of time.
    """

    def __init__(
        self,
        reason: str,
        *,
        wait_s: float | None = None,
        everybody: bool = False,
        attempts: int | None = None,
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.wait_s = wait_s
        self.everybody = everybody
        self.attempts = attempts


class Filtered(Exception):  # noqa: N818  (named by what happened)
    """A content filter held the request back; the message is the reason, fit to be shown."""


@dataclass
class _Call:
    """Something that is asked until it is answered or its time is up."""

    deadline_s: float
    sent: int = 0
    hopeless: int = 0


class OpenAiService:
    """A server, and the patience to get an answer from it. Threads share one.

    Args:
        settings: which model, where, and how long to wait.
        key: what the server lets in; None: none is needed.
        sleep: waits so many seconds.
        clock: seconds that never go back.
        now: Unix time, for dates in answers.
        chance: a number from 0 to 1, for waits that differ.
    """

    def __init__(
        self,
        settings: Describe,
        key: SecretStr | None,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._settings = settings
        self._key = SecretStr(key.get_secret_value().strip()) if key else SecretStr("")
        self._sleep, self._clock, self._now, self._chance = sleep, clock, now, chance
        self._pace = Pace(clock=clock, sleep=sleep, chance=chance)
        self._client: OpenAI | None = None
        self._lock = threading.Lock()

    @property
    def engine(self) -> str:
        """Model and host.

        The package's version is not part of it: an upgrade changes no answer, and would make
        every answer that was paid for stale.
        """
        return f"openai-chat {self._settings.model} at {self._host}"

    @property
    def _url(self) -> str:
        return self._settings.base_url or OPENAI_URL

    @property
    def _host(self) -> str:
        return urlsplit(self._url).netloc

    def open(self) -> None:
        """Check what is needed and make the client; nothing is asked yet.

        Raises:
            EngineUnavailable: no key and no server of one's own, or the package is missing.
        """
        self._connected()

    def close(self) -> None:
        """Close the connections; the next request opens new ones."""
        with self._lock:
            client, self._client = self._client, None
        if client:
            client.close()

    def _connected(self) -> OpenAI:
        with self._lock:
            if self._client is None:
                self._client = self._connect()
            return self._client

    def _connect(self) -> OpenAI:
        key = self._key.get_secret_value()
        remedy = "export OPENAI_API_KEY=..., or set description.base_url to a local server"
        if not key and self._settings.base_url is None:
            raise EngineUnavailable("there is no key for OpenAI", remedy=remedy)
        if not (key.isascii() and key.isprintable() and " " not in key):
            raise EngineUnavailable("the key has characters that no key has", remedy=remedy)
        for package in ("openai", "tenacity"):
            require(package, extra=None)
        with importing("openai", extra=None):
            from openai import OpenAI

            from reelscope.engines.bounded_http import bounded_client
        http = bounded_client(
            connections=self._settings.concurrency,
            max_body_bytes=MAX_BODY_BYTES,
            unbounded="/content",
        )
        # The address is given, so that OPENAI_BASE_URL has no say.
        client = OpenAI(api_key=key or NO_KEY, base_url=self._url, max_retries=0, http_client=http)
        if not by_openai(self._url):
            client.organization = client.project = None  # from the environment: not theirs to know
        return client

    def _persist(self, attempt: Callable[[OpenAI, Any], T], *, attempt_s: float | None = None) -> T:
        """What an attempt gives, made again until it does or the time is up.

        Waits between attempts: as the server asks, else exponential with full jitter
        (Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015).
        """
        from tenacity import Retrying, retry_if_exception_type

        client = self._connected()
        call = _Call(self._clock() + self._settings.total_timeout_s)
        policy: Callable[..., T] = Retrying(
            retry=retry_if_exception_type(_Again),
            wait=self._wait_s,
            stop=lambda state: self._given_up(state, call),
            sleep=self._sleep,
            before_sleep=self._log_wait,
            reraise=True,
        )
        try:
            return policy(self._attempt, attempt, client, call, attempt_s)
        except _Again as again:
            reason = again.reason
        times = "once" if call.sent == 1 else f"{call.sent} times"
        raise ServiceFailed(f"no answer from {self._host}, asked {times}: {reason}")

    def _attempt(
        self,
        attempt: Callable[[OpenAI, Any], T],
        client: OpenAI,
        call: _Call,
        attempt_s: float | None,
    ) -> T:
        from openai import APIStatusError, APITimeoutError, OpenAIError

        from reelscope.engines.bounded_http import BROKEN, never_connected, timeout_of

        left_s = call.deadline_s - self._clock()
        if not self._pace.wait(at_most_s=left_s - self._least_s):
            raise ServiceFailed(f"{self._host} asks to be left alone for longer than there is time")
        left_s = call.deadline_s - self._clock()
        longest_s = attempt_s or self._settings.request_timeout_s
        call.sent += 1
        failure: Exception
        # What is raised here carries the request, with the key, and the vendor's words; so
        # the failure that goes on is raised outside, without it.
        try:
            return attempt(client, timeout_of(max(0.001, min(left_s, longest_s))))
        except APIStatusError as error:
            failure = self._judged(error)
        except APITimeoutError:
            failure = _Again("it took too long")
        except BROKEN as error:
            failure = _Again("the connection broke")
            if never_connected(error):
                failure = _Again("there is no connection", attempts=UNREACHED_ATTEMPTS)
        except NotACompletion as error:
            failure = _Again(self._clean(str(error)), attempts=SENSELESS_ATTEMPTS)
        except TooLong as error:
            failure = ServiceFailed(f"{self._host}: {error}")
        except OpenAIError as error:
            failure = _Again(f"the package openai says {type(error).__name__}")
        raise failure

    def _wait_s(self, state: RetryCallState) -> float:
        again = _again_of(state)
        most_s = min(MAX_BACKOFF_S, FIRST_BACKOFF_S * 2 ** min(state.attempt_number - 1, 30))
        wait_s = self._chance() * most_s if again.wait_s is None else again.wait_s
        if again.everybody:
            self._pace.hold(wait_s)
        return max(wait_s, self._pace.delay_s())

    def _given_up(self, state: RetryCallState, call: _Call) -> bool:
        again = _again_of(state)
        call.hopeless = call.hopeless + 1 if again.attempts else 0
        enough = again.attempts is not None and call.hopeless >= again.attempts
        begins_s = self._clock() + state.upcoming_sleep
        return enough or begins_s + self._least_s >= call.deadline_s

    @property
    def _least_s(self) -> float:
        settings = self._settings
        return min(LEAST_ATTEMPT_S, settings.request_timeout_s, settings.total_timeout_s / 4)

    def _log_wait(self, state: RetryCallState) -> None:
        reason, wait_s = _again_of(state).reason, state.upcoming_sleep
        log.info("%s: %s; it is asked again in %.1f s", self._host, reason, wait_s)

    # ---- errors -----------------------------------------------------------------------

    def _judged(self, error: APIStatusError) -> Exception:
        """What becomes of an answer with an error's status."""
        status, fault, headers = error.status_code, fault_of(error.body), error.response.headers
        self._pace.note(headers)
        if fault.filtered and status < 500:
            return Filtered(self._shown(fault) or chat_format.FILTERED)
        if closed := self._closed(status, fault):
            return closed
        said = ": ".join(filter(None, [f"it answers {status}", self._shown(fault)]))
        if status in (408, 409, 429) or status >= 500:
            wait_s = retry_after_s(headers, now_s=self._now())
            everybody = status == 429 or wait_s is not None
            return _Again(said, wait_s=wait_s, everybody=everybody)
        return RequestRefused(f"{self._host} refuses the request; {said}")

    def _closed(self, status: int, fault: Fault) -> ServiceClosed | None:
        """For what lasts. The server's own words are left out: they may hold parts of the key."""
        host, model = self._host, self._settings.model
        has_key = bool(self._key.get_secret_value())
        spent = fault.closed and status != 401
        lasting = {
            401: (f"{host} does not accept the key", "check OPENAI_API_KEY")
            if has_key
            else (f"{host} asks for a key, and there is none", "export OPENAI_API_KEY=..."),
            402: (
                f"the account at {host} has nothing left to spend, or is shut",
                "see the account's billing page, then run again",
            ),
            403: (
                f"{host} does not let this key use {model}",
                "check what the key's project may use, and from which countries",
            ),
            404: (
                f"{host} knows no model {model}, or has nothing at this address",
                "check description.model, description.base_url and description.mode",
            ),
            300: (
                f"{host} points to another address",
                "set description.base_url to the address that it points to",
            ),
        }
        found = lasting.get(402 if spent else 300 if 300 <= status < 400 else status)
        return ServiceClosed(found[0], remedy=found[1]) if found else None

    def _shown(self, fault: Fault) -> str:
        return self._clean(fault.message)

    def _clean(self, text: str) -> str:
        """A server's words, fit to be shown: short, on one line, without the key."""
        text = chat_format.encodable(text[: 20 * chat_format.MAX_MESSAGE_CHARS])
        text = chat_format.without_key(text, self._key.get_secret_value())
        return chat_format.shortened(text, chat_format.MAX_MESSAGE_CHARS)


def _again_of(state: RetryCallState) -> _Again:
    error = state.outcome.exception() if state.outcome else None
    assert isinstance(error, _Again)  # noqa: S101  (nothing else is asked again)
    return error


def by_openai(url: str) -> bool:
    """Whether OpenAI's own software answers there: OpenAI, its regions, and Azure's service."""
    host = urlsplit(url).hostname or ""
    return host == "api.openai.com" or host.endswith((".api.openai.com", ".openai.azure.com"))
