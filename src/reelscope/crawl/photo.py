"""A photo post as one file: its pictures, each shown for a while, and its sound.

The file is Matroska with motion JPEG, so that all that works on a video works on it: every
picture is a key frame of its own, reachable at its full size. Pictures that are JPEGs of one
size and layout already are put in as they are, byte for byte; so is the sound.
"""

from __future__ import annotations

import contextlib
import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import cv2
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError
from av.packet import Packet as AVPacket
from av.video.stream import VideoStream

from reelscope.atomic import open_atomic
from reelscope.crawl.picture_header import PictureHeader, read_header
from reelscope.errors import CrawlFailed, MediaError
from reelscope.media.container import Faults, Packet, never, open_media, read_packets
from reelscope.media.images import RGB
from reelscope.media.info import MediaInfo, read_info
from reelscope.media.tracks import Track

SECONDS_EACH = 3.0
"""Time for which a picture is shown where there is no sound to spread them over."""
JPEG_QUALITY = 95
"""Of pictures that have to be encoded anew; chroma is kept at full size then."""
MAX_PICTURES = 200
"""TikTok allows 35."""
MAX_PIXELS = 50_000_000
"""Of a picture: about what the best phones take. Decoded it has three bytes a pixel."""
MAX_SIDE_PX = 16_384
MAX_BYTES = 100_000_000
"""Of a picture's file."""
MAX_TRAILER_BYTES = 65_536
"""Cameras and editors write so much behind the end of a JPEG."""

_TICK = Fraction(1, 1000)  # Matroska's usual timescale
_REMEDY = "list the post again; if that does not help, leave it out"


@dataclass(frozen=True)
class _Picture:
    path: Path
    header: PictureHeader


def make_photo_video(
    pictures: Sequence[Path],
    sound: Path | None,
    target: Path,
    *,
    check_time: Callable[[], None] = never,
) -> Path:
    """Put a post's pictures and its sound into one file.

    Pictures are shown evenly over the length of the sound, else 3 s each. If they are
    not all JPEGs of one size, layout and without metadata, they are put in the middle of
    a black picture as wide as the widest and as high as the highest, and encoded.

    Args:
        pictures: JPEG, PNG or WebP files in their order.
        sound: any file with sound; None: there is none.
        target: path without suffix.
        check_time: raises to stop.

    Returns:
        `<target>.mkv`, which is whole.

    Raises:
        CrawlFailed: not_media: a picture is none, is broken or too large, or the sound is
            none; not_supported: there are too many pictures.
        OutputError: the disk does not take it.
    """
    if not 0 < len(pictures) <= MAX_PICTURES:
        raise CrawlFailed(
            "not_supported", f"a post of {len(pictures)} pictures", remedy="leave it out"
        )
    found = [_Picture(path, _checked_header(path)) for path in pictures]
    heard = _sound_info(sound, check_time) if sound else None
    end_s = heard.duration_s if heard and heard.duration_s else SECONDS_EACH * len(found)
    whole = target.with_name(f"{target.name}.mkv")
    with open_atomic(whole) as file, _writing(Path(file.name)) as out:
        size, jpegs = _as_jpegs(found)
        stream = out.add_mux_stream("mjpeg", width=size[0], height=size[1])
        video = cast("VideoStream", stream)
        video.time_base = _TICK
        shown = _picture_packets(jpegs, video, count=len(found), end_s=end_s)
        if heard:
            _mux_both(out, shown, heard, check_time)
        else:
            _mux(out, shown, check_time)
    return whole


# ---------------------------------------------------------------------------- pictures


def _checked_header(path: Path) -> PictureHeader:
    """Raises CrawlFailed unless it is a picture of a bearable size."""
    header = read_header(_read(path))
    if header is None:
        raise _no_media(path, "it is not a JPEG, PNG or WebP picture")
    width, height = header.width, header.height
    if not (0 < width <= MAX_SIDE_PX and 0 < height <= MAX_SIDE_PX):
        raise _no_media(path, f"it claims {width}x{height} pixels")
    if width * height > MAX_PIXELS:
        raise _no_media(path, f"{width}x{height} pixels are more than 50 megapixels")
    return header


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise _no_media(path, f"it cannot be read ({error.strerror})") from error
    if len(data) > MAX_BYTES:
        raise _no_media(path, "its file is larger than 100 MB")
    return data


def _as_jpegs(pictures: Sequence[_Picture]) -> tuple[tuple[int, int], Iterator[bytes]]:
    """Width and height of all, and the JPEG files, made one by one."""
    headers = [picture.header for picture in pictures]
    first = headers[0]
    size = max(header.width for header in headers), max(header.height for header in headers)
    alike = all(header == first and _is_plain(header) for header in headers)
    if alike:
        return size, (_as_it_is(picture) for picture in pictures)
    decoded = [_upright_size(picture) for picture in pictures]
    size = max(width for width, _ in decoded), max(height for _, height in decoded)
    if size[0] * size[1] > MAX_PIXELS:  # one is very wide, another very high
        raise _no_media(pictures[0].path, f"with the others it needs {size[0]}x{size[1]} pixels")
    return size, (_encoded(picture, size) for picture in pictures)


