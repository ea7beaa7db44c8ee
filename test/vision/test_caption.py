"""Sentences about chosen frames: the stage with a tiny BLIP, and with one that misbehaves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reelscope.engines.blip import BlipCaptioner
from reelscope.engines.pool import ModelPool
from reelscope.engines.weights import WeightStore
from reelscope.media.images import RGB
from reelscope.records import Captions, Ok, Skipped
from reelscope.settings import Caption, Choose, Keyframes, Media, Quality, Similarity
from reelscope.settings import Stills as StillsSettings
from reelscope.testing import media, sounds
from reelscope.testing.blip import write_blip
from reelscope.vision.caption import CaptionStage, clean
from reelscope.vision.choose import ChooseStage
from reelscope.vision.keyframes import KeyframesStage
from reelscope.vision.quality import QualityStage
from reelscope.vision.similarity import SimilarityStage
from reelscope.vision.stills import StillsStage

RED, BLUE = (200, 30, 30), (30, 40, 200)


class Colours:
    """Says the mean colour of each picture; green ones leave it speechless."""

    engine = "test 1"
    weights: tuple[str, ...] = ()

    def open(self) -> None: ...

    def close(self) -> None: ...

    def caption(
        self, pictures: Sequence[Callable[[], RGB]], *, beams: int, max_tokens: int
    ) -> list[str]:
        names = ("red\n", "", "\x1b[31mblue\u202e")
        return [names[int(give().reshape(-1, 3).mean(axis=0).argmax())] for give in pictures]


@pytest.fixture
def ready(
    tmp_path: Path, open_clip: Callable[..., Any], chain: Callable[..., list[Any]]
) -> Callable[..., Any]:
    """A clip whose frames are chosen."""

    def make(name: str, *scenes: media.Scene, size: tuple[int, int] = (180, 320)) -> Any:
        clip = open_clip(media.write_video(tmp_path / f"{name}.mp4", list(scenes), size=size).path)
        chain(
            clip,
            [
                KeyframesStage(Keyframes(), media=Media()),
                QualityStage(Quality()),
                SimilarityStage(Similarity()),
                StillsStage(StillsSettings()),
                ChooseStage(Choose()),
            ],
        )
        return clip

    return make


def values(outcomes: list[Any]) -> list[Captions]:
    assert all(isinstance(outcome, Ok) for outcome in outcomes), outcomes
    return [outcome.value for outcome in outcomes]


def test_each_video_gets_its_own_sentences(ready: Callable[..., Any]) -> None:
    both = ready("a", media.Scene(1.0, colour=BLUE), media.Scene(1.0, colour=RED))
    black = ready("b", media.Scene(1.0, black=True))
    green = ready("c", media.Scene(1.0, colour=(20, 180, 30)), size=(320, 180))
    first, second, third = values(CaptionStage(Caption(), Colours()).run([both, black, green]))
    said = [frame.text for frame in first.frames]
    assert said == sorted(said)
    assert set(said) == {"[31mblue", "red"}
    assert [f.time_s for f in first.frames] == sorted(f.time_s for f in first.frames)
    assert all((both.frames_dir / frame.file).is_file() for frame in first.frames)
    assert second.frames == third.frames == ()


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [("  a  dog\t", "a dog"), ("\x00\x1b", ""), ("größe 日本", "größe 日本"), ("a\u202eb", "a b")],
)
def test_control_characters_go(text: str, cleaned: str) -> None:
    assert clean(text) == cleaned


@pytest.mark.parametrize("damage", [None, b"", b"no picture"])
def test_a_picture_that_was_removed_is_made_from_the_video(
    damage: bytes | None, ready: Callable[..., Any]
) -> None:
    clip = ready("a", media.Scene(1.0, colour=BLUE))
    stage = CaptionStage(Caption(), Colours())
    (before,) = values(stage.run([clip]))
    for path in clip.frames_dir.iterdir():
        path.unlink() if damage is None else path.write_bytes(damage)
    assert values(stage.run([clip])) == [before]


def test_sound_alone_is_skipped(tmp_path: Path, open_clip: Callable[..., Any]) -> None:
    path = tmp_path / "sound.wav"
    media.write_sound(path, sounds.silence(1.0))
    (skipped,) = CaptionStage(Caption(), Colours()).run([open_clip(path)])
    assert isinstance(skipped, Skipped)


def test_the_stage_with_a_tiny_model(tmp_path: Path, ready: Callable[..., Any]) -> None:
    write_blip(tmp_path / "models")
    captioner = BlipCaptioner(WeightStore(tmp_path / "models"), ModelPool())
    stage = CaptionStage(Caption(beams=1, max_tokens=6), captioner, batch_size=2)
    stage.open()
    clips = [ready("a", media.Scene(1.0, colour=BLUE)), ready("b", media.Scene(1.0, colour=RED))]
    together = values(stage.run(clips))
    assert together == [values(stage.run([clip]))[0] for clip in clips]
    for value in together:
        assert all(0 < len(frame.text.split()) <= 6 for frame in value.frames)
    assert stage.weights == ("blip-base",)
    assert (stage.lane, stage.batch_size) == ("gpu", 2)
    stage.close()


def test_odd_sizes(ready: Callable[..., Any]) -> None:
    clip = ready("thin", media.Scene(1.0, colour=RED), size=(16, 480))
    (value,) = values(CaptionStage(Caption(), Colours()).run([clip]))
    assert {frame.text for frame in value.frames} <= {"red"}
    assert np.isfinite([frame.time_s for frame in value.frames]).all()
