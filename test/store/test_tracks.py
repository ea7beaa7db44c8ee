"""The catalogue: the same on SQLite and on PostgreSQL."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelscope.errors import DatabaseFailed, LibraryMismatch, UsageError
from reelscope.store.database import Database
from reelscope.store.tracks import LONGEST_ID, Catalogue, Track, Wanted, check_id, clean_text


@pytest.fixture
def catalogue(database_where: str) -> Iterator[Catalogue]:
    with Database.open(database_where) as database:
        yield Catalogue(database)


def test_tracks_come_back_as_they_were_put(catalogue: Catalogue) -> None:
    track = Track(
        id='it\'s "a"/b\\c; DROP TABLE tracks; --',
        number=7,
        title="Grüße 🎵 你好",
        artist="A",
        duration_s=12.5,
        sha256="ab" * 32,
    )
    catalogue.put([track, Track("plain")])
    assert catalogue.get(track.id) == track
    assert catalogue.several([track.id, "nobody"]) == {track.id: track}
    assert catalogue.by_number([7, 8]) == {7: track}
    assert catalogue.by_sha256(["ab" * 32, "cd" * 32]) == {"ab" * 32: [track]}
    assert catalogue.get("nobody") is None
    assert catalogue.numbers() == {7}
    assert track.created_at.tzinfo is not None


def test_a_track_of_the_same_id_is_replaced_and_keeps_its_first_day(catalogue: Catalogue) -> None:
    first = Track("a", number=1, title="old")
    catalogue.put([first])
    catalogue.put([replace(Track("a", number=2, title="new"), status="ready")])
    found = catalogue.get("a")
    assert found is not None
    assert (found.number, found.title, found.created_at) == (2, "new", first.created_at)


def test_put_writes_all_or_none(catalogue: Catalogue) -> None:
    catalogue.put([Track("a", number=1)])
    with pytest.raises(DatabaseFailed, match=r"(?i)unique"):
        catalogue.put([Track("b", number=2), Track("c", number=1)])
    assert [track.id for track in catalogue.list_tracks()] == ["a"]


def test_lists_and_counts_what_is_meant(catalogue: Catalogue) -> None:
    tracks = [
        Track("a", number=1, title="Blue 100% Sky", campaign="spring", artist="X"),
        Track("b", number=2, title="blue sea", campaign="spring", genre="rock"),
        Track("c", title="red", campaign="autumn", status="failed", error="damaged"),
    ]
    catalogue.put(tracks)

    def ids(**wanted: str) -> list[str]:
        found = catalogue.list_tracks(Wanted(**wanted))  # type: ignore[arg-type]
        assert catalogue.count(Wanted(**wanted)) == len(found)  # type: ignore[arg-type]
        return [track.id for track in found]

    assert ids() == ["a", "b", "c"]
    assert ids(campaign="spring") == ["a", "b"]
    assert ids(campaign="spring", genre="rock") == ["b"]
    assert ids(status="failed") == ["c"]
    assert ids(text="BLUE") == ["a", "b"]
    assert ids(text="0%") == ["a"]
    assert ids(text="_") == []
    assert [t.id for t in catalogue.list_tracks(limit=1, after="a")] == ["b"]
    assert catalogue.numbers() == {1, 2}


def test_texts_can_be_changed_and_nothing_else(catalogue: Catalogue) -> None:
    catalogue.put([Track("a", number=1, title="old", artist="A")])
    changed = catalogue.update("a", {"title": "new\x00\n line", "artist": ""})
    assert changed is not None
    assert (changed.title, changed.artist, changed.number) == ("new line", None, 1)
    assert catalogue.get("a") == changed
    assert changed.updated_at > changed.created_at
    assert catalogue.update("nobody", {"title": "x"}) is None
    with pytest.raises(UsageError, match="sha256 of a track cannot be changed"):
        catalogue.update("a", {"sha256": "x"})


def test_removing_says_what_was_there(catalogue: Catalogue) -> None:
    catalogue.put([Track("a", number=1), Track("b", number=2)])
    assert catalogue.remove(["a", "nobody", "a"]) == ["a"]
    assert catalogue.count() == 1


def test_every_change_is_counted(catalogue: Catalogue) -> None:
    seen = [catalogue.changes()]
    catalogue.put([Track("a")])
    seen.append(catalogue.changes())
    catalogue.update("a", {"title": "x"})
    seen.append(catalogue.changes())
    catalogue.remove(["a"])
    seen.append(catalogue.changes())
    assert seen == sorted(set(seen))


def test_numbers_are_given_once_however_many_ask(catalogue: Catalogue) -> None:
    given: list[int] = []

    def ask() -> None:
        for _ in range(5):
            given.extend(catalogue.reserve(3))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(given) == list(range(1, 61))


def test_it_belongs_to_one_index(catalogue: Catalogue) -> None:
    assert catalogue.index_id() is None
    catalogue.belong_to("one")
    catalogue.belong_to("one")
    with pytest.raises(LibraryMismatch, match="belongs to the fingerprint index one"):
        catalogue.belong_to("other")


def test_a_catalogue_is_taken_over_only_where_there_is_none(catalogue: Catalogue) -> None:
    tracks = [Track("a", number=41), Track("b")]
    catalogue.take_over(tracks, "one")
    assert catalogue.list_tracks() == tracks
    assert catalogue.index_id() == "one"
    assert list(catalogue.reserve(1)) == [42]
    with pytest.raises(UsageError, match="has a library already"):
        catalogue.take_over([], "two")
    catalogue.clear()
    assert catalogue.list_tracks() == []
    with pytest.raises(UsageError, match="has a library already"):
        catalogue.take_over(tracks, "two")
    catalogue.take_over(tracks, "one")
    assert catalogue.list_tracks() == tracks


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("", "is empty"),
        ("   ", "is empty"),
        (" a", "begins or ends with a blank"),
        ("a\x00b", "cannot be printed"),
        ("a\nb", "cannot be printed"),
        ("a\x1b[31m", "cannot be printed"),
        ("\u202eabc", "cannot be printed"),
        ("\ud800", "cannot be printed"),
        ("x" * 10_000, "has 10000 characters"),
    ],
)
def test_ids_that_are_none(given: str, why: str) -> None:
    with pytest.raises(UsageError, match=why) as found:
        check_id(given)
    assert len(str(found.value)) < 250
    assert str(found.value).isprintable()


def test_ids_of_one_look_are_one() -> None:
    assert check_id("e\u0301") == check_id("\u00e9")
    assert check_id("../a/'b'\"c\"") == "../a/'b'\"c\""
    assert check_id("x" * LONGEST_ID) == "x" * LONGEST_ID


@given(st.text(st.characters(), max_size=50))
def test_any_text_becomes_one_that_databases_take(given: str) -> None:
    found = clean_text(given)
    assert found is None or (found.encode() and "\0" not in found and "\n" not in found)
    assert clean_text(found) == found
