from __future__ import annotations

import asyncio
import threading
import time

import pytest

from reelscope.engines.loop_thread import LoopThread, outcome


async def after(seconds: float, value: int) -> int:
    await asyncio.sleep(seconds)
    return value


async def failing() -> int:
    raise Exception("as some packages do")


def test_results_and_failures_come_back() -> None:
    loop = LoopThread("test")
    assert loop.run(after(0, 7), timeout_s=5) == 7
    with pytest.raises(Exception, match="as some"):
        loop.run(failing(), timeout_s=5)
    assert isinstance(loop.run(outcome(failing(), timeout_s=5), timeout_s=5), Exception)
    loop.close()


def test_what_takes_too_long_is_cancelled() -> None:
    loop, before = LoopThread("test"), threading.active_count()
    ended = threading.Event()

    async def endless() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    for limits in ((0.05, 60), (60, 0.05)):
        ended.clear()
        started = time.monotonic()
        with pytest.raises(TimeoutError):
            loop.run(outcome(endless(), timeout_s=limits[1]), timeout_s=limits[0])
        assert ended.wait(5)
        assert time.monotonic() - started < 5
    loop.close()
    assert threading.active_count() < before
