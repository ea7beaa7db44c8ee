"""The fingerprint index: a folder of segments that never change, and a manifest that names them.

The way of Lucene and of log-structured merge trees (O'Neil et al. 1996): what is added becomes
a new segment; small segments are merged into larger ones; the manifest, replaced as a whole,
says which count. So a reader never waits and never sees half of a change, and a writer that is
killed leaves a file that nobody names, which the next writer removes.

A segment that was merged away loses its name while readers may have it open, which keeps it
readable (POSIX unlink). A reader that has read the manifest but comes too late to open a
segment reads the manifest again.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import json
import os
import secrets
import threading
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from reelscope.atomic import not_written, remove_temporaries, write_atomic
from reelscope.errors import LibraryDamaged, LibraryLocked, LibraryMismatch
from reelscope.music import fingerprint
from reelscope.music import segment as segments
from reelscope.music.index_file import (
    ArrayFile,
    Parameters,
    open_arrays,
    require_parameters,
    sync_folder,
    write_arrays,
)
from reelscope.music.segment import Segment, merge

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
LOCK: Final = "writer.lock"
SEGMENTS: Final = "segment-*.idx"
MOST_SEGMENT_BYTES: Final = 4 << 30
"""No segment is merged to more: its places are 32 bit, and a merge has to fit the memory."""
_TRIES: Final = 100
"""For a reader who is overtaken by merges; each try means that somebody merged meanwhile."""

MADE_WITH: Final[Parameters] = {
    "version": fingerprint.VERSION,
    **fingerprint.PARAMETERS,
    "fan_out": segments.FAN_OUT,
    "bin_bits": segments.BIN_BITS,
    "step_bits": segments.STEP_BITS,
    "gap_bits": segments.GAP_BITS,
    "block_bits": segments.BLOCK_BITS,
}
"""All that decides what a fingerprint and a segment are; an index made otherwise is refused."""


@dataclass(frozen=True)
class Entry:
    """A segment as the manifest names it.

    Attributes:
        name: of the file.
        tracks: in it.
        size_bytes: of the file.
        digest: SHA-256 of the file's header, which holds the checksums of the rest.
    """

    name: str
    tracks: int
    size_bytes: int
    digest: str


@dataclass(frozen=True)
class Manifest:
    """What counts at one moment.

    Attributes:
        index_id: made with the index, for the catalogue to know it by.
        generation: one more with every change.
        entries: the segments.
    """

    index_id: str
    generation: int
    entries: tuple[Entry, ...]


@dataclass(frozen=True, eq=False)
class Opened:
    """A segment that is open."""

    entry: Entry
    file: ArrayFile
    segment: Segment


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The index at one moment; it stays readable whatever is written meanwhile.

    Attributes:
        index_id: None: there is no index yet.
        generation: one more with every change; 0: there is no index yet.
        opened: the segments.
    """

    index_id: str | None
    generation: int
    opened: tuple[Opened, ...]

    @property
    def segments(self) -> tuple[Segment, ...]:
        """To be searched."""
        return tuple(one.segment for one in self.opened)

    @property
    def size_bytes(self) -> int:
        """Of all files."""
        return sum(one.entry.size_bytes for one in self.opened)

    def numbers(self) -> frozenset[int]:
        """Of all tracks in it, wanted or not."""
        return self._numbers

    @functools.cached_property
    def _numbers(self) -> frozenset[int]:
        return frozenset(n for one in self.opened for n in one.segment.numbers.tolist())

    def check(self) -> None:
        """Compare every byte with its checksum, and the segments with one another.

        Raises:
            LibraryDamaged: naming the file.
        """
        seen: dict[int, str] = {}
        for one in self.opened:
            one.file.check()
            for number in one.segment.numbers.tolist():
                if number in seen:
                    raise LibraryDamaged(
                        f"{one.file.path}: track number {number} is in {seen[number]} as well"
                    )
                seen[number] = one.entry.name


