"""A row of 4CAT's CSV export of TikTok posts -> what a source lists.

The columns are those that `map_item` of 4CAT's `datasources/tiktok/search_tiktok.py` gives,
in its versions since 2021; Zeeschuimer's own CSV has the same (`modules/tiktok.js`). There is
no word in it of when the platform was asked, of saves, mentions, durations and labels of
machines.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any

from reelscope.crawl.said import platform_of, web_url
from reelscope.crawl.source import Listed
from reelscope.crawl.tiktok_item import count_of, flag_of, page_url, post_id, time_of

log = logging.getLogger(__name__)

_NEEDED = {"id", "author"}
_EITHER = {"body", "tiktok_url"}
_COUNTS = ("plays", "likes", "comments", "shares")  # once "amount_plays", ...


def is_fourcat(header: Collection[str]) -> bool:
    """Whether these are the columns of such an export."""
    return set(header) >= _NEEDED and not _EITHER.isdisjoint(header)


def listed_of_row(row: Mapping[str, str]) -> Listed | None:
    """The post of this row; None: it has no usable id."""
    video_id = post_id(row.get("id"))
    if video_id is None:
        return None
    kind = {"kind": "photo"} if f"/photo/{video_id}" in row.get("tiktok_url", "") else {}
    platform = platform_of(
        {**_said(row), **kind},
        name="tiktok",
        refuse=lambda where, why: log.debug("post %s: %s is left out: %s", video_id, where, why),
    )
    author = platform.author.username if platform.author else None
    media = web_url(row.get("video_url"))
    return Listed(
        video_id=video_id,
        platform=platform,
        url=page_url(video_id, username=author, kind=platform.kind),
        media_urls=(media,) if media and platform.kind == "video" else (),
        sound_url=platform.music.play_url if platform.kind == "photo" and platform.music else None,
    )


def _said(row: Mapping[str, str]) -> dict[str, Any]:
    """The row as keys of `records.Platform`."""
    counts = {key: count_of(row.get(key) or row.get(f"amount_{key}")) for key in _COUNTS}
    music = {
        "id": post_id(row.get("music_id")),
        "title": _text(row, "music_name"),
        "author": _text(row, "music_author"),
        "play_url": web_url(row.get("music_url")),
    }
    author = {
        "id": post_id(row.get("author_id")),
        "username": _text(row, "author"),
        "nickname": _text(row, "author_full"),
        "followers": count_of(row.get("author_followers")),
    }
    return {
        "caption": _text(row, "body"),
        "hashtags": _parts(row, "hashtags", ",") or _parts(row, "challenges", ","),
        "posted_at": time_of(row.get("unix_timestamp")) or _time(row.get("timestamp", "")),
        "region": _text(row, "location_created"),
        "counts": counts if any(n is not None for n in counts.values()) else None,
        "music": music if any(music.values()) else None,
        "author": author,
        "effects": _parts(row, "effects", ","),
        "stickers": _parts(row, "stickers", "\n"),
        "cover_url": web_url(row.get("thumbnail_url")),
        "is_ad": flag_of(row.get("is_ad")),
        "is_paid_partnership": flag_of(row.get("is_paid_partnership")),
    }


def _text(row: Mapping[str, str], name: str) -> str | None:
    return row.get(name, "").strip() or None


def _parts(row: Mapping[str, str], name: str, joint: str) -> list[str]:
    parts = (part.strip() for part in row.get(name, "").split(joint))
    return list(dict.fromkeys(part for part in parts if part))


def _time(text: str) -> datetime | None:
    """ "2024-05-01 12:00:00", UTC; in old versions seconds since 1970."""
    try:
        return datetime.strptime(text.strip(), "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC)
    except ValueError:
        return time_of(text)
