"""One video on its way through the stages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from reelscope.engines.device import CPU
from reelscope.media.clip import Clip
from reelscope.pipeline.graph import Graph, waits_for
from reelscope.pipeline.stage import Stage, reusable, stage_key
from reelscope.records import Ok, Outcome, Skipped, StageRecord, VideoRecord


@dataclass(eq=False)
class Job:
    """A video, its record so far, and which stages are still to come.

    Attributes:
        order: place in the run; older jobs go first, so that videos get finished.
        selected: the stages that this run may start. The others answer only if an
            earlier run left a record that still holds.
        waiting: stages that have not ended yet, in the graph's order.
        running: stages at work on this video now.
        reused: stages answered by an earlier run.
        standing: how each ended stage ended, as far as it holds under today's settings;
            this, not all that an older record carries, is what stages get to read.
        abandoned: a stage outlived its time limit and may still hold the clip.
        closed: it waits for a server alone, and what was decoded has been let go.
    """

    order: int
    graph: Graph
    selected: frozenset[str]
    record: VideoRecord
    clip: Clip
    waiting: list[str] = field(init=False)
    running: set[str] = field(init=False, default_factory=set)
    reused: set[str] = field(init=False, default_factory=set)
    standing: dict[str, StageRecord] = field(init=False, default_factory=dict)
    changed: bool = field(init=False, default=False)
    abandoned: bool = field(init=False, default=False)
    closed: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self.waiting = list(self.graph.names)
        self._show_clip()

    @property
    def done(self) -> bool:
        """Whether every stage has ended."""
        return not self.waiting and not self.running

    def close_while_on_network(self, ready: Sequence[Stage]) -> None:
        """Let go of what was decoded while only servers work on the video.

        They take seconds to minutes; without this a slow server would hold all videos
        that may be open, and nothing else would be analysed meanwhile.
        """
        at_work = [self.graph[name] for name in self.running] + list(ready)
        self.closed = bool(at_work) and all(stage.lane == "network" for stage in at_work)
        if self.closed:
            self.clip.close()

    def settle(self) -> list[Stage]:
        """Answer what needs no work, and return the stages that can start now.

        A stage is answered without work when an earlier run's record has its key, or
        when a stage that it needs has no value.
        """
        ready: list[Stage] = []
        for name in list(self.waiting):
            stage = self.graph[name]
            if name in self.running or any(n in self.waiting for n in waits_for(stage)):
                continue
            key = self.key(stage)
            earlier = self.record.stages.get(name)
            if earlier is not None and reusable(earlier, key):
                self.waiting.remove(name)
                self.standing[name] = earlier
                self.reused.add(name)
                self._show_clip()
            elif name not in self.selected:
                self.waiting.remove(name)
            elif cause := self._lacks(stage):
                self.end(stage, skipped_record(cause, stage=stage, key=key))
            else:
                ready.append(stage)
        return ready

    def key(self, stage: Stage) -> str:
        """The stage's cache key, given how the stages before it ended."""
        media = self.record.media
        return stage_key(
            stage,
            source=self.record.source,
            media_sha256=media.sha256 if media else "",
            upstream=[(name, self.standing.get(name)) for name in waits_for(stage)],
            earlier=self.record.stages.get(stage.name),
        )

    def end(self, stage: Stage, record: StageRecord) -> None:
        """Note how a stage ended."""
        self.waiting.remove(stage.name)
        self.running.discard(stage.name)
        self.standing[stage.name] = record
        self.record = self.record.with_stage(stage.name, record)
        self._show_clip()
        self.changed = True

    def _show_clip(self) -> None:
        self.clip.record = self.record.model_copy(update={"stages": dict(self.standing)})

    def _lacks(self, stage: Stage) -> Skipped | None:
        for name in stage.needs:
            record = self.standing.get(name)
            if record is None:
                return Skipped(f"it needs {name}, which this run leaves out", f"run {name} as well")
            if record.status == "failed":
                return Skipped(f"it needs {name}, which failed: {record.message}")
            if record.status == "skipped":
                return Skipped(_first_cause(name, record), record.remedy)
        return None


def _first_cause(name: str, record: StageRecord) -> str:
    """The cause itself, not a chain of "it needs ... which needs ..."."""
    reason = record.reason or ""
    return reason if reason.startswith("it needs ") else f"it needs {name}: {reason}"


def stage_record(
    outcome: Outcome, *, stage: Stage, key: str, seconds: float = 0.0, device: str = CPU
) -> StageRecord:
    """The record of a stage that has ended just now."""
    if isinstance(outcome, Skipped):
        return skipped_record(outcome, stage=stage, key=key)
    now = datetime.now(UTC)
    if isinstance(outcome, Ok):
        return StageRecord(
            status="ok", key=key, engine=stage.engine, seconds=seconds, device=device,
            finished_at=now, value=outcome.value,
        )  # fmt: skip
    return StageRecord(
        status="failed", key=key, engine=stage.engine, seconds=seconds, device=device,
        finished_at=now, kind=outcome.kind, message=outcome.message, retryable=outcome.retryable,
    )  # fmt: skip


def skipped_record(skip: Skipped, *, stage: Stage, key: str) -> StageRecord:
    """The record of a stage that had nothing to work on."""
    return StageRecord(
        status="skipped", key=key, engine=stage.engine, reason=skip.reason, remedy=skip.remedy
    )
