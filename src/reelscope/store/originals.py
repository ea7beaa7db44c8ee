"""Videos, their fingerprints, and whose sound is whose: the tables of the life cycle of sounds.

A video is `pending` until a worker claims it (`processing`), then an `original`, a `match` of
an original, `too_short` or `failed`. A claim has a lease: when its worker dies, the video goes
to the next one after the lease. Everything that a claim leads to is written in one transaction
that also checks the claim, so that of two who hold the same video one writes and nothing is
ever half there.

PostgreSQL: claims by FOR UPDATE SKIP LOCKED, rows by COPY, candidates by the function
`find_fingerprint_candidates` (the .sql file beside this one), decisions under an advisory lock.
SQLite: one writer at a time (BEGIN IMMEDIATE), and the same candidates by a query.

Indexes, chosen by EXPLAIN: the key of `fingerprint_hashes` begins with (hash, original), so
that all that a hash leads to is read from the key alone (Index Only Scan), and rows can be
taken out by it too, without a second index to keep up; claims read a partial index that holds
what is waiting, however much is done.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import files
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Row,
    Table,
    Text,
    bindparam,
    delete,
    event,
    func,
    insert,
    or_,
    select,
    text,
    update,
)
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.elements import ColumnElement

from reelscope.errors import DatabaseFailed, UsageError
from reelscope.store.database import METADATA, BigKey, Database, Moment, utc_now

Status: TypeAlias = Literal["pending", "processing", "original", "match", "too_short", "failed"]
Ints: TypeAlias = NDArray[np.int32]

STATUSES: Final = ("pending", "processing", "original", "match", "too_short", "failed")
DECIDING: Final = 0x4F726967
"""Key of the advisory lock (PostgreSQL) under which it is decided whose sound is whose: "Orig"."""
MOST_TEXT: Final = 1000
"""Characters of an error that are kept."""
AT_ONCE: Final = 500
"""Rows in one statement: SQLite takes 999 parameters at least."""

VIDEOS = Table(
    "videos",
    METADATA,
    Column("id", BigKey, primary_key=True, autoincrement=True),
    Column("video_id", Text, nullable=False, unique=True),
    Column("path", Text, nullable=False),
    Column("published_at", Moment),
    Column("status", Text, nullable=False),
    Column("flag", Text),
    Column("reason", Text),
    Column("attempts", Integer, nullable=False),
    Column("claimed_by", Text),
    Column("claimed_until", Double),
    Column("duration_s", Double),
    Column("original_id", BigInteger, ForeignKey("videos.id")),
    Column("offset_s", Double),
    Column("share", Double),
    Column("probability", Double),
    Column("tempo", Double),
    Column("added_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    CheckConstraint(f"status IN {STATUSES}", name="videos_status_known"),
    CheckConstraint(
        "(status = 'match') = (original_id IS NOT NULL)", name="videos_match_has_original"
    ),
)
Index(
    "videos_waiting",
    VIDEOS.c.attempts,
    VIDEOS.c.id,
    postgresql_where=VIDEOS.c.status == "pending",
    sqlite_where=VIDEOS.c.status == "pending",
)
Index(
    "videos_claimed",
    VIDEOS.c.claimed_until,
    postgresql_where=VIDEOS.c.status == "processing",
    sqlite_where=VIDEOS.c.status == "processing",
)
Index("videos_of_original", VIDEOS.c.original_id)

FINGERPRINTS = Table(
    "fingerprints",
    METADATA,
    Column("video", BigInteger, ForeignKey("videos.id"), primary_key=True, autoincrement=False),
    Column("version", Integer, nullable=False),
    Column("length", Integer, nullable=False),
    Column("frames", LargeBinary, nullable=False),
    Column("bins", LargeBinary, nullable=False),
    Column("hashes", Integer, nullable=False),
)

FINGERPRINT_HASHES = Table(
    "fingerprint_hashes",
    METADATA,
    Column("hash", Integer, primary_key=True, autoincrement=False),
    Column("original", Boolean, primary_key=True),
    Column("video", BigInteger, primary_key=True, autoincrement=False),
    Column("frame", Integer, primary_key=True, autoincrement=False),
    sqlite_with_rowid=False,
)

PAIRS = Table(
    "video_pairs",
    METADATA,
    Column("short", BigInteger, ForeignKey("videos.id"), primary_key=True, autoincrement=False),
    Column("long", BigInteger, ForeignKey("videos.id"), primary_key=True, autoincrement=False),
    Column("share", Double, nullable=False),
    Column("hits", Integer, nullable=False),
    Column("share_offset_s", Double),
    Column("listened", Boolean, nullable=False),
    Column("probability", Double),
    Column("offset_s", Double),
    Column("tempo", Double),
    Column("heard_s", Double),
)
Index("video_pairs_of_long", PAIRS.c.long)

FUNCTION: Final = (
    files("reelscope.store").joinpath("find_fingerprint_candidates.sql").read_text("utf-8")
)


def _make_function(_table: Table, connection: Connection, **_: object) -> None:
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(FUNCTION.replace("%", "%%"))


event.listen(FINGERPRINT_HASHES, "after_create", _make_function)

_CANDIDATES_SQLITE: Final = """
WITH query AS MATERIALIZED (
    SELECT DISTINCT json_extract(value, '$[0]') AS hash, json_extract(value, '$[1]') AS frame
    FROM json_each(:query)
),
words AS MATERIALIZED (
    SELECT w.hash FROM (SELECT DISTINCT hash FROM query) AS w
    WHERE (
        SELECT count(*) FROM (
            SELECT 1 FROM fingerprint_hashes AS f
            WHERE f.hash = w.hash AND f.original = :originals LIMIT :stop + 1
        )
    ) BETWEEN 1 AND :stop
),
buckets AS (
    SELECT f.video, f.frame - query.frame AS delta, count(*) AS hits
    FROM query
    CROSS JOIN fingerprint_hashes AS f ON f.hash = query.hash AND f.original = :originals
    WHERE query.hash IN (SELECT hash FROM words)
    GROUP BY f.video, f.frame - query.frame
),
merged AS (
    SELECT video, delta, hits AS here, sum(hits) OVER (
        PARTITION BY video ORDER BY delta RANGE BETWEEN 1 PRECEDING AND 1 FOLLOWING
    ) AS hits
    FROM buckets
),
ranked AS (
    SELECT video, delta, hits, row_number() OVER (
        PARTITION BY video ORDER BY hits DESC, here DESC, delta
    ) AS place
    FROM merged WHERE hits >= :fewest
)
SELECT video, delta, hits FROM ranked WHERE place = 1 ORDER BY hits DESC, video LIMIT :most
"""
_CANDIDATES_POSTGRES: Final = """
SELECT video, delta, hits FROM find_fingerprint_candidates(
    :hashes, :frames, :fewest, :stop, :originals, :most
)
"""
_CLAIM_POSTGRES: Final = """
WITH due AS MATERIALIZED (
    SELECT id FROM videos WHERE {due} ORDER BY {order} LIMIT 1 FOR UPDATE SKIP LOCKED
)
UPDATE videos SET status = 'processing', claimed_by = :token, attempts = attempts + 1,
    claimed_until = extract(epoch FROM clock_timestamp()) + :lease_s, updated_at = :now