class Index:
    """A folder of segments. Threads and processes may share it.

    Args:
        folder: made by the first writer.
        made_with: what its fingerprints are made with.
    """

    def __init__(self, folder: Path, *, made_with: Parameters = MADE_WITH) -> None:
        self.folder = folder
        self.made_with = made_with
        self._lock = threading.Lock()
        self._latest: tuple[tuple[int, int, int], Snapshot] | None = None

    def snapshot(self) -> Snapshot:
        """What counts now; cheap where nothing changed.

        Raises:
            LibraryDamaged: the manifest or a segment is cut off, changed or gone.
            LibraryMismatch: of another version, or made with other parameters.
        """
        with self._lock:
            for _ in range(_TRIES):
                marks = _marks(self.folder / MANIFEST)
                if self._latest and marks and self._latest[0] == marks:
                    return self._latest[1]
                manifest = self.manifest()
                if manifest is None:
                    return Snapshot(None, 0, ())
                try:
                    found = self._open(manifest)
                except FileNotFoundError as error:
                    if self.manifest() == manifest:
                        raise LibraryDamaged(f"{error.filename} is gone") from error
                    continue
                if marks and _marks(self.folder / MANIFEST) == marks:
                    self._latest = (marks, found)
                return found
        raise LibraryDamaged(f"{self.folder}: it changes too fast to be opened")

    def _open(self, manifest: Manifest) -> Snapshot:
        held = {one.entry: one for one in self._latest[1].opened} if self._latest else {}
        opened = tuple(held.get(entry) or self.opened(entry) for entry in manifest.entries)
        return Snapshot(manifest.index_id, manifest.generation, opened)

    def opened(self, entry: Entry) -> Opened:
        """A segment that the manifest names.

        Raises:
            FileNotFoundError: it is not there (any more).
            LibraryDamaged, LibraryMismatch: as `snapshot`.
        """
        path = self.folder / entry.name
        file = open_arrays(path, self.made_with)
        if (file.size_bytes, file.digest) != (entry.size_bytes, entry.digest):
            raise LibraryDamaged(f"{path} is not the file that {MANIFEST} names")
        try:
            segment = Segment.from_arrays(file.arrays)
        except (ValueError, KeyError) as error:
            raise LibraryDamaged(f"{path}: its arrays do not fit together ({error})") from error
        return Opened(entry, file, segment)

    def manifest(self) -> Manifest | None:
        """What the manifest says; None: there is no index.

        Raises:
            LibraryDamaged: it is damaged, or segments stand there without it.
            LibraryMismatch: of another version, or made with other parameters.
        """
        path = self.folder / MANIFEST
        try:
            raw = path.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            if next(self.folder.glob(SEGMENTS), None) is not None and not path.exists():
                raise LibraryDamaged(f"{path} is gone") from None
            return None
        except OSError as error:
            raise LibraryDamaged(f"{path} cannot be read: {error.strerror or error}") from error
        return _manifest(path, raw, self.made_with)

    @contextlib.contextmanager
    def writer(self) -> Iterator[IndexWriter]:
        """The one who may change the index; removes what a killed writer left.

        Raises:
            LibraryLocked: another process writes; the message names it.
            LibraryDamaged, LibraryMismatch: as `snapshot`.
            OutputError: the folder cannot be written.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise not_written(self.folder, error) from error
        with _locked(self.folder / LOCK):
            writer = IndexWriter(self)
            writer.clean()
            yield writer


class IndexWriter:
    """Changes an index; made by `Index.writer`, which holds the lock meanwhile."""

    def __init__(self, index: Index) -> None:
        self._index = index
        found = index.manifest()
        self._manifest = found or Manifest(secrets.token_hex(8), 0, ())
        if found is None:
            self._replace(())

    @property
    def index_id(self) -> str:
        """Of this index."""
        return self._manifest.index_id

    def append(self, segment: Segment) -> str:
        """Add a segment; it is on the disk and counts when this returns.

        Returns:
            its name.

        Raises:
            OutputError: nothing has changed.
        """
        entry = self._written(segment)
        try:
            self._replace((*self._manifest.entries, entry))
        except BaseException:
            # Whether the new manifest stands there is for the disk to say.
            self._manifest = self._index.manifest() or self._manifest
            self.clean()
            raise
        return entry.name

    def withdraw(self, name: str) -> None:
        """Take a segment out again.

        Raises:
            OutputError: it still counts.
        """
        self._replace(tuple(e for e in self._manifest.entries if e.name != name))
        self._unlink(name)

    def settle(self, most: int, *, without: Container[int] = ()) -> int:
        """Merge the smallest segments until there are at most so many.

        Args:
            most: segments, at least 1.
            without: numbers that are not taken along.

        Returns:
            how many segments there are now.
        """
        while len(self._manifest.entries) > most:
            # Half of them at once: every track is then written some log2 times in all.
            count = max(len(self._manifest.entries) - most + 1, most // 2 + 1)
            if not self._merge(_mergeable(self._manifest.entries, count), without):
                break
        return len(self._manifest.entries)

    def compact(self, without: Container[int]) -> int:
        """Merge all segments, leaving tracks out.

        Returns:
            how many segments there are now.
        """
        left = list(self._manifest.entries)
        while left:
            group = _mergeable(left, len(left)) or left[:1]
            left = [entry for entry in left if entry not in group]
            if len(group) > 1 or self._has_any(group[0], without):
                self._merge(group, without)
        return len(self._manifest.entries)

    def clear(self) -> None:
        """Take all segments out.

        Raises:
            OutputError: they still count.
        """
        self._replace(())
        self.clean()

    def clean(self) -> None:
        """Remove files that nobody names."""
        named = {entry.name for entry in self._manifest.entries}
        remove_temporaries(self._index.folder)
        for path in self._index.folder.glob(SEGMENTS):
            if path.name not in named:
                self._unlink(path.name)

    def _has_any(self, entry: Entry, numbers: Container[int]) -> bool:
        return any(n in numbers for n in self._checked(entry).segment.numbers.tolist())

    def _checked(self, entry: Entry) -> Opened:
        """A segment that is as it was written: damage is not copied under a new checksum."""
        try:
            opened = self._index.opened(entry)
        except FileNotFoundError as error:
            raise LibraryDamaged(f"{error.filename} is gone") from error
        opened.file.check()
        return opened

    def _merge(self, group: Sequence[Entry], without: Container[int]) -> bool:
        if not group:
            return False
        merged = merge([self._checked(entry).segment for entry in group], without=without)
        entries = [entry for entry in self._manifest.entries if entry not in group]
        if len(merged.numbers):
            entries.append(self._written(merged))
        self._replace(tuple(entries))
        for entry in group:
            self._unlink(entry.name)
        return True

    def _written(self, segment: Segment) -> Entry:
        number = self._manifest.generation + 1
        path = self._index.folder / f"segment-{number:08d}-{secrets.token_hex(4)}.idx"
        digest = write_arrays(path, segment.arrays(), self._index.made_with)
        return Entry(path.name, len(segment.numbers), path.stat().st_size, digest)

    def _replace(self, entries: tuple[Entry, ...]) -> None:
        manifest = Manifest(self._manifest.index_id, self._manifest.generation + 1, entries)
        write_atomic(self._index.folder / MANIFEST, _text(manifest, self._index.made_with))
        sync_folder(self._index.folder)
        self._manifest = manifest

    def _unlink(self, name: str) -> None:
        with contextlib.suppress(OSError):
            (self._index.folder / name).unlink()


def _mergeable(entries: Sequence[Entry], count: int) -> list[Entry]:
    """The smallest so many, two at least, that may stand in one file together."""
    chosen: list[Entry] = []
    size = 0
    for entry in sorted(entries, key=lambda e: (e.size_bytes, e.name))[:count]:
        size += entry.size_bytes
        if size > MOST_SEGMENT_BYTES:
            break
        chosen.append(entry)
    return chosen if len(chosen) > 1 else []


# ------------------------------------------------------------------------------- the manifest


def _text(manifest: Manifest, made_with: Parameters) -> str:
    content = {
        "format": FORMAT,
        "index_id": manifest.index_id,
        "generation": manifest.generation,
        "made_with": dict(made_with),
        "segments": [vars(entry) for entry in manifest.entries],
    }
    return json.dumps({**content, "checksum": _checksum(content)}, indent=1) + "\n"


def _checksum(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _manifest(path: Path, raw: bytes, made_with: Parameters) -> Manifest:
    try:
        content = json.loads(raw)
        stated = content.pop("checksum")
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise LibraryDamaged(f"{path} is cut off or no manifest") from error
    if _checksum(content) != stated:
        raise LibraryDamaged(f"{path} is not what was written")
    if content["format"] != FORMAT:
        raise LibraryMismatch(
            f"{path} is of format {content['format']}, this Reelscope reads format {FORMAT}"
        )
    require_parameters(path, content["made_with"], made_with)
    entries = tuple(Entry(**entry) for entry in content["segments"])
    return Manifest(content["index_id"], content["generation"], entries)


def _marks(path: Path) -> tuple[int, int, int] | None:
    """Which file it is: one that replaces it has another number or another time."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """The kernel's lock: it ends with the process, however that ends."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise not_written(path, error) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(descriptor, 64, 0).decode("ascii", "replace").strip()
            who = f"process {holder}" if holder.isdigit() else "another process"
            raise LibraryLocked(f"{path.parent}: {who} is writing to this library") from error
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)
