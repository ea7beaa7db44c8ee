"""The fingerprint of a sound: where its spectrum has peaks, in time and frequency.

Wang, "An Industrial-Strength Audio Search Algorithm" (ISMIR 2003): peaks of the spectrogram
survive noise, coding and rooms. Here the spectrum is first made flat against its surroundings
in frequency and time (whitening): a peak counts by how far it stands out of what is around it,
so that a voice or a crowd over the music takes its own peaks and not everybody's place.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import scipy.fft
import soxr
from numpy.typing import NDArray

from reelscope.media.container import never
from reelscope.music.compiled import compiled
from reelscope.music.sound import Sound, sound_blocks

VERSION = 1
"""Raised when the same sound gets another fingerprint; an index of another version is of no use."""
RATE_HZ = 8000
"""Music has its strongest partials below 4 kHz; phones and codecs take what lies above."""
FRAME, HOP = 1024, 160
"""128 ms every 20 ms: the window parts the partials of a chord (7.8 Hz a bin), the hop places a
peak to within a sixth of an eighth note at 120 beats a minute."""
FRAMES_PER_S = RATE_HZ / HOP
BINS = 480
"""0 to 3.75 kHz; above, resampling filters of the sources differ."""
LOWEST_BIN = 10
"""78 Hz: below is rumble, and partials are closer than the window can part."""
AROUND_BINS = 30
"""Whitening in frequency: the mean of 234 Hz on either side is taken off, some three
formants' width: what is left are partials, not the timbre of a room or an equaliser."""
AROUND_FRAMES, TIME_SHARE = 50, 0.3
"""Whitening in time: 0.3 of the mean of 1 s on either side. All of it would take held notes
away, none leaves a humming tone a peak in every frame."""
REACH_FRAMES, REACH_BINS = 4, 8
"""A peak is the highest point within 80 ms and 62 Hz on either side."""
RANGE_LOG = 9.0
"""Peaks more than this below the loudest point within 1 s (natural logarithm of the amplitude:
78 dB) are none: dither and the noise of codecs."""
FLOOR_LOG = -6.0
"""And none is quieter than this: a full-scale sine has 5.5, half a step of 16 bits about -5."""
PEAKS_PER_S = 40
"""Of a track: what is kept of every second."""
QUERY_PEAKS_PER_S = 80
"""Of a clip: under noise the music's peaks are not the strongest ones."""

PARAMETERS: dict[str, int | float] = {
    "rate_hz": RATE_HZ,
    "frame": FRAME,
    "hop": HOP,
    "bins": BINS,
    "lowest_bin": LOWEST_BIN,
    "around_bins": AROUND_BINS,
    "around_frames": AROUND_FRAMES,
    "time_share": TIME_SHARE,
    "reach_frames": REACH_FRAMES,
    "reach_bins": REACH_BINS,
    "range_log": RANGE_LOG,
    "floor_log": FLOOR_LOG,
    "peaks_per_s": PEAKS_PER_S,
}
"""All that decides what a fingerprint is; an index states them in its header."""

_PIECE_FRAMES = 3000
"""A minute is analysed at a time ..."""
_MARGIN_FRAMES = AROUND_FRAMES + REACH_FRAMES + 1
"""... with so much before and after it that its peaks do not depend on where it is cut."""
_EDGE = FRAME // 2
"""Frames are centred: the first looks at half a window of silence and half of the sound."""

Map: TypeAlias = NDArray[np.float32]
"""(frames, BINS): how far each point of the spectrum stands out."""


@dataclass(frozen=True, slots=True, eq=False)
class Constellation:
    """The peaks of a sound, by time, then by frequency.

    Attributes:
        frames: of 20 ms from the start of the sound, (n,).
        bins: of 7.8 Hz, (n,).
        length: of the sound in frames.
    """

    frames: NDArray[np.int32]
    bins: NDArray[np.int16]
    length: int

    def __len__(self) -> int:
        return len(self.frames)

    @property
    def duration_s(self) -> float:
        """Of the sound."""
        return self.length / FRAMES_PER_S


