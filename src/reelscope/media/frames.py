"""One pass over the pictures: the frames that are looked at, and tiny ones of the rest."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias, cast

import cv2
import numpy as np
import numpy.typing as npt
from av.codec.context import CodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream

from reelscope.media.container import (
    Faults,
    MediaInfo,
    Track,
    decode,
    drain,
    open_media,
    read_packets,
)
from reelscope.media.sampling import Moments
from reelscope.records import FrameKind

RGB: TypeAlias = npt.NDArray[np.uint8]
"""Picture, (h, w, 3), uint8, channels red green blue, upright."""

SPARSE_CODECS = frozenset({"h264", "hevc", "mpeg4", "mpeg2video", "mpeg1video"})
"""Decoders that leave out exactly the frames that no other frame refers to."""

THUMB_SHORT_PX = 36
THUMB_LONG_PX = 192
MAX_ASPECT = 4
"""Small images hold at most short_side * short_side * MAX_ASPECT pixels."""

_HVCC_LAYERS_BYTE = 21
_PLANAR = frozenset({"yuv420p", "yuvj420p"})
_ROWS_PER_THUMB_ROW = 4


@dataclass(frozen=True, eq=False)
class Frame:
    """A frame that is looked at.

    Attributes:
        time_s: exact, seconds from the start of the video.
        kinds: why it is looked at.
        image: uint8 (h, w, 3) RGB, upright, all of a video of one size.
    """

    time_s: float
    kinds: frozenset[FrameKind]
    image: RGB


@dataclass(eq=False)
class Scan:
    """What one pass over the pictures left."""

    frames: tuple[Frame, ...] = ()
    thumbnails: list[tuple[float, RGB]] | None = field(default_factory=list)
    kept: dict[int, VideoFrame] = field(default_factory=dict)
    decoded: int = 0
    until_s: float | None = None
    bad: int = 0
    first_error: str | None = None


@dataclass(frozen=True)
class Budget:
    """Bytes that may be kept."""

    thumbnails: int
    full_frames: int


# ------------------------------------------------------------------------------- decode


def decoded(
    info: MediaInfo,
    *,
    wanted: Collection[int] | None,
    threads: int,
    faults: Faults,
    check_time: Callable[[], None],
) -> Iterator[tuple[int, VideoFrame]]:
    """Every frame that others refer to and every wanted one, with its ticks.

    `skip_frame` is handed to the decoder's threads packet by packet, so a wanted frame is
    decoded even if nothing refers to it, and no other frame changes by that.

    Args:
        info: of the file; it must have video.
        wanted: ticks of frames that are needed in any case; None: all frames.
        threads: of the decoder.
        faults: counts what the decoder refuses.
        check_time: raises when the time limit has passed.
    """
    track = cast("Track", info.video)
    with open_media(info.path) as container:
        stream = cast("VideoStream", container.streams[track.index])
        context = stream.codec_context
        context.thread_count = threads
        context.thread_type = "AUTO" if threads > 1 else "NONE"
        sparse = wanted is not None and track.timed and _can_skip(track, context)
        needed = wanted or ()
        ticks = _Ticks(track)
        try:
            for packet in read_packets(container, [stream], faults=faults, check_time=check_time):
                if sparse:
                    context.skip_frame = "DEFAULT" if packet.pts in needed else "NONREF"
                for frame in decode(context, packet, faults):
                    yield from ticks.of(cast("VideoFrame", frame))
            for frame in decode(context, None, faults):
                yield from ticks.of(cast("VideoFrame", frame))
        finally:
            drain(context)


class _Ticks:
    """Puts decoded frames on the track's clock, ascending; the rest is dropped."""

    def __init__(self, track: Track) -> None:
        self.track = track
        self.count = 0
        self.last = -(1 << 63)
        self.first_tick, self.last_tick = int(track.order[0]), int(track.order[-1])

    def of(self, frame: VideoFrame) -> Iterator[tuple[int, VideoFrame]]:
        tick = self.count
        self.count += 1
        if self.track.timed:
            tick = frame.pts if frame.pts is not None else frame.dts  # type: ignore[assignment]
        if tick is None or tick <= self.last or not self.first_tick <= tick <= self.last_tick:
            return
        self.last = tick
        yield tick, frame


def _can_skip(track: Track, context: CodecContext) -> bool:
    if track.codec != "hevc":
        return track.codec in SPARSE_CODECS
    # A frame that nothing of its own layer refers to may still serve a higher layer:
    # skip only where the stream has one temporal layer (ISO/IEC 14496-15, 8.3.3.1.2).
    head = context.extradata or b""
    return len(head) > _HVCC_LAYERS_BYTE and head[0] == 1 and (head[21] >> 3) & 7 == 1


# --------------------------------------------------------------------------------- scan


