"""Decoding only the pictures that count.

A frame that no other frame refers to can be left out of decoding, and the others come out
the same: decoders do that themselves if `skip_frame` says so. FFmpeg hands that setting to
its frame threads with every packet, so it can be changed from packet to packet: all
frames that others refer to are decoded, and of the rest just those that are wanted.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from typing import TypeAlias, cast

import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from reelscope.media.container import (
    MAX_PIXELS,
    Faults,
    Packet,
    decode,
    drain,
    open_media,
    read_packets,
)
from reelscope.media.info import MediaInfo
from reelscope.media.tracks import Track

Shown: TypeAlias = tuple[int, VideoFrame]
"""A decoded frame and its tick on the track's clock."""

SPARSE_CODECS = frozenset({"h264", "hevc", "mpeg4", "mpeg2video", "mpeg1video"})
"""Codecs whose decoders leave out exactly the frames that no other frame refers to."""

_HVCC_LAYERS_BYTE = 21


def decoded(
    info: MediaInfo,
    *,
    wanted: Collection[int] | None,
    threads: int,
    faults: Faults,
    check_time: Callable[[], None],
) -> Generator[Shown]:
    """Every frame that others refer to and every wanted one, in time order.

    Args:
        info: of the file; it must have video.
        wanted: ticks of frames that are needed in any case; None: all frames.
        threads: of the decoder.
        faults: gathers what the decoder refuses.
        check_time: raises when the time limit has passed.
    """
    with _reading(info, wanted, threads=threads, faults=faults) as decoder:
        for packet in decoder.packets(check_time):
            yield from decoder.feed(packet)
        yield from decoder.finish()


def replayed(
    info: MediaInfo, ticks: Iterable[int], *, threads: int, check_time: Callable[[], None]
) -> Generator[Shown]:
    """Just these frames, in time order; only what leads to them from a key frame is decoded.

    A frame that cannot be had that way, or comes damaged (rolling intra refresh has key
    frames in name only), is decoded from the start of the file, with all that follow; one
    that does not come then either is left out.

    Args:
        info: of the file; it must have video.
        ticks: of the frames, ascending.
        threads: of the decoder.
        check_time: raises when the time limit has passed.
    """
    left = deque(ticks)
    for attempt in (_from_keys, decoded):
        if not left:
            return
        frames = attempt(
            info, wanted=frozenset(left), threads=threads, faults=Faults(), check_time=check_time
        )
        with contextlib.closing(frames):
            for tick, frame in frames:
                if attempt is _from_keys and (tick > left[0] or frame.is_corrupt):
                    break
                while left and left[0] < tick:
                    left.popleft()
                if left and left[0] == tick:
                    left.popleft()
                    yield tick, frame
                if not left:
                    return


def _from_keys(
    info: MediaInfo,
    *,
    wanted: Collection[int],
    threads: int,
    faults: Faults,
    check_time: Callable[[], None],
) -> Generator[Shown]:
    """The wanted frames, decoding only what leads to them from the key frame before."""
    track = cast("Track", info.video)
    if not track.timed:  # its clock counts the decoded frames: none may be left out
        return
    with _reading(info, wanted, threads=threads, faults=faults) as decoder:
        stretches = _stretches(track, wanted)
        for packet, ends in _inside(decoder.packets(check_time), stretches):
            yield from (shown for shown in decoder.feed(packet) if shown[0] in wanted)
            if ends:
                yield from (shown for shown in decoder.finish() if shown[0] in wanted)
                decoder.restart()


@contextlib.contextmanager
def _reading(
    info: MediaInfo, wanted: Collection[int] | None, *, threads: int, faults: Faults
) -> Iterator[_Decoder]:
    """A decoder on the open file; whoever stops early leaves nothing in its threads."""
    track = cast("Track", info.video)
    with open_media(info.path) as container:
        stream = cast("VideoStream", container.streams[track.index])
        context = stream.codec_context
        context.options = {"max_pixels": str(MAX_PIXELS)}
        context.thread_count = threads
        context.thread_type = "AUTO" if threads > 1 else "NONE"
        try:
            yield _Decoder(stream, track, wanted, faults)
        finally:
            drain(context)


