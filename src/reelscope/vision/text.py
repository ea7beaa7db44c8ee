"""On-screen text: what is written, where, and when it appears and goes."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from typing import Protocol

import cv2
import numpy as np

from reelscope.media.clip import Clip
from reelscope.media.images import RGB
from reelscope.records import (
    Box,
    Lane,
    Ok,
    OnScreenText,
    Outcome,
    Shots,
    Similarity,
    Stills,
    TextAppearance,
    TextFrame,
    TextLine,
)
from reelscope.settings import Text
from reelscope.vision.keyframes import value_of
from reelscope.vision.stills import read_still

MAX_MISSED_S = 2.0
"""A text that is not read in one look, but again in the next within this time, was there
all along: readers miss a line now and then."""

NEAR = 0.15
"""Two readings are of one text if their boxes' middles are no further apart than this share
of the picture's diagonal. Captions stay put; the same word elsewhere is another text."""

MIN_GROWN = 3
"""Letters that a caption typed out on screen must have before what follows it counts as
its continuation: "A" begins too many texts."""


class TextReader(Protocol):
    """What reads text in a picture. Several threads may use one reader."""

    @property
    def engine(self) -> str:
        """Name and revision."""
        ...

    def open(self) -> None:
        """Load it; raises EngineUnavailable."""
        ...

    def read(self, image: RGB) -> list[TextLine]:
        """Lines in a uint8 (h, w, 3) RGB picture, boxes in its pixels."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


def read_lines(
    image: RGB, reader: TextReader, *, max_side: int, min_confidence: float
) -> tuple[TextLine, ...]:
    """The lines of a picture that is shrunk for reading if it is large.

    Args:
        image: uint8 (h, w, 3) RGB.
        reader: what reads.
        max_side: longest side that is read, pixels; smaller pictures are not enlarged.
        min_confidence: readings below this are dropped, 0-1.

    Returns:
        Lines with boxes in pixels of `image`.
    """
    height, width = image.shape[:2]
    scale = min(1.0, max_side / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA) if scale < 1 else image
    back = width / size[0], height / size[1]
    return tuple(
        line.model_copy(update={"box": _scaled(line.box, *back)})
        for line in reader.read(np.ascontiguousarray(small))
        if line.confidence >= min_confidence and line.text.strip()
    )


def _scaled(box: Box, x_factor: float, y_factor: float) -> Box:
    a, b, c, d = ((round(x * x_factor, 6), round(y * y_factor, 6)) for x, y in box)
    return a, b, c, d


@dataclass
class _Open:
    """A text that is on screen now."""

    start_s: float
    last_s: float
    readings: list[TextLine] = field(default_factory=list)

    @property
    def best(self) -> TextLine:
        """The longest reading, of those the surest: a typed caption ends at its longest."""
        return max(self.readings, key=lambda line: (len(normal(line.text)), line.confidence))

    def closed(self, end_s: float) -> TextAppearance:
        best = self.best
        return TextAppearance(
            text=best.text,
            start_s=self.start_s,
            end_s=end_s,
            confidence=sum(line.confidence for line in self.readings) / len(self.readings),
            box=best.box,
            frames=len(self.readings),
        )


def merge(
    looks: Sequence[tuple[float, Sequence[TextLine]]],
    *,
    min_similarity: float,
    diagonal_px: float,
    cuts_s: Sequence[float] = (),
    end_s: float | None = None,
) -> tuple[TextAppearance, ...]:
    """Readings over time -> appearances.

    A text counts as on screen from the first to the last look in which it was read. What
    happens between two looks is not known, with two exceptions: a cut between them is
    where a text that is read on one side alone came or went, and a text of the last look
    stays to the end.

    Args:
        looks: time and lines, in time order.
        min_similarity: of two readings of one text, 0-1 (difflib's ratio on letters and
            digits alone).
        diagonal_px: of the full picture.
        cuts_s: where shots change.
        end_s: end of the video.

    Returns:
        In order of start, then from top to bottom.
    """
    done: list[TextAppearance] = []
    current: list[_Open] = []
    before_s = None
    for time_s, lines in looks:
        cut_s = _cut_between(cuts_s, before_s, time_s)
        fresh = list(lines)
        for text in list(current):
            line = _continuation(text, fresh, min_similarity, NEAR * diagonal_px)
            if line is not None:
                fresh.remove(line)
                text.readings.append(line)
                text.last_s = time_s
            elif cut_s is not None or time_s - text.last_s > MAX_MISSED_S:
                current.remove(text)
                seen_before = cut_s is not None and text.last_s == before_s
                done.append(text.closed(cut_s if seen_before and cut_s else text.last_s))
        start_s = cut_s if cut_s is not None else time_s
        current += [_Open(start_s, time_s, [line]) for line in fresh]
        before_s = time_s
    for text in current:
        to_end = end_s is not None and text.last_s == before_s
        done.append(text.closed(max(text.last_s, end_s or 0.0) if to_end else text.last_s))
    return tuple(sorted(done, key=lambda found: (found.start_s, found.box[0][1], found.text)))


def _cut_between(cuts_s: Sequence[float], first_s: float | None, last_s: float) -> float | None:
    """The first cut after the one look and up to the other."""
    if first_s is None:
        return None
    return next((cut_s for cut_s in cuts_s if first_s < cut_s <= last_s), None)


def _continuation(
    text: _Open, lines: Sequence[TextLine], min_similarity: float, reach_px: float
) -> TextLine | None:
    """The line that is this text again, the most alike if several are."""
    last = text.readings[-1]
    near = [line for line in lines if _apart(last.box, line.box) <= reach_px]
    scored = [(_likeness(last.text, line.text), line) for line in near]
    alike = [pair for pair in scored if pair[0] >= min_similarity]
    return max(alike, key=lambda pair: pair[0])[1] if alike else None


def _likeness(earlier: str, later: str) -> float:
    """0-1; 1 also where the later text is the earlier one with more typed after it."""
    a, b = normal(earlier), normal(later)
    if len(a) >= MIN_GROWN and b.startswith(a):
        return 1.0
    return SequenceMatcher(None, a, b, autojunk=False).ratio()


def normal(text: str) -> str:
    """Letters and digits alone, compatibility forms folded; other signs if there are none."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return "".join(c for c in folded if c.isalnum()) or folded.strip()


