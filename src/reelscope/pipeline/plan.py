"""What a call asks for, checked before anything is done or written."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from reelscope.crawl.folder import with_frames_ids
from reelscope.crawl.names import safe_name
from reelscope.errors import UsageError
from reelscope.export.columns import columns
from reelscope.media.clip import Clip
from reelscope.pipeline.graph import Graph, build_graph
from reelscope.pipeline.summary import Problem
from reelscope.records import VideoRecord, VideoSource
from reelscope.settings import Paths, Settings

DESCRIBE = "describe"
"""The stage that costs money: it runs only where a setting, a flag or --only asks for it."""


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

    @property
    def folder(self) -> Path:
        """Where its tables stand."""
        return self.folders.batch(self.batch_id)

    def open_clip(self, record: VideoRecord) -> Clip:
        """The views of a video of this batch."""
        processing, media = self.settings.processing, self.settings.media
        threads = media.threads or max(1, (os.cpu_count() or 1) // processing.workers)
        return Clip(
            record.source,
            record,
            media,
            frames_root=self.folders.frames,
            records_root=self.folders.records,
            threads=threads,
        )


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
    name = batch_id or safe_name(default_id)
    graph = build_graph(settings, batch_folder=Folders(settings.paths).batch(name))
    off = () if settings.description.enabled or DESCRIBE in only else (DESCRIBE,)
    limited = _limited(sources, settings.processing.limit_per_creator)
    return Batch(
        batch_id=name,
        sources=with_frames_ids(limited, Folders(settings.paths).records),
        graph=graph,
        selected=graph.select(only=only, skip=(*skip, *off)),
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