def scan(
    info: MediaInfo,
    moments: Moments,
    *,
    short_side: int,
    everything: bool,
    threads: int,
    budget: Budget,
    check_time: Callable[[], None],
) -> Scan:
    """Decode the pictures once and take from them what is needed.

    Args:
        info: of the file; it must have video.
        moments: the frames that are looked at.
        short_side: of the small images, pixels.
        everything: decode the frames that nothing refers to as well.
        threads: of the decoder.
        budget: what may be kept for later.
        check_time: raises when the time limit has passed.
    """
    track = cast("Track", info.video)
    found, faults = Scan(), Faults()
    taker = _Taker(info, moments, short_side, budget, found)
    wanted = None if everything else moments
    for tick, frame in decoded(
        info, wanted=wanted, threads=threads, faults=faults, check_time=check_time
    ):
        taker.see(tick, frame)
    taker.finish()
    found.bad, found.first_error = faults.count, faults.first
    if found.decoded:
        found.until_s = float(track.seconds(np.array([taker.last_tick]))[0])
    return found


class _Taker:
    """Takes small images of the moments and thumbnails of all that passes."""

    def __init__(
        self, info: MediaInfo, moments: Moments, short_side: int, budget: Budget, found: Scan
    ) -> None:
        self.info, self.moments, self.found = info, moments, found
        self.track = cast("Track", info.video)
        self.ahead = list(reversed(moments))
        self.images = SmallImages(info, short_side)
        self.thumbs = Thumbnailer(info)
        self.room = budget.full_frames
        self.thumb_room = budget.thumbnails
        self.kinds: dict[int, set[FrameKind]] = {}
        self.pictures: dict[int, RGB] = {}
        self.previous: tuple[int, VideoFrame] | None = None
        self.last_tick = 0

    def see(self, tick: int, frame: VideoFrame) -> None:
        self.found.decoded += 1
        while self.ahead and self.ahead[-1] < tick:  # a moment whose own frame never came
            self._take(self.ahead.pop(), self.previous or (tick, frame))
        if self.ahead and self.ahead[-1] == tick:
            self._take(self.ahead.pop(), (tick, frame))
        self._thumbnail(tick, frame)
        self.previous = tick, frame
        self.last_tick = tick

    def finish(self) -> None:
        while self.ahead and self.previous:
            self._take(self.ahead.pop(), self.previous)
        times = self.track.seconds(np.array(list(self.pictures), np.int64))
        self.found.frames = tuple(
            Frame(round(float(time), 6), frozenset(self.kinds[tick]), image)
            for time, (tick, image) in zip(times, self.pictures.items(), strict=True)
        )
        self.previous = None

    def _take(self, moment: int, shown: tuple[int, VideoFrame]) -> None:
        tick, frame = shown
        if tick not in self.pictures:
            self.pictures[tick] = self.images.of(frame)
            self._keep(tick, frame)
        self.kinds.setdefault(tick, set()).update(self.moments[moment])

    def _keep(self, tick: int, frame: VideoFrame) -> None:
        size = sum(plane.buffer_size for plane in frame.planes)
        if size <= self.room:
            self.room -= size
            self.found.kept[tick] = frame

    def _thumbnail(self, tick: int, frame: VideoFrame) -> None:
        if self.found.thumbnails is None:
            return
        image = self.thumbs.of(frame)
        self.thumb_room -= image.nbytes
        if self.thumb_room < 0:
            self.found.thumbnails = None
            return
        time = round(float(self.track.seconds(np.array([tick]))[0]), 6)
        self.found.thumbnails.append((time, image))


# -------------------------------------------------------------------------- small images


def small_size(width: int, height: int, short_side: int) -> tuple[int, int]:
    """Size with the given short side, never enlarged, of at most MAX_ASPECT squares."""
    scale = min(1.0, short_side / min(width, height))
    scale = min(scale, short_side * (MAX_ASPECT / (width * height)) ** 0.5)
    return max(round(width * scale), 1), max(round(height * scale), 1)


class SmallImages:
    """Frames as small upright RGB images of one size."""

    def __init__(self, info: MediaInfo, short_side: int) -> None:
        width, height = small_size(info.width or 1, info.height or 1, short_side)
        self.turn = info.orientation
        self.size = (height, width) if self.turn.transpose else (width, height)
        self.scaler = VideoReformatter()

    def of(self, frame: VideoFrame) -> RGB:
        """uint8 (h, w, 3) RGB."""
        return self.turn.apply(_rgb(self.scaler, frame, self.size))


def _rgb(scaler: VideoReformatter, frame: VideoFrame, size: tuple[int, int]) -> RGB:
    width, height = size
    small = scaler.reformat(
        frame, width, height, "rgb24", interpolation=Interpolation.BILINEAR, threads=1
    )
    return cast("RGB", small.to_ndarray())


