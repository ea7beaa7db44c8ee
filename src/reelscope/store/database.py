"""One database for everything that is kept beside the records.

A path is an SQLite file, `postgresql://user:password@host/name` is PostgreSQL through psycopg 3.
Whoever keeps something declares its tables on `METADATA` in a file of its own here and calls
`create()`. Transactions are the only way in: `begin()` to write, `reading()` to see one state.

SQLite: write-ahead log, so that readers and the one writer do not wait for one another
(https://www.sqlite.org/wal.html); a transaction that writes takes the lock when it begins
(BEGIN IMMEDIATE), because one that asks for it later is refused at once where another has
written since (https://www.sqlite.org/isolation.html); `synchronous=FULL`, so that what was
committed outlives a power cut.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self, TypeAlias, cast

from sqlalchemy import (
    BigInteger,
    Column,
    DateTime,
    Dialect,
    Integer,
    MetaData,
    Table,
    Text,
    create_engine,
    event,
    insert,
    inspect,
    select,
    text,
)
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.types import TypeDecorator

from reelscope.atomic import not_written
from reelscope.errors import ConfigError, DatabaseFailed, EngineUnavailable, OutputError

DialectName: TypeAlias = Literal["sqlite", "postgresql"]

METADATA: Final = MetaData()
SCHEMA_VERSION: Final = 1
"""Of all tables together; raised when one changes in a way that older code cannot read."""
WAIT_S: Final = 30.0
"""So long a writer waits for another one (SQLite)."""
CONNECT_S: Final = 10
"""So long a PostgreSQL server may take to answer a new connection."""
CREATING: Final = 0x5265656C
"""Key of the advisory lock (PostgreSQL) under which tables are made: "Reel"."""
_SECRET_KEYS: Final = ("password", "sslpassword", "passfile", "sslkey")
_NO_SQLITE: Final = (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)
_READS: Final = "reelscope_reads"

BigKey: Final = BigInteger().with_variant(Integer(), "sqlite")
"""Type of a primary key that counts up: SQLite counts INTEGER keys only."""

_SCHEMA = Table(
    "reelscope_schema",
    METADATA,
    Column("name", Text, primary_key=True),
    Column("version", Integer, nullable=False),
)


class Moment(TypeDecorator[datetime]):
    """A point in time with its zone, always UTC when it is read; SQLite knows no zones."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """As it is stored."""
        if value is None:
            return None
        moved = value.astimezone(UTC)
        return moved.replace(tzinfo=None) if dialect.name == "sqlite" else moved

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:  # noqa: ARG002  (the base class's parameters)
        """As it is used."""
        if value is None:
            return None
        found = cast(datetime, value)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


class Database:
    """Connections to one database; several threads may share it. Open it with `open`."""

    def __init__(self, engine: Engine, name: str) -> None:
        self.engine = engine
        self.name = name
        """For people: the file, or the address without its password."""

    @classmethod
    def open(cls, where: str | Path) -> Database:
        """Connect; make the tables on `METADATA` that are not there yet.

        Args:
            where: path of an SQLite file (folders above it are made), or
                postgresql://user:password@host:port/name, with +psycopg or without.

        Raises:
            ConfigError: it is neither.
            EngineUnavailable: psycopg is not installed.
            DatabaseFailed: the server does not answer, the file is no database, or it was
                made by another version of Reelscope.
            OutputError: the file cannot be made.
        """
        url = _url(where)
        name = _name(url)
        if url.get_backend_name() == "sqlite":
            _make_folder(Path(url.database or ""))
        database = cls(_engine(url), name)
        try:
            database.create()
        except BaseException:
            database.close()
            raise
        return database

    @property
    def dialect(self) -> DialectName:
        """Whose SQL it speaks."""
        return cast(DialectName, self.engine.dialect.name)

    def create(self) -> None:
        """Make the tables on `METADATA` that are not there; several processes may do so at once.

        Raises:
            DatabaseFailed: the tables are those of another version.
            OutputError: the disk is full.
        """
        with self.reading() as connection:
            there = set(inspect(connection).get_table_names())
            if _SCHEMA.name in there:
                self._check(connection)
            if there >= set(METADATA.tables):
                return
        with self.begin() as connection:
            if self.dialect == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": CREATING})
            METADATA.create_all(connection)
            if connection.execute(select(_SCHEMA.c.version)).first() is None:
                row = {"name": "reelscope", "version": SCHEMA_VERSION}
                connection.execute(insert(_SCHEMA).values(row))
            self._check(connection)

    def _check(self, connection: Connection) -> None:
        found = connection.execute(select(_SCHEMA.c.version)).scalar()
        if found is not None and found != SCHEMA_VERSION:
            raise DatabaseFailed(
                f"{self.name}: its tables are of version {found}, this Reelscope reads version"
                f" {SCHEMA_VERSION}; use the Reelscope that made it, or another database"
            )

    @contextlib.contextmanager
    def begin(self) -> Iterator[Connection]:
        """A transaction that writes: all of it when the block ends, nothing if it raises.

        Raises:
            DatabaseFailed: the server went away, another writer holds the file for too long,
                or a row breaks a rule of its table (then `__cause__` is SQLAlchemy's error).
            OutputError: the disk is full, or there is no permission to write.
        """
        with self._said(), self.engine.begin() as connection:
            yield connection

    @contextlib.contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that only reads, and never waits for a writer.

        Raises:
            DatabaseFailed: as for `begin`.
        """
        with self._said(), self.engine.connect() as connection:
            connection.execution_options(**{_READS: True})
            with connection.begin():
                yield connection

    def check(self) -> list[str]:
        """What is wrong inside; PostgreSQL checks its pages as it reads them."""
        if self.dialect != "sqlite":
            return []
        with self.reading() as connection:
            found = connection.exec_driver_sql("PRAGMA integrity_check(10)").scalars().all()
        return [f"{self.name}: {line}" for line in found if line != "ok"]

    @contextlib.contextmanager
    def _said(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            raise self._error(error) from error

    def _error(self, error: SQLAlchemyError) -> DatabaseFailed | OutputError:
        cause = error.orig if isinstance(error, DBAPIError) else None
        said = " ".join(str(cause or error).split())
        if isinstance(cause, sqlite3.Error):
            code = (getattr(cause, "sqlite_errorcode", None) or 0) & 0xFF
            if code in _NO_SQLITE:
                return DatabaseFailed(f"{self.name} is damaged or no SQLite database: {said}")
            if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR):
                return OutputError(f"{self.name} could not be written: {said}")
        if getattr(cause, "sqlstate", None) == "53100":  # disk_full
            return OutputError(f"{self.name} could not be written: {said}")
        return DatabaseFailed(f"{self.name}: {self._masked(said)}")

    def _masked(self, said: str) -> str:
        for secret in _secrets(self.engine.url):
            said = said.replace(secret, "***")
        return said

    def close(self) -> None:
        """Close the connections; the database can still be used, which opens new ones."""
        self.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def is_url(where: str | Path) -> bool:
    """Whether this names a database by its address and not by a path."""
    return isinstance(where, str) and "://" in where


def masked(where: str | Path) -> str:
    """A path, or an address without its password: for messages."""
    return _name(_url(where)) if is_url(where) else str(where)


def _url(where: str | Path) -> URL:
    if not is_url(where):
        return URL.create("sqlite", database=str(Path(where).absolute()))
    scheme = str(where).partition("://")[0]
    try:
        url = make_url(str(where))
        if url.drivername == "sqlite" and url.database and not url.query:
            return URL.create("sqlite", database=str(Path(url.database).absolute()))
        if url.drivername in ("postgresql", "postgresql+psycopg"):
            return url.set(drivername="postgresql+psycopg")
    except (ArgumentError, ValueError):
        # What cannot be read may hold a password: it is not repeated.
        raise ConfigError(f"the database's address ({scheme}://...) cannot be read") from None
    raise ConfigError(f"a database of kind {scheme}:// is not supported: a path or postgresql://")


def _secrets(url: URL) -> list[str]:
    found = [str(url.password)] if url.password else []
    for key in _SECRET_KEYS:
        value = url.query.get(key, ())
        found += [value] if isinstance(value, str) else list(value)
    return [secret for secret in found if secret]


def _name(url: URL) -> str:
    if url.get_backend_name() == "sqlite":
        return str(url.database)
    return url.difference_update_query(_SECRET_KEYS).render_as_string(hide_password=True)


def _make_folder(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise not_written(path, error) from error


def _engine(url: URL) -> Engine:
    if url.get_backend_name() == "sqlite":
        engine = create_engine(url, hide_parameters=True, connect_args={"timeout": WAIT_S})
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    try:
        return create_engine(
            url,
            hide_parameters=True,
            pool_pre_ping=True,
            connect_args={"connect_timeout": CONNECT_S},
        )
    except ImportError as error:
        raise EngineUnavailable(
            "PostgreSQL needs the package psycopg, which is not installed",
            remedy='pip install "reelscope[postgres]"',
        ) from error


def _prepare_sqlite(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # transactions begin when SQLAlchemy says so
    for pragma in ("foreign_keys=ON", "synchronous=FULL"):
        connection.execute(f"PRAGMA {pragma}").close()
    # The change to the log asks for the whole file and does not wait for it by itself.
    given_up = time.monotonic() + WAIT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL").close()
            return
        except sqlite3.OperationalError as error:
            busy = (error.sqlite_errorcode or 0) & 0xFF == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() > given_up:
                raise
            time.sleep(0.01)


def _begin_sqlite(connection: Connection) -> None:
    reads = connection.get_execution_options().get(_READS, False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def utc_now() -> datetime:
    """This moment."""
    return datetime.now(UTC)
