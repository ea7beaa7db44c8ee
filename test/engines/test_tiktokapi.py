"""The real TikTokApi in the real Chromium, against a TikTok on loopback."""

from __future__ import annotations

import itertools
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import cv2
import numpy as np
import pytest
from pydantic import SecretStr

from reelscope.crawl.creators import Creator
from reelscope.crawl.fetch import Fetcher
from reelscope.crawl.source import Listed
from reelscope.engines.browser import find_browser
from reelscope.engines.tiktokapi import TikTokApiSource
from reelscope.errors import CrawlFailed
from reelscope.media.info import read_info
from reelscope.settings import Crawl, TikTok
from reelscope.testing import media
from reelscope.testing.tiktok import ITEM_PATH, LIST_PATH, USER_PATH, FakeTikTok, serve
from reelscope.testing.tiktok_items import item, photo_item, subtitle_file

pytest.importorskip("TikTokApi")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]

TOKEN = "tok-SECRET-0123456789"
FIRST_ID = 7_300_000_000_000_000_000
FIRST_S = 1_700_000_000
DAY_S = 86_400
names = (f"creator{n}" for n in itertools.count())


@pytest.fixture(scope="module")
def browser() -> Path:
    setting = os.environ.get("TIKTOK_BROWSER")
    try:
        return find_browser(Path(setting) if setting else None)
    except CrawlFailed as error:
        pytest.skip(f"{error} ({error.remedy})")


@pytest.fixture(scope="module")
def site() -> Iterator[FakeTikTok]:
    with serve(FakeTikTok(tokens={TOKEN})) as site, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(site.certificate))
        yield site


@pytest.fixture(autouse=True)
def _well_behaved(site: FakeTikTok) -> None:
    site.faults.clear()
    site.always.clear()
    site.answers.clear()
    site.asked.clear()
    site.queries.clear()
    site.retry_after_s = None


Make = Callable[..., TikTokApiSource]


@pytest.fixture(scope="module")
def make(site: FakeTikTok, browser: Path) -> Iterator[Make]:
    """Sources, closed in the end."""
    made: list[TikTokApiSource] = []

    def one(*, attempts: int = 2, **changes: Any) -> TikTokApiSource:
        settings: dict[str, Any] = {
            "ms_token": SecretStr(TOKEN),
            "browser": browser,
            "browser_arguments": site.browser_arguments,
            "timeout_s": 20,
            **changes,
        }
        crawl = Crawl(pause_s=0, pause_spread_s=0, attempts=attempts, max_wait_s=5)
        proxied = crawl.model_copy(update={"proxy": SecretStr(site.proxy_url)})
        made.append(TikTokApiSource(TikTok(**settings), crawl, fetcher=Fetcher(proxied)))
        return made[-1]

    yield one
    for source in made:
        source.close()


@pytest.fixture(scope="module")
def source(make: Make, site: FakeTikTok) -> TikTokApiSource:
    """One that all tests share: it goes on after every kind of failure."""
    site.always.clear()
    source = make()
    source.open()
    return source


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    media.write_video(path, [media.Scene(0.5)])
    return path.read_bytes()


def posts(count: int, *, first_s: int = FIRST_S) -> list[dict[str, Any]]:
    """Newest first, one a day."""
    return [item(str(FIRST_ID - n), created_s=first_s - n * DAY_S) for n in range(count)]


def listed(
    source: TikTokApiSource,
    creator: str,
    *,
    since: datetime | None = None,
    limit: int | None = None,
) -> list[Listed]:
    return list(source.list_videos(Creator(creator), since=since, limit=limit))


def failure(source: TikTokApiSource, creator: str) -> CrawlFailed:
    with pytest.raises(CrawlFailed) as error:
        listed(source, creator)
    assert error.value.remedy
    assert TOKEN not in f"{error.value} {error.value.remedy}"
    return error.value


def ids(videos: list[Listed]) -> list[int]:
    return [FIRST_ID - int(video.video_id) for video in videos]


def descendants() -> dict[int, str]:
    """Pid -> command line of all processes that this one has started, and theirs."""
    parents: dict[int, int] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
        except OSError:
            continue
        state, parent = text.rpartition(")")[2].split()[:2]
        if state != "Z":
            parents[int(stat.parent.name)] = int(parent)
    found = {os.getpid()}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    lines: dict[int, str] = {}
    for pid in found - {os.getpid()}:
        try:
            lines[pid] = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue
    return lines


