"""The table of fingerprints, on SQLite and on PostgreSQL."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from sqlalchemy import inspect

from reelscope.store.audio_fingerprint import (
    FINGERPRINTS,
    AssetPair,
    AssetPrint,
    AudioFingerprints,
    Known,
)
from reelscope.store.database import Database

WHEN = datetime(2026, 5, 1, 10, 0, 0, 123456, tzinfo=UTC)
HOSTILE = "../../'; DROP TABLE audio_fingerprint; --\"\n\u202e<b>"
FULL = AssetPrint(
    "a", "/music/a.mp3", "completed", format="mp3", duration=180.5,
    fingerprint=np.array([0, 1, 2**32 - 1], np.uint32), file_size=2**40, modified_at=WHEN,
    engine="own", bit_rate=320_000, sample_rate=44100, channels=2, lossless=False,
    created_at=WHEN, updated_at=WHEN,
)  # fmt: skip


def test_the_columns_are_those_that_were_promised(database_where: str) -> None:
    with Database.open(database_where) as database:
        inspector = inspect(database.engine)
        names = [column["name"] for column in inspector.get_columns("audio_fingerprint")]
        key = inspector.get_pk_constraint("audio_fingerprint")["constrained_columns"]
    assert names[:10] == [
        "asset_id", "file_key", "format", "duration", "fingerprint", "file_size",
        "processing_status", "error_message", "created_at", "updated_at",
    ]  # fmt: skip
    assert key == ["asset_id", "file_key"]
    assert names == [column.name for column in FINGERPRINTS.c]


def test_a_row_comes_back_as_it_was(database_where: str) -> None:
    bare = AssetPrint(HOSTILE, HOSTILE, "failed", error_message="it's broken")
    with Database.open(database_where) as database:
        table = AudioFingerprints(database)
        table.save([FULL, bare])
        found = list(table.prints([bare.key, FULL.key, ("a", "another file")]))
    assert [one.key for one in found] == [bare.key, FULL.key]
    assert (found[0].processing_status, found[0].error_message) == ("failed", "it's broken")
    assert found[0].fingerprint is None
    assert found[1].fingerprint is not None
    assert found[1].fingerprint.tolist() == [0, 1, 2**32 - 1]
    assert found[1].fingerprint.dtype == np.uint32
    for name in (c.name for c in FINGERPRINTS.c if c.name != "fingerprint"):
        assert getattr(found[1], name) == getattr(FULL, name), name


def test_a_second_save_replaces_all_but_when_it_was_made(database_where: str) -> None:
    later = WHEN.replace(year=2027)
    with Database.open(database_where) as database:
        table = AudioFingerprints(database)
        table.save([FULL])
        again = AssetPrint("a", FULL.file_key, "failed", error_message="gone", created_at=later,
                           updated_at=later)  # fmt: skip
        table.save([again, again])
        (found,) = table.prints([FULL.key])
    assert (found.processing_status, found.error_message) == ("failed", "gone")
    assert found.fingerprint is None
    assert (found.created_at, found.updated_at) == (WHEN, later)


def test_what_is_known_of_many(database_where: str) -> None:
    rows = [replace(FULL, asset_id=str(n), file_key=f"/{n}") for n in range(1000)]
    with Database.open(database_where) as database:
        table = AudioFingerprints(database)
        table.save(rows)
        table.save([])
        known = table.known([*(row.key for row in rows[:700]), ("1", "/2")])
        prints = [one.key for one in table.prints(row.key for row in rows[::-1])]
    assert len(known) == 700
    assert known["5", "/5"] == Known("completed", 2**40, WHEN)
    assert prints == [row.key for row in rows[::-1]]


def test_pairs_are_replaced_for_the_assets_that_were_compared(database_where: str) -> None:
    a, b, c = ("a", "/a"), ("b", "/b"), ("c", "/c")
    with Database.open(database_where) as database:
        table = AudioFingerprints(database)
        old = [AssetPair(a, b, "identical", 1.0, 1.0), AssetPair(a, c, "identical", 1.0, 1.0)]
        table.replace_pairs([a, b, c], old)
        table.replace_pairs([a, b], [AssetPair(a, b, "same_content", 0.9, 1.0)])
        table.replace_pairs([a, b], [AssetPair(a, b, "same_content", 0.9, 1.0)])
        assert table.counts()[1] == {"identical": 1, "same_content": 1}
        table.replace_pairs([a, b, c], [])
        assert table.counts()[1] == {}


def test_counts_by_status(database_where: str) -> None:
    with Database.open(database_where) as database:
        table = AudioFingerprints(database)
        assert table.counts() == ({}, {})
        table.save([FULL, AssetPrint("b", "/b", "failed"), AssetPrint("c", "/c", "failed")])
        assert table.counts()[0] == {"completed": 1, "failed": 2}


def test_what_was_saved_is_there_for_the_next_process(tmp_path: Path) -> None:
    where = tmp_path / "a.sqlite"
    with Database.open(where) as database:
        AudioFingerprints(database).save([FULL])
    with Database.open(where) as database:
        assert len(list(AudioFingerprints(database).prints([FULL.key]))) == 1
