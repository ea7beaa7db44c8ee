"""TikTok's own JSON of a post -> what a source lists.

It is the shape that TikTok's web endpoints give (`itemList`, `itemInfo.itemStruct`), that
TikTokApi hands on as `Video.as_dict`, and that Zeeschuimer and 4CAT save. Nobody documents it;
the names of fields are those that public readers of it use:

- yt-dlp, `yt_dlp/extractor/tiktok.py` (`_extract_web_formats`, `_parse_aweme_video_web`),
- 4CAT, `datasources/tiktok/search_tiktok.py` (`map_item`), and Zeeschuimer, `modules/tiktok.js`,
- TikTokApi, `TikTokApi/api/video.py`.

Every field may be missing, null or of another type. What makes no sense is left out.
"""

from __future__ import annotations

import logging
import math
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from reelscope.crawl.said import MAX_ITEMS, clean_text, platform_of, web_url
from reelscope.crawl.source import Listed

log = logging.getLogger(__name__)

_ID = re.compile(r"[0-9]{1,20}")  # a number of 64 bits
_HANDLE = re.compile(r"[\w.-]{1,64}")
_LATEST_S = 4_102_444_800  # 2100-01-01
_LONGEST_S = 7 * 86_400.0
_COUNTS = {
    "plays": "playCount", "likes": "diggCount", "comments": "commentCount",
    "shares": "shareCount", "saves": "collectCount",
}  # fmt: skip
# bytevc1 is H.265; bytevc2 is ByteDance's own and plays nowhere (yt-dlp, _extract_web_formats).
_CODECS = {"h264": 0, "": 1, "h265": 2, "bytevc1": 2}
_UNPLAYABLE = "bytevc2"
_MAX_SUBTITLES = 4  # addresses that are kept of a post's subtitles; there may be dozens
_SILENT = "/media-video-hvc1/"  # such files have no sound (github.com/yt-dlp/yt-dlp/issues/17372)


def listed_of(item: object, *, taken_at: datetime | None) -> Listed | None:
    """The post.

    Args:
        item: TikTok's JSON.
        taken_at: when TikTok gave it; None: nobody knows.

    Returns:
        None if it is no post of pictures or video: no JSON object, no usable id, a live stream.
    """
    post = _dict(item)
    video_id = post_id(post.get("id"))
    if video_id is None or "liveRoomInfo" in post:
        return None
    images = _list(_dict(post.get("imagePost")).get("images"))
    kind = "photo" if images else "video"
    platform = platform_of(
        {**_said(post, taken_at), "kind": kind},
        name="tiktok",
        refuse=lambda where, why: log.debug("post %s: %s is left out: %s", video_id, where, why),
    )
    author = platform.author.username if platform.author else None
    media = _media_urls(_dict(post.get("video")))
    sound = platform.music.play_url if platform.music else None
    return Listed(
        video_id=video_id,
        platform=platform,
        url=page_url(video_id, username=author, kind=kind),
        media_urls=media if kind == "video" else (),
        image_urls=tuple(url for url in map(_image_url, images) if url),
        # The "video" of a photo post is its sound.
        sound_url=(sound or next(iter(media), None)) if kind == "photo" else None,
        subtitle_urls=_subtitle_urls(_dict(post.get("video"))),
    )


def post_id(value: object) -> str | None:
    """The id as text; None if it can be none. A float has lost digits already."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value) if 0 < value < 10**20 else ""
    if not isinstance(value, str):
        return None
    text = value.strip()
    return text if _ID.fullmatch(text) and text.strip("0") else None


def page_url(video_id: str, *, username: str | None, kind: str) -> str:
    """Where the post stands on the web; TikTok finds it without the username, too."""
    handle = username if username and _HANDLE.fullmatch(username) else ""
    return f"https://www.tiktok.com/@{handle}/{kind}/{video_id}"


# ------------------------------------------------------------------------ what is said


def _said(post: Mapping[str, Any], taken_at: datetime | None) -> dict[str, Any]:
    """The post as keys of `records.Platform`."""
    video = _dict(post.get("video"))
    extras = _extras(post)
    return {
        "caption": _text(post.get("desc")) or _text(_first(post.get("contents")).get("desc")),
        "hashtags": _texts(extra.get("hashtagName") for extra in extras)
        or _texts(_dict(c).get("title") for c in _list(post.get("challenges"))),
        "mentions": _texts(extra.get("userUniqueId") for extra in extras),
        "posted_at": time_of(post.get("createTime")),
        "region": _text(post.get("locationCreated")),
        "counts": _counts(post, taken_at),
        "music": _music(_dict(post.get("music"))),
        "author": _author(post),
        "duration_s": _seconds(video.get("duration")),
        "effects": _texts(map(_effect, _list(post.get("effectStickers")))),
        "stickers": _texts(
            text
            for sticker in _list(post.get("stickersOnItem"))
            for text in _list(_dict(sticker).get("stickerText"))
        ),
        "cover_url": _cover(post, video),
        "is_ad": flag_of(post.get("isAd")),
        # As 4CAT and Zeeschuimer read it ("is_paid_partnership"). BAInfo is opaque,
        # brandOrganicType is somebody's own brand, isECVideo a shop's link: none is payment.
        "is_paid_partnership": flag_of(post.get("adAuthorization")),
        "is_ai_generated": _made_by_machine(post),
    }


def _extras(post: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Where the caption names hashtags and people."""
    extras = _list(post.get("textExtra"))
    if not extras:
        contents = _list(post.get("contents"))
        extras = [extra for c in contents for extra in _list(_dict(c).get("textExtra"))]
    return [_dict(extra) for extra in extras[:MAX_ITEMS]]


