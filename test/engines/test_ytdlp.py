"""The real yt-dlp against pages on loopback."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from reelscope.engines.ytdlp import YtDlpSource, newest
from reelscope.engines.ytdlp_faults import fault_of
from reelscope.engines.ytdlp_info import listed_of
from reelscope.errors import CrawlFailed, OutputError
from reelscope.settings import Crawl
from reelscope.testing.media import Scene, write_video
from reelscope.testing.sounds import tone

pytest.importorskip("yt_dlp", reason="the extra `crawl` is not installed")

pytestmark = [
    # yt-dlp leaves the sockets of refused requests to the collector
    pytest.mark.filterwarnings(
        "ignore:(?s)Exception ignored in.*socket:pytest.PytestUnraisableExceptionWarning"
    ),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
]

Answer = Callable[["_Handler"], None]
NOW = datetime(2026, 11, 21, tzinfo=UTC)


class _Handler(BaseHTTPRequestHandler):
    site: Site
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.site.asked.append(path)
        self.site.headers.append(dict(self.headers))
        script = self.site.script.get(path, [])
        answer = script.pop(0) if script else self.site.then.get(path, says(404))
        answer(self)

    def say(self, code: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(code)
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        for name, value in {"Content-Length": str(len(body)), **given}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def says(code: int, body: bytes = b"", **headers: str) -> Answer:
    return lambda handler: handler.say(code, body, **headers)


@dataclass
class Site:
    script: dict[str, list[Answer]] = field(default_factory=dict)
    then: dict[str, Answer] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    url: str = ""

    def page(self, path: str, html: str) -> str:
        self.then[path] = says(200, html.encode(), Content_Type="text/html; charset=utf-8")
        return self.url + path

    def file(self, path: str, data: bytes) -> str:
        self.then[path] = says(200, data, Content_Type="video/mp4")
        return self.url + path


@contextmanager
def serving() -> Iterator[Site]:
    site = Site()
    handler = type("Handler", (_Handler,), {"site": site})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        site.url = f"http://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield site
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as found:
        yield found


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("made") / "video.mp4"
    write_video(path, [Scene(2.0)], size=(64, 96), fps=Fraction(10), sound=tone(2.0))
    return path.read_bytes()


def source(waits: list[float] | None = None, **given: Any) -> YtDlpSource:
    fast = {"loopback": True, "pause_s": 0, "pause_spread_s": 0, "attempts": 1, **given}
    slept = waits if waits is not None else []
    return YtDlpSource(Crawl(**fast), sleep=slept.append)


PAGE = """<html><head><title>My film</title>
<meta property="og:title" content="My film"></head>
<body><video src="/film.mp4" type="video/mp4"></video></body></html>"""


def left_over(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.slow
def test_a_page_with_a_video_is_looked_up_and_fetched(
    site: Site, video: bytes, tmp_path: Path
) -> None:
    page = site.page("/page", PAGE)
    site.file("/film.mp4", video)
    it = source()
    it.open()
    found = it.look_up(page)
    assert found.platform.name == "web"
    assert (found.platform.caption or "").startswith("My film")
    assert found.url is not None
    path = it.download(found, tmp_path / "50%(id)s" / "7.x*")
    it.close()
    assert path == tmp_path / "50%(id)s" / "7.x*.mp4"
    assert path.read_bytes() == video
    assert left_over(path.parent) == ["7.x*.mp4"], "names are ours alone"


def test_a_file_itself_is_a_video_too(site: Site, video: bytes, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    it = YtDlpSource(
        Crawl(loopback=True, attempts=1, pause_s=0, pause_spread_s=0),
        progress=lambda done, total: seen.append((done, total)),
    )
    found = it.look_up(site.file("/one.mp4", video))
    assert found.platform.caption is None, "the name of a file is no caption"
    assert it.download(found, tmp_path / "v").read_bytes() == video
    assert seen[-1][0] == len(video)


def test_nothing_of_the_users_configuration_is_read(
    site: Site, video: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hook in a configuration file would run a program."""
    home = tmp_path / "home"
    (home / ".config" / "yt-dlp").mkdir(parents=True)
    trap = tmp_path / "trap"
    for name in (".config/yt-dlp/config", ".yt-dlp/config", "yt-dlp.conf"):
        (home / name).parent.mkdir(exist_ok=True)
        (home / name).write_text(f"--exec 'touch {trap}'\n--write-info-json\n")
    plugin = home / ".config/yt-dlp/plugins/x/yt_dlp_plugins/extractor/trap.py"
    plugin.parent.mkdir(parents=True)
    plugin.write_text(f"open({str(trap)!r}, 'w')\n")
    for variable in ("HOME", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(variable, str(home if variable == "HOME" else home / ".config"))
    monkeypatch.chdir(home)
    it = source()
    found = it.look_up(site.file("/one.mp4", video))
    it.download(found, tmp_path / "out" / "v")
    assert not trap.exists()
    assert left_over(tmp_path / "out") == ["v.mp4"]


def test_a_list_ends_where_it_is_old_enough_or_long_enough() -> None:
    """Pinned posts, which may be old, come first."""
    days = [date(2020, 1, 1), date(2026, 11, 2), None, date(2026, 11, 1), date(2020, 1, 3),
            date(2020, 1, 2), date(2020, 1, 1), date(2019, 12, 31), date(2026, 11, 5)]  # fmt: skip
    infos = [
        {"id": n, "url": "https://a.org/v", "upload_date": day and f"{day:%Y%m%d}"}
        for n, day in enumerate(days)
    ]
    videos = [video for info in infos if (video := listed_of(info, taken_at=NOW))]
    since = datetime(2026, 1, 1, tzinfo=UTC)

    def ids(since: datetime | None, limit: int | None) -> list[str]:
        return [video.video_id for video in newest(iter(videos), since=since, limit=limit)]

    assert ids(None, None) == [str(n) for n in range(9)]
    assert ids(None, 3) == ["0", "1", "2"]
    assert ids(since, None) == ["1", "2", "3"], "four old ones in a row end it"
    assert ids(since, 2) == ["1", "2"]


# ---------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        (403, "blocked"), (404, "gone"), (410, "gone"), (429, "rate_limited"),
        (451, "geo_blocked"), (500, "network"), (503, "network"),
    ],
)  # fmt: skip
def test_kinds_of_refusal(code: int, fault: str, site: Site) -> None:
    site.then["/v"] = says(code)
    with pytest.raises(CrawlFailed) as failed:
        source().look_up(f"{site.url}/v")
    assert failed.value.fault == fault
    assert failed.value.remedy
    assert "\x1b" not in str(failed.value)


