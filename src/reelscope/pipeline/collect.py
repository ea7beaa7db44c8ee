"""Fetching the answers of a server's batches, however many days later, into the records.

The videos need not be here any more: what was asked stands beside each record, and the
record still says that its description waits, under the key that it was asked with.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Set
from dataclasses import dataclass
from pathlib import Path

from reelscope.atomic import remove_temporaries
from reelscope.crawl.names import safe_name
from reelscope.description.chat import ChatAnswer
from reelscope.description.describe import DescribeStage
from reelscope.description.exchange import load_exchange
from reelscope.description.queue import BatchQueue, Part, Waiting
from reelscope.errors import (
    AnswerUnusable,
    EngineError,
    RequestRefused,
    ServiceFailed,
    UsageError,
)
from reelscope.media.clip import Clip
from reelscope.pipeline.afterwards import answers_wait, describe_creators
from reelscope.pipeline.attempt import Attempts
from reelscope.pipeline.batch import Records, write_results
from reelscope.pipeline.checkpoint import RECORD_NAME, RecordStore, batch_lock, read_record
from reelscope.pipeline.graph import build_graph
from reelscope.pipeline.job import stage_record
from reelscope.pipeline.plan import DESCRIBE, Batch, Folders
from reelscope.pipeline.summary import Problem, Summary, Tally
from reelscope.records import Failed, Skipped, StageRecord, VideoRecord, VideoSource
from reelscope.settings import Settings, load

log = logging.getLogger(__name__)

AFTER_THE_QUESTION = ("batch", *(e.kind for e in (ServiceFailed, RequestRefused, AnswerUnusable)))
"""Failures that come after the question was saved beside the record."""


@dataclass(frozen=True)
class Collected:
    """What came of it.

    Attributes:
        batch: the batch of videos.
        parts: the server's batches as they stand now.
        summary: the batch in numbers, over all of its videos.
        to_hand_over: whether requests wait that only the run itself hands over.
    """

    batch: Batch
    parts: tuple[Part, ...]
    summary: Summary
    to_hand_over: bool

    @property
    def waiting(self) -> bool:
        """Whether there is something to fetch later."""
        return any(part.status == "waiting" for part in self.parts)


def settings_of(batch_id: str, today: Settings) -> Settings:
    """The settings that a batch was run with; where things stand, and the key, are today's.

    Raises:
        UsageError: there is no such batch, or its run was killed before it wrote anything.
        ConfigError: its settings.yml cannot be used.
    """
    if safe_name(batch_id) != batch_id:
        raise UsageError(f"--batch-id: no batch can be named {batch_id!r}")
    saved = Folders(today.paths).batch(batch_id) / "settings.yml"
    if not saved.parent.is_dir():
        raise UsageError(f"there is no batch {batch_id!r} in {saved.parent.parent}")
    if not saved.is_file():
        raise UsageError(f"{saved} is not there; call the run itself again, it goes on")
    before = load(saved, environ={})
    return before.model_copy(update={"paths": today.paths, "openai": today.openai})


def collect(batch_id: str, settings: Settings) -> Collected:
    """Fetch what is ready and write the results of the batch anew.

    Args:
        batch_id: of the batch of videos: the name of its results folder.
        settings: those of the run, see `settings_of`.

    Raises:
        UsageError: there is no such batch, or nothing of it was handed over.
        BatchLocked: a run works on it.
        ServiceClosed, ServiceFailed, RequestRefused: the server does not give the answers, or
            not all; those that came are in the records and tables all the same.
        OutputError: results cannot be written.
    """
    folder = Folders(settings.paths).batch(batch_id)
    if not folder.is_dir():
        raise UsageError(f"there is no batch {batch_id!r} in {folder.parent}")
    with batch_lock(folder):
        graph = build_graph(_in_batch_mode(settings), batch_folder=folder)
        stage = graph[DESCRIBE]
        if not isinstance(stage, DescribeStage) or stage.queue is None or not stage.queue.parts:
            raise UsageError(f"nothing of the batch {batch_id!r} was handed to a server's batches")
        queue, store = stage.queue, RecordStore(Folders(settings.paths).records)
        _clean_up_after_kills(folder, queue, store)
        ended, notes, trouble = _fetch(stage, queue, store, settings)
        batch = Batch(
            batch_id=batch_id,
            sources=_sources(folder, store, (w for part in queue.parts for w in part.requests)),
            graph=graph,
            selected=frozenset({DESCRIBE}),
            settings=settings,
        )
        if not answers_wait(batch):
            notes += describe_creators(batch, store)
        summary = _summary(batch, store, ended, notes)
        write_results(batch, store, summary)
    if trouble:
        raise trouble
    return Collected(batch, queue.parts, summary, queue.to_hand_over)


def _clean_up_after_kills(folder: Path, queue: BatchQueue, store: RecordStore) -> None:
    """Remove half-written files from every folder that this call writes to."""
    asked = [waiting for part in queue.parts for waiting in part.requests]
    creators = {store.root / waiting.creator for waiting in asked}
    videos = {store.root / waiting.creator / waiting.video_id for waiting in asked}
    for each in (folder, *creators, *videos):
        remove_temporaries(each)


def _in_batch_mode(settings: Settings) -> Settings:
    """The same, also if the latest run of the batch was a live one."""
    description = settings.description.model_copy(update={"mode": "batch"})
    return settings.model_copy(update={"description": description})


def _fetch(
    stage: DescribeStage, queue: BatchQueue, store: RecordStore, settings: Settings
) -> tuple[set[tuple[str, str]], list[Problem], EngineError | None]:
    """Bring what is ready into the records.

    Returns:
        The videos that ended, notes on others, and why not all could be fetched.
    """
    trouble: EngineError | None = None
    stage.open()
    try:
        try:
            queue.collect(lambda asked, answer: _deliver(store, asked, answer))
        except EngineError as error:
            trouble = error
        finisher = Finisher(stage, queue, store, settings)
        latest = {waiting.custom_id: (waiting, p) for p in queue.parts for waiting in p.requests}
        ended = {(w.creator, w.video_id) for w, part in latest.values() if finisher.finish(w, part)}
        store.flush()
    finally:
        stage.close()
        store.close()
    return ended, finisher.notes, trouble


def _deliver(store: RecordStore, asked: Waiting, answer: ChatAnswer) -> None:
    """Put an answer beside the record that it belongs to."""
    folder = store.root / asked.creator / asked.video_id
    exchange = load_exchange(folder)
    if exchange is None:
        log.warning("%s: an answer came, but what was asked is gone", folder)
        return
    exchange.with_answer(asked.key, answer).save(folder)


class Finisher:
    """Makes descriptions of answers.

    Args:
        stage: the description.
        queue: where its requests wait.
        store: of the records.
        settings: of the run.

    Attributes:
        notes: what could not be brought to its end, though its answer is there.
    """

    def __init__(
        self, stage: DescribeStage, queue: BatchQueue, store: RecordStore, settings: Settings
    ) -> None:
        stage.collecting = True
        self.notes: list[Problem] = []
        self._stage = stage
        self._queue = queue
        self._store = store
        self._settings = settings

    def finish(self, asked: Waiting, part: Part) -> bool:
        """Bring one video to its end, if its answer is there or will never be.

        Returns:
            Whether it has ended now.
        """
        folder = self._store.root / asked.creator / asked.video_id
        record, exchange = read_record(folder / RECORD_NAME), load_exchange(folder)
        before = record.stages.get(DESCRIBE) if record else None
        if record is None or before is None or not self._open_to_answers(before):
            return False  # it ended in another way
        if exchange is not None and (exchange.key != asked.key or not exchange.usable):
            return False  # another question was asked since, or the answer is known to be bad
        turn = exchange.turn(asked.key) if exchange else None
        if turn and turn.answer:
            # attempts of its own: a server that is closed to one request more is no reason to
            # leave the answers that need none
            outcome = Attempts(self._stage, owns_file=False).run([self._clip(record)])[0]
            if isinstance(outcome, Skipped):
                where, message = (
                    f"{asked.creator}/{asked.video_id}",
                    f"it waits on: {outcome.reason}",
                )
                self.notes.append(Problem(where=where, message=message))
                return False
            if before.status == "skipped":
                self._stage.till.count(turn.answer.answer(), mode=turn.mode)
        elif before.status == "failed" or self._queue.where(asked.custom_id):
            return False
        else:
            reason = part.unanswered.get(asked.custom_id) or part.message
            reason = reason if exchange else "what was asked is gone"
            outcome = Failed("batch", f"no answer came: {reason}", retryable=True)
        after = stage_record(outcome, stage=self._stage, key=before.key)
        self._store.save(record.with_stage(DESCRIBE, after))
        return True

    def _open_to_answers(self, before: StageRecord) -> bool:
        """Whether the record still waits for this batch, or what followed its answer failed.

        Any other skip or failure may be of another question, under another key.
        """
        if before.status == "failed":
            return bool(before.retryable) and before.kind in AFTER_THE_QUESTION
        return before.status == "skipped" and before.remedy == self._queue.remedy

    def _clip(self, record: VideoRecord) -> Clip:
        folders = Folders(self._settings.paths)
        return Clip(
            record.source,
            record,
            self._settings.media,
            frames_root=folders.frames,
            records_root=folders.records,
        )


def _sources(folder: Path, store: RecordStore, asked: Iterable[Waiting]) -> list[VideoSource]:
    """The videos of the batch: those of its last table, and those that were asked about."""
    places = {(waiting.creator, waiting.video_id) for waiting in asked}
    try:
        rows = json.loads((folder / "video_features_results.json").read_bytes())
        places |= {(row["creator"], row["video_id"]) for row in rows}
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.info("the batch's table is not there: %s", error)  # the run was killed before it
    records = (
        read_record(store.root / creator / video / RECORD_NAME) for creator, video in sorted(places)
    )
    return [record.source for record in records if record is not None]


def _summary(
    batch: Batch, store: RecordStore, now: Set[tuple[str, str]], notes: Iterable[Problem]
) -> Summary:
    """The batch in numbers; what this call has ended counts as its work."""
    tally = Tally(batch.graph, batch.selected)
    for note in notes:
        tally.problem(note.where, note.message)
    for record in Records(store, batch.sources):
        stage, source = record.stages.get(DESCRIBE), record.source
        ended_now = (source.creator, source.video_id) in now
        if stage is not None and ended_now:
            tally.stage_ended(source, DESCRIBE, stage)
        earlier = stage is not None and stage.status == "ok" and not ended_now
        tally.video_ended(record, frozenset({DESCRIBE} if earlier else ()))
    return tally.summary(
        batch.batch_id, creators=len(batch.creators), videos=len(batch.sources), stopped=None
    )