def wait_until_gone(before: set[int]) -> dict[int, str]:
    """What is left after a moment."""
    until = time.monotonic() + 10
    while (left := {p: c for p, c in descendants().items() if p not in before}) and (
        time.monotonic() < until
    ):
        time.sleep(0.1)
    return left


# ------------------------------------------------------------------------------ listing


def test_three_pages_are_listed_once_each(site: FakeTikTok, source: TikTokApiSource) -> None:
    name = next(names)
    site.add_creator(name, posts(105))
    videos = listed(source, name)
    assert ids(videos) == list(range(105))
    assert site.counts()[LIST_PATH] == 3
    assert site.counts()[USER_PATH] == 1
    assert [q["cursor"] for q in site.queries[LIST_PATH]] == ["0", "35", "70"]
    first = videos[0]
    assert first.platform.posted_at == datetime.fromtimestamp(FIRST_S, UTC)
    assert first.platform.counts is not None
    assert first.platform.counts.plays == 12_345
    assert first.platform.counts.taken_at is not None
    assert first.media_urls


def test_a_limit_asks_for_no_more_pages_than_needed(
    site: FakeTikTok, source: TikTokApiSource
) -> None:
    name = next(names)
    site.add_creator(name, posts(105))
    assert ids(listed(source, name, limit=35)) == list(range(35))
    assert site.counts()[LIST_PATH] == 1
    assert ids(listed(source, name, limit=36)) == list(range(36))


def test_since_ends_the_paging_but_pinned_posts_do_not(
    site: FakeTikTok, source: TikTokApiSource
) -> None:
    name = next(names)
    pinned = item(str(FIRST_ID - 500), created_s=FIRST_S - 500 * DAY_S, isPinnedItem=True)
    site.add_creator(name, [pinned, *posts(105)])
    since = datetime.fromtimestamp(FIRST_S - 40 * DAY_S, UTC)
    assert ids(listed(source, name, since=since)) == list(range(41))
    assert site.counts()[LIST_PATH] == 2


def test_a_list_without_anything_recent_is_no_failure(
    site: FakeTikTok, source: TikTokApiSource
) -> None:
    name = next(names)
    site.add_creator(name, posts(3))
    assert listed(source, name, since=datetime(2030, 1, 1, tzinfo=UTC)) == []


def test_a_photo_post_is_fetched_as_one_file(
    site: FakeTikTok, source: TikTokApiSource, tmp_path: Path
) -> None:
    name = next(names)
    post = photo_item(f"{FIRST_ID + 77}", pictures=4)
    site.add_creator(name, [post])
    (video,) = listed(source, name)
    assert video.platform.kind == "photo"
    assert len(video.image_urls) == 4
    assert video.sound_url
    for number, url in enumerate(video.image_urls):
        site.media[urlsplit(url).path] = a_picture(60 * number)
    media.write_sound(tmp_path / "s.mp3", media.Sound(media.tone(6.0)))
    sound = urlsplit(video.sound_url).path
    site.media[sound] = (tmp_path / "s.mp3").read_bytes()
    last = urlsplit(video.image_urls[-1]).path
    site.always[last] = "503"
    with pytest.raises(CrawlFailed) as error:
        source.download(video, tmp_path / "v" / "7300")
    assert error.value.fault == "network"
    assert [p.name for p in (tmp_path / "v").iterdir()] == [".7300.pictures"]
    site.always.clear()
    site.faults[last] = ["403"]  # expired by now
    file = source.download(video, tmp_path / "v" / "7300")
    assert [p.name for p in file.parent.iterdir()] == ["7300.mkv"]
    info = read_info(file)
    assert info.has_video
    assert info.duration_s == pytest.approx(6.0, abs=0.2)
    asked = site.media_asked()
    assert [asked[urlsplit(url).path] for url in video.image_urls[:-1]] == [1, 1, 1]
    assert asked[sound] == 1
    assert site.counts()[ITEM_PATH] == 1


def a_picture(shade: int) -> bytes:
    _, data = cv2.imencode(".jpg", np.full((64, 48, 3), shade, np.uint8))
    return data.tobytes()


