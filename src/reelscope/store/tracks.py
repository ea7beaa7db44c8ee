"""The catalogue of the music library: what is known of each track.

A track has an id, which people give (or which is made of the file's content), and a number,
by which the fingerprint index knows it. Numbers are never used twice, not even after a track
was removed: what the index still holds under an old number belongs to nobody.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import datetime
from pathlib import PurePath
from typing import Any, Final, Literal, TypeAlias, cast

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Float,
    Integer,
    Row,
    Table,
    Text,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.engine import Connection

from reelscope.errors import LibraryMismatch, UsageError
from reelscope.store.database import METADATA, Database, Moment, utc_now

Status: TypeAlias = Literal["ready", "failed"]
"""ready: it can be found; failed: it could not be added, `error` says why."""

LONGEST_ID: Final = 200
"""Characters of an id."""
LONGEST_TEXT: Final = 500
"""Characters of a title, a name, a campaign; what is longer is cut. An index of PostgreSQL takes
2704 bytes (its documentation, "B-Tree Indexes"): so many characters fit in any script."""
AT_ONCE: Final = 500
"""Rows asked for by id in one statement: SQLite takes 999 parameters at least."""

TRACKS = Table(
    "tracks",
    METADATA,
    Column("id", Text, primary_key=True),
    Column("number", BigInteger, unique=True),
    Column("title", Text),
    Column("artist", Text),
    Column("album", Text),
    Column("genre", Text),
    Column("campaign", Text, index=True),
    Column("source_url", Text),
    Column("path", Text),
    Column("duration_s", Float),
    Column("sha256", Text, index=True),
    Column("status", Text, nullable=False),
    Column("error", Text),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
)
_STATE = Table(
    "library_state",
    METADATA,
    Column("id", Integer, primary_key=True),
    Column("index_id", Text),
    Column("next_number", BigInteger, nullable=False),
    Column("changes", BigInteger, nullable=False),
)
_ONLY: Final = 1
"""Id of the one row of `library_state`."""

EDITABLE: Final = ("title", "artist", "album", "genre", "campaign", "source_url", "path")
"""What `update` may change."""
_EXACT: Final = ("source_url", "path")


@dataclass(frozen=True, slots=True)
class Track:
    """A track of the library. None: not known.

    Attributes:
        id: of the track.
        number: in the fingerprint index; None: it is not in there.
        title, artist, album, genre: as given, else as the file's tags say.
        campaign: that it belongs to.
        source_url: where it came from, or where it can be heard.
        path: of the file it was made from.
        duration_s: of its sound, seconds.
        sha256: of the file.
        status: ready or failed.
        error: why it failed.
        created_at, updated_at: UTC.
    """

    id: str
    number: int | None = None
    title: str | None = None
    artist: str | None = None
    album: str | None = None
    genre: str | None = None
    campaign: str | None = None
    source_url: str | None = None
    path: str | None = None
    duration_s: float | None = None
    sha256: str | None = None
    status: Status = "ready"
    error: str | None = None
    created_at: datetime = field(default_factory=utc_now)
    updated_at: datetime = field(default_factory=utc_now)

    @property
    def name(self) -> str:
        """For people: "Artist - Title", "Title", else the file's name, else the id."""
        if self.title:
            return f"{self.artist} - {self.title}" if self.artist else self.title
        return PurePath(self.path).name if self.path else self.id


