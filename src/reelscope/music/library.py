"""The music library: a catalogue of tracks, and the index of their fingerprints.

In which order things are written, so that a kill at any moment loses nothing that was
reported and leaves nothing wrong:

1. numbers are reserved in the catalogue, which never gives them again;
2. a segment with the fingerprints is written and named in the index's manifest;
3. the tracks are written into the catalogue with these numbers, in one transaction;
4. they are reported.

A fingerprint whose number no track has is never looked at: that is what a kill between 2 and 3
leaves, and what `remove` and a replaced track leave. Merging drops it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from reelscope.errors import (
    LibraryDamaged,
    LibraryMismatch,
    OutputError,
    StoreError,
    UsageError,
)
from reelscope.music.adding import Added, Prepared, Preparer, prepared_ones
from reelscope.music.fetching import Fetcher
from reelscope.music.index import Index, IndexWriter, Snapshot
from reelscope.music.new_tracks import NewTrack, new_tracks
from reelscope.music.segment import Segment
from reelscope.music.wording import match_line
from reelscope.settings import MusicLibrarySettings
from reelscope.store.database import Database, is_url
from reelscope.store.tracks import EVERYTHING, Catalogue, Track, Wanted

if TYPE_CHECKING:
    from reelscope.music.identify import Found

CATALOGUE: Final = "catalogue.sqlite"
INDEX: Final = "index"
DEFAULT_FOLDER: Final = Path("data/library")
DURATION_TOLERANCE_S: Final = 0.05
"""Between catalogue and index: two frames and a rounding."""
DEFAULTS: Final = MusicLibrarySettings()


@dataclass(frozen=True, slots=True)
class Identification:
    """A track that is heard in a clip.

    Attributes:
        track: which.
        offset_s: in the track, where the match begins.
        start_s, end_s: of the match in the clip.
        tempo: how much faster time runs than in the track; 1.06 is 6 % faster.
        pitch: factor of its frequencies; equal to `tempo` where it was sped up.
        score: of the comparison; only its order means something.
        probability: that this is right, 0-1.
    """

    track: Track
    offset_s: float
    start_s: float
    end_s: float
    tempo: float
    pitch: float
    score: float
    probability: float

    @classmethod
    def of(cls, track: Track, found: Found) -> Identification:
        """What was found, with the track that has its number."""
        names = ("offset_s", "start_s", "end_s", "tempo", "pitch", "score", "probability")
        return cls(track, **{name: float(getattr(found, name)) for name in names})

    @property
    def track_end_s(self) -> float:
        """In the track, where the match ends."""
        return self.offset_s + (self.end_s - self.start_s) * self.tempo

    def line(self) -> str:
        """For people: "0:12-0:27 of the clip is 1:03.4-1:18.4 of TITLE, played 6 % faster"."""
        return match_line(
            self.track.name,
            clip=(self.start_s, self.end_s),
            track=(self.offset_s, self.track_end_s),
            tempo=self.tempo,
            pitch=self.pitch,
            probability=self.probability,
        )


@dataclass(frozen=True, slots=True)
class Verified:
    """What `verify` found.

    Attributes:
        tracks: that can be found.
        failed: in the catalogue, not in the index.
        hours: of sound in the index.
        segments, index_bytes: of the index.
        leftover: fingerprints that belong to no track any more; `compact` drops them.
        problems: sentences; empty: all is well.
    """

    tracks: int
    failed: int
    hours: float
    segments: int
    index_bytes: int
    leftover: int
    problems: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class _View:
    """What counts at one moment, for queries."""

    changes: int
    snapshot: Snapshot
    dead: frozenset[int]


class MusicLibrary:
    """Tracks that can be identified. Threads and processes may share a library.

    One process adds at a time; any number may ask meanwhile. Open it with `open`.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        index: Index,
        *,
        settings: MusicLibrarySettings = DEFAULTS,
        fetcher: Fetcher | None = None,
    ) -> None:
        self.catalogue = catalogue
        self.index = index
        self.settings = settings
        self._fetcher = fetcher
        self._lock = threading.Lock()
        self._latest: _View | None = None

    @classmethod
    def open(
        cls,
        where: str | Path = DEFAULT_FOLDER,
        *,
        folder: Path | None = None,
        create: bool = True,
        settings: MusicLibrarySettings = DEFAULTS,
        fetcher: Fetcher | None = None,
    ) -> MusicLibrary:
        """Open a library, or begin one.

        Args:
            where: a folder, with the catalogue and the index in it; or the address of the
                catalogue, postgresql://..., sqlite:///...
            folder: in which index/ is, if `where` is an address; None: data/library.
            create: begin a library where there is none.
            settings: workers, sizes, the false-positive rate.
            fetcher: fetches what is added by address; None: addresses cannot be added.

        Raises:
            UsageError: there is no library there, and none is to be begun.
            ConfigError, EngineUnavailable: as `Database.open`.
            StoreError: the catalogue does not answer or is damaged.
            OutputError: the folder cannot be made.
        """
        home = (folder or DEFAULT_FOLDER) if is_url(where) else Path(where)
        catalogue = where if is_url(where) else home / CATALOGUE
        if not create and isinstance(catalogue, Path) and not catalogue.is_file():
            raise UsageError(f"{where}: there is no music library here; `music add` begins one")
        database = Database.open(catalogue)
        return cls(Catalogue(database), Index(home / INDEX), settings=settings, fetcher=fetcher)

    def close(self) -> None:
        """Close the connections."""
        self.catalogue.database.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    # ------------------------------------------------------------------------------ reading

    def get(self, id_: str) -> Track | None:
        """The track of this id."""
        return self.catalogue.get(id_)

    def list_tracks(self, wanted: Wanted = EVERYTHING, *, limit: int | None = None) -> list[Track]:
        """The tracks that are meant, by id."""
        return self.catalogue.list_tracks(wanted, limit=limit)

    def count(self, wanted: Wanted = EVERYTHING) -> int:
        """How many tracks are meant."""
        return self.catalogue.count(wanted)

    def identify(
        self, samples: NDArray[np.float32], rate_hz: int, *, top: int | None = None
    ) -> tuple[Identification, ...]:
        """Which tracks are heard in a clip, the surest first.

        Args:
            samples: one channel, (n,), full scale -1 to 1.
            rate_hz: theirs.
            top: at most so many.

        Raises:
            StoreError: the library is damaged, or of another version.
        """
        from reelscope.music.identify import identify

        view = self._view()
        found = identify(
            samples,
            rate_hz,
            view.snapshot.segments,
            false_positive_rate=self.settings.false_positive_rate,
            without=view.dead,
        )
        tracks = self.catalogue.by_number(sorted({one.number for one in found}))
        heard = (Identification.of(tracks[f.number], f) for f in found if f.number in tracks)
        return tuple(heard)[:top]

    def segments(self) -> tuple[tuple[Segment, ...], frozenset[int]]:
        """The index as it is now, and the numbers in it that belong to no track."""
        view = self._view()
        return view.snapshot.segments, view.dead

    def _view(self) -> _View:
        changes = self.catalogue.changes()
        latest = self._latest
        snapshot = self.index.snapshot()
        if latest and (latest.changes, latest.snapshot) == (changes, snapshot):
            return latest
        with self._lock:
            # Numbers first: what is in the index by now belongs to them, or to nobody yet.
            changes, numbers = self.catalogue.changes(), self.catalogue.numbers()
            snapshot = self._own_snapshot()
            self._latest = _View(changes, snapshot, snapshot.numbers() - numbers)
            return self._latest

    def _own_snapshot(self) -> Snapshot:
        """The index, which has to be the catalogue's.

        Raises:
            LibraryDamaged: there is none though the catalogue has one.
            LibraryMismatch: it is that of another catalogue.
        """
        bound, snapshot = self.catalogue.index_id(), self.index.snapshot()
        if bound is None or bound == snapshot.index_id:
            return snapshot
        if snapshot.index_id is None:
            raise LibraryDamaged(
                f"{self.index.folder}: the fingerprint index of {self._name} is not there"
            )
        raise LibraryMismatch(
            f"{self.index.folder} is not the fingerprint index of {self._name}: it belongs to"
            " another catalogue"
        )

    @property
    def _name(self) -> str:
        return self.catalogue.database.name

    # ------------------------------------------------------------------------------ writing

    def add(
        self,
        sources: Iterable[Path | str | NewTrack],
        *,
        campaign: str | None = None,
        replaces: bool = False,
        told: Callable[[Added], None] | None = None,
    ) -> tuple[Added, ...]:
        """Add files, folders (with all below them) and addresses.

        What was reported is on the disk. What was not, because this was interrupted, may be
        there or not; adding it again is safe.

        Args:
            sources: what is to be added, one sound each, or folders of them.
            campaign: of those that have none.
            replaces: put another sound in the place of a track of the same id.
            told: hears of each as soon as it is durable.

        Returns:
            what became of each, in the order in which it was told.

        Raises:
            UsageError: several files are to have one id; nothing after them is added.
            LibraryLocked: another process is adding.
            StoreError: the library is damaged or of another version.
            OutputError: the disk is full; what was reported is there, the rest is not.
        """
        coming = new_tracks(sources, campaign=campaign)
        with self._writing() as writer:
            work = _Adding(self, writer, replaces=replaces, told=told)
            patience_s = self.settings.report_after_s / 4
            try:
                for prepared in prepared_ones(
                    coming, work.preparer, self._workers, patience_s=patience_s
                ):
                    work.take(prepared)
            except (UsageError, KeyboardInterrupt):
                work.write()
                raise
            work.write()
            writer.settle(self.settings.most_segments, without=self._dead())
        return tuple(work.done)

    @property
    def _workers(self) -> int:
        from reelscope.settings import Processing

        return self.settings.workers or Processing().workers

    def preparer(self, *, replaces: bool) -> Preparer:
        """Listens to new tracks, as this library wants it."""
        return Preparer(
            self.catalogue,
            self._own_snapshot().numbers(),
            replaces=replaces,
            fetcher=self._fetcher,
            attempts=self.settings.attempts,
            wait_s=self.settings.wait_s,
        )

    def update(self, id_: str, **values: str | None) -> Track:
        """Change title, artist, album, genre, campaign, source_url or path of a track.

        Raises:
            UsageError: there is no such track, or that cannot be changed.
        """
        changed = self.catalogue.update(id_, values)
        if changed is None:
            raise UsageError(f"there is no track {id_[:200]!r} in the library")
        return changed

    def remove(self, ids: Iterable[str]) -> list[str]:
        """Remove tracks; nobody finds them from now on. Returns those that were there."""
        return self.catalogue.remove(ids)

    def compact(self) -> int:
        """Merge the index into as few files as can be and drop what belongs to nobody.

        Returns:
            how many files it has now.

        Raises:
            LibraryLocked: another process is adding.
        """
        with self._writing() as writer:
            return writer.compact(self._dead())

    def _dead(self) -> frozenset[int]:
        numbers = self.catalogue.numbers()
        return self.index.snapshot().numbers() - numbers

    @contextmanager
    def _writing(self) -> Iterator[IndexWriter]:
        """The one who may write; index and catalogue belong together."""
        self._own_snapshot()
        with self.index.writer() as writer:
            if self.catalogue.index_id() is None and self.index.snapshot().segments:
                raise LibraryMismatch(
                    f"{self.index.folder} belongs to another catalogue than {self._name}"
                )
            self.catalogue.belong_to(writer.index_id)
            yield writer

    # -------------------------------------------------------------------------- as a whole

    def verify(self) -> Verified:
        """Read all of it and compare every byte with its checksum."""
        problems: list[str] = []
        tracks = {t.number: t for t in self.catalogue.list_tracks() if t.number is not None}
        lengths: dict[int, float] = {}
        snapshot = Snapshot(None, 0, ())
        try:
            problems += self.catalogue.database.check()
            snapshot = self._own_snapshot()
            snapshot.check()
            lengths = dict(_durations(snapshot.segments))
        except StoreError as error:
            problems.append(str(error))
        problems += _disagreements(tracks, lengths)
        return Verified(
            tracks=len(tracks),
            failed=self.count(Wanted(status="failed")),
            hours=sum(lengths.values()) / 3600,
            segments=len(snapshot.segments),
            index_bytes=snapshot.size_bytes,
            leftover=len(set(lengths) - set(tracks)),
            problems=tuple(problems),
        )

    def move(self, where: str | Path, *, folder: Path | None = None) -> MusicLibrary:
        """Move the library into another folder or database; this one is empty then.

        All of it is at the new place, and checked, before anything goes from the old one.

        Args:
            where, folder: as for `open`; there may be no library yet.

        Returns:
            the library at its new place; this one is still to be closed.

        Raises:
            UsageError: there is a library, or it is this one.
            StoreError: the library is damaged: it stays.
            OutputError: the new place cannot be written.
        """
        there = MusicLibrary.open(
            where, folder=folder, settings=self.settings, fetcher=self._fetcher
        )
        try:
            if there.index.folder.resolve() == self.index.folder.resolve():
                raise UsageError(f"{there.index.folder}: the library's index is there already")
            with self._writing() as writer, there.index.writer() as new:
                if there.count() or there.index.snapshot().segments:
                    raise UsageError(
                        f"{where}: there is a music library already, or what is left"
                        " of one; remove it, or move to another place"
                    )
                self._copy(there, new)
                self.catalogue.clear()
                writer.clear()
        except BaseException:
            there.close()
            raise
        return there

    def _copy(self, there: MusicLibrary, new: IndexWriter) -> None:
        """Make an empty library equal to this one, or leave it empty."""
        try:
            for opened in self._own_snapshot().opened:
                opened.file.check()
                new.append(opened.segment)
            there.catalogue.take_over(self.list_tracks(), new.index_id)
            if problems := there.verify().problems:
                raise LibraryDamaged(f"{problems[0]}; the library stays where it is")
        except BaseException:
            there.catalogue.clear()
            new.clear()
            raise


