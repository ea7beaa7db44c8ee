"""Sounds that were recognised earlier: one file on this machine, so that nobody is asked twice.

A sound is found again by the id that the platform gives it, or by its fingerprint
(audio/landmarks.py). That nobody knew a sound is remembered too, for a while.

The file is an SQLite database: what is written is there as a whole or not at all, also after
kill -9 (https://www.sqlite.org/atomiccommit.html), one process writes at a time and the others
wait (BEGIN IMMEDIATE). A file that is damaged, or holds fingerprints of another version, is
set aside under a name that says so, and a new one is begun.
"""

from __future__ import annotations

import fcntl
import logging
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from reelscope.audio.landmarks import FRAMES_PER_S, VERSION, Landmarks
from reelscope.errors import OutputError
from reelscope.records import MusicTrack

log = logging.getLogger(__name__)
T = TypeVar("T")

LEAST_HASHES = 60
"""At one distance in time, for a sound to be the same. A remembered window of 12 s has about
680. Measured: two minutes of each of 36 tracks against two windows of every other have 15 at
most (a piece and its remix); synthetic tracks of one tempo with the same drums, tones and some
of the same chords have up to 51. To be wrong costs more than a request: this is set above. Of
36 tracks it finds all when they were coded again (AAC, 64 kbit/s), 32 under a voice 6 dB softer
than the music, 26 under one as loud; 28 when played 0.5 % faster, none at 2 %."""
LEAST_SECONDS = 3
"""In which such hashes begin: a chord that is held, or a loop of a drum machine, does not make
two recordings one."""
LEAST_SHARE_OF_SECONDS = 1 / 3
"""... and at least this share of the seconds that the remembered window has hashes in."""
WAIT_S = 30.0
"""For another process that is writing."""
AT_ONCE = 500
"""Hashes in a query: SQLite takes 999 parameters at least."""
DAY_S = 86_400.0
DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)

_SCHEMA = (
    "CREATE TABLE sounds (id INTEGER PRIMARY KEY, track TEXT, learned_at REAL NOT NULL,"
    " track_offset_s REAL, time_skew REAL, frequency_skew REAL, seconds INTEGER NOT NULL)",
    "CREATE TABLE hashes (hash INTEGER NOT NULL, sound INTEGER NOT NULL, frame INTEGER NOT NULL,"
    " PRIMARY KEY (hash, sound, frame)) WITHOUT ROWID",
    "CREATE INDEX hashes_of ON hashes (sound)",
    "CREATE TABLE ids (platform TEXT NOT NULL, music_id TEXT NOT NULL, sound INTEGER NOT NULL,"
    " PRIMARY KEY (platform, music_id)) WITHOUT ROWID",
    f"PRAGMA user_version = {VERSION}",
)


@dataclass(frozen=True, slots=True)
class Placed:
    """A track, and where in it the remembered window stands.

    Attributes:
        track: which it is.
        track_offset_s: in the track, where the window begins; None: not told.
        time_skew, frequency_skew: how much faster and higher it is played than the track
            (0.02: 2 %); None: not told.
    """

    track: MusicTrack
    track_offset_s: float | None = None
    time_skew: float | None = None
    frequency_skew: float | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """What is remembered of a sound.

    Attributes:
        placed: the track; None: nobody knew it.
        learned_at: Unix time.
        hashes: that agree; None: found by the platform's id.
        start_s: where the remembered window begins in the sound that was asked about, may be
            before it; None: found by id.
    """

    placed: Placed | None
    learned_at: float
    hashes: int | None = None
    start_s: float | None = None


class _DamagedError(Exception):
    """What stands in the file makes no sense."""


