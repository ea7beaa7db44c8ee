"""TikTok's own JSON of a post: all that it says is taken, and nothing of it is believed."""

import copy
import json
import math
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reelscope.crawl.sidecar import read_sidecar, write_sidecar
from reelscope.crawl.source import Listed
from reelscope.crawl.tiktok_item import listed_of, post_id
from reelscope.records import Counts, PlatformAuthor, PlatformMusic
from reelscope.testing.tiktok_items import Item, item, photo_item, rates

ID = "7300000000000000123"
NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)


def listed(post: object) -> Listed:
    found = listed_of(post, taken_at=NOW)
    assert found is not None
    return found


def test_everything_that_a_post_says() -> None:
    found = listed(item(ID, caption="Bread @other.baker #bread #baking", isAd=True))
    said = found.platform
    assert found.video_id == ID
    assert found.url == f"https://www.tiktok.com/@some.baker/video/{ID}"
    assert said.caption == "Bread @other.baker #bread #baking"
    assert said.hashtags == ("bread", "baking")
    assert said.mentions == ("other.baker",)
    assert said.posted_at == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert said.region == "DE"
    assert said.counts == Counts(
        plays=12345, likes=1234, comments=123, shares=61, saves=246, taken_at=NOW
    )
    assert said.music == PlatformMusic(
        id="7300000000000000001", title="original sound - some.baker", author="some.baker",
        original=True, duration_s=12.0,
        play_url="https://v16-webapp.tiktok.com/music/7300000000000000001.mp3",
    )  # fmt: skip
    assert said.author == PlatformAuthor(
        id="6784883493821055000", username="some.baker", nickname="Some.Baker 🍞", verified=True,
        followers=1234,
    )  # fmt: skip
    assert (said.kind, said.duration_s, said.subtitles) == ("video", 12.0, ())
    assert found.subtitle_urls == (f"https://v16-webapp-prime.tiktok.com/captions/{ID}.vtt",)
    assert said.effects == ("Color Selector",)
    assert said.stickers == ("Bread in\n20 seconds",)
    assert said.is_ad is True
    assert said.is_paid_partnership is said.is_ai_generated is None  # it does not say
    assert said.cover_url is not None


def test_a_photo_post_has_its_pictures_in_order_and_its_sound() -> None:
    urls = [f"https://p16.example.org/{n}.jpeg" for n in (3, 1, 2)]
    found = listed(photo_item(ID, picture_urls=urls, sound_url="https://v16.example.org/s.mp3"))
    assert found.platform.kind == "photo"
    assert found.image_urls == tuple(urls)
    assert found.sound_url == "https://v16.example.org/s.mp3"
    assert found.media_urls == ()
    assert found.platform.duration_s is None
    assert found.url == f"https://www.tiktok.com/@some.baker/photo/{ID}"
    silent = listed(photo_item(ID, music=None, video=None))
    assert silent.sound_url is None
    bare = listed(photo_item(ID, imagePost={"images": [{"imageURL": urls[0]}, 7, {}]}))
    assert bare.image_urls == (urls[0],)


def test_numbers_as_texts_are_preferred_to_those_that_overflow() -> None:
    stats = {"playCount": -5, "diggCount": 7, "commentCount": 3.0, "shareCount": True,
             "collectCount": 10}  # fmt: skip
    newer = {"playCount": "3000000000", "diggCount": "many", "collectCount": " 12 "}
    counts = listed(item(ID, stats=stats, statsV2=newer)).platform.counts
    assert counts == Counts(plays=3_000_000_000, likes=7, comments=3, saves=12, taken_at=NOW)
    assert listed(item(ID, stats=None, statsV2=[])).platform.counts is None


@pytest.mark.parametrize(
    ("said", "made"),
    [
        ({}, None),
        ({"IsAigc": False}, False),
        ({"IsAigc": True}, True),
        ({"IsAigc": False, "aigcLabelType": 1}, True),  # labelled by its creator
        ({"aigcLabelType": "2"}, True),
        ({"aigcLabelType": 0}, False),
        ({"moderationAigcLabelType": 1, "IsAigc": "perhaps"}, True),
        ({"aigcLabelType": -1, "IsAigc": None}, None),
    ],
)
def test_labels_of_machines(said: Item, made: bool | None) -> None:
    assert listed(item(ID, **said)).platform.is_ai_generated is made