def constellation(
    samples: Sound, rate_hz: int = RATE_HZ, *, peaks_per_s: int = PEAKS_PER_S
) -> Constellation:
    """The fingerprint of a sound in memory.

    Args:
        samples: one channel, (n,), finite.
        rate_hz: theirs.
        peaks_per_s: the strongest of every second.
    """
    return _gathered([at_rate(samples, rate_hz)], peaks_per_s)


def fingerprint_file(path: Path, *, check_time: Callable[[], None] = never) -> Constellation:
    """The fingerprint of a file's sound: one decode, bounded memory.

    Raises:
        MediaError: it is no media file, or has no sound.
    """
    return _gathered(sound_blocks(path, RATE_HZ, check_time=check_time), PEAKS_PER_S)


def at_rate(samples: Sound, rate_hz: int) -> Sound:
    """One channel at RATE_HZ."""
    if rate_hz == RATE_HZ:
        return np.ascontiguousarray(samples, np.float32)
    return np.asarray(soxr.resample(samples.astype(np.float32), rate_hz, RATE_HZ), np.float32)


def _gathered(blocks: Iterable[Sound], peaks_per_s: int) -> Constellation:
    frames, bins = [np.zeros(0, np.int32)], [np.zeros(0, np.int16)]
    length = 0
    for first, before, count, sound in _pieces(blocks):
        shown = spectrum(sound)
        at, where = peaks(whitened(shown), loudness(shown), before, before + count, peaks_per_s)
        frames.append(at + np.int32(first - before))
        bins.append(where)
        length = first + count
    return Constellation(np.concatenate(frames), np.concatenate(bins), length)


