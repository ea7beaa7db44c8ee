"""A look at an MP4 file's tables before FFmpeg believes them.

A box of some bytes can claim a hundred million samples, and FFmpeg builds an index of 24
bytes and more for each before it reads the first. No sample is shorter than a byte, so a
claim of more samples than the file has bytes is false.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from reelscope.errors import UnreadableMedia

FIRST_BOXES = frozenset({b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"styp", b"moof"})
"""A file that begins with one of these is read as MP4 or QuickTime."""

_PARENTS = frozenset({b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf"})
_MAX_BOXES = 100_000


def refuse_false_tables(path: Path) -> None:
    """Check the sample tables of an MP4 or QuickTime file; other files pass.

    Raises:
        UnreadableMedia: a table claims more samples than the file has bytes.
    """
    with path.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(4)
        if file.read(4) not in FIRST_BOXES:
            return
        for kind, start, end in _boxes(file, 0, size):
            claimed = _samples(file, kind, start, end)
            if claimed > size:
                raise UnreadableMedia(
                    f"its table of contents claims {claimed} samples in a file of {size} bytes"
                )


def _boxes(file: BinaryIO, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Type and content span of every box that holds samples' tables (ISO/IEC 14496-12, 4.2)."""
    spans = [(start, end)]
    for _ in range(_MAX_BOXES):
        while spans and spans[-1][0] + 8 > spans[-1][1]:
            spans.pop()
        if not spans:
            return
        start, end = spans.pop()
        file.seek(start)
        length, kind = struct.unpack(">I4s", file.read(8).ljust(8, b"\0"))
        header = 8
        if length == 1:
            (length,) = struct.unpack(">Q", file.read(8).ljust(8, b"\0"))
            header = 16
        stop = end if length == 0 else min(start + max(length, header), end)
        spans.append((stop, end))
        if kind in _PARENTS:
            spans.append((start + header, stop))
        yield kind, start + header, stop


def _samples(file: BinaryIO, kind: bytes, start: int, end: int) -> int:
    """How many samples this box says there are; 0 where it lists each of them."""
    if kind not in {b"stsz", b"stts", b"ctts", b"trun"}:
        return 0
    file.seek(start)
    numbers = np.frombuffer(file.read(min(12, end - start)).ljust(12, b"\0"), ">u4").tolist()
    if kind == b"stsz":
        return int(numbers[1] * numbers[2])
    if kind == b"trun":
        return int(numbers[1])
    file.seek(start + 8)
    room = min(8 * numbers[1], end - start - 8) // 8 * 8
    table = np.frombuffer(file.read(max(room, 0)), ">u4")
    return int(table[: len(table) // 2 * 2 : 2].sum(dtype=np.int64))
