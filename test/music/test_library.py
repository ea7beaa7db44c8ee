"""The music library, on SQLite and on PostgreSQL: what `add` reports is there."""

from __future__ import annotations

import resource
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from reelscope.errors import (
    CrawlFailed,
    LibraryDamaged,
    LibraryLocked,
    LibraryMismatch,
    OutputError,
    StoreError,
    UsageError,
)
from reelscope.music.adding import Added
from reelscope.music.index import MADE_WITH, MANIFEST, SEGMENTS, Index
from reelscope.music.library import CATALOGUE, INDEX, MusicLibrary
from reelscope.music.new_tracks import NewTrack
from reelscope.settings import MusicLibrarySettings
from reelscope.store.tracks import Wanted
from reelscope.testing.melody import melody, write_wav

RATE_HZ = 8000
SMALL = MusicLibrarySettings(tracks_per_segment=3, most_segments=2, workers=2, wait_s=0.0)


@pytest.fixture(scope="module")
def sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sounds")
    for seed in range(8):
        write_wav(folder / f"{seed}.wav", melody(seed))
    return folder


@pytest.fixture
def library(database_where: str, tmp_path: Path) -> Iterator[MusicLibrary]:
    where = database_where if "://" in database_where else tmp_path / "library"
    with MusicLibrary.open(where, folder=tmp_path / "library", settings=SMALL) as opened:
        yield opened


def reopened(library: MusicLibrary) -> MusicLibrary:
    name = library.catalogue.database.name
    where = name if "://" in name else library.index.folder.parent
    return MusicLibrary.open(where, folder=library.index.folder.parent, settings=SMALL)


def heard(library: MusicLibrary, samples: NDArray[np.float32]) -> list[str]:
    """Ids of the tracks in a clip, each once."""
    return list(dict.fromkeys(one.track.id for one in library.identify(samples, RATE_HZ)))


def is_whole(library: MusicLibrary, tracks: int) -> bool:
    with reopened(library) as other:
        verified = other.verify()
    return not verified.problems and verified.tracks == tracks


