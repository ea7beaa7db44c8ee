"""What is seen in the frames: texts and things in their boxes, and what became of each frame."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from reelscope.description.visible import visible
from reelscope.media.clip import Clip
from reelscope.media.images import RGB
from reelscope.notebook.sheets import picture_sheet
from reelscope.notebook.style import FATE_MARKS, Fate
from reelscope.notebook.timeline import frame_fates
from reelscope.records import (
    Box,
    Choice,
    DetectedObject,
    Detections,
    OnScreenText,
    Probe,
    Quality,
    Similarity,
    TextLine,
    VideoRecord,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TEXT_COLOUR, THING_COLOUR = "#19c37d", "#ff9f1c"
_LONGEST_LABEL = 24


@dataclass(frozen=True)
class FrameFate:
    """What became of a frame that was looked at.

    Attributes:
        time_s: when it is shown.
        fate: in a word.
        reason: in a few more.
    """

    time_s: float
    fate: Fate
    reason: str


# ----------------------------------------------------------------------- why these frames


def looked_at_sheet(record: VideoRecord, clip: Clip, *, most: int = 24) -> Figure:
    """Frames that were looked at, each with what became of it; the chosen ones are framed.

    Args:
        record: of the video.
        clip: of the same video.
        most: so many at most; every chosen one is among them, the others are spread evenly.
    """
    fates = _spread(frame_reasons(record), most)
    images = {frame.time_s: frame.image for frame in clip.frames} if fates else {}
    there = [fate for fate in fates if fate.time_s in images]
    captions = [f"{fate.time_s:.2f} s\n{fate.fate}: {fate.reason}" for fate in there]
    pictures = [(images[f.time_s], text) for f, text in zip(there, captions, strict=True)]
    figure = picture_sheet(pictures, columns=8, lines=3)
    for axes, fate in zip(figure.axes, there, strict=False):
        _edge(axes, fate.fate)
    return figure


def frame_reasons(record: VideoRecord) -> list[FrameFate]:
    """What became of every frame that was looked at, in order of time."""
    reasons = _reasons(record)
    return sorted(
        (
            FrameFate(time_s, fate, reasons.get((fate, time_s), ""))
            for fate, times_s in frame_fates(record).items()
            for time_s in times_s
        ),
        key=lambda frame: frame.time_s,
    )


def _reasons(record: VideoRecord) -> dict[tuple[Fate, float], str]:
    quality, similarity = record.value(Quality), record.value(Similarity)
    choice = record.value(Choice)
    found: dict[tuple[Fate, float], str] = {
        (frame.verdict, frame.time_s): f"quality {frame.score:.2f}"
        for frame in (quality.frames if quality else ())
    }
    for group in similarity.groups if similarity else ():
        for twin in group.stands_for:
            like = f"like {group.time_s:.2f} s: SSIM {twin.ssim:.2f}"
            found["near-duplicate", twin.time_s] = like
    for frame in choice.frames if choice else ():
        found["chosen", frame.time_s] = frame.reason
    return found


def _edge(axes: Axes, fate: Fate) -> None:
    if fate == "chosen":
        axes.set_axis_on()
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set(color=FATE_MARKS[fate]["color"], linewidth=3.5)


def _spread(fates: Sequence[FrameFate], most: int) -> list[FrameFate]:
    if len(fates) <= most:
        return list(fates)
    chosen = [k for k, fate in enumerate(fates) if fate.fate == "chosen"][:most]
    others = [k for k in range(len(fates)) if k not in chosen]
    room = most - len(chosen)
    taken = [others[k] for k in np.linspace(0, len(others) - 1, room).round().astype(int)]
    return [fates[k] for k in sorted({*chosen, *taken})]


# ----------------------------------------------------------------------- texts and things


def boxed_sheet(record: VideoRecord, clip: Clip, *, most: int = 10) -> Figure:
    """Frames on which something was read or recognised, each find in its box.

    Of frames in a row that show the same, the first stands for all.

    Args:
        record: of the video.
        clip: of the same video.
        most: so many frames at most, spread evenly.
    """
    finds = _finds(record)
    told = {time_s: _told(found) for time_s, found in finds.items()}
    times_s = [
        time_s
        for before_s, time_s in zip([None, *sorted(finds)], sorted(finds), strict=False)
        if before_s is None or told[before_s] != told[time_s]
    ]
    if len(times_s) > most:
        times_s = [times_s[k] for k in np.linspace(0, len(times_s) - 1, most).round().astype(int)]
    images = {frame.time_s: frame.image for frame in clip.frames} if times_s else {}
    times_s = [time_s for time_s in times_s if time_s in images]
    pictures = [(images[time_s], _caption(time_s, finds[time_s])) for time_s in times_s]
    figure = picture_sheet(pictures)
    for axes, time_s in zip(figure.axes, times_s, strict=False):
        _draw_finds(axes, finds[time_s], scale=_scale(record, images[time_s]))
    return figure


Find: TypeAlias = TextLine | DetectedObject


def _finds(record: VideoRecord) -> dict[float, list[Find]]:
    read, seen = record.value(OnScreenText), record.value(Detections)
    found: defaultdict[float, list[Find]] = defaultdict(list)
    for frame in read.frames if read else ():
        found[frame.time_s] += frame.lines
    for looked in seen.frames if seen else ():
        found[looked.time_s] += looked.objects
    return {time_s: finds for time_s, finds in found.items() if finds}


def _told(finds: Sequence[Find]) -> frozenset[str]:
    return frozenset(f.text if isinstance(f, TextLine) else f.label for f in finds)


def _caption(time_s: float, finds: Sequence[Find]) -> str:
    lines = (find for find in finds if isinstance(find, TextLine))
    texts = [f"{visible(line.text)} ({line.confidence:.2f})" for line in lines]
    return f"{time_s:.2f} s\n{' | '.join(texts)}"


def _scale(record: VideoRecord, image: RGB) -> float:
    """Pixels of the small image per pixel of the full one."""
    probe = record.value(Probe)
    return image.shape[1] / probe.width if probe and probe.width else 1.0


def _draw_finds(axes: Axes, finds: Sequence[Find], *, scale: float) -> None:
    from matplotlib.patches import Polygon

    for find in finds:
        colour = TEXT_COLOUR if isinstance(find, TextLine) else THING_COLOUR
        corners = scale * np.array(_corners(find))
        axes.add_patch(Polygon(corners, closed=True, fill=False, ec=colour, lw=1.6))
        if isinstance(find, DetectedObject):  # a text is in the caption; here it would hide itself
            left, top = corners.min(axis=0)
            axes.text(
                left, top, f"{visible(find.label)[:_LONGEST_LABEL]} {find.confidence:.2f}",
                color="black", fontsize=6.5, va="bottom", parse_math=False, clip_on=True,
                bbox={"facecolor": colour, "edgecolor": "none", "pad": 0.8},
            )  # fmt: skip


def _corners(find: Find) -> Box:
    if isinstance(find, TextLine):
        return find.box
    left, top, right, bottom = find.box
    return (left, top), (right, top), (right, bottom), (left, bottom)
