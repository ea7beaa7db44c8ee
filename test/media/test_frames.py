"""The scan: which frames, at which times, with which pictures, in how much memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest

from reelscope.media.clip import Clip
from reelscope.records import SpeechSegment, StageRecord, Voice
from reelscope.testing import media

Videos = Callable[[str], media.Truth]
OpenClip = Callable[..., Clip]


def with_speech(clip: Clip, *spans: tuple[float, float]) -> None:
    segments = tuple(SpeechSegment(start_s=a, end_s=b, probability=0.9) for a, b in spans)
    voice = Voice(segments=segments, duration_s=9.0, speech_s=1.0, speech_share=0.1)
    entry = StageRecord(status="ok", key="", engine="test", value=voice)
    clip.record = clip.record.with_stage("voice", entry)


def expected(truth: media.Truth) -> dict[float, np.ndarray]:
    """What was drawn, before the codec, by time."""
    scenes = (media.Scene(1.2, colour=(200, 40, 40)), media.Scene(1.3, colour=(40, 60, 200)))
    vfr = "variable" in truth.path.name
    return dict(media.pictures(scenes, size=(96, 160), vfr=vfr))


def test_frames_are_what_is_shown_at_their_times(
    any_video: media.Truth, open_clip: OpenClip
) -> None:
    if any_video.path.suffix == ".h264":
        pytest.skip("a raw stream has no times")
    clip = open_clip(any_video.path, sample_fps=4, short_side=96, threads=2)
    with_speech(clip, (0.5, 0.9))
    drawn, frames = expected(any_video), clip.frames
    times = np.array(any_video.frame_times_s)
    sampled = [frame for frame in frames if "sampled" in frame.kinds]
    assert len(sampled) == pytest.approx(10, abs=1)
    for frame in frames:
        nearest = times[np.abs(times - frame.time_s).argmin()]
        assert frame.time_s == pytest.approx(nearest, abs=0.0006)
        assert np.abs(frame.image - drawn[nearest].astype(float)).mean() < 12
    (highlight,) = [frame.time_s for frame in frames if "highlight" in frame.kinds]
    assert highlight == pytest.approx(times[times <= 0.7 + 1e-6].max(), abs=0.0006)
    keys = [frame.time_s for frame in frames if "iframe" in frame.kinds]
    np.testing.assert_allclose(keys, any_video.keyframes_s, atol=0.0006)


def test_full_frames_match_small_ones(any_video: media.Truth, open_clip: OpenClip) -> None:
    kept = open_clip(any_video.path, sample_fps=3, short_side=96)
    redone = open_clip(any_video.path, sample_fps=3, short_side=96, cache_mb=0, threads=2)
    times = [frame.time_s for frame in kept.frames]
    assert [frame.time_s for frame in redone.frames] == times
    assert len(kept.scan().kept) == len(times)
    assert not redone.scan().kept
    pairs = zip(kept.full(times), redone.full(times[::-1]), kept.frames, strict=True)
    for (time_s, image), (again_s, again), frame in pairs:
        assert time_s == again_s == frame.time_s
        np.testing.assert_array_equal(image, again)
        np.testing.assert_array_equal(image, frame.image)  # 96 is its own size


def test_integrity_full_changes_no_frame(any_video: media.Truth, open_clip: OpenClip) -> None:
    sparse = open_clip(any_video.path, sample_fps=5)
    full = open_clip(any_video.path, sample_fps=5, integrity="full")
    for one, other in zip(sparse.frames, full.frames, strict=True):
        assert (one.time_s, one.kinds) == (other.time_s, other.kinds)
        np.testing.assert_array_equal(one.image, other.image)
    assert full.scan().decoded == len(any_video.frame_times_s)


def test_thumbnails_once_more_from_the_file_are_the_same(
    videos: Videos, open_clip: OpenClip
) -> None:
    for name in ("b_frames.mp4", "vp9.webm", "hevc_10_bit.mp4"):
        path = videos(name).path
        kept, streamed = open_clip(path), open_clip(path, cache_mb=0)
        assert kept.scan().thumbnails is not None
        assert streamed.scan().thumbnails is None
        pairs = list(zip(kept.thumbnails(), streamed.thumbnails(), strict=True))
        assert len(pairs) > 25
        for (time_s, image), (again_s, again) in pairs:
            assert time_s == again_s
            np.testing.assert_array_equal(image, again)


def test_fast_video_gives_about_thirty_thumbnails_per_second(
    tmp_path: Path, open_clip: OpenClip
) -> None:
    truth = media.write_video(
        tmp_path / "fast.mp4", [media.Scene(1.0)], size=(64, 64), fps=120, codec="mpeg4"
    )
    times = [time_s for time_s, _ in open_clip(truth.path).thumbnails()]
    assert 24 <= len(times) <= 34
    assert np.diff(times).max() < 0.06


def test_new_highlights_are_looked_at(videos: Videos, open_clip: OpenClip) -> None:
    clip = open_clip(videos("b_frames.mp4").path)
    before = clip.frames
    assert clip.frames is before
    with_speech(clip, (1.5, 1.7), (0.2, 0.3))
    assert sum("highlight" in frame.kinds for frame in clip.frames) == 2
    assert clip.frames is clip.frames


def test_damaged_pictures_are_counted_and_the_rest_is_had(
    videos: Videos, tmp_path: Path, open_clip: OpenClip
) -> None:
    data = bytearray(videos("b_frames.mp4").path.read_bytes())
    start = data.index(b"mdat") + 4
    middle = start + (data.index(b"moov") - start) // 2
    for place in range(middle, middle + 600, 3):
        data[place] ^= 0x5A
    path = tmp_path / "damaged.mp4"
    path.write_bytes(bytes(data))
    clip = open_clip(path, sample_fps=10)
    found = clip.scan()
    assert found.bad > 0
    assert found.first_error is not None
    assert len(clip.frames) > 10
    assert clip.frames[-1].time_s > 2.3
    assert [t for t, _ in clip.full([f.time_s for f in clip.frames])] == [
        f.time_s for f in clip.frames
    ]


def test_the_budget_of_full_frames_is_kept(videos: Videos, open_clip: OpenClip) -> None:
    clip = open_clip(videos("b_frames.mp4").path, sample_fps=30, cache_mb=1)
    assert len(clip.frames) > 60
    size = sum(sum(p.buffer_size for p in f.planes) for f in clip.scan().kept.values())
    assert 300_000 < size <= 500_000
    assert sum(1 for _ in clip.full([frame.time_s for frame in clip.frames])) == len(clip.frames)


@pytest.mark.slow
def test_memory_is_flat_over_many_clips(videos: Videos, open_clip: OpenClip) -> None:
    process, after = psutil.Process(), []
    path = videos("b_frames.mp4").path
    for _ in range(60):
        clip = open_clip(path, sample_fps=10, threads=2)
        list(clip.full([frame.time_s for frame in clip.frames]))
        clip.close()
        after.append(process.memory_info().rss)
    assert after[-1] - after[20] < 6_000_000


def test_size_changes_on_the_way(tmp_path: Path, open_clip: OpenClip) -> None:
    """VP9 may change its size at any key frame; small images keep one size, full ones theirs."""
    parts = []
    for number, size in enumerate([(64, 96), (128, 192)]):
        part = tmp_path / f"{number}.ts"
        media.write_video(part, [media.Scene(0.5)], size=size, first_pts_s=0.5 * number)
        parts.append(part.read_bytes())
    path = tmp_path / "both.ts"
    path.write_bytes(b"".join(parts))
    clip = open_clip(path, sample_fps=10)
    assert {frame.image.shape for frame in clip.frames} == {(96, 64, 3)}
    shapes = [image.shape for _, image in clip.full([f.time_s for f in clip.frames])]
    assert (96, 64, 3) in shapes
    assert (192, 128, 3) in shapes
