"""yt-dlp's info dict -> what a source lists.

The fields are those of `InfoExtractor` (yt_dlp/extractor/common.py). All may be missing, and
what sites say in them is not believed before it has the right type.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from reelscope.crawl.said import clean_text, platform_of, web_url
from reelscope.crawl.source import Listed

log = logging.getLogger(__name__)

_COUNTS = {
    "plays": "view_count", "likes": "like_count", "comments": "comment_count",
    "shares": "repost_count", "saves": "save_count",
}  # fmt: skip
_NO_SITES = {"generic", "html5mediaembed"}  # extractors for pages of any site
_MAX_ID = 200
_LATEST_S = 4_102_444_800  # 2100-01-01


def listed_of(info: object, *, taken_at: datetime, url: str | None = None) -> Listed | None:
    """The video.

    Args:
        info: of yt-dlp, of one video.
        taken_at: when the site was asked.
        url: its page, if `info` does not name it.

    Returns:
        None if it is no video: no dict, no id, no address, a live stream.
    """
    if not isinstance(info, Mapping) or info.get("is_live") is True:
        return None
    video_id = info.get("id")
    page = web_url(info.get("webpage_url")) or web_url(info.get("url")) or web_url(url)
    if not isinstance(video_id, str | int) or not str(video_id).strip() or page is None:
        return None
    return Listed(
        video_id=clean_text(str(video_id), longest=_MAX_ID),
        platform=platform_of(_said(info, taken_at), name="web", refuse=_refused),
        url=page,
    )


def _refused(field: str, why: str) -> None:
    log.debug("yt-dlp's %s is left out: %s", field, why)


def _said(info: Mapping[str, Any], taken_at: datetime) -> dict[str, Any]:
    caption = _caption(info)
    artists = info.get("artists")
    artists = artists if isinstance(artists, list | tuple) else ()
    named = [artist for artist in artists if isinstance(artist, str)]
    counts = {ours: _count(info.get(theirs)) for ours, theirs in _COUNTS.items()}
    return {
        "name": _platform_name(info),
        "caption": caption,
        "hashtags": list(dict.fromkeys(re.findall(r"#(\w+)", caption or ""))),
        "mentions": list(dict.fromkeys(re.findall(r"(?<!\w)@([\w.]*\w)", caption or ""))),
        "posted_at": _posted_at(info),
        "duration_s": _seconds(info.get("duration")),
        "cover_url": web_url(info.get("thumbnail")),
        "counts": {**counts, "taken_at": taken_at} if any(_known(counts)) else None,
        "music": _given(
            title=_text(info, "track"),
            author=", ".join(named) or _text(info, "artist"),
            album=_text(info, "album"),
        ),
        "author": _given(
            id=_text(info, "channel_id", "uploader_id"),
            username=(_text(info, "uploader", "uploader_id") or "").lstrip("@") or None,
            nickname=_text(info, "channel", "creator"),
            followers=_count(info.get("channel_follower_count")),
        ),
    }


def _caption(info: Mapping[str, Any]) -> str | None:
    """The description, with the title before it unless it begins like that.

    The title of a bare file is made of its address; nobody wrote that.
    """
    title = None if info.get("direct") else _text(info, "title")
    below = _text(info, "description")
    if not title or not below:
        return below or title
    begins = below.startswith(title.removesuffix("...").removesuffix("…").rstrip())
    return below if begins else f"{title}\n{below}"


def _platform_name(info: Mapping[str, Any]) -> str:
    name = _text(info, "ie_key", "extractor_key", "extractor") or "web"
    return "web" if name.lower() in _NO_SITES else name.lower()


def _posted_at(info: Mapping[str, Any]) -> datetime | None:
    stamp: Any = info.get("timestamp")
    if _is_number(stamp) and 0 < stamp < _LATEST_S:
        return datetime.fromtimestamp(stamp, UTC)
    try:
        return datetime.strptime(str(info.get("upload_date")), "%Y%m%d").replace(tzinfo=UTC)
    except ValueError:
        return None


def _text(info: Mapping[str, Any], *names: str) -> str | None:
    for name in names:
        value = info.get(name)
        if isinstance(value, str) and value.strip():
            return value.strip()
    return None


def _is_number(value: object) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value)  # type: ignore[arg-type]


def _count(value: Any) -> int | None:
    return int(value) if _is_number(value) and 0 <= value < 2**63 else None


def _seconds(value: Any) -> float | None:
    return float(value) if _is_number(value) and 0 < value < 1e6 else None


def _known(values: Mapping[str, object]) -> list[bool]:
    return [value is not None for value in values.values()]


def _given(**values: object) -> dict[str, object] | None:
    """The values that there are; None: there are none."""
    return {name: v for name, v in values.items() if v is not None} or None
