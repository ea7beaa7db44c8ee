"""Quality: the measures against their definitions, the verdicts against known pictures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from reelscope.media.images import RGB
from reelscope.records import Quality
from reelscope.settings import Keyframes as KeyframesSettings
from reelscope.settings import Media
from reelscope.settings import Quality as QualitySettings
from reelscope.testing import media
from reelscope.vision.keyframes import KeyframesStage
from reelscope.vision.quality import (
    Measures,
    QualityStage,
    colourfulness,
    edge_width,
    judge,
    luma,
    measure,
)

SIZE = (256, 455)
SETTINGS = QualitySettings()


def wall(k: int, colour: tuple[int, int, int] = (200, 160, 90), **scene: object) -> RGB:
    """A sharp picture with texture and shapes."""
    return media.Scene(9.0, colour=colour, **scene).picture(0.3 * k, SIZE, seed=k // 5)


def card(text: str, ground: tuple[int, int, int], ink: tuple[int, int, int]) -> RGB:
    """A title card: one colour and a few letters."""

    def paint(size: tuple[int, int], _: float) -> RGB:
        return np.full((size[1], size[0], 3), ground, np.uint8)

    caption = media.Caption(text, colour=ink, plate=ground, size=0.07)
    return media.Scene(1.0, paint=paint, captions=(caption,)).picture(0.0, SIZE)


def defocused(image: RGB, sigma_px: float) -> RGB:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma_px), np.uint8)


def smeared(image: RGB, length_px: int, *, down: bool = False) -> RGB:
    size = (1, length_px) if down else (length_px, 1)
    return np.asarray(cv2.blur(image, size), np.uint8)


def dim(image: RGB, light: float) -> RGB:
    return np.asarray(cv2.convertScaleAbs(image, alpha=light), np.uint8)


def night() -> RGB:
    """Dark all over, but for a few lit windows."""
    image = dim(wall(3), 0.06)
    rng = np.random.default_rng(1)
    for x, y in rng.integers(20, 230, (12, 2)):
        image[y : y + 6, x : x + 4] = (230, 200, 120)
    return image


def judged(images: Sequence[RGB], settings: QualitySettings = SETTINGS) -> Quality:
    return judge(
        [float(k) for k in range(len(images))],
        [measure(image) for image in images],
        short_side_px=min(images[0].shape[:2]),
        settings=settings,
    )


def verdicts(images: Sequence[RGB]) -> list[str]:
    return [frame.verdict for frame in judged(images).frames]


# ---------------------------------------------------------------------------- measures


@pytest.mark.parametrize("shape", [(455, 256), (9, 7), (1, 1), (2, 300), (16, 1024)])
def test_measures_are_what_their_definitions_say(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    found = measure(image)
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    assert found.luma == pytest.approx(gray.mean(), abs=1e-6)
    assert found.contrast == pytest.approx(gray.std(), abs=1e-6)
    assert found.sharpness == pytest.approx(cv2.Laplacian(gray, cv2.CV_64F).var(), rel=1e-9)
    assert found.dark_share == pytest.approx((gray < 16).mean())
    assert found.bright_share == pytest.approx((gray > 239).mean())
    r, g, b = (image[..., k].astype(float) for k in range(3))
    rg, yb = r - g, (r + g) / 2 - b
    spread, distance = math.hypot(rg.std(), yb.std()), math.hypot(rg.mean(), yb.mean())
    assert found.colourfulness == pytest.approx(spread + 0.3 * distance, rel=1e-9)


def test_gray_has_no_colour() -> None:
    gray = luma(wall(1))
    assert colourfulness(np.dstack([gray] * 3)) == 0.0


@pytest.mark.parametrize("width_px", [6, 8, 12, 15])
def test_edges_have_the_width_that_they_climb_over(width_px: int) -> None:
    # Ramps of one width, up and down, 64 pixels apart, in the middle of the tiles.
    places = [17 - width_px / 2, 17 + width_px / 2, 81 - width_px / 2, 81 + width_px / 2]
    line = np.interp(np.arange(256) % 128, places, [30, 220, 220, 30])
    across = np.tile(np.rint(line).astype(np.uint8), (256, 1))
    assert edge_width(across) == pytest.approx(width_px, abs=1.0)
    assert edge_width(np.ascontiguousarray(across.T)) == pytest.approx(width_px, abs=1.0)


def test_edges_widen_with_blur_and_not_with_less_contrast() -> None:
    image = wall(2)
    widths = [edge_width(luma(defocused(image, sigma))) or 0.0 for sigma in (0.3, 1.5, 2.5, 4, 6)]
    assert widths == sorted(widths)
    assert widths[-1] > 2.5 * widths[0]
    assert edge_width(luma(dim(image, 0.5))) == pytest.approx(widths[0], rel=0.15)


@pytest.mark.parametrize("down", [False, True])
def test_motion_in_one_direction_widens_edges(down: bool) -> None:
    image = wall(2)
    sharp = edge_width(luma(image))
    assert sharp is not None
    assert (edge_width(luma(smeared(image, 13, down=down))) or 0.0) > 1.6 * sharp


def test_a_flat_picture_has_no_edges() -> None:
    assert edge_width(np.full((90, 60), 200, np.uint8)) is None
    assert edge_width(np.zeros((1, 1), np.uint8)) is None


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (dim(wall(1), 0.15), "under"),
        (wall(1), "good"),
        (np.full((90, 60, 3), 250, np.uint8), "over"),
        (np.zeros((90, 60, 3), np.uint8), "under"),
    ],
)
def test_exposure(image: RGB, expected: str) -> None:
    assert measure(image).exposure == expected


def test_black_bars_do_not_make_a_picture_underexposed() -> None:
    boxed = np.zeros((455, 256, 3), np.uint8)
    boxed[170:290] = cv2.resize(wall(1), (256, 120))
    found = measure(boxed)
    assert found.luma < 50
    assert found.exposure == "good"


# ---------------------------------------------------------------------------- verdicts


def test_black_frames_go_and_night_stays() -> None:
    images = [wall(k) for k in range(8)]
    images[2] = np.full_like(images[2], 3)
    images[5] = night()
    found = judged(images)
    assert [frame.verdict for frame in found.frames] == ["kept"] * 2 + ["black"] + ["kept"] * 5
    assert found.frames[5].luma < found.black_below
    assert found.frames[5].exposure == "under"


def test_a_dark_video_keeps_its_dark_frames() -> None:
    murky = dim(wall(1), 0.1)
    assert measure(murky).contrast < SETTINGS.black_contrast
    assert verdicts([murky, *(wall(k) for k in range(9))])[0] == "black"
    assert verdicts([murky] * 5) == ["kept"] * 5


def test_a_black_video_keeps_nothing() -> None:
    rng = np.random.default_rng(0)
    found = judged([rng.integers(0, 9, (455, 256, 3)).astype(np.uint8) for _ in range(4)])
    assert found.kept_s == ()
    assert {frame.verdict for frame in found.frames} == {"black"}


@pytest.mark.parametrize("spoil", [
    lambda image: defocused(image, 2.5),
    lambda image: defocused(image, 10),
    lambda image: smeared(image, 15),
    lambda image: smeared(image, 15, down=True),
], ids=["soft", "blurred", "panned", "tilted"])  # fmt: skip
def test_spoilt_frames_among_sharp_ones_go(spoil) -> None:
    images = [wall(k) for k in range(20)]
    bad = {3, 4, 11, 17}
    images = [spoil(image) if k in bad else image for k, image in enumerate(images)]
    assert {k for k, verdict in enumerate(verdicts(images)) if verdict == "blurred"} == bad


def test_a_sharp_caption_does_not_save_a_blurred_frame() -> None:
    images = [wall(k) for k in range(12)]
    images[4], images[8] = defocused(images[4], 2.5), defocused(images[8], 6)
    for image in images:
        cv2.putText(image, "WAIT FOR IT", (20, 330), cv2.FONT_HERSHEY_DUPLEX, 0.9, (255,) * 3, 2)
    found = verdicts(images)
    assert [k for k, verdict in enumerate(found) if verdict == "blurred"] == [4, 8]


def test_title_cards_with_little_in_them_stay() -> None:
    cards = [
        card("subscribe", (255, 255, 255), (40, 40, 40)),
        card("part two", (0, 0, 0), (255, 255, 255)),
        card("thanks", (240, 220, 120), (200, 120, 60)),
    ]
    images = [wall(k) for k in range(9)] + cards
    assert verdicts(images) == ["kept"] * 12
    lowest = min(measure(image).sharpness for image in images[:9])
    assert min(measure(image).sharpness for image in cards) < lowest


def test_a_flat_frame_has_nothing_to_look_at() -> None:
    images = [wall(k) for k in range(6)]
    images[3] = np.full_like(images[3], 255)
    assert verdicts(images)[3] == "blurred"


def test_a_soft_video_keeps_its_best_frames() -> None:
    images = [defocused(wall(k), 2 if k % 4 else 6) for k in range(12)]
    found = verdicts(images)
    assert [k for k, verdict in enumerate(found) if verdict == "blurred"] == [0, 4, 8]
    assert verdicts([defocused(wall(k), 6) for k in range(12)]) == ["kept"] * 12


def test_a_soft_shot_in_a_sharp_video_is_not_lost() -> None:
    images = [wall(k) for k in range(30)]
    for k in range(10, 20):
        images[k] = defocused(images[k], 1.9)
    found = verdicts(images)
    assert found[13:17] == ["kept"] * 4
    assert found[10] == found[19] == "blurred"
    assert found[:10] == found[20:] == ["kept"] * 10


def test_a_video_of_plain_colours_keeps_them() -> None:
    assert verdicts([np.full((60, 40, 3), 40 * k, np.uint8) for k in range(1, 6)]) == ["kept"] * 5


def test_the_better_picture_scores_higher() -> None:
    sharp, soft, dark = wall(1), defocused(wall(1), 4), dim(wall(1), 0.2)
    scores = [frame.score for frame in judged([sharp, soft, dark]).frames]
    assert scores[0] > max(scores[1:])


MEASURES = st.builds(
    Measures,
    luma=st.floats(0, 255),
    contrast=st.floats(0, 127.5),
    sharpness=st.floats(0, 1e5),
    edge_px=st.none() | st.floats(2, 32),
    dark_share=st.floats(0, 1),
    bright_share=st.floats(0, 1),
    exposure=st.sampled_from(["under", "good", "over"]),
    colourfulness=st.floats(0, 200),
)


@given(st.lists(MEASURES, max_size=30), st.floats(0, 1), st.floats(0, 1))
@examples(max_examples=150, deadline=None)
def test_whatever_is_not_black_leaves_something_to_keep(
    measures: list[Measures], blur_share: float, edge_share: float
) -> None:
    settings = QualitySettings(blur_share=blur_share, blur_edge_share=edge_share)
    times_s = [0.7 * k for k in range(len(measures))]
    found = judge(times_s, measures, short_side_px=256, settings=settings)
    assert [frame.time_s for frame in found.frames] == [round(t, 6) for t in times_s]
    assert set(found.kept_s) == {f.time_s for f in found.frames if f.verdict == "kept"}
    assert all(0 <= frame.score <= 1 for frame in found.frames)
    if any(frame.verdict != "black" for frame in found.frames):
        assert found.kept_s


# ------------------------------------------------------------------------------- stage


def test_the_stage_drops_the_black_and_the_blurred_stretch(
    tmp_path: Path, open_clip, chain
) -> None:
    scenes = [
        media.Scene(3.0, colour=(200, 60, 50), text="ONE"),
        media.Scene(2.0, black=True),
        media.Scene(3.0, colour=(60, 160, 80)),
        media.Scene(2.0, colour=(90, 90, 200), text="TWO", blur=True),
        media.Scene(2.0, colour=(190, 190, 60), text="THREE"),
    ]
    truth = media.write_video(tmp_path / "v.mp4", scenes, size=(360, 640), fps=15)
    clip = open_clip(truth.path, sample_fps=3.0)
    stages = [
        KeyframesStage(KeyframesSettings(), media=Media(sample_fps=3.0)),
        QualityStage(SETTINGS),
    ]
    _, found = chain(clip, stages)
    expected = {
        frame.time_s: "black"
        if truth.black_s[0][0] <= frame.time_s < truth.black_s[0][1]
        else "blurred"
        if truth.blurred_s[0][0] <= frame.time_s < truth.blurred_s[0][1]
        else "kept"
        for frame in found.frames
    }
    assert set(expected.values()) == {"black", "blurred", "kept"}
    assert {frame.time_s: frame.verdict for frame in found.frames} == expected


def test_a_file_without_pictures_is_skipped(tmp_path: Path, open_clip) -> None:
    truth = media.write_sound(tmp_path / "a.m4a", media.tone(1.0))
    (outcome,) = QualityStage(SETTINGS).run([open_clip(truth.path)])
    assert outcome.reason == "there is no video stream"


def of_corpus(open_clip, path: Path) -> Quality:
    frames = open_clip(path, sample_fps=4.0).frames
    return judge(
        [frame.time_s for frame in frames],
        [measure(frame.image) for frame in frames],
        short_side_px=min(frames[0].image.shape[:2]),
        settings=SETTINGS,
    )


def test_real_footage(corpus: Path, open_clip) -> None:
    stage = of_corpus(open_clip, corpus / "video" / "nasa_13013.mp4")
    assert all(frame.verdict == "kept" for frame in stage.frames)  # dark, but lit things in it
    assert min(frame.luma for frame in stage.frames) < 12
    assert of_corpus(open_clip, corpus / "video" / "no_duration.webm").kept_s == ()
    bird = {frame.time_s: frame.verdict for frame in of_corpus(
        open_clip, corpus / "video" / "cockatoo.mp4").frames}  # fmt: skip
    assert [bird[t] for t in (8.0, 8.25, 8.5, 11.25)] == ["blurred"] * 4  # seen with the eye
    assert [bird[t] for t in (0.25, 1.5, 4.5, 6.25, 9.5, 10.75, 13.0)] == ["kept"] * 7
