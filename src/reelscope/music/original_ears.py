"""The calibrated rule for the life cycle of sounds: music/identify.py over the originals.

A worker holds the originals' fingerprints in memory as segments and looks, before each
decision, which have come and gone. It finds what the SQL function cannot: sound that is played
faster, slower, higher or lower.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from sqlalchemy.engine import Connection

from reelscope.music.fingerprint import RATE_HZ, Constellation
from reelscope.music.identify import Found, identify
from reelscope.music.original_rules import Heard
from reelscope.music.segment import Segment, merge
from reelscope.music.sound import Sound
from reelscope.settings.music import MusicOriginals
from reelscope.store.originals import OriginalsStore

FEW: Final = 64
"""Originals that are asked by themselves and not as part of all."""
MOST_SEGMENTS: Final = 8
"""More are merged: each costs a look of its own."""
AT_ONCE: Final = 2000
"""Originals in a segment when many are loaded."""


class CalibratedEars:
    """Says who sounds like a clip, and where a clip stands in a sound."""

    def __init__(self, store: OriginalsStore, settings: MusicOriginals) -> None:
        self._store, self._rate = store, settings.false_positive_rate
        self._segments: list[Segment] = []
        self._held: set[int] = set()

    def alike(self, connection: Connection, sound: Sound, asked: set[int]) -> list[int]:
        """Originals that a clip sounds like, at any speed, the best first.

        Args:
            connection: of a transaction.
            sound: of the clip, at RATE_HZ.
            asked: these are left out; all that were compared are added.
        """
        originals = self._store.original_numbers(connection)
        new = originals - asked
        asked |= new
        if not new:
            return []
        if len(new) <= FEW:
            return [found.number for found in self._found(sound, [self._loaded(connection, new)])]
        self._refresh(connection, originals)
        segments = self._segments
        return [f.number for f in self._found(sound, segments, without=self._held - new)]

    def heard(self, sound: Sound, reference: Constellation) -> Heard | None:
        """The place of a clip in another sound; None: it is not there.

        Args:
            sound: of the clip, at RATE_HZ.
            reference: the other sound's fingerprint.
        """
        found = self._found(sound, [Segment.build([(0, reference)])])
        if not found:
            return None
        best = max(found, key=lambda one: one.end_s - one.start_s)
        return Heard(
            probability=best.probability,
            offset_s=best.offset_s - best.start_s * best.tempo,
            tempo=best.tempo,
            heard_s=best.end_s - best.start_s,
        )

    def _found(
        self, sound: Sound, segments: list[Segment], without: Iterable[int] = ()
    ) -> tuple[Found, ...]:
        gone = set(without)
        return identify(sound, RATE_HZ, segments, false_positive_rate=self._rate, without=gone)

    def _refresh(self, connection: Connection, originals: set[int]) -> None:
        """Load those that have come; what has gone is left out, and dropped at the next merge."""
        missing = sorted(originals - self._held)
        for first in range(0, len(missing), AT_ONCE):
            some = missing[first : first + AT_ONCE]
            self._segments.append(self._loaded(connection, some))
        self._held |= originals
        if len(self._segments) > MOST_SEGMENTS:
            self._segments = [merge(self._segments, without=self._held - originals)]
            self._held = set(originals)

    def _loaded(self, connection: Connection, numbers: Iterable[int]) -> Segment:
        items = []
        for number in sorted(numbers):
            peaks = self._store.peaks(connection, number)
            items.append((number, Constellation(peaks.frames, peaks.bins, peaks.length)))
        return Segment.build(items)
