"""Which tracks are heard in a clip, and where in them?

Short clips are looked at as a whole, long ones in windows (search.py); what goes on from one
window to the next is one find.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from reelscope.music.confidence import (
    FALSE_POSITIVE_RATE,
    log_odds,
    probability,
    threshold,
)
from reelscope.music.fingerprint import FRAMES_PER_S, RATE_HZ, at_rate
from reelscope.music.listening import listen
from reelscope.music.search import Search, Seen
from reelscope.music.segment import Segment
from reelscope.music.sound import Sound

SHORTEST_S = 1.0
"""Of a clip; below, nothing is said."""
WINDOW_S, WHOLE_S, STEP_S = 10.0, 15.0, 5.0
"""Clips up to WHOLE_S are looked at as one; longer ones in windows that overlap by half."""
JOIN_S, JOIN_SHARE = 0.25, 0.015
"""Finds of two windows are one if they agree on the track's time and speed so well."""


@dataclass(frozen=True, slots=True)
class Found:
    """A track in a clip.

    Second t of the clip, from start_s to end_s, is second offset_s + (t - start_s) * tempo of
    the track.

    Attributes:
        number: of the track.
        offset_s: in the track, where the match begins.
        start_s, end_s: of the match, in the clip.
        tempo: how much faster the clip is than the track (1.06: 6 %).
        pitch: how much higher, as a factor of frequency; equal to tempo where the speed
            was changed.
        score: log-odds of being right (confidence.py).
        probability: of being right, 0 to 1.
    """

    number: int
    offset_s: float
    start_s: float
    end_s: float
    tempo: float
    pitch: float
    score: float
    probability: float

    @property
    def pitch_semitones(self) -> float:
        """How much higher, in semitones."""
        return 12 * float(np.log2(self.pitch))


def identify(
    samples: Sound,
    rate_hz: int,
    segments: Sequence[Segment],
    *,
    false_positive_rate: float = FALSE_POSITIVE_RATE,
    without: Container[int] = (),
    doubtful: bool = False,
) -> tuple[Found, ...]:
    """The tracks that are heard in a clip, the surest first.

    Args:
        samples: one channel, (n,), finite, of any length.
        rate_hz: theirs.
        segments: of the library.
        false_positive_rate: how often a clip that is in no track may get an answer.
        without: numbers of tracks that are not to be found.
        doubtful: where nothing is sure enough, give the best place whatever it is worth.
    """
    sound = at_rate(samples, rate_hz)
    least = threshold(false_positive_rate)
    found: list[Found] = []
    doubts: list[Found] = []
    for start_s, window in _windows(sound):
        search = Search(listen(window), segments, hidden=without)
        seen = search.convincing(least)
        found += [_found(segments, search, one, start_s) for one in seen]
        if doubtful and not seen and (best := search.best()):
            doubts.append(_found(segments, search, best, start_s))
    if not found:
        return tuple(sorted(doubts, key=_surest)[:1])
    return tuple(sorted(_joined(found), key=_surest))


def _surest(found: Found) -> tuple[float, float, int]:
    return -found.score, found.start_s, found.number


def _windows(sound: Sound) -> Iterator[tuple[float, Sound]]:
    """(start_s, samples) of what is looked at at once."""
    if len(sound) <= WHOLE_S * RATE_HZ:
        if len(sound) >= SHORTEST_S * RATE_HZ:
            yield 0.0, sound
        return
    last = max(len(sound) - int(WINDOW_S * RATE_HZ), 0)
    for start in [*range(0, last, int(STEP_S * RATE_HZ)), last]:
        yield start / RATE_HZ, sound[start : start + int(WINDOW_S * RATE_HZ)]


def _found(segments: Sequence[Segment], search: Search, seen_at: Seen, start_s: float) -> Found:
    place, seen = seen_at
    segment, at = segments[place.segment], search.track(place, seen)
    begins = place.offset + seen.start * place.tempo - float(segment.starts[at])
    odds = log_odds(seen)
    return Found(
        number=int(segment.numbers[at]),
        offset_s=begins / FRAMES_PER_S,
        start_s=start_s + seen.start / FRAMES_PER_S,
        end_s=start_s + seen.end / FRAMES_PER_S,
        tempo=place.tempo,
        pitch=place.pitch,
        score=odds,
        probability=probability(odds),
    )


def _joined(found: Sequence[Found]) -> list[Found]:
    """Finds of neighbouring windows that go on in the same track are one."""
    joined: list[Found] = []
    for one in sorted(found, key=lambda one: one.start_s):
        for at, other in enumerate(joined):
            if _goes_on(other, one):
                joined[at] = _union(other, one)
                break
        else:
            joined.append(one)
    return joined


def _goes_on(first: Found, later: Found) -> bool:
    expected_s = first.offset_s + (later.start_s - first.start_s) * first.tempo
    return (
        first.number == later.number
        and later.start_s <= first.end_s + STEP_S
        and abs(first.tempo / later.tempo - 1) < JOIN_SHARE
        and abs(first.pitch / later.pitch - 1) < JOIN_SHARE
        and abs(expected_s - later.offset_s) < JOIN_S + JOIN_SHARE * (later.start_s - first.start_s)
    )


def _union(first: Found, later: Found) -> Found:
    """Both as one, with the values of the surer; it begins where the first began."""
    sure = max(first, later, key=lambda one: one.score)
    return replace(
        sure,
        start_s=first.start_s,
        end_s=max(first.end_s, later.end_s),
        offset_s=sure.offset_s - (sure.start_s - first.start_s) * sure.tempo,
    )
