"""The crawl over scripted sources: what is listed, fetched, left alone and gone on with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from reelscope.crawl.crawler import Crawler, Wanted
from reelscope.crawl.creators import Creator
from reelscope.crawl.folder import folder_videos
from reelscope.crawl.listing import FILE_NAME
from reelscope.crawl.source import Listed
from reelscope.errors import CrawlFailed, CrawlFault
from reelscope.records import Counts, Platform, VideoSource
from reelscope.settings import Crawl

NOW = datetime(2026, 5, 1, tzinfo=UTC)


def fault(kind: CrawlFault) -> CrawlFailed:
    return CrawlFailed(kind, f"it is {kind}", remedy="do something")


@dataclass
class Scripted:
    """A source with these videos; `faults` by video id or creator are raised once each."""

    videos: dict[str, list[str]]
    faults: dict[str, list[CrawlFailed]] = field(default_factory=dict)
    name: str = "scripted"
    plays: int = 1
    opened: int = 0
    closed: int = 0
    lists: list[str] = field(default_factory=list)
    fetched: list[str] = field(default_factory=list)

    def _fail(self, key: str) -> None:
        if waiting := self.faults.get(key):
            raise waiting.pop(0)

    def open(self) -> None:
        self._fail("open")
        self.opened += 1

    def list_videos(
        self, creator: Creator, *, since: datetime | None, limit: int | None
    ) -> Iterator[Listed]:
        self.lists.append(creator.username)
        self._fail(creator.username)
        for number, video in enumerate(self.videos[creator.username][:limit]):
            self._fail(f"after {number}")
            counts = Counts(plays=self.plays, taken_at=NOW + timedelta(hours=self.plays))
            yield Listed(
                video, Platform(name="scripted", caption=video, counts=counts),
                url=f"https://example.org/{video}", headers={"cookie": "secret"},
            )  # fmt: skip

    def download(self, video: Listed, target: Path) -> Path:
        self._fail(video.video_id)
        self.fetched.append(video.video_id)
        target.parent.mkdir(parents=True, exist_ok=True)
        path = target.with_name(f"{target.name}.mp4")
        path.write_bytes(b"video")
        return path

    def close(self) -> None:
        self.closed += 1


class Heard:
    def __init__(self) -> None:
        self.lists: dict[str, int] = {}
        self.new: list[str] = []
        self.old: list[str] = []
        self.faults: list[tuple[str, str | None, str]] = []

    def listed(self, creator: Creator, count: int) -> None:
        self.lists[creator.username] = count

    def fetched(self, creator: Creator, video_id: str, *, new: bool) -> None:
        (self.new if new else self.old).append(video_id)

    def failed(self, creator: Creator, video_id: str | None, fault: CrawlFailed) -> None:
        self.faults.append((creator.username, video_id, fault.fault))


class Field:
    """A folder of videos, and crawls that go on in it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.now = NOW
        self.slept: list[float] = []

    def crawl(
        self, *sources: Scripted, creators: str = "ana", wanted: Wanted | None = None,
        listed_from: str = "", **settings: float,
    ) -> tuple[list[VideoSource], Heard]:  # fmt: skip
        heard = Heard()
        crawler = Crawler(
            self.root,
            {source.name: source for source in sources},
            Crawl.model_validate(settings),
            heard,
            sleep=self.slept.append,
            now=lambda: self.now,
        )
        columns = {"source": listed_from} if listed_from else {}
        names = [Creator(name, columns=columns) for name in creators.split()]
        return list(crawler.crawl(names, wanted or Wanted())), heard


@pytest.fixture
def place(tmp_path: Path) -> Field:
    return Field(tmp_path / "tiktok_videos")


SCRIPTED = Wanted(source="scripted")


def test_videos_come_as_the_folder_source_would_give_them(place: Field) -> None:
    source = Scripted({"ana": ["3", "2", "1"]})
    found, heard = place.crawl(source, wanted=SCRIPTED)
    assert [video.video_id for video in found] == ["3", "2", "1"]
    later = {video.video_id: video for video in folder_videos(place.root, Creator("ana"))}
    for video in found:
        assert video.model_copy(update={"url": None}) == later[video.video_id]
        assert video.platform is not None
        assert (video.platform.name, video.platform.caption) == ("scripted", video.video_id)
    assert heard.lists == {"ana": 3}
    assert (source.opened, source.closed) == (1, 1)
    assert len(place.slept) == 3, "a pause before every file"


def test_nothing_is_fetched_or_listed_twice(place: Field) -> None:
    source = Scripted({"ana": ["2", "1"]})
    place.crawl(source, wanted=SCRIPTED)
    _, heard = place.crawl(source, wanted=SCRIPTED)
    assert source.fetched == ["2", "1"]
    assert source.lists == ["ana"], "a young list is taken as it is"
    assert heard.old == ["2", "1"]
    place.now += timedelta(days=2)
    source.videos["ana"].insert(0, "3")
    found, heard = place.crawl(source, wanted=SCRIPTED)
    assert source.fetched == ["2", "1", "3"]
    assert (heard.new, len(found)) == (["3"], 3)