def test_hostile_posts_cost_themselves_alone(site: FakeTikTok, source: TikTokApiSource) -> None:
    name = next(names)
    bad: list[Any] = [None, [], "x", {}, {"id": "../../etc"}, {"id": None, "createTime": "soon"}]
    odd = {"id": FIRST_ID, "createTime": None, "author": 7, "music": [], "stats": "many"}
    site.add_creator(name, [*bad, odd, *posts(2)[1:], odd])
    assert ids(listed(source, name)) == [0, 1]


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        (USER_PATH, []),
        (USER_PATH, {"userInfo": [], "statusCode": "x"}),
        (USER_PATH, {"userInfo": {"user": {"secUid": 7}, "stats": None}}),
        (LIST_PATH, {"itemList": None, "hasMore": True, "cursor": None}),
        (LIST_PATH, {"itemList": {}, "hasMore": "yes", "cursor": {"a": 1}}),
    ],
)
def test_answers_that_make_no_sense_are_failures_of_a_kind(
    site: FakeTikTok, source: TikTokApiSource, path: str, answer: object
) -> None:
    name = next(names)
    site.add_creator(name, posts(1))
    site.answers[path] = answer
    assert failure(source, name).fault in ("blocked", "gone", "network")
    assert site.counts()[path] <= 8


# ------------------------------------------------------------------- kinds of failure


def test_accounts_without_videos_are_told_apart(site: FakeTikTok, source: TikTokApiSource) -> None:
    private, deleted, empty = next(names), next(names), next(names)
    site.add_creator(private, posts(3), kind="private")
    site.add_creator(deleted, kind="deleted")
    site.add_creator(empty)
    assert failure(source, private).fault == "private"
    assert failure(source, deleted).fault == "gone"
    assert failure(source, "nobody.ever").fault == "gone"
    assert failure(source, empty).fault == "no_videos"


@pytest.mark.parametrize(
    ("code", "kind"),
    [(10114, "blocked"), (10101, "network"), (10231, "geo_blocked"), (10216, "private"),
     (10204, "gone")],
)  # fmt: skip
def test_tiktoks_own_numbers_of_failures(
    site: FakeTikTok,
    source: TikTokApiSource,
    film: bytes,
    tmp_path: Path,
    code: int,
    kind: str,
) -> None:
    video, path = a_video(site, source, film)
    site.always[path] = "403"
    site.answers[ITEM_PATH] = {"statusCode": code}
    with pytest.raises(CrawlFailed) as error:
        source.download(video, tmp_path / "1")
    assert error.value.fault == kind


@pytest.mark.parametrize("fault", ["empty", "captcha", "verify", "403"])
def test_shut_out_once_a_new_page_may_be_let_in(
    site: FakeTikTok, source: TikTokApiSource, fault: str
) -> None:
    name = next(names)
    site.add_creator(name, posts(2))
    site.faults[LIST_PATH] = [fault]
    assert ids(listed(source, name)) == [0, 1]


def test_shut_out_for_good_is_blocked(site: FakeTikTok, source: TikTokApiSource) -> None:
    name = next(names)
    site.add_creator(name, posts(2))
    site.always[LIST_PATH] = "empty"
    fault = failure(source, name)
    assert fault.fault == "blocked"
    assert "msToken" in fault.remedy
    assert site.counts()[LIST_PATH] == 2


def test_what_was_listed_before_a_failure_is_given(
    site: FakeTikTok, source: TikTokApiSource
) -> None:
    name = next(names)
    site.add_creator(name, posts(105))
    site.faults[LIST_PATH] = ["ok", "ok", "empty", "empty"]
    given: list[Listed] = []
    with pytest.raises(CrawlFailed):
        for video in source.list_videos(Creator(name), since=None, limit=None):
            given.append(video)
    assert ids(given) == list(range(70))


def test_a_list_that_is_empty_against_expectation_is_blocked(
    site: FakeTikTok, source: TikTokApiSource
) -> None:
    name = next(names)
    site.add_creator(name, posts(2))
    site.answers[LIST_PATH] = {"statusCode": 0, "hasMore": False}
    fault = failure(source, name)
    assert fault.fault == "blocked"
    assert "2 videos" in str(fault)


