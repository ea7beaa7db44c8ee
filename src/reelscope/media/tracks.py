"""The packets of a stream, read without decoding them: exact times where headers claim."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import TypeAlias, cast

import numpy as np
import numpy.typing as npt
from av.audio.stream import AudioStream
from av.video.stream import VideoStream

from reelscope.media.container import Packet

Integers: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]
Flags: TypeAlias = npt.NDArray[np.bool_]

NO_PTS = np.iinfo(np.int64).min
LONGEST_GAP_S = 3600.0
"""Packets further than this from all others carry a broken timestamp."""

EPSILON_S = 1e-6
"""Times are kept to the microsecond."""

USUAL_RATE = Fraction(25)
"""For streams that state neither times nor a rate (FFmpeg's own default)."""

_HOPEFUL_PACKETS = 4


@dataclass(frozen=True, eq=False)
class Track:
    """The packets of a stream, in file order.

    Attributes:
        index: of the stream in the container.
        codec: canonical name, "h264".
        time_base: seconds per tick.
        pts: (n,) int64 ticks, NO_PTS where the packet states none. Pictures without any
            times are counted at the stream's rate.
        key: (n,) whether the packet is a key frame.
        shown: (n,) whether its frame is presented: not cut off by an edit list, not a
            hidden reference, and not hours away from the rest.
        damaged: (n,) whether the container marks it corrupt.
        step: ticks from the start of the last packet to its end.
        timed: packets carry the time at which their frame is shown. If not, the frames
            are counted as they come out.
        start_s: time in the stream that is 0 in the video.
    """

    index: int
    codec: str
    time_base: Fraction
    pts: Integers
    key: Flags
    shown: Flags
    damaged: Flags
    step: int
    timed: bool
    start_s: float = 0.0

    @cached_property
    def order(self) -> Integers:
        """Ticks of the shown frames, ascending, each once."""
        return np.unique(self.pts[self.shown])

    @cached_property
    def times_s(self) -> Floats:
        """`order` in seconds of the video, to the microsecond."""
        return np.round(self.seconds(self.order), 6)

    @cached_property
    def key_order(self) -> Integers:
        """As `order`, key frames only."""
        return np.unique(self.pts[self.shown & self.key])

    @cached_property
    def damaged_ticks(self) -> frozenset[int]:
        """Ticks of the packets that the container marks corrupt."""
        return frozenset(self.pts[self.damaged].tolist())

    @property
    def end_s(self) -> float:
        """Where the last frame or sample ends, seconds of the video; 0 if there is none."""
        if not len(self.order):
            return 0.0
        return max(self.second(int(self.order[-1]) + self.step), 0.0)

    def seconds(self, ticks: Integers) -> Floats:
        """Ticks as seconds of the video."""
        base = self.time_base
        return np.asarray(ticks * (base.numerator / base.denominator) - self.start_s, np.float64)

    def second(self, tick: int) -> float:
        """A tick as seconds of the video, to the microsecond."""
        base = self.time_base
        return round(tick * (base.numerator / base.denominator) - self.start_s, 6) + 0.0

    def at(self, times_s: Sequence[float] | Floats) -> Integers:
        """Ticks of the frames that are shown at these times: the last that began by then."""
        moments = np.asarray(times_s, np.float64) + EPSILON_S
        places = np.searchsorted(self.times_s, moments, side="right") - 1
        return self.order[np.maximum(places, 0)]


class Collector:
    """Gathers the packets of one stream while the file is read."""

    def __init__(self, stream: VideoStream | AudioStream) -> None:
        self.stream = stream
        self.codec = stream.codec_context.codec.canonical_name
        self.hopeful: list[Packet] = []
        self.preskip = 0
        self._pts = array("q")
        self._flags = {name: bytearray() for name in ("key", "shown", "damaged")}
        self._last = NO_PTS
        self._last_duration = 0

    def __len__(self) -> int:
        return len(self._pts)

    def add(self, packet: Packet) -> None:
        """Take note of a packet; the first key frames are kept for a look at the picture."""
        pts = packet.pts
        if not self._pts:
            self.preskip = _preskip(packet)
        self._pts.append(NO_PTS if pts is None else pts)
        self._flags["key"].append(packet.is_keyframe)
        self._flags["shown"].append(not packet.is_discard and not self._hidden(packet))
        self._flags["damaged"].append(packet.is_corrupt)
        if pts is not None and pts >= self._last:
            self._last, self._last_duration = pts, packet.duration or 0
        if packet.is_keyframe and len(self.hopeful) < _HOPEFUL_PACKETS:
            self.hopeful.append(packet)

    def _hidden(self, packet: Packet) -> bool:
        """VP8 keeps reference pictures that are never shown (RFC 6386, 9.1: show_frame)."""
        return self.codec == "vp8" and not (memoryview(packet)[0] >> 4) & 1

    def track(self) -> Track | None:
        """The packets as a track; None if none of them is ever shown."""
        if not self._pts:
            return None
        pts = np.frombuffer(self._pts, np.int64).copy()
        key, shown, damaged = (np.frombuffer(raw, np.bool_).copy() for raw in self._flags.values())
        base, timed = self.stream.time_base or Fraction(1, 90000), not self._in_decoding_order
        if self.stream.type == "video" and (pts[shown] == NO_PTS).any():
            timed, pts, shown = False, np.arange(len(pts), dtype=np.int64), np.ones_like(shown)
            base = 1 / (self.rate or USUAL_RATE)
        shown = _together(pts, shown & (pts != NO_PTS), base)
        if self.stream.type == "video" and not shown.any():
            return None
        return Track(
            index=self.stream.index,
            codec=self.codec,
            time_base=base,
            pts=pts,
            key=key,
            shown=shown,
            damaged=damaged,
            step=self._step(pts[shown], base),
            timed=timed,
        )

    @property
    def _in_decoding_order(self) -> bool:
        """AVI knows no times; FFmpeg numbers these codecs' packets as they are decoded."""
        return self.stream.container.format.name == "avi" and self.codec in {"h264", "hevc"}

    @property
    def rate(self) -> Fraction | None:
        """Frames per second as the container states it, if it makes sense."""
        stream = cast("VideoStream", self.stream)
        for rate in (stream.average_rate, stream.guessed_rate):
            if rate and 0 < rate <= 1000:
                return rate
        return None

    def _step(self, shown: Integers, base: Fraction) -> int:
        stated = self._last_duration
        if base == self.stream.time_base and 0 < stated * base < LONGEST_GAP_S:
            return stated
        known = np.unique(shown)
        return int(np.median(np.diff(known))) if len(known) > 1 else 0


def _preskip(packet: Packet) -> int:
    """Samples at the very start that are decoded but never heard."""
    if not packet.has_sidedata("skip_samples"):
        return 0
    return int.from_bytes(bytes(packet.get_sidedata("skip_samples"))[:4], "little")


def _together(pts: Integers, shown: Flags, base: Fraction) -> Flags:
    """Which shown packets lie in the largest group without an hour-long gap."""
    known = np.unique(pts[shown])
    breaks = np.flatnonzero(np.diff(known) > float(LONGEST_GAP_S / base)) + 1
    if not len(breaks):
        return shown
    edges = [(group[0], group[-1]) for group in np.split(known, breaks)]
    groups = [shown & (pts >= first) & (pts <= last) for first, last in edges]
    return max(groups, key=np.count_nonzero)


def measured_rate(track: Track) -> Fraction | None:
    """Average frames per second from the first to the last frame."""
    if len(track.order) < 2:
        return None
    span = int(track.order[-1] - track.order[0]) * track.time_base
    return ((len(track.order) - 1) / span).limit_denominator(1001)


def is_variable(track: Track) -> bool:
    """Whether frames are unevenly spaced, by more than a tenth and the clock's rounding."""
    steps = np.diff(track.order)
    if len(steps) < 2:
        return False
    usual = float(np.median(steps))
    rounding = 1.0 if usual >= 8 else 0.0  # coarse clocks have whole steps, fine ones jitter
    return bool((np.abs(steps - usual) > max(0.1 * usual, rounding)).any())