FROM due WHERE videos.id = due.id
RETURNING videos.id, video_id, path, attempts
"""
_CLAIM_SQLITE: Final = """
UPDATE videos SET status = 'processing', claimed_by = :token, attempts = attempts + 1,
    claimed_until = :clock + :lease_s, updated_at = :now
WHERE id = (SELECT id FROM videos WHERE {due} ORDER BY {order} LIMIT 1)
RETURNING id, video_id, path, attempts
"""
_WAITING: Final = ("status = 'pending'", "attempts, id")
_EXPIRED: Final = ("status = 'processing' AND claimed_until < {clock}", "claimed_until")
_POSTGRES_CLOCK: Final = "extract(epoch FROM clock_timestamp())"


@dataclass(frozen=True, slots=True)
class NewVideo:
    """A video to be looked at.

    Attributes:
        video_id: names it; any text without NUL, up to the database.
        path: of its file.
        published_at: with its zone; None: not known.
    """

    video_id: str
    path: str
    published_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """A video that this worker and no other may work on until the lease ends.

    Attributes:
        id: its number in the database.
        token: of this very claim; a later one of the same worker has another.
        attempts: with this one.
    """

    id: int
    video_id: str
    path: str
    attempts: int
    token: str


@dataclass(frozen=True, slots=True)
class Video:
    """What is known of a video; see `VIDEOS`. `length` is that of its fingerprint, frames."""

    id: int
    video_id: str
    path: str
    published_at: datetime | None
    status: Status
    flag: str | None
    reason: str | None
    attempts: int
    duration_s: float | None
    original_id: int | None
    offset_s: float | None
    share: float | None
    probability: float | None
    tempo: float | None
    length: int | None


@dataclass(frozen=True, slots=True)
class Peaks:
    """A stored fingerprint: peaks at (frames, bins) of a sound of `length` frames."""

    version: int
    frames: Ints
    bins: NDArray[np.int16]
    length: int


@dataclass(frozen=True, slots=True)
class Candidate:
    """A video that shares hashes: the query begins `delta` frames into it."""

    video: int
    delta: int
    hits: int


@dataclass(frozen=True, slots=True)
class Pair:
    """What two rules say of two videos, as the place of the shorter one in the longer one.

    Attributes:
        short, long: their numbers.
        share: of the shorter one's sampled hashes that agree at one distance, 0 to 1.
        hits: so many.
        share_offset_s: that distance: the second of the longer one at which the shorter one
            begins (may be negative); None: no hash agrees.
        listened: whether the calibrated rule was asked; it needs one of the two files.
        probability: by the calibrated rule; None: that rule does not find them alike.
        offset_s: by the calibrated rule, as share_offset_s.
        tempo: seconds of the longer one that pass in a second of the shorter one.
        heard_s: seconds of the shorter one that are found in the longer one.
    """

    short: int
    long: int
    share: float
    hits: int
    share_offset_s: float | None
    listened: bool = False
    probability: float | None = None
    offset_s: float | None = None
    tempo: float | None = None
    heard_s: float | None = None


@dataclass(frozen=True, slots=True)
class Place:
    """What a video is; fields as in `VIDEOS`."""

    status: Literal["original", "match"]
    flag: str | None = None
    original_id: int | None = None
    offset_s: float | None = None
    share: float | None = None
    probability: float | None = None
    tempo: float | None = None


class ClaimLostError(DatabaseFailed):
    """The lease ended and another worker has the video, or had it and is done."""


class OriginalsStore:
    """The tables of the life cycle. What writes several of them does so under `deciding`."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._postgres = database.dialect == "postgresql"

    # ---------------------------------------------------------------------- life cycle

    def add(self, videos: Iterable[NewVideo]) -> int:
        """Make videos known; those whose id is known stay as they are. Returns how many are new.

        Raises:
            UsageError: an id or a path is empty or holds what no database takes: NUL, or
                bytes that are no UTF-8.
        """
        rows = {v.video_id: v for v in reversed(list(videos))}
        for video in rows.values():
            if unstorable := [t for t in (video.video_id, video.path) if not is_storable(t)]:
                raise UsageError(f"{unstorable[0]!r} cannot be the name or the path of a video")
        with self.database.begin() as connection:
            known = _known(connection, list(rows))
            now = utc_now()
            new = [
                {
                    "video_id": v.video_id,
                    "path": v.path,
                    "published_at": v.published_at,
                    "status": "pending",
                    "attempts": 0,
                    "added_at": now,
                    "updated_at": now,
                }
                for v in reversed(rows.values())
                if v.video_id not in known
            ]
            if new:
                connection.execute(self._insert_new(), new)
        return len(new)

    def _insert_new(self) -> Any:
        if self._postgres:  # another process may add the same ones at the same time
            from sqlalchemy.dialects.postgresql import insert as upsert

            return upsert(VIDEOS).on_conflict_do_nothing(index_elements=["video_id"])
        return insert(VIDEOS)

    def claim(self, worker: str, *, lease_s: float, most_attempts: int) -> Claim | None:
        """The next video to work on; None: nothing is waiting and no lease has ended.

        A video whose worker died `most_attempts` times is given up: it is `failed`.

        Args:
            worker: names it, for people.
            lease_s: so long it is this worker's.
            most_attempts: claims of one video in all.
        """
        token = f"{worker} {uuid.uuid4().hex}"
        with self.database.begin() as connection:
            self._give_up(connection, most_attempts)
            for due in (_WAITING, _EXPIRED):
                row = self._claimed(connection, due, token=token, lease_s=lease_s)
                if row:
                    return Claim(row.id, row.video_id, row.path, row.attempts, token)
        return None

    def _claimed(
        self, connection: Connection, due: tuple[str, str], *, token: str, lease_s: float
    ) -> Row[Any] | None:
        claim = _CLAIM_POSTGRES if self._postgres else _CLAIM_SQLITE
        clock = _POSTGRES_CLOCK if self._postgres else ":clock"
        values: dict[str, Any] = {"token": token, "lease_s": lease_s, "now": utc_now()}
        if not self._postgres:
            values["clock"] = time.time()
        statement = text(claim.format(due=due[0].format(clock=clock), order=due[1]))
        bound = statement.bindparams(bindparam("now", type_=Moment))
        return connection.execute(bound, values).first()

    def _give_up(self, connection: Connection, most_attempts: int) -> None:
        clock: ColumnElement[float] = (
            text(_POSTGRES_CLOCK) if self._postgres else text(repr(time.time()))  # type: ignore[assignment]
        )
        due = (
            select(VIDEOS.c.id)
            .where(VIDEOS.c.status == "processing", VIDEOS.c.attempts >= most_attempts)
            .where(VIDEOS.c.claimed_until < clock)
            .with_for_update(skip_locked=True)
        )
        given_up = [row.id for row in connection.execute(due)]
        if given_up:
            connection.execute(
                update(VIDEOS)
                .where(VIDEOS.c.id.in_(given_up))
                .values(
                    status="failed",
                    reason=f"its worker died or did not end in time, {most_attempts} times",
                    claimed_by=None,
                    claimed_until=None,
                    updated_at=utc_now(),
                )
            )

    def fail(self, claim: Claim, reason: str, *, again: bool) -> None:
        """It did not work: it waits for another attempt, or has failed.

        Raises:
            ClaimLostError: it is another's by now.
        """
        status = "pending" if again else "failed"
        with self.database.begin() as connection:
            self.end(connection, claim, {"status": status, "reason": _storable(reason)})

    def too_short(self, claim: Claim, reason: str, *, duration_s: float) -> None:
        """There is not enough sound in it to tell whose it is.

        Raises:
            ClaimLostError: it is another's by now.
        """
        values = {"status": "too_short", "reason": _storable(reason), "duration_s": duration_s}
        with self.database.begin() as connection:
            self.end(connection, claim, values)

    def end(self, connection: Connection, claim: Claim, values: dict[str, Any]) -> None:
        """Write these columns and give up the claim, within a transaction.

        Raises:
            ClaimLostError: it is another's by now; the transaction must be left.
        """
        ended = connection.execute(
            update(VIDEOS)
            .where(VIDEOS.c.id == claim.id, VIDEOS.c.claimed_by == claim.token)
            .values(claimed_by=None, claimed_until=None, updated_at=utc_now(), **values)
        )
        if ended.rowcount != 1:
            raise ClaimLostError(f"{claim.video_id}: the lease ended, another worker has it")

    # ------------------------------------------------------------------------- reading

    def counts(self) -> dict[str, int]:
        """Videos of each status, and those that are flagged."""
        with self.database.reading() as connection:
            rows = connection.execute(
                select(VIDEOS.c.status, func.count(), func.count(VIDEOS.c.flag)).group_by(
                    VIDEOS.c.status
                )
            ).all()
        found = dict.fromkeys(STATUSES, 0) | {row[0]: int(row[1]) for row in rows}
        return found | {"flagged": sum(int(row[2]) for row in rows)}

    def find(self, video_id: str) -> Video | None:
        """The video of this name."""
        with self.database.reading() as connection:
            return next(_videos(connection, VIDEOS.c.video_id == video_id), None)

    def numbered(self, number: int) -> Video | None:
        """The video of this number."""
        with self.database.reading() as connection:
            return next(_videos(connection, VIDEOS.c.id == number), None)

    def copies(self, original: int) -> list[Video]:
        """The matches of an original, by number."""
        with self.database.reading() as connection:
            return list(_videos(connection, VIDEOS.c.original_id == original))

    def all(self) -> Iterator[Video]:
        """Every video, by number."""
        with self.database.reading() as connection:
            yield from _videos(connection)

    def originals(self, connection: Connection) -> int:
        """How many there are."""
        count = select(func.count()).where(VIDEOS.c.status == "original")
        return int(connection.execute(count).scalar_one())

    def hash_counts(self, connection: Connection, numbers: Sequence[int]) -> dict[int, int]:
        """How many hashes each of these has; none for those without a fingerprint."""
        table = FINGERPRINTS.c
        found: dict[int, int] = {}
        for first in range(0, len(numbers), AT_ONCE):
            some = numbers[first : first + AT_ONCE]
            rows = connection.execute(
                select(table.video, table.hashes).where(table.video.in_(some))
            )
            found |= {row.video: row.hashes for row in rows}
        return found

    def original_numbers(self, connection: Connection) -> set[int]:
        """The numbers of all originals."""
        return set(connection.scalars(select(VIDEOS.c.id).where(VIDEOS.c.status == "original")))

    def versions(self) -> set[int]:
        """Of the fingerprints that are stored."""
        with self.database.reading() as connection:
            return set(connection.scalars(select(FINGERPRINTS.c.version).distinct()))

    def video(self, connection: Connection, number: int) -> Video:
        """The video of this number, which exists."""
        return next(_videos(connection, VIDEOS.c.id == number))

    def peaks(self, connection: Connection, number: int) -> Peaks:
        """Its fingerprint, which exists."""
        row = connection.execute(select(FINGERPRINTS).where(FINGERPRINTS.c.video == number)).one()
        frames = np.frombuffer(row.frames, "<i4").astype(np.int32)
        return Peaks(
            row.version, frames, np.frombuffer(row.bins, "<i2").astype(np.int16), row.length
        )

    def pairs(self, connection: Connection, number: int) -> list[Pair]:
        """All that were measured of a video and found alike, or nearly."""
        rows = connection.execute(
            select(PAIRS).where(or_(PAIRS.c.short == number, PAIRS.c.long == number))
        )
        return [Pair(*row) for row in rows]

    def candidates(
        self,
        connection: Connection,
        hashes: NDArray[np.int64],
        frames: NDArray[np.int64],
        *,
        originals: bool,
        fewest: int,
        stop_rows: int,
        most: int,
    ) -> list[Candidate]:
        """Videos that share hashes at one distance, most hits first.

        Args:
            connection: of a transaction.
            hashes, frames: of the query, (n,) each.
            originals: look among originals; else among their copies.
            fewest: hits.
            stop_rows: a hash in more rows than this is a stop-word and not looked at.
            most: videos.
        """
        values: dict[str, Any] = {
            "originals": originals, "fewest": fewest, "stop": stop_rows, "most": most,
        }  # fmt: skip
        if self._postgres:
            values |= {"hashes": hashes.tolist(), "frames": frames.tolist()}
            rows = connection.execute(text(_CANDIDATES_POSTGRES), values)
        else:
            query = json.dumps(np.stack([hashes, frames], axis=1).tolist())
            rows = connection.execute(text(_CANDIDATES_SQLITE), values | {"query": query})
        return [Candidate(int(row.video), int(row.delta), int(row.hits)) for row in rows]

    # ------------------------------------------------------------------------- writing

    @contextmanager
    def deciding(self) -> Iterator[Connection]:
        """A transaction in which nobody else decides or has fingerprints written."""
        with self.database.begin() as connection:
            if self._postgres:
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": DECIDING})
            yield connection

    def save_fingerprint(
        self, connection: Connection, number: int, peaks: Peaks, *, hashes: int
    ) -> None:
        """Keep a fingerprint; `hashes` is how many it has."""
        connection.execute(
            insert(FINGERPRINTS).values(
                video=number,
                version=peaks.version,
                length=peaks.length,
                frames=peaks.frames.astype("<i4").tobytes(),
                bins=peaks.bins.astype("<i2").tobytes(),
                hashes=hashes,
            )
        )

    def save_hashes(
        self,
        connection: Connection,
        number: int,
        hashes: NDArray[np.int64],
        frames: NDArray[np.int64],
        *,
        original: bool,
    ) -> None:
        """Make a video findable, as an original or as a copy."""
        if self._postgres:
            _copied(connection, _binary_rows(hashes, frames, number=number, original=original))
            return
        rows = sorted(zip(hashes.tolist(), frames.tolist(), strict=True))
        connection.exec_driver_sql(
            "INSERT INTO fingerprint_hashes (hash, original, video, frame) VALUES (?, ?, ?, ?)",
            [(word, original, number, frame) for word, frame in rows],
        )

    def move_hashes(
        self,
        connection: Connection,
        number: int,
        hashes: NDArray[np.int64],
        frames: NDArray[np.int64],
        *,
        original: bool,
    ) -> None:
        """An original has become a copy, or the other way round."""
        table = FINGERPRINT_HASHES.c
        words = sorted(set(hashes.tolist()))
        for first in range(0, len(words), AT_ONCE):
            connection.execute(
                delete(FINGERPRINT_HASHES).where(
                    table.hash.in_(words[first : first + AT_ONCE]),
                    table.original == (not original),
                    table.video == number,
                )
            )
        self.save_hashes(connection, number, hashes, frames, original=original)

    def save_pairs(self, connection: Connection, pairs: Sequence[Pair]) -> None:
        """Keep what was measured; both videos exist."""
        rows = [{name: getattr(pair, name) for name in Pair.__slots__} for pair in pairs]
        if rows:
            connection.execute(insert(PAIRS), rows)

    def place(self, connection: Connection, number: int, place: Place) -> None:
        """Say what a video is."""
        values = {name: getattr(place, name) for name in Place.__slots__}
        changed = update(VIDEOS).where(VIDEOS.c.id == number)
        connection.execute(changed.values(reason=None, updated_at=utc_now(), **values))


