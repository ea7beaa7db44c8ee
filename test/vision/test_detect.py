"""The table of objects, and the stage on files whose objects are known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelscope.engines.pool import ModelPool
from reelscope.engines.weights import WeightStore
from reelscope.engines.yolo_world import YoloWorldDetector
from reelscope.errors import StageTimeout
from reelscope.media.clip import Clip
from reelscope.media.images import RGB
from reelscope.records import DetectedFrame, DetectedObject, Detections, Ok, Outcome
from reelscope.settings import Detect, Keyframes, Media, Quality, Similarity, Stills
from reelscope.testing import media
from reelscope.testing.open_clip import write_clip
from reelscope.testing.yolo_world import write_yolo_world
from reelscope.vision.detect import (
    DetectStage,
    Found,
    Stretch,
    covered_area,
    inside,
    on_screen,
    timeline,
)
from reelscope.vision.keyframes import KeyframesStage
from reelscope.vision.quality import QualityStage
from reelscope.vision.similarity import SimilarityStage
from reelscope.vision.stills import StillsStage
from reelscope.vision.vocabulary import Objects

# --------------------------------------------------------------------------------- time


def test_a_frame_counts_until_the_next_of_which_anything_is_known() -> None:
    found = timeline([0.5, 4.0], {0.5: [1.0, 2.0], 4.0: []}, [3.0], end_s=6.5)
    assert found == [
        Stretch(0.5, 1.0, 0.5),
        Stretch(1.0, 2.0, 0.5),
        Stretch(2.0, 3.0, 0.5),
        Stretch(3.0, 4.0, None),
        Stretch(4.0, 6.5, 4.0),
    ]


def test_duplicates_of_a_frame_that_was_not_looked_at_say_nothing() -> None:
    assert timeline([0.0], {5.0: [6.0]}, [], end_s=9.0) == [Stretch(0.0, 9.0, 0.0)]


def test_no_frames_no_stretches_and_an_unknown_end_is_the_last_frame() -> None:
    assert timeline([], {}, [], end_s=3.0) == []
    assert timeline([2.0], {}, [], end_s=0.0) == [Stretch(2.0, 2.0, 2.0)]


Times = st.lists(st.integers(0, 60).map(float), unique=True, max_size=12)


@given(Times, Times, st.floats(0, 100))
def test_stretches_leave_no_gap(kept_s: list[float], black_s: list[float], end_s: float) -> None:
    found = timeline(kept_s, {}, black_s, end_s=end_s)
    for one, following in pairwise(found):
        assert one.end_s == following.start_s > one.start_s
    assert {s.frame_s for s in found if s.frame_s is not None} == set(kept_s)


# ------------------------------------------------------------------------------- places


def test_overlapping_boxes_count_once() -> None:
    assert covered_area([]) == 0
    assert covered_area([(0, 0, 10, 10)]) == 100
    assert covered_area([(0, 0, 10, 10), (5, 5, 15, 15)]) == 175
    assert covered_area([(0, 0, 10, 10), (2, 2, 3, 3), (20, 0, 21, 1)]) == 101


Edge = st.integers(0, 12)


@given(st.lists(st.tuples(Edge, Edge, Edge, Edge), max_size=6))
def test_the_area_is_that_of_painted_pixels(corners: list[tuple[int, int, int, int]]) -> None:
    boxes = [(min(a, c), min(b, d), max(a, c), max(b, d)) for a, b, c, d in corners]
    painted = np.zeros((12, 12), bool)
    for left, top, right, bottom in boxes:
        painted[top:bottom, left:right] = True
    assert covered_area(boxes) == painted.sum()


def test_boxes_are_cut_to_the_picture() -> None:
    assert inside((-5, -5, 300, 300), width=20, height=10) == (0, 0, 20, 10)
    assert inside((1.234567, 2, 3, 4), width=20, height=10) == (1.23, 2, 3, 4)
    assert inside((-9, 0, -1, 5), width=20, height=10) is None
    assert inside((3, 4, 3.001, 5), width=20, height=10) is None
    assert inside((5, 5, 3, 9), width=20, height=10) is None


# ---------------------------------------------------------------------------- the table


def thing(label: str, confidence: float, *box: float) -> DetectedObject:
    left, top, right, bottom = box or (0.0, 0.0, 10.0, 10.0)
    return DetectedObject(label=label, confidence=confidence, box=(left, top, right, bottom))


def test_the_table_of_a_video() -> None:
    frames = [
        DetectedFrame(time_s=0.0, objects=(thing("cup", 0.5), thing("cup", 0.9, 0, 0, 10, 20))),
        DetectedFrame(time_s=2.0, objects=(thing("dog", 0.7, 0, 0, 100, 50),)),
        DetectedFrame(time_s=5.0, objects=(thing("cup", 0.6),)),
    ]
    stretches = timeline([0.0, 2.0, 5.0], {2.0: [3.0, 4.0]}, [], end_s=5.5)
    sizes = dict.fromkeys((0.0, 2.0, 5.0), (100, 100))
    dog, cup = on_screen(frames, stretches, sizes=sizes, products={"cup"})
    assert dog.model_dump() == {
        "label": "dog", "product": False, "seconds": 3.0, "first_s": 2.0, "last_s": 5.0,
        "frames": 1, "confidence": 0.7, "most_at_once": 1, "area_share": 0.5,
    }  # fmt: skip
    assert cup.model_dump() == {
        "label": "cup", "product": True, "seconds": 2.5, "first_s": 0.0, "last_s": 5.5,
        "frames": 2, "confidence": 0.9, "most_at_once": 2, "area_share": 0.015,
    }  # fmt: skip


# ---------------------------------------------------------------------------- the stage

COLOURS = {"red thing": (220, 30, 30), "blue thing": (30, 30, 220)}
WORDS = Objects.model_validate(
    {"products": [{"label": "red", "prompt": "red thing"}],
     "others": [{"label": "blue", "prompt": "blue thing"}]}
)  # fmt: skip


class ColourDetector:
    """Finds the rectangle around all pixels of a colour."""

    engine = "colours 1"
    weights: tuple[str, ...] = ()

    def __init__(self) -> None:
        self.calls: list[int] = []
        self.shapes: list[tuple[int, ...]] = []

    def open(self) -> None: ...

    def close(self) -> None: ...

    def detect(
        self, pictures: Sequence[Callable[[], RGB]], prompts: Sequence[str], settings: Detect
    ) -> list[list[Found]]:
        self.calls.append(len(pictures))
        return [self._find(picture(), prompts) for picture in pictures]

    def _find(self, image: RGB, prompts: Sequence[str]) -> list[Found]:
        self.shapes.append(image.shape)
        found = []
        for number, prompt in enumerate(prompts):
            far = np.abs(image.astype(int) - COLOURS[prompt]).max(axis=2)
            rows, columns = np.nonzero(far < 50)
            if len(rows) > 50:
                box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
                found.append(Found(number, 0.9 - 0.1 * number, tuple(map(float, box))))
        return found


def scene(seconds: float, *things: tuple[str, tuple[float, float, float, float]]) -> media.Scene:
    """Rectangles (left, top, right, bottom, shares of the picture) on a grey texture."""

    def paint(size: tuple[int, int], _: float) -> RGB:
        width, height = size
        rng = np.random.default_rng(len(things))
        grey = rng.integers(90, 150, (height // 8 + 1, width // 8 + 1, 1), np.uint8)
        image = np.kron(grey, np.ones((8, 8, 3), np.uint8))[:height, :width].copy()
        for prompt, (left, top, right, bottom) in things:
            rows = slice(round(top * height), round(bottom * height))
            image[rows, round(left * width) : round(right * width)] = COLOURS[prompt]
        return image

    return media.Scene(seconds, paint=paint)


RED = ("red thing", (0.25, 0.125, 0.75, 0.375))
BLUE = ("blue thing", (0.0, 0.5, 0.5, 1.0))


@pytest.fixture
def ready(tmp_path: Path, open_clip: Any, chain: Any) -> Callable[..., Clip]:
    """A clip of scenes, run up to its stills."""

    def make(name: str, scenes: Sequence[media.Scene], **video: Any) -> Clip:
        truth = media.write_video(tmp_path / f"{name}.mp4", scenes, fps=10, **video)
        clip: Clip = open_clip(truth.path)
        stages = [
            KeyframesStage(Keyframes(), media=Media()), QualityStage(Quality()),
            SimilarityStage(Similarity()), StillsStage(Stills()),
        ]  # fmt: skip
        chain(clip, stages)
        return clip

    return make


def values(outcomes: list[Outcome]) -> list[Detections]:
    found = []
    for outcome in outcomes:
        assert isinstance(outcome, Ok)
        assert isinstance(outcome.value, Detections)
        found.append(outcome.value)
    return found


def test_objects_of_a_video_with_time_and_place(ready: Callable[..., Clip]) -> None:
    clip = ready("v", [scene(2, RED), scene(1, RED, BLUE), scene(3, BLUE)], size=(320, 568))
    (found,) = values(DetectStage(Detect(), WORDS, ColourDetector()).run([clip]))
    blue, red = found.objects
    assert (blue.label, blue.product, red.label, red.product) == ("blue", False, "red", True)
    assert (red.first_s, red.last_s) == pytest.approx((0, 3), abs=0.11)
    assert (blue.first_s, blue.last_s) == pytest.approx((2, 6), abs=0.11)
    assert red.seconds == pytest.approx(3, abs=0.11)
    assert blue.seconds == pytest.approx(4, abs=0.11)
    assert red.area_share == pytest.approx(0.125, abs=0.01)
    assert [frame.time_s for frame in found.frames] == sorted(f.time_s for f in found.frames)
    boxes = [o.box for f in found.frames for o in f.objects if o.label == "red"]
    assert boxes
    for box in boxes:
        assert box == pytest.approx((80, 71, 240, 213), abs=4)


def test_boxes_are_in_pixels_of_the_upright_frame(ready: Callable[..., Clip]) -> None:
    clip = ready("turned", [scene(1, RED)], size=(320, 568), rotation=90)
    detector = ColourDetector()
    (found,) = values(DetectStage(Detect(), WORDS, detector).run([clip]))
    assert detector.shapes[0] == (568, 320, 3)
    assert found.frames[0].objects[0].box == pytest.approx((80, 71, 240, 213), abs=4)


def test_videos_share_a_call_and_get_their_own(ready: Callable[..., Clip]) -> None:
    clips = [
        ready("a", [scene(1, RED)], size=(320, 568)),
        ready("b", [scene(1, BLUE), scene(1, BLUE, RED)], size=(568, 320)),
        ready("c", [scene(1)], size=(320, 568)),
        ready("d", [scene(1, BLUE)], size=(320, 568)),
    ]
    detector = ColourDetector()
    stage = DetectStage(Detect(), WORDS, detector)
    found = values(stage.run(clips))
    labels = [{o.label for o in value.objects} for value in found]
    assert labels == [{"red"}, {"red", "blue"}, set(), {"blue"}]
    assert len(detector.calls) == 1
    kinds = [shape[:2] for shape in detector.shapes]
    assert kinds == sorted(kinds), "pictures of one size stand side by side"
    assert [values(stage.run([clip]))[0] for clip in clips] == found


def test_a_frame_stands_for_its_near_duplicates_and_black_shows_nothing(
    ready: Callable[..., Clip],
) -> None:
    clip = ready("still", [scene(4, RED), media.Scene(3, black=True)], size=(320, 568))
    (found,) = values(DetectStage(Detect(), WORDS, ColourDetector()).run([clip]))
    assert len(found.frames) == 1
    (red,) = found.objects
    assert (red.frames, red.first_s) == (1, 0.0)
    assert red.seconds == red.last_s == pytest.approx(4, abs=0.11)


def test_a_video_without_kept_frames_is_ok_and_empty(ready: Callable[..., Clip]) -> None:
    clip = ready("dark", [media.Scene(1, black=True)], size=(320, 568))
    (found,) = values(DetectStage(Detect(), WORDS, ColourDetector()).run([clip]))
    assert (found.frames, found.objects) == ((), ())


def test_the_time_limit_holds_while_frames_are_read(ready: Callable[..., Clip]) -> None:
    clip = ready("late", [scene(1, RED)], size=(320, 568))
    clip.deadline = 0.0
    with pytest.raises(StageTimeout):
        DetectStage(Detect(), WORDS, ColourDetector()).run([clip])


def test_words_are_settings() -> None:
    def key(words: Objects, settings: Detect) -> str:
        return DetectStage(settings, words, ColourDetector()).settings.model_dump_json()

    usual = key(WORDS, Detect())
    assert "red thing" in usual
    assert usual == key(WORDS.model_copy(), Detect())
    assert usual != key(Objects.model_validate({"products": ["red"]}), Detect())
    assert usual != key(WORDS, Detect(min_confidence=0.5))


# ------------------------------------------------------------------- with a real engine


def test_with_yolo_world(ready: Callable[..., Clip], tmp_path: Path) -> None:
    models = tmp_path / "models"
    write_clip(models)
    write_yolo_world(models)
    detector = YoloWorldDetector("s", WeightStore(models), ModelPool())
    settings = Detect(min_confidence=0.05, image_size=320, max_per_frame=20)
    stage = DetectStage(settings, WORDS, detector, batch_size=4)
    assert (stage.lane, stage.weights) == ("gpu", ("yolo-world-s", "clip-ViT-B-32"))
    stage.open()
    clips = [
        ready("a", [scene(1, RED), scene(1, BLUE, RED)], size=(180, 320)),
        ready("b", [scene(1, BLUE)], size=(320, 180)),
        ready("c", [scene(1)], size=(64, 64)),
    ]
    found = values(stage.run(clips))
    assert any(value.objects for value in found)
    for clip, value in zip(clips, found, strict=True):
        width, height = clip.info.width or 0, clip.info.height or 0
        for frame in value.frames:
            assert len(frame.objects) <= 20
            for thing in frame.objects:
                left, top, right, bottom = thing.box
                assert 0 <= left < right <= width
                assert 0 <= top < bottom <= height
        for row in value.objects:
            assert row.label in {"red", "blue"}
            assert 0 < row.area_share <= 1
            assert row.seconds <= (clip.info.duration_s or 0) + 1e-6
    assert values(stage.run(clips)) == found
    stage.close()
