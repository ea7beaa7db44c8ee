"""An event loop on a thread of its own, for packages that know no other way."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class LoopThread:
    """Runs coroutines for callers that are not asynchronous themselves.

    Args:
        name: of the thread.
    """

    def __init__(self, name: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T], *, timeout_s: float) -> T:
        """Wait for the coroutine's result.

        Raises:
            TimeoutError: it is not there after so many seconds; the coroutine is cancelled.
            BaseException: whatever the coroutine raises.
        """
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(timeout_s)
        finally:  # after an interrupt too; one that is done does not mind
            future.cancel()

    def close(self) -> None:
        """Cancel what still runs and end the thread."""
        asyncio.run_coroutine_threadsafe(_cancel_all(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()


async def _cancel_all() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    # Who swallows its cancellation is not waited for for ever.
    if others:
        await asyncio.wait(others, timeout=5)


async def outcome(work: Coroutine[Any, Any, T], *, timeout_s: float) -> T | BaseException:
    """What becomes of a coroutine: its result, or what it raised, as a value.

    For packages that raise plain `Exception`, which nobody should catch by name.

    Raises:
        TimeoutError: it is not done after so many seconds; it is cancelled.
    """
    task = asyncio.ensure_future(work)
    try:
        done, _ = await asyncio.wait({task}, timeout=timeout_s)
        if not done:
            raise TimeoutError
        return task.exception() or task.result()
    finally:
        task.cancel()
