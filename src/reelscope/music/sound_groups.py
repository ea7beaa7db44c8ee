"""Which videos have the same sound? Links between pairs, and the groups that they make.

Videos are one group if links join them, directly or over others: their sounds are in one
another, or the same track of the music library is in them. The first of a group is the one
posted first (where that is not known: the last of all, then by name), whatever the order in
which they came. Its name is the group's.
"""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from reelscope.music.fingerprint import RATE_HZ
from reelscope.music.identify import Found, identify
from reelscope.music.segment import Segment, merge
from reelscope.music.sound import read_sound
from reelscope.store.sound_links import Kind, SoundLink
from reelscope.store.tracks import Track, Wanted

if TYPE_CHECKING:
    from reelscope.music.library import MusicLibrary

ROUNDS: Final = 8
"""A question names one of several equal sounds; it is asked again without that one's group, as
there may be another group, at most so often."""
BLOCK: Final = 512
"""Videos in a part of the index. Each part costs a look of its own, and the asked video's is made
anew without it."""
_UNKNOWN = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Grouped:
    """A video's place in its group.

    Second t of the video is second offset_s + t * tempo of the group's first.

    Attributes:
        group: the first video.
        offset_s: may be below 0.
        tempo: how much faster the video runs than the first.
        videos: of the group.
    """

    group: str
    offset_s: float
    tempo: float
    videos: int


def group(posted: Mapping[str, datetime | None], links: Iterable[SoundLink]) -> dict[str, Grouped]:
    """Every video with its group; one whose sound nobody else has is a group of its own.

    Args:
        posted: the videos, with when they were posted; None: not known.
        links: that count.
    """
    beside: dict[tuple[Kind, str], list[tuple[tuple[Kind, str], float, float]]] = defaultdict(list)
    for link in links:
        if link.video not in posted or (link.kind == "video" and link.other not in posted):
            continue
        one: tuple[Kind, str] = ("video", link.video)
        other: tuple[Kind, str] = (link.kind, link.other)
        # From a second of the neighbour to one of the node that is left.
        beside[other].append((one, link.offset_s, link.tempo))
        beside[one].append((other, -link.offset_s / link.tempo, 1 / link.tempo))
    found: dict[str, Grouped] = {}
    for first in sorted(posted, key=lambda video: (posted[video] or _UNKNOWN, video)):
        if first not in found:
            places = _places(("video", first), beside)
            videos = {name: place for (kind, name), place in places.items() if kind == "video"}
            for video, (offset_s, tempo) in videos.items():
                found[video] = Grouped(first, offset_s, tempo, len(videos))
    return found


def _places(
    first: tuple[Kind, str],
    beside: Mapping[tuple[Kind, str], Sequence[tuple[tuple[Kind, str], float, float]]],
) -> dict[tuple[Kind, str], tuple[float, float]]:
    """Where everything that is joined to the first stands in it, over the fewest links."""
    places, waiting = {first: (0.0, 1.0)}, deque([first])
    while waiting:
        node = waiting.popleft()
        offset_s, tempo = places[node]
        for other, other_offset_s, other_tempo in beside.get(node, ()):
            if other not in places:
                places[other] = offset_s + tempo * other_offset_s, tempo * other_tempo
                waiting.append(other)
    return places


