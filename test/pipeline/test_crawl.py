"""Fetching and analysing at the same time, over a scripted source."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from reelscope.crawl.crawler import Wanted
from reelscope.crawl.creators import Creator
from reelscope.crawl.source import Listed
from reelscope.errors import CrawlFailed, OutputError
from reelscope.pipeline.batch import BatchRun
from reelscope.pipeline.checkpoint import RECORD_NAME, read_record
from reelscope.pipeline.crawl import CrawlPlan
from reelscope.pipeline.plan import plan_batch
from reelscope.records import Platform, StageRecord, VideoRecord, VideoSource
from reelscope.settings import Settings
from reelscope.testing import media


class Ended:
    """Hears which videos have ended."""

    def __init__(self) -> None:
        self.first = threading.Event()

    def stage_ended(self, source: VideoSource, name: str, record: StageRecord) -> None:
        pass

    def video_ended(self, record: VideoRecord, reused: frozenset[str]) -> None:
        self.first.set()

    def trouble(self, source: VideoSource, message: str) -> None:
        raise AssertionError(message)


class Shop:
    """Three videos; what happens before the second is fetched is the test's business."""

    name = "shop"

    def __init__(self, film: Path, ended: Ended) -> None:
        self.film = film
        self.ended = ended
        self.fault: Exception | None = None

    def open(self) -> None:
        pass

    def list_videos(
        self, creator: Creator, *, since: datetime | None, limit: int | None
    ) -> Iterator[Listed]:
        for number in range(3):
            yield Listed(str(number), Platform(name="shop", caption=f"film {number}"))

    def download(self, video: Listed, target: Path) -> Path:
        if video.video_id == "1":
            assert self.ended.first.wait(30), "the first is analysed while the second is fetched"
            if self.fault:
                raise self.fault
        target.parent.mkdir(parents=True, exist_ok=True)
        path = target.with_suffix(".mp4")
        path.write_bytes(self.film.read_bytes())
        return path

    def close(self) -> None:
        pass


class Trial:
    def __init__(self, folder: Path) -> None:
        film = folder / "film.mp4"
        media.write_video(film, [media.Scene(0.5)])
        self.ended = Ended()
        self.shop = Shop(film, self.ended)
        crawl = {"pause_s": 0, "pause_spread_s": 0}
        self.settings = Settings.model_validate(
            {"paths": {"data": folder / "data"}, "crawl": crawl, "processing": {"concurrency": 1}}
        )

    def run(self) -> BatchRun:
        batch = plan_batch(
            [], self.settings, batch_id="b", default_id="x", only=["probe", "platform"]
        )
        plan = CrawlPlan(
            [Creator("ana")], Wanted(source="shop"), self.settings, {"shop": self.shop}
        )
        run = BatchRun(batch, [self.ended], crawl=plan)
        run.run()
        return run

    def record(self, video: str) -> VideoRecord | None:
        folder = self.settings.paths.data / "analysis_results" / "ana" / video
        return read_record(folder / RECORD_NAME)


@pytest.fixture
def trial(tmp_path: Path) -> Trial:
    return Trial(tmp_path)


def test_the_first_video_is_analysed_before_the_second_is_fetched(trial: Trial) -> None:
    run = trial.run()
    assert [source.video_id for source in run.batch.sources] == ["0", "1", "2"]
    for video in "012":
        record = trial.record(video)
        assert record is not None
        assert record.stages["probe"].status == "ok"
        platform = record.value(Platform)
        assert platform is not None
        assert platform.caption == f"film {video}"
    summary = json.loads((run.batch.folder / "summary.json").read_text())
    assert (summary["videos"], summary["crawl"]["fetched"]) == (3, 3)
    assert not [thread for thread in threading.enumerate() if thread.name == "arrivals"]


def test_what_could_not_be_fetched_has_a_record_that_says_why(trial: Trial) -> None:
    trial.shop.fault = CrawlFailed("geo_blocked", "not in your country", remedy="a proxy")
    run = trial.run()
    record = trial.record("1")
    assert record is not None
    assert record.stages["platform"].status == "ok"
    assert "geo_blocked: not in your country" in (record.stages["probe"].message or "")
    assert (trial.record("2") or record).stages["probe"].status == "ok"
    summary = json.loads((run.batch.folder / "summary.json").read_text())
    assert summary["crawl"]["failures"] == {"geo_blocked": 1}
    assert "a proxy" in json.dumps(summary["problems"])


def test_a_full_disk_stops_the_run_and_the_next_goes_on(trial: Trial) -> None:
    trial.shop.fault = OutputError("film could not be written: the disk is full")
    with pytest.raises(OutputError, match="the disk is full"):
        trial.run()
    record = trial.record("0")
    assert record is not None
    assert record.stages["probe"].status == "ok", "what was done is kept"
    trial.shop.fault = None
    run = trial.run()
    summary = json.loads((run.batch.folder / "summary.json").read_text())
    assert (summary["crawl"]["earlier"], summary["crawl"]["fetched"]) == (1, 2)
