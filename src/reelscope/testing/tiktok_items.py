"""Posts in the shape that TikTok's own pages and endpoints give them.

Field names and types are those of real answers, as public code that reads them has them:
yt-dlp (`extractor/tiktok.py`), 4CAT (`datasources/tiktok/search_tiktok.py`), Zeeschuimer
(`modules/tiktok.js`). The people, sounds and addresses are made up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Item = dict[str, Any]

CDN = "https://v16-webapp-prime.tiktok.com"
IMAGES = "https://p16-sign-va.tiktokcdn.com"
SOUNDS = "https://v16-webapp.tiktok.com"


def item(
    video_id: str,
    *,
    username: str = "some.baker",
    caption: str = "Bread in 20 seconds @other.baker #bread #baking",
    created_s: int = 1_700_000_000,
    plays: int = 12_345,
    duration_s: int = 12,
    media_url: str | None = None,
    **changes: Any,
) -> Item:
    """A post with a video.

    Args:
        video_id: digits.
        username: of its author, without '@'.
        caption: what stands under it; words with '#' and '@' are told apart as TikTok does.
        created_s: seconds since 1970.
        plays: from it follow the other counts.
        duration_s: of the video.
        media_url: of its file; None: at the usual host, with the id as its name.
        changes: further keys of the post, or other values for those that it has.
    """
    return {
        "AIGCDescription": "",
        "CategoryType": 100,
        "author": _author(username),
        "authorStats": _author_stats(plays),
        "authorStatsV2": {key: str(n) for key, n in _author_stats(plays).items()},
        "backendSourceEventTracking": "",
        "challenges": _challenges(caption),
        "collected": False,
        "contents": [{"desc": caption, "textExtra": _text_extra(caption)}],
        "createTime": created_s,
        "desc": caption,
        "digged": False,
        "duetDisplay": 0,
        "duetEnabled": True,
        "duetInfo": {"duetFromId": "0"},
        "effectStickers": [{"ID": "459476", "name": "Color Selector"}],
        "forFriend": False,
        "id": video_id,
        "isAd": False,
        "isReviewing": False,
        "itemCommentStatus": 0,
        "item_control": {"can_repost": True},
        "locationCreated": "DE",
        "music": _music(username, duration_s),
        "officalItem": False,
        "originalItem": False,
        "privateItem": False,
        "secret": False,
        "shareEnabled": True,
        "stats": _stats(plays),
        "statsV2": {**{key: str(n) for key, n in _stats(plays).items()}, "repostCount": "0"},
        "stickersOnItem": [{"stickerText": ["Bread in\n20 seconds"], "stickerType": 4}],
        "stitchDisplay": 0,
        "stitchEnabled": True,
        "textExtra": _text_extra(caption),
        "textLanguage": "en",
        "textTranslatable": True,
        "video": _video(video_id, media_url or f"{CDN}/video/{video_id}.mp4", duration_s),
        **changes,
    }


def photo_item(
    video_id: str,
    *,
    pictures: int = 3,
    picture_urls: Sequence[str] | None = None,
    sound_url: str | None = None,
    **changes: Any,
) -> Item:
    """A post of pictures with a sound; its video has no picture and a length of 0.

    Args:
        video_id: digits.
        pictures: how many.
        picture_urls: of the pictures in order; None: at the usual host.
        sound_url: of the sound; None: at the usual host.
        changes: as for `item`.
    """
    urls = picture_urls or [f"{IMAGES}/{video_id}/{n}.jpeg" for n in range(1, pictures + 1)]
    sound = sound_url or f"{SOUNDS}/music/{video_id}.mp3"
    post = item(video_id, duration_s=0)
    post["music"] = {**post["music"], "duration": 30, "playUrl": sound}
    post["video"] = {
        "cover": urls[0], "duration": 0, "dynamicCover": urls[0], "format": "", "height": 0,
        "id": video_id, "originCover": urls[0], "playAddr": sound, "ratio": "", "width": 0,
    }  # fmt: skip
    post["imagePost"] = {
        "cover": _picture(urls[0]),
        "images": [_picture(url) for url in urls],
        "shareCover": _picture(urls[0]),
        "title": "",
    }
    return {**post, **changes}


def subtitle_file(*lines: str) -> str:
    """WebVTT as TikTok gives it, one line per cue of a second."""
    cues = (f"00:00:{n:02}.000 --> 00:00:{n + 1:02}.000\n{line}" for n, line in enumerate(lines))
    return "\n\n".join(["WEBVTT", *cues]) + "\n"


def zeeschuimer_line(post: Item, *, collected_ms: int = 1_700_100_000_000) -> dict[str, Any]:
    """The post as Zeeschuimer saves it: one such object per line (`js/zs-background.js`)."""
    page = f"https://www.tiktok.com/@{post['author']['uniqueId']}"
    return {
        "nav_index": "1:2:3",
        "item_id": post["id"],
        "timestamp_collected": collected_ms,
        "source_platform": "tiktok.com",
        "source_platform_url": page,
        "source_url": "https://www.tiktok.com/api/post/item_list/?aid=1988",
        "user_agent": "Mozilla/5.0",
        "data": post,
    }


def _author(username: str) -> Item:
    return {
        "UserStoryStatus": 0,
        "avatarLarger": f"{IMAGES}/avatar/{username}_1080.jpeg",
        "avatarMedium": f"{IMAGES}/avatar/{username}_720.jpeg",
        "avatarThumb": f"{IMAGES}/avatar/{username}_100.jpeg",
        "commentSetting": 0,
        "ftc": False,
        "id": "6784883493821055000",
        "isADVirtual": False,
        "nickname": f"{username.title()} 🍞",
        "privateAccount": False,
        "relation": 0,
        "secUid": sec_uid(username),
        "secret": False,
        "signature": "I bake.",
        "uniqueId": username,
        "verified": True,
    }


def sec_uid(username: str) -> str:
    """The long name that endpoints want instead of the short one."""
    return f"MS4wLjABAAAA{username.encode().hex()}"


def _author_stats(plays: int) -> dict[str, int]:
    return {
        "diggCount": 414, "followerCount": plays // 10, "followingCount": 292, "friendCount": 12,
        "heart": plays * 3, "heartCount": plays * 3, "videoCount": 83,
    }  # fmt: skip


def _stats(plays: int) -> dict[str, int]:
    return {
        "collectCount": plays // 50, "commentCount": plays // 100, "diggCount": plays // 10,
        "playCount": plays, "shareCount": plays // 200,
    }  # fmt: skip


def _words(caption: str, mark: str) -> list[tuple[int, str]]:
    found, start = [], 0
    for word in caption.split():
        start = caption.index(word, start)
        if word.startswith(mark) and len(word) > 1:
            found.append((start, word[1:]))
    return found


def _text_extra(caption: str) -> list[Item]:
    """Where the caption names a hashtag (type 1) or somebody (type 0)."""
    plain = {"awemeId": "", "isCommerce": False, "subType": 0}
    tags = [
        {**plain, "start": at, "end": at + 1 + len(tag), "hashtagName": tag, "type": 1}
        for at, tag in _words(caption, "#")
    ]
    people = [
        {
            **plain, "start": at, "end": at + 1 + len(name), "hashtagName": "", "type": 0,
            "userId": "6784883493821055001", "userUniqueId": name, "secUid": sec_uid(name),
        }
        for at, name in _words(caption, "@")
    ]  # fmt: skip
    return sorted(tags + people, key=lambda extra: extra["start"])


def _challenges(caption: str) -> list[Item]:
    return [
        {"coverLarger": "", "coverMedium": "", "coverThumb": "", "desc": "", "id": str(at + 100),
         "profileLarger": "", "profileMedium": "", "profileThumb": "", "title": tag}
        for at, tag in _words(caption, "#")
    ]  # fmt: skip


def _music(username: str, duration_s: int) -> Item:
    return {
        "album": "",
        "authorName": username,
        "coverLarge": f"{IMAGES}/music_1080.jpeg",
        "coverMedium": f"{IMAGES}/music_720.jpeg",
        "coverThumb": f"{IMAGES}/music_100.jpeg",
        "duration": duration_s,
        "id": "7300000000000000001",
        "isCopyrighted": False,
        "original": True,
        "playUrl": f"{SOUNDS}/music/7300000000000000001.mp3",
        "private": False,
        "title": f"original sound - {username}",
        "tt2dsp": {},
    }


def _picture(url: str) -> Item:
    return {"imageHeight": 1440, "imageWidth": 1080, "imageURL": {"urlList": [url]}}


def _video(video_id: str, url: str, duration_s: int) -> Item:
    cover = f"{IMAGES}/{video_id}/cover.jpeg"
    caption = {
        "captionFormat": "webvtt", "isAutoGen": True, "isOriginalCaption": True,
        "language": "eng-US", "languageCode": "en", "url": f"{CDN}/captions/{video_id}.vtt",
    }  # fmt: skip
    return {
        "PlayAddrStruct": _play(url, "h264", 1024, 576),
        "VQScore": "63.38",
        "bitrate": 800_000,
        "bitrateInfo": [_rate(url, "h264", 800_000, 1024, 576)],
        "claInfo": {
            "captionInfos": [caption], "captionsType": 1, "enableAutoCaption": True,
            "hasOriginalAudio": True,
        },
        "codecType": "h264",
        "cover": cover,
        "definition": "540p",
        "downloadAddr": url,
        "duration": duration_s,
        "dynamicCover": cover,
        "encodedType": "normal",
        "format": "mp4",
        "height": 1024,
        "id": video_id,
        "originCover": cover,
        "playAddr": url,
        "ratio": "540p",
        "size": 1_200_000,
        "subtitleInfos": [
            {
                "Format": "webvtt", "LanguageCodeName": "eng-US", "LanguageID": "2", "Size": 400,
                "Source": "ASR", "Url": f"{CDN}/captions/{video_id}.vtt",
                "UrlExpire": 1_700_200_000, "Version": "1",
            }
        ],
        "videoID": f"v{video_id}",
        "videoQuality": "normal",
        "volumeInfo": {"Loudness": -17.9, "Peak": 0.63826},
        "width": 576,
        "zoomCover": {"240": cover, "480": cover, "720": cover, "960": cover},
    }  # fmt: skip


def _rate(url: str, codec: str, bitrate: int, height: int, width: int) -> Item:
    return {
        "Bitrate": bitrate, "BitrateFPS": 30, "CodecType": codec, "Format": "mp4",
        "GearName": "normal_540_0", "MVMAF": "", "QualityType": 20, "VideoExtra": "{}",
        "PlayAddr": _play(url, codec, height, width),
    }  # fmt: skip


def _play(url: str, codec: str, height: int, width: int) -> Item:
    return {
        "DataSize": 1_200_000, "FileCs": "", "FileHash": "0" * 32, "Height": height,
        "Uri": "v0", "UrlKey": f"v0_{codec}_540p_800000", "UrlList": [url], "Width": width,
    }  # fmt: skip


def rates(*variants: tuple[str, str, int, int, int]) -> list[Item]:
    """`video.bitrateInfo`: (address, codec, bits per second, height, width) of each variant."""
    return [_rate(*variant) for variant in variants]