def test_what_passes_is_asked_again_as_the_server_says(site: Site, video: bytes) -> None:
    page = site.file("/v.mp4", video)
    site.script["/v.mp4"] = [says(429, Retry_After="7"), says(503)]
    waits: list[float] = []
    assert source(waits, attempts=3).look_up(page).url == page
    assert waits[0] == 7
    assert 1 <= waits[1] <= 2
    site.script["/v.mp4"] = [says(429, Retry_After="3600")]
    with pytest.raises(CrawlFailed) as failed:
        source(attempts=3).look_up(page)
    assert failed.value.fault == "rate_limited"


def test_pages_without_a_video(site: Site) -> None:
    with pytest.raises(CrawlFailed) as failed:
        source().look_up(site.page("/none", "<html><body>nothing</body></html>"))
    assert failed.value.fault == "not_supported"


def test_several_videos_on_one_page(site: Site) -> None:
    two = PAGE.replace("</body>", '<video src="/other.mp4" type="video/mp4"></video></body>')
    page = site.page("/two", two)
    with pytest.raises(CrawlFailed, match="2 videos"):
        source().look_up(page)
    with pytest.raises(CrawlFailed, match="has no videos"):  # none has an address of its own
        list(source().list_page(page, since=None, limit=1))


@pytest.mark.parametrize(
    "there",
    ["http://10.0.0.1/x", "http://169.254.169.254/latest", "file:///etc/passwd", "ftp://a/"],
)
def test_redirects_to_elsewhere_are_not_followed(there: str, site: Site) -> None:
    site.then["/v"] = says(302, Location=there)
    with pytest.raises(CrawlFailed) as failed:
        source().look_up(f"{site.url}/v")
    assert failed.value.fault == "not_supported"
    assert "yt-dlp" not in str(failed.value), "it is our guard that refuses"


@pytest.mark.parametrize("url", ["http://10.0.0.1/x.mp4", "file:///etc/passwd", "ytsearch:cats"])
def test_private_addresses_are_not_asked(url: str) -> None:
    with pytest.raises(CrawlFailed) as failed:
        source().look_up(url)
    assert failed.value.fault == "not_supported"


