"""What is asked of each creator once all videos have ended: side by side, and not for ever."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from reelscope.pipeline.batch import BatchRun
from reelscope.pipeline.plan import plan_batch
from reelscope.pipeline.summary import Summary
from reelscope.records import Platform, VideoRecord, VideoSource
from reelscope.settings import Settings
from reelscope.testing import chat as fake
from reelscope.testing.chat import FakeChat, serve
from reelscope.testing.stand_in import prompt_of, stand_in_text

CREATORS = 12
MakeRun = Callable[..., BatchRun]


@pytest.fixture
def server() -> Iterator[FakeChat]:
    with serve(FakeChat()) as chat:
        yield chat


@pytest.fixture
def run_of(server: FakeChat, tmp_path: Path) -> MakeRun:
    """A run over a video of each creator; keywords are settings of the description."""

    def make(*listeners: Any, **description: Any) -> BatchRun:
        asked = {"enabled": True, "base_url": server.url, "creator_summary": True, **description}
        settings = Settings.model_validate(
            {
                "description": asked,
                "paths": {"data": str(tmp_path / "data"), "models": str(tmp_path / "models")},
            }
        )
        sources = [
            VideoSource(
                creator=f"creator-{number:02}",
                video_id="1",
                frames_id=f"{number:02}",
                platform=Platform(name="test", caption=f"by creator {number:02}"),
            )
            for number in range(CREATORS)
        ]
        only = ("platform", "describe")
        batch = plan_batch(sources, settings, batch_id="b", default_id="b", only=only)
        return BatchRun(batch, listeners)

    return make


def about_creators(server: FakeChat) -> list[str]:
    """Prompts that were about a creator and not about a video."""
    return [p for asked in server.asked if "overview" in (p := prompt_of(asked.body))]


def summed_up(root: Path) -> int:
    return len(list(root.glob("data/analysis_results/*/creator_description.json")))


def failing_for_creators(server: FakeChat, behaviour: fake.Behaviour) -> type:
    """A listener that lets the server change its mind when the last video has ended."""

    class Heard:
        ended = 0

        def stage_ended(self, *_: object) -> None:
            pass

        def trouble(self, *_: object) -> None:
            pass

        def video_ended(self, record: VideoRecord, reused: frozenset[str]) -> None:
            self.ended += 1
            if self.ended == CREATORS:
                server.default = behaviour

    return Heard


def said(summary: Summary) -> list[str]:
    return [f"{problem.where}: {problem.message}" for problem in summary.problems]


def test_creators_are_asked_about_side_by_side(
    run_of: MakeRun, server: FakeChat, tmp_path: Path
) -> None:
    all_there = threading.Barrier(6, timeout=30)

    def answer(body: dict[str, Any]) -> str:
        if "overview" in prompt_of(body):
            all_there.wait()  # breaks unless six are asked about at once
        return stand_in_text(body, None)

    server.answer = answer
    summary = run_of(concurrency=6).run()
    assert summed_up(tmp_path) == len(about_creators(server)) == CREATORS
    spent = summary.stages["describe"].spent
    assert spent is not None
    assert (spent.requests, server.answered) == (2 * CREATORS, 2 * CREATORS)
    assert spent.input_tokens == server.paid.input
    assert said(summary) == []


def test_a_server_that_dies_is_not_asked_about_every_creator(
    run_of: MakeRun, server: FakeChat, tmp_path: Path
) -> None:
    heard = failing_for_creators(server, fake.failing(500))()
    started = time.monotonic()
    summary = run_of(heard, concurrency=1, total_timeout_s=0.3).run()
    assert time.monotonic() - started < 10
    notes = said(summary)
    assert len(notes) == 5 + 1
    assert notes[-1] == "describe: no more creator summaries: no answer 5 times in a row"
    server.default = fake.good()
    assert said(run_of().run()) == []
    assert summed_up(tmp_path) == CREATORS
    assert server.answered == 2 * CREATORS, "no video was asked about again"


def test_a_key_that_is_refused_is_said_once(run_of: MakeRun, server: FakeChat) -> None:
    heard = failing_for_creators(server, fake.unauthorized())()
    before = CREATORS
    [note] = said(run_of(heard, concurrency=2).run())
    assert "asks for a key" in note
    assert server.requests - before <= 2


def test_a_budget_that_ends_at_the_creators_says_so_of_each(
    run_of: MakeRun, server: FakeChat, tmp_path: Path
) -> None:
    summary = run_of(max_requests=CREATORS + 3).run()
    assert server.answered == CREATORS + 3
    assert summed_up(tmp_path) == 3
    assert len(said(summary)) == CREATORS - 3
    assert all("max_requests" in note for note in said(summary))


def test_ctrl_c_ends_the_asking_about_creators(
    run_of: MakeRun, server: FakeChat, tmp_path: Path
) -> None:
    run: list[BatchRun] = []

    def answer(body: dict[str, Any]) -> str:
        if "overview" in prompt_of(body):
            run[0].stop("interrupted")
        return stand_in_text(body, None)

    server.answer = answer
    run.append(run_of(concurrency=1))
    summary = run[0].run()
    assert summary.stopped == "interrupted"
    assert summed_up(tmp_path) == 1