class _Adding:
    """New tracks on their way into the library."""

    def __init__(
        self,
        library: MusicLibrary,
        writer: IndexWriter,
        *,
        replaces: bool,
        told: Callable[[Added], None] | None,
    ) -> None:
        self._library = library
        self._catalogue = library.catalogue
        self._writer = writer
        self._replaces = replaces
        self._told = told
        self._waiting: list[Prepared] = []
        self._since = time.monotonic()
        self.preparer = library.preparer(replaces=replaces)
        self.done: list[Added] = []

    def take(self, prepared: Prepared | None) -> None:
        """Keep one that was listened to; write what is kept if it is enough or long ago."""
        if prepared is not None:
            if not self._waiting:
                self._since = time.monotonic()
            self._waiting.append(prepared)
        settings = self._library.settings
        late = time.monotonic() - self._since > settings.report_after_s
        if len(self._waiting) >= settings.tracks_per_segment or late:
            self.write()

    def write(self) -> None:
        """Make all that is kept durable, then report it."""
        waiting, self._waiting = self._waiting, []
        if not waiting:
            return
        listed = self._catalogue.several({p.track.id for p in waiting if p.track})
        there = {id_: track for id_, track in listed.items() if track.status == "ready"}
        fresh: list[Prepared] = []
        results: list[Added | Prepared] = []
        for prepared in waiting:
            answer = self._already(prepared, there)
            results.append(answer or prepared)
            if answer is None and prepared.track is not None:
                fresh.append(prepared)
                if prepared.heard is not None:
                    there[prepared.track.id] = prepared.track
        written = self._written(fresh, listed)
        now = {track.id: track for track in written.values()}
        reported = [
            _renewed(result, now) if isinstance(result, Added) else _added(result, written, listed)
            for result in results
        ]
        alike = self._catalogue.by_sha256(
            {one.track.sha256 for one in reported if one.track and one.track.sha256}
        )
        for added in reported:
            self._report(_with_same(added, alike))
        # Many at once: queries of others are not to wade through all of their segments.
        self._writer.settle(2 * self._library.settings.most_segments)

    def _already(self, prepared: Prepared, there: Mapping[str, Track]) -> Added | None:
        """What there is to say without writing: it is there, or its id is taken."""
        source, track = str(prepared.new.source), prepared.track
        if track is None:
            return Added(source, "failed", error=prepared.error)
        same = there.get(track.id)
        if prepared.error is not None:
            return Added(source, "failed", error=prepared.error) if same else None
        if prepared.heard is None:
            return Added(source, "unchanged", track)
        if same is None or self._is_lost(same):
            return None
        if same.sha256 == track.sha256:
            return Added(source, "unchanged", same)
        taken = f"the id {track.id} is that of another sound already"
        return None if self._replaces else Added(source, "failed", error=taken)

    def _is_lost(self, track: Track) -> bool:
        """Whether the index does not have it, though it should: then it is added anew."""
        indexed = self._library.index.snapshot().numbers()
        return track.number is not None and track.number not in indexed

    def _written(self, fresh: Sequence[Prepared], before: Mapping[str, Track]) -> dict[int, Track]:
        """Write segment and tracks. Returns them by the place of `Prepared` in memory."""
        heard = [p for p in fresh if p.heard is not None]
        numbers = self._catalogue.reserve(len(heard))
        items = [(n, p.heard) for n, p in zip(numbers, heard, strict=True) if p.heard is not None]
        by_place = {id(p): n for n, p in zip(numbers, heard, strict=True)}
        tracks = {id(p): replace(p.track, number=by_place.get(id(p))) for p in fresh if p.track}
        for place, track in tracks.items():
            if old := before.get(track.id):
                tracks[place] = replace(track, created_at=old.created_at)
        name = self._writer.append(Segment.build(items)) if items else None
        try:
            # The last of one id counts, as if they had come one after another.
            self._catalogue.put(list({track.id: track for track in tracks.values()}.values()))
        except (OutputError, StoreError):
            with suppress(OutputError, StoreError):
                if name and not self._catalogue.by_number(numbers):
                    self._writer.withdraw(name)
            raise
        return tracks

    def _report(self, added: Added) -> None:
        self.done.append(added)
        if self._told:
            self._told(added)


