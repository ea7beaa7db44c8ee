"""The main job: a list of videos, taken through the stages, left as files."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from reelscope.atomic import remove_temporaries
from reelscope.crawl.crawler import CrawlListener
from reelscope.crawl.folder import FramesNames
from reelscope.engines.device import Devices
from reelscope.errors import RunStopped
from reelscope.export.batch import export_batch
from reelscope.export.columns import columns
from reelscope.export.creator import export_creator
from reelscope.export.dictionary import render
from reelscope.export.video import export_video
from reelscope.pipeline.afterwards import creator_summary, describe_creators, hand_over
from reelscope.pipeline.arrivals import Arrivals
from reelscope.pipeline.checkpoint import RECORD_NAME, RecordStore, batch_lock, read_record
from reelscope.pipeline.crawl import CrawlPlan, Listeners
from reelscope.pipeline.plan import Batch
from reelscope.pipeline.provision import Fetching, QuietFetching, provide
from reelscope.pipeline.runner import Listener, Runner
from reelscope.pipeline.sound_groups import SoundGroups, group_sounds
from reelscope.pipeline.summary import CrawlTally, Summary, Tally
from reelscope.records import VideoRecord, VideoSource

log = logging.getLogger(__name__)


@dataclass
class BatchRun:
    """A batch on its way. `stop()` may be called from a signal handler.

    Args:
        batch: what is asked for.
        listeners: hear of every end.
        fetching: hears of weights that are fetched.
        crawl: what is still to be fetched; it comes after the videos of the batch.
        crawl_listener: hears of what is fetched.
    """

    batch: Batch
    listeners: Sequence[Listener] = ()
    fetching: Fetching = field(default_factory=QuietFetching)
    crawl: CrawlPlan | None = None
    crawl_listener: CrawlListener | None = None
    arrivals: Arrivals | None = field(init=False, default=None)
    tally: Tally = field(init=False)
    _runner: Runner = field(init=False)

    def __post_init__(self) -> None:
        batch = self.batch
        self.tally = Tally(batch.graph, batch.selected)
        for problem in batch.problems:
            self.tally.problem(problem.where, problem.message)
        if self.crawl:
            self.tally.crawl = CrawlTally(self.tally.problem)
            more = [self.crawl_listener] if self.crawl_listener else []
            self.arrivals = self.crawl.start(Listeners(self.tally.crawl, *more))
        self._store = RecordStore(batch.folders.records)
        self._runner = Runner(
            batch.graph,
            batch.selected,
            batch.settings.processing,
            devices=Devices(batch.settings.models.device),
            store=self._store,
            open_clip=batch.open_clip,
            finish=lambda record: export_video(record, self._store.folder(record.source)),
            listeners=[self.tally, *self.listeners],
        )

    def stop(self, reason: str) -> None:
        """End soon: what is running is finished and saved."""
        self._runner.stop(reason)
        if self.arrivals:
            self.arrivals.stop()

    def run(self) -> Summary:
        """Do the work and write the results; `Summary.stopped` says if it ended early.

        Raises:
            BatchLocked: another run works on this batch.
            OutputError: results cannot be written.
        """
        folder = self.batch.folder
        with batch_lock(folder):
            selected = [stage for stage in self.batch.graph if stage.name in self.batch.selected]
            provide(selected, self.batch.settings, self.fetching)
            self._clean_up_after_kills(folder)
            try:
                self._runner.run(self._coming())
            except RunStopped as stop:
                log.error("%s", stop)
            finally:
                if self.arrivals:
                    self.arrivals.close()
            if not self._runner.stopped:
                self._ask_about_all()
            summary = self._summary()
            write_results(self.batch, self._store, summary)
        return summary

    def _coming(self) -> Iterator[VideoSource | None]:
        """The videos of the batch, then those that arrive; these become part of the batch."""
        yield from self.batch.sources
        if self.arrivals is None:
            return
        names = FramesNames(self._store.root)
        sources = list(self.batch.sources)
        for source in sources:
            names.know(source)
        self.batch = replace(self.batch, sources=sources)
        for came in self.arrivals:
            if came is None:
                yield None
                continue
            source = names.named(came)
            remove_temporaries(self.batch.folders.frames / source.frames_id)
            sources.append(source)
            yield source

    def _ask_about_all(self) -> None:
        """What is asked once all videos have ended: of the batch, and of each creator."""
        stopped = lambda: self._runner.stopped is not None  # noqa: E731
        notes = [
            *hand_over(self.batch),
            *describe_creators(self.batch, self._store, stopped),
            *group_sounds(Records(self._store, self.batch.sources), self.batch.settings, stopped),
        ]
        for note in notes:
            self.tally.problem(note.where, note.message)

    def _clean_up_after_kills(self, folder: Path) -> None:
        """Remove half-written files of killed runs from every folder this run writes to."""
        remove_temporaries(folder)
        for creator in self.batch.creators:
            remove_temporaries(self._store.root / creator)
        for source in self.batch.sources:
            remove_temporaries(self.batch.folders.frames / source.frames_id)

    def _summary(self) -> Summary:
        return self.tally.summary(
            self.batch.batch_id,
            creators=len(self.batch.creators),
            videos=len(self.batch.sources),
            stopped=self._runner.stopped,
        )


def write_results(batch: Batch, store: RecordStore, summary: Summary) -> None:
    """The tables and pages of the batch and of its creators, from the records on disk.

    Raises:
        OutputError: a file cannot be written.
    """
    dimensions = batch.settings.description.dimensions
    table, groups = columns(dimensions), SoundGroups(batch.settings)
    for creator in batch.creators:
        folder = store.root / creator
        export_creator(
            groups.told(store.creator_records(creator)),
            folder,
            table=table,
            creator_summary=creator_summary(folder),
        )
    export_batch(
        groups.told(Records(store, batch.sources)),
        batch.folder,
        table=table,
        settings=batch.settings.public(),
        summary=summary.model_dump(mode="json"),
        dictionary=render(Summary, dimensions),
    )


@dataclass(frozen=True)
class Records:
    """The batch's records, read from disk each time they are gone through."""

    store: RecordStore
    sources: Sequence[VideoSource]

    def __iter__(self) -> Iterator[VideoRecord]:
        for source in sorted(self.sources, key=lambda s: (s.creator, s.video_id)):
            record = read_record(self.store.folder(source) / RECORD_NAME)
            if record is not None:
                yield record
