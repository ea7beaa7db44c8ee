"""Reelscope from Python: the same work as the command line, as one call.

import reelscope
for record in reelscope.analyze("holiday.mp4"):
    print(record.source.video_id, record.stages["probe"].value)
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from reelscope import settings as settings_module
from reelscope.crawl.folder import file_videos
from reelscope.media.clip import Clip
from reelscope.pipeline.batch import BatchRun
from reelscope.pipeline.checkpoint import RecordStore
from reelscope.pipeline.plan import Folders, plan_batch
from reelscope.pipeline.summary import Summary
from reelscope.records import VideoRecord, VideoSource
from reelscope.settings import Settings


@dataclass(frozen=True)
class Analysis:
    """What came of a call: one record per video, in the order of the videos.

    Records are read from disk when they are asked for, so ten thousand of them take no
    more memory than one.

    Attributes:
        summary: the run in numbers; `summary.stopped` says if it ended early.
        folder: tables of the batch: `video_features_results.csv`, `summary.json`, ...
        sources: the videos.
        store: where their records stand.
    """

    summary: Summary
    folder: Path
    sources: tuple[VideoSource, ...]
    store: RecordStore

    def __len__(self) -> int:
        return len(self.sources)

    def __getitem__(self, index: int) -> VideoRecord:
        return self.store.load(self.sources[index])

    def __iter__(self) -> Iterator[VideoRecord]:
        return map(self.store.load, self.sources)


def analyze(
    paths: str | Path | Iterable[str | Path],
    *,
    settings: Settings | None = None,
    batch_id: str | None = None,
    only: Collection[str] = (),
    skip: Collection[str] = (),
) -> Analysis:
    """Analyse videos and write the same files as `python main.py analyze`.

    What an earlier call found and still holds is not made again.

    Args:
        paths: a video, a folder of videos, or several of them. The creator of a video is
            the name of the folder that it lies in.
        settings: where results go (`paths.data`) and how it is done; None reads
            `config/config.yml`, if it is there, and the environment.
        batch_id: name of the folder for the tables; None takes the first path's name.
        only: run these stages and what they need; empty means all.
        skip: leave these stages out.

    Raises:
        UsageError: a path is not there, a stage or the batch's name is not possible, or
            another run works on this batch.
        OutputError: results cannot be written.
    """
    settings = settings or settings_module.load()
    listed = [Path(paths)] if isinstance(paths, str | Path) else [Path(path) for path in paths]
    batch = plan_batch(
        file_videos(listed),
        settings,
        batch_id=batch_id,
        default_id=listed[0].resolve().stem if listed else "",
        only=only,
        skip=skip,
    )
    return Analysis(
        summary=BatchRun(batch).run(),
        folder=batch.folders.batch(batch.batch_id),
        sources=tuple(batch.sources),
        store=RecordStore(batch.folders.records),
    )


def open_clip(record: VideoRecord, *, settings: Settings | None = None) -> Clip:
    """The sound and the pictures of an analysed video; close it, or use it in a `with`.

    Args:
        record: of the video; the file must still be where it was.
        settings: those of the analysis; None as in `analyze`.
    """
    settings = settings or settings_module.load()
    folders = Folders(settings.paths)
    return Clip(
        record.source,
        record,
        settings.media,
        frames_root=folders.frames,
        records_root=folders.records,
    )
