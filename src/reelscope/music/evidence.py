"""Is the clip at this place of this track? What the clip shows where the track has its peaks.

A candidate place is not judged by the votes that named it but by all peaks that the track has
there: each says where in the clip's spectrum something should stand out, and the clip shows
how much does (listening.py). Under noise this sees music whose peaks are nobody's highest any
more. How much a wrong place of music would show, by shared keys, beats and timbres, is measured
for every clip anew at random places of other music, read backwards: the cohort, as in speaker
verification (Auckenthaler, Carey, Lloyd-Thomas, "Score normalization for text-independent
speaker verification systems", Digital Signal Processing 10, 2000: T-norm). It comes with the
program, so that a score means the same in a library of two tracks and of ten thousand.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from reelscope.music.compiled import compiled
from reelscope.music.fingerprint import BINS, LOWEST_BIN, Map
from reelscope.music.listening import Heard
from reelscope.music.segment import BLOCK, BLOCK_BITS, Segment

FINE_STEPS = ((1.0, 0.002, 0.001), (0.5, 0.001, 0.0005), (0.25, 0.0005, 0.00025))
"""The same on the evidence that is not widened, which has its best at one point."""
COHORT, SEED = 96, 1
"""Random places, the same for every clip."""
LEAST_SPREAD = 0.5
"""Of a single peak's evidence, whose own standard deviation is about 1."""
FEWEST_PEAKS = 12
"""Of a track within the clip; with fewer there is nothing to judge by."""
SAME_FRAMES, SAME_SHARE = 12.0, 0.02
"""Places that are nearer to one another than this are the same."""
PLAIN_SHARE = 0.006
"""A tempo and a pitch that differ by less are those of the track: what the climb moves."""
BESIDE = tuple(d * sign for d in range(8, 61, 3) for sign in (-1, 1))
"""Frames, 0.16 to 1.2 s, by which a place is moved to see what held notes alone bring."""
SPAN_SHARE = 0.5
"""A part of the clip belongs to the place if its peaks show more than this share of what
the place's peaks show on average."""
HALF_SECOND, FEWEST_IN_HALF, LEAST_EXCESS = 25, 3, 0.25
"""Frames; peaks that it needs to count; and the evidence that each shows on average above that
of wrong places. A track has 20 peaks in it."""
SHORTEST_SPAN = 125
"""Frames, 2.5 s: a shorter part is judged as part of the whole clip."""
OFFSETS = 6
"""Frames on either side of a voted place, whose cell is 4 wide and whose tempo is guessed."""
TEMPOS, TEMPO_STEP = 3, 0.004
"""Tempos on either side of the guess that are tried at all offsets first, where it is one of a
grid; what is neither faster nor slower is moved a little only."""
STEPS = ((2.0, 0.004, 0.004), (1.0, 0.002, 0.002), (0.5, 0.001, 0.001), (0.5, 0.0005, 0.0005))
"""Frames, tempo and pitch by which a place is moved while that brings more evidence."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where in a segment a clip may be.

    Attributes:
        segment: which of the segments.
        offset: frame on its timeline at which the clip begins.
        tempo, pitch: how much faster and higher the clip is than the track.
        votes: that named it.
        score: standard deviations by which the clip shows more there than at wrong places.
    """

    segment: int
    offset: float
    tempo: float
    pitch: float
    votes: int
    score: float

    def near(self, other: Place) -> bool:
        """Whether both mean the same."""
        return (
            self.segment == other.segment
            and abs(self.offset - other.offset) < SAME_FRAMES
            and abs(self.tempo / other.tempo - 1) < SAME_SHARE
            and abs(self.pitch / other.pitch - 1) < SAME_SHARE
        )


@dataclass(frozen=True, slots=True)
class Traits:
    """What tells right places from wrong ones, of the part of a clip that a place explains.

    Attributes:
        start, end: the part, frames of the clip.
        peaks: of the track within it.
        score: standard deviations above random places of the library.
        beside: the same, on average, a moment earlier or later: what a key and held notes bring.
        weakest, weak: the scores of the two weakest quarters; a chord that happens to be
            shared carries one part of a clip, the right track carries all.
        covered: share of the half seconds in which the track's peaks show; tracks that end or
            begin alike share no more than that moment.
        standing, high: share of the peaks whose evidence is above 1 and above 2.
        met: share of the peaks that meet a peak of the clip, less the same a moment beside.
        votes: that named the place.
        plain: neither faster nor higher.
    """

    start: int
    end: int
    peaks: int
    score: float
    beside: float
    weakest: float
    weak: float
    covered: float
    standing: float
    high: float
    met: float
    votes: int
    plain: bool


