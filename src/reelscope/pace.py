"""How fast a remote service may be asked: what its answers say of waiting, kept for all threads.

Retry-After: RFC 9110, section 10.2.3 (seconds, or an HTTP date). `retry-after-ms` and the
headers `x-ratelimit-remaining-*` and `x-ratelimit-reset-*`: OpenAI's guide "Rate limits";
resets are durations such as 1s, 6m0s or 20ms there, and plain seconds elsewhere (Azure).
"""

from __future__ import annotations

import math
import random
import re
import threading
import time
from collections.abc import Callable, Mapping
from email.utils import parsedate_to_datetime

UNIT_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+")
STEP = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
MAX_SPREAD_S = 1.0
"""Threads that waited for the same moment begin within this time after it, not at once."""
MAX_CHARS = 100


class Pace:
    """When the next request may be sent. Threads share one.

    Args:
        clock: seconds that never go back.
        sleep: waits so many seconds.
        chance: a number from 0 to 1, for spreading threads that waited together.
    """

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._chance = chance
        self._free_at = -math.inf
        self._lock = threading.Lock()

    def hold(self, wait_s: float) -> None:
        """Nobody sends for so many seconds from now."""
        with self._lock:
            self._free_at = max(self._free_at, self._clock() + wait_s)

    def note(self, headers: Mapping[str, str]) -> None:
        """Hold everybody where an answer says that nothing is left until a reset.

        Args:
            headers: of an answer; names in lower case, or in any case if the mapping
                does not mind.
        """
        for what in ("requests", "tokens"):
            reset_s = seconds_of(headers.get(f"x-ratelimit-reset-{what}"))
            if (headers.get(f"x-ratelimit-remaining-{what}") or "").strip() == "0" and reset_s:
                self.hold(reset_s)

    def delay_s(self) -> float:
        """How long to wait from now; threads that ask at the same time get different answers."""
        with self._lock:
            held_s = max(0.0, self._free_at - self._clock())
        return held_s + self._chance() * min(held_s, MAX_SPREAD_S)

    def wait(self, *, at_most_s: float) -> bool:
        """Wait until one may send.

        Returns:
            False, at once, as soon as it would take longer than `at_most_s` in all.
        """
        until = self._clock() + at_most_s
        while (delay_s := self.delay_s()) > 0:
            if self._clock() + delay_s > until:
                return False
            self._sleep(delay_s)
        return True


def seconds_of(text: str | None) -> float | None:
    """A duration such as 20ms, 6m0s, 1h or 1.5; None: it is none."""
    text = (text or "").strip().lower()
    if len(text) > MAX_CHARS:
        return None
    if DURATION.fullmatch(text):
        return _finite(sum(float(n) * UNIT_S[unit] for n, unit in STEP.findall(text)))
    return _number(text)


def retry_after_s(headers: Mapping[str, str], *, now_s: float) -> float | None:
    """How long an answer asks to wait, seconds; None: it does not say.

    Args:
        headers: of the answer; names as for `Pace.note`.
        now_s: Unix time.
    """
    if (wait_ms := _number(headers.get("retry-after-ms"))) is not None:
        return wait_ms / 1000
    given = (headers.get("retry-after") or "")[:MAX_CHARS]
    if (wait_s := seconds_of(given)) is not None:
        return wait_s
    try:
        return max(0.0, parsedate_to_datetime(given).timestamp() - now_s)
    except (ValueError, OverflowError, IndexError, TypeError):
        return None


def _number(text: str | None) -> float | None:
    try:
        return _finite(float((text or "")[:MAX_CHARS]))
    except ValueError:
        return None


def _finite(number: float) -> float | None:
    return number if 0 <= number < math.inf else None