class Listener:
    """Asks which other videos have a video's sound. Threads may share it.

    Args:
        sounds: library with every video's sound; a video is a track of its name.
        known: links that were found earlier, and count.
        share: two sounds are the same if they have this share of the shorter one in common.
        most_s: so much of a video is listened to.
        false_positive_rate: of being told another video that has not this sound.
    """

    def __init__(
        self,
        sounds: MusicLibrary,
        known: Iterable[SoundLink],
        *,
        share: float,
        most_s: float,
        false_positive_rate: float,
    ) -> None:
        self._blocks = list(_blocks(*sounds.segments()))
        ready = sounds.list_tracks(Wanted(status="ready"))
        self._tracks = {t.number: t for t in ready if t.number is not None}
        self._numbers = {track.id: number for number, track in self._tracks.items()}
        self._share, self._most_s, self._rate = share, most_s, false_positive_rate
        self._lock = threading.Lock()
        self._joined: dict[str, set[str]] = {}
        for link in known:
            self._join(link)

    def links(self, video: str, path: Path) -> list[SoundLink]:
        """The other videos that have its sound, those below the share too.

        Raises:
            MediaError: the file cannot be read.
        """
        sound = read_sound(path, RATE_HZ, most_s=self._most_s)
        hidden, links = {self._numbers[video]}, dict[str, SoundLink]()
        for _ in range(ROUNDS):
            segments = self._without(hidden)
            found = identify(sound, RATE_HZ, segments, false_positive_rate=self._rate)
            new = list(_links(video, len(sound) / RATE_HZ, found, self._tracks))
            links |= {link.other: link for link in new}
            hidden |= {one.number for one in found} | self._members(video, new)
            if not any(link.share >= self._share for link in new):
                break
        return list(links.values())

    def _without(self, hidden: set[int]) -> list[Segment]:
        """The index without these. They are taken out and not only passed over: a video's own
        sound would take all the places that are looked at."""
        return [
            segment if numbers.isdisjoint(hidden) else merge([segment], without=hidden)
            for numbers, segment in self._blocks
        ]

    def _members(self, video: str, links: Iterable[SoundLink]) -> set[int]:
        """Numbers of all in the group that these links make."""
        with self._lock:
            for link in links:
                if link.share >= self._share:
                    self._join(link)
            names = self._joined.get(video, ())
            return {self._numbers[name] for name in names if name in self._numbers}

    def _join(self, link: SoundLink) -> None:
        other = link.other if link.kind == "video" else f"\0track {link.other}"
        both = [self._joined.setdefault(name, {name}) for name in (link.video, other)]
        few, many = sorted(both, key=len)
        if few is not many:
            many |= few
            for name in few:
                self._joined[name] = many


def _blocks(
    segments: Sequence[Segment], dead: frozenset[int]
) -> Iterator[tuple[frozenset[int], Segment]]:
    """(numbers, segment) of an index in parts so small that one is soon made without a video."""
    for segment in segments:
        numbers = [number for number in segment.numbers.tolist() if number not in dead]
        parts = [
            frozenset(numbers[first : first + BLOCK]) for first in range(0, len(numbers), BLOCK)
        ]
        whole = len(parts) == 1 and len(numbers) == len(segment.numbers)
        everything = frozenset(segment.numbers.tolist())
        for part in parts:
            yield part, segment if whole else merge([segment], without=everything - part)


def _links(
    video: str, heard_s: float, found: Sequence[Found], tracks: Mapping[int, Track]
) -> Iterable[SoundLink]:
    """What was found in each other video, as one: its longest piece says where."""
    pieces: dict[int, list[Found]] = defaultdict(list)
    for one in found:
        if one.number in tracks:
            pieces[one.number].append(one)
    for number, those in pieces.items():
        longest = max(those, key=lambda one: one.end_s - one.start_s)
        shorter_s = min(heard_s, (tracks[number].duration_s or heard_s) / longest.tempo)
        covered_s = covered([(one.start_s, one.end_s) for one in those])
        yield SoundLink(
            video,
            "video",
            tracks[number].id,
            offset_s=longest.offset_s - longest.start_s * longest.tempo,
            tempo=longest.tempo,
            share=min(covered_s / max(shorter_s, 1e-3), 1.0),
        )


def covered(spans: Iterable[tuple[float, float]]) -> float:
    """Seconds that lie in at least one of the spans."""
    total, until = 0.0, float("-inf")
    for start_s, end_s in sorted(spans):
        total += max(end_s - max(start_s, until), 0.0)
        until = max(until, end_s)
    return total
