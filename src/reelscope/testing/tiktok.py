"""A TikTok on loopback: the pages and JSON answers that TikTokApi asks for, and the files.

It speaks HTTPS with a certificate of its own making; browsers are led to it by
`FakeTikTok.browser_arguments`, other programs by `FakeTikTok.proxy_url` (a proxy that ends
every tunnel here) or by connecting to `FakeTikTok.address` themselves. It asks for what the
real one asks for (a signature, the cookie msToken) and misbehaves the way that one does:

    site = FakeTikTok()
    site.add_creator("anna", [item("7300000000000000001", ...)])
    site.faults["/api/post/item_list/"] = ["429", "empty"]     # the next two answers
    with serve(site): ...
"""

from __future__ import annotations

import datetime
import ipaddress
import json
import re
import socket
import ssl
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal
from urllib.parse import parse_qs, urlsplit

from reelscope.testing.tiktok_items import sec_uid

Json = dict[str, Any]
Kind = Literal["public", "private", "deleted"]

HOSTS = ("*.tiktok.com", "*.tiktokcdn.com", "*.tiktokcdn-us.com", "*.tiktokv.com")
PAGE_SIZE = 35
"""Items that a page of the list has at most; the web site of TikTok asks for so many."""
USER_PATH = "/api/user/detail/"
LIST_PATH = "/api/post/item_list/"
ITEM_PATH = "/api/item/detail/"

_PAGE = """<!doctype html><html><head><title>TikTok</title></head><body><div id="app"></div>
<script id="__UNIVERSAL_DATA_FOR_REHYDRATION__" type="application/json">%s</script>
<script>
window.byted_acrawler = {frontierSign: url => ({"X-Bogus": "DFSz" + url.length})};
setTimeout(() => fetch("/ttwid/check/"), 150); setTimeout(() => fetch("/ttwid/check/"), 400);
</script></body></html>"""
_CAPTCHA = """<!doctype html><html><head><title>Verify to continue</title></head><body>
<div id="captcha_container" class="captcha_verify_container">Drag the slider</div></body></html>"""


@dataclass
class FakeCreator:
    """An account and what it has posted, in the order in which it is listed."""

    username: str
    items: list[Json] = field(default_factory=list)
    kind: Kind = "public"

    @property
    def sec_uid(self) -> str:
        """The id by which the list is asked for."""
        return sec_uid(self.username)


