"""Batch mode the whole way: a run that queues, a server that answers later, and the fetching."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from reelscope.description.exchange import FILE_NAME, load_exchange
from reelscope.errors import ConfigError, OutputError, ServiceClosed, ServiceFailed, UsageError
from reelscope.pipeline.batch import BatchRun
from reelscope.pipeline.checkpoint import RECORD_NAME, batch_lock, read_record
from reelscope.pipeline.collect import Collected, collect, settings_of
from reelscope.pipeline.plan import Batch, plan_batch
from reelscope.pipeline.summary import Summary
from reelscope.records import Description, Platform, StageRecord, VideoSource
from reelscope.settings import Settings
from reelscope.testing import chat as fake
from reelscope.testing.chat import FakeChat, serve
from reelscope.testing.media import Scene, write_video
from reelscope.testing.stand_in import prompt_of, stand_in_text

KEY = "sk-secret-of-batches-0123456789"
DIMENSIONS = (
    {"name": "description", "instruction": "What happens.", "evidence": False},
    {"name": "tone", "instruction": "The tone.", "type": "texts"},
)
INPUT_USD, OUTPUT_USD = 2.5, 10.0
"""gpt-4o's price per million tokens, in the settings' defaults."""


def captioned(number: int, **more: Any) -> VideoSource:
    """A video of which nothing but the caption is known."""
    return VideoSource(
        creator="ana" if number < 2 else "bea",
        video_id=f"v{number}",
        frames_id=f"v{number}",
        platform=Platform(name="test", caption=f"caption number {number}"),
        **more,
    )


class House:
    """One batch of videos in a folder, run and fetched as often as a test likes."""

    def __init__(self, root: Path, server: FakeChat) -> None:
        self.root = root
        self.data = root / "data"
        self.server = server
        self.sources = [captioned(number) for number in range(3)]
        self.only = ["platform", "describe"]

    def settings(self, **description: Any) -> Settings:
        own = {
            "base_url": self.server.url,
            "mode": "batch",
            "dimensions": DIMENSIONS,
            "total_timeout_s": 0.3,
            "creator_summary": False,
        }
        return Settings.model_validate(
            {
                "paths": {"data": self.data, "logs": self.root / "logs"},
                "openai": {"api_key": KEY},
                "description": {**own, **description},
            }
        )

    def batch(self, **description: Any) -> Batch:
        settings = self.settings(**description)
        return plan_batch(self.sources, settings, batch_id="b1", default_id="x", only=self.only)

    def run(self, **description: Any) -> Summary:
        return BatchRun(self.batch(**description)).run()

    def collect(self) -> Collected:
        return collect("b1", settings_of("b1", self.settings()))

    def stage(self, number: int = 0) -> StageRecord:
        source = self.sources[number]
        record = read_record(self.folder(number) / RECORD_NAME)
        assert record is not None, source
        return record.stages["describe"]

    def folder(self, number: int = 0) -> Path:
        source = self.sources[number]
        return self.data / "analysis_results" / source.creator / source.video_id

    def statuses(self) -> list[str]:
        return [self.stage(number).status for number in range(len(self.sources))]

    def values(self) -> list[Description]:
        values = [self.stage(number).value for number in range(len(self.sources))]
        assert all(isinstance(value, Description) for value in values)
        return values  # type: ignore[return-value]

    def files(self) -> dict[Path, bytes]:
        """All but what a clock decides."""
        return {
            path: path.read_bytes()
            for path in self.data.rglob("*")
            if path.is_file() and path.name not in ("summary.json", ".lock")
        }

    def name_of(self, number: int) -> str:
        """The custom id of the latest request about this video."""
        mark = f"caption number {number}"
        names = [
            request["custom_id"]
            for batch in self.server.batches.values()
            for request in batch.requests
            if mark in prompt_of(request["body"])
        ]
        return str(names[-1])

    def with_media(self, count: int = 1) -> None:
        """Real videos, so that there are frames to send."""
        for number in range(count):
            path = self.root / "videos" / f"v{number}.mp4"
            path.parent.mkdir(exist_ok=True)
            write_video(path, [Scene(0.5)], size=(64, 64))
            self.sources[number] = captioned(number, path=str(path))
        del self.sources[count:]
        self.only = ["platform", "probe", "choose", "describe"]


@pytest.fixture
def server() -> Iterator[FakeChat]:
    with serve(FakeChat(key=KEY)) as chat:
        yield chat


@pytest.fixture
def house(tmp_path: Path, server: FakeChat) -> House:
    return House(tmp_path, server)


def asked(server: FakeChat) -> int:
    """Requests that the server was given in batches."""
    return sum(len(batch.requests) for batch in server.batches.values())


def rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines()))


# ---- as it should go --------------------------------------------------------------------


def test_a_run_hands_over_and_says_how_to_fetch(house: House, server: FakeChat) -> None:
    summary = house.run()
    assert house.statuses() == ["skipped"] * 3
    assert house.stage().remedy == "python main.py describe collect --batch-id b1"
    assert "waits" in (house.stage().reason or "")
    assert (asked(server), len(server.batches), server.answered) == (3, 1, 0)
    [note] = summary.problems
    assert "3 requests handed over as batch_1" in note.message
    assert "describe collect --batch-id b1" in note.message
    assert summary.stages["describe"].skipped == 3
    spent = summary.stages["describe"].spent
    assert spent is not None and spent.requests == 0
    assert [group.count for group in summary.remedies] == [3]


def test_a_second_run_does_not_queue_again(house: House, server: FakeChat) -> None:
    house.run()
    again = house.run()
    assert (asked(server), again.problems) == (3, ())
    assert house.statuses() == ["skipped"] * 3
    assert "batch_1" in (house.stage().reason or "")


def test_fetching_too_early_changes_nothing(house: House) -> None:
    house.run()
    before = house.files()
    found = house.collect()
    assert found.waiting and not found.to_hand_over
    after = house.files()
    changed = {path.name for path in before if before[path] != after[path]}
    assert changed <= {"batches.json", "data-dictionary.md"}
    assert before.keys() == after.keys()
    assert [part.message for part in found.parts] == ["in_progress, 0 of 3"]


def test_from_the_run_to_the_tables(house: House, server: FakeChat) -> None:
    house.run()
    keys = [house.stage(number).key for number in range(3)]
    server.finish_batches()
    found = house.collect()
    assert house.statuses() == ["ok"] * 3
    assert [house.stage(number).key for number in range(3)] == keys
    values = house.values()
    assert {value.mode for value in values} == {"batch"}
    assert not found.waiting

    paid = server.paid
    usd = (paid.input * INPUT_USD + paid.output * OUTPUT_USD) / 1e6 / 2
    assert sum(value.usage.cost_usd or 0 for value in values) == pytest.approx(usd)
    assert sum(value.usage.input_tokens for value in values) == paid.input
    stage = found.summary.stages["describe"]
    assert (stage.ok, stage.skipped, stage.failed) == (3, 0, 0)
    assert stage.spent is not None
    assert (stage.spent.requests, stage.spent.output_tokens) == (3, paid.output)
    assert stage.spent.cost_usd == pytest.approx(usd)

    results = house.data / "results" / "b1"
    says = {value.dimensions["description"].value for value in values}
    table = rows(results / "video_features_results.csv")
    assert [row["video_id"] for row in table] == ["v0", "v1", "v2"]
    assert {row["description"] for row in table} == says
    for creator, count in (("ana", 2), ("bea", 1)):
        folder = house.data / "analysis_results" / creator
        assert len(rows(folder / f"{creator}.csv")) == count
        assert json.loads((folder / f"{creator}.json").read_text(encoding="utf-8"))
        assert next(iter(says)) in (folder / "report.md").read_text(encoding="utf-8")
    assert pq.read_table(results / "video_features_results.parquet").num_rows == 3
    summary = json.loads((results / "summary.json").read_text(encoding="utf-8"))
    assert summary["stages"]["describe"]["ok"] == summary["videos"] == 3
    assert rows(results / "errors.csv") == []


def test_another_share_of_the_price(house: House, server: FakeChat) -> None:
    house.run(batch_price_share=0.25)
    server.finish_batches()
    house.collect()
    usd = (server.paid.input * INPUT_USD + server.paid.output * OUTPUT_USD) / 1e6 / 4
    assert sum(value.usage.cost_usd or 0 for value in house.values()) == pytest.approx(usd)


@pytest.mark.parametrize("mode", ["live", "batch"])
def test_a_run_afterwards_reuses_what_was_fetched(
    house: House, server: FakeChat, mode: str
) -> None:
    house.run()
    server.finish_batches()
    house.collect()
    before = house.files()
    summary = house.run(mode=mode)
    assert summary.stages["describe"].reused == 3
    assert (server.requests, asked(server), server.answered) == (0, 3, 3)
    after = house.files()
    changed = {path.name for path in before if after.get(path) != before[path]}
    assert changed <= {"settings.yml", "data-dictionary.md"}


def test_fetching_again_is_harmless(house: House, server: FakeChat) -> None:
    house.run()
    server.finish_batches()
    house.collect()
    before, answered = house.files(), server.answered
    found = house.collect()
    assert house.files() == before
    assert server.answered == answered
    stage = found.summary.stages["describe"]
    assert (stage.ok, stage.reused) == (0, 3)
    assert stage.spent is not None and stage.spent.requests == 0


def test_what_is_ready_is_fetched_and_the_rest_later(house: House, server: FakeChat) -> None:
    everything = house.sources
    house.sources = everything[:1]
    house.run()
    server.finish_batches()
    house.sources = everything
    house.run()  # the answer is there, but it is the fetching that fetches
    assert asked(server) == 3
    found = house.collect()
    assert house.statuses() == ["ok", "skipped", "skipped"]
    assert found.waiting
    server.finish_batches()
    assert not house.collect().waiting
    assert house.statuses() == ["ok"] * 3


def test_new_videos_of_a_batch_join_what_waits(house: House, server: FakeChat) -> None:
    house.sources.append(captioned(3))
    last = house.sources.pop()
    house.run()
    house.sources.append(last)
    house.run()
    assert [len(batch.requests) for batch in server.batches.values()] == [3, 1]


def test_a_creator_is_summed_up_once_all_answers_are_there(house: House, server: FakeChat) -> None:
    house.run(creator_summary=True)
    assert server.requests == 0
    house.collect()
    assert server.requests == 0
    server.finish_batches()
    house.collect()
    assert server.requests == 2
    assert (house.data / "analysis_results" / "ana" / "creator_description.json").exists()
    house.collect()
    assert server.requests == 2


def test_a_video_that_waits_in_one_batch_is_not_asked_about_in_another(
    house: House, server: FakeChat
) -> None:
    house.sources = house.sources[:2]
    house.run()
    house.sources.append(captioned(2))
    batch = plan_batch(
        house.sources, house.settings(), batch_id="b2", default_id="x", only=house.only
    )
    BatchRun(batch).run()
    assert asked(server) == 3
    assert "of batch b1" in (house.stage(0).reason or "")
    assert house.stage(0).remedy == "python main.py describe collect --batch-id b1"
    assert house.stage(2).remedy == "python main.py describe collect --batch-id b2"
    server.finish_batches()
    house.collect()
    collect("b2", settings_of("b2", house.settings()))
    assert house.statuses() == ["ok"] * 3
    assert asked(server) == server.answered == 3


# ---- what is gone by then ---------------------------------------------------------------


@pytest.mark.slow
def test_the_videos_may_be_gone(house: House, server: FakeChat) -> None:
    house.with_media(2)
    house.run()
    assert server.batches["batch_1"].requests[0]["body"]["messages"]
    shutil.rmtree(house.root / "videos")
    server.finish_batches()
    house.collect()
    assert house.statuses() == ["ok", "ok"]
    assert all(value.images for value in house.values())


@pytest.mark.slow
def test_the_frames_may_be_gone_if_the_answer_is_good(house: House, server: FakeChat) -> None:
    house.with_media()
    house.run()
    shutil.rmtree(house.data / "tiktok_frames")
    server.finish_batches()
    house.collect()
    assert house.statuses() == ["ok"]


@pytest.mark.slow
@pytest.mark.parametrize("behaviour", [fake.truncated(30, unless_max_tokens=3000), fake.prose()])
def test_a_bad_answer_is_asked_again_live(
    house: House, server: FakeChat, behaviour: fake.Behaviour
) -> None:
    house.with_media()
    house.run()
    server.finish_batches(behaviours={house.name_of(0): behaviour})
    batch_paid = server.paid
    found = house.collect()
    assert house.statuses() == ["ok"]
    assert server.requests == 1
    usage = house.values()[0].usage
    live = server.paid.input - batch_paid.input, server.paid.output - batch_paid.output
    usd = (batch_paid.input * INPUT_USD + batch_paid.output * OUTPUT_USD) / 2
    usd = (usd + live[0] * INPUT_USD + live[1] * OUTPUT_USD) / 1e6
    assert usage.requests == 2
    assert usage.cost_usd == pytest.approx(usd)
    spent = found.summary.stages["describe"].spent
    assert spent is not None
    assert (spent.requests, spent.cost_usd) == (2, pytest.approx(usd))


@pytest.mark.slow
@pytest.mark.parametrize("gone", ["folder", "changed"])
def test_a_bad_answer_without_its_frames_fails_and_says_why(
    house: House, server: FakeChat, gone: str
) -> None:
    house.with_media()
    house.run()
    frames = house.data / "tiktok_frames"
    kept = house.root / "kept"
    shutil.copytree(frames, kept)
    if gone == "folder":
        shutil.rmtree(frames)
    else:
        for path in frames.rglob("*.jpg"):
            path.write_bytes(path.read_bytes() + b"more")
    server.finish_batches(behaviours={house.name_of(0): fake.prose()})
    house.collect()
    stage = house.stage()
    assert (stage.status, stage.retryable) == ("failed", True)
    assert "it has to be asked again, but" in (stage.message or "")
    assert server.requests == 0
    exchange = load_exchange(house.folder())
    assert exchange is not None and exchange.turns[0].answer is not None, "the answer is kept"

    shutil.rmtree(frames, ignore_errors=True)
    shutil.copytree(kept, frames)
    house.collect()
    assert house.statuses() == ["ok"], "with the frames back, the next call goes on"
    assert server.requests == 1


@pytest.mark.slow
def test_an_answer_that_stays_bad_is_failed_and_asked_anew_by_the_next_run(
    house: House, server: FakeChat
) -> None:
    house.run()
    server.default = fake.prose()
    server.finish_batches(behaviours={house.name_of(1): fake.good(), house.name_of(2): fake.good()})
    house.collect()
    assert house.statuses() == ["failed", "ok", "ok"]
    assert server.requests == 1
    before = server.requests
    house.collect()
    assert server.requests == before, "an answer that is known to be bad is not asked about again"
    server.default = fake.good()
    house.run()
    assert asked(server) == 4
    server.finish_batches()
    house.collect()
    assert house.statuses() == ["ok"] * 3


@pytest.mark.slow
def test_what_was_asked_is_gone(house: House, server: FakeChat) -> None:
    house.run()
    (house.folder(0) / FILE_NAME).unlink()
    (house.folder(1) / FILE_NAME).write_text("{")
    shutil.rmtree(house.folder(2))
    server.finish_batches()
    found = house.collect()
    assert [house.stage(number).status for number in (0, 1)] == ["failed"] * 2
    assert "what was asked is gone" in (house.stage(0).message or "")
    assert not found.waiting
    house.run()
    assert asked(server) == 6, "asked anew"


@pytest.mark.slow
def test_an_emptied_folder_gets_the_answer_if_the_run_was_called_again(
    house: House, server: FakeChat
) -> None:
    house.run()
    shutil.rmtree(house.folder(0))
    house.run()
    assert asked(server) == 3
    server.finish_batches()
    house.collect()
    assert house.statuses() == ["ok"] * 3


# ---- what changed meanwhile -------------------------------------------------------------


@pytest.mark.slow
def test_a_late_answer_does_not_overwrite_what_was_described_since(
    house: House, server: FakeChat
) -> None:
    house.run()
    server.answer = lambda body: stand_in_text(body, None).replace("stand-in", "live")
    house.run(mode="live")
    assert house.statuses() == ["ok"] * 3
    before = [path.read_bytes() for path in house.data.rglob(RECORD_NAME)]
    server.answer = None
    server.finish_batches()
    house.collect()
    assert [path.read_bytes() for path in house.data.rglob(RECORD_NAME)] == before
    assert {value.mode for value in house.values()} == {"live"}


@pytest.mark.slow
def test_a_late_answer_helps_where_asking_live_failed(house: House, server: FakeChat) -> None:
    house.run()
    server.default = fake.failing(400)
    house.run(mode="live")
    assert house.statuses() == ["failed"] * 3
    server.default = fake.good()
    server.finish_batches()
    house.collect()
    assert house.statuses() == ["ok"] * 3
    usd = (server.paid.input * INPUT_USD + server.paid.output * OUTPUT_USD) / 1e6 / 2
    assert sum(value.usage.cost_usd or 0 for value in house.values()) == pytest.approx(usd)


@pytest.mark.slow
def test_an_answer_to_another_question_is_not_taken(house: House, server: FakeChat) -> None:
    house.run()
    house.run(language="French")
    assert asked(server) == 6
    first, second = server.batches.values()
    second.fields["status"] = "validating"
    server.finish_batches()
    house.collect()
    assert house.statuses() == ["skipped"] * 3
    second.fields["status"] = "in_progress"
    server.finish_batches()
    house.collect()
    assert house.statuses() == ["ok"] * 3
    assert len(first.requests) == len(second.requests) == 3
    assert house.run(language="French").stages["describe"].reused == 3


@pytest.mark.slow
def test_an_answer_is_not_put_under_the_key_of_a_question_that_was_never_asked(
    house: House, server: FakeChat
) -> None:
    house.run()
    house.run(language="French", max_requests=0)
    assert "max_requests" in (house.stage().reason or "")
    server.finish_batches()
    house.collect()
    assert house.statuses() == ["skipped"] * 3
    assert asked(server) == 3


@pytest.mark.slow
def test_the_settings_of_the_run_count(house: House, server: FakeChat) -> None:
    house.run(language="French", model="gpt-4o-mini")
    server.finish_batches()
    saved = house.data / "results" / "b1" / "settings.yml"
    settings = settings_of("b1", house.settings(language="English", dimensions=DIMENSIONS[:1]))
    assert (settings.description.language, len(settings.description.dimensions)) == ("French", 2)
    before = yaml.safe_load(saved.read_text(encoding="utf-8"))
    collect("b1", settings)
    assert yaml.safe_load(saved.read_text(encoding="utf-8")) == before
    assert house.values()[0].dimensions.keys() == {"description", "tone"}
    assert "FRENCH" not in KEY
    assert KEY not in saved.read_text(encoding="utf-8")
    assert house.run(language="French", model="gpt-4o-mini").stages["describe"].reused == 3


@pytest.mark.slow
def test_the_environment_of_today_changes_no_question(
    house: House, server: FakeChat, monkeypatch: pytest.MonkeyPatch
) -> None:
    house.run()
    monkeypatch.setenv("REELSCOPE_DESCRIPTION__LANGUAGE", "Klingon")
    monkeypatch.setenv("REELSCOPE_DESCRIPTION__MODE", "live")
    settings = settings_of("b1", house.settings())
    assert (settings.description.language, settings.description.mode) == ("English", "batch")


@pytest.mark.slow
def test_a_batch_that_was_run_live_last_can_be_fetched(house: House, server: FakeChat) -> None:
    house.run()
    house.sources.append(captioned(3))
    server.default = fake.failing(400)
    house.run(mode="live")
    server.default = fake.good()
    server.finish_batches()
    assert settings_of("b1", house.settings()).description.mode == "live"
    house.collect()
    assert house.statuses() == ["ok", "ok", "ok", "failed"]
    saved = house.data / "results" / "b1" / "settings.yml"
    assert yaml.safe_load(saved.read_text(encoding="utf-8"))["description"]["mode"] == "live"


# ---- what goes wrong --------------------------------------------------------------------


@pytest.mark.slow
def test_a_lost_batch_is_failed_and_queued_anew(house: House, server: FakeChat) -> None:
    house.run()
    server.fail_batches("the input is not valid")
    found = house.collect()
    assert house.statuses() == ["failed"] * 3
    stage = house.stage()
    assert (stage.kind, stage.retryable) == ("batch", True)
    assert "the input is not valid" in (stage.message or "")
    assert [part.status for part in found.parts] == ["lost"]
    house.collect()
    house.run()
    assert house.statuses() == ["skipped"] * 3
    house.collect()
    assert house.statuses() == ["skipped"] * 3, "what is lost does not outlive what was asked anew"
    server.finish_batches()
    house.collect()
    assert house.statuses() == ["ok"] * 3
    assert [len(batch.requests) for batch in server.batches.values()] == [3, 3]


@pytest.mark.slow
def test_single_requests_without_an_answer(house: House, server: FakeChat) -> None:
    house.run()
    server.finish_batches(
        "expired",
        behaviours={house.name_of(1): fake.failing(500, "it broke")},
        expire={house.name_of(0)},
    )
    house.collect()
    assert house.statuses() == ["failed", "failed", "ok"]
    assert "expired" in (house.stage(0).message or "")
    assert "it broke" in (house.stage(1).message or "")
    errors = rows(house.data / "results" / "b1" / "errors.csv")
    assert [row["video_id"] for row in errors] == ["v0", "v1"]
    house.run()
    assert asked(server) == 5


@pytest.mark.slow
def test_refusals_are_values(house: House, server: FakeChat) -> None:
    house.run()
    server.finish_batches(
        behaviours={
            house.name_of(0): fake.refusal("I will not."),
            house.name_of(1): fake.filtered_request(),
        }
    )
    found = house.collect()
    assert house.statuses() == ["ok"] * 3
    assert [v.refusal and v.refusal.kind for v in house.values()] == [
        "refusal", "content_filter", None,
    ]  # fmt: skip
    assert found.summary.videos_refused == 2


@pytest.mark.slow
@pytest.mark.logs_errors
def test_a_quota_that_is_used_up_keeps_no_good_answer_back(house: House, server: FakeChat) -> None:
    house.run()
    server.finish_batches(behaviours={house.name_of(0): fake.prose()})
    server.default = fake.quota()
    found = house.collect()
    assert house.statuses() == ["skipped", "ok", "ok"]
    [note] = found.summary.problems
    assert note.where == "ana/v0"
    assert "spend" in note.message
    server.default = fake.good()
    house.collect()
    assert house.statuses() == ["ok"] * 3


@pytest.mark.slow
def test_a_server_in_trouble_while_asking_again_is_tried_again_by_the_next_call(
    house: House, server: FakeChat
) -> None:
    house.run()
    server.finish_batches(behaviours={house.name_of(0): fake.prose()})
    server.default = fake.failing(500)
    house.collect()
    assert house.statuses() == ["failed", "ok", "ok"]
    server.default = fake.good()
    house.collect()
    assert house.statuses() == ["ok"] * 3


@pytest.mark.slow
def test_a_server_that_gives_nothing_is_said_and_nothing_is_lost(
    house: House, server: FakeChat
) -> None:
    house.run()
    server.finish_batches()
    server.batch_script = [fake.unauthorized()]
    with pytest.raises(ServiceClosed) as caught:
        house.collect()
    assert KEY not in str(caught.value)
    assert house.statuses() == ["skipped"] * 3
    server.batch_script = [fake.failing(500)] * 50
    with pytest.raises(ServiceFailed):
        house.collect()
    server.batch_script = []
    house.collect()
    assert house.statuses() == ["ok"] * 3


@pytest.mark.slow
def test_what_came_before_the_trouble_is_in_records_and_tables(
    house: House, server: FakeChat
) -> None:
    everything = house.sources
    house.sources = everything[:1]
    house.run()
    house.sources = everything
    house.run()
    server.finish_batches()
    server.batch_script = [fake.good()] * 3 + [fake.unauthorized()]
    with pytest.raises(ServiceClosed):
        house.collect()
    assert house.statuses() == ["ok", "skipped", "skipped"]
    table = rows(house.data / "results" / "b1" / "video_features_results.csv")
    assert [bool(row["description"]) for row in table] == [True, False, False]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["../b1", "..", "", "/etc", "a/b", "b1\n", ".hidden"])
def test_names_that_no_batch_has(house: House, name: str) -> None:
    house.run()
    with pytest.raises(UsageError, match="no batch can be named"):
        settings_of(name, house.settings())


@pytest.mark.slow
def test_batches_with_nothing_to_fetch(house: House) -> None:
    with pytest.raises(UsageError, match="there is no batch 'b1'"):
        settings_of("b1", house.settings())
    with pytest.raises(UsageError, match="there is no batch 'b1'"):
        collect("b1", house.settings())
    assert not house.data.exists()
    folder = house.data / "results" / "b1"
    folder.mkdir(parents=True)
    with pytest.raises(UsageError, match="call the run itself again"):
        settings_of("b1", house.settings())
    house.run(mode="live")
    with pytest.raises(UsageError, match="handed"):
        house.collect()
    (folder / "settings.yml").write_text("description: {colour: red}")
    with pytest.raises(ConfigError, match="colour"):
        house.collect()


@pytest.mark.slow
def test_a_run_holds_the_batch(house: House) -> None:
    house.run()
    with batch_lock(house.data / "results" / "b1"), pytest.raises(UsageError, match="another run"):
        house.collect()


@pytest.mark.slow
def test_a_damaged_list_of_batches_stops_the_description_alone(
    house: House, server: FakeChat
) -> None:
    house.run()
    path = house.data / "results" / "b1" / "describe" / "batches.json"
    path.write_text("{")
    summary = house.run()
    assert house.statuses() == ["failed"] * 3
    assert "batches.json" in (house.stage().message or "")
    assert any("batches.json" in problem.message for problem in summary.problems)
    assert summary.stages["platform"].reused == 3
    with pytest.raises(OutputError, match=r"batches\.json"):
        house.collect()
    assert asked(server) == 3


@pytest.mark.slow
@pytest.mark.parametrize(
    "behaviour", [fake.unauthorized(), fake.failing(500), fake.failing(400), fake.quota()]
)
def test_a_server_that_takes_no_batch_leaves_all_for_the_next_run(
    house: House, server: FakeChat, behaviour: fake.Behaviour
) -> None:
    server.batch_script = [behaviour] * 100
    [note] = house.run().problems
    assert "not handed over" in note.message
    assert KEY not in note.message
    assert house.statuses() == ["skipped"] * 3
    assert house.collect().to_hand_over
    server.batch_script = []
    house.run()
    assert (asked(server), len(server.batches)) == (3, 1)


@pytest.mark.slow
def test_without_a_key_nothing_is_queued(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = house.settings(base_url=None)
    settings = settings.model_copy(update={"openai": Settings().openai})
    batch = plan_batch(house.sources, settings, batch_id="b1", default_id="x", only=house.only)
    summary = BatchRun(batch).run()
    assert "OPENAI_API_KEY" in (house.stage().remedy or "")
    assert summary.problems == ()
    assert not (house.data / "results" / "b1" / "describe").exists()


# ---- stopping and limits ----------------------------------------------------------------


@pytest.mark.slow
def test_ctrl_c_before_the_hand_over_submits_nothing(house: House, server: FakeChat) -> None:
    class StopAtFirst:
        """As a user who presses Ctrl-C when the first video waits."""

        def stage_ended(self, source: VideoSource, name: str, record: StageRecord) -> None:
            if name == "describe":
                run.stop("interrupted")

        def video_ended(self, *_: object) -> None: ...

        def trouble(self, *_: object) -> None: ...

    run = BatchRun(house.batch(), [StopAtFirst()])
    assert run.run().stopped == "interrupted"
    assert server.paths == []
    queue = house.data / "results" / "b1" / "describe" / "queue"
    assert list(queue.glob("*.jsonl"))
    house.run()
    assert (asked(server), len(server.batches)) == (3, 1)


@pytest.mark.slow
def test_the_number_of_requests_is_limited(house: House, server: FakeChat) -> None:
    house.run(max_requests=2)
    assert asked(server) == 2
    reasons = [house.stage(number).reason or "" for number in range(3)]
    assert sum("max_requests" in reason for reason in reasons) == 1
    house.run(max_requests=2)
    assert asked(server) == 3, "of one run: what waits already is not counted again"


@pytest.mark.slow
def test_the_cost_is_limited_at_half_the_price(house: House, server: FakeChat) -> None:
    house.run(max_cost_usd=0.000_001)
    assert asked(server) == 0
    assert all("max_cost_usd" in (house.stage(n).reason or "") for n in range(3))
    whole, half = how_many(house, share=1.0), how_many(house, share=0.5)
    assert 0 < whole < half < 10
    assert half in (2 * whole, 2 * whole + 1)


def how_many(house: House, *, share: float) -> int:
    """For how many of ten videos a few cents are enough."""
    other = House(house.root / str(share), house.server)
    other.sources = [captioned(number) for number in range(10)]
    before = asked(house.server)
    other.run(max_cost_usd=0.035, max_output_tokens=1000, batch_price_share=share)
    return asked(house.server) - before


@pytest.mark.slow
def test_nobody_waits_for_a_budget_that_is_set_aside_for_a_batch(house: House) -> None:
    house.sources = house.sources[:1]
    house.run(mode="live")
    house.sources = [captioned(0), captioned(1)]
    began = time.monotonic()
    summary = house.run(creator_summary=True, max_requests=1, request_timeout_s=30)
    assert time.monotonic() - began < 10
    assert any("max_requests" in problem.message for problem in summary.problems)


KILLED_AT_EVERY_WRITE = """
import os, sys
from pathlib import Path

