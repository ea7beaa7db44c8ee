"""Exports of 4CAT and Zeeschuimer: recognised by content, read by line, believed in nothing."""

import csv
import io
import json
import math
import os
import tracemalloc
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reelscope.crawl.creators import Creator
from reelscope.crawl.imports import MAX_LINE_BYTES, Import, ImportSource, read_import
from reelscope.crawl.sidecar import read_sidecar, write_sidecar
from reelscope.crawl.source import Listed
from reelscope.errors import CrawlFailed, OutputError, UsageError
from reelscope.media.info import read_info
from reelscope.records import Counts, PlatformAuthor, PlatformMusic
from reelscope.testing.media import Scene, tone, write_sound, write_video
from reelscope.testing.tiktok_items import Item, item, photo_item, zeeschuimer_line

ROW = {
    "collected_from_url": "https://www.tiktok.com/@some.baker", "id": "7300000000000000001",
    "thread_id": "7300000000000000001", "author": "some.baker", "author_full": "Baker 🍞",
    "author_followers": "1234", "author_likes": "5", "author_videos": "6", "author_avatar": "",
    "body": "Bread, in\n20 \"seconds\" #bread", "stickers": "Bread\nin 20 s",
    "timestamp": "2023-11-14 22:13:20", "unix_timestamp": "1700000000", "is_duet": "no",
    "is_ad": "no", "is_paid_partnership": "yes", "is_sensitive": "no", "is_photosensitive": "no",
    "music_name": "original sound", "music_id": "7300000000000000009",
    "music_url": "https://v16.example.org/s.mp3", "music_thumbnail": "", "music_author": "baker",
    "video_url": "https://v16.example.org/v.mp4",
    "tiktok_url": "https://www.tiktok.com/@some.baker/video/7300000000000000001",
    "thumbnail_url": "https://p16.example.org/c.jpeg", "likes": "10", "comments": "2",
    "shares": "3", "plays": "400", "hashtags": "bread,baking", "challenges": "bread",
    "diversification_labels": "Food", "location_created": "DE", "effects": "Color Selector",
    "warning": "",
}  # fmt: skip


def ndjson(path: Path, lines: Iterable[Any]) -> Path:
    path.write_bytes(b"".join(json.dumps(line).encode() + b"\n" for line in lines))
    return path


def table(path: Path, rows: Iterable[dict[str, str]], separator: str = ",") -> Path:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(ROW), delimiter=separator, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    path.write_text(text.getvalue(), encoding="utf-8")
    return path


def only(export: Import) -> Listed:
    ((_, listed),) = list(export)
    return listed


def ids(export: Import) -> list[str]:
    return [listed.video_id for _, listed in export]


# ------------------------------------------------------------------------- recognition


def test_zeeschuimer_has_the_post_in_an_envelope(tmp_path: Path) -> None:
    path = ndjson(tmp_path / "export.txt", [zeeschuimer_line(item("12", username="Some.Baker"))])
    ((creator, listed),) = list(read_import(path))
    assert creator == Creator("Some.Baker", 1)
    assert listed.video_id == "12"
    assert listed.platform.name == "tiktok"
    assert listed.platform.counts is not None
    assert listed.platform.counts.taken_at == datetime(2023, 11, 16, 2, tzinfo=UTC)


def test_fourcat_has_the_envelope_in_the_post(tmp_path: Path) -> None:
    line = zeeschuimer_line(item("12"))
    post = {**line.pop("data"), "__import_meta": line}
    listed = only(read_import(ndjson(tmp_path / "x.csv", [post])))
    assert listed.platform.counts is not None
    assert listed.platform.counts.taken_at == datetime(2023, 11, 16, 2, tzinfo=UTC)


