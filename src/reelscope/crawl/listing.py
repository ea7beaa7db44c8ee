"""What a source has listed of a creator, kept in the creator's folder until it is fetched.

`data/tiktok_videos/<creator>/.listing.json`: a run that is killed while it fetches goes on
from here without asking the platform for the list again. Cookies and other headers are
secrets and are not kept.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import Field, ValidationError

from reelscope.atomic import write_atomic
from reelscope.crawl.source import Listed
from reelscope.records import Frozen, Platform

log = logging.getLogger(__name__)

FILE_NAME = ".listing.json"
MAX_BYTES = 256 * 1024 * 1024
"""A larger file is none of ours."""


class ListedVideo(Frozen):
    """A video of the list, without secrets."""

    video_id: str = Field(description="As the platform gave it.")
    platform: Platform = Field(description="All that the platform says of it.")
    url: str | None = Field(default=None, description="Its page.")
    media_urls: tuple[str, ...] = Field(default=(), description="May have expired.")
    image_urls: tuple[str, ...] = Field(default=(), description="Of a photo post.")
    sound_url: str | None = Field(default=None, description="Of a photo post.")
    subtitle_urls: tuple[str, ...] = Field(default=(), description="May have expired.")
    local: tuple[str, ...] = Field(default=(), description="Files that are here already.")


class Listing(Frozen):
    """.listing.json."""

    schema_version: int = Field(default=1, description="Of these keys.")
    source: str = Field(description="Who listed it.")
    taken_at: datetime = Field(description="When, UTC.")
    since: datetime | None = Field(description="Nothing older was asked for.")
    limit: int | None = Field(description="Not more were asked for.")
    complete: bool = Field(description="Whether the list came to its end.")
    videos: tuple[ListedVideo, ...] = Field(description="Newest first.")

    def answers(
        self, source: str, since: datetime | None, limit: int | None, *, now: datetime, hours: float
    ) -> bool:
        """Whether it is what would be listed now, and young enough."""
        same = (self.source, self.since, self.limit) == (source, since, limit)
        return self.complete and same and now - self.taken_at < timedelta(hours=hours)

    def listed(self) -> list[Listed]:
        """As sources give them."""
        return [
            Listed(
                video_id=video.video_id,
                platform=video.platform,
                url=video.url,
                media_urls=video.media_urls,
                image_urls=video.image_urls,
                sound_url=video.sound_url,
                subtitle_urls=video.subtitle_urls,
                local=tuple(map(Path, video.local)),
            )
            for video in self.videos
        ]


def without_secrets(videos: Sequence[Listed]) -> tuple[ListedVideo, ...]:
    """What may be kept of them."""
    return tuple(
        ListedVideo(
            video_id=video.video_id,
            platform=video.platform,
            url=video.url,
            media_urls=video.media_urls,
            image_urls=video.image_urls,
            sound_url=video.sound_url,
            subtitle_urls=video.subtitle_urls,
            local=tuple(map(str, video.local)),
        )
        for video in videos
    )


def save_listing(folder: Path, listing: Listing) -> None:
    """Write it into the creator's folder.

    Raises:
        OutputError: it cannot be written.
    """
    write_atomic(folder / FILE_NAME, listing.model_dump_json() + "\n")


def load_listing(folder: Path) -> Listing | None:
    """What an earlier run listed; None if there is nothing that can be understood."""
    path = folder / FILE_NAME
    try:
        if path.stat().st_size > MAX_BYTES:
            raise OSError(f"larger than {MAX_BYTES >> 20} MB")
        return Listing.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValidationError) as error:
        log.warning("%s cannot be used and is made anew: %s", path, error)
        return None
