"""Which of many fingerprints are alike: an inverted index, then a look at the candidates.

Comparing every pair of 10,000 tracks takes hours. Copies share sub-fingerprints, at one
distance in time throughout, so every pair that shares some on one diagonal is a candidate,
and only candidates are aligned. A sub-fingerprint that many tracks share (silence, one note
held) says little: each track that has it asks the next few that do and no more, so that a
thousand copies of one sound still hang together while silence costs nothing. A few hundred
tracks are compared pair by pair instead: that also finds what shares nothing exactly.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reelscope.music.alignment import (
    Alignment,
    Items,
    align,
    align_near,
    least_overlap,
)
from reelscope.music.compiled import compiled

LEAST_KEY_BITS, MOST_KEY_BITS = 16, 24
"""How much of an item is the key of the index, its highest bits. Fewer bits find what is less
alike, and more that is there by chance; the number grows with the library. With 24 bits all
36 tracks of the corpus were found in every copy of class `same` or better."""

VOTES = 3
"""Equal keys on one diagonal (2 items wide) that make a candidate."""

MOST_CANDIDATES = 64
"""Of one fingerprint, those with the most votes."""

FREQUENT_ASKS = 32
"""So many of the following holders of a frequent key are asked."""

REACH = 4
"""Offsets around a candidate's diagonal that are tried, half a second on either side."""

ALL_PAIRS_ITEMS = 450_000
"""... and only if they have no more items than this in all (15 hours of sound), which takes half
a minute on one core. The work grows with the square: two sounds of 10 hours go by the index."""

_AT_ONCE = 16


@dataclass(frozen=True)
class Search:
    """How pairs are looked for.

    Attributes:
        least_items: of an overlap, unless the shorter one has fewer.
        least_share: of the shorter one that an overlap covers, 0-1.
        frequent_share: a key that more than this share of the fingerprints have is frequent.
        all_pairs: up to so many fingerprints, every pair is compared (see `ALL_PAIRS_ITEMS`).
        least_similarity: pairs below it are not given.
        threads: that work side by side.
    """

    least_items: int
    least_share: float
    frequent_share: float
    all_pairs: int
    least_similarity: float
    threads: int


@dataclass(frozen=True)
class Pair:
    """Two fingerprints that are alike: their numbers, first < second, and how they lie."""

    first: int
    second: int
    alignment: Alignment


@dataclass(frozen=True)
class _Index:
    """The keys of all fingerprints, sorted; equal ones after each other are taken once."""

    entry_from: NDArray[np.int64]
    """Per fingerprint: its first entry; one more at the end."""
    place: NDArray[np.int32]
    """Per entry: the item, counted in its own fingerprint."""
    owner: NDArray[np.int32]
    """Per entry: whose it is."""
    order: NDArray[np.int32]
    """Entries sorted by key, then as they come."""
    rank: NDArray[np.int32]
    """Per entry: where it stands in `order`."""
    group_end: NDArray[np.int32]
    """Per rank: where the entries of the same key end that it asks."""


def alike(
    fingerprints: Sequence[Items], search: Search, progress: Callable[[int], None] = lambda _: None
) -> list[Pair]:
    """The pairs that are alike, in order.

    Args:
        fingerprints: any number; an empty one is like nothing.
        search: how to look for them.
        progress: is told how many fingerprints have been dealt with.

    Memory is bounded by about 24 bytes an item beside the fingerprints: 350 MB for 10,000
    tracks of 3 minutes.
    """
    count = len(fingerprints)
    if count < 2:
        return []
    total = sum(map(len, fingerprints))
    few = count <= search.all_pairs and total <= ALL_PAIRS_ITEMS
    index = None if few else _index(fingerprints, search)
    pairs: list[Pair] = []
    done = 0
    with ThreadPoolExecutor(max(search.threads, 1)) as pool:
        starts = range(0, count, _AT_ONCE)
        for found in pool.map(lambda s: _of_some(fingerprints, index, search, s), starts):
            pairs += found
            done += _AT_ONCE
            progress(min(done, count))
    return pairs


def _of_some(
    fingerprints: Sequence[Items], index: _Index | None, search: Search, start: int
) -> list[Pair]:
    numbers = range(start, min(start + _AT_ONCE, len(fingerprints)))
    return list(
        itertools.chain.from_iterable(_of_one(fingerprints, index, search, n) for n in numbers)
    )


def _of_one(
    fingerprints: Sequence[Items], index: _Index | None, search: Search, first: int
) -> Iterator[Pair]:
    one = fingerprints[first]
    if not len(one):
        return
    suspects: Iterator[tuple[int, int | None]]
    if index is None:
        suspects = ((second, None) for second in range(first + 1, len(fingerprints)))
    else:
        suspects = _candidates(index, first)
    best: dict[int, Alignment] = {}
    for second, offset in suspects:
        found = _aligned(one, fingerprints[second], offset, search)
        held = best.get(second)
        if found and (held is None or found.similarity > held.similarity):
            best[second] = found
    yield from (Pair(first, second, best[second]) for second in sorted(best))