@pytest.mark.parametrize("wrap", [lambda post: post, lambda post: {"itemStruct": post}])
def test_posts_without_an_envelope(tmp_path: Path, wrap: Any) -> None:
    listed = only(read_import(ndjson(tmp_path / "x", [wrap(item("12"))])))
    assert listed.platform.counts is not None
    assert listed.platform.counts.taken_at is None  # nobody says when


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_the_csv_of_fourcat(tmp_path: Path, separator: str) -> None:
    ((creator, listed),) = list(read_import(table(tmp_path / "x.ndjson", [ROW], separator)))
    said = listed.platform
    assert creator == Creator("some.baker", 2)
    assert listed.video_id == ROW["id"]
    assert listed.url == ROW["tiktok_url"]
    assert listed.media_urls == ("https://v16.example.org/v.mp4",)
    assert said.caption == ROW["body"]
    assert said.posted_at == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert said.hashtags == ("bread", "baking")
    assert said.stickers == ("Bread", "in 20 s")
    assert said.effects == ("Color Selector",)
    assert said.region == "DE"
    assert said.counts == Counts(plays=400, likes=10, comments=2, shares=3)
    assert said.author == PlatformAuthor(username="some.baker", nickname="Baker 🍞", followers=1234)
    assert said.music == PlatformMusic(
        id="7300000000000000009", title="original sound", author="baker",
        play_url="https://v16.example.org/s.mp3",
    )  # fmt: skip
    assert (said.is_ad, said.is_paid_partnership, said.is_ai_generated) == (False, True, None)


def test_columns_of_older_exports(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text(
        "id,author,body,timestamp,amount_likes,amount_plays,hashtags\n"
        "12,some.baker,hi,1700000000,5,oops,\n"
    )
    said = only(read_import(path)).platform
    assert said.counts == Counts(likes=5)
    assert said.posted_at == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert said.hashtags == ()
    assert said.is_ad is None


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "empty"),
        (b"\xef\xbb\xbf\n \n", "empty"),
        (b"[{}]", "JSON array"),
        (b"username\nsome.baker\n", "neither"),
        (b"PK\x03\x04rest", "neither"),
        (b"\x00\xff" * 50_000, "neither"),
        (b'"' + b"x" * 200_000, "neither"),
    ],
)
def test_what_is_no_export_is_refused(tmp_path: Path, content: bytes, why: str) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(UsageError, match=why):
        read_import(tmp_path / "x")


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "none", tmp_path, tmp_path / "pipe"):
        with pytest.raises(UsageError, match="no such file"):
            read_import(path)
    path = ndjson(tmp_path / "x", [item("12")])
    with pytest.raises(UsageError, match="no such folder"):
        read_import(path, media=tmp_path / "none")


# ------------------------------------------------------------------------------- lines


def test_what_cannot_be_used_is_named_by_line(tmp_path: Path) -> None:
    good = json.dumps(zeeschuimer_line(item("1"))).encode()
    other = json.dumps({**zeeschuimer_line(item("2")), "source_platform": "instagram.com"})
    lines = [
        b"\xef\xbb\xbf" + good, b"", b"  \r", b"{", b"[]", b"7", b"\xff\xfe", b"[" * 100_000,
        json.dumps({"data": 7}).encode(), other.encode(),
        json.dumps(item("3", author={"uniqueId": "../../etc/passwd"})).encode(),
        json.dumps(item("4", author=None)).encode(), good,
        json.dumps(item("5")).encode().replace(b"{", b"{\0", 1),
        json.dumps(item("6")).encode()[:-50],
    ]  # fmt: skip
    (tmp_path / "x").write_bytes(b"\n".join(lines))
    export = read_import(tmp_path / "x")
    assert ids(export) == ["1", "5"]
    assert export.doubles == 1
    assert [problem.line for problem in export.problems] == [4, 5, 6, 7, 8, 9, 10, 11, 12, 15]
    texts = list(map(str, export.problems))
    assert texts[0].startswith("line 4: no JSON")
    assert texts[1] == "line 5: expected a post, found a list"
    assert "instagram.com" in texts[6]
    assert "line 11: post 3: '../../etc/passwd' has '/' in it" in texts[7]
    assert texts[9] == "line 15: the file ends in the middle of this post"
    assert ids(export) == ["1", "5"]  # read anew, nothing is told twice
    assert export.refused == len(export.problems) == 10


