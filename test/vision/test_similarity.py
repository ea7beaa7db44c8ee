"""Similarity: scikit-image's number, sure bounds, and groups that hold what they promise."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from skimage.metrics import structural_similarity

from reelscope.media.images import RGB
from reelscope.settings import Keyframes as KeyframesSettings
from reelscope.settings import Media
from reelscope.settings import Quality as QualitySettings
from reelscope.settings import Similarity as SimilaritySettings
from reelscope.testing import media
from reelscope.vision import similarity
from reelscope.vision.keyframes import KeyframesStage
from reelscope.vision.quality import Gray, QualityStage, luma
from reelscope.vision.similarity import Group, SimilarityStage, group, ssim


def noise(shape: tuple[int, int], seed: int) -> Gray:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def scene(k: int, size: tuple[int, int] = (256, 455)) -> RGB:
    return media.Scene(9.0, colour=(180, 140, 90)).picture(0.4 * (k % 5), size, seed=k // 5)


def mixed(first: Gray, second: Gray, share: float) -> Gray:
    return np.asarray(cv2.addWeighted(first, 1 - share, second, share, 0), np.uint8)


def shifted(image: Gray, pixels: int) -> Gray:
    return np.ascontiguousarray(np.roll(image, pixels, axis=1))


# --------------------------------------------------------------------------- the number

CORNERS = {
    "unlike": (noise((64, 90), 1), noise((64, 90), 2)),
    "equal": (noise((64, 90), 1), noise((64, 90), 1)),
    "inverse": (noise((64, 90), 1), 255 - noise((64, 90), 1)),
    "black and white": (np.zeros((40, 40), np.uint8), np.full((40, 40), 255, np.uint8)),
    "nearly white": (250 + noise((99, 64), 3) // 43, 250 + noise((99, 64), 4) // 43),
    "checks": (np.indices((60, 60)).sum(0).astype(np.uint8) % 2 * 255, noise((60, 60), 1)),
    "one window": (noise((7, 7), 1), noise((7, 7), 2)),
    "a line": (noise((7, 3000), 1), noise((7, 3000), 2)),
    "small image": (luma(scene(0)), luma(scene(1))),
    "wide": (luma(scene(0, (455, 256))), luma(scene(7, (455, 256)))),
}


@pytest.mark.parametrize("name", CORNERS)
def test_equal_to_scikit_image(name: str) -> None:
    a, b = CORNERS[name]
    assert ssim(a, b) == pytest.approx(structural_similarity(a, b, data_range=255), abs=1e-6)
    assert ssim(b, a) == pytest.approx(ssim(a, b), abs=1e-9)


@given(
    st.integers(7, 80), st.integers(7, 80), st.integers(0, 255), st.integers(1, 255), st.integers()
)
@examples(max_examples=60, deadline=None)
def test_equal_to_scikit_image_everywhere(
    height: int, width: int, ground: int, reach: int, seed: int
) -> None:
    rng = np.random.default_rng(abs(seed))
    a, b = (
        np.clip(ground + rng.integers(-reach, reach + 1, (height, width)), 0, 255).astype(np.uint8)
        for _ in range(2)
    )
    b = mixed(a, b, rng.random())
    assert ssim(a, b) == pytest.approx(structural_similarity(a, b, data_range=255), abs=1e-6)


@pytest.mark.parametrize(
    ("shape", "window"), [((6, 50), 5), ((5, 5), 5), ((30, 4), 3), ((3, 3), 3)]
)
def test_the_window_shrinks_to_what_fits(shape: tuple[int, int], window: int) -> None:
    a, b = noise(shape, 1), mixed(noise(shape, 1), noise(shape, 2), 0.3)
    expected = structural_similarity(a, b, data_range=255, win_size=window)
    assert ssim(a, b) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("shape", [(1, 1), (2, 500), (90, 1)])
def test_without_a_window_only_equal_pictures_are_alike(shape: tuple[int, int]) -> None:
    a = noise(shape, 1)
    assert ssim(a, a.copy()) == 1.0
    assert ssim(a, a ^ 1) == 0.0


def test_colour_pictures_are_compared_by_luma() -> None:
    a, b = scene(0), scene(1)
    assert ssim(a, b) == ssim(luma(a), luma(b))
    with pytest.raises(ValueError, match="have no SSIM"):
        ssim(a, a[:-1])


# --------------------------------------------------------------------------- the bounds


def loss_map(a: Gray, b: Gray) -> np.ndarray:
    """1 - SSIM of every window inside the picture."""
    _, full = structural_similarity(a, b, data_range=255, full=True)
    return 1 - full[3:-3, 3:-3]


@pytest.mark.parametrize("pair", list(CORNERS.values()), ids=list(CORNERS))
def test_a_cell_never_lacks_less_than_its_bound_says(pair: tuple[Gray, Gray]) -> None:
    a, b = (similarity._Picture(gray) for gray in pair)
    bound = similarity._least_loss(a.planes, b.planes[None])[0].reshape(a.cells)
    losses = loss_map(*pair)
    for row, column in np.ndindex(*a.cells):
        cell = losses[8 * row : 8 * row + 8, 8 * column : 8 * column + 8]
        assert bound[row, column] <= cell.mean() + 1e-4


@pytest.mark.parametrize("rows", [1, 7, 8, 9, 64, 65, 449])
@pytest.mark.parametrize("columns", [1, 250, 5000])
def test_strips_cover_every_row_once(rows: int, columns: int) -> None:
    strips = similarity._strips(rows, columns)
    assert [row for s in strips for row in range(s.first, s.last)] == list(range(rows))
    cells = [cell for s in strips for cell in range(s.cells.start, s.cells.stop)]
    assert cells == list(range(rows // 8))


# --------------------------------------------------------------------------- the groups


def grouped_the_long_way(
    images: Sequence[Gray], times_s: Sequence[float], scores: Sequence[float], max_ssim: float
) -> dict[int, list[int]]:
    """The rule of `group` with every comparison made in full by scikit-image."""
    members: dict[int, list[int]] = {}
    for i in sorted(range(len(images)), key=lambda i: (-scores[i], times_s[i], i)):
        near = sorted(members, key=lambda k: abs(times_s[k] - times_s[i]))
        for k in near:
            if structural_similarity(images[i], images[k], data_range=255) > max_ssim:
                members[k].append(i)
                break
        else:
            members[i] = []
    return {k: sorted(v) for k, v in members.items()}


def a_video(seed: int, count: int) -> list[Gray]:
    """Pictures of a few sorts, more and less alike within a sort."""
    rng = np.random.default_rng(seed)
    sorts = [cv2.GaussianBlur(noise((61, 45), seed + k), (0, 0), 1 + k) for k in range(3)]
    images = []
    for _ in range(count):
        base = sorts[rng.integers(3)]
        kind = rng.integers(3)
        if kind == 0:
            base = shifted(base, int(rng.integers(3)))
        elif kind == 1:
            base = mixed(base, noise(base.shape, int(rng.integers(99))), 0.3 * rng.random())
        images.append(base)
    return images


@given(st.integers(0, 10_000), st.integers(0, 14), st.sampled_from([0.0, 0.3, 0.6, 0.8, 0.95]))
@examples(max_examples=40, deadline=None)
def test_the_shortcuts_change_nothing(seed: int, count: int, max_ssim: float) -> None:
    images = a_video(seed, count)
    scores = np.random.default_rng(seed).integers(0, 5, count).tolist()
    times_s = [0.5 * k for k in range(count)]
    found = group(images, times_s=times_s, scores=scores, max_ssim=max_ssim)
    expected = grouped_the_long_way(images, times_s, scores, max_ssim)
    assert {g.index: [i for i, _ in g.stands_for] for g in found} == expected
    check(found, images, scores, max_ssim)


def check(
    found: Sequence[Group], images: Sequence[Gray], scores: Sequence[float], max_ssim: float
) -> None:
    """What every grouping promises."""
    everything = sorted(i for g in found for i in (g.index, *(k for k, _ in g.stands_for)))
    assert everything == list(range(len(images)))
    for a, b in itertools.combinations([g.index for g in found], 2):
        if images[a].shape == images[b].shape:
            assert ssim(images[a], images[b]) <= max_ssim
    for g in found:
        for i, value in g.stands_for:
            assert value > max_ssim
            assert value == pytest.approx(ssim(images[i], images[g.index]), abs=1e-6)
            assert scores[i] <= scores[g.index]


@pytest.mark.slow
def test_frames_of_full_size_are_grouped_as_the_long_way_does() -> None:
    images = [luma(scene(k)) for k in range(15)]
    images += [shifted(images[3], 1), mixed(images[9], images[2], 0.05), images[0].copy()]
    times_s, scores = [float(k) for k in range(18)], [float(k % 4) for k in range(18)]
    found = group(images, times_s=times_s, scores=scores, max_ssim=0.8)
    check(found, images, scores, 0.8)
    expected = grouped_the_long_way(images, times_s, scores, 0.8)
    assert {g.index: [i for i, _ in g.stands_for] for g in found} == expected


def test_a_picture_that_comes_back_much_later_is_found() -> None:
    images = [scene(5 * k) for k in range(12)] + [scene(0)]
    found = group(images, times_s=range(13), scores=[1.0] * 13, max_ssim=0.8)
    assert [g.index for g in found] == list(range(12))
    assert found[0].stands_for == ((12, 1.0),)


def test_the_best_frame_stands_for_the_others() -> None:
    base = luma(scene(0))
    images = [mixed(base, noise(base.shape, k), 0.04) for k in range(4)]
    found = group(images, times_s=range(4), scores=[0.1, 0.2, 0.9, 0.9], max_ssim=0.8)
    assert [(g.index, [i for i, _ in g.stands_for]) for g in found] == [(2, [0, 1, 3])]


def test_of_several_the_nearest_in_time_stands_for_it() -> None:
    base = noise((40, 40), 0)
    left, right = mixed(base, noise((40, 40), 1), 0.4), mixed(base, noise((40, 40), 2), 0.4)
    assert ssim(left, right) < 0.75 < min(ssim(base, left), ssim(base, right))
    for at, owner in ((1.0, 0), (9.0, 1)):
        found = group([left, right, base], times_s=[0, 10, at], scores=[2, 2, 1], max_ssim=0.75)
        assert [i for i, _ in found[owner].stands_for] == [2]


def test_pictures_of_different_sizes_are_unlike() -> None:
    flat = [np.full(shape, 90, np.uint8) for shape in ((40, 40), (40, 41), (1, 1), (40, 40))]
    found = group(flat, times_s=range(4), scores=[1] * 4, max_ssim=0.8)
    assert [(g.index, g.stands_for) for g in found] == [(0, ((3, 1.0),)), (1, ()), (2, ())]


def test_the_time_limit_is_asked_for_every_frame() -> None:
    calls: list[int] = []
    group(
        [noise((9, 9), k) for k in range(5)],
        times_s=range(5),
        scores=range(5),
        max_ssim=0.8,
        check_time=lambda: calls.append(1),
    )
    assert len(calls) == 5


# ----------------------------------------------------------------------------- the stage


def test_the_stage_keeps_one_frame_of_a_still_scene(tmp_path: Path, open_clip, chain) -> None:
    scenes = [
        media.Scene(3.0, colour=(200, 60, 50), moving=False, seed=1),
        media.Scene(2.0, colour=(60, 160, 80), moving=False, seed=2),
        media.Scene(3.0, colour=(200, 60, 50), moving=False, seed=1),
    ]
    truth = media.write_video(tmp_path / "v.mp4", scenes, size=(180, 320), fps=12)
    clip = open_clip(truth.path)
    stages = [
        KeyframesStage(KeyframesSettings(), media=Media()),
        QualityStage(QualitySettings()),
        SimilarityStage(SimilaritySettings()),
    ]
    keyframes, quality, found = chain(clip, stages)
    assert len(found.groups) == len(found.kept_s) == 2
    assert {g.time_s for g in found.groups} == set(found.kept_s) <= set(quality.kept_s)
    all_times = {g.time_s for g in found.groups} | {
        f.time_s for g in found.groups for f in g.stands_for
    }
    assert all_times == {frame.time_s for frame in keyframes.frames}
    images = {round(frame.time_s, 6): frame.image for frame in clip.frames}
    for g in found.groups:
        for frame in g.stands_for:
            a, b = (cv2.cvtColor(images[t], cv2.COLOR_RGB2GRAY) for t in (g.time_s, frame.time_s))
            assert frame.ssim == pytest.approx(structural_similarity(a, b), abs=1e-4)


def test_a_file_without_pictures_is_skipped(tmp_path: Path, open_clip) -> None:
    truth = media.write_sound(tmp_path / "a.m4a", media.tone(1.0))
    (outcome,) = SimilarityStage(SimilaritySettings()).run([open_clip(truth.path)])
    assert outcome.reason == "there is no video stream"
