"""A Shazam on loopback: the one address that recognition asks, and how it misbehaves.

Answers have the shape of real ones (keys and types as people have published them; the values
are made up). shazamio talks to it unmodified, its requests are sent here instead.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

HTML = "<!DOCTYPE html><html><body>Not supported</body></html>"


@dataclass(frozen=True)
class Reply:
    """One answer.

    Attributes:
        status: of HTTP.
        body: what is sent.
        type: Content-Type.
        retry_after: the header Retry-After, if any.
        after_s: it is sent only then.
        dropped: the connection is closed instead.
    """

    status: int = 200
    body: str = ""
    type: str = "application/json"
    retry_after: str | None = None
    after_s: float = 0.0
    dropped: bool = False


def a_match(
    title: str = "First Light",
    artist: str = "The Made Up",
    *,
    key: str = "549952578",
    offset_s: float = 33.8268125,
    time_skew: float = -0.00022029877,
    frequency_skew: float = 8.058548e-05,
    **changes: Any,
) -> Reply:
    """An answer that names a track; `changes` are keys of `track`."""
    page = f"https://www.shazam.com/track/{key}/first-light"
    spotify = {"type": "uri", "name": "hub:spotify:searchdeeplink", "uri": "spotify:search:x"}
    apple = {"name": "hub:applemusic:deeplink", "type": "uri",
             "uri": "https://music.apple.com/gb/album/first/1?i=2"}  # fmt: skip
    track = {
        "layout": "5", "type": "MUSIC", "key": key, "title": title, "subtitle": artist,
        "images": {"coverart": "https://is1-ssl.mzstatic.com/image/400x400cc.jpg"},
        "share": {"subject": f"{title} - {artist}", "href": page},
        "hub": {"type": "APPLEMUSIC", "options": [{"caption": "OPEN", "actions": [apple]}],
                "providers": [{"type": "SPOTIFY", "actions": [spotify]}]},
        "sections": [
            {"type": "SONG", "tabname": "Song",
             "metadata": [{"title": "Album", "text": "First"}, {"title": "Label", "text": "Own"},
                          {"title": "Released", "text": "2019"}]},
            {"type": "RELATED", "url": "https://cdn.shazam.com/related", "tabname": "Related"},
        ],
        "url": page, "artists": [{"id": "42", "adamid": "640286"}], "isrc": "USABC1234567",
        "genres": {"primary": "Pop"},
    }  # fmt: skip
    match = {"id": key, "offset": offset_s, "timeskew": time_skew, "frequencyskew": frequency_skew}
    return Reply(body=json.dumps({**_about(), "matches": [match], "track": track | changes}))


def no_match() -> Reply:
    """An answer that names none."""
    return Reply(body=json.dumps({**_about(), "matches": [], "retryms": 12000}))


def throttled(retry_after: str | None = None) -> Reply:
    """Too many requests."""
    return Reply(429, "Too Many Requests", "text/plain", retry_after=retry_after)


def a_page() -> Reply:
    """What a path that nobody serves is answered with."""
    return Reply(body=HTML, type="text/html")


def _about() -> dict[str, Any]:
    return {"location": {"accuracy": 0.01}, "timestamp": 1700352229006,
            "timezone": "Europe/Moscow", "tagid": "0E2A3B4C"}  # fmt: skip


@dataclass
class FakeShazam:
    """What the server answers, and what it was asked.

    Attributes:
        replies: the next answers, one each; after them `usual`.
        usual: the answer to all other requests.
        asked: the JSON of every request.
        paths: of every request; absolute where it came as to a proxy.
        at_s: `clock` of every request.
        clock: seconds that never go back.
    """

    replies: list[Reply] = field(default_factory=list)
    usual: Reply = field(default_factory=no_match)
    asked: list[dict[str, Any]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    at_s: list[float] = field(default_factory=list)
    clock: Callable[[], float] = time.monotonic
    url: str = ""


class _Handler(BaseHTTPRequestHandler):
    shazam: FakeShazam
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:  # it would go to stderr
        pass

    def do_POST(self) -> None:
        shazam = self.shazam
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        shazam.asked.append(json.loads(body))
        shazam.paths.append(self.path)
        shazam.at_s.append(shazam.clock())
        reply = shazam.replies.pop(0) if shazam.replies else shazam.usual
        time.sleep(reply.after_s)
        if reply.dropped:
            self.close_connection = True
            return
        data = reply.body.encode()
        self.send_response(reply.status)
        self.send_header("Content-Type", reply.type)
        self.send_header("Content-Length", str(len(data)))
        if reply.retry_after is not None:
            self.send_header("Retry-After", reply.retry_after)
        self.end_headers()
        self.wfile.write(data)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that did not wait for its answer is no error."""


@contextmanager
def serve(shazam: FakeShazam) -> Iterator[FakeShazam]:
    """The service at `shazam.url`, on loopback, while the block runs."""
    handler = type("Handler", (_Handler,), {"shazam": shazam})
    with _Server(("127.0.0.1", 0), handler) as server:
        shazam.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield shazam
        finally:
            server.shutdown()
