"""Where in a segment could a clip be? Votes of its pairs of peaks for places on the timeline.

A pair that is heard and a pair of a track that look alike say: then the clip would begin here.
Pairs that are alike by chance say something else each; those of the right place agree (Wang
2003). Under a hypothesis of another tempo or pitch the clip's pairs are moved first. Votes are
counted in a small table by a hash of the place, so that what a hypothesis costs depends on the
votes and not on the length of the library; only the places in well-filled counters are then
counted one by one. Where a library is large, common pairs are left out first: they say least
(stop words).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reelscope.music.compiled import compiled
from reelscope.music.fingerprint import BINS, LOWEST_BIN
from reelscope.music.segment import (
    FIRST_GAP,
    GAP_BITS,
    HASH_BITS,
    LAST_GAP,
    MOST_STEP,
    STEP_BITS,
    Segment,
    pack,
)

CELL_BITS = 2
"""Places are counted in cells of 4 frames, 80 ms: what the tempo's step leaves over in 10 s."""
COARSE_BITS = HASH_BITS - 3
"""Pairs are compared at half the resolution of bins and frames: a peak under noise moves."""
MOST_VOTES, MOST_VOTES_EACH = 2_000_000, 100_000
"""Of the one hypothesis that nothing was changed, and of each of the many others."""
FEWEST_VOTES = 4
"""For a place to be looked at."""
EXACT, COARSE, FINE = 0, 1, 2
"""Which cells a pair asks for: the one of half resolution that it falls into; the nearer two in
each dimension; where these would be too many votes, the one of full resolution and its six
neighbours."""
_ORIGIN = 1 << 20
"""Added to places, so that a clip may begin before the timeline does."""
_MIX = 2654435761
"""Knuth's multiplicative hash (The Art of Computer Programming 3, 6.4): 2**32 / golden ratio."""
_MOST_KEPT = 1 << 14
"""Votes of well-filled counters that are counted one by one."""


@dataclass(frozen=True, slots=True, eq=False)
class Ballot:
    """Places that were voted for, best first.

    Attributes:
        votes: (n,).
        places: frames on the segment's timeline where the clip would begin, (n,).
        hypotheses: which of those that were tried, (n,).
    """

    votes: NDArray[np.int64]
    places: NDArray[np.int64]
    hypotheses: NDArray[np.int64]


def vote(
    pairs: NDArray[np.float32],
    segment: Segment,
    hypotheses: NDArray[np.float64],
    *,
    probe: bool = False,
    most: int,
) -> Ballot:
    """The places of a segment that most pairs speak for.

    Args:
        pairs: of the clip, see Heard, (n, 4).
        segment: where to look.
        hypotheses: (tempo, pitch): how much faster and higher the clip is, (m, 2).
        probe: ask for the neighbours of each hash too; eightfold work.
        most: places in all.
    """
    limit = MOST_VOTES if probe else MOST_VOTES_EACH
    cells = (segment.frames >> CELL_BITS) + (1 << 12)
    counters = min(1 << int(cells).bit_length(), 1 << (20 if probe else 17))
    found, count = _vote(
        pairs, segment.cells, segment.places, hypotheses, probe, most, limit, counters
    )
    order = np.argsort(-found[:count, 0], kind="stable")
    return Ballot(found[order, 0], found[order, 1], found[order, 2])


