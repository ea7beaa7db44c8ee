from __future__ import annotations

import itertools
import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reelscope.testing import media

SCENES = (
    media.Scene(0.5, text="ONE"),
    media.Scene(0.4, (40, 120, 200)),
    media.Scene(0.3, black=True),
    media.Scene(0.4, (60, 160, 80), blur=True, text="unreadable"),
    media.Scene(0.6, (230, 190, 60), text="TWO", fade_in_s=0.3),
)
SIZE = (96, 160)


def decoded(path: Path) -> tuple[list[float], list[media.RGB]]:
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    times = [round(float(frame.pts * frame.time_base), 6) for frame in frames]
    return times, [frame.to_ndarray(format="rgb24") for frame in frames]


def far(one: media.RGB, other: media.RGB) -> float:
    return float(np.abs(one.astype(int) - other.astype(int)).mean())


@pytest.mark.parametrize("vfr", [False, True])
@pytest.mark.parametrize("fps", [30, Fraction(30000, 1001)])
def test_frames_are_shown_when_the_truth_says_and_look_as_they_were_drawn(
    tmp_path: Path, vfr: bool, fps: Fraction
) -> None:
    truth = media.write_video(tmp_path / "a.mp4", SCENES, size=SIZE, fps=fps, vfr=vfr)
    times, images = decoded(truth.path)
    assert times == pytest.approx(truth.frame_times_s, abs=2e-6)
    drawn = list(media.pictures(SCENES, size=SIZE, fps=fps, vfr=vfr))
    assert [time for time, _ in drawn] == list(truth.frame_times_s)
    worst = max(far(image, seen) for (_, image), seen in zip(drawn, images, strict=True))
    assert worst < 8


def test_cuts_texts_and_spans_are_where_the_scenes_put_them(tmp_path: Path) -> None:
    truth = media.write_video(tmp_path / "a.mp4", SCENES, size=SIZE)
    assert truth.cuts_s == (0.5, 0.9, 1.2)
    assert truth.fades_s == (1.6,)
    assert truth.black_s == ((0.9, 1.2),)
    assert truth.blurred_s == ((1.2, 1.6),)
    assert [(w.text, w.start_s, w.end_s) for w in truth.texts] == [
        ("ONE", 0.0, 0.5),
        ("TWO", 1.6, 2.2),
    ]
    assert truth.duration_s == 2.2
    times, images = decoded(truth.path)
    steps = [far(a, b) for a, b in itertools.pairwise(images)]
    borders = {times.index(border) - 1 for border in truth.cuts_s + truth.fades_s}
    assert set(np.argsort(steps)[-4:].tolist()) == borders


def test_words_that_stay_over_a_cut_are_one_text(tmp_path: Path) -> None:
    both = [media.Scene(0.4, text="STAYS"), media.Scene(0.4, (20, 90, 160), text="STAYS")]
    truth = media.write_video(tmp_path / "a.mp4", both, size=SIZE)
    assert [(w.start_s, w.end_s) for w in truth.texts] == [(0.0, 0.8)]


