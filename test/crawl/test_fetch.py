"""One file from a server on loopback that does what servers do on bad days."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from reelscope.crawl.fetch import Fetcher
from reelscope.crawl.media_file import media_suffix, video_suffix
from reelscope.errors import CrawlFailed, OutputError
from reelscope.settings import Crawl, load
from reelscope.testing.media import Scene, write_sound, write_video
from reelscope.testing.sounds import tone

Answer = Callable[["_Handler"], None]


class _Handler(BaseHTTPRequestHandler):
    site: Site
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.site.asked.append((path, dict(self.headers)))
        script = self.site.script.get(path, [])
        answer = script.pop(0) if script else self.site.then.get(path, file_of(b""))
        answer(self)

    def say(self, code: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(code)
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        for name, value in {"Content-Length": str(len(body)), **given}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


@dataclass
class Site:
    """path -> answers, one after the other, and the answer for ever after."""

    script: dict[str, list[Answer]] = field(default_factory=dict)
    then: dict[str, Answer] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    url: str = ""


@contextmanager
def serving(site: Site, host: str = "127.0.0.1") -> Iterator[Site]:
    handler = type("Handler", (_Handler,), {"site": site})
    with ThreadingHTTPServer((host, 0), handler) as server:
        site.url = f"http://{host}:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield site
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def site() -> Iterator[Site]:
    with serving(Site()) as found:
        yield found


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("made") / "video.mp4"
    write_video(path, [Scene(2.0)], size=(64, 96), fps=Fraction(10))
    return path.read_bytes()


def file_of(data: bytes, *, tag: str | None = '"one"', ranges: bool = True) -> Answer:
    """The file, from where it is asked for."""

    def answer(handler: _Handler) -> None:
        wanted = handler.headers.get("Range") if ranges else None
        headers = {"ETag": tag} if tag else {}
        if wanted and handler.headers.get("If-Range") in (None, tag):
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            if start >= len(data):
                handler.say(416)
                return
            where = f"bytes {start}-{len(data) - 1}/{len(data)}"
            handler.say(206, data[start:], Content_Range=where, **headers)
        else:
            handler.say(200, data, **headers)

    return answer


def cut(answer: Answer, after: int) -> Answer:
    """The same, but the connection breaks after so many bytes of the body."""

    def shortened(handler: _Handler) -> None:
        whole, said = handler.wfile, []

        class Short:
            def write(self, data: bytes) -> None:
                said.append(data)
                whole.write(data if len(said) == 1 else data[:after])

            def flush(self) -> None:
                whole.flush()

        handler.wfile = Short()  # type: ignore[assignment]
        answer(handler)
        handler.wfile = whole
        handler.close_connection = True

    return shortened


def says(code: int, body: bytes = b"", **headers: str) -> Answer:
    return lambda handler: handler.say(code, body, **headers)


def fetcher(waits: list[float] | None = None, **settings: Any) -> Fetcher:
    given = {"loopback": True, "read_timeout_s": 2.0, "connect_timeout_s": 2.0, **settings}
    slept = waits if waits is not None else []
    return Fetcher(Crawl(**given), sleep=slept.append, chance=lambda: 1.0)


def left_over(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# ------------------------------------------------------------------------------- whole


def test_a_file_gets_the_suffix_that_its_content_has(
    site: Site, video: bytes, tmp_path: Path
) -> None:
    site.then["/play.php"] = file_of(video)
    seen: list[tuple[int, int | None]] = []
    with fetcher() as it:
        found = it.fetch(
            f"{site.url}/play.php?sig=1",
            tmp_path / "new" / "7.1",
            opens=media_suffix,
            headers={"Referer": "https://www.tiktok.com/", "Range": "bytes=5-", "Host": "else"},
            progress=lambda done, total: seen.append((done, total)),
        )
    assert found == tmp_path / "new" / "7.1.mp4"
    assert found.read_bytes() == video
    assert left_over(found.parent) == ["7.1.mp4"], "nothing else lies there"
    assert seen[-1] == (len(video), len(video))
    headers = site.asked[0][1]
    assert headers["Referer"] == "https://www.tiktok.com/"
    assert headers["Accept-Encoding"] == "identity"
    assert headers["Host"] == site.url.removeprefix("http://")
    assert "Range" not in headers


def test_sound_is_media_but_no_video(site: Site, tmp_path: Path) -> None:
    write_sound(tmp_path / "s.m4a", tone(1.0))
    site.then["/s"] = file_of((tmp_path / "s.m4a").read_bytes())
    with fetcher() as it:
        assert it.fetch(f"{site.url}/s", tmp_path / "a", opens=media_suffix).suffix == ".m4a"
        with pytest.raises(CrawlFailed, match="sound but no picture") as failed:
            it.fetch(f"{site.url}/s", tmp_path / "b", opens=video_suffix)
    assert failed.value.fault == "not_media"
    assert left_over(tmp_path) == ["a.m4a", "s.m4a"]


# ----------------------------------------------------------------------------- broken


def test_a_cut_download_goes_on_where_it_was_cut(site: Site, video: bytes, tmp_path: Path) -> None:
    whole = file_of(video)
    site.script["/v"] = [cut(whole, 1000), cut(whole, 500)]
    site.then["/v"] = whole
    waits: list[float] = []
    with fetcher(waits) as it:
        found = it.fetch(f"{site.url}/v", tmp_path / "v", opens=media_suffix)
    assert found.read_bytes() == video
    asked = [headers.get("Range") for _, headers in site.asked]
    assert asked == [None, "bytes=1000-", "bytes=1500-"]
    assert waits == [1.0, 2.0]


def test_another_run_goes_on_too_though_the_signature_is_new(
    site: Site, video: bytes, tmp_path: Path
) -> None:
    site.script["/v"] = [cut(file_of(video), 1000)]
    site.then["/v"] = file_of(video)
    with fetcher(attempts=1) as it, pytest.raises(CrawlFailed) as failed:
        it.fetch(f"{site.url}/v?sig=1", tmp_path / "v", opens=media_suffix)
    assert failed.value.fault == "network"
    assert failed.value.passing
    assert left_over(tmp_path) == ["v.part", "v.part.json"]
    assert "sig" not in (tmp_path / "v.part.json").read_text(), "signatures are secret"
    with fetcher() as it:
        found = it.fetch(f"{site.url}/v?sig=2", tmp_path / "v", opens=media_suffix)
    assert found.read_bytes() == video
    assert site.asked[-1][1]["Range"] == "bytes=1000-"
    assert left_over(tmp_path) == ["v.mp4"]


@pytest.mark.parametrize("tag", ['"two"', None])
def test_a_file_that_changed_is_fetched_from_the_start(
    tag: str | None, site: Site, video: bytes, tmp_path: Path
) -> None:
    other = video[:-1] + b"x" + b"y" * 50
    site.script["/v"] = [cut(file_of(other), 1000)]
    site.then["/v"] = file_of(video, tag=tag)
    with fetcher() as it:
        found = it.fetch(f"{site.url}/v", tmp_path / "v", opens=media_suffix)
    assert found.read_bytes() == video


def test_without_ranges_it_begins_anew(site: Site, video: bytes, tmp_path: Path) -> None:
    plain = file_of(video, ranges=False)
    site.script["/v"] = [cut(plain, 1000)]
    site.then["/v"] = plain
    with fetcher() as it:
        found = it.fetch(f"{site.url}/v", tmp_path / "v", opens=media_suffix)
    assert found.read_bytes() == video


@pytest.mark.parametrize(
    "note",
    [b"{", b"[]", b"{}", b"null", b"[" * 50_000, b'{"url": 1, "validator": 2, "total": "x"}'],
)
def test_a_part_of_unknown_origin_is_thrown_away(
    note: bytes, site: Site, video: bytes, tmp_path: Path
) -> None:
    (tmp_path / "v.part").write_bytes(b"of something else")
    (tmp_path / "v.part.json").write_bytes(note)
    site.then["/v"] = file_of(video)
    with fetcher() as it:
        assert it.fetch(f"{site.url}/v", tmp_path / "v", opens=media_suffix).exists()
    assert "Range" not in site.asked[0][1]


def test_a_part_that_is_whole_already_is_not_asked_for(
    site: Site, video: bytes, tmp_path: Path
) -> None:
    """Killed between the last byte and the new name."""
    (tmp_path / "v.part").write_bytes(video)
    note = {"url": f"{site.url}/v", "validator": None, "total": len(video)}
    (tmp_path / "v.part.json").write_text(json.dumps(note))
    with fetcher() as it:
        found = it.fetch(f"{site.url}/v?x=1", tmp_path / "v", opens=media_suffix)
    assert found.read_bytes() == video
    assert site.asked == []


def test_416_and_lying_ranges_lead_to_a_new_start(site: Site, video: bytes, tmp_path: Path) -> None:
    whole = file_of(video)
    wrong = says(206, video[:100], Content_Range=f"bytes 0-99/{len(video)}", ETag='"one"')
    for lie in (says(416), wrong, says(206, b"x"), says(206, b"x", Content_Range="bytes 9-1/*")):
        site.script["/v"] = [cut(whole, 1000), lie]
        site.then["/v"] = whole
        with fetcher() as it:
            found = it.fetch(f"{site.url}/v", tmp_path / "v", opens=media_suffix)
        assert found.read_bytes() == video
        found.unlink()


def test_a_range_that_nobody_asked_for_is_no_file(site: Site, video: bytes, tmp_path: Path) -> None:
    where = f"bytes 0-{len(video) - 1}/{len(video)}"
    site.then["/v"] = says(206, video, Content_Range=where)
    with fetcher(attempts=2) as it, pytest.raises(CrawlFailed, match="another part"):
        it.fetch(f"{site.url}/v", tmp_path / "v", opens=media_suffix)
    assert left_over(tmp_path) == []


def test_more_bytes_than_announced_are_not_read(site: Site, video: bytes, tmp_path: Path) -> None:
    site.then["/v"] = says(200, video + b"more", Content_Length=str(len(video)))
    with fetcher() as it:
        found = it.fetch(f"{site.url}/v", tmp_path / "v", opens=media_suffix)
    assert found.read_bytes() == video


# ---------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("code", "fault", "requests"),
    [
        (401, "blocked", 1), (403, "blocked", 1), (404, "gone", 1), (410, "gone", 1),
        (451, "geo_blocked", 1), (418, "blocked", 1), (429, "rate_limited", 3),
        (500, "network", 3), (503, "network", 3), (204, "blocked", 1), (304, "blocked", 1),
    ],
)  # fmt: skip
def test_kinds_of_refusal(code: int, fault: str, requests: int, site: Site, tmp_path: Path) -> None:
    def refuse(handler: _Handler) -> None:
        handler.send_response(code)
        if code not in (204, 304):
            handler.send_header("Content-Length", "0")
        handler.end_headers()

    site.then["/v"] = refuse
    with fetcher(attempts=3) as it, pytest.raises(CrawlFailed) as failed:
        it.fetch(f"{site.url}/v?token=secret", tmp_path / "v", opens=media_suffix)
    assert failed.value.fault == fault
    assert len(site.asked) == requests
    assert "secret" not in str(failed.value)
    assert failed.value.remedy
    assert left_over(tmp_path) == []


def test_retry_after_is_waited_for(site: Site, video: bytes, tmp_path: Path) -> None:
    site.script["/v"] = [says(429, Retry_After="0.2"), says(503, Retry_After="0.1")]
    site.then["/v"] = file_of(video)
    it = Fetcher(Crawl(loopback=True), chance=lambda: 0.0)
    began = time.monotonic()
    with it:
        it.fetch(f"{site.url}/v", tmp_path / "v", opens=media_suffix)
    assert time.monotonic() - began >= 0.3


def test_who_asks_to_wait_too_long_is_given_up(site: Site, tmp_path: Path) -> None:
    site.then["/v"] = says(429, Retry_After="3600")
    with fetcher() as it, pytest.raises(CrawlFailed, match="3600 s") as failed:
        it.fetch(f"{site.url}/v", tmp_path / "v", opens=media_suffix)
    assert failed.value.fault == "rate_limited"
    assert len(site.asked) == 1


@pytest.mark.parametrize(
    "body", [b"", b"<html>captcha</html>", b"\x00" * 5000, b"#EXTM3U\nhttp://127.0.0.1/x.ts\n"]
)
def test_what_is_no_media_never_gets_a_name(body: bytes, site: Site, tmp_path: Path) -> None:
    site.then["/v"] = file_of(body)
    with fetcher() as it, pytest.raises(CrawlFailed) as failed:
        it.fetch(f"{site.url}/v", tmp_path / "v", opens=media_suffix)
    assert failed.value.fault == "not_media"
    assert left_over(tmp_path) == []
    assert len(site.asked) == 1


# ------------------------------------------------------------------------------ limits


def test_a_file_that_says_it_is_too_large_is_not_read(site: Site, tmp_path: Path) -> None:
    site.then["/v"] = says(200, b"x" * 1000, Content_Length="2000000")
    with fetcher(max_file_mb=1) as it, pytest.raises(CrawlFailed, match=r"has 2\.0 MB") as failed:
        it.fetch(f"{site.url}/v", tmp_path / "v", opens=media_suffix)
    assert failed.value.fault == "not_supported"
    assert "max_file_mb" in failed.value.remedy
    assert left_over(tmp_path) == []


def test_a_file_without_end_is_cut_off(site: Site, tmp_path: Path) -> None:
    def endless(handler: _Handler) -> None:
        handler.send_response(200)
        handler.send_header("Connection", "close")
        handler.end_headers()
        try:
            while True:
                handler.wfile.write(b"x" * 65536)
        except OSError:
            pass

    site.then["/v"] = endless
    with fetcher(max_file_mb=1) as it, pytest.raises(CrawlFailed, match="at least 1"):
        it.fetch(f"{site.url}/v", tmp_path / "v", opens=media_suffix)
    assert left_over(tmp_path) == []


def test_what_comes_compressed_is_not_blown_up(site: Site, tmp_path: Path) -> None:
    bomb = gzip.compress(bytes(50_000_000))
    for coding in ("gzip", "br", "gzip, gzip"):
        site.then["/v"] = says(200, bomb, Content_Encoding=coding)
        with fetcher(max_file_mb=1) as it, pytest.raises(CrawlFailed, match="compressed") as failed:
            it.fetch(f"{site.url}/v", tmp_path / "v", opens=media_suffix)
        assert failed.value.fault == "not_media"
    assert left_over(tmp_path) == []


def _drip(what: bytes, every_s: float) -> Answer:
    def answer(handler: _Handler) -> None:
        handler.close_connection = True
        try:
            for byte in what:
                handler.wfile.write(bytes([byte]))
                time.sleep(every_s)
        except OSError:
            pass

    return answer


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", b""])
def test_a_drip_in_body_or_headers_ends_in_time(head: bytes, site: Site, tmp_path: Path) -> None:
    """The time limit of each read alone would never end it."""

    def answer(handler: _Handler) -> None:
        handler.wfile.write(head or b"HTTP/1.1 200 OK\r\n")
        _drip(b"X-Long: " + b"x" * 500, 0.05)(handler)

    site.then["/v"] = answer
    began = time.monotonic()
    with fetcher(download_timeout_s=0.5) as it, pytest.raises(CrawlFailed) as failed:
        it.fetch(f"{site.url}/v", tmp_path / "v", opens=media_suffix)
    assert failed.value.fault == "network"
    assert time.monotonic() - began < 2.0


def test_silence_and_nobody_there(site: Site, tmp_path: Path) -> None:
    def silent(handler: _Handler) -> None:
        time.sleep(0.6)
        handler.close_connection = True

    site.then["/v"] = silent
    with fetcher(read_timeout_s=0.2, attempts=2) as it, pytest.raises(CrawlFailed) as failed:
        it.fetch(f"{site.url}/v", tmp_path / "v", opens=media_suffix)
    assert failed.value.fault == "network"
    assert "2 times" in str(failed.value)
    with socket.socket() as shut:
        shut.bind(("127.0.0.1", 0))
        port = shut.getsockname()[1]
        with fetcher(attempts=1) as it, pytest.raises(CrawlFailed, match="broke") as failed:
            it.fetch(f"http://127.0.0.1:{port}/", tmp_path / "v", opens=media_suffix)
    assert failed.value.fault == "network"


@pytest.mark.parametrize("greeting", [b"\r\n\r\n", b"HTTP/9.9 what\r\n\r\n", b"x" * 200_000])
def test_what_is_no_http_is_a_broken_connection(
    greeting: bytes, site: Site, tmp_path: Path
) -> None:
    site.then["/v"] = _drip(b"", 0) if not greeting else lambda h: _raw(h, greeting)
    with fetcher(attempts=2) as it, pytest.raises(CrawlFailed) as failed:
        it.fetch(f"{site.url}/v", tmp_path / "v", opens=media_suffix)
    assert failed.value.fault == "network"


def _raw(handler: _Handler, data: bytes) -> None:
    handler.close_connection = True
    handler.wfile.write(data)


# ------------------------------------------------------------------------- where it goes


def test_redirects_within_bounds_are_followed_without_secrets(
    site: Site, video: bytes, tmp_path: Path
) -> None:
    with serving(Site()) as other:
        other.then["/there"] = file_of(video)
        site.then["/a"] = says(302, Location="/b?x=1")
        site.then["/b"] = says(307, Location=f"{other.url}/there#part")
        with fetcher() as it:
            found = it.fetch(
                f"{site.url}/a",
                tmp_path / "v",
                opens=media_suffix,
                headers={"Cookie": "token=secret", "Referer": "r"},
            )
        assert found.read_bytes() == video
        assert site.asked[1][1]["Cookie"] == "token=secret", "it is the same server"
        assert "Cookie" not in other.asked[0][1]
        assert other.asked[0][1]["Referer"] == "r"


@pytest.mark.parametrize(
    "there",
    [
        "file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://127.0.0.1/", "data:text/plain,x",
        "http://10.0.0.1/", "http://192.168.1.1/", "http://169.254.169.254/latest/meta-data/",
        "http://[fe80::1]/", "http://[::ffff:10.0.0.1]/", "http://[fd00:ec2::254]/",
        "http://0.0.0.0/", "http://100.64.0.1/", "http://168.63.129.16/", "http://224.0.0.1/",
        "http://user:pass@127.0.0.1/",
        "http://0xa000001/", "//10.0.0.1/x",
    ],
)  # fmt: skip
def test_redirects_to_elsewhere_are_not_followed(there: str, site: Site, tmp_path: Path) -> None:
    site.then["/v"] = says(302, Location=there)
    with fetcher(attempts=2) as it, pytest.raises(CrawlFailed) as failed:
        it.fetch(f"{site.url}/v", tmp_path / "v", opens=media_suffix)
    assert failed.value.fault == "not_supported"
    assert len(site.asked) == 1
    assert left_over(tmp_path) == []


@pytest.mark.parametrize("there", ["http://[::1", "\\\\10.0.0.1\\x", "http://a b/", "http:///x"])
def test_redirects_that_make_no_sense_lead_nowhere(there: str, site: Site, tmp_path: Path) -> None:
    site.then["/v"] = says(302, Location=there)
    with fetcher(attempts=2) as it, pytest.raises(CrawlFailed):
        it.fetch(f"{site.url}/v", tmp_path / "v", opens=media_suffix)
    assert left_over(tmp_path) == []


def test_loopback_is_private_unless_the_setting_says_otherwise(site: Site, tmp_path: Path) -> None:
    names = ("127.0.0.1", "localhost", "127.1", "2130706433", "[::1]", "[::ffff:127.0.0.1]")
    for name in names:
        with fetcher(loopback=False) as it, pytest.raises(CrawlFailed, match="private") as failed:
            it.fetch(f"http://{name}:1/v", tmp_path / "v", opens=media_suffix)
        assert failed.value.fault == "not_supported"
    assert site.asked == []


def test_a_name_is_looked_up_once_so_it_cannot_change_its_mind(
    site: Site, video: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DNS rebinding: the second answer for a name would be another address."""
    looked_up: list[str] = []
    look_up = socket.getaddrinfo

    def changing(host: Any, port: Any, *rest: Any, **more: Any) -> Any:
        if host == "video.example":
            looked_up.append(host)
            host = "127.0.0.1" if len(looked_up) == 1 else "10.0.0.1"
        return look_up(host, port, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", changing)
    site.then["/v"] = file_of(video)
    port = site.url.rpartition(":")[2]
    with fetcher() as it:
        found = it.fetch(f"http://video.example:{port}/v", tmp_path / "v", opens=media_suffix)
        assert found.read_bytes() == video
        assert site.asked[0][1]["Host"] == f"video.example:{port}"
        with pytest.raises(CrawlFailed, match=r"10\.0\.0\.1"):
            it.fetch(f"http://video.example:{port}/v", tmp_path / "w", opens=media_suffix)
    assert len(looked_up) == 2


def test_a_name_with_one_private_address_among_others_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [(2, 1, 6, "", (ip, 80)) for ip in ("93.184.216.34", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    with fetcher() as it, pytest.raises(CrawlFailed, match=r"10\.0\.0\.1"):
        it.fetch("http://both.example/", tmp_path / "v", opens=media_suffix)


def test_unknown_names_are_the_networks_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: Any, **__: Any) -> Any:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with fetcher() as it, pytest.raises(CrawlFailed, match="cannot be found") as failed:
        it.fetch("http://nowhere.example/", tmp_path / "v", opens=media_suffix)
    assert failed.value.fault == "network"


def test_redirects_without_end_are_left(site: Site, tmp_path: Path) -> None:
    site.then["/v"] = says(302, Location="/v")
    with fetcher() as it, pytest.raises(CrawlFailed, match="without end"):
        it.fetch(f"{site.url}/v", tmp_path / "v", opens=media_suffix)
    assert len(site.asked) == 11


def test_through_a_proxy_literal_private_addresses_are_refused_still(
    site: Site, video: bytes, tmp_path: Path
) -> None:
    """The proxy is a server here; it gets the whole address and answers itself."""
    site.then["http://video.example/v"] = file_of(video)
    with fetcher(proxy=site.url) as it:
        found = it.fetch("http://video.example/v", tmp_path / "v", opens=media_suffix)
        assert found.read_bytes() == video
        for host in ("10.0.0.1", "0xa.1", "[fe80::1]"):
            with pytest.raises(CrawlFailed, match="private"):
                it.fetch(f"http://{host}/", tmp_path / "w", opens=media_suffix)


def test_a_proxy_is_a_secret() -> None:
    settings = load(environ={"REELSCOPE_CRAWL__PROXY": "http://me:hidden@proxy:8080"})
    assert settings.crawl.proxy is not None
    assert "hidden" not in f"{settings!r} {settings.public()} {settings.model_dump_json()}"


# -------------------------------------------------------------------------------- disk


def test_a_full_disk_is_said_and_the_run_can_go_on(
    site: Site, video: bytes, tmp_path: Path
) -> None:
    site.then["/v"] = file_of(video)
    (tmp_path / "v.part").symlink_to("/dev/full")
    with fetcher() as it, pytest.raises(OutputError, match="the disk is full"):
        it.fetch(f"{site.url}/v", tmp_path / "v", opens=media_suffix)
    assert not (tmp_path / "v.mp4").exists()


def test_what_does_not_fit_the_disk_is_not_begun(site: Site, tmp_path: Path) -> None:
    site.then["/v"] = says(200, b"x" * 100, Content_Length=str(90_000 * 10**12))
    with (
        fetcher() as it,
        pytest.raises(OutputError, match=r"the disk is full \(.* are to come, .* are free\)"),
    ):
        it.fetch(f"{site.url}/v", tmp_path / "v", opens=media_suffix, max_bytes=10**18)


def test_a_folder_in_the_way_is_said(site: Site, video: bytes, tmp_path: Path) -> None:
    site.then["/v"] = file_of(video)
    (tmp_path / "v").write_bytes(b"")
    with fetcher() as it, pytest.raises(OutputError, match="a file is where a folder should be"):
        it.fetch(f"{site.url}/v", tmp_path / "v" / "w", opens=media_suffix)


def test_whoever_watches_may_stop_it(site: Site, video: bytes, tmp_path: Path) -> None:
    site.then["/v"] = file_of(video)

    def stop(done: int, total: int | None) -> None:
        raise KeyboardInterrupt

    with fetcher() as it, pytest.raises(KeyboardInterrupt):
        it.fetch(f"{site.url}/v", tmp_path / "v", opens=media_suffix, progress=stop)
    assert (tmp_path / "v.part").exists()
    assert not (tmp_path / "v.mp4").exists()
