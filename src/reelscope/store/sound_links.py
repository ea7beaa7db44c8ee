"""Which videos have the same sound: what was found for each, kept beside the library of sounds.

Table `sound_videos` has a row for every video that was listened to, `sound_links` one for every
video or track of the music library that a video's sound is in. Thresholds are not stored: they
are asked of what is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Final, Literal, TypeAlias

from sqlalchemy import Column, Double, Table, Text, delete, insert, or_, select, update

from reelscope.store.database import METADATA, Database, Moment

Kind: TypeAlias = Literal["video", "track"]

AT_ONCE: Final = 500
"""Rows asked for in one statement: SQLite takes 999 parameters at least."""

VIDEOS = Table(
    "sound_videos",
    METADATA,
    Column("video", Text, primary_key=True),
    Column("posted_at", Moment),
    Column("asked_sha256", Text),
)
LINKS = Table(
    "sound_links",
    METADATA,
    Column("video", Text, primary_key=True),
    Column("kind", Text, primary_key=True),
    Column("other", Text, primary_key=True, index=True),
    Column("offset_s", Double, nullable=False),
    Column("tempo", Double, nullable=False),
    Column("share", Double, nullable=False),
)


@dataclass(frozen=True, slots=True)
class SoundLink:
    """A video's sound is in another video, or a track is in it.

    Second t of the video is second offset_s + t * tempo of the other.

    Attributes:
        video: whose sound.
        kind: what the other is.
        other: the other video, or the track's id in the music library.
        offset_s: in the other, at the video's beginning; may be below 0.
        tempo: how much faster the video runs than the other.
        share: of the shorter of both, as far as it was listened to, that they have in common.
    """

    video: str
    kind: Kind
    other: str
    offset_s: float
    tempo: float
    share: float


class SoundLinks:
    """The tables. Several threads and processes may share them.

    Every method raises DatabaseFailed, and those that write OutputError.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def posted(self) -> dict[str, datetime | None]:
        """Every video that is known, with when it was posted."""
        with self._database.reading() as connection:
            rows = connection.execute(select(VIDEOS.c.video, VIDEOS.c.posted_at)).all()
        return {row.video: row.posted_at for row in rows}

    def asked(self, videos: Sequence[str]) -> dict[str, str]:
        """The content (SHA-256) that was asked about, of those of which some was."""
        found: dict[str, str] = {}
        for first in range(0, len(videos), AT_ONCE):
            some = videos[first : first + AT_ONCE]
            query = select(VIDEOS.c.video, VIDEOS.c.asked_sha256).where(VIDEOS.c.video.in_(some))
            with self._database.reading() as connection:
                rows = connection.execute(query).all()
            found |= {row.video: row.asked_sha256 for row in rows if row.asked_sha256}
        return found

    def know(self, posted: Mapping[str, datetime | None]) -> None:
        """Note videos with when they were posted; what is known of them otherwise stays."""
        with self._database.begin() as connection:
            there = set(connection.execute(select(VIDEOS.c.video)).scalars())
            for video, moment in posted.items():
                row = {"posted_at": moment}
                if video in there:
                    connection.execute(update(VIDEOS).where(VIDEOS.c.video == video).values(row))
                else:
                    connection.execute(insert(VIDEOS).values(video=video, **row))

    def keep(self, video: str, sha256: str, links: Iterable[SoundLink]) -> None:
        """Note what a video's sound is in. If its content is another than it was, what was found
        of the old one is forgotten, also by others."""
        with self._database.begin() as connection:
            known = select(VIDEOS.c.asked_sha256).where(VIDEOS.c.video == video)
            was = connection.execute(known).scalar()
            own = LINKS.c.video == video
            stale = own if was in (None, sha256) else or_(own, LINKS.c.other == video)
            connection.execute(delete(LINKS).where(LINKS.c.kind == "video", stale))
            if rows := [asdict(link) for link in links]:
                connection.execute(insert(LINKS), rows)
            asked = update(VIDEOS).where(VIDEOS.c.video == video).values(asked_sha256=sha256)
            connection.execute(asked)

    def keep_tracks(self, links: Mapping[str, Sequence[SoundLink]]) -> None:
        """Note the tracks in these videos, in place of those noted before."""
        with self._database.begin() as connection:
            for video, those in links.items():
                ours = (LINKS.c.video == video, LINKS.c.kind == "track")
                connection.execute(delete(LINKS).where(*ours))
                if rows := [asdict(link) for link in those]:
                    connection.execute(insert(LINKS), rows)

    def links(self, least_share: float) -> list[SoundLink]:
        """All in which at least this share is in common."""
        names = (LINKS.c.video, LINKS.c.kind, LINKS.c.other)
        query = select(LINKS).where(LINKS.c.share >= least_share).order_by(*names)
        with self._database.reading() as connection:
            return [SoundLink(**row) for row in connection.execute(query).mappings()]
