"""Many videos against a chat server that misbehaves: nothing is lost, nothing is paid twice.

Each video has a caption with a mark of its own, so that the server's record of what it was
asked tells how often each video was asked about and answered.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from reelscope.description.cost import Totals
from reelscope.description.describe import DescribeStage
from reelscope.description.exchange import FILE_NAME
from reelscope.description.prompt import load_prompts
from reelscope.engines.device import Devices
from reelscope.engines.openai_chat import OpenAiChat
from reelscope.media.clip import Clip
from reelscope.pipeline.checkpoint import RecordStore
from reelscope.pipeline.graph import Graph
from reelscope.pipeline.platform import PlatformStage
from reelscope.pipeline.runner import Runner
from reelscope.records import Description, Platform, StageRecord, VideoRecord, VideoSource
from reelscope.settings import Describe, Dimension, Media, Price, Processing
from reelscope.testing import chat as fake
from reelscope.testing.chat import FakeChat, serve

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PRICE = Price(input_usd=2.5, output_usd=10.0, image_base_tokens=85, image_tile_tokens=170)
ASKED = (
    Dimension(name="description", instruction="What happens.", evidence=False),
    Dimension(name="tone", instruction="The tone.", type="texts"),
)
MARK = re.compile(r"video number (\d+) of")


class Quick:
    """A clock that runs faster than the world's, and the sleep that goes with it."""

    def __init__(self, speed: float) -> None:
        self.speed = speed

    def clock(self) -> float:
        return self.speed * time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds / self.speed)


class House:
    """Describes videos of which a caption is known, run after run into the same folder."""

    def __init__(self, root: Path, url: str, *, videos: int, speed: float = 10.0) -> None:
        self.root = root
        self.url = url
        self.time = Quick(speed)
        self.sources = [
            VideoSource(
                creator="ana",
                video_id=f"{number:04}",
                frames_id=f"{number:04}",
                platform=Platform(name="test", caption=f"video number {number:04} of many"),
            )
            for number in range(videos)
        ]
        self.spent: list[Totals] = []

    def run(self, processing: dict[str, Any] | None = None, **description: Any) -> float:
        """One run; the seconds that it took."""
        settings = Describe.model_validate(
            {
                "enabled": True,
                "base_url": self.url,
                "dimensions": ASKED,
                "prices": {"gpt-4o": PRICE},
                **description,
            }
        )
        chat = OpenAiChat(
            settings, None, sleep=self.time.sleep, clock=self.time.clock, chance=lambda: 1.0
        )
        stage = DescribeStage(settings, chat, load_prompts())
        graph = Graph([PlatformStage(), stage])
        runner = Runner(
            graph,
            graph.select(),
            Processing.model_validate(processing or {}),
            devices=Devices("cpu"),
            store=self._store(),
            open_clip=self._open,
            finish=lambda record: None,
        )
        started = time.monotonic()
        runner.run(self.sources)
        assert runner.stopped is None
        self.spent.append(stage.spent)
        return time.monotonic() - started

    def described(self) -> list[StageRecord]:
        """How the stage ended on every video."""
        return [self._store().load(source).stages["describe"] for source in self.sources]

    def values(self) -> list[Description]:
        return [r.value for r in self.described() if isinstance(r.value, Description)]

    def _store(self) -> RecordStore:
        return RecordStore(self.root / "records")

    def _open(self, record: VideoRecord) -> Clip:
        return Clip(
            record.source,
            record,
            Media(),
            frames_root=self.root / "frames",
            records_root=self.root / "records",
        )


def answered(server: FakeChat) -> Counter[str]:
    """How often each video's request was answered, and so paid for."""
    return Counter(
        MARK.findall(str(asked.body))[0]
        for asked in server.asked
        if asked.behaviour.status == 200 and asked.behaviour.drop is None
    )


def cost_usd(server: FakeChat) -> float:
    """By the server's own count."""
    paid = server.paid
    return (PRICE.input_usd * paid.input + PRICE.output_usd * paid.output) / 1e6


def statuses(records: Sequence[StageRecord]) -> Counter[str]:
    return Counter(record.status for record in records)


@pytest.fixture
def server() -> Iterator[FakeChat]:
    with serve(FakeChat(failure_share=0.2, seed=4)) as chat:
        yield chat


