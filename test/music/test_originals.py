"""Whose sound is whose: the same end state in whatever order videos arrive, on both databases."""

from __future__ import annotations

import itertools
import random
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select, text

from reelscope.music.fingerprint import FRAMES_PER_S, Constellation
from reelscope.music.original_rules import hash_share, hashes_of, sampled
from reelscope.music.originals import decide, role_of
from reelscope.settings import MusicOriginals
from reelscope.store.database import Database
from reelscope.store.originals import (
    FINGERPRINT_HASHES,
    FINGERPRINTS,
    PAIRS,
    VIDEOS,
    Claim,
    ClaimLostError,
    NewVideo,
    OriginalsStore,
    Pair,
)

DAY_0 = datetime(2026, 5, 1, tzinfo=UTC)
RULES = MusicOriginals(decide_by="hashes")


def song(seed: int, seconds: float) -> Constellation:
    """Random peaks, 40 a second, as a real sound has."""
    rng = np.random.default_rng(seed)
    length = round(seconds * FRAMES_PER_S)
    count = round(seconds * 40)
    frames = np.sort(rng.integers(0, length, count)).astype(np.int32)
    bins = rng.integers(10, 480, count).astype(np.int16)
    order = np.lexsort((bins, frames))
    return Constellation(frames[order], bins[order], length)


def cut(sound: Constellation, start_s: float, end_s: float, *, lost: float = 0.0) -> Constellation:
    """A part of a sound, with a share of its peaks lost."""
    first, last = round(start_s * FRAMES_PER_S), round(end_s * FRAMES_PER_S)
    inside = (sound.frames >= first) & (sound.frames < last)
    inside &= np.random.default_rng(first).random(len(sound)) >= lost
    return Constellation(sound.frames[inside] - np.int32(first), sound.bins[inside], last - first)


def joined(*parts: Constellation) -> Constellation:
    """One after the other."""
    starts = list(itertools.accumulate((p.length for p in parts), initial=0))
    frames = [p.frames + np.int32(start) for p, start in zip(parts, starts, strict=False)]
    return Constellation(
        np.concatenate(frames), np.concatenate([p.bins for p in parts]), starts[-1]
    )


@dataclass(frozen=True)
class Upload:
    video_id: str
    sound: Constellation
    day: int | None = None

    @property
    def new(self) -> NewVideo:
        at = None if self.day is None else DAY_0 + timedelta(days=self.day)
        return NewVideo(self.video_id, f"/nowhere/{self.video_id}.mp4", at)


@pytest.fixture
def store(database_where: str) -> Iterator[OriginalsStore]:
    with Database.open(database_where) as database:
        yield OriginalsStore(database)


def claimed(store: OriginalsStore) -> Claim:
    claim = store.claim("test", lease_s=600, most_attempts=3)
    assert claim
    return claim


def arrive(store: OriginalsStore, *uploads: Upload, rules: MusicOriginals = RULES) -> None:
    for upload in uploads:
        store.add([upload.new])
        decide(store, claimed(store), upload.sound, settings=rules)


def state(store: OriginalsStore) -> dict[str, tuple[Any, ...]]:
    """All that is known of every video, without what the order of arrival may decide."""
    videos = list(store.all())
    names = {v.id: v.video_id for v in videos}
    return {
        v.video_id: (
            v.status,
            names[v.original_id] if v.original_id else None,
            v.flag,
            None if v.offset_s is None else round(v.offset_s, 6),
            v.share,
        )
        for v in sorted(videos, key=lambda v: v.video_id)
    }


def check_tables(store: OriginalsStore) -> None:
    """Every finished video has its fingerprint, and its hashes in its role; nobody else has."""
    videos = {v.id: v for v in store.all()}
    with store.database.reading() as connection:
        have = {row.video: row.hashes for row in connection.execute(select(FINGERPRINTS))}
        table = FINGERPRINT_HASHES.c
        rows = connection.execute(select(table.video, table.original, table.hash)).all()
        count = {n: len(hashes_of(as_sound(store, connection, n))) for n in have}
    assert {v.id for v in videos.values() if v.status in ("original", "match")} == set(have)
    assert have == count
    for number, video in videos.items():
        mine = [row.original for row in rows if row.video == number]
        assert len(mine) == have.get(number, 0)
        assert all(is_original == (video.status == "original") for is_original in mine)
        if video.status == "match":
            assert videos[video.original_id or 0].status == "original"


