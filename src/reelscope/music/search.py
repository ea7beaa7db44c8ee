"""One stretch of sound, looked for in all segments: which places convince?

It is looked for as it is; where that does not settle it, as a faster or slower, higher or lower
version of a track (hypotheses). Pairs of peaks vote for places (voting.py), the places are
judged by all peaks that the track has there (evidence.py), the best are moved to where they
fit best. What a find explains is taken out of the sound before the next one is judged: tracks
with the same content are one find, two songs at once are two.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from reelscope.music.confidence import log_odds, threshold
from reelscope.music.evidence import (
    FEWEST_PEAKS,
    Cohort,
    Place,
    Traits,
    cohort,
    judged,
    refined,
    traits,
    without,
)
from reelscope.music.listening import Heard
from reelscope.music.segment import Segment
from reelscope.music.voting import vote

SLOWEST, FASTEST, SPEED_STEP = 0.75, 1.5, 0.0075
"""Sped-up and slowed versions: tempo and pitch move together. A step of 0.75 % leaves pairs in
their cell of hashes and 10 s within two cells of time."""
WIDEST_TEMPO, TEMPO_STEP = 1.11, 0.0125
"""Tempo alone: 11 % either way."""
WIDEST_PITCH, PITCH_STEP = 2 ** (3.3 / 12), 0.0075
"""Pitch alone: 3.3 semitones either way."""
PLAIN_PLACES, OTHER_PLACES, REFINED_PLACES = 24, 64, 6
"""That are judged, of the sound as it is and of all hypotheses, and that are refined."""
HIDDEN_PLACES = 192
"""More places that are voted for where some tracks are not to be found: those are left out."""
SETTLED_RATE, WHOLE_SHARE = 1e-5, 0.9
"""False positives at which a find of so much of the sound ends the search."""

Seen = tuple[Place, Traits]


class Search:
    """A stretch of sound and where it may be.

    Args:
        heard: the sound.
        segments: of the library.
        hidden: numbers of tracks that are not to be found.
    """

    def __init__(
        self, heard: Heard, segments: Sequence[Segment], *, hidden: Container[int] = ()
    ) -> None:
        self._heard, self._segments, self._hidden = heard, segments, hidden
        self._hides = hidden != ()

    def convincing(self, least: float) -> list[Seen]:
        """The places whose log-odds are that high, the surest first.

        Each explains something that the surer ones do not.
        """
        sure = self._sure(self._plain, least)
        if not any(self._settles(seen) for _, seen in sure):
            sure = self._sure(self.places(), least)
        return sure

    def best(self) -> Seen | None:
        """The surest place, whatever it is worth."""
        return max(self.seen(self.places()), key=lambda one: log_odds(one[1]), default=None)

    def seen(self, places: Sequence[Place], heard: Heard | None = None) -> list[Seen]:
        """What the sound, or what is left of it, shows at places of tracks that may be found.

        Only now is it known which track it is, where a clip reaches beyond a track's end.
        """
        seen = [(place, self.traits(place, heard)) for place in places]
        return [one for one in seen if not self._hides or self._number(one) not in self._hidden]

    def _number(self, seen: Seen) -> int:
        return int(self._segments[seen[0].segment].numbers[self.track(*seen)])

    @cached_property
    def _plain(self) -> list[Place]:
        """The best places of the sound as it is."""
        return self._best(self._voted(self._heard.pairs, np.ones((1, 2)), PLAIN_PLACES))

    @cached_property
    def _changed(self) -> list[Place]:
        """The best places of the sound as another version of a track."""
        return self._best(self._voted(self._heard.few, HYPOTHESES, OTHER_PLACES))

    def places(self) -> list[Place]:
        """All that are looked at closely."""
        return [*self._plain, *self._changed]

    def traits(self, place: Place, heard: Heard | None = None) -> Traits:
        """What the sound, or what is left of it, shows at a place."""
        segment = self._segments[place.segment]
        return traits(heard or self._heard, segment, place, self._wrong)

    def track(self, place: Place, seen: Traits) -> int:
        """Which track of the segment it is."""
        middle = place.offset + 0.5 * (seen.start + seen.end) * place.tempo
        return self._segments[place.segment].track_at(middle)

    def _named(
        self, pairs: NDArray[np.float32], hypotheses: NDArray[np.float64], most: int
    ) -> list[tuple[int, int, int, int]]:
        """(votes, segment, frame, hypothesis) of the places with most votes in all segments."""
        named: list[tuple[int, int, int, int]] = []
        for number, segment in enumerate(self._segments):
            room = most + (HIDDEN_PLACES if self._hides else 0)
            ballot = vote(pairs, segment, hypotheses, probe=len(hypotheses) == 1, most=room)
            some = np.stack([ballot.votes, ballot.places, ballot.hypotheses], 1).tolist()
            named += [
                (votes, number, frame, which)
                for votes, frame, which in some
                if not self._is_hidden(number, frame, hypotheses[which, 0])
            ]
        return sorted(named, key=lambda one: (-one[0], one[1:]))[:most]

    def _voted(
        self, pairs: NDArray[np.float32], hypotheses: NDArray[np.float64], most: int
    ) -> list[Place]:
        """The places with most votes, judged."""
        places = []
        for votes, number, frame, which in self._named(pairs, hypotheses, most):
            tempo, pitch = hypotheses[which].tolist()
            place = self._judged(number, frame, tempo, pitch, votes)
            places += [place] if place else []
        return places

    def _judged(
        self, number: int, frame: float, tempo: float, pitch: float, votes: int
    ) -> Place | None:
        segment = self._segments[number]
        offset, total, peaks = judged(self._heard, segment, frame, tempo, pitch)
        if peaks < FEWEST_PEAKS or self._is_hidden(number, offset, tempo):
            return None
        score = self._wrong.score(total, peaks)
        return Place(number, offset, tempo, pitch, votes, score)

    def _is_hidden(self, number: int, frame: float, tempo: float) -> bool:
        if not self._hides:
            return False
        segment = self._segments[number]
        at = segment.track_at(frame + 0.5 * tempo * self._heard.length)
        return int(segment.numbers[at]) in self._hidden

    def _best(self, places: Sequence[Place]) -> list[Place]:
        """The best few, each moved to where it fits best."""
        best: list[Place] = []
        for place in sorted(places, key=lambda one: -one.score):
            if len(best) < REFINED_PLACES and not any(place.near(other) for other in best):
                best.append(place)
        return [self._refined(place) for place in best]

    def _refined(self, place: Place) -> Place:
        offset, tempo, pitch, total, peaks = refined(
            self._heard, self._segments[place.segment], place.offset, place.tempo, place.pitch
        )
        score = self._wrong.score(total, peaks)
        return replace(place, offset=offset, tempo=tempo, pitch=pitch, score=score)

    @cached_property
    def _wrong(self) -> Cohort:
        return cohort(self._heard)

    def _sure(self, places: Sequence[Place], least: float) -> list[Seen]:
        """Those that are sure, and sure without what the better ones explain."""
        sure: list[Seen] = []
        left, candidates = self._heard, list(places)
        while candidates:
            seen = [one for one in self.seen(candidates, left) if log_odds(one[1]) >= least]
            if not seen:
                break
            # Of several that are sure the one that explains most: a refrain without the voice
            # may be surer than the whole clip under it.
            best = max(seen, key=lambda one: one[1].score)
            sure.append(best)
            left = without(left, self._segments[best[0].segment], best[0])
            candidates = [
                place for place, shown in seen if not self._same_time(best, (place, shown))
            ]
        return sure

    def _same_time(self, best: Seen, other: Seen) -> bool:
        """Whether another place is the same track at the same time: itself, or a loop of it."""
        (place, seen), (again, shown) = best, other
        shared = min(seen.end, shown.end) - max(seen.start, shown.start)
        same = place.segment == again.segment and self.track(*best) == self.track(*other)
        return same and shared > 0

    def _settles(self, seen: Traits) -> bool:
        """Whether other versions need not be tried: it is as sure as can be, of the whole.

        Parts of a clip that is a little faster look like the track too.
        """
        whole = seen.end - seen.start >= WHOLE_SHARE * self._heard.length
        return whole and log_odds(seen) >= threshold(SETTLED_RATE)


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