def test_crawling_again_adds_the_counts_to_their_history(place: Field) -> None:
    source = Scripted({"ana": ["1"]})
    for plays in (10, 20, 30):
        source.plays = plays
        [video], _ = place.crawl(source, wanted=SCRIPTED)
        place.now += timedelta(days=2)
    assert video.platform is not None
    assert video.platform.counts is not None
    assert video.platform.counts.plays == 30
    assert [counts.plays for counts in video.platform.counts_before] == [10, 20]


class Subtitled(Scripted):
    """A source that lists addresses of subtitles, and says what it was asked for."""

    def __init__(self, *videos: str, **faults: list[CrawlFailed]) -> None:
        super().__init__({"ana": list(videos)}, faults=faults)
        self.asked: list[str] = []

    def list_videos(
        self, creator: Creator, *, since: datetime | None, limit: int | None
    ) -> Iterator[Listed]:
        for video in super().list_videos(creator, since=since, limit=limit):
            url = f"https://example.org/{video.video_id}.vtt"
            yield replace(video, subtitle_urls=() if video.video_id == "mute" else (url,))

    def subtitles(self, video: Listed) -> tuple[str, ...]:
        self.asked += video.subtitle_urls
        self._fail(video.subtitle_urls[0].rpartition("/")[2])
        return ("Hello.", f"I am {video.video_id}.")


def said(place: Field, name: str) -> list[str]:
    data = json.loads((place.root / "ana" / f"{name}.json").read_text())
    return list(data.get("subtitles") or [])


def test_the_platforms_subtitles_come_with_a_new_video(place: Field) -> None:
    source = Subtitled("2", "mute")
    found, _ = place.crawl(source, wanted=SCRIPTED)
    assert [v.platform and v.platform.subtitles for v in found] == [("Hello.", "I am 2."), ()]
    assert source.asked == ["https://example.org/2.vtt"]
    place.now += timedelta(days=9)  # listed anew, and nothing new
    again = Subtitled("2", "mute")
    place.crawl(again, wanted=SCRIPTED)
    assert again.lists == ["ana"]
    assert again.asked == []
    assert said(place, "2") == ["Hello.", "I am 2."]


def test_subtitles_that_do_not_come_cost_nothing(place: Field) -> None:
    source = Subtitled("2", "1", **{"2.vtt": [fault("blocked")]})
    found, heard = place.crawl(source, wanted=SCRIPTED)
    assert [v.path is not None for v in found] == [True, True]
    assert (heard.new, heard.faults) == (["2", "1"], [])
    assert (said(place, "2"), said(place, "1")) == ([], ["Hello.", "I am 1."])


def test_subtitles_of_ones_own_are_not_replaced(place: Field) -> None:
    (place.root / "ana").mkdir(parents=True)
    (place.root / "ana" / "2.json").write_text('{"subtitles": ["mine"]}')
    source = Subtitled("2")
    place.crawl(source, wanted=SCRIPTED)
    assert (said(place, "2"), source.asked) == (["mine"], [])


def test_addresses_of_subtitles_are_kept_with_the_list(place: Field) -> None:
    source = Subtitled("2", **{"2": [fault("network")]})
    place.crawl(source, wanted=SCRIPTED)
    assert source.asked == [], "no video, no subtitles"
    place.crawl(source, wanted=SCRIPTED)
    assert source.lists == ["ana"], "from the kept list"
    assert said(place, "2") == ["Hello.", "I am 2."]


def test_a_video_that_fails_costs_that_video(place: Field) -> None:
    source = Scripted({"ana": ["3", "2", "1"]}, {"2": [fault("geo_blocked")]})
    found, heard = place.crawl(source, wanted=SCRIPTED)
    assert [(video.video_id, video.path is None) for video in found] == [
        ("3", False), ("2", True), ("1", False),
    ]  # fmt: skip
    assert found[1].missing == "it was not fetched: geo_blocked: it is geo_blocked"
    assert found[1].platform is not None
    assert found[1].platform.caption == "2"
    assert heard.faults == [("ana", "2", "geo_blocked")]
    found, _ = place.crawl(source, wanted=SCRIPTED)
    assert [video.video_id for video in found] == ["3", "2", "1"]
    assert source.fetched == ["3", "1", "2"]


def test_a_creator_that_fails_does_not_stop_the_others(place: Field) -> None:
    source = Scripted({"ana": [], "bo": ["1"]}, {"ana": [fault("private")]})
    found, heard = place.crawl(source, creators="ana bo", wanted=SCRIPTED)
    assert [video.creator for video in found] == ["bo"]
    assert heard.faults == [("ana", None, "private")]


def test_what_was_listed_before_a_fault_is_fetched_and_the_list_taken_again(place: Field) -> None:
    source = Scripted({"ana": ["3", "2", "1"]}, {"after 2": [fault("rate_limited")]})
    found, heard = place.crawl(source, wanted=SCRIPTED)
    assert [video.video_id for video in found] == ["3", "2"]
    assert heard.faults == [("ana", None, "rate_limited")]
    found, _ = place.crawl(source, wanted=SCRIPTED)
    assert source.lists == ["ana", "ana"], "a list that broke off is not the whole"
    assert [video.video_id for video in found] == ["3", "2", "1"]


