"""Takes videos through the stages: lanes, batches, limits, resume, and a clean stop.

One thread, the caller's, decides; the lanes' worker threads only work. A stage is ready
for a video when all that it waits for has ended. At most `processing.max_in_flight`
videos are open, so memory does not grow with the list; one that waits for a server alone
is closed meanwhile and makes room for the next. A video is touched by one cpu or gpu stage
at a time (its decoded views are shared, not locked); network stages may run beside.
"""

from __future__ import annotations

import logging
import queue
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Protocol

from reelscope.engines.device import CPU, Devices
from reelscope.errors import DeviceLost, MediaError, OutputError, ReelscopeError, RunStopped
from reelscope.media.clip import Clip
from reelscope.media.fingerprint import media_id
from reelscope.pipeline.attempt import Attempts
from reelscope.pipeline.checkpoint import RecordStore
from reelscope.pipeline.graph import Graph
from reelscope.pipeline.job import Job, stage_record
from reelscope.pipeline.lanes import Crash, Task, Workers
from reelscope.pipeline.stage import Stage, at_once
from reelscope.records import (
    Failed,
    Lane,
    Ok,
    Outcome,
    StageRecord,
    VideoRecord,
    VideoSource,
)
from reelscope.settings import Processing

log = logging.getLogger(__name__)

NETWORK_WORKERS = 16
NOT_ASKED = ("breaker", DeviceLost.kind)
"""Failures of stages that are closed: they say nothing of the videos, so no run stops for them."""

FINISH_LIMIT_S = 300.0
"""Longest time for writing one video's files."""

OpenClip = Callable[[VideoRecord], Clip]
Finish = Callable[[VideoRecord], None]


class Listener(Protocol):
    """Hears what happens, on the runner's thread: progress bar, summary."""

    def stage_ended(self, source: VideoSource, name: str, record: StageRecord) -> None:
        """A stage was run on a video (not: reused)."""
        ...

    def video_ended(self, record: VideoRecord, reused: frozenset[str]) -> None:
        """Every stage of a video has ended and its files are written."""
        ...

    def trouble(self, source: VideoSource, message: str) -> None:
        """Something outside the stages went wrong for this video; the run goes on."""
        ...


