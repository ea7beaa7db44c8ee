"""What was found is kept once, on both databases."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from sqlalchemy import select, update

from reelscope.errors import DatabaseFailed
from reelscope.store.database import Database
from reelscope.store.matches import AT_ONCE, MATCHES, KeptMatch, Likeness, MatchStore

HOSTILE = "'; DROP TABLE campaign_matches; -- \"ä🎵\n\\../x"


@pytest.fixture
def database(database_where: str) -> Iterator[Database]:
    with Database.open(database_where) as opened:
        yield opened


def alike(similarity: float = 99.5, *, campaign: str = "spring") -> Likeness:
    return Likeness(
        campaign_id=campaign, track="a/b.mp3", similarity=similarity, start_s=1.0, end_s=9.5,
        offset_s=30.25, tempo=1.06, pitch=None,
    )  # fmt: skip


def kept(key: str, *found: Likeness, video_id: str = "v") -> KeptMatch:
    return KeptMatch(key, video_id, "fingerprint", "c" * 64, found)


def test_what_is_kept_is_found_again(database: Database) -> None:
    store = MatchStore(database)
    assert store.match("a") is None
    store.keep([kept("a", alike(), alike(80.0, campaign=HOSTILE)), kept("b", video_id=HOSTILE)])
    assert store.match("a") == (alike(), alike(80.0, campaign=HOSTILE))
    assert store.match("b") == ()
    store.keep([])


def test_people_can_ask_in_sql(database: Database) -> None:
    MatchStore(database).keep([kept("a", alike(), video_id=HOSTILE), kept("b")])
    with database.reading() as connection:
        query = select(MATCHES).order_by(MATCHES.c.key)
        first, second = connection.execute(query).all()
    assert (first.video_id, first.campaign_id, first.similarity) == (HOSTILE, "spring", 99.5)
    assert (first.start_s, first.offset_s, first.tempo, first.pitch) == (1.0, 30.25, 1.06, None)
    assert (second.similarity, second.campaign_id) == (0.0, None)
    assert first.made_at.tzinfo is not None


def test_several_writers_of_one_key_leave_one_row(database: Database) -> None:
    store = MatchStore(database)
    threads = [
        threading.Thread(target=store.keep, args=([kept("a", alike()), kept(f"own {n}")],))
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.reading() as connection:
        keys = connection.execute(select(MATCHES.c.key).order_by(MATCHES.c.key)).scalars().all()
    assert keys == ["a", *(f"own {n}" for n in range(4))]


def test_tracks_are_remembered_with_why_they_could_not_be_read(database: Database) -> None:
    store = MatchStore(database)
    store.keep_tracks({"good": None, "bad": "no sound"})
    many = [f"none {n}" for n in range(AT_ONCE)]
    assert store.tracks([*many, "good", "bad"]) == {"good": None, "bad": "no sound"}
    assert store.tracks([]) == {}


@pytest.mark.parametrize("damage", ["", "[", '[{"campaign_id": 3}]', '{"a": 1}'])
def test_a_row_that_makes_no_sense_is_named(database: Database, damage: str) -> None:
    store = MatchStore(database)
    store.keep([kept("a", alike())])
    with database.begin() as connection:
        connection.execute(update(MATCHES).values(alike=damage))
    with pytest.raises(DatabaseFailed, match="campaign_matches makes no sense"):
        store.match("a")
