"""Table `audio_fingerprint`: the Chromaprint of every asset, and what became of it.

Table `audio_fingerprint_pair` holds which assets the last comparison found alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Double,
    Integer,
    LargeBinary,
    Row,
    Select,
    Table,
    Text,
    delete,
    func,
    insert,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection

from reelscope.store.database import METADATA, Database, Moment, utc_now

ProcessingStatus: TypeAlias = Literal["completed", "too_short", "featureless", "failed"]
"""completed: it is compared; too_short: under 2.7 s, no fingerprint; featureless: silence or one
tone throughout, like any other of its kind; failed: `error_message` says why."""

AT_ONCE: Final = 300
"""Assets in one statement: SQLite takes 999 parameters at least."""

FINGERPRINTS = Table(
    "audio_fingerprint",
    METADATA,
    Column("asset_id", Text, primary_key=True),
    Column("file_key", Text, primary_key=True),
    Column("format", Text),
    Column("duration", Double),
    Column("fingerprint", LargeBinary),
    Column("file_size", BigInteger),
    Column("processing_status", Text, nullable=False, index=True),
    Column("error_message", Text),
    Column("created_at", Moment, nullable=False),
    Column("updated_at", Moment, nullable=False),
    Column("modified_at", Moment),
    Column("engine", Text),
    Column("bit_rate", BigInteger),
    Column("sample_rate", Integer),
    Column("channels", Integer),
    Column("lossless", Boolean),
)
PAIRS = Table(
    "audio_fingerprint_pair",
    METADATA,
    Column("asset_id", Text, primary_key=True),
    Column("file_key", Text, primary_key=True),
    Column("other_asset_id", Text, primary_key=True),
    Column("other_file_key", Text, primary_key=True),
    Column("likeness", Text, nullable=False, index=True),
    Column("similarity", Double, nullable=False),
    Column("confidence", Double, nullable=False),
    Column("created_at", Moment, nullable=False),
)

Key: TypeAlias = tuple[str, str]
"""Of an asset: its id and its file key."""


@dataclass(frozen=True, eq=False)
class AssetPrint:
    """A row. None: not known.

    Attributes:
        asset_id: as the assets' owner calls it.
        file_key: path or address of its file.
        processing_status: what became of it.
        format: the codec, FFmpeg's name.
        duration: of the sound, seconds.
        fingerprint: raw Chromaprint, uint32; stored as little-endian bytes.
        file_size: bytes.
        error_message: why it failed.
        modified_at: of the file, UTC; None: it was fetched from an address.
        engine: who computed the fingerprint.
        bit_rate: bits a second.
        sample_rate: Hz.
        channels: number of them.
        lossless: nothing was left out when it was coded.
        created_at, updated_at: of the row, UTC.
    """

    asset_id: str
    file_key: str
    processing_status: ProcessingStatus
    format: str | None = None
    duration: float | None = None
    fingerprint: NDArray[np.uint32] | None = None
    file_size: int | None = None
    error_message: str | None = None
    modified_at: datetime | None = None
    engine: str | None = None
    bit_rate: int | None = None
    sample_rate: int | None = None
    channels: int | None = None
    lossless: bool | None = None
    created_at: datetime = field(default_factory=utc_now)
    updated_at: datetime = field(default_factory=utc_now)

    @property
    def key(self) -> Key:
        """Id and file key."""
        return self.asset_id, self.file_key


@dataclass(frozen=True, slots=True)
class Known:
    """What is needed to see whether an asset is still the one that was fingerprinted."""

    status: str
    file_size: int | None
    modified_at: datetime | None


@dataclass(frozen=True, slots=True)
class AssetPair:
    """Two assets that are alike."""

    one: Key
    other: Key
    likeness: str
    similarity: float
    confidence: float


class AudioFingerprints:
    """The two tables. Threads and processes may share them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def save(self, prints: Sequence[AssetPrint]) -> None:
        """Store rows, all of them or none; one that is there is replaced and keeps its
        `created_at`.

        Raises:
            DatabaseFailed, OutputError: it could not be written.
        """
        if not prints:
            return
        dialect = postgresql if self._database.dialect == "postgresql" else sqlite
        adding = dialect.insert(FINGERPRINTS)
        keys = ("asset_id", "file_key")
        kept = {*keys, "created_at"}
        changed = {c.name: adding.excluded[c.name] for c in FINGERPRINTS.c if c.name not in kept}
        # One row for a key: a statement may not change a row twice.
        rows = {one.key: _row(one) for one in prints}
        with self._database.begin() as connection:
            connection.execute(
                adding.on_conflict_do_update(index_elements=keys, set_=changed),
                list(rows.values()),
            )

    def known(self, keys: Iterable[Key]) -> dict[Key, Known]:
        """What is there of these assets."""
        c = FINGERPRINTS.c
        asked = select(c.asset_id, c.file_key, c.processing_status, c.file_size, c.modified_at)
        found: dict[Key, Known] = {}
        for row in self._of(asked, keys):
            known = Known(row.processing_status, row.file_size, row.modified_at)
            found[row.asset_id, row.file_key] = known
        return found

    def prints(self, keys: Iterable[Key]) -> Iterator[AssetPrint]:
        """The rows of these assets that are there, in the order of the keys."""
        wanted = list(keys)
        for start in range(0, len(wanted), AT_ONCE):
            some = wanted[start : start + AT_ONCE]
            rows = {(r.asset_id, r.file_key): r for r in self._of(select(FINGERPRINTS), some)}
            yield from (_print(rows[key]) for key in some if key in rows)

    def replace_pairs(self, keys: Iterable[Key], pairs: Iterable[AssetPair]) -> None:
        """These pairs stand instead of all that was known of pairs of these assets."""
        now, wanted = utc_now(), set(keys)
        with self._database.begin() as connection:
            for one, other in _pairs_within(connection, wanted):
                c = PAIRS.c
                connection.execute(
                    delete(PAIRS).where(
                        c.asset_id == one[0], c.file_key == one[1],
                        c.other_asset_id == other[0], c.other_file_key == other[1],
                    )
                )  # fmt: skip
            rows = [_pair_row(pair, now) for pair in pairs]
            if rows:
                connection.execute(insert(PAIRS), rows)

    def counts(self) -> tuple[Mapping[str, int], Mapping[str, int]]:
        """How many assets there are by status, and how many pairs by likeness."""
        return self._count(FINGERPRINTS, "processing_status"), self._count(PAIRS, "likeness")

    def _count(self, table: Table, column: str) -> dict[str, int]:
        by = table.c[column]
        with self._database.reading() as connection:
            rows = connection.execute(select(by, func.count()).group_by(by).order_by(by))
            return {str(name): int(count) for name, count in rows}

    def _of(
        self, asked: Select[*tuple[object, ...]], keys: Iterable[Key]
    ) -> Iterator[Row[*tuple[object, ...]]]:
        """Rows of these assets: asked by id, taken if the file key fits too."""
        wanted = set(keys)
        ids = sorted({asset_id for asset_id, _ in wanted})
        with self._database.reading() as connection:
            for start in range(0, len(ids), AT_ONCE):
                some = ids[start : start + AT_ONCE]
                for row in connection.execute(asked.where(FINGERPRINTS.c.asset_id.in_(some))):
                    if (row.asset_id, row.file_key) in wanted:
                        yield row