def test_loopback_is_private_unless_the_setting_says_otherwise(site: Site, video: bytes) -> None:
    with pytest.raises(CrawlFailed, match="private"):
        source(loopback=False).look_up(site.file("/v.mp4", video))
    assert site.asked == []


def test_a_page_whose_media_is_elsewhere(site: Site, tmp_path: Path) -> None:
    page = site.page("/page", PAGE.replace("/film.mp4", "http://10.0.0.1/film.mp4"))
    it = source()
    with pytest.raises(CrawlFailed) as failed:
        it.download(it.look_up(page), tmp_path / "v")
    assert failed.value.fault == "not_supported"
    assert left_over(tmp_path) == []


# ------------------------------------------------------------------------------- files


def test_a_file_that_is_too_large(site: Site, video: bytes, tmp_path: Path) -> None:
    url = site.file("/v.mp4", video + bytes(2_000_000))
    it = source(max_file_mb=1)
    with pytest.raises(CrawlFailed, match="1.0 MB are allowed") as failed:  # noqa: RUF043
        it.download(it.look_up(url), tmp_path / "v")
    assert failed.value.fault == "not_supported"
    assert left_over(tmp_path) == []


def test_what_is_no_media_gets_no_name(site: Site, tmp_path: Path) -> None:
    it = source()
    found = it.look_up(site.file("/v.mp4", b"<html>" + bytes(5000)))
    with pytest.raises(CrawlFailed) as failed:
        it.download(found, tmp_path / "v")
    assert failed.value.fault == "not_media"
    assert left_over(tmp_path) == []


def test_a_cut_download_does_not_get_a_name(site: Site, video: bytes, tmp_path: Path) -> None:
    def cut(handler: _Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "video/mp4")
        handler.send_header("Content-Length", str(len(video)))
        handler.end_headers()
        if handler.command != "HEAD":
            handler.wfile.write(video[: len(video) // 2])
        handler.close_connection = True

    it = source()
    found = it.look_up(site.file("/v.mp4", video))
    site.then["/v.mp4"] = cut
    with pytest.raises(CrawlFailed) as failed:
        it.download(found, tmp_path / "v")
    assert failed.value.fault == "network"
    assert not (tmp_path / "v.mp4").exists()
    site.file("/v.mp4", video)
    assert it.download(found, tmp_path / "v").read_bytes() == video
    assert left_over(tmp_path) == ["v.mp4"]


def test_a_slow_drip_ends(site: Site, video: bytes, tmp_path: Path) -> None:
    def drip(handler: _Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "video/mp4")
        handler.send_header("Content-Length", str(len(video)))
        handler.end_headers()
        try:
            for place in range(0, len(video), 64):
                handler.wfile.write(video[place : place + 64])
                time.sleep(0.05)
        except OSError:
            pass
        handler.close_connection = True

    it = source(download_timeout_s=0.5)
    found = it.look_up(site.file("/v.mp4", video))
    site.then["/v.mp4"] = drip
    began = time.monotonic()
    with pytest.raises(CrawlFailed) as failed:
        it.download(found, tmp_path / "v")
    assert failed.value.fault == "network"
    assert time.monotonic() - began < 5


def test_a_folder_in_the_way(site: Site, video: bytes, tmp_path: Path) -> None:
    (tmp_path / "v").write_bytes(b"")
    it = source()
    with pytest.raises(OutputError):
        it.download(it.look_up(site.file("/v.mp4", video)), tmp_path / "v" / "w")


def test_cookies_are_read_but_never_written(site: Site, video: bytes, tmp_path: Path) -> None:
    jar = tmp_path / "cookies.txt"
    line = "127.0.0.1\tFALSE\t/\tFALSE\t4000000000\tsession\tmine\n"
    jar.write_text("# Netscape HTTP Cookie File\n" + line)
    before = jar.read_bytes()
    source(cookies=jar).look_up(site.file("/v.mp4", video))
    assert any("session=mine" in headers.get("Cookie", "") for headers in site.headers)
    assert jar.read_bytes() == before
    with pytest.raises(CrawlFailed, match="cannot be read"):
        source(cookies=tmp_path / "absent").look_up(f"{site.url}/v.mp4")


# ------------------------------------------------------------------------------- words


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("ERROR: [tiktok:user] anna: Unable to extract secondary user ID. If you are able to get"
         " the channel_id from a video posted by this user, try using ...", "blocked"),
        ("[tiktok:user] anna: This account does not have any videos posted", "no_videos"),
        ("[tiktok:user] This user's account is private. Log into an account that has access."
         " Use --cookies-from-browser or --cookies for the authentication", "private"),
        ("[TikTok] 7: You do not have permission to view this post. Log into an account that has"
         " access", "private"),
        ("[TikTok] 7: Your IP address is blocked from accessing this post", "blocked"),
        ("[TikTok] 7: Video not available, status code 10204; please report this issue on"
         " https://github.com/yt-dlp/yt-dlp/issues", "gone"),
        ("[youtube] x: Sign in to confirm you're not a bot", "blocked"),
        ("[youtube] x: The uploader has not made this video available in your country",
         "geo_blocked"),
        ("[youtube] x: Private video. Sign in if you've been granted access", "private"),
        ("[youtube] x: Requested format is not available. Use --list-formats", "not_supported"),
        ("Unable to download webpage: HTTP Error 429: Too Many Requests", "rate_limited"),
        ("Unable to download webpage: <urlopen error timed out>", "network"),
        ("\x1b[0;31mERROR:\x1b[0m Unsupported URL: http://x", "not_supported"),
        ("something that nobody has seen before", "not_supported"),
    ],
)  # fmt: skip
def test_what_sentences_mean(text: str, fault: str) -> None:
    found = fault_of(Exception(text))
    assert found.fault == fault
    assert "please report" not in str(found)
    assert found.remedy


