"""How alike two raw Chromaprints are: the share of equal bits at the best offset.

A fingerprint is uint32 (n,), one item for every 0.124 s (`music/chromaprint_items.py`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from reelscope.music.compiled import compiled

Items = NDArray[np.uint32]

DECOYS = 32
"""False alignments of the same overlap that a pair is measured against."""

CHANCE_OVERLAPS = (24, 40, 80, 160, 320, 640)
CHANCE_MEDIAN = (0.0563, 0.0519, 0.0418, 0.0308, 0.0228, 0.0177)
CHANCE_SCALE = (0.0116, 0.0103, 0.0078, 0.0063, 0.0045, 0.0038)
"""What different tracks reach at their best offset: the median of `excess` by overlap (items),
and by how much it grows when the chance falls to 1/e. Measured by `bench/dedupe.py --chance`
on passages of 36 real tracks against the other tracks, every offset tried: the 50th and 99.9th
percentile, with an exponential tail beyond, which is heavier than the one that was found."""


@dataclass(frozen=True)
class Alignment:
    """Two fingerprints laid over each other.

    Attributes:
        similarity: share of equal bits in the overlap, 0-1; 0.5 is chance.
        offset: item of the first one at which the second one begins; negative: it begins before.
        overlap: items that were compared.
        excess: by how much the similarity is above that of false alignments of the same overlap,
            which is what key and style alone give.
    """

    similarity: float
    offset: int
    overlap: int
    excess: float

    @property
    def chance(self) -> float:
        """Probability, 0-1, that two different tracks look so alike at their best offset."""
        return chance_of(self.excess, self.overlap)


def least_overlap(one: int, other: int, *, least: int, share: float) -> int:
    """Items that an overlap has to have.

    Args:
        one: items of one fingerprint.
        other: items of the other.
        least: so many at least, unless the shorter one has fewer.
        share: of the shorter one, 0-1.
    """
    shorter = min(one, other)
    return max(min(least, shorter), math.ceil(share * shorter), 1)


def align(one: Items, other: Items, least: int) -> Alignment:
    """The best of all offsets that leave at least `least` items of overlap.

    Symmetric: exchanging the two changes the sign of the offset and nothing else.
    """
    best = _search(one, other, least, 1 - len(other), len(one) - 1)
    return _measured(one, other, best)


def align_near(one: Items, other: Items, least: int, offset: int, reach: int) -> Alignment:
    """The best of the offsets within `reach` of one that is suspected."""
    return _measured(one, other, _search(one, other, least, offset - reach, offset + reach))


def _measured(one: Items, other: Items, best: tuple[int, int, int]) -> Alignment:
    offset, equal, overlap = best
    if not overlap:
        return Alignment(0.0, 0, 0, 0.0)
    similarity = equal / (32 * overlap)
    here = one[max(offset, 0) :][:overlap]
    there = other[max(-offset, 0) :][:overlap]
    return Alignment(similarity, offset, overlap, similarity - _of_decoys(here, there))


def chance_of(excess: float, overlap: int) -> float:
    """Probability that different tracks reach this; see `CHANCE_SCALE`."""
    where = math.log(max(overlap, 1))
    overlaps = np.log(CHANCE_OVERLAPS)
    median = float(np.interp(where, overlaps, CHANCE_MEDIAN))
    scale = float(np.interp(where, overlaps, CHANCE_SCALE))
    if overlap < CHANCE_OVERLAPS[0]:  # shorter than what was measured
        scale *= CHANCE_OVERLAPS[0] / max(overlap, 1)
    return min(0.5 * math.exp(min((median - excess) / scale, 700.0)), 1.0)


@compiled
def bits(value: int) -> int:
    """How many bits of a 32-bit number are set (Hacker's Delight, 5-1)."""
    value = value - ((value >> 1) & 0x55555555)
    value = (value & 0x33333333) + ((value >> 2) & 0x33333333)
    value = (value + (value >> 4)) & 0x0F0F0F0F
    return ((value * 0x01010101) & 0xFFFFFFFF) >> 24


@compiled
def equal_bits(one: Items, other: Items) -> int:
    """Bits that two fingerprints of one length share."""
    different = np.uint32(0)
    for place in range(len(one)):
        different += np.uint32(bits(one[place] ^ other[place]))
    return 32 * len(one) - int(different)


@compiled
def _search(one: Items, other: Items, least: int, first: int, last: int) -> tuple[int, int, int]:
    """Offset, equal bits and overlap of the best; a longer overlap wins a draw."""
    best_offset, best_equal, best_overlap = 0, 0, 0
    for offset in range(max(first, 1 - len(other)), min(last, len(one) - 1) + 1):
        start, there = max(offset, 0), max(-offset, 0)
        overlap = min(len(one) - start, len(other) - there)
        if overlap < least:
            continue
        equal = equal_bits(one[start : start + overlap], other[there : there + overlap])
        # equal / overlap > best_equal / best_overlap in whole numbers
        more = equal * best_overlap - best_equal * overlap
        if best_overlap == 0 or more > 0 or (more == 0 and overlap > best_overlap):
            best_offset, best_equal, best_overlap = offset, equal, overlap
    return best_offset, best_equal, best_overlap


@compiled
def _of_decoys(here: Items, there: Items) -> float:
    """The mean similarity when one is turned against the other.

    Turns come in pairs of plus and minus, so that exchanging the two changes nothing.
    """
    length, equal = len(here), 0
    for number in range(DECOYS // 2):
        turn = (number + 1) * length // (DECOYS + 2)
        for by in (turn, length - turn):
            equal += equal_bits(here[by:], there[: length - by])
            equal += equal_bits(here[:by], there[length - by :])
    return equal / (32 * length * 2 * (DECOYS // 2))
