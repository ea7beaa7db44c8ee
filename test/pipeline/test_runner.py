"""The runner: order, resume, halving, limits, stopping. Real threads, real files."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from reelscope.engines.device import Devices, current
from reelscope.errors import (
    DeviceLost,
    EngineUnavailable,
    MediaError,
    OutputError,
    RunStopped,
    ServiceClosed,
)
from reelscope.media.clip import Clip
from reelscope.media.frames import Frame
from reelscope.pipeline.checkpoint import RECORD_NAME, RecordStore, read_record
from reelscope.pipeline.graph import Graph
from reelscope.pipeline.runner import Runner
from reelscope.pipeline.stage import Stage
from reelscope.records import (
    STAGE_VALUES,
    Failed,
    Ok,
    Outcome,
    Platform,
    Skipped,
    StageRecord,
    VideoRecord,
    VideoSource,
)
from reelscope.settings import Media, Processing
from reelscope.testing.media import Scene, write_video
from reelscope.testing.stages import Say

NAMES = ("a", "b", "c", "d", "probe")


@pytest.fixture(autouse=True)
def _stages_known(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.setitem(STAGE_VALUES, name, Platform)


class Heard:
    """A listener that keeps what it hears."""

    def __init__(self) -> None:
        self.stages: list[tuple[str, str, str]] = []
        self.videos: dict[str, frozenset[str]] = {}
        self.troubles: list[str] = []

    def stage_ended(self, source: VideoSource, name: str, record: StageRecord) -> None:
        self.stages.append((source.video_id, name, record.status))

    def video_ended(self, record: VideoRecord, reused: frozenset[str]) -> None:
        self.videos[record.source.video_id] = reused

    def trouble(self, source: VideoSource, message: str) -> None:
        self.troubles.append(message)


class House:
    """Runs stages over small files in a temporary folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.open_now = 0
        self.most_open = 0

    def sources(self, count: int) -> list[VideoSource]:
        made = []
        for number in range(count):
            path = self.root / f"{number:03}.mp4"
            if not path.exists():
                path.write_bytes(f"video {number}".encode())
            made.append(
                VideoSource(
                    creator="ana",
                    video_id=f"{number:03}",
                    path=str(path),
                    frames_id=f"{number:03}",
                )
            )
        return made

    def runner(
        self,
        stages: Sequence[Stage],
        *,
        only: Sequence[str] = (),
        skip: Sequence[str] = (),
        heard: Heard | None = None,
        finish: object = None,
        **settings: object,
    ) -> Runner:
        graph = Graph(stages)
        return Runner(
            graph,
            graph.select(only=only, skip=skip),
            Processing.model_validate(settings),
            devices=Devices("cpu"),
            store=RecordStore(self.root / "records"),
            open_clip=self._open,
            finish=finish or (lambda record: None),  # type: ignore[arg-type]
            listeners=[heard] if heard else [],
        )

    def run(self, stages: Sequence[Stage], count: int = 3, **options: object) -> Heard:
        heard = Heard()
        self.runner(stages, heard=heard, **options).run(self.sources(count))  # type: ignore[arg-type]
        return heard

    def record(self, video: str = "000") -> VideoRecord:
        record = read_record(self.root / "records" / "ana" / video / RECORD_NAME)
        assert record is not None
        return record

    def _open(self, record: VideoRecord) -> Clip:
        self.open_now += 1
        self.most_open = max(self.most_open, self.open_now)
        clip = Clip(record.source, record, Media(), frames_root=self.root / "frames")
        close = clip.close

        def counted() -> None:
            self.open_now -= 1
            close()

        clip.close = counted  # type: ignore[method-assign]
        return clip


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def test_every_stage_runs_once_per_video_after_what_it_waits_for(house: House) -> None:
    stages = [Say("c", needs=("b",)), Say("b", uses=("a",)), Say("a")]
    heard = house.run(stages, count=20, concurrency=4)
    assert sorted(heard.videos) == [f"{n:03}" for n in range(20)]
    for video in heard.videos:
        assert [name for v, name, _ in heard.stages if v == video] == ["a", "b", "c"]
    assert house.record().stages["c"].status == "ok"
    assert house.open_now == 0
    assert all(stage.opened == 1 and stage.closed == 1 for stage in stages)