def _is_plain(header: PictureHeader) -> bool:
    """A JPEG that every decoder shows in the same way: Huffman-coded, 8 bits, Y'CbCr."""
    usual = header.layout[:1] in (b"\xc0", b"\xc1", b"\xc2") and header.layout[1:3] == b"\x08\x03"
    return header.kind == "jpeg" and usual and not header.has_exif


def _as_it_is(picture: _Picture) -> bytes:
    _decoded(picture)  # so that nothing is passed on that cannot be seen
    return _read(picture.path)


def _upright_size(picture: _Picture) -> tuple[int, int]:
    if not picture.header.has_exif:
        return picture.header.width, picture.header.height
    height, width = _decoded(picture).shape[:2]
    return width, height


def _decoded(picture: _Picture) -> RGB:
    """uint8 (h, w, 3), channels blue green red, upright."""
    data = _read(picture.path)
    if picture.header.kind == "jpeg" and b"\xff\xd9" not in data[-MAX_TRAILER_BYTES:]:
        raise _no_media(picture.path, "it is cut short")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_BGR)
    except cv2.error as error:
        raise _no_media(picture.path, "it cannot be decoded") from error
    if image is None:
        raise _no_media(picture.path, "it cannot be decoded")
    return cast("RGB", image)


def _encoded(picture: _Picture, size: tuple[int, int]) -> bytes:
    """A JPEG with the picture in the middle of black."""
    image = _decoded(picture)
    (width, height), (high, wide) = size, image.shape[:2]
    canvas = np.zeros((height, width, 3), np.uint8)
    top, left = (height - high) // 2, (width - wide) // 2
    if top < 0 or left < 0:
        raise _no_media(picture.path, "its size is not the one that it states")
    canvas[top : top + high, left : left + wide] = image
    options = [
        cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    ]  # fmt: skip
    _, data = cv2.imencode(".jpg", canvas, options)
    return data.tobytes()


# ------------------------------------------------------------------------------ muxing


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[OutputContainer]:
    """A Matroska file; what the disk does not take is an OSError, as of other files."""
    try:
        with av.open(f"file:{path}", "w", format="matroska") as out:
            yield out
    except FFmpegError as error:
        raise OSError(error.errno, error.strerror) from error


def _picture_packets(
    jpegs: Iterator[bytes], stream: VideoStream, *, count: int, end_s: float
) -> Iterator[Packet]:
    """A packet for each picture, evenly over the time.

    A single picture stands there twice: Matroska does not say how long a picture is
    shown, only when the next one begins.
    """
    ticks = round(Fraction(end_s).limit_denominator(1000) / _TICK)
    for number, data in enumerate(jpegs):
        for half in (0, 1) if count == 1 else (0,):
            packet: Packet = AVPacket(data)
            packet.stream = stream
            packet.time_base = _TICK
            packet.pts = packet.dts = (2 * number + half) * ticks // (2 * count)
            packet.duration = ticks // count
            packet.is_keyframe = True
            yield packet


def _sound_info(path: Path, check_time: Callable[[], None]) -> MediaInfo:
    try:
        info = read_info(path, check_time)
    except MediaError as error:
        raise _no_media(path, str(error)) from error
    if info.audio is None:
        raise _no_media(path, "there is no sound in it")
    return info


def _mux(out: OutputContainer, packets: Iterable[Packet], check_time: Callable[[], None]) -> None:
    for packet in packets:
        check_time()
        out.mux(packet)


def _mux_both(
    out: OutputContainer,
    shown: Iterator[Packet],
    heard: MediaInfo,
    check_time: Callable[[], None],
) -> None:
    """Pictures and sound in the order of their times; the sound as it is."""
    track = cast("Track", heard.audio)
    with open_media(heard.path) as container:
        source = cast("AudioStream", container.streams[track.index])
        try:
            sound = out.add_stream_from_template(source)
            packets = _sound_packets(container, source, sound)
            _mux(out, heapq.merge(shown, packets, key=_second), check_time)
        except (av.error.InvalidDataError, av.error.ArgumentError, ValueError) as error:
            said = getattr(error, "strerror", None) or str(error)
            raise _no_media(heard.path, f"the sound cannot be put beside ({said})") from error


def _sound_packets(
    container: InputContainer, source: AudioStream, sound: AudioStream
) -> Iterator[Packet]:
    for packet in read_packets(container, [source], faults=Faults(), check_time=never):
        if packet.pts is not None and not packet.is_corrupt:
            packet.stream = sound
            yield packet


def _second(packet: Packet) -> Fraction:
    return (packet.pts or 0) * Fraction(packet.time_base)


def _no_media(path: Path, why: str) -> CrawlFailed:
    return CrawlFailed("not_media", f"{path.name}: {why}", remedy=_REMEDY)
