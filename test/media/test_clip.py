"""The clip: shared views, guards, the time limit, letting go."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from reelscope.errors import StageTimeout, UnreadableMedia
from reelscope.media.clip import Clip
from reelscope.records import StageRecord, VideoRecord, VideoSource, Voice
from reelscope.settings import Media
from reelscope.testing import media

Videos = Callable[[str], media.Truth]
OpenClip = Callable[..., Clip]


def test_values_are_found_if_the_stage_ended_well(videos: Videos, open_clip: OpenClip) -> None:
    clip = open_clip(videos("b_frames.mp4").path)
    assert clip.value(Voice) is None
    voice = Voice(segments=(), duration_s=1.0, speech_s=0.0, speech_share=0.0)
    for status, expected in (("ok", voice), ("failed", None)):
        entry = StageRecord(status=status, key="", engine="test", value=voice)
        clip.record = clip.record.with_stage("voice", entry)
        assert clip.value(Voice) == expected


def test_guards(videos: Videos, open_clip: OpenClip, corpus: Path) -> None:
    silent = open_clip(videos("b_frames.mp4").path)
    assert silent.missing_video() is None
    assert silent.missing_audio() is not None
    sound = open_clip(corpus / "video" / "with-attached-pic.mp3")
    assert sound.missing_audio() is None
    assert sound.missing_video() is not None
    with pytest.raises(UnreadableMedia, match="no video"):
        sound.frames  # noqa: B018
    with pytest.raises(UnreadableMedia, match="no video"):
        sound.thumbnails()


def test_a_source_without_a_file(tmp_path: Path) -> None:
    source = VideoSource(creator="c", video_id="v", frames_id="v")
    record = VideoRecord(source=source)
    with Clip(source, record, Media(), frames_root=tmp_path) as clip:
        assert clip.frames_dir == tmp_path / "v"
        assert not clip.frames_dir.exists()
        with pytest.raises(UnreadableMedia, match="no file"):
            clip.info  # noqa: B018


@pytest.mark.parametrize("view", ["info", "frames", "thumbnails", "full", "samples", "blocks"])
def test_the_time_limit_stops_every_view(view: str, tmp_path: Path, open_clip: OpenClip) -> None:
    media.write_video(tmp_path / "v.mp4", [media.Scene(1.0)], size=(64, 64), sound=media.tone(1.0))
    clip = open_clip(tmp_path / "v.mp4", cache_mb=0)
    if view != "info":
        clip.scan()
    clip.deadline = time.monotonic() - 1
    looks = {
        "info": lambda: clip.info,
        "frames": lambda: open_late(clip).frames,
        "thumbnails": lambda: list(clip.thumbnails()),
        "full": lambda: list(clip.full([0.5])),
        "samples": lambda: clip.audio.samples(16000),
        "blocks": lambda: list(clip.audio.blocks(16000)),
    }
    with pytest.raises(StageTimeout):
        looks[view]()
    clip.deadline = time.monotonic() + 60
    assert looks[view]() is not None


def open_late(clip: Clip) -> Clip:
    """The same clip with its scan forgotten, but not its facts."""
    clip.close()
    return clip


def test_a_closed_clip_holds_nothing_and_may_be_asked_again(
    videos: Videos, open_clip: OpenClip
) -> None:
    clip = open_clip(videos("b_frames.mp4").path)
    before = [frame.image for frame in clip.frames]
    clip.close()
    clip.close()
    for one, other in zip(before, clip.frames, strict=True):
        np.testing.assert_array_equal(one, other.image)


def test_threads_share_one_scan(tmp_path: Path, open_clip: OpenClip) -> None:
    media.write_video(tmp_path / "v.mp4", [media.Scene(2.0)], size=(64, 64), sound=media.tone(2.0))
    clip = open_clip(tmp_path / "v.mp4")
    barrier = threading.Barrier(4)

    def look(number: int) -> object:
        barrier.wait()
        return clip.frames if number % 2 else float(clip.audio.samples(16000).sum())

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(look, range(4)))
    assert found[1] is found[3]
    assert found[0] == found[2]


def test_nothing_that_decodes_is_said(videos: Videos, tmp_path: Path, open_clip: OpenClip) -> None:
    data = bytearray(videos("b_frames.mp4").path.read_bytes())
    start, end = data.index(b"mdat") + 4, data.index(b"moov") - 4
    data[start:end] = bytes(end - start)
    path = tmp_path / "hollow.mp4"
    path.write_bytes(bytes(data))
    with pytest.raises(UnreadableMedia, match="no picture could be decoded"):
        open_clip(path).frames  # noqa: B018