def test_no_more_videos_are_open_than_allowed(house: House) -> None:
    house.run([Say("a"), Say("b")], count=40, max_in_flight=3, concurrency=8)
    assert 1 <= house.most_open <= 3 + 1  # one may be closing while the next opens


def test_a_second_run_does_no_stage_twice(house: House) -> None:
    house.run([Say("a"), Say("b", needs=("a",))])
    before = (house.root / "records" / "ana" / "000" / RECORD_NAME).read_bytes()
    again = [Say("a"), Say("b", needs=("a",))]
    heard = house.run(again)
    assert [stage.ran_on for stage in again] == [[], []]
    assert set(heard.videos.values()) == {frozenset({"a", "b"})}
    assert (house.root / "records" / "ana" / "000" / RECORD_NAME).read_bytes() == before


def test_a_changed_setting_runs_only_what_reads_it(house: House) -> None:
    def graph(turn: int) -> list[Say]:
        return [Say("a"), Say("b", turn=turn), Say("c", needs=("b",)), Say("d", needs=("a",))]

    house.run(graph(1), count=1)
    changed = graph(2)
    house.run(changed, count=1)
    assert [stage.name for stage in changed if stage.ran_on] == ["b", "c"]


def test_changed_bytes_run_everything_again(house: House) -> None:
    house.run([Say("a")], count=2)
    (house.root / "000.mp4").write_bytes(b"another video")
    again = Say("a")
    house.run([again], count=2)
    assert again.ran_on == ["000"]


def test_only_uses_what_an_earlier_run_left_if_it_still_holds(house: House) -> None:
    read: list[str | None] = []

    def reader(turn: int) -> list[Stage]:
        def answer(clip: Clip) -> Outcome:
            stage = clip.record.stages.get("a")
            read.append(None if stage is None else stage.status)
            return Ok(Platform(name="test"))

        return [Say("a", turn=turn), Say("b", uses=("a",), answer=answer)]

    house.run(reader(1), count=1, only=["a"])
    house.run(reader(1), count=1, only=["b"])
    house.run(reader(2), count=1, only=["b"])
    assert read == ["ok", None]
    assert house.record().stages["a"].status == "ok", "a stale result is not thrown away"


def test_a_failure_is_told_apart_from_a_skip(house: House) -> None:
    def answer(clip: Clip) -> Outcome:
        if clip.source.video_id == "000":
            raise MediaError("the sound breaks off")
        return Skipped("no audio stream")

    heard = house.run([Say("a", answer=answer), Say("b", needs=("a",))], count=2)
    failed, skipped = house.record("000").stages["a"], house.record("001").stages["a"]
    assert (failed.status, failed.kind, failed.message) == (
        "failed",
        "media",
        "the sound breaks off",
    )
    assert (skipped.status, skipped.reason) == ("skipped", "no audio stream")
    assert house.record("000").stages["b"].status == "skipped"
    assert "it needs a" in (house.record("001").stages["b"].reason or "")
    assert ("000", "b", "skipped") in heard.stages


@pytest.mark.parametrize(
    ("outcome", "runs_again"),
    [
        (Ok(Platform(name="test")), False),
        (Skipped("no audio stream"), False),
        (Skipped("no weights", "models pull"), True),
        (Failed("media", "broken"), False),
        (Failed("network", "429", retryable=True), True),
    ],
)
def test_what_a_resume_tries_again(house: House, outcome: Outcome, runs_again: bool) -> None:
    house.run([Say("a", answer=lambda clip: outcome)], count=1)
    again = Say("a", answer=lambda clip: outcome)
    house.run([again], count=1)
    assert bool(again.ran_on) == runs_again


def test_an_unexpected_exception_fails_one_video_and_the_rest_goes_on(house: House) -> None:
    def answer(clip: Clip) -> Outcome:
        if clip.source.video_id == "001":
            raise KeyError("surprise")
        return Ok(Platform(name="test"))

    house.run([Say("a", answer=answer)], count=3)
    assert [house.record(f"00{n}").stages["a"].status for n in range(3)] == ["ok", "failed", "ok"]
    assert house.record("001").stages["a"].kind == "internal"


