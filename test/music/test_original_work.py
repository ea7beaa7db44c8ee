"""Workers with real files: what becomes of every kind of sound, and of workers that die."""

from __future__ import annotations

import random
import subprocess
import sys
import time
import wave
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
import soxr
from numpy.typing import NDArray
from sqlalchemy import select, update

from reelscope.errors import LibraryMismatch
from reelscope.music.fingerprint import VERSION
from reelscope.music.original_ears import CalibratedEars
from reelscope.music.original_work import Worker
from reelscope.music.sound import read_sound
from reelscope.settings import MusicOriginals
from reelscope.store.database import Database
from reelscope.store.originals import (
    FINGERPRINT_HASHES,
    FINGERPRINTS,
    NewVideo,
    OriginalsStore,
    Video,
)
from reelscope.testing.media import write_sound
from reelscope.testing.sounds import noise

RATE_HZ = 16_000
DAY_0 = datetime(2026, 5, 1, tzinfo=UTC)
Sound = NDArray[np.float32]

pytestmark = pytest.mark.slow


def song(seed: int, seconds: float) -> Sound:
    """Plucked notes of random pitch and time over a bass: music that does not repeat."""
    rng = np.random.default_rng(seed)
    out = np.zeros(round(seconds * RATE_HZ) + RATE_HZ)
    for at_s in np.arange(0, seconds, 0.11):
        time_s = np.arange(round(rng.uniform(0.2, 0.9) * RATE_HZ)) / RATE_HZ
        hz = 110 * 2 ** (rng.integers(0, 40) / 12)
        partials = sum(np.sin(2 * np.pi * k * hz * time_s) / k for k in range(1, 6))
        start = round((at_s + rng.uniform(0, 0.08)) * RATE_HZ)
        room = out[start : start + len(time_s)]
        room += (rng.uniform(0.3, 1) * partials * np.exp(-5 * time_s))[: len(room)]
    out = out[: round(seconds * RATE_HZ)]
    return np.asarray(0.3 * out / np.abs(out).max(), np.float32)


