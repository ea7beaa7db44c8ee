from __future__ import annotations

import cv2
import numpy as np
import pytest

from reelscope.testing.pictures import Caption, Scene, caption_box

SIZE = (180, 320)


def sharpness(image: np.ndarray) -> float:
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return float(cv2.Laplacian(grey, cv2.CV_64F).var())


def dark(size: tuple[int, int], time_s: float) -> np.ndarray:
    return np.zeros((size[1], size[0], 3), np.uint8)


def test_a_scene_moves_and_a_still_one_does_not() -> None:
    moving, still = Scene(1.0), Scene(1.0, moving=False)
    assert not np.array_equal(moving.picture(0.0, SIZE), moving.picture(0.5, SIZE))
    assert np.array_equal(still.picture(0.0, SIZE), still.picture(0.5, SIZE))


def test_two_scenes_of_one_colour_are_two_pictures() -> None:
    scene = Scene(1.0)
    one, other = scene.picture(0.0, SIZE, seed=0), scene.picture(0.0, SIZE, seed=1)
    assert np.abs(one.astype(int) - other).mean() > 10


def test_black_is_black_and_blurred_is_blurred() -> None:
    sharp = Scene(1.0, text="TEXT").picture(0.2, SIZE)
    assert Scene(1.0, text="TEXT", black=True).picture(0.2, SIZE).max() <= 1
    blurred = Scene(1.0, text="TEXT", blur=True).picture(0.2, SIZE)
    assert sharpness(blurred) < 0.01 * sharpness(sharp)
    assert abs(float(blurred.mean()) - float(sharp.mean())) < 4


def test_a_fade_begins_and_ends_dark() -> None:
    scene = Scene(2.0, fade_in_s=0.5, fade_out_s=0.5)
    light = [float(scene.picture(t, SIZE).mean()) for t in (0.0, 0.25, 1.0, 1.75, 1.99)]
    assert light[0] == 0.0
    assert light[0] < light[1] < light[2] > light[3] > light[4]


@pytest.mark.parametrize("text", ["Hg", "Two\nlines", "Übergröße 日本", "x" * 60])
@pytest.mark.parametrize("centre", [(0.5, 0.5), (0.3, 0.8)])
def test_the_box_is_where_the_ink_is(text: str, centre: tuple[float, float]) -> None:
    caption = Caption(text, centre=centre, plate=(0, 0, 0), colour=(255, 255, 255))
    image = Scene(1.0, (0, 0, 0), captions=(caption,), paint=dark).picture(0.0, SIZE)
    rows, columns = np.nonzero(image.max(axis=(1, 2)))[0], np.nonzero(image.max(axis=(0, 2)))[0]
    left, top, right, bottom = caption_box(caption, SIZE)
    assert (left, top) == (columns[0], rows[0])
    assert (right, bottom) == (columns[-1] + 1, rows[-1] + 1)
    assert 0 <= left < right <= SIZE[0]


def test_a_caption_has_its_time() -> None:
    caption = Caption("now", start_s=0.5, end_s=1.0)
    shown = [caption.shown(t, 2.0) for t in (0.0, 0.5, 0.99, 1.0)]
    assert shown == [False, True, True, False]


def test_pictures_too_small_for_letters_are_drawn_all_the_same() -> None:
    for size in ((1, 1), (2, 64), (64, 2), (4096, 8)):
        assert Scene(1.0, text="TEXT").picture(0.0, size).shape == (size[1], size[0], 3)