_FIELDS: Final = tuple(f.name for f in fields(Track))


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which tracks are meant; None: all.

    Attributes:
        campaign, artist, genre, album: exactly this.
        status: ready or failed.
        text: in title, artist, album or id, whatever the case of its letters.
    """

    campaign: str | None = None
    artist: str | None = None
    genre: str | None = None
    album: str | None = None
    status: Status | None = None
    text: str | None = None


EVERYTHING: Final = Wanted()


def check_id(given: str) -> str:
    """An id as it is kept, in Unicode's normal form C.

    Any text of 1 to 200 characters that can be printed; blanks only within. It is never part
    of a path or of a statement, so quotes and slashes do no harm.

    Raises:
        UsageError: it is none; says why.
    """
    kept = unicodedata.normalize("NFC", given)
    shown = repr(kept[:60] + ("..." if len(kept) > 60 else ""))
    if not kept.strip():
        raise UsageError(f"the id {shown} is empty; an id has 1 to {LONGEST_ID} characters")
    if len(kept) > LONGEST_ID:
        raise UsageError(f"the id {shown} has {len(kept)} characters; an id has 1 to {LONGEST_ID}")
    if kept != kept.strip():
        raise UsageError(f"the id {shown} begins or ends with a blank")
    for character in kept:
        if not character.isprintable():
            raise UsageError(f"the id {shown} has {character!r} in it, which cannot be printed")
    return kept


def clean_text(given: str | None) -> str | None:
    """Text from outside as a database takes it: no control characters, no half pairs, not
    too long; None if nothing is left."""
    if given is None:
        return None
    kept = "".join(c if unicodedata.category(c) not in ("Cc", "Cs") else " " for c in given)
    return " ".join(kept[: 4 * LONGEST_TEXT].split())[:LONGEST_TEXT].strip() or None


def exact_text(given: str | None) -> str | None:
    """A path or an address: as it is, or None if a database cannot hold it so."""
    if given is None or "\0" in given:
        return None
    try:
        given.encode()
    except UnicodeEncodeError:
        return None
    return given or None


class Catalogue:
    """The tracks in a database. Several threads and processes may share it."""

    def __init__(self, database: Database) -> None:
        self.database = database

    # ------------------------------------------------------------------------------ reading

    def get(self, id_: str) -> Track | None:
        """The track of this id."""
        with self.database.reading() as connection:
            row = connection.execute(select(TRACKS).where(TRACKS.c.id == id_)).first()
        return _track(row) if row else None

    def several(self, ids: Iterable[str]) -> dict[str, Track]:
        """The tracks of these ids; an id that there is not is left out."""
        return {track.id: track for track in self._where("id", list(ids))}

    def by_number(self, numbers: Iterable[int]) -> dict[int, Track]:
        """The tracks of these numbers."""
        return {cast(int, t.number): t for t in self._where("number", list(numbers))}

    def by_sha256(self, digests: Iterable[str]) -> dict[str, list[Track]]:
        """The tracks with these contents, failed ones left out."""
        found: dict[str, list[Track]] = {}
        for track in self._where("sha256", list(digests)):
            if track.status == "ready":
                found.setdefault(cast(str, track.sha256), []).append(track)
        return found

    def by_url(self, url: str) -> Track | None:
        """A track that was fetched from there."""
        found = (t for t in self._where("source_url", [url]) if t.status == "ready")
        return next(found, None)

    def _where(self, column: str, values: Sequence[object]) -> Iterator[Track]:
        for first in range(0, len(values), AT_ONCE):
            some = values[first : first + AT_ONCE]
            query = select(TRACKS).where(TRACKS.c[column].in_(some)).order_by(TRACKS.c.id)
            with self.database.reading() as connection:
                rows = connection.execute(query).all()
            yield from map(_track, rows)

    def list_tracks(
        self, wanted: Wanted = EVERYTHING, *, limit: int | None = None, after: str | None = None
    ) -> list[Track]:
        """The tracks that are meant, by id.

        Args:
            wanted: which.
            limit: at most so many.
            after: only ids behind this one: to go through many in pages.
        """
        query = select(TRACKS).where(*_conditions(wanted)).order_by(TRACKS.c.id).limit(limit)
        if after is not None:
            query = query.where(TRACKS.c.id > after)
        with self.database.reading() as connection:
            return [_track(row) for row in connection.execute(query)]

    def count(self, wanted: Wanted = EVERYTHING) -> int:
        """How many tracks are meant."""
        query = select(func.count()).select_from(TRACKS).where(*_conditions(wanted))
        with self.database.reading() as connection:
            return connection.execute(query).scalar_one()

    def numbers(self) -> frozenset[int]:
        """Of all tracks that can be found."""
        query = select(TRACKS.c.number).where(TRACKS.c.number.is_not(None))
        with self.database.reading() as connection:
            return frozenset(int(number) for number in connection.execute(query).scalars())

    def changes(self) -> int:
        """One more with every change of a track."""
        with self.database.reading() as connection:
            return connection.execute(select(_STATE.c.changes)).scalar() or 0

    def index_id(self) -> str | None:
        """Of the index that belongs to this catalogue; None: none yet."""
        with self.database.reading() as connection:
            return connection.execute(select(_STATE.c.index_id)).scalar()

    # ------------------------------------------------------------------------------ writing

    def belong_to(self, index_id: str) -> None:
        """Bind the catalogue to an index, once and for all.

        Raises:
            LibraryMismatch: it is bound to another one.
        """
        if self.index_id() == index_id:
            return
        with self.database.begin() as connection:
            _change(connection)
            state = connection.execute(select(_STATE)).one()
            if state.index_id is None:
                connection.execute(update(_STATE).values(index_id=index_id))
            elif state.index_id != index_id:
                raise LibraryMismatch(
                    f"{self.database.name} belongs to the fingerprint index {state.index_id},"
                    f" this one is {index_id}"
                )

    def reserve(self, count: int) -> range:
        """So many numbers that nobody has had or will have."""
        with self.database.begin() as connection:
            _change(connection)
            first = connection.execute(select(_STATE.c.next_number)).scalar_one()
            connection.execute(update(_STATE).values(next_number=first + count))
        return range(first, first + count)

    def put(self, tracks: Sequence[Track]) -> None:
        """Write tracks, all or none; one of the same id is replaced, but for `created_at`."""
        with self.database.begin() as connection:
            _change(connection)
            for track in tracks:
                _put(connection, track)

    def update(self, id_: str, values: Mapping[str, str | None]) -> Track | None:
        """Change texts of a track; None: there is no such track.

        Args:
            id_: of the track.
            values: by the names in EDITABLE; None or empty: not known.
        """
        kept = {
            name: exact_text(value) if name in _EXACT else clean_text(value)
            for name, value in values.items()
        }
        if unknown := sorted(set(kept) - set(EDITABLE)):
            raise UsageError(f"{unknown[0]} of a track cannot be changed")
        with self.database.begin() as connection:
            _change(connection)
            row = connection.execute(select(TRACKS).where(TRACKS.c.id == id_)).first()
            if row is None:
                return None
            now: dict[str, Any] = {**kept, "updated_at": utc_now()}
            changed = replace(_track(row), **now)
            _put(connection, changed)
        return changed

    def remove(self, ids: Iterable[str]) -> list[str]:
        """Remove tracks, all at once. Returns those that were there."""
        wanted, there = list(ids), []
        with self.database.begin() as connection:
            _change(connection)
            for id_ in wanted:
                if connection.execute(delete(TRACKS).where(TRACKS.c.id == id_)).rowcount:
                    there.append(id_)
        return there

    def clear(self) -> None:
        """Remove all tracks."""
        with self.database.begin() as connection:
            _change(connection)
            connection.execute(delete(TRACKS))

    def take_over(self, tracks: Iterable[Track], index_id: str) -> None:
        """Become the catalogue of another library: all of it or nothing.

        Raises:
            UsageError: there are tracks here, or it belongs to another index.
        """
        with self.database.begin() as connection:
            _change(connection)
            state = connection.execute(select(_STATE)).one()
            bound = state.index_id not in (None, index_id)
            if bound or connection.execute(select(TRACKS.c.id)).first():
                raise UsageError(f"{self.database.name} has a library already")
            most = 0
            for track in tracks:
                connection.execute(insert(TRACKS).values(asdict(track)))
                most = max(most, track.number or 0)
            following = max(most + 1, state.next_number)
            connection.execute(update(_STATE).values(index_id=index_id, next_number=following))


def _change(connection: Connection) -> None:
    """Count a change; makes the row of the state, and locks it until the end (PostgreSQL)."""
    bumped = update(_STATE).values(changes=_STATE.c.changes + 1)
    if connection.execute(bumped).rowcount:
        return
    row = {"id": _ONLY, "index_id": None, "next_number": 1, "changes": 0}
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert as insert_here

        connection.execute(insert_here(_STATE).values(row).on_conflict_do_nothing())
    else:
        connection.execute(insert(_STATE).values(row))
    connection.execute(bumped)


def _put(connection: Connection, track: Track) -> None:
    values = asdict(track)
    changed = {name: value for name, value in values.items() if name not in ("id", "created_at")}
    if not connection.execute(
        update(TRACKS).where(TRACKS.c.id == track.id).values(changed)
    ).rowcount:
        connection.execute(insert(TRACKS).values(values))


def _conditions(wanted: Wanted) -> list[ColumnElement[bool]]:
    exact = ("campaign", "artist", "genre", "album", "status")
    conditions: list[ColumnElement[bool]] = [
        TRACKS.c[name] == getattr(wanted, name)
        for name in exact
        if getattr(wanted, name) is not None
    ]
    if wanted.text:
        columns = (TRACKS.c[name] for name in ("id", "title", "artist", "album"))
        first, *others = (column.icontains(wanted.text, autoescape=True) for column in columns)
        for other in others:
            first = first | other
        conditions.append(first)
    return conditions


def _track(row: Row[Any]) -> Track:
    return Track(**{name: getattr(row, name) for name in _FIELDS})
