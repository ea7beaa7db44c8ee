"""Colours are right, of every matrix and range, and small, tiny and full images agree."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelscope.media.container import Faults, never
from reelscope.media.decoding import decoded
from reelscope.media.images import BT601, LUMA_WEIGHTS, Thumbnails, Upright, small_size, yuv_to_rgb
from reelscope.media.info import MediaInfo, read_info
from reelscope.testing import media

Videos = Callable[[str], media.Truth]


@pytest.fixture(scope="module")
def info(tmp_path_factory: pytest.TempPathFactory) -> MediaInfo:
    path = tmp_path_factory.mktemp("colours") / "v.mp4"
    media.write_video(path, [media.Scene(0.1)], size=(200, 300))
    return read_info(path)


def flat(colour: tuple[int, int, int], space: int, full: bool, bits: int = 8) -> av.VideoFrame:
    """A frame of one colour, (200, 300), written by the book: the inverse of the standard."""
    matrix = yuv_to_rgb(LUMA_WEIGHTS.get(space, BT601), full_range=full).astype(float)
    yuv = np.linalg.solve(matrix[:, :3], np.array(colour) - matrix[:, 3])
    frame = av.VideoFrame(200, 300, "yuv420p" if bits == 8 else "yuv420p10le")
    for plane, value in zip(frame.planes, yuv, strict=True):
        kind = np.uint8 if bits == 8 else np.uint16
        pixels = np.frombuffer(plane, kind)
        pixels[:] = round(value * 2 ** (bits - 8))
    frame.colorspace, frame.color_range = space, 2 if full else 1
    return frame


@pytest.mark.parametrize("bits", [8, 10])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("space", [1, 2, 5, 6, 9])
@pytest.mark.parametrize(
    "colour",
    [(255, 255, 255), (0, 0, 0), (128, 128, 128), (200, 40, 40), (40, 180, 60), (30, 60, 200)],
)
def test_colours_come_back(
    info: MediaInfo, colour: tuple[int, int, int], space: int, full: bool, bits: int
) -> None:
    frame = flat(colour, space, full, bits)
    for images in (Upright(info), Upright(info, (50, 75)), Thumbnails(info)):
        seen = images.image(frame)[10, 10].astype(int)
        assert np.abs(seen - colour).max() <= 3, type(images)


def test_matrices_map_black_and_white() -> None:
    for weights in (BT601, *LUMA_WEIGHTS.values()):
        limited = yuv_to_rgb(weights, full_range=False)
        np.testing.assert_allclose(limited @ [16, 128, 128, 1], 0, atol=1e-3)
        np.testing.assert_allclose(limited @ [235, 128, 128, 1], 255, atol=1e-3)
        full = yuv_to_rgb(weights, full_range=True)
        np.testing.assert_allclose(full @ [255, 128, 128, 1], 255, atol=1e-3)


def test_thumbnails_are_the_picture_seen_from_afar(any_video: media.Truth) -> None:
    info = read_info(any_video.path)
    thumbs, full = Thumbnails(info), Upright(info)
    frames = decoded(info, wanted=None, threads=1, faults=Faults(), check_time=never)
    for number, (_, frame) in enumerate(frames):
        if number % 20 == 0:
            thumb, image = thumbs.image(frame), full.image(frame)
            assert thumb.shape == (80, 48, 3)
            means = image.reshape(80, 2, 48, 2, 3).mean((1, 3))
            assert np.abs(thumb - means).mean() < 3


@pytest.mark.parametrize(
    ("size", "thumb"),
    [
        ((1080, 1920), (64, 36)),
        ((1920, 1080), (36, 64)),
        ((720, 1280), (64, 36)),
        ((107, 108), (54, 53)),
        ((33, 17), (17, 33)),
        ((1, 1), (1, 1)),
        ((8192, 16), (1, 190)),
        ((16, 8192), (190, 1)),
    ],
)
def test_sizes_of_thumbnails(
    size: tuple[int, int], thumb: tuple[int, int], info: MediaInfo
) -> None:
    images = Thumbnails(replace(info, width=size[0], height=size[1]))
    frame = av.VideoFrame(*size, "yuv420p")
    for plane in frame.planes:
        np.frombuffer(plane, np.uint8)[:] = 128
    image = images.image(frame)
    assert image.shape == (*thumb, 3)
    assert np.ptp(image) == 0


@given(st.integers(1, 16384), st.integers(1, 16384), st.integers(32, 2160))
def test_small_sizes(width: int, height: int, short_side: int) -> None:
    small_w, small_h = small_size(width, height, short_side)
    assert 1 <= small_w <= width
    assert 1 <= small_h <= height
    assert min(small_w, small_h) <= short_side
    assert small_w * small_h <= 4.2 * short_side**2 + width + height
    if max(width, height) <= 4 * min(width, height):
        assert min(small_w, small_h) == min(width, height, short_side)


def test_a_frame_of_another_size_still_fits(info: MediaInfo) -> None:
    """A stream may change its size on the way; all small images of a video have one size."""
    frame = av.VideoFrame(64, 36, "yuv420p")
    assert Upright(info, (50, 75)).image(frame).shape == (75, 50, 3)
    assert (
        Thumbnails(info).image(frame).shape
        == Thumbnails(info).image(flat((9, 9, 9), 1, True)).shape
    )


def test_real_thumbnails_are_close_to_scaled_pictures(corpus: Path) -> None:
    for name in ("chaplin.mp4", "cockatoo.mp4", "h265_10bits.mp4", "fire2.mp4"):
        info = read_info(corpus / "video" / name)
        thumbs = Thumbnails(info)
        size = thumbs.size if not info.orientation.transpose else None
        scaled = Upright(info, size)
        frames = decoded(info, wanted=set(), threads=1, faults=Faults(), check_time=never)
        errors = [
            np.abs(thumbs.image(frame).astype(int) - scaled.image(frame)).mean()
            for number, (_, frame) in enumerate(frames)
            if number % 10 == 0
        ]
        assert np.mean(errors) < 6, name
