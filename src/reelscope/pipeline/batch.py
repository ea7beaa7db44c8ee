"""The main job: a list of videos, taken through the stages, left as files."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from reelscope.atomic import remove_temporaries
from reelscope.crawl.folder import with_frames_ids
from reelscope.crawl.names import safe_name
from reelscope.engines.device import Devices
from reelscope.errors import RunStopped, UsageError
from reelscope.export.batch import export_batch
from reelscope.export.columns import columns
from reelscope.export.creator import export_creator
from reelscope.export.dictionary import render
from reelscope.export.video import export_video
from reelscope.media.clip import Clip
from reelscope.pipeline.checkpoint import RECORD_NAME, RecordStore, batch_lock, read_record
from reelscope.pipeline.graph import Graph, build_graph
from reelscope.pipeline.provision import Fetching, QuietFetching, provide
from reelscope.pipeline.runner import Listener, Runner
from reelscope.pipeline.summary import Problem, Summary, Tally
from reelscope.records import VideoRecord, VideoSource
from reelscope.settings import Paths, Settings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Folders:
    """Where results stand, below `paths.data`."""

    paths: Paths

    @property
    def records(self) -> Path:
        """`<creator>/<video_id>/record.json` and what is derived from it."""
        return self.paths.data / "analysis_results"

    @property
    def frames(self) -> Path:
        """`<frames_id>/`: the frames that were kept."""
        return self.paths.data / "tiktok_frames"

    @property
    def videos(self) -> Path:
        """`<username>/*`: the videos of the folder source."""
        return self.paths.data / "tiktok_videos"

    def batch(self, batch_id: str) -> Path:
        """Results of one batch."""
        return self.paths.data / "results" / batch_id


@dataclass(frozen=True)
class Batch:
    """What a call asks for, checked: nothing has been done or written yet.

    Attributes:
        batch_id: name of the results folder (safe as a path part).
        sources: the videos, in order.
        selected: the stages that may run.
        problems: what was cleaned, refused or not found while planning.
    """

    batch_id: str
    sources: Sequence[VideoSource]
    graph: Graph
    selected: frozenset[str]
    settings: Settings
    problems: Sequence[Problem] = ()

    @property
    def creators(self) -> list[str]:
        """Creators that have a video in this batch, sorted."""
        return sorted({source.creator for source in self.sources})

    @property
    def folders(self) -> Folders:
        """Where its results stand."""
        return Folders(self.settings.paths)


def plan_batch(
    sources: Sequence[VideoSource],
    settings: Settings,
    *,
    batch_id: str | None,
    default_id: str,
    only: Collection[str] = (),
    skip: Collection[str] = (),
    problems: Sequence[Problem] = (),
) -> Batch:
    """Check what a call asks for; nothing is loaded or written.

    Args:
        sources: the videos found, in order; `processing.limit_per_creator` is applied here.
        settings: of the call.
        batch_id: as asked for; None takes `default_id`, made safe.
        default_id: the input's name.
        only: run these stages and what they need; empty means all.
        skip: leave these stages out.
        problems: what was cleaned, refused or not found so far.

    Raises:
        UsageError: the batch's name is not possible, or a stage is unknown.
        ConfigError: two dimensions of the description would have the same column.
    """
    if batch_id is not None and safe_name(batch_id) != batch_id:
        raise UsageError(
            f"--batch-id: a batch cannot be named {batch_id!r}; try {safe_name(batch_id)!r}"
        )
    columns(settings.description.dimensions)  # no two of a name
    graph = build_graph(settings)
    limited = _limited(sources, settings.processing.limit_per_creator)
    return Batch(
        batch_id=batch_id or safe_name(default_id),
        sources=with_frames_ids(limited, Folders(settings.paths).records),
        graph=graph,
        selected=graph.select(only=only, skip=skip),
        settings=settings,
        problems=problems,
    )


def _limited(sources: Sequence[VideoSource], limit: int | None) -> list[VideoSource]:
    seen: Counter[str] = Counter()
    kept = []
    for source in sources:
        seen[source.creator] += 1
        if limit is None or seen[source.creator] <= limit:
            kept.append(source)
    return kept


@dataclass
class BatchRun:
    """A batch on its way. `stop()` may be called from a signal handler."""

    batch: Batch
    listeners: Sequence[Listener] = ()
    fetching: Fetching = field(default_factory=QuietFetching)
    tally: Tally = field(init=False)
    _runner: Runner = field(init=False)

    def __post_init__(self) -> None:
        batch = self.batch
        self.tally = Tally(batch.graph, batch.selected)
        for problem in batch.problems:
            self.tally.problem(problem.where, problem.message)
        self._store = RecordStore(batch.folders.records)
        self._runner = Runner(
            batch.graph,
            batch.selected,
            batch.settings.processing,
            devices=Devices(batch.settings.models.device),
            store=self._store,
            open_clip=self._open_clip,
            finish=lambda record: export_video(record, self._store.folder(record.source)),
            listeners=[self.tally, *self.listeners],
        )

    def stop(self, reason: str) -> None:
        """End soon: what is running is finished and saved."""
        self._runner.stop(reason)

    def run(self) -> Summary:
        """Do the work and write the results; `Summary.stopped` says if it ended early.

        Raises:
            BatchLocked: another run works on this batch.
            OutputError: results cannot be written.
        """
        folder = self.batch.folders.batch(self.batch.batch_id)
        with batch_lock(folder):
            selected = [stage for stage in self.batch.graph if stage.name in self.batch.selected]
            provide(selected, self.batch.settings, self.fetching)
            self._clean_up_after_kills(folder)
            try:
                self._runner.run(self.batch.sources)
            except RunStopped as stop:
                log.error("%s", stop)
            summary = self._summary()
            self._export(folder, summary)
        return summary

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

    def _export(self, folder: Path, summary: Summary) -> None:
        dimensions = self.batch.settings.description.dimensions
        table = columns(dimensions)
        for creator in self.batch.creators:
            records = self._store.creator_records(creator)
            export_creator(records, self._store.root / creator, table=table)
        export_batch(
            Records(self._store, self.batch.sources),
            folder,
            table=table,
            settings=self.batch.settings.public(),
            summary=summary.model_dump(mode="json"),
            dictionary=render(Summary, dimensions),
        )

    def _open_clip(self, record: VideoRecord) -> Clip:
        processing, media = self.batch.settings.processing, self.batch.settings.media
        threads = media.threads or max(1, (os.cpu_count() or 1) // processing.workers)
        folders = self.batch.folders
        return Clip(
            record.source,
            record,
            media,
            frames_root=folders.frames,
            records_root=folders.records,
            threads=threads,
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
