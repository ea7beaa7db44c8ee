"""Facts of the header and the packets, on synthetic files with known truth and on real ones."""

from __future__ import annotations

import json
import struct
import subprocess
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from reelscope.errors import UnreadableMedia
from reelscope.media.info import read_info
from reelscope.testing import media

Videos = Callable[[str], media.Truth]

SCENES = [media.Scene(1.0)]
TONE = media.tone(1.0)

REAL = {
    # name: container, duration, upright size, turn, rate, variable, pictures, sound
    "av1_video.mkv": ("matroska", 5.0, (640, 360), 0, "25", False, "av1 yuv420p", ""),
    "big_buck_bunny_0_30.webm": (
        "matroska", 30.022, (1280, 720), 0, "24", False, "vp8 yuv420p", "vorbis 44100 2",
    ),
    "chaplin.mp4": ("mov", 9.64, (640, 360), 0, "25", False, "h264 yuv420p", "mp3 44100 2"),
    "cockatoo.mp4": ("mov", 14.0, (1280, 720), 0, "20", False, "h264 yuv444p", "mp3 16000 1"),
    "fire2.mp4": (
        "mov", 2.416479, (1280, 720), 180, "750000/71393", True, "h264 yuv420p", "aac 48000 1",
    ),
    "h265_10bits.mp4": ("mov", 1.0, (200, 200), 0, "30", False, "hevc yuv420p10le", ""),
    "nasa_13013.mp4": (
        "mov", 13.056, (480, 270), 0, "30000/1001", False, "h264 yuv420p", "aac 8000 2",
    ),
    "no_duration.webm": (
        "matroska", 4.938, (1280, 720), 0, "15000/1001", False, "vp9 yuv420p", "opus 48000 2",
    ),
    "realshort.mp4": (
        "mov", 1.1992, (320, 240), 0, "45000/1499", False, "h264 yuv420p", "aac 48000 1",
    ),
    "smpte-2997.mp4": ("mov", 10.048, (1920, 1080), 0, "25", False, "h264 yuv420p", "aac 48000 2"),
    "with-attached-pic.mp3": ("mp3", 1.00678, None, None, None, None, "", "mp3 44100 2"),
}  # fmt: skip


def words(*facts: object) -> str:
    return " ".join(str(fact) for fact in facts if fact is not None)


@pytest.mark.parametrize("name", REAL)
def test_real_files(name: str, corpus: Path) -> None:
    info = read_info(corpus / "video" / name)
    assert (
        info.container.split(",")[0],
        info.duration_s,
        (info.width, info.height) if info.width else None,
        info.rotation_deg,
        str(info.fps) if info.fps else None,
        info.variable_frame_rate,
        words(info.video_codec, info.pixel_format),
        words(info.audio_codec, info.audio_rate_hz, info.audio_channels),
    ) == REAL[name]
    assert info.cut_short is None


def test_synthetic_files(any_video: media.Truth) -> None:
    info = read_info(any_video.path)
    assert info.video is not None
    assert (info.width, info.height, info.rotation_deg) == (96, 160, 0)
    assert len(info.video.order) == len(any_video.frame_times_s)
    slack = 0.0006 if any_video.path.suffix in {".mkv", ".webm"} else 1e-5  # ms clocks
    if any_video.path.suffix != ".h264":  # it has no times at all
        np.testing.assert_allclose(info.video.times_s, any_video.frame_times_s, atol=slack)
    varies = "variable" in any_video.path.name
    if info.video.timed:
        assert info.variable_frame_rate is varies
        if not varies:  # the encoder does not say how long the last frame stays
            assert info.duration_s == pytest.approx(any_video.duration_s, abs=0.002)
    assert info.cut_short is None


@pytest.mark.parametrize("suffix", [".mp4", ".ts", ".mkv"])
@pytest.mark.parametrize("first_pts_s", [-0.5, 0.0, 0.4])
def test_time_starts_with_the_first_thing_seen_or_heard(
    suffix: str, first_pts_s: float, tmp_path: Path
) -> None:
    truth = media.write_video(
        tmp_path / f"v{suffix}", SCENES, size=(64, 64), sound=TONE, first_pts_s=first_pts_s,
        container_options={"avoid_negative_ts": "disabled"} if suffix == ".ts" else {},
    )  # fmt: skip
    info = read_info(truth.path)
    assert info.video is not None
    assert info.audio is not None
    starts = info.video.times_s[0], info.audio.times_s[0]
    assert min(starts) <= 1e-6 or suffix == ".mp4"  # there the encoder's priming is not heard
    assert max(starts) < 0.03  # AAC priming
    assert all(time_s >= -0.03 for time_s in starts)