@dataclass
class FakeTikTok:
    """What the site holds, and how it misbehaves.

    Attributes:
        creators: by username.
        media: path without query -> bytes, whatever the host.
        tokens: values of msToken that are let in; empty: any.
        faults: path -> what goes wrong with the next requests for it, one entry each:
            "empty", "captcha", "verify" (a captcha, as JSON), "html", "drop", "slow", "cut"
            (half of the file), "long" (more than announced), a status such as "429", or "ok".
        always: path -> a fault of every request for it.
        redirects: path -> where to.
        answers: path -> JSON that is sent instead of what belongs there.
        retry_after_s: what a 429 says; None: nothing.
        asked: every request: path without query.
        queries: path -> the queries that it was asked with.
        cookies: path -> the cookies that came with it.
        sent_bytes: path of a media file -> bytes of it that were sent, all requests together.
    """

    creators: dict[str, FakeCreator] = field(default_factory=dict)
    media: dict[str, bytes] = field(default_factory=dict)
    tokens: set[str] = field(default_factory=set)
    faults: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    always: dict[str, str] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    answers: dict[str, object] = field(default_factory=dict)
    retry_after_s: float | None = None
    asked: list[str] = field(default_factory=list)
    queries: defaultdict[str, list[dict[str, str]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    cookies: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    sent_bytes: Counter[str] = field(default_factory=Counter)
    port: int = 0
    proxy_port: int = 0
    certificate: Path = Path()

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens for HTTPS."""
        return "127.0.0.1", self.port

    @property
    def proxy_url(self) -> str:
        """A proxy whose every tunnel ends here."""
        return f"http://127.0.0.1:{self.proxy_port}"

    @property
    def browser_arguments(self) -> tuple[str, ...]:
        """What leads Chromium here, and nowhere else. For tests only."""
        here = ":".join(map(str, self.address))
        rules = ", ".join(
            [*(f"MAP {host} {here}" for host in HOSTS), "MAP * ~NOTFOUND", "EXCLUDE 127.0.0.1"]
        )
        return f"--host-resolver-rules={rules}", "--ignore-certificate-errors"

    @property
    def client_context(self) -> ssl.SSLContext:
        """For clients other than browsers: trusts this site's certificate and no other."""
        return ssl.create_default_context(cafile=str(self.certificate))

    def add_creator(
        self, username: str, items: Sequence[Json] = (), *, kind: Kind = "public"
    ) -> FakeCreator:
        """Put an account on the site."""
        self.creators[username] = FakeCreator(username, list(items), kind)
        return self.creators[username]

    def counts(self) -> Counter[str]:
        """Path -> how often it was asked for."""
        return Counter(self.asked)

    def media_asked(self) -> Counter[str]:
        """The same of media files alone."""
        return Counter(path for path in self.asked if path in self.media)

    # ------------------------------------------------------------------ what it answers

    def fault(self, path: str) -> str:
        """What goes wrong with the request for this path that is here now."""
        if self.faults[path]:
            return self.faults[path].pop(0)
        return self.always.get(path, "ok")

    def answer(self, path: str, query: dict[str, str], cookie: str) -> Json | None:
        """Of the JSON paths; None: the empty answer that robots get."""
        if "X-Bogus" not in query or not self._lets_in(query.get("msToken", ""), cookie):
            return None
        if path == USER_PATH:
            return self._user(query.get("uniqueId", ""))
        if path == LIST_PATH:
            return self._page(query.get("secUid", ""), query)
        return self._item(query.get("itemId", ""))

    def _lets_in(self, token: str, cookie: str) -> bool:
        sent = re.findall(r"(?:^|;\s*)msToken=([^;]*)", cookie)
        return not self.tokens or (token in self.tokens and self.tokens.issuperset(sent))

    def _user(self, username: str) -> Json:
        creator = self.creators.get(username)
        if creator is None or creator.kind == "deleted":
            return {"statusCode": 10202, "status_code": 10202, "userInfo": {}}
        private = creator.kind == "private"
        user = {
            "id": str(sum(map(ord, username)) + 6_800_000_000_000_000_000),
            "uniqueId": username,
            "secUid": creator.sec_uid,
            "nickname": username.title(),
            "privateAccount": private,
        }
        stats = {"videoCount": len(creator.items), "followerCount": 1234}
        code = 10222 if private else 0
        info = {"user": user, "stats": stats}
        return {"statusCode": code, "status_code": code, "userInfo": info}

    def _page(self, sec_uid: str, query: dict[str, str]) -> Json:
        creator = next((c for c in self.creators.values() if c.sec_uid == sec_uid), None)
        if creator is None or creator.kind != "public":
            return {"statusCode": 0, "status_code": 0, "hasMore": False, "cursor": "0"}
        start = int(query.get("cursor") or 0)
        end = start + min(int(query.get("count") or PAGE_SIZE), PAGE_SIZE)
        return {
            "statusCode": 0,
            "status_code": 0,
            "itemList": creator.items[start:end],
            "hasMore": end < len(creator.items),
            "cursor": str(end),
        }

    def _item(self, item_id: str) -> Json:
        for creator in self.creators.values():
            for item in creator.items:
                if isinstance(item, dict) and item.get("id") == item_id:
                    return {"statusCode": 0, "status_code": 0, "itemInfo": {"itemStruct": item}}
        return {"statusCode": 10204, "status_code": 10204, "itemInfo": {}}

    def html(self, path: str) -> str:
        """Of the pages: the start, a profile, or a video with its item."""
        scope: Json = {}
        if match := re.fullmatch(r"/@[^/]*/(?:video|photo)/(\d+)/?", path):
            scope["webapp.video-detail"] = self._item(match[1])
        elif match := re.fullmatch(r"/@([^/]+)/?", path):
            scope["webapp.user-detail"] = self._user(match[1])
        return _PAGE % json.dumps({"__DEFAULT_SCOPE__": scope}).replace("<", "\\u003c")


class _Handler(BaseHTTPRequestHandler):
    site: FakeTikTok
    protocol_version = "HTTP/1.1"
    timeout = 30

    def log_message(self, *_: object) -> None:  # it would go to stderr
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        site, path = self.site, parts.path
        site.asked.append(path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        cookie = self.headers.get("Cookie") or ""
        site.queries[path].append(query)
        site.cookies[path].append(cookie)
        fault = site.fault(path)
        if self._misbehaves(fault):
            return
        if path in site.media:
            self._file(site.media[path], fault)
        elif path in site.redirects:
            self._send(302, b"", "text/plain", {"Location": site.redirects[path]})
        elif path.startswith("/api/"):
            known = path in site.answers
            answer = site.answers[path] if known else site.answer(path, query, cookie)
            body = b"" if answer is None else json.dumps(answer).encode()
            self._send(200, body, "application/json")
        elif path in ("/", "/foryou") or path.startswith("/@"):
            self._send(200, site.html(path).encode(), "text/html; charset=utf-8")
        else:
            self._send(404, b"", "text/plain")

    def _misbehaves(self, fault: str) -> bool:
        if fault == "slow":
            time.sleep(3)
        if fault in ("drop", "slow"):
            self.close_connection = True
        elif fault == "empty":
            self._send(200, b"", "application/json")
        elif fault == "captcha":
            self._send(200, _CAPTCHA.encode(), "text/html; charset=utf-8")
        elif fault == "verify":
            self._send(200, b'{"code": "10000", "type": "verify"}', "application/json")
        elif fault == "html":
            self._send(200, b"<html><body>Bad gateway</body></html>", "text/html")
        elif fault.isdigit():
            wait_s = self.site.retry_after_s
            headers = {"Retry-After": f"{wait_s:g}"} if fault == "429" and wait_s else {}
            self._send(int(fault), b"", "text/plain", headers)
        return fault not in ("ok", "cut", "long")

    def _file(self, data: bytes, fault: str) -> None:
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        start = int(wanted[1]) if wanted else 0
        whole = len(data) - start
        self.site.sent_bytes[urlsplit(self.path).path] += whole // 2 if fault == "cut" else whole
        headers = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"} if wanted else {}
        kind = "text/vtt" if urlsplit(self.path).path.endswith(".vtt") else "video/mp4"
        self._send(206 if wanted else 200, data[start:], kind, headers, fault=fault)

    def _send(
        self,
        code: int,
        body: bytes,
        kind: str,
        headers: dict[str, str] | None = None,
        *,
        fault: str = "ok",
    ) -> None:
        self.send_response(code)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Set-Cookie", "ttwid=1%7Cfake; Domain=.tiktok.com; Path=/; Secure")
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        if fault == "cut":
            body, self.close_connection = body[: len(body) // 2], True
        if self.command != "HEAD":
            self.wfile.write(body)


class _Tunnel(BaseHTTPRequestHandler):
    """A proxy that knows one destination."""

    site: FakeTikTok

    def log_message(self, *_: object) -> None:
        pass

    def do_CONNECT(self) -> None:
        with socket.create_connection(self.site.address) as there:
            self.send_response(200, "Connection established")
            self.end_headers()
            back = threading.Thread(target=_pump, args=(there, self.connection), daemon=True)
            back.start()
            _pump(self.connection, there)
            back.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    try:
        while block := source.recv(65536):
            sink.sendall(block)
    except OSError:
        pass
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:  # a client that hangs up is nothing special
        pass


class _TlsServer(_Server):
    """HTTPS; hands are shaken on the connection's own thread, so that nobody waits."""

    context: ssl.SSLContext

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        wrapped = self.context.wrap_socket(
            connection, server_side=True, do_handshake_on_connect=False
        )
        return wrapped, address


def write_certificate(path: Path) -> None:
    """Key and self-signed certificate for TikTok's hosts and loopback, in one PEM file."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "fake TikTok")])
    names: list[x509.GeneralName] = [x509.DNSName(host) for host in (*HOSTS, "localhost")]
    names.append(x509.IPAddress(ipaddress.ip_address("127.0.0.1")))
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    plain = serialization.PrivateFormat.PKCS8
    secret = key.private_bytes(pem, plain, serialization.NoEncryption())
    path.write_bytes(secret + certificate.public_bytes(pem))


@contextmanager
def serve(site: FakeTikTok) -> Iterator[FakeTikTok]:
    """The site on loopback, while the block runs."""
    with ExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory())
        site.certificate = Path(folder) / "fake-tiktok.pem"
        write_certificate(site.certificate)
        tls = _TlsServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"site": site}))
        tls.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.context.load_cert_chain(site.certificate)
        proxy = _Server(("127.0.0.1", 0), type("Tunnel", (_Tunnel,), {"site": site}))
        site.port, site.proxy_port = tls.server_port, proxy.server_port
        for server in (tls, proxy):
            stack.enter_context(_running(server))
        yield site


@contextmanager
def _running(server: ThreadingHTTPServer) -> Iterator[None]:
    with server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