def test_payment_is_what_research_tools_take_for_it() -> None:
    assert listed(item(ID, adAuthorization=True)).platform.is_paid_partnership is True
    assert listed(item(ID, adAuthorization=False)).platform.is_paid_partnership is False
    other = item(ID, BAInfo="x", isECVideo=1, brandOrganicType=2001, adLabelVersion=2)
    assert listed(other).platform.is_paid_partnership is None
    assert listed(other).platform.is_ad is False


def test_files_come_best_first() -> None:
    base = "https://v16.example.org/"
    post = item(ID, media_url=base + "play")
    post["video"]["downloadAddr"] = base + "watermark"
    post["video"]["bitrateInfo"] = rates(
        (base + "540-h265", "h265_hvc1", 900, 1024, 576),
        (base + "540-h264-low", "h264", 300, 1024, 576),
        (base + "720-bytevc1", "bytevc1", 500, 1280, 720),
        (base + "720-h264", "h264", 400, 1280, 720),
        (base + "1080-unplayable", "bytevc2", 400, 1920, 1080),
        (base + "1080-silent/media-video-hvc1/", "h265_hvc1", 400, 1920, 1080),
        ("file:///etc/passwd", "h264", 400, 1920, 1080),
        (base + "1080-new", "av3", 400, 1920, 1080),
        ("https://www.tiktok.com/aweme/v1/play/?x=1", "h264", 400, 1920, 1080),
    )
    assert listed(post).media_urls == (
        base + "1080-new", base + "720-h264", base + "720-bytevc1", base + "play",
        base + "540-h264-low", base + "540-h265", "https://www.tiktok.com/aweme/v1/play/?x=1",
        base + "watermark",
    )  # fmt: skip


def test_a_codec_can_stand_in_the_key_of_an_address() -> None:
    post = item(ID, media_url="https://v16.example.org/play")
    variant = rates(("https://v16.example.org/no", "", 1, 9999, 9999))[0]
    variant["PlayAddr"]["UrlKey"] = "v12044gd0000_bytevc2_1080p_700000"
    post["video"]["bitrateInfo"] = [variant]
    assert listed(post).media_urls == ("https://v16.example.org/play",)


def test_the_page_s_older_shape() -> None:
    post = item(ID, author="some.baker", nickname="Baker", authorId="12", textExtra=None)
    found = listed(post).platform
    assert found.author == PlatformAuthor(
        id="12", username="some.baker", nickname="Baker", followers=1234
    )
    assert found.hashtags == ("bread", "baking")  # from `contents`
    assert listed({**post, "contents": None}).platform.hashtags == ("bread", "baking")
    assert listed({"id": ID, "contents": [{"desc": "x"}]}).platform.caption == "x"


@pytest.mark.parametrize(
    "author",
    ["../../etc", "a/b", "<script>", "a b", "\u202ename", "", "x" * 500, "=1+1", None, 7],
)
def test_a_name_never_becomes_a_path_of_the_address(author: object) -> None:
    post = item(ID)
    post["author"]["uniqueId"] = author
    assert listed(post).url == f"https://www.tiktok.com/@/video/{ID}"


@pytest.mark.parametrize(
    "wrong",
    [None, True, 0, -1, 7.3e18, "", " ", "0", "abc", "12/../3", "1" * 21, "٣", 10**30, [], {},
     math.nan, "1\n2", ["7"]],
)  # fmt: skip
def test_without_an_id_there_is_no_post(wrong: object) -> None:
    assert listed_of(item(ID, id=wrong), taken_at=NOW) is None
    assert listed_of(wrong, taken_at=NOW) is None


def test_an_id_may_be_a_number() -> None:
    assert post_id(7300000000000000123) == ID
    assert post_id(f" {ID}\n") == ID


def test_a_live_stream_is_no_post() -> None:
    assert listed_of(item(ID, liveRoomInfo={}), taken_at=NOW) is None


@pytest.mark.parametrize(
    "url",
    ["https://e.org/a b", "https://e.org/a\nb", "ftp://e.org/a", "https:///a", "https://[e/",
     "e.org", "https://e.org:0/", "https://e.org:99999/", "https://e.org/" + "a" * 5_000,
     "https://e.org/\u202e"],
)  # fmt: skip
def test_addresses_that_are_none(url: str) -> None:
    post = item(ID, video={"playAddr": url, "cover": url})
    assert listed(post).media_urls == ()
    assert listed(post).platform.cover_url is None