def test_rows_that_cannot_be_used_are_named_by_line(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    table(path, [ROW, {**ROW, "id": "oops"}, {**ROW, "id": "3", "author": "a/b"}, ROW])
    text = path.read_text(encoding="utf-8")
    path.write_text("\ufeff" + text + "\n" + text.splitlines()[1][:40], encoding="utf-8")
    export = read_import(path)
    assert ids(export) == [ROW["id"]]
    assert export.doubles == 1
    assert [str(problem)[:22] for problem in export.problems] == [
        "line 5: no post of Tik", "line 8: post 3: 'a/b' ", "line 15: 2 cells, the ",
    ]  # fmt: skip


def test_empty_lines_before_the_header_count(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"\xef\xbb\xbf\n\r\nid,author,body\noops,ana,hi\n12,ana,hi\n")
    export = read_import(tmp_path / "x")
    ((creator, _),) = list(export)
    assert (export.problems[0].line, creator.line) == (4, 5)


def test_a_quote_left_open_does_not_take_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    rest = "".join(f"{n},some.baker,{'x' * 1000}\n" for n in range(100, 500))
    path.write_text(f'id,author,body\n12,some.baker,"open\n{rest}')
    export = read_import(path)
    assert len(ids(export)) > 200
    assert "no CSV" in str(export.problems[0])


def test_problems_are_counted_but_not_all_kept(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b'{"id": 1}\n' + b"{}\n" * 5_000)
    export = read_import(tmp_path / "x")
    assert ids(export) == []
    assert (export.refused, len(export.problems)) == (5_001, 1_000)


def test_a_large_export_is_streamed(tmp_path: Path) -> None:
    path = tmp_path / "x"
    post = json.dumps(item("ID", comments=["x" * 70_000]))
    with path.open("w") as file:
        file.writelines(post.replace('"ID"', f'"{n + 1}"') + "\n" for n in range(300))
    assert path.stat().st_size > 20e6
    tracemalloc.start()
    assert sum(1 for _ in read_import(path)) == 300
    assert tracemalloc.get_traced_memory()[1] < 4e6
    tracemalloc.stop()


def test_a_line_that_is_too_long_costs_that_line(tmp_path: Path) -> None:
    long = item("2", desc="x" * (2 * MAX_LINE_BYTES + 7))
    path = ndjson(tmp_path / "x", [item("1"), long, item("3")])
    export = read_import(path)
    assert ids(export) == ["1", "3"]
    assert export.problems[0].line == 2
    assert "longer than" in str(export.problems[0])


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["id", "author", "data", "item", "__import_meta", "uniqueId", "video",
                         "timestamp_collected", "source_platform", "textExtra", "stats"]),
        inner, max_size=4,
    ),
    max_leaves=8,
)  # fmt: skip


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(junk, max_size=6), st.binary(max_size=40))
def test_whatever_the_lines_hold(tmp_path: Path, lines: list[Any], end: bytes) -> None:
    path = ndjson(tmp_path / "x", [item("1"), *lines])
    path.write_bytes(path.read_bytes() + end)
    export = read_import(path)
    found = list(export)
    assert found[0][1].video_id == "1"
    assert len(found) + export.refused + export.doubles >= 1 + len(lines)
    for _, listed in found:
        write_sidecar(tmp_path / "v.mp4", listed.platform)
        assert read_sidecar(tmp_path / "v.mp4") == listed.platform


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.dictionaries(st.sampled_from(list(ROW)), st.text(st.characters(codec="utf-8")))))
def test_whatever_the_cells_hold(tmp_path: Path, rows: list[dict[str, str]]) -> None:
    path = table(tmp_path / "x.csv", [ROW, *({**ROW, **row} for row in rows)])
    export = read_import(path)
    for _, listed in export:
        for url in (*listed.media_urls, *filter(None, [listed.platform.cover_url])):
            assert url.startswith(("http://", "https://"))
        write_sidecar(tmp_path / "v.mp4", listed.platform)
        assert read_sidecar(tmp_path / "v.mp4") == listed.platform


# ------------------------------------------------------------------------------- media


def make_video(path: Path) -> Path:
    write_video(path, [Scene(1.0)], size=(64, 96), fps=10)
    return path


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def test_media_beside_the_export_is_found(tmp_path: Path) -> None:
    path = ndjson(tmp_path / "x.ndjson", [item("12"), photo_item("13"), item("14"), item("15")])
    touch(*(tmp_path / name for name in (
        "12.MOV", "12.jpg", "12.json", "12.mp4.part", "13_2.jpg", "13_10.jpg", "13_1.webp",
        "13.jpeg", "13.mp3", "14.jpg", "114.mp4", "deep/15.mp4",
    )))  # fmt: skip
    (tmp_path / "15.mp4").mkdir()
    local = [[file.name for file in listed.local] for _, listed in read_import(path)]
    assert local == [["12.MOV"], ["13_1.webp", "13_2.jpg", "13_10.jpg", "13.mp3"], [], []]