class SoundMemory:
    """What was recognised, in a file that several processes may use.

    Args:
        path: of the file; it is made when the first sound is learned.
        no_match_days: so long is it remembered that nobody knew a sound.
        now: Unix time.
    """

    def __init__(
        self, path: Path, *, no_match_days: float, now: Callable[[], float] = time.time
    ) -> None:
        self.path = path
        self._no_match_s = no_match_days * DAY_S
        self._now = now

    # ------------------------------------------------------------------------- reading

    def by_id(self, platform: str, music_id: str) -> Known | None:
        """What is remembered of a sound of a platform.

        Raises:
            OutputError: the file cannot be read.
        """

        def read(db: sqlite3.Connection) -> Known | None:
            row = db.execute(
                "SELECT sounds.id FROM ids JOIN sounds ON sounds.id = sound"
                " WHERE platform = ? AND music_id = ?",
                (platform, music_id),
            ).fetchone()
            return self._known(db, row[0]) if row else None

        return self._reading(read)

    def by_sound(self, heard: Landmarks) -> Known | None:
        """What is remembered of this sound: a track if one matches, else that nobody knew it.

        Raises:
            OutputError: the file cannot be read.
        """

        def read(db: sqlite3.Connection) -> Known | None:
            nobody: Known | None = None
            for sound, hashes, delta in _matches(db, heard):
                known = self._known(db, sound, hashes=hashes, start_s=delta / FRAMES_PER_S)
                if known and known.placed:
                    return known
                nobody = nobody or known
            return nobody

        return self._reading(read) if len(heard) else None

    def _known(
        self,
        db: sqlite3.Connection,
        sound: int,
        *,
        hashes: int | None = None,
        start_s: float | None = None,
    ) -> Known | None:
        track, learned_at, *place = db.execute(
            "SELECT track, learned_at, track_offset_s, time_skew, frequency_skew"
            " FROM sounds WHERE id = ?",
            (sound,),
        ).fetchone()
        if track is None:
            fresh = self._now() - learned_at < self._no_match_s
            return Known(None, learned_at, hashes, start_s) if fresh else None
        try:
            placed = Placed(MusicTrack.model_validate_json(track), *place)
        except ValidationError as error:
            raise _DamagedError(f"a track makes no sense ({error.error_count()} faults)") from error
        return Known(placed, learned_at, hashes, start_s)

    # ------------------------------------------------------------------------- writing

    def learn(
        self,
        placed: Placed | None,
        heard: Landmarks,
        *,
        platform: str | None = None,
        music_id: str | None = None,
    ) -> None:
        """Remember a window of sound.

        Args:
            placed: what it is; None: nobody knows it.
            heard: its fingerprint.
            platform: where the sound has an id ...
            music_id: ... and the id.

        Raises:
            OutputError: the file cannot be written.
        """

        def write(db: sqlite3.Connection) -> None:
            self._forget(db)
            track = placed.track.model_dump_json() if placed else None
            place = (
                (placed.track_offset_s, placed.time_skew, placed.frequency_skew)
                if placed
                else (None, None, None)
            )
            sound = db.execute(
                "INSERT INTO sounds (track, learned_at, track_offset_s, time_skew,"
                " frequency_skew, seconds) VALUES (?, ?, ?, ?, ?, ?)",
                (track, self._now(), *place, len(_seconds(heard.frames.tolist()))),
            ).lastrowid
            rows = zip(heard.hashes.tolist(), heard.frames.tolist(), strict=True)
            db.executemany(
                "INSERT OR IGNORE INTO hashes (hash, sound, frame) VALUES (?, ?, ?)",
                ((hashed, sound, frame) for hashed, frame in rows),
            )
            if platform is not None and music_id is not None:
                # That nobody knew a part of it does not undo what was known.
                verb = "INSERT OR REPLACE" if placed else "INSERT OR IGNORE"
                db.execute(
                    f"{verb} INTO ids (platform, music_id, sound) VALUES (?, ?, ?)",
                    (platform, music_id, sound),
                )

        self._persist(lambda: self._transaction(write))

    def _forget(self, db: sqlite3.Connection) -> None:
        """What nobody knew, and that is long ago."""
        old = [
            row[0]
            for row in db.execute(
                "SELECT id FROM sounds WHERE track IS NULL AND learned_at < ?",
                (self._now() - self._no_match_s,),
            )
        ]
        for table, column in (("hashes", "sound"), ("ids", "sound"), ("sounds", "id")):
            db.executemany(f"DELETE FROM {table} WHERE {column} = ?", ((n,) for n in old))  # noqa: S608  (names from the line above)

    # ---------------------------------------------------------------------------- file

    def _reading(self, read: Callable[[sqlite3.Connection], T]) -> T | None:
        def once() -> T | None:
            if not self.path.exists():
                return None
            with self._open() as db:
                db.execute("BEGIN")  # one state of the file, whoever writes meanwhile
                try:
                    return read(db) if self._made(db) else None
                finally:
                    db.execute("ROLLBACK")

        return self._persist(once)

    def _transaction(self, write: Callable[[sqlite3.Connection], None]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._open() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                if not self._made(db):
                    for statement in _SCHEMA:
                        db.execute(statement)
                write(db)
                db.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    db.execute("ROLLBACK")
                raise

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.path, timeout=WAIT_S, isolation_level=None)) as db:
            yield db

    def _made(self, db: sqlite3.Connection) -> bool:
        """Whether the tables are there.

        Raises:
            _DamagedError: it is another database, or one of another version.
        """
        version = db.execute("PRAGMA user_version").fetchone()[0]
        tables = {row[0] for row in db.execute("SELECT name FROM sqlite_master")}
        if not tables and not version:
            return False
        if version != VERSION:
            raise _DamagedError(f"its fingerprints are of version {version}, not {VERSION}")
        if not tables >= {"sounds", "hashes", "ids"}:
            raise _DamagedError("its tables are not there")
        return True

    def _persist(self, work: Callable[[], T]) -> T:
        """The result of the work; done again after a damaged file was set aside.

        Raises:
            OutputError: the disk is full, there is no permission, or damage comes back.
        """
        for last in (False, True):
            marks = _marks(self.path)
            try:
                return work()
            except (sqlite3.Error, _DamagedError, OSError) as error:
                if last or not _is_damage(error):
                    message = f"{self.path} cannot be used: {error}"
                    raise OutputError(message) from error
                self._set_aside(marks, str(error))
        raise AssertionError("the second time returns or raises")

    def _set_aside(self, marks: tuple[int, int] | None, why: str) -> None:
        """Rename the file, unless another process has done so meanwhile."""
        with self.path.with_name(f"{self.path.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if marks is None or _marks(self.path) != marks:
                return
            stamp = time.strftime("%Y%m%dT%H%M%S", time.gmtime(self._now()))
            aside = self.path.with_name(f"{self.path.name}.damaged-{stamp}")
            # Its journal belongs to it and must not be played into the new file.
            journal = self.path.with_name(f"{self.path.name}-journal")
            with suppress(FileNotFoundError):
                journal.replace(aside.with_name(f"{aside.name}-journal"))
            self.path.replace(aside)
        log.warning("%s is damaged (%s); it now stands at %s", self.path, why, aside)


def _marks(path: Path) -> tuple[int, int] | None:
    """Which file it is."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _is_damage(error: Exception) -> bool:
    if isinstance(error, _DamagedError):
        return True
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in DAMAGED


# -------------------------------------------------------------------------------- matching


def _matches(db: sqlite3.Connection, heard: Landmarks) -> Iterator[tuple[int, int, int]]:
    """(sound, hashes that agree, frames from the start of `heard` to its own), best first."""
    hits = list(_hits(db, heard))
    at = Counter((sound, delta) for sound, delta, _, _ in hits)
    best: dict[int, tuple[int, int]] = {}
    for (sound, delta), count in at.items():
        both = count + at.get((sound, delta + 1), 0)  # a distance falls between two frames
        best[sound] = max(best.get(sound, (0, 0)), (both, delta))
    for sound, (count, delta) in sorted(best.items(), key=lambda item: (-item[1][0], item[0])):
        if count < LEAST_HASHES:
            return
        agree = {
            (hashed, frame)
            for other, away, hashed, frame in hits
            if other == sound and away in (delta, delta + 1)
        }
        total = db.execute("SELECT seconds FROM sounds WHERE id = ?", (sound,)).fetchone()[0]
        seconds = len(_seconds([frame for _, frame in agree]))
        enough = max(LEAST_SECONDS, total * LEAST_SHARE_OF_SECONDS)
        if len(agree) >= LEAST_HASHES and seconds >= enough:
            yield sound, len(agree), delta


def _hits(db: sqlite3.Connection, heard: Landmarks) -> Iterator[tuple[int, int, int, int]]:
    """(sound, frames between, hash, frame in the sound) of every hash that is remembered."""
    places: dict[int, list[int]] = {}
    for hashed, frame in zip(heard.hashes.tolist(), heard.frames.tolist(), strict=True):
        places.setdefault(hashed, []).append(frame)
    wanted = list(places)
    for first in range(0, len(wanted), AT_ONCE):
        some = wanted[first : first + AT_ONCE]
        for hashed, sound, frame in _rows(db, some):
            for place in places[hashed]:
                yield sound, place - frame, hashed, frame


def _rows(db: sqlite3.Connection, hashes: Sequence[int]) -> Iterator[tuple[Any, ...]]:
    marks = ",".join("?" * len(hashes))
    query = f"SELECT hash, sound, frame FROM hashes WHERE hash IN ({marks})"  # noqa: S608  (question marks)
    yield from db.execute(query, hashes)


def _seconds(frames: Sequence[int]) -> set[int]:
    return {int(frame / FRAMES_PER_S) for frame in frames}