def test_a_batch_that_raises_is_halved_until_the_cause_is_alone(house: House) -> None:
    def answer(clip: Clip) -> Outcome:
        if clip.source.video_id == "005":
            raise RuntimeError("poison")
        return Ok(Platform(name="test"))

    stage = Say("a", lane="gpu", batch_size=8, answer=answer)
    house.run([stage], count=8, max_in_flight=8, concurrency=8)
    statuses = {n: house.record(f"{n:03}").stages["a"].status for n in range(8)}
    assert {n for n, status in statuses.items() if status == "failed"} == {5}


def test_videos_share_a_batch(house: House) -> None:
    gate = threading.Event()

    def first_waits(clip: Clip) -> Outcome:
        gate.wait(0.3)
        return Ok(Platform(name="test"))

    stage = Say("a", lane="gpu", batch_size=4, answer=first_waits)
    house.run([stage], count=9, max_in_flight=9, concurrency=2)
    assert max(len(batch) for batch in stage.batches) == 4
    assert sorted(stage.ran_on) == [f"{n:03}" for n in range(9)]


@pytest.mark.logs_errors
def test_a_lost_device_closes_its_stage_and_the_run_goes_on(house: House) -> None:
    def lost(clip: Clip) -> Outcome:
        raise DeviceLost("model: cuda:0 gives no results any more; start again")

    stage = Say("b", lane="gpu", batch_size=2, answer=lost)
    heard = house.run([Say("a"), stage, Say("c", needs=("b",))], count=30)
    assert len(stage.batches) == 1, "nobody asks a dead device again"
    assert len(heard.videos) == 30
    for video in ("000", "029"):
        record = house.record(video).stages
        assert record["a"].status == "ok"
        assert (record["b"].kind, record["b"].retryable) == ("device", True)
        assert record["c"].status == "skipped"


def test_stages_of_the_gpu_lane_say_where_they_ran(house: House) -> None:
    seen: set[str] = set()

    def where(clip: Clip) -> Outcome:
        seen.add(current())
        return Ok(Platform(name="test"))

    house.run([Say("a"), Say("b", lane="gpu", answer=where)], count=3)
    assert seen == {"cpu"}
    assert house.record().stages["b"].device == "cpu"


def test_a_missing_engine_skips_with_its_remedy_and_is_opened_once(house: House) -> None:
    opened = []

    def absent() -> None:
        opened.append(1)
        raise EngineUnavailable("no weights for x", remedy="models pull x")

    house.run([Say("a", on_open=absent), Say("b", needs=("a",))], count=5)
    stage = house.record("004").stages["a"]
    assert (stage.status, stage.reason, stage.remedy) == (
        "skipped",
        "no weights for x",
        "models pull x",
    )
    assert len(opened) == 1
    assert house.record("004").stages["b"].remedy == "models pull x"


def test_a_stage_that_checks_the_time_ends_at_its_limit(house: House) -> None:
    def slow(clip: Clip) -> Outcome:
        while True:
            clip.check_time()
            time.sleep(0.01)

    house.run([Say("a", answer=slow)], count=1, item_timeout_s=0.2)
    assert house.record().stages["a"].kind == "timeout"


