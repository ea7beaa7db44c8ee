"""The tables of the life cycle of sounds: claims, leases, candidates; on both databases."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select, text

from reelscope.errors import UsageError
from reelscope.store.database import Database
from reelscope.store.originals import (
    FINGERPRINT_HASHES,
    FUNCTION,
    VIDEOS,
    Candidate,
    Claim,
    ClaimLostError,
    NewVideo,
    OriginalsStore,
    Pair,
    Peaks,
    Place,
)

HOSTILE = [
    "a/b", "../../etc/passwd", "it's", 'a "quoted" one', "'; DROP TABLE videos; --", "100%s",
    "%(id)s", ":name", "new\nline", "日本語 🎵", " ", "\\", "a" * 5000, "{0}", "$1",
]  # fmt: skip


@pytest.fixture
def store(database_where: str) -> Iterator[OriginalsStore]:
    with Database.open(database_where) as database:
        yield OriginalsStore(database)


def claim(store: OriginalsStore, *, lease_s: float = 600, attempts: int = 3) -> Claim | None:
    return store.claim("test", lease_s=lease_s, most_attempts=attempts)


def claimed(store: OriginalsStore, **how: Any) -> Claim:
    found = claim(store, **how)
    assert found
    return found


def finish(store: OriginalsStore, one: Claim, place: Place | None = None) -> None:
    with store.deciding() as connection:
        store.end(connection, one, {"duration_s": 1.0})
        store.place(connection, one.id, place or Place("original"))


def fill(store: OriginalsStore, rows: dict[str, tuple[list[int], list[int]]]) -> dict[str, int]:
    """Originals with these (hashes, frames)."""
    numbers = {}
    for name, (hashes, frames) in rows.items():
        store.add([NewVideo(name, f"/{name}")])
        one = claimed(store)
        finish(store, one)
        with store.deciding() as connection:
            given = np.array(hashes, np.int64), np.array(frames, np.int64)
            store.save_hashes(connection, one.id, *given, original=True)
        numbers[name] = one.id
    return numbers


def ask(
    store: OriginalsStore,
    hashes: list[int],
    frames: list[int],
    *,
    fewest: int = 1,
    stop_rows: int = 100,
    originals: bool = True,
    most: int = 10,
) -> list[Candidate]:
    with store.database.reading() as connection:
        return store.candidates(
            connection,
            np.array(hashes, np.int64),
            np.array(frames, np.int64),
            originals=originals,
            fewest=fewest,
            stop_rows=stop_rows,
            most=most,
        )


# --------------------------------------------------------------------------------- claims


def test_a_video_is_known_once(store: OriginalsStore) -> None:
    at = datetime(2026, 5, 1, 12, tzinfo=UTC)
    assert store.add([NewVideo("a", "/1", at), NewVideo("a", "/2"), NewVideo("b", "/3")]) == 2
    assert store.add([NewVideo("a", "/4"), NewVideo("c", "/5")]) == 1
    found = store.find("a")
    assert found and (found.path, found.published_at, found.status) == ("/1", at, "pending")
    assert [v.video_id for v in store.all()] == ["a", "b", "c"]
    assert store.find("d") is None


def test_many_at_once(store: OriginalsStore) -> None:
    videos = [NewVideo(f"v{n}", f"/{n}") for n in range(1203)]
    assert store.add(videos) == 1203
    assert store.add(videos) == 0
    assert store.counts()["pending"] == 1203


def test_hostile_names_come_back_as_they_were(store: OriginalsStore) -> None:
    store.add([NewVideo(name, f"/videos/{name}") for name in HOSTILE])
    assert [(v.video_id, v.path) for v in store.all()] == [(n, f"/videos/{n}") for n in HOSTILE]
    for name in HOSTILE:
        one = claimed(store)
        assert one.video_id == name
        store.fail(one, f"{name}\x00\ud800", again=False)
        found = store.find(name)
        assert found and found.status == "failed"
    assert claim(store) is None


@pytest.mark.parametrize("name", ["", "a\x00b", "\ud800"])
def test_names_that_no_database_takes_are_refused(store: OriginalsStore, name: str) -> None:
    for video in (NewVideo(name, "/x"), NewVideo("x", name)):
        with pytest.raises(UsageError, match="cannot be the name or the path"):
            store.add([NewVideo("good", "/good"), video])
    assert store.counts()["pending"] == 0


def test_a_claim_is_one_workers_until_its_lease_ends(store: OriginalsStore) -> None:
    store.add([NewVideo("a", "/a")])
    first = claimed(store, lease_s=0.3)
    assert (first.video_id, first.path, first.attempts) == ("a", "/a", 1)
    assert claim(store) is None
    time.sleep(0.4)
    second = claimed(store)
    assert (second.id, second.attempts) == (first.id, 2)
    assert second.token != first.token
    for late in (
        lambda: store.fail(first, "x", again=True),
        lambda: store.too_short(first, "x", duration_s=0.1),
        lambda: finish(store, first),
    ):
        with pytest.raises(ClaimLostError, match="another worker has it"):
            late()
    found = store.find("a")
    assert found and (found.status, found.attempts) == ("processing", 2)
    finish(store, second)
    found = store.find("a")
    assert found and found.status == "original"


def test_a_failed_one_goes_to_the_end_of_the_queue(store: OriginalsStore) -> None:
    store.add([NewVideo("bad", "/bad"), NewVideo("good", "/good")])
    store.fail(claimed(store), "it broke", again=True)
    assert claimed(store).video_id == "good"
    again = claimed(store)
    assert (again.video_id, again.attempts) == ("bad", 2)
    store.fail(again, "it broke again", again=False)
    found = store.find("bad")
    assert found and (found.status, found.reason) == ("failed", "it broke again")
    assert claim(store) is None


def test_a_video_that_kills_its_workers_is_given_up(store: OriginalsStore) -> None:
    store.add([NewVideo("poison", "/p")])
    for attempt in range(1, 4):
        assert claimed(store, lease_s=0.0).attempts == attempt
        time.sleep(0.01)
    assert claim(store) is None
    found = store.find("poison")
    assert found and (found.status, found.attempts) == ("failed", 3)
    assert found.reason == "its worker died or did not end in time, 3 times"


def test_eight_at_once_never_get_the_same_video(database_where: str) -> None:
    with Database.open(database_where) as database:
        OriginalsStore(database).add([NewVideo(f"v{n}", "/x") for n in range(120)])
    got: list[str] = []
    failures: list[BaseException] = []

    def work() -> None:
        try:
            with Database.open(database_where) as own:
                store = OriginalsStore(own)
                while found := claim(store):
                    got.append(found.video_id)
                    finish(store, found)
        except BaseException as error:  # noqa: BLE001  (shown below)
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert Counter(got) == Counter(f"v{n}" for n in range(120))


def test_counts_name_every_status(store: OriginalsStore) -> None:
    store.add([NewVideo(f"v{n}", "/x") for n in range(5)])
    one, other = claimed(store), claimed(store)
    finish(store, one, Place("original", flag="two_originals"))
    finish(store, other, Place("match", original_id=one.id, offset_s=1.5))
    store.too_short(claimed(store), "0.2 s", duration_s=0.2)
    claimed(store)
    assert store.counts() == {
        "pending": 1, "processing": 1, "original": 1, "match": 1, "too_short": 1, "failed": 0,
        "flagged": 1,
    }  # fmt: skip
    assert [v.video_id for v in store.copies(one.id)] == [other.video_id]


def test_what_raises_within_a_decision_leaves_nothing(store: OriginalsStore) -> None:
    store.add([NewVideo("a", "/a")])
    one = claimed(store)
    peaks = Peaks(1, np.arange(5, dtype=np.int32), np.arange(5, dtype=np.int16), 50)
    with pytest.raises(RuntimeError), store.deciding() as connection:
        store.end(connection, one, {"duration_s": 1.0})
        store.save_fingerprint(connection, one.id, peaks, hashes=2)
        store.save_hashes(connection, one.id, np.array([1, 2]), np.array([0, 0]), original=True)
        raise RuntimeError
    with store.database.reading() as connection:
        assert not connection.execute(select(FINGERPRINT_HASHES)).all()
    assert store.versions() == set()
    found = store.find("a")
    assert found and found.status == "processing"


def test_a_fingerprint_and_pairs_come_back(store: OriginalsStore) -> None:
    numbers = fill(store, {"a": ([1], [0]), "b": ([1], [0])})
    peaks = Peaks(1, np.array([0, 7, 70_000], np.int32), np.array([10, 479, 3], np.int16), 70_001)
    pair = Pair(numbers["a"], numbers["b"], 0.5, 150, -2.5, listened=True, probability=0.999,
                offset_s=-2.48, tempo=1.06, heard_s=9.0)  # fmt: skip
    with store.deciding() as connection:
        store.save_fingerprint(connection, numbers["a"], peaks, hashes=1)
        store.save_pairs(connection, [pair])
    with store.database.reading() as connection:
        found = store.peaks(connection, numbers["a"])
        assert store.pairs(connection, numbers["a"]) == [pair]
        assert store.pairs(connection, numbers["b"]) == [pair]
        video = store.video(connection, numbers["a"])
    assert (found.version, found.length, video.length) == (1, 70_001, 70_001)
    assert found.frames.tolist() == [0, 7, 70_000]
    assert found.bins.tolist() == [10, 479, 3]


# ------------------------------------------------------------------------------ candidates


def test_candidates_come_with_their_place_most_hits_first(store: OriginalsStore) -> None:
    numbers = fill(
        store,
        {
            "three": ([1, 2, 3, 9], [100, 104, 109, 0]),
            "two": ([1, 2, 3], [50, 54, 200]),
            "none": ([7, 8], [0, 1]),
        },
    )
    assert ask(store, [1, 2, 3], [0, 4, 9]) == [
        Candidate(numbers["three"], 100, 3),
        Candidate(numbers["two"], 50, 2),
    ]
    assert ask(store, [1, 2, 3], [0, 4, 9], fewest=3) == [Candidate(numbers["three"], 100, 3)]
    assert ask(store, [1, 2, 3], [0, 4, 9], most=1) == [Candidate(numbers["three"], 100, 3)]
    assert ask(store, [1, 2, 3], [0, 4, 9], originals=False) == []
    assert ask(store, [5], [0]) == []
    assert ask(store, [], []) == []


def test_a_query_may_begin_before_the_video(store: OriginalsStore) -> None:
    numbers = fill(store, {"a": ([1, 2], [5, 9])})
    assert ask(store, [1, 2], [105, 109]) == [Candidate(numbers["a"], -100, 2)]


def test_neighbouring_distances_are_one(store: OriginalsStore) -> None:
    numbers = fill(store, {"a": ([1, 2, 3, 4], [100, 101, 102, 104])})
    assert ask(store, [1, 2, 3, 4], [0, 0, 0, 0]) == [Candidate(numbers["a"], 101, 3)]


def test_stop_words_are_not_looked_up(store: OriginalsStore) -> None:
    rows = {f"v{n}": ([1, 10 + n], [n, n]) for n in range(6)}
    numbers = fill(store, rows)
    assert len(ask(store, [1, 12], [0, 0], stop_rows=6)) == 6
    assert ask(store, [1, 12], [0, 0], stop_rows=5) == [Candidate(numbers["v2"], 2, 1)]


def test_hashes_move_with_the_role(store: OriginalsStore) -> None:
    hashes, frames = list(range(1, 1203)), [n // 3 for n in range(1202)]
    numbers = fill(store, {"a": (hashes, frames), "b": ([1, 2], [0, 0])})
    with store.deciding() as connection:
        moved = np.array(hashes, np.int64), np.array(frames, np.int64)
        store.move_hashes(connection, numbers["a"], *moved, original=False)
    assert ask(store, hashes, frames, fewest=3) == []
    assert ask(store, hashes, frames, originals=False) == [Candidate(numbers["a"], 0, 1202)]
    assert ask(store, [1, 2], [0, 0]) == [Candidate(numbers["b"], 0, 2)]


@pytest.mark.slow
def test_the_function_is_there_for_plain_sql(postgres_url: str) -> None:
    with Database.open(postgres_url) as database:
        store = OriginalsStore(database)
        fill(store, {"it's a song": ([1, 2, 3], [100, 104, 109]), "other": ([3], [0])})
        with database.reading() as connection:
            rows = connection.execute(
                text(
                    "SELECT v.video_id, c.delta * 0.02 AS offset_s, c.hits"
                    " FROM find_fingerprint_candidates(ARRAY[1, 2, 3], ARRAY[0, 4, 9], 1) AS c"
                    " JOIN videos v ON v.id = c.video"
                )
            ).all()
            defaults = connection.execute(
                text("SELECT * FROM find_fingerprint_candidates('{1,2,NULL}', '{0,4,0}')")
            ).all()
        assert [(r.video_id, float(r.offset_s), r.hits) for r in rows] == [
            ("it's a song", 2.0, 3),
            ("other", -0.18, 1),
        ]
        assert defaults == []  # fewer than 5 agree


@pytest.mark.slow
def test_both_databases_give_the_same_candidates(tmp_path: Any, postgres_url: str) -> None:
    rng = np.random.default_rng(1)
    rows = {}
    for n in range(12):
        both = {(int(h), int(f)) for h, f in rng.integers(0, [60, 200], (300, 2))}
        rows[f"v{n}"] = ([h for h, _ in both], [f for _, f in both])
    answers = []
    for where in (str(tmp_path / "a.sqlite"), postgres_url):
        with Database.open(where) as database:
            store = OriginalsStore(database)
            fill(store, rows)
            query = np.random.default_rng(2).integers(0, [60, 90], (200, 2))
            hashes, frames = query[:, 0].tolist(), query[:, 1].tolist()
            answers.append(
                [ask(store, hashes, frames, stop_rows=stop) for stop in (1, 55, 60, 65, 1000)]
            )
    assert answers[0] == answers[1]
    assert any(answers[0][1]) and any(answers[0][4])


@pytest.mark.slow
@pytest.mark.parametrize("originals", ["true", "false"])
def test_each_hash_is_looked_up_in_the_key_alone(postgres_url: str, originals: str) -> None:
    """The plan of the function's own query under its own settings, with rows that matter."""
    rng = np.random.default_rng(3)
    body = FUNCTION.split("$$")[1]
    for name, value in {
        "query_hashes": "CAST(:hashes AS integer[])",
        "query_frames": "CAST(:hashes AS integer[])",
        "among_originals": originals,
        "stop_rows": "100",
        "fewest": "5",
        "LIMIT most": "LIMIT 10",
        "::bigint": "",
    }.items():
        body = body.replace(name, value)
    with Database.open(postgres_url) as database:
        store = OriginalsStore(database)
        numbers = fill(store, {"a": ([1], [0])})
        hashes, frames = rng.integers(0, 1 << 21, 100_000), np.arange(100_000)
        with store.deciding() as connection:
            is_original = originals == "true"
            store.save_hashes(connection, numbers["a"], hashes, frames, original=is_original)
        with database.begin() as connection:
            connection.execute(text("ANALYZE fingerprint_hashes"))
            for setting in re.findall(r"^SET (\w+ = off)$", FUNCTION, re.MULTILINE):
                connection.execute(text(f"SET LOCAL {setting}"))
            query = {"hashes": hashes[:500].tolist()}
            plan = connection.execute(text(f"EXPLAIN {body}"), query).scalars().all()
    said = "\n".join(plan)
    assert "Index Only Scan using fingerprint_hashes_pkey" in said
    assert said.count("on fingerprint_hashes") == 1


def test_claims_read_the_partial_indexes(store: OriginalsStore) -> None:
    names = {index.name for index in VIDEOS.indexes}
    assert names == {"videos_waiting", "videos_claimed", "videos_of_original"}
    store.add([NewVideo(f"v{n}", "/x") for n in range(3000)])
    with store.database.begin() as connection:
        connection.execute(text("UPDATE videos SET status = 'original' WHERE id > 20"))
        connection.execute(text("ANALYZE videos"))
        explain = "EXPLAIN" if store.database.dialect == "postgresql" else "EXPLAIN QUERY PLAN"
        due = "SELECT id FROM videos WHERE status = 'pending' ORDER BY attempts, id LIMIT 1"
        plan = " ".join(str(row) for row in connection.execute(text(f"{explain} {due}")))
    assert "videos_waiting" in plan
    assert "Sort" not in plan