def test_too_many_requests_are_waited_for_as_long_as_asked(
    site: FakeTikTok, source: TikTokApiSource
) -> None:
    name = next(names)
    site.add_creator(name, posts(2))
    site.faults[LIST_PATH] = ["429"]
    site.retry_after_s = 2
    started = time.monotonic()
    assert len(listed(source, name)) == 2
    assert time.monotonic() - started >= 2
    site.retry_after_s = 1000  # longer than max_wait_s
    site.always[LIST_PATH] = "429"
    site.asked.clear()
    started = time.monotonic()
    assert failure(source, name).fault == "rate_limited"
    assert time.monotonic() - started < 10
    assert site.counts()[LIST_PATH] == 1


def test_too_many_requests_for_good(site: FakeTikTok, source: TikTokApiSource) -> None:
    name = next(names)
    site.add_creator(name, posts(2))
    site.always[USER_PATH] = "429"
    assert failure(source, name).fault == "rate_limited"
    assert site.counts()[USER_PATH] == 2


@pytest.mark.parametrize("fault", ["503", "drop"])
def test_a_server_in_trouble_is_asked_again(
    site: FakeTikTok, source: TikTokApiSource, fault: str
) -> None:
    name = next(names)
    site.add_creator(name, posts(2))
    site.faults[USER_PATH] = [fault, "ok"] if fault == "503" else [fault] * 2
    assert len(listed(source, name)) == 2


def test_a_server_in_trouble_for_good_is_a_network_failure(site: FakeTikTok, make: Make) -> None:
    name = next(names)
    site.add_creator(name, posts(2))
    source = make(recoveries=1)
    site.always[USER_PATH] = "503"
    assert failure(source, name).fault == "network"
    site.always[USER_PATH] = "drop"
    assert failure(source, name).fault == "network"
    source.close()


def test_a_captcha_instead_of_the_page(site: FakeTikTok, make: Make) -> None:
    source = make()
    before = set(descendants())
    site.always["/"] = "captcha"
    with pytest.raises(CrawlFailed, match="captcha") as error:
        source.open()
    assert error.value.fault == "blocked"
    assert not wait_until_gone(before)


@pytest.mark.parametrize(("fault", "kind"), [("429", "rate_limited"), ("503", "network")])
def test_a_page_that_does_not_come(site: FakeTikTok, make: Make, fault: str, kind: str) -> None:
    source = make(attempts=1, timeout_s=5)
    site.always["/"] = fault
    with pytest.raises(CrawlFailed) as error:
        source.open()
    assert error.value.fault == kind


def test_a_page_without_its_scripts(site: FakeTikTok, make: Make) -> None:
    source = make(timeout_s=5)
    site.always["/"] = "html"
    with pytest.raises(CrawlFailed, match="scripts") as error:
        source.open()
    assert error.value.fault == "blocked"


def test_no_page_at_all(site: FakeTikTok, make: Make) -> None:
    rules = "--host-resolver-rules=MAP * ~NOTFOUND"
    source = make(browser_arguments=(rules,), attempts=1)
    before = set(descendants())
    with pytest.raises(CrawlFailed, match="ERR_NAME_NOT_RESOLVED") as error:
        source.open()
    assert error.value.fault == "network"
    assert not wait_until_gone(before)


def test_no_token(make: Make) -> None:
    for token in (None, SecretStr(" ")):
        with pytest.raises(CrawlFailed) as error:
            make(ms_token=token).open()
        assert error.value.fault == "no_token"
        assert "TIKTOK_MS_TOKEN" in error.value.remedy


def test_an_old_token_is_blocked(site: FakeTikTok, make: Make) -> None:
    name = next(names)
    site.add_creator(name, posts(2))
    source = make(ms_token=SecretStr("old"))
    assert failure(source, name).fault == "blocked"
    source.close()


def test_a_program_that_is_no_browser(make: Make) -> None:
    with pytest.raises(CrawlFailed) as error:
        make(browser=Path("/bin/false")).open()
    assert error.value.fault == "no_browser"


# ---------------------------------------------------------------------------- browsers


def test_a_browser_that_dies_is_started_again(site: FakeTikTok, make: Make) -> None:
    name = next(names)
    site.add_creator(name, posts(80))
    source = make()
    before = set(descendants())
    videos = source.list_videos(Creator(name), since=None, limit=None)
    given = [next(videos)]
    for pid, line in descendants().items():
        if pid not in before and "--headless" in line:
            os.kill(pid, signal.SIGKILL)
    given += videos
    assert ids(given) == list(range(80))
    source.close()
    assert not wait_until_gone(before)


