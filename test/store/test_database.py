"""The database: the same promises on SQLite and on PostgreSQL."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from sqlalchemy import Column, ForeignKey, MetaData, Table, Text, insert, inspect, select, update

from reelscope.errors import ConfigError, DatabaseFailed, OutputError
from reelscope.store import database as module
from reelscope.store.database import METADATA, BigKey, Database, Moment, masked

OWN = MetaData()
THINGS = Table(
    "things",
    OWN,
    Column("id", BigKey, primary_key=True, autoincrement=True),
    Column("name", Text, nullable=False, unique=True),
    Column("at", Moment),
)
PARTS = Table("parts", OWN, Column("thing", BigKey, ForeignKey("things.id"), nullable=False))


def opened(where: str) -> Database:
    database = Database.open(where)
    with database.begin() as connection:
        OWN.create_all(connection)
    return database


def test_tables_are_made_once_and_by_several_at_once(database_where: str) -> None:
    failures: list[BaseException] = []

    def make() -> None:
        try:
            Database.open(database_where).close()
        except BaseException as error:  # noqa: BLE001  (shown below)
            failures.append(error)

    threads = [threading.Thread(target=make) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    with Database.open(database_where) as database, database.reading() as connection:
        assert set(inspect(connection).get_table_names()) == set(METADATA.tables)
        rows = connection.execute(select(METADATA.tables["reelscope_schema"])).all()
    assert [tuple(row) for row in rows] == [("reelscope", module.SCHEMA_VERSION)]


def test_a_block_that_raises_leaves_nothing(database_where: str) -> None:
    with opened(database_where) as database:
        with pytest.raises(RuntimeError), database.begin() as connection:
            connection.execute(insert(THINGS).values(name="a"))
            raise RuntimeError
        with database.begin() as connection:
            connection.execute(insert(THINGS).values(name="b"))
        with database.reading() as connection:
            assert connection.execute(select(THINGS.c.name)).scalars().all() == ["b"]


def test_rules_of_tables_hold_and_are_said_without_the_row(database_where: str) -> None:
    with opened(database_where) as database:
        with database.begin() as connection:
            connection.execute(insert(THINGS).values(name="a"))
        with (
            pytest.raises(DatabaseFailed, match=r"(?i)unique") as found,
            database.begin() as connection,
        ):
            connection.execute(insert(THINGS).values(name="a"))
        assert "INSERT" not in str(found.value)
        with pytest.raises(DatabaseFailed, match=r"(?i)foreign"), database.begin() as connection:
            connection.execute(insert(PARTS).values(thing=99))


def test_a_reader_sees_one_state_while_others_write(database_where: str) -> None:
    with opened(database_where) as database:
        with database.reading() as connection:
            if database.dialect == "postgresql":
                connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            assert connection.execute(select(THINGS)).all() == []
            with database.begin() as writer:
                writer.execute(insert(THINGS).values(name="a"))
            assert connection.execute(select(THINGS)).all() == []
        with database.reading() as connection:
            assert len(connection.execute(select(THINGS)).all()) == 1


def test_moments_come_back_in_utc(database_where: str) -> None:
    at = datetime(2026, 7, 1, 12, 0, 0, 123456, tzinfo=timezone(timedelta(hours=5)))
    with opened(database_where) as database:
        with database.begin() as connection:
            connection.execute(insert(THINGS).values(name="a", at=at))
            connection.execute(insert(THINGS).values(name="b", at=None))
        with database.reading() as connection:
            found = connection.execute(select(THINGS.c.at).order_by(THINGS.c.name)).scalars().all()
    assert found == [at, None]
    assert found[0] is not None
    assert found[0].tzinfo is UTC


def test_another_version_is_named(database_where: str) -> None:
    schema = METADATA.tables["reelscope_schema"]
    with Database.open(database_where) as database, database.begin() as connection:
        connection.execute(update(schema).values(version=999))
    with pytest.raises(DatabaseFailed, match="version 999"):
        Database.open(database_where)


def test_sqlite_is_set_up_for_many_processes(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "x y?#%41.sqlite"
    with Database.open(path) as database, database.reading() as connection:
        values = [
            connection.exec_driver_sql(f"PRAGMA {name}").scalar()
            for name in ("journal_mode", "foreign_keys", "busy_timeout", "synchronous")
        ]
    assert values == ["wal", 1, 30_000, 2]
    assert path.is_file()


def test_what_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_bytes(b"no database at all, " * 100)
    with pytest.raises(DatabaseFailed, match=r"notes\.txt is damaged or no SQLite database"):
        Database.open(path)
    assert path.read_bytes() == b"no database at all, " * 100
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="a file is where a folder should be"):
        Database.open(tmp_path / "file" / "x.sqlite")


@pytest.mark.parametrize(
    "where",
    ["mysql://u:geheim@host/x", "postgresql://u:geheim@host:notaport/x", "sqlite://", "://geheim"],
)
def test_other_addresses_are_refused_without_their_password(where: str) -> None:
    with pytest.raises(ConfigError) as found:
        Database.open(where)
    assert "geheim" not in str(found.value)
    assert found.value.__cause__ is None


def test_a_server_that_is_away_is_said_without_its_password() -> None:
    pytest.importorskip("psycopg", reason="psycopg is not installed")
    where = "postgresql://u:geheim@127.0.0.1:1/x?sslpassword=heimlich"
    with pytest.raises(DatabaseFailed) as found:
        Database.open(where)
    text = f"{found.value} {masked(where)}"
    assert "geheim" not in text
    assert "heimlich" not in text
    assert "127.0.0.1" in text
