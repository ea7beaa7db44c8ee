"""Pictures that are read shortly before a forward pass takes them, by a few threads."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, Self, TypeVar, overload

T = TypeVar("T")
THREADS = min(8, os.cpu_count() or 1)


class Lookahead(Sequence[T], Generic[T]):
    """A sequence for `Batches.map` whose items are made when they are about to be needed.

    Asking for a slice starts the making of the next one of the same length, so that the
    device and the decoders work at the same time; what lies before the slice is dropped.
    So at most two batches are in memory, however many there are. A slice that is asked for
    again (a batch that did not fit) is not made again.

    Args:
        makers: make one item each; may be called by several threads at once. What one
            raises is raised to who asks for the item.
    """

    def __init__(self, makers: Sequence[Callable[[], T]]) -> None:
        self._makers = makers
        self._made: dict[int, Future[T]] = {}
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="lookahead")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._threads.shutdown(wait=True, cancel_futures=True)
        self._made.clear()

    def __len__(self) -> int:
        return len(self._makers)

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> list[T]: ...
    def __getitem__(self, index: int | slice) -> T | list[T]:
        """The items of a slice, in order; waits until they are made."""
        if isinstance(index, int):
            place = range(len(self))[index]
            return self[place : place + 1][0]
        wanted = range(len(self))[index]
        for place in [place for place in self._made if place < wanted.start]:
            del self._made[place]
        for place in range(wanted.start, min(wanted.stop + len(wanted), len(self))):
            if place not in self._made:
                self._made[place] = self._threads.submit(self._makers[place])
        return [self._made[place].result() for place in wanted]
