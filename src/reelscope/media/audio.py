"""The sound of a video: any rate, one or two channels or its own, in blocks or whole."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias, cast

import numpy as np
import numpy.typing as npt
import soxr
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.error import FFmpegError

from reelscope.errors import UnreadableMedia
from reelscope.media.container import Faults, decode, drain, open_media, read_packets
from reelscope.media.info import MediaInfo
from reelscope.media.tracks import Track

Samples: TypeAlias = npt.NDArray[np.float32]
"""(n, channels) float32, full scale is -1 to 1."""

LOWEST_RATE_HZ, HIGHEST_RATE_HZ = 1000, 768_000
MOST_CHANNELS, MOST_PLANES = 64, 8
TIME_TOLERANCE_S = 0.04
"""Where the timestamps run ahead of the samples by more, something is missing: silence ..."""
LONGEST_GAP_S = 600.0
"""... but not for longer than this: a damaged timestamp can claim that days are missing."""

_HALF = 0.5**0.5
_DOWNMIX = {
    "FL": (1.0, 0.0), "FR": (0.0, 1.0), "FC": (_HALF, _HALF), "BL": (_HALF, 0.0),
    "BR": (0.0, _HALF), "SL": (_HALF, 0.0), "SR": (0.0, _HALF), "LFE": (0.0, 0.0),
}  # fmt: skip
"""Left and right share of each speaker (ITU-R BS.775-3, annex 4)."""


@dataclass
class SoundCheck:
    """How a pass over the sound ended."""

    bad: int = 0
    first_error: str | None = None
    until_s: float | None = None


class Audio:
    """The sound of a clip. Decoded once if it fits into `cache_bytes`, else by each reader."""

    def __init__(
        self, info: MediaInfo, *, cache_bytes: int, check_time: Callable[[], None]
    ) -> None:
        self._info = info
        self._track = cast("Track", info.audio)
        self._cache_bytes = cache_bytes
        self._check_time = check_time
        self._cache: list[Samples] | None = None
        self._check: SoundCheck | None = None
        self._lock = threading.Lock()
        self.rate_hz = info.audio_rate_hz or 0
        self.channels = info.audio_channels or 0
        if not LOWEST_RATE_HZ <= self.rate_hz <= HIGHEST_RATE_HZ:
            raise UnreadableMedia(f"the sound states a sample rate of {self.rate_hz} Hz")
        if not 1 <= self.channels <= MOST_CHANNELS:
            raise UnreadableMedia(f"the sound states {self.channels} channels")
        self._start_s = self._track.start_s
        self.duration_s = max(self._track.end_s, 0.0) if len(self._track.order) else 0.0
        """Where the sound ends, seconds from the start of the video."""

    def samples(self, rate_hz: int, channels: int = 1) -> npt.NDArray[np.float32]:
        """All of it: float32 (n,) for one channel, else (n, channels)."""
        blocks = list(self.blocks(rate_hz, channels))
        whole = np.concatenate(blocks) if blocks else np.zeros((0, channels), np.float32)
        return whole[:, 0] if channels == 1 else whole

    def blocks(self, rate_hz: int, channels: int = 1, block_s: float = 30.0) -> Iterator[Samples]:
        """The sound in pieces of `block_s` seconds (the last is shorter).

        It starts at time 0 of the video: sound that begins later is led by silence.

        Args:
            rate_hz: of the result; resampled by soxr at high quality.
            channels: 1 (mean of left and right), 2, or the number that the file has.
            block_s: length of a piece, seconds.

        Yields:
            float32 (n, channels).
        """
        if channels not in (1, 2, self.channels):
            raise ValueError(f"{channels} channels of a sound that has {self.channels}")
        size = max(round(block_s * rate_hz), 1)
        mixed = (self._mixed(block, channels) for block in self._native())
        return _rebatched(_resampled(mixed, self.rate_hz, rate_hz, channels), size)

    def check(self) -> SoundCheck:
        """How the sound decodes to its end; reads it if nobody has yet."""
        if self._check is None:
            for _ in self._native():
                pass
        return cast("SoundCheck", self._check)

    # ------------------------------------------------------------------------- decoding

    def _native(self) -> Iterator[Samples]:
        """Blocks at the file's own rate and channels, from time 0."""
        if 4 * self.channels * self.rate_hz * self.duration_s > self._cache_bytes:
            return self._decoded()
        with self._lock:
            if self._cache is None:
                self._cache = list(self._decoded())
        return iter(self._cache)

    def _decoded(self) -> Iterator[Samples]:
        """Decode the file, filling gaps with silence; a complete pass leaves the check."""
        faults, written = Faults(self._track.damaged_ticks), 0
        for time_s, block in self._frames(faults):
            gap = self._gap(time_s, written)
            yield from _silence(gap, self.channels, self.rate_hz)
            heard = block[max(-gap, 0) :]
            written += max(gap, 0) + len(heard)
            yield heard
        until_s = written / self.rate_hz if written else None
        self._check = SoundCheck(len(faults.bad), faults.first, until_s)

    def _gap(self, time_s: float | None, written: int) -> int:
        """Samples missing before a block that starts at this time; less than 0: too many.

        Once it plays, small differences are the container's rounding, and steps back or
        out of the file are broken timestamps.
        """
        if time_s is None:
            return 0
        gap = round(time_s * self.rate_hz) - written
        if not written:
            return gap if time_s <= min(self.duration_s, LONGEST_GAP_S) else 0
        missing_s = gap / self.rate_hz
        real = TIME_TOLERANCE_S < missing_s <= LONGEST_GAP_S and time_s <= self.duration_s
        return gap if real else 0

    def _frames(self, faults: Faults) -> Iterator[tuple[float | None, Samples]]:
        """Decoded pieces with their time in the video, if they state one."""
        with open_media(self._info.path) as container:
            stream = cast("AudioStream", container.streams[self._track.index])
            context = stream.codec_context
            context.thread_type = "NONE"
            converter = _Converter(context.layout.name, self.rate_hz, self.channels)
            try:
                packets = read_packets(
                    container, [stream], faults=faults, check_time=self._check_time
                )
                for packet in itertools.chain(packets, [None]):
                    for frame in decode(context, packet, faults):
                        sound = cast("AudioFrame", frame)
                        time_s = self._time(sound)
                        block = converter.samples(sound, faults)
                        yield time_s, self._to_end(time_s, block)
            finally:
                drain(context)

    def _to_end(self, time_s: float | None, block: Samples) -> Samples:
        """Without the padding that encoders add after the last sample."""
        if time_s is None or not self._track.step:
            return block
        return block[: max(round((self.duration_s - time_s) * self.rate_hz), 0)]

    def _time(self, frame: AudioFrame) -> float | None:
        time_s = frame.time  # a float; pts * time_base would be a fraction for every frame
        if time_s is None or not len(self._track.order):
            return None
        return time_s - self._start_s

    def _mixed(self, block: Samples, channels: int) -> Samples:
        if channels == self.channels:
            return block
        if self.channels == 1:
            return np.repeat(block, channels, axis=1)
        stereo = block if self.channels == 2 else block @ downmix(self._info.speakers)
        return stereo if channels == 2 else stereo.mean(axis=1, keepdims=True, dtype=np.float32)


