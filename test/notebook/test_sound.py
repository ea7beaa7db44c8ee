"""The spectrogram and the loudness are those of the sound."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from reelscope import notebook
from reelscope.media.clip import Clip
from reelscope.records import Event, Events, Loudness, StageRecord, VideoRecord, VideoSource
from reelscope.settings import Media
from reelscope.testing import media

RATE_HZ = 44_100


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> VideoSource:
    """A second of silence, then a second of 1000 Hz at half of full scale."""
    path = tmp_path_factory.mktemp("sound") / "half.mp4"
    tone = media.tone(1.0, rate_hz=RATE_HZ, amplitude=0.5, hz=1000.0)
    sound = media.sequence(media.silence(1.0, rate_hz=RATE_HZ), tone)
    media.write_video(path, [media.Scene(2.0)], size=(64, 112), sound=sound)
    return VideoSource(creator="anna", video_id="half", path=str(path), frames_id="half")


def clip_of(source: VideoSource, record: VideoRecord | None = None) -> Clip:
    record = record or VideoRecord(source=source)
    return Clip(source, record, Media(), frames_root=Path("absent"))


@pytest.mark.parametrize("columns", [20, 700])
def test_a_tone_stands_at_its_pitch_time_and_level(source: VideoSource, columns: int) -> None:
    with clip_of(source) as clip:
        times_s, pitches_hz, levels_db = notebook.spectrogram(clip, columns=columns)
    assert levels_db.shape == (len(pitches_hz), len(times_s))
    assert len(times_s) <= columns + 1
    sounding = (times_s > 1.15) & (times_s < 1.85)
    heard = levels_db[:, sounding].mean(axis=1)
    assert pitches_hz[heard.argmax()] == pytest.approx(1000, rel=0.05)
    assert heard.max() == pytest.approx(20 * np.log10(0.5), abs=1.5)
    assert levels_db[:, times_s < 0.85].max() < -60


def test_the_loudness_is_that_of_the_tone_and_silence_has_none(source: VideoSource) -> None:
    with clip_of(source) as clip:
        times_s, levels = notebook.loudness_curve(clip)
    assert times_s.tolist() == pytest.approx([0.2, 0.6, 1.0, 1.4, 1.8])
    assert np.isnan(levels[:2]).all()
    # A sine of 1 kHz at -6 dB of full scale: -3.01 LUFS at full scale (BS.1770), less 6.02.
    assert levels[3] == pytest.approx(-9.0, abs=0.5)


def test_the_picture_has_events_spectrogram_and_loudness(source: VideoSource) -> None:
    events = Events(
        timeline=(
            Event(start_s=0, end_s=1, kind="silence", confidence=1),
            Event(start_s=1, end_s=2, kind="other", confidence=1),
        ),
        duration_s=2,
        seconds={"speech": 0, "music": 0, "speech_over_music": 0, "other": 1, "silence": 1},
        loudness=Loudness(integrated_lufs=-9.0, range_lu=None, true_peak_dbtp=None),
    )
    ok = StageRecord(status="ok", key="", engine="t", value=events)
    record = VideoRecord(source=source).with_stage("events", ok)
    with clip_of(source, record) as clip:
        figure = notebook.plot_sound(record, clip)
    figure.canvas.draw()
    strips, picture, curve = figure.axes
    assert [bar.get_width() for bar in strips.patches] == [1, 1]
    assert len(picture.images) == 1
    assert [text.get_text() for text in curve.texts] == ["-9.0"]


def test_a_record_without_stages_and_a_video_without_sound(
    source: VideoSource, tmp_path: Path
) -> None:
    with clip_of(source) as clip:
        notebook.plot_sound(VideoRecord(source=source), clip).canvas.draw()
    path = tmp_path / "still.mp4"
    media.write_video(path, [media.Scene(0.2)], size=(64, 36))
    mute = VideoSource(creator="anna", video_id="still", path=str(path), frames_id="still")
    with clip_of(mute) as clip:
        figure = notebook.plot_sound(VideoRecord(source=mute), clip)
    assert [text.get_text() for text in figure.texts] == ["no sound"]