def part(sound: Sound, start_s: float, end_s: float) -> Sound:
    return sound[round(start_s * RATE_HZ) : round(end_s * RATE_HZ)]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One of each kind."""
    folder = tmp_path_factory.mktemp("videos")
    first, second = song(1, 40), song(2, 25)
    sounds = {
        "first": first,
        "second": second,
        "clip": part(first, 10.37, 20.37),
        "fast": soxr.resample(part(first, 5, 25), RATE_HZ * 1.25, RATE_HZ),
        "noisy": part(second, 3.21, 15) + noise(11.79, rate_hz=RATE_HZ, amplitude=0.02),
        "silence": np.zeros(RATE_HZ * 5, np.float32),
        "tiny": part(first, 2, 2.2),
    }
    for name, sound in sounds.items():
        write_sound(folder / f"{name}.mp4", np.asarray(sound, np.float32), rate_hz=RATE_HZ)
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "corrupt.mp4").write_bytes((folder / "first.mp4").read_bytes()[:9000])
    (folder / "text.mp4").write_text("no video")
    (folder / "'; DROP TABLE videos; --.mp4").write_bytes((folder / "clip.mp4").read_bytes())
    return folder


@pytest.fixture
def store(database_where: str) -> Iterator[OriginalsStore]:
    with Database.open(database_where) as database:
        yield OriginalsStore(database)


def add(store: OriginalsStore, folder: Path, *names: str, day: int | None = None) -> None:
    at = None if day is None else DAY_0 + timedelta(days=day)
    store.add([NewVideo(name, str(folder / f"{name}.mp4"), at) for name in names])


def work(store: OriginalsStore, settings: MusicOriginals | None = None) -> None:
    chosen = settings or MusicOriginals()
    Worker(store, chosen, ears=CalibratedEars(store, chosen)).work(once=True)


def found(store: OriginalsStore, name: str) -> Video:
    video = store.find(name)
    assert video
    return video


def original_of(store: OriginalsStore, name: str) -> str | None:
    names = {video.id: video.video_id for video in store.all()}
    return names.get(found(store, name).original_id or 0)


def test_what_becomes_of_every_kind(store: OriginalsStore, files: Path) -> None:
    add(store, files, *sorted(path.stem for path in files.glob("*.mp4")))
    work(store)
    counts = store.counts()
    assert counts | {"flagged": 0} == {
        "pending": 0, "processing": 0, "original": 2, "match": 4, "too_short": 2, "failed": 3,
        "flagged": 0,
    }  # fmt: skip
    for name, original, offset_s, tempo in (
        ("clip", "first", 10.37, 1.0),
        ("'; DROP TABLE videos; --", "first", 10.37, 1.0),
        ("fast", "first", 5.0, 1.25),
        ("noisy", "second", 3.21, 1.0),
    ):
        video = found(store, name)
        assert (video.status, original_of(store, name)) == ("match", original)
        assert video.offset_s == pytest.approx(offset_s, abs=0.1)
        assert video.tempo == pytest.approx(tempo, abs=0.01)
        assert video.probability and video.probability > 0.99
    clip = found(store, "clip")
    assert clip.share and clip.share > 0.1  # the rule of hashes agrees
    assert clip.flag is None
    assert found(store, "fast").flag is None
    assert "0 hashes" in (found(store, "silence").reason or "")
    assert "s of sound" in (found(store, "tiny").reason or "")
    assert "empty" in (found(store, "empty").reason or "")
    for name in ("corrupt", "text"):
        assert found(store, name).reason


@pytest.mark.parametrize("decide_by", ["calibrated", "hashes"])
def test_the_older_newcomer_takes_over(store: OriginalsStore, files: Path, decide_by: str) -> None:
    settings = MusicOriginals.model_validate({"decide_by": decide_by})
    add(store, files, "clip", day=5)
    work(store, settings)
    assert found(store, "clip").status == "original"
    add(store, files, "'; DROP TABLE videos; --", day=6)
    work(store, settings)
    assert original_of(store, "'; DROP TABLE videos; --") == "clip"
    add(store, files, "first", day=0)
    work(store, settings)
    for name in ("clip", "'; DROP TABLE videos; --"):
        assert original_of(store, name) == "first"
        assert found(store, name).offset_s == pytest.approx(10.37, abs=0.1)
        assert found(store, name).probability is not None  # both verdicts are kept
        assert found(store, name).share


def test_a_sped_up_original_is_found_by_the_older_one(store: OriginalsStore, files: Path) -> None:
    add(store, files, "fast", day=5)
    work(store)
    add(store, files, "first", day=0)
    work(store)
    fast = found(store, "fast")
    assert original_of(store, "fast") == "first"
    assert fast.offset_s == pytest.approx(5.0, abs=0.1)
    assert fast.tempo == pytest.approx(1.25, abs=0.01)


def test_without_any_file_the_rule_of_hashes_decides(
    store: OriginalsStore, files: Path, tmp_path: Path
) -> None:
    (tmp_path / "clip.mp4").write_bytes((files / "clip.mp4").read_bytes())
    add(store, tmp_path, "clip", day=5)
    work(store)
    (tmp_path / "clip.mp4").unlink()
    add(store, files, "first", day=0)  # heard the other way round: the newcomer's file is there
    work(store)
    clip = found(store, "clip")
    assert original_of(store, "clip") == "first"
    assert clip.offset_s == pytest.approx(10.37, abs=0.1)


def test_a_file_that_is_not_there_is_tried_again(
    store: OriginalsStore, files: Path, tmp_path: Path
) -> None:
    add(store, tmp_path, "gone", "late")
    claim = store.claim("x", lease_s=60, most_attempts=3)
    assert claim
    store.fail(claim, "not yet", again=True)
    (tmp_path / "late.mp4").write_bytes((files / "second.mp4").read_bytes())
    work(store)
    gone, late = found(store, "gone"), found(store, "late")
    assert (gone.status, gone.attempts, gone.reason) == ("failed", 3, "the file is not there")
    assert (late.status, late.reason) == ("original", None)


def test_fingerprints_of_another_version_are_named(store: OriginalsStore, files: Path) -> None:
    add(store, files, "second")
    work(store)
    with store.database.begin() as connection:
        connection.execute(update(FINGERPRINTS).values(version=VERSION + 7))
    with pytest.raises(LibraryMismatch, match=f"version {VERSION + 7}.*makes version {VERSION}"):
        work(store)


def test_real_music(store: OriginalsStore, corpus: Path, tmp_path: Path) -> None:
    tracks = sorted((corpus / "music").glob("*.ogg"))[:6]
    for at, track in enumerate(tracks):
        sound = read_sound(track, RATE_HZ, most_s=35)
        write_sound(tmp_path / f"song{at}.mp4", sound, rate_hz=RATE_HZ)
        start = round(7.77 * RATE_HZ)
        write_sound(tmp_path / f"use{at}.mp4", sound[start : start + 10 * RATE_HZ], rate_hz=RATE_HZ)
    names = [f"{kind}{at}" for kind in ("use", "song") for at in range(len(tracks))]
    add(store, tmp_path, *names)
    work(store)
    for at in range(len(tracks)):
        use = found(store, f"use{at}")
        assert original_of(store, f"use{at}") == f"song{at}"
        assert use.offset_s == pytest.approx(7.77, abs=0.1)


# ------------------------------------------------------------------------- workers that die

_SCRIPT = """
import sys
from reelscope.music.original_work import Worker
from reelscope.settings import MusicOriginals
from reelscope.store.database import Database
from reelscope.store.originals import OriginalsStore