def test_a_thousand_videos_and_a_fifth_of_the_calls_fails(server: FakeChat, tmp_path: Path) -> None:
    house = House(tmp_path, server.url, videos=1000)
    # waits are 0.5, 1 and 2 s, and a 429 lets all wait: some videos are given up
    patience: dict[str, Any] = {
        "total_timeout_s": 6.0,
        "processing": {"breaker_failures": 100},
    }
    took_s = [house.run(**patience)]
    first = house.described()
    assert statuses(first).keys() == {"ok", "failed"}, "some fail, or this shows nothing"
    assert all(record.retryable for record in first if record.status == "failed")
    assert statuses(first)["ok"] > 500
    while statuses(house.described())["ok"] < 1000:
        assert len(took_s) < 10, "each further run is to finish most of what was left"
        took_s.append(house.run(**patience))
    assert sum(took_s) < 240
    counts = answered(server)
    assert len(counts) == 1000
    assert set(counts.values()) == {1}, "an answer that was saved is never asked for again"
    assert server.answered == 1000 < server.requests
    assert sum(totals.requests for totals in house.spent) == 1000
    assert sum(t.tokens.input for t in house.spent) == server.paid.input
    assert sum(t.tokens.output for t in house.spent) == server.paid.output
    assert sum(t.usd or 0 for t in house.spent) == pytest.approx(cost_usd(server), abs=1e-9)
    usages = [value.usage for value in house.values()]
    assert sum(u.input_tokens for u in usages) == server.paid.input
    assert sum(u.output_tokens for u in usages) == server.paid.output
    assert sum(u.cost_usd or 0 for u in usages) == pytest.approx(cost_usd(server), abs=1e-9)
    before = server.requests
    house.run(**patience)
    assert server.requests == before, "all is known: nobody is asked"


def test_a_budget_that_ends_in_the_middle_is_never_passed(server: FakeChat, tmp_path: Path) -> None:
    house = House(tmp_path, server.url, videos=120, speed=100)
    house.run(max_requests=1, concurrency=1)
    each_usd = cost_usd(server)
    budget = 40.5 * each_usd
    done = 1
    for _ in range(6):
        before = cost_usd(server)
        house.run(max_cost_usd=budget, max_output_tokens=100)
        assert cost_usd(server) - before <= budget, "by the server's own count"
        ended = statuses(house.described())
        assert ended["failed"] == 0
        assert done < ended["ok"], "each run goes on"
        for record in house.described():
            if record.status == "skipped":
                assert record.reason is not None
                assert record.reason.startswith("budget: description.max_cost_usd")
                assert record.remedy
        done = ended["ok"]
        if done == 120:
            break
    assert done == 120
    assert len(house.spent) >= 4, "three runs of 40 cannot do 119"
    assert sum(t.usd or 0 for t in house.spent) == pytest.approx(cost_usd(server), abs=1e-9)


def test_so_many_requests_and_no_more(
    server: FakeChat, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "reelscope")
    house = House(tmp_path, server.url, videos=50, speed=100)
    house.run(max_requests=20)
    assert server.answered == 20
    sent = [r for r in caplog.records if r.getMessage().startswith("asks a model")]
    assert len(sent) == 20, "what may not be sent does not stand in the log as if it were"
    assert len(list(tmp_path.rglob(FILE_NAME))) == 20
    assert statuses(house.described()) == {"ok": 20, "skipped": 30}
    house.run(max_requests=20)
    house.run(max_requests=20)
    assert statuses(house.described()) == {"ok": 50}
    assert server.answered == 50


def test_a_server_that_asks_for_patience_gets_it(tmp_path: Path) -> None:
    with serve(FakeChat(default=fake.rate_limited(5.0))) as server:
        house = House(tmp_path, server.url, videos=60)  # 5 s are half a second here
        recovery = threading.Timer(1.25, lambda: setattr(server, "default", fake.good()))
        recovery.start()
        took_s = house.run(concurrency=8)
        recovery.join()
    limited = sum(asked.behaviour.status == 429 for asked in server.asked)
    assert statuses(house.described()) == {"ok": 60}
    assert answered(server).total() == 60
    assert 8 <= limited <= 4 * 8, "all wait for as long as the server says, in three waves"
    assert 1.25 < took_s < 20


def test_a_server_that_hangs_up_is_left_alone_soon(tmp_path: Path) -> None:
    with serve(FakeChat(default=fake.dropped())) as server:
        house = House(tmp_path, server.url, videos=300)
        took_s = house.run(total_timeout_s=5.0, concurrency=8)
        ended = house.described()
        assert statuses(ended) == {"failed": 300}
        assert all(record.retryable for record in ended)
        kinds = Counter(record.kind for record in ended)
        assert kinds["breaker"] >= 300 - (5 + 8)
        assert server.requests <= (5 + 8) * 5, "0.5 + 1 + 2 s, and then its 5 s are over"
        assert took_s < 20
        server.default = fake.good()
        house.run()
    assert statuses(house.described()) == {"ok": 300}


@pytest.mark.parametrize("concurrency", [1, 64])
def test_nobody_there(tmp_path: Path, concurrency: int) -> None:
    with serve(FakeChat()) as server:
        url = server.url
    house = House(tmp_path, url, videos=200, speed=100)
    took_s = house.run(concurrency=concurrency)
    ended = house.described()
    assert statuses(ended) == {"failed": 200}
    assert all(record.retryable for record in ended)
    assert Counter(record.kind for record in ended)["breaker"] >= 200 - (5 + concurrency)
    assert house.spent[0].requests == 0
    assert took_s < 30