@dataclass(frozen=True, slots=True)
class Cohort:
    """What wrong places show: mean and standard deviation of a single peak's evidence.

    The sum of n peaks has the mean n * mean and the standard deviation sqrt(n) * spread:
    peaks of a chord and of a beat go together, which widens the spread.
    """

    mean: float
    spread: float

    def score(self, total: float, count: int) -> float:
        """Standard deviations above the cohort."""
        return float((total - count * self.mean) / (self.spread * np.sqrt(max(count, 1))))


def cohort(heard: Heard) -> Cohort:
    """What a clip shows at random places of music that it is not, read backwards."""
    blocks, points = _other_music()
    length = (len(blocks) - 1) * BLOCK
    both = _random_places(heard.evidence, blocks, points, length, COHORT, SEED)
    if len(both) < 2:
        return Cohort(0.0, 1.0)
    mean = float(both[:, 0].sum() / both[:, 1].sum())
    spread = float(np.sqrt(np.mean((both[:, 0] - both[:, 1] * mean) ** 2 / both[:, 1])))
    return Cohort(mean, max(spread, LEAST_SPREAD))


@cache
def _other_music() -> tuple[NDArray[np.uint32], NDArray[np.uint16]]:
    """Peaks of composed music, made by scripts/make_cohort.py, as in a segment."""
    file = resources.files("reelscope.music") / "cohort.npz"
    with file.open("rb") as stream, np.load(stream) as arrays:
        return arrays["blocks"], arrays["points"]


def judged(
    heard: Heard, segment: Segment, offset: float, tempo: float, pitch: float
) -> tuple[float, float, int]:
    """(offset, total evidence, peaks) at the best offset within reach."""
    frames, bins = around(segment, offset, heard.length * tempo)
    best = _best_offset(heard.evidence, frames, bins, offset, tempo, pitch)
    return float(best[0]), float(best[1]), int(best[2])


def refined(
    heard: Heard, segment: Segment, offset: float, tempo: float, pitch: float
) -> tuple[float, float, float, float, int]:
    """(offset, tempo, pitch, total evidence, peaks) where no small step brings more."""
    frames, bins = around(segment, offset, heard.length * tempo)
    plain = tempo == pitch == 1
    best = _climb(
        heard.evidence,
        frames,
        bins,
        offset,
        tempo,
        pitch,
        0 if plain else TEMPOS,
        tempo == pitch != 1,
        np.array(STEPS[1:] if plain else STEPS),
    )
    offset, tempo, pitch = best[:3]
    fine = _climb(
        heard.sharp,
        frames,
        bins,
        offset,
        tempo,
        pitch,
        0,
        tempo == pitch != 1,
        np.array(FINE_STEPS),
    )
    offset, tempo, pitch = fine[:3]
    total, count = _total(heard.evidence, frames, bins, offset, tempo, pitch)
    return float(offset), float(tempo), float(pitch), float(total), int(count)