def test_a_stage_that_hangs_is_given_up_and_the_run_goes_on(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("reelscope.pipeline.lanes.GRACE_S", 0.2)
    release = threading.Event()

    def hang(clip: Clip) -> Outcome:
        if clip.source.video_id == "000":
            release.wait(30)
        return Ok(Platform(name="test"))

    start = time.monotonic()
    house.run([Say("a", answer=hang), Say("b", uses=("a",))], count=4, item_timeout_s=0.3)
    release.set()
    assert time.monotonic() - start < 10
    assert house.record("000").stages["a"].kind == "timeout"
    assert house.record("000").stages["b"].status == "ok"
    assert house.record("003").stages["a"].status == "ok"


def test_a_dead_service_is_not_asked_for_every_video(house: House) -> None:
    silent = Failed("network", "no answer", retryable=True)
    stage = Say("a", lane="network", at_once=1, answer=lambda clip: silent)
    heard = house.run([stage], count=40, max_in_flight=1, breaker_failures=3, min_failures=1000)
    assert len(stage.ran_on) == 3
    kinds = [house.record(f"{n:03}").stages["a"].kind for n in range(40)]
    assert kinds.count("breaker") == 37
    assert len(heard.videos) == 40


def test_videos_that_wait_for_a_server_make_room_for_others(house: House) -> None:
    all_there = threading.Barrier(6, timeout=30)

    def ask(clip: Clip) -> Outcome:
        all_there.wait()  # breaks unless all six are asked for at once
        return Ok(Platform(name="test"))

    asks = Say("b", needs=("a",), lane="network", answer=ask)
    house.run([Say("a"), asks, Say("c", needs=("b",))], count=6, max_in_flight=2)
    assert [house.record(f"{n:03}").stages["c"].status for n in range(6)] == ["ok"] * 6


def test_a_slow_server_does_not_fill_the_memory_with_videos_that_wait(house: House) -> None:
    answers = threading.Event()

    def ask(clip: Clip) -> Outcome:
        assert answers.wait(30)
        return Ok(Platform(name="test"))

    first = Say("a")
    asks = Say("b", needs=("a",), lane="network", at_once=2, answer=ask)
    runner = house.runner([first, asks, Say("c", needs=("b",))], max_in_flight=2, concurrency=2)
    run = threading.Thread(target=runner.run, args=(house.sources(300),))
    run.start()
    known = -1
    while known < len(first.ran_on):  # until nothing more begins
        known = len(first.ran_on)
        time.sleep(0.5)
    assert 2 * 16 <= known <= 2 * 16 + 2, "twice the network's lane, and those that may be open"
    assert len(asks.batches) == 2
    answers.set()
    run.join(60)
    assert not run.is_alive()
    assert house.record("299").stages["c"].status == "ok"


def test_what_was_let_go_while_a_server_was_asked_is_decoded_again(house: House) -> None:
    write_video(house.root / "000.mp4", [Scene(1.0)], size=(64, 64))
    seen: list[Sequence[Frame]] = []

    def look(clip: Clip) -> Outcome:
        seen.append(clip.frames)
        return Ok(Platform(name="test"))

    asks = Say("b", needs=("a",), lane="network", answer=look)  # of the pictures themselves
    house.run([Say("a", answer=look), asks, Say("c", needs=("b",), answer=look)], count=1)
    assert len(seen) == 3
    assert seen[0] is not seen[1], "what was decoded was let go"
    times = [[frame.time_s for frame in frames] for frames in seen]
    assert times[0]
    assert times[0] == times[1] == times[2]


def test_videos_that_had_nothing_to_ask_do_not_hide_a_dead_service(house: House) -> None:
    def answer(clip: Clip) -> Outcome:
        if int(clip.source.video_id) % 2:
            return Skipped("no words")
        return Failed("network", "no answer", retryable=True)

    stage = Say("a", lane="network", at_once=1, answer=answer)
    house.run([stage], count=40, breaker_failures=3)
    assert len(stage.ran_on) == 5


def test_a_dead_service_does_not_stop_the_other_stages(house: House) -> None:
    all_there = threading.Barrier(30, timeout=30)
    asked = itertools.count()

    def answer(clip: Clip) -> Outcome:
        if next(asked) < 30:
            all_there.wait()  # all fail at once, more of them than `min_failures`
        return Failed("network", "no answer", retryable=True)

    asks = Say("b", lane="network", at_once=30, answer=answer)
    heard = house.run([Say("a"), asks], count=60, min_failures=20)
    assert len(heard.videos) == 60
    assert 30 <= len(asks.ran_on) < 40, "a few more may begin before the first ends are counted"
    assert all(house.record(video).stages["a"].status == "ok" for video in heard.videos)


@pytest.mark.parametrize("at_once", [3, 20])
def test_no_more_requests_are_under_way_than_the_stage_allows(house: House, at_once: int) -> None:
    under_way = most = 0
    lock = threading.Lock()
    full = threading.Event()  # no request is answered before the lane is as full as it gets

    def ask(clip: Clip) -> Outcome:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
            if most >= at_once:
                full.set()
        full.wait(timeout=30)
        time.sleep(0.02)
        with lock:
            under_way -= 1
        return Ok(Platform(name="test"))

    house.run([Say("b", lane="network", at_once=at_once, answer=ask)], count=2 * at_once)
    assert most == at_once, "the lane is as wide as its stage, and no wider"


@pytest.mark.logs_errors
def test_a_service_that_lets_nobody_in_is_said_once(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(clip: Clip) -> Outcome:
        raise ServiceClosed("the key is refused", remedy="check OPENAI_API_KEY")

    asks = Say("b", lane="network", at_once=4, answer=refused)
    heard = house.run([Say("a"), asks], count=30)
    assert len(asks.batches) <= 4 + 1, "only those under way when the first came back"
    assert len(heard.videos) == 30
    for number in range(30):
        left = house.record(f"{number:03}").stages["b"]
        assert (left.status, left.remedy) == ("skipped", "check OPENAI_API_KEY")
    assert [r.levelname for r in caplog.records].count("ERROR") == 1


def test_the_run_stops_when_everything_fails_alike(house: House) -> None:
    stage = Say("a", answer=lambda clip: Failed("media", "no such codec"))
    with pytest.raises(RunStopped, match="same reason"):
        house.run([stage], count=100, min_failures=5, max_failure_share=0.5)
    assert len(stage.ran_on) < 20


def test_stop_finishes_what_runs_and_saves_it(house: House) -> None:
    runner: list[Runner] = []

    def answer(clip: Clip) -> Outcome:
        if clip.source.video_id == "002":
            runner[0].stop("interrupted")
        return Ok(Platform(name="test"))

    stage = Say("a", answer=answer)
    runner.append(house.runner([stage], concurrency=1, max_in_flight=1))
    runner[0].run(house.sources(50))
    assert runner[0].stopped == "interrupted"
    assert house.record("002").stages["a"].status == "ok"
    assert len(stage.ran_on) < 10
    assert house.open_now == 0
    again = Say("a")
    house.run([again], count=50)
    assert len(again.ran_on) == 50 - len(stage.ran_on)


def test_results_that_cannot_be_written_stop_the_run(house: House) -> None:
    (house.root / "records").write_text("a file where the folder should be")
    with pytest.raises(OutputError):
        house.run([Say("a")], count=5)


@pytest.mark.logs_errors
def test_files_that_fail_for_one_video_are_told_and_the_run_goes_on(house: House) -> None:
    def finish(record: VideoRecord) -> None:
        if record.source.video_id == "001":
            raise ValueError("odd record")

    heard = house.run([Say("a")], count=3, finish=finish)
    assert len(heard.videos) == 3
    assert heard.troubles == ["its files were not written: odd record"]


def test_a_source_that_is_gone_fails_in_the_probe_alone(house: House) -> None:
    sources = house.sources(1)
    Path(sources[0].path or "").unlink()

    def answer(clip: Clip) -> Outcome:
        return Ok(Platform(name="test", caption=str(clip.info.duration_s)))

    stages = [Say("probe", answer=answer), Say("a", answer=answer)]
    house.runner(stages).run(sources)
    assert house.record().stages["probe"].status == "failed"
    assert house.record().stages["a"].status == "skipped"


def test_sources_may_come_one_at_a_time(house: House) -> None:
    """The list is not read ahead further than there is room: a crawl can stream into it."""
    taken = []

    def stream() -> Iterator[VideoSource]:
        for source in house.sources(10):
            taken.append(source.video_id)
            yield source

    most = []

    def answer(clip: Clip) -> Outcome:
        most.append(len(taken) - int(clip.source.video_id))
        return Ok(Platform(name="test"))

    house.runner([Say("a", answer=answer)], max_in_flight=2, concurrency=1).run(stream())
    assert max(most) <= 4
