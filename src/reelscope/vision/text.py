"""What is written on the screen, and when? Stage `text`.

A reader (engines/rapidocr.py) reads single frames. This file says which, and
`appearances.py` makes of the readings texts that come and go.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import chain
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
    Quality,
    Similarity,
    Stills,
    TextAppearance,
    TextFrame,
    TextLine,
)
from reelscope.settings import Text
from reelscope.vision.appearances import Look, find_edges, follow
from reelscope.vision.keyframes import images_at, value_of
from reelscope.vision.quality import Gray, luma
from reelscope.vision.stills import read_still

SINGLE_CONFIDENCE = 0.9
"""What a single letter, digit or sign needs: they are easily read into feathers and leaves."""
PLACE_PX, PLACE_CHANGED = 9, 20
"""Near-duplicates show the same texts unless their luma differs by so much, in the mean
over some square of so many pixels of the small pictures (short side 256)."""


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
        line.model_copy(update={"text": line.text.strip(), "box": _scaled(line.box, *back)})
        for line in reader.read(np.ascontiguousarray(small))
        if line.confidence >= _least_confidence(line.text, min_confidence)
    )


def _least_confidence(text: str, wanted: float) -> float:
    if sum(sign.isalnum() for sign in text) > 1:
        return wanted
    return max(wanted, SINGLE_CONFIDENCE) if text.strip() else math.inf


def _scaled(box: Box, x_factor: float, y_factor: float) -> Box:
    a, b, c, d = ((round(x * x_factor, 6), round(y * y_factor, 6)) for x, y in box)
    return a, b, c, d


class TextStage:
    """Stage `text`: reads the kept frames, and more where captions may have changed.

    A kept frame stands for its near-duplicates (`similarity`), but a caption is a small
    part of a picture: where a near-duplicate differs in some place it is read as well.
    So are frames that are blurred (`quality`): what is laid over them may be sharp.
    """

    name = "text"
    version = 1
    needs: tuple[str, ...] = ("stills",)
    uses: tuple[str, ...] = ("quality", "similarity")
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
        kept_s = [still.time_s for still in value_of(clip, Stills).frames]
        quality, similarity = clip.value(Quality), clip.value(Similarity)
        groups = similarity.groups if similarity else ()
        plan = plan_reading(
            kept_s,
            {group.time_s: [near.time_s for near in group.stands_for] for group in groups},
            [f.time_s for f in quality.frames if f.verdict == "blurred"] if quality else [],
            picture_at=lambda time_s: luma(images_at(clip, [time_s])[0]),
            most=self.settings.max_frames,
        )
        lines = dict(self._read(clip, plan, frozenset(kept_s)))
        looks = [Look(t, lines[r], read=t == r) for t, r in sorted(plan.items()) if r in lines]
        frames = [TextFrame(time_s=t, lines=found) for t, found in sorted(lines.items())]
        appearances = self._appearances(clip, looks)
        return Ok(OnScreenText(frames=tuple(frames), appearances=tuple(appearances)))

    def _appearances(self, clip: Clip, looks: Sequence[Look]) -> list[TextAppearance]:
        size = clip.info.width or 1, clip.info.height or 1
        sightings = follow(
            looks,
            min_similarity=self.settings.min_similarity,
            diagonal_px=math.hypot(*size),
        )
        if not sightings:
            return []
        end_s = max(clip.info.duration_s or 0.0, looks[-1].time_s)
        edges_s = find_edges(sightings, clip.thumbnails(), size=size, end_s=end_s)
        found = [s.appearance(*edge_s) for s, edge_s in zip(sightings, edges_s, strict=True)]
        return sorted(found, key=lambda text: (text.start_s, text.box[0][1], text.text))

    def _read(
        self, clip: Clip, plan: Mapping[float, float], kept_s: Collection[float]
    ) -> Iterator[tuple[float, tuple[TextLine, ...]]]:
        """The lines of the planned frames; one that does not decode at full size is left out."""
        wanted_s = sorted(set(plan.values()))
        on_disk = ((t, read_still(clip, t)) for t in wanted_s if t in kept_s)
        for time_s, image in chain(on_disk, clip.full([t for t in wanted_s if t not in kept_s])):
            clip.check_time()
            yield (
                time_s,
                read_lines(
                    image,
                    self.reader,
                    max_side=self.settings.max_side,
                    min_confidence=self.settings.min_confidence,
                ),
            )


def plan_reading(
    kept_s: Sequence[float],
    stands_for: Mapping[float, Sequence[float]],
    blurred_s: Sequence[float],
    *,
    picture_at: Callable[[float], Gray],
    most: int,
) -> dict[float, float]:
    """Which frames are read, and which others show the same as one of those.

    Args:
        kept_s: times of the frames that are kept.
        stands_for: times of the near-duplicates of each.
        blurred_s: times of frames that are not kept because they are blurred.
        picture_at: luma of a frame's small picture, uint8 (h, w).
        most: frames to read; evenly spread if there are more, kept ones first.

    Returns:
        Time -> time of the frame that is read for it. Times that no read frame shows are
        left out: nothing is known of them.
    """
    same: dict[float, list[float]] = {time_s: [time_s] for time_s in kept_s}
    for time_s in kept_s:
        unlike = [(time_s, picture_at(time_s))] if stands_for.get(time_s) else []
        for near_s in stands_for.get(time_s, ()):
            picture = picture_at(near_s)
            like_s = next((t for t, other in unlike if not differs(picture, other)), None)
            if like_s is None:
                unlike.append((near_s, picture))
            same.setdefault(near_s if like_s is None else like_s, []).append(near_s)
    same.update((time_s, [time_s]) for time_s in blurred_s)
    more_s = sorted(same.keys() - set(kept_s))
    read = [*_spread(kept_s, most), *_spread(more_s, most - len(kept_s))]
    return {time_s: read_s for read_s in read for time_s in same[read_s]}


def differs(picture: Gray, other: Gray) -> bool:
    """Whether two pictures of one size, uint8 (h, w), differ in a place of a letter's size."""
    change = cv2.blur(cv2.absdiff(picture, other), (PLACE_PX, PLACE_PX))
    return bool(change.max() >= PLACE_CHANGED)


def _spread(times_s: Sequence[float], most: int) -> list[float]:
    """At most so many, evenly spread, first and last among them."""
    if len(times_s) <= most:
        return list(times_s)
    chosen = np.linspace(0, len(times_s) - 1, max(most, 0)).round().astype(int)
    return [times_s[index] for index in chosen]
