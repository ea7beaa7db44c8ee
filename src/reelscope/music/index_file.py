"""Named arrays in one file that is read in place.

    8 bytes   b"RLSCPIDX"
    4         version of this layout, little endian
    4         length of the header
    32        SHA-256 of the 16 bytes before and of the header
    header    JSON: what the arrays were made with, and of each array name, type, shape, place
              and checksum
    arrays    each at a multiple of 64 bytes (a cache line), zeros between

The first four stay as they are in every layout, so that another one can be named.
Every byte stands under a checksum. Opening a file compares its length, its header and the
small arrays; the large ones are mapped into memory and compared when `check` is asked for.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from reelscope.atomic import not_written, open_atomic
from reelscope.errors import LibraryDamaged, LibraryMismatch

Arrays: TypeAlias = Mapping[str, NDArray[Any]]
Parameters: TypeAlias = Mapping[str, int | float]

MAGIC: Final = b"RLSCPIDX"
LAYOUT: Final = 1
SMALL_BYTES: Final = 1 << 20
"""Arrays up to this size are compared with their checksum whenever the file is opened: 1 ms."""
_PREFIX: Final = struct.Struct("<8sII32s")
_ALIGNED: Final = 64
_MOST_HEADER_BYTES: Final = 1 << 20
_DIGEST_BYTES: Final = 16
"""Of BLAKE2b (RFC 7693): 1 GB/s and more where a processor has no instructions for SHA-256."""


@dataclass(frozen=True)
class _Place:
    """Where an array stands in the file; `end` is where the next one begins."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    offset: int
    end: int
    digest: str

    @property
    def size_bytes(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize


@dataclass(frozen=True)
class ArrayFile:
    """A file of arrays that is open; it stays readable when its name is removed.

    Attributes:
        path: of the file.
        digest: SHA-256 of its header, which holds the checksums of all else.
        size_bytes: of the file.
        arrays: by name, read-only.
    """

    path: Path
    digest: str
    size_bytes: int
    arrays: Arrays
    _places: tuple[_Place, ...]
    _data: mmap.mmap

    def check(self) -> None:
        """Compare every byte with its checksum.

        Raises:
            LibraryDamaged: naming the file and the array.
        """
        for place in self._places:
            if _digest(memoryview(self._data)[place.offset : place.end]) != place.digest:
                raise LibraryDamaged(f"{self.path}: {place.name} is not what was written")


def write_arrays(path: Path, arrays: Arrays, made_with: Parameters) -> str:
    """Write a file; it is on the disk, whole and under its name, when this returns.

    Returns:
        SHA-256 of its header.

    Raises:
        OutputError: the disk is full, or there is no permission.
    """
    kept = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    header = _header(kept, made_with)
    start = MAGIC + struct.pack("<II", LAYOUT, len(header))
    digest = hashlib.sha256(start + header)
    with open_atomic(path) as file:
        file.write(start + digest.digest() + header)
        for array in kept.values():
            file.write(_bytes(array))
            file.write(bytes(-array.nbytes % _ALIGNED))
    sync_folder(path.parent)
    return digest.hexdigest()


def _header(arrays: Arrays, made_with: Parameters) -> bytes:
    """JSON, filled up with blanks so that the first array stands where it should.

    Places count from the end of the header, whose length they cannot change so.
    """
    places, offset = [], 0
    for name, array in arrays.items():
        size = array.nbytes + -array.nbytes % _ALIGNED
        whole = hashlib.blake2b(_bytes(array), digest_size=_DIGEST_BYTES)
        whole.update(bytes(size - array.nbytes))
        places.append(
            {
                "name": name,
                "dtype": array.dtype.newbyteorder("<").str,
                "shape": list(array.shape),
                "offset": offset,
                "digest": whole.hexdigest(),
            }
        )
        offset += size
    text = json.dumps({"made_with": dict(made_with), "bytes": offset, "arrays": places})
    short = -(_PREFIX.size + len(text)) % _ALIGNED
    return (text + " " * short).encode("ascii")


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder are on the disk.

    Raises:
        OutputError: they may not be.
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise not_written(folder, error) from error


def open_arrays(path: Path, made_with: Parameters) -> ArrayFile:
    """Open a file.

    Args:
        path: of the file.
        made_with: what its arrays have to be made with.

    Raises:
        FileNotFoundError: there is none of that name.
        LibraryDamaged: it is cut off, changed, no such file or cannot be read.
        LibraryMismatch: its layout is another version's, or its arrays were made otherwise.
    """
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size < _PREFIX.size:
                raise LibraryDamaged(f"{path} is cut off: it has {size} bytes")
            data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise LibraryDamaged(f"{path} cannot be read: {error.strerror or error}") from error
    digest, begin, header = _read_header(path, data)
    require_parameters(path, header.get("made_with"), made_with)
    places = tuple(_places(path, header, begin, size))
    arrays = {place.name: _array(data, place) for place in places}
    for place in places:
        if place.size_bytes <= SMALL_BYTES:
            _require_whole(path, data, place)
    return ArrayFile(path, digest, size, arrays, places, data)


def _read_header(path: Path, data: mmap.mmap) -> tuple[str, int, dict[str, Any]]:
    magic, layout, length, digest = _PREFIX.unpack(data[: _PREFIX.size])
    if magic != MAGIC:
        raise LibraryDamaged(f"{path} is no file of the music index")
    header = data[_PREFIX.size : _PREFIX.size + min(length, _MOST_HEADER_BYTES)]
    same = hashlib.sha256(data[: _PREFIX.size - 32] + header).digest() == digest
    if layout != LAYOUT and (same or len(header) != length):
        raise LibraryMismatch(f"{path} is of layout {layout}, this Reelscope reads layout {LAYOUT}")
    if not same:
        raise LibraryDamaged(f"{path}: its header is not what was written")
    return digest.hex(), _PREFIX.size + length, json.loads(header)


def require_parameters(path: Path, found: object, wanted: Parameters) -> None:
    """Refuse what was made with other parameters, naming the first that differs.

    Raises:
        LibraryMismatch: as said.
    """
    made = found if isinstance(found, dict) else {}
    if made == dict(wanted):
        return
    name = next(n for n in sorted({*made, *wanted}) if made.get(n) != wanted.get(n))
    raise LibraryMismatch(
        f"{path} was made with other fingerprints ({name} {made.get(name)}, here it is"
        f" {wanted.get(name)}); add its tracks anew to another library"
    )


def _places(path: Path, header: dict[str, Any], begin: int, size: int) -> Iterator[_Place]:
    """What a header says, which is as it was written: its checksum was right."""
    end = begin + header["bytes"]
    if size != end:
        lack = "cut off" if size < end else "too long"
        raise LibraryDamaged(f"{path} is {lack}: {size} bytes, {end} were written")
    entries = header["arrays"]
    ends = [*(begin + entry["offset"] for entry in entries[1:]), end]
    for entry, stop in zip(entries, ends, strict=False):  # no array: no end either
        yield _Place(
            name=entry["name"],
            dtype=np.dtype(entry["dtype"]),
            shape=tuple(entry["shape"]),
            offset=begin + entry["offset"],
            end=stop,
            digest=entry["digest"],
        )


def _array(data: mmap.mmap, place: _Place) -> NDArray[Any]:
    count = int(np.prod(place.shape, dtype=np.int64))
    flat = np.frombuffer(data, place.dtype, count, place.offset)
    return flat.reshape(place.shape)


def _require_whole(path: Path, data: mmap.mmap, place: _Place) -> None:
    if _digest(memoryview(data)[place.offset : place.end]) != place.digest:
        raise LibraryDamaged(f"{path}: {place.name} is not what was written")


def _digest(data: memoryview) -> str:
    return hashlib.blake2b(data, digest_size=_DIGEST_BYTES).hexdigest()


def _bytes(array: NDArray[Any]) -> memoryview:
    return array.reshape(-1).view(np.uint8).data