def _pairs_within(connection: Connection, wanted: set[Key]) -> list[tuple[Key, Key]]:
    c = PAIRS.c
    rows = connection.execute(select(c.asset_id, c.file_key, c.other_asset_id, c.other_file_key))
    keys = (((r[0], r[1]), (r[2], r[3])) for r in rows)
    return [(one, other) for one, other in keys if one in wanted and other in wanted]


def _pair_row(pair: AssetPair, now: datetime) -> dict[str, object]:
    return {
        "asset_id": pair.one[0], "file_key": pair.one[1],
        "other_asset_id": pair.other[0], "other_file_key": pair.other[1],
        "likeness": pair.likeness, "similarity": pair.similarity,
        "confidence": pair.confidence, "created_at": now,
    }  # fmt: skip


def _row(one: AssetPrint) -> dict[str, object]:
    row: dict[str, object] = {column.name: getattr(one, column.name) for column in FINGERPRINTS.c}
    if one.fingerprint is not None:
        row["fingerprint"] = one.fingerprint.astype("<u4").tobytes()
    return row


def _print(row: Row[*tuple[object, ...]]) -> AssetPrint:
    values = dict(row._mapping)
    packed = values["fingerprint"]
    if packed is not None:
        values["fingerprint"] = np.frombuffer(packed, "<u4").astype(np.uint32)
    return AssetPrint(**values)
