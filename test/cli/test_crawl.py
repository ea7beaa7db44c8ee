"""The crawl as a user calls it: the real TikTokApi and Chromium, a TikTok on loopback."""

from __future__ import annotations

import csv
import itertools
import json
import os
import shlex
import signal
import struct
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from reelscope.engines.browser import find_browser
from reelscope.errors import CrawlFailed
from reelscope.media.info import read_info
from reelscope.testing import media
from reelscope.testing.sounds import tone
from reelscope.testing.tiktok import LIST_PATH, FakeTikTok, serve
from reelscope.testing.tiktok_items import Item, item, photo_item

pytest.importorskip("TikTokApi")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

TOKEN = "tok-SECRET-0123456789"
FIRST_ID = 7_300_000_000_000_000_000
FIRST_S = 1_700_000_000  # 2023-11-14, 22:13:20 UTC
DAY_S = 86_400
MANY = 70


@pytest.fixture(scope="module")
def browser() -> Path:
    setting = os.environ.get("TIKTOK_BROWSER")
    try:
        return find_browser(Path(setting) if setting else None)
    except CrawlFailed as error:
        pytest.skip(f"{error} ({error.remedy})")


@pytest.fixture
def site(browser: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeTikTok]:
    monkeypatch.delenv("TIKTOK_MS_TOKEN", raising=False)
    with serve(FakeTikTok(tokens={TOKEN})) as site:
        yield site


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    media.write_video(path, [media.Scene(0.5)], size=(64, 96), sound=tone(0.5))
    return path.read_bytes()


class Stage:
    """Puts accounts on the site; no two of their films are the same file."""

    def __init__(self, site: FakeTikTok, film: bytes) -> None:
        self.site = site
        self._film = film
        self._numbers = itertools.count()

    def creator(self, username: str, count: int) -> list[Item]:
        """One post a day, the newest first."""
        posts = [self._post(username, n) for n in range(count)]
        return self.site.add_creator(username, posts).items

    def photo(self, username: str) -> Item:
        post = photo_item(self._id(), pictures=2, username=username, createTime=FIRST_S)
        post["author"]["uniqueId"] = username
        for image in post["imagePost"]["images"]:
            picture = np.full((96, 54, 3), next(self._numbers) % 255, np.uint8)
            data = cv2.imencode(".jpg", picture)[1].tobytes()
            self.site.media[path_of(image["imageURL"]["urlList"][0])] = data
        self.site.media[path_of(post["music"]["playUrl"])] = self._bytes()
        return post

    def _post(self, username: str, day: int) -> Item:
        post = item(self._id(), username=username, created_s=FIRST_S - day * DAY_S)
        self.site.media[media_path(post)] = self._bytes()
        return post

    def _id(self) -> str:
        return str(FIRST_ID + next(self._numbers))

    def _bytes(self) -> bytes:
        """The film with a box that players leave out (ISO/IEC 14496-12, `free`)."""
        return self._film + struct.pack(">I4sQ", 16, b"free", next(self._numbers))


@pytest.fixture
def stage(site: FakeTikTok, film: bytes) -> Stage:
    return Stage(site, film)


def path_of(url: str) -> str:
    return "/" + url.split("/", 3)[3].partition("?")[0]


def media_path(post: Item) -> str:
    return path_of(post["video"]["playAddr"])


def environ(site: FakeTikTok, *, token: str = TOKEN, **more: str) -> dict[str, str]:
    return {
        "TIKTOK_MS_TOKEN": token,
        "SSL_CERT_FILE": str(site.certificate),
        "REELSCOPE_TIKTOK__BROWSER_ARGUMENTS": shlex.join(site.browser_arguments),
        "REELSCOPE_CRAWL__PROXY": site.proxy_url,
        "REELSCOPE_CRAWL__PAUSE_S": "0.02",
        "REELSCOPE_CRAWL__PAUSE_SPREAD_S": "0.02",
        **more,
    }


def creators(workplace: Any, *lines: str, header: str = "username") -> Path:
    table: Path = workplace.root / "who.csv"
    table.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return table


def folder_of(workplace: Any, creator: str) -> Path:
    folder: Path = workplace.data / "tiktok_videos" / creator
    return folder


def films(folder: Path) -> list[Path]:
    """All that has a final name."""
    return sorted(p for p in folder.glob("[!.]*") if p.suffix not in (".json", ".part"))


def records(workplace: Any) -> list[Path]:
    return list((workplace.data / "analysis_results").glob("*/*/record.json"))