def _pieces(blocks: Iterable[Sound]) -> Iterator[tuple[int, int, int, Sound]]:
    """(first frame, frames of context before it, frames, padded samples) of each piece.

    Pieces begin at multiples of _PIECE_FRAMES and carry their margins, so that the same
    sound gives the same peaks however it arrives.
    """
    held = np.zeros(_EDGE, np.float32)
    first = before = 0
    margin, piece = _MARGIN_FRAMES, _PIECE_FRAMES
    needed = (before + piece + margin) * HOP + FRAME
    for block in blocks:
        held = np.concatenate([held, block])
        while len(held) >= needed:
            yield first, before, piece, held[:needed]
            first += piece
            held = held[(before + piece - margin) * HOP :]
            before = margin
            needed = (before + piece + margin) * HOP + FRAME
    left = len(held) - before * HOP - _EDGE
    count = -(-left // HOP) if left > 0 else 0
    if count:
        short = (before + count - 1) * HOP + FRAME - len(held)
        yield first, before, count, np.pad(held, (0, max(short, 0)))


# ------------------------------------------------------------------------------- the spectrum

_WINDOW = np.hanning(FRAME + 1)[:-1].astype(np.float32)


def spectrum(sound: Sound) -> Map:
    """Natural logarithm of the amplitude, (frames, BINS); frame i begins at sample i * HOP."""
    cut = np.lib.stride_tricks.sliding_window_view(sound, FRAME)[::HOP]
    shown = np.empty((len(cut), BINS), np.float32)
    for start in range(0, len(cut), 256):  # stays in the cache
        bent = scipy.fft.rfft(cut[start : start + 256] * _WINDOW, axis=1)[:, :BINS]
        power = bent.real**2 + bent.imag**2
        np.log(power + np.float32(1e-12), out=shown[start : start + 256])
    shown *= np.float32(0.5)
    return shown


def loudness(shown: Map) -> NDArray[np.float32]:
    """The highest point of each frame, (frames,)."""
    return np.asarray(shown[:, LOWEST_BIN:].max(axis=1), np.float32)


@compiled
def whitened(shown: Map) -> Map:
    """How far each point stands out of what is around it, first in frequency, then in time."""
    frames, bins = shown.shape
    flat = np.empty((frames, bins), np.float32)
    total = np.empty(bins + 1, np.float64)
    for t in range(frames):
        total[0] = 0.0
        for k in range(bins):
            total[k + 1] = total[k] + shown[t, k]
        for k in range(bins):
            low, high = max(k - AROUND_BINS, 0), min(k + AROUND_BINS + 1, bins)
            flat[t, k] = shown[t, k] - (total[high] - total[low]) / (high - low)
    out = np.empty((frames, bins), np.float32)
    ahead = np.zeros(bins, np.float64)
    for t in range(min(AROUND_FRAMES, frames)):
        for k in range(bins):
            ahead[k] += flat[t, k]
    for t in range(frames):
        if t + AROUND_FRAMES < frames:
            for k in range(bins):
                ahead[k] += flat[t + AROUND_FRAMES, k]
        if t - AROUND_FRAMES - 1 >= 0:
            for k in range(bins):
                ahead[k] -= flat[t - AROUND_FRAMES - 1, k]
        width = min(t + AROUND_FRAMES, frames - 1) - max(t - AROUND_FRAMES, 0) + 1
        share = TIME_SHARE / width
        for k in range(bins):
            out[t, k] = flat[t, k] - share * ahead[k]
    return out


def peaks(
    white: Map, loudest: NDArray[np.float32], start: int, stop: int, peaks_per_s: int
) -> tuple[NDArray[np.int32], NDArray[np.int16]]:
    """(frames, bins) of the strongest peaks of every second, by time, then by frequency.

    Args:
        white: of `whitened`.
        loudest: of `loudness`.
        start, stop: only these frames are looked at; the others are surroundings.
        peaks_per_s: at most.
    """
    frames, bins, heights = _maxima(white, loudest, start, stop)
    second = (frames - start) // round(FRAMES_PER_S)
    order = np.lexsort((bins, -heights, second))
    rank = np.arange(len(order)) - np.searchsorted(second[order], second[order])
    kept = np.sort(order[rank < peaks_per_s])  # _maxima goes by time, then by frequency
    return frames[kept], bins[kept]


@compiled
def _maxima(
    white: Map, loudest: NDArray[np.float32], start: int, stop: int
) -> tuple[NDArray[np.int32], NDArray[np.int16], NDArray[np.float32]]:
    frames, bins = white.shape
    at = np.empty((stop - start) * 64 + 64, np.int32)
    where = np.empty(len(at), np.int16)
    heights = np.empty(len(at), np.float32)
    count = 0
    for t in range(start, min(stop, frames)):
        near = loudest[max(t - AROUND_FRAMES, 0) : t + AROUND_FRAMES + 1].max()
        if near <= FLOOR_LOG:
            continue
        gate = max(near - RANGE_LOG, np.float32(FLOOR_LOG))
        if loudest[t] <= gate:
            continue
        for k in range(LOWEST_BIN, bins - 1):
            height = white[t, k]
            if height <= 0 or height < white[t, k - 1] or height <= white[t, k + 1]:
                continue
            if _is_highest(white, t, k) and count < len(at):
                at[count], where[count], heights[count] = t, k, height
                count += 1
    return at[:count].copy(), where[:count].copy(), heights[:count].copy()


@compiled
def _is_highest(white: Map, t: int, k: int) -> bool:
    """Whether nothing within reach is higher; of equal points the first is the peak."""
    frames, bins = white.shape
    height = white[t, k]
    for u in range(max(t - REACH_FRAMES, 0), min(t + REACH_FRAMES + 1, frames)):
        for j in range(max(k - REACH_BINS, 0), min(k + REACH_BINS + 1, bins)):
            other = white[u, j]
            if other > height or (other == height and (u < t or (u == t and j < k))):
                return False
    return True
