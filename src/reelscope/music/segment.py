"""Fingerprints of many tracks in a form that can be searched, and that can lie in a file.

A segment never changes. Its tracks stand one after another on one timeline of frames (with a
gap between two); it holds every track's peaks, and pairs of neighbouring peaks sorted by what
they look like (a hash of two frequencies and the time between), each with its place on the
timeline: Wang's index (see fingerprint.py), as plain arrays.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reelscope.music.compiled import compiled
from reelscope.music.fingerprint import Constellation

FAN_OUT = 2
"""Pairs that a peak of a track begins: 80 a second. The clip's peaks begin more (listening.py)
and find these among them; a third pair finds nothing that two do not and costs half a megabyte
an hour."""
FIRST_GAP, LAST_GAP = 2, 63
"""Frames between the peaks of a pair: 40 ms (closer, the windows overlap almost wholly) to
1.26 s (longer pairs are lost in 3 s clips and drift when the tempo is another)."""
MOST_STEP = 63
"""Bins between the peaks of a pair: 492 Hz."""
BIN_BITS, STEP_BITS, GAP_BITS = 9, 7, 6
HASH_BITS = BIN_BITS + STEP_BITS + GAP_BITS
FEWEST_CELL_BITS = 12
PER_CELL = 8
"""Pairs in a cell of the table on average: small tables have coarse cells, so that the table
is an eighth of the pairs however few there are."""
BLOCK_BITS = 6
BLOCK = 1 << BLOCK_BITS
"""Frames for which there is a pointer into the peaks: 1.28 s."""
GAP_FRAMES = 512
"""Between two tracks: no pair and no clip reaches across."""


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """Searchable fingerprints of tracks.

    Attributes:
        numbers: of the tracks, (k,) int64.
        starts: first frame of each on the common timeline, and the end of all, (k + 1,) int64.
        lengths: frames of each, (k,) int32.
        blocks: first peak of every BLOCK frames of the timeline, and the number of all,
            (n + 1,) uint32.
        points: of each peak bin << BLOCK_BITS | frame in its block, uint16.
        cells: first pair of each cell of hashes, and the number of all, (2**bits + 1,) uint32.
        places: frame on the timeline where each pair begins, uint32, ascending in a cell.
    """

    numbers: NDArray[np.int64]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int32]
    blocks: NDArray[np.uint32]
    points: NDArray[np.uint16]
    cells: NDArray[np.uint32]
    places: NDArray[np.uint32]

    @classmethod
    def build(cls, items: Sequence[tuple[int, Constellation]]) -> Segment:
        """A segment of these (number, fingerprint)."""
        numbers = np.array([number for number, _ in items], np.int64)
        lengths = np.array([c.length for _, c in items], np.int32)
        room = (lengths.astype(np.int64) + GAP_FRAMES + BLOCK - 1) // BLOCK * BLOCK
        starts = np.concatenate([[0], np.cumsum(room)]).astype(np.int64)
        if starts[-1] >= 1 << 32:
            raise ValueError(f"{len(items)} tracks of {starts[-1]} frames are too long for one")
        frames = np.concatenate(
            [
                np.zeros(0, np.int64),
                *(c.frames + s for (_, c), s in zip(items, starts, strict=False)),
            ]
        )
        bins = np.concatenate([np.zeros(0, np.int64), *(c.bins.astype(np.int64) for _, c in items)])
        hashes, places = pairs(frames, bins, FAN_OUT)
        shift = HASH_BITS - cell_bits(len(hashes))
        order = np.argsort(hashes >> shift, kind="stable")
        cell = (hashes >> shift)[order]
        return cls(
            numbers,
            starts,
            lengths,
            np.searchsorted(frames, np.arange(0, starts[-1] + 1, BLOCK)).astype(np.uint32),
            (bins << BLOCK_BITS | (frames & (BLOCK - 1))).astype(np.uint16),
            np.searchsorted(cell, np.arange((1 << (HASH_BITS - shift)) + 1)).astype(np.uint32),
            places[order].astype(np.uint32),
        )

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Segment:
        """A segment of what `arrays` gave.

        Raises:
            ValueError: they are not what makes up a segment, or do not fit together.
        """
        if set(arrays) != set(_KINDS):
            raise ValueError(f"a segment has {', '.join(_KINDS)}, not {', '.join(arrays)}")
        for name, kind in _KINDS.items():
            if arrays[name].dtype != kind or arrays[name].ndim != 1:
                raise ValueError(f"{name} is not one row of {np.dtype(kind).name}")
        segment = cls(**arrays)
        segment._check()
        return segment

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All that it consists of, by name."""
        return {name: getattr(self, name) for name in _KINDS}

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def frames(self) -> int:
        """Length of the common timeline."""
        return int(self.starts[-1])

    def track_at(self, frame: float) -> int:
        """Which track (its place in the segment) stands at this frame of the timeline."""
        last = max(len(self) - 1, 0)
        return min(max(int(np.searchsorted(self.starts, frame, "right")) - 1, 0), last)

    def constellation(self, number: int) -> Constellation:
        """The fingerprint of a track; raises KeyError if it is not here."""
        where = np.flatnonzero(self.numbers == number)
        if not len(where):
            raise KeyError(number)
        return self._constellation(int(where[0]))

    def _constellation(self, at: int) -> Constellation:
        start, stop = int(self.starts[at]), int(self.starts[at + 1])
        first, last = start >> BLOCK_BITS, stop >> BLOCK_BITS
        bounds = np.asarray(self.blocks[first : last + 1], np.int64)
        points = np.asarray(self.points[bounds[0] : bounds[-1]])
        block = np.repeat(np.arange(last - first), np.diff(bounds))
        frames = (block << BLOCK_BITS) + (points & (BLOCK - 1))
        return Constellation(
            frames.astype(np.int32),
            (points >> BLOCK_BITS).astype(np.int16),
            int(self.lengths[at]),
        )

    def _check(self) -> None:
        """Cheap: sizes and ends alone, so that a mapped file is not read through."""
        count = len(self.numbers)
        if len(self.starts) != count + 1 or len(self.lengths) != count or self.starts[0]:
            raise ValueError("its tracks, their starts and lengths are not equally many")
        if len(self.blocks) != (self.frames >> BLOCK_BITS) + 1:
            raise ValueError("its pointers do not cover its timeline")
        if self.blocks[-1] != len(self.points) or self.cells[-1] != len(self.places):
            raise ValueError("its pointers do not end where its peaks and pairs do")
        if len(self.cells) != (1 << cell_bits(len(self.places))) + 1:
            raise ValueError("its table of hashes is not of the size that its pairs ask for")