def rows(workplace: Any) -> list[dict[str, str]]:
    path = workplace.data / "results" / "who" / "video_features_results.csv"
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


def command_lines() -> dict[int, bytes]:
    """Of every process on this machine, as anybody on it can see them."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found[int(path.parent.name)] = path.read_bytes()
        except OSError:  # it has ended
            continue
    return found


def browsers(site: FakeTikTok) -> list[int]:
    """Those that were led to this site."""
    mark = f"127.0.0.1:{site.port}".encode()
    return [pid for pid, line in command_lines().items() if b"--host-resolver-rules" in line
            and mark in line]  # fmt: skip


def wait_for(what: Callable[[], object], run: subprocess.Popen[str], *, most_s: float = 60) -> None:
    until = time.monotonic() + most_s
    while not what():
        assert run.poll() is None, f"it ended too early: {run.communicate()}"
        assert time.monotonic() < until, "it never came to that"
        time.sleep(0.01)


def wait_for_no_browser(site: FakeTikTok) -> None:
    until = time.monotonic() + 20
    while browsers(site):
        assert time.monotonic() < until, f"Chromium is left: {browsers(site)}"
        time.sleep(0.1)


def kill(run: subprocess.Popen[str], site: FakeTikTok) -> None:
    run.kill()
    run.communicate()
    wait_for_no_browser(site)


@contextmanager
def watching_for(secret: str) -> Iterator[list[int]]:
    """Collects the processes that show it."""
    seen: list[int] = []
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.05):
            seen.extend(pid for pid, line in command_lines().items() if secret.encode() in line)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


def holds(root: Path, secret: str) -> list[Path]:
    return [p for p in root.rglob("*") if p.is_file() and secret.encode() in p.read_bytes()]


# ------------------------------------------------------------------------ killed on the way


def test_killed_on_the_way_every_video_comes_once(workplace: Any, stage: Stage) -> None:
    site = stage.site
    site.add_creator("private.pia", kind="private")
    site.add_creator("empty.eva")
    busy = stage.creator("busy.bob", 2)
    photo = stage.creator("photo.fee", 1)
    photo.append(stage.photo("photo.fee"))
    many = stage.creator("many.mo", MANY)
    names = ("private.pia", "empty.eva", "busy.bob", "photo.fee", "many.mo")
    call = ("--csv", creators(workplace, *names), "--source", "tiktok", "--only", "probe")
    env = environ(site)

    # The list: one creator is told to wait, and the second page of the last one hangs.
    site.faults[LIST_PATH] = ["429", "ok", "ok", "ok", "slow"]
    site.retry_after_s = 1
    with watching_for(TOKEN) as shown:
        run = workplace.start(*call, **env)
        wait_for(lambda: site.asked.count(LIST_PATH) == 5, run)
        kill(run, site)
    assert not shown, "the token was in the process list"
    assert not films(folder_of(workplace, "many.mo"))

    # The files: half of one is here.
    half = media_path(many[30])
    site.faults[half] = ["cut"]
    part = folder_of(workplace, "many.mo") / f"{many[30]['id']}.part"
    run = workplace.start(*call, **env)
    wait_for(lambda: part.exists() and part.stat().st_size > 0, run)
    kill(run, site)
    assert site.sent_bytes[half] == len(site.media[half]) // 2
    listed = site.asked.count(LIST_PATH)

    # The analysis: under way while files still come.
    before = len(records(workplace))
    run = workplace.start(*call, **env)
    wait_for(lambda: len(records(workplace)) >= before + 10, run)
    kill(run, site)
    assert len(records(workplace)) < MANY + 4, "killed before it was done, or this shows nothing"
    assert len(site.media_asked()) < len(site.media)

    done = workplace.call(*call, **env)
    assert done.returncode == 0, done.stderr
    assert site.asked.count(LIST_PATH) == listed, "the list was there already"
    wait_for_no_browser(site)
    whole(workplace, site, [*busy, *photo, *many], cut=half)

    summary = workplace.summary("who")
    assert summary["crawl"]["failures"] == {"no_videos": 1, "private": 1}
    assert summary["crawl"]["creators"] == len(names)
    assert summary["crawl"]["listed"] == MANY + 4
    assert summary["crawl"]["fetched"] + summary["crawl"]["earlier"] == MANY + 4
    problems = {problem["where"]: problem["message"] for problem in summary["problems"]}
    assert "(private)" in problems["private.pia"]
    assert "(no_videos)" in problems["empty.eva"]
    assert all(" -> " in message for message in problems.values())

    said = [p.read_bytes() for p in sorted(folder_of(workplace, "many.mo").glob("*.json"))]
    again = workplace.call(*call, **env)
    assert again.returncode == 0, again.stderr
    assert site.asked.count(LIST_PATH) == listed
    whole(workplace, site, [*busy, *photo, *many], cut=half)
    assert workplace.summary("who")["crawl"]["fetched"] == 0
    assert f"0 fetched, {MANY + 4} here already" in again.stdout
    assert said == [p.read_bytes() for p in sorted(folder_of(workplace, "many.mo").glob("*.json"))]
    wait_for_no_browser(site)
    assert not holds(workplace.root, TOKEN)


def whole(workplace: Any, site: FakeTikTok, posts: list[Item], *, cut: str) -> None:
    """Every post is here, in the table and in the records, and was sent once."""
    ids = sorted(post["id"] for post in posts)
    assert sorted(row["video_id"] for row in rows(workplace)) == ids
    assert sorted(path.parent.name for path in records(workplace)) == ids
    for path in records(workplace):
        record = json.loads(path.read_text(encoding="utf-8"))
        assert record["stages"]["probe"]["status"] == "ok"
        assert record["source"]["platform"]["caption"]
    kinds = Counter(json.loads(p.read_text())["source"]["platform"]["kind"]
                    for p in records(workplace))  # fmt: skip
    assert kinds == {"video": len(posts) - 1, "photo": 1}
    for post in posts:
        [path] = [
            path
            for path in films(folder_of(workplace, post["author"]["uniqueId"]))
            if path.stem == post["id"]
        ]
        if "imagePost" in post:
            assert read_info(path).has_video
        else:
            assert path.read_bytes() == site.media[media_path(post)]
    assert not list(workplace.data.rglob("*.part*"))
    assert not list(workplace.data.rglob("*.reelscope-tmp"))
    asked = site.media_asked()
    assert asked.pop(cut) == 2, "cut, then gone on with"
    twice = {path: times for path, times in asked.items() if times != 1}
    assert len(twice) <= 2, "at most what was under way at a kill"
    assert all(times == 2 for times in twice.values())
    assert site.sent_bytes[cut] == len(site.media[cut]), "no byte of it came twice"


# --------------------------------------------------------------------- only the crawl


def test_crawl_stops_before_the_analysis_and_ctrl_c_is_gone_on_from(
    workplace: Any, stage: Stage
) -> None:
    site = stage.site
    posts = stage.creator("busy.bob", 12)
    table = creators(workplace, "busy.bob", "no.body")
    call = ("crawl", "--csv", table, "--source", "tiktok")
    slowly = environ(site, REELSCOPE_CRAWL__PAUSE_S="0.3")
    run = workplace.start(*call, **slowly)
    wait_for(lambda: len(films(folder_of(workplace, "busy.bob"))) >= 2, run)
    run.send_signal(signal.SIGINT)
    out, err = run.communicate(timeout=60)
    assert run.returncode == 130, (out, err)
    assert "fetched" in out
    assert 2 <= len(films(folder_of(workplace, "busy.bob"))) < 12
    wait_for_no_browser(site)

    done = workplace.call(*call, **environ(site))
    assert done.returncode == 0, done.stderr
    assert len(films(folder_of(workplace, "busy.bob"))) == 12
    assert set(site.media_asked().values()) == {1}
    assert "1 x gone" in done.stdout
    assert "no.body" in done.stdout
    assert not records(workplace), "nothing was analysed"
    assert not (workplace.data / "results").exists()

    asked = len(site.asked)
    analysed = workplace.call("--csv", table, "--source", "folder", "--only", "probe")
    assert analysed.returncode == 0, analysed.stderr
    assert len(site.asked) == asked
    assert {row["video_id"] for row in rows(workplace)} == {post["id"] for post in posts}
    assert {row["status"] for row in rows(workplace) if "status" in row} <= {"ok"}

    nobody = workplace.call(
        "crawl", "--csv", creators(workplace, "no.body"), "--source", "tiktok", **environ(site)
    )
    assert nobody.returncode == 1, "nothing came"
    assert "(gone)" in nobody.stdout


@pytest.mark.parametrize(("to_all", "early"), [(False, False), (True, False), (True, True)])
def test_ctrl_c_during_the_main_job(
    workplace: Any, stage: Stage, *, to_all: bool, early: bool
) -> None:
    """`to_all`: as a terminal does it, to every process of the call; `early`: no list yet."""
    site = stage.site
    stage.creator("busy.bob", 12)
    call = ("--csv", creators(workplace, "busy.bob"), "--source", "tiktok", "--only", "probe")
    run = subprocess.Popen(
        workplace.command(*call),
        cwd=workplace.root,
        env=workplace.environ(environ(site, REELSCOPE_CRAWL__PAUSE_S="0.3")),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    if early:
        wait_for(lambda: browsers(site), run)
    else:
        wait_for(lambda: len(records(workplace)) >= 2, run)
    if to_all:
        os.killpg(run.pid, signal.SIGINT)
    else:
        run.send_signal(signal.SIGINT)
    out, err = run.communicate(timeout=60)
    assert run.returncode == 130, (out, err)
    assert "The same call goes on from here" in out
    assert workplace.summary("who")["crawl"]["failures"] == {}, "nothing failed by itself"
    assert "Traceback" not in out + err
    assert (0 if early else 2) <= len(records(workplace)) < 12
    wait_for_no_browser(site)
    done = workplace.call(*call, **environ(site))
    assert done.returncode == 0, done.stderr
    assert len(rows(workplace)) == 12
    assert set(site.media_asked().values()) == {1}


def test_auto_goes_on_with_what_it_began(workplace: Any, stage: Stage) -> None:
    """A folder that a crawl fills is not taken for one that somebody has filled."""
    site = stage.site
    stage.creator("busy.bob", 3)
    table = creators(workplace, "busy.bob", "mira.bakes")
    call = ("crawl", "--csv", table)
    first = workplace.call(*call, "--limit-per-creator", "2", **environ(site))
    assert first.returncode == 0, first.stderr
    assert len(films(folder_of(workplace, "busy.bob"))) == 2
    second = workplace.call(*call, **environ(site))
    assert second.returncode == 0, second.stderr
    assert len(films(folder_of(workplace, "busy.bob"))) == 3
    assert set(site.media_asked().values()) == {1}
    assert not any("mira" in query.get("uniqueId", "") for asked in site.queries.values()
                   for query in asked)  # fmt: skip


def test_faults_are_told_apart_and_what_passes_comes_next_time(
    workplace: Any, stage: Stage
) -> None:
    site = stage.site
    site.add_creator("private.pia", kind="private")
    site.add_creator("empty.eva")
    lost, broken, good = stage.creator("busy.bob", 3)
    late = stage.creator("late.lou", 2)
    del site.media[media_path(lost)]
    site.media[media_path(broken)] = b"<html>no film</html>" * 100
    site.faults[LIST_PATH] = ["ok", "429"]
    site.retry_after_s = 50
    names = ("private.pia", "no.body", "empty.eva", "busy.bob", "late.lou")
    call = ("--csv", creators(workplace, *names), "--source", "tiktok", "--only", "probe")
    env = environ(site, REELSCOPE_CRAWL__MAX_WAIT_S="5")
    run = workplace.call(*call, **env)
    assert run.returncode == 0, run.stderr
    summary = workplace.summary("who")
    # no.body and the film that the site has no more
    apart = {"gone": 2, "no_videos": 1, "not_media": 1, "private": 1, "rate_limited": 1}
    assert summary["crawl"]["failures"] == apart
    said = {problem["where"]: problem["message"] for problem in summary["problems"]}
    assert {where: message.split("(")[-1].split(")")[0] for where, message in said.items()} == {
        "private.pia": "private",
        "no.body": "gone",
        "empty.eva": "no_videos",
        f"busy.bob/{lost['id']}": "gone",
        f"busy.bob/{broken['id']}": "not_media",
        "late.lou": "rate_limited",
    }
    table = {row["video_id"]: row for row in rows(workplace)}
    assert table.keys() == {lost["id"], broken["id"], good["id"]}, "what was listed has a row"
    assert ids_here(workplace, "busy.bob") == {good["id"]}

    site.media[media_path(broken)] = site.media[media_path(good)] + bytes(8)
    run = workplace.call(*call, **env)
    assert run.returncode == 0, run.stderr
    assert workplace.summary("who")["crawl"]["failures"] == {
        "gone": 2,
        "no_videos": 1,
        "private": 1,
    }
    assert ids_here(workplace, "busy.bob") == {broken["id"], good["id"]}
    assert ids_here(workplace, "late.lou") == {post["id"] for post in late}
    assert site.media_asked()[media_path(good)] == 1
    assert len(rows(workplace)) == 5


def ids_here(workplace: Any, creator: str) -> set[str]:
    return {path.stem for path in films(folder_of(workplace, creator))}


# ------------------------------------------------------------------------- tiktok check


def test_check(workplace: Any, stage: Stage, tmp_path: Path) -> None:
    site = stage.site
    [post] = stage.creator("busy.bob", 1)
    good = workplace.call("tiktok", "check", "busy.bob", **environ(site))
    assert good.returncode == 0, good.stdout + good.stderr
    assert [line[:3] for line in good.stdout.splitlines()] == ["ok "] * 3
    assert post["id"] in good.stdout

    none = {k: v for k, v in environ(site).items() if k != "TIKTOK_MS_TOKEN"}
    quick = {"REELSCOPE_CRAWL__ATTEMPTS": "1", "REELSCOPE_CRAWL__MAX_WAIT_S": "2"}
    wrong = environ(site, token="another-SECRET-token", **quick)
    absent = environ(site, REELSCOPE_TIKTOK__BROWSER=str(tmp_path / "none"))
    for env, words in (
        (none, ("NO token", "tiktok configure", "TIKTOK_MS_TOKEN")),
        (wrong, ("NO blocked", " -> ")),
        (absent, ("NO no_browser", " -> ")),
    ):
        bad = workplace.call("tiktok", "check", "busy.bob", **env)
        said = bad.stdout + bad.stderr
        assert bad.returncode == 1, said
        assert all(word in bad.stdout for word in words), said
        assert "SECRET" not in said
        assert "Traceback" not in said
        assert not bad.stderr.strip()
    assert "SECRET" not in good.stdout + good.stderr
    wait_for_no_browser(site)


# ---------------------------------------------------------------------- which, and whence


def test_since_limit_and_the_column_source(workplace: Any, stage: Stage) -> None:
    site = stage.site
    posts = stage.creator("busy.bob", 5)
    stage.creator("mira.bakes", 1)
    table = creators(workplace, "busy.bob,tiktok", "mira.bakes,", header="username,source")
    call = ("--csv", table, "--source", "folder", "--only", "probe")
    dry = workplace.call(*call, "--since", "2023-11-12", "--dry-run", **environ(site))
    assert dry.returncode == 0, dry.stderr
    assert "videos of busy.bob: tiktok, posted since 2023-11-12" in dry.stdout
    assert "videos of mira.bakes: folder" in dry.stdout
    assert site.asked == []
    assert not folder_of(workplace, "busy.bob").exists()

    run = workplace.call(*call, "--since", "2023-11-12", **environ(site))
    assert run.returncode == 0, run.stderr
    assert ids_of("busy.bob", workplace) == {post["id"] for post in posts[:3]}
    assert len(ids_of("mira.bakes", workplace)) == 2, "from the folder, as --source says"
    assert site.media_asked().keys() == {media_path(post) for post in posts[:3]}

    run = workplace.call(*call, "--limit-per-creator", "1", **environ(site))
    assert run.returncode == 0, run.stderr
    assert ids_of("busy.bob", workplace) == {posts[0]["id"]}
    assert sum(site.media_asked().values()) == 3, "it was here already"

    bad = workplace.call(*call, "--since", "yesterday", **environ(site))
    assert bad.returncode == 2
    assert "2026-05-31" in bad.stderr


def ids_of(creator: str, workplace: Any) -> set[str]:
    return {row["video_id"] for row in rows(workplace) if row["creator"] == creator}


def test_auto_without_a_token_takes_the_folder_and_says_how_to_set_one(
    workplace: Any, stage: Stage
) -> None:
    site = stage.site
    stage.creator("busy.bob", 1)
    env = {k: v for k, v in environ(site).items() if k != "TIKTOK_MS_TOKEN"}
    call = ("--csv", creators(workplace, "mira.bakes", "busy.bob"), "--only", "probe")
    run = workplace.call(*call, **env)
    assert run.returncode == 0, run.stderr
    assert {row["creator"] for row in rows(workplace)} == {"mira.bakes"}
    assert "tiktok configure" in run.stdout
    assert site.asked == []
    [problem] = workplace.summary("who")["problems"]
    assert problem["where"] == "busy.bob"

    asked = workplace.call(*call, "--source", "tiktok", **env)
    assert "no_token" in asked.stdout
    assert site.asked == []
