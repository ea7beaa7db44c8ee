"""Sparse decoding gives the same frames as decoding everything, byte for byte."""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest

from reelscope.media.container import Faults, never
from reelscope.media.decoding import Shown, _stretches, decoded, replayed
from reelscope.media.images import RGB, Upright, small_size
from reelscope.media.info import MediaInfo, read_info
from reelscope.testing.media import Truth

Videos = Callable[[str], Truth]

SPARSE = {"b_frames.mp4", "open_gop.mkv", "deep_pyramid.mp4", "interlaced.mp4", "variable.mp4",
          "stream.ts", "hevc.mp4", "hevc_open_gop.mkv", "mpeg4.mp4", "mpeg2.ts"}  # fmt: skip
"""Where frames that nothing refers to are certain to be there."""


def pictures(info: MediaInfo, frames: Iterable[Shown], *, small: bool) -> dict[int, RGB]:
    size = small_size(info.width or 1, info.height or 1, 48) if small else None
    images = Upright(info, size)
    return {tick: images.image(frame) for tick, frame in frames}


def everything(info: MediaInfo, *, small: bool = True) -> dict[int, RGB]:
    faults = Faults()
    frames = decoded(info, wanted=None, threads=1, faults=faults, check_time=never)
    found = pictures(info, frames, small=small)
    assert not faults.bad
    return found


def some_ticks(info: MediaInfo, seed: int) -> list[int]:
    assert info.video is not None
    ticks = info.video.order.tolist()
    return sorted(random.Random(seed).sample(ticks, 9))


def test_sparse_decoding_changes_no_frame(any_video: Truth) -> None:
    info = read_info(any_video.path)
    whole = everything(info)
    assert len(whole) == len(any_video.frame_times_s)
    wanted, faults = some_ticks(info, 1), Faults()
    sparse = pictures(
        info,
        decoded(info, wanted=set(wanted), threads=2, faults=faults, check_time=never),
        small=True,
    )
    assert not faults.bad
    assert set(wanted) <= sparse.keys() <= whole.keys()
    for tick, image in sparse.items():
        np.testing.assert_array_equal(image, whole[tick])
    if any_video.path.name in SPARSE:
        assert len(sparse) < 0.9 * len(whole)


def test_replayed_frames_are_the_same_full_frames(any_video: Truth) -> None:
    info = read_info(any_video.path)
    whole = everything(info, small=False)
    wanted = some_ticks(info, 2)
    again = pictures(info, replayed(info, wanted, threads=2, check_time=never), small=False)
    assert list(again) == wanted
    for tick, image in again.items():
        np.testing.assert_array_equal(image, whole[tick])


def test_replaying_a_late_frame_starts_at_its_key_frame(videos: Videos) -> None:
    info = read_info(videos("deep_pyramid.mp4").path)
    assert info.video is not None
    track = info.video
    assert np.count_nonzero(track.key) > 2
    last = int(track.order[-1])
    opening, (first, end) = _stretches(track, [last])
    assert opening == (0, 0)
    assert track.key[first]
    assert not track.key[first + 1 : end + 1].any()
    assert [tick for tick, _ in replayed(info, [last], threads=1, check_time=never)] == [last]
    assert list(replayed(info, [], threads=1, check_time=never)) == []


def test_frames_come_in_ascending_order(any_video: Truth) -> None:
    info = read_info(any_video.path)
    frames = decoded(info, wanted=set(), threads=2, faults=Faults(), check_time=never)
    ticks = [tick for tick, _ in frames]
    assert ticks == sorted(set(ticks))


EARLY = """
import contextlib, sys, time
from pathlib import Path
{before}
from reelscope.media.clip import Clip
from reelscope.records import VideoRecord, VideoSource
from reelscope.settings import Media

def one(generator):
    with contextlib.closing(generator) as items:
        return next(items)

source = VideoSource(creator="c", video_id="v", path=sys.argv[1], frames_id="v")
for number in range(4):
    record = VideoRecord(source=source)
    settings = Media(cache_mb=0)
    with Clip(source, record, settings, frames_root=Path("f"), threads=3) as clip:
        one(clip.thumbnails())
        one(clip.full([0.1, 1.0, 2.0]))
        if clip.info.has_audio:
            one(clip.audio.blocks(16000, block_s=0.1))
        abandoned = clip.thumbnails()
        next(abandoned)
print("done")
"""


@pytest.mark.parametrize("before", ["", pytest.param("import torch", marks=pytest.mark.slow)])
def test_stopping_early_never_hangs(videos: Videos, corpus: Path, before: str) -> None:
    """https://github.com/PyAV-Org/PyAV/issues/1849: threads and an early break.

    The report names torchvision, which is not installed here; torch stands in for it.
    """
    if before == "import torch":
        pytest.importorskip("torch", reason="torch is not installed")
    for path in (videos("b_frames.mp4").path, corpus / "video" / "nasa_13013.mp4"):
        script = EARLY.format(before=before)
        done = subprocess.run(
            [sys.executable, "-c", script, str(path)],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.stdout.strip() == "done", done.stderr


def test_the_time_limit_stops_a_pass(videos: Videos) -> None:
    info = read_info(videos("b_frames.mp4").path)
    calls = iter(range(1000))

    def check_time() -> None:
        if next(calls) > 10:
            raise TimeoutError

    frames = decoded(info, wanted=None, threads=2, faults=Faults(), check_time=check_time)
    with contextlib.closing(frames), pytest.raises(TimeoutError):
        list(frames)


REAL = ("av1_video.mkv", "big_buck_bunny_0_30.webm", "chaplin.mp4", "cockatoo.mp4", "fire2.mp4",
        "h265_10bits.mp4", "nasa_13013.mp4", "realshort.mp4")  # fmt: skip


@pytest.mark.parametrize("name", REAL)
def test_late_frames_of_real_videos_are_the_same_when_asked_for_alone(
    corpus: Path, name: str
) -> None:
    info = read_info(corpus / "video" / name)
    assert info.video is not None
    wanted = info.video.order[[-1, -len(info.video.order) // 3]].tolist()
    frames = decoded(info, wanted=set(wanted), threads=2, faults=Faults(), check_time=never)
    images = Upright(info)
    whole = {tick: images.image(frame) for tick, frame in frames if tick in wanted}
    for tick in wanted:
        alone = pictures(info, replayed(info, [tick], threads=2, check_time=never), small=False)
        assert alone.keys() == {tick} & whole.keys()
        for image in alone.values():
            np.testing.assert_array_equal(image, whole[tick])
