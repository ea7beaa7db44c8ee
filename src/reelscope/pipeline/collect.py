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

from reelscope.description.chat import ChatAnswer
from reelscope.description.describe import DescribeStage
from reelscope.description.exchange import load_exchange
from reelscope.description.queue import Part, Waiting
from reelscope.errors import UsageError
from reelscope.media.clip import Clip
from reelscope.pipeline.attempt import Attempts
from reelscope.pipeline.batch import Records, write_results
from reelscope.pipeline.checkpoint import RECORD_NAME, RecordStore, batch_lock, read_record
from reelscope.pipeline.graph import build_graph
from reelscope.pipeline.job import stage_record
from reelscope.pipeline.plan import DESCRIBE, Batch, Folders
from reelscope.pipeline.summary import Summary, Tally
from reelscope.records import Failed, VideoRecord, VideoSource
from reelscope.settings import Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Collected:
    """What came of it.

    Attributes:
        batch: the batch of videos.
        parts: the server's batches as they stand now.
        summary: the batch in numbers, over all of its videos.
    """

    batch: Batch
    parts: tuple[Part, ...]
    summary: Summary

    @property
    def waiting(self) -> bool:
        """Whether there is something to fetch later."""
        return any(part.status in ("submitting", "waiting") for part in self.parts)


def collect(batch_id: str, settings: Settings) -> Collected:
    """Fetch what is ready and write the results of the batch anew.

    Args:
        batch_id: of the batch of videos: the name of its results folder.
        settings: those of the run, from its settings.yml, with `description.mode` batch.

    Raises:
        UsageError: there is no such batch, or nothing of it was handed over.
        BatchLocked: a run works on it.
        ServiceClosed, ServiceFailed, RequestRefused: the server does not give the answers.
        OutputError: results cannot be written.
    """
    folder = Folders(settings.paths).batch(batch_id)
    if not folder.is_dir():
        raise UsageError(f"there is no batch {batch_id!r} in {folder.parent}")
    with batch_lock(folder):
        graph = build_graph(settings, batch_folder=folder)
        stage = graph[DESCRIBE]
        if not isinstance(stage, DescribeStage) or stage.queue is None or not stage.queue.parts:
            raise UsageError(f"nothing of the batch {batch_id!r} was handed to a server's batches")
        store = RecordStore(Folders(settings.paths).records)
        stage.open()
        try:
            parts = stage.queue.collect(lambda asked, answer: _deliver(store, asked, answer))
            finisher = Finisher(stage, store, settings)
            asked = [(waiting, part) for part in parts for waiting in part.requests]
            now = {(w.creator, w.video_id) for w, part in asked if finisher.finish(w, part)}
            store.flush()
        finally:
            stage.close()
            store.close()
        batch = Batch(
            batch_id=batch_id,
            sources=_sources(folder, store, (waiting for waiting, _ in asked)),
            graph=graph,
            selected=frozenset({DESCRIBE}),
            settings=settings,
        )
        summary = _summary(batch, store, now)
        write_results(batch, store, summary)
    return Collected(batch, parts, summary)


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
        store: of the records.
        settings: of the run.
    """

    def __init__(self, stage: DescribeStage, store: RecordStore, settings: Settings) -> None:
        stage.collecting = True
        self._attempts = Attempts(stage, owns_file=False)
        self._stage = stage
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
        turn = exchange.turn(asked.key) if exchange else None
        if record is None or before is None or before.status != "skipped" or turn is None:
            return False  # it ended in another way, or another question was asked since
        if turn.answer:
            outcome = self._attempts.run([self._clip(record)])[0]
        elif part.status in ("submitting", "waiting"):
            return False
        else:
            reason = part.unanswered.get(asked.custom_id) or part.message
            outcome = Failed("batch", f"no answer came: {reason}", retryable=True)
        after = stage_record(outcome, stage=self._stage, key=before.key)
        self._store.save(record.with_stage(DESCRIBE, after))
        return True

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


def _summary(batch: Batch, store: RecordStore, now: Set[tuple[str, str]]) -> Summary:
    """The batch in numbers; what this call has ended counts as its work."""
    tally = Tally(batch.graph, batch.selected)
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
