"""Which things are seen, where, and for how long? Stage `detect`.

A detector (engines/yolo_world.py or engines/owlv2.py) looks for the vocabulary's words in
single frames; this file says in which, and makes of the findings a table per video.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np

from reelscope.media.clip import Clip
from reelscope.media.images import RGB
from reelscope.records import (
    DetectedFrame,
    DetectedObject,
    Detections,
    Lane,
    ObjectOnScreen,
    Ok,
    Outcome,
    Quality,
    Rect,
    Similarity,
    Still,
    Stills,
)
from reelscope.settings import Detect, Section
from reelscope.vision.keyframes import value_of
from reelscope.vision.stills import read_still
from reelscope.vision.vocabulary import Objects


@dataclass(frozen=True, slots=True)
class Found:
    """Something in a picture.

    Attributes:
        term: number of the prompt that it answers to.
        confidence: 0-1.
        box: left, top, right, bottom in pixels of the picture, inside it and not empty.
    """

    term: int
    confidence: float
    box: tuple[float, float, float, float]


class Detector(Protocol):
    """What finds things in pictures that words describe."""

    @property
    def engine(self) -> str:
        """Name and revision."""
        ...

    @property
    def weights(self) -> tuple[str, ...]:
        """Names in the registry."""
        ...

    def open(self) -> None:
        """Load it; raises EngineUnavailable."""
        ...

    def detect(
        self, pictures: Sequence[Callable[[], RGB]], prompts: Sequence[str], settings: Detect
    ) -> list[list[Found]]:
        """What is found in each picture, the surest first.

        Args:
            pictures: give uint8 (h, w, 3) RGB each; called by several threads, shortly
                before they are looked at. Those of one size share a pass if they stand
                side by side.
            prompts: what to look for.
            settings: thresholds.
        """
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class Wanted(Detect):
    """The settings of the stage together with the words: its value depends on both."""

    objects: Objects


class DetectStage:
    """Stage `detect`: the objects in the kept frames."""

    name = "detect"
    version = 1
    needs: tuple[str, ...] = ("stills",)
    uses: tuple[str, ...] = ("quality", "similarity")
    lane: Lane = "gpu"

    def __init__(
        self, settings: Detect, objects: Objects, detector: Detector, *, batch_size: int = 8
    ) -> None:
        self.batch_size = batch_size
        self.settings: Section = Wanted(**settings.model_dump(), objects=objects)
        self._settings = settings
        self._objects = objects
        self._detector = detector

    @property
    def engine(self) -> str:
        """The detector's."""
        return self._detector.engine

    @property
    def weights(self) -> tuple[str, ...]:
        """The detector's."""
        return self._detector.weights

    def open(self) -> None:
        """Load the detector."""
        self._detector.open()

    def run(self, clips: Sequence[Clip]) -> list[Outcome]:
        """One `records.Detections` per clip. The frames of all of them share passes."""
        stills = [value_of(clip, Stills).frames for clip in clips]
        # frames of one size stand side by side: they can share a pass
        order = sorted(
            ((n, still) for n, frames in enumerate(stills) for still in frames),
            key=lambda pick: (pick[1].height, pick[1].width),
        )
        found = self._detector.detect(
            [partial(_read, clips[n], still) for n, still in order],
            [term.prompt for term in self._objects.terms],
            self._settings,
        )
        by_clip: list[dict[float, Sequence[Found]]] = [{} for _ in clips]
        for (n, still), findings in zip(order, found, strict=True):
            by_clip[n][still.time_s] = findings
        return [Ok(self._value(*one)) for one in zip(clips, stills, by_clip, strict=True)]

    def close(self) -> None:
        """Let go of the detector."""
        self._detector.close()

    def _value(
        self, clip: Clip, stills: Sequence[Still], found: Mapping[float, Sequence[Found]]
    ) -> Detections:
        labels = [term.label for term in self._objects.terms]
        frames = [
            DetectedFrame(
                time_s=still.time_s,
                objects=tuple(
                    DetectedObject(label=labels[f.term], confidence=f.confidence, box=f.box)
                    for f in found[still.time_s]
                ),
            )
            for still in sorted(stills, key=lambda still: still.time_s)
        ]
        similarity, quality = clip.value(Similarity), clip.value(Quality)
        groups = similarity.groups if similarity else ()
        stretches = timeline(
            [frame.time_s for frame in frames],
            {group.time_s: [near.time_s for near in group.stands_for] for group in groups},
            [f.time_s for f in quality.frames if f.verdict == "black"] if quality else [],
            end_s=clip.info.duration_s or 0.0,
        )
        sizes = {still.time_s: (still.width, still.height) for still in stills}
        products = {term.label for term in self._objects.products}
        return Detections(
            frames=tuple(frames),
            objects=tuple(on_screen(frames, stretches, sizes=sizes, products=products)),
        )


