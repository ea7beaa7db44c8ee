"""Which videos of all batches have the same sound: found when a batch has ended, where
`music.groups` is on.

Every video's own sound becomes a track of a library of sounds (`data/sounds`, a music library
like the user's), speech alone too. Then each that is new is asked about, after all of this batch
have been added: so it does not matter in which order they came, and of two runs at the same time
one at least sees the other's. What is found stays in that library's database; who was added or
asked in an earlier run is not listened to again.

Groups change with every video that comes, so they are no part of `record.json`: whoever writes
tables takes them from here (`SoundGroups`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from reelscope.errors import (
    EngineUnavailable,
    LibraryLocked,
    MediaError,
    OutputError,
    StoreError,
    UsageError,
)
from reelscope.pipeline.summary import Problem
from reelscope.records import Music, Probe, SoundGroup, StageRecord, VideoRecord, VideoSource
from reelscope.settings import Settings

if TYPE_CHECKING:
    from reelscope.music.library import MusicLibrary
    from reelscope.music.sound_groups import Grouped
    from reelscope.store.sound_links import SoundLink, SoundLinks

log = logging.getLogger(__name__)

ENTRY = SoundGroup.stage
PATIENCE_S, LOOK_S = 600.0, 0.5
"""So long, and so often, another run is waited for that is adding its sounds."""
AT_ONCE = 256
"""Videos that are added, and then noted, together."""


@dataclass(frozen=True, slots=True)
class _Video:
    """What is needed of a record."""

    name: str
    path: Path
    sha256: str
    posted_at: datetime | None
    tracks: tuple[SoundLink, ...]


class SoundGroups:
    """The groups as they are now, for records on their way into tables.

    Args:
        settings: `music.groups` of these.
        data: folder of all results; None: `paths.data`.
    """

    def __init__(self, settings: Settings, data: Path | None = None) -> None:
        self._chosen = settings.music.groups
        self.folder = self._chosen.folder or (data or settings.paths.data) / "sounds"
        self._groups: dict[str, Grouped] = {}
        if self._chosen.enabled:
            try:
                self._read()
            except (StoreError, OutputError, UsageError, EngineUnavailable) as error:
                log.warning("no sound groups: %s", error)

    def _read(self) -> None:
        from reelscope.music.library import CATALOGUE
        from reelscope.music.sound_groups import group
        from reelscope.store.database import Database
        from reelscope.store.sound_links import SoundLinks

        path = self.folder / CATALOGUE
        if path.is_file():
            with Database.open(path) as database:
                links = SoundLinks(database)
                self._groups = group(links.posted(), links.links(self._chosen.share))

    def told(self, records: Iterable[VideoRecord]) -> Iterator[VideoRecord]:
        """The records, each with its group."""
        return (self.tell(record) for record in records)

    def tell(self, record: VideoRecord) -> VideoRecord:
        """A record with its group; as it is, if it has none."""
        found = self._groups.get(name_of(record.source))
        if found is None:
            return record
        value = SoundGroup(
            group=found.group, videos=found.videos, offset_s=found.offset_s, tempo=found.tempo
        )
        entry = StageRecord(status="ok", key="0" * 64, engine="reelscope 1", value=value)
        return record.with_stage(ENTRY, entry)


def name_of(source: VideoSource) -> str:
    """Of a video, over all creators."""
    return f"{source.creator}/{source.video_id}"


def group_sounds(
    records: Iterable[VideoRecord],
    settings: Settings,
    stopped: Callable[[], bool] = lambda: False,
) -> list[Problem]:
    """Add the sounds of a batch to the library of sounds and look for each in the others.

    Nothing here ends a run: what does not succeed is said, and the same call tries it again.

    Args:
        records: of the batch; gone through once.
        settings: of the call. Where `music.groups` is off nothing is done.
        stopped: whether to end early.
    """
    if not settings.music.groups.enabled:
        return []
    try:
        with _Grouping(settings).opened() as grouping:
            return grouping.run([v for r in records if (v := _video(r))], stopped)
    except (StoreError, OutputError, UsageError, EngineUnavailable) as error:
        return [Problem(where=ENTRY, message=f"sounds were not grouped: {error}; run it again")]


class _Grouping:
    """A batch on its way into the library of sounds."""

    _sounds: MusicLibrary
    _links: SoundLinks

    def __init__(self, settings: Settings) -> None:
        self._chosen, self._folder = settings.music.groups, SoundGroups(settings).folder
        self._workers = settings.processing.workers

    @contextmanager
    def opened(self) -> Iterator[_Grouping]:
        """With the library open; it is begun where there is none."""
        from reelscope.music.library import MusicLibrary
        from reelscope.settings import MusicLibrarySettings
        from reelscope.store.sound_links import SoundLinks

        settings = MusicLibrarySettings(workers=self._workers)
        with MusicLibrary.open(self._folder, settings=settings) as sounds:
            self._sounds, self._links = sounds, SoundLinks(sounds.catalogue.database)
            yield self

    def run(self, videos: Sequence[_Video], stopped: Callable[[], bool]) -> list[Problem]:
        """Add all, then ask about those that are new."""
        for first in range(0, len(videos), AT_ONCE):
            if stopped():
                return []
            self._add(videos[first : first + AT_ONCE])
        known = self._sounds.catalogue.several([video.name for video in videos])
        there = [v for v in videos if v.name in known and known[v.name].status == "ready"]
        self._links.know({video.name: video.posted_at for video in there})
        self._links.keep_tracks({video.name: video.tracks for video in there})
        asked = self._links.asked([video.name for video in there])
        new = [v for v in there if asked.get(v.name) != v.sha256]
        return self._ask(new, stopped)

    def _add(self, videos: Sequence[_Video]) -> None:
        """Add those whose content is not there yet; silence is tried once."""
        from reelscope.music.new_tracks import NewTrack

        known = self._sounds.catalogue.several([video.name for video in videos])
        new = {
            v.name: NewTrack(v.path, id=v.name)
            for v in videos
            if (v.name not in known or known[v.name].sha256 != v.sha256) and v.path.is_file()
        }
        until = time.monotonic() + PATIENCE_S
        while new:
            try:
                added = self._sounds.add(list(new.values()), replaces=True)
            except LibraryLocked:
                if time.monotonic() > until:
                    raise
                time.sleep(LOOK_S)
                continue
            for one in added:
                if one.outcome == "failed":
                    log.info("no sound to be found again: %s: %s", one.source, one.error)
            return

    def _ask(self, videos: Sequence[_Video], stopped: Callable[[], bool]) -> list[Problem]:
        """Look for each in all others, several at once; what is found is kept at once."""
        from reelscope.music.sound_groups import Listener

        if not videos:
            return []
        self._sounds.index.snapshot().check()  # a byte that has changed could join strangers
        listener = Listener(
            self._sounds,
            self._links.links(self._chosen.share),
            share=self._chosen.share,
            most_s=self._chosen.longest_s,
            false_positive_rate=self._chosen.false_positive_rate,
        )

        def one(video: _Video) -> Problem | None:
            if stopped():
                return None
            try:
                self._links.keep(video.name, video.sha256, listener.links(video.name, video.path))
            except MediaError as error:
                return Problem(where=video.name, message=f"its sound was not grouped: {error}")
            return None

        with ThreadPoolExecutor(self._workers, "sounds") as pool:
            return [problem for problem in pool.map(one, videos) if problem]


def _video(record: VideoRecord) -> _Video | None:
    """None: it has no sound, or its file was not read."""
    probe = record.value(Probe)
    if record.media is None or record.source.path is None or (probe and not probe.has_audio):
        return None
    platform = record.source.platform
    return _Video(
        name_of(record.source),
        Path(record.source.path),
        record.media.sha256,
        platform.posted_at if platform else None,
        tuple(_tracks(record)),
    )


def _tracks(record: VideoRecord) -> Iterator[SoundLink]:
    """The tracks of the user's library that are heard in it."""
    from reelscope.audio.recognition import MOST_HEARD_S
    from reelscope.music.sound_groups import covered
    from reelscope.store.sound_links import SoundLink

    music, probe = record.value(Music), record.value(Probe)
    heard = [f for f in music.recognised if f.source == "library"] if music else []
    length_s = probe.duration_s if probe and probe.duration_s else MOST_HEARD_S
    for id_ in dict.fromkeys(found.library_id for found in heard):
        pieces = [found for found in heard if found.library_id == id_]
        spans = [(f.window_start_s or 0.0, f.window_end_s or 0.0) for f in pieces]
        start_s, first = spans[0][0], pieces[0]  # the one heard longest
        tempo = 1 + (first.time_skew or 0.0)
        if id_ is not None and first.track_offset_s is not None and tempo > 0:
            share = min(covered(spans) / max(min(length_s, MOST_HEARD_S), 1e-3), 1.0)
            offset_s = first.track_offset_s - start_s * tempo
            yield SoundLink(name_of(record.source), "track", id_, offset_s, tempo, share)
