"""Which campaign's sound is in which video: what was computed once is not computed again.

Table `campaign_matches` has a row for every video, set of campaigns and way of comparing;
`campaign_tracks` remembers which tracks could be read. Thresholds are not stored: they are
asked of what is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import Field, TypeAdapter
from sqlalchemy import Column, Double, Index, Table, Text, select
from sqlalchemy.dialects import postgresql, sqlite

from reelscope.errors import DatabaseFailed
from reelscope.records import Frozen, Number, Seconds
from reelscope.store.database import METADATA, Database, Moment, utc_now

AT_ONCE = 500
"""Keys in one question."""


class Likeness(Frozen):
    """A track that is like a video's sound, and where."""

    campaign_id: str = Field(description="Whose track it is.")
    track: str = Field(description="Its file, inside the campaign's folder.")
    similarity: Number = Field(ge=0, le=100, description="0-100.")
    start_s: Seconds = Field(description="In the video: from ...")
    end_s: Seconds = Field(description="... to.")
    offset_s: Seconds = Field(description="In the track: what is heard at `start_s`.")
    tempo: Number | None = Field(default=None, description="Runs so much faster, a factor.")
    pitch: Number | None = Field(default=None, description="Sounds so much higher, a factor.")


@dataclass(frozen=True, slots=True)
class KeptMatch:
    """What was found for a video.

    Attributes:
        key: of the video, the campaigns and the way of comparing: hexadecimal.
        video_id: as it was called then.
        engine: who compared.
        campaigns: digest of the set of tracks.
        alike: the best track of each campaign, the most similar first; empty: none is.
    """

    key: str
    video_id: str
    engine: str
    campaigns: str
    alike: tuple[Likeness, ...]


MATCHES = Table(
    "campaign_matches",
    METADATA,
    Column("key", Text, primary_key=True),
    Column("video_id", Text, nullable=False),
    Column("engine", Text, nullable=False),
    Column("campaigns", Text, nullable=False),
    Column("similarity", Double, nullable=False),
    Column("campaign_id", Text),
    Column("track", Text),
    Column("start_s", Double),
    Column("end_s", Double),
    Column("offset_s", Double),
    Column("tempo", Double),
    Column("pitch", Double),
    Column("alike", Text, nullable=False),
    Column("made_at", Moment, nullable=False),
)
Index("campaign_matches_of_campaign", MATCHES.c.campaign_id, MATCHES.c.similarity)

TRACKS = Table(
    "campaign_tracks",
    METADATA,
    Column("key", Text, primary_key=True),
    Column("error", Text),
    Column("made_at", Moment, nullable=False),
)

_ALIKE = TypeAdapter(tuple[Likeness, ...])


class MatchStore:
    """The two tables. Threads may share one.

    Args:
        database: that they are in.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def match(self, key: str) -> tuple[Likeness, ...] | None:
        """What was found under this key; None: nobody looked.

        Raises:
            DatabaseFailed: the database does not answer, or a row makes no sense.
        """
        with self._database.reading() as connection:
            row = connection.execute(
                select(MATCHES.c.alike).where(MATCHES.c.key == key)
            ).one_or_none()
        if row is None:
            return None
        try:
            return _ALIKE.validate_json(row.alike)
        except ValueError as error:
            name = self._database.name
            raise DatabaseFailed(f"{name}: a row of campaign_matches makes no sense") from error

    def keep(self, found: Sequence[KeptMatch]) -> None:
        """Store what was found, in one transaction; what is there already stays.

        Raises:
            DatabaseFailed, OutputError: it could not be written; then nothing was.
        """
        self._insert(MATCHES, [_row(one) for one in found])

    def tracks(self, keys: Sequence[str]) -> dict[str, str | None]:
        """Of the tracks that were read before: why one could not be read, or None.

        Raises:
            DatabaseFailed: the database does not answer.
        """
        found: dict[str, str | None] = {}
        for first in range(0, len(keys), AT_ONCE):
            some = keys[first : first + AT_ONCE]
            with self._database.reading() as connection:
                rows = connection.execute(
                    select(TRACKS.c.key, TRACKS.c.error).where(TRACKS.c.key.in_(some))
                )
                found.update((row.key, row.error) for row in rows)
        return found

    def keep_tracks(self, errors: Mapping[str, str | None]) -> None:
        """Remember which tracks could be read: key -> why not, or None.

        Raises:
            DatabaseFailed, OutputError: it could not be written.
        """
        now = utc_now()
        rows = [{"key": k, "error": error, "made_at": now} for k, error in errors.items()]
        self._insert(TRACKS, rows)

    def _insert(self, table: Table, rows: list[dict[str, Any]]) -> None:
        if not rows:
            return
        dialect = sqlite if self._database.dialect == "sqlite" else postgresql
        statement = dialect.insert(table).on_conflict_do_nothing()
        with self._database.begin() as connection:
            connection.execute(statement, rows)


def _row(found: KeptMatch) -> dict[str, Any]:
    best = found.alike[0].model_dump() if found.alike else {"similarity": 0.0}
    empty = dict.fromkeys(Likeness.model_fields)
    return {
        **empty,
        **best,
        "key": found.key,
        "video_id": found.video_id,
        "engine": found.engine,
        "campaigns": found.campaigns,
        "alike": _ALIKE.dump_json(found.alike).decode(),
        "made_at": utc_now(),
    }