def _read(clip: Clip, still: Still) -> RGB:
    clip.check_time()
    return read_still(clip, still.time_s)


@dataclass(frozen=True, slots=True)
class Stretch:
    """A stretch of time, and the kept frame that says what is seen in it; None: nothing is."""

    start_s: float
    end_s: float
    frame_s: float | None


def timeline(
    kept_s: Sequence[float],
    stands_for: Mapping[float, Iterable[float]],
    black_s: Iterable[float],
    *,
    end_s: float,
) -> list[Stretch]:
    """From the first frame to the end of the video: what is known of every moment.

    Args:
        kept_s: times of the frames that were looked at.
        stands_for: times of the near-duplicates of each.
        black_s: times of frames that are black.
        end_s: of the video.

    Returns:
        Stretches in order, without gaps: a frame counts until the next of which anything
        is known.
    """
    shown: dict[float, float | None] = dict.fromkeys(black_s)
    for time_s in kept_s:
        shown.update(dict.fromkeys(stands_for.get(time_s, ()), time_s))
    shown.update((time_s, time_s) for time_s in kept_s)
    times_s = sorted(shown)
    if not times_s:
        return []
    ends_s = [*times_s[1:], max(end_s, times_s[-1])]
    return [Stretch(start, end, shown[start]) for start, end in zip(times_s, ends_s, strict=True)]


def on_screen(
    frames: Sequence[DetectedFrame],
    stretches: Sequence[Stretch],
    *,
    sizes: Mapping[float, tuple[int, int]],
    products: Collection[str],
) -> list[ObjectOnScreen]:
    """The table of a video: one row per label, the longest on screen first.

    Args:
        frames: what was found.
        stretches: as `timeline` gives them.
        sizes: width and height of each frame, pixels.
        products: labels that name products.
    """
    showing: dict[str, dict[float, list[DetectedObject]]] = {}
    for frame in frames:
        for thing in frame.objects:
            showing.setdefault(thing.label, {}).setdefault(frame.time_s, []).append(thing)
    rows = [
        ObjectOnScreen(
            label=label,
            product=label in products,
            frames=len(seen),
            confidence=max(thing.confidence for things in seen.values() for thing in things),
            most_at_once=max(map(len, seen.values())),
            area_share=float(
                np.mean([_covered(things, *sizes[time_s]) for time_s, things in seen.items()])
            ),
            **_times(stretches, seen.keys()),
        )
        for label, seen in showing.items()
    ]
    return sorted(rows, key=lambda row: (-row.seconds, -row.confidence, row.label))


def _times(stretches: Sequence[Stretch], frames_s: Collection[float]) -> dict[str, float]:
    shown = [stretch for stretch in stretches if stretch.frame_s in frames_s]
    return {
        "seconds": sum(stretch.end_s - stretch.start_s for stretch in shown),
        "first_s": shown[0].start_s,
        "last_s": shown[-1].end_s,
    }


def _covered(things: Sequence[DetectedObject], width: int, height: int) -> float:
    """Share of a picture that lies in at least one of the boxes."""
    return min(1.0, covered_area([thing.box for thing in things]) / (width * height))


def covered_area(boxes: Sequence[Rect]) -> float:
    """Area of the union of boxes, as exact as the boxes are."""
    edges = np.array(boxes, np.float64).reshape(-1, 2, 2)
    xs, ys = (np.unique(edges[:, :, axis]) for axis in (0, 1))
    inside = np.zeros((len(ys), len(xs)), bool)
    for left, top, right, bottom in boxes:
        rows = slice(*np.searchsorted(ys, (top, bottom)))
        inside[rows, slice(*np.searchsorted(xs, (left, right)))] = True
    cells = np.diff(ys, append=ys[-1:])[:, None] * np.diff(xs, append=xs[-1:])
    return float(cells[inside].sum())


def inside(
    box: Sequence[float], *, width: int, height: int
) -> tuple[float, float, float, float] | None:
    """A box cut to the picture and rounded to hundredths of a pixel; None: nothing is left."""
    left, right = (round(min(max(float(x), 0.0), float(width)), 2) for x in (box[0], box[2]))
    top, bottom = (round(min(max(float(y), 0.0), float(height)), 2) for y in (box[1], box[3]))
    return (left, top, right, bottom) if left < right and top < bottom else None
