"""How large a picture is, told from its first bytes: before anything of it is decoded.

JPEG: ITU-T T.81, annex B. PNG: W3C PNG (third edition), 11.2.1. WebP: RFC 9649, 2.4 to 2.7.
A file of a few bytes can claim 65,535 x 65,535 pixels, for which a decoder takes 12 GB.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Literal

_NOT_FRAMES = {0xC4, 0xC8, 0xCC}  # markers among those of frames that are tables
_ALONE = {0x01, *range(0xD0, 0xD9)}  # markers without a length


@dataclass(frozen=True, slots=True)
class PictureHeader:
    """What the first bytes of a picture say.

    Attributes:
        kind: of the file.
        width: pixels, as stored.
        height: pixels, as stored.
        layout: of a JPEG: its frame header but for the size, so that two of the same layout
            decode to the same kind of pixels; empty: the other kinds.
        has_exif: of a JPEG: it has metadata, which may say that it is to be turned.
    """

    kind: Literal["jpeg", "png", "webp"]
    width: int
    height: int
    layout: bytes = b""
    has_exif: bool = False


def read_header(data: bytes) -> PictureHeader | None:
    """The header of a JPEG, PNG or WebP file; None: it is none of these, or broken."""
    try:
        if data.startswith(b"\xff\xd8\xff"):
            return _jpeg(data)
        if data.startswith(b"\x89PNG\r\n\x1a\n") and data[12:16] == b"IHDR":
            return PictureHeader("png", *struct.unpack_from(">II", data, 16))
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return _webp(data)
    except (struct.error, IndexError):
        pass
    return None


def _jpeg(data: bytes) -> PictureHeader | None:
    at, has_exif = 2, False
    while at < len(data):
        if data[at] != 0xFF:
            return None
        marker = data[at + 1]
        if marker == 0xFF:  # fill
            at += 1
            continue
        if marker in _ALONE:
            at += 2
            continue
        (length,) = struct.unpack_from(">H", data, at + 2)
        if length < 2:
            return None
        if marker == 0xE1 and data[at + 4 : at + 8] == b"Exif":
            has_exif = True
        if 0xC0 <= marker <= 0xCF and marker not in _NOT_FRAMES:
            height, width = struct.unpack_from(">HH", data, at + 5)
            components = data[at + 9 : at + 2 + length]
            layout = bytes([marker, data[at + 4]]) + _sampling(components)
            return PictureHeader("jpeg", width, height, layout, has_exif)
        if marker in (0xD9, 0xDA):  # the end, or pixels before any frame
            return None
        at += 2 + length
    return None


def _sampling(components: bytes) -> bytes:
    """Number of components and the sampling factors of each."""
    count = components[0]
    return bytes([count, *(components[2 + 3 * i] for i in range(count))])


def _webp(data: bytes) -> PictureHeader | None:
    kind = data[12:16]
    if kind == b"VP8X":
        width = int.from_bytes(data[24:27], "little") + 1
        height = int.from_bytes(data[27:30], "little") + 1
    elif kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    elif kind == b"VP8 ":
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
    else:
        return None
    return PictureHeader("webp", width, height)