@pytest.mark.parametrize("turn", [0, 90, 180, 270])
def test_the_display_matrix_makes_the_picture_upright(tmp_path: Path, turn: int) -> None:
    truth = media.write_video(tmp_path / "a.mp4", SCENES[:1], size=SIZE, rotation=turn)
    with av.open(str(truth.path)) as container:
        frame = next(container.decode(video=0))
    coded = frame.to_ndarray(format="rgb24")
    assert frame.rotation % 360 == -turn % 360  # FFmpeg counts counterclockwise
    upright = np.rot90(coded, -turn // 90)
    assert upright.shape == (truth.height, truth.width, 3)
    _, drawn = next(media.pictures(SCENES, size=SIZE))
    assert far(upright, drawn) < 8


@pytest.mark.skipif(not hasattr(os, "sched_getscheduler"), reason="Linux alone tells")
def test_no_encoder_leaves_the_thread_with_another_priority(tmp_path: Path) -> None:
    before = os.sched_getscheduler(0)
    media.write_video(tmp_path / "a.mp4", [media.Scene(0.2)], size=(64, 64), codec="libsvtav1")
    assert os.sched_getscheduler(0) == before


@pytest.mark.parametrize(
    ("codec", "suffix", "name"),
    [
        ("libx264", ".mp4", "h264"),
        ("libx265", ".mp4", "hevc"),
        ("libvpx", ".webm", "vp8"),
        ("libvpx-vp9", ".webm", "vp9"),
        ("libsvtav1", ".mp4", "av1"),
        ("mpeg4", ".avi", "mpeg4"),
        ("mjpeg", ".mov", "mjpeg"),
        ("ffv1", ".mkv", "ffv1"),
    ],
)
def test_every_encoder_writes_what_it_was_given(
    tmp_path: Path, codec: str, suffix: str, name: str
) -> None:
    pixels = "yuvj420p" if codec == "mjpeg" else "yuv420p"
    sound = media.tone(1.0)
    path = tmp_path / f"a{suffix}"
    truth = media.write_video(
        path, SCENES[:2], size=SIZE, codec=codec, sound=sound, pixel_format=pixels
    )
    with av.open(str(path)) as container:
        assert container.streams.video[0].codec_context.name.removeprefix("lib") in {name, "dav1d"}
        assert len(container.streams.audio) == 1
    _, images = decoded(path)
    assert len(images) == len(truth.frame_times_s) == 27
    assert far(images[-1], list(media.pictures(SCENES[:2], size=SIZE))[-1][1]) < 16


def test_key_frames_come_at_cuts_and_every_gop(tmp_path: Path) -> None:
    plain = media.write_video(tmp_path / "a.mp4", SCENES, size=SIZE, gop=10, idr_at_cuts=True)
    with av.open(str(plain.path)) as container:
        keys = [f.time for f in container.decode(video=0) if f.key_frame]
    assert keys == pytest.approx(plain.keyframes_s, abs=1e-6)
    assert {0.5, 0.9, 1.2, 1.6} <= set(plain.keyframes_s)
    assert max(np.diff(plain.keyframes_s)) <= 10 / 30 + 1e-6


def test_an_edit_list_hides_what_comes_before_zero(tmp_path: Path) -> None:
    truth = media.write_video(tmp_path / "a.mp4", SCENES, size=SIZE, first_pts_s=-0.3)
    times, _ = decoded(truth.path)
    assert times == pytest.approx(truth.frame_times_s, abs=2e-6)
    assert truth.duration_s == pytest.approx(1.9)
    assert truth.cuts_s == pytest.approx((0.2, 0.6, 0.9))


def test_sound_begins_and_ends_when_the_truth_says(tmp_path: Path) -> None:
    late = media.Sound(media.tone(1.0, rate_hz=16000), 16000, start_s=0.75)
    truth = media.write_video(tmp_path / "a.mkv", SCENES, size=SIZE, sound=late)
    assert truth.sound_s == (0.75, 1.75)
    loud = []
    with av.open(str(truth.path)) as container:
        for frame in container.decode(audio=0):
            begin = float(frame.pts * frame.time_base)
            samples = frame.to_ndarray()[0]
            loud += [begin + i / 16000 for i in np.flatnonzero(np.abs(samples) > 0.05)]
    assert min(loud) == pytest.approx(0.75, abs=0.02)
    assert max(loud) == pytest.approx(1.75, abs=0.02)


def test_stereo_and_opus_and_sound_alone(tmp_path: Path) -> None:
    both = np.stack([media.tone(0.5), media.silence(0.5)], axis=1)
    truth = media.write_sound(tmp_path / "a.ogg", both)
    assert (truth.width, truth.frame_times_s, truth.sound_s) == (0, (), (0.0, 0.5))
    with av.open(str(truth.path)) as container:
        samples = np.concatenate([f.to_ndarray() for f in container.decode(audio=0)], axis=1)
    left, right = np.abs(samples).max(axis=1)
    assert left > 0.25
    assert right < 0.05


def test_the_same_call_writes_the_same_bytes(tmp_path: Path) -> None:
    def made(name: str) -> bytes:
        sound, _ = media.speech_like(2.2, seed=3)
        media.write_video(tmp_path / name, SCENES, size=SIZE, sound=sound, sound_rate_hz=16000)
        return (tmp_path / name).read_bytes()

    assert made("a.mp4") == made("b.mp4")


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.floats(0.05, 3.0), min_size=1, max_size=6),
    st.sampled_from([Fraction(10), Fraction(24000, 1001), Fraction(60)]),
    st.booleans(),
    st.integers(0, 5),
)
def test_frame_times_rise_and_fill_the_video(
    seconds: list[float], fps: Fraction, vfr: bool, seed: int
) -> None:
    ticks = media.frame_times(sum(seconds), fps, vfr=vfr, seed=seed)
    tick_s = 1 / media.VFR_TICK_HZ if vfr else float(1 / fps)
    assert all(b > a for a, b in itertools.pairwise(ticks))
    assert ticks[0] == 0
    assert abs(ticks[-1] * tick_s - sum(seconds)) <= (3.2 if vfr else 0.51) / float(fps)