def test_an_address_without_a_scheme_is_https() -> None:
    post = item(ID, video={"playAddr": " //e.org/a?b=1 "})
    assert listed(post).media_urls == ("https://e.org/a?b=1",)


@pytest.mark.parametrize("created", [0, -1, "soon", 10**12, None, True, math.inf, "1" * 5000])
def test_times_that_make_no_sense(created: object) -> None:
    assert listed(item(ID, createTime=created)).platform.posted_at is None


def test_texts_are_cut_and_cleaned() -> None:
    tags = [{"hashtagName": "y" * 5_000}, {"hashtagName": "\x00"}, *[{"hashtagName": "z"}] * 9]
    found = listed(item(ID, desc="a\x1b[31m\ud800\0b" + "x" * 10**6, textExtra=tags)).platform
    assert found.caption is not None
    assert found.caption.startswith("a[31mbxxx")
    assert len(found.caption) == 10_000
    assert found.hashtags == ("y" * 1_000, "z")


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from places(inner, (*path, key))


FULL = item(ID, adAuthorization=True, IsAigc=False, imagePost=photo_item(ID)["imagePost"])
PLACES = [path for path in places(FULL) if path]
junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters())
    | st.sampled_from(["\x00" * 9, "NaN", "9" * 5000, 10**400, -1, "//host/x", "http://[", "1e9",
                       "javascript:alert(1)", "https://u:p@h:99999/", "\ud83d", "=cmd|x"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["id", "name", "UrlList", "title", "x"]), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.tuples(st.sampled_from(PLACES), junk), min_size=1, max_size=6))
def test_whatever_stands_where_it_can_be_kept(
    tmp_path: Path, changes: list[tuple[tuple[Any, ...], Any]]
) -> None:
    post = copy.deepcopy(FULL)
    for (*path, last), value in changes:
        inner: Any = post
        for key in path:
            try:
                inner = inner[key]
            except (KeyError, IndexError, TypeError):
                break
        if isinstance(inner, dict) or (isinstance(inner, list) and last in range(len(inner))):
            inner[last] = value
    found = listed_of(post, taken_at=NOW)
    if found is None:
        assert post_id(post.get("id")) is None or "liveRoomInfo" in post
        return
    for url in (*found.media_urls, *found.image_urls, found.sound_url or "https://x"):
        assert url.startswith(("http://", "https://"))
    write_sidecar(tmp_path / "v.mp4", found.platform)
    assert read_sidecar(tmp_path / "v.mp4") == found.platform


@given(junk)
def test_whatever_comes_instead_of_a_post(value: object) -> None:
    assert listed_of(value, taken_at=None) is None or isinstance(value, dict)


def test_the_samples_are_json() -> None:
    assert json.loads(json.dumps(photo_item(ID))) == photo_item(ID)


def subtitles(*infos: object, captions: object = None) -> tuple[str, ...]:
    post = item(ID)
    post["video"] |= {"subtitleInfos": list(infos), "claInfo": {"captionInfos": captions}}
    return listed(post).subtitle_urls


def info(name: str, source: str, **changes: object) -> dict[str, object]:
    url = f"https://v16.tiktokcdn.com/{name}"
    return {
        "Url": url,
        "Format": "webvtt",
        "LanguageCodeName": "eng-US",
        "Source": source,
    } | changes


def test_what_was_said_stands_before_its_translations() -> None:
    translation, heard = info("de", "MT"), info("en", "ASR")
    plain = info("own", "", Format=None)
    found = subtitles(translation, heard, plain, heard)
    assert [url.rpartition("/")[2] for url in found] == ["en", "own", "de"]
    captions = [
        {"captionFormat": "webvtt", "isOriginalCaption": original, "url": f"https://a.org/{n}"}
        for n, original in enumerate([False, "?", True])
    ]
    found = subtitles(captions=captions)
    assert [url.rpartition("/")[2] for url in found] == ["2", "1", "0"]


def test_addresses_of_subtitles_are_not_believed() -> None:
    bad: tuple[object, ...] = (None, 7, [], {}, "", "file:///etc/passwd", "ftp://a.org", "https://")
    for url in bad:
        assert subtitles(info("x", "ASR", Url=url)) == ()
    assert subtitles(info("x", "ASR", Format="creator_caption"), "x", None, [[]]) == ()
    assert subtitles(info("x", {}, Format=[]), captions="x")  # type: ignore[arg-type]
    assert len(subtitles(*(info(str(n), "ASR") for n in range(500)))) == 4