def as_sound(store: OriginalsStore, connection: Any, number: int) -> Constellation:
    peaks = store.peaks(connection, number)
    return Constellation(peaks.frames, peaks.bins, peaks.length)


def wipe(store: OriginalsStore) -> None:
    with store.database.begin() as connection:
        for table in (PAIRS, FINGERPRINT_HASHES, FINGERPRINTS, VIDEOS):
            connection.execute(
                delete(table).where(True)
                if table is not VIDEOS
                else text("DELETE FROM videos WHERE original_id IS NOT NULL")
            )
        connection.execute(delete(VIDEOS))


# ------------------------------------------------------------------------------ what a video is


def test_a_clip_matches_its_original_at_its_second(store: OriginalsStore) -> None:
    whole = song(1, 60)
    arrive(store, Upload("song", whole, 0), Upload("clip", cut(whole, 20.5, 32), 1))
    clip, original = store.find("clip"), store.find("song")
    assert clip and original
    assert (original.status, original.flag) == ("original", None)
    assert (clip.status, clip.original_id, clip.flag) == ("match", original.id, None)
    assert clip.offset_s == pytest.approx(20.5, abs=0.1)
    assert clip.share and clip.share > 0.9
    assert store.copies(original.id) == [clip]
    check_tables(store)


def test_the_older_newcomer_takes_over_with_all_copies(store: OriginalsStore) -> None:
    whole = song(2, 60)
    arrive(
        store,
        Upload("re-upload", cut(whole, 10, 60), 5),
        Upload("a", cut(whole, 30, 45), 6),
        Upload("b", cut(whole, 12, 40), 7),
    )
    assert state(store)["a"][:2] == ("match", "re-upload")
    arrive(store, Upload("first", whole, 0))
    found = state(store)
    assert found["first"][0] == "original"
    for name, offset_s in (("re-upload", 10.0), ("a", 30.0), ("b", 12.0)):
        assert found[name][:2] == ("match", "first")
        assert found[name][3] == pytest.approx(offset_s, abs=0.1)
    check_tables(store)


def test_without_dates_the_longer_one_is_the_original(store: OriginalsStore) -> None:
    whole = song(3, 40)
    arrive(store, Upload("short", cut(whole, 5, 20)), Upload("long", whole))
    found = state(store)
    assert found["long"][0] == "original"
    assert found["short"][:2] == ("match", "long")
    assert found["short"][3] == pytest.approx(5.0, abs=0.1)


def test_a_date_comes_before_none(store: OriginalsStore) -> None:
    whole = song(3, 40)
    arrive(store, Upload("long", whole), Upload("dated", cut(whole, 5, 20), 3))
    found = state(store)
    assert found["long"][:2] == ("match", "dated")
    assert found["long"][3] == pytest.approx(-5.0, abs=0.1)  # begins 5 s before the original


def test_by_length_the_longer_one_wins_over_the_older_one(store: OriginalsStore) -> None:
    whole = song(3, 40)
    rules = RULES.model_copy(update={"seniority": "length"})
    uploads = Upload("old", cut(whole, 5, 20), 0), Upload("long", whole, 9)
    arrive(store, *uploads, rules=rules)
    assert state(store)["old"][:2] == ("match", "long")


def test_a_copy_without_the_new_originals_sound_becomes_an_original(store: OriginalsStore) -> None:
    whole = song(4, 60)
    arrive(store, Upload("mix", whole, 3), Upload("end", cut(whole, 40, 58), 4))
    arrive(store, Upload("beginning", cut(whole, 0, 20), 0))
    found = state(store)
    assert found["mix"][:2] == ("match", "beginning")
    assert found["end"][:2] == ("original", None)


