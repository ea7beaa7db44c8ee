"""What lies beside a video, believed only where it has the right type."""

import json
import logging
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reelscope.crawl.said import MAX_ITEMS
from reelscope.crawl.sidecar import (
    MAX_BYTES,
    read_sidecar,
    sidecar_path,
    with_earlier_counts,
    write_sidecar,
)
from reelscope.errors import OutputError
from reelscope.records import Counts, Platform, PlatformAuthor, PlatformMusic, VideoSource

FULL: dict[str, Any] = {
    "name": "tiktok",
    "caption": "Morning run 🏃\nsecond line",
    "hashtags": ["run", "städte"],
    "mentions": ["berta"],
    "posted_at": 1_700_000_000,
    "region": "DE",
    "counts": {"plays": 10_000_000_000, "likes": 5, "taken_at": "2024-05-01T12:00:00+02:00"},
    "music": {"id": "7", "title": "Song", "author": "Carla", "original": False, "album": "A",
              "duration_s": 30.5, "play_url": "https://example.org/s"},
    "subtitles": ["good morning"],
    "kind": "photo",
    "duration_s": 12.25,
    "author": {"id": "9", "username": "ana", "nickname": "Ana 🌻", "verified": True,
               "followers": 1200},
    "effects": ["Green Screen"],
    "stickers": ["Day 1"],
    "cover_url": "https://example.org/c",
    "counts_before": [
        {"plays": 3, "likes": None, "comments": None, "shares": None, "saves": None,
         "taken_at": "2024-04-30T10:00:00Z"},
    ],
    "is_ad": True,
    "is_paid_partnership": True,
    "is_ai_generated": False,
}  # fmt: skip


def read(folder: Path, data: object) -> Platform:
    raw = data if isinstance(data, bytes) else json.dumps(data).encode()
    (folder / "v.json").write_bytes(raw)
    return read_sidecar(folder / "v.mp4")


def test_every_field_is_read(tmp_path: Path) -> None:
    found = read(tmp_path, FULL)
    assert found.counts is not None
    assert found.counts.plays == 10_000_000_000
    assert found.counts.taken_at == datetime(2024, 5, 1, 10, tzinfo=UTC)
    assert found.posted_at == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    given = {**FULL, "posted_at": None, "counts": None}
    got = found.model_dump(mode="json") | {"posted_at": None, "counts": None}
    assert got == given


def test_without_a_sidecar_it_is_from_a_folder(tmp_path: Path) -> None:
    assert read_sidecar(tmp_path / "v.mp4") == Platform(name="folder")


def test_a_key_of_the_wrong_type_costs_that_key_only(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bad = {"caption": 3, "hashtags": ["a", 7], "posted_at": "soon", "is_ad": "perhaps",
           "counts": {"plays": -1, "likes": 2**70, "shares": "12", "saves": 4}, "music": "Song",
           "unknown": {"deep": 1}, "region": None}  # fmt: skip
    with caplog.at_level(logging.WARNING):
        found = read(tmp_path, {**FULL, **bad})
    assert found.caption is found.posted_at is found.is_ad is found.music is found.region is None
    assert found.hashtags == ()
    assert found.mentions == ("berta",)
    assert found.counts is not None
    assert found.counts.model_dump(exclude_none=True) == {"shares": 12, "saves": 4}
    assert "counts.plays is ignored" in caplog.text


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"caption": NaN}',
        b"[" * 100_000,
        b'{"counts":' * 50_000,
        b"9" * 10_000,
        b'{"caption": "' + b"x" * MAX_BYTES + b'"}',
        b'{"name": 7}',
        b'{"name": null, "counts": {"taken_at": "9999-12-31T23:00:00-12:00"}}',
    ],
)
def test_hostile_files_are_ignored(
    tmp_path: Path, raw: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    found = read(tmp_path, raw)
    assert found.name == "folder"
    assert found.caption is None
    if b"null" not in raw:
        assert str(tmp_path / "v.json") in caplog.text


def test_texts_are_cut_and_lose_control_characters(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        {
            "caption": "a\x00b\x1b[31m\ud800c\n" + "x" * 50_000,
            "hashtags": ["y" * 5_000, *["y"] * 5_000],
            "music": {"title": "z\x07" * 5_000},
        },
    )
    assert found.caption is not None
    assert found.caption.startswith("ab[31mc\nxxx")
    assert len(found.caption) == 10_000
    assert len(found.hashtags) == 1_000
    assert len(found.hashtags[0]) == 1_000
    assert found.music is not None
    assert found.music.title == "z" * 1_000


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "v.json")
    (tmp_path / "w.json").mkdir()
    assert read_sidecar(tmp_path / "v.mp4").name == "folder"
    assert read_sidecar(tmp_path / "w.mp4").name == "folder"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["plays", "title", "taken_at", "x"]), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.dictionaries(st.sampled_from(list(FULL)), json_values))
