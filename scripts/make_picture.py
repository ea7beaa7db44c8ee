"""Draw docs/images/result.png, the README's picture, from an analysed sample video.

    python scripts/make_picture.py [VIDEO] [PICTURE]

analyses VIDEO into a temporary folder and draws its chosen frames over its timeline.
"""

from __future__ import annotations

import sys
import tempfile
import textwrap
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Curve
from PIL import Image

import reelscope
from reelscope.export.columns import columns, flat_row
from reelscope.media.clip import Clip
from reelscope.notebook import (
    FATE_MARKS,
    INK,
    LEGEND,
    PALE,
    chosen_pictures,
    draw_timeline,
    legend_handles,
)
from reelscope.records import Choice, VideoRecord
from reelscope.settings import Settings

ROOT = Path(__file__).parent.parent
VIDEO = ROOT / "data/tiktok_videos/mira.bakes/7300000000000000001.mp4"
PICTURE = ROOT / "docs/images/result.png"
WIDTH_IN, HEIGHT_IN = 14.0, 8.0
LEFT, RIGHT = 0.058, 0.985
FRAMES_TOP, FRAMES_BOTTOM, TIMELINE_TOP, TIMELINE_BOTTOM = 0.855, 0.425, 0.36, 0.075
"""Shares of the picture, from its lower left corner."""


def draw(record: VideoRecord, clip: Clip, data_root: Path) -> Figure:
    """The whole picture."""
    figure = Figure(figsize=(WIDTH_IN, HEIGHT_IN), dpi=100, facecolor="white")
    timeline = figure.add_axes(
        (LEFT, TIMELINE_BOTTOM, RIGHT - LEFT, TIMELINE_TOP - TIMELINE_BOTTOM)
    )
    draw_timeline(timeline, record, clip)
    handles = legend_handles(record)
    figure.legend(handles=handles, loc="lower center", ncols=len(handles), **LEGEND)
    draw_head(figure, record)
    draw_chosen(figure, timeline, record, data_root)
    return figure


def draw_head(figure: Figure, record: VideoRecord) -> None:
    """Whose video it is, and the figures that say most of it."""
    row = flat_row(record, columns(()))
    figure.text(0.015, 0.945, str(row["creator"]), fontsize=21, weight="bold", color=INK)
    figure.text(0.015, 0.905, str(row["caption"] or row["video_id"]), fontsize=10, color=PALE)
    for k, (number, label) in enumerate(reversed(list(facts(record)))):
        x = RIGHT - 0.093 * k
        figure.text(x, 0.945, number, fontsize=19, weight="bold", color=INK, ha="right")
        figure.text(x, 0.912, label, fontsize=9, color=PALE, ha="right")


def facts(record: VideoRecord) -> Iterator[tuple[str, str]]:
    """Number and what it counts, for what this video has."""
    row = flat_row(record, columns(()))
    for column, shown, label in (
        ("duration_s", "{:.1f} s", "long"),
        ("speech_share", "{:.0%}", "speech"),
        ("syllables_per_minute", "{:.0f}", "syllables/min"),
        ("loudness_lufs", "{:.1f}", "LUFS"),
        ("cuts_per_minute", "{:.0f}", "cuts/min"),
        ("text_appearances", "{:d}", "texts on screen"),
    ):
        if row[column] is not None:
            yield shown.format(row[column]), label


def draw_chosen(figure: Figure, timeline: Axes, record: VideoRecord, data_root: Path) -> None:
    """The chosen frames with their reasons, each tied to its place in the timeline."""
    choice = record.value(Choice)
    times_s = sorted(frame.time_s for frame in choice.frames) if choice else []
    room = (RIGHT - 0.015) / max(len(times_s), 1)
    for k, (time_s, (image, caption)) in enumerate(
        zip(times_s, chosen_pictures(record, data_root), strict=True)
    ):
        height, width = image.shape[:2]
        tall = FRAMES_TOP - FRAMES_BOTTOM
        wide = min(tall * HEIGHT_IN / WIDTH_IN * width / height, 0.66 * room)
        left = 0.015 + k * room
        axes = figure.add_axes((left, FRAMES_BOTTOM, wide, tall), anchor="SW")
        axes.imshow(image, interpolation="antialiased")
        axes.set_axis_off()
        head, _, reason = caption.partition("\n")
        letters = int((room - wide - 0.02) * WIDTH_IN * 72 / 5.3)
        lines = textwrap.fill(reason, letters, max_lines=12, placeholder=" …")
        beside = left + wide + 0.008
        figure.text(beside, FRAMES_TOP - 0.03, head, fontsize=14, weight="bold", color=INK)
        figure.text(
            beside, FRAMES_TOP - 0.045, lines, fontsize=9, color=INK, va="top", linespacing=1.35
        )
        tie(figure, timeline, left + wide / 2, time_s)


def tie(figure: Figure, timeline: Axes, x: float, time_s: float) -> None:
    """A curve from below a frame to its moment, and on to its mark."""
    start_s, end_s = timeline.get_xlim()
    there = LEFT + (RIGHT - LEFT) * (time_s - start_s) / (end_s - start_s)
    above, below = FRAMES_BOTTOM - 0.004, TIMELINE_TOP
    bend = (above + below) / 2
    points = [(x, above), (x, bend), (there, bend), (there, below)]
    curve = Curve(points, [Curve.MOVETO, Curve.CURVE4, Curve.CURVE4, Curve.CURVE4])
    colour = FATE_MARKS["chosen"]["color"]
    figure.add_artist(PathPatch(curve, fc="none", ec=colour, lw=1.6, transform=figure.transFigure))
    timeline.axvline(time_s, color=colour, lw=1.0, ls=(0, (1, 2)), zorder=1)


def save(figure: Figure, path: Path) -> None:
    """As PNG with levels three apart: nobody sees it, and the file is a third smaller."""
    drawn = BytesIO()
    figure.savefig(drawn)
    picture = np.asarray(Image.open(drawn).convert("RGB"), np.int16)
    coarse = 255 - np.round((255 - picture) / 3) * 3
    Image.fromarray(coarse.astype(np.uint8)).save(path, optimize=True)


def main() -> None:
    """Analyse, draw, save."""
    video = Path(sys.argv[1]) if len(sys.argv) > 1 else VIDEO
    picture = Path(sys.argv[2]) if len(sys.argv) > 2 else PICTURE
    with tempfile.TemporaryDirectory() as folder:
        data_root = Path(folder)
        settings = Settings.model_validate({"paths": {"data": data_root}})
        record = reelscope.analyze(video, settings=settings)[0]
        with reelscope.open_clip(record, settings=settings) as clip:
            figure = draw(record, clip, data_root)
    picture.parent.mkdir(parents=True, exist_ok=True)
    save(figure, picture)


if __name__ == "__main__":
    main()
