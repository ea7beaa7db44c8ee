"""Which frames are read, how a picture is read, and the whole stage on files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reelscope.engines.rapidocr import RapidOcrReader
from reelscope.media.images import RGB
from reelscope.records import Box, OnScreenText, TextLine
from reelscope.settings import Keyframes, Media, Quality, Similarity, Stills, Text
from reelscope.testing import media
from reelscope.vision.keyframes import KeyframesStage
from reelscope.vision.quality import QualityStage
from reelscope.vision.similarity import SimilarityStage
from reelscope.vision.stills import StillsStage
from reelscope.vision.text import TextStage, differs, plan_reading, read_lines


def box(x: float, y: float, *, width: float = 100, height: float = 20) -> Box:
    return (x, y), (x + width, y), (x + width, y + height), (x, y + height)


def line(text: str, confidence: float = 0.9) -> TextLine:
    return TextLine(text=text, confidence=confidence, box=box(10, 20, width=30, height=10))


class Fixed:
    """A reader that answers with lines in the picture it was given, and keeps its size."""

    engine = "fixed 1"

    def __init__(self, *lines: TextLine) -> None:
        self.lines = list(lines)
        self.shapes: list[tuple[int, ...]] = []

    def open(self) -> None: ...

    def close(self) -> None: ...

    def read(self, image: RGB) -> list[TextLine]:
        self.shapes.append(image.shape)
        return self.lines


def test_boxes_come_back_in_pixels_of_the_full_frame() -> None:
    reader = Fixed(line("SALE"))
    image = np.zeros((1920, 1080, 3), np.uint8)
    (found,) = read_lines(image, reader, max_side=960, min_confidence=0.5)
    assert reader.shapes == [(960, 540, 3)]
    assert found.box == ((20, 40), (80, 40), (80, 60), (20, 60))


def test_small_pictures_are_not_enlarged_and_weak_readings_are_dropped() -> None:
    weak = [line("SALE", 0.4), line("  "), line("4", 0.8), line("!", 0.7)]
    reader = Fixed(*weak, line("OK"), line("7", 0.95), line("→", 0.95))
    found = read_lines(np.zeros((90, 160, 3), np.uint8), reader, max_side=960, min_confidence=0.5)
    assert reader.shapes == [(90, 160, 3)]
    assert [text.text for text in found] == ["OK", "7", "→"]


# ---------------------------------------------------------------------------- the plan

BLANK = np.full((256, 144), 90, np.uint8)


def captioned(at: int) -> RGB:
    image = BLANK.copy()
    image[200:208, at : at + 30 : 2] = 250
    return image


def plan(pictures: dict[float, Any], kept: list[float], *blurred: float, most: int = 40) -> Any:
    stands_for = {kept[0]: [t for t in pictures if t not in kept and t not in blurred]}
    return plan_reading(kept, stands_for, blurred, picture_at=pictures.__getitem__, most=most)


def test_a_near_duplicate_with_another_caption_is_read_too() -> None:
    pictures = {0.0: captioned(10), 1.0: captioned(10), 2.0: captioned(90), 3.0: captioned(90)}
    assert plan(pictures, [0.0]) == {0.0: 0.0, 1.0: 0.0, 2.0: 2.0, 3.0: 2.0}


def test_noise_makes_no_difference_but_a_letter_does() -> None:
    rng = np.random.default_rng(0)
    noisy = (BLANK + rng.normal(0, 8, BLANK.shape)).astype(np.uint8)
    assert not differs(BLANK, noisy)
    letter = BLANK.copy()
    letter[100:109, 50:56] = 250
    assert differs(noisy, letter)


def test_blurred_frames_are_read_after_the_kept_ones() -> None:
    pictures = {float(n): BLANK for n in range(4)}
    assert plan(pictures, [0.0], 3.0) == {0.0: 0.0, 1.0: 0.0, 2.0: 0.0, 3.0: 3.0}
    assert 3.0 not in plan(pictures, [0.0], 3.0, most=1)


def test_no_more_is_read_than_wanted_and_nothing_is_said_of_the_rest() -> None:
    kept = [float(n) for n in range(100)]
    found = plan_reading(kept, {}, [], picture_at=lambda _: BLANK, most=40)
    assert len(found) == 40
    assert {0.0, 99.0} < set(found)
    pictures = {float(n): captioned(n) for n in range(0, 100, 3)}
    found = plan(pictures, [0.0], most=10)
    assert len(set(found.values())) == 10


# --------------------------------------------------------------------------- the stage


def read_video(
    path: Path, open_clip: Callable[..., Any], chain: Callable[..., list[Any]]
) -> OnScreenText:
    stages: Sequence[Any] = [
        KeyframesStage(Keyframes(), media=Media()),
        QualityStage(Quality()),
        SimilarityStage(Similarity()),
        StillsStage(Stills()),
        TextStage(Text(), RapidOcrReader()),
    ]
    found = chain(open_clip(path), stages)[-1]
    assert isinstance(found, OnScreenText)
    return found


WORDS = ("Wait for it", "the best trick", "follow me")


@pytest.mark.parametrize("moving", [False, True])
def test_captions_are_found_with_their_times(
    tmp_path: Path, open_clip: Any, chain: Any, moving: bool
) -> None:
    captions = [media.Caption(text, 1.4 * n, 1.4 * n + 1.2) for n, text in enumerate(WORDS)]
    scene = media.Scene(4.2, colour=(120, 140, 90), moving=moving, captions=tuple(captions))
    truth = media.write_video(tmp_path / "a.mp4", [scene], size=(360, 640), fps=20)
    found = read_video(truth.path, open_clip, chain).appearances
    assert [seen.text for seen in found] == list(WORDS)
    for seen, words in zip(found, truth.texts, strict=True):
        assert seen.start_s == pytest.approx(words.start_s, abs=0.11)
        assert seen.end_s == pytest.approx(words.end_s, abs=0.11)
        (left, top), (right, bottom) = np.min(seen.box, axis=0), np.max(seen.box, axis=0)
        x, y = (left + right) / 2, (top + bottom) / 2
        assert words.box[0] < x < words.box[2] and words.box[1] < y < words.box[3]
        assert seen.confidence > 0.9


def test_a_black_video_and_one_without_text_have_none(
    tmp_path: Path, open_clip: Any, chain: Any
) -> None:
    black = media.write_video(tmp_path / "b.mp4", [media.Scene(1.0, black=True)], size=(64, 64))
    assert read_video(black.path, open_clip, chain) == OnScreenText(frames=(), appearances=())
    plain = media.write_video(tmp_path / "p.mp4", [media.Scene(1.0)], size=(180, 320))
    found = read_video(plain.path, open_clip, chain)
    assert found.appearances == ()
    assert found.frames


@pytest.mark.parametrize("size", [(1, 1), (2048, 4)])
def test_odd_sizes(tmp_path: Path, open_clip: Any, chain: Any, size: tuple[int, int]) -> None:
    truth = media.write_video(
        tmp_path / "a.mkv", [media.Scene(0.3)], size=size, codec="ffv1", pixel_format="yuv444p"
    )
    assert read_video(truth.path, open_clip, chain).appearances == ()
