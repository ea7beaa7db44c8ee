"""Pictures of records: what is drawn is what the record says, whatever it lacks."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reelscope import notebook
from reelscope.export.strip import text_rows
from reelscope.media.clip import Clip
from reelscope.media.pictures import write_jpeg
from reelscope.records import (
    Choice,
    ChosenFrame,
    Description,
    DimensionAnswer,
    Event,
    Events,
    Keyframe,
    Keyframes,
    Loudness,
    OnScreenText,
    Refusal,
    SimilarFrame,
    SimilarGroup,
    Similarity,
    StageRecord,
    TextAppearance,
    Usage,
    Value,
    VideoRecord,
    VideoSource,
)
from reelscope.settings import Media
from reelscope.testing import media

BOX = ((0.0, 0.0), (9.0, 0.0), (9.0, 9.0), (0.0, 9.0))
HOSTILE = "$\\frac{1$ <b>_x_^2 100 % \x07"


def record_of(source: VideoSource, *values: Value) -> VideoRecord:
    record = VideoRecord(source=source)
    for value in values:
        ok = StageRecord(status="ok", key="", engine="test 1", value=value)
        record = record.with_stage(value.stage, ok)
    return record


def appearance(start_s: float, end_s: float, text: str = "WOW") -> TextAppearance:
    return TextAppearance(
        text=text, start_s=start_s, end_s=end_s, confidence=0.9, box=BOX, frames=1
    )


def chosen(time_s: float, reason: str = "it opens the video") -> ChosenFrame:
    return ChosenFrame(
        time_s=time_s, score=1, reason=reason, file=f"chosen-{time_s:.0f}.jpg", width=36,
        height=64, bytes_before=2, bytes_after=1,
    )  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("notebook")


@pytest.fixture(scope="module")
def source(folder: Path) -> VideoSource:
    """A second of silence, then a second of a tone at half of full scale."""
    path = folder / "half.mp4"
    sound = media.sequence(
        media.silence(1.0, rate_hz=44100), media.tone(1.0, rate_hz=44100, amplitude=0.5)
    )
    media.write_video(path, [media.Scene(2.0)], size=(64, 112), sound=sound)
    return VideoSource(creator="anna", video_id="half", path=str(path), frames_id="half")


@pytest.fixture(scope="module")
def clip(source: VideoSource, folder: Path) -> Iterator[Clip]:
    with Clip(source, VideoRecord(source=source), Media(), frames_root=folder) as clip:
        yield clip


def test_the_waveform_is_that_of_the_sound(clip: Clip) -> None:
    times_s, peaks = notebook.waveform(clip, bars=100)
    assert 95 <= len(peaks) <= 105
    assert times_s[0] == pytest.approx(0.01, abs=0.001)
    assert peaks[times_s < 0.9].max() < 0.01
    assert np.allclose(peaks[(times_s > 1.1) & (times_s < 1.9)], 0.5, atol=0.05)


def test_a_time_has_the_colour_of_its_event() -> None:
    timeline = [
        Event(start_s=0, end_s=1, kind="silence", confidence=1),
        Event(start_s=1, end_s=2, kind="music", confidence=1),
    ]
    colours = [notebook.colour_at(timeline, time_s) for time_s in (0.0, 0.99, 1.0, 5.0)]
    silence, music = notebook.KIND_COLOURS["silence"], notebook.KIND_COLOURS["music"]
    assert colours == [silence, silence, music, music]
    assert notebook.colour_at([], 1.0) == notebook.PALE


def test_every_frame_has_one_fate(source: VideoSource) -> None:
    frames = tuple(Keyframe(time_s=t, kinds=("sampled",)) for t in range(4))
    twin = SimilarGroup(time_s=1, stands_for=(SimilarFrame(time_s=2, ssim=0.9),))
    record = record_of(
        source,
        Keyframes(frames=frames, width=36, height=64),
        Similarity(groups=(twin,), kept_s=(0, 1, 3)),
        Choice(method="signal", frames=(chosen(3.0),)),
    )
    fates = notebook.frame_fates(record)
    assert {fate: times_s for fate, times_s in fates.items() if times_s} == {
        "chosen": [3], "kept": [0, 1], "near-duplicate": [2],
    }  # fmt: skip


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 20), st.integers(1, 9)).map(
            lambda span: appearance(span[0], span[0] + span[1])
        )
    )
)
def test_no_text_covers_another_and_none_is_lost(texts: list[TextAppearance]) -> None:
    source = VideoSource(creator="a", video_id="b", frames_id="b")
    record = record_of(source, OnScreenText(frames=(), appearances=tuple(texts)))
    rows = text_rows(record)
    assert sorted(id(seen) for row in rows for seen in row) == sorted(map(id, texts))
    for row in rows:
        assert all(a.end_s <= b.start_s for a, b in pairwise(row))
    most_at_once = max(
        (sum(t.start_s <= s.start_s < t.end_s for t in texts) for s in texts), default=0
    )
    assert len(rows) == most_at_once


def test_a_timeline_shows_hostile_texts_as_they_are(
    source: VideoSource, clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Its own layout holds against a notebook's setting; a warning would be an error here.
    monkeypatch.setitem(matplotlib.rcParams, "figure.constrained_layout.use", True)
    events = Events(
        timeline=(Event(start_s=0, end_s=2, kind="other", confidence=1),),
        duration_s=2,
        seconds={"speech": 0, "music": 0, "speech_over_music": 0, "other": 2, "silence": 0},
        loudness=Loudness(integrated_lufs=None, range_lu=None, true_peak_dbtp=None),
    )
    texts = OnScreenText(frames=(), appearances=(appearance(0, 2, HOSTILE), appearance(0, 0.01)))
    figure = notebook.plot_timeline(record_of(source, events, texts), clip)
    figure.canvas.draw()
    shown = [text.get_text() for text in figure.axes[0].texts]
    assert [text for text in shown if text.startswith("$\\frac")]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["other"]


def test_a_record_without_stages_and_a_video_without_sound_can_be_drawn(tmp_path: Path) -> None:
    path = tmp_path / "still.mp4"
    media.write_video(path, [media.Scene(0.2)], size=(64, 36))
    source = VideoSource(creator="anna", video_id="still", path=str(path), frames_id="still")
    record = VideoRecord(source=source)
    with Clip(source, record, Media(), frames_root=tmp_path) as clip:
        figure = notebook.plot_timeline(record, clip)
        figure.canvas.draw()
    assert "no sound" in "".join(text.get_text() for text in figure.axes[0].texts)
    notebook.contact_sheet(record, tmp_path).canvas.draw()


def test_the_contact_sheet_has_each_chosen_frame_with_its_reason(
    source: VideoSource, tmp_path: Path
) -> None:
    choice = Choice(method="signal", frames=(chosen(2.0, HOSTILE), chosen(1.0)))
    frames = tmp_path / "tiktok_frames" / "half"
    frames.mkdir(parents=True)
    for k, frame in enumerate(choice.frames):
        write_jpeg(frames / frame.file, np.full((64, 36, 3), 60 * k, np.uint8), 90)
    figure = notebook.contact_sheet(record_of(source, choice), tmp_path)
    figure.canvas.draw()
    captions = [[text.get_text() for text in axes.texts] for axes in figure.axes]
    assert captions[0] == ["1.00 s", "it opens the video"]
    assert captions[1][0] == "2.00 s"
    assert captions[1][1].startswith("$\\frac")


def description(said: str | None, *, refusal: Refusal | None = None) -> Description:
    answer = DimensionAnswer(value=said, confidence=0.9, evidence=())
    return Description(
        model="m", mode="live", dimensions={} if refusal else {"description": answer}, missing=(),
        truncated=False, repairs=(), refusal=refusal, images=(),
        usage=Usage(requests=1, input_tokens=1, cached_input_tokens=0, output_tokens=1,
                    cost_usd=None),
    )  # fmt: skip


def test_what_a_model_says_stands_above_the_frames(source: VideoSource, tmp_path: Path) -> None:
    refused = description(None, refusal=Refusal(kind="refusal", reason="I cannot"))
    for said, shown in (
        (description(f"{HOSTILE} {'word ' * 400}"), "$\\frac"),
        (refused, "Description refused: I cannot"),
        (description(None), ""),
    ):
        figure = notebook.contact_sheet(record_of(source, said), tmp_path)
        figure.canvas.draw()
        assert figure.get_suptitle().startswith(shown)
        assert bool(figure.get_suptitle()) == bool(shown)
