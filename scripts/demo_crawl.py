"""The main job against a stand-in TikTok on this machine: listing, fetching, analysing.

Shows what a crawl looks like without touching TikTok: `make demo-crawl`. The real TikTokApi in
a real Chromium asks a site on loopback that speaks TikTok's own endpoints; one account is
private, one is empty, one answers "too many requests" first, one has a photo post. Needs
Chromium (the setting tiktok.browser, the PATH, or `playwright install chromium`). Results go to
data/demo-crawl/, or below the folder after --into; all else goes to main.py.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np

from reelscope.testing.tiktok import LIST_PATH, FakeTikTok, serve
from reelscope.testing.tiktok_items import Item, item, photo_item

ROOT = Path(__file__).resolve().parent.parent
TOKEN = "demo-token-0123456789"  # noqa: S105  (of the stand-in)
SAMPLE = ROOT / "data" / "tiktok_videos"
FIRST_ID = 7_400_000_000_000_000_000
PHOTO_COLOURS = ((40, 60, 200), (60, 180, 60), (200, 120, 40))


def main() -> int:
    """Run it; the exit code is that of the main job."""
    parser = argparse.ArgumentParser(allow_abbrev=False, description="Crawl a stand-in TikTok.")
    parser.add_argument("--into", type=Path, help="where results go (default: data/demo-crawl)")
    asked, others = parser.parse_known_args()
    data = asked.into.absolute() if asked.into else ROOT / "data" / "demo-crawl"
    data.mkdir(parents=True, exist_ok=True)
    with serve(FakeTikTok(tokens={TOKEN})) as site, tempfile.TemporaryDirectory() as folder:
        names = fill(site)
        table = Path(folder) / "demo-creators.csv"
        table.write_text("username\n" + "\n".join(names) + "\n", encoding="utf-8")
        code = _main_job(site, data, table, others)
        files = sum(site.media_asked().values())
    print(f"The stand-in site sent {files} files; what is here already is not fetched again.")
    return code


def fill(site: FakeTikTok) -> list[str]:
    """Put five accounts on the site, with the sample's videos; their names."""
    number = 0
    names = []
    for folder in sorted(path for path in SAMPLE.iterdir() if path.is_dir()):
        posts: list[Item] = []
        for film in sorted(folder.glob("*.mp4")):
            post = item(
                str(FIRST_ID + number), username=folder.name, created_s=1_760_000_000 - number
            )
            site.media[_path_of(post)] = film.read_bytes()
            posts.append(post)
            number += 1
        site.add_creator(folder.name, posts)
        names.append(folder.name)
    site.creators[names[0]].items.append(_photo_post(site, str(FIRST_ID + number), names[0]))
    site.add_creator("private.pia", kind="private")
    site.add_creator("empty.eva")
    site.faults[LIST_PATH].append("429")
    site.retry_after_s = 1
    return [*names, "private.pia", "empty.eva"]


def _photo_post(site: FakeTikTok, video_id: str, username: str) -> Item:
    post = photo_item(video_id, pictures=len(PHOTO_COLOURS), username=username)
    for colour, image in zip(PHOTO_COLOURS, post["imagePost"]["images"], strict=True):
        picture = np.full((960, 540, 3), colour, np.uint8)
        cv2.putText(picture, "PHOTO", (80, 500), cv2.FONT_HERSHEY_SIMPLEX, 4, (255, 255, 255), 12)
        _, data = cv2.imencode(".jpg", picture)
        for url in image["imageURL"]["urlList"]:
            site.media[_without_host(url)] = data.tobytes()
    film = next(iter(site.media.values()))  # its sound
    site.media[_without_host(post["music"]["playUrl"])] = film
    return post


def _path_of(post: Item) -> str:
    return _without_host(post["video"]["playAddr"])


def _without_host(url: str) -> str:
    return "/" + url.split("/", 3)[3].partition("?")[0]


def _main_job(site: FakeTikTok, data: Path, table: Path, others: list[str]) -> int:
    command = [sys.executable, "main.py", "--csv", str(table), "--source", "tiktok"]
    command += ["--batch-id", "demo-crawl", *others]
    environment = {
        **os.environ,
        "TIKTOK_MS_TOKEN": TOKEN,
        "SSL_CERT_FILE": str(site.certificate),
        "REELSCOPE_PATHS__DATA": str(data),
        "REELSCOPE_TIKTOK__BROWSER_ARGUMENTS": shlex.join(site.browser_arguments),
        "REELSCOPE_CRAWL__PROXY": site.proxy_url,
        "REELSCOPE_CRAWL__PAUSE_S": "0.1",
        "REELSCOPE_CRAWL__PAUSE_SPREAD_S": "0.1",
        "REELSCOPE_MODELS__OFFLINE": "true",
    }
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
