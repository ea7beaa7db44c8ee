"""Posts of pictures from a server on loopback: with their sound, and without where it is none."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from reelscope.crawl.fetch import Fetcher
from reelscope.crawl.photo_fetch import fetch_photo_post
from reelscope.crawl.source import Listed
from reelscope.errors import CrawlFailed
from reelscope.media.info import read_info
from reelscope.media.pictures import write_jpeg
from reelscope.records import Platform
from reelscope.settings import Crawl
from reelscope.testing import media
from reelscope.testing.media import write_sound
from reelscope.testing.sounds import tone


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    folder = tmp_path / "site"
    for number in range(2):
        write_jpeg(folder / f"{number}.jpg", np.full((64, 48, 3), 80 * number, np.uint8), 90)
    write_sound(folder / "sound.mp3", tone(4.0))
    media.write_video(folder / "silent.mp4", [media.Scene(0.5)])
    handler = partial(_Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", folder
        server.shutdown()


@pytest.fixture
def fetcher() -> Fetcher:
    return Fetcher(Crawl(loopback=True, attempts=1, pause_s=0, pause_spread_s=0))


def post(address: str, sound: str | None) -> Listed:
    return Listed(
        "77",
        Platform(name="test", kind="photo"),
        image_urls=tuple(f"{address}/{number}.jpg" for number in range(2)),
        sound_url=f"{address}/{sound}" if sound else None,
    )


@pytest.mark.parametrize(
    ("sound", "heard"),
    [("sound.mp3", True), (None, False), ("silent.mp4", False), ("none.mp3", False),
     ("0.jpg", False)],
)  # fmt: skip
def test_a_sound_that_is_none_costs_the_sound_alone(
    site: tuple[str, Path], fetcher: Fetcher, tmp_path: Path, sound: str | None, heard: bool
) -> None:
    path = fetch_photo_post(fetcher, post(site[0], sound), tmp_path / "77")
    info = read_info(path)
    assert info.has_video
    assert info.has_audio == heard
    assert [each.name for each in tmp_path.iterdir() if each.name != "site"] == ["77.mkv"]


def test_a_picture_that_is_none_costs_the_post_until_it_is_one(
    site: tuple[str, Path], fetcher: Fetcher, tmp_path: Path
) -> None:
    address, folder = site
    good = (folder / "1.jpg").read_bytes()
    (folder / "1.jpg").write_bytes(b"<html>")
    with pytest.raises(CrawlFailed):
        fetch_photo_post(fetcher, post(address, None), tmp_path / "77")
    (folder / "1.jpg").write_bytes(good)
    assert fetch_photo_post(fetcher, post(address, None), tmp_path / "77").exists()
