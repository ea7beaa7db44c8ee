"""Fetches a post of pictures: each picture, the sound, and of them the one file.

They are kept in a hidden folder beside the file until that is whole, so that a run that is
killed fetches none of them twice.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from reelscope.crawl.fetch import Fetcher, Opener
from reelscope.crawl.media_file import sound_suffix
from reelscope.crawl.photo import MAX_PICTURES, make_photo_video
from reelscope.crawl.picture_header import read_header
from reelscope.crawl.source import Listed
from reelscope.errors import CrawlFailed, UnreadableMedia

log = logging.getLogger(__name__)

NO_SOUND = frozenset({"gone", "not_media", "geo_blocked"})
"""Faults of a sound that no later call mends."""
_HEADER_BYTES = 4_000_000
"""Colour profiles and previews may stand before a picture's size."""


def fetch_photo_post(
    fetcher: Fetcher,
    video: Listed,
    target: Path,
    *,
    headers_for: Callable[[str], Mapping[str, str]] = lambda _: {},
) -> Path:
    """Fetch the post's pictures and sound and put them into one file.

    Args:
        fetcher: with its limits.
        video: with `image_urls` and, if it has a sound, `sound_url`.
        target: path without suffix.
        headers_for: what has to be sent for an address; secret.

    Returns:
        `<target>.mkv`; without sound where that is gone or is none: the pictures still tell.

    Raises:
        CrawlFailed: as for a file; not_supported: no pictures, or too many.
        OutputError: the disk does not take it.
    """
    count = len(video.image_urls)
    if not 0 < count <= MAX_PICTURES:
        message = f"{video.video_id} is a post of {count} pictures"
        raise CrawlFailed("not_supported", message, remedy="leave it out")
    folder = target.with_name(f".{target.name}.pictures")
    most = fetcher.settings.max_picture_mb * 1_000_000

    def part(url: str, name: str, opens: Opener, max_bytes: int | None = None) -> Path:
        for here in folder.glob(f"{name}.*"):
            if ".part" not in here.name:
                return here
        return fetcher.fetch(
            url, folder / name, opens=opens, headers=headers_for(url), max_bytes=max_bytes
        )

    pictures = [
        part(url, f"{number:03d}", picture_suffix, most)
        for number, url in enumerate(video.image_urls, 1)
    ]
    sound = None
    if video.sound_url:
        try:
            sound = part(video.sound_url, "sound", sound_suffix)
        except CrawlFailed as fault:
            if fault.fault not in NO_SOUND:
                raise
            log.info("%s: its pictures go without sound: %s", video.video_id, fault)
    whole = make_photo_video(pictures, sound, target)
    shutil.rmtree(folder, ignore_errors=True)
    return whole


def picture_suffix(path: Path) -> str:
    """The suffix that fits a picture's content, ".jpeg" for example.

    Raises:
        UnreadableMedia: it is no JPEG, PNG or WebP picture.
    """
    with path.open("rb") as file:
        header = read_header(file.read(_HEADER_BYTES))
    if header is None:
        raise UnreadableMedia("it is no JPEG, PNG or WebP picture")
    return f".{header.kind}"