def _added(prepared: Prepared, written: Mapping[int, Track], before: Mapping[str, Track]) -> Added:
    source, track = str(prepared.new.source), written[id(prepared)]
    if prepared.error is not None:
        return Added(source, "failed", track, error=prepared.error)
    old = before.get(track.id)
    replaced = old is not None and old.status == "ready" and old.sha256 != track.sha256
    return Added(source, "replaced" if replaced else "added", track)


def _renewed(added: Added, now: Mapping[str, Track]) -> Added:
    """With the track as it was written, where it came twice at once."""
    return replace(added, track=now.get(added.track.id, added.track)) if added.track else added


def _with_same(added: Added, alike: Mapping[str, Sequence[Track]]) -> Added:
    if added.track is None or added.outcome == "failed" or added.track.sha256 is None:
        return added
    others = (track.id for track in alike.get(added.track.sha256, ()))
    return replace(added, same_as=tuple(id_ for id_ in others if id_ != added.track.id))


def _durations(segments: Iterable[Segment]) -> Iterator[tuple[int, float]]:
    from reelscope.music.fingerprint import FRAMES_PER_S

    for segment in segments:
        lengths: list[Any] = segment.lengths.tolist()
        for number, length in zip(segment.numbers.tolist(), lengths, strict=True):
            yield number, length / FRAMES_PER_S


def _disagreements(tracks: Mapping[int, Track], lengths: Mapping[int, float]) -> Iterator[str]:
    """Where catalogue and index do not say the same."""
    for number, track in sorted(tracks.items()):
        length_s = lengths.get(number)
        if length_s is None:
            yield f"track {track.id}: its fingerprint is not in the index; add its file again"
        elif track.duration_s is None or abs(track.duration_s - length_s) > DURATION_TOLERANCE_S:
            said = f"{track.duration_s} s in the catalogue, {length_s} s in the index"
            yield f"track {track.id}: {said}"
