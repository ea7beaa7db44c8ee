"""Readings linked to texts, and the frames at which these come and go."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from reelscope.media.images import RGB
from reelscope.records import Box, TextLine
from reelscope.vision.appearances import Look, Sighting, find_edges, follow, likeness, normal

DIAGONAL = 1000.0


def box(x: float, y: float, *, width: float = 100, height: float = 20) -> Box:
    return (x, y), (x + width, y), (x + width, y + height), (x, y + height)


def line(text: str, x: float = 50, y: float = 50, confidence: float = 0.9) -> TextLine:
    return TextLine(text=text, confidence=confidence, box=box(x, y))


def followed(*looks: tuple[float, list[TextLine]]) -> list[Sighting]:
    return follow([Look(t, lines) for t, lines in looks], min_similarity=0.8, diagonal_px=DIAGONAL)


def told(sightings: list[Sighting]) -> list[tuple[str, float, float]]:
    return [(s.best.text, s.first[0], s.last[0]) for s in sightings]


def test_one_text_over_several_looks_is_one() -> None:
    found = followed((0, [line("HALF PRICE")]), (1, [line("HALF PRlCE", confidence=0.7)]),
                     (2, [line("HALF PRICE", confidence=0.8)]), (3, []))  # fmt: skip
    assert told(found) == [("HALF PRICE", 0, 2)]
    assert (found[0].before_s, found[0].after_s) == (None, 3)
    assert found[0].appearance(0, 3).confidence == 0.9


def test_different_texts_and_places_stay_apart() -> None:
    assert len(followed((0, [line("SALE"), line("SALE", y=600), line("NOW", y=300)]))) == 3


def test_the_nearest_of_two_equal_lines_goes_on() -> None:
    above, below = line("SALE", y=50), line("SALE", y=120)
    found = followed((0, [above, below]), (1, [below, above]))
    assert [[reading.box[0][1] for _, reading, _ in s.looks] for s in found] == [
        [50, 50],
        [120, 120],
    ]


def test_a_missed_look_is_bridged_but_a_long_absence_is_not() -> None:
    once = followed((0, [line("SALE")]), (1, []), (2, [line("SALE")]))
    assert told(once) == [("SALE", 0, 2)]
    twice = followed((0, [line("SALE")]), (1, []), (2, []), (3, []), (4, [line("SALE")]))
    assert told(twice) == [("SALE", 0, 0), ("SALE", 4, 4)]
    assert [(s.before_s, s.after_s) for s in twice] == [(None, 1), (3, None)]


def test_a_text_whose_place_another_takes_is_over() -> None:
    found = followed((0, [line("you")]), (1, [line("me")]), (2, [line("you")]))
    assert told(found) == [("you", 0, 0), ("me", 1, 1), ("you", 2, 2)]


def test_a_typed_caption_grows_into_one_text() -> None:
    found = followed((0, [line("Why")]), (1, [line("Why is the")]), (2, [line("Why is the sky")]))
    assert told(found) == [("Why is the sky", 0, 2)]


def test_numbers_that_differ_make_texts_that_differ() -> None:
    assert likeness("Step 1: mix", "Step 2: mix") == 0
    assert likeness("50 % OFF", "50% off") == 1
    assert likeness("HALF PRICE", "HALF PR1CE") > 0.8


def test_frames_that_were_not_read_themselves_are_not_counted() -> None:
    looks = [Look(0, [line("SALE")]), Look(1, [line("SALE")], read=False)]
    (found,) = follow(looks, min_similarity=0.8, diagonal_px=DIAGONAL)
    assert found.appearance(0, 2).frames == 1


def test_letters_and_digits_alone_count() -> None:
    assert normal("  Größe: ４２ cm! ") == "grösse42cm"
    assert normal("→ ★") == "→ ★"
    assert normal("你好，世界") == "你好世界"


TEXTS = st.sampled_from(["SALE", "HALF PRICE", "Why is the sky blue?", "你好", "42"])
LOOKS = st.lists(
    st.lists(st.tuples(TEXTS, st.integers(0, 900), st.integers(0, 900)), max_size=4), max_size=12
)


@given(LOOKS)
def test_every_reading_is_in_one_sighting(read: list[list[tuple[str, int, int]]]) -> None:
    looks = [(float(n), [line(*text) for text in texts]) for n, texts in enumerate(read)]
    found = followed(*looks)
    assert sum(len(s.looks) for s in found) == sum(len(texts) for texts in read)
    for s in found:
        times = [time_s for time_s, *_ in s.looks]
        assert times == sorted(set(times))
        assert s.before_s is None or s.before_s < times[0]
        assert s.after_s is None or s.after_s > times[-1]


# -------------------------------------------------------------------------------- edges

SIZE = (360, 640)
CAPTION = box(60, 400, width=240, height=60)


def tiny(shown: bool, noise: int, seed: int) -> RGB:
    """A frame of 36 x 64 with a caption in CAPTION or without."""
    image = np.random.default_rng(seed).integers(90 - noise, 90 + noise + 1, (64, 36, 3), np.uint8)
    if shown:
        image[40:46, 6:30:2] = 250
        image[40:46, 7:30:2] = 10
    return image


def edges(shown: list[bool], looks_s: list[float], *, noise: int = 12) -> list[tuple[float, float]]:
    """Of captions that are shown in these frames, 10 per second, and read at these times."""
    frames = [(n / 10, tiny(on, noise, n)) for n, on in enumerate(shown)]
    text = TextLine(text="SALE", confidence=0.9, box=CAPTION)
    looks = [Look(t, [text] if shown[round(t * 10)] else []) for t in looks_s]
    found = follow(looks, min_similarity=0.8, diagonal_px=DIAGONAL)
    return find_edges(found, frames, size=SIZE, end_s=len(shown) / 10)


def test_a_caption_comes_and_goes_between_two_looks() -> None:
    assert edges([False] * 14 + [True] * 22 + [False] * 14, [0, 1, 2, 3, 4]) == [(1.4, 3.6)]


def test_two_captions_of_the_same_words() -> None:
    shown = ([False] * 5 + [True] * 10 + [False] * 25) * 2
    assert edges(shown, [float(n) for n in range(8)]) == [(0.5, 1.5), (4.5, 5.5)]


def test_to_the_ends_of_the_video() -> None:
    assert edges([True] * 30, [0, 1, 2]) == [(0.0, 3.0)]
    assert edges([True] * 26 + [False] * 4, [0, 1, 2]) == [(0.0, 2.6)]
    assert edges([False] * 3 + [True] * 27, [0.5, 1.5, 2.5]) == [(0.3, 3.0)]


def test_where_tiny_pictures_do_not_tell_the_looks_are_the_ends() -> None:
    text = TextLine(text="tiny print", confidence=0.9, box=CAPTION)
    found = follow(
        [Look(0, []), Look(1, [text]), Look(2, [text]), Look(3, [])],
        min_similarity=0.8,
        diagonal_px=DIAGONAL,
    )
    frames = [(n / 10, np.full((64, 36, 3), 90, np.uint8)) for n in range(40)]
    assert find_edges(found, frames, size=SIZE, end_s=4.0) == [(1, 2)]
    assert find_edges(found, [], size=SIZE, end_s=4.0) == [(1, 2)]


def test_looks_far_apart_are_not_searched_between() -> None:
    shown = [False] * 100 + [True] * 300
    assert edges(shown, [0, 25, 39]) == [(25, 40.0)]


def test_frames_after_the_last_search_are_not_asked_for() -> None:
    text = TextLine(text="SALE", confidence=0.9, box=CAPTION)
    found = follow([Look(0, [text]), Look(1, [])], min_similarity=0.8, diagonal_px=DIAGONAL)
    frames = iter([(n / 10, tiny(n < 4, 5, n)) for n in range(100)])
    assert find_edges(found, frames, size=SIZE, end_s=10.0) == [(0.0, 0.4)]
    assert next(frames)[0] < 1.5


@pytest.mark.parametrize("shape", [(1, 1), (1, 192), (192, 1)])
def test_odd_pictures(shape: tuple[int, int]) -> None:
    text = TextLine(text="SALE", confidence=0.9, box=box(0, 0, width=8192, height=16))
    found = follow([Look(0, [text]), Look(1, [])], min_similarity=0.8, diagonal_px=DIAGONAL)
    frames = [(n / 10, np.full((*shape, 3), 200 * (n > 4), np.uint8)) for n in range(20)]
    assert find_edges(found, frames, size=(8192, 16), end_s=2.0) == [(0.0, 0.5)]