def test_two_originals_in_one_clip_are_flagged(store: OriginalsStore) -> None:
    one, other = song(5, 30), song(6, 30)
    mashup = joined(cut(one, 0, 14), cut(other, 10, 20))
    arrive(store, Upload("one", one, 0), Upload("other", other, 1), Upload("mashup", mashup, 2))
    assert state(store)["mashup"][:3] == ("match", "one", "two_originals")


def test_near_the_threshold_is_flagged_on_either_side(store: OriginalsStore) -> None:
    one = song(7, 60)
    arrive(store, Upload("one", one, 0))
    for name, own_s, expected in (("under", 22, "original"), ("over", 14, "match")):
        clip = joined(cut(one, 10, 12), song(len(name), own_s))
        arrive(store, Upload(name, clip, 1))
        assert state(store)[name][0] == expected
        assert "near_threshold" in (state(store)[name][2] or "")


@pytest.mark.parametrize(
    "sound",
    [song(1, 0.2), song(1, 0), Constellation(np.zeros(0, np.int32), np.zeros(0, np.int16), 3000)],
    ids=["0.2 s", "nothing", "a minute of silence"],
)
def test_too_little_sound_is_said(store: OriginalsStore, sound: Constellation) -> None:
    arrive(store, Upload("x", sound))
    found = store.find("x")
    assert found and found.status == "too_short"
    assert found.reason and "are needed" in found.reason
    check_tables(store)


def test_whoever_lost_the_claim_writes_nothing(store: OriginalsStore) -> None:
    store.add([Upload("x", song(1, 5)).new])
    lost = store.claim("slow", lease_s=0.0, most_attempts=3)
    assert lost
    decide(store, claimed(store), song(1, 5), settings=RULES)
    before = state(store)
    with pytest.raises(ClaimLostError):
        decide(store, lost, song(2, 9), settings=RULES)
    assert state(store) == before
    check_tables(store)


# ----------------------------------------------------------------------------- any order


def uploads_of(seed: int, count: int) -> list[Upload]:
    """Songs, clips of them, clips of clips, mashups, noisy copies, with dates or none."""
    rng = random.Random(seed)
    sounds = [song(100 + seed * 10 + n, rng.uniform(15, 40)) for n in range(2)]
    while len(sounds) < count:
        parts = []
        for source in rng.sample(sounds, rng.choice([1, 1, 1, 2])):
            span_s = min(rng.uniform(4, 30), source.duration_s)
            start_s = rng.uniform(0, source.duration_s - span_s)
            parts.append(cut(source, start_s, start_s + span_s, lost=rng.choice([0, 0.2, 0.5])))
        sounds.append(joined(*parts))
    days = [rng.choice([None, 0, 1, 2, 3, 4]) for _ in sounds]
    return [Upload(f"v{n}", s, d) for n, (s, d) in enumerate(zip(sounds, days, strict=True))]


@pytest.fixture(scope="module")
def one_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OriginalsStore]:
    with Database.open(tmp_path_factory.mktemp("any") / "order.sqlite") as database:
        yield OriginalsStore(database)


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(seed=st.integers(0, 10_000), shuffle=st.randoms(use_true_random=False))
@pytest.mark.slow
def test_any_order_ends_in_the_same_state(
    one_store: OriginalsStore, seed: int, shuffle: random.Random
) -> None:
    uploads = uploads_of(seed, 8)
    wipe(one_store)
    arrive(one_store, *uploads)
    expected = state(one_store)
    check_tables(one_store)
    shuffle.shuffle(uploads)
    wipe(one_store)
    arrive(one_store, *uploads)
    assert state(one_store) == expected
    check_tables(one_store)


def test_several_at_once_end_in_the_same_state(
    database_where: str, one_store: OriginalsStore
) -> None:
    uploads = uploads_of(7, 14)
    wipe(one_store)
    arrive(one_store, *uploads)
    sounds = {u.video_id: u.sound for u in uploads}
    failures: list[BaseException] = []

    def work() -> None:
        try:
            with Database.open(database_where) as database:
                own = OriginalsStore(database)
                while claim := own.claim("thread", lease_s=600, most_attempts=3):
                    decide(own, claim, sounds[claim.video_id], settings=RULES)
        except BaseException as error:  # noqa: BLE001  (shown below)
            failures.append(error)

    with Database.open(database_where) as database:
        store = OriginalsStore(database)
        store.add([u.new for u in uploads])
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failures
        assert state(store) == state(one_store)
        assert [v.attempts for v in store.all()] == [1] * len(uploads)
        check_tables(store)


