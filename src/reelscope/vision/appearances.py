"""From what was read at single moments to texts that come and go.

`follow` links the readings of one text. `find_edges` then looks for the frames at which a
text came and went: it was not read between two looks, but tiny pictures of every frame
show when the place where it stands changes.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from itertools import product

import numpy as np

from reelscope.media.images import RGB
from reelscope.records import Box, TextAppearance, TextLine

MAX_MISSED_S = 2.0
"""A text that is not read in one look, but again in the next within this time, was there
all along: readers miss a line now and then."""
NEAR = 0.15
"""Two readings are of one text if they are no further apart than this share of the
picture's diagonal. Captions stay put; the same word elsewhere is another text."""
MIN_GROWN = 3
"""Letters that a caption typed out on screen must have before what follows it counts as
its continuation: "A" begins too many texts."""
REPLACED = 0.3
"""Share of the smaller of two boxes that both cover where one text has taken the other's
place."""

LONGEST_SEARCH_S = 10.0
"""Looks further apart than this: too much may have happened between them."""
MIN_CONTRAST = 6.0
"""Mean difference (0-255) of a place with its text and without below which tiny pictures
do not tell one from the other."""


@dataclass(frozen=True, slots=True)
class Look:
    """A moment that was read, or one that looks the same and so shows the same texts."""

    time_s: float
    lines: Sequence[TextLine]
    read: bool = True


@dataclass(slots=True, eq=False)
class Sighting:
    """A text in the looks that show it.

    Attributes:
        before_s: the look before the first, in which it was not; None: there is none.
        after_s: the look after the last, in which it was not; None: there is none.
        looks: time, reading, and whether that very moment was read.
    """

    before_s: float | None
    after_s: float | None = None
    looks: list[tuple[float, TextLine, bool]] = field(default_factory=list)

    @property
    def first(self) -> tuple[float, TextLine]:
        """The first look."""
        return self.looks[0][:2]

    @property
    def last(self) -> tuple[float, TextLine]:
        """The last look."""
        return self.looks[-1][:2]

    @property
    def best(self) -> TextLine:
        """What most looks agree on, or what it has grown to by typing, in its surest reading."""
        trust: dict[str, float] = {}
        for _, line, _ in self.looks:
            trust[normal(line.text)] = trust.get(normal(line.text), 0.0) + line.confidence
        common = max(trust, key=lambda text: (trust[text], text))
        grown = [t for t in trust if t.startswith(common) and len(t) >= len(common) + MIN_GROWN]
        wanted = max(grown, key=len, default=common)
        same = [line for _, line, _ in self.looks if normal(line.text) == wanted]
        return max(same, key=lambda line: line.confidence)

    def appearance(self, start_s: float, end_s: float) -> TextAppearance:
        """The record's value."""
        best = self.best
        return TextAppearance(
            text=best.text,
            start_s=start_s,
            end_s=end_s,
            confidence=best.confidence,
            box=best.box,
            frames=sum(read for *_, read in self.looks),
        )


# ------------------------------------------------------------------------------- follow


def follow(looks: Sequence[Look], *, min_similarity: float, diagonal_px: float) -> list[Sighting]:
    """Link readings that are of one text.

    Args:
        looks: in time order.
        min_similarity: of two readings of one text, 0-1 (difflib's ratio on letters and
            digits alone).
        diagonal_px: of the full picture.

    Returns:
        In order of their first look, then from top to bottom.
    """
    done: list[Sighting] = []
    current: list[Sighting] = []
    before_s = None
    for look in looks:
        pairs = _continuations(current, look.lines, min_similarity, NEAR * diagonal_px)
        for text, line in pairs:
            text.looks.append((look.time_s, line, look.read))
            text.after_s = None
        for text in [text for text in current if text.last[0] < look.time_s]:
            text.after_s = look.time_s if text.after_s is None else text.after_s
            if look.time_s - text.last[0] > MAX_MISSED_S or _is_replaced(text, look.lines):
                current.remove(text)
                done.append(text)
        known = [line for _, line in pairs]
        fresh = [line for line in look.lines if not any(line is other for other in known)]
        current += [Sighting(before_s, looks=[(look.time_s, line, look.read)]) for line in fresh]
        before_s = look.time_s
    return sorted(done + current, key=lambda text: (text.first[0], text.first[1].box[0][1]))


def _continuations(
    texts: Sequence[Sighting], lines: Sequence[TextLine], min_similarity: float, reach_px: float
) -> list[tuple[Sighting, TextLine]]:
    """Which line is which text again; the most alike first, each once."""
    pairs: list[tuple[float, float, int, Sighting, TextLine]] = []
    for text, line in product(texts, lines):
        last = text.last[1]
        alike, apart_px = likeness(last.text, line.text), _apart(last.box, line.box)
        if alike >= min_similarity and apart_px <= reach_px:
            pairs.append((-alike, apart_px, len(pairs), text, line))
    found: list[tuple[Sighting, TextLine]] = []
    for *_, text, line in sorted(pairs):
        if not any(text is other or line is taken for other, taken in found):
            found.append((text, line))
    return found


