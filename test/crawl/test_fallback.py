"""Which source is asked when the first fails, and which fault is told."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from reelscope.crawl.creators import Creator
from reelscope.crawl.fallback import WithFallback
from reelscope.crawl.source import Listed
from reelscope.errors import CrawlFailed, CrawlFault
from reelscope.records import Platform


class Place:
    """A source that gives two videos, or fails where it is told to."""

    def __init__(self, name: str, **faults: CrawlFault) -> None:
        self.name = name
        self.faults = faults
        self.is_open = False

    def _step(self, what: str) -> None:
        if fault := self.faults.get(what):
            raise CrawlFailed(fault, f"{self.name} {what} {fault}", remedy="wait")

    def open(self) -> None:
        self._step("open")
        self.is_open = True

    def list_videos(
        self, creator: Creator, *, since: datetime | None, limit: int | None
    ) -> Iterator[Listed]:
        assert self.is_open
        self._step("list")
        yield Listed("1", Platform(name=self.name))
        self._step("middle")
        yield Listed("2", Platform(name=self.name))

    def download(self, video: Listed, target: Path) -> Path:
        assert self.is_open
        self._step("download")
        return target.with_suffix(f".{self.name}")

    def close(self) -> None:
        assert self.is_open
        self.is_open = False


def listed(source: WithFallback) -> list[str]:
    videos = source.list_videos(Creator("ana"), since=None, limit=None)
    return [video.platform.name for video in videos]


def test_the_second_is_not_touched_while_the_first_works() -> None:
    second = Place("b", open="network")
    source = WithFallback(Place("a"), second)
    source.open()
    assert listed(source) == ["a", "a"]
    assert source.download(Listed("1", Platform(name="a")), Path("x")) == Path("x.a")
    source.close()


@pytest.mark.parametrize("where", ["open", "list", "download"])
@pytest.mark.parametrize("fault", ["no_token", "blocked", "network", "rate_limited"])
def test_the_second_gives_what_the_first_cannot(where: str, fault: CrawlFault) -> None:
    first, second = Place("a", **{where: fault}), Place("b")
    source = WithFallback(first, second)
    source.open()
    assert listed(source) == (["a", "a"] if where == "download" else ["b", "b"])
    found = source.download(Listed("1", Platform(name="a")), Path("x"))
    assert found == Path("x.a" if where == "list" else "x.b")
    source.close()
    assert not first.is_open
    assert not second.is_open


@pytest.mark.parametrize("fault", ["private", "gone", "no_videos"])
def test_what_nobody_can_give_is_not_asked_for_again(fault: CrawlFault) -> None:
    source = WithFallback(Place("a", list=fault, download=fault), Place("b", open="network"))
    source.open()
    with pytest.raises(CrawlFailed, match=f"a list {fault}"):
        listed(source)
    with pytest.raises(CrawlFailed, match=f"a download {fault}"):
        source.download(Listed("1", Platform(name="a")), Path("x"))


def test_a_list_that_broke_off_is_not_begun_again_elsewhere() -> None:
    source = WithFallback(Place("a", middle="rate_limited"), Place("b"))
    source.open()
    coming = source.list_videos(Creator("ana"), since=None, limit=None)
    assert next(coming).platform.name == "a"
    with pytest.raises(CrawlFailed, match="a middle"):
        next(coming)


def test_if_neither_can_the_first_says_why() -> None:
    source = WithFallback(Place("a", open="no_token"), Place("b", open="not_supported"))
    with pytest.raises(CrawlFailed, match="a open no_token") as caught:
        source.open()
    assert caught.value.fault == "no_token"
    source.close()


@pytest.mark.parametrize(
    ("second", "told"),
    [("network", "a {} rate_limited"), ("blocked", "a {} rate_limited"),
     ("private", "b {} private"), ("geo_blocked", "b {} geo_blocked")],
)  # fmt: skip
@pytest.mark.parametrize("where", ["list", "download"])
def test_the_fault_of_the_second_is_told_where_it_says_more(
    where: str, second: CrawlFault, told: str
) -> None:
    first: CrawlFault = "rate_limited"
    source = WithFallback(Place("a", **{where: first}), Place("b", **{where: second}))
    source.open()
    with pytest.raises(CrawlFailed, match=told.format(where)):
        if where == "list":
            listed(source)
        else:
            source.download(Listed("1", Platform(name="a")), Path("x"))


class Talking(Place):
    """It has subtitles, too."""

    def subtitles(self, video: Listed) -> tuple[str, ...]:
        assert self.is_open
        self._step("subtitles")
        return (self.name, video.video_id)


def test_subtitles_come_from_the_first_alone() -> None:
    video = Listed("1", Platform(name="a"))
    source = WithFallback(Talking("a"), Talking("b"))
    source.open()
    assert source.subtitles(video) == ("a", "1")
    for first in (Place("a"), Talking("a", open="no_token")):
        source = WithFallback(first, Talking("b"))
        source.open()
        assert source.subtitles(video) == ()
