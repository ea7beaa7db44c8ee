"""When the next request may be sent, on a clock that only moves when somebody sleeps."""

from __future__ import annotations

import threading
import time
from email.utils import formatdate

import pytest

from reelscope.pace import MAX_SPREAD_S, Pace, retry_after_s, seconds_of


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now_s += seconds


def pace(clock: Clock, chance: float = 0.0) -> Pace:
    return Pace(clock=clock, sleep=clock.sleep, chance=lambda: chance)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1s", 1), ("6m0s", 360), ("20ms", 0.02), ("1h2m3.5s", 3723.5), ("1d", 86400),
        ("12", 12), ("1.5", 1.5), (" 7S ", 7), ("0", 0),
        ("", None), (None, None), ("-1", None), ("nan", None), ("inf", None), ("soon", None),
        ("1s!", None), ("9" * 99 + "s", 1e99), ("9" * 500, None), ("1e999", None), ("m", None),
    ],
)  # fmt: skip
def test_durations(text: str | None, seconds: float | None) -> None:
    assert seconds_of(text) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "7", "retry-after-ms": "250"}, 0.25),
        ({"retry-after": "7", "retry-after-ms": "x"}, 7),
        ({"retry-after": formatdate(1_700_000_030, usegmt=True)}, 30),
        ({"retry-after": formatdate(1_600_000_000, usegmt=True)}, 0),
        ({"retry-after": "Sun, 99 Nov 2026 99:99:99 GMT"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "1" * 10_000}, 1.1111e99),
        ({}, None),
    ],
)
def test_what_an_answer_asks_for(headers: dict[str, str], seconds: float | None) -> None:
    found = retry_after_s(headers, now_s=1_700_000_000)
    assert found == (None if seconds is None else pytest.approx(seconds, rel=1e-3))


def test_nobody_waits_for_nothing() -> None:
    clock = Clock()
    assert pace(clock).wait(at_most_s=0)
    assert clock.slept == []


def test_a_hold_is_waited_for_and_the_longest_counts() -> None:
    clock = Clock()
    it = pace(clock)
    it.hold(5)
    it.hold(2)
    assert it.wait(at_most_s=10)
    assert clock.now_s == 1005.0
    assert it.delay_s() == 0


def test_what_takes_too_long_is_not_waited_for() -> None:
    clock = Clock()
    it = pace(clock)
    it.hold(11)
    assert not it.wait(at_most_s=10)
    assert clock.slept == []


def test_a_hold_that_grows_while_one_waits_is_waited_for_too() -> None:
    clock = Clock()
    it = pace(clock)
    it.hold(3)
    sleep = clock.sleep

    def hold_once(seconds: float) -> None:
        sleep(seconds)
        if len(clock.slept) == 1:
            it.hold(4)

    it._sleep = hold_once
    assert it.wait(at_most_s=10)
    assert clock.slept == [3, 4]
    it.hold(3)
    clock.slept.clear()
    assert not it.wait(at_most_s=5), "it would have taken seven"
    assert clock.slept == [3]


def test_threads_that_waited_together_begin_one_after_the_other() -> None:
    clock = Clock()
    late = pace(clock, chance=1.0)
    late.hold(10)
    assert late.delay_s() == 10 + MAX_SPREAD_S
    brief = pace(clock, chance=1.0)
    brief.hold(0.02)
    assert brief.delay_s() == pytest.approx(0.04), "a short wait stays short"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "1m2s"}, 62),
        ({"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "20ms"}, 0.02),
        (
            {
                "x-ratelimit-remaining-requests": "0",
                "x-ratelimit-reset-requests": "1s",
                "x-ratelimit-remaining-tokens": "0",
                "x-ratelimit-reset-tokens": "9s",
            },
            9,
        ),
        ({"x-ratelimit-remaining-requests": "1", "x-ratelimit-reset-requests": "60s"}, 0),
        ({"x-ratelimit-remaining-tokens": "-1", "x-ratelimit-reset-tokens": "0"}, 0),
        ({"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "never"}, 0),
        ({"x-ratelimit-remaining-requests": "0"}, 0),
        ({}, 0),
    ],
)
def test_when_nothing_is_left(headers: dict[str, str], seconds: float) -> None:
    it = pace(Clock())
    it.note(headers)
    assert it.delay_s() == pytest.approx(seconds)


def test_one_thread_holds_the_others_back() -> None:
    it = Pace()
    it.hold(0.15)
    began = time.monotonic()
    threads = [threading.Thread(target=it.wait, kwargs={"at_most_s": 5}) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert time.monotonic() - began >= 0.14
