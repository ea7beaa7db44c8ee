"""The index: a folder that is never half changed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reelscope.errors import LibraryDamaged, LibraryLocked, LibraryMismatch, OutputError
from reelscope.music.fingerprint import Constellation
from reelscope.music.index import LOCK, MADE_WITH, MANIFEST, SEGMENTS, Index
from reelscope.music.segment import Segment


def peaks_of(number: int, length: int = 150) -> Constellation:
    """Peaks that only this number has."""
    random = np.random.default_rng(number)
    frames = np.sort(random.integers(0, length, 2 * length)).astype(np.int32)
    bins = random.integers(10, 480, len(frames)).astype(np.int16)
    order = np.lexsort((bins, frames))
    return Constellation(frames[order], bins[order], length)


def segment_of(numbers: Iterable[int]) -> Segment:
    return Segment.build([(number, peaks_of(number)) for number in numbers])


def holds(index: Index, numbers: Iterable[int]) -> bool:
    """Whether the index has exactly these tracks, each with its own peaks."""
    snapshot = index.snapshot()
    snapshot.check()
    if snapshot.numbers() != set(numbers):
        return False
    for segment in snapshot.segments:
        for number in segment.numbers.tolist():
            found, wanted = segment.constellation(number), peaks_of(number)
            if not np.array_equal(found.frames, wanted.frames):
                return False
            if not np.array_equal(found.bins, wanted.bins) or found.length != wanted.length:
                return False
    return True


def test_no_index_is_an_empty_one_and_nothing_is_made(tmp_path: Path) -> None:
    snapshot = Index(tmp_path / "index").snapshot()
    assert (snapshot.index_id, snapshot.generation, snapshot.segments) == (None, 0, ())
    assert not list(tmp_path.iterdir())


def test_what_is_appended_counts_at_once_and_for_others(tmp_path: Path) -> None:
    index, other = Index(tmp_path), Index(tmp_path)
    with index.writer() as writer:
        writer.append(segment_of([1, 2]))
        assert holds(other, [1, 2])
        writer.append(segment_of([3]))
        assert holds(index, [1, 2, 3])
    assert holds(other, [1, 2, 3])
    assert other.snapshot() is other.snapshot()
    assert other.snapshot().index_id == index.snapshot().index_id


def test_small_segments_are_merged_and_removed_tracks_dropped(tmp_path: Path) -> None:
    index = Index(tmp_path)
    with index.writer() as writer:
        for number in range(9):
            writer.append(segment_of([number]))
        assert writer.settle(4, without={3}) <= 4
        left = [n for n in range(9) if n != 3 or n in index.snapshot().numbers()]
        assert holds(index, left)
        assert writer.compact({3, 7}) == 1
    assert holds(index, [n for n in range(9) if n not in (3, 7)])
    assert len(list(tmp_path.glob(SEGMENTS))) == 1
    with index.writer() as writer:
        assert writer.compact(frozenset(range(9))) == 0
    assert holds(index, [])


def test_merging_writes_every_track_a_few_times_only(tmp_path: Path) -> None:
    index = Index(tmp_path)
    written = 0
    with index.writer() as writer:
        for number in range(64):
            before = {entry.name for entry in index.manifest().entries}  # type: ignore[union-attr]
            writer.append(segment_of([number]))
            writer.settle(8)
            after = index.manifest()
            assert after is not None
            written += sum(e.tracks for e in after.entries if e.name not in before)
    assert holds(index, range(64))
    assert written <= 64 * 6


def test_a_segment_can_be_withdrawn(tmp_path: Path) -> None:
    index = Index(tmp_path)
    with index.writer() as writer:
        writer.append(segment_of([1]))
        name = writer.append(segment_of([2]))
        writer.withdraw(name)
    assert holds(index, [1])
    assert len(list(tmp_path.glob(SEGMENTS))) == 1


def test_an_old_snapshot_stays_readable(tmp_path: Path) -> None:
    index = Index(tmp_path)
    with index.writer() as writer:
        writer.append(segment_of([1]))
        writer.append(segment_of([2]))
        old = index.snapshot()
        writer.compact({1})
    assert old.numbers() == {1, 2}
    old.check()
    assert holds(index, [2])


def test_one_writer_at_a_time_and_who_it_is(tmp_path: Path) -> None:
    index = Index(tmp_path)
    with (
        index.writer(),
        pytest.raises(LibraryLocked, match=f"process {os.getpid()} is writing"),
        Index(tmp_path).writer(),
    ):
        pass
    with index.writer():
        pass


def test_what_a_killed_writer_left_is_removed_by_the_next(tmp_path: Path) -> None:
    index = Index(tmp_path)
    with index.writer() as writer:
        writer.append(segment_of([1]))
    (tmp_path / "segment-00000099-feedbeef.idx").write_bytes(b"nobody names this")
    (tmp_path / ".0123456789abcdef.reelscope-tmp").write_bytes(b"half")
    assert holds(index, [1])
    with index.writer():
        pass
    names = sorted(path.name.partition("-")[0] for path in tmp_path.iterdir())
    assert names == [MANIFEST, "segment", LOCK]
    assert holds(index, [1])


def test_other_fingerprints_and_formats_are_refused(tmp_path: Path) -> None:
    with Index(tmp_path).writer() as writer:
        writer.append(segment_of([1]))
    other = Index(tmp_path, made_with={**MADE_WITH, "version": 0})
    with pytest.raises(LibraryMismatch, match=r"version 1, here it is 0"):
        other.snapshot()
    with pytest.raises(LibraryMismatch), other.writer():
        pass
    assert holds(Index(tmp_path), [1])


def test_files_that_are_gone_or_swapped_are_named(tmp_path: Path) -> None:
    with Index(tmp_path).writer() as writer:
        first = writer.append(segment_of([1]))
        second = writer.append(segment_of([2]))
    (tmp_path / first).rename(tmp_path / "kept")
    with pytest.raises(LibraryDamaged, match=f"{first} is gone"):
        Index(tmp_path).snapshot()
    (tmp_path / first).write_bytes((tmp_path / second).read_bytes())
    with pytest.raises(LibraryDamaged, match=f"{first} is not the file that"):
        Index(tmp_path).snapshot()
    (tmp_path / "kept").replace(tmp_path / first)
    assert holds(Index(tmp_path), [1, 2])
    (tmp_path / MANIFEST).unlink()
    with pytest.raises(LibraryDamaged, match=rf"{MANIFEST} is gone"):
        Index(tmp_path).snapshot()
    with pytest.raises(LibraryDamaged), Index(tmp_path).writer():
        pass
    assert (tmp_path / first).exists()


@given(st.data())
@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_changed_or_missing_byte_of_the_manifest_is_an_error_or_no_matter(
    tmp_path: Path, data: st.DataObject
) -> None:
    path = tmp_path / MANIFEST
    if not path.exists():
        with Index(tmp_path).writer() as writer:
            writer.append(segment_of([1]))
        (tmp_path / "good").write_bytes(path.read_bytes())
    raw = bytearray((tmp_path / "good").read_bytes())
    at = data.draw(st.integers(0, len(raw) - 1))
    if data.draw(st.booleans()):
        raw[at] ^= data.draw(st.integers(1, 255))
    else:
        del raw[at:]
    path.write_bytes(raw)
    try:
        assert holds(Index(tmp_path), [1])
    except (LibraryDamaged, LibraryMismatch) as error:
        assert MANIFEST in str(error)


@given(st.data())
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_changed_byte_of_a_segment_is_an_error_and_is_not_merged(
    tmp_path: Path, data: st.DataObject
) -> None:
    good = tmp_path / "good"
    if not good.exists():
        with Index(tmp_path).writer() as writer:
            good.write_text(writer.append(segment_of([1, 2])))
            (tmp_path / "copy").write_bytes((tmp_path / good.read_text()).read_bytes())
    path = tmp_path / good.read_text()
    raw = bytearray((tmp_path / "copy").read_bytes())
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(raw)
    with pytest.raises((LibraryDamaged, LibraryMismatch), match=path.name):
        Index(tmp_path).snapshot().check()
    with pytest.raises((LibraryDamaged, LibraryMismatch)), Index(tmp_path).writer() as writer:
        writer.compact({2})
    assert path.read_bytes() == raw


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="a file is where"), Index(tmp_path / "file").writer():
        pass


READER = """
import sys
from pathlib import Path
from reelscope.music.index import Index
index, seen, most = Index(Path(sys.argv[1])), 0, int(sys.argv[2])
print("ready", flush=True)
while seen < most:
    snapshot = index.snapshot()
    snapshot.check()
    numbers = snapshot.numbers()
    assert numbers == set(range(max(numbers, default=-1) + 1)), sorted(numbers)
    assert len(numbers) >= seen, (len(numbers), seen)
    seen = len(numbers)
