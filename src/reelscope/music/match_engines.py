"""Two ways to compare a video's sound with all tracks of all campaigns.

`fingerprint` finds a stretch of a track anywhere in a video, sped up or not, under speech or
not; its similarity grows with the probability of being right and is 95 where one of 10,000
videos that have no track in them would be matched (`confidence.similarity`).

`dtw` is what many campaign scripts do: 13 MFCC at 22.05 kHz of the first `comparison_duration_s`
(30), dynamic time warping under the cosine distance, `similarity = (1 - distance / 2) * 100`.
The distance is the accumulated cost of `librosa.sequence.dtw(metric="cosine")` divided by the
steps of its path, the mean distance along it: a script that divides by nothing would have
similarities far below zero, so a mean it must be, and the path's own length is the one number
that keeps it between 0 and 2. Its first coefficient is loudness and outweighs the others; most
sounds are therefore alike under it, see `DTW_WARNING`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np

from reelscope.errors import UnreadableMedia
from reelscope.music import confidence, fingerprint, mfcc
from reelscope.music.dtw import Warping, warp
from reelscope.music.identify import Found, identify
from reelscope.music.segment import Segment
from reelscope.music.sound import read_sound
from reelscope.settings import MusicMatch

DTW_WARNING = (
    "the similarity of engine dtw is above 95 for almost any two sounds (61 of 64 queries that"
    " were in no track scored 95 or more; in another test 98.8 % of 1,440 unrelated pairs did):"
    " a match at 95 says next to nothing; engine fingerprint does not have this fault"
)
REVISION = 3
"""Of engine fingerprint beyond its parameters; raised when `identify` looks in another way, so
that what is in the database is computed anew."""
LONGEST_TRACK_S = 600.0
"""`dtw` in mode subsequence reads so much of a track: its table of steps has a byte for each
pair of frames, 33 MB for this and 30 s of a video."""


@dataclass(frozen=True, slots=True)
class Heard:
    """A track in a video. Fields as in `store.matches.Likeness`; `number` is the track's."""

    number: int
    similarity: float
    start_s: float
    end_s: float
    offset_s: float
    tempo: float | None = None
    pitch: float | None = None


class MatchEngine(Protocol):
    """One way to compare. `read` and `compare` are called by many threads at once.

    Attributes:
        name: as in the settings.
        warning: what somebody who reads its results has to know; empty: nothing.
    """

    name: ClassVar[str]
    warning: ClassVar[str]

    @property
    def key(self) -> str:
        """All that decides what it finds, as text."""
        ...

    def read(self, path: Path) -> Any:
        """What it needs of a track; raises MediaError."""
        ...

    def prepare(self, tracks: Sequence[tuple[int, Any]]) -> None:
        """Take the tracks, numbered; once, before `compare`."""
        ...

    def compare(self, path: Path) -> list[Heard]:
        """Every track that is anything like the sound of this file; raises MediaError."""
        ...


class FingerprintEngine:
    """Spectral peaks.

    Args:
        settings: of them `longest_video_s` counts.
    """

    name: ClassVar[str] = "fingerprint"
    warning: ClassVar[str] = ""

    def __init__(self, settings: MusicMatch) -> None:
        self._longest_s = settings.longest_video_s
        self._segments: tuple[Segment, ...] = ()

    @property
    def key(self) -> str:
        """Version and parameters of the fingerprints, and what makes a probability of them."""
        odds = (confidence.WEIGHTS, confidence.LEVEL, confidence.FALL, confidence.AT_RATE)
        parameters = json.dumps([fingerprint.PARAMETERS, odds], sort_keys=True)
        digest = hashlib.sha256(parameters.encode()).hexdigest()[:16]
        return f"{self.name} {REVISION} {fingerprint.VERSION} {digest} {self._longest_s}"

    def read(self, path: Path) -> fingerprint.Constellation:
        """The peaks of a track."""
        return fingerprint.fingerprint_file(path)

    def prepare(self, tracks: Sequence[tuple[int, fingerprint.Constellation]]) -> None:
        """Make the tracks searchable."""
        self._segments = (Segment.build(tracks),)

    def compare(self, path: Path) -> list[Heard]:
        """The most probable place of every track that may be heard."""
        samples = read_sound(path, fingerprint.RATE_HZ, most_s=self._longest_s)
        found = identify(samples, fingerprint.RATE_HZ, self._segments, doubtful=True)
        return [_found(one) for one in found]


class DtwEngine:
    """MFCC and cosine DTW.

    Args:
        settings: of them `comparison_duration_s` and `dtw_mode` count.
    """

    name: ClassVar[str] = "dtw"
    warning: ClassVar[str] = DTW_WARNING

    def __init__(self, settings: MusicMatch) -> None:
        self._seconds = settings.comparison_duration_s
        self._subsequence = settings.dtw_mode == "subsequence"
        self._tracks: tuple[tuple[int, mfcc.Coefficients], ...] = ()

    @property
    def key(self) -> str:
        """What is compared of a sound."""
        return f"{self.name} 1 {self._seconds} {self._subsequence}"

    def read(self, path: Path) -> mfcc.Coefficients:
        """The coefficients of a track: of its beginning, in mode subsequence of all."""
        return _coefficients(path, LONGEST_TRACK_S if self._subsequence else self._seconds)

    def prepare(self, tracks: Sequence[tuple[int, mfcc.Coefficients]]) -> None:
        """Keep the tracks."""
        self._tracks = tuple(tracks)

    def compare(self, path: Path) -> list[Heard]:
        """Every track with its similarity."""
        video = _coefficients(path, self._seconds)
        return [
            _heard(number, warp(video, track, subsequence=self._subsequence))
            for number, track in self._tracks
        ]


def _found(found: Found) -> Heard:
    return Heard(
        number=found.number,
        similarity=confidence.similarity(found.score),
        start_s=found.start_s,
        end_s=found.end_s,
        offset_s=found.offset_s,
        tempo=found.tempo,
        pitch=found.pitch,
    )


def similarity_of(distance: float) -> float:
    """Of a mean cosine distance, 0 to 2: (1 - distance / 2) * 100, which is 100 to 0."""
    return min(max((1.0 - distance / 2.0) * 100.0, 0.0), 100.0)


def make_engine(settings: MusicMatch) -> MatchEngine:
    """The engine that the settings name."""
    return DtwEngine(settings) if settings.engine == "dtw" else FingerprintEngine(settings)


def _coefficients(path: Path, seconds: float) -> mfcc.Coefficients:
    samples = read_sound(path, mfcc.RATE_HZ, most_s=seconds)
    if not samples.size:
        raise UnreadableMedia(f"{path.name}: there is no sound in it")
    return mfcc.mfcc(np.nan_to_num(samples))


def _heard(number: int, found: Warping) -> Heard:
    last, (first, first_there) = found.path[0, 0], found.path[-1]
    hop_s = mfcc.HOP / mfcc.RATE_HZ
    return Heard(
        number=number,
        similarity=similarity_of(found.distance),
        start_s=float(first) * hop_s,
        end_s=float(last) * hop_s,
        offset_s=float(first_there) * hop_s,
    )
