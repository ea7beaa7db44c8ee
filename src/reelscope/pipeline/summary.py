"""What a run did: counted while it goes on, saved as summary.json, shown as a table."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Collection
from datetime import UTC, datetime

from pydantic import Field

import reelscope
from reelscope.crawl.creators import Creator
from reelscope.description.cost import Totals
from reelscope.engines.registry import REGISTRY, InPackage
from reelscope.engines.weights import remedy
from reelscope.errors import CrawlFailed
from reelscope.pipeline.graph import Graph
from reelscope.pipeline.stage import ReadsWeights, Spends
from reelscope.records import (
    SCHEMA_VERSION,
    Description,
    Dollars,
    Frozen,
    Number,
    Probe,
    StageRecord,
    Transcript,
    VideoRecord,
    VideoSource,
)


class StageSummary(Frozen):
    """One stage over all videos of the run."""

    engine: str = Field(description="Who did the work: name and revision.")
    ok: int = Field(description="Videos for which this run got a value.")
    skipped: int = Field(description="Videos that gave this stage nothing to work on.")
    failed: int = Field(description="Videos on which it failed.")
    reused: int = Field(description="Videos answered by an earlier run.")
    seconds: Number = Field(description="Work time in this run, summed over videos.")
    real_time_factor: Number | None = Field(
        description="Seconds of video per second of work, over the videos with a value."
    )
    spent: Spending | None = Field(description="What it cost; null: it costs nothing.")


class FailureGroup(Frozen):
    """Failures, or skips that have a remedy, of one sort."""

    stage: str = Field(description="Which stage.")
    kind: str = Field(description="Sort of failure, or `skipped`.")
    count: int = Field(description="On how many videos.")
    message: str = Field(description="The first one's message or reason.")
    remedy: str | None = Field(description="What would help, where it is known.")


class Spending(Frozen):
    """What a stage that asks a paid service took in this run, as the service counts it."""

    requests: int = Field(description="Answers that were paid for.")
    input_tokens: int = Field(description="Tokens read.")
    cached_input_tokens: int = Field(description="Of those: read from the server's cache.")
    output_tokens: int = Field(description="Tokens written.")
    cost_usd: Dollars | None = Field(
        description="By description.prices; null: the model has no price there."
    )
    refusals: int = Field(description="Answers that the model, or a filter, would not give.")


class Problem(Frozen):
    """Something outside the stages: a CSV line refused, a creator without videos."""

    where: str = Field(description="File and line, creator, or video.")
    message: str = Field(description="What is wrong, with its remedy.")


class CrawlSummary(Frozen):
    """What was fetched from elsewhere in this run."""

    creators: int = Field(description="Creators whose videos were asked for.")
    listed: int = Field(description="Videos in their lists.")
    fetched: int = Field(description="Files that came in this run.")
    earlier: int = Field(description="Files that were here already.")
    failures: dict[str, int] = Field(
        description="Sort of fault -> how often: private, rate_limited, ..."
    )


class Summary(Frozen):
    """The run in numbers."""

    schema_version: int = Field(default=SCHEMA_VERSION, description="Of this file.")
    reelscope_version: str = Field(description="The program's version.")
    batch_id: str = Field(description="Folder name below data/results.")
    started_at: datetime = Field(description="UTC.")
    finished_at: datetime = Field(description="UTC.")
    seconds: Number = Field(description="Wall time of the run.")
    creators: int = Field(description="Creators with at least one video.")
    videos: int = Field(description="Videos in the batch.")
    videos_ended: int = Field(description="Videos whose every stage has ended.")
    videos_with_failures: int = Field(description="Of those: at least one stage failed.")
    videos_without_result: int = Field(description="Of those: no stage has a value.")
    videos_from_earlier_run: int = Field(description="Of those: nothing was left to do.")
    videos_refused: int = Field(description="Of those: a model would not describe them.")
    stage_results_from_earlier_run: int = Field(description="Stage results that were reused.")
    videos_per_minute: Number | None = Field(description="Videos on which work was done.")
    media_seconds: Number = Field(description="Length of all videos with a known length.")
    stages: dict[str, StageSummary] = Field(description="By stage, in the order they run.")
    failures: tuple[FailureGroup, ...] = Field(description="Most frequent first.")
    remedies: tuple[FailureGroup, ...] = Field(description="Skips that something would help.")
    crawl: CrawlSummary | None = Field(
        default=None, description="What was fetched; null: nothing was asked for."
    )
    problems: tuple[Problem, ...] = Field(description="CSV lines, creators without videos, ...")
    stopped: str | None = Field(description="Why the run ended before its end, if it did.")

    @property
    def nothing_succeeded(self) -> bool:
        """There were videos, and not one of them gave a value."""
        return self.videos_ended > 0 and self.videos_without_result == self.videos_ended


class Tally:
    """Hears the runner and counts; `summary()` gives the numbers at any moment."""

    def __init__(self, graph: Graph, selected: frozenset[str]) -> None:
        self.graph = graph
        self.selected = selected
        self.counts: Counter[tuple[str, str]] = Counter()
        self.ended = self.with_failures = self.without_result = self.untouched = 0
        self.refused = 0
        self.media_s = 0.0
        self._work_s: dict[str, float] = defaultdict(float)
        self._ok_work_s: dict[str, float] = defaultdict(float)
        self._ok_media_s: dict[str, float] = defaultdict(float)
        self._groups: dict[tuple[str, str, str | None], tuple[int, str]] = {}
        self._problems: list[Problem] = []
        self._poor: set[str] = set()
        self.crawl: CrawlTally | None = None
        self._started = datetime.now(UTC)
        self._clock = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self._clock

    def stage_ended(self, source: VideoSource, name: str, record: StageRecord) -> None:  # noqa: ARG002
        """Count an end."""
        self.counts[name, record.status] += 1
        self._work_s[name] += record.seconds

    def video_ended(self, record: VideoRecord, reused: frozenset[str]) -> None:
        """Count a video, and what earlier runs had already found of it."""
        for name in reused:
            self.counts[name, "reused"] += 1
        asked = {name: record.stages[name] for name in self.selected if name in record.stages}
        statuses = [stage.status for name, stage in asked.items() if name != "platform"]
        self.ended += 1
        self.with_failures += "failed" in statuses
        self.without_result += "ok" not in statuses
        idle = {name for name, stage in asked.items() if stage.status == "skipped"}
        self.untouched += bool(reused) and len(reused | idle) == len(self.selected)
        described = record.value(Description) if "describe" in self.selected else None
        self.refused += bool(described and described.refusal)
        length_s = _length_s(record)
        self.media_s += length_s
        for name, stage in asked.items():
            self._note(name, stage)
            if stage.status == "ok" and name not in reused:
                self._ok_media_s[name] += length_s
                self._ok_work_s[name] += stage.seconds

    def trouble(self, source: VideoSource, message: str) -> None:
        """Keep a problem with one video."""
        self.problem(f"{source.creator}/{source.video_id}", message)

    def problem(self, where: str, message: str) -> None:
        """Keep a problem for the end of the run."""
        self._problems.append(Problem(where=where, message=message))

    def _note(self, name: str, stage: StageRecord) -> None:
        """Group what failed or could be helped; what stands from an earlier run too."""
        if stage.status == "failed":
            self._group(name, stage.kind or "error", stage.message or "", None)
        elif stage.status == "skipped" and stage.remedy:
            self._group(name, "skipped", stage.reason or "", stage.remedy)
        value = stage.value
        if isinstance(value, Transcript) and value.accuracy == "low" and value.segments:
            self._note_poor(name, stage.engine)

    def _note_poor(self, name: str, engine: str) -> None:
        """Say once per run that an engine of low accuracy did the work, and what is better."""
        if engine in self._poor:
            return
        self._poor.add(engine)
        stage = self.graph[name]
        weights = stage.weights if isinstance(stage, ReadsWeights) else ()
        better = [w for w in weights if not isinstance(REGISTRY[w].source, InPackage)]
        what = remedy(better[0]) if better else "models.whisper.engine: auto"
        self.problem(name, f"used {engine}: low accuracy, many words are wrong; better: {what}")

    def _group(self, stage: str, kind: str, message: str, remedy: str | None) -> None:
        count, first = self._groups.get((stage, kind, remedy), (0, message))
        self._groups[stage, kind, remedy] = (count + 1, first)

    def _grouped(self, *, skips: bool) -> tuple[FailureGroup, ...]:
        groups = [
            FailureGroup(stage=stage, kind=kind, count=count, message=message, remedy=remedy)
            for (stage, kind, remedy), (count, message) in self._groups.items()
            if (kind == "skipped") == skips
        ]
        return tuple(sorted(groups, key=lambda g: (-g.count, g.stage, g.kind)))

    def _stages(self) -> dict[str, StageSummary]:
        table = {}
        for stage in self.graph:
            if stage.name not in self.selected:
                continue
            work_s = self._ok_work_s[stage.name]
            table[stage.name] = StageSummary(
                engine=stage.engine,
                ok=self.counts[stage.name, "ok"],
                skipped=self.counts[stage.name, "skipped"],
                failed=self.counts[stage.name, "failed"],
                reused=self.counts[stage.name, "reused"],
                seconds=self._work_s[stage.name],
                real_time_factor=self._ok_media_s[stage.name] / work_s if work_s > 0 else None,
                spent=_spending(stage.spent) if isinstance(stage, Spends) else None,
            )
        return table

    def summary(self, batch_id: str, *, creators: int, videos: int, stopped: str | None) -> Summary:
        """The numbers as they stand now."""
        worked = self.ended - self.untouched
        elapsed_s = self.elapsed_s
        return Summary(
            reelscope_version=reelscope.__version__,
            batch_id=batch_id,
            started_at=self._started,
            finished_at=datetime.now(UTC),
            seconds=elapsed_s,
            creators=creators,
            videos=videos,
            videos_ended=self.ended,
            videos_with_failures=self.with_failures,
            videos_without_result=self.without_result,
            videos_from_earlier_run=self.untouched,
            videos_refused=self.refused,
            stage_results_from_earlier_run=sum(
                count for (_, status), count in self.counts.items() if status == "reused"
            ),
            videos_per_minute=60 * worked / elapsed_s if worked and elapsed_s > 0 else None,
            media_seconds=self.media_s,
            stages=self._stages(),
            failures=self._grouped(skips=False),
            remedies=self._grouped(skips=True),
            crawl=self.crawl.summary() if self.crawl else None,
            problems=tuple(self._problems),
            stopped=stopped,
        )


class CrawlTally:
    """Hears the crawl, on its own thread, and counts.

    Args:
        problem: keeps what went wrong for the end of the run (where, message).
    """

    def __init__(self, problem: Callable[[str, str], None]) -> None:
        self._problem = problem
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._faults: Counter[str] = Counter()
        self._creators: set[str] = set()

    def listed(self, creator: Creator, count: int) -> None:
        """Count a creator and the videos."""
        with self._lock:
            self._creators.add(creator.username)
            self._counts["listed"] += count

    def fetched(self, creator: Creator, video_id: str, *, new: bool) -> None:  # noqa: ARG002
        """Count a file."""
        with self._lock:
            self._counts["fetched" if new else "earlier"] += 1

    def failed(self, creator: Creator, video_id: str | None, fault: CrawlFailed) -> None:
        """Count a fault and keep it."""
        with self._lock:
            self._creators.add(creator.username)
            self._faults[fault.fault] += 1
        where = creator.username if video_id is None else f"{creator.username}/{video_id}"
        self._problem(where, f"{fault} ({fault.fault}) -> {fault.remedy}")

    def summary(self) -> CrawlSummary:
        """The numbers as they stand now."""
        with self._lock:
            return CrawlSummary(
                creators=len(self._creators),
                listed=self._counts["listed"],
                fetched=self._counts["fetched"],
                earlier=self._counts["earlier"],
                failures=dict(sorted(self._faults.items())),
            )


def spending(graph: Graph, selected: Collection[str]) -> str:
    """What the run has spent so far, for people: "41 requests, 61,500 tokens, $0.21"."""
    lines = [s.spent for s in graph if s.name in selected and isinstance(s, Spends)]
    return "; ".join(totals.line() for totals in lines if totals.requests)


def _spending(totals: Totals) -> Spending:
    return Spending(
        requests=totals.requests,
        input_tokens=totals.tokens.input,
        cached_input_tokens=totals.tokens.cached_input,
        output_tokens=totals.tokens.output,
        cost_usd=totals.usd,
        refusals=totals.refusals,
    )


def _length_s(record: VideoRecord) -> float:
    probe = record.value(Probe)
    return (probe.duration_s if probe else None) or 0.0