print("done", flush=True)
"""


@pytest.mark.slow
def test_processes_read_while_one_writes_and_merges(tmp_path: Path) -> None:
    most = 40
    command = [sys.executable, "-c", READER, str(tmp_path), str(most)]
    readers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    try:
        for reader in readers:
            assert reader.stdout is not None
            assert reader.stdout.readline() == "ready\n"
        with Index(tmp_path).writer() as writer:
            for number in range(most):
                writer.append(segment_of([number]))
                writer.settle(3)
        for reader in readers:
            said, _ = reader.communicate(timeout=60)
            assert (said, reader.returncode) == ("done\n", 0)
    finally:
        for reader in readers:
            reader.kill()
            reader.communicate()


def test_threads_read_while_one_writes(tmp_path: Path) -> None:
    index, failures, stop = Index(tmp_path), [], threading.Event()

    def read() -> None:
        while not stop.is_set():
            numbers = index.snapshot().numbers()
            if numbers != set(range(len(numbers))):
                failures.append(numbers)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    with index.writer() as writer:
        for number in range(30):
            writer.append(segment_of([number]))
            writer.settle(3)
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures


def test_the_manifest_can_be_read_by_people(tmp_path: Path) -> None:
    with Index(tmp_path).writer() as writer:
        writer.append(segment_of([1, 2]))
    content = json.loads((tmp_path / MANIFEST).read_text())
    assert content["made_with"] == dict(MADE_WITH)
    assert [entry["tracks"] for entry in content["segments"]] == [2]