_KINDS: dict[str, type[np.generic]] = {
    "numbers": np.int64,
    "starts": np.int64,
    "lengths": np.int32,
    "blocks": np.uint32,
    "points": np.uint16,
    "cells": np.uint32,
    "places": np.uint32,
}


def merge(segments: Iterable[Segment], *, without: Container[int] = ()) -> Segment:
    """One segment of the tracks of several, in their order, but for some of them."""
    return Segment.build(
        [
            (int(number), segment._constellation(at))
            for segment in segments
            for at, number in enumerate(segment.numbers)
            if int(number) not in without
        ]
    )


def cell_bits(pairs: int) -> int:
    """Leading bits of a hash that make the cell, for so many pairs."""
    return min(max((pairs // PER_CELL).bit_length(), FEWEST_CELL_BITS), HASH_BITS)


@compiled
def pack(low: int, step: int, gap: int) -> int:
    """The hash of a pair: bin of the first peak, bins up to the second, frames between.

    The halves' bits come first (bin, step, gap), the lowest bit of each last: the leading
    bits alone are a coarser hash of the same pair.
    """
    up = step + MOST_STEP + 1
    coarse = ((low >> 1) << (STEP_BITS + GAP_BITS - 2)) | ((up >> 1) << (GAP_BITS - 1)) | (gap >> 1)
    return (coarse << 3) | ((low & 1) << 2) | ((up & 1) << 1) | (gap & 1)


@compiled
def pairs(
    frames: NDArray[np.int64], bins: NDArray[np.int64], fan_out: int
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """(hash, frame) of each peak with the next `fan_out` in its reach, in order of time."""
    hashes = np.empty(len(frames) * fan_out, np.int32)
    places = np.empty(len(frames) * fan_out, np.int64)
    count = 0
    for first in range(len(frames)):
        begun = 0
        for second in range(first + 1, len(frames)):
            gap = frames[second] - frames[first]
            if gap > LAST_GAP or begun == fan_out:
                break
            step = bins[second] - bins[first]
            if gap >= FIRST_GAP and abs(step) <= MOST_STEP:
                hashes[count] = pack(bins[first], step, gap)
                places[count] = frames[first]
                count += 1
                begun += 1
    return hashes[:count].copy(), places[:count].copy()
