"""An HTTP client that reads no more, and no longer, than it was told to.

The vendor's package reads an answer to its end, whatever its size, and its time limit
holds for each piece of it. Imported where the client is made: httpx2 comes with `openai`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import httpx2
from openai import APIConnectionError

from reelscope.errors import ServiceFailed

CONNECT_TIMEOUT_S = 10.0
DENSITY = 100
"""Compressed answers, which nobody asked for, may have so many times fewer bytes. DEFLATE
makes 1,032 bytes of one at most (zlib's technical notes), so memory is bounded for them too."""
BROKEN = (APIConnectionError, httpx2.HTTPError)
"""A connection that broke: as the vendor's package says it, and while a file is read from it."""


def bounded_client(*, connections: int, max_body_bytes: int, unbounded: str) -> httpx2.Client:
    """A client for the vendor's package.

    Args:
        connections: kept open between requests; more can be open at once.
        max_body_bytes: of an answer. A longer one raises ServiceFailed.
        unbounded: paths that end like this may be longer; who reads them counts.
    """

    def bound(response: httpx2.Response) -> None:
        coding = response.headers.get("content-encoding", "identity").strip().lower()
        if coding not in ("identity", "gzip", "deflate"):
            raise ServiceFailed("the server compresses its answers though it was asked not to")
        if not response.request.url.path.endswith(unbounded):
            limit_s = response.request.extensions.get("timeout", {}).get("read")
            most_bytes = max_body_bytes if coding == "identity" else max_body_bytes // DENSITY
            stream = response.stream
            assert isinstance(stream, httpx2.SyncByteStream)  # noqa: S101  (of a sync client)
            response.stream = _Bounded(stream, most_bytes, limit_s)

    # Redirects are not followed: pictures and words go to the address that was set, only.
    return httpx2.Client(
        limits=httpx2.Limits(max_connections=None, max_keepalive_connections=connections),
        headers={"Accept-Encoding": "identity"},
        follow_redirects=False,
        event_hooks={"response": [bound]},
    )


def timeout_of(seconds: float) -> httpx2.Timeout:
    """For one attempt; connecting takes a part of it at most."""
    return httpx2.Timeout(seconds, connect=min(seconds, CONNECT_TIMEOUT_S))


def never_connected(error: BaseException) -> bool:
    """Whether a request failed before there was a connection: no such host, or it is shut."""
    return isinstance(error.__cause__, httpx2.ConnectError)


class _Bounded(httpx2.SyncByteStream):
    def __init__(
        self, stream: httpx2.SyncByteStream, max_bytes: int, limit_s: float | None
    ) -> None:
        self._stream = stream
        self._left = max_bytes
        self._until = time.monotonic() + limit_s if limit_s else None

    def __iter__(self) -> Iterator[bytes]:
        for block in self._stream:
            self._left -= len(block)
            if self._left < 0:
                raise ServiceFailed("the server sends an answer without end; it was cut off")
            if self._until and time.monotonic() > self._until:
                raise httpx2.ReadTimeout("the answer comes too slowly")
            yield block

    def close(self) -> None:
        self._stream.close()