# -------------------------------------------------------------------------------- the rules


def test_the_sample_grows_with_the_sound_and_covers_it() -> None:
    whole = song(8, 150)
    hashes = hashes_of(whole)
    sample = sampled(hashes, whole.length, RULES)
    assert len(sample) == 10 * RULES.hashes_per_segment
    assert sample.frames[0] < 100
    assert sample.frames[-1] > whole.length - 200
    assert np.all(np.diff(sample.frames) >= 0)
    short = cut(whole, 0, 6)
    assert len(sampled(hashes_of(short), short.length, RULES)) == RULES.hashes_per_segment


def test_neighbouring_distances_count_together() -> None:
    whole = hashes_of(song(9, 20))
    moved = type(whole)(whole.words, whole.frames + np.arange(len(whole)) % 2 + 40)
    assert hash_share(whole, moved, merge_frames=1).share == 1.0
    assert hash_share(whole, moved, merge_frames=0).share == pytest.approx(0.5, abs=0.01)
    assert hash_share(whole, moved, merge_frames=1).offset_s == pytest.approx(0.81, abs=0.001)


def test_strangers_share_next_to_nothing() -> None:
    found = hash_share(hashes_of(song(10, 60)), hashes_of(song(11, 60)), merge_frames=1)
    assert found.share < 0.01


def test_a_hash_that_repeats_counts_once() -> None:
    one = hashes_of(song(12, 5))
    twice = type(one)(np.tile(one.words, 2), np.tile(one.frames, 2))
    assert hash_share(one, twice, merge_frames=1).share == 1.0
    empty = type(one)(one.words[:0], one.frames[:0])
    assert hash_share(one, empty, merge_frames=1).offset_s is None
    assert hash_share(empty, one, merge_frames=1).share == 0.0


def test_a_pair_reads_the_same_from_both_sides() -> None:
    pair = Pair(1, 2, 0.9, 300, 10.0, listened=True, probability=0.999, offset_s=10.0, tempo=1.25,
                heard_s=8.0)  # fmt: skip
    rules = MusicOriginals()
    short, long = role_of(pair, 1, rules), role_of(pair, 2, rules)
    assert (short.offset_s, short.tempo) == (10.0, 1.25)
    assert (long.offset_s, long.tempo) == (-8.0, 0.8)
    at_s = 4.0  # of the short one: 15 s of the long one
    there_s = (short.offset_s or 0) + (short.tempo or 0) * at_s
    assert (long.offset_s or 0) + (long.tempo or 0) * there_s == pytest.approx(at_s)


@pytest.mark.parametrize(
    ("pair", "flags"),
    [
        (Pair(1, 2, 0.6, 200, 3.0, listened=True, probability=0.9999, offset_s=3.1, tempo=1.0), ""),
        (Pair(1, 2, 0.6, 200, 3.0, listened=True, probability=0.9, offset_s=3.0, tempo=1.0),
         "near_threshold"),
        (Pair(1, 2, 0.6, 200, 3.0, listened=True), "rules_disagree"),
        (Pair(1, 2, 0.0, 0, None, listened=True, probability=0.9999, offset_s=3.0, tempo=1.0),
         "rules_disagree"),
        (Pair(1, 2, 0.6, 200, 9.0, listened=True, probability=0.9999, offset_s=3.0, tempo=1.0),
         "rules_disagree"),
        (Pair(1, 2, 0.0, 0, None, listened=True, probability=0.9999, offset_s=3.0, tempo=1.25), ""),
        (Pair(1, 2, 0.12, 40, 3.0), "near_threshold"),
    ],
)  # fmt: skip
def test_what_a_person_should_look_at(pair: Pair, flags: str) -> None:
    assert " ".join(sorted(role_of(pair, 1, MusicOriginals()).flags)) == flags
