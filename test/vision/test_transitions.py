"""Cuts, fades and dissolves in drawn pictures whose truth is known to the frame."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reelscope.media.images import RGB
from reelscope.records import Cut
from reelscope.settings import Shots as ShotsSettings
from reelscope.testing import media
from reelscope.vision.shots import Watcher, watch
from reelscope.vision.transitions import ContentMeter

SIZE = (40, 72)
Frames = list[tuple[float, RGB]]


def drawn(*scenes: media.Scene, fps: int = 30, vfr: bool = False) -> Frames:
    """Frames of scenes, made as large as thumbnails are."""
    shots = media.pictures(scenes, size=(160, 288), fps=Fraction(fps), vfr=vfr)
    return [(t, cv2.resize(image, SIZE, interpolation=cv2.INTER_AREA)) for t, image in shots]


def seen(frames: Iterable[tuple[float, RGB]], duration_s: float, **wanted: float) -> list[Cut]:
    watcher = watch(frames, ShotsSettings(**wanted))
    assert watcher
    return list(watcher.cuts(duration_s))


def times(cuts: Sequence[Cut], kind: str = "cut") -> list[float]:
    return [cut.time_s for cut in cuts if cut.kind == kind]


def at(frames: Frames, when_s: float) -> float:
    """Time of the first frame at or after a moment."""
    return min(t for t, _ in frames if t >= when_s - 1e-6)


RED, BLUE = media.Scene(2.0, colour=(200, 60, 40)), media.Scene(1.5, colour=(40, 80, 200))
FIVE = (
    RED,
    BLUE,
    media.Scene(0.8, colour=(60, 180, 60)),
    media.Scene(0.4, colour=(220, 220, 210)),
    media.Scene(1.6, colour=(30, 30, 40)),
)


@pytest.mark.parametrize(
    ("fps", "vfr"), [(8, False), (12, False), (25, True), (30, False), (30, True), (60, True)]
)
def test_every_cut_at_its_very_frame(fps: int, vfr: bool) -> None:
    frames = drawn(*FIVE, fps=fps, vfr=vfr)
    cuts = seen(frames, 6.3)
    assert times(cuts) == [at(frames, moment) for moment in (2.0, 3.5, 4.3, 4.7)]
    assert len(cuts) == 4
    assert all(cut.score >= 1 for cut in cuts)


def test_a_take_without_cuts_has_none() -> None:
    assert seen(drawn(media.Scene(6.0)), 6.0) == []


@pytest.mark.parametrize(("first_s", "found"), [(0.2, 0), (0.4, 1)])
def test_no_shot_is_shorter_than_wanted(first_s: float, found: int) -> None:
    start = drawn(media.Scene(first_s, colour=(200, 60, 40)), BLUE)
    assert len(seen(start, first_s + 1.5)) == found
    end = drawn(BLUE, media.Scene(first_s, colour=(200, 60, 40)))
    assert len(seen(end, first_s + 1.5)) == found


def test_one_second_with_a_cut() -> None:
    frames = drawn(media.Scene(0.5, colour=(200, 60, 40)), media.Scene(0.5, colour=(40, 80, 200)))
    assert times(seen(frames, 1.0)) == [0.5]


@pytest.mark.parametrize("flashed", [1, 2, 4])
def test_a_flash_is_no_cut(flashed: int) -> None:
    frames = drawn(media.Scene(3.0))
    for n in range(40, 40 + flashed):
        frames[n] = (frames[n][0], cv2.add(frames[n][1], 150))
    assert seen(frames, 3.0) == []


def test_a_flash_on_a_cut_is_one_cut() -> None:
    frames = drawn(RED, BLUE)
    for n in (60, 61):
        frames[n] = (frames[n][0], cv2.add(frames[n][1], 150))
    assert times(seen(frames, 3.5)) == [2.0]


def test_a_sticker_over_a_quarter_is_no_cut() -> None:
    frames = drawn(media.Scene(3.0))
    for _, image in frames[45:]:
        image[8:44, 4:24] = (0, 255, 120)
    assert seen(frames, 3.0) == []


def test_a_whip_pan_is_no_cut() -> None:
    wide = drawn(media.Scene(0.1, colour=(120, 160, 90)))[0][1]
    street = np.concatenate([wide, wide[:, ::-1]] * 5, axis=1)
    lefts = [0] * 30 + [step * 9 for step in range(1, 13)] + [108] * 30
    frames = [(n / 30, street[:, left : left + SIZE[0]].copy()) for n, left in enumerate(lefts)]
    assert seen(frames, len(lefts) / 30) == []


def test_a_change_of_brightness_is_no_cut() -> None:
    frames = drawn(media.Scene(3.0, colour=(200, 180, 120)))
    for n, (_, image) in enumerate(frames):
        gain = 1.0 - 0.5 * min(max((n - 40) / 6, 0.0), 1.0)
        image[:] = cv2.convertScaleAbs(image, alpha=gain)
    assert seen(frames, 3.0) == []


def test_a_slide_show_of_one_frame_per_picture() -> None:
    scenes = [media.Scene(2.0, colour=c) for c in ((200, 60, 40), (40, 80, 200), (60, 180, 60))]
    frames = [(2.0 * n, drawn(scene)[n][1]) for n, scene in enumerate(scenes)]
    assert times(seen(frames, 6.0)) == [2.0, 4.0]


# -------------------------------------------------------------------------------- fades


def test_a_fade_through_black_ends_where_light_comes_back() -> None:
    frames = drawn(
        media.Scene(1.5, colour=(200, 60, 40), fade_out_s=0.5),
        media.Scene(0.3, black=True),
        media.Scene(1.5, colour=(40, 80, 200), fade_in_s=0.5),
    )
    (cut,) = seen(frames, 3.3)
    assert cut.kind == "fade"
    assert 1.8 < cut.time_s < 1.95


def test_a_caption_over_the_black_does_not_hide_the_fade() -> None:
    frames = drawn(
        media.Scene(1.5, colour=(200, 60, 40), fade_out_s=0.4),
        media.Scene(1.5, colour=(40, 80, 200), fade_in_s=0.4),
    )
    for _, image in frames:
        cv2.putText(image, "wait", (2, 60), cv2.FONT_HERSHEY_PLAIN, 0.8, (255, 255, 255))
    assert [cut.kind for cut in seen(frames, 3.0)] == ["fade"]


def test_black_at_the_ends_is_no_fade() -> None:
    opening = drawn(media.Scene(0.2, black=True), media.Scene(2.0, fade_in_s=0.6))
    assert seen(opening, 2.2) == []
    closing = drawn(media.Scene(2.0, fade_out_s=0.6), media.Scene(0.5, black=True))
    assert seen(closing, 2.5) == []


def test_a_black_second_between_hard_cuts_is_a_shot() -> None:
    cuts = seen(drawn(RED, media.Scene(1.0, black=True), BLUE), 4.5)
    assert times(cuts) == [2.0, 3.0]


def test_two_black_frames_in_a_take_are_nothing() -> None:
    frames = drawn(media.Scene(3.0))
    for _, image in frames[50:52]:
        image[:] = 0
    assert seen(frames, 3.0) == []


# ---------------------------------------------------------------------------- dissolves


def mixed(share: float, a: RGB, b: RGB) -> RGB:
    return np.asarray(cv2.addWeighted(a, 1 - share, b, share, 0), np.uint8)


@pytest.mark.parametrize("frames_long", [10, 18])
def test_a_dissolve_is_found_in_its_middle(frames_long: int) -> None:
    a = drawn(media.Scene(2.0, colour=(230, 200, 60), moving=False))
    b = drawn(media.Scene(2.0, colour=(30, 40, 90), moving=False, seed=5))
    shares = np.clip((np.arange(60) - 20) / frames_long, 0, 1)
    frames = [(t, mixed(s, x, y)) for (t, x), (_, y), s in zip(a, b, shares, strict=True)]
    (cut,) = seen(frames, 2.0)
    assert cut.kind == "dissolve"
    assert cut.time_s == pytest.approx((20 + frames_long / 2) / 30, abs=0.1)


def test_a_title_that_fades_in_is_no_dissolve() -> None:
    frames = drawn(media.Scene(2.0, moving=False))
    for n, (_, image) in enumerate(frames):
        title = image.copy()
        title[20:40] = 255
        image[:] = mixed(float(np.clip((n - 20) / 15, 0, 1)), image, title)
    assert seen(frames, 2.0) == []


# --------------------------------------------------------------------------- invariants


@given(
    seed=st.integers(0, 2**16),
    gaps_s=st.lists(st.floats(0.001, 1.5), max_size=40),
    size=st.sampled_from([(1, 1), (1, 192), (192, 1), (5, 9), (36, 64)]),
)
@settings(max_examples=40, deadline=None)
def test_cuts_lie_on_frames_and_apart(
    seed: int, gaps_s: list[float], size: tuple[int, int]
) -> None:
    rng = np.random.default_rng(seed)
    moments = np.round(np.cumsum([0.0, *gaps_s]), 6).tolist()
    looks = [rng.integers(0, 256, (*size, 3), np.uint8) for _ in range(3)]
    frames = [(t, looks[rng.integers(3)]) for t in moments]
    duration_s = moments[-1] + 0.04
    found = [cut.time_s for cut in seen(frames, duration_s, min_shot_s=0.3)]
    assert set(found) <= set(moments)
    assert np.diff([0.0, *found, duration_s]).min() >= 0.3 if found else True


def test_every_frame_but_the_first_is_measured_once() -> None:
    rng = np.random.default_rng(0)
    for count in range(8):
        meter = ContentMeter(15.0)
        found = []
        for _ in range(count):
            found += meter.see(rng.integers(0, 256, (9, 5, 3), np.uint8))
        found += meter.finish()
        assert [index for index, *_ in found] == list(range(1, count))


@pytest.mark.slow
def test_memory_does_not_grow_with_the_video() -> None:
    watcher = Watcher(ShotsSettings())
    frames = drawn(RED, BLUE, fps=60)
    held = []
    for n in range(6 * len(frames)):
        watcher.see(n / 60, frames[n % len(frames)][1])
        held.append(max(len(finder._recent) for finder in watcher.finders[1:]))
    assert max(held) == max(held[: len(frames)]) <= 60