where, lease_s = sys.argv[1:]
rules = MusicOriginals(lease_s=float(lease_s), attempts=100, decide_by="hashes")
with Database.open(where) as database:
    Worker(OriginalsStore(database), rules).work(once=False)
"""


def worker(where: str, lease_s: float) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", _SCRIPT, where, str(lease_s)])


def wait_for(done: object, *, seconds: float = 60) -> None:
    assert callable(done)
    until = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < until, "it takes too long"
        time.sleep(0.01)


def long_noise(path: Path, minutes: int) -> None:
    """A file that takes a worker seconds: each minute about 0.2 s."""
    samples = np.random.default_rng(1).integers(-3000, 3000, 8000 * 60, np.int16).tobytes()
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        for _ in range(minutes):
            file.writeframes(samples)


def test_a_killed_workers_video_comes_back_after_the_lease(
    database_where: str, store: OriginalsStore, tmp_path: Path
) -> None:
    long_noise(tmp_path / "long.mp4", minutes=20)
    add(store, tmp_path, "long")
    process = worker(database_where, lease_s=2)
    try:
        wait_for(lambda: found(store, "long").status == "processing")
        time.sleep(0.3)
    finally:
        process.kill()
        process.wait()
    assert found(store, "long").status == "processing"  # in the middle: it was not done
    with store.database.reading() as connection:
        assert not connection.execute(select(FINGERPRINTS.c.video)).all()
        assert not connection.execute(select(FINGERPRINT_HASHES.c.video).limit(1)).all()
    assert store.claim("early", lease_s=60, most_attempts=9) is None
    time.sleep(2.2)
    long_noise(tmp_path / "long.mp4", minutes=1)  # what matters has been seen
    rules = MusicOriginals(decide_by="hashes")
    assert Worker(store, rules).work(once=True) == 1
    long = found(store, "long")
    assert (long.status, long.attempts) == ("original", 2)


@pytest.mark.timeout(400)
def test_killed_at_random_moments_all_is_done_once(
    database_where: str, store: OriginalsStore, tmp_path: Path
) -> None:
    whole = song(5, 40)
    rng = random.Random(1)
    names = []
    for at in range(16):
        start_s = 0.0 if at == 0 else rng.uniform(0, 25)
        length_s = 40 if at == 0 else rng.uniform(6, 15)
        sound = part(whole, start_s, start_s + length_s) if at % 4 else song(90 + at, 15)
        names.append(f"v{at}")
        write_sound(tmp_path / f"v{at}.mp4", sound, rate_hz=RATE_HZ)
    add(store, tmp_path, *names)
    team = [worker(database_where, lease_s=1.5) for _ in range(3)]
    try:
        wait_for(lambda: store.counts()["processing"] > 0)
        for _ in range(8):
            time.sleep(rng.uniform(0.05, 0.8))
            at = rng.randrange(3)
            team[at].kill()
            team[at].wait()
            team[at] = worker(database_where, lease_s=1.5)
        wait_for(lambda: store.counts()["pending"] + store.counts()["processing"] == 0, seconds=200)
    finally:
        for process in team:
            process.kill()
            process.wait()
    state = {v.video_id: (v.status, v.offset_s, v.share) for v in store.all()}
    with store.database.reading() as connection:
        have = connection.execute(select(FINGERPRINTS.c.video, FINGERPRINTS.c.hashes)).all()
        rows = [row.video for row in connection.execute(select(FINGERPRINT_HASHES.c.video))]
    assert len(have) == len(names)
    assert all(rows.count(row.video) == row.hashes for row in have)
    with Database.open(tmp_path / "undisturbed.sqlite") as database:
        calm = OriginalsStore(database)
        add(calm, tmp_path, *names)
        Worker(calm, MusicOriginals(decide_by="hashes")).work(once=True)
        assert {v.video_id: (v.status, v.offset_s, v.share) for v in calm.all()} == state