class Runner:
    """Runs the selected stages of a graph on videos.

    Args:
        graph: all stages; those that are not selected only lend what an earlier run left.
        selected: names of the stages that may run.
        settings: concurrency, limits, batch size.
        devices: one worker of the gpu lane for each; it holds its device while it works.
        store: where records are read and saved.
        open_clip: makes the views of a record's media.
        finish: called on a worker thread with each video's final record.
        listeners: told of every end.
    """

    def __init__(
        self,
        graph: Graph,
        selected: frozenset[str],
        settings: Processing,
        *,
        devices: Devices,
        store: RecordStore,
        open_clip: OpenClip,
        finish: Finish,
        listeners: Sequence[Listener] = (),
    ) -> None:
        self.graph = graph
        self.selected = selected
        self.settings = settings
        self.devices = devices
        self.store = store
        self.open_clip = open_clip
        self.finish = finish
        self.listeners = listeners
        self.stopped: str | None = None
        self._done: queue.SimpleQueue[tuple[Task, Any]] = queue.SimpleQueue()
        self._at_once = {stage.name: at_once(stage) for stage in graph}
        sizes: dict[Lane, int] = {
            "cpu": settings.workers,
            "gpu": len(devices),
            "network": max(NETWORK_WORKERS, *self._at_once.values()),
        }
        self._lanes = {lane: Workers(lane, size, self._done) for lane, size in sizes.items()}
        self._max_in_flight = settings.max_in_flight or _enough(settings, devices)
        self._attempts = {
            stage.name: Attempts(stage, owns_file=stage.name == "probe" or "probe" not in selected)
            for stage in graph
            if stage.name in selected
        }
        self._guard = Guard(settings)
        self._jobs: list[Job] = []
        self._ready: dict[Job, list[Stage]] = {}
        self._admitting = self._came = 0
        self._all_came = False
        self._error: ReelscopeError | None = None

    def stop(self, reason: str) -> None:
        """Start nothing more; what is running ends and is saved. Safe in a signal handler."""
        self.stopped = self.stopped or reason

    def run(self, sources: Iterable[VideoSource | None]) -> None:
        """Take every source through the stages.

        Args:
            sources: in order; None stands for "the next one is not there yet", and is asked
                for again.

        Raises:
            RunStopped: too much failed for the same reason.
            OutputError: results cannot be written any more.
        """
        coming = iter(sources)
        try:
            while self._step(coming):
                pass
            self.store.flush()
        finally:
            self._shut()
        if self._error:
            raise self._error

    # ------------------------------------------------------------------ one step

    def _step(self, coming: Iterator[VideoSource | None]) -> bool:
        """Start what can start, then wait for one end. False when all is done."""
        if self.stopped is None:
            self._admit(coming)
            self._dispatch()
        busy = any(workers.running for workers in self._lanes.values())
        if not busy and (self._all_came or self.stopped is not None):
            return False
        try:
            task, result = self._done.get(timeout=0.2)
        except queue.Empty:
            self._give_up_overdue()
            return True
        if task.workers and task in task.workers.running:
            task.workers.running.discard(task)
            if isinstance(result, Crash):
                raise result.error
            task.then(result)
        return True

    def _admit(self, coming: Iterator[VideoSource | None]) -> None:
        """Open the next videos while there is room and a worker for them."""
        workers = self._lanes["cpu"]
        while workers.free and self._room and not self._all_came:
            try:
                source = next(coming)
            except StopIteration:
                self._all_came = True
                return
            except OutputError as error:  # what is fetched meanwhile finds no room on the disk
                self._all_came = True
                self._stop_for(error)
                return
            if source is None:
                return
            self._admitting += 1
            workers.submit(self._admission(self._came, source))
            self._came += 1

    @property
    def _room(self) -> bool:
        """Whether another video may be opened."""
        waiting = sum(job.closed for job in self._jobs)
        waiting_too = max(0, waiting - 2 * self._lanes["network"].size)
        return len(self._jobs) - waiting + waiting_too + self._admitting < self._max_in_flight

    def _admission(self, order: int, source: VideoSource) -> Task:
        def work() -> Job | ReelscopeError:
            try:
                return self._open_job(order, source)
            except OutputError as error:
                return error

        def then(result: Job | ReelscopeError) -> None:
            self._admitting -= 1
            if isinstance(result, ReelscopeError):
                self._stop_for(result)
                return
            self._jobs.append(result)
            self._jobs.sort(key=lambda job: job.order)
            self._settle(result)

        def late() -> None:
            self._admitting -= 1
            self._trouble(source, "it could not be opened in time and is left out")

        return Task(work, then, late, limit_s=self.settings.item_timeout_s)

    def _open_job(self, order: int, source: VideoSource) -> Job:
        record = self.store.load(source)
        try:
            media = media_id(Path(source.path), record.media) if source.path else None
        except MediaError as error:
            log.warning("%s", error)  # the probe will say so in the record
            media = None
        record = record.model_copy(update={"media": media})
        return Job(order, self.graph, self.selected, record, self.open_clip(record))

    def _settle(self, job: Job) -> None:
        """Find out what the video can do next; write its files if that is nothing."""
        before = set(job.standing)
        self._ready[job] = job.settle()
        job.close_while_on_network(self._ready[job])
        for name in job.standing.keys() - before - job.reused:
            self._tell(job, name)
        if job.changed:
            self._save(job)
        if job.done:
            self._jobs.remove(job)
            del self._ready[job]
            self._lanes["cpu"].submit(self._finishing(job))

    def _finishing(self, job: Job) -> Task:
        source = job.record.source

        def work() -> Exception | None:
            try:
                if not job.abandoned:
                    job.clip.close()
                self.finish(job.record)
            except Exception as error:  # noqa: BLE001  (the runner's one place)
                return error
            return None

        def then(error: Exception | None) -> None:
            if isinstance(error, OutputError):
                self._stop_for(error)
                return
            if error:
                log.error("%s: writing its files failed", source.video_id, exc_info=error)
                self._trouble(source, f"its files were not written: {error}")
            for listener in self.listeners:
                listener.video_ended(job.record, frozenset(job.reused & self.selected))

        def late() -> None:
            self._trouble(source, "its files were not written in time")

        return Task(work, then, late, limit_s=FINISH_LIMIT_S)

    # ----------------------------------------------------------------- dispatch

    def _dispatch(self) -> None:
        for lane, workers in self._lanes.items():
            while workers.free and (picked := self._pick(lane)):
                stage, jobs = picked
                for job in jobs:
                    job.running.add(stage.name)
                    self._ready[job].remove(stage)
                workers.submit(self._stage_task(stage, jobs))

    def _pick(self, lane: Lane) -> tuple[Stage, list[Job]] | None:
        """The stage with the fullest batch; the oldest video first among equals."""
        groups: dict[str, list[Job]] = {}
        running = Counter(name for job in self._jobs for name in job.running)
        for job in self._jobs:
            if lane != "network" and self._touched(job):
                continue
            for stage in self._ready[job]:
                if stage.lane == lane and not 0 < self._at_once[stage.name] <= running[stage.name]:
                    group = groups.setdefault(stage.name, [])
                    if len(group) < stage.batch_size:
                        group.append(job)
        if not groups:
            return None
        name = max(groups, key=lambda name: len(groups[name]))
        return self.graph[name], groups[name]

    def _touched(self, job: Job) -> bool:
        return any(self.graph[name].lane != "network" for name in job.running)

    def _stage_task(self, stage: Stage, jobs: list[Job]) -> Task:
        limit_s = self.settings.item_timeout_s * len(jobs)
        started = time.monotonic()

        def work() -> tuple[list[Outcome], str]:
            if stage.lane != "network":
                for job in jobs:
                    job.clip.deadline = time.monotonic() + limit_s
            if tripped := self._guard.tripped(stage):
                return [tripped] * len(jobs), CPU
            held = self.devices.hold() if stage.lane == "gpu" else nullcontext(CPU)
            with held as device:
                return self._attempts[stage.name].run([job.clip for job in jobs]), device

        def then(result: tuple[list[Outcome], str]) -> None:
            outcomes, device = result
            seconds = (time.monotonic() - started) / len(jobs)
            for job, outcome in zip(jobs, outcomes, strict=True):
                self._end(job, stage, outcome, seconds=seconds, device=device)

        def late() -> None:
            message = f"it did not end within {self.settings.item_timeout_s:g} s and was given up"
            for job in jobs:
                job.abandoned = True
                job.clip = self.open_clip(job.record)
                self._end(job, stage, Failed("timeout", message, retryable=True), seconds=limit_s)

        return Task(work, then, late, limit_s=limit_s)

    def _end(
        self, job: Job, stage: Stage, outcome: Outcome, *, seconds: float, device: str = CPU
    ) -> None:
        key = job.key(stage)
        record = stage_record(outcome, stage=stage, key=key, seconds=seconds, device=device)
        job.end(stage, record)
        self._tell(job, stage.name)
        self._settle(job)
        try:
            self._guard.note(stage, outcome)
        except RunStopped as error:
            self._stop_for(error)

    # ------------------------------------------------------------------- the rest

    def _tell(self, job: Job, name: str) -> None:
        for listener in self.listeners:
            listener.stage_ended(job.record.source, name, job.standing[name])

    def _trouble(self, source: VideoSource, message: str) -> None:
        for listener in self.listeners:
            listener.trouble(source, message)

    def _save(self, job: Job) -> None:
        try:
            self.store.save(job.record)
        except OutputError as error:
            self._stop_for(error)

    def _stop_for(self, error: ReelscopeError) -> None:
        self._error = self._error or error
        self.stop(str(error))

    def _give_up_overdue(self) -> None:
        for workers in self._lanes.values():
            for task in workers.give_up_overdue():
                task.late()

    def _shut(self) -> None:
        """Save, close what is open, and let the threads end."""
        self.store.close()
        for workers in self._lanes.values():
            workers.close()
        for job in self._jobs:
            if not job.abandoned and not job.running:
                job.clip.close()
        for attempts in self._attempts.values():
            attempts.close()


