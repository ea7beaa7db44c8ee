"""Fetches the sound or video behind an address, for the music library."""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from reelscope.crawl.addresses import split_url
from reelscope.crawl.fetch import Fetcher
from reelscope.crawl.media_file import sound_suffix
from reelscope.crawl.source import Listed
from reelscope.engines.ytdlp import YtDlpSource
from reelscope.records import Platform
from reelscope.settings import Crawl

FILES = frozenset({
    ".mp3", ".wav", ".m4a", ".ogg", ".oga", ".flac", ".aac", ".opus", ".mp4", ".m4v", ".mov",
    ".webm", ".mkv",
})  # fmt: skip
"""An address that ends in one of these is a file; any other is a page, which yt-dlp is asked."""


class MediaFetcher:
    """The Protocol `music.fetching.Fetcher`. Threads may share one.

    Args:
        crawl: limits, pauses, proxy.
        attempts: of each file; whoever counts attempts itself wants one.
    """

    def __init__(self, crawl: Crawl, *, attempts: int | None = None) -> None:
        self._crawl = crawl if attempts is None else crawl.model_copy(update={"attempts": attempts})

    def fetch(self, url: str, folder: Path) -> Path:
        """Fetch it into the folder.

        Raises:
            CrawlFailed: it did not come, or has no sound.
            OutputError: the disk does not take it.
        """
        split_url(url)
        target = folder / "sound"
        if PurePosixPath(urlsplit(url).path).suffix.lower() in FILES:
            with Fetcher(self._crawl) as fetcher:
                return fetcher.fetch(url, target, opens=sound_suffix)
        pages = YtDlpSource(self._crawl, opens=sound_suffix)
        pages.open()
        video = Listed(video_id="sound", platform=Platform(name="web"), url=url)
        return pages.download(video, target)