def _counts(post: Mapping[str, Any], taken_at: datetime | None) -> dict[str, Any] | None:
    counts = {ours: count_of(_either(post, "stats", theirs)) for ours, theirs in _COUNTS.items()}
    known = {key: count for key, count in counts.items() if count is not None}
    return {**known, "taken_at": taken_at} if known else None


def _either(post: Mapping[str, Any], group: str, key: str) -> Any:
    """From the newer group, whose numbers are texts, else from the older, where they overflow."""
    newer, older = _dict(post.get(f"{group}V2")).get(key), _dict(post.get(group)).get(key)
    return older if count_of(newer) is None else newer


def _music(music: Mapping[str, Any]) -> dict[str, Any] | None:
    known = {
        "id": post_id(music.get("id")),
        "title": _text(music.get("title")),
        "author": _text(music.get("authorName")),
        "original": flag_of(music.get("original")),
        "album": _text(music.get("album")),
        "duration_s": _seconds(music.get("duration")),
        "play_url": web_url(music.get("playUrl")),
    }
    return _or_none(known)


def _author(post: Mapping[str, Any]) -> dict[str, Any] | None:
    """From an endpoint it is an object; in a page it may be the name, the rest beside it."""
    author = post.get("author")
    inner = _dict(author)
    username = author if isinstance(author, str) else inner.get("uniqueId")
    known = {
        "id": post_id(inner.get("id")) or post_id(post.get("authorId")),
        "username": _text(username),
        "nickname": _text(inner.get("nickname")) or _text(post.get("nickname")),
        "verified": flag_of(inner.get("verified")),
        "followers": count_of(_either(post, "authorStats", "followerCount")),
    }
    return _or_none(known)


def _effect(effect: object) -> str | None:
    data = _dict(effect)
    return _text(data.get("name")) or post_id(data.get("ID")) or post_id(data.get("id"))


def _cover(post: Mapping[str, Any], video: Mapping[str, Any]) -> str | None:
    found = (web_url(video.get(key)) for key in ("originCover", "cover", "dynamicCover"))
    return next(filter(None, found), None) or _image_url(_dict(post.get("imagePost")).get("cover"))


def _made_by_machine(post: Mapping[str, Any]) -> bool | None:
    """Any label counts: posts that their creators have labelled say `IsAigc: false`."""
    labels = [count_of(post.get(k)) for k in ("aigcLabelType", "moderationAigcLabelType")]
    told = [flag_of(post.get("IsAigc")), *(None if n is None else n > 0 for n in labels)]
    known = [label for label in told if label is not None]
    return any(known) if known else None


# --------------------------------------------------------------------------- addresses


def _media_urls(video: Mapping[str, Any]) -> tuple[str, ...]:
    """Where the file is, the best first.

    Most pixels first, H.264 before H.265 of the same size (it plays everywhere and is cheaper
    to decode), then the higher rate. Behind them addresses of www.tiktok.com, which want
    cookies (github.com/yt-dlp/yt-dlp/issues/11034), and last the file with the watermark.
    """
    found: list[tuple[tuple[float, ...], str]] = []
    for variant in _variants(video):
        play = _dict(variant.get("PlayAddr"))
        codec = _codec(variant, play)
        if codec == _UNPLAYABLE:
            continue
        pixels = (count_of(play.get("Width")) or 0) * (count_of(play.get("Height")) or 0)
        rank = (-pixels, _CODECS.get(codec, 3), -(count_of(variant.get("Bitrate")) or 0))
        found += [((_wants_cookies(url), *rank), url) for url in _usable(play.get("UrlList"))]
    found += [((2.0,), url) for url in _usable([video.get("downloadAddr")])]
    return tuple(dict.fromkeys(url for _, url in sorted(found, key=lambda pair: pair[0])))