class Guard:
    """Knows when going on is no use: a dead service, or everything failing alike."""

    def __init__(self, settings: Processing) -> None:
        self.settings = settings
        self._ended: Counter[str] = Counter()
        self._failed: Counter[tuple[str, str]] = Counter()
        self._in_a_row: Counter[str] = Counter()

    def tripped(self, stage: Stage) -> Failed | None:
        """The answer for a remote service that failed too often in a row."""
        failures = self._in_a_row[stage.name]
        if stage.lane != "network" or failures < self.settings.breaker_failures:
            return None
        return Failed(
            "breaker",
            f"{stage.name} failed {failures} times in a row; not asked again in this run",
            retryable=True,
        )

    def note(self, stage: Stage, outcome: Outcome) -> None:
        """Count an end.

        Raises:
            RunStopped: more than `max_failure_share` fails for the same reason.
        """
        self._ended[stage.name] += 1
        if isinstance(outcome, Ok):
            self._in_a_row[stage.name] = 0
        if not isinstance(outcome, Failed) or outcome.kind in NOT_ASKED:
            return
        self._in_a_row[stage.name] += outcome.retryable
        if self.tripped(stage):
            return  # those that were under way; the other stages go on without the service
        self._failed[stage.name, outcome.kind] += 1
        failed = self._failed[stage.name, outcome.kind]
        share = failed / self._ended[stage.name]
        if failed >= self.settings.min_failures and share > self.settings.max_failure_share:
            raise RunStopped(
                f"{stage.name} failed on {failed} of {self._ended[stage.name]} videos for the same "
                f"reason ({outcome.kind}: {outcome.message}); the run was stopped"
            )


def _enough(settings: Processing, devices: Devices) -> int:
    """Videos open at once that keep every worker, and every GPU's batch, filled twice."""
    gpus = sum(name != CPU for name in devices.names)
    return 2 * max(settings.workers, settings.batch_size * gpus)