def test_media_of_a_folder_of_its_own(tmp_path: Path) -> None:
    path = ndjson(tmp_path / "x.ndjson", [item("12"), item("15")])
    touch(tmp_path / "12.mp4", tmp_path / "media" / "deep" / "15.webm")
    found = [listed.local for _, listed in read_import(path, media=tmp_path / "media")]
    assert found == [(), (tmp_path / "media" / "deep" / "15.webm",)]


def test_numbered_pictures_make_a_row_a_photo_post(tmp_path: Path) -> None:
    path = table(tmp_path / "x.csv", [ROW])
    touch(tmp_path / f"{ROW['id']}_1.jpg", tmp_path / f"{ROW['id']}_2.jpg")
    listed = only(read_import(path))
    assert listed.platform.kind == "photo"
    assert len(listed.local) == 2
    table(path, [{**ROW, "tiktok_url": ROW["tiktok_url"].replace("/video/", "/photo/")}])
    assert only(read_import(path)).url == f"https://www.tiktok.com/@some.baker/photo/{ROW['id']}"


# -------------------------------------------------------------------------- the source


def dated(video_id: str, created_s: object, **changes: Any) -> Item:
    return item(video_id, createTime=created_s, **changes)


def opened(path: Path, **changes: Any) -> ImportSource:
    source = ImportSource(path, **changes)
    source.open()
    return source


@pytest.mark.parametrize("form", ["ndjson", "csv"])
def test_a_creator_s_posts_come_newest_first(tmp_path: Path, form: str) -> None:
    posts = [("1", "ana", 3000), ("2", "Berta", 5000), ("3", "ANA", None), ("4", "ana", 9000),
             ("5", "ana", 6000)]  # fmt: skip
    if form == "csv":
        rows = [
            {**ROW, "id": n, "author": who, "unix_timestamp": str(when or ""), "timestamp": ""}
            for n, who, when in posts
        ]
        path = table(tmp_path / "x", rows)
    else:
        path = ndjson(tmp_path / "x", [dated(n, when, username=who) for n, who, when in posts])
    source = opened(path)

    def listed(name: str, since_s: int | None = None, limit: int | None = None) -> list[str]:
        since = None if since_s is None else datetime.fromtimestamp(since_s, UTC)
        videos = source.list_videos(Creator(name), since=since, limit=limit)
        return [video.video_id for video in videos]

    assert [creator.username for creator in source.creators] == ["ana", "Berta"]
    assert listed("Ana") == ["4", "5", "1", "3"]
    assert listed("ana", limit=2) == ["4", "5"]
    assert listed("ana", limit=0) == []
    assert listed("ana", since_s=6000) == ["4", "5", "3"]
    assert listed("berta") == ["2"]
    with pytest.raises(CrawlFailed, match="has no post of carla") as fault:
        listed("carla")
    assert fault.value.fault == "no_videos"
    path.unlink()
    with pytest.raises(CrawlFailed, match="cannot be read"):
        listed("ana")
    source.close()


def test_an_export_that_changes_gives_nobody_else_s_posts(tmp_path: Path) -> None:
    path = ndjson(tmp_path / "x", [item("1", username="ana"), item("2", username="ana")])
    source = opened(path)
    ndjson(path, [item("9", username="berta")])
    assert list(source.list_videos(Creator("ana"), since=None, limit=None)) == []


def test_what_is_no_export_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(CrawlFailed, match="no such file") as fault:
        opened(tmp_path / "none")
    assert fault.value.fault == "not_supported"
    assert "4CAT" in fault.value.remedy


