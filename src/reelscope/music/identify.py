"""Which track is this, and where in it?

A clip is looked for as it is; where that does not convince, as a faster or slower, higher or
lower version of a track (hypotheses). Pairs of peaks vote for places (voting.py), the places
are judged by all peaks that the track has there (evidence.py), the best are moved to where
they fit best. What a find explains is taken out of the clip before the next one is judged:
tracks with the same content are one find, two songs at once are two.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from reelscope.music.confidence import log_odds, probability, threshold
from reelscope.music.evidence import (
    FEWEST_PEAKS,
    Cohort,
    Place,
    Traits,
    cohort,
    judged,
    refined,
    traits,
)
from reelscope.music.evidence import (
    without as without_place,
)
from reelscope.music.fingerprint import FRAMES_PER_S, RATE_HZ, at_rate
from reelscope.music.listening import Heard, listen
from reelscope.music.segment import Segment
from reelscope.music.sound import Sound
from reelscope.music.voting import vote

FALSE_POSITIVE_RATE = 1e-4
"""Of clips that are in no track, one in 10,000 may get an answer."""
SHORTEST_S = 1.0
"""Of a clip; below, nothing is said."""
WINDOW_S, WHOLE_S, STEP_S = 10.0, 15.0, 5.0
"""Clips up to WHOLE_S are looked at as one; longer ones in windows that overlap by half."""
SLOWEST, FASTEST, SPEED_STEP = 0.75, 1.5, 0.0075
"""Sped-up and slowed versions: tempo and pitch move together. A step of 0.75 % leaves pairs in
their cell of hashes and 10 s within two cells of time."""
WIDEST_TEMPO, TEMPO_STEP = 1.11, 0.0125
"""Tempo alone: 11 % either way."""
WIDEST_PITCH, PITCH_STEP = 2 ** (3.3 / 12), 0.0075
"""Pitch alone: 3.3 semitones either way."""
PLAIN_PLACES, OTHER_PLACES, REFINED_PLACES = 24, 64, 6
"""That are judged, of the clip as it is and of all hypotheses, and that are refined."""
SETTLED_RATE, WHOLE_SHARE = 1e-6, 0.9
"""False positives at which a find of so much of the clip ends the search."""
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
) -> tuple[Found, ...]:
    """The tracks that are heard in a clip, the surest first.

    Args:
        samples: one channel, (n,), finite, of any length.
        rate_hz: theirs.
        segments: of the library.
        false_positive_rate: how often a clip that is in no track may get an answer. 1: the
            best place is given whatever it is worth.
        without: numbers of tracks that are not to be found.
    """
    sound = at_rate(samples, rate_hz)
    least = threshold(false_positive_rate)
    found: list[Found] = []
    for start_s, window in _windows(sound):
        heard = listen(window)
        for place, seen in search(heard, segments, least=least, without=without):
            found.append(_found(segments, place, seen, start_s))
    joined = _joined(found)
    if false_positive_rate >= 1:
        joined = joined[:1] if not joined else [max(joined, key=lambda one: one.score)]
    return tuple(sorted(joined, key=lambda one: (-one.score, one.start_s, one.number)))


def _windows(sound: Sound) -> Iterator[tuple[float, Sound]]:
    """(start_s, samples) of what is looked at at once."""
    if len(sound) <= WHOLE_S * RATE_HZ:
        if len(sound) >= SHORTEST_S * RATE_HZ:
            yield 0.0, sound
        return
    last = max(len(sound) - int(WINDOW_S * RATE_HZ), 0)
    for start in [*range(0, last, int(STEP_S * RATE_HZ)), last]:
        yield start / RATE_HZ, sound[start : start + int(WINDOW_S * RATE_HZ)]


# -------------------------------------------------------------------------------- one window


def search(
    heard: Heard,
    segments: Sequence[Segment],
    *,
    least: float,
    without: Container[int] = (),
) -> list[tuple[Place, Traits]]:
    """The places that convince, the surest first, each explaining something of its own."""
    wrong = _Cohorts(heard, segments)
    places = best_places(heard, segments, _plain(heard, segments, wrong, without), wrong)
    sure = _convincing(heard, segments, places, wrong, least)
    if not any(_settles(heard, seen) for _, seen in sure):
        changed = _changed(heard, segments, wrong, without)
        places += best_places(heard, segments, changed, wrong)
        sure = _convincing(heard, segments, places, wrong, least)
    return sure


def _settles(heard: Heard, seen: Traits) -> bool:
    """Whether other tempos need not be tried: it is as sure as can be, of the whole clip.

    Parts of a clip that is a little faster look like the track too.
    """
    whole = seen.end - seen.start >= WHOLE_SHARE * heard.length
    return whole and log_odds(seen) >= threshold(SETTLED_RATE)


class _Cohorts:
    """What wrong places show under each hypothesis, measured when first asked for."""

    def __init__(self, heard: Heard, segments: Sequence[Segment]) -> None:
        self._heard, self._segments = heard, segments
        self._known: dict[tuple[float, float], Cohort] = {}

    def of(self, tempo: float, pitch: float) -> Cohort:
        key = (round(tempo, 2), round(pitch, 2))
        if key not in self._known:
            self._known[key] = cohort(self._heard, self._segments, *key)
        return self._known[key]


def _plain(
    heard: Heard, segments: Sequence[Segment], wrong: _Cohorts, without: Container[int]
) -> list[Place]:
    return _voted(heard, heard.pairs, segments, wrong, without, np.ones((1, 2)), PLAIN_PLACES)


def _changed(
    heard: Heard, segments: Sequence[Segment], wrong: _Cohorts, without: Container[int]
) -> list[Place]:
    return _voted(heard, heard.few, segments, wrong, without, HYPOTHESES, OTHER_PLACES)


def _voted(
    heard: Heard,
    pairs: NDArray[np.float32],
    segments: Sequence[Segment],
    wrong: _Cohorts,
    without: Container[int],
    hypotheses: NDArray[np.float64],
    most: int,
) -> list[Place]:
    """The places with most votes, judged."""
    named: list[tuple[int, int, int, int]] = []
    for number, segment in enumerate(segments):
        probe = len(hypotheses) == 1
        ballot = vote(pairs, segment, hypotheses, probe=probe, most=most)
        for votes, place, which in zip(
            ballot.votes.tolist(), ballot.places.tolist(), ballot.hypotheses.tolist(), strict=True
        ):
            named.append((votes, number, place, which))
    named.sort(key=lambda one: (-one[0], one[1:]))
    judge = []
    for votes, number, place, which in named[:most]:
        tempo, pitch = hypotheses[which].tolist()
        segment = segments[number]
        offset, total, peaks = judged(heard, segment, place, tempo, pitch)
        at = segment.track_at(offset + 0.5 * tempo * heard.length)
        if peaks >= FEWEST_PEAKS and int(segment.numbers[at]) not in without:
            score = wrong.of(tempo, pitch).score(total, peaks)
            judge.append(Place(number, offset, tempo, pitch, votes, score))
    return judge


def best_places(
    heard: Heard, segments: Sequence[Segment], places: Sequence[Place], wrong: _Cohorts
) -> list[Place]:
    """The best few, each moved to where it fits best."""
    best: list[Place] = []
    for place in sorted(places, key=lambda one: -one.score):
        if len(best) < REFINED_PLACES and not any(place.near(other) for other in best):
            best.append(place)
    return [_refined(heard, segments, place, wrong) for place in best]


def _convincing(
    heard: Heard,
    segments: Sequence[Segment],
    places: Sequence[Place],
    wrong: _Cohorts,
    least: float,
) -> list[tuple[Place, Traits]]:
    """Those that are sure, and sure without what the better ones explain."""
    sure: list[tuple[Place, Traits]] = []
    left, candidates = heard, list(places)
    while candidates:
        seen = [
            (one, traits(left, segments[one.segment], one, wrong.of(one.tempo, one.pitch)))
            for one in candidates
        ]
        seen = [(one, at) for one, at in seen if log_odds(at) >= least]
        if not seen:
            break
        place, at = max(seen, key=lambda one: log_odds(one[1]))
        sure.append((place, at))
        left = without_place(left, segments[place.segment], place)
        candidates = [
            other
            for other, shown in seen
            if other is not place and not _repeats(segments, place, at, other, shown)
        ]
    return sure


def _repeats(
    segments: Sequence[Segment], place: Place, seen: Traits, other: Place, shown: Traits
) -> bool:
    """Whether another place is the same track at the same time: a loop of it."""
    shared = min(seen.end, shown.end) - max(seen.start, shown.start)
    return _track(segments, place, seen) == _track(segments, other, shown) and shared > 0


def _track(segments: Sequence[Segment], place: Place, seen: Traits) -> tuple[int, int]:
    middle = place.offset + 0.5 * (seen.start + seen.end) * place.tempo
    return place.segment, segments[place.segment].track_at(middle)


def _refined(heard: Heard, segments: Sequence[Segment], place: Place, wrong: _Cohorts) -> Place:
    offset, tempo, pitch, total, peaks = refined(
        heard, segments[place.segment], place.offset, place.tempo, place.pitch
    )
    score = wrong.of(tempo, pitch).score(total, peaks)
    return replace(place, offset=offset, tempo=tempo, pitch=pitch, score=score)


def _hypotheses() -> NDArray[np.float64]:
    """(tempo, pitch) of all versions that are tried, (m, 2)."""

    def steps(low: float, high: float, step: float) -> NDArray[np.float64]:
        count = int(np.ceil(np.log(high / low) / step)) + 1
        return np.exp(np.linspace(np.log(low), np.log(high), count))

    speeds = steps(SLOWEST * 0.995, FASTEST * 1.005, SPEED_STEP)
    tempos = steps(1 / WIDEST_TEMPO, WIDEST_TEMPO, TEMPO_STEP)
    pitches = steps(1 / WIDEST_PITCH, WIDEST_PITCH, PITCH_STEP)
    return np.concatenate(
        [
            np.stack([speeds, speeds], 1),
            np.stack([tempos, np.ones_like(tempos)], 1),
            np.stack([np.ones_like(pitches), pitches], 1),
        ]
    )


HYPOTHESES = _hypotheses()


# -------------------------------------------------------------------------- the whole clip


def _found(segments: Sequence[Segment], place: Place, seen: Traits, start_s: float) -> Found:
    segment = segments[place.segment]
    _, at = _track(segments, place, seen)
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