class _Decoder:
    """Decodes the packets of one track, leaves out what it may, and dates each frame."""

    def __init__(
        self, stream: VideoStream, track: Track, wanted: Collection[int] | None, faults: Faults
    ) -> None:
        self.stream, self.context = stream, stream.codec_context
        self.track, self.faults = track, faults
        self.wanted = wanted or ()
        self.sparse = wanted is not None and _can_skip(track, stream)
        self.newest = int(track.order[0]) - 1
        self.count = 0

    def packets(self, check_time: Callable[[], None]) -> Iterator[Packet]:
        """Every packet of the track, in file order."""
        container = cast("InputContainer", self.stream.container)
        return read_packets(container, [self.stream], faults=self.faults, check_time=check_time)

    def feed(self, packet: Packet) -> Iterator[Shown]:
        """What comes out when this packet goes in."""
        if self.sparse:
            self.context.skip_frame = "DEFAULT" if packet.pts in self.wanted else "NONREF"
        return self._shown(packet)

    def finish(self) -> Iterator[Shown]:
        """What is still inside."""
        return self._shown(None)

    def restart(self) -> None:
        """Ready for a key frame from elsewhere."""
        self.context.flush_buffers()

    def _shown(self, packet: Packet | None) -> Iterator[Shown]:
        """Frames in ascending order; what lies off the clock is dropped."""
        for frame in decode(self.context, packet, self.faults):
            picture = cast("VideoFrame", frame)
            tick = self._tick(picture)
            if tick is None or not self.newest < tick <= self.track.order[-1]:
                continue
            if picture.is_corrupt:
                time_s = self.track.second(tick)
                self.faults.note(f"the picture at {time_s:.2f} s is damaged", tick=tick)
            self.newest = tick
            yield tick, picture

    def _tick(self, frame: VideoFrame) -> int | None:
        if self.track.timed:
            return frame.pts if frame.pts is not None else frame.dts
        self.count += 1
        return int(self.track.order[min(self.count, len(self.track.order)) - 1])


def _can_skip(track: Track, stream: VideoStream) -> bool:
    if not track.timed or stream.container.format.name == "avi":
        return False  # frames are counted; or a packet may hold two pictures (DivX)
    if track.codec != "hevc":
        return track.codec in SPARSE_CODECS
    # A frame that nothing in its own temporal layer refers to may still serve a higher
    # layer: skip only where there is one layer (hvcC record, ISO/IEC 14496-15, 8.3.3.1.2).
    record = stream.codec_context.extradata or b""
    return len(record) > _HVCC_LAYERS_BYTE and record[0] == 1 and (record[21] >> 3) & 7 == 1


def _stretches(track: Track, ticks: Iterable[int]) -> list[tuple[int, int]]:
    """First and last packet numbers to decode for these frames, ascending, apart.

    The first packet is always among them: there encoders say who they are, and decoders
    make up for the mistakes of some (4:4:4 of old x264, libavcodec/h264_sei.c). Without it
    such pictures come out wrong, and nothing tells.
    """
    keys = np.flatnonzero(track.key)
    found = [(0, 0)]
    for tick in sorted(ticks):
        last = int(np.flatnonzero((track.pts == tick) & track.shown)[0])
        # pictures that follow a key frame in the file but precede it in time lean on the
        # key frame before (open groups of pictures)
        before = keys[(keys <= last) & (track.pts[keys] <= tick)]
        found.append((int(before[-1]) if len(before) else 0, last))
    return _joined(sorted(found))


def _joined(stretches: list[tuple[int, int]]) -> list[tuple[int, int]]:
    joined = stretches[:1]
    for first, last in stretches[1:]:
        if first <= joined[-1][1] + 1:
            joined[-1] = joined[-1][0], max(last, joined[-1][1])
        else:
            joined.append((first, last))
    return joined


def _inside(
    packets: Iterable[Packet], stretches: Sequence[tuple[int, int]]
) -> Iterator[tuple[Packet, bool]]:
    """The packets of the stretches, each with whether it ends one."""
    ahead = iter(stretches)
    first, last = next(ahead)
    for number, packet in enumerate(packets):
        if number < first:
            continue
        yield packet, number == last
        if number == last:
            following = next(ahead, None)
            if following is None:
                return
            first, last = following
