"""Sheets of pictures: the chosen frames, and any others with a caption each."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from reelscope.export.colours import INK
from reelscope.media.images import RGB
from reelscope.media.pictures import read_jpeg
from reelscope.records import Choice, Description, VideoRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH_IN, _GAP_IN, _LINE_IN = 12.0, 0.18, 0.165
_TALLEST = 16 / 9
"""Height of a picture over its width, as it is drawn."""
_LETTERS = 15.5
"""Of a caption's text in an inch."""


def contact_sheet(record: VideoRecord, data_root: Path) -> Figure:
    """The frames that stand for the video, each with its time and its reason.

    Above them stands what a model says of the video, if one was asked.

    Args:
        record: of the video.
        data_root: `paths.data` of the analysis; the pictures lie below it.
    """
    pictures = list(chosen_pictures(record, data_root))
    return picture_sheet(pictures, head=description_text(record))


def description_text(record: VideoRecord) -> str:
    """What a model says of the video, or that it refused to; empty: none was asked."""
    said = record.value(Description)
    if said and said.refusal:
        return f"Description refused: {said.refusal.reason or said.refusal.kind}"
    answer = said.dimensions.get("description") if said else None
    return answer.value if answer and isinstance(answer.value, str) else ""


def chosen_pictures(record: VideoRecord, data_root: Path) -> Iterator[tuple[RGB, str]]:
    """Picture and caption of the chosen frames, in order of time."""
    folder = data_root / "tiktok_frames" / record.source.frames_id
    choice = record.value(Choice)
    for frame in sorted(choice.frames if choice else (), key=lambda f: f.time_s):
        reason = frame.reason.replace(" s)", "\N{NO-BREAK SPACE}s)")
        yield read_jpeg(folder / frame.file), f"{frame.time_s:.2f} s\n{reason}"


def picture_sheet(
    pictures: Sequence[tuple[RGB, str]], *, columns: int = 5, lines: int = 5, head: str = ""
) -> Figure:
    """Pictures, each with its caption below; the caption's first line stands out.

    The sheet is 12 inches wide; as few pictures as one still have the width of a fifth.

    Args:
        pictures: uint8 (h, w, 3) RGB and text.
        columns: in a row, at most.
        lines: of a caption after its first, at most.
        head: text above them all.
    """
    from matplotlib.figure import Figure

    wide = (_WIDTH_IN - _GAP_IN) / max(columns, 1)
    letters = int((wide - _GAP_IN) * _LETTERS)
    captions = [_wrapped(caption, letters, lines) for _, caption in pictures]
    below = _LINE_IN * (max((text.count("\n") for text in captions), default=0) + 1) + 2 * _GAP_IN
    cell = max((_height_in(image, wide - _GAP_IN) for image, _ in pictures), default=0.0) + below
    said = textwrap.fill(head, 150, max_lines=6, placeholder=" …")
    top = _GAP_IN / 2 + (_LINE_IN * (said.count("\n") + 2) if said else 0.0)
    height = top + cell * max(-(-len(pictures) // columns), 1)
    figure = Figure(figsize=(_WIDTH_IN, height), dpi=110, layout="none")  # type: ignore[arg-type]
    if said:
        place: dict[str, Any] = {"x": _GAP_IN / _WIDTH_IN, "y": 1 - 0.08 / height, "va": "top"}
        figure.suptitle(said, color=INK, fontsize=10, ha="left", parse_math=False, **place)
    for k, ((image, _), caption) in enumerate(zip(pictures, captions, strict=True)):
        size = (wide - _GAP_IN, _height_in(image, wide - _GAP_IN))
        corner = (_GAP_IN + wide * (k % columns), height - top - cell * (k // columns) - size[1])
        box = np.divide((*corner, *size), (_WIDTH_IN, height) * 2)
        draw_picture(figure.add_axes(tuple(box), anchor="NW"), image, caption)
    return figure


def _wrapped(caption: str, letters: int, lines: int) -> str:
    """Its first line, and the rest in lines of so many letters."""
    first, _, rest = caption.partition("\n")
    return "\n".join([first, *textwrap.wrap(rest, letters, max_lines=lines, placeholder=" …")])


def _height_in(image: RGB, width_in: float) -> float:
    """Of the picture in its cell; a very tall one becomes narrower instead."""
    return width_in * float(min(image.shape[0] / image.shape[1], _TALLEST))


def draw_picture(axes: Axes, image: RGB, caption: str) -> None:
    """One picture with its caption below."""
    first, _, rest = caption.partition("\n")
    axes.set_axis_off()
    axes.imshow(image, interpolation="antialiased")
    place: dict[str, Any] = {
        "xy": (0, 0), "xycoords": "axes fraction", "textcoords": "offset points", "va": "top",
        "color": INK, "parse_math": False, "annotation_clip": False,
    }  # fmt: skip
    axes.annotate(first, xytext=(0, -4), weight="bold", fontsize=9, **place)
    axes.annotate(rest, xytext=(0, -18), fontsize=8, linespacing=1.25, **place)
