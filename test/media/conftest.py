"""Clips of files, and the synthetic files that several tests look at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from reelscope.media.clip import Clip
from reelscope.records import VideoRecord, VideoSource
from reelscope.settings import Media
from reelscope.testing import media

OpenClip = Callable[..., Clip]

SCENES = (media.Scene(1.2, colour=(200, 40, 40)), media.Scene(1.3, colour=(40, 60, 200)))

X264 = {"preset": "medium"}
X265 = {"preset": "medium"}

FILES: dict[str, dict[str, Any]] = {
    "b_frames.mp4": {"options": {**X264, "bf": "3"}},
    "open_gop.mkv": {"gop": 15, "options": {**X264, "x264-params": "open-gop=1:bframes=3"}},
    "deep_pyramid.mp4": {"gop": 24, "options": {**X264, "x264-params": "bframes=8:ref=5"}},
    "interlaced.mp4": {"options": {**X264, "x264-params": "interlaced=1:bframes=3"}},
    "rolling_refresh.ts": {"options": {**X264, "x264-params": "intra-refresh=1:keyint=20"}},
    "variable.mp4": {"vfr": True, "options": {**X264, "bf": "3"}},
    "stream.ts": {"options": {**X264, "bf": "3"}},
    "h264_in.avi": {"options": {**X264, "bf": "3"}},
    "no_times.h264": {"options": {**X264, "bf": "3"}},
    "hevc.mp4": {
        "codec": "libx265",
        "gop": 20,
        "options": {**X265, "x265-params": "log-level=error:bframes=4:pools=none"},
    },
    "hevc_open_gop.mkv": {
        "codec": "libx265",
        "gop": 15,
        "options": {**X265, "x265-params": "log-level=error:bframes=4:open-gop=1:pools=none"},
    },
    "hevc_layers.mp4": {
        "codec": "libx265",
        "options": {**X265, "x265-params": "log-level=error:temporal-layers=3:pools=none"},
    },
    "hevc_10_bit.mp4": {"codec": "libx265", "pixel_format": "yuv420p10le"},
    "vp8.webm": {"codec": "libvpx"},
    "vp9.webm": {"codec": "libvpx-vp9"},
    "mpeg4.mp4": {"codec": "mpeg4", "options": {"bf": "2", "b": "500k"}},
    "mpeg4_in.avi": {"codec": "mpeg4", "options": {"bf": "2", "b": "500k"}},
    "mpeg2.ts": {"codec": "mpeg2video", "options": {"bf": "2", "b": "1M"}},
    "av1.mp4": {"codec": "libsvtav1"},
}
"""One file per way in which frames lean on one another; what is decoded must not depend on it."""


Videos = Callable[[str], media.Truth]


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Videos:
    """Writes a file of FILES when it is first asked for, and says what is in it."""
    folder, made = tmp_path_factory.mktemp("videos"), dict[str, media.Truth]()

    def video(name: str) -> media.Truth:
        if name not in made:
            made[name] = media.write_video(folder / name, SCENES, size=(96, 160), **FILES[name])
        return made[name]

    return video


@pytest.fixture(params=FILES)
def any_video(request: pytest.FixtureRequest, videos: Videos) -> media.Truth:
    """Each file of FILES in turn."""
    return videos(request.param)


@pytest.fixture
def open_clip(tmp_path: Path) -> Iterator[OpenClip]:
    """Opens a file as a clip, with settings of the media section; closed after the test."""
    opened: list[Clip] = []

    def clip(path: Path, *, threads: int = 1, **settings: Any) -> Clip:
        source = VideoSource(creator="c", video_id="v", path=str(path), frames_id="v")
        record = VideoRecord(source=source)
        opened.append(
            Clip(source, record, Media(**settings), frames_root=tmp_path / "f", threads=threads)
        )
        return opened[-1]

    yield clip
    for each in opened:
        each.close()
