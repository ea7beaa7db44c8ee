"""Key frames: the settings decide which kinds count; their pictures are found again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from reelscope.errors import MediaChanged
from reelscope.records import SpeechSegment, StageRecord, Voice
from reelscope.settings import Keyframes as KeyframesSettings
from reelscope.settings import Media
from reelscope.testing import media
from reelscope.vision.keyframes import KeyframesStage, images_at, value_of


@pytest.fixture
def clip(tmp_path: Path, open_clip):
    scenes = [media.Scene(2.2, text="ONE"), media.Scene(2.2, colour=(40, 90, 200))]
    truth = media.write_video(tmp_path / "v.mp4", scenes, size=(180, 320), fps=10, idr_at_cuts=True)
    clip = open_clip(truth.path)
    segments = (SpeechSegment(start_s=0.0, end_s=0.9, probability=0.9),)
    voice = Voice(segments=segments, duration_s=4.4, speech_s=0.9, speech_share=0.2)
    entry = StageRecord(status="ok", key="test", engine="test", value=voice)
    clip.record = clip.record.with_stage("voice", entry)
    return clip


def listed(clip, **settings: bool):
    stage = KeyframesStage(KeyframesSettings(**settings), media=Media())
    (outcome,) = stage.run([clip])
    return outcome.value


def test_all_kinds_in_time_order(clip) -> None:
    found = listed(clip)
    kinds = {frame.time_s: frame.kinds for frame in found.frames}
    assert list(kinds) == sorted(kinds)
    assert kinds[0.0] == ("iframe", "sampled")
    assert kinds[2.2] == ("iframe",)
    assert kinds[0.4] == ("highlight",)
    assert [t for t, k in kinds.items() if "sampled" in k] == [0.0, 1.0, 2.0, 3.0, 4.0]
    assert (found.width, found.height) == (180, 320)


@pytest.mark.parametrize(
    ("settings", "times_s"),
    [
        ({"sampled": False, "highlights": False}, [0.0, 2.2]),
        ({"iframes": False, "highlights": False}, [0.0, 1.0, 2.0, 3.0, 4.0]),
        ({"iframes": False, "sampled": False}, [0.4]),
        ({"iframes": False, "sampled": False, "highlights": False}, []),
    ],
)
def test_only_the_kinds_that_are_asked_for(clip, settings, times_s) -> None:
    found = listed(clip, **settings)
    assert [frame.time_s for frame in found.frames] == times_s
    switched_off = {name.removesuffix("s") for name, on in settings.items() if not on}
    assert not switched_off & {kind for frame in found.frames for kind in frame.kinds}


def test_the_key_covers_what_decides_the_frames() -> None:
    def key(**media_settings: float) -> str:
        settings = Media.model_validate(media_settings)
        return KeyframesStage(KeyframesSettings(), media=settings).settings.model_dump_json()

    assert len({key(), key(sample_fps=2), key(short_side=128), key(max_frames=9)}) == 4
    assert key() == key(cache_mb=1) == key(threads=3)


def test_pictures_are_found_by_time(clip) -> None:
    frames = clip.frames
    found = images_at(clip, [frames[2].time_s, frames[0].time_s])
    assert np.array_equal(found[0], frames[2].image)
    assert np.array_equal(found[1], frames[0].image)
    with pytest.raises(MediaChanged, match=r"no frame at 1\.234560 s"):
        images_at(clip, [0.0, 1.23456])


def test_a_missing_value_is_a_mistake_of_ours(clip) -> None:
    assert value_of(clip, Voice).speech_s == 0.9
    clip.record = clip.record.model_copy(update={"stages": {}})
    with pytest.raises(LookupError, match="stage voice has no value"):
        value_of(clip, Voice)


def test_sound_alone_is_skipped(tmp_path: Path, open_clip) -> None:
    truth = media.write_sound(tmp_path / "a.m4a", media.tone(1.0))
    stage = KeyframesStage(KeyframesSettings(), media=Media())
    (outcome,) = stage.run([open_clip(truth.path)])
    assert outcome.reason == "there is no video stream"