sys.path.insert(0, {here!r})
from test_collect import House, KEY
from reelscope.testing.chat import FakeChat

KILLED = 9
ENDS = ("description_requests.json", "record.json", "batches.json", ".jsonl", "errors.csv")
ours = FakeChat(key=KEY)
ours.url = {url!r}  # the server itself stands in the process of the test


def child(house, step, kill_at):
    \"\"\"Do the step in a process of its own; it ends before the n-th file is put in place.\"\"\"
    pid = os.fork()
    if pid:
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    seen = 0

    def hook(event, args):
        nonlocal seen
        if event == "os.rename" and Path(args[1]).name.endswith(ENDS):
            seen += 1
            if seen == kill_at:
                os._exit(KILLED)

    sys.addaudithook(hook)
    house.run() if step == "run" else house.collect()
    os._exit(0)


for step in ("run", "collect"):
    for kill_at in range(1, 1000):
        house = House(Path({root!r}) / f"{{step}}-{{kill_at}}", ours)
        if step == "collect":
            child(house, "run", 0)
            print("finish", house.root.name, flush=True)
            input()
        killed = child(house, step, kill_at) == KILLED
        if child(house, step, 0) != 0:
            raise SystemExit(f"{{house.root.name}} did not end")
        print("check", house.root.name, int(killed), flush=True)
        input()
        if not killed:
            break