class _Converter:
    """Decoded frames as float32 (n, channels); rebuilt when the stream changes its kind.

    Samples leave FFmpeg interleaved: PyAV 18 reads past the end of a planar frame of more
    than 8 channels and crashes.
    """

    def __init__(self, layout: str, rate_hz: int, channels: int) -> None:
        self.layout, self.rate_hz, self.channels = layout, rate_hz, channels
        self.kind: tuple[str, str, int] | None = None
        self.resampler = self._resampler()

    def samples(self, frame: AudioFrame, faults: Faults) -> Samples:
        """A frame's samples; none, and a fault, if it cannot be converted."""
        kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        if kind == ("fltp", self.layout, self.rate_hz) and self.channels <= MOST_PLANES:
            planes = [np.frombuffer(p, np.float32, frame.samples) for p in frame.planes]  # type: ignore[call-overload]
            return np.stack(planes, axis=1)  # a copy: the frame's memory is used again
        if kind != self.kind:
            self.kind, self.resampler = kind, self._resampler()
        try:
            pieces = [out.to_ndarray().ravel() for out in self.resampler.resample(frame)]
        except (FFmpegError, ValueError):
            faults.note("sound of a kind that cannot be converted", tick=frame.pts)
            self.kind, pieces = None, []
        flat = np.concatenate([np.zeros(0, np.float32), *pieces])
        return flat.reshape(-1, self.channels)

    def _resampler(self) -> AudioResampler:
        return AudioResampler(format="flt", layout=self.layout, rate=self.rate_hz)


def downmix(speakers: Sequence[str]) -> npt.NDArray[np.float32]:
    """(channels, 2) weights to stereo that cannot clip; unknown speakers go to both sides."""
    weights = np.array([_DOWNMIX.get(name, (_HALF, _HALF)) for name in speakers], np.float32)
    return weights / max(float(weights.sum(axis=0).max()), 1.0)


def _silence(count: int, channels: int, rate_hz: int) -> Iterator[Samples]:
    piece = rate_hz * 10
    for start in range(0, count, piece):
        yield np.zeros((min(piece, count - start), channels), np.float32)


def _resampled(
    blocks: Iterable[Samples], source_hz: int, target_hz: int, channels: int
) -> Iterator[Samples]:
    if source_hz == target_hz:
        yield from blocks
        return
    stream = soxr.ResampleStream(source_hz, target_hz, channels, dtype="float32", quality="HQ")
    for block in blocks:
        yield stream.resample_chunk(np.ascontiguousarray(block))
    yield stream.resample_chunk(np.zeros((0, channels), np.float32), last=True)


def _rebatched(blocks: Iterable[Samples], size: int) -> Iterator[Samples]:
    held: list[Samples] = []
    count = 0
    for block in blocks:
        held.append(block)
        count += len(block)
        if count >= size:
            whole = np.concatenate(held)
            full = count - count % size
            for start in range(0, full, size):
                yield whole[start : start + size]
            held, count = [whole[full:]], count - full
    if count:
        yield np.concatenate(held)
