"""A model hub on loopback: the three addresses of the Hugging Face hub that are used.

It speaks real HTTP with ranges, and can misbehave the way servers do.
"""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class FakeHub:
    """What the server holds, and how it misbehaves.

    Attributes:
        repos: "owner/name" -> file name -> content.
        large: files of at least so many bytes are told with a sha256, others with git's hash.
        cut_after: the next answers end after so many bytes, one entry each.
        tampered: names whose content is sent with its last byte changed.
        status: name -> code to answer with instead.
        ranges: whether parts of files can be asked for.
        asked: every request line, with the range if there was one.
    """

    repos: dict[str, dict[str, bytes]] = field(default_factory=dict)
    large: int = 1000
    cut_after: list[int] = field(default_factory=list)
    tampered: set[str] = field(default_factory=set)
    status: dict[str, int] = field(default_factory=dict)
    ranges: bool = True
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    url: str = ""

    def listing(self, repo: str) -> bytes:
        """The answer to /api/models/<repo>/revision/<revision>?blobs=true."""
        siblings: list[dict[str, object]] = []
        for name, data in self.repos[repo].items():
            facts: dict[str, object] = {"rfilename": name, "size": len(data)}
            blob = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False)
            facts["blobId"] = blob.hexdigest()
            if len(data) >= self.large:
                facts["lfs"] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
            siblings.append(facts)
        return json.dumps({"sha": COMMIT, "siblings": siblings}).encode()

    def content(self, repo: str, name: str) -> bytes | None:
        """What is sent for a file."""
        data = self.repos.get(repo, {}).get(name)
        if data and name in self.tampered:
            return data[:-1] + bytes([data[-1] ^ 1])
        return data


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:  # it would go to stderr
        pass

    def do_HEAD(self) -> None:
        self._send(200, b"")

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.hub.asked.append((path, self.headers.get("Range")))
        if match := re.fullmatch(r"/api/models/(.+?/.+?)/revision/([^/]+)", path):
            known = match[1] in self.hub.repos
            self._send(200 if known else 404, self.hub.listing(match[1]) if known else b"{}")
        elif match := re.fullmatch(r"/(.+?/.+?)/resolve/([^/]+)/(.+)", path):
            self._file(match[3], self.hub.content(match[1], match[3]))
        else:
            self._send(404, b"")

    def _file(self, name: str, data: bytes | None) -> None:
        if code := self.hub.status.get(name):
            self._send(code, b"")
        elif data is None:
            self._send(404, b"")
        else:
            wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
            start = int(wanted[1]) if wanted and self.hub.ranges else 0
            if start >= len(data) > 0 and wanted and self.hub.ranges:
                self._send(416, b"")
            else:
                self._send(206 if start else 200, data[start:])

    def _send(self, code: int, body: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if body and self.hub.cut_after and "/resolve/" in self.path:
            body = body[: self.hub.cut_after.pop(0)]
            self.close_connection = True
        self.wfile.write(body)


@contextmanager
def serve(hub: FakeHub) -> Iterator[FakeHub]:
    """The hub at `hub.url`, on loopback, while the block runs."""
    handler = type("Handler", (_Handler,), {"hub": hub})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        hub.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()