"""
"""An audit hook is told of each file that is put in its place: no code is patched."""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_killed_before_any_file_is_written_the_same_call_ends_well(
    tmp_path: Path, server: FakeChat
) -> None:
    script = KILLED_AT_EVERY_WRITE.format(
        here=str(Path(__file__).parent), url=server.url, root=str(tmp_path)
    )
    kills = {"run": 0, "collect": 0}
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin and process.stdout
        for told in process.stdout:
            what, name, *killed = told.split()
            house = House(tmp_path / name, server)
            if what == "finish":
                server.finish_batches()
            else:
                step = name.partition("-")[0]
                kills[step] += int(killed[0])
                assert asked(server) == 3, name
                assert house.statuses() == [{"run": "skipped", "collect": "ok"}[step]] * 3, name
                assert not list(house.data.rglob("*.reelscope-tmp")), name
                if step == "collect":
                    assert (server.answered, server.requests) == (3, 0), name
                    table = rows(house.data / "results" / "b1" / "video_features_results.csv")
                    assert all(row["description"] for row in table), name
                server.batches.clear()
                server.files.clear()
                server.answered = 0
            process.stdin.write("\n")
            process.stdin.flush()
    assert process.returncode == 0
    assert kills["run"] >= 12  # three requests and records, the queue's files, a table
    assert kills["collect"] >= 6
