"""The main job on what others have collected, on addresses, and on names that are none."""

from __future__ import annotations

import csv
import json
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from reelscope.testing import media
from reelscope.testing.tiktok_items import item, zeeschuimer_line

pytestmark = pytest.mark.slow


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("films") / "film.mp4"
    media.write_video(path, [media.Scene(0.5)])
    return path


@pytest.fixture
def site(film: Path) -> Iterator[str]:
    handler = partial(_Quiet, directory=str(film.parent))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def rows(workplace: Any, batch: str) -> list[dict[str, str]]:
    table = workplace.root / "data" / "results" / batch / "video_features_results.csv"
    with table.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_an_import_with_its_media_is_analysed(workplace: Any, film: Path) -> None:
    folder = workplace.root / "collected"
    folder.mkdir()
    lines = []
    for number, username in enumerate(["ana", "bo", "ana"]):
        post = item(str(7_500_000_000_000_000_000 + number), username=username, plays=100)
        lines.append(json.dumps(zeeschuimer_line(post)))
        if number < 2:
            shutil.copy(film, folder / f"{post['id']}.mp4")
    (folder / "posts.ndjson").write_text("\n".join(lines) + "\n", encoding="utf-8")
    done = workplace.call("import", "collected/posts.ndjson", "--only", "probe,platform")
    assert done.returncode == 0, done.stdout + done.stderr
    found = rows(workplace, "posts")
    assert [(row["creator"], row["status_probe"]) for row in found] == [
        ("ana", "ok"), ("ana", "failed"), ("bo", "ok"),
    ]  # fmt: skip
    assert all(row["caption"].startswith("Bread") for row in found), "also where no file came"
    assert "--fetch" in done.stdout or "not_supported" in done.stdout
    before = workplace.call("import", "collected/posts.ndjson", "--only", "probe,platform")
    assert "2 here already" in before.stdout


def test_addresses_are_looked_up_fetched_and_analysed(workplace: Any, site: str) -> None:
    (workplace.root / "videos.txt").write_text(
        f"# two that are there, one that is not\n{site}/film.mp4\n{site}/none.mp4\nftp://x/y\n"
    )
    done = workplace.call(
        "--urls", "videos.txt", "--only", "probe", REELSCOPE_CRAWL__LOOPBACK="true",
        REELSCOPE_CRAWL__PAUSE_S="0", REELSCOPE_CRAWL__PAUSE_SPREAD_S="0",
        REELSCOPE_CRAWL__ATTEMPTS="1",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert [row["status_probe"] for row in rows(workplace, "videos")] == ["ok"]
    assert "videos.txt, line 4" in done.stdout
    assert "line 3, " in done.stdout, "the address that gave nothing is named with its line"


def test_nobody_is_asked_for_what_is_no_handle(workplace: Any) -> None:
    (workplace.root / "c.csv").write_text(
        "username,source\nnot a handle,tiktok\nx,ytdlp\nana,web\n"
    )
    done = workplace.call("--csv", "c.csv", "--only", "probe", TIKTOK_MS_TOKEN="t" * 20)
    assert done.returncode == 2, done.stdout + done.stderr
    for said in ("c.csv, line 2", "no TikTok handle", "c.csv, line 3", "c.csv, line 4", "'web'"):
        assert said in done.stdout


def test_a_dry_run_asks_nobody(workplace: Any) -> None:
    (workplace.root / "v.txt").write_text("http://127.0.0.1:9/a.mp4\n")
    done = workplace.call("--urls", "v.txt", "--dry-run")
    assert done.returncode == 0
    assert "looked up" in done.stdout
    both = workplace.call("--urls", "v.txt", "--csv", "data/creators.csv")
    assert both.returncode == 2