def test_a_file_that_is_here_is_linked(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    path = ndjson(tmp_path / "in" / "x", [item("12")])
    film = make_video(tmp_path / "in" / "12.mp4")
    source = opened(path)
    (video,) = source.list_videos(Creator("some.baker"), since=None, limit=None)
    target = tmp_path / "data" / "some.baker" / "12"
    for _ in range(2):  # a second time changes nothing
        assert source.download(video, target) == target.with_name("12.mp4")
        assert target.with_name("12.mp4").samefile(film)
        assert [file.name for file in target.parent.iterdir()] == ["12.mp4"]
    film.unlink()
    with pytest.raises(CrawlFailed) as fault:
        source.download(video, target)
    assert fault.value.fault == "gone"
    assert target.with_name("12.mp4").is_file()


def test_a_file_on_another_disk_is_copied(tmp_path: Path) -> None:
    other = Path("/dev/shm")  # a disk of its own on Linux
    if not other.is_dir() or other.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is one disk only")
    film = make_video(tmp_path / "12.mp4")
    target = other / f"reelscope-{os.getpid()}" / "12"
    try:
        place = opened(ndjson(tmp_path / "x", [item("12")])).download(
            Listed("12", only(read_import(tmp_path / "x")).platform, local=(film,)), target
        )
        assert place.read_bytes() == film.read_bytes()
        assert [file.name for file in target.parent.iterdir()] == ["12.mp4"]
    finally:
        target.with_name("12.mp4").unlink(missing_ok=True)
        target.parent.rmdir()


def test_what_is_no_media_is_not_taken(tmp_path: Path) -> None:
    path = ndjson(tmp_path / "x", [item("12"), photo_item("13"), item("14")])
    touch(tmp_path / "12.mp4", tmp_path / "13_1.jpg")
    source = opened(path)
    faults: dict[str, tuple[str, str, str]] = {}
    for video in source.list_videos(Creator("some.baker"), since=None, limit=None):
        with pytest.raises(CrawlFailed) as fault:
            source.download(video, tmp_path / "data" / video.video_id)
        faults[video.video_id] = (fault.value.fault, str(fault.value), fault.value.remedy)
    assert faults["12"][0] == "not_media"
    assert faults["13"][0] == "not_media"
    assert faults["14"][0] == "not_supported"
    assert "put 14.mp4 beside the export" in faults["14"][2]
    assert not (tmp_path / "data").exists() or not any((tmp_path / "data").iterdir())


def test_pictures_and_a_sound_that_are_here_become_one_file(tmp_path: Path) -> None:
    for name in ("13_1.jpg", "13_2.png"):
        assert cv2.imwrite(str(tmp_path / name), np.full((96, 64, 3), 99, np.uint8))
    write_sound(tmp_path / "13.mp3", tone(2.0))
    source = opened(ndjson(tmp_path / "x", [photo_item("13")]))
    (video,) = source.list_videos(Creator("some.baker"), since=None, limit=None)
    place = source.download(video, tmp_path / "data" / "ana" / "13")
    info = read_info(place)
    assert place.name == "13.mkv"
    assert info.has_video
    assert info.has_audio


def test_a_disk_that_takes_nothing_is_told(tmp_path: Path) -> None:
    make_video(tmp_path / "12.mp4")
    source = opened(ndjson(tmp_path / "x", [item("12")]))
    (video,) = source.list_videos(Creator("some.baker"), since=None, limit=None)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="could not be written"):
        source.download(video, tmp_path / "file" / "12")


class Fetching:
    """A source that makes a file of whatever it is asked for."""

    name = "fetching"

    def __init__(self) -> None:
        self.calls: list[str] = []

    def open(self) -> None:
        self.calls.append("open")

    def list_videos(self, creator: Creator, *, since: object, limit: object) -> Any:
        raise AssertionError

    def download(self, video: Listed, target: Path) -> Path:
        self.calls.append(video.video_id)
        place = target.with_name(f"{target.name}.mp4")
        touch(place)
        return place

    def close(self) -> None:
        self.calls.append("close")


def test_what_is_not_here_is_fetched(tmp_path: Path) -> None:
    make_video(tmp_path / "12.mp4")
    fetch = Fetching()
    source = opened(ndjson(tmp_path / "x", [item("12"), item("13")]), fetch=fetch)
    for video in source.list_videos(Creator("some.baker"), since=None, limit=None):
        assert source.download(video, tmp_path / "data" / video.video_id).is_file()
    source.close()
    assert fetch.calls == ["open", "13", "close"]


def test_times_of_an_envelope_that_make_no_sense(tmp_path: Path) -> None:
    times: list[Any] = [None, -1, "soon", 10**30, True, math.pi, []]
    lines = [
        {**zeeschuimer_line(item(str(n + 1))), "timestamp_collected": when}
        for n, when in enumerate(times)
    ]
    for _, listed in read_import(ndjson(tmp_path / "x", lines)):
        assert listed.platform.counts is not None
        assert listed.platform.counts.taken_at is None