def _variants(video: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    yield from (_dict(variant) for variant in _list(video.get("bitrateInfo")))
    addresses = [video.get("playAddr"), *_list(_dict(video.get("PlayAddrStruct")).get("UrlList"))]
    size = {"Width": video.get("width"), "Height": video.get("height")}
    yield {
        "CodecType": video.get("codecType"),
        "Bitrate": video.get("bitrate"),
        "PlayAddr": {"UrlList": addresses, **size},
    }


def _codec(variant: Mapping[str, Any], play: Mapping[str, Any]) -> str:
    """h264, h265, bytevc1, bytevc2; empty: nobody says it. "v0_h264_540p_800000" says it, too."""
    told = _text(variant.get("CodecType")) or ""
    if not told and (key := re.match(r"v[^_]*_([^_]+)_", _text(play.get("UrlKey")) or "")):
        told = key[1]
    return told.casefold().partition("_")[0]


def _usable(urls: object) -> list[str]:
    found = (web_url(url) for url in _list(urls))
    return [url for url in found if url and not urlsplit(url).path.endswith(_SILENT)]


def _wants_cookies(url: str) -> float:
    return float(urlsplit(url).hostname == "www.tiktok.com")


def _subtitle_urls(video: Mapping[str, Any]) -> tuple[str, ...]:
    """Of the subtitles in WebVTT: what was said or written, machine translations last."""
    found: list[tuple[int, object]] = []
    for info in map(_dict, _list(video.get("subtitleInfos"))):
        if _is_webvtt(info.get("Format")):
            rank = {"ASR": 0, "MT": 2}.get(_text(info.get("Source")) or "", 1)
            found.append((rank, info.get("Url")))
    for info in map(_dict, _list(_dict(video.get("claInfo")).get("captionInfos"))):
        if _is_webvtt(info.get("captionFormat")):
            rank = {True: 0, False: 2, None: 1}[flag_of(info.get("isOriginalCaption"))]
            found.append((rank, info.get("url")))
    urls = (web_url(url) for _, url in sorted(found, key=lambda pair: pair[0]))
    return tuple(dict.fromkeys(filter(None, urls)))[:_MAX_SUBTITLES]


def _is_webvtt(value: object) -> bool:
    """Whether the format is that, or nobody says which it is."""
    return (_text(value) or "webvtt").strip().casefold() in ("webvtt", "vtt")


def _image_url(image: object) -> str | None:
    """`{"imageURL": {"urlList": [...]}}`; some readers have also seen the bare address."""
    address = _dict(image).get("imageURL")
    found = map(web_url, [address, *_list(_dict(address).get("urlList"))])
    return next(filter(None, found), None)


# ------------------------------------------------------------------------------ values


def count_of(value: object) -> int | None:
    """A whole number of things, also where it is written as text; not a boolean."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,19}", value.strip()):
        value = int(value)
    if isinstance(value, float) and math.isfinite(value) and value == int(value):
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value < 2**63 else None


def time_of(value: object) -> datetime | None:
    """Of seconds since 1970."""
    seconds = count_of(value)
    return datetime.fromtimestamp(seconds, UTC) if seconds and seconds < _LATEST_S else None


def flag_of(value: object) -> bool | None:
    """Yes or no, as JSON, a number or a word says it."""
    if isinstance(value, str):
        return {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}.get(
            value.strip().casefold()
        )
    return bool(value) if isinstance(value, bool | int) and value in (0, 1) else None


def _seconds(value: object) -> float | None:
    """A length; 0 is TikTok's word for none (a photo post's video)."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", value.strip()):
        value = float(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 < value <= _LONGEST_S else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and clean_text(value).strip() else None


def _texts(values: Iterable[object]) -> list[str]:
    """Those that say something, each once, in order."""
    return list(dict.fromkeys(text.strip() for text in map(_text, values) if text))


def _or_none(known: dict[str, Any]) -> dict[str, Any] | None:
    return known if any(value is not None for value in known.values()) else None


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value[:MAX_ITEMS] if isinstance(value, list) else []


def _first(value: object) -> dict[str, Any]:
    return _dict(next(iter(_list(value)), None))
