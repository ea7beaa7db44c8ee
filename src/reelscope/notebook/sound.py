"""What is heard: frequencies and loudness over time, below what the stages call it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from reelscope.audio import loudness
from reelscope.export.colours import INK, KIND_COLOURS, PALE
from reelscope.media.clip import Clip
from reelscope.notebook.style import LEGEND, Floats
from reelscope.records import Events, VideoRecord, Voice

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_RATE_HZ, _WINDOW = 16_000, 1024
_LOWEST_HZ, _HIGHEST_HZ, _ROWS = 60.0, 8000.0, 128
_RANGE_DB = 70.0
_MOMENT_S = 0.4
"""Momentary loudness: EBU Tech 3341."""


def plot_sound(record: VideoRecord, clip: Clip) -> Figure:
    """Kinds of sound and speech, the spectrogram below, the loudness at the bottom."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4.6), dpi=110, layout="constrained")
    if not clip.info.has_audio:
        figure.text(0.5, 0.5, "no sound", color=PALE, style="italic", ha="center")
        return figure
    heights: dict[str, Any] = {"height_ratios": (0.5, 3, 1.4)}
    strips, picture, curve = figure.subplots(3, 1, sharex=True, gridspec_kw=heights)
    _draw_strips(strips, record)
    _draw_spectrogram(picture, clip)
    _draw_loudness(curve, record, clip)
    curve.set_xlim(0, clip.audio.duration_s or 1.0)
    curve.xaxis.set_major_formatter("{x:g} s")
    for axes in (strips, picture, curve):
        axes.spines[:].set_visible(False)
        axes.tick_params(length=0, colors=INK, labelsize=9)
    return figure


def _draw_strips(axes: Axes, record: VideoRecord) -> None:
    from matplotlib.patches import Patch

    events, voice = record.value(Events), record.value(Voice)
    for event in events.timeline if events else ():
        length_s = event.end_s - event.start_s
        axes.barh(0, length_s, 0.8, left=event.start_s, color=KIND_COLOURS[event.kind])
    for said in voice.segments if voice else ():
        length_s = said.end_s - said.start_s
        axes.barh(1, length_s, 0.8, left=said.start_s, color=KIND_COLOURS["speech"])
    axes.set(ylim=(1.5, -0.5))
    axes.set_yticks([0, 1], ["heard", "voice"])
    heard = [kind for kind in KIND_COLOURS if events and events.seconds.get(kind)]
    handles = [Patch(color=KIND_COLOURS[kind], label=kind.replace("_", " ")) for kind in heard]
    if handles:
        place: dict[str, Any] = {"loc": "lower left", "bbox_to_anchor": (0, 1)}
        axes.legend(handles=handles, ncols=len(handles), **place, **LEGEND)


def _draw_spectrogram(axes: Axes, clip: Clip) -> None:
    times_s, pitches_hz, levels_db = spectrogram(clip)
    if not levels_db.size:
        return
    top_db = max(float(levels_db.max()), -60.0)
    half_s = (times_s[1] - times_s[0]) / 2 if len(times_s) > 1 else 0.01
    axes.imshow(
        levels_db, cmap="magma", vmin=top_db - _RANGE_DB, vmax=top_db, aspect="auto",
        origin="lower", extent=(times_s[0] - half_s, times_s[-1] + half_s, 0, _ROWS),
        interpolation="antialiased",
    )  # fmt: skip
    marks = np.array([100, 300, 1000, 3000])
    axes.set_yticks(
        np.interp(marks, pitches_hz, np.arange(_ROWS) + 0.5), [f"{m} Hz" for m in marks]
    )


def _draw_loudness(axes: Axes, record: VideoRecord, clip: Clip) -> None:
    times_s, levels = loudness_curve(clip)
    axes.plot(times_s, levels, color=INK, lw=1.4)
    events = record.value(Events)
    whole = events.loudness.integrated_lufs if events else None
    if whole is not None:
        axes.axhline(whole, color=KIND_COLOURS["music"], lw=1)
        place: dict[str, Any] = {"transform": axes.get_yaxis_transform(), "va": "center"}
        axes.text(1.005, whole, f"{whole:.1f}", color=KIND_COLOURS["music"], fontsize=9, **place)
    axes.set_ylabel("LUFS", color=INK, fontsize=9)
    axes.grid(axis="y", color="#e3e7ee")


def spectrogram(clip: Clip, *, columns: int = 700) -> tuple[Floats, Floats, Floats]:
    """Middle of each column (s), each row's pitch (Hz, evenly spaced to the ear), level (dB).

    0 dB is a sine at full scale. A long video has wider columns, not more of them; the sound
    is streamed.

    Args:
        clip: of a video with sound.
        columns: about so many.

    Returns:
        (columns,), (rows,) and (rows, columns).
    """
    step = max(round(clip.audio.duration_s * _RATE_HZ / columns), _WINDOW // 8)
    window = np.hanning(_WINDOW)
    before, powers = np.zeros(_WINDOW, np.float32), []
    for block in clip.audio.blocks(_RATE_HZ, block_s=step / _RATE_HZ):
        heard = np.concatenate([before, block[:, 0]])
        pieces = np.lib.stride_tricks.sliding_window_view(heard, _WINDOW)[:: _WINDOW // 4]
        powers.append(np.mean(np.abs(np.fft.rfft(pieces * window)) ** 2, axis=0))
        before = heard[-_WINDOW:]
    pitches_hz = np.geomspace(_LOWEST_HZ, _HIGHEST_HZ, _ROWS)
    times_s = ((np.arange(len(powers)) + 0.5) * step - _WINDOW / 2) / _RATE_HZ
    return times_s, pitches_hz, _levels_at(pitches_hz, powers, full=float(window.sum() / 2) ** 2)


def _levels_at(pitches_hz: Floats, powers: list[npt.NDArray[Any]], *, full: float) -> Floats:
    if not powers:
        return np.zeros((_ROWS, 0))
    bins = np.fft.rfftfreq(_WINDOW, 1 / _RATE_HZ)
    levels_db = 10 * np.log10(np.array(powers, np.float64) / full + 1e-12)
    return np.array([np.interp(pitches_hz, bins, column) for column in levels_db]).T


def loudness_curve(clip: Clip) -> tuple[Floats, Floats]:
    """Time (s) and loudness (LUFS) of each 400 ms; NaN where it is too quiet to have one."""
    sound = clip.audio
    blocks = sound.blocks(sound.rate_hz, sound.channels, block_s=_MOMENT_S)
    measured = (loudness.measure([block], sound.rate_hz).integrated_lufs for block in blocks)
    levels = np.array([np.nan if level is None else level for level in measured], np.float64)
    return np.asarray((np.arange(len(levels)) + 0.5) * _MOMENT_S), levels
