"""The choice: coverage, difference, reasons, and what is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelscope.media.images import RGB
from reelscope.records import Choice, Shots, Stills
from reelscope.settings import Choose, Keyframes, Media, Quality, Similarity
from reelscope.settings import Shots as ShotsSettings
from reelscope.settings import Stills as StillsSettings
from reelscope.testing import media
from reelscope.vision.choose import (
    PREFIX,
    Candidate,
    ChooseStage,
    choose,
    difference,
    distance,
    look_of,
)
from reelscope.vision.embed import EmbedStage
from reelscope.vision.keyframes import KeyframesStage
from reelscope.vision.quality import QualityStage
from reelscope.vision.shots import ShotsStage
from reelscope.vision.similarity import SimilarityStage
from reelscope.vision.stills import StillsStage
from reelscope.vision.vocabulary import load_vocabulary

RED, GREEN, BLUE = (200, 30, 30), (30, 180, 40), (30, 40, 200)


def plain(colour: tuple[int, int, int]) -> RGB:
    return np.full((64, 36, 3), colour, np.uint8)


def candidate(time_s: float, colour: tuple[int, int, int] = RED, **more: Any) -> Candidate:
    fields: dict[str, Any] = {
        "quality": 0.5,
        "shot": None,
        "shot_weight": 0.5,
        "texts": frozenset(),
        "speech": False,
    }
    return Candidate(
        time_s=time_s, place=min(time_s / 60, 1.0), look=look_of(plain(colour)), **(fields | more)
    )


def times(found: list[Any]) -> list[float]:
    return [one.time_s for one, _ in found]


def test_looks_are_compared_by_colours_and_their_places() -> None:
    red, blue = look_of(plain(RED)), look_of(plain(BLUE))
    half = plain(RED)
    half[:32] = BLUE
    assert difference(red, red) == pytest.approx(0, abs=1e-3)
    assert difference(red, blue) == pytest.approx(1, abs=1e-3)
    assert difference(look_of(half), look_of(half[::-1])) == pytest.approx(1, abs=1e-3)
    assert 0 < difference(red, look_of(half)) < 1


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (16, 8192)])
def test_odd_sizes_have_a_look(shape: tuple[int, int]) -> None:
    look = look_of(np.zeros((*shape, 3), np.uint8))
    assert np.isclose(float(look @ look), 1.0)


def test_every_shot_is_shown_before_a_second_frame_of_one() -> None:
    frames = [
        candidate(float(n), RED, shot=n // 3, quality=0.9 if n < 3 else 0.4) for n in range(9)
    ]
    assert {int(t) // 3 for t in times(choose(frames, min_frames=2, max_frames=3))} == {0, 1, 2}


def test_the_best_picture_of_a_shot_stands_for_it() -> None:
    frames = [candidate(0, quality=0.2, shot=0), candidate(1, quality=0.8, shot=0)]
    assert times(choose(frames, min_frames=1, max_frames=1)) == [1]


def test_a_new_text_and_a_new_look_count() -> None:
    frames = [
        candidate(0, quality=0.9),
        candidate(1, quality=0.9),
        candidate(2, quality=0.3, texts=frozenset({0})),
        candidate(3, BLUE, quality=0.3),
    ]
    assert times(choose(frames, min_frames=1, max_frames=5)) == [0, 2, 3]


def test_an_unmoving_video_gets_no_more_than_the_minimum() -> None:
    frames = [candidate(float(n)) for n in range(10)]
    assert len(choose(frames, min_frames=2, max_frames=5)) == 2
    assert len(choose(frames[:1], min_frames=2, max_frames=5)) == 1
    assert choose([], min_frames=2, max_frames=5) == []


def test_alike_frames_are_taken_far_from_one_another() -> None:
    frames = [candidate(float(n)) for n in range(0, 60, 10)]
    assert times(choose(frames, min_frames=3, max_frames=5)) == [0, 20, 50]


def vector(*numbers: float) -> Any:
    found = np.array(numbers, np.float32)
    return found / np.linalg.norm(found)


def test_what_is_about_a_product_goes_first() -> None:
    frames = [
        candidate(0, quality=0.9, vector=vector(1, 0), relevance=0.1),
        candidate(1, quality=0.5, vector=vector(1, 0), relevance=0.9),
    ]
    assert times(choose(frames, min_frames=1, max_frames=1)) == [1]
    alone = [candidate(0, quality=0.9), candidate(1, quality=0.5)]
    assert times(choose(alone, min_frames=1, max_frames=1)) == [0]


def test_vectors_say_what_is_new_where_colours_do_not() -> None:
    frames = [
        candidate(0, vector=vector(1, 0, 0), relevance=0.5),
        candidate(1, BLUE, vector=vector(1, 0.05, 0), relevance=0.5),
        candidate(2, vector=vector(0.3, 1, 0), relevance=0.5),
        candidate(3, GREEN, vector=vector(0.3, 1, 0.05), relevance=0.5),
    ]
    taken = choose(frames, min_frames=1, max_frames=4)
    assert len(taken) == 2
    assert {int(t) // 2 for t in times(taken)} == {0, 1}


@pytest.mark.parametrize(("cosine", "expected"), [(1.0, 0.0), (0.8, 0.4), (0.5, 1.0), (-1.0, 1.0)])
def test_distances_of_vectors(cosine: float, expected: float) -> None:
    first = candidate(0, vector=vector(1, 0))
    second = candidate(1, vector=np.array([cosine, np.sqrt(1 - cosine**2)], np.float32))
    assert distance(first, second) == pytest.approx(expected, abs=1e-5)


CANDIDATES = st.lists(
    st.builds(
        candidate,
        time_s=st.floats(0, 60),
        colour=st.sampled_from([RED, GREEN, BLUE]),
        quality=st.floats(0, 1),
        shot=st.none() | st.integers(0, 4),
        texts=st.frozensets(st.integers(0, 5), max_size=3),
        speech=st.booleans(),
        vector=st.sampled_from([None, vector(1, 0), vector(0, 1), vector(-1, 0.1)]),
        relevance=st.none() | st.floats(0, 1),
    ),
    max_size=12,
    unique_by=lambda one: one.time_s,
)


@given(CANDIDATES, st.integers(1, 4), st.integers(1, 6))
def test_bounds_order_and_scores(found: list[Candidate], least: int, most: int) -> None:
    taken = choose(found, min_frames=least, max_frames=most)
    assert min(least, most, len(found)) <= len(taken) <= min(most, len(found))
    assert times(taken) == sorted(set(times(taken)))
    assert all(0 <= gain.total <= 1 for _, gain in taken)
    again = choose(found, min_frames=least, max_frames=most)
    assert times(again) == times(taken)


def test_the_stage_on_a_video_with_three_scenes(
    tmp_path: Path,
    open_clip: Callable[..., Any],
    chain: Callable[..., list[Any]],
) -> None:
    path = tmp_path / "three.mp4"
    scenes = [media.Scene(seconds=2, colour=colour) for colour in (RED, GREEN, BLUE)]
    media.write_video(path, scenes, size=(320, 568), fps=25)
    clip = open_clip(path)
    stages = [
        KeyframesStage(Keyframes(), media=Media()),
        QualityStage(Quality()),
        SimilarityStage(Similarity()),
        StillsStage(StillsSettings()),
        ShotsStage(ShotsSettings()),
        ChooseStage(Choose(longest_side=256)),
    ]
    stale = clip.frames_dir / f"{PREFIX}00099.000000s.jpg"
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"of an earlier run")
    mine = clip.frames_dir / "mine.jpg"
    mine.write_bytes(b"a file of the user")
    *_, stills, shots, choice = chain(clip, stages)
    assert isinstance(stills, Stills)
    assert isinstance(shots, Shots)
    assert isinstance(choice, Choice)
    assert len(shots.shots) == 3
    shown = [
        number
        for frame in choice.frames
        for number, shot in enumerate(shots.shots)
        if shot.start_s <= frame.time_s < shot.end_s
    ]
    assert sorted(set(shown)) == [0, 1, 2]
    for frame in choice.frames:
        saved = clip.frames_dir / frame.file
        assert saved.stat().st_size == frame.bytes_after < frame.bytes_before
        assert max(frame.width, frame.height) == 256
        assert "of shot" in frame.reason
        assert frame.reason.endswith("chosen by measurements alone")
    assert choice.method == "signal"
    assert not stale.exists()
    assert mine.exists()
    assert {path.name for path in clip.frames_dir.glob(f"{PREFIX}*")} == {
        frame.file for frame in choice.frames
    }


def test_what_is_not_shrunk_does_not_grow(
    tmp_path: Path, open_clip: Callable[..., Any], chain: Callable[..., list[Any]]
) -> None:
    truth = media.write_video(tmp_path / "a.mp4", [media.Scene(1.0, text="SALE")], size=(180, 320))
    stages = [
        KeyframesStage(Keyframes(), media=Media()),
        QualityStage(Quality()),
        SimilarityStage(Similarity()),
        StillsStage(StillsSettings(jpeg_quality=50)),
        ChooseStage(Choose(jpeg_quality=95)),
    ]
    *_, choice = chain(open_clip(truth.path), stages)
    assert choice.frames
    for frame in choice.frames:
        assert frame.bytes_after == frame.bytes_before
        assert (tmp_path / "frames" / "a" / frame.file).stat().st_size == frame.bytes_after


def test_a_black_video_has_no_frame_to_choose(
    tmp_path: Path, open_clip: Callable[..., Any], chain: Callable[..., list[Any]]
) -> None:
    truth = media.write_video(tmp_path / "a.mp4", [media.Scene(1.0, black=True)], size=(64, 64))
    stages = [
        KeyframesStage(Keyframes(), media=Media()),
        QualityStage(Quality()),
        SimilarityStage(Similarity()),
        StillsStage(StillsSettings()),
        ChooseStage(Choose()),
    ]
    *_, choice = chain(open_clip(truth.path), stages)
    assert choice.frames == ()


class Plain:
    """Vectors of mean colours, without a model: red is what products look like."""

    engine = "test 1"
    model = "colours"
    weights: tuple[str, ...] = ()

    def open(self) -> None: ...

    def close(self) -> None: ...

    def encode_images(self, pictures: Any) -> Any:
        return np.stack([vector(*give().reshape(-1, 3).mean(axis=0)) for give in pictures])

    def encode_texts(self, texts: Any) -> Any:
        return np.stack([vector(1, 0, 0) if "product" in t else vector(0, 0, 1) for t in texts])

    def scale(self) -> float:
        return 100.0


@pytest.mark.parametrize("lost", [False, True])
def test_the_stage_with_vectors_and_without_their_file(
    lost: bool, tmp_path: Path, open_clip: Callable[..., Any], chain: Callable[..., list[Any]]
) -> None:
    path = tmp_path / "three.mp4"
    scenes = [media.Scene(seconds=2, colour=colour) for colour in (BLUE, RED, GREEN)]
    media.write_video(path, scenes, size=(180, 320), fps=25)
    clip = open_clip(path)
    stages = [
        KeyframesStage(Keyframes(), media=Media()),
        QualityStage(Quality()),
        SimilarityStage(Similarity()),
        StillsStage(StillsSettings()),
        EmbedStage(load_vocabulary(), Plain()),
    ]
    *_, embedding = chain(clip, stages)
    assert embedding.product_relevance > 0.1
    if lost:
        (clip.folder / embedding.file).unlink()
    first, again = (chain(clip, [ChooseStage(Choose(max_frames=1))])[0] for _ in range(2))
    assert first == again
    (frame,) = first.frames
    assert first.method == ("signal" if lost else "clip")
    assert frame.reason.endswith("alone" if lost else "by CLIP")
    if not lost:
        assert 2 <= frame.time_s < 4
        assert "product relevance 1.00" in frame.reason