def normal(text: str) -> str:
    """Letters and digits alone, compatibility forms folded; other signs if there are none."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(c for c in folded if c.isalnum()) or folded.strip()


def likeness(earlier: str, later: str) -> float:
    """0-1; 1 also where the later text is the earlier one with more typed after it.

    0 where both tell numbers that differ: "Step 1" is not "Step 2".
    """
    a, b = normal(earlier), normal(later)
    if len(a) >= MIN_GROWN and b.startswith(a):
        return 1.0
    numbers_a, numbers_b = re.findall(r"\d+", a), re.findall(r"\d+", b)
    if numbers_a and numbers_b and numbers_a != numbers_b:
        return 0.0
    return SequenceMatcher(None, a, b, autojunk=False).ratio()


def _apart(first: Box, second: Box) -> float:
    """Distance, pixels: a growing caption keeps its left end, or its middle if centred."""
    corner = np.hypot(first[0][0] - second[0][0], first[0][1] - second[0][1])
    middle = np.mean(first, axis=0) - np.mean(second, axis=0)
    return float(min(corner, np.hypot(middle[0], middle[1])))


def _is_replaced(text: Sighting, lines: Sequence[TextLine]) -> bool:
    """Whether something else stands where this text stood."""
    return any(_covered(text.last[1].box, line.box) >= REPLACED for line in lines)


def _covered(first: Box, second: Box) -> float:
    """Share of the smaller of two upright boxes that lies in the other."""
    spans = [(np.min(box, axis=0), np.max(box, axis=0)) for box in (first, second)]
    low, high = np.maximum(spans[0][0], spans[1][0]), np.minimum(spans[0][1], spans[1][1])
    smaller = min(float(np.prod(end - start)) for start, end in spans)
    return float(np.prod(np.clip(high - low, 0, None))) / smaller if smaller > 0 else 0.0


# -------------------------------------------------------------------------------- edges


@dataclass(slots=True, eq=False)
class _Search:
    """Where, and between which moments, a text came or went.

    Attributes:
        known_s: the look that shows it.
        until_s: the look that does not, or the end of the video.
        open_end: it is the end of the video.
        place: left, top, right, bottom, as shares of width and height.
        edge: (last frame with the text, first without it), going away from the known
            look. The second is None where it stays to the end of the search. None: not
            told yet, or it cannot be told.
    """

    known_s: float
    until_s: float
    open_end: bool
    place: tuple[float, float, float, float]
    edge: tuple[float, float | None] | None = None
    _seen: list[tuple[float, RGB]] = field(default_factory=list)

    @property
    def span_s(self) -> tuple[float, float]:
        """From when to when frames are looked at; a bit wider, as times are rounded."""
        low, high = sorted((self.known_s, self.until_s))
        return low - 1e-5, high + 1e-5

    def see(self, time_s: float, image: RGB) -> None:
        """A frame within the span, uint8 (h, w, 3)."""
        rows, columns = image.shape[:2]
        left, top, right, bottom = self.place
        x, y = (min(int(a * n), n - 1) for a, n in ((left, columns), (top, rows)))
        cut = image[
            y : max(math.ceil(bottom * rows), y + 1), x : max(math.ceil(right * columns), x + 1)
        ]
        self._seen.append((time_s, cut.copy()))

    def settle(self) -> None:
        """There are no more frames within the span: tell the edge."""
        seen = sorted(self._seen, key=lambda pair: abs(pair[0] - self.known_s))
        self._seen = []
        if not seen:
            return
        known = seen[0][1].astype(np.float32)
        far = [float(np.abs(place - known).mean()) for _, place in seen]
        contrast = float(known.std()) if self.open_end else far[-1]
        if contrast < MIN_CONTRAST:
            return
        without = next((n for n, distance in enumerate(far) if distance > contrast / 2), None)
        if without is None:
            self.edge = seen[-1][0], None
        else:
            self.edge = seen[without - 1][0], seen[without][0]


def find_edges(
    sightings: Sequence[Sighting],
    frames: Iterable[tuple[float, RGB]],
    *,
    size: tuple[int, int],
    end_s: float,
) -> list[tuple[float, float]]:
    """When each text appears and goes, in seconds.

    A text begins with the first frame that looks, at its place, like the first look that
    shows it, and ends with the first that no longer looks like the last. Where that
    cannot be told, the looks themselves are its ends.

    Args:
        sightings: what `follow` found.
        frames: (time_s, uint8 (h, w, 3) RGB) of the whole video in time order; tiny ones do.
        size: width and height in which the boxes are.
        end_s: end of the video.
    """
    starts = [_search(s.first, s.before_s, 0.0, size) for s in sightings]
    ends = [_search(s.last, s.after_s, end_s, size) for s in sightings]
    _show(frames, [search for search in starts + ends if search])
    found = []
    for sighting, start, end in zip(sightings, starts, ends, strict=True):
        came, went = start.edge if start else None, end.edge if end else None
        gone_s = sighting.last[0] if went is None else went[1]
        found.append((came[0] if came else sighting.first[0], end_s if gone_s is None else gone_s))
    return found


def _search(
    known: tuple[float, TextLine], other_s: float | None, limit_s: float, size: tuple[int, int]
) -> _Search | None:
    known_s, line = known
    until_s = limit_s if other_s is None else other_s
    if abs(until_s - known_s) > LONGEST_SEARCH_S:
        return None
    corners = np.array(line.box) / size
    place = (*corners.min(axis=0).tolist(), *corners.max(axis=0).tolist())
    return _Search(known_s, until_s, other_s is None, place)


def _show(frames: Iterable[tuple[float, RGB]], searches: Sequence[_Search]) -> None:
    """Show each search the frames of its span, in one pass that ends with the last span."""
    waiting = sorted(searches, key=lambda search: search.span_s[0], reverse=True)
    active: list[_Search] = []
    for time_s, image in frames if searches else ():
        while waiting and waiting[-1].span_s[0] <= time_s:
            active.append(waiting.pop())
        for search in [search for search in active if search.span_s[1] < time_s]:
            active.remove(search)
            search.settle()
        for search in active:
            search.see(time_s, image)
        if not waiting and not active:
            return
    for search in active:
        search.settle()