class Thumbnailer:
    """Frames as tiny upright RGB images, nearly for free.

    Of 8-bit 4:2:0 pictures only a few rows per thumbnail row are read.
    """

    def __init__(self, info: MediaInfo) -> None:
        width, height = info.width or 1, info.height or 1
        scale = min(1.0, THUMB_SHORT_PX / min(width, height), THUMB_LONG_PX / max(width, height))
        size = max(round(width * scale), 1), max(round(height * scale), 1)
        self.turn = info.orientation
        self.size = (size[1], size[0]) if self.turn.transpose else size
        self.scaler = VideoReformatter()

    def of(self, frame: VideoFrame) -> RGB:
        """uint8 (h, w, 3) RGB."""
        if frame.format.name not in _PLANAR:
            return self.turn.apply(_rgb(self.scaler, frame, self.size))
        luma, blue, red = (self._shrunk(plane) for plane in frame.planes[:3])
        full = frame.color_range == 2 or frame.format.name == "yuvj420p"
        matrix = yuv_to_rgb(bt709=frame.colorspace == 1, full_range=full)
        rgb = cv2.transform(cv2.merge((luma, blue, red)), matrix)
        return self.turn.apply(cast("RGB", rgb))

    def _shrunk(self, plane: object) -> npt.NDArray[np.uint8]:
        pixels = np.frombuffer(plane, np.uint8)  # type: ignore[call-overload]
        rows = pixels.reshape(plane.height, plane.line_size)[:, : plane.width]  # type: ignore[attr-defined]
        step = max(plane.height // (self.size[1] * _ROWS_PER_THUMB_ROW), 1)  # type: ignore[attr-defined]
        small = cv2.resize(rows[step // 2 :: step], self.size, interpolation=cv2.INTER_AREA)
        return cast("npt.NDArray[np.uint8]", small)


def yuv_to_rgb(*, bt709: bool, full_range: bool) -> npt.NDArray[np.float32]:
    """3x4 matrix from Y'CbCr bytes to R'G'B' bytes (ITU-R BT.601-7 2.5, BT.709-6 3)."""
    red, blue = (0.2126, 0.0722) if bt709 else (0.299, 0.114)
    green = 1 - red - blue
    y_gain, c_gain = (1.0, 1.0) if full_range else (255 / 219, 255 / 224)
    cr, cb = 2 * (1 - red) * c_gain, 2 * (1 - blue) * c_gain
    mix = np.array(
        [
            [y_gain, 0.0, cr],
            [y_gain, -cb * blue / green, -cr * red / green],
            [y_gain, cb, 0.0],
        ]
    )
    offset = np.array([0.0 if full_range else 16.0, 128.0, 128.0])
    return np.column_stack([mix, -mix @ offset]).astype(np.float32)


def stream_thumbnails(
    info: MediaInfo,
    moments: Moments,
    *,
    everything: bool,
    threads: int,
    check_time: Callable[[], None],
) -> Iterator[tuple[float, RGB]]:
    """The thumbnails of `scan` once more, from the file, in bounded memory."""
    track = cast("Track", info.video)
    thumbs = Thumbnailer(info)
    wanted = None if everything else moments
    for tick, frame in decoded(
        info, wanted=wanted, threads=threads, faults=Faults(), check_time=check_time
    ):
        yield round(float(track.seconds(np.array([tick]))[0]), 6), thumbs.of(frame)


# ---------------------------------------------------------------------------- full size


def full_frames(
    info: MediaInfo,
    ticks: Sequence[int],
    *,
    kept: dict[int, VideoFrame],
    threads: int,
    check_time: Callable[[], None],
) -> Iterator[tuple[float, RGB]]:
    """Full-size pictures of these frames in time order; what is not kept is decoded again."""
    track = cast("Track", info.video)
    scaler = VideoReformatter()
    missing = sorted(set(ticks) - kept.keys())
    again = _decoded_again(info, missing, threads=threads, check_time=check_time)
    try:
        for tick in sorted(set(ticks)):
            frame = kept.get(tick) or next((f for t, f in again if t == tick), None)
            if frame is not None:
                image = _rgb(scaler, frame, (frame.width, frame.height))
                time = round(float(track.seconds(np.array([tick]))[0]), 6)
                yield time, info.orientation.apply(image)
    finally:
        again.close()  # type: ignore[attr-defined]


def _decoded_again(
    info: MediaInfo, missing: Sequence[int], *, threads: int, check_time: Callable[[], None]
) -> Iterator[tuple[int, VideoFrame]]:
    if not missing:
        return
    wanted = set(missing)
    for tick, frame in decoded(
        info, wanted=wanted, threads=threads, faults=Faults(), check_time=check_time
    ):
        if tick in wanted:
            yield tick, frame
        if tick >= missing[-1]:
            return
