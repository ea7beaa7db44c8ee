"""Ends a request at a moment, whatever its server does.

The time limits of an HTTP client hold for each piece that is read. A server that sends a
byte now and then, in its headers say, keeps such a client for ever.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from types import TracebackType
from typing import Self


class Watch:
    """Shuts a request's connection when its time is over.

    Args:
        until: `time.monotonic()` value.
    """

    def __init__(self, until: float) -> None:
        self._socket: socket.socket | None = None
        self._lock = threading.Lock()
        self._timer = threading.Timer(max(until - time.monotonic(), 0.0), self._shut)
        self._timer.daemon = True
        self._timer.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()

    def end(self) -> None:
        """The request is over."""
        self._timer.cancel()
        with self._lock:
            self._socket = None

    def trace(self, event: str, info: dict[str, object]) -> None:
        """Take the connection's socket as soon as there is one (httpx's extension `trace`)."""
        if event.endswith((".connect_tcp.complete", ".start_tls.complete")):
            stream = info.get("return_value")
            look = getattr(stream, "get_extra_info", None)
            found = look("socket") if look else None
            with self._lock:
                self._socket = found if isinstance(found, socket.socket) else None

    def _shut(self) -> None:
        with self._lock:
            if self._socket is not None:
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)
