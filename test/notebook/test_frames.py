"""Boxes stand where the finds are; each frame says what became of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from matplotlib.patches import Polygon

from reelscope import notebook
from reelscope.media.clip import Clip
from reelscope.notebook.frames import TEXT_COLOUR, THING_COLOUR
from reelscope.records import (
    Choice,
    ChosenFrame,
    DetectedFrame,
    DetectedObject,
    Detections,
    FrameQuality,
    Keyframe,
    Keyframes,
    OnScreenText,
    Probe,
    Quality,
    SimilarFrame,
    SimilarGroup,
    Similarity,
    StageRecord,
    TextFrame,
    TextLine,
    Value,
    VideoRecord,
    VideoSource,
)
from reelscope.settings import Media
from reelscope.testing import media

HOSTILE = "$\\frac{1$ <b>\u202e_x_^2"
SIZE = (128, 64)
"""Twice as large as the images that are looked at, whose short side is 32."""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> VideoSource:
    path = tmp_path_factory.mktemp("frames") / "wide.mp4"
    media.write_video(path, [media.Scene(4.0)], size=SIZE)
    return VideoSource(creator="anna", video_id="wide", path=str(path), frames_id="wide")


@pytest.fixture(scope="module")
def clip(source: VideoSource) -> Iterator[Clip]:
    bare = VideoRecord(source=source)
    with Clip(source, bare, Media(short_side=32), frames_root=Path("absent")) as clip:
        yield clip


def record_of(source: VideoSource, *values: Value) -> VideoRecord:
    record = VideoRecord(source=source)
    for value in values:
        ok = StageRecord(status="ok", key="", engine="test 1", value=value)
        record = record.with_stage(value.stage, ok)
    return record


def probe() -> Probe:
    return Probe.model_construct(width=SIZE[0], height=SIZE[1])


def line(text: str, left: float = 20, top: float = 10) -> TextLine:
    right, bottom = left + 80, top + 20
    corners = ((left, top), (right, top), (right, bottom), (left, bottom))
    return TextLine(text=text, confidence=0.9, box=corners)


def test_boxes_stand_where_the_finds_are(source: VideoSource, clip: Clip) -> None:
    time_s = clip.frames[0].time_s
    thing = DetectedObject(label=HOSTILE, confidence=0.5, box=(10, 20, 30, 60))
    record = record_of(
        source,
        probe(),
        OnScreenText(frames=(TextFrame(time_s=time_s, lines=(line("WOW"),)),), appearances=()),
        Detections(frames=(DetectedFrame(time_s=time_s, objects=(thing,)),), objects=()),
    )
    figure = notebook.boxed_sheet(record, clip)
    figure.canvas.draw()
    (axes,) = figure.axes
    boxes = [patch for patch in axes.patches if isinstance(patch, Polygon)]
    assert [box.get_xy()[0].tolist() for box in boxes] == [[10, 5], [5, 10]]
    assert [box.get_xy()[2].tolist() for box in boxes] == [[50, 15], [15, 30]]
    shown = [text.get_text() for text in axes.texts]
    assert shown[:2] == [f"{time_s:.2f} s", "WOW (0.90)"]
    assert shown[2].startswith("$\\frac{1$ <b>_x_^2"), "without the mark that turns the line"
    assert TEXT_COLOUR != THING_COLOUR


def test_of_frames_that_show_the_same_the_first_stands_for_all(
    source: VideoSource, clip: Clip
) -> None:
    times_s = [frame.time_s for frame in clip.frames][:4]
    assert len(times_s) == 4
    lines = ((line("A"),), (line("A", left=50),), (line("B"),), ())
    frames = tuple(TextFrame(time_s=t, lines=seen) for t, seen in zip(times_s, lines, strict=True))
    record = record_of(source, probe(), OnScreenText(frames=frames, appearances=()))
    shown = [axes.texts[0].get_text() for axes in notebook.boxed_sheet(record, clip).axes]
    assert shown == [f"{times_s[0]:.2f} s", f"{times_s[2]:.2f} s"]
    assert len(notebook.boxed_sheet(record, clip, most=1).axes) == 1


def judged(time_s: float, verdict: str = "kept") -> FrameQuality:
    return FrameQuality.model_construct(time_s=time_s, score=0.5, verdict=verdict)


def chosen(time_s: float) -> ChosenFrame:
    return ChosenFrame(
        time_s=time_s, score=1, reason="it opens the video", file="a.jpg", width=1, height=1,
        bytes_before=1, bytes_after=1,
    )  # fmt: skip


def fates_record(source: VideoSource, times_s: list[float]) -> VideoRecord:
    """The first is chosen, the second like it, the third black, the others are kept."""
    first, second, third, *others = times_s
    frames = tuple(Keyframe(time_s=t, kinds=("sampled",)) for t in times_s)
    group = SimilarGroup(time_s=first, stands_for=(SimilarFrame(time_s=second, ssim=0.912),))
    verdicts = (judged(first), judged(second), judged(third, "black"), *map(judged, others))
    return record_of(
        source,
        Keyframes(frames=frames, width=1, height=1),
        Quality.model_construct(frames=verdicts),
        Similarity(groups=(group,), kept_s=(first, *others)),
        Choice(method="signal", frames=(chosen(first),)),
    )


def test_each_frame_says_what_became_of_it(source: VideoSource) -> None:
    found = notebook.frame_reasons(fates_record(source, [0.0, 1.0, 2.0, 3.0]))
    assert [(frame.time_s, frame.fate, frame.reason) for frame in found] == [
        (0.0, "chosen", "it opens the video"),
        (1.0, "near-duplicate", "like 0.00 s: SSIM 0.91"),
        (2.0, "black", "quality 0.50"),
        (3.0, "kept", "quality 0.50"),
    ]


def test_the_chosen_frame_has_an_edge_and_is_never_left_out(
    source: VideoSource, clip: Clip
) -> None:
    times_s = [frame.time_s for frame in clip.frames]
    record = fates_record(source, times_s)
    figure = notebook.looked_at_sheet(record, clip)
    assert [axes.axison for axes in figure.axes] == [True, *[False] * (len(times_s) - 1)]
    few = notebook.looked_at_sheet(record, clip, most=2)
    few.canvas.draw()
    assert [axes.axison for axes in few.axes] == [True, False]
    assert few.axes[0].texts[1].get_text().startswith("chosen: it opens")


def test_a_record_without_stages_gives_empty_sheets(source: VideoSource, clip: Clip) -> None:
    for figure in (
        notebook.boxed_sheet(VideoRecord(source=source), clip),
        notebook.looked_at_sheet(VideoRecord(source=source), clip),
    ):
        figure.canvas.draw()
        assert not figure.axes


@pytest.mark.parametrize("shape", [(64, 36), (36, 64), (900, 30)])
def test_captions_stand_below_pictures_of_any_shape(shape: tuple[int, int]) -> None:
    image = np.zeros((*shape, 3), np.uint8)
    figure = notebook.picture_sheet([(image, f"head\n{'word ' * 99}")] * 3, columns=2, lines=3)
    figure.canvas.draw()
    assert len(figure.axes) == 3
    lowest = 0.0
    for axes in figure.axes:
        head, rest = axes.texts
        picture = axes.images[0].get_window_extent()
        assert head.get_window_extent().y1 <= picture.y0 + 1
        assert rest.get_window_extent().y1 <= head.get_window_extent().y0 + 2
        assert rest.get_text().count("\n") == 2
        lowest = min(lowest, rest.get_window_extent().y0)
    assert lowest >= 0, "nothing is cut off"