_HEADER: Final = b"PGCOPY\n\xff\r\n\x00" + bytes(8)
_ROW: Final = np.dtype([
    ("fields", ">i2"),
    ("hash_size", ">i4"), ("hash", ">i4"),
    ("original_size", ">i4"), ("original", "u1"),
    ("video_size", ">i4"), ("video", ">i8"),
    ("frame_size", ">i4"), ("frame", ">i4"),
])  # fmt: skip
"""A row of PostgreSQL's binary COPY: https://www.postgresql.org/docs/current/sql-copy.html"""


def _copied(connection: Connection, rows: bytes) -> None:
    into = "COPY fingerprint_hashes (hash, original, video, frame) FROM STDIN (FORMAT BINARY)"
    driver: Any = connection.connection.driver_connection
    try:
        with driver.cursor() as cursor, cursor.copy(into) as copy:
            copy.write(rows)
    except connection.dialect.loaded_dbapi.Error as error:
        raise DBAPIError(into, None, error) from error


def _binary_rows(
    hashes: NDArray[np.int64], frames: NDArray[np.int64], *, number: int, original: bool
) -> bytes:
    """The rows as COPY ... (FORMAT BINARY) takes them, made at once and not one by one.

    Sorted by hash: the pages of the key are then met one after another.
    """
    order = np.lexsort((frames, hashes))
    rows = np.zeros(len(hashes), _ROW)
    rows["fields"] = 4
    rows["hash_size"] = rows["frame_size"] = 4
    rows["original_size"], rows["video_size"] = 1, 8
    rows["hash"], rows["frame"] = hashes[order], frames[order]
    rows["original"], rows["video"] = original, number
    return _HEADER + rows.tobytes() + b"\xff\xff"