@compiled
def _vote(
    pairs: NDArray[np.float32],
    cells: NDArray[np.uint32],
    places: NDArray[np.uint32],
    hypotheses: NDArray[np.float64],
    probe: bool,
    most: int,
    limit: int,
    counters: int,
) -> tuple[NDArray[np.int64], int]:
    found = np.empty((most, 3), np.int64)
    count = 0
    table = np.empty(counters, np.uint16)
    ranges = np.empty((len(pairs) * (8 if probe else 1), 3), np.int64)
    keys = np.empty(_MOST_KEPT, np.int64)
    for h in range(len(hypotheses)):
        tempo, pitch = hypotheses[h, 0], hypotheses[h, 1]
        asked = _ranges(pairs, cells, tempo, pitch, COARSE if probe else EXACT, ranges)
        if probe and _votes(ranges, asked) > limit:
            asked = _ranges(pairs, cells, tempo, pitch, FINE, ranges)
        longest = _longest(ranges, asked, limit)
        table[:] = 0
        top = _count(ranges, asked, longest, places, table)
        least = (
            FEWEST_VOTES if count < most else max(FEWEST_VOTES, _smallest(found, count) // 2 + 1)
        )
        if top < least:
            continue
        kept = _collect(ranges, asked, longest, places, table, least, keys)
        if kept == len(keys):
            least = max(least, _least(table, top))
            kept = _collect(ranges, asked, longest, places, table, least, keys)
        count = _enter(np.sort(keys[:kept]), h, found, count)
    return found, count


@compiled
def _ranges(
    pairs: NDArray[np.float32],
    cells: NDArray[np.uint32],
    tempo: float,
    pitch: float,
    which: int,
    ranges: NDArray[np.int64],
) -> int:
    """Fill in (first place, last place, frame in the clip as the track would count it)."""
    bits = 0
    while (1 << bits) < len(cells) - 1:
        bits += 1
    resolution = HASH_BITS if which == FINE else COARSE_BITS
    wider, finer = max(resolution - bits, 0), max(bits - resolution, 0)
    turns = 1 if which == EXACT else 8 if which == COARSE else 7
    found = 0
    for i in range(len(pairs)):
        low, high, gap = pairs[i, 1] / pitch, pairs[i, 2] / pitch, pairs[i, 3] * tempo
        first = found
        for turn in range(turns):
            if which == FINE:
                cell = _fine(low, high, gap, turn)
            else:
                cell = _coarse(low, high, gap, turn if which == COARSE else -1)
            if cell < 0:
                continue
            cell >>= wider
            known = False
            for j in range(first, found):
                known = known or ranges[j, 2] == cell
            if known:
                continue
            start, stop = cells[cell << finer], cells[(cell + 1) << finer]
            if stop > start:
                ranges[found, 0], ranges[found, 1], ranges[found, 2] = start, stop, cell
                found += 1
        frame = int(np.floor(pairs[i, 0] * tempo + 0.5))
        for j in range(first, found):
            ranges[j, 2] = frame
    return found


@compiled
def _votes(ranges: NDArray[np.int64], asked: int) -> int:
    total = 0
    for j in range(asked):
        total += ranges[j, 1] - ranges[j, 0]
    return total


@compiled
def _fine(low: float, high: float, gap: float, turn: int) -> int:
    """The hash of a pair (turn 0) or of a neighbour; -1: no track has such."""
    bin_, time = int(low + 0.5), int(gap + 0.5)
    step = int(high + 0.5) - bin_
    if turn in (1, 2):
        bin_ += 3 - 2 * turn
    elif turn in (3, 4):
        step += 7 - 2 * turn
    elif turn > 4:
        time += 11 - 2 * turn
    if not LOWEST_BIN <= bin_ < BINS or abs(step) > MOST_STEP:
        return -1
    if not FIRST_GAP <= time <= LAST_GAP:
        return -1
    return pack(bin_, step, time)


@compiled
def _coarse(low: float, high: float, gap: float, turn: int) -> int:
    """The hash of a pair at half resolution; -1: no track has such.

    Turns 0 to 7 take the nearer two cells in each dimension, -1 the one it falls into.
    """
    up = high - low + MOST_STEP + 1
    if turn < 0:
        bin_, step, time = int(low + 0.5) >> 1, int(up + 0.5) >> 1, int(gap + 0.5) >> 1
    else:
        bin_ = int(np.floor(low * 0.5 + (0.75 if turn & 1 else -0.25)))
        step = int(np.floor(up * 0.5 + (0.75 if turn & 2 else -0.25)))
        time = int(np.floor(gap * 0.5 + (0.75 if turn & 4 else -0.25)))
    if not LOWEST_BIN >> 1 <= bin_ < BINS >> 1 or not 0 <= step <= MOST_STEP:
        return -1
    if not FIRST_GAP >> 1 <= time <= LAST_GAP >> 1:
        return -1
    return (bin_ << (STEP_BITS + GAP_BITS - 2)) | (step << (GAP_BITS - 1)) | time


@compiled
def _longest(ranges: NDArray[np.int64], asked: int, limit: int) -> int:
    """The longest list of places that is still read, for at most `limit` votes in all."""
    sums = np.zeros(64, np.int64)
    for j in range(asked):
        length = ranges[j, 1] - ranges[j, 0]
        size = 0
        while (1 << size) < length:
            size += 1
        sums[size] += length
    total = 0
    for size in range(64):
        total += sums[size]
        if total > limit and size > 0:
            return 1 << (size - 1)
    return 1 << 62


@compiled
def _count(
    ranges: NDArray[np.int64],
    asked: int,
    longest: int,
    places: NDArray[np.uint32],
    table: NDArray[np.uint16],
) -> int:
    mask = len(table) - 1
    top = 0
    for j in range(asked):
        if ranges[j, 1] - ranges[j, 0] > longest:
            continue
        origin = _ORIGIN - ranges[j, 2]
        for p in range(ranges[j, 0], ranges[j, 1]):
            key = (np.int64(places[p]) + origin) >> CELL_BITS
            at = ((key * _MIX) >> 12) & mask
            table[at] += 1
            top = max(top, table[at])
    return top


@compiled
def _collect(
    ranges: NDArray[np.int64],
    asked: int,
    longest: int,
    places: NDArray[np.uint32],
    table: NDArray[np.uint16],
    least: int,
    keys: NDArray[np.int64],
) -> int:
    """The cells of all votes whose counters are that full."""
    mask = len(table) - 1
    kept = 0
    for j in range(asked):
        if ranges[j, 1] - ranges[j, 0] > longest:
            continue
        origin = _ORIGIN - ranges[j, 2]
        for p in range(ranges[j, 0], ranges[j, 1]):
            key = (np.int64(places[p]) + origin) >> CELL_BITS
            if table[((key * _MIX) >> 12) & mask] >= least and kept < len(keys):
                keys[kept] = key
                kept += 1
    return kept


@compiled
def _least(table: NDArray[np.uint16], top: int) -> int:
    """The count from which all votes fit into what can be kept."""
    votes = np.zeros(top + 1, np.int64)
    for i in range(len(table)):
        votes[table[i]] += table[i]
    least = top
    left = _MOST_KEPT - votes[top]
    while least > 1 and votes[least - 1] <= left:
        least -= 1
        left -= votes[least]
    return int(least)


@compiled
def _enter(keys: NDArray[np.int64], h: int, found: NDArray[np.int64], count: int) -> int:
    """Put the places of a hypothesis among the best; a cell counts with its fuller neighbour."""
    before, i, entered = 0, 0, 0
    last = -(1 << 62)
    while i < len(keys):
        stop = i
        while stop < len(keys) and keys[stop] == keys[i]:
            stop += 1
        after = 0
        while stop + after < len(keys) and keys[stop + after] == keys[i] + 1:
            after += 1
        own = stop - i
        votes = own + max(before if last == keys[i] - 1 else 0, after)
        if votes >= FEWEST_VOTES:
            count = _insert(found, count, votes, ((keys[i] << CELL_BITS) - _ORIGIN) + 2, h)
            entered += 1
        before, last = own, keys[i]
        i = stop
    return count


@compiled
def _insert(found: NDArray[np.int64], count: int, votes: int, place: int, h: int) -> int:
    if count < len(found):
        at = count
        count += 1
    else:
        at = 0
        for i in range(1, count):
            if found[i, 0] < found[at, 0]:
                at = i
        if found[at, 0] >= votes:
            return count
    found[at, 0], found[at, 1], found[at, 2] = votes, place, h
    return count


@compiled
def _smallest(found: NDArray[np.int64], count: int) -> int:
    least = found[0, 0]
    for i in range(1, count):
        least = min(least, found[i, 0])
    return int(least)