def _apart(first: Box, second: Box) -> float:
    """Distance between the top left corners, pixels: a growing caption keeps its own.

    Centred captions keep their middle instead, so the nearer of the two counts.
    """
    corner = np.hypot(first[0][0] - second[0][0], first[0][1] - second[0][1])
    middle = np.mean(first, axis=0) - np.mean(second, axis=0)
    return float(min(corner, np.hypot(middle[0], middle[1])))


class TextStage:
    """Stage `text`: reads the kept frames.

    A still stands for its near-duplicates (`similarity`), so a text lasts over all the
    moments that its still stands for; `shots` says where it can have changed.
    """

    name = "text"
    version = 1
    needs: tuple[str, ...] = ("stills",)
    uses: tuple[str, ...] = ("similarity", "shots")
    lane: Lane = "cpu"
    batch_size = 1

    def __init__(self, settings: Text, reader: TextReader) -> None:
        self.settings = settings
        self.reader = reader

    @property
    def engine(self) -> str:
        """The reader's."""
        return self.reader.engine

    def open(self) -> None:
        """Load the reader."""
        self.reader.open()

    def run(self, clips: Sequence[Clip]) -> list[Outcome]:
        """One `records.OnScreenText` per clip."""
        return [self._one(clip) for clip in clips]

    def close(self) -> None:
        """Let go of the reader."""
        self.reader.close()

    def _one(self, clip: Clip) -> Outcome:
        stills = value_of(clip, Stills).frames
        times_s = _spread([still.time_s for still in stills], self.settings.max_frames)
        frames = []
        for time_s in times_s:
            clip.check_time()
            frames.append(TextFrame(time_s=time_s, lines=self._read(clip, time_s)))
        shots = clip.value(Shots)
        appearances = merge(
            _looks(frames, clip.value(Similarity)),
            min_similarity=self.settings.min_similarity,
            diagonal_px=float(np.hypot(clip.info.width or 1, clip.info.height or 1)),
            cuts_s=[cut.time_s for cut in shots.cuts] if shots else (),
            end_s=clip.info.duration_s,
        )
        return Ok(OnScreenText(frames=tuple(frames), appearances=appearances))

    def _read(self, clip: Clip, time_s: float) -> tuple[TextLine, ...]:
        return read_lines(
            read_still(clip, time_s),
            self.reader,
            max_side=self.settings.max_side,
            min_confidence=self.settings.min_confidence,
        )


def _spread(times_s: Sequence[float], most: int) -> list[float]:
    """At most so many, evenly spread, first and last among them."""
    if len(times_s) <= most:
        return list(times_s)
    chosen = np.linspace(0, len(times_s) - 1, most).round().astype(int)
    return [times_s[index] for index in chosen]


def _looks(
    frames: Sequence[TextFrame], similarity: Similarity | None
) -> list[tuple[float, Sequence[TextLine]]]:
    """Every moment for which a read frame stands, with its lines."""
    lines: Mapping[float, Sequence[TextLine]] = {frame.time_s: frame.lines for frame in frames}
    looks = dict(lines)
    for group in similarity.groups if similarity else ():
        if group.time_s in lines:
            looks |= {near.time_s: lines[group.time_s] for near in group.stands_for}
    return sorted(looks.items(), key=lambda look: look[0])