def _known(connection: Connection, video_ids: Sequence[str]) -> set[str]:
    known: set[str] = set()
    for first in range(0, len(video_ids), AT_ONCE):
        some = video_ids[first : first + AT_ONCE]
        known |= set(
            connection.scalars(select(VIDEOS.c.video_id).where(VIDEOS.c.video_id.in_(some)))
        )
    return known


def _videos(connection: Connection, *where: ColumnElement[bool]) -> Iterator[Video]:
    columns = [
        FINGERPRINTS.c.length if name == "length" else VIDEOS.c[name] for name in Video.__slots__
    ]
    rows = connection.execute(
        select(*columns)
        .select_from(VIDEOS.outerjoin(FINGERPRINTS, FINGERPRINTS.c.video == VIDEOS.c.id))
        .where(*where)
        .order_by(VIDEOS.c.id)
    )
    for row in rows:
        yield Video(*row)


def is_storable(given: str) -> bool:
    """Whether every database takes this text as it is, and it names something."""
    whole = given.encode("utf-8", "ignore").decode("utf-8") == given
    return bool(given) and whole and "\x00" not in given


def _storable(said: str) -> str:
    """Text that every database takes: no NUL, no halves of characters, not without end."""
    clean = said.replace("\x00", "�").encode("utf-8", "replace").decode("utf-8")
    return clean[:MOST_TEXT]