def _aligned(one: Items, other: Items, offset: int | None, search: Search) -> Alignment | None:
    if not len(other):
        return None
    least = least_overlap(len(one), len(other), least=search.least_items, share=search.least_share)
    if offset is None:
        found = align(one, other, least)
    else:
        found = align_near(one, other, least, offset=offset, reach=REACH)
    enough = found.overlap and found.similarity >= search.least_similarity
    return found if enough else None


def _candidates(index: _Index, first: int) -> Iterator[tuple[int, int]]:
    """(Number, suspected offset), those with the most votes first."""
    start, end = int(index.entry_from[first]), int(index.entry_from[first + 1])
    size = 1 << max(_most_votes(index.rank, index.group_end, start, end) * 2, 16).bit_length()
    keys, votes = np.full(size, -1, np.int64), np.zeros(size, np.int32)
    _vote(start, end, index.place, index.owner, index.order, index.rank, index.group_end,
          keys, votes)  # fmt: skip
    enough = _with_neighbours(keys, votes)
    slots = np.flatnonzero(enough >= VOTES)
    chosen = slots[np.lexsort((keys[slots], -enough[slots]))][:MOST_CANDIDATES]
    for key in keys[chosen].tolist():
        second, diagonal = key >> 32, (key & 0xFFFFFFFF) - (1 << 31)
        yield second, 2 * diagonal


def key_bits(items: int) -> int:
    """How many bits of an item are its key, by how many items there are in all."""
    return min(max(math.ceil(math.log2(max(items, 2))) + 1, LEAST_KEY_BITS), MOST_KEY_BITS)


def _index(fingerprints: Sequence[Items], search: Search) -> _Index:
    shift = np.uint32(32 - key_bits(sum(map(len, fingerprints))))
    kept = [_changes(items >> shift) for items in fingerprints]
    counts = np.array([len(places) for places in kept], np.int64)
    owner = np.repeat(np.arange(len(kept), dtype=np.int32), counts)
    keys = np.concatenate(
        [(items >> shift)[places] for items, places in zip(fingerprints, kept, strict=True)]
    ).astype(np.uint64)
    packed = (keys << np.uint64(32)) | np.arange(len(keys), dtype=np.uint64)
    del keys
    packed.sort()
    order = (packed & np.uint64(0xFFFFFFFF)).astype(np.int32)
    most = max(round(search.frequent_share * len(fingerprints)), FREQUENT_ASKS)
    group_end = _group_ends((packed >> np.uint64(32)).astype(np.uint32), most)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order), dtype=np.int32)
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    return _Index(starts, np.concatenate(kept), owner, order, rank, group_end)


def _changes(keys: NDArray[np.uint32]) -> NDArray[np.int32]:
    """Places where a key is not the one before."""
    if not len(keys):
        return np.zeros(0, np.int32)
    changed = np.concatenate([[True], keys[1:] != keys[:-1]])
    return np.flatnonzero(changed).astype(np.int32)


@compiled
def _group_ends(keys: NDArray[np.uint32], most: int) -> NDArray[np.int32]:
    ends = np.empty(len(keys), np.int32)
    start = 0
    while start < len(keys):
        end = start + 1
        while end < len(keys) and keys[end] == keys[start]:
            end += 1
        for rank in range(start, end):
            ends[rank] = end if end - start <= most else min(end, rank + 1 + FREQUENT_ASKS)
        start = end
    return ends


@compiled
def _most_votes(rank: NDArray[np.int32], group_end: NDArray[np.int32], start: int, end: int) -> int:
    """More votes than these entries can cast."""
    votes = 0
    for entry in range(start, end):
        votes += max(group_end[rank[entry]] - rank[entry] - 1, 0)
    return votes


@compiled
def _slot(keys: NDArray[np.int64], key: int) -> int:
    """Where this key is in an open hash table, or where it would go."""
    mask = len(keys) - 1
    mixed = (key ^ (key >> 29)) * 0x9E3779B97F4A7C1
    slot = (mixed ^ (mixed >> 31)) & mask
    while keys[slot] != -1 and keys[slot] != key:
        slot = (slot + 1) & mask
    return slot


@compiled
def _vote(
    start: int,
    end: int,
    place: NDArray[np.int32],
    owner: NDArray[np.int32],
    order: NDArray[np.int32],
    rank: NDArray[np.int32],
    group_end: NDArray[np.int32],
    keys: NDArray[np.int64],
    votes: NDArray[np.int32],
) -> None:
    """Every equal key of a later fingerprint votes for (that one, the distance in time)."""
    for entry in range(start, end):
        here = rank[entry]
        for there in range(here + 1, group_end[here]):
            other = order[there]
            if other < end:
                continue
            diagonal = (np.int64(place[entry]) - place[other]) >> 1
            key = (np.int64(owner[other]) << 32) | (diagonal + (1 << 31))
            slot = _slot(keys, key)
            keys[slot] = key
            votes[slot] += 1


@compiled
def _with_neighbours(keys: NDArray[np.int64], votes: NDArray[np.int32]) -> NDArray[np.int32]:
    """The votes of a diagonal and of the next one."""
    total = votes.copy()
    for slot in range(len(keys)):
        if keys[slot] != -1:
            total[slot] += votes[_slot(keys, keys[slot] + 1)]
    return total
