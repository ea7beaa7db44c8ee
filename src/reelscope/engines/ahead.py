"""Sound that is read, cut and prepared while the device works on what came before."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from typing import Final, TypeVar

T = TypeVar("T")
_END: Final = object()


def ahead(items: Iterator[T], most: int) -> Generator[T, None, None]:
    """The same items in the same order, made by a thread of their own. Close it if left early.

    Args:
        items: nobody else asks it for items meanwhile. What it raises is raised here, in
            place of the item.
        most: items that may wait.
    """
    waiting: deque[Future[T | object]] = deque()
    context = copy_context()

    def make() -> T | object:
        return next(items, _END)

    with ThreadPoolExecutor(1, thread_name_prefix="ahead") as thread:
        try:
            while True:
                while len(waiting) < max(most, 1):
                    waiting.append(thread.submit(context.run, make))
                item = waiting.popleft().result()
                if item is _END:
                    return
                yield item  # type: ignore[misc]  # no end: an item
        finally:
            thread.shutdown(wait=False, cancel_futures=True)
