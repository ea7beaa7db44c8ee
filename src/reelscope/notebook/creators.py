"""How creators compare, from the rows of a results file.

A row is one video, as `pyarrow.parquet.read_table(...).to_pylist()` gives it. Every picture
shows the single videos and how many there are: a median of two says little, and looks it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from reelscope.description.visible import visible
from reelscope.export.colours import INK, KIND_COLOURS, PALE, TEXT
from reelscope.media.images import RGB
from reelscope.media.pictures import read_jpeg
from reelscope.notebook.sheets import picture_sheet
from reelscope.notebook.style import LEGEND
from reelscope.notebook.tables import Table
from reelscope.records import Choice, VideoRecord

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Row: TypeAlias = Mapping[str, Any]

MOST_CREATORS = 20
MOST_VIDEOS = 40
"""In one picture; what is left out is counted in its title."""

ENOUGH_FOR_QUARTILES = 5
"""Videos from which on the middle half of them is drawn."""

_LONGEST_NAME = 24
_HOOK_MARKS: dict[str, dict[str, Any]] = {
    "hook_first_cut_s": {"marker": "|", "color": INK, "markersize": 17, "markeredgewidth": 2.4},
    "hook_speech_starts_s": {"marker": ">", "color": KIND_COLOURS["speech"], "markersize": 9},
    "text_starts_s": {"marker": "s", "color": TEXT, "markersize": 7},
}
_HOOK_NAMES = {
    "hook_first_cut_s": "first cut", "hook_speech_starts_s": "speech begins",
    "text_starts_s": "first text",
}  # fmt: skip


def values_of(rows: Iterable[Row], column: str) -> dict[str, list[float]]:
    """Creator -> the column's numbers, of the videos that have one, in the rows' order."""
    found: dict[str, list[float]] = {}
    for row in rows:
        values = found.setdefault(str(row["creator"]), [])
        value = row.get(column)
        if isinstance(value, int | float) and not isinstance(value, bool):
            values.append(float(value))
    return found


def creators_table(rows: Sequence[Row], columns: Mapping[str, str]) -> Table:
    """The medians of each creator, each with the number of videos that have the value.

    Args:
        rows: one per video.
        columns: name of a column -> heading.
    """
    found = {column: values_of(rows, column) for column in columns}
    body = [
        [creator, sum(str(row["creator"]) == creator for row in rows)]
        + [_median_cell(found[column][creator]) for column in columns]
        for creator in values_of(rows, "")
    ]
    note = "Medians; in brackets the number of videos that have the value."
    return Table(("creator", "videos", *columns.values()), body, note)


def _median_cell(values: Sequence[float]) -> str | None:
    return f"{median(values):.4g} ({len(values)})" if values else None


# --------------------------------------------------------------------- between creators


def plot_creators(rows: Sequence[Row], questions: Mapping[str, str], *, columns: int = 3) -> Figure:
    """Small multiples: for each question a dot per video and a bar at the median.

    From ENOUGH_FOR_QUARTILES videos on, a band shows the middle half. The number of videos
    with a value stands at the end of each row.

    Args:
        rows: one per video.
        questions: column -> title, in the order of the pictures.
        columns: pictures side by side.
    """
    from matplotlib.figure import Figure

    counted = values_of(rows, "")
    creators = list(counted)[:MOST_CREATORS]
    lines = max(-(-len(questions) // columns), 1)
    height_in = lines * (0.95 + 0.34 * max(len(creators), 1)) + 0.2
    figure = Figure(figsize=(12, height_in), dpi=110, layout="constrained")
    grid = list(figure.subplots(lines, columns, squeeze=False).flat)
    for k, (axes, (column, title)) in enumerate(zip(grid, questions.items(), strict=False)):
        _draw_question(axes, values_of(rows, column), creators, title=title, named=k % columns == 0)
    for axes in grid[len(questions) :]:
        axes.set_axis_off()
    _say_left_out(figure, len(counted) - len(creators), "creators")
    figure.set_layout_engine("constrained", h_pad=0.1)
    return figure


def _draw_question(
    axes: Axes, values: Mapping[str, Sequence[float]], creators: Sequence[str], *, title: str,
    named: bool,
) -> None:  # fmt: skip
    for y, creator in enumerate(creators):
        _draw_values(axes, y, values.get(creator, ()))
    axes.set(ylim=(len(creators) - 0.4, -0.6))
    axes.set_yticks(range(len(creators)), map(_named, creators) if named else [])
    axes.set_title(title, loc="left", fontsize=10, color=INK, parse_math=False)
    axes.margins(x=0.08)
    axes.grid(axis="x", color="#e3e7ee")
    axes.set_axisbelow(True)
    _tidy(axes)
    for y, creator in enumerate(creators):
        place: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "va": "center"}
        number = f"n={len(values.get(creator, ()))}"
        axes.text(1.01, y, number, color=PALE, fontsize=8, **place)


def _draw_values(axes: Axes, y: int, values: Sequence[float]) -> None:
    if not values:
        return
    if len(values) >= ENOUGH_FOR_QUARTILES:
        low, high = np.percentile(values, (25, 75))
        axes.barh(y, high - low, 0.5, left=low, color="#dfe6f1", zorder=1)
    axes.plot([median(values)] * 2, [y - 0.3, y + 0.3], color=INK, lw=2.4, zorder=2)
    # Dots of equal values would hide one another: they move up and down by turns.
    rise = 0.16 * ((np.arange(len(values)) % 3) - 1) if len(values) > 2 else np.zeros(len(values))
    axes.plot(
        sorted(values), y + rise, "o", color=KIND_COLOURS["speech"], alpha=0.65, markersize=6,
        markeredgewidth=0, zorder=3,
    )  # fmt: skip


def plot_heard(rows: Sequence[Row]) -> Figure:
    """What is heard in each video, as shares of its sound."""
    from matplotlib.figure import Figure

    shown = rows[:MOST_VIDEOS]
    figure = Figure(figsize=(12, 0.8 + 0.34 * max(len(shown), 1)), dpi=110, layout="constrained")
    axes = figure.subplots()
    left, places = np.zeros(len(shown)), np.arange(len(shown))
    for kind, colour in KIND_COLOURS.items():
        share = np.array([float(row.get(f"events_{kind}_share") or 0) for row in shown])
        axes.barh(places, share, 0.72, left=left, color=colour, label=kind.replace("_", " "))
        left += share
    for k in np.flatnonzero(left == 0).tolist():
        axes.text(0.005, k, "no sound", va="center", color=PALE, style="italic")
    _name_videos(axes, shown)
    axes.set(xlim=(0, 1))
    axes.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    axes.legend(ncols=5, loc="lower left", bbox_to_anchor=(0, 1), **LEGEND)
    _say_left_out(figure, len(rows) - len(shown), "videos")
    return figure


def plot_hooks(rows: Sequence[Row], *, hook_s: float = 3.0) -> Figure:
    """How each video opens: when the first cut, the first word and the first text come.

    What comes after the hook stands at the right edge with its time; what never comes, or is
    not known, is not drawn.

    Args:
        rows: one per video.
        hook_s: length of the hook, seconds: `shots.hook_s`.
    """
    from matplotlib.figure import Figure

    shown = rows[:MOST_VIDEOS]
    figure = Figure(figsize=(12, 0.9 + 0.34 * max(len(shown), 1)), dpi=110, layout="constrained")
    axes = figure.subplots()
    for y, row in enumerate(shown):
        axes.barh(y, row.get("hook_end_s") or 0.0, 0.72, color="#eef1f6", zorder=0)
        _draw_hook(axes, y, row, hook_s)
    for column, marks in _HOOK_MARKS.items():
        axes.plot([], [], ls="none", label=_HOOK_NAMES[column], **{**marks, "markersize": 8})
    _name_videos(axes, shown)
    axes.set(xlim=(-0.02 * hook_s, 1.3 * hook_s))
    axes.set_xticks(np.arange(0, hook_s + 0.01, 1 if hook_s > 1.5 else 0.25))
    axes.xaxis.set_major_formatter("{x:g} s")
    axes.legend(ncols=3, loc="lower left", bbox_to_anchor=(0, 1), **LEGEND)
    _say_left_out(figure, len(rows) - len(shown), "videos")
    return figure


def _draw_hook(axes: Axes, y: int, row: Row, hook_s: float) -> None:
    later = []
    for column, marks in _HOOK_MARKS.items():
        time_s = row.get(column)
        if time_s is not None and time_s < hook_s:
            axes.plot([time_s], [y], ls="none", zorder=3, clip_on=False, **marks)
        elif time_s is not None:
            later.append(f"{_HOOK_NAMES[column]} at {time_s:.1f} s")
    axes.text(1.015 * hook_s, y, ", ".join(later), va="center", color=PALE, fontsize=8.5)


# ------------------------------------------------------------------------------ pictures


def creator_sheet(records: Iterable[VideoRecord], data_root: Path) -> Figure:
    """One picture of each video: the chosen frame that scored highest.

    Args:
        records: of the videos; those without a chosen frame are left out, and so is what
            comes after the first MOST_VIDEOS pictures.
        data_root: `paths.data` of the analysis; the pictures lie below it.
    """
    pictures: list[tuple[RGB, str]] = []
    for record in records:
        choice = record.value(Choice)
        if len(pictures) == MOST_VIDEOS or not choice or not choice.frames:
            continue
        best = max(choice.frames, key=lambda frame: frame.score)
        folder = data_root / "tiktok_frames" / record.source.frames_id
        caption = f"{_named(record.source.creator)}\n{visible(record.source.video_id)}"
        pictures.append((read_jpeg(folder / best.file), caption))
    return picture_sheet(pictures, columns=6, lines=1)


# ---------------------------------------------------------------------------------- parts


def _named(name: str) -> str:
    shown = visible(name)
    return shown if len(shown) <= _LONGEST_NAME else shown[: _LONGEST_NAME - 1] + "…"


def _name_videos(axes: Axes, rows: Sequence[Row]) -> None:
    """The creator at the first of their videos, the end of the id at each."""
    names = []
    for before, row in zip([None, *rows], rows, strict=False):
        new = before is None or before["creator"] != row["creator"]
        short = visible(str(row["video_id"]))[-6:]
        names.append(f"{_named(str(row['creator'])) if new else ''}  …{short}")
    axes.set(ylim=(len(rows) - 0.4, -0.6))
    axes.set_yticks(range(len(rows)), names)
    for label in axes.get_yticklabels():
        label.set_parse_math(False)
    _tidy(axes)


def _tidy(axes: Axes) -> None:
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0, colors=INK, labelsize=9)
    for label in axes.get_yticklabels():
        label.set_parse_math(False)


def _say_left_out(figure: Figure, number: int, what: str) -> None:
    if number > 0:
        figure.suptitle(f"{number} further {what} are not drawn", x=0.01, ha="left", fontsize=9)
