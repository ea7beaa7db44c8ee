"""Videos that are still being fetched while the first are analysed."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator

from reelscope.errors import ReelscopeError
from reelscope.records import VideoSource


class Arrivals:
    """Goes through a slow source on a thread of its own.

    Iterating gives each video as soon as it is there, and None while none is; what the
    source raises is raised here.

    Args:
        videos: the slow source.
        stop: asks it to end soon.
    """

    def __init__(self, videos: Iterable[VideoSource], stop: Callable[[], None]) -> None:
        self._videos = videos
        self._stop = stop
        self._here: queue.SimpleQueue[VideoSource | ReelscopeError | None] = queue.SimpleQueue()
        self._ended = False
        self._thread = threading.Thread(target=self._fetch, name="arrivals", daemon=True)
        self._started = False

    def __iter__(self) -> Iterator[VideoSource | None]:
        return self

    def __next__(self) -> VideoSource | None:
        if not self._started:
            self._started = True
            self._thread.start()
        if self._ended:
            raise StopIteration
        try:
            came = self._here.get_nowait()
        except queue.Empty:
            return None
        if isinstance(came, VideoSource):
            return came
        self._ended = True
        if came is not None:
            raise came
        raise StopIteration

    def stop(self) -> None:
        """Ask the source to end soon. Safe in a signal handler."""
        self._stop()

    def close(self, *, patience_s: float = 10.0) -> None:
        """Let the source end; a request that hangs is not waited for longer than this."""
        self._stop()
        if self._started:
            self._thread.join(patience_s)

    def _fetch(self) -> None:
        try:
            for video in self._videos:
                self._here.put(video)
        except ReelscopeError as error:
            self._here.put(error)
        finally:  # also after a fault of ours, which Python prints: nobody waits for ever
            self._here.put(None)
