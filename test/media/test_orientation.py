"""Pictures come upright, whatever the file's display matrix says."""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from reelscope.media.clip import Clip
from reelscope.media.info import read_info
from reelscope.media.orientation import Orientation
from reelscope.testing import media

OpenClip = Callable[..., Clip]

SCENE = media.Scene(0.2, moving=False)


def upright_picture(size: tuple[int, int]) -> np.ndarray:
    return next(image for _, image in media.pictures([SCENE], size=size))


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_rotated_files_come_upright(turn: int, tmp_path: Path, open_clip: OpenClip) -> None:
    path = tmp_path / "turned.mp4"
    media.write_video(path, [SCENE], size=(96, 160), rotation=turn)
    clip = open_clip(path, short_side=96)
    assert clip.info.rotation_deg == turn
    assert (clip.info.width, clip.info.height) == (96, 160)
    truth = upright_picture((96, 160)).astype(float)
    seen = [clip.frames[0].image, *(image for _, image in clip.full([0.0]))]
    for image in seen:
        assert image.shape == (160, 96, 3)
        assert np.abs(image - truth).mean() < 6
    _, thumb = next(iter(clip.thumbnails()))
    assert thumb.shape[0] > thumb.shape[1]
    blocks = truth.reshape(thumb.shape[0], 160 // thumb.shape[0], thumb.shape[1], -1, 3)
    assert np.abs(thumb - blocks.mean((1, 3))).mean() < 8


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
@pytest.mark.parametrize("mirrored", [False, True])
def test_a_matrix_may_mirror_too(turn: int, mirrored: bool, tmp_path: Path) -> None:
    path = tmp_path / "mirrored.mp4"
    stored = np.zeros((32, 48, 3), np.uint8)
    stored[:16, :24], stored[:16, 24:], stored[16:, :24] = (200, 0, 0), (0, 200, 0), (0, 0, 200)
    with av.open(str(path), "w") as file:
        stream = file.add_stream("mpeg4", rate=10, options={"b": "2M"})
        stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
        stream.set_display_rotation(turn, hflip=mirrored)  # counterclockwise, then mirrored
        frame = av.VideoFrame.from_ndarray(stored, format="rgb24")
        frame.pts, frame.time_base = 0, Fraction(1, 10)
        for packet in (*stream.encode(frame), *stream.encode(None)):
            file.mux(packet)
    orientation = read_info(path).orientation
    turned = np.rot90(stored, turn // 90)
    expected = turned[:, ::-1] if mirrored else turned
    np.testing.assert_array_equal(orientation.apply(stored), expected)
    np.testing.assert_array_equal(as_ffmpeg_shows(path, expected.shape), expected)


def as_ffmpeg_shows(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """The picture that the ffmpeg program turns upright, its colours set to the nearest used."""
    ffmpeg = pytest.importorskip("imageio_ffmpeg", reason="no ffmpeg program to compare with")
    command = [ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(path), "-f", "rawvideo"]
    raw = subprocess.run([*command, "-pix_fmt", "rgb24", "-"], capture_output=True, check=True)
    seen = np.frombuffer(raw.stdout, np.uint8).reshape(shape)
    return np.where(seen > 100, 200, 0).astype(np.uint8)


def test_plain_turns() -> None:
    for turn in (0, 90, 180, 270, 360, -90):
        image = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
        turned = Orientation.turned(turn)
        assert turned.rotation_deg == turn % 360
        np.testing.assert_array_equal(turned.apply(image), np.rot90(image, -turn // 90))


def test_side_data_that_has_no_name_does_not_hide_the_turn(tmp_path: Path) -> None:
    """FFmpeg hands EXIF on as side data that PyAV 18 cannot name: orientation 6, clockwise."""
    plain, path = tmp_path / "plain.mkv", tmp_path / "exif.mkv"
    media.write_video(plain, [SCENE], size=(64, 48), codec="mjpeg", pixel_format="yuvj420p")
    tiff = b"MM\0*\0\0\0\x08" + struct.pack(">HHHIHHI", 1, 0x0112, 3, 1, 6, 0, 0)
    exif = b"\xff\xe1" + struct.pack(">H", len(tiff) + 8) + b"Exif\0\0" + tiff
    with av.open(str(plain)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.size:
                data = bytes(packet)
                marked = av.Packet(data[:2] + exif + data[2:])
                marked.pts, marked.dts, marked.time_base = packet.pts, packet.dts, packet.time_base
                marked.is_keyframe, marked.stream = True, stream
                target.mux(marked)
    info = read_info(path)
    assert (info.rotation_deg, info.width, info.height) == (90, 48, 64)


@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("flip_x", [False, True])
@pytest.mark.parametrize("flip_y", [False, True])
def test_eight_ways_to_lie(transpose: bool, flip_x: bool, flip_y: bool) -> None:
    """Every one is a left-right mirror or none, and then the clockwise turn that it states."""
    image = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    orientation = Orientation(transpose, flip_x, flip_y)
    turned = orientation.apply(image)
    assert turned.flags.c_contiguous
    first = image[:, ::-1] if transpose + flip_x + flip_y in {1, 3} else image
    np.testing.assert_array_equal(turned, np.rot90(first, -orientation.rotation_deg // 90))
