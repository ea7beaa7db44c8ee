"""A video's timeline: sound, speech, frames, texts and cuts over time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from reelscope.export.colours import INK, KIND_COLOURS, PALE, TEXT
from reelscope.export.strip import text_rows
from reelscope.media.clip import Clip
from reelscope.notebook.style import FATE_MARKS, LEGEND, Fate, Floats
from reelscope.records import (
    Choice,
    Event,
    Events,
    Keyframes,
    Quality,
    Shots,
    Similarity,
    TextAppearance,
    VideoRecord,
    Voice,
)

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_BARS = 420
_RATE_HZ = 8000
_LANES = {"sound": 1.15, "speech": 2.75, "frames": 3.55}
"""Lane -> y of its middle; texts stand below, one row for each that overlaps."""
_FIRST_TEXT, _ROW, _HALF = 4.35, 0.62, 0.24


# ------------------------------------------------------------------------- the timeline


def plot_timeline(record: VideoRecord, clip: Clip) -> Figure:
    """Sound coloured by what it is, speech, frames, texts and cuts over time."""
    from matplotlib.figure import Figure

    rows = len(text_rows(record))
    height_in = 3.0 + 0.32 * rows
    figure = Figure(figsize=(12, height_in), dpi=110, layout="none")  # type: ignore[arg-type]
    figure.subplots_adjust(left=0.05, right=0.99, top=1 - 0.4 / height_in, bottom=0.3 / height_in)
    draw_timeline(figure.subplots(), record, clip)
    handles = legend_handles(record)
    figure.legend(handles=handles, loc="upper center", ncols=max(len(handles), 1), **LEGEND)
    return figure


def draw_timeline(axes: Axes, record: VideoRecord, clip: Clip) -> None:
    """The same without the legend, into axes of a figure of one's own.

    The y axis points down, from 0.
    """
    rows = text_rows(record)
    duration_s = clip.info.duration_s or 1.0
    bottom = _FIRST_TEXT + _ROW * (max(len(rows), 1) - 0.5)
    axes.set(xlim=(-0.007 * duration_s, 1.007 * duration_s), ylim=(bottom, 0))
    axes.xaxis.set_major_formatter("{x:g} s")
    lanes = {**_LANES, "texts": _FIRST_TEXT + _ROW * (max(len(rows), 1) - 1) / 2}
    axes.set_yticks(list(lanes.values()), list(lanes))
    axes.tick_params(length=0, colors=INK)
    axes.spines[:].set_visible(False)
    _draw_shots(axes, record)
    _draw_sound(axes, record, clip)
    _draw_speech(axes, record)
    _draw_frames(axes, record)
    _draw_texts(axes, rows)


def _draw_shots(axes: Axes, record: VideoRecord) -> None:
    shots = record.value(Shots)
    for k, shot in enumerate(shots.shots if shots else ()):
        shade = "#f4f6f9" if k % 2 else "#e9edf3"
        axes.axvspan(shot.start_s, shot.end_s, color=shade, lw=0, zorder=0)
    for cut in shots.cuts if shots else ():
        style = "-" if cut.kind == "cut" else (0, (2, 2))
        axes.axvline(cut.time_s, color=INK, lw=1.1, ls=style, zorder=1)


def _draw_sound(axes: Axes, record: VideoRecord, clip: Clip) -> None:
    if not clip.info.has_audio:
        _note(axes, "no sound", _LANES["sound"])
        return
    times_s, peaks = waveform(clip)
    if not len(peaks):
        return
    events = record.value(Events)
    colours = [colour_at(events.timeline if events else (), t) for t in times_s]
    heights = np.maximum(peaks / max(float(peaks.max()), 1e-6), 0.01)
    step_s = times_s[0] * 2
    bottoms = _LANES["sound"] - heights
    axes.bar(times_s, 2 * heights, 0.72 * step_s, bottom=bottoms, color=colours, lw=0, snap=False)


def _draw_speech(axes: Axes, record: VideoRecord) -> None:
    voice = record.value(Voice)
    for segment in voice.segments if voice else ():
        _draw_bar(
            axes,
            (segment.start_s, segment.end_s),
            _LANES["speech"],
            colour=KIND_COLOURS["speech"],
            alpha=0.35 + 0.65 * segment.probability,
        )
    if voice and not voice.segments:
        _note(axes, "nobody speaks", _LANES["speech"])


def _draw_frames(axes: Axes, record: VideoRecord) -> None:
    for fate, times_s in frame_fates(record).items():
        y = np.full(len(times_s), _LANES["frames"])
        axes.plot(times_s, y, ls="none", clip_on=False, zorder=4, **FATE_MARKS[fate])


def _draw_texts(axes: Axes, rows: Sequence[Sequence[TextAppearance]]) -> None:
    for k, row in enumerate(rows):
        for seen in row:
            y = _FIRST_TEXT + _ROW * k
            _draw_bar(axes, (seen.start_s, seen.end_s), y, colour=TEXT, text=seen.text)
    if not rows:
        _note(axes, "no text", _FIRST_TEXT)


def _draw_bar(
    axes: Axes,
    span_s: tuple[float, float],
    y: float,
    *,
    colour: str,
    alpha: float = 1.0,
    text: str = "",
) -> None:
    start_s, end_s = span_s
    axes.barh(
        y, end_s - start_s, 2 * _HALF, left=start_s, color=colour, alpha=alpha, ec="white", zorder=2
    )
    (left, _), (right, _) = axes.transData.transform([(start_s, 0), (end_s, 0)])
    room = int((right - left) / axes.figure.dpi * 72 / 5.4)  # characters of 9 points
    shown = " ".join(text.split())
    if room >= 4 and shown:
        shown = shown if len(shown) <= room else shown[: room - 1] + "…"
        middle = (start_s + end_s) / 2
        axes.text(
            middle, y, shown, ha="center", va="center_baseline", color="white", fontsize=9,
            parse_math=False, clip_on=True, zorder=3,
        )  # fmt: skip


def _note(axes: Axes, text: str, y: float) -> None:
    axes.text(axes.get_xlim()[0], y, f"  {text}", va="center", color=PALE, style="italic")


def legend_handles(record: VideoRecord) -> list[Artist]:
    """What the colours and marks in this record's timeline mean."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    events = record.value(Events)
    heard = [kind for kind in KIND_COLOURS if events and events.seconds.get(kind)]
    marks = [fate for fate, times_s in frame_fates(record).items() if times_s]
    return [
        *(Patch(color=KIND_COLOURS[kind], label=kind.replace("_", " ")) for kind in heard),
        *(Line2D([], [], ls="none", label=fate, **FATE_MARKS[fate]) for fate in marks),
    ]