def test_whatever_it_says_a_record_can_be_saved(tmp_path: Path, data: dict[str, Any]) -> None:
    found = read(tmp_path, data)
    source = VideoSource(creator="a", video_id="v", frames_id="v", platform=found)
    assert VideoSource.model_validate_json(source.model_dump_json()) == source


def test_a_name_too_long_for_a_sidecar_has_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    video = tmp_path / ("v" * 251 + ".mp4")  # 255 bytes, the most; with .json it is one more
    video.write_bytes(b"")
    assert read_sidecar(video) == Platform(name="folder")
    assert not caplog.records


# ------------------------------------------------------------------- writing, counts

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)

numbers = st.none() | st.integers(0, 2**63 - 1)
times = st.datetimes(timezones=st.just(UTC))
texts = st.text(max_size=30)
urls = st.sampled_from(
    ["https://example.org/a?b=c", "http://127.0.0.1:1/x", "https://e.org/" + "x" * 3000]
)
counts = st.builds(Counts, plays=numbers, saves=numbers, taken_at=st.none() | times)
platforms = st.builds(
    Platform,
    name=texts,
    caption=st.none() | texts,
    hashtags=st.lists(texts, max_size=4).map(tuple),
    subtitles=st.lists(texts, max_size=4).map(tuple),
    posted_at=st.none() | times,
    counts=st.none() | counts,
    counts_before=st.lists(counts, max_size=4).map(tuple),
    kind=st.sampled_from(["video", "photo"]),
    duration_s=st.none() | st.floats(0, 1e6),
    music=st.none() | st.builds(PlatformMusic, id=st.none() | texts, play_url=urls),
    author=st.none()
    | st.builds(PlatformAuthor, username=texts, followers=numbers, verified=st.booleans()),
    cover_url=st.none() | urls,
    is_ai_generated=st.none() | st.booleans(),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(platforms)
def test_what_is_written_is_read_back(tmp_path: Path, platform: Platform) -> None:
    video = tmp_path / "v.mp4"
    write_sidecar(video, platform)
    once = read_sidecar(video)
    write_sidecar(video, once)
    assert read_sidecar(video) == once
    silent = {"counts_before": (), "name": "", "caption": None, "music": None, "author": None,
              "hashtags": (), "subtitles": ()}  # fmt: skip
    # Texts lose control characters, and counts of nothing are left out; all else is the same.
    assert once.model_copy(update=silent) == platform.model_copy(update=silent)
    assert len(once.counts_before) <= len(platform.counts_before)


def test_the_largest_sidecar_can_be_read(tmp_path: Path) -> None:
    long = tuple("🌻" * 1_000 for _ in range(2_000))
    snapshots = tuple(
        Counts(plays=2**63 - 1, likes=2**62, comments=n, shares=n, saves=n, taken_at=NOON)
        for n in range(MAX_ITEMS)
    )
    platform = Platform(
        name="x", caption="🌻" * 20_000, hashtags=long, mentions=long, subtitles=long,
        effects=long, stickers=long, counts_before=snapshots,
    )  # fmt: skip
    write_sidecar(tmp_path / "v.mp4", platform)
    assert sidecar_path(tmp_path / "v.mp4").stat().st_size < MAX_BYTES
    found = read_sidecar(tmp_path / "v.mp4")
    assert found.counts_before == snapshots
    assert len(found.subtitles) == 100


def test_a_disk_that_takes_nothing_is_told(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(OutputError, match="could not be written"):
        write_sidecar(tmp_path / "a" / "v.mp4", Platform(name="x"))


def test_addresses_are_of_the_web(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    found = read(tmp_path, {"cover_url": "file:///etc/passwd", "music": {"play_url": 7, "id": "7"}})
    assert found.cover_url is None
    assert found.music == PlatformMusic(id="7")
    assert "cover_url is ignored" in caplog.text
    assert "music.play_url is ignored" in caplog.text


def test_earlier_counts_that_are_none_are_left_out(tmp_path: Path) -> None:
    before = [{"plays": "5", "likes": -1, "taken_at": "2024-05-01T14:00:00+02:00"}, 7, None, [],
              {"plays": "many"}, {"taken_at": "2024-05-01T12:00:00Z"}]  # fmt: skip
    found = read(tmp_path, {"counts_before": before})
    assert found.counts_before == (Counts(plays=5, taken_at=NOON),)
    assert read(tmp_path, {"counts_before": 7}).counts_before == ()


def at(days: int, plays: int) -> Counts:
    return Counts(plays=plays, taken_at=NOON + timedelta(days=days))


def crawled(*snapshots: Counts) -> Platform:
    platform = None
    for counts_now in snapshots:
        platform = with_earlier_counts(Platform(name="tiktok", counts=counts_now), platform)
    assert platform is not None
    return platform


def test_crawling_again_makes_a_history() -> None:
    found = crawled(at(0, 10), at(1, 20), at(2, 20), at(3, 20), at(4, 20), at(5, 30))
    assert found.counts == at(5, 30)
    assert found.counts_before == (at(0, 10), at(1, 20), at(4, 20))


def test_the_same_answer_twice_is_one() -> None:
    assert crawled(at(0, 10), at(1, 20), at(1, 20)) == crawled(at(0, 10), at(1, 20))


def test_an_old_export_goes_to_its_place() -> None:
    found = crawled(at(0, 10), at(5, 50), at(2, 20))
    assert found.counts == at(5, 50)
    assert found.counts_before == (at(0, 10), at(2, 20))
    assert crawled(Counts(plays=1), at(1, 20)).counts_before == (Counts(plays=1),)


def test_a_listing_without_counts_keeps_those_there_are() -> None:
    earlier = crawled(at(0, 10), at(1, 20))
    assert with_earlier_counts(Platform(name="urls"), earlier).counts == at(1, 20)
    found = with_earlier_counts(Platform(name="urls", counts=Counts(taken_at=NOON)), earlier)
    assert (found.counts, found.counts_before) == (earlier.counts, earlier.counts_before)


def test_a_history_is_bounded() -> None:
    platform = Platform(name="tiktok", counts_before=tuple(at(n, n) for n in range(MAX_ITEMS)))
    found = with_earlier_counts(
        Platform(name="tiktok", counts=at(MAX_ITEMS + 1, 9)),
        platform.model_copy(update={"counts": at(MAX_ITEMS, 8)}),
    )
    assert len(found.counts_before) == MAX_ITEMS
    assert found.counts_before[0] == at(1, 1)
    assert found.counts_before[-1] == at(MAX_ITEMS, 8)


def test_what_a_listing_does_not_say_is_kept() -> None:
    earlier = Platform(
        name="tiktok", kind="photo", subtitles=("hello",), caption="old", is_ad=True,
        music=PlatformMusic(id="7", album="A", title="old"),
        author=PlatformAuthor(id="1", followers=5),
    )  # fmt: skip
    new = Platform(
        name="import", caption="new", music=PlatformMusic(id="7", title="new"),
        author=PlatformAuthor(id="2"),
    )  # fmt: skip
    found = with_earlier_counts(new, earlier)
    assert (found.name, found.kind, found.subtitles, found.caption, found.is_ad) == (
        "import", "photo", ("hello",), "new", True,
    )  # fmt: skip
    assert found.music == PlatformMusic(id="7", album="A", title="new")
    assert found.author == PlatformAuthor(id="2")  # somebody else: nothing is mixed
    assert with_earlier_counts(new, None) is new
    assert with_earlier_counts(new.model_copy(update={"kind": "video"}), earlier).kind == "video"


@settings(deadline=None)
@given(st.lists(counts, max_size=30))
def test_a_history_is_in_order_and_its_ends_are_kept(snapshots: list[Counts]) -> None:
    if not snapshots:
        return
    found = crawled(*snapshots)
    told = [c for c in (*found.counts_before, found.counts) if c is not None]
    known = [c.taken_at for c in told if c.taken_at is not None]
    assert known == sorted(known)
    full = [c for c in snapshots if c.plays is not None or c.saves is not None]
    if len(snapshots) > 1:
        assert set(map(repr, told)) <= set(map(repr, full))
        assert {(c.plays, c.saves) for c in told} == {(c.plays, c.saves) for c in full}