def around(
    segment: Segment, offset: float, length: float
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(frames on the timeline, bins) of a segment's peaks there, and a little to each side."""
    return _peaks(
        segment.blocks, segment.points, int(offset) - 2 * BLOCK, int(offset + length) + 2 * BLOCK
    )


def traits(heard: Heard, segment: Segment, place: Place, wrong: Cohort) -> Traits:
    """What the clip, or what is left of it, shows at this place."""
    frames, bins = around(segment, place.offset, heard.length * place.tempo)
    at, where, shown = _shown(heard.evidence, frames, bins, place.offset, place.tempo, place.pitch)
    start, end = span(at, shown - wrong.mean, heard.length)
    inside = (at >= start) & (at < end)
    shown = shown[inside]
    beside = _beside(
        heard.evidence,
        heard.marked,
        at[inside],
        where[inside],
        np.array([0, *BESIDE], np.int64),
    )
    scores = [wrong.score(total, int(count)) for total, count, _ in beside]
    shares = beside[:, 2] / np.maximum(beside[:, 1], 1)
    quarter = np.minimum((at[inside] - start) * 4 // max(end - start, 1), 3)
    parts = sorted(
        wrong.score(float(shown[quarter == q].sum()), int((quarter == q).sum())) for q in range(4)
    )
    return Traits(
        start=start,
        end=end,
        peaks=len(shown),
        score=scores[0],
        beside=float(np.mean(scores[1:])),
        weakest=parts[0],
        weak=parts[1],
        covered=_covered(at[inside], shown - wrong.mean, start, end),
        standing=float((shown > 1).mean()) if len(shown) else 0.0,
        high=float((shown > 2).mean()) if len(shown) else 0.0,
        met=float(shares[0] - shares[1:].mean()),
        votes=place.votes,
        plain=max(abs(place.tempo - 1), abs(place.pitch - 1)) < PLAIN_SHARE,
    )


def _covered(at: NDArray[np.int64], excess: NDArray[np.float32], start: int, end: int) -> float:
    parts = max((end - start) // HALF_SECOND, 1)
    part = np.minimum((at - start) // HALF_SECOND, parts - 1)
    counts = np.bincount(part, minlength=parts)
    sums = np.bincount(part, excess, minlength=parts)
    return float(np.mean((counts >= FEWEST_IN_HALF) & (sums > LEAST_EXCESS * counts)))


def span(at: NDArray[np.int64], excess: NDArray[np.float32], length: int) -> tuple[int, int]:
    """(start, end): the part of a clip in which a place's peaks show, frames.

    The stretch with the largest sum of evidence above a share of its own mean (Kadane's
    maximum subarray), found twice: first with the mean of the whole clip.

    Args:
        at: frame in the clip of each peak, ascending.
        excess: its evidence above that of wrong places.
        length: of the clip in frames.
    """
    start, end = 0, length
    for _ in range(2):
        inside = (at >= start) & (at < end)
        if not inside.any():
            return 0, length
        sums = np.concatenate([[0.0], np.cumsum(excess - SPAN_SHARE * excess[inside].mean())])
        last = int(np.argmax(sums - np.minimum.accumulate(sums)))
        first = int(np.argmin(sums[: last + 1]))
        if last <= first:
            return 0, length
        start, end = int(at[first]), int(at[last - 1]) + 1
        start = 0 if first == 0 else start
        end = length if last == len(at) else end
    return (start, end) if end - start >= SHORTEST_SPAN else (0, length)


def without(heard: Heard, segment: Segment, place: Place) -> Heard:
    """The clip without what a place explains."""
    frames, bins = around(segment, place.offset, heard.length * place.tempo)
    left = heard.evidence.copy()
    _erase(left, frames, bins, place.offset, place.tempo, place.pitch)
    return replace(heard, evidence=left)


@compiled
def _erase(
    evidence: Map,
    frames: NDArray[np.int64],
    bins: NDArray[np.int64],
    offset: float,
    tempo: float,
    pitch: float,
) -> None:
    length = evidence.shape[0]
    for i in range(len(frames)):
        t = int(np.floor((frames[i] - offset) / tempo + 0.5))
        k = int(np.floor(bins[i] * pitch + 0.5))
        for u in range(max(t - 2, 0), min(t + 3, length)):
            for j in range(max(k - 2, 0), min(k + 3, BINS)):
                evidence[u, j] = min(evidence[u, j], np.float32(0.0))


@compiled
def _shown(
    evidence: Map,
    frames: NDArray[np.int64],
    bins: NDArray[np.int64],
    offset: float,
    tempo: float,
    pitch: float,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """(frame, bin, evidence) in the clip of each of the track's peaks that are within it."""
    at = np.empty(len(frames), np.int64)
    where = np.empty(len(frames), np.int64)
    shown = np.empty(len(frames), np.float32)
    count = 0
    for i in range(len(frames)):
        t = int(np.floor((frames[i] - offset) / tempo + 0.5))
        k = int(np.floor(bins[i] * pitch + 0.5))
        if 0 <= t < evidence.shape[0] and LOWEST_BIN <= k < BINS:
            at[count], where[count], shown[count] = t, k, evidence[t, k]
            count += 1
    return at[:count].copy(), where[:count].copy(), shown[:count].copy()


@compiled
def _beside(
    evidence: Map,
    marked: NDArray[np.uint8],
    at: NDArray[np.int64],
    where: NDArray[np.int64],
    moves: NDArray[np.int64],
) -> NDArray[np.float64]:
    """(evidence, peaks, peaks that meet one of the clip's) after each move in time."""
    out = np.zeros((len(moves), 3), np.float64)
    for m in range(len(moves)):
        for i in range(len(at)):
            t = at[i] + moves[m]
            if 0 <= t < evidence.shape[0]:
                out[m, 0] += evidence[t, where[i]]
                out[m, 1] += 1
                out[m, 2] += marked[t, where[i]]
    return out


@compiled
def _peaks(
    blocks: NDArray[np.uint32], points: NDArray[np.uint16], low: int, high: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    first = min(max(low >> BLOCK_BITS, 0), len(blocks) - 1)
    last = min(max((high >> BLOCK_BITS) + 1, first), len(blocks) - 1)
    start, stop = np.int64(blocks[first]), np.int64(blocks[last])
    frames = np.empty(stop - start, np.int64)
    bins = np.empty(stop - start, np.int64)
    for block in range(first, last):
        for p in range(blocks[block], blocks[block + 1]):
            frames[p - start] = (block << BLOCK_BITS) | (points[p] & (BLOCK - 1))
            bins[p - start] = points[p] >> BLOCK_BITS
    return frames, bins


@compiled
def _total(
    evidence: Map,
    frames: NDArray[np.int64],
    bins: NDArray[np.int64],
    offset: float,
    tempo: float,
    pitch: float,
) -> tuple[float, int]:
    """Sum of the evidence where the peaks should be, and how many of them are in the clip."""
    total = 0.0
    count = 0
    slower = 1.0 / tempo
    for i in range(len(frames)):
        t = int(np.floor((frames[i] - offset) * slower + 0.5))
        k = int(np.floor(bins[i] * pitch + 0.5))
        if 0 <= t < evidence.shape[0] and LOWEST_BIN <= k < BINS:
            total += evidence[t, k]
            count += 1
    return total, count


@compiled
def _best_offset(
    evidence: Map,
    frames: NDArray[np.int64],
    bins: NDArray[np.int64],
    offset: float,
    tempo: float,
    pitch: float,
) -> tuple[float, float, int]:
    best = (offset, -np.inf, 0)
    for step in range(-OFFSETS, OFFSETS + 1):
        total, count = _total(evidence, frames, bins, offset + step, tempo, pitch)
        if total > best[1]:
            best = (offset + step, total, count)
    return best


@compiled
def _climb(
    evidence: Map,
    frames: NDArray[np.int64],
    bins: NDArray[np.int64],
    offset: float,
    tempo: float,
    pitch: float,
    tempos: int,
    tied: bool,
    steps: NDArray[np.float64],
) -> tuple[float, float, float, float, int]:
    middle = 0.5 * evidence.shape[0]
    first = (offset, tempo)
    offset, best, count = _best_offset(evidence, frames, bins, offset, tempo, pitch)
    for turn in range(2 * tempos):
        a = first[1] * (1 + (turn // 2 + 1) * (TEMPO_STEP if turn & 1 else -TEMPO_STEP))
        b = a if tied else pitch
        start = first[0] + (first[1] - a) * middle
        o, total, many = _best_offset(evidence, frames, bins, start, a, b)
        if total > best:
            offset, tempo, pitch, best, count = o, a, b, total, many
    for level in range(len(steps)):
        for _ in range(6):
            start = best
            for turn in range(4 if tied else 6):
                sign = 1.0 if turn & 1 else -1.0
                o, a, b = offset, tempo, pitch
                if turn < 2:
                    o += sign * steps[level, 0]
                elif turn < 4:  # about the middle of the clip
                    a += sign * steps[level, 1]
                    o -= sign * steps[level, 1] * middle
                    b = a if tied else b
                else:
                    b += sign * steps[level, 2]
                total, many = _total(evidence, frames, bins, o, a, b)
                if total > best:
                    offset, tempo, pitch, best, count = o, a, b, total, many
            if best == start:
                break
    return offset, tempo, pitch, best, count


@compiled
def _random_places(
    evidence: Map,
    blocks: NDArray[np.uint32],
    points: NDArray[np.uint16],
    length: int,
    count: int,
    seed: int,
) -> NDArray[np.float64]:
    """(total evidence, peaks) at places of a segment, read backwards."""
    out = np.empty((count, 2), np.float64)
    found = 0
    span = evidence.shape[0]
    room = max(length - span // 2, span // 2)
    state = np.int64(seed)
    for _ in range(4 * count):
        if found == count:
            break
        # the generator of C's rand() (ISO/IEC 9899, 7.22.2.2), for reproducible places
        state = (state * 1103515245 + 12345) & 0x7FFFFFFF
        place = int(((state * room) >> 31) - span // 4)
        frames, bins = _peaks(blocks, points, place, place + span)
        total, peaks = _total(evidence, 2 * place + span - frames, bins, place, 1.0, 1.0)
        if peaks >= FEWEST_PEAKS:
            out[found, 0], out[found, 1] = total, peaks
            found += 1
    return out[:found].copy()
