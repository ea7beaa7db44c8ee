"""Stage `shots` on files: exact times, the hook, and what has no shots to find."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from reelscope import settings
from reelscope.errors import UnreadableMedia
from reelscope.media.clip import Clip
from reelscope.records import (
    Event,
    Events,
    Loudness,
    Ok,
    Shots,
    Skipped,
    SpeechSegment,
    StageRecord,
    Value,
    VideoRecord,
    VideoSource,
    Voice,
)
from reelscope.testing import media
from reelscope.vision.shots import ShotsStage

Look = Callable[..., Shots]


def clip_of(path: Path, *values: Value) -> Clip:
    source = VideoSource(creator="c", video_id=path.stem, path=str(path), frames_id=path.stem)
    stages = {v.stage: StageRecord(status="ok", key="k", engine="e", value=v) for v in values}
    record = VideoRecord(source=source, stages=stages)
    return Clip(source, record, settings.Media(), frames_root=path.parent / "frames")


def shots_of(path: Path, *values: Value, **wanted: float) -> Shots:
    stage = ShotsStage(settings.Shots(**wanted))
    stage.open()
    with clip_of(path, *values) as clip:
        (outcome,) = stage.run([clip])
    stage.close()
    assert isinstance(outcome, Ok)
    assert isinstance(outcome.value, Shots)
    return outcome.value


SCENES = (
    media.Scene(1.2, colour=(200, 60, 40), text="ONE"),
    media.Scene(0.8, colour=(40, 80, 200)),
    media.Scene(1.5, colour=(60, 180, 60), fade_out_s=0.5),
    media.Scene(1.5, colour=(220, 210, 190), fade_in_s=0.4),
)


@pytest.mark.parametrize("how", [{}, {"vfr": True}, {"rotation": 90, "fps": 25}])
def test_cuts_are_at_the_truth_to_the_microsecond(tmp_path: Path, how: dict[str, int]) -> None:
    # -bf 0: every frame is decoded, so that the first frame of a shot is always seen.
    truth = media.write_video(
        tmp_path / "a.mp4", SCENES, size=(180, 320), options={"bf": "0"}, **how
    )
    found = shots_of(truth.path)
    assert [c.time_s for c in found.cuts if c.kind == "cut"] == list(truth.cuts_s)
    (fade,) = (c.time_s for c in found.cuts if c.kind == "fade")
    assert abs(fade - truth.fades_s[0]) < 0.2
    assert found.cuts_per_minute == pytest.approx(3 * 60 / truth.duration_s, rel=1e-3)
    assert found.mean_shot_s == pytest.approx(truth.duration_s / 4, rel=1e-3)


def test_with_frames_left_out_a_cut_is_late_by_a_frame_at_most(tmp_path: Path) -> None:
    truth = media.write_video(tmp_path / "a.mp4", SCENES, size=(180, 320), options={"bf": "3"})
    cuts = [c.time_s for c in shots_of(truth.path).cuts if c.kind == "cut"]
    assert cuts == pytest.approx(truth.cuts_s, abs=0.101)
    assert set(cuts) <= set(truth.frame_times_s)


def test_shots_cover_the_video_without_gaps(tmp_path: Path) -> None:
    truth = media.write_video(tmp_path / "a.mp4", SCENES, size=(180, 320))
    found = shots_of(truth.path)
    assert found.shots[0].start_s == 0.0
    assert found.shots[-1].end_s == pytest.approx(truth.duration_s, abs=1e-3)
    ends, starts = [s.end_s for s in found.shots[:-1]], [s.start_s for s in found.shots[1:]]
    assert ends == starts == [c.time_s for c in found.cuts]


def test_the_hook_in_numbers(tmp_path: Path) -> None:
    still = media.Scene(2.0, colour=(200, 60, 40), moving=False)
    moving = media.Scene(2.0, colour=(40, 80, 200))
    truth = media.write_video(tmp_path / "a.mp4", [still, moving], size=(180, 320))
    voice = Voice(
        segments=(SpeechSegment(start_s=0.5, end_s=1.25, probability=0.9),),
        duration_s=4.0, speech_s=0.75, speech_share=0.19,
    )  # fmt: skip
    events = Events(
        timeline=(
            Event(start_s=0.0, end_s=1.0, kind="speech_over_music", confidence=0.9),
            Event(start_s=1.0, end_s=4.0, kind="silence", confidence=0.9),
        ),
        duration_s=4.0,
        seconds={"speech": 0, "music": 0, "speech_over_music": 1, "other": 0, "silence": 3},
        loudness=Loudness(integrated_lufs=None, range_lu=None, true_peak_dbtp=None),
    )
    hook = shots_of(truth.path, voice, events).hook
    assert (hook.end_s, hook.cuts, hook.first_cut_s) == (3.0, 1, 2.0)
    assert hook.speech_share == pytest.approx(0.25)
    assert hook.speech_starts_s == 0.5
    assert hook.music_share == pytest.approx(1 / 3)
    calm = shots_of(truth.path, hook_s=1.9).hook
    assert calm.motion is not None and hook.motion is not None
    assert calm.motion < 3 < hook.motion
    assert calm.speech_share is None and calm.speech_starts_s is None and calm.music_share is None


def test_one_frame_is_one_shot(tmp_path: Path) -> None:
    truth = media.write_video(tmp_path / "a.mp4", [media.Scene(1 / 30)], size=(64, 64))
    found = shots_of(truth.path)
    assert found.cuts == ()
    assert len(found.shots) == 1
    assert found.hook.motion is None


@pytest.mark.parametrize("size", [(1, 1), (2048, 4)])
def test_odd_sizes(tmp_path: Path, size: tuple[int, int]) -> None:
    black, white = media.Scene(0.5, black=True), media.Scene(0.5, paint=white_paint)
    truth = media.write_video(
        tmp_path / "a.mkv", [black, white], size=size, codec="ffv1", pixel_format="yuv444p"
    )
    assert [c.time_s for c in shots_of(truth.path).cuts] == pytest.approx([0.5], abs=2e-3)


def white_paint(size: tuple[int, int], _: float) -> media.RGB:
    return np.full((size[1], size[0], 3), 255, np.uint8)


def test_all_black_is_one_shot(tmp_path: Path) -> None:
    truth = media.write_video(tmp_path / "a.mp4", [media.Scene(2.0, black=True)], size=(64, 64))
    found = shots_of(truth.path)
    assert len(found.shots) == 1
    assert found.hook.luma < 3


def test_sound_alone_is_skipped(tmp_path: Path) -> None:
    truth = media.write_sound(tmp_path / "a.m4a", media.tone(1.0))
    with clip_of(truth.path) as clip:
        assert ShotsStage(settings.Shots()).run([clip]) == [Skipped("there is no video stream")]


def test_what_does_not_decode_fails(tmp_path: Path) -> None:
    truth = media.write_video(tmp_path / "a.mp4", [media.Scene(0.5)], size=(64, 64))
    raw = bytearray(truth.path.read_bytes())
    start = raw.index(b"mdat") + 4
    raw[start:] = bytes(len(raw) - start) if raw.index(b"moov") < start else raw[start:]
    end = raw.rindex(b"moov") if raw.index(b"moov") > start else len(raw)
    raw[start : end - 4] = bytes(end - 4 - start)
    truth.path.write_bytes(raw)
    with clip_of(truth.path) as clip, pytest.raises(UnreadableMedia):
        ShotsStage(settings.Shots()).run([clip])


def test_real_cuts(corpus: Path) -> None:
    bunny = shots_of(corpus / "video" / "big_buck_bunny_0_30.webm")
    assert [(c.kind, round(c.time_s, 2)) for c in bunny.cuts] == [
        ("cut", 11.79),
        ("cut", 15.67),
        ("cut", 22.96),
    ]
    nasa = shots_of(corpus / "video" / "nasa_13013.mp4")
    assert [(c.kind, round(c.time_s, 1)) for c in nasa.cuts] == [("dissolve", 5.3), ("cut", 8.0)]


@pytest.mark.parametrize("name", ["chaplin.mp4", "cockatoo.mp4", "fire2.mp4", "realshort.mp4"])
def test_real_takes_without_a_cut(corpus: Path, name: str) -> None:
    assert shots_of(corpus / "video" / name).cuts == ()
