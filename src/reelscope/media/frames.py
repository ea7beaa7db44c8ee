"""One pass over the pictures: the frames that are looked at, and tiny ones of the rest."""

from __future__ import annotations

import contextlib
import heapq
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from operator import itemgetter
from typing import TypeAlias, cast

from av.video.frame import VideoFrame

from reelscope.media.container import Faults
from reelscope.media.decoding import Shown, decoded, replayed
from reelscope.media.images import RGB, Thumbnails, Upright, small_size
from reelscope.media.info import MediaInfo
from reelscope.media.sampling import Moments
from reelscope.media.tracks import Track
from reelscope.records import FrameKind

Picture: TypeAlias = tuple[float, RGB]
"""A time in seconds, and what is seen then, uint8 (h, w, 3)."""

THUMB_GAP_S = 1 / 33
"""Fast video gives about 30 thumbnails per second, slower video one per decoded frame."""


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
    """What one pass over the pictures left.

    Attributes:
        frames: that are looked at, in time order.
        thumbnails: of all that was decoded; None if they were too many to keep.
        kept: full frames by tick, as many as there was room for.
        decoded: number of frames.
        until_s: time of the last decoded frame.
        bad: damaged packets.
        first_error: a sentence on the first of them.
    """

    frames: tuple[Frame, ...] = ()
    thumbnails: list[Picture] | None = field(default_factory=list)
    kept: dict[int, VideoFrame] = field(default_factory=dict)
    decoded: int = 0
    until_s: float | None = None
    bad: int = 0
    first_error: str | None = None


@dataclass(frozen=True)
class Plan:
    """What a pass over the pictures is asked for.

    Attributes:
        moments: the frames that are looked at.
        short_side: of the small images, pixels.
        everything: decode also the frames that nothing refers to.
        threads: of the decoder.
        thumbnail_bytes: room for thumbnails.
        full_bytes: room for full frames.
    """

    moments: Moments
    short_side: int
    everything: bool
    threads: int
    thumbnail_bytes: int
    full_bytes: int


def scan(info: MediaInfo, plan: Plan, check_time: Callable[[], None]) -> Scan:
    """Decode the pictures once and take from them what is needed."""
    track, found = cast("Track", info.video), Scan()
    faults = Faults(track.damaged_ticks)
    taker = _Taker(info, plan, found)
    for tick, frame in _all_decoded(info, plan, faults, check_time):
        found.decoded += 1
        found.until_s = track.second(tick)
        taker.see(tick, frame)
    taker.finish()
    found.bad, found.first_error = len(faults.bad), faults.first
    return found


def stream_thumbnails(
    info: MediaInfo, plan: Plan, check_time: Callable[[], None]
) -> Iterator[Picture]:
    """The thumbnails of `scan` once more, from the file, in bounded memory."""
    return _thumbnails(info, _all_decoded(info, plan, Faults(), check_time))


def _all_decoded(
    info: MediaInfo, plan: Plan, faults: Faults, check_time: Callable[[], None]
) -> Iterator[Shown]:
    last = cast("Track", info.video).order[-1:].tolist()  # it shows that the end is there
    return decoded(
        info,
        wanted=None if plan.everything else {*plan.moments, *last},
        threads=plan.threads,
        faults=faults,
        check_time=check_time,
    )


class _ThumbnailMaker:
    """Makes the thumbnails of passing frames, leaving out those that come too fast."""

    def __init__(self, info: MediaInfo) -> None:
        self.track = cast("Track", info.video)
        self.images = Thumbnails(info)
        self.next_s = float("-inf")

    def of(self, tick: int, frame: VideoFrame) -> Picture | None:
        time_s = self.track.second(tick)
        if time_s < self.next_s:
            return None
        self.next_s = time_s + THUMB_GAP_S
        return time_s, self.images.image(frame)


def _thumbnails(info: MediaInfo, frames: Iterable[Shown]) -> Iterator[Picture]:
    maker = _ThumbnailMaker(info)
    for tick, frame in frames:
        if thumbnail := maker.of(tick, frame):
            yield thumbnail


class _Taker:
    """Takes small images of the moments, and thumbnails of all that passes."""

    def __init__(self, info: MediaInfo, plan: Plan, found: Scan) -> None:
        self.moments, self.found = plan.moments, found
        self.track = cast("Track", info.video)
        self.ahead = list(reversed(plan.moments))
        self.small = Upright(info, small_size(info.width or 1, info.height or 1, plan.short_side))
        self.thumbnails = _ThumbnailMaker(info)
        self.thumbnail_room, self.full_room = plan.thumbnail_bytes, plan.full_bytes
        self.taken: dict[int, tuple[set[FrameKind], RGB]] = {}
        self.previous: Shown | None = None

    def see(self, tick: int, frame: VideoFrame) -> None:
        """Frames pass in time order."""
        while self.ahead and self.ahead[-1] < tick:  # its own frame never came
            self._take(self.ahead.pop(), *(self.previous or (tick, frame)))
        if self.ahead and self.ahead[-1] == tick:
            self._take(self.ahead.pop(), tick, frame)
        self._keep_thumbnail(tick, frame)
        self.previous = tick, frame

    def finish(self) -> None:
        """Moments after the last frame show that one."""
        while self.ahead and self.previous:
            self._take(self.ahead.pop(), *self.previous)
        self.found.frames = tuple(
            Frame(self.track.second(tick), frozenset(kinds), image)
            for tick, (kinds, image) in self.taken.items()
        )

    def _take(self, moment: int, tick: int, frame: VideoFrame) -> None:
        if tick not in self.taken:
            self.taken[tick] = set(), self.small.image(frame)
            self._keep_full(tick, frame)
        self.taken[tick][0].update(self.moments[moment])

    def _keep_full(self, tick: int, frame: VideoFrame) -> None:
        size = sum(plane.buffer_size for plane in frame.planes)
        if size <= self.full_room:
            self.full_room -= size
            self.found.kept[tick] = frame

    def _keep_thumbnail(self, tick: int, frame: VideoFrame) -> None:
        kept = self.found.thumbnails
        thumbnail = self.thumbnails.of(tick, frame) if kept is not None else None
        if kept is None or thumbnail is None:
            return
        self.thumbnail_room -= thumbnail[1].nbytes
        kept.append(thumbnail)
        if self.thumbnail_room < 0:
            self.found.thumbnails = None


def full_frames(
    info: MediaInfo,
    ticks: Iterable[int],
    *,
    kept: dict[int, VideoFrame],
    threads: int,
    check_time: Callable[[], None],
) -> Iterator[Picture]:
    """Full-size pictures of these frames in time order; what is not kept is decoded again.

    Args:
        info: of the file; it must have video.
        ticks: of the frames.
        kept: frames that are still there.
        threads: of the decoder.
        check_time: raises when the time limit has passed.

    Yields:
        time in seconds, uint8 (h, w, 3) RGB, upright. A frame that does not decode is
        left out.
    """
    track, images = cast("Track", info.video), Upright(info)
    wanted = sorted(set(ticks))
    known = ((tick, kept[tick]) for tick in wanted if tick in kept)
    missing = [tick for tick in wanted if tick not in kept]
    again = replayed(info, missing, threads=threads, check_time=check_time)
    with contextlib.closing(again):
        for tick, frame in heapq.merge(known, again, key=itemgetter(0)):
            yield track.second(tick), images.image(frame)