def test_a_service_that_fails_in_a_row_is_left_alone(place: Field) -> None:
    names = [f"c{number}" for number in range(10)]
    source = Scripted({name: ["1"] for name in names}, {name: [fault("blocked")] for name in names})
    found, heard = place.crawl(
        source, creators=" ".join(names), wanted=SCRIPTED, breaker_failures=3
    )
    assert found == []
    assert len(source.lists) == 3, "the others are told without asking"
    assert len(heard.faults) == 10


def test_faults_of_creators_do_not_count_against_the_service(place: Field) -> None:
    names = [f"c{number}" for number in range(10)]
    source = Scripted({name: [] for name in names}, {name: [fault("gone")] for name in names})
    place.crawl(source, creators=" ".join(names), wanted=SCRIPTED, breaker_failures=3)
    assert len(source.lists) == 10


def test_a_kill_while_fetching_goes_on_without_the_list(place: Field) -> None:
    source = Scripted({"ana": [str(number) for number in range(100)]})
    crawler = Crawler(
        place.root,
        {"scripted": source},
        Crawl(pause_s=0, pause_spread_s=0),
        Heard(),
        now=lambda: NOW,
    )
    coming = crawler.crawl([Creator("ana")], SCRIPTED)
    for _ in range(40):
        next(coming)
    del coming  # nothing is tidied up, as with kill -9
    found, heard = place.crawl(source, wanted=SCRIPTED)
    assert (len(found), len(heard.old), len(heard.new)) == (100, 40, 60)
    assert source.lists == ["ana"]
    assert len(source.fetched) == len(set(source.fetched)) == 100


def test_secrets_are_not_kept(place: Field) -> None:
    place.crawl(Scripted({"ana": ["1"]}), wanted=SCRIPTED)
    for path in place.root.rglob("*"):
        assert not path.is_file() or b"secret" not in path.read_bytes(), path
    assert json.loads((place.root / "ana" / FILE_NAME).read_text())["complete"] is True


def test_auto_takes_the_folder_where_it_has_videos(place: Field) -> None:
    folder = place.root / "ana"
    folder.mkdir(parents=True)
    (folder / "mine.mp4").write_bytes(b"video")
    source = Scripted({"ana": ["1"], "bo": ["2"]})
    found, heard = place.crawl(source, creators="ana bo")
    assert [video.video_id for video in found] == ["mine"]
    assert heard.faults == [("bo", None, "no_videos")]
    otherwise = Wanted(otherwise="scripted")
    found, _ = place.crawl(source, creators="ana bo", wanted=otherwise)
    assert [video.video_id for video in found] == ["mine", "2"]
    found, _ = place.crawl(source, listed_from="scripted")
    assert [video.video_id for video in found] == ["1"], "the CSV's column comes first"


@pytest.mark.parametrize("key", ["open", "ana", "after 1", "1"])
def test_what_fails_once_it_was_stopped_is_no_fault(place: Field, key: str) -> None:
    """Ctrl-C in a terminal reaches the browser as well."""

    class Interrupted(Scripted):
        def _fail(self, key: str) -> None:
            if self.faults.get(key):
                crawler.stop()
            super()._fail(key)

    source, heard = Interrupted({"ana": ["1", "2"]}, {key: [fault("network")]}), Heard()
    crawler = Crawler(place.root, {"scripted": source}, Crawl(), heard, sleep=place.slept.append)
    assert not list(crawler.crawl([Creator("ana")], SCRIPTED))
    assert heard.faults == []
    found, _ = place.crawl(source, wanted=SCRIPTED)
    assert len(found) == 2


def test_auto_goes_on_where_a_crawl_has_begun(place: Field) -> None:
    otherwise = Wanted(otherwise="scripted")
    place.crawl(Scripted({"ana": ["1"]}), wanted=otherwise)
    place.now += timedelta(days=1)
    found, _ = place.crawl(Scripted({"ana": ["2", "1"]}), wanted=otherwise)
    assert [video.video_id for video in found] == ["2", "1"], "what is new comes too"
    found, _ = place.crawl(Scripted({}))
    assert len(found) == 2, "nobody can be asked: the folder"
    place.now += timedelta(days=1)
    shut = Scripted({}, {"ana": [fault("blocked")]})
    found, heard = place.crawl(shut, wanted=otherwise)
    assert heard.faults == [("ana", None, "blocked")]
    assert len(found) == 2, "what is here is better than nothing"


def test_an_unknown_source_is_said(place: Field) -> None:
    found, heard = place.crawl(Scripted({}), listed_from="vimeo")
    assert found == []
    assert heard.faults == [("ana", None, "not_supported")]


@pytest.mark.parametrize("hostile", ["../../etc/passwd", "a/b", "..", "con", "x" * 3000, "a\x00b"])
def test_an_id_is_never_a_path(place: Field, hostile: str) -> None:
    [video], _ = place.crawl(Scripted({"ana": [hostile]}), wanted=SCRIPTED)
    assert Path(video.path or "").parent == place.root / "ana"
    assert Path(video.path or "").is_file()