@pytest.mark.slow
def test_a_folder_is_added_and_every_track_is_found_where_it_is(
    library: MusicLibrary, sounds: Path
) -> None:
    told: list[Added] = []
    added = library.add([sounds], campaign="spring", told=told.append)
    assert list(added) == told
    assert [one.outcome for one in added] == ["added"] * 8
    assert is_whole(library, 8)
    assert len(library.index.snapshot().segments) <= 2
    for seed in range(8):
        clip = melody(seed)[RATE_HZ // 2 :]
        best = library.identify(clip, RATE_HZ, top=1)
        assert [Path(found.track.path or "").name for found in best] == [f"{seed}.wav"]
        assert best[0].offset_s - best[0].start_s == pytest.approx(0.5, abs=0.05)
        assert best[0].track.campaign == "spring"
        assert best[0].track.duration_s == pytest.approx(4.0, abs=0.03)
        assert best[0].line().startswith("0:0")
    assert library.identify(melody(99), RATE_HZ) == ()
    assert library.identify(np.zeros(5 * RATE_HZ, np.float32), RATE_HZ) == ()
    assert library.identify(np.zeros(0, np.float32), RATE_HZ) == ()


def test_what_is_reported_is_durable_at_that_moment(library: MusicLibrary, sounds: Path) -> None:
    def look(added: Added) -> None:
        assert added.track is not None
        with reopened(library) as other:
            assert other.get(added.track.id) == added.track
            assert added.track.number in other.index.snapshot().numbers()

    assert len(library.add([sounds], told=look)) == 8


def test_adding_again_changes_nothing(library: MusicLibrary, sounds: Path) -> None:
    first = library.add([sounds / "0.wav", sounds / "1.wav"])
    before = library.index.snapshot().generation
    again = library.add([sounds / "0.wav", sounds / "1.wav"])
    assert [one.outcome for one in again] == ["unchanged"] * 2
    assert {one.track for one in again} == {one.track for one in first}
    assert library.index.snapshot().generation == before


def test_the_same_content_under_two_ids_is_kept_and_said(
    library: MusicLibrary, sounds: Path
) -> None:
    path = sounds / "0.wav"
    added = library.add([NewTrack(path, id="a"), NewTrack(path, id="b"), NewTrack(path, id="a")])
    assert sorted((one.outcome, one.track.id if one.track else None) for one in added) == [
        ("added", "a"),
        ("added", "b"),
        ("unchanged", "a"),
    ]
    assert {one.same_as for one in added} == {("a",), ("b",)}
    assert library.count() == 2
    assert heard(library, melody(0)) in (["a"], ["b"], ["a", "b"], ["b", "a"])
    assert is_whole(library, 2)


def test_an_id_that_has_another_sound_is_kept_unless_it_is_to_be_replaced(
    library: MusicLibrary, sounds: Path
) -> None:
    library.add([NewTrack(sounds / "0.wav", id="a", title="old")])
    (refused,) = library.add([NewTrack(sounds / "1.wav", id="a")])
    assert (refused.outcome, refused.track) == ("failed", None)
    assert refused.error == "the id a is that of another sound already"
    (taken,) = library.add([NewTrack(sounds / "1.wav", id="a", title="new")], replaces=True)
    assert taken.outcome == "replaced"
    assert heard(library, melody(0)) == []
    assert heard(library, melody(1)) == ["a"]
    assert taken.track == library.get("a")
    assert library.verify().leftover == 1
    assert library.compact() == 1
    assert library.verify().leftover == 0
    assert is_whole(library, 1)


@pytest.mark.parametrize("given", ["../a/b", "it's", 'say "x"', "a;b--", "%s {0} 🎵", "C:\\x"])
def test_strange_ids_do_no_harm(library: MusicLibrary, sounds: Path, given: str) -> None:
    (added,) = library.add([NewTrack(sounds / "0.wav", id=given)])
    assert added.outcome == "added"
    assert heard(library, melody(0)) == [given]
    assert library.update(given, title="x").title == "x"
    assert library.remove([given]) == [given]


@pytest.mark.parametrize("given", ["", "a\0b", "x" * 10_000, "a\nb", "\ud800"])
def test_what_is_no_id_is_refused_and_the_others_are_added(
    library: MusicLibrary, sounds: Path, given: str
) -> None:
    added = library.add([NewTrack(sounds / "0.wav", id=given), sounds / "1.wav"])
    assert sorted(one.outcome for one in added) == ["added", "failed"]
    assert library.count() == 1


def test_bad_files_fail_by_themselves(library: MusicLibrary, sounds: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.wav").touch()
    (tmp_path / "noise.mp3").write_bytes(np.random.default_rng(0).bytes(5000))
    (tmp_path / "folder.wav").mkdir()
    write_wav(tmp_path / "silence.wav", np.zeros(RATE_HZ, np.float32))
    bad = [
        tmp_path / name
        for name in ("empty.wav", "noise.mp3", "folder.wav", "silence.wav", "absent.wav", "a\0b")
    ]
    added = library.add([*bad, sounds / "0.wav"])
    failed = {Path(one.source).name: one.error or "" for one in added if one.outcome == "failed"}
    assert set(failed) == {path.name for path in bad}
    assert "empty" in failed["empty.wav"]
    assert "silence" in failed["silence.wav"]
    assert "no sound and no video in this folder" in failed["folder.wav"]
    assert "No such file" in failed["absent.wav"]
    assert library.count(Wanted(status="ready")) == 1
    assert is_whole(library, 1)
    listed = library.list_tracks(Wanted(status="failed"))
    assert all(track.error and track.number is None for track in listed)
    assert any("silence" in (track.error or "") for track in listed)


def test_a_failed_track_can_be_added_when_it_is_mended(
    library: MusicLibrary, sounds: Path, tmp_path: Path
) -> None:
    path = tmp_path / "x.wav"
    path.touch()
    assert library.add([NewTrack(path, id="x")])[0].outcome == "failed"
    failed = library.get("x")
    assert failed is not None
    assert failed.status == "failed"
    shutil.copy(sounds / "0.wav", path)
    assert library.add([NewTrack(path, id="x")])[0].outcome == "added"
    mended = library.get("x")
    assert mended is not None
    assert (mended.status, mended.error, library.count()) == ("ready", None, 1)
    path.write_bytes(b"")
    assert library.add([NewTrack(path, id="x")])[0].outcome == "failed"
    assert library.get("x") == mended


def test_tags_are_used_where_nothing_is_given(library: MusicLibrary, tmp_path: Path) -> None:
    path = tmp_path / "song.mp3"
    with av.open(str(path), "w") as container:
        container.metadata.update({"title": "Blå\nhimmel", "artist": "Åsa", "genre": "Pop"})
        stream = container.add_stream("mp3", rate=16000, layout="mono")
        samples = (np.repeat(melody(3), 2) * 32767).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
        frame.sample_rate = 16000
        container.mux([*stream.encode(frame), *stream.encode(None)])
    (added,) = library.add([NewTrack(path, artist="Given")])
    assert added.track is not None
    assert (added.track.title, added.track.artist, added.track.genre, added.track.album) == (
        "Blå himmel",
        "Given",
        "Pop",
        None,
    )


def test_removed_and_updated_tracks_count_at_once_for_others(
    library: MusicLibrary, sounds: Path
) -> None:
    library.add([NewTrack(sounds / "0.wav", id="a"), NewTrack(sounds / "1.wav", id="b")])
    with reopened(library) as other:
        assert heard(other, melody(0)) == ["a"]
        library.update("a", title="T", artist="A")
        assert other.identify(melody(0), RATE_HZ)[0].track.name == "A - T"
        assert library.remove(["a", "nobody"]) == ["a"]
        assert heard(other, melody(0)) == []
        library.add([NewTrack(sounds / "2.wav", id="c")])
        assert heard(other, melody(2)) == ["c"]
    with pytest.raises(UsageError, match="no track 'nobody'"):
        library.update("nobody", title="x")
    assert is_whole(library, 2)


def test_one_adds_while_others_wait_their_turn(library: MusicLibrary, sounds: Path) -> None:
    with library.index.writer(), pytest.raises(LibraryLocked), reopened(library) as other:
        other.add([sounds / "0.wav"])
    with library.index.writer(), pytest.raises(LibraryLocked):
        library.compact()
    assert library.count() == 0


def test_threads_ask_while_one_adds(library: MusicLibrary, sounds: Path) -> None:
    library.add([NewTrack(sounds / "0.wav", id="0")])
    stop, failures = threading.Event(), []

    def ask() -> None:
        while not stop.is_set():
            if (found := heard(library, melody(0))) != ["0"]:
                failures.append(found)

    with ThreadPoolExecutor(2) as pool:
        going = [pool.submit(ask) for _ in range(2)]
        library.add([sounds / f"{seed}.wav" for seed in range(1, 8)])
        library.compact()
        stop.set()
        for future in going:
            future.result()
    assert not failures


class Shop:
    """Fetches files from a folder, or fails."""

    def __init__(self, folder: Path, *faults: str) -> None:
        self.folder = folder
        self.faults = list(faults)
        self.used: list[Path] = []

    def fetch(self, url: str, folder: Path) -> Path:
        self.used.append(folder)
        (folder / "half").write_bytes(b"x")
        if self.faults:
            raise CrawlFailed(self.faults.pop(0), f"{url} did not come", remedy="wait")  # type: ignore[arg-type]
        return Path(shutil.copy(self.folder / url.rpartition("/")[2], folder / "file.wav"))


def test_addresses_are_fetched_tried_again_and_nothing_is_left(
    library: MusicLibrary, sounds: Path
) -> None:
    shop = Shop(sounds, "network", "rate_limited")
    buying = MusicLibrary(library.catalogue, library.index, settings=SMALL, fetcher=shop)
    (added,) = buying.add(["https://example.org/0.wav"])
    assert added.outcome == "added"
    assert added.track is not None
    assert (added.track.source_url, added.track.path) == ("https://example.org/0.wav", None)
    assert len(shop.used) == 3
    assert buying.add(["https://example.org/0.wav"])[0].outcome == "unchanged"
    assert len(shop.used) == 3
    shop.faults = ["gone"]
    (gone,) = buying.add(["https://example.org/1.wav"])
    assert (gone.outcome, gone.error) == ("failed", "https://example.org/1.wav did not come")
    shop.faults = ["network"] * 3
    assert buying.add(["https://example.org/1.wav"])[0].outcome == "failed"
    assert not any(folder.exists() for folder in shop.used)
    assert library.add(["https://example.org/1.wav"])[0].error == "nothing fetches addresses here"
    assert is_whole(library, 1)


def test_another_index_or_none_is_named(
    library: MusicLibrary, sounds: Path, tmp_path: Path
) -> None:
    library.add([sounds / "0.wav"])
    with MusicLibrary.open(tmp_path / "other", settings=SMALL) as other:
        other.add([sounds / "1.wav"])
    kept = tmp_path / "kept"
    library.index.folder.rename(kept)
    with reopened(library) as other:
        with pytest.raises(LibraryDamaged, match="is not there"):
            other.identify(melody(0), RATE_HZ)
        with pytest.raises(LibraryDamaged):
            other.add([sounds / "2.wav"])
        assert other.verify().problems
        assert not library.index.folder.exists()
    shutil.copytree(tmp_path / "other" / INDEX, library.index.folder)
    with reopened(library) as other:
        with pytest.raises(LibraryMismatch, match="belongs to another catalogue"):
            other.identify(melody(0), RATE_HZ)
        with pytest.raises(LibraryMismatch):
            other.add([sounds / "2.wav"])
    shutil.rmtree(library.index.folder)
    kept.rename(library.index.folder)
    assert is_whole(library, 1)


def test_a_damaged_index_is_named_and_its_tracks_can_be_added_anew(
    library: MusicLibrary, sounds: Path
) -> None:
    library.add([sounds / "0.wav"])
    (segment,) = library.index.folder.glob(SEGMENTS)
    raw = segment.read_bytes()
    segment.write_bytes(raw[:-1])
    with reopened(library) as other:
        with pytest.raises(LibraryDamaged, match="cut off"):
            other.identify(melody(0), RATE_HZ)
        assert any("cut off" in problem for problem in other.verify().problems)
        with pytest.raises(StoreError):
            other.add([sounds / "1.wav"])
    segment.write_bytes(raw)
    assert is_whole(library, 1)


def test_an_index_made_with_other_parameters_is_named_and_kept(
    library: MusicLibrary, sounds: Path
) -> None:
    library.add([sounds / "0.wav"])
    other = MusicLibrary(
        library.catalogue, Index(library.index.folder, made_with={**MADE_WITH, "rate_hz": 11025})
    )
    for use in (
        lambda: other.identify(melody(0), RATE_HZ),
        lambda: other.add([sounds / "1.wav"]),
        other.compact,
    ):
        with pytest.raises(LibraryMismatch, match=r"rate_hz 8000, here it is 11025"):
            use()
    assert "rate_hz" in other.verify().problems[0]
    assert is_whole(library, 1)


def test_a_library_moves(library: MusicLibrary, sounds: Path, tmp_path: Path) -> None:
    library.add([sounds / "0.wav", NewTrack(sounds / "1.wav", id="1")])
    before = library.list_tracks()
    with library.move(tmp_path / "new") as moved:
        assert moved.list_tracks() == before
        assert heard(moved, melody(1)) == ["1"]
        moved.add([sounds / "2.wav"])
        assert is_whole(moved, 3)
        with pytest.raises(UsageError, match="index is there already"):
            moved.move(tmp_path / "new")
        assert library.count() == 0
        assert heard(library, melody(1)) == []
        library.add([sounds / "3.wav"])
        with pytest.raises(UsageError, match="a music library already"):
            library.move(tmp_path / "new")
        assert is_whole(library, 1)
        assert is_whole(moved, 3)
        library.remove([track.id for track in library.list_tracks()])
        library.compact()
        name = library.catalogue.database.name
        where = name if "://" in name else library.index.folder.parent
        with moved.move(where, folder=library.index.folder.parent) as back:
            assert is_whole(back, 3)


@pytest.mark.slow
def test_a_library_moves_into_postgresql(postgres_url: str, sounds: Path, tmp_path: Path) -> None:
    with MusicLibrary.open(tmp_path / "here", settings=SMALL) as library:
        library.add([sounds / "0.wav"])
        with library.move(postgres_url, folder=tmp_path / "there") as moved:
            assert is_whole(moved, 1)


def test_damage_is_not_moved(library: MusicLibrary, sounds: Path, tmp_path: Path) -> None:
    library.add([sounds / "0.wav"])
    (segment,) = library.index.folder.glob(SEGMENTS)
    raw = bytearray(segment.read_bytes())
    raw[-100] ^= 1
    segment.write_bytes(raw)
    with reopened(library) as other, pytest.raises(LibraryDamaged):
        other.move(tmp_path / "new")
    assert library.count() == 1
    with MusicLibrary.open(tmp_path / "new", settings=SMALL) as new:
        assert new.verify().problems == ()
        assert new.count() == 0


def test_no_library_is_begun_where_none_is_wanted(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no music library here"):
        MusicLibrary.open(tmp_path / "x", create=False)
    assert not list(tmp_path.iterdir())


def test_a_catalogue_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / CATALOGUE).write_bytes(b"not a database " * 100)
    with pytest.raises(StoreError, match=CATALOGUE):
        MusicLibrary.open(tmp_path)


@pytest.mark.slow
def test_an_index_that_cannot_grow_leaves_the_library_as_it_was(
    sounds: Path, tmp_path: Path
) -> None:
    """No file may become larger than this: the segment is, the catalogue is not."""
    long = [write_wav(tmp_path / f"{n}.wav", melody(50 + n, 400.0)) for n in range(3)]
    folder = tmp_path / "library"
    with MusicLibrary.open(folder, settings=SMALL) as library:
        library.add([sounds / "0.wav"])
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (250_000, hard))
        try:
            with pytest.raises(OutputError, match=r"segment-\d+-\w+\.idx could not be written"):
                library.add(long)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert is_whole(library, 1)
        assert len(list((folder / INDEX).iterdir())) == 3
        assert library.add(long)[0].outcome == "added"
        assert is_whole(library, 4)


def test_a_full_disk_leaves_the_library_as_it_was(sounds: Path, tmp_path: Path) -> None:
    """SQLite is told that it may have no more pages: the catalogue's disk is full."""
    with MusicLibrary.open(tmp_path / "library", settings=SMALL) as library:
        library.add([sounds / "0.wav"])
        pages = sqlite3.connect(tmp_path / "library" / CATALOGUE)
        most = pages.execute("PRAGMA page_count").fetchone()[0]
        pages.close()

        def no_more_pages(connection: sqlite3.Connection, *_: object) -> None:
            connection.execute(f"PRAGMA max_page_count={most}").close()

        from sqlalchemy import event

        library.close()
        event.listen(library.catalogue.database.engine, "connect", no_more_pages)
        long = "x" * 500
        news = [
            NewTrack(sounds / f"{n}.wav", id=f"{n}" * 190, title=long, artist=long, album=long)
            for n in range(1, 8)
        ]
        told: list[Added] = []
        with pytest.raises(OutputError, match="could not be written"):
            library.add(news, told=told.append)
        assert is_whole(library, 1 + len(told))
        assert library.verify().leftover == 0
    assert (tmp_path / "library" / INDEX / MANIFEST).is_file()