def test_late_sound_does_not_move_the_pictures(tmp_path: Path) -> None:
    sound = media.Sound(TONE, 44100, start_s=0.7)
    truth = media.write_video(tmp_path / "late.mp4", SCENES, size=(64, 64), sound=sound)
    info = read_info(truth.path)
    assert info.video is not None
    assert info.video.times_s[0] == 0
    assert info.duration_s == pytest.approx(1.7, abs=0.001)


def test_cut_files_say_so(tmp_path: Path) -> None:
    for name, how in {
        "a.mp4": {"container_options": {"movflags": "+faststart"}},
        "b.mkv": {},
        "c.flv": {},
    }.items():
        scenes = [media.Scene(6.0)]
        truth = media.write_video(
            tmp_path / name, scenes, size=(64, 64), sound=media.tone(6.0), **how
        )
        assert read_info(truth.path).cut_short is None
        data = truth.path.read_bytes()
        truth.path.write_bytes(data[: len(data) // 2])
        info = read_info(truth.path)
        assert info.cut_short is not None
        assert "ends" in info.cut_short
        assert info.duration_s is not None
        assert info.duration_s < 5


def test_absurd_claims_of_the_header_are_not_believed(videos: Videos, tmp_path: Path) -> None:
    data = bytearray(videos("b_frames.mp4").path.read_bytes())
    for box, offset in ((b"mvhd", 16), (b"mdhd", 16), (b"tkhd", 20)):
        start = data.index(box) + 4 + offset
        data[start : start + 4] = struct.pack(">I", 2**31 - 1)
    path = tmp_path / "long.mp4"
    path.write_bytes(bytes(data))
    assert read_info(path).duration_s == pytest.approx(2.5, abs=0.01)


@pytest.mark.parametrize(
    ("size", "ok"),
    [((1, 1), True), ((8192, 16), True), ((16, 8192), True), ((16400, 16), False)],
)
def test_odd_sizes(size: tuple[int, int], ok: bool, tmp_path: Path) -> None:
    truth = media.write_video(
        tmp_path / "v.mkv", [media.Scene(0.1)], size=size, codec="ffv1", pixel_format="yuv444p",
    )  # fmt: skip
    if not ok:
        with pytest.raises(UnreadableMedia, match="16400x16 pixels"):
            read_info(truth.path)
        return
    info = read_info(truth.path)
    assert (info.width, info.height) == size


def test_creation_time_is_believed_if_it_is_one(tmp_path: Path) -> None:
    for stated, kept in (("2024-05-01T10:00:00Z", "2024-05-01T10:00:00.000000Z"), ("soon", None)):
        truth = media.write_video(
            tmp_path / "v.mp4", SCENES, size=(64, 64), metadata={"creation_time": stated},
            container_options={"fflags": "-bitexact"},
        )  # fmt: skip
        assert read_info(truth.path).created_at == kept


def test_agrees_with_the_ffmpeg_program(corpus: Path) -> None:
    """Frame times of real files, from `-f framehash`-like output of a different FFmpeg."""
    ffmpeg = pytest.importorskip("imageio_ffmpeg", reason="no ffmpeg program to compare with")
    for name in ("chaplin.mp4", "fire2.mp4", "nasa_13013.mp4", "no_duration.webm"):
        path = corpus / "video" / name
        command = [ffmpeg.get_ffmpeg_exe(), "-v", "error", "-i", str(path), "-map", "0:v"]
        if name == "nasa_13013.mp4":
            command[-1] = "0:v:1"
        options = ["-fps_mode", "passthrough", "-copyts", "-enc_time_base", "1:1000000"]
        done = subprocess.run(
            [*command, *options, "-f", "framecrc", "-"], capture_output=True, check=True, text=True
        )
        rows = [line.split(",") for line in done.stdout.splitlines() if line[0] != "#"]
        times_s = [int(row[2]) / 1e6 for row in rows]
        track = read_info(path).video
        assert track is not None
        np.testing.assert_allclose(track.times_s, times_s, atol=2e-6)


def test_facts_are_plain(corpus: Path) -> None:
    info = read_info(corpus / "video" / "chaplin.mp4")
    assert info.fps == Fraction(25)
    assert json.dumps([info.bit_rate_bps, info.size_bytes]) == "[631905, 761445]"