def test_what_a_site_says_becomes_the_platform() -> None:
    info = {
        "id": "7000000000000000001", "extractor_key": "TikTok", "title": "Dance with @bert...",
        "description": "Dance with @bert.b today #fun #Tanz #fun", "timestamp": 1_790_000_000,
        "view_count": 5, "like_count": 4, "comment_count": 0, "repost_count": 2, "save_count": 1,
        "uploader": "anna", "uploader_id": "99", "channel": "Anna A.", "channel_id": "MS4",
        "channel_follower_count": 12, "track": "Song", "artists": ["X", "Y"], "album": "Z",
        "duration": 12.5, "thumbnail": "https://example.org/c.jpg",
        "webpage_url": "https://www.tiktok.com/@anna/video/7000000000000000001",
    }  # fmt: skip
    found = listed_of(info, taken_at=NOW)
    assert found is not None
    said = found.platform
    assert (said.name, said.caption) == ("tiktok", info["description"])
    assert (said.hashtags, said.mentions) == (("fun", "Tanz"), ("bert.b",))
    assert said.posted_at == datetime.fromtimestamp(1_790_000_000, UTC)
    assert said.counts is not None
    assert said.counts.model_dump() == {
        "plays": 5, "likes": 4, "comments": 0, "shares": 2, "saves": 1, "taken_at": NOW,
    }  # fmt: skip
    assert said.author is not None
    assert (said.author.username, said.author.id, said.author.followers) == ("anna", "MS4", 12)
    assert said.music is not None
    assert (said.music.title, said.music.author, said.music.album) == ("Song", "X, Y", "Z")
    assert said.duration_s == 12.5
    assert found.url == info["webpage_url"]


@pytest.mark.parametrize(
    "info",
    [
        None, [], "x", {}, {"id": ""}, {"id": "7"}, {"id": None, "url": "https://a.org/"},
        {"id": "7", "url": "file:///etc/passwd"},
        {"id": "7", "url": "https://a.org/", "is_live": True},
    ],
)  # fmt: skip
def test_what_is_no_video(info: object) -> None:
    assert listed_of(info, taken_at=NOW) is None


def test_hostile_words_are_stored_safely() -> None:
    odd = [float("nan"), float("inf"), -1, True, "x", [], {}, None, 10**30]
    keys = ["view_count", "duration", "timestamp", "title", "uploader", "artists", "track",
            "channel_follower_count", "upload_date", "thumbnail", "extractor_key"]  # fmt: skip
    for value in odd:
        info = {"id": "../7\x00", "url": "https://a.org/v", **dict.fromkeys(keys, value)}
        found = listed_of(info, taken_at=NOW)
        assert found is not None
        assert "\x00" not in found.video_id
    huge = listed_of(
        {"id": 7, "url": "https://a.org/v", "description": "\ud800x" * 10**6}, taken_at=NOW
    )
    assert huge is not None
    assert len(huge.platform.caption or "") <= 10_000
    huge.platform.model_dump_json()