def test_a_browser_that_dies_is_not_started_for_ever(site: FakeTikTok, make: Make) -> None:
    name = next(names)
    site.add_creator(name, posts(80))
    source = make(recoveries=0)
    before = set(descendants())
    videos = source.list_videos(Creator(name), since=None, limit=None)
    next(videos)
    for pid, line in descendants().items():
        if pid not in before and "--headless" in line:
            os.kill(pid, signal.SIGKILL)
    with pytest.raises(CrawlFailed) as error:
        list(videos)
    assert error.value.fault == "network"
    assert not wait_until_gone(before)


def test_the_token_stands_in_no_log_and_no_process_and_nothing_is_left(
    site: FakeTikTok,
    make: Make,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    name = next(names)
    site.add_creator(name, posts(40))
    source = make(sessions=2)
    before, threads = set(descendants()), threading.active_count()
    source.open()
    assert len(listed(source, name)) == 40
    ours = {pid: line for pid, line in descendants().items() if pid not in before}
    assert any("--headless" in line for line in ours.values())
    assert not any(TOKEN in line for line in ours.values())
    site.faults[LIST_PATH] = ["empty", "drop", "captcha", "html"]
    failure(source, name)
    site.always[USER_PATH] = "drop"
    failure(source, name)
    source.close()
    source.close()
    assert not wait_until_gone(before)
    until = time.monotonic() + 10  # the stand-in's own threads end with their connections
    while threading.active_count() > threads and time.monotonic() < until:
        time.sleep(0.1)
    assert threading.active_count() <= threads
    assert TOKEN not in caplog.text
    assert TOKEN not in repr(source.__dict__)
    said = capfd.readouterr()
    assert TOKEN not in said.out + said.err


def test_kill_9_leaves_no_browser(site: FakeTikTok, browser: Path) -> None:
    program = (
        "import sys; from pydantic import SecretStr\n"
        "from reelscope.engines.tiktokapi import TikTokApiSource\n"
        "from reelscope.settings import Crawl, TikTok\n"
        "TikTokApiSource(TikTok(ms_token=SecretStr('x'), browser=sys.argv[1],"
        " browser_arguments=tuple(sys.argv[2:])), Crawl()).open()\n"
        "print('open', flush=True); input()\n"
    )
    command = [sys.executable, "-c", program, str(browser), *site.browser_arguments]
    pipe, before = subprocess.PIPE, set(descendants())
    with subprocess.Popen(command, stdout=pipe, stdin=pipe, text=True) as child:
        assert child.stdout
        assert child.stdout.readline() == "open\n"
        started = {pid: line for pid, line in descendants().items() if pid not in before}
        assert any("--headless" in line for line in started.values())
        child.kill()
    until = time.monotonic() + 20
    while (left := [p for p in started if is_running(p)]) and time.monotonic() < until:
        time.sleep(0.1)
    assert not left


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("whose", ["tiktok", "crawl"])
def test_everything_through_a_proxy(
    site: FakeTikTok, browser: Path, film: bytes, tmp_path: Path, whose: str
) -> None:
    name = next(names)
    url = "https://v16-webapp-prime.tiktok.com/proxied.mp4"
    site.add_creator(name, [item(str(FIRST_ID), media_url=url)])
    site.media["/proxied.mp4"] = film
    proxy = SecretStr(site.proxy_url.replace("//", "//me:pass-word@"))
    settings = TikTok(
        ms_token=SecretStr(TOKEN),
        browser=browser,
        proxies=(proxy,) if whose == "tiktok" else (),
        browser_arguments=("--ignore-certificate-errors",),
    )
    source = TikTokApiSource(settings, Crawl(pause_s=0, proxy=proxy if whose == "crawl" else None))
    try:
        (video,) = listed(source, name)
        assert not any("pass-word" in line for line in descendants().values())
        assert source.download(video, tmp_path / "1").read_bytes() == film
    finally:
        source.close()


# --------------------------------------------------------------------------- downloads


def a_video(site: FakeTikTok, source: TikTokApiSource, film: bytes) -> tuple[Listed, str]:
    """A video on the site, and the path of its file."""
    name = next(names)
    path = f"/{name}/video/file.mp4"
    url = f"https://v16-webapp-prime.tiktok.com{path}?expire=1&signature=abc"
    number = str(FIRST_ID + int(name.removeprefix("creator")) + 1)
    site.add_creator(name, [item(number, media_url=url)])
    site.media[path] = film
    (video,) = listed(source, name)
    site.asked.clear()
    return video, path


def test_a_file_comes_whole_with_the_pages_cookies(
    site: FakeTikTok, source: TikTokApiSource, film: bytes, tmp_path: Path
) -> None:
    video, path = a_video(site, source, film)
    file = source.download(video, tmp_path / "a" / "7300")
    assert file == tmp_path / "a" / "7300.mp4"
    assert file.read_bytes() == film
    assert [p.name for p in file.parent.iterdir()] == ["7300.mp4"]
    assert site.media_asked() == {path: 1}
    assert "ttwid=" in site.cookies[path][-1]
    assert TOKEN not in site.cookies[path][-1]  # it belongs to www.tiktok.com alone


def test_subtitles_come_once_and_within_limits(
    site: FakeTikTok, source: TikTokApiSource, film: bytes
) -> None:
    video, _ = a_video(site, source, film)
    path = f"/captions/{video.video_id}.vtt"
    site.media[path] = subtitle_file("Guten Morgen", "<i>Brot</i> &amp; Salz").encode()
    assert source.subtitles(video) == ("Guten Morgen", "Brot & Salz")
    assert "ttwid=" in site.cookies[path][-1]
    assert source.subtitles(replace(video, subtitle_urls=())) == ()
    site.media[path] = b"\x00\xff no subtitles"
    assert source.subtitles(video) == ()
    site.asked.clear()
    for broken, kind in (("503", "network"), ("403", "blocked"), ("429", "rate_limited")):
        site.faults[path] = [broken]
        with pytest.raises(CrawlFailed) as error:
            source.subtitles(video)
        assert error.value.fault == kind
    site.media[path] = subtitle_file("a").encode() + b" " * 1_000_000
    with pytest.raises(CrawlFailed):
        source.subtitles(video)
    assert site.asked == [path] * 4, "each asked for once, and no other"


def test_a_cut_file_is_gone_on_with(
    site: FakeTikTok, source: TikTokApiSource, film: bytes, tmp_path: Path
) -> None:
    video, path = a_video(site, source, film)
    site.faults[path] = ["cut"]
    assert source.download(video, tmp_path / "7300").read_bytes() == film
    assert site.media_asked() == {path: 2}


def test_a_file_that_is_always_cut_is_a_failure(
    site: FakeTikTok, source: TikTokApiSource, film: bytes, tmp_path: Path
) -> None:
    video, path = a_video(site, source, film)
    site.always[path] = "cut"
    with pytest.raises(CrawlFailed) as error:
        source.download(video, tmp_path / "7300")
    assert error.value.fault == "network"
    assert not list(tmp_path.glob("*.mp4"))


def test_an_expired_address_is_asked_for_anew_once(
    site: FakeTikTok, source: TikTokApiSource, film: bytes, tmp_path: Path
) -> None:
    video, path = a_video(site, source, film)
    site.faults[path] = ["403"]
    assert source.download(video, tmp_path / "7300").read_bytes() == film
    assert site.counts()[ITEM_PATH] == 1
    site.always[path] = "403"
    site.asked.clear()
    with pytest.raises(CrawlFailed) as error:
        source.download(video, tmp_path / "7301")
    assert error.value.fault == "blocked"
    assert site.counts()[ITEM_PATH] == 1
    assert site.media_asked() == {path: 2}


def test_a_video_that_was_deleted_after_it_was_listed(
    site: FakeTikTok, source: TikTokApiSource, film: bytes, tmp_path: Path
) -> None:
    video, path = a_video(site, source, film)
    list(site.creators.values())[-1].items.clear()
    site.always[path] = "404"
    with pytest.raises(CrawlFailed) as error:
        source.download(video, tmp_path / "7300")
    assert error.value.fault == "gone"


def test_a_list_from_an_earlier_run_needs_no_page_until_a_file_is_fetched(
    site: FakeTikTok, make: Make, source: TikTokApiSource, film: bytes, tmp_path: Path
) -> None:
    video, path = a_video(site, source, film)
    later = make()
    later.open()
    bare = Listed(video_id=video.video_id, platform=video.platform)
    assert later.download(bare, tmp_path / "7300").read_bytes() == film
    assert site.media_asked() == {path: 1}
    later.close()
