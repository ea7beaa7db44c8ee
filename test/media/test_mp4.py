"""A table that lies is found out before FFmpeg builds an index for it."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from reelscope.errors import UnreadableMedia
from reelscope.media.mp4 import refuse_false_tables
from reelscope.testing import media

Videos = Callable[[str], media.Truth]


def changed(data: bytes, box: bytes, offset: int, *numbers: int) -> bytes:
    start = data.index(box) + 4 + offset
    raw = struct.pack(f">{len(numbers)}I", *numbers)
    return data[:start] + raw + data[start + len(raw) :]


@pytest.mark.parametrize(
    ("box", "offset", "numbers"),
    [
        (b"stsz", 4, (1, 50_000_000)),  # every sample is one byte, and there are so many
        (b"stts", 8, (50_000_000,)),
        (b"ctts", 8, (4_000_000_000,)),
    ],
)
def test_false_tables_are_refused(
    box: bytes, offset: int, numbers: tuple[int, ...], videos: Videos, tmp_path: Path
) -> None:
    path = tmp_path / "video.mp4"
    path.write_bytes(changed(videos("b_frames.mp4").path.read_bytes(), box, offset, *numbers))
    with pytest.raises(UnreadableMedia, match=r"claims \d+ samples in a file of"):
        refuse_false_tables(path)


def test_false_fragments_are_refused(tmp_path: Path) -> None:
    run = struct.pack(">I4sIIII", 24, b"trun", 0, 900_000_000, 0, 0)
    traf = struct.pack(">I4s", 8 + len(run), b"traf") + run
    moof = struct.pack(">I4s", 8 + len(traf), b"moof") + traf
    path = tmp_path / "video.mp4"
    path.write_bytes(struct.pack(">I4sQ", 1, b"ftyp", 20) + bytes(4) + moof)
    with pytest.raises(UnreadableMedia):
        refuse_false_tables(path)


@pytest.mark.parametrize("name", ["b_frames.mp4", "mpeg4.mp4", "variable.mp4", "vp8.webm"])
def test_honest_files_pass(name: str, videos: Videos) -> None:
    refuse_false_tables(videos(name).path)


def test_real_files_pass(corpus: Path) -> None:
    for path in sorted((corpus / "video").iterdir()):
        refuse_false_tables(path)


@pytest.mark.parametrize(
    "tail",
    [
        b"",
        b"\0\0\0",
        struct.pack(">I4s", 0, b"moov"),
        struct.pack(">I4s", 3, b"moov") * 50,
        struct.pack(">I4sQ", 1, b"moov", 2**63) + b"abc",
        struct.pack(">I4s", 12, b"stsz") + b"\xff" * 3,
    ],
)
def test_broken_boxes_end_the_walk(tail: bytes, tmp_path: Path) -> None:
    path = tmp_path / "video.mp4"
    path.write_bytes(struct.pack(">I4s", 8, b"ftyp") + tail)
    refuse_false_tables(path)