# ---------------------------------------------------------------------- what is drawn


def waveform(clip: Clip, *, bars: int = _BARS) -> tuple[Floats, Floats]:
    """Middle (seconds) and peak (0-1) of about so many equal pieces of the sound, each (n,).

    The sound is streamed, so a long file takes no more memory than a short one.
    """
    piece_s = max(clip.audio.duration_s / bars, 1 / _RATE_HZ)
    pieces = clip.audio.blocks(_RATE_HZ, block_s=piece_s)
    peaks = np.array([np.abs(piece).max() for piece in pieces], np.float64)
    step_s = max(round(piece_s * _RATE_HZ), 1) / _RATE_HZ
    return np.asarray((np.arange(len(peaks)) + 0.5) * step_s), peaks


def colour_at(timeline: Sequence[Event], time_s: float) -> str:
    """Colour of the event at this time."""
    k = bisect_right(timeline, time_s, key=lambda event: event.start_s) - 1
    return KIND_COLOURS[timeline[k].kind] if k >= 0 else PALE


def frame_fates(record: VideoRecord) -> dict[Fate, list[float]]:
    """Times of the frames that were looked at, by what became of them."""
    keyframes, quality = record.value(Keyframes), record.value(Quality)
    similarity, choice = record.value(Similarity), record.value(Choice)
    fates: dict[float, Fate] = {f.time_s: "kept" for f in (keyframes.frames if keyframes else ())}
    for judged in quality.frames if quality else ():
        fates[judged.time_s] = judged.verdict
    for group in similarity.groups if similarity else ():
        fates |= {twin.time_s: "near-duplicate" for twin in group.stands_for}
    for chosen in choice.frames if choice else ():
        fates[chosen.time_s] = "chosen"
    return {fate: sorted(t for t in fates if fates[t] == fate) for fate in FATE_MARKS}
