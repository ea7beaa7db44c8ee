"""Comparisons show every video, count those that have a value, and survive what is missing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reelscope import notebook
from reelscope.media.pictures import write_jpeg
from reelscope.notebook.creators import (
    ENOUGH_FOR_QUARTILES,
    MOST_CREATORS,
    MOST_VIDEOS,
)
from reelscope.records import Choice, ChosenFrame, StageRecord, VideoRecord, VideoSource

HOSTILE = "$\\frac{1$ <b>\u202e_x_^2"


def row(creator: str, video_id: str = "1", **values: Any) -> dict[str, Any]:
    return {"creator": creator, "video_id": video_id, **values}


ROWS = [
    row("anna", "1", cuts=4.0), row("anna", "2", cuts=8), row("anna", "3", cuts=None),
    row("ben", "4"), row("cleo", "5", cuts=1.0), row("cleo", "6", cuts=True),
]  # fmt: skip


def drawn(figure: Figure) -> Figure:
    figure.canvas.draw()
    return figure


def texts(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


def dots(axes: Axes) -> list[list[float]]:
    """x of the dots, row by row."""
    return [list(map(float, line.get_xdata())) for line in axes.lines if line.get_marker() == "o"]


def test_values_are_numbers_and_every_creator_is_there() -> None:
    assert notebook.values_of(ROWS, "cuts") == {"anna": [4, 8], "ben": [], "cleo": [1.0]}


def test_the_table_has_medians_and_how_many_they_rest_on() -> None:
    table = notebook.creators_table(ROWS, {"cuts": "cuts a minute"})
    assert table.head == ("creator", "videos", "cuts a minute")
    assert table.rows == [["anna", 3, "6 (2)"], ["ben", 1, None], ["cleo", 2, "1 (1)"]]


def test_each_video_with_a_value_is_a_dot_and_their_number_is_said() -> None:
    axes = drawn(notebook.plot_creators(ROWS, {"cuts": "cuts a minute"})).axes[0]
    assert dots(axes) == [[4, 8], [1]]
    assert texts(axes) == ["n=2", "n=0", "n=1"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["anna", "ben", "cleo"]


@pytest.mark.parametrize("videos", [ENOUGH_FOR_QUARTILES - 1, ENOUGH_FOR_QUARTILES])
def test_few_videos_have_no_band(videos: int) -> None:
    rows = [row("anna", str(k), cuts=float(k)) for k in range(videos)]
    axes = drawn(notebook.plot_creators(rows, {"cuts": "cuts"})).axes[0]
    bands = [patch.get_width() for patch in axes.patches]
    assert bands == ([2.0] if videos == ENOUGH_FOR_QUARTILES else [])
    assert dots(axes) == [[float(k) for k in range(videos)]]


def test_many_creators_are_cut_and_it_is_said() -> None:
    rows = [row(f"creator {k}", cuts=1.0) for k in range(MOST_CREATORS + 7)]
    figure = notebook.plot_creators(rows, {"cuts": "cuts"})
    assert len(figure.axes[0].get_yticks()) == MOST_CREATORS
    assert figure.get_suptitle() == "7 further creators are not drawn"


def test_hostile_names_are_shown_as_they_are() -> None:
    rows = [row(HOSTILE, HOSTILE, cuts=1.0, events_music_share=1.0, hook_end_s=3.0)]
    for figure in (
        notebook.plot_creators(rows, {"cuts": HOSTILE}),
        notebook.plot_heard(rows),
        notebook.plot_hooks(rows),
    ):
        label = drawn(figure).axes[0].get_yticklabels()[0].get_text()
        assert label.startswith("$\\frac{1$")
        assert "\u202e" not in label


def test_what_is_heard_adds_up_and_silence_of_the_file_is_no_silence() -> None:
    rows = [
        row("anna", "1", events_speech_share=0.25, events_music_share=0.75),
        row("anna", "2", events_speech_share=None),
        row("ben", "3", events_silence_share=1.0),
    ]
    axes = drawn(notebook.plot_heard(rows)).axes[0]
    ends: dict[float, float] = {}
    for bar in axes.patches:
        middle = round(bar.get_y() + bar.get_height() / 2)
        ends[middle] = max(ends.get(middle, 0.0), bar.get_x() + bar.get_width())
    assert ends == {0: 1.0, 1: 0.0, 2: 1.0}
    assert texts(axes) == ["no sound"]
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["anna  …1", "  …2", "ben  …3"]


def test_the_opening_shows_what_comes_in_it_and_says_what_comes_later() -> None:
    first = row(
        "anna", "1", hook_end_s=3.0, hook_first_cut_s=3.6, hook_speech_starts_s=0.5,
        text_starts_s=None,
    )  # fmt: skip
    axes = drawn(notebook.plot_hooks([first, row("ben", "2", hook_end_s=None)])).axes[0]
    marks = [list(line.get_xdata()) for line in axes.lines if len(line.get_xdata())]
    assert marks == [[0.5]]
    assert texts(axes) == ["first cut at 3.6 s", ""]


def test_nothing_at_all_can_be_drawn(tmp_path: Path) -> None:
    for figure in (
        notebook.plot_creators([], {"cuts": "cuts"}),
        notebook.plot_heard([]),
        notebook.plot_hooks([]),
        notebook.creator_sheet([], tmp_path),
    ):
        drawn(figure)
    assert notebook.creators_table([], {"cuts": "cuts"}).rows == []


def test_the_sheet_has_the_best_picture_of_each_video(tmp_path: Path) -> None:
    folder = tmp_path / "tiktok_frames" / "v"
    folder.mkdir(parents=True)
    for k in range(2):
        write_jpeg(folder / f"{k}.jpg", np.full((64, 36, 3), 100 * k, np.uint8), 90)
    frames = tuple(
        ChosenFrame(
            time_s=k, score=k, reason="", file=f"{k}.jpg", width=36, height=64, bytes_before=1,
            bytes_after=1,
        )
        for k in range(2)
    )  # fmt: skip
    bare = VideoRecord(source=VideoSource(creator="anna", video_id="v", frames_id="v"))
    ok = StageRecord(status="ok", key="", engine="t", value=Choice(method="signal", frames=frames))
    record = bare.with_stage("choose", ok)
    axes = notebook.creator_sheet([bare, record], tmp_path).axes
    assert len(axes) == 1
    assert axes[0].images[0].get_array().mean() == pytest.approx(100, abs=2)
    many = notebook.creator_sheet([record] * (MOST_VIDEOS + 1), tmp_path)
    assert len(many.axes) == MOST_VIDEOS
