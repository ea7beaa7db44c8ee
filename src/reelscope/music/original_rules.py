"""Two videos: is one's sound the other's, and where. Two rules that are measured side by side.

`hashes`: the compatibility rule, as the first user's system (SonicGen) decides. A part of the
shorter one's hashes is looked up in the longer one; the share that agrees at one distance in
time decides.

1. Hashes: pairs of spectral peaks (music/segment.py: bin, step to the second bin, frames
   between in steps of two), each with the frame in which it begins.
2. Sample: the shorter sound is cut into segments of equal length, as many as it has
   `segment_s`, and from each up to `hashes_per_segment` hashes are taken, evenly spread.
3. Distances: every sampled hash that stands in the longer one gives a distance (delta) in
   frames; those of delta - `merge_frames` to delta + `merge_frames` count as one.
4. share = sampled hashes that agree at the best distance / sampled hashes. It is a match from
   `share` and `min_hashes` on.

`calibrated`: music/identify.py, verified on the peaks, with a probability of being right and a
false-positive rate that was set in advance; it also finds what is played faster or higher.

Both are functions of the two fingerprints alone, always measured as the place of the shorter
sound in the longer one: the answer does not depend on which of them arrived first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from reelscope.music.fingerprint import FRAMES_PER_S, Constellation
from reelscope.music.segment import HASH_BITS, pairs
from reelscope.settings.music import MusicOriginals

FAN_OUT = 3
"""Pairs that a peak begins: 120 rows of the database a second of sound."""
DROPPED_BITS = 1
"""Of a pair's hash (music/segment.py): the frames between are kept in steps of two. Measured on
12 tracks, clips of 15 s: the median share of hashes that are found again grows from 32 to 46 %
(10 dB of white noise: from 3.7 to 6.7 %), that of strangers from 1.0 to 1.3 % at most."""

SEARCHED = 4
"""One hash in so many is looked up in the database, chosen by the hash itself: two videos have
the same ones, so that either finds the other with the same hits, whoever comes first."""
_SPREAD = 2_654_435_761
"""Knuth's multiplier (TAOCP 3, 6.4): neighbouring hashes go to different classes."""

Ints: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Hashes:
    """(hash, frame) of the pairs of peaks of a sound, by time, then by hash; (n,) each."""

    words: Ints
    frames: Ints

    def __len__(self) -> int:
        return len(self.words)


@dataclass(frozen=True, slots=True)
class Share:
    """What the compatibility rule says.

    Attributes:
        share: of the sampled hashes that agree, 0 to 1.
        hits: so many.
        offset_s: second of the longer sound at which the shorter one begins; None: none agrees.
    """

    share: float
    hits: int
    offset_s: float | None


@dataclass(frozen=True, slots=True)
class Heard:
    """What the calibrated rule says.

    Attributes:
        probability: of being right, 0 to 1.
        offset_s: second of the longer sound at which the shorter one's second 0 would be.
        tempo: seconds of the longer sound that pass in a second of the shorter one.
        heard_s: seconds of the shorter sound that are found.
    """

    probability: float
    offset_s: float
    tempo: float
    heard_s: float


Listen: TypeAlias = Callable[[Constellation, Constellation], Heard | None]
"""The calibrated rule: the place of the first in the second; None: it is not there."""


def hashes_of(sound: Constellation) -> Hashes:
    """The pair hashes of a sound, each once."""
    words, frames = pairs(sound.frames.astype(np.int64), sound.bins.astype(np.int64), FAN_OUT)
    both = np.unique(frames << HASH_BITS | words >> DROPPED_BITS)
    return Hashes(both & ((1 << HASH_BITS) - 1), both >> HASH_BITS)


def searched(hashes: Hashes) -> Hashes:
    """Those that are looked up in the database."""
    chosen = (hashes.words * _SPREAD >> 16) % SEARCHED == 0
    return Hashes(hashes.words[chosen], hashes.frames[chosen])


def sampled(hashes: Hashes, length: int, settings: MusicOriginals) -> Hashes:
    """Hashes from all over a sound of `length` frames, more of them the longer it is."""
    segments = round(length / FRAMES_PER_S / settings.segment_s)
    segments = min(max(segments, 1), settings.most_segments)
    edges = np.searchsorted(hashes.frames, np.linspace(0, length, segments + 1)[1:-1])
    taken = []
    for part in np.split(np.arange(len(hashes)), edges):
        count = min(len(part), settings.hashes_per_segment)
        taken.append(part[np.linspace(0, max(len(part) - 1, 0), count).round().astype(np.int64)])
    chosen = np.concatenate(taken)
    return Hashes(hashes.words[chosen], hashes.frames[chosen])


def hash_share(sample: Hashes, reference: Hashes, *, merge_frames: int) -> Share:
    """The share of the sample that stands in the reference at one distance in time."""
    order = np.argsort(reference.words, kind="stable")
    words = reference.words[order]
    first = np.searchsorted(words, sample.words, "left")
    counts = np.searchsorted(words, sample.words, "right") - first
    if not counts.sum():
        return Share(0.0, 0, None)
    asked = np.repeat(np.arange(len(sample)), counts)
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    found = reference.frames[order[np.repeat(first, counts) + within]]
    deltas = found - sample.frames[asked]
    best = _best_delta(deltas, merge_frames)
    agree = np.abs(deltas - best) <= merge_frames
    hits = len(np.unique(asked[agree]))
    offset_s = float(deltas[agree].mean()) / FRAMES_PER_S
    return Share(hits / len(sample), hits, offset_s)


def _best_delta(deltas: Ints, merge_frames: int) -> int:
    """Where most distances lie, merged with their neighbours; of equal ones the middle wins."""
    lowest = int(deltas.min())
    counts = np.bincount(deltas - lowest)
    merged = np.convolve(counts, np.ones(2 * merge_frames + 1, np.int64), "same")
    if len(counts) < 2 * merge_frames + 1:  # numpy's "same" is as long as the longer one
        merged = np.array([counts.sum()] * len(counts))
    best = np.flatnonzero(merged == merged.max())
    return lowest + int(best[np.argmax(counts[best])])
